//! The unified diff inside a patch: files, hunks, lines, with the place of each in the input. Pure.
//!
//! A hunk is read strictly by its header's counts. When that fails its lines are kept as they stand together
//! with what is wrong, for `repair` to judge; nothing is guessed here. What the harness cannot carry out
//! (renames, mode changes, symlinks, binary content) is an error, never skipped.

use super::path;
use crate::failure::{Failure, Result};

/// What one `diff` does to its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Modify,
    Create,
    Delete,
}

/// One file's part of a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDiff {
    /// Relative to the top of the tree.
    pub path: String,
    /// Line in the input where the file's part starts.
    pub line: usize,
    pub change: Change,
    /// Abbreviated blob ids of the `index` line, as written.
    pub pre_blob: Option<String>,
    pub post_blob: Option<String>,
    /// The mode written on the `index` or `new file mode` line.
    pub mode: Option<String>,
    pub hunks: Vec<Hunk>,
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
    pub body: Vec<InputLine>,
    /// The edits when the body is well-formed, else what is wrong with it.
    pub edits: std::result::Result<Vec<Edit>, Vec<Fault>>,
}

/// A line of the input, without its line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputLine {
    /// From 1.
    pub number: usize,
    pub text: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditKind {
    Context,
    Remove,
    Add,
}

/// One line of a hunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    pub kind: EditKind,
    /// The file's line, with its `\n` unless the file ends without one.
    pub text: Vec<u8>,
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
    /// Well-formed, applies, and yet the result is not the one the `index` line names.
    Altered,
}

/// One kind of damage in one hunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: DamageKind,
    /// Lines of the input that show it.
    pub lines: Vec<usize>,
    /// Figures that go with it; may be empty.
    pub detail: String,
}

/// Splits text into lines, numbering them from `first`.
pub fn lines(text: &[u8], first: usize) -> Vec<InputLine> {
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    if body.is_empty() {
        return Vec::new();
    }
    let numbered = body.split(|&byte| byte == b'\n').enumerate();
    numbered.map(|(i, line)| InputLine { number: first + i, text: line.to_vec() }).collect()
}

/// Reads every file diff in `lines`; text around them is passed over.
///
/// # Errors
/// Rejected, with `origin:line`, for what the harness refuses or does not support.
pub fn files(lines: &[InputLine], origin: &str) -> Result<Vec<FileDiff>> {
    let mut scan = Scan { lines, at: 0, origin };
    let mut files = Vec::new();
    while scan.at < lines.len() {
        if scan.at_file_start() {
            files.push(scan.file()?);
        } else if scan.text(0).starts_with(b"@@ -") && parse_header(scan.text(0)).is_some() {
            return Err(scan.refuse("a hunk that belongs to no file"));
        } else {
            scan.at += 1;
        }
    }
    Ok(files)
}

/// The index in `lines` of the first line that belongs to a diff.
pub fn first_diff(lines: &[InputLine]) -> Option<usize> {
    (0..lines.len()).find(|&at| Scan { lines, at, origin: "" }.at_file_start())
}

/// What the extended header lines of one file said.
#[derive(Default)]
struct Header {
    pre_blob: Option<String>,
    post_blob: Option<String>,
    mode: Option<String>,
    created: bool,
    deleted: bool,
}

struct Scan<'a> {
    lines: &'a [InputLine],
    at: usize,
    origin: &'a str,
}

impl<'a> Scan<'a> {
    /// The text `ahead` lines further on; empty past the end.
    fn text(&self, ahead: usize) -> &'a [u8] {
        self.lines.get(self.at + ahead).map_or(b"", |line| &line.text)
    }

    fn number(&self) -> usize {
        self.lines.get(self.at).or(self.lines.last()).map_or(1, |line| line.number)
    }

    fn refuse(&self, what: impl AsRef<str>) -> Failure {
        Failure::rejected(format!("{}:{}: {}", self.origin, self.number(), what.as_ref()))
    }

    fn at_file_start(&self) -> bool {
        let plain = self.text(0).starts_with(b"--- ")
            && self.text(1).starts_with(b"+++ ")
            && self.text(2).starts_with(b"@@ -");
        plain || self.text(0).starts_with(b"diff --git ")
    }

    fn file(&mut self) -> Result<FileDiff> {
        let line = self.number();
        let named = if self.text(0).starts_with(b"diff --git ") {
            let path = self.git_line()?;
            self.at += 1;
            Some(path)
        } else {
            None
        };
        let header = self.extended_header()?;
        let (old, new) = self.names()?;
        let (path, change) = self.agree(named, old, new, &header)?;
        let hunks = self.hunks();
        if hunks.is_empty() {
            return Err(self.refuse(format!("{path}: a diff without a hunk")));
        }
        let Header { pre_blob, post_blob, mode, .. } = header;
        Ok(FileDiff { path, line, change, pre_blob, post_blob, mode, hunks })
    }

    /// The path of `diff --git a/P b/P`.
    fn git_line(&self) -> Result<String> {
        let rest = self.text(0).strip_prefix(b"diff --git ").unwrap_or_default();
        // Both halves are the same path with a one-letter prefix, so the middle is the space between them.
        let (old, new) = rest.split_at(rest.len() / 2);
        let new = new.strip_prefix(b" ").unwrap_or(new);
        let tree_path = |raw| path::inside_tree(raw).map_err(|why| self.refuse(why));
        // Every word is checked first, so that a hostile name is called hostile and not merely odd.
        for word in rest.split(|&byte| byte == b' ').filter(|word| word.contains(&b'/')) {
            tree_path(word)?;
        }
        match (tree_path(old)?, tree_path(new)?) {
            (Some(old), Some(new)) if old == new => Ok(old),
            _ => {
                Err(self.refuse("the `diff --git` line names two different files: renames are not supported"))
            }
        }
    }

    fn extended_header(&mut self) -> Result<Header> {
        let mut header = Header::default();
        loop {
            let text = self.text(0);
            let word_end = text.iter().position(|&byte| byte == b' ').unwrap_or(text.len());
            if let Some(ids) = text.strip_prefix(b"index ") {
                self.index_line(ids, &mut header)?;
            } else if let Some(mode) = text.strip_prefix(b"new file mode ") {
                header.created = true;
                header.mode = Some(self.regular_mode(mode)?);
            } else if let Some(mode) = text.strip_prefix(b"deleted file mode ") {
                header.deleted = true;
                header.mode = Some(self.regular_mode(mode)?);
            } else {
                match &text[..word_end] {
                    b"old" | b"new" => return Err(self.refuse("mode changes are not supported")),
                    b"similarity" | b"dissimilarity" | b"rename" | b"copy" => {
                        return Err(self.refuse("renames and copies are not supported"));
                    }
                    b"GIT" | b"Binary" => return Err(self.refuse("binary content is not supported")),
                    _ => return Ok(header),
                }
            }
            self.at += 1;
        }
    }

    fn index_line(&self, ids: &[u8], header: &mut Header) -> Result<()> {
        let malformed = || self.refuse("malformed `index` line");
        let text = std::str::from_utf8(ids).map_err(|_| malformed())?;
        let (ids, mode) = text.split_once(' ').map_or((text, None), |(ids, mode)| (ids, Some(mode)));
        let (pre, post) = ids.split_once("..").ok_or_else(malformed)?;
        let is_id = |id: &str| (4..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_id(pre) || !is_id(post) {
            return Err(malformed());
        }
        if let Some(mode) = mode {
            header.mode = Some(self.regular_mode(mode.as_bytes())?);
        }
        header.pre_blob = Some(pre.to_owned());
        header.post_blob = Some(post.to_owned());
        Ok(())
    }

    fn regular_mode(&self, mode: &[u8]) -> Result<String> {
        match mode {
            b"100644" | b"100755" => Ok(String::from_utf8_lossy(mode).into_owned()),
            b"120000" => Err(self.refuse("a symbolic link (mode 120000): refused")),
            b"160000" => Err(self.refuse("a submodule (mode 160000): refused")),
            _ => Err(self.refuse(format!("file mode `{}` is not supported", mode.escape_ascii()))),
        }
    }

    /// The paths of the `---` and `+++` lines, `None` for `/dev/null`.
    fn names(&mut self) -> Result<(Option<String>, Option<String>)> {
        let mut name = |prefix: &[u8]| {
            let Some(raw) = self.text(0).strip_prefix(prefix) else {
                let prefix = String::from_utf8_lossy(prefix).into_owned();
                return Err(self.refuse(format!("a diff without its `{prefix}` line (no content change?)")));
            };
            // diff(1) puts a tab and a time stamp after the name.
            let raw = raw.split(|&byte| byte == b'\t').next().unwrap_or(raw);
            let path = path::inside_tree(raw).map_err(|why| self.refuse(why))?;
            self.at += 1;
            Ok(path)
        };
        Ok((name(b"--- ")?, name(b"+++ ")?))
    }

    /// One path and one kind of change out of everything the header said, or a refusal.
    fn agree(
        &self,
        named: Option<String>,
        old: Option<String>,
        new: Option<String>,
        header: &Header,
    ) -> Result<(String, Change)> {
        let (path, change) = match (old, new) {
            (Some(old), Some(new)) if old == new => (new, Change::Modify),
            (Some(_), Some(_)) => {
                return Err(self.refuse("`---` and `+++` name different files: not supported"));
            }
            (None, Some(new)) => (new, Change::Create),
            (Some(old), None) => (old, Change::Delete),
            (None, None) => return Err(self.refuse("both sides are /dev/null")),
        };
        if named.is_some_and(|named| named != path) {
            return Err(self.refuse("the `diff --git` line and the `---`/`+++` lines name different files"));
        }
        let said = (header.created, header.deleted);
        if said != (false, false) && said != (change == Change::Create, change == Change::Delete) {
            return Err(self
                .refuse("the mode lines and the `---`/`+++` lines disagree about what happens to the file"));
        }
        Ok((path, change))
    }

    fn hunks(&mut self) -> Vec<Hunk> {
        let mut hunks = Vec::new();
        while let Some(hunk) = self.hunk() {
            hunks.push(hunk);
        }
        hunks
    }

    fn hunk(&mut self) -> Option<Hunk> {
        let (old_start, old_len, new_start, new_len, section) = parse_header(self.text(0))?;
        let line = self.number();
        self.at += 1;
        let rest = &self.lines[self.at..];
        let (edits, body) = match strict(rest, old_len, new_len) {
            Some((edits, used)) => (Ok(edits), &rest[..used]),
            None => {
                let body = &rest[..loose_end(rest)];
                (Err(faults(body, old_len, new_len, body.len() == rest.len())), body)
            }
        };
        self.at += body.len();
        Some(Hunk { line, old_start, old_len, new_start, new_len, section, body: body.to_vec(), edits })
    }
}

type HunkHeader = (usize, usize, usize, usize, Vec<u8>);

/// `@@ -start[,len] +start[,len] @@ section`.
fn parse_header(text: &[u8]) -> Option<HunkHeader> {
    let rest = text.strip_prefix(b"@@ -")?;
    let end = rest.windows(3).position(|window| window == b" @@")?;
    let ranges = std::str::from_utf8(&rest[..end]).ok()?;
    let (old, new) = ranges.split_once(" +")?;
    let range = |text: &str| -> Option<(usize, usize)> {
        let (start, len) = text.split_once(',').unwrap_or((text, "1"));
        Some((
            usize::try_from(start.parse::<u32>().ok()?).ok()?,
            usize::try_from(len.parse::<u32>().ok()?).ok()?,
        ))
    };
    let (old_start, old_len) = range(old)?;
    let (new_start, new_len) = range(new)?;
    Some((old_start, old_len, new_start, new_len, rest[end + 3..].to_vec()))
}

/// The edits of a well-formed body, and how many lines it takes; `None` when lines and counts do not agree.
fn strict(lines: &[InputLine], old_len: usize, new_len: usize) -> Option<(Vec<Edit>, usize)> {
    let (mut old, mut new, mut used) = (0, 0, 0);
    let mut edits: Vec<Edit> = Vec::new();
    while old < old_len || new < new_len {
        let text = &lines.get(used)?.text;
        used += 1;
        let (kind, content) = match text.split_first() {
            Some((b' ', content)) => (EditKind::Context, content),
            Some((b'-', content)) => (EditKind::Remove, content),
            Some((b'+', content)) => (EditKind::Add, content),
            Some((b'\\', _)) => {
                cut_newline(edits.last_mut()?);
                continue;
            }
            // Mail programs drop the space of a blank context line; git accepts that too.
            None => (EditKind::Context, &b""[..]),
            Some(_) => return None,
        };
        old += usize::from(kind != EditKind::Add);
        new += usize::from(kind != EditKind::Remove);
        edits.push(Edit { kind, text: [content, b"\n"].concat() });
    }
    if lines.get(used).is_some_and(|line| line.text.starts_with(b"\\ ")) {
        cut_newline(edits.last_mut()?);
        used += 1;
    }
    let whole = old == old_len && new == new_len && !more_follows(&lines[used..]);
    whole.then_some((edits, used))
}

/// `\ No newline at end of file` is about the line before it.
fn cut_newline(edit: &mut Edit) {
    if edit.text.ends_with(b"\n") {
        edit.text.pop();
    }
}

/// Whether the line after a hunk's last still looks like part of the hunk.
fn more_follows(rest: &[InputLine]) -> bool {
    let Some(next) = rest.first() else { return false };
    let more = matches!(next.text.first(), Some(b'+' | b'-' | b' '));
    more && !is_signature(rest) && !next.text.starts_with(b"--- ") && !next.text.trim_ascii().is_empty()
}

/// `-- ` and git's version below the last hunk of a mail; a page may have eaten the space.
pub fn is_signature(lines: &[InputLine]) -> bool {
    match lines {
        [dashes, ..] if dashes.text == b"-- " => true,
        [dashes] => dashes.text == b"--",
        [dashes, version, ..] => dashes.text == b"--" && version.text.first().is_some_and(u8::is_ascii_digit),
        [] => false,
    }
}

/// Where a body that its counts do not describe ends: at the next header or the signature.
fn loose_end(lines: &[InputLine]) -> usize {
    let ends = |at: usize| {
        let scan = Scan { lines, at, origin: "" };
        scan.at_file_start() || parse_header(scan.text(0)).is_some() || is_signature(&lines[at..])
    };
    (0..lines.len()).find(|&at| ends(at)).unwrap_or(lines.len())
}

/// What is wrong with a malformed body, from the diff alone.
fn faults(body: &[InputLine], old_len: usize, new_len: usize, input_ends: bool) -> Vec<Fault> {
    let mut unmarked = Vec::new();
    let (mut old, mut new) = (0, 0);
    for line in body {
        match line.text.first() {
            Some(b' ') | None => (old, new) = (old + 1, new + 1),
            Some(b'-') => old += 1,
            Some(b'+') => new += 1,
            Some(b'\\') => {}
            Some(_) => unmarked.push(line.number),
        }
    }
    let detail = format!("the header says {old_len} old and {new_len} new lines, there are {old} and {new}");
    let kind = match (unmarked.is_empty(), (old, new) == (old_len, new_len)) {
        (false, true) => DamageKind::WrappedLine,
        (false, false) => DamageKind::LostLeadingSpace,
        (true, _) if input_ends && old <= old_len && new <= new_len => DamageKind::Truncated,
        (true, _) => DamageKind::CountsDisagree,
    };
    let last = body.last().map(|line| line.number);
    let lines = if unmarked.is_empty() { last.into_iter().collect() } else { unmarked };
    vec![Fault { kind, lines, detail }]
}
