//! Anonymous memory with one page in each page table, so that freeing it frees a known number of tables.

use std::io::Error;
use std::ptr;

/// Memory one lowest-level page table maps: 512 entries of 4 KiB (x86_64, and others with 4 KiB pages).
const TABLE_SPAN_BYTES: usize = 2 << 20;

/// A private mapping whose page tables all exist.
#[derive(Debug)]
pub struct SparseMapping {
    start: *mut libc::c_void,
    length: usize,
}

impl SparseMapping {
    /// Maps memory for `tables` page tables and writes one byte under each, which makes the table and one
    /// page below it.
    pub fn populate(tables: u64) -> Result<Self, String> {
        let tables = usize::try_from(tables).map_err(|error| error.to_string())?;
        let too_big = || format!("{tables} page tables do not fit the address space");
        // The kernel may place the mapping in the middle of a table's span: one span more.
        let length = tables.checked_add(1).and_then(|spans| spans.checked_mul(TABLE_SPAN_BYTES));
        let length = length.ok_or_else(too_big)?;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(format!("could not map {length} bytes: {}", Error::last_os_error()));
        }
        // A huge page would need no table. EINVAL is a kernel without huge pages, which is as good.
        // SAFETY: advice about the mapping made above; it changes no content.
        unsafe { libc::madvise(start, length, libc::MADV_NOHUGEPAGE) };
        for table in 0..tables {
            // SAFETY: within the mapping, which is writable and which nobody else knows.
            unsafe { start.cast::<u8>().add(table * TABLE_SPAN_BYTES).write_volatile(1) };
        }
        Ok(SparseMapping { start, length })
    }

    /// Unmaps everything in one call.
    pub fn unmap(self) -> Result<(), String> {
        // SAFETY: the mapping made by `populate`, into which no reference exists.
        match unsafe { libc::munmap(self.start, self.length) } {
            0 => Ok(()),
            _ => Err(format!("could not unmap {} bytes: {}", self.length, Error::last_os_error())),
        }
    }
}
