//! A build directory: the source that the cells of one variant are built from, one after another, and their objects
//! in it. It is a tree of hard links to the original, which nobody writes through: a file that is changed is put in
//! place of its link. So build directories are built in side by side, each from the objects of its own last cell, and
//! a new one starts as a copy of a neighbour. What is stale is decided by content: the build directory records what
//! each file held when its last build began, and gives all files times that say so ([`super::stamp`]). A crash at any
//! moment leaves a build directory that the next [`BuildDir::begin`] makes right, or that is made again from nothing.

mod follow;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files::{self, Changes, OBJECTS, check, put, read};
use super::objects::{self, Unsettled};
use super::stamp::{self, Chain};
use super::worktree::WorkTree;
use crate::host::disk;
use crate::host::process::must;
use failure::{Context, Failure, Result};
use patch::Content;

const SCHEMA: u32 = 3;

/// A copy takes a second or two.
const DEADLINE: Duration = Duration::from_secs(900);

/// What a build directory remembers. It lies outside the directory that builds can write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BuildDirState {
    schema: u32,
    /// [`WorkTree::incarnation`] of its original.
    incarnation: String,
    /// [`WorkTree::identity`] of its original.
    identity: String,
    /// Paths that may be no links to the original any more.
    own: BTreeMap<String, Own>,
    /// Builds that began since one ended well.
    unsettled: u32,
    /// The last build ended by itself: it left no file half written.
    whole: bool,
    /// The times of those builds.
    chain: Chain,
    /// When the last build began, in seconds since 1970 of the host's clock then.
    began_secs: u64,
    /// The host's boot in which it began (/proc/sys/kernel/random/boot_id): what was not on disk is gone after another.
    boot: String,
    /// A build ended well here.
    settled: bool,
    /// What the `.config` was made from.
    configured: String,
    /// The path by which builds see the tree: some host tools are built by full paths.
    place: PathBuf,
}

/// A file of the build directory's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    /// Of what it was when the last build began; None: it was not there.
    digest: Option<String>,
    /// The build before which that last changed, counted like [`BuildDirState::unsettled`]; 0: all objects know it.
    since: u32,
}

#[derive(Debug)]
pub struct BuildDir {
    home: PathBuf,
    original: PathBuf,
    state: BuildDirState,
}

/// Where the source of the build directory in `home` is, for make.
pub fn tree_in(home: &Path) -> PathBuf {
    home.join("tree")
}

/// Where its objects are.
pub fn objects_in(home: &Path) -> PathBuf {
    tree_in(home).join(OBJECTS)
}

/// Whether the build directory in `home` has objects to start from, its own next build or a copy's, of this copy of
/// the source.
pub fn is_usable(home: &Path, incarnation: &str) -> bool {
    load(home)
        .is_some_and(|state| state.incarnation == incarnation && state.settled && state.is_of_this_boot())
        && objects_in(home).join(".config").is_file()
}

/// What the kernel in `home` was asked for when it was configured last, as lines of a fragment; empty where that is not known.
pub fn configured_lines(home: &Path) -> BTreeSet<String> {
    load(home).map(|state| asked_lines(&state.configured)).unwrap_or_default()
}

/// Beside them stands the text of changed Kconfig files, which speaks of symbols as well.
fn asked_lines(configured: &str) -> BTreeSet<String> {
    let is_one = |line: &&str| line.starts_with("CONFIG_") || line.starts_with("# CONFIG_");
    configured.lines().filter(is_one).map(str::to_owned).collect()
}

/// The `.config` of the objects in `home`.
pub fn config(home: &Path) -> Option<String> {
    let bytes = files::read_below(&objects_in(home), Path::new(".config")).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

impl BuildDirState {
    fn new(incarnation: String, identity: String) -> BuildDirState {
        BuildDirState {
            schema: SCHEMA,
            incarnation,
            identity,
            own: BTreeMap::new(),
            unsettled: 0,
            whole: true,
            chain: Chain::new(0),
            began_secs: 0,
            boot: String::new(),
            settled: false,
            configured: String::new(),
            place: PathBuf::new(),
        }
    }

    /// What it says of unsettled objects still holds.
    fn is_of_this_boot(&self) -> bool {
        self.unsettled == 0 || self.boot == this_boot()
    }
}

fn this_boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

impl BuildDir {
    /// The build directory in `home` with the source of `work`: made, or brought up to date with it.
    ///
    /// # Errors
    /// On I/O failure.
    pub fn open(work: &WorkTree, home: PathBuf) -> Result<BuildDir> {
        let (incarnation, identity) = (work.incarnation().to_owned(), work.identity()?);
        let known = load(&home).filter(|state| state.incarnation == incarnation);
        let known_identity = known.as_ref().map(|state| state.identity.clone());
        let state = known.unwrap_or_else(|| BuildDirState::new(incarnation, identity.clone()));
        let mut build_dir = BuildDir { home, original: work.dir(), state };
        if known_identity.is_none() {
            disk::discard(&build_dir.home)?;
            disk::create_dir(&build_dir.dir())?;
        }
        if known_identity.as_ref() != Some(&identity) {
            let changed = build_dir.follow(Path::new(""))?;
            build_dir.state.own.extend(changed);
            disk::sync_filesystem(&build_dir.home)?;
            build_dir.state.identity = identity;
            build_dir.save()?;
        }
        Ok(build_dir)
    }

    /// A new build directory in `home` as a copy of `other`, with its objects; nobody builds in that one meanwhile.
    ///
    /// # Errors
    /// On I/O failure, or when `cp` fails.
    pub fn copy(other: &Path, work: &WorkTree, home: PathBuf) -> Result<BuildDir> {
        let state = load(other);
        let state = state
            .ok_or_else(|| Failure::infra(format!("{} is no sound build directory", other.display())))?;
        disk::discard(&home)?;
        let tree = tree_in(&home);
        disk::create_dir(&tree)?;
        let reading = || format!("read {}", other.display());
        let mut entries: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(tree_in(other)).or_infra(reading)? {
            entries.push(entry.or_infra(reading)?.path());
        }
        entries.retain(|path| !path.ends_with(OBJECTS));
        let copy = |command| must("the copy of a build directory", command, &home.join("copy.log"), DEADLINE);
        copy(duct::cmd("cp", links(&entries, &tree)))?;
        // Objects are written in place: they are copied, with their times, and share blocks where the disk can.
        copy(duct::cmd!("cp", "-a", "--reflink=auto", objects_in(other), &tree))?;
        let build_dir = BuildDir { home, original: work.dir(), state };
        disk::sync_filesystem(&build_dir.home)?;
        build_dir.save()?;
        Ok(build_dir)
    }

    pub fn dir(&self) -> PathBuf {
        tree_in(&self.home)
    }

    pub fn objects(&self) -> PathBuf {
        objects_in(&self.home)
    }

    /// What the `.config` among the objects was made from, as [`BuildDir::configured`] was told; empty if nothing was.
    pub fn configured_from(&self) -> &str {
        &self.state.configured
    }

    /// # Errors
    /// On I/O failure.
    pub fn configured(&mut self, from: String) -> Result<()> {
        self.state.configured = from;
        self.save()
    }

    /// Makes the source the original plus exactly `changes`, and the objects ready for a build that sees the tree at
    /// `place`: whatever their times were, make then finds out of date what was made from other contents. Says whether
    /// there are objects to start from. [`BuildDir::settle`] or [`BuildDir::pause`] follows the build; without
    /// either, it counts as killed.
    ///
    /// # Errors
    /// When a path leads out of the tree or through a symbolic link: nothing is written then. On I/O failure.
    pub fn begin(&mut self, changes: &Changes, place: &Path) -> Result<bool> {
        for path in changes.keys() {
            check(&self.dir(), path)?;
        }
        self.ready_objects(place)?;
        let wanted = self.wanted(changes)?;
        let appeared = self.note(&wanted)?;
        let names: BTreeSet<&OsStr> =
            appeared.iter().filter_map(|path| Path::new(path).file_name()).collect();
        objects::remove_made_of(&self.objects(), &names)
            .or_infra(|| format!("remove objects in {}", self.objects().display()))?;
        self.state.unsettled += 1;
        (self.state.whole, self.state.began_secs, self.state.boot) = (false, stamp::now_secs(), this_boot());
        self.state.place = place.to_owned();
        // Before anything is touched: a run that is killed from here on has left what the state says, or older files.
        self.save()?;
        self.write(&wanted)?;
        disk::create_dir(&self.objects())?;
        Ok(self.objects().join(".config").exists())
    }

    /// The build ended well: all objects are made from what the build directory holds now.
    ///
    /// # Errors
    /// On I/O failure.
    pub fn settle(&mut self) -> Result<()> {
        // A power cut must not keep the state and lose the objects.
        disk::sync_filesystem(&self.home)?;
        let original = self.original.clone();
        self.state.own.retain(|path, own| own.digest.is_some() || original.join(path).exists());
        for own in self.state.own.values_mut() {
            own.since = 0;
        }
        (self.state.unsettled, self.state.whole, self.state.settled) = (0, true, true);
        self.save()
    }

    /// The build ended early and left no file half written: the next one goes on from there.
    ///
    /// # Errors
    /// On I/O failure.
    pub fn pause(&mut self) -> Result<()> {
        self.state.whole = true;
        self.save()
    }

    /// Removes the objects: a build left among them what no build leaves.
    ///
    /// # Errors
    /// On I/O failure.
    pub fn forget_objects(&mut self) -> Result<()> {
        self.without_objects()?;
        self.save()
    }

    /// Gives the objects that are there times by which make is right about them, or removes them all.
    fn ready_objects(&mut self, place: &Path) -> Result<()> {
        let objects = self.objects();
        let doing = || format!("make {} ready for a build", objects.display());
        if !objects.exists() {
            return self.without_objects();
        }
        let BuildDirState { unsettled: builds, began_secs, whole, chain, .. } = self.state;
        let usable = if builds == 0 {
            self.state.chain = Chain::new(stamp::now_secs());
            objects::stamp_settled(&objects, self.state.chain).or_infra(doing)?;
            self.state.settled
        } else {
            let unsettled = Unsettled { chain, builds, began_secs, whole };
            builds < stamp::BUILDS_MAX
                && self.state.is_of_this_boot()
                && objects::stamp(&objects, unsettled).or_infra(doing)?
        };
        if !usable {
            return self.without_objects();
        }
        if self.state.place != place {
            objects::rename_commands(&objects.join(objects::TOOLS), &self.state.place, place)?;
        }
        Ok(())
    }

    fn without_objects(&mut self) -> Result<()> {
        disk::discard(&self.objects())?;
        (self.state.unsettled, self.state.settled, self.state.configured) = (0, false, String::new());
        self.state.chain = Chain::new(stamp::now_secs());
        for own in self.state.own.values_mut() {
            own.since = 0;
        }
        Ok(())
    }

    /// What each path of the build directory's own has to hold, and its mode.
    fn wanted(&self, changes: &Changes) -> Result<BTreeMap<String, WantedFile>> {
        let mut wanted = BTreeMap::new();
        for path in self.state.own.keys().chain(changes.keys()) {
            check(&self.dir(), path)?;
            let found = read(&self.original.join(path))?;
            let mode = found.as_ref().map_or(0o644, |(_, mode)| *mode);
            let original =
                found.map(|(bytes, mode)| Content { bytes, executable: files::is_executable(mode) });
            let before = original.as_ref().map(digest);
            let content = changes.get(path).cloned().unwrap_or(original);
            let executable = content.as_ref().is_some_and(|content| content.executable);
            let mode = files::with_executable(mode, executable);
            wanted.insert(path.clone(), WantedFile { content, mode, original: before });
        }
        Ok(wanted)
    }

    /// Notes which of `wanted` the coming build finds changed, and returns those that were not there before it.
    fn note(&mut self, wanted: &BTreeMap<String, WantedFile>) -> Result<Vec<String>> {
        let next = self.state.unsettled + 1;
        let mut appeared = Vec::new();
        for (path, WantedFile { content, original, .. }) in wanted {
            let digest = content.as_ref().map(digest);
            let own = self
                .state
                .own
                .entry(path.clone())
                .or_insert_with(|| Own { digest: original.clone(), since: 0 });
            if own.digest != digest {
                if own.digest.is_none() {
                    appeared.push(path.clone());
                }
                *own = Own { digest, since: next };
            }
        }
        Ok(appeared)
    }

    /// Puts every file in place, with the time that the state gives it.
    fn write(&self, wanted: &BTreeMap<String, WantedFile>) -> Result<()> {
        let tree = self.dir();
        let (gone, there): (Vec<_>, Vec<_>) = wanted.iter().partition(|(_, wanted)| wanted.content.is_none());
        // First what goes: a file may come where a directory was, or a directory where a file was.
        for (path, _) in gone {
            remove_file(&tree.join(path)).or_infra(|| format!("remove {path} from {}", tree.display()))?;
            self.prune(Path::new(path)).or_infra(|| format!("remove directories of {path}"))?;
        }
        for (path, WantedFile { content, mode, .. }) in there {
            let file = tree.join(path);
            let doing = || format!("change {}", file.display());
            let time = self.state.chain.source(self.state.own.get(path).map_or(0, |own| own.since));
            // A second name may be the original's, or another build directory's.
            let is_own = fs::symlink_metadata(&file).is_ok_and(|found| found.is_file() && found.nlink() == 1);
            if is_own && files::content(&file)? == *content {
                stamp::set(&file, time).or_infra(doing)?;
            } else {
                let bytes = content.as_ref().map(|content| &content.bytes[..]);
                put(&file, bytes.unwrap_or_default(), *mode, &self.home, time).or_infra(doing)?;
            }
        }
        Ok(())
    }

    /// Removes the directories above `path` that are empty now and that the original does not have.
    fn prune(&self, path: &Path) -> io::Result<()> {
        for dir in path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()) {
            if self.original.join(dir).is_dir() {
                break;
            }
            match fs::remove_dir(self.dir().join(dir)) {
                Err(error)
                    if [io::ErrorKind::DirectoryNotEmpty, io::ErrorKind::NotADirectory]
                        .contains(&error.kind()) =>
                {
                    break;
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn save(&self) -> Result<()> {
        let json = serde_json::to_vec_pretty(&self.state)
            .or_infra(|| "write a build directory's state".to_owned())?;
        disk::write_aside(&state_file(&self.home), &json)
    }
}

/// What a path of the build directory's own has to be.
#[derive(Debug)]
struct WantedFile {
    content: Option<Content>,
    mode: u32,
    /// The digest of the original's.
    original: Option<String>,
}

/// Of what a file holds, and of whether it may be executed.
fn digest(content: &Content) -> String {
    let of_bytes = disk::hex(&Sha256::digest(&content.bytes));
    if content.executable { format!("{of_bytes}, executable") } else { of_bytes }
}

fn state_file(home: &Path) -> PathBuf {
    home.join("build-dir.json")
}

/// None also for what is cut off, or of another version.
fn load(home: &Path) -> Option<BuildDirState> {
    let state: BuildDirState = serde_json::from_slice(&fs::read(state_file(home)).ok()?).ok()?;
    (state.schema == SCHEMA).then_some(state)
}

/// Arguments of `cp`: hard links to all of `entries` in `tree`.
fn links(entries: &[PathBuf], tree: &Path) -> Vec<std::ffi::OsString> {
    let options = ["-a", "--link", "--target-directory"].map(Into::into);
    options.into_iter().chain([tree.into()]).chain(entries.iter().map(Into::into)).collect()
}

/// That it is not there is as good.
fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) => {
            Ok(())
        }
        removed => removed,
    }
}

#[cfg(test)]
mod tests;
