//! Unmapping memory: `munmap` frees the page tables of what it unmaps.

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
    fault::while_armed(trial.forced, || {
        let meter = Meter::start()?;
        mapping.unmap()?;
        meter.stop()
    })
}
