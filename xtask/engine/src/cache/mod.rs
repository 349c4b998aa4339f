//! What was built and what was measured before, by content: a kernel or a boot is taken from here only where everything
//! that it depends on is the same. Entries are never changed, appear whole, are sealed (crate::cache::seal), and are checked when
//! they are used, so that any number of runs may use them at once. Decides nothing about what a key is made of.

pub mod seal;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::host::disk;
use crate::host::disk::write_whole;
use crate::observe::{Boot, Build};
use failure::{Context, Result};
use patch::Content;

/// Kernels of this project are some 20 MiB each: a hundred of them.
pub const LIMIT_BYTES: u64 = 3 << 30;

/// The last thing written into a kernel's entry.
const ENTRY: &str = "entry.json";

/// A digest over named parts; no two different lists of parts give the same one.
#[derive(Debug, Clone, Default)]
pub struct Key(Sha256);

impl Key {
    /// `what` it is a key of; the version goes up when its parts mean something else.
    pub fn new(what: &str, version: u32) -> Key {
        Key::default().with("what", what.as_bytes()).with("version", &version.to_le_bytes())
    }

    pub fn with(mut self, name: &str, part: &[u8]) -> Key {
        for bytes in [name.as_bytes(), part] {
            self.0.update((bytes.len() as u64).to_le_bytes());
            self.0.update(bytes);
        }
        self
    }

    /// With a changed file; `None`: it is removed.
    pub fn with_file(self, path: &str, file: Option<&Content>) -> Key {
        let there = [u8::from(file.is_some())];
        let bytes = file.map(|content| &content.bytes[..]);
        let key = self.with(path, &there).with("content", bytes.unwrap_or_default());
        match file {
            Some(Content { executable: true, .. }) => key.with("mode", b"executable"),
            _ => key,
        }
    }

    pub fn finish(self) -> String {
        disk::hex(&self.0.finalize())
    }
}

/// What a boot showed, and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recorded {
    /// UTC, RFC 3339.
    pub date: String,
    pub boot: Boot,
}

#[derive(Debug, Serialize, Deserialize)]
struct CacheEntry {
    build: Build,
    /// sha256 by name.
    files: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub struct Cache {
    dir: PathBuf,
}

/// What the cache holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub kernels: usize,
    pub kernel_bytes: u64,
    pub boots: usize,
    pub boot_bytes: u64,
}

impl Cache {
    pub fn new(dir: PathBuf) -> Cache {
        Cache { dir }
    }

    fn kernels(&self) -> PathBuf {
        self.dir.join("kernels")
    }

    fn boots(&self) -> PathBuf {
        self.dir.join("boots")
    }

    /// What became of the build of `key`, if that is `wanted`; its files are then in `into`, and must not be written to.
    /// None: it is not wanted, not here, or not sound any more.
    pub fn kernel(&self, key: &str, into: &Path, wanted: impl FnOnce(&Build) -> bool) -> Option<Build> {
        let home = self.kernels().join(key);
        let entry = match read::<CacheEntry>("kernel", key, &home.join(ENTRY)) {
            Some(entry) => Some(entry).filter(|entry| wanted(&entry.build))?,
            None => {
                let _ = fs::remove_dir_all(&home);
                return None;
            }
        };
        let sound = entry.files.iter().all(|(name, sum)| {
            let (from, to) = (home.join(name), into.join(name));
            disk::sha256(&from).is_ok_and(|found| found == *sum) && link(&from, &to).is_ok()
        });
        if !sound {
            let _ = fs::remove_dir_all(&home);
            return None;
        }
        used(&home.join(ENTRY));
        Some(entry.build)
    }

    /// Keeps what became of a build, with those of `names` that are in `from`.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn keep_kernel(&self, key: &str, from: &Path, names: &[&str], build: &Build) -> Result<()> {
        let doing = || format!("keep a kernel in {}", self.kernels().display());
        disk::create_dir(&self.kernels())?;
        let aside = tempfile::Builder::new().prefix(".aside-").tempdir_in(self.kernels()).or_infra(doing)?;
        let mut files = BTreeMap::new();
        for name in names.iter().filter(|name| from.join(name).is_file()) {
            link(&from.join(name), &aside.path().join(name)).or_infra(doing)?;
            files.insert((*name).to_owned(), disk::sha256(&from.join(name))?);
        }
        let entry = CacheEntry { build: build.clone(), files };
        let json = serde_json::to_vec(&entry).or_infra(doing)?;
        write_whole(&aside.path().join(ENTRY), &seal::seal(&format!("kernel {key}"), &json)?)?;
        // Another run may have been faster: its entry is as good.
        let _ = fs::rename(aside.keep(), self.kernels().join(key));
        Ok(())
    }

    pub fn boot(&self, key: &str) -> Option<Recorded> {
        let path = self.boots().join(format!("{key}.json"));
        let recorded = read("boot", key, &path)?;
        used(&path);
        Some(recorded)
    }

    /// # Errors
    /// When the disk says no.
    pub fn record(&self, key: &str, recorded: &Recorded) -> Result<()> {
        disk::create_dir(&self.boots())?;
        let json = serde_json::to_vec(recorded).or_infra(|| "encode a boot".to_owned())?;
        write_whole(&self.boots().join(format!("{key}.json")), &seal::seal(&format!("boot {key}"), &json)?)
    }

    pub fn usage(&self) -> Usage {
        let (kernels, boots) = (entries(&self.kernels()), entries(&self.boots()));
        let bytes = |entries: &[FoundEntry]| entries.iter().map(|found| found.bytes).sum();
        Usage {
            kernels: kernels.len(),
            kernel_bytes: bytes(&kernels),
            boots: boots.len(),
            boot_bytes: bytes(&boots),
        }
    }

    /// Removes what was not used for longest until no more than `limit` bytes are left; says how many entries went.
    pub fn shrink(&self, limit: u64) -> usize {
        let mut all = [entries(&self.kernels()), entries(&self.boots())].concat();
        all.sort_by_key(|found| found.used);
        let mut bytes: u64 = all.iter().map(|found| found.bytes).sum();
        let mut removed = 0;
        for found in all {
            if bytes <= limit {
                break;
            }
            let gone = if found.path.is_dir() {
                fs::remove_dir_all(&found.path)
            } else {
                fs::remove_file(&found.path)
            };
            if gone.is_ok() {
                bytes = bytes.saturating_sub(found.bytes);
                removed += 1;
            }
        }
        removed
    }
}

#[derive(Debug, Clone)]
struct FoundEntry {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// Also what a run that was cut off left: it is removed like any other that nobody uses.
fn entries(dir: &Path) -> Vec<FoundEntry> {
    let found = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| {
        let path = entry.path();
        let inside: Vec<_> = fs::read_dir(&path).into_iter().flatten().flatten().collect();
        let sizes = inside.iter().filter_map(|file| Some(file.metadata().ok()?.len()));
        let own = fs::metadata(&path).map_or(0, |found| if found.is_file() { found.len() } else { 0 });
        let used = fs::metadata(path.join(ENTRY)).or_else(|_| fs::metadata(&path));
        let used = used.and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        FoundEntry { bytes: own + sizes.sum::<u64>(), path, used }
    });
    found.collect()
}

/// What was kept as `what` under `key`; None also for what is cut off, or what another has written.
fn read<T: DeserializeOwned>(what: &str, key: &str, path: &Path) -> Option<T> {
    let sealed = fs::read(path).ok()?;
    let json = seal::open(&format!("{what} {key}"), &sealed).ok()??;
    serde_json::from_slice(json).ok()
}

/// In place of what is there.
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    let _ = fs::remove_file(to);
    disk::link_or_copy(from, to).map(drop)
}

fn used(path: &Path) {
    let now = SystemTime::now();
    // Only for the order in which entries are removed.
    let _ = fs::File::options().append(true).open(path).and_then(|file| file.set_modified(now));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Built;

    fn bench() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("cache"));
        for name in ["cell", "other"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("cell/vmlinux"), "a kernel").unwrap();
        (dir, cache)
    }

    fn keep(dir: &tempfile::TempDir, cache: &Cache, key: &str) {
        let build = Build::Built(Built { cold: true, ..Built::default() });
        cache.keep_kernel(key, &dir.path().join("cell"), &["vmlinux", "absent"], &build).unwrap();
    }

    #[test]
    fn different_parts_are_different_keys() {
        let key = |parts: &[(&str, &str)]| {
            let key = Key::new("kernel", 1);
            parts.iter().fold(key, |key, (name, part)| key.with(name, part.as_bytes())).finish()
        };
        let keys = [
            key(&[]),
            key(&[("a", "")]),
            key(&[("a", "b")]),
            key(&[("ab", "")]),
            key(&[("a", "b"), ("c", "")]),
            key(&[("a", ""), ("bc", "")]),
            Key::new("boot", 1).finish(),
            Key::new("kernel", 2).finish(),
        ];
        let different: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
        assert_eq!(key(&[("a", "b")]), keys[2]);
    }

    #[test]
    fn a_file_is_known_by_content_and_mode() {
        let key = |file: Option<&Content>| Key::new("kernel", 1).with_file("x.sh", file).finish();
        let plain = Content::plain("true\n");
        let executable = Content { executable: true, ..plain.clone() };
        let keys = [key(None), key(Some(&plain)), key(Some(&executable)), key(Some(&Content::default()))];
        let different: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
    }

    #[test]
    fn a_kernel_comes_back_with_its_files_and_only_under_its_own_key() {
        let (dir, cache) = bench();
        keep(&dir, &cache, "k1");
        let other = dir.path().join("other");
        assert!(cache.kernel("k2", &other, |_| true).is_none());
        assert!(matches!(cache.kernel("k1", &other, |_| true), Some(Build::Built(built)) if built.cold));
        assert_eq!(fs::read_to_string(other.join("vmlinux")).unwrap(), "a kernel");
        assert_eq!(cache.usage().kernels, 1);
    }

    #[test]
    fn what_is_not_wanted_leaves_nothing_behind() {
        let (dir, cache) = bench();
        keep(&dir, &cache, "k");
        let other = dir.path().join("other");
        assert!(cache.kernel("k", &other, |build| !matches!(build, Build::Built(_))).is_none());
        assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
        assert!(cache.kernel("k", &other, |_| true).is_some());
    }

    #[test]
    fn an_entry_that_was_damaged_is_not_used_and_goes() {
        for (file, content) in [("vmlinux", "a kernal"), (ENTRY, "{\"build\":")] {
            let (dir, cache) = bench();
            keep(&dir, &cache, "k");
            fs::write(dir.path().join("cache/kernels/k").join(file), content).unwrap();
            assert!(cache.kernel("k", &dir.path().join("other"), |_| true).is_none(), "{file}");
            keep(&dir, &cache, "k");
        }
    }

    #[test]
    fn an_entry_that_another_has_written_is_not_used() {
        let (dir, cache) = bench();
        keep(&dir, &cache, "good");
        let kernels = dir.path().join("cache/kernels");
        // Its files and their sums fit each other, but it is another kernel's.
        fs::create_dir(kernels.join("bad")).unwrap();
        for file in ["vmlinux", ENTRY] {
            fs::copy(kernels.join("good").join(file), kernels.join("bad").join(file)).unwrap();
        }
        let other = dir.path().join("other");
        assert!(cache.kernel("bad", &other, |_| true).is_none());
        // Sums and files that fit, without the code.
        let entry = fs::read(kernels.join("good").join(ENTRY)).unwrap();
        let text = String::from_utf8(entry).unwrap();
        let forged = "00000000000000000000000000000000".repeat(2) + &text[64..];
        fs::write(kernels.join("good").join(ENTRY), forged).unwrap();
        assert!(cache.kernel("good", &other, |_| true).is_none());
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let (dir, cache) = bench();
        for (key, age) in [("old", 1000), ("new", 10), ("middle", 100)] {
            keep(&dir, &cache, key);
            let entry = fs::File::options().append(true).open(cache.kernels().join(key).join(ENTRY)).unwrap();
            entry.set_modified(SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
        }
        let one = cache.usage().kernel_bytes / 3;
        assert_eq!(cache.shrink(2 * one), 1);
        assert!(cache.kernel("old", &dir.path().join("other"), |_| true).is_none());
        assert!(cache.kernel("middle", &dir.path().join("other"), |_| true).is_some());
        // That one was just used.
        assert_eq!(cache.shrink(one), 1);
        assert!(cache.kernel("new", &dir.path().join("other"), |_| true).is_none());
        assert_eq!(cache.shrink(0), 1);
        assert_eq!(cache.usage(), Usage::default());
    }

    #[test]
    fn a_boot_comes_back_with_its_date() {
        let (_dir, cache) = bench();
        let recorded =
            Recorded { date: "2026-01-01T00:00:00Z".to_owned(), boot: Boot::Infra { why: "x".to_owned() } };
        cache.record("b", &recorded).unwrap();
        assert_eq!(cache.boot("b").unwrap().date, recorded.date);
        assert!(cache.boot("c").is_none());
    }
}
