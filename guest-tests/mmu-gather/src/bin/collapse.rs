//! Collapsing small pages into a huge one keeps its broadcast: `collapse_huge_page()` (mm/khugepaged.c) calls
//! `tlb_remove_table_sync_one()` once for each.

use std::io::Error;

use kit::files;
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::scenario;
use mmu_gather::mapping::{SparseMapping, TABLE_SPAN_BYTES};

const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    // Faults then make small pages, and MADV_COLLAPSE still works.
    files::write(HUGE_PAGES, "madvise")?;
    let mapping = SparseMapping::reserve_collapsible(trial.ask.demand)?;
    let first = (mapping.start() as usize).next_multiple_of(TABLE_SPAN_BYTES);
    let count = usize::try_from(trial.ask.demand).map_err(|error| error.to_string())?;
    let places: Vec<usize> = (0..count).map(|place| first + place * TABLE_SPAN_BYTES).collect();
    for place in &places {
        // SAFETY: within the mapping, which is writable and which nothing else knows.
        unsafe { (*place as *mut u8).write_volatile(1) };
    }
    let meter = trial.meter()?;
    let mut operations = 0;
    for place in places.iter().filter(|_| trial.forced) {
        collapse(*place)?;
        operations += 1;
    }
    let performed = meter.stop()?;
    mapping.unmap()?;
    Ok(Performed { operations, ..performed })
}

fn collapse(place: usize) -> Result<(), String> {
    // SAFETY: advice about memory that `operate` mapped; it changes no content.
    match unsafe { libc::madvise(place as *mut libc::c_void, TABLE_SPAN_BYTES, libc::MADV_COLLAPSE) } {
        0 => Ok(()),
        _ => Err(format!("MADV_COLLAPSE: {}", Error::last_os_error())),
    }
}
