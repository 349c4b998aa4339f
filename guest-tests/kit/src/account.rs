//! Goes through what was traced and counts in it what the fallback did. Pure.

use std::collections::BTreeSet;

use protocol::Counts;

/// The event filter value and trace name of the function a broadcast makes every other CPU run.
pub const BROADCAST_CALLBACK: &str = "tlb_remove_table_smp_sync";

/// The RCU callback that frees one table where PT_RECLAIM is on.
pub const TABLE_CALLBACK: &str = "__tlb_remove_table_one_rcu";

/// Callers that make a call of `smp_call_function` or `synchronize_rcu` one of the page-table freeing path.
///
/// The fallback is one small function of mm/mmu_gather.c inlined into the next, and where that ends is the
/// compiler's choice, so the list goes from the innermost function out to the callers of
/// `tlb_remove_table()` itself. None of these calls either function for another purpose.
const CALLERS: [&str; 13] = [
    "tlb_remove_table",
    "tlb_remove_table_one",
    "__tlb_remove_table_one",
    "tlb_remove_table_sync_one",
    "tlb_remove_table_sync_rcu",
    "tlb_flush_mmu",
    "tlb_finish_mmu",
    "tlb_next_batch",
    "__tlb_remove_folio_pages_size",
    "__tlb_remove_folio_pages",
    "__tlb_remove_page_size",
    "free_pgtables",
    "free_pgd_range",
];

/// Functions that free the page of a table: the page allocator's, powerpc's own
/// (arch/powerpc/mm/book3s64/pgtable.c), and the one that architectures used until 6.15. On one architecture
/// the fallback calls one of them.
const FREES: [&str; 3] = ["__free_pages", "__tlb_remove_table", "free_page_and_swap_cache"];

/// Callers that make a call of one of [`FREES`] one of the fallback. Its callers are left out: they free other
/// pages too. If a compiler does not inline the freeing into one of these, nothing is counted here, and a
/// base arm without frees is no base.
const FREERS: [&str; 3] = ["tlb_remove_table", "tlb_remove_table_one", "__tlb_remove_table_one"];

/// One thing that was traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// The thread; 0 for those that do nothing, of which each CPU has one.
    pub task: u64,
    pub what: What<'a>,
}

/// Functions by their names in kallsyms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What<'a> {
    /// `function` was entered.
    Call { function: &'a str, caller: &'a str },
    /// A CPU was told to run `function` (`csd:csd_queue_cpu`).
    CrossCall { function: &'a str, cpu: u64 },
    /// RCU called `function` (`rcu:rcu_invoke_callback`).
    Callback { function: &'a str },
}

/// What is known while going through the events: the counts so far, and the tasks whose current call of
/// `tlb_remove_table` has synchronised with walkers.
#[derive(Default)]
struct Account {
    counts: Counts,
    synced: BTreeSet<u64>,
}

/// Counts the `events`, which are in the order in which they happened; IPIs only to CPUs that are `bystander`s.
///
/// # Errors
/// An event that nobody asked for: fail closed.
pub fn count<'a>(
    events: impl IntoIterator<Item = Event<'a>>,
    bystander: impl Fn(u64) -> bool,
) -> Result<Counts, String> {
    let mut account = Account::default();
    for event in events {
        match event.what {
            What::Call { function, caller } => account
                .call(event.task, function, base_name(caller))
                .ok_or_else(|| format!("not an event this test asked for: {event:?}"))?,
            What::CrossCall { function, cpu } => {
                let counts = base_name(function) == BROADCAST_CALLBACK && bystander(cpu);
                account.counts.bystander_ipis += u64::from(counts);
            }
            What::Callback { function } => {
                account.counts.call_rcu += u64::from(base_name(function) == TABLE_CALLBACK);
            }
        }
    }
    Ok(account.counts)
}

impl Account {
    /// `task` enters `function` from `caller`. Events of one task are in the order in which it made them.
    fn call(&mut self, task: u64, function: &str, caller: &str) -> Option<()> {
        let of_the_path = CALLERS.contains(&caller);
        match function {
            "tlb_remove_table" => {
                self.synced.remove(&task);
            }
            "smp_call_function" if of_the_path => {
                self.counts.ipi += 1;
                self.synced.insert(task);
            }
            "synchronize_rcu" if of_the_path => {
                self.counts.rcu_sync += 1;
                self.synced.insert(task);
            }
            "synchronize_rcu_expedited" if of_the_path || self.is_inside_sync(task, caller) => {
                self.counts.expedited += 1;
                self.synced.insert(task);
            }
            free if FREES.contains(&free) && FREERS.contains(&caller) => {
                self.counts.direct_frees += 1;
                self.counts.unsynced_frees += u64::from(!self.synced.contains(&task));
            }
            "smp_call_function" | "synchronize_rcu" | "synchronize_rcu_expedited" => {}
            free if FREES.contains(&free) => {}
            _ => return None,
        }
        Some(())
    }

    /// `synchronize_rcu` made itself an expedited one, in a task that called it from the path.
    fn is_inside_sync(&self, task: u64, caller: &str) -> bool {
        caller == "synchronize_rcu" && self.synced.contains(&task)
    }
}

/// A function's name without a compiler's suffix (`.constprop.0`, `.part.0`).
fn base_name(symbol: &str) -> &str {
    symbol.split('.').next().unwrap_or(symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(events: &[Event<'_>], victim: u64) -> Result<Counts, String> {
        super::count(events.iter().copied(), |cpu| cpu != victim)
    }

    type Call = (&'static str, &'static str);

    /// `task` enters these functions, each given with its caller.
    fn entries(task: u64, calls: &[Call]) -> Vec<Event<'static>> {
        let event = |&(function, caller): &Call| Event { task, what: What::Call { function, caller } };
        calls.iter().map(event).collect()
    }

    fn cross_call(function: &str, cpu: u64) -> Event<'_> {
        Event { task: 60, what: What::CrossCall { function, cpu } }
    }

    fn callback(function: &str) -> Event<'_> {
        Event { task: 0, what: What::Callback { function } }
    }

    const ENTER: Call = ("tlb_remove_table", "free_pgd_range");
    const SYNC: Call = ("synchronize_rcu", "tlb_remove_table");
    const BROADCAST: Call = ("smp_call_function", "tlb_remove_table");
    const FREE: Call = ("__free_pages", "tlb_remove_table");

    #[test]
    fn each_mechanism_is_counted_by_its_own_event() {
        let events = [
            entries(60, &[BROADCAST]),
            vec![cross_call(BROADCAST_CALLBACK, 1), cross_call(BROADCAST_CALLBACK, 2)],
            entries(60, &[SYNC]),
            vec![callback(TABLE_CALLBACK)],
        ];
        let expected = Counts { ipi: 1, bystander_ipis: 2, rcu_sync: 1, call_rcu: 1, ..Counts::default() };
        assert_eq!(count(&events.concat(), 0), Ok(expected));
    }

    #[test]
    fn a_table_freed_after_a_grace_period_or_a_broadcast_is_synced() {
        for sync in [SYNC, BROADCAST, ("synchronize_rcu_expedited", "tlb_remove_table")] {
            let counts = count(&entries(1, &[ENTER, sync, FREE, ENTER, sync, FREE]), 0).unwrap();
            assert_eq!((counts.direct_frees, counts.unsynced_frees), (2, 0), "{sync:?}");
        }
    }

    #[test]
    fn a_table_freed_before_the_grace_period_is_not_synced_even_where_the_counts_agree() {
        let calls = [ENTER, FREE, SYNC].repeat(3);
        let counts = count(&entries(1, &calls), 0).unwrap();
        assert_eq!((counts.rcu_sync, counts.direct_frees, counts.unsynced_frees), (3, 3, 3));
    }

    #[test]
    fn a_grace_period_of_another_task_or_of_another_caller_protects_nothing() {
        let other = entries(2, &[ENTER, SYNC]);
        let elsewhere = entries(1, &[ENTER, ("synchronize_rcu", "ftrace_shutdown"), FREE]);
        assert_eq!(count(&[other, elsewhere].concat(), 0).map(|counts| counts.unsynced_frees), Ok(1));
        let between = [entries(1, &[ENTER, SYNC]), entries(2, &[ENTER]), entries(1, &[FREE])];
        assert_eq!(count(&between.concat(), 0).map(|counts| counts.unsynced_frees), Ok(0));
    }

    #[test]
    fn every_architectures_way_to_free_a_table_counts() {
        for free in FREES {
            let calls = [ENTER, SYNC, (free, "tlb_remove_table")];
            let counts = count(&entries(1, &calls), 0).unwrap();
            assert_eq!((counts.direct_frees, counts.unsynced_frees), (1, 0), "{free}");
        }
    }

    #[test]
    fn pages_freed_elsewhere_are_not_the_fallbacks() {
        let calls = [("__free_pages", "tlb_remove_table_rcu"), ("__free_pages", "tlb_finish_mmu")];
        assert_eq!(count(&entries(1, &calls), 0), Ok(Counts::default()));
    }

    #[test]
    fn an_expedited_grace_period_is_seen_inside_an_ordinary_one() {
        let counts = count(&entries(1, &[SYNC, ("synchronize_rcu_expedited", "synchronize_rcu")]), 0);
        assert_eq!(counts.map(|counts| (counts.rcu_sync, counts.expedited)), Ok((1, 1)));
        for caller in ["synchronize_rcu", "synchronize_net"] {
            let calls = [("synchronize_rcu_expedited", caller)];
            assert_eq!(count(&entries(1, &calls), 0).map(|counts| counts.expedited), Ok(0));
        }
    }

    #[test]
    fn the_same_calls_from_elsewhere_do_not_count() {
        let calls = [("smp_call_function", "on_each_cpu_cond_mask"), ("synchronize_rcu", "ftrace_shutdown")];
        let others = vec![cross_call("flush_tlb_func", 1), callback("tlb_remove_table_rcu")];
        assert_eq!(count(&[entries(12, &calls), others].concat(), 0), Ok(Counts::default()));
    }

    #[test]
    fn a_broadcast_to_the_victims_own_cpu_is_no_bystander_ipi() {
        let events = [cross_call(BROADCAST_CALLBACK, 0)];
        assert_eq!(count(&events, 0).map(|counts| counts.bystander_ipis), Ok(0));
        assert_eq!(count(&events, 1).map(|counts| counts.bystander_ipis), Ok(1));
    }

    #[test]
    fn a_compilers_suffix_does_not_hide_a_caller() {
        let calls = [("synchronize_rcu", "tlb_remove_table_sync_rcu.part.0")];
        assert_eq!(count(&entries(1, &calls), 0).map(|counts| counts.rcu_sync), Ok(1));
    }

    #[test]
    fn nothing_traced_counts_nothing_and_what_nobody_asked_for_is_an_error() {
        assert_eq!(count(&[], 0), Ok(Counts::default()));
        assert!(count(&entries(1, &[("do_exit", "x")]), 0).is_err());
    }
}
