//! Pseudo terminals with each line discipline, and point-to-point links over them.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use workloads::device::{ask, number, open};
use workloads::exercise::{self, Exercise};
use workloads::sys::{Impatience, descriptor, in_child};
use workloads::{places, sys};

const LIMIT: Duration = Duration::from_secs(10);

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    it.step("own terminals", || places::mount("devpts", "/tmp/pts", "newinstance,ptmxmode=0666"));
    terminals(it);
    it.step("point to point over a terminal", || in_child(LIMIT, point_to_point));
    it.step("no terminals", || places::unmount("/tmp/pts"));
}

/// Two ends of a pseudo terminal.
fn terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let master = open("/tmp/pts/ptmx")?;
    let mut name = 0_u32;
    ask(&master, 0x4004_5431, &raw mut name)?;
    ask(&master, 0x8004_5430, &raw mut name)?;
    // TIOCGPTPEER.
    let peer =
        descriptor(number(&master, 0x5441, i64::from(libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK)))?;
    Ok((master, peer))
}

/// Line disciplines by number (include/uapi/linux/tty.h), with bytes from either side, what they are asked, and the first
/// one again.
fn terminals(it: &mut Exercise) {
    for discipline in 0..31_i32 {
        it.step(format!("line discipline {discipline}"), || {
            in_child(LIMIT, || {
                let _impatience = Impatience::after(Duration::from_millis(200));
                let (master, peer) = terminal()?;
                let value = discipline;
                // TIOCSETD.
                sys!(SYS_ioctl, peer.as_raw_fd(), 0x5423, &raw const value)?;
                let bytes = [
                    0x7e_u8, 0xff, 3, 0xc0, 0x21, 0xf9, 0x3f, 1, b'a', b'\r', b'\n', 3, 4, 0xc0, 0xdb, 0xdc,
                    0x7e,
                ];
                for fd in [&master, &peer] {
                    let _ = sys!(SYS_write, fd.as_raw_fd(), bytes.as_ptr(), bytes.len());
                }
                let mut room = [0_u8; 256];
                for fd in [&master, &peer] {
                    let _ = sys!(SYS_read, fd.as_raw_fd(), room.as_mut_ptr(), 256);
                    let one = libc::pollfd { fd: fd.as_raw_fd(), events: 7, revents: 0 };
                    let _ = sys::poll(&mut [one], 0);
                }
                // TCGETS, TCSETS, TCFLSH, TIOCOUTQ, FIONREAD, TIOCGWINSZ, TIOCSWINSZ, TCXONC, TIOCPKT, TIOCGETD, TIOCSTI, GSMIOC_*,
                // PPPIOCGUNIT, PPPIOCGCHAN, PPPIOCGFLAGS, PPPIOCGMRU, SIOCGIFNAME, SIOCGIFENCAP, HCIUARTGETPROTO.
                for request in [
                    0x5401_u32,
                    0x5402,
                    0x5411,
                    0x541b,
                    0x5413,
                    0x5414,
                    0x5424,
                    0x5412,
                    0x804c_4700,
                    0x8004_7456,
                    0x8004_7437,
                    0x8004_745a,
                    0x8004_7453,
                    0x8910,
                    0x8925,
                    0x8004_55c9,
                ] {
                    let _ = ask(&peer, request, room.as_mut_ptr());
                }
                for (request, value) in [(0x540b, 2), (0x540a, 0), (0x540a, 1), (0x5409, 1), (0x5440, 0)] {
                    let _ = number(&peer, request, value);
                }
                let first = 0_i32;
                sys!(SYS_ioctl, peer.as_raw_fd(), 0x5423, &raw const first)?;
                // The other end goes first.
                drop(master);
                let _ = sys!(SYS_write, peer.as_raw_fd(), bytes.as_ptr(), bytes.len());
                Ok(())
            })
        });
    }
    it.step("terminal in packet mode, locked, hung up", || {
        let (master, peer) = terminal()?;
        let on = 1_i32;
        sys!(SYS_ioctl, master.as_raw_fd(), 0x5420, &raw const on)?;
        sys!(SYS_ioctl, peer.as_raw_fd(), 0x540b, 2)?;
        let mut room = [0_u8; 64];
        let _ = sys!(SYS_read, master.as_raw_fd(), room.as_mut_ptr(), 64);
        for request in [0x540c_u32, 0x540d, 0x5437] {
            let _ = number(&peer, request, 0);
        }
        let again = sys!(SYS_write, peer.as_raw_fd(), room.as_ptr(), 5);
        drop((master, peer));
        again
    });
}

/// A channel of either kind, a unit, a compressor and a filter, and frames.
fn point_to_point() -> io::Result<()> {
    let (master, peer) = terminal()?;
    // N_PPP.
    let discipline = 3_i32;
    sys!(SYS_ioctl, peer.as_raw_fd(), 0x5423, &raw const discipline)?;
    let mut value = 0_i32;
    ask(&peer, 0x8004_7437, &raw mut value)?;
    let (channel, unit) = (open("/dev/ppp")?, open("/dev/ppp")?);
    // PPPIOCATTCHAN, PPPIOCNEWUNIT, PPPIOCCONNECT.
    ask(&channel, 0x4004_7438, &raw mut value)?;
    let mut any = -1_i32;
    ask(&unit, 0xc004_743e, &raw mut any)?;
    ask(&channel, 0x4004_743a, &raw mut any)?;
    let mut room = [0_u32; 64];
    for request in [
        0x8004_745a_u32,
        0x4004_7459,
        0x4004_7452,
        0x4004_7451,
        0x800c_743f,
        0x8010_743f,
        0x4008_744b,
        0x4010_744d,
        0x4010_7447,
        0x4010_7446,
    ] {
        let _ = ask(&unit, request, room.as_mut_ptr());
        let _ = ask(&channel, request, room.as_mut_ptr());
    }
    workloads::tools::run("ip link set ppp0 up")?;
    workloads::tools::run("ip addr add 10.9.9.1 peer 10.9.9.2 dev ppp0")?;
    let _ = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(&[7; 300], "10.9.9.2:9"));
    // A frame of IP and one of LCP from the other end: without their checksums they are wrong.
    for frame in [
        &[0x7e_u8, 0xff, 0x03, 0x00, 0x21, 0x45, 0, 0, 20, 0x7e][..],
        &[0x7e, 0xff, 0x7d, 0x23, 0xc0, 0x21, 0x7e],
    ] {
        let _ = sys!(SYS_write, master.as_raw_fd(), frame.as_ptr(), frame.len());
    }
    let _ = sys!(SYS_write, unit.as_raw_fd(), [0x80_u8, 0x21, 1, 1, 0, 4].as_ptr(), 6);
    let _ = sys!(SYS_write, channel.as_raw_fd(), [0xc0_u8, 0x21, 1, 1, 0, 4].as_ptr(), 6);
    std::thread::sleep(Duration::from_millis(20));
    let _ = sys!(SYS_read, unit.as_raw_fd(), room.as_mut_ptr(), 128);
    let _ = sys!(SYS_read, channel.as_raw_fd(), room.as_mut_ptr(), 128);
    // PPPIOCDISCONN.
    number(&channel, 0x7439, 0).map(drop)
}
