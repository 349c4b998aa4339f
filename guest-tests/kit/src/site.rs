//! Where to inject: the function whose page allocation decides between batching and the fallback, and how
//! many page tables an operation must free to meet the demand there. Pure.

use std::ops::Range;

use crate::kallsyms::Kallsyms;

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
    /// The function's full name in kallsyms.
    pub function: String,
    pub addresses: Range<u64>,
    /// Page tables the operation has to populate and free.
    pub tables: u64,
}

impl Site {
    /// The site of this kernel for `demand` failures.
    ///
    /// A kernel with a fallback allocates its table batch in `tlb_remove_table()`. One without
    /// MMU_GATHER_RCU_TABLE_FREE has no such function: tables travel with the pages, and failing *their*
    /// batch shows that the operation then does no more than flush early.
    pub fn find(kallsyms: &Kallsyms, demand: u64) -> Result<Self, String> {
        let has_fallback = kallsyms.has("tlb_remove_table");
        let names = if has_fallback { &["tlb_remove_table"][..] } else { &PAGE_BATCH_FUNCTIONS };
        let tables_per_failure = if has_fallback { 1 } else { TABLES_PER_PAGE_BATCH };
        let found = names.iter().find_map(|name| kallsyms.range(name));
        let (function, addresses) =
            found.ok_or_else(|| format!("/proc/kallsyms has none of {}", names.join(", ")))?;
        let tables =
            demand.checked_mul(tables_per_failure).and_then(|tables| tables.checked_add(SPARE_TABLES));
        let tables = tables.ok_or_else(|| format!("a demand of {demand} failures is too much"))?;
        Ok(Site { function: function.to_owned(), addresses, tables })
    }
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
        let site = Site { function: "tlb_remove_table".into(), addresses: 0x2000..0x3000, tables: 216 };
        assert_eq!(Site::find(&kallsyms, 200), Ok(site));
    }

    #[test]
    fn a_kernel_without_the_fallback_fails_its_page_batch() {
        let kallsyms = kallsyms("1000 t __tlb_remove_folio_pages_size.constprop.0\n3000 T next\n");
        let site = Site::find(&kallsyms, 200).unwrap();
        assert_eq!(site.function, "__tlb_remove_folio_pages_size.constprop.0");
        assert_eq!(site.addresses, 0x1000..0x3000);
        assert_eq!(site.tables, 816);
    }

    #[test]
    fn a_kernel_with_neither_is_an_error() {
        assert!(Site::find(&kallsyms("1000 t something\n3000 T next\n"), 200).is_err());
    }

    #[test]
    fn an_absurd_demand_is_an_error() {
        assert!(Site::find(&kallsyms("1000 T tlb_remove_table\n3000 T next\n"), u64::MAX).is_err());
    }
}
