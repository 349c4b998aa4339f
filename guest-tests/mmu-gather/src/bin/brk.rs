//! Shrinking the heap: `brk` unmaps what is above the new end.
//!
//! The allocator may not touch the heap in between: what is made here is freed by the same call that measures.

use std::io::Error;

use kit::fault;
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::scenario;
use mmu_gather::mapping::TABLE_SPAN_BYTES;

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let tables = usize::try_from(trial.units).map_err(|error| error.to_string())?;
    let child = kit::child::Child::start(
        || {
            let heap = Heap::grow((tables + 1) * TABLE_SPAN_BYTES)?;
            heap.touch(tables);
            Ok(heap)
        },
        |heap| fault::while_armed(trial.forced, || heap.shrink()),
    )?;
    let meter = trial.meter()?;
    child.finish()?;
    meter.stop()
}

/// Heap above what the allocator knows.
struct Heap {
    old_end: usize,
}

impl Heap {
    fn grow(bytes: usize) -> Result<Heap, String> {
        // A huge page would need no table. A kernel without huge pages refuses this, which is as good.
        let _ = rustix::thread::disable_transparent_huge_pages(true);
        let old_end = brk(0);
        match brk(old_end + bytes) == old_end + bytes {
            true => Ok(Heap { old_end }),
            false => Err(format!("could not grow the heap by {bytes} bytes: {}", Error::last_os_error())),
        }
    }

    fn touch(&self, tables: usize) {
        for table in 0..tables {
            // SAFETY: within what `grow` added, which nothing else uses.
            unsafe { ((self.old_end + table * TABLE_SPAN_BYTES) as *mut u8).write_volatile(1) };
        }
    }

    fn shrink(&self) -> Result<(), String> {
        match brk(self.old_end) == self.old_end {
            true => Ok(()),
            false => Err(format!("could not shrink the heap: {}", Error::last_os_error())),
        }
    }
}

/// The system call: sets the end of the heap if it can, and returns where it is.
fn brk(end: usize) -> usize {
    // SAFETY: the caller gives back only what it added.
    unsafe { libc::syscall(libc::SYS_brk, end) as usize }
}
