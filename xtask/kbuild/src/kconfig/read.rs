//! Reads the Kconfig files from the top one down (scripts/kconfig/parser.y, menu.c). Lines that it does not know are
//! passed over: a base tree may be newer than this code.

use super::scan::{Token, Variables, as_term, expression, tokens};
use super::{DefaultLine, Kconfig, KconfigBlock, KconfigChoice, KconfigEntry, KconfigPlace, SymbolKind};
use crate::expr::Expr;
use crate::file::{self, TreeFiles};

/// 7.2 has 1,900 files.
const MAX_FILES: usize = 20_000;
/// 7.2 has 22,000 entries.
const MAX_ENTRIES: usize = 400_000;
/// `source` below `source`.
const MAX_NESTING: usize = 32;

/// Reads `top` and what it sources, below `root`.
pub(crate) fn read(tree: &TreeFiles, top: &str, variables: &Variables) -> Kconfig {
    let mut reader = KconfigReader {
        tree,
        variables,
        kconfig: Kconfig::default(),
        frames: Vec::new(),
        files: Vec::new(),
        count: 0,
    };
    reader.file(top);
    while !reader.frames.is_empty() {
        reader.leave();
    }
    let mut kconfig = reader.kconfig;
    kconfig.index();
    kconfig
}

struct KconfigReader<'a> {
    tree: &'a TreeFiles,
    variables: &'a Variables,
    kconfig: Kconfig,
    /// Menus, `if`s and choices around the line.
    frames: Vec<OpenBlock>,
    /// Files around the line.
    files: Vec<String>,
    count: usize,
}

struct OpenBlock {
    depends: Expr,
    visible: Expr,
    choice: Option<usize>,
    /// Into [`Kconfig::blocks`].
    block: usize,
}

/// Which block the property lines belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EntryTarget {
    Entry,
    /// The innermost frame.
    Frame,
    Nothing,
}

impl KconfigReader<'_> {
    fn file(&mut self, path: &str) {
        if self.count >= MAX_FILES || self.files.len() >= MAX_NESTING || self.files.iter().any(|f| f == path)
        {
            return;
        }
        let Some(text) = self.tree.text(path) else { return };
        self.count += 1;
        self.files.push(path.to_string());
        let (mut target, mut help) = (EntryTarget::Nothing, None);
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            if let Some(least) = &mut help {
                if is_help(line, least) {
                    if !line.trim().is_empty() {
                        self.extend(target, number + 1);
                    }
                    continue;
                }
                help = None;
            }
            let mut whole = line.to_string();
            let mut last = number;
            while whole.ends_with('\\') {
                whole.pop();
                let Some((number, next)) = lines.next() else { break };
                whole.push_str(next);
                last = number;
            }
            let words = tokens(&whole, self.variables);
            if let Some(Token::Word(first)) = words.first() {
                if matches!(first.trim_matches('-'), "help") && words.len() == 1 {
                    help = Some(None);
                } else {
                    target = self.line(first, &words[1..], target, number + 1);
                }
                self.extend(target, last + 1);
            }
        }
        self.files.pop();
    }

    /// A line that begins with `first`; gives the block to which the next lines belong.
    fn line(&mut self, first: &str, rest: &[Token], target: EntryTarget, line: usize) -> EntryTarget {
        match first {
            "config" | "menuconfig" => self.entry(rest, line),
            "menu" => self.enter(Expr::Const(true), None, line),
            "if" => {
                let condition = expression(rest).0;
                self.enter(condition, None, line);
                // Properties never follow an `if`.
                EntryTarget::Nothing
            }
            "choice" => {
                let choice =
                    KconfigChoice { depends: Expr::Const(true), optional: false, members: Vec::new() };
                self.kconfig.choices.push(choice);
                self.enter(Expr::Const(true), Some(self.kconfig.choices.len() - 1), line)
            }
            "endmenu" | "endif" | "endchoice" => {
                self.leave();
                EntryTarget::Nothing
            }
            "source" | "osource" | "rsource" | "orsource" => {
                self.source(rest, first.contains("rs"));
                EntryTarget::Nothing
            }
            "comment" | "mainmenu" => EntryTarget::Nothing,
            _ => {
                match target {
                    EntryTarget::Entry => self.property(first, rest),
                    EntryTarget::Frame => self.frame_property(first, rest),
                    EntryTarget::Nothing => {}
                }
                target
            }
        }
    }

    fn here(&self, line: usize) -> KconfigPlace {
        KconfigPlace { file: self.files.last().cloned().unwrap_or_default(), line }
    }

    fn entry(&mut self, rest: &[Token], line: usize) -> EntryTarget {
        let [Token::Word(symbol) | Token::Quoted(symbol), ..] = rest else { return EntryTarget::Nothing };
        if self.kconfig.entries.len() >= MAX_ENTRIES {
            return EntryTarget::Nothing;
        }
        let entry = KconfigEntry {
            symbol: symbol.clone(),
            kind: SymbolKind::Unknown,
            prompt: None,
            depends: Expr::and(self.frames.iter().map(|frame| frame.depends.clone())),
            defaults: Vec::new(),
            selects: Vec::new(),
            implies: Vec::new(),
            ranges: Vec::new(),
            choice: self.frames.last().and_then(|frame| frame.choice),
            place: self.here(line),
            last_line: line,
        };
        self.kconfig.entries.push(entry);
        EntryTarget::Entry
    }

    fn enter(&mut self, depends: Expr, choice: Option<usize>, line: usize) -> EntryTarget {
        let start = self.kconfig.entries.len();
        let place = self.here(line);
        self.kconfig.blocks.push(KconfigBlock { place, last_line: line, inside: start..start });
        let block = self.kconfig.blocks.len() - 1;
        // An `if` inside a choice leaves its entries members of it.
        let choice = choice.or_else(|| self.frames.last().and_then(|frame| frame.choice));
        self.frames.push(OpenBlock { depends, visible: Expr::Const(true), choice, block });
        EntryTarget::Frame
    }

    fn leave(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        if let Some(block) = self.kconfig.blocks.get_mut(frame.block) {
            block.inside.end = self.kconfig.entries.len();
        }
    }

    /// `line` belongs to the block.
    fn extend(&mut self, target: EntryTarget, line: usize) {
        match target {
            EntryTarget::Entry => {
                if let Some(entry) = self.kconfig.entries.last_mut() {
                    entry.last_line = line;
                }
            }
            EntryTarget::Frame => {
                let block = self.frames.last().map(|frame| frame.block);
                if let Some(block) = block.and_then(|at| self.kconfig.blocks.get_mut(at)) {
                    block.last_line = line;
                }
            }
            EntryTarget::Nothing => {}
        }
    }

    fn source(&mut self, rest: &[Token], relative: bool) {
        let [Token::Quoted(path) | Token::Word(path), ..] = rest else { return };
        let folder = if relative { file::folder(self.files.last().map_or("", String::as_str)) } else { "" };
        if let Some(path) = file::inside(&file::join(folder, path)) {
            self.file(&path);
        }
    }

    fn frame_property(&mut self, first: &str, rest: &[Token]) {
        let Some(frame) = self.frames.last_mut() else { return };
        match (first, rest) {
            ("depends", [Token::Word(on), rest @ ..]) if on == "on" => {
                frame.depends = Expr::and([frame.depends.clone(), dependency(rest)]);
            }
            ("visible", [Token::Word(word), rest @ ..]) if word == "if" => {
                frame.visible = Expr::and([frame.visible.clone(), expression(rest).0]);
            }
            ("prompt" | "bool" | "tristate", [Token::Quoted(_), rest @ ..]) => {
                if let Some(choice) = frame.choice.and_then(|at| self.kconfig.choices.get_mut(at)) {
                    choice.depends = Expr::and([choice.depends.clone(), condition(rest)]);
                }
            }
            ("optional", _) => {
                if let Some(choice) = frame.choice.and_then(|at| self.kconfig.choices.get_mut(at)) {
                    choice.optional = true;
                }
            }
            _ => {}
        }
    }

    fn property(&mut self, first: &str, rest: &[Token]) {
        let visible = Expr::and(self.frames.iter().map(|frame| frame.visible.clone()));
        let Some(entry) = self.kconfig.entries.last_mut() else { return };
        if let Some((kind, with_default)) = kind(first) {
            entry.kind = kind;
            if with_default {
                entry.defaults.extend(default_line(rest));
            } else if let [Token::Quoted(_) | Token::Word(_), rest @ ..] = rest {
                entry.prompt = Some(Expr::and([visible, condition(rest)]));
            }
            return;
        }
        match (first, rest) {
            ("prompt", [_, rest @ ..]) => entry.prompt = Some(Expr::and([visible, condition(rest)])),
            ("depends", [Token::Word(on), rest @ ..]) if on == "on" => {
                entry.depends = Expr::and([entry.depends.clone(), dependency(rest)]);
            }
            ("default", rest) => entry.defaults.extend(default_line(rest)),
            ("select", [Token::Word(symbol), rest @ ..]) => {
                entry.selects.push((symbol.clone(), condition(rest)));
            }
            ("imply", [Token::Word(symbol), rest @ ..]) => {
                entry.implies.push((symbol.clone(), condition(rest)));
            }
            ("range", [low, high, rest @ ..]) => {
                entry.ranges.push((as_term(low.clone()), as_term(high.clone()), condition(rest)));
            }
            _ => {}
        }
    }
}

/// A type, and whether the line gives a default too.
fn kind(word: &str) -> Option<(SymbolKind, bool)> {
    Some(match word {
        "bool" | "boolean" => (SymbolKind::Bool, false),
        "tristate" => (SymbolKind::Tristate, false),
        "int" => (SymbolKind::Int, false),
        "hex" => (SymbolKind::Hex, false),
        "string" => (SymbolKind::Text, false),
        "def_bool" => (SymbolKind::Bool, true),
        "def_tristate" => (SymbolKind::Tristate, true),
        _ => return None,
    })
}

/// What stands after `if`; true if there is none.
fn condition(tokens: &[Token]) -> Expr {
    match tokens {
        [Token::Word(word), rest @ ..] if word == "if" => expression(rest).0,
        _ => Expr::Const(true),
    }
}

/// `A`, or `A if B`: A is demanded only with B.
fn dependency(tokens: &[Token]) -> Expr {
    let (expr, rest) = expression(tokens);
    match condition(rest) {
        Expr::Const(true) => expr,
        condition => Expr::or([Expr::not(condition), expr]),
    }
}

fn default_line(tokens: &[Token]) -> Option<DefaultLine> {
    tokens.first()?;
    let (expr, rest) = expression(tokens);
    Some(DefaultLine { expr, condition: condition(rest) })
}

/// A line of a help text, whose first line gives the indentation; empty lines belong to it.
fn is_help(line: &str, least: &mut Option<usize>) -> bool {
    if line.trim().is_empty() {
        return true;
    }
    let mut indent = 0;
    for c in line.chars() {
        match c {
            ' ' => indent += 1,
            '\t' => indent = (indent / 8 + 1) * 8,
            _ => break,
        }
    }
    match *least {
        None if indent > 0 => {
            *least = Some(indent);
            true
        }
        None => false,
        Some(least) => indent >= least,
    }
}
