//! `cargo xtask doctor`: what this host has and lacks.

use std::path::Path;

use crate::boot::probe;
use crate::campaign::project::Project;
use crate::command::cli;
use crate::host::{self, arch, terminal};
use failure::{Exit, Result};

/// Prints the host's facts; says with its exit code whether a run could start.
///
/// # Errors
/// When something is missing and could not be installed.
pub fn doctor(project: &Project, args: &cli::DoctorArgs) -> Result<Exit> {
    if args.install_deps {
        host::require(&[arch::DEFAULT], true, true, &project.install_log())?;
    }
    let memory = probe::remembered(Path::new(arch::DEFAULT.qemu), &project.accel_memory());
    let facts = host::facts(&[arch::DEFAULT], &project.work(), probe::describe(memory.as_ref()))?;
    terminal::print(&host::doctor(&facts))?;
    Ok(if facts.complete { Exit::Ok } else { Exit::Inconclusive })
}
