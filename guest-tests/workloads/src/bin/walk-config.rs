//! configfs: every subsystem that the kernel has. Directories are made with names that some subsystem takes, their
//! attributes read and written back, and all of it taken away again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use workloads::exercise::{self, Exercise};
use workloads::places;
use workloads::walk::{self, FileWalk};

const ROOT: &str = "/tmp/config";

/// `pp`: anything; a number: namespaces, ports, functions; the others are a kind with a name.
const NAMES: [&str; 8] = ["pp", "1", "c.1", "0x409", "acm.pp", "ncm.pp", "fileio_0", "iqn.2020-01.org.pp:1"];

const DEPTH: usize = 3;
/// Directories made in one subsystem.
const MADE: usize = 25;

/// Attributes that start what cannot be stopped from here, or connect the guest to the outside.
const KEEP: [&str; 5] = ["/power", "/enable", "/enabled", "/UDC", "/live"];

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    if it.step("mount", || places::mount("configfs", ROOT, "")).is_none() {
        return;
    }
    let mut subsystems: Vec<_> = fs::read_dir(ROOT)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    subsystems.sort();
    for subsystem in &subsystems {
        let mut made = Vec::new();
        fill(it, subsystem, DEPTH, &mut made);
        let how = FileWalk { keep: &KEEP, write: true, ..FileWalk::default() };
        walk::walk(it, subsystem, how);
        for directory in made.iter().rev() {
            it.step(format!("rmdir {}", shown(directory)), || fs::remove_dir(directory));
        }
    }
    it.step("mkdir at the root", || fs::create_dir(format!("{ROOT}/pp")));
    it.step("rmdir of a subsystem", || match subsystems.first() {
        Some(first) => fs::remove_dir(first),
        None => Err(io::Error::from_raw_os_error(libc::ENOENT)),
    });
    it.step("unmount", || places::unmount(ROOT));
}

fn shown(path: &Path) -> String {
    path.strip_prefix(ROOT).unwrap_or(path).display().to_string()
}

fn fill(it: &mut Exercise, directory: &Path, depth: usize, made: &mut Vec<PathBuf>) {
    if depth == 0 || made.len() >= MADE {
        return;
    }
    for name in NAMES {
        let path = directory.join(name);
        // Most names are refused: that is no result, as long as some are taken.
        if fs::create_dir(&path).is_ok() {
            it.step(format!("mkdir {}", shown(&path)), || Ok(()));
            it.step(format!("mkdir {} again", shown(&path)), || fs::create_dir(&path));
            made.push(path);
        }
    }
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut below: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    below.sort();
    for path in below {
        fill(it, &path, depth - 1, made);
    }
}
