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

/// Variants of a plan, completed.
#[derive(Default)]
pub struct DerivedVariants {
    pub variants: Vec<Variant>,
    /// By index of the variant, the lines of its `.config`.
    pub configured: Vec<BTreeSet<String>>,
    pub suites: Vec<String>,
    pub callers: BTreeSet<String>,
    /// [`Derivation::not_here`].
    pub not_here: BTreeSet<String>,
    pub compiles_anything: bool,
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
        let (mine, theirs) = (self.suites.clone(), &others.suites);
        without(&mut self.variants, theirs.iter().filter(|suite| !mine.contains(suite)));
        let mut variants = others.variants;
        without(&mut variants, mine.iter().filter(|suite| !theirs.contains(suite)));
        self.variants.extend(variants);
        self.configured.extend(others.configured);
        self.suites.extend(others.suites);
        self.callers.extend(others.callers);
        self.compiles_anything |= others.compiles_anything;
    }

    /// Selftests are programs of this host's architecture.
    ///
    /// # Errors
    /// When a variant names an architecture that is not known.
    pub fn leave_out(&mut self, selftests: &[Scenario]) -> Result<()> {
        for variant in &mut self.variants {
            let arch = arch::find(&variant.arch)?;
            let why = format!("no selftests are built for {}", arch.name);
            let names = selftests.iter().filter(|_| !arch.is_native()).map(|test| test.name.clone());
            variant.without.extend(names.map(|name| (name, why.clone())));
        }
        Ok(())
    }
}

/// Leaves suites out of `variants`.
fn without<'s>(variants: &mut [Variant], suites: impl Iterator<Item = &'s String>) {
    const WHY: &str = "the suite is not in this configuration";
    let names: Vec<String> = suites.map(|suite| Scenario::name_of_suite(suite)).collect();
    for variant in variants {
        variant.without.extend(names.iter().map(|name| (name.clone(), WHY.to_owned())));
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
            for path in &self.args.run {
                user_program::prepare(path, arch, &sandbox, &self.dir.path)?;
            }
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
        let &PatchedSource { work, changes, .. } = source;
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
        tell(events, &found);
        let shapes = self.shapes(events, source, (variant, &kernels, &own), &mut found, &mut configured)?;
        Ok(DerivedVariants {
            suites: found.variants.iter().flat_map(|derived| derived.suites.iter().cloned()).collect(),
            callers: found.callers.iter().cloned().collect(),
            not_here: found.not_here.clone(),
            compiles_anything: found.compiles_anything(),
            variants: with(&shapes, found),
            configured,
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
fn with(shapes: &[VariantShape<'_>], found: Derivation) -> Vec<Variant> {
    let all: BTreeSet<String> = found.variants.iter().flat_map(|derived| derived.suites.clone()).collect();
    let mut variants: Vec<Variant> = Vec::new();
    for (VariantShape { of, apart }, derived) in shapes.iter().zip(found.variants) {
        let alike = variants.iter().filter(|known| known.fragments == of.fragments).count();
        let number = if alike == 0 { String::new() } else { format!("-{}", alike + 1) };
        let name = format!("{}{number}{}", of.name, if *apart { "-apart" } else { "" });
        let has = derived.suites;
        let counted = derived.counted.into_iter().collect();
        let arguments = [of.arguments.clone(), found.arguments.clone()].concat();
        let derived = derived.symbols;
        let mut variant = Variant {
            name,
            derived,
            counted,
            arguments,
            stands_in_for: None,
            elsewhere: false,
            ..(*of).clone()
        };
        let lacking = all.iter().filter(|suite| !has.contains(suite));
        without(std::slice::from_mut(&mut variant), lacking);
        variants.push(variant);
    }
    variants
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
