//! The tree of one source, for one run alone: read here, and changed nowhere but in its build directories. Of a
//! user's directory it is a copy that follows it.

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

/// How long a run waits for another one in the same tree.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// Locked against other runs as long as it lives.
#[derive(Debug)]
pub struct WorkTree {
    home: PathBuf,
    incarnation: String,
    _lock: Lock,
}

/// Takes the tree in `home` for this run alone.
///
/// # Errors
/// When another run keeps it: the failure names that run's process.
pub fn lock(home: &Path, progress: &dyn Fn(&str)) -> Result<Lock> {
    let what = format!("the kernel tree {}", home.display());
    Lock::take(&disk::with_suffix(home, ".lock"), &what, deadline::scaled(LOCK_TIMEOUT)?, progress)
}

impl WorkTree {
    /// Opens the tree of `source`; the copy of a user's directory is made or brought up to date.
    ///
    /// # Errors
    /// When another run uses the tree, or the copy cannot be written.
    pub fn open(source: &Source, cache: &Path, progress: &dyn Fn(&str)) -> Result<WorkTree> {
        match &source.incarnation {
            Some(incarnation) => Self::open_fetched(source, incarnation, progress),
            None => Self::open_copy(source, cache, progress),
        }
    }

    fn open_fetched(source: &Source, incarnation: &str, progress: &dyn Fn(&str)) -> Result<WorkTree> {
        let home = source.dir.parent().unwrap_or(Path::new(".")).to_owned();
        let lock = lock(&home, progress)?;
        if source.stamp.is_some() && source.stamp != fs::read(home.join("stamp.json")).ok() {
            return Err(Failure::infra(format!("{} is of another commit by now", home.display()))
                .because("another run with a tree of the same name came in between")
                .next("give the two trees different names, or run one after the other"));
        }
        Ok(WorkTree { home, incarnation: incarnation.to_owned(), _lock: lock })
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
        let home = copy_home(&from, &copies)?;
        let lock = lock(&home, progress)?;
        if was_edited(&home) {
            disk::discard(&home)?;
        }
        let incarnation = snapshot::refresh(&from, &home, progress)?;
        Ok(WorkTree { home, incarnation, _lock: lock })
    }

    /// What is kept beside the tree goes here.
    pub fn home(&self) -> &Path {
        &self.home
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
