//! Holds the table against what the running kernel says of itself: line by line, and nothing may be between.

use super::{Kallsyms, Symbol};

/// How far the two were found to be the same.
#[derive(Debug)]
pub struct Comparison<'a> {
    /// The lines of the table, but for the last.
    text: &'a [u8],
    /// That, which says where the text ends: what the kernel lists first there is its own affair, as some kernels leave
    /// out the rest (`symbol_valid()`, scripts/kallsyms.c).
    end: Symbol<'a>,
    /// So much of `text` is the kernel's as well.
    same: usize,
    is_whole: bool,
}

impl<'a> Comparison<'a> {
    pub fn new(kallsyms: &'a Kallsyms) -> Result<Self, String> {
        let text = kallsyms.text();
        let before_last = text[..text.len() - 1].iter().rposition(|byte| *byte == b'\n');
        let (text, last) = text.split_at(before_last.map_or(0, |newline| newline + 1));
        let end = Symbol::at(last, 0).ok_or("the table of the kernel's symbols has no end")?;
        Ok(Comparison { text, end, same: 0, is_whole: false })
    }

    /// The next lines of /proc/kallsyms; whether more are wanted.
    ///
    /// # Errors
    /// At the first that is not as in the table: with both.
    pub fn take(&mut self, lines: &[u8]) -> Result<bool, String> {
        let lines = if self.has_begun() { lines } else { self.skip_to_first(lines) };
        let ours = &self.text[self.same..];
        let (expected, found) = (&ours[..ours.len().min(lines.len())], &lines[..ours.len().min(lines.len())]);
        if expected != found {
            return Err(difference(ours, lines));
        }
        self.same += found.len();
        let rest = &lines[found.len()..];
        if rest.is_empty() {
            return Ok(true);
        }
        if Symbol::at(rest, 0).is_none_or(|symbol| symbol.address != self.end.address) {
            return Err(difference(b"", rest));
        }
        self.is_whole = true;
        Ok(false)
    }

    /// Whether a line of the kernel's was found to be the first of the table.
    pub fn has_begun(&self) -> bool {
        self.same > 0
    }

    /// After the last line.
    ///
    /// # Errors
    /// When not all of the table was there.
    pub fn finish(self) -> Result<(), String> {
        if self.is_whole { Ok(()) } else { Err(difference(&self.text[self.same..], b"")) }
    }

    /// What lies before the table does not count: code that is gone, and on some kernels the variables of each CPU.
    fn skip_to_first<'l>(&self, lines: &'l [u8]) -> &'l [u8] {
        let first = Symbol::at(self.text, 0).map_or(self.end.address, |symbol| symbol.address);
        let mut at = 0;
        while let Some(symbol) = Symbol::at(lines, at).filter(|symbol| symbol.address < first) {
            at += symbol.length;
        }
        &lines[at..]
    }
}

fn difference(ours: &[u8], theirs: &[u8]) -> String {
    let lines = |text: &[u8]| String::from_utf8_lossy(text).lines().map(str::to_owned).collect::<Vec<_>>();
    let (ours, theirs) = (lines(ours), lines(theirs));
    let at = ours.iter().zip(&theirs).take_while(|(ours, theirs)| ours == theirs).count();
    let shown = |lines: &[String]| lines.get(at).map_or("its end".to_owned(), |line| format!("{line:?}"));
    format!(
        "the running kernel is not the one that was built, or lies elsewhere: /proc/kallsyms has {} where its System.map \
         has {}",
        shown(&theirs),
        shown(&ours)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "1000 T _stext\n1000 t a\n2000 T b\n3000 T _etext\n";
    /// As kernels have them: something before the text, another symbol where the text ends.
    const KERNEL: &str =
        "0 A cpu_data\n1000 T _stext\n1000 t a\n2000 T b\n3000 D end\n3000 T _etext\n4000 d data\n";

    fn compared(kernel: &str, piece_lines: usize) -> Result<(), String> {
        let kallsyms = Kallsyms::parse(TABLE).unwrap();
        let mut comparison = Comparison::new(&kallsyms).unwrap();
        let lines: Vec<&str> = kernel.split_inclusive('\n').collect();
        for piece in lines.chunks(piece_lines) {
            if !comparison.take(piece.concat().as_bytes())? {
                break;
            }
        }
        comparison.finish()
    }

    #[test]
    fn the_kernel_that_the_table_was_made_of_is_the_same_in_whatever_pieces() {
        for piece_lines in 1..8 {
            assert_eq!(compared(KERNEL, piece_lines), Ok(()), "{piece_lines}");
        }
    }

    #[test]
    fn any_line_that_is_missing_more_or_other_is_told() {
        let lines: Vec<&str> = KERNEL.split_inclusive('\n').collect();
        for at in 1..4 {
            for other in ["", "1000 t x\n2000 t x\n", "1001 T _stext\n"] {
                let mut changed = lines.clone();
                changed[at] = other;
                for piece_lines in 1..8 {
                    assert!(
                        compared(&changed.concat(), piece_lines).is_err(),
                        "{changed:?} by {piece_lines}"
                    );
                }
            }
        }
        let more = KERNEL.replace("3000 D end", "2fff t x\n3000 D end");
        assert!(compared(&more, 1).is_err());
    }

    #[test]
    fn both_lines_are_shown() {
        let why = compared(&KERNEL.replace("2000 T b", "2010 T b"), 8).unwrap_err();
        assert!(why.contains("has \"2010 T b\" where its System.map has \"2000 T b\""), "{why}");
    }

    #[test]
    fn a_kernel_that_hides_its_addresses_or_ends_early_is_not_the_same() {
        let hidden: String = KERNEL
            .split_inclusive('\n')
            .map(|line| format!("0{}", &line[line.find(' ').unwrap()..]))
            .collect();
        for kernel in ["", &hidden, "1000 T _stext\n1000 t a\n2000 T b\n"] {
            let why = compared(kernel, 1).unwrap_err();
            assert!(why.contains("has its end where"), "{why}");
        }
    }

    #[test]
    fn a_kernel_that_lies_elsewhere_is_not_the_same() {
        let moved = KERNEL.replace("000 ", "100 ");
        assert!(compared(&moved, 8).unwrap_err().contains("has \"1100 T _stext\""));
    }
}
