//! The ends of the logs of a run's cells, for reports that show why a case did not pass. A log that cannot be read is left out:
//! the verdict stands without it.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

use crate::host::input;
use crate::report::case::{LogTail, LogTails};
use crate::report::{CellReport, Report};

/// From the end of a log.
const TAIL_BYTES: u64 = 32 << 10;

/// Logs that one report shows at most.
const TAILS_MAX: usize = 100;

/// Of each cell of `report` that is not as it should be, the end of its console, or of its build. The run is in `dir`.
pub fn read(report: &Report, dir: &Path) -> LogTails {
    let missed =
        |cell: &CellReport| report.controls.iter().any(|control| control.cell == cell.id && !control.caught);
    let bad = report.cells.iter().filter(|cell| !cell.findings.is_empty() || missed(cell)).take(TAILS_MAX);
    bad.filter_map(|cell| Some((cell.id.clone(), tail(cell, dir)?))).collect()
}

fn tail(cell: &CellReport, dir: &Path) -> Option<LogTail> {
    let name = cell.kept.iter().find(|name| name.ends_with(".log"))?;
    let file = format!("{}/{name}", cell.dir);
    // The report may be one that was edited: nothing outside of the run's directory is shown.
    let is_inside = Path::new(&file).components().all(|part| matches!(part, Component::Normal(_)));
    if !is_inside {
        return None;
    }
    let mut log = input::CONSOLE.open_regular(&dir.join(&file)).ok()?;
    let len = log.metadata().ok()?.len();
    let from = len.saturating_sub(TAIL_BYTES);
    log.seek(SeekFrom::Start(from)).ok()?;
    let mut bytes = Vec::new();
    log.take(TAIL_BYTES).read_to_end(&mut bytes).ok()?;
    Some(LogTail::new(file, &bytes, from > 0))
}
