//! The envelope of a patch: plain diff, `git format-patch` output, mail, mbox, or a mail's web page pasted as
//! text. Takes off transfer encodings and quoting, and changes nothing else: what is in no envelope stays. Pure.

use std::borrow::Cow;
use std::fmt;

use super::diff;
use super::envelope::Envelope;
use super::mime::{self, Headers, Leaf, header_name};
use super::text::{Text, TextPlace};
use failure::{Failure, Result};

/// Mails that one mailbox may hold.
const MAILS_MAX: usize = 10_000;
/// Mails in mails that are opened.
const DEPTH_MAX: usize = 4;

/// What the input turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailKind {
    PlainDiff,
    FormatPatch,
    /// `encoding` is the Content-Transfer-Encoding of the part that holds the patch.
    Mail {
        encoding: String,
    },
    MboxEntry {
        encoding: String,
    },
    /// A mail archive's page, copied as text: headers, message and diff run together.
    WebPage,
}

impl fmt::Display for MailKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MailKind::PlainDiff => write!(f, "plain diff"),
            MailKind::FormatPatch => write!(f, "git format-patch output"),
            MailKind::Mail { encoding } => write!(f, "mail ({encoding})"),
            MailKind::MboxEntry { encoding } => write!(f, "mail in an mbox ({encoding})"),
            MailKind::WebPage => write!(f, "text pasted from a web page of a mail"),
        }
    }
}

/// One patch out of its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub kind: MailKind,
    pub author: Option<String>,
    pub date: Option<String>,
    pub subject: Option<String>,
    pub message_id: Option<String>,
    pub envelope: Envelope,
    /// The parts of a mail in their order: the first one, and those that hold a diff. At least one.
    pub texts: Vec<Text>,
    /// What people should know about how they were found.
    pub notes: Vec<String>,
    /// Every line of the diff ended in a carriage return, which was taken off.
    pub crlf: bool,
}

/// Opens whatever `bytes` is.
///
/// # Errors
/// Rejected when a mail cannot be parsed, or a part of it cannot be taken.
pub fn open(bytes: &[u8], source: &str) -> Result<Vec<Letter>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut letters = Vec::new();
    open_at(bytes, &Origin { name: source.to_owned(), line: 1, depth: 0 }, &mut letters)?;
    for letter in &mut letters {
        letter.strip_crlf();
        letter.take_inner_headers();
    }
    Ok(letters)
}

/// Where a text is found.
struct Origin {
    name: String,
    /// The number of its first line.
    line: usize,
    /// Mails that it is in.
    depth: usize,
}

fn open_at(bytes: &[u8], origin: &Origin, letters: &mut Vec<Letter>) -> Result<()> {
    // Blank lines in front are passed over, as by git am.
    let (mut text, mut line) = (bytes, origin.line);
    while let Some(end) = memchr::memchr(b'\n', text).filter(|&end| text[..end].trim_ascii().is_empty()) {
        (text, line) = (&text[end + 1..], line + 1);
    }
    let inside = Origin { name: origin.name.clone(), line, depth: origin.depth };
    if is_postmark(first_line(text)) {
        for entry in entries(text, line) {
            mbox_entry(&entry, &inside, letters)?;
            if letters.len() > MAILS_MAX {
                return Err(Failure::rejected(format!("{}: more than {MAILS_MAX} mails", origin.name)));
            }
        }
        return Ok(());
    }
    match Shape::of(text) {
        Shape::Diff => {
            letters.push(bare(MailKind::PlainDiff, Text::new(&origin.name, origin.line, bytes.to_vec())))
        }
        Shape::Mail => mail(text, &inside, |encoding| MailKind::Mail { encoding }, letters)?,
        Shape::Page => letters.push(page(text, &inside)),
    }
    Ok(())
}

fn first_line(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(b'\n', text).unwrap_or(text.len())]
}

impl Letter {
    /// Takes carriage returns off when the diff's own header lines have them: no file content ever puts them there.
    fn strip_crlf(&mut self) {
        for text in &mut self.texts {
            let Some(first) = diff::first_diff(text) else { continue };
            if text.line(first).is_some_and(|line| line.ends_with(b"\r")) {
                self.crlf = true;
                *text = Text::new(text.name(), text.start().number, without_cr(text.bytes()).into_owned());
            }
        }
    }

    /// The first lines of a mail's text may name another author and subject than its headers do (git-am(1)).
    fn take_inner_headers(&mut self) {
        if matches!(self.kind, MailKind::PlainDiff | MailKind::WebPage) {
            return;
        }
        let text = &self.texts[0];
        let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
        for line in text.all().lines().skip_while(|line| line.text.trim_ascii().is_empty()).take(64) {
            let folded =
                matches!(line.text.first(), Some(b' ' | b'\t')) && !line.text.trim_ascii().is_empty();
            match (header_name(line.text), fields.last_mut()) {
                (_, Some((_, value))) if folded => {
                    value.push(b' ');
                    value.extend_from_slice(line.text.trim_ascii());
                }
                (Some(name), _) if matches!(name.as_str(), "from" | "subject" | "date") => {
                    let value = line.text[name.len() + 1..].trim_ascii().to_vec();
                    fields.push((name, value));
                }
                _ => break,
            }
        }
        for (name, value) in fields {
            let value = mime::decoded(&value);
            match name.as_str() {
                // Words of the text that begin so are no author.
                "from" if value.contains('@') => self.author = Some(value),
                "subject" => self.subject = Some(value),
                "date" => self.date = Some(value),
                _ => {}
            }
        }
    }
}

enum Shape {
    Diff,
    Mail,
    Page,
}

impl Shape {
    /// A mail has nothing but headers up to its first blank line (git's builtin/am.c, is_mail()). A pasted page begins
    /// with a known one and has no blank line, or the archive's own links in them.
    fn of(bytes: &[u8]) -> Self {
        let known = header_name(first_line(bytes)).map(|name| is_mail_header(&name));
        let Some(known) = known else { return Shape::Diff };
        let mut decorated = false;
        for line in bytes.split(|&byte| byte == b'\n') {
            let is_header = header_name(line).is_some() || line.starts_with(b" ") || line.starts_with(b"\t");
            if is_header && !line.trim_ascii().is_empty() {
                decorated |= line.trim_ascii_end().ends_with(b"(raw)");
                continue;
            }
            let blank = line.trim_ascii().is_empty();
            return match (known, decorated, blank) {
                (_, false, true) => Shape::Mail,
                (true, ..) => Shape::Page,
                (false, ..) => Shape::Diff,
            };
        }
        if known { Shape::Mail } else { Shape::Diff }
    }
}

fn is_mail_header(name: &str) -> bool {
    const KNOWN: [&str; 19] = [
        "from",
        "to",
        "cc",
        "subject",
        "date",
        "message-id",
        "return-path",
        "received",
        "delivered-to",
        "in-reply-to",
        "references",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
        "dkim-signature",
        "authentication-results",
        "sender",
        "reply-to",
        "archived-at",
    ];
    KNOWN.contains(&name) || name.starts_with("x-") || name.starts_with("list-") || name.starts_with("arc-")
}

/// Whether a line begins a mail of an mbox: `From `, and a time and a year at its end (git's builtin/mailsplit.c,
/// is_from_line()). What people write begins so too.
fn is_postmark(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    if !line.starts_with(b"From ") || line.len() < 20 || line.len() > 1000 {
        return false;
    }
    let Some(colon) = memchr::memrchr(b':', line) else { return false };
    let is_digit = |at: Option<usize>| at.and_then(|at| line.get(at)).is_some_and(u8::is_ascii_digit);
    let back = |by: usize| colon.checked_sub(by);
    let digits = [back(4), back(2), back(1), Some(colon + 1), Some(colon + 2)];
    let year = String::from_utf8_lossy(line.get(colon + 3..).unwrap_or_default()).trim().to_owned();
    // A zone may stand before or behind the year.
    let year = year.split(' ').filter_map(|word| word.parse::<u32>().ok()).max();
    digits.into_iter().all(is_digit) && year.is_some_and(|year| year > 90)
}

/// One message of an mbox: its `From ` line, the rest, and the number of the line the rest starts on.
struct MboxEntry<'a> {
    postmark: &'a [u8],
    text: &'a [u8],
    first_line: usize,
}

/// Splits an mbox.
fn entries(bytes: &[u8], first_line: usize) -> Vec<MboxEntry<'_>> {
    let mut starts = Vec::new();
    let (mut at, mut number) = (0, first_line);
    while at < bytes.len() {
        let len = memchr::memchr(b'\n', &bytes[at..]).unwrap_or(bytes.len() - at - 1) + 1;
        if is_postmark(&bytes[at..at + len]) {
            starts.push((at, at + len, number));
        }
        (at, number) = (at + len, number + 1);
    }
    let ends = starts.iter().skip(1).map(|(at, ..)| *at).chain([bytes.len()]);
    let entry = |(&(at, below, number), end): (&(usize, usize, usize), usize)| MboxEntry {
        postmark: &bytes[at..below],
        text: &bytes[below..end],
        first_line: number + 1,
    };
    starts.iter().zip(ends).map(entry).collect()
}

fn mbox_entry(entry: &MboxEntry<'_>, origin: &Origin, letters: &mut Vec<Letter>) -> Result<()> {
    // git writes this constant date into every file it formats.
    let from_git = entry.postmark.trim_ascii_end().ends_with(b"Mon Sep 17 00:00:00 2001");
    let text = without_quoted_from(entry.text);
    let inside = Origin { name: origin.name.clone(), line: entry.first_line, depth: origin.depth };
    let kind = |encoding| if from_git { MailKind::FormatPatch } else { MailKind::MboxEntry { encoding } };
    mail(&text, &inside, kind, letters)
}

/// Takes one `>` off each line that an mbox quotes because it begins with `From `.
fn without_quoted_from(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memmem::find(text, b">From ").is_none() {
        return Cow::Borrowed(text);
    }
    let lines = text.split_inclusive(|&byte| byte == b'\n');
    let unquoted = lines.map(|line| {
        let quotes = line.iter().take_while(|&&byte| byte == b'>').count();
        let quoted = quotes > 0 && line[quotes..].starts_with(b"From ");
        &line[usize::from(quoted)..]
    });
    Cow::Owned(unquoted.collect::<Vec<_>>().concat())
}

fn bare(kind: MailKind, text: Text) -> Letter {
    Letter {
        kind,
        author: None,
        date: None,
        subject: None,
        message_id: None,
        envelope: Envelope::default(),
        texts: vec![text],
        notes: Vec::new(),
        crlf: false,
    }
}

fn mail(
    text: &[u8],
    origin: &Origin,
    kind: impl Fn(String) -> MailKind,
    letters: &mut Vec<Letter>,
) -> Result<()> {
    let unreadable = |why: String| {
        Failure::rejected(format!("{}:{}: this mail cannot be read", origin.name, origin.line)).because(why)
    };
    // A whole mail with CRLF is a mail as it travels, not damage; `git am` takes them off as well.
    let wire = first_line(text).ends_with(b"\r");
    let text = if wire { without_cr(text) } else { Cow::Borrowed(text) };
    let message = mime::message(&text).map_err(unreadable)?;
    let leaves = mime::leaves(&message).map_err(unreadable)?;
    let total = leaves.len();
    let (mut texts, mut inner, mut notes) = (Vec::<Text>::new(), Vec::new(), Vec::new());
    let mut encoding = None;
    for (index, leaf) in leaves.into_iter().enumerate() {
        let name = match (total, leaf.line) {
            (_, Some(_)) => origin.name.clone(),
            (1, None) => format!("{} (decoded body)", origin.name),
            (_, None) => format!("{} (part {} of {total}, decoded)", origin.name, index + 1),
        };
        check_packed(&leaf, index, origin)?;
        let place =
            Origin { name, line: leaf.line.map_or(1, |line| origin.line + line), depth: origin.depth + 1 };
        let is_first = index == 0;
        if (!is_first || total == 1 && leaf.mime_type == "message/rfc822")
            && is_mail_within(&leaf, origin.depth)
        {
            open_at(&leaf.bytes, &place, &mut inner)?;
            continue;
        }
        let part = Text::new(&place.name, place.line, leaf.bytes);
        match diff::first_diff(&part) {
            Some(first) if repeats(&part, first, &mut texts, &mut notes, index) => continue,
            Some(_) => _ = encoding.get_or_insert(leaf.encoding),
            None if is_first => {}
            None => {
                let end = TextPlace { at: part.bytes().len(), number: 0 };
                if let Some(place) = diff::stray_hunk(&part, end) {
                    return Err(Failure::rejected(format!(
                        "{}:{}: a hunk that belongs to no file",
                        part.name(),
                        place.number
                    ))
                    .because(format!(
                        "part {} of {total} of this mail holds a hunk, and no diff that it is of",
                        index + 1
                    )));
                }
                continue;
            }
        }
        texts.push(part);
    }
    if texts.is_empty() {
        letters.append(&mut inner);
        return Ok(());
    }
    let own_diff = texts.iter().any(|text| diff::first_diff(text).is_some());
    let encoding = encoding.unwrap_or_else(|| "7bit".to_owned());
    let letter = Letter { texts, notes, ..with_headers(kind(encoding), &message.headers) };
    // What is attached as mails has its own authors and subjects.
    if own_diff || inner.is_empty() {
        letters.push(letter);
    }
    letters.append(&mut inner);
    Ok(())
}

fn with_headers(kind: MailKind, headers: &Headers) -> Letter {
    Letter {
        kind,
        author: headers.value("from"),
        date: headers.value("date"),
        subject: headers.value("subject"),
        message_id: headers.value("message-id"),
        envelope: Envelope::of(headers),
        texts: Vec::new(),
        notes: Vec::new(),
        crlf: false,
    }
}

fn check_packed(leaf: &Leaf, index: usize, origin: &Origin) -> Result<()> {
    let packed = [(&b"\x1f\x8b"[..], "gzip"), (b"PK\x03\x04", "zip"), (b"\xfd7zXZ", "xz"), (b"BZh", "bzip2")];
    let Some((_, what)) = packed.iter().find(|(magic, _)| leaf.bytes.starts_with(magic)) else {
        return Ok(());
    };
    let name = leaf.file_name.as_deref().unwrap_or("without a name");
    Err(Failure::rejected(format!(
        "{}:{}: part {} ({name}) is packed with {what}",
        origin.name,
        origin.line,
        index + 1
    ))
    .next("save it, unpack it, and give what is in it"))
}

/// Whether a part is a mail, or a mailbox, as git format-patch writes it, with a patch in it.
fn is_mail_within(leaf: &Leaf, depth: usize) -> bool {
    let line = first_line(&leaf.bytes);
    let named = header_name(line).is_some_and(|name| is_mail_header(&name));
    let is_mail = is_postmark(line) || named && matches!(Shape::of(&leaf.bytes), Shape::Mail);
    depth < DEPTH_MAX && is_mail
}

/// Whether a part of a mail holds the same diff as one before it, or one before it quotes from this one: that one is then
/// taken out.
fn repeats(part: &Text, first: TextPlace, texts: &mut [Text], notes: &mut Vec<String>, index: usize) -> bool {
    let Ok(own) = diff::files(part, first) else { return false };
    for other in texts.iter_mut() {
        let Some(Ok(before)) = diff::first_diff(other).map(|first| diff::files(other, first)) else {
            continue;
        };
        if is_within(&own.files, &before.files) {
            notes.push(format!("part {} of the mail repeats what stands above it", index + 1));
            return true;
        }
        if is_within(&before.files, &own.files) {
            notes.push(format!(
                "part {} of the mail holds the patch that the text above it quotes from",
                index + 1
            ));
            let message = diff::first_diff(other).map_or(0, |first| first.at);
            *other = Text::new(other.name(), other.start().number, other.bytes()[..message].to_vec());
        }
    }
    false
}

/// Whether every hunk of `some` is in `all`.
fn is_within(some: &[diff::FileDiff], all: &[diff::FileDiff]) -> bool {
    // A quotation is short; two long patches are not compared hunk by hunk.
    if some.len() > 1000 || all.len() > 1000 {
        return false;
    }
    let same = |a: &diff::Hunk, b: &diff::Hunk| {
        (a.old_start, a.new_start) == (b.old_start, b.new_start) && a.body.bytes() == b.body.bytes()
    };
    some.iter().all(|file| {
        let twin = all.iter().find(|other| other.path == file.path && other.change == file.change);
        twin.is_some_and(|twin| {
            file.hunks.len() <= 1000
                && (!file.hunks.is_empty() || twin.hunks.is_empty())
                && file.hunks.iter().all(|hunk| twin.hunks.iter().take(1000).any(|other| same(hunk, other)))
        })
    })
}

fn without_cr(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memmem::find(text, b"\r\n").is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\r', rest) {
        out.extend_from_slice(&rest[..at]);
        if rest.get(at + 1) != Some(&b'\n') {
            out.push(b'\r');
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// A pasted page: headers as far as they go, then message and diff.
fn page(bytes: &[u8], origin: &Origin) -> Letter {
    let mut fields: Vec<(String, String)> = Vec::new();
    let whole = Text::new(&origin.name, origin.line, bytes.to_vec());
    let mut at = whole.start();
    while let Some(line) = whole.line(at).filter(|line| line.len() < PAGE_LINE_MAX) {
        let text = String::from_utf8_lossy(line);
        let continued = fields.last().is_some_and(|(_, value)| value.ends_with(','));
        match header_name(line) {
            // A second `From:` already belongs to the message.
            Some(name) if is_mail_header(&name) && !fields.iter().any(|(seen, _)| *seen == name) => {
                let value = text.split_once(':').map_or("", |(_, value)| value);
                fields.push((name, undecorated(value)));
            }
            _ => match fields.last_mut() {
                Some((_, value))
                    if (continued || text.starts_with([' ', '\t'])) && value.len() < PAGE_LINE_MAX =>
                {
                    *value += &format!(" {}", text.trim())
                }
                _ => break,
            },
        }
        at = whole.below(at);
    }
    let mut field = |wanted: &str| {
        let at = fields.iter().position(|(name, _)| name == wanted)?;
        Some(fields.swap_remove(at).1)
    };
    let (author, date, subject, message_id) =
        (field("from"), field("date"), field("subject"), field("message-id"));
    let envelope = Envelope {
        reply_to: author.clone(),
        to: field("to"),
        cc: field("cc"),
        in_reply_to: field("in-reply-to"),
        references: field("references"),
    };
    let body = Text::new(&origin.name, at.number, bytes.get(at.at..).unwrap_or_default().to_vec());
    Letter { author, date, subject, message_id, envelope, ..bare(MailKind::WebPage, body) }
}

/// A line of a page that is longer is no header.
const PAGE_LINE_MAX: usize = 16 << 10;

/// A header's value without the links that the archive's page puts after it.
fn undecorated(value: &str) -> String {
    let mut value = value.trim();
    for link in ["[thread overview]", "(raw)", "[flat|nested]"] {
        value = value.trim_end_matches(link).trim_end();
    }
    value.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new \u{e9}=\n";

    fn only(bytes: &[u8]) -> Letter {
        let mut letters = open(bytes, "p").unwrap();
        assert_eq!(letters.len(), 1);
        letters.remove(0)
    }

    fn text(letter: &Letter) -> String {
        letter.texts.iter().map(|text| String::from_utf8_lossy(text.bytes()).into_owned()).collect()
    }

    #[test]
    fn a_plain_diff_keeps_its_line_numbers() {
        let letter = only(DIFF.as_bytes());
        assert_eq!((letter.kind.clone(), letter.texts[0].start().number), (MailKind::PlainDiff, 1));
        assert_eq!(text(&letter), DIFF);
    }

    #[test]
    fn format_patch_output_is_known_by_its_constant_date() {
        let postmark = "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\n";
        let mail = format!("{postmark}From: A <a@b>\nSubject: [PATCH] long\n subject\n\nwhy\n---\n{DIFF}");
        let letter = only(mail.as_bytes());
        assert_eq!(letter.kind, MailKind::FormatPatch);
        assert_eq!(letter.subject.as_deref(), Some("[PATCH] long subject"));
        let body = letter.texts[0].all();
        let first = body.lines().next().unwrap();
        assert_eq!((first.number, first.text), (6, &b"why"[..]));
    }

    #[test]
    fn quoted_printable_is_decoded() {
        let body = DIFF.replace('=', "=3D").replace('\u{e9}', "=C3=A9=\n");
        let mail = format!(
            "From: a@b\nSubject: =?utf-8?q?caf=C3=A9?=\nContent-Transfer-Encoding: quoted-printable\n\n{body}"
        );
        let letter = only(mail.as_bytes());
        assert_eq!(letter.kind, MailKind::Mail { encoding: "quoted-printable".into() });
        assert_eq!(letter.subject.as_deref(), Some("caf\u{e9}"));
        assert_eq!(letter.texts[0].name(), "p (decoded body)");
        assert_eq!((text(&letter), letter.crlf), (DIFF.into(), false));
    }

    #[test]
    fn base64_is_decoded_also_in_one_part_of_several() {
        let encoded = "LS0tIGEveAorKysgYi94CkBAIC0xICsxIEBACi1vbGQKK25ldyDDqT0K";
        let head = "From: a@b\nSubject: s\n";
        let coding = "Content-Transfer-Encoding: base64";
        let letter = only(format!("{head}{coding}\n\n{encoded}\n").as_bytes());
        assert_eq!(text(&letter), DIFF);
        let multi = format!(
            "{head}Content-Type: multipart/mixed; boundary=\"zz\"\n\n--zz\nContent-Type: text/plain\n\nhello\n\
             --zz\nContent-Type: text/x-patch\n{coding}\n\n{encoded}\n--zz--\n"
        );
        let letter = only(multi.as_bytes());
        assert_eq!(
            (letter.kind.clone(), text(&letter)),
            (MailKind::Mail { encoding: "base64".into() }, format!("hello\n{DIFF}"))
        );
    }

    #[test]
    fn an_mbox_is_split_and_unquoted() {
        let mbox = "From a@b Tue Feb 24 11:07:00 2026\nSubject: one\n\n>From here on\nFrom now on\n\n\
                    From a@b Tue Feb 24 11:08:00 2026\nSubject: two\n\nbody\n";
        let letters = open(mbox.as_bytes(), "p").unwrap();
        assert_eq!(letters.len(), 2);
        assert_eq!(text(&letters[0]), "From here on\nFrom now on\n\n");
        assert_eq!((letters[1].subject.as_deref(), letters[1].texts[0].start().number), (Some("two"), 10));
    }

    #[test]
    fn a_pasted_page_loses_its_links_and_keeps_the_second_from_line() {
        let pasted = "From: A <a@b>\nTo: c@d,\ne@f\nSubject: s\nDate: today [thread overview]\n\
                      Message-ID: <1@b> (raw)\nFrom: A <a@b>\nWhy.\n";
        let letter = only(pasted.as_bytes());
        assert_eq!(letter.kind, MailKind::WebPage);
        assert_eq!(letter.date.as_deref(), Some("today"));
        assert_eq!(letter.message_id.as_deref(), Some("<1@b>"));
        assert_eq!(text(&letter), "From: A <a@b>\nWhy.\n");
    }

    #[test]
    fn carriage_returns_of_a_whole_mail_are_its_transport_and_of_a_diff_alone_are_damage() {
        let mail = format!("From: a@b\nSubject: s\n\n{DIFF}").replace('\n', "\r\n");
        let letter = only(mail.as_bytes());
        assert_eq!((text(&letter), letter.crlf), (DIFF.into(), false));
        let letter = only(DIFF.replace('\n', "\r\n").as_bytes());
        assert_eq!((text(&letter), letter.crlf), (DIFF.into(), true));
    }
}
