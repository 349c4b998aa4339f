//! Every device node: opened each way, read a little, polled, asked what only some kinds can answer, closed.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use workloads::errno;
use workloads::exercise::{self, Exercise};
use workloads::sys;
use workloads::sys::Impatience;

/// The guest's own way out, what ends the guest if it is not fed, and what another part of the guest looks after.
const SKIP: [&str; 6] = ["vport", "watchdog", "console", "kmsg", "mem", "port"];

/// TCGETS, TIOCGWINSZ, BLKGETSIZE64, BLKSSZGET, FIONREAD, HDIO_GETGEO, BLKROGET, BLKZEROOUT without an argument, RTC_RD_TIME,
/// LOOP_GET_STATUS64, RNDGETENTCNT, EVIOCGVERSION, SNDCTL's version, TUNGETFEATURES, and one that no device has.
const REQUESTS: [u32; 15] = [
    0x5401,
    0x5413,
    0x8008_1272,
    0x1268,
    0x541b,
    0x0301,
    0x125e,
    0x127f,
    0x8024_7009,
    0x4c05,
    0x8004_5200,
    0x8004_4501,
    0x8004_5000,
    0x8004_54cf,
    0xdead,
];

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    let mut directories = vec![PathBuf::from("/dev")];
    let mut seen = BTreeSet::new();
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        let mut entries: Vec<_> =
            entries.flatten().filter_map(|entry| Some((entry.path(), entry.file_type().ok()?))).collect();
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        for (path, kind) in entries {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if kind.is_dir() {
                directories.push(path);
            } else if kind.is_char_device() || kind.is_block_device() {
                let class: String = name.chars().filter(|character| !character.is_ascii_digit()).collect();
                if !SKIP.contains(&class.trim_end_matches('p'))
                    && !SKIP.contains(&class.as_str())
                    && seen.insert(class)
                {
                    visit(it, &path);
                }
            }
        }
    }
}

fn visit(it: &mut Exercise, path: &Path) {
    let mut answers = Vec::new();
    it.step(path.display(), || {
        let _impatience = Impatience::after(Duration::from_millis(100));
        let nonblocking = libc::O_NONBLOCK | libc::O_NOCTTY;
        let write_only = OpenOptions::new().write(true).custom_flags(nonblocking).open(path);
        drop(write_only);
        let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
        let fd = file.as_raw_fd();
        let mut buffer = [0_u8; 512];
        let read = sys!(SYS_read, fd, buffer.as_mut_ptr(), buffer.len());
        answers.push(read.map(drop));
        let poll = libc::pollfd { fd, events: libc::POLLIN | libc::POLLOUT, revents: 0 };
        sys::poll(&mut [poll], 0)?;
        for request in REQUESTS {
            answers.push(sys!(SYS_ioctl, fd, request, buffer.as_mut_ptr()).map(drop));
        }
        let _ = sys!(SYS_lseek, fd, 4096, libc::SEEK_SET);
        let map = sys!(SYS_mmap, 0, 4096, libc::PROT_READ, libc::MAP_PRIVATE, fd, 0);
        if let Ok(address) = map {
            sys!(SYS_munmap, address, 4096)?;
        }
        let _ = sys!(SYS_fsync, fd);
        Ok(())
    });
    // One name for all that it answered.
    let words: BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.as_ref().map_or_else(errno::describe, |()| "ok".to_owned()))
        .filter(|word| !["ENOTTY", "EAGAIN", "EINTR"].contains(&word.as_str()))
        .collect();
    if !words.is_empty() {
        let words: Vec<_> = words.into_iter().collect();
        it.step(format!("{}: {}", path.display(), words.join(" ")), || Ok(()));
    }
}
