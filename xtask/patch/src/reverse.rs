//! One file of a patch backwards: what it was before, from what it is now. Pure; guesses nothing.

use super::Content;
use super::apply::{self, How, Why, Work};
use super::diff::{EditKind, FileDiff, is_executable};
use super::header::Change;

/// The file before `file`'s change, `None` if there was none. Of a rename or a copy it is the file that it was made from.
///
/// # Errors
/// Why undoing it is not clean.
pub fn undone(
    file: &FileDiff,
    now: Option<&Content>,
    work: &mut Work,
) -> std::result::Result<Option<Content>, String> {
    match (now, file.change) {
        (None, Change::Delete) => {}
        (None, _) => return Err("the tree has no such file".to_owned()),
        (Some(_), Change::Delete) => return Err("it is deleted by the patch, and is there".to_owned()),
        (Some(_), _) => {}
    }
    let executable = mode_before(file, now)?;
    let now = now.map(|now| now.bytes.as_slice()).unwrap_or_default();
    for (index, hunk) in file.hunks.iter().enumerate() {
        let number = index + 1;
        if !hunk.is_sound() {
            return Err(format!("hunk {number} is damaged"));
        }
        if !now.is_empty() && hunk.edits().all(|edit| edit.kind == EditKind::Remove) {
            return Err(format!("hunk {number} leaves no line behind, so nothing shows that it was applied"));
        }
    }
    let how = How { undo: true, is_base: false };
    let before = apply::apply(now, &file.hunks, how, work).map_err(|departure| why(&departure))?.after;
    let content = |bytes| Ok(Some(Content { bytes, executable }));
    match file.change {
        Change::Create if before.is_empty() => Ok(None),
        Change::Create => Err("it has more lines than the patch creates".to_owned()),
        Change::Modify if before.is_empty() && file.creates_silently() => Ok(None),
        Change::Modify | Change::Delete | Change::Rename | Change::Copy => content(before),
    }
}

/// Whether the file was executable before; or, in words, that its mode is not the one that the diff gives it.
fn mode_before(file: &FileDiff, now: Option<&Content>) -> std::result::Result<bool, String> {
    if file.change == Change::Delete {
        return Ok(file.mode.as_deref().or(file.index_mode.as_deref()).is_some_and(is_executable));
    }
    let is = now.is_some_and(|now| now.executable);
    let Some(becomes) = file.makes_executable() else { return Ok(is) };
    if is != becomes {
        let word = if becomes { "executable, and it is not" } else { "not executable, and it is" };
        return Err(format!("the patch leaves it {word}"));
    }
    match (&file.old_mode, file.change) {
        (Some(old), _) => Ok(is_executable(old)),
        (None, Change::Create) => Ok(false),
        (None, _) => Err("the patch does not say what its mode was before".to_owned()),
    }
}

fn why(departure: &apply::Departure) -> String {
    let apply::Departure { hunk, tree_line, expected, found, why } = departure;
    match why {
        Why::Ambiguous(fits_at) => {
            return format!(
                "hunk {hunk} could be undone at lines {fits_at:?}: it is not decided by guessing"
            );
        }
        Why::TooMuch => return format!("it takes too long to look for the place of hunk {hunk}"),
        Why::Departs | Why::NotAtStart | Why::NotAtEnd => {}
    }
    let found = found
        .as_deref()
        .map_or("the file ends there".to_owned(), |line| format!("the tree has {}", quoted(line)));
    format!("hunk {hunk} cannot be undone: it leaves {} at line {tree_line}, {found}", quoted(expected))
}

/// A line as shown to people: printable, and short.
pub(super) fn quoted(line: &[u8]) -> String {
    format!("`{}`", super::header::quoted(line.strip_suffix(b"\n").unwrap_or(line)))
}
