//! Which functions a kernel has, and where they begin and end: a table that the host makes of the kernel's System.map
//! ([`table`]), in which the guest looks functions up ([`Kallsyms`]) and which it holds against its own /proc/kallsyms
//! ([`Comparison`]). The kernel takes a tenth of a second to write that file, and as long again for an emulated CPU to
//! make sense of it: so much earlier is the first test, and so the file is only compared, when the tests are done.

mod compare;
mod table;

use std::borrow::Cow;
use std::ops::Range;

pub use compare::Comparison;
pub use table::table;

/// The suffixes of a copy that gcc has specialised. `.cold` and `.part` hold only a piece.
const CLONES: [&str; 2] = [".constprop.", ".isra."];

const NUMBER: usize = size_of::<u32>();

/// The symbols of a kernel's text.
#[derive(Debug)]
pub struct Kallsyms {
    /// The lines of /proc/kallsyms from `_stext` to `_etext`, by address; the slots; and how many slots. A slot is 0, or
    /// one more than where the line of a function begins; it is the first free one from that on which the function's
    /// name falls ([`hash`]).
    table: Cow<'static, [u8]>,
    /// Where the slots begin.
    slots: usize,
}

impl Kallsyms {
    /// # Errors
    /// When it is not what [`table`] makes, as far as that can be seen at its end.
    pub fn of(table: impl Into<Cow<'static, [u8]>>) -> Result<Self, String> {
        let table = table.into();
        let slots = table.last_chunk().map(number).and_then(|count| {
            let numbers = count.checked_add(1)?.checked_mul(NUMBER)?;
            table.len().checked_sub(numbers)
        });
        let slots = slots.filter(|slots| *slots > 0 && table[slots - 1] == b'\n');
        Ok(Kallsyms { slots: slots.ok_or("the table of the kernel's symbols is cut off")?, table })
    }

    /// Of lines as /proc/kallsyms has them.
    ///
    /// # Errors
    /// When they are not by address, or do not show addresses.
    pub fn parse(text: &str) -> Result<Self, String> {
        Kallsyms::of(table::with_slots(text.to_owned())?)
    }

    /// Whether the kernel has this function, possibly under a compiler's suffix.
    pub fn has(&self, function: &str) -> bool {
        self.find(function).is_some()
    }

    /// Whether the kernel has a function of just this name.
    pub fn has_exactly(&self, function: &str) -> bool {
        self.find(function).is_some_and(|(_, symbol)| symbol.name == function.as_bytes())
    }

    /// Where `function` lies. kallsyms has no sizes: a function ends where the next symbol begins.
    ///
    /// The name as it stands wins over one with a compiler's suffix (`.constprop.0`, `.isra.0`). Returns the
    /// full name with the range.
    pub fn range(&self, function: &str) -> Option<(&str, Range<u64>)> {
        let (mut at, symbol) = self.find(function)?;
        let mut next = Symbol::at(self.text(), at)?;
        // Aliases end where their function does.
        while next.address == symbol.address {
            at += next.length;
            next = Symbol::at(self.text(), at)?;
        }
        let name = std::str::from_utf8(symbol.name).ok()?;
        Some((name, symbol.address..next.address))
    }

    /// The symbol in which `address` lies, as the kernel would name it: the first of those that begin last before it.
    pub fn name_at(&self, address: u64) -> Option<&str> {
        let text = self.text();
        let line_before =
            |at: usize| text[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        // Where the line begins that is the first one after `address`; by halves.
        let (mut from, mut to) = (0, text.len());
        while from < to {
            let middle = line_before(usize::midpoint(from, to));
            let symbol = Symbol::at(text, middle)?;
            match symbol.address <= address {
                true => from = middle + symbol.length,
                false => to = middle,
            }
        }
        let mut found = Symbol::at(text, line_before(from.checked_sub(1)?))?;
        let start = found.address;
        while from > 0 {
            from = line_before(from - 1);
            match Symbol::at(text, from)? {
                symbol if symbol.address == start => found = symbol,
                _ => break,
            }
        }
        std::str::from_utf8(found.name).ok()
    }

    /// Of those that fit, the one of just this name, and then the one that comes first in the kernel; and where its line is.
    fn find(&self, function: &str) -> Option<(usize, Symbol<'_>)> {
        let count = (self.table.len() - self.slots) / NUMBER - 1;
        let first = hash(function.as_bytes()) as usize;
        let slots = (0..count).map(|step| self.slots + ((first + step) & (count - 1)) * NUMBER);
        let slots = slots.map_while(|at| self.table[at..].first_chunk()).map(number);
        let lines = slots.take_while(|slot| *slot != 0).map(|slot| slot - 1);
        let symbols = lines.filter_map(|at| Some((at, Symbol::at(self.text(), at)?)));
        let fitting = symbols.filter(|(_, symbol)| symbol.base() == function.as_bytes());
        fitting.min_by_key(|(at, symbol)| (symbol.name.len() != function.len(), *at))
    }

    fn text(&self) -> &[u8] {
        &self.table[..self.slots]
    }
}

fn number(bytes: &[u8; NUMBER]) -> usize {
    u32::from_le_bytes(*bytes) as usize
}

/// A line of /proc/kallsyms or System.map.
#[derive(Debug)]
struct Symbol<'a> {
    address: u64,
    kind: u8,
    name: &'a [u8],
    /// Of the line, with its end.
    length: usize,
}

impl<'a> Symbol<'a> {
    /// What begins at `at`, if it is a line.
    fn at(text: &'a [u8], at: usize) -> Option<Self> {
        let line = text.get(at..)?;
        let (mut address, mut digits) = (0, 0);
        while let Some(digit) = line.get(digits).and_then(hexadecimal) {
            address = address << 4 | digit;
            digits += 1;
        }
        let [b' ', kind, b' ', rest @ ..] = line.get(digits..)? else { return None };
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let sound = digits > 0 && end > 0;
        sound.then_some(Symbol { address, kind: *kind, name: &rest[..end], length: digits + 3 + end + 1 })
    }

    /// Of type t, T, w or W: what lies in the text section.
    fn is_function(&self) -> bool {
        matches!(self.kind, b't' | b'T' | b'w' | b'W')
    }

    /// The name without a compiler's suffix.
    fn base(&self) -> &'a [u8] {
        let Some(dot) = self.name.iter().position(|byte| *byte == b'.') else { return self.name };
        let (base, suffix) = self.name.split_at(dot);
        if CLONES.iter().any(|clone| suffix.starts_with(clone.as_bytes())) { base } else { self.name }
    }
}

/// As the kernel writes them (`s_show()`, kernel/kallsyms.c).
fn hexadecimal(digit: &u8) -> Option<u64> {
    match digit {
        b'0'..=b'9' => Some(u64::from(digit - b'0')),
        b'a'..=b'f' => Some(u64::from(digit - b'a' + 10)),
        _ => None,
    }
}

/// FNV-1a, which is enough to spread names.
fn hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the 7.2.12 kernel has them, with other names.
    const RECORDED: &str = "\
0000000000000000 A fixed_percpu_data
ffffffff813e1bc0 t inner_batch.constprop.0
ffffffff813e1cc0 t give_one_rcu
ffffffff813e1ee0 T give_sync_one
ffffffff813e1f00 T give
ffffffff813e1f00 t an_alias_of_it
ffffffff813e2130 T flush_all
ffffffff815fe598 T _etext
";

    fn recorded() -> Kallsyms {
        Kallsyms::parse(RECORDED).unwrap()
    }

    #[test]
    fn a_function_ends_where_the_next_address_begins() {
        let kallsyms = recorded();
        let range = 0xffff_ffff_813e_1f00..0xffff_ffff_813e_2130;
        assert_eq!(kallsyms.range("give"), Some(("give", range)));
    }

    #[test]
    fn a_compilers_suffix_does_not_hide_a_function() {
        let kallsyms = recorded();
        let (name, range) = kallsyms.range("inner_batch").unwrap();
        assert_eq!(name, "inner_batch.constprop.0");
        assert_eq!(range, 0xffff_ffff_813e_1bc0..0xffff_ffff_813e_1cc0);
    }

    #[test]
    fn a_longer_name_is_another_function() {
        assert!(!recorded().has("give_one"));
        assert!(!recorded().has("giv"));
        assert!(!Kallsyms::parse("1000 t give.cold\n").unwrap().has("give"));
    }

    #[test]
    fn of_functions_with_one_name_the_first_in_the_kernel_counts() {
        let kallsyms = Kallsyms::parse("1000 t twice\n2000 t a\n2000 t twice\n3000 t b\n").unwrap();
        assert_eq!(kallsyms.range("twice"), Some(("twice", 0x1000..0x2000)));
        let kallsyms = Kallsyms::parse("1000 t f.isra.0\n2000 t f.constprop.0\n3000 t g\n").unwrap();
        assert_eq!(kallsyms.range("f"), Some(("f.isra.0", 0x1000..0x2000)));
    }

    #[test]
    fn every_symbol_is_found_and_nothing_else() {
        let names = ["a", "a.b", "aa", "ab", "b", "_b", "B", "b2"];
        let text = |count: usize| {
            let lines = names[..count].iter().enumerate();
            lines.fold(String::new(), |all, (at, name)| format!("{all}{:x} t {name}\n", 0x1000 + at))
        };
        for count in 1..=names.len() {
            let kallsyms = Kallsyms::parse(&text(count)).unwrap();
            for (at, name) in names.iter().enumerate() {
                assert_eq!(kallsyms.has_exactly(name), at < count, "{name} of {count}");
            }
            assert!(!kallsyms.has("") && !kallsyms.has("c"));
        }
    }

    #[test]
    fn names_that_begin_alike_are_told_apart() {
        let kallsyms =
            Kallsyms::parse("1000 t a_long_name_2\n2000 t a_long_name\n3000 t a_long_\n4000 t a\n").unwrap();
        let found = ["a_long_name_2", "a_long_name", "a_long_"].map(|name| kallsyms.range(name).unwrap());
        assert_eq!(
            found.map(|(name, range)| (name, range.start)),
            [("a_long_name_2", 0x1000), ("a_long_name", 0x2000), ("a_long_", 0x3000)]
        );
        assert!(!kallsyms.has("a_long"));
    }

    #[test]
    fn the_last_symbol_has_no_known_end() {
        assert!(recorded().has("_etext"));
        assert_eq!(recorded().range("_etext"), None);
    }

    #[test]
    fn an_address_belongs_to_the_first_symbol_that_begins_last_before_it() {
        let kallsyms = recorded();
        let base = 0xffff_ffff_813e_0000;
        let names = [
            (0x1bbf, Some("fixed_percpu_data")),
            (0x1bc0, Some("inner_batch.constprop.0")),
            (0x1cbf, Some("inner_batch.constprop.0")),
            (0x1f00, Some("give")),
            (0x212f, Some("give")),
            (0x2130, Some("flush_all")),
        ];
        for (offset, name) in names {
            assert_eq!(kallsyms.name_at(base + offset), name, "{offset:#x}");
        }
        assert_eq!(kallsyms.name_at(u64::MAX), Some("_etext"));
        assert_eq!(Kallsyms::parse("1000 t a\n").unwrap().name_at(0xfff), None);
    }

    #[test]
    fn hidden_addresses_are_an_error_and_not_a_table() {
        let hidden = "0000000000000000 T give\n0000000000000000 T flush_all\n";
        assert!(Kallsyms::parse(hidden).is_err());
        assert!(Kallsyms::parse("").is_err());
        assert!(Kallsyms::parse("nonsense\n").is_err());
    }

    #[test]
    fn lines_that_are_not_by_address_are_an_error() {
        assert!(Kallsyms::parse("2000 t b\n1000 t a\n").is_err());
        assert!(Kallsyms::parse("2000 t b\n10000 t a\n").is_ok());
    }

    #[test]
    fn a_line_that_is_cut_is_an_error() {
        assert!(Kallsyms::parse("1000 t a\n2000 T flush").is_err());
    }
}
