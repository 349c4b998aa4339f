//! Modification times that say what is older than what, whatever the host's clock did. make compares times only, so each
//! file that a build finds gets one of these before make starts: they lie before the build, and their order is the order in
//! which contents were made. Computes times; decides nothing.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use serde::{Deserialize, Serialize};

/// Builds that may follow each other without one that ends well: far more than ever do.
pub const BUILDS_MAX: u32 = 1000;

/// Of every file of a source as it came: 2001-01-01. Hard links share it, so it is never another one.
pub fn original() -> SystemTime {
    at(978_307_200)
}

fn at(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(secs)
}

/// The times of one chain of builds: the first finds all objects up to date but for what changed since, and each other one
/// follows a build that did not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Of the objects that the first build finds, in seconds since 1970. Newer than the headers and programs of the system,
    /// which objects are made of too, unless these came within the last half hour: then they are made again.
    from_secs: u64,
}

impl Chain {
    /// Of builds of which the first begins at `now_secs`. Whole seconds, because a file system may keep no more.
    pub fn new(now_secs: u64) -> Chain {
        Chain { from_secs: now_secs.saturating_sub(2 * u64::from(BUILDS_MAX) + 10) }
    }

    /// Of a source file whose content last changed before build number `since` (from 1); of an unchanged one with 0.
    pub fn source(self, since: u32) -> SystemTime {
        if since == 0 { original() } else { at(self.from_secs + 2 * u64::from(since) - 1) }
    }

    /// Of an object that build number `build` made (from 1); of one that was there before with 0. It is newer than a source
    /// that changed before that build, and older than one that changed after it.
    pub fn object(self, build: u32) -> SystemTime {
        at(self.from_secs + 2 * u64::from(build))
    }

    /// Which build made an object of this time, if it is one of the first `builds` and was given its time by
    /// [`Chain::object`].
    pub fn build_of(self, time: SystemTime, builds: u32) -> Option<u32> {
        let since = time.duration_since(self.object(0)).ok()?;
        let build = u32::try_from(since.as_secs() / 2).ok()?;
        (build <= builds && self.object(build) == time).then_some(build)
    }
}

/// Of the file or link itself.
///
/// # Errors
/// When there is none, or it is not this user's.
pub fn set(file: &Path, time: SystemTime) -> io::Result<()> {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = Timespec {
        tv_sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: since.subsec_nanos().into(),
    };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, file, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Gives everything below `dir` the time of an original.
///
/// # Errors
/// On I/O failure.
pub fn set_originals(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            set_originals(&entry.path())?;
        } else {
            set(&entry.path(), original())?;
        }
    }
    Ok(())
}

/// Whole seconds since 1970 of the host's clock: to say whether a file may be from the build that began then, never what
/// is older.
pub fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_build_is_newer_than_the_changes_before_it_and_older_than_those_after_it() {
        let now = now_secs();
        let chain = Chain::new(now);
        assert!(chain.source(0) < chain.object(0));
        for build in [1, 2, 500, BUILDS_MAX] {
            assert!(chain.object(build - 1) < chain.source(build), "{build}");
            assert!(chain.source(build) < chain.object(build), "{build}");
        }
        assert!(chain.object(BUILDS_MAX) < at(now), "a build's own files are newer than all of these");
    }

    #[test]
    fn only_a_time_that_was_given_names_a_build() {
        let chain = Chain::new(now_secs());
        assert_eq!(chain.build_of(chain.object(3), 3), Some(3));
        assert_eq!(chain.build_of(chain.object(3), 2), None);
        assert_eq!(chain.build_of(chain.object(3) + Duration::from_millis(1), 9), None);
        assert_eq!(chain.build_of(chain.source(3), 9), None);
        assert_eq!(chain.build_of(SystemTime::now(), BUILDS_MAX), None);
        assert_eq!(chain.build_of(original(), 9), None);
    }
}
