//! Where to inject: the function whose page allocation decides between batching and the fallback, and how
//! many page tables an operation must free to meet the demand there. Pure.

use std::ops::Range;

use protocol::kallsyms::Kallsyms;

/// Tables beyond the demand, so that the injection runs out before the tables do and N means exactly N.
const SPARE_TABLES: u64 = 16;

/// Without a fallback, tables to free for each failure. A gather holds 8 entries on the stack and asks for a
/// page when 7 are taken (`MMU_GATHER_BUNDLE`, `tlb_next_batch()`); each table here accounts for two
/// entries, its page and, later, itself. 2 * 4 entries against 7: a little over the demand, the first half
/// of it while pages are unmapped and the rest while tables are freed.
const TABLES_PER_PAGE_BATCH: u64 = 4;

/// The functions that can hold the allocation of a page batch, innermost first: which of them exists is
/// up to the compiler's inlining.
const PAGE_BATCH_FUNCTIONS: [&str; 2] = ["tlb_next_batch", "__tlb_remove_folio_pages_size"];

/// A place to inject failures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The function's full name in kallsyms; None where nothing is injected.
    pub function: Option<String>,
    pub addresses: Range<u64>,
    /// Page tables the operation has to populate and free.
    pub tables: u64,
}

impl Site {
    /// Where this kernel allocates the batch whose failure leads to the fallback, for `demand` failures.
    ///
    /// A kernel with a fallback allocates its table batch in `tlb_remove_table()`. One without
    /// MMU_GATHER_RCU_TABLE_FREE has no such function: tables travel with the pages, and failing *their*
    /// batch shows that the operation then does no more than flush early.
    pub fn of_batches(kallsyms: &Kallsyms, demand: u64) -> Result<Self, String> {
        if kallsyms.has("tlb_remove_table") {
            return Self::of(kallsyms, &["tlb_remove_table"], demand);
        }
        let tables = demand.checked_mul(TABLES_PER_PAGE_BATCH).ok_or_else(|| too_much(demand))?;
        Self::of(kallsyms, &PAGE_BATCH_FUNCTIONS, tables)
    }

    /// The first of `functions` that this kernel has; each of `demand` failures takes one page table.
    pub fn of(kallsyms: &Kallsyms, functions: &[&str], demand: u64) -> Result<Self, String> {
        let found = functions.iter().find_map(|name| kallsyms.range(name));
        let (function, addresses) =
            found.ok_or_else(|| format!("/proc/kallsyms has none of {}", functions.join(", ")))?;
        let tables = demand.checked_add(SPARE_TABLES).ok_or_else(|| too_much(demand))?;
        Ok(Site { function: Some(function.to_owned()), addresses, tables })
    }

    /// Nothing is injected anywhere.
    pub fn nowhere(demand: u64) -> Self {
        Site { function: None, addresses: 0..0, tables: demand.saturating_add(SPARE_TABLES) }
    }
}

fn too_much(demand: u64) -> String {
    format!("a demand of {demand} failures is too much")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kallsyms(text: &str) -> Kallsyms {
        Kallsyms::parse(text).unwrap()
    }

    #[test]
    fn a_kernel_with_the_fallback_fails_its_table_batch() {
        let kallsyms = kallsyms("1000 t tlb_next_batch\n2000 T tlb_remove_table\n3000 T next\n");
        let site = Site { function: Some("tlb_remove_table".into()), addresses: 0x2000..0x3000, tables: 216 };
        assert_eq!(Site::of_batches(&kallsyms, 200), Ok(site));
    }

    #[test]
    fn a_kernel_without_the_fallback_fails_its_page_batch() {
        let kallsyms = kallsyms("1000 t __tlb_remove_folio_pages_size.constprop.0\n3000 T next\n");
        let site = Site::of_batches(&kallsyms, 200).unwrap();
        assert_eq!(site.function.as_deref(), Some("__tlb_remove_folio_pages_size.constprop.0"));
        assert_eq!(site.addresses, 0x1000..0x3000);
        assert_eq!(site.tables, 816);
    }

    #[test]
    fn a_kernel_with_neither_is_an_error() {
        assert!(Site::of_batches(&kallsyms("1000 t something\n3000 T next\n"), 200).is_err());
    }

    #[test]
    fn an_absurd_demand_is_an_error() {
        assert!(Site::of_batches(&kallsyms("1000 T tlb_remove_table\n3000 T next\n"), u64::MAX).is_err());
    }
}
