//! Freeing memory whose page tables are counted, as several tests do it: by a call of this task, and by the end of a
//! process.

use std::time::Duration;

use kit::child::Child;
use kit::fault;
use kit::measure::Trial;
use kit::meter::Performed;
use kit::timing::Stopwatch;

use crate::mapping::SparseMapping;

/// Beyond what fails, so that a process's own upper tables come after the failures.
const SPARE_TABLES: u64 = 16;

/// Measures `free`, while this task is armed if failures are forced.
pub fn measured(trial: &Trial<'_>, free: impl FnOnce() -> Result<(), String>) -> Result<Performed, String> {
    fault::while_armed(trial.forced, || {
        let meter = trial.meter()?;
        free()?;
        meter.stop()
    })
}

/// A mapping of `tables` page tables that fail, and some more.
pub fn mapping(tables: u64) -> Result<SparseMapping, String> {
    SparseMapping::populate(tables + SPARE_TABLES)
}

/// The same, of a process that ends with it: from now on it is armed if failures are forced.
pub fn armed_mapping(trial: &Trial<'_>, tables: u64) -> Result<SparseMapping, String> {
    let mapping = mapping(tables)?;
    fault::arm_this_task(trial.forced)?;
    Ok(mapping)
}

/// Times the ends of processes. `points`: page tables and samples of each; `prepare`: what a process maps; `end`: ends it,
/// and says how long that took.
pub fn timed_ends(
    trial: &Trial<'_>,
    what: &str,
    points: &[(u64, u64)],
    prepare: impl Fn(u64) -> Result<SparseMapping, String>,
    end: impl Fn(Child) -> Result<Duration, String>,
) -> Result<Performed, String> {
    let mut meter = trial.meter()?;
    let mut timings = Vec::new();
    for &(tables, samples) in points {
        let mut watch = Stopwatch::new(what, tables);
        for _ in 0..samples {
            let child = Child::start(|| prepare(tables), |_| Ok(()))?;
            meter.look_for_peaks()?;
            trial.grant(tables)?;
            watch.add(end(child)?);
        }
        timings.push(watch.timing()?);
    }
    Ok(Performed { timings, ..meter.stop()? })
}
