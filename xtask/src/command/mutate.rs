//! Plants bugs in the lines of the patch that were seen to be executed: cells beside the patched one, of one kernel.

use std::collections::{BTreeMap, BTreeSet};

use super::setting::Setting;
use crate::campaign::Scenario;
use crate::campaign::plan::{Arm, Cell, Mutant};
use crate::derive::mutants::{self, PARAMETER};
use crate::judge::{Reach, ReachState};
use crate::observe::{ChangedHunk, Evidence, Side};
use crate::run::ReadyTree;
use failure::Result;
use protocol::Workload;

/// Bugs of one variant: each costs a boot and what reaches the patch.
const MUTANTS_MAX: usize = 6;

/// Workloads that a kernel with a bug runs.
const WORKLOADS_MAX: usize = 4;

impl Setting<'_> {
    /// Adds a cell for each bug in the patched arms with the indices `pairs`, by what was counted, by index of the cell. Each variant
    /// has its own, in the lines that it executed.
    ///
    /// # Errors
    /// When a changed file cannot be parsed for want of memory.
    pub fn mutate(
        &mut self,
        trees: &mut BTreeMap<String, ReadyTree>,
        counted: &[(usize, Evidence)],
        pairs: &[usize],
    ) -> Result<()> {
        let patched: Vec<Cell> = pairs.iter().map(|index| self.planned.cells[*index].clone()).collect();
        for cell in patched {
            let Some(tree) = trees.get_mut(&cell.tree) else { continue };
            let Some(hunks) = self.planned.sources.changed.get(&cell.tree) else { continue };
            let of_cell: Vec<&Evidence> = counted
                .iter()
                .filter(|(index, _)| self.planned.cells[*index].pair_id() == cell.pair_id())
                .map(|(_, evidence)| evidence)
                .collect();
            let executed = executed(&Reach::of(hunks, &of_cell), hunks);
            let Some(Ok(changes)) = tree.arms.changes.get(&cell.id()) else { continue };
            let bytes = |path: &str| changes.get(path)?.as_ref().map(|content| content.bytes.clone());
            let paths: BTreeSet<&String> = executed.iter().map(|(path, _)| path).collect();
            let files = paths.into_iter().filter_map(|path| Some((path.clone(), bytes(path)?))).collect();
            let is_executed = |path: &str, line: u32| executed.contains(&(path.to_owned(), line));
            let planted = mutants::plant(&files, &is_executed, MUTANTS_MAX)?;
            if planted.mutants.is_empty() {
                continue;
            }
            let numbered = |mutant: Mutant| (mutant.number, Arm::Mutant(mutant));
            for (number, arm) in
                [(0, Arm::NoMutant)].into_iter().chain(planted.mutants.into_iter().map(numbered))
            {
                let mut variant = cell.variant.clone();
                variant.arguments.push(format!("{PARAMETER}={number}"));
                let scenarios = of_a_mutant(&cell.scenarios);
                let own = Cell { variant, scenarios, arm, ..cell.clone() };
                tree.arms.plant(&own, &cell, &planted.files);
                self.planned.cells.push(own);
            }
        }
        Ok(())
    }
}

/// Changed lines that were executed, and those that stand for code that was taken away.
fn executed(reach: &Reach, hunks: &[ChangedHunk]) -> BTreeSet<(String, u32)> {
    let is_executed = |state: &ReachState| matches!(state, ReachState::Executed { .. });
    let mut found = BTreeSet::new();
    for (reached, hunk) in reach.hunks.iter().zip(hunks) {
        let added =
            reached.lines.iter().filter(|line| line.line.side == Side::Added && is_executed(&line.state));
        // A statement of several lines begins before the changed one.
        found.extend(added.filter_map(|line| Some((hunk.path.clone(), line.line.statement?.0))));
        if is_executed(&reached.state) {
            found.extend(hunk.beside.iter().map(|beside| (hunk.path.clone(), beside.line)));
        }
    }
    found
}

/// What was seen to reach the patch, and what looks for what is left behind: without forced failures, which take their time.
fn of_a_mutant(scenarios: &[Scenario]) -> Vec<Scenario> {
    let is_look = |scenario: &Scenario| {
        matches!(scenario.work(), Some(Workload::Boot | Workload::Mark | Workload::Leftovers))
    };
    let is_sweep = |scenario: &Scenario| matches!(scenario.work(), Some(Workload::Sweep(_)));
    let mut left = WORKLOADS_MAX;
    let mut take = |scenario: &&Scenario| {
        if is_look(scenario) {
            return true;
        }
        let taken = left > 0 && !is_sweep(scenario);
        left -= usize::from(taken);
        taken
    };
    scenarios.iter().filter(|scenario| take(scenario)).cloned().collect()
}
