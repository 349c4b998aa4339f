//! Unmapping memory: `munmap` frees the page tables of what it unmaps.

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
    freeing::measured(trial, || mapping.unmap())
}
