//! A guest test as a campaign names it: what it demands, and where it means something.

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
}

/// Which runs take a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suite {
    #[default]
    Normal,
    /// Those that ask for everything.
    Full,
    /// Those that say for how long.
    Soak,
}

/// What a scenario demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// So many batch allocations fail, and each of them, and nothing else, leads to the mechanism of the arm.
    Fallbacks(u64),
    /// The mechanism of the arm runs at least so often; how often is not known beforehand.
    AtLeast(u64),
    /// So many operations each send one broadcast, on both arms: they are none of the patch's business.
    KeptIpi(u64),
}

impl Demand {
    /// What the guest is told.
    pub fn number(self) -> u64 {
        match self {
            Demand::Fallbacks(number) | Demand::AtLeast(number) | Demand::KeptIpi(number) => number,
        }
    }

    /// The same of no more than `most`.
    pub fn at_most(self, most: u64) -> Demand {
        match self {
            Demand::Fallbacks(number) => Demand::Fallbacks(number.min(most)),
            Demand::AtLeast(number) => Demand::AtLeast(number.min(most)),
            Demand::KeptIpi(number) => Demand::KeptIpi(number.min(most)),
        }
    }

    pub fn describe(self) -> String {
        match self {
            Demand::Fallbacks(number) => format!("{number} fallbacks"),
            Demand::AtLeast(number) => format!("at least {number} fallbacks"),
            Demand::KeptIpi(number) => format!("{number} operations that keep their IPI"),
        }
    }
}

impl Scenario {
    /// Why it says nothing about `variant`; None: it applies.
    pub fn not_applicable(&self, variant: &Variant) -> Option<String> {
        let base = variant.expect.base;
        let lacks = self.fragments.iter().find(|name| !variant.fragments.contains(name));
        let reason = match (self.on.contains(&base), lacks) {
            (true, None) => return None,
            (false, _) if base == Mechanism::None => "this kernel has no fallback".to_owned(),
            (false, _) => format!("the base does {} here", base.describe()),
            (true, Some(name)) => format!("the variant is built without the fragment `{name}`"),
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
    on: Option<Vec<Mechanism>>,
    #[serde(default)]
    fragments: Vec<String>,
    otherwise: Option<String>,
    bystanders: Option<u32>,
    #[serde(default)]
    suite: Suite,
    controls: Option<bool>,
}

impl RawScenario {
    /// # Errors
    /// When it demands nothing, or two things at once.
    pub fn checked(self, path: &Path) -> Result<Scenario> {
        let name = self.name;
        let bad = |why: &str| Err(Failure::usage(format!("{}: scenario `{name}` {why}", path.display())));
        let demands = [
            self.fallbacks.map(Demand::Fallbacks),
            self.at_least.map(Demand::AtLeast),
            self.kept_ipi.map(Demand::KeptIpi),
        ];
        let mut demands = demands.into_iter().flatten();
        let (Some(demand), None) = (demands.next(), demands.next()) else {
            return bad("needs one of `fallbacks`, `at_least` and `kept_ipi`");
        };
        if demand.number() == 0 {
            return bad("demands nothing: it could not fail");
        }
        Ok(Scenario {
            demand,
            on: self.on.unwrap_or_else(|| vec![Mechanism::Ipi, Mechanism::RcuSync, Mechanism::CallRcu]),
            fragments: self.fragments,
            otherwise: self.otherwise,
            bystanders: self.bystanders,
            suite: self.suite,
            controls: self.controls.unwrap_or(true),
            name,
        })
    }
}
