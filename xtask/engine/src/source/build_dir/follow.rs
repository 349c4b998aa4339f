//! How a build directory follows its original: all that is not the build directory's own is made a link to it, and
//! what the objects were made from is noted where the original has something else by now.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::super::disk::{self, Made};
use super::super::files::{OBJECTS, content};
use super::super::stamp;
use super::{BuildDir, Own, digest};
use failure::{Context, Result};

impl BuildDir {
    /// Makes everything below `dir` a link to the original, except files of the build directory's own and objects.
    /// Returns what becomes the build directory's own, because the objects were made from another content: that has
    /// to get a time of its own.
    pub(super) fn follow(&mut self, dir: &Path) -> Result<BTreeMap<String, Own>> {
        let (from, to) = (self.original.join(dir), self.dir().join(dir));
        let doing = || format!("link {} to {}", to.display(), from.display());
        let has_objects = self.state.settled || self.state.unsettled > 0;
        let mut own = BTreeMap::new();
        let mut there = BTreeSet::new();
        for entry in fs::read_dir(&from).or_infra(doing)? {
            let entry = entry.or_infra(doing)?;
            let (path, target) = (dir.join(entry.file_name()), to.join(entry.file_name()));
            there.insert(entry.file_name());
            if entry.file_type().or_infra(doing)?.is_dir() {
                if self.is_own(&path) {
                    continue;
                }
                make_dir(&target).or_infra(doing)?;
                own.extend(self.follow(&path)?);
            } else if self.is_own(&path) {
                // The next build sets it.
            } else if self.is_above(&path) {
                // Its files go when they are set; then this one comes.
                own.extend(path.to_str().map(|path| (path.to_owned(), Own { digest: None, since: 0 })));
            } else if has_objects && !is_same(&entry.path(), &target) {
                self.take_over(&path, &mut own)?;
            } else {
                link(&entry.path(), &target).or_infra(doing)?;
            }
        }
        for entry in fs::read_dir(&to).or_infra(doing)? {
            let entry = entry.or_infra(doing)?;
            let path = dir.join(entry.file_name());
            if there.contains(&entry.file_name()) || path == Path::new(OBJECTS) || self.is_above(&path) {
                continue;
            }
            if has_objects {
                self.take_over(&path, &mut own)?;
            } else {
                remove(&entry.path()).or_infra(doing)?;
            }
        }
        Ok(own)
    }

    /// Notes what the build directory has at `path`, where the original has something else by now.
    fn take_over(&mut self, path: &Path, own: &mut BTreeMap<String, Own>) -> Result<()> {
        let target = self.dir().join(path);
        let doing = || format!("read {}", target.display());
        let found = fs::symlink_metadata(&target);
        if found.as_ref().is_ok_and(fs::Metadata::is_dir) {
            for entry in fs::read_dir(&target).or_infra(doing)? {
                self.take_over(&path.join(entry.or_infra(doing)?.file_name()), own)?;
            }
            return Ok(());
        }
        let original = fs::symlink_metadata(self.original.join(path));
        let is_link = |found: &io::Result<fs::Metadata>| found.as_ref().is_ok_and(fs::Metadata::is_symlink);
        match path.to_str() {
            Some(name) if !is_link(&found) && !is_link(&original) => {
                let digest = content(&target)?.as_ref().map(digest);
                own.insert(name.to_owned(), Own { digest, since: 0 });
            }
            // A symbolic link that changes is rare, and nothing says what was made through it.
            _ => {
                self.without_objects()?;
                let _ = remove(&target);
                if original.is_ok() {
                    link(&self.original.join(path), &target).or_infra(doing)?;
                }
            }
        }
        Ok(())
    }

    fn is_own(&self, path: &Path) -> bool {
        path.to_str().is_some_and(|path| self.state.own.contains_key(path))
    }

    /// It is a file of the build directory's own, or a directory that one is in.
    fn is_above(&self, path: &Path) -> bool {
        self.state.own.keys().any(|own| Path::new(own).starts_with(path))
    }
}

/// Both are one file, or links to the same place.
fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::symlink_metadata(one), fs::symlink_metadata(other)) {
        (Ok(one), Ok(other)) if (one.dev(), one.ino()) == (other.dev(), other.ino()) => true,
        (Ok(found), Ok(like)) if found.is_file() && like.is_file() => {
            // A copy, because the build directory is on another file system.
            found.dev() != like.dev()
                && matches!((content(one), content(other)), (Ok(one), Ok(other)) if one == other)
        }
        (Ok(found), Ok(like)) if found.is_symlink() && like.is_symlink() => {
            fs::read_link(one).ok() == fs::read_link(other).ok()
        }
        _ => false,
    }
}

fn make_dir(dir: &Path) -> io::Result<()> {
    match fs::symlink_metadata(dir) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => fs::remove_file(dir).and_then(|()| fs::create_dir(dir)),
        Err(_) => fs::create_dir(dir),
    }
}

/// Another name of `from`, in place of whatever has that name; a copy where the two are on different file systems.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(from)?;
    match fs::symlink_metadata(to) {
        Ok(other) if (other.dev(), other.ino()) == (found.dev(), found.ino()) => return Ok(()),
        Ok(_) => remove(to)?,
        Err(_) => {}
    }
    match disk::link_or_copy(from, to)? {
        Made::Copy if !found.is_symlink() => stamp::set(to, stamp::original()),
        Made::Copy | Made::Link => Ok(()),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}
