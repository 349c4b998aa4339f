//! One run at a time in one directory: an advisory lock that the kernel drops when its holder dies, however it
//! dies. The file's content, the holder's process id, is for people only.

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

impl Lock {
    /// Takes the lock at `path`, waiting at most `timeout` for another holder; `progress` hears about the wait
    /// once. `what` is what the lock guards.
    ///
    /// # Errors
    /// When the file cannot be opened, when the user interrupts, or when the holder does not let go in time:
    /// then the failure names the holder.
    pub fn take(path: &Path, what: &str, timeout: Duration, progress: &dyn Fn(&str)) -> Result<Lock> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .or_infra(|| format!("open the lock of {what}, {}", path.display()))?;
        let started = Instant::now();
        let mut announced = false;
        while !try_lock(&file).or_infra(|| format!("lock {}", path.display()))? {
            let holder = holder(&mut file);
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
        let _ = write_holder(&mut file);
        Ok(Lock(file))
    }
}

fn try_lock(file: &File) -> std::io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn write_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        _ => "another process".to_owned(),
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
}
