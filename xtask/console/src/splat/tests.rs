use super::*;

fn kind(text: &str) -> Option<Kind> {
    headline(text).map(|row| row.kind)
}

#[test]
fn rows_of_one_kind_share_one_name_and_no_name_has_two_kinds() {
    for row in all_rows() {
        assert_eq!(Kind::from_name(row.name), Some(row.kind), "{}", row.name);
        assert_eq!(row.kind.name(), row.name);
    }
    let kinds: std::collections::BTreeSet<Kind> = all_rows().map(|row| row.kind).collect();
    assert_eq!(Kind::all_names().len(), kinds.len());
}

#[test]
fn no_row_is_hidden_by_a_row_above_it() {
    for (index, row) in TABLE.iter().enumerate() {
        for pattern in row.headlines {
            let text = pattern.replace('*', "x");
            let found = headline(&text).map(|row| row.headlines);
            assert_eq!(found, Some(row.headlines), "row {index}: {pattern}");
        }
    }
}

#[test]
fn every_noise_line_would_be_a_splat_if_the_table_did_not_forgive_it() {
    for (pattern, reason) in NOISE {
        let text = pattern.replace('*', "x");
        assert_eq!(kind(&text), None, "{pattern}");
        let rows = &PATTERNS[usize::from(text.as_bytes()[0])];
        assert!(rows.iter().any(|(row, _)| row.matches(&text)), "needless: {pattern} ({reason})");
    }
}

#[test]
fn what_programs_write_too_is_a_pattern_of_the_table() {
    for text in PROGRAMS_TOO {
        assert!(TABLE.iter().any(|row| row.headlines.contains(text)), "{text}");
    }
}

#[test]
fn a_program_that_says_bug_is_not_the_kernel() {
    for text in
        ["BUG: my own words", "WARNING: foo: bar at baz", "test: BUG: x", "INFO: starting", "BUG (a): b"]
    {
        assert!(kernel_only(text).is_none(), "{text}");
    }
    for text in [
        "BUG: scheduling while atomic: a/1/0x2",
        "WARNING: mm/x.c:12 at f+0x1/0x2, CPU#1: a/1",
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "Kernel panic - not syncing: x",
        "mm/pgtable-generic.c:54: bad pmd 0(0)",
        "** 12 printk messages dropped **",
    ] {
        assert!(kernel_only(text).is_some(), "{text}");
    }
    assert_eq!(kind("systemd[1]: x.service: BUG: y"), None);
}

#[test]
fn headlines_of_7_2_are_known() {
    for (text, expected) in [
        ("BUG: sleeping function called from invalid context at mm/mmu_gather.c:315", Kind::MightSleep),
        ("BUG: scheduling while atomic: scenarios/43/0x00000002", Kind::SchedulingWhileAtomic),
        ("BUG: using __this_cpu_add() in preemptible [00000000] code: a/1", Kind::SmpProcessorId),
        ("WARNING: suspicious RCU usage", Kind::RcuUsage),
        (
            "kernel/rcu/tree.c:3386 Illegal synchronize_rcu() in RCU read-side critical section!",
            Kind::RcuUsage,
        ),
        ("[ BUG: Invalid wait context ]", Kind::WaitContext),
        ("WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected", Kind::Lockdep),
        ("WARNING: init/1 still has locks held!", Kind::Lockdep),
        ("rcu: INFO: rcu_preempt self-detected stall on CPU", Kind::RcuStall),
        ("rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", Kind::RcuStall),
        ("rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: {", Kind::RcuStall),
        ("INFO: rcu_tasks detected stalls on tasks:", Kind::RcuStall),
        ("INFO: task init:1 blocked in I/O wait for more than 120 seconds.", Kind::HungTask),
        ("watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [a:1]", Kind::SoftLockup),
        ("watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 0", Kind::HardLockup),
        ("BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 32s!", Kind::WorkqueueLockup),
        (
            "smp: csd: Detected non-responsive CSD lock (#1) on CPU#1, waiting 5000 ns for CPU#00 f(x).",
            Kind::CsdLock,
        ),
        ("BUG: KASAN: slab-use-after-free in f+0x1/0x2", Kind::Kasan),
        ("BUG: KCSAN: data-race in f / g", Kind::Kcsan),
        ("UBSAN: shift-out-of-bounds in mm/x.c:1:2", Kind::Ubsan),
        ("BUG kmalloc-64 (Not tainted): Right Redzone overwritten", Kind::Slab),
        ("BUG: Bad page state in process x  pfn:1234", Kind::BadPageState),
        ("BUG: Bad page map in process x  pte:1234", Kind::BadPage),
        ("BUG: non-zero pgtables_bytes on freeing mm: 4096", Kind::PageTableBytes),
        (
            "scenarios[43]: segfault at 0 ip 0000000000401000 sp 00007ffd error 4 in scenarios",
            Kind::UserFault,
        ),
        ("** 12 printk messages dropped **", Kind::MessagesDropped),
        ("Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b", Kind::Panic),
        ("kernel BUG at mm/x.c:12!", Kind::KernelBug),
        ("BUG: unable to handle page fault for address: ffffc90000000000", Kind::PageFault),
        (
            "Oops: general protection fault, probably for non-canonical address 0xdead: 0000 [#1] SMP",
            Kind::ProtectionFault,
        ),
        ("Oops: Oops: 0002 [#1] SMP", Kind::Oops),
        ("WARNING: mm/x.c:12 at f+0x1/0x2, CPU#1: a/1", Kind::Warning),
        ("WARNING: at preempt_count_sub+0x53/0x90, CPU#0: scenarios/56", Kind::Warning),
    ] {
        assert_eq!(kind(text), Some(expected), "{text}");
    }
}

#[test]
fn headlines_of_6_12_and_of_other_architectures_are_known() {
    for (text, expected) in [
        ("WARNING: CPU: 0 PID: 1 at mm/x.c:12 f+0x1/0x2", Kind::Warning),
        ("watchdog: Watchdog detected hard LOCKUP on cpu 0", Kind::HardLockup),
        ("watchdog: CPU 1 detected hard LOCKUP on other CPUs 0", Kind::HardLockup),
        ("INFO: task init:1 blocked for more than 120 seconds.", Kind::HungTask),
        ("[ BUG: bad unlock balance detected! ]", Kind::Lockdep),
        (
            "general protection fault, probably for non-canonical address 0xdead: 0000 [#1]",
            Kind::ProtectionFault,
        ),
        ("BUG: Kernel NULL pointer dereference on read at 0x00000000", Kind::PageFault),
        ("Unable to handle kernel paging request at virtual address dead000000000100", Kind::PageFault),
        ("Oops: Kernel access of bad area, sig: 11 [#1]", Kind::Oops),
        ("Internal error: Oops: 0000000096000004 [#1] SMP", Kind::Oops),
        ("init[1]: unhandled signal 11 code 0x1 at 0x0000000000000000", Kind::UserFault),
    ] {
        assert_eq!(kind(text), Some(expected), "{text}");
    }
}

#[test]
fn broken_invariants_that_taint_nothing_are_known() {
    for (text, expected) in [
        ("mm/pgtable-generic.c:54: bad pmd 00000000deadbee0(0000000012345678)", Kind::BadPageTable),
        ("mm/memory.c:199: bad pgd 0000000012345678.", Kind::BadPageTable),
        ("./include/linux/pgtable.h:2000: bad pte 00000000deadbee0(0000000012345678)", Kind::BadPageTable),
        (
            "softirq: huh, entered softirq 9 RCU 00000000deadbee0 with preempt_count 00000100, exited with 00000101?",
            Kind::ContextAssumption,
        ),
        ("irq 11: nobody cared (try booting with the \"irqpoll\" option)", Kind::UnhandledIrq),
        ("Disabling IRQ #11", Kind::UnhandledIrq),
        ("bad: scheduling from the idle thread!", Kind::ContextAssumption),
        ("unregister_netdevice: waiting for eth9 to become free. Usage count = 3", Kind::LeakedReference),
        ("ref_tracker: netdev@00000000deadbee0 has 1/1 users at", Kind::LeakedReference),
        (
            "kobject (00000000deadbee0): tried to init an initialized object, something is seriously wrong.",
            Kind::Kobject,
        ),
        ("sysfs: cannot create duplicate filename '/devices/virtual/x'", Kind::Kobject),
        ("NOHZ tick-stop error: local softirq work is pending, handler #08!!!", Kind::BrokenInvariant),
        ("NETDEV WATCHDOG: CPU: 0: transmit queue 0 timed out", Kind::BrokenInvariant),
        (
            "e1000 0000:00:03.0 eth0: NETDEV WATCHDOG: CPU: 0: transmit queue 0 timed out 5010 ms",
            Kind::BrokenInvariant,
        ),
        ("CPU1: failed to come online", Kind::BrokenInvariant),
        (
            "kmemleak: Cannot insert 0xffff888001234567 into the object search tree (overlaps existing)",
            Kind::BrokenInvariant,
        ),
        ("get_swap_device: Bad swap file entry 3ffffffffffff", Kind::BrokenInvariant),
        ("pagealloc: memory corruption", Kind::BrokenInvariant),
        ("t[101] control protection ip:401000 sp:7ffd0 ssp:7f000 error:1(near ret)", Kind::UserFault),
        ("sh: Corrupted page table at address 7f0012345000", Kind::BadPageTable),
        ("unrecognized swap entry 0x7c00000000000001", Kind::BadPageTable),
        (
            "usercopy: Kernel memory exposure attempt detected from SLUB object 'x' (offset 0, size 4097)!",
            Kind::Usercopy,
        ),
        (
            "usercopy: Kernel memory overwrite attempt detected to kernel text (offset 1, size 2)!",
            Kind::Usercopy,
        ),
        ("Leaked locks on dev=0x0:0x13 ino=0x5:", Kind::LeakedReference),
        ("Leaked POSIX lock on dev=0x0:0x13 ino=0x5  fl_owner=0000000012345678", Kind::LeakedReference),
        ("ref_tracker: reference already released.", Kind::LeakedReference),
        ("CPU1: died during early boot", Kind::BrokenInvariant),
        ("CPU1: may not have shut down cleanly", Kind::BrokenInvariant),
        ("CPU3: failed in unknown state : 0x7", Kind::BrokenInvariant),
        ("CPU3: failed to start", Kind::BrokenInvariant),
        ("CPU0: Unknown IPI message 0x9", Kind::BrokenInvariant),
        ("Bad swap file entry 3ffffffffffff", Kind::BrokenInvariant),
        ("_swap_info_get: Bad swap offset entry 3ffffffffffff", Kind::BrokenInvariant),
        ("swap_info_get: Unused swap offset entry 0000beef", Kind::BrokenInvariant),
        ("zswap: Decompression error from zswap (0:17 lzo 12->4095)", Kind::BrokenInvariant),
        ("zsmalloc: Class-32 fullness group 3 is not empty", Kind::BrokenInvariant),
        ("hugetlb: Huge Page Reserved count may go negative.", Kind::BrokenInvariant),
        ("dec_stack_record_count: refcount went to 0 for 12 handle", Kind::BrokenInvariant),
        ("e1000 0000:00:03.0: pool_check_block x, 00000000deadbee0 (corrupted)", Kind::BrokenInvariant),
        (
            "rcu: __call_rcu_common(): Double-freed CB 00000000deadbee0->f+0x0/0x10()!!!  slab x",
            Kind::BrokenInvariant,
        ),
        ("Adding module 'x' to sysfs failed (-17), the system may be unstable.", Kind::BrokenInvariant),
        ("BUG in find_next_ancestor: called with parent == child", Kind::BrokenInvariant),
        ("check: Corrupted low memory at 00000000deadbee0 (9000 phys) = 00000001", Kind::BrokenInvariant),
        ("PAGETABLE BUG #01! 00000000deadbee0 <-> 00000000deadbee8", Kind::BrokenInvariant),
        ("kmemleak: Partially freeing unknown object at 0xffff888001234567 (size 8)", Kind::BrokenInvariant),
        ("kmemleak: Not scanning unknown object at 0xffff888001234567", Kind::BrokenInvariant),
        (
            "unchecked MSR access error: RDMSR from 0x1a2 at rIP: 0xffffffff81000000 (f+0x1/0x2)",
            Kind::BrokenInvariant,
        ),
        ("do_IRQ: stack overflow: 1024", Kind::BrokenInvariant),
        (
            "t[101]: User access of kernel address (c000000000000000) - exploit attempt? (uid: 0)",
            Kind::UserFault,
        ),
        (
            "INFO: The task sync:101 has been waiting for writeback completion for more than 120 seconds.",
            Kind::HungTask,
        ),
        ("ODEBUG: selftest fixups failed 1 != 2", Kind::DebugObjects),
        ("list_add double add: new=ffff888001234567, prev=ffff888001234567, next=x.", Kind::ListCorruption),
        ("[ INFO: possible circular locking dependency detected ]", Kind::Lockdep),
        ("divide error: 0000 [#1] SMP", Kind::Oops),
        ("invalid opcode: 0000 [#1] PREEMPT SMP", Kind::Oops),
    ] {
        assert_eq!(kind(text), Some(expected), "{text}");
    }
}

#[test]
fn notices_of_the_kernel_are_no_headlines() {
    for text in [
        "WARNING: The mand mount option has been deprecated and",
        "XFS (vda): WARNING: Reset corrupted AGFL on AG 0. 4 blocks leaked.",
        "EXT4-fs (vda): INFO: recovery required on readonly filesystem",
        "WARNING: fbcon: Driver 'x' missed to adjust virtual screen size (1x1 vs. 2x2)",
        "ODEBUG: Out of memory. ODEBUG disabled",
        "WARNING: Unprivileged eBPF is enabled, data leaks possible via Spectre v2 BHB attacks!",
        "Kernel command line: BUG: x",
        "Kernel command line: root=/dev/vda a: BUG: x",
        "Disabling lock debugging due to kernel taint",
    ] {
        assert_eq!(kind(text), None, "{text}");
    }
}

#[test]
fn what_devices_and_settings_cause_is_not_the_kernels_fault() {
    for text in [
        "Write-error on swap-device (254:0:8)",
        "pci 0000:00:02.0: Direct firmware load for x.bin failed with error -2",
        "kmemleak: Cannot allocate a kmemleak_object structure",
        "kmemleak: Memory pool empty, consider increasing CONFIG_DEBUG_KMEMLEAK_MEM_POOL_SIZE",
        "__common_interrupt: 1.55 No irq handler for vector",
        "[Firmware Bug]: TSC_DEADLINE disabled due to Errata",
        "[Hardware Error]: Machine check events logged",
        "CPU1: Booted secondary processor 0x0000000001 [0x410fd083]",
        "ref_tracker: memory allocation failure, unreliable refcount tracker.",
        "ODEBUG: selftest passed",
        "WARNING: nvram corruption detected: 0-length partition",
        "WARNING: Multiple ChipCommon found",
        "RDSEED32 is broken. Disabling the corresponding CPUID bit.",
    ] {
        assert_eq!(kind(text), None, "{text}");
    }
}

#[test]
fn trouble_that_no_row_knows_is_still_trouble() {
    for (text, expected) in [
        ("BUG: something nobody has seen before", Kind::OtherBug),
        ("some driver: BUG: what", Kind::OtherBug),
        ("WARNING: something nobody has seen before", Kind::Warning),
        ("INFO: something nobody has seen before", Kind::OtherInfo),
    ] {
        assert_eq!(kind(text), Some(expected), "{text}");
    }
}

#[test]
fn ordinary_lines_are_no_headlines() {
    for text in [
        "",
        "Call Trace:",
        "in_atomic(): 1",
        "Linux version 7.2.12",
        "PM: BUG free",
        "---[ end Kernel panic - not syncing: x ]---",
        "FAULT_INJECTION: forcing a failure.",
        "Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible",
        "\u{fffd}\u{fffd}",
    ] {
        assert_eq!(kind(text), None, "{text}");
    }
}

#[test]
fn the_place_is_read_from_the_line() {
    let at = |text| location(text).map(|(file, line)| format!("{file}:{line}"));
    for (text, expected) in [
        (
            "BUG: sleeping function called from invalid context at mm/mmu_gather.c:315",
            Some("mm/mmu_gather.c:315"),
        ),
        ("WARNING: mm/x.c:12 at f+0x1, CPU#1: a/1", Some("mm/x.c:12")),
        ("WARNING: CPU: 0 PID: 1 at mm/x.c:12 f", Some("mm/x.c:12")),
        ("kernel BUG at ./include/linux/mm.h:9!", Some("include/linux/mm.h:9")),
        ("UBSAN: shift-out-of-bounds in mm/x.c:1:2", Some("mm/x.c:1")),
        (
            "kernel/rcu/tree.c:3386 Illegal synchronize_rcu() in RCU read-side critical section!",
            Some("kernel/rcu/tree.c:3386"),
        ),
        ("WARNING: at preempt_count_sub+0x53/0x90, CPU#0: scenarios/56", None),
        ("BUG: scheduling while atomic: a/1/2", None),
        ("mm/x.c:99999999999", None),
    ] {
        assert_eq!(at(text).as_deref(), expected, "{text}");
    }
}
