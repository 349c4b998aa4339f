//! Single files of a tree, by the paths that patches name them by: which of these are refused, and how one is read and
//! put in another's place.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};
use std::time::{Duration, SystemTime};

use crate::failure::{Context, Failure, Result};

/// New contents by path relative to the top of the tree; `None` removes the file.
pub type Changes = BTreeMap<String, Option<Vec<u8>>>;

/// The object directory, in the source itself: kbuild then names every source by a path that begins with `..` (Makefile,
/// `srcroot`), which is the same in all lanes, so that objects stay up to date in a copy.
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

/// The whole file or nothing, with a modification time that make takes for newer even if the clock went back.
/// `staging` is outside the tree, so that a crash leaves no stray file in it.
///
/// # Errors
/// When the disk says no.
pub fn put(file: &Path, bytes: &[u8], mode: u32, staging: &Path) -> io::Result<()> {
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

/// Refuses a path that is not a plain relative one, that names git's directory or that of the objects, or that meets a
/// symbolic link.
///
/// # Errors
/// Rejected: with what is wrong with the path.
pub fn check(tree: &Path, path: &str) -> Result<()> {
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
            Component::Normal(name) if so_far == tree && name == OBJECTS => {
                return refuse("it is in the directory of the objects");
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
