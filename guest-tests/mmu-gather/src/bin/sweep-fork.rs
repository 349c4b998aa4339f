//! Every page allocation of a fork fails once, sleeping ones too: the first, then the second, until none is left. The
//! fork would fail in the end anyway (see `fork-failure`), so that every one is unwound, and the batch for taking down
//! the copied tables is itself among the allocations that fail.

use std::collections::BTreeMap;
use std::io::Error;

use kit::fault::{self, Fault};
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::{fork, scenario};
use mmu_gather::mapping::SparseMapping;
use protocol::Done;

/// What the slab allocators have in store is not the same each time, so neither is the number of page allocations: an
/// end is one that comes several times in a row, and a sweep may step over the batch.
const ENDS: u32 = 3;
const SWEEPS: u32 = 3;

/// A sweep that does not come to an end.
const LONGEST: u64 = 1000;

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let injection = trial.injection.ok_or("a sweep without injection")?;
    let mapping = SparseMapping::populate(trial.units)?;
    let meter = trial.meter()?;
    let mut ends: BTreeMap<i32, u64> = BTreeMap::new();
    for _ in 0..SWEEPS {
        sweep(trial, injection, &mut ends)?;
    }
    let performed = meter.stop()?;
    mapping.unmap()?;
    let ended = |(error, count)| {
        let what = format!("forks that ended with {}", Error::from_raw_os_error(error));
        Done { what, count }
    };
    Ok(Performed { done: ends.into_iter().map(ended).collect(), ..performed })
}

fn sweep(trial: &Trial<'_>, injection: &Fault, ends: &mut BTreeMap<i32, u64>) -> Result<(), String> {
    let mut in_a_row = 0;
    for nth in 1..=LONGEST {
        let before = injection.injected()?;
        fault::fail_nth(if trial.forced { nth } else { 0 })?;
        let error = fork::to_a_taken_pid();
        fault::fail_nth(0)?;
        *ends.entry(error).or_default() += 1;
        in_a_row = if injection.injected()? == before { in_a_row + 1 } else { 0 };
        if in_a_row == ENDS {
            return Ok(());
        }
    }
    Err(format!("still an allocation to fail after {LONGEST}"))
}
