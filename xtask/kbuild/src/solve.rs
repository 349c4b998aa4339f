//! Finds values of symbols that make a condition true, with few changes to a given configuration. A search with a budget:
//! each symbol is turned on by its prompt, by something that selects it, or by its default, whichever changes least.
//! Nothing is built as a module: `m` counts as off.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::Tree;
use crate::expr::{Comparison, Expr, Term, Value, number};
use crate::kconfig::{DefaultLine, Entry, Kconfig, Kind, Selector};
use crate::why::Reason;

/// Conditions looked at in one search: less than a second.
const MAX_STEPS: usize = 60_000;
/// Symbols that depend on each other in a row.
const MAX_DEPTH: usize = 100;
/// Symbols that select the same one and are tried.
const MAX_SELECTORS: usize = 12;

const COST_ON: usize = 4;
const COST_OFF: usize = 6;
/// Turned on or off by another change.
const COST_FOLLOWS: usize = 1;
/// COMPILE_TEST shows drivers for other machines and changes defaults: the way out, not the first choice.
const COST_COMPILE_TEST: usize = 12;

/// What to set, and what comes with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// To be written into the .config. Without `CONFIG_`.
    pub set: BTreeMap<String, Value>,
    /// What Kconfig then changes by itself: selected symbols, and those that lose what they depend on.
    pub follows: BTreeMap<String, Value>,
    /// The symbols that were asked for, or are needed, and are as they should be already.
    pub kept: BTreeMap<String, Value>,
    /// Opaque conditions that were taken to hold (`!` before those that must not).
    pub assumed: BTreeSet<String>,
}

impl Tree {
    /// Values that should make `want` true, changing as little of `given` (a complete .config) as is found.
    ///
    /// # Errors
    /// Why there are none: an unknown symbol, a contradiction, or a search that was given up.
    pub fn solve(&self, want: &Expr, given: &dyn Fn(&str) -> Value) -> Result<Assignment, Reason> {
        let first = self.search(want, given);
        match (first, want) {
            // What is pinned first decides: try it the other way round.
            (Err(reason), Expr::And(parts)) => {
                let reversed = Expr::And(parts.iter().rev().cloned().collect());
                self.search(&reversed, given).map_err(|_| reason)
            }
            (result, _) => result,
        }
    }

    fn search(&self, want: &Expr, given: &dyn Fn(&str) -> Value) -> Result<Assignment, Reason> {
        let mut search = Search {
            kconfig: &self.kconfig,
            arch: &self.srcarch,
            given,
            states: HashMap::new(),
            log: Vec::new(),
            busy: Vec::new(),
            cost: 0,
            limit: usize::MAX,
            steps: 0,
        };
        match search.hold(want, true) {
            Ok(()) => Ok(search.assignment()),
            Err(obstacle) => Err(Reason { text: obstacle.text() }),
        }
    }
}

/// Why a way does not lead on.
#[derive(Debug, Clone)]
enum Obstacle {
    Undefined(String),
    Why(String),
    /// A cheaper way is known.
    Dear,
    TooLong,
}

impl Obstacle {
    fn text(&self) -> String {
        match self {
            Obstacle::Undefined(symbol) => format!("CONFIG_{symbol} is not defined for this architecture"),
            Obstacle::Why(text) => text.clone(),
            Obstacle::Dear => "another way is cheaper".into(),
            Obstacle::TooLong => format!("no answer within {MAX_STEPS} steps"),
        }
    }
}

type Step = Result<(), Obstacle>;

/// A symbol, or the text of an opaque condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'a> {
    Symbol(&'a str),
    Opaque(&'a str),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    value: Value,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Set,
    Follows,
    /// As given, and something relies on it.
    Kept,
}

struct Search<'a> {
    kconfig: &'a Kconfig,
    arch: &'a str,
    given: &'a dyn Fn(&str) -> Value,
    states: HashMap<Key<'a>, State>,
    /// What each change replaced, for the way back.
    log: Vec<(Key<'a>, Option<State>, usize)>,
    /// Symbols that are being decided.
    busy: Vec<&'a str>,
    cost: usize,
    /// A way that costs this is not followed.
    limit: usize,
    steps: usize,
}

/// A way to turn a symbol on or off.
#[derive(Clone, Copy)]
enum Way<'a> {
    Prompt(&'a Entry),
    /// The symbol, and what selects it.
    Selected(&'a str, &'a Selector),
    /// The same, by something that only implies it: its own dependencies count too.
    Implied(&'a Entry, &'a Selector),
    Default(&'a Entry, usize),
    Hold(&'a Expr, bool),
    On(&'a str),
    Off(&'a str),
    /// Show the prompt and say no.
    Refuse(&'a Entry),
    Both(&'a str, &'a str, bool),
}

impl<'a> Search<'a> {
    fn value(&self, name: &str) -> Value {
        match self.states.get(&Key::Symbol(name)) {
            Some(state) => state.value.clone(),
            None => (self.given)(name),
        }
    }

    fn eval(&self, expr: &Expr) -> Option<bool> {
        expr.holds(&|name| self.value(name))
    }

    fn is_on(&self, name: &str) -> bool {
        matches!(self.value(name), Value::Yes | Value::Text(_))
    }

    fn put(&mut self, key: Key<'a>, value: Value, how: How, cost: usize) -> Step {
        let before = self.states.insert(key, State { value, how });
        self.log.push((key, before, self.cost));
        self.cost += cost;
        if self.cost >= self.limit { Err(Obstacle::Dear) } else { Ok(()) }
    }

    fn back_to(&mut self, mark: usize) {
        while self.log.len() > mark {
            let Some((key, before, cost)) = self.log.pop() else { return };
            self.cost = cost;
            match before {
                Some(state) => self.states.insert(key, state),
                None => self.states.remove(&key),
            };
        }
    }

    /// Follows the way that costs least; the obstacle is that of the first one.
    fn cheapest(&mut self, what: &str, ways: &[Way<'a>]) -> Step {
        let (mark, start, limit) = (self.log.len(), self.cost, self.limit);
        let mut best: Option<(usize, Vec<(Key<'a>, State)>)> = None;
        let mut obstacle: Option<Obstacle> = None;
        for way in ways {
            let result = self.go(*way);
            match result {
                Ok(()) => {
                    let changed = self.log[mark..].iter().map(|(key, _, _)| *key);
                    let states = changed.filter_map(|key| Some((key, self.states.get(&key)?.clone())));
                    best = Some((self.cost, states.collect()));
                    self.limit = self.cost;
                }
                Err(Obstacle::Dear) => {}
                Err(found) => obstacle = obstacle.or(Some(found)),
            }
            self.back_to(mark);
            self.cost = start;
            if matches!(best, Some((cost, _)) if cost == start) || self.steps > MAX_STEPS {
                break;
            }
        }
        self.limit = limit;
        let Some((cost, states)) = best else {
            let nothing = Obstacle::Why(format!("nothing can make {what}"));
            return Err(match obstacle {
                Some(obstacle) => obstacle,
                None if start >= limit || !ways.is_empty() => Obstacle::Dear,
                None => nothing,
            });
        };
        for (key, state) in states {
            self.put(key, state.value, state.how, 0)?;
        }
        self.cost = cost;
        if self.cost >= self.limit { Err(Obstacle::Dear) } else { Ok(()) }
    }

    fn go(&mut self, way: Way<'a>) -> Step {
        match way {
            Way::Prompt(entry) => self.by_prompt(entry),
            Way::Selected(name, selector) => {
                self.turn_on(&selector.symbol)?;
                self.hold(&selector.condition, true)?;
                if self.is_on(name) { Ok(()) } else { self.on(name, How::Follows, COST_FOLLOWS) }
            }
            Way::Implied(entry, selector) => {
                self.depends(entry)?;
                self.go(Way::Selected(&entry.symbol, selector))
            }
            Way::Default(entry, at) => self.by_default(entry, at),
            Way::Hold(expr, want) => self.hold(expr, want),
            Way::On(symbol) => self.turn_on(symbol),
            Way::Off(symbol) => self.turn_off(symbol),
            Way::Refuse(entry) => {
                if let Some(prompt) = &entry.prompt {
                    self.hold(prompt, true)?;
                }
                self.off(&entry.symbol)
            }
            Way::Both(a, b, on) => {
                for symbol in [a, b] {
                    if on { self.turn_on(symbol)? } else { self.turn_off(symbol)? }
                }
                Ok(())
            }
        }
    }

    /// Makes `expr` true, or false.
    fn hold(&mut self, expr: &'a Expr, want: bool) -> Step {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(Obstacle::TooLong);
        }
        match (expr, want) {
            (Expr::Const(value), _) if *value == want => Ok(()),
            (Expr::Const(_), _) => Err(Obstacle::Why("it never holds".into())),
            (Expr::Module, false) => Ok(()),
            (Expr::Module, true) => {
                Err(Obstacle::Why("it can be a module only (m), and no module is loaded".into()))
            }
            (Expr::Symbol(name), true) => self.turn_on(name),
            (Expr::Symbol(name), false) => self.turn_off(name),
            (Expr::Not(inner), _) => self.hold(inner, !want),
            (Expr::And(parts), true) | (Expr::Or(parts), false) => self.all(parts, want),
            (Expr::Or(parts), true) | (Expr::And(parts), false) => self.any(parts, want),
            (Expr::Compare(left, comparison, right), _) => self.compare(expr, left, *comparison, right, want),
            (Expr::Opaque(text), _) => self.assume(text, want),
        }
    }

    fn all(&mut self, parts: &'a [Expr], want: bool) -> Step {
        self.in_order(parts, want).into_iter().try_for_each(|part| self.hold(part, want))
    }

    /// What holds already is pinned before anything is changed; symbols that can be set by hand come before those that they
    /// may select, and alternatives come last.
    fn in_order(&self, parts: &'a [Expr], want: bool) -> Vec<&'a Expr> {
        let mut parts: Vec<&Expr> = parts.iter().collect();
        parts.sort_by_cached_key(|part| match part {
            part if self.eval(part) == Some(want) => 0,
            Expr::Symbol(name) if self.kconfig.entries_of(name).any(|entry| entry.prompt.is_some()) => 1,
            Expr::Symbol(_) | Expr::Compare(..) | Expr::Const(_) | Expr::Module | Expr::Opaque(_) => 2,
            Expr::Not(_) | Expr::And(_) | Expr::Or(_) => 3,
        });
        parts
    }

    fn any(&mut self, parts: &'a [Expr], want: bool) -> Step {
        let (held, open): (Vec<_>, Vec<_>) = parts.iter().partition(|part| self.eval(part) == Some(want));
        let ways: Vec<_> = held.into_iter().chain(open).map(|part| Way::Hold(part, want)).collect();
        let what = parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" || ");
        self.cheapest(&format!("{what} {}", if want { "hold" } else { "fail" }), &ways)
    }

    fn assume(&mut self, text: &'a str, want: bool) -> Step {
        match fixed(self.arch, text) {
            Some(value) if value == want => return Ok(()),
            Some(_) => {
                let never = if want { "never" } else { "always" };
                return Err(Obstacle::Why(format!("{text} {never} holds in built-in code of {}", self.arch)));
            }
            None => {}
        }
        let value = if want { Value::Yes } else { Value::No };
        match self.states.get(&Key::Opaque(text)) {
            Some(state) if state.value != value => {
                Err(Obstacle::Why(format!("{text} would have to hold and not to hold")))
            }
            Some(_) => Ok(()),
            None => self.put(Key::Opaque(text), value, How::Kept, 0),
        }
    }

    fn turn_on(&mut self, name: &'a str) -> Step {
        if let Some(state) = self.states.get(&Key::Symbol(name)) {
            return match state.value {
                Value::Yes | Value::Text(_) => Ok(()),
                _ => Err(Obstacle::Why(format!("CONFIG_{name} is needed both on and off"))),
            };
        }
        if self.is_on(name) {
            return self.put(Key::Symbol(name), self.value(name), How::Kept, 0);
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

    fn ways_on(&self, name: &'a str) -> Vec<Way<'a>> {
        let kconfig = self.kconfig;
        let mut ways = Vec::new();
        for entry in kconfig.entries_of(name) {
            if !kconfig.kind(name).is_switch() {
                // A number or text has a value as soon as its dependencies hold.
                ways.push(Way::Hold(&entry.depends, true));
                continue;
            }
            if entry.prompt.is_some() || entry.choice.is_some() {
                ways.push(Way::Prompt(entry));
            }
            ways.extend((0..entry.defaults.len()).map(|at| Way::Default(entry, at)));
            if entry.prompt.is_none() {
                let implied = kconfig.implied_by(name).iter().take(MAX_SELECTORS);
                ways.extend(implied.map(|selector| Way::Implied(entry, selector)));
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
        ways.extend(selectors.map(|selector| Way::Selected(name, selector)));
        ways
    }

    fn by_prompt(&mut self, entry: &'a Entry) -> Step {
        self.depends(entry)?;
        if let Some(prompt) = &entry.prompt {
            let hidden = |obstacle: Obstacle| {
                self::because(entry, &format!("can be set only with {prompt}"), obstacle)
            };
            self.hold(prompt, true).map_err(hidden)?;
        }
        let cost = if entry.symbol == "COMPILE_TEST" { COST_COMPILE_TEST } else { COST_ON };
        if let Some(choice) = entry.choice.and_then(|at| self.kconfig.choices.get(at)) {
            self.hold(&choice.depends, true)?;
            for member in choice.members.iter().filter(|member| **member != entry.symbol) {
                match self.states.get(&Key::Symbol(member)) {
                    Some(state) if state.value == Value::Yes => {
                        let both = format!("CONFIG_{} and CONFIG_{member} are in one choice", entry.symbol);
                        return Err(Obstacle::Why(format!("{both} ({})", entry.place)));
                    }
                    Some(_) => {}
                    None if self.is_on(member) => self.off(member)?,
                    None => {}
                }
            }
        }
        self.on(&entry.symbol, How::Set, cost)
    }

    fn depends(&mut self, entry: &'a Entry) -> Step {
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

    fn by_default(&mut self, entry: &'a Entry, at: usize) -> Step {
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
        let how = if entry.prompt.is_some() { How::Set } else { How::Follows };
        self.on(&entry.symbol, how, COST_FOLLOWS)
    }

    /// The first default whose condition holds is the one that counts.
    fn default_counts(&mut self, defaults: &'a [DefaultLine], at: usize) -> Step {
        for before in defaults.iter().take(at) {
            self.hold(&before.condition, false)?;
        }
        Ok(())
    }

    /// Turns a symbol on, and what it selects.
    fn on(&mut self, name: &'a str, how: How, cost: usize) -> Step {
        self.put(Key::Symbol(name), Value::Yes, how, cost)?;
        let kconfig = self.kconfig;
        for entry in kconfig.entries_of(name).filter(|entry| !entry.selects.is_empty()) {
            if self.eval(&entry.depends) == Some(false) {
                continue;
            }
            for (selected, condition) in &entry.selects {
                if self.eval(condition) != Some(true) || !kconfig.is_defined(selected) {
                    continue;
                }
                match self.states.get(&Key::Symbol(selected)) {
                    Some(state) if state.value == Value::Yes => {}
                    Some(_) => {
                        let text = format!("CONFIG_{name} selects CONFIG_{selected}, which has to be off");
                        return Err(Obstacle::Why(format!("{text} ({})", entry.place)));
                    }
                    None if self.is_on(selected) => {}
                    None => self.on(selected, How::Follows, COST_FOLLOWS)?,
                }
            }
        }
        Ok(())
    }

    fn turn_off(&mut self, name: &'a str) -> Step {
        if let Some(state) = self.states.get(&Key::Symbol(name)) {
            return match state.value {
                Value::Yes => Err(Obstacle::Why(format!("CONFIG_{name} is needed both on and off"))),
                _ => Ok(()),
            };
        }
        if self.value(name) == Value::No {
            return self.put(Key::Symbol(name), Value::No, How::Kept, 0);
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
    fn without(&mut self, name: &'a str) -> Step {
        let kconfig = self.kconfig;
        for selector in kconfig.selectors(name) {
            if self.is_on(&selector.symbol) && self.eval(&selector.condition) != Some(false) {
                let ways = [Way::Off(&selector.symbol), Way::Hold(&selector.condition, false)];
                let because = |obstacle| {
                    let text =
                        format!("CONFIG_{} selects CONFIG_{name} ({})", selector.symbol, selector.place);
                    prefixed(text, obstacle)
                };
                self.cheapest(&format!("CONFIG_{} n", selector.symbol), &ways).map_err(because)?;
            }
        }
        if self.states.get(&Key::Symbol(name)).is_some_and(|state| state.value == Value::No) {
            return Ok(());
        }
        if !kconfig.kind(name).is_switch() {
            return kconfig.entries_of(name).try_for_each(|entry| self.hold(&entry.depends, false));
        }
        let active: Vec<_> =
            kconfig.entries_of(name).filter(|entry| self.eval(&entry.depends) != Some(false)).collect();
        if let Some(choice) = active.iter().find_map(|entry| kconfig.choices.get(entry.choice?)) {
            if !choice.optional {
                let others = choice.members.iter().filter(|member| *member != name);
                let ways: Vec<_> = others.map(|member| Way::On(member)).collect();
                return self.cheapest(&format!("another choice than CONFIG_{name}"), &ways);
            }
        }
        let asked = active
            .iter()
            .any(|entry| matches!(&entry.prompt, Some(prompt) if self.eval(prompt) == Some(true)));
        for entry in active.iter().filter(|_| !asked) {
            let default = entry.defaults.iter().find(|default| self.eval(&default.condition) != Some(false));
            let Some(default) = default.filter(|default| self.eval(&default.expr) != Some(false)) else {
                continue;
            };
            let mut ways = vec![
                Way::Hold(&default.expr, false),
                Way::Hold(&default.condition, false),
                Way::Hold(&entry.depends, false),
            ];
            if entry.prompt.is_some() {
                ways.insert(0, Way::Refuse(entry));
            }
            let because =
                |obstacle| prefixed(format!("CONFIG_{name} is on by default ({})", entry.place), obstacle);
            self.cheapest(&format!("CONFIG_{name} n"), &ways).map_err(because)?;
        }
        match self.states.get(&Key::Symbol(name)) {
            Some(state) if state.value == Value::No => Ok(()),
            _ => self.off(name),
        }
    }

    /// Turns a symbol off, and what cannot stay without it.
    fn off(&mut self, name: &'a str) -> Step {
        let asked = self.kconfig.entries_of(name).any(|entry| entry.prompt.is_some());
        let (how, cost) = if asked { (How::Set, COST_OFF) } else { (How::Follows, COST_FOLLOWS) };
        self.put(Key::Symbol(name), Value::No, how, cost)?;
        self.lost(name, name)
    }

    /// Symbols that `name` (off now because of `cause`) kept on.
    fn lost(&mut self, name: &'a str, cause: &'a str) -> Step {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(Obstacle::TooLong);
        }
        let kconfig = self.kconfig;
        let dependents = kconfig.dependents.get(name).map_or(&[][..], Vec::as_slice);
        let dependents =
            dependents.iter().filter_map(|at| kconfig.entries.get(*at)).map(|entry| &entry.symbol);
        let selected =
            kconfig.entries_of(name).flat_map(|entry| entry.selects.iter().map(|(symbol, _)| symbol));
        for other in dependents.chain(selected) {
            if !self.is_on(other) || self.stays(other) {
                continue;
            }
            if self.states.contains_key(&Key::Symbol(other)) {
                return Err(Obstacle::Why(format!(
                    "CONFIG_{other} is needed, and goes when CONFIG_{cause} is off"
                )));
            }
            self.put(Key::Symbol(other), Value::No, How::Follows, COST_FOLLOWS)?;
            self.lost(other, cause)?;
        }
        Ok(())
    }

    /// A symbol that is on has a reason to be so.
    fn stays(&self, name: &str) -> bool {
        let by_entry = |entry: &Entry| {
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

    fn compare(
        &mut self,
        expr: &'a Expr,
        left: &'a Term,
        comparison: Comparison,
        right: &'a Term,
        want: bool,
    ) -> Step {
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
            (Comparison::Equal, Term::Text(text)) if kind.is_switch() => self.is(name, text, want),
            (Comparison::Unequal, Term::Text(text)) if kind.is_switch() => self.is(name, text, !want),
            (Comparison::Equal | Comparison::Unequal, Term::Symbol(other)) if kind.is_switch() => {
                if (comparison == Comparison::Equal) == want {
                    return match self.eval(expr) {
                        Some(value) if value == want => Ok(()),
                        _ => self.cheapest(
                            &format!("{expr} hold"),
                            &[Way::Both(name, other, true), Way::Both(name, other, false)],
                        ),
                    };
                }
                match self.eval(expr) {
                    Some(value) if value == want => Ok(()),
                    _ => self.cheapest(&format!("{expr} fail"), &[Way::On(name), Way::On(other)]),
                }
            }
            (_, other) => match self.eval(expr) {
                Some(value) if value == want => {
                    let value = self.value(name);
                    self.put(Key::Symbol(name), value, How::Kept, 0)
                }
                _ => self.set_value(expr, name, kind, comparison, other, want),
            },
        }
    }

    /// A switch is `y`, `m` or `n`, or is not.
    fn is(&mut self, name: &'a str, text: &str, want: bool) -> Step {
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
        kind: Kind,
        comparison: Comparison,
        other: &'a Term,
        want: bool,
    ) -> Step {
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
        if self.states.contains_key(&Key::Symbol(name)) {
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
        self.put(Key::Symbol(name), Value::Text(value), How::Set, COST_ON)
    }

    fn out_of_range(&self, entry: &Entry, value: &str) -> Option<(String, String)> {
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

    fn assignment(self) -> Assignment {
        let mut assignment = Assignment::default();
        for (key, State { value, how }) in self.states {
            match (key, how) {
                (Key::Opaque(text), _) => {
                    let not = if value == Value::Yes { "" } else { "!" };
                    assignment.assumed.insert(format!("{not}{text}"));
                }
                (Key::Symbol(name), How::Set) => {
                    assignment.set.insert(name.to_string(), value);
                }
                (Key::Symbol(name), How::Follows) => {
                    assignment.follows.insert(name.to_string(), value);
                }
                (Key::Symbol(name), How::Kept) => {
                    assignment.kept.insert(name.to_string(), value);
                }
            }
        }
        assignment
    }
}

/// A value with which `comparison` to `other` is as wanted.
fn wanted_value(kind: Kind, comparison: Comparison, other: &str, want: bool) -> Option<String> {
    let comparison = match (comparison, want) {
        (comparison, true) => comparison,
        (Comparison::Equal, false) => Comparison::Unequal,
        (Comparison::Unequal, false) => Comparison::Equal,
        (Comparison::Less, false) => Comparison::GreaterOrEqual,
        (Comparison::LessOrEqual, false) => Comparison::Greater,
        (Comparison::Greater, false) => Comparison::LessOrEqual,
        (Comparison::GreaterOrEqual, false) => Comparison::Less,
    };
    let step = match comparison {
        Comparison::Equal | Comparison::LessOrEqual | Comparison::GreaterOrEqual => {
            return Some(other.to_string());
        }
        Comparison::Unequal if kind == Kind::Text => return Some(format!("{other}x")),
        Comparison::Unequal | Comparison::Greater => 1,
        Comparison::Less => -1,
    };
    let value = number(other)?.checked_add(step)?;
    Some(if kind == Kind::Hex { format!("{value:#x}") } else { value.to_string() })
}

fn because(entry: &Entry, what: &str, obstacle: Obstacle) -> Obstacle {
    match obstacle {
        Obstacle::Undefined(symbol) => Obstacle::Why(format!(
            "CONFIG_{} depends on {symbol}, which this architecture does not define ({})",
            entry.symbol, entry.place
        )),
        obstacle => prefixed(format!("CONFIG_{} {what} ({})", entry.symbol, entry.place), obstacle),
    }
}

/// Longer chains say no more.
const MAX_TEXT: usize = 600;

fn prefixed(text: String, obstacle: Obstacle) -> Obstacle {
    match obstacle {
        Obstacle::Dear | Obstacle::TooLong => obstacle,
        Obstacle::Why(why) if why.len() > MAX_TEXT => Obstacle::Why(why),
        obstacle => Obstacle::Why(format!("{text}: {}", obstacle.text())),
    }
}

/// Macros whose value is known for built-in C code of an architecture.
fn fixed(arch: &str, text: &str) -> Option<bool> {
    let name = text.strip_prefix("defined(").and_then(|text| text.strip_suffix(')')).unwrap_or(text).trim();
    Some(match name {
        "__KERNEL__" | "__GNUC__" | "__linux__" => true,
        "MODULE" | "__ASSEMBLY__" | "__ASSEMBLER__" | "__CHECKER__" | "__GENKSYMS__" | "__cplusplus"
        | "__KERNEL__0" | "BUILD_VDSO" | "__BPF__" | "__bpf__" => false,
        "__x86_64__" | "__i386__" if arch != "x86" => false,
        "__aarch64__" if arch != "arm64" => false,
        "__powerpc__" | "__powerpc64__" if arch != "powerpc" => false,
        _ => return None,
    })
}
