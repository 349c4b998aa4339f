//! The floors below the judge: this machine, what evidence is, campaigns and their subjects, and all that makes a patch into
//! kernels and those into evidence. Gives no verdict, and knows no command line.

// println! and its kin panic on a closed pipe and escape nothing: use crate::host::terminal.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod arms;
pub mod boot;
pub mod build;
pub mod cache;
pub mod campaign;
pub mod derive;
pub mod host;
// Numbers of a guest may be anything, also in evidence that is read from the record: no arithmetic that can overflow.
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::disallowed_methods))]
pub mod observe;
pub mod run;
pub mod source;
pub mod subject;
