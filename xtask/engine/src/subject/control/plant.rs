//! Plants a bug: source text in, source text out. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tree_sitter::Node;

use super::place::{Search, Spot, is_block};
use crate::subject::c_source::descendants;

/// What a control does to the code, as its file in `patches/controls/` describes it. In every text `$it` is the
/// statement (of `condition`: the condition) as the version under test has it, `$1` the first argument of the call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Deed {
    /// The name of a place in `patches/places.yaml`.
    pub at: String,
    /// A header that the planted lines need.
    pub include: Option<String>,
    /// Declarations for the lines below.
    pub declare: Option<String>,
    /// Lines before the statement.
    pub before: Option<String>,
    /// Lines after it.
    pub after: Option<String>,
    /// Lines in its place.
    pub instead: Option<String>,
    /// The statement, or the whole empty function, goes away.
    #[serde(default)]
    pub remove: bool,
    /// It is done only if this is true.
    pub only_if: Option<String>,
    /// An expression in place of the call alone.
    pub expression: Option<String>,
    /// What the `if` around the call asks.
    pub condition: Option<String>,
    /// The statement goes behind the one that it stands beside.
    #[serde(default)]
    pub move_behind: bool,
}

/// One replacement in a file.
struct Replacement {
    start: usize,
    end: usize,
    text: String,
}

impl Deed {
    /// Whether it says what to do, once.
    pub fn is_clear(&self) -> bool {
        let around = self.before.is_some() || self.after.is_some();
        let others = [
            self.instead.is_some(),
            self.remove,
            self.only_if.is_some(),
            self.expression.is_some(),
            self.condition.is_some(),
            self.move_behind,
        ];
        let of_others = others.iter().filter(|is| **is).count();
        usize::from(around) + of_others == 1
    }

    /// The files with the bug in them.
    ///
    /// # Errors
    /// In a sentence, when this version of the source has no place for it.
    pub fn plant(&self, search: &Search<'_>) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let mut edits: BTreeMap<&str, Vec<Replacement>> = BTreeMap::new();
        let mut spots = search.find(&self.at)?;
        if self.move_behind {
            // Two calls of one statement move together.
            let mut seen = BTreeSet::new();
            spots.retain(|spot| seen.insert((spot.path, spot.in_block.map(|(it, _)| it.id()))));
        }
        for spot in &spots {
            edits.entry(spot.path).or_default().extend(self.edits(spot)?);
        }
        let mut planted = BTreeMap::new();
        for (path, mut edits) in edits {
            let source = search.files[path].bytes();
            edits.extend(self.include.as_ref().map(|header| include(search, path, header)).transpose()?);
            edits.sort_by_key(|edit| edit.start);
            if edits.windows(2).any(|pair| pair[0].end > pair[1].start) {
                return Err(format!("its places in {path} overlap"));
            }
            let mut text = source.to_owned();
            for edit in edits.iter().rev() {
                text.splice(edit.start..edit.end, edit.text.bytes());
            }
            planted.insert(path.to_owned(), text);
        }
        Ok(planted)
    }

    fn edits(&self, spot: &Spot<'_>) -> Result<Vec<Replacement>, String> {
        let it = Statement::new(spot);
        if let Some(expression) = &self.expression {
            let call = spot.call.ok_or("the place is no call")?;
            let text = it.fill(expression, it.text());
            return Ok(vec![Replacement { start: call.start_byte(), end: call.end_byte(), text }]);
        }
        if let Some(condition) = &self.condition {
            let asked = asked(spot.call.ok_or("the place is no call")?)
                .ok_or_else(|| "the call is in no condition".to_owned())?;
            let inner = spot.source.text_of(asked);
            let inner = inner.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(inner);
            let text = format!("({})", it.fill(condition, inner));
            return Ok(vec![Replacement { start: asked.start_byte(), end: asked.end_byte(), text }]);
        }
        if self.move_behind {
            return moved(spot);
        }
        let is_needed = self.before.is_none() || self.after.is_some();
        if is_needed {
            it.must_be_plain()?;
        }
        Ok(vec![it.replaced(&self.body(&it), self.declare.as_deref().map(|text| it.fill(text, it.text())))])
    }

    /// What stands in the place of the statement.
    fn body(&self, it: &Statement<'_>) -> Vec<String> {
        let text = it.text().to_owned();
        let fill = |words: &str| it.fill(words, it.text());
        let lines = |words: &Option<String>| {
            words.iter().flat_map(|words| words.lines().map(fill)).collect::<Vec<_>>()
        };
        if self.remove {
            return Vec::new();
        }
        if self.instead.is_some() {
            return lines(&self.instead);
        }
        if let Some(condition) = &self.only_if {
            return vec![format!("if ({}) {{", fill(condition)), format!("\t{text}"), "}".to_owned()];
        }
        [lines(&self.before), vec![text], lines(&self.after)].concat()
    }
}

/// The statement behind the one that it stands beside.
fn moved(spot: &Spot<'_>) -> Result<Vec<Replacement>, String> {
    let (it, behind) = spot.in_block.ok_or("nothing stands beside the place")?;
    let (it, behind) = (Statement { spot, node: it }, Statement { spot, node: behind });
    it.must_be_plain()?;
    behind.must_be_plain()?;
    if behind.node.start_byte() < it.node.start_byte() {
        return Err("it is behind that already".to_owned());
    }
    let body = vec![behind.text().to_owned(), it.text().to_owned()];
    Ok(vec![it.replaced(&[], None), behind.replaced(&body, None)])
}

/// A statement as it stands in its file.
#[derive(Clone, Copy)]
struct Statement<'a> {
    spot: &'a Spot<'a>,
    node: Node<'a>,
}

impl<'a> Statement<'a> {
    fn new(spot: &'a Spot<'a>) -> Self {
        Statement { spot, node: spot.node }
    }

    fn text(&self) -> &'a str {
        self.spot.source.text_of(self.node).trim_end()
    }

    fn fill(&self, words: &str, it: &str) -> String {
        let mut text = words.replace("$it", it);
        let arguments = self.spot.call.map(|call| self.spot.source.arguments(call)).unwrap_or_default();
        for (index, argument) in arguments.iter().enumerate() {
            text = text.replace(&format!("${}", index + 1), argument);
        }
        text
    }

    /// It can be left out, or left at its end only: nothing is declared in it, and nothing returned.
    fn must_be_plain(&self) -> Result<(), String> {
        let jumps = |node: &Node<'_>| matches!(node.kind(), "return_statement" | "goto_statement");
        let found = if self.node.kind() == "declaration" {
            "declares something"
        } else if descendants(self.node).iter().any(jumps) {
            "leaves the function or jumps"
        } else {
            return Ok(());
        };
        let line = self.node.start_position().row + 1;
        Err(format!("the statement at {}:{line} {found}", self.spot.path))
    }

    /// The statement replaced by `body`, in a block of its own where it has to be.
    fn replaced(&self, body: &[String], declared: Option<String>) -> Replacement {
        let (start, mut end) = (self.node.start_byte(), self.node.start_byte() + self.text().len());
        let in_block = self.node.parent().is_some_and(is_block);
        let is_function = self.node.kind() == "function_definition";
        let indent = self.indent();
        if body.is_empty() && (in_block || is_function) {
            // With its line, so that the file looks as if it had never been there.
            let bytes = self.spot.source.bytes();
            let before = bytes[..start].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            if bytes[before..start].iter().all(u8::is_ascii_whitespace) && bytes.get(end) == Some(&b'\n') {
                end += 1;
                return Replacement { start: before, end, text: String::new() };
            }
        }
        let mut lines: Vec<String> = Vec::new();
        let braces = declared.is_some() || !in_block;
        if braces {
            lines.push("{".to_owned());
            lines.extend(declared.iter().flat_map(|words| words.lines()).map(|line| format!("\t{line}")));
            lines.extend(declared.iter().map(|_| String::new()));
            lines.extend(body.iter().map(|line| format!("\t{line}")));
            lines.push("}".to_owned());
        } else {
            lines.extend(body.iter().cloned());
        }
        let text = lines.join(&format!("\n{indent}"));
        Replacement { start, end, text }
    }

    /// The white space before it.
    fn indent(&self) -> String {
        let bytes = self.spot.source.bytes();
        let start = self.node.start_byte();
        let line = bytes[..start].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let blank = bytes[line..start].iter().take_while(|b| matches!(b, b' ' | b'\t'));
        blank.map(|b| char::from(*b)).collect()
    }
}

/// The condition of the `if` that `node` is asked in.
fn asked(mut node: Node<'_>) -> Option<Node<'_>> {
    loop {
        let parent = node.parent()?;
        if parent.kind() == "if_statement" {
            return parent.child_by_field_name("condition").filter(|condition| condition.id() == node.id());
        }
        node = parent;
    }
}

/// Another header, below the last one that the file includes outside of every condition.
fn include(search: &Search<'_>, path: &str, header: &str) -> Result<Replacement, String> {
    let root = search.files[path].root();
    let mut includes =
        crate::subject::c_source::children(root).into_iter().filter(|node| node.kind() == "preproc_include");
    let last = includes.next_back().ok_or_else(|| format!("{path} includes nothing"))?;
    let end = last.start_byte() + search.files[path].text_of(last).trim_end().len();
    Ok(Replacement { start: end, end, text: format!("\n#include <{header}>") })
}
