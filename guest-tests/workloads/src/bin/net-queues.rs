//! Queueing disciplines with classes, filters and actions, and netfilter's tables, by the userland's tools: made, made
//! twice, changed, deleted, with packets that go through them.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use workloads::exercise::{self, Exercise};
use workloads::places;
use workloads::tools::{run, run_all};

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    run_all(it, DEVICES);
    it.step("teql comes", || places::take_device("teql0"));
    qdiscs(it);
    run_all(it, FILTERS);
    it.step("teql goes", || places::return_device("teql0"));
    netfilter(it);
    it.step("packets through it all", || {
        send(20);
        Ok(())
    });
    // The network goes with this process, with all that is still in it.
}

const DEVICES: &str = "
    ip link set lo up
    ip link add d0 type dummy
    ip link add d1 type dummy
    ip link add v0 type veth peer name v1
    ip link set d0 up
    ip link set d1 up
    ip link set v0 up
    ip link set v1 up
    ip addr add 10.0.0.1/24 dev d0
    ip addr add 10.0.1.1/24 dev v0 broadcast 10.0.1.255
";

/// Each with a class where it has classes: name, options, and the options of a class.
const QDISCS: [(&str, &str, &str); 31] = [
    ("pfifo", "limit 5", ""),
    ("bfifo", "limit 5000", ""),
    ("prio", "bands 4", ""),
    ("htb", "default 1", "rate 1mbit ceil 2mbit"),
    ("hfsc", "default 1", "sc rate 1mbit ul rate 2mbit"),
    ("drr", "", "quantum 600"),
    ("qfq", "", "weight 1 maxpkt 1500"),
    ("sfq", "perturb 1 limit 20", ""),
    ("tbf", "rate 1mbit burst 5kb latency 10ms", ""),
    ("red", "limit 60000 min 5000 max 20000 avpkt 1000 burst 10 probability 0.1", ""),
    ("sfb", "", ""),
    ("choke", "limit 100 bandwidth 1mbit", ""),
    ("codel", "limit 50 target 1ms", ""),
    ("fq_codel", "limit 100 flows 8", ""),
    ("fq", "limit 100 flow_limit 10", ""),
    ("fq_pie", "limit 100", ""),
    ("pie", "limit 100 target 5ms", ""),
    ("hhf", "limit 100", ""),
    ("cake", "bandwidth 1mbit besteffort", ""),
    ("netem", "delay 1ms loss 10% duplicate 10% reorder 20%", ""),
    ("multiq", "", ""),
    ("mqprio", "num_tc 2 map 0 1 queues 1@0 1@1 hw 0", ""),
    ("skbprio", "limit 10", ""),
    ("ets", "bands 4 strict 2 quanta 100 200", ""),
    ("etf", "clockid CLOCK_TAI delta 1000", ""),
    ("cbs", "", ""),
    ("plug", "limit 10000", ""),
    ("gred", "setup DPs 3 default 1", ""),
    ("dualpi2", "", ""),
    ("teql0", "", ""),
    ("noqueue", "", ""),
];

/// Added, added again, changed, replaced and deleted while packets go through.
fn qdiscs(it: &mut Exercise) {
    let mut lines = String::new();
    for (name, options, class) in QDISCS {
        let mut add = |line: String| lines = format!("{lines}tc {line}\n");
        add(format!("qdisc add dev v0 root handle 1: {name} {options}"));
        add(format!("qdisc add dev v0 root handle 1: {name} {options}"));
        if !class.is_empty() {
            for action in ["add", "add", "change"] {
                add(format!("class {action} dev v0 parent 1: classid 1:1 {name} {class}"));
            }
            add(format!("class add dev v0 parent 1: classid 1:2 {name} {class}"));
            add("filter add dev v0 parent 1: protocol ip prio 1 matchall classid 1:1".to_owned());
            add("qdisc add dev v0 parent 1:1 handle 2: pfifo limit 3".to_owned());
        }
        add("qdisc show dev v0".to_owned());
        add("class show dev v0".to_owned());
        add(format!("qdisc change dev v0 root handle 1: {name} {options}"));
        add(format!("qdisc replace dev v0 root handle 3: {name} {options}"));
        if !class.is_empty() {
            add("class del dev v0 classid 1:1".to_owned());
            add("class del dev v0 classid 1:2".to_owned());
        }
        add("qdisc del dev v0 root".to_owned());
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                send(2);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        run_all(it, &lines);
        done.store(true, Ordering::Relaxed);
    });
}

/// To the other end of v0, where nothing listens, by broadcast so that no neighbour has to answer.
fn send(count: usize) {
    let Ok(socket) = UdpSocket::bind("10.0.1.1:0") else { return };
    let _ = socket.set_broadcast(true);
    for _ in 0..count {
        let _ = socket.send_to(&[7; 300], "10.0.1.255:9");
    }
    std::thread::sleep(Duration::from_millis(2));
}

const FILTERS: &str = "
    tc qdisc add dev d0 root handle 1: drr
    tc class add dev d0 parent 1: classid 1:1 drr
    tc qdisc add dev d0 parent 1:1 teql0
    ip link set teql0 up
    tc qdisc del dev d0 root
    tc qdisc add dev d0 root teql0
    tc qdisc add dev d1 root teql0
    tc qdisc del dev d0 root
    tc qdisc del dev d1 root
    tc qdisc add dev v0 clsact
    tc qdisc add dev v0 clsact
    tc filter add dev v0 egress protocol ip prio 1 u32 match ip dst 10.0.1.0/24 action pass
    tc filter add dev v0 egress protocol ip prio 2 flower ip_proto udp dst_port 9 action pass
    tc filter add dev v0 egress protocol ip prio 2 flower ip_proto udp dst_port 9 action pass
    tc filter add dev v0 egress protocol all prio 3 matchall action mirred egress mirror dev d0
    tc filter add dev v0 egress protocol all prio 4 basic match meta(len gt 100) action gact drop
    tc filter add dev v0 egress protocol ip prio 5 fw classid 1:1
    tc filter add dev v0 egress protocol ip prio 6 route from 1 classid 1:1
    tc filter add dev v0 egress protocol ip prio 7 flow hash keys src,dst divisor 4
    tc filter add dev v0 egress prio 8 bpf bytecode 1,6,0,0,4294967295
    tc filter add dev v0 ingress protocol all prio 1 matchall action vlan push id 5
    tc filter add dev v0 ingress prio 2 protocol ip matchall action pedit munge ip ttl set 5
    tc filter add dev v0 ingress prio 3 protocol ip matchall action police rate 1mbit burst 10k
    tc filter add dev v0 ingress prio 4 protocol ip matchall action skbedit mark 5 pipe action csum ip
    tc filter add dev v0 ingress prio 5 protocol ip matchall action ct
    tc filter add dev v0 ingress prio 6 protocol ip matchall action tunnel_key unset
    tc filter add dev v0 ingress prio 7 protocol ip matchall action sample rate 10 group 5
    tc filter add dev v0 ingress chain 5 protocol ip matchall action goto chain 6
    tc chain add dev v0 ingress chain 9
    tc filter show dev v0 egress
    tc -s filter show dev v0 ingress
    tc filter replace dev v0 egress protocol ip prio 2 flower ip_proto tcp dst_port 10 action drop
    tc filter del dev v0 egress prio 1
    tc filter del dev v0 egress prio 1
    tc chain del dev v0 ingress chain 9
    tc actions add action gact drop index 7
    tc actions add action gact drop index 7
    tc -s actions list action gact
    tc actions flush action gact
    tc qdisc del dev v0 clsact
    tc qdisc del dev v0 clsact
    tc qdisc add dev v0 ingress
    tc qdisc del dev v0 ingress
    tc qdisc add dev no-such root pfifo
    tc qdisc add dev v0 root no_such_qdisc
";

/// One rule set with most kinds of expression, sets, maps, NAT, a flow table; and some that are refused.
const RULES: &str = "table inet pp {
    set s { type ipv4_addr; flags interval, timeout; elements = { 10.0.0.0/8 timeout 10s } }
    map m { type inet_service : verdict; elements = { 80 : accept, 81 : drop } }
    counter c { }
    quota q { over 10 mbytes }
    limit l { rate 10/second }
    flowtable f { hook ingress priority 0; devices = { v0 }; }
    chain in { type filter hook input priority 0; policy accept;
        ct state established,related accept
        ip saddr @s counter name c accept
        udp dport vmap @m
        tcp flags syn limit rate 5/second log prefix \"pp\" accept
        meta iifname lo meta mark set 7 accept
        ip6 nexthdr icmpv6 accept
        fib saddr type local accept
        meta l4proto tcp reject with tcp reset
        ip daddr 10.9.9.9 reject
        quota name q drop
        numgen random mod 3 0 accept
    }
    chain forward { type filter hook forward priority 0;
        ip protocol tcp flow add @f
        jump other
    }
    chain other { return; }
    chain out { type filter hook output priority 0; policy accept;
        meta skuid 0 counter
        notrack
        dup to 10.0.0.9 device d0
    }
}
table ip nat {
    chain pre { type nat hook prerouting priority 0; tcp dport 8080 redirect to :80; }
    chain post { type nat hook postrouting priority 100; oifname d0 masquerade; snat to 10.0.0.1; }
}
table netdev dev { chain i { type filter hook ingress device v0 priority 0; counter; } }
table bridge b { chain f { type filter hook forward priority 0; ether type ip accept; } }
table arp a { chain i { type filter hook input priority 0; arp operation request accept; } }
";

fn netfilter(it: &mut Exercise) {
    // Each table by itself: a kernel that lacks one may have another.
    let tables: Vec<_> = RULES.split("\ntable ").collect();
    for table in tables {
        let table = table.strip_prefix("table ").unwrap_or(table);
        let name = table.split(" {").next().unwrap_or_default();
        // Behind what ends a chain has to be an end of a line.
        transaction(it, &format!("table {name}"), &format!("table {}\n", table.replace("} }", "}\n}")));
    }
    send(5);
    for (name, lines) in TRANSACTIONS {
        transaction(it, name, lines);
    }
    run_all(it, "nft list ruleset\nnft flush ruleset");
}

fn transaction(it: &mut Exercise, name: &str, lines: &str) {
    it.step(format!("nft {name}"), || {
        std::fs::write(RULES_FILE, lines)?;
        run(&format!("nft -f {RULES_FILE}"))
    });
    let _ = std::fs::remove_file(RULES_FILE);
}

const RULES_FILE: &str = "/tmp/rules.nft";

/// Each is one transaction, and so is undone as a whole if a line of it is refused.
const TRANSACTIONS: [(&str, &str); 9] = [
    (
        "made",
        "add table ip t
         add chain ip t c { type nat hook prerouting priority 0 ; }
         add chain ip t c2
         add chain ip t d { type filter hook input priority 0 ; policy accept ; }
         add rule ip t d ct state new counter
         add rule ip t d tcp dport 22 accept
         insert rule ip t d udp dport 53 accept
         add rule ip t d jump c2
         add rule ip t d ip ttl set 5
         add rule ip t d ip saddr 10.0.0.0/8 tcp option maxseg size set rt mtu
         add rule ip t d meter m { ip saddr limit rate 1/second }
         add set ip t s { type ipv4_addr ; }
         add element ip t s { 1.2.3.4, 1.2.3.5 }
         add flowtable ip t f { hook ingress priority 0 ; devices = { d0 } ; }
         add ct helper ip t h { type \"ftp\" protocol tcp ; }
         add synproxy ip t sp mss 1460 wscale 7",
    ),
    ("made again", "add table ip t\ncreate table ip t"),
    ("a loop of chains", "add rule ip t c2 accept\nadd rule ip t c2 jump d"),
    ("a rule of no chain", "add chain ip t c3\nadd rule ip t none accept"),
    ("an element that is not there", "delete element ip t s { 1.2.3.4 }\ndelete element ip t s { 9.9.9.9 }"),
    ("a set in use", "add rule ip t d ip saddr @s drop\ndelete set ip t s"),
    ("reset", "reset counters"),
    ("deleted", "flush chain ip t d\ndelete chain ip t c2\ndelete flowtable ip t f\ndelete table ip t"),
    ("deleted again", "delete table ip t"),
];
