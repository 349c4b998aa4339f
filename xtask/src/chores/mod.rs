//! Chores of those who work on patchproof itself: they run the harness as a program, and read what it wrote by its types. The
//! harness does not use them.

mod attacks;
mod bench;
mod ci;
mod corpus;
mod docs;
mod faults;
mod nodes;
mod versions;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Subcommand};
use xshell::{Shell, cmd};

use crate::campaign::project::Project;
use crate::command::report::REPORT;
use crate::report::Report;
use failure::{Context, Exit, Failure, Result};

#[derive(Debug, Subcommand)]
pub enum Chore {
    /// Everything that must hold before a change lands: format, clippy, tests, a smoke matrix on a real kernel
    Ci(CiArgs),
    /// Measure what a matrix costs, in units of one cold kernel build, and print it as docs/performance.md has it
    Bench(BenchArgs),
    /// Break everything around a kernel, one thing after another; none may give a pass or be in the next run's way
    Faults,
    /// Try on a real kernel what a hostile patch, or a clock that steps, could do; needs what a matrix leaves
    Attacks,
    /// Judge versions of the patch that were not prepared for, and compare each verdict with the one in its header
    Versions(VersionsArgs),
    /// Compute, from the times of a run, what it takes when it is divided among several machines: a simulation
    Nodes(NodesArgs),
    /// Write docs/controls.md, the planted bugs and what caught each, from the reports of runs
    Docs(DocsArgs),
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Also with ccache, empty and full
    #[arg(long)]
    pub ccache: bool,
    /// Instead of measuring, build every kernel from nothing as well, and compare it with the one that was built from
    /// its neighbour's objects
    #[arg(long, conflicts_with = "ccache")]
    pub images: bool,
    /// Instead of measuring the default campaign, run every patch of the corpus in DIR (with a table, corpus.tsv) as one that
    /// nobody prepared for, and say what was compiled, executed and judged of each, and in what time
    #[arg(long, value_name = "DIR", conflicts_with_all = ["images", "ccache", "no_sandbox"])]
    pub corpus: Option<PathBuf>,
    /// Write it to docs/performance.md (docs/corpus.md): for a whole run on a machine that does nothing else
    #[arg(long, conflicts_with = "images")]
    pub write: bool,
    /// Let builds and guests do all that you can: to measure what confining them costs
    #[arg(long)]
    pub no_sandbox: bool,
    /// Of the default campaign only cells, of a corpus only patches that match this pattern; may be given several times
    #[arg(long, value_name = "PATTERN")]
    pub only: Vec<String>,
}

#[derive(Debug, Args)]
pub struct VersionsArgs {
    /// Only the version of this name; may be given several times
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
}

#[derive(Debug, Args)]
pub struct DocsArgs {
    /// Directories of runs with `--controls all`
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct NodesArgs {
    /// The directory of a run that is over
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Cores that it was run on, and that each machine has
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub cores: u16,
}

#[derive(Debug, Args)]
pub struct CiArgs {
    /// Install what is missing on this host through its package manager
    #[arg(long)]
    pub install_deps: bool,
}

/// The report of a run that is over.
///
/// # Errors
/// When there is none.
fn report_in(dir: &Path) -> Result<Report> {
    REPORT
        .read(&dir.join("report.json"))
        .map_err(|failure| Failure::infra("a matrix ended without a report").because(failure.to_string()))
}

/// Does one of them.
///
/// # Errors
/// When something is not as it has to be.
pub fn run(project: &Project, chore: &Chore) -> Result<Exit> {
    match chore {
        Chore::Ci(args) => ci::ci(project, args),
        Chore::Bench(args) => bench::bench(project, args),
        Chore::Faults => faults::faults(project),
        Chore::Attacks => attacks::attacks(project),
        Chore::Versions(args) => versions::versions(project, args),
        Chore::Nodes(args) => nodes::nodes(args),
        Chore::Docs(args) => docs::run(project, args),
    }
}

/// What a matrix came to that a chore started.
struct MatrixRun {
    /// None: it came to no report.
    report: Option<Report>,
    exit: Option<i32>,
    /// On standard error.
    said: String,
    secs: f64,
}

/// Runs this harness's matrix with `args`, whatever comes of it.
///
/// # Errors
/// When it cannot be started, or was interrupted.
fn matrix(project: &Project, args: &[&str]) -> Result<MatrixRun> {
    let shell = Shell::new().or_infra(|| "start a shell".to_owned())?;
    shell.change_dir(&project.root);
    let harness = std::env::current_exe().or_infra(|| "find this program".to_owned())?;
    let started = Instant::now();
    let matrix = cmd!(shell, "{harness} matrix {args...} --format json");
    let output = matrix.quiet().ignore_status().output().or_infra(|| "start the matrix".to_owned())?;
    if output.status.code() == Some(Exit::Interrupted as i32) {
        return Err(Failure::interrupted());
    }
    Ok(MatrixRun {
        report: serde_json::from_slice(&output.stdout).ok(),
        exit: output.status.code(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
        secs: started.elapsed().as_secs_f64(),
    })
}
