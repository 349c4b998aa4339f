//! What gets better and what gets worse, as a table. Part of the text for people.

use super::effect::{Amount, Effect, Unit};
use super::{PairReport, Report, layout};

/// Marks a time in which more than the kernel under test can be.
const BESIDE: &str = " (*)";

/// The lines of the tables, one for each pair whose outcome the patch changes.
pub fn render(report: &Report) -> Vec<String> {
    let tables = report.pairs.iter().filter(|pair| pair.changed()).map(|pair| table(report, pair));
    tables.filter(|table| !table.is_empty()).collect::<Vec<_>>().join(&String::new())
}

fn table(report: &Report, pair: &PairReport) -> Vec<String> {
    let effects: Vec<&Effect> = report.effects.iter().filter(|effect| effect.is_of(pair)).collect();
    if effects.is_empty() {
        return Vec::new();
    }
    let failure = &report.subject.failure;
    let rows = effects.iter().map(|effect| {
        let beside = if effect.is_quotable() { "" } else { BESIDE };
        vec![
            format!("{}: {}{beside}", effect.scenario, effect.what),
            amount(&effect.base, effect.unit, failure),
            amount(&effect.patched, effect.unit, failure),
            change(effect),
        ]
    });
    let mut lines = layout::table(&[&pair.name(), "base", "patched", ""], &rows.collect::<Vec<_>>());
    lines.push("times: median (25 % to 75 %; 99 %; longest) over that many samples".to_owned());
    if report.accels.iter().any(|accel| accel.arch == pair.arch && accel.name == "tcg") {
        lines.push(
            "The guests were emulated (TCG): no time of one arm means anything but beside the other's."
                .to_owned(),
        );
    }
    if effects.iter().any(|effect| !effect.is_quotable()) {
        lines.push(format!(
            "{}: the host was busy with something else, so that it is not to be quoted; --jobs 1 starts nothing beside it",
            BESIDE.trim()
        ));
    }
    lines
}

fn amount(amount: &Amount, unit: Unit, failure: &str) -> String {
    let Amount { value, samples, spread } = amount;
    match (unit, spread) {
        (Unit::Milliseconds, Some(spread)) => format!(
            "{} ms x{samples}\n({} to {}; {}; {})",
            short(*value),
            short(spread.p25),
            short(spread.p75),
            short(spread.p99),
            short(spread.max)
        ),
        (Unit::Milliseconds, None) => format!("{} ms x{samples}", short(*value)),
        (Unit::MillisecondsEach, _) => format!("{} ms, {samples} points", short(*value)),
        (Unit::PerFailure, _) => format!("{} per {failure} x{samples}", short(*value)),
    }
}

fn change(effect: &Effect) -> String {
    let (before, after) = (effect.base.value, effect.patched.value);
    match (before > 0.0, after > 0.0) {
        (true, true) if after >= 10.0 * before => format!("{:.0}x", after / before),
        (true, true) => format!("{:.2}x", after / before),
        (true, false) => "gone".to_owned(),
        (false, true) => "new".to_owned(),
        (false, false) => "none".to_owned(),
    }
}

/// Three significant digits.
fn short(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::judge::Verdict;

    #[test]
    fn each_row_says_how_much_over_how_many_samples_and_with_what_spread() {
        let mut report = fixture::report(Verdict::Pass, &[]);
        let beside_others =
            Effect { scenario: "exit-slope".to_owned(), exclusive: false, ..report.effects[0].clone() };
        report.effects.push(beside_others);
        insta::assert_snapshot!(render(&report).join("\n"));
    }
}
