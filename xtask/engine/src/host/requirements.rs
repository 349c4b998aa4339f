//! What the host has and lacks: the tools that a run needs, how to install them, and what `doctor` shows.
//! Changes the host only in [`require`], and only when it was told to install.

mod tools;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::host::arch::Arch;
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

/// The distribution's family, as far as packages are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Distribution {
    /// Debian and what is made from it.
    Debian,
    /// Its name for people.
    Other(String),
}

fn distribution(os_release: &str) -> Distribution {
    let field = |name: &str| {
        let value = os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_default().trim_matches('"').to_owned()
    };
    let family = format!("{} {}", field("ID"), field("ID_LIKE"));
    match family.split_whitespace().any(|id| id == "debian" || id == "ubuntu") {
        true => Distribution::Debian,
        false if field("PRETTY_NAME").is_empty() => Distribution::Other("this system".to_owned()),
        false => Distribution::Other(field("PRETTY_NAME")),
    }
}

/// Each once.
fn packages(missing: &[Tool]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for name in missing.iter().flat_map(|tool| &tool.packages) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

fn install_command(missing: &[Tool], root: bool) -> String {
    let sudo = if root { "" } else { "sudo " };
    format!("{sudo}apt-get install --no-install-recommends -y {}", packages(missing).join(" "))
}

/// Makes sure that every tool for kernels of `arches` is there, and what confines them if `confined` says so. `install` allows the distribution's package manager to be run, its
/// output going to `log`.
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
    let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let distribution = distribution(&os_release);
    if !install || distribution != Distribution::Debian {
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
    match distribution {
        Distribution::Debian => {
            failure.next(install_command(missing, root)).next("or let it be done: --install-deps")
        }
        Distribution::Other(name) => failure.next(format!(
            "install them with the package manager of {name}; Debian calls the packages {}, others differ",
            packages(missing).join(" ")
        )),
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
            .next(format!("{}, then run again", install_command(missing, false))));
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
    args.extend(packages(missing));
    apt_get("apt-get install", &args, INSTALL_DEADLINE)
        .map_err(|failure| failure.next(format!("{}, then run again", install_command(missing, is_root()))))
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
    /// The one command that installs what is missing.
    pub install: Option<String>,
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
    Ok(Facts {
        tools: tools.into_iter().map(version).collect(),
        install: (!lacking.is_empty()).then(|| install_command(&lacking, is_root())),
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
