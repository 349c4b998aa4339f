//! What a kernel prints when something is wrong, as one table. A splat is a headline and the block under it.
//! Pure: one line of text in, at most one headline out.

use std::sync::LazyLock;

use regex::{Regex, RegexSet};
use serde::Serialize;

/// What kind of trouble a headline announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    MightSleep,
    SchedulingWhileAtomic,
    RcuUsage,
    RcuContextSwitch,
    WaitContext,
    Lockdep,
    RcuStall,
    HungTask,
    SoftLockup,
    HardLockup,
    WorkqueueLockup,
    Kasan,
    Kcsan,
    Ubsan,
    Kmemleak,
    BadPage,
    BadPageState,
    RssCounter,
    PageTableBytes,
    IrqRestore,
    ListCorruption,
    DebugObjects,
    Panic,
    KernelBug,
    PageFault,
    ProtectionFault,
    Oops,
    Warning,
    OtherBug,
    OtherInfo,
}

/// The table: a name for people and headers, and the headline. The first row that matches wins, so the general
/// rows stand last; a `BUG:` or `WARNING:` that no row knows is still a splat.
const TABLE: [(Kind, &str, &str); 30] = [
    // kernel/sched/core.c, __might_resched()
    (Kind::MightSleep, "might-sleep", r"^BUG: sleeping function called from invalid context"),
    // kernel/sched/core.c, __schedule_bug()
    (Kind::SchedulingWhileAtomic, "scheduling-while-atomic", r"^BUG: scheduling while atomic"),
    // kernel/locking/lockdep.c, lockdep_rcu_suspicious()
    (
        Kind::RcuUsage,
        "rcu-usage",
        r"^WARNING: suspicious RCU usage|^Illegal (synchronize_rcu|context switch)",
    ),
    // kernel/rcu/tree_plugin.h, rcu_note_context_switch()
    (
        Kind::RcuContextSwitch,
        "rcu-context-switch",
        r"Voluntary context switch within RCU read-side critical section",
    ),
    (Kind::WaitContext, "wait-context", r"^\[ BUG: Invalid wait context \]"),
    (
        Kind::Lockdep,
        "lockdep",
        r"^WARNING: (possible (circular locking|recursive locking|irq lock inversion)|inconsistent lock state|bad unlock balance|held lock freed|lock held when returning|Nested lock was not taken)|^WARNING: .*(-safe|unsafe) lock order|^BUG: (MAX_LOCK|MAX_STACK_TRACE_ENTRIES|held lock freed)|^WARNING: locking bug|^\[ BUG: ",
    ),
    // kernel/rcu/tree_stall.h, tree_exp.h
    (
        Kind::RcuStall,
        "rcu-stall",
        r"detected (expedited )?stalls|self-detected stall on CPU|rcu_\w+ kthread (starved|timer wakeup)",
    ),
    // kernel/hung_task.c; 7.2 may say "is blocked on" in a following line
    (Kind::HungTask, "hung-task", r"^INFO: task .* blocked (for|in I/O wait for) more than \d+ seconds"),
    (Kind::SoftLockup, "soft-lockup", r"BUG: soft lockup"),
    (Kind::HardLockup, "hard-lockup", r"NMI watchdog: Watchdog detected hard LOCKUP|watchdog: .*hard LOCKUP"),
    (Kind::WorkqueueLockup, "workqueue-lockup", r"^BUG: workqueue lockup"),
    (Kind::Kasan, "kasan", r"^BUG: KASAN:"),
    (Kind::Kcsan, "kcsan", r"^BUG: KCSAN:"),
    (Kind::Ubsan, "ubsan", r"^UBSAN:"),
    (Kind::Kmemleak, "kmemleak", r"kmemleak: \d+ new suspected memory leaks"),
    (Kind::BadPageState, "bad-page-state", r"^BUG: Bad page state"),
    (Kind::BadPage, "bad-page", r"^BUG: Bad page (map|cache|table)|^page dumped because"),
    (Kind::RssCounter, "rss-counter", r"^BUG: Bad rss-counter state"),
    (Kind::PageTableBytes, "pgtables-bytes", r"^BUG: non-zero pgtables_bytes on freeing mm"),
    (Kind::IrqRestore, "irq-restore", r"raw_local_irq_restore\(\) called with IRQs enabled"),
    (Kind::ListCorruption, "list-corruption", r"^list_(add|del) corruption"),
    (Kind::DebugObjects, "debug-objects", r"^ODEBUG:"),
    (Kind::Panic, "panic", r"Kernel panic - not syncing"),
    (Kind::KernelBug, "kernel-bug", r"^kernel BUG at"),
    (Kind::PageFault, "page-fault", r"^BUG: (unable to handle|kernel NULL pointer)|^Unable to handle kernel"),
    (Kind::ProtectionFault, "protection-fault", r"general protection fault|^stack segment|^double fault"),
    (Kind::Oops, "oops", r"^Oops\b|^Internal error: Oops"),
    // 7.2 says `WARNING: FILE:LINE at FUNC`, 6.12 `WARNING: CPU: n PID: m at FILE:LINE FUNC`.
    (Kind::Warning, "warning", r"^WARNING:"),
    (Kind::OtherBug, "other-bug", r"^BUG:|^\[ *BUG"),
    (Kind::OtherInfo, "other-info", r"^INFO: (possible|inconsistent|suspicious|trying to register)"),
];

static HEADLINES: LazyLock<RegexSet> = LazyLock::new(|| {
    #[expect(clippy::unwrap_used, reason = "a constant table; every_row_compiles would fail first")]
    RegexSet::new(TABLE.map(|(_, _, pattern)| pattern)).unwrap()
});

static LOCATION: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::unwrap_used, reason = "a constant")]
    Regex::new(r"(?:at |context at )((?:[\w.+-]+/)+[\w.+-]+\.[chS]):(\d+)|WARNING: ((?:[\w.+-]+/)+[\w.+-]+\.[chS]):(\d+)")
        .unwrap()
});

impl Kind {
    /// The name used in reports and in the headers of controls.
    pub fn name(self) -> &'static str {
        TABLE.iter().find(|(kind, _, _)| *kind == self).map_or("unknown", |(_, name, _)| name)
    }

    pub fn from_name(name: &str) -> Option<Kind> {
        TABLE.iter().find(|(_, known, _)| *known == name).map(|(kind, _, _)| *kind)
    }

    pub fn all_names() -> Vec<&'static str> {
        TABLE.iter().map(|(_, name, _)| *name).collect()
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The kind of trouble that `text` (a console line without its prefix) announces, if any.
pub fn headline(text: &str) -> Option<Kind> {
    HEADLINES.matches(text).iter().next().map(|row| TABLE[row].0)
}

/// The source place a headline names.
pub fn location(text: &str) -> Option<(String, u32)> {
    let found = LOCATION.captures(text)?;
    let file = found.get(1).or_else(|| found.get(3))?.as_str().to_owned();
    let line = found.get(2).or_else(|| found.get(4))?.as_str().parse().ok()?;
    Some((file, line))
}

/// The last line of a block.
pub fn ends_block(text: &str) -> bool {
    text.trim() == "</TASK>" || text.starts_with("---[ end ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_compiles_and_has_a_name_of_its_own() {
        let mut names = Kind::all_names();
        assert!(HEADLINES.len() == TABLE.len());
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
        for (kind, name, _) in TABLE {
            assert_eq!(Kind::from_name(name), Some(kind));
        }
    }

    #[test]
    fn headlines_of_both_kernel_lines_are_known() {
        for (text, kind) in [
            ("BUG: sleeping function called from invalid context at mm/mmu_gather.c:315", Kind::MightSleep),
            ("BUG: scheduling while atomic: scenarios/43/0x00000002", Kind::SchedulingWhileAtomic),
            ("WARNING: suspicious RCU usage", Kind::RcuUsage),
            ("Illegal synchronize_rcu() in RCU read-side critical section!", Kind::RcuUsage),
            ("[ BUG: Invalid wait context ]", Kind::WaitContext),
            ("[ BUG: bad unlock balance detected! ]", Kind::Lockdep),
            ("rcu: INFO: rcu_preempt self-detected stall on CPU", Kind::RcuStall),
            ("rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: {", Kind::RcuStall),
            ("INFO: task init:1 blocked for more than 120 seconds.", Kind::HungTask),
            ("watchdog: BUG: soft lockup - CPU#0 stuck for 22s!", Kind::SoftLockup),
            ("BUG: Bad page state in process x  pfn:1234", Kind::BadPageState),
            ("BUG: non-zero pgtables_bytes on freeing mm: 4096", Kind::PageTableBytes),
            ("Kernel panic - not syncing: Attempted to kill init!", Kind::Panic),
            ("WARNING: mm/x.c:12 at f+0x1/0x2, CPU#1: a/1", Kind::Warning),
            ("WARNING: CPU: 0 PID: 1 at mm/x.c:12 f+0x1/0x2", Kind::Warning),
            ("BUG: something nobody has seen before", Kind::OtherBug),
        ] {
            assert_eq!(headline(text), Some(kind), "{text}");
        }
    }

    #[test]
    fn ordinary_lines_are_no_headlines() {
        for text in [
            "Call Trace:",
            "in_atomic(): 1",
            "Linux version 7.2.12",
            "lockdep: debugging is on",
            "PM: BUG free",
        ] {
            assert_eq!(headline(text), None, "{text}");
        }
    }

    #[test]
    fn the_place_is_read_from_the_headline() {
        let at = |text| location(text).map(|(file, line)| format!("{file}:{line}"));
        assert_eq!(
            at("BUG: sleeping function called from invalid context at mm/mmu_gather.c:315").as_deref(),
            Some("mm/mmu_gather.c:315")
        );
        assert_eq!(at("WARNING: mm/x.c:12 at f+0x1, CPU#1: a/1").as_deref(), Some("mm/x.c:12"));
        assert_eq!(at("WARNING: CPU: 0 PID: 1 at mm/x.c:12 f").as_deref(), Some("mm/x.c:12"));
        assert_eq!(at("BUG: scheduling while atomic: a/1/2"), None);
    }
}
