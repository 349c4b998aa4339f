//! Plants bugs in the lines of the patch that were seen to be executed: cells beside the patched one, of one kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::setting::Setting;
use crate::campaign::Scenario;
use crate::campaign::plan::{Arm, Cell, Mutant};
use crate::derive::mutants::{self, PARAMETER};
use crate::judge::{Reach, ReachState, reach};
use crate::observe::{ChangedHunk, Evidence, Side};
use crate::run::ReadyTree;
use failure::Result;
use protocol::Workload;

/// Bugs of one variant: each costs a boot and what reaches the patch.
const MUTANTS_MAX: usize = 8;

/// About what a boot of one takes with its workloads, under emulation.
const BOOT_SECS: u64 = 40;
/// Guests that go on side by side, with two cores.
const BOOTS_AT_ONCE: usize = 2;

/// Workloads that a kernel with a bug runs, of those that execute its line.
const WORKLOADS_MAX: usize = 3;

/// Workloads that executed a line, by `FILE:LINE`, those first that did most often.
type ExecutedLines = BTreeMap<String, Vec<String>>;

impl Setting<'_> {
    /// Adds a cell for each bug in the patched arms with the indices `pairs`, by what was counted, by index of the cell. Each variant
    /// has its own, in the lines that it executed, as many as there is time for in what is `left`.
    ///
    /// # Errors
    /// When a changed file cannot be parsed for want of memory.
    pub fn mutate(
        &mut self,
        trees: &mut BTreeMap<String, ReadyTree>,
        counted: &[(usize, Evidence)],
        pairs: &[usize],
        left: Duration,
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
            let Some(Ok(changes)) = tree.arms.changes.get(&cell.id()) else { continue };
            let bytes = |path: &str| changes.get(path)?.as_ref().map(|content| content.bytes.clone());
            let boots = usize::try_from(left.as_secs() / BOOT_SECS).unwrap_or(MUTANTS_MAX) * BOOTS_AT_ONCE;
            // One boot is of the kernel without any of them.
            let most = boots.saturating_sub(1).min(MUTANTS_MAX);
            let plant = |executed: &ExecutedLines| {
                let paths: BTreeSet<&str> =
                    executed.keys().filter_map(|place| Some(place.rsplit_once(':')?.0)).collect();
                let files =
                    paths.into_iter().filter_map(|path| Some((path.to_owned(), bytes(path)?))).collect();
                let is_executed = |path: &str, line: u32| executed.contains_key(&place_of(path, line));
                mutants::plant(&files, &is_executed, most)
            };
            let mut executed = executed(&Reach::of(hunks, &of_cell), hunks);
            let mut planted = plant(&executed)?;
            // The compiler makes one of a changed line and of the lines next to it: what stands there has no place of its own.
            if planted.mutants.is_empty() && most > 0 {
                executed.extend(executed_in(hunks, &of_cell));
                planted = plant(&executed)?;
            }
            if !planted.unplanted.is_empty() {
                self.planned.unplanted.insert(cell.pair_id(), planted.unplanted);
            }
            if planted.mutants.is_empty() {
                continue;
            }
            let asked = |mutant: &Mutant| telling(&cell.scenarios, executed.get(&mutant.place));
            // The kernel with no bug is asked for all that the others are: it says what comes without any.
            let all = planted.mutants.iter().flat_map(asked).collect();
            let blank = (0, Arm::NoMutant, all);
            let bugs = planted
                .mutants
                .iter()
                .map(|mutant| (mutant.number, Arm::Mutant(mutant.clone()), asked(mutant)));
            for (number, arm, names) in [blank].into_iter().chain(bugs) {
                let mut variant = cell.variant.clone();
                variant.arguments.push(format!("{PARAMETER}={number}"));
                let scenarios = asked_for(&cell.scenarios, &names);
                let own = Cell { variant, scenarios, arm, ..cell.clone() };
                tree.arms.plant(&own, &cell, &planted.files);
                self.planned.cells.push(own);
            }
        }
        Ok(())
    }
}

fn place_of(path: &str, line: u32) -> String {
    format!("{path}:{line}")
}

/// Changed lines that were executed, and those that stand for code that was taken away.
fn executed(reach: &Reach, hunks: &[ChangedHunk]) -> ExecutedLines {
    let mut found = ExecutedLines::new();
    for (reached, hunk) in reach.hunks.iter().zip(hunks) {
        for line in reached.lines.iter().filter(|line| line.line.side == Side::Added) {
            // A statement of several lines begins before the changed one.
            if let (ReachState::Executed { by, .. }, Some((first, _))) = (&line.state, line.line.statement) {
                found.insert(place_of(&hunk.path, first), by.clone());
            }
        }
        if let ReachState::Executed { by, .. } = &reached.state {
            for beside in &hunk.beside {
                found.entry(place_of(&hunk.path, beside.line)).or_insert_with(|| by.clone());
            }
        }
    }
    found
}

/// Executed lines of the hunks, changed or not.
fn executed_in(hunks: &[ChangedHunk], counted: &[&Evidence]) -> ExecutedLines {
    let of_hunk = |hunk: &ChangedHunk| {
        let statements = reach::executed_statements(hunk, counted).into_iter();
        statements.map(|(line, by)| (place_of(&hunk.path, line), by)).collect::<Vec<_>>()
    };
    hunks.iter().flat_map(of_hunk).collect()
}

/// Of the workloads that executed a line those that a kernel with a bug in it runs. Forced failures take their time: they are run
/// only where the line is executed in no other way.
fn telling(scenarios: &[Scenario], by: Option<&Vec<String>>) -> BTreeSet<String> {
    let known = || by.into_iter().flatten().filter_map(|name| scenarios.iter().find(|one| one.name == *name));
    // What the boot alone does is seen by who reads what it has set up.
    if known().next().is_some() && known().all(|one| one.work() == Some(&Workload::Boot)) {
        return scenarios.iter().filter(|one| one.reads).map(|one| one.name.clone()).collect();
    }
    let (sweeps, plain): (Vec<&Scenario>, Vec<&Scenario>) = known().partition(|one| one.is_sweep());
    let chosen = if plain.is_empty() { sweeps } else { plain };
    chosen.into_iter().take(WORKLOADS_MAX).map(|scenario| scenario.name.clone()).collect()
}

/// The workloads `names`, and what looks for what is left behind.
fn asked_for(scenarios: &[Scenario], names: &BTreeSet<String>) -> Vec<Scenario> {
    let is_look = |scenario: &Scenario| {
        matches!(scenario.work(), Some(Workload::Boot | Workload::Mark | Workload::Leftovers))
    };
    let wanted = scenarios.iter().filter(|scenario| is_look(scenario) || names.contains(&scenario.name));
    wanted.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forced_failures_are_run_where_nothing_else_executes_the_line_of_a_bug() {
        let plain = Scenario::found("files".to_owned(), Workload::Ours);
        let sweep = plain.sweep_of(vec![vec!["f".to_owned()]], 25);
        let boot = Scenario::found("boot".to_owned(), Workload::Boot);
        let reader = Scenario { reads: true, ..Scenario::found("walk".to_owned(), Workload::Ours) };
        let scenarios = [plain, sweep, boot, reader];
        let by = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let told = |names: &[&str]| telling(&scenarios, by(names).as_ref());
        assert_eq!(told(&["files-failing", "files"]), BTreeSet::from(["files".to_owned()]));
        assert_eq!(told(&["files-failing"]), BTreeSet::from(["files-failing".to_owned()]));
        assert_eq!(told(&["boot"]), BTreeSet::from(["walk".to_owned()]));
        assert!(telling(&scenarios, None).is_empty());
    }
}
