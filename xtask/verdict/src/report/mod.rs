//! The result of a run as one value, and its renderers: JSON (this value as it is), a text for people, and the forms that CI
//! systems and mail take. Renderers know nothing but this value, with every text in it escaped ([`Shown`]), and decide nothing.

pub mod annotation;
mod answers;
pub mod case;
mod code;
pub mod compare;
pub mod controls_page;
mod details;
pub mod effect;
mod effect_table;
#[cfg(test)]
pub mod fixture;
pub mod github;
pub mod gitlab;
pub mod human;
pub mod junit;
pub mod ktap;
pub mod layout;
pub mod markdown;
mod marked;
pub mod page;
mod planted_table;
pub mod progress;
mod reasons;
pub mod reply;
mod scenario_table;
mod shown;
mod version_table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use protocol::{Counts, Done, Level, Timing};
use serde::{Deserialize, Serialize};

use crate::campaign::Demand;
use crate::campaign::partition::Partition;
use crate::campaign::plan::{Arm, Cell};
use crate::judge::{Reach, Repetition, Verdict};
use crate::observe::Lost;
use crate::observe::{self, Evidence, ScenarioRan};
use crate::subject::control::Control;
use crate::subject::{Outcome, Subject};
pub use code::CodeReport;
use failure::Exit;
use patch::EDITED;
pub use shown::Shown;

/// Raised when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 4;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    pub schema: u32,
    pub campaign: String,
    /// What was forced and watched, with the words for it.
    pub subject: Subject,
    /// The guest tests that were asked for, where these are not the usual ones.
    pub suite: Option<String>,
    /// UTC, RFC 3339.
    pub started: String,
    /// The run was one part of a divided plan: nothing is said about the other parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Partition>,
    /// The user stopped the run: what is missing was never tried.
    pub interrupted: bool,
    /// Exit code of the run: from its verdicts, or from what ended it early.
    pub exit_code: u8,
    /// As it was held against the first tree.
    pub patch: PatchReport,
    pub trees: Vec<TreeReport>,
    /// What confined builds and guests.
    pub sandbox: String,
    /// Builds and guests could do all that the user can.
    pub unconfined: bool,
    pub accels: Vec<AccelReport>,
    pub cells: Vec<CellReport>,
    pub controls: Vec<ControlReport>,
    /// With `--without-hunk`: what noticed each hunk that was left out.
    pub left_out: Vec<LeftOutReport>,
    pub pairs: Vec<PairReport>,
    /// What was reached of the patch, by tree, where lines are counted.
    #[serde(default)]
    pub reach: BTreeMap<String, Reach>,
    /// Hunks that the user said need not be executed.
    #[serde(default)]
    pub unreached_allowed: Vec<usize>,
    /// What gets better and what gets worse.
    pub effects: Vec<effect::Effect>,
    /// Of this, how much went into finding, fetching and unpacking sources.
    pub fetch_secs: f64,
    /// How long the guest programs took to make; kernels were built meanwhile.
    pub guests_secs: f64,
    pub wall_secs: f64,
    pub cold_build: Option<ColdBuild>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PatchReport {
    pub source: String,
    pub subject: Option<String>,
    /// What the file is: a mail, a diff, a page pasted as text.
    pub form: String,
    /// How the patch was found in what was given: what was left out of a thread, and the like.
    #[serde(default)]
    pub notes: Vec<String>,
    /// It was damaged, and what is tested was rebuilt and proved by its post-image blobs.
    pub repaired: bool,
    pub damage: Vec<String>,
    pub files: Vec<FileReport>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FileReport {
    pub path: String,
    /// The `index` line's pre-image; what was found has the same or not.
    pub pre_blob: Option<String>,
    pub post_blob: Option<String>,
    pub pre_matches: Option<bool>,
    pub post_matches: Option<bool>,
    /// It applies, and the result is not the blob that its `index` line names.
    #[serde(default)]
    pub edited: bool,
    /// What becomes of its mode; none if nothing does.
    #[serde(default)]
    pub mode: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TreeReport {
    pub name: String,
    pub version: String,
    pub origin: String,
    /// How the tree showed that it held the patch under test, which was undone to make the base.
    pub undone: Option<String>,
    /// The patch as it was held against this tree.
    pub patch: PatchReport,
    /// Its other versions, by name.
    pub versions: BTreeMap<String, PatchReport>,
    /// What of the patch a reviewer should look at before believing a pass.
    pub sensitive: Vec<SensitiveReport>,
}

/// A file that the patch changes and that the verdict rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SensitiveReport {
    pub path: String,
    pub why: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccelReport {
    pub arch: String,
    pub name: String,
    pub reason: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CellReport {
    pub id: String,
    pub tree: String,
    pub tree_version: String,
    pub arch: String,
    pub variant: String,
    pub native: bool,
    pub arm: String,
    pub accel: Option<String>,
    /// There is a kernel, built now or before.
    pub built: bool,
    /// None: not built now.
    pub build_secs: Option<f64>,
    /// When the build and the first boot began, seconds from the start of the run. None: there was none now, or the report is of
    /// an older harness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_start_secs: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_start_secs: Option<f64>,
    /// Of the build, how much went into its `.config`.
    pub configure_secs: Option<f64>,
    /// How much came after its last object.
    pub link_secs: Option<f64>,
    /// Nothing of an earlier build was there.
    pub cold: bool,
    /// Nothing was built: the kernel is from the cache.
    pub cached: bool,
    /// Nothing was booted: this is what was on record, from then.
    pub recorded: Option<String>,
    /// From the start of QEMU to the kernel's word that it runs init, to the guest's first message, and from there to its
    /// trailer.
    pub kernel_secs: Option<f64>,
    pub boot_secs: Option<f64>,
    pub test_secs: Option<f64>,
    pub scenarios: Vec<ScenarioReport>,
    pub splats_total: u64,
    pub splats: Vec<console::Splat>,
    pub tainted: Option<u64>,
    pub lost_symbols: Vec<Lost>,
    /// What the compiler warned of in the files that the patch changes.
    pub warnings: Vec<String>,
    /// What stands between this cell and a pass; of a control: what caught it, or why nothing did.
    pub findings: Vec<String>,
    /// With `--repeat`: how many of its boots were not as they should be, and what that can tell.
    pub repetition: Option<Repetition>,
    /// Below the run's directory.
    pub dir: String,
    /// Files in it to repeat it by, or to read.
    pub kept: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScenarioReport {
    pub name: String,
    /// What it had to show, in words.
    pub demands: String,
    /// Every failure is one of those asked for, and leads once to the outcome.
    pub exact: bool,
    /// What has to come out is what the guest test counts by itself.
    pub own_counts: bool,
    pub demanded: u64,
    pub injected: u64,
    /// The function below which failures were injected; none where nothing was injected.
    pub injected_in: Option<String>,
    /// Operations that are none of the patch's business.
    pub operations: u64,
    /// Under force, by the subject's names.
    pub counts: Counts,
    pub levels: BTreeMap<String, Level>,
    /// A second signal, not judged.
    pub rises: BTreeMap<String, u64>,
    pub splats: u64,
    /// Files that were written before: what was timed is no time of a kernel as it was booted.
    pub set: Vec<String>,
    /// Nothing else that the run had started ran beside it, and others took little of the host.
    pub exclusive: bool,
    /// What was timed, while failures were injected and before.
    pub timings: Vec<Timing>,
    /// What else went on.
    pub done: Vec<Done>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ControlReport {
    pub name: String,
    pub tree: String,
    pub arch: String,
    pub variant: String,
    /// What it is planted in: `patched`, or a version of the patch.
    pub arm: String,
    pub plants: String,
    pub signal: String,
    /// The id of its cell.
    pub cell: String,
    pub caught: bool,
    pub by: String,
    pub splat: Vec<String>,
    /// What it took to build and to run, seconds; builds and boots of other cells went on beside it. None: neither was
    /// done now.
    pub secs: Option<f64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LeftOutReport {
    pub tree: String,
    pub arch: String,
    pub variant: String,
    /// From 1, over all files of the patch.
    pub hunk: usize,
    /// File, and line in it before the patch.
    pub place: String,
    pub noticed: bool,
    pub by: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PairReport {
    pub tree: String,
    pub arch: String,
    pub variant: String,
    /// What is judged beside the base: `patched`, or a version of the patch.
    pub arm: String,
    pub about: String,
    pub native: bool,
    /// The helper patches that make it synthetic.
    pub helpers: Vec<String>,
    /// Name of the outcome that a failure had on each arm; none where nothing is counted by outcomes.
    pub expect_base: Option<String>,
    pub expect_patched: Option<String>,
    /// Scenarios that say nothing about this variant, and why.
    pub not_applicable: Vec<NotApplicable>,
    pub verdict: Verdict,
    pub reasons: Vec<String>,
    /// What workloads did that ended differently on the two arms.
    #[serde(default)]
    pub differences: Vec<String>,
    /// Which allocations were made to fail, and what was lost elsewhere.
    #[serde(default)]
    pub failures: Vec<String>,
    /// What the compiler made of the changed files, beside the base; none where one of the two was not built.
    pub code: Option<CodeReport>,
    /// Of a version of the patch, beside the patch under test.
    pub code_beside_patched: Option<CodeReport>,
    /// Controls that have no place in this version of the patch.
    pub controls_left_out: Vec<ControlLeftOut>,
}

/// A control that could not be planted. It says nothing about the patch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ControlLeftOut {
    pub name: String,
    pub why: String,
}

impl ControlLeftOut {
    pub fn new((control, why): &(Control, String)) -> ControlLeftOut {
        ControlLeftOut { name: control.name.clone(), why: why.clone() }
    }
}

impl fmt::Display for ControlLeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "control `{}` left out: {}", self.name, self.why)
    }
}

/// A scenario that was not run because it could not show anything; never counted as passed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NotApplicable {
    pub scenario: String,
    pub why: String,
}

/// What the run cost in units of one cold build of one of its kernels, measured in the same run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ColdBuild {
    pub cell: String,
    pub secs: f64,
    /// (wall - fetch) / cold build.
    pub ratio: f64,
}

impl Report {
    /// The exit code of a run that nothing ended early.
    pub fn exit(&self) -> Exit {
        if self.interrupted {
            Exit::Interrupted
        } else if self.pairs.iter().any(|pair| pair.verdict == Verdict::Fail) {
            Exit::PatchFailed
        } else if !self.pairs.is_empty() && self.pairs.iter().all(|pair| pair.verdict.is_good()) {
            let weak = self.pairs.iter().any(|pair| pair.verdict == Verdict::WeakPass);
            if weak { Exit::WeakPass } else { Exit::Ok }
        } else {
            Exit::Inconclusive
        }
    }

    /// The pairs of the patch under test, without its other versions.
    pub fn main_pairs(&self) -> impl Iterator<Item = &PairReport> {
        self.pairs.iter().filter(|pair| pair.is_main())
    }

    /// The variant of a pair, with its tree and architecture where there are several of them.
    pub fn place(&self, pair: &PairReport) -> String {
        self.name_of(&pair.tree, &pair.arch, &pair.variant)
    }

    /// As [`Report::place`], of a variant by its parts.
    pub fn name_of(&self, tree: &str, arch: &str, variant: &str) -> String {
        let mut words = Vec::new();
        if self.pairs.iter().any(|other| other.tree != tree) {
            words.push(tree);
        }
        if self.pairs.iter().any(|other| other.arch != arch) {
            words.push(arch);
        }
        words.push(variant);
        words.join(" ")
    }

    /// The controls of a pair.
    pub fn controls_of(&self, pair: &PairReport) -> impl Iterator<Item = &ControlReport> {
        self.controls.iter().filter(|control| {
            (&control.tree, &control.arch, &control.variant, &control.arm)
                == (&pair.tree, &pair.arch, &pair.variant, &pair.arm)
        })
    }

    /// What a failure has to lead to on the patched arm.
    pub fn patched_outcome(&self, pair: &PairReport) -> Option<&Outcome> {
        self.subject.outcome(pair.expect_patched.as_ref()?)
    }

    /// What was measured on an arm of a pair.
    pub fn scenarios(&self, pair: &PairReport, arm: &str) -> &[ScenarioReport] {
        self.cell(pair, arm).map_or(&[], |cell| &cell.scenarios)
    }

    /// The tests that were measured on an arm of a pair.
    pub fn test_names(&self, pair: &PairReport) -> BTreeSet<&str> {
        let cells = self.cells.iter().filter(|cell| {
            (&cell.tree, &cell.arch, &cell.variant) == (&pair.tree, &pair.arch, &pair.variant)
        });
        cells.flat_map(|cell| &cell.scenarios).map(|ran| ran.name.as_str()).collect()
    }

    pub fn cell(&self, pair: &PairReport, arm: &str) -> Option<&CellReport> {
        self.cells.iter().find(|cell| {
            (&cell.tree, &cell.arch, &cell.variant) == (&pair.tree, &pair.arch, &pair.variant)
                && cell.arm == arm
        })
    }
}

/// Files that were edited which are named before the rest is only counted.
const EDITED_NAMED: usize = 10;

impl PatchReport {
    /// One line for each file whose patch was edited after it was made.
    pub fn edited(&self) -> Vec<String> {
        let edited: Vec<_> = self.files.iter().filter(|file| file.edited).collect();
        let named = edited.iter().take(EDITED_NAMED);
        let mut lines: Vec<String> = named.map(|file| format!("{}: {EDITED}", file.path)).collect();
        if let Some(more @ 1..) = edited.len().checked_sub(EDITED_NAMED) {
            lines.push(format!("and {more} files more that were edited"));
        }
        lines
    }

    /// By which blobs the files before and after are known to be the right ones.
    pub fn proof(&self) -> String {
        let count = |matches: fn(&FileReport) -> Option<bool>| {
            self.files.iter().filter(|file| matches(file) == Some(true)).count()
        };
        let mut proof = format!(
            "{} of {} pre-image blobs, {} of {} post-image blobs",
            count(|file| file.pre_matches),
            self.files.len(),
            count(|file| file.post_matches),
            self.files.len()
        );
        let others = self.files.iter().filter(|file| file.pre_matches == Some(false));
        let others: BTreeSet<&str> = others.map(|file| file.path.as_str()).collect();
        if !others.is_empty() {
            proof.push_str(&format!("; made on another version of {}", Vec::from_iter(others).join(", ")));
        }
        proof
    }
}

impl PairReport {
    /// `TREE ARCH VARIANT`.
    pub fn name(&self) -> String {
        format!("{} {} {}", self.tree, self.arch, self.variant)
    }

    /// It judges the patch under test, and no other version of it.
    pub fn is_main(&self) -> bool {
        self.arm == Arm::Patched.name()
    }

    /// The patch changes what a failure leads to.
    pub fn changed(&self) -> bool {
        self.expect_base != self.expect_patched
    }
}

impl CellReport {
    pub fn new(
        cell: &Cell,
        subject: &Subject,
        tree_version: &str,
        evidence: &Evidence,
        findings: Vec<String>,
        repetition: Option<Repetition>,
    ) -> CellReport {
        let built = evidence.built();
        let ran = evidence.ran();
        let demand =
            |name: &str| cell.scenarios.iter().find(|asked| asked.name == name).map(|asked| &asked.demand);
        let scenarios = ran.map(|ran| {
            ran.scenarios
                .iter()
                .filter_map(|ran| ScenarioReport::new(ran, demand(&ran.name)?, subject))
                .collect()
        });
        CellReport {
            id: cell.id(),
            tree: cell.tree.clone(),
            tree_version: tree_version.to_owned(),
            arch: cell.arch.name.to_owned(),
            variant: cell.variant.name.clone(),
            native: cell.variant.native(),
            arm: cell.arm.name().to_owned(),
            accel: ran.map(|ran| ran.accel.clone()),
            built: built.is_some(),
            build_secs: built.and(evidence.build_secs),
            build_start_secs: built.and(evidence.build_start_secs),
            boot_start_secs: ran.and(evidence.boot_start_secs),
            configure_secs: built.map(|built| built.configure_secs),
            link_secs: built.map(|built| built.link_secs),
            cold: built.is_some_and(|built| built.cold),
            cached: built.is_some_and(|built| built.cached),
            recorded: evidence.recorded.clone(),
            kernel_secs: ran.and_then(|ran| ran.kernel_secs),
            boot_secs: ran.and_then(|ran| ran.boot_secs),
            test_secs: ran.and_then(|ran| ran.test_secs),
            scenarios: scenarios.unwrap_or_default(),
            splats_total: ran.map_or(0, |ran| ran.splats_total),
            splats: ran.map(|ran| ran.splats.clone()).unwrap_or_default(),
            tainted: ran.and_then(|ran| Some(ran.trailer.as_ref()?.tainted)),
            lost_symbols: built.map(|built| built.lost_symbols.clone()).unwrap_or_default(),
            warnings: built.map(|built| built.warnings.clone()).unwrap_or_default(),
            findings,
            repetition,
            dir: format!("cells/{}", cell.id()),
            kept: Vec::new(),
        }
    }
}

impl ScenarioReport {
    fn new(ran: &ScenarioRan, demand: &Demand, subject: &Subject) -> Option<ScenarioReport> {
        let observe::Ending::Measured(measured) = &ran.outcome else { return None };
        Some(ScenarioReport {
            name: ran.name.clone(),
            demands: demand.describe(subject),
            exact: matches!(demand, Demand::Failures(_)),
            own_counts: matches!(demand, Demand::Counts(_)),
            demanded: measured.demanded,
            injected: measured.injected,
            injected_in: measured.injected_in.clone(),
            counts: measured.forced.clone(),
            levels: measured.levels.clone(),
            rises: measured.rises.clone(),
            splats: ran.splats,
            operations: measured.operations,
            timings: measured.timings.clone(),
            done: measured.done.clone(),
            set: measured.set.clone(),
            exclusive: ran.exclusive,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_in_which_every_pair_passed_exits_0() {
        let exit = |verdict| fixture::report(verdict, &[]).exit();
        assert_eq!(exit(Verdict::Pass), Exit::Ok);
        assert_eq!(exit(Verdict::Fail), Exit::PatchFailed);
        for verdict in [Verdict::BaseAlsoFails, Verdict::Vacuous, Verdict::Infra] {
            assert_eq!(exit(verdict), Exit::Inconclusive);
        }
        let mut report = fixture::report(Verdict::Pass, &[]);
        report.interrupted = true;
        assert_eq!(report.exit(), Exit::Interrupted);
        report.interrupted = false;
        report.pairs.clear();
        assert_eq!(report.exit(), Exit::Inconclusive);
    }
}
