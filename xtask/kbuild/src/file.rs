//! Files of the tree: paths that stay inside it, and sizes with a bound.

use std::fs;
use std::io::Read;
use std::path::Path;

/// Nothing that is read here is larger: the largest Kconfig of 7.2 has 100 kB, the largest source file of interest 3 MB.
const MAX_BYTES: u64 = 8 << 20;

/// `path` without `.`, `..` and double slashes; `None` if it leaves the tree.
pub(crate) fn inside(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    if path.starts_with('/') || path.contains('\0') {
        return None;
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// A regular file's text; bytes that are no UTF-8 are replaced. `None` if there is none, or if it is too large.
pub(crate) fn text(root: &Path, path: &str) -> Option<String> {
    bytes(root, path, MAX_BYTES).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The first `limit` bytes of a regular file.
pub(crate) fn bytes(root: &Path, path: &str, limit: u64) -> Option<Vec<u8>> {
    let path = root.join(inside(path)?);
    // A FIFO would never end, and a link may lead anywhere.
    if !fs::symlink_metadata(&path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The directories in a directory, by name.
pub(crate) fn folders(root: &Path, folder: &str) -> Vec<String> {
    entries(root, folder, fs::FileType::is_dir)
}

/// The regular files in a directory, by name.
pub(crate) fn files(root: &Path, folder: &str) -> Vec<String> {
    entries(root, folder, fs::FileType::is_file)
}

fn entries(root: &Path, folder: &str, is_wanted: fn(&fs::FileType) -> bool) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return Vec::new() };
    let wanted =
        entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_ok_and(|kind| is_wanted(&kind)));
    let mut names: Vec<_> = wanted.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names.iter().map(|name| join(folder, name)).collect()
}

/// Directory of a path; empty for the top.
pub(crate) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// `name` below `folder`.
pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_string() } else { format!("{folder}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        assert_eq!(inside("a//b/./../c").as_deref(), Some("a/c"));
        assert_eq!(inside("../etc/passwd"), None);
        assert_eq!(inside("a/../../b"), None);
        assert_eq!(inside("/etc/passwd"), None);
        assert_eq!(folder("a/b/c.c"), "a/b");
        assert_eq!(join("", "x"), "x");
    }
}
