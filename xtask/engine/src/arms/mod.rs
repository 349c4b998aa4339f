//! What the source of each arm is: the files that differ from the tree as it was found, computed and proved
//! before anything is written. A control that has no place in a version of the patch has no source, and is no error.

pub mod about;
pub mod base_tree;
pub mod changed;
mod functions;
mod planting;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::arms::base_tree::{BaseTree, ours};
use crate::campaign::plan::{Arm, Beside, Cell};
use crate::campaign::project::Project;
use crate::campaign::{Campaign, Scenario, Tree, Variant};
use crate::source::files::Changes;
use crate::source::worktree::WorkTree;
use crate::subject::c_source::Config;
use crate::subject::control::{Control, Place};
use crate::subject::kconfig::KconfigRequest;
use failure::Result;
use patch::{Base, Content, Overlay, Proved, Series};
use planting::Planting;

/// What is tested on one tree.
#[derive(Debug)]
pub struct Tested {
    /// The patch under test, or what stands for it here.
    pub series: Series,
    /// Other versions of it, by name.
    pub versions: BTreeMap<String, Series>,
}

/// What the arms of one tree are made from.
pub struct ArmsRequest<'a> {
    pub project: &'a Project,
    pub tree: &'a Tree,
    pub tested: &'a Tested,
    /// Those that were selected, with every control that may be planted.
    pub cells: &'a [Cell],
    pub beside: &'a Beside,
    pub campaign: &'a Campaign,
    pub places: &'a BTreeMap<String, Place>,
    /// What each variant asks for, by its id.
    pub requests: &'a BTreeMap<String, Vec<KconfigRequest>>,
    /// Controls of each variant and version.
    pub most_controls: usize,
}

/// The sources of one tree's cells.
#[derive(Debug)]
pub struct Arms {
    /// The patch under test on this tree.
    pub proved: Proved,
    /// Its other versions, by name.
    pub versions: BTreeMap<String, Proved>,
    /// By cell id; or why a cell has no source.
    pub changes: BTreeMap<String, Result<Changes, String>>,
    /// Files that the patch under test changes, in any version.
    pub touched: BTreeSet<String>,
    /// What became of the controls of each variant and version.
    pub controls: BTreeMap<Under, Chosen>,
    /// What each control changes, as a patch, by cell id.
    pub planted: BTreeMap<String, String>,
}

/// The id of a variant, and the version of the patch; none: the patch under test.
pub type Under = (String, Option<String>);

/// Which controls show whether a pass means something.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Chosen {
    pub controls: Vec<Control>,
    /// Those that have no place in this version of the patch, and why.
    pub left_out: Vec<(Control, String)>,
}

impl ArmsRequest<'_> {
    /// In a sentence, that the one guest test that may show the bug is not run.
    fn scenario_of(&self, control: &Control, variant: &Variant) -> Result<(), String> {
        let Some(name) = control.signal.scenario() else { return Ok(()) };
        let is_run = |scenario: &Scenario| {
            scenario.name == name && scenario.not_applicable(variant, &self.campaign.subject).is_none()
        };
        match self.campaign.scenarios.iter().any(is_run) {
            true => Ok(()),
            false => Err(format!("the guest test {name}, which has to show it, is not run")),
        }
    }
}

impl Base for WorkTree {
    fn file(&self, path: &str) -> Result<Option<Content>> {
        self.pristine(path)
    }
}

impl Arms {
    /// Stacks, for every cell, on the base_tree: patch under test, helpers, helpers of the patched arms, control. Of each
    /// variant's controls the first that have a place are taken.
    ///
    /// # Errors
    /// When a version of the patch is refused, or a helper of ours does not fit the tree.
    pub fn resolve(asked: &ArmsRequest<'_>, base_tree: BaseTree<'_>) -> Result<Arms> {
        let BaseTree { base: prepared, proved, .. } = base_tree;
        let mut versions = BTreeMap::new();
        for (name, series) in &asked.tested.versions {
            versions.insert(name.clone(), patch::prove(series, &prepared)?);
        }
        let all = std::iter::once(&proved).chain(versions.values());
        let touched = all.flat_map(|proved| &proved.files).map(|file| file.path.clone()).collect();
        let (changes, controls, planted) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut arms = Arms { proved, versions, changes, touched, controls, planted };
        let mut seen = BTreeSet::new();
        for cell in asked.cells.iter().filter(|cell| cell.tree == asked.tree.name) {
            if !matches!(cell.arm, Arm::Control(_)) {
                arms.add(asked, &prepared, cell)?;
            }
            if seen.insert(cell.variant.id()) {
                let names = asked.beside.versions_on(&cell.tree).iter().map(|name| Some(name.as_str()));
                for version in std::iter::once(None).chain(names) {
                    arms.choose(asked, &prepared, cell, version)?;
                }
            }
        }
        Ok(arms)
    }

    /// The source of a cell that holds no control.
    fn add(&mut self, asked: &ArmsRequest<'_>, prepared: &Overlay<'_>, cell: &Cell) -> Result<()> {
        let mut overlay = Overlay::new(prepared);
        let made = match &cell.arm {
            Arm::Base => Ok(()),
            Arm::Patched | Arm::Coverage | Arm::CoverageRest | Arm::Version(_) | Arm::Control(_) => {
                let version = if let Arm::Version(name) = &cell.arm { Some(name.as_str()) } else { None };
                overlay.add(self.proved_as(version));
                Ok(())
            }
            // Its bug is known once the lines are counted: see `plant`.
            Arm::Mutant(_) | Arm::NoMutant => Ok(()),
            Arm::WithoutHunk(left_out) => add_without(&mut overlay, prepared, &self.proved, left_out.number),
        };
        add_helpers(asked, &mut overlay, prepared, &cell.variant, cell.arm != Arm::Base)?;
        let mut all = prepared.changed.clone();
        all.extend(overlay.changed);
        self.changes.insert(cell.id(), made.map(|()| all));
        Ok(())
    }

    /// Adds the source of `cell`: that of the patched arm in `patched`, with other contents of some files.
    pub fn plant(&mut self, cell: &Cell, patched: &Cell, files: &BTreeMap<String, Vec<u8>>) {
        let Some(Ok(changes)) = self.changes.get(&patched.id()) else { return };
        let mut changes = changes.clone();
        for (path, bytes) in files {
            let executable = changes.get(path).and_then(Option::as_ref).is_some_and(|known| known.executable);
            changes.insert(path.clone(), Some(Content { bytes: bytes.clone(), executable }));
        }
        self.changes.insert(cell.id(), Ok(changes));
    }

    fn proved_as(&self, version: Option<&str>) -> &Proved {
        version.and_then(|name| self.versions.get(name)).unwrap_or(&self.proved)
    }

    /// Plants the controls of one variant in one version of the patch, those first that were selected.
    fn choose(
        &mut self,
        asked: &ArmsRequest<'_>,
        prepared: &Overlay<'_>,
        of: &Cell,
        version: Option<&str>,
    ) -> Result<()> {
        let mut overlay = Overlay::new(prepared);
        overlay.add(self.proved_as(version));
        add_helpers(asked, &mut overlay, prepared, &of.variant, true)?;
        let config = asked.requests.get(&of.variant.id()).map(|requests| Config::new(requests));
        let mut planting = Planting::new(asked.places, &overlay, prepared, config.unwrap_or_default());
        let cell_of = |control: &Control| Cell { arm: Arm::Control(control.clone()), ..of.clone() };
        let is_selected = |control: &Control| {
            let id = cell_of(control).id();
            asked.cells.iter().any(|cell| cell.id() == id)
        };
        let mut controls: Vec<Control> = asked.beside.controls(&of.variant, version).collect();
        controls.sort_by_key(|control| !is_selected(control));
        let mut chosen = Chosen::default();
        for control in controls {
            if chosen.controls.len() == asked.most_controls {
                break;
            }
            let planted = match asked.scenario_of(&control, &of.variant) {
                Ok(()) => planting.plant(&control, &self.proved_as(version).files)?,
                Err(why) => Err(why),
            };
            match planted {
                Ok(planted) => {
                    let id = cell_of(&control).id();
                    let mut all = prepared.changed.clone();
                    all.extend(overlay.changed.clone());
                    all.extend(planted.files);
                    self.planted.insert(id.clone(), planted.patch);
                    self.changes.insert(id, Ok(all));
                    chosen.controls.push(control);
                }
                Err(why) => chosen.left_out.push((control, why)),
            }
        }
        self.controls.insert((of.variant.id(), version.map(str::to_owned)), chosen);
        Ok(())
    }
}

fn add_helpers(
    asked: &ArmsRequest<'_>,
    overlay: &mut Overlay<'_>,
    prepared: &dyn Base,
    variant: &Variant,
    has_patch: bool,
) -> Result<()> {
    for name in &variant.helpers {
        ours(overlay, &asked.project.tree_patch(asked.tree.patches(), name))?;
    }
    for name in variant.patched_helpers.iter().filter(|_| has_patch) {
        if name == planting::CALL_ADDED_STUBS {
            planting::call_added_stubs(overlay, prepared)?;
        } else {
            ours(overlay, &asked.project.tree_patch(asked.tree.patches(), name))?;
        }
    }
    Ok(())
}

/// What is left of the patch without one hunk. Hunks of a series may build on each other: then there is no rest.
fn add_without(
    overlay: &mut Overlay<'_>,
    prepared: &dyn Base,
    proved: &Proved,
    hunk: usize,
) -> Result<(), String> {
    let sound = patch::read(&proved.sound, "the sound patch");
    let rest = sound.and_then(|sound| patch::prove(&patch::without_hunk(&sound, hunk), prepared));
    overlay.add(&rest.map_err(|failure| format!("the rest of the patch does not apply: {}", failure.what))?);
    Ok(())
}
