//! Finds values of symbols that make a condition true, with few changes to a given configuration. A search with a budget:
//! each symbol is turned on by its prompt, by something that selects it, or by its default, whichever changes least.
//! Nothing is built as a module: `m` counts as off.

mod compare;
mod obstacle;
mod off;
mod on;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::KbuildTree;
use crate::expr::{Expr, Value};
use crate::kconfig::{Kconfig, KconfigEntry, Selector};
use crate::why::Reason;
use obstacle::{Obstacle, ObstacleStep};

/// Conditions looked at in one search: some seconds at most.
const MAX_STEPS: usize = 600_000;
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

impl KbuildTree {
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
        let mut search = Solver {
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

/// A symbol, or the text of an opaque condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum SolveKey<'a> {
    Symbol(&'a str),
    Opaque(&'a str),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SolveState {
    value: Value,
    how: Means,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    Set,
    Follows,
    /// As given, and something relies on it.
    Kept,
}

struct Solver<'a> {
    kconfig: &'a Kconfig,
    arch: &'a str,
    given: &'a dyn Fn(&str) -> Value,
    states: HashMap<SolveKey<'a>, SolveState>,
    /// What each change replaced, for the way back.
    log: Vec<(SolveKey<'a>, Option<SolveState>, usize)>,
    /// Symbols that are being decided.
    busy: Vec<&'a str>,
    cost: usize,
    /// A way that costs this is not followed.
    limit: usize,
    steps: usize,
}

/// A way to turn a symbol on or off.
#[derive(Clone, Copy)]
enum SolveWay<'a> {
    Prompt(&'a KconfigEntry),
    /// The symbol, and what selects it.
    Selected(&'a str, &'a Selector),
    /// The same, by something that only implies it: its own dependencies count too.
    Implied(&'a KconfigEntry, &'a Selector),
    Default(&'a KconfigEntry, usize),
    Hold(&'a Expr, bool),
    On(&'a str),
    Off(&'a str),
    /// Show the prompt and say no.
    Refuse(&'a KconfigEntry),
    Both(&'a str, &'a str, bool),
}

impl<'a> Solver<'a> {
    fn value(&self, name: &str) -> Value {
        match self.states.get(&SolveKey::Symbol(name)) {
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

    fn put(&mut self, key: SolveKey<'a>, value: Value, how: Means, cost: usize) -> ObstacleStep {
        let before = self.states.insert(key, SolveState { value, how });
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
    fn cheapest(&mut self, what: &str, ways: &[SolveWay<'a>]) -> ObstacleStep {
        let (mark, start, limit) = (self.log.len(), self.cost, self.limit);
        let mut best: Option<(usize, Vec<(SolveKey<'a>, SolveState)>)> = None;
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

    fn go(&mut self, way: SolveWay<'a>) -> ObstacleStep {
        match way {
            SolveWay::Prompt(entry) => self.by_prompt(entry),
            SolveWay::Selected(name, selector) => {
                self.turn_on(&selector.symbol)?;
                self.hold(&selector.condition, true)?;
                if self.is_on(name) { Ok(()) } else { self.on(name, Means::Follows, COST_FOLLOWS) }
            }
            SolveWay::Implied(entry, selector) => {
                self.depends(entry)?;
                self.go(SolveWay::Selected(&entry.symbol, selector))
            }
            SolveWay::Default(entry, at) => self.by_default(entry, at),
            SolveWay::Hold(expr, want) => self.hold(expr, want),
            SolveWay::On(symbol) => self.turn_on(symbol),
            SolveWay::Off(symbol) => self.turn_off(symbol),
            SolveWay::Refuse(entry) => {
                if let Some(prompt) = &entry.prompt {
                    self.hold(prompt, true)?;
                }
                self.off(&entry.symbol)
            }
            SolveWay::Both(a, b, on) => {
                for symbol in [a, b] {
                    if on { self.turn_on(symbol)? } else { self.turn_off(symbol)? }
                }
                Ok(())
            }
        }
    }

    /// Counts what is looked at.
    fn step(&mut self) -> ObstacleStep {
        self.steps += 1;
        if self.steps > MAX_STEPS { Err(Obstacle::TooLong) } else { Ok(()) }
    }

    /// Makes `expr` true, or false.
    fn hold(&mut self, expr: &'a Expr, want: bool) -> ObstacleStep {
        self.step()?;
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

    fn all(&mut self, parts: &'a [Expr], want: bool) -> ObstacleStep {
        self.in_order(parts, want).into_iter().try_for_each(|part| self.hold(part, want))
    }

    /// What holds already is pinned before anything is changed; symbols that can be set by hand come before those that they
    /// may select, alternatives come after that, and what holds one symbol against another last.
    fn in_order(&self, parts: &'a [Expr], want: bool) -> Vec<&'a Expr> {
        let mut parts: Vec<&Expr> = parts.iter().collect();
        parts.sort_by_cached_key(|part| match part {
            part if part.compares_symbols() => 4,
            part if self.eval(part) == Some(want) => 0,
            Expr::Symbol(name) if self.kconfig.entries_of(name).any(|entry| entry.prompt.is_some()) => 1,
            Expr::Symbol(_) | Expr::Compare(..) | Expr::Const(_) | Expr::Module | Expr::Opaque(_) => 2,
            Expr::Not(_) | Expr::And(_) | Expr::Or(_) => 3,
        });
        parts
    }

    fn any(&mut self, parts: &'a [Expr], want: bool) -> ObstacleStep {
        let (held, open): (Vec<_>, Vec<_>) = parts.iter().partition(|part| self.eval(part) == Some(want));
        let ways: Vec<_> = held.into_iter().chain(open).map(|part| SolveWay::Hold(part, want)).collect();
        let what = parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" || ");
        self.cheapest(&format!("{what} {}", if want { "hold" } else { "fail" }), &ways)
    }

    fn assume(&mut self, text: &'a str, want: bool) -> ObstacleStep {
        match fixed(self.arch, text) {
            Some(value) if value == want => return Ok(()),
            Some(_) => {
                let never = if want { "never" } else { "always" };
                return Err(Obstacle::Why(format!("{text} {never} holds in built-in code of {}", self.arch)));
            }
            None => {}
        }
        let value = if want { Value::Yes } else { Value::No };
        match self.states.get(&SolveKey::Opaque(text)) {
            Some(state) if state.value != value => {
                Err(Obstacle::Why(format!("{text} would have to hold and not to hold")))
            }
            Some(_) => Ok(()),
            None => self.put(SolveKey::Opaque(text), value, Means::Kept, 0),
        }
    }

    fn assignment(self) -> Assignment {
        let mut assignment = Assignment::default();
        for (key, SolveState { value, how }) in self.states {
            match (key, how) {
                (SolveKey::Opaque(text), _) => {
                    let not = if value == Value::Yes { "" } else { "!" };
                    assignment.assumed.insert(format!("{not}{text}"));
                }
                (SolveKey::Symbol(name), Means::Set) => {
                    assignment.set.insert(name.to_string(), value);
                }
                (SolveKey::Symbol(name), Means::Follows) => {
                    assignment.follows.insert(name.to_string(), value);
                }
                (SolveKey::Symbol(name), Means::Kept) => {
                    assignment.kept.insert(name.to_string(), value);
                }
            }
        }
        assignment
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
