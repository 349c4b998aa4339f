//! Makefiles of Kbuild as guarded assignments: which words a variable may hold, each with its condition. Recipes and rules
//! are passed over, nothing is executed; what only make could compute is an opaque condition. [`expand`](crate::expand)
//! computes what is in `$(…)`.

use std::cell::{Cell, RefCell};

use crate::expand::{Alternative, alternatives, equal, list};
use crate::expr::{Expr, Term};
use crate::file::{self, TreeFiles};
use crate::kconfig::Kconfig;

/// `include` in `include`.
const MAX_NESTING: usize = 8;
/// amdgpu's Makefiles together have about 2,000.
const MAX_ASSIGNMENTS: usize = 20_000;

/// Texts that are expanded. amdgpu and what it includes take fewer than 10,000.
const MAX_WORK: usize = 50_000;

/// The Makefiles of one directory.
pub(crate) struct Makefile<'t> {
    pub kconfig: &'t Kconfig,
    pub arch: &'t str,
    /// Relative to the tree's top.
    pub folder: String,
    pub assignments: Vec<MakeAssignment>,
    files: &'t TreeFiles,
    /// Conditions of the `if…` lines around the line.
    guards: Vec<Guard>,
    /// Only conditions of symbols count. The top Makefile asks much else: goals, tools, external modules.
    pub only_symbols: bool,
    /// Variables that are being expanded: `x := a $(x)` ends.
    pub expanding: RefCell<Vec<String>>,
    /// Expansions that are left.
    work: Cell<usize>,
}

pub(crate) struct MakeAssignment {
    /// The names that it may have: `obj-$(CONFIG_X)` is `obj-y` under X.
    pub names: Vec<Alternative>,
    pub value: String,
    /// `+=`.
    pub appends: bool,
    pub guard: Expr,
}

struct Guard {
    now: Expr,
    /// An arm before it was taken.
    before: Expr,
}

impl<'t> Makefile<'t> {
    pub fn new(files: &'t TreeFiles, kconfig: &'t Kconfig, arch: &'t str, folder: &str) -> Self {
        let folder = folder.to_string();
        Makefile {
            kconfig,
            arch,
            folder,
            assignments: Vec::new(),
            files,
            guards: Vec::new(),
            only_symbols: false,
            expanding: RefCell::default(),
            work: Cell::new(MAX_WORK),
        }
    }

    /// Adds the assignments of a file. False if there is no such file.
    pub fn read(&mut self, path: &str) -> bool {
        self.read_nested(path, 0)
    }

    fn read_nested(&mut self, path: &str, depth: usize) -> bool {
        let Some(text) = self.files.text(path) else { return false };
        let outside = self.guards.len();
        let (mut in_rule, mut in_define) = (false, false);
        for line in logical_lines(&text) {
            let words = line.trim_start();
            let (first, rest) = words.split_once([' ', '\t']).unwrap_or((words, ""));
            if in_define || first == "define" {
                in_define = first != "endef";
            } else if self.conditional(first, rest.trim(), outside) {
                in_rule &= line.starts_with('\t');
            } else if line.starts_with('\t') && in_rule {
                // A recipe.
            } else if matches!(first, "include" | "-include" | "sinclude") {
                if depth < MAX_NESTING {
                    for (path, condition) in list(self, rest, 0) {
                        self.guards.push(Guard { now: condition, before: Expr::Const(true) });
                        if let Some(path) = file::inside(&path) {
                            self.read_nested(&path, depth + 1);
                        }
                        self.guards.pop();
                    }
                }
            } else if let Some((name, operator, value)) = assignment(words) {
                in_rule = false;
                self.assign(name, operator, value);
            } else if !words.is_empty() {
                in_rule = words.contains(':');
            }
        }
        self.guards.truncate(outside);
        true
    }

    /// `ifeq` and its kind; false for other lines.
    fn conditional(&mut self, first: &str, rest: &str, outside: usize) -> bool {
        // `ifeq(` needs no space in make.
        let (first, rest) = match first.split_once('(') {
            Some((word @ ("ifeq" | "ifneq"), _)) => (word, ""),
            _ => (first, rest),
        };
        match first {
            "ifeq" | "ifneq" | "ifdef" | "ifndef" => {
                let ignored = self.only_symbols && !rest.contains("CONFIG_");
                let now = if ignored { Expr::Const(true) } else { self.test(first, rest) };
                let before = if ignored { Expr::Const(false) } else { now.clone() };
                self.guards.push(Guard { now, before });
            }
            "else" if self.guards.len() > outside => {
                let (word, rest) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
                let test = if word.starts_with("if") { self.test(word, rest) } else { Expr::Const(true) };
                if let Some(guard) = self.guards.last_mut() {
                    guard.now = Expr::and([Expr::not(guard.before.clone()), test.clone()]);
                    guard.before = Expr::or([guard.before.clone(), test]);
                }
            }
            "endif" if self.guards.len() > outside => {
                self.guards.pop();
            }
            _ => return false,
        }
        true
    }

    fn test(&self, word: &str, rest: &str) -> Expr {
        let (test, negated) = match word {
            "ifeq" => (self.equality(rest), false),
            "ifneq" => (self.equality(rest), true),
            "ifdef" => (self.defined(rest.trim()), false),
            "ifndef" => (self.defined(rest.trim()), true),
            _ => (Expr::Opaque(format!("{word} {rest}")), false),
        };
        if negated { Expr::not(test) } else { test }
    }

    /// `(a,b)`, or `"a" "b"`.
    fn equality(&self, text: &str) -> Expr {
        let opaque = || Expr::Opaque(format!("ifeq {text}"));
        let Some(inner) = text.strip_prefix('(') else { return opaque() };
        let inner = inner.trim_end();
        let inner = inner.strip_suffix(')').unwrap_or(inner);
        let parts = split(inner, ',');
        let [a, b] = parts.as_slice() else { return opaque() };
        let mut any = Vec::new();
        for a in alternatives(self, a.trim(), 0) {
            for b in alternatives(self, b.trim(), 0) {
                any.push(Expr::and([a.condition.clone(), b.condition, equal(&a.text, &b.text, &opaque)]));
            }
        }
        Expr::or(any)
    }

    fn defined(&self, name: &str) -> Expr {
        let text = format!("$({name})");
        let filled = |found: Alternative| match equal(found.text.trim(), "", &|| {
            Expr::Opaque(format!("ifdef {name}"))
        }) {
            Expr::Const(empty) => Expr::and([found.condition, Expr::Const(!empty)]),
            test => Expr::and([found.condition, Expr::not(test)]),
        };
        Expr::or(alternatives(self, &text, 0).into_iter().map(filled))
    }

    fn assign(&mut self, name: &str, operator: &str, value: &str) {
        if self.assignments.len() >= MAX_ASSIGNMENTS {
            return;
        }
        let names = alternatives(self, name, 0);
        let guard = Expr::and(self.guards.iter().map(|guard| guard.now.clone()));
        if guard == Expr::Const(false) {
            return;
        }
        let appends = operator == "+=";
        self.assignments.push(MakeAssignment { names, value: value.to_string(), appends, guard });
    }

    /// False when this Makefile has cost enough: what is left of it is unknown.
    pub fn may_expand(&self) -> bool {
        let left = self.work.get();
        self.work.set(left.saturating_sub(1));
        left > 0
    }

    /// Type of a symbol; unknown ones count as switches.
    pub fn is_switch(&self, symbol: &str) -> bool {
        self.kconfig.kind(symbol).is_switch()
    }
}

/// A symbol's value compared with a constant.
pub(crate) fn compared(symbol: &str, text: &str) -> Expr {
    let text = text.trim_matches('"').to_string();
    Expr::Compare(Term::Symbol(symbol.into()), crate::expr::Relation::Equal, Term::Text(text))
}

/// Lines with continuations joined and comments cut off.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut whole = String::new();
    for line in text.lines() {
        match line.strip_suffix('\\') {
            Some(part) => {
                whole.push_str(part);
                whole.push(' ');
            }
            None => {
                whole.push_str(line);
                lines.push(without_comment(&whole).to_string());
                whole.clear();
            }
        }
    }
    lines.push(without_comment(&whole).to_string());
    lines
}

fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if c == '#' && before != '\\' {
            return &line[..at];
        }
        before = c;
    }
    line
}

/// `name op value`; `None` for rules and everything else.
fn assignment(line: &str) -> Option<(&str, &str, &str)> {
    let line =
        line.strip_prefix("export ").or_else(|| line.strip_prefix("override ")).unwrap_or(line).trim_start();
    let at = top_level(line, |c| c == '=' || c == ':')?;
    let (left, right) = line.split_at(at);
    let operator = ["::=", ":=", "="].into_iter().find(|operator| right.starts_with(operator))?;
    let value = right[operator.len()..].trim();
    let (left, operator) = match left.strip_suffix('+') {
        Some(left) => (left, "+="),
        None => (left.strip_suffix('?').unwrap_or(left), operator),
    };
    let name = left.trim();
    (!name.is_empty() && top_level(name, char::is_whitespace).is_none()).then_some((name, operator, value))
}

/// KconfigPlace of the first such character outside of parentheses.
fn top_level(text: &str, is_it: impl Fn(char) -> bool) -> Option<usize> {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '{' => depth += 1,
            ')' | '}' => depth = depth.saturating_sub(1),
            c if depth == 0 && is_it(c) => return Some(at),
            _ => {}
        }
    }
    None
}

/// Parts between separators outside of parentheses.
pub(crate) fn split(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = top_level(rest, |c| c == separator) {
        parts.push(&rest[..at]);
        rest = &rest[at + separator.len_utf8()..];
    }
    parts.push(rest);
    parts
}

/// MakeWords separated by white space outside of parentheses.
pub(crate) fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while let Some(at) = top_level(rest, char::is_whitespace) {
        words.push(&rest[..at]);
        rest = rest[at..].trim_start();
    }
    if !rest.is_empty() {
        words.push(rest);
    }
    words
}
