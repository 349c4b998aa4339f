//! Being killed: a process that gets SIGKILL frees its address space on its own way out.

use kit::child::Child;
use kit::fault;
use kit::mapping::SparseMapping;
use kit::measure::{Force, Trial, measure};
use kit::meter::{Meter, Performed};
use kit::scenario;

pub fn main() {
    scenario::run(|order| measure(order, Force::Batches, operate));
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let prepare = || {
        SparseMapping::populate(trial.tables)?;
        fault::arm_this_task(trial.forced)
    };
    let child = Child::start(prepare, |()| Ok(()))?;
    let meter = Meter::start()?;
    child.kill_and_reap()?;
    meter.stop()
}
