//! Moving a mapping: `mremap` moves the entries one by one and frees the tables that they leave.

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
    let (moved, performed) = fault::while_armed(trial.forced, || {
        let meter = Meter::start()?;
        let moved = mapping.move_unaligned()?;
        Ok((moved, meter.stop()?))
    })?;
    moved.unmap()?;
    Ok(performed)
}
