//! A kernel tarball by URL: downloaded by curl or wget, and used only when its SHA-256 is the one asked for, or the one in a list
//! that was signed by a key of the user's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::campaign::KernelOrg;
use crate::host::disk;
use crate::host::process::must;
use failure::{Context, Failure, Result};

/// kernel.org's list of sums in each directory, signed in itself.
const SUMS: &str = "sha256sums.asc";

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
/// When there is no downloader, the download fails, the list of sums is not signed by a key in the keyring, or the sum is another:
/// the file is removed then.
pub fn fetch(wanted: &KernelOrg, dir: &Path, progress: &dyn Fn(&str)) -> Result<PathBuf> {
    let url = wanted.url.clone().unwrap_or_else(|| default_url(&wanted.version));
    let file = dir.join(format!("linux-{}.tar.xz", wanted.version));
    let sha256 = match (&wanted.sha256, &wanted.keyring) {
        (Some(sum), _) => sum.clone(),
        (None, Some(keyring)) => signed_sum(&url, keyring, dir, progress)?,
        (None, None) => return Err(Failure::internal("a tarball that nothing vouches for")),
    };
    if file.exists() && check(&file, &sha256, &url).is_ok() {
        return Ok(file);
    }
    let part = download(&url, &file, progress)?;
    if let Err(failure) = check(&part, &sha256, &url) {
        let _ = std::fs::remove_file(&part);
        return Err(failure);
    }
    std::fs::rename(&part, &file).or_infra(|| format!("rename {}", part.display()))?;
    Ok(file)
}

/// Fetches what is at `url` to a file beside `file`, which is not there if that fails.
fn download(url: &str, file: &Path, progress: &dyn Fn(&str)) -> Result<PathBuf> {
    let part = disk::with_suffix(file, ".part");
    progress(&format!("fetching {url}"));
    let log = file.with_file_name("download.log");
    let result = must(&format!("download of {url}"), downloader(url, &part)?, &log, DOWNLOAD_DEADLINE);
    if let Err(failure) = result {
        let _ = std::fs::remove_file(&part);
        return Err(failure.next("check the network"));
    }
    Ok(part)
}

fn check(file: &Path, sha256: &str, url: &str) -> Result<()> {
    let found = disk::sha256(file)?;
    if found.eq_ignore_ascii_case(sha256) {
        return Ok(());
    }
    let _ = std::fs::remove_file(file);
    Err(Failure::infra(format!("the file from {url} is not the one asked for; it was removed"))
        .because(format!("wanted sha256 {}", sha256.to_ascii_lowercase()))
        .because(format!("found  sha256 {found}"))
        .next("check the sum in the tree's description against kernel.org's sha256sums.asc"))
}

/// The sum of the tarball at `url`, from the list beside it: only what a key in `keyring` has signed is read.
fn signed_sum(url: &str, keyring: &Path, dir: &Path, progress: &dyn Fn(&str)) -> Result<String> {
    let (place, tarball) = url.rsplit_once('/').unwrap_or(("", url));
    let list_url = format!("{place}/{SUMS}");
    let list = download(&list_url, &dir.join(SUMS), progress)?;
    let keyring = std::path::absolute(keyring).or_infra(|| "find the keyring".to_owned())?;
    let text = signed_text(&list, &keyring, &list_url)?;
    let _ = std::fs::remove_file(&list);
    let of_line = |line: &str| {
        let (sum, name) = line.split_once("  ")?;
        (name == tarball && sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit()))
            .then(|| sum.to_owned())
    };
    text.lines().find_map(of_line).ok_or_else(|| {
        Failure::infra(format!("{list_url} is signed and has no sum of {tarball}"))
            .next("check the version in the tree's description")
    })
}

/// What in `file` is under a good signature, and nothing around it (gpgv of GnuPG, which every Debian has for apt).
fn signed_text(file: &Path, keyring: &Path, url: &str) -> Result<String> {
    if !there("gpgv") {
        return Err(Failure::infra(format!("cannot check the signature of {url}")).next("install gpgv"));
    }
    let out = disk::with_suffix(file, ".text");
    let _ = std::fs::remove_file(&out);
    let ran = duct::cmd!("gpgv", "--quiet", "--keyring", keyring, "--output", &out, file)
        .stdin_null()
        .stdout_null()
        .stderr_capture()
        .unchecked()
        .run()
        .or_infra(|| "run gpgv".to_owned())?;
    let text = std::fs::read_to_string(&out);
    let _ = std::fs::remove_file(&out);
    match text {
        Ok(text) if ran.status.success() => Ok(text),
        _ => {
            let said = String::from_utf8_lossy(&ran.stderr).trim().replace('\n', "; ");
            Err(Failure::infra(format!("{url} is not signed by a key in {}", keyring.display()))
                .because(said)
                .next("take the key from where its owner publishes it, and compare its fingerprint"))
        }
    }
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
        KernelOrg { version: "7.2.13".to_owned(), sha256: Some(sha256.to_owned()), keyring: None, url }
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

    /// A directory as kernel.org has it: the tarball `abc`, and the list that was signed for this test by a key of its own.
    fn served(list: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("linux-7.2.13.tar.xz"), "abc").unwrap();
        std::fs::write(dir.path().join(SUMS), list).unwrap();
        dir
    }

    fn by_keyring(list: &str) -> Result<PathBuf> {
        let (from, to) = (served(list), tempfile::tempdir().unwrap());
        let keyring = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/signed/keyring.gpg");
        let url = Some(format!("file://{}/linux-7.2.13.tar.xz", from.path().display()));
        let wanted = KernelOrg { version: "7.2.13".to_owned(), sha256: None, keyring: Some(keyring), url };
        let file = fetch(&wanted, to.path(), &|_| ())?;
        assert_eq!(std::fs::read(&file).unwrap(), b"abc");
        Ok(file)
    }

    const SIGNED: &str = include_str!("../../testdata/signed/sha256sums.asc");

    #[test]
    fn sum_is_taken_from_a_list_that_a_key_of_the_keyring_has_signed() {
        by_keyring(SIGNED).unwrap();
    }

    #[test]
    fn list_that_was_changed_or_is_signed_by_another_or_by_nobody_is_refused() {
        let changed = SIGNED.replace("ba7816bf", "ca7816bf");
        assert_ne!(changed, SIGNED);
        let unsigned =
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  linux-7.2.13.tar.xz\n";
        let by_another = include_str!("../../testdata/signed/by-another.asc");
        for list in [&changed, unsigned, by_another] {
            let failure = by_keyring(list).unwrap_err();
            assert!(failure.what.contains("is not signed by a key in"), "{failure}");
        }
        // What stands before or behind the signed part is nobody's word.
        let around = format!("{unsigned}{}", include_str!("../../testdata/signed/without-it.asc"));
        let failure = by_keyring(&around).unwrap_err();
        assert!(failure.what.contains("has no sum of linux-7.2.13.tar.xz"), "{failure}");
    }

    #[test]
    fn a_url_without_a_file_is_a_failure_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let failure = fetch(&wanted(dir.path(), "00"), dir.path(), &|_| ()).unwrap_err();
        assert!(failure.what.contains("served"), "{failure}");
    }
}
