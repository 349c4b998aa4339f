//! Sets, maps, objects and rules of nftables, by nft: each in a transaction that is taken or undone as a whole.

use std::net::UdpSocket;

use workloads::exercise::{self, Exercise};
use workloads::places;
use workloads::tools::{nft, nft_step, run_all};

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    run_all(
        it,
        "ip link set lo up\nip link add d0 type dummy\nip link set d0 up\nip addr add 10.0.0.1/24 dev d0",
    );
    transactions(it);
    references(it);
    for line in
        ["get element inet t8 s { 10.0.0.1 }", "reset counters", "reset quotas", "delete table inet t3"]
    {
        it.step(line, || nft(line));
    }
    run_all(it, "nft list ruleset");
    // The network goes with this process, with all that is still in it.
}

fn packet() {
    let _ = UdpSocket::bind("10.0.0.1:0").and_then(|one| one.send_to(&[1; 50], "10.0.0.9:9"));
}

/// Each is one transaction with its table `t` and chains `c` and `c2`.
const SETS_AND_OBJECTS: [&str; 26] = [
    "add set inet t s { type ipv4_addr ; elements = { 10.0.0.1, 10.0.0.2 } ; }\ndelete element inet t s { 10.0.0.1 }",
    "add set inet t s { type ipv4_addr ; flags interval ; auto-merge ; elements = { 10.0.0.0/24, 10.0.1.0-10.0.1.7 } ; }\ndelete element inet t s { 10.0.0.0/25 }",
    "add set inet t s { type ipv4_addr ; flags interval ; elements = { 10.0.0.0/24 } ; }\nadd element inet t s { 10.0.0.5 }",
    "add set inet t s { type ipv4_addr . inet_service ; flags interval ; elements = { 10.0.0.0/24 . 1-5, 10.0.1.0/24 . 80 } ; }\ndelete element inet t s { 10.0.1.0/24 . 80 }",
    "add set inet t s { type inet_proto ; size 4 ; elements = { tcp, udp } ; }",
    "add set inet t s { type inet_service ; size 2 ; elements = { 1, 2, 3 } ; }",
    "add set inet t s { type ipv4_addr ; timeout 1s ; gc-interval 1s ; elements = { 10.0.0.1, 10.0.0.2 timeout 5s } ; }\nflush set inet t s",
    "add set inet t s { type ipv4_addr ; counter ; elements = { 10.0.0.1 } ; }",
    "add set inet t s { type ipv4_addr ; flags constant ; elements = { 10.0.0.1 } ; }\nadd element inet t s { 10.0.0.2 }",
    "add set inet t s { type ifname ; flags interval ; elements = { \"d*\" } ; }",
    "add set inet t s { typeof ip saddr . meta mark ; flags dynamic ; size 3 ; }\nadd rule inet t c update @s { ip saddr . meta mark limit rate 1/second }",
    "add map inet t m { type ipv4_addr : verdict ; elements = { 10.0.0.1 : drop, 10.0.0.2 : jump c2 } ; }\nadd rule inet t c ip saddr vmap @m\ndelete element inet t m { 10.0.0.2 }",
    "add map inet t m { type ipv4_addr : verdict ; elements = { 10.0.0.1 : jump c } ; }\nadd rule inet t c ip saddr vmap @m",
    "add map inet t m { type inet_service : ipv4_addr ; flags interval ; elements = { 1-9 : 10.0.0.9 } ; }",
    "add counter inet t o { packets 5 bytes 6 }\nadd map inet t m { type ipv4_addr : counter ; elements = { 10.0.0.1 : \"o\" } ; }\ndelete counter inet t o",
    "add quota inet t o { over 1 mbytes }\nadd rule inet t c quota name \"o\" drop\ndelete quota inet t o",
    "add limit inet t o { rate over 10/second burst 5 packets }\nadd rule inet t c limit name \"o\" drop",
    "add ct helper inet t o { type \"ftp\" protocol tcp ; l3proto ip ; }\nadd rule inet t c tcp dport 21 ct helper set \"o\"",
    "add ct helper inet t o { type \"no-such\" protocol tcp ; }",
    "add secmark inet t o { \"nonsense\" }",
    "add flowtable inet t f { hook ingress priority 0 ; devices = { d0 } ; }\nadd chain inet t fwd { type filter hook forward priority 0 ; }\nadd rule inet t fwd ip protocol tcp flow add @f",
    "add flowtable inet t f { hook ingress priority 0 ; devices = { no-such } ; }",
    "add rule inet t c flow add @nothing",
    "add chain inet t c3\nadd rule inet t c3 jump c3",
    "add rule inet t c2 ip daddr { 10.0.0.1, 10.0.0.2 } accept\nadd rule inet t c position 99 accept",
    "add chain inet t pre { type filter hook prerouting priority 0 ; }\nadd rule inet t pre ip protocol tcp tproxy ip to 127.0.0.1:5\nadd rule inet t pre meta nftrace set 1",
];

fn transactions(it: &mut Exercise) {
    for (number, lines) in SETS_AND_OBJECTS.iter().enumerate() {
        let first = lines.lines().next().unwrap_or_default();
        let name = format!("{number}: {}", first.chars().take(45).collect::<String>());
        let table = format!("t{number}");
        let made = format!(
            "add table inet t\nadd chain inet t c {{ type filter hook output priority 0 ; }}\nadd chain inet t c2\n{lines}"
        );
        let of_table = |text: &str| {
            text.replace("inet t ", &format!("inet {table} ")).replace("inet t\n", &format!("inet {table}\n"))
        };
        nft_step(it, &name, "", &of_table(&made));
        packet();
    }
}

/// What a rule can refer to, by a name, and how.
const REFERRED_TO: [(&str, &str); 9] = [
    ("set inet r o { type ipv4_addr ; }", "ip saddr @o accept"),
    ("map inet r o { type ipv4_addr : verdict ; }", "ip saddr vmap @o"),
    ("chain inet r o", "jump o"),
    ("counter inet r o", "counter name \"o\""),
    ("quota inet r o { over 1 mbytes }", "quota name \"o\" drop"),
    ("limit inet r o { rate 10/second burst 5 packets }", "limit name \"o\" drop"),
    ("ct helper inet r o { type \"ftp\" protocol tcp ; l3proto ip ; }", "tcp dport 21 ct helper set \"o\""),
    (
        "ct timeout inet r o { protocol tcp ; l3proto ip ; policy = { established : 9 } ; }",
        "ct timeout set \"o\"",
    ),
    ("flowtable inet r o { hook ingress priority 0 ; devices = { d0 } ; }", "ip protocol tcp flow add @o"),
];

/// Each is made, a rule refers to it, and with the rule gone it can go as well: in transactions of their own, so that a rule that
/// cannot be made leaves what it refers to.
fn references(it: &mut Exercise) {
    let table = "add table inet r\nadd chain inet r c { type filter hook forward priority 0 ; }";
    it.step("table of references", || nft(table));
    for (object, rule) in REFERRED_TO {
        let kind = object.split(" inet").next().unwrap_or(object);
        let (made, refers) = (format!("add {object}"), format!("add rule inet r c {rule}"));
        it.step(&made, || nft(&made));
        it.step(&refers, || nft(&refers));
        it.step(format!("delete {kind} with a rule"), || nft(&format!("delete {kind} inet r o")));
        it.step(format!("rules of {kind} flushed"), || nft("flush chain inet r c"));
        it.step(format!("delete {kind}"), || nft(&format!("delete {kind} inet r o")));
    }
    it.step("table of references gone", || nft("delete table inet r"));
}
