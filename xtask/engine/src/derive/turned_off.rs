//! What compiles a part of the patch only where a symbol is off: assertions that drop the call in their brackets, and files that
//! have to do without another one that changes. Such a kernel is another than the one that everything is tried on, so
//! what it needs is never mixed with what the others need. Reads text; what a macro makes of a macro is not known.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use kbuild::{Expr, KbuildTree, Value};
use regex::Regex;

use super::{FileKind, PatchedFiles, Want, called, kind_of, paths_of};
use crate::observe::{ChangedHunk, ChangedLine, Side};

/// Parts of a function's name that say that a call of it changes something.
const CHANGES: [&str; 25] = [
    "set", "clear", "add", "del", "insert", "remove", "put", "get", "init", "register", "alloc", "free",
    "lock", "unlock", "inc", "dec", "xchg", "try", "charge", "wake", "cancel", "enable", "disable", "start",
    "stop",
];

/// What evaluates nothing of what stands in its brackets (include/linux/build_bug.h, include/linux/printk.h).
const EVALUATES_NOTHING: [&str; 4] = ["BUILD_BUG_ON_INVALID(", "sizeof(", "typecheck(", "no_printk("];

/// What the hunks need compiled with something off; empty for most patches.
pub(super) fn wants(
    tree: &KbuildTree,
    files: &PatchedFiles<'_>,
    hunks: &[ChangedHunk],
    given: &dyn Fn(&str) -> Value,
) -> Vec<Want> {
    let mut wants = dropped_calls(tree, files, hunks);
    wants.extend(one_without_the_other(tree, hunks));
    wants.retain(|want| {
        want.condition.holds(given) != Some(true) && tree.solve(&want.condition, given).is_ok()
    });
    wants
}

/// Kernels in which an assertion of a changed line drops a call that does something.
fn dropped_calls(tree: &KbuildTree, files: &PatchedFiles<'_>, hunks: &[ChangedHunk]) -> Vec<Want> {
    let mut wants = Vec::new();
    for path in paths_of(hunks) {
        let lines: Vec<&ChangedLine> =
            hunks.iter().filter(|hunk| hunk.path == path).flat_map(|hunk| &hunk.lines).collect();
        let macros: Vec<String> = assertions_that_change(&lines).into_iter().collect();
        let Some(object) = tree.objects_of(path).into_iter().next().filter(|_| !macros.is_empty()) else {
            continue;
        };
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let is_included = |header: &String| header.starts_with("include/") || header.starts_with(folder);
        for header in tree.headers_defining(&macros).into_iter().filter(is_included) {
            let text = (files.patched)(&header).unwrap_or_default();
            let dropping: Vec<usize> =
                macros.iter().flat_map(|name| dropping_definitions(&text, name)).collect();
            let conditions = kbuild::distinct(&kbuild::conditions_at(&text, &dropping));
            // What no symbol decides is not ours to turn off.
            for condition in conditions.into_iter().filter(|condition| !condition.symbols().is_empty()) {
                wants.push(Want {
                    what: format!("{path}: {} without its argument", macros.join(", ")),
                    condition: Expr::and([object.condition.clone(), condition]),
                    counted: BTreeSet::from([object.object.clone()]),
                });
            }
        }
    }
    wants
}

/// For each two changed files of which one defines, in a changed line, what the other one calls in a changed line: the one without
/// the other. What both call is defined elsewhere.
fn one_without_the_other(tree: &KbuildTree, hunks: &[ChangedHunk]) -> Vec<Want> {
    let sources = paths_of(hunks).into_iter().filter(|path| matches!(kind_of(path), FileKind::Source));
    let known: Vec<_> = sources
        .filter_map(|path| {
            Some((path, ChangedNames::of(hunks, path), tree.objects_of(path).into_iter().next()?))
        })
        .collect();
    let mut wants = Vec::new();
    for (path, names, object) in &known {
        let without = known.iter().filter(|(other, others, compiled)| {
            other != path && compiled.condition != object.condition && names.are_tied_to(others)
        });
        wants.extend(without.map(|(other, _, compiled)| Want {
            what: format!("{path} without {other}"),
            condition: Expr::and([object.condition.clone(), Expr::not(compiled.condition.clone())]),
            counted: BTreeSet::from([object.object.clone()]),
        }));
    }
    wants
}

/// Names with arguments in the changed lines of one file.
#[derive(Default)]
struct ChangedNames {
    /// At the start of a line, as functions are.
    defined: BTreeSet<String>,
    called: BTreeSet<String>,
}

impl ChangedNames {
    fn of(hunks: &[ChangedHunk], path: &str) -> ChangedNames {
        let mut names = ChangedNames::default();
        let of_path = hunks.iter().filter(|hunk| hunk.path == path).flat_map(|hunk| &hunk.lines);
        for line in of_path.filter(|line| line.side != Side::Context) {
            let is_within = line.text.starts_with([' ', '\t']);
            let place = if is_within { &mut names.called } else { &mut names.defined };
            place.extend(called(&line.text));
        }
        names
    }

    fn are_tied_to(&self, other: &ChangedNames) -> bool {
        !self.defined.is_disjoint(&other.called) || !other.defined.is_disjoint(&self.called)
    }
}

/// The macros of changed lines with a call in their brackets that does something, or that stands outside of any in a line on
/// the other side.
fn assertions_that_change(lines: &[&ChangedLine]) -> BTreeSet<String> {
    let of = |side: Side| lines.iter().filter(move |line| line.side == side).map(|line| line.text.as_str());
    let mut found = BTreeSet::new();
    for (side, other) in [(Side::Added, Side::Removed), (Side::Removed, Side::Added)] {
        let plain: BTreeSet<String> = of(other).flat_map(|line| called(&without_macros(line))).collect();
        for (name, argument) in of(side).flat_map(macros_in) {
            let calls = called(argument);
            let moves = calls.iter().any(|call| plain.contains(call));
            let changes = calls.iter().any(|call| changes_something(call)) || writes(argument);
            if moves || changes {
                found.insert(name.to_owned());
            }
        }
    }
    found
}

/// Each macro that is written in capital letters, and what stands in its brackets, up to the end of the line.
fn macros_in(line: &str) -> Vec<(&str, &str)> {
    static MACRO: LazyLock<Regex> = LazyLock::new(|| {
        #[expect(clippy::unwrap_used, reason = "a constant")]
        Regex::new(r"\b([A-Z][A-Z0-9_]{2,})\(").unwrap()
    });
    let found = MACRO.captures_iter(line).filter_map(|found| {
        let (name, all) = (found.get(1)?.as_str(), found.get(0)?);
        Some((name, in_brackets(&line[all.end()..])))
    });
    found.collect()
}

/// Up to the bracket that closes.
fn in_brackets(text: &str) -> &str {
    let mut depth = 1_u32;
    let end = text.find(|letter: char| {
        match letter {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    });
    end.map_or(text, |end| &text[..end])
}

fn without_macros(line: &str) -> String {
    let arguments =
        macros_in(line).into_iter().map(|(_, argument)| argument).filter(|argument| !argument.is_empty());
    arguments.fold(line.to_owned(), |line, argument| line.replace(argument, ""))
}

fn changes_something(call: &str) -> bool {
    let is_question =
        ["is", "has", "test", "can", "need"].iter().any(|word| call.split('_').any(|part| part == *word));
    let changes = call.split('_').any(|part| CHANGES.contains(&part));
    changes && (!is_question || call.contains("test_and_"))
}

/// An assignment, or a step up or down.
fn writes(argument: &str) -> bool {
    static WRITES: LazyLock<Regex> = LazyLock::new(|| {
        #[expect(clippy::unwrap_used, reason = "a constant")]
        Regex::new(r"\+\+|--|[^=!<>]=[^=]|<<=|>>=").unwrap()
    });
    WRITES.is_match(argument)
}

/// The lines, from 1, in which `name` is defined so that its arguments are not evaluated.
fn dropping_definitions(text: &str, name: &str) -> Vec<usize> {
    let definition = format!("define {name}(");
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(&definition)) {
        let end = lines[index..].iter().position(|line| !line.trim_end().ends_with('\\')).unwrap_or(0);
        let whole = lines[index..=index + end].join(" ");
        let Some((_, rest)) = line.split_once(&definition).and(whole.split_once(&definition)) else {
            continue;
        };
        let Some((parameters, body)) = rest.split_once(')') else { continue };
        if drops(parameters, body) {
            found.push(index + 1);
        }
    }
    found
}

fn drops(parameters: &str, body: &str) -> bool {
    let mut body = body.to_owned();
    for name in EVALUATES_NOTHING {
        while let Some((before, rest)) = body.split_once(name) {
            body = format!("{before} {}", &rest[in_brackets(rest).len()..]);
        }
    }
    let is_never = body.contains("if (0)") || body.contains("0 &&");
    let names: Vec<&str> = parameters.split(',').map(|name| name.trim().trim_end_matches("...")).collect();
    let is_used = |name: &str| {
        let mut words = body.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.any(|word| word == name || word == "__VA_ARGS__")
    };
    is_never || !names.iter().any(|name| is_used(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(text: &str) -> ChangedLine {
        let side = if text.starts_with('-') { Side::Removed } else { Side::Added };
        ChangedLine { side, number: 1, text: text[1..].to_owned(), statement: None, within: None }
    }

    fn found(lines: &[&str]) -> Vec<String> {
        let lines: Vec<ChangedLine> = lines.iter().map(|line| changed(line)).collect();
        assertions_that_change(&lines.iter().collect::<Vec<_>>()).into_iter().collect()
    }

    #[test]
    fn assertion_counts_where_a_call_in_it_does_something() {
        assert_eq!(found(&["+\tVM_BUG_ON(page_counter_set_max(a, b));"]), ["VM_BUG_ON"]);
        assert_eq!(found(&["-\tret = look(a);", "-\tASSERT(ret);", "+\tASSERT(look(a));"]), ["ASSERT"]);
        assert_eq!(found(&["+\tASSERT(left-- > 0);", "+\tWARN_ON(seen = 1);"]), ["ASSERT", "WARN_ON"]);
        assert_eq!(found(&["+\tVM_BUG_ON_FOLIO(folio_test_large(folio), folio);"]), [""; 0]);
        assert_eq!(found(&["+\tVM_BUG_ON(a == b || a >= c);", "+\tset(A_FLAG);"]), [""; 0]);
    }

    #[test]
    fn definition_drops_its_argument_where_nothing_evaluates_it() {
        let header = "#define T(a) do { if (a) die(); } while (0)\n#define T(a) BUILD_BUG_ON_INVALID(a)\n#define T(a) do { } \
                      while (0)\n#define T(a, b) \\\n\tdo { \\\n\t\tuse(b); \\\n\t} while (0)\n#define T(a...) if (0) f(a)\n";
        assert_eq!(dropping_definitions(header, "T"), [2, 3, 8]);
    }
}
