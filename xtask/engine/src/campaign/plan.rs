//! Which cells there are and in what order they are built. Pure: a campaign and its controls in, a plan out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use crate::campaign::{Campaign, Scenario, Suite, Variant};
use crate::host::arch::{self, Arch};
use crate::subject::control::Control;
use failure::{Failure, Result};
use patch::HunkPlace;

/// Per variant: enough to show in every run that its detectors see.
pub const CONTROLS_OF_A_NORMAL_RUN: usize = 2;

/// One kernel to build and boot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cell {
    pub tree: String,
    pub variant: Variant,
    pub arch: &'static Arch,
    pub arm: Arm,
    /// What its guest is asked to do.
    pub scenarios: Vec<Scenario>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    Base,
    Patched,
    /// The patched source, built so that it counts how often each changed line is executed. Never judged: what counts is
    /// another code.
    Coverage,
    /// The same kernel with the workloads that are about other parts of it, where the first ones do not execute each hunk.
    CoverageRest,
    /// Another version of the patch, or the first patches of a series.
    Version(String),
    Control(Control),
    /// The patch under test but for one hunk.
    WithoutHunk(LeftOut),
    /// The patched source with a bug that was derived from its changed lines.
    Mutant(Mutant),
    /// The same kernel, with none of its bugs: what it shows is chance.
    NoMutant,
}

/// A bug in a changed line that was executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mutant {
    /// From 1; the kernel has all of them, and is told this number.
    pub number: usize,
    /// `mutant-N`.
    pub name: String,
    pub kind: MutantKind,
    /// `FILE:LINE`.
    pub place: String,
    /// The statement as it is without the bug.
    pub was: String,
}

/// A kind of bug that has a place in the patch's own lines, and was not planted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnplantedKind {
    pub kind: MutantKind,
    /// The first place, FILE:LINE.
    pub place: String,
    /// What is there, on one line.
    pub was: String,
}

/// What is done to a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MutantKind {
    /// The condition of an `if` is negated.
    Negated,
    /// A call that ends what another began is left out.
    Unreleased,
    /// 0 is returned for all else, and 1 for 0.
    Inverted,
    /// An error is returned whatever it was.
    Refused,
    /// Any other statement is left out.
    Dropped,
    /// A call that waits for something is left out.
    Unwaited,
    /// An object is given up before the statement that uses it.
    Swapped,
    /// Memory is allocated in a way that may sleep, where a lock is held.
    Sleeps,
}

impl MutantKind {
    pub fn name(self) -> &'static str {
        match self {
            MutantKind::Negated => "a negated condition",
            MutantKind::Unreleased => "a missing release",
            MutantKind::Inverted => "an inverted return value",
            MutantKind::Refused => "an error returned instead",
            MutantKind::Dropped => "a missing statement",
            MutantKind::Unwaited => "a missing wait",
            MutantKind::Swapped => "two statements in the wrong order",
            MutantKind::Sleeps => "an allocation that may sleep under a lock",
        }
    }

    /// Two ways to return what is wrong are one kind: tests that look at what is returned show one of them.
    pub fn class(self) -> MutantKind {
        match self {
            MutantKind::Refused => MutantKind::Inverted,
            other => other,
        }
    }
}

/// A hunk that is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// `without-hunk-N`.
    pub name: String,
    /// From 1, over all files of the series.
    pub number: usize,
    pub place: HunkPlace,
}

impl Arm {
    pub fn name(&self) -> &str {
        match self {
            Arm::Base => "base",
            Arm::Patched => "patched",
            Arm::Coverage => "coverage",
            Arm::CoverageRest => "coverage-rest",
            Arm::Version(name) => name,
            Arm::Control(control) => &control.arm,
            Arm::WithoutHunk(left_out) => &left_out.name,
            Arm::Mutant(mutant) => &mutant.name,
            Arm::NoMutant => "mutant-none",
        }
    }

    /// Judged in a pair; every other arm only says something about the harness or the patch.
    pub fn judged(&self) -> bool {
        match self {
            Arm::Base | Arm::Patched | Arm::Version(_) => true,
            Arm::Coverage
            | Arm::CoverageRest
            | Arm::Control(_)
            | Arm::WithoutHunk(_)
            | Arm::Mutant(_)
            | Arm::NoMutant => false,
        }
    }

    /// Its kernel counts which lines are executed.
    pub fn counts(&self) -> bool {
        matches!(self, Arm::Coverage | Arm::CoverageRest)
    }
}

/// What is tried beside the base and the patched arm.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Beside {
    /// Versions of the patch, by the tree that they are made for.
    pub versions: BTreeMap<String, Vec<String>>,
    pub controls: Vec<Control>,
    /// Hunks to leave out in turn, each in an arm of its own.
    pub leave_out: Vec<HunkPlace>,
}

impl Beside {
    /// The versions tried on `tree`.
    pub fn versions_on(&self, tree: &str) -> &[String] {
        self.versions.get(tree).map_or(&[], Vec::as_slice)
    }

    /// The controls of `variant`, planted in `version`, or in the patch itself.
    pub fn controls<'a>(
        &'a self,
        variant: &'a Variant,
        version: Option<&'a str>,
    ) -> impl Iterator<Item = Control> + 'a {
        let named = |name: &String| self.controls.iter().find(|control| control.name == *name);
        variant.controls.iter().filter_map(named).map(move |control| control.on(version))
    }
}

impl Cell {
    /// `TREE/ARCH/VARIANT/ARM`: stable, and the path of its directory below the run.
    pub fn id(&self) -> String {
        format!("{}/{}", self.pair_id(), self.arm.name())
    }

    /// `TREE/ARCH/VARIANT`.
    pub fn pair_id(&self) -> String {
        format!("{}/{}/{}", self.tree, self.arch.name, self.variant.name)
    }

    /// Of its guest.
    pub fn cpus(&self) -> u32 {
        self.variant.cpus.unwrap_or(self.arch.cpus)
    }

    /// Of its guest, in MiB.
    pub fn memory_mib(&self) -> u32 {
        self.variant.memory_mib.unwrap_or(self.arch.memory_mib)
    }
}

/// The cells of `campaign` in build order, with what is tried beside.
///
/// Whatever changes from a cell to the next is compiled again, with everything that includes it. So the base is at one
/// end of a variant and the controls at the other, next to the patched arm from which they differ by their planted lines
/// only.
///
/// # Errors
/// When a variant names an architecture that is not known.
pub fn cells(campaign: &Campaign, beside: &Beside) -> Result<Vec<Cell>> {
    let mut cells = Vec::new();
    for tree in &campaign.trees {
        let planned = |variant: &&Variant| variant.is_on(tree) && variant.is_planned();
        for variant in campaign.variants.iter().filter(planned) {
            let arch = arch::find(&variant.arch)?;
            let with_patch = with_patch(beside, tree, variant);
            let hunks = left_out(&beside.leave_out).map(Arm::WithoutHunk);
            // First, because what is reached decides what the others are asked to do.
            let counting: &[Arm] = if campaign.coverage { &[Arm::Coverage, Arm::CoverageRest] } else { &[] };
            let arms = counting.iter().cloned().chain([Arm::Base]).chain(hunks).chain(with_patch);
            cells.extend(arms.map(|arm| Cell {
                tree: tree.clone(),
                variant: variant.clone(),
                arch,
                scenarios: scenarios(campaign, variant, &arm),
                arm,
            }));
        }
    }
    Ok(cells)
}

/// The patch, then its other versions, each followed by the controls that are planted in it.
fn with_patch(beside: &Beside, tree: &str, variant: &Variant) -> Vec<Arm> {
    let planted = |version| beside.controls(variant, version).map(Arm::Control).collect::<Vec<_>>();
    let mut arms = vec![Arm::Patched];
    arms.extend(planted(None));
    for version in beside.versions_on(tree) {
        arms.push(Arm::Version(version.clone()));
        arms.extend(planted(Some(version)));
    }
    arms
}

/// Leaves of each variant and version the first `most` controls.
pub fn first_controls(mut cells: Vec<Cell>, most: usize) -> Vec<Cell> {
    let mut kept = BTreeMap::<(String, Option<String>), usize>::new();
    cells.retain(|cell| {
        let Arm::Control(control) = &cell.arm else { return true };
        let count = kept.entry((cell.pair_id(), control.on.clone())).or_default();
        *count += 1;
        *count <= most
    });
    cells
}

/// Enough to tell which scenario shows a bug that shows in one of them alone.
const A_LITTLE: u64 = 4;

/// The scenarios of one cell: those that apply to its variant. Only what is judged is worth the long ones. A control
/// that must be exposed in one scenario, and in no other, needs a little of all that are not mixtures of others; any
/// other control has nothing to show that the first of them does not.
fn scenarios(campaign: &Campaign, variant: &Variant, arm: &Arm) -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = campaign
        .scenarios
        .iter()
        .filter(|s| s.not_applicable(variant, &campaign.subject).is_none())
        .cloned()
        .collect();
    if !arm.judged() && !arm.counts() {
        scenarios.retain(|scenario| matches!(scenario.suite, Suite::Quick | Suite::Normal));
    }
    if arm.counts() {
        let is_rest = *arm == Arm::CoverageRest;
        scenarios.retain(|scenario| !scenario.is_for_judged() && scenario.far == is_rest);
    }
    if let Arm::Control(control) = arm {
        match control.signal.scenario() {
            None => scenarios.truncate(1),
            Some(_) => {
                scenarios.retain(|scenario| scenario.controls);
                scenarios.iter_mut().for_each(|scenario| scenario.demand = scenario.demand.at_most(A_LITTLE));
            }
        }
    }
    scenarios
}

fn left_out(places: &[HunkPlace]) -> impl Iterator<Item = LeftOut> {
    places.iter().enumerate().map(|(index, place)| LeftOut {
        name: format!("without-hunk-{}", index + 1),
        number: index + 1,
        place: place.clone(),
    })
}

/// The cells whose id matches one of `globs`; all of them if there are none.
///
/// # Errors
/// When a glob matches no cell: with the cells there are.
pub fn select(cells: Vec<Cell>, globs: &[String]) -> Result<Vec<Cell>> {
    // In which `*` and `?` also match `/`.
    let patterns: Vec<WildMatch> = globs.iter().map(|glob| WildMatch::new(glob)).collect();
    let ids: Vec<String> = cells.iter().map(Cell::id).collect();
    for (glob, pattern) in globs.iter().zip(&patterns) {
        if !ids.iter().any(|id| pattern.matches(id)) {
            let mut failure = Failure::usage(format!("no cell matches `{glob}`"));
            for id in &ids {
                failure = failure.next(format!("there is {id}"));
            }
            return Err(failure);
        }
    }
    let wanted = |id: &String| patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(id));
    Ok(cells.into_iter().zip(&ids).filter(|(_, id)| wanted(id)).map(|(cell, _)| cell).collect())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::campaign::{BaseWish, Expect};
    use crate::subject::Subject;

    fn campaign() -> Campaign {
        let variant = |name: &str, controls: &[&str]| Variant {
            name: name.to_owned(),
            arch: "x86_64".to_owned(),
            about: String::new(),
            trees: Vec::new(),
            without: BTreeMap::new(),
            cpus: None,
            memory_mib: None,
            userland: false,
            cpus_in_turn: false,
            symbols: BTreeMap::new(),
            derived: BTreeMap::new(),
            counted: Vec::new(),
            stands_in_for: None,
            elsewhere: false,
            fragments: Vec::new(),
            helpers: Vec::new(),
            patched_helpers: Vec::new(),
            arguments: Vec::new(),
            expect: Some(Expect { base: "shout".to_owned(), patched: "wait".to_owned() }),
            controls: controls.iter().map(ToString::to_string).collect(),
        };
        Campaign {
            name: "c".to_owned(),
            patch: Some(PathBuf::new()),
            coverage: false,
            base: BaseWish::AsIs,
            versions: BTreeMap::new(),
            backports: BTreeMap::new(),
            trees: vec!["7.2".to_owned()],
            subject: Subject::default(),
            scenarios: Vec::new(),
            variants: vec![variant("on", &[]), variant("off", &["c1"]), variant("none", &[])],
        }
    }

    fn control(name: &str) -> Control {
        let text = "plants: a bug\nsignal: splat might-sleep\nbug: {at: wait, remove: true}\n";
        Control::parse(name, Path::new("c.yaml"), text).unwrap()
    }

    fn planned(globs: &[&str]) -> Result<Vec<String>> {
        let beside = Beside { controls: vec![control("c1")], ..Beside::default() };
        let globs: Vec<String> = globs.iter().map(ToString::to_string).collect();
        let cells = select(cells(&campaign(), &beside)?, &globs)?;
        Ok(cells.iter().map(Cell::id).collect())
    }

    #[test]
    fn each_version_stands_on_the_trees_it_is_made_for_and_is_followed_by_its_own_controls() {
        let mut campaign = campaign();
        campaign.trees.push("6.12".to_owned());
        campaign.variants.truncate(1);
        campaign.variants[0].controls = ["c1", "c2", "c3"].map(str::to_owned).into();
        let beside = Beside {
            versions: BTreeMap::from([("7.2".to_owned(), vec!["v1".to_owned()])]),
            controls: ["c1", "c2", "c3"].map(control).into(),
            leave_out: Vec::new(),
        };
        let ids = |tree: &str| -> Vec<String> {
            let cells = first_controls(cells(&campaign, &beside).unwrap(), 2);
            cells.iter().filter(|cell| cell.tree == tree).map(|cell| cell.arm.name().to_owned()).collect()
        };
        assert_eq!(ids("7.2"), ["base", "patched", "c1", "c2", "v1", "c1-v1", "c2-v1"]);
        assert_eq!(ids("6.12"), ["base", "patched", "c1", "c2"]);
    }

    #[test]
    fn a_variant_is_built_from_the_trees_it_names() {
        let mut campaign = campaign();
        campaign.trees.push("6.12".to_owned());
        campaign.variants[0].trees = vec!["6.12".to_owned()];
        let cells = cells(&campaign, &Beside::default()).unwrap();
        assert!(cells.iter().filter(|cell| cell.variant.name == "on").all(|cell| cell.tree == "6.12"));
    }

    #[test]
    fn controls_follow_the_patched_arm_and_the_base_is_at_the_other_end() {
        assert_eq!(
            planned(&[]).unwrap(),
            [
                "7.2/x86_64/on/base",
                "7.2/x86_64/on/patched",
                "7.2/x86_64/off/base",
                "7.2/x86_64/off/patched",
                "7.2/x86_64/off/c1",
                "7.2/x86_64/none/base",
                "7.2/x86_64/none/patched",
            ]
        );
    }

    #[test]
    fn globs_select_cells_and_one_that_selects_none_lists_them() {
        assert_eq!(planned(&["*/on/*", "*/none/base"]).unwrap().len(), 3);
        let failure = planned(&["*/on/*", "*/onn/*"]).unwrap_err();
        assert_eq!(failure.what, "no cell matches `*/onn/*`");
        assert!(failure.next.contains(&"there is 7.2/x86_64/on/base".to_owned()));
    }
}
