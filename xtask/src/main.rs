//! `cargo xtask`: parse the command line, dispatch, turn the outcome into an exit code. No logic of its own.

// println! and its kin panic on a closed pipe and escape nothing: use crate::host::terminal.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod arms;
mod boot;
mod build;
mod cache;
mod campaign;
mod command;
#[cfg(test)]
mod floors;
mod host;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::disallowed_methods))]
mod judge;
// Numbers of a guest may be anything, also in evidence that is read from the record: no arithmetic that can overflow.
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::disallowed_methods))]
mod observe;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::disallowed_methods))]
mod report;
mod run;
mod source;
mod subject;

use std::process::ExitCode;

use campaign::project::Project;
use command::cli::{Cli, Command};
use host::{crash, terminal};

fn main() -> ExitCode {
    let exit = crash::guarded(run).unwrap_or_else(|failure| {
        terminal::say(&format!("error: {failure}"));
        failure.exit
    });
    ExitCode::from(exit as u8)
}

fn run() -> failure::Result<failure::Exit> {
    let cli = Cli::read();
    Project::here().and_then(|project| match &cli.command {
        Command::Matrix(args) => command::matrix::matrix(&project, args),
        Command::Judge(args) => command::judge::judge(&project, args),
        Command::Report(args) => command::report::report(&project, args),
        Command::Patch(args) => command::patch::patch(&project, args),
        Command::Console(args) => command::console::console(args),
        Command::Doctor(args) => command::doctor::doctor(&project, args),
        Command::Ci(args) => command::ci::ci(&project, args),
        Command::Bench(args) => command::bench::bench(&project, args),
        Command::Cache(args) => command::cache::cache(&project, args),
        Command::Watch(args) => command::watch::watch(&project, args),
        Command::Attacks => command::attacks::attacks(&project),
        Command::Faults => command::faults::faults(&project),
        Command::Versions(args) => command::versions::versions(&project, args),
    })
}
