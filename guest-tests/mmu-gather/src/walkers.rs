//! Lockless walkers of page tables, and a task that waits for the memory map's lock, hammering an address space while
//! another task frees its tables. Each counts what it did; nothing that did nothing was a walker.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kit::{child, cpu, page};
use protocol::Done;

use crate::gup::GupFast;
use crate::mapping::SparseMapping;

/// Page tables that are walked again and again: many, so that a walk is seldom in the same place.
const TABLES: u64 = 16;

/// Does one thing once to the memory at an address; says whether it got through.
type Walk<'a> = Box<dyn FnMut(usize) -> bool + Send + 'a>;

/// Runs `operation` on this CPU while walkers run on the others, one of them against the address space of `other`.
/// Returns what it returned and what each walker did.
///
/// # Errors
/// When a walker cannot be had, or got nowhere.
pub fn beside<T>(
    other: libc::pid_t,
    operation: impl FnOnce() -> Result<T, String>,
) -> Result<(T, Vec<Done>), String> {
    let target = SparseMapping::populate(TABLES)?;
    // The other address space is this one's fork: what is mapped here is mapped there, at the same place.
    let (pipe_out, pipe_in) = child::pipe()?;
    let start = target.start() as usize;
    let over = &AtomicBool::new(false);
    let this = libc::pid_t::try_from(std::process::id()).map_err(|error| error.to_string())?;
    let mut walks: Vec<(&str, Walk<'_>)> = vec![
        ("process_vm_readv of this address space", Box::new(move |at| read_memory(this, at))),
        (
            "process_vm_readv of another",
            Box::new(move |_| read_memory(other, &raw const SHARED_BYTE as usize)),
        ),
        ("vmsplice", Box::new(move |at| splice(&pipe_in, &pipe_out, at))),
        ("futex on a shared page", Box::new(wake)),
        ("mmap_lock taken for writing", Box::new(|_| lock_memory_map())),
    ];
    if let Ok(gup) = GupFast::open() {
        walks.push(("GUP-fast of a page (gup_test)", Box::new(move |at| gup.walk(at))));
    }
    let outcome = thread::scope(|scope| {
        let walkers: Vec<_> = walks
            .into_iter()
            .zip((1..cpu::online()?).cycle())
            .map(|((what, walk), cpu)| (what, scope.spawn(move || walk_until(over, cpu, walk, start))))
            .collect();
        let result = operation();
        over.store(true, Ordering::Relaxed);
        let mut done = Vec::new();
        for (what, walker) in walkers {
            let count = walker.join().map_err(|_| format!("{what}: the walker panicked"))??;
            if count == 0 {
                return Err(format!("{what}: the walker got nowhere"));
            }
            done.push(Done { what: what.to_owned(), count });
        }
        Ok((result?, done))
    });
    target.unmap()?;
    outcome
}

/// At the same address in every fork of this program.
static SHARED_BYTE: u8 = 1;

/// At least once.
fn walk_until(over: &AtomicBool, cpu: u32, mut walk: Walk<'_>, start: usize) -> Result<u64, String> {
    cpu::pin_to(cpu)?;
    let mut count = 0;
    let places = usize::try_from(TABLES).unwrap_or(1);
    for step in 0.. {
        count += u64::from(walk(start + step % places * crate::mapping::TABLE_SPAN_BYTES));
        if over.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(count)
}

fn read_memory(pid: libc::pid_t, at: usize) -> bool {
    let mut byte = 0_u8;
    let local = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: at as *mut libc::c_void, iov_len: 1 };
    // SAFETY: writes one byte into `byte`; what is not mapped at `at` is an error of the call.
    unsafe { libc::process_vm_readv(pid, &local, 1, &remote, 1, 0) == 1 }
}

fn splice(pipe_in: &File, mut pipe_out: &File, at: usize) -> bool {
    let page = libc::iovec { iov_base: at as *mut libc::c_void, iov_len: 1 };
    // SAFETY: the page stays mapped, and nothing is gifted.
    let spliced = unsafe { libc::vmsplice(pipe_in.as_raw_fd(), &page, 1, 0) };
    spliced == 1 && pipe_out.read_exact(&mut [0]).is_ok()
}

/// Wakes no task: finding the page of a shared futex is the walk (`get_futex_key()`, kernel/futex/core.c).
fn wake(at: usize) -> bool {
    // SAFETY: only looks the address up, which is aligned and mapped.
    unsafe { libc::syscall(libc::SYS_futex, at, libc::FUTEX_WAKE, 1, ptr::null::<libc::timespec>()) == 0 }
}

/// Maps a page and unmaps it without touching it: no table is made or freed.
fn lock_memory_map() -> bool {
    let (access, flags) = (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address of the kernel's choice, which nothing else knows.
    unsafe {
        let page = libc::mmap(ptr::null_mut(), page::size(), access, flags, -1, 0);
        page != libc::MAP_FAILED && libc::munmap(page, page::size()) == 0
    }
}
