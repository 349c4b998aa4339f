//! Every batch allocation of a series of `munmap` fails once: the first, then the second, until there is none left.

use kit::fault;
use kit::measure::{Trial, measure};
use kit::meter::{Meter, Performed};
use kit::scenario;
use mmu_gather::mapping::SparseMapping;
use protocol::Done;

/// No series is longer than its demand by so many allocations: a bound for a sweep that does not come to its end.
const LONGEST_OVERRUN: u64 = 64;

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let mut meter = trial.meter()?;
    let mut failed = 0;
    for nth in 1..=trial.ask.demand + LONGEST_OVERRUN {
        let left = series(trial, nth, &mut meter)?;
        if !trial.forced || left > 0 {
            let done = vec![Done { what: "batch allocations that failed in turn".into(), count: failed }];
            return Ok(Performed { done, ..meter.stop()? });
        }
        failed += 1;
    }
    Err(format!("still an allocation to fail after {failed}"))
}

/// As many `munmap` of one table as the demand says, of which the `nth` batch allocation fails. Returns how many
/// more allocations that one would have taken: 0 if it failed.
fn series(trial: &Trial<'_>, nth: u64, meter: &mut Meter<'_>) -> Result<u64, String> {
    let mappings: Vec<_> =
        (0..trial.ask.demand).map(|_| SparseMapping::populate(1)).collect::<Result<_, _>>()?;
    meter.look_for_peaks()?;
    fault::fail_nth(if trial.forced { nth } else { 0 })?;
    let unmapped = mappings.into_iter().try_for_each(SparseMapping::unmap);
    let left = fault::nth_left();
    fault::fail_nth(0)?;
    unmapped.and(left)
}
