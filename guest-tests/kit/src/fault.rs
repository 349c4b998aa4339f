//! The kernel's fault injection (lib/fault-inject.c): makes exactly N calls under one function and, if asked for, outside
//! another fail, in tasks that ask for it. Which kind of call is the fault's own matter: page allocations
//! (mm/fail_page_alloc.c), slab allocations (mm/failslab.c), and others.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use protocol::{Injection, Which};

use crate::files::{self, OpenFile};
use crate::site::Site;

const FAULTS: &str = "/sys/kernel/debug";

/// `times` where there is no limit but failures are counted: the kernel counts it down as an int.
const UNLIMITED: u64 = 1_000_000_000;

/// Fault injection, set up and waiting for a task that arms itself.
#[derive(Debug)]
pub struct Fault {
    /// The directory of its knobs.
    directory: PathBuf,
    /// What was last written to `times`.
    times: Cell<u64>,
    /// Injected before that.
    before: Cell<u64>,
}

impl Fault {
    /// Prepares failures of calls whose call stack passes through the site. Each knob is read back: the kernel's defaults
    /// may inject nothing (`min-order=1` of `fail_page_alloc` spares single pages).
    pub fn prepare(injection: &Injection, site: &Site, demand: u64) -> Result<Self, String> {
        let directory = Path::new(FAULTS).join(&injection.fault);
        if !directory.is_dir() {
            return Err(format!(
                "{} is missing: the kernel needs FAULT_INJECTION_DEBUG_FS and the option of this fault",
                directory.display()
            ));
        }
        let times = times(injection.which, demand);
        for (knob, value) in knobs(injection, site, times) {
            files::ensure(directory.join(knob), &value)?;
        }
        Ok(Fault { directory, times: Cell::new(times), before: Cell::new(0) })
    }

    /// Allows `times` failures from now on, whatever was left.
    pub fn grant(&self, times: u64) -> Result<(), String> {
        let injected = self.injected()?;
        files::set(self.directory.join("times"), &times.to_string())?;
        self.before.set(injected);
        self.times.set(times);
        Ok(())
    }

    /// Failures injected since [`Fault::prepare`]: `times` goes down by one for each, and stops at 0.
    pub fn injected(&self) -> Result<u64, String> {
        let path = self.directory.join("times");
        let (left, times) = (files::read_number(&path)?, self.times.get());
        let now = times
            .checked_sub(left)
            .ok_or_else(|| format!("{} is {left} although only {times} were asked for", path.display()))?;
        Ok(self.before.get() + now)
    }
}

fn times(which: Which, demand: u64) -> u64 {
    match which {
        Which::Next => demand,
        Which::Nth => UNLIMITED,
    }
}

/// Every knob and its value, in the order in which they are written: the first stops all failures and the last allows them
/// again, so that nothing is injected by a mixture of old and new values.
fn knobs(injection: &Injection, site: &Site, times: u64) -> Vec<(String, String)> {
    let probability = match injection.which {
        Which::Next => "100",
        // A task that counts down by itself is asked before the probability is.
        Which::Nth => "0",
    };
    let common = [
        ("interval", "1".to_owned()),
        ("space", "0".to_owned()),
        ("task-filter", "Y".to_owned()),
        ("stacktrace-depth", "32".to_owned()),
        ("require-start", format!("{:#x}", site.under.start)),
        ("require-end", format!("{:#x}", site.under.end)),
        ("reject-start", format!("{:#x}", site.outside.start)),
        ("reject-end", format!("{:#x}", site.outside.end)),
        ("verbose", "0".to_owned()),
        ("times", times.to_string()),
        ("probability", probability.to_owned()),
    ];
    let mut knobs = vec![("probability".to_owned(), "0".to_owned())];
    knobs.extend(injection.settings.iter().cloned());
    knobs.extend(common.map(|(knob, value)| (knob.to_owned(), value)));
    knobs
}

/// Makes the calling task one whose calls may fail, or no longer. A forked child inherits it.
pub fn arm_this_task(armed: bool) -> Result<(), String> {
    Trigger::of_this_task()?.arm(armed)
}

/// What [`arm_this_task`] pulls, for a task that does so again and again. It arms the task that made it, also where
/// another one uses it.
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

/// The `n`-th call from now on that [`Which::Nth`] allows fails, of the calling task alone; 0 takes that back. Every fault
/// that the kernel is built with counts down, at the calls that its own stack filter lets through: a kernel with two
/// faults can fail another call than was meant. A forked child does not inherit it; a program that is executed does.
pub fn fail_nth(n: u64) -> Result<(), String> {
    files::write("/proc/thread-self/fail-nth", n.to_string())
}

/// What is left of this task's [`fail_nth`]: 0 when that call has failed.
pub fn nth_left() -> Result<u64, String> {
    files::read_number("/proc/thread-self/fail-nth")
}

#[cfg(test)]
mod tests {
    use protocol::InjectionPoint;
    use protocol::kallsyms::Kallsyms;

    use super::*;

    fn injection(which: Which) -> Injection {
        let setting = |knob: &str, value: &str| (knob.to_owned(), value.to_owned());
        Injection {
            fault: "failslab".to_owned(),
            settings: vec![setting("ignore-gfp-wait", "N"), setting("cache-filter", "N")],
            under: vec![InjectionPoint { function: "alloc_super".to_owned(), work: 1 }],
            outside: Some("do_exit".to_owned()),
            which,
        }
    }

    /// As `knob=value`.
    fn writes(which: Which, demand: u64) -> Vec<String> {
        let kallsyms = Kallsyms::parse("1000 t alloc_super\n2000 T do_exit\n3000 T end\n").unwrap();
        let injection = injection(which);
        let site = Site::of(&kallsyms, &injection).unwrap();
        let knobs = knobs(&injection, &site, times(which, demand));
        knobs.into_iter().map(|(knob, value)| format!("{knob}={value}")).collect()
    }

    #[test]
    fn a_faults_own_settings_come_before_what_allows_failures() {
        let expected = "probability=0 ignore-gfp-wait=N cache-filter=N interval=1 space=0 task-filter=Y \
            stacktrace-depth=32 require-start=0x1000 require-end=0x2000 reject-start=0x2000 reject-end=0x3000 \
            verbose=0 times=20 probability=100";
        assert_eq!(writes(Which::Next, 20).join(" "), expected);
    }

    #[test]
    fn a_task_that_chooses_its_failure_needs_no_probability_and_no_limit() {
        let writes = writes(Which::Nth, 20);
        assert_eq!(writes[writes.len() - 2..], ["times=1000000000", "probability=0"]);
    }

    #[test]
    fn a_kernel_without_the_fault_is_an_error_that_says_what_is_missing() {
        let kallsyms = Kallsyms::parse("1000 t alloc_super\n2000 T do_exit\n3000 T end\n").unwrap();
        let injection = Injection { fault: "fail_nothing".to_owned(), ..injection(Which::Next) };
        let site = Site::of(&kallsyms, &injection).unwrap();
        let error = Fault::prepare(&injection, &site, 1).unwrap_err();
        assert!(error.starts_with("/sys/kernel/debug/fail_nothing is missing"), "{error}");
    }
}
