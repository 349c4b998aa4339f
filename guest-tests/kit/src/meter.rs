//! What one operation did and cost: its wall time, the gauges just before it, and how far the counters rose meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use protocol::{Counter, Done, Gauge, Timing, Watch};

use crate::{counters, files};

/// What an operation reports about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Performed {
    /// Of each gauge, when all that the operation gives back was there.
    pub peaks: BTreeMap<String, u64>,
    /// [`protocol::Measured::rises`].
    pub rises: BTreeMap<String, u64>,
    /// Wall time of the operation alone.
    pub micros: u64,
    /// [`protocol::Measured::operations`].
    pub operations: u64,
    /// CPUs that were not online all the time: what they were sent is not counted.
    pub unsteady_cpus: Vec<u32>,
    pub timings: Vec<Timing>,
    pub done: Vec<Done>,
}

/// A measurement that has begun: start it when what will be given back is there, stop it when the operation is over.
#[derive(Debug)]
pub struct Meter<'w> {
    watch: &'w Watch,
    peaks: BTreeMap<String, u64>,
    counters: BTreeMap<&'w str, Vec<u64>>,
    began: Instant,
}

impl<'w> Meter<'w> {
    /// Tests say [`crate::measure::Trial::meter`].
    pub fn start(watch: &'w Watch) -> Result<Self, String> {
        let peaks = gauges(watch)?;
        let counters = counters(watch)?;
        Ok(Meter { watch, peaks, counters, began: Instant::now() })
    }

    /// Reads the gauges again, for an operation that prepares itself after the start: the highest value is the peak.
    pub fn look_for_peaks(&mut self) -> Result<(), String> {
        for (name, now) in gauges(self.watch)? {
            let peak = self.peaks.entry(name).or_default();
            *peak = now.max(*peak);
        }
        Ok(())
    }

    pub fn stop(self) -> Result<Performed, String> {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let after = counters(self.watch)?;
        let rises = after.iter().filter_map(|(name, after)| {
            let before = self.counters.get(name)?;
            let rises = after.iter().zip(before).map(|(after, before)| after.saturating_sub(*before));
            Some(((*name).to_owned(), rises.sum()))
        });
        Ok(Performed {
            peaks: self.peaks,
            rises: rises.collect(),
            micros,
            operations: 0,
            unsteady_cpus: Vec::new(),
            timings: Vec::new(),
            done: Vec::new(),
        })
    }
}

/// What every gauge of `watch` shows now, by its name.
///
/// # Errors
/// A gauge that this kernel does not have.
pub fn gauges(watch: &Watch) -> Result<BTreeMap<String, u64>, String> {
    watch.gauges.iter().map(|gauge| Ok((gauge.name.clone(), read(gauge)?))).collect()
}

/// The number of the whole machine where [`Gauge::refresh`] makes it so: of /proc/vmstat, the kernel keeps differences per
/// CPU and folds them every second or so, or when /proc/sys/vm/stat_refresh is read (mm/vmstat.c). A kernel for one CPU
/// has neither.
fn read(gauge: &Gauge) -> Result<u64, String> {
    if let Some(refresh) = gauge.refresh.as_ref().filter(|refresh| Path::new(refresh).exists()) {
        files::read(refresh)?;
    }
    let text = files::read(&gauge.file)?;
    let (number, place) = match &gauge.key {
        Some(key) => (counters::keyed(&text, key), key.as_str()),
        None => (counters::first(&text), "its beginning"),
    };
    number.ok_or_else(|| format!("{} has no number at {place}", gauge.file))
}

/// By CPU. A counter that this kernel does not have is left out.
fn counters(watch: &Watch) -> Result<BTreeMap<&str, Vec<u64>>, String> {
    let row = |counter: &Counter| -> Result<_, String> {
        Ok(counters::row(&files::read(&counter.file)?, &counter.row))
    };
    let rows = watch.counters.iter().map(|counter| Ok((counter.name.as_str(), row(counter)?)));
    let rows: Vec<_> = rows.collect::<Result<_, String>>()?;
    Ok(rows.into_iter().filter_map(|(name, row)| Some((name, row?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_the_highest_and_rises_are_sums_over_cpus() {
        let dir = std::env::temp_dir().join(format!("patchproof-meter-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        let things =
            Gauge { name: "things".into(), file: file("stat"), key: Some("nr".into()), refresh: None };
        let number =
            Gauge { name: "number".into(), file: file("one"), key: None, refresh: Some(file("gone")) };
        let counter =
            |name: &str, row: &str| Counter { name: name.into(), file: file("rows"), row: row.into() };
        let watch = Watch {
            gauges: vec![things, number],
            counters: vec![counter("calls", "calls of cpus"), counter("other", "not here")],
            ..Watch::default()
        };
        let set = |stat: &str, one: &str, rows: &str| {
            files::write(file("stat"), stat).unwrap();
            files::write(file("one"), one).unwrap();
            files::write(file("rows"), rows).unwrap();
        };
        set("nr 5\n", "1 7\n", "CAL: 10 20 Calls of CPUs\n");
        let mut meter = Meter::start(&watch).unwrap();
        set("nr 9\n", "0\n", "");
        meter.look_for_peaks().unwrap();
        set("nr 2\n", "0\n", "CAL: 11 25 Calls of CPUs\n");
        let performed = meter.stop().unwrap();
        assert_eq!(performed.peaks, [("things".to_owned(), 9), ("number".to_owned(), 1)].into());
        assert_eq!(performed.rises, [("calls".to_owned(), 6)].into());
        set("other 2\n", "0\n", "");
        assert_eq!(gauges(&watch), Err(format!("{} has no number at nr", file("stat"))));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
