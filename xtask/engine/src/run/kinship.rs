//! Which build directories of a run, and of those that earlier runs left, are a start for which others: of one tree and
//! architecture, and configured so that most objects are the same. Reads build directories and builds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::Run;
use super::pool::{self, DirKey, Pool};
use crate::build::stale;
use crate::host::arch::Arch;
use crate::run::build_dirs::BuildDirPlan;
use crate::source::build_dir;
use crate::subject::kconfig;

/// Of the objects, so many may be compiled again at most: with more, a build is one from nothing.
const STALE_MOST: f64 = 0.5;

/// Without objects that could be looked at, lines by which two configurations of one kind differ at most. Variants of a
/// campaign differ by a few, and a minimal kernel from one for every subsystem by hundreds.
const LINES_MOST: usize = 60;

/// A build directory before the run.
struct DirBefore {
    home: PathBuf,
    /// Where its source is.
    tree: PathBuf,
    arch: &'static Arch,
    /// It has objects to build from.
    usable: bool,
    /// What these were configured from, as lines of a fragment; empty: nobody knows.
    made_from: BTreeSet<String>,
    /// What the run configures it from; None: it does not build there.
    asked: Option<BTreeSet<String>>,
}

impl DirBefore {
    /// What its objects are of when another directory could start from them.
    fn lines(&self) -> &BTreeSet<String> {
        self.asked.as_ref().unwrap_or(&self.made_from)
    }

    /// Most objects that are there, here or in `other`, are the same under both configurations.
    fn is_near(&self, one: &BTreeSet<String>, other: &DirBefore) -> bool {
        let lines = other.lines();
        if one.is_empty() || lines.is_empty() {
            return true;
        }
        let changed = stale::changed(one, lines);
        let Some(there) = [other, self].into_iter().find(|dir| dir.usable) else {
            return changed.len() <= LINES_MOST;
        };
        let objects = build_dir::objects_in(&there.home);
        stale::share(&objects, &there.tree, there.arch.kernel_arch, &changed) <= STALE_MOST
    }
}

impl Run<'_> {
    /// The build directories of this run, and those that others left, with whether there is something to build from.
    pub(super) fn pool(&self, build_dirs: Vec<BuildDirPlan>) -> Pool {
        let mut dirs = BTreeMap::new();
        for build_dir in &build_dirs {
            self.know(build_dir, &mut dirs);
        }
        let mut far = BTreeSet::new();
        for (key, dir) in dirs.iter().filter(|(_, dir)| dir.asked.is_some()) {
            let others =
                dirs.iter().filter(|(other, _)| *other != key && (&other.0, other.1) == (&key.0, key.1));
            let far_ones = others.filter(|(_, other)| !dir.is_near(dir.lines(), other));
            far.extend(far_ones.map(|(other, _)| (key.clone(), other.clone())));
        }
        let is_start = |dir: &DirBefore| dir.usable && dir.is_near(&dir.made_from, dir);
        let known: Vec<(DirKey, bool)> = dirs.iter().map(|(key, dir)| (key.clone(), is_start(dir))).collect();
        Pool::new(known, build_dirs, far)
    }

    /// Adds a build directory of this run, and all that are there for its tree and architecture.
    fn know(&self, build_dir: &BuildDirPlan, dirs: &mut BTreeMap<DirKey, DirBefore>) {
        let Some(tree) = self.trees.get(&build_dir.tree) else { return };
        let Some(first) = build_dir.cells.first().map(|index| &self.cells[*index]) else { return };
        let all = self.build_dirs(&build_dir.tree, tree);
        let of_arch = format!("{}-", build_dir.arch);
        let entries = std::fs::read_dir(&all).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        for name in names.filter(|name| name.starts_with(&of_arch)).chain([build_dir.name.clone()]) {
            let home = all.join(&name);
            let key = (build_dir.tree.clone(), build_dir.arch, name);
            dirs.entry(key).or_insert_with(|| DirBefore {
                tree: build_dir::tree_in(&home),
                arch: first.arch,
                usable: build_dir::is_usable(&home, tree.work.incarnation()),
                made_from: build_dir::configured_lines(&home),
                home,
                asked: None,
            });
        }
        let requests = self.requests.get(&first.variant.id());
        if let (Some(dir), Some(requests)) = (dirs.get_mut(&pool::key(build_dir)), requests) {
            dir.asked = Some(kconfig::render(requests).lines().map(str::to_owned).collect());
        }
    }
}
