//! Which build directories of a run, and of those that earlier runs left, are a start for which others: of one tree and
//! architecture, and configured so that most objects are the same. Reads build directories and builds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

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
    arch: &'static Arch,
    /// It has objects to build from.
    usable: bool,
    /// What these were configured from, as lines of a fragment; empty: nobody knows.
    made_from: BTreeSet<String>,
    /// What the run configures it from; None: it does not build there.
    asked: Option<BTreeSet<String>>,
    /// The `.config` that its objects were made with, and the one that the run makes, as lines; empty: nobody knows.
    config: BTreeSet<String>,
    asked_config: BTreeSet<String>,
}

impl DirBefore {
    /// What its objects are of when another directory could start from them: the lines that were asked for, and the `.config`.
    fn at_last(&self) -> [&BTreeSet<String>; 2] {
        match &self.asked {
            Some(asked) => [asked, &self.asked_config],
            None => self.before(),
        }
    }

    /// What they are of now.
    fn before(&self) -> [&BTreeSet<String>; 2] {
        [&self.made_from, &self.config]
    }

    /// Most objects that are there, here or in `other`, are the same under the configurations `one` and that of `other`.
    fn is_near(&self, one: [&BTreeSet<String>; 2], other: &DirBefore) -> bool {
        // A `.config` says more than what was asked for: symbols bring others along.
        let pairs = [1, 0].map(|index| (one[index], other.at_last()[index]));
        let known = pairs.into_iter().find(|(one, other)| !one.is_empty() && !other.is_empty());
        let Some((one, other_lines)) = known else { return true };
        let changed = stale::changed(one, other_lines);
        let Some(there) = [other, self].into_iter().find(|dir| dir.usable) else {
            return changed.len() <= LINES_MOST;
        };
        !is_far(&there.home, there.arch, &changed)
    }
}

/// Whether most objects of the build directory in `home` are compiled again when the symbols `changed` change; not where there is
/// nothing that could be.
pub fn is_far(home: &Path, arch: &Arch, changed: &BTreeSet<String>) -> bool {
    let (objects, tree) = (build_dir::objects_in(home), build_dir::tree_in(home));
    stale::share(&objects, &tree, arch.kernel_arch, changed) > STALE_MOST
}

/// The lines of a `.config` that turn something on.
pub fn config_lines(config: &str) -> BTreeSet<String> {
    let lines = kconfig::values(config).into_iter();
    lines.filter_map(|(symbol, value)| config_line(symbol, value.trim_matches('"'))).collect()
}

/// One of them; None: the symbol is off.
pub fn config_line(symbol: &str, value: &str) -> Option<String> {
    (value != "n").then(|| format!("CONFIG_{symbol}={value}"))
}

impl Run<'_> {
    /// The build directories of this run, and those that others left, with whether there is something to build from.
    pub(super) fn pool(&self, build_dirs: Vec<BuildDirPlan>) -> Pool {
        let mut dirs = BTreeMap::new();
        for build_dir in &build_dirs {
            self.know(build_dir, &mut dirs);
        }
        let is_start = |dir: &DirBefore| dir.usable && dir.is_near(dir.before(), dir);
        let known: Vec<(DirKey, bool)> = dirs.iter().map(|(key, dir)| (key.clone(), is_start(dir))).collect();
        // One that starts from its own objects asks for no other.
        let empty = dirs.iter().zip(&known).filter(|((_, dir), (_, start))| dir.asked.is_some() && !start);
        let mut far = BTreeSet::new();
        for ((key, dir), _) in empty {
            let others =
                dirs.iter().filter(|(other, _)| *other != key && (&other.0, other.1) == (&key.0, key.1));
            let far_ones = others.filter(|(_, other)| !dir.is_near(dir.at_last(), other));
            far.extend(far_ones.map(|(other, _)| (key.clone(), other.clone())));
        }
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
                arch: first.arch,
                usable: build_dir::is_usable(&home, tree.work.incarnation()),
                made_from: build_dir::configured_lines(&home),
                config: build_dir::config(&home).map(|config| config_lines(&config)).unwrap_or_default(),
                home,
                asked: None,
                asked_config: BTreeSet::new(),
            });
        }
        let requests = self.requests.get(&first.variant.id());
        if let (Some(dir), Some(requests)) = (dirs.get_mut(&pool::key(build_dir)), requests) {
            dir.asked = Some(kconfig::render(requests).lines().map(str::to_owned).collect());
            dir.asked_config = self.configured.get(&first.variant.id()).cloned().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::arch;

    fn dir(asked: usize, config: usize) -> DirBefore {
        let lines = |count: usize| (0..count).map(|number| format!("CONFIG_{number}=y")).collect();
        DirBefore {
            home: PathBuf::from("/nowhere"),
            arch: arch::find("x86_64").unwrap(),
            usable: false,
            made_from: BTreeSet::new(),
            asked: Some(lines(asked)),
            config: BTreeSet::new(),
            asked_config: lines(config),
        }
    }

    #[test]
    fn symbols_that_others_bring_along_count_where_they_are_known() {
        let near = |one: &DirBefore, other: &DirBefore| one.is_near(one.at_last(), other);
        assert!(near(&dir(10, 0), &dir(11, 500)));
        assert!(!near(&dir(10, 400), &dir(11, 500)));
        assert!(near(&dir(10, 490), &dir(200, 500)));
        assert!(!near(&dir(10, 0), &dir(200, 0)));
    }

    #[test]
    fn lines_of_a_config_are_those_that_turn_something_on() {
        let lines = config_lines("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"text\"\nCONFIG_D=8\n");
        assert_eq!(Vec::from_iter(lines), ["CONFIG_A=y", "CONFIG_C=text", "CONFIG_D=8"]);
    }
}
