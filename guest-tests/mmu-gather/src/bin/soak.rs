//! Load for as long as was asked: walkers on every CPU while three victims, one that unmaps, one that exits and one that
//! is killed, run into their failures. In rounds, each measured by itself, so that no trace buffer ever overflows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kit::child::Child;
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::{fault, files, scenario};
use mmu_gather::freeing;
use mmu_gather::walkers;
use protocol::{Done, Level, Measured, Order};

pub fn main() {
    scenario::run(soak);
}

/// The sum of all rounds; at least one.
fn soak(order: &Order) -> Result<Measured, String> {
    let began = Instant::now();
    let mut sum: Option<Measured> = None;
    for round in 1_u64.. {
        let measured = measure(order, operate).map_err(|why| format!("round {round}: {why}"))?;
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
    let exiting = Child::start(|| freeing::armed_mapping(trial, third), |_| Ok(()))?;
    let killed = Child::start(|| freeing::armed_mapping(trial, third), |_| Ok(()))?;
    let rest = trial.ask.demand - 2 * third;
    let unmapped = freeing::mapping(rest)?;
    let other = Child::start(|| Ok(()), |()| Ok(()))?;
    let meter = trial.meter()?;
    let ((), done) = walkers::beside(other.pid(), || {
        trial.grant(third)?;
        exiting.finish()?;
        trial.grant(third)?;
        killed.kill_and_reap()?;
        trial.grant(rest)?;
        fault::while_armed(trial.forced, || unmapped.unmap())
    })?;
    let performed = meter.stop()?;
    other.finish()?;
    Ok(Performed { done, ..performed })
}

/// What two rounds did. A leak of both together is seen by what the last one leaves.
fn add(sum: Measured, round: Measured) -> Measured {
    let Measured {
        injected_in,
        demanded,
        injected,
        operations,
        bystanders,
        quiet,
        forced,
        levels,
        rises,
        lost_events,
        set,
        quiet_micros,
        forced_micros,
        timings,
        done,
        results,
        found,
        answers,
        output,
        leaks,
    } = round;
    let done = sum.done.into_iter().zip(&done);
    Measured {
        injected_in,
        demanded: sum.demanded + demanded,
        injected: sum.injected + injected,
        operations: sum.operations + operations,
        bystanders: sum.bystanders.min(bystanders),
        quiet: sum.quiet + &quiet,
        forced: sum.forced + &forced,
        levels: later(sum.levels, &levels),
        rises: total(sum.rises, &rises),
        lost_events: sum.lost_events + lost_events,
        set,
        quiet_micros: sum.quiet_micros + quiet_micros,
        forced_micros: sum.forced_micros + forced_micros,
        timings: sum.timings.into_iter().chain(timings).collect(),
        done: done.map(|(sum, round)| Done { count: sum.count + round.count, ..sum }).collect(),
        results,
        found,
        answers,
        output,
        leaks,
    }
}

fn later(mut levels: BTreeMap<String, Level>, round: &BTreeMap<String, Level>) -> BTreeMap<String, Level> {
    for (name, level) in &mut levels {
        let Level { before, peak, after } = *level;
        let after = round.get(name).map_or(after, |round| round.after);
        *level = Level { before, peak, after };
    }
    levels
}

fn total(mut sum: BTreeMap<String, u64>, round: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    for (name, rise) in round {
        *sum.entry(name.clone()).or_default() += rise;
    }
    sum
}

fn with_rounds(mut sum: Measured, rounds: u64) -> Measured {
    sum.done.push(Done { what: "rounds".to_owned(), count: rounds });
    sum
}
