//! Mapping over memory: `mmap` with MAP_FIXED unmaps what was there.

use kit::fault;
use kit::mapping::SparseMapping;
use kit::measure::{Force, Trial, measure};
use kit::meter::{Meter, Performed};
use kit::scenario;

pub fn main() {
    scenario::run(|order| measure(order, Force::Batches, operate));
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let mapping = SparseMapping::populate(trial.tables)?;
    let performed = fault::while_armed(trial.forced, || {
        let meter = Meter::start()?;
        mapping.replace()?;
        meter.stop()
    });
    mapping.unmap().and(performed)
}
