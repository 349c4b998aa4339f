//! Which file a name stands for that may or may not have a component in front (`git diff --no-prefix`): the one that
//! the tree has. Pure.

use std::borrow::Cow;

use super::diff::FileDiff;
use super::{Base, Patch, Series};
use failure::{Failure, Result};

/// The series with one path for each file.
///
/// # Errors
/// Rejected, when the tree has a file of either name.
pub fn settled<'a>(series: &'a Series, base: &dyn Base) -> Result<Cow<'a, Series>> {
    let open = |patch: &Patch| patch.files.iter().any(|file| file.other_path.is_some());
    if !series.patches.iter().any(open) {
        return Ok(Cow::Borrowed(series));
    }
    let mut settled = series.clone();
    for patch in &mut settled.patches {
        let mut whole = None;
        for file in &mut patch.files {
            if let Some(choice) = by_tree(file, base)? {
                whole = whole.or(choose(file, choice));
            }
        }
        // New files are not in the tree: they are named in the same way as the others.
        for file in patch.files.iter_mut().filter(|file| file.other_path.is_some()) {
            let longer = file.other_path.as_ref().is_some_and(|other| other.len() > file.path.len());
            choose(file, whole.is_some_and(|whole| whole == longer));
        }
    }
    Ok(Cow::Owned(settled))
}

/// Whether it is the other path; `None` where the tree has neither.
fn by_tree(file: &FileDiff, base: &dyn Base) -> Result<Option<bool>> {
    let Some(other) = &file.other_path else { return Ok(None) };
    // A path that cannot be read is refused when it is the one.
    let there = |path: &str| base.read(path).is_ok_and(|content| content.is_some());
    match (there(&file.path), there(other)) {
        (false, false) => Ok(None),
        (first, second) if first != second => Ok(Some(second)),
        _ if file.is_git => Ok(Some(false)),
        _ => Err(Failure::rejected(format!(
            "{}:{}: is this {} or {other}? The tree has both",
            file.text.name(),
            file.line,
            file.path
        ))
        .next("make the patch with `a/` and `b/` in front of the names, as git does")),
    }
}

/// Takes one of the two; says whether it is the one with the component in front, if there were two.
fn choose(file: &mut FileDiff, other: bool) -> Option<bool> {
    let second = file.other_path.take()?;
    let longer = second.len() > file.path.len();
    if other {
        file.path = second;
    }
    Some(longer == other)
}
