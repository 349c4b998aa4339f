//! Which accelerator really boots a kernel here. A /dev/kvm that opens proves nothing: an accelerator counts
//! only when a kernel came up under it, and what was found out is remembered for this host.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::boot::qemu::{self, Machine};
use crate::host;
use crate::host::accel::Accel;
use crate::host::arch::Arch;
use crate::host::deadline;
use crate::host::disk::write_whole;
use crate::host::process::{self, ChildEnd, Limits, WatchFlow};
use crate::host::sandbox::{Access, Sandbox, View};
use failure::{Context, Failure, Result};

/// Of a guest that is to get to user space, whichever kernel it is.
const MEMORY_MIB: u32 = 1024;

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Auto,
    Kvm,
    Tcg,
}

/// The accelerator to use, and why, in one line for the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub accel: Accel,
    pub reason: String,
}

/// Whether a kernel came up under an accelerator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ProbeOutcome {
    Booted {
        millis: u64,
    },
    /// Why not, completing "kvm …".
    Failed {
        reason: String,
    },
}

/// What a memory is about; another host, another QEMU or other permissions make it worthless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeKey {
    qemu_version: String,
    kernel_release: String,
    cpu_model: String,
    /// `None` when /dev/kvm opens for reading and writing, else the error.
    kvm_denied: Option<String>,
}

const SCHEMA: u32 = 2;

/// What has been found out on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    schema: u32,
    key: ProbeKey,
    kvm: Option<ProbeOutcome>,
    tcg: Option<ProbeOutcome>,
}

impl Memory {
    fn new(key: ProbeKey) -> Memory {
        Memory { schema: SCHEMA, key, kvm: None, tcg: None }
    }

    fn outcome(&mut self, accel: Accel) -> &mut Option<ProbeOutcome> {
        match accel {
            Accel::Kvm => &mut self.kvm,
            Accel::Tcg => &mut self.tcg,
        }
    }

    fn save(&self, file: &Path) -> Result<()> {
        let json =
            serde_json::to_vec_pretty(self).or_infra(|| "write the accelerator's memory".to_owned())?;
        let parent = file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent).or_infra(|| format!("create {}", parent.display()))?;
        write_whole(file, &json)
    }
}

/// What is remembered for `key`; anything unreadable, foreign or about another host counts as nothing.
fn recall(file: &Path, key: &ProbeKey) -> Option<Memory> {
    let memory: Memory = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    (memory.schema == SCHEMA && memory.key == *key).then_some(memory)
}

/// What is remembered about this host and this QEMU.
pub fn remembered(qemu: &Path, memory_file: &Path) -> Option<Memory> {
    recall(memory_file, &key(qemu, Path::new("/dev/kvm")).ok()?)
}

/// The line for `doctor`.
pub fn describe(memory: Option<&Memory>) -> String {
    match memory {
        None => "not yet proven: no kernel has been built here".to_owned(),
        Some(Memory { kvm: Some(ProbeOutcome::Booted { millis }), .. }) => booted(Accel::Kvm, *millis),
        Some(Memory { kvm, tcg: Some(ProbeOutcome::Booted { millis }), .. }) => match kvm {
            Some(ProbeOutcome::Failed { reason }) => format!("tcg: kvm {reason}"),
            _ => booted(Accel::Tcg, *millis),
        },
        Some(_) => "none is proven: the last kernel did not boot".to_owned(),
    }
}

fn booted(accel: Accel, millis: u64) -> String {
    format!("{}: booted a kernel here in {}.{} s", accel.name(), millis / 1000, millis % 1000 / 100)
}

/// Chooses the accelerator. `kernel` is one that is known to boot, `memory_file` keeps what is found out,
/// `work_dir` takes consoles and logs.
///
/// # Errors
/// When the accelerator wished for, or under [`Wish::Auto`] every one, fails to boot `kernel`.
pub fn choose(
    sandbox: &Sandbox,
    wish: Wish,
    arch: &Arch,
    kernel: &Path,
    memory_file: &Path,
    work_dir: &Path,
) -> Result<Choice> {
    if !arch.is_native() {
        return foreign(wish, arch);
    }
    let (qemu, kvm_device) = (Path::new(arch.qemu), Path::new("/dev/kvm"));
    choose_with(
        wish,
        &ProbeSetup { sandbox, arch, qemu, kernel, work_dir, kvm_device, cpus: 1, deadline: limit },
        memory_file,
    )
}

/// There is nothing to find out: only emulation runs the code of another architecture.
fn foreign(wish: Wish, arch: &Arch) -> Result<Choice> {
    match wish {
        Wish::Auto | Wish::Tcg => {
            Ok(Choice { accel: Accel::Tcg, reason: "not this host's architecture".to_owned() })
        }
        Wish::Kvm => Err(Failure::infra(format!("kvm boots no {} kernel here", arch.name))
            .because(format!("this host is {}", std::env::consts::ARCH))
            .next("use --accel auto, or leave that architecture out with --only")),
    }
}

/// What a probe works with.
struct ProbeSetup<'a> {
    sandbox: &'a Sandbox,
    arch: &'a Arch,
    qemu: &'a Path,
    kernel: &'a Path,
    work_dir: &'a Path,
    kvm_device: &'a Path,
    /// One is enough to prove an accelerator.
    cpus: u32,
    deadline: fn(Accel) -> Duration,
}

fn choose_with(wish: Wish, bench: &ProbeSetup<'_>, memory_file: &Path) -> Result<Choice> {
    let key = key(bench.qemu, bench.kvm_device)?;
    let mut memory = recall(memory_file, &key).unwrap_or_else(|| Memory::new(key));
    let before = memory.clone();
    let choice = decide(wish, &mut memory, bench);
    // A kernel that comes up nowhere says nothing about accelerators, so that is not remembered.
    let learnt = choice.is_ok() || matches!(memory.tcg, Some(ProbeOutcome::Booted { .. }));
    if learnt && memory != before {
        memory.save(memory_file)?;
    }
    choice.map_err(|failure| match before.kvm {
        Some(ProbeOutcome::Failed { .. }) if wish == Wish::Kvm => {
            failure.next(format!("remove {} to try it again", memory_file.display()))
        }
        _ => failure,
    })
}

fn decide(wish: Wish, memory: &mut Memory, bench: &ProbeSetup<'_>) -> Result<Choice> {
    let kvm_failed = match wish {
        Wish::Tcg => None,
        Wish::Auto | Wish::Kvm => match proven(Accel::Kvm, memory, bench)? {
            ProbeOutcome::Booted { millis } => {
                return Ok(Choice { accel: Accel::Kvm, reason: booted(Accel::Kvm, millis) });
            }
            ProbeOutcome::Failed { reason } if wish == Wish::Kvm => {
                return Err(cannot(Accel::Kvm, &reason, bench).next("use --accel auto or --accel tcg"));
            }
            ProbeOutcome::Failed { reason } => Some(reason),
        },
    };
    match (proven(Accel::Tcg, memory, bench)?, kvm_failed) {
        (ProbeOutcome::Booted { .. }, Some(reason)) => {
            Ok(Choice { accel: Accel::Tcg, reason: format!("kvm {reason}") })
        }
        (ProbeOutcome::Booted { millis }, None) => {
            Ok(Choice { accel: Accel::Tcg, reason: booted(Accel::Tcg, millis) })
        }
        (ProbeOutcome::Failed { reason }, kvm) => {
            let failure = cannot(Accel::Tcg, &reason, bench);
            Err(kvm.into_iter().fold(failure, |failure, reason| failure.because(format!("kvm {reason}"))))
        }
    }
}

fn cannot(accel: Accel, reason: &str, bench: &ProbeSetup<'_>) -> Failure {
    let failure = Failure::infra(format!("{} boots no kernel here", accel.name()))
        .because(format!("{} {reason}", accel.name()))
        .because(format!("tried {}", bench.kernel.display()));
    let has_words = |file: &PathBuf| fs::metadata(file).is_ok_and(|found| found.len() > 0);
    match [console_file(bench, accel), log_file(bench, accel)].iter().find(|file| has_words(file)) {
        Some(file) => failure.log(file),
        None => failure,
    }
}

/// The outcome remembered, or else that of a boot now.
fn proven(accel: Accel, memory: &mut Memory, bench: &ProbeSetup<'_>) -> Result<ProbeOutcome> {
    let denied = memory.key.kvm_denied.clone();
    let slot = memory.outcome(accel);
    if let Some(outcome) = slot {
        return Ok(outcome.clone());
    }
    let outcome = match (accel, denied) {
        (Accel::Kvm, Some(denied)) => ProbeOutcome::Failed { reason: format!("cannot be used: {denied}") },
        (Accel::Kvm | Accel::Tcg, _) => probe(accel, bench)?,
    };
    *slot = Some(outcome.clone());
    Ok(outcome)
}

fn key(qemu: &Path, kvm_device: &Path) -> Result<ProbeKey> {
    // As an OsStr: duct takes a bare Path for one relative to the current directory and not for a name on PATH.
    let version = duct::cmd!(qemu.as_os_str(), "--version").stdin_null().read().map_err(|error| {
        Failure::infra(format!("could not run {}", qemu.display())).because(error.to_string())
    })?;
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Ok(ProbeKey {
        qemu_version: version.lines().next().unwrap_or_default().to_owned(),
        kernel_release: release.trim().to_owned(),
        cpu_model: cpu_model(&cpuinfo),
        kvm_denied: kvm_denied(kvm_device),
    })
}

fn cpu_model(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(':')).map_or_else(String::new, |(_, name)| name.trim().to_owned())
}

fn kvm_denied(device: &Path) -> Option<String> {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    let name = device.display();
    let error = fs::File::options().read(true).write(true).open(device).err()?;
    Some(match error.kind() {
        NotFound => format!("there is no {name}"),
        PermissionDenied => {
            format!("no permission to open {name}; membership in the group kvm usually gives it")
        }
        _ => format!("{name} does not open: {error}"),
    })
}

fn console_file(bench: &ProbeSetup<'_>, accel: Accel) -> PathBuf {
    bench.work_dir.join(format!("accel-{}.console", accel.name()))
}

/// What QEMU itself said.
fn log_file(bench: &ProbeSetup<'_>, accel: Accel) -> PathBuf {
    bench.work_dir.join(format!("accel-{}.log", accel.name()))
}

/// How long `kernel` takes to boot with nothing to run, in seconds: to the moment when it finds no user space.
///
/// # Errors
/// When it does not get there.
pub fn bare_boot(
    sandbox: &Sandbox,
    accel: Accel,
    arch: &Arch,
    kernel: &Path,
    work_dir: &Path,
) -> Result<f64> {
    let (qemu, kvm_device) = (Path::new(arch.qemu), Path::new("/dev/kvm"));
    let cpus = arch.cpus;
    let bench = ProbeSetup { sandbox, arch, qemu, kernel, work_dir, kvm_device, cpus, deadline: limit };
    match probe(accel, &bench)? {
        ProbeOutcome::Booted { millis } => Ok(Duration::from_millis(millis).as_secs_f64()),
        ProbeOutcome::Failed { reason } => Err(cannot(accel, &reason, &bench)),
    }
}

/// A kernel that comes up at all takes a second under KVM and two under TCG; a busy host takes longer.
fn limit(accel: Accel) -> Duration {
    match accel {
        Accel::Kvm => Duration::from_secs(8),
        Accel::Tcg => Duration::from_secs(60),
    }
}

/// A boot prints some 20 kB.
const PROBE_BYTES_MAX: u64 = 1 << 20;

/// Boots the kernel without a user space: it prints its banner, finds no init, panics, and that ends QEMU.
fn probe(accel: Accel, bench: &ProbeSetup<'_>) -> Result<ProbeOutcome> {
    fs::create_dir_all(bench.work_dir).or_infra(|| format!("create {}", bench.work_dir.display()))?;
    let console = console_file(bench, accel);
    let log = log_file(bench, accel);
    for file in [&console, &log] {
        fs::write(file, "").or_infra(|| format!("write {}", file.display()))?;
    }
    let deadline = deadline::scaled((bench.deadline)(accel))?;
    let started = Instant::now();
    let seen = || ConsoleLog::of(&fs::read(&console).unwrap_or_default());
    let limits = Limits { deadline, file_bytes: Some(PROBE_BYTES_MAX), asked: None };
    let end = process::run(
        &format!("the {} probe", accel.name()),
        command(accel, bench, &console),
        &log,
        limits,
        |_| if seen() == ConsoleLog::CameUp { WatchFlow::Stop } else { WatchFlow::Continue },
    )?;
    if end == ChildEnd::Interrupted {
        return Err(Failure::interrupted());
    }
    let said = fs::read(&log).unwrap_or_default();
    Ok(match seen() {
        ConsoleLog::CameUp => {
            ProbeOutcome::Booted { millis: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX) }
        }
        state => ProbeOutcome::Failed {
            reason: failed_because(deadline, end, &state, &String::from_utf8_lossy(&said)),
        },
    })
}

fn command(accel: Accel, bench: &ProbeSetup<'_>, console: &Path) -> duct::Expression {
    let machine = Machine {
        arch: bench.arch,
        accel,
        cpus: bench.cpus,
        in_turn: false,
        memory_mib: MEMORY_MIB,
        tsc_mhz: host::tsc_mhz(),
    };
    let mut view = View::default().show(bench.kernel, Path::new("kernel"), Access::Read).show(
        console,
        Path::new("console"),
        Access::Write,
    );
    if accel == Accel::Kvm {
        view = view.device(bench.kvm_device);
    }
    let name = |path: &Path| bench.sandbox.name(&view, path);
    let mut command = qemu::bare(machine, &name(bench.kernel), &name(console), []);
    command[0] = bench.qemu.display().to_string();
    process::batch(process::bare(bench.sandbox.command(&command, &view)))
}

/// How far a kernel came, by its console.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ConsoleLog {
    Silent,
    /// Something wrote, but no kernel said its name: firmware, or a decompressor. Its last line.
    NoBanner(String),
    /// The kernel said its name and did not get as far as looking for init. Its last line.
    Stuck(String),
    /// It got as far as looking for a user space.
    CameUp,
}

impl ConsoleLog {
    fn of(bytes: &[u8]) -> ConsoleLog {
        // The kernel's own words when there is no init and no root file system to be found.
        const NO_USER_SPACE: [&str; 2] = ["No working init found", "Unable to mount root fs"];
        let text = String::from_utf8_lossy(bytes);
        let banner = text.contains("Linux version ");
        let panic = |line: &str| {
            line.contains("Kernel panic - not syncing")
                && NO_USER_SPACE.iter().any(|words| line.contains(words))
        };
        let printable =
            |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned();
        let last = text.lines().map(printable).rfind(|line| !line.is_empty());
        match last {
            None => ConsoleLog::Silent,
            Some(_) if banner && text.lines().any(panic) => ConsoleLog::CameUp,
            Some(last) if banner => ConsoleLog::Stuck(last),
            Some(last) => ConsoleLog::NoBanner(last),
        }
    }
}

/// Completes "kvm …". What QEMU itself said is the best reason there is.
fn failed_because(deadline: Duration, end: ChildEnd, console: &ConsoleLog, said: &str) -> String {
    let how = match end {
        ChildEnd::DeadlinePassed => format!("did not boot a kernel within {} s", deadline.as_secs()),
        ChildEnd::Exited(_) | ChildEnd::Signalled(_) | ChildEnd::Interrupted | ChildEnd::Stopped => {
            format!("did not boot a kernel: QEMU {end}")
        }
    };
    let qemu = said.lines().map(str::trim).find(|line| !line.is_empty() && !line.contains("warning:"));
    let why = match (qemu, console) {
        (Some(line), _) => line.to_owned(),
        (None, ConsoleLog::Silent) => "console silent".to_owned(),
        (None, ConsoleLog::NoBanner(last)) => format!("no kernel banner, last line {last:?}"),
        (None, ConsoleLog::Stuck(last)) => format!("the kernel stopped after {last:?}"),
        (None, ConsoleLog::CameUp) => "console complete".to_owned(),
    };
    format!("{how}: {why}")
}

#[cfg(test)]
mod tests;
