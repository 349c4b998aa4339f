//! BPF programs where they are attached: to streams of messages, maps of sockets, groups of tasks, devices, networks,
//! probes. Each looks into a map, and something happens that it is called for.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use workloads::bpf::{Map, bpf, link, load, looking_up, low_high};
use workloads::exercise::{self, Exercise};
use workloads::netlink::device_index;
use workloads::sys::{descriptor, in_child};
use workloads::tools::run_all;
use workloads::walk::write;
use workloads::{places, sys};

const LIMIT: Duration = Duration::from_secs(10);

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    run_all(
        it,
        "ip link set lo up\nip link add v0 type veth peer name v1\nip link set v0 up\nip link set v1 up\nip addr add 10.0.0.1/24 dev v0",
    );
    // A hash: to look into an array, no function of the kernel is called (map_gen_lookup()).
    let Some(map) = it.step("a map", || Map::create(1, 4, 8, 4, 0, -1)) else { return };
    streams(it, &map);
    sockets(it, &map);
    groups(it, &map);
    devices(it, &map);
    networks(it, &map);
    probes(it, &map);
}

fn connected() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    Ok((client, listener.accept()?.0))
}

fn send(socket: &impl AsRawFd, bytes: &[u8]) -> io::Result<i64> {
    sys!(
        SYS_sendto,
        socket.as_raw_fd(),
        bytes.as_ptr(),
        bytes.len(),
        libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        0,
        0
    )
}

fn receive(socket: &impl AsRawFd) -> io::Result<i64> {
    let mut room = [0_u8; 256];
    sys!(SYS_recvfrom, socket.as_raw_fd(), room.as_mut_ptr(), room.len(), libc::MSG_DONTWAIT, 0, 0)
}

/// Messages over TCP, whose length the program tells: whole ones, a part, several at once, too long ones. Those that are there
/// before the program are read by a work queue, others where they come in (net/strparser/strparser.c).
fn streams(it: &mut Exercise, map: &Map) {
    let kinds = [("of ten bytes", 10), ("of none", 0), ("wrong", -5), ("too long", 1 << 30)];
    for (name, length, early) in kinds.map(|(name, length)| [(name, length, 0), (name, length, 2)]).concat() {
        let when = if early == 0 { "" } else { ", there before" };
        it.step(format!("messages {name}{when}"), || {
            let parser = load(1, &looking_up(map, length), 0)?;
            let (client, server) = connected()?;
            for _ in 0..early {
                send(&client, &[1; 10])?;
            }
            let messages = descriptor(sys!(SYS_socket, 41, libc::SOCK_DGRAM, 0))?;
            let attach = [server.as_raw_fd(), parser.as_raw_fd()];
            sys!(SYS_ioctl, messages.as_raw_fd(), 0x89e0, attach.as_ptr())?;
            sys!(SYS_ioctl, messages.as_raw_fd(), 0x89e0, attach.as_ptr()).err();
            for part in [&[1_u8; 10][..], &[2; 4], &[3; 6], &[4; 30]] {
                send(&client, part)?;
            }
            std::thread::sleep(Duration::from_millis(20));
            let first = receive(&messages);
            let mut clone = [0_i32; 2];
            sys!(SYS_ioctl, messages.as_raw_fd(), 0x89e2, clone.as_mut_ptr())?;
            let clone = descriptor(Ok(i64::from(clone[0])))?;
            for _ in 0..3 {
                let _ = receive(&clone);
                let _ = receive(&messages);
                let _ = send(&messages, &[7; 50]);
            }
            let on = 1_i32;
            let _ = sys!(SYS_setsockopt, clone.as_raw_fd(), 281, 1, &raw const on, 4);
            let _ = fs::read("/proc/net/kcm");
            let _ = fs::read("/proc/net/kcm_stats");
            let _ = receive(&client);
            let _ = sys!(SYS_ioctl, messages.as_raw_fd(), 0x89e1, attach.as_ptr());
            drop(client);
            first
        });
    }
}

/// Maps of sockets with verdicts on what is sent and what comes in.
fn sockets(it: &mut Exercise, map: &Map) {
    // SOCKMAP, SOCKHASH.
    for kind in [15, 18] {
        for (name, program, attach) in
            [("parser", 14, 4), ("stream verdict", 14, 5), ("message verdict", 16, 7), ("verdict", 14, 38)]
        {
            it.step(format!("map of sockets {kind}, {name}"), || {
                let sockets = Map::create(kind, 4, 4, 8, 0, -1)?;
                let program = load(program, &looking_up(map, if attach == 4 { 10 } else { 1 }), attach)?;
                let mut attributes = [0; 18];
                attributes[0] = low_high(sockets.fd.as_raw_fd() as u32, program.as_raw_fd() as u32);
                attributes[1] = low_high(attach, 0);
                bpf(8, &attributes)?;
                let (client, server) = connected()?;
                for (key, socket) in [(0_u32, &server), (1, &client)] {
                    let value = socket.as_raw_fd();
                    sockets.element(2, (&raw const key) as u64, (&raw const value) as u64, 0)?;
                    let _ = sockets.element(2, (&raw const key) as u64, (&raw const value) as u64, 1);
                }
                for bytes in [10, 3, 40] {
                    let _ = send(&client, &vec![1; bytes]);
                    let _ = send(&server, &vec![1; bytes]);
                }
                std::thread::sleep(Duration::from_millis(10));
                let _ = (receive(&server), receive(&client));
                let key = 1_u32;
                let _ = sockets.element(3, (&raw const key) as u64, 0, 0);
                drop(server);
                bpf(9, &attributes)
            });
        }
    }
}

/// What a group's programs can be called for: kind of program, where it is attached.
const OF_GROUPS: [(u32, u32); 33] = [
    (8, 0),
    (8, 1),
    (9, 2),
    (13, 3),
    (15, 6),
    (18, 8),
    (18, 9),
    (18, 10),
    (18, 11),
    (9, 12),
    (9, 13),
    (18, 14),
    (18, 15),
    (23, 18),
    (18, 19),
    (18, 20),
    (25, 21),
    (25, 22),
    (18, 29),
    (18, 30),
    (18, 31),
    (18, 32),
    (9, 34),
    (18, 49),
    (18, 50),
    (18, 51),
    (18, 52),
    (18, 53),
    (8, 99),
    (1, 0),
    (8, 2),
    (18, 0),
    (25, 0),
];

fn groups(it: &mut Exercise, map: &Map) {
    let root = Path::new("/tmp/attached-group");
    if it
        .step("a group", || places::mount("cgroup2", root, "").and_then(|()| fs::create_dir(root.join("pp"))))
        .is_none()
    {
        return;
    }
    for (kind, attach) in OF_GROUPS {
        it.step(format!("group, program {kind} at {attach}"), || {
            let program = load(kind, &looking_up(map, 1), attach)?;
            let group = fs::File::open(root.join("pp"))?;
            let linked = link(&program, group.as_raw_fd() as u32, attach, [0; 2])?;
            let _ = link(&program, group.as_raw_fd() as u32, attach, [0; 2]);
            let worked = in_child(LIMIT, || {
                write(root.join("pp/cgroup.procs"), b"0")?;
                called()
            });
            // BPF_PROG_QUERY, BPF_LINK_UPDATE, BPF_LINK_DETACH.
            let mut found = [0_u32; 8];
            let mut query = [0; 18];
            query[0] = low_high(group.as_raw_fd() as u32, attach);
            (query[2], query[3]) = (found.as_mut_ptr() as u64, 8);
            let _ = bpf(16, &query);
            let mut update = [0; 18];
            update[0] = low_high(linked.as_raw_fd() as u32, program.as_raw_fd() as u32);
            let _ = bpf(29, &update);
            let _ = fs::read(format!("/proc/self/fdinfo/{}", linked.as_raw_fd()));
            update[0] = low_high(linked.as_raw_fd() as u32, 0);
            bpf(34, &update)?;
            worked
        });
    }
    it.step("no group", || {
        fs::remove_dir(root.join("pp"))?;
        places::unmount(root)
    });
}

/// A little of all that such programs look at.
fn called() -> io::Result<()> {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (one, other) = (UdpSocket::bind(address)?, UdpSocket::bind(address)?);
        let _ = one.send_to(&[1; 20], other.local_addr()?);
        let _ = receive(&other);
        let _ = one.connect(other.local_addr()?);
        let _ = (one.peer_addr(), one.local_addr(), one.set_broadcast(true), one.broadcast());
        let listener = TcpListener::bind(address)?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let _ = listener.accept();
        let _ = send(&client, &[1; 20]);
    }
    let _ = std::os::unix::net::UnixDatagram::unbound().and_then(|one| one.connect("/tmp/no-such-socket"));
    let _ = fs::read("/proc/sys/kernel/pid_max");
    let _ = write("/proc/sys/kernel/no-such", b"1");
    let _ = fs::read("/dev/null");
    let _ = sys!(SYS_mknodat, libc::AT_FDCWD, c"/tmp/attached-node".as_ptr(), 0o20600, 1 << 8 | 3);
    let _ = fs::remove_file("/tmp/attached-node");
    Ok(())
}

/// XDP in each mode, tcx and netkit, the classifier and action of tc, and the encapsulation of routes.
fn devices(it: &mut Exercise, map: &Map) {
    let device = device_index("v0");
    let traffic = || {
        let _ = UdpSocket::bind("10.0.0.1:0").and_then(|one| {
            one.set_broadcast(true)?;
            one.send_to(&[1; 100], "10.0.0.255:9")
        });
        std::thread::sleep(Duration::from_millis(5));
    };
    for (name, kind, attach, flags, verdict) in [
        ("XDP, generic", 6, 37, 2_u64, 2),
        ("XDP, native", 6, 37, 4, 2),
        ("XDP that drops", 6, 37, 2, 1),
        ("XDP that transmits", 6, 37, 4, 3),
        ("XDP of hardware", 6, 37, 8, 2),
        ("XDP of no mode", 6, 37, 0xff, 2),
        ("tcx ingress", 3, 46, 0, 0),
        ("tcx egress", 3, 47, 0, -1),
        ("netkit", 3, 54, 0, 0),
    ] {
        it.step(name, || {
            let program = load(kind, &looking_up(map, verdict), if kind == 6 { 37 } else { 0 })?;
            let mut attributes = [0; 18];
            attributes[0] = low_high(program.as_raw_fd() as u32, device);
            attributes[1] = low_high(attach, flags as u32);
            let linked = descriptor(bpf(28, &attributes))?;
            traffic();
            let _ = fs::read(format!("/proc/self/fdinfo/{}", linked.as_raw_fd()));
            let again = descriptor(bpf(28, &attributes));
            drop(again);
            let mut update = [0; 18];
            update[0] = low_high(linked.as_raw_fd() as u32, program.as_raw_fd() as u32);
            let _ = bpf(29, &update);
            update[0] = low_high(linked.as_raw_fd() as u32, 0);
            bpf(34, &update)
        });
    }
}

/// A network's programs, and hooks of netfilter.
fn networks(it: &mut Exercise, map: &Map) {
    it.step("lookup of sockets", || {
        let program = load(30, &looking_up(map, 1), 36)?;
        let network = fs::File::open("/proc/self/ns/net")?;
        let linked = link(&program, network.as_raw_fd() as u32, 36, [0; 2])?;
        let _ = called();
        let _ = link(&program, network.as_raw_fd() as u32, 36, [0; 2]);
        drop(linked);
        Ok(())
    });
    for (family, hook, priority, flags) in [
        (2_u32, 0_u32, 5_i32, 0_u32),
        (2, 4, 6, 0),
        (10, 1, 7, 1),
        (2, 0, i32::MIN, 0),
        (2, 9, 5, 0),
        (7, 0, 5, 0),
    ] {
        it.step(format!("netfilter {family} {hook} {priority}"), || {
            let program = load(32, &looking_up(map, 1), 45)?;
            let more = [low_high(family, hook), low_high(priority as u32, flags)];
            let linked = link(&program, 0, 45, more)?;
            let _ = called();
            let _ = link(&program, 0, 45, more);
            let _ = fs::read(format!("/proc/self/fdinfo/{}", linked.as_raw_fd()));
            Ok(())
        });
    }
    it.step("sockets that share a port", || {
        let program = load(21, &looking_up(map, 0), 0)?;
        let value = program.as_raw_fd();
        let sockets: Vec<OwnedFd> = (0..3)
            .map(|_| {
                let socket = descriptor(sys!(SYS_socket, libc::AF_INET, libc::SOCK_DGRAM, 0))?;
                let on = 1_i32;
                sys!(SYS_setsockopt, socket.as_raw_fd(), 1, libc::SO_REUSEPORT, &raw const on, 4)?;
                let address = [2_u8, 0, 0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
                sys!(SYS_bind, socket.as_raw_fd(), address.as_ptr(), 16)?;
                // SO_ATTACH_REUSEPORT_EBPF.
                sys!(SYS_setsockopt, socket.as_raw_fd(), 1, 52, &raw const value, 4)?;
                Ok(socket)
            })
            .collect::<io::Result<_>>()?;
        let sender = UdpSocket::bind("127.0.0.1:0")?;
        for _ in 0..4 {
            sender.send_to(&[1; 9], "127.0.0.1:8080")?;
        }
        // SO_DETACH_REUSEPORT_BPF.
        sockets
            .first()
            .map_or(Ok(0), |socket| sys!(SYS_setsockopt, socket.as_raw_fd(), 1, 68, &raw const value, 4))
    });
}

/// Events of perf and tracepoints, by one CPU: code that changes is nothing that an emulator's other CPUs may execute meanwhile.
fn probes(it: &mut Exercise, map: &Map) {
    it.step("an event of software", || {
        // struct perf_event_attr: type software, size, context switches, period.
        let mut event = [0_u64; 17];
        (event[0], event[1], event[2]) = (1 | 136 << 32, 3, 1);
        let event = descriptor(sys!(SYS_perf_event_open, event.as_ptr(), 0, -1, -1, 8))?;
        let program = load(7, &looking_up(map, 1), 0)?;
        // PERF_EVENT_IOC_SET_BPF, ENABLE, QUERY_BPF, DISABLE.
        sys!(SYS_ioctl, event.as_raw_fd(), 0x4004_2408_u32, program.as_raw_fd())?;
        sys!(SYS_ioctl, event.as_raw_fd(), 0x2400, 0)?;
        std::thread::sleep(Duration::from_millis(5));
        let mut found = [8_u32, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let _ = sys!(SYS_ioctl, event.as_raw_fd(), 0xc008_240a_u32, found.as_mut_ptr());
        sys!(SYS_ioctl, event.as_raw_fd(), 0x2401, 0)
    });
    it.step("a socket's filter that looks into maps", || {
        let program = load(1, &looking_up(map, 64), 0)?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let value = program.as_raw_fd();
        sys!(SYS_setsockopt, socket.as_raw_fd(), 1, 50, &raw const value, 4)?;
        UdpSocket::bind("127.0.0.1:0")?.send_to(&[1; 100], socket.local_addr()?)?;
        let _ = receive(&socket);
        // SO_LOCK_FILTER, after which it stays.
        let on = 1_i32;
        sys!(SYS_setsockopt, socket.as_raw_fd(), 1, 44, &raw const on, 4)?;
        sys!(SYS_setsockopt, socket.as_raw_fd(), 1, 27, &raw const on, 4)
    });
}
