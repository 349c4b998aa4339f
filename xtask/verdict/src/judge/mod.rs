//! The one place that builds a pass, and only from complete evidence. Pure: evidence in, verdict out.
//!
//! A pair (the base and the patched arm of one variant) starts as `infra: not run`. Each arm is examined; what
//! is found is worth `infra`, `vacuous` or `bad`; the pair's verdict follows from the two lists and the
//! variant's controls.

mod examine;
mod finding;
mod provoked;
pub mod reach;
mod repetition;
mod scenario;
mod taken_away;
mod work;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::campaign::plan::{Mutant, MutantKind, UnplantedKind};
use crate::campaign::{Demand, Suite};
use crate::observe::Evidence;
use crate::subject::control::Control;
pub use examine::{examine, examine_boot, examine_build};
use finding::Findings;
pub use finding::{Asked, Finding, JudgedArm, Weight};
pub use reach::{Reach, ReachState};
pub use repetition::{Repetition, count};
pub use work::{Difference, differences, failures};
use work::{Growth, new_leaks};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Complete evidence, and nothing wrong in it.
    Pass,
    /// The same, but nothing was broken on purpose to see whether it would have been noticed.
    WeakPass,
    /// What was wrong without the patch is right with it.
    Fixes,
    /// The patched arm is bad and the base is not: the patch is to blame.
    Fail,
    /// Both arms are bad: not this patch's doing.
    BaseAlsoFails,
    /// The experiment proves nothing: path not reached, config not as asked, a control not caught.
    Vacuous,
    /// Host, QEMU or a build tool.
    Infra,
}

impl Verdict {
    /// Nothing speaks against the patch, and the experiment says something.
    pub fn is_good(self) -> bool {
        match self {
            Verdict::Pass | Verdict::WeakPass | Verdict::Fixes => true,
            Verdict::Fail | Verdict::BaseAlsoFails | Verdict::Vacuous | Verdict::Infra => false,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::WeakPass => "weak-pass",
            Verdict::Fixes => "fixes",
            Verdict::Fail => "fail",
            Verdict::BaseAlsoFails => "base-also-fails",
            Verdict::Vacuous => "vacuous",
            Verdict::Infra => "infra",
        }
    }
}

/// A verdict and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    pub verdict: Verdict,
    pub reasons: Vec<String>,
}

/// Whether a control was caught, by what, and what else spoke.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Caught {
    pub caught: bool,
    /// The evidence that caught it, or, if it was not caught, what was seen instead.
    pub by: String,
    /// The text of the splat that caught it.
    pub splat: Vec<String>,
}

/// What says that the detectors see.
#[derive(Debug, Default)]
pub struct Detectors<'a> {
    /// The controls that have a place in the patch, each with what became of it.
    pub controls: &'a [(&'a Control, Caught)],
    /// Bugs that were derived from the patch's own lines, each with what became of it.
    pub mutants: &'a [(&'a Mutant, Caught)],
    /// Kinds of them that there was no time for.
    pub unplanted: &'a [UnplantedKind],
    /// As many of them at least.
    pub least: usize,
    /// Those that have none, and why.
    pub left_out: Vec<String>,
    /// Of a patch whose lines are counted, what was reached of it.
    pub reach: Option<&'a Reach>,
    /// Hunks that the user takes responsibility for.
    pub unreached_allowed: &'a [usize],
}

/// The patch changes nothing of what the campaign is about: there is nothing to judge.
pub fn beside_the_point(why: &str) -> Judgement {
    Judgement { verdict: Verdict::Vacuous, reasons: vec![why.to_owned()] }
}

/// A patch that gives the same code is to blame for nothing, and shows nothing.
pub fn with_the_same_code(judgement: Judgement) -> Judgement {
    match judgement.verdict {
        Verdict::Fail => beside_the_point(
            "the compiler makes the same of both kernels: here the patch changes nothing but names or comments",
        ),
        _ => judgement,
    }
}

/// What a pass without any planted bug has to say for itself.
const NOTHING_PLANTED: &str =
    "blind to whatever the workloads do not show: no bug was planted to see whether they would";

/// As [`with_the_same_code`], where the base is the only measure: what is not compared (tables that follow from code and from
/// numbers of lines, files that are not C) may differ, so that trouble of the patched arm alone stays the patch's.
pub fn with_nothing_to_compare(judgement: Judgement) -> Judgement {
    match judgement.verdict {
        Verdict::WeakPass | Verdict::Pass => beside_the_point(
            "the compiler makes the same functions and data of both kernels: no workload can tell them apart",
        ),
        _ => judgement,
    }
}

/// Judges one pair.
pub fn judge(asked: &Asked<'_>, base: &Evidence, patched: &Evidence, shown: &Detectors<'_>) -> Judgement {
    let differences = differences(asked, base, patched);
    let mut found = Findings(examine(asked, JudgedArm::Base, base));
    work::examine_leaks(&mut found, &new_leaks(asked, base, patched));
    let mut found_base = found.0;
    let mut found = Findings(examine(asked, JudgedArm::Patched, patched));
    work::examine_differences(&mut found, &differences);
    work::examine_leaks(&mut found, &new_leaks(asked, patched, base));
    let mut found_patched = found.0;
    let mut unblamed = work::unblamed(asked, base, patched);
    if asked.compares() {
        let stands =
            |finding: &Finding| finding.weight != Weight::Bad || work::stands(asked, finding, base, patched);
        unblamed.extend(found_patched.iter().filter(|finding| !stands(finding)).map(|finding| {
            format!("at one boot alone, and with no changed function in it: {}", finding.text)
        }));
        found_patched.retain(stands);
        // A base that had trouble once, by chance, was not mended by the patch.
        let stands =
            |finding: &Finding| finding.weight != Weight::Bad || work::stands(asked, finding, patched, base);
        unblamed.extend(found_base.iter().filter(|finding| !stands(finding)).map(|finding| {
            format!("at one boot of the base alone, and with no changed function in it: {}", finding.text)
        }));
        found_base.retain(stands);
        provoked::forget((base, &mut found_base), (patched, &mut found_patched));
    }
    let against = match asked.compares() {
        true => against_a_comparison(&found_base, &found_patched),
        false => against_a_pass(&found_base, &found_patched),
    };
    // Trouble that is gone is no work of a patch that was not executed.
    let unreached = shown.reach.map(|reach| reach.gaps(shown.unreached_allowed)).unwrap_or_default();
    if against == Some(Verdict::Fixes) && !unreached.is_empty() {
        return Judgement { verdict: Verdict::Vacuous, reasons: unreached };
    }
    let Some(verdict) = against else {
        let fixed = differences.iter().filter(|difference| difference.is_fixed());
        let fixed: Vec<String> = fixed.map(Difference::to_string).collect();
        if !fixed.is_empty() && unreached.is_empty() {
            return Judgement { verdict: Verdict::Fixes, reasons: fixed };
        }
        return pass_unless_blind(asked, base, patched, shown, unblamed);
    };
    let reasons = [("base", &found_base), ("patched", &found_patched)]
        .into_iter()
        .flat_map(|(arm, found)| found.iter().map(move |finding| format!("{arm}: {}", finding.text)))
        .collect();
    Judgement { verdict, reasons }
}

/// Whether the patch would fail, or mend something, by what may be chance: by what guests showed once, with no function of the
/// patch in it.
pub fn may_be_chance(asked: &Asked<'_>, base: &Evidence, patched: &Evidence) -> bool {
    let known = examine(asked, JudgedArm::Base, base);
    let mut found = Findings(examine(asked, JudgedArm::Patched, patched));
    work::examine_leaks(&mut found, &new_leaks(asked, patched, base));
    let is_certain = found
        .0
        .iter()
        .filter(|found| is_new(found, &known))
        .any(|found| work::is_of_the_patch(found, base, patched));
    match judge(asked, base, patched, &Detectors::default()).verdict {
        Verdict::Fail => !is_certain,
        // Of what the base alone showed.
        Verdict::Fixes => known
            .iter()
            .any(|found| found.weight == Weight::Bad && !work::is_of_the_patch(found, patched, base)),
        _ => false,
    }
}

/// What the builds of a pair alone make of its verdict; none where nothing is wrong with them, which is no pass.
pub fn judge_builds(base: &Evidence, patched: &Evidence) -> Option<Verdict> {
    against_a_pass(&examine_build(base), &examine_build(patched))
}

/// The verdict that follows from what was found on both arms; none if nothing was.
fn against_a_pass(base: &[Finding], patched: &[Finding]) -> Option<Verdict> {
    let of = |found: &[Finding], weight| found.iter().any(|finding| finding.weight == weight);
    if of(patched, Weight::Bad) && of(base, Weight::Bad) {
        Some(Verdict::BaseAlsoFails)
    } else if of(base, Weight::Infra) || of(patched, Weight::Infra) {
        Some(Verdict::Infra)
    } else if of(base, Weight::Bad) {
        Some(Verdict::BaseAlsoFails)
    } else if of(base, Weight::Vacuous) {
        Some(Verdict::Vacuous)
    } else if of(patched, Weight::Bad) {
        Some(Verdict::Fail)
    } else if of(patched, Weight::Vacuous) {
        Some(Verdict::Vacuous)
    } else {
        None
    }
}

/// Trouble that is none of what is known.
fn is_new(found: &Finding, known: &[Finding]) -> bool {
    found.weight == Weight::Bad && known.iter().all(|known| !known.signal.is_same_trouble(&found.signal))
}

/// The same where nothing is known beforehand: then the base is the measure, and trouble that it has as well says nothing.
fn against_a_comparison(base: &[Finding], patched: &[Finding]) -> Option<Verdict> {
    let of = |found: &[Finding], weight| found.iter().any(|finding| finding.weight == weight);
    if !of(base, Weight::Infra) && patched.iter().any(|found| is_new(found, base)) {
        Some(Verdict::Fail)
    } else if of(base, Weight::Bad) && patched.is_empty() {
        Some(Verdict::Fixes)
    } else {
        against_a_pass(base, patched)
    }
}

fn pass_unless_blind(
    asked: &Asked<'_>,
    base: &Evidence,
    patched: &Evidence,
    shown: &Detectors<'_>,
    unblamed: Vec<String>,
) -> Judgement {
    let mut blind: Vec<String> = shown
        .controls
        .iter()
        .filter(|(_, caught)| !caught.caught)
        .map(|(control, caught)| {
            format!("blind: control `{}` was not caught by {}: {}", control.name, control.signal, caught.by)
        })
        .collect();
    let count = shown.controls.len();
    if count < shown.least {
        blind.push(format!(
            "blind: a patch that changes code needs {} controls that are caught, and {count} can be planted in it",
            shown.least
        ));
        blind.extend(shown.left_out.iter().cloned());
    }
    blind.extend(unequal_demand(asked, base, patched));
    blind.extend(shown.reach.map(|reach| reach.gaps(shown.unreached_allowed)).unwrap_or_default());
    if !blind.is_empty() {
        return Judgement { verdict: Verdict::Vacuous, reasons: blind };
    }
    let alike = work::fail_alike(asked, base, patched);
    if !alike.is_empty() {
        return Judgement { verdict: Verdict::BaseAlsoFails, reasons: alike };
    }
    let blind: Vec<String> = match asked.compares() {
        true => unblamed.into_iter().chain(blind_to(shown)).collect(),
        false => Vec::new(),
    };
    let verdict = if blind.is_empty() { Verdict::Pass } else { Verdict::WeakPass };
    Judgement { verdict, reasons: blind }
}

/// In sentences, which bugs in the patch's own lines would not have been seen.
fn blind_to(shown: &Detectors<'_>) -> Vec<String> {
    let mut blind = Vec::new();
    if shown.mutants.is_empty() && shown.controls.is_empty() {
        blind.push(NOTHING_PLANTED.to_owned());
    }
    let mut kinds: Vec<MutantKind> = shown.mutants.iter().map(|(mutant, _)| mutant.kind.class()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let of_kind: Vec<_> =
            shown.mutants.iter().filter(|(mutant, _)| mutant.kind.class() == kind).collect();
        if of_kind.iter().all(|(_, caught)| !caught.caught) {
            let places: Vec<String> =
                of_kind.iter().map(|(mutant, _)| format!("{} (`{}`)", mutant.place, mutant.was)).collect();
            let places = places.join(", ");
            blind.push(format!("blind to {}: planted at {places}, and nothing showed it", kind.name()));
        }
    }
    blind.extend(shown.unplanted.iter().map(|UnplantedKind { kind, place, was }| {
        format!("blind to {}: it has a place at {place} (`{was}`), and there was no time for it", kind.name())
    }));
    blind.extend(shown.reach.map(|reach| reach.blind_to(shown.unreached_allowed)).unwrap_or_default());
    blind.extend(shown.reach.map(|reach| taken_away::blind_to(&reach.hunks)).unwrap_or_default());
    blind
}

/// Whether a bug in the patch's own lines was seen: whether a patch like this would fail beside each of the kernels `beside` it, the
/// patched one and its own without any bug. `asked` is what the kernel with the bug has to show.
pub fn catch_mutant(asked: &Asked<'_>, mutant: &Evidence, beside: &[(Asked<'_>, &Evidence)]) -> Caught {
    let nothing = |by: String| Caught { caught: false, by, splat: Vec::new() };
    if mutant.ran().is_none() {
        let found = examine(asked, JudgedArm::Patched, mutant);
        return nothing(found.first().map_or_else(|| "not run".to_owned(), |finding| finding.text.clone()));
    }
    if beside.iter().any(|(_, other)| other.ran().is_none()) {
        return nothing("a kernel without it, to hold it against, was not booted".to_owned());
    }
    // The functions of the objects that the patch changes are known of the patched kernel.
    let of_the_patch: BTreeSet<String> =
        beside.iter().flat_map(|(_, other)| work::changed_functions(mutant, other)).collect();
    let mut seen = beside.iter().map(|beside| new_trouble(asked, mutant, beside, &of_the_patch));
    let mut found = seen.next().unwrap_or_default();
    for other in seen {
        found.retain(|finding| other.iter().any(|other| other.signal.is_same_trouble(&finding.signal)));
    }
    let Some(finding) = found.first() else { return nothing("nothing was seen".to_owned()) };
    let splat = finding.splat.and_then(|splat| splat.find(mutant));
    let splat = splat.map(|splat| splat.text.clone()).unwrap_or_default();
    Caught { caught: true, by: finding.text.clone(), splat }
}

/// What would fail `this` beside `other`; a leak is the patch's where one of the functions `of_the_patch` had a part in it.
fn new_trouble(
    asked: &Asked<'_>,
    this: &Evidence,
    other: &(Asked<'_>, &Evidence),
    of_the_patch: &BTreeSet<String>,
) -> Vec<Finding> {
    let known = examine(&other.0, JudgedArm::Patched, other.1);
    let mut found = Findings(examine(asked, JudgedArm::Patched, this));
    // A kernel with a planted bug is booted once.
    let mut differences = differences(asked, other.1, this);
    differences.retain(|difference| difference.growth.is_none_or(Growth::is_beyond_chance));
    work::examine_differences(&mut found, &differences);
    let mut leaks = new_leaks(asked, this, other.1);
    for leak in &mut leaks {
        leak.is_of_the_patch = work::has_frame_of(&leak.leak.stack, of_the_patch);
    }
    work::examine_leaks(&mut found, &leaks);
    found.0.retain(|finding| is_new(finding, &known));
    found.0
}

fn unequal_demand(asked: &Asked<'_>, base: &Evidence, patched: &Evidence) -> Vec<String> {
    let injected =
        |evidence: &Evidence, name: &str| evidence.ran().and_then(|ran| Some(ran.measured(name)?.injected));
    asked
        .scenarios
        .iter()
        // How many rounds of a soak fit into its time is not the same on both arms.
        .filter(|scenario| matches!(scenario.demand, Demand::Failures(_)) && scenario.suite != Suite::Soak)
        .filter(|scenario| injected(base, &scenario.name) != injected(patched, &scenario.name))
        .map(|scenario| {
            format!("{}: base and patched were not given the same number of failures", scenario.name)
        })
        .collect()
}

/// Whether anything noticed that a hunk was left out: a finding that would have failed the patch, or a warning of
/// the compiler in a file that the patch changes.
pub fn noticed(asked: &Asked<'_>, evidence: &Evidence) -> Caught {
    let found = examine(asked, JudgedArm::Patched, evidence);
    if let Some(bad) = found.iter().find(|finding| finding.weight == Weight::Bad) {
        return Caught { caught: true, by: bad.text.clone(), splat: Vec::new() };
    }
    if let Some(warning) = evidence.built().and_then(|built| built.warnings.first()) {
        return Caught { caught: true, by: format!("compiler: {warning}"), splat: Vec::new() };
    }
    match found.first() {
        Some(gap) => Caught { caught: false, by: format!("not known: {}", gap.text), splat: Vec::new() },
        None => Caught { caught: false, by: "NOTHING noticed it".to_owned(), splat: Vec::new() },
    }
}

/// Whether `control` was caught: whether the judge would have failed a patch with this bug, and by the evidence
/// that the control's file names.
pub fn catch(asked: &Asked<'_>, control: &Control, evidence: &Evidence) -> Caught {
    if evidence.ran().is_none() {
        let found = examine(asked, JudgedArm::Patched, evidence);
        let by = found.first().map_or_else(|| "not run".to_owned(), |finding| finding.text.clone());
        let caught = found.iter().any(|finding| control.signal.is(&finding.signal));
        return Caught { caught, by, splat: Vec::new() };
    }
    let bad: Vec<Finding> = examine(asked, JudgedArm::Patched, evidence)
        .into_iter()
        .filter(|found| found.weight == Weight::Bad)
        .collect();
    let misled = bad.iter().any(|finding| control.signal.is_elsewhere(&finding.signal));
    match bad.iter().find(|finding| control.signal.is(&finding.signal)) {
        Some(finding) if !misled => {
            let splat = finding.splat.and_then(|splat| splat.find(evidence));
            let splat = splat.map(|splat| splat.text.clone()).unwrap_or_default();
            Caught { caught: true, by: finding.text.clone(), splat }
        }
        Some(_) => Caught { caught: false, by: "seen in other scenarios too".to_owned(), splat: Vec::new() },
        None => {
            let by = match bad.first() {
                Some(other) => format!("seen instead: {}", other.text),
                None => "nothing was seen".to_owned(),
            };
            Caught { caught: false, by, splat: Vec::new() }
        }
    }
}

#[cfg(test)]
mod tests;
