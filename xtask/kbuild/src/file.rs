//! Files of the tree: paths that stay inside it, and sizes with a bound.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

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

/// A tree on disk, and what stands in it in the place of some files: a patch, as a rule.
#[derive(Debug, Clone, Default)]
pub(crate) struct TreeFiles {
    root: PathBuf,
    /// By path; `None`: there is no such file.
    changed: BTreeMap<String, Option<Vec<u8>>>,
}

impl TreeFiles {
    pub fn new(root: &Path, changed: BTreeMap<String, Option<Vec<u8>>>) -> TreeFiles {
        TreeFiles { root: root.to_path_buf(), changed }
    }

    pub fn has(&self, path: &str) -> bool {
        match self.changed.get(path) {
            Some(changed) => changed.is_some(),
            None => self.root.join(path).is_file(),
        }
    }

    /// A regular file's text; bytes that are no UTF-8 are replaced. `None` if there is none, or if it is too large.
    pub fn text(&self, path: &str) -> Option<String> {
        self.bytes(path, MAX_BYTES).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The first `limit` bytes of a regular file.
    pub fn bytes(&self, path: &str, limit: u64) -> Option<Vec<u8>> {
        let path = inside(path)?;
        if let Some(changed) = self.changed.get(&path) {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            return changed.as_ref().map(|bytes| bytes.iter().take(limit).copied().collect());
        }
        let path = self.root.join(path);
        // A FIFO would never end, and a link may lead anywhere.
        if !fs::symlink_metadata(&path).ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        fs::File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Files and directories in a directory, by path, in order.
    pub fn entries(&self, folder: &str) -> BTreeMap<String, EntryKind> {
        let on_disk = fs::read_dir(self.root.join(folder)).into_iter().flatten().filter_map(Result::ok);
        let mut found: BTreeMap<String, EntryKind> = on_disk
            .filter_map(|entry| {
                let kind = entry.file_type().ok()?;
                let kind = match (kind.is_dir(), kind.is_file()) {
                    (true, _) => EntryKind::Folder,
                    (_, true) => EntryKind::File,
                    _ => return None,
                };
                Some((join(folder, &entry.file_name().into_string().ok()?), kind))
            })
            .collect();
        let start = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        for (path, content) in &self.changed {
            let Some(rest) = path.strip_prefix(&start) else { continue };
            match (rest.split_once('/'), content) {
                (Some((name, _)), Some(_)) => _ = found.insert(join(folder, name), EntryKind::Folder),
                (Some(_), None) => {}
                (None, Some(_)) => _ = found.insert(path.clone(), EntryKind::File),
                (None, None) => _ = found.remove(path),
            }
        }
        found
    }

    /// The regular files in a directory, by path.
    pub fn regular(&self, folder: &str) -> Vec<String> {
        let entries = self.entries(folder).into_iter();
        entries.filter(|(_, kind)| *kind == EntryKind::File).map(|(path, _)| path).collect()
    }

    /// The directories in a directory, by path.
    pub fn folders(&self, folder: &str) -> Vec<String> {
        let entries = self.entries(folder).into_iter();
        entries.filter(|(_, kind)| *kind == EntryKind::Folder).map(|(path, _)| path).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Folder,
    /// Regular: no link, no pipe.
    File,
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

    #[test]
    fn changed_files_stand_in_the_place_of_those_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("fs")).unwrap();
        std::fs::write(dir.path().join("fs/old.c"), "old").unwrap();
        std::fs::write(dir.path().join("fs/kept.c"), "kept").unwrap();
        let changed = [("fs/old.c", None), ("fs/new.c", Some("new")), ("mm/x/deep.c", Some("deep"))];
        let changed = changed.into_iter().map(|(path, text)| (path.to_owned(), text.map(Vec::from)));
        let files = TreeFiles::new(dir.path(), changed.collect());
        assert_eq!(files.text("fs/./new.c").as_deref(), Some("new"));
        assert_eq!((files.text("fs/old.c"), files.has("fs/old.c")), (None, false));
        assert_eq!(files.bytes("fs/new.c", 2).as_deref(), Some(&b"ne"[..]));
        assert_eq!(files.entries("fs").into_keys().collect::<Vec<_>>(), ["fs/kept.c", "fs/new.c"]);
        assert_eq!(files.folders(""), ["fs", "mm"]);
        assert_eq!(files.folders("mm"), ["mm/x"]);
    }
}
