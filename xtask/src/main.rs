//! `cargo xtask`: parse the command line, dispatch, turn the outcome into an exit code. No logic of its own.

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
mod deadline;
mod events;
mod evidence;
mod failure;
mod ground;
mod guest;
mod host;
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
mod report;
mod run;
mod rundir;
mod source;
mod splat;
mod toolchain;
mod witness;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = project::Project::here().and_then(|project| match &cli.command {
        Command::Matrix(args) => command::matrix::matrix(&project, args),
        Command::Patch(args) => command::patch::patch(&project, args),
        Command::Doctor(args) => command::doctor::doctor(&project, args),
        Command::Ci(args) => command::ci::ci(&project, args),
        Command::Bench(args) => command::bench::bench(&project, args),
        Command::Cache(args) => command::cache::cache(&project, args),
        Command::Watch(args) => command::watch::watch(&project, args),
        Command::Faults => command::faults::faults(&project),
        Command::Versions(args) => command::versions::versions(&project, args),
    });
    let exit = outcome.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        failure.exit
    });
    ExitCode::from(exit as u8)
}
