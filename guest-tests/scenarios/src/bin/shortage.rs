//! Real memory shortage, nothing injected: the batch is asked for without waiting, and while less memory is free than
//! the watermarks demand, it is not there.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use kit::child::Child;
use kit::files;
use kit::mapping::SparseMapping;
use kit::measure::{Force, Trial, measure};
use kit::meter::{Meter, Performed};
use kit::scenario;
use protocol::Done;

const MIN_FREE: &str = "/proc/sys/vm/min_free_kbytes";

/// Memory of the one that the OOM killer would choose, if somebody else cannot wait.
const HOG_TABLES: u64 = 256;

fn main() {
    scenario::run(|order| measure(order, Force::Nothing, operate));
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    files::set("/proc/self/oom_score_adj", "-1000")?;
    let hog = Child::start(be_chosen, |_| Ok(()))?;
    let mapping = SparseMapping::populate(trial.tables)?;
    let watermarks = Watermarks::open()?;
    let meter = Meter::start()?;
    let unmapped = watermarks.while_short(trial.forced, || mapping.unmap());
    let performed = meter.stop()?;
    unmapped?;
    let spared = hog.finish().is_ok();
    let done = vec![Done { what: "OOM kills in between".to_owned(), count: u64::from(!spared) }];
    Ok(Performed { done, ..performed })
}

fn be_chosen() -> Result<SparseMapping, String> {
    files::set("/proc/self/oom_score_adj", "1000")?;
    SparseMapping::populate(HOG_TABLES)
}

/// How much memory the kernel keeps free, open before it is short.
struct Watermarks {
    file: File,
    normal: String,
    /// More than there is.
    short: String,
}

impl Watermarks {
    fn open() -> Result<Watermarks, String> {
        let normal = files::read(MIN_FREE)?;
        let meminfo = files::read("/proc/meminfo")?;
        let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let total: Option<u64> =
            total.and_then(|total| total.trim().strip_suffix(" kB")?.trim().parse().ok());
        let total = total.ok_or("/proc/meminfo has no MemTotal")?;
        let file = OpenOptions::new().write(true).open(MIN_FREE);
        let file = file.map_err(|error| format!("could not open {MIN_FREE}: {error}"))?;
        Ok(Watermarks { file, normal, short: (2 * total).to_string() })
    }

    /// Between the two writes nothing here asks for memory but what is measured.
    fn while_short(&self, short: bool, operation: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        let write = |value: &str| self.file.write_at(value.as_bytes(), 0);
        let raised = write(if short { &self.short } else { &self.normal });
        let result = operation();
        let lowered = write(&self.normal);
        raised.and(lowered).map_err(|error| format!("could not write {MIN_FREE}: {error}"))?;
        result
    }
}
