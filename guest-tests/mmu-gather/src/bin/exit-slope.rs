//! What fallbacks cost a process that exits, as the number of its page tables grows: the slope is the cost of one.

use kit::child::Child;
use kit::fault;
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::scenario;
use kit::timing::Stopwatch;
use mmu_gather::mapping::SparseMapping;

/// Page tables and samples of each point: 4480 failures in all, as the campaign asks for. The far point takes longer
/// than everything else.
const POINTS: [(u64, u64); 3] = [(64, 2), (256, 1), (4096, 1)];

/// So that a process's own upper tables come after the failures.
const SPARE_TABLES: u64 = 16;

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let mut meter = trial.meter()?;
    let mut timings = Vec::new();
    for (tables, samples) in POINTS {
        let mut watch = Stopwatch::new("exit", tables);
        for _ in 0..samples {
            let child = Child::start(|| prepare(trial, tables), |_| Ok(()))?;
            meter.look_for_peaks()?;
            trial.grant(tables)?;
            watch.add(child.finish()?);
        }
        timings.push(watch.timing()?);
    }
    Ok(Performed { timings, ..meter.stop()? })
}

fn prepare(trial: &Trial<'_>, tables: u64) -> Result<SparseMapping, String> {
    let mapping = SparseMapping::populate(tables + SPARE_TABLES)?;
    fault::arm_this_task(trial.forced)?;
    Ok(mapping)
}
