//! Giving pages back: `MADV_DONTNEED` frees the tables that it empties, but only with PT_RECLAIM.

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
        mapping.drop_pages()?;
        meter.stop()
    });
    mapping.unmap().and(performed)
}
