//! What stands above the hunks of a file's diff: its names, its modes, its blob ids, and what becomes of the file. Pure.

use super::path::{self, Name};
use super::scan::Scan;
use failure::Result;

/// What one `diff` does to its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Modify,
    Create,
    Delete,
    /// It is the file `from`, which goes.
    Rename,
    /// It is the file `from`, which stays.
    Copy,
}

/// What the extended header lines of one file said (git-diff(1), "extended header lines").
#[derive(Default)]
pub struct Header {
    pub pre_blob: Option<String>,
    pub post_blob: Option<String>,
    /// Of `new mode`, `new file mode` or `deleted file mode`.
    pub mode: Option<String>,
    /// Of `old mode`.
    pub old_mode: Option<String>,
    /// Of the `index` line.
    pub index_mode: Option<String>,
    created: bool,
    deleted: bool,
    /// The file was changed while it was renamed or copied.
    differs: bool,
    rename: (Option<String>, Option<String>),
    copy: (Option<String>, Option<String>),
}

/// The ids of a file of no bytes, as git writes them with either hash.
const EMPTY_BLOBS: [&str; 2] = [
    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
];

/// The names of a `diff --git` line, where they are of one file and can be told apart; and all that stands there.
pub struct GitLine(Option<(Name, Name)>, Vec<u8>);

/// Which file a diff is about, and what it does to it.
pub struct Paths {
    pub path: String,
    pub other_path: Option<String>,
    pub from: Option<String>,
    pub change: Change,
    /// Hunks have to follow.
    pub content: bool,
}

/// A path, and what else it may be.
type PathChoice = (String, Option<String>);

impl Scan<'_> {
    /// `diff --git a/P b/P`.
    pub fn git_line(&mut self) -> Result<GitLine> {
        let rest = self.line().strip_prefix(b"diff --git ").unwrap_or_default();
        let rest = rest.trim_ascii_end();
        let tree_path = |raw| path::name(raw).map_err(|why| self.refuse(why));
        let names = match rest.first() {
            Some(b'"') => path::unquote(rest).map(|(_, used)| (&rest[..used], &rest[used..])),
            // Both halves are the same path with a prefix of one length, so the middle is the space between them.
            _ => Some(rest.split_at(rest.len() / 2)),
        };
        let names = names.and_then(|(old, new)| Some((old, new.strip_prefix(b" ")?)));
        // Every word is checked first, so that a hostile name is called hostile and not merely odd.
        if rest.len() < 10_000 && !rest.contains(&b'"') {
            for word in rest.split(|&byte| byte == b' ').filter(|word| word.contains(&b'/')) {
                tree_path(word)?;
            }
        }
        let both = names.and_then(|(old, new)| Some((path::name(old).ok()??, path::name(new).ok()??)));
        self.step();
        Ok(GitLine(both.filter(|(old, new)| pair(old, new, true).is_ok()), rest.to_vec()))
    }

    pub fn extended_header(&mut self) -> Result<Header> {
        let mut header = Header::default();
        loop {
            let line = self.line();
            let value = |prefix: &[u8]| line.strip_prefix(prefix);
            let file = |raw: &[u8]| path::inside_tree(raw).map(Some).map_err(|why| self.refuse(why));
            if let Some(ids) = value(b"index ") {
                self.index_line(ids, &mut header)?;
            } else if let Some(mode) = value(b"new file mode ") {
                (header.created, header.mode) = (true, Some(self.regular_mode(mode)?));
            } else if let Some(mode) = value(b"deleted file mode ") {
                (header.deleted, header.mode) = (true, Some(self.regular_mode(mode)?));
            } else if let Some(mode) = value(b"old mode ") {
                header.old_mode = Some(self.regular_mode(mode)?);
            } else if let Some(mode) = value(b"new mode ") {
                header.mode = Some(self.regular_mode(mode)?);
            } else if let Some(raw) = value(b"rename from ").or(value(b"rename old ")) {
                header.rename.0 = file(raw)?;
            } else if let Some(raw) = value(b"rename to ").or(value(b"rename new ")) {
                header.rename.1 = file(raw)?;
            } else if let Some(raw) = value(b"copy from ") {
                header.copy.0 = file(raw)?;
            } else if let Some(raw) = value(b"copy to ") {
                header.copy.1 = file(raw)?;
            } else if line.starts_with(b"GIT binary patch") || line.starts_with(b"Binary files ") {
                return Err(self.refuse("binary content is not supported"));
            } else if let Some(percent) = value(b"similarity index ") {
                header.differs = percent.trim_ascii_end() != b"100%";
            } else if !line.starts_with(b"dissimilarity index ") {
                return Ok(header);
            }
            self.step();
            self.check_whole()?;
        }
    }

    /// The line above has its end: of one that is cut off nobody knows what it named.
    fn check_whole(&self) -> Result<()> {
        match self.text.is_cut_at(self.at) {
            true => Err(self.refuse("the text ends within the header of a diff")),
            false => Ok(()),
        }
    }

    fn index_line(&self, ids: &[u8], header: &mut Header) -> Result<()> {
        let malformed = || self.refuse("malformed `index` line");
        let text = std::str::from_utf8(ids).map_err(|_| malformed())?.trim_end();
        let (ids, mode) = text.split_once(' ').map_or((text, None), |(ids, mode)| (ids, Some(mode)));
        let (pre, post) = ids.split_once("..").ok_or_else(malformed)?;
        let is_id = |id: &str| (4..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_id(pre) || !is_id(post) {
            return Err(malformed());
        }
        if let Some(mode) = mode {
            header.index_mode = Some(self.regular_mode(mode.as_bytes())?);
        }
        header.pre_blob = Some(pre.to_owned());
        header.post_blob = Some(post.to_owned());
        Ok(())
    }

    fn regular_mode(&self, mode: &[u8]) -> Result<String> {
        match mode.trim_ascii_end() {
            mode @ (b"100644" | b"100755") => Ok(String::from_utf8_lossy(mode).into_owned()),
            b"120000" => Err(self.refuse("a symbolic link (mode 120000): refused")),
            b"160000" => Err(self.refuse("a submodule (mode 160000): refused")),
            mode => Err(self.refuse(format!("file mode `{}` is not supported", quoted(mode)))),
        }
    }

    /// Reads the `---` and `+++` lines, if there are any, and decides by all names which file it is.
    pub fn paths(&mut self, git: Option<&GitLine>, header: &Header) -> Result<Paths> {
        let names = match self.line().starts_with(b"--- ") {
            true => Some((self.side(b"--- ")?, self.side(b"+++ ")?)),
            false => None,
        };
        if git.is_none() || names.is_some() {
            let ((old, old_is_new), (new, new_is_gone)) =
                names.ok_or_else(|| self.refuse("a diff without its `--- ` line"))?;
            let old = old.filter(|_| git.is_some() || !old_is_new);
            let new = new.filter(|_| git.is_some() || !new_is_gone);
            return self.with_content(git, header, old.as_ref(), new.as_ref());
        }
        self.without_content(git, header)
    }

    /// The path of a `---` or `+++` line, and whether its time stamp says that there was or is no such file: diff(1)
    /// with `-N` gives it the time 0 then.
    fn side(&mut self, prefix: &[u8]) -> Result<(Option<Name>, bool)> {
        let Some(raw) = self.line().strip_prefix(prefix) else {
            let prefix = String::from_utf8_lossy(prefix).into_owned();
            return Err(self.refuse(format!("a diff without its `{prefix}` line")));
        };
        let (raw, stamp) = without_stamp(raw);
        let name = path::name(raw).map_err(|why| self.refuse(why))?;
        self.step();
        Ok((name, stamp.is_some_and(is_epoch)))
    }

    fn with_content(
        &self,
        git: Option<&GitLine>,
        header: &Header,
        old: Option<&Name>,
        new: Option<&Name>,
    ) -> Result<Paths> {
        let named = git.and_then(|GitLine(names, _)| names.as_ref());
        let differ = "the `diff --git` line and the `---`/`+++` lines name different files";
        if let Some((from, to, change)) = header.moved() {
            let agree = old.is_none_or(|name| name.is(from)) && new.is_none_or(|name| name.is(to));
            if !agree || old.is_none() || new.is_none() || git.is_none_or(|git| !git.is_of(from, to)) {
                return Err(self.refuse(differ));
            }
            return Ok(Paths::moved(from, to, change, true));
        }
        let (choice, change) = match (old, new) {
            (Some(old), Some(new)) => {
                let choice = pair(old, new, git.is_some()).map_err(|why| self.refuse(why))?;
                (choice, Change::Modify)
            }
            (None, Some(new)) => (single(new, named), Change::Create),
            (Some(old), None) => (single(old, named), Change::Delete),
            (None, None) => return Err(self.refuse("both sides are /dev/null")),
        };
        if let Some((from, to)) = named {
            let of_git = pair(from, to, true).map_err(|why| self.refuse(why))?;
            if of_git.0 != choice.0 {
                return Err(self.refuse(differ));
            }
        }
        let said = (header.created, header.deleted);
        // git takes no diff of its own that makes or deletes a file without a line that says so.
        if (git.is_some() || said != (false, false))
            && said != (change == Change::Create, change == Change::Delete)
        {
            return Err(self
                .refuse("the mode lines and the `---`/`+++` lines disagree about what happens to the file"));
        }
        let (path, other_path) = choice;
        Ok(Paths { path, other_path, from: None, change, content: true })
    }

    /// A rename, a change of mode, an empty file: a diff that has no hunk.
    fn without_content(&self, git: Option<&GitLine>, header: &Header) -> Result<Paths> {
        let names = git.and_then(|GitLine(names, _)| names.as_ref());
        if let Some((from, to, change)) = header.moved() {
            if git.is_none_or(|git| !git.is_of(from, to)) {
                return Err(self.refuse("the `diff --git` line and those below it name different files"));
            }
            return match header.differs {
                true => {
                    Err(self.refuse("the file was changed while it was moved, and the hunks are missing"))
                }
                false => Ok(Paths::moved(from, to, change, false)),
            };
        }
        // Of a file that is not empty the hunks are missing.
        let is_empty = |id: &Option<String>| {
            id.as_ref()
                .is_some_and(|id| EMPTY_BLOBS.iter().any(|blob| blob.starts_with(&id.to_ascii_lowercase())))
        };
        let changes_mode =
            header.old_mode.is_some() && header.mode.is_some() && header.old_mode != header.mode;
        let change = match (header.created, header.deleted) {
            (true, false) if is_empty(&header.post_blob) => Change::Create,
            (false, true) if is_empty(&header.pre_blob) => Change::Delete,
            (false, false) if changes_mode => Change::Modify,
            _ => return Err(self.refuse("a diff without its `--- ` line (no content change?)")),
        };
        let Some((old, new)) = names else {
            return Err(self.refuse("the `diff --git` line does not say which file this is"));
        };
        let (path, other_path) = pair(old, new, true).map_err(|why| self.refuse(why))?;
        Ok(Paths { path, other_path, from: None, change, content: false })
    }
}

impl GitLine {
    /// Whether the line can be the one of this rename or copy. What git quotes is not compared.
    fn is_of(&self, from: &str, to: &str) -> bool {
        let GitLine(_, text) = self;
        let ends = |name: &str| text.ends_with(name.as_bytes());
        text.contains(&b'"') || ends(to) && memchr::memmem::find(text, from.as_bytes()).is_some()
    }
}

impl Header {
    fn moved(&self) -> Option<(&str, &str, Change)> {
        let of = |(from, to): &(Option<String>, Option<String>)| Some((from.clone()?, to.clone()?));
        let (names, change) = match (of(&self.rename), of(&self.copy)) {
            (Some(_), _) => (&self.rename, Change::Rename),
            (None, Some(_)) => (&self.copy, Change::Copy),
            (None, None) => return None,
        };
        Some((names.0.as_deref()?, names.1.as_deref()?, change))
    }
}

impl Paths {
    fn moved(from: &str, to: &str, change: Change, content: bool) -> Paths {
        Paths { path: to.to_owned(), other_path: None, from: Some(from.to_owned()), change, content }
    }
}

/// The file that two names stand for. The first component is no part of it where it differs; where it is the same
/// (`git diff --no-prefix`, or diff(1) from the directory above) the tree has to say.
fn pair(old: &Name, new: &Name, is_git: bool) -> Result<PathChoice, String> {
    let differ = || "`---` and `+++` name different files: not supported".to_owned();
    if old == new {
        return Ok(match new.stripped() {
            None => (new.whole().to_owned(), None),
            Some(rest) if new.first() == "." => (rest.to_owned(), None),
            Some(rest) if is_git && !new.has_prefix_of_git() => {
                (new.whole().to_owned(), Some(rest.to_owned()))
            }
            Some(rest) => (rest.to_owned(), Some(new.whole().to_owned())),
        });
    }
    if is_git {
        return match (old.stripped(), new.stripped()) {
            (Some(old), Some(new)) if old == new => Ok((new.to_owned(), None)),
            _ => Err(differ()),
        };
    }
    match (old.stripped(), new.stripped()) {
        (Some(was), Some(is)) => {
            let path = shorter(was, is).ok_or_else(differ)?;
            let whole =
                (old.first() == new.first() && new.first() != ".").then(|| format!("{}/{path}", new.first()));
            Ok((path.to_owned(), whole))
        }
        (None, None) => {
            shorter(old.whole(), new.whole()).map(|path| (path.to_owned(), None)).ok_or_else(differ)
        }
        _ => Err(differ()),
    }
}

/// Of `x.c.orig` and `x.c` the one that is the file (git's apply.c, find_name_common()).
fn shorter<'a>(old: &'a str, new: &'a str) -> Option<&'a str> {
    let (short, long) = if old.len() <= new.len() { (old, new) } else { (new, old) };
    let more = long.strip_prefix(short)?;
    let is_suffix = more.is_empty() || more.starts_with(['.', '~', '-', '_', ',']) && !more.contains('/');
    is_suffix.then_some(short)
}

/// The file of a diff whose other side is /dev/null.
fn single(name: &Name, named: Option<&(Name, Name)>) -> PathChoice {
    if let Some(choice) = named.and_then(|(old, new)| pair(old, new, true).ok()) {
        if name.is(&choice.0) || choice.1.as_deref().is_some_and(|other| name.is(other)) {
            return choice;
        }
    }
    match name.stripped() {
        None => (name.whole().to_owned(), None),
        Some(rest) if name.has_prefix_of_git() || name.first() == "." => (rest.to_owned(), None),
        Some(rest) => (rest.to_owned(), Some(name.whole().to_owned())),
    }
}

/// What stands before a tab; diff(1) puts a time stamp behind it. Where the tab became a space the stamp is known by
/// its form.
fn without_stamp(raw: &[u8]) -> (&[u8], Option<&[u8]>) {
    if let Some(tab) = memchr::memchr(b'\t', raw) {
        return (&raw[..tab], Some(&raw[tab + 1..]));
    }
    let digits = |text: &[u8], form: &[u8]| {
        text.len() >= form.len()
            && text.iter().zip(form).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                form => byte == form,
            })
    };
    const FORM: &[u8] = b" 0000-00-00 00:00:00";
    // A stamp is no longer than that, with its fraction and its zone.
    let tail = raw.len().saturating_sub(FORM.len() + 20);
    match (tail..raw.len()).find(|&at| at > 0 && digits(&raw[at..], FORM)) {
        Some(at) => (raw[..at].trim_ascii_end(), Some(&raw[at + 1..])),
        None => (raw.strip_suffix(b"\r").unwrap_or(raw), None),
    }
}

/// Whether a time stamp is the beginning of 1970 somewhere (git's apply.c, has_epoch_timestamp()).
fn is_epoch(stamp: &[u8]) -> bool {
    let epoch = || -> Option<bool> {
        let text = std::str::from_utf8(stamp).ok()?;
        let mut words = text.split_whitespace();
        let (date, time) = (words.next()?, words.next()?);
        let zone = words.next().unwrap_or("+0000").replace(':', "");
        let (hours, rest) = time.split_once(':')?;
        let (minutes, seconds) = rest.split_once(':')?;
        if !seconds.strip_prefix("00")?.trim_start_matches('.').bytes().all(|byte| byte == b'0') {
            return None;
        }
        let number = |text: &str| text.parse::<i32>().ok();
        let local = number(hours)? * 60 + number(minutes)?;
        let sign = if zone.starts_with('-') { -1 } else { 1 };
        let digits = zone.get(1..5).filter(|digits| digits.is_ascii())?;
        let offset = sign * (number(&digits[..2])? * 60 + number(&digits[2..])?);
        Some(match date {
            "1970-01-01" => local == offset,
            "1969-12-31" => local - 24 * 60 == offset,
            _ => false,
        })
    };
    epoch().unwrap_or(false)
}

/// A line as shown to people: printable, and short.
pub fn quoted(line: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(&line[..line.len().min(400)]).chars().take(100).collect();
    text.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_is_known_in_every_zone() {
        for stamp in [
            "1970-01-01 00:00:00.000000000 +0000",
            "1970-01-01 01:00:00.000000000 +0100",
            "1969-12-31 19:00:00 -0500",
            "1970-01-01 05:30:00 +05:30",
        ] {
            assert!(is_epoch(stamp.as_bytes()), "{stamp}");
        }
        for stamp in ["1970-01-01 00:00:01 +0000", "2026-01-01 00:00:00 +0000", "", "1970-01-01", "\u{e9}"] {
            assert!(!is_epoch(stamp.as_bytes()), "{stamp}");
        }
    }

    #[test]
    fn a_time_stamp_is_no_part_of_a_name() {
        let name = |raw: &str| String::from_utf8(without_stamp(raw.as_bytes()).0.to_vec()).unwrap();
        assert_eq!(name("a/x\t2026-01-01 00:00:00.0 +0000"), "a/x");
        assert_eq!(name("a/x 2026-01-01 00:00:00.0 +0000"), "a/x");
        assert_eq!(name("a/with space\t"), "a/with space");
        assert_eq!(name("a/x y"), "a/x y");
    }
}
