//! A commit of the user's repository as a tree of our own: the objects are read where they are, everything that
//! is written is below our cache. Layout: `HOME/stamp.json`, `HOME/git/`, `HOME/tree/`, and what
//! [`super::WorkTree`] keeps beside the tree. It counts only with the stamp, which is written last.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::git::{self, Revision};
use super::lock::Lock;
use super::worktree::SETS_MAX;
use super::{Source, local, stamp, worktree};
use crate::host::disk;
use crate::host::process::must;
use failure::{Context, Exit, Failure, Result};

const SCHEMA: u32 = 2;
const CHECKOUT_DEADLINE: Duration = Duration::from_secs(900);

/// Stronger than every `.gitattributes` of the tree: each file is its blob, byte for byte, because that is what
/// the `index` lines of a patch name. No filter runs.
const ATTRIBUTES: &str = "* -text -ident -filter !working-tree-encoding\n";

/// What the tree is, written when it was complete.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckoutStamp {
    schema: u32,
    commit: String,
    version: String,
    incarnation: String,
}

/// Where the checkout of `revision` for the tree `name` is kept: another commit of the same repository replaces
/// it, and two trees never share one.
pub fn home(name: &str, revision: &Revision, cache: &Path) -> PathBuf {
    let objects = revision.objects.canonicalize().unwrap_or_else(|_| revision.objects.clone());
    let hash = disk::hex(&Sha256::digest(objects.as_os_str().as_encoded_bytes()));
    cache.join("checkout").join(format!("{name}-{}", &hash[..12]))
}

/// The tree of `revision`, checked out, or brought from another commit to this one if need be. Waits for no run: one that
/// uses another commit keeps its tree, and this one gets another.
///
/// # Errors
/// When git fails, or the commit is no kernel.
pub fn checkout(
    name: &str,
    revision: &Revision,
    cache: &Path,
    timeout: Duration,
    progress: &dyn Fn(&str),
) -> Result<Source> {
    let first = home(name, revision, cache);
    disk::create_dir(&cache.join("checkout"))?;
    for number in 1..=SETS_MAX {
        let home = worktree::numbered(&first, number);
        if let Some(source) = checkout_in(&home, revision, timeout, progress)? {
            return Ok(source);
        }
    }
    Err(Failure::infra(format!("{SETS_MAX} runs use checkouts of {}", revision.dir.display()))
        .next("wait until one of them has ended"))
}

/// The checkout in `home`; None where it is of another commit, and a run uses it.
fn checkout_in(
    home: &Path,
    revision: &Revision,
    timeout: Duration,
    progress: &dyn Fn(&str),
) -> Result<Option<Source>> {
    let what = format!("the checkout of {}", revision.describe());
    let _lock = Lock::take(&disk::with_suffix(home, ".fetch.lock"), &what, timeout, progress)?;
    if let Some(source) = stored(home, revision).filter(|_| !worktree::was_edited(home)) {
        return Ok(Some(source));
    }
    let Some(_tree) = worktree::try_lock(home)? else { return Ok(None) };
    progress(&format!("checking out {}", revision.describe()));
    let incarnation = match bring_along(home, revision) {
        Some(Err(failure)) if failure.exit == Exit::Interrupted => return Err(failure),
        Some(Ok(incarnation)) => incarnation,
        Some(Err(_)) | None => begin(home, revision)?,
    };
    finish(home, revision, incarnation).map(Some)
}

/// The checkout in `home`, if it is complete and of this commit.
fn stored(home: &Path, revision: &Revision) -> Option<Source> {
    let bytes = fs::read(stamp_file(home)).ok()?;
    let stamp: CheckoutStamp = serde_json::from_slice(&bytes).ok()?;
    let dir = home.join("tree");
    let right = stamp.schema == SCHEMA && stamp.commit == revision.commit;
    if !right || local::version(&dir).ok()? != stamp.version {
        return None;
    }
    Some(Source {
        dir,
        version: stamp.version,
        origin: revision.describe(),
        incarnation: Some(stamp.incarnation),
        stamp: Some(bytes),
    })
}

fn stamp_file(home: &Path) -> PathBuf {
    home.join("stamp.json")
}

/// Brings a complete checkout of another commit to this one, so that only what differs is compiled again; `None`
/// when there is no such checkout. Until the stamp is written again it does not count.
fn bring_along(home: &Path, revision: &Revision) -> Option<Result<String>> {
    let stamp: CheckoutStamp = serde_json::from_slice(&fs::read(stamp_file(home)).ok()?).ok()?;
    if stamp.schema != SCHEMA || worktree::was_edited(home) {
        return None;
    }
    let bring = || {
        fs::remove_file(stamp_file(home)).or_infra(|| format!("remove the stamp in {}", home.display()))?;
        switch(home, revision)
    };
    Some({ bring }().map(|()| stamp.incarnation))
}

/// A checkout from nothing; what may be in `home` is of no use.
fn begin(home: &Path, revision: &Revision) -> Result<String> {
    disk::discard(home)?;
    disk::create_dir(&home.join("tree"))?;
    let format = format!("--object-format={}", revision.format);
    // Not `git clone`: it would copy thousands of refs that nobody asks for.
    run(home, &["init", "--quiet", "--template=", &format])?;
    let objects = revision.objects.as_os_str().as_bytes();
    disk::create_dir(&home.join("git/info"))?;
    disk::create_dir(&home.join("git/objects/info"))?;
    disk::write_aside(&home.join("git/objects/info/alternates"), &[objects, b"\n"].concat())?;
    disk::write_aside(&home.join("git/info/attributes"), ATTRIBUTES.as_bytes())?;
    switch(home, revision)?;
    disk::fresh_name()
}

fn switch(home: &Path, revision: &Revision) -> Result<()> {
    run(home, &["checkout", "--force", "--detach", "--quiet", &revision.commit]).map_err(|failure| {
        if failure.exit == Exit::Interrupted {
            return failure;
        }
        failure.next(format!(
            "check that the repository is whole and no partial clone: git -C {} fsck --connectivity-only",
            revision.dir.display()
        ))
    })
}

fn run(home: &Path, args: &[&str]) -> Result<()> {
    let command = git::ours(&home.join("git"), &home.join("tree"), args);
    let what = format!("git {}", args.first().unwrap_or(&""));
    must(&what, command, &disk::with_suffix(home, ".log"), CHECKOUT_DEADLINE).map(drop)
}

fn finish(home: &Path, revision: &Revision, incarnation: String) -> Result<Source> {
    let version = local::version(&home.join("tree")).map_err(|failure| Failure {
        what: format!("{} is not a Linux source tree", revision.describe()),
        ..failure
    })?;
    let label = CheckoutStamp { schema: SCHEMA, commit: revision.commit.clone(), version, incarnation };
    stamp::set_originals(&home.join("tree")).or_infra(|| format!("set the times in {}", home.display()))?;
    disk::sync_filesystem(home)?;
    let json = serde_json::to_vec_pretty(&label).or_infra(|| "write the stamp".to_owned())?;
    disk::write_aside(&stamp_file(home), &json)?;
    stored(home, revision)
        .ok_or_else(|| Failure::internal(format!("{} was checked out but is not usable", home.display())))
}

#[cfg(test)]
mod tests;
