//! What an arm was asked to show, and what stands between it and a pass.

use crate::campaign::{Expect, Scenario};
use crate::observe::{Boot, Evidence};
use crate::subject::Subject;
use crate::subject::signal::Signal;
use console::{Splat, splat};

/// What one finding is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    Infra,
    Vacuous,
    Bad,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub weight: Weight,
    pub signal: Signal,
    pub text: String,
    /// The splat that it tells of; of several of one kind and place, the first.
    pub splat: Option<SplatAt>,
}

/// Which splat of a cell's evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplatAt {
    /// Index in [`Evidence::boots`].
    pub boot: usize,
    /// Index in [`crate::observe::Ran::splats`].
    pub index: usize,
}

impl SplatAt {
    pub fn find(self, evidence: &Evidence) -> Option<&Splat> {
        match evidence.boots().nth(self.boot)? {
            Boot::Ran(ran) => ran.splats.get(self.index),
            Boot::NotRun | Boot::Infra { .. } => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JudgedArm {
    Base,
    Patched,
}

/// What the cells of one variant were asked to show.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub subject: &'a Subject,
    /// None where no scenario counts what failures lead to.
    pub expect: Option<&'a Expect>,
    pub scenarios: &'a [Scenario],
    /// CPUs the guest was given.
    pub cpus: u32,
    /// The patch changes tests that are compiled with it: a case of a suite may be gone, or skipped, because it wants that.
    pub changes_tests: bool,
}

impl Asked<'_> {
    /// Nothing is known beforehand: what workloads do is compared between the arms.
    pub fn compares(&self) -> bool {
        self.scenarios.iter().any(|scenario| scenario.work().is_some())
    }
}

pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// Something that keeps the experiment from proving anything.
    pub fn gap(&mut self, weight: Weight, text: impl Into<String>) {
        self.add(weight, Signal::Gap, text);
    }

    pub fn add(&mut self, weight: Weight, signal: Signal, text: impl Into<String>) {
        self.0.push(Finding { weight, signal, text: text.into(), splat: None });
    }

    /// Splat number `index` of a boot is trouble.
    pub fn splat(&mut self, index: usize, signal: Signal, text: String) {
        let splat = Some(SplatAt { boot: 0, index });
        self.0.push(Finding { weight: Weight::Bad, signal, text, splat });
    }

    /// The signal of the splats of this kind and place.
    pub fn signal_of_splat(&mut self, of: splat::Kind, at: &Option<String>) -> Option<&mut Signal> {
        let is_it =
            |signal: &Signal| matches!(signal, Signal::Splat { kind, file, .. } if *kind == of && file == at);
        self.0.iter_mut().map(|finding| &mut finding.signal).find(|signal| is_it(signal))
    }

    pub fn bad(&mut self, signal: Signal, text: impl Into<String>) {
        self.add(Weight::Bad, signal, text);
    }
}
