//! io_uring: each operation with each kind of flag, of file and of place for what it opens, most of which exclude each other.
//! None of them waits for what does not come.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};

use workloads::errno;
use workloads::exercise::{self, Exercise};
use workloads::sys;
use workloads::sys::c_path;
use workloads::uring::{Ring, RingEntry};

const FILE: &str = "/tmp/uring-kinds";
const OPERATIONS: u8 = 66;
/// Timeouts and futexes wait: their arguments here would be long times.
const WAITING: [u8; 4] = [11, 15, 51, 53];

/// None, IOSQE_FIXED_FILE, IOSQE_ASYNC, IOSQE_BUFFER_SELECT, IOSQE_CQE_SKIP_SUCCESS is left out: nothing would come.
const FLAGS: [u64; 4] = [0, 1, 16, 32];
/// What an operation takes as its flags: none, one, O_CLOEXEC, those that few have, all.
const HOW: [u64; 5] = [0, 1, libc::O_CLOEXEC as u64, 0x4000, 0xffff_ffff];
/// No slot, one, one that is free, one beyond the table.
const SLOTS: [u64; 4] = [0, 1, 0xffff_ffff, 99];

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("a file", || fs::write(FILE, vec![7; 20_000]));
    for operation in (0..OPERATIONS).filter(|operation| !WAITING.contains(operation)) {
        let mut ends = BTreeMap::new();
        let done = it.step(format!("operation {operation}"), || operate(operation, &mut ends));
        if done.is_some() {
            let ends: Vec<_> = ends.iter().map(|(end, count)| format!("{count} {end}")).collect();
            it.step(format!("{operation}: {}", ends.join(" ")), || Ok(()));
        }
    }
    for path in [FILE.to_owned(), format!("{FILE}-other")] {
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir(&path);
    }
}

/// A ring of its own, with a table of files and one of buffers; both go with it.
fn operate(operation: u8, ends: &mut BTreeMap<String, u32>) -> io::Result<()> {
    let mut ring = Ring::new(0)?;
    let memory = vec![0_u8; 8192];
    let file = fs::OpenOptions::new().read(true).write(true).open(FILE)?;
    let files = [file.as_raw_fd(), -1, -1, -1];
    sys!(SYS_io_uring_register, ring.fd.as_raw_fd(), 2, files.as_ptr(), 4)?;
    let vector = [memory.as_ptr() as usize, 8192];
    sys!(SYS_io_uring_register, ring.fd.as_raw_fd(), 0, vector.as_ptr(), 1)?;
    // Some operations write where others read a path.
    let (path, other) = (place(FILE), place(&format!("{FILE}-other")));
    for flags in FLAGS {
        for how in HOW {
            for slot in SLOTS {
                // It may be closed by the operation: then the number is nobody's any more.
                let own = fs::OpenOptions::new().read(true).write(true).open(FILE)?.into_raw_fd();
                let fd = if flags & 1 != 0 { 0 } else { own };
                let entry = RingEntry::new(operation, fd).flags(flags).how(how).slot(slot);
                let entry = entry.address(path.as_ptr()).offset(other.as_ptr() as u64).length(24);
                let result = ring.run(&[entry]).map(|all| all.first().copied().unwrap_or(0));
                let _ = sys!(SYS_close, own);
                // What it opened.
                if let Ok(opened) = result
                    && [18, 28, 45, 62].contains(&operation)
                    && opened > 2
                {
                    let _ = sys!(SYS_close, opened);
                }
                let end = match result {
                    Ok(number) if number >= 0 => "ok".to_owned(),
                    Ok(number) => errno::describe(&io::Error::from_raw_os_error(-number)),
                    Err(error) => errno::describe(&error),
                };
                *ends.entry(end).or_default() += 1;
            }
        }
    }
    Ok(())
}

fn place(path: &str) -> Vec<u8> {
    let mut bytes = c_path(path).into_bytes();
    bytes.resize(4096, 0);
    bytes
}
