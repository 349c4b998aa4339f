//! A campaign: the patch under test, the trees and variants it is tried on, what each arm must show, and the
//! controls that must be caught.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{check_name, parse};
use crate::failure::{Failure, Result};

/// A campaign whose names are checked and unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    pub name: String,
    /// Below the project's root.
    pub patch: PathBuf,
    pub trees: Vec<String>,
    pub scenarios: Vec<Scenario>,
    pub variants: Vec<Variant>,
}

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
struct RawScenario {
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
}

impl RawScenario {
    fn checked(self, path: &Path) -> Result<Scenario> {
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
            name,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    pub name: String,
    pub arch: String,
    /// One line for the report: what this variant is.
    pub about: String,
    /// Kconfig fragments, names in `configs/fragments`.
    pub fragments: Vec<String>,
    /// Helper patches, names in `patches/TREE`. With one, the variant is synthetic.
    #[serde(default)]
    pub helpers: Vec<String>,
    /// The same, for the arms that have the patch: what uses something that the patch brings.
    #[serde(default)]
    pub patched_helpers: Vec<String>,
    pub expect: Expect,
    /// Controls, names in `patches/controls`.
    #[serde(default)]
    pub controls: Vec<String>,
}

impl Variant {
    /// Plain Kconfig reaches it.
    pub fn native(&self) -> bool {
        self.helpers.is_empty() && self.patched_helpers.is_empty()
    }
}

/// The mechanism each arm must show, once per injected failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub base: Mechanism,
    pub patched: Mechanism,
}

/// How a page table whose batch could not be allocated is made safe to free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// A broadcast to every other online CPU.
    Ipi,
    /// `synchronize_rcu()` in the task that frees.
    RcuSync,
    /// `call_rcu()`: freed by a callback after a grace period.
    CallRcu,
    /// There is no such fallback in this kernel.
    None,
}

impl Mechanism {
    pub fn describe(self) -> &'static str {
        match self {
            Mechanism::Ipi => "one IPI broadcast per fallback",
            Mechanism::RcuSync => "one synchronize_rcu() per fallback",
            Mechanism::CallRcu => "one call_rcu() per fallback",
            Mechanism::None => "no fallback at all",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    patch: PathBuf,
    trees: Vec<String>,
    scenarios: Vec<RawScenario>,
    variants: Vec<Variant>,
}

impl Campaign {
    /// `wanted` is a name in the directory `configs` or the path of a YAML file.
    ///
    /// # Errors
    /// When it is not there, or not valid: with file and line.
    pub fn load(configs: &Path, wanted: &str) -> Result<Campaign> {
        let path = file_of(configs, wanted);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::usage(format!("no campaign `{wanted}`"))
                .because(format!("{}: {error}", path.display()))
                .next(format!("campaigns here: {}", names_in(configs).join(", ")))
        })?;
        Self::from_yaml(&path, &text)
    }

    fn from_yaml(path: &Path, text: &str) -> Result<Campaign> {
        let raw: Raw = parse(path, text)?;
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let bad = |why: &str| Err(Failure::usage(format!("{}: {why}", path.display())));
        if raw.trees.is_empty() || raw.variants.is_empty() || raw.scenarios.is_empty() {
            return bad("a campaign needs at least one tree, one variant and one scenario");
        }
        let scenarios: Vec<Scenario> =
            raw.scenarios.into_iter().map(|scenario| scenario.checked(path)).collect::<Result<_>>()?;
        for (what, names) in [
            ("tree", raw.trees.iter().collect::<Vec<_>>()),
            ("scenario", scenarios.iter().map(|s| &s.name).collect()),
            ("variant", raw.variants.iter().map(|v| &v.name).collect()),
        ] {
            unique(path, what, &names)?;
        }
        for variant in &raw.variants {
            check_variant(path, variant)?;
        }
        Ok(Campaign { name, patch: raw.patch, trees: raw.trees, scenarios, variants: raw.variants })
    }
}

fn check_variant(path: &Path, variant: &Variant) -> Result<()> {
    let mut names = vec![(&variant.arch, "architecture")];
    names.extend(variant.fragments.iter().map(|name| (name, "fragment")));
    let helpers = variant.helpers.iter().chain(&variant.patched_helpers);
    names.extend(helpers.map(|name| (name, "helper patch")));
    for (name, what) in names {
        check_name(path, what, name)?;
    }
    let reserved = ["base".to_owned(), "patched".to_owned()];
    unique(path, "control", &variant.controls.iter().chain(&reserved).collect::<Vec<_>>())
}

fn unique(path: &Path, what: &str, names: &[&String]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        check_name(path, what, name)?;
        if !seen.insert(name) {
            return Err(Failure::usage(format!("{}: {what} `{name}` is there twice", path.display())));
        }
    }
    Ok(())
}

/// `wanted` itself if it is the path of a YAML file, else the campaign of that name.
pub fn file_of(configs: &Path, wanted: &str) -> PathBuf {
    match wanted.ends_with(".yaml") || wanted.contains('/') {
        true => PathBuf::from(wanted),
        false => configs.join(format!("{wanted}.yaml")),
    }
}

/// The campaigns a directory holds, by name.
fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".yaml").map(str::to_owned))
        .filter(|name| name != "trees")
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
patch: patches/p.patch
trees: ['7.2']
scenarios: [{name: munmap, fallbacks: 200}]
variants:
  - name: v
    arch: x86_64
    about: text
    fragments: [x86_64]
    expect: {base: ipi, patched: rcu_sync}
    controls: [c]
";

    fn refused(text: &str) -> String {
        Campaign::from_yaml(Path::new("c.yaml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_variant_with_a_helper_patch_is_synthetic() {
        let campaign = Campaign::from_yaml(Path::new("dir/c.yaml"), GOOD).unwrap();
        assert_eq!(campaign.name, "c");
        assert!(campaign.variants[0].native());
        let helped = GOOD.replace("    controls", "    helpers: [h]\n    controls");
        assert!(!Campaign::from_yaml(Path::new("c.yaml"), &helped).unwrap().variants[0].native());
        let helped = GOOD.replace("    controls", "    patched_helpers: [h]\n    controls");
        assert!(!Campaign::from_yaml(Path::new("c.yaml"), &helped).unwrap().variants[0].native());
    }

    #[test]
    fn a_scenario_that_demands_nothing_is_refused() {
        assert!(refused(&GOOD.replace("200", "0")).contains("could not fail"));
    }

    #[test]
    fn a_name_that_would_leave_its_directory_is_refused() {
        assert!(refused(&GOOD.replace("[x86_64]", "['../x']")).contains("no name for a fragment"));
    }

    #[test]
    fn a_control_may_not_be_called_like_an_arm() {
        assert!(refused(&GOOD.replace("[c]", "[base]")).contains("`base` is there twice"));
    }

    #[test]
    fn an_unknown_mechanism_is_refused_with_its_line() {
        assert!(refused(&GOOD.replace("rcu_sync", "magic")).contains("c.yaml:10"));
    }
}
