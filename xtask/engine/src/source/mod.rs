//! Where a kernel source comes from: a directory that the user names, Debian's package, or a kernel.org
//! tarball. Knows nothing of patches and variants; what it returns is complete, or it is an error.

mod apt_sources;
pub mod build_dir;
mod checkout;
pub mod debian;
pub mod files;
mod git;
mod kernel_org;
mod local;
pub mod lock;
pub mod objects;
mod reader;
mod snapshot;
pub mod stamp;
mod unpacked;
pub mod worktree;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::campaign::{Debian, KernelOrg};
use crate::host::disk;
use failure::{Exit, Failure, Result};
pub use git::patches as patches_of;
pub use local::Local;
use lock::Lock;
pub use reader::SourceReader;
use unpacked::{Label, Packed};

/// A source as a tree's description asks for it. The places are tried in the order of the fields.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Such as `7.2`; it names a directory of the cache.
    pub name: String,
    pub local: Option<Local>,
    pub debian: Option<Debian>,
    pub kernel_org: Option<KernelOrg>,
}

/// A kernel source on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub dir: PathBuf,
    /// Read from its Makefile, such as `7.2.12`.
    pub version: String,
    /// One line for the report.
    pub origin: String,
    /// Set for a source that this module unpacked: names this unpacking. `None` is a user's own directory,
    /// which nothing may change.
    incarnation: Option<String>,
    /// Of a checkout: the stamp that it had when it was found to be of the right commit. Another run may have
    /// brought it to another one since.
    stamp: Option<Vec<u8>>,
}

/// How long a run waits for another that fetches the same source.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3600);

/// Finds the source, fetching it below `cache` if need be; `progress` hears what is being done.
///
/// # Errors
/// When no place has it: with the reason of each.
pub fn fetch(wanted: &Wanted, cache: &Path, progress: &dyn Fn(&str)) -> Result<Source> {
    check_names(wanted)?;
    match &wanted.local {
        None => fetch_afar(wanted, cache, progress),
        Some(Local::Revision(revision)) => {
            checkout::checkout(&wanted.name, revision, cache, FETCH_TIMEOUT, progress)
        }
        Some(Local::Directory(dir)) => Ok(Source {
            version: local::version(dir)?,
            origin: local::describe(dir)?,
            dir: dir.clone(),
            incarnation: None,
            stamp: None,
        }),
    }
}

/// Where [`worktree::WorkTree::open`] will keep the tree and what belongs to it.
///
/// # Errors
/// When a directory of the user's cannot be found.
pub fn home(wanted: &Wanted, cache: &Path) -> Result<PathBuf> {
    match &wanted.local {
        None => Ok(cache.join("source").join(&wanted.name)),
        Some(Local::Revision(revision)) => Ok(checkout::home(&wanted.name, revision, cache)),
        Some(Local::Directory(dir)) => worktree::copy_home(dir, &cache.join("snapshot")),
    }
}

/// Of every tree that is kept below `cache`, where it and what belongs to it are.
pub fn homes(cache: &Path) -> Vec<PathBuf> {
    let all =
        ["source", "checkout", "snapshot"].into_iter().flat_map(|kind| disk::entries(&cache.join(kind)));
    all.filter(|home| home.join("tree").is_dir()).collect()
}

fn fetch_afar(wanted: &Wanted, cache: &Path, progress: &dyn Fn(&str)) -> Result<Source> {
    let home = cache.join("source").join(&wanted.name);
    disk::create_dir(&cache.join("source"))?;
    let what = format!("the source of {}", wanted.name);
    let _lock = Lock::take(&disk::with_suffix(&home, ".fetch.lock"), &what, FETCH_TIMEOUT, progress)?;
    let usable = || stored_afar(wanted, &home);
    if let Some(source) = usable() {
        return Ok(source);
    }
    // Nobody may be building in a tree that is about to be replaced; and one that looked broken may have been
    // another run's, at work just then.
    let _tree = worktree::lock(&home, progress)?;
    if let Some(source) = usable() {
        return Ok(source);
    }
    if home.exists() {
        progress(&format!("{} is not complete, not sound or not what is wanted now", home.display()));
    }
    download_and_unpack(wanted, &wish(wanted), &home, progress)
}

/// The source in `home`, if it is complete and the one wanted.
fn stored_afar(wanted: &Wanted, home: &Path) -> Option<Source> {
    unpacked::stored(home, &wanted.name, &wish(wanted)).filter(|_| !worktree::was_edited(home))
}

fn wish(wanted: &Wanted) -> String {
    format!("{:?} {:?}", wanted.debian, wanted.kernel_org)
}

/// Refuses names that are not plain words: they become file names, arguments, and lines of apt's files.
fn check_names(wanted: &Wanted) -> Result<()> {
    let mut names = vec![("a tree", &wanted.name)];
    if let Some(debian) = &wanted.debian {
        names.push(("a Debian package", &debian.package));
        names.extend(debian.suites.iter().map(|suite| ("a Debian suite", suite)));
    }
    names.extend(wanted.kernel_org.iter().map(|tarball| ("a kernel version", &tarball.version)));
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    for (what, name) in names {
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(plain) {
            return Err(Failure::usage(format!("{name:?} cannot name {what}")).because(
                "such a name is made of letters, digits and . _ - + and begins with a letter or digit",
            ));
        }
    }
    Ok(())
}

fn download_and_unpack(wanted: &Wanted, wish: &str, home: &Path, progress: &dyn Fn(&str)) -> Result<Source> {
    let downloads = disk::with_suffix(home, ".download");
    disk::create_dir(&downloads)?;
    let mut failures = Vec::new();
    for place in [from_debian, from_kernel_org] {
        match place(wanted, &downloads, progress) {
            Ok(Some((archive, origin, sha256))) => {
                progress(&format!("unpacking {origin}"));
                let label =
                    Label { name: &wanted.name, wanted: wish, origin: &origin, archive_sha256: &sha256 };
                match unpacked::unpack(&archive, home, &label, &downloads) {
                    Ok(source) => {
                        disk::discard(&downloads)?;
                        return Ok(source);
                    }
                    Err(failure) => failures.push(failure),
                }
            }
            Ok(None) => {}
            Err(failure) => failures.push(failure),
        }
        if let Some(interrupted) = failures.iter().find(|failure| failure.exit == Exit::Interrupted) {
            return Err(interrupted.clone());
        }
    }
    Err(all_of(&wanted.name, failures))
}

/// A verified archive, where it is from, and its SHA-256; `None` when the tree does not name this place.
type FoundArchive = Option<(Packed, String, String)>;

fn from_debian(wanted: &Wanted, downloads: &Path, progress: &dyn Fn(&str)) -> Result<FoundArchive> {
    let Some(debian) = &wanted.debian else { return Ok(None) };
    let package = debian::fetch(debian, downloads, progress)?;
    let archive = Packed::Deb { file: package.file, package: debian.package.clone() };
    Ok(Some((archive, package.origin, package.sha256)))
}

fn from_kernel_org(wanted: &Wanted, downloads: &Path, progress: &dyn Fn(&str)) -> Result<FoundArchive> {
    let Some(tarball) = &wanted.kernel_org else { return Ok(None) };
    let file = kernel_org::fetch(tarball, downloads, progress)?;
    let checked = if tarball.sha256.is_some() { "sha256 checked" } else { "signed list of sums checked" };
    let origin = match &tarball.url {
        Some(url) => format!("{url} ({checked})"),
        None => format!("kernel.org linux-{} ({checked})", tarball.version),
    };
    let sum = disk::sha256(&file)?;
    Ok(Some((Packed::Tar { file }, origin, sum)))
}

/// Every place's failure in one.
fn all_of(name: &str, failures: Vec<Failure>) -> Failure {
    let mut all = Failure::infra(format!("no source for tree {name}"));
    if failures.is_empty() {
        all = all.because("its description names neither a Debian package nor a kernel.org tarball");
    }
    for failure in failures {
        all.because.push(failure.what);
        all.because.extend(failure.because.into_iter().map(|why| format!("  {why}")));
        for step in failure.next {
            if !all.next.contains(&step) {
                all.next.push(step);
            }
        }
        all.log = all.log.or(failure.log);
    }
    all.next(format!("give a kernel source of your own: --tree {name}=DIR"))
}

#[cfg(test)]
mod tests;
