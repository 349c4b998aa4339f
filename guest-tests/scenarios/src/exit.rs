//! Process exit: a dying process frees its whole address space (`exit_mmap`).

use std::fs::File;
use std::io::{Error, Read, Write};
use std::os::fd::FromRawFd;

use kit::fault;
use kit::mapping::SparseMapping;
use kit::meter::{Meter, Performed};

/// Sent by the child when its tables are there and it is armed.
const READY: &[u8] = b"ready";

/// Forks a child that makes the tables; the meter runs from the order to exit until the child is reaped.
pub fn operate(tables: u64, armed: bool) -> Result<Performed, String> {
    let (mut child_says, child_out) = pipe()?;
    let (child_in, parent_says) = pipe()?;
    // SAFETY: this process has one thread, so the child may use everything the parent could.
    let child = unsafe { libc::fork() };
    match child {
        -1 => return Err(format!("could not fork: {}", Error::last_os_error())),
        0 => {
            drop((child_says, parent_says));
            live_and_exit(tables, armed, child_out, child_in)
        }
        _ => drop((child_out, child_in)),
    }
    let mut said = Vec::new();
    let heard =
        child_says.read_to_end(&mut said).map_err(|error| format!("could not hear the child: {error}"));
    if said != READY {
        reap(child)?;
        heard?;
        return Err(format!("the child: {}", String::from_utf8_lossy(&said)));
    }
    let meter = Meter::start()?;
    drop(parent_says);
    let status = reap(child)?;
    let performed = meter.stop()?;
    if status != 0 {
        return Err(format!("the child ended with wait status {status:#x}"));
    }
    Ok(performed)
}

/// The child: never returns, so that nothing of the parent runs twice.
fn live_and_exit(tables: u64, armed: bool, mut out: impl Write, mut order: impl Read) -> ! {
    // Kept mapped until the very end: exit is what shall free it.
    let mapping = SparseMapping::populate(tables).and_then(|mapping| {
        fault::arm_this_task(armed)?;
        Ok(mapping)
    });
    let (word, status) = match &mapping {
        Ok(_) => (READY, 0),
        Err(why) => (why.as_bytes(), 1),
    };
    let told = out.write_all(word);
    drop(out);
    // The parent orders the exit by closing its end.
    let ordered = order.read_to_end(&mut Vec::new());
    let status = if told.is_ok() && ordered.is_ok() { status } else { 1 };
    // SAFETY: ends this process at once; no destructor of the parent's copy may run.
    unsafe { libc::_exit(status) }
}

fn reap(child: libc::pid_t) -> Result<i32, String> {
    let mut status = 0;
    // SAFETY: `status` outlives the call, and `child` is our own.
    match unsafe { libc::waitpid(child, &mut status, 0) } {
        pid if pid == child => Ok(status),
        _ => Err(format!("could not wait for the child: {}", Error::last_os_error())),
    }
}

/// The reading and the writing end of a new pipe.
fn pipe() -> Result<(File, File), String> {
    let mut ends = [-1; 2];
    // SAFETY: the call writes two numbers into the array, which has room for them.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(format!("could not make a pipe: {}", Error::last_os_error()));
    }
    // SAFETY: both file descriptors are new, and nobody else owns them.
    Ok(unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) })
}
