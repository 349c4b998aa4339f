//! Mapping over memory: `mmap` with MAP_FIXED unmaps what was there.

use kit::fault;
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::scenario;
use mmu_gather::mapping::SparseMapping;

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let mapping = SparseMapping::populate(trial.units)?;
    let performed = fault::while_armed(trial.forced, || {
        let meter = trial.meter()?;
        mapping.replace()?;
        meter.stop()
    });
    mapping.unmap().and(performed)
}
