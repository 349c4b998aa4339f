//! Expands `$(…)` of a Makefile to what it may be, each possibility with its condition.

use crate::expr::Expr;
use crate::makefile::{Makefile, compared, split, words};

/// Begins a text that only make could compute; the rest is the text itself.
const UNKNOWN: char = '\u{1}';
/// Possibilities of one text; more become an opaque one.
const MAX_ALTERNATIVES: usize = 64;
/// Variables in variables.
const MAX_DEPTH: usize = 12;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alternative {
    pub text: String,
    pub condition: Expr,
}

impl Alternative {
    fn always(text: impl Into<String>) -> Self {
        Alternative { text: text.into(), condition: Expr::Const(true) }
    }

    pub fn is_known(&self) -> bool {
        !self.text.contains(UNKNOWN)
    }
}

fn unknown(text: &str) -> Vec<Alternative> {
    vec![Alternative::always(format!("{UNKNOWN}{text}"))]
}

/// Condition under which two texts are the same; `opaque` if only make can tell.
pub(crate) fn equal(a: &str, b: &str, opaque: &dyn Fn() -> Expr) -> Expr {
    let symbol = |text: &str| Some(text.strip_prefix(UNKNOWN)?.strip_prefix("CONFIG_")?.to_string());
    match (symbol(a), symbol(b)) {
        (Some(symbol), None) if !b.contains(UNKNOWN) => compared(&symbol, b),
        (None, Some(symbol)) if !a.contains(UNKNOWN) => compared(&symbol, a),
        _ if a.contains(UNKNOWN) || b.contains(UNKNOWN) => opaque(),
        _ => Expr::Const(a.trim() == b.trim()),
    }
}

/// What `text` may be as a whole.
pub(crate) fn alternatives(makefile: &Makefile<'_>, text: &str, depth: usize) -> Vec<Alternative> {
    let mut all = vec![Alternative::always("")];
    let mut rest = text;
    if !makefile.may_expand() {
        return unknown(text);
    }
    while !rest.is_empty() {
        let (part, after) = match reference(rest) {
            Some((inner, after)) if depth < MAX_DEPTH => (one(makefile, inner, depth + 1), after),
            Some((inner, after)) => (unknown(inner), after),
            None => {
                let first = rest.chars().next().map_or(0, char::len_utf8);
                let end = rest[first..].find('$').map_or(rest.len(), |at| at + first);
                (vec![Alternative::always(&rest[..end])], &rest[end..])
            }
        };
        all = product(&all, &part);
        if all.len() > MAX_ALTERNATIVES {
            return unknown(text);
        }
        rest = after;
    }
    all
}

/// Every pair joined; the same text from two pairs is one.
fn product(left: &[Alternative], right: &[Alternative]) -> Vec<Alternative> {
    let mut all: Vec<Alternative> = Vec::new();
    for a in left {
        for b in right {
            let condition = Expr::and([a.condition.clone(), b.condition.clone()]);
            let text = format!("{}{}", a.text, b.text);
            if condition == Expr::Const(false) {
                continue;
            }
            match all.iter_mut().find(|found| found.text == text) {
                Some(found) => found.condition = Expr::or([found.condition.clone(), condition]),
                None => all.push(Alternative { text, condition }),
            }
        }
    }
    all
}

/// The inside of `$(…)` or `${…}` at the start, and what stands behind.
fn reference(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix("$(").or_else(|| text.strip_prefix("${"))?;
    let mut depth = 1usize;
    for (at, c) in inner.char_indices() {
        match c {
            '(' | '{' => depth += 1,
            ')' | '}' => {
                depth -= 1;
                if depth == 0 {
                    return Some((&inner[..at], &inner[at + 1..]));
                }
            }
            _ => {}
        }
    }
    Some((inner, ""))
}

/// What `$(inner)` may be.
fn one(makefile: &Makefile<'_>, inner: &str, depth: usize) -> Vec<Alternative> {
    if let Some((function, arguments)) = inner.split_once([' ', '\t']) {
        return call(makefile, function, &split(arguments, ','), depth)
            .unwrap_or_else(|| unknown(&format!("$({inner})")));
    }
    if let Some((name, pattern)) = inner.split_once(':') {
        // `$(NAME:a=b)` replaces at the end of each word.
        let Some((from, to)) = pattern.split_once('=') else { return unknown(inner) };
        let from = if from.contains('%') { from.to_string() } else { format!("%{from}") };
        let to = if to.contains('%') { to.to_string() } else { format!("%{to}") };
        let replace = |text: &str| {
            let each = text.split_whitespace().map(|word| match matches(&from, word) {
                Some(stem) => to.replacen('%', stem, 1),
                None => word.to_string(),
            });
            each.collect::<Vec<_>>().join(" ")
        };
        return map(variable(makefile, name, depth), replace);
    }
    variable(makefile, inner, depth)
}

fn map(all: Vec<Alternative>, change: impl Fn(&str) -> String) -> Vec<Alternative> {
    let changed = all.into_iter().map(|found| match found.is_known() {
        true => Alternative { text: change(&found.text), condition: found.condition },
        false => found,
    });
    product(&changed.collect::<Vec<_>>(), &[Alternative::always("")])
}

fn call(
    makefile: &Makefile<'_>,
    function: &str,
    arguments: &[&str],
    depth: usize,
) -> Option<Vec<Alternative>> {
    let argument = |at: usize| arguments.get(at).map(|text| alternatives(makefile, text.trim(), depth));
    let all = |at: usize| Some(alternatives(makefile, &arguments.get(at..)?.join(","), depth));
    Some(match function {
        "strip" | "sort" => map(all(0)?, |text| text.split_whitespace().collect::<Vec<_>>().join(" ")),
        "subst" => {
            let mut found = Vec::new();
            for from in argument(0)? {
                for to in argument(1)? {
                    let replaced = map(all(2)?, |text| match from.text.is_empty() {
                        true => text.to_string(),
                        false => text.replace(&from.text, &to.text),
                    });
                    found.extend(replaced.into_iter().map(|with| {
                        let condition =
                            Expr::and([from.condition.clone(), to.condition.clone(), with.condition]);
                        Alternative { text: with.text, condition }
                    }));
                }
            }
            product(&found, &[Alternative::always("")])
        }
        "if" => {
            let (mut found, empty) = (Vec::new(), vec![Alternative::always("")]);
            for test in argument(0)? {
                let branch =
                    if test.text.is_empty() { argument(2).unwrap_or(empty.clone()) } else { argument(1)? };
                let test = Alternative { text: String::new(), condition: test.condition };
                found.extend(product(&[test], &branch));
            }
            product(&found, &empty)
        }
        "or" | "and" => {
            let mut found = argument(0)?;
            for at in 1..arguments.len() {
                let next = argument(at)?;
                let keep = |found: &Alternative| found.text.is_empty() == (function == "and");
                let mut merged: Vec<_> = found.iter().filter(|found| keep(found)).cloned().collect();
                for found in found.iter().filter(|found| !keep(found)) {
                    let test = Alternative { text: String::new(), condition: found.condition.clone() };
                    merged.extend(product(&[test], &next));
                }
                found = product(&merged, &[Alternative::always("")]);
            }
            found
        }
        "filter" | "filter-out" | "findstring" | "patsubst" | "addprefix" | "addsuffix" => {
            by_word(function, arguments, &argument)?
        }
        _ => return None,
    })
}

/// Functions that look at each word.
fn by_word(
    function: &str,
    arguments: &[&str],
    argument: &dyn Fn(usize) -> Option<Vec<Alternative>>,
) -> Option<Vec<Alternative>> {
    let last = arguments.len().checked_sub(1)?;
    // The first ones are constants in practice.
    let constant = |at: usize| match argument(at)?.as_slice() {
        [only] if only.is_known() => Some(only.text.clone()),
        _ => None,
    };
    let (first, second) = (constant(0)?, if last == 2 { constant(1)? } else { String::new() });
    let wanted: Vec<&str> = first.split_whitespace().collect();
    Some(map(argument(last)?, |text| {
        if function == "findstring" {
            return if text.contains(&first) { first.clone() } else { String::new() };
        }
        let each = text.split_whitespace().filter_map(|word| match function {
            "filter" => wanted.iter().any(|want| matches(want, word).is_some()).then(|| word.to_string()),
            "filter-out" => wanted.iter().all(|want| matches(want, word).is_none()).then(|| word.to_string()),
            "addprefix" => Some(format!("{first}{word}")),
            "addsuffix" => Some(format!("{word}{first}")),
            _ => Some(match matches(&first, word) {
                Some(stem) => second.replacen('%', stem, 1),
                None => word.to_string(),
            }),
        });
        each.collect::<Vec<_>>().join(" ")
    }))
}

/// What `%` of the pattern stands for; `None` if the word does not match.
fn matches<'a>(pattern: &str, word: &'a str) -> Option<&'a str> {
    match pattern.split_once('%') {
        Some((start, end)) => word.strip_prefix(start)?.strip_suffix(end),
        None => (pattern == word).then_some(""),
    }
}

fn variable(makefile: &Makefile<'_>, name: &str, depth: usize) -> Vec<Alternative> {
    let name = match name.contains('$') {
        false => name.to_string(),
        true => match alternatives(makefile, name, depth).as_slice() {
            [only] if only.is_known() => only.text.clone(),
            _ => return unknown(name),
        },
    };
    if let Some(symbol) = name.strip_prefix("CONFIG_") {
        if !makefile.is_switch(symbol) {
            return unknown(&name);
        }
        let on = Expr::symbol(symbol);
        return vec![
            Alternative { text: "y".into(), condition: on.clone() },
            Alternative { text: String::new(), condition: Expr::not(on) },
        ];
    }
    if let Some(found) = built_in(makefile, &name) {
        return found;
    }
    assigned(makefile, &name, depth).unwrap_or_else(|| unknown(&format!("$({name})")))
}

fn built_in(makefile: &Makefile<'_>, name: &str) -> Option<Vec<Alternative>> {
    let bits = || Expr::symbol("64BIT");
    Some(match name {
        "srctree" | "objtree" | "srcroot" => vec![Alternative::always(".")],
        "src" | "obj" => vec![Alternative::always(makefile.folder.clone())],
        "SRCARCH" => vec![Alternative::always(makefile.arch)],
        "ARCH" if makefile.arch != "x86" => vec![Alternative::always(makefile.arch)],
        "KBUILD_EXTMOD" | "empty" => vec![Alternative::always("")],
        "comma" => vec![Alternative::always(",")],
        "BITS" => vec![
            Alternative { text: "64".into(), condition: bits() },
            Alternative { text: "32".into(), condition: Expr::not(bits()) },
        ],
        _ => return None,
    })
}

/// The values that the assignments so far give; `None` without any.
fn assigned(makefile: &Makefile<'_>, name: &str, depth: usize) -> Option<Vec<Alternative>> {
    let values = || last_assigned(makefile, name, depth);
    once(makefile, name, values).unwrap_or_else(|| Some(vec![Alternative::always("")]))
}

/// Runs `expand` unless `name` is being expanded already.
fn once<T>(makefile: &Makefile<'_>, name: &str, expand: impl FnOnce() -> T) -> Option<T> {
    if makefile.expanding.borrow().iter().any(|known| known == name) {
        return None;
    }
    makefile.expanding.borrow_mut().push(name.to_string());
    let expanded = expand();
    makefile.expanding.borrow_mut().pop();
    Some(expanded)
}

fn last_assigned(makefile: &Makefile<'_>, name: &str, depth: usize) -> Option<Vec<Alternative>> {
    let mut values: Option<Vec<Alternative>> = None;
    for assignment in &makefile.assignments {
        for found in assignment.names.iter().filter(|found| found.text == name) {
            let taken = Expr::and([assignment.guard.clone(), found.condition.clone()]);
            let old = values.unwrap_or_else(|| vec![Alternative::always("")]);
            let new = alternatives(makefile, &assignment.value, depth);
            let start = if assignment.appends {
                product(&old, &[Alternative::always(" ")])
            } else {
                vec![Alternative::always("")]
            };
            let mut all = guarded(&product(&start, &new), &taken);
            if taken != Expr::Const(true) {
                all.extend(guarded(&old, &Expr::not(taken)));
            }
            if all.len() > MAX_ALTERNATIVES {
                return Some(unknown(&format!("$({name})")));
            }
            values = Some(all);
        }
    }
    values
}

fn guarded(all: &[Alternative], guard: &Expr) -> Vec<Alternative> {
    let with = |found: &Alternative| {
        let condition = Expr::and([guard.clone(), found.condition.clone()]);
        Alternative { text: found.text.clone(), condition }
    };
    all.iter().map(with).filter(|found| found.condition != Expr::Const(false)).collect()
}

/// The words of `text`, each with its condition: a long list needs no alternative per combination.
pub(crate) fn list(makefile: &Makefile<'_>, text: &str, depth: usize) -> Vec<(String, Expr)> {
    let mut found = Vec::new();
    for word in words(text) {
        if !makefile.may_expand() {
            break;
        }
        if !word.contains('$') {
            found.push((word.to_string(), Expr::Const(true)));
            continue;
        }
        match reference(word) {
            Some((inner, "")) if depth < MAX_DEPTH => found.extend(list_of(makefile, inner, word, depth + 1)),
            _ => found.extend(whole(makefile, word, depth)),
        }
    }
    found
}

fn whole(makefile: &Makefile<'_>, word: &str, depth: usize) -> Vec<(String, Expr)> {
    let mut found = Vec::new();
    for value in alternatives(makefile, word, depth).into_iter().filter(Alternative::is_known) {
        let each = value.text.split_whitespace().map(|word| (word.to_string(), value.condition.clone()));
        found.extend(each);
    }
    found
}

/// The words of `$(inner)`.
fn list_of(makefile: &Makefile<'_>, inner: &str, word: &str, depth: usize) -> Vec<(String, Expr)> {
    let Some((function, arguments)) = inner.split_once([' ', '\t']) else {
        return match inner.contains([':', '$']) || inner.starts_with("CONFIG_") {
            true => whole(makefile, word, depth),
            false => list_of_variable(makefile, inner, word, depth),
        };
    };
    let arguments = split(arguments, ',');
    let possible = |at: usize| {
        let text = arguments.get(at).map_or("", |text| text.trim());
        alternatives(makefile, text, depth).into_iter().filter(Alternative::is_known).collect::<Vec<_>>()
    };
    let items = |at: usize| list(makefile, &arguments.get(at..).unwrap_or_default().join(","), depth);
    // Each item with each text that the first arguments may be.
    let mut found = Vec::new();
    let mut each =
        |texts: &[Alternative], items: Vec<(String, Expr)>, change: &dyn Fn(&str, &str) -> String| {
            for text in texts {
                for (word, condition) in &items {
                    let condition = Expr::and([text.condition.clone(), condition.clone()]);
                    if condition != Expr::Const(false) {
                        found.push((change(&text.text, word), condition));
                    }
                }
            }
        };
    match function {
        "addprefix" => each(&possible(0), items(1), &|prefix, word| format!("{prefix}{word}")),
        "addsuffix" => each(&possible(0), items(1), &|suffix, word| format!("{word}{suffix}")),
        "patsubst" => {
            let from = possible(0);
            let from = from.first().map_or("", |from| from.text.as_str());
            each(&possible(1), items(2), &|to, word| match matches(from, word) {
                Some(stem) => to.replacen('%', stem, 1),
                None => word.to_string(),
            });
        }
        _ => return whole(makefile, word, depth),
    }
    found
}

fn list_of_variable(makefile: &Makefile<'_>, name: &str, word: &str, depth: usize) -> Vec<(String, Expr)> {
    once(makefile, name, || all_assigned(makefile, name, word, depth)).unwrap_or_default()
}

fn all_assigned(makefile: &Makefile<'_>, name: &str, word: &str, depth: usize) -> Vec<(String, Expr)> {
    let mut found = Vec::new();
    let mut any = false;
    for assignment in &makefile.assignments {
        for named in assignment.names.iter().filter(|named| named.text == name) {
            any = true;
            let guard = Expr::and([assignment.guard.clone(), named.condition.clone()]);
            for (word, condition) in list(makefile, &assignment.value, depth) {
                found.push((word, Expr::and([guard.clone(), condition])));
            }
        }
    }
    if any { found } else { whole(makefile, word, depth) }
}
