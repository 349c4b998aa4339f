//! What a kernel prints when something is wrong, as one table: kind, headlines, and where the block below ends.
//! A second table names the lines that look like trouble and are not. Pure: one line of text in, at most one row
//! out.
//!
//! Headlines are the kernel's own format strings with `*` for what it fills in. They were compared with Linux 7.2
//! (file and function stand above each row, file alone where the macro has many users). Forms of 6.12 that
//! differ are marked so; `unchecked` means from memory of that version and not compared with its source.

use std::sync::LazyLock;

use serde::Serialize;

/// What kind of trouble a headline announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    MightSleep,
    SchedulingWhileAtomic,
    ContextAssumption,
    SmpProcessorId,
    RcuUsage,
    RcuContextSwitch,
    WaitContext,
    Lockdep,
    Spinlock,
    RcuStall,
    HungTask,
    SoftLockup,
    HardLockup,
    WorkqueueLockup,
    CsdLock,
    Kasan,
    Kcsan,
    Kmsan,
    Kfence,
    Ubsan,
    Kmemleak,
    Slab,
    BadPage,
    BadPageState,
    RssCounter,
    PageTableBytes,
    IrqRestore,
    ListCorruption,
    DebugObjects,
    OutOfMemory,
    UserFault,
    MessagesDropped,
    Panic,
    KernelBug,
    PageFault,
    ProtectionFault,
    Oops,
    CutHere,
    Warning,
    OtherBug,
    OtherInfo,
}

/// The last line of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The headline is all there is.
    Headline,
    /// `</TASK>`, below the last stack that dump_stack() or show_regs() prints (x86; elsewhere nothing marks it).
    Stack,
    /// `---[ end trace 0000000000000000 ]---` or `---[ end trace ]---`.
    TraceMark,
    /// A line of `=`.
    Rule,
    /// `---[ end Kernel panic - not syncing: … ]---`.
    PanicMark,
    /// Nothing marks it: it ends where the thread's next headline starts.
    Unmarked,
}

/// One kind of report.
#[derive(Debug)]
pub struct Row {
    pub kind: Kind,
    /// Used in reports and in the headers of controls.
    pub name: &'static str,
    /// `*` stands for any text; the end is open. Without a leading `*` the line starts so.
    headlines: &'static [&'static str],
    pub end: End,
    /// Inside a block of one of these kinds the line is part of it and no report of its own.
    pub part_of: &'static [Kind],
    /// Inside a block of one of these kinds the line says what that block is about.
    pub renames: &'static [Kind],
}

const fn row(kind: Kind, name: &'static str, end: End, headlines: &'static [&'static str]) -> Row {
    Row { kind, name, headlines, end, part_of: &[], renames: &[Kind::CutHere] }
}

impl Row {
    const fn part_of(mut self, kinds: &'static [Kind]) -> Row {
        self.part_of = kinds;
        self
    }

    /// The message of a WARN(), which stands above its headline or, in 7.2's __warn(), below.
    const fn message_of_a_warning(mut self) -> Row {
        self.renames = &[Kind::CutHere, Kind::Warning];
        self
    }
}

/// What die() follows up on.
const FAULTS: &[Kind] = &[Kind::KernelBug, Kind::PageFault, Kind::ProtectionFault, Kind::ListCorruption];

/// The first row that matches wins: particular rows first. A kind may have several rows under one name.
static TABLE: &[Row] = &[
    // kernel/sched/core.c, __might_resched()
    row(
        Kind::MightSleep,
        "might-sleep",
        End::Stack,
        &["BUG: sleeping function called from invalid context at "],
    ),
    // kernel/sched/core.c, __schedule_bug()
    row(
        Kind::SchedulingWhileAtomic,
        "scheduling-while-atomic",
        End::Stack,
        &["BUG: scheduling while atomic: "],
    ),
    // kernel/sched/core.c, schedule_debug(), __cant_sleep(), __cant_migrate()
    row(
        Kind::ContextAssumption,
        "context-assumption",
        End::Stack,
        &[
            "BUG: scheduling in a non-blocking section: ",
            "BUG: assuming atomic context at ",
            "BUG: assuming non migratable context at ",
        ],
    ),
    // lib/smp_processor_id.c, check_preemption_disabled()
    row(Kind::SmpProcessorId, "smp-processor-id", End::Stack, &["BUG: using * in preemptible ["]),
    // kernel/locking/lockdep.c, lockdep_rcu_suspicious(): the headline, then `FILE:LINE MESSAGE!`, then one stack.
    row(Kind::RcuUsage, "rcu-usage", End::Stack, &["WARNING: suspicious RCU usage"]),
    // The messages of RCU_LOCKDEP_WARN() in kernel/rcu/*.c and include/linux/rcupdate.h; a report of its own only
    // when the headline was lost.
    row(Kind::RcuUsage, "rcu-usage", End::Stack, &["*:* Illegal *RCU*", "Illegal *RCU*"])
        .part_of(&[Kind::RcuUsage]),
    // kernel/rcu/tree_plugin.h, rcu_note_context_switch()
    row(
        Kind::RcuContextSwitch,
        "rcu-context-switch",
        End::TraceMark,
        &["Voluntary context switch within RCU read-side critical section!"],
    )
    .message_of_a_warning(),
    // kernel/locking/lockdep.c, print_lock_invalid_wait_context()
    row(Kind::WaitContext, "wait-context", End::Stack, &["[ BUG: Invalid wait context ]"]),
    // kernel/locking/lockdep.c, the print_…() functions; `[ BUG: ` is the older form of several of them.
    row(
        Kind::Lockdep,
        "lockdep",
        End::Stack,
        &[
            "WARNING: possible circular locking dependency detected",
            "WARNING: possible recursive locking detected",
            "WARNING: possible irq lock inversion dependency detected",
            "WARNING: *-safe -> *-unsafe lock order detected",
            "WARNING: inconsistent lock state",
            "WARNING: bad unlock balance detected!",
            "WARNING: bad contention detected!",
            "WARNING: held lock freed!",
            "WARNING: lock held when returning to user space!",
            "WARNING: Nested lock was not taken",
            "WARNING: chain_key collision",
            "WARNING: * still has locks held!",
            "INFO: trying to register non-static key.",
            "BUG: MAX_LOCK",
            "BUG: MAX_STACK_TRACE_ENTRIES too low!",
            "BUG: looking up invalid subclass: ",
            "BUG: key * has not been registered!",
            "[ BUG: ",
        ],
    ),
    // kernel/locking/spinlock_debug.c, spin_dump(), rwlock_bug()
    row(Kind::Spinlock, "spinlock", End::Stack, &["BUG: spinlock ", "BUG: rwlock "]),
    // kernel/rcu/tree_stall.h, print_other_cpu_stall(), print_cpu_stall(); tree_exp.h,
    // synchronize_rcu_expedited_stall(); tasks.h, check_holdout_task(). Stacks of several CPUs follow.
    row(
        Kind::RcuStall,
        "rcu-stall",
        End::Unmarked,
        &[
            "*INFO: * detected stall",
            "*INFO: * detected expedited stalls",
            "*INFO: * self-detected stall on CPU",
        ],
    ),
    // The same report goes on: kernel/rcu/tree_stall.h, rcu_check_gp_kthread_starvation(),
    // rcu_check_gp_kthread_expired_fqs_timer(), rcu_dump_cpu_stacks()
    row(
        Kind::RcuStall,
        "rcu-stall",
        End::Unmarked,
        &[
            "rcu: * kthread starved for * jiffies!",
            "rcu: * kthread timer wakeup didn't happen for ",
            "rcu: INFO: Stall ended ",
            "rcu: INFO: Expedited stall ended ",
        ],
    )
    .part_of(&[Kind::RcuStall]),
    // kernel/hung_task.c, hung_task_info(); 6.12: check_hung_task(), without `in I/O wait` (seen in public patches).
    row(Kind::HungTask, "hung-task", End::Unmarked, &["INFO: task *:* blocked* for more than * seconds."]),
    // kernel/hung_task.c, debug_show_blocker() (not in 6.12)
    row(
        Kind::HungTask,
        "hung-task",
        End::Unmarked,
        &["INFO: task *:* blocked on a", "INFO: task *:* is blocked on a"],
    )
    .part_of(&[Kind::HungTask]),
    // kernel/watchdog.c, watchdog_timer_fn()
    row(
        Kind::SoftLockup,
        "soft-lockup",
        End::Stack,
        &["watchdog: BUG: soft lockup - CPU#", "BUG: soft lockup"],
    ),
    // kernel/watchdog.c, watchdog_hardlockup_check(): 7.2 `watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 0`,
    // 6.12 without `CPU1: ` (seen in public logs); arch/powerpc/kernel/watchdog.c says `Hard LOCKUP`.
    row(
        Kind::HardLockup,
        "hard-lockup",
        End::Stack,
        &["watchdog: * hard LOCKUP", "watchdog: * Hard LOCKUP", "NMI watchdog: * hard LOCKUP"],
    ),
    // kernel/workqueue.c, wq_watchdog_timer_fn()
    row(Kind::WorkqueueLockup, "workqueue-lockup", End::Unmarked, &["BUG: workqueue lockup - pool"]),
    // kernel/smp.c, csd_lock_wait_toolong()
    row(Kind::CsdLock, "csd-lock", End::Stack, &["smp: csd: * non-responsive CSD lock "]),
    // mm/kasan/report.c, print_error_description(), kasan_report_async()
    row(Kind::Kasan, "kasan", End::Rule, &["BUG: KASAN: "]),
    // mm/kasan/report.c, kasan_non_canonical_hook(): explains the fault above it.
    row(Kind::Kasan, "kasan", End::Headline, &["KASAN: "]).part_of(&[
        Kind::PageFault,
        Kind::ProtectionFault,
        Kind::Oops,
    ]),
    // kernel/kcsan/report.c, print_report()
    row(Kind::Kcsan, "kcsan", End::Rule, &["BUG: KCSAN: "]),
    // mm/kmsan/report.c, kmsan_report()
    row(Kind::Kmsan, "kmsan", End::Rule, &["BUG: KMSAN: "]),
    // mm/kfence/report.c, kfence_report_error()
    row(Kind::Kfence, "kfence", End::Rule, &["BUG: KFENCE: "]),
    // lib/ubsan.c, ubsan_prologue()
    row(Kind::Ubsan, "ubsan", End::TraceMark, &["UBSAN: "]),
    // mm/kmemleak.c, kmemleak_scan()
    row(Kind::Kmemleak, "kmemleak", End::Headline, &["kmemleak: * new suspected memory leaks "]),
    // mm/slub.c, __slab_bug()
    row(Kind::Slab, "slab", End::Stack, &["BUG * (*): "]),
    // mm/page_alloc.c, bad_page()
    row(Kind::BadPageState, "bad-page-state", End::Stack, &["BUG: Bad page state"]),
    // mm/memory.c, print_bad_page_map(), is_bad_page_map_ratelimited(); mm/filemap.c, filemap_unaccount_folio()
    row(Kind::BadPage, "bad-page", End::Stack, &["BUG: Bad page "]),
    // mm/debug.c, dump_page()
    row(Kind::BadPage, "bad-page", End::Headline, &["page dumped because: "]).part_of(&[
        Kind::BadPageState,
        Kind::BadPage,
        Kind::Kasan,
    ]),
    // kernel/fork.c, check_mm()
    row(Kind::RssCounter, "rss-counter", End::Headline, &["BUG: Bad rss-counter state "]),
    row(
        Kind::PageTableBytes,
        "pgtables-bytes",
        End::Headline,
        &["BUG: non-zero pgtables_bytes on freeing mm: "],
    ),
    // kernel/locking/irqflag-debug.c, warn_bogus_irq_restore()
    row(
        Kind::IrqRestore,
        "irq-restore",
        End::TraceMark,
        &["raw_local_irq_restore() called with IRQs enabled"],
    )
    .message_of_a_warning(),
    // lib/list_debug.c, __list_add_valid_or_report(), __list_del_entry_valid_or_report()
    row(
        Kind::ListCorruption,
        "list-corruption",
        End::TraceMark,
        &["list_add corruption", "list_del corruption"],
    )
    .message_of_a_warning(),
    // lib/debugobjects.c, debug_print_object()
    row(Kind::DebugObjects, "debug-objects", End::TraceMark, &["ODEBUG: "]).message_of_a_warning(),
    // mm/oom_kill.c, dump_header(), __oom_kill_process()
    row(Kind::OutOfMemory, "out-of-memory", End::Unmarked, &["* invoked oom-killer: "]),
    row(
        Kind::OutOfMemory,
        "out-of-memory",
        End::Headline,
        &["Out of memory*: Killed process ", "Memory cgroup out of memory*: Killed process "],
    )
    .part_of(&[Kind::OutOfMemory]),
    // A scenario that crashes is evidence: its page tables may have gone under its feet. arch/x86/mm/fault.c,
    // show_signal_msg(); arch/x86/kernel/traps.c, show_signal(); arch/riscv/kernel/traps.c, do_trap();
    // arch/powerpc/kernel/traps.c, show_signal_msg()
    row(
        Kind::UserFault,
        "user-fault",
        End::Headline,
        &["*[*]: segfault ", "*[*]: unhandled signal ", "traps: *[*] * ip:* sp:"],
    ),
    // kernel/printk/printk.c, console_prepend_dropped(): what was lost may have been a report.
    row(Kind::MessagesDropped, "messages-dropped", End::Headline, &["** * printk messages dropped **"]),
    // kernel/panic.c, vpanic()
    row(Kind::Panic, "panic", End::PanicMark, &["Kernel panic - not syncing"]),
    // lib/bug.c, __report_bug(); arch/*/kernel/traps.c
    row(Kind::KernelBug, "kernel-bug", End::TraceMark, &["kernel BUG at "])
        .part_of(&[Kind::ListCorruption, Kind::KernelBug]),
    // arch/x86/mm/fault.c, show_fault_oops(); arch/x86/kernel/traps.c, handle_stack_overflow();
    // arch/powerpc/mm/fault.c, bad_page_fault(); arch/riscv/mm/fault.c and arm64's, die_kernel_fault()
    row(
        Kind::PageFault,
        "page-fault",
        End::TraceMark,
        &[
            "BUG: kernel NULL pointer dereference",
            "BUG: unable to handle ",
            "BUG: Kernel NULL pointer dereference",
            "BUG: Unable to handle ",
            "BUG: * stack guard page was hit at ",
            "Unable to handle kernel ",
        ],
    ),
    // arch/x86/kernel/traps.c, exc_general_protection(), exc_double_fault(), exc_stack_segment(); before 6.10
    // without `Oops: ` (unchecked)
    row(
        Kind::ProtectionFault,
        "protection-fault",
        End::TraceMark,
        &[
            "Oops: general protection fault",
            "Oops: stack segment",
            "Oops: double fault",
            "general protection fault",
            "stack segment: ",
            "double fault: ",
            "traps: PANIC: double fault",
            "PANIC: double fault",
        ],
    )
    .part_of(&[Kind::ProtectionFault]),
    // arch/x86/kernel/dumpstack.c, __die_header(); arch/powerpc/kernel/traps.c, __die(); arch/riscv/kernel/traps.c,
    // die(); arm64: `Internal error: Oops: 96000004 [#1]` (unchecked)
    row(Kind::Oops, "oops", End::TraceMark, &["Oops", "Internal error: "]).part_of(FAULTS),
    // kernel/panic.c, __warn(): 7.2 `WARNING: FILE:LINE at SYMBOL, CPU#n: comm/pid`, or without DEBUG_BUGVERBOSE
    // `WARNING: at SYMBOL, …`; 6.12 `WARNING: CPU: n PID: m at FILE:LINE SYMBOL` (seen in public logs).
    row(
        Kind::Warning,
        "warning",
        End::TraceMark,
        &["WARNING: at ", "WARNING: *:* at ", "WARNING: CPU: * PID: * at "],
    )
    .part_of(&[Kind::IrqRestore, Kind::RcuContextSwitch, Kind::ListCorruption, Kind::DebugObjects]),
    // include/asm-generic/bug.h, CUT_HERE: the next headline says what it is; a cut without one is trouble too.
    Row {
        renames: &[],
        ..row(Kind::CutHere, "cut-here", End::TraceMark, &["------------[ cut here ]------------"])
    },
    // Unknown trouble is trouble.
    row(Kind::Warning, "warning", End::Stack, &["WARNING:", "*: WARNING: "]),
    row(Kind::OtherBug, "other-bug", End::Stack, &["BUG:", "*: BUG: "]),
    row(Kind::OtherInfo, "other-info", End::Stack, &["INFO: ", "*: INFO: "]),
];

/// Lines that some row matches and that are no trouble, each with the reason. Nothing else is forgiven.
const NOISE: &[(&str, &str)] = &[
    // kernel/locking/lockdep.c, debug_show_held_locks()
    (
        "INFO: lockdep is turned off.",
        "a line inside other reports: lockdep has spoken before, and that was counted",
    ),
    // arch/x86/kernel/nmi.c, nmi_check_duration()
    ("INFO: NMI handler (*) took too long to run: ", "time as an emulated machine measures it"),
    // arch/x86/kernel/cpu/bugs.c: what the emulated CPU model lacks says nothing about a patch
    ("RETBleed: WARNING: ", "a mitigation that this CPU model cannot have"),
    ("Spectre V2 : WARNING: ", "a mitigation that this CPU model cannot have"),
    ("ITS: WARNING: ", "a mitigation that this CPU model cannot have"),
    ("Speculative Return Stack Overflow: WARNING: ", "a mitigation that this CPU model cannot have"),
    // arch/x86/kernel/process.c, select_idle_routine()
    ("process: WARNING: polling idle and HT enabled", "an effect of idle=poll on the command line"),
];

impl Kind {
    pub fn name(self) -> &'static str {
        TABLE.iter().find(|row| row.kind == self).map_or("unknown", |row| row.name)
    }

    pub fn from_name(name: &str) -> Option<Kind> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.kind)
    }

    /// Every name once, in the order of the table.
    pub fn all_names() -> Vec<&'static str> {
        let mut names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(*name));
        names
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The row of the trouble that `text` (a console line without its prefix) announces, if any.
pub fn headline(text: &str) -> Option<&'static Row> {
    let first = usize::from(*text.as_bytes().first()?);
    let row = PATTERNS[first].iter().find(|(pattern, _)| pattern.matches(text))?.1;
    let noise = NOISE.iter().any(|(pattern, _)| Pattern::new(pattern).matches(text));
    (!noise).then_some(row)
}

/// The source place that a line names: `FILE:LINE` or `FILE:LINE:COLUMN`, as a word of its own.
pub fn location(text: &str) -> Option<(String, u32)> {
    text.split([' ', '!', ',']).find_map(|word| {
        let mut parts = word.split(':');
        let (file, line) = (parts.next()?, parts.next()?);
        let source = file.contains('/') && [".c", ".h", ".S", ".rs"].iter().any(|end| file.ends_with(end));
        if source { Some((file.trim_start_matches("./").to_owned(), line.parse().ok()?)) } else { None }
    })
}

impl End {
    /// Whether `text` is the last line of a block that ends so.
    pub fn is_at(self, text: &str) -> bool {
        match self {
            End::Headline => true,
            End::Stack => text.trim() == "</TASK>",
            End::TraceMark => text.starts_with("---[ end trace"),
            End::Rule => text.len() > 40 && text.bytes().all(|byte| byte == b'='),
            End::PanicMark => text.starts_with("---[ end Kernel panic"),
            End::Unmarked => false,
        }
    }
}

/// The rows that a line can match, by its first byte: most lines are ordinary, and most bytes start no headline.
static PATTERNS: LazyLock<Vec<Vec<(Pattern, &'static Row)>>> = LazyLock::new(|| {
    let starts_with =
        |pattern: &Pattern, first: u8| pattern.start.as_bytes().first().is_none_or(|&byte| byte == first);
    let all = || TABLE.iter().flat_map(|row| row.headlines.iter().map(move |text| (Pattern::new(text), row)));
    (0..=u8::MAX).map(|first| all().filter(|(pattern, _)| starts_with(pattern, first)).collect()).collect()
});

/// A headline taken apart at its `*`.
struct Pattern {
    start: &'static str,
    rest: Vec<&'static str>,
}

impl Pattern {
    fn new(text: &'static str) -> Pattern {
        let mut parts = text.split('*');
        Pattern { start: parts.next().unwrap_or_default(), rest: parts.collect() }
    }

    fn matches(&self, text: &str) -> bool {
        let Some(mut left) = text.strip_prefix(self.start) else { return false };
        for part in &self.rest {
            let Some((_, after)) = left.split_once(part) else { return false };
            left = after;
        }
        true
    }
}

#[cfg(test)]
mod tests;
