//! KTAP, version 1 (Documentation/dev-tools/ktap.rst), of the cases of a report: a test per pair, its cases nested in it.

use std::fmt::Write;

use super::Shown;
use super::case::{CaseOutcome, LogTails, ReportCase, ReportSuite, suites};

/// Columns by which a nested test is indented.
const NESTED: &str = "    ";

/// The report, with the ends of logs as diagnostic lines where a case did not pass.
pub fn render(report: &Shown, tails: &LogTails) -> String {
    let suites = suites(report);
    let mut out = format!("KTAP version 1\n1..{}\n", suites.len());
    for (number, one) in (1_usize..).zip(&suites) {
        suite(&mut out, number, one, tails);
    }
    out
}

fn suite(out: &mut String, number: usize, suite: &ReportSuite, tails: &LogTails) {
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "{NESTED}KTAP version 1\n{NESTED}# Subtest: {}\n{NESTED}1..{}\n",
        name(&suite.name),
        suite.cases.len()
    );
    for (number, one) in (1_usize..).zip(&suite.cases) {
        case(out, number, one, tails);
    }
    let passed = suite.cases.iter().all(is_ok);
    let _ = writeln!(out, "{} {number} {}", word(passed), name(&suite.name));
}

fn case(out: &mut String, number: usize, case: &ReportCase, tails: &LogTails) {
    for line in case.said.iter().chain(&case.reasons) {
        let _ = writeln!(out, "{NESTED}# {line}");
    }
    if let Some(tail) = case.cell.as_ref().and_then(|cell| tails.get(cell)) {
        let _ = writeln!(out, "{NESTED}# the end of {}:", tail.file);
        for line in &tail.lines {
            let _ = writeln!(out, "{NESTED}# {line}");
        }
    }
    let directive = match case.outcome {
        CaseOutcome::Passed | CaseOutcome::Failed => String::new(),
        CaseOutcome::Skipped => format!(" # SKIP {}", case.message),
        CaseOutcome::Broken => format!(" # ERROR {}", case.message),
    };
    let _ = writeln!(out, "{NESTED}{} {number} {}{directive}", word(is_ok(case)), name(&case.name));
}

/// What is skipped is no failure.
fn is_ok(case: &ReportCase) -> bool {
    match case.outcome {
        CaseOutcome::Passed | CaseOutcome::Skipped => true,
        CaseOutcome::Failed | CaseOutcome::Broken => false,
    }
}

fn word(ok: bool) -> &'static str {
    if ok { "ok" } else { "not ok" }
}

/// A description ends at a `#`.
fn name(text: &str) -> String {
    text.replace('#', "_")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::case::tests::tails;
    use super::super::{NotApplicable, Report, fixture};
    use super::*;
    use crate::judge::Verdict;

    fn failing() -> Report {
        let mut report = fixture::report(Verdict::Fail, &["patched: a splat"]);
        report.pairs[0].not_applicable =
            vec![NotApplicable { scenario: "ldt".to_owned(), why: "no PTI".to_owned() }];
        report
    }

    #[test]
    fn pair_is_a_test_and_its_cases_are_nested() {
        insta::assert_snapshot!(render(&Shown::new(&failing()).unwrap(), &tails()));
    }

    /// Counts of plan and results, as a parser of KTAP takes them, of the lines of one level.
    fn check(text: &str, indent: &str) {
        let own =
            text.lines().filter_map(|line| line.strip_prefix(indent)).filter(|line| !line.starts_with(' '));
        let results: Vec<&str> =
            own.clone().filter(|line| line.starts_with("ok ") || line.starts_with("not ok ")).collect();
        let plan = own.clone().find_map(|line| line.strip_prefix("1..")).unwrap();
        assert_eq!(plan.parse::<usize>().unwrap(), results.len(), "{text}");
        for (number, line) in (1..).zip(results) {
            let rest = line.trim_start_matches("not ").strip_prefix("ok ").unwrap();
            assert!(rest.starts_with(&format!("{number} ")), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_leaves_the_plan_and_the_numbers(text in any::<String>()) {
            let mut report = failing();
            report.pairs[0].variant = text.clone();
            report.controls[0].name = text.clone();
            report.controls[0].variant = text.clone();
            report.pairs[0].reasons = vec![text.clone()];
            report.pairs[0].not_applicable[0].why = text;
            let text = render(&Shown::new(&report).unwrap(), &tails());
            check(&text, "");
            check(&text, NESTED);
        }
    }
}
