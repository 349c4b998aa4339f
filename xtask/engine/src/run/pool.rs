//! Pool of build directories. A build directory without objects starts as a copy of one that has some, at a moment in
//! which no build goes on there; of several build directories without objects, only the first builds cold.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, PoisonError};

use super::locked;
use crate::run::build_dirs::{self, BuildDirPlan};

/// The build directories of a run, and others that earlier runs left.
#[derive(Debug)]
pub struct Pool {
    state: Mutex<PoolState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct PoolState {
    of: BTreeMap<DirKey, Slot>,
    /// Build directories of the run that are claimed, and those that are not yet; each in its order.
    taken: Vec<DirKey>,
    to_come: VecDeque<BuildDirPlan>,
    /// Pairs of which neither is a start for the other: most objects would be compiled again.
    far: BTreeSet<(DirKey, DirKey)>,
}

/// Tree, architecture, name.
pub type DirKey = (String, &'static str, String);

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// It has objects to build from.
    usable: bool,
    building: bool,
    /// Number of builds that wait for a moment in which they can copy it.
    wanted: usize,
}

/// A build directory that one builder has until this value is dropped.
#[derive(Debug)]
pub struct Claim<'a> {
    pool: &'a Pool,
    pub build_dir: BuildDirPlan,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let key = key(&self.build_dir);
        self.pool.change(|state| state.taken.retain(|other| *other != key));
    }
}

/// What a build in a build directory begins with.
#[derive(Debug)]
pub enum Start<'a> {
    /// The objects that are in the build directory.
    Own,
    /// Those of another build directory.
    Copy(Copying<'a>),
    Cold,
}

/// No build begins in the build directory `from` until this value is dropped.
#[derive(Debug)]
#[must_use]
pub struct Copying<'a> {
    pool: &'a Pool,
    pub from: DirKey,
}

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        self.pool.change(|state| state.at(&self.from).wanted -= 1);
    }
}

/// A build in a build directory, until this value is dropped. Unless [`Building::leave`] says so, it left no objects
/// that can be used.
#[derive(Debug)]
#[must_use]
pub struct Building<'a> {
    pool: &'a Pool,
    build_dir: DirKey,
    usable: bool,
}

impl Building<'_> {
    /// The build is over, and left objects that can be used or not.
    pub fn leave(mut self, usable: bool) {
        self.usable = usable;
    }
}

impl Drop for Building<'_> {
    fn drop(&mut self) {
        self.pool.change(|state| {
            let slot = state.at(&self.build_dir);
            (slot.usable, slot.building) = (self.usable, false);
        });
    }
}

pub fn key(build_dir: &BuildDirPlan) -> DirKey {
    (build_dir.tree.clone(), build_dir.arch, build_dir.name.clone())
}

impl Pool {
    /// Of build directories, and whether each has objects; those that the run builds in, in its order; and pairs of all these
    /// of which neither is a start for the other.
    pub fn new(
        build_dirs: impl IntoIterator<Item = (DirKey, bool)>,
        to_come: Vec<BuildDirPlan>,
        far: BTreeSet<(DirKey, DirKey)>,
    ) -> Pool {
        let of =
            build_dirs.into_iter().map(|(key, usable)| (key, Slot { usable, ..Slot::default() })).collect();
        let state = PoolState { of, taken: Vec::new(), to_come: to_come.into(), far };
        Pool { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The next build directory to build in; none: all are taken.
    pub fn next(&self) -> Option<Claim<'_>> {
        let mut state = locked(&self.state);
        let build_dir = state.to_come.pop_front()?;
        state.taken.push(key(&build_dir));
        Some(Claim { pool: self, build_dir })
    }

    /// Waits until a build in the build directory may begin.
    pub fn enter(&self, build_dir: &DirKey) -> (Start<'_>, Building<'_>) {
        let mut state = locked(&self.state);
        let source = loop {
            match state.begin(build_dir) {
                Some(source) => break source,
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        };
        let building = Building { pool: self, build_dir: build_dir.clone(), usable: false };
        let start = match source {
            Seed::Own => Start::Own,
            Seed::Cold => Start::Cold,
            Seed::Copy(from) => {
                // Nothing begins there any more, because it is wanted.
                while state.at(&from).building {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                Start::Copy(Copying { pool: self, from })
            }
        };
        (start, building)
    }

    fn change(&self, by: impl FnOnce(&mut PoolState)) {
        by(&mut locked(&self.state));
        self.changed.notify_all();
    }
}

/// What a build begins with.
#[derive(Debug, PartialEq, Eq)]
enum Seed {
    Own,
    Copy(DirKey),
    Cold,
}

impl PoolState {
    fn at(&mut self, key: &DirKey) -> &mut Slot {
        self.of.entry(key.clone()).or_default()
    }

    /// Notes that a build in the build directory has begun, and says from what; None: it has to wait.
    fn begin(&mut self, build_dir: &DirKey) -> Option<Seed> {
        let slot = *self.at(build_dir);
        let source = if slot.usable {
            (slot.wanted == 0).then_some(Seed::Own)?
        } else if let Some(other) = self.nearest(build_dir) {
            self.at(&other).wanted += 1;
            Seed::Copy(other)
        } else {
            // Another build begins cold just now, or will: there will be something to copy.
            self.may_begin(build_dir).then_some(Seed::Cold)?
        };
        self.at(build_dir).building = true;
        Some(source)
    }

    /// The build directory with objects that is nearest, of the same tree and architecture. Not one in which a patch
    /// executed code of its own on the host: it may have left anything among the objects.
    fn nearest(&self, key: &DirKey) -> Option<DirKey> {
        let may = |other: &DirKey| self.are_kin(other, key) && build_dirs::may_copy(&key.2, &other.2);
        let usable = self.of.iter().filter(|(other, slot)| slot.usable && may(other));
        usable.map(|(other, _)| other).min_by_key(|other| build_dirs::distance(&other.2, &key.2)).cloned()
    }

    /// Of those that could begin from nothing, it is the first: which one does decides what the others have to compile.
    fn may_begin(&self, key: &DirKey) -> bool {
        let begun = self.of.iter().any(|(other, slot)| slot.building && self.are_kin(other, key));
        let to_come = self.to_come.iter().map(self::key);
        let first = self.taken.iter().cloned().chain(to_come).find(|other| self.are_kin(other, key));
        !begun && first.is_none_or(|first| first == *key)
    }

    /// One may start as a copy of the other, and has then something to start from: of another tree or architecture, or of a
    /// configuration that is far away, most objects are compiled again.
    fn are_kin(&self, one: &DirKey, other: &DirKey) -> bool {
        let far = [(one, other), (other, one)].map(|(a, b)| (a.clone(), b.clone()));
        far.iter().all(|pair| !self.far.contains(pair)) && (&one.0, one.1) == (&other.0, other.1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn build_dir(name: &str) -> DirKey {
        ("7.2".to_owned(), "x86_64", name.to_owned())
    }

    fn pool_of(build_dirs: &[(&str, bool)]) -> Pool {
        Pool::new(
            build_dirs.iter().map(|(name, usable)| (build_dir(name), *usable)),
            Vec::new(),
            BTreeSet::new(),
        )
    }

    fn to_come(names: &[&str]) -> Vec<BuildDirPlan> {
        let build_dir = |name: &&str| BuildDirPlan {
            name: (*name).to_owned(),
            tree: "7.2".to_owned(),
            arch: "x86_64",
            cells: Vec::new(),
        };
        names.iter().map(build_dir).collect()
    }

    /// What a build in the build directory would begin with now. It has begun then; None: it has to wait.
    fn begin(pool: &Pool, name: &str) -> Option<Seed> {
        locked(&pool.state).begin(&build_dir(name))
    }

    #[test]
    fn first_empty_build_dir_builds_cold_and_the_others_copy_it() {
        let pool = pool_of(&[("a", false), ("b", false)]);
        let (start, building) = pool.enter(&build_dir("a"));
        assert!(matches!(start, Start::Cold));
        assert_eq!(begin(&pool, "b"), None);
        building.leave(true);
        let (start, _building) = pool.enter(&build_dir("b"));
        let Start::Copy(copying) = start else { panic!("{start:?}") };
        assert_eq!(copying.from, build_dir("a"));
    }

    #[test]
    fn objects_of_a_far_configuration_are_no_start() {
        let far = BTreeSet::from([(build_dir("wider"), build_dir("narrow"))]);
        let known = |names: &[&str]| -> Vec<_> { names.iter().map(|name| (build_dir(name), true)).collect() };
        let begins = |names: &[&str]| begin(&Pool::new(known(names), Vec::new(), far.clone()), "wider");
        assert_eq!(begins(&["narrow"]), Some(Seed::Cold));
        assert_eq!(begins(&["narrow", "wide"]), Some(Seed::Copy(build_dir("wide"))));
    }

    #[test]
    fn no_build_begins_in_a_build_dir_that_is_being_copied() {
        let pool = pool_of(&[("a", true), ("b", false)]);
        let (start, _building) = pool.enter(&build_dir("b"));
        assert_eq!(begin(&pool, "a"), None);
        drop(start);
        assert_eq!(begin(&pool, "a"), Some(Seed::Own));
    }

    #[test]
    fn waiting_build_begins_when_the_other_is_over() {
        let pool = pool_of(&[("a", false), ("b", false)]);
        let (_, building) = pool.enter(&build_dir("a"));
        let (say, heard) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                say.send(()).unwrap();
                assert!(matches!(pool.enter(&build_dir("b")).0, Start::Copy(_)));
            });
            heard.recv().unwrap();
            building.leave(true);
        });
    }

    #[test]
    fn copy_waits_for_the_end_of_a_build_in_the_build_dir() {
        let pool = pool_of(&[("a", true), ("b", false)]);
        let (_, building) = pool.enter(&build_dir("a"));
        let (say, heard) = channel();
        std::thread::scope(|scope| {
            let copies = scope.spawn(|| {
                say.send(()).unwrap();
                let (start, _building) = pool.enter(&build_dir("b"));
                assert!(matches!(start, Start::Copy(_)), "{start:?}");
                locked(&pool.state).at(&build_dir("a")).building
            });
            heard.recv().unwrap();
            building.leave(true);
            assert!(!copies.join().unwrap(), "a build goes on in a build directory that is copied");
        });
    }

    #[test]
    fn objects_of_a_patch_that_ran_on_the_host_stay_with_that_patch() {
        let all = [("v.patch~1", true), ("a.base", true)];
        let base = Some(Seed::Copy(build_dir("a.base")));
        assert_eq!(begin(&pool_of(&all), "v.patch"), base);
        assert_eq!(begin(&pool_of(&all), "v.patch~2"), base);
        assert_eq!(begin(&pool_of(&all[..1]), "w.patch"), Some(Seed::Cold));
    }

    #[test]
    fn next_build_dir_builds_cold_when_the_first_build_left_nothing() {
        let pool = pool_of(&[("a", false), ("b", false)]);
        // Neither did one that ended by an error or a panic, and said nothing.
        for says_so in [true, false] {
            let (start, building) = pool.enter(&build_dir("a"));
            assert!(matches!(start, Start::Cold));
            match says_so {
                true => building.leave(false),
                false => drop(building),
            }
        }
        assert_eq!(begin(&pool, "b"), Some(Seed::Cold));
    }

    #[test]
    fn only_the_first_build_dir_that_is_not_over_builds_cold() {
        let pool = Pool::new([], to_come(&["b", "a"]), BTreeSet::new());
        let first = pool.next().unwrap();
        let second = pool.next().unwrap();
        assert!(pool.next().is_none());
        let (key, second) = (key(&first.build_dir), key(&second.build_dir));
        assert_eq!(locked(&pool.state).begin(&second), None);
        let (start, building) = pool.enter(&key);
        assert!(matches!(start, Start::Cold));
        // Its builder is gone in the middle of the build.
        drop((building, first));
        assert_eq!(locked(&pool.state).begin(&second), Some(Seed::Cold));
    }

    #[test]
    fn nearest_build_dir_has_the_same_of_the_patch_and_is_of_the_same_architecture_and_tree() {
        let other_arch = ("7.2".to_owned(), "arm64", "v.patch".to_owned());
        let other_tree = ("7.3".to_owned(), "x86_64", "v.patch".to_owned());
        let all = [other_arch, other_tree, build_dir("v.base"), build_dir("a.patch"), build_dir("v.patch-2")];
        let begin_of = |count: usize| {
            let known = all.iter().take(count).map(|build_dir| (build_dir.clone(), true));
            begin(&Pool::new(known, Vec::new(), BTreeSet::new()), "v.patch")
        };
        let copies = |name: &str| Some(Seed::Copy(build_dir(name)));
        assert_eq!(begin_of(5), copies("v.patch-2"));
        assert_eq!(begin_of(4), copies("a.patch"));
        assert_eq!(begin_of(3), copies("v.base"));
        assert_eq!(begin_of(2), Some(Seed::Cold));
    }
}
