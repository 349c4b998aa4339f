//! The configurations that a derived plan is about, as Kconfig makes them: that of a variant as it is, that of what was derived for
//! it, and the same as a smaller kernel. Asks Kconfig; builds nothing.

use std::collections::{BTreeMap, BTreeSet};

use kbuild::{KbuildTree, Value};

use super::configured::{self, Configuration, Configurator};
use crate::campaign::Variant;
use crate::campaign::project::{self, Project};
use crate::derive::{self, Derived};
use crate::run::kinship;
use crate::subject::kconfig::KconfigRequest;
use failure::Result;

pub struct Kernels<'a> {
    pub project: &'a Project,
    pub kbuild: &'a KbuildTree,
    pub configurator: &'a Configurator<'a>,
}

/// The kernel of a variant as it is.
pub struct OwnKernel {
    config: Configuration,
    /// Of its `.config`, what turns something on.
    pub lines: BTreeSet<String>,
}

impl OwnKernel {
    pub fn value(&self, symbol: &str) -> Value {
        self.config.get(symbol).cloned().unwrap_or(Value::No)
    }
}

impl Kernels<'_> {
    /// # Errors
    /// When there is no such fragment.
    pub fn own(&self, variant: &Variant) -> Result<OwnKernel> {
        let requests = project::requests(self.project, variant)?;
        let found = self.configurator.configure_once(&variant.name, &requests)?;
        let config = found.unwrap_or_else(|| asked_for(&requests));
        Ok(OwnKernel { lines: lines_of(&config), config })
    }

    /// Puts the symbols right, and gives the lines of the `.config` that comes of them.
    ///
    /// # Errors
    /// When Kconfig cannot be asked.
    pub fn settle(
        &self,
        variant: &Variant,
        derived: &mut Derived,
        own: &OwnKernel,
        notes: &mut Vec<String>,
    ) -> Result<BTreeSet<String>> {
        let mut last = None;
        let configure = |symbols: &BTreeMap<String, String>| {
            let with = Variant { derived: symbols.clone(), ..variant.clone() };
            let config = self.configurator.configure(&project::requests(self.project, &with)?)?;
            last = config.as_ref().map(lines_of);
            Ok(config)
        };
        notes.extend(derive::settle(self.kbuild, derived, configure)?);
        Ok(last.unwrap_or_else(|| own.lines.clone()))
    }

    /// What stands in for `variant` among `all`, with the symbols that give `derived` there, without suites, and the lines of its
    /// `.config`; None where there is no such variant, or the symbols cannot be had in it.
    ///
    /// # Errors
    /// When Kconfig cannot be asked.
    pub fn smaller<'v>(
        &self,
        variant: &Variant,
        all: &'v [Variant],
        derived: &Derived,
    ) -> Result<Option<(&'v Variant, Derived, BTreeSet<String>)>> {
        let stands_in =
            |one: &&Variant| one.arch == variant.arch && one.stands_in_for.as_ref() == Some(&variant.name);
        let Some(small) = all.iter().find(stands_in) else { return Ok(None) };
        let own = self.own(small)?;
        let value = |symbol: &str| own.value(symbol);
        let Some(mut smaller) = derived.in_another(self.kbuild, &value) else { return Ok(None) };
        let mut lost = Vec::new();
        let lines = self.settle(small, &mut smaller, &own, &mut lost)?;
        let in_force = |symbol: &String, value: &String| {
            value == "n" || lines.iter().any(|line| line.starts_with(&format!("CONFIG_{symbol}=")))
        };
        // What Kconfig does not give is no longer among the symbols.
        let is_had = lost.is_empty() && smaller.symbols.iter().all(|(symbol, value)| in_force(symbol, value));
        Ok(is_had.then_some((small, smaller, lines)))
    }
}

fn lines_of(configuration: &Configuration) -> BTreeSet<String> {
    configuration.iter().filter_map(|(symbol, value)| kinship::config_line(symbol, value.as_text())).collect()
}

/// What is asked for, where it is not known what Kconfig makes of it.
pub fn asked_for(requests: &[KconfigRequest]) -> Configuration {
    requests.iter().map(|request| (request.symbol.clone(), configured::value_of(&request.value))).collect()
}
