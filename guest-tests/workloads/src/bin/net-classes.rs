//! Traffic between two networks through queueing disciplines of each kind, and through classes that are changed, bound to and
//! deleted meanwhile; and through a device that is several.

use std::io;

use workloads::exercise::{self, Exercise};
use workloads::open_tool::OpenTool;
use workloads::places;
use workloads::tools::{run, run_all, run_many};
use workloads::traffic::{EchoServer, NETWORKS, Transport, talk};

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    run_all(it, NETWORKS);
    let Some(server) = it.step("a server in the other network", || EchoServer::start("peer")) else { return };
    it.step("teql comes", || places::take_device("teql0"));
    queues(it, &mut OpenTool::new(it, "tc"));
    it.step("teql goes", || places::return_device("teql0"));
    drop(server);
    it.step("the other network goes", || run("ip netns del peer"));
    // The network goes with this process, with all that is still in it.
}

/// Each as the root of one device and below a class of another discipline, with packets through it, and after that changed.
const QUEUES: [(&str, &str); 22] = [
    ("pfifo", "limit 50"),
    ("bfifo", "limit 100kb"),
    ("pfifo_fast", ""),
    ("sfq", "perturb 10"),
    ("tbf", "rate 10mbit burst 20kb latency 50ms"),
    ("red", "limit 100kb min 10kb max 50kb avpkt 1000 burst 20 ecn"),
    ("codel", "limit 100 ecn"),
    ("fq_codel", "limit 1000 memory_limit 1mb"),
    ("fq", "limit 1000 maxrate 100mbit"),
    ("fq_pie", "limit 1000 ecn"),
    ("pie", "limit 1000 ecn"),
    ("cake", "bandwidth 100mbit diffserv4 nat wash ack-filter"),
    ("netem", "delay 2ms 1ms"),
    ("sfb", ""),
    ("choke", "limit 100 bandwidth 10mbit ecn"),
    ("hhf", ""),
    ("gred", "setup DPs 2 default 0"),
    ("skbprio", "limit 64"),
    ("prio", "bands 3"),
    ("multiq", ""),
    ("ets", "bands 3 quanta 1000 1000 1000"),
    ("dualpi2", ""),
];

/// Disciplines with classes that are made: name, options of a class, others to change it to.
const CLASSES: [(&str, &str, &str); 4] = [
    ("htb", "rate 50mbit", "rate 20mbit ceil 30mbit prio 2"),
    ("hfsc", "sc rate 50mbit", "ls m1 20mbit d 10ms m2 10mbit"),
    ("drr", "quantum 1500", "quantum 3000"),
    ("qfq", "weight 1", "weight 7 maxpkt 2000"),
];

fn queues(it: &mut Exercise, tc: &mut OpenTool) {
    let through = |it: &mut Exercise, name: String| {
        it.step(name, || {
            talk(Transport::Udp, "10.0.0.2", 800)?;
            talk(Transport::Tcp, "10.0.0.2", 9000)
        });
    };
    for (kind, options) in QUEUES {
        // These drop what comes too early, by chance.
        if tc.tell(&format!("qdisc add dev v0 root handle 1: {kind} {options}")).is_err() {
            it.fail(&format!("queue {kind}"), &io::Error::from_raw_os_error(libc::ENOENT));
            continue;
        }
        through(it, format!("through {kind}"));
        let lines = "qdisc show dev v0\nclass show dev v0\nqdisc del dev v0 root";
        tc.run_many(it, &format!("{kind} shown and gone"), lines);
    }
    for (kind, class, other) in CLASSES {
        let mut lines = format!("qdisc add dev v0 root handle 1: {kind}\n");
        for number in 1..4 {
            lines += &format!("class add dev v0 parent 1: classid 1:{number} {kind} {class}\n");
        }
        lines += "filter add dev v0 parent 1: protocol all prio 9 matchall classid 1:1\n";
        tc.run_many(it, &format!("classes of {kind}"), &lines);
        through(it, format!("through {kind}"));
        for (below, options) in QUEUES.iter().step_by(3) {
            let _ = tc.tell(&format!("qdisc replace dev v0 parent 1:1 handle 2: {below} {options}"));
            let _ = talk(Transport::Udp, "10.0.0.2", 800);
        }
        let _ = tc.tell("qdisc del dev v0 parent 1:1");
        let _ = run("ip link set teql0 up");
        it.step(format!("teql below {kind}"), || tc.run("qdisc add dev v0 parent 1:1 teql0"));
        let _ = talk(Transport::Udp, "10.0.0.2", 800);
        let change = |class| format!("class change dev v0 parent 1: classid {class} {kind} {other}");
        let lines = [
            change("1:1"),
            change("1:2"),
            "class show dev v0".to_owned(),
            "class del dev v0 classid 1:3".to_owned(),
        ];
        tc.run_many(it, &format!("classes of {kind} changed"), &lines.join("\n"));
        it.step(format!("class of {kind} that a filter is bound to"), || {
            tc.run("class del dev v0 classid 1:1")
        });
        it.step(format!("class of {kind} that is not there"), || {
            tc.run(&format!("class change dev v0 classid 1:77 {kind} {other}"))
        });
        it.step(format!("{kind} gone"), || tc.run("qdisc del dev v0 root"));
    }
    for (kind, class, other) in CLASSES {
        backlogged(it, tc, kind, class, other);
    }
    teql(it, tc);
}

/// What stands below a class while it is changed and deleted with packets in it, and with packets that wait in another class of
/// the same discipline for later.
const BELOW: [&str; 5] =
    ["teql0", "netem delay 40ms", "pfifo limit 2", "tbf rate 8kbit burst 2kb latency 2s", "prio"];

/// Two classes. Packets wait in the first one, and the second one goes through changes and gives up what it has.
fn backlogged(it: &mut Exercise, tc: &mut OpenTool, kind: &str, class: &str, other: &str) {
    let lines = format!(
        "qdisc add dev v0 root handle 1: {kind}\n\
         class add dev v0 parent 1: classid 1:1 {kind} {class}\n\
         class add dev v0 parent 1: classid 1:2 {kind} {class}\n\
         qdisc add dev v0 parent 1:1 handle 10: netem delay 60ms\n\
         filter add dev v0 parent 1: protocol ip prio 1 u32 match ip dport 9001 0xffff classid 1:1\n\
         filter add dev v0 parent 1: protocol ip prio 1 u32 match ip dport 9002 0xffff classid 1:2"
    );
    tc.run_many(it, &format!("two classes of {kind}"), &lines);
    for below in BELOW {
        // What it is put above may refuse it.
        let _ = tc.tell(&format!("qdisc replace dev v0 parent 1:2 handle 20: {below}"));
        send(&[9001, 9002, 9002]);
        let change = format!("class change dev v0 parent 1: classid 1:2 {kind} {other}");
        it.step(format!("{kind} with packets in it is changed, {below}"), || tc.run(&change));
        std::thread::sleep(WAITS);
        send(&[9002, 9001, 9002]);
        let _ = tc.tell("qdisc del dev v0 parent 1:2");
        let _ = tc.tell(&format!("class change dev v0 parent 1: classid 1:2 {kind} {class}"));
        std::thread::sleep(WAITS);
    }
    send(&[9001, 9002]);
    let _ = tc.tell("filter del dev v0 parent 1: prio 1");
    it.step(format!("a class of {kind} with packets in it goes"), || tc.run("class del dev v0 classid 1:2"));
    std::thread::sleep(WAITS);
    send(&[9001]);
    it.step(format!("{kind} goes with packets in it"), || tc.run("qdisc del dev v0 root"));
}

/// Until what waited is sent.
const WAITS: std::time::Duration = std::time::Duration::from_millis(80);

/// To ports that nobody listens on.
fn send(ports: &[u16]) {
    let Ok(socket) = std::net::UdpSocket::bind("0.0.0.0:0") else { return };
    for port in ports {
        let _ = socket.send_to(&[3; 300], ("10.0.0.2", *port));
    }
}

/// One device of several that share what is sent, each of which goes while packets are sent.
fn teql(it: &mut Exercise, tc: &mut OpenTool) {
    tc.run_many(it, "teql of two", "qdisc add dev v0 root teql0\nqdisc add dev w0 root teql0");
    let lines = "ip addr add 10.8.0.1/24 dev teql0\nip link set teql0 up\nip route add 10.8.1.0/24 dev teql0";
    run_many(it, "teql up", lines);
    for device in ["v0", "w0"] {
        for _ in 0..6 {
            let socket = std::net::UdpSocket::bind("0.0.0.0:0");
            let _ = socket.and_then(|socket| socket.send_to(&[1; 100], "10.8.1.1:9"));
        }
        it.step(format!("teql without {device}"), || tc.run(&format!("qdisc del dev {device} root")));
    }
    let _ = run("ip link set teql0 down");
}
