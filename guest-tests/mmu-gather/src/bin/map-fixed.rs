//! Mapping over memory: `mmap` with MAP_FIXED unmaps what was there.

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
    let performed = freeing::measured(trial, || mapping.replace().map(drop));
    mapping.unmap().and(performed)
}
