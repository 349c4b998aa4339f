//! Who builds in which lane, and from what: a lane without objects starts as a copy of one that has some and that nobody
//! builds in at that moment; and of several without any, only the first begins from nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard};

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
        let mut places = locked(&self.workshop.places);
        places.taken.retain(|other| *other != key);
        let place = places.at(&key);
        // Its builder panicked in the middle of a build.
        place.usable &= !place.building;
        place.building = false;
        drop(places);
        self.workshop.changed.notify_all();
    }
}

/// What a build in a lane begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    Own,
    /// Nobody builds in that one until [`Workshop::copied`].
    Copy(Key),
    Cold,
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

    /// Waits until a build in the lane may begin. Each is followed by [`Workshop::leave`].
    pub fn enter(&self, key: &Key) -> Start {
        let mut places = locked(&self.places);
        loop {
            if places.of.get(key).is_some_and(|place| place.usable) {
                let mut places = self.wait(places, |places| places.at(key).wanted > 0);
                places.at(key).building = true;
                return Start::Own;
            }
            if let Some(other) = places.nearest(key) {
                places.at(key).building = true;
                places.at(&other).wanted += 1;
                drop(self.wait(places, |places| places.at(&other).building));
                return Start::Copy(other);
            }
            if places.may_begin(key) {
                places.at(key).building = true;
                return Start::Cold;
            }
            // Somebody begins from nothing just now, or will: there will be something to copy.
            places = self.changed.wait(places).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// The copy of `other` is done, or has failed.
    pub fn copied(&self, other: &Key) {
        locked(&self.places).at(other).wanted -= 1;
        self.changed.notify_all();
    }

    /// The build in the lane is over, and left objects that can be used or not.
    pub fn leave(&self, key: &Key, usable: bool) {
        let mut places = locked(&self.places);
        let place = places.at(key);
        (place.usable, place.building) = (usable, false);
        drop(places);
        self.changed.notify_all();
    }

    fn wait<'a>(
        &self,
        places: MutexGuard<'a, Places>,
        mut busy: impl FnMut(&mut Places) -> bool,
    ) -> MutexGuard<'a, Places> {
        self.changed
            .wait_while(places, |places| busy(places))
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Places {
    fn at(&mut self, key: &Key) -> &mut Slot {
        self.of.entry(key.clone()).or_default()
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
    use std::time::Duration;

    use super::*;

    fn lane(name: &str) -> Key {
        ("7.2".to_owned(), "x86_64", name.to_owned())
    }

    #[test]
    fn of_lanes_without_objects_one_begins_from_nothing_and_the_others_copy_it() {
        let workshop = Workshop::new([(lane("a"), false), (lane("b"), false)], Vec::new());
        assert_eq!(workshop.enter(&lane("a")), Start::Cold);
        std::thread::scope(|scope| {
            let (say, heard) = channel();
            let shared = &workshop;
            scope.spawn(move || {
                say.send(shared.enter(&lane("b"))).unwrap();
                // Until it has the copy, nobody builds in the other.
                std::thread::sleep(Duration::from_millis(50));
                say.send(Start::Own).unwrap();
                shared.copied(&lane("a"));
            });
            assert!(heard.recv_timeout(Duration::from_millis(50)).is_err(), "it waits for the first");
            workshop.leave(&lane("a"), true);
            assert_eq!(heard.recv().unwrap(), Start::Copy(lane("a")));
            assert_eq!(workshop.enter(&lane("a")), Start::Own);
            assert_eq!(heard.try_recv(), Ok(Start::Own));
        });
    }

    #[test]
    fn objects_of_a_patch_that_ran_on_the_host_stay_with_that_patch() {
        let all = [(lane("v.patch~1"), true), (lane("a.base"), true)];
        let workshop = Workshop::new(all.clone(), Vec::new());
        assert_eq!(workshop.enter(&lane("v.patch")), Start::Copy(lane("a.base")));
        let workshop = Workshop::new(all.clone(), Vec::new());
        assert_eq!(workshop.enter(&lane("v.patch~2")), Start::Copy(lane("a.base")));
        let workshop = Workshop::new(all.into_iter().take(1), Vec::new());
        assert_eq!(workshop.enter(&lane("w.patch")), Start::Cold);
    }

    #[test]
    fn a_first_build_that_left_nothing_gives_the_next_one_its_turn() {
        let workshop = Workshop::new([(lane("a"), false), (lane("b"), false)], Vec::new());
        assert_eq!(workshop.enter(&lane("a")), Start::Cold);
        workshop.leave(&lane("a"), false);
        assert_eq!(workshop.enter(&lane("b")), Start::Cold);
    }

    #[test]
    fn only_the_first_lane_that_is_not_over_begins_from_nothing() {
        let to_come = ["b", "a"].map(|name| {
            let (tree, arch, name) = lane(name);
            Lane { name, tree, arch, cells: Vec::new() }
        });
        let workshop = Workshop::new([], to_come.into());
        let first = workshop.next().unwrap();
        let second = workshop.next().unwrap();
        assert!(workshop.next().is_none());
        std::thread::scope(|scope| {
            let (say, heard) = channel();
            let (shared, second) = (&workshop, &second);
            scope.spawn(move || say.send(shared.enter(&key(&second.lane))).unwrap());
            assert!(heard.recv_timeout(Duration::from_millis(50)).is_err(), "it waits for the first");
            // Its builder is gone in the middle of the build.
            assert_eq!(workshop.enter(&key(&first.lane)), Start::Cold);
            drop(first);
            assert_eq!(heard.recv().unwrap(), Start::Cold);
        });
    }

    #[test]
    fn the_nearest_lane_has_the_same_of_the_patch_and_is_never_of_another_architecture_or_tree() {
        let other_arch = ("7.2".to_owned(), "arm64", "v.patch".to_owned());
        let other_tree = ("7.3".to_owned(), "x86_64", "v.patch".to_owned());
        let all = [(other_arch, true), (other_tree, true), (lane("v.base"), true), (lane("a.patch"), true)];
        let workshop = Workshop::new(all.clone().into_iter().chain([(lane("v.patch-2"), true)]), Vec::new());
        assert_eq!(workshop.enter(&lane("v.patch")), Start::Copy(lane("v.patch-2")));
        let workshop = Workshop::new(all.clone(), Vec::new());
        assert_eq!(workshop.enter(&lane("v.patch")), Start::Copy(lane("a.patch")));
        let workshop = Workshop::new(all.clone().into_iter().take(3), Vec::new());
        assert_eq!(workshop.enter(&lane("v.patch")), Start::Copy(lane("v.base")));
        let workshop = Workshop::new(all.into_iter().take(2), Vec::new());
        assert_eq!(workshop.enter(&lane("v.patch")), Start::Cold);
    }
}
