//! Actions of traffic control (net/sched/act_*.c), each kind by itself and in filters that share it: made, made twice, changed,
//! asked for, deleted while it is used and after that, with packets that go through it.

use std::net::UdpSocket;
use std::time::Duration;

use workloads::exercise::{self, Exercise};
use workloads::places;
use workloads::tools::run_all;

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    run_all(it, DEVICES);
    run_all(it, &of_each(made));
    run_all(it, &of_each(used));
    it.step("packets", packets);
    run_all(it, &of_each(changed));
    it.step("packets through what was changed", packets);
    run_all(it, "tc -s filter show dev v1 ingress");
    run_all(it, "tc filter del dev v0 egress");
    run_all(it, "tc filter del dev v1 ingress");
    run_all(it, &of_each(deleted));
    run_all(it, BAD);
    // The network goes with this process, with all that is still in it.
}

const DEVICES: &str = "
    ip link set lo up
    ip link add d0 type dummy
    ip link add v0 type veth peer name v1
    ip link set d0 up
    ip link set v0 up
    ip link set v1 up
    ip addr add 10.0.1.1/24 dev v0
    ip neigh add 10.0.1.2 lladdr 02:00:00:00:00:02 dev v0
    tc qdisc add dev v0 clsact
    tc qdisc add dev v1 clsact
";

/// A kind, how it is made, and what it is changed to.
const KINDS: [(&str, &str, &str); 22] = [
    ("gact", "drop", "pass random netrand drop 2"),
    ("gact", "reclassify", "continue random determ drop 3"),
    ("mirred", "egress mirror dev d0", "egress redirect dev d0"),
    ("mirred", "ingress mirror dev d0", "ingress redirect dev v1"),
    ("skbedit", "mark 5/7 priority 1:10", "ptype host inheritdsfield"),
    ("pedit", "munge ip ttl set 5", "ex munge eth dst set 02:00:00:00:00:09 munge udp dport add 1"),
    ("police", "rate 1mbit burst 10k", "rate 2mbit burst 20k peakrate 3mbit mtu 2k conform-exceed drop/pass"),
    ("police", "pkts_rate 100 pkts_burst 10", "rate 1kbit burst 100 conform-exceed continue"),
    ("vlan", "push id 5 protocol 802.1ad priority 3", "modify id 9"),
    ("vlan", "pop", "push_eth dst_mac 02:00:00:00:00:07 src_mac 02:00:00:00:00:08"),
    ("csum", "ip", "ip4h and udp and tcp and icmp"),
    ("nat", "ingress 10.0.1.1/32 10.0.1.9", "egress 10.0.1.0/24 10.0.2.0"),
    ("tunnel_key", "set src_ip 10.0.0.1 dst_ip 10.0.0.2 id 5 dst_port 4789 tos 3", "unset"),
    ("ct", "zone 5", "commit force zone 5 mark 1/3 nat src addr 10.0.1.5-10.0.1.9 port 1000-2000"),
    ("ct", "clear", "commit label 0x1/0x1"),
    ("bpf", "bytecode 1,6,0,0,4294967295", "bytecode 1,6,0,0,0"),
    ("sample", "rate 10 group 5", "rate 1 group 6 trunc 64"),
    ("simple", "sdata one", "sdata another"),
    ("mpls", "push protocol mpls_uc label 5 ttl 9", "pop protocol ip"),
    ("connmark", "zone 5", "zone 6"),
    ("skbmod", "set dmac 02:00:00:00:00:05", "swap mac"),
    ("gate", "clockid CLOCK_TAI base-time 0 sched-entry open 200000000 -1 -1", "priority 3"),
];

/// Is nothing, has nothing, or may not be here.
const BAD: &str = "
    tc actions add action no_such_action index 1
    tc actions get action gact index 99
    tc actions del action gact index 99
    tc actions add action gact drop index 7 action mirred egress mirror dev no-such index 7
    tc actions add action gact drop index 7 action gact pass index 8 action gact drop index 7
    tc actions add action gact goto chain 5 index 9
    tc actions add action ife encode type 57005 allow mark dst 02:00:00:00:00:05 index 3
    tc actions add action ife decode index 4
    tc actions list action ife
    tc actions add action ctinfo cpmark 0xffff index 3
    tc actions add action ctinfo dscp 0xfc000000 0x01000000 index 4
    tc actions list action ctinfo
    tc actions flush action gact
    tc actions flush action ife
    tc actions flush action ctinfo
    tc actions flush action no_such_action
";

/// LinesOfKind for a kind, which is so many down the list: its name, and how it is made and changed.
type LinesOfKind = fn(usize, &str, &str, &str) -> String;

fn of_each(lines: LinesOfKind) -> String {
    let kinds = KINDS.iter().enumerate();
    kinds.map(|(at, (kind, options, others))| lines(at, kind, options, others)).collect()
}

/// Three of each row; what is of one kind has numbers of its own.
fn made(at: usize, kind: &str, options: &str, others: &str) -> String {
    let [first, second, third] = numbers(at);
    format!(
        "tc actions add action {kind} {options} index {first}
        tc actions add action {kind} {options} index {first}
        tc actions add action {kind} {options} cookie a1b2c3d4 index {second}
        tc actions replace action {kind} {others} index {third}
        tc actions replace action {kind} {others} index {second}
        tc actions change action {kind} {options} index {third}
        tc actions change action {kind} {others} no_percpu index {third}
        tc -s actions get action {kind} index {first}
        tc -s actions list action {kind}
        "
    )
}

fn numbers(at: usize) -> [usize; 3] {
    [at * 10 + 1, at * 10 + 2, at * 10 + 3]
}

/// By packets to a port of its own.
fn used(at: usize, kind: &str, options: &str, others: &str) -> String {
    let ([first, second, _], port, prio) = (numbers(at), PORT + at as u16, at + 1);
    let found = format!("protocol ip u32 match ip dport {port} 0xffff");
    format!(
        "tc filter add dev v0 egress prio {prio} {found} action {kind} index {first}
        tc filter add dev v1 ingress prio {prio} {found} action {kind} index {first} pipe action gact pass
        tc filter add dev v1 ingress prio {prio} {found} action {kind} index {second}
        tc filter add dev v1 ingress prio {prio} {found} action {kind} {options} action {kind} {others}
        tc filter add dev v1 ingress prio {prio} {found} action {kind} index 9999
        tc actions del action {kind} index {first}
        "
    )
}

fn changed(at: usize, kind: &str, options: &str, others: &str) -> String {
    let [first, second, _] = numbers(at);
    format!(
        "tc actions replace action {kind} {others} index {first}
        tc actions change action {kind} {options} index {second}
        "
    )
}

fn deleted(at: usize, kind: &str, _: &str, _: &str) -> String {
    let [first, second, _] = numbers(at);
    format!(
        "tc actions del action {kind} index {first}
        tc actions del action {kind} index {first}
        tc actions del action {kind} index {second}
        tc actions flush action {kind}
        "
    )
}

const PORT: u16 = 1000;

/// Sent whether or not anything lets them through.
fn packets() -> std::io::Result<()> {
    let socket = UdpSocket::bind("10.0.1.1:0")?;
    for port in PORT..PORT + KINDS.len() as u16 {
        for length in [1, 200, 1400, 3000] {
            let _ = socket.send_to(&vec![7; length], ("10.0.1.2", port));
        }
    }
    std::thread::sleep(Duration::from_millis(50));
    Ok(())
}
