//! How the text of a file is changed so that it holds bugs, each of which is there where the kernel's parameter has its number.

use std::ops::Range;

use super::{MutantSite, PARAMETER};
use crate::campaign::plan::MutantKind;

/// `text` with the bugs, which are there where the parameter has their number. One file holds the parameter.
pub(super) fn with_bugs(text: &[u8], bugs: &[(usize, &MutantSite)], holds_parameter: bool) -> Vec<u8> {
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
