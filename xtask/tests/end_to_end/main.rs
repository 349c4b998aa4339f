//! Tests through the real binary.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod archive;
mod bad_input;
mod bench;
mod cache;
mod clock;
mod disk;
mod faults;
mod killed;
mod lanes;
mod own_versions;
mod power_cut;
mod shares;
mod trees;
mod versions;
