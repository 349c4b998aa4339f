//! /proc/kallsyms: which functions this kernel has, and where they begin and end.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use crate::files;

/// Functions that tell which branch of the page-table freeing path a kernel compiled (mm/mmu_gather.c).
pub const OF_INTEREST: [&str; 9] = [
    "tlb_remove_table",
    "tlb_remove_table_sync_one",
    "tlb_remove_table_sync_rcu",
    "tlb_remove_table_smp_sync",
    "tlb_remove_table_rcu",
    "__tlb_remove_table_one",
    "__tlb_remove_table_one_rcu",
    "tlb_next_batch",
    "__tlb_remove_folio_pages_size",
];

const INDEX: &str = "/kallsyms";

/// The suffixes of a copy that gcc has specialised. `.cold` and `.part` hold only a piece.
const CLONES: [&str; 2] = [".constprop.", ".isra."];

/// The symbol table. A kernel has tens of thousands of symbols, and an emulated CPU takes its time: they are sorted once
/// in a boot, and nobody who then looks a few of them up goes through all.
#[derive(Debug)]
pub struct Kallsyms {
    /// A line of each: name, address and the next symbol's address, if there is one. In the order of the bytes, which
    /// is by name and then by address: a space comes before everything that is in a name.
    index: Cow<'static, [u8]>,
}

impl Kallsyms {
    /// The running kernel's table, from the index if one was kept. Fails when the addresses are hidden from us (they
    /// then all read 0).
    pub fn load() -> Result<Self, String> {
        match Path::new(INDEX).exists() {
            true => Ok(Kallsyms { index: Cow::Borrowed(files::map(INDEX)?) }),
            false => Self::parse(&files::read("/proc/kallsyms")?),
        }
    }

    /// The functions of the running kernel, which are kept for the rest of this boot as well: no module is ever loaded,
    /// and the kernel takes its time to write the table.
    pub fn keep_index() -> Result<Self, String> {
        let kallsyms = Self::of(&files::read("/proc/kallsyms")?, |symbol| symbol.is_function())?;
        files::write(INDEX, &String::from_utf8_lossy(&kallsyms.index))?;
        Ok(kallsyms)
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        Self::of(text, |_| true)
    }

    /// Every boot waits for this on an emulated CPU: digits stay text, and names are compared by numbers where that will do.
    fn of(text: &str, wanted: impl Fn(&Symbol<'_>) -> bool) -> Result<Self, String> {
        let mut symbols = Vec::new();
        for line in text.lines() {
            let symbol = Symbol::of(line)?;
            if wanted(&symbol) {
                symbols.push(symbol);
            }
        }
        if symbols.iter().all(|symbol| symbol.address == 0) {
            return Err("/proc/kallsyms shows no addresses".to_owned());
        }
        symbols.sort_by_key(|symbol| symbol.address);
        let mut entries = Vec::with_capacity(symbols.len());
        let mut end = "";
        for (at, symbol) in symbols.iter().enumerate().rev() {
            entries.push((head(symbol.name), symbol.name, symbol.digits, end));
            // Aliases end where their function does.
            if at > 0 && symbols[at - 1].address != symbol.address {
                end = symbol.digits;
            }
        }
        entries.sort_unstable();
        let mut index = Vec::with_capacity(text.len());
        for (_, name, start, end) in entries {
            for word in [name, " ", start, " ", end, "\n"] {
                index.extend_from_slice(word.as_bytes());
            }
        }
        Ok(Kallsyms { index: Cow::Owned(index) })
    }

    /// Whether the kernel has this function, possibly under a compiler's suffix.
    pub fn has(&self, function: &str) -> bool {
        self.line(function).is_some()
    }

    /// Whether the kernel has a function of just this name.
    pub fn has_exactly(&self, function: &str) -> bool {
        self.lines_from(&format!("{function} ")).next().is_some()
    }

    /// Where `function` lies. kallsyms has no sizes: a function ends where the next symbol begins.
    ///
    /// The name as it stands wins over one with a compiler's suffix (`.constprop.0`, `.isra.0`). Returns the
    /// full name with the range.
    pub fn range(&self, function: &str) -> Option<(&str, Range<u64>)> {
        let line = self.line(function)?;
        let number = |word| u64::from_str_radix(word, 16).ok();
        Some((line.name, number(line.start)?..number(line.end)?))
    }

    /// Of those that fit, the one that comes first in the kernel.
    fn line(&self, function: &str) -> Option<Line<'_>> {
        let clones = CLONES
            .iter()
            .flat_map(|suffix| self.lines_from(&format!("{function}{suffix}")).collect::<Vec<_>>());
        self.lines_from(&format!("{function} ")).next().or_else(|| clones.min_by_key(|line| line.start))
    }

    /// The lines that begin with `prefix`.
    fn lines_from<'a>(&'a self, prefix: &str) -> impl Iterator<Item = Line<'a>> {
        let rest = &self.index[self.lower_bound(prefix)..];
        let prefix = prefix.as_bytes().to_owned();
        let lines = rest.split(|&byte| byte == b'\n');
        lines.take_while(move |line| line.starts_with(&prefix)).filter_map(Line::of)
    }

    /// Where the first line that is not before `prefix` begins.
    fn lower_bound(&self, prefix: &str) -> usize {
        let bytes = &self.index;
        // Always beginnings of lines, or the end.
        let (mut low, mut high) = (0, bytes.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let begin =
                bytes[low..middle].iter().rposition(|&byte| byte == b'\n').map_or(low, |at| low + at + 1);
            let end = bytes[middle..]
                .iter()
                .position(|&byte| byte == b'\n')
                .map_or(bytes.len(), |at| middle + at + 1);
            match bytes[begin..end] < *prefix.as_bytes() {
                true => low = end,
                false => high = begin,
            }
        }
        low
    }
}

/// A line of the index.
#[derive(Debug)]
struct Line<'a> {
    name: &'a str,
    start: &'a str,
    end: &'a str,
}

impl<'a> Line<'a> {
    fn of(line: &'a [u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(line).ok()?.split(' ');
        Some(Line { name: words.next()?, start: words.next()?, end: words.next()? })
    }
}

/// A line of /proc/kallsyms.
struct Symbol<'a> {
    /// As they stand there, all of one length (`s_show()`, kernel/kallsyms.c).
    digits: &'a str,
    address: u64,
    kind: &'a str,
    name: &'a str,
}

impl<'a> Symbol<'a> {
    fn of(line: &'a str) -> Result<Self, String> {
        let mut words = line.splitn(3, ' ');
        let (Some(digits), Some(kind), Some(rest)) = (words.next(), words.next(), words.next()) else {
            return Err(format!("/proc/kallsyms has a line without address, type and name: {line:?}"));
        };
        // A module's name may follow.
        let name = rest.split('\t').next().unwrap_or(rest);
        let address = u64::from_str_radix(digits, 16)
            .map_err(|error| format!("/proc/kallsyms has a bad address in {line:?}: {error}"))?;
        Ok(Symbol { digits, address, kind, name })
    }

    /// Of type t, T, w or W: what lies in the text section.
    fn is_function(&self) -> bool {
        matches!(self.kind, "t" | "T" | "w" | "W")
    }
}

/// The first bytes of a name as a number that has the order of names.
fn head(name: &str) -> u64 {
    let mut bytes = [0; 8];
    let length = name.len().min(8);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the 7.2.12 kernel with PT_RECLAIM, in an order that is not by address.
    const RECORDED: &str = "\
0000000000000000 A fixed_percpu_data
ffffffff813e1f00 T tlb_remove_table
ffffffff813e2130 T tlb_flush_mmu
ffffffff813e1bc0 t __tlb_remove_folio_pages_size.constprop.0
ffffffff813e1cc0 t __tlb_remove_table_one_rcu
ffffffff813e1ee0 T tlb_remove_table_sync_one
ffffffff813e1f00 t an_alias_of_it
ffffffffa0000000 t virtio_probe\t[virtio]
";

    fn recorded() -> Kallsyms {
        Kallsyms::parse(RECORDED).unwrap()
    }

    #[test]
    fn a_function_ends_where_the_next_address_begins() {
        let kallsyms = recorded();
        let range = 0xffff_ffff_813e_1f00..0xffff_ffff_813e_2130;
        assert_eq!(kallsyms.range("tlb_remove_table"), Some(("tlb_remove_table", range)));
    }

    #[test]
    fn a_compilers_suffix_does_not_hide_a_function() {
        let kallsyms = recorded();
        let (name, range) = kallsyms.range("__tlb_remove_folio_pages_size").unwrap();
        assert_eq!(name, "__tlb_remove_folio_pages_size.constprop.0");
        assert_eq!(range, 0xffff_ffff_813e_1bc0..0xffff_ffff_813e_1cc0);
    }

    #[test]
    fn a_longer_name_is_another_function() {
        assert!(!recorded().has("__tlb_remove_table_one"));
        assert!(!recorded().has("tlb_remove_tabl"));
        assert!(!Kallsyms::parse("1000 t tlb_remove_table.cold\n").unwrap().has("tlb_remove_table"));
    }

    #[test]
    fn of_functions_with_one_name_the_first_in_the_kernel_counts() {
        let kallsyms = Kallsyms::parse("3000 t b\n1000 t twice\n2000 t a\n2000 t twice\n").unwrap();
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
    fn names_that_begin_alike_keep_their_order() {
        let kallsyms =
            Kallsyms::parse("1000 t a_long_name_2\n2000 t a_long_name\n3000 t a_long_\n4000 t a\n").unwrap();
        let order = "a 4000 \na_long_ 3000 4000\na_long_name 2000 3000\na_long_name_2 1000 2000\n";
        assert_eq!(String::from_utf8_lossy(&kallsyms.index), order);
    }

    #[test]
    fn the_last_symbol_has_no_known_end() {
        assert!(recorded().has("virtio_probe"));
        assert_eq!(recorded().range("virtio_probe"), None);
    }

    #[test]
    fn hidden_addresses_are_an_error_and_not_a_table() {
        let hidden = "0000000000000000 T tlb_remove_table\n0000000000000000 T tlb_flush_mmu\n";
        assert!(Kallsyms::parse(hidden).is_err());
        assert!(Kallsyms::parse("").is_err());
        assert!(Kallsyms::parse("nonsense\n").is_err());
    }
}
