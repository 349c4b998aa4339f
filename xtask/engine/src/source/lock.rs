//! Advisory locks between runs, which the kernel drops when their holder dies, however it dies. A lock is one process's alone,
//! or shared by all that only need what it guards to stay as it is. The file's content, a line for each holder, is for people
//! only.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::host::process;
use failure::{Context, Failure, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Held until dropped. Children do not inherit it: Rust opens files close-on-exec.
#[derive(Debug)]
pub struct Lock(File);

impl Drop for Lock {
    /// Closing the file is not enough: a child that another thread has forked and that has not yet executed its
    /// program still holds a copy of it, and with it the lock.
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LockMode {
    Exclusive,
    Shared,
}

impl Lock {
    /// Takes the lock at `path` for this process alone, waiting at most `timeout` for other holders; `progress` hears
    /// about the wait once. `what` is what the lock guards.
    ///
    /// # Errors
    /// When the file cannot be opened, when the user interrupts, or when the holder does not let go in time:
    /// then the failure names the holder.
    pub fn take(path: &Path, what: &str, timeout: Duration, progress: &dyn Fn(&str)) -> Result<Lock> {
        Lock::wait(path, LockMode::Exclusive, what, timeout, progress)
    }

    /// As [`Lock::take`], for one of many that hold it at the same time.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn share(path: &Path, what: &str, timeout: Duration, progress: &dyn Fn(&str)) -> Result<Lock> {
        Lock::wait(path, LockMode::Shared, what, timeout, progress)
    }

    /// Takes the lock at `path` for this process alone; None where another one holds it.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn try_take(path: &Path, what: &str) -> Result<Option<Lock>> {
        Lock::attempt(open(path, what)?, path, LockMode::Exclusive)
    }

    /// As [`Lock::try_take`], for one of many that hold it at the same time.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn try_share(path: &Path, what: &str) -> Result<Option<Lock>> {
        Lock::attempt(open(path, what)?, path, LockMode::Shared)
    }

    fn attempt(file: File, path: &Path, mode: LockMode) -> Result<Option<Lock>> {
        if !try_lock(&file, mode).or_infra(|| format!("lock {}", path.display()))? {
            return Ok(None);
        }
        let mut lock = Lock(file);
        // An exclusive holder is the only one.
        let others = if mode == LockMode::Shared { holders(&mut lock.0) } else { Vec::new() };
        let _ = lock.write(&others, "");
        Ok(Some(lock))
    }

    /// Tells those that wait what this process does with it.
    pub fn describe(&mut self, does: &str) {
        let _ = self.write(&[], does);
    }

    fn write(&mut self, others: &[String], does: &str) -> std::io::Result<()> {
        self.0.set_len(0)?;
        self.0.rewind()?;
        let own = format!("{} {does}", std::process::id());
        writeln!(self.0, "{}", [others, &[own]].concat().join("\n"))
    }

    fn wait(
        path: &Path,
        mode: LockMode,
        what: &str,
        timeout: Duration,
        progress: &dyn Fn(&str),
    ) -> Result<Lock> {
        let started = Instant::now();
        let mut announced = false;
        loop {
            if let Some(lock) = Lock::attempt(open(path, what)?, path, mode)? {
                return Ok(lock);
            }
            let holder = holder(&mut open(path, what)?);
            if process::interrupted() {
                return Err(Failure::interrupted());
            }
            if started.elapsed() >= timeout {
                return Err(Failure::infra(format!("{what} is in use by {holder}"))
                    .because(format!("it held {} for {} s", path.display(), timeout.as_secs()))
                    .next("wait until that run has ended, or end it, and run again"));
            }
            if !announced {
                progress(&format!("waiting for {holder}, which uses {what}"));
                announced = true;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

fn open(path: &Path, what: &str) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .or_infra(|| format!("open the lock of {what}, {}", path.display()))
}

fn try_lock(file: &File, mode: LockMode) -> std::io::Result<bool> {
    let operation = match mode {
        LockMode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        LockMode::Shared => FlockOperation::NonBlockingLockShared,
    };
    match flock(file, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The lines of holders that are alive.
fn holders(file: &mut File) -> Vec<String> {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    let is_alive = |line: &&str| {
        let pid = line.split(' ').next().and_then(|pid| pid.parse::<u32>().ok());
        pid.is_some_and(|pid| Path::new("/proc").join(pid.to_string()).exists())
    };
    read.map_or_else(|_| Vec::new(), |_| text.lines().filter(is_alive).map(str::to_owned).collect())
}

fn holder(file: &mut File) -> String {
    let all = holders(file);
    match all.last().and_then(|line| line.split_once(' ')) {
        Some((pid, "")) => format!("process {pid}"),
        Some((pid, does)) => format!("process {pid} ({does})"),
        None => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_second_taker_waits_with_a_message_and_then_fails_naming_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::take(&path, "the tree", Duration::ZERO, &|_| ()).unwrap();
        let said = RefCell::new(Vec::new());
        let failure = Lock::take(&path, "the tree", Duration::from_millis(250), &|message| {
            said.borrow_mut().push(message.to_owned());
        })
        .unwrap_err();
        let me = format!("process {}", std::process::id());
        assert_eq!(failure.what, format!("the tree is in use by {me}"));
        assert_eq!(*said.borrow(), [format!("waiting for {me}, which uses the tree")]);
        drop(held);
        Lock::take(&path, "the tree", Duration::ZERO, &|_| ()).unwrap();
    }

    #[test]
    fn many_share_what_one_alone_can_take_after_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (first, second) =
            (Lock::try_share(&path, "the tree").unwrap(), Lock::try_share(&path, "the tree"));
        assert!(first.is_some() && second.unwrap().is_some());
        assert!(Lock::try_take(&path, "the tree").unwrap().is_none());
        drop(first);
        let mut alone = Lock::try_take(&path, "the tree").unwrap().unwrap();
        assert!(Lock::try_share(&path, "the tree").unwrap().is_none());
        alone.describe("run 7");
        let failure = Lock::share(&path, "the tree", Duration::ZERO, &|_| ()).unwrap_err();
        let holder = format!("process {} (run 7)", std::process::id());
        assert_eq!(failure.what, format!("the tree is in use by {holder}"));
    }
}
