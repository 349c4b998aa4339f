//! Completes the plan of a campaign that is of whatever patch is given: with the symbols that compile the changed lines, the
//! objects in which these are counted, and the tests of the kernel's own that are about them. Only the source can tell, so it
//! is the first thing that is done with one.

use std::collections::{BTreeMap, BTreeSet};

use kbuild::Value;
use protocol::Workload;

use super::setting::Setting;
use crate::arms::{base_tree, changed};
use crate::campaign::plan::{self, Arm, Cell};
use crate::campaign::{Scenario, Variant, project};
use crate::derive::{self, Derivation, Derived, PatchedFiles};
use crate::host::arch;
use crate::judge::Reach;
use crate::observe::Evidence;
use crate::observe::events::{Event, Events};
use crate::source::build_dir;
use crate::source::worktree::WorkTree;
use crate::subject::kconfig::{self, KconfigRequest};
use failure::{Failure, Result};
use patch::{Base, Overlay};

/// Workloads that judged kernels run at most, beside the boot and what the user brings.
const WORKLOADS_MAX: usize = 8;

impl Setting<'_> {
    /// Derives what the campaign leaves open; one that leaves nothing open stays as it is.
    ///
    /// # Errors
    /// When the source cannot be had, or the patch does not go on it.
    pub fn derive(&mut self, events: &Events) -> Result<()> {
        let campaign = &self.loaded.campaign;
        let is_open = campaign.coverage && campaign.variants.iter().all(|variant| variant.counted.is_empty());
        let Some(tree) = self.loaded.trees.first().filter(|_| is_open) else {
            return match self.args.selftest.first() {
                Some(dir) => Err(Failure::usage(format!(
                    "--selftest {dir}: the campaign {} has its own tests",
                    campaign.name
                ))
                .next("add --campaign any-patch")),
                None => Ok(()),
            };
        };
        let progress = |text: &str| events.send(Event::Status(text.to_owned()));
        let source = super::fetch(self.project, tree, &self.local, &progress)?;
        let work = WorkTree::open(&source, &self.project.work(), &progress)?;
        progress("which symbols compile the changed lines");
        let Some(tested) = self.tested.get(&tree.name) else { return Ok(()) };
        let asked = super::asked(self.project, &self.loaded, tree, &self.args.source);
        let base = base_tree::find(&asked, &work, &tested.series)?;
        let hunks = changed::changed(&base.base, &base.proved)?;
        let mut patched = Overlay::new(&base.base);
        patched.add(&base.proved);
        let read = |path: &str| {
            let bytes = patched.read(path).ok().flatten()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let mut variants = Vec::new();
        let mut suites: Vec<String> = Vec::new();
        for variant in &campaign.variants {
            let arch = arch::find(&variant.arch)?;
            let kbuild = kbuild::KbuildTree::open(&work.dir(), arch.kernel_arch)?;
            let given = self.given(variant, &tree.name, &work)?;
            let value = |symbol: &str| given.get(symbol).cloned().unwrap_or(Value::No);
            let found = derive::derive(&kbuild, &PatchedFiles { patched: &read }, &hunks, &value);
            self.tell(events, &found);
            suites.extend(found.variants.iter().flat_map(|derived| derived.suites.iter().cloned()));
            variants.extend(with(variant, found));
        }
        let arch = variants.first().map(|variant: &Variant| arch::find(&variant.arch)).transpose()?;
        let selftests = match arch {
            Some(arch) => self.selftests(events, &work, &patched, arch)?,
            None => Vec::new(),
        };
        let paths: Vec<String> = hunks.into_iter().map(|hunk| hunk.path).collect();
        self.complete(variants, tests(suites, selftests), &paths)
    }

    /// Plans again, with what was derived for a patch to `paths`.
    fn complete(&mut self, variants: Vec<Variant>, tests: Vec<Scenario>, paths: &[String]) -> Result<()> {
        let campaign = &mut self.loaded.campaign;
        // A header is of the part of the kernel that it is compiled in.
        let counted = variants.iter().flat_map(|variant| &variant.counted);
        let files: BTreeSet<&str> = paths.iter().chain(counted).map(String::as_str).collect();
        campaign.scenarios.retain(|scenario| scenario.is_for(files.iter().copied()));
        add(&mut campaign.scenarios, tests);
        campaign.variants = variants;
        self.planned.scenarios.clone_from(&campaign.scenarios);
        self.requests = project::requests_of(self.project, campaign)?;
        self.planned.cells = plan::select(plan::cells(campaign, &self.planned.beside)?, &self.args.only)?;
        Ok(())
    }

    fn tell(&self, events: &Events, found: &Derivation) {
        for derived in &found.variants {
            let symbols: Vec<String> =
                derived.symbols.iter().map(|(symbol, value)| format!("{symbol}={value}")).collect();
            let symbols = if symbols.is_empty() { "no more symbols".to_owned() } else { symbols.join(" ") };
            let objects: Vec<&str> = derived.counted.iter().map(String::as_str).collect();
            events.note(format!("derived: {symbols}; counted in {}", objects.join(" ")));
            if !derived.suites.is_empty() {
                events.note(format!("derived: KUnit suites {}", derived.suites.join(" ")));
            }
        }
        for note in &found.notes {
            events.note(format!("derived: {note}"));
        }
    }

    /// The configuration that the variant has without anything derived: as its last build left it, or else as it is asked for.
    fn given(&self, variant: &Variant, tree: &str, work: &WorkTree) -> Result<BTreeMap<String, Value>> {
        let home = self
            .project
            .build_dirs(tree, work.home())
            .join(format!("{}-{}.base", variant.arch, variant.name));
        let requests = project::requests(self.project, variant)?;
        let built = std::fs::read_to_string(build_dir::objects_in(&home).join(".config")).unwrap_or_default();
        Ok(without_derived(&built, &build_dir::configured_lines(&home), &requests))
    }

    /// A test of the kernel's own.
    fn is_test(&self, name: &str) -> bool {
        let scenario = self.planned.scenarios.iter().find(|scenario| scenario.name == name);
        let work = scenario.and_then(Scenario::work);
        matches!(work, Some(Workload::Kunit(_) | Workload::Selftest(_)))
    }

    /// Leaves to the judged cells what reaches the patch, by what was counted, by index of the cell.
    pub fn keep_what_reaches(&mut self, counted: &[(usize, Evidence)]) {
        for (tree, hunks) in &self.planned.sources.changed {
            let of_tree: Vec<&Evidence> = counted
                .iter()
                .filter(|(index, _)| self.planned.cells[*index].tree == *tree)
                .map(|(_, evidence)| evidence)
                .collect();
            let reach = Reach::of(hunks, &of_tree);
            // A test says what should come out; the others are told apart by what they execute alone.
            let tests: Vec<String> =
                reach.reached_by().into_iter().filter(|name| self.is_test(name)).collect();
            let telling = reach.telling(WORKLOADS_MAX, tests);
            let is_wanted = |scenario: &Scenario| telling.contains(&scenario.name);
            let judged = |cell: &&mut Cell| cell.tree == *tree && cell.arm != Arm::Coverage;
            for cell in self.planned.cells.iter_mut().filter(judged) {
                cell.scenarios.retain(|scenario| scenario.is_always_run() || is_wanted(scenario));
            }
        }
    }
}

/// The variant once for each configuration.
fn with(variant: &Variant, found: Derivation) -> Vec<Variant> {
    let all: BTreeSet<String> =
        found.variants.iter().flat_map(|derived| &derived.suites).map(|suite| scenario_of(suite)).collect();
    let configured = |(index, derived): (usize, Derived)| {
        let name = if index == 0 { variant.name.clone() } else { format!("{}-{}", variant.name, index + 1) };
        let mut symbols = variant.symbols.clone();
        symbols.extend(derived.symbols);
        let has: BTreeSet<String> = derived.suites.iter().map(|suite| scenario_of(suite)).collect();
        let mut without = variant.without.clone();
        let lacking = all.difference(&has).cloned();
        without
            .extend(lacking.map(|scenario| (scenario, "the suite is not in this configuration".to_owned())));
        Variant { name, symbols, counted: derived.counted.into_iter().collect(), without, ..variant.clone() }
    };
    found.variants.into_iter().enumerate().map(configured).collect()
}

/// The workload that runs a suite; `--kunit` calls it the same.
pub fn scenario_of(suite: &str) -> String {
    format!("kunit-{suite}")
}

/// A suite takes a moment, a selftest some seconds.
fn tests(suites: Vec<String>, selftests: Vec<Scenario>) -> Vec<Scenario> {
    let suites = suites.into_iter().map(|suite| Scenario::found(scenario_of(&suite), Workload::Kunit(suite)));
    suites.chain(selftests).collect()
}

/// Puts tests after the boot and before all else; one that the user asked for is there already.
fn add(scenarios: &mut Vec<Scenario>, tests: Vec<Scenario>) {
    let is_boot = |scenario: &Scenario| scenario.work() == Some(&Workload::Boot);
    let mut at = scenarios.iter().position(is_boot).map_or(0, |boot| boot + 1);
    for test in tests {
        if scenarios.iter().all(|known| known.name != test.name) {
            scenarios.insert(at, test);
            at += 1;
        }
    }
}

/// The values of `built` without what only its own build asked for: the lines in `asked` that are not in `requests`. What those
/// had selected stays, and may be missing from a configuration that does not ask for it.
fn without_derived(
    built: &str,
    asked: &BTreeSet<String>,
    requests: &[KconfigRequest],
) -> BTreeMap<String, Value> {
    let asked: String = asked.iter().map(|line| format!("{line}\n")).collect();
    let mut values: BTreeMap<String, Value> = kconfig::values(built)
        .into_iter()
        .map(|(symbol, value)| (symbol.to_owned(), value_of(value)))
        .collect();
    kconfig::values(&asked).keys().for_each(|symbol| _ = values.remove(*symbol));
    let wanted = requests.iter().map(|request| (request.symbol.clone(), value_of(&request.value)));
    // What the tree does not know was not built.
    let is_known = |symbol: &String| built.is_empty() || built.contains(&format!("CONFIG_{symbol}"));
    values.extend(wanted.filter(|(symbol, _)| is_known(symbol)));
    values
}

fn value_of(text: &str) -> Value {
    match text {
        "y" => Value::Yes,
        "m" => Value::Module,
        "n" => Value::No,
        other => Value::Text(other.trim_matches('"').to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(symbol: &str, value: &str) -> KconfigRequest {
        KconfigRequest {
            symbol: symbol.to_owned(),
            value: value.to_owned(),
            origin: String::new(),
            if_known: false,
            instead: false,
        }
    }

    #[test]
    fn what_the_patch_before_needed_is_not_given() {
        let built = "CONFIG_A=y\nCONFIG_SUITE=y\n# CONFIG_B is not set\nCONFIG_SELECTED=y\n";
        let asked = ["CONFIG_A=y", "CONFIG_SUITE=y", "# CONFIG_B is not set"].map(str::to_owned).into();
        let values =
            without_derived(built, &asked, &[request("A", "y"), request("B", "y"), request("OLD", "y")]);
        let shown: Vec<String> =
            values.iter().map(|(symbol, value)| format!("{symbol}={}", value.as_text())).collect();
        assert_eq!(shown, ["A=y", "B=y", "SELECTED=y"]);
    }

    #[test]
    fn without_a_build_what_is_asked_for_is_given() {
        let values = without_derived("", &BTreeSet::new(), &[request("A", "y"), request("N", "8")]);
        assert_eq!(values["A"], Value::Yes);
        assert_eq!(values["N"], Value::Text("8".to_owned()));
    }
}
