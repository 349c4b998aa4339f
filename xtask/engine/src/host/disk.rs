//! Writing so that a crash at any moment leaves either the old state or the new one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use failure::{Context, Failure, Result};

/// Writes `bytes` beside `path` and renames: readers see the old content or the new, never a part. It is on disk then.
///
/// # Errors
/// On I/O failure.
pub fn write_aside(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = replace(path, parent(path), |mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.or_infra(|| format!("write {}", path.display()))
}

/// Puts the file that `fill` writes in place of `path`, by a rename: whole or not at all. It is written in `staging`, on the
/// same file system, and is this user's alone unless `fill` says something else.
///
/// # Errors
/// On I/O failure.
pub fn replace(path: &Path, staging: &Path, fill: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let aside = tempfile::Builder::new().prefix(ASIDE).tempfile_in(staging)?;
    fill(aside.as_file())?;
    aside.persist(path)?;
    Ok(())
}

/// What the name of a file that is not yet whole begins with.
const ASIDE: &str = ".aside-";

/// Makes `to`, which is not there, another name of `from`, or a copy where the file system cannot. Says which.
///
/// # Errors
/// On I/O failure.
pub fn link_or_copy(from: &Path, to: &Path) -> io::Result<Made> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(Made::Link);
    }
    match fs::symlink_metadata(from)?.is_symlink() {
        true => std::os::unix::fs::symlink(fs::read_link(from)?, to)?,
        false => fs::copy(from, to).map(drop)?,
    }
    Ok(Made::Copy)
}

/// How a file came to a second place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    Link,
    Copy,
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Writes a file that everyone may read aside and renames it, so that half of it is never read. Unlike [`write_aside`] it
/// does not wait for the disk: what a power cut takes is run again.
///
/// # Errors
/// When the directory cannot be written.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let written = replace(path, path.parent().unwrap_or(Path::new(".")), |mut file| {
        file.write_all(content)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o644))
    });
    written.or_infra(|| format!("write {}", path.display()))
}

/// Makes a file a program.
///
/// # Errors
/// When its mode cannot be changed.
pub fn make_executable(path: &Path) -> Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .or_infra(|| format!("make {} executable", path.display()))
}

/// Returns once everything written below `dir` so far is on disk.
///
/// # Errors
/// When the disk says no.
pub fn sync_filesystem(dir: &Path) -> Result<()> {
    let sync = || -> io::Result<()> {
        rustix::fs::syncfs(File::open(dir)?)?;
        Ok(())
    };
    sync().or_infra(|| format!("bring {} to disk", dir.display()))
}

/// Removes the directory `dir` if it is there: first out of the way by a rename, so that half of it is never
/// found under its name.
///
/// # Errors
/// When something in it cannot be removed.
pub fn discard(dir: &Path) -> Result<()> {
    let doomed = with_suffix(dir, ".discarded");
    remove_if_there(&doomed)?;
    match fs::rename(dir, &doomed) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).or_infra(|| format!("move {} away", dir.display())),
        Ok(()) => remove_if_there(&doomed),
    }
}

fn remove_if_there(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).or_infra(|| format!("remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// `path` with `suffix` appended to its last component.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Creates `dir` and what is above it.
///
/// # Errors
/// When the disk says no.
pub fn create_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).or_infra(|| format!("create {}", dir.display()))
}

/// What is in `dir`; nothing where it is not there.
pub fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

/// Sizes of all files below `dir`.
pub fn bytes(dir: &Path) -> u64 {
    let of = |path: PathBuf| match fs::symlink_metadata(&path) {
        Ok(found) if found.is_dir() => bytes(&path),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries(dir).into_iter().map(of).sum()
}

/// The SHA-256 of a file, in lower-case hex.
///
/// # Errors
/// When the file cannot be read.
pub fn sha256(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    File::open(path)
        .and_then(|mut file| io::copy(&mut file, &mut hasher))
        .or_infra(|| format!("read {}", path.display()))?;
    Ok(hex(&hasher.finalize()))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name that no other copy of a source has had: the time and the process.
///
/// # Errors
/// When the clock is before 1970.
pub fn fresh_name() -> Result<String> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_err(|error| Failure::infra("the clock is wrong").because(error.to_string()))?;
    Ok(format!("{:x}-{:x}", now.as_nanos(), std::process::id()))
}
