//! `cargo xtask docs RUN…`: writes `docs/controls.md`, the planted bugs and what caught each, from the reports of runs.
//! Takes what is there: runs nothing and judges nothing.

use super::{DocsArgs, report_in};
use crate::campaign::project::Project;
use crate::host::disk::write_whole;
use crate::report::controls_page;
use failure::{Exit, Failure, Result};

/// # Errors
/// When a run has no report of this schema, or two runs have one control.
pub fn run(project: &Project, args: &DocsArgs) -> Result<Exit> {
    let reports = args.runs.iter().map(|run| report_in(run)).collect::<Result<Vec<_>>>()?;
    let all = || reports.iter().flat_map(|report| &report.controls);
    if all().next().is_none() {
        return Err(Failure::usage("these runs have no control")
            .next("make one with `cargo xtask matrix --controls all`"));
    }
    let path = project.root.join("docs/controls.md");
    write_whole(&path, controls_page::render(&reports).as_bytes())?;
    crate::host::terminal::print_line(&format!("{} controls in {}", all().count(), path.display()))?;
    Ok(Exit::Ok)
}
