//! What the host has and lacks: the tools that a run needs, how to install them, and what `doctor` shows.
//! Changes the host only in [`require`], and only when it was told to install.

mod tools;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::host::arch::Arch;
use crate::host::distribution::{Distribution, PackageFamily};
use crate::host::process::must;
use crate::host::toolchain::Toolchain;
use failure::{Context, Failure, Result};
use tools::{Tool, ToolKind, needed};

/// The first executable file of this name on PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let executable = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(executable)
}

/// Where Debian's packages put commands of git, whatever git comes first on PATH.
const GIT_COMMANDS: &str = "/usr/lib/git-core";

/// Without gcc every header counts as missing: its package is then installed along with gcc.
fn there(tool: &Tool) -> bool {
    match tool.kind {
        ToolKind::Program => find_program(&tool.name).is_some(),
        ToolKind::GitCommand => {
            find_program(&tool.name).is_some() || Path::new(GIT_COMMANDS).join(&tool.name).is_file()
        }
        ToolKind::Header { compiler } => finds(compiler, &tool.name),
        ToolKind::CrossHeader(arch) => finds(&format!("{}gcc", arch.prefix()), "stdio.h"),
        ToolKind::Rust(arch) => Toolchain::find(arch).is_ok(),
    }
}

fn finds(compiler: &str, header: &str) -> bool {
    first_line(compiler, &["-E", "-include", header, "-x", "c", "/dev/null"]).is_some()
}

/// The tools that `there` denies.
fn missing(tools: Vec<Tool>, there: impl Fn(&Tool) -> bool) -> Vec<Tool> {
    tools.into_iter().filter(|tool| !there(tool)).collect()
}

/// Each once.
fn packages(missing: &[Tool], family: PackageFamily) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for name in missing.iter().flat_map(|tool| tool.packages(family)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// On a distribution whose packages are known.
fn install_command(missing: &[Tool], family: PackageFamily, root: bool) -> String {
    family.install_command(&packages(missing, family), root)
}

/// Makes sure that every tool for kernels of `arches` is there, and what confines them if `confined` says so. `install` allows
/// the distribution's package manager to be run, its output going to `log`.
///
/// # Errors
/// When tools are missing, all of them named with the one command that installs them; or when installing
/// failed.
pub fn require(arches: &[&'static Arch], confined: bool, install: bool, log: &Path) -> Result<()> {
    let needed = || {
        let mut tools = needed(arches);
        tools.retain(|tool| confined || tool.name != tools::SANDBOX);
        tools
    };
    provide(needed, install, log)
}

/// As [`require`], for what only the harness's own tests use.
///
/// # Errors
/// As [`require`].
pub fn require_for_tests(install: bool, log: &Path) -> Result<()> {
    provide(tools::for_tests, install, log)
}

fn provide(needed: impl Fn() -> Vec<Tool>, install: bool, log: &Path) -> Result<()> {
    let lacking = missing(needed(), there);
    if lacking.is_empty() {
        return Ok(());
    }
    let distribution = Distribution::here();
    if !install || distribution.family != Some(PackageFamily::Debian) {
        return Err(lacks(&lacking, &distribution, is_root()));
    }
    run_apt(&lacking, log)?;
    match missing(needed(), there) {
        still if still.is_empty() => Ok(()),
        still => Err(lacks(&still, &distribution, is_root())
            .because("their packages were installed just now without an error")
            .log(log)),
    }
}

fn lacks(missing: &[Tool], distribution: &Distribution, root: bool) -> Failure {
    let names: Vec<&str> = missing.iter().map(|tool| tool.name.as_str()).collect();
    let failure = Failure::infra(format!("this host lacks {}", names.join(", ")));
    let failure = missing
        .iter()
        .fold(failure, |failure, tool| failure.because(format!("{}: {}", tool.name, tool.purpose)));
    let Some(family) = distribution.family else {
        return failure.next(format!(
            "install them with the package manager of {}; Debian calls the packages {}, others differ",
            distribution.name,
            packages(missing, PackageFamily::Debian).join(" ")
        ));
    };
    let unknown = missing.iter().filter(|tool| tool.packages(family).next().is_none());
    let unknown: Vec<&str> = unknown.map(|tool| tool.name.as_str()).collect();
    let mut failure = failure;
    if unknown.len() < missing.len() {
        failure = failure.next(install_command(missing, family, root));
    }
    if !unknown.is_empty() {
        let (name, what) = (&distribution.name, unknown.join(", "));
        failure =
            failure.next(format!("find out which packages of {name} have {what}: that is not known here"));
    }
    match family {
        PackageFamily::Debian => failure.next("or let it be done: --install-deps"),
        PackageFamily::Fedora | PackageFamily::Suse | PackageFamily::Arch => {
            failure.next("these names of packages were not tried: only Debian 12 was")
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

const UPDATE_DEADLINE: Duration = Duration::from_secs(300);
const INSTALL_DEADLINE: Duration = Duration::from_secs(1200);
/// Older lists name package versions that mirrors no longer hold.
const LISTS_STALE_AFTER: Duration = Duration::from_secs(24 * 3600);

fn run_apt(missing: &[Tool], log: &Path) -> Result<()> {
    // On a fresh machine this log is the first file of ours.
    let dir = log.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).or_infra(|| format!("create {}", dir.display()))?;
    if !is_root() && first_line("sudo", &["-n", "true"]).is_none() {
        return Err(Failure::infra("installing packages needs root")
            .because("this is not root, and sudo is not there or asks for a password")
            .next(format!("{}, then run again", install_command(missing, PackageFamily::Debian, false))));
    }
    let apt_get = |what: &str, args: &[&str], deadline| {
        let mut words = if is_root() { vec![] } else { vec!["sudo", "-n"] };
        words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get"]);
        words.extend(args);
        must(what, duct::cmd(words[0], &words[1..]), log, deadline).map(drop)
    };
    if lists_are_stale(Path::new("/var/lib/apt/lists")) {
        apt_get("apt-get update", &["update"], UPDATE_DEADLINE)?;
    }
    let mut args = vec!["install", "--no-install-recommends", "-y"];
    args.extend(packages(missing, PackageFamily::Debian));
    apt_get("apt-get install", &args, INSTALL_DEADLINE).map_err(|failure| {
        failure
            .next(format!("{}, then run again", install_command(missing, PackageFamily::Debian, is_root())))
    })
}

/// Whether apt's package lists are absent or older than a day.
fn lists_are_stale(dir: &Path) -> bool {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let newest = entries
        .filter(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
        .filter_map(|entry| fs::metadata(entry.path()).ok()?.modified().ok())
        .max();
    let age = newest.map(|time| SystemTime::now().duration_since(time).unwrap_or_default());
    age.is_none_or(|age| age > LISTS_STALE_AFTER)
}

/// The first line that a quick command prints, or `None` when it is not there or fails.
fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = std::process::Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .stdin(std::process::Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// What `doctor` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Every tool with its version, `None` when it is missing.
    pub tools: Vec<(String, Option<String>)>,
    /// The one command that installs what is missing, as far as its packages are known.
    pub install: Option<String>,
    /// Nothing is missing.
    pub complete: bool,
    pub target: PathBuf,
    pub free_mib: u64,
    pub cores: usize,
    pub memory_mib: u64,
    pub kernel: String,
    /// What is known of the accelerators, one line.
    pub accelerator: String,
}

/// Disk that a first run takes, measured with Linux 7.2.12: 1,850 MiB source, 315 MiB package and tarball
/// while unpacking, 200 MiB of objects for each of three variants, and images, logs and the harness itself.
pub const NEEDED_MIB: u64 = 4096;

/// Disk that a later run takes: its images, consoles and logs, 15 MiB a cell, and rebuilt objects.
pub const AGAIN_MIB: u64 = 512;

/// # Errors
/// When less than `needed_mib` is free where `path` is or will be.
pub fn require_disk(path: &Path, needed_mib: u64) -> Result<()> {
    let free = free_mib(path)?;
    if free >= needed_mib {
        return Ok(());
    }
    Err(Failure::infra(format!("too little disk space at {}", path.display()))
        .because(format!("{free} MiB are free, a run takes {needed_mib} MiB"))
        .next("make room, or set PATCHPROOF_WORK to a directory on a larger disk"))
}

/// Looks at the host for kernels of `arches`; `target` is where runs are kept, `accelerator` what [`crate::host::accel`] knows.
///
/// # Errors
/// When the file system or /proc cannot be read.
pub fn facts(arches: &[&'static Arch], target: &Path, accelerator: String) -> Result<Facts> {
    let tools = needed(arches);
    let lacking = missing(tools.clone(), there);
    let version = |tool: Tool| {
        let found = (!lacking.contains(&tool)).then(|| match tool.kind {
            ToolKind::Program => {
                first_line(&tool.name, &["--version"]).unwrap_or_else(|| "version unknown".to_owned())
            }
            ToolKind::GitCommand | ToolKind::Header { .. } | ToolKind::CrossHeader(_) | ToolKind::Rust(_) => {
                "found".to_owned()
            }
        });
        (tool.name, found)
    };
    let proc = |path: &str| fs::read_to_string(path).or_infra(|| format!("read {path}"));
    let family = Distribution::here().family;
    let is_known =
        |family: &PackageFamily| lacking.iter().any(|tool| tool.packages(*family).next().is_some());
    Ok(Facts {
        tools: tools.into_iter().map(version).collect(),
        install: family.filter(is_known).map(|family| install_command(&lacking, family, is_root())),
        complete: lacking.is_empty(),
        target: target.to_owned(),
        free_mib: free_mib(target)?,
        cores: std::thread::available_parallelism().or_infra(|| "count the cores".to_owned())?.get(),
        memory_mib: memory_mib(&proc("/proc/meminfo")?)
            .ok_or_else(|| Failure::infra("/proc/meminfo has no MemTotal"))?,
        kernel: proc("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        accelerator,
    })
}

fn memory_mib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? / 1024)
}

/// Free space, in MiB, on the file system of `path` or of the nearest directory above it that exists.
///
/// # Errors
/// When the file system does not tell.
pub fn free_mib(path: &Path) -> Result<u64> {
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let stat =
        rustix::fs::statvfs(there).or_infra(|| format!("read the free space of {}", there.display()))?;
    Ok((stat.f_bavail * stat.f_frsize) >> 20)
}

/// The text of `cargo xtask doctor`.
pub fn doctor(facts: &Facts) -> String {
    let mut text = String::from("tools\n");
    for (name, version) in &facts.tools {
        let _ = writeln!(text, "  {name:<20} {}", version.as_deref().unwrap_or("MISSING"));
    }
    if let Some(command) = &facts.install {
        let _ = writeln!(text, "  install with: {command}");
    } else if !facts.complete {
        text.push_str("  what is missing has no packages here that are known\n");
    }
    let enough = if facts.free_mib >= NEEDED_MIB { "enough" } else { "TOO LITTLE" };
    let _ = write!(
        text,
        "host\n  {:<20} {}\n  {:<20} {}\n  {:<20} {} MiB\n  {:<20} {} MiB free at {}, {} MiB needed: {enough}\n  {:<20} {}\n",
        "kernel",
        facts.kernel,
        "cores",
        facts.cores,
        "memory",
        facts.memory_mib,
        "disk",
        facts.free_mib,
        facts.target.display(),
        NEEDED_MIB,
        "accelerator",
        facts.accelerator,
    );
    text
}

#[cfg(test)]
mod tests;
