//! The originals of the files that a run changed in a tree, saved before the tree is touched. Whatever moment a
//! run is killed at, the manifest lists every path that may differ from the original, and the originals are
//! there. Layout below a tree's home: `edits/manifest.json`, `edits/originals/SHA256`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::disk;
use crate::failure::{Context, Failure, Result};

const SCHEMA: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    schema: u32,
    /// By path in the tree; `None` is a file that the original tree does not have.
    originals: BTreeMap<String, Option<Saved>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    /// Of the content, and the name of the file that holds it.
    sha256: String,
    /// Permission bits.
    mode: u32,
}

#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    manifest: Manifest,
}

/// A file's content and permission bits.
pub type Original = Option<(Vec<u8>, u32)>;

/// Whether the tree in `home` can be brought back to its original.
pub fn is_sound(home: &Path) -> bool {
    Journal::load(home).is_ok()
}

impl Journal {
    /// What an earlier run left in `home`; empty when it left nothing.
    ///
    /// # Errors
    /// When the manifest or an original is damaged: the tree cannot be trusted then.
    pub fn load(home: &Path) -> Result<Journal> {
        let dir = home.join("edits");
        let path = dir.join("manifest.json");
        let manifest = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Manifest { schema: SCHEMA, originals: BTreeMap::new() }
            }
            read => {
                let bytes = read.or_infra(|| format!("read {}", path.display()))?;
                serde_json::from_slice(&bytes).or_infra(|| format!("understand {}", path.display()))?
            }
        };
        let journal = Journal { dir, manifest };
        if journal.manifest.schema != SCHEMA {
            return Err(Failure::infra(format!("{} is of another version", path.display())));
        }
        for tree_path in journal.manifest.originals.keys() {
            journal.original(tree_path)?;
        }
        Ok(journal)
    }

    /// On the tree's file system and outside the tree; there as soon as a path was recorded.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The paths that may differ from the original.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.manifest.originals.keys().map(String::as_str)
    }

    pub fn has(&self, path: &str) -> bool {
        self.manifest.originals.contains_key(path)
    }

    /// The original of a path that was recorded.
    ///
    /// # Errors
    /// When it was not recorded, or what was saved is damaged.
    pub fn original(&self, path: &str) -> Result<Original> {
        let saved = self.manifest.originals.get(path);
        let saved = saved.ok_or_else(|| Failure::internal(format!("{path} was never saved")))?;
        let Some(saved) = saved else { return Ok(None) };
        // The manifest is a file on disk like any other: its words do not lead out of the directory.
        if !saved.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Failure::infra(format!("the saved original of {path} has no valid name")));
        }
        let file = self.dir.join("originals").join(&saved.sha256);
        let bytes = fs::read(&file).or_infra(|| format!("read the saved original of {path}"))?;
        if disk::hex(&Sha256::digest(&bytes)) == saved.sha256 {
            Ok(Some((bytes, saved.mode)))
        } else {
            Err(Failure::infra(format!("the saved original of {path} is damaged"))
                .because(format!("{} does not hash to its name", file.display())))
        }
    }

    /// Saves the originals of `paths`, which the tree still holds untouched, and only then names them in the
    /// manifest. After it returns the tree may be changed at these paths.
    ///
    /// # Errors
    /// When the tree cannot be read or the disk says no; the tree must not be changed then.
    pub fn record(&mut self, tree: &Path, paths: &[&str]) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        disk::create_dir(&self.dir.join("originals"))?;
        for path in paths {
            let saved = match read(&tree.join(path))? {
                None => None,
                Some((bytes, mode)) => {
                    let sha256 = disk::hex(&Sha256::digest(&bytes));
                    disk::write_aside(&self.dir.join("originals").join(&sha256), &bytes)?;
                    Some(Saved { sha256, mode })
                }
            };
            self.manifest.originals.insert((*path).to_owned(), saved);
        }
        let json = serde_json::to_vec_pretty(&self.manifest).or_infra(|| "write the manifest".to_owned())?;
        disk::write_aside(&self.dir.join("manifest.json"), &json)
    }

    /// Forgets everything; the tree is its original again.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn clear(&mut self) -> Result<()> {
        self.manifest.originals.clear();
        // The manifest is a part of the directory, and the directory goes by a rename: all of it or nothing.
        disk::discard(&self.dir)
    }
}

/// Content and permission bits of a regular file, `None` when there is no such file.
///
/// # Errors
/// When something else than a regular file is there.
pub fn read(path: &Path) -> Result<Original> {
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
