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

/// The symbol table. A kernel has tens of thousands of symbols, and an emulated CPU takes its time: they are gone through
/// once in a boot, and nobody who then looks a few of them up goes through all.
#[derive(Debug)]
pub struct Kallsyms {
    /// How many slots, the slots, and the lines of /proc/kallsyms by address. A slot is 0, or one more than where the line
    /// of a function begins; it is the first free one from that on which the function's name falls ([`hash`]).
    index: Cow<'static, [u8]>,
}

const NUMBER: usize = size_of::<u32>();

impl Kallsyms {
    /// The running kernel's table, from the index if one was kept. Fails when the addresses are hidden from us (they
    /// then all read 0).
    pub fn load() -> Result<Self, String> {
        match Path::new(INDEX).exists() {
            true => Ok(Kallsyms { index: Cow::Borrowed(files::map(INDEX)?) }),
            false => Self::parse(&files::read("/proc/kallsyms")?),
        }
    }

    /// As [`Kallsyms::load`], and keeps the index for the rest of this boot: no module is ever loaded, and the kernel takes
    /// its time to write the table.
    pub fn keep_index() -> Result<Self, String> {
        let kallsyms = Self::parse(&files::read("/proc/kallsyms")?)?;
        files::write(INDEX, &kallsyms.index)?;
        Ok(kallsyms)
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        Self::of(text).unwrap_or_else(|| {
            let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
            // Stable: aliases stay in the kernel's order.
            lines.sort_by_key(|line| Symbol::at(line.as_bytes(), 0).map(|symbol| symbol.order()));
            Self::of(&lines.concat()).unwrap_or_else(|| Err("/proc/kallsyms cannot be sorted".to_owned()))
        })
    }

    /// None: the lines are not by address, which they are as long as no module is loaded.
    fn of(text: &str) -> Option<Result<Self, String>> {
        let bytes = text.as_bytes();
        let mut functions = Vec::new();
        let (mut at, mut shown, mut before) = (0, false, None);
        while at < bytes.len() {
            let Some(symbol) = Symbol::at(bytes, at) else {
                let line = text[at..].lines().next().unwrap_or_default();
                return Some(Err(format!(
                    "/proc/kallsyms has a line without address, type and name: {line:?}"
                )));
            };
            if before > Some(symbol.order()) {
                return None;
            }
            before = Some(symbol.order());
            shown |= symbol.address.iter().any(|digit| *digit != b'0');
            if symbol.is_function() {
                functions.push((hash(symbol.base()), at));
            }
            at += symbol.length;
        }
        Some(match shown {
            true => Self::with(&functions, bytes),
            false => Err("/proc/kallsyms shows no addresses".to_owned()),
        })
    }

    /// `functions`: the hash of each, and where its line begins in `text`.
    fn with(functions: &[(usize, usize)], text: &[u8]) -> Result<Self, String> {
        let count = (2 * functions.len()).next_power_of_two();
        let mut slots = vec![0_u32; count];
        for &(hash, at) in functions {
            let mut slot = hash & (count - 1);
            while slots[slot] != 0 {
                slot = (slot + 1) & (count - 1);
            }
            slots[slot] = u32::try_from(at + 1).map_err(|error| error.to_string())?;
        }
        let count = u32::try_from(count).map_err(|error| error.to_string())?;
        let mut index = Vec::with_capacity((1 + slots.len()) * NUMBER + text.len());
        index.extend(std::iter::once(count).chain(slots).flat_map(u32::to_ne_bytes));
        index.extend_from_slice(text);
        Ok(Kallsyms { index: Cow::Owned(index) })
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
        Some((name, number(symbol.address)?..number(next.address)?))
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
            match number(symbol.address)? <= address {
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
        let count = self.number(0);
        let first = hash(function.as_bytes());
        let slots = (0..count).map(|step| self.number(1 + ((first + step) & (count - 1))));
        let lines = slots.take_while(|slot| *slot != 0).map(|slot| slot - 1);
        let symbols = lines.filter_map(|at| Some((at, Symbol::at(self.text(), at)?)));
        let fitting = symbols.filter(|(_, symbol)| symbol.base() == function.as_bytes());
        fitting.min_by_key(|(at, symbol)| (symbol.name.len() != function.len(), *at))
    }

    /// Of the numbers at the beginning.
    fn number(&self, at: usize) -> usize {
        let bytes = self.index.get(at * NUMBER..).and_then(|rest| rest.first_chunk::<NUMBER>());
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes) as usize)
    }

    fn text(&self) -> &[u8] {
        self.index.get((1 + self.number(0)) * NUMBER..).unwrap_or_default()
    }
}

/// A line of /proc/kallsyms.
struct Symbol<'a> {
    address: &'a [u8],
    kind: u8,
    name: &'a [u8],
    /// Of the line, with its end.
    length: usize,
}

impl<'a> Symbol<'a> {
    /// What begins at `at`, if it is a line.
    fn at(text: &'a [u8], at: usize) -> Option<Self> {
        let line = text.get(at..)?;
        let (address, rest) = line.split_at_checked(line.iter().position(|byte| *byte == b' ')?)?;
        let [b' ', kind, b' ', rest @ ..] = rest else { return None };
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        // A module's name may follow.
        let name = rest[..end].split(|byte| *byte == b'\t').next()?;
        let sound = !name.is_empty() && !address.is_empty() && address.iter().all(u8::is_ascii_hexdigit);
        sound.then_some(Symbol { address, kind: *kind, name, length: address.len() + 3 + end + 1 })
    }

    /// By address; the kernel writes all its digits (`s_show()`, kernel/kallsyms.c).
    fn order(&self) -> (usize, &'a [u8]) {
        (self.address.len(), self.address)
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

fn number(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// FNV-1a, which is enough to spread names.
fn hash(name: &[u8]) -> usize {
    name.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
        as usize
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
        assert!(recorded().has("virtio_probe"));
        assert_eq!(recorded().range("virtio_probe"), None);
    }

    #[test]
    fn an_address_belongs_to_the_first_symbol_that_begins_last_before_it() {
        let kallsyms = recorded();
        let base = 0xffff_ffff_813e_0000;
        let names = [
            (0x1bbf, Some("fixed_percpu_data")),
            (0x1bc0, Some("__tlb_remove_folio_pages_size.constprop.0")),
            (0x1cbf, Some("__tlb_remove_folio_pages_size.constprop.0")),
            (0x1f00, Some("tlb_remove_table")),
            (0x212f, Some("tlb_remove_table")),
            (0x2130, Some("tlb_flush_mmu")),
        ];
        for (offset, name) in names {
            assert_eq!(kallsyms.name_at(base + offset), name, "{offset:#x}");
        }
        assert_eq!(kallsyms.name_at(u64::MAX), Some("virtio_probe"));
        assert_eq!(Kallsyms::parse("1000 t a\n").unwrap().name_at(0xfff), None);
    }

    #[test]
    fn hidden_addresses_are_an_error_and_not_a_table() {
        let hidden = "0000000000000000 T tlb_remove_table\n0000000000000000 T tlb_flush_mmu\n";
        assert!(Kallsyms::parse(hidden).is_err());
        assert!(Kallsyms::parse("").is_err());
        assert!(Kallsyms::parse("nonsense\n").is_err());
    }
}
