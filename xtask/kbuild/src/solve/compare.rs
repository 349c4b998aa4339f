//! Comparisons: switches that are or are not `y`, `m`, `n`, and numbers and texts that are given a value.

use super::obstacle::{Obstacle, ObstacleStep};
use super::{COST_ON, Means, SolveKey, SolveWay, Solver};
use crate::expr::{Expr, Relation, Term, Value, number};
use crate::kconfig::{KconfigEntry, SymbolKind};

impl<'a> Solver<'a> {
    pub(super) fn compare(
        &mut self,
        expr: &'a Expr,
        left: &'a Term,
        comparison: Relation,
        right: &'a Term,
        want: bool,
    ) -> ObstacleStep {
        let (Term::Symbol(name), other) = (left, right) else {
            return match self.eval(expr) {
                Some(value) if value == want => Ok(()),
                Some(_) => Err(Obstacle::Why(format!("{expr} does not hold"))),
                // Only the tools know.
                None => Ok(()),
            };
        };
        let kind = self.kconfig.kind(name);
        match (comparison, other) {
            (Relation::Equal, Term::Text(text)) if kind.is_switch() => self.is(name, text, want),
            (Relation::Unequal, Term::Text(text)) if kind.is_switch() => self.is(name, text, !want),
            (Relation::Equal | Relation::Unequal, Term::Symbol(other)) if kind.is_switch() => {
                if self.eval(expr) == Some(want) {
                    return self.keep([name, other]);
                }
                match (comparison == Relation::Equal) == want {
                    true => self.cheapest(
                        &format!("{expr} hold"),
                        &[SolveWay::Both(name, other, true), SolveWay::Both(name, other, false)],
                    ),
                    false => {
                        self.cheapest(&format!("{expr} fail"), &[SolveWay::On(name), SolveWay::On(other)])
                    }
                }
            }
            (_, other) => match self.eval(expr) {
                Some(value) if value == want => {
                    let value = self.value(name);
                    self.put(SolveKey::Symbol(name), value, Means::Kept, 0)
                }
                _ => self.set_value(expr, name, kind, comparison, other, want),
            },
        }
    }

    /// Both stay as they are.
    fn keep(&mut self, names: [&'a str; 2]) -> ObstacleStep {
        names.into_iter().try_for_each(|name| {
            if self.states.contains_key(&SolveKey::Symbol(name)) {
                return Ok(());
            }
            let value = self.value(name);
            self.put(SolveKey::Symbol(name), value, Means::Kept, 0)
        })
    }

    /// A switch is `y`, `m` or `n`, or is not.
    fn is(&mut self, name: &'a str, text: &str, want: bool) -> ObstacleStep {
        match (text, want) {
            ("y", true) | ("n", false) => self.turn_on(name),
            ("y", false) | ("n", true) => self.turn_off(name),
            ("m", true) => Err(Obstacle::Why(format!(
                "CONFIG_{name} would have to be a module (m), and no module is loaded"
            ))),
            ("m", false) if self.value(name) == Value::Module => self.turn_on(name),
            (_, false) => Ok(()),
            (_, true) => Err(Obstacle::Why(format!("CONFIG_{name} is never {text}"))),
        }
    }

    /// Gives a number or text a value with which `expr` is as wanted.
    fn set_value(
        &mut self,
        expr: &'a Expr,
        name: &'a str,
        kind: SymbolKind,
        comparison: Relation,
        other: &'a Term,
        want: bool,
    ) -> ObstacleStep {
        let other = match other {
            Term::Text(text) => text.clone(),
            Term::Symbol(symbol) => self.value(symbol).as_text().to_string(),
        };
        let now = self.value(name);
        if !self.kconfig.is_defined(name) {
            return Err(Obstacle::Undefined(name.to_string()));
        }
        let fixed = format!(
            "{expr} {} hold, and CONFIG_{name} is {}",
            if want { "must" } else { "must not" },
            now.as_text()
        );
        if self.states.contains_key(&SolveKey::Symbol(name)) {
            return Err(Obstacle::Why(fixed));
        }
        let Some(entry) = self.kconfig.entries_of(name).find(|entry| entry.prompt.is_some()) else {
            return Err(Obstacle::Why(format!("{fixed}, which the build tools decide")));
        };
        let Some(value) = wanted_value(kind, comparison, &other, want) else {
            return Err(Obstacle::Why(fixed));
        };
        self.depends(entry)?;
        if let Some(prompt) = &entry.prompt {
            self.hold(prompt, true)?;
        }
        if let Some((low, high)) = self.out_of_range(entry, &value) {
            return Err(Obstacle::Why(format!(
                "{fixed}; it has to be from {low} to {high} ({})",
                entry.place
            )));
        }
        self.put(SolveKey::Symbol(name), Value::Text(value), Means::Set, COST_ON)
    }

    fn out_of_range(&self, entry: &KconfigEntry, value: &str) -> Option<(String, String)> {
        let (low, high, _) =
            entry.ranges.iter().find(|(_, _, condition)| self.eval(condition) != Some(false))?;
        let text = |term: &Term| match term {
            Term::Text(text) => text.clone(),
            Term::Symbol(symbol) => self.value(symbol).as_text().to_string(),
        };
        let (low, high) = (text(low), text(high));
        let value = number(value)?;
        (value < number(&low)? || value > number(&high)?).then_some((low, high))
    }
}

/// A value with which `comparison` to `other` is as wanted.
fn wanted_value(kind: SymbolKind, comparison: Relation, other: &str, want: bool) -> Option<String> {
    let comparison = match (comparison, want) {
        (comparison, true) => comparison,
        (Relation::Equal, false) => Relation::Unequal,
        (Relation::Unequal, false) => Relation::Equal,
        (Relation::Less, false) => Relation::GreaterOrEqual,
        (Relation::LessOrEqual, false) => Relation::Greater,
        (Relation::Greater, false) => Relation::LessOrEqual,
        (Relation::GreaterOrEqual, false) => Relation::Less,
    };
    let step = match comparison {
        Relation::Equal | Relation::LessOrEqual | Relation::GreaterOrEqual => {
            return Some(other.to_string());
        }
        Relation::Unequal if kind == SymbolKind::Text => return Some(format!("{other}x")),
        Relation::Unequal | Relation::Greater => 1,
        Relation::Less => -1,
    };
    let value = number(other)?.checked_add(step)?;
    Some(if kind == SymbolKind::Hex { format!("{value:#x}") } else { value.to_string() })
}
