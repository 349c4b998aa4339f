//! One failed allocation at a time below one function: the n-th that the calling task makes there fails (`fail-nth` with the stack
//! filter, lib/fault-inject.c), in the steps of an exerciser. A step that ends in an error is tried again with the next one
//! failing, so that it is done in the end; one that bears a failure is done, and the next round goes on where it was.
//!
//! Only allocations of tasks count: what the kernel does elsewhere for them does not fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kit::fault::{self, Fault};
use kit::files;
use kit::site::Site;
use protocol::kallsyms::Kallsyms;
use protocol::{Injection, InjectionPoint, Which};

const FAULTS: &str = "/sys/kernel/debug";

/// Failures that are forced, and what makes them fail whatever the caller allows.
const FORCED: [(&str, &[(&str, &str)]); 3] = [
    ("failslab", &[("ignore-gfp-wait", "N"), ("cache-filter", "N")]),
    ("fail_page_alloc", &[("ignore-gfp-wait", "N"), ("ignore-gfp-highmem", "N"), ("min-order", "0")]),
    ("fail_usercopy", &[]),
];

/// Failures in one step: a loop that allocates without an end is left at this.
const NTH_MAX: u64 = 60;

/// A call that waits for what does not come is ended: a step that fails needs no longer.
const ATTEMPT: Duration = Duration::from_secs(4);

/// The call that fails in the programs that a step starts; 0: none.
static IN_CHILDREN: AtomicU64 = AtomicU64::new(0);
static FAILED_IN_CHILD: AtomicBool = AtomicBool::new(false);
/// A call was made there that could have failed.
static COUNTED_IN_CHILD: AtomicBool = AtomicBool::new(false);

/// No program makes so many calls; the kernel keeps the number in 32 bits.
const FAR: u64 = 1 << 30;

/// Failures below one function.
#[derive(Debug)]
pub struct FunctionSweep {
    /// Its full name in kallsyms.
    pub function: String,
    pub injected: u64,
    /// By step: the next call to fail; 0: all have.
    next: BTreeMap<String, u64>,
    /// Steps of this round, and how often each name was there.
    seen: BTreeMap<String, u32>,
    /// Steps in which a failure was forced.
    failed: BTreeSet<String>,
    /// Batches of steps in which failures can come.
    batches: BTreeSet<String>,
    /// One of them was found in this round.
    is_new_batch: bool,
    until: Instant,
    /// Kept while failures are to be injected.
    _faults: Vec<Fault>,
}

impl FunctionSweep {
    /// # Errors
    /// When the kernel has no such function, or no fault injection.
    pub fn prepare(kallsyms: &Kallsyms, names: &[String], until: Instant) -> Result<FunctionSweep, String> {
        let point = |name: &String| InjectionPoint { function: name.clone(), work: 1 };
        let injection = |fault: &str, settings: &[(&str, &str)]| Injection {
            fault: fault.to_owned(),
            settings: settings
                .iter()
                .map(|(knob, value)| ((*knob).to_owned(), (*value).to_owned()))
                .collect(),
            under: names.iter().map(point).collect(),
            outside: None,
            which: Which::Nth,
        };
        let site = Site::of(kallsyms, &injection("", &[]))?;
        let mut faults = Vec::new();
        for (fault, settings) in FORCED.iter().filter(|(fault, _)| Path::new(FAULTS).join(fault).is_dir()) {
            faults.push(Fault::prepare(&injection(fault, settings), &site, 1)?);
        }
        if faults.is_empty() {
            return Err("the kernel has no fault injection".to_owned());
        }
        shut_out_others()?;
        let (next, seen) = (BTreeMap::new(), BTreeMap::new());
        Ok(FunctionSweep {
            function: site.function,
            injected: 0,
            next,
            seen,
            failed: BTreeSet::new(),
            batches: BTreeSet::new(),
            is_new_batch: false,
            until,
            _faults: faults,
        })
    }

    pub fn begin_round(&mut self) {
        self.seen.clear();
        self.is_new_batch = false;
    }

    /// Whether another round can make anything fail that has not.
    pub fn goes_on(&self) -> bool {
        let is_left = self.next.values().any(|next| *next > 1) || self.is_new_batch;
        is_left && Instant::now() < self.until
    }

    /// Whether a failure was forced in a step of this name.
    pub fn has_failed(&self, name: &str) -> bool {
        self.failed.contains(name)
    }

    pub fn is_swept_in(&self, batch: &str) -> bool {
        self.batches.contains(batch)
    }

    /// As a step that is none: the failure of its program is too far away to come.
    pub fn watch_batch<T>(&mut self, name: &str, work: &mut dyn FnMut() -> T) -> T {
        IN_CHILDREN.store(FAR, Ordering::SeqCst);
        COUNTED_IN_CHILD.store(false, Ordering::SeqCst);
        let end = work();
        IN_CHILDREN.store(0, Ordering::SeqCst);
        if COUNTED_IN_CHILD.load(Ordering::SeqCst) {
            self.is_new_batch |= self.batches.insert(name.to_owned());
        }
        end
    }

    /// Carries out the step `name`, with failures as far as it was not through with them; where it may be done `again` after it was
    /// done, until there is nothing left to fail.
    pub fn step<T>(
        &mut self,
        name: &str,
        again: bool,
        work: &mut dyn FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        let number = self.seen.entry(name.to_owned()).or_default();
        *number += 1;
        let key = format!("{name} {number}");
        let first = self.next.get(&key).copied().unwrap_or(1);
        if first == 0 {
            return work();
        }
        for nth in first..=NTH_MAX {
            if Instant::now() >= self.until {
                return work();
            }
            let (end, injected) = with_failure(nth, work)?;
            if !injected {
                self.next.insert(key, 0);
                return end;
            }
            self.injected += 1;
            self.failed.insert(name.to_owned());
            if end.is_ok() && !again {
                self.next.insert(key, nth + 1);
                return end;
            }
        }
        self.next.insert(key, 0);
        work()
    }
}

/// Every other fault that there is would count down as well, at calls that are none of ours: its filter lets none through.
fn shut_out_others() -> Result<(), String> {
    let entries = fs::read_dir(FAULTS).map_err(|error| format!("{FAULTS}: {error}"))?;
    for directory in entries.flatten().map(|entry| entry.path()) {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_other =
            directory.join("require-start").exists() && !FORCED.iter().any(|(fault, _)| *fault == name);
        if is_other {
            files::write(directory.join("require-start"), "1")?;
            files::write(directory.join("require-end"), "1")?;
        }
    }
    Ok(())
}

/// How the step ended, and whether its `nth` call failed.
fn with_failure<T>(nth: u64, work: &mut dyn FnMut() -> io::Result<T>) -> io::Result<(io::Result<T>, bool)> {
    IN_CHILDREN.store(nth, Ordering::SeqCst);
    FAILED_IN_CHILD.store(false, Ordering::SeqCst);
    let alarm = Alarm::set(ATTEMPT);
    fault::fail_nth(nth).map_err(io::Error::other)?;
    let end = work();
    let left = fault::nth_left();
    fault::fail_nth(0).map_err(io::Error::other)?;
    drop(alarm);
    IN_CHILDREN.store(0, Ordering::SeqCst);
    let left = left.map_err(io::Error::other)?;
    Ok((end, left == 0 || FAILED_IN_CHILD.load(Ordering::SeqCst)))
}

/// A timer whose signal ends a call that waits.
struct Alarm;

impl Alarm {
    fn set(after: Duration) -> Alarm {
        extern "C" fn nothing(_: libc::c_int) {}
        // SAFETY: the handler does nothing; the structures outlive the calls.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize;
            libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
        }
        Alarm::start(after);
        Alarm
    }

    fn start(after: Duration) {
        let secs = libc::timeval { tv_sec: after.as_secs() as libc::time_t, tv_usec: 0 };
        // Again and again: the first signal may come before the call that waits.
        let timer = libc::itimerval { it_interval: secs, it_value: secs };
        // SAFETY: the structure outlives the call.
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        Alarm::start(Duration::ZERO);
    }
}

/// Lets the program that `command` starts have the failure that this step is to have.
pub fn arm(command: &mut Command) {
    if let Some(write) = forced_in_child() {
        // SAFETY: system calls alone, on strings that end in 0, after fork and before exec.
        unsafe { command.pre_exec(write) };
    }
}

/// What a child of this process does first, so that it has the failure that this step is to have: a fork takes it away
/// (kernel/fork.c, dup_task_struct()). None where no failure is forced.
pub fn forced_in_child() -> Option<impl FnMut() -> io::Result<()>> {
    let nth = IN_CHILDREN.load(Ordering::SeqCst);
    let text = format!("{nth}\0");
    let write = move || {
        // SAFETY: system calls alone, on strings that end in 0.
        unsafe {
            let fd = libc::open(c"/proc/self/fail-nth".as_ptr(), libc::O_WRONLY);
            libc::write(fd, text.as_ptr().cast(), text.len() - 1);
            libc::close(fd);
        }
        Ok(())
    };
    (nth > 0).then_some(write)
}

/// Notes whether the failure came. The child has ended and was not waited for: its directory in /proc is still there.
pub fn ended(child: u32) {
    let nth = IN_CHILDREN.load(Ordering::SeqCst);
    if nth > 0 {
        let left = fs::read_to_string(format!("/proc/{child}/fail-nth"));
        let left = left.ok().and_then(|left| left.trim().parse().ok()).unwrap_or(nth);
        FAILED_IN_CHILD.fetch_or(left == 0, Ordering::SeqCst);
        COUNTED_IN_CHILD.fetch_or(left < nth, Ordering::SeqCst);
    }
}
