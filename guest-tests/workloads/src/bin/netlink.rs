//! Netlink: a socket of each protocol, each dump that routing and socket diagnosis know; and messages that are none.

use std::io;

use workloads::exercise::{self, Exercise};
use workloads::netlink::{ACK, CREATE, DUMP, EXCL, NetlinkMessage, Socket};
use workloads::{places, sys};

const PROTOCOLS: [(&str, i32); 22] = [
    ("route", 0),
    ("unused", 1),
    ("usersock", 2),
    ("firewall", 3),
    ("sock_diag", 4),
    ("nflog", 5),
    ("xfrm", 6),
    ("selinux", 7),
    ("iscsi", 8),
    ("audit", 9),
    ("fib_lookup", 10),
    ("connector", 11),
    ("netfilter", 12),
    ("ip6_fw", 13),
    ("dnrtmsg", 14),
    ("kobject_uevent", 15),
    ("generic", 16),
    ("dm", 17),
    ("scsitransport", 18),
    ("ecryptfs", 19),
    ("rdma", 20),
    ("crypto", 21),
];

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own network", places::own_network);
    for (name, protocol) in PROTOCOLS {
        it.step(format!("socket {name}"), || a_socket(protocol));
    }
    it.step("socket of no protocol", || Socket::open(99));
    routing_dumps(it);
    diagnosis(it);
    it.step("fib_lookup", || {
        let mut request = [0_u8; 64];
        request[4..8].copy_from_slice(&[127, 0, 0, 1]);
        Socket::open(10)?.ask(&NetlinkMessage::new(0, 0, &request))
    });
}

/// What every netlink socket can do: groups, options, names, statistics, bad messages.
fn a_socket(protocol: i32) -> io::Result<()> {
    let socket = Socket::open(protocol)?;
    let _ = socket.bind(1);
    let other = Socket::open(protocol)?;
    let _ = other.bind(u32::MAX);
    for group in [1, 2, 5, 31, 33, 64, 100, 9999] {
        let _ = socket.option(libc::NETLINK_ADD_MEMBERSHIP, group);
    }
    for option in 1..=12 {
        let _ = socket.option(option, 1);
        let _ = socket.option(option, 0);
        let mut value = [0_u32; 8];
        let mut length = 32_u32;
        let _ =
            sys!(SYS_getsockopt, socket.fd(), libc::SOL_NETLINK, option, value.as_mut_ptr(), &raw mut length);
    }
    let mut name = [0_u32; 3];
    let mut length = 12_u32;
    sys!(SYS_getsockname, socket.fd(), name.as_mut_ptr(), &raw mut length)?;
    // To a peer that is not there, and to the kernel: too short, of a bad length, of a kind that there is not.
    let nobody = [u32::from(libc::AF_NETLINK as u16), 0x7fff_0000, 0];
    let _ = sys!(SYS_sendto, socket.fd(), name.as_ptr(), 12, libc::MSG_DONTWAIT, nobody.as_ptr(), 12);
    for bytes in [&[][..], &[1, 2, 3], &[255; 16], &[16; 16]] {
        let _ = socket.send(bytes);
    }
    let mut buffer = [0_u8; 64];
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK | libc::MSG_TRUNC;
    let _ = sys!(SYS_recvfrom, socket.fd(), buffer.as_mut_ptr(), buffer.len(), flags, 0, 0);
    for group in [1, 33, 9999] {
        let _ = socket.option(libc::NETLINK_DROP_MEMBERSHIP, group);
    }
    let _ = sys!(SYS_connect, socket.fd(), nobody.as_ptr(), 12);
    let _ = sys!(SYS_listen, socket.fd(), 1);
    let _ = sys!(SYS_shutdown, socket.fd(), 2);
    Ok(())
}

/// Kinds from include/uapi/linux/rtnetlink.h whose RTM_GET is a dump, and the length of the family's structure.
const ROUTING: [(&str, u16, usize); 24] = [
    ("link", 18, 16),
    ("addr", 22, 8),
    ("route", 26, 12),
    ("neigh", 30, 12),
    ("rule", 34, 12),
    ("qdisc", 38, 20),
    ("class", 42, 20),
    ("filter", 46, 20),
    ("action", 50, 4),
    ("multicast", 58, 8),
    ("anycast", 62, 8),
    ("neightbl", 66, 4),
    ("addrlabel", 74, 12),
    ("dcb", 78, 4),
    ("netconf", 82, 4),
    ("mdb", 86, 8),
    ("nsid", 90, 4),
    ("stats", 94, 12),
    ("chain", 102, 20),
    ("nexthop", 106, 8),
    ("linkprop", 110, 16),
    ("vlan", 114, 8),
    ("nexthopbucket", 118, 8),
    ("tunnel", 122, 8),
];

fn routing_dumps(it: &mut Exercise) {
    let Some(socket) = it.step("route socket", || Socket::open(0)) else { return };
    let _ = socket.option(libc::NETLINK_GET_STRICT_CHK, 1);
    for (name, kind, length) in ROUTING {
        for family in [0_u8, 2, 7, 10, 28, 127, 128, 129] {
            let mut body = vec![0; length];
            body[0] = family;
            let ask = || socket.ask(&NetlinkMessage::new(kind, DUMP, &body)).map(drop);
            // Each family has its own handler, but most of them end alike.
            if family == 0 {
                it.step(format!("dump {name}"), ask);
            } else {
                let _ = ask();
            }
        }
        // The kernel does not answer it.
        let _ = socket.send(&[17, 0, 0, 0, kind as u8, 0, 1, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        it.step(format!("get {name} of nothing"), || {
            socket.ask(&NetlinkMessage::new(kind, ACK, &vec![0; length]).number(3, 999_999))
        });
        it.step(format!("new {name} of nothing"), || {
            socket.ask(&NetlinkMessage::new(kind - 2, ACK | EXCL, &vec![0; length]))
        });
        it.step(format!("delete {name} of nothing"), || {
            socket.ask(&NetlinkMessage::new(kind - 1, ACK, &vec![0; length]))
        });
    }
    it.step("a dump that is not read", || {
        let socket = Socket::open(0)?;
        let mut bytes = vec![20, 0, 0, 0, 18, 0, 1, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        socket.send(&bytes)?;
        bytes[8] = 2;
        socket.send(&bytes)
    });
    link(it, &socket);
}

/// A dummy device by hand: with a name that is too long, one that is taken, a kind that there is not.
fn link(it: &mut Exercise, socket: &Socket) {
    const NEW: u16 = 16;
    let body = [0_u8; 16];
    let new = |name: &str, kind: &str| {
        NetlinkMessage::new(NEW, ACK | CREATE | EXCL, &body).text(3, name).nest(18, |info| info.text(1, kind))
    };
    it.step("new dummy", || socket.ask(&new("ppd0", "dummy")));
    it.step("new dummy of the same name", || socket.ask(&new("ppd0", "dummy")));
    it.step("new link of a long name", || socket.ask(&new("a-name-that-is-too-long", "dummy")));
    it.step("new link of no kind", || socket.ask(&new("ppd1", "no-such-kind")));
    it.step("new link with a bad name", || socket.ask(&new("a/b", "dummy")));
    it.step("alternative name", || {
        let message = NetlinkMessage::new(108, ACK | CREATE, &body).text(3, "ppd0");
        socket.ask(&message.nest(52, |list| list.text(53, "pp-other-name")))
    });
    it.step("delete it by that", || {
        socket.ask(&NetlinkMessage::new(17, ACK, &body).text(53, "pp-other-name"))
    });
    it.step("delete it again", || socket.ask(&NetlinkMessage::new(17, ACK, &body).text(3, "ppd0")));
    it.step("network namespace id", || {
        let namespace = std::fs::File::open("/proc/self/ns/net")?;
        let fd = u32::try_from(std::os::fd::AsRawFd::as_raw_fd(&namespace)).map_err(io::Error::other)?;
        let set = NetlinkMessage::new(88, ACK, &[0; 4]).number(1, 7).number(3, fd);
        socket.ask(&set)?;
        socket.ask(&NetlinkMessage::new(90, ACK, &[0; 4]).number(3, fd))
    });
}

fn diagnosis(it: &mut Exercise) {
    let Some(socket) = it.step("diag socket", || Socket::open(4)) else { return };
    const BY_FAMILY: u16 = 20;
    for family in [2_u8, 10] {
        // TCP, UDP, raw, ICMP, SCTP, UDP-Lite, MPTCP, DCCP.
        for protocol in [6_u8, 17, 255, 1, 132, 136, 6, 33] {
            for extensions in [0_u8, 0xff] {
                let mut body = [0_u8; 56];
                (body[0], body[1], body[2]) = (family, protocol, extensions);
                body[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
                it.step(format!("dump of family {family} protocol {protocol}"), || {
                    socket.ask(&NetlinkMessage::new(BY_FAMILY, DUMP, &body))
                });
            }
        }
        let mut body = [0_u8; 56];
        (body[0], body[1]) = (family, 6);
        body[8..12].copy_from_slice(&[1, 2, 3, 4]);
        it.step(format!("one of family {family}"), || {
            socket.ask(&NetlinkMessage::new(BY_FAMILY, ACK, &body))
        });
        it.step(format!("destroy one of family {family}"), || {
            socket.ask(&NetlinkMessage::new(21, ACK, &body))
        });
        // A filter of bytecode that jumps beyond its end.
        it.step(format!("filter of family {family}"), || {
            socket.ask(&NetlinkMessage::new(BY_FAMILY, DUMP, &body).attribute(1, &[0, 4, 255, 255]))
        });
    }
    // MPTCP has a number that only an attribute can hold.
    it.step("dump of MPTCP", || {
        let mut body = [0_u8; 56];
        (body[0], body[1]) = (2, 255);
        body[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
        socket.ask(&NetlinkMessage::new(BY_FAMILY, DUMP, &body).number(3, 262))
    });
    for (name, family, length) in [
        ("unix", 1_u8, 24),
        ("netlink", 16, 20),
        ("packet", 17, 20),
        ("vsock", 40, 20),
        ("xdp", 44, 20),
        ("tipc", 30, 8),
        ("smc", 43, 20),
    ] {
        let mut body = vec![0xff_u8; length];
        (body[0], body[1], body[2], body[3]) = (family, if family == 16 { 255 } else { 0 }, 0, 0);
        it.step(format!("dump of {name}"), || socket.ask(&NetlinkMessage::new(BY_FAMILY, DUMP, &body)));
        it.step(format!("one of {name}"), || socket.ask(&NetlinkMessage::new(BY_FAMILY, ACK, &body)));
        it.step(format!("short one of {name}"), || {
            socket.ask(&NetlinkMessage::new(BY_FAMILY, DUMP, &[family, 0]))
        });
    }
}
