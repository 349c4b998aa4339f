//! Moving a mapping: `mremap` moves the entries one by one and frees the tables that they leave.

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
    let (moved, performed) = fault::while_armed(trial.forced, || {
        let meter = trial.meter()?;
        let moved = mapping.move_unaligned()?;
        Ok((moved, meter.stop()?))
    })?;
    moved.unmap()?;
    Ok(performed)
}
