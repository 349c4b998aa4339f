//! Which lines of the patched files are the patch's own, hunk by hunk, and which of them can have code. Compares the files
//! before and after; knows nothing of what was compiled or executed.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use similar::{Algorithm, DiffOp, capture_diff_slices, group_diff_ops};
use tree_sitter::Node;

use super::functions::Functions;
use crate::observe::{ChangedHunk, ChangedLine, Neighbour, Side};
use crate::subject::c_source::{self, CSource, children, descendants};
use failure::Result;
use patch::{Base, Overlay, Proved};

/// Lines shown before and after a change.
const CONTEXT: usize = 3;

/// The hunks between `base` and the same with `proved` on top.
///
/// # Errors
/// When the tree cannot be read.
pub fn changed(base: &dyn Base, proved: &Proved) -> Result<Vec<ChangedHunk>> {
    let mut patched = Overlay::new(base);
    patched.add(proved);
    let mut hunks = Vec::new();
    let mut seen = Vec::new();
    for path in proved.files.iter().map(|file| &file.path) {
        if seen.contains(&path) {
            continue;
        }
        seen.push(path);
        let before = base.read(path)?.unwrap_or_default();
        let after = patched.read(path)?.unwrap_or_default();
        hunks_of(path, &before, &after, &mut hunks)?;
    }
    Ok(hunks)
}

fn hunks_of(path: &str, before: &[u8], after: &[u8], hunks: &mut Vec<ChangedHunk>) -> Result<()> {
    let (old, new) = (lines(before), lines(after));
    let of = |text: &[u8]| if is_c(path) { Statements::of(text) } else { Ok(Statements::default()) };
    let (old_code, new_code) = (of(before)?, of(after)?);
    let line = |side, index: usize| {
        let (text, code) = if side == Side::Removed { (&old, &old_code) } else { (&new, &new_code) };
        let number = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
        let text = String::from_utf8_lossy(text.get(index).copied().unwrap_or_default()).into_owned();
        ChangedLine { side, number, text, statement: code.at(number), within: code.within(number) }
    };
    let functions = if is_c(path) { Functions::of(after) } else { Functions::default() };
    let ops = capture_diff_slices(Algorithm::Patience, &old, &new);
    for group in group_diff_ops(ops, CONTEXT) {
        let mut found = Vec::new();
        for op in group {
            let (_, was, is) = op.as_tag_tuple();
            match op {
                DiffOp::Equal { .. } => found.extend(is.map(|index| line(Side::Context, index))),
                _ => {
                    found.extend(was.map(|index| line(Side::Removed, index)));
                    found.extend(is.map(|index| line(Side::Added, index)));
                }
            }
        }
        let beside = beside(&found, &new_code);
        let uncounted = uncounted(path, &found, [&old_code, &new_code]);
        let functions = functions.changed_by(&found);
        hunks.push(ChangedHunk {
            number: hunks.len().saturating_add(1),
            path: path.to_owned(),
            lines: found,
            beside,
            functions,
            uncounted,
        });
    }
    Ok(())
}

/// Whether the file is C that is compiled, by itself or by what includes it.
fn is_c(path: &str) -> bool {
    path.ends_with(".c") || path.ends_with(".h")
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split(|byte| *byte == b'\n').collect()
}

/// Where code is only taken away, the statements before and behind it, if they are in the same function.
fn beside(lines: &[ChangedLine], code: &Statements) -> Vec<Neighbour> {
    let has = |side| lines.iter().any(|line| line.side == side && line.statement.is_some());
    if has(Side::Added) || !has(Side::Removed) {
        return Vec::new();
    }
    // In the patched file, the line behind what was taken away.
    let (mut at, mut places) = (0, Vec::new());
    for line in lines {
        match line.side {
            Side::Removed if line.statement.is_some() => places.push(at),
            Side::Removed => {}
            Side::Context | Side::Added => at = line.number,
        }
    }
    let mut beside: Vec<u32> = places.into_iter().flat_map(|at| code.around(at)).collect();
    beside.sort_unstable();
    beside.dedup();
    beside.into_iter().filter_map(|line| Some(Neighbour { line, within: code.within(line)? })).collect()
}

/// What nothing counts of a hunk, in words.
fn uncounted(path: &str, lines: &[ChangedLine], [old, new]: [&Statements; 2]) -> Vec<String> {
    let changed = || lines.iter().filter(|line| line.side != Side::Context && !line.text.trim().is_empty());
    if OTHER_CODE.iter().any(|ending| path.ends_with(ending)) {
        let kind =
            format!("code of a *{} file", path.rsplit_once('.').map_or("", |(stem, _)| &path[stem.len()..]));
        return changed().next().map(|_| kind).into_iter().collect();
    }
    let mut found: Vec<String> = changed()
        .filter(|line| line.statement.is_none())
        .filter_map(
            |line| if line.side == Side::Removed { old.other(line.number) } else { new.other(line.number) },
        )
        .map(str::to_owned)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Endings of files that become code which gcov does not count.
const OTHER_CODE: [&str; 3] = [".S", ".rs", ".lds"];

/// The statements of a file by their lines.
#[derive(Default)]
struct Statements {
    /// First line to last line.
    all: BTreeMap<u32, u32>,
    functions: Vec<RangeInclusive<u32>>,
    /// Lines between `#if`, `#else` and `#endif`.
    branches: Vec<RangeInclusive<u32>>,
    /// Lines that become code or data elsewhere, and what they are.
    others: Vec<(RangeInclusive<u32>, &'static str)>,
}

impl Statements {
    fn of(text: &[u8]) -> Result<Statements> {
        let source = CSource::parse(text)?;
        if !source.is_whole() {
            let others = vec![(0..=u32::MAX, "what is not parsed as C")];
            return Ok(Statements { others, ..Statements::default() });
        }
        let others = descendants(source.root()).into_iter().filter_map(other).collect();
        let mut statements = Statements { others, branches: branches(text), ..Statements::default() };
        for body in bodies(source.root()) {
            statements.add(body, 0);
        }
        statements.add_others(text)?;
        Ok(statements)
    }

    /// The statements of a body whose first line is the one behind `above`.
    fn add(&mut self, body: Node<'_>, above: u32) {
        let moved = |rows: RangeInclusive<u32>| (rows.start() + above, rows.end() + above);
        let (first, last) = moved(rows(body));
        self.functions.push(first..=last);
        for (first, last) in descendants(body).into_iter().filter_map(statement).map(moved) {
            let known = self.all.entry(first).or_insert(last);
            *known = (*known).max(last);
        }
    }

    /// Bodies that the parser did not find, because of a macro in the head of their function (`__printf(2, 3)`): each is
    /// parsed by itself.
    fn add_others(&mut self, text: &[u8]) -> Result<()> {
        for body in c_source::bodies(text) {
            let (first, last) = (body.first, body.last);
            if self.functions.contains(&(first..=last)) {
                continue;
            }
            let source = body.parse(text)?;
            for body in bodies(source.root()).into_iter().take(1) {
                // The head stands in the line above it.
                self.add(body, first.saturating_sub(2));
            }
            let inside = |rows: &RangeInclusive<u32>| first <= *rows.start() && *rows.end() <= last;
            self.others.retain(|(rows, _)| !inside(rows));
        }
        Ok(())
    }

    /// The lines that are compiled where this one is: those of the branch of an `#if` that it is in, or of its function.
    fn within(&self, line: u32) -> Option<(u32, u32)> {
        let around = self.functions.iter().chain(&self.branches).filter(|lines| lines.contains(&line));
        let innermost = around.min_by_key(|lines| lines.end() - lines.start())?;
        self.functions
            .iter()
            .any(|lines| lines.contains(&line))
            .then(|| (*innermost.start(), *innermost.end()))
    }

    /// What the line is that becomes code or data elsewhere; None: nothing of that kind.
    fn other(&self, line: u32) -> Option<&'static str> {
        self.others.iter().find(|(lines, _)| lines.contains(&line)).map(|(_, what)| *what)
    }

    /// The innermost statement that has the line.
    fn at(&self, line: u32) -> Option<(u32, u32)> {
        let mut before = self.all.range(..=line).rev();
        let (first, last) = before.next()?;
        (*last >= line).then_some((*first, *last))
    }

    /// The first lines of the statements that stand before and behind what stood below `line`, in its function.
    fn around(&self, line: u32) -> Vec<u32> {
        let Some(function) = self.functions.iter().find(|lines| lines.contains(&line)) else {
            return Vec::new();
        };
        let before = self.all.range(..=line).next_back();
        let behind = self.all.range(line.saturating_add(1)..).next();
        let inside =
            |found: Option<(&u32, &u32)>| found.map(|(first, _)| *first).filter(|at| function.contains(at));
        inside(before).into_iter().chain(inside(behind)).collect()
    }
}

/// The lines of each branch of an `#if`, also of those within others.
fn branches(text: &[u8]) -> Vec<RangeInclusive<u32>> {
    let (mut open, mut found) = (Vec::new(), Vec::new());
    for (index, line) in lines(text).into_iter().enumerate() {
        let number = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
        let Some(rest) = line.trim_ascii_start().strip_prefix(b"#") else { continue };
        let word = rest.trim_ascii_start();
        let ends = [&b"el"[..], b"endif"].iter().any(|start| word.starts_with(start));
        if ends && let Some(from) = open.pop() {
            found.push(from..=number.saturating_sub(1));
        }
        if word.starts_with(b"if") || word.starts_with(b"el") {
            open.push(number.saturating_add(1));
        }
    }
    found.into_iter().filter(|lines| lines.start() <= lines.end()).collect()
}

/// The outermost blocks: bodies of functions, also of those whose head is a macro (`SYSCALL_DEFINE3(…)`), which is no function
/// to a parser.
fn bodies(root: Node<'_>) -> Vec<Node<'_>> {
    let mut bodies: Vec<Node<'_>> = Vec::new();
    // In their order: only the last one may hold the next.
    for node in descendants(root).into_iter().filter(|node| node.kind() == "compound_statement") {
        if bodies.last().is_none_or(|body| !body.byte_range().contains(&node.start_byte())) {
            bodies.push(node);
        }
    }
    bodies
}

fn rows(node: Node<'_>) -> RangeInclusive<u32> {
    let row = |row: usize| u32::try_from(row).unwrap_or(u32::MAX).saturating_add(1);
    row(node.start_position().row)..=row(node.end_position().row)
}

/// A macro, or the value of data: of a local variable that is not static it is code.
fn other(node: Node<'_>) -> Option<(RangeInclusive<u32>, &'static str)> {
    match node.kind() {
        "preproc_def" | "preproc_function_def" => {
            let first = *rows(node).start();
            // It ends at the beginning of the next line.
            Some((first..=first.max(rows(node).end().saturating_sub(1)), "a macro"))
        }
        "init_declarator" => Some((rows(node), "data")),
        "ERROR" => Some((rows(node), "what is not parsed as C")),
        _ => None,
    }
}

/// The lines of a statement; of one that holds others, those of its head. None: it makes no code by itself.
fn statement(node: Node<'_>) -> Option<RangeInclusive<u32>> {
    match node.kind() {
        "expression_statement"
        | "return_statement"
        | "goto_statement"
        | "break_statement"
        | "continue_statement" => Some(rows(node)),
        "declaration" => {
            // Of a static variable the value is data.
            let is_static = children(node).iter().any(|child| child.kind() == "storage_class_specifier");
            let has_value = children(node).iter().any(|child| child.kind() == "init_declarator");
            (has_value && !is_static).then(|| rows(node))
        }
        "if_statement" | "switch_statement" | "while_statement" => {
            let head = node.child_by_field_name("condition")?;
            Some(*rows(node).start()..=*rows(head).end())
        }
        "do_statement" => node.child_by_field_name("condition").map(rows),
        "for_statement" => {
            let body = node.child_by_field_name("body")?;
            let (first, last) = (*rows(node).start(), *rows(body).start());
            Some(
                first..=if body.kind() == "compound_statement" {
                    last
                } else {
                    last.saturating_sub(1).max(first)
                },
            )
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "\
static int f(int a)
{
\tint b = a;
\tint c;

\tlock();
\tif (a &&
\t    b) {
\t\tput(a);
\t\treturn 1;
\t}
\tunlock();
\treturn 0;
}
";

    fn between(before: &str, after: &str) -> Vec<ChangedHunk> {
        let mut hunks = Vec::new();
        hunks_of("kernel/f.c", before.as_bytes(), after.as_bytes(), &mut hunks).unwrap();
        hunks
    }

    #[test]
    fn a_line_knows_the_statement_that_it_is_part_of() {
        let after = BEFORE.replace("\t    b) {", "\t    /* why */\n\t    !b) {");
        let hunks = between(BEFORE, &after);
        let added: Vec<_> = hunks[0]
            .lines
            .iter()
            .filter(|line| line.side == Side::Added)
            .map(|line| (line.number, line.statement))
            .collect();
        assert_eq!(added, [(8, Some((7, 9))), (9, Some((7, 9)))]);
        assert!(hunks[0].has_code());
        assert_eq!(hunks[0].place(), "kernel/f.c:8");
    }

    #[test]
    fn a_declaration_a_comment_and_a_brace_have_no_code() {
        let after = BEFORE.replace("\tint c;\n", "\tint c, d;\n\t/* nothing */\n");
        let hunks = between(BEFORE, &after);
        assert!(!hunks[0].has_code());
        assert!(hunks[0].beside.is_empty());
        assert!(hunks[0].uncounted.is_empty());
    }

    #[test]
    fn body_below_a_macro_is_code_as_any_other() {
        let call = BEFORE.replace("static int f(int a)", "SYSCALL_DEFINE2(f, int, a, char __user *, buf)");
        let hunks = between(&call, &call.replace("\tlock();", "\tlock_all();"));
        assert!(hunks[0].has_code(), "{hunks:?}");
        let exported = format!("{BEFORE}EXPORT_SYMBOL(f);\n");
        assert!(!between(BEFORE, &exported)[0].has_code());
    }

    #[test]
    fn file_that_is_not_parsed_is_not_taken_for_one_without_code() {
        let deep = format!("int a = {}1{};\n", "(".repeat(1 << 22), ")".repeat(1 << 22));
        let hunks = between(&deep, &format!("{deep}int f(void) {{ return 1; }}\n"));
        assert_eq!(hunks[0].uncounted, ["what is not parsed as C"]);
    }

    #[test]
    fn what_becomes_code_or_data_elsewhere_is_said() {
        let before = format!("#define SIZE(a) \\\n\t(a)\nstatic int limit = 1;\n{BEFORE}");
        let changed = |from: &str, to: &str| between(&before, &before.replace(from, to))[0].uncounted.clone();
        assert_eq!(changed("\t(a)\n", "\t(a + 1)\n"), ["a macro"]);
        assert_eq!(changed("limit = 1", "limit = 2"), ["data"]);
        assert_eq!(changed("int b = a;", "static int b = 3;"), ["data"]);
        assert!(changed("int b = a;", "int b = a + 1;").is_empty());
        let mut hunks = Vec::new();
        hunks_of("arch/x86/lib/f.S", b"\tret\n", b"\tnop\n\tret\n", &mut hunks).unwrap();
        assert_eq!(hunks[0].uncounted, ["code of a *.S file"]);
    }

    #[test]
    fn where_code_is_taken_away_the_statements_around_it_stand_for_it() {
        let hunks = between(BEFORE, &BEFORE.replace("\t\tput(a);\n", ""));
        assert!(hunks[0].has_code());
        let lines = |hunk: &ChangedHunk| hunk.beside.iter().map(|beside| beside.line).collect::<Vec<_>>();
        assert_eq!(lines(&hunks[0]), [7, 9]);
        assert_eq!(hunks[0].beside[0].within, (2, 13));
        let all = between(BEFORE, &BEFORE.replace("\tunlock();\n", ""));
        assert_eq!(lines(&all[0]), [10, 12]);
    }

    #[test]
    fn body_below_a_head_that_is_no_c_is_parsed_by_itself() {
        let before =
            BEFORE.replace("static int f(int a)", "int __printf(2, 3) f(int a, const char *fmt, ...)");
        let hunks = between(&before, &before.replace("\tlock();", "\tif (a)\n\t\treturn 2;\n\tlock();"));
        let added: Vec<_> = hunks[0]
            .lines
            .iter()
            .filter(|line| line.side == Side::Added)
            .map(|line| line.statement)
            .collect();
        assert_eq!(added, [Some((6, 6)), Some((7, 7))]);
        assert!(hunks[0].uncounted.is_empty(), "{:?}", hunks[0].uncounted);
    }

    #[test]
    fn line_is_compiled_with_its_branch_of_an_if_or_with_its_function() {
        let text = "int f(void)\n{\n\ta();\n#ifdef A\n\tb();\n#if B\n\tc();\n#else\n\td();\n#endif\n\te();\n#endif\n\treturn 0;\n}\nint x;\n";
        let statements = Statements::of(text.as_bytes()).unwrap();
        let within = |line| statements.within(line);
        assert_eq!([within(3), within(13)], [Some((2, 14)); 2]);
        assert_eq!([within(5), within(11)], [Some((5, 11)); 2]);
        assert_eq!([within(7), within(9)], [Some((7, 7)), Some((9, 9))]);
        assert_eq!(within(15), None);
    }
}
