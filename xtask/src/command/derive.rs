//! Completes the plan of a campaign that is of whatever patch is given: with the symbols that compile the changed lines, the
//! objects in which these are counted, and the tests of the kernel's own that are about them. Only the source can tell, so it
//! is the first thing that is done with one.

use std::collections::BTreeSet;

use kbuild::KbuildTree;
use protocol::Workload;

use super::configured::Configurator;
use super::kernels::Kernels;
use super::setting::{self, Setting};
use crate::arms::{base_tree, changed};
use crate::build::stale;
use crate::campaign::plan;
use crate::campaign::{Scenario, Variant, project, scenario};
use crate::derive::{self, Derivation, PatchedFiles};
use crate::host::arch;
use crate::observe::events::{Event, Events};
use crate::run::kinship;
use crate::source::worktree::WorkTree;
use failure::{Failure, Result};
use patch::{Base, Content, Overlay};

/// The files that a patch is about.
#[derive(Default)]
struct About {
    changed: BTreeSet<String>,
    /// They call what is changed.
    callers: BTreeSet<String>,
}

impl Setting<'_> {
    /// Derives what the campaign leaves open; one that leaves nothing open stays as it is.
    ///
    /// # Errors
    /// When the source cannot be had, or the patch does not go on it.
    pub fn derive(&mut self, events: &Events) -> Result<()> {
        let campaign = &self.loaded.campaign;
        let is_derived = setting::is_derived(campaign);
        let Some(tree) = self.loaded.trees.first().filter(|_| is_derived) else {
            if let Some(dir) = self.args.selftest.first() {
                let what = format!("--selftest {dir}: the campaign {} has its own tests", campaign.name);
                return Err(Failure::usage(what).next("add --campaign any-patch"));
            }
            // One that was derived and written down still has its workloads in another patch's order.
            return if campaign.coverage { self.plan_again(&About::default()) } else { Ok(()) };
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
        let mut changes = base.base.changed.clone();
        changes.extend(patched.changed.clone());
        let mut variants = Vec::new();
        let mut suites: Vec<String> = Vec::new();
        let mut callers: BTreeSet<String> = BTreeSet::new();
        for variant in campaign.variants.iter().filter(|variant| variant.stands_in_for.is_none()) {
            let arch = arch::find(&variant.arch)?;
            let bytes = |content: &Option<Content>| content.as_ref().map(|content| content.bytes.clone());
            let files = changes.iter().map(|(path, content)| (path.clone(), bytes(content)));
            let kbuild = KbuildTree::open_changed(&work.dir(), files.collect(), arch.kernel_arch)?;
            let configurator = Configurator { sandbox: &self.sandbox, work: &work, arch, changes: &changes };
            let kernels = Kernels { project: self.project, kbuild: &kbuild, configurator: &configurator };
            let own = kernels.own(variant)?;
            let value = |symbol: &str| own.value(symbol);
            let mut found = derive::derive(&kbuild, &PatchedFiles { patched: &read }, &hunks, &value);
            let mut configured = Vec::new();
            for derived in &mut found.variants {
                configured.push(kernels.settle(variant, derived, &own, &mut found.notes)?);
            }
            self.tell(events, &found);
            suites.extend(found.variants.iter().flat_map(|derived| derived.suites.iter().cloned()));
            callers.extend(found.callers.iter().cloned());
            // What is warm of the variant's own kernel stays so.
            let warm = self
                .project
                .build_dirs(&tree.name, work.home(), &work.suffix())
                .join(format!("{}-{}.base", arch.name, variant.name));
            let mut shapes = Vec::new();
            for (derived, lines) in found.variants.iter_mut().zip(&mut configured) {
                if !kinship::is_far(&warm, arch, &stale::changed(&own.lines, lines)) {
                    shapes.push(VariantShape { of: variant, apart: false });
                    continue;
                }
                match kernels.smaller(variant, &campaign.variants, derived)? {
                    Some((small, smaller, its_lines)) => {
                        events.note(format!(
                            "derived: as the kernel `{}`, because most objects of `{}` would be others",
                            small.name, variant.name
                        ));
                        (*derived, *lines) = (smaller, its_lines);
                        shapes.push(VariantShape { of: small, apart: false });
                    }
                    None => shapes.push(VariantShape { of: variant, apart: true }),
                }
            }
            let derived = with(&shapes, found);
            self.configured.extend(derived.iter().map(Variant::id).zip(configured));
            variants.extend(derived);
        }
        let arch = variants.first().map(|variant: &Variant| arch::find(&variant.arch)).transpose()?;
        let selftests = match arch {
            Some(arch) => self.selftests(events, &work, &patched, arch)?,
            None => Vec::new(),
        };
        let changed = hunks.into_iter().map(|hunk| hunk.path).collect();
        self.complete(variants, tests(suites, selftests), &About { changed, callers })
    }

    /// Plans again, with what was derived for a patch.
    fn complete(&mut self, variants: Vec<Variant>, tests: Vec<Scenario>, about: &About) -> Result<()> {
        let campaign = &mut self.loaded.campaign;
        add(&mut campaign.scenarios, tests);
        campaign.variants = variants;
        self.plan_again(about)
    }

    /// Plans again, with the workloads in the order that suits the patch and what the variants count.
    fn plan_again(&mut self, about: &About) -> Result<()> {
        let campaign = &mut self.loaded.campaign;
        // A header is of the part of the kernel that it is compiled in.
        let counted = campaign.variants.iter().flat_map(|variant| &variant.counted);
        let files: BTreeSet<&str> = about.changed.iter().chain(counted).map(String::as_str).collect();
        let callers: BTreeSet<&str> = about.callers.iter().map(String::as_str).collect();
        scenario::order_for(&mut campaign.scenarios, &files, &callers);
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
        if !found.callers.is_empty() {
            events.note(format!("derived: called in {}", found.callers.join(" ")));
        }
        if !found.arguments.is_empty() {
            events.note(format!("derived: on the kernel's command line {}", found.arguments.join(" ")));
        }
        for note in &found.notes {
            events.note(format!("derived: {note}"));
        }
    }
}

/// The variant that a configuration is of; apart: most objects are others than in the variant as it is.
struct VariantShape<'v> {
    of: &'v Variant,
    apart: bool,
}

/// The variants, one for each configuration; one apart has a name, and with it build directories, of its own.
fn with(shapes: &[VariantShape<'_>], found: Derivation) -> Vec<Variant> {
    let all: BTreeSet<String> =
        found.variants.iter().flat_map(|derived| &derived.suites).map(|suite| scenario_of(suite)).collect();
    let mut variants: Vec<Variant> = Vec::new();
    for (VariantShape { of, apart }, derived) in shapes.iter().zip(found.variants) {
        let alike = variants.iter().filter(|known| known.fragments == of.fragments).count();
        let number = if alike == 0 { String::new() } else { format!("-{}", alike + 1) };
        let name = format!("{}{number}{}", of.name, if *apart { "-apart" } else { "" });
        let has: BTreeSet<String> = derived.suites.iter().map(|suite| scenario_of(suite)).collect();
        let mut without = of.without.clone();
        let lacking = all.difference(&has).cloned();
        without
            .extend(lacking.map(|scenario| (scenario, "the suite is not in this configuration".to_owned())));
        let counted = derived.counted.into_iter().collect();
        let arguments = [of.arguments.clone(), found.arguments.clone()].concat();
        let derived = derived.symbols;
        variants.push(Variant {
            name,
            derived,
            counted,
            without,
            arguments,
            stands_in_for: None,
            ..(*of).clone()
        });
    }
    variants
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

/// Puts tests behind all else, the suites last; one that the user asked for is there already. A suite runs in the kernel and
/// cannot be killed: one that hangs with a lock held lets nothing go on behind it.
fn add(scenarios: &mut Vec<Scenario>, mut tests: Vec<Scenario>) {
    tests.sort_by_key(|test| matches!(test.work(), Some(Workload::Kunit(_))));
    for test in tests {
        if scenarios.iter().all(|known| known.name != test.name) {
            scenarios.push(test);
        }
    }
}
