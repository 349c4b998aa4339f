//! What was measured in one cell, as plain data. It begins as "not run" and each stage fills in its part; nothing
//! here says whether it is good: that is the judge's.

mod changed;
mod coverage;
pub mod events;
mod merge;

use std::collections::BTreeMap;

use protocol::{Hello, Measured, Trailer};
use serde::{Deserialize, Serialize};

pub use changed::{ChangedHunk, ChangedLine, Neighbour, Side};
use console::Splat;
pub use coverage::Coverage;

/// Everything known of one cell.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Evidence {
    pub build: Build,
    /// How long the build took, whatever came of it.
    pub build_secs: Option<f64>,
    /// When the build began, seconds from the start of the run. None: nothing was built, or the harness was an older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_start_secs: Option<f64>,
    pub boot: Boot,
    /// As [`Evidence::build_start_secs`], of the first boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_start_secs: Option<f64>,
    /// Nothing was booted: this is what was recorded then, of the same kernel, guest and machine.
    pub recorded: Option<String>,
    /// Further boots of the same image, with `--repeat`.
    pub repeats: Vec<Boot>,
}

/// What became of the kernel build.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Build {
    #[default]
    NotRun,
    Built(Built),
    /// The compiler refused the source.
    CompileError(CompileError),
    /// The build did not come to an end for a reason that is not in the source.
    Infra {
        why: String,
    },
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Built {
    /// The object directory was empty before.
    pub cold: bool,
    /// Of the build, how much went into its `.config`.
    #[serde(default)]
    pub configure_secs: f64,
    /// Of the build, how much came after the last object.
    #[serde(default)]
    pub link_secs: f64,
    /// Nothing was built: it is from the cache.
    #[serde(default)]
    pub cached: bool,
    pub lost_symbols: Vec<Lost>,
    /// What the compiler warned of in the files that the patch under test changes.
    pub warnings: Vec<String>,
    /// Of arms that are judged.
    pub code: Code,
}

/// What the compiler made of the files that the patch under test changes, as digests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// By `OBJECT: FUNCTION`, of the objects of changed sources.
    pub functions: BTreeMap<String, String>,
    /// By `OBJECT: SECTION VARIABLE`, and `OBJECT: SECTION` of what the linker puts together.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
    /// By object, of the others that include a changed header.
    pub including: BTreeMap<String, String>,
}

impl Code {
    /// Whether `after` still has all that the compiler made before, under whatever name. None where nothing is known.
    pub fn is_kept_in(&self, after: &Code) -> Option<bool> {
        let known = |code: &Code| !code.functions.is_empty() || !code.including.is_empty();
        if !known(self) || !known(after) {
            return None;
        }
        // Objects that include a changed header hold the numbers of its lines: they tell only where there is nothing else.
        let (before, after) = match self.functions.is_empty() {
            true => (digests(&self.including), digests(&after.including)),
            false => (digests(&self.functions), digests(&after.functions)),
        };
        Some(before.iter().all(|(digest, count)| after.get(digest).is_some_and(|there| there >= count)))
    }

    #[cfg(test)]
    pub fn of(functions: &[(&str, &str)], including: &[(&str, &str)]) -> Code {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, digest)| ((*name).to_owned(), (*digest).to_owned())).collect()
        };
        Code { functions: map(functions), data: BTreeMap::new(), including: map(including) }
    }

    /// Whether the compiler made the same, under whatever names. None where nothing is known.
    pub fn is_same(&self, other: &Code) -> Option<bool> {
        let of_same_size = self.functions.len() == other.functions.len();
        let same_beside = self.including == other.including && self.data == other.data;
        self.is_kept_in(other).map(|kept| kept && of_same_size && same_beside)
    }
}

fn digests(by_name: &BTreeMap<String, String>) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for digest in by_name.values() {
        let count = counts.entry(digest.as_str()).or_default();
        *count = usize::saturating_add(*count, 1);
    }
    counts
}

/// The first error of a build log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompileError {
    pub message: String,
    /// Relative to the tree, if the message names a place.
    pub file: Option<String>,
    pub line: Option<u32>,
    /// The patch under test changes that file.
    pub touched_by_patch: bool,
}

/// What became of the boot.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Boot {
    #[default]
    NotRun,
    Ran(Box<Ran>),
    Infra {
        why: String,
    },
}

/// How a guest ended, as seen from outside. Only the trailer says that it did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestEnd {
    /// QEMU ended by itself with status 0, which proves nothing.
    QemuExited,
    /// QEMU ended with an error of its own, or was killed.
    QemuFailed,
    /// It was killed: its time was up.
    DeadlinePassed,
    /// It was killed: it had nothing to say for too long, and QEMU itself did not answer its monitor.
    QemuStuck,
    /// It was killed: neither console nor results said anything for too long.
    Silent,
    /// It was killed: its kernel said that something waits for ever, and the test that ran then did not end for too long.
    Stuck,
    /// It was killed: it wrote more than any sound guest does.
    Flooded,
    /// It was killed: it had shown what it was booted for, lines that are executed or any trouble.
    Enough,
}

/// One boot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ran {
    pub accel: String,
    /// So many guests ran the kernel at the same time, each with its share of the guest tests.
    pub guests: usize,
    /// From the start of QEMU to its end.
    pub secs: f64,
    /// From the start of QEMU to the kernel's word that it runs init.
    #[serde(default)]
    pub kernel_secs: Option<f64>,
    /// From the start of QEMU to the guest's first message, and from there to its trailer.
    pub boot_secs: Option<f64>,
    pub test_secs: Option<f64>,
    pub end: GuestEnd,
    /// QEMU's own words, and how it ended if it failed.
    pub qemu_said: Option<String>,
    pub kernel_spoke: bool,
    pub hello: Option<Hello>,
    /// The plan the guest announced.
    pub planned: Vec<String>,
    pub scenarios: Vec<ScenarioRan>,
    pub trailer: Option<Trailer>,
    /// Lines of the result channel that are not what a sound guest sends.
    pub rejects: Vec<String>,
    pub splats: Vec<Splat>,
    /// Also counts those whose text was not kept.
    pub splats_total: u64,
    pub last_lines: Vec<String>,
    pub watched: Watched,
    /// Of a kernel that was built to be counted in, and of nothing else.
    #[serde(default)]
    pub coverage: Vec<Coverage>,
}

/// How long the harness was ready to wait for this guest, and what it saw when it no longer was.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Watched {
    pub silence_secs: f64,
    pub deadline_secs: f64,
    /// What each CPU was doing when the guest was given up: its functions, innermost first.
    pub cpus: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScenarioRan {
    pub name: String,
    pub outcome: Ending,
    /// Splats whose headline came while it ran.
    pub splats: u64,
    /// From its beginning to its end, as the host heard of them; 0 of one that did not end.
    pub secs: f64,
    /// Nothing else that this run had started ran meanwhile, and others took little of the host.
    pub exclusive: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Begun, and nothing heard since.
    Unfinished,
    Broken(String),
    Measured(Box<Measured>),
}

impl Ran {
    /// What was planned and, for lack of time, not begun by a guest that came to its planned end.
    pub fn untried(&self) -> impl Iterator<Item = &String> {
        let begun = |name: &&String| self.scenarios.iter().any(|ran| ran.name == **name);
        self.planned.iter().filter(move |name| self.trailer.is_some() && !begun(name))
    }

    pub fn measured(&self, scenario: &str) -> Option<&Measured> {
        self.scenarios.iter().find(|ran| ran.name == scenario).and_then(|ran| match &ran.outcome {
            Ending::Measured(measured) => Some(measured.as_ref()),
            Ending::Unfinished | Ending::Broken(_) => None,
        })
    }
}

impl Evidence {
    pub fn ran(&self) -> Option<&Ran> {
        match &self.boot {
            Boot::Ran(ran) => Some(ran),
            Boot::NotRun | Boot::Infra { .. } => None,
        }
    }

    /// What this run spent on building it and on its first boot, seconds; none where it did neither.
    pub fn spent_secs(&self) -> Option<f64> {
        let booted = if self.recorded.is_none() { self.ran().map(|ran| ran.secs) } else { None };
        self.build_secs.into_iter().chain(booted).reduce(|build, boot| build + boot)
    }

    pub fn boots(&self) -> impl Iterator<Item = &Boot> {
        std::iter::once(&self.boot).chain(&self.repeats)
    }

    pub fn built(&self) -> Option<&Built> {
        match &self.build {
            Build::Built(built) => Some(built),
            Build::NotRun | Build::CompileError(_) | Build::Infra { .. } => None,
        }
    }
}

/// A requested symbol that the built `.config` does not have as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    pub symbol: String,
    pub wanted: String,
    pub got: String,
    pub origin: String,
    #[serde(skip)]
    pub if_known: bool,
    /// Its `depends on` lines in the tree, joined by `&&`.
    pub depends_on: Option<String>,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "CONFIG_{}: asked for {} ({}), built with {}",
            self.symbol, self.wanted, self.origin, self.got
        )?;
        match &self.depends_on {
            Some(depends) => write!(f, "; it depends on {depends}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_changes_no_code_and_a_new_function_changes_none_of_the_old() {
        let before = Code::of(&[("a", "1"), ("b", "2")], &[("x.o", "5")]);
        let renamed = Code::of(&[("a", "1"), ("c", "2")], &[("x.o", "5")]);
        assert_eq!((before.is_kept_in(&renamed), before.is_same(&renamed)), (Some(true), Some(true)));
        let added = Code::of(&[("a", "1"), ("b", "2"), ("c", "3")], &[("x.o", "6")]);
        assert_eq!((before.is_kept_in(&added), before.is_same(&added)), (Some(true), Some(false)));
        let changed = Code::of(&[("a", "1"), ("b", "1")], &[("x.o", "5")]);
        assert_eq!((before.is_kept_in(&changed), before.is_same(&changed)), (Some(false), Some(false)));
        assert_eq!(before.is_kept_in(&Code::default()), None);
        let (header, other) = (Code::of(&[], &[("x.o", "5")]), Code::of(&[], &[("x.o", "6")]));
        assert_eq!((header.is_kept_in(&other), header.is_same(&header)), (Some(false), Some(true)));
    }
}
