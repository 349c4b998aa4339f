//! io_uring: a ring by raw system calls; each operation with arguments that it takes and with some that it does not; what
//! can be registered; cancelled and left behind.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;

use workloads::errno;
use workloads::exercise::{self, Exercise};
use workloads::sys;
use workloads::sys::{c_path, descriptor};
use workloads::uring::{Ring, RingEntry};

const FILE: &str = "/tmp/uring-file";

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    let _ = fs::write(FILE, vec![7; 20_000]);
    if let Some(mut ring) = it.step("a ring", || Ring::new(0)) {
        operations(it, &mut ring);
        slots(it, &mut ring);
        registered(it, &ring);
        operations_of_all_numbers(it, &mut ring);
    }
    // SQPOLL, IOPOLL, CQSIZE, CLAMP, R_DISABLED, COOP_TASKRUN, SINGLE_ISSUER, DEFER_TASKRUN, SQE128, CQE32, none.
    for flag in 0..20 {
        it.step(format!("a ring with flag {flag}"), || Ring::new(1 << flag).map(drop));
    }
    it.step("a ring of single issuer with deferred work", || Ring::new(1 << 12 | 1 << 13).map(drop));
    it.step("a ring of too many", || {
        let mut parameters = [0_u32; 30];
        sys!(SYS_io_uring_setup, 1 << 20, parameters.as_mut_ptr())
    });
    it.step("a ring of none", || {
        let mut parameters = [0_u32; 30];
        sys!(SYS_io_uring_setup, 0, parameters.as_mut_ptr())
    });
    let _ = fs::remove_file(FILE);
}

/// A step whose error is that of the first entry that has one.
fn run(it: &mut Exercise, ring: &mut Ring, name: &str, entries: &[RingEntry]) {
    it.step(name, || {
        let results = ring.run(entries)?;
        match results.iter().find(|result| **result < 0) {
            Some(error) => Err(io::Error::from_raw_os_error(-error)),
            None => Ok(()),
        }
    });
}

fn operations(it: &mut Exercise, ring: &mut Ring) {
    let Ok(file) = fs::OpenOptions::new().read(true).write(true).open(FILE) else { return };
    let fd = file.as_raw_fd();
    let mut buffer = vec![0_u8; 4096];
    let vector = [buffer.as_mut_ptr() as usize, 4096];
    let time = [0_i64, 2_000_000];
    let path = c_path(FILE);
    let (other, statx) = (c_path("/tmp/uring-other"), [0_u64; 32]);
    let mut sockets = [0_i32; 2];
    let _ = sys!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, sockets.as_mut_ptr());
    let message = [0_usize, 0, vector.as_ptr() as usize, 1, 0, 0, 0];
    let at = libc::AT_FDCWD;
    let how = [0_u64; 3];
    let all: Vec<(&str, Vec<RingEntry>)> = vec![
        ("nop", vec![RingEntry::new(0, -1)]),
        (
            "nops, linked",
            vec![RingEntry::new(0, -1).flags(4), RingEntry::new(0, -1).flags(8), RingEntry::new(0, -1)],
        ),
        ("nop that drains and is asynchronous", vec![RingEntry::new(0, -1).flags(2 | 16)]),
        ("readv", vec![RingEntry::new(1, fd).address(vector.as_ptr()).length(1)]),
        ("writev", vec![RingEntry::new(2, fd).address(vector.as_ptr()).length(1)]),
        ("readv of a bad file", vec![RingEntry::new(1, 999).address(vector.as_ptr()).length(1)]),
        ("readv of too many", vec![RingEntry::new(1, fd).address(vector.as_ptr()).length(9999)]),
        ("fsync", vec![RingEntry::new(3, fd), RingEntry::new(3, fd).how(1), RingEntry::new(3, fd).how(9)]),
        (
            "read",
            vec![
                RingEntry::new(22, fd).address(buffer.as_ptr()).length(100),
                RingEntry::new(22, fd).address(buffer.as_ptr()).length(100).flags(16),
            ],
        ),
        ("read to nowhere", vec![RingEntry::new(22, fd).address(8 as *const u8).length(100)]),
        ("write", vec![RingEntry::new(23, fd).address(buffer.as_ptr()).length(100)]),
        ("timeout", vec![RingEntry::new(11, -1).address(time.as_ptr()).length(1)]),
        (
            "timeout that is removed",
            vec![
                RingEntry::new(11, -1).address([5_i64, 0].as_ptr()).length(1).data(7),
                RingEntry::new(12, -1).address(7 as *const u8),
            ],
        ),
        ("timeout removed that is not there", vec![RingEntry::new(12, -1).address(99 as *const u8)]),
        (
            "link timeout",
            vec![
                RingEntry::new(22, sockets[0]).address(buffer.as_ptr()).length(10).flags(4),
                RingEntry::new(15, -1).address(time.as_ptr()).length(1),
            ],
        ),
        (
            "poll, removed",
            vec![RingEntry::new(6, sockets[0]).how(1).data(8), RingEntry::new(7, -1).address(8 as *const u8)],
        ),
        (
            "poll, cancelled",
            vec![
                RingEntry::new(6, sockets[0]).how(1).data(8),
                RingEntry::new(14, -1).address(8 as *const u8),
            ],
        ),
        ("cancel what is not there", vec![RingEntry::new(14, -1).address(9 as *const u8)]),
        ("cancel all", vec![RingEntry::new(14, -1).how(1 | 4)]),
        (
            "send and receive",
            vec![
                RingEntry::new(26, sockets[0]).address(buffer.as_ptr()).length(10),
                RingEntry::new(27, sockets[1]).address(buffer.as_ptr()).length(10),
            ],
        ),
        (
            "sendmsg and recvmsg",
            vec![
                RingEntry::new(9, sockets[0]).address(message.as_ptr()).length(1),
                RingEntry::new(10, sockets[1]).address(message.as_ptr()).length(1),
            ],
        ),
        ("accept of no listener", vec![RingEntry::new(13, sockets[0])]),
        ("connect", vec![RingEntry::new(16, sockets[0]).address(buffer.as_ptr()).offset(16)]),
        ("shutdown", vec![RingEntry::new(34, sockets[0]).length(1)]),
        ("fallocate", vec![RingEntry::new(17, fd).offset(0).address(8192 as *const u8)]),
        ("fadvise", vec![RingEntry::new(24, fd).length(4096).how(3)]),
        ("madvise", vec![RingEntry::new(25, -1).address(buffer.as_ptr()).length(4096).how(4)]),
        ("openat", vec![RingEntry::new(18, at).address(path.as_ptr())]),
        ("openat of nothing", vec![RingEntry::new(18, at).address(c"/no/such".as_ptr())]),
        (
            "openat2",
            vec![RingEntry::new(28, at).address(path.as_ptr()).length(24).offset(how.as_ptr() as u64)],
        ),
        (
            "openat2 of a bad size",
            vec![RingEntry::new(28, at).address(path.as_ptr()).length(1).offset(how.as_ptr() as u64)],
        ),
        (
            "statx",
            vec![RingEntry::new(21, at).address(path.as_ptr()).length(0x7ff).offset(statx.as_ptr() as u64)],
        ),
        ("close of nothing", vec![RingEntry::new(19, 999)]),
        ("splice", vec![RingEntry::new(30, fd).length(10).slot(fd as u64)]),
        ("tee", vec![RingEntry::new(33, fd).length(10)]),
        ("epoll_ctl", vec![RingEntry::new(29, fd).offset(fd as u64).length(1)]),
        (
            "linkat",
            vec![
                RingEntry::new(39, at)
                    .address(path.as_ptr())
                    .offset(other.as_ptr() as u64)
                    .length(at as u32 as u64),
            ],
        ),
        (
            "renameat",
            vec![
                RingEntry::new(35, at)
                    .address(other.as_ptr())
                    .offset(other.as_ptr() as u64)
                    .length(at as u32 as u64),
            ],
        ),
        ("unlinkat", vec![RingEntry::new(36, at).address(other.as_ptr())]),
        ("mkdirat", vec![RingEntry::new(37, at).address(other.as_ptr()).length(0o700)]),
        ("rmdir", vec![RingEntry::new(36, at).address(other.as_ptr()).how(0x200)]),
        ("symlinkat", vec![RingEntry::new(38, at).address(path.as_ptr()).offset(other.as_ptr() as u64)]),
        ("unlinkat again", vec![RingEntry::new(36, at).address(other.as_ptr())]),
        (
            "provide buffers",
            vec![RingEntry::new(31, 4).address(buffer.as_ptr()).length(64).slot(0).with(40, 5, 2)],
        ),
        ("read into one of them", vec![RingEntry::new(22, fd).length(64).flags(32).with(40, 5, 2)]),
        ("remove buffers", vec![RingEntry::new(32, 4).with(40, 5, 2)]),
        ("remove buffers again", vec![RingEntry::new(32, 4).with(40, 5, 2)]),
        ("message to itself", vec![RingEntry::new(40, ring.fd.as_raw_fd()).length(1).offset(2)]),
        (
            "setxattr",
            vec![
                RingEntry::new(42, -1)
                    .address(c"user.pp".as_ptr())
                    .offset(c"x".as_ptr() as u64)
                    .length(1)
                    .with(48, path.as_ptr() as u64, 8),
            ],
        ),
        (
            "getxattr",
            vec![
                RingEntry::new(44, -1)
                    .address(c"user.pp".as_ptr())
                    .offset(buffer.as_ptr() as u64)
                    .length(64)
                    .with(48, path.as_ptr() as u64, 8),
            ],
        ),
        ("socket", vec![RingEntry::new(45, libc::AF_INET).offset(libc::SOCK_STREAM as u64)]),
        (
            "futex wake",
            vec![RingEntry::new(52, 2).address(buffer.as_ptr()).offset(1).with(48, u64::from(u32::MAX), 8)],
        ),
        ("ftruncate", vec![RingEntry::new(55, fd).offset(8000)]),
        ("waitid of no child", vec![RingEntry::new(50, 0).length(0).how(0)]),
    ];
    for (name, entries) in all {
        run(it, ring, name, &entries);
    }
    for socket in sockets {
        let _ = sys!(SYS_close, socket);
    }
}

/// Files of the ring: opened into a slot, used by it, closed; with flags that a slot cannot have.
fn slots(it: &mut Exercise, ring: &mut Ring) {
    let path = c_path(FILE);
    let buffer = [0_u8; 64];
    let open = || RingEntry::new(18, libc::AT_FDCWD).address(path.as_ptr());
    let cloexec = libc::O_CLOEXEC as u64;
    run(it, ring, "slot without a table", &[open().slot(1)]);
    let files = [-1_i32; 8];
    it.step("a table of slots", || sys!(SYS_io_uring_register, ring.fd.as_raw_fd(), 2, files.as_ptr(), 8));
    run(it, ring, "openat into a slot", &[open().slot(1)]);
    run(it, ring, "openat into any slot", &[open().slot(u64::from(u32::MAX))]);
    for _ in 0..12 {
        let _ = ring.run(&[open().slot(2).how(cloexec)]);
    }
    run(it, ring, "openat into a slot, O_CLOEXEC", &[open().slot(2).how(cloexec)]);
    run(it, ring, "openat into no slot", &[open().slot(99)]);
    run(it, ring, "read by a slot", &[RingEntry::new(22, 0).flags(1).address(buffer.as_ptr()).length(64)]);
    run(
        it,
        ring,
        "read by an empty slot",
        &[RingEntry::new(22, 7).flags(1).address(buffer.as_ptr()).length(64)],
    );
    run(it, ring, "close a slot", &[RingEntry::new(19, 0).slot(1)]);
    run(it, ring, "close it again", &[RingEntry::new(19, 0).slot(1)]);
    run(it, ring, "update of files", &[RingEntry::new(20, 0).address(files.as_ptr()).length(4)]);
    run(it, ring, "socket into a slot", &[RingEntry::new(45, 2).offset(1).slot(3)]);
    it.step("no table of slots", || sys!(SYS_io_uring_register, ring.fd.as_raw_fd(), 3, 0, 0));
}

fn registered(it: &mut Exercise, ring: &Ring) {
    let fd = ring.fd.as_raw_fd();
    let mut memory = vec![0_u8; 16384];
    let vector = [memory.as_mut_ptr() as usize, 16384];
    it.step("buffers", || sys!(SYS_io_uring_register, fd, 0, vector.as_ptr(), 1));
    it.step("buffers again", || sys!(SYS_io_uring_register, fd, 0, vector.as_ptr(), 1));
    it.step("no buffers", || sys!(SYS_io_uring_register, fd, 1, 0, 0));
    let mut probe = [0_u64; 300];
    it.step("probe", || sys!(SYS_io_uring_register, fd, 8, probe.as_mut_ptr(), 64));
    it.step("personality", || {
        let number = sys!(SYS_io_uring_register, fd, 9, 0, 0)?;
        sys!(SYS_io_uring_register, fd, 10, 0, number)?;
        sys!(SYS_io_uring_register, fd, 10, 0, number)
    });
    it.step("event descriptor", || {
        let event = descriptor(sys!(SYS_eventfd2, 0, 0))?;
        let number = event.as_raw_fd();
        sys!(SYS_io_uring_register, fd, 4, &raw const number, 1)?;
        sys!(SYS_io_uring_register, fd, 4, &raw const number, 1).err();
        sys!(SYS_io_uring_register, fd, 5, 0, 0)
    });
    let mut argument = [0_u64; 64];
    for operation in 0..40 {
        let end = sys!(SYS_io_uring_register, fd, operation, argument.as_mut_ptr(), 1);
        let end = end.map_or_else(|error| errno::describe(&error), |_| "ok".to_owned());
        it.step(format!("register {operation}: {end}"), || Ok(()));
    }
    it.step("descriptor's information", || fs::read(format!("/proc/self/fdinfo/{fd}")));
}

/// Every number with nothing in it.
fn operations_of_all_numbers(it: &mut Exercise, ring: &mut Ring) {
    for operation in 0..70 {
        // A poll or a wait of nothing would wait.
        if [6, 11, 15, 50, 51, 53].contains(&operation) {
            continue;
        }
        run(it, ring, &format!("operation {operation} of nothing"), &[RingEntry::new(operation, -1)]);
    }
}
