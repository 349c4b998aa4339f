//! The lockless walk of page tables that takes a reference to a page (GUP-fast), asked for by its own test device
//! (mm/gup_test.c, CONFIG_GUP_TEST).

use std::fs::File;
use std::os::fd::AsRawFd;

use kit::page;

const DEVICE: &str = "/sys/kernel/debug/gup_test";

/// `struct gup_test`, mm/gup_test.h.
#[repr(C)]
struct GupTest {
    get_delta_usec: u64,
    put_delta_usec: u64,
    addr: u64,
    size: u64,
    nr_pages_per_call: u32,
    gup_flags: u32,
    test_flags: u32,
    which_pages: [u32; 8],
}

/// The device, open.
#[derive(Debug)]
pub struct GupFast(File);

impl GupFast {
    /// # Errors
    /// When the kernel is built without it.
    pub fn open() -> Result<Self, String> {
        let opened = File::options().read(true).write(true).open(DEVICE);
        opened.map(GupFast).map_err(|error| format!("could not open {DEVICE}: {error}"))
    }

    /// Takes and releases the page at an address of this process once (GUP_FAST_BENCHMARK); says whether it was had.
    pub fn walk(&self, at: usize) -> bool {
        let size = page::size() as u64;
        let mut what = GupTest {
            get_delta_usec: 0,
            put_delta_usec: 0,
            addr: at as u64,
            size,
            nr_pages_per_call: 1,
            gup_flags: 0,
            test_flags: 0,
            which_pages: [0; 8],
        };
        let request = libc::_IOWR::<GupTest>(u32::from(b'g'), 1);
        // SAFETY: the request says how large the structure is, and it outlives the call.
        unsafe { libc::ioctl(self.0.as_raw_fd(), request, &raw mut what) == 0 && what.size == size }
    }
}
