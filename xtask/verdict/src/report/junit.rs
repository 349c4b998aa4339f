//! JUnit XML, by quick-junit, of the cases of a report.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use super::Shown;
use super::case::{CaseOutcome, LogTails, ReportCase, ReportSuite, suites};
use failure::{Context, Result};

/// The report as XML, with the ends of logs where a case did not pass.
///
/// # Errors
/// When the library cannot serialize it.
pub fn render(report: &Shown, tails: &LogTails) -> Result<String> {
    let mut junit = Junit::new(format!("patchproof {}", report.campaign));
    junit.set_time(duration(report.wall_secs));
    for one in suites(report) {
        junit.add_test_suite(suite(&one, tails));
    }
    junit.to_string().or_infra(|| "write JUnit XML".to_owned())
}

/// A time that no clock gives counts as none.
fn duration(secs: f64) -> Duration {
    Duration::try_from_secs_f64(secs).unwrap_or_default()
}

fn suite(of: &ReportSuite, tails: &LogTails) -> TestSuite {
    let mut suite = TestSuite::new(of.name.clone());
    suite.set_time(duration(of.cases.iter().fold(0.0, |sum, case| sum + case.secs)));
    for (name, value) in &of.properties {
        suite.add_property((*name, value.as_str()));
    }
    for one in &of.cases {
        suite.add_test_case(case(one, &of.name, tails));
    }
    suite
}

fn case(of: &ReportCase, class: &str, tails: &LogTails) -> TestCase {
    let mut case = TestCase::new(of.name.clone(), status(of));
    case.set_classname(class);
    case.set_time(duration(of.secs));
    let mut said = of.said.clone();
    if let Some(tail) = of.cell.as_ref().and_then(|cell| tails.get(cell)) {
        said.push(format!("the end of {}:", tail.file));
        said.extend(tail.lines.iter().cloned());
    }
    if !said.is_empty() {
        case.set_system_out(said.join("\n"));
    }
    case
}

fn status(case: &ReportCase) -> TestCaseStatus {
    let mut status = match case.outcome {
        CaseOutcome::Passed => return TestCaseStatus::success(),
        CaseOutcome::Skipped => TestCaseStatus::skipped(),
        CaseOutcome::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        CaseOutcome::Broken => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    status.set_message(case.message.as_str());
    if case.outcome != CaseOutcome::Skipped {
        // The schema asks for a type.
        status.set_type(case.message.as_str());
        status.set_description(case.reasons.join("\n"));
    }
    status
}

#[cfg(test)]
mod tests {
    use super::super::case::tests::tails;
    use super::super::{NotApplicable, fixture};
    use super::*;
    use crate::judge::Verdict;

    fn rendered(verdict: Verdict, reasons: &[&str]) -> String {
        render(&fixture::shown(verdict, reasons), &tails()).unwrap()
    }

    #[test]
    fn a_failing_patch_is_a_failure_and_an_experiment_that_proves_nothing_an_error() {
        let failed = rendered(Verdict::Fail, &["patched: a splat"]);
        assert!(
            failed.contains("<failure message=\"fail\" type=\"fail\">patched: a splat</failure>"),
            "{failed}"
        );
        let vacuous = rendered(Verdict::Vacuous, &["blind"]);
        assert!(vacuous.contains("<error message=\"vacuous\" type=\"vacuous\">blind</error>"), "{vacuous}");
        assert!(vacuous.contains("<error message=\"not caught\""), "{vacuous}");
        let passed = rendered(Verdict::Pass, &[]);
        assert!(!passed.contains("<failure") && !passed.contains("<error"), "{passed}");
    }

    #[test]
    fn case_that_failed_has_the_end_of_its_log() {
        insta::assert_snapshot!(rendered(Verdict::Fail, &["patched: a splat"]));
    }

    #[test]
    fn weak_pass_does_not_look_like_a_pass() {
        let (weak, pass) = (rendered(Verdict::WeakPass, &["blind"]), rendered(Verdict::Pass, &[]));
        for mark in ["<property name=\"verdict\" value=\"weak-pass\"/>", "weak-pass: nothing speaks"] {
            assert!(weak.contains(mark) && !pass.contains(mark), "{weak}");
        }
    }

    /// The rules of Jenkins' junit-10.xsd for what is written here: which elements stand in which, and what each must have.
    #[test]
    fn elements_and_attributes_are_those_of_the_schema() {
        let mut report = fixture::report(Verdict::Fail, &["patched: a splat"]);
        report.pairs[0].not_applicable =
            vec![NotApplicable { scenario: "ldt".to_owned(), why: "no PTI".to_owned() }];
        let xml = render(&Shown::new(&report).unwrap(), &tails()).unwrap();
        let document = roxmltree::Document::parse(&xml).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for node in document.descendants().filter(roxmltree::Node::is_element) {
            let name = node.tag_name().name();
            seen.insert(name);
            let (parents, required): (&[&str], &[&str]) = match name {
                "testsuites" => (&[""], &["name", "tests", "failures", "errors"]),
                "testsuite" => (&["testsuites"], &["name", "tests", "failures", "errors", "time"]),
                "properties" => (&["testsuite", "testcase"], &[]),
                "property" => (&["properties"], &["name", "value"]),
                "testcase" => (&["testsuite"], &["name", "classname", "time"]),
                "failure" | "error" => (&["testcase"], &["message", "type"]),
                "skipped" => (&["testcase"], &["message"]),
                "system-out" => (&["testcase"], &[]),
                other => panic!("{other} is not in the schema"),
            };
            let parent = node.parent_element().map_or("", |parent| parent.tag_name().name());
            assert!(parents.contains(&parent), "{name} in {parent}");
            for attribute in required {
                assert!(node.attribute(*attribute).is_some(), "{name} has no {attribute}: {xml}");
            }
            if let Some(time) = node.attribute("time") {
                assert!(time.parse::<f64>().unwrap() >= 0.0, "{time}");
            }
        }
        assert_eq!(seen.len(), 8, "{seen:?}");
    }
}
