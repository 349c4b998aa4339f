//! The patch: what it is, whether it is sound, and proof that what was applied is what was posted.
//!
//! Bytes in, values out: the tree is read through [`Base`] and nothing is written. Each step takes the value of
//! the step before: envelope ([`mail`]), diff ([`diff`]), application ([`apply`]) or, for a damaged text, repair
//! ([`align`], [`indent`], [`repair`]), and the proof by git's blob ids ([`blob`]).

mod align;
mod apply;
mod blob;
mod diff;
mod indent;
mod left_out;
mod mail;
mod parts;
mod path;
mod prove;
mod render;
mod repair;
mod reverse;
mod show;
#[cfg(test)]
mod tests;
mod undo;

pub use diff::FileDiff;
pub use left_out::{HunkPlace, hunks, without_hunk};
pub use mail::Kind;
pub use parts::parts;
pub use prove::{Proved, ProvedFile, prove};
pub use show::show;
pub use undo::{Held, held, names_its_base, obstacle, other_files, undo};

use crate::failure::{Failure, Result};
use std::collections::BTreeMap;

/// Bytes that a patch file may have at most.
const MAX_PATCH_BYTES: usize = 64 << 20;

/// A source tree, by paths relative to its top.
pub trait Base {
    /// The content of a regular file; `None` if there is none.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or is not a regular file.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>>;
}

/// A base with changes on top, so that patches stack.
pub struct Overlay<'a> {
    below: &'a dyn Base,
    /// New content by path; `None` for a deleted file.
    pub changed: BTreeMap<String, Option<Vec<u8>>>,
}

impl<'a> Overlay<'a> {
    pub fn new(below: &'a dyn Base) -> Self {
        Overlay { below, changed: BTreeMap::new() }
    }

    /// Puts what `proved` gives on top.
    pub fn add(&mut self, proved: &Proved) {
        let changes = proved.files.iter().map(|file| (file.path.clone(), file.after.clone()));
        self.changed.extend(changes);
    }
}

impl Base for Overlay<'_> {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        match self.changed.get(path) {
            Some(content) => Ok(content.clone()),
            None => self.below.read(path),
        }
    }
}

/// The patches of one input, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Name of the input, for people.
    pub source: String,
    /// At least one.
    pub patches: Vec<Patch>,
}

/// One patch as found, before any proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    pub kind: Kind,
    pub subject: Option<String>,
    pub author: Option<String>,
    pub date: Option<String>,
    pub message_id: Option<String>,
    /// What line numbers count in: the input, or its decoded body.
    pub origin: String,
    /// What stands before the first diff, below the mail's headers.
    message: Vec<Vec<u8>>,
    /// At least one.
    pub files: Vec<FileDiff>,
    /// The line below `-- `.
    signature: Option<Vec<u8>>,
    /// Every line of the diff ended in a carriage return.
    crlf: bool,
}

/// Reads the patches in `bytes`; mails without a diff, such as cover letters, are passed over.
///
/// # Errors
/// Rejected, with `source:line`, when there is no diff, or one that the harness refuses or does not support.
pub fn read(bytes: &[u8], source: &str) -> Result<Series> {
    if bytes.len() > MAX_PATCH_BYTES {
        return Err(Failure::rejected(format!("{source}: larger than {} MiB", MAX_PATCH_BYTES >> 20)));
    }
    let mut patches = Vec::new();
    for letter in mail::open(bytes, source)? {
        if let Some(first) = diff::first_diff(&letter.body) {
            patches.push(patch(letter, first)?);
        }
    }
    if patches.is_empty() {
        return Err(Failure::rejected(format!("{source}:1: no diff in it"))
            .because("no line starts a file's part (`diff --git …`, or `--- …` above `+++ …` and `@@ …`)"));
    }
    Ok(Series { source: source.to_owned(), patches })
}

fn patch(letter: mail::Letter, first: usize) -> Result<Patch> {
    let (message, diffs) = letter.body.split_at(first);
    let files = diff::files(diffs, &letter.origin)?;
    let last_line =
        files.iter().flat_map(|file| &file.hunks).filter_map(|hunk| hunk.body.last()).map(|l| l.number).max();
    let tail = diffs
        .iter()
        .position(|line| Some(line.number) == last_line)
        .map_or(&diffs[..0], |at| &diffs[at + 1..]);
    let signature = diff::is_signature(tail).then(|| tail.get(1).map(|line| line.text.clone())).flatten();
    Ok(Patch {
        message: message.iter().map(|line| line.text.clone()).collect(),
        files,
        signature,
        kind: letter.kind,
        subject: letter.subject,
        author: letter.author,
        date: letter.date,
        message_id: letter.message_id,
        origin: letter.origin,
        crlf: letter.crlf,
    })
}
