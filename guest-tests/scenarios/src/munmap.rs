//! Unmapping memory: `munmap` frees the page tables of what it unmaps.

use kit::fault;
use kit::mapping::SparseMapping;
use kit::meter::{Meter, Performed};

pub fn operate(tables: u64, armed: bool) -> Result<Performed, String> {
    let mapping = SparseMapping::populate(tables)?;
    fault::arm_this_task(armed)?;
    let meter = Meter::start()?;
    let unmapped = mapping.unmap();
    let performed = meter.stop();
    fault::arm_this_task(false)?;
    unmapped.and(performed)
}
