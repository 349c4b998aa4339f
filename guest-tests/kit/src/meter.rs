//! What one operation did and cost: wall time, cross calls by CPU, and the page tables there were just before it.

use std::path::Path;
use std::time::Instant;

use protocol::{Done, Timing};

use crate::{counters, files};

const REFRESH: &str = "/proc/sys/vm/stat_refresh";

/// What an operation reports about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Performed {
    /// `nr_page_table_pages` when all the operation's tables were there.
    pub peak_page_tables: u64,
    /// Rise of the function-call interrupts in /proc/interrupts, by CPU; empty where they are not counted.
    pub cross_calls: Vec<u64>,
    /// Wall time of the operation alone.
    pub micros: u64,
    /// [`protocol::Measured::operations`].
    pub operations: u64,
    /// CPUs that were not online all the time: nobody counts what they were sent.
    pub unsteady_cpus: Vec<u32>,
    pub timings: Vec<Timing>,
    pub done: Vec<Done>,
}

/// A measurement that has begun: start it when the tables are there, stop it when the operation is over.
#[derive(Debug)]
pub struct Meter {
    peak_page_tables: u64,
    cross_calls: Vec<u64>,
    began: Instant,
}

impl Meter {
    pub fn start() -> Result<Self, String> {
        let peak_page_tables = page_tables()?;
        let cross_calls = cross_calls()?;
        Ok(Meter { peak_page_tables, cross_calls, began: Instant::now() })
    }

    pub fn stop(self) -> Result<Performed, String> {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let after = cross_calls()?;
        let rise = after.iter().zip(&self.cross_calls).map(|(after, before)| after.saturating_sub(*before));
        Ok(Performed {
            peak_page_tables: self.peak_page_tables,
            cross_calls: rise.collect(),
            micros,
            operations: 0,
            unsteady_cpus: Vec::new(),
            timings: Vec::new(),
            done: Vec::new(),
        })
    }
}

/// `nr_page_table_pages` of the whole machine, exact: the kernel keeps differences per CPU and folds them
/// every second or so, or when `stat_refresh` is read (mm/vmstat.c). A kernel for one CPU has neither.
pub fn page_tables() -> Result<u64, String> {
    if Path::new(REFRESH).exists() {
        files::read(REFRESH)?;
    }
    let text = files::read("/proc/vmstat")?;
    counters::vmstat(&text, "nr_page_table_pages")
        .ok_or_else(|| "/proc/vmstat has no nr_page_table_pages".to_owned())
}

fn cross_calls() -> Result<Vec<u64>, String> {
    let text = files::read("/proc/interrupts")?;
    Ok(counters::cross_calls(&text).unwrap_or_default())
}
