//! Reads the result channel: hostile bytes in, one message or one reject per line out.
//!
//! The same bytes give the same results however they are cut into pieces, and memory stays bounded by one
//! line, whatever arrives.

use std::fmt;

use serde_json::Value;

use crate::Message;
use crate::frame::{LINE_LIMIT, MAGIC, Nonce};
use crate::number::{self, Impossible};

/// How many bytes of a rejected line are kept, before escaping.
const EXCERPT_BYTES: usize = 120;

/// Every value of the `kind` tag of [`Message`].
const KINDS: [&str; 8] = ["hello", "plan", "begin", "alive", "measured", "broken", "covered", "trailer"];

/// A line that is not a message of this boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    pub kind: RejectKind,
    /// Which line of the channel, counted from 1.
    pub line: u64,
    /// The beginning of the line with everything unprintable escaped.
    pub excerpt: String,
}

/// What is wrong with a rejected line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RejectKind {
    /// Not the shape `pp1 <nonce> <sequence> <crc32> <json>`.
    Garbage,
    /// Longer than [`LINE_LIMIT`].
    TooLong,
    /// Framed, but not by this boot.
    WrongNonce,
    /// The JSON is not what its checksum was made of.
    BadChecksum,
    /// Lines before this one are missing.
    SequenceGap { expected: u64, found: u64 },
    /// A line with this number has been here before.
    SequenceRepeat { expected: u64, found: u64 },
    /// A kind of message this version does not know.
    UnknownKind(String),
    /// Intact JSON that is not a message.
    BadMessage(String),
    /// A message with a number that no guest can have measured.
    Impossible(Impossible),
    /// The channel ended in the middle of a line.
    Unterminated,
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "result line {}: {}: \"{}\"", self.line, self.kind, self.excerpt)
    }
}

impl fmt::Display for RejectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RejectKind::Garbage => write!(f, "not a result line"),
            RejectKind::TooLong => write!(f, "longer than {LINE_LIMIT} bytes"),
            RejectKind::WrongNonce => write!(f, "the nonce of another boot"),
            RejectKind::BadChecksum => write!(f, "checksum does not match"),
            RejectKind::SequenceGap { expected, found } => {
                write!(f, "lines are missing: expected number {expected}, found {found}")
            }
            RejectKind::SequenceRepeat { expected, found } => {
                write!(f, "line sent twice: expected number {expected}, found {found}")
            }
            RejectKind::UnknownKind(kind) => write!(f, "unknown kind of message {kind:?}"),
            RejectKind::BadMessage(error) => write!(f, "not a message: {error}"),
            RejectKind::Impossible(number) => write!(f, "{number}"),
            RejectKind::Unterminated => write!(f, "the channel ended inside this line"),
        }
    }
}

/// A streaming parser for the lines of one boot.
#[derive(Debug)]
pub struct Parser {
    nonce: Nonce,
    expected: u64,
    lines: u64,
    /// The line being received, at most [`LINE_LIMIT`] bytes of it.
    line: Vec<u8>,
    /// The line being received has already outgrown [`LINE_LIMIT`].
    overflowed: bool,
}

impl Parser {
    pub fn new(nonce: Nonce) -> Self {
        Parser { nonce, expected: 0, lines: 0, line: Vec::new(), overflowed: false }
    }

    /// Takes the next bytes of the channel and hands every line they complete to `sink`.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Result<Message, Reject>)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match piece.split_last() {
                Some((b'\n', rest)) => {
                    self.append(rest);
                    sink(self.end_line(false));
                }
                _ => self.append(piece),
            }
        }
    }

    /// Says that the channel has ended: a line without its newline is never a message.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Result<Message, Reject>)) {
        if !self.line.is_empty() {
            sink(self.end_line(true));
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        let room = LINE_LIMIT.saturating_sub(self.line.len());
        self.overflowed |= bytes.len() > room;
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self, unterminated: bool) -> Result<Message, Reject> {
        self.lines = self.lines.saturating_add(1);
        let line = std::mem::take(&mut self.line);
        let overflowed = std::mem::take(&mut self.overflowed);
        let message = if overflowed {
            Err(RejectKind::TooLong)
        } else if unterminated {
            Err(RejectKind::Unterminated)
        } else {
            self.read_line(&line)
        };
        message.map_err(|kind| Reject { kind, line: self.lines, excerpt: excerpt(&line) })
    }

    fn read_line(&mut self, line: &[u8]) -> Result<Message, RejectKind> {
        let frame = Frame::split(line).ok_or(RejectKind::Garbage)?;
        if frame.nonce != self.nonce.to_string() {
            return Err(RejectKind::WrongNonce);
        }
        if frame.crc != crc32fast::hash(frame.json.as_bytes()) {
            return Err(RejectKind::BadChecksum);
        }
        self.check_sequence(frame.sequence)?;
        read_message(frame.json)
    }

    /// After a gap the parser goes on behind it, so that one lost line is one reject.
    fn check_sequence(&mut self, found: u64) -> Result<(), RejectKind> {
        let expected = self.expected;
        if found < expected {
            return Err(RejectKind::SequenceRepeat { expected, found });
        }
        self.expected = found.saturating_add(1);
        if found > expected {
            return Err(RejectKind::SequenceGap { expected, found });
        }
        Ok(())
    }
}

/// The words of a line, nothing checked but their form.
struct Frame<'a> {
    nonce: &'a str,
    sequence: u64,
    crc: u32,
    json: &'a str,
}

impl<'a> Frame<'a> {
    fn split(line: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let mut words = text.splitn(5, ' ');
        if words.next()? != MAGIC {
            return None;
        }
        let nonce = words.next()?;
        let sequence = words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()))?;
        let crc = words.next().filter(|word| word.len() == 8 && !word.starts_with('+'))?;
        Some(Frame {
            nonce,
            sequence: sequence.parse().ok()?,
            crc: u32::from_str_radix(crc, 16).ok()?,
            json: words.next()?,
        })
    }
}

fn read_message(json: &str) -> Result<Message, RejectKind> {
    let bad = |error: String| RejectKind::BadMessage(short(&error));
    let value: Value = serde_json::from_str(json).map_err(|error| bad(error.to_string()))?;
    let kind = value.get("kind").and_then(Value::as_str).ok_or_else(|| bad("it has no `kind`".to_owned()))?;
    if !KINDS.contains(&kind) {
        return Err(RejectKind::UnknownKind(short(kind)));
    }
    if let Some(impossible) = number::find(&value, &mut Vec::new()) {
        return Err(RejectKind::Impossible(impossible));
    }
    // From the text again: `value` has lost duplicate fields, which are an error.
    serde_json::from_str(json).map_err(|error| bad(error.to_string()))
}

/// Limits a text that may come from the guest.
fn short(text: &str) -> String {
    text.chars().take(EXCERPT_BYTES).collect()
}

fn excerpt(line: &[u8]) -> String {
    line[..line.len().min(EXCERPT_BYTES)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests;
