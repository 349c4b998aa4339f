//! A report as suites of test cases, for those renderers that know nothing else: a suite per pair; in it a case for the
//! verdict, one per control, one per arm, and one for each guest test that has no meaning there. Decides nothing.

use std::collections::BTreeMap;

use super::{CellReport, PairReport, Report};
use crate::campaign::plan::Arm;
use crate::judge::Verdict;
use failure::escape;

/// Lines of a log that a case shows.
pub const TAIL_LINES: usize = 60;

/// The end of the log of a cell: what it printed last, or why it was not built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTail {
    /// Below the run's directory.
    pub file: String,
    pub lines: Vec<String>,
}

/// By the id of the cell.
pub type LogTails = BTreeMap<String, LogTail>;

impl LogTail {
    /// Of the last `bytes` of `file`, the last lines, escaped; `is_cut` where the file began before them.
    pub fn new(file: String, bytes: &[u8], is_cut: bool) -> LogTail {
        let text = String::from_utf8_lossy(bytes);
        // A line that was cut may be anything.
        let whole: Vec<&str> = text.lines().skip(usize::from(is_cut)).collect();
        let from = whole.len().saturating_sub(TAIL_LINES);
        let line = |line: &&str| escape::line(line.trim_end_matches('\r')).into_owned();
        LogTail { file, lines: whole.iter().skip(from).map(line).collect() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaseOutcome {
    Passed,
    /// The patch is to blame.
    Failed,
    /// The experiment could not be carried out, or proves nothing.
    Broken,
    Skipped,
}

#[derive(Debug, Clone)]
pub struct ReportCase {
    pub name: String,
    pub outcome: CaseOutcome,
    /// In a few words, why it did not pass.
    pub message: String,
    pub reasons: Vec<String>,
    /// What it took to build and run. A verdict takes none: what it rests on has its time in other cases.
    pub secs: f64,
    /// What else there is to say, also of one that passed.
    pub said: Vec<String>,
    /// The id of the cell whose log tells more.
    pub cell: Option<String>,
}

#[derive(Debug, Clone)]
pub struct ReportSuite {
    /// `TREE/ARCH/VARIANT`, and the version of the patch where it is another.
    pub name: String,
    pub properties: Vec<(&'static str, String)>,
    pub cases: Vec<ReportCase>,
}

/// CI systems show it as green: the output of the case says that it is no pass.
const WEAK: &str = "weak-pass: nothing speaks against the patch, and it was not shown for each kind of bug that one would: not a pass";

pub fn suites(report: &Report) -> Vec<ReportSuite> {
    report.pairs.iter().map(|pair| suite(report, pair)).collect()
}

fn suite(report: &Report, pair: &PairReport) -> ReportSuite {
    let version = if pair.is_main() { String::new() } else { format!("/{}", pair.arm) };
    let mut cases = vec![verdict(pair)];
    cases.extend(report.controls_of(pair).map(|control| ReportCase {
        outcome: if control.caught { CaseOutcome::Passed } else { CaseOutcome::Broken },
        message: if control.caught { String::new() } else { "not caught".to_owned() },
        reasons: if control.caught { Vec::new() } else { vec![control.by.clone()] },
        said: vec![format!("plants: {}", control.plants)],
        secs: control.secs.unwrap_or(0.0),
        cell: (!control.caught).then(|| control.cell.clone()),
        ..case(&format!("control {}", control.name))
    }));
    let arms = [Arm::Base.name(), &pair.arm].into_iter().filter_map(|arm| report.cell(pair, arm));
    cases.extend(arms.map(|cell| arm(pair, cell)));
    cases.extend(pair.not_applicable.iter().map(|left| ReportCase {
        outcome: CaseOutcome::Skipped,
        message: left.why.clone(),
        ..case(&format!("test {}", left.scenario))
    }));
    let mut properties = vec![
        ("verdict", pair.verdict.name().to_owned()),
        ("kind", if pair.native { "native" } else { "synthetic" }.to_owned()),
    ];
    let tree = report.trees.iter().find(|tree| tree.name == pair.tree);
    properties.extend(tree.map(|tree| ("tree", format!("{} ({})", tree.version, tree.origin))));
    properties.extend(report.patch.subject.iter().map(|subject| ("patch", subject.clone())));
    ReportSuite { name: format!("{}/{}/{}{version}", pair.tree, pair.arch, pair.variant), properties, cases }
}

fn case(name: &str) -> ReportCase {
    ReportCase {
        name: name.to_owned(),
        outcome: CaseOutcome::Passed,
        message: String::new(),
        reasons: Vec::new(),
        secs: 0.0,
        said: Vec::new(),
        cell: None,
    }
}

fn verdict(pair: &PairReport) -> ReportCase {
    let outcome = match pair.verdict {
        Verdict::Pass | Verdict::WeakPass | Verdict::Fixes => CaseOutcome::Passed,
        // CI systems tell a failing test from one that could not be carried out.
        Verdict::Fail => CaseOutcome::Failed,
        Verdict::BaseAlsoFails | Verdict::Vacuous | Verdict::Infra => CaseOutcome::Broken,
    };
    let is_good = outcome == CaseOutcome::Passed;
    let mut said: Vec<String> = if is_good { pair.reasons.clone() } else { Vec::new() };
    said.insert(
        0,
        if pair.verdict == Verdict::WeakPass { WEAK.to_owned() } else { pair.verdict.name().to_owned() },
    );
    ReportCase {
        outcome,
        message: if is_good { String::new() } else { pair.verdict.name().to_owned() },
        reasons: if is_good { Vec::new() } else { pair.reasons.clone() },
        said,
        ..case("verdict")
    }
}

fn arm(pair: &PairReport, cell: &CellReport) -> ReportCase {
    let outcome = match (cell.findings.is_empty(), pair.verdict) {
        (true, _) => CaseOutcome::Passed,
        (false, Verdict::Fail) => CaseOutcome::Failed,
        (false, _) => CaseOutcome::Broken,
    };
    let is_good = outcome == CaseOutcome::Passed;
    let recorded = cell.recorded.as_ref().map(|date| format!("not booted now: on record from {date}"));
    let tests = format!("{} guest tests measured", cell.scenarios.len());
    ReportCase {
        outcome,
        message: if is_good { String::new() } else { "not as it should be".to_owned() },
        reasons: cell.findings.clone(),
        secs: secs(cell),
        said: [tests].into_iter().chain(recorded).collect(),
        cell: (!is_good).then(|| cell.id.clone()),
        ..case(&format!("arm {}", cell.arm))
    }
}

/// To build and to run it now.
fn secs(cell: &CellReport) -> f64 {
    if cell.recorded.is_some() {
        return cell.build_secs.filter(|_| !cell.cached).unwrap_or(0.0);
    }
    let build = cell.build_secs.filter(|_| !cell.cached);
    [build, cell.boot_secs, cell.test_secs].into_iter().flatten().fold(0.0, |sum, secs| sum + secs)
}

#[cfg(test)]
pub mod tests {
    use super::super::fixture;
    use super::*;

    /// What the patched kernel of the fixture printed last.
    pub fn tails() -> LogTails {
        let log = b"cut line\n[    1.0] BUG: sleeping \x1b[31mfunction\r\n[    1.1] ]]> end\n";
        let id = fixture::report(Verdict::Fail, &[]).cells[1].id.clone();
        LogTails::from([(id, LogTail::new("cells/p/console.log".to_owned(), log, true))])
    }

    #[test]
    fn tail_is_the_last_whole_lines_escaped() {
        let all = tails();
        let tail = all.values().next().unwrap();
        assert_eq!(tail.lines, ["[    1.0] BUG: sleeping \\x1b[31mfunction", "[    1.1] ]]> end"]);
        let long = "x\n".repeat(100);
        assert_eq!(LogTail::new(String::new(), long.as_bytes(), false).lines.len(), TAIL_LINES);
    }

    #[test]
    fn time_of_an_arm_is_what_this_run_spent() {
        let mut cell = fixture::report(Verdict::Pass, &[]).cells.remove(0);
        assert!((secs(&cell) - 165.5).abs() < 1e-9);
        cell.cached = true;
        assert!((secs(&cell) - 5.5).abs() < 1e-9);
        cell.recorded = Some("2026-01-01T00:00:00Z".to_owned());
        assert_eq!(secs(&cell), 0.0);
    }
}
