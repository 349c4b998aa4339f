//! `cargo xtask`: parse the command line, dispatch, turn the outcome into an exit code. No logic of its own.

// println! and its kin panic on a closed pipe and escape nothing: use crate::host::terminal.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod arms;
mod boot;
mod build;
mod cache;
mod campaign;
mod chores;
mod cli;
mod command;
mod derive;
#[cfg(test)]
mod floors;
mod host;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::disallowed_methods))]
mod judge;
#[cfg(test)]
mod names;
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
use cli::{Cli, Verb};
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
        Verb::Product(command) => command::run(&project, command),
        Verb::Chore(chore) => chores::run(&project, chore),
    })
}
