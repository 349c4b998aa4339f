//! Conditions over Kconfig symbols: one type for Kconfig, Makefiles and the preprocessor. Pure.

use std::collections::BTreeSet;
use std::fmt;

/// A condition. `Display` writes it as Kconfig does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Expr {
    Const(bool),
    /// Kconfig's constant `m`: never true where nothing is a module.
    Module,
    /// The symbol (without `CONFIG_`) is `y`, or has a number or text.
    Symbol(String),
    Compare(Term, Relation, Term),
    /// What only a compiler, a shell or a header can answer, in the words of the source.
    Opaque(String),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
}

/// A side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Term {
    Symbol(String),
    /// A constant: `y`, `42`, a quoted string.
    Text(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Relation {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The value of a symbol in a .config.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// `is not set`, or not there.
    No,
    Module,
    Yes,
    /// Of int, hex and string symbols, without quotes.
    Text(String),
}

impl Value {
    /// As it stands in a .config: `y`, `m`, `n`, `64`.
    pub fn as_text(&self) -> &str {
        match self {
            Value::No => "n",
            Value::Module => "m",
            Value::Yes => "y",
            Value::Text(text) => text,
        }
    }
}

/// Kconfig's three values; the order is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tristate {
    No,
    Module,
    Yes,
}

impl Expr {
    pub fn symbol(name: impl Into<String>) -> Expr {
        Expr::Symbol(name.into())
    }

    /// All of `parts`, flattened and without repetition.
    pub fn and(parts: impl IntoIterator<Item = Expr>) -> Expr {
        let mut all = Vec::new();
        for part in parts {
            match part {
                Expr::Const(true) => {}
                Expr::Const(false) => return Expr::Const(false),
                Expr::And(inner) => inner.into_iter().for_each(|part| push_new(&mut all, part)),
                part => push_new(&mut all, part),
            }
        }
        match all.len() {
            0 => Expr::Const(true),
            1 => all.remove(0),
            _ if contradicts(&all) => Expr::Const(false),
            _ => Expr::And(all),
        }
    }

    /// Any of `parts`, flattened and without repetition.
    pub fn or(parts: impl IntoIterator<Item = Expr>) -> Expr {
        let mut any = Vec::new();
        for part in parts {
            match part {
                Expr::Const(false) => {}
                Expr::Const(true) => return Expr::Const(true),
                Expr::Or(inner) => inner.into_iter().for_each(|part| push_new(&mut any, part)),
                part => push_new(&mut any, part),
            }
        }
        match any.len() {
            0 => Expr::Const(false),
            1 => any.remove(0),
            _ if contradicts(&any) => Expr::Const(true),
            _ => Expr::Or(any),
        }
    }

    /// The opposite.
    #[expect(clippy::should_implement_trait, reason = "a builder next to and() and or()")]
    pub fn not(part: Expr) -> Expr {
        match part {
            Expr::Const(value) => Expr::Const(!value),
            Expr::Not(inner) => *inner,
            Expr::Compare(a, Relation::Equal, b) => Expr::Compare(a, Relation::Unequal, b),
            Expr::Compare(a, Relation::Unequal, b) => Expr::Compare(a, Relation::Equal, b),
            part => Expr::Not(Box::new(part)),
        }
    }

    /// Whether it holds one symbol against another: it may then hold because both are off, and no more once one of them is on.
    pub fn compares_symbols(&self) -> bool {
        match self {
            Expr::Compare(Term::Symbol(_), _, Term::Symbol(_)) => true,
            Expr::Not(inner) => inner.compares_symbols(),
            Expr::And(parts) | Expr::Or(parts) => parts.iter().any(Expr::compares_symbols),
            _ => false,
        }
    }

    /// The symbols that it names.
    pub fn symbols(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.each_symbol(&mut |name| {
            names.insert(name);
        });
        names
    }

    fn each_symbol<'a>(&'a self, see: &mut dyn FnMut(&'a str)) {
        match self {
            Expr::Symbol(name) => see(name),
            Expr::Compare(a, _, b) => {
                for term in [a, b] {
                    if let Term::Symbol(name) = term {
                        see(name);
                    }
                }
            }
            Expr::Not(inner) => inner.each_symbol(see),
            Expr::And(parts) | Expr::Or(parts) => parts.iter().for_each(|part| part.each_symbol(see)),
            Expr::Const(_) | Expr::Module | Expr::Opaque(_) => {}
        }
    }

    /// True if it holds with `values`; `None` if that hangs on an opaque part.
    pub fn holds(&self, values: &dyn Fn(&str) -> Value) -> Option<bool> {
        self.tristate(values).map(|value| value == Tristate::Yes)
    }

    /// Its value as Kconfig computes it; `None` if that hangs on an opaque part.
    pub(crate) fn tristate(&self, values: &dyn Fn(&str) -> Value) -> Option<Tristate> {
        Some(match self {
            Expr::Const(true) => Tristate::Yes,
            Expr::Const(false) => Tristate::No,
            Expr::Module => Tristate::Module,
            Expr::Symbol(name) => match values(name) {
                // `#ifdef` of a number or text: it has one.
                Value::Yes | Value::Text(_) => Tristate::Yes,
                Value::Module => Tristate::Module,
                Value::No => Tristate::No,
            },
            Expr::Compare(a, comparison, b) => {
                if compare(&a.text(values)?, *comparison, &b.text(values)?) {
                    Tristate::Yes
                } else {
                    Tristate::No
                }
            }
            Expr::Opaque(_) => return None,
            Expr::Not(inner) => match inner.tristate(values)? {
                Tristate::No => Tristate::Yes,
                Tristate::Module => Tristate::Module,
                Tristate::Yes => Tristate::No,
            },
            Expr::And(parts) => return extreme(parts, values, Tristate::No, Ord::min),
            Expr::Or(parts) => return extreme(parts, values, Tristate::Yes, Ord::max),
        })
    }
}

/// Smallest or greatest of `parts`; `decisive` ends the search, and is known although a part is not.
fn extreme(
    parts: &[Expr],
    values: &dyn Fn(&str) -> Value,
    decisive: Tristate,
    pick: fn(Tristate, Tristate) -> Tristate,
) -> Option<Tristate> {
    let mut unknown = false;
    let mut result = if decisive == Tristate::No { Tristate::Yes } else { Tristate::No };
    for part in parts {
        match part.tristate(values) {
            Some(value) if value == decisive => return Some(decisive),
            Some(value) => result = pick(result, value),
            None => unknown = true,
        }
    }
    (!unknown).then_some(result)
}

impl Term {
    fn text(&self, values: &dyn Fn(&str) -> Value) -> Option<String> {
        match self {
            Term::Text(text) if text.contains("$(") => None,
            Term::Text(text) => Some(text.clone()),
            Term::Symbol(name) => Some(values(name).as_text().to_string()),
        }
    }
}

fn compare(a: &str, comparison: Relation, b: &str) -> bool {
    let order = match (number(a), number(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => match (rank(a), rank(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.cmp(b),
        },
    };
    match comparison {
        Relation::Equal => order.is_eq(),
        Relation::Unequal => order.is_ne(),
        Relation::Less => order.is_lt(),
        Relation::LessOrEqual => order.is_le(),
        Relation::Greater => order.is_gt(),
        Relation::GreaterOrEqual => order.is_ge(),
    }
}

/// A number as Kconfig and C write it.
pub(crate) fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn rank(text: &str) -> Option<u8> {
    match text {
        "n" => Some(0),
        "m" => Some(1),
        "y" => Some(2),
        _ => None,
    }
}

fn push_new(list: &mut Vec<Expr>, part: Expr) {
    if !list.contains(&part) {
        list.push(part);
    }
}

/// A part and its opposite are both there. Long lists are not looked at.
fn contradicts(list: &[Expr]) -> bool {
    list.len() <= 64
        && list
            .iter()
            .any(|part| matches!(part, Expr::Not(inner) if list.iter().any(|other| *other == **inner)))
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Const(value) => f.write_str(if *value { "y" } else { "n" }),
            Expr::Module => f.write_str("m"),
            Expr::Symbol(name) => f.write_str(name),
            Expr::Compare(a, comparison, b) => write!(f, "{a} {comparison} {b}"),
            Expr::Opaque(text) => f.write_str(text),
            Expr::Not(inner) => match **inner {
                Expr::Symbol(_) | Expr::Const(_) | Expr::Module => write!(f, "!{inner}"),
                _ => write!(f, "!({inner})"),
            },
            Expr::And(parts) => joined(f, parts, " && "),
            Expr::Or(parts) => joined(f, parts, " || "),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, parts: &[Expr], between: &str) -> fmt::Result {
    for (n, part) in parts.iter().enumerate() {
        if n > 0 {
            f.write_str(between)?;
        }
        match part {
            Expr::And(_) | Expr::Or(_) => write!(f, "({part})")?,
            _ => write!(f, "{part}")?,
        }
    }
    Ok(())
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Term::Symbol(name) => f.write_str(name),
            Term::Text(text) if rank(text).is_some() || number(text).is_some() => f.write_str(text),
            Term::Text(text) => write!(f, "\"{text}\""),
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Relation::Equal => "=",
            Relation::Unequal => "!=",
            Relation::Less => "<",
            Relation::LessOrEqual => "<=",
            Relation::Greater => ">",
            Relation::GreaterOrEqual => ">=",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(name: &str) -> Value {
        match name {
            "ON" => Value::Yes,
            "MOD" => Value::Module,
            "LEVELS" => Value::Text("5".into()),
            _ => Value::No,
        }
    }

    #[test]
    fn builders_simplify() {
        let (a, b) = (Expr::symbol("A"), Expr::symbol("B"));
        assert_eq!(Expr::and([a.clone(), Expr::Const(true), a.clone()]), a);
        assert_eq!(Expr::and([a.clone(), Expr::not(a.clone())]), Expr::Const(false));
        assert_eq!(Expr::or([a.clone(), Expr::not(a.clone())]), Expr::Const(true));
        assert_eq!(Expr::or([a.clone(), Expr::and([a, b])]).to_string(), "A || (A && B)");
    }

    #[test]
    fn modules_are_half_true() {
        for (expr, value) in [
            (Expr::symbol("MOD"), Tristate::Module),
            (Expr::not(Expr::symbol("MOD")), Tristate::Module),
            (Expr::and([Expr::symbol("ON"), Expr::symbol("MOD")]), Tristate::Module),
            (Expr::or([Expr::symbol("ON"), Expr::symbol("MOD")]), Tristate::Yes),
        ] {
            assert_eq!(expr.tristate(&values), Some(value), "{expr}");
        }
    }

    #[test]
    fn opaque_parts_count_only_where_they_decide() {
        let opaque = Expr::Opaque("$(cc-option,-mfoo)".into());
        assert_eq!(Expr::and([opaque.clone(), Expr::symbol("OFF")]).holds(&values), Some(false));
        assert_eq!(Expr::and([opaque.clone(), Expr::symbol("ON")]).holds(&values), None);
        assert_eq!(Expr::or([opaque, Expr::symbol("ON")]).holds(&values), Some(true));
    }

    #[test]
    fn numbers_compare_as_numbers() {
        let greater = |than: &str| {
            Expr::Compare(Term::Symbol("LEVELS".into()), Relation::Greater, Term::Text(than.into()))
        };
        assert_eq!(greater("4").holds(&values), Some(true));
        assert_eq!(greater("0x10").holds(&values), Some(false));
    }
}
