//! Unsharing page tables of hugetlbfs keeps its broadcast: two processes that map the same gigabyte share the tables
//! below it, and the one that unmaps it calls `tlb_remove_table_sync_one()` (`tlb_flush_unshared_tables()`,
//! include/asm-generic/tlb.h), because the other's GUP-fast may be walking them.

use std::fs::File;
use std::io::Error;
use std::os::fd::AsRawFd;
use std::ptr;

use kit::child::Child;
use kit::files;
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::scenario;
use rustix::fs::{MemfdFlags, memfd_create};

/// Tables are shared by whole entries of the level above, for mappings that cover one (`huge_pmd_share()`).
const SHARED_BYTES: usize = 1 << 30;

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

/// A forked child touches what its parent has touched, which shares the table, and unmaps it. Without force neither
/// touches anything.
fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    files::set("/proc/sys/vm/nr_hugepages", "4")?;
    let shared = HugeMapping::map()?;
    let touch = || {
        if trial.forced {
            shared.touch();
        }
    };
    touch();
    let meter = trial.meter()?;
    for _ in 0..trial.ask.demand {
        let prepare = || {
            touch();
            Ok(())
        };
        Child::start(prepare, |()| shared.unmap())?.finish()?;
    }
    let performed = meter.stop()?;
    shared.unmap()?;
    files::set("/proc/sys/vm/nr_hugepages", "0")?;
    Ok(Performed { operations: if trial.forced { trial.ask.demand } else { 0 }, ..performed })
}

/// A gigabyte of a file of huge pages, of which few exist.
struct HugeMapping {
    start: *mut libc::c_void,
    /// Alive as long as the mapping: it is not used by its name.
    _file: File,
}

impl HugeMapping {
    fn map() -> Result<HugeMapping, String> {
        let file = memfd_create(c"shared", MemfdFlags::HUGETLB | MemfdFlags::CLOEXEC);
        let file = File::from(file.map_err(|error| format!("memfd_create with huge pages: {error}"))?);
        file.set_len(SHARED_BYTES as u64).map_err(|error| format!("a file of huge pages: {error}"))?;
        let place = aligned_place()?;
        let flags = libc::MAP_SHARED | libc::MAP_NORESERVE | libc::MAP_FIXED;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: replaces a part of what `aligned_place` reserved, which is not used.
        let start = unsafe { libc::mmap(place, SHARED_BYTES, access, flags, file.as_raw_fd(), 0) };
        match start == place {
            true => Ok(HugeMapping { start, _file: file }),
            false => Err(format!("could not map huge pages: {}", Error::last_os_error())),
        }
    }

    /// Makes the first page and the table above it, or finds them.
    fn touch(&self) {
        // SAFETY: within the mapping, which is writable.
        unsafe { self.start.cast::<u8>().write_volatile(1) };
    }

    fn unmap(&self) -> Result<(), String> {
        // SAFETY: the mapping made by `map`, into which no reference exists.
        match unsafe { libc::munmap(self.start, SHARED_BYTES) } {
            0 => Ok(()),
            _ => Err(format!("could not unmap huge pages: {}", Error::last_os_error())),
        }
    }
}

/// Address space that begins where a table that can be shared does.
fn aligned_place() -> Result<*mut libc::c_void, String> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping without access at an address of the kernel's choice.
    let room = unsafe { libc::mmap(ptr::null_mut(), 2 * SHARED_BYTES, libc::PROT_NONE, flags, -1, 0) };
    if room == libc::MAP_FAILED {
        return Err(format!("could not reserve address space: {}", Error::last_os_error()));
    }
    Ok((room as usize).next_multiple_of(SHARED_BYTES) as *mut libc::c_void)
}
