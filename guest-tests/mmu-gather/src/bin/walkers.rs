//! `munmap` under failure while lockless walkers hammer the same address space and another one, and a task waits for
//! the memory map's lock.

use kit::child::Child;
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::{fault, scenario};
use mmu_gather::mapping::SparseMapping;
use mmu_gather::walkers;

/// Tables freed by one `munmap`.
const TABLES: u64 = 10;

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let other = Child::start(|| Ok(()), |()| Ok(()))?;
    let mappings: Vec<_> = (0..trial.units.div_ceil(TABLES))
        .map(|_| SparseMapping::populate(TABLES))
        .collect::<Result<_, _>>()?;
    let meter = trial.meter()?;
    let ((), done) = walkers::beside(other.pid(), || {
        fault::while_armed(trial.forced, || mappings.into_iter().try_for_each(SparseMapping::unmap))
    })?;
    let performed = meter.stop()?;
    other.finish()?;
    Ok(Performed { done, ..performed })
}
