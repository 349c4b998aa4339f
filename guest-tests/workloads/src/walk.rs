//! Walks a tree of kernel files: opens, reads, polls, and writes back what was read. What a kernel has is found, not known.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::errno;
use crate::exercise::Exercise;
use crate::sys::Impatience;

/// How a tree is walked.
#[derive(Debug, Clone, Copy)]
pub struct FileWalk<'a> {
    /// Files and directories whose path contains one of these are left alone.
    pub skip: &'a [&'a str],
    /// Those that are read only.
    pub keep: &'a [&'a str],
    /// Directories of which the first few entries stand for all.
    pub sample: &'a [&'a str],
    pub write: bool,
    /// Nothing comes and goes in it: how many entries the root and the directories in it have, and how many files in it can be read.
    pub is_steady: bool,
    /// That a file has anything in it is a result; that it has nothing is none, or a patch that puts something in would be blamed.
    pub tell_content: bool,
    /// Each is opened, read a little and closed so often after that.
    pub again: u32,
    /// The walk ends here, wherever it is. It is never reached on a machine that is not overloaded: else two kernels would
    /// be compared that did not do the same.
    pub limit: Duration,
}

impl Default for FileWalk<'_> {
    fn default() -> Self {
        let limit = Duration::from_secs(40);
        FileWalk {
            skip: &[],
            keep: &[],
            sample: &[],
            write: false,
            is_steady: false,
            tell_content: false,
            again: 0,
            limit,
        }
    }
}

/// Of paths that differ in numbers only, so many are walked.
const ALIKE: u32 = 1;
const SAMPLE: usize = 3;
const DEPTH_MAX: usize = 12;
/// What is read of a file.
const BYTES: usize = 16 * 1024;
/// A call that gives nothing for so long is ended.
const BLOCKS: Duration = Duration::from_millis(100);
/// Longest content that is written back: an attribute is a page at most.
const WRITTEN_BYTES: usize = 4000;

#[derive(Debug, Default)]
struct WalkSeen(BTreeMap<String, u32>);

/// Errors that were recorded: of attributes of the same name, that of the first.
#[derive(Debug, Default)]
struct Errors(BTreeSet<(String, String)>);

impl Errors {
    fn record(&mut self, it: &mut Exercise, what: &str, path: &Path, error: &io::Error) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if self.0.insert((format!("{what}{}", class(&name)), errno::describe(error))) {
            it.fail(&format!("{what}{}", class(&path.to_string_lossy())), error);
        }
    }
}

/// Walks all below `root`. Errors of single files are results; the walk itself is one too.
pub fn walk(it: &mut Exercise, root: impl AsRef<Path>, how: FileWalk<'_>) {
    let root = root.as_ref();
    let began = Instant::now();
    let _impatience = Impatience::after(BLOCKS);
    let mut seen = WalkSeen::default();
    let mut stack = vec![(root.to_path_buf(), 0)];
    let (mut files, mut can_be_read, mut errors) = (0_u32, 0, Errors::default());
    while let Some((directory, depth)) = stack.pop() {
        if began.elapsed() > how.limit {
            it.fail(&format!("walk {}", root.display()), &io::Error::other("took too long"));
            return;
        }
        let entries = entries(&directory, how);
        if how.is_steady && depth < 2 {
            it.found(&format!("entries of {}", directory.display()), entries.len());
        }
        for (path, kind) in entries {
            if !seen.is_new(&path) || !how.wants(&path) {
                continue;
            }
            if kind.is_dir() && depth < DEPTH_MAX {
                stack.push((path, depth + 1));
            } else if kind.is_symlink() {
                let _ = fs::read_link(&path);
            } else if kind.is_file() {
                files += 1;
                can_be_read += usize::from(visit(it, &path, how, &mut errors));
            }
        }
    }
    if how.is_steady {
        it.found(&format!("readable files below {}", root.display()), can_be_read);
    }
    it.step(format!("walk {}", class(&root.to_string_lossy())), || match files {
        0 => Err(io::Error::from_raw_os_error(libc::ENOENT)),
        _ => Ok(()),
    });
}

/// One file.
pub fn one(it: &mut Exercise, path: &Path, how: FileWalk<'_>) {
    if how.wants(path) {
        let _impatience = Impatience::after(BLOCKS);
        visit(it, path, how, &mut Errors::default());
    }
}

fn entries(directory: &Path, how: FileWalk<'_>) -> Vec<(PathBuf, fs::FileType)> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let entries = entries.flatten();
    let mut all: Vec<_> = entries.filter_map(|entry| Some((entry.path(), entry.file_type().ok()?))).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    if how.sample.iter().any(|sampled| directory.ends_with(sampled.trim_start_matches('/'))) {
        all.truncate(SAMPLE);
    }
    all
}

impl FileWalk<'_> {
    fn wants(self, path: &Path) -> bool {
        let path = path.to_string_lossy();
        !self.skip.iter().any(|part| path.contains(part))
    }

    fn writes(self, path: &Path) -> bool {
        let path = path.to_string_lossy();
        self.write && !self.keep.iter().any(|part| path.contains(part))
    }
}

impl WalkSeen {
    fn is_new(&mut self, path: &Path) -> bool {
        let count = self.0.entry(class(&path.to_string_lossy())).or_default();
        *count += 1;
        *count <= ALIKE
    }
}

/// The path with each number replaced.
fn class(path: &str) -> String {
    let mut class = String::new();
    for character in path.chars() {
        match (character.is_ascii_digit(), class.ends_with('#')) {
            (true, true) => {}
            (true, false) => class.push('#'),
            (false, _) => class.push(character),
        }
    }
    class
}

/// Whether it can be read.
fn visit(it: &mut Exercise, path: &Path, how: FileWalk<'_>, errors: &mut Errors) -> bool {
    let Ok(metadata) = fs::symlink_metadata(path) else { return false };
    let mode = metadata.permissions().mode();
    if mode & 0o444 == 0 {
        open_and_close(path);
        return false;
    }
    let first = read(path);
    for _ in 0..how.again {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        let _ = file.and_then(|mut file| file.read(&mut [0; 64]));
    }
    if how.tell_content && first.as_ref().is_ok_and(|content| !content.is_empty()) {
        it.note(&format!("{} has content", class(&path.to_string_lossy())), Ok(()));
    }
    match first {
        Ok(content) => {
            if mode & 0o222 != 0 && how.writes(path) {
                write_back(it, path, &content, errors);
            }
            true
        }
        Err(error) if is_by_nature(&error) => true,
        Err(error) => {
            errors.record(it, "", path, &error);
            false
        }
    }
}

/// What depends on the moment, or means that there is nothing to be read.
fn is_by_nature(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::EINTR | libc::EACCES | libc::EPERM | libc::EBUSY)
    )
}

fn open_and_close(path: &Path) {
    let _ = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path);
}

/// In large pieces, then its beginning in small ones, and from the middle.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let mut content = vec![0; BYTES];
    let mut length = 0;
    while length < BYTES {
        match file.read(&mut content[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if length > 0 && is_by_nature(&error) => break,
            Err(error) => return Err(error),
        }
    }
    content.truncate(length);
    poll(&file);
    let mut small = [0; 7];
    let _ = file.read_at(&mut small, 3);
    if file.rewind().is_ok() {
        let _ = file.read(&mut small);
    }
    Ok(content)
}

fn poll(file: &File) {
    let mut one = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN | libc::POLLPRI, revents: 0 };
    // SAFETY: one structure, alive during the call, which does not wait.
    unsafe { libc::poll(&raw mut one, 1, 0) };
}

/// The same value; where it is a number also what is none, which has to be refused or to be undone.
fn write_back(it: &mut Exercise, path: &Path, content: &[u8], errors: &mut Errors) {
    let text = String::from_utf8_lossy(content);
    if content.is_empty() || content.len() > WRITTEN_BYTES || text.contains('\0') {
        return;
    }
    let value = chosen(text.trim());
    let is_number = value.parse::<i64>().is_ok();
    if is_number {
        let _ = write(path, b"x\n");
    }
    match write(path, format!("{value}\n").as_bytes()) {
        Err(error) if !is_by_nature(&error) => errors.record(it, "write ", path, &error),
        _ => {}
    }
}

/// Of `a [b] c` the one that is set.
fn chosen(text: &str) -> &str {
    match text.split_once('[').and_then(|(_, rest)| rest.split_once(']')) {
        Some((one, _)) if !one.is_empty() && !text.contains('\n') => one,
        _ => text,
    }
}

/// Reads some of a file that may grow faster than it is read.
pub fn look(path: impl AsRef<Path>) {
    let _impatience = Impatience::after(BLOCKS);
    let _ = read(path.as_ref());
}

pub fn write(path: impl AsRef<Path>, value: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    // One call: the kernel takes what it gets by one.
    file.write(value).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_differ_in_numbers_are_alike() {
        assert_eq!(class("/sys/tty/tty10/dev"), "/sys/tty/tty#/dev");
        assert_eq!(class("/sys/a1b22/3"), "/sys/a#b#/#");
    }

    #[test]
    fn of_several_the_chosen_one_is_written_back() {
        assert_eq!(chosen("none [mq-deadline] kyber"), "mq-deadline");
        assert_eq!(chosen("3"), "3");
        assert_eq!(chosen("[a] b\nc"), "[a] b\nc");
    }
}
