//! Evidence in, verdict out, and how both are shown. Builds nothing, boots nothing, and knows no command line.

// println! and its kin panic on a closed pipe and escape nothing: use crate::host::terminal.
#![deny(clippy::print_stdout, clippy::print_stderr)]
// Numbers of a guest may be anything, also in evidence that is read from the record: no arithmetic that can overflow.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::disallowed_methods))]

pub mod judge;
pub mod report;

use engine::{campaign, host, observe, subject};
