//! Times of single operations, kept as a histogram of three significant digits.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use protocol::Timing;

/// Longer than any scenario may take, nanoseconds.
const LONGEST_NANOS: u64 = 600_000_000_000;

/// Collects the times of one kind of operation.
#[derive(Debug)]
pub struct Stopwatch {
    what: String,
    units: u64,
    times: Histogram<u64>,
}

impl Stopwatch {
    /// `units`: units of work in each sample; 0 where that says nothing.
    pub fn new(what: &str, units: u64) -> Self {
        let times = Histogram::new_with_max(LONGEST_NANOS, 3).expect("the bounds are constants in range");
        Stopwatch { what: what.to_owned(), units, times }
    }

    /// Times `operation`.
    pub fn time<T>(&mut self, operation: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = operation();
        self.add(began.elapsed());
        result
    }

    pub fn add(&mut self, time: Duration) {
        self.times.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The distribution.
    ///
    /// # Errors
    /// When nothing was timed.
    pub fn timing(&self) -> Result<Timing, String> {
        if self.times.is_empty() {
            return Err(format!("no {} was timed", self.what));
        }
        let at = |quantile| self.times.value_at_quantile(quantile);
        Ok(Timing {
            what: self.what.clone(),
            // Known to the one that measures.
            forced: false,
            units: self.units,
            samples: self.times.len(),
            min: self.times.min(),
            p25: at(0.25),
            median: at(0.5),
            p75: at(0.75),
            p99: at(0.99),
            max: self.times.max(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_told_by_its_quantiles_to_three_digits() {
        let mut watch = Stopwatch::new("munmap", 1);
        (1..=1000).for_each(|micros| watch.add(Duration::from_micros(micros)));
        let timing = watch.timing().unwrap();
        assert_eq!((timing.what.as_str(), timing.units, timing.samples), ("munmap", 1, 1000));
        let near = |got: u64, micros: u64| got.abs_diff(micros * 1000) <= micros;
        assert!(near(timing.min, 1) && near(timing.median, 500) && near(timing.p99, 990), "{timing:?}");
        assert!(near(timing.p25, 250) && near(timing.p75, 750) && near(timing.max, 1000), "{timing:?}");
    }

    #[test]
    fn nothing_timed_is_no_distribution_of_zeros() {
        assert!(Stopwatch::new("exit", 64).timing().is_err());
    }
}
