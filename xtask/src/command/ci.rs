//! `cargo xtask ci`: everything that must hold before a change lands. The first thing that fails ends it.

use xshell::{Shell, cmd};

use crate::cli;
use crate::failure::{Context, Exit, Failure, Result};
use crate::host;
use crate::project::Project;

/// Format, lints, tests, and a matrix of the variant that the patch changes, on a real kernel.
///
/// # Errors
/// When a step fails; its own words stand above.
pub fn ci(project: &Project, args: &cli::Ci) -> Result<Exit> {
    host::require(args.install_deps, &project.install_log())?;
    let shell = Shell::new().or_infra(|| "start a shell".to_owned())?;
    shell.change_dir(&project.root);
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let step = |what: &str, command: xshell::Cmd<'_>| {
        command.run().map_err(|error| Failure::infra(format!("{what} failed")).because(error.to_string()))
    };
    step("format", cmd!(shell, "{cargo} fmt --all --check"))?;
    step("clippy", cmd!(shell, "{cargo} clippy --locked --workspace --all-targets -- -D warnings"))?;
    step("the smoke matrix", cmd!(shell, "{cargo} xtask matrix --only */pt-reclaim-off/*"))?;
    step("tests", cmd!(shell, "{cargo} test --locked --workspace"))?;
    Ok(Exit::Ok)
}
