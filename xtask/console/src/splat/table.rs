//! The two tables: what announces trouble, and what only looks like it. Data only.
//!
//! Headlines are the kernel's own format strings with `*` for what it fills in. They were compared with Linux 7.2
//! (file and function stand above each row, file alone where the macro has many users). Forms of 6.12 that
//! differ are marked so; `unchecked` means from memory of that version and not compared with its source.

use super::{End, Kind, Row};

/// What die() follows up on.
const FAULTS: &[Kind] = &[
    Kind::KernelBug,
    Kind::PageFault,
    Kind::ProtectionFault,
    Kind::ListCorruption,
    Kind::BadPageTable,
    Kind::Usercopy,
];

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
            // kernel/sched/idle.c, dequeue_task_idle()
            "bad: scheduling from the idle thread!",
        ],
    ),
    // kernel/softirq.c, handle_softirqs()
    row(
        Kind::ContextAssumption,
        "context-assumption",
        End::Headline,
        &["softirq: huh, entered softirq ", "huh, entered softirq "],
    ),
    // mm/pgtable-generic.c, pgd_clear_bad() to pmd_clear_bad(), by way of pgd_ERROR() to pte_ERROR() of
    // arch/*/include/asm/pgtable*.h: the very line that a page table freed too early prints.
    row(
        Kind::BadPageTable,
        "bad-page-table",
        End::Headline,
        &["*:*: bad pte ", "*:*: bad pmd ", "*:*: bad pud ", "*:*: bad p4d ", "*:*: bad pgd "],
    ),
    // arch/x86/mm/fault.c, pgtable_bad(): a reserved bit is set; __die() follows.
    row(Kind::BadPageTable, "bad-page-table", End::TraceMark, &["*: Corrupted page table at address "]),
    // mm/memory.c, zap_nonpresent_ptes(): a WARN follows.
    row(Kind::BadPageTable, "bad-page-table", End::TraceMark, &["unrecognized swap entry 0x"]),
    // mm/usercopy.c, usercopy_abort(): a BUG follows.
    row(
        Kind::Usercopy,
        "usercopy",
        End::TraceMark,
        &[
            "usercopy: Kernel memory exposure attempt detected ",
            "usercopy: Kernel memory overwrite attempt detected ",
        ],
    ),
    // kernel/irq/spurious.c, __report_bad_irq(), note_interrupt(); try_misrouted_irq() and poll_spurious_irqs() go on.
    row(
        Kind::UnhandledIrq,
        "unhandled-irq",
        End::Unmarked,
        &["irq *: nobody cared ", "irq event *: bogus return value "],
    ),
    row(Kind::UnhandledIrq, "unhandled-irq", End::Headline, &["Disabling IRQ #"])
        .part_of(&[Kind::UnhandledIrq]),
    // net/core/dev.c, netdev_wait_allrefs_any(); lib/ref_tracker.c, __ref_tracker_dir_pr_ostream(), ref_tracker_free();
    // fs/locks.c, locks_check_ctx_lists(), locks_check_ctx_file_list(); `leaked reference.` is older (unchecked)
    row(
        Kind::LeakedReference,
        "leaked-reference",
        End::Headline,
        &[
            "unregister_netdevice: waiting for * to become free. Usage count",
            "ref_tracker: * has */* users at",
            "ref_tracker: reference already released.",
            "leaked reference.",
            "Leaked locks on dev=",
            "Leaked * lock on dev=",
        ],
    ),
    // lib/kobject.c, kobject_init(), kobject_add_varg(); fs/sysfs/dir.c, sysfs_warn_dup()
    row(
        Kind::Kobject,
        "kobject",
        End::Stack,
        &[
            "kobject (*): tried to init an initialized object",
            "kobject '*' (*): tried to add an uninitialized object",
            "sysfs: cannot create duplicate filename ",
        ],
    ),
    // lib/kobject.c, kobject_add_internal(): what comes of it
    row(
        Kind::Kobject,
        "kobject",
        End::Headline,
        &["kobject: kobject_add_internal failed for * with -EEXIST"],
    )
    .part_of(&[Kind::Kobject]),
    // lib/kobject.c, kobject_get(), kobject_put(), kobject_add_internal()
    row(
        Kind::Kobject,
        "kobject",
        End::TraceMark,
        &[
            "kobject: '*' (*): is not initialized, yet ",
            "kobject: (*): attempted to be registered with empty name!",
        ],
    )
    .message_of_a_warning(),
    row(
        Kind::BrokenInvariant,
        "broken-invariant",
        End::Headline,
        &[
            // kernel/time/tick-sched.c, report_idle_softirq()
            "NOHZ tick-stop error: ",
            // net/sched/sch_generic.c, dev_watchdog(), behind the driver and the device (netdev_crit())
            "NETDEV WATCHDOG: ",
            "* NETDEV WATCHDOG: ",
            // arch/arm64/kernel/smp.c and arch/riscv/kernel/smpboot.c, __cpu_up(); kernel/cpu.c, cpuhp_bp_sync_alive(),
            // cpuhp_bp_sync_dead(); arch/x86/kernel/smpboot.c; arch/powerpc/kernel/smp.c, __cpu_up()
            "CPU*: failed to come online",
            "CPU*: is stuck in kernel",
            "CPU* failed to report ",
            "CPU* is stuck in mwait_play_dead()",
            "Processor * is stuck.",
            "CPU*: died during early boot",
            "CPU*: may not have shut down cleanly",
            "CPU*: failed in unknown state : ",
            "CPU*: failed to start",
            // arch/arm64/kernel/smp.c, do_handle_IPI()
            "CPU*: Unknown IPI message ",
            // kernel/sched/psi.c, psi_group_change(), psi_flags_change()
            "psi: task underflow! ",
            "psi: inconsistent task state! ",
            // mm/swapfile.c, get_swap_device(), swap_dup_entry_direct(); 6.12 also _swap_info_get() and, with `Unused`,
            // swap_info_get() (unchecked)
            "get_swap_device: Bad swap file entry ",
            "get_swap_device: Bad swap offset entry ",
            "Bad swap file entry ",
            "_swap_info_get: Bad swap file entry ",
            "_swap_info_get: Bad swap offset entry ",
            "swap_info_get: Unused swap offset entry ",
            // mm/zswap.c, zswap_decompress()
            "zswap: Decompression error from zswap ",
            // mm/zsmalloc.c, zs_destroy_pool()
            "zsmalloc: Class-* fullness group * is not empty",
            // mm/hugetlb.c, hugetlb_fix_reserve_counts()
            "hugetlb: Huge Page Reserved count may go negative.",
            // mm/page_owner.c, dec_stack_record_count()
            "dec_stack_record_count: refcount went to 0 for ",
            // mm/dmapool.c, pool_check_block(), behind the driver and the device (dev_err())
            "* pool_check_block *(corrupted)",
            // kernel/rcu/tree.c, __call_rcu_common(); kernel/rcu/tiny.c, call_rcu()
            "rcu: __call_rcu_common(): Double-freed CB ",
            "call_rcu(): Double-freed CB ",
            // kernel/params.c, lookup_or_create_module_kobject()
            "Adding module '*' to sysfs failed ",
            // fs/kernfs/mount.c, find_next_ancestor()
            "BUG in find_next_ancestor: ",
            // arch/x86/kernel/check.c, check_for_bios_corruption(): of firmware or of the kernel
            "check: Corrupted low memory at ",
            // arch/x86/mm/init_64.c, fill_p4d() to fill_pte()
            "PAGETABLE BUG #",
            // lib/percpu-refcount.c, percpu_ref_switch_to_atomic_rcu()
            "percpu_ref_switch_to_atomic_rcu(): percpu_ref underflow",
            // kernel/exit.c, make_task_dead()
            "Fixing recursive fault but reboot is needed!",
            // kernel/sched/core.c, __might_resched(); arch/x86/mm/fault.c, page_fault_oops(); arch/powerpc/mm/fault.c,
            // __bad_page_fault(): below their headlines
            "Thread overran stack, or stack corrupted",
            // kernel/capability.c, ns_capable_common()
            "capable() called with invalid cap=",
            // kernel/time/tick-broadcast.c, err_broadcast()
            "Failed to broadcast timer tick. ",
            // mm/filemap.c, dio_warn_stale_pagecache()
            "Page cache invalidation failure on direct I/O. ",
            // mm/vmalloc.c, augment_tree_propagate_check(), find_vmap_lowest_match_check()
            "tree is corrupted: ",
            "not lowest: t: ",
            // net/core/neighbour.c, neigh_add_timer(), neigh_destroy()
            "NEIGH: BUG, double timer add, ",
            "Destroying alive neighbour ",
            // fs/super.c, generic_shutdown_super()
            "VFS: Busy inodes after unmount of ",
        ],
    )
    .part_of(&[
        Kind::MightSleep,
        Kind::SchedulingWhileAtomic,
        Kind::Oops,
        Kind::KernelBug,
        Kind::PageFault,
    ]),
    // mm/kmemleak.c, __link_object(), delete_object_part(), __lookup_object(), reset_checksum(), add_scan_area(),
    // object_set_excess_ref(), object_no_scan(): kmemleak_warn() prints a stack
    row(
        Kind::BrokenInvariant,
        "broken-invariant",
        End::Stack,
        &[
            "kmemleak: Cannot insert ",
            "kmemleak: * unknown object at ",
            "kmemleak: Found object by alias at ",
        ],
    ),
    // mm/page_poison.c, check_poison_mem(); kernel/time/sleep_timeout.c, schedule_timeout(); kernel/irq/manage.c,
    // __setup_irq(); mm/slab_common.c, kmalloc_fix_flags(); arch/x86/mm/extable.c, ex_handler_msr();
    // arch/powerpc/kernel/irq.c, check_stack_overflow(): with a stack
    row(
        Kind::BrokenInvariant,
        "broken-invariant",
        End::Stack,
        &[
            "pagealloc: memory corruption",
            "pagealloc: single bit error",
            "schedule_timeout: wrong timeout value ",
            "Flags mismatch irq ",
            "Unexpected gfp: ",
            "unchecked MSR access error: ",
            "do_IRQ: stack overflow: ",
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
            // before 4.14
            "[ INFO: ",
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
            "rcu: INFO: * detected stalls on CPUs/tasks:",
            "rcu: INFO: * detected expedited stalls on CPUs/tasks:",
            "rcu: INFO: * self-detected stall on CPU",
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
    // fs/fs-writeback.c, wb_wait_for_completion_cb()
    row(
        Kind::HungTask,
        "hung-task",
        End::Headline,
        &["INFO: The task *:* has been waiting for writeback completion for more than "],
    ),
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
        &["list_add corruption", "list_del corruption", "list_add double add: "],
    )
    .message_of_a_warning(),
    // lib/debugobjects.c, debug_print_object(), check_results()
    row(
        Kind::DebugObjects,
        "debug-objects",
        End::TraceMark,
        // "selftest passed" is none.
        &[
            "ODEBUG: * (active state ",
            "ODEBUG: selftest object not found",
            "ODEBUG: selftest wrong state",
            "ODEBUG: selftest * failed ",
        ],
    )
    .message_of_a_warning(),
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
        &[
            "*[*]: segfault ",
            "*[*]: unhandled signal ",
            "traps: *[*] * ip:* sp:",
            // arch/x86/kernel/cet.c, do_user_cp_fault()
            "*[*] control protection ip:",
            // arch/powerpc/mm/fault.c, sanity_check_fault()
            "*[*]: User access of kernel address (",
        ],
    ),
    // kernel/printk/printk.c, console_prepend_dropped(): what was lost may have been a report.
    row(Kind::MessagesDropped, "messages-dropped", End::Headline, &["** * printk messages dropped **"]),
    // kernel/panic.c, vpanic()
    row(Kind::Panic, "panic", End::PanicMark, &["Kernel panic - not syncing"]),
    // lib/bug.c, __report_bug(); arch/*/kernel/traps.c
    row(Kind::KernelBug, "kernel-bug", End::TraceMark, &["kernel BUG at "]).part_of(&[
        Kind::ListCorruption,
        Kind::KernelBug,
        Kind::Usercopy,
    ]),
    // arch/x86/mm/fault.c, show_fault_oops(); arch/x86/kernel/traps.c, handle_stack_overflow();
    // arch/powerpc/mm/fault.c, __bad_page_fault(); arch/riscv/mm/fault.c and arm64's, die_kernel_fault()
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
    // arch/x86/kernel/traps.c before 6.10 (unchecked): without `Oops: `
    row(
        Kind::Oops,
        "oops",
        End::TraceMark,
        &["divide error: * [#", "invalid opcode: * [#", "bounds: * [#", "alignment check: * [#"],
    )
    .part_of(FAULTS),
    // kernel/panic.c, __warn(): 7.2 `WARNING: FILE:LINE at SYMBOL, CPU#n: comm/pid`, or without DEBUG_BUGVERBOSE
    // `WARNING: at SYMBOL, …`; 6.12 `WARNING: CPU: n PID: m at FILE:LINE SYMBOL` (seen in public logs).
    row(
        Kind::Warning,
        "warning",
        End::TraceMark,
        &[
            "WARNING: at *+0x*/0x",
            "WARNING: *.c:* at *+0x*/0x",
            "WARNING: *.h:* at *+0x*/0x",
            "WARNING: CPU: * PID: * at ",
            "WARNING: at ",
            "WARNING: *:* at ",
        ],
    )
    .part_of(&[
        Kind::IrqRestore,
        Kind::RcuContextSwitch,
        Kind::ListCorruption,
        Kind::DebugObjects,
        Kind::BadPageTable,
    ]),
    // include/asm-generic/bug.h, CUT_HERE: the next headline says what it is; a cut without one is trouble too.
    Row {
        renames: &[],
        // lib/bug.c, with BUG_ON_DATA_CORRUPTION: the message, and then BUG() (include/linux/bug.h,
        // CHECK_DATA_CORRUPTION())
        below: &[Kind::ListCorruption, Kind::Usercopy, Kind::BadPageTable],
        ..row(Kind::CutHere, "cut-here", End::TraceMark, &["------------[ cut here ]------------"])
    },
    // Unknown trouble is trouble.
    row(Kind::Warning, "warning", End::Stack, &["WARNING:"]),
    row(Kind::OtherBug, "other-bug", End::Stack, &["BUG:", "*: BUG: "]),
    row(Kind::OtherInfo, "other-info", End::Stack, &["INFO: "]),
];

/// Lines of reports that stand in no report: its headline is lost, or no row knows it. Behind a subsystem's name the
/// words WARNING and INFO are mostly notices, and a report by what stands below them.
pub static ORPHANS: &[Row] = &[
    // lib/dump_stack.c, dump_stack_print_info(); arch/*/kernel/dumpstack.c and stacktrace.c, show_stack()
    row(
        Kind::UnexplainedStack,
        "unexplained-stack",
        End::Stack,
        &["CPU: * PID: * Comm: ", "Call Trace:", "Call trace:"],
    ),
    row(
        Kind::LostHeadline,
        "lost-headline",
        End::TraceMark,
        &[
            // kernel/panic.c, print_oops_end_marker(), vpanic(), print_tainted_verbose()
            "---[ end trace ",
            "---[ end Kernel panic",
            "Tainted: [",
            // arch/*/kernel/setup.c, dump_kernel_offset(): at a panic alone
            "Kernel Offset: ",
            // kernel/module/main.c, print_modules()
            "Modules linked in:",
            // arch/x86/kernel/dumpstack.c, show_ip(): 0010 is the kernel's own segment; arch/arm64/kernel/process.c,
            // arch/riscv/kernel/process.c and arch/powerpc/kernel/process.c, __show_regs()
            "RIP: 0010:",
            "pc : ",
            "epc : ",
            "NIP:  ",
            // kernel/locking/lockdep.c
            "stack backtrace:",
            "* is leaving the kernel with locks still held!",
            "*.* #* Not tainted",
            "*.* #* Tainted: ",
            "other info that might help us debug this:",
            // kernel/hung_task.c, hung_task_info()
            "\"echo 0 > /proc/sys/kernel/hung_task_timeout_secs\" disables this message.",
            // kernel/rcu/tree_stall.h, print_other_cpu_stall(), print_cpu_stall()
            "rcu: *(detected by ",
            "rcu: *(t=* jiffies g=",
            // mm/kasan/report.c, print_address_description()
            "The buggy address belongs to ",
            "Memory state around the buggy address",
            // kernel/exit.c, make_task_dead()
            "note: *[*] exited with irqs disabled",
            "note: *[*] exited with preempt_count ",
        ],
    ),
];

/// What announces stacks that were asked for: the line, where what follows ends, and the reason.
pub const ASKED_FOR: &[(&str, End, &str)] = &[
    // lib/fault-inject.c, fail_dump()
    ("FAULT_INJECTION: forcing a failure.", End::Stack, "the injector says where it injects"),
    // drivers/tty/sysrq.c, __handle_sysrq()
    ("sysrq: ", End::Unmarked, "asked for by sysrq"),
    // mm/oom_kill.c, dump_header(), as in NOISE: another thread does what sysrq asked for
    ("* invoked oom-killer: gfp_mask=*, order=-1, ", End::Stack, "asked for by sysrq"),
    // lib/nmi_backtrace.c, nmi_cpu_backtrace(): for a report of another CPU, which is counted there, or for sysrq
    ("NMI backtrace for cpu ", End::Stack, "asked for by another CPU"),
];

/// Lines that some row matches and that are no trouble, each with the reason. Nothing else is forgiven.
pub const NOISE: &[(&str, &str)] = &[
    // kernel/locking/lockdep.c, debug_show_held_locks(), debug_show_all_locks()
    (
        "INFO: lockdep is turned off.",
        "a line inside other reports: lockdep has spoken before, and that was counted",
    ),
    // arch/x86/kernel/nmi.c, nmi_check_duration()
    ("INFO: NMI handler (*) took too long to run: ", "time as an emulated machine measures it"),
    // arch/arm64/kernel/proton-pack.c, unpriv_ebpf_notify()
    (
        "WARNING: Unprivileged eBPF is enabled, data leaks possible",
        "a setting that a mitigation does not cover",
    ),
    // fs/namespace.c, warn_mandlock() and others of its form
    ("WARNING: * deprecated", "a notice about a setting or an interface that will go"),
    ("WARNING: * will be removed", "a notice about a setting or an interface that will go"),
    // drivers/video/fbdev/core/fbmem.c, fb_set_var()
    ("WARNING: fbcon: ", "a notice about a screen size"),
    // init/main.c, warn_bootconfig()
    ("WARNING: 'bootconfig' found on the kernel command line", "a notice about the command line"),
    // arch/x86/kernel/cpu/bugs.c, retbleed_select_mitigation(), srso_select_mitigation(), its_update_mitigation(), without
    // its prefix in some versions
    ("WARNING: kernel not compiled with MITIGATION_", "a mitigation that this kernel cannot have"),
    ("WARNING: CPU does not support IBPB", "a mitigation that this CPU model cannot have"),
    ("WARNING: Spectre-v2 mitigation is off", "a mitigation that this CPU model cannot have"),
    // arch/x86/kernel/cpu/mtrr/cleanup.c, mtrr_trim_uncached_memory(); arch/x86/kernel/apic/io_apic.c,
    // io_apic_init_mappings()
    ("WARNING: BIOS bug: ", "a notice about firmware"),
    ("WARNING: bogus zero IO-APIC address found in MPTABLE", "a notice about firmware"),
    // arch/arm64/kernel/setup.c, setup_arch()
    ("WARNING: x1-x3 nonzero in violation of boot protocol", "a notice about the boot loader"),
    // arch/powerpc/mm/init_64.c, early_check_vec5(), mmu_early_init_devtree(); arch/powerpc/sysdev/xive/spapr.c,
    // xive_spapr_disabled()
    ("WARNING: Ignoring cmdline option ", "a notice about the command line"),
    // arch/powerpc/kernel/time.c, generic_calibrate_decr()
    ("WARNING: Estimating ", "time as firmware tells it"),
    // drivers/tty/serial/8250/8250_omap.c, omap8250_console_fixup()
    ("WARNING: Your 'console=", "a notice about the command line"),
    // kernel/printk/printk.c, devkmsg_write(): programs put their name and number in front
    ("*[*]: *: BUG: ", "the word of a program that writes to /dev/kmsg"),
    ("*[*]: BUG: ", "the word of a program that writes to /dev/kmsg"),
    // arch/powerpc/kernel/nvram_64.c, nvram_scan_partitions()
    ("WARNING: nvram ", "a notice about firmware"),
    // drivers/ssb/scan.c, ssb_bus_scan(); drivers/ssb/pci.c, ssb_pci_sprom_get()
    ("WARNING: Multiple ", "a notice about a device"),
    ("WARNING: Using fallback SPROM failed ", "a notice about a device"),
    // drivers/scsi/initio.c, i91u_biosparam()
    ("WARNING: check, if the bios geometry is correct", "a notice about a device"),
    // drivers/mtd/nftlmount.c, find_boot_record()
    ("WARNING: Support for NFTL with UnitSizeFactor ", "a notice about a device"),
    // security/tomoyo/util.c, tomoyo_domain_quota_is_ok()
    ("WARNING: Domain '", "a notice about a rule set"),
    // mm/oom_kill.c, dump_header(): order -1 is that of sysrq alone (is_sysrq_oom())
    ("* invoked oom-killer: gfp_mask=*, order=-1, ", "it was asked for, by sysrq"),
    ("Out of memory: Killed process * (oom-victim) ", "the guest test put it up to be killed"),
];

/// Headlines that other programs write too: without a prefix such a line is theirs.
pub const PROGRAMS_TOO: &[&str] = &[
    "*: Corrupted page table at address ",
    "leaked reference.",
    "Bad swap file entry ",
    "CPU*: failed to come online",
    "CPU*: failed to start",
    "CPU* failed to report ",
    "Processor * is stuck.",
    "tree is corrupted: ",
    "not lowest: t: ",
    "[ BUG: ",
    "[ INFO: ",
    "*INFO: * detected stall",
    "*INFO: * detected expedited stalls",
    "*INFO: * self-detected stall on CPU",
    "KASAN: ",
    "BUG * (*): ",
    "BUG: spinlock ",
    "BUG: rwlock ",
    "BUG: unable to handle ",
    "BUG: Unable to handle ",
    "*[*]: segfault ",
    "*[*]: unhandled signal ",
    "general protection fault",
    "stack segment: ",
    "double fault: ",
    "Oops",
    "Internal error: ",
    "WARNING: at ",
    "WARNING: *:* at ",
    "WARNING:",
    "BUG:",
    "*: BUG: ",
    "INFO: ",
];

/// Starts of lines that repeat what others wrote, whatever that is. init/main.c, start_kernel(),
/// print_unknown_bootoptions(); arch/x86/kernel/setup.c, setup_arch()
pub const REPEATED: &[&str] =
    &["Kernel command line: ", "Command line: ", "Unknown kernel command line parameters "];

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
    Row { kind, name, headlines, end, part_of: &[], below: &[], renames: &[Kind::CutHere] }
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
