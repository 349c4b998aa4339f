//! Turns symbols on: by prompt, by what selects or implies them, by default.

use super::obstacle::{Obstacle, ObstacleStep, because, prefixed};
use super::{
    COST_COMPILE_TEST, COST_FOLLOWS, COST_ON, MAX_DEPTH, MAX_SELECTORS, Means, SolveKey, SolveWay, Solver,
};
use crate::expr::{Expr, Value};
use crate::kconfig::{DefaultLine, KconfigEntry};

impl<'a> Solver<'a> {
    pub(super) fn turn_on(&mut self, name: &'a str) -> ObstacleStep {
        if let Some(state) = self.states.get(&SolveKey::Symbol(name)) {
            return match state.value {
                Value::Yes | Value::Text(_) => Ok(()),
                _ => Err(Obstacle::Why(format!("CONFIG_{name} is needed both on and off"))),
            };
        }
        if self.is_on(name) {
            return self.put(SolveKey::Symbol(name), self.value(name), Means::Kept, 0);
        }
        if !self.kconfig.is_defined(name) {
            return Err(Obstacle::Undefined(name.to_string()));
        }
        if self.busy.contains(&name) || self.busy.len() >= MAX_DEPTH {
            return Err(Obstacle::Why(format!("CONFIG_{name} needs itself")));
        }
        let ways = self.ways_on(name);
        if ways.is_empty() {
            return Err(Obstacle::Why(format!("CONFIG_{name} has no prompt, and nothing selects it")));
        }
        self.busy.push(name);
        let result = self.cheapest(&format!("CONFIG_{name} y"), &ways);
        self.busy.pop();
        let asked = self.kconfig.entries_of(name).any(|entry| entry.prompt.is_some());
        let why = |obstacle: Obstacle| match obstacle {
            Obstacle::Why(why) if why.starts_with(&format!("CONFIG_{name} ")) => Obstacle::Why(why),
            obstacle => {
                prefixed(format!("CONFIG_{name} has no prompt, and what could set it cannot be"), obstacle)
            }
        };
        if asked { result } else { result.map_err(why) }
    }

    fn ways_on(&self, name: &'a str) -> Vec<SolveWay<'a>> {
        let kconfig = self.kconfig;
        let mut ways = Vec::new();
        for entry in kconfig.entries_of(name) {
            if !kconfig.kind(name).is_switch() {
                // A number or text has a value as soon as its dependencies hold.
                ways.push(SolveWay::Hold(&entry.depends, true));
                continue;
            }
            if entry.prompt.is_some() || entry.choice.is_some() {
                ways.push(SolveWay::Prompt(entry));
            }
            ways.extend((0..entry.defaults.len()).map(|at| SolveWay::Default(entry, at)));
            if entry.prompt.is_none() {
                let implied = kconfig.implied_by(name).iter().take(MAX_SELECTORS);
                ways.extend(implied.map(|selector| SolveWay::Implied(entry, selector)));
            }
        }
        let mut selectors: Vec<_> = kconfig.selectors(name).iter().collect();
        selectors.sort_by_key(|selector| {
            let prompt = kconfig.entries_of(&selector.symbol).any(|entry| entry.prompt.is_some());
            let symbols = selector.condition.symbols();
            let open = symbols.iter().filter(|name| !self.is_on(name)).count();
            (!self.is_on(&selector.symbol), !prompt, open, symbols.contains("COMPILE_TEST"))
        });
        let selectors = selectors.into_iter().take(MAX_SELECTORS);
        ways.extend(selectors.map(|selector| SolveWay::Selected(name, selector)));
        ways
    }

    pub(super) fn by_prompt(&mut self, entry: &'a KconfigEntry) -> ObstacleStep {
        self.depends(entry)?;
        if let Some(prompt) = &entry.prompt {
            let hidden =
                |obstacle: Obstacle| because(entry, &format!("can be set only with {prompt}"), obstacle);
            self.hold(prompt, true).map_err(hidden)?;
        }
        let cost = if entry.symbol == "COMPILE_TEST" { COST_COMPILE_TEST } else { COST_ON };
        self.choose(entry)?;
        self.on(&entry.symbol, Means::Set, cost)
    }

    /// The other members of its choice are off.
    fn choose(&mut self, entry: &'a KconfigEntry) -> ObstacleStep {
        let Some(choice) = entry.choice.and_then(|at| self.kconfig.choices.get(at)) else { return Ok(()) };
        self.hold(&choice.depends, true)?;
        for member in choice.members.iter().filter(|member| **member != entry.symbol) {
            match self.states.get(&SolveKey::Symbol(member)) {
                Some(state) if state.value == Value::Yes => {
                    let both = format!("CONFIG_{} and CONFIG_{member} are in one choice", entry.symbol);
                    return Err(Obstacle::Why(format!("{both} ({})", entry.place)));
                }
                None if self.is_on(member) => self.off(member)?,
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn depends(&mut self, entry: &'a KconfigEntry) -> ObstacleStep {
        let parts = match &entry.depends {
            Expr::And(parts) => parts.as_slice(),
            one => std::slice::from_ref(one),
        };
        for part in self.in_order(parts, true) {
            let because = |obstacle| because(entry, &format!("depends on {part}"), obstacle);
            self.hold(part, true).map_err(because)?;
        }
        Ok(())
    }

    pub(super) fn by_default(&mut self, entry: &'a KconfigEntry, at: usize) -> ObstacleStep {
        let Some(default) = entry.defaults.get(at) else { return Ok(()) };
        // What the tools answered is known: the default was computed, and is off.
        let tried = entry.prompt.is_none()
            && entry.depends.holds(self.given) == Some(true)
            && (self.given)(&entry.symbol) != Value::Yes;
        if tried && self.eval(&default.expr).is_none() && self.eval(&default.condition) != Some(false) {
            let text = format!("CONFIG_{} is what the build tools say", entry.symbol);
            return Err(Obstacle::Why(format!("{text}: {} is n here ({})", default.expr, entry.place)));
        }
        self.depends(entry)?;
        self.default_counts(&entry.defaults, at)?;
        self.hold(&default.condition, true)?;
        self.hold(&default.expr, true)?;
        // A value in the .config would win over the default where there is a prompt.
        let how = if entry.prompt.is_some() { Means::Set } else { Means::Follows };
        self.on(&entry.symbol, how, COST_FOLLOWS)
    }

    /// The first default whose condition holds is the one that counts.
    fn default_counts(&mut self, defaults: &'a [DefaultLine], at: usize) -> ObstacleStep {
        for before in defaults.iter().take(at) {
            self.hold(&before.condition, false)?;
        }
        Ok(())
    }

    /// Turns a symbol on, and what it selects; what depends on its being off goes.
    pub(super) fn on(&mut self, name: &'a str, how: Means, cost: usize) -> ObstacleStep {
        self.put(SolveKey::Symbol(name), Value::Yes, how, cost)?;
        let kconfig = self.kconfig;
        for entry in kconfig.entries_of(name) {
            if self.eval(&entry.depends) == Some(false) {
                continue;
            }
            for (selected, condition) in &entry.selects {
                if self.eval(condition) == Some(true) && kconfig.is_defined(selected) {
                    self.select(entry, selected)?;
                }
            }
        }
        self.lost(name, name)
    }

    fn select(&mut self, entry: &'a KconfigEntry, selected: &'a str) -> ObstacleStep {
        match self.states.get(&SolveKey::Symbol(selected)) {
            Some(state) if state.value == Value::Yes => Ok(()),
            Some(_) => {
                let text = format!("CONFIG_{} selects CONFIG_{selected}, which has to be off", entry.symbol);
                Err(Obstacle::Why(format!("{text} ({})", entry.place)))
            }
            None if self.is_on(selected) => Ok(()),
            None => self.on(selected, Means::Follows, COST_FOLLOWS),
        }
    }
}
