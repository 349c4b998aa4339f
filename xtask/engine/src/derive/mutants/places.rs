//! Where bugs can be planted: which nodes of the code can be left out, negated, swapped or spoiled. Looks, and changes nothing.

use std::ops::Range;

use tree_sitter::Node;

use crate::campaign::plan::MutantKind;
use crate::subject::c_source::{CSource, RELEASES, children, descendants};

/// Parts of the names of functions that wait for others.
const WAITS: [&str; 5] = ["wait", "synchronize", "flush", "barrier", "_sync"];

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

/// What of a node is replaced, by a bug of which kind.
pub struct MutantPlace {
    pub kind: MutantKind,
    pub range: Range<usize>,
    /// Of two statements, the end of the first.
    pub middle: usize,
    /// What a person is shown of it.
    pub shown: Range<usize>,
}

impl MutantPlace {
    fn new(kind: MutantKind, range: Range<usize>, shown: Node<'_>) -> MutantPlace {
        MutantPlace { kind, middle: range.start, range, shown: shown.byte_range() }
    }
}

/// Which bugs can be planted in a node.
pub fn places_in(source: &CSource, node: Node<'_>) -> Vec<MutantPlace> {
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
