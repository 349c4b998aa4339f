//! Traffic between two networks of one guest: a server in the one, and what is sent to it from the other. A packet that
//! does not arrive is a result.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use crate::sys::{descriptor, fork, wrong};
use crate::{places, sys, tools};

/// Two networks with two links between them, for `tools::run_all()`: in the other one, which is called peer, addresses end
/// in 2.
pub const NETWORKS: &str = "
    ip netns add peer
    ip link set lo up
    ip link add v0 type veth peer name v1 netns peer
    ip link add w0 numtxqueues 2 type veth peer name w1 netns peer
    ip addr add 10.0.0.1/24 dev v0
    ip addr add 10.0.1.1/24 dev w0
    ip -6 addr add fd00::1/64 dev v0 nodad
    ip -6 addr add fd01::1/64 dev w0 nodad
    ip link set v0 up
    ip link set w0 up
    ip -n peer link set lo up
    ip -n peer addr add 10.0.0.2/24 dev v1
    ip -n peer addr add 10.0.1.2/24 dev w1
    ip -n peer addr add fd00::2/64 dev v1 nodad
    ip -n peer addr add fd01::2/64 dev w1 nodad
    ip -n peer link set v1 up
    ip -n peer link set w1 up
";

/// Devices that others can be made of, for `tools::run_all()`.
pub const PORTS: &str = "
    ip link set lo up
    ip link add d0 type dummy
    ip link add d1 type dummy
    ip link add v0 type veth peer name v1
    ip link set v1 up
    ip link add ib0 type ipip local 10.0.0.1 remote 10.0.0.9
";

/// Sends what has no one receiver, so that no neighbour has to answer, by an address that the device is given.
pub fn broadcast(device: &str) {
    let _ = tools::run(&format!("ip addr add 10.0.9.1/24 broadcast 10.0.9.255 dev {device}"));
    let _ = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.set_broadcast(true)?;
        (0..4).try_for_each(|_| socket.send_to(&[7; 200], "10.0.9.255:9").map(drop))
    });
    std::thread::sleep(Duration::from_millis(10));
}

/// What nothing answers within this time is lost: long enough for a host that has much to do, as what is only late would be a
/// difference.
const PATIENCE: Duration = Duration::from_secs(2);
pub const PORT: u16 = 7;

/// Kinds of connection: type and protocol of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Mptcp,
    Sctp,
    Udp,
}

impl Transport {
    pub const ALL: [Transport; 4] = [Transport::Tcp, Transport::Mptcp, Transport::Sctp, Transport::Udp];

    fn socket(self, family: i32) -> io::Result<OwnedFd> {
        let (kind, protocol) = match self {
            Transport::Tcp => (libc::SOCK_STREAM, 0),
            Transport::Mptcp => (libc::SOCK_STREAM, 262),
            Transport::Sctp => (libc::SOCK_STREAM, 132),
            Transport::Udp => (libc::SOCK_DGRAM, 0),
        };
        descriptor(sys!(SYS_socket, family, kind | libc::SOCK_CLOEXEC, protocol))
    }

    /// TCP and MPTCP share their ports.
    fn port(self) -> u16 {
        match self {
            Transport::Mptcp => PORT + 1,
            Transport::Tcp | Transport::Sctp | Transport::Udp => PORT,
        }
    }
}

/// A process in another network that answers everything it gets with the same, until it is dropped.
#[derive(Debug)]
pub struct EchoServer(libc::pid_t);

impl EchoServer {
    /// # Errors
    /// When there is no such network.
    pub fn start(network: &str) -> io::Result<EchoServer> {
        let (ready, tell) = sys::pipe()?;
        let pid = fork(|| {
            places::enter_network(network)?;
            let listeners: Vec<_> = Transport::ALL.iter().filter_map(|one| listen(*one).ok()).collect();
            sys!(SYS_write, tell.as_raw_fd(), c"x".as_ptr(), 1)?;
            serve(listeners)
        })?;
        drop(tell);
        let mut byte = 0_u8;
        let server = EchoServer(pid);
        match sys!(SYS_read, ready.as_raw_fd(), &raw mut byte, 1)? {
            0 => wrong("it does not start"),
            _ => Ok(server),
        }
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        sys::stop(self.0);
    }
}

fn listen(transport: Transport) -> io::Result<(Transport, OwnedFd)> {
    let socket = transport.socket(libc::AF_INET6)?;
    let fd = socket.as_raw_fd();
    let address = address_of("::", transport.port())?;
    sys!(SYS_bind, fd, address.as_ptr(), address.len())?;
    if transport != Transport::Udp {
        sys!(SYS_listen, fd, 16)?;
    }
    Ok((transport, socket))
}

/// One loop for all: what can be read is answered.
fn serve(listeners: Vec<(Transport, OwnedFd)>) -> io::Result<()> {
    let mut connections: Vec<OwnedFd> = Vec::new();
    let mut buffer = vec![0_u8; 64 * 1024];
    loop {
        let all = listeners.iter().map(|(_, fd)| fd).chain(&connections);
        let mut polled: Vec<_> =
            all.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 }).collect();
        sys::poll(&mut polled, -1)?;
        let mut over = Vec::new();
        for (index, one) in polled.iter().enumerate().filter(|(_, one)| one.revents != 0) {
            match listeners.get(index) {
                Some((Transport::Udp, _)) => answer(one.fd, &mut buffer),
                Some(_) => {
                    let accepted = sys!(SYS_accept4, one.fd, 0, 0, libc::SOCK_NONBLOCK);
                    connections.extend(descriptor(accepted).ok());
                }
                None => {
                    let length = sys!(SYS_read, one.fd, buffer.as_mut_ptr(), buffer.len()).unwrap_or(0);
                    if length <= 0 || sys!(SYS_write, one.fd, buffer.as_ptr(), length).is_err() {
                        over.push(one.fd);
                    }
                }
            }
        }
        connections.retain(|fd| !over.contains(&fd.as_raw_fd()));
    }
}

fn answer(fd: i32, buffer: &mut [u8]) {
    let mut from = [0_u8; 28];
    let mut length = 28_u32;
    let (at, bytes) = (buffer.as_mut_ptr(), buffer.len());
    let flags = libc::MSG_DONTWAIT;
    if let Ok(got) = sys!(SYS_recvfrom, fd, at, bytes, flags, from.as_mut_ptr(), &raw mut length) {
        let _ = sys!(SYS_sendto, fd, at, got, flags, from.as_ptr(), length);
    }
}

/// struct sockaddr_in or sockaddr_in6.
fn address_of(host: &str, port: u16) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match host.parse().map_err(io::Error::other)? {
        std::net::IpAddr::V4(four) => {
            bytes.extend_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            bytes.extend_from_slice(&port.to_be_bytes());
            bytes.extend_from_slice(&four.octets());
            bytes.resize(16, 0);
        }
        std::net::IpAddr::V6(six) => {
            bytes.extend_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            bytes.extend_from_slice(&port.to_be_bytes());
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&six.octets());
            bytes.resize(28, 0);
        }
    }
    Ok(bytes)
}

/// Sends so many bytes to the server at `host`, and reads them back.
///
/// # Errors
/// That of the first call that has one; EAGAIN where nothing came in time.
pub fn talk(transport: Transport, host: &str, bytes: usize) -> io::Result<()> {
    let address = address_of(host, transport.port())?;
    let family = if address.len() == 16 { libc::AF_INET } else { libc::AF_INET6 };
    let socket = transport.socket(family)?;
    let fd = socket.as_raw_fd();
    let time = libc::timeval {
        tv_sec: PATIENCE.as_secs().try_into().unwrap_or(0),
        tv_usec: PATIENCE.subsec_micros().into(),
    };
    for option in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
        sys!(SYS_setsockopt, fd, libc::SOL_SOCKET, option, &raw const time, size_of::<libc::timeval>())?;
    }
    sys!(SYS_connect, fd, address.as_ptr(), address.len())?;
    let mut data: Vec<u8> = (0..bytes).map(|at| (at / 7) as u8).collect();
    let sent = data.clone();
    sys!(SYS_sendto, fd, data.as_ptr(), data.len(), libc::MSG_NOSIGNAL, 0, 0)?;
    let mut got = 0;
    while got < bytes {
        let at = data.get_mut(got..).unwrap_or_default();
        match sys!(SYS_recvfrom, fd, at.as_mut_ptr(), at.len(), 0, 0, 0)? {
            0 => return wrong("closed early"),
            more => got += usize::try_from(more).unwrap_or(0),
        }
    }
    if data == sent { Ok(()) } else { wrong("other bytes came back") }
}
