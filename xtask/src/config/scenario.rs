//! A guest test as a campaign names it: what it demands, and where it means something.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::variant::{Mechanism, Variant};
use crate::failure::{Failure, Result};

/// A guest test, and what it has to show where it applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    pub name: String,
    pub demand: Demand,
    /// It applies to a variant whose base does one of these.
    pub on: Vec<Mechanism>,
    /// And which has all of these fragments.
    pub fragments: Vec<String>,
    /// Why it says nothing about any other variant.
    pub otherwise: Option<String>,
    /// CPUs whose IPIs it counts, where these are not all but the victim's.
    pub bystanders: Option<u32>,
    pub suite: Suite,
    /// Run by controls that must be exposed in one scenario and in no other; false for mixtures of others.
    pub controls: bool,
    /// Its times are held against each other: nothing else of the run goes on meanwhile.
    pub alone: bool,
}

/// Which runs take a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suite {
    /// Every run, also one that asks for as little as shows anything.
    Quick,
    /// Those that ask for no less than usual.
    #[default]
    Normal,
    /// Those that ask for everything.
    Full,
    /// Those that say for how long.
    Soak,
}

/// What a scenario demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// So many batch allocations fail, and each of them, and nothing else, leads to the mechanism of the arm.
    Fallbacks(u64),
    /// The mechanism of the arm runs at least so often; how often is not known beforehand.
    AtLeast(u64),
    /// So many operations each send one broadcast, on both arms: they are none of the patch's business.
    KeptIpi(u64),
    /// What the guest counts by itself comes out just so: for a patch that has nothing to do with page tables.
    Counts(Vec<ExpectedCount>),
}

/// How often something has to be done on each arm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedCount {
    /// As the guest test calls it.
    pub what: String,
    pub base: u64,
    pub patched: u64,
}

impl Demand {
    /// What the guest is told.
    pub fn number(&self) -> u64 {
        match self {
            Demand::Fallbacks(number) | Demand::AtLeast(number) | Demand::KeptIpi(number) => *number,
            Demand::Counts(counts) => {
                counts.iter().map(|count| count.base.max(count.patched)).max().unwrap_or(0)
            }
        }
    }

    /// The same of no more than `most`; what is expected of counts stays.
    pub fn at_most(&self, most: u64) -> Demand {
        match self {
            Demand::Fallbacks(number) => Demand::Fallbacks(most.min(*number)),
            Demand::AtLeast(number) => Demand::AtLeast(most.min(*number)),
            Demand::KeptIpi(number) => Demand::KeptIpi(most.min(*number)),
            Demand::Counts(_) => self.clone(),
        }
    }

    /// It is about the fallback of a page table that cannot be batched.
    pub fn is_of_fallbacks(&self) -> bool {
        !matches!(self, Demand::Counts(_))
    }

    pub fn describe(&self) -> String {
        match self {
            Demand::Fallbacks(number) => format!("{number} fallbacks"),
            Demand::AtLeast(number) => format!("at least {number} fallbacks"),
            Demand::KeptIpi(number) => format!("{number} operations that keep their IPI"),
            Demand::Counts(counts) => {
                let each =
                    counts.iter().map(|count| format!("{} {} -> {}", count.what, count.base, count.patched));
                each.collect::<Vec<_>>().join(", ")
            }
        }
    }
}

impl Scenario {
    /// Why it says nothing about `variant`; None: it applies.
    pub fn not_applicable(&self, variant: &Variant) -> Option<String> {
        if let Some(reason) = variant.without.get(&self.name) {
            return Some(reason.clone());
        }
        let lacks = self.fragments.iter().find(|name| !variant.fragments.contains(name));
        let other = variant.expect.map(|expect| expect.base).filter(|base| !self.on.contains(base));
        let reason = match (other, lacks) {
            (None, None) => return None,
            (Some(Mechanism::None), _) => "this kernel has no fallback".to_owned(),
            (Some(base), _) => format!("the base does {} here", base.describe()),
            (None, Some(name)) => format!("the variant is built without the fragment `{name}`"),
        };
        Some(self.otherwise.clone().unwrap_or(reason))
    }
}

/// A scenario as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawScenario {
    name: String,
    fallbacks: Option<u64>,
    at_least: Option<u64>,
    kept_ipi: Option<u64>,
    counts: Option<BTreeMap<String, RawCount>>,
    on: Option<Vec<Mechanism>>,
    #[serde(default)]
    fragments: Vec<String>,
    otherwise: Option<String>,
    bystanders: Option<u32>,
    #[serde(default)]
    suite: Suite,
    controls: Option<bool>,
    #[serde(default)]
    alone: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCount {
    base: u64,
    patched: u64,
}

fn counts(raw: BTreeMap<String, RawCount>) -> Demand {
    let expected = |(what, RawCount { base, patched })| ExpectedCount { what, base, patched };
    Demand::Counts(raw.into_iter().map(expected).collect())
}

impl RawScenario {
    /// # Errors
    /// When it demands nothing, or two things at once.
    pub fn checked(self, path: &Path) -> Result<Scenario> {
        let name = self.name;
        let bad = |why: &str| {
            Err(Failure::usage(format!("{}: scenario `{name}` {why}", crate::input::shown(path))))
        };
        let demands = [
            self.fallbacks.map(Demand::Fallbacks),
            self.at_least.map(Demand::AtLeast),
            self.kept_ipi.map(Demand::KeptIpi),
            self.counts.map(counts),
        ];
        let mut demands = demands.into_iter().flatten();
        let (Some(demand), None) = (demands.next(), demands.next()) else {
            return bad("needs one of `fallbacks`, `at_least`, `kept_ipi` and `counts`");
        };
        if demand.number() == 0 {
            return bad("demands nothing: it could not fail");
        }
        let mut on = vec![Mechanism::Ipi, Mechanism::RcuSync, Mechanism::CallRcu];
        if !demand.is_of_fallbacks() {
            on.push(Mechanism::None);
        }
        Ok(Scenario {
            demand,
            on: self.on.unwrap_or(on),
            fragments: self.fragments,
            otherwise: self.otherwise,
            bystanders: self.bystanders,
            suite: self.suite,
            controls: self.controls.unwrap_or(true),
            alone: self.alone,
            name,
        })
    }
}
