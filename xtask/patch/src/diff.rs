//! The unified diff inside a patch: files and hunks, with the place of each in the input. Pure.
//!
//! A hunk is read strictly by its header's counts. When that fails its lines are kept as they stand together
//! with what is wrong, for `repair` to judge; nothing is guessed here. What the harness cannot carry out
//! (symlinks, binary content) is an error, never skipped, and so is what looks like a part of a diff and is none.

use super::header::{self, Change, Header, Paths};
use super::scan::Scan;
use super::text::{Line, Span, Text, TextPlace};
use failure::Result;

/// File parts and hunks that one input may have: several times those of the diff between two releases.
const FILES_MAX: usize = 100_000;
const HUNKS_MAX: usize = 500_000;

/// One file's part of a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDiff {
    /// Relative to the top of the tree.
    pub path: String,
    /// What `path` is if its first component is, or is not, a part of it: the names alone do not say.
    pub other_path: Option<String>,
    /// The file that a rename or a copy begins with.
    pub from: Option<String>,
    /// What `line` counts in.
    pub text: Text,
    /// Line in the input where the file's part starts.
    pub line: usize,
    pub change: Change,
    /// It has a `diff --git` line; one without may create a file without saying so.
    pub is_git: bool,
    /// Abbreviated blob ids of the `index` line, as written.
    pub pre_blob: Option<String>,
    pub post_blob: Option<String>,
    /// The mode that is changed.
    pub old_mode: Option<String>,
    /// The mode that a line of its own gives the file, or that the deleted file has.
    pub mode: Option<String>,
    /// The mode of the `index` line, which the file has anyway.
    pub index_mode: Option<String>,
    pub hunks: Vec<Hunk>,
}

/// Of the two modes of a regular file.
pub fn is_executable(mode: &str) -> bool {
    mode == "100755"
}

/// One hunk. Line numbers and lengths count lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// Line in the input of its `@@`.
    pub line: usize,
    pub old_start: usize,
    pub old_len: usize,
    pub new_start: usize,
    pub new_len: usize,
    /// What follows the second `@@`, with its space.
    pub section: Vec<u8>,
    /// Its lines as they stand in the input.
    pub body: Span,
    /// Context lines above the first change and below the last one, of a sound hunk.
    pub leading: usize,
    pub trailing: usize,
    /// What is wrong with the body; none of a sound one.
    pub faults: Vec<HunkDamage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditKind {
    Context,
    Remove,
    Add,
}

/// One line of a hunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit<'a> {
    pub kind: EditKind,
    /// The file's line, with its `\n` unless the file ends without one.
    pub text: &'a [u8],
}

/// The ways in which text loses its soundness on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DamageKind {
    LostLeadingSpace,
    VanishedBlankLine,
    LostTab,
    WrappedLine,
    CrLf,
    Truncated,
    CountsDisagree,
    /// Well-formed, applies, and yet the result is not the one the `index` line names, and the text looks damaged.
    Altered,
}

/// One kind of damage in one hunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HunkDamage {
    pub kind: DamageKind,
    /// Lines of the input that show it.
    pub lines: Vec<usize>,
    /// Figures that go with it; may be empty.
    pub detail: String,
}

impl FileDiff {
    /// The file that the diff reads.
    pub fn source(&self) -> &str {
        self.from.as_deref().unwrap_or(&self.path)
    }

    /// Whether the file may be executed afterwards, where the diff says so; else that stays as it is.
    pub fn makes_executable(&self) -> Option<bool> {
        self.mode.as_deref().filter(|_| self.change != Change::Delete).map(is_executable)
    }

    /// The lines that the diff adds, by their numbers in the new file as its hunks' headers count them.
    pub fn added_lines(&self) -> Vec<usize> {
        let mut added = Vec::new();
        for hunk in &self.hunks {
            let new_side = hunk.edits().filter(|edit| edit.kind != EditKind::Remove);
            let numbered = (hunk.new_start..).zip(new_side);
            added.extend(numbered.filter(|(_, edit)| edit.kind == EditKind::Add).map(|(number, _)| number));
        }
        added
    }

    /// Without a `diff --git` line a diff from nothing may be of a new file, and does not say so (git's apply.c,
    /// check_preimage()).
    pub fn creates_silently(&self) -> bool {
        !self.is_git && matches!(&self.hunks[..], [only] if only.old_len == 0)
    }
}

impl Hunk {
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    /// The edits of a sound hunk.
    pub fn edits(&self) -> Edits<'_> {
        Edits { rest: self.body.bytes() }
    }

    /// The lines that are there but for those of kind `without`: the old or the new side.
    pub fn side(&self, without: EditKind) -> Vec<u8> {
        let mut side = Vec::new();
        for edit in self.edits().filter(|edit| edit.kind != without) {
            side.extend_from_slice(edit.text);
        }
        side
    }
}

/// The edits of a sound hunk, in order.
#[derive(Debug, Clone)]
pub struct Edits<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Edits<'a> {
    type Item = Edit<'a>;

    fn next(&mut self) -> Option<Edit<'a>> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let len = memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len() - 1);
            let (line, rest) = self.rest.split_at(len + 1);
            self.rest = rest;
            let (kind, from) = match line[0] {
                b'\\' => continue,
                b'-' => (EditKind::Remove, 1),
                b'+' => (EditKind::Add, 1),
                b' ' => (EditKind::Context, 1),
                // Mail programs drop the space of a blank context line; git accepts that too.
                _ => (EditKind::Context, 0),
            };
            // `\ No newline at end of file` is about the line before it.
            let to = if rest.first() == Some(&b'\\') { len } else { len + 1 };
            return Some(Edit { kind, text: &line[from..to] });
        }
    }
}

/// The file diffs of a text, and where the last of them ends.
#[derive(Debug)]
pub struct FileDiffs {
    pub files: Vec<FileDiff>,
    pub end: TextPlace,
}

/// Reads every file diff of `text` from `start` on; text around them is passed over.
///
/// # Errors
/// Rejected, with `name:line`, for what the harness refuses or does not support.
pub fn files(text: &Text, start: TextPlace) -> Result<FileDiffs> {
    let mut scan = Scan { text, at: start };
    let mut found = FileDiffs { files: Vec::new(), end: start };
    let mut hunks = 0;
    while let Some(line) = text.line(scan.at) {
        if scan.at_file_start() {
            let file = scan.file()?;
            hunks += file.hunks.len();
            found.files.push(file);
            found.end = scan.at;
            if found.files.len() > FILES_MAX || hunks > HUNKS_MAX {
                let why = format!("more than {FILES_MAX} files or {HUNKS_MAX} hunks");
                return Err(scan.refuse(why).next("test a part of it"));
            }
        } else if line.starts_with(b"@@") {
            return Err(scan.refuse(match parse_header(line) {
                Some(_) => "a hunk that belongs to no file",
                None => "what stands here is the header of a hunk, and it is damaged",
            }));
        } else if line.starts_with(b"Binary files ") && line.trim_ascii_end().ends_with(b" differ") {
            return Err(scan.refuse("binary content is not supported"));
        } else {
            scan.step();
        }
    }
    Ok(found)
}

/// Where the first line of `text` stands that belongs to a diff.
pub fn first_diff(text: &Text) -> Option<TextPlace> {
    let mut scan = Scan { text, at: text.start() };
    while text.line(scan.at).is_some() {
        if scan.at_file_start() {
            return Some(scan.at);
        }
        scan.step();
    }
    None
}

/// Where a hunk stands above the first file's part of `text`.
pub fn stray_hunk(text: &Text, before: TextPlace) -> Option<TextPlace> {
    let mut at = text.start();
    while at < before {
        if parse_header(text.line(at)?).is_some() {
            return Some(at);
        }
        at = text.below(at);
    }
    None
}

impl Scan<'_> {
    pub fn at_file_start(&self) -> bool {
        let line = self.line();
        if !line.starts_with(b"--- ") {
            return line.starts_with(b"diff --git ");
        }
        let below = self.text.below(self.at);
        let starts =
            |place, prefix: &[u8]| self.text.line(place).is_some_and(|line| line.starts_with(prefix));
        starts(below, b"+++ ") && starts(self.text.below(below), b"@@ -")
    }

    fn file(&mut self) -> Result<FileDiff> {
        let (text, start) = (self.text.clone(), self.at);
        let line = start.number;
        let git = match self.line().starts_with(b"diff --git ") {
            true => Some(self.git_line()?),
            false => None,
        };
        if git.is_some() && self.line().starts_with(b"diff --git ") {
            // git apply takes the names of the line above for those of the part below, or refuses both.
            return Err(self
                .refuse("nothing below the `diff --git` line above says what became of the file")
                .next("leave that line out: git diff prints one for a file whose times alone have changed"));
        }
        let header = self.extended_header()?;
        let Paths { path, other_path, from, change, content } = self.paths(git.as_ref(), &header)?;
        let hunks = if content { self.hunks()? } else { Vec::new() };
        if content && hunks.is_empty() {
            return Err(self.refuse(format!("{path}: a diff without a hunk")));
        }
        let Header { pre_blob, post_blob, mode, old_mode, index_mode, .. } = header;
        Ok(FileDiff {
            path,
            other_path,
            from,
            text,
            line,
            change,
            is_git: git.is_some(),
            pre_blob,
            post_blob,
            old_mode,
            mode,
            index_mode,
            hunks,
        })
    }

    fn hunks(&mut self) -> Result<Vec<Hunk>> {
        let mut hunks: Vec<Hunk> = Vec::new();
        while self.line().starts_with(b"@@") || self.line().starts_with(b"@ -") {
            let Some(header) = parse_header(self.line()) else {
                return Err(self.refuse("the header of this hunk is damaged").because(format!(
                    "`{}` is not `@@ -start,lines +start,lines @@`",
                    header::quoted(self.line())
                )));
            };
            hunks.push(self.hunk(header));
            if hunks.len() > HUNKS_MAX {
                return Err(self.refuse(format!("more than {HUNKS_MAX} hunks")));
            }
        }
        Ok(hunks)
    }

    fn hunk(&mut self, (old_start, old_len, new_start, new_len, section): HunkHeader) -> Hunk {
        let line = self.at.number;
        self.step();
        let from = self.at;
        let (body, leading, trailing, faults) = match strict(self.text, from, old_len, new_len) {
            Some(Sound { end, leading, trailing }) => {
                (self.text.span(from, end), leading, trailing, Vec::new())
            }
            None => {
                let end = loose_end(self.text, from);
                let body = self.text.span(from, end);
                let mut faults = faults(&body, old_len, new_len, self.text.line(end).is_none());
                if self.text.is_cut_at(end) {
                    faults[0].detail.push_str("; the last line has no line end");
                }
                self.at = end;
                (body, 0, 0, faults)
            }
        };
        if faults.is_empty() {
            let len = body.bytes().len();
            // A sound body has a line for each of its line ends.
            self.at = TextPlace {
                at: from.at + len,
                number: from.number + memchr::memchr_iter(b'\n', body.bytes()).count(),
            };
        }
        Hunk { line, old_start, old_len, new_start, new_len, section, body, leading, trailing, faults }
    }
}

type HunkHeader = (usize, usize, usize, usize, Vec<u8>);

/// `@@ -start[,len] +start[,len] @@ section`.
fn parse_header(text: &[u8]) -> Option<HunkHeader> {
    let rest = text.strip_prefix(b"@@ -")?;
    // Two ranges of numbers are not longer; a line of megabytes is not looked through.
    let end = rest[..rest.len().min(64)].windows(3).position(|window| window == b" @@")?;
    let ranges = std::str::from_utf8(&rest[..end]).ok()?;
    let (old, new) = ranges.split_once(" +")?;
    let number = |text: &str| -> Option<usize> {
        // `parse` takes a sign as well.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        usize::try_from(text.parse::<u32>().ok().filter(|_| digits)?).ok()
    };
    let range = |text: &str| -> Option<(usize, usize)> {
        let (start, len) = text.split_once(',').unwrap_or((text, "1"));
        Some((number(start)?, number(len)?))
    };
    let (old_start, old_len) = range(old)?;
    let (new_start, new_len) = range(new)?;
    Some((old_start, old_len, new_start, new_len, rest[end + 3..].to_vec()))
}

/// A body that its counts describe.
struct Sound {
    end: TextPlace,
    leading: usize,
    trailing: usize,
}

/// Reads a body by its counts; `None` when lines and counts do not agree.
fn strict(text: &Text, from: TextPlace, old_len: usize, new_len: usize) -> Option<Sound> {
    let bytes = text.bytes();
    let (mut at, mut lines) = (from.at, 0);
    let (mut old, mut new, mut leading, mut trailing) = (0, 0, 0, 0);
    // A side ends with the line that lacks its newline.
    let (mut old_ended, mut new_ended, mut changed) = (false, false, false);
    let mut last = None;
    loop {
        let full = old == old_len && new == new_len;
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty());
        let first = match rest {
            Some(rest) => rest[0],
            None if full => break,
            None => return None,
        };
        if full && first != b'\\' {
            break;
        }
        let len = memchr::memchr(b'\n', rest.unwrap_or_default())?;
        let kind = match first {
            b'\\' => {
                // git asks for as much: in any language the words are longer (apply.c, parse_fragment()).
                if len < 11 || !bytes[at..].starts_with(b"\\ ") {
                    if full {
                        break;
                    }
                    return None;
                }
                old_ended |= last? != EditKind::Add;
                new_ended |= last? != EditKind::Remove;
                (at, lines) = (at + len + 1, lines + 1);
                if full {
                    break;
                }
                continue;
            }
            b'-' => EditKind::Remove,
            b'+' => EditKind::Add,
            b' ' | b'\n' => EditKind::Context,
            _ => return None,
        };
        if kind != EditKind::Add {
            if old == old_len || old_ended {
                return None;
            }
            old += 1;
        }
        if kind != EditKind::Remove {
            if new == new_len || new_ended {
                return None;
            }
            new += 1;
        }
        if kind == EditKind::Context {
            leading += usize::from(!changed);
            trailing += 1;
        } else {
            (changed, trailing) = (true, 0);
        }
        last = Some(kind);
        (at, lines) = (at + len + 1, lines + 1);
    }
    let end = TextPlace { at, number: from.number + lines };
    // git takes no line that has no end either.
    (changed && !text.is_cut_at(end) && !more_follows(text, end)).then_some(Sound { end, leading, trailing })
}

/// Whether the line after a hunk's last still looks like part of the hunk. What people write below a patch may begin so
/// too: a rule of dashes, or `+1`.
fn more_follows(text: &Text, at: TextPlace) -> bool {
    let is_part =
        |line: &[u8]| matches!(line.first(), Some(b'+' | b'-' | b' ')) && !line.trim_ascii().is_empty();
    let Some(next) = text.line(at).filter(|line| is_part(line)) else { return false };
    let goes_on = || text.line(text.below(at)).is_some_and(is_part);
    let dashes = next.trim_ascii_end();
    if next == b"-- " || next.starts_with(b"--- ") {
        return false;
    }
    if dashes.len() > 1 && dashes.iter().all(|&byte| byte == b'-') {
        return goes_on() && !is_signature(text, at);
    }
    let is_vote = next.len() > 1 && next[0] == b'+' && next[1].is_ascii_digit();
    !is_vote || goes_on()
}

/// `-- ` and git's version below the last hunk of a mail; a page may have eaten the space.
pub fn is_signature(text: &Text, at: TextPlace) -> bool {
    match text.line(at) {
        Some(b"-- ") => true,
        Some(b"--") => {
            text.line(text.below(at)).is_none_or(|version| version.first().is_some_and(u8::is_ascii_digit))
        }
        _ => false,
    }
}

/// Where a body that its counts do not describe ends: at the next header or the signature.
fn loose_end(text: &Text, from: TextPlace) -> TextPlace {
    let mut scan = Scan { text, at: from };
    while let Some(line) = text.line(scan.at) {
        if scan.at_file_start() || line.starts_with(b"@@ -") || is_signature(text, scan.at) {
            break;
        }
        scan.step();
    }
    scan.at
}

/// What is wrong with a malformed body, from the diff alone.
fn faults(body: &Span, old_len: usize, new_len: usize, input_ends: bool) -> Vec<HunkDamage> {
    let mut unmarked = Vec::new();
    let (mut old, mut new, mut last) = (0, 0, None);
    for Line { number, text } in body.lines() {
        match text.first() {
            Some(b' ') | None => (old, new) = (old + 1, new + 1),
            Some(b'-') => old += 1,
            Some(b'+') => new += 1,
            Some(b'\\') => {}
            Some(_) => unmarked.push(number),
        }
        last = Some(number);
    }
    let detail = format!("the header says {old_len} old and {new_len} new lines, there are {old} and {new}");
    let kind = match (unmarked.is_empty(), (old, new) == (old_len, new_len)) {
        (false, true) => DamageKind::WrappedLine,
        (false, false) => DamageKind::LostLeadingSpace,
        (true, _) if input_ends && old <= old_len && new <= new_len => DamageKind::Truncated,
        (true, _) => DamageKind::CountsDisagree,
    };
    let lines = if unmarked.is_empty() { last.into_iter().collect() } else { unmarked };
    vec![HunkDamage { kind, lines, detail }]
}
