//! The patch: what it is, whether it is sound, and proof that what was applied is what was posted.
//!
//! Bytes in, values out: the tree is read through [`Base`] and nothing is written. Each step takes the value of
//! the step before: envelope ([`mail`], [`mime`], [`thread`]), diff ([`scan`], [`header`], [`diff`]), application ([`apply`]) or, for a damaged text, repair
//! ([`align`], [`indent`], [`repair`]), and the proof by git's blob ids ([`blob`]). Knows nothing of the harness; opens no
//! file and starts no process.

#[cfg(test)]
mod against_git;
mod align;
mod apply;
mod blob;
mod content;
mod diff;
mod envelope;
mod header;
mod indent;
mod left_out;
mod mail;
mod mime;
mod parts;
mod path;
mod prove;
mod render;
mod repair;
mod reverse;
mod scan;
mod settle;
mod show;
#[cfg(test)]
mod tests;
mod text;
mod thread;
mod undo;

pub use blob::blob_id;
pub use content::Content;
pub use diff::FileDiff;
pub use envelope::{Envelope, Mailbox, addresses, message_ids};
pub use left_out::{HunkPlace, hunks, without_hunk};
pub use mail::MailKind;
pub use parts::parts;
pub use prove::{Proved, ProvedFile, prove};
pub use show::{EDITED, show};
pub use undo::{Held, held, names_its_base, obstacle, other_files, undo};

use failure::{Failure, Result};
use std::collections::BTreeMap;
use text::Span;

/// Bytes that a patch file may have at most.
pub const MAX_PATCH_BYTES: usize = 64 << 20;

/// A source tree, by paths relative to its top.
pub trait Base {
    /// A regular file; `None` if there is none.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or is not a regular file.
    fn file(&self, path: &str) -> Result<Option<Content>>;

    /// What it holds.
    ///
    /// # Errors
    /// As [`Base::file`].
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.file(path)?.map(|content| content.bytes))
    }
}

/// A base with changes on top, so that patches stack.
pub struct Overlay<'a> {
    below: &'a dyn Base,
    /// New content by path; `None` for a deleted file.
    pub changed: BTreeMap<String, Option<Content>>,
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
    fn file(&self, path: &str) -> Result<Option<Content>> {
        match self.changed.get(path) {
            Some(content) => Ok(content.clone()),
            None => self.below.file(path),
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
    /// What people should know about how the patches were found in it.
    pub notes: Vec<String>,
}

/// One patch as found, before any proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    pub kind: MailKind,
    pub subject: Option<String>,
    pub author: Option<String>,
    pub date: Option<String>,
    pub message_id: Option<String>,
    pub envelope: Envelope,
    /// What stands before the first diff, below the mail's headers.
    message: Span,
    /// At least one.
    pub files: Vec<FileDiff>,
    /// The line below `-- `.
    signature: Option<Vec<u8>>,
    /// Every line of the diff ended in a carriage return.
    crlf: bool,
}

/// Reads the patches in `bytes`: of a mailbox those of one series. Mails without a diff, such as cover letters, are
/// passed over.
///
/// # Errors
/// Rejected, with `source:line`, when there is no diff, or one that the harness refuses or does not support.
pub fn read(bytes: &[u8], source: &str) -> Result<Series> {
    if bytes.len() > MAX_PATCH_BYTES {
        return Err(Failure::rejected(format!("{source}: larger than {} MiB", MAX_PATCH_BYTES >> 20)));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Failure::rejected(format!("{source}: this text is UTF-16, and no patch is"))
            .next("make the patch with `git diff --output=FILE`, which no shell rewrites")
            .next("or convert it: iconv -f UTF-16 -t UTF-8 FILE | tr -d '\\r' > NEW"));
    }
    let mut mails = Vec::new();
    let mut notes = Vec::new();
    for letter in mail::open(bytes, source)? {
        notes.extend(letter.notes.iter().cloned());
        let tag = thread::Tag::of(letter.subject.as_deref().unwrap_or_default());
        let (message_id, author) = (letter.message_id.clone(), letter.author.clone());
        mails.push(thread::Mail { tag, message_id, author, patch: patch(letter)? });
    }
    if mails.iter().all(|mail| mail.patch.is_none()) {
        return Err(no_diff(bytes, source));
    }
    let (patches, more) = thread::series(mails, source)?;
    notes.extend(more);
    Ok(Series { source: source.to_owned(), patches, notes })
}

/// Several inputs as one series; `None` of none.
pub fn join(mut all: Vec<Series>) -> Option<Series> {
    if all.len() < 2 {
        return all.pop();
    }
    let source = all.iter().map(|series| series.source.as_str()).collect::<Vec<_>>().join(", ");
    let mut joined = Series { source, patches: Vec::new(), notes: Vec::new() };
    for Series { source, patches, notes } in all {
        // Others of its series are in the other inputs.
        let notes = notes.into_iter().filter(|note| !thread::is_about_one_alone(note));
        joined.notes.extend(notes.map(|note| format!("{source}: {note}")));
        joined.patches.extend(patches);
    }
    Some(joined)
}

/// Whether `bytes` are the cover letter of a series, which holds no diff.
pub fn is_cover_letter(bytes: &[u8]) -> bool {
    let Ok(letters) = mail::open(bytes, "") else { return false };
    let zero = |letter: &mail::Letter| {
        let tag = thread::Tag::of(letter.subject.as_deref().unwrap_or_default());
        tag.number.is_some_and(|(number, _)| number == 0)
    };
    letters.iter().all(zero)
}

/// Says what the input is instead of a patch, where that can be told.
fn no_diff(bytes: &[u8], source: &str) -> Failure {
    let failure = Failure::rejected(format!("{source}:1: no diff in it"));
    let start = bytes.trim_ascii_start();
    let start = &start[..start.len().min(20)].to_ascii_lowercase();
    let has = |text: &[u8]| memchr::memmem::find(bytes, text).is_some();
    if start.starts_with(b"<!doctype html") || start.starts_with(b"<html") || start.starts_with(b"<?xml") {
        return failure
            .because("it is a web page")
            .next("get the mail itself: on lore.kernel.org the `raw` link, or the page's address with /raw at its end");
    }
    if has(b"\x1b[") {
        return failure
            .because("it holds the colours of a terminal")
            .next("make it without them: git diff --no-color, git show --no-color");
    }
    if has(b"\n> diff --git ") || has(b"\n> --- ") || bytes.starts_with(b"> ") {
        return failure
            .because("it is a reply that quotes a patch")
            .next("get the mail that it answers, which its In-Reply-To names");
    }
    failure.because("no line starts a file's part (`diff --git …`, or `--- …` above `+++ …` and `@@ …`)")
}

/// The patch in a letter; `None` if no part of it holds a diff.
fn patch(letter: mail::Letter) -> Result<Option<Patch>> {
    let mut files = Vec::new();
    let mut message = letter.texts[0].all();
    let mut signature = None;
    for (index, text) in letter.texts.iter().enumerate() {
        let Some(first) = diff::first_diff(text) else { continue };
        if index == 0 {
            message = text.span(text.start(), first);
            // Above a diff that is not in a mail there is nobody's text, but what was cut off.
            if let Some(stray) = diff::stray_hunk(text, first).filter(|_| letter.kind == MailKind::PlainDiff)
            {
                let what = format!("{}:{}: a hunk that belongs to no file", text.name(), stray.number);
                return Err(Failure::rejected(what));
            }
        }
        let found = diff::files(text, first)?;
        if diff::is_signature(text, found.end) {
            signature = text.line(text.below(found.end)).map(<[u8]>::to_vec);
        }
        files.extend(found.files);
    }
    if files.is_empty() {
        return Ok(None);
    }
    Ok(Some(Patch {
        message,
        files,
        signature,
        kind: letter.kind,
        subject: letter.subject,
        author: letter.author,
        date: letter.date,
        message_id: letter.message_id,
        envelope: letter.envelope,
        crlf: letter.crlf,
    }))
}
