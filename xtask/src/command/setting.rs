//! What `cargo xtask matrix` stands on from its first step to its last.

use std::collections::BTreeMap;
use std::time::Instant;

use super::planned::Planned;
use crate::arms::Tested;
use crate::campaign::plan::CONTROLS_OF_A_NORMAL_RUN;
use crate::campaign::project::{Loaded, Project};
use crate::command::cli;
use crate::host::sandbox::Sandbox;
use crate::run::rundir::RunDir;
use crate::source::Local;
use crate::subject::kconfig::KconfigRequest;

/// Controls that are taken of each variant and version; none: all.
pub fn most_controls(args: &cli::MatrixArgs) -> Option<usize> {
    (args.controls != cli::Controls::All).then_some(CONTROLS_OF_A_NORMAL_RUN)
}

/// What the whole command stands on.
pub struct Setting<'a> {
    pub project: &'a Project,
    pub args: &'a cli::MatrixArgs,
    pub loaded: &'a Loaded,
    /// The sources that the user names, by tree.
    pub local: &'a BTreeMap<String, Local>,
    pub dir: &'a RunDir,
    /// By tree.
    pub tested: &'a BTreeMap<String, Tested>,
    pub sandbox: Sandbox,
    pub requests: BTreeMap<String, Vec<KconfigRequest>>,
    pub started: Instant,
    pub planned: Planned,
}

/// The guest tests that were asked for, where these are not the usual ones.
pub fn suite(args: &cli::MatrixArgs) -> Option<&'static str> {
    match args.suite {
        cli::SuiteWish::Quick => Some("quick"),
        cli::SuiteWish::Normal => None,
        cli::SuiteWish::Full => Some("full"),
    }
}
