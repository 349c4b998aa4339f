//! `cargo xtask report RUN`: the report of a run, rendered again. Judges nothing and writes no file.

use std::path::{Path, PathBuf};

use super::builds;
use crate::campaign::project::Project;
use crate::command::cli::{self, ReportFormat};
use crate::host::input;
use crate::host::json_file::JsonFile;
use crate::host::terminal::{self, Look};
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
fn read(project: &Project, run: &Path) -> Result<(PathBuf, Shown)> {
    let dir = super::run_dir(project, run)?;
    builds::require_boot(project, &dir)?;
    let report = REPORT.read::<Report>(&written(project, &dir, "report.json")?)?;
    Ok((dir, Shown::new(&report)?))
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
    let (one, other) = (read(project, one)?, read(project, other)?);
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
    let (dir, report) = read(project, &args.run)?;
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
        ReportFormat::Junit => report::junit::render(&report)?,
        ReportFormat::Html => report::page::render(&report, &dir.display().to_string()),
    };
    terminal::print_as_it_is(&text)?;
    Ok(Exit::Ok)
}
