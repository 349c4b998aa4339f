//! A text that is kept once, and the parts of it that hunks are: a patch of 30 million lines takes no memory per line.
//! Pure.

use std::fmt;
use std::sync::Arc;

/// Lines of the input, or of a part of it that was decoded. Every line ends in `\n`.
#[derive(Clone)]
pub struct Text(Arc<Inner>);

struct Inner {
    name: String,
    first_line: usize,
    bytes: Vec<u8>,
    /// The last line had no line end.
    is_cut: bool,
}

impl Text {
    /// `name` and `first_line` are what people find the text by.
    pub fn new(name: &str, first_line: usize, mut bytes: Vec<u8>) -> Text {
        let is_cut = !bytes.is_empty() && !bytes.ends_with(b"\n");
        if is_cut {
            bytes.push(b'\n');
        }
        Text(Arc::new(Inner { name: name.to_owned(), first_line, bytes, is_cut }))
    }

    /// Whether `place` is the end of a text whose last line had no line end: there may have been more of it.
    pub fn is_cut_at(&self, place: TextPlace) -> bool {
        self.0.is_cut && place.at == self.0.bytes.len()
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    pub fn start(&self) -> TextPlace {
        TextPlace { at: 0, number: self.0.first_line }
    }

    /// The line at `place`, without its line end; `None` at the end of the text.
    pub fn line(&self, place: TextPlace) -> Option<&[u8]> {
        let rest = &self.0.bytes[place.at..];
        (!rest.is_empty()).then(|| &rest[..line_len(rest)])
    }

    /// The place of the line below `place`, or the end.
    pub fn below(&self, place: TextPlace) -> TextPlace {
        let rest = &self.0.bytes[place.at..];
        match rest.is_empty() {
            true => place,
            false => TextPlace { at: place.at + line_len(rest) + 1, number: place.number + 1 },
        }
    }

    pub fn span(&self, from: TextPlace, to: TextPlace) -> Span {
        Span { text: self.clone(), from, end: to.at }
    }

    pub fn all(&self) -> Span {
        Span { text: self.clone(), from: self.start(), end: self.0.bytes.len() }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.name() == other.name() && self.bytes() == other.bytes()
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name(), self.bytes().len())
    }
}

/// Length of the first line of `text`, without its line end.
fn line_len(text: &[u8]) -> usize {
    memchr::memchr(b'\n', text).unwrap_or(text.len())
}

/// Where a line starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextPlace {
    /// Bytes before it.
    pub at: usize,
    /// From 1.
    pub number: usize,
}

/// Some lines of a text.
#[derive(Clone)]
pub struct Span {
    text: Text,
    pub from: TextPlace,
    end: usize,
}

impl Span {
    pub fn bytes(&self) -> &[u8] {
        &self.text.bytes()[self.from.at..self.end]
    }

    pub fn lines(&self) -> Lines<'_> {
        Lines { rest: self.bytes(), number: self.from.number }
    }
}

impl PartialEq for Span {
    fn eq(&self, other: &Span) -> bool {
        self.from == other.from && self.bytes() == other.bytes()
    }
}

impl Eq for Span {}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.bytes()))
    }
}

/// A line of the input, without its line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// From 1.
    pub number: usize,
    pub text: &'a [u8],
}

/// The lines of a span.
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let len = line_len(self.rest);
        let line = Line { number: self.number, text: &self.rest[..len] };
        self.rest = self.rest.get(len + 1..).unwrap_or_default();
        self.number += 1;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_from_where_the_text_starts_and_the_last_one_has_an_end() {
        let text = Text::new("t", 7, b"a\n\nb".to_vec());
        let lines: Vec<_> = text.all().lines().map(|line| (line.number, line.text.to_vec())).collect();
        assert_eq!(lines, [(7, b"a".to_vec()), (8, b"".to_vec()), (9, b"b".to_vec())]);
        let second = text.below(text.start());
        assert_eq!((second, text.line(second)), (TextPlace { at: 2, number: 8 }, Some(&b""[..])));
        let end = text.below(text.below(second));
        assert_eq!((text.line(end), text.below(end)), (None, end));
        assert_eq!(text.bytes(), b"a\n\nb\n");
        assert_eq!(Text::new("t", 1, Vec::new()).all().lines().count(), 0);
    }
}
