//! A kernel source out of Debian's archive, fetched by the host's own apt under the host's own keyring. Works
//! in a private apt directory: the host's sources, lists and caches are read at most, never written. Proxy and
//! authentication settings of the host stay in force, because its configuration is read as usual and only
//! overridden where it names places.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::apt_sources::{self, Archive};
use crate::campaign::Debian;
use crate::host::disk;
use crate::host::process::must;
use failure::{Context, Failure, Result};

/// A package file whose hash the archive's signature vouches for.
#[derive(Debug)]
pub struct Package {
    pub file: PathBuf,
    pub sha256: String,
    /// Such as `Debian linux-source-7.2 7.2.12-1~bpo13+1 (trixie-backports)`.
    pub origin: String,
}

const UPDATE_DEADLINE: Duration = Duration::from_secs(300);
const QUERY_DEADLINE: Duration = Duration::from_secs(60);
/// A slow line: 160 MB at 100 kB/s.
const DOWNLOAD_DEADLINE: Duration = Duration::from_secs(1800);

/// Fetches the package from the first suite that has it, below `dir`.
///
/// # Errors
/// When the host has no apt or no Debian archive, or no suite gives the package: then with the reason of each.
pub fn fetch(wanted: &Debian, dir: &Path, progress: &dyn Fn(&str)) -> Result<Package> {
    let archive = host_archive()?;
    let mut failures = Vec::new();
    for suite in &wanted.suites {
        progress(&format!("looking for {} in {suite} at {}", wanted.package, archive.uri));
        match from_suite(&wanted.package, suite, &archive, &dir.join(suite), progress) {
            Ok(package) => return Ok(package),
            Err(failure) if failure.exit == failure::Exit::Interrupted => return Err(failure),
            Err(failure) => failures.push((suite, failure)),
        }
    }
    let none = Failure::infra(format!("Debian's {} cannot be had from {}", wanted.package, archive.uri));
    Err(failures.into_iter().fold(none, |mut all, (suite, failure)| {
        all = all.because(format!("{suite}: {}", failure.what));
        all.because.extend(failure.because);
        all.next.extend(failure.next.into_iter().filter(|step| !all.next.contains(step)).collect::<Vec<_>>());
        all.log = failure.log.or(all.log);
        all
    }))
}

/// The name of the release that this host runs; empty where it does not say.
pub fn host_codename() -> String {
    let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = os_release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    codename.unwrap_or_default().trim_matches('"').to_owned()
}

/// The mirror and keyring of the host's own configuration.
fn host_archive() -> Result<Archive> {
    let archives = configured_archives(Path::new("/etc/apt"));
    apt_sources::debian_main(&archives, &host_codename()).cloned().ok_or_else(|| {
        Failure::infra("this host's apt knows no Debian archive").because(
            "no enabled entry of /etc/apt/sources.list or /etc/apt/sources.list.d/ carries Debian's main",
        )
    })
}

fn configured_archives(etc_apt: &Path) -> Vec<Archive> {
    let mut files = vec![etc_apt.join("sources.list")];
    let mut parts: Vec<PathBuf> = fs::read_dir(etc_apt.join("sources.list.d"))
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    parts.sort();
    files.extend(parts);
    let archives_in = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap_or_default();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => apt_sources::one_line_style(&text),
            Some("sources") => apt_sources::deb822_style(&text),
            _ => Vec::new(),
        }
    };
    files.iter().flat_map(archives_in).collect()
}

fn from_suite(
    package: &str,
    suite: &str,
    archive: &Archive,
    dir: &Path,
    progress: &dyn Fn(&str),
) -> Result<Package> {
    let apt = Apt::of(archive, suite, dir)?;
    let record = apt.record(package)?;
    progress(&format!("fetching {package} {} ({suite}, {} MiB)", record.version, record.mebibytes()));
    apt.download(package, &record)
}

/// apt in a private directory, which knows one suite.
#[derive(Debug)]
pub struct Apt {
    dir: PathBuf,
    config: PathBuf,
    pub suite: String,
}

impl Apt {
    /// Of the release that this host runs, with its lists fetched.
    ///
    /// # Errors
    /// When the host has no apt or no Debian archive, or the archive cannot be reached.
    pub fn of_host(dir: &Path) -> Result<Apt> {
        let codename = host_codename();
        Apt::of(&host_archive()?, &codename, dir)
    }

    fn of(archive: &Archive, suite: &str, dir: &Path) -> Result<Apt> {
        let config = prepare(dir, archive, suite)?;
        let apt = Apt { dir: dir.to_path_buf(), config, suite: suite.to_owned() };
        let update = apt.run("apt-get", &["update", "-q"], "update.log", UPDATE_DEADLINE);
        update.map_err(|failure| explain_update(failure, dir))?;
        Ok(apt)
    }

    fn run(&self, program: &str, args: &[&str], log: &str, deadline: Duration) -> Result<String> {
        let fixed = ["-c".as_ref(), self.config.as_os_str()];
        let command = duct::cmd(program, fixed.into_iter().chain(args.iter().map(AsRef::as_ref)))
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .dir(self.dir.join("download"));
        must(&format!("{program} {}", args.join(" ")), command, &self.dir.join(log), deadline)
    }

    pub fn record(&self, package: &str) -> Result<PackageRecord> {
        let record = self
            .run("apt-cache", &["show", "--no-all-versions", package], "show.log", QUERY_DEADLINE)
            .map_err(|failure| match failure.because.iter().any(|why| why.contains("No packages found")) {
                true => Failure::infra(format!("{package} is not in {}", self.suite)),
                false => failure,
            })?;
        PackageRecord::parse(&record).ok_or_else(|| {
            Failure::infra(format!("apt's record of {package} lacks a version or hash"))
                .log(&self.dir.join("show.log"))
        })
    }

    pub fn download(&self, package: &str, record: &PackageRecord) -> Result<Package> {
        let exact = format!("{package}={}", record.version);
        self.run("apt-get", &["download", "-q", &exact], "download.log", DOWNLOAD_DEADLINE)?;
        Ok(Package {
            file: downloaded(&self.dir.join("download"), record)?,
            origin: format!("Debian {package} {} ({})", record.version, self.suite),
            sha256: record.sha256.clone(),
        })
    }

    /// These packages and all that they depend on, by name and in order.
    pub fn with_dependencies(&self, packages: &[&str]) -> Result<Vec<String>> {
        let only_depends = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"];
        let only_depends: Vec<_> = only_depends.iter().map(|kind| format!("--no-{kind}")).collect();
        let mut args = vec!["depends", "--recurse"];
        args.extend(only_depends.iter().map(String::as_str).chain(packages.iter().copied()));
        let text = self.run("apt-cache", &args, "depends.log", QUERY_DEADLINE)?;
        Ok(packages_in(&text))
    }
}

/// The packages at the beginning of a line; below each are its dependencies, and `<name>` is a virtual one.
fn packages_in(depends: &str) -> Vec<String> {
    let is_package = |line: &&str| line.starts_with(|first: char| first.is_ascii_alphanumeric());
    let names: BTreeSet<&str> = depends.lines().filter(is_package).map(str::trim).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// Sets the private apt directory up and returns its configuration file.
fn prepare(dir: &Path, archive: &Archive, suite: &str) -> Result<PathBuf> {
    for part in ["sources", "state/lists/partial", "cache/archives/partial", "download"] {
        disk::create_dir(&dir.join(part))?;
    }
    let dir = dir.canonicalize().or_infra(|| format!("find {}", dir.display()))?;
    let Some(text) = dir.to_str().filter(|text| !text.contains(['"', '\n'])) else {
        return Err(Failure::usage(format!("apt cannot work below {}", dir.display()))
            .because("apt.conf has no way to write this path")
            .next("work in a directory whose path has no quotes and no line breaks"));
    };
    let root = rustix::process::geteuid().is_root();
    disk::write_aside(&dir.join("status"), b"")?;
    disk::write_aside(&dir.join("sources/debian.sources"), stanza(archive, suite).as_bytes())?;
    let config = dir.join("apt.conf");
    disk::write_aside(&config, configuration(text, root).as_bytes())?;
    Ok(config)
}

/// Read by apt after the host's own configuration (`-c`), so that it can also clear what the host would run
/// after an update: such hooks work on the host's lists and caches.
fn configuration(dir: &str, root: bool) -> String {
    let mut text = String::new();
    for hook in ["Pre-Invoke", "Post-Invoke", "Post-Invoke-Success"] {
        let _ = writeln!(text, "#clear APT::Update::{hook};");
    }
    let mut set = |key: &str, value: &str| {
        let _ = writeln!(text, "{key} \"{value}\";");
    };
    set("Dir::Etc::sourcelist", "/dev/null");
    set("Dir::Etc::sourceparts", &format!("{dir}/sources"));
    set("Dir::Etc::preferences", "/dev/null");
    set("Dir::Etc::preferencesparts", "/dev/null");
    set("Dir::State", &format!("{dir}/state"));
    set("Dir::State::status", &format!("{dir}/status"));
    set("Dir::Cache", &format!("{dir}/cache"));
    set("Acquire::Languages", "none");
    set("Acquire::Retries", "2");
    // Without it an unreachable mirror is a warning and status 0.
    set("APT::Update::Error-Mode", "any");
    if root {
        // Root's apt downloads as the user _apt, who may have no way into a private directory.
        set("APT::Sandbox::User", "root");
    }
    text
}

fn stanza(archive: &Archive, suite: &str) -> String {
    let signed_by = archive.signed_by.as_ref().map(|key| format!("Signed-By: {key}\n")).unwrap_or_default();
    format!("Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n{signed_by}", archive.uri)
}

fn explain_update(failure: Failure, dir: &Path) -> Failure {
    let output = fs::read_to_string(dir.join("update.log")).unwrap_or_default();
    if output.contains("NO_PUBKEY") {
        return failure
            .because("this host's Debian keyring is older than the suite: it lacks the key that signs it")
            .next("as root: apt-get update && apt-get install --only-upgrade debian-archive-keyring");
    }
    if output.contains("Could not resolve") || output.contains("Could not connect") {
        return failure.next("check the network, or the proxy in apt's configuration");
    }
    failure
}

/// What a run needs of a record that `apt-cache show` prints.
#[derive(Debug, PartialEq, Eq)]
pub struct PackageRecord {
    pub version: String,
    sha256: String,
    size_bytes: u64,
}

impl PackageRecord {
    fn parse(text: &str) -> Option<PackageRecord> {
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::trim)
        };
        Some(PackageRecord {
            version: field("Version")?.to_owned(),
            sha256: field("SHA256")?.to_ascii_lowercase(),
            size_bytes: field("Size")?.parse().ok()?,
        })
    }

    fn mebibytes(&self) -> u64 {
        self.size_bytes >> 20
    }
}

/// apt has checked the file already; this finds it without knowing how apt writes its name.
fn downloaded(dir: &Path, record: &PackageRecord) -> Result<PathBuf> {
    let entries = fs::read_dir(dir).or_infra(|| format!("read {}", dir.display()))?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_some_and(|extension| extension == "deb")
            && disk::sha256(&path)? == record.sha256
        {
            return Ok(path);
        }
    }
    Err(Failure::infra("apt-get download left no file with the hash of the archive's index")
        .because(format!("looked for sha256 {} in {}", record.sha256, dir.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_gives_version_hash_and_size() {
        let text = "N: noise\nPackage: linux-source-7.2\nVersion: 7.2.12-1~bpo13+1\nSize: 164744800\n\
                    SHA256: AB12\nDescription: x\n Version: not this\n";
        let record = PackageRecord::parse(text).unwrap();
        assert_eq!((record.version.as_str(), record.sha256.as_str()), ("7.2.12-1~bpo13+1", "ab12"));
        assert_eq!(record.mebibytes(), 157);
        assert_eq!(PackageRecord::parse("N: Unable to locate package\n"), None);
    }

    #[test]
    fn the_private_configuration_names_every_place_and_leaves_etc_itself_alone() {
        let text = configuration("/c/apt", true);
        for place in
            ["Dir::State \"/c/apt/state\"", "Dir::Cache \"/c/apt/cache\"", "Dir::State::status \"/c/apt"]
        {
            assert!(text.contains(place), "{text}");
        }
        assert!(!text.contains("Dir::Etc \""), "{text}");
        assert!(text.contains("APT::Sandbox::User \"root\""));
        assert!(!configuration("/c/apt", false).contains("Sandbox"));
    }

    #[test]
    fn the_stanza_keeps_the_hosts_keyring() {
        let archive = Archive {
            uri: "http://m/debian".to_owned(),
            suites: vec![],
            components: vec![],
            signed_by: Some("/k.gpg".to_owned()),
        };
        assert_eq!(
            stanza(&archive, "sid"),
            "Types: deb\nURIs: http://m/debian\nSuites: sid\nComponents: main\nSigned-By: /k.gpg\n"
        );
    }

    #[test]
    fn of_the_dependencies_each_package_is_named_once() {
        let text =
            "iproute2\n  Depends: libbpf1\n    libc6\nlibbpf1\n  Depends: libc6\n<debconf-2.0>\nlibbpf1\n";
        assert_eq!(packages_in(text), ["iproute2", "libbpf1"]);
    }

    #[test]
    fn a_missing_key_is_explained() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("update.log"), "W: ... NO_PUBKEY 6ED0E7B82643E131").unwrap();
        let failure = explain_update(Failure::infra("apt-get update failed"), dir.path());
        assert!(failure.next[0].contains("debian-archive-keyring"), "{failure}");
    }
}
