//! Tests through the real binary.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod bad_input;
mod bench;
mod faults;
