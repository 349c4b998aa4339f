//! What one fallback costs the task that runs into it: `munmap` of one page table at a time, each with one failure.

use kit::fault::Trigger;
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::scenario;
use kit::timing::Stopwatch;
use mmu_gather::mapping::SparseMapping;

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

/// A `munmap` that also frees an upper table asks for two batches; only the first of them is granted a failure, so
/// that all samples are alike and a total that meets the demand is one failure in each.
fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let mut watch = Stopwatch::new("munmap", 1);
    let trigger = Trigger::of_this_task()?;
    let mut meter = trial.meter()?;
    for round in 0..trial.ask.demand {
        let mapping = SparseMapping::populate(1)?;
        if round == 0 {
            meter.look_for_peaks()?;
        }
        trial.grant(1)?;
        trigger.arm(trial.forced)?;
        let unmapped = watch.time(|| mapping.unmap());
        trigger.arm(false)?;
        unmapped?;
    }
    let performed = meter.stop()?;
    Ok(Performed { timings: vec![watch.timing()?], ..performed })
}
