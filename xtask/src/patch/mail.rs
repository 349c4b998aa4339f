//! The envelope of a patch: plain diff, `git format-patch` output, mail, mbox, or a mail's web page pasted as
//! text. Takes off transfer encodings and quoting, and changes nothing else. Pure.

use super::diff;
use crate::failure::{Failure, Result};
use mailparse::{MailHeaderMap, ParsedMail};
use std::fmt;

/// More MIME boundaries than any mail with a patch has; beyond it the parser's recursion is not trusted.
const MAX_MIME_PARTS: usize = 32;

/// What the input turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
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

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::PlainDiff => write!(f, "plain diff"),
            Kind::FormatPatch => write!(f, "git format-patch output"),
            Kind::Mail { encoding } => write!(f, "mail ({encoding})"),
            Kind::MboxEntry { encoding } => write!(f, "mail in an mbox ({encoding})"),
            Kind::WebPage => write!(f, "text pasted from a web page of a mail"),
        }
    }
}

/// One patch out of its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub kind: Kind,
    pub author: Option<String>,
    pub date: Option<String>,
    pub subject: Option<String>,
    pub message_id: Option<String>,
    /// What the line numbers in `body` count in: the source, or its decoded body.
    pub origin: String,
    pub body: Vec<diff::InputLine>,
    /// Every line of the diff ended in a carriage return, which was taken off.
    pub crlf: bool,
}

/// Opens whatever `bytes` is.
///
/// # Errors
/// Rejected when a mail cannot be parsed.
pub fn open(bytes: &[u8], source: &str) -> Result<Vec<Letter>> {
    let mut letters = Vec::new();
    if bytes.starts_with(b"From ") {
        for entry in entries(bytes) {
            letters.push(mbox_entry(&entry, source)?);
        }
    } else {
        letters.push(match Shape::of(bytes) {
            Shape::Diff => bare(Kind::PlainDiff, bytes, 1, source),
            Shape::Mail => mail(bytes, 1, source, |encoding| Kind::Mail { encoding })?,
            Shape::Page => page(bytes, source),
        });
    }
    for letter in &mut letters {
        letter.strip_crlf();
    }
    Ok(letters)
}

impl Letter {
    /// Takes carriage returns off when the diff's own header lines have them: no file content ever puts them there.
    fn strip_crlf(&mut self) {
        let Some(first) = diff::first_diff(&self.body) else { return };
        self.crlf = self.body[first].text.ends_with(b"\r");
        if self.crlf {
            for line in self.body.iter_mut().filter(|line| line.text.ends_with(b"\r")) {
                line.text.pop();
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
    /// A mail starts with a known header and has a blank line below its headers. A pasted page has the headers
    /// but no blank line, or the archive's own links in them.
    fn of(bytes: &[u8]) -> Self {
        let mut lines = bytes.split(|&byte| byte == b'\n');
        if !lines.next().and_then(header_name).is_some_and(|name| is_mail_header(&name)) {
            return Shape::Diff;
        }
        let in_header =
            |line: &&[u8]| header_name(line).is_some() || line.starts_with(b" ") || line.starts_with(b"\t");
        let mut head = lines.clone().take_while(in_header);
        let decorated = head.any(|line| line.trim_ascii_end().ends_with(b"(raw)"));
        match lines.find(|line| !in_header(line)) {
            Some(line) if !decorated && line.trim_ascii().is_empty() => Shape::Mail,
            None if !decorated => Shape::Mail,
            _ => Shape::Page,
        }
    }
}

/// The lower-case name of a header line.
fn header_name(line: &[u8]) -> Option<String> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let name = &line[..colon];
    let plain = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    plain.then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
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

/// One message of an mbox: its `From ` line, the rest, and the number of the line the rest starts on.
struct Entry<'a> {
    postmark: &'a [u8],
    text: Vec<u8>,
    first_line: usize,
}

/// Splits an mbox and takes off its `>From ` quoting, one `>` each.
fn entries(bytes: &[u8]) -> Vec<Entry<'_>> {
    let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    let starts_mail = |at: usize| {
        let after_blank = at == 0 || lines[at - 1].trim_ascii().is_empty();
        let header_next = lines.get(at + 1).is_some_and(|line| header_name(line).is_some());
        lines[at].starts_with(b"From ") && after_blank && (at == 0 || header_next)
    };
    let mut entries: Vec<Entry> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if starts_mail(at) {
            entries.push(Entry { postmark: line, text: Vec::new(), first_line: at + 2 });
        } else if let Some(entry) = entries.last_mut() {
            let quotes = line.iter().take_while(|&&byte| byte == b'>').count();
            let quoted = quotes > 0 && line[quotes..].starts_with(b"From ");
            entry.text.extend_from_slice(&line[usize::from(quoted)..]);
        }
    }
    entries
}

fn mbox_entry(entry: &Entry, source: &str) -> Result<Letter> {
    // git writes this constant date into every file it formats.
    let from_git = entry.postmark.trim_ascii_end().ends_with(b"Mon Sep 17 00:00:00 2001");
    mail(&entry.text, entry.first_line, source, |encoding| {
        if from_git { Kind::FormatPatch } else { Kind::MboxEntry { encoding } }
    })
}

fn bare(kind: Kind, text: &[u8], first_line: usize, origin: &str) -> Letter {
    Letter {
        kind,
        author: None,
        date: None,
        subject: None,
        message_id: None,
        origin: origin.to_owned(),
        body: diff::lines(text, first_line),
        crlf: false,
    }
}

fn mail(text: &[u8], first_line: usize, source: &str, kind: impl FnOnce(String) -> Kind) -> Result<Letter> {
    let unreadable = |why: String| {
        Failure::rejected(format!("{source}:{first_line}: this mail cannot be read")).because(why)
    };
    let boundaries =
        text.windows(9).filter(|window| window.eq_ignore_ascii_case(b"boundary=")).take(MAX_MIME_PARTS);
    if boundaries.count() == MAX_MIME_PARTS {
        return Err(unreadable(format!("it has {MAX_MIME_PARTS} or more nested MIME parts")));
    }
    // A whole mail with CRLF is a mail as it travels, not damage; `git am` takes them off as well.
    let wire = text.split(|&byte| byte == b'\n').next().is_some_and(|line| line.ends_with(b"\r"));
    let text = if wire { without_cr(text) } else { text.to_vec() };
    let parsed = mailparse::parse_mail(&text).map_err(|error| unreadable(error.to_string()))?;
    let part = patch_part(&parsed);
    let encoding = part.headers.get_first_value("Content-Transfer-Encoding").unwrap_or_else(|| "7bit".into());
    let encoding = encoding.trim().to_ascii_lowercase();
    let mut body = part.get_body_raw().map_err(|error| unreadable(error.to_string()))?;
    if encoding == "quoted-printable" {
        // The decoder writes every line end as CRLF, whatever the mail had.
        body = without_cr(&body);
    }
    let encoded = !parsed.subparts.is_empty() || matches!(encoding.as_str(), "base64" | "quoted-printable");
    let mut letter = if encoded {
        bare(kind(encoding), &body, 1, &format!("{source} (decoded body)"))
    } else {
        let head = &text[..text.len().saturating_sub(body.len())];
        let skipped = head.iter().filter(|&&byte| byte == b'\n').count();
        bare(kind(encoding), &body, first_line + skipped, source)
    };
    let value = |name| parsed.headers.get_first_value(name).map(|value| one_line(&value));
    letter.author = value("From");
    letter.date = value("Date");
    letter.subject = value("Subject");
    letter.message_id = value("Message-ID");
    Ok(letter)
}

fn without_cr(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|&byte| byte == b'\n');
    lines
        .flat_map(|line| match line.strip_suffix(b"\r\n") {
            Some(line) => [line, b"\n"].concat(),
            None => line.to_vec(),
        })
        .collect()
}

/// The first leaf part that holds a diff, else the whole mail.
fn patch_part<'a>(mail: &'a ParsedMail<'a>) -> &'a ParsedMail<'a> {
    let holds_diff = |part: &&ParsedMail| {
        let body = part.get_body_raw().unwrap_or_default();
        part.subparts.is_empty() && diff::first_diff(&diff::lines(&body, 1)).is_some()
    };
    if mail.subparts.is_empty() { mail } else { mail.parts().find(holds_diff).unwrap_or(mail) }
}

fn one_line(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A pasted page: headers as far as they go, then message and diff.
fn page(bytes: &[u8], source: &str) -> Letter {
    let lines = diff::lines(bytes, 1);
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut used = 0;
    for line in &lines {
        let text = String::from_utf8_lossy(&line.text);
        let continued = fields.last().is_some_and(|(_, value)| value.ends_with(','));
        match header_name(&line.text) {
            // A second `From:` already belongs to the message.
            Some(name) if is_mail_header(&name) && !fields.iter().any(|(seen, _)| *seen == name) => {
                let value = text.split_once(':').map_or("", |(_, value)| value);
                fields.push((name, undecorated(value)));
            }
            _ => match fields.last_mut() {
                Some((_, value)) if continued || text.starts_with([' ', '\t']) => {
                    *value += &format!(" {}", text.trim())
                }
                _ => break,
            },
        }
        used += 1;
    }
    let mut field = |wanted: &str| {
        let at = fields.iter().position(|(name, _)| name == wanted)?;
        Some(fields.swap_remove(at).1)
    };
    let (author, date, subject, message_id) =
        (field("from"), field("date"), field("subject"), field("message-id"));
    let body = lines[used..].to_vec();
    Letter { author, date, subject, message_id, body, ..bare(Kind::WebPage, b"", 1, source) }
}

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
        let lines = letter.body.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned() + "\n");
        lines.collect()
    }

    #[test]
    fn a_plain_diff_keeps_its_line_numbers() {
        let letter = only(DIFF.as_bytes());
        assert_eq!((letter.kind.clone(), letter.body[2].number), (Kind::PlainDiff, 3));
        assert_eq!(text(&letter), DIFF);
    }

    #[test]
    fn format_patch_output_is_known_by_its_constant_date() {
        let postmark = "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\n";
        let mail = format!("{postmark}From: A <a@b>\nSubject: [PATCH] long\n subject\n\nwhy\n---\n{DIFF}");
        let letter = only(mail.as_bytes());
        assert_eq!(letter.kind, Kind::FormatPatch);
        assert_eq!(letter.subject.as_deref(), Some("[PATCH] long subject"));
        assert_eq!((letter.body[0].number, letter.body[0].text.as_slice()), (6, &b"why"[..]));
    }

    #[test]
    fn quoted_printable_is_decoded() {
        let body = DIFF.replace('=', "=3D").replace('\u{e9}', "=C3=A9=\n");
        let mail = format!(
            "From: a@b\nSubject: =?utf-8?q?caf=C3=A9?=\nContent-Transfer-Encoding: quoted-printable\n\n{body}"
        );
        let letter = only(mail.as_bytes());
        assert_eq!(letter.kind, Kind::Mail { encoding: "quoted-printable".into() });
        assert_eq!(letter.subject.as_deref(), Some("caf\u{e9}"));
        assert_eq!(letter.origin, "p (decoded body)");
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
            (Kind::Mail { encoding: "base64".into() }, DIFF.into())
        );
    }

    #[test]
    fn an_mbox_is_split_and_unquoted() {
        let mbox = "From a@b Tue Feb 24 11:07:00 2026\nSubject: one\n\n>From here on\nFrom now on\n\n\
                    From a@b Tue Feb 24 11:08:00 2026\nSubject: two\n\nbody\n";
        let letters = open(mbox.as_bytes(), "p").unwrap();
        assert_eq!(letters.len(), 2);
        assert_eq!(text(&letters[0]), "From here on\nFrom now on\n\n");
        assert_eq!((letters[1].subject.as_deref(), letters[1].body[0].number), (Some("two"), 10));
    }

    #[test]
    fn a_pasted_page_loses_its_links_and_keeps_the_second_from_line() {
        let pasted = "From: A <a@b>\nTo: c@d,\ne@f\nSubject: s\nDate: today [thread overview]\n\
                      Message-ID: <1@b> (raw)\nFrom: A <a@b>\nWhy.\n";
        let letter = only(pasted.as_bytes());
        assert_eq!(letter.kind, Kind::WebPage);
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
