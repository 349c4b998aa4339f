//! A lane: the source that the cells of one variant are built from, one after another, and their objects in it. It is a
//! tree of hard links to the original, which nobody writes through: a file that is changed is put in place of its link.
//! So lanes are built in side by side, each from the objects of its own last cell, and a new one starts as a copy of a
//! neighbour. A crash at any moment leaves a lane that the next [`Lane::set`] makes right, or that is made anew.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::disk;
use super::files::{Changes, OBJECTS, check, put, read};
use super::worktree::WorkTree;
use crate::failure::{Context, Failure, Result};
use crate::process::must;

const SCHEMA: u32 = 1;

/// A copy takes a second or two.
const DEADLINE: Duration = Duration::from_secs(900);

/// The directory beside a tree that holds its lanes.
pub const LANES: &str = "lanes";

/// What a lane remembers; written last when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    schema: u32,
    /// [`WorkTree::incarnation`] of its original.
    incarnation: String,
    /// [`WorkTree::identity`] of its original.
    identity: String,
    /// Paths that may be no links to the original any more.
    changed: BTreeSet<String>,
}

#[derive(Debug)]
pub struct Lane {
    home: PathBuf,
    original: PathBuf,
    state: State,
}

/// Where the source of the lane in `home` is, for make.
pub fn tree_in(home: &Path) -> PathBuf {
    home.join("tree")
}

/// Where its objects are.
pub fn objects_in(home: &Path) -> PathBuf {
    tree_in(home).join(OBJECTS)
}

impl Lane {
    /// The lane in `home` with the source of `work`: made, or brought up to date with it.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn open(work: &WorkTree, home: PathBuf) -> Result<Lane> {
        let (incarnation, identity) = (work.incarnation().to_owned(), work.identity()?);
        let known = load(&home).filter(|state| state.incarnation == incarnation);
        let known_identity = known.as_ref().map(|state| state.identity.clone());
        let state = known.unwrap_or(State {
            schema: SCHEMA,
            incarnation,
            identity: identity.clone(),
            changed: BTreeSet::new(),
        });
        let mut lane = Lane { home, original: work.dir(), state };
        if known_identity.is_none() {
            disk::discard(&lane.home)?;
            disk::create_dir(&lane.dir())?;
        }
        if known_identity.as_ref() != Some(&identity) {
            lane.follow(Path::new(""))?;
            disk::sync_filesystem(&lane.home)?;
            lane.state.identity = identity;
            lane.save()?;
        }
        Ok(lane)
    }

    /// A new lane in `home` as a copy of `other`, with its objects; nobody builds in that one meanwhile.
    ///
    /// # Errors
    /// When the disk says no, or `cp` does.
    pub fn copy(other: &Path, work: &WorkTree, home: PathBuf) -> Result<Lane> {
        let state = load(other);
        let state = state.ok_or_else(|| Failure::infra(format!("{} is no sound lane", other.display())))?;
        disk::discard(&home)?;
        let tree = tree_in(&home);
        disk::create_dir(&tree)?;
        let reading = || format!("read {}", other.display());
        let mut entries: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(tree_in(other)).or_infra(reading)? {
            entries.push(entry.or_infra(reading)?.path());
        }
        entries.retain(|path| !path.ends_with(OBJECTS));
        let copy = |command| must("the copy of a lane", command, &home.join("copy.log"), DEADLINE);
        copy(duct::cmd("cp", links(&entries, &tree)))?;
        // Objects are written in place: they are copied, with their times, and share blocks where the disk can.
        copy(duct::cmd!("cp", "-a", "--reflink=auto", objects_in(other), &tree))?;
        rename_commands(&objects_in(&home).join(TOOLS), &tree_in(other), &tree)?;
        let lane = Lane { home, original: work.dir(), state };
        disk::sync_filesystem(&lane.home)?;
        lane.save()?;
        Ok(lane)
    }

    pub fn dir(&self) -> PathBuf {
        tree_in(&self.home)
    }

    /// Makes the source the original plus exactly `changes`, and returns the paths it had to write. Files that are right
    /// already keep their modification times; a written one gets a newer time than it had. Directories made for a new
    /// file stay.
    ///
    /// # Errors
    /// When a path leads out of the tree or through a symbolic link: nothing is written then. When the disk says no.
    pub fn set(&mut self, changes: &Changes) -> Result<Vec<String>> {
        let tree = self.dir();
        for path in changes.keys() {
            check(&tree, path)?;
        }
        if !changes.keys().all(|path| self.state.changed.contains(path)) {
            self.state.changed.extend(changes.keys().cloned());
            // Before anything is touched: whatever moment a run is killed at, its paths are known.
            self.save()?;
        }
        let mut written = Vec::new();
        for path in &self.state.changed {
            check(&tree, path)?;
            let (file, original) = (tree.join(path), read(&self.original.join(path))?);
            let mode = original.as_ref().map_or(0o644, |(_, mode)| *mode);
            let wanted = match changes.get(path) {
                Some(content) => content.clone(),
                None => original.map(|(bytes, _)| bytes),
            };
            if read(&file)?.map(|(bytes, _)| bytes) == wanted {
                continue;
            }
            match wanted {
                Some(bytes) => put(&file, &bytes, mode, &self.home),
                None => fs::remove_file(&file),
            }
            .or_infra(|| format!("change {}", file.display()))?;
            written.push(path.clone());
        }
        Ok(written)
    }

    /// Makes everything below `dir` a link to the original, but for changed files and objects.
    fn follow(&self, dir: &Path) -> Result<()> {
        let (from, to) = (self.original.join(dir), self.dir().join(dir));
        let doing = || format!("link {} to {}", to.display(), from.display());
        let mut there = BTreeSet::new();
        for entry in fs::read_dir(&from).or_infra(doing)? {
            let entry = entry.or_infra(doing)?;
            let (path, target) = (dir.join(entry.file_name()), to.join(entry.file_name()));
            there.insert(entry.file_name());
            if entry.file_type().or_infra(doing)?.is_dir() {
                make_dir(&target).or_infra(doing)?;
                self.follow(&path)?;
            } else if !self.is_changed(&path) {
                link(&entry.path(), &target).or_infra(doing)?;
            }
        }
        for entry in fs::read_dir(&to).or_infra(doing)? {
            let entry = entry.or_infra(doing)?;
            let path = dir.join(entry.file_name());
            let kept =
                there.contains(&entry.file_name()) || path == Path::new(OBJECTS) || self.is_above(&path);
            if !kept {
                remove(&entry.path()).or_infra(doing)?;
            }
        }
        Ok(())
    }

    fn is_changed(&self, path: &Path) -> bool {
        path.to_str().is_some_and(|path| self.state.changed.contains(path))
    }

    /// It is a changed file, or a directory that one is in.
    fn is_above(&self, path: &Path) -> bool {
        self.state.changed.iter().any(|changed| Path::new(changed).starts_with(path))
    }

    fn save(&self) -> Result<()> {
        let json = serde_json::to_vec_pretty(&self.state).or_infra(|| "write a lane's state".to_owned())?;
        disk::write_aside(&state_file(&self.home), &json)
    }
}

fn state_file(home: &Path) -> PathBuf {
    home.join("lane.json")
}

/// None also for what is cut off, or of another version.
fn load(home: &Path) -> Option<State> {
    let state: State = serde_json::from_slice(&fs::read(state_file(home)).ok()?).ok()?;
    (state.schema == SCHEMA).then_some(state)
}

/// Arguments of `cp`: hard links to all of `entries` in `tree`.
fn links(entries: &[PathBuf], tree: &Path) -> Vec<std::ffi::OsString> {
    let options = ["-a", "--link", "--target-directory"].map(Into::into);
    options.into_iter().chain([tree.into()]).chain(entries.iter().map(Into::into)).collect()
}

/// Where the kernel's own host tools are built, by full paths (tools/build/Makefile.include). What made them is on record
/// in `.cmd` files, and one with another path would be made again, with all objects that it has gone over (objtool).
const TOOLS: &str = "tools";

/// Names the tree `to` instead of `from` in all recorded commands below `dir`.
fn rename_commands(dir: &Path, from: &Path, to: &Path) -> Result<()> {
    let doing = || format!("rename the commands in {}", dir.display());
    if !dir.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir).or_infra(doing)? {
        let entry = entry.or_infra(doing)?;
        let path = entry.path();
        if entry.file_type().or_infra(doing)?.is_dir() {
            rename_commands(&path, from, to)?;
        } else if path.extension().is_some_and(|extension| extension == "cmd") {
            let text = fs::read(&path).or_infra(doing)?;
            let renamed = replace(&text, from.as_os_str().as_bytes(), to.as_os_str().as_bytes());
            fs::write(&path, renamed).or_infra(doing)?;
        }
    }
    Ok(())
}

/// `text` with `to` for each `from`.
fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(byte) = rest.first() {
        if let Some(after) = rest.strip_prefix(from) {
            replaced.extend_from_slice(to);
            rest = after;
        } else {
            replaced.push(*byte);
            rest = &rest[1..];
        }
    }
    replaced
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
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices && found.is_symlink() => {
            std::os::unix::fs::symlink(fs::read_link(from)?, to)
        }
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            fs::copy(from, to)?;
            fs::File::options().write(true).open(to)?.set_modified(found.modified()?)
        }
        linked => linked,
    }
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

#[cfg(test)]
mod tests;
