//! Netlink dumps of a network that has many of everything: read in small pieces and in large ones, narrowed down by
//! attributes, and left before their end.

use std::io;
use std::net::{TcpListener, UdpSocket};

use workloads::exercise::{self, Exercise};
use workloads::netlink::{DUMP, NetlinkMessage, Socket, device_index};
use workloads::places;
use workloads::tools::run_many;

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    fill(it);
    routing(it);
    xfrm(it);
    diagnosis(it);
    // The network goes with this process, with all that is still in it.
}

/// A line for each number.
fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (1..=count).map(|number| line(number) + "\n").collect()
}

/// More of each kind than one answer of a dump holds.
fn fill(it: &mut Exercise) {
    let mut links = lines(24, |n| format!("ip link add d{n} type dummy"));
    links += "ip link add br0 type bridge vlan_filtering 1 mcast_snooping 1\n";
    links += "ip link add v0 type veth peer name v1\n";
    links += "ip link add vx0 type vxlan id 7 dstport 4789 local 10.1.1.1\n";
    links += "ip link set lo up\nip link set br0 up\nip link set v0 up\nip link set v1 up\n";
    links += &lines(4, |n| format!("ip link set d{n} up"));
    links += &lines(6, |n| format!("ip link set d{} master br0 up", n + 10));
    links += &lines(6, |n| format!("ip link add link d1 name d1.{n} type vlan id {n}"));
    run_many(it, "links", &links);
    run_many(it, "addresses", &lines(120, |n| format!("ip addr add 10.1.{n}.1/24 dev d{}", n % 4 + 1)));
    let six = |n| format!("ip -6 addr add fd00:{n}::1/64 dev d{} nodad", n % 4 + 1);
    run_many(it, "addresses of IPv6", &lines(100, six));
    run_many(
        it,
        "neighbours",
        &lines(120, |n| format!("ip neigh add 10.1.1.{n} lladdr 02:0:0:0:0:{n:x} dev d2")),
    );
    run_many(
        it,
        "neighbours of IPv6",
        &lines(40, |n| format!("ip -6 neigh add fd00:1::{n:x} lladdr 02:0:0:0:1:{n:x} dev d2")),
    );
    run_many(
        it,
        "routes",
        &lines(200, |n| format!("ip route add 10.200.{n}.0/24 dev d1 table {}", 254 - n % 2)),
    );
    run_many(
        it,
        "routes of IPv6",
        &lines(100, |n| format!("ip -6 route add fd01:{n:x}::/64 dev d1 metric 7")),
    );
    run_many(
        it,
        "nexthops",
        &(lines(150, |n| format!("ip nexthop add id {n} dev d{}", n % 4 + 1))
            + "ip nexthop add id 900 group 1/2/3/4 type resilient buckets 128\n"
            + &lines(20, |n| format!("ip nexthop add id {} group {n}/{}", n + 400, n + 1))),
    );
    run_many(it, "routes by nexthops", &lines(30, |n| format!("ip route add 10.201.{n}.0/24 nhid {n}")));
    run_many(
        it,
        "rules",
        &lines(80, |n| format!("ip rule add from 10.1.{n}.0/24 lookup {} priority {}", n + 300, n + 100)),
    );
    run_many(
        it,
        "rules of IPv6",
        &lines(40, |n| format!("ip -6 rule add to fd00:{n}::/64 lookup 99 priority {}", n + 100)),
    );
    let mut control = "tc qdisc add dev d1 root handle 1: htb\ntc qdisc add dev d2 clsact\n".to_owned();
    control += &lines(60, |n| format!("tc class add dev d1 parent 1: classid 1:{n:x} htb rate 1mbit"));
    control +=
        &lines(40, |n| format!("tc qdisc add dev d1 parent 1:{n:x} handle {:x}: pfifo limit 4", n + 15));
    control += &lines(60, |n| {
        format!(
            "tc filter add dev d1 parent 1: protocol ip prio {n} u32 match ip dst 10.9.{n}.0/24 classid 1:1"
        )
    });
    control += &lines(40, |n| {
        format!(
            "tc filter add dev d2 ingress protocol ip prio 1 handle {n} flower dst_ip 10.9.{n}.1 action pass"
        )
    });
    control += &lines(70, |n| format!("tc actions add action gact drop index {n}"));
    run_many(it, "qdiscs, classes, filters, actions", &control);
    let mut bridge = lines(120, |n| format!("bridge fdb add 02:0:0:1:0:{n:x} dev d11 master static"));
    bridge += &lines(60, |n| format!("bridge fdb add 02:0:0:2:0:{n:x} dev vx0 dst 10.1.1.{n}"));
    bridge += &lines(50, |n| format!("bridge mdb add dev br0 port d12 grp 239.1.1.{n} permanent"));
    bridge += &lines(40, |n| format!("bridge vlan add dev d11 vid {}", n * 2));
    run_many(it, "bridge", &bridge);
    let state = |n| {
        format!(
            "ip xfrm state add src 10.1.1.1 dst 10.2.0.{n} proto esp spi {n} mode transport enc ecb(cipher_null) \"\""
        )
    };
    run_many(it, "xfrm states", &lines(60, state));
    let policy = |n| {
        format!("ip xfrm policy add src 10.1.1.1/32 dst 10.2.0.{n}/32 dir out tmpl proto esp mode transport")
    };
    run_many(it, "xfrm policies", &lines(60, policy));
}

/// Kinds whose RTM_GET is a dump, and the length of the family's structure.
const ROUTING: [(&str, u16, usize); 19] = [
    ("link", 18, 16),
    ("addr", 22, 8),
    ("route", 26, 12),
    ("neigh", 30, 12),
    ("rule", 34, 12),
    ("qdisc", 38, 20),
    ("class", 42, 20),
    ("filter", 46, 20),
    ("multicast", 58, 8),
    ("anycast", 62, 8),
    ("neightbl", 66, 4),
    ("addrlabel", 74, 12),
    ("netconf", 82, 4),
    ("mdb", 86, 8),
    ("stats", 94, 12),
    ("nexthop", 106, 8),
    ("vlan", 114, 8),
    ("nexthopbucket", 118, 8),
    ("chain", 102, 20),
];

/// Sizes of what is read with: less than a header, a page, more than the kernel makes at once.
const BUFFERS: [usize; 3] = [8, 4096, 65536];
const FAMILIES: [u8; 5] = [0, 2, 7, 10, 128];

fn routing(it: &mut Exercise) {
    let Some(socket) = it.step("route socket", || Socket::open(0)) else { return };
    let device = device_index("d1");
    for strict in [0, 1] {
        let _ = socket.option(libc::NETLINK_GET_STRICT_CHK, strict);
        for (name, kind, length) in ROUTING {
            for family in FAMILIES {
                let mut body = vec![0; length];
                body[0] = family;
                // struct tcmsg: what hangs on a device is asked for by device.
                if length == 20 {
                    body[4..8].copy_from_slice(&device.to_ne_bytes());
                }
                if name == "stats" {
                    body[8..12].copy_from_slice(&0x3f_u32.to_ne_bytes());
                }
                for message in narrowed(kind, &body, device).iter().filter(|_| strict == 1 && family != 7) {
                    let _ = socket.dump(message, 65536);
                }
                let whole = NetlinkMessage::new(kind, DUMP, &body);
                let dumps = || -> io::Result<Vec<_>> {
                    BUFFERS.iter().skip(1).map(|buffer| by(0, strict, &whole, *buffer)).collect()
                };
                if family == 0 {
                    it.step(format!("dump of {name}, strict {strict}"), dumps);
                } else {
                    let _ = it.untold(format!("dump of {name} {family}, strict {strict}"), dumps);
                }
                if strict == 0 {
                    left(&whole);
                }
            }
        }
    }
    actions(it, &socket);
}

/// On a socket of its own: the kernel remembers the largest buffer that one was read with.
fn by(protocol: i32, strict: u32, message: &NetlinkMessage, buffer: usize) -> io::Result<usize> {
    let socket = Socket::open(protocol)?;
    let _ = socket.option(libc::NETLINK_GET_STRICT_CHK, strict);
    socket.dump(message, buffer)
}

/// By a device, a table, a master, a kind, a protocol, a mask of what is to be in it: each message is refused or understood.
fn narrowed(kind: u16, body: &[u8], device: u32) -> Vec<NetlinkMessage> {
    let new = || NetlinkMessage::new(kind, DUMP, body);
    let mut all: Vec<_> = [1, 4, 8, 9, 10, 15, 29].iter().map(|one| new().number(*one, device)).collect();
    all.push(new().number(29, 0x7f));
    all.push(new().nest(18, |info| info.text(1, "dummy")));
    all.push(new().number(37, 0));
    all.push(new().attribute(9, &[0; 2]));
    all
}

/// A dump that ends before it is read, and one that begins while another is not at its end.
fn left(whole: &NetlinkMessage) {
    let Ok(socket) = Socket::open(0) else { return };
    let _ = socket.start(whole);
    let mut buffer = [0_u8; BUFFERS[0]];
    let _ = sys_read(&socket, &mut buffer);
    let _ = socket.start(whole);
    // With no place for an answer, a dump ends in an error that its reader sees later.
    let Ok(full) = Socket::open(0) else { return };
    let small = 1_u32;
    let _ =
        workloads::sys!(SYS_setsockopt, full.fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, &raw const small, 4);
    for _ in 0..3 {
        let _ = full.start(whole);
    }
}

fn sys_read(socket: &Socket, buffer: &mut [u8]) -> io::Result<i64> {
    workloads::sys!(SYS_recvfrom, socket.fd(), buffer.as_mut_ptr(), buffer.len(), libc::MSG_DONTWAIT, 0, 0)
}

/// TCA_ACT_TAB with the kind of the actions, and TCA_ROOT_FLAGS for more of them than 32.
fn actions(it: &mut Exercise, socket: &Socket) {
    for flags in [0_u64, 1, 2] {
        it.step(format!("dump of actions, flags {flags}"), || {
            let message = NetlinkMessage::new(50, DUMP, &[0; 4])
                .nest(1, |table| table.nest(1, |action| action.text(1, "gact")));
            let message = match flags {
                0 => message,
                // struct nla_bitfield32: value, selector.
                _ => message.attribute(2, &(flags | flags << 32).to_ne_bytes()),
            };
            socket.dump(&message, 65536)
        });
    }
}

fn xfrm(it: &mut Exercise) {
    let Some(socket) = it.step("xfrm socket", || Socket::open(6)) else { return };
    for (name, kind) in [("states", 18_u16), ("policies", 21)] {
        let whole = NetlinkMessage::new(kind, DUMP, &[]);
        for buffer in BUFFERS {
            it.step(format!("dump of {name} by {buffer}"), || match by(6, 0, &whole, buffer) {
                // Of that nothing is left but what was cut off.
                Err(error) if buffer < 16 && error.raw_os_error() == Some(libc::EAGAIN) => Ok(0),
                end => end,
            });
        }
        // XFRMA_PROTO, XFRMA_ADDRESS_FILTER, and one that is too short.
        let mut filter = [0_u8; 36];
        (filter[32], filter[34], filter[35]) = (2, 8, 8);
        filter[0] = 10;
        for message in [
            NetlinkMessage::new(kind, DUMP, &[]).attribute(25, &[50]),
            NetlinkMessage::new(kind, DUMP, &[]).attribute(26, &filter),
            NetlinkMessage::new(kind, DUMP, &[]).attribute(26, &filter[..3]),
        ] {
            it.step(format!("dump of some {name}"), || socket.dump(&message, 4096));
        }
        if let Ok(other) = Socket::open(6) {
            let _ = other.start(&whole);
            let _ = other.start(&whole);
        }
    }
}

fn diagnosis(it: &mut Exercise) {
    // Netlink sockets with groups, of several protocols: what a dump of them shows.
    let members: Vec<_> = [0, 0, 6, 12, 15, 16]
        .into_iter()
        .filter_map(|protocol| {
            let socket = Socket::open(protocol).ok()?;
            for group in [1, 3, 7, 33] {
                let _ = socket.option(libc::NETLINK_ADD_MEMBERSHIP, group);
            }
            Some(socket)
        })
        .collect();
    it.step(format!("{} sockets with groups", members.len()), || Ok(()));
    let listeners: Vec<_> = (0..60).filter_map(|_| TcpListener::bind("127.0.0.1:0").ok()).collect();
    let clients: Vec<_> = listeners
        .iter()
        .filter_map(|one| std::net::TcpStream::connect(one.local_addr().ok()?).ok())
        .collect();
    let datagrams: Vec<_> = (0..60).filter_map(|_| UdpSocket::bind("127.0.0.1:0").ok()).collect();
    it.step(format!("{} and {} sockets", clients.len(), datagrams.len()), || Ok(()));
    let Some(socket) = it.step("diag socket", || Socket::open(4)) else { return };
    for (name, protocol) in [("TCP", 6_u8), ("UDP", 17)] {
        let mut body = [0_u8; 56];
        (body[0], body[1], body[2]) = (2, protocol, 0xff);
        body[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
        let whole = NetlinkMessage::new(20, DUMP, &body);
        for buffer in BUFFERS.into_iter().skip(1) {
            it.step(format!("dump of {name} by {buffer}"), || by(4, 0, &whole, buffer));
        }
        // INET_DIAG_REQ_BYTECODE: source port at least 1, else jump beyond the end, which means no.
        let code = [2_u8, 8, 12, 0, 0, 0, 1, 0];
        it.step(format!("some of {name}"), || {
            socket.dump(&NetlinkMessage::new(20, DUMP, &body).attribute(1, &code), 4096)
        });
    }
    for family in [1_u8, 16, 17] {
        let mut body = [0xff_u8; 24];
        (body[0], body[1], body[2], body[3]) = (family, if family == 16 { 255 } else { 0 }, 0, 0);
        let length = if family == 1 { 24 } else { 20 };
        let whole = NetlinkMessage::new(20, DUMP, &body[..length]);
        it.step(format!("dump of family {family}"), || by(4, 0, &whole, 4096));
    }
    drop(members);
}
