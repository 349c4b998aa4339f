//! The kernel's page-allocation fault injection (mm/fail_page_alloc.c, lib/fault-inject.c): fail exactly N
//! non-sleeping allocations made under one function and, if asked for, outside another, for tasks that ask for it.

use std::cell::Cell;
use std::ops::Range;

use crate::files::{self, OpenFile};

const KNOBS: &str = "/sys/kernel/debug/fail_page_alloc";

/// Which allocations fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The next so many non-sleeping ones, in tasks that are armed ([`arm_this_task`]).
    Next { times: u64 },
    /// The one that a task chose for itself ([`fail_nth`]); sleeping ones too if they may.
    Nth { may_sleep: bool },
}

/// `times` where there is no limit but failures are counted: the kernel counts it down as an int.
const UNLIMITED: u64 = 1_000_000_000;

/// Fault injection, set up and waiting for a task that arms itself.
#[derive(Debug)]
pub struct FailPageAlloc {
    /// What was last written to `times`.
    times: Cell<u64>,
    /// Injected before that.
    before: Cell<u64>,
}

impl FailPageAlloc {
    /// Prepares failures of page allocations whose call stack passes through `under` and not through `outside`.
    ///
    /// Each knob is read back. The kernel's defaults would inject nothing: `min-order=1` spares the single
    /// page of a batch. `ignore-gfp-wait=Y` leaves sleeping allocations alone.
    pub fn prepare(under: &Range<u64>, outside: &Range<u64>, which: Which) -> Result<Self, String> {
        let (times, probability, ignore_gfp_wait) = match which {
            Which::Next { times } => (times, "100", "Y"),
            // A task that counts down by itself is asked before the probability is.
            Which::Nth { may_sleep: false } => (UNLIMITED, "0", "Y"),
            Which::Nth { may_sleep: true } => (UNLIMITED, "0", "N"),
        };
        // Nothing may be injected by a mixture of old and new values.
        set("probability", "0")?;
        ensure("min-order", "0")?;
        ensure("ignore-gfp-wait", ignore_gfp_wait)?;
        ensure("interval", "1")?;
        ensure("space", "0")?;
        ensure("task-filter", "Y")?;
        ensure("stacktrace-depth", "32")?;
        ensure("require-start", &format!("{:#x}", under.start))?;
        ensure("require-end", &format!("{:#x}", under.end))?;
        ensure("reject-start", &format!("{:#x}", outside.start))?;
        ensure("reject-end", &format!("{:#x}", outside.end))?;
        ensure("verbose", "0")?;
        set("times", &times.to_string())?;
        set("probability", probability)?;
        Ok(FailPageAlloc { times: Cell::new(times), before: Cell::new(0) })
    }

    /// Allows `times` failures from now on, whatever was left.
    pub fn grant(&self, times: u64) -> Result<(), String> {
        let injected = self.injected()?;
        set("times", &times.to_string())?;
        self.before.set(injected);
        self.times.set(times);
        Ok(())
    }

    /// Failures injected since [`FailPageAlloc::prepare`]: `times` goes down by one for each, and stops at 0.
    pub fn injected(&self) -> Result<u64, String> {
        let (left, times) = (files::read_number(format!("{KNOBS}/times"))?, self.times.get());
        let now = times.checked_sub(left).ok_or_else(|| {
            format!("fail_page_alloc has {left} failures left although only {times} were asked for")
        })?;
        Ok(self.before.get() + now)
    }
}

/// Makes the calling task one whose allocations may fail, or no longer. A forked child inherits it.
pub fn arm_this_task(armed: bool) -> Result<(), String> {
    Trigger::of_this_task()?.arm(armed)
}

/// What [`arm_this_task`] pulls, for a task that does so again and again: of the one that made it, whoever uses it.
#[derive(Debug)]
pub struct Trigger(OpenFile);

impl Trigger {
    pub fn of_this_task() -> Result<Trigger, String> {
        OpenFile::open("/proc/self/make-it-fail").map(Trigger)
    }

    pub fn arm(&self, armed: bool) -> Result<(), String> {
        self.0.set(if armed { "1" } else { "0" })
    }
}

/// Carries out `operation` with this task armed if `armed`, and disarms it whatever came of it.
pub fn while_armed<T>(armed: bool, operation: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    arm_this_task(armed)?;
    let result = operation();
    arm_this_task(false)?;
    result
}

/// The `n`-th allocation from now on that [`Which::Nth`] allows fails, of the calling task alone; 0 takes that
/// back. A forked child does not inherit it; a program that is executed does.
pub fn fail_nth(n: u64) -> Result<(), String> {
    files::write("/proc/thread-self/fail-nth", n.to_string())
}

/// What is left of this task's [`fail_nth`]: 0 when that allocation has failed.
pub fn nth_left() -> Result<u64, String> {
    files::read_number("/proc/thread-self/fail-nth")
}

fn set(knob: &str, value: &str) -> Result<(), String> {
    files::set(format!("{KNOBS}/{knob}"), value)
}

fn ensure(knob: &str, value: &str) -> Result<(), String> {
    files::ensure(format!("{KNOBS}/{knob}"), value)
}
