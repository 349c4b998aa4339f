//! What the source of each arm is: the files that differ from the tree as it was found, computed and proved
//! before anything is written.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::Tree;
use crate::failure::Result;
use crate::ground::{Ground, ours};
use crate::patch::{self, Base, Overlay, Proved, Series};
use crate::plan::{Arm, Cell};
use crate::project::Project;
use crate::source::files::Changes;
use crate::source::worktree::WorkTree;

/// What is tested on one tree.
#[derive(Debug)]
pub struct Tested {
    /// The patch under test, or what stands for it here.
    pub series: Series,
    /// Other versions of it, by name.
    pub versions: BTreeMap<String, Series>,
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
}

impl Base for WorkTree {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        self.pristine(path)
    }
}

impl Arms {
    /// Stacks, for every cell, on the ground: patch under test, helpers, helpers of the patched arms, control.
    ///
    /// # Errors
    /// When a version of the patch is refused, or a patch of ours does not fit the tree.
    pub fn resolve(
        project: &Project,
        tree: &Tree,
        ground: Ground<'_>,
        tested: &Tested,
        cells: &[Cell],
    ) -> Result<Arms> {
        let Ground { base: prepared, proved, .. } = ground;
        let mut versions = BTreeMap::new();
        for (name, series) in &tested.versions {
            versions.insert(name.clone(), patch::prove(series, &prepared)?);
        }
        let all = std::iter::once(&proved).chain(versions.values());
        let touched = all.flat_map(|proved| &proved.files).map(|file| file.path.clone()).collect();
        let mut changes = BTreeMap::new();
        for cell in cells.iter().filter(|cell| cell.tree == tree.name) {
            let mut overlay = Overlay::new(&prepared);
            let made = match &cell.arm {
                Arm::Base => Ok(()),
                Arm::Patched | Arm::Version(_) | Arm::Control(_) => {
                    let version = match &cell.arm {
                        Arm::Version(name) => Some(name),
                        Arm::Control(control) => control.on.as_ref(),
                        _ => None,
                    };
                    overlay.add(version.and_then(|name| versions.get(name)).unwrap_or(&proved));
                    Ok(())
                }
                Arm::WithoutHunk(left_out) => add_without(&mut overlay, &prepared, &proved, left_out.number),
            };
            let patched_helpers = if cell.arm == Arm::Base { &[] } else { &cell.variant.patched_helpers[..] };
            for name in cell.variant.helpers.iter().chain(patched_helpers) {
                ours(&mut overlay, &project.tree_patch(tree.patches(), name))?;
            }
            if let Arm::Control(control) = &cell.arm {
                ours(&mut overlay, &project.control_patch(&control.name))?;
            }
            let mut all = prepared.changed.clone();
            all.extend(overlay.changed);
            changes.insert(cell.id(), made.map(|()| all));
        }
        Ok(Arms { proved, versions, changes, touched })
    }
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
