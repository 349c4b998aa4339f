//! Raw system calls, many of which have no wrapper and are to be called with what a wrapper would not let through.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{answers, sweep};

/// A call by its name and arguments, which are numbers and pointers: `sys!(SYS_close, 5)`.
#[macro_export]
macro_rules! sys {
    ($name:ident $(, $argument:expr)* $(,)?) => {{
        // One expression: what is made for an argument lives as long as the call.
        #[allow(clippy::unnecessary_cast, clippy::let_and_return)]
        let result = $crate::sys::named(stringify!($name), $crate::numbers::$name, &[$($argument as libc::c_long),*]);
        result
    }};
}

/// As [`call`], with the name by which it is told.
pub fn named(
    name: &'static str,
    number: libc::c_long,
    arguments: &[libc::c_long],
) -> io::Result<libc::c_long> {
    let end = call(number, arguments);
    let error = end.as_ref().err().and_then(io::Error::raw_os_error).unwrap_or_default();
    answers::note(name, number, arguments, error);
    end
}

/// What the call gave, or its error. A pointer among the arguments is one that the call may use, and one that the kernel
/// keeps is to memory that is not freed before; or else it is one that no process can use.
pub fn call(number: libc::c_long, arguments: &[libc::c_long]) -> io::Result<libc::c_long> {
    let at = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: what the caller was told about pointers; a call looks at no more arguments than it has.
    check(unsafe { libc::syscall(number, at(0), at(1), at(2), at(3), at(4), at(5)) })
}

pub fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// How many of the descriptors have something to say within so many milliseconds; -1: however long it takes. Architectures of
/// today have no poll() of their own, and the C library has.
pub fn poll(polled: &mut [libc::pollfd], milliseconds: i32) -> io::Result<libc::c_long> {
    // SAFETY: the kernel writes into the entries, of which there are so many.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, milliseconds) };
    check(ready.into())
}

/// The end of a new pipe to read from, and the one to write to.
pub fn pipe() -> io::Result<(File, File)> {
    let mut ends = [0_i32; 2];
    call(libc::SYS_pipe2, &[ends.as_mut_ptr() as libc::c_long, libc::O_CLOEXEC.into()])?;
    let [read, write] = ends.map(|end| descriptor(Ok(end.into())));
    Ok((read?.into(), write?.into()))
}

/// A new descriptor that a call gave.
pub fn descriptor(result: io::Result<libc::c_long>) -> io::Result<OwnedFd> {
    let number = i32::try_from(result?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just given it to this process, and no other value has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

pub fn c_path(path: impl AsRef<Path>) -> CString {
    // A path of this program's or of a directory's: without a zero byte.
    CString::new(path.as_ref().as_os_str().as_bytes()).unwrap_or_default()
}

/// The error of this number, for what was seen to be wrong without one.
pub fn wrong<T>(words: &str) -> io::Result<T> {
    Err(io::Error::other(words.to_owned()))
}

/// Runs `work` in a child, which is killed when it has had `limit`. Its error is the child's.
pub fn in_child(limit: Duration, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let forced = sweep::forced_in_child();
    let pid = fork(|| {
        if let Some(mut forced) = forced {
            forced()?;
        }
        work()
    })?;
    let began = Instant::now();
    while !has_ended(pid)? {
        if began.elapsed() >= limit {
            stop(pid);
            return wrong("not done in time");
        }
        // Each look costs the child some time on an emulated CPU.
        std::thread::sleep((began.elapsed() / 16).clamp(Duration::from_millis(2), Duration::from_millis(20)));
    }
    sweep::ended(pid.unsigned_abs());
    reap(pid)
}

/// Kills a child.
pub fn stop(pid: libc::pid_t) {
    // SAFETY: the caller has not reaped its child yet, so the number is the child's own.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    let _ = reap(pid);
}

/// Whether a child has ended. It stays to be reaped.
fn has_ended(pid: libc::pid_t) -> io::Result<bool> {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: a structure of which all bytes may be 0, a number of a child of this process, and a place for what became of it; of
    // one that has not ended the structure says nothing.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        match libc::waitid(libc::P_PID, pid.unsigned_abs(), &raw mut info, flags) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(info.si_pid() == pid),
        }
    }
}

/// A child that runs `work` and ends with the number of its error.
pub fn fork(work: impl FnOnce() -> io::Result<()>) -> io::Result<libc::pid_t> {
    // SAFETY: exercisers have one thread when they fork, so the child may use everything the parent could.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let code = work().map_or_else(|error| error.raw_os_error().unwrap_or(255), |()| 0);
            // SAFETY: ends this process at once; no destructor of the parent's copy may run.
            unsafe { libc::_exit(code) }
        }
        pid => Ok(pid),
    }
}

/// Waits for a child; its error.
pub fn reap(pid: libc::pid_t) -> io::Result<()> {
    let mut status = 0;
    // SAFETY: a place for the status.
    match unsafe { libc::waitpid(pid, &raw mut status, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => ended(status),
    }
}

fn ended(status: i32) -> io::Result<()> {
    match (libc::WIFEXITED(status), libc::WEXITSTATUS(status)) {
        (true, 0) => Ok(()),
        (true, 255) => wrong("not as it should be"),
        (true, number) => Err(io::Error::from_raw_os_error(number)),
        (false, _) => wrong(&format!("signal {}", libc::WTERMSIG(status))),
    }
}

/// While it lives, a call that blocks ends with EINTR after about `time`, and again and again: a signal may come a moment
/// before the call.
#[derive(Debug)]
pub struct Impatience(());

impl Impatience {
    pub fn after(time: Duration) -> Impatience {
        extern "C" fn nothing(_: libc::c_int) {}
        let handler: extern "C" fn(libc::c_int) = nothing;
        // SAFETY: a structure of which all bytes may be 0, and a handler that does nothing.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
        }
        set_timer(time);
        Impatience(())
    }
}

impl Drop for Impatience {
    fn drop(&mut self) {
        set_timer(Duration::ZERO);
    }
}

fn set_timer(time: Duration) {
    let value = libc::timeval {
        tv_sec: time.as_secs().try_into().unwrap_or(0),
        tv_usec: time.subsec_micros().into(),
    };
    let timer = libc::itimerval { it_interval: value, it_value: value };
    let _ = sys!(SYS_setitimer, libc::ITIMER_REAL, &raw const timer, 0);
}
