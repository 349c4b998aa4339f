//! Which cells share a build directory (crate::source::build_dir), how many build directories and boots go on at the
//! same time, and how long a run takes then. Pure: cells and times in, a plan or a forecast out.

use std::collections::BTreeMap;

use crate::campaign::plan::{Arm, Cell};
use crate::subject::control::WantedSignal;

/// Cells that are built one after another, each from the objects of the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildDirPlan {
    /// A directory of this name holds it, beside the tree.
    pub name: String,
    pub tree: String,
    pub arch: &'static str,
    /// Indices of its cells.
    pub cells: Vec<usize>,
}

/// A build directory of fewer cells than this is not worth the copy that it begins with.
const WORTH_A_DIR: usize = 2;

/// Kernels built at the same time. A build from a neighbour's objects is mostly make and the linker, which use one core
/// for some seconds, and less where a compiler or a guest wants the other.
pub fn builders(jobs: usize) -> usize {
    (jobs / 2).max(jobs.min(2))
}

/// Guests at the same time while kernels are built: each has four CPUs, so that they do not starve the compiler. None with
/// one job, which is one thing at a time: so times are taken that nothing else is in.
pub fn booters(jobs: usize) -> usize {
    if jobs < 2 { 0 } else { (jobs / 4).max(1) }
}

/// A guest that runs fewer tests than this takes longer to boot than it saves.
const WORTH_A_GUEST: usize = 8;

/// Guests that share the `tests` of one of so many cells: as many as there are cores for each cell.
pub fn guests_each(jobs: usize, cells: usize, tests: usize) -> usize {
    (jobs / cells.max(1)).min(tests / WORTH_A_GUEST).max(1)
}

/// Jobs of one make while several run, in so many build directories; the first kernel of all is compiled alone. Two
/// at least, because a make often waits for the linker; but one where one was asked for.
pub fn jobs_each(jobs: usize, build_dirs: usize) -> usize {
    (jobs / builders(jobs).min(build_dirs).max(1)).max(jobs.min(2))
}

/// In which order kernels that wait are booted, by index of the cell: what has to show most first, because it takes longest
/// and no long boot may be left alone at the end, and the arms of a variant at the same time, so that neither has the machine
/// for itself.
pub fn boot_ranks(cells: &[Cell]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..cells.len()).collect();
    let demands = |index: &usize| {
        protocol::sum(cells[*index].scenarios.iter().map(|scenario| scenario.demand.number()))
    };
    // Stable: the plan has the arms of a variant beside each other.
    order.sort_by_key(|index| (std::cmp::Reverse(demands(index)), !cells[*index].arm.judged()));
    let mut ranks = vec![0; cells.len()];
    for (rank, index) in order.into_iter().enumerate() {
        ranks[index] = rank;
    }
    ranks
}

/// A build directory for the base of each variant of a tree, one for all that has the patch, one for each control
/// that does not compile, and more where there are builders for them. Whichever of one tree and architecture is built
/// in first, the others start as copies: of the build directory that has the same of the patch, if there is one,
/// because a header that it changes takes longer to compile again than another variant's configuration. So the bases
/// come first, and there are patched objects when they are over.
///
/// `tag` names what a cell's patch makes its build execute on the host, if anything: cells of different tags never share
/// objects, because such a build may leave anything there.
pub fn assign(cells: &[Cell], builders: usize, tag: &dyn Fn(&Cell) -> Option<String>) -> Vec<BuildDirPlan> {
    let mut build_dirs: Vec<BuildDirPlan> = Vec::new();
    for (index, cell) in cells.iter().enumerate() {
        let name = tag(cell).map_or_else(|| name_of(cell), |tag| format!("{}{TAG}{tag}", name_of(cell)));
        match build_dirs.iter_mut().find(|build_dir| build_dir.tree == cell.tree && build_dir.name == name) {
            Some(build_dir) => build_dir.cells.push(index),
            None => {
                let (tree, arch) = (cell.tree.clone(), cell.arch.name);
                build_dirs.push(BuildDirPlan { name, tree, arch, cells: vec![index] });
            }
        }
    }
    let kin = |build_dir: &BuildDirPlan| {
        cells.iter().position(|c| c.tree == build_dir.tree && c.arch.name == build_dir.arch)
    };
    let firsts: Vec<String> = build_dirs.iter().map(|build_dir| build_dir.name.clone()).take(2).collect();
    // Stable: variants keep their order.
    build_dirs.sort_by_key(|build_dir| {
        (kin(build_dir), !firsts.contains(&build_dir.name), !build_dir.name.ends_with(BASE))
    });
    // Those with bugs that a word on the command line chooses are one kernel: two builders would build it twice.
    let is_one_kernel = |cell: &Cell| matches!(cell.arm, Arm::Mutant(_) | Arm::NoMutant);
    while build_dirs.len() < builders && !cells.iter().all(is_one_kernel) && split_longest(&mut build_dirs) {}
    build_dirs
}

fn name_of(cell: &Cell) -> String {
    let name = format!("{}-{}", cell.arch.name, cell.variant.name);
    match &cell.arm {
        Arm::Base => format!("{name}{BASE}"),
        // What does not compile is a header, as a rule: whatever is built after it would compile all that includes it
        // again, and so would it after anything else.
        Arm::Control(control) if control.signal == WantedSignal::Build => {
            format!("{name}{PATCH}-{}", control.arm)
        }
        _ => format!("{name}{PATCH}"),
    }
}

const BASE: &str = ".base";
const PATCH: &str = ".patch";
const TAG: char = '~';

/// What the cells of the build directory execute on the host while they are built.
pub fn tag_of(name: &str) -> Option<&str> {
    // A number that tells build directories of one kind apart stands before it.
    name.split_once(TAG).map(|(_, tag)| tag)
}

/// A build directory of the name `one` may start from the objects of `other`.
pub fn may_copy(one: &str, other: &str) -> bool {
    tag_of(other).is_none_or(|tag| tag_of(one) == Some(tag))
}

/// How much work lies between the objects of two build directories: none of it is measured, only ordered.
pub fn distance(one: &str, other: &str) -> usize {
    let ((variant, part), (other_variant, other_part)) = (parts(one), parts(other));
    2 * usize::from(part != other_part) + usize::from(variant != other_variant)
}

/// What a build directory's name says: architecture and variant, and what of the patch. Behind that stands its
/// number, if it is one of several, or its control.
fn parts(name: &str) -> (&str, &str) {
    let found = [BASE, PATCH].into_iter().filter_map(|part| Some((name.rfind(part)?, part)));
    found.max().map_or((name, ""), |(at, part)| (&name[..at], part))
}

/// Gives the second half of the longest build directory to a new one; false where none is long enough.
fn split_longest(build_dirs: &mut Vec<BuildDirPlan>) -> bool {
    let longest = build_dirs.iter().map(|build_dir| build_dir.cells.len()).max().unwrap_or(0);
    let Some(at) = build_dirs.iter().position(|build_dir| build_dir.cells.len() == longest) else {
        return false;
    };
    if longest < 2 * WORTH_A_DIR {
        return false;
    }
    let cells = build_dirs[at].cells.split_off(longest / 2);
    let (tree, whole) = (build_dirs[at].tree.clone(), parts(&build_dirs[at].name));
    let pieces = 1 + build_dirs
        .iter()
        .filter(|build_dir| build_dir.tree == tree && parts(&build_dir.name) == whole)
        .count();
    let tag = tag_of(&build_dirs[at].name).map_or_else(String::new, |tag| format!("{TAG}{tag}"));
    let name = format!("{}{}-{pieces}{tag}", whole.0, whole.1);
    let new = BuildDirPlan { name, cells, ..build_dirs[at].clone() };
    build_dirs.insert(at + 1, new);
    true
}

/// What one cell took, as it was measured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Took {
    pub build_secs: f64,
    /// Compiled from nothing, on all cores.
    pub cold: bool,
    /// From QEMU's start to the guest's first word.
    pub boot_secs: f64,
    /// From there to its last, in as many guests as the cores allowed.
    pub test_secs: f64,
}

/// The part of a cold build that one core does while the others wait: configuring, kallsyms, the last link.
const SERIAL_PART: f64 = 0.05;

/// How long a run of `cells` takes on `cores`, of which each took so long on `measured_on` cores. Takes it that what
/// goes on at the same time is not in each other's way; a measured run on the same cores shows how far that holds.
pub fn forecast(cells: &[Cell], took: &[Took], cores: usize, measured_on: usize) -> f64 {
    let speedup = cores as f64 / measured_on.max(1) as f64;
    let build = |index: usize| {
        let Took { build_secs, cold, .. } = took.get(index).copied().unwrap_or_default();
        if cold { build_secs * (SERIAL_PART + (1.0 - SERIAL_PART) / speedup) } else { build_secs }
    };
    let build_dirs = assign(cells, builders(cores), &|_| None);
    let mut builders = vec![0.0; builders(cores)];
    let mut begun = BTreeMap::<(&str, &str), f64>::new();
    let mut built: Vec<(f64, usize)> = Vec::new();
    for build_dir in &build_dirs {
        let builder = soonest(&mut builders);
        let kin = (build_dir.tree.as_str(), build_dir.arch);
        let mut now = builder.max(begun.get(&kin).copied().unwrap_or(0.0));
        for &index in &build_dir.cells {
            now += build(index);
            begun.entry(kin).or_insert(now);
            built.push((now, index));
        }
        *builder = now;
    }
    let guests = |index: usize, cores| guests_each(cores, cells.len(), cells[index].scenarios.len()) as f64;
    let boot = |index: usize| {
        let Took { boot_secs, test_secs, .. } = took.get(index).copied().unwrap_or_default();
        boot_secs + test_secs * guests(index, measured_on) / guests(index, cores)
    };
    let ranks = boot_ranks(cells);
    // A builder that has nothing left to build boots as well.
    let mut booters = [vec![0.0; booters(cores)], builders.clone()].concat();
    while let Some(first) = built.iter().map(|(ready, _)| *ready).min_by(f64::total_cmp) {
        let booter = soonest(&mut booters);
        let now = booter.max(first);
        let waiting = (0..built.len()).filter(|at| built[*at].0 <= now);
        let Some(at) = waiting.min_by_key(|at| ranks[built[*at].1]) else { break };
        let (_, index) = built.swap_remove(at);
        *booter = now + boot(index);
    }
    builders.into_iter().chain(booters).fold(0.0, f64::max)
}

/// The one that is free first.
fn soonest(workers: &mut [f64]) -> &mut f64 {
    let at = (0..workers.len()).min_by(|a, b| workers[*a].total_cmp(&workers[*b])).unwrap_or(0);
    &mut workers[at]
}

#[cfg(test)]
mod tests;
