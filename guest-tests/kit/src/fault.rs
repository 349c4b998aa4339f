//! The kernel's page-allocation fault injection (mm/fail_page_alloc.c, lib/fault-inject.c): fail exactly N
//! non-sleeping allocations made under one function, for tasks that ask for it.

use std::ops::Range;

use crate::files;

const KNOBS: &str = "/sys/kernel/debug/fail_page_alloc";

/// Fault injection, set up and waiting for a task that arms itself.
#[derive(Debug)]
pub struct FailPageAlloc {
    times: u64,
}

impl FailPageAlloc {
    /// Prepares `times` failures of allocations whose call stack passes through `under`.
    ///
    /// Each knob is read back. The kernel's defaults would inject nothing: `min-order=1` spares the single
    /// page of a batch. `ignore-gfp-wait=Y` leaves sleeping allocations alone.
    pub fn prepare(under: &Range<u64>, times: u64) -> Result<Self, String> {
        // Nothing may be injected by a mixture of old and new values.
        set("probability", "0")?;
        set("min-order", "0")?;
        set("ignore-gfp-wait", "Y")?;
        set("interval", "1")?;
        set("space", "0")?;
        set("task-filter", "Y")?;
        set("stacktrace-depth", "32")?;
        set("require-start", &format!("{:#x}", under.start))?;
        set("require-end", &format!("{:#x}", under.end))?;
        set("reject-start", "0")?;
        set("reject-end", "0")?;
        set("verbose", "0")?;
        set("times", &times.to_string())?;
        set("probability", "100")?;
        Ok(FailPageAlloc { times })
    }

    /// Failures injected since [`FailPageAlloc::prepare`]: `times` goes down by one for each, and stops at 0.
    pub fn injected(&self) -> Result<u64, String> {
        let left = files::read_number(format!("{KNOBS}/times"))?;
        self.times.checked_sub(left).ok_or_else(|| {
            format!("fail_page_alloc has {left} failures left although only {} were asked for", self.times)
        })
    }
}

/// Makes the calling task one whose allocations may fail, or no longer. A forked child inherits it.
pub fn arm_this_task(armed: bool) -> Result<(), String> {
    files::set("/proc/self/make-it-fail", if armed { "1" } else { "0" })
}

fn set(knob: &str, value: &str) -> Result<(), String> {
    files::set(format!("{KNOBS}/{knob}"), value)
}
