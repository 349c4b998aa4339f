//! Tests through the real binary.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod archive;
mod bad_input;
mod bench;
mod build_dirs;
mod cache;
mod ci_files;
mod clock;
mod confined;
mod console;
mod crash;
mod describe;
mod disk;
mod faults;
mod hostile;
mod intake;
mod killed;
mod modes;
mod own_versions;
mod page;
mod parts;
mod paths;
mod power_cut;
mod reply;
mod runs;
mod shards;
mod side_by_side;
mod slurm;
mod stages;
mod terminal;
mod trees;
mod versions;
mod work_dir;
