//! `cargo xtask runs`: earlier runs with their verdicts, and getting rid of them. Reads reports; judges nothing, and never
//! removes the directory of a run that is going on.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;

use super::builds;
use super::report::REPORT;
use crate::campaign::project::Project;
use crate::host::disk;
use crate::host::input::shown;
use crate::host::terminal;
use crate::report::{Report, human, layout};
use crate::run::rundir;
use failure::{Exit, Failure, Result, escape};

#[derive(Debug, Args)]
pub struct RunsArgs {
    /// Only these runs, by their names below target/patchproof/runs or their directories there [default: all]
    #[arg(value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Remove the runs that are named, or all but the newest; one that is going on stays
    #[arg(long)]
    pub clean: bool,
    /// With --clean, also keep the N newest runs, or the run of this name (may be given several times)
    #[arg(long, value_name = "N|RUN", requires = "clean")]
    pub keep: Vec<String>,
    /// With --clean, remove only runs that began more than so many days ago
    #[arg(long, value_name = "DAYS", requires = "clean")]
    pub older_than: Option<u32>,
}

/// A run below the project's runs.
struct KeptRun {
    dir: PathBuf,
    began: SystemTime,
    state: RunState,
    bytes: u64,
}

enum RunState {
    GoesOn,
    Reported(Box<Report>),
    /// Built and not booted, ended without a report, or written by another version of the harness.
    NoReport(String),
}

/// Lists runs, newest first, or removes them.
///
/// # Errors
/// When a run that is named is not there, or a directory cannot be removed.
pub fn runs(project: &Project, args: &RunsArgs) -> Result<Exit> {
    let mut found = match args.runs.is_empty() {
        true => all_dirs(project),
        false => args.runs.iter().map(|run| own_run(project, run)).collect::<Result<_>>()?,
    };
    found.sort();
    found.dedup();
    let mut runs: Vec<KeptRun> = found.into_iter().map(|dir| KeptRun::look(project, dir)).collect();
    runs.sort_by(|one, other| (other.began, &other.dir).cmp(&(one.began, &one.dir)));
    match args.clean {
        true => clean(project, args, &runs),
        false => list(project, &runs),
    }
}

/// The directories of all runs; `latest` is a link to one of them.
fn all_dirs(project: &Project) -> Vec<PathBuf> {
    let is_run = |path: &PathBuf| {
        let is_dir = path.symlink_metadata().is_ok_and(|about| about.is_dir());
        is_dir && path.extension().is_none_or(|extension| extension != "discarded")
    };
    disk::entries(&project.runs()).into_iter().filter(is_run).collect()
}

/// The directory of a run, which is one below the project's runs: nothing else is ever removed.
fn own_run(project: &Project, run: &Path) -> Result<PathBuf> {
    let dir = super::run_dir(project, run)?;
    let is_own = all_dirs(project).iter().any(|own| own.canonicalize().is_ok_and(|own| own == dir));
    match is_own {
        true => Ok(dir),
        false => Err(Failure::usage(format!("{} is no run below {}", shown(&dir), shown(&project.runs())))
            .because("a directory that --out named belongs to whoever named it")
            .next("remove it by hand")),
    }
}

impl KeptRun {
    fn look(project: &Project, dir: PathBuf) -> KeptRun {
        let state = match REPORT.read::<Report>(&dir.join("report.json")) {
            _ if rundir::goes_on(&dir) => RunState::GoesOn,
            Ok(report) => RunState::Reported(Box::new(report)),
            Err(failure) if dir.join("report.json").exists() => {
                RunState::NoReport(failure.because.into_iter().next().unwrap_or(failure.what))
            }
            Err(_) if builds::require_boot(project, &dir).is_err() => {
                RunState::NoReport("built, not booted".to_owned())
            }
            Err(_) => RunState::NoReport("ended without a report".to_owned()),
        };
        KeptRun { began: rundir::began(&dir), bytes: disk::bytes(&dir), dir, state }
    }

    fn name(&self) -> String {
        self.dir.file_name().map(|name| shown(Path::new(name))).unwrap_or_default()
    }

    fn row(&self) -> Vec<String> {
        let (verdict, cells, secs, about) = match &self.state {
            RunState::GoesOn => ("goes on", String::new(), String::new(), String::new()),
            RunState::NoReport(why) => ("none", String::new(), String::new(), why.clone()),
            RunState::Reported(report) => (
                human::verdict(report),
                report.cells.len().to_string(),
                format!("{:.0}", report.wall_secs),
                report.patch.subject.clone().unwrap_or_else(|| report.patch.source.clone()),
            ),
        };
        let size = (self.bytes >> 20).to_string();
        let row = [rundir::date(self.began), verdict.to_owned(), cells, secs, size, self.name(), about];
        row.iter().map(|text| escape::line(text).into_owned()).collect()
    }
}

fn list(project: &Project, runs: &[KeptRun]) -> Result<Exit> {
    if runs.is_empty() {
        terminal::print_line(&format!("no run at {}", project.runs().display()))?;
        return Ok(Exit::Ok);
    }
    let header = ["began (UTC)", "verdict", "cells", "s", "MiB", "run", "patch"];
    let rows: Vec<Vec<String>> = runs.iter().map(KeptRun::row).collect();
    terminal::print(&(layout::table(&header, &rows).join("\n") + "\n"))?;
    Ok(Exit::Ok)
}

/// Which runs stay, and why.
struct Keep {
    newest: usize,
    dirs: Vec<PathBuf>,
}

impl Keep {
    fn new(project: &Project, args: &RunsArgs) -> Result<Keep> {
        // Of runs that are named, the user has said which.
        let mut keep = Keep { newest: usize::from(args.runs.is_empty()), dirs: Vec::new() };
        for word in &args.keep {
            match word.parse::<usize>() {
                Ok(number) => keep.newest = keep.newest.max(number),
                Err(_) => keep.dirs.push(own_run(project, Path::new(word))?),
            }
        }
        Ok(keep)
    }

    /// `rank` is 0 for the newest.
    fn has(&self, rank: usize, run: &KeptRun, older_than: Option<Duration>) -> bool {
        let is_named = self.dirs.iter().any(|dir| run.dir.canonicalize().is_ok_and(|own| own == *dir));
        let age = SystemTime::now().duration_since(run.began).unwrap_or_default();
        rank < self.newest || is_named || older_than.is_some_and(|limit| age <= limit)
    }
}

fn clean(project: &Project, args: &RunsArgs, runs: &[KeptRun]) -> Result<Exit> {
    let keep = Keep::new(project, args)?;
    let older_than =
        args.older_than.map(|days| Duration::from_secs(u64::from(days).saturating_mul(24 * 3600)));
    let (mut removed, mut bytes) = (0_usize, 0_u64);
    for (rank, run) in runs.iter().enumerate() {
        if keep.has(rank, run, older_than) {
            continue;
        }
        // Held while it is removed: another command cannot begin to work in it.
        let held = if rundir::goes_on(&run.dir) { None } else { rundir::hold(&run.dir, Duration::ZERO).ok() };
        if held.is_none() {
            terminal::print_line(&format!("kept {}: it is going on", run.name()))?;
            continue;
        }
        disk::discard(&run.dir)?;
        terminal::print_line(&format!("removed {} ({} MiB)", run.name(), run.bytes >> 20))?;
        removed = removed.saturating_add(1);
        bytes = bytes.saturating_add(run.bytes);
    }
    rundir::mend_latest(&project.runs())?;
    let kept = all_dirs(project).len();
    terminal::print_line(&format!("removed {removed} runs, {} MiB; {kept} are left", bytes >> 20))?;
    Ok(Exit::Ok)
}
