//! Bugs that are planted in the changed and executed lines of a patch that nobody prepared for, to see whether the workloads would
//! show them. All of them are in one kernel, and a word on its command line says which one is there. Text in, text out: builds
//! and judges nothing.

use std::collections::BTreeMap;
use std::ops::Range;

use tree_sitter::Node;

use crate::campaign::plan::{Mutant, MutantKind, UnplantedKind};
use crate::subject::c_source::{self, CSource, children, descendants};
use failure::Result;

/// The kernel parameter that says which bug there is (include/linux/moduleparam.h, `core_param`); 0: none.
pub const PARAMETER: &str = "patchproof_mutant";

/// Parts of the names of functions that wait for others.
const WAITS: [&str; 5] = ["wait", "synchronize", "flush", "barrier", "_sync"];

/// Parts of the names of functions that end what others began.
const RELEASES: [&str; 12] = [
    "unlock",
    "put",
    "free",
    "release",
    "del",
    "remove",
    "unregister",
    "destroy",
    "cancel",
    "exit",
    "drop",
    "restore",
];

/// Parts of the names of functions after which an object is not to be used.
const GIVES_UP: [&str; 7] = ["put", "free", "release", "unregister", "destroy", "drop", "del"];

/// How the names of what forbids to sleep begin, and of what allows it again (include/linux/spinlock.h, rcupdate.h,
/// bottom_half.h, preempt.h).
const FORBIDS_SLEEP: [&str; 7] = [
    "spin_lock",
    "raw_spin_lock",
    "rcu_read_lock",
    "read_lock",
    "write_lock",
    "local_bh_disable",
    "preempt_disable",
];
const ALLOWS_SLEEP: [&str; 7] = [
    "spin_unlock",
    "raw_spin_unlock",
    "rcu_read_unlock",
    "read_unlock",
    "write_unlock",
    "local_bh_enable",
    "preempt_enable",
];

/// The bugs, and the files with all of them, by path.
#[derive(Debug)]
pub struct PlantedMutants {
    pub mutants: Vec<Mutant>,
    pub files: BTreeMap<String, Vec<u8>>,
    /// Of the kinds that have a place, those of which none was planted.
    pub unplanted: Vec<UnplantedKind>,
}

/// A place where a bug can be planted.
#[derive(Debug, Clone)]
struct MutantSite {
    kind: MutantKind,
    path: String,
    line: u32,
    range: Range<usize>,
    /// Of two statements, the end of the first.
    middle: usize,
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
    let chosen = chosen(&sites, most);
    let unplanted = unplanted(&sites, &chosen);
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
    Ok(PlantedMutants { mutants, files: planted, unplanted })
}

/// Of each kind the first, then of each the second, in the order of files and lines.
fn chosen(sites: &[MutantSite], most: usize) -> Vec<MutantSite> {
    let mut by_kind: BTreeMap<MutantKind, Vec<&MutantSite>> = BTreeMap::new();
    for site in sites {
        by_kind.entry(site.kind).or_default().push(site);
    }
    let longest = by_kind.values().map(Vec::len).max().unwrap_or_default();
    let turns = (0..longest).flat_map(|turn| by_kind.values().filter_map(move |sites| sites.get(turn)));
    let mut chosen: Vec<MutantSite> = turns.take(most).map(|site| (*site).clone()).collect();
    chosen.sort_by(|one, other| (&one.path, one.range.start).cmp(&(&other.path, other.range.start)));
    chosen
}

/// The first place of each kind that has one and was not chosen; what tests show alike is one kind.
fn unplanted(sites: &[MutantSite], chosen: &[MutantSite]) -> Vec<UnplantedKind> {
    let mut known: Vec<MutantKind> = chosen.iter().map(|site| site.kind.class()).collect();
    let mut unplanted = Vec::new();
    for site in sites {
        let kind = site.kind.class();
        if !known.contains(&kind) {
            known.push(kind);
            let place = format!("{}:{}", site.path, site.line);
            unplanted.push(UnplantedKind { kind, place, was: site.was.clone() });
        }
    }
    unplanted
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
            if !executed(line) {
                continue;
            }
            let at = |offset: usize| offset.saturating_sub(c_source::HEAD.len()) + body.bytes.start;
            for MutantPlace { kind, range, middle, shown } in places_in(&source, node) {
                let was = source.text(shown).split_whitespace().collect::<Vec<_>>().join(" ");
                let (range, middle) = (at(range.start)..at(range.end), at(middle));
                sites.push(MutantSite { kind, path: path.to_owned(), line, range, middle, was });
            }
        }
    }
    keep_apart(sites);
    Ok(())
}

/// Of pairs of statements that have one in common, only the first is kept: a bug within another has all of its place.
fn keep_apart(sites: &mut Vec<MutantSite>) {
    let mut swapped_until = (String::new(), 0);
    sites.retain(|site| {
        if site.kind != MutantKind::Swapped {
            return true;
        }
        let is_apart = site.path != swapped_until.0 || site.range.start >= swapped_until.1;
        if is_apart {
            swapped_until = (site.path.clone(), site.range.end);
        }
        is_apart
    });
}

/// What of a node is replaced, by a bug of which kind.
struct MutantPlace {
    kind: MutantKind,
    range: Range<usize>,
    middle: usize,
    /// What a person is shown of it.
    shown: Range<usize>,
}

impl MutantPlace {
    fn new(kind: MutantKind, range: Range<usize>, shown: Node<'_>) -> MutantPlace {
        MutantPlace { kind, middle: range.start, range, shown: shown.byte_range() }
    }
}

/// Which bugs can be planted in a node.
fn places_in(source: &CSource, node: Node<'_>) -> Vec<MutantPlace> {
    // Where the parser met something that is no C, what stands there may be no statement.
    if node.has_error() {
        return Vec::new();
    }
    match node.kind() {
        "if_statement" => {
            let condition = node.child_by_field_name("condition");
            condition
                .map(|condition| MutantPlace::new(MutantKind::Negated, condition.byte_range(), node))
                .into_iter()
                .collect()
        }
        "return_statement" => {
            let value =
                children(node).into_iter().find(|child| child.is_named() && child.kind() != "comment");
            let is_text =
                |value: &Node<'_>| descendants(*value).iter().any(|node| node.kind() == "string_literal");
            let range = value.filter(|value| !is_text(value)).map(|value| value.byte_range());
            // Success for an error and an error for success are not seen by the same tests.
            let kinds = [MutantKind::Inverted, MutantKind::Refused];
            range
                .into_iter()
                .flat_map(|range| kinds.map(|kind| MutantPlace::new(kind, range.clone(), node)))
                .collect()
        }
        "expression_statement" => statement(source, node),
        "identifier" if source.text_of(node) == "GFP_ATOMIC" && may_not_sleep(source, node) => {
            let call = node.parent().and_then(|arguments| arguments.parent()).unwrap_or(node);
            vec![MutantPlace::new(MutantKind::Sleeps, node.byte_range(), call)]
        }
        _ => Vec::new(),
    }
}

/// A statement can be left out, and come behind the next one.
fn statement(source: &CSource, node: Node<'_>) -> Vec<MutantPlace> {
    // A macro that is a loop has its body behind it.
    if !source.text_of(node).ends_with(';') {
        return Vec::new();
    }
    let callee = callee(source, node).unwrap_or_default();
    let has = |parts: &[&str]| parts.iter().any(|part| callee.contains(part));
    let kind = match callee {
        _ if has(&WAITS) => MutantKind::Unwaited,
        _ if has(&RELEASES) => MutantKind::Unreleased,
        _ => MutantKind::Dropped,
    };
    let swapped = node.next_named_sibling().filter(|next| gives_up_what_is_used(source, node, *next));
    let swapped = swapped.map(|next| MutantPlace {
        kind: MutantKind::Swapped,
        range: node.start_byte()..next.end_byte(),
        middle: node.end_byte(),
        shown: node.start_byte()..next.end_byte(),
    });
    [MutantPlace::new(kind, node.byte_range(), node)].into_iter().chain(swapped).collect()
}

/// The function that a statement calls, if it does nothing else.
fn callee<'a>(source: &'a CSource, statement: Node<'a>) -> Option<&'a str> {
    let what = children(statement).into_iter().next().filter(|what| what.kind() == "call_expression")?;
    what.child_by_field_name("function").map(|function| source.text_of(function))
}

/// The second statement ends the life of a thing that the first one names.
fn gives_up_what_is_used(source: &CSource, first: Node<'_>, second: Node<'_>) -> bool {
    let gives_up = |name: &str| GIVES_UP.iter().any(|part| name.contains(part)) && !name.contains("unlock");
    let is_statement = second.kind() == "expression_statement" && !second.has_error();
    if !is_statement || !callee(source, second).is_some_and(gives_up) {
        return false;
    }
    // Behind the name of the function the thing that it is called for.
    let named = |node: Node<'_>| -> Vec<&str> {
        let names = descendants(node).into_iter().filter(|node| node.kind() == "identifier");
        names.map(|node| source.text_of(node)).collect()
    };
    let (used, given_up) = (named(first), named(second));
    given_up.get(1).is_some_and(|thing| used.contains(thing))
}

/// Of the calls before it in its function, the last one that says whether to sleep is allowed forbids it.
fn may_not_sleep(source: &CSource, node: Node<'_>) -> bool {
    let calls = descendants(source.root())
        .into_iter()
        .filter(|call| call.kind() == "call_expression" && call.end_byte() <= node.start_byte());
    let mut said = calls.filter_map(|call| {
        let name = source.text_of(call.child_by_field_name("function")?);
        let begins = |names: &[&str]| names.iter().any(|begin| name.starts_with(begin));
        (begins(&FORBIDS_SLEEP) || begins(&ALLOWS_SLEEP)).then(|| begins(&FORBIDS_SLEEP))
    });
    said.next_back().unwrap_or(false)
}

/// `text` with the bugs, which are there where the parameter has their number. One file holds the parameter.
fn with_bugs(text: &[u8], bugs: &[(usize, &MutantSite)], holds_parameter: bool) -> Vec<u8> {
    let mut edited = Edited { text: text.to_vec(), edits: Vec::new() };
    let mut ranges: Vec<&Range<usize>> = bugs.iter().map(|(_, site)| &site.range).collect();
    // Those within others first: the others bring them along.
    ranges.sort_by_key(|range| (range.len(), range.start));
    ranges.dedup();
    for range in ranges {
        for (number, site) in bugs.iter().filter(|(_, site)| site.range == *range) {
            let was = edited.now(range);
            let new = match site.kind {
                MutantKind::Swapped => {
                    let (first, second) = (range.start..site.middle, site.middle..range.end);
                    swapped(&edited.now(&first), &edited.now(&second), *number)
                }
                kind => with_bug(&was, *number, kind),
            };
            edited.replace(range, &new);
        }
    }
    let mut text = edited.text;
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

/// A text that is changed in places that are known by where they were.
struct Edited {
    text: Vec<u8>,
    /// What was replaced, and by how much longer it is now.
    edits: Vec<(Range<usize>, isize)>,
}

impl Edited {
    /// Where what was in `range` is now. All that was changed before is within it or outside of it.
    fn place(&self, range: &Range<usize>) -> Range<usize> {
        let grown = |until: usize| -> isize {
            self.edits.iter().filter(|(edit, _)| edit.end <= until).map(|(_, by)| by).sum()
        };
        let moved = |at: usize, by: isize| at.saturating_add_signed(by);
        // An edit that ends where the range begins is outside of it.
        moved(range.start, grown(range.start))..moved(range.end, grown(range.end))
    }

    fn now(&self, range: &Range<usize>) -> String {
        String::from_utf8_lossy(self.text.get(self.place(range)).unwrap_or_default()).into_owned()
    }

    fn replace(&mut self, range: &Range<usize>, new: &str) {
        let place = self.place(range);
        let by = new.len() as isize - place.len() as isize;
        self.text.splice(place, new.bytes());
        self.edits.push((range.clone(), by));
    }
}

/// Two statements, in the other order where the parameter asks for it.
fn swapped(first: &str, second: &str, number: usize) -> String {
    format!("{{ if ({PARAMETER} == {number}) {{ {second} {first} }} else {{ {first} {second} }} }}")
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
        MutantKind::Sleeps => format!("({is} ? GFP_KERNEL : {was})"),
        MutantKind::Unreleased | MutantKind::Dropped | MutantKind::Unwaited | MutantKind::Swapped => {
            format!("{{ if (!({is})) {was} }}")
        }
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
        let PlantedMutants { mutants, files, .. } =
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
    fn waits_orders_and_sleeping_allocations_are_kinds_and_bugs_within_bugs_are_whole() {
        let source = "static void g(struct x *x)\n{\n\tspin_lock(&l);\n\tp = kmalloc(8, GFP_ATOMIC);\n\tspin_unlock(&l);\n\tq = \
                      kmalloc(8, GFP_ATOMIC);\n\tuse(x->y);\n\tkfree(x);\n\tkfree(x);\n\tsynchronize_rcu();\n}\n";
        let files = BTreeMap::from([("a.c".to_owned(), source.as_bytes().to_vec())]);
        let all = plant(&files, &|_, _| true, 20).unwrap();
        let found: Vec<String> =
            all.mutants.iter().map(|one| format!("{:?} {} {}", one.kind, one.place, one.was)).collect();
        let has = |what: &str| assert!(found.iter().any(|one| one == what), "{what}: {found:#?}");
        has("Sleeps a.c:4 kmalloc(8, GFP_ATOMIC)");
        has("Swapped a.c:7 use(x->y); kfree(x);");
        has("Unwaited a.c:10 synchronize_rcu();");
        let count = |kind: &str| found.iter().filter(|one| one.starts_with(kind)).count();
        assert_eq!([count("Sleeps"), count("Swapped"), count("Unwaited")], [1, 1, 1], "{found:#?}");
        let text = String::from_utf8(all.files["a.c"].clone()).unwrap();
        let numbers = |kind: &str| {
            let of_kind = all.mutants.iter().filter(|one| format!("{:?}", one.kind) == kind);
            of_kind.map(|one| one.number).collect::<Vec<_>>()
        };
        let (swap, used) =
            (numbers("Swapped")[0], all.mutants.iter().find(|one| one.was == "use(x->y);").unwrap());
        let freed = all.mutants.iter().find(|one| one.place == "a.c:8").unwrap();
        let (one, other) = (
            format!("{{ if (!(patchproof_mutant == {})) use(x->y); }}", used.number),
            format!("{{ if (!(patchproof_mutant == {})) kfree(x); }}", freed.number),
        );
        // What stands between two statements goes with the second.
        let swapped = format!(
            "{{ if (patchproof_mutant == {swap}) {{ \n\t{other} {one} }} else {{ {one} \n\t{other} }} }}"
        );
        assert!(text.contains(&swapped), "{swapped}: {text}");
        let few = plant(&files, &|_, _| true, 2).unwrap();
        let unplanted: Vec<MutantKind> = few.unplanted.iter().map(|one| one.kind).collect();
        assert_eq!(unplanted, [MutantKind::Sleeps, MutantKind::Swapped, MutantKind::Unwaited]);
        assert!(all.unplanted.is_empty());
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
