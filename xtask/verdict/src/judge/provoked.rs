//! Trouble that a KUnit case provokes on purpose, such as a warning that it waits for: it is there on both arms, and says
//! nothing. Takes findings away; adds none.

use super::finding::{Finding, Weight};
use crate::observe::{Boot, Evidence};
use crate::subject::signal::Signal;
use console::Splat;

/// The thread of every KUnit case (lib/kunit/try-catch.c, `kunit_try_catch_run()`), as a splat names it: TASK_COMM_LEN cuts it.
const CASE: &str = "Comm: kunit_try_catch";

/// Takes from both lists the splats of KUnit cases that both arms have, and the taint that is of nothing else.
pub fn forget(base: (&Evidence, &mut Vec<Finding>), patched: (&Evidence, &mut Vec<Finding>)) {
    let ((base_evidence, base), (patched_evidence, patched)) = (base, patched);
    let provoked: Vec<Signal> = base
        .iter()
        .filter(|finding| is_of_cases(finding, base_evidence))
        .filter(|finding| {
            patched.iter().any(|other| {
                is_of_cases(other, patched_evidence) && other.signal.is_same_trouble(&finding.signal)
            })
        })
        .map(|finding| finding.signal.clone())
        .collect();
    if provoked.is_empty() {
        return;
    }
    let taints = [&*base, &*patched].map(|found| taint_of(found).cloned());
    for found in [&mut *base, &mut *patched] {
        found.retain(|finding| !provoked.iter().any(|signal| signal.is_same_trouble(&finding.signal)));
    }
    let is_left = |found: &[Finding]| found.iter().any(|finding| finding.splat.is_some());
    if taints[0] == taints[1] && !is_left(base) && !is_left(patched) {
        for found in [base, patched] {
            found.retain(|finding| finding.signal != Signal::Taint);
        }
    }
}

/// All splats of its kind and place came from KUnit cases.
fn is_of_cases(finding: &Finding, evidence: &Evidence) -> bool {
    let Some(first) = finding.splat.filter(|_| finding.weight == Weight::Bad) else { return false };
    let Some(first) = first.find(evidence) else { return false };
    let place = |splat: &Splat| {
        splat.location.as_deref().and_then(|at| at.rsplit_once(':')).map(|(file, _)| file.to_owned())
    };
    let alike = |splat: &&Splat| splat.kind == first.kind && place(splat) == place(first);
    let ran = evidence.boots().filter_map(|boot| match boot {
        Boot::Ran(ran) => Some(ran),
        Boot::NotRun | Boot::Infra { .. } => None,
    });
    ran.flat_map(|ran| &ran.splats)
        .filter(alike)
        .all(|splat| splat.text.iter().any(|line| line.contains(CASE)))
}

fn taint_of(found: &[Finding]) -> Option<&String> {
    found.iter().find(|finding| finding.signal == Signal::Taint).map(|finding| &finding.text)
}
