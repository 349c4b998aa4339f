//! What `cargo xtask matrix` stands on from its first step to its last, and how it looks at one cell.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::arms::{Chosen, Tested, Under};
use crate::campaign::plan::{Arm, Beside, Cell};
use crate::campaign::project::{Loaded, Project};
use crate::command::cli;
use crate::host::sandbox::Sandbox;
use crate::judge::{self, Asked};
use crate::observe::Evidence;
use crate::report::TreeReport;
use crate::run::rundir::RunDir;
use crate::source::Local;
use crate::subject::kconfig::Request;

/// Per variant: enough to show in every run that its detectors see.
pub const CONTROLS_OF_A_NORMAL_RUN: usize = 2;

/// Controls that are taken of each variant and version.
pub fn most_controls(args: &cli::Matrix) -> usize {
    if args.controls == cli::Controls::All { usize::MAX } else { CONTROLS_OF_A_NORMAL_RUN }
}

/// What the whole command stands on.
pub struct Setting<'a> {
    pub project: &'a Project,
    pub args: &'a cli::Matrix,
    pub loaded: &'a Loaded,
    /// The sources that the user names, by tree.
    pub local: &'a BTreeMap<String, Local>,
    /// In the end those of the controls that have a place in the source.
    pub cells: Vec<Cell>,
    pub dir: &'a RunDir,
    /// By tree.
    pub tested: &'a BTreeMap<String, Tested>,
    pub beside: &'a Beside,
    pub sandbox: Sandbox,
    pub requests: BTreeMap<String, Vec<Request>>,
    pub started: Instant,
}

/// What was found out about the sources before the first build.
#[derive(Default)]
pub struct Sources {
    pub trees: Vec<TreeReport>,
    pub fetch_secs: f64,
    /// What became of the controls, by tree, variant and version.
    pub controls: BTreeMap<(String, Under), Chosen>,
    /// Trees on which the patch changes nothing of what the campaign is about, with a sentence about that.
    pub beside_the_point: BTreeMap<String, String>,
}

impl Setting<'_> {
    /// The guest tests that were asked for, where these are not the usual ones.
    pub fn suite(&self) -> Option<&'static str> {
        match self.args.suite {
            cli::Suite::Quick => Some("quick"),
            cli::Suite::Normal => None,
            cli::Suite::Full => Some("full"),
        }
    }

    /// What `cell` has to show.
    pub fn asked<'c>(&'c self, cell: &'c Cell) -> Asked<'c> {
        Asked {
            subject: &self.loaded.campaign.subject,
            expect: cell.variant.expect.as_ref(),
            scenarios: &cell.scenarios,
            cpus: cell.cpus(),
        }
    }

    /// What stands between a cell and a pass; for a control, what became of it.
    pub fn findings(&self, cell: &Cell, evidence: &Evidence) -> Vec<String> {
        let arm = match &cell.arm {
            Arm::Base => judge::Arm::Base,
            Arm::Patched | Arm::Version(_) => judge::Arm::Patched,
            Arm::Control(control) => return vec![judge::catch(&self.asked(cell), control, evidence).by],
            Arm::WithoutHunk(_) => return vec![judge::noticed(&self.asked(cell), evidence).by],
        };
        let found = judge::examine(&self.asked(cell), arm, evidence);
        found.into_iter().map(|finding| finding.text).collect()
    }

    /// Of a cell that was booted more than once.
    pub fn repetition(&self, cell: &Cell, evidence: &Evidence) -> Option<judge::Repetition> {
        let arm = match &cell.arm {
            Arm::Base => judge::Arm::Base,
            Arm::Patched | Arm::Version(_) => judge::Arm::Patched,
            Arm::Control(_) | Arm::WithoutHunk(_) => return None,
        };
        (!evidence.repeats.is_empty()).then(|| judge::count(&self.asked(cell), arm, evidence))
    }
}
