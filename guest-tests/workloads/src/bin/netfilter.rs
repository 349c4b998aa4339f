//! Netfilter by its own messages: sets of each type, entries of connection tracking, queues and logs with packets in them,
//! accounts, timeouts, helpers.

use std::io;
use std::net::UdpSocket;

use workloads::exercise::{self, Exercise};
use workloads::netlink::{ACK, CREATE, DUMP, EXCL, NetlinkMessage, REPLACE, Socket};
use workloads::places;
use workloads::tools::{run, run_all};

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
    if let Some(socket) = it.step("socket", || Socket::open(12)) {
        sets(it, &socket);
        connections(it, &socket);
        queues(it, &socket);
        objects(it, &socket);
    }
    // The network goes with this process, with all that is still in it.
}

/// A message of a subsystem: family, version, resource.
fn of(subsystem: u16, message: u16, flags: u16, family: u8, resource: u16) -> NetlinkMessage {
    let resource = resource.to_be_bytes();
    NetlinkMessage::new(subsystem << 8 | message, flags, &[family, 0, resource[0], resource[1]])
}

fn big(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

/// NLA_F_NET_BYTEORDER.
const BIG: u16 = 0x4000;

const SETS: [&str; 16] = [
    "bitmap:ip",
    "bitmap:ip,mac",
    "bitmap:port",
    "hash:ip",
    "hash:ip,mac",
    "hash:ip,mark",
    "hash:ip,port",
    "hash:ip,port,ip",
    "hash:ip,port,net",
    "hash:mac",
    "hash:net",
    "hash:net,iface",
    "hash:net,net",
    "hash:net,port",
    "hash:net,port,net",
    "list:set",
];
const SET_REVISIONS: u8 = 8;
/// Elements of one set: enough for a hash to grow.
const ELEMENTS: u32 = 90;

/// The attributes of an element that its type has: others are refused.
fn element(
    kind: &'static str,
    number: u32,
    timeout: Option<u32>,
) -> impl FnOnce(NetlinkMessage) -> NetlinkMessage {
    move |mut data| {
        let mut is_second = false;
        for part in kind.split([':', ',']).skip(1) {
            data = match part {
                "ip" | "net" => {
                    let (address, prefix) = if is_second { (20, 21) } else { (1, 3) };
                    is_second = true;
                    let data = data.nest(address, |ip| ip.attribute(1 | BIG, &big(0x0a00_0000 + number)));
                    if part == "net" { data.attribute(prefix, &[32]) } else { data }
                }
                "port" => data.attribute(4 | BIG, &(number as u16).to_be_bytes()),
                "mac" => data.attribute(17, &[2, 0, 0, 0, 1, number as u8]),
                "mark" => data.attribute(10 | BIG, &big(number)),
                "iface" => data.text(23, "d0"),
                _ => data.text(18, "below"),
            };
        }
        if kind.starts_with("hash") && kind.contains("port") {
            data = data.attribute(7, &[17]);
        }
        match timeout {
            Some(seconds) => data.attribute(6 | BIG, &big(seconds)),
            None => data,
        }
    }
}

/// What a set of the type is made with.
fn sizes(kind: &str, data: NetlinkMessage, timeout: bool) -> NetlinkMessage {
    let address = |data: NetlinkMessage, at: u16, last: u32| {
        data.nest(at, |ip| ip.attribute(1 | BIG, &big(0x0a00_0000 + last)))
    };
    let data = match kind {
        "bitmap:port" => data.attribute(4 | BIG, &[0, 0]).attribute(5 | BIG, &[1, 0]),
        "list:set" => data.attribute(23 | BIG, &big(8)),
        _ if kind.starts_with("bitmap") => address(address(data, 1, 0), 2, 0xff),
        _ => data.attribute(18 | BIG, &big(64)).attribute(19 | BIG, &big(1000)),
    };
    if timeout { data.attribute(6 | BIG, &big(100)) } else { data }
}

fn sets(it: &mut Exercise, socket: &Socket) {
    let message =
        |command: u16, flags: u16, name: &str| of(6, command, flags, 2, 0).attribute(1, &[7]).text(2, name);
    it.step("sets: protocol", || socket.ask(&of(6, 1, ACK, 2, 0).attribute(1, &[7])));
    for kind in SETS {
        // CREATE, with a range and sizes; the newest revision that the kernel has.
        let create = |name: &str, revision: u8, timeout: bool| {
            let message = message(2, ACK | CREATE | EXCL, name).text(3, kind);
            let message = message.attribute(4, &[revision]).attribute(5, &[2]);
            message.nest(7, |data| sizes(kind, data, timeout))
        };
        let made =
            (0..SET_REVISIONS).rev().find(|revision| socket.ask(&create("pp", *revision, false)).is_ok());
        let Some(revision) = made else {
            it.fail(&format!("set {kind}"), &io::Error::from_raw_os_error(libc::ENOENT));
            continue;
        };
        it.step(format!("set {kind}, again"), || socket.ask(&create("pp", revision, false)));
        it.step(format!("set {kind}, with a timeout"), || socket.ask(&create("pp2", revision, true)));
        if kind == "list:set" {
            let _ = socket.ask(
                &of(6, 2, ACK | CREATE, 2, 0)
                    .attribute(1, &[7])
                    .text(2, "below")
                    .text(3, "hash:ip")
                    .attribute(4, &[0])
                    .attribute(5, &[2])
                    .nest(7, |data| data),
            );
            for command in [9, 9, 11, 10] {
                let _ = socket.ask(&message(command, ACK, "pp").nest(7, |data| data.text(18, "below")));
            }
        }
        let mut added = 0;
        for number in 0..ELEMENTS {
            let one = socket.ask(&message(9, ACK, "pp").nest(7, element(kind, number, None)));
            added += u32::from(one.is_ok());
            let _ = socket.ask(&message(9, ACK, "pp2").nest(7, element(kind, number, Some(50))));
        }
        it.step(format!("set {kind}: {added} elements"), || Ok(()));
        for (what, command) in
            [("added again", 9_u16), ("tested", 11), ("deleted", 10), ("deleted again", 10)]
        {
            it.step(format!("set {kind}: {what}"), || {
                socket.ask(&message(command, ACK | EXCL, "pp").nest(7, element(kind, 1, None)))
            });
        }
        // Several at once: a list of elements.
        let _ =
            socket.ask(&message(9, ACK, "pp").nest(8, |list| {
                (200..205).fold(list, |list, number| list.nest(7, element(kind, number, None)))
            }));
        it.step(format!("set {kind}: shown"), || socket.ask(&message(7, DUMP, "pp")));
        for command in [6, 5] {
            let _ = socket.ask(&message(command, ACK, "pp").text(3, "pp2"));
        }
        let _ = socket.ask(&message(12, ACK, "pp"));
        let _ = socket.ask(&message(4, ACK, "pp2"));
        it.step(format!("set {kind}: gone"), || socket.ask(&message(3, ACK, "pp")));
        let _ = socket.ask(&of(6, 3, ACK, 2, 0).attribute(1, &[7]));
    }
    it.step("sets: none of that name", || socket.ask(&message(3, ACK, "no-such-set")));
    it.step("sets: no such type", || {
        socket.ask(
            &message(2, ACK | CREATE, "pp")
                .text(3, "no:such")
                .attribute(4, &[0])
                .attribute(5, &[2])
                .nest(7, |data| data),
        )
    });
}

/// A tuple: addresses, and a protocol with its ports.
fn tuple(message: NetlinkMessage, kind: u16, reply: bool, protocol: u8, port: u16) -> NetlinkMessage {
    let (from, to) = if reply { (0x0a00_0009, 0x0a00_0001) } else { (0x0a00_0001, 0x0a00_0009) };
    message.nest(kind, |tuple| {
        tuple.nest(1, |ip| ip.attribute(1, &big(from)).attribute(2, &big(to))).nest(2, |proto| {
            let proto = proto.attribute(1, &[protocol]);
            match protocol {
                1 => proto
                    .attribute(4, &port.to_be_bytes())
                    .attribute(5, &[if reply { 0 } else { 8 }])
                    .attribute(6, &[0]),
                _ => proto.attribute(2, &port.to_be_bytes()).attribute(3, &port.to_be_bytes()),
            }
        })
    })
}

fn connections(it: &mut Exercise, socket: &Socket) {
    for (name, protocol) in [("TCP", 6_u8), ("UDP", 17), ("ICMP", 1), ("SCTP", 132), ("GRE", 47), ("99", 99)]
    {
        let entry = |command: u16, flags: u16, port: u16| {
            let message = tuple(of(1, command, flags, 2, 0), 1, false, protocol, port);
            let message = tuple(message, 2, true, protocol, port);
            let message = message.attribute(3, &big(0x8e)).attribute(7, &big(100)).attribute(8, &big(7));
            match protocol {
                6 => {
                    message.nest(4, |info| info.nest(1, |tcp| tcp.attribute(1, &[3]).attribute(4, &[10, 10])))
                }
                _ => message,
            }
        };
        it.step(format!("connection of {name}"), || socket.ask(&entry(0, ACK | CREATE | EXCL, 100)));
        it.step(format!("connection of {name}, again"), || socket.ask(&entry(0, ACK | CREATE | EXCL, 100)));
        it.step(format!("connection of {name}, changed"), || socket.ask(&entry(0, ACK | REPLACE, 100)));
        it.step(format!("connection of {name}, got"), || {
            socket.ask(&tuple(of(1, 1, ACK, 2, 0), 1, false, protocol, 100))
        });
        for port in 101..130 {
            // With a zone, labels, a helper, and a translation that is none.
            let more = entry(0, ACK | CREATE, port);
            let more = match port % 4 {
                0 => more.attribute(18, &5_u16.to_be_bytes()),
                1 => more.attribute(22, &[1; 16]),
                2 => more.nest(5, |help| help.text(1, "ftp")),
                _ => more.nest(6, |nat| nat.attribute(1, &big(0x0a00_0005)).attribute(2, &big(0x0a00_0006))),
            };
            let _ = socket.ask(&more);
        }
        // GET_CTRZERO, STATS_CPU, STATS, DYING, UNCONFIRMED; by a mark, by a family.
        for command in [1, 3, 4, 5, 6, 7] {
            let name = format!("connections, dump {command}");
            let dump = || socket.dump(&of(1, command, DUMP, 2, 0), 4096);
            if protocol == 6 {
                it.step(name, dump);
            } else {
                let _ = it.untold(name, dump);
            }
        }
        let _ = socket.dump(&of(1, 1, DUMP, 2, 0).attribute(8, &big(7)).attribute(21, &big(0xff)), 65536);
        let expectation = tuple(
            tuple(tuple(of(2, 0, ACK | CREATE, 2, 0), 1, false, protocol, 100), 2, false, protocol, 500),
            3,
            false,
            0xff,
            0xffff,
        );
        let expectation = expectation.attribute(4, &big(60));
        it.step(format!("expectation of {name}"), || socket.ask(&expectation));
        let _ = socket.dump(&of(2, 1, DUMP, 2, 0), 4096);
        let _ = socket.ask(&of(2, 2, ACK, 2, 0));
        it.step(format!("connection of {name}, gone"), || {
            socket.ask(&tuple(of(1, 2, ACK, 2, 0), 1, false, protocol, 100))
        });
        it.step(format!("connection of {name}, gone again"), || {
            socket.ask(&tuple(of(1, 2, ACK, 2, 0), 1, false, protocol, 100))
        });
    }
    it.step("connections with a mark, gone", || {
        socket.ask(&of(1, 2, ACK, 2, 0).attribute(8, &big(7)).attribute(21, &big(7)))
    });
    it.step("all connections, gone", || socket.ask(&of(1, 2, ACK, 0, 0)));
}

/// Packets that wait for an answer, which are let go, dropped, and left behind.
fn queues(it: &mut Exercise, socket: &Socket) {
    // NFQNL_CFG_CMD_BIND and UNBIND, NFQNL_MSG_CONFIG.
    let command = |number: u16, command: u8| of(3, 2, ACK, 0, number).attribute(1, &[command, 0, 0, 2]);
    it.step("queue", || socket.ask(&command(3, 1)));
    it.step("queue, taken", || Socket::open(12)?.ask(&command(3, 1)));
    it.step("queue, parameters", || {
        socket.ask(&of(3, 2, ACK, 0, 3).attribute(2, &[0, 0, 0xff, 0xff, 2]).attribute(3 | BIG, &big(10)))
    });
    it.step("queue, flags", || {
        socket.ask(&of(3, 2, ACK, 0, 3).attribute(5, &big(0x1f)).attribute(4, &big(0x1d)))
    });
    // NFULNL_MSG_CONFIG: bind, copy packets, a threshold.
    let log = Socket::open(12);
    if let Ok(log) = &log {
        it.step("log", || log.ask(&of(4, 1, ACK, 0, 2).attribute(1, &[1])));
        it.step("log, mode", || {
            log.ask(
                &of(4, 1, ACK, 0, 2)
                    .attribute(2, &[0, 0, 0xff, 0xff, 2, 0])
                    .attribute(5, &big(1))
                    .attribute(6, &[0, 3]),
            )
        });
        it.step("log of a family", || log.ask(&of(4, 1, ACK, 2, 0).attribute(1, &[3])));
    }
    let rules = "table ip q { chain c { type filter hook output priority 0; udp dport 9 queue to 3; udp dport 10 log group 2 snaplen 32; }\n}\n";
    if std::fs::write("/tmp/queue.nft", rules).and_then(|()| run("nft -f /tmp/queue.nft")).is_ok() {
        let sender = UdpSocket::bind("10.0.0.1:0");
        if let Ok(sender) = &sender {
            for _ in 0..6 {
                let _ = sender.send_to(&[7; 900], "10.0.0.9:9");
                let _ = sender.send_to(&[7; 900], "10.0.0.9:10");
            }
        }
        // NFQNL_MSG_VERDICT of each, with another packet and a mark; NFQNL_MSG_VERDICT_BATCH.
        for (number, verdict) in [(1_u32, 1_u32), (2, 0), (3, 4), (4, 77), (99, 1)] {
            let mut header = big(verdict).to_vec();
            header.extend_from_slice(&big(number));
            it.step(format!("verdict {verdict} about {number}"), || {
                socket.ask(&of(3, 1, ACK, 2, 3).attribute(2, &header).attribute(3, &big(5)))
            });
        }
        let mut header = big(1).to_vec();
        header.extend_from_slice(&big(5));
        it.step("verdicts at once", || socket.ask(&of(3, 3, ACK, 2, 3).attribute(2, &header)));
    }
    let _ = std::fs::remove_file("/tmp/queue.nft");
    let _ = std::fs::read("/proc/net/netfilter/nfnetlink_queue");
    let _ = std::fs::read("/proc/net/netfilter/nfnetlink_log");
    if let Ok(log) = &log {
        it.step("no log", || log.ask(&of(4, 1, ACK, 0, 2).attribute(1, &[2])));
    }
    it.step("no queue", || socket.ask(&command(3, 2)));
    it.step("no queue again", || socket.ask(&command(3, 2)));
    run_all(it, "nft flush ruleset");
}

/// Accounts, timeouts and helpers: made, made again, shown, deleted, deleted again.
fn objects(it: &mut Exercise, socket: &Socket) {
    let account = |command, flags| of(7, command, flags, 0, 0).text(1, "pp");
    let timeout = |command, flags| {
        let message = of(8, command, flags, 0, 0).text(1, "pp").attribute(2, &[0, 2]).attribute(3, &[6]);
        message.nest(4, |data| (1..8).fold(data, |data, state| data.attribute(state, &big(10))))
    };
    let helper = |command, flags| {
        let message = of(9, command, flags, 0, 0).text(1, "pp");
        let message =
            message.nest(2, |tuple| tuple.attribute(1, &[0, 2]).attribute(2, &[17])).attribute(3, &big(3));
        let message = message.nest(4, |policy| {
            policy
                .attribute(1, &big(1))
                .nest(2, |set| set.text(1, "one").attribute(2, &big(4)).attribute(3, &big(60)))
        });
        message.attribute(5, &big(16)).attribute(6, &big(1))
    };
    object(it, socket, "account", (7, 3), &account);
    object(it, socket, "timeout", (8, 2), &timeout);
    object(it, socket, "helper", (9, 2), &helper);
    it.step("account with a quota", || {
        socket.ask(&account(0, ACK | CREATE).attribute(5, &big(1)).attribute(6, &1000_u64.to_be_bytes()))
    });
    let _ = socket.ask(&account(2, ACK));
    it.step("no account", || socket.ask(&of(7, 3, ACK, 0, 0)));
    for command in [3, 4] {
        let _ = socket.ask(&timeout(command, ACK));
    }
}

/// By its subsystem and the message that deletes it.
fn object(
    it: &mut Exercise,
    socket: &Socket,
    name: &str,
    (subsystem, delete): (u16, u16),
    message: &dyn Fn(u16, u16) -> NetlinkMessage,
) {
    it.step(name, || socket.ask(&message(0, ACK | CREATE)));
    it.step(format!("{name}, again"), || socket.ask(&message(0, ACK | CREATE | EXCL)));
    it.step(format!("{name}, replaced"), || socket.ask(&message(0, ACK | CREATE | REPLACE)));
    it.step(format!("{name}, got"), || socket.ask(&message(1, ACK)));
    let _ = socket.dump(&of(subsystem, 1, DUMP, 0, 0), 4096);
    it.step(format!("{name}, gone"), || socket.ask(&message(delete, ACK)));
    it.step(format!("{name}, gone again"), || socket.ask(&message(delete, ACK)));
}
