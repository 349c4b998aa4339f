//! A fork that fails late: the new address space with all its copied tables is taken down by the parent.
//!
//! `clone3` with a process number that is taken fails in `alloc_pid()`, after `copy_mm()` (kernel/fork.c).

use std::io::Error;

use kit::fault;
use kit::fork;
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
        let error = fork::to_a_taken_pid();
        let performed = meter.stop()?;
        match error {
            libc::EEXIST => Ok(performed),
            other => Err(format!("clone3 was to fail with EEXIST: {}", Error::from_raw_os_error(other))),
        }
    });
    mapping.unmap().and(performed)
}
