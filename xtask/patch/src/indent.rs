//! Guesses at the white space that an added line lost, the likeliest first. Pure; only a hash decides which is right.

/// Guesses that are offered for one line's indentation at most.
pub const MAX_INDENTS: usize = 14;

/// How far up a guess looks.
const LINES_LOOKED_AT: usize = 64;

/// What may stand for one space inside a line that was aligned by hand.
const INNER: [&[u8]; 6] = [b" ", b"\t", b"\t\t", b"\t\t\t", b"\t\t\t\t", b"\t\t\t\t\t"];

/// Guesses that are offered for the inside of one line.
pub const MAX_INNER: usize = INNER.len();

/// What a guess goes by.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// Lines of the new file above, the nearest last.
    pub above: &'a [Vec<u8>],
    /// The removed line that this one most likely replaces.
    pub twin: Option<&'a [u8]>,
    /// Whether tabs are known to be lost; if not, the line as found is the first guess.
    pub tabs_lost: bool,
}

/// Whether the indentation of `found`, the text behind a `+`, is in doubt: only spaces are.
pub fn is_doubtful(found: &[u8]) -> bool {
    found.first() == Some(&b' ') && !found.trim_ascii().is_empty()
}

/// Leading white space that `found` may have had, the likeliest first, without repetition.
pub fn indents(found: &[u8], around: Around) -> Vec<Vec<u8>> {
    let text = found.trim_ascii();
    let own = leading(found).to_vec();
    let width = own.len();
    let expected = expected_indent(text, around.above);
    let mut guesses = Vec::new();
    if !around.tabs_lost {
        guesses.push(own.clone());
    }
    guesses.extend(around.twin.map(|twin| leading(twin).to_vec()));
    guesses.push(expected.clone());
    guesses.push([&expected[..], b"\t"].concat());
    guesses.extend(expected.strip_suffix(b"\t").map(<[u8]>::to_vec));
    guesses.push([&expected[..], b"\t\t"].concat());
    // A terminal shows `+` in column 0 and so the first tab one column short.
    guesses.push([b"\t".repeat((width + 1) / 8), b" ".repeat((width + 1) % 8)].concat());
    guesses.push(b"\t".repeat(width));
    guesses.extend((1..=4).map(|tabs| b"\t".repeat(tabs)));
    guesses.push([&expected[..], b"  "].concat());
    guesses.push([&expected[..], b"    "].concat());
    guesses.push(own);
    let mut unique: Vec<Vec<u8>> = Vec::new();
    for guess in guesses {
        if !unique.contains(&guess) {
            unique.push(guess);
        }
    }
    unique.truncate(MAX_INDENTS);
    unique
}

/// The place of a space inside `text` that alignment by tabs often stands behind: before a trailing comment, before
/// a macro's line continuation, after a macro's name.
pub fn doubtful_space(text: &[u8]) -> Option<usize> {
    let before = |needle: &[u8]| text.windows(needle.len()).rposition(|window| window == needle);
    if text.starts_with(b"#define ") {
        let name = text[8..].iter().position(|&byte| byte == b' ').map(|at| at + 8);
        return if text.ends_with(b" \\") { before(b" \\") } else { name };
    }
    if text.ends_with(b" \\") { before(b" \\") } else { before(b" /*").or_else(|| before(b" //")) }
}

/// `text` with guess number `rank` in place of its doubtful space.
pub fn with_inner(text: &[u8], rank: usize) -> Option<Vec<u8>> {
    let Some(at) = doubtful_space(text) else { return (rank == 0).then(|| text.to_vec()) };
    Some([&text[..at], INNER.get(rank)?, &text[at + 1..]].concat())
}

fn leading(line: &[u8]) -> &[u8] {
    let end = line.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
    &line[..end]
}

/// The indentation kernel style gives `text` below the lines `above`.
fn expected_indent(text: &[u8], above: &[Vec<u8>]) -> Vec<u8> {
    let mut solid = above.iter().rev().take(LINES_LOOKED_AT).filter(|line| !line.trim_ascii().is_empty());
    let Some(near) = solid.next() else {
        return if text.starts_with(b"*") { b" ".to_vec() } else { b"\t".to_vec() };
    };
    let indent = leading(near);
    let near = near.trim_ascii();
    if text.starts_with(b"*") {
        return if near.starts_with(b"/*") { [indent, b" "].concat() } else { indent.to_vec() };
    }
    if near.starts_with(b"*") && near.ends_with(b"*/") {
        return indent.strip_suffix(b" ").unwrap_or(indent).to_vec();
    }
    if let Some(column) = open_paren(indent, near) {
        return [b"\t".repeat(column / 8), b" ".repeat(column % 8)].concat();
    }
    if near == b"help" {
        return [indent, b"  "].concat();
    }
    let body = opens_block(near);
    let left_body = solid.next().is_some_and(|line| !body && is_bare_control(line.trim_ascii()));
    let deeper = if body { [indent, b"\t"].concat() } else { indent.to_vec() };
    if text.starts_with(b"}") || left_body && !near.starts_with(b"}") {
        return deeper.strip_suffix(b"\t").unwrap_or(&deeper).to_vec();
    }
    deeper
}

/// Whether the next line is one level deeper.
fn opens_block(line: &[u8]) -> bool {
    line.ends_with(b"{") || line.ends_with(b":") || line.starts_with(b"config ") || is_bare_control(line)
}

/// A control statement whose body is the next line.
fn is_bare_control(line: &[u8]) -> bool {
    let keyword = [&b"if ("[..], b"for (", b"while (", b"} else if (", b"else if ("]
        .iter()
        .any(|word| line.starts_with(word));
    keyword && line.ends_with(b")") || line == b"else" || line == b"} else" || line == b"do"
}

/// The column behind the last parenthesis that `line` leaves open; a tab is eight columns.
fn open_paren(indent: &[u8], line: &[u8]) -> Option<usize> {
    let start: usize = indent.iter().map(|&byte| if byte == b'\t' { 8 } else { 1 }).sum();
    let mut open = Vec::new();
    for (at, byte) in line.iter().enumerate() {
        match byte {
            b'(' => open.push(start + at + 1),
            b')' => _ = open.pop(),
            _ => {}
        }
    }
    open.last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str, above: &[&str]) -> String {
        let above: Vec<Vec<u8>> = above.iter().map(|line| line.as_bytes().to_vec()).collect();
        let guesses =
            indents(format!(" {text}").as_bytes(), Around { above: &above, twin: None, tabs_lost: true });
        String::from_utf8(guesses[0].clone()).unwrap()
    }

    #[test]
    fn the_first_guess_is_kernel_style() {
        assert_eq!(first("x();", &["int f(void)", "{"]), "\t");
        assert_eq!(first("y();", &["{", "\tx();"]), "\t");
        assert_eq!(first("return;", &["\tif (x)"]), "\t\t");
        assert_eq!(first("y();", &["\tif (x)", "\t\treturn;"]), "\t");
        assert_eq!(first("} else {", &["\tif (x) {", "\t\ty();"]), "\t");
        assert_eq!(first("* text", &["/**"]), " ");
        assert_eq!(first("*/", &["\t/*", "\t * text"]), "\t ");
        assert_eq!(first("int y)", &["static int f(int x,"]), "\t     ");
        assert_eq!(first("bool \"x\"", &["config X"]), "\t");
        assert_eq!(first("Some text.", &["\thelp"]), "\t  ");
    }

    #[test]
    fn a_removed_line_lends_its_indentation() {
        let around = Around { above: &[], twin: Some(b"\t\t\told();"), tabs_lost: true };
        assert_eq!(indents(b" new();", around)[0], b"\t\t\t");
    }

    #[test]
    fn the_line_as_found_comes_first_while_nothing_says_that_tabs_are_lost() {
        let around = Around { above: &[], twin: None, tabs_lost: false };
        assert_eq!(indents(b"   x", around)[0], b"   ");
    }

    #[test]
    fn space_before_comments_and_in_macros_is_doubtful() {
        assert_eq!(with_inner(b"int x; /* y */", 1).unwrap(), b"int x;\t/* y */");
        assert_eq!(with_inner(b"#define A 1", 2).unwrap(), b"#define A\t\t1");
        assert_eq!(with_inner(b"do { \\", 1).unwrap(), b"do {\t\\");
        assert_eq!((with_inner(b"x = y;", 0), with_inner(b"x = y;", 1)), (Some(b"x = y;".to_vec()), None));
    }
}
