//! A child process that prepares itself, says so, and goes on when it is told to.

use std::fs::File;
use std::io::{Error, Read, Write};
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// Said by a child when it is prepared.
const READY: &[u8] = b"ready";

/// A child that is prepared and waits.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    /// A byte in it tells the child to go on. Closing it would not: later children have it open too.
    go: Option<File>,
}

/// How a child ended: its wait status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(i32);

impl Child {
    /// Forks a child that runs `prepare`, waits for [`Child::go`], and then runs `work`, whose error its parent
    /// learns as exit status 1. What `prepare` made stays until the child ends.
    ///
    /// # Errors
    /// When it could not be forked, or its preparation failed: with its words.
    pub fn start<T>(
        prepare: impl FnOnce() -> Result<T, String>,
        work: impl FnOnce(&T) -> Result<(), String>,
    ) -> Result<Child, String> {
        let (mut child_says, child_out) = pipe()?;
        let (child_in, parent_says) = pipe()?;
        // SAFETY: scenarios have one thread when they fork, so the child may use everything the parent could.
        let pid = match unsafe { libc::fork() } {
            -1 => return Err(format!("could not fork: {}", Error::last_os_error())),
            0 => {
                drop((child_says, parent_says));
                live(prepare, work, child_out, child_in)
            }
            pid => Pid::from_raw(pid).ok_or("a child without a number")?,
        };
        drop((child_out, child_in));
        let child = Child { pid, go: Some(parent_says) };
        let mut said = Vec::new();
        let heard = child_says.read_to_end(&mut said);
        if said == READY {
            return Ok(child);
        }
        child.end()?;
        heard.map_err(|error| format!("could not hear the child: {error}"))?;
        Err(format!("the child: {}", String::from_utf8_lossy(&said)))
    }

    pub fn pid(&self) -> libc::pid_t {
        self.pid.as_raw_pid()
    }

    /// Tells it to go on.
    pub fn go(&mut self) {
        if let Some(mut go) = self.go.take() {
            // A child that is gone hears nothing; its end says why.
            let _ = go.write_all(&[0]);
        }
    }

    /// Kills it where it waits, and waits for its end; the time that took.
    pub fn kill_and_reap(self) -> Result<Duration, String> {
        let began = Instant::now();
        // The child is not reaped yet, so the number is still its own.
        kill_process(self.pid, Signal::KILL).map_err(|error| format!("could not kill the child: {error}"))?;
        // Not `end`, which would tell it to go on.
        let status = reap(self.pid)?;
        let took = began.elapsed();
        status.must_be(Status::KILLED)?;
        Ok(took)
    }

    /// Waits for its end, having told it to go on if that was not done.
    pub fn end(mut self) -> Result<Status, String> {
        self.go();
        reap(self.pid)
    }

    /// Waits for its end without telling it to go on: for one that is killed where it waits.
    pub fn await_end(self) -> Result<Status, String> {
        reap(self.pid)
    }

    /// Tells it to go on and waits for an end with status 0; the time that took.
    pub fn finish(self) -> Result<Duration, String> {
        let began = Instant::now();
        let status = self.end()?;
        let took = began.elapsed();
        status.must_be(Status::SUCCESS)?;
        Ok(took)
    }
}

fn reap(pid: Pid) -> Result<Status, String> {
    match waitpid(Some(pid), WaitOptions::empty()) {
        Ok(Some((_, status))) => Ok(Status(status.as_raw())),
        Ok(None) => Err("could not wait for the child".to_owned()),
        Err(error) => Err(format!("could not wait for the child: {error}")),
    }
}

impl Status {
    pub const SUCCESS: Status = Status(0);
    /// A child that SIGKILL ended.
    pub const KILLED: Status = Status(libc::SIGKILL);

    /// # Errors
    /// When it is not `wanted`.
    pub fn must_be(self, wanted: Status) -> Result<(), String> {
        match self == wanted {
            true => Ok(()),
            false => Err(format!("the child ended with wait status {:#x}", self.0)),
        }
    }
}

/// The child: never returns, so that nothing of the parent runs twice.
fn live<T>(
    prepare: impl FnOnce() -> Result<T, String>,
    work: impl FnOnce(&T) -> Result<(), String>,
    mut out: impl Write,
    mut order: impl Read,
) -> ! {
    let prepared = prepare();
    let word = match &prepared {
        Ok(_) => READY,
        Err(why) => why.as_bytes(),
    };
    let told = out.write_all(word);
    drop(out);
    let ordered = order.read_exact(&mut [0]);
    let done = match &prepared {
        Ok(prepared) if told.is_ok() && ordered.is_ok() => work(prepared).is_ok(),
        _ => false,
    };
    // SAFETY: ends this process at once; no destructor of the parent's copy may run, and what was prepared is
    // freed by the exit itself.
    unsafe { libc::_exit(i32::from(!done)) }
}

/// The reading and the writing end of a new pipe.
pub fn pipe() -> Result<(File, File), String> {
    let ends = pipe_with(PipeFlags::CLOEXEC).map_err(|error| format!("could not make a pipe: {error}"))?;
    Ok((ends.0.into(), ends.1.into()))
}
