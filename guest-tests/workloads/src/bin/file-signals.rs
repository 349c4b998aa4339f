//! Signals that files send when there is something to be done with them: of sockets, pipes, terminals, watches and input devices,
//! to a process, a thread and a group, from the writer's own context and from timers.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use workloads::device::{ask, number, open};
use workloads::exercise::{self, Exercise};
use workloads::sys;
use workloads::sys::{descriptor, in_child, wrong};

const LIMIT: Duration = Duration::from_secs(8);

/// Until a signal has to be there, on an emulated CPU.
const COMES_WITHIN: Duration = Duration::from_millis(500);

/// A held key is repeated after a quarter of a second (drivers/input/input.c, input_register_device()).
const KEY_IS_HELD: Duration = Duration::from_millis(450);

const F_SETOWN_EX: i32 = 15;
const F_SETSIG: i32 = 10;

static CAME: AtomicU32 = AtomicU32::new(0);

pub fn main() {
    exercise::run(exercise);
}

/// Two ends: something is done with the second one, and the first one sends its signal.
type FileEnds = (OwnedFd, OwnedFd);
type SignalKind = (&'static str, fn() -> io::Result<FileEnds>, fn(&FileEnds) -> io::Result<()>);

const KINDS: [SignalKind; 6] = [
    ("stream socket", || pair(libc::SOCK_STREAM), |ends| written(&ends.1)),
    ("datagram socket", || pair(libc::SOCK_DGRAM), |ends| written(&ends.1)),
    ("pipe", pipe, |ends| written(&ends.1)),
    ("terminal", terminal, |ends| written(&ends.1)),
    ("watch", watch, |_| std::fs::write("/tmp/file-signals/file", "text")),
    ("keyboard", keyboard, |ends| key_held(&ends.1)),
];

fn exercise(it: &mut Exercise) {
    for (name, make, act) in KINDS {
        for owner in ["process", "thread", "group", "nobody"] {
            it.step(format!("{name} to a {owner}"), || in_child(LIMIT, || signalled(owner, make, act)));
        }
    }
}

fn signalled(
    owner: &str,
    make: fn() -> io::Result<FileEnds>,
    act: fn(&FileEnds) -> io::Result<()>,
) -> io::Result<()> {
    extern "C" fn came(_: libc::c_int) {
        CAME.fetch_add(1, Ordering::SeqCst);
    }
    for signal in [libc::SIGIO, libc::SIGUSR1] {
        // SAFETY: the handler adds to a number.
        unsafe { libc::signal(signal, came as *const () as usize) };
    }
    // SAFETY: numbers only.
    let own = unsafe {
        libc::setpgid(0, 0);
        libc::getpid()
    };
    let ends = make()?;
    let file = ends.0.as_raw_fd();
    match owner {
        "process" => sys!(SYS_fcntl, file, libc::F_SETOWN, own)?,
        // F_OWNER_TID, F_OWNER_PGRP.
        "thread" => sys!(SYS_fcntl, file, F_SETOWN_EX, [0, own].as_ptr())?,
        "group" => sys!(SYS_fcntl, file, libc::F_SETOWN, -own)?,
        _ => 0,
    };
    sys!(SYS_fcntl, file, libc::F_SETFL, libc::O_ASYNC | libc::O_NONBLOCK)?;
    for signal in [0, libc::SIGUSR1] {
        sys!(SYS_fcntl, file, F_SETSIG, signal)?;
        CAME.store(0, Ordering::SeqCst);
        act(&ends)?;
        let began = Instant::now();
        while CAME.load(Ordering::SeqCst) == 0 && owner != "nobody" {
            if began.elapsed() > COMES_WITHIN {
                return wrong("no signal");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut room = [0_u8; 1024];
        let _ = sys!(SYS_read, file, room.as_mut_ptr(), room.len());
    }
    sys!(SYS_fcntl, file, libc::F_SETFL, libc::O_NONBLOCK)?;
    Ok(())
}

fn written(file: &OwnedFd) -> io::Result<()> {
    sys!(SYS_write, file.as_raw_fd(), c"text\n".as_ptr(), 5).map(drop)
}

fn two(make: impl FnOnce(*mut i32) -> io::Result<i64>) -> io::Result<FileEnds> {
    let mut both = [0_i32; 2];
    make(both.as_mut_ptr())?;
    Ok((descriptor(Ok(both[0].into()))?, descriptor(Ok(both[1].into()))?))
}

fn pair(kind: i32) -> io::Result<FileEnds> {
    two(|both| sys!(SYS_socketpair, libc::AF_UNIX, kind, 0, both))
}

fn pipe() -> io::Result<FileEnds> {
    two(|both| sys!(SYS_pipe2, both, 0))
}

/// The side of the program reads what the other one writes.
fn terminal() -> io::Result<FileEnds> {
    let master = open("/dev/ptmx")?;
    let (mut unlock, mut index) = (0_i32, 0_i32);
    // TIOCSPTLCK, TIOCGPTN.
    ask(&master, 0x4004_5431, &raw mut unlock)?;
    ask(&master, 0x8004_5430, &raw mut index)?;
    Ok((open(&format!("/dev/pts/{index}"))?, master))
}

fn watch() -> io::Result<FileEnds> {
    std::fs::create_dir_all("/tmp/file-signals")?;
    let watch = descriptor(sys!(SYS_inotify_init1, libc::IN_NONBLOCK))?;
    sys!(SYS_inotify_add_watch, watch.as_raw_fd(), c"/tmp/file-signals".as_ptr(), libc::IN_ALL_EVENTS)?;
    let other = descriptor(sys!(SYS_dup, watch.as_raw_fd()))?;
    Ok((watch, other))
}

/// One key, which is repeated while it is held.
fn keyboard() -> io::Result<FileEnds> {
    let known = nodes();
    let device = open("/dev/uinput")?;
    // UI_SET_EVBIT of EV_SYN, EV_KEY, EV_REP; UI_SET_KEYBIT; UI_DEV_SETUP; UI_DEV_CREATE.
    for kind in [0, 1, 0x14] {
        number(&device, 0x4004_5564, kind)?;
    }
    number(&device, 0x4004_5565, 30)?;
    let mut setup = [0_u8; 92];
    (setup[0], setup[2], setup[4]) = (3, 1, 1);
    setup[8..10].copy_from_slice(b"pp");
    ask(&device, 0x405c_5503, setup.as_mut_ptr())?;
    number(&device, 0x5501, 0)?;
    let node = nodes().into_iter().find(|node| !known.contains(node));
    Ok((open(&node.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?)?, device))
}

fn nodes() -> Vec<String> {
    let entries = std::fs::read_dir("/dev/input").into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.path().to_string_lossy().into_owned());
    names.filter(|name| name.contains("/event")).collect()
}

fn key_held(device: &OwnedFd) -> io::Result<()> {
    event(device, 1, 30, 1)?;
    event(device, 0, 0, 0)?;
    std::thread::sleep(KEY_IS_HELD);
    event(device, 1, 30, 0)?;
    event(device, 0, 0, 0)
}

/// `struct input_event`, at no time.
fn event(device: &OwnedFd, kind: u16, code: u16, value: i32) -> io::Result<()> {
    let mut event = [0_u8; 24];
    event[16..18].copy_from_slice(&kind.to_ne_bytes());
    event[18..20].copy_from_slice(&code.to_ne_bytes());
    event[20..24].copy_from_slice(&value.to_ne_bytes());
    sys!(SYS_write, device.as_raw_fd(), event.as_ptr(), 24).map(drop)
}
