//! Workloads: what they did on the patched arm, held against the same on the base. Nothing else says what should come out.

use protocol::{Measured, WorkResult, Workload};

use super::finding::{Asked, Findings, Weight};
use crate::campaign::Scenario;
use crate::observe::Evidence;
use crate::subject::signal::Signal;

/// Something that ended in another way on the patched arm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub scenario: String,
    pub what: String,
    /// None: it was not tried there.
    pub base: Option<WorkResult>,
    pub patched: Option<WorkResult>,
    /// A failure of it says that something is wrong: it is a test or a reproducer, and no look at how the kernel answers.
    pub is_test: bool,
}

impl Difference {
    /// It ended well without the patch, and does not with it.
    pub fn is_worse(&self) -> bool {
        self.base == Some(WorkResult::Ok) && matches!(self.patched, Some(WorkResult::Failed(_)) | None)
    }

    /// It is a test that failed without the patch and does not with it.
    pub fn is_fixed(&self) -> bool {
        self.is_test
            && matches!(self.base, Some(WorkResult::Failed(_)))
            && self.patched == Some(WorkResult::Ok)
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = |result: &Option<WorkResult>| match result {
            None => "not tried".to_owned(),
            Some(WorkResult::Ok) => "ok".to_owned(),
            Some(WorkResult::Skipped(why)) => format!("skipped ({why})"),
            Some(WorkResult::Failed(how)) => how.clone(),
        };
        let (base, patched) = (word(&self.base), word(&self.patched));
        write!(f, "{}: {}: {base} on the base, {patched} with the patch", self.scenario, self.what)
    }
}

/// All that differs, in the order of the scenarios. None where one of the two did not come to its end: then there is
/// nothing to compare, and that is said elsewhere.
pub fn differences(asked: &Asked<'_>, base: &Evidence, patched: &Evidence) -> Vec<Difference> {
    let mut found = Vec::new();
    for scenario in asked.scenarios {
        let Some(work) = scenario.work() else { continue };
        let measured =
            |evidence: &Evidence| evidence.ran().and_then(|ran| ran.measured(&scenario.name).cloned());
        let (Some(base), Some(patched)) = (measured(base), measured(patched)) else { continue };
        compare(scenario, work, &base, &patched, &mut found);
    }
    found
}

fn compare(
    scenario: &Scenario,
    work: &Workload,
    base: &Measured,
    patched: &Measured,
    found: &mut Vec<Difference>,
) {
    let is_test = is_test(work);
    let mut names: Vec<&String> = base.results.keys().chain(patched.results.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for what in names {
        let (base, patched) = (base.results.get(what), patched.results.get(what));
        if base != patched {
            found.push(Difference {
                scenario: scenario.name.clone(),
                what: what.clone(),
                base: base.cloned(),
                patched: patched.cloned(),
                is_test,
            });
        }
    }
}

/// A failure of it says that something is wrong.
fn is_test(work: &Workload) -> bool {
    matches!(work, Workload::Program(_) | Workload::Kunit(_) | Workload::Selftest(_))
}

/// What stands between a workload's result and anything that can be said of it.
pub fn examine_work(found: &mut Findings, scenario: &Scenario, work: &Workload, measured: &Measured) {
    if measured.results.is_empty() && *work != Workload::Boot {
        found.gap(Weight::Vacuous, format!("{}: it did nothing", scenario.name));
    }
    // One that runs nowhere ends alike everywhere. Of what the user did not bring, what it executes is counted.
    let mut results = measured.results.values();
    let first = results.next();
    if let Some(WorkResult::Skipped(why)) = first.filter(|_| is_test(work) && scenario.always)
        && results.all(|result| matches!(result, WorkResult::Skipped(_)))
    {
        found.gap(Weight::Vacuous, format!("{}: it was skipped: {why}", scenario.name));
    }
}

/// What the patch made worse.
pub fn examine_differences(found: &mut Findings, differences: &[Difference]) {
    for difference in differences.iter().filter(|difference| difference.is_worse()) {
        let signal = Signal::Done { what: difference.what.clone(), scenario: difference.scenario.clone() };
        found.bad(signal, difference.to_string());
    }
}
