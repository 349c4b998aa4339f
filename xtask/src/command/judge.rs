//! `cargo xtask judge RUN`: the verdicts of a run again, from the evidence in its directory. Builds and boots nothing.

use super::builds;
use super::conclude::publish;
use super::planned::{Course, Planned};
use crate::campaign::project::Project;
use crate::command::cli;
use crate::report::Shown;
use crate::report::progress::Loudness;
use failure::{Exit, Failure, Result};

/// Judges the run, and writes and prints its report.
///
/// # Errors
/// When the directory is not one of a run, or of another version of the harness.
pub fn judge(project: &Project, args: &cli::JudgeArgs) -> Result<Exit> {
    let dir = super::run_dir(project, &args.run)?;
    builds::require_boot(project, &dir)?;
    let planned = Planned::read(&dir)?;
    let evidence = planned.evidence(&dir)?;
    let report = Shown::new(&planned.report(&evidence, Course::read(&dir)?, &dir))?;
    publish(&report, &dir, args.format, Loudness::new(args.quiet, args.verbose))?;
    // Of a run that a failure ended, that of the failure.
    Exit::of(report.exit_code).ok_or_else(|| Failure::internal("a report with no exit code that there is"))
}
