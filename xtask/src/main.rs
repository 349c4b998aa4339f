//! `cargo xtask`: parse the command line, dispatch, turn the outcome into an exit code. No logic of its own.

#![allow(dead_code, reason = "until the runner uses every module")]

mod accel;
mod failure;
mod host;
mod patch;
mod process;
mod source;

fn main() {
    println!("skeleton");
}
