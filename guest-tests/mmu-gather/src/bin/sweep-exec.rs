//! Every batch allocation of an `execve` that frees a large address space fails once: the first, then the second,
//! until there is none left.

use kit::child::Child;
use kit::exec::{self, Again};
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::{fault, scenario};
use mmu_gather::mapping::SparseMapping;
use protocol::Done;

/// A batch is a page with 509 places (`MAX_TABLE_BATCH`, include/asm-generic/tlb.h): three of them, with room on both
/// sides for the tables that the program itself has.
const TABLES: u64 = 1100;

/// A sweep that does not come to an end.
const LONGEST: u64 = 64;

pub fn main() {
    exec::leave_if_told();
    scenario::run(|order| measure(order, operate));
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let injection = trial.injection.ok_or("a sweep without injection")?;
    let meter = trial.meter()?;
    for nth in 1..=LONGEST {
        let before = injection.injected()?;
        let prepare = || {
            stay_put()?;
            let again = Again::prepare()?;
            SparseMapping::populate(TABLES)?;
            fault::fail_nth(if trial.forced { nth } else { 0 })?;
            Ok(again)
        };
        Child::start(prepare, Again::exec)?.finish()?;
        if injection.injected()? == before {
            let what = "batch allocations that failed in turn".to_owned();
            return Ok(Performed { done: vec![Done { what, count: nth - 1 }], ..meter.stop()? });
        }
    }
    Err(format!("still an allocation to fail after {LONGEST}"))
}

/// No chance in where things are, so that every life has the same allocations.
fn stay_put() -> Result<(), String> {
    // SAFETY: a flag of this process, for the next program that it executes.
    match unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) } {
        -1 => Err(format!("personality: {}", std::io::Error::last_os_error())),
        _ => Ok(()),
    }
}
