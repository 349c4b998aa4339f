//! The one way a scenario is measured: the operation with nothing forced, the same operation under force, and what
//! each mechanism did in both.

use std::thread;
use std::time::{Duration, Instant};

use protocol::{Ask, Counts, GracePeriods, Measured, Order, PageTables, Timing};

use crate::fault::{FailPageAlloc, Which};
use crate::meter::{self, Performed};
use crate::site::Site;
use crate::tracer::Tracer;
use crate::{cpu, files, grace_period, kallsyms};

/// What makes batch allocations fail.
#[derive(Debug, Clone, Copy)]
pub enum Force {
    /// The next [`Ask::demand`] of them, in tasks that arm themselves ([`crate::fault::arm_this_task`]).
    Batches,
    /// The same, of those made under the first of these functions that the kernel has.
    BatchesUnder(&'static [&'static str]),
    /// The same, but for those made under this function.
    BatchesOutside(&'static str),
    /// The n-th of them, in a task that says which ([`crate::fault::fail_nth`]).
    NthBatch,
    /// The same, but for those made under this function.
    NthBatchOutside(&'static str),
    /// The n-th page allocation of any kind made under this function, also of those that may sleep.
    NthUnder(&'static str),
    /// Nothing is injected: the operation sees to it, or needs no failure.
    Nothing,
}

/// One performance of a scenario's operation.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    pub ask: &'a Ask,
    /// Page tables to populate and free, so that the demand is met and some are left over.
    pub tables: u64,
    /// Under force; else everything is done but what makes allocations fail.
    pub forced: bool,
    /// None where nothing is injected.
    pub injection: Option<&'a FailPageAlloc>,
}

impl Trial<'_> {
    /// All failures that were asked for have been injected.
    pub fn is_exhausted(&self) -> Result<bool, String> {
        match self.injection {
            Some(injection) => Ok(injection.injected()? >= self.ask.demand),
            None => Ok(false),
        }
    }
}

/// Populates page tables and frees them. Allocations may fail while it does so if the trial is forced, and only
/// then.
pub type Operation = fn(&Trial<'_>) -> Result<Performed, String>;

/// Writing to it waits for every RCU callback that was queued before (kernel/rcu/tree.c,
/// `param_set_do_rcu_barrier()`).
const RCU_BARRIER: &str = "/sys/module/rcutree/parameters/do_rcu_barrier";

/// What is still on its way to the trace or to the counters when a barrier is over gets a tick and so long.
const SETTLE_BEYOND_TICK: Duration = Duration::from_millis(1);
/// A machine that is never quiet cannot be measured.
const SETTLE_DEADLINE: Duration = Duration::from_secs(30);

/// Runs `operation` quiet, then forced, with grace periods that are as short as they can be: for what is counted.
///
/// # Errors
/// Anything that keeps the counts from being trusted: a knob not taken, a failure injected while nobody was to
/// inject any, an operation that failed. A count of any size is not an error.
pub fn measure(order: &Order, force: Force, operation: Operation) -> Result<Measured, String> {
    grace_period::hurry()?;
    Ok(Measured { grace_periods: GracePeriods::Hurried, ..measure_unhurried(order, force, operation)? })
}

/// The same, with grace periods as the kernel was booted: for what is timed, and for what happens while somebody waits.
pub fn measure_unhurried(order: &Order, force: Force, operation: Operation) -> Result<Measured, String> {
    let ask = &order.ask;
    cpu::pin_to(cpu::VICTIM_CPU)?;
    let kallsyms = kallsyms::load()?;
    let site = match force {
        Force::Batches | Force::BatchesOutside(_) | Force::NthBatch | Force::NthBatchOutside(_) => {
            Site::of_batches(&kallsyms, ask.demand)?
        }
        Force::BatchesUnder(functions) => Site::of(&kallsyms, functions, ask.demand)?,
        Force::NthUnder(function) => Site::of(&kallsyms, &[function], ask.demand)?,
        Force::Nothing => Site::nowhere(ask.demand),
    };
    let which = match force {
        Force::Batches | Force::BatchesUnder(_) | Force::BatchesOutside(_) => {
            Some(Which::Next { times: ask.demand })
        }
        Force::NthBatch | Force::NthBatchOutside(_) => Some(Which::Nth { may_sleep: false }),
        Force::NthUnder(_) => Some(Which::Nth { may_sleep: true }),
        Force::Nothing => None,
    };
    let outside = match force {
        Force::BatchesOutside(function) | Force::NthBatchOutside(function) => {
            kallsyms.range(function).ok_or_else(|| format!("/proc/kallsyms has no {function}"))?.1
        }
        _ => 0..0,
    };
    let tracer = Tracer::create(&kallsyms, ask.demand)?;
    let injection = match which {
        Some(which) => Some(FailPageAlloc::prepare(&site.addresses, &outside, which)?),
        None => None,
    };
    let trial = |forced| Trial { ask, tables: site.tables, forced, injection: injection.as_ref() };

    let quiet = observe(&tracer, &trial(false), operation)?;
    let injected = || injection.as_ref().map_or(Ok(0), FailPageAlloc::injected);
    let uninvited = injected()?;
    if uninvited != 0 {
        return Err(format!("{uninvited} allocations failed although no task was armed"));
    }
    let forced = observe(&tracer, &trial(order.inject), operation)?;

    Ok(Measured {
        injected_in: site.function,
        demanded: ask.demand,
        injected: injected()?,
        operations: forced.performed.operations,
        bystanders: bystanders(&forced.performed)?,
        quiet: quiet.counts,
        forced: forced.counts,
        page_tables: forced.page_tables,
        lost_events: quiet.lost_events + forced.lost_events,
        cross_calls: forced.performed.cross_calls,
        grace_periods: GracePeriods::AsBooted,
        quiet_micros: quiet.performed.micros,
        forced_micros: forced.performed.micros,
        timings: timings(forced.performed.timings, quiet.performed.timings),
        done: forced.performed.done,
    })
}

/// What was timed under force, then the same with nothing forced, under a name that says so.
fn timings(mut forced: Vec<Timing>, quiet: Vec<Timing>) -> Vec<Timing> {
    let name = |timing: Timing| Timing { what: format!("{}, nothing forced", timing.what), ..timing };
    forced.extend(quiet.into_iter().map(name));
    forced
}

struct Observed {
    performed: Performed,
    counts: Counts,
    page_tables: PageTables,
    lost_events: u64,
}

fn observe(tracer: &Tracer, trial: &Trial<'_>, operation: Operation) -> Result<Observed, String> {
    let before = meter::page_tables()?;
    tracer.start()?;
    let performed = operation(trial)?;
    let after = settle(tracer, before)?;
    tracer.stop()?;
    let page_tables = PageTables { before, peak: performed.peak_page_tables, after };
    let (counts, lost_events) = tracer.counts(&performed.unsteady_cpus)?;
    Ok(Observed { performed, counts, page_tables, lost_events })
}

/// Waits until RCU has done what the operation left to it, until the trace does not change any more, and until there are
/// no more page tables than `before`, or their number does not change any more either. Returns it.
fn settle(tracer: &Tracer, before: u64) -> Result<u64, String> {
    let began = Instant::now();
    // Once: no callback of the path queues another.
    files::write(RCU_BARRIER, "1")?;
    let step = cpu::tick()? + SETTLE_BEYOND_TICK;
    let (mut recorded, mut tables) = (tracer.buffer()?, None);
    loop {
        thread::sleep(step);
        let (last_recorded, last_tables) = (recorded, tables);
        recorded = tracer.buffer()?;
        let now = meter::page_tables()?;
        tables = Some(now);
        if recorded == last_recorded && (now <= before || tables == last_tables) {
            return Ok(now);
        }
        if began.elapsed() >= SETTLE_DEADLINE {
            return Err(format!("counts still changed {} s after the operation", SETTLE_DEADLINE.as_secs()));
        }
    }
}

/// CPUs other than the victim's that were online all the time.
fn bystanders(performed: &Performed) -> Result<u32, String> {
    let unsteady = u32::try_from(performed.unsteady_cpus.len()).unwrap_or(u32::MAX);
    Ok(cpu::online()?.saturating_sub(1).saturating_sub(unsteady))
}
