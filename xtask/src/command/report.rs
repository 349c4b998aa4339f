//! `cargo xtask report RUN`: the report of a run, rendered again. Judges nothing and writes no file.

use std::path::{Path, PathBuf};

use super::{builds, log_tails};
use crate::campaign::project::Project;
use crate::command::cli::{self, ReportFormat};
use crate::host::input;
use crate::host::json_file::JsonFile;
use crate::host::terminal::{self, Look};
use crate::report::annotation::{AddedByTree, AddedLines};
use crate::report::{self, Report, Shown};
use failure::{Context, Exit, Failure, Result};

/// `report.json` of a run.
pub const REPORT: JsonFile = JsonFile {
    what: "a report",
    schema: report::SCHEMA,
    most_bytes: 256 << 20,
    remedy: "let this harness write it again from the evidence: cargo xtask judge RUN",
};

/// The directory of a run, and its report.
fn of_run(project: &Project, run: &Path) -> Result<(PathBuf, Shown)> {
    let dir = super::run_dir(project, run)?;
    let report = read(project, &dir)?;
    Ok((dir, report))
}

/// A file that the judge writes.
fn written(project: &Project, dir: &Path, name: &str) -> Result<PathBuf> {
    let file = dir.join(name);
    match file.exists() {
        true => Ok(file),
        false => Err(Failure::usage(format!("{} has no {name}", input::shown(dir)))
            .next(format!("cargo xtask judge {}", builds::name(project, dir)))),
    }
}

/// Says what differs between two runs. The exit code is 0 whatever that is.
fn compare(project: &Project, args: &cli::ReportArgs) -> Result<Exit> {
    let (one, other) = match &args.compare[..] {
        [one, other] if args.run == Path::new("latest") => (one, other),
        [other] => (&args.run, other),
        _ => {
            return Err(Failure::usage("three runs were named, and two are compared")
                .next("cargo xtask report --compare RUN1 RUN2"));
        }
    };
    let (one, other) = (of_run(project, one)?, of_run(project, other)?);
    let names = [&one, &other].map(|(dir, _)| builds::name(project, dir));
    let text = report::compare::render(&one.1, &other.1, [&names[0], &names[1]]);
    terminal::print_as_it_is(&text)?;
    Ok(Exit::Ok)
}

/// Prints the report. The exit code is 0 whatever the verdict is: it was printed.
///
/// # Errors
/// When there is none, or one of another version of the harness.
pub fn report(project: &Project, args: &cli::ReportArgs) -> Result<Exit> {
    if !args.compare.is_empty() {
        return compare(project, args);
    }
    let (dir, report) = of_run(project, &args.run)?;
    if args.open {
        return super::open::open(&written(project, &dir, "report.html")?);
    }
    let text = match args.format {
        ReportFormat::Text => {
            let colour = Look::of(&std::io::stdout()).colour;
            let run_dir = dir.display().to_string();
            match args.verbose {
                true => report::human::whole(&report, &run_dir, colour),
                false => report::human::screen(&report, &run_dir, colour),
            }
        }
        ReportFormat::Json => {
            serde_json::to_string_pretty(&*report).or_infra(|| "encode the report".to_owned())? + "\n"
        }
        ReportFormat::Junit => report::junit::render(&report, &log_tails::read(&report, &dir))?,
        ReportFormat::Html => report::page::render(&report, &dir.display().to_string()),
        ReportFormat::Github => report::github::render(&report, &added_lines(&report, &dir)),
        ReportFormat::Gitlab => report::gitlab::render(&report, &added_lines(&report, &dir))?,
        ReportFormat::Ktap => report::ktap::render(&report, &log_tails::read(&report, &dir)),
        ReportFormat::Markdown => report::markdown::render(&report),
    };
    terminal::print_as_it_is(&text)?;
    Ok(Exit::Ok)
}

/// The report of the run in `dir`.
///
/// # Errors
/// When there is none, or one of another version of the harness.
pub(super) fn read(project: &Project, dir: &Path) -> Result<Shown> {
    builds::require_boot(project, dir)?;
    Shown::new(&REPORT.read::<Report>(&written(project, dir, "report.json")?)?)
}

/// The lines that the patch adds on each tree, by the patch as it was tested there. Without that file nothing is known of lines,
/// and remarks go without.
fn added_lines(report: &Report, dir: &Path) -> AddedByTree {
    let mut all = AddedByTree::new();
    for tree in &report.trees {
        let Some(series) = tested(dir, &tree.name) else { continue };
        let mut added = AddedLines::default();
        for file in series.patches.iter().flat_map(|patch| &patch.files) {
            added.add(&file.path, file.added_lines().into_iter().filter_map(|line| u32::try_from(line).ok()));
        }
        all.insert(tree.name.clone(), added);
    }
    all
}

/// The patch as it was tested on `tree` in the run in `dir`.
pub(super) fn tested(dir: &Path, tree: &str) -> Option<patch::Series> {
    let name = format!("patch-{tree}.patch");
    // The name of the tree comes from a file.
    let file = Path::new(&name);
    if file.file_name() != Some(file.as_os_str()) {
        return None;
    }
    patch::read(&input::PATCH.read(&dir.join(file)).ok()?, &name).ok()
}
