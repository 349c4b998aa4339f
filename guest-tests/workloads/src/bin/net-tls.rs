//! Kernel TLS in software (net/tls/) over TCP on loopback: each cipher with TLS 1.2 and 1.3, records of each type and size, records
//! that are broken on the way, new keys, full buffers, and what has to be refused. What comes out has to be what went in.
//!
//! All that is done once more with an asynchronous algorithm (crypto/cryptd.c): the callbacks of net/tls/tls_sw.c are called for no
//! other.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use workloads::exercise::{self, Exercise};
use workloads::netlink::{ACK, DUMP, NetlinkMessage, Socket};
use workloads::sys::{descriptor, fork, reap, wrong};
use workloads::{bpf, places, sys, tools};

/// What does not arrive within this time is lost.
const PATIENCE: Duration = Duration::from_secs(2);

// include/uapi/linux/tls.h, include/linux/socket.h, include/net/tls_prot.h.
const SOL_TLS: i32 = 282;
const TX: i32 = 1;
const RX: i32 = 2;
const TX_ZEROCOPY_RO: i32 = 3;
const RX_EXPECT_NO_PAD: i32 = 4;
const TX_MAX_PAYLOAD_LEN: i32 = 5;
const SET_RECORD_TYPE: i32 = 1;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
const TLS_1_2: u16 = 0x0303;
const TLS_1_3: u16 = 0x0304;

/// A handshake record that announces new keys, as TLS 1.3 has it.
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

#[derive(Debug)]
struct Cipher {
    name: &'static str,
    number: u16,
    iv_bytes: usize,
    key_bytes: usize,
    salt_bytes: usize,
}

const fn cipher(
    name: &'static str,
    number: u16,
    iv_bytes: usize,
    key_bytes: usize,
    salt_bytes: usize,
) -> Cipher {
    Cipher { name, number, iv_bytes, key_bytes, salt_bytes }
}

const CIPHERS: [Cipher; 8] = [
    cipher("aes-gcm-128", 51, 8, 16, 4),
    cipher("aes-gcm-256", 52, 8, 32, 4),
    cipher("aes-ccm-128", 53, 8, 16, 4),
    cipher("chacha20-poly1305", 54, 12, 32, 0),
    cipher("sm4-gcm", 55, 8, 16, 4),
    cipher("sm4-ccm", 56, 8, 16, 4),
    cipher("aria-gcm-128", 57, 8, 16, 4),
    cipher("aria-gcm-256", 58, 8, 32, 4),
];

/// A cipher and a version of TLS.
#[derive(Debug, Clone, Copy)]
struct CipherSuite {
    cipher: &'static Cipher,
    version: u16,
}

type Talk = (&'static str, fn(CipherSuite) -> io::Result<()>);

/// With each cipher.
const TALKS: [Talk; 8] = [
    ("sizes", sizes),
    ("record in pieces", pieces),
    ("records from files and pipes", from_pages),
    ("records to a pipe", into_pipe),
    ("control records", control),
    ("broken tag", broken_tag),
    ("many records at once", many_records),
    ("padding", padding),
];

/// With one cipher.
const MORE_TALKS: [Talk; 19] = [
    ("peek", peek),
    ("poll", poll),
    ("buffers that are small", small_buffers),
    ("bad control messages", bad_control),
    ("no room for a control message", no_room),
    ("options", options),
    ("keys are read back", keys_back),
    ("bad headers", bad_headers),
    ("record that comes bit by bit", bit_by_bit),
    ("record that ends early", ends_early),
    ("record twice", replay),
    ("keys after the data", late_keys),
    ("new keys", new_keys),
    ("new keys that differ", other_keys),
    ("full buffers", full_buffers),
    ("full buffers are closed", full_buffers_closed),
    ("closed early", closed_early),
    ("readers that wait", waiting_readers),
    ("bad pointers and flags", bad_pointers),
];

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own network", places::own_network);
    it.step("loopback", || tools::run("ip link set lo up"));
    for cipher in &CIPHERS {
        for version in [TLS_1_2, TLS_1_3] {
            let suite = CipherSuite { cipher, version };
            let is_first = cipher.number == CIPHERS[0].number;
            talks(it, &suite.name(), suite, is_first);
        }
    }
    refused(it);
    it.step("over inet6", || {
        let suite = CipherSuite { cipher: &CIPHERS[0], version: TLS_1_3 };
        let pair = suite.keyed(connect("[::1]:0", None)?)?;
        pair.carries(&pattern(17_000))
    });
    it.step("diag", diag);
    for version in [TLS_1_2, TLS_1_3] {
        let suite = CipherSuite { cipher: &CIPHERS[0], version };
        it.step(format!("KCM over {}", suite.name()), || multiplexed(suite));
    }
    if it.step("asynchronous algorithm", make_async_algorithm).is_some() {
        for version in [TLS_1_2, TLS_1_3] {
            let suite = CipherSuite { cipher: &CIPHERS[0], version };
            talks(it, &format!("async {}", suite.name()), suite, true);
        }
    }
    it.step("without the asynchronous algorithm", delete_async_algorithm);
    it.step("statistics", || match fs::read_to_string("/proc/net/tls_stat")?.contains("TlsTxSw") {
        true => Ok(()),
        false => wrong("without counters"),
    });
}

fn talks(it: &mut Exercise, name: &str, suite: CipherSuite, are_all: bool) {
    // ARIA is for TLS 1.2 alone (net/tls/tls_main.c, validate_crypto_info()).
    if suite.cipher.name.starts_with("aria") && suite.version == TLS_1_3 {
        it.refused(format!("{name}: keys"), || suite.pair());
        return;
    }
    // Without the algorithm there is nothing to do.
    if it.step(format!("{name}: keys"), || suite.pair()).is_none() {
        return;
    }
    let more = if are_all { MORE_TALKS.as_slice() } else { &[] };
    for (what, talk) in TALKS.iter().chain(more) {
        it.step(format!("{name}: {what}"), || talk(suite));
    }
}

impl CipherSuite {
    fn name(self) -> String {
        let version = if self.version == TLS_1_2 { "1.2" } else { "1.3" };
        format!("{} {version}", self.cipher.name)
    }

    /// struct tls12_crypto_info_*: version, cipher, IV, key, salt, number of the first record.
    fn keys(self, seed: u8) -> Vec<u8> {
        let Cipher { number, iv_bytes, key_bytes, salt_bytes, .. } = *self.cipher;
        let mut info = self.version.to_ne_bytes().to_vec();
        info.extend_from_slice(&number.to_ne_bytes());
        info.extend((0..iv_bytes + key_bytes + salt_bytes).map(|at| (at as u8).wrapping_mul(7) ^ seed));
        // Its lower half wraps around after 16 records.
        info.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0xff, 0xf0]);
        info
    }

    /// A connection of which both ends have keys, in both directions.
    fn pair(self) -> io::Result<Pair> {
        self.keyed(connect("127.0.0.1:0", None)?)
    }

    fn keyed(self, pair: Pair) -> io::Result<Pair> {
        for end in [&pair.one, &pair.other] {
            attach(end)?;
            set(end, TX, &self.keys(1))?;
            set(end, RX, &self.keys(1))?;
        }
        Ok(pair)
    }

    /// What goes over the wire for these records.
    fn wire(self, records: &[(u8, &[u8])]) -> io::Result<Vec<u8>> {
        let Pair { one, mut other } = connect("127.0.0.1:0", None)?;
        attach(&one)?;
        set(&one, TX, &self.keys(1))?;
        for (kind, data) in records {
            send(&one, &[data], &record_type(*kind), 0)?;
        }
        drop(one);
        let mut bytes = Vec::new();
        other.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// A connection from an end without TLS to one that receives it.
    fn raw_pair(self) -> io::Result<Pair> {
        let pair = connect("127.0.0.1:0", None)?;
        pair.one.set_nodelay(true)?;
        attach(&pair.other)?;
        set(&pair.other, RX, &self.keys(1))?;
        Ok(pair)
    }

    /// An end that has received these bytes.
    fn receiver_of(self, bytes: &[u8]) -> io::Result<Pair> {
        let mut pair = self.raw_pair()?;
        pair.one.write_all(bytes)?;
        Ok(pair)
    }
}

#[derive(Debug)]
struct Pair {
    one: TcpStream,
    other: TcpStream,
}

impl Pair {
    /// Sends this and compares what comes out.
    fn carries(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.one).write_all(bytes)?;
        arrives(&self.other, bytes)
    }
}

/// A connection whose receiving end has a buffer of so many bytes.
fn connect(address: &str, buffer_bytes: Option<i32>) -> io::Result<Pair> {
    let listener = TcpListener::bind(address)?;
    if let Some(bytes) = buffer_bytes {
        set_at(&listener, libc::SOL_SOCKET, libc::SO_RCVBUF, &bytes.to_ne_bytes())?;
    }
    let one = TcpStream::connect(listener.local_addr()?)?;
    let (other, _) = listener.accept()?;
    if let Some(bytes) = buffer_bytes {
        set_at(&one, libc::SOL_SOCKET, libc::SO_SNDBUF, &bytes.to_ne_bytes())?;
    }
    for end in [&one, &other] {
        end.set_read_timeout(Some(PATIENCE))?;
        end.set_write_timeout(Some(PATIENCE))?;
    }
    Ok(Pair { one, other })
}

fn set_at(socket: &impl AsRawFd, level: i32, option: i32, value: &[u8]) -> io::Result<()> {
    sys!(SYS_setsockopt, socket.as_raw_fd(), level, option, value.as_ptr(), value.len()).map(drop)
}

fn set(socket: &TcpStream, option: i32, value: &[u8]) -> io::Result<()> {
    set_at(socket, SOL_TLS, option, value)
}

fn get(socket: &TcpStream, option: i32, bytes: usize) -> io::Result<Vec<u8>> {
    let mut value = vec![0_u8; bytes];
    let mut length = bytes as u32;
    sys!(SYS_getsockopt, socket.as_raw_fd(), SOL_TLS, option, value.as_mut_ptr(), &raw mut length)?;
    value.truncate(length as usize);
    Ok(value)
}

fn attach(socket: &TcpStream) -> io::Result<()> {
    set_at(socket, libc::IPPROTO_TCP, libc::TCP_ULP, b"tls")
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at / 3) as u8).collect()
}

fn arrives(mut socket: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut got = vec![0_u8; bytes.len()];
    socket.read_exact(&mut got)?;
    same(&got, bytes)
}

fn same(got: &[u8], bytes: &[u8]) -> io::Result<()> {
    if got == bytes { Ok(()) } else { wrong("other bytes came out") }
}

/// That this error is the end. Any other one is the end of the step.
fn fails<T>(expected: i32, end: io::Result<T>) -> io::Result<()> {
    match end {
        Ok(_) => wrong("it was accepted"),
        Err(error) if error.raw_os_error() == Some(expected) => Ok(()),
        Err(error) => Err(error),
    }
}

/// struct cmsghdr with its data, padded.
fn control_message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let mut bytes = (16 + data.len()).to_ne_bytes().to_vec();
    bytes.extend_from_slice(&level.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn record_type(kind: u8) -> Vec<u8> {
    if kind == DATA { Vec::new() } else { control_message(SOL_TLS, SET_RECORD_TYPE, &[kind]) }
}

fn iovecs(parts: &[&[u8]]) -> Vec<[usize; 2]> {
    parts.iter().map(|part| [part.as_ptr() as usize, part.len()]).collect()
}

/// sendmsg().
fn send(socket: &TcpStream, parts: &[&[u8]], control: &[u8], flags: i32) -> io::Result<usize> {
    let parts = iovecs(parts);
    // struct msghdr: name, parts, control message, flags.
    let message =
        [0, 0, parts.as_ptr() as usize, parts.len(), control.as_ptr() as usize, control.len(), 0_usize];
    let sent = sys!(SYS_sendmsg, socket.as_raw_fd(), message.as_ptr(), flags | libc::MSG_NOSIGNAL)?;
    usize::try_from(sent).map_err(io::Error::other)
}

/// recvmsg(): what was received, and the type of its record where there was room for it.
fn receive_with(
    socket: &TcpStream,
    bytes: usize,
    room: usize,
    flags: i32,
) -> io::Result<(Vec<u8>, Option<u8>)> {
    let (mut data, mut control) = (vec![0_u8; bytes], [0_u8; 64]);
    let part = [data.as_mut_ptr() as usize, bytes];
    let mut message = [0, 0, part.as_ptr() as usize, 1, control.as_mut_ptr() as usize, room, 0];
    let got = sys!(SYS_recvmsg, socket.as_raw_fd(), message.as_mut_ptr(), flags)?;
    data.truncate(usize::try_from(got).unwrap_or(0));
    let kind = (message[5] > 16).then_some(control[16]);
    Ok((data, kind))
}

fn receive(socket: &TcpStream, bytes: usize, flags: i32) -> io::Result<Vec<u8>> {
    Ok(receive_with(socket, bytes, 64, flags)?.0)
}

/// One record of this type.
fn record_arrives(socket: &TcpStream, kind: u8, bytes: &[u8]) -> io::Result<()> {
    let (got, got_kind) = receive_with(socket, bytes.len() + 10, 64, 0)?;
    if got_kind != Some(kind) {
        return wrong("another type came out");
    }
    same(&got, bytes)
}

fn sizes(suite: CipherSuite) -> io::Result<()> {
    let Pair { one, other } = suite.pair()?;
    if (&one).write(&[])? != 0 {
        return wrong("more than nothing was sent");
    }
    // The largest record has 16384 bytes.
    for bytes in [1, 100, 4096, 16_384, 16_385, 17_000] {
        let data = pattern(bytes);
        (&one).write_all(&data)?;
        (&other).write_all(&data)?;
        arrives(&other, &data)?;
        arrives(&one, &data)?;
    }
    Ok(())
}

/// MSG_MORE leaves a record open, and a record has room for MAX_SKB_FRAGS pieces of memory.
fn pieces(suite: CipherSuite) -> io::Result<()> {
    let pair = suite.pair()?;
    let data = pattern(18_000);
    for part in data[..300].chunks(100) {
        send(&pair.one, &[part], &[], libc::MSG_MORE)?;
    }
    fails(libc::EAGAIN, receive(&pair.other, 10, libc::MSG_DONTWAIT))?;
    send(&pair.one, &[&data[300..400]], &[], libc::MSG_EOR)?;
    arrives(&pair.other, &data[..400])?;
    for part in data.chunks(3000) {
        send(&pair.one, &[part], &[], libc::MSG_MORE)?;
    }
    // A control record ends the one that is open.
    send(&pair.one, &[b"alert"], &record_type(ALERT), 0)?;
    arrives(&pair.other, &data)?;
    record_arrives(&pair.other, ALERT, b"alert")?;
    // More separate buffers than a record has room for.
    let parts: Vec<Vec<u8>> = (0..24).map(|at| pattern(100 + at)).collect();
    let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    send(&pair.one, &slices[..3], &[], 0)?;
    arrives(&pair.other, &parts[..3].concat())?;
    send(&pair.one, &slices, &[], 0)?;
    arrives(&pair.other, &parts.concat())
}

/// A file without a name that holds this.
fn file_of(bytes: &[u8]) -> io::Result<fs::File> {
    let file = descriptor(sys!(SYS_memfd_create, c"tls".as_ptr(), libc::MFD_CLOEXEC))?;
    let mut file = fs::File::from(file);
    file.write_all(bytes)?;
    Ok(file)
}

fn send_file(socket: &TcpStream, file: &fs::File, bytes: usize) -> io::Result<i64> {
    let mut offset = 0_i64;
    sys!(SYS_sendfile, socket.as_raw_fd(), file.as_raw_fd(), &raw mut offset, bytes)
}

fn splice(from: &impl AsRawFd, to: &impl AsRawFd, bytes: usize, flags: u32) -> io::Result<i64> {
    sys!(SYS_splice, from.as_raw_fd(), 0, to.as_raw_fd(), 0, bytes, flags)
}

fn from_pages(suite: CipherSuite) -> io::Result<()> {
    let pair = suite.pair()?;
    let data = pattern(17_000);
    let file = file_of(&data)?;
    // More than there is: the record that is open is ended by tls_sw_splice_eof().
    for (zero_copy, bytes) in [(0_u32, data.len()), (1, 60_000)] {
        set(&pair.one, TX_ZEROCOPY_RO, &zero_copy.to_ne_bytes())?;
        send_file(&pair.one, &file, bytes)?;
        arrives(&pair.other, &data)?;
    }
    let (out, into) = sys::pipe()?;
    sys!(SYS_write, into.as_raw_fd(), data.as_ptr(), 5000)?;
    splice(&out, &pair.one, 2500, libc::SPLICE_F_MORE)?;
    splice(&out, &pair.one, 2500, 0)?;
    arrives(&pair.other, &data[..5000])?;
    // One byte of each of 24 pages, in two turns, as a pipe holds 16.
    let pages = vec![9_u8; 24 * 4096];
    for turn in pages.chunks(12 * 4096) {
        let bytes: Vec<&[u8]> = turn.chunks(4096).map(|page| &page[..1]).collect();
        let parts = iovecs(&bytes);
        sys!(SYS_vmsplice, into.as_raw_fd(), parts.as_ptr(), parts.len(), 0)?;
        splice(&out, &pair.one, 12, libc::SPLICE_F_MORE)?;
    }
    send(&pair.one, &[&[9; 6]], &[], 0)?;
    arrives(&pair.other, &[9; 30])
}

fn into_pipe(suite: CipherSuite) -> io::Result<()> {
    let pair = suite.pair()?;
    let data = pattern(3000);
    let (out, into) = sys::pipe()?;
    fails(libc::EAGAIN, splice(&pair.other, &into, 100, libc::SPLICE_F_NONBLOCK))?;
    (&pair.one).write_all(&data)?;
    let mut got = vec![0_u8; data.len()];
    let mut at = 0;
    for bytes in [1000, 3000] {
        let moved = splice(&pair.other, &into, bytes, 0)?;
        at += usize::try_from(moved).unwrap_or(0);
    }
    sys!(SYS_read, out.as_raw_fd(), got.as_mut_ptr(), got.len())?;
    if at != data.len() {
        return wrong("not all came out");
    }
    same(&got, &data)?;
    send(&pair.one, &[b"alert"], &record_type(ALERT), 0)?;
    fails(libc::EINVAL, splice(&pair.other, &into, 100, 0))?;
    record_arrives(&pair.other, ALERT, b"alert")
}

/// Records of different types are not received together.
fn control(suite: CipherSuite) -> io::Result<()> {
    let Pair { one, other } = suite.pair()?;
    let long = pattern(2000);
    let records: [(u8, &[u8]); 6] =
        [(ALERT, b"a"), (DATA, &long), (HANDSHAKE, b"hello"), (HANDSHAKE, &long), (DATA, b"x"), (99, b"99")];
    for (kind, data) in records {
        send(&one, &[data], &record_type(kind), 0)?;
    }
    for (kind, data) in records {
        record_arrives(&other, kind, data)?;
    }
    // One record in parts.
    send(&one, &[&long], &record_type(HANDSHAKE), 0)?;
    for part in long.chunks(500) {
        if receive_with(&other, 500, 64, 0)? != (part.to_vec(), Some(HANDSHAKE)) {
            return wrong("another record came out");
        }
    }
    Ok(())
}

fn broken_tag(suite: CipherSuite) -> io::Result<()> {
    let mut bytes = suite.wire(&[(DATA, b"first"), (DATA, &pattern(500))])?;
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    let mut pair = suite.receiver_of(&bytes)?;
    arrives(&pair.other, b"first")?;
    fails(libc::EBADMSG, pair.other.read(&mut [0; 1000]))?;
    fails(libc::EAGAIN, receive(&pair.other, 10, libc::MSG_DONTWAIT)).or_else(|error| {
        // All readers see the error of an asynchronous algorithm (tls_decrypt_done()).
        if error.raw_os_error() == Some(libc::EBADMSG) { Ok(()) } else { Err(error) }
    })
}

fn many_records(suite: CipherSuite) -> io::Result<()> {
    let data = pattern(30);
    let bytes = suite.wire(&[(DATA, data.as_slice()); 40])?;
    let pair = suite.receiver_of(&bytes)?;
    let all = data.repeat(40);
    same(&receive(&pair.other, 1100, libc::MSG_WAITALL)?, &all[..1100])?;
    arrives(&pair.other, &all[1100..])
}

/// With TLS 1.3 the type stands behind the data and may be followed by zeros: a record of type 0 that ends in the number of a type
/// is a padded one.
fn padding(suite: CipherSuite) -> io::Result<()> {
    let padded = |zeros: usize| [b"data".as_slice(), &[DATA], &vec![0; zeros]].concat();
    if suite.version != TLS_1_3 {
        let pair = suite.receiver_of(&suite.wire(&[(0, &padded(3))])?)?;
        return fails(libc::EBADMSG, receive(&pair.other, 100, 0));
    }
    let (few, many) = (padded(0), padded(2000));
    let bytes = suite.wire(&[
        (0, &few),
        (0, &many),
        (0, &[DATA]),
        (0, &[b'h', HANDSHAKE, 0]),
        (DATA, b"data"),
        (0, &[0; 20]),
    ])?;
    for no_padding in [0_u32, 1] {
        let pair = suite.raw_pair()?;
        set(&pair.other, RX_EXPECT_NO_PAD, &no_padding.to_ne_bytes())?;
        (&pair.one).write_all(&bytes)?;
        arrives(&pair.other, b"datadata")?;
        // The empty record is received alone: the next one is of another type.
        same(&receive(&pair.other, 100, 0)?, &[])?;
        record_arrives(&pair.other, HANDSHAKE, b"h")?;
        arrives(&pair.other, b"data")?;
        fails(libc::EBADMSG, receive(&pair.other, 100, 0))?;
    }
    Ok(())
}

fn peek(suite: CipherSuite) -> io::Result<()> {
    let Pair { one, other } = suite.pair()?;
    let data = pattern(300);
    for part in data.chunks(100) {
        send(&one, &[part], &[], 0)?;
    }
    for bytes in [50, 150, 300, 250] {
        same(&receive(&other, bytes, libc::MSG_PEEK | libc::MSG_WAITALL)?, &data[..bytes])?;
    }
    same(&receive(&other, 150, libc::MSG_WAITALL)?, &data[..150])?;
    same(&receive(&other, 100, libc::MSG_PEEK | libc::MSG_WAITALL)?, &data[150..250])?;
    arrives(&other, &data[150..])?;
    send(&one, &[b"alert"], &record_type(ALERT), 0)?;
    for flags in [libc::MSG_PEEK, 0] {
        if receive_with(&other, 100, 64, flags)? != (b"alert".to_vec(), Some(ALERT)) {
            return wrong("another record came out");
        }
    }
    fails(libc::EAGAIN, receive(&other, 100, libc::MSG_PEEK | libc::MSG_DONTWAIT))
}

/// What the socket is ready for, of these events.
fn ready(socket: &TcpStream, events: i16, milliseconds: i32) -> io::Result<i16> {
    let mut polled = [libc::pollfd { fd: socket.as_raw_fd(), events, revents: 0 }];
    sys::poll(&mut polled, milliseconds)?;
    Ok(polled[0].revents)
}

fn is_ready(socket: &TcpStream, expected: i16, events: i16) -> io::Result<()> {
    let milliseconds = if expected == 0 { 0 } else { 2000 };
    match ready(socket, events, milliseconds)? == expected {
        true => Ok(()),
        false => wrong("it is ready for something else"),
    }
}

fn poll(suite: CipherSuite) -> io::Result<()> {
    let Pair { one, other } = suite.pair()?;
    is_ready(&other, 0, libc::POLLIN)?;
    is_ready(&other, libc::POLLOUT, libc::POLLIN | libc::POLLOUT)?;
    send(&one, &[&pattern(100)], &[], 0)?;
    is_ready(&other, libc::POLLIN, libc::POLLIN)?;
    same(&receive(&other, 50, libc::MSG_DONTWAIT)?, &pattern(50))?;
    is_ready(&other, libc::POLLIN, libc::POLLIN)?;
    receive(&other, 50, libc::MSG_DONTWAIT)?;
    is_ready(&other, 0, libc::POLLIN)?;
    one.shutdown(Shutdown::Write)?;
    is_ready(&other, libc::POLLIN | libc::POLLRDHUP, libc::POLLIN | libc::POLLRDHUP)?;
    same(&receive(&other, 50, 0)?, &[])
}

fn small_buffers(suite: CipherSuite) -> io::Result<()> {
    let Pair { one, other } = suite.pair()?;
    let data = pattern(6000);
    (&one).write_all(&data[..3000])?;
    (&one).write_all(&data[3000..])?;
    same(&receive(&other, 0, libc::MSG_DONTWAIT)?, &[])?;
    let mut got = Vec::new();
    for bytes in [1, 7, 100, 2900, 4000].into_iter().cycle().take(20) {
        let left = data.len() - got.len();
        if left > 0 {
            got.extend(receive(&other, bytes.min(left), 0)?);
        }
    }
    same(&got, &data)?;
    // Into several places.
    (&one).write_all(&data[..3000])?;
    let mut places = [vec![0_u8; 1], vec![0; 1000], vec![0; 1999]];
    let mut parts: Vec<_> = places.iter_mut().map(|place| io::IoSliceMut::new(place)).collect();
    let got = (&other).read_vectored(&mut parts)?;
    if got == 3000 { same(&places.concat(), &data[..3000]) } else { wrong("not all came out") }
}

fn bad_control(suite: CipherSuite) -> io::Result<()> {
    let Pair { one, other } = suite.pair()?;
    let alert = record_type(ALERT);
    let mut short = alert.clone();
    short[0] = 8;
    let mut empty = alert.clone();
    empty[0] = 16;
    for control in [control_message(SOL_TLS, 9, &[1]), control_message(1, 9, &[1]), short, empty] {
        fails(libc::EINVAL, send(&one, &[b"no"], &control, 0))?;
    }
    fails(libc::EINVAL, send(&one, &[b"no"], &alert, libc::MSG_MORE))?;
    fails(libc::EINVAL, send(&one, &[b"no"], &[], libc::MSG_MORE | libc::MSG_EOR))?;
    // The last type counts. Without data no record is sent.
    send(&one, &[b"yes"], &[record_type(HANDSHAKE), alert.clone()].concat(), 0)?;
    send(&one, &[b""], &alert, 0)?;
    record_arrives(&other, ALERT, b"yes")
}

fn no_room(suite: CipherSuite) -> io::Result<()> {
    let Pair { one, other } = suite.pair()?;
    send(&one, &[b"data"], &[], 0)?;
    same(&receive_with(&other, 100, 0, 0)?.0, b"data")?;
    send(&one, &[b"alert"], &record_type(ALERT), 0)?;
    for room in [0, 16] {
        fails(libc::EIO, receive_with(&other, 100, room, 0))?;
    }
    record_arrives(&other, ALERT, b"alert")
}

fn options(suite: CipherSuite) -> io::Result<()> {
    let Pair { one, other } = suite.pair()?;
    let number = |value: u32| value.to_ne_bytes();
    for value in [1, 0] {
        set(&one, TX_ZEROCOPY_RO, &number(value))?;
        same(&get(&one, TX_ZEROCOPY_RO, 4)?, &number(value))?;
    }
    fails(libc::EINVAL, set(&one, TX_ZEROCOPY_RO, &number(2)))?;
    fails(libc::EINVAL, set(&one, TX_ZEROCOPY_RO, &[1]))?;
    fails(libc::EINVAL, get(&one, TX_ZEROCOPY_RO, 2))?;
    if suite.version == TLS_1_3 {
        set(&one, RX_EXPECT_NO_PAD, &number(1))?;
        same(&get(&one, RX_EXPECT_NO_PAD, 4)?, &number(1))?;
        set(&one, RX_EXPECT_NO_PAD, &[0; 8])?;
        fails(libc::EINVAL, get(&one, RX_EXPECT_NO_PAD, 2))?;
    } else {
        fails(libc::EINVAL, get(&one, RX_EXPECT_NO_PAD, 4))?;
    }
    fails(libc::EINVAL, set(&one, RX_EXPECT_NO_PAD, &number(2)))?;
    for option in [0, 77] {
        fails(libc::ENOPROTOOPT, set(&one, option, &number(1)))?;
        fails(libc::ENOPROTOOPT, get(&one, option, 4))?;
    }
    // Options of other levels still work.
    one.set_nodelay(true)?;
    let _ = one.nodelay()?;
    shorter_records(&one, &other)
}

/// TLS_TX_MAX_PAYLOAD_LEN, which not each kernel has.
fn shorter_records(one: &TcpStream, other: &TcpStream) -> io::Result<()> {
    let length = |value: u16| value.to_ne_bytes();
    match set(one, TX_MAX_PAYLOAD_LEN, &length(100)) {
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => return Ok(()),
        end => end?,
    }
    same(&get(one, TX_MAX_PAYLOAD_LEN, 2)?, &length(100))?;
    for value in [10, 20_000] {
        fails(libc::EINVAL, set(one, TX_MAX_PAYLOAD_LEN, &length(value)))?;
    }
    fails(libc::EINVAL, set(one, TX_MAX_PAYLOAD_LEN, &[0; 4]))?;
    fails(libc::EINVAL, get(one, TX_MAX_PAYLOAD_LEN, 1))?;
    let data = pattern(1050);
    send(one, &[&data[..50]], &[], libc::MSG_MORE)?;
    fails(libc::EBUSY, set(one, TX_MAX_PAYLOAD_LEN, &length(200)))?;
    send(one, &[&data[50..]], &[], 0)?;
    arrives(other, &data)
}

fn keys_back(suite: CipherSuite) -> io::Result<()> {
    let pair = suite.pair()?;
    let keys = suite.keys(1);
    for option in [TX, RX] {
        same(&get(&pair.one, option, 4)?, &keys[..4])?;
        same(&get(&pair.one, option, keys.len())?, &keys)?;
        for bytes in [0, 2, 5, keys.len() + 1] {
            fails(libc::EINVAL, get(&pair.one, option, bytes))?;
        }
    }
    pair.carries(b"data")?;
    let mut expected = keys.clone();
    if let Some(last) = expected.last_mut() {
        *last += 1;
    }
    let after = get(&pair.one, TX, keys.len())?;
    // With TLS 1.2 the IV of a record is counted, too.
    same(&after[after.len() - 8..], &expected[expected.len() - 8..])
}

/// Type, version (2 bytes), length (2 bytes).
fn bad_headers(suite: CipherSuite) -> io::Result<()> {
    let good = suite.wire(&[(DATA, &pattern(200))])?;
    for (at, value, expected) in [
        (1, 9, libc::EINVAL),
        (2, 9, libc::EINVAL),
        (3, 0xff, libc::EMSGSIZE),
        (4, good[4] - 1, libc::EBADMSG),
        (5 + 20, !good[25], libc::EBADMSG),
    ] {
        let mut bytes = good.clone();
        bytes[at] = value;
        let pair = suite.receiver_of(&bytes)?;
        fails(expected, receive(&pair.other, 1000, 0))?;
    }
    let mut short = good.clone();
    (short[3], short[4]) = (0, 3);
    let pair = suite.receiver_of(&short)?;
    is_ready(&pair.other, libc::POLLERR, 0)?;
    fails(libc::EBADMSG, receive(&pair.other, 1000, 0))?;
    // Another type is part of what TLS 1.2 checks.
    let mut typed = good.clone();
    typed[0] = ALERT;
    let pair = suite.receiver_of(&typed)?;
    match suite.version {
        TLS_1_2 => fails(libc::EBADMSG, receive(&pair.other, 1000, 0)),
        _ => arrives(&pair.other, &pattern(200)),
    }
}

fn bit_by_bit(suite: CipherSuite) -> io::Result<()> {
    let data = pattern(16_000);
    let bytes = suite.wire(&[(DATA, &data), (DATA, &data)])?;
    // A buffer that has no room for a record makes the parser copy it (net/tls/tls_strp.c, tls_strp_read_copy()).
    for buffer_bytes in [None, Some(4096)] {
        let pair = connect("127.0.0.1:0", buffer_bytes)?;
        pair.one.set_nodelay(true)?;
        attach(&pair.other)?;
        set(&pair.other, RX, &suite.keys(1))?;
        let (start, rest) = bytes.split_at(300);
        for part in start.chunks(3).take(3).chain([&start[9..]]) {
            (&pair.one).write_all(part)?;
            fails(libc::EAGAIN, receive(&pair.other, 100, libc::MSG_DONTWAIT))?;
        }
        same(&exchange(&pair, rest, 2 * data.len())?, &data.repeat(2))?;
    }
    Ok(())
}

/// Sends what has room while it receives what has come, so many bytes.
fn exchange(pair: &Pair, bytes: &[u8], expected: usize) -> io::Result<Vec<u8>> {
    let (mut sent, mut got) = (0, Vec::new());
    while got.len() < expected {
        if let Ok(more) = send(&pair.one, &[&bytes[sent..]], &[], libc::MSG_DONTWAIT) {
            sent += more;
        }
        match receive(&pair.other, expected - got.len(), libc::MSG_DONTWAIT) {
            Ok(more) if more.is_empty() => return wrong("closed early"),
            Ok(more) => got.extend(more),
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {
                let ends = [(&pair.one, libc::POLLOUT), (&pair.other, libc::POLLIN)];
                let is_sending = usize::from(sent == bytes.len());
                let mut polled: Vec<_> = ends[is_sending..]
                    .iter()
                    .map(|(end, events)| libc::pollfd { fd: end.as_raw_fd(), events: *events, revents: 0 })
                    .collect();
                if sys::poll(&mut polled, 2000)? == 0 {
                    return wrong("nothing comes");
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

fn ends_early(suite: CipherSuite) -> io::Result<()> {
    let bytes = suite.wire(&[(DATA, b"first"), (DATA, &pattern(500))])?;
    for length in [bytes.len() - 1, bytes.len() - 400, bytes.len() - 510] {
        let Pair { one, other } = suite.receiver_of(&bytes[..length])?;
        drop(one);
        arrives(&other, b"first")?;
        same(&receive(&other, 1000, 0)?, &[])?;
    }
    Ok(())
}

fn replay(suite: CipherSuite) -> io::Result<()> {
    let bytes = suite.wire(&[(DATA, b"once")])?;
    let pair = suite.receiver_of(&bytes.repeat(2))?;
    same(&receive(&pair.other, 4, 0)?, b"once")?;
    fails(libc::EBADMSG, receive(&pair.other, 100, 0))
}

fn late_keys(suite: CipherSuite) -> io::Result<()> {
    let data = pattern(2000);
    let bytes = suite.wire(&[(DATA, &data), (ALERT, b"alert")])?;
    let pair = connect("127.0.0.1:0", None)?;
    (&pair.one).write_all(&bytes)?;
    attach(&pair.other)?;
    set(&pair.other, RX, &suite.keys(1))?;
    is_ready(&pair.other, libc::POLLIN, libc::POLLIN)?;
    arrives(&pair.other, &data)?;
    record_arrives(&pair.other, ALERT, b"alert")
}

/// TLS 1.3 alone can have new keys (net/tls/tls_main.c, do_tls_setsockopt_conf()).
fn new_keys(suite: CipherSuite) -> io::Result<()> {
    let pair = suite.pair()?;
    let keys = suite.keys(2);
    if suite.version != TLS_1_3 {
        fails(libc::EBUSY, set(&pair.one, TX, &keys))?;
        fails(libc::EBUSY, set(&pair.other, RX, &keys))?;
        return pair.carries(b"data");
    }
    send(&pair.one, &[b"before"], &[], 0)?;
    send(&pair.one, &[&KEY_UPDATE], &record_type(HANDSHAKE), 0)?;
    set(&pair.one, TX, &keys)?;
    send(&pair.one, &[b"after"], &[], 0)?;
    record_arrives(&pair.other, DATA, b"before")?;
    record_arrives(&pair.other, HANDSHAKE, &KEY_UPDATE)?;
    is_ready(&pair.other, 0, libc::POLLIN)?;
    fails(libc::EKEYEXPIRED, receive(&pair.other, 100, 0))?;
    // What is no key for this connection changes nothing.
    fails(libc::EINVAL, set(&pair.other, RX, &keys[..keys.len() - 1]))?;
    let others = [CipherSuite { cipher: &CIPHERS[1], ..suite }, CipherSuite { version: TLS_1_2, ..suite }];
    for other in others {
        fails(libc::EINVAL, set(&pair.other, RX, &other.keys(2)))?;
    }
    set(&pair.other, RX, &keys)?;
    is_ready(&pair.other, libc::POLLIN, libc::POLLIN)?;
    arrives(&pair.other, b"after")?;
    // The other direction has its old keys.
    (&pair.other).write_all(b"back")?;
    arrives(&pair.one, b"back")?;
    // A handshake record of another kind changes nothing.
    send(&pair.one, &[b"\x04ticket"], &record_type(HANDSHAKE), 0)?;
    record_arrives(&pair.other, HANDSHAKE, b"\x04ticket")?;
    pair.carries(&pattern(3000))
}

fn other_keys(suite: CipherSuite) -> io::Result<()> {
    if suite.version != TLS_1_3 {
        let pair = connect("127.0.0.1:0", None)?;
        attach(&pair.one)?;
        attach(&pair.other)?;
        set(&pair.one, TX, &suite.keys(1))?;
        set(&pair.other, RX, &suite.keys(2))?;
        send(&pair.one, &[b"data"], &[], 0)?;
        return fails(libc::EBADMSG, receive(&pair.other, 100, 0));
    }
    let pair = suite.pair()?;
    set(&pair.one, TX, &suite.keys(2))?;
    send(&pair.one, &[b"data"], &[], 0)?;
    fails(libc::EBADMSG, receive(&pair.other, 100, 0))
}

/// Sends until there is no room left; how many bytes were taken.
fn fill(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while let Some(left) = bytes.get(sent..).filter(|left| !left.is_empty()) {
        match send(socket, &[left.get(..5000).unwrap_or(left)], &[], libc::MSG_DONTWAIT) {
            Ok(more) => sent += more,
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// A record of which only a part had room is sent later, by tx_work_handler() of net/tls/tls_sw.c.
fn full_buffers(suite: CipherSuite) -> io::Result<()> {
    let pair = suite.keyed(connect("127.0.0.1:0", Some(8192))?)?;
    let data = pattern(200_000);
    let sent = fill(&pair.one, &data)?;
    if sent == data.len() {
        return wrong("there is room without an end");
    }
    arrives(&pair.other, &data[..sent])?;
    is_ready(&pair.one, libc::POLLOUT, libc::POLLOUT)?;
    pair.carries(&data[..3000])
}

fn full_buffers_closed(suite: CipherSuite) -> io::Result<()> {
    for is_receiver_first in [false, true] {
        let Pair { one, other } = suite.keyed(connect("127.0.0.1:0", Some(8192))?)?;
        fill(&one, &pattern(200_000))?;
        send(&other, &[b"not read"], &[], 0)?;
        match is_receiver_first {
            true => drop(other),
            false => drop(one),
        }
    }
    Ok(())
}

fn closed_early(suite: CipherSuite) -> io::Result<()> {
    // A record that is open is lost.
    let Pair { one, other } = suite.pair()?;
    send(&one, &[b"done"], &[], 0)?;
    send(&one, &[b"open"], &[], libc::MSG_MORE)?;
    drop(one);
    arrives(&other, b"done")?;
    same(&receive(&other, 100, 0)?, &[])?;
    drop(other);
    let Pair { one, other } = suite.pair()?;
    send(&one, &[b"open"], &[], libc::MSG_MORE)?;
    one.shutdown(Shutdown::Write)?;
    let _ = fails(libc::EPIPE, send(&one, &[b"no"], &[], 0));
    same(&receive(&other, 100, 0)?, &[])?;
    (&other).write_all(b"still")?;
    arrives(&one, b"still")?;
    // Records that are not read, one of them decrypted.
    let Pair { one, other } = suite.pair()?;
    for _ in 0..3 {
        send(&one, &[&pattern(1000)], &[], 0)?;
    }
    receive(&other, 10, 0)?;
    let _ = other.shutdown(Shutdown::Read);
    drop(other);
    let _ = send(&one, &[b"no"], &[], 0);
    let _ = receive(&one, 10, libc::MSG_DONTWAIT);
    Ok(())
}

/// Two of them take turns (net/tls/tls_sw.c, tls_rx_reader_acquire()).
fn waiting_readers(suite: CipherSuite) -> io::Result<()> {
    let pair = suite.pair()?;
    let reader = || match receive(&pair.other, 10, libc::MSG_WAITALL)?.len() {
        10 => Ok(()),
        _ => wrong("not all came out"),
    };
    let first = fork(reader)?;
    let second = fork(reader);
    std::thread::sleep(Duration::from_millis(20));
    let sent = (0..2).try_for_each(|_| send(&pair.one, &[&[7; 10]], &[], 0).map(drop));
    let ends = [reap(first), second.and_then(reap)];
    sent?;
    ends.into_iter().collect()
}

fn bad_pointers(suite: CipherSuite) -> io::Result<()> {
    let pair = suite.pair()?;
    let (one, other) = (pair.one.as_raw_fd(), pair.other.as_raw_fd());
    for flags in [libc::MSG_OOB, libc::MSG_ZEROCOPY, 0x4000_0000 | libc::MSG_FASTOPEN] {
        fails(libc::EOPNOTSUPP, send(&pair.one, &[b"no"], &[], flags))?;
    }
    fails(libc::EAGAIN, receive(&pair.other, 10, libc::MSG_ERRQUEUE))?;
    fails(libc::EOPNOTSUPP, sys!(SYS_connect, one, [0_u8; 16].as_ptr(), 16))?;
    for bytes in [10, 20_000] {
        for flags in [0, libc::MSG_MORE] {
            fails(libc::EFAULT, sys!(SYS_sendto, one, 16, bytes, flags, 0, 0))?;
        }
    }
    for option in [TX, RX] {
        fails(libc::EFAULT, sys!(SYS_setsockopt, one, SOL_TLS, option, 16, 40)).or_else(busy)?;
        let mut length = 4_u32;
        fails(libc::EFAULT, sys!(SYS_getsockopt, one, SOL_TLS, option, 16, &raw mut length))?;
        fails(libc::EFAULT, sys!(SYS_getsockopt, one, SOL_TLS, option, 16, 16))?;
    }
    pair.carries(b"data")?;
    // This breaks the connection (tls_rx_one_record()).
    send(&pair.one, &[&pattern(100)], &[], 0)?;
    fails(libc::EFAULT, sys!(SYS_recvfrom, other, 16, 200, 0, 0, 0))
}

/// A KCM socket on top of TLS reads with tls_sw_read_sock(); its messages have 10 bytes here. All data is there before it is
/// attached: KCM reads that in a worker, and reads later data in a softirq. An asynchronous algorithm would have to be waited for
/// there.
fn multiplexed(suite: CipherSuite) -> io::Result<()> {
    let data = pattern(40);
    // No message is in two records: __strp_recv() of net/strparser/strparser.c appends an skb as a whole, and the skb of a record
    // has its tag behind the data.
    let bytes =
        suite.wire(&[(DATA, &data[..10]), (DATA, &data[10..30]), (DATA, &data[30..]), (ALERT, b"alert")])?;
    let pair = suite.receiver_of(&bytes)?;
    let other = &pair.other;
    has_come(other, bytes.len())?;
    // BPF_PROG_TYPE_SOCKET_FILTER: r0 = 10; exit.
    let parser = bpf::load(1, &[bpf::instruction(0xb7, 0, 0, 0, 10), bpf::NOTHING[1]], 0)?;
    // AF_KCM, SIOCKCMATTACH.
    let messages = descriptor(sys!(SYS_socket, 41, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?;
    let messages = TcpStream::from(messages);
    messages.set_read_timeout(Some(PATIENCE))?;
    let ends = [other.as_raw_fd(), parser.as_raw_fd()];
    sys!(SYS_ioctl, messages.as_raw_fd(), 0x89e0, ends.as_ptr())?;
    for part in data.chunks(10) {
        let mut got = [0_u8; 20];
        let bytes = sys!(SYS_recvfrom, messages.as_raw_fd(), got.as_mut_ptr(), got.len(), 0, 0, 0)?;
        same(got.get(..usize::try_from(bytes).unwrap_or(0)).unwrap_or_default(), part)?;
    }
    drop(messages);
    // A control record is left to others.
    record_arrives(other, ALERT, b"alert")
}

/// Waits until so many bytes can be read.
fn has_come(socket: &TcpStream, bytes: usize) -> io::Result<()> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let mut come = 0_i32;
        sys!(SYS_ioctl, socket.as_raw_fd(), libc::FIONREAD, &raw mut come)?;
        if usize::try_from(come).is_ok_and(|come| come >= bytes) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    wrong("not all came")
}

/// With TLS 1.2 keys are refused before they are read.
fn busy(error: io::Error) -> io::Result<()> {
    if error.raw_os_error() == Some(libc::EBUSY) { Ok(()) } else { Err(error) }
}

/// Sockets and keys that are no good.
fn refused(it: &mut Exercise) {
    let suite = CipherSuite { cipher: &CIPHERS[0], version: TLS_1_2 };
    it.step("refused: not connected", || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        fails(libc::ENOTCONN, set_at(&listener, libc::IPPROTO_TCP, libc::TCP_ULP, b"tls"))?;
        let socket = descriptor(sys!(SYS_socket, libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0))?;
        fails(libc::ENOTCONN, set_at(&socket, libc::IPPROTO_TCP, libc::TCP_ULP, b"tls"))
    });
    it.step("refused: attached twice", || {
        let pair = connect("127.0.0.1:0", None)?;
        fails(libc::ENOENT, set_at(&pair.one, libc::IPPROTO_TCP, libc::TCP_ULP, b"no-such"))?;
        attach(&pair.one)?;
        fails(libc::EEXIST, attach(&pair.one))?;
        // Without keys it sends and receives as before.
        pair.carries(b"plain")
    });
    it.step("refused: sockets of a map", || socket_map(suite));
    it.step("refused: no keys to read", || {
        let pair = connect("127.0.0.1:0", None)?;
        attach(&pair.one)?;
        fails(libc::EBUSY, get(&pair.one, TX, 4))?;
        fails(libc::EBUSY, get(&pair.one, RX, 40))?;
        fails(libc::EINVAL, set(&pair.one, RX_EXPECT_NO_PAD, &[0; 4]))
    });
    let mut version = suite.keys(1);
    version[..2].copy_from_slice(&0x0302_u16.to_ne_bytes());
    let mut number = suite.keys(1);
    number[2..4].copy_from_slice(&99_u16.to_ne_bytes());
    let keys = suite.keys(1);
    let long = [keys.as_slice(), &[0]].concat();
    for (name, keys) in [
        ("version", version.as_slice()),
        ("cipher", &number),
        ("long keys", &long),
        ("short keys", &keys[..keys.len() - 1]),
        ("no keys", &keys[..4]),
        ("half a header", &keys[..2]),
    ] {
        it.step(format!("refused: {name}"), || {
            let pair = connect("127.0.0.1:0", None)?;
            attach(&pair.one)?;
            fails(libc::EINVAL, set(&pair.one, TX, keys))?;
            fails(libc::EINVAL, set(&pair.one, RX, keys))
        });
    }
    it.step("refused: two ciphers on one socket", || {
        let pair = connect("127.0.0.1:0", None)?;
        attach(&pair.one)?;
        set(&pair.one, TX, &suite.keys(1))?;
        let other = CipherSuite { cipher: &CIPHERS[1], ..suite };
        fails(libc::EINVAL, set(&pair.one, RX, &other.keys(1)))?;
        set(&pair.one, RX, &suite.keys(1))
    });
}

/// A socket with TLS cannot be in a map of sockets (net/core/skmsg.c, sk_psock_init()), and one in a map has no keys.
fn socket_map(suite: CipherSuite) -> io::Result<()> {
    let pair = connect("127.0.0.1:0", None)?;
    // BPF_MAP_TYPE_SOCKMAP, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM.
    let map = bpf::Map::create(15, 4, 4, 1, 0, 0)?;
    let key = 0_u32;
    let put = |socket: &TcpStream| {
        let number = socket.as_raw_fd();
        map.element(2, (&raw const key) as u64, (&raw const number) as u64, 0)
    };
    attach(&pair.one)?;
    fails(libc::EINVAL, put(&pair.one))?;
    put(&pair.other)?;
    attach(&pair.other)?;
    fails(libc::EINVAL, set(&pair.other, TX, &suite.keys(1)))?;
    map.element(3, (&raw const key) as u64, 0, 0)?;
    pair.carries(b"plain")
}

/// What is told of sockets without keys, with keys for one direction, and for both (net/tls/tls_main.c, tls_get_info()).
fn diag() -> io::Result<()> {
    let suite = CipherSuite { cipher: &CIPHERS[0], version: TLS_1_3 };
    let both = suite.pair()?;
    set(&both.one, RX_EXPECT_NO_PAD, &1_u32.to_ne_bytes())?;
    let receiving = suite.raw_pair()?;
    attach(&receiving.one)?;
    // struct inet_diag_req_v2: family, protocol, extensions, all states, any socket.
    let mut request = [0_u8; 56];
    request[..3].copy_from_slice(&[libc::AF_INET as u8, libc::IPPROTO_TCP as u8, 0xff]);
    request[4..8].fill(0xff);
    // NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY.
    Socket::open(4)?.ask(&NetlinkMessage::new(20, DUMP, &request)).map(drop)
}

/// The name of the instance of cryptd for AES-GCM, if there is one.
fn async_driver() -> io::Result<Option<String>> {
    let text = fs::read_to_string("/proc/crypto")?;
    let is_it = |driver: &&str| driver.starts_with("cryptd(gcm");
    let mut drivers = text
        .lines()
        .filter_map(|line| line.strip_prefix("driver"))
        .map(|rest| rest.trim_start_matches([' ', ':']));
    Ok(drivers.find(is_it).map(str::to_owned))
}

/// struct crypto_user_alg: name, name of the driver, name of the module, type, mask, references, flags.
fn crypto_user(kind: u16, driver: &str) -> io::Result<()> {
    let mut body = [0_u8; 208];
    body[..8].copy_from_slice(b"gcm(aes)");
    let driver = driver.as_bytes();
    let Some(place) = body.get_mut(64..64 + driver.len().min(63)) else { return wrong("a long name") };
    place.copy_from_slice(&driver[..driver.len().min(63)]);
    // CRYPTO_ALG_TYPE_AEAD.
    body[192..196].copy_from_slice(&3_u32.to_ne_bytes());
    body[196..200].copy_from_slice(&15_u32.to_ne_bytes());
    Socket::open(libc::NETLINK_CRYPTO)?.ask(&NetlinkMessage::new(kind, ACK, &body)).map(drop)
}

/// It has a higher priority than the algorithm that it is made of (crypto/cryptd.c, cryptd_init_instance()).
fn make_async_algorithm() -> io::Result<()> {
    // CRYPTO_MSG_NEWALG makes the algorithm and still ends in EAGAIN: the algorithm's own name is another one (crypto/api.c,
    // crypto_larval_wait()).
    if async_driver()?.is_none() {
        let _ = crypto_user(0x10, "cryptd(gcm(aes))");
    }
    match async_driver()? {
        Some(_) => Ok(()),
        None => wrong("it was not made"),
    }
}

/// A connection that is not quite closed yet still uses it.
fn delete_async_algorithm() -> io::Result<()> {
    let Some(driver) = async_driver()? else { return Ok(()) };
    let began = Instant::now();
    loop {
        // CRYPTO_MSG_DELALG.
        match crypto_user(0x11, &driver) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            end => return end,
        }
    }
}
