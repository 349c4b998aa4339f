//! Pool of build lanes. A lane without objects starts as a copy of one that has some, at a moment in which no build goes on
//! there; of several lanes without objects, only the first builds cold.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, PoisonError};

use super::locked;
use crate::run::lanes::{self, Lane};

/// The lanes of a run, and others that earlier runs left.
#[derive(Debug)]
pub struct Workshop {
    places: Mutex<Places>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Places {
    of: BTreeMap<Key, Slot>,
    /// The lanes of the run that somebody has and those that nobody has yet, each in its order.
    taken: Vec<Key>,
    to_come: VecDeque<Lane>,
}

/// Tree, architecture, name.
pub type Key = (String, &'static str, String);

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// It has objects to build from.
    usable: bool,
    building: bool,
    /// So many want to copy it, and wait for a moment in which nobody builds in it.
    wanted: usize,
}

/// A lane that is one builder's until this value goes, however that comes.
#[derive(Debug)]
pub struct Turn<'a> {
    workshop: &'a Workshop,
    pub lane: Lane,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let key = key(&self.lane);
        self.workshop.change(|places| places.taken.retain(|other| *other != key));
    }
}

/// What a build in a lane begins with.
#[derive(Debug)]
pub enum Start<'a> {
    /// The objects that are in the lane.
    Own,
    /// Those of another lane.
    Copy(Copying<'a>),
    Cold,
}

/// No build begins in the lane `from` until this value is dropped.
#[derive(Debug)]
#[must_use]
pub struct Copying<'a> {
    workshop: &'a Workshop,
    pub from: Key,
}

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        self.workshop.change(|places| places.at(&self.from).wanted -= 1);
    }
}

/// A build in a lane, until this value is dropped. Unless [`Building::leave`] says so, it left no objects that can be used.
#[derive(Debug)]
#[must_use]
pub struct Building<'a> {
    workshop: &'a Workshop,
    lane: Key,
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
        self.workshop.change(|places| {
            let place = places.at(&self.lane);
            (place.usable, place.building) = (self.usable, false);
        });
    }
}

pub fn key(lane: &Lane) -> Key {
    (lane.tree.clone(), lane.arch, lane.name.clone())
}

impl Workshop {
    /// Of lanes, and whether each has objects; and those that the run builds in, in its order.
    pub fn new(lanes: impl IntoIterator<Item = (Key, bool)>, to_come: Vec<Lane>) -> Workshop {
        let of = lanes.into_iter().map(|(key, usable)| (key, Slot { usable, ..Slot::default() })).collect();
        let places = Places { of, taken: Vec::new(), to_come: to_come.into() };
        Workshop { places: Mutex::new(places), changed: Condvar::new() }
    }

    /// The next lane to build in; none: all are taken.
    pub fn next(&self) -> Option<Turn<'_>> {
        let mut places = locked(&self.places);
        let lane = places.to_come.pop_front()?;
        places.taken.push(key(&lane));
        Some(Turn { workshop: self, lane })
    }

    /// Waits until a build in the lane may begin.
    pub fn enter(&self, lane: &Key) -> (Start<'_>, Building<'_>) {
        let mut places = locked(&self.places);
        let source = loop {
            match places.begin(lane) {
                Some(source) => break source,
                None => places = self.changed.wait(places).unwrap_or_else(PoisonError::into_inner),
            }
        };
        let building = Building { workshop: self, lane: lane.clone(), usable: false };
        let start = match source {
            Source::Own => Start::Own,
            Source::Cold => Start::Cold,
            Source::Lane(from) => {
                // Nothing begins there any more, because it is wanted.
                while places.at(&from).building {
                    places = self.changed.wait(places).unwrap_or_else(PoisonError::into_inner);
                }
                Start::Copy(Copying { workshop: self, from })
            }
        };
        (start, building)
    }

    fn change(&self, by: impl FnOnce(&mut Places)) {
        by(&mut locked(&self.places));
        self.changed.notify_all();
    }
}

/// What a build begins with.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    Own,
    Lane(Key),
    Cold,
}

impl Places {
    fn at(&mut self, key: &Key) -> &mut Slot {
        self.of.entry(key.clone()).or_default()
    }

    /// Notes that a build in the lane has begun, and says from what; None: it has to wait.
    fn begin(&mut self, lane: &Key) -> Option<Source> {
        let place = *self.at(lane);
        let source = if place.usable {
            (place.wanted == 0).then_some(Source::Own)?
        } else if let Some(other) = self.nearest(lane) {
            self.at(&other).wanted += 1;
            Source::Lane(other)
        } else {
            // Somebody begins from nothing just now, or will: there will be something to copy.
            self.may_begin(lane).then_some(Source::Cold)?
        };
        self.at(lane).building = true;
        Some(source)
    }

    /// The lane with objects that is nearest, of the same tree and architecture. Not one in which a patch executed code of
    /// its own on the host: it may have left anything among the objects.
    fn nearest(&self, key: &Key) -> Option<Key> {
        let may = |other: &Key| are_kin(other, key) && lanes::may_copy(&key.2, &other.2);
        let usable = self.of.iter().filter(|(other, place)| place.usable && may(other));
        usable.map(|(other, _)| other).min_by_key(|other| lanes::distance(&other.2, &key.2)).cloned()
    }

    /// Of those that could begin from nothing, it is the first: which one does decides what the others have to compile.
    fn may_begin(&self, key: &Key) -> bool {
        let begun = self.of.iter().any(|(other, place)| place.building && are_kin(other, key));
        let to_come = self.to_come.iter().map(self::key);
        let first = self.taken.iter().cloned().chain(to_come).find(|other| are_kin(other, key));
        !begun && first.is_none_or(|first| first == *key)
    }
}

/// One may start as a copy of the other.
fn are_kin(one: &Key, other: &Key) -> bool {
    (&one.0, one.1) == (&other.0, other.1)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn lane(name: &str) -> Key {
        ("7.2".to_owned(), "x86_64", name.to_owned())
    }

    fn lanes(lanes: &[(&str, bool)]) -> Workshop {
        Workshop::new(lanes.iter().map(|(name, usable)| (lane(name), *usable)), Vec::new())
    }

    fn to_come(names: &[&str]) -> Vec<Lane> {
        let lane = |name: &&str| Lane {
            name: (*name).to_owned(),
            tree: "7.2".to_owned(),
            arch: "x86_64",
            cells: Vec::new(),
        };
        names.iter().map(lane).collect()
    }

    /// What a build in the lane would begin with now. It has begun then; None: it has to wait.
    fn begin(workshop: &Workshop, name: &str) -> Option<Source> {
        locked(&workshop.places).begin(&lane(name))
    }

    #[test]
    fn first_empty_lane_builds_cold_and_the_others_copy_it() {
        let workshop = lanes(&[("a", false), ("b", false)]);
        let (start, building) = workshop.enter(&lane("a"));
        assert!(matches!(start, Start::Cold));
        assert_eq!(begin(&workshop, "b"), None);
        building.leave(true);
        let (start, _building) = workshop.enter(&lane("b"));
        let Start::Copy(copying) = start else { panic!("{start:?}") };
        assert_eq!(copying.from, lane("a"));
    }

    #[test]
    fn no_build_begins_in_a_lane_that_is_copied() {
        let workshop = lanes(&[("a", true), ("b", false)]);
        let (start, _building) = workshop.enter(&lane("b"));
        assert_eq!(begin(&workshop, "a"), None);
        drop(start);
        assert_eq!(begin(&workshop, "a"), Some(Source::Own));
    }

    #[test]
    fn waiting_build_begins_when_the_other_is_over() {
        let workshop = lanes(&[("a", false), ("b", false)]);
        let (_, building) = workshop.enter(&lane("a"));
        let (say, heard) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                say.send(()).unwrap();
                assert!(matches!(workshop.enter(&lane("b")).0, Start::Copy(_)));
            });
            heard.recv().unwrap();
            building.leave(true);
        });
    }

    #[test]
    fn copy_waits_for_the_end_of_a_build_in_the_lane() {
        let workshop = lanes(&[("a", true), ("b", false)]);
        let (_, building) = workshop.enter(&lane("a"));
        let (say, heard) = channel();
        std::thread::scope(|scope| {
            let copies = scope.spawn(|| {
                say.send(()).unwrap();
                let (start, _building) = workshop.enter(&lane("b"));
                assert!(matches!(start, Start::Copy(_)), "{start:?}");
                locked(&workshop.places).at(&lane("a")).building
            });
            heard.recv().unwrap();
            building.leave(true);
            assert!(!copies.join().unwrap(), "a build goes on in a lane that is copied");
        });
    }

    #[test]
    fn objects_of_a_patch_that_ran_on_the_host_stay_with_that_patch() {
        let all = [("v.patch~1", true), ("a.base", true)];
        let base = Some(Source::Lane(lane("a.base")));
        assert_eq!(begin(&lanes(&all), "v.patch"), base);
        assert_eq!(begin(&lanes(&all), "v.patch~2"), base);
        assert_eq!(begin(&lanes(&all[..1]), "w.patch"), Some(Source::Cold));
    }

    #[test]
    fn next_lane_builds_cold_when_the_first_build_left_nothing() {
        let workshop = lanes(&[("a", false), ("b", false)]);
        // Neither did one that ended by an error or a panic, and said nothing.
        for says_so in [true, false] {
            let (start, building) = workshop.enter(&lane("a"));
            assert!(matches!(start, Start::Cold));
            match says_so {
                true => building.leave(false),
                false => drop(building),
            }
        }
        assert_eq!(begin(&workshop, "b"), Some(Source::Cold));
    }

    #[test]
    fn only_the_first_lane_that_is_not_over_builds_cold() {
        let workshop = Workshop::new([], to_come(&["b", "a"]));
        let first = workshop.next().unwrap();
        let second = workshop.next().unwrap();
        assert!(workshop.next().is_none());
        let (key, second) = (key(&first.lane), key(&second.lane));
        assert_eq!(locked(&workshop.places).begin(&second), None);
        let (start, building) = workshop.enter(&key);
        assert!(matches!(start, Start::Cold));
        // Its builder is gone in the middle of the build.
        drop((building, first));
        assert_eq!(locked(&workshop.places).begin(&second), Some(Source::Cold));
    }

    #[test]
    fn nearest_lane_has_the_same_of_the_patch_and_is_of_the_same_architecture_and_tree() {
        let other_arch = ("7.2".to_owned(), "arm64", "v.patch".to_owned());
        let other_tree = ("7.3".to_owned(), "x86_64", "v.patch".to_owned());
        let all = [other_arch, other_tree, lane("v.base"), lane("a.patch"), lane("v.patch-2")];
        let begin_of = |count: usize| {
            let known = all.iter().take(count).map(|lane| (lane.clone(), true));
            begin(&Workshop::new(known, Vec::new()), "v.patch")
        };
        let copies = |name: &str| Some(Source::Lane(lane(name)));
        assert_eq!(begin_of(5), copies("v.patch-2"));
        assert_eq!(begin_of(4), copies("a.patch"));
        assert_eq!(begin_of(3), copies("v.base"));
        assert_eq!(begin_of(2), Some(Source::Cold));
    }
}
