//! `cargo xtask`: parse the command line, dispatch, turn the outcome into an exit code. No logic of its own.

// println! and its kin panic on a closed pipe and escape nothing: use crate::host::terminal.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod chores;
mod cli;
mod command;
#[cfg(test)]
mod floors;
#[cfg(test)]
mod names;

use std::process::ExitCode;

use campaign::project::Project;
use cli::{Cli, Verb};
// Floors below are `crate::host` and so on here too: floors.rs looks at these paths, whatever crate a floor is in.
use engine::{arms, boot, build, cache, campaign, derive, host, observe, run, source, subject};
use host::{crash, terminal};
use verdict::{judge, report};

fn main() -> ExitCode {
    let exit = crash::guarded(run).unwrap_or_else(|failure| {
        terminal::say(&format!("error: {failure}"));
        failure.exit
    });
    ExitCode::from(exit as u8)
}

fn run() -> failure::Result<failure::Exit> {
    let cli = Cli::read();
    if let Some(described) = cli.command.describe() {
        return described;
    }
    Project::here().and_then(|project| match &cli.command {
        Verb::Product(command) => command::run(&project, command),
        Verb::Chore(chore) => chores::run(&project, chore),
        Verb::Completion(_) | Verb::Man(_) => Err(failure::Failure::internal("not described")),
    })
}
