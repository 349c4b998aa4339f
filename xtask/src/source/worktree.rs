//! A kernel tree that the run may change: it is always the original plus exactly the changes last set, and a
//! crash at any moment can be undone. A fetched source is changed in place, a user's directory in a copy.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::journal::{self, Journal};
use super::lock::Lock;
use super::{Source, disk, snapshot};
use crate::deadline;
use crate::failure::{Context, Failure, Result};

/// New contents by path relative to the top of the tree; `None` removes the file.
pub type Changes = BTreeMap<String, Option<Vec<u8>>>;

/// How long a run waits for another one in the same tree.
const PATIENCE: Duration = Duration::from_secs(60);

/// Locked against other runs as long as it lives.
#[derive(Debug)]
pub struct WorkTree {
    home: PathBuf,
    journal: Journal,
    incarnation: String,
    _lock: Lock,
}

/// Takes the tree in `home` for this run alone.
///
/// # Errors
/// When another run keeps it: the failure names that run's process.
pub fn lock(home: &Path, progress: &dyn Fn(&str)) -> Result<Lock> {
    let what = format!("the kernel tree {}", home.display());
    Lock::take(&disk::with_suffix(home, ".lock"), &what, deadline::scaled(PATIENCE)?, progress)
}

impl WorkTree {
    /// Opens the changeable tree of `source`, unchanged: what an interrupted run left is undone first, and the
    /// copy of a user's directory is made or brought up to date.
    ///
    /// # Errors
    /// When another run uses the tree, or the tree cannot be brought back to its original.
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
        let journal = Journal::load(&home).map_err(|failure| {
            failure.next(format!("run again: the source in {} is fetched anew then", home.display()))
        })?;
        let mut tree = WorkTree { home, journal, incarnation: incarnation.to_owned(), _lock: lock };
        tree.restore()?;
        Ok(tree)
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
        let mut journal = match Journal::load(&home) {
            Ok(journal) => journal,
            Err(failure) => {
                progress(&format!("copying {} anew: {}", from.display(), failure.what));
                disk::discard(&home)?;
                Journal::load(&home)?
            }
        };
        restore(&home, &mut journal)?;
        let incarnation = snapshot::refresh(&from, &home, progress)?;
        Ok(WorkTree { home, journal, incarnation, _lock: lock })
    }

    /// The top directory, for make.
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

    /// The original content of a file, whatever is set now; `None` when the original tree has no such file.
    ///
    /// # Errors
    /// When the path leads out of the tree or through a symbolic link, or cannot be read.
    pub fn pristine(&self, path: &str) -> Result<Option<Vec<u8>>> {
        check(&self.dir(), path)?;
        let original = if self.journal.has(path) {
            self.journal.original(path)?
        } else {
            journal::read(&self.dir().join(path))?
        };
        Ok(original.map(|(bytes, _)| bytes))
    }

    /// Makes the tree the original plus exactly `changes`, and returns the paths it had to write. Files that
    /// are right already keep their modification times; a written one gets a newer time than it had.
    /// Directories made for a new file stay.
    ///
    /// # Errors
    /// When a path leads out of the tree or through a symbolic link: nothing is written then. When the disk
    /// says no: the next [`WorkTree::open`] undoes what was begun.
    pub fn set(&mut self, changes: &Changes) -> Result<Vec<String>> {
        let tree = self.dir();
        for path in changes.keys() {
            check(&tree, path)?;
        }
        let new: Vec<&str> =
            changes.keys().map(String::as_str).filter(|path| !self.journal.has(path)).collect();
        self.journal.record(&tree, &new)?;
        apply(&tree, &self.journal, changes)
    }

    fn restore(&mut self) -> Result<()> {
        restore(&self.home, &mut self.journal)
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

/// Makes the tree in `home` the original again.
///
/// # Errors
/// When the disk says no.
pub fn restore(home: &Path, journal: &mut Journal) -> Result<()> {
    apply(&home.join("tree"), journal, &Changes::new())?;
    journal.clear()
}

/// Makes every recorded path what `changes` says, or else its original.
fn apply(tree: &Path, journal: &Journal, changes: &Changes) -> Result<Vec<String>> {
    let mut written = Vec::new();
    for path in journal.paths() {
        check(tree, path)?;
        let original = journal.original(path)?;
        let mode = original.as_ref().map_or(0o644, |(_, mode)| *mode);
        let wanted = match changes.get(path) {
            Some(content) => content.clone(),
            None => original.map(|(bytes, _)| bytes),
        };
        let file = tree.join(path);
        if journal::read(&file)?.map(|(bytes, _)| bytes) == wanted {
            continue;
        }
        match wanted {
            Some(bytes) => put(&file, &bytes, mode, journal.dir()),
            None => fs::remove_file(&file),
        }
        .or_infra(|| format!("change {}", file.display()))?;
        written.push(path.to_owned());
    }
    Ok(written)
}

/// The whole file or nothing, with a modification time that make takes for newer even if the clock went back.
/// `staging` is outside the tree, so that a crash leaves no stray file in it.
fn put(file: &Path, bytes: &[u8], mode: u32, staging: &Path) -> io::Result<()> {
    fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
    let mut aside = tempfile::NamedTempFile::new_in(staging)?;
    aside.write_all(bytes)?;
    aside.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    let now = SystemTime::now();
    let before = fs::metadata(file).and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    // Set by hand: the file system's own clock ticks only every few milliseconds, and two writes in one tick
    // would look alike to make.
    aside.as_file().set_modified(now.max(before + Duration::from_millis(1)))?;
    aside.as_file().sync_all()?;
    aside.persist(file)?;
    Ok(())
}

/// Refuses a path that is not a plain relative one, that names git's directory, or that meets a symbolic link.
fn check(tree: &Path, path: &str) -> Result<()> {
    let refuse = |why: &str| Err(Failure::rejected(format!("refused to touch {path:?}")).because(why));
    if path.is_empty() || path.contains('\0') || path.ends_with('/') {
        return refuse("it names no file");
    }
    let mut so_far = tree.to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) if name.eq_ignore_ascii_case(".git") => {
                return refuse("it is in git's own directory");
            }
            Component::Normal(name) => so_far.push(name),
            Component::ParentDir | Component::RootDir | Component::CurDir | Component::Prefix(_) => {
                return refuse("it leads out of the tree");
            }
        }
        if fs::symlink_metadata(&so_far).is_ok_and(|found| found.is_symlink()) {
            return refuse("a part of it is a symbolic link");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
