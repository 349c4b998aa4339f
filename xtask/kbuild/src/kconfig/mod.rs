//! Kconfig as values: which symbols there are, what they depend on, and what selects them. [`read`] makes it of the
//! files, [`scan`] of a line.

pub(crate) mod read;
pub(crate) mod scan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;

use crate::expr::{Expr, Term};

/// Everything that the architecture's Kconfig says.
#[derive(Debug, Default)]
pub(crate) struct Kconfig {
    /// In the order of the files.
    pub entries: Vec<KconfigEntry>,
    pub choices: Vec<KconfigChoice>,
    pub blocks: Vec<KconfigBlock>,
    pub symbols: HashMap<String, SymbolEntries>,
    /// Entries whose dependencies, prompt or defaults name the symbol.
    pub dependents: HashMap<String, Vec<usize>>,
}

/// What is known of a symbol from all its entries.
#[derive(Debug, Default)]
pub(crate) struct SymbolEntries {
    /// Into [`Kconfig::entries`].
    pub entries: Vec<usize>,
    pub selected_by: Vec<Selector>,
    pub implied_by: Vec<Selector>,
    pub kind: SymbolKind,
}

#[derive(Debug)]
pub(crate) struct Selector {
    pub symbol: String,
    /// With the dependencies of the entry that selects.
    pub condition: Expr,
    pub place: KconfigPlace,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum SymbolKind {
    Bool,
    Tristate,
    Int,
    Hex,
    Text,
    /// No type is given in this architecture.
    #[default]
    Unknown,
}

impl SymbolKind {
    pub fn is_switch(self) -> bool {
        matches!(self, SymbolKind::Bool | SymbolKind::Tristate | SymbolKind::Unknown)
    }
}

/// One `config` or `menuconfig`.
#[derive(Debug)]
pub(crate) struct KconfigEntry {
    pub symbol: String,
    pub kind: SymbolKind,
    /// Condition under which the prompt is shown, menus' `visible if` included; `None` without a prompt.
    pub prompt: Option<Expr>,
    /// With those of the menus and `if`s around it.
    pub depends: Expr,
    pub defaults: Vec<DefaultLine>,
    pub selects: Vec<(String, Expr)>,
    pub implies: Vec<(String, Expr)>,
    pub ranges: Vec<(Term, Term, Expr)>,
    /// Into [`Kconfig::choices`].
    pub choice: Option<usize>,
    pub place: KconfigPlace,
    pub last_line: usize,
}

/// A `default` line.
#[derive(Debug)]
pub(crate) struct DefaultLine {
    /// Of bool and tristate symbols a condition; of others a constant that looks like a symbol.
    pub expr: Expr,
    pub condition: Expr,
}

#[derive(Debug)]
pub(crate) struct KconfigChoice {
    /// With the condition of its prompt: its members can be set only then.
    pub depends: Expr,
    /// It may stand without a member.
    pub optional: bool,
    pub members: Vec<String>,
}

/// A `menu`, an `if` or a `choice`: its first lines change what is inside.
#[derive(Debug)]
pub(crate) struct KconfigBlock {
    pub place: KconfigPlace,
    pub last_line: usize,
    /// Into [`Kconfig::entries`].
    pub inside: Range<usize>,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KconfigPlace {
    pub file: String,
    pub line: usize,
}

impl fmt::Display for KconfigPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Kconfig {
    pub fn entries_of<'a>(&'a self, symbol: &str) -> impl Iterator<Item = &'a KconfigEntry> + use<'a> {
        let entries = self.symbols.get(symbol).map_or(&[][..], |symbol| &symbol.entries);
        entries.iter().filter_map(|at| self.entries.get(*at))
    }

    /// False for names that are only used, never defined.
    pub fn is_defined(&self, symbol: &str) -> bool {
        self.symbols.get(symbol).is_some_and(|symbol| !symbol.entries.is_empty())
    }

    pub fn kind(&self, symbol: &str) -> SymbolKind {
        self.symbols.get(symbol).map_or(SymbolKind::Unknown, |symbol| symbol.kind)
    }

    pub fn selectors(&self, symbol: &str) -> &[Selector] {
        self.symbols.get(symbol).map_or(&[], |symbol| &symbol.selected_by)
    }

    pub fn implied_by(&self, symbol: &str) -> &[Selector] {
        self.symbols.get(symbol).map_or(&[], |symbol| &symbol.implied_by)
    }

    /// Fills what is found from entry to symbol in the other direction.
    fn index(&mut self) {
        for (at, entry) in self.entries.iter().enumerate() {
            let symbol = self.symbols.entry(entry.symbol.clone()).or_default();
            symbol.entries.push(at);
            if symbol.kind == SymbolKind::Unknown {
                symbol.kind = entry.kind;
            }
            let defaults = entry.defaults.iter().flat_map(|default| [&default.expr, &default.condition]);
            let exprs = defaults.chain(&entry.prompt).chain([&entry.depends]);
            for name in exprs.flat_map(Expr::symbols).collect::<BTreeSet<_>>() {
                self.dependents.entry(name.to_string()).or_default().push(at);
            }
            let selector = |condition: &Expr| {
                let condition = Expr::and([entry.depends.clone(), condition.clone()]);
                Selector { symbol: entry.symbol.clone(), condition, place: entry.place.clone() }
            };
            for (selected, condition) in &entry.selects {
                self.symbols.entry(selected.clone()).or_default().selected_by.push(selector(condition));
            }
            for (implied, condition) in &entry.implies {
                self.symbols.entry(implied.clone()).or_default().implied_by.push(selector(condition));
            }
            if let Some(choice) = entry.choice.and_then(|at| self.choices.get_mut(at)) {
                choice.members.push(entry.symbol.clone());
            }
        }
    }
}
