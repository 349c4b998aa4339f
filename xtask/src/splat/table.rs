//! The two tables: what announces trouble, and what only looks like it. Data only.
//!
//! Headlines are the kernel's own format strings with `*` for what it fills in. They were compared with Linux 7.2
//! (file and function stand above each row, file alone where the macro has many users). Forms of 6.12 that
//! differ are marked so; `unchecked` means from memory of that version and not compared with its source.

use super::{End, Kind, Row};

/// What die() follows up on.
const FAULTS: &[Kind] = &[Kind::KernelBug, Kind::PageFault, Kind::ProtectionFault, Kind::ListCorruption];

/// The first row that matches wins: particular rows first. A kind may have several rows under one name.
pub static TABLE: &[Row] = &[
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
pub const NOISE: &[(&str, &str)] = &[
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
    // mm/oom_kill.c, dump_header(): order -1 is that of sysrq alone (is_sysrq_oom())
    ("* invoked oom-killer: gfp_mask=*, order=-1, ", "it was asked for, by sysrq"),
    ("Out of memory: Killed process * (oom-victim) ", "the guest test put it up to be killed"),
    // arch/x86/kernel/process.c, select_idle_routine()
    ("process: WARNING: polling idle and HT enabled", "an effect of idle=poll on the command line"),
];

/// Lines that take back the report which they are part of: only there does the kernel say what it was about.
pub const TAKEN_BACK: &[(Kind, &str, &str)] = &[
    // mm/oom_kill.c, __oom_kill_process(), below the dump of dump_header()
    (
        Kind::OutOfMemory,
        "Out of memory: Killed process * (oom-victim) ",
        "the guest test made memory short, and put this one up to be killed",
    ),
];

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
