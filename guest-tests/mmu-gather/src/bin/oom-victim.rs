//! How long the memory of a process that the kernel's OOM killer chose takes to come back, as its page tables grow.

use std::time::Instant;

use kit::child::{Child, Status};
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::timing::Stopwatch;
use kit::{fault, files, scenario};
use mmu_gather::mapping::SparseMapping;

/// Page tables and samples of each point: 448 failures in all, as the campaign asks for.
const POINTS: [(u64, u64); 3] = [(64, 1), (128, 1), (256, 1)];

/// So that a process's own upper tables come after the failures.
const SPARE_TABLES: u64 = 16;

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

/// A process that can be reaped has let go of its address space (`do_exit()` calls `exit_mm()` before
/// `exit_notify()`), and the OOM reaper holds none: it looks without taking a reference that would keep the tables.
fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let mut meter = trial.meter()?;
    let mut timings = Vec::new();
    for (tables, samples) in POINTS {
        let mut watch = Stopwatch::new("oom kill", tables);
        for _ in 0..samples {
            let victim = Child::start(|| prepare(trial, tables), |_| Ok(()))?;
            meter.look_for_peaks()?;
            trial.grant(tables)?;
            let began = Instant::now();
            // What the kernel does when memory has run out, without running out of it.
            files::write("/proc/sysrq-trigger", "f")?;
            let status = victim.await_end()?;
            watch.add(began.elapsed());
            status.must_be(Status::KILLED)?;
        }
        timings.push(watch.timing()?);
    }
    Ok(Performed { timings, ..meter.stop()? })
}

/// No other process may be the one that is chosen.
fn prepare(trial: &Trial<'_>, tables: u64) -> Result<SparseMapping, String> {
    files::set("/proc/self/oom_score_adj", "1000")?;
    let mapping = SparseMapping::populate(tables + SPARE_TABLES)?;
    fault::arm_this_task(trial.forced)?;
    Ok(mapping)
}
