//! Being killed: a process that gets SIGKILL frees its address space on its own way out.

use kit::child::Child;
use kit::fault;
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::scenario;
use mmu_gather::mapping::SparseMapping;

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let prepare = || {
        SparseMapping::populate(trial.units)?;
        fault::arm_this_task(trial.forced)
    };
    let child = Child::start(prepare, |()| Ok(()))?;
    let meter = trial.meter()?;
    child.kill_and_reap()?;
    meter.stop()
}
