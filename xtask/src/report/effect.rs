//! What the patch makes better and what it makes worse: base beside patched in the same run, from what the guests
//! counted and timed. Pure; decides nothing.

use protocol::{GracePeriods, Timing, sum};
use serde::{Deserialize, Serialize};

use super::{PairReport, Report, ScenarioReport};

/// One quantity on both arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    pub tree: String,
    pub arch: String,
    pub variant: String,
    /// The scenario it was measured in.
    pub scenario: String,
    pub what: String,
    pub unit: Unit,
    pub base: Amount,
    pub patched: Amount,
    /// On both arms the scenario had the host to itself, as far as the harness can tell. Without that a time says little:
    /// a broadcast then waits until the host lets the other CPUs run.
    pub alone: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Milliseconds,
    MillisecondsPerTable,
    PerFallback,
}

/// A number and how far it can be relied on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Amount {
    /// Of times the median.
    pub value: f64,
    pub samples: u64,
    /// Only of times.
    pub spread: Option<Spread>,
}

/// Of a distribution of times, milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub p25: f64,
    pub p75: f64,
    pub p99: f64,
    pub max: f64,
}

/// In the name of what was timed before anything was forced (guest-tests/kit/src/measure.rs).
pub const NOTHING_FORCED: &str = "nothing forced";

/// At the end of the name of what was timed for each page table by itself.
const ONE_TABLE: &str = ", one table";

impl Effect {
    /// What one fallback costs the task that runs into it.
    pub fn is_price(&self) -> bool {
        self.unit == Unit::Milliseconds
            && self.what.ends_with(ONE_TABLE)
            && !self.what.contains(NOTHING_FORCED)
    }

    /// It is a count, or a time in which nothing but the kernel under test can be.
    pub fn is_quotable(&self) -> bool {
        self.unit == Unit::PerFallback || self.alone
    }

    /// Measured on this pair.
    pub fn is_of(&self, pair: &PairReport) -> bool {
        (&self.tree, &self.arch, &self.variant) == (&pair.tree, &pair.arch, &pair.variant)
    }
}

/// The effects on every pair whose mechanism the patch changes; elsewhere there is nothing to compare.
pub fn effects(report: &Report) -> Vec<Effect> {
    report.main_pairs().filter(|pair| pair.changed()).flat_map(|pair| effects_on(report, pair)).collect()
}

/// The same scenario on base and on patched.
type Arms<'a> = (&'a ScenarioReport, &'a ScenarioReport);

fn effects_on(report: &Report, pair: &PairReport) -> Vec<Effect> {
    let of = |arm: &str| report.cell(pair, arm).map_or(&[][..], |cell| &cell.scenarios);
    let both = of("base").iter().filter_map(|base| {
        let patched = of("patched").iter().find(|patched| patched.name == base.name)?;
        Some((base, patched))
    });
    let both: Vec<_> = both.collect();
    let counted = both.iter().find(|(base, _)| base.exact).into_iter().flat_map(|arms| counts(*arms));
    // What was timed with hurried grace periods is no time of this kernel as anybody runs it.
    let as_booted = |arm: &ScenarioReport| arm.grace_periods == GracePeriods::AsBooted;
    let fair = both.iter().filter(|(base, patched)| as_booted(base) && as_booted(patched));
    let timed = fair.flat_map(|arms| times(*arms));
    let found = counted.chain(timed);
    found
        .map(|found| Effect {
            tree: pair.tree.clone(),
            arch: pair.arch.clone(),
            variant: pair.variant.clone(),
            ..found
        })
        .collect()
}

/// One quantity of a scenario, as `base` and `patched` show it.
fn effect(arms: Arms<'_>, what: String, unit: Unit, base: Amount, patched: Amount) -> Effect {
    let scenario = arms.0.name.clone();
    let alone = arms.0.alone && arms.1.alone;
    let (tree, arch, variant) = Default::default();
    Effect { tree, arch, variant, scenario, what, unit, base, patched, alone }
}

/// What one fallback sets off, where the number of fallbacks is exact.
fn counts(arms: Arms<'_>) -> Vec<Effect> {
    let (base, patched) = arms;
    let row = |what: &str, of: fn(&ScenarioReport) -> u64| {
        let per_fallback = |arm: &ScenarioReport| Amount {
            value: ratio(of(arm), arm.injected),
            samples: arm.injected,
            spread: None,
        };
        effect(arms, what.to_owned(), Unit::PerFallback, per_fallback(base), per_fallback(patched))
    };
    let mut rows = vec![
        row("IPIs to bystanders by this path", |arm| arm.bystander_ipis),
        row("grace periods waited for", |arm| arm.mechanism.rcu_sync),
    ];
    if !base.cross_calls.is_empty() {
        rows.push(row("cross calls of every origin", |arm| sum(arm.cross_calls.iter().copied())));
    }
    rows
}

fn times(arms: Arms<'_>) -> Vec<Effect> {
    let (base, patched) = arms;
    let mut found = Vec::new();
    for before in &base.timings {
        let same = |after: &&Timing| (&after.what, after.tables) == (&before.what, before.tables);
        if let Some(after) = patched.timings.iter().find(same) {
            let what = match before.tables {
                0 => before.what.clone(),
                1 => format!("{}{ONE_TABLE}", before.what),
                tables => format!("{}, {tables} tables", before.what),
            };
            found.push(effect(arms, what, Unit::Milliseconds, amount(before), amount(after)));
        }
    }
    let mut kinds: Vec<&str> = base.timings.iter().map(|timing| timing.what.as_str()).collect();
    kinds.dedup();
    for kind in kinds {
        if let (Some(before), Some(after)) = (slope(&base.timings, kind), slope(&patched.timings, kind)) {
            let what = format!("{kind}, per page table (slope)");
            found.push(effect(arms, what, Unit::MillisecondsPerTable, before, after));
        }
    }
    found
}

fn amount(timing: &Timing) -> Amount {
    let spread = Spread {
        p25: millis(timing.p25),
        p75: millis(timing.p75),
        p99: millis(timing.p99),
        max: millis(timing.max),
    };
    Amount { value: millis(timing.median), samples: timing.samples, spread: Some(spread) }
}

/// The line through the medians at three or more numbers of page tables, by least squares: how much one more page
/// table adds. `samples` is the number of points.
fn slope(timings: &[Timing], kind: &str) -> Option<Amount> {
    let points: Vec<(f64, f64)> = timings
        .iter()
        .filter(|timing| timing.what == kind && timing.tables > 0)
        .map(|timing| (count(timing.tables), millis(timing.median)))
        .collect();
    if points.len() < 3 {
        return None;
    }
    let n = count(points.len() as u64);
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / n, y + point.1 / n));
    let (mut together, mut alone) = (0.0, 0.0);
    for (tables, took) in &points {
        together += (tables - x) * (took - y);
        alone += (tables - x) * (tables - x);
    }
    (alone > 0.0).then(|| Amount { value: together / alone, samples: points.len() as u64, spread: None })
}

pub fn millis(nanos: u64) -> f64 {
    count(nanos) / 1e6
}

fn ratio(part: u64, whole: u64) -> f64 {
    count(part) / count(whole.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::judge::Verdict;

    fn timing(what: &str, tables: u64, median_millis: u64) -> Timing {
        let median = median_millis * 1_000_000;
        let what = what.to_owned();
        Timing {
            what,
            tables,
            samples: 5,
            min: median,
            p25: median,
            median,
            p75: median,
            p99: median,
            max: median,
        }
    }

    fn report(base: &[Timing], patched: &[Timing]) -> Report {
        let mut report = fixture::report(Verdict::Pass, &[]);
        report.cells[0].scenarios[0].timings = base.to_vec();
        report.cells[1].scenarios[0].timings = patched.to_vec();
        report
    }

    fn find<'a>(effects: &'a [Effect], what: &str) -> &'a Effect {
        effects.iter().find(|effect| effect.what == what).unwrap_or_else(|| panic!("{what}: {effects:?}"))
    }

    #[test]
    fn the_slope_is_what_one_more_page_table_costs() {
        let exits = |millis_per_table: u64| {
            [64, 256, 1024].map(|tables| timing("exit", tables, 7 + millis_per_table * tables))
        };
        let effects = effects(&report(&exits(1), &exits(11)));
        let slope = find(&effects, "exit, per page table (slope)");
        assert!(
            (slope.base.value - 1.0).abs() < 1e-9 && (slope.patched.value - 11.0).abs() < 1e-9,
            "{slope:?}"
        );
        assert_eq!(slope.patched.samples, 3);
        assert!((find(&effects, "exit, 256 tables").patched.value - 2823.0).abs() < 1e-9);
    }

    #[test]
    fn a_price_is_what_was_timed_table_by_table_while_allocations_failed() {
        let times = [timing("munmap", 1, 1), timing("munmap, nothing forced", 1, 1), timing("exit", 64, 1)];
        let found = effects(&report(&times, &times));
        let prices: Vec<&str> = found.iter().filter(|e| e.is_price()).map(|e| e.what.as_str()).collect();
        assert_eq!(prices, ["munmap, one table"]);
    }

    #[test]
    fn a_hurried_grace_period_is_no_price() {
        let mut report = report(&[timing("munmap", 1, 1)], &[timing("munmap", 1, 2)]);
        assert!(effects(&report).iter().any(Effect::is_price));
        report.cells[1].scenarios[0].grace_periods = GracePeriods::Hurried;
        assert!(!effects(&report).iter().any(Effect::is_price));
    }

    #[test]
    fn two_arms_are_alone_only_if_both_are() {
        let alone = |arms: [bool; 2]| {
            let mut report = report(&[timing("munmap", 1, 1)], &[timing("munmap", 1, 9)]);
            for (cell, alone) in report.cells.iter_mut().zip(arms) {
                cell.scenarios[0].alone = alone;
            }
            find(&effects(&report), "munmap, one table").alone
        };
        assert_eq!([[true, true], [true, false], [false, true]].map(alone), [true, false, false]);
    }

    #[test]
    fn two_points_are_no_slope_and_a_time_of_one_arm_only_is_no_comparison() {
        let two = [timing("exit", 64, 70), timing("exit", 256, 260)];
        let found = effects(&report(&two, &two));
        assert!(!found.iter().any(|effect| effect.what.contains("slope")), "{found:?}");
        let found = effects(&report(&two, &two[..1]));
        assert!(!found.iter().any(|effect| effect.what.contains("256")), "{found:?}");
    }

    #[test]
    fn what_a_fallback_sets_off_is_counted_per_fallback() {
        let effects = effects(&report(&[], &[]));
        let ipis = find(&effects, "IPIs to bystanders by this path");
        assert_eq!((ipis.base.value, ipis.patched.value, ipis.base.samples), (3.0, 0.0, 200));
        assert_eq!(find(&effects, "grace periods waited for").patched.value, 1.0);
    }

    #[test]
    fn where_the_patch_changes_no_mechanism_there_is_no_effect() {
        let mut report = report(&[timing("exit", 64, 1)], &[timing("exit", 64, 1)]);
        report.pairs[0].expect_patched = report.pairs[0].expect_base.clone();
        assert_eq!(effects(&report), []);
    }
}
