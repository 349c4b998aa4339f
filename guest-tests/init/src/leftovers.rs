//! What a workload leaves behind, which the next one must not find: processes and mounts.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use kit::files;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{WaitOptions, wait};

/// The mount table of the whole guest, as far as PID 1 sees it.
const MOUNT_INFO: &str = "/proc/self/mountinfo";

/// What killed processes get to die in. One that is stuck in the kernel stays, and is found by the kernel's own detectors.
const DIE_WITHIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Mount points, in the order in which they were mounted.
#[derive(Debug)]
pub struct Mounts(Vec<String>);

impl Mounts {
    pub fn read() -> Result<Mounts, String> {
        files::read(MOUNT_INFO).map(|text| Mounts(mount_points(&text)))
    }
}

/// Kills every process but this one, and unmounts what was not mounted before. What resists stays.
pub fn remove(before: &Mounts) {
    // SAFETY: as PID 1 it reaches all processes but this one and the kernel's own (kernel/signal.c,
    // kill_something_info()).
    unsafe { libc::kill(-1, libc::SIGKILL) };
    reap_all();
    let known: BTreeSet<&String> = before.0.iter().collect();
    for point in Mounts::read().map(|now| now.0).unwrap_or_default().iter().rev() {
        if !known.contains(point) {
            let _ = unmount(point.as_str(), UnmountFlags::DETACH);
        }
    }
}

/// Orphans are children of PID 1.
fn reap_all() {
    let began = Instant::now();
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) if began.elapsed() < DIE_WITHIN => thread::sleep(LOOK_AGAIN),
            Ok(None) | Err(_) => return,
        }
    }
}

/// The fifth field of each line; a space in it is written as an octal number (proc(5)), and such a one is not ours.
fn mount_points(table: &str) -> Vec<String> {
    table.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_in_their_order() {
        let table = "1 1 0:2 / / rw - rootfs rootfs rw\n22 1 0:5 / /proc rw,relatime - proc proc rw\n";
        assert_eq!(mount_points(table), ["/", "/proc"]);
    }
}
