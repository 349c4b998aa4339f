//! Process exit: a dying process frees its whole address space (`exit_mmap`).

use kit::child::Child;
use kit::fault;
use kit::mapping::SparseMapping;
use kit::measure::{Force, Trial, measure};
use kit::meter::{Meter, Performed};
use kit::scenario;

pub fn main() {
    scenario::run(|order| measure(order, Force::Batches, operate));
}

/// A child makes the tables; the meter runs from the order to exit until the child is reaped.
fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let prepare = || {
        let mapping = SparseMapping::populate(trial.tables)?;
        fault::arm_this_task(trial.forced)?;
        Ok(mapping)
    };
    let child = Child::start(prepare, |_| Ok(()))?;
    let meter = Meter::start()?;
    child.finish()?;
    meter.stop()
}
