//! An unpacked source in the cache: it counts only with the stamp that is written last. Layout:
//! `HOME/stamp.json`, `HOME/tree/`, and what [`super::WorkTree`] keeps beside the tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Source, local, stamp};
use crate::host::disk;
use crate::host::process::must;
use failure::{Context, Exit, Failure, Result};

const SCHEMA: u32 = 2;
const UNPACK_DEADLINE: Duration = Duration::from_secs(900);

/// What the unpacked tree is, written when it was complete.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnpackedStamp {
    schema: u32,
    name: String,
    /// What was asked for; another wish makes the tree useless.
    wanted: String,
    version: String,
    origin: String,
    archive_sha256: String,
    incarnation: String,
}

/// A verified archive to unpack.
#[derive(Debug)]
pub enum Packed {
    /// A Debian package that holds `usr/src/PACKAGE.tar.xz`.
    Deb { file: PathBuf, package: String },
    /// A tarball with one top directory.
    Tar { file: PathBuf },
}

impl Packed {
    fn file(&self) -> &Path {
        match self {
            Packed::Deb { file, .. } | Packed::Tar { file } => file,
        }
    }
}

/// Everything the stamp says beside what the tree itself shows.
#[derive(Debug)]
pub struct Label<'a> {
    pub name: &'a str,
    pub wanted: &'a str,
    pub origin: &'a str,
    pub archive_sha256: &'a str,
}

/// The source in `home`, if it is complete and the one wanted.
pub fn stored(home: &Path, name: &str, wanted: &str) -> Option<Source> {
    let stamp: UnpackedStamp = serde_json::from_slice(&fs::read(home.join("stamp.json")).ok()?).ok()?;
    let dir = home.join("tree");
    let right = stamp.schema == SCHEMA && stamp.name == name && stamp.wanted == wanted;
    if !right || local::version(&dir).ok()? != stamp.version {
        return None;
    }
    Some(Source {
        dir,
        version: stamp.version,
        origin: stamp.origin,
        incarnation: Some(stamp.incarnation),
        stamp: None,
    })
}

/// Unpacks `archive` beside `home` and, when all of it is on disk, puts it in `home`'s place.
///
/// # Errors
/// When the archive is damaged or holds no kernel: it is removed then, so that the next run fetches it again.
pub fn unpack(archive: &Packed, home: &Path, label: &Label<'_>, logs: &Path) -> Result<Source> {
    let fresh = disk::with_suffix(home, ".unpacking");
    disk::discard(&fresh)?;
    disk::create_dir(&fresh.join("tree"))?;
    let version = extract(archive, &fresh, logs)
        .and_then(|()| local::version(&fresh.join("tree")))
        .map_err(|failure| damaged(archive, failure))?;
    let made = UnpackedStamp {
        schema: SCHEMA,
        name: label.name.to_owned(),
        wanted: label.wanted.to_owned(),
        version,
        origin: label.origin.to_owned(),
        archive_sha256: label.archive_sha256.to_owned(),
        incarnation: disk::fresh_name()?,
    };
    stamp::set_originals(&fresh.join("tree")).or_infra(|| format!("set the times in {}", fresh.display()))?;
    disk::sync_filesystem(&fresh)?;
    let json = serde_json::to_vec_pretty(&made).or_infra(|| "write the stamp".to_owned())?;
    disk::write_aside(&fresh.join("stamp.json"), &json)?;
    disk::discard(home)?;
    fs::rename(&fresh, home).or_infra(|| format!("put {} in place", home.display()))?;
    stored(home, label.name, label.wanted)
        .ok_or_else(|| Failure::internal(format!("{} was unpacked but is not usable", home.display())))
}

fn extract(archive: &Packed, fresh: &Path, logs: &Path) -> Result<()> {
    let log = logs.join("unpack.log");
    let untar = |tarball: &Path| {
        let command = duct::cmd!(
            "tar",
            "-x",
            "--no-same-owner",
            "--strip-components=1",
            "-C",
            fresh.join("tree"),
            "-f",
            tarball
        )
        // Debian's tarball is made of blocks that xz can unpack side by side.
        .env("XZ_DEFAULTS", "-T0");
        must(&format!("unpacking of {}", tarball.display()), command, &log, UNPACK_DEADLINE).map(drop)
    };
    match archive {
        Packed::Tar { file } => untar(file),
        Packed::Deb { file, package } => {
            let contents = fresh.join("package");
            let command = duct::cmd!("dpkg-deb", "-x", file, &contents);
            must(&format!("unpacking of {}", file.display()), command, &log, UNPACK_DEADLINE)?;
            untar(&contents.join(format!("usr/src/{package}.tar.xz")))?;
            disk::discard(&contents)
        }
    }
}

fn damaged(archive: &Packed, failure: Failure) -> Failure {
    if failure.exit == Exit::Interrupted {
        return failure;
    }
    let file = archive.file();
    let _ = fs::remove_file(file);
    let mut told = Failure::infra(format!("{} could not be unpacked; it was removed", file.display()))
        .because(failure.what)
        .next("check the free disk space (`cargo xtask doctor`), then run again: it is fetched anew");
    told.because.extend(failure.because);
    told.log = failure.log;
    told
}
