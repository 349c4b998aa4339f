//! Completes the plan of a campaign that is of whatever patch is given: with the symbols that compile the changed lines, the
//! objects in which these are counted, and the tests of the kernel's own that are about them. Only the source can tell, so it
//! is the first thing that is done with one.

use std::collections::BTreeSet;

use kbuild::{KbuildTree, Value};
use protocol::Workload;

use super::configured::Configurator;
use super::kernels::{self, Kernels};
use super::setting::{self, Setting};
use crate::arms::{base_tree, changed};
use crate::build::stale;
use crate::campaign::plan;
use crate::campaign::{Scenario, Variant, project, scenario};
use crate::derive::{self, Derivation, PatchedFiles};
use crate::host;
use crate::host::arch::{self, Arch};
use crate::host::sandbox::Sandbox;
use crate::observe::ChangedHunk;
use crate::observe::events::{Event, Events};
use crate::run::kinship;
use crate::source::files::Changes;
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

/// A tree, and what it is with the patch.
struct PatchedSource<'a> {
    work: &'a WorkTree,
    patched: &'a Overlay<'a>,
    /// All that differs from the tree as it is.
    changes: &'a Changes,
    /// Its name in the campaign.
    tree: &'a str,
}

impl PatchedSource<'_> {
    fn read(&self, path: &str) -> Option<String> {
        let bytes = self.patched.read(path).ok().flatten()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn kbuild(&self, arch: &Arch) -> Result<KbuildTree> {
        let bytes = |content: &Option<Content>| content.as_ref().map(|content| content.bytes.clone());
        let files = self.changes.iter().map(|(path, content)| (path.clone(), bytes(content)));
        KbuildTree::open_changed(&self.work.dir(), files.collect(), arch.kernel_arch)
    }
}

/// Variants of a plan, completed.
#[derive(Default)]
struct DerivedVariants {
    variants: Vec<Variant>,
    /// By index of the variant, the lines of its `.config`.
    configured: Vec<BTreeSet<String>>,
    suites: Vec<String>,
    callers: BTreeSet<String>,
    /// [`Derivation::not_here`].
    not_here: BTreeSet<String>,
    compiles_anything: bool,
}

impl DerivedVariants {
    /// Takes `others` as well; the place of variants that compile nothing of the patch is taken.
    fn add(&mut self, others: DerivedVariants) {
        if !self.compiles_anything {
            *self = DerivedVariants {
                not_here: std::mem::take(&mut self.not_here),
                ..DerivedVariants::default()
            };
        }
        self.variants.extend(others.variants);
        self.configured.extend(others.configured);
        self.suites.extend(others.suites);
        self.callers.extend(others.callers);
        self.compiles_anything |= others.compiles_anything;
    }
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
        let (derived, sandbox) = self.derive_everywhere(events, &source, &hunks)?;
        self.sandbox = sandbox;
        let arch = derived.variants.first().map(|variant| arch::find(&variant.arch)).transpose()?;
        let selftests = match arch {
            Some(arch) => self.selftests(events, &work, &patched, arch)?,
            None => Vec::new(),
        };
        let changed = hunks.into_iter().map(|hunk| hunk.path).collect();
        self.configured.extend(derived.variants.iter().map(Variant::id).zip(derived.configured));
        let tests = tests(derived.suites, selftests);
        self.complete(derived.variants, tests, &About { changed, callers: derived.callers })
    }

    /// Derives from `hunks` what the variants of the campaign need, and of what cannot be compiled in them, what those of other
    /// architectures need; with a sandbox that shows the tools of all that is taken.
    fn derive_everywhere(
        &self,
        events: &Events,
        source: &PatchedSource<'_>,
        hunks: &[ChangedHunk],
    ) -> Result<(DerivedVariants, Sandbox)> {
        let variants = &self.loaded.campaign.variants;
        let (mut all, mut sandbox) = (DerivedVariants::default(), self.sandbox.clone());
        let mut left: Vec<ChangedHunk> = Vec::new();
        for variant in variants.iter().filter(|variant| variant.is_planned()) {
            let found = self.derive_for(events, source, hunks, (variant, &sandbox))?;
            left.extend(hunks.iter().filter(|hunk| found.not_here.contains(&hunk.path)).cloned());
            all.add(found);
        }
        let mut arches: Vec<&'static Arch> = super::arches(&self.planned.cells);
        for variant in variants.iter().filter(|variant| variant.elsewhere) {
            let arch = arch::find(&variant.arch)?;
            if left.is_empty() || !self.may_compile(source, &left, variant, arch)? {
                continue;
            }
            events.note(format!("derived: tried on {}, which may compile it", arch.name));
            arches.push(arch);
            let (confine, install) = (!self.args.no_sandbox, self.args.source.install_deps);
            host::require(&arches, confine, install, &self.project.install_log())?;
            sandbox = super::sandbox(self.project, self.args.no_sandbox, &arches)?;
            let found = self.derive_for(events, source, &left, (variant, &sandbox))?;
            left.retain(|hunk| found.not_here.contains(&hunk.path));
            if found.compiles_anything {
                all.add(found);
            }
        }
        Ok((all, sandbox))
    }

    /// Whether some configuration of the architecture compiles any of `hunks`: asks nobody but the Kconfig files.
    fn may_compile(
        &self,
        source: &PatchedSource<'_>,
        hunks: &[ChangedHunk],
        variant: &Variant,
        arch: &'static Arch,
    ) -> Result<bool> {
        let asked = kernels::asked_for(&project::requests(self.project, variant)?);
        let value = |symbol: &str| asked.get(symbol).cloned().unwrap_or(Value::No);
        let read = |path: &str| source.read(path);
        let files = PatchedFiles { patched: &read };
        Ok(derive::derive(&source.kbuild(arch)?, &files, hunks, &value).compiles_anything())
    }

    /// What `hunks` need in one variant.
    fn derive_for(
        &self,
        events: &Events,
        source: &PatchedSource<'_>,
        hunks: &[ChangedHunk],
        (variant, sandbox): (&Variant, &Sandbox),
    ) -> Result<DerivedVariants> {
        let &PatchedSource { work, changes, tree, .. } = source;
        let arch = arch::find(&variant.arch)?;
        let kbuild = source.kbuild(arch)?;
        let configurator = Configurator { sandbox, work, arch, changes };
        let kernels = Kernels { project: self.project, kbuild: &kbuild, configurator: &configurator };
        let own = kernels.own(variant)?;
        let value = |symbol: &str| own.value(symbol);
        let read = |path: &str| source.read(path);
        let mut found = derive::derive(&kbuild, &PatchedFiles { patched: &read }, hunks, &value);
        let mut configured = Vec::new();
        for derived in &mut found.variants {
            configured.push(kernels.settle(variant, derived, &own, &mut found.notes)?);
        }
        self.tell(events, &found);
        // What is warm of the variant's own kernel stays so.
        let warm = self
            .project
            .build_dirs(tree, work.home(), &work.suffix())
            .join(format!("{}-{}.base", arch.name, variant.name));
        let mut shapes = Vec::new();
        for (derived, lines) in found.variants.iter_mut().zip(&mut configured) {
            if !kinship::is_far(&warm, arch, &stale::changed(&own.lines, lines)) {
                shapes.push(VariantShape { of: variant, apart: false });
                continue;
            }
            match kernels.smaller(variant, &self.loaded.campaign.variants, derived)? {
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
        Ok(DerivedVariants {
            suites: found.variants.iter().flat_map(|derived| derived.suites.iter().cloned()).collect(),
            callers: found.callers.iter().cloned().collect(),
            not_here: found.not_here.clone(),
            compiles_anything: found.compiles_anything(),
            variants: with(&shapes, found),
            configured,
        })
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
        for derived in found.variants.iter().filter(|_| found.compiles_anything()) {
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
            elsewhere: false,
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
