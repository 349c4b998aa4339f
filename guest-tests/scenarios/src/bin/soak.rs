//! Load for as long as was asked: walkers on every CPU while three victims, one that unmaps, one that exits and one that
//! is killed, run into their failures. In rounds, each measured by itself, so that no trace buffer ever overflows.

use std::time::{Duration, Instant};

use kit::child::Child;
use kit::mapping::SparseMapping;
use kit::measure::{Force, Trial, measure_unhurried};
use kit::meter::{Meter, Performed};
use kit::{fault, files, scenario, walkers};
use protocol::{Done, Measured, Order};

/// Beyond what fails, so that a process's own upper tables come after the failures.
const SPARE_TABLES: u64 = 16;

pub fn main() {
    scenario::run(soak);
}

/// The sum of all rounds; at least one.
fn soak(order: &Order) -> Result<Measured, String> {
    let began = Instant::now();
    let mut sum: Option<Measured> = None;
    for round in 1_u64.. {
        let measured = measure_unhurried(order, Force::Batches, operate)
            .map_err(|why| format!("round {round}: {why}"))?;
        sum = Some(match sum {
            None => measured,
            Some(sum) => add(sum, measured),
        });
        // So that the host sees life, and a reader of the console when something happened.
        files::write("/dev/kmsg", format!("patchproof: soak: round {round} is over"))?;
        if began.elapsed() >= Duration::from_secs(order.ask.secs) {
            return sum.map(|sum| with_rounds(sum, round)).ok_or_else(|| "no round".to_owned());
        }
    }
    unreachable!("a soak ends by its time")
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let third = trial.ask.demand / 3;
    let exiting = Child::start(|| armed_mapping(trial, third), |_| Ok(()))?;
    let killed = Child::start(|| armed_mapping(trial, third), |_| Ok(()))?;
    let rest = trial.ask.demand - 2 * third;
    let unmapped = SparseMapping::populate(rest + SPARE_TABLES)?;
    let other = Child::start(|| Ok(()), |()| Ok(()))?;
    let meter = Meter::start()?;
    let ((), done) = walkers::beside(other.pid(), || {
        grant(trial, third)?;
        exiting.finish()?;
        grant(trial, third)?;
        killed.kill_and_reap()?;
        grant(trial, rest)?;
        fault::while_armed(trial.forced, || unmapped.unmap())
    })?;
    let performed = meter.stop()?;
    other.finish()?;
    Ok(Performed { done, ..performed })
}

fn armed_mapping(trial: &Trial<'_>, tables: u64) -> Result<SparseMapping, String> {
    let mapping = SparseMapping::populate(tables + SPARE_TABLES)?;
    fault::arm_this_task(trial.forced)?;
    Ok(mapping)
}

fn grant(trial: &Trial<'_>, failures: u64) -> Result<(), String> {
    match (trial.forced, trial.injection) {
        (true, Some(injection)) => injection.grant(failures),
        _ => Ok(()),
    }
}

/// What two rounds did. A leak of both together is seen by what the last one leaves.
fn add(sum: Measured, round: Measured) -> Measured {
    let cross_calls = sum.cross_calls.iter().zip(&round.cross_calls).map(|(a, b)| a + b).collect();
    let done = sum.done.into_iter().zip(&round.done);
    let done = done.map(|(sum, round)| Done { count: sum.count + round.count, ..sum }).collect();
    Measured {
        demanded: sum.demanded + round.demanded,
        injected: sum.injected + round.injected,
        bystanders: sum.bystanders.min(round.bystanders),
        quiet: sum.quiet + round.quiet,
        forced: sum.forced + round.forced,
        page_tables: protocol::PageTables { after: round.page_tables.after, ..sum.page_tables },
        lost_events: sum.lost_events + round.lost_events,
        cross_calls,
        quiet_micros: sum.quiet_micros + round.quiet_micros,
        forced_micros: sum.forced_micros + round.forced_micros,
        done,
        ..sum
    }
}

fn with_rounds(mut sum: Measured, rounds: u64) -> Measured {
    sum.done.push(Done { what: "rounds".to_owned(), count: rounds });
    sum
}
