//! Who builds in which lane, and from what: a lane without objects starts as a copy of one that has some and that nobody
//! builds in at that moment; and of several without any, only one begins from nothing.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard};

use super::locked;
use crate::lanes::{self, Lane};

/// The lanes of a run, and others that earlier runs left.
#[derive(Debug)]
pub struct Workshop {
    places: Mutex<BTreeMap<Key, Place>>,
    changed: Condvar,
}

/// Tree, architecture, name.
pub type Key = (String, &'static str, String);

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// It has objects to build from.
    usable: bool,
    building: bool,
    /// So many want to copy it, and wait for a moment in which nobody builds in it.
    wanted: usize,
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
    /// Of lanes, and whether each has objects.
    pub fn new(lanes: impl IntoIterator<Item = (Key, bool)>) -> Workshop {
        let places = lanes.into_iter().map(|(key, usable)| (key, Place { usable, ..Place::default() }));
        Workshop { places: Mutex::new(places.collect()), changed: Condvar::new() }
    }

    /// Waits until a build in the lane may begin. Each is followed by [`Workshop::leave`].
    pub fn enter(&self, key: &Key) -> Start {
        let mut places = locked(&self.places);
        loop {
            if places.get(key).is_some_and(|place| place.usable) {
                let mut places = self.wait(places, |places| place(places, key).wanted > 0);
                place(&mut places, key).building = true;
                return Start::Own;
            }
            if let Some(other) = nearest(&places, key) {
                place(&mut places, key).building = true;
                place(&mut places, &other).wanted += 1;
                drop(self.wait(places, |places| place(places, &other).building));
                return Start::Copy(other);
            }
            let is_kin = |other: &Key| (&other.0, other.1) == (&key.0, key.1);
            if !places.iter().any(|(other, place)| is_kin(other) && place.building) {
                place(&mut places, key).building = true;
                return Start::Cold;
            }
            // Somebody begins from nothing just now: there will be something to copy.
            places = self.changed.wait(places).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// The copy of `other` is done, or has failed.
    pub fn copied(&self, other: &Key) {
        place(&mut locked(&self.places), other).wanted -= 1;
        self.changed.notify_all();
    }

    /// The build in the lane is over, and left objects that can be used or not.
    pub fn leave(&self, key: &Key, usable: bool) {
        let mut places = locked(&self.places);
        let place = place(&mut places, key);
        (place.usable, place.building) = (usable, false);
        drop(places);
        self.changed.notify_all();
    }

    fn wait<'a>(
        &self,
        places: MutexGuard<'a, BTreeMap<Key, Place>>,
        mut busy: impl FnMut(&mut BTreeMap<Key, Place>) -> bool,
    ) -> MutexGuard<'a, BTreeMap<Key, Place>> {
        self.changed
            .wait_while(places, |places| busy(places))
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn place<'a>(places: &'a mut BTreeMap<Key, Place>, key: &Key) -> &'a mut Place {
    places.entry(key.clone()).or_default()
}

/// The lane with objects that is nearest, of the same tree and architecture.
fn nearest(places: &BTreeMap<Key, Place>, key: &Key) -> Option<Key> {
    let kin = places.iter().filter(|(other, place)| place.usable && other.0 == key.0 && other.1 == key.1);
    kin.map(|(other, _)| other).min_by_key(|other| lanes::distance(&other.2, &key.2)).cloned()
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
        let workshop = Workshop::new([(lane("a"), false), (lane("b"), false)]);
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
    fn a_first_build_that_left_nothing_gives_the_next_one_its_turn() {
        let workshop = Workshop::new([(lane("a"), false), (lane("b"), false)]);
        assert_eq!(workshop.enter(&lane("a")), Start::Cold);
        workshop.leave(&lane("a"), false);
        assert_eq!(workshop.enter(&lane("b")), Start::Cold);
    }

    #[test]
    fn the_nearest_lane_has_the_same_of_the_patch_and_is_never_of_another_architecture_or_tree() {
        let other_arch = ("7.2".to_owned(), "arm64", "v.patch".to_owned());
        let other_tree = ("7.3".to_owned(), "x86_64", "v.patch".to_owned());
        let all = [(other_arch, true), (other_tree, true), (lane("v.base"), true), (lane("a.patch"), true)];
        let workshop = Workshop::new(all.clone().into_iter().chain([(lane("v.patch-2"), true)]));
        assert_eq!(workshop.enter(&lane("v.patch")), Start::Copy(lane("v.patch-2")));
        let workshop = Workshop::new(all.clone());
        assert_eq!(workshop.enter(&lane("v.patch")), Start::Copy(lane("a.patch")));
        let workshop = Workshop::new(all.clone().into_iter().take(3));
        assert_eq!(workshop.enter(&lane("v.patch")), Start::Copy(lane("v.base")));
        let workshop = Workshop::new(all.into_iter().take(2));
        assert_eq!(workshop.enter(&lane("v.patch")), Start::Cold);
    }
}
