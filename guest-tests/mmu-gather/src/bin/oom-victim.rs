//! How long the memory of a process that the kernel's OOM killer chose takes to come back, as its page tables grow.

use std::time::{Duration, Instant};

use kit::child::{Child, Status};
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::{files, scenario};
use mmu_gather::freeing;

/// Page tables and samples of each point: 448 failures in all, as the campaign asks for.
const POINTS: [(u64, u64); 3] = [(64, 1), (128, 1), (256, 1)];

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

/// A process that can be reaped has let go of its address space (`do_exit()` calls `exit_mm()` before
/// `exit_notify()`), and the OOM reaper holds none: it looks without taking a reference that would keep the tables.
fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let prepare = |tables| {
        // No other process may be the one that is chosen.
        files::set("/proc/self/oom_score_adj", "1000")?;
        freeing::armed_mapping(trial, tables)
    };
    freeing::timed_ends(trial, "oom kill", &POINTS, prepare, be_chosen)
}

fn be_chosen(victim: Child) -> Result<Duration, String> {
    let began = Instant::now();
    // What the kernel does when memory has run out, without running out of it.
    files::write("/proc/sysrq-trigger", "f")?;
    let status = victim.await_end()?;
    let took = began.elapsed();
    status.must_be(Status::KILLED)?;
    Ok(took)
}
