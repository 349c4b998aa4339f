//! Traffic between two networks whose way is changed: by address translation and other rules of netfilter, by endpoints of
//! MPTCP, by routes and devices that end it.

use std::io;

use workloads::exercise::{self, Exercise};
use workloads::places;
use workloads::tools::{run_all, run_many};
use workloads::traffic::{EchoServer, NETWORKS, Transport, talk};

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    run_all(it, NETWORKS);
    let Some(server) = it.step("a server in the other network", || EchoServer::start("peer")) else { return };
    mptcp(it);
    translation(it);
    ends(it);
    drop(server);
    it.step("the other network goes", || run("ip netns del peer"));
    // The network goes with this process, with all that is still in it.
}

fn run(line: &str) -> io::Result<()> {
    workloads::tools::run(line)
}

/// Rules by which packets take another way: in transactions of one table each.
const TRANSLATIONS: [(&str, &str); 7] = [
    (
        "dnat",
        "table ip pp { chain c { type nat hook output priority -100; ip daddr 10.7.7.7 dnat to 10.0.0.2; } }",
    ),
    (
        "masquerade",
        "table ip pp { chain c { type nat hook postrouting priority 100; oifname v0 masquerade random; } }",
    ),
    (
        "snat of IPv6",
        "table ip6 pp { chain c { type nat hook postrouting priority 100; oifname v0 snat to fd00::1; } }",
    ),
    (
        "conntrack",
        "table inet pp { ct timeout t { protocol tcp; l3proto ip; policy = { established: 100 } }\nct expectation e { protocol tcp; dport 9; timeout 1m; size 2; l3proto ip; }\nchain c { type filter hook output priority 0; ct mark set 5 counter; ct timeout set \"t\"; ct label set 3; ct expectation set \"e\"; ct state new,established accept; }\nchain d { type filter hook input priority 0; ct direction reply ct bytes > 1 accept; } }",
    ),
    (
        "sets that grow",
        "table inet pp { set s { type ipv4_addr . inet_service; flags dynamic, timeout; timeout 1m; size 10; }\nset i { type ipv4_addr; flags interval; auto-merge; elements = { 10.0.0.0/24, 10.2.0.0-10.2.0.9 } }\nmap m { type ipv4_addr : mark; elements = { 10.0.0.2 : 7 } }\nchain c { type filter hook output priority 0; update @s { ip daddr . udp dport timeout 5s counter }; ip daddr @i meta mark set ip daddr map @m; } }",
    ),
    (
        "marks and routes",
        "table ip pp { chain c { type route hook output priority 0; udp dport 7 meta mark set 9; } }",
    ),
    (
        "reject and queue",
        "table inet pp { chain c { type filter hook output priority 0; tcp dport 99 reject with tcp reset; udp dport 98 reject; udp dport 97 queue flags bypass to 3; udp dport 96 log group 2; } }",
    ),
];

fn translation(it: &mut Exercise) {
    for (name, table) in TRANSLATIONS {
        let loaded = it.step(format!("nft {name}"), || {
            // Behind what ends a chain has to be an end of a line.
            std::fs::write("/tmp/traffic.nft", table.replace("} }", "}\n}") + "\n")?;
            run("nft -f /tmp/traffic.nft")
        });
        let _ = std::fs::remove_file("/tmp/traffic.nft");
        if loaded.is_none() {
            continue;
        }
        let hosts = if name == "dnat" { ["10.7.7.7", "10.0.0.2"] } else { ["10.0.0.2", "fd00::2"] };
        if name == "dnat" {
            let _ = run("ip route add 10.7.7.7 dev v0");
        }
        for host in hosts {
            for transport in [Transport::Tcp, Transport::Udp] {
                it.step(format!("{transport:?} to {host} by {name}"), || talk(transport, host, 700));
            }
        }
        for port in [99, 98, 97, 96] {
            let _ = std::net::UdpSocket::bind("0.0.0.0:0")
                .and_then(|one| one.send_to(&[1; 9], ("10.0.0.2", port)));
        }
        let _ = std::fs::read("/proc/net/nf_conntrack");
        run_all(it, "nft list ruleset\nnft flush ruleset");
    }
}

/// Endpoints of each kind while connections are there, which make subflows of them.
fn mptcp(it: &mut Exercise) {
    run_many(
        it,
        "limits and endpoints",
        "ip mptcp limits set subflow 4 add_addr_accepted 4\nip mptcp endpoint add 10.0.1.1 dev w0 subflow\nip mptcp endpoint add 10.0.0.1 dev v0 signal backup",
    );
    let there = "ip -n peer mptcp limits set subflow 4 add_addr_accepted 4\nip -n peer mptcp endpoint add 10.0.1.2 dev w1 signal";
    run_many(it, "limits and endpoints, there", there);
    for round in 0..3 {
        // At one boot of some fifty a connection was closed early: a subflow that comes or goes is in the way of one now and then.
        it.step(format!("MPTCP with endpoints, {round}"), || {
            let talk = || talk(Transport::Mptcp, "10.0.0.2", 60_000);
            talk().or_else(|_| talk()).or_else(|_| talk())
        });
        let _ = run("ip mptcp endpoint show");
        let _ = run("ss -M -i -a");
        let _ = match round {
            0 => run("ip mptcp endpoint change id 1 backup"),
            1 => run("ip mptcp endpoint delete id 1"),
            _ => run("ip mptcp endpoint flush"),
        };
    }
    run_many(
        it,
        "endpoints flushed, there",
        "ip -n peer mptcp endpoint flush\nip -n peer mptcp endpoint flush",
    );
    it.step("an endpoint after that", || run("ip mptcp endpoint add 10.0.1.1 subflow fullmesh"));
    it.step("MPTCP again", || talk(Transport::Mptcp, "fd00::2", 6000));
    it.step("no endpoints", || run("ip mptcp endpoint flush"));
}

/// Routes and devices that end what was under way.
fn ends(it: &mut Exercise) {
    for kind in ["unreachable", "prohibit", "blackhole", "throw"] {
        it.step(format!("route {kind}"), || {
            run(&format!("ip route add {kind} 10.0.0.2/32"))?;
            let lost = talk(Transport::Udp, "10.0.0.2", 10);
            run(&format!("ip route del {kind} 10.0.0.2/32"))?;
            // Nothing of a route that is thrown away stops the search in another table.
            if kind == "throw" { Ok(()) } else { lost }
        });
    }
    it.step("a route by a nexthop that goes", || {
        run("ip nexthop add id 5 via 10.0.0.2 dev v0")?;
        run("ip route add 10.66.0.0/16 nhid 5")?;
        run("ip route add unreachable 10.67.0.0/16 metric 9")?;
        let _ = talk(Transport::Udp, "10.66.0.1", 10);
        run("ip nexthop del id 5")?;
        run("ip route get 10.66.0.1")
    });
    it.step("a device down and up", || {
        run("ip link set v0 down")?;
        let lost = talk(Transport::Udp, "10.0.0.2", 10);
        run("ip link set v0 up")?;
        lost
    });
    it.step("after that", || talk(Transport::Udp, "10.0.0.2", 10));
}
