//! A local descriptor table that is mapped for user space (page-table isolation): its page tables are freed when the
//! process ends, by a gather of their own (`free_ldt_pgtables()`, arch/x86/kernel/ldt.c).

use kit::child::Child;
use kit::fault;
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::scenario;
use protocol::Done;

const QUIET_EXITS: u64 = 4;

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

/// Each process frees one table of each level at least.
fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let prepare = || {
        install_descriptor()?;
        fault::arm_this_task(trial.forced)
    };
    let meter = trial.meter()?;
    let most = if trial.forced { trial.ask.demand } else { QUIET_EXITS };
    let mut exits = 0;
    while exits < most && !trial.is_exhausted()? {
        Child::start(prepare, |()| Ok(()))?.finish()?;
        exits += 1;
    }
    let performed = meter.stop()?;
    Ok(Performed { done: vec![Done { what: "exits".to_owned(), count: exits }], ..performed })
}

#[cfg(target_arch = "x86_64")]
fn install_descriptor() -> Result<(), String> {
    /// To write an entry (arch/x86/include/uapi/asm/ldt.h).
    const WRITE: libc::c_int = 1;
    // Entry 0, base 0, the largest limit; a present 32-bit data segment that counts pages.
    let descriptor: [u32; 4] = [0, 0, 0xf_ffff, 0b101_0001];
    let length = size_of_val(&descriptor);
    // SAFETY: reads the descriptor, which is alive; no segment register refers to the entry.
    match unsafe { libc::syscall(libc::SYS_modify_ldt, WRITE, descriptor.as_ptr(), length) } {
        0 => Ok(()),
        _ => Err(format!("modify_ldt: {}", std::io::Error::last_os_error())),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn install_descriptor() -> Result<(), String> {
    Err("only x86 has local descriptor tables".to_owned())
}
