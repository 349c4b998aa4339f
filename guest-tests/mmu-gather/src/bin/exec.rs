//! Executing a program: `execve` frees the whole old address space.

use kit::child::Child;
use kit::exec::{self, Again};
use kit::fault;
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::scenario;
use mmu_gather::mapping::SparseMapping;

pub fn main() {
    exec::leave_if_told();
    scenario::run(|order| measure(order, operate));
}

/// The child stays armed in the new program, but by then the old address space has used up the failures.
fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let prepare = || {
        SparseMapping::populate(trial.units)?;
        let again = Again::prepare()?;
        fault::arm_this_task(trial.forced)?;
        Ok(again)
    };
    let child = Child::start(prepare, Again::exec)?;
    let meter = trial.meter()?;
    child.finish()?;
    meter.stop()
}
