//! JUnit XML, by quick-junit: a suite per pair; a case for the verdict, one per arm, one per control.

use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use super::{PairReport, Report, Shown};
use crate::campaign::plan::Arm;
use crate::judge::Verdict;
use failure::{Context, Result};

/// The report as XML.
///
/// # Errors
/// When the library cannot serialize it.
pub fn render(report: &Shown) -> Result<String> {
    let mut junit = Junit::new(format!("patchproof {}", report.campaign));
    for pair in &report.pairs {
        junit.add_test_suite(suite(report, pair));
    }
    junit.to_string().or_infra(|| "write JUnit XML".to_owned())
}

fn suite(report: &Report, pair: &PairReport) -> TestSuite {
    let version = if pair.is_main() { String::new() } else { format!("/{}", pair.arm) };
    let name = format!("{}/{}/{}{version}", pair.tree, pair.arch, pair.variant);
    let mut suite = TestSuite::new(name.clone());
    let status = match pair.verdict {
        Verdict::Pass | Verdict::WeakPass | Verdict::Fixes => TestCaseStatus::success(),
        // CI systems tell a failing test from one that could not be carried out.
        Verdict::Fail => non_success(NonSuccessKind::Failure, pair.verdict.name(), &pair.reasons),
        Verdict::BaseAlsoFails | Verdict::Vacuous | Verdict::Infra => {
            non_success(NonSuccessKind::Error, pair.verdict.name(), &pair.reasons)
        }
    };
    suite.add_test_case(case("verdict", &name, status));
    for control in report.controls_of(pair) {
        let status = match control.caught {
            true => TestCaseStatus::success(),
            false => non_success(NonSuccessKind::Error, "not caught", std::slice::from_ref(&control.by)),
        };
        suite.add_test_case(case(&format!("control {}", control.name), &name, status));
    }
    for cell in [Arm::Base.name(), &pair.arm].into_iter().filter_map(|arm| report.cell(pair, arm)) {
        let status = match cell.findings.is_empty() {
            true => TestCaseStatus::success(),
            false if pair.verdict == Verdict::Fail => {
                non_success(NonSuccessKind::Failure, "not as it should be", &cell.findings)
            }
            false => non_success(NonSuccessKind::Error, "not as it should be", &cell.findings),
        };
        suite.add_test_case(case(&format!("arm {}", cell.arm), &name, status));
    }
    suite
}

fn case(name: &str, class: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(class);
    case
}

fn non_success(kind: NonSuccessKind, message: &str, reasons: &[String]) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message);
    status.set_description(reasons.join("\n"));
    status
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_failing_patch_is_a_failure_and_an_experiment_that_proves_nothing_an_error() {
        let failed = render(&fixture::shown(Verdict::Fail, &["patched: a splat"])).unwrap();
        assert!(failed.contains("<failure message=\"fail\">patched: a splat</failure>"), "{failed}");
        let vacuous = render(&fixture::shown(Verdict::Vacuous, &["blind"])).unwrap();
        assert!(vacuous.contains("<error message=\"vacuous\">blind</error>"), "{vacuous}");
        assert!(vacuous.contains("<error message=\"not caught\">"), "{vacuous}");
        let passed = render(&fixture::shown(Verdict::Pass, &[])).unwrap();
        assert!(!passed.contains("<failure") && !passed.contains("<error"), "{passed}");
    }
}
