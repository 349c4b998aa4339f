//! Reads the text of a tracefs `trace` file and counts in it what the fallback did. Pure.

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

/// What is known while going through the events: the counts so far, and the tasks whose current call of
/// `tlb_remove_table` has synchronised with walkers.
#[derive(Default)]
struct Account<'a> {
    counts: Counts,
    synced: BTreeSet<&'a str>,
}

/// Counts the events of `text`; IPIs only to CPUs that are `bystander`s.
///
/// # Errors
/// A line that is neither a comment, nor a notice of lost events, nor an event: fail closed.
pub fn count(text: &str, bystander: impl Fn(u32) -> bool) -> Result<Counts, String> {
    let mut account = Account::default();
    for line in text.lines() {
        if line.trim().is_empty() || line.starts_with('#') || is_lost_notice(line) {
            continue;
        }
        let (task, body) = event(line).ok_or_else(|| format!("not a trace line: {line:?}"))?;
        let known = match body.split_once(" <-") {
            Some((function, caller)) => account.call(task, function, base_name(caller)),
            None => count_event(body, &bystander, &mut account.counts),
        };
        known.ok_or_else(|| format!("not an event this test asked for: {line:?}"))?;
    }
    Ok(account.counts)
}

impl<'a> Account<'a> {
    /// `task` enters `function` from `caller`. Events of one task are in the order in which it made them.
    fn call(&mut self, task: &'a str, function: &str, caller: &str) -> Option<()> {
        let of_the_path = CALLERS.contains(&caller);
        match function {
            "tlb_remove_table" => {
                self.synced.remove(task);
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
                self.counts.unsynced_frees += u64::from(!self.synced.contains(task));
            }
            "smp_call_function" | "synchronize_rcu" | "synchronize_rcu_expedited" => {}
            free if FREES.contains(&free) => {}
            _ => return None,
        }
        Some(())
    }

    /// `synchronize_rcu` made itself an expedited one, in a task that called it from the path.
    fn is_inside_sync(&self, task: &str, caller: &str) -> bool {
        caller == "synchronize_rcu" && self.synced.contains(task)
    }
}

fn count_event(body: &str, bystander: impl Fn(u32) -> bool, counts: &mut Counts) -> Option<()> {
    let (event, fields) = body.split_once(": ")?;
    let function = base_name(field(fields, "func")?);
    match event {
        "csd_queue_cpu" => {
            let target: u32 = field(fields, "cpu")?.parse().ok()?;
            counts.bystander_ipis += u64::from(function == BROADCAST_CALLBACK && bystander(target));
        }
        "rcu_invoke_callback" => counts.call_rcu += u64::from(function == TABLE_CALLBACK),
        _ => return None,
    }
    Some(())
}

/// `comm-pid` and what follows `comm-pid [cpu] flags seconds.micros: `. A comm may hold spaces and brackets, so
/// the first place where all of this fits is taken, not the first bracket.
fn event(line: &str) -> Option<(&str, &str)> {
    line.match_indices(" [").find_map(|(at, _)| Some((line[..at].trim(), body_after_cpu(&line[at + 2..])?)))
}

fn body_after_cpu(rest: &str) -> Option<&str> {
    let (cpu, rest) = rest.split_once("] ")?;
    let (flags, rest) = rest.trim_start().split_once(' ')?;
    let (time, body) = rest.trim_start().split_once(": ")?;
    let (seconds, micros) = time.split_once('.')?;
    let digits = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let sound = digits(cpu) && flags.len() >= 4 && digits(seconds) && digits(micros);
    sound.then_some(body)
}

/// `CPU:1 [LOST 42 EVENTS]`; how many were lost is read from the buffer's stats.
fn is_lost_notice(line: &str) -> bool {
    line.starts_with("CPU:") && line.contains("[LOST") && line.ends_with("EVENTS]")
}

fn field<'a>(fields: &'a str, name: &str) -> Option<&'a str> {
    fields.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// A function's name without a compiler's suffix (`.constprop.0`, `.part.0`) or a module's `[name]`.
fn base_name(symbol: &str) -> &str {
    symbol.split(['.', ' ']).next().unwrap_or(symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str, victim: u32) -> Result<Counts, String> {
        super::count(text, |cpu| cpu != victim)
    }

    const HEADER: &str = "# tracer: function\n#\n# entries-in-buffer/entries-written: 4/4   #P:4\n#\n\
                          #           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n";

    fn count_lines(lines: &[&str]) -> Result<Counts, String> {
        count(&format!("{HEADER}{}\n", lines.join("\n")), 0)
    }

    #[test]
    fn each_mechanism_is_counted_by_its_own_event() {
        let counts = count_lines(&[
            "       scenarios-60      [000] .....     1.234567: smp_call_function <-tlb_remove_table",
            "       scenarios-60      [000] d..2.     1.234570: csd_queue_cpu: cpu=1 callsite=smp_call_function_many_cond+0x1a0/0x560 func=tlb_remove_table_smp_sync csd=00000000a1b2c3d4",
            "       scenarios-60      [000] d..2.     1.234571: csd_queue_cpu: cpu=2 callsite=smp_call_function_many_cond+0x1a0/0x560 func=tlb_remove_table_smp_sync csd=00000000a1b2c3d5",
            "       scenarios-60      [000] .....     1.234599: synchronize_rcu <-tlb_remove_table",
            "          <idle>-0       [003] ..s1.     1.300000: rcu_invoke_callback: rcu_preempt rhp=00000000deadbeef func=__tlb_remove_table_one_rcu",
        ]);
        let expected = Counts { ipi: 1, bystander_ipis: 2, rcu_sync: 1, call_rcu: 1, ..Counts::default() };
        assert_eq!(counts, Ok(expected));
    }

    /// The trace of task `task` entering these functions, each given as `function <-caller`.
    fn entries(task: &str, calls: &[&str]) -> String {
        let line = |call: &&str| format!("  {task} [000] ..... 1.2: {call}\n");
        calls.iter().map(line).collect()
    }

    const ENTER: &str = "tlb_remove_table <-free_pgd_range";
    const SYNC: &str = "synchronize_rcu <-tlb_remove_table";
    const BROADCAST: &str = "smp_call_function <-tlb_remove_table";
    const FREE: &str = "__free_pages <-tlb_remove_table";

    #[test]
    fn a_table_freed_after_a_grace_period_or_a_broadcast_is_synced() {
        for sync in [SYNC, BROADCAST, "synchronize_rcu_expedited <-tlb_remove_table"] {
            let counts = count(&entries("a-1", &[ENTER, sync, FREE, ENTER, sync, FREE]), 0).unwrap();
            assert_eq!((counts.direct_frees, counts.unsynced_frees), (2, 0), "{sync}");
        }
    }

    #[test]
    fn a_table_freed_before_the_grace_period_is_not_synced_even_where_the_counts_agree() {
        let calls = [ENTER, FREE, SYNC].repeat(3);
        let counts = count(&entries("a-1", &calls), 0).unwrap();
        assert_eq!((counts.rcu_sync, counts.direct_frees, counts.unsynced_frees), (3, 3, 3));
    }

    #[test]
    fn a_grace_period_of_another_task_or_of_another_caller_protects_nothing() {
        let other = entries("b-2", &[ENTER, SYNC]);
        let elsewhere = entries("a-1", &[ENTER, "synchronize_rcu <-ftrace_shutdown", FREE]);
        assert_eq!(count(&format!("{other}{elsewhere}"), 0).map(|counts| counts.unsynced_frees), Ok(1));
        let between = [entries("a-1", &[ENTER, SYNC]), entries("b-2", &[ENTER]), entries("a-1", &[FREE])];
        assert_eq!(count(&between.concat(), 0).map(|counts| counts.unsynced_frees), Ok(0));
    }

    #[test]
    fn every_architectures_way_to_free_a_table_counts() {
        for free in FREES {
            let call = format!("{free} <-tlb_remove_table");
            let counts = count(&entries("a-1", &[ENTER, SYNC, &call]), 0).unwrap();
            assert_eq!((counts.direct_frees, counts.unsynced_frees), (1, 0), "{free}");
        }
    }

    #[test]
    fn pages_freed_elsewhere_are_not_the_fallbacks() {
        let text = entries("a-1", &["__free_pages <-tlb_remove_table_rcu", "__free_pages <-tlb_finish_mmu"]);
        assert_eq!(count(&text, 0), Ok(Counts::default()));
    }

    #[test]
    fn an_expedited_grace_period_is_seen_inside_an_ordinary_one() {
        let counts = count(&entries("a-1", &[SYNC, "synchronize_rcu_expedited <-synchronize_rcu"]), 0);
        assert_eq!(counts.map(|counts| (counts.rcu_sync, counts.expedited)), Ok((1, 1)));
        for caller in ["synchronize_rcu", "synchronize_net"] {
            let call = format!("synchronize_rcu_expedited <-{caller}");
            assert_eq!(count(&entries("a-1", &[&call]), 0).map(|counts| counts.expedited), Ok(0));
        }
    }

    #[test]
    fn the_same_calls_from_elsewhere_do_not_count() {
        let counts = count_lines(&[
            "     kworker/0:1-12      [000] .....     1.234567: smp_call_function <-on_each_cpu_cond_mask",
            "     kworker/0:1-12      [000] .....     1.234568: synchronize_rcu <-ftrace_shutdown",
            "     kworker/0:1-12      [000] d..2.     1.234570: csd_queue_cpu: cpu=1 callsite=x+0x1/0x2 func=flush_tlb_func csd=00000000a1b2c3d4",
            "          <idle>-0       [003] ..s1.     1.300000: rcu_invoke_callback: rcu_preempt rhp=00000000deadbeef func=tlb_remove_table_rcu",
        ]);
        assert_eq!(counts, Ok(Counts::default()));
    }

    #[test]
    fn a_broadcast_to_the_victims_own_cpu_is_no_bystander_ipi() {
        let line = "  a-1 [001] d..2. 1.2: csd_queue_cpu: cpu=0 callsite=x+0x1/0x2 func=tlb_remove_table_smp_sync csd=0";
        assert_eq!(count(line, 0).map(|counts| counts.bystander_ipis), Ok(0));
        assert_eq!(count(line, 1).map(|counts| counts.bystander_ipis), Ok(1));
    }

    #[test]
    fn a_compilers_suffix_does_not_hide_a_caller() {
        let line = "  a-1 [001] ..... 1.2: synchronize_rcu <-tlb_remove_table_sync_rcu.part.0";
        assert_eq!(count(line, 0).map(|counts| counts.rcu_sync), Ok(1));
    }

    #[test]
    fn a_comm_may_hold_spaces_and_brackets() {
        for comm in ["my test", "a [000] b", "x [001]", "[003] d..2. 1.5"] {
            let line = format!("  {comm}-77      [002] ..... 12.000001: synchronize_rcu <-tlb_remove_table");
            assert_eq!(count(&line, 0).map(|counts| counts.rcu_sync), Ok(1), "{comm}");
        }
    }

    #[test]
    fn a_notice_of_lost_events_is_not_an_event() {
        assert_eq!(count("CPU:1 [LOST 42 EVENTS]\nCPU:0 [LOST EVENTS]\n", 0), Ok(Counts::default()));
    }

    #[test]
    fn an_empty_buffer_counts_nothing() {
        assert_eq!(count_lines(&[]), Ok(Counts::default()));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for line in [
            "garbage",
            "  a-1 [001] ..... 1.2: do_exit <-x",
            "  a-1 [001] ..... 1.2: csd_queue_cpu: cpu=x func=tlb_remove_table_smp_sync",
            "  a-1 [001] ..... 1.2: csd_queue_cpu: cpu=1 callsite=x+0x1/0x2",
            "  a-1 [001] ..... 1.2: sched_switch: func=x",
            "  a-1 [001] ..... soon: synchronize_rcu <-tlb_remove_table",
        ] {
            assert!(count(line, 0).is_err(), "{line}");
        }
    }
}
