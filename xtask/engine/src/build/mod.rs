//! Configures and compiles one kernel in a build directory, whose objects its cells share, so that each build starts
//! from its neighbour's objects. make runs confined: it executes code of the patch under test. Knows make; knows
//! nothing of patches or verdicts.

mod ccache;
mod code;
mod data;
pub mod guest;
mod log;
pub mod selftests;
pub mod sensitive;
pub mod stale;
pub mod userland;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use crate::host::arch::Arch;
use crate::host::disk;
use crate::host::process::{self, ChildEnd, Limits, WatchFlow};
use crate::host::sandbox::{Access, Sandbox, View};
use crate::observe::{Build, Built, Code, Lost};
use crate::source::build_dir::BuildDir;
use crate::source::files::{self, OBJECTS};
use crate::subject::kconfig::{self, KconfigRequest};
pub use ccache::Ccache;
use failure::{Context, Failure, Result};
pub use log::Tail;

/// One kernel to build.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    pub sandbox: &'a Sandbox,
    pub tree: &'a Path,
    pub objects: &'a Path,
    pub arch: &'a Arch,
    pub requests: &'a [KconfigRequest],
    pub jobs: usize,
    /// Asked before the compiler, unless the patch brings code that runs on the host: its store outlives the run.
    pub ccache: Option<&'a Ccache>,
    /// Where the requested fragment, the build log, the `.config` and the image go.
    pub cell_dir: &'a Path,
    /// The Kconfig files that are not as the tree came: a `.config` made with others is made again.
    pub kconfig: &'a str,
    /// Files that the patch under test changes.
    pub touched: &'a BTreeSet<String>,
    /// The patch brings code that the build executes on the host: nothing of an earlier configuration is taken for its own.
    pub runs_own_code: bool,
    /// Whether to keep digests of their code.
    pub keep_code: bool,
    /// Objects that count how often their lines are executed, by gcov.
    pub counted: &'a [String],
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

/// Where a build sees its tree: the same for all build directories, so that none is told by its objects.
const TREE: &str = "tree";
const FRAGMENT: &str = "requested.config";

/// What gcov has to know of the objects that count, kept beside the image: by object, in base 64.
pub const NOTES: &str = "gcov-notes.json";

/// More than make prints for the largest kernel with all warnings.
const LOG_BYTES_MAX: u64 = 64 << 20;
/// Of a `.config`, or of the symbols of the largest kernel.
const MADE_BYTES_MAX: u64 = 64 << 20;
/// A kernel with all its debug information is far smaller.
const FILE_BYTES_MAX: u64 = 8 << 30;

impl Job<'_> {
    pub fn fragment(&self) -> PathBuf {
        self.cell_dir.join(FRAGMENT)
    }

    /// What make sees: the source and the fragment, which it can read, and the objects, which it can write.
    fn view(&self) -> View {
        let view = View::default()
            .show(self.tree, Path::new(TREE), Access::Read)
            .show(self.objects, &Path::new(TREE).join(OBJECTS), Access::Write)
            .show(&self.fragment(), Path::new(FRAGMENT), Access::Read);
        match self.ccache {
            Some(ccache) => ccache.show(view),
            None => view,
        }
    }

    /// The path of the tree as make sees it.
    pub fn place(&self) -> PathBuf {
        self.sandbox.name(&self.view(), self.tree)
    }

    pub fn log(&self) -> PathBuf {
        self.cell_dir.join("build.log")
    }

    pub fn image(&self) -> PathBuf {
        self.cell_dir.join(self.arch.kept())
    }

    /// The two make commands, as they are run and as `--dry-run` shows them.
    pub fn commands(&self) -> [Vec<String>; 2] {
        let view = self.view();
        let name = |path: &Path| self.sandbox.name(&view, path).display().to_string();
        let make = |rest: &[String]| {
            let mut words = vec![
                "make".to_owned(),
                "-C".to_owned(),
                name(self.tree),
                format!("O={}", name(self.objects)),
                format!("ARCH={}", self.arch.kernel_arch),
            ];
            if !self.arch.prefix().is_empty() {
                words.push(format!("CROSS_COMPILE={}", self.arch.prefix()));
            }
            words.extend_from_slice(rest);
            words
        };
        [
            make(&[format!("KCONFIG_ALLCONFIG={}", name(&self.fragment())), CONFIGURE.to_owned()]),
            make(
                &[counting(self.counted), vec![format!("-j{}", self.jobs), self.arch.target.to_owned()]]
                    .concat(),
            ),
        ]
    }
}

/// Builds the kernel in the build directory, which has begun this build, unless `look`, which hears what the compiler
/// does, wants it stopped. `cold`: there are no objects to start from. What a compiler or a full disk says is a
/// value; `Err` is for what stops the whole run. A kernel that was built can be booted at once; the objects can be
/// built from again after [`tidy`].
///
/// # Errors
/// On interruption, and when the harness's own files cannot be written.
pub fn build(
    job: &Job<'_>,
    build_dir: &mut BuildDir,
    cold: bool,
    mut look: impl FnMut(Option<&Tail>) -> WatchFlow,
) -> Result<Build> {
    std::fs::write(job.fragment(), kconfig::render(job.requests))
        .or_infra(|| format!("write {}", job.fragment().display()))?;
    let [configure, compile] = job.commands();
    let mut tail = Tail::new(&job.log());
    let mut configure_secs = 0.0;
    // Where nothing that it depends on has changed, configuring again takes seconds and changes nothing.
    let configure = (!is_configured(job, build_dir)).then_some(configure);
    for command in configure.into_iter().chain([compile]) {
        let what = command.last().map_or("make", String::as_str).to_owned();
        let started = Instant::now();
        let (end, asked) = make(job, &what, &command, || look(tail.read().then_some(&tail)))?;
        if asked {
            // It has removed what it was making.
            build_dir.pause()?;
        }
        match end {
            ChildEnd::Exited(0) if what == CONFIGURE => configure_secs = started.elapsed().as_secs_f64(),
            ChildEnd::Exited(0) => {}
            end => return ended(job, build_dir, &what, end),
        }
    }
    tail.read();
    if let Some(why) = not_made(job) {
        build_dir.forget_objects()?;
        return Ok(Build::Infra { why });
    }
    let link_secs = tail.linking.map_or(0.0, |since| since.elapsed().as_secs_f64());
    if let Some(why) = keep_notes(job)? {
        return Ok(Build::Infra { why });
    }
    let lost_symbols = keep(job)?;
    if lost_symbols.is_empty() {
        build_dir.configured(configured_from(job))?;
    }
    let log = read_log(job)?;
    let warnings = log::warnings(&log, &job.place(), job.touched);
    let code = if job.keep_code { code::of(job) } else { Code::default() };
    Ok(Build::Built(Built { cold, cached: false, configure_secs, link_secs, lost_symbols, warnings, code }))
}

/// The `.config` that the build of `job` would make; None where Kconfig fails. Compiles nothing of the kernel.
///
/// # Errors
/// On interruption, and when the harness's own files cannot be written.
pub fn configure(job: &Job<'_>) -> Result<Option<String>> {
    std::fs::write(job.fragment(), kconfig::render(job.requests))
        .or_infra(|| format!("write {}", job.fragment().display()))?;
    let [configure, _] = job.commands();
    match make(job, CONFIGURE, &configure, || WatchFlow::Continue)? {
        (ChildEnd::Exited(0), _) => read_config(job).map(Some),
        (ChildEnd::Interrupted, _) => Err(Failure::interrupted()),
        _ => Ok(None),
    }
}

/// For make: these objects are compiled to count (scripts/Makefile.lib, `GCOV_PROFILE_`). That names an object by its file
/// alone, and so the directory is asked for where the name is used; kbuild has no way to ask for an object of its own.
fn counting(objects: &[String]) -> Vec<String> {
    let mut dirs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for object in objects {
        let (dir, name) = object.rsplit_once('/').unwrap_or((".", object));
        dirs.entry(name).or_default().push(dir);
    }
    let word = |(name, dirs): (&str, Vec<&str>)| {
        format!("GCOV_PROFILE_{name}=$(if $(filter {},$(obj)),y)", dirs.join(" "))
    };
    dirs.into_iter().map(word).collect()
}

/// The notes of the objects that count; or why one has none.
fn keep_notes(job: &Job<'_>) -> Result<Option<String>> {
    if job.counted.is_empty() {
        return Ok(None);
    }
    let mut notes = BTreeMap::new();
    for object in job.counted {
        let path = Path::new(object).with_extension("gcno");
        match files::read_below(job.objects, &path) {
            Ok(bytes) => _ = notes.insert(object.clone(), BASE64.encode(&bytes)),
            Err(error) => return Ok(Some(format!("{object} was not compiled to count its lines: {error}"))),
        }
    }
    let json = serde_json::to_vec(&notes).or_infra(|| "encode gcov's notes".to_owned())?;
    let path = job.cell_dir.join(NOTES);
    std::fs::write(&path, json).or_infra(|| format!("write {}", path.display()))?;
    Ok(None)
}

/// One make, with its output in the build log; whether it ended because it was asked to.
fn make(
    job: &Job<'_>,
    what: &str,
    command: &[String],
    mut look: impl FnMut() -> WatchFlow,
) -> Result<(ChildEnd, bool)> {
    let view = job.view();
    let confined = clean(job.sandbox.command(command, &view));
    let confined = match job.ccache {
        Some(ccache) => ccache.around(confined, |path| job.sandbox.name(&view, path)),
        None => confined,
    };
    let asked = Cell::new(false);
    let limits = Limits { deadline: DEADLINE, file_bytes: Some(FILE_BYTES_MAX), asked: Some(&asked) };
    let end = process::run(&format!("make {what}"), confined, &job.log(), limits, |_| {
        if is_flooded(job) { WatchFlow::Stop } else { look() }
    })?;
    Ok((job.sandbox.end(end), asked.get()))
}

fn is_flooded(job: &Job<'_>) -> bool {
    std::fs::metadata(job.log()).is_ok_and(|log| log.len() > LOG_BYTES_MAX)
}

/// What a make that did not end with 0 means.
fn ended(job: &Job<'_>, build_dir: &mut BuildDir, what: &str, end: ChildEnd) -> Result<Build> {
    let how = match end {
        ChildEnd::Stopped if is_flooded(job) => {
            let why = format!("make {what} printed more than {} MiB", LOG_BYTES_MAX >> 20);
            return Ok(Build::Infra { why });
        }
        ChildEnd::Stopped => return Ok(Build::NotRun),
        ChildEnd::Interrupted => return Err(Failure::interrupted()),
        ChildEnd::Exited(status) => format!("make {what} ended with status {status}"),
        ChildEnd::Signalled(signal) => format!("make {what} was killed by signal {signal}"),
        ChildEnd::DeadlinePassed => format!("make {what} took too long"),
    };
    let build = log::diagnose(&read_log(job)?, &job.place(), job.touched, &how);
    // make removes the target of a command that failed. A host that fails may have cut off any file.
    if matches!(build, Build::CompileError(_)) {
        build_dir.pause()?;
        if read_config(job).is_ok_and(|config| lost(job, &config).is_empty()) {
            build_dir.configured(configured_from(job))?;
        }
    }
    Ok(build)
}

/// Leaves the objects of a kernel that was built to the next build.
///
/// # Errors
/// On I/O failure.
pub fn tidy(job: &Job<'_>, build_dir: &mut BuildDir) -> Result<()> {
    drop_links(job.objects)?;
    build_dir.settle()
}

/// The `.config` is there as a build left it that asked for the same.
fn is_configured(job: &Job<'_>, build_dir: &BuildDir) -> bool {
    let from = build_dir.configured_from();
    !job.runs_own_code && !from.is_empty() && from == configured_from(job)
}

/// Everything that goes into a `.config`, and what came out.
fn configured_from(job: &Job<'_>) -> String {
    let config = read_made(job, ".config").unwrap_or_default();
    let digest = disk::hex(&Sha256::digest(&config));
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

/// What of the caller's environment the build sees: how programs are found and started. The rest could change what is
/// built: a dozen names mean something to make, more to kbuild, and some to the compiler.
const SEEN: [&str; 5] = ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD"];

/// The kernel's build system with an environment that is always the same, so that equal sources give equal images.
fn clean(mut expression: duct::Expression) -> duct::Expression {
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

/// Copies what is needed of the build into the cell's directory and compares the `.config` with the requests.
fn keep(job: &Job<'_>) -> Result<Vec<Lost>> {
    let config = read_config(job)?;
    std::fs::write(job.cell_dir.join("config"), &config).or_infra(|| "keep the .config".to_owned())?;
    let mut kept = vec![(job.arch.image, job.arch.kept()), (SYMBOLS, SYMBOLS)];
    kept.dedup();
    for (made, kept) in kept {
        let doing = || format!("keep {made} of {}", job.objects.display());
        let mut from = files::open_below(job.objects, Path::new(made)).or_infra(doing)?;
        let mut to = std::fs::File::create(job.cell_dir.join(kept)).or_infra(doing)?;
        std::io::copy(&mut from, &mut to).or_infra(doing)?;
    }
    keep_kallsyms(job)?;
    Ok(lost(job, &config))
}

fn read_config(job: &Job<'_>) -> Result<String> {
    let bytes =
        read_made(job, ".config").or_infra(|| format!("read the .config in {}", job.objects.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a build that ended well did not leave as a regular file, and why it cannot be used. The objects are not to be
/// trusted then.
fn not_made(job: &Job<'_>) -> Option<String> {
    [job.arch.image, SYMBOLS, SYSTEM_MAP, ".config"].into_iter().find_map(|name| {
        let error = files::open_below(job.objects, Path::new(name)).err()?;
        Some(format!("make ended well and left no {name} that can be used: {error}"))
    })
}

/// A file that the build made. The build may have put anything there: a link to a file of the host, or a pipe.
fn read_made(job: &Job<'_>, name: &str) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    files::open_below(job.objects, Path::new(name))?.take(MADE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What was asked for and is not in the `.config`.
fn lost(job: &Job<'_>, config: &str) -> Vec<Lost> {
    let mut lost = kconfig::lost(job.requests, config);
    for symbol in &mut lost {
        symbol.depends_on = kconfig::depends_on(job.tree, &symbol.symbol);
    }
    lost.retain(|symbol| symbol.depends_on.is_some() || !symbol.if_known);
    lost
}

fn keep_kallsyms(job: &Job<'_>) -> Result<()> {
    let made = job.objects.join(SYSTEM_MAP);
    let bytes = read_made(job, SYSTEM_MAP).or_infra(|| format!("read {}", made.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let table = protocol::kallsyms::table(&text).map_err(|why| {
        Failure::infra(format!("the symbols of {} are not as expected", job.cell_dir.display()))
            .because(why)
            .log(&made)
    })?;
    let kept = job.cell_dir.join(KALLSYMS);
    std::fs::write(&kept, table).or_infra(|| format!("write {}", kept.display()))
}
