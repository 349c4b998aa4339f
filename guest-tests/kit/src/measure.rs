//! The one way a scenario is measured: the operation with nothing forced, the same operation under force, and how often
//! each event happened in both.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use protocol::{Ask, Counts, Level, Measured, Order, Timing, Watch};

use crate::fault::Fault;
use crate::meter::{self, Meter, Performed};
use crate::site::{self, Site};
use crate::tracer::Tracer;
use crate::{cpu, files, kallsyms, settings};

/// One performance of a scenario's operation.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    pub ask: &'a Ask,
    watch: &'a Watch,
    /// Units of work to do ([`protocol::InjectionPoint::work`]), so that the demand is met and some are left over.
    pub units: u64,
    /// Under force; else everything is done but what makes calls fail.
    pub forced: bool,
    /// None where nothing is injected.
    pub injection: Option<&'a Fault>,
}

impl<'a> Trial<'a> {
    /// To be started when all that the operation will give back is there.
    pub fn meter(&self) -> Result<Meter<'a>, String> {
        Meter::start(self.watch)
    }

    /// All failures that were asked for have been injected.
    pub fn is_exhausted(&self) -> Result<bool, String> {
        match self.injection {
            Some(injection) => Ok(injection.injected()? >= self.ask.demand),
            None => Ok(false),
        }
    }

    /// Allows so many failures from now on, if the trial is forced and something is injected.
    pub fn grant(&self, failures: u64) -> Result<(), String> {
        match (self.forced, self.injection) {
            (true, Some(injection)) => injection.grant(failures),
            _ => Ok(()),
        }
    }
}

/// Does the work of a scenario. Calls may fail while it does so if the trial is forced, and only then.
pub type Operation = fn(&Trial<'_>) -> Result<Performed, String>;

/// Writing to it waits for every RCU callback that was queued before (kernel/rcu/tree.c,
/// `param_set_do_rcu_barrier()`).
const RCU_BARRIER: &str = "/sys/module/rcutree/parameters/do_rcu_barrier";

/// What is still on its way to the trace or to the counters when a barrier is over gets a tick and so long.
const SETTLE_BEYOND_TICK: Duration = Duration::from_millis(1);
/// A machine that is never quiet cannot be measured.
const SETTLE_DEADLINE: Duration = Duration::from_secs(30);

/// Runs `operation` quiet, then forced, with the settings that the order asks for.
///
/// # Errors
/// Anything that keeps the counts from being trusted: a knob not taken, a failure injected while no task
/// was armed, an operation that failed. A count of any size is not an error.
pub fn measure(order: &Order, operation: Operation) -> Result<Measured, String> {
    let Order { ask, watch, inject } = order;
    let set = settings::apply(&ask.set)?;
    cpu::pin_to(cpu::VICTIM_CPU)?;
    let kallsyms = kallsyms::load()?;
    let site = ask.inject.as_ref().map(|injection| Site::of(&kallsyms, injection)).transpose()?;
    let units = site::units(ask, site.as_ref())?;
    let tracer = Tracer::create(&kallsyms, watch, ask.demand)?;
    let injection = match (&ask.inject, &site) {
        (Some(injection), Some(site)) => Some(Fault::prepare(injection, site, ask.demand)?),
        _ => None,
    };
    let trial = |forced| Trial { ask, watch, units, forced, injection: injection.as_ref() };

    let quiet = observe(tracer.as_ref(), &trial(false), operation)?;
    let injected = || injection.as_ref().map_or(Ok(0), Fault::injected);
    let uninvited = injected()?;
    if uninvited != 0 {
        return Err(format!("{uninvited} calls failed although no task was armed"));
    }
    let forced = observe(tracer.as_ref(), &trial(*inject), operation)?;

    Ok(Measured {
        injected_in: site.map(|site| site.function),
        demanded: ask.demand,
        injected: injected()?,
        operations: forced.performed.operations,
        bystanders: bystanders(&forced.performed)?,
        quiet: quiet.counts,
        forced: forced.counts,
        levels: forced.levels,
        rises: forced.performed.rises,
        lost_events: quiet.lost_events + forced.lost_events,
        set,
        quiet_micros: quiet.performed.micros,
        forced_micros: forced.performed.micros,
        timings: timings(forced.performed.timings, quiet.performed.timings),
        done: forced.performed.done,
        results: BTreeMap::new(),
        found: BTreeMap::new(),
        answers: BTreeMap::new(),
        output: String::new(),
        leaks: Vec::new(),
    })
}

/// What was timed under force, then the same with nothing forced.
fn timings(forced: Vec<Timing>, quiet: Vec<Timing>) -> Vec<Timing> {
    let forced = forced.into_iter().map(|timing| Timing { forced: true, ..timing });
    forced.chain(quiet.into_iter().map(|timing| Timing { forced: false, ..timing })).collect()
}

type Gauges = BTreeMap<String, u64>;

struct Observed {
    performed: Performed,
    counts: Counts,
    levels: BTreeMap<String, Level>,
    lost_events: u64,
}

fn observe(tracer: Option<&Tracer<'_>>, trial: &Trial<'_>, operation: Operation) -> Result<Observed, String> {
    let before = meter::gauges(trial.watch)?;
    tracer.map_or(Ok(()), Tracer::start)?;
    let performed = operation(trial)?;
    let after = settle(tracer, trial.watch, &before)?;
    tracer.map_or(Ok(()), Tracer::stop)?;
    let levels = levels(&before, &performed.peaks, &after);
    let counts = tracer.map(|tracer| tracer.counts(&performed.unsteady_cpus)).transpose()?;
    let (counts, lost_events) = counts.unwrap_or_default();
    Ok(Observed { performed, counts, levels, lost_events })
}

/// All three have the same names.
fn levels(before: &Gauges, peaks: &Gauges, after: &Gauges) -> BTreeMap<String, Level> {
    let of = |gauges: &Gauges, name: &str| gauges.get(name).copied().unwrap_or(0);
    let level = |(name, before): (&String, &u64)| {
        (name.clone(), Level { before: *before, peak: of(peaks, name), after: of(after, name) })
    };
    before.iter().map(level).collect()
}

/// Waits until RCU has done what the operation left to it, until the trace does not change any more, and until the gauges
/// have come back to what they were `before`, or do not change any more either. Returns what they show. Where nothing is
/// counted and no gauge is read there is nothing to wait for.
fn settle(tracer: Option<&Tracer<'_>>, watch: &Watch, before: &Gauges) -> Result<Gauges, String> {
    if tracer.is_none() && watch.gauges.is_empty() {
        return Ok(Gauges::new());
    }
    let began = Instant::now();
    // Once: no callback that is waited for queues another.
    files::write(RCU_BARRIER, "1")?;
    let step = cpu::tick()? + SETTLE_BEYOND_TICK;
    let buffer = || tracer.map(Tracer::buffer).transpose();
    let (mut recorded, mut last) = (buffer()?, None);
    loop {
        thread::sleep(step);
        let last_recorded = recorded;
        recorded = buffer()?;
        let now = meter::gauges(watch)?;
        if recorded == last_recorded && are_steady(before, last.as_ref(), &now) {
            return Ok(now);
        }
        if began.elapsed() >= SETTLE_DEADLINE {
            return Err(format!("counts still changed {} s after the operation", SETTLE_DEADLINE.as_secs()));
        }
        last = Some(now);
    }
}

/// Each gauge shows no more than `before`, or what it showed when it was read `last`.
fn are_steady(before: &Gauges, last: Option<&Gauges>, now: &Gauges) -> bool {
    now.iter().all(|(name, number)| {
        let is_back = before.get(name).is_some_and(|before| number <= before);
        is_back || last.and_then(|last| last.get(name)) == Some(number)
    })
}

/// CPUs other than the test's that were online all the time.
fn bystanders(performed: &Performed) -> Result<u32, String> {
    let unsteady = u32::try_from(performed.unsteady_cpus.len()).unwrap_or(u32::MAX);
    Ok(cpu::online()?.saturating_sub(1).saturating_sub(unsteady))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauges(things: u64, others: u64) -> Gauges {
        [("things".to_owned(), things), ("others".to_owned(), others)].into()
    }

    #[test]
    fn a_gauge_is_steady_when_it_is_back_or_does_not_change_any_more() {
        let before = gauges(5, 5);
        assert!(are_steady(&before, None, &gauges(5, 4)));
        assert!(!are_steady(&before, None, &gauges(5, 6)));
        assert!(!are_steady(&before, Some(&gauges(9, 7)), &gauges(4, 6)));
        assert!(are_steady(&before, Some(&gauges(9, 6)), &gauges(4, 6)));
        assert!(are_steady(&Gauges::new(), None, &Gauges::new()));
    }

    #[test]
    fn a_level_has_the_three_moments_of_its_own_gauge() {
        let levels = levels(&gauges(1, 2), &gauges(10, 20), &gauges(3, 4));
        assert_eq!(levels["things"], Level { before: 1, peak: 10, after: 3 });
        assert_eq!(levels["others"], Level { before: 2, peak: 20, after: 4 });
    }

    #[test]
    fn what_was_timed_under_force_comes_first_and_is_marked() {
        let timing = |forced| {
            let what = "exit".to_owned();
            Timing { what, forced, units: 1, samples: 1, min: 1, p25: 1, median: 1, p75: 1, p99: 1, max: 1 }
        };
        assert_eq!(timings(vec![timing(false)], vec![timing(false)]), [timing(true), timing(false)]);
    }
}
