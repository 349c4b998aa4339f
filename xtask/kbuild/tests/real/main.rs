//! A real tree: the symbols that are derived for it, and what Kconfig keeps of them. Ignored unless asked for:
//!
//! ```sh
//! KBUILD_TREE=<unpacked kernel> cargo test -p kbuild --test real -- --ignored --nocapture
//! ```
//!
//! The tree is only read; `make O=` writes to KBUILD_OUT (or a directory of its own in the temporary directory).

#![expect(clippy::unwrap_used, reason = "a test")]

mod config;
mod corpus;
mod sample;
