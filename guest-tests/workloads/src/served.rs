//! A file system whose server is a child of the workload, which mirrors a directory of tmpfs: the mount, the server, and how both
//! end. What the server speaks is for others to say.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::exercise::Exercise;
use crate::places::{self, mount, unmount, unmount_with};
use crate::{sys, used_tree};

/// What a step may take.
pub const LIMIT: Duration = Duration::from_secs(8);
/// A server ends itself after that: a task that waits for it gets an error then.
const LIFETIME_SECS: u32 = 12;
/// What the servers mirror.
pub const MIRRORED: &str = "/tmp/mirrored";
const ONE_PROCESSOR: u64 = 1;
/// Where it is mounted.
pub const AT: &str = "/tmp/served";

/// Carries out `work` where there is something to be served.
pub fn mirrored(it: &mut Exercise, work: impl FnOnce(&mut Exercise)) {
    // A client and its server take turns: on different processors each turn would wait for the other one to wake up.
    it.step("one processor", || sys!(SYS_sched_setaffinity, 0, 8, [ONE_PROCESSOR].as_ptr()));
    it.step("own mounts", places::own_mounts);
    // Once for all: to unmount it takes long.
    it.step("what is mirrored", || mount("tmpfs", MIRRORED, "size=16m"));
    it.step("many entries", || used_tree::make_many(Path::new(MIRRORED)));
    it.step("where it is served", || fs::create_dir_all(AT));
    work(it);
    it.step("nothing is mirrored", || unmount(MIRRORED));
}

/// The child that serves the directory that is mirrored, and the mount of what it serves: all end when this is dropped.
#[derive(Debug)]
pub struct Served {
    server: Option<libc::pid_t>,
}

impl Served {
    /// # Errors
    /// Those of the calls.
    pub fn new() -> io::Result<Served> {
        let entries = fs::read_dir(MIRRORED)?.flatten().map(|entry| entry.path());
        for entry in entries.filter(|entry| !entry.ends_with(used_tree::MANY)) {
            let _ = fs::remove_file(&entry).or_else(|_| fs::remove_dir_all(&entry));
        }
        fs::write(format!("{MIRRORED}/there"), [7; 5000])?;
        Ok(Served { server: None })
    }

    /// # Errors
    /// When there is no other process.
    pub fn start(&mut self, serve: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.server = Some(sys::fork(|| {
            // SAFETY: no pointers; what they change is this process's own.
            unsafe {
                libc::alarm(LIFETIME_SECS);
                libc::umask(0);
            }
            serve()
        })?);
        Ok(())
    }
}

impl Drop for Served {
    /// The server first: a mount that has something to write back would wait for it.
    fn drop(&mut self) {
        if let Some(server) = self.server {
            sys::stop(server);
        }
        let _ = unmount_with(AT, libc::MNT_DETACH);
    }
}
