//! Escapes text from outside: guest messages, console lines, output of compiler and QEMU, subjects, paths. Control
//! characters, bidirectional and invisible formatting characters, and noncharacters (XML 1.0 forbids two of them) become
//! `\x1b` or `\u{202e}`. Pure and idempotent. Applied where text leaves the harness: to every string of a report
//! (`report::Shown`), to events, to failures, and to everything that is printed (`terminal`).

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::Value;

/// Escapes `text` as a single line: line ends are escaped too, and a tab becomes a space.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |c| !is_plain(c))
}

/// Same as [`line`], but keeps line ends.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && !is_plain(c))
}

/// Applies [`line`] to every string and every field name in `value`.
pub fn strings(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(line(&text).into_owned()),
        Value::Array(items) => items.into_iter().map(strings).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, field)| (line(&name).into_owned(), strings(field))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// Escapes JSON text in JSON's own way, so that it parses to the same value. (Such characters can only be in strings.)
pub fn json(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| c == '\n' || is_plain(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || is_plain(c) {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(out)
}

fn escaped(text: &str, is_bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if !is_bad(c) => out.push(c),
            '\t' => out.push(' '),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c => {
                let code = u32::from(c);
                // Writing to a String cannot fail.
                let _ =
                    if code <= 0xff { write!(out, "\\x{code:02x}") } else { write!(out, "\\u{{{code:x}}}") };
            }
        }
    }
    Cow::Owned(out)
}

/// True for a character that needs no escape.
fn is_plain(c: char) -> bool {
    c == ' '
        || c.is_ascii_graphic()
        || !(c.is_control() || is_format(c) || is_separator(c) || is_noncharacter(c))
}

/// Unicode category Cf: bidirectional controls, joiners, tags and other characters without a glyph.
fn is_format(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// Unicode categories Zl and Zp.
fn is_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Unicode noncharacters. XML 1.0 forbids U+FFFE and U+FFFF (production Char).
fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(line("\u{1b}[2J\u{7}\0\r\nx\u{9b}31m\u{7f}"), "\\x1b[2J\\x07\\x00\\r\\nx\\x9b31m\\x7f");
        assert_eq!(lines("a\n\u{1b}b\r\n"), "a\n\\x1bb\\r\n");
        assert_eq!(line("a\tb"), "a b");
    }

    #[test]
    fn formatting_characters_and_noncharacters_are_escaped() {
        assert_eq!(line("\u{202e}cba\u{2066}\u{200b}\u{feff}"), "\\u{202e}cba\\u{2066}\\u{200b}\\u{feff}");
        assert_eq!(line("\u{fffe}\u{ffff}\u{fdd0}\u{1fffe}"), "\\u{fffe}\\u{ffff}\\u{fdd0}\\u{1fffe}");
        assert_eq!(line("\u{2028}\u{e0041}"), "\\u{2028}\\u{e0041}");
    }

    #[test]
    fn printable_text_is_unchanged() {
        for text in ["", "a [b] \\x1b {c}", "Käse, 内存, память, \u{1f980}, e\u{301}, \u{fffd}"] {
            assert!(matches!(line(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn strings_and_names_of_a_json_value_are_escaped() {
        let value = serde_json::json!({"a\u{7}": ["\u{1b}", 1, null, {"b": "\u{202e}"}]});
        assert_eq!(strings(value), serde_json::json!({"a\\x07": ["\\x1b", 1, null, {"b": "\\u{202e}"}]}));
    }

    proptest! {
        #[test]
        fn result_is_plain_and_escaping_is_idempotent(text in any::<String>()) {
            for shown in [line(&text), lines(&text)] {
                prop_assert!(shown.chars().all(|c| c == '\n' || is_plain(c)), "{shown:?}");
                prop_assert_eq!(lines(&shown), shown.clone());
            }
            prop_assert!(!line(&text).contains('\n'));
        }

        #[test]
        fn escaped_json_parses_to_the_same_value(text in any::<String>(), name in any::<String>()) {
            let value = serde_json::json!({ name: text });
            let text = serde_json::to_string_pretty(&value).unwrap();
            let safe = json(&text);
            prop_assert!(safe.chars().all(|c| c == '\n' || is_plain(c)), "{safe:?}");
            prop_assert_eq!(serde_json::from_str::<Value>(&safe).unwrap(), value);
        }
    }
}
