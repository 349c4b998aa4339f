//! Configures and compiles one kernel in an object directory that the cells of a lane share, so that each build
//! starts from its neighbour's objects. Knows make; knows nothing of patches or verdicts.

mod ccache;
mod code;
mod log;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::arch::Arch;
use crate::evidence::{Build, Built, Code};
use crate::failure::{Context, Failure, Result};
use crate::kconfig::{self, Request};
use crate::process::{self, End, Watch};
use crate::source::disk::sync_filesystem;
pub use ccache::Ccache;
pub use log::Tail;

/// One kernel to build.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    pub tree: &'a Path,
    /// Which copy of the source that is: objects of another one are not used.
    pub incarnation: &'a str,
    pub objects: &'a Path,
    pub arch: &'a Arch,
    pub requests: &'a [Request],
    pub jobs: usize,
    /// Asked before the compiler.
    pub ccache: Option<&'a Ccache>,
    /// Where the requested fragment, the build log, the `.config` and the image go.
    pub cell_dir: &'a Path,
    /// The Kconfig files that are not as the tree came: a `.config` made with others is made again.
    pub kconfig: &'a str,
    /// Files that the patch under test changes.
    pub touched: &'a BTreeSet<String>,
    /// Whether to keep digests of their code.
    pub keep_code: bool,
}

/// Everything off that no fragment asks for.
const CONFIGURE: &str = "allnoconfig";

/// Far above any build of a minimal kernel, so that only a stuck one meets it.
const DEADLINE: Duration = Duration::from_secs(3 * 3600);

/// The kernel as it was linked, which has its symbols: kept beside the image, and on some architectures the image
/// itself.
pub const SYMBOLS: &str = "vmlinux";

/// The functions of the kernel, for the guest ([`protocol::kallsyms`]): kept beside the image.
pub const KALLSYMS: &str = "kallsyms";
/// What they are made of, which every link leaves.
const SYSTEM_MAP: &str = "System.map";

/// A build that was cut off may leave half an object that make takes for whole.
const UNFINISHED: &str = ".patchproof-unfinished";
/// What the `.config` was made from.
const CONFIGURED: &str = ".patchproof-configured";
/// Which copy of the source the objects were made from.
const INCARNATION: &str = ".patchproof-incarnation";

impl Job<'_> {
    pub fn fragment(&self) -> PathBuf {
        self.cell_dir.join("requested.config")
    }

    pub fn log(&self) -> PathBuf {
        self.cell_dir.join("build.log")
    }

    pub fn image(&self) -> PathBuf {
        self.cell_dir.join(self.arch.kept())
    }

    /// The two make commands, as they are run and as `--dry-run` shows them.
    pub fn commands(&self) -> [Vec<String>; 2] {
        let make = |rest: &[String]| {
            let mut words = vec![
                "make".to_owned(),
                "-C".to_owned(),
                self.tree.display().to_string(),
                format!("O={}", self.objects.display()),
                format!("ARCH={}", self.arch.kernel_arch),
            ];
            if !self.arch.prefix().is_empty() {
                words.push(format!("CROSS_COMPILE={}", self.arch.prefix()));
            }
            words.extend_from_slice(rest);
            words
        };
        [
            make(&[format!("KCONFIG_ALLCONFIG={}", self.fragment().display()), CONFIGURE.to_owned()]),
            make(&[format!("-j{}", self.jobs), self.arch.target.to_owned()]),
        ]
    }
}

/// Builds the kernel, unless `look`, which hears what the compiler does, wants it stopped. What a compiler or a full
/// disk says is a value; `Err` is for what stops the whole run. A kernel that was built can be booted at once; the objects
/// can be built from again after [`tidy`].
///
/// # Errors
/// On interruption, and when the harness's own files cannot be written.
pub fn build(job: &Job<'_>, mut look: impl FnMut(Option<&Tail>) -> Watch) -> Result<Build> {
    let cold = prepare(job)?;
    let [configure, compile] = job.commands();
    let mut tail = Tail::new(&job.log());
    let mut configure_secs = 0.0;
    // Where nothing that it depends on has changed, configuring again takes seconds and changes nothing.
    let configure = (!is_configured(job)).then_some(configure);
    for command in configure.into_iter().chain([compile]) {
        let what = command.last().map_or("make", String::as_str).to_owned();
        let started = Instant::now();
        let command = match job.ccache {
            Some(ccache) => ccache.around(make(&command)),
            None => make(&command),
        };
        let end = process::run(&format!("make {what}"), command, &job.log(), DEADLINE, |_| {
            look(tail.read().then_some(&tail))
        })?;
        match end {
            End::Exited(0) if what == CONFIGURE => configure_secs = started.elapsed().as_secs_f64(),
            End::Exited(0) => {}
            End::Stopped => return Ok(Build::NotRun),
            End::Interrupted => return Err(Failure::interrupted()),
            End::Exited(status) => return failed(job, &format!("make {what} ended with status {status}")),
            End::Signalled(signal) => {
                return failed(job, &format!("make {what} was killed by signal {signal}"));
            }
            End::DeadlinePassed => return failed(job, &format!("make {what} took too long")),
        }
    }
    tail.read();
    let link_secs = tail.linking.map_or(0.0, |since| since.elapsed().as_secs_f64());
    let lost_symbols = keep(job)?;
    if lost_symbols.is_empty() {
        note_configured(job)?;
    }
    let log = read_log(job)?;
    let warnings = log::warnings(&log, job.tree, job.touched);
    let code = if job.keep_code { code::of(job) } else { Code::default() };
    Ok(Build::Built(Built { cold, cached: false, configure_secs, link_secs, lost_symbols, warnings, code }))
}

/// Leaves the objects of a kernel that was built to the next build.
///
/// # Errors
/// When the disk says no.
pub fn tidy(job: &Job<'_>) -> Result<()> {
    drop_links(job.objects)?;
    finished(job)
}

/// Whether a build in `objects` would start from what an earlier one left there, of the same copy of the source.
pub fn is_usable(objects: &Path, incarnation: &str) -> bool {
    let made_from = std::fs::read_to_string(objects.join(INCARNATION)).unwrap_or_default();
    made_from == incarnation && objects.join(".config").exists() && !objects.join(UNFINISHED).exists()
}

/// Makes the object directory one that can be built in; says whether it is empty.
fn prepare(job: &Job<'_>) -> Result<bool> {
    let objects = job.objects;
    let doing = || format!("prepare the object directory {}", objects.display());
    let made_from = std::fs::read_to_string(objects.join(INCARNATION)).unwrap_or_default();
    if objects.exists() && (objects.join(UNFINISHED).exists() || made_from != job.incarnation) {
        std::fs::remove_dir_all(objects).or_infra(doing)?;
    }
    let cold = !objects.join(".config").exists();
    std::fs::create_dir_all(objects).or_infra(doing)?;
    std::fs::write(objects.join(UNFINISHED), "").or_infra(doing)?;
    std::fs::write(objects.join(INCARNATION), job.incarnation).or_infra(doing)?;
    std::fs::write(job.fragment(), kconfig::render(job.requests))
        .or_infra(|| format!("write {}", job.fragment().display()))?;
    Ok(cold)
}

/// The `.config` is there as a build left it that asked for the same.
fn is_configured(job: &Job<'_>) -> bool {
    let stamp = std::fs::read_to_string(job.objects.join(CONFIGURED)).unwrap_or_default();
    !stamp.is_empty() && stamp == configured_from(job)
}

fn note_configured(job: &Job<'_>) -> Result<()> {
    let stamp = job.objects.join(CONFIGURED);
    std::fs::write(&stamp, configured_from(job)).or_infra(|| format!("write {}", stamp.display()))
}

/// Everything that goes into a `.config`, and what came out.
fn configured_from(job: &Job<'_>) -> String {
    let config = std::fs::read(job.objects.join(".config")).unwrap_or_default();
    let digest = Sha256::digest(&config).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{digest}\n{}\n{}", job.kconfig, kconfig::render(job.requests))
}

/// What the next build links anew whatever has changed: half of the room that objects take.
fn drop_links(objects: &Path) -> Result<()> {
    let doing = || format!("tidy {}", objects.display());
    for entry in std::fs::read_dir(objects).or_infra(doing)? {
        let entry = entry.or_infra(doing)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let linked = ["vmlinux", "vmlinux.o", "vmlinux.unstripped"].contains(&&*name);
        if linked || name.starts_with(".tmp_vmlinux") {
            std::fs::remove_file(entry.path()).or_infra(doing)?;
        }
    }
    Ok(())
}

fn finished(job: &Job<'_>) -> Result<()> {
    // Else a power cut could keep the removal of the mark and lose the objects.
    sync_filesystem(job.objects)?;
    std::fs::remove_file(job.objects.join(UNFINISHED)).or_infra(|| "mark the build as finished".to_owned())
}

/// What of the caller's environment the build sees: how programs are found and started. The rest could change what is
/// built: a dozen names mean something to make, more to kbuild, and some to the compiler.
const SEEN: [&str; 5] = ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD"];

/// The kernel's build system with an environment that is always the same, so that equal sources give equal images.
fn make(command: &[String]) -> duct::Expression {
    let mut expression = duct::cmd(&command[0], &command[1..]);
    // One by one: what is put around this command, such as ccache's own names, is to stay.
    let others = std::env::vars_os().map(|(name, _)| name);
    let is_seen = |name: &OsString| {
        let name = name.to_string_lossy();
        SEEN.contains(&&*name) || name.starts_with(ccache::OWN)
    };
    for name in others.filter(|name| !is_seen(name)) {
        expression = expression.env_remove(name);
    }
    expression = expression.env("LC_ALL", "C");
    for (key, value) in
        [("TIMESTAMP", "2026-01-01"), ("USER", "patchproof"), ("HOST", "localhost"), ("VERSION", "1")]
    {
        expression = expression.env(format!("KBUILD_BUILD_{key}"), value);
    }
    expression
}

fn read_log(job: &Job<'_>) -> Result<String> {
    let bytes = std::fs::read(job.log()).or_infra(|| format!("read {}", job.log().display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn failed(job: &Job<'_>, how: &str) -> Result<Build> {
    let build = log::diagnose(&read_log(job)?, job.tree, job.touched, how);
    // After a compile error the objects are whole: make removes the target of a failed command.
    if matches!(build, Build::CompileError(_)) {
        if lost(job, &read_config(job)?).is_empty() {
            note_configured(job)?;
        }
        finished(job)?;
    }
    Ok(build)
}

/// Copies what is needed of the build into the cell's directory and compares the `.config` with the requests.
fn keep(job: &Job<'_>) -> Result<Vec<kconfig::Lost>> {
    let config = read_config(job)?;
    std::fs::write(job.cell_dir.join("config"), &config).or_infra(|| "keep the .config".to_owned())?;
    let mut kept = vec![(job.arch.image, job.arch.kept()), (SYMBOLS, SYMBOLS)];
    kept.dedup();
    for (made, kept) in kept {
        let made = job.objects.join(made);
        std::fs::copy(&made, job.cell_dir.join(kept)).or_infra(|| format!("keep {}", made.display()))?;
    }
    keep_kallsyms(job)?;
    Ok(lost(job, &config))
}

fn read_config(job: &Job<'_>) -> Result<String> {
    let path = job.objects.join(".config");
    std::fs::read_to_string(&path).or_infra(|| format!("read {}", path.display()))
}

/// What was asked for and is not in the `.config`.
fn lost(job: &Job<'_>, config: &str) -> Vec<kconfig::Lost> {
    let mut lost = kconfig::lost(job.requests, config);
    for symbol in &mut lost {
        symbol.depends_on = kconfig::depends_on(job.tree, &symbol.symbol);
    }
    lost.retain(|symbol| symbol.depends_on.is_some() || !symbol.if_known);
    lost
}

fn keep_kallsyms(job: &Job<'_>) -> Result<()> {
    let made = job.objects.join(SYSTEM_MAP);
    let text = std::fs::read_to_string(&made).or_infra(|| format!("read {}", made.display()))?;
    let table = protocol::kallsyms::table(&text).map_err(|why| {
        Failure::infra(format!("the symbols of {} are not as expected", job.cell_dir.display()))
            .because(why)
            .log(&made)
    })?;
    let kept = job.cell_dir.join(KALLSYMS);
    std::fs::write(&kept, table).or_infra(|| format!("write {}", kept.display()))
}
