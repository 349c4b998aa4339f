//! The tree of one source: read here, and changed nowhere but in build directories. Runs share it, each with build
//! directories of its own. Of a user's directory it is a copy that follows it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::lock::Lock;
use super::{Source, files, snapshot};
use crate::host::deadline;
use crate::host::disk;
use failure::{Context, Failure, Result};
use patch::Content;

/// How long a run waits for another one that replaces the tree.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// Copies of one source, and sets of build directories of one tree, that different runs use at the same time.
pub const SETS_MAX: usize = 64;

/// It stays as it is as long as this lives.
#[derive(Debug)]
pub struct WorkTree {
    home: PathBuf,
    incarnation: String,
    set: BuildSet,
    _lock: Lock,
}

/// Build directories that are this run's alone.
#[derive(Debug)]
struct BuildSet {
    number: usize,
    _lock: Lock,
}

impl BuildSet {
    /// The first set of the tree in `home` that no run uses.
    fn take(home: &Path) -> Result<BuildSet> {
        let what = format!("build directories of {}", home.display());
        for number in 1..=SETS_MAX {
            let path = disk::with_suffix(home, &format!(".builds-{number}.lock"));
            if let Some(lock) = Lock::try_take(&path, &what)? {
                return Ok(BuildSet { number, _lock: lock });
            }
        }
        Err(Failure::infra(format!("{SETS_MAX} runs use the kernel tree {}", home.display()))
            .next("wait until one of them has ended"))
    }
}

/// The `number`-th of several that are alike: the first one has the plain name.
pub fn numbered(path: &Path, number: usize) -> PathBuf {
    if number == 1 { path.to_owned() } else { disk::with_suffix(path, &format!("-{number}")) }
}

fn lock_of(home: &Path) -> (PathBuf, String) {
    (disk::with_suffix(home, ".lock"), format!("the kernel tree {}", home.display()))
}

/// Takes the tree in `home` to replace it, or to change it.
///
/// # Errors
/// When runs keep it: the failure names the process of one.
pub fn lock(home: &Path, progress: &dyn Fn(&str)) -> Result<Lock> {
    let (path, what) = lock_of(home);
    Lock::take(&path, &what, deadline::scaled(LOCK_TIMEOUT)?, progress)
}

/// As [`lock`]; None where a run uses the tree.
///
/// # Errors
/// When the lock cannot be opened.
pub fn try_lock(home: &Path) -> Result<Option<Lock>> {
    let (path, what) = lock_of(home);
    Lock::try_take(&path, &what)
}

/// Keeps the tree in `home` as it is, beside others that do the same.
///
/// # Errors
/// When another process is about to replace it, and does not come to an end.
pub fn share(home: &Path, progress: &dyn Fn(&str)) -> Result<Lock> {
    let (path, what) = lock_of(home);
    Lock::share(&path, &what, deadline::scaled(LOCK_TIMEOUT)?, progress)
}

/// As [`share`]; None where another process is about to replace the tree.
///
/// # Errors
/// When the lock cannot be opened.
pub fn try_share(home: &Path) -> Result<Option<Lock>> {
    let (path, what) = lock_of(home);
    Lock::try_share(&path, &what)
}

impl WorkTree {
    /// Opens the tree of `source`; the copy of a user's directory is made or brought up to date. Waits for no run: one that
    /// uses a copy of what the directory was before keeps it, and this one gets another.
    ///
    /// # Errors
    /// When the tree was replaced meanwhile, or the copy cannot be written.
    pub fn open(source: &Source, cache: &Path, progress: &dyn Fn(&str)) -> Result<WorkTree> {
        match &source.incarnation {
            Some(incarnation) => Self::open_fetched(source, incarnation, progress),
            None => Self::open_copy(source, cache, progress),
        }
    }

    fn open_fetched(source: &Source, incarnation: &str, progress: &dyn Fn(&str)) -> Result<WorkTree> {
        let home = source.dir.parent().unwrap_or(Path::new(".")).to_owned();
        let lock = share(&home, progress)?;
        if source.stamp.is_some() && source.stamp != fs::read(home.join("stamp.json")).ok() {
            return Err(Failure::infra(format!("{} is of another commit by now", home.display()))
                .because("another run with a tree of the same name came in between")
                .next("give the two trees different names, or run one after the other"));
        }
        Self::with(home, incarnation.to_owned(), lock)
    }

    fn with(home: PathBuf, incarnation: String, lock: Lock) -> Result<WorkTree> {
        let set = BuildSet::take(&home)?;
        Ok(WorkTree { home, incarnation, set, _lock: lock })
    }

    fn open_copy(source: &Source, cache: &Path, progress: &dyn Fn(&str)) -> Result<WorkTree> {
        let from = source.dir.canonicalize().or_infra(|| format!("find {}", source.dir.display()))?;
        let copies = cache.join("snapshot");
        disk::create_dir(&copies)?;
        let copies = copies.canonicalize().or_infra(|| format!("find {}", copies.display()))?;
        if copies.starts_with(&from) {
            return Err(Failure::usage(format!("{} cannot hold its own copy", from.display()))
                .because(format!("copies are kept in {}", copies.display()))
                .next("run from a directory outside the kernel tree"));
        }
        let first = copy_home(&from, &copies)?;
        for number in 1..=SETS_MAX {
            if let Some(tree) = Self::open_copy_in(&numbered(&first, number), &from, progress)? {
                return Ok(tree);
            }
        }
        Err(Failure::infra(format!("{SETS_MAX} runs use copies of {}", from.display()))
            .next("wait until one of them has ended"))
    }

    /// The copy in `home`; None where it is of what the directory was before, and a run uses it.
    fn open_copy_in(home: &Path, from: &Path, progress: &dyn Fn(&str)) -> Result<Option<WorkTree>> {
        loop {
            let lock = share(home, progress)?;
            let current = if was_edited(home) { None } else { snapshot::current(from, home)? };
            if let Some(incarnation) = current {
                return Self::with(home.to_owned(), incarnation, lock).map(Some);
            }
            drop(lock);
            let Some(_alone) = try_lock(home)? else { return Ok(None) };
            if was_edited(home) {
                disk::discard(home)?;
            }
            // The lock is dropped and shared again: another process may come in between, and copy something newer.
            snapshot::refresh(from, home, progress)?;
        }
    }

    /// What is kept beside the tree goes here.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// What this run's own directories beside the tree have behind their name.
    pub fn suffix(&self) -> String {
        if self.set.number == 1 { String::new() } else { format!("-{}", self.set.number) }
    }

    /// The top directory.
    pub fn dir(&self) -> PathBuf {
        self.home.join("tree")
    }

    /// Names this copy of the source. Objects built from another incarnation must not be used: its files may
    /// be older than the objects and yet differ from what they were built from.
    pub fn incarnation(&self) -> &str {
        &self.incarnation
    }

    /// Names the original content of all files: equal names are equal trees.
    ///
    /// # Errors
    /// When what the tree says of itself cannot be read.
    pub fn identity(&self) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(&self.incarnation);
        // Of a source that was fetched, and of a copy that follows a user's directory.
        for file in ["stamp.json", "index"] {
            let path = self.home.join(file);
            match fs::read(&path) {
                Ok(bytes) => hash.update(bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).or_infra(|| format!("read {}", path.display())),
            }
            hash.update([0]);
        }
        Ok(disk::hex(&hash.finalize()))
    }

    /// A file as it came; `None` when the tree has no such file.
    ///
    /// # Errors
    /// When the path leads out of the tree or through a symbolic link, or cannot be read.
    pub fn pristine(&self, path: &str) -> Result<Option<Content>> {
        files::check(&self.dir(), path)?;
        files::content(&self.dir().join(path))
    }
}

/// Where the copy of a user's directory is kept. `NAME-HASH`: two directories of the same name have copies of
/// their own.
///
/// # Errors
/// When the directory's real path cannot be found.
pub fn copy_home(from: &Path, copies: &Path) -> Result<PathBuf> {
    let from = from.canonicalize().or_infra(|| format!("find {}", from.display()))?;
    let name = from.file_name().unwrap_or_default().to_string_lossy();
    let hash = disk::hex(&Sha256::digest(from.as_os_str().as_encoded_bytes()));
    Ok(copies.join(format!("{name}-{}", &hash[..12])))
}

/// An earlier harness changed trees in place and kept the originals beside them; one that was killed may have left the
/// tree changed.
pub fn was_edited(home: &Path) -> bool {
    home.join("edits").exists()
}

#[cfg(test)]
mod tests;
