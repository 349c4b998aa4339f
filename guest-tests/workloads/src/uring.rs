//! io_uring by raw system calls: a ring, and what is submitted to it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::sys;
use crate::sys::{Impatience, descriptor};

const ENTRIES: u32 = 16;
const ENTRY_BYTES: usize = 64;
const OFFSET_ENTRIES: i64 = 0x1000_0000;

/// struct io_uring_sqe, by the offsets of its fields.
#[derive(Debug, Clone, Copy)]
pub struct RingEntry([u8; ENTRY_BYTES]);

impl RingEntry {
    pub fn new(operation: u8, fd: i32) -> RingEntry {
        let mut entry = RingEntry([0; ENTRY_BYTES]);
        entry.0[0] = operation;
        entry.0[4..8].copy_from_slice(&fd.to_ne_bytes());
        entry
    }

    #[must_use]
    pub fn with(mut self, at: usize, value: u64, bytes: usize) -> RingEntry {
        self.0[at..at + bytes].copy_from_slice(&value.to_ne_bytes()[..bytes]);
        self
    }

    #[must_use]
    pub fn flags(self, flags: u64) -> RingEntry {
        self.with(1, flags, 1)
    }

    #[must_use]
    pub fn offset(self, value: u64) -> RingEntry {
        self.with(8, value, 8)
    }

    #[must_use]
    pub fn address<T>(self, pointer: *const T) -> RingEntry {
        self.with(16, pointer as u64, 8)
    }

    #[must_use]
    pub fn length(self, value: u64) -> RingEntry {
        self.with(24, value, 4)
    }

    /// open_flags, msg_flags, rw_flags and the like.
    #[must_use]
    pub fn how(self, value: u64) -> RingEntry {
        self.with(28, value, 4)
    }

    #[must_use]
    pub fn data(self, value: u64) -> RingEntry {
        self.with(32, value, 8)
    }

    #[must_use]
    pub fn slot(self, value: u64) -> RingEntry {
        self.with(44, value, 4)
    }
}

#[derive(Debug)]
pub struct Ring {
    pub fd: OwnedFd,
    ring: *mut u8,
    entries: *mut u8,
    parameters: [u32; 30],
    bytes: usize,
}

impl Drop for Ring {
    fn drop(&mut self) {
        let _ = sys!(SYS_munmap, self.ring, self.bytes);
        let _ = sys!(SYS_munmap, self.entries, ENTRIES as usize * ENTRY_BYTES);
    }
}

impl Ring {
    /// # Errors
    /// Those of the calls.
    pub fn new(flags: u32) -> io::Result<Ring> {
        let mut parameters = [0_u32; 30];
        parameters[2] = flags;
        parameters[1] = if flags == 1 << 3 { 64 } else { 0 };
        let fd = descriptor(sys!(SYS_io_uring_setup, ENTRIES, parameters.as_mut_ptr()))?;
        // struct io_sqring_offsets begins at word 10, io_cqring_offsets at word 20; cqes at word 25 of 16 bytes each.
        let bytes = parameters[25] as usize + parameters[1] as usize * 32;
        let bytes = bytes.max(parameters[16] as usize + ENTRIES as usize * 4);
        let map = |offset: i64, bytes: usize| {
            sys!(SYS_mmap, 0, bytes, 3, libc::MAP_SHARED | libc::MAP_POPULATE, fd.as_raw_fd(), offset)
        };
        let ring = map(0, bytes)? as *mut u8;
        let entries = map(OFFSET_ENTRIES, ENTRIES as usize * ENTRY_BYTES)? as *mut u8;
        Ok(Ring { fd, ring, entries, parameters, bytes })
    }

    fn word(&self, parameter: usize) -> &AtomicU32 {
        let at = self.parameters[parameter] as usize;
        // SAFETY: the kernel said that a number of the ring is there, and the mapping lives as long as this.
        unsafe { &*self.ring.add(at).cast::<AtomicU32>() }
    }

    /// Submits one after the other and waits for all; the result of each.
    ///
    /// # Errors
    /// That of the call: EINTR where they do not come.
    pub fn run(&mut self, entries: &[RingEntry]) -> io::Result<Vec<i32>> {
        let mask = ENTRIES - 1;
        for entry in entries {
            let tail = self.word(11).load(Ordering::Acquire);
            let at = tail & mask;
            // SAFETY: `at` is below the number of entries, which are mapped; the kernel does not read this one yet. The
            // array of indices has as many.
            unsafe {
                self.entries.add(at as usize * ENTRY_BYTES).cast::<[u8; ENTRY_BYTES]>().write(entry.0);
                let array = self.ring.add(self.parameters[16] as usize).cast::<u32>();
                array.add(at as usize).write(at);
            }
            self.word(11).store(tail.wrapping_add(1), Ordering::Release);
        }
        let count = entries.len();
        let _impatience = Impatience::after(Duration::from_millis(300));
        sys!(SYS_io_uring_enter, self.fd.as_raw_fd(), count, count, 1, 0, 0)?;
        Ok(self.results())
    }

    fn results(&self) -> Vec<i32> {
        let mut all = Vec::new();
        let mask = self.parameters[1].wrapping_sub(1);
        let mut head = self.word(20).load(Ordering::Acquire);
        while head != self.word(21).load(Ordering::Acquire) {
            let at = self.parameters[25] as usize + (head & mask) as usize * 16 + 8;
            // SAFETY: an entry of the completion ring that the kernel has written.
            all.push(unsafe { self.ring.add(at).cast::<i32>().read() });
            head = head.wrapping_add(1);
        }
        self.word(20).store(head, Ordering::Release);
        all
    }
}
