//! Sockets of every family, type and protocol: made, bound, connected, written to, read, asked and told each option of each
//! level, shut down; urgent data and its signals; and what each of these refuses.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use workloads::exercise::{self, Exercise};
use workloads::sys::{Impatience, descriptor, in_child, wrong};
use workloads::{places, sys, tools};

const LIMIT: Duration = Duration::from_secs(15);

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own network", places::own_network);
    it.step("loopback up", loopback_up);
    families(it);
    for (name, family) in [("inet", libc::AF_INET), ("inet6", libc::AF_INET6)] {
        for (kind, protocol) in [("tcp", 0), ("mptcp", 262), ("smc", 256)] {
            it.step(format!("{kind} over {name}"), || stream(family, protocol));
            it.step(format!("urgent data of {kind} over {name}"), || urgent(family, protocol));
        }
        it.step(format!("udp over {name}"), || datagram(family, libc::SOCK_DGRAM, 0));
        it.step(format!("udplite over {name}"), || datagram(family, libc::SOCK_DGRAM, 136));
        it.step(format!("raw over {name}"), || datagram(family, libc::SOCK_RAW, 254));
        it.step(format!("icmp over {name}"), || {
            datagram(family, libc::SOCK_DGRAM, if family == libc::AF_INET { 1 } else { 58 })
        });
        it.step(format!("refused over {name}"), || refused(family));
        it.step(format!("multicast over {name}"), || multicast(family));
    }
    for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        it.step(format!("unix pair of type {kind}"), || unix_pair(kind));
        it.step(format!("unix by name of type {kind}"), || unix_named(kind));
    }
    it.step("vsock", vsock);
    it.step("packet", packet);
    it.step("algorithms", algorithms);
    it.step("kcm", kcm);
    it.step("can", can);
    it.step("xdp", xdp);
    it.step("many messages at once", many);
    it.step("splice, sendfile and zero copy", zero_copy);
    it.step("filters", filters);
    it.step("accept that waits", accept_that_waits);
    it.step("sctp", || stream_of(libc::AF_INET, libc::SOCK_STREAM, 132));
    it.step("tipc", || pair_of(30, libc::SOCK_STREAM));
    it.step("proc of all that", || {
        for file in [
            "tcp",
            "tcp6",
            "udp",
            "raw",
            "unix",
            "packet",
            "netlink",
            "sockstat",
            "snmp",
            "netstat",
            "protocols",
        ] {
            std::fs::read(format!("/proc/net/{file}"))?;
        }
        Ok(())
    });
    let _ = tools::run("ss -a -n -e -m -i");
}

fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    descriptor(sys!(SYS_socket, family, kind | libc::SOCK_CLOEXEC, protocol))
}

fn loopback_up() -> io::Result<()> {
    let control = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut request = [0_u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16] = libc::IFF_UP as u8;
    sys!(SYS_ioctl, control.as_raw_fd(), libc::SIOCSIFFLAGS, request.as_mut_ptr()).map(drop)
}

/// Every family with every type: what there is gets a name, options, requests, and is closed.
fn families(it: &mut Exercise) {
    for family in 0..48 {
        let mut made = 0;
        it.step(format!("family {family}"), || {
            in_child(LIMIT, || {
                let mut last = Ok(());
                for kind in 1..=6 {
                    for protocol in [0, 1, 2, 3, 5, 6, 17, 29, 58, 132, 255] {
                        match socket(family, kind | libc::SOCK_NONBLOCK, protocol) {
                            Ok(socket) => {
                                // Of a type, protocols differ little in what is asked here.
                                if made & 1 << kind == 0 {
                                    prod(&socket, family);
                                }
                                made |= 1 << kind;
                            }
                            // None of its types is there.
                            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
                                return Err(error);
                            }
                            Err(error) => last = Err(error),
                        }
                    }
                }
                if made == 0 { last } else { Ok(()) }
            })
        });
    }
    it.step("a type that there is not", || socket(libc::AF_INET, 9, 0));
    it.step("flags that there are not", || socket(libc::AF_INET, libc::SOCK_STREAM | 0x10_0000, 0));
}

const LEVELS: [i32; 14] = [1, 0, 6, 17, 41, 58, 132, 255, 256, 263, 270, 279, 280, 284];

/// Nothing here depends on what kind of socket it is.
fn prod(socket: &OwnedFd, family: i32) {
    let fd = socket.as_raw_fd();
    let _impatience = Impatience::after(Duration::from_millis(50));
    let mut name = [0_u8; 128];
    let mut length = 128_u32;
    let _ = sys!(SYS_getsockname, fd, name.as_mut_ptr(), &raw mut length);
    length = 128;
    let _ = sys!(SYS_getpeername, fd, name.as_mut_ptr(), &raw mut length);
    for level in LEVELS {
        let mut refused = 0;
        for option in 1..80 {
            let mut value = [0_u8; 256];
            let mut length = 4_u32;
            match sys!(SYS_getsockopt, fd, level, option, value.as_mut_ptr(), &raw mut length) {
                Ok(_) => {
                    length = 256;
                    let _ = sys!(SYS_getsockopt, fd, level, option, value.as_mut_ptr(), &raw mut length);
                    refused = 0;
                }
                // A level that it has not, or the end of one.
                Err(_) if refused == 8 => break,
                Err(_) => refused += 1,
            }
        }
    }
    let mut address = [0_u8; 128];
    address[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    for length in [0, 2, 16, 28, 110] {
        let _ = sys!(SYS_bind, fd, address.as_ptr(), length);
        let _ = sys!(SYS_connect, fd, address.as_ptr(), length);
    }
    address[0] = 0xee;
    let _ = sys!(SYS_bind, fd, address.as_ptr(), 16);
    let _ = sys!(SYS_listen, fd, 1);
    let _ = sys!(SYS_accept4, fd, 0, 0, libc::SOCK_NONBLOCK);
    let _ = sys!(SYS_sendto, fd, name.as_ptr(), 8, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL, 0, 0);
    let _ = sys!(SYS_recvfrom, fd, name.as_mut_ptr(), 8, libc::MSG_DONTWAIT, 0, 0);
    // FIONREAD, TIOCOUTQ, SIOCATMARK, SIOCGSTAMP, SIOCGIFNAME, SIOCGIFCONF, SIOCGIFFLAGS, SIOCGIFINDEX, SIOCGARP, none.
    for request in [0x541b, 0x5411, 0x8905, 0x8906, 0x8910, 0x8912, 0x8913, 0x8933, 0x8954, 0x89e0, 0x89ff] {
        let mut value = [0_u8; 256];
        let _ = sys!(SYS_ioctl, fd, request, value.as_mut_ptr());
    }
    let poll = libc::pollfd { fd, events: 0x7f, revents: 0 };
    let _ = sys::poll(&mut [poll], 0);
    let _ = sys!(SYS_shutdown, fd, libc::SHUT_RDWR);
    let _ = sys!(SYS_shutdown, fd, 9);
}

/// Loopback with this port, in the order of the network.
fn address(family: i32, port: u16) -> Vec<u8> {
    let mut address = (family as u16).to_ne_bytes().to_vec();
    address.extend_from_slice(&port.to_be_bytes());
    match family == libc::AF_INET {
        true => address.extend_from_slice(&[127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        false => {
            address.extend_from_slice(&[0; 19]);
            address.extend_from_slice(&[1, 0, 0, 0, 0]);
        }
    }
    address
}

fn bind(socket: &OwnedFd, address: &[u8]) -> io::Result<()> {
    sys!(SYS_bind, socket.as_raw_fd(), address.as_ptr(), address.len()).map(drop)
}

fn connect(socket: &OwnedFd, address: &[u8]) -> io::Result<()> {
    sys!(SYS_connect, socket.as_raw_fd(), address.as_ptr(), address.len()).map(drop)
}

fn name_of(socket: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut name = vec![0_u8; 128];
    let mut length = 128_u32;
    sys!(SYS_getsockname, socket.as_raw_fd(), name.as_mut_ptr(), &raw mut length)?;
    name.truncate(length as usize);
    Ok(name)
}

fn send(socket: &OwnedFd, bytes: &[u8], flags: i32) -> io::Result<i64> {
    sys!(SYS_sendto, socket.as_raw_fd(), bytes.as_ptr(), bytes.len(), flags | libc::MSG_NOSIGNAL, 0, 0)
}

fn receive(socket: &OwnedFd, flags: i32) -> io::Result<i64> {
    let mut buffer = [0_u8; 4096];
    sys!(SYS_recvfrom, socket.as_raw_fd(), buffer.as_mut_ptr(), buffer.len(), flags, 0, 0)
}

fn set(socket: &OwnedFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    sys!(SYS_setsockopt, socket.as_raw_fd(), level, option, &raw const value, 4).map(drop)
}

/// Each option of the level with a few values: most refuse some.
fn set_all(socket: &OwnedFd, level: i32) {
    for option in 1..60 {
        // SO_ATTACH_REUSEPORT_*, SO_BINDTODEVICE and SO_BUSY_POLL read pointers or wait.
        for value in [1, 0, -1] {
            let _ = set(socket, level, option, value);
        }
        let value = [0_u8; 64];
        let _ = sys!(SYS_setsockopt, socket.as_raw_fd(), level, option, value.as_ptr(), 64);
        let _ = sys!(SYS_setsockopt, socket.as_raw_fd(), level, option, value.as_ptr(), 0);
    }
}

struct Connection {
    server: OwnedFd,
    client: OwnedFd,
}

fn connection(family: i32, kind: i32, protocol: i32) -> io::Result<Connection> {
    let listener = socket(family, kind, protocol)?;
    set(&listener, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    bind(&listener, &address(family, 0))?;
    sys!(SYS_listen, listener.as_raw_fd(), 4)?;
    let client = socket(family, kind, protocol)?;
    let _impatience = Impatience::after(Duration::from_millis(900));
    connect(&client, &name_of(&listener)?)?;
    let server = descriptor(sys!(SYS_accept4, listener.as_raw_fd(), 0, 0, libc::SOCK_CLOEXEC))?;
    Ok(Connection { server, client })
}

fn stream(family: i32, protocol: i32) -> io::Result<()> {
    stream_of(family, libc::SOCK_STREAM, protocol)?;
    // A second one with its options tried out, which may break it.
    let Connection { server, client } = connection(family, libc::SOCK_STREAM, protocol)?;
    for level in [libc::SOL_SOCKET, libc::IPPROTO_TCP, libc::IPPROTO_IP, libc::IPPROTO_IPV6, 284] {
        set_all(&client, level);
        prod(&server, family);
    }
    let _ = send(&client, &[1; 100], libc::MSG_DONTWAIT);
    // Closed with data that was not read, and reset by a linger of 0.
    let linger = [1_i32, 0];
    let _ = sys!(SYS_setsockopt, server.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, linger.as_ptr(), 8);
    drop(server);
    let _ = receive(&client, libc::MSG_DONTWAIT);
    Ok(())
}

fn stream_of(family: i32, kind: i32, protocol: i32) -> io::Result<()> {
    let Connection { server, client } = connection(family, kind, protocol)?;
    let _impatience = Impatience::after(Duration::from_millis(900));
    send(&client, &[7; 3000], 0)?;
    receive(&server, libc::MSG_PEEK)?;
    receive(&server, 0)?;
    for _ in 0..20 {
        send(&server, &[8; 4000], libc::MSG_MORE)?;
        receive(&client, libc::MSG_DONTWAIT).or_else(|error| match error.raw_os_error() {
            Some(libc::EAGAIN) => Ok(0),
            _ => Err(error),
        })?;
    }
    sys!(SYS_shutdown, client.as_raw_fd(), libc::SHUT_WR)?;
    let _ = receive(&server, libc::MSG_DONTWAIT);
    let _ = send(&client, &[1], 0);
    Ok(())
}

/// SIGIO and SIGURG to a process and to a group, and the mark in the stream.
fn urgent(family: i32, protocol: i32) -> io::Result<()> {
    in_child(LIMIT, || {
        // Signals that no handler waits for end a process.
        for signal in [libc::SIGURG, libc::SIGIO, libc::SIGUSR1] {
            // SAFETY: the signal is to be passed over.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
        let Connection { server, client } = connection(family, libc::SOCK_STREAM, protocol)?;
        // SAFETY: numbers only.
        let own = unsafe {
            libc::setpgid(0, 0);
            libc::getpid()
        };
        let owner = |owner: i32| sys!(SYS_fcntl, server.as_raw_fd(), libc::F_SETOWN, owner);
        for target in [own, -own] {
            owner(target)?;
            // A group is a negative number, which looks like an error.
            let _ = sys!(SYS_fcntl, server.as_raw_fd(), libc::F_GETOWN);
            sys!(SYS_fcntl, server.as_raw_fd(), libc::F_SETFL, libc::O_ASYNC)?;
            send(&client, &[1, 2, 3], libc::MSG_OOB)?;
            send(&client, &[4], 0)?;
            std::thread::sleep(Duration::from_millis(5));
            let mut mark = 0_i32;
            sys!(SYS_ioctl, server.as_raw_fd(), 0x8905, &raw mut mark)?;
            let _ = receive(&server, libc::MSG_OOB | libc::MSG_DONTWAIT);
            let _ = receive(&server, libc::MSG_DONTWAIT);
            sys!(SYS_fcntl, server.as_raw_fd(), 10, libc::SIGUSR1)?;
        }
        // F_SETOWN_EX of a thread, of nothing; numbers that are no process.
        for (kind, id) in [(0_i32, own), (1, own), (2, own), (3, own), (1, 999_999)] {
            let value = [kind, id];
            let _ = sys!(SYS_fcntl, server.as_raw_fd(), 15, value.as_ptr());
            let _ = sys!(SYS_fcntl, server.as_raw_fd(), 16, value.as_ptr());
        }
        let _ = owner(i32::MIN);
        let _ = owner(999_999);
        let _ = sys!(SYS_fcntl, server.as_raw_fd(), 10, 999);
        set(&server, libc::SOL_SOCKET, libc::SO_OOBINLINE, 1)?;
        send(&client, &[1, 2], libc::MSG_OOB)?;
        let _ = receive(&server, libc::MSG_DONTWAIT);
        Ok(())
    })
}

fn datagram(family: i32, kind: i32, protocol: i32) -> io::Result<()> {
    let (one, other) = (socket(family, kind, protocol)?, socket(family, kind, protocol)?);
    bind(&one, &address(family, if protocol == 1 || protocol == 58 { 99 } else { 0 }))?;
    let to = name_of(&one)?;
    for level in [libc::SOL_SOCKET, libc::IPPROTO_IP, libc::IPPROTO_IPV6, 17, 255] {
        let tried = socket(family, kind, protocol)?;
        set_all(&tried, level);
    }
    // ICMP echo requests: other bytes are refused.
    let echo = if family == libc::AF_INET { 8 } else { 128 };
    let bytes = [echo, 0, 0, 0, 0, 99, 0, 1, 1, 2, 3, 4];
    sys!(SYS_sendto, other.as_raw_fd(), bytes.as_ptr(), bytes.len(), 0, to.as_ptr(), to.len())?;
    std::thread::sleep(Duration::from_millis(2));
    let _ = receive(&one, libc::MSG_DONTWAIT | libc::MSG_TRUNC);
    connect(&other, &to)?;
    let _ = send(&other, &[echo, 0, 0, 0, 0, 0, 0, 0], libc::MSG_CONFIRM);
    // Too long, and in pieces.
    let _ = send(&other, &vec![0; 70_000], 0);
    let _ = send(&other, &vec![echo; 20_000], 0);
    let _ = receive(&one, libc::MSG_DONTWAIT);
    let none = [0_u8; 16];
    sys!(SYS_connect, other.as_raw_fd(), none.as_ptr(), 16)?;
    let _ = receive(&other, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT);
    Ok(())
}

/// Of a port where nothing listens.
fn refused(family: i32) -> io::Result<()> {
    let client = socket(family, libc::SOCK_STREAM, 0)?;
    match connect(&client, &address(family, 9)) {
        Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED) => {}
        other => return other.and(wrong("connected")),
    }
    let udp = socket(family, libc::SOCK_DGRAM, 0)?;
    // IP_RECVERR, IPV6_RECVERR.
    let (level, option) = if family == libc::AF_INET { (0, 11) } else { (41, 25) };
    set(&udp, level, option, 1)?;
    connect(&udp, &address(family, 9))?;
    send(&udp, &[1], 0)?;
    std::thread::sleep(Duration::from_millis(2));
    let _ = send(&udp, &[1], 0);
    let _ = receive(&udp, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT);
    let taken = socket(family, libc::SOCK_STREAM, 0)?;
    bind(&taken, &address(family, 4000))?;
    match bind(&socket(family, libc::SOCK_STREAM, 0)?, &address(family, 4000)) {
        Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => Ok(()),
        other => other.and(wrong("bound twice")),
    }
}

fn multicast(family: i32) -> io::Result<()> {
    let socket = socket(family, libc::SOCK_DGRAM, 0)?;
    let fd = socket.as_raw_fd();
    if family == libc::AF_INET {
        let request = [224_u8, 0, 0, 77, 127, 0, 0, 1, 0, 0, 0, 0];
        for option in [35, 35, 36, 36, 32] {
            let _ = sys!(SYS_setsockopt, fd, 0, option, request.as_ptr(), 12);
        }
        let sourced = [224_u8, 0, 0, 78, 127, 0, 0, 1, 127, 0, 0, 2];
        for option in [39, 38, 37, 40, 41] {
            let _ = sys!(SYS_setsockopt, fd, 0, option, sourced.as_ptr(), 12);
        }
    } else {
        let mut request = [0_u8; 20];
        (request[0], request[1], request[15], request[16]) = (0xff, 0x01, 0x77, 1);
        for option in [20, 20, 21, 21, 27, 27, 28] {
            let _ = sys!(SYS_setsockopt, fd, 41, option, request.as_ptr(), 20);
        }
    }
    // MCAST_JOIN_GROUP and the like: struct group_source_req.
    let mut group = [0_u8; 264];
    group[0] = 1;
    let to = address(family, 0);
    group[8..8 + to.len()].copy_from_slice(&to);
    group[136..136 + to.len()].copy_from_slice(&to);
    for option in 42..49 {
        let level = if family == libc::AF_INET { 0 } else { 41 };
        let _ = sys!(SYS_setsockopt, fd, level, option, group.as_ptr(), 264);
        let _ = sys!(SYS_setsockopt, fd, level, option, group.as_ptr(), 136);
    }
    Ok(())
}

fn pair(kind: i32) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0_i32; 2];
    sys!(SYS_socketpair, libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, ends.as_mut_ptr())?;
    Ok((descriptor(Ok(ends[0].into()))?, descriptor(Ok(ends[1].into()))?))
}

fn pair_of(family: i32, kind: i32) -> io::Result<()> {
    let mut ends = [0_i32; 2];
    sys!(SYS_socketpair, family, kind | libc::SOCK_CLOEXEC, 0, ends.as_mut_ptr())?;
    let ends = (descriptor(Ok(ends[0].into()))?, descriptor(Ok(ends[1].into()))?);
    send(&ends.0, &[1; 100], 0)?;
    receive(&ends.1, libc::MSG_DONTWAIT).map(drop)
}

/// With credentials, descriptors, itself in flight (which only the garbage collector gets back), and urgent data.
fn unix_pair(kind: i32) -> io::Result<()> {
    let (one, other) = pair(kind)?;
    set_all(&one, libc::SOL_SOCKET);
    let (one, other) = pair(kind).unwrap_or((one, other));
    set(&other, libc::SOL_SOCKET, libc::SO_PASSCRED, 1)?;
    send(&one, b"hello", 0)?;
    for descriptors in [vec![0, 1, 2], vec![one.as_raw_fd()], vec![other.as_raw_fd()], vec![-1], vec![0; 300]]
    {
        let _ = send_descriptors(&one, &descriptors);
    }
    let _ = send(&one, &[1], libc::MSG_OOB);
    let mut mark = 0_i32;
    let _ = sys!(SYS_ioctl, other.as_raw_fd(), 0x8905, &raw mut mark);
    // SIOCINQ, SIOCOUTQ, SIOCUNIXFILE.
    for request in [0x541b, 0x5411, 0x89e0] {
        let _ = sys!(SYS_ioctl, other.as_raw_fd(), request, &raw mut mark);
    }
    receive_descriptors(&other)?;
    let _ = receive(&other, libc::MSG_OOB | libc::MSG_DONTWAIT);
    let _ = receive(&other, libc::MSG_PEEK | libc::MSG_DONTWAIT);
    sys!(SYS_shutdown, one.as_raw_fd(), libc::SHUT_WR)?;
    drop(one);
    let _ = send(&other, &[1], 0);
    let _ = receive(&other, libc::MSG_DONTWAIT);
    Ok(())
}

fn send_descriptors(socket: &OwnedFd, descriptors: &[i32]) -> io::Result<i64> {
    let mut byte = 1_u8;
    let data = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let length = 16 + size_of_val(descriptors);
    let mut control = vec![0_u64; length.div_ceil(8)];
    control[0] = length as u64;
    control[1] = u64::from(libc::SCM_RIGHTS as u32) << 32 | u64::from(libc::SOL_SOCKET as u32);
    for (index, descriptor) in descriptors.iter().enumerate() {
        control[2 + index / 2] |= u64::from(*descriptor as u32) << (32 * (index % 2));
    }
    let message = [0_usize, 0, (&raw const data) as usize, 1, control.as_mut_ptr() as usize, length, 0];
    sys!(SYS_sendmsg, socket.as_raw_fd(), message.as_ptr(), libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
}

fn receive_descriptors(socket: &OwnedFd) -> io::Result<()> {
    let mut buffer = [0_u8; 64];
    let data = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: 64 };
    let mut control = [0_u64; 64];
    for _ in 0..3 {
        let mut message = [
            0_usize,
            0,
            (&raw const data) as usize,
            1,
            control.as_mut_ptr() as usize,
            size_of_val(&control),
            0,
        ];
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        match sys!(SYS_recvmsg, socket.as_raw_fd(), message.as_mut_ptr(), flags) {
            Err(error) if error.raw_os_error() != Some(libc::EAGAIN) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn unix_named(kind: i32) -> io::Result<()> {
    let named = |name: &[u8]| [&1_u16.to_ne_bytes(), name].concat();
    for name in [b"/tmp/pp-socket\0".as_slice(), b"\0pp-abstract"] {
        let server = socket(libc::AF_UNIX, kind, 0)?;
        bind(&server, &named(name))?;
        let again = bind(&socket(libc::AF_UNIX, kind, 0)?, &named(name));
        if again.is_ok() {
            return wrong("bound twice");
        }
        let client = socket(libc::AF_UNIX, kind | libc::SOCK_NONBLOCK, 0)?;
        if kind == libc::SOCK_DGRAM {
            connect(&client, &named(name))?;
            send(&client, b"x", 0)?;
            receive(&server, 0)?;
        } else {
            let early = connect(&client, &named(name));
            sys!(SYS_listen, server.as_raw_fd(), 1)?;
            connect(&client, &named(name))?;
            send(&client, b"x", 0)?;
            let accepted = descriptor(sys!(SYS_accept4, server.as_raw_fd(), 0, 0, 0))?;
            receive(&accepted, 0)?;
            if early.is_ok() {
                return wrong("connected before it listened");
            }
            // One that is never accepted.
            let waits = socket(libc::AF_UNIX, kind | libc::SOCK_NONBLOCK, 0)?;
            connect(&waits, &named(name))?;
            let mut credentials = [0_u32; 3];
            let mut length = 12_u32;
            for option in [17, 31, 59, 77] {
                let _ = sys!(
                    SYS_getsockopt,
                    client.as_raw_fd(),
                    1,
                    option,
                    credentials.as_mut_ptr(),
                    &raw mut length
                );
            }
        }
        let _ = std::fs::remove_file("/tmp/pp-socket");
    }
    let automatic = socket(libc::AF_UNIX, kind, 0)?;
    bind(&automatic, &1_u16.to_ne_bytes())?;
    let none = connect(&socket(libc::AF_UNIX, kind, 0)?, &named(b"/tmp/no-such-socket\0"));
    if none.is_ok() { wrong("connected to nothing") } else { Ok(()) }
}

fn vsock() -> io::Result<()> {
    // struct sockaddr_vm: family, port, CID 1 (local).
    let address = |port: u32| -> Vec<u8> {
        [40_u16.to_ne_bytes().as_slice(), &[0; 2], &port.to_ne_bytes(), &1_u32.to_ne_bytes(), &[0; 4]]
            .concat()
    };
    for kind in [libc::SOCK_STREAM, libc::SOCK_SEQPACKET] {
        let server = socket(40, kind, 0)?;
        bind(&server, &address(1234 + kind as u32))?;
        sys!(SYS_listen, server.as_raw_fd(), 1)?;
        let client = socket(40, kind, 0)?;
        let _impatience = Impatience::after(Duration::from_millis(500));
        for option in 0..9 {
            let value = [1_u64, 0];
            let _ = sys!(SYS_setsockopt, client.as_raw_fd(), 40, option, value.as_ptr(), 8);
            let mut length = 8_u32;
            let _ = sys!(SYS_getsockopt, client.as_raw_fd(), 40, option, value.as_ptr(), &raw mut length);
        }
        connect(&client, &address(1234 + kind as u32))?;
        let accepted = descriptor(sys!(SYS_accept4, server.as_raw_fd(), 0, 0, 0))?;
        send(&client, &[1; 1000], 0)?;
        receive(&accepted, 0)?;
        sys!(SYS_shutdown, client.as_raw_fd(), 2)?;
        prod(&accepted, 40);
    }
    let _impatience = Impatience::after(Duration::from_millis(300));
    let nowhere = connect(&socket(40, libc::SOCK_STREAM, 0)?, &address(9));
    if nowhere.is_ok() { wrong("connected to nothing") } else { Ok(()) }
}

fn packet() -> io::Result<()> {
    const ALL: u16 = 3;
    for kind in [libc::SOCK_RAW, libc::SOCK_DGRAM] {
        let socket = socket(libc::AF_PACKET, kind | libc::SOCK_NONBLOCK, ALL.to_be().into())?;
        let mut address = [0_u8; 20];
        address[..2].copy_from_slice(&17_u16.to_ne_bytes());
        address[2..4].copy_from_slice(&ALL.to_be_bytes());
        address[4] = 1;
        bind(&socket, &address)?;
        for version in [0, 1, 2, 7] {
            let _ = set(&socket, 263, 10, version);
        }
        for option in 1..25 {
            let _ = set(&socket, 263, option, 1);
        }
        let membership = [1_u32, 1, 0, 0];
        for option in [1, 1, 2, 2, 2] {
            let _ = sys!(SYS_setsockopt, socket.as_raw_fd(), 263, option, membership.as_ptr(), 16);
        }
        datagram(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
        let _ = receive(&socket, libc::MSG_TRUNC);
        let frame = [0_u8; 60];
        let _ = sys!(SYS_sendto, socket.as_raw_fd(), frame.as_ptr(), 60, 0, address.as_ptr(), 20);
        // PACKET_FANOUT with other sockets of the group, and of kinds that there are not.
        for fanout in [0x1234, 0x2_1234, 0x99_1234] {
            let _ = set(&socket, 263, 18, fanout);
        }
    }
    // struct tpacket_req of a ring of each version, mapped; and of a ring that cannot be.
    for (version, words) in [(0, 4), (1, 4), (2, 7)] {
        let socket = socket(libc::AF_PACKET, libc::SOCK_RAW, ALL.to_be().into())?;
        set(&socket, 263, 10, version)?;
        for request in [[4096_u32, 4, 2048, 8, 10, 0, 0], [4096, 4, 2048, 9, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1]]
        {
            let made = sys!(SYS_setsockopt, socket.as_raw_fd(), 263, 5, request.as_ptr(), words * 4);
            if made.is_ok() {
                let map = sys!(SYS_mmap, 0, 16384, 3, libc::MAP_SHARED, socket.as_raw_fd(), 0)?;
                datagram(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
                sys!(SYS_munmap, map, 16384)?;
            }
        }
        let mut statistics = [0_u32; 3];
        let mut length = 12_u32;
        sys!(SYS_getsockopt, socket.as_raw_fd(), 263, 6, statistics.as_mut_ptr(), &raw mut length)?;
    }
    Ok(())
}

/// AF_ALG: hash, cipher, random numbers, AEAD; and algorithms that there are not.
fn algorithms() -> io::Result<()> {
    for (kind, name, key) in [
        ("hash", "sha256", 0_usize),
        ("hash", "hmac(sha1)", 16),
        ("hash", "crc32c", 4),
        ("skcipher", "cbc(aes)", 16),
        ("skcipher", "ecb(aes)", 7),
        ("rng", "stdrng", 0),
        ("aead", "gcm(aes)", 16),
        ("hash", "no-such-hash", 0),
        ("no-such-kind", "x", 0),
    ] {
        let socket = socket(38, libc::SOCK_SEQPACKET, 0)?;
        let mut address = [0_u8; 88];
        address[..2].copy_from_slice(&38_u16.to_ne_bytes());
        address[2..2 + kind.len()].copy_from_slice(kind.as_bytes());
        address[24..24 + name.len()].copy_from_slice(name.as_bytes());
        if bind(&socket, &address).is_err() {
            continue;
        }
        let bytes = [1_u8; 64];
        let _ = sys!(SYS_setsockopt, socket.as_raw_fd(), 279, 1, bytes.as_ptr(), key);
        let _ = sys!(SYS_setsockopt, socket.as_raw_fd(), 279, 5, 0, 16);
        let Ok(operation) = descriptor(sys!(SYS_accept4, socket.as_raw_fd(), 0, 0, libc::SOCK_NONBLOCK))
        else {
            continue;
        };
        let _ = send(&operation, &bytes, libc::MSG_MORE);
        let _ = send(&operation, &bytes, 0);
        let _ = receive(&operation, libc::MSG_DONTWAIT);
        let copy = descriptor(sys!(SYS_accept4, operation.as_raw_fd(), 0, 0, 0));
        drop(copy);
    }
    Ok(())
}

fn kcm() -> io::Result<()> {
    let socket = socket(41, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, 0)?;
    let Connection { server, client } = connection(libc::AF_INET, libc::SOCK_STREAM, 0)?;
    // SIOCKCMATTACH with a program that is none; SIOCKCMUNATTACH; SIOCKCMCLONE.
    for (request, value) in
        [(0x89e0, [client.as_raw_fd(), -1]), (0x89e1, [server.as_raw_fd(), 0]), (0x89e2, [0, 0])]
    {
        let mut value = value;
        let _ = sys!(SYS_ioctl, socket.as_raw_fd(), request, value.as_mut_ptr());
    }
    let _ = send(&socket, &[1; 10], libc::MSG_DONTWAIT);
    let _ = receive(&socket, libc::MSG_DONTWAIT);
    set_all(&socket, 281);
    Ok(())
}

fn can() -> io::Result<()> {
    for (kind, protocol) in
        [(libc::SOCK_RAW, 1), (libc::SOCK_DGRAM, 2), (libc::SOCK_DGRAM, 6), (libc::SOCK_DGRAM, 7)]
    {
        let Ok(socket) = socket(29, kind | libc::SOCK_NONBLOCK, protocol) else { continue };
        let mut address = [0_u8; 24];
        address[..2].copy_from_slice(&29_u16.to_ne_bytes());
        let _ = bind(&socket, &address);
        set_all(&socket, 101);
        let frame = [0_u8; 16];
        let _ = sys!(
            SYS_sendto,
            socket.as_raw_fd(),
            frame.as_ptr(),
            16,
            libc::MSG_DONTWAIT,
            address.as_ptr(),
            24
        );
        let _ = send(&socket, &[0; 72], libc::MSG_DONTWAIT);
        let _ = receive(&socket, libc::MSG_DONTWAIT);
    }
    socket(29, libc::SOCK_RAW, 1).map(drop)
}

fn xdp() -> io::Result<()> {
    let socket = socket(44, libc::SOCK_RAW, 0)?;
    let fd = socket.as_raw_fd();
    let memory = sys!(SYS_mmap, 0, 64 << 10, 3, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)?;
    let registration = [memory as u64, 64 << 10, 2048, 0];
    for length in [24, 32, 8] {
        let _ = sys!(SYS_setsockopt, fd, 283, 4, registration.as_ptr(), length);
    }
    for option in [2, 3, 5, 6] {
        let _ = set(&socket, 283, option, 3);
        let _ = set(&socket, 283, option, 64);
    }
    for option in 1..9 {
        let mut value = [0_u8; 128];
        let mut length = 128_u32;
        let _ = sys!(SYS_getsockopt, fd, 283, option, value.as_mut_ptr(), &raw mut length);
    }
    for offset in [0_u64, 0x8000_0000, 0x1_0000_0000, 0x1_8000_0000] {
        if let Ok(map) = sys!(SYS_mmap, 0, 4096, 3, libc::MAP_SHARED, fd, offset) {
            sys!(SYS_munmap, map, 4096)?;
        }
    }
    let mut address = [0_u8; 16];
    address[0] = 44;
    address[4] = 1;
    let _ = bind(&socket, &address);
    let _ = send(&socket, &[], libc::MSG_DONTWAIT);
    sys!(SYS_munmap, memory, 64 << 10).map(drop)
}

/// sendmmsg, recvmmsg, MSG_WAITALL, UDP_SEGMENT, timestamps.
fn many() -> io::Result<()> {
    let (one, other) = pair(libc::SOCK_DGRAM)?;
    let mut bytes = [0_u8; 32];
    let data = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: 32 };
    // struct mmsghdr is a msghdr and a length.
    let mut messages = [[0_usize, 0, (&raw const data) as usize, 1, 0, 0, 0, 0]; 3];
    sys!(SYS_sendmmsg, one.as_raw_fd(), messages.as_mut_ptr(), 3, 0)?;
    let time = [0_i64, 1_000_000];
    sys!(SYS_recvmmsg, other.as_raw_fd(), messages.as_mut_ptr(), 3, libc::MSG_WAITFORONE, time.as_ptr())?;
    let udp = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    bind(&udp, &address(libc::AF_INET, 0))?;
    connect(&udp, &name_of(&udp)?)?;
    for (level, option, value) in [(17, 103, 100), (17, 104, 1), (1, 37, 0x7f), (1, 29, 1), (1, 35, 1)] {
        let _ = set(&udp, level, option, value);
    }
    let _ = send(&udp, &[1; 1000], 0);
    let _ = receive(&udp, libc::MSG_DONTWAIT);
    receive_descriptors(&udp)
}

fn zero_copy() -> io::Result<()> {
    let Connection { server, client } = connection(libc::AF_INET, libc::SOCK_STREAM, 0)?;
    let file = std::fs::File::open("/init").or_else(|_| std::fs::File::open("/proc/self/exe"))?;
    sys!(SYS_sendfile, client.as_raw_fd(), file.as_raw_fd(), 0, 8192)?;
    let (out, into) = sys::pipe()?;
    sys!(SYS_splice, server.as_raw_fd(), 0, into.as_raw_fd(), 0, 4096, libc::SPLICE_F_NONBLOCK)?;
    sys!(SYS_splice, out.as_raw_fd(), 0, client.as_raw_fd(), 0, 100, 0)?;
    let bytes = [1_u8; 5000];
    let data = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: 5000 };
    sys!(SYS_vmsplice, into.as_raw_fd(), &raw const data, 1, libc::SPLICE_F_NONBLOCK)?;
    sys!(SYS_tee, out.as_raw_fd(), into.as_raw_fd(), 10, libc::SPLICE_F_NONBLOCK)?;
    set(&client, libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1)?;
    send(&client, &bytes, libc::MSG_ZEROCOPY)?;
    let _ = receive(&client, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT);
    // TCP_ZEROCOPY_RECEIVE wants a mapping of the socket.
    let map = sys!(SYS_mmap, 0, 4096, libc::PROT_READ, libc::MAP_SHARED, server.as_raw_fd(), 0)?;
    sys!(SYS_munmap, map, 4096)?;
    // TLS, which takes a connection.
    let _ = sys!(SYS_setsockopt, client.as_raw_fd(), 6, 31, c"tls".as_ptr(), 4);
    let crypto = [0x03_u8, 0x03, 51, 0];
    for direction in [1, 2] {
        let mut info = [0_u8; 40];
        info[..4].copy_from_slice(&crypto);
        let _ = sys!(SYS_setsockopt, client.as_raw_fd(), 282, direction, info.as_ptr(), 40);
    }
    let _ = send(&client, &bytes, libc::MSG_DONTWAIT);
    Ok(())
}

/// Socket filters of classic BPF: one that takes all, one that takes nothing, one that is wrong; locked.
fn filters() -> io::Result<()> {
    let (one, other) = pair(libc::SOCK_DGRAM)?;
    let attach = |instructions: &[u64]| {
        let program = [instructions.len() as u64, instructions.as_ptr() as u64];
        sys!(SYS_setsockopt, other.as_raw_fd(), 1, libc::SO_ATTACH_FILTER, program.as_ptr(), 16)
    };
    // struct sock_filter: code, jumps, k.
    let all = [0xffff_0000_0006_u64 & 0xffff_ffff | 0xffff << 32];
    attach(&all)?;
    send(&one, &[1; 20], 0)?;
    receive(&other, libc::MSG_DONTWAIT)?;
    attach(&[0x0000_0000_0000_0006])?;
    let _ = send(&one, &[1; 20], libc::MSG_DONTWAIT);
    let load = [0x0000_0000_0000_0028_u64, 0x0000_0001_0001_0015, 0x0000_0010_0000_0006, 6];
    let _ = attach(&load);
    let bad = attach(&[0xffff]);
    let long = attach(&[6; 5000]);
    set(&other, 1, 44, 1)?;
    let locked = attach(&all);
    let detached = set(&other, 1, libc::SO_DETACH_FILTER, 0);
    if bad.is_ok() || long.is_ok() || locked.is_ok() || detached.is_ok() {
        return wrong("a bad filter was taken");
    }
    Ok(())
}

fn accept_that_waits() -> io::Result<()> {
    let listener = socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
    bind(&listener, &address(libc::AF_INET, 0))?;
    sys!(SYS_listen, listener.as_raw_fd(), 1)?;
    let to = name_of(&listener)?;
    let child = sys::fork(|| {
        std::thread::sleep(Duration::from_millis(20));
        let client = socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
        // TCP_FASTOPEN_CONNECT, TCP_DEFER_ACCEPT and TCP_MD5SIG with nothing.
        for option in [30, 9, 14] {
            let _ = set(&client, 6, option, 1);
        }
        connect(&client, &to)?;
        send(&client, &[1], 0).map(drop)
    })?;
    let poll = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    sys::poll(&mut [poll], 1000)?;
    let accepted = descriptor(sys!(SYS_accept, listener.as_raw_fd(), 0, 0))?;
    let reaped = sys::reap(child);
    receive(&accepted, 0)?;
    reaped
}
