//! What a run left for those that come after it: what was planned and found out before its first build (`plan.json`), the
//! evidence of each cell (`evidence.json`), and how the run went (`run.json`). Verdicts rest on these three and on nothing
//! else, so that they can be given again. Writes and reads them, and judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::part::PlannedPart;
use crate::arms::{Chosen, Under};
use crate::campaign::Scenario;
use crate::campaign::plan::{Arm, Beside, Cell, UnplantedKind};
use crate::host::json_file::JsonFile;
use crate::judge::{self, Asked, JudgedArm, Reach, Verdict};
use crate::observe::{ChangedHunk, Evidence, GuestEnd};
use crate::report::{AccelReport, PatchReport, TreeReport};
use crate::run::EVIDENCE;
use crate::subject::Subject;
use failure::{Exit, Failure, Result};

const REMEDY: &str = "run the matrix again: cargo xtask matrix";

const PLAN: JsonFile =
    JsonFile { what: "the plan of a run", schema: 2, most_bytes: 64 << 20, remedy: REMEDY };
const RUN: JsonFile =
    JsonFile { what: "the record of a run", schema: 1, most_bytes: 1 << 20, remedy: REMEDY };

/// What verdicts rest on beside the evidence, as it is known before the first build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Planned {
    pub campaign: String,
    pub subject: Subject,
    /// Those of the campaign that this run takes.
    pub scenarios: Vec<Scenario>,
    pub beside: Beside,
    /// Controls that are taken of each variant and version; none: all.
    pub most_controls: Option<usize>,
    /// The guest tests that were asked for, where these are not the usual ones.
    pub suite: Option<String>,
    /// UTC, RFC 3339.
    pub started: String,
    /// What confines builds and guests, and whether nothing does.
    pub sandbox: String,
    pub unconfined: bool,
    /// The patch, for a run that ended before it was held against a tree.
    pub unproved: PatchReport,
    pub sources: Sources,
    /// Hunks that need not be executed: the user says so.
    #[serde(default)]
    pub unreached_allowed: Vec<usize>,
    /// Kinds of bugs that there was no time to plant, by pair.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unplanted: BTreeMap<String, Vec<UnplantedKind>>,
    /// In the end those of the controls that have a place in the source.
    pub cells: Vec<Cell>,
    /// Of a run that is one part of a divided plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<PlannedPart>,
}

/// What was found out about the sources before the first build.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sources {
    pub trees: Vec<TreeReport>,
    pub fetch_secs: f64,
    /// What became of the controls, by tree, variant and version.
    #[serde(with = "pairs")]
    pub controls: BTreeMap<(String, Under), Chosen>,
    /// Trees on which the patch changes nothing of what the campaign is about, with a sentence about that.
    pub beside_the_point: BTreeMap<String, String>,
    /// The changed lines, by tree, where these are counted.
    #[serde(default)]
    pub changed: BTreeMap<String, Vec<ChangedHunk>>,
}

/// How the run went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Course {
    pub interrupted: bool,
    pub accels: Vec<AccelReport>,
    pub guests_secs: f64,
    pub wall_secs: f64,
    /// Exit code of the failure that ended it before all of its cells were tried.
    pub ended: Option<u8>,
}

/// Of a run that did not come to its end.
impl Default for Course {
    fn default() -> Course {
        Course { interrupted: true, accels: Vec::new(), guests_secs: 0.0, wall_secs: 0.0, ended: None }
    }
}

/// JSON has no keys but strings.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub fn deserialize<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<K, V>, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

impl Course {
    pub fn write(&self, dir: &Path) -> Result<()> {
        RUN.write(&dir.join("run.json"), self)
    }

    /// # Errors
    /// When the file is not what a run writes. One that is not there is of a run that did not come to its end.
    pub fn read(dir: &Path) -> Result<Course> {
        let path = dir.join("run.json");
        if !path.exists() {
            return Ok(Course::default());
        }
        let course: Course = RUN.read(&path)?;
        match course.ended {
            Some(code) if Exit::of(code).is_none_or(|exit| exit == Exit::Ok) => {
                Err(Failure::usage(format!("{}: no failure ends with {code}", path.display())).next(REMEDY))
            }
            _ => Ok(course),
        }
    }
}

impl Planned {
    pub fn write(&self, dir: &Path) -> Result<()> {
        PLAN.write(&dir.join("plan.json"), self)
    }

    /// # Errors
    /// When the file is not what a run writes, or a cell's id leads out of the run's directory.
    pub fn read(dir: &Path) -> Result<Planned> {
        let path = dir.join("plan.json");
        let planned: Planned = PLAN.read(&path)?;
        for id in planned.cells.iter().map(Cell::id) {
            let inside = |part: Component<'_>| matches!(part, Component::Normal(_));
            if id.is_empty() || !Path::new(&id).components().all(inside) {
                return Err(Failure::usage(format!("{}: `{id}` is no name for a cell", path.display())));
            }
        }
        Ok(planned)
    }

    /// What was measured, by index of the cell. A cell without a file did not run.
    ///
    /// # Errors
    /// When a file is not what a run writes.
    pub fn evidence(&self, dir: &Path) -> Result<Vec<Evidence>> {
        let read = |cell: &Cell| {
            let path = dir.join("cells").join(cell.id()).join("evidence.json");
            if path.exists() { EVIDENCE.read(&path) } else { Ok(Evidence::default()) }
        };
        self.cells.iter().map(read).collect()
    }

    /// Controls that are taken of each variant and version.
    pub fn most_controls(&self) -> usize {
        self.most_controls.unwrap_or(usize::MAX)
    }

    /// What `cell` has to show.
    pub fn asked<'c>(&'c self, cell: &'c Cell) -> Asked<'c> {
        Asked {
            subject: &self.subject,
            expect: cell.variant.expect.as_ref(),
            scenarios: &cell.scenarios,
            cpus: cell.cpus(),
            changes_tests: self
                .sources
                .changed
                .get(&cell.tree)
                .is_some_and(|hunks| hunks.iter().any(ChangedHunk::is_in_a_test)),
        }
    }

    /// The files whose lines are counted.
    pub fn counted_files(&self) -> BTreeSet<String> {
        self.sources.changed.values().flatten().map(|hunk| hunk.path.clone()).collect()
    }

    /// What was reached of the patch on `tree`, by `evidence`, by index of the cell; None where nothing counts lines.
    pub fn reach(&self, tree: &str, evidence: &[Evidence]) -> Option<Reach> {
        let hunks = self.sources.changed.get(tree)?;
        let of = |is_meant: &dyn Fn(&Arm) -> bool| -> Vec<&Evidence> {
            let cells = self.cells.iter().zip(evidence);
            cells
                .filter(|(cell, _)| cell.tree == tree && is_meant(&cell.arm))
                .map(|(_, evidence)| evidence)
                .collect()
        };
        let reach = Reach::of(hunks, &of(&Arm::counts));
        Some(reach.with_failures(hunks, &of(&|arm| *arm == Arm::Patched)))
    }

    /// What stands between a cell and a pass; for a control, what became of it.
    pub fn findings(&self, cell: &Cell, evidence: &Evidence) -> Vec<String> {
        let asked = self.asked(cell);
        // Of one that was ended before its end, what it does not have says nothing.
        let is_whole = !has_shown_enough(evidence);
        let of_arm = |arm| {
            let found = judge::examine(&asked, arm, evidence).into_iter();
            found.filter(move |finding| is_whole || finding.splat.is_some()).map(|finding| finding.text)
        };
        match &cell.arm {
            Arm::Base => of_arm(JudgedArm::Base).collect(),
            Arm::Patched | Arm::Coverage | Arm::CoverageRest | Arm::Version(_) => {
                of_arm(JudgedArm::Patched).collect()
            }
            Arm::Control(control) => vec![judge::catch(&asked, control, evidence).by],
            Arm::WithoutHunk(_) => vec![judge::noticed(&asked, evidence).by],
            Arm::Mutant(_) | Arm::NoMutant => of_arm(JudgedArm::Patched).take(1).collect(),
        }
    }

    /// The base and the patched cell of each pair, by index, whose kernels were booted.
    fn booted_pairs(&self, evidence: &[Evidence]) -> Vec<(usize, usize)> {
        let base_of = |cell: &Cell| {
            let is_it = |other: &Cell| other.pair_id() == cell.pair_id() && other.arm == Arm::Base;
            self.cells.iter().position(is_it)
        };
        let patched = self.cells.iter().enumerate().filter(|(_, cell)| cell.arm == Arm::Patched);
        let pairs = patched.filter_map(|(patched, cell)| Some((base_of(cell)?, patched)));
        let is_booted =
            |pair: &(usize, usize)| [pair.0, pair.1].iter().all(|index| evidence[*index].ran().is_some());
        pairs.filter(is_booted).collect()
    }

    /// The base and the patched cell of each pair that would fail, or mend something, by what may be chance; by index.
    pub fn may_change_by_chance(&self, evidence: &[Evidence]) -> Vec<usize> {
        let may_be_chance = |(base, patched): &(usize, usize)| {
            judge::may_be_chance(&self.asked(&self.cells[*patched]), &evidence[*base], &evidence[*patched])
        };
        let pairs = self.booted_pairs(evidence).into_iter().filter(may_be_chance);
        pairs.flat_map(|(base, patched)| [base, patched]).collect()
    }

    /// The patched cell of each pair, by index, that would pass if the bugs that are planted beside it were seen.
    pub fn would_pass(&self, evidence: &[Evidence]) -> Vec<usize> {
        let would_pass = |(base, patched): &(usize, usize)| {
            let cell = &self.cells[*patched];
            let reach = self.reach(&cell.tree, evidence);
            let shown = judge::Detectors {
                reach: reach.as_ref(),
                unreached_allowed: &self.unreached_allowed,
                ..judge::Detectors::default()
            };
            let (base, patched) = (&evidence[*base], &evidence[*patched]);
            let codes = base.built().zip(patched.built());
            // Nothing can pass where there is nothing to tell apart.
            if codes.is_some_and(|(base, patched)| base.code.is_same(&patched.code) == Some(true)) {
                return false;
            }
            let judged = judge::judge(&self.asked(cell), base, patched, &shown);
            matches!(judged.verdict, Verdict::Pass | Verdict::WeakPass)
        };
        let pairs = self.booted_pairs(evidence).into_iter().filter(would_pass);
        pairs.map(|(_, patched)| patched).collect()
    }

    /// Of a cell that was booted more than once.
    pub fn repetition(&self, cell: &Cell, evidence: &Evidence) -> Option<judge::Repetition> {
        let arm = match &cell.arm {
            Arm::Base => JudgedArm::Base,
            Arm::Patched | Arm::Version(_) => JudgedArm::Patched,
            Arm::Coverage
            | Arm::CoverageRest
            | Arm::Control(_)
            | Arm::WithoutHunk(_)
            | Arm::Mutant(_)
            | Arm::NoMutant => return None,
        };
        (!evidence.repeats.is_empty()).then(|| judge::count(&self.asked(cell), arm, evidence))
    }

    /// For the live display: whether the cell is as it should be, and a line about it.
    pub fn look(&self, cell: &Cell, evidence: &Evidence) -> (bool, String) {
        let findings = self.findings(cell, evidence);
        let good = match &cell.arm {
            Arm::Base | Arm::Patched | Arm::Coverage | Arm::CoverageRest | Arm::Version(_) => {
                findings.is_empty()
            }
            Arm::Control(control) => judge::catch(&self.asked(cell), control, evidence).caught,
            Arm::WithoutHunk(_) => judge::noticed(&self.asked(cell), evidence).caught,
            // What it is worth is seen beside the patched arm only.
            Arm::Mutant(_) | Arm::NoMutant => true,
        };
        let mut words = Vec::from_iter(how_built(evidence));
        if let Some(date) = &evidence.recorded {
            words.push(format!("recorded on {date}"));
        } else if let Some((boot, test, guests)) =
            evidence.ran().and_then(|ran| Some((ran.boot_secs?, ran.test_secs?, ran.guests)))
        {
            let by = if guests > 1 { format!(" in {guests} guests") } else { String::new() };
            words.push(format!("booted in {boot:.1} s, tests {test:.1} s{by}"));
        }
        if has_shown_enough(evidence) {
            let when =
                if cell.arm.counts() { "all was executed that was left over" } else { "something spoke" };
            words.push(format!("ended when {when}"));
        }
        words.extend(findings.into_iter().take(2));
        (good, words.join("; "))
    }

    /// As [`Planned::look`], of a cell that is built and not booted.
    pub fn look_at_build(&self, cell: &Cell, evidence: &Evidence) -> (bool, String) {
        let wrong = self.wrong_with_build(cell, evidence);
        let good = wrong.is_empty();
        (
            good,
            how_built(evidence).into_iter().chain(wrong.into_iter().take(2)).collect::<Vec<_>>().join("; "),
        )
    }

    /// What is wrong with the build of a cell. A planted bug that the compiler has to see is none.
    pub fn wrong_with_build(&self, cell: &Cell, evidence: &Evidence) -> Vec<String> {
        let is_caught = match &cell.arm {
            Arm::Base
            | Arm::Patched
            | Arm::Coverage
            | Arm::CoverageRest
            | Arm::Version(_)
            | Arm::Mutant(_)
            | Arm::NoMutant => false,
            Arm::Control(control) => judge::catch(&self.asked(cell), control, evidence).caught,
            Arm::WithoutHunk(_) => judge::noticed(&self.asked(cell), evidence).caught,
        };
        let found = if is_caught { Vec::new() } else { judge::examine_build(evidence) };
        found.into_iter().map(|finding| finding.text).collect()
    }
}

/// It was ended before it came to its end, because nobody needs more of it.
fn has_shown_enough(evidence: &Evidence) -> bool {
    evidence.ran().is_some_and(|ran| ran.end == GuestEnd::Enough)
}

/// Where its kernel is from.
fn how_built(evidence: &Evidence) -> Option<String> {
    match (evidence.built(), evidence.build_secs) {
        (Some(built), _) if built.cached => Some("kernel from the cache".to_owned()),
        (Some(_), Some(secs)) => Some(format!("built in {secs:.0} s")),
        _ => None,
    }
}
