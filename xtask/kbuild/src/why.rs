//! Why a symbol does not have its value, in words for people.

use std::fmt;

use crate::KbuildTree;
use crate::expr::{Expr, Value};
use crate::kconfig::KconfigEntry;

/// Steps from a symbol to the one that it depends on.
const MAX_STEPS: usize = 4;
/// Names in a list.
const MAX_NAMES: usize = 4;

/// Why no assignment was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub text: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl KbuildTree {
    /// Why `symbol` is not `y` in a configuration.
    pub fn why_dropped(&self, symbol: &str, config: &dyn Fn(&str) -> Value) -> String {
        let symbol = symbol.strip_prefix("CONFIG_").unwrap_or(symbol);
        let mut text = format!("CONFIG_{symbol} {}", self.state(symbol, config));
        let mut next = Some(symbol.to_string());
        let mut seen = Vec::new();
        while let Some(symbol) = next.take().filter(|symbol| !seen.contains(symbol)) {
            let (why, blamed) = self.blame(&symbol, config);
            text.push_str(if seen.is_empty() { ": it " } else { "; CONFIG_" });
            if !seen.is_empty() {
                text.push_str(&format!("{symbol} "));
            }
            text.push_str(&why);
            seen.push(symbol);
            if seen.len() < MAX_STEPS {
                next = blamed;
            }
        }
        text
    }

    fn state(&self, symbol: &str, config: &dyn Fn(&str) -> Value) -> String {
        match config(symbol) {
            Value::No => "is not set".into(),
            value => format!("is {}", value.as_text()),
        }
    }

    /// What keeps it off, and the symbol to look at next.
    fn blame(&self, symbol: &str, config: &dyn Fn(&str) -> Value) -> (String, Option<String>) {
        let entries: Vec<&KconfigEntry> = self.kconfig.entries_of(symbol).collect();
        let Some(first) = entries.first() else { return (self.undefined(), None) };
        if config(symbol) == Value::Yes {
            return ("is as wanted".into(), None);
        }
        let entry = entries.iter().find(|entry| entry.depends.holds(config) != Some(false)).unwrap_or(first);
        if let Some(part) = unmet(&entry.depends, config) {
            let missing = part.symbols().into_iter().find(|name| !self.kconfig.is_defined(name));
            let blamed = part.symbols().into_iter().find(|name| config(name) != Value::Yes).map(String::from);
            let why = match missing {
                Some(missing) if matches!(part, Expr::Symbol(_)) => {
                    format!("depends on {missing}, which this architecture does not define ({})", entry.place)
                }
                _ => format!("depends on {part}, which does not hold ({})", entry.place),
            };
            let blamed = blamed.filter(|name| self.kconfig.is_defined(name) && name != symbol);
            return (why, blamed);
        }
        if let Some(choice) = entry.choice.and_then(|at| self.kconfig.choices.get(at)) {
            if let Some(chosen) = choice.members.iter().find(|member| config(member) == Value::Yes) {
                return (
                    format!("is in one choice with CONFIG_{chosen}, which is chosen ({})", entry.place),
                    None,
                );
            }
        }
        match &entry.prompt {
            Some(prompt) => match unmet(prompt, config) {
                Some(part) => (format!("can be set only with {part} ({})", entry.place), None),
                None => (format!("could be set: nothing forbids it ({})", entry.place), None),
            },
            None => (self.not_selected(symbol, entry), None),
        }
    }

    pub(crate) fn undefined(&self) -> String {
        format!("is not defined for {}", self.srcarch)
    }

    fn not_selected(&self, symbol: &str, entry: &KconfigEntry) -> String {
        let mut names: Vec<_> =
            self.kconfig.selectors(symbol).iter().map(|selector| selector.symbol.as_str()).collect();
        names.dedup();
        let more = names.len().saturating_sub(MAX_NAMES);
        names.truncate(MAX_NAMES);
        let more = if more > 0 { format!(" and {more} others") } else { String::new() };
        match (names.as_slice(), entry.defaults.first()) {
            ([], Some(default)) => {
                format!("has no prompt, and its default is {} ({})", default.expr, entry.place)
            }
            ([], None) => format!("has no prompt, no default and nothing that selects it ({})", entry.place),
            (names, _) => {
                format!("has no prompt; {}{more} would select it ({})", names.join(", "), entry.place)
            }
        }
    }
}

/// The first part that does not hold.
fn unmet<'a>(expr: &'a Expr, config: &dyn Fn(&str) -> Value) -> Option<&'a Expr> {
    match expr {
        Expr::And(parts) => parts.iter().find_map(|part| unmet(part, config)),
        expr => (expr.holds(config) == Some(false)).then_some(expr),
    }
}
