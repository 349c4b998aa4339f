//! A mail's headers and parts (RFC 5322, RFC 2045 to 2047), as git mailinfo takes them. Everything has a limit, and every
//! step is about as long as what it reads. Pure.

use mailparse::ParsedContentType;

use super::text::Text;

/// The value of a header that is read may be so long. A subject or an address that is longer is none, and what parses
/// them may take a step for each pair of its words.
const VALUE_BYTES_MAX: usize = 4096;
/// A patch in a mail in a mail in a mail is the deepest that was ever seen.
const DEPTH_MAX: usize = 8;
/// Headers of which nothing but a reply depends may be so long; a longer one counts as not there.
const KEPT_BYTES_MAX: usize = 64 << 10;
const PARTS_MAX: usize = 256;

/// The headers that are of use, by their lower-case names.
#[derive(Debug, Default)]
pub struct Headers {
    values: Vec<(String, Vec<u8>)>,
}

/// What a mail or a part of it says about itself, and what follows.
#[derive(Debug)]
pub struct MimeMessage<'a> {
    pub headers: Headers,
    pub body: &'a [u8],
    /// The line that `body` starts on, from 0.
    pub body_line: usize,
}

/// A part that holds no other parts, decoded.
#[derive(Debug)]
pub struct Leaf {
    pub mime_type: String,
    /// The name of the file that it is to be saved as.
    pub file_name: Option<String>,
    pub encoding: String,
    pub bytes: Vec<u8>,
    /// The line in the mail that it starts on, from 0, where it is there as it stands.
    pub line: Option<usize>,
}

/// Headers that are read; of each the first one.
const WANTED: [&str; 7] = [
    "from",
    "subject",
    "date",
    "message-id",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
];

/// Headers that a reply needs.
const KEPT: [&str; 5] = ["reply-to", "to", "cc", "in-reply-to", "references"];

/// The lower-case name of a header line.
pub fn header_name(line: &[u8]) -> Option<String> {
    // No header has a longer name.
    let colon = line.iter().take(80).position(|&byte| byte == b':')?;
    let name = &line[..colon];
    let plain = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    plain.then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
}

/// Reads the headers that `text` starts with, up to its first blank line.
///
/// # Errors
/// Why they cannot be read.
pub fn message(text: &[u8]) -> Result<MimeMessage<'_>, String> {
    let mut headers = Headers::default();
    let (mut at, mut line_number) = (0, 0);
    // Whether the header that a folded line goes on with is one that is read.
    let mut folds = false;
    while at < text.len() {
        let len = memchr::memchr(b'\n', &text[at..]).unwrap_or(text.len() - at - 1) + 1;
        let line = text[at..at + len].trim_ascii_end();
        (at, line_number) = (at + len, line_number + 1);
        if line.is_empty() {
            break;
        }
        if matches!(line[0], b' ' | b'\t') {
            if let Some((name, value)) = headers.values.last_mut().filter(|_| folds) {
                value.extend_from_slice(b"\n ");
                value.extend_from_slice(line.trim_ascii());
                check_len(name, value)?;
            }
            continue;
        }
        let name =
            header_name(line).filter(|name| WANTED.contains(&name.as_str()) || KEPT.contains(&name.as_str()));
        folds = name.as_ref().is_some_and(|name| headers.raw(name).is_none());
        if let Some(name) = name.filter(|_| folds) {
            let value = line[name.len() + 1..].trim_ascii().to_vec();
            check_len(&name, &value)?;
            headers.values.push((name, value));
        }
    }
    Ok(MimeMessage { headers, body: &text[at..], body_line: line_number })
}

fn check_len(name: &str, value: &[u8]) -> Result<(), String> {
    match value.len() > VALUE_BYTES_MAX && WANTED.contains(&name) {
        true => Err(format!("its `{name}` is longer than {VALUE_BYTES_MAX} bytes")),
        false => Ok(()),
    }
}

impl Headers {
    fn raw(&self, name: &str) -> Option<&[u8]> {
        self.values.iter().find(|(own, _)| own == name).map(|(_, value)| &value[..])
    }

    /// The value of a header on one line, its encoded words decoded.
    pub fn value(&self, name: &str) -> Option<String> {
        self.raw(name).map(decoded)
    }

    /// The value of a header on one line, with its encoded words as they are.
    pub fn as_sent(&self, name: &str) -> Option<String> {
        let value = self.raw(name).filter(|value| value.len() <= KEPT_BYTES_MAX)?;
        Some(String::from_utf8_lossy(value).split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn content_type(&self) -> ParsedContentType {
        mailparse::parse_content_type(&self.value("content-type").unwrap_or_default())
    }

    fn encoding(&self) -> String {
        let value = self.value("content-transfer-encoding").unwrap_or_else(|| "7bit".into());
        value.to_ascii_lowercase()
    }

    fn file_name(&self) -> Option<String> {
        let disposition = self.value("content-disposition").unwrap_or_default();
        let named = mailparse::parse_content_disposition(&disposition).params.remove("filename");
        named.or_else(|| self.content_type().params.remove("name"))
    }
}

/// The value of a header on one line, its encoded words decoded; of one that is too long only the beginning.
pub fn decoded(value: &[u8]) -> String {
    let line = [b"X: ", &value[..value.len().min(VALUE_BYTES_MAX)], b"\n"].concat();
    let value =
        mailparse::parse_header(&line).map_or_else(|_| String::new(), |(header, _)| header.get_value());
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The leaves of a mail in their order, each decoded. Of alternatives of the same text the plain one is taken.
///
/// # Errors
/// Why they cannot be read.
pub fn leaves(mail: &MimeMessage<'_>) -> Result<Vec<Leaf>, String> {
    let mut leaves = Vec::new();
    collect(mail, mail.body_line, 0, &mut leaves)?;
    Ok(leaves)
}

fn collect(part: &MimeMessage<'_>, line: usize, depth: usize, leaves: &mut Vec<Leaf>) -> Result<(), String> {
    let content = part.headers.content_type();
    let boundary = content.params.get("boundary").filter(|_| content.mimetype.starts_with("multipart/"));
    let Some(boundary) = boundary else {
        leaves.push(leaf(part, line, &content)?);
        return match leaves.len() > PARTS_MAX {
            true => Err(format!("it has more than {PARTS_MAX} parts")),
            false => Ok(()),
        };
    };
    if depth == DEPTH_MAX {
        return Err(format!("its parts are nested deeper than {DEPTH_MAX} levels"));
    }
    let mut inner = Vec::new();
    for (part, first_line) in split(part.body, boundary)? {
        let below = message(part)?;
        collect(&below, line + first_line + below.body_line, depth + 1, &mut inner)?;
        if leaves.len() + inner.len() > PARTS_MAX {
            return Err(format!("it has more than {PARTS_MAX} parts"));
        }
    }
    let is_plain = |leaf: &Leaf| leaf.mime_type == "text/plain";
    if content.mimetype == "multipart/alternative" && inner.iter().any(is_plain) {
        inner.retain(is_plain);
    }
    leaves.append(&mut inner);
    Ok(())
}

/// The parts between the lines of a boundary, each with the line that it starts on, from 0.
fn split<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<(&'a [u8], usize)>, String> {
    let (opens, closes) = (format!("--{boundary}"), format!("--{boundary}--"));
    let mut parts = Vec::new();
    // Where the part that is open starts, and its line.
    let mut open: Option<(usize, usize)> = None;
    let (mut at, mut line_number, mut outside) = (0, 0, 0);
    while at < body.len() {
        let len = memchr::memchr(b'\n', &body[at..]).unwrap_or(body.len() - at - 1) + 1;
        let line = &body[at..at + len];
        let mark = line.starts_with(b"--").then(|| line.trim_ascii_end());
        let is_open = mark == Some(opens.as_bytes());
        let is_close = mark == Some(closes.as_bytes());
        if is_open || is_close {
            match open {
                // The line end before a boundary belongs to the boundary, and the one of a patch's last line as well.
                Some((start, first_line)) => parts.push((&body[start..at], first_line)),
                None => check_outside(&body[outside..at])?,
            }
            open = is_open.then_some((at + len, line_number + 1));
            outside = at + len;
        }
        (at, line_number) = (at + len, line_number + 1);
        if parts.len() > PARTS_MAX {
            return Err(format!("it has more than {PARTS_MAX} parts"));
        }
    }
    match open {
        Some((start, first_line)) => parts.push((&body[start..], first_line)),
        None => check_outside(&body[outside..])?,
    }
    Ok(parts)
}

/// What stands before the first and behind the last part is for people without a mail program, and no part.
fn check_outside(text: &[u8]) -> Result<(), String> {
    let text = Text::new("", 1, text.to_vec());
    match super::diff::first_diff(&text) {
        Some(_) => Err("a diff stands outside of all its parts".to_owned()),
        None => Ok(()),
    }
}

fn leaf(part: &MimeMessage<'_>, line: usize, content: &ParsedContentType) -> Result<Leaf, String> {
    let encoding = part.headers.encoding();
    let param = |name: &str| content.params.get(name).map(|value| value.to_ascii_lowercase());
    let mut bytes = match encoding.as_str() {
        "base64" => base64(part.body)?,
        "quoted-printable" => quoted_printable(part.body),
        "x-uuencode" | "uuencode" | "x-uue" => {
            return Err(format!("its encoding {encoding} is not supported"));
        }
        _ => part.body.to_vec(),
    };
    let mut as_it_stands = !matches!(encoding.as_str(), "base64" | "quoted-printable");
    if param("format").as_deref() == Some("flowed") && content.mimetype.starts_with("text/") {
        bytes = unflowed(&bytes, param("delsp").as_deref() == Some("yes"));
        as_it_stands = false;
    }
    Ok(Leaf {
        mime_type: content.mimetype.clone(),
        file_name: part.headers.file_name(),
        encoding,
        bytes,
        line: as_it_stands.then_some(line),
    })
}

/// Decodes base64 up to its padding or its first line that is none; what a mailing list writes below stays as it is.
fn base64(body: &[u8]) -> Result<Vec<u8>, String> {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let mut digits = Vec::with_capacity(body.len());
    let (mut rest, mut number) = (body, 0);
    while !rest.is_empty() {
        let len = memchr::memchr(b'\n', rest).unwrap_or(rest.len() - 1) + 1;
        let line = rest[..len].trim_ascii();
        number += 1;
        if !line.iter().all(is_base64) {
            break;
        }
        digits.extend_from_slice(line);
        rest = &rest[len..];
        if line.ends_with(b"=") {
            break;
        }
    }
    let cut = || format!("its base64 is damaged or cut off near line {number} of the part");
    while digits.len() % 4 != 0 {
        // Some programs leave the padding away.
        if digits.len() % 4 == 1 {
            return Err(cut());
        }
        digits.push(b'=');
    }
    let mut bytes = data_encoding::BASE64.decode(&digits).map_err(|_| cut())?;
    let footer = rest.trim_ascii();
    if !footer.is_empty() {
        if !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        bytes.push(b'\n');
        bytes.extend_from_slice(footer);
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// As git's mailinfo.c, decode_q_segment(): what is no escape stays as it is.
fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    let hex = |digit: u8| char::from(digit).to_digit(16);
    while let Some(at) = memchr::memchr(b'=', rest) {
        out.extend_from_slice(&rest[..at]);
        let after = &rest[at + 1..];
        let blanks = after.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).take(80).count();
        match after {
            _ if after.len() == blanks => rest = &[],
            // A soft line break, maybe with the blanks that a relay put behind it.
            _ if after.get(blanks) == Some(&b'\n') => rest = &after[blanks + 1..],
            [high, low, ..] if hex(*high).is_some() && hex(*low).is_some() => {
                out.push((hex(*high).unwrap_or(0) * 16 + hex(*low).unwrap_or(0)) as u8);
                rest = &after[2..];
            }
            _ => {
                out.push(b'=');
                rest = after;
            }
        }
    }
    out.extend_from_slice(rest);
    out
}

/// Takes off what format=flowed put in (RFC 3676; git's mailinfo.c, handle_filter_flowed()).
fn unflowed(body: &[u8], delete_space: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line == b"-- " {
            out.extend_from_slice(b"-- \n");
            continue;
        }
        let line = line.strip_prefix(b" ").unwrap_or(line);
        match line.strip_suffix(b" ") {
            Some(cut) => out.extend_from_slice(if delete_space { cut } else { line }),
            None => {
                out.extend_from_slice(line);
                out.push(b'\n');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_printable_is_decoded_as_git_does() {
        assert_eq!(quoted_printable(b"x =3D 1;=\n 2=20\n=zz =\xc3=C3=A9="), b"x = 1; 2 \n=zz =\xc3\xc3\xa9");
        assert_eq!(quoted_printable(b"a=  \nb=\r\nc"), b"abc");
    }

    #[test]
    fn base64_ends_with_its_padding_and_a_footer_stays() {
        assert_eq!(base64(b"aGVs\nbG8K\n\n").unwrap(), b"hello\n");
        assert_eq!(base64(b"aGVsbG8=\n_____\na list\n").unwrap(), b"hello\n\n_____\na list\n");
        assert_eq!(base64(b"aGVsbG8K\n-- \na list\n").unwrap(), b"hello\n\n-- \na list\n");
        assert!(base64(b"aGVsb\n").is_err());
    }

    #[test]
    fn flowed_text_gets_its_lines_back() {
        assert_eq!(unflowed(b" a\n  b \nc\n-- \nx", false), b"a\n b c\n-- \nx\n");
        assert_eq!(unflowed(b"b \nc\n", true), b"bc\n");
    }
}
