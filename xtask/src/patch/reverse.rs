//! One file of a patch backwards: what it was before, from what it is now. Pure; guesses nothing.

use super::apply::{self, Placed};
use super::diff::{Change, Edit, EditKind, FileDiff};

/// The file before `file`'s change, `None` if there was none.
///
/// # Errors
/// Why undoing it is not clean.
pub fn undone(file: &FileDiff, now: Option<&[u8]>) -> std::result::Result<Option<Vec<u8>>, String> {
    match (now, file.change) {
        (None, Change::Modify | Change::Create) => return Err("the tree has no such file".to_owned()),
        (Some(_), Change::Delete) => return Err("it is deleted by the patch, and is there".to_owned()),
        (None, Change::Delete) | (Some(_), Change::Modify | Change::Create) => {}
    }
    let now = now.unwrap_or_default();
    let mut back: Vec<(usize, Vec<Edit>)> = Vec::new();
    for (index, hunk) in file.hunks.iter().enumerate() {
        let number = index + 1;
        let edits = hunk.edits.as_ref().map_err(|_| format!("hunk {number} is damaged"))?;
        if !now.is_empty() && edits.iter().all(|edit| edit.kind == EditKind::Remove) {
            return Err(format!("hunk {number} leaves no line behind, so nothing shows that it was applied"));
        }
        back.push((hunk.new_start, apply::inverted(edits)));
    }
    let placed: Vec<Placed> = back.iter().map(|(start, edits)| Placed { old_start: *start, edits }).collect();
    let before = apply::apply(now, &placed).map_err(|departure| why(&departure))?.after;
    match file.change {
        Change::Create if before.is_empty() => Ok(None),
        Change::Create => Err("it has more lines than the patch creates".to_owned()),
        Change::Modify | Change::Delete => Ok(Some(before)),
    }
}

fn why(departure: &apply::Departure) -> String {
    let apply::Departure { hunk, tree_line, expected, found, fits_at } = departure;
    if let [_, _, ..] = fits_at[..] {
        return format!("hunk {hunk} could be undone at lines {fits_at:?}: it is not decided by guessing");
    }
    let found = found
        .as_deref()
        .map_or("the file ends there".to_owned(), |line| format!("the tree has {}", quoted(line)));
    format!("hunk {hunk} cannot be undone: it leaves {} at line {tree_line}, {found}", quoted(expected))
}

/// A line as shown to people: printable, and short.
pub(super) fn quoted(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let text: String = String::from_utf8_lossy(line).chars().take(100).collect();
    format!("`{}`", text.escape_debug())
}
