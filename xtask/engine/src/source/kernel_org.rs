//! A kernel tarball by URL: downloaded by curl or wget, and used only when its SHA-256 is the one asked for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::campaign::KernelOrg;
use crate::host::disk;
use crate::host::process::must;
use failure::{Context, Failure, Result};

/// A slow line: 160 MB at 100 kB/s.
const DOWNLOAD_DEADLINE: Duration = Duration::from_secs(1800);

/// Where kernel.org keeps the tarball of `version`.
fn default_url(version: &str) -> String {
    let major = version.split('.').next().unwrap_or_default();
    format!("https://cdn.kernel.org/pub/linux/kernel/v{major}.x/linux-{version}.tar.xz")
}

/// Fetches the tarball below `dir`, or takes the one that an earlier run left there, after the same check.
///
/// # Errors
/// When there is no downloader, the download fails, or the sum is another: the file is removed then.
pub fn fetch(wanted: &KernelOrg, dir: &Path, progress: &dyn Fn(&str)) -> Result<PathBuf> {
    let url = wanted.url.clone().unwrap_or_else(|| default_url(&wanted.version));
    let file = dir.join(format!("linux-{}.tar.xz", wanted.version));
    if file.exists() && check(&file, wanted, &url).is_ok() {
        return Ok(file);
    }
    let part = disk::with_suffix(&file, ".part");
    progress(&format!("fetching {url}"));
    let result = must(
        &format!("download of {url}"),
        downloader(&url, &part)?,
        &dir.join("download.log"),
        DOWNLOAD_DEADLINE,
    )
    .map_err(|failure| failure.next("check the network"))
    .and_then(|_| check(&part, wanted, &url));
    if result.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    result?;
    std::fs::rename(&part, &file).or_infra(|| format!("rename {}", part.display()))?;
    Ok(file)
}

fn check(file: &Path, wanted: &KernelOrg, url: &str) -> Result<()> {
    let found = disk::sha256(file)?;
    if found.eq_ignore_ascii_case(&wanted.sha256) {
        return Ok(());
    }
    let _ = std::fs::remove_file(file);
    Err(Failure::infra(format!("the file from {url} is not the one asked for; it was removed"))
        .because(format!("wanted sha256 {}", wanted.sha256.to_ascii_lowercase()))
        .because(format!("found  sha256 {found}"))
        .next("check the sum in the tree's description against kernel.org's sha256sums.asc"))
}

fn downloader(url: &str, to: &Path) -> Result<duct::Expression> {
    if there("curl") {
        let flags = ["--fail", "--location", "--silent", "--show-error", "--retry", "2", "--output"];
        return Ok(duct::cmd("curl", flags.iter().map(AsRef::as_ref).chain([to.as_os_str(), url.as_ref()])));
    }
    if there("wget") {
        return Ok(duct::cmd!("wget", "--no-verbose", "-O", to, url));
    }
    Err(Failure::infra(format!("cannot download {url}"))
        .because("neither curl nor wget is installed")
        .next("install curl or wget"))
}

fn there(program: &str) -> bool {
    crate::host::find_program(program).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(dir: &Path, sha256: &str) -> KernelOrg {
        let url = Some(format!("file://{}", dir.join("served").display()));
        KernelOrg { version: "7.2.13".to_owned(), sha256: sha256.to_owned(), url }
    }

    #[test]
    fn the_default_url_is_kernel_orgs() {
        assert_eq!(default_url("7.2.13"), "https://cdn.kernel.org/pub/linux/kernel/v7.x/linux-7.2.13.tar.xz");
    }

    #[test]
    fn a_wrong_sum_is_refused_with_both_sums_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("served"), "abc").unwrap();
        let failure = fetch(&wanted(dir.path(), &"0".repeat(64)), dir.path(), &|_| ()).unwrap_err();
        assert_eq!(
            failure.because,
            [
                format!("wanted sha256 {}", "0".repeat(64)),
                "found  sha256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned()
            ]
        );
        let left: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name == "served" || name == "download.log"), "{left:?}");
    }

    #[test]
    fn a_right_sum_gives_the_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("served"), "abc").unwrap();
        let sum = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
        let file = fetch(&wanted(dir.path(), sum), dir.path(), &|_| ()).unwrap();
        assert_eq!(std::fs::read(file).unwrap(), b"abc");
    }

    #[test]
    fn a_url_without_a_file_is_a_failure_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let failure = fetch(&wanted(dir.path(), "00"), dir.path(), &|_| ()).unwrap_err();
        assert!(failure.what.contains("served"), "{failure}");
    }
}
