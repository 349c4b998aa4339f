//! Executing a program: `execve` frees the whole old address space.

use kit::child::Child;
use kit::exec::{self, Again};
use kit::fault;
use kit::mapping::SparseMapping;
use kit::measure::{Force, Trial, measure};
use kit::meter::{Meter, Performed};
use kit::scenario;

pub fn main() {
    exec::leave_if_told();
    scenario::run(|order| measure(order, Force::Batches, operate));
}

/// The child stays armed in the new program, but by then the old address space has used up the failures.
fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let prepare = || {
        SparseMapping::populate(trial.tables)?;
        let again = Again::prepare()?;
        fault::arm_this_task(trial.forced)?;
        Ok(again)
    };
    let child = Child::start(prepare, Again::exec)?;
    let meter = Meter::start()?;
    child.finish()?;
    meter.stop()
}
