//! A variant: one configuration of the kernel, and what each arm must show in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    pub name: String,
    pub arch: String,
    /// One line for the report: what this variant is.
    pub about: String,
    /// The trees that it is built from, names in the campaign; all of them if none is named.
    #[serde(default)]
    pub trees: Vec<String>,
    /// CPUs of its guests, where these are not the architecture's number.
    pub cpus: Option<u32>,
    /// Memory of its guests in MiB, where it is not the architecture's.
    pub memory_mib: Option<u32>,
    /// Its guests carry programs of the host's distribution, where these can be had.
    #[serde(default)]
    pub userland: bool,
    /// The CPUs of an emulated guest take turns. QEMU that runs them side by side can keep the translation of a byte that is
    /// being written: a CPU then dies of the breakpoint that another one has put there for a moment to patch the kernel's text
    /// (arch/x86/kernel/alternative.c, smp_text_poke_batch_finish()).
    #[serde(default)]
    pub cpus_in_turn: bool,
    /// The variant whose place it takes where a patch needs a configuration in which most objects of that one would be others: a
    /// smaller kernel is sooner compiled. By itself it is not in the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_in_for: Option<String>,
    /// Taken where a changed file cannot be compiled in the variants before. By itself it is not in the plan.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub elsewhere: bool,
    /// Kconfig fragments, names in `configs/fragments`.
    pub fragments: Vec<String>,
    /// Symbols by themselves, without `CONFIG_`, and their values; they take the place of what a fragment says.
    #[serde(default)]
    pub symbols: BTreeMap<String, String>,
    /// The same, for what was derived from the patch: nothing is lost where a tree does not have them.
    #[serde(default)]
    pub derived: BTreeMap<String, String>,
    /// Objects whose lines are counted in the arm that is built for that.
    #[serde(default)]
    pub counted: Vec<String>,
    /// Helper patches, names in `patches/TREE`. With one, the variant is synthetic.
    #[serde(default)]
    pub helpers: Vec<String>,
    /// The same, for the arms that have the patch: what uses something that the patch brings.
    #[serde(default)]
    pub patched_helpers: Vec<String>,
    /// Words for the kernel's command line.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Needed where a scenario counts what failures lead to.
    pub expect: Option<Expect>,
    /// Scenarios that this kernel cannot carry out, with or without the patch, and why.
    #[serde(default)]
    pub without: BTreeMap<String, String>,
    /// Controls, names in `patches/controls`.
    #[serde(default)]
    pub controls: Vec<String>,
}

impl Variant {
    /// `ARCH/NAME`: a name may stand for one variant of each architecture.
    pub fn id(&self) -> String {
        format!("{}/{}", self.arch, self.name)
    }

    /// It is built from `tree`.
    pub fn is_on(&self, tree: &str) -> bool {
        self.trees.is_empty() || self.trees.iter().any(|name| name == tree)
    }

    /// It is in a plan for which nothing was derived.
    pub fn is_planned(&self) -> bool {
        self.stands_in_for.is_none() && !self.elsewhere
    }

    /// Plain Kconfig reaches it.
    pub fn native(&self) -> bool {
        self.helpers.is_empty() && self.patched_helpers.is_empty()
    }
}

/// The outcome of each injected failure on each arm: names of [`super::Subject::outcomes`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub base: String,
    pub patched: String,
}
