//! What `cargo xtask build` leaves in the directory of a run for `cargo xtask boot` (`builds.json`): what became of each
//! kernel, and the digests of the files that a boot takes of it. Builds and boots nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::planned::Planned;
use crate::boot::qemu;
use crate::build::{KALLSYMS, SYMBOLS};
use crate::campaign::plan::{Arm, Cell};
use crate::campaign::project::Project;
use crate::host::disk;
use crate::host::input::shown;
use crate::host::json_file::JsonFile;
use crate::judge::{self, Verdict};
use crate::observe::{Build, Evidence};
use failure::{Context, Exit, Failure, Result};

const REMEDY: &str = "build the kernels again: cargo xtask build";

const BUILDS: JsonFile =
    JsonFile { what: "the builds of a run", schema: 1, most_bytes: 64 << 20, remedy: REMEDY };
/// There once every kernel was tried.
const FILE: &str = "builds.json";
/// There once a boot was begun: a second one would mix its files with those of the first.
const BEGUN: &str = "boot.started";

/// Every build of a plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Builds {
    pub wall_secs: f64,
    /// How long the scenarios of a soak go on; 0 without one.
    pub soak_secs: u64,
    /// What follows `cargo xtask matrix` to repeat one cell.
    pub repeat_args: Vec<String>,
    /// In the order of the plan.
    pub kernels: Vec<BuiltKernel>,
}

/// What became of the kernel of one cell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BuiltKernel {
    pub cell: String,
    pub build: Build,
    pub build_secs: Option<f64>,
    /// [`Evidence::build_start_secs`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_start_secs: Option<f64>,
    /// SHA-256 of what a boot takes, by the name in the cell's directory; empty where nothing was built.
    pub files: BTreeMap<String, String>,
}

impl BuiltKernel {
    /// # Errors
    /// When a file of a kernel that was built cannot be read.
    pub fn of(cell: &Cell, evidence: &Evidence, dir: &Path) -> Result<BuiltKernel> {
        let mut files = BTreeMap::new();
        if evidence.built().is_some() {
            for name in taken(cell) {
                files.insert(name.to_owned(), disk::sha256(&place(dir, cell, name))?);
            }
        }
        Ok(BuiltKernel {
            cell: cell.id(),
            build: evidence.build.clone(),
            build_secs: evidence.build_secs,
            build_start_secs: evidence.build_start_secs,
            files,
        })
    }

    /// Why the kernel in `dir` cannot be booted as the one that was built.
    fn differs(&self, cell: &Cell, dir: &Path) -> Option<String> {
        if !matches!(self.build, Build::Built(_)) {
            return None;
        }
        taken(cell).into_iter().find_map(|name| {
            let path = place(dir, cell, name);
            let why = match (self.files.get(name), std::fs::symlink_metadata(&path)) {
                (None, _) => "has no digest on record".to_owned(),
                (Some(_), Err(error)) if error.kind() == ErrorKind::NotFound => "is missing".to_owned(),
                (Some(_), Err(error)) => format!("cannot be read: {error}"),
                (Some(_), Ok(about)) if !about.is_file() => "is not a regular file".to_owned(),
                (Some(digest), Ok(_)) => match disk::sha256(&path) {
                    Ok(found) if found == *digest => return None,
                    Ok(_) => "is not the file that was built: its digest is another one".to_owned(),
                    Err(failure) => return Some(failure.to_string()),
                },
            };
            Some(format!("{}: {name} {why}", cell.id()))
        })
    }
}

/// The files of a cell's directory that a boot takes.
fn taken(cell: &Cell) -> Vec<&'static str> {
    let mut names = vec![cell.arch.kept(), SYMBOLS, KALLSYMS];
    // On some architectures the image is the file with the symbols.
    names.dedup();
    names
}

fn place(dir: &Path, cell: &Cell, name: &str) -> std::path::PathBuf {
    dir.join("cells").join(cell.id()).join(name)
}

impl Builds {
    pub fn write(&self, dir: &Path) -> Result<()> {
        BUILDS.write(&dir.join(FILE), self)
    }

    /// The builds of the run in `dir`, whose files are as they were built.
    ///
    /// # Errors
    /// When the builds did not come to their end, or are of another plan, or a file is missing or another one.
    pub fn read(dir: &Path, planned: &Planned) -> Result<Builds> {
        let file = dir.join(FILE);
        if !file.exists() {
            return Err(Failure::usage(format!("{} has no kernels to boot", shown(dir)))
                .because(format!(
                    "there is no {FILE}: `build` did not make this run, or did not come to its end"
                ))
                .next(REMEDY));
        }
        let builds: Builds = BUILDS.read(&file)?;
        if !builds.kernels.iter().map(|kernel| &kernel.cell).eq(&planned
            .cells
            .iter()
            .map(Cell::id)
            .collect::<Vec<_>>())
        {
            return Err(Failure::usage(format!("{}: these are not the builds of this plan", shown(&file)))
                .next(REMEDY));
        }
        let cells = builds.kernels.iter().zip(&planned.cells);
        let differing: Vec<String> = cells.filter_map(|(kernel, cell)| kernel.differs(cell, dir)).collect();
        if differing.is_empty() {
            return Ok(builds);
        }
        let failure = Failure::usage(format!("{} cannot be booted as it was built", shown(dir)));
        Err(differing.into_iter().fold(failure, Failure::because).next(REMEDY))
    }

    /// The evidence of each cell before its boot.
    pub fn evidence(&self) -> Vec<Evidence> {
        let of = |kernel: &BuiltKernel| Evidence {
            build: kernel.build.clone(),
            build_secs: kernel.build_secs,
            build_start_secs: kernel.build_start_secs,
            ..Evidence::default()
        };
        self.kernels.iter().map(of).collect()
    }
}

/// From now on what is in `dir` is of this boot.
///
/// # Errors
/// When another boot was begun there.
pub fn begin_boot(dir: &Path) -> Result<()> {
    let path = dir.join(BEGUN);
    let mut file = File::create_new(&path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::usage(format!("{} was booted before", shown(dir)))
            .because("the files of two boots would mix")
            .next("build again, which takes the kernels from the cache: cargo xtask build"),
        _ => Failure::infra(format!("could not write {}", shown(&path))).because(error.to_string()),
    })?;
    writeln!(file, "{}", std::process::id()).or_infra(|| format!("write {}", shown(&path)))
}

/// # Errors
/// When the run in `dir` was only built: then there is no evidence, and nothing is a result.
pub fn require_boot(project: &Project, dir: &Path) -> Result<()> {
    if dir.join(FILE).exists() && !dir.join(BEGUN).exists() {
        return Err(Failure::usage(format!("{} was built and not booted", shown(dir)))
            .because("without a boot there is no evidence, and no verdict")
            .next(format!("cargo xtask boot {}", name(project, dir))));
    }
    Ok(())
}

/// How a run is named on the command line.
pub fn name(project: &Project, dir: &Path) -> String {
    let of_project =
        |name: &&std::ffi::OsStr| project.runs().join(name).canonicalize().is_ok_and(|run| run == dir);
    let name = dir.file_name().filter(of_project).map_or(dir.as_os_str(), |name| name);
    qemu::shell_line(&[name.to_string_lossy().into_owned()])
}

impl Planned {
    /// The exit code that the builds alone lead to: what `matrix` would end with if every boot were good.
    pub fn exit_of_builds(&self, evidence: &[Evidence]) -> Exit {
        let cells = || self.cells.iter().zip(evidence);
        let base_of = |cell: &Cell| {
            let found =
                cells().find(|(other, _)| other.arm == Arm::Base && other.pair_id() == cell.pair_id());
            found.map(|(_, evidence)| evidence.clone()).unwrap_or_default()
        };
        let wrong = cells().filter(|(cell, evidence)| !self.wrong_with_build(cell, evidence).is_empty());
        let verdict = |(cell, evidence): (&Cell, &Evidence)| match cell.arm {
            Arm::Base => judge::judge_builds(evidence, evidence),
            Arm::Patched | Arm::Version(_) => judge::judge_builds(&base_of(cell), evidence),
            Arm::Control(_) => Some(Verdict::Vacuous),
            // They are about no verdict.
            Arm::Coverage | Arm::CoverageRest | Arm::WithoutHunk(_) | Arm::Mutant(_) | Arm::NoMutant => None,
        };
        let verdicts: Vec<Verdict> = wrong.filter_map(verdict).collect();
        match (verdicts.contains(&Verdict::Fail), verdicts.is_empty()) {
            (true, _) => Exit::PatchFailed,
            (false, false) => Exit::Inconclusive,
            (false, true) => Exit::Ok,
        }
    }
}
