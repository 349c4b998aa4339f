//! Giving pages back: `MADV_DONTNEED` frees the tables that it empties, but only with PT_RECLAIM.

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
        mapping.drop_pages()?;
        meter.stop()
    });
    mapping.unmap().and(performed)
}
