//! A campaign: the patch under test, the trees and variants it is tried on, what each arm must show, and the
//! controls that must be caught.

pub mod partition;
pub mod plan;
pub mod project;
pub mod scenario;
mod trees;
mod variant;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::host::input;
use crate::host::yaml::{check_name, parse};
use crate::subject::{self, Subject};
use scenario::RawScenario;

pub use scenario::{Demand, ExpectedCount, Scenario, Suite};
pub use trees::{Debian, KernelOrg, Tree, find as find_tree, load as load_trees};
pub use variant::{Expect, Variant};

/// The campaign of a command that names none.
pub const DEFAULT: &str = "mmu-gather";

/// The campaign of a patch that no other one is about.
pub const ANY: &str = "any-patch";
use failure::{Failure, Result};

/// A campaign whose names are checked and unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    pub name: String,
    /// Below the project's root, as every path of a patch. None: of whatever patch is given.
    pub patch: Option<PathBuf>,
    /// Whether each variant also has an arm that counts how often the changed lines are executed.
    pub coverage: bool,
    /// What the base arm of a tree that already holds the patch is.
    pub base: BaseWish,
    /// Other versions of the patch, tried beside it: each is held against the same base.
    pub versions: BTreeMap<String, PathBuf>,
    /// What stands for the patch on a tree that it was not made for, by the tree's name.
    pub backports: BTreeMap<String, PathBuf>,
    pub trees: Vec<String>,
    pub subject: Subject,
    pub scenarios: Vec<Scenario>,
    pub variants: Vec<Variant>,
}

/// What to do with a tree that already holds the patch under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BaseWish {
    /// Refuse it.
    #[default]
    AsIs,
    /// Take the patch out.
    Undo,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCampaign {
    patch: Option<PathBuf>,
    #[serde(default)]
    coverage: bool,
    #[serde(default)]
    base: BaseWish,
    #[serde(default)]
    versions: BTreeMap<String, PathBuf>,
    #[serde(default)]
    backports: BTreeMap<String, PathBuf>,
    trees: Vec<String>,
    /// Name of a file in `subjects`.
    subject: Option<String>,
    scenarios: Option<Vec<RawScenario>>,
    /// The campaign whose scenarios these are.
    scenarios_of: Option<String>,
    variants: Vec<Variant>,
}

impl Campaign {
    /// `wanted` is a name in the directory `configs` or the path of a YAML file.
    ///
    /// # Errors
    /// When it is not there, or not valid: with file and line.
    pub fn load(configs: &Path, wanted: &str) -> Result<Campaign> {
        let (path, text, raw) = RawCampaign::read(configs, wanted)?;
        let bad = |why: &str| Failure::usage(format!("{}: {why}", input::shown(&path)));
        let scenarios = match (raw.scenarios, &raw.scenarios_of) {
            (Some(own), None) => checked(&path, own)?,
            (None, Some(other)) => {
                let (path, _, other) = RawCampaign::read(configs, other)?;
                let borrowed = other.scenarios.ok_or_else(|| {
                    Failure::usage(format!("{}: has no scenarios of its own", input::shown(&path)))
                })?;
                checked(&path, borrowed)?
            }
            (_, _) => return Err(bad("needs either `scenarios` or `scenarios_of`")),
        };
        if raw.trees.is_empty() || raw.variants.is_empty() || scenarios.is_empty() {
            return Err(bad("a campaign needs at least one tree, one variant and one scenario"));
        }
        let path = path.as_path();
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        for (what, names) in [
            ("tree", raw.trees.iter().collect::<Vec<_>>()),
            ("scenario", scenarios.iter().map(|s| &s.name).collect()),
            ("version", raw.versions.keys().chain(&reserved()).collect()),
        ] {
            unique(path, what, &names)?;
        }
        let mut ids = BTreeSet::new();
        let needs_expect = scenarios.iter().any(|scenario| scenario.demand.needs_expect());
        for variant in &raw.variants {
            check_variant(path, variant)?;
            let known = |name: &&String| scenarios.iter().any(|scenario| scenario.name == **name);
            if let Some(unknown) = variant.without.keys().find(|name| !known(name)) {
                return Err(bad(&format!("variant `{}` is without `{unknown}`", variant.name))
                    .because("there is no such scenario"));
            }
            let named = |name: &String| raw.variants.iter().any(|variant| variant.name == *name);
            if let Some(unknown) = variant.stands_in_for.as_ref().filter(|name| !named(name)) {
                return Err(bad(&format!("variant `{}` stands in for `{unknown}`", variant.name))
                    .because("there is no such variant"));
            }
            if needs_expect && variant.expect.is_none() {
                return Err(bad(&format!("variant `{}` has no `expect`", variant.name)).because(
                    "a scenario injects failures, and nothing says what each arm has to do for one",
                ));
            }
            if !ids.insert(variant.id()) {
                return Err(bad(&format!("variant `{}` is there twice", variant.id())));
            }
        }
        let subject = match &raw.subject {
            Some(name) => Subject::load(path, configs, name)?,
            None => Subject::default(),
        };
        let campaign = Campaign {
            name,
            subject,
            patch: raw.patch,
            coverage: raw.coverage,
            base: raw.base,
            versions: raw.versions,
            backports: raw.backports,
            trees: raw.trees,
            scenarios,
            variants: raw.variants,
        };
        campaign.check_trees(path)?;
        campaign.check_subject(path, &text)?;
        Ok(campaign)
    }
}

impl Campaign {
    /// Whatever names a tree names one of the campaign's.
    fn check_trees(&self, path: &Path) -> Result<()> {
        let of_variants = self.variants.iter().flat_map(|variant| &variant.trees);
        match of_variants.chain(self.backports.keys()).find(|name| !self.trees.contains(name)) {
            Some(unknown) => Err(Failure::usage(format!("{}: no tree `{unknown}`", input::shown(path)))
                .because("a variant or a backport names it, and `trees` does not")),
            None => Ok(()),
        }
    }
}

impl Campaign {
    /// Whatever names an injection or an outcome names one of the subject's.
    fn check_subject(&self, path: &Path, text: &str) -> Result<()> {
        let subject = &self.subject;
        let of_variants = self.variants.iter().filter_map(|variant| variant.expect.as_ref());
        let outcomes = of_variants.flat_map(|expect| [&expect.base, &expect.patched]);
        let on = self.scenarios.iter().flat_map(|scenario| scenario.on.iter().flatten());
        let operations = self.scenarios.iter().filter_map(|scenario| match &scenario.demand {
            Demand::Operations { outcome, .. } => Some(outcome),
            _ => None,
        });
        let refuse = |name: &str, what: &str, known: Vec<&str>| {
            let failure =
                subject::refusal(path, text, name, &format!("`{name}` is no {what} of the subject"));
            Err(failure.next(format!("{what}s: {}", known.join(", "))))
        };
        let mut outcomes = outcomes.chain(on).chain(operations);
        if let Some(unknown) = outcomes.find(|name| subject.outcome(name).is_none()) {
            return refuse(unknown, "outcome", subject.outcomes.iter().map(|known| &*known.name).collect());
        }
        let mut injections = self.scenarios.iter().filter_map(|scenario| scenario.inject.as_ref());
        match injections.find(|name| subject.injection(name).is_none()) {
            Some(unknown) => {
                refuse(unknown, "injection", subject.inject.iter().map(|known| &*known.name).collect())
            }
            None => Ok(()),
        }
    }
}

/// Names of arms that are no controls or versions.
fn reserved() -> [String; 3] {
    ["base", "patched", "coverage"].map(str::to_owned)
}

impl RawCampaign {
    /// The file, its text, and what it says.
    fn read(configs: &Path, wanted: &str) -> Result<(PathBuf, String, RawCampaign)> {
        let path = file_of(configs, wanted);
        if !path.exists() {
            return Err(Failure::usage(format!("no campaign `{wanted}`"))
                .because(format!("there is no {}", input::shown(&path)))
                .next(format!("campaigns here: {}", campaigns_in(configs).join(", "))));
        }
        let text = input::CONFIG.read_text(&path)?;
        let raw = parse(&path, &text)?;
        Ok((path, text, raw))
    }
}

fn checked(path: &Path, raw: Vec<RawScenario>) -> Result<Vec<Scenario>> {
    raw.into_iter().map(|scenario| scenario.checked(path)).collect()
}

fn check_variant(path: &Path, variant: &Variant) -> Result<()> {
    let mut names = vec![(&variant.arch, "architecture")];
    names.extend(variant.fragments.iter().map(|name| (name, "fragment")));
    let helpers = variant.helpers.iter().chain(&variant.patched_helpers);
    names.extend(helpers.map(|name| (name, "helper patch")));
    names.push((&variant.name, "variant"));
    for (name, what) in names {
        check_name(path, what, name)?;
    }
    if variant.cpus == Some(0) {
        return Err(Failure::usage(format!("{}: variant `{}` has no CPU", input::shown(path), variant.name)));
    }
    unique(path, "control", &variant.controls.iter().chain(&reserved()).collect::<Vec<_>>())
}

fn unique(path: &Path, what: &str, names: &[&String]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        check_name(path, what, name)?;
        if !seen.insert(name) {
            return Err(Failure::usage(format!("{}: {what} `{name}` is there twice", input::shown(path))));
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
pub fn campaigns_in(dir: &Path) -> Vec<String> {
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
    use crate::campaign::{Demand, Suite};

    const GOOD: &str = "
patch: patches/p.patch
subject: s
trees: ['7.2']
scenarios: [{name: work, failures: 200, inject: all}]
variants:
  - name: v
    arch: x86_64
    about: text
    fragments: [x86_64]
    expect: {base: shout, patched: wait}
    controls: [c]
";

    const SUBJECT: &str = "
failure: slow way
inject: [{name: all, fault: failslab, under: [{function: f}]}]
events: [{name: waits, title: waits, calls: [wait_for_it]}]
outcomes:
  - {name: shout, about: one shout each}
  - {name: wait, about: one wait each, each: {waits: 1}}
  - {name: nothing, about: nothing at all, absent: [f]}
";

    fn load(text: &str) -> Result<Campaign> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("subjects")).unwrap();
        std::fs::write(dir.path().join("subjects/s.yaml"), SUBJECT).unwrap();
        std::fs::write(dir.path().join("c.yaml"), text).unwrap();
        let other = GOOD.replace(
            "[{name: work, failures: 200, inject: all}]",
            "[{name: exit, at_least: 3, suite: full}]",
        );
        std::fs::write(dir.path().join("other.yaml"), other).unwrap();
        Campaign::load(dir.path(), "c")
    }

    fn refused(text: &str) -> String {
        load(text).unwrap_err().to_string()
    }

    #[test]
    fn scenarios_are_its_own_or_those_of_another_campaign() {
        let borrowed =
            GOOD.replace("scenarios: [{name: work, failures: 200, inject: all}]", "scenarios_of: other");
        let scenarios = load(&borrowed).unwrap().scenarios;
        assert_eq!((scenarios[0].name.as_str(), &scenarios[0].demand), ("exit", &Demand::AtLeast(3)));
        assert_eq!(scenarios[0].suite, Suite::Full);
        let circle = borrowed.replace("other", "c");
        assert!(refused(&circle).contains("has no scenarios of its own"));
        for neither in [GOOD.replace("scenarios: [", "# ["), format!("{GOOD}scenarios_of: other\n")] {
            assert!(refused(&neither).contains("either `scenarios` or `scenarios_of`"));
        }
    }

    #[test]
    fn a_scenario_applies_by_the_mechanism_of_the_base_and_by_fragments_and_says_why_not() {
        let why = |more: &str| {
            let campaign = load(&GOOD.replace("failures: 200", &format!("failures: 200{more}"))).unwrap();
            campaign.scenarios[0].not_applicable(&campaign.variants[0], &campaign.subject)
        };
        assert_eq!(why(""), None);
        assert_eq!(why(", on: [shout], fragments: [x86_64]"), None);
        assert_eq!(why(", on: [nothing]").as_deref(), Some("the base does one shout each here"));
        assert_eq!(
            why(", fragments: [pti]").as_deref(),
            Some("the variant is built without the fragment `pti`")
        );
        assert_eq!(why(", on: [nothing], otherwise: because").as_deref(), Some("because"));
        let without = |name: &str| {
            load(&GOOD.replace("    controls", &format!("    without: {{{name}: it warns}}\n    controls")))
        };
        let campaign = without("work").unwrap();
        let why = campaign.scenarios[0].not_applicable(&campaign.variants[0], &campaign.subject);
        assert_eq!(why.as_deref(), Some("it warns"));
        assert!(without("wrok").is_err());
    }

    #[test]
    fn a_scenario_demands_one_thing() {
        assert!(refused(&GOOD.replace("failures: 200", "failures: 1, at_least: 1")).contains("needs one of"));
        assert!(refused(&GOOD.replace(", failures: 200", "")).contains("needs one of"));
    }

    #[test]
    fn a_variant_with_a_helper_patch_is_synthetic() {
        let campaign = load(GOOD).unwrap();
        assert_eq!(campaign.name, "c");
        assert!(campaign.variants[0].native());
        let helped = GOOD.replace("    controls", "    helpers: [h]\n    controls");
        assert!(!load(&helped).unwrap().variants[0].native());
        let helped = GOOD.replace("    controls", "    patched_helpers: [h]\n    controls");
        assert!(!load(&helped).unwrap().variants[0].native());
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
    fn outcome_or_injection_that_the_subject_lacks_is_refused_with_its_line() {
        let text = refused(&GOOD.replace("patched: wait", "patched: wat"));
        assert!(text.contains("c.yaml:11: `wat` is no outcome of the subject"), "{text}");
        assert!(text.contains("outcomes: shout, wait, nothing"), "{text}");
        assert!(
            refused(&GOOD.replace("inject: all", "inject: al")).contains("c.yaml:5: `al` is no injection")
        );
        assert!(refused(&GOOD.replace(", inject: all", "")).contains("there is no `inject`"));
        assert!(refused(&GOOD.replace("subject: s", "subject: t")).contains("no subject `t`"));
    }

    #[test]
    fn where_nothing_follows_a_failure_only_those_run_that_say_so() {
        let text = GOOD.replace("base: shout, patched: wait", "base: nothing, patched: nothing");
        let why = |text: &str| {
            let campaign = load(text).unwrap();
            campaign.scenarios[0].not_applicable(&campaign.variants[0], &campaign.subject)
        };
        assert_eq!(why(&text).as_deref(), Some("this kernel has no slow way"));
        assert_eq!(why(&text.replace("inject: all", "inject: all, on: [nothing]")), None);
    }
}
