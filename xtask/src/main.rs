//! `cargo xtask`: parse the command line, dispatch, turn the outcome into an exit code. No logic of its own.

// println! and its kin panic on a closed pipe and escape nothing: use crate::terminal.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod about;
mod accel;
mod arch;
mod arms;
mod boot;
mod build;
mod c_source;
mod cache;
mod cli;
mod command;
mod config;
mod console;
mod control;
mod crash;
mod deadline;
mod escape;
mod events;
// Numbers of a guest may be anything, also in evidence that is read from the record: no arithmetic that can overflow.
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::disallowed_methods))]
mod evidence;
mod failure;
mod ground;
mod guest;
mod host;
mod input;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::disallowed_methods))]
mod judge;
mod kconfig;
mod ladder;
mod lanes;
mod patch;
mod plan;
mod probe;
mod process;
mod project;
mod qemu;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::disallowed_methods))]
mod report;
mod run;
mod rundir;
mod sandbox;
mod seal;
mod sensitive;
mod source;
mod splat;
mod tail_file;
mod terminal;
mod toolchain;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::disallowed_methods))]
mod witness;

use std::process::ExitCode;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let exit = crash::guarded(run).unwrap_or_else(|failure| {
        terminal::say(&format!("error: {failure}"));
        failure.exit
    });
    ExitCode::from(exit as u8)
}

fn run() -> failure::Result<failure::Exit> {
    let cli = Cli::read();
    project::Project::here().and_then(|project| match &cli.command {
        Command::Matrix(args) => command::matrix::matrix(&project, args),
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
