//! What each kernel is asked to do, by what was counted: which workloads count on, which of them judged kernels run, and which are
//! run once more with failures below the changed functions. Builds, boots and judges nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::Workload;

use super::hunks_left::HunksLeft;
use super::planned::Planned;
use super::setting::Setting;
use crate::campaign::plan::{Arm, Cell};
use crate::campaign::{Scenario, scenario};
use crate::judge::Reach;
use crate::judge::reach::HunkReach;
use crate::observe::{ChangedHunk, Ending, Evidence};

/// Workloads that judged kernels run at most, beside the boot and what the user brings.
const WORKLOADS_MAX: usize = 5;

/// What those of them may take together, in seconds of the guest, that execute nothing that others do not.
const AS_WELL_SECS: f64 = 40.0;

/// Workloads for each hunk that changes what nothing counts, as a table of pointers.
const BESIDE_UNCOUNTED_MAX: usize = 3;

/// Of these, those that are run again with failures, the shortest first, as long as rounds without any failure take no longer than
/// so many seconds of the guest; functions in which one has them; what each gets beside the time that it takes without; and what
/// it gets at most.
const SWEEPS_MAX: usize = 2;
const SWEEP_ROUNDS_SECS: f64 = 40.0;
const SWEPT_FUNCTIONS_MAX: usize = 6;
const SWEEP_SECS: f64 = 25.0;
const SWEEP_SECS_MAX: f64 = 75.0;
/// One looks where anything can fail, and the next makes it fail; what bears its first failure has its second in one more.
const ROUNDS: f64 = 2.0;

impl Setting<'_> {
    /// A test of the kernel's own.
    fn is_test(&self, name: &str) -> bool {
        let scenario = self.planned.scenarios.iter().find(|scenario| scenario.name == name);
        let work = scenario.and_then(Scenario::work);
        matches!(work, Some(Workload::Kunit(_) | Workload::Selftest(_)))
    }

    fn is_run_anyway(&self, name: &str) -> bool {
        self.planned.scenarios.iter().any(|scenario| scenario.name == name && scenario.is_always_run())
    }

    /// What may show a change that only the boot executes.
    fn readers(&self, reach: &Reach) -> Vec<String> {
        let scenarios = &self.planned.scenarios;
        let is_boot = |scenario: &&Scenario| scenario.work() == Some(&Workload::Boot);
        let is_shown = scenarios.iter().find(is_boot).is_some_and(|boot| reach.is_for_the_boot(&boot.name));
        let readers = scenarios.iter().filter(|scenario| is_shown && scenario.reads && !scenario.far);
        readers.map(|scenario| scenario.name.clone()).collect()
    }

    /// Leaves to the cells that count the rest what may execute the hunks that are left over, by what was counted: workloads
    /// that execute the function of such a hunk, with failures below it; where none does, those that there was no time for and all
    /// that are about other files. Without any there is no such cell. Gives the hunks that are left over.
    pub fn keep_what_may_reach(&mut self, counted: &[(usize, Evidence)]) -> HunksLeft {
        let Planned { sources, cells, unreached_allowed, .. } = &mut self.planned;
        let of_trees: BTreeMap<&String, (Reach, bool)> = sources
            .changed
            .iter()
            .map(|(tree, hunks)| {
                let counted = of_tree(cells, tree, counted);
                (tree, (Reach::of(hunks, &counted), !lost(&counted).is_empty()))
            })
            .collect();
        let mut all_left = HunksLeft::default();
        for (tree, hunks) in &sources.changed {
            let left =
                of_trees.get(tree).into_iter().flat_map(|(reach, _)| reach.not_executed(unreached_allowed));
            left.filter_map(|(index, _)| hunks.get(index)).for_each(|hunk| all_left.add(tree, hunk));
        }
        let known: Vec<Cell> = cells.iter().filter(|cell| cell.arm == Arm::Coverage).cloned().collect();
        cells.retain_mut(|cell| {
            if cell.arm != Arm::CoverageRest {
                return true;
            }
            let (Some((reach, has_lost)), Some(hunks)) =
                (of_trees.get(&cell.tree), sources.changed.get(&cell.tree))
            else {
                return false;
            };
            let left: Vec<(usize, &HunkReach)> = reach.not_executed(unreached_allowed).collect();
            // What a kernel did not survive is seen on the judged ones first.
            if left.is_empty() || *has_lost {
                return false;
            }
            let first = known.iter().find(|first| first.pair_id() == cell.pair_id());
            let scenarios = first.map(|first| &first.scenarios[..]).unwrap_or_default();
            let untried = scenarios.iter().filter(|scenario| reach.untried.contains(&scenario.name)).cloned();
            let others: Vec<Scenario> = untried.chain(std::mem::take(&mut cell.scenarios)).collect();
            let sweeps = sweeps_around(scenarios, &left, hunks, counted);
            let is_all_swept = !sweeps.is_empty() && left.iter().all(|(_, hunk)| !hunk.around.is_empty());
            cell.scenarios = sweeps.into_iter().chain(others.into_iter().filter(|_| !is_all_swept)).collect();
            !cell.scenarios.is_empty()
        });
        all_left
    }

    /// Leaves to the judged cells what reaches the patch, by what was counted, by index of the cell; and has it done once more
    /// with failures below the functions that it reaches, for about `sweep_time`.
    pub fn keep_what_reaches(&mut self, counted: &[(usize, Evidence)], sweep_time: Duration) {
        for (tree, hunks) in &self.planned.sources.changed {
            let cells = &self.planned.cells;
            let reach = Reach::of(hunks, &of_tree(cells, tree, counted));
            // A test says what should come out; the others are told apart by what they execute alone.
            let tests: Vec<String> =
                reach.reached_by().into_iter().filter(|name| self.is_test(name)).collect();
            let taken = tests.len();
            let mut wanted = reach.telling(WORKLOADS_MAX, tests);
            let more = WORKLOADS_MAX.saturating_sub(wanted.len() - taken);
            let mut others = reach.reached_by();
            others.retain(|name| !wanted.contains(name) && !self.is_run_anyway(name));
            wanted.extend(shortest(others, counted).into_iter().take(more));
            wanted.extend(reach.beside_uncounted(BESIDE_UNCOUNTED_MAX));
            wanted.extend(self.readers(&reach));
            // Nobody knows what they reached.
            wanted.extend(lost(&of_tree(cells, tree, counted)));
            // What reached a hunk only with failures.
            let counting = cells.iter().filter(|cell| cell.tree == *tree && cell.arm == Arm::CoverageRest);
            let mut known: Vec<Scenario> = Vec::new();
            for scenario in counting.flat_map(|cell| &cell.scenarios).filter(|scenario| scenario.is_sweep()) {
                if wanted.contains(&scenario.name) && known.iter().all(|one| one.name != scenario.name) {
                    known.push(scenario.clone());
                }
            }
            let judged = |cell: &&mut Cell| cell.tree == *tree && !cell.arm.counts();
            for cell in self.planned.cells.iter_mut().filter(judged) {
                let mut sweeps = sweeps(&cell.scenarios, &wanted, &reach, hunks, counted);
                sweeps.retain(|sweep| known.iter().all(|known| known.name != sweep.name));
                let sweeps = in_time([known.clone(), sweeps].concat(), known.len().max(1), sweep_time);
                cell.scenarios.retain(|scenario| scenario.is_always_run() || wanted.contains(&scenario.name));
                scenario::add_before_the_last_look(&mut cell.scenarios, sweeps);
            }
        }
    }
}

/// What was counted on `tree`, of what was counted by index of the cell.
fn of_tree<'e>(cells: &[Cell], tree: &str, counted: &'e [(usize, Evidence)]) -> Vec<&'e Evidence> {
    let of_it = counted.iter().filter(|(index, _)| cells[*index].tree == tree);
    of_it.map(|(_, evidence)| evidence).collect()
}

/// Workloads that a kernel which counts began and did not end, because it did not survive them.
fn lost(counted: &[&Evidence]) -> Vec<String> {
    let begun = counted.iter().filter_map(|evidence| evidence.ran()).flat_map(|ran| &ran.scenarios);
    let lost = begun.filter(|ran| matches!(ran.outcome, Ending::Unfinished));
    lost.map(|ran| ran.name.clone()).collect()
}

/// The scenario `name` of `scenarios`, if it is an exerciser of ours: others are not run with failures.
fn exerciser<'s>(scenarios: &'s [Scenario], name: &str) -> Option<&'s Scenario> {
    scenarios.iter().find(|scenario| scenario.name == name && scenario.work() == Some(&Workload::Ours))
}

/// Once more the workloads that execute the functions of hunks that they do not execute, with failures below these: for each hunk
/// first the workload that is the most about the changed file, then the one that executes the function most often. Another caller
/// gets into other failures.
fn sweeps_around(
    scenarios: &[Scenario],
    left: &[(usize, &HunkReach)],
    hunks: &[ChangedHunk],
    counted: &[(usize, Evidence)],
) -> Vec<Scenario> {
    let of_hunks: Vec<Vec<&Scenario>> =
        left.iter().map(|(_, hunk)| exercisers_around(scenarios, hunk)).collect();
    let mut chosen: Vec<(&Scenario, Vec<Vec<String>>)> = Vec::new();
    for nth in 0..SWEEPS_MAX {
        for ((index, _), exercisers) in left.iter().zip(&of_hunks) {
            let Some(scenario) = exercisers.get(nth) else { continue };
            let functions = hunks.get(*index).map(|hunk| hunk.functions.clone()).unwrap_or_default();
            match chosen.iter_mut().find(|(known, _)| known.name == scenario.name) {
                Some((_, under)) => add_new(under, functions),
                None => chosen.push((scenario, functions)),
            }
        }
    }
    let some = chosen.into_iter().filter(|(_, under)| !under.is_empty()).take(SWEEPS_MAX);
    some.map(|(scenario, under)| swept(scenario, under, counted)).collect()
}

/// The exercisers that execute the function of a hunk: of those that are the most about its file the one that does most often, then
/// the others, which come by how often.
fn exercisers_around<'s>(scenarios: &'s [Scenario], hunk: &HunkReach) -> Vec<&'s Scenario> {
    let mut found: Vec<&Scenario> =
        hunk.around.iter().filter_map(|name| exerciser(scenarios, name)).collect();
    let file = BTreeSet::from([hunk.path.as_str()]);
    // Of several with the same key the first is taken.
    let first = (0..found.len()).min_by_key(|index| Reverse(found[*index].nearness(&file)));
    if let Some(first) = first {
        found[..=first].rotate_right(1);
    }
    found
}

/// The workloads that reach a changed function, those first that tell most, each with failures below what it reaches.
fn sweeps<'s>(
    scenarios: &'s [Scenario],
    wanted: &[String],
    reach: &Reach,
    hunks: &[ChangedHunk],
    counted: &[(usize, Evidence)],
) -> Vec<Scenario> {
    let sweep = |scenario: &'s Scenario| {
        let mut under: Vec<Vec<String>> = Vec::new();
        for (reached, hunk) in reach.hunks.iter().zip(hunks) {
            if reached.is_reached_by(&scenario.name) {
                add_new(&mut under, hunk.functions.clone());
            }
        }
        under.truncate(SWEPT_FUNCTIONS_MAX);
        (!under.is_empty()).then_some((scenario, under))
    };
    let mut programs: Vec<&Scenario> = wanted.iter().filter_map(|name| exerciser(scenarios, name)).collect();
    programs.sort_by(|one, other| secs_of(&one.name, counted).total_cmp(&secs_of(&other.name, counted)));
    let (mut chosen, mut secs) = (Vec::new(), 0.0);
    for (scenario, under) in programs.into_iter().filter_map(sweep) {
        secs += rounds_secs(scenario, &under, counted);
        if chosen.len() == SWEEPS_MAX || (secs > SWEEP_ROUNDS_SECS && !chosen.is_empty()) {
            break;
        }
        chosen.push(swept(scenario, under, counted));
    }
    chosen
}

/// The first of `sweeps`: so many `anyway`, others as long as there is time for them.
fn in_time(mut sweeps: Vec<Scenario>, anyway: usize, time: Duration) -> Vec<Scenario> {
    sweeps.truncate(SWEEPS_MAX.max(anyway));
    let secs = |sweeps: &[Scenario]| sweeps.iter().map(Scenario::sweep_secs).sum::<u64>();
    while sweeps.len() > anyway && secs(&sweeps) > time.as_secs() {
        sweeps.pop();
    }
    sweeps
}

fn add_new(under: &mut Vec<Vec<String>>, functions: Vec<Vec<String>>) {
    for names in functions {
        if !under.contains(&names) {
            under.push(names);
        }
    }
}

/// Of workloads that reach the patch as well as others the shortest, as long as there is time.
fn shortest(names: BTreeSet<String>, counted: &[(usize, Evidence)]) -> Vec<String> {
    let mut names = Vec::from_iter(names);
    names.sort_by(|one, other| secs_of(one, counted).total_cmp(&secs_of(other, counted)));
    let mut secs = 0.0;
    let is_in_time = |name: &String| {
        secs += secs_of(name, counted);
        secs <= AS_WELL_SECS
    };
    names.into_iter().take_while(is_in_time).collect()
}

/// What a workload took on a kernel that counts, seconds.
fn secs_of(name: &str, counted: &[(usize, Evidence)]) -> f64 {
    let ran = counted.iter().filter_map(|(_, evidence)| evidence.ran()).flat_map(|ran| &ran.scenarios);
    ran.filter(|ran| ran.name == name).map(|ran| ran.secs).fold(0.0, f64::max)
}

/// A round below each function takes as long as the workload itself, and failures make it longer.
#[expect(clippy::cast_precision_loss, reason = "a few functions")]
fn rounds_secs(scenario: &Scenario, under: &[Vec<String>], counted: &[(usize, Evidence)]) -> f64 {
    secs_of(&scenario.name, counted) * under.len() as f64
}

fn swept(scenario: &Scenario, mut under: Vec<Vec<String>>, counted: &[(usize, Evidence)]) -> Scenario {
    under.truncate(SWEPT_FUNCTIONS_MAX);
    let secs = (SWEEP_SECS + ROUNDS * rounds_secs(scenario, &under, counted)).min(SWEEP_SECS_MAX);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 25 and 75")]
    scenario.sweep_of(under, secs as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::reach::ReachState;

    fn about(name: &str, paths: &[&str]) -> Scenario {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        Scenario { paths, ..Scenario::workload(name.to_owned(), Workload::Ours) }
    }

    #[test]
    fn failures_are_forced_in_as_many_workloads_as_there_is_time_for_and_in_one_anyway() {
        let sweeps: Vec<Scenario> = [50, 60, 10]
            .iter()
            .map(|secs| about(&secs.to_string(), &[]).sweep_of(Vec::new(), *secs))
            .collect();
        let left = |anyway, secs| in_time(sweeps.clone(), anyway, Duration::from_secs(secs)).len();
        assert_eq!([left(1, 110), left(1, 109), left(1, 0)], [2, 1, 1]);
        assert_eq!([left(2, 0), left(3, 0)], [2, 3]);
    }

    #[test]
    fn workload_most_about_the_file_comes_first_and_of_several_the_one_that_executes_it_most() {
        let scenarios = [
            about("queues", &["net/sched/", "net/core/"]),
            about("classes", &["net/sched/"]),
            about("sockets", &["net/"]),
        ];
        let hunk = HunkReach {
            number: 1,
            path: "net/sched/sch_qfq.c".to_owned(),
            place: String::new(),
            lines: Vec::new(),
            uncounted: Vec::new(),
            state: ReachState::NotExecuted,
            around: ["sockets", "classes", "queues"].map(str::to_owned).into(),
            failures: 0,
        };
        let names: Vec<&str> =
            exercisers_around(&scenarios, &hunk).iter().map(|found| found.name.as_str()).collect();
        assert_eq!(names, ["classes", "sockets", "queues"]);
    }
}
