//! Turns symbols off: what selects them, their defaults, and what cannot stay without them.

use super::obstacle::{Obstacle, ObstacleStep, prefixed};
use super::{COST_FOLLOWS, COST_OFF, MAX_DEPTH, Means, SolveKey, SolveWay, Solver};
use crate::expr::Value;
use crate::kconfig::{DefaultLine, KconfigEntry, Selector};

impl<'a> Solver<'a> {
    pub(super) fn turn_off(&mut self, name: &'a str) -> ObstacleStep {
        if let Some(state) = self.states.get(&SolveKey::Symbol(name)) {
            return match state.value {
                Value::Yes => Err(Obstacle::Why(format!("CONFIG_{name} is needed both on and off"))),
                _ => Ok(()),
            };
        }
        if self.value(name) == Value::No {
            return self.put(SolveKey::Symbol(name), Value::No, Means::Kept, 0);
        }
        if self.busy.contains(&name) || self.busy.len() >= MAX_DEPTH {
            return Err(Obstacle::Why(format!("CONFIG_{name} is on because of itself")));
        }
        self.busy.push(name);
        let result = self.without(name);
        self.busy.pop();
        result
    }

    /// Removes each cause for a symbol to be on.
    fn without(&mut self, name: &'a str) -> ObstacleStep {
        let kconfig = self.kconfig;
        for selector in kconfig.selectors(name) {
            self.unselect(name, selector)?;
        }
        if self.is_off(name) {
            return Ok(());
        }
        if !kconfig.kind(name).is_switch() {
            return kconfig.entries_of(name).try_for_each(|entry| self.hold(&entry.depends, false));
        }
        let active: Vec<_> =
            kconfig.entries_of(name).filter(|entry| self.eval(&entry.depends) != Some(false)).collect();
        let choice = active.iter().find_map(|entry| kconfig.choices.get(entry.choice?));
        if let Some(choice) = choice.filter(|choice| !choice.optional) {
            let others = choice.members.iter().filter(|member| *member != name);
            let ways: Vec<_> = others.map(|member| SolveWay::On(member)).collect();
            return self.cheapest(&format!("another choice than CONFIG_{name}"), &ways);
        }
        let shown = |entry: &KconfigEntry| {
            entry.prompt.as_ref().is_some_and(|prompt| self.eval(prompt) == Some(true))
        };
        if !active.iter().any(|entry| shown(entry)) {
            active.iter().try_for_each(|entry| self.undo_default(entry))?;
        }
        if self.is_off(name) { Ok(()) } else { self.off(name) }
    }

    /// Something relies on its being off already.
    fn is_off(&self, name: &str) -> bool {
        self.states.get(&SolveKey::Symbol(name)).is_some_and(|state| state.value == Value::No)
    }

    fn unselect(&mut self, name: &str, selector: &'a Selector) -> ObstacleStep {
        if !self.is_on(&selector.symbol) || self.eval(&selector.condition) == Some(false) {
            return Ok(());
        }
        let ways = [SolveWay::Off(&selector.symbol), SolveWay::Hold(&selector.condition, false)];
        let because = |obstacle| {
            let text = format!("CONFIG_{} selects CONFIG_{name} ({})", selector.symbol, selector.place);
            prefixed(text, obstacle)
        };
        self.cheapest(&format!("CONFIG_{} n", selector.symbol), &ways).map_err(because)
    }

    /// Makes an entry whose prompt is not shown give n.
    fn undo_default(&mut self, entry: &'a KconfigEntry) -> ObstacleStep {
        let default = entry.defaults.iter().find(|default| self.eval(&default.condition) != Some(false));
        let Some(default) = default.filter(|default| self.eval(&default.expr) != Some(false)) else {
            return Ok(());
        };
        let mut ways = vec![
            SolveWay::Hold(&default.expr, false),
            SolveWay::Hold(&default.condition, false),
            SolveWay::Hold(&entry.depends, false),
        ];
        if entry.prompt.is_some() {
            ways.insert(0, SolveWay::Refuse(entry));
        }
        let name = &entry.symbol;
        let because =
            |obstacle| prefixed(format!("CONFIG_{name} is on by default ({})", entry.place), obstacle);
        self.cheapest(&format!("CONFIG_{name} n"), &ways).map_err(because)
    }

    /// Turns a symbol off, and what cannot stay without it.
    pub(super) fn off(&mut self, name: &'a str) -> ObstacleStep {
        let asked = self.kconfig.entries_of(name).any(|entry| entry.prompt.is_some());
        let (how, cost) = if asked { (Means::Set, COST_OFF) } else { (Means::Follows, COST_FOLLOWS) };
        self.put(SolveKey::Symbol(name), Value::No, how, cost)?;
        self.lost(name, name)
    }

    /// Symbols that cannot stay on now that `name` has changed because of `cause`.
    pub(super) fn lost(&mut self, name: &'a str, cause: &'a str) -> ObstacleStep {
        let kconfig = self.kconfig;
        let dependents = kconfig.dependents.get(name).map_or(&[][..], Vec::as_slice);
        let dependents =
            dependents.iter().filter_map(|at| kconfig.entries.get(*at)).map(|entry| &entry.symbol);
        let selected =
            kconfig.entries_of(name).flat_map(|entry| entry.selects.iter().map(|(symbol, _)| symbol));
        for other in dependents.chain(selected) {
            if !self.is_on(other) {
                continue;
            }
            self.step()?;
            if self.stays(other) {
                continue;
            }
            if self.states.contains_key(&SolveKey::Symbol(other)) {
                let cause_is = if self.is_on(cause) { "on" } else { "off" };
                let text = format!("CONFIG_{other} is needed, and goes when CONFIG_{cause} is {cause_is}");
                return Err(Obstacle::Why(text));
            }
            self.put(SolveKey::Symbol(other), Value::No, Means::Follows, COST_FOLLOWS)?;
            self.lost(other, cause)?;
        }
        Ok(())
    }

    /// A symbol that is on has a reason to be so.
    fn stays(&self, name: &str) -> bool {
        let by_entry = |entry: &KconfigEntry| {
            let asked = entry.prompt.as_ref().is_some_and(|prompt| self.eval(prompt) != Some(false));
            let default = |default: &DefaultLine| {
                self.eval(&default.condition) != Some(false) && self.eval(&default.expr) != Some(false)
            };
            self.eval(&entry.depends) != Some(false) && (asked || entry.defaults.iter().any(default))
        };
        let selected = |selector: &Selector| {
            self.is_on(&selector.symbol) && self.eval(&selector.condition) != Some(false)
        };
        self.kconfig.entries_of(name).any(by_entry) || self.kconfig.selectors(name).iter().any(selected)
    }
}
