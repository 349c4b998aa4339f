//! What every other floor stands on: this machine, its processes, files and terminal. Knows nothing of kernels under test,
//! campaigns and verdicts.

pub mod accel;
pub mod arch;
mod clock;
pub mod crash;
pub mod deadline;
pub mod disk;
pub mod distribution;
pub mod input;
pub mod json_file;
pub mod process;
mod requirements;
pub mod sandbox;
pub mod tail_file;
pub mod terminal;
pub mod toolchain;
pub mod yaml;

pub use clock::tsc_mhz;
pub use requirements::{
    AGAIN_MIB, NEEDED_MIB, doctor, facts, find_program, require, require_disk, require_for_tests,
};
