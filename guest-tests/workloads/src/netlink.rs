//! Netlink messages made by hand, and the sockets that they go through (include/uapi/linux/netlink.h). The kernel's answer
//! is looked at for its error and passed over otherwise.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::sys;
use crate::sys::descriptor;

pub const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
pub const ACK: u16 = libc::NLM_F_ACK as u16;
pub const DUMP: u16 = libc::NLM_F_DUMP as u16;
pub const CREATE: u16 = libc::NLM_F_CREATE as u16;
pub const EXCL: u16 = libc::NLM_F_EXCL as u16;
pub const REPLACE: u16 = libc::NLM_F_REPLACE as u16;

const HEADER: usize = 16;
const ALIGN: usize = 4;
/// Answers that are read for one request, at most.
const READS: usize = 200;

/// One message: header, the family's own structure, attributes.
#[derive(Debug, Clone)]
pub struct NetlinkMessage(Vec<u8>);

impl NetlinkMessage {
    pub fn new(kind: u16, flags: u16, body: &[u8]) -> NetlinkMessage {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | REQUEST).to_ne_bytes());
        bytes[8..12].copy_from_slice(&1_u32.to_ne_bytes());
        bytes.extend_from_slice(body);
        NetlinkMessage(bytes).padded()
    }

    fn padded(mut self) -> NetlinkMessage {
        self.0.resize(self.0.len().next_multiple_of(ALIGN), 0);
        self
    }

    pub fn attribute(mut self, kind: u16, value: &[u8]) -> NetlinkMessage {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.padded()
    }

    pub fn number(self, kind: u16, value: u32) -> NetlinkMessage {
        self.attribute(kind, &value.to_ne_bytes())
    }

    pub fn text(self, kind: u16, value: &str) -> NetlinkMessage {
        self.attribute(kind, format!("{value}\0").as_bytes())
    }

    /// Attributes within an attribute.
    pub fn nest(self, kind: u16, inner: impl FnOnce(NetlinkMessage) -> NetlinkMessage) -> NetlinkMessage {
        let value = inner(NetlinkMessage(Vec::new())).0;
        self.attribute(kind | NESTED, &value)
    }

    fn flags(&self) -> u16 {
        self.0.get(6..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_ne_bytes)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.0.clone();
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes
    }
}

const NESTED: u16 = 0x8000;

#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    /// Of the last request: what answers an earlier one is passed over.
    sequence: Cell<u32>,
}

impl Socket {
    pub fn open(protocol: i32) -> io::Result<Socket> {
        let socket =
            descriptor(sys!(SYS_socket, libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol))?;
        let time = libc::timeval { tv_sec: 0, tv_usec: 100_000 };
        sys!(
            SYS_setsockopt,
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            &raw const time,
            size_of::<libc::timeval>()
        )?;
        Ok(Socket { fd: socket, sequence: Cell::new(0) })
    }

    pub fn fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    pub fn bind(&self, groups: u32) -> io::Result<()> {
        let address = [u32::from(libc::AF_NETLINK as u16), 0, groups];
        sys!(SYS_bind, self.fd(), &raw const address, size_of_val(&address)).map(drop)
    }

    pub fn option(&self, option: i32, value: u32) -> io::Result<()> {
        sys!(SYS_setsockopt, self.fd(), libc::SOL_NETLINK, option, &raw const value, 4).map(drop)
    }

    /// Sends it and reads all answers; the error of the kernel's. Returns the bytes of the answers.
    pub fn ask(&self, message: &NetlinkMessage) -> io::Result<Vec<u8>> {
        self.ask_all(&[message])
    }

    /// Several messages at once; the first error of the kernel's. One that it does not answer is none.
    pub fn ask_all(&self, messages: &[&NetlinkMessage]) -> io::Result<Vec<u8>> {
        self.sequence.set(self.sequence.get().wrapping_add(1));
        let mut bytes = Vec::new();
        for message in messages {
            let mut one = message.bytes();
            one[8..12].copy_from_slice(&self.sequence.get().to_ne_bytes());
            bytes.extend(one);
        }
        self.send(&bytes)?;
        let acknowledged = messages.iter().filter(|message| message.flags() & ACK != 0).count();
        self.answers(acknowledged)
    }

    /// Sends a dump and reads all of it with a buffer of so many bytes: the kernel makes its answers as large as what is
    /// read with (net/netlink/af_netlink.c, netlink_dump()), and goes on where it stopped. The number of answers.
    pub fn dump(&self, message: &NetlinkMessage, buffer: usize) -> io::Result<usize> {
        self.start(message)?;
        let mut buffer = vec![0_u8; buffer];
        for count in 1..READS {
            let length = sys!(SYS_recvfrom, self.fd(), buffer.as_mut_ptr(), buffer.len(), 0, 0, 0)?;
            let got = buffer.get(..usize::try_from(length).unwrap_or(0)).unwrap_or_default();
            // What does not fit is cut off, and with it what would be the end.
            let mut found = ends(got, self.sequence.get());
            // A dump that has begun is not acknowledged as well (net/netlink/af_netlink.c, __netlink_dump_start()).
            if message.flags() & ACK == 0 && found.iter().any(|end| matches!(end, DumpEnd::Acknowledged)) {
                return Err(io::Error::other("acknowledged, which was not asked for"));
            }
            match found.pop() {
                Some(DumpEnd::Error(number)) => return Err(io::Error::from_raw_os_error(number)),
                Some(_) => return self.nothing_more().map(|()| count),
                None => {}
            }
        }
        Ok(READS)
    }

    /// Behind the end of a dump there is no other answer to it.
    fn nothing_more(&self) -> io::Result<()> {
        let mut buffer = [0_u8; 4096];
        let read = sys!(SYS_recvfrom, self.fd(), buffer.as_mut_ptr(), buffer.len(), libc::MSG_DONTWAIT, 0, 0);
        let length = read.map_or(0, |length| usize::try_from(length).unwrap_or(0));
        match ends(buffer.get(..length).unwrap_or_default(), self.sequence.get()).is_empty() {
            true => Ok(()),
            false => Err(io::Error::other("an answer behind the end of a dump")),
        }
    }

    /// Sends it and reads nothing.
    pub fn start(&self, message: &NetlinkMessage) -> io::Result<()> {
        self.sequence.set(self.sequence.get().wrapping_add(1));
        let mut bytes = message.bytes();
        bytes[8..12].copy_from_slice(&self.sequence.get().to_ne_bytes());
        self.send(&bytes)
    }

    /// Bytes as they are.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        sys!(SYS_sendto, self.fd(), bytes.as_ptr(), bytes.len(), 0, 0, 0).map(drop)
    }

    fn answers(&self, acknowledged: usize) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut buffer = vec![0_u8; 32 * 1024];
        let mut left = acknowledged;
        for _ in 0..READS {
            let length = sys!(SYS_recvfrom, self.fd(), buffer.as_mut_ptr(), buffer.len(), 0, 0, 0)?;
            let got = buffer.get(..usize::try_from(length).unwrap_or(0)).unwrap_or_default();
            all.extend_from_slice(got);
            for end in ends(got, self.sequence.get()) {
                match end {
                    DumpEnd::Error(number) => return Err(io::Error::from_raw_os_error(number)),
                    DumpEnd::Done | DumpEnd::Acknowledged => left = left.saturating_sub(1),
                    DumpEnd::Answer if acknowledged > 0 => continue,
                    DumpEnd::Answer => {}
                }
                if left == 0 {
                    return Ok(all);
                }
            }
        }
        Ok(all)
    }
}

enum DumpEnd {
    Error(i32),
    Acknowledged,
    Done,
    /// A message that is the whole answer where no acknowledgement was asked for.
    Answer,
}

/// What in the datagram may end the answer to the request of this number.
fn ends(datagram: &[u8], sequence: u32) -> Vec<DumpEnd> {
    let mut all = Vec::new();
    let mut at = 0;
    for (kind, flags, body) in messages(datagram) {
        let own = datagram.get(at + 8..at + 12).is_some_and(|bytes| bytes == sequence.to_ne_bytes());
        at += (HEADER + body.len()).next_multiple_of(ALIGN);
        if !own {
            continue;
        }
        let number = body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
        match i32::from(kind) {
            libc::NLMSG_ERROR | libc::NLMSG_DONE if number < 0 => {
                all.push(DumpEnd::Error(number.wrapping_neg()))
            }
            libc::NLMSG_ERROR => all.push(DumpEnd::Acknowledged),
            libc::NLMSG_DONE => all.push(DumpEnd::Done),
            _ if i32::from(flags) & libc::NLM_F_MULTI == 0 => all.push(DumpEnd::Answer),
            _ => {}
        }
    }
    all
}

/// Kind, flags and body of each message.
pub fn messages(mut datagram: &[u8]) -> Vec<(u16, u16, &[u8])> {
    let mut all = Vec::new();
    while let (Some(length), Some(kind), Some(flags)) = (
        datagram.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes) as usize),
        datagram.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes),
        datagram.get(6..8).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes),
    ) {
        let Some(body) = datagram.get(HEADER..length) else { break };
        all.push((kind, flags, body));
        datagram = datagram.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
    }
    all
}

/// The attributes in `bytes`, by kind.
pub fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut all = Vec::new();
    while let (Some(length), Some(kind)) = (
        bytes.first_chunk().map(|bytes| usize::from(u16::from_ne_bytes(*bytes))),
        bytes.get(2..4).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes),
    ) {
        let Some(value) = bytes.get(4..length) else { break };
        all.push((kind & !NESTED, value));
        bytes = bytes.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
    }
    all
}

/// The number of a device of this process's network: /sys shows those of the network that it was mounted in. 0: there is none.
pub fn device_index(name: &str) -> u32 {
    let name = sys::c_path(name);
    // SAFETY: a string that ends and outlives the call.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

/// A generic netlink message: the command and its version stand before the attributes.
pub fn generic(family: u16, command: u8, flags: u16) -> NetlinkMessage {
    NetlinkMessage::new(family, flags, &[command, 1, 0, 0])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_padded_and_reads_back() {
        let message =
            NetlinkMessage::new(16, ACK, &[1, 2, 3]).text(3, "lo").nest(5, |inner| inner.number(1, 7));
        let bytes = message.bytes();
        assert_eq!(bytes.len() % ALIGN, 0);
        let all = messages(&bytes);
        let [(16, flags, body)] = all[..] else { panic!("{all:?}") };
        assert_eq!(flags, ACK | REQUEST);
        let attributes = attributes(&body[4..]);
        assert_eq!(attributes[0], (3, b"lo\0".as_slice()));
        assert_eq!(attributes[1].0, 5);
        assert_eq!(super::attributes(attributes[1].1), [(1, 7_u32.to_ne_bytes().as_slice())]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for (_, _, body) in messages(&bytes) {
                attributes(body);
            }
            ends(&bytes, 0);
        }
    }
}
