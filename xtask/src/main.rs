//! `cargo xtask`: parse the command line, dispatch, turn the outcome into an exit code. No logic of its own.

#![allow(dead_code, reason = "until the runner uses every module")]

mod accel;
mod arch;
mod build;
mod cli;
mod config;
mod console;
mod control;
mod evidence;
mod failure;
mod guest;
mod host;
mod judge;
mod kconfig;
mod patch;
mod plan;
mod process;
mod source;
mod splat;

fn main() {
    println!("skeleton");
}
