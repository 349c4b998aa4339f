//! How text that comes from outside is shown: guest messages, console lines, words of the compiler and of QEMU, subjects,
//! paths. What a terminal would act on, what would turn other text around, what nobody can see, and what XML cannot hold is
//! written as `\x1b` or `\u{202e}`. Pure. It is applied where text goes out: to every string of a report
//! (crate::report::Shown), to events, to failures, and to whatever is printed (crate::terminal).
//!
//! A second time changes nothing.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::Value;

/// One line: a line end in `text` is escaped, and a tab is a space.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |c| !is_plain(c))
}

/// As [`line`], but line ends stay what they are.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && !is_plain(c))
}

/// Every string in `value`, also names of fields, as [`line`].
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

/// The text of a JSON file, in which such characters can only be in strings: it reads back as the same value.
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

/// It takes its place on a line and does nothing else.
fn is_plain(c: char) -> bool {
    c == ' '
        || c.is_ascii_graphic()
        || !(c.is_control() || is_format(c) || is_separator(c) || is_noncharacter(c))
}

/// Unicode's general category Cf: marks of direction, joiners, tags, and other characters without a glyph of their own.
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

/// Categories Zl and Zp.
fn is_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// What Unicode never assigns; XML 1.0 forbids two of them (2.2, Char).
fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_spelled_out() {
        assert_eq!(line("\u{1b}[2J\u{7}\0\r\nx\u{9b}31m\u{7f}"), "\\x1b[2J\\x07\\x00\\r\\nx\\x9b31m\\x7f");
        assert_eq!(lines("a\n\u{1b}b\r\n"), "a\n\\x1bb\\r\n");
        assert_eq!(line("a\tb"), "a b");
    }

    #[test]
    fn what_turns_text_around_or_cannot_be_seen_or_stand_in_xml_is_spelled_out() {
        assert_eq!(line("\u{202e}cba\u{2066}\u{200b}\u{feff}"), "\\u{202e}cba\\u{2066}\\u{200b}\\u{feff}");
        assert_eq!(line("\u{fffe}\u{ffff}\u{fdd0}\u{1fffe}"), "\\u{fffe}\\u{ffff}\\u{fdd0}\\u{1fffe}");
        assert_eq!(line("\u{2028}\u{e0041}"), "\\u{2028}\\u{e0041}");
    }

    #[test]
    fn text_of_every_language_stays_as_it_is() {
        for text in ["", "a [b] \\x1b {c}", "Käse, 内存, память, \u{1f980}, e\u{301}, \u{fffd}"] {
            assert!(matches!(line(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn a_value_is_escaped_in_each_string_and_each_name() {
        let value = serde_json::json!({"a\u{7}": ["\u{1b}", 1, null, {"b": "\u{202e}"}]});
        assert_eq!(strings(value), serde_json::json!({"a\\x07": ["\\x1b", 1, null, {"b": "\\u{202e}"}]}));
    }

    proptest! {
        #[test]
        fn nothing_is_left_to_escape(text in any::<String>()) {
            for shown in [line(&text), lines(&text)] {
                prop_assert!(shown.chars().all(|c| c == '\n' || is_plain(c)), "{shown:?}");
                prop_assert_eq!(lines(&shown), shown.clone());
            }
            prop_assert!(!line(&text).contains('\n'));
        }

        #[test]
        fn json_reads_back_as_the_same_value(text in any::<String>(), name in any::<String>()) {
            let value = serde_json::json!({ name: text });
            let text = serde_json::to_string_pretty(&value).unwrap();
            let safe = json(&text);
            prop_assert!(safe.chars().all(|c| c == '\n' || is_plain(c)), "{safe:?}");
            prop_assert_eq!(serde_json::from_str::<Value>(&safe).unwrap(), value);
        }
    }
}
