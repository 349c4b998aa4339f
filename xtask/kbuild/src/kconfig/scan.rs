//! MakeWords and expressions of a Kconfig line (scripts/kconfig/lexer.l, parser.y). What a macro would compute is kept as
//! its text: nothing is executed.

use crate::expr::{Expr, Relation, Term};

/// Parentheses that may stand in each other; deeper ones are opaque.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// A name, a number, a keyword.
    Word(String),
    Quoted(String),
    /// `$(…)` that cannot be known without running something.
    Macro(String),
    Sign(&'static str),
}

/// Longer signs first.
const SIGNS: [&str; 11] = ["&&", "||", "!=", "<=", ">=", "=", "<", ">", "!", "(", ")"];

/// Values of the few variables that are known: `SRCARCH`, `ARCH`, `srctree`.
pub(crate) type Variables = [(&'static str, String)];

/// MakeWords of a line up to its comment.
pub(crate) fn tokens(line: &str, variables: &Variables) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if c == '#' {
            break;
        }
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else if c == '"' || c == '\'' {
            let (text, after) = quoted(&rest[1..], c, variables);
            tokens.push(Token::Quoted(text));
            rest = after;
        } else if is_word(c) || rest.starts_with("$(") {
            let (token, after) = word(rest, variables);
            tokens.push(token);
            rest = after;
        } else {
            rest = &rest[c.len_utf8()..];
        }
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')
}

/// Text up to the closing quote, and what stands after it.
fn quoted<'a>(text: &'a str, quote: char, variables: &Variables) -> (String, &'a str) {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == quote {
            return (out, &rest[1..]);
        }
        if rest.starts_with("$(") {
            let (name, after) = reference(rest);
            match known(name, variables) {
                Some(value) => out.push_str(value),
                None => out.push_str(&rest[..rest.len() - after.len()]),
            }
            rest = after;
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match (c, rest.chars().next()) {
            ('\\', Some(escaped)) => {
                out.push(escaped);
                rest = &rest[escaped.len_utf8()..];
            }
            _ => out.push(c),
        }
    }
    (out, rest)
}

fn word<'a>(text: &'a str, variables: &Variables) -> (Token, &'a str) {
    let (mut out, mut rest, mut opaque) = (String::new(), text, false);
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("$(") {
            let (name, after) = reference(rest);
            match known(name, variables) {
                Some(value) => out.push_str(value),
                None => {
                    opaque = true;
                    out.push_str(&rest[..rest.len() - after.len()]);
                }
            }
            rest = after;
        } else if is_word(c) {
            out.push(c);
            rest = &rest[1..];
        } else {
            break;
        }
    }
    (if opaque { Token::Macro(out) } else { Token::Word(out) }, rest)
}

/// What stands in `$(…)` at the start of `text`, and what stands after it.
fn reference(text: &str) -> (&str, &str) {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return (&text[2..at], &text[at + 1..]);
                }
            }
            _ => {}
        }
    }
    (text.get(2..).unwrap_or_default(), "")
}

fn known<'a>(name: &str, variables: &'a Variables) -> Option<&'a str> {
    variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
}

/// The expression that `tokens` begin with, up to a word that cannot continue it (such as `if`), and what is left.
pub(crate) fn expression(tokens: &[Token]) -> (Expr, &[Token]) {
    let mut parser = ExprParser { rest: tokens };
    let expr = parser.any(0);
    (expr, parser.rest)
}

struct ExprParser<'a> {
    rest: &'a [Token],
}

impl ExprParser<'_> {
    fn take(&mut self, sign: &str) -> bool {
        match self.rest {
            [Token::Sign(found), rest @ ..] if *found == sign => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn any(&mut self, depth: usize) -> Expr {
        let mut parts = vec![self.all(depth)];
        while self.take("||") {
            parts.push(self.all(depth));
        }
        Expr::or(parts)
    }

    fn all(&mut self, depth: usize) -> Expr {
        let mut parts = vec![self.one(depth)];
        while self.take("&&") {
            parts.push(self.one(depth));
        }
        Expr::and(parts)
    }

    fn one(&mut self, depth: usize) -> Expr {
        if depth > MAX_DEPTH {
            self.rest = &[];
            return Expr::Opaque("(nested too deeply)".into());
        }
        if self.take("!") {
            return Expr::not(self.one(depth + 1));
        }
        if self.take("(") {
            let inner = self.any(depth + 1);
            self.take(")");
            return inner;
        }
        let Some(left) = self.term() else { return Expr::Opaque("(nothing)".into()) };
        let Some(comparison) = self.comparison() else { return alone(left) };
        match self.term() {
            Some(right) => compared(left, comparison, right),
            None => Expr::Opaque("(nothing)".into()),
        }
    }

    fn term(&mut self) -> Option<Token> {
        match self.rest {
            [Token::Sign(_), ..] | [] => None,
            [token, rest @ ..] => {
                self.rest = rest;
                Some(token.clone())
            }
        }
    }

    fn comparison(&mut self) -> Option<Relation> {
        let [Token::Sign(sign), rest @ ..] = self.rest else { return None };
        let comparison = match *sign {
            "=" => Relation::Equal,
            "!=" => Relation::Unequal,
            "<" => Relation::Less,
            "<=" => Relation::LessOrEqual,
            ">" => Relation::Greater,
            ">=" => Relation::GreaterOrEqual,
            _ => return None,
        };
        self.rest = rest;
        Some(comparison)
    }
}

/// A term that is compared with nothing.
fn alone(token: Token) -> Expr {
    match token {
        Token::Macro(text) => Expr::Opaque(text),
        Token::Word(text) | Token::Quoted(text) => match text.as_str() {
            "y" => Expr::Const(true),
            "n" => Expr::Const(false),
            "m" => Expr::Module,
            _ => Expr::Symbol(text),
        },
        Token::Sign(sign) => Expr::Opaque(sign.into()),
    }
}

fn compared(left: Token, comparison: Relation, right: Token) -> Expr {
    let (left, right) = (as_term(left), as_term(right));
    let expr = Expr::Compare(left, comparison, right);
    let constant = matches!(&expr, Expr::Compare(Term::Text(_), _, Term::Text(_)));
    match expr.holds(&|_| crate::Value::No) {
        Some(value) if constant => Expr::Const(value),
        _ => expr,
    }
}

pub(crate) fn as_term(token: Token) -> Term {
    match token {
        Token::Word(text) if is_constant(&text) => Term::Text(text),
        Token::Word(text) => Term::Symbol(text),
        Token::Quoted(text) | Token::Macro(text) => Term::Text(text),
        Token::Sign(sign) => Term::Text(sign.into()),
    }
}

/// `y`, `m`, `n` and numbers; `64BIT` is a symbol.
pub(crate) fn is_constant(text: &str) -> bool {
    matches!(text, "y" | "m" | "n") || crate::expr::number(text).is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(line: &str) -> String {
        let variables = [("SRCARCH", "x86".to_string()), ("ARCH", "x86_64".to_string())];
        expression(&tokens(line, &variables)).0.to_string()
    }

    #[test]
    fn expressions() {
        for (line, expr) in [
            ("A && (B || !C) # why", "A && (B || !C)"),
            ("A=n || A != m", "A = n || A != m"),
            ("NR_CPUS >= 2 && 64BIT", "NR_CPUS >= 2 && 64BIT"),
            ("$(cc-option,-mtune=(x)) && A", "$(cc-option,-mtune=(x)) && A"),
            ("\"$(ARCH)\" != \"i386\"", "y"),
            ("A || y", "y"),
            ("m && A", "m && A"),
            ("$(cc-version) > 110000", "\"$(cc-version)\" > 110000"),
            ("A B", "A"),
            ("&&", "(nothing)"),
        ] {
            assert_eq!(parse(line), expr, "{line}");
        }
    }

    #[test]
    fn deep_nesting_ends() {
        let deep = format!("{}A", "(".repeat(100_000));
        assert!(parse(&deep).contains("too deeply"));
        assert!(parse(&"!".repeat(100_001)).contains("too deeply"));
    }

    proptest! {
        #[test]
        fn any_line_is_read(line in "\\PC{0,80}|[A-C!&|()=<>$\"' #\\\\]{0,60}") {
            parse(&line);
        }
    }
}
