//! Giving pages back: `MADV_DONTNEED` frees the tables that it empties, but only with PT_RECLAIM.

use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::scenario;
use mmu_gather::freeing;
use mmu_gather::mapping::SparseMapping;

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let mapping = SparseMapping::populate(trial.units)?;
    let performed = freeing::measured(trial, || mapping.drop_pages());
    mapping.unmap().and(performed)
}
