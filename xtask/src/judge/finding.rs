//! What an arm was asked to show, and what stands between it and a pass.

use crate::campaign::{Expect, Scenario};
use crate::subject::Subject;
use crate::subject::witness::Witness;
use console::splat;

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
    pub witness: Witness,
    pub text: String,
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
}

pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// Something that keeps the experiment from proving anything.
    pub fn gap(&mut self, weight: Weight, text: impl Into<String>) {
        self.0.push(Finding { weight, witness: Witness::Gap, text: text.into() });
    }

    pub fn add(&mut self, weight: Weight, witness: Witness, text: impl Into<String>) {
        self.0.push(Finding { weight, witness, text: text.into() });
    }

    /// The witness of the splats of this kind and place.
    pub fn witness_of_splat(&mut self, of: splat::Kind, at: &Option<String>) -> Option<&mut Witness> {
        let is_it = |witness: &Witness| matches!(witness, Witness::Splat { kind, file, .. } if *kind == of && file == at);
        self.0.iter_mut().map(|finding| &mut finding.witness).find(|witness| is_it(witness))
    }

    pub fn bad(&mut self, witness: Witness, text: impl Into<String>) {
        self.add(Weight::Bad, witness, text);
    }
}
