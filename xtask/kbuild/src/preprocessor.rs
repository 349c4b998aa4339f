//! The preprocessor conditions around the lines of a C file or header. Macros other than those of
//! include/linux/kconfig.h are opaque; the files that it includes are not looked at.

use crate::expr::{Expr, Relation, Term};

/// Parentheses that may stand in each other; deeper ones are opaque.
const MAX_DEPTH: usize = 64;
/// `#if`s in each other.
const MAX_NESTING: usize = 200;

/// The condition around each of `lines` (from 1) of `source`, in the order of `lines`. Lines behind the end have none.
pub fn conditions_at(source: &str, lines: &[usize]) -> Vec<(usize, Expr)> {
    let regions = regions(source);
    let condition = |line: usize| {
        let at = regions.partition_point(|(first, _)| *first <= line);
        at.checked_sub(1).and_then(|at| regions.get(at)).map_or(Expr::Const(true), |(_, expr)| expr.clone())
    };
    lines.iter().map(|line| (*line, condition(*line))).collect()
}

/// The different conditions, in order: more than one if a change touches several arms.
pub fn distinct(conditions: &[(usize, Expr)]) -> Vec<Expr> {
    let mut found: Vec<Expr> = Vec::new();
    for (_, condition) in conditions {
        if !found.contains(condition) {
            found.push(condition.clone());
        }
    }
    found
}

struct OpenArm {
    /// This arm.
    now: Expr,
    /// An arm before it.
    before: Expr,
}

/// First line and condition of each region.
fn regions(source: &str) -> Vec<(usize, Expr)> {
    let directives = directives(source);
    let guard = include_guard(&directives);
    let mut regions = Vec::new();
    let mut frames: Vec<OpenArm> = Vec::new();
    for (at, directive) in directives.iter().enumerate() {
        match directive.name.as_str() {
            "if" | "ifdef" | "ifndef" if frames.len() < MAX_NESTING => {
                let now = if guard == Some(at) { Expr::Const(true) } else { test(directive) };
                // The `#else` of a guard would never be compiled: there is none.
                frames.push(OpenArm { before: now.clone(), now });
            }
            "elif" | "elifdef" | "elifndef" | "else" => {
                let Some(frame) = frames.last_mut() else { continue };
                let test = test(directive);
                frame.now = Expr::and([Expr::not(frame.before.clone()), test.clone()]);
                frame.before = Expr::or([frame.before.clone(), test]);
            }
            "endif" => {
                frames.pop();
            }
            _ => continue,
        }
        // The line of the directive itself is in nothing but what is around it.
        let around = frames.len().saturating_sub(usize::from(directive.name != "endif"));
        let all = |frames: &[OpenArm]| Expr::and(frames.iter().map(|frame| frame.now.clone()));
        regions.push((directive.line, all(&frames[..around.min(frames.len())])));
        regions.push((directive.last_line + 1, all(&frames)));
    }
    regions
}

fn test(directive: &Directive) -> Expr {
    let text = directive.rest.trim();
    match directive.name.as_str() {
        "if" | "elif" => condition(text, 0),
        "ifdef" | "elifdef" => defined(text),
        "ifndef" | "elifndef" => Expr::not(defined(text)),
        _ => Expr::Const(true),
    }
}

struct Directive {
    line: usize,
    last_line: usize,
    name: String,
    rest: String,
}

/// The guard is the first directive, `#ifndef X`, followed by `#define X`, and ends with the last.
fn include_guard(directives: &[Directive]) -> Option<usize> {
    let first = directives.iter().position(|found| found.name != "pragma")?;
    let [open, define, ..] = directives.get(first..)? else { return None };
    let name = match open.name.as_str() {
        "ifndef" => open.rest.trim(),
        "if" => {
            open.rest.trim().strip_prefix('!')?.trim().strip_prefix("defined")?.trim_matches([' ', '(', ')'])
        }
        _ => return None,
    };
    // trace/events headers: `#if !defined(_TRACE_X_H) || defined(TRACE_HEADER_MULTI_READ)`.
    let name = name.split([' ', ')', '\t']).next()?;
    let same = define.name == "define" && define.rest.split_whitespace().next() == Some(name);
    (same && !name.starts_with("CONFIG_")).then_some(first)
}

/// Every line that begins with `#`, comments removed and continuations joined.
fn directives(source: &str) -> Vec<Directive> {
    let mut found = Vec::new();
    let mut comment = false;
    let mut lines = source.split('\n').enumerate();
    while let Some((number, line)) = lines.next() {
        let mut clean = String::new();
        let mut last = number;
        let mut line = line;
        loop {
            let line_end = line.trim_end_matches('\r');
            let (part, continues) = match line_end.strip_suffix('\\') {
                Some(part) => (part, true),
                None => (line_end, false),
            };
            strip(part, &mut comment, &mut clean);
            if !continues {
                break;
            }
            let Some((number, next)) = lines.next() else { break };
            (last, line) = (number, next);
        }
        let Some(directive) = clean.trim_start().strip_prefix('#') else { continue };
        let directive = directive.trim_start();
        let end = directive.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(directive.len());
        let (name, rest) = directive.split_at(end);
        found.push(Directive { line: number + 1, last_line: last + 1, name: name.into(), rest: rest.into() });
    }
    found
}

/// Appends a line without its comments and without what is in quotes.
fn strip(line: &str, comment: &mut bool, clean: &mut String) {
    let mut chars = line.chars().peekable();
    let mut quote = None;
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        if *comment {
            if c == '*' && next == Some('/') {
                chars.next();
                *comment = false;
                clean.push(' ');
            }
            continue;
        }
        match (quote, c) {
            (Some(_), '\\') => {
                chars.next();
            }
            (Some(open), c) if c == open => {
                quote = None;
                clean.push(c);
            }
            (Some(_), _) => {}
            (None, '/') if next == Some('/') => return,
            (None, '/') if next == Some('*') => {
                chars.next();
                *comment = true;
            }
            (None, '"' | '\'') => {
                quote = Some(c);
                clean.push(c);
            }
            (None, c) => clean.push(c),
        }
    }
}

fn defined(name: &str) -> Expr {
    let name = name.split_whitespace().next().unwrap_or_default();
    match name.strip_prefix("CONFIG_") {
        // Set where CONFIG_X is m.
        Some(symbol) if symbol.ends_with("_MODULE") => module(symbol.trim_end_matches("_MODULE")),
        Some(symbol) => Expr::symbol(symbol),
        None => Expr::Opaque(format!("defined({name})")),
    }
}

fn module(symbol: &str) -> Expr {
    Expr::Compare(Term::Symbol(symbol.into()), Relation::Equal, Term::Text("m".into()))
}

/// A condition of `#if`.
fn condition(text: &str, depth: usize) -> Expr {
    let text = text.trim();
    if depth > MAX_DEPTH {
        return Expr::Opaque("(nested too deeply)".into());
    }
    if split(text, "?").len() > 1 {
        return opaque(text);
    }
    let any = split(text, "||");
    if any.len() > 1 {
        return Expr::or(any.into_iter().map(|part| condition(part, depth + 1)));
    }
    let all = split(text, "&&");
    if all.len() > 1 {
        return Expr::and(all.into_iter().map(|part| condition(part, depth + 1)));
    }
    if let Some(compared) = comparison(text) {
        return compared;
    }
    if let Some(inner) = text.strip_prefix('!').filter(|inner| !inner.starts_with('=')) {
        return Expr::not(condition(inner, depth + 1));
    }
    if let Some(inner) = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) {
        return condition(inner, depth + 1);
    }
    leaf(text)
}

fn opaque(text: &str) -> Expr {
    Expr::Opaque(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// One macro, one number, or something that is not understood.
fn leaf(text: &str) -> Expr {
    let (name, argument) = match text.split_once(['(', ' ', '\t']) {
        Some((name, rest)) => (name, rest.trim_matches(|c: char| c.is_whitespace() || c == '(' || c == ')')),
        None => (text, ""),
    };
    match (name, argument.strip_prefix("CONFIG_")) {
        ("defined", _) if is_name(argument) => return defined(argument),
        ("IS_ENABLED" | "IS_BUILTIN" | "IS_REACHABLE", Some(symbol)) if is_name(symbol) => {
            return Expr::symbol(symbol);
        }
        ("IS_MODULE", Some(symbol)) if is_name(symbol) => return module(symbol),
        _ => {}
    }
    if let Some(number) = number(text) {
        return Expr::Const(number != 0);
    }
    match text.strip_prefix("CONFIG_") {
        Some(symbol) if is_name(symbol) => Expr::symbol(symbol),
        _ => opaque(text),
    }
}

/// `CONFIG_X > 3`; `None` if it is no comparison at all.
fn comparison(text: &str) -> Option<Expr> {
    const SIGNS: [(&str, Relation); 6] = [
        ("==", Relation::Equal),
        ("!=", Relation::Unequal),
        ("<=", Relation::LessOrEqual),
        (">=", Relation::GreaterOrEqual),
        ("<", Relation::Less),
        (">", Relation::Greater),
    ];
    let (sign, comparison) = SIGNS.into_iter().find(|(sign, _)| split(text, sign).len() == 2)?;
    let parts = split(text, sign);
    let term = |text: &str| {
        let text = text.trim();
        match text.strip_prefix("CONFIG_") {
            Some(symbol) if is_name(symbol) => Some(Term::Symbol(symbol.into())),
            _ => number(text).map(|number| Term::Text(number.to_string())),
        }
    };
    let [left, right] = parts.as_slice() else { return None };
    match (term(left), term(right)) {
        (Some(left @ Term::Symbol(_)), Some(right)) => Some(Expr::Compare(left, comparison, right)),
        _ => Some(opaque(text)),
    }
}

fn number(text: &str) -> Option<i64> {
    crate::expr::number(text.trim().trim_end_matches(['u', 'U', 'l', 'L']))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Parts between `separator` outside of parentheses.
fn split<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let (mut parts, mut start, mut depth, mut skip) = (Vec::new(), 0, 0usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            _ if at < skip => {}
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 && text[at..].starts_with(separator) => {
                parts.push(&text[start..at]);
                skip = at + separator.len();
                start = skip;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(source: &str, lines: &[usize]) -> Vec<String> {
        conditions_at(source, lines).into_iter().map(|(_, expr)| expr.to_string()).collect()
    }

    #[test]
    fn arms() {
        let source =
            "a\n#ifdef CONFIG_A\nb\n#elif defined(CONFIG_B) && !defined(CONFIG_C)\nc\n#else\nd\n#endif\ne\n";
        let found = at(source, &[1, 2, 3, 5, 7, 9]);
        assert_eq!(found, ["y", "y", "A", "!A && B && !C", "!(A || (B && !C))", "y"]);
        assert_eq!(distinct(&conditions_at(source, &[2, 3, 5, 7, 9])).len(), 4);
    }

    #[test]
    fn macros_of_kconfig_h() {
        for (line, expr) in [
            ("#if IS_ENABLED(CONFIG_A) || IS_BUILTIN( CONFIG_B )", "A || B"),
            ("# if IS_REACHABLE(CONFIG_A)&&!IS_MODULE(CONFIG_B)", "A && B != m"),
            ("#if (defined CONFIG_A && CONFIG_LEVELS >= 4UL)", "A && LEVELS >= 4"),
            ("#if 0", "n"),
            ("#if 1 /* always */", "y"),
            ("#ifndef CONFIG_A_MODULE", "A != m"),
            ("#if LINUX_VERSION_CODE < KERNEL_VERSION(6,0,0)", "LINUX_VERSION_CODE < KERNEL_VERSION(6,0,0)"),
            ("#ifdef __LP64__", "defined(__LP64__)"),
            ("#if A ? defined(CONFIG_B) : 0", "A ? defined(CONFIG_B) : 0"),
            ("#if defined(CONFIG_A) && \\\n  (BITS_PER_LONG == 64)", "A && BITS_PER_LONG == 64"),
            ("#ifdef CONFIG_A // why", "A"),
            ("#/* odd */ifdef CONFIG_A", "A"),
        ] {
            let source = format!("{line}\nx\n#endif\n");
            assert_eq!(at(&source, &[source.lines().count() - 1]), [expr], "{line}");
        }
    }

    #[test]
    fn comments_and_strings_hold_no_directives() {
        let source = "/*\n#ifdef CONFIG_A\n*/\nchar *s = \"/*\";\n#ifdef CONFIG_B\nx\n";
        assert_eq!(at(source, &[6]), ["B"]);
        assert_eq!(at("char c = '\"'; /* \\\n*/ \n#ifdef CONFIG_B\nx\n", &[4]), ["B"]);
    }

    #[test]
    fn include_guards_are_no_condition() {
        for guard in ["#ifndef _G_H\n#define _G_H\n", "#if !defined(_G_H) || defined(MULTI)\n#define _G_H\n"]
        {
            let source = format!("// licence\n{guard}#ifdef CONFIG_A\nx\n#endif\ny\n#endif\n");
            assert_eq!(at(&source, &[5, 7]), ["A", "y"], "{guard}");
        }
        assert_eq!(at("#ifndef CONFIG_A\n#define CONFIG_A\nx\n", &[3]), ["!A"]);
    }

    #[test]
    fn a_multi_line_condition_is_outside_of_itself() {
        assert_eq!(
            at("#if defined(CONFIG_A) || \\\n defined(CONFIG_B)\nx\n#endif", &[1, 2, 3]),
            ["y", "y", "A || B"]
        );
    }
}
