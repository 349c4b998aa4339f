//! The objects that builds leave in a build directory, made ready for the next build: their times by
//! [`super::stamp`], and without what make cannot find out by itself. Knows kbuild's record of what each object is
//! made of; runs nothing.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use memchr::memmem;

use super::stamp::{self, Chain};
use failure::{Context, Result};

/// Builds that did not end well since all objects were up to date.
#[derive(Debug, Clone, Copy)]
pub struct Unsettled {
    pub chain: Chain,
    pub builds: u32,
    /// When the last of them began, by the host's clock then.
    pub began_secs: u64,
    /// The last one ended by itself: it left no file half written.
    pub whole: bool,
}

/// Gives every file below `objects` the time of the build that made it, after builds that did not end well. False: that cannot be told any more, because the
/// clock was changed or somebody changed the files; then they must not be used.
///
/// # Errors
/// On I/O failure.
pub fn stamp(objects: &Path, unsettled: Unsettled) -> io::Result<bool> {
    let mut files = Vec::new();
    walk(objects, &mut files)?;
    // A clock that went back: what is written now would be older than what is there.
    if stamp::now_secs() < unsettled.began_secs {
        return Ok(false);
    }
    let mut fresh = BTreeSet::new();
    for (path, time) in files {
        if unsettled.chain.build_of(time, unsettled.builds).is_some() {
            continue;
        }
        if !is_from_build(time, unsettled.began_secs) {
            return Ok(false);
        }
        fresh.insert(path);
    }
    for path in &fresh {
        if !unsettled.whole && is_half_made(path, &fresh, objects) {
            fs::remove_file(path)?;
        } else {
            stamp::set(path, unsettled.chain.object(unsettled.builds))?;
        }
    }
    Ok(true)
}

/// Gives every file below `objects`, which are all up to date, the time that says so: whatever times they have mean nothing.
///
/// # Errors
/// On I/O failure.
pub fn stamp_settled(objects: &Path, chain: Chain) -> io::Result<()> {
    let mut files = Vec::new();
    walk(objects, &mut files)?;
    files.into_iter().try_for_each(|(path, _)| stamp::set(&path, chain.object(0)))
}

fn is_from_build(time: SystemTime, began_secs: u64) -> bool {
    let began = UNIX_EPOCH + Duration::from_secs(began_secs);
    // The file system's clock may be a tick behind.
    (began <= time + Duration::from_secs(1)) && time <= SystemTime::now() + Duration::from_secs(1)
}

/// Regular files with their times; links are left as they are.
fn walk(dir: &Path, files: &mut Vec<(PathBuf, SystemTime)>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push((entry.path(), entry.metadata()?.modified()?));
        }
    }
    Ok(())
}

/// A build that was killed may have left this file, one of the `fresh` ones that it wrote, unfinished. kbuild writes
/// `.NAME.cmd` after NAME is complete (scripts/Kbuild.include, `cmd_and_fixdep` and `cmd_and_savecmd`); headers and the
/// configuration it renames into place (`filechk`, scripts/kconfig/confdata.c).
fn is_half_made(path: &Path, fresh: &BTreeSet<PathBuf>, objects: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    if let Some(made) = name.strip_prefix(b".").and_then(|name| name.strip_suffix(b".cmd")) {
        let made = path.with_file_name(OsStr::from_bytes(made));
        return !fresh.contains(&made) || !is_whole_record(&fs::read(path).unwrap_or_default());
    }
    let record = record_of(path);
    if fresh.contains(&record) {
        return !is_whole_record(&fs::read(&record).unwrap_or_default());
    }
    let below = path.strip_prefix(objects).unwrap_or(path);
    let renamed = ["include/config", "include/generated"].iter().any(|dir| below.starts_with(dir))
        || below.components().any(|part| part.as_os_str() == "generated")
        || name.starts_with(b".config");
    // The rules that write `include/generated/asm/*.h` by echo write a line at once.
    let empty = fs::metadata(path).is_ok_and(|found| found.len() == 0);
    !renamed || (empty && !below.starts_with("include/config"))
}

/// `DIR/.NAME.cmd` of `DIR/NAME`.
pub fn record_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    let record = [b".", name.as_bytes(), b".cmd"].concat();
    path.with_file_name(OsStr::from_bytes(&record))
}

/// It ends with a line, and names all that the object is made of if it names anything (scripts/basic/fixdep.c ends with
/// `$(deps_NAME):`).
fn is_whole_record(text: &[u8]) -> bool {
    let names_all = memmem::find(text, b"\ndeps_").is_none() || memmem::find(text, b"\n$(deps_").is_some();
    text.ends_with(b"\n") && names_all
}

/// Removes every object that is made of a file with one of these names, wherever that file lies. A file that appears may
/// come before the one that was included so far, and make looks only at that one.
///
/// # Errors
/// On I/O failure.
pub fn remove_made_of(objects: &Path, names: &BTreeSet<&OsStr>) -> io::Result<usize> {
    if names.is_empty() || !objects.exists() {
        return Ok(0);
    }
    let endings: Vec<Vec<u8>> = names.iter().map(|name| [b"/", name.as_bytes()].concat()).collect();
    let mut removed = 0;
    for path in records(objects)? {
        if is_made_of(&fs::read(&path)?, &endings) {
            let object = made_by(&path);
            for file in [&object, &path] {
                match fs::remove_file(file) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            removed += 1;
        }
    }
    Ok(removed)
}

/// All records below `objects`: regular files `DIR/.NAME.cmd`.
///
/// # Errors
/// On I/O failure.
pub fn records(objects: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    walk(objects, &mut files)?;
    let is_record = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().as_bytes();
        name.starts_with(b".") && name.ends_with(b".cmd")
    };
    Ok(files.into_iter().map(|(path, _)| path).filter(is_record).collect())
}

/// `DIR/NAME` of `DIR/.NAME.cmd`.
pub fn made_by(record: &Path) -> PathBuf {
    let name = record.file_name().unwrap_or_default().as_bytes();
    let name = name.strip_prefix(b".").unwrap_or(name);
    record.with_file_name(OsStr::from_bytes(name.strip_suffix(b".cmd").unwrap_or(name)))
}

/// A line of a record that ends like this names a file that the object is made of. A small kernel has a million lines, so
/// they are not looked at one by one.
pub fn is_made_of(record: &[u8], endings: &[Vec<u8>]) -> bool {
    let ends_line = |after: &[u8]| matches!(after.strip_prefix(b" \\").unwrap_or(after), [] | [b'\n', ..]);
    endings
        .iter()
        .any(|ending| memmem::find_iter(record, ending).any(|at| ends_line(&record[at + ending.len()..])))
}

/// Where the kernel's own host tools are built, by full paths (tools/build/Makefile.include). What made them is on record
/// in `.cmd` files, and one with another path would be made again, with all objects that it has gone over (objtool).
pub const TOOLS: &str = "tools";

/// Names the tree `to` instead of `from` in all recorded commands below `dir`.
///
/// # Errors
/// On I/O failure.
pub fn rename_commands(dir: &Path, from: &Path, to: &Path) -> Result<()> {
    let doing = || format!("rename the commands in {}", dir.display());
    if !dir.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir).or_infra(doing)? {
        let entry = entry.or_infra(doing)?;
        let (path, kind) = (entry.path(), entry.file_type().or_infra(doing)?);
        if kind.is_dir() {
            rename_commands(&path, from, to)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "cmd") {
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

#[cfg(test)]
mod tests;
