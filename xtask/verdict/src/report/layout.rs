//! Layout of what people read: tables, and lines broken at words. No line is wider than [`WIDTH`], and nothing is cut. The
//! one module that draws tables. It knows no report.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use unicode_width::UnicodeWidthChar;

/// Columns of a line, at most.
pub const WIDTH: u16 = 100;

/// Columns of a name at the left of a table, at most.
const NAME_WIDTH: usize = 40;

/// Columns between two columns of a table.
const GAP: u16 = 2;

/// By how much a line that goes on is indented more than its beginning.
const HANG: usize = 4;

/// The lines of a table. Its first column is never broken by the other ones, and only a new row begins at the left edge.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    if !header.is_empty() {
        table.set_header(header);
    }
    for row in rows {
        let (name, others) = row.split_first().map_or(("", row.as_slice()), |(name, others)| (name, others));
        let name = name.lines().flat_map(|line| folded(line, NAME_WIDTH)).collect::<Vec<_>>().join("\n");
        table.add_row(std::iter::once(&name).chain(others));
    }
    let widths = table.column_max_content_widths();
    let last = widths.len().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { GAP }));
    }
    if let (Some(column), Some(width)) = (table.column_mut(0), widths.first()) {
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width.saturating_add(GAP))));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// `text` in lines that fit. They are broken at spaces, and a word that fits no line anywhere.
pub fn fold(text: &str) -> Vec<String> {
    folded(text, usize::from(WIDTH))
}

/// The columns that `text` takes on a terminal.
#[cfg(test)]
pub fn width(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

/// As [`fold`], in lines of `width` columns.
pub fn folded(text: &str, width: usize) -> Vec<String> {
    let words = text.trim_start_matches(' ');
    // A long indentation leaves room for words.
    let indent = text.len().saturating_sub(words.len()).min(width / 2);
    let mut lines = WrappedLines {
        width,
        hang: indent.saturating_add(HANG),
        done: Vec::new(),
        line: " ".repeat(indent),
        used: indent,
    };
    for (index, word) in words.split(' ').enumerate() {
        if index > 0 {
            lines.space(word);
        }
        word.chars().for_each(|c| lines.push(c));
    }
    lines.done.push(lines.line.trim_end().to_owned());
    lines.done
}

struct WrappedLines {
    width: usize,
    /// Indentation of all lines but the first.
    hang: usize,
    done: Vec<String>,
    line: String,
    /// Columns of `line`.
    used: usize,
}

impl WrappedLines {
    /// A space before `word`, or a new line where it does not fit.
    fn space(&mut self, word: &str) {
        let wanted = word.chars().map(columns).fold(1, usize::saturating_add);
        if self.used.saturating_add(wanted) > self.width {
            self.begin();
        } else {
            self.line.push(' ');
            self.used = self.used.saturating_add(1);
        }
    }

    fn push(&mut self, c: char) {
        let wanted = columns(c);
        if self.used.saturating_add(wanted) > self.width {
            self.begin();
        }
        self.line.push(c);
        self.used = self.used.saturating_add(wanted);
    }

    fn begin(&mut self) {
        let line = std::mem::replace(&mut self.line, " ".repeat(self.hang));
        self.done.push(line.trim_end().to_owned());
        self.used = self.hang;
    }
}

/// A character without a width of its own counts as one column: it can widen the one before it, and a line of nothing else
/// comes to an end.
fn columns(c: char) -> usize {
    c.width().unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(lines: &[String]) {
        for line in lines {
            assert!(width(line) <= usize::from(WIDTH), "{line:?}");
        }
    }

    #[test]
    fn line_is_broken_at_words_and_goes_on_further_to_the_right() {
        let text = format!("  {}", "word ".repeat(30));
        let lines = fold(&text);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("  word") && lines[0].ends_with(" word"), "{lines:?}");
        assert!(lines[1].starts_with("      word"), "{lines:?}");
        assert_eq!(fold("a  b"), ["a  b"]);
        assert_eq!(fold(""), [""]);
    }

    #[test]
    fn long_name_goes_on_in_the_next_line_and_looks_like_no_row() {
        let name = "n".repeat(90);
        let lines = table(&["name", "what"], &[vec![name, "w ".repeat(90)], vec!["b".to_owned()]]);
        fits(&lines);
        assert_eq!(lines.iter().filter(|line| line.starts_with('n')).count(), 2, "header and row: {lines:?}");
        assert_eq!(lines.concat().matches('n').count(), 91, "{lines:?}");
    }

    proptest! {
        #[test]
        fn folded_text_fits_and_loses_nothing_but_spaces(text in "[a-z \u{1f980}\u{301}\u{fe0f}\u{6f22}]{0,400}") {
            let lines = fold(&text);
            fits(&lines);
            prop_assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        }

        #[test]
        fn table_fits_and_loses_nothing_but_spaces(
            cells in prop::collection::vec("([a-z]{1,150} ?){0,9}", 1..7), times in 1..4_usize,
        ) {
            let lines = table(&[], &vec![cells.clone(); times]);
            fits(&lines);
            let letters = |text: String| text.chars().filter(|c| *c != ' ').count();
            prop_assert_eq!(letters(lines.concat()), times * letters(cells.concat()));
        }
    }
}
