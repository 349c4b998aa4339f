//! The variants of a derived plan: those of the campaign, each with the symbols that compile changed lines in it, and those of
//! other architectures for what is not compiled there. Asks Kconfig; builds nothing.

use std::collections::BTreeSet;

use kbuild::{KbuildTree, Value};

use super::configured::Configurator;
use super::kernels::{self, Kernels, OwnKernel};
use super::setting::Setting;
use super::user_program;
use crate::build::stale;
use crate::campaign::{Scenario, Variant, project};
use crate::derive::{self, Derivation, PatchedFiles};
use crate::host;
use crate::host::arch::{self, Arch};
use crate::host::sandbox::Sandbox;
use crate::observe::ChangedHunk;
use crate::observe::events::Events;
use crate::run::kinship;
use crate::source::files::Changes;
use crate::source::worktree::WorkTree;
use failure::Result;
use patch::{Base, Content, Overlay};

/// A tree, and what it is with the patch.
pub struct PatchedSource<'a> {
    pub work: &'a WorkTree,
    pub patched: &'a Overlay<'a>,
    /// All that differs from the tree as it is.
    pub changes: &'a Changes,
    /// Its name in the campaign.
    pub tree: &'a str,
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

/// A variant of a plan, completed.
pub struct CompletedVariant {
    pub variant: Variant,
    /// Of its `.config`.
    pub lines: BTreeSet<String>,
    /// The KUnit suites that it has.
    suites: Vec<String>,
}

#[derive(Default)]
pub struct DerivedVariants {
    pub all: Vec<CompletedVariant>,
    pub callers: BTreeSet<String>,
    /// [`Derivation::not_here`].
    not_here: BTreeSet<String>,
    compiles_anything: bool,
}

impl DerivedVariants {
    /// Takes `others` as well. They take the place of variants that compile nothing of the patch if they do.
    fn add(&mut self, others: DerivedVariants) {
        if others.compiles_anything && !self.compiles_anything {
            *self = DerivedVariants::default();
        }
        self.all.extend(others.all);
        self.callers.extend(others.callers);
        self.compiles_anything |= others.compiles_anything;
    }

    pub fn suites(&self) -> Vec<String> {
        self.all.iter().flat_map(|one| one.suites.clone()).collect()
    }

    /// Leaves out of each variant the suites that others have, and selftests, which are programs of this host's architecture.
    ///
    /// # Errors
    /// When a variant names an architecture that is not known.
    pub fn leave_out(&mut self, selftests: &[Scenario]) -> Result<()> {
        let all = self.suites();
        for CompletedVariant { variant, suites, .. } in &mut self.all {
            let lacking = all.iter().filter(|suite| !suites.contains(suite));
            let why = "the suite is not in this configuration".to_owned();
            variant.without.extend(lacking.map(|suite| (Scenario::name_of_suite(suite), why.clone())));
            let arch = arch::find(&variant.arch)?;
            let foreign = selftests.iter().filter(|_| !arch.is_native());
            let why = format!("no selftests are built for {}", arch.name);
            variant.without.extend(foreign.map(|test| (test.name.clone(), why.clone())));
        }
        Ok(())
    }
}

impl Setting<'_> {
    /// Derives from `hunks` what the variants of the campaign need, and of what cannot be compiled in them, what those of other
    /// architectures need; with a sandbox that shows the tools of all that is taken.
    pub(super) fn derive_everywhere(
        &self,
        events: &Events,
        source: &PatchedSource<'_>,
        hunks: &[ChangedHunk],
    ) -> Result<(DerivedVariants, Sandbox)> {
        let variants = &self.loaded.campaign.variants;
        let (mut all, mut sandbox) = (DerivedVariants::default(), self.sandbox.clone());
        let mut left: Vec<ChangedHunk> = Vec::new();
        for variant in variants.iter().filter(|variant| variant.is_planned()) {
            let kbuild = source.kbuild(arch::find(&variant.arch)?)?;
            let found = self.derive_for(events, source, hunks, (variant, &kbuild, &sandbox))?;
            left.extend(hunks.iter().filter(|hunk| found.not_here.contains(&hunk.path)).cloned());
            all.add(found);
        }
        let mut arches: Vec<&'static Arch> = super::arches(&self.planned.cells);
        for variant in variants.iter().filter(|variant| variant.elsewhere) {
            if left.is_empty() {
                break;
            }
            let arch = arch::find(&variant.arch)?;
            let kbuild = source.kbuild(arch)?;
            if !self.may_compile(source, &left, variant, &kbuild)? {
                continue;
            }
            events.note(format!("derived: tried on {}, which may compile it", arch.name));
            arches.push(arch);
            let (confine, install) = (!self.args.no_sandbox, self.args.source.install_deps);
            host::require(&arches, confine, install, &self.project.install_log())?;
            sandbox = super::sandbox(self.project, self.args.no_sandbox, &arches)?;
            for path in &self.args.run {
                user_program::prepare(path, arch, &sandbox, &self.dir.path)?;
            }
            let found = self.derive_for(events, source, &left, (variant, &kbuild, &sandbox))?;
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
        kbuild: &KbuildTree,
    ) -> Result<bool> {
        let asked = kernels::asked_for(&project::requests(self.project, variant)?);
        let value = |symbol: &str| asked.get(symbol).cloned().unwrap_or(Value::No);
        let read = |path: &str| source.read(path);
        let files = PatchedFiles { patched: &read };
        Ok(derive::derive(kbuild, &files, hunks, &value).compiles_anything())
    }

    /// What `hunks` need in one variant.
    fn derive_for(
        &self,
        events: &Events,
        source: &PatchedSource<'_>,
        hunks: &[ChangedHunk],
        (variant, kbuild, sandbox): (&Variant, &KbuildTree, &Sandbox),
    ) -> Result<DerivedVariants> {
        let &PatchedSource { work, changes, .. } = source;
        let arch = arch::find(&variant.arch)?;
        let configurator = Configurator { sandbox, work, arch, changes };
        let kernels = Kernels { project: self.project, kbuild, configurator: &configurator };
        let own = kernels.own(variant)?;
        let value = |symbol: &str| own.value(symbol);
        let read = |path: &str| source.read(path);
        let mut found = derive::derive(kbuild, &PatchedFiles { patched: &read }, hunks, &value);
        let mut configured = Vec::new();
        for derived in &mut found.variants {
            configured.push(kernels.settle(variant, derived, &own, &mut found.notes)?);
        }
        tell(events, &found);
        let shapes = self.shapes(events, source, (variant, &kernels, &own), &mut found, &mut configured)?;
        Ok(DerivedVariants {
            callers: found.callers.iter().cloned().collect(),
            not_here: found.not_here.clone(),
            compiles_anything: found.compiles_anything(),
            all: completed(&shapes, found, configured),
        })
    }

    /// Which kernel each configuration is compiled as: what is warm of the variant's own stays so.
    fn shapes<'v>(
        &'v self,
        events: &Events,
        source: &PatchedSource<'_>,
        (variant, kernels, own): (&'v Variant, &Kernels<'_>, &OwnKernel),
        found: &mut Derivation,
        configured: &mut [BTreeSet<String>],
    ) -> Result<Vec<VariantShape<'v>>> {
        let (work, arch) = (source.work, arch::find(&variant.arch)?);
        let warm = self
            .project
            .build_dirs(source.tree, work.home(), &work.suffix())
            .join(format!("{}-{}.base", arch.name, variant.name));
        let mut shapes = Vec::new();
        for (derived, lines) in found.variants.iter_mut().zip(configured) {
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
        Ok(shapes)
    }
}

/// The variant that a configuration is of; apart: most objects are others than in the variant as it is.
struct VariantShape<'v> {
    of: &'v Variant,
    apart: bool,
}

/// The variants, one for each configuration; one apart has a name, and with it build directories, of its own.
fn completed(
    shapes: &[VariantShape<'_>],
    found: Derivation,
    configured: Vec<BTreeSet<String>>,
) -> Vec<CompletedVariant> {
    let mut all: Vec<CompletedVariant> = Vec::new();
    let parts = shapes.iter().zip(found.variants).zip(configured);
    for ((VariantShape { of, apart }, derived), lines) in parts {
        let alike = all.iter().filter(|known| known.variant.fragments == of.fragments).count();
        let number = if alike == 0 { String::new() } else { format!("-{}", alike + 1) };
        let variant = Variant {
            name: format!("{}{number}{}", of.name, if *apart { "-apart" } else { "" }),
            derived: derived.symbols,
            counted: derived.counted.into_iter().collect(),
            arguments: [of.arguments.clone(), found.arguments.clone()].concat(),
            stands_in_for: None,
            elsewhere: false,
            ..(*of).clone()
        };
        all.push(CompletedVariant { variant, lines, suites: derived.suites });
    }
    all
}

fn tell(events: &Events, found: &Derivation) {
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
