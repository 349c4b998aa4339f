//! Nodes of devices, opened so that nothing waits, and what they are asked.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::sys;
use crate::sys::descriptor;

/// # Errors
/// That of the call.
pub fn open(path: &str) -> io::Result<OwnedFd> {
    let path = sys::c_path(path);
    let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    descriptor(sys!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0))
}

/// A request with a place to read from or write to.
///
/// # Errors
/// That of the call.
pub fn ask<T>(fd: &OwnedFd, request: u32, argument: *mut T) -> io::Result<i64> {
    sys!(SYS_ioctl, fd.as_raw_fd(), request, argument)
}

/// A request with a number.
///
/// # Errors
/// That of the call.
pub fn number(fd: &OwnedFd, request: u32, value: i64) -> io::Result<i64> {
    sys!(SYS_ioctl, fd.as_raw_fd(), request, value)
}
