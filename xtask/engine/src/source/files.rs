//! Single files of a tree, by the paths that patches name them by: which of these are refused, and how one is read and
//! put in another's place.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};
use std::time::SystemTime;

use crate::host::disk;
use failure::{Context, Failure, Result};
use patch::Content;

/// New files by path relative to the top of the tree; `None` removes the file.
pub type Changes = BTreeMap<String, Option<Content>>;

/// The object directory, in the source itself: kbuild then names every source by a path that begins with `..` (Makefile,
/// `srcroot`), which is the same in all build directories, so that objects stay up to date in a copy.
pub const OBJECTS: &str = "patchproof-objects";

/// Content and permission bits of a regular file, `None` when there is no such file.
///
/// # Errors
/// When something else than a regular file is there.
pub fn read(path: &Path) -> Result<Option<(Vec<u8>, u32)>> {
    let found = fs::symlink_metadata(path);
    match found {
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) => {
            return Ok(None);
        }
        Err(error) => return Err(error).or_infra(|| format!("read {}", path.display())),
        Ok(found) if !found.is_file() => {
            return Err(Failure::rejected(format!("{} is not a regular file", path.display())));
        }
        Ok(_) => {}
    }
    let bytes = fs::read(path).or_infra(|| format!("read {}", path.display()))?;
    let mode = fs::metadata(path).or_infra(|| format!("read {}", path.display()))?.permissions().mode();
    Ok(Some((bytes, mode & 0o7777)))
}

/// The mode of a file whose owner may execute it, or may not; one that `mode` says already stays as it is.
pub fn with_executable(mode: u32, executable: bool) -> u32 {
    match (is_executable(mode), executable) {
        (false, true) => 0o755,
        (true, false) => 0o644,
        (false, false) | (true, true) => mode,
    }
}

/// Whether git keeps a file of this mode as executable (git's create_ce_mode()).
pub fn is_executable(mode: u32) -> bool {
    mode & 0o100 != 0
}

/// What git keeps of the regular file at `path`.
///
/// # Errors
/// As [`read`].
pub fn content(path: &Path) -> Result<Option<Content>> {
    let found = read(path)?;
    Ok(found.map(|(bytes, mode)| Content { bytes, executable: is_executable(mode) }))
}

/// The whole file or nothing, with this modification time; an empty directory of its name makes way. `staging` is outside
/// the tree, so that a crash leaves no stray file in it.
///
/// # Errors
/// On I/O failure.
pub fn put(file: &Path, bytes: &[u8], mode: u32, staging: &Path, time: SystemTime) -> io::Result<()> {
    fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
    if fs::symlink_metadata(file).is_ok_and(|found| found.is_dir()) {
        fs::remove_dir(file)?;
    }
    disk::replace(file, staging, |mut aside| {
        aside.write_all(bytes)?;
        aside.set_permissions(fs::Permissions::from_mode(mode))?;
        aside.set_modified(time)?;
        aside.sync_all()
    })
}

/// Opens the regular file `path` below `dir`, for reading. What lies there may have been made by somebody who is not to be
/// trusted: no symbolic link is followed, also not on the way, and nothing waits for the other end of a pipe.
///
/// # Errors
/// When it is not there or no regular file, or a link is in the way.
pub fn open_below(dir: &Path, path: &Path) -> io::Result<fs::File> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
    let top = fs::File::open(dir)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = fs::File::from(openat2(&top, path, flags, Mode::empty(), resolve)?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}

/// All of the file that [`open_below`] opens.
///
/// # Errors
/// As [`open_below`], and on I/O failure.
pub fn read_below(dir: &Path, path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_below(dir, path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Refuses a path that is not a plain relative one, that names git's directory or that of the objects, or that meets a
/// symbolic link.
///
/// # Errors
/// Rejected: with what is wrong with the path.
pub fn check(tree: &Path, path: &str) -> Result<()> {
    check_words(path)?;
    let mut so_far = tree.to_owned();
    for component in Path::new(path).components() {
        so_far.push(component);
        if fs::symlink_metadata(&so_far).is_ok_and(|found| found.is_symlink()) {
            return refuse(path, "a part of it is a symbolic link");
        }
    }
    Ok(())
}

/// As [`check`], by the path alone.
///
/// # Errors
/// As [`check`].
pub fn check_words(path: &str) -> Result<()> {
    if path.is_empty() || path.contains('\0') || path.ends_with('/') {
        return refuse(path, "it names no file");
    }
    for (depth, component) in Path::new(path).components().enumerate() {
        match component {
            Component::Normal(name) if name.eq_ignore_ascii_case(".git") => {
                return refuse(path, "it is in git's own directory");
            }
            Component::Normal(name) if depth == 0 && name == OBJECTS => {
                return refuse(path, "it is in the directory of the objects");
            }
            Component::Normal(_) => {}
            Component::ParentDir | Component::RootDir | Component::CurDir | Component::Prefix(_) => {
                return refuse(path, "it leads out of the tree");
            }
        }
    }
    Ok(())
}

fn refuse(path: &str, why: &str) -> Result<()> {
    Err(Failure::rejected(format!("refused to touch {path:?}")).because(why))
}
