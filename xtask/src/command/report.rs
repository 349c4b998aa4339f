//! `cargo xtask report RUN`: the report of a run, rendered again. Judges nothing and writes no file.

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

/// Prints the report. The exit code is 0 whatever the verdict is: it was printed.
///
/// # Errors
/// When there is none, or one of another version of the harness.
pub fn report(project: &Project, args: &cli::ReportArgs) -> Result<Exit> {
    let dir = super::run_dir(project, &args.run)?;
    builds::require_boot(project, &dir)?;
    let file = dir.join("report.json");
    if !file.exists() {
        return Err(Failure::usage(format!("{} has no report", input::shown(&dir)))
            .next(format!("cargo xtask judge {}", builds::name(project, &dir))));
    }
    let report = Shown::new(&REPORT.read::<Report>(&file)?)?;
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
