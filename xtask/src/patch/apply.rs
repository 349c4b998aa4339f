//! Applies well-formed hunks: exact content, no fuzz, no ignored white space. Pure.

use super::diff::{Edit, EditKind};

/// What one hunk needs for its application.
#[derive(Debug, Clone, Copy)]
pub struct Placed<'a> {
    /// As in the `@@` line.
    pub old_start: usize,
    pub edits: &'a [Edit],
}

/// The file after all hunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub after: Vec<u8>,
    /// Per hunk: lines it lies further down (or, negative, up) than its `@@` line says.
    pub offsets: Vec<i64>,
}

/// Why and where a hunk does not apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// From 1.
    pub hunk: usize,
    /// Line of the tree's file, from 1.
    pub tree_line: usize,
    /// What the hunk has there.
    pub expected: Vec<u8>,
    /// What the tree has there; `None` past its end.
    pub found: Option<Vec<u8>>,
    /// Other places, if more than one fits.
    pub fits_at: Vec<usize>,
}

/// The lines of a file, each with its `\n`.
pub fn file_lines(content: &[u8]) -> Vec<&[u8]> {
    content.split_inclusive(|&byte| byte == b'\n').collect()
}

/// Applies `hunks` in order to `before`. A hunk that does not fit where it says may lie elsewhere, below the one
/// before it, if exactly one place fits.
///
/// # Errors
/// The first hunk that does not fit, and where it departs.
pub fn apply(before: &[u8], hunks: &[Placed]) -> Result<Applied, Departure> {
    let lines = file_lines(before);
    let mut after: Vec<u8> = Vec::with_capacity(before.len());
    let mut offsets = Vec::new();
    let mut done = 0;
    for (index, hunk) in hunks.iter().enumerate() {
        let old: Vec<&[u8]> =
            hunk.edits.iter().filter(|edit| edit.kind != EditKind::Add).map(|edit| &edit.text[..]).collect();
        let stated = stated_index(hunk.old_start, old.len());
        let at =
            place(&lines, done, stated, &old).map_err(|failed| Departure { hunk: index + 1, ..failed })?;
        // Lengths of real files and `@@` numbers (32 bits) fit.
        offsets.push(at as i64 - stated as i64);
        after.extend(lines[done..at].concat());
        for edit in hunk.edits.iter().filter(|edit| edit.kind != EditKind::Remove) {
            after.extend_from_slice(&edit.text);
        }
        done = at + old.len();
    }
    after.extend(lines[done..].concat());
    Ok(Applied { after, offsets })
}

/// The same hunks, undone: removed lines come back and added ones go.
pub fn inverted(edits: &[Edit]) -> Vec<Edit> {
    let invert = |edit: &Edit| {
        let kind = match edit.kind {
            EditKind::Context => EditKind::Context,
            EditKind::Remove => EditKind::Add,
            EditKind::Add => EditKind::Remove,
        };
        Edit { kind, text: edit.text.clone() }
    };
    edits.iter().map(invert).collect()
}

/// The index of a hunk's first old line. A hunk without old lines goes below the line that its header names.
pub fn stated_index(old_start: usize, old_len: usize) -> usize {
    if old_len == 0 { old_start } else { old_start.saturating_sub(1) }
}

fn place(lines: &[&[u8]], done: usize, stated: usize, old: &[&[u8]]) -> Result<usize, Departure> {
    let fits = |at: usize| lines.get(at..at + old.len()).is_some_and(|there| there == old);
    if stated >= done && fits(stated) {
        return Ok(stated);
    }
    // Without old lines every place fits, so only the stated one could have been right.
    let elsewhere = if old.is_empty() { 0..0 } else { done..lines.len() };
    let fits_at: Vec<usize> = elsewhere.filter(|&at| fits(at)).collect();
    match fits_at[..] {
        [at] => Ok(at),
        _ => Err(departure(lines, stated.max(done), old, &fits_at)),
    }
}

fn departure(lines: &[&[u8]], at: usize, old: &[&[u8]], fits_at: &[usize]) -> Departure {
    let differs = |i: &usize| lines.get(at + i).copied() != old.get(*i).copied();
    let first = (0..old.len()).find(differs).unwrap_or(0);
    Departure {
        hunk: 0,
        tree_line: at + first + 1,
        expected: old.get(first).unwrap_or(&&b""[..]).to_vec(),
        found: lines.get(at + first).map(|line| line.to_vec()),
        fits_at: fits_at.iter().map(|at| at + 1).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(text: &str) -> Vec<Edit> {
        let edit = |line: &str| {
            let kind = match &line[..1] {
                " " => EditKind::Context,
                "-" => EditKind::Remove,
                _ => EditKind::Add,
            };
            Edit { kind, text: format!("{}\n", &line[1..]).into_bytes() }
        };
        text.lines().map(edit).collect()
    }

    fn apply_one(before: &str, old_start: usize, hunk: &str) -> Result<Applied, Departure> {
        apply(before.as_bytes(), &[Placed { old_start, edits: &edits(hunk) }])
    }

    #[test]
    fn a_hunk_applies_where_it_says() {
        let applied = apply_one("a\nb\nc\n", 1, " a\n-b\n+B\n c").unwrap();
        assert_eq!((applied.after, applied.offsets), (b"a\nB\nc\n".to_vec(), vec![0]));
    }

    #[test]
    fn a_hunk_that_moved_is_found_when_one_place_fits_and_the_offset_is_told() {
        let applied = apply_one("x\ny\na\nb\n", 1, " a\n-b").unwrap();
        assert_eq!((applied.after, applied.offsets), (b"x\ny\na\n".to_vec(), vec![2]));
        let twice = apply_one("x\na\nb\na\nb\n", 1, " a\n-b").unwrap_err();
        assert_eq!(twice.fits_at, [2, 4]);
    }

    #[test]
    fn a_difference_in_white_space_is_a_departure() {
        let failed = apply_one("a\n\tb\nc\n", 1, " a\n- b\n c").unwrap_err();
        let found: Option<&[u8]> = failed.found.as_deref();
        assert_eq!(
            (failed.hunk, failed.tree_line, &failed.expected[..], found),
            (1, 2, &b" b\n"[..], Some(&b"\tb\n"[..]))
        );
    }

    #[test]
    fn a_line_that_lacks_its_newline_is_not_the_line_that_has_one() {
        assert!(apply_one("a\nb", 1, " a\n-b").is_err());
    }

    #[test]
    fn what_was_applied_can_be_undone() {
        let forward = edits(" a\n-b\n+B\n+C\n d");
        let applied = apply(b"a\nb\nd\n", &[Placed { old_start: 1, edits: &forward }]).unwrap();
        let back = apply(&applied.after, &[Placed { old_start: 1, edits: &inverted(&forward) }]).unwrap();
        assert_eq!(back.after, b"a\nb\nd\n");
    }
}
