//! Which system calls of a step succeed at all, whatever the step makes of their ends: many are made so that the kernel does
//! something, and fail on some kernels for good reasons. In memory that children share; programs that a step starts are not seen.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use protocol::{ANSWER_KINDS_MAX, ANSWERS_MAX, CallAnswers};

use crate::errno;
use crate::numbers;
use crate::results;

/// Calls of one step that are told apart. What does not fit is not noted.
const CALLS_MAX: usize = 1024;

/// Errors that depend on when something else happens, in this kernel or in another task.
const OF_THE_MOMENT: [i32; 9] = [
    libc::EAGAIN,
    libc::EINTR,
    libc::EBUSY,
    libc::ETIMEDOUT,
    libc::ETIME,
    libc::EINPROGRESS,
    libc::EALREADY,
    libc::ESRCH,
    libc::ECHILD,
];

/// One call with what says which kind of it, as the request of ioctl(). 0: free.
#[derive(Debug)]
struct NotedCall {
    key: AtomicU64,
    /// The name, which the program has at the same place as its children.
    name: AtomicPtr<u8>,
    length: AtomicUsize,
    /// Bit 0: it succeeded. The others: it failed with the error of that number.
    ends: [AtomicU64; 3],
}

/// Set in each key.
const TAKEN: u64 = 1 << 63;

/// None: nothing is noted.
static TABLE: AtomicPtr<NotedCall> = AtomicPtr::new(std::ptr::null_mut());

/// Notes calls from now on.
pub fn begin() -> io::Result<()> {
    let bytes = CALLS_MAX * size_of::<NotedCall>();
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: memory of its own, full of zeroes, which every field may be.
    let table = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
    if table == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    TABLE.store(table.cast(), Ordering::Release);
    Ok(())
}

/// Notes no more calls.
pub fn end() {
    TABLE.store(std::ptr::null_mut(), Ordering::Release);
}

fn table() -> Option<&'static [NotedCall]> {
    let table = TABLE.load(Ordering::Acquire);
    // SAFETY: it is never given back, and its fields are changed as atomics alone.
    (!table.is_null()).then(|| unsafe { std::slice::from_raw_parts(table, CALLS_MAX) })
}

/// What says which kind of a call it is.
fn kind(number: libc::c_long, arguments: &[libc::c_long]) -> u32 {
    let at = |index: usize| arguments.get(index).copied().unwrap_or(0) as u32;
    let two = |one: u32, other: u32| (one << 16) ^ other;
    match number {
        numbers::SYS_ioctl | numbers::SYS_fcntl | numbers::SYS_io_uring_register => at(1),
        numbers::SYS_shmctl | numbers::SYS_msgctl | numbers::SYS_futex | numbers::SYS_fallocate => at(1),
        numbers::SYS_semctl | numbers::SYS_madvise => at(2),
        numbers::SYS_bpf | numbers::SYS_keyctl | numbers::SYS_prctl | numbers::SYS_quotactl => at(0),
        numbers::SYS_socket => two(at(0), at(1) & 0xf),
        numbers::SYS_setsockopt | numbers::SYS_getsockopt => two(at(1), at(2)),
        _ => 0,
    }
}

/// Notes how a call ended: with 0, or with an error's number.
pub fn note(name: &'static str, number: libc::c_long, arguments: &[libc::c_long], error: i32) {
    let Some(table) = table() else { return };
    let key = TAKEN | ((number as u64 & 0x7fff_ffff) << 32) | u64::from(kind(number, arguments));
    for at in 0..CALLS_MAX {
        let entry =
            &table[((key ^ (key >> 29)) as usize).wrapping_mul(0x9e37_79b1).wrapping_add(at) % CALLS_MAX];
        match entry.key.compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                entry.length.store(name.len(), Ordering::Relaxed);
                entry.name.store(name.as_ptr().cast_mut(), Ordering::Release);
            }
            Err(known) if known == key => {}
            Err(_) => continue,
        }
        let error = usize::try_from(error).unwrap_or_default();
        if let Some(word) = entry.ends.get(error / 64) {
            word.fetch_or(1 << (error % 64), Ordering::Relaxed);
        }
        return;
    }
}

/// The answers of all steps so far.
#[derive(Debug, Default)]
pub struct Answers {
    all: BTreeMap<String, CallAnswers>,
    kinds: usize,
}

impl Answers {
    /// Takes what was noted in `step`.
    pub fn take(&mut self, step: &str) {
        for entry in table().into_iter().flatten() {
            let key = entry.key.swap(0, Ordering::AcqRel);
            let ends = entry.ends.each_ref().map(|word| word.swap(0, Ordering::AcqRel));
            let name = entry.name.swap(std::ptr::null_mut(), Ordering::AcqRel);
            if key == 0 || name.is_null() {
                continue;
            }
            // SAFETY: a name that `note` was given, which lives as long as the program.
            let name = unsafe { std::slice::from_raw_parts(name, entry.length.load(Ordering::Relaxed)) };
            let call = String::from_utf8_lossy(name);
            self.add(&format!("{step}: {}", call.trim_start_matches("SYS_")), key as u32, ends);
        }
    }

    /// A call that ended with errors of the moment alone says nothing.
    fn add(&mut self, name: &str, kind: u32, ends: [u64; 3]) {
        let name = results::name(name);
        let has_room = self.all.len() < ANSWERS_MAX || self.all.contains_key(&name);
        if !has_room || self.kinds >= ANSWER_KINDS_MAX {
            return;
        }
        let known = self.all.entry(name).or_default();
        self.kinds += 1;
        match errors_of(ends) {
            None => known.ok.push(kind),
            Some(errors) if errors.is_empty() => {}
            Some(errors) => known.failed.entry(errors).or_default().push(kind),
        }
    }

    pub fn into_map(self) -> BTreeMap<String, CallAnswers> {
        let said = self.all.into_iter().filter(|(_, call)| *call != CallAnswers::default());
        said.map(|(name, CallAnswers { mut ok, failed })| {
            ok.sort_unstable();
            (name, CallAnswers { ok, failed })
        })
        .collect()
    }
}

/// The errors that a call ended with, but for those of the moment; None: it succeeded.
fn errors_of(ends: [u64; 3]) -> Option<String> {
    if ends[0] & 1 != 0 {
        return None;
    }
    let errors = (1..192_i32).filter(|error| ends[*error as usize / 64] & (1 << (error % 64)) != 0);
    let errors = errors.filter(|error| !OF_THE_MOMENT.contains(error));
    let words = errors.map(|error| errno::describe(&io::Error::from_raw_os_error(error)));
    Some(words.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test: the table is of the process.
    #[test]
    fn call_that_succeeds_once_in_a_step_is_ok_and_kinds_are_told_apart() {
        begin().unwrap();
        let ioctl = |request: i64, error: i32| note("SYS_ioctl", numbers::SYS_ioctl, &[3, request, 0], error);
        ioctl(7, libc::EINVAL);
        ioctl(7, 0);
        ioctl(8, libc::ENOTTY);
        ioctl(8, libc::EPERM);
        note("SYS_read", numbers::SYS_read, &[0, 0, 0], libc::EAGAIN);
        let mut answers = Answers::default();
        answers.take("one");
        ioctl(7, libc::EIO);
        answers.take("two");
        end();
        ioctl(9, 0);
        answers.take("three");
        let failed = |words: &str, kind| CallAnswers {
            failed: BTreeMap::from([(words.to_owned(), vec![kind])]),
            ..CallAnswers::default()
        };
        let expected = [
            ("one: ioctl", CallAnswers { ok: vec![7], ..failed("EPERM, ENOTTY", 8) }),
            ("two: ioctl", failed("EIO", 7)),
        ];
        let expected = expected.map(|(name, answer)| (name.to_owned(), answer));
        assert_eq!(answers.into_map(), BTreeMap::from(expected));
    }
}
