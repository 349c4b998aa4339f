//! Process exit: a dying process frees its whole address space (`exit_mmap`).

use kit::child::Child;
use kit::fault;
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::scenario;
use mmu_gather::mapping::SparseMapping;

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

/// A child makes the tables; the meter runs from the order to exit until the child is reaped.
fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let prepare = || {
        let mapping = SparseMapping::populate(trial.units)?;
        fault::arm_this_task(trial.forced)?;
        Ok(mapping)
    };
    let child = Child::start(prepare, |_| Ok(()))?;
    let meter = trial.meter()?;
    child.finish()?;
    meter.stop()
}
