//! Everything below debugfs: read, and what is a plain value written back.

use workloads::exercise::{self, Exercise};
use workloads::walk::{self, FileWalk};

/// Other file systems, what provokes crashes, what injects errors, and what waits for what does not come.
const SKIP: [&str; 11] = [
    "/debug/gcov",
    "/debug/tracing",
    "/debug/kcov",
    "provoke-crash",
    "/trace_pipe",
    "/apei",
    "hwpoison",
    "/kunit/",
    "/usb/usbmon",
    "/error_injection",
    "/x86/mce",
];

/// Knobs of the kernel's own detectors.
const KEEP: [&str; 12] = [
    "/fail",
    "fault",
    "/kmemleak",
    "/sched/",
    "/clear_warn_once",
    "/split_huge_pages",
    "/hung",
    "/lockdep",
    "/provoke",
    "/pm_",
    "/suspend",
    "/kfence",
];

const SAMPLE: [&str; 3] = ["/debug/slab", "/debug/regmap", "/debug/clk"];

/// What is made at an open has to be gone after the close: so often it shows.
const AGAIN: u32 = 5;

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    let how = FileWalk {
        skip: &SKIP,
        keep: &KEEP,
        sample: &SAMPLE,
        write: true,
        again: AGAIN,
        is_steady: true,
        ..FileWalk::default()
    };
    walk::walk(it, "/sys/kernel/debug", how);
}
