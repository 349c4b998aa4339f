//! Workloads: what a patch that nobody prepared for is tried by. A workload runs the kernel and says how each thing that it
//! did ended; whether that is as it should be is found by comparing it with another kernel, by the host.
//!
//! [`runner`] carries out programs, KUnit suites and the boot itself. The programs of this crate are exercisers of one
//! area each ([`exercise`]): broad, not deep, on good and on bad input. They know the kernel's interfaces and no patch.
//! On a sound kernel they cause no splat, take a few seconds on an emulated CPU, and leave nothing behind.
//!
//! Pure: [`ktap`], [`results`], [`errno`]. The others touch the whole guest, and are for guests only: never to be run on a
//! host.

pub mod answers;
pub mod bpf;
pub mod device;
pub mod disks;
pub mod errno;
pub mod exercise;
pub mod fuse;
pub mod ktap;
pub mod left_behind;
pub mod mirror;
pub mod netlink;
pub mod nine_p;
pub mod numbers;
pub mod open_tool;
pub mod places;
pub mod results;
pub mod runner;
pub mod served;
pub mod sweep;
pub mod sys;
pub mod tools;
pub mod traffic;
pub mod uring;
pub mod used_tree;
pub mod walk;
pub mod wire;
