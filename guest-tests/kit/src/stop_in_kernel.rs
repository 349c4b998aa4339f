//! Stopping a task inside a system call: a page that userfaultfd watches, and a thread that fills it when it is told
//! to. A task that writes to the page before that waits.

use std::fs::File;
use std::io::{Error, Read};
use std::os::fd::AsRawFd;
use std::ptr;
use std::thread;

use rustix::mm::{UserfaultfdFlags, userfaultfd};

use crate::page;

/// The ABI that is asked for (include/uapi/linux/userfaultfd.h).
const UFFD_API: u64 = 0xaa;
const REGISTER_MODE_MISSING: u64 = 1;

#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Register {
    start: u64,
    length: u64,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct ZeroPage {
    start: u64,
    length: u64,
    mode: u64,
    zeroed: i64,
}

/// `struct uffd_msg`.
const MESSAGE_BYTES: usize = 32;

/// A page that no task can touch yet.
#[derive(Debug)]
pub struct Trap {
    page: usize,
}

impl Trap {
    /// `trapped` is called when a task waits for the page; the page is filled when it returns.
    pub fn set(trapped: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<Trap, String> {
        let length = page::size();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice.
        let page = unsafe { libc::mmap(ptr::null_mut(), length, access, flags, -1, 0) };
        if page == libc::MAP_FAILED {
            return Err(format!("could not map a page: {}", Error::last_os_error()));
        }
        // SAFETY: only the page that was just made is registered, and no reference to it exists.
        let watcher = unsafe { userfaultfd(UserfaultfdFlags::CLOEXEC) };
        let mut watcher = File::from(watcher.map_err(|error| format!("userfaultfd: {error}"))?);
        ask(&watcher, 0x3f, &mut Api { api: UFFD_API, features: 0, ioctls: 0 })?;
        let (start, length) = (page as u64, length as u64);
        ask(&watcher, 0x00, &mut Register { start, length, mode: REGISTER_MODE_MISSING, ioctls: 0 })?;
        thread::spawn(move || {
            // Of what goes wrong here the system call knows: it never returns, or with an error.
            let mut message = [0; MESSAGE_BYTES];
            watcher.read_exact(&mut message).map_err(|error| format!("userfaultfd: {error}"))?;
            let held = trapped();
            // After an error too: the task must not wait for ever.
            ask(&watcher, 0x04, &mut ZeroPage { start, length, mode: 0, zeroed: 0 })?;
            held
        });
        Ok(Trap { page: page as usize })
    }

    /// Where the page is: for the kernel to write to.
    pub fn page(&self) -> *mut libc::c_void {
        self.page as *mut libc::c_void
    }
}

/// One `ioctl` that passes a structure both ways.
fn ask<T>(watcher: &File, number: u32, what: &mut T) -> Result<(), String> {
    // SAFETY: the request says how large the structure is, and it outlives the call.
    let status = unsafe { libc::ioctl(watcher.as_raw_fd(), libc::_IOWR::<T>(0xaa, number), what) };
    match status {
        0 => Ok(()),
        _ => Err(format!("userfaultfd, request {number:#x}: {}", Error::last_os_error())),
    }
}
