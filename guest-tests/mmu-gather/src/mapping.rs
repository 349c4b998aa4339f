//! Anonymous memory with one page in each page table, so that freeing it frees a known number of tables.

use std::io::Error;
use std::ptr;

use kit::page;

/// Memory one lowest-level page table maps: 512 entries of 4 KiB (x86_64, and others with 4 KiB pages).
pub const TABLE_SPAN_BYTES: usize = 2 << 20;

const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;
const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;

/// A private mapping whose page tables all exist. It stays when this value goes: only [`SparseMapping::unmap`], or
/// the end of the address space, frees it.
#[derive(Debug, Clone, Copy)]
pub struct SparseMapping {
    start: *mut libc::c_void,
    length: usize,
}

impl SparseMapping {
    /// Maps memory for `tables` page tables and writes one byte under each, which makes the table and one
    /// page below it.
    pub fn populate(tables: u64) -> Result<Self, String> {
        let mapping = Self::reserve(tables)?;
        mapping.touch(tables);
        Ok(mapping)
    }

    /// Maps memory for `tables` page tables; none of them exists yet.
    pub fn reserve(tables: u64) -> Result<Self, String> {
        let mapping = Self::reserve_collapsible(tables)?;
        // A huge page would need no table. EINVAL is a kernel without huge pages, which is as good.
        // SAFETY: advice about the mapping just made; it changes no content.
        unsafe { libc::madvise(mapping.start, mapping.length, libc::MADV_NOHUGEPAGE) };
        Ok(mapping)
    }

    /// The same, of memory whose pages may become huge.
    pub fn reserve_collapsible(tables: u64) -> Result<Self, String> {
        let too_big = || format!("{tables} page tables do not fit the address space");
        let spans = usize::try_from(tables).ok();
        let length = spans.and_then(|spans| spans.checked_mul(TABLE_SPAN_BYTES)).ok_or_else(too_big)?;
        let room = length.checked_add(TABLE_SPAN_BYTES).ok_or_else(too_big)?;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe { libc::mmap(ptr::null_mut(), room, READ_WRITE, PRIVATE, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(format!("could not map {room} bytes: {}", Error::last_os_error()));
        }
        // Without huge pages the kernel places it anywhere, and a table whose span it shares with a neighbour would be
        // freed with that one: it gets spans of its own.
        let lead = (start as usize).next_multiple_of(TABLE_SPAN_BYTES) - start as usize;
        // SAFETY: within the mapping just made, as `lead` is less than a span.
        let (aligned, end) = unsafe { (start.byte_add(lead), start.byte_add(lead + length)) };
        for (from, bytes) in [(start, lead), (end, room - lead - length)] {
            // SAFETY: what of the new mapping lies outside the spans; nothing refers to it.
            if bytes > 0 && unsafe { libc::munmap(from, bytes) } != 0 {
                return Err(format!("could not trim a mapping: {}", Error::last_os_error()));
            }
        }
        Ok(SparseMapping { start: aligned, length })
    }

    fn touch(self, tables: u64) {
        for table in 0..usize::try_from(tables).unwrap_or(0) {
            // SAFETY: within the mapping, which is writable and which nothing else knows.
            unsafe { self.start.cast::<u8>().add(table * TABLE_SPAN_BYTES).write_volatile(1) };
        }
    }

    pub fn start(self) -> *mut libc::c_void {
        self.start
    }

    pub fn length(self) -> usize {
        self.length
    }

    /// Unmaps everything in one call.
    pub fn unmap(self) -> Result<(), String> {
        // SAFETY: the mapping made by `populate`, into which no reference exists.
        match unsafe { libc::munmap(self.start, self.length) } {
            0 => Ok(()),
            _ => Err(format!("could not unmap {} bytes: {}", self.length, Error::last_os_error())),
        }
    }

    /// Puts a new mapping of the same size, without page tables, in its place.
    pub fn replace(self) -> Result<Self, String> {
        // SAFETY: replaces the mapping made by `populate`, into which no reference exists.
        let start =
            unsafe { libc::mmap(self.start, self.length, READ_WRITE, PRIVATE | libc::MAP_FIXED, -1, 0) };
        match start == self.start {
            true => Ok(self),
            false => Err(format!("could not map over {} bytes: {}", self.length, Error::last_os_error())),
        }
    }

    /// Keeps its first `spans` spans of a page table.
    pub fn shrink(self, spans: usize) -> Result<Self, String> {
        let length = spans * TABLE_SPAN_BYTES;
        // SAFETY: shrinks the mapping made by `populate` where it is.
        let start = unsafe { libc::mremap(self.start, self.length, length, 0) };
        match start == self.start {
            true => Ok(SparseMapping { start, length }),
            false => Err(format!("could not shrink a mapping: {}", Error::last_os_error())),
        }
    }

    /// Moves it by something that is no multiple of a page table's span, so that entries move one by one and leave
    /// their tables behind; tables that only change their place are not freed.
    pub fn move_unaligned(self) -> Result<Self, String> {
        let room = SparseMapping::reserve((self.length / TABLE_SPAN_BYTES + 1) as u64)?;
        let page = page::size();
        let misplaced = |target: usize| (target ^ self.start as usize) % TABLE_SPAN_BYTES != 0;
        let target = room.start as usize + if misplaced(room.start as usize) { 0 } else { page };
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: moves the mapping made by `populate` into one just made, which is larger by a span at least.
        let start =
            unsafe { libc::mremap(self.start, self.length, self.length, flags, target as *mut libc::c_void) };
        match start as usize == target {
            true => Ok(SparseMapping { start, length: self.length }),
            false => Err(format!("could not move a mapping: {}", Error::last_os_error())),
        }
    }

    /// Gives the pages back and keeps the mapping.
    pub fn drop_pages(self) -> Result<(), String> {
        // SAFETY: the mapping made by `populate`, into which no reference exists.
        match unsafe { libc::madvise(self.start, self.length, libc::MADV_DONTNEED) } {
            0 => Ok(()),
            _ => Err(format!("MADV_DONTNEED: {}", Error::last_os_error())),
        }
    }
}
