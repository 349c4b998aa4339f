//! Bugs that are planted in the changed and executed lines of a patch that nobody prepared for, to see whether the workloads would
//! show them. All of them are in one kernel, and a word on its command line says which one is there. Text in, text out: builds
//! and judges nothing.

use std::collections::BTreeMap;
use std::ops::Range;

use tree_sitter::Node;

use crate::campaign::plan::{Mutant, MutantKind};
use crate::subject::c_source::{self, CSource, children, descendants};
use failure::Result;

/// The kernel parameter that says which bug there is (include/linux/moduleparam.h, `core_param`); 0: none.
pub const PARAMETER: &str = "patchproof_mutant";

/// Parts of the names of functions that end what others began.
const RELEASES: [&str; 13] = [
    "unlock",
    "put",
    "free",
    "release",
    "del",
    "remove",
    "unregister",
    "destroy",
    "cancel",
    "flush",
    "exit",
    "drop",
    "restore",
];

/// The bugs, and the files with all of them, by path.
#[derive(Debug)]
pub struct PlantedMutants {
    pub mutants: Vec<Mutant>,
    pub files: BTreeMap<String, Vec<u8>>,
}

/// A place where a bug can be planted.
#[derive(Debug, Clone)]
struct MutantSite {
    kind: MutantKind,
    path: String,
    line: u32,
    range: Range<usize>,
    /// What was there, on one line.
    was: String,
}

/// Plants at most `most` bugs in `files`, the patched ones by path: each kind in turn, where `executed` says that a line is changed
/// and was executed. Gives the bugs, and the files with all of them.
///
/// # Errors
/// When a file cannot be parsed for want of memory.
pub fn plant(
    files: &BTreeMap<String, Vec<u8>>,
    executed: &dyn Fn(&str, u32) -> bool,
    most: usize,
) -> Result<PlantedMutants> {
    let mut sites = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".c")) {
        sites_in(path, text, &|line| executed(path, line), &mut sites)?;
    }
    let chosen = chosen(sites, most);
    let mut planted = BTreeMap::new();
    let mut paths: Vec<&String> = chosen.iter().map(|site| &site.path).collect();
    paths.dedup();
    for path in paths {
        let of_file: Vec<(usize, &MutantSite)> = chosen
            .iter()
            .enumerate()
            .map(|(index, site)| (index + 1, site))
            .filter(|(_, site)| site.path == *path)
            .collect();
        let text = with_bugs(&files[path], &of_file, planted.is_empty());
        planted.insert(path.clone(), text);
    }
    let mutant = |(index, site): (usize, MutantSite)| Mutant {
        number: index + 1,
        name: format!("mutant-{}", index + 1),
        kind: site.kind,
        place: format!("{}:{}", site.path, site.line),
        was: site.was,
    };
    let mutants = chosen.into_iter().enumerate().map(mutant).collect();
    Ok(PlantedMutants { mutants, files: planted })
}

/// Of each kind the first, then of each the second, in the order of files and lines.
fn chosen(sites: Vec<MutantSite>, most: usize) -> Vec<MutantSite> {
    let mut by_kind: BTreeMap<MutantKind, Vec<MutantSite>> = BTreeMap::new();
    for site in sites {
        by_kind.entry(site.kind).or_default().push(site);
    }
    let longest = by_kind.values().map(Vec::len).max().unwrap_or_default();
    let turns = (0..longest).flat_map(|turn| by_kind.values().filter_map(move |sites| sites.get(turn)));
    let mut chosen: Vec<MutantSite> = turns.take(most).cloned().collect();
    chosen.sort_by(|one, other| (&one.path, one.range.start).cmp(&(&other.path, other.range.start)));
    chosen
}

fn sites_in(
    path: &str,
    text: &[u8],
    executed: &dyn Fn(u32) -> bool,
    sites: &mut Vec<MutantSite>,
) -> Result<()> {
    for body in c_source::bodies(text) {
        if !(body.first..=body.last).any(executed) {
            continue;
        }
        let source = body.parse(text)?;
        for node in descendants(source.root()) {
            let line =
                body.first + u32::try_from(node.start_position().row).unwrap_or_default().saturating_sub(1);
            let Some((kind, place)) = site_of(&source, node).filter(|_| executed(line)) else { continue };
            let at = |offset: usize| offset.saturating_sub(c_source::HEAD.len()) + body.bytes.start;
            let was = source.text_of(node).split_whitespace().collect::<Vec<_>>().join(" ");
            let range = at(place.start)..at(place.end);
            let site = MutantSite { kind, path: path.to_owned(), line, range, was };
            // Success for an error and an error for success are not seen by the same tests.
            if kind == MutantKind::Inverted {
                sites.push(MutantSite { kind: MutantKind::Refused, ..site.clone() });
            }
            sites.push(site);
        }
    }
    Ok(())
}

/// Which bug can be planted in a node, and what of it is replaced.
fn site_of(source: &CSource, node: Node<'_>) -> Option<(MutantKind, Range<usize>)> {
    // Where the parser met something that is no C, what stands there may be no statement.
    if node.has_error() {
        return None;
    }
    match node.kind() {
        "if_statement" => {
            let condition = node.child_by_field_name("condition")?;
            Some((MutantKind::Negated, condition.byte_range()))
        }
        "return_statement" => {
            let value =
                children(node).into_iter().find(|child| child.is_named() && child.kind() != "comment")?;
            let is_text = descendants(value).iter().any(|node| node.kind() == "string_literal");
            (!is_text).then(|| (MutantKind::Inverted, value.byte_range()))
        }
        "expression_statement" => {
            let what = children(node).into_iter().next()?;
            let callee = (what.kind() == "call_expression")
                .then(|| what.child_by_field_name("function"))
                .flatten()
                .map(|function| source.text_of(function));
            let ends = callee.is_some_and(|name| RELEASES.iter().any(|part| name.contains(part)));
            let kind = if ends { MutantKind::Unreleased } else { MutantKind::Dropped };
            // A macro that is a loop has its body behind it.
            let is_whole = source.text_of(node).ends_with(';');
            is_whole.then(|| (kind, node.byte_range()))
        }
        _ => None,
    }
}

/// `text` with the bugs, which are there where the parameter has their number. One file holds the parameter.
fn with_bugs(text: &[u8], bugs: &[(usize, &MutantSite)], holds_parameter: bool) -> Vec<u8> {
    let mut text = text.to_vec();
    for (at, (_, site)) in bugs.iter().enumerate().rev() {
        // Those at one place stand within each other: the first of them brings in all.
        if at > 0 && bugs[at - 1].1.range == site.range {
            continue;
        }
        let here = bugs.iter().filter(|(_, other)| other.range == site.range);
        let mut new = String::from_utf8_lossy(&text[site.range.clone()]).into_owned();
        for (number, site) in here {
            new = with_bug(&new, *number, site.kind);
        }
        text.splice(site.range.clone(), new.into_bytes());
    }
    let declared = match holds_parameter {
        true => format!(
            "#include <linux/moduleparam.h>\nint {PARAMETER};\ncore_param({PARAMETER}, {PARAMETER}, int, 0444);\n"
        ),
        false => format!("extern int {PARAMETER};\n"),
    };
    let at = behind_includes(&text);
    text.splice(at..at, declared.into_bytes());
    text
}

/// `was`, with the bug of this number instead where the parameter asks for it.
fn with_bug(was: &str, number: usize, kind: MutantKind) -> String {
    let is = format!("{PARAMETER} == {number}");
    let returned = |other: &str| {
        format!("({{ typeof({was}) v__ = ({was}); {is} ? (typeof(v__))(unsigned long){other} : v__; }})")
    };
    match kind {
        MutantKind::Negated => format!("({is} ? !{was} : !!{was})"),
        MutantKind::Inverted => returned("!v__"),
        // -EIO; of a pointer, what ERR_PTR() makes of it (include/linux/err.h).
        MutantKind::Refused => returned("-5L"),
        MutantKind::Unreleased | MutantKind::Dropped => format!("{{ if (!({is})) {was} }}"),
    }
}

/// Behind the last `#include` that stands under no condition and before every body.
fn behind_includes(text: &[u8]) -> usize {
    let (mut at, mut depth, mut behind) = (0, 0_i32, 0);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        let word = line.trim_ascii_start().strip_prefix(b"#").map(<[u8]>::trim_ascii_start);
        match word {
            Some(word) if word.starts_with(b"if") => depth += 1,
            Some(word) if word.starts_with(b"endif") => depth -= 1,
            Some(word) if word.starts_with(b"include") && depth == 0 => behind = at,
            _ if line.trim_ascii_end() == b"{" => break,
            _ => {}
        }
    }
    behind
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "#include <linux/fs.h>\n#ifdef X\n#include <x.h>\n#endif\n\nstatic int __printf(1, 2) f(int a)\n{\n\t\
        spin_lock(&lock);\n\tif (a && b) {\n\t\tcount++;\n\t\treturn -EINVAL;\n\t}\n\tlist_for_each(p, q) {\n\t\tdo_it(p);\n\t}\n\t\
        spin_unlock(&lock);\n\treturn 0;\n}\n";

    fn planted(executed: &[u32], most: usize) -> (Vec<Mutant>, String) {
        let files = BTreeMap::from([("fs/f.c".to_owned(), SOURCE.as_bytes().to_vec())]);
        let PlantedMutants { mutants, files } =
            plant(&files, &|_, line| executed.contains(&line), most).unwrap();
        let text = files.get("fs/f.c").cloned().unwrap_or_default();
        (mutants, String::from_utf8(text).unwrap())
    }

    #[test]
    fn bugs_are_planted_in_executed_lines_alone_and_each_has_its_number() {
        let (mutants, text) = planted(&[9, 16, 17], 8);
        let found: Vec<String> =
            mutants.iter().map(|one| format!("{} {:?} {}", one.name, one.kind, one.place)).collect();
        assert_eq!(
            found,
            [
                "mutant-1 Negated fs/f.c:9",
                "mutant-2 Unreleased fs/f.c:16",
                "mutant-3 Inverted fs/f.c:17",
                "mutant-4 Refused fs/f.c:17",
            ]
        );
        let has = |part: &str| assert!(text.contains(part), "{part}: {text}");
        has("#endif\n\nstatic int __printf(1, 2) f(int a)");
        has("#include <linux/fs.h>\n#include <linux/moduleparam.h>\nint patchproof_mutant;\ncore_param(");
        has("if (patchproof_mutant == 1 ? !(a && b) : !!(a && b)) {");
        has("{ if (!(patchproof_mutant == 2)) spin_unlock(&lock); }");
        let inverted =
            "({ typeof(0) v__ = (0); patchproof_mutant == 3 ? (typeof(v__))(unsigned long)!v__ : v__; })";
        has(&format!(
            "return ({{ typeof({inverted}) v__ = ({inverted}); patchproof_mutant == 4 ? (typeof(v__))(unsigned long)-5L : v__; }});"
        ));
    }

    #[test]
    fn each_kind_has_its_turn_before_one_has_a_second() {
        let all: Vec<u32> = (1..20).collect();
        let (mutants, _) = planted(&all, 5);
        let mut kinds: Vec<MutantKind> = mutants.iter().map(|mutant| mutant.kind).collect();
        kinds.sort_unstable();
        assert_eq!(
            kinds,
            [
                MutantKind::Negated,
                MutantKind::Unreleased,
                MutantKind::Inverted,
                MutantKind::Refused,
                MutantKind::Dropped
            ]
        );
        assert!(planted(&[], 4).0.is_empty());
    }
}
