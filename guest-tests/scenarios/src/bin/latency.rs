//! What one fallback costs the task that runs into it: `munmap` of one page table at a time, each with one failure.

use kit::fault::Trigger;
use kit::mapping::SparseMapping;
use kit::measure::{Force, Trial, measure_unhurried};
use kit::meter::{Meter, Performed};
use kit::scenario;
use kit::timing::Stopwatch;

pub fn main() {
    scenario::run(|order| measure_unhurried(order, Force::Batches, operate));
}

/// A `munmap` that also frees an upper table asks for two batches; only the first of them is granted a failure, so
/// that all samples are alike and a total that meets the demand is one failure in each.
fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let mut watch = Stopwatch::new("munmap", 1);
    let trigger = Trigger::of_this_task()?;
    let meter = Meter::start()?;
    let mut peak = 0;
    for _ in 0..trial.ask.demand {
        let mapping = SparseMapping::populate(1)?;
        if peak == 0 {
            peak = kit::meter::page_tables()?;
        }
        if let (true, Some(injection)) = (trial.forced, trial.injection) {
            injection.grant(1)?;
        }
        trigger.arm(trial.forced)?;
        let unmapped = watch.time(|| mapping.unmap());
        trigger.arm(false)?;
        unmapped?;
    }
    let performed = meter.stop()?;
    Ok(Performed { peak_page_tables: peak, timings: vec![watch.timing()?], ..performed })
}
