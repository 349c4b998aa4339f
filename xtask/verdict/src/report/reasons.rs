//! Why a variant did not pass, as few lines say it, and how to repeat what went wrong. Everything is in the report; here the
//! same reason in many tests is one line with their number.

use std::collections::BTreeSet;

use super::{CellReport, PairReport, Report};
use crate::judge::Verdict;

/// Reasons of a variant on the first screen; the others are in the details.
const REASONS_SHOWN: usize = 8;

/// Kernels of a variant for which the first screen says how to repeat them.
const CELLS_SHOWN: usize = 3;

/// For each pair that did not pass: why, and how to repeat it.
pub fn render(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for pair in report.pairs.iter().filter(|pair| pair.verdict != Verdict::Pass) {
        lines.push(String::new());
        lines.push(format!("{}: {}", title(pair), pair.verdict.name()));
        let reasons = Reasons::of(report, pair).lines();
        lines.extend(reasons.iter().take(REASONS_SHOWN).map(|reason| format!("  {reason}")));
        lines.extend(more(reasons.len(), REASONS_SHOWN, "reasons"));
        lines.extend(repeat(&bad_cells(report, pair)));
    }
    lines
}

/// Why a pair did not pass, the same reason in many tests as one line.
pub(super) fn of_pair(report: &Report, pair: &PairReport) -> Vec<String> {
    Reasons::of(report, pair).lines()
}

/// Every reason in its own words, for each pair of which [`render`] does not show them all.
pub fn in_full(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for pair in report.pairs.iter().filter(|pair| pair.verdict != Verdict::Pass) {
        let short = Reasons::of(report, pair).lines();
        if short.len() > REASONS_SHOWN || short != pair.reasons {
            lines.push(format!("all reasons, {}:", title(pair)));
            lines.extend(pair.reasons.iter().map(|reason| format!("  {reason}")));
        }
    }
    lines
}

fn title(pair: &PairReport) -> String {
    let version = if pair.is_main() { String::new() } else { format!(", {}", pair.arm) };
    format!("{}{version}", pair.name())
}

fn more(there: usize, shown: usize, what: &str) -> Option<String> {
    let more = there.checked_sub(shown).filter(|more| *more > 0)?;
    Some(format!("  and {more} {what} more: see the details"))
}

/// Its arms that are not as they should be, and its controls that were not caught.
fn bad_cells<'a>(report: &'a Report, pair: &'a PairReport) -> Vec<&'a CellReport> {
    let arms = ["base", &pair.arm].into_iter().filter_map(|arm| report.cell(pair, arm));
    let arms = arms.filter(|cell| !cell.findings.is_empty());
    let missed = report.controls_of(pair).filter(|control| !control.caught);
    let missed = missed.filter_map(|control| report.cells.iter().find(|cell| cell.id == control.cell));
    arms.chain(missed).collect()
}

fn repeat(cells: &[&CellReport]) -> Vec<String> {
    let mut lines = Vec::new();
    for cell in cells.iter().take(CELLS_SHOWN) {
        lines.extend(cell.kept.iter().map(|file| format!("  {} {}/{file}", label(file), cell.dir)));
    }
    lines.extend(more(cells.len(), CELLS_SHOWN, "kernels"));
    lines
}

fn label(file: &str) -> &'static str {
    match file.rsplit('/').next() {
        Some("repro.sh") => "repeat: ",
        Some("console.log") => "console:",
        _ => "build:  ",
    }
}

/// The reasons of a pair, those that differ in their test and their numbers only together.
struct Reasons<'a> {
    /// How many tests the pair has, as far as is known.
    tests: usize,
    groups: Vec<ReasonGroup<'a>>,
}

struct ReasonGroup<'a> {
    /// The first of its reasons.
    reason: &'a str,
    /// What is the same in all; None: it is of no test.
    key: Option<String>,
    tests: BTreeSet<&'a str>,
}

impl<'a> Reasons<'a> {
    fn of(report: &'a Report, pair: &'a PairReport) -> Reasons<'a> {
        let tests: BTreeSet<&str> = report.test_names(pair);
        let mut groups: Vec<ReasonGroup<'a>> = Vec::new();
        for reason in &pair.reasons {
            let split = split(reason).filter(|(_, test, _)| tests.contains(test));
            let key = split.map(|(arm, _, words)| format!("{arm}: {}", without_numbers(words)));
            let test = split.map(|(_, test, _)| test);
            match groups.iter_mut().find(|group| key.is_some() && group.key == key) {
                Some(group) => group.tests.extend(test),
                None => groups.push(ReasonGroup { reason, key, tests: test.into_iter().collect() }),
            }
        }
        Reasons { tests: tests.len(), groups }
    }

    fn lines(&self) -> Vec<String> {
        self.groups.iter().map(|group| group.line(self.tests)).collect()
    }
}

impl ReasonGroup<'_> {
    fn line(&self, tests: usize) -> String {
        match split(self.reason) {
            Some((arm, test, words)) if self.tests.len() > 1 => {
                format!("{arm}: in {} of {tests} tests, such as {test}: {words}", self.tests.len())
            }
            _ => self.reason.to_owned(),
        }
    }
}

/// `ARM: TEST: WORDS`, as the judge writes it.
fn split(reason: &str) -> Option<(&str, &str, &str)> {
    let (arm, rest) = reason.split_once(": ")?;
    let (test, words) = rest.split_once(": ")?;
    Some((arm, test, words))
}

fn without_numbers(words: &str) -> String {
    let mut key = String::new();
    for c in words.chars() {
        match c {
            '0'..='9' if key.ends_with('#') => {}
            '0'..='9' => key.push('#'),
            c => key.push(c),
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn failed(reasons: &[&str]) -> Report {
        let mut report = fixture::report(Verdict::Fail, reasons);
        for cell in &mut report.cells {
            let munmap = cell.scenarios[0].clone();
            let named = |name: &str| super::super::ScenarioReport { name: name.to_owned(), ..munmap.clone() };
            cell.scenarios.extend(["exit", "brk"].map(named));
        }
        report
    }

    #[test]
    fn same_reason_in_many_tests_is_one_line_with_their_number() {
        let report = failed(&[
            "patched: munmap: 200 slow ways should give 200 wait; measured: 0",
            "patched: exit: 100 slow ways should give 100 wait; measured: 0",
            "patched: exit: 100 slow ways should give 0 send; measured: 100",
            "patched: the kernel is tainted (512)",
            "patched: the kernel is tainted (16)",
        ]);
        assert_eq!(
            render(&report),
            [
                "",
                "7.2 x86_64 pt-reclaim-off: fail",
                "  patched: in 2 of 3 tests, such as munmap: 200 slow ways should give 200 wait; measured: 0",
                "  patched: exit: 100 slow ways should give 0 send; measured: 100",
                "  patched: the kernel is tainted (512)",
                "  patched: the kernel is tainted (16)",
                "  repeat:  cells/7.2/x86_64/pt-reclaim-off/patched/repro.sh",
                "  console: cells/7.2/x86_64/pt-reclaim-off/patched/console.log",
            ]
        );
        assert_eq!(in_full(&report).len(), 6);
    }

    #[test]
    fn what_is_not_shown_is_counted_and_in_the_details() {
        let reasons: Vec<String> = (0..20).map(|number| format!("patched: splat {number}")).collect();
        let reasons: Vec<&str> = reasons.iter().map(String::as_str).collect();
        let report = failed(&reasons);
        assert!(render(&report).iter().any(|line| line == "  and 12 reasons more: see the details"));
        assert_eq!(in_full(&report).len(), 21);
        assert!(in_full(&failed(&["patched: one splat"])).is_empty());
    }

    #[test]
    fn kernel_that_was_not_built_has_a_build_log_and_nothing_to_repeat() {
        let mut report = failed(&["patched: does not compile"]);
        report.cells[1].kept = vec!["build.log".to_owned()];
        let text = render(&report).join("\n");
        assert!(text.ends_with("\n  build:   cells/7.2/x86_64/pt-reclaim-off/patched/build.log"), "{text}");
    }

    #[test]
    fn control_that_was_not_caught_can_be_repeated() {
        let mut report = fixture::report(Verdict::Vacuous, &["blind"]);
        report.controls[0].cell = report.cells[0].id.clone();
        report.cells[1].findings.clear();
        let text = render(&report).join("\n");
        assert!(text.contains("repeat:  cells/7.2/x86_64/pt-reclaim-off/base/repro.sh"), "{text}");
    }
}
