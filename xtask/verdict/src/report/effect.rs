//! What the patch makes better and what it makes worse: base beside patched in the same run, from what the guests
//! counted and timed. Pure; decides nothing.

use protocol::Timing;
use serde::{Deserialize, Serialize};

use super::{PairReport, Report, ScenarioReport};
use crate::subject::Subject;

/// One quantity on both arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    pub tree: String,
    pub arch: String,
    pub variant: String,
    /// The scenario it was measured in.
    pub scenario: String,
    pub what: String,
    /// Of a time: while failures were injected.
    pub forced: bool,
    /// Of a time: units of work in each sample; 0 where that says nothing.
    pub units: u64,
    pub unit: Unit,
    pub base: Amount,
    pub patched: Amount,
    /// On both arms the scenario had the host to itself, as far as the harness can tell. Without that a time says little:
    /// a broadcast then waits until the host lets the other CPUs run.
    pub exclusive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Milliseconds,
    /// How much one more unit of work adds.
    MillisecondsEach,
    PerFailure,
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

impl Effect {
    /// What one failure costs the task that runs into it.
    pub fn is_price(&self) -> bool {
        self.unit == Unit::Milliseconds && self.units == 1 && self.forced
    }

    /// It is a count, or a time in which nothing but the kernel under test can be.
    pub fn is_quotable(&self) -> bool {
        self.unit == Unit::PerFailure || self.exclusive
    }

    /// Measured on this pair.
    pub fn is_of(&self, pair: &PairReport) -> bool {
        (&self.tree, &self.arch, &self.variant) == (&pair.tree, &pair.arch, &pair.variant)
    }
}

/// The effects on every pair whose outcome the patch changes; elsewhere there is nothing to compare.
pub fn effects(report: &Report) -> Vec<Effect> {
    report.main_pairs().filter(|pair| pair.changed()).flat_map(|pair| effects_on(report, pair)).collect()
}

/// The same scenario on base and on patched.
type ArmPair<'a> = (&'a ScenarioReport, &'a ScenarioReport);

fn effects_on(report: &Report, pair: &PairReport) -> Vec<Effect> {
    let of = |arm: &str| report.cell(pair, arm).map_or(&[][..], |cell| &cell.scenarios);
    let both = of("base").iter().filter_map(|base| {
        let patched = of("patched").iter().find(|patched| patched.name == base.name)?;
        Some((base, patched))
    });
    let both: Vec<_> = both.collect();
    let counted =
        both.iter().find(|(base, _)| base.exact).into_iter().flat_map(|arms| counts(&report.subject, *arms));
    // What was timed with other settings is no time of this kernel as anybody runs it.
    let as_booted = |arm: &ScenarioReport| arm.set.is_empty();
    let fair = both.iter().filter(|(base, patched)| as_booted(base) && as_booted(patched));
    let timed = fair.flat_map(|arms| times(&report.subject.unit, *arms));
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
fn effect(arms: ArmPair<'_>, what: String, unit: Unit, base: Amount, patched: Amount) -> Effect {
    let scenario = arms.0.name.clone();
    let exclusive = arms.0.exclusive && arms.1.exclusive;
    let (tree, arch, variant) = Default::default();
    Effect { tree, arch, variant, scenario, what, forced: true, units: 0, unit, base, patched, exclusive }
}

/// What one failure sets off, where the number of failures is exact.
fn counts(subject: &Subject, arms: ArmPair<'_>) -> Vec<Effect> {
    let row = |what: &str, of: &dyn Fn(&ScenarioReport) -> u64| {
        let per_failure = |arm: &ScenarioReport| Amount {
            value: ratio(of(arm), arm.injected),
            samples: arm.injected,
            spread: None,
        };
        effect(arms, what.to_owned(), Unit::PerFailure, per_failure(arms.0), per_failure(arms.1))
    };
    let events = subject
        .events
        .iter()
        .filter_map(|event| Some(row(event.effect.as_ref()?, &|arm| arm.counts.get(&event.name))));
    // Not every architecture has it.
    let counters = subject.counters.iter().filter(|counter| arms.0.rises.contains_key(&counter.name));
    let counters = counters
        .map(|counter| row(&counter.title, &|arm| arm.rises.get(&counter.name).copied().unwrap_or_default()));
    events.chain(counters).collect()
}

fn times(unit: &str, arms: ArmPair<'_>) -> Vec<Effect> {
    let (base, patched) = arms;
    let mut found = Vec::new();
    for before in &base.timings {
        let key = |timing: &Timing| (timing.what.clone(), timing.units, timing.forced);
        if let Some(after) = patched.timings.iter().find(|after| key(after) == key(before)) {
            let of = match before.units {
                0 => String::new(),
                1 => format!(", one {unit}"),
                units => format!(", {units} {unit}s"),
            };
            let quiet = if before.forced { "" } else { ", nothing forced" };
            let what = format!("{}{of}{quiet}", before.what);
            let effect = effect(arms, what, Unit::Milliseconds, amount(before), amount(after));
            found.push(Effect { forced: before.forced, units: before.units, ..effect });
        }
    }
    let mut kinds: Vec<(&str, bool)> =
        base.timings.iter().map(|timing| (timing.what.as_str(), timing.forced)).collect();
    kinds.dedup();
    for (kind, forced) in kinds {
        let slopes = (slope(&base.timings, kind, forced), slope(&patched.timings, kind, forced));
        if let (Some(before), Some(after)) = slopes {
            let quiet = if forced { "" } else { ", nothing forced" };
            let what = format!("{kind}, per {unit} (slope){quiet}");
            let effect = effect(arms, what, Unit::MillisecondsEach, before, after);
            found.push(Effect { forced, ..effect });
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

/// The line through the medians at three or more numbers of units, by least squares: how much one more unit adds.
/// `samples` is the number of points.
fn slope(timings: &[Timing], kind: &str, forced: bool) -> Option<Amount> {
    let points: Vec<(f64, f64)> = timings
        .iter()
        .filter(|timing| timing.what == kind && timing.forced == forced && timing.units > 0)
        .map(|timing| (count(timing.units), millis(timing.median)))
        .collect();
    if points.len() < 3 {
        return None;
    }
    let n = count(points.len() as u64);
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / n, y + point.1 / n));
    let (mut covariance, mut variance) = (0.0, 0.0);
    for (units, took) in &points {
        covariance += (units - x) * (took - y);
        variance += (units - x) * (units - x);
    }
    (variance > 0.0).then(|| Amount {
        value: covariance / variance,
        samples: points.len() as u64,
        spread: None,
    })
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

    fn timing(what: &str, units: u64, median_millis: u64) -> Timing {
        let median = median_millis * 1_000_000;
        let what = what.to_owned();
        Timing {
            what,
            forced: true,
            units,
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
    fn the_slope_is_what_one_more_unit_costs() {
        let exits = |millis_per_unit: u64| {
            [64, 256, 1024].map(|units| timing("exit", units, 7 + millis_per_unit * units))
        };
        let effects = effects(&report(&exits(1), &exits(11)));
        let slope = find(&effects, "exit, per thing (slope)");
        assert!(
            (slope.base.value - 1.0).abs() < 1e-9 && (slope.patched.value - 11.0).abs() < 1e-9,
            "{slope:?}"
        );
        assert_eq!(slope.patched.samples, 3);
        assert!((find(&effects, "exit, 256 things").patched.value - 2823.0).abs() < 1e-9);
    }

    #[test]
    fn a_price_is_what_was_timed_unit_by_unit_while_failures_were_injected() {
        let quiet = Timing { forced: false, ..timing("munmap", 1, 1) };
        let times = [timing("munmap", 1, 1), quiet, timing("exit", 64, 1)];
        let found = effects(&report(&times, &times));
        let prices: Vec<&str> = found.iter().filter(|e| e.is_price()).map(|e| e.what.as_str()).collect();
        assert_eq!(prices, ["munmap, one thing"]);
        assert!(found.iter().any(|effect| effect.what == "munmap, one thing, nothing forced"));
    }

    #[test]
    fn what_was_timed_with_other_settings_is_no_price() {
        let mut report = report(&[timing("munmap", 1, 1)], &[timing("munmap", 1, 2)]);
        assert!(effects(&report).iter().any(Effect::is_price));
        report.cells[1].scenarios[0].set = vec!["/sys/a".to_owned()];
        assert!(!effects(&report).iter().any(Effect::is_price));
    }

    #[test]
    fn an_effect_is_exclusive_only_if_both_arms_are() {
        let exclusive = |arms: [bool; 2]| {
            let mut report = report(&[timing("munmap", 1, 1)], &[timing("munmap", 1, 9)]);
            for (cell, exclusive) in report.cells.iter_mut().zip(arms) {
                cell.scenarios[0].exclusive = exclusive;
            }
            find(&effects(&report), "munmap, one thing").exclusive
        };
        assert_eq!([[true, true], [true, false], [false, true]].map(exclusive), [true, false, false]);
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
    fn what_a_failure_sets_off_is_counted_per_failure() {
        let effects = effects(&report(&[], &[]));
        let received = find(&effects, "messages received");
        assert_eq!((received.base.value, received.patched.value, received.base.samples), (3.0, 0.0, 200));
        assert_eq!(find(&effects, "waits").patched.value, 1.0);
        assert_eq!(find(&effects, "all messages").base.value, 3.005);
    }

    #[test]
    fn where_the_patch_changes_no_outcome_there_is_no_effect() {
        let mut report = report(&[timing("exit", 64, 1)], &[timing("exit", 64, 1)]);
        report.pairs[0].expect_patched = report.pairs[0].expect_base.clone();
        assert_eq!(effects(&report), []);
    }
}
