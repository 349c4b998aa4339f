//! Completes the plan of a campaign that is of whatever patch is given: with the symbols that compile the changed lines, the
//! objects in which these are counted, and the tests of the kernel's own that are about them. Only the source can tell, so it
//! is the first thing that is done with one.

use std::collections::BTreeSet;

use protocol::Workload;

use super::derived_variants::{CompletedVariant, PatchedSource};
use super::setting::{self, Setting};
use crate::arms::{base_tree, changed};
use crate::campaign::plan;
use crate::campaign::{Scenario, Variant, project, scenario};
use crate::host::arch;
use crate::observe::events::{Event, Events};
use crate::source::worktree::WorkTree;
use failure::{Failure, Result};
use patch::Overlay;

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
        let mut changes = base.base.changed.clone();
        changes.extend(patched.changed.clone());
        let source = PatchedSource { work: &work, patched: &patched, changes: &changes, tree: &tree.name };
        let (mut derived, sandbox) = self.derive_everywhere(events, &source, &hunks)?;
        self.sandbox = sandbox;
        let arch = derived.all.first().map(|one| arch::find(&one.variant.arch)).transpose()?;
        let selftests = match arch {
            Some(arch) => self.selftests(events, &work, &patched, arch)?,
            None => Vec::new(),
        };
        derived.leave_out(&selftests)?;
        let changed = hunks.into_iter().map(|hunk| hunk.path).collect();
        let tests = tests(derived.suites(), selftests);
        let mut variants = Vec::new();
        for CompletedVariant { variant, lines, .. } in derived.all {
            self.configured.insert(variant.id(), lines);
            variants.push(variant);
        }
        self.complete(variants, tests, &About { changed, callers: derived.callers })
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
}

/// A suite takes a moment, a selftest some seconds.
fn tests(suites: Vec<String>, selftests: Vec<Scenario>) -> Vec<Scenario> {
    let suites = suites
        .into_iter()
        .map(|suite| Scenario::found(Scenario::name_of_suite(&suite), Workload::Kunit(suite)));
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
