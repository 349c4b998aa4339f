//! /proc/kallsyms: which functions this kernel has, and where they begin and end.

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

const COPY: &str = "/kallsyms";

/// The symbol table. A kernel has tens of thousands of symbols, and an emulated CPU takes its time: names stay where
/// they were read.
#[derive(Debug)]
pub struct Kallsyms {
    text: String,
    /// By address: it, and the place of the name in the text.
    symbols: Vec<(u64, Range<usize>)>,
}

impl Kallsyms {
    /// The running kernel's table, from the copy if one was kept. Fails when the addresses are hidden from us (they
    /// then all read 0).
    pub fn load() -> Result<Self, String> {
        let path = if Path::new(COPY).exists() { COPY } else { "/proc/kallsyms" };
        Self::parse(files::read(path)?)
    }

    /// Keeps a copy of the functions in it for the rest of this boot: no module is ever loaded, and the kernel takes
    /// its time to write the table.
    pub fn keep_copy() -> Result<(), String> {
        let text = files::read("/proc/kallsyms")?;
        let functions =
            text.lines().filter(|line| is_function(line)).fold(String::new(), |all, line| all + line + "\n");
        files::write(COPY, &functions)
    }

    pub fn parse(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        let place = |word: &str| {
            let start = word.as_ptr() as usize - text.as_ptr() as usize;
            start..start + word.len()
        };
        let mut symbols = Vec::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(address), Some(_type), Some(name)) = (words.next(), words.next(), words.next()) else {
                return Err(format!("/proc/kallsyms has a line without address, type and name: {line:?}"));
            };
            let address = u64::from_str_radix(address, 16)
                .map_err(|error| format!("/proc/kallsyms has a bad address in {line:?}: {error}"))?;
            symbols.push((address, place(name)));
        }
        if symbols.iter().all(|(address, _)| *address == 0) {
            return Err("/proc/kallsyms shows no addresses".to_owned());
        }
        symbols.sort_by_key(|(address, _)| *address);
        Ok(Kallsyms { text, symbols })
    }

    /// Whether the kernel has this function, possibly under a compiler's suffix.
    pub fn has(&self, function: &str) -> bool {
        self.position(function).is_some()
    }

    /// Whether the kernel has a function of just this name.
    pub fn has_exactly(&self, function: &str) -> bool {
        self.symbols.iter().any(|(_, name)| &self.text[name.clone()] == function)
    }

    /// Where `function` lies. kallsyms has no sizes: a function ends where the next symbol begins.
    ///
    /// The name as it stands wins over one with a compiler's suffix (`.constprop.0`, `.isra.0`). Returns the
    /// full name with the range.
    pub fn range(&self, function: &str) -> Option<(&str, Range<u64>)> {
        let (start, name) = &self.symbols[self.position(function)?];
        let next = self.symbols.partition_point(|(address, _)| address <= start);
        let (end, _) = self.symbols.get(next)?;
        Some((&self.text[name.clone()], *start..*end))
    }

    fn position(&self, function: &str) -> Option<usize> {
        let find = |fits: &dyn Fn(&str) -> bool| {
            self.symbols.iter().position(|(_, name)| fits(&self.text[name.clone()]))
        };
        find(&|name| name == function).or_else(|| find(&|name| is_clone_of(name, function)))
    }
}

/// Of type t, T, w or W: what lies in the text section.
fn is_function(line: &str) -> bool {
    line.split(' ').nth(1).is_some_and(|kind| matches!(kind, "t" | "T" | "w" | "W"))
}

/// Whether `name` is `function` as gcc names a specialised copy. `.cold` and `.part` hold only a piece.
fn is_clone_of(name: &str, function: &str) -> bool {
    let Some(suffix) = name.strip_prefix(function) else { return false };
    suffix.starts_with(".constprop.") || suffix.starts_with(".isra.")
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
        assert!(!is_clone_of("tlb_remove_table.cold", "tlb_remove_table"));
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
