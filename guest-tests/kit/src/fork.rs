//! A fork that always fails, and late.

use std::io::Error;

/// The arguments of `clone3` (include/uapi/linux/sched.h, `struct clone_args`).
#[repr(C)]
#[derive(Debug, Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Forks to the process number of PID 1. The error's number: EEXIST if nothing else went wrong before.
pub fn to_a_taken_pid() -> i32 {
    let taken: libc::pid_t = 1;
    let arguments = CloneArgs {
        exit_signal: libc::SIGCHLD as u64,
        set_tid: (&raw const taken) as u64,
        set_tid_size: 1,
        ..CloneArgs::default()
    };
    // SAFETY: the structure and the number it points to outlive the call, which makes no process.
    let child = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArgs>()) };
    match child {
        -1 => Error::last_os_error().raw_os_error().unwrap_or(0),
        0 => {
            // The number was free after all: this is a child that was not wanted.
            // SAFETY: ends this process at once; no destructor of the parent's copy may run.
            unsafe { libc::_exit(0) }
        }
        _ => 0,
    }
}
