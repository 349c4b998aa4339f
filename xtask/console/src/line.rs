//! One console line: bytes to text, and text to the thread that printed it and what it said.

/// Of what print_caller() puts in brackets, at least: "[%6s]".
const CALLER_WIDTH: usize = 6;

/// Text that a terminal and a JSON file can hold: escape sequences and control bytes are dropped, what is not
/// UTF-8 is replaced.
pub fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            // A control sequence (ECMA-48, 5.4): its parameters and intermediates, then one final byte.
            '\u{1b}' if chars.next_if_eq(&'[').is_some() => {
                while chars.next_if(|c| (' '..='?').contains(c)).is_some() {}
                chars.next_if(|c| ('@'..='~').contains(c));
            }
            '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// Printable ASCII, as nearly every line is. An indexed loop: without optimisation it is several times faster than
/// an iterator, and the harness is built without.
pub fn is_plain(line: &[u8]) -> bool {
    let mut at = 0;
    while at < line.len() {
        if line[at] < b' ' || line[at] > b'~' {
            return false;
        }
        at += 1;
    }
    true
}

/// What one thread printed of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// `T43`, or `C1` in interrupt context; "" for firmware, init and kernels without PRINTK_CALLER.
    pub thread: &'a str,
    pub text: &'a str,
    /// printk put a time or a thread in front of it.
    pub has_prefix: bool,
}

/// The pieces of a line. There is more than one when the kernel spoke before another program had ended its line.
pub fn pieces(line: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut left = Some(without_syslog(line));
    std::iter::from_fn(move || {
        let line = left.take()?;
        let (thread, text) = split_prefix(line);
        let has_prefix = text.len() < line.len();
        let Some(at) = inner_prefix(text) else { return Some(Piece { thread, text, has_prefix }) };
        let (text, rest) = text.split_at(at);
        left = Some(rest);
        Some(Piece { thread, text, has_prefix })
    })
}

/// What a log daemon puts in front: `Nov 26 10:00:00 host kernel: `, or with a date of ISO 8601. What it got from other
/// programs stays as it is.
fn without_syslog(line: &str) -> &str {
    let dated = || {
        let bytes = line.as_bytes();
        let iso = bytes.len() > 10 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-';
        iso || matches!(
            line.get(..4),
            Some(
                "Jan "
                    | "Feb "
                    | "Mar "
                    | "Apr "
                    | "May "
                    | "Jun "
                    | "Jul "
                    | "Aug "
                    | "Sep "
                    | "Oct "
                    | "Nov "
                    | "Dec "
            )
        )
    };
    match line.split_once(" kernel: ") {
        Some((before, rest)) if before.len() < 100 && dated() => rest,
        _ => line,
    }
}

/// Thread and text of a line whose prefix lost its beginning on the way: what is left of `[    1.234567][   T43] ` ends
/// with the caller, or with the six digits of the time, and has nothing else in it.
pub fn with_half_a_prefix(line: &str) -> Option<(&str, &str)> {
    let (prefix, text) = line.split_once("] ")?;
    let is_of_a_prefix = |byte| matches!(byte, b'0'..=b'9' | b'.' | b' ' | b'[' | b']' | b'T' | b'C');
    if !prefix.bytes().all(is_of_a_prefix) {
        return None;
    }
    let last = prefix.rsplit(['[', ']', ' ', '.']).next()?;
    let is_caller = last.strip_prefix(['T', 'C']).is_some_and(digits);
    let is_time = last.len() == 6 && digits(last);
    (is_caller || is_time).then_some((if is_caller { last } else { "" }, text))
}

/// Where, behind its beginning, `text` has another printk prefix.
fn inner_prefix(text: &str) -> Option<usize> {
    text.match_indices('[').map(|(at, _)| at).find(|at| *at > 0 && prefix_len(&text[*at..]) > 0)
}

/// Splits `<6>[    1.234567][   T43] text` (kernel/printk/printk.c, info_print_prefix()) into thread and text.
fn split_prefix(line: &str) -> (&str, &str) {
    let line = without_level(line);
    let (time, after_time) = line.split_at(time_len(line));
    // Without a time in front, the padding is what tells `[   T43]` from other words in brackets.
    let width = if time.is_empty() { CALLER_WIDTH } else { 0 };
    let after_caller = &after_time[caller_len(after_time, width)..];
    let thread = after_time[..after_time.len() - after_caller.len()].trim_matches(['[', ']', ' ']);
    let has_prefix = after_caller.len() < line.len();
    (thread, if has_prefix { after_caller.strip_prefix(' ').unwrap_or(after_caller) } else { line })
}

/// The level that `console_msg_format=syslog` puts in front (print_syslog()).
fn without_level(line: &str) -> &str {
    let level = line.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    level.filter(|(level, _)| digits(level)).map_or(line, |(_, rest)| rest)
}

fn prefix_len(text: &str) -> usize {
    let time = time_len(text);
    if time > 0 { time } else { caller_len(text, CALLER_WIDTH) }
}

/// Length of `[    1.234567]` (print_time(): "[%5lu.%06lu]") at the start, or of what `dmesg -T` makes of it, or 0.
fn time_len(text: &str) -> usize {
    let is_time = |inside: &str| {
        inside.split_once('.').is_some_and(|(secs, micros)| digits(secs.trim_start()) && digits(micros))
    };
    bracketed(text).filter(|(inside, _)| is_time(inside) || is_date(inside)).map_or(0, |(_, len)| len)
}

/// `Thu Nov 26 10:00:00 2026`.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 24
        && bytes[3] == b' '
        && bytes[13] == b':'
        && bytes[16] == b':'
        && text.get(20..).is_some_and(digits)
}

/// Length of `[   T43]` or `[    C1]`, at least `width` inside, at the start, or 0.
fn caller_len(text: &str, width: usize) -> usize {
    bracketed(text)
        .filter(|(inside, _)| {
            inside.len() >= width && inside.trim_start().strip_prefix(['T', 'C']).is_some_and(digits)
        })
        .map_or(0, |(_, len)| len)
}

/// What stands between the brackets that `text` starts with, and the length with both.
fn bracketed(text: &str) -> Option<(&str, usize)> {
    let (inside, _) = text.strip_prefix('[')?.split_once(']')?;
    Some((inside, inside.len() + 2))
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> (&str, &str) {
        let mut pieces = pieces(line);
        let first = pieces.next().unwrap();
        assert_eq!(pieces.next(), None, "{line}");
        (first.thread, first.text)
    }

    #[test]
    fn prefixes_of_log_daemons_and_of_dmesg_are_taken_off() {
        assert_eq!(one("Nov 26 10:00:00 host kernel: [    1.234567][   T43] text"), ("T43", "text"));
        assert_eq!(one("2026-11-26T10:00:00,123456+00:00 host kernel: text"), ("", "text"));
        assert_eq!(one("[Thu Nov 26 10:00:00 2026] text"), ("", "text"));
        // As long as a date, with a character of several bytes where the year begins.
        assert_eq!(one("[abc defghijkl:mn:o\u{fffd}pqr] x").0, "");
        assert_eq!(one("Nov 26 10:00:00 host app: BUG: x"), ("", "Nov 26 10:00:00 host app: BUG: x"));
        assert_eq!(one("a kernel: x"), ("", "a kernel: x"));
        assert_eq!(
            one("[\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}] x").1.len(),
            28
        );
    }

    #[test]
    fn the_thread_is_read_with_and_without_a_time_stamp_and_a_level() {
        assert_eq!(one("[    1.234567][   T43] text"), ("T43", "text"));
        assert_eq!(one("[    1.234567][    C1]  <IRQ>"), ("C1", " <IRQ>"));
        assert_eq!(one("[    1.234567] text"), ("", "text"));
        assert_eq!(one("[   T43] text"), ("T43", "text"));
        assert_eq!(one("<4>[    1.234567][ T4343] text"), ("T4343", "text"));
        assert_eq!(one("[ BUG: Invalid wait context ]"), ("", "[ BUG: Invalid wait context ]"));
        assert_eq!(one(" text"), ("", " text"));
        assert_eq!(one(""), ("", ""));
    }

    #[test]
    fn a_kernel_line_after_an_unfinished_line_of_user_space_starts_a_piece_of_its_own() {
        let found: Vec<_> = pieces("init: half[    1.000000][    T1] BUG: x [a:1][    2.000000][    C0] y")
            .map(|piece| (piece.thread, piece.text))
            .collect();
        assert_eq!(found, [("", "init: half"), ("T1", "BUG: x [a:1]"), ("C0", "y")]);
    }

    #[test]
    fn half_a_prefix_is_one_and_other_brackets_are_none() {
        assert_eq!(with_half_a_prefix("34567][   T43] text"), Some(("T43", "text")));
        assert_eq!(with_half_a_prefix("T43] text"), Some(("T43", "text")));
        assert_eq!(with_half_a_prefix(".234567] text"), Some(("", "text")));
        for line in
            ["[1] text", "[12/40] text", "ok 1 [T1] text", "[FAIL] text", "text", "] text", "12] text"]
        {
            assert_eq!(with_half_a_prefix(line), None, "{line}");
        }
    }

    #[test]
    fn an_escape_sequence_takes_only_itself_along() {
        assert_eq!(printable(b"\x1b[2J\x1b[01;31mred\x1b[0m \0text\xff\x1b"), "red text\u{fffd}");
        assert_eq!(printable(b"\x1b[12\xc3\xa4BUG"), "\u{e4}BUG");
    }
}
