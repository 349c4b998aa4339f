//! A private copy of a developer's kernel directory, kept up to date by size and modification time. The
//! original is only read. Build products are left out, because kbuild refuses a source that holds them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::stamp;
use crate::host::disk;
use crate::host::process;
use failure::{Context, Failure, Result};

/// First word of the index; another one is an index of another version.
const MAGIC: &str = "patchproof-snapshot-2";

/// What tells one state of an original file from another. These are facts of the developer's file and not of the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SnapshotState {
    size: u64,
    mtime_ns: i128,
    mode: u32,
}

type SnapshotFiles = BTreeMap<PathBuf, SnapshotState>;

/// The incarnation of the copy in `home`, if it is what `from` holds now.
///
/// # Errors
/// When the original cannot be read.
pub fn current(from: &Path, home: &Path) -> Result<Option<String>> {
    let Some((incarnation, copied)) = load(home) else { return Ok(None) };
    let mut now = SnapshotFiles::new();
    scan(from, Path::new(""), &mut now)?;
    Ok((now == copied).then_some(incarnation))
}

/// Brings `home/tree` up to date with `from` and returns the copy's incarnation. `home/tree` holds no edits.
///
/// # Errors
/// When the original cannot be read, the copy cannot be written, or the user interrupts.
pub fn refresh(from: &Path, home: &Path, progress: &dyn Fn(&str)) -> Result<String> {
    let mut now = SnapshotFiles::new();
    scan(from, Path::new(""), &mut now)?;
    let (incarnation, mut copied) = match load(home) {
        Some(index) => index,
        None => {
            disk::discard(home)?;
            disk::create_dir(&home.join("tree"))?;
            (disk::fresh_name()?, SnapshotFiles::new())
        }
    };
    let first = copied.is_empty();
    let gone: Vec<PathBuf> = copied.keys().filter(|path| !now.contains_key(*path)).cloned().collect();
    let changed: Vec<&PathBuf> =
        now.iter().filter(|(path, state)| copied.get(*path) != Some(state)).map(|(path, _)| path).collect();
    if gone.is_empty() && changed.is_empty() {
        return Ok(incarnation);
    }
    progress(&format!("copying {} files of {}, removing {}", changed.len(), from.display(), gone.len()));
    if !first {
        // What is about to be copied does not count as copied if this is interrupted.
        copied.retain(|path, state| now.get(path) == Some(state));
        save(home, &incarnation, &copied)?;
    }
    for path in &gone {
        match fs::remove_file(home.join("tree").join(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).or_infra(|| format!("remove {} from the copy", path.display()));
            }
            _ => {}
        }
    }
    for path in changed {
        if process::interrupted() {
            return Err(Failure::interrupted());
        }
        copy(&from.join(path), &home.join("tree").join(path))
            .or_infra(|| format!("copy {}", from.join(path).display()))?;
    }
    disk::sync_filesystem(home)?;
    save(home, &incarnation, &now)?;
    Ok(incarnation)
}

/// Collects the files and symbolic links below `root/below` that belong to the source.
fn scan(root: &Path, below: &Path, files: &mut SnapshotFiles) -> Result<()> {
    let dir = root.join(below);
    let reading = || format!("read {}", dir.display());
    for entry in fs::read_dir(&dir).or_infra(reading)? {
        let entry = entry.or_infra(reading)?;
        let path = below.join(entry.file_name());
        if is_build_product(&path) {
            continue;
        }
        let found = entry.metadata().or_infra(reading)?;
        if found.is_dir() {
            scan(root, &path, files)?;
        } else if found.is_file() || found.is_symlink() {
            files.insert(path, state(&found));
        }
    }
    Ok(())
}

fn state(found: &Metadata) -> SnapshotState {
    SnapshotState {
        size: found.size(),
        mtime_ns: i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec()),
        mode: found.mode(),
    }
}

/// What a build in the source directory leaves there, and git's own directory. `path` is relative to the top.
fn is_build_product(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let top = path.components().count() == 1;
    let has_end = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end.as_bytes()));
    let generated = ["include/config", "include/generated"].iter().any(|dir| path == Path::new(dir));
    let arch_generated = path.starts_with("arch") && path.ends_with("include/generated");
    name == b".git"
        || generated
        || arch_generated
        || name.starts_with(b".tmp_")
        || has_end(&[".o", ".ko", ".cmd", ".a", ".mod", ".mod.c", ".order"])
        || (top && (name.starts_with(b"vmlinux") || name.starts_with(b".config")))
        || (top && [b"System.map".as_slice(), b"Module.symvers"].contains(&name))
}

/// A whole file or nothing, by way of a rename. A build directory finds out by content what has changed, and gives it
/// a time.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let parent = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    // A directory of the same name whose files are gone.
    let _ = fs::remove_dir(to);
    let found = fs::symlink_metadata(from)?;
    let aside = disk::with_suffix(to, ".patchproof-copy");
    if found.is_symlink() {
        let _ = fs::remove_file(&aside);
        std::os::unix::fs::symlink(fs::read_link(from)?, &aside)?;
    } else {
        let mut target = File::create(&aside)?;
        // On Linux this becomes copy_file_range, which shares blocks where the file system can.
        io::copy(&mut File::open(from)?, &mut target)?;
        target.set_permissions(fs::Permissions::from_mode(found.mode() | 0o200))?;
    }
    stamp::set(&aside, stamp::original())?;
    fs::rename(&aside, to)
}

fn save(home: &Path, incarnation: &str, files: &SnapshotFiles) -> Result<()> {
    let mut text = format!("{MAGIC} {incarnation}\0").into_bytes();
    for (path, SnapshotState { size, mtime_ns, mode }) in files {
        text.extend(format!("{size} {mtime_ns} {mode} ").bytes());
        text.extend(path.as_os_str().as_bytes());
        text.push(0);
    }
    disk::write_aside(&home.join("index"), &text)
}

/// The index that [`save`] wrote, `None` when there is none or not one byte of it can be trusted.
fn load(home: &Path) -> Option<(String, SnapshotFiles)> {
    let bytes = fs::read(home.join("index")).ok()?;
    let mut records = bytes.strip_suffix(b"\0")?.split(|&byte| byte == 0);
    let head = std::str::from_utf8(records.next()?).ok()?;
    let incarnation = head.strip_prefix(MAGIC)?.strip_prefix(' ')?;
    let files = records.map(record).collect::<Option<SnapshotFiles>>()?;
    Some((incarnation.to_owned(), files))
}

fn record(bytes: &[u8]) -> Option<(PathBuf, SnapshotState)> {
    let mut fields = bytes.splitn(4, |&byte| byte == b' ');
    let mut number = || std::str::from_utf8(fields.next()?).ok();
    let state = SnapshotState {
        size: number()?.parse().ok()?,
        mtime_ns: number()?.parse().ok()?,
        mode: number()?.parse().ok()?,
    };
    Some((PathBuf::from(OsStr::from_bytes(fields.next()?)), state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_products_are_left_out_and_sources_with_similar_names_are_not() {
        let out = [
            ".git",
            ".config",
            ".config.old",
            "vmlinux",
            "vmlinux.o",
            "mm/mmap.o",
            "mm/.mmap.o.cmd",
            "include/config",
            "include/generated",
            "arch/x86/include/generated",
            ".tmp_vmlinux1",
            "fs/ext4/ext4.mod.c",
        ];
        let kept = [
            "arch/x86/kernel/vmlinux.lds.S",
            "include/asm-generic/vmlinux.lds.h",
            "scripts/config",
            "kernel/configs/x86_debug.config",
            "kernel/module",
            ".gitignore",
            "drivers/config",
        ];
        assert!(out.iter().all(|path| is_build_product(Path::new(path))), "{out:?}");
        let wrong: Vec<_> = kept.iter().filter(|path| is_build_product(Path::new(path))).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn the_index_survives_being_written_and_read_and_a_truncated_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let state = SnapshotState { size: 3, mtime_ns: -5, mode: 0o100644 };
        let files = SnapshotFiles::from([(PathBuf::from("a b\nc"), state)]);
        save(dir.path(), "id", &files).unwrap();
        assert_eq!(load(dir.path()), Some(("id".to_owned(), files)));
        let index = dir.path().join("index");
        let bytes = fs::read(&index).unwrap();
        fs::write(&index, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(load(dir.path()), None);
    }
}
