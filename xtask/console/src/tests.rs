use proptest::prelude::*;

use super::*;

fn read(bytes: &[u8]) -> Console {
    let mut console = Console::default();
    console.feed(bytes);
    console.finish();
    console
}

fn kinds(bytes: &[u8]) -> Vec<Kind> {
    read(bytes).splats().iter().map(|splat| splat.kind).collect()
}

#[test]
fn lines_of_two_cpus_that_interleave_are_told_apart_by_their_threads() {
    let log =
        b"[    1.000000][   T43] BUG: sleeping function called from invalid context at mm/mmu_gather.c:315\r
[    1.000001][    T7] an innocent line\r
[    1.000002][   T43] in_atomic(): 1, irqs_disabled(): 0\r
[    1.000003][   T43]  </TASK>\r
[    1.000004][   T43] life goes on\r\n";
    let console = read(log);
    let splat = &console.splats()[0];
    assert_eq!(splat.kind, Kind::MightSleep);
    assert_eq!(splat.location.as_deref(), Some("mm/mmu_gather.c:315"));
    assert_eq!(splat.text[1..], ["in_atomic(): 1, irqs_disabled(): 0", " </TASK>"]);
    assert_eq!(console.splats_total(), 1);
}

#[test]
fn reports_without_callers_that_interleave_keep_kind_and_headline() {
    let fault = "BUG: unable to handle page fault for address: 1\n#PF: supervisor read access\n";
    let oops = "Oops: Oops: 0000 [#1] SMP\n f+0x1/0x2\n </TASK>\n---[ end trace 0000000000000000 ]---\n";
    let cut = "------------[ cut here ]------------\n";
    let warning = |name| format!("WARNING: at {name}+0x1/0x2, CPU#0: a/1\n {name}+0x1/0x2\n </TASK>\n");
    let end = "---[ end trace 0000000000000000 ]---\n";
    let inside = format!("{fault}{cut}{}{end}{oops}", warning("g"));
    let console = read(inside.as_bytes());
    let [first, second] = console.splats() else { panic!("{:?}", console.splats()) };
    assert_eq!((first.kind, second.kind), (Kind::PageFault, Kind::Warning));
    assert_eq!((first.functions(), second.functions()), (vec!["f".to_owned()], vec!["g".to_owned(); 2]));
    let across = format!("{cut}{cut}{}{}{end}{end}", warning("f"), warning("g"));
    assert_eq!(kinds(across.as_bytes()), [Kind::Warning, Kind::Warning]);
}

#[test]
fn what_firmware_says_is_not_the_kernels_that_speaks_before_its_banner() {
    let firmware = "WARNING: Caches not enabled\nBUG: x\n";
    let first = "[    0.000000][    T0] Booting Linux on physical CPU 0x0000000000 [0x410fd083]\n";
    let banner = "[    0.000000][    T0] Linux version 7.2.12\n";
    let late = "[    0.000000][    T0] BUG: Bad page state in process a  pfn:1\n";
    assert_eq!(kinds(format!("{firmware}{first}{banner}").as_bytes()), []);
    assert_eq!(kinds(format!("{firmware}{first}{late}{banner}").as_bytes()), [Kind::BadPageState]);
    // More than are kept, one of which is taken back.
    let many =
        format!("a invoked oom-killer: gfp_mask=0x1(GFP), order=2, oom_score_adj=0\n{firmware}").repeat(100);
    let back = "[    0.000000] Out of memory: Killed process 38 (oom-victim) total-vm:1kB\n";
    let console = read(format!("{many}{back}{back}{banner}").as_bytes());
    assert_eq!((console.splats_total(), console.splats().len()), (0, 0));
}

#[test]
fn an_oom_report_that_was_interrupted_is_taken_back() {
    let log = out_of_memory("oom-victim");
    let bare: String = String::from_utf8(log)
        .unwrap()
        .lines()
        .map(|line| format!("{}\n", line.split_once("] ").unwrap().1))
        .collect();
    assert_eq!(kinds(bare.as_bytes()), [Kind::MightSleep]);
}

#[test]
fn a_kernel_line_that_lost_its_prefix_is_the_kernels() {
    let banner = "[    0.000000][    T0] Linux version 7.2.12\n";
    let body = "[    1.000000][   T43] in_atomic(): 1\n[    1.000000][   T43]  f+0x1/0x2\n\
        [    1.000000][   T43]  </TASK>\n";
    for headline in [
        "BUG: sleeping function called from invalid context at mm/x.c:1",
        "34567][   T43] BUG: sleeping function called from invalid context at mm/x.c:1",
    ] {
        let console = read(format!("{banner}{headline}\n{body}").as_bytes());
        let [splat] = console.splats() else { panic!("{headline}: {:?}", console.splats()) };
        assert_eq!((splat.kind, splat.text.len()), (Kind::MightSleep, 4), "{headline}");
    }
    for own in ["BUG: my own words", "ok 1 [x] foo: BUG: y", "WARNING: mine", "[3/9] BUG: z", "Oops, sorry"] {
        assert_eq!(kinds(format!("{banner}{own}\n").as_bytes()), [], "{own}");
    }
}

#[test]
fn lockdep_s_rcu_report_is_one_splat_with_the_place_that_stands_below_its_headline() {
    let console = read(
        b"=============================\nWARNING: suspicious RCU usage\n7.2.12 #1 Not tainted\n\
        -----------------------------\n\
        kernel/rcu/tree.c:3386 Illegal synchronize_rcu() in RCU read-side critical section!\n\
        1 lock held by a/1:\n </TASK>\nmm/x.c:1 later\n",
    );
    let [splat] = console.splats() else { panic!("{:?}", console.splats()) };
    assert_eq!(splat.kind, Kind::RcuUsage);
    assert_eq!(splat.location.as_deref(), Some("kernel/rcu/tree.c:3386"));
    assert_eq!(splat.text.last().map(String::as_str), Some(" </TASK>"));
}

/// An OOM report as the kernel prints it, beside another thread's.
fn out_of_memory(victim: &str) -> Vec<u8> {
    format!(
        "[    1.000000][    T2] kthreadd invoked oom-killer: gfp_mask=0x400dc0(GFP_KERNEL_ACCOUNT|__GFP_ZERO), \
         order=2, oom_score_adj=0\n\
         [    1.000001][   T43] BUG: sleeping function called from invalid context at mm/mmu_gather.c:315\n\
         [    1.000002][    T2] Mem-Info:\n\
         [    1.000003][    T2] Out of memory: Killed process 38 ({victim}) total-vm:100332kB, UID:0\n\
         [    1.000004][   T43] in_atomic(): 1, irqs_disabled(): 0\n"
    )
    .into_bytes()
}

#[test]
fn an_oom_report_is_taken_back_when_it_ends_with_the_one_that_was_put_up_to_be_killed() {
    let console = read(&out_of_memory("oom-victim"));
    let [splat] = console.splats() else { panic!("{:?}", console.splats()) };
    assert_eq!((splat.kind, console.splats_total()), (Kind::MightSleep, 1));
    assert_eq!(splat.text[1..], ["in_atomic(): 1, irqs_disabled(): 0"]);
}

#[test]
fn an_oom_report_stays_when_somebody_else_was_killed_or_nobody() {
    for victim in ["init", "oom-victims", "kthreadd"] {
        assert_eq!(kinds(&out_of_memory(victim)), [Kind::OutOfMemory, Kind::MightSleep], "{victim}");
    }
    let log = out_of_memory("oom-victim");
    let unfinished = log.split(|byte| *byte == b'\n').next().unwrap();
    assert_eq!(kinds(unfinished), [Kind::OutOfMemory]);
}

#[test]
fn a_lost_headline_does_not_make_the_line_below_it_innocent() {
    let line = b"kernel/rcu/tree.c:3386 Illegal synchronize_rcu() in RCU read-side critical section!\n";
    assert_eq!(kinds(line), [Kind::RcuUsage]);
    assert_eq!(kinds(b"Oops: 0000 [#1]\n"), [Kind::Oops]);
    assert_eq!(kinds(b"rcu: rcu_preempt kthread starved for 9 jiffies! g1\n"), [Kind::RcuStall]);
}

#[test]
fn a_warning_is_one_splat_from_the_cut_to_the_end_of_its_trace() {
    let console = read(
        b"------------[ cut here ]------------\nDEBUG_LOCKS_WARN_ON(val > preempt_count())\n\
        WARNING: at preempt_count_sub+0x53/0x90, CPU#0: scenarios/56\n </TASK>\nirq event stamp: 0\n\
        ---[ end trace 0000000000000000 ]---\nlife goes on\n",
    );
    let [splat] = console.splats() else { panic!("{:?}", console.splats()) };
    assert_eq!((splat.kind, splat.text.len()), (Kind::Warning, 6));
    assert_eq!(splat.headline, "WARNING: at preempt_count_sub+0x53/0x90, CPU#0: scenarios/56");
}

#[test]
fn the_message_of_a_warning_names_it_above_and_below_the_headline() {
    let above =
        b"------------[ cut here ]------------\nlist_del corruption. x\nkernel BUG at lib/list_debug.c:62!\n\
        Oops: invalid opcode: 0000 [#1] SMP\n---[ end trace 0000000000000000 ]---\n";
    let below =
        b"------------[ cut here ]------------\nWARNING: lib/list_debug.c:62 at f+0x1/0x2, CPU#0: a/1\n\
        list_del corruption. x\n---[ end trace 0000000000000000 ]---\n";
    assert_eq!(kinds(above), [Kind::ListCorruption]);
    assert_eq!(kinds(below), [Kind::ListCorruption]);
    assert_eq!(read(below).splats()[0].location.as_deref(), Some("lib/list_debug.c:62"));
}

#[test]
fn a_cut_that_never_says_what_it_is_is_trouble() {
    assert_eq!(kinds(b"------------[ cut here ]------------\n"), [Kind::CutHere]);
}

#[test]
fn a_fault_with_its_oops_is_one_splat_and_the_panic_after_it_another() {
    let log =
        b"BUG: kernel NULL pointer dereference, address: 0000000000000000\n#PF: supervisor read access\n\
        Oops: Oops: 0000 [#1] SMP\n </TASK>\n---[ end trace 0000000000000000 ]---\nRIP: 0010:f+0x1/0x2\n\
        Kernel panic - not syncing: Fatal exception\nKernel Offset: disabled\n\
        ---[ end Kernel panic - not syncing: Fatal exception ]---\n";
    assert_eq!(kinds(log), [Kind::PageFault, Kind::Panic]);
}

#[test]
fn a_headline_without_a_line_end_is_found_when_the_stream_ends() {
    assert_eq!(kinds(b"[    1.0][ T1] Kernel panic - not syncing: x"), [Kind::Panic]);
}

#[test]
fn nul_bytes_escapes_and_broken_utf8_do_not_hide_a_headline() {
    assert_eq!(kinds(b"\0\x1b[2J[   1.000000][  T1] \0BUG: Bad page map\xff\n"), [Kind::BadPage]);
}

#[test]
fn an_unfinished_line_of_user_space_does_not_hide_a_headline() {
    assert_eq!(kinds(b"init: 50 %[    1.000000][    T1] BUG: Bad page x\n"), [Kind::BadPage]);
    assert_eq!(kinds(b"init: 50 %\rBUG: Bad page x\n"), [Kind::BadPage]);
    let mut long = vec![b'x'; LINE_BYTES_MAX - 50];
    long.extend(b"[    1.000000][    T1] BUG: sleeping function called from invalid context at mm/x.c:1\n");
    assert_eq!(kinds(&long), [Kind::MightSleep]);
}

#[test]
fn a_flood_is_counted_but_not_kept() {
    let mut log = b"[    1.000000][   T43] BUG: scheduling while atomic: a/1/2\n".repeat(10_000);
    log.extend(b"[    1.000000][   T43] BUG: Bad page state in process a  pfn:1\n");
    let console = read(&log);
    assert_eq!(console.splats_total(), 10_001);
    assert_eq!(console.splats().len(), ALIKE_MAX + 1, "the other kind has its place");
}

#[test]
fn a_flood_of_warnings_that_start_with_a_cut_leaves_room_for_others() {
    let warning = b"------------[ cut here ]------------\nWARNING: at f+0x1/0x2, CPU#0: a/1\n";
    let console = read(&warning.repeat(10_000));
    assert_eq!((console.splats_total(), console.splats().len()), (10_000, ALIKE_MAX));
}

#[test]
fn hostile_floods_stay_within_bounds() {
    assert_eq!(read(&vec![b'x'; 10_000_000]).last_lines().map(str::len).max(), Some(LINE_BYTES_MAX));
    assert!(read(&vec![b'['; 100_000]).splats().is_empty());
    let mut console = Console::default();
    for thread in 0..10_000 {
        console.feed(
            format!("[    1.000000][{:>6}] Kernel panic - not syncing: x\n", format!("T{thread}")).as_bytes(),
        );
    }
    assert_eq!((console.open.len(), console.splats_total()), (OPEN_MAX, 10_000));
    console.feed(&[b"[    1.000000][ T9999] ".as_slice(), &[b'y'; 4000], b"\n"].concat().repeat(1000));
    assert!(console.splats.iter().flat_map(|splat| &splat.text).map(String::len).sum::<usize>() < 1 << 20);
}

const STACK: &str = "CPU: 0 UID: 0 PID: 101 Comm: t Not tainted 7.2.12 #1 PREEMPT\nHardware name: QEMU\n\
    Call Trace:\n <TASK>\n f+0x1/0x2\n </TASK>\n";

#[test]
fn a_stack_below_a_line_that_no_row_knows_is_trouble_and_shows_that_line() {
    let console = read(format!("some driver: this cannot be\n{STACK}life goes on\n").as_bytes());
    let [splat] = console.splats() else { panic!("{:?}", console.splats()) };
    assert_eq!(
        (splat.kind, splat.headline.as_str()),
        (Kind::UnexplainedStack, "some driver: this cannot be")
    );
    assert_eq!((splat.text.len(), console.splats_total()), (7, 1));
}

#[test]
fn a_stack_that_was_asked_for_is_none() {
    for asked in [
        "FAULT_INJECTION: forcing a failure.\nname fail_page_alloc, interval 1, probability 100, space 0, times -1\n",
        "sysrq: Show backtrace of all active CPUs\n",
        "NMI backtrace for cpu 1\n",
    ] {
        assert_eq!(kinds(format!("{asked}{STACK}").as_bytes()), [], "{asked}");
    }
    let twice = format!("FAULT_INJECTION: forcing a failure.\n{STACK}x: this cannot be\n{STACK}");
    assert_eq!(kinds(twice.as_bytes()), [Kind::UnexplainedStack]);
    assert_eq!(kinds(b"sysrq: Show Regs\nBUG: Bad page state in process a  pfn:1\n"), [Kind::BadPageState]);
}

#[test]
fn the_registers_below_the_end_of_a_report_are_part_of_it() {
    let log = format!(
        "BUG: unable to handle page fault for address: 1\nOops: Oops: 0000 [#1] SMP\n{STACK}\
        ---[ end trace 0000000000000000 ]---\nRIP: 0010:f+0x1/0x2\nModules linked in:\n"
    );
    assert_eq!(kinds(log.as_bytes()), [Kind::PageFault]);
}

#[test]
fn a_log_that_begins_within_a_report_is_trouble() {
    for line in [
        "---[ end trace 0000000000000000 ]---",
        "Tainted: [W]=WARN",
        "RIP: 0010:f+0x1/0x2",
        "Call Trace:",
        "Modules linked in:",
        "stack backtrace:",
        "rcu: \t(detected by 0, t=2102 jiffies, g=1, q=2 ncpus=2)",
        "\"echo 0 > /proc/sys/kernel/hung_task_timeout_secs\" disables this message.",
    ] {
        assert_eq!(kinds(format!("{line}\n").as_bytes()).len(), 1, "{line}");
    }
    assert_eq!(kinds(b"RIP: 0033:0x401000\n"), []);
}

#[test]
fn list_corruption_with_its_bug_is_one_report() {
    let log = b"list_del corruption. prev->next should be 1, but was 2. (prev=3)\n\
        ------------[ cut here ]------------\nkernel BUG at lib/list_debug.c:62!\n\
        Oops: invalid opcode: 0000 [#1] SMP\n---[ end trace 0000000000000000 ]---\n";
    assert_eq!(kinds(log), [Kind::ListCorruption]);
    let apart =
        b"list_del corruption. x\nlife goes on\n------------[ cut here ]------------\nkernel BUG at x.c:1!\n";
    assert_eq!(kinds(apart).len(), 2);
}

#[test]
fn what_a_broken_page_table_leads_to_is_part_of_its_report() {
    let oops = "sh: Corrupted page table at address 7f0012345000\nPGD 1 P4D 1 PUD 1 PMD 1 PTE 1\n\
        Oops: Bad pagetable: 000f [#1] SMP\n---[ end trace 0000000000000000 ]---\n";
    let warning = "unrecognized swap entry 0x7c00000000000001\n------------[ cut here ]------------\n\
        WARNING: mm/memory.c:1798 at f+0x1/0x2, CPU#0: a/1\n---[ end trace 0000000000000000 ]---\n";
    let copy = "usercopy: Kernel memory overwrite attempt detected to x (offset 1, size 2)!\n\
        ------------[ cut here ]------------\nkernel BUG at mm/usercopy.c:102!\n\
        Oops: invalid opcode: 0000 [#1] SMP\n---[ end trace 0000000000000000 ]---\n";
    assert_eq!(kinds(oops.as_bytes()), [Kind::BadPageTable]);
    assert_eq!(kinds(warning.as_bytes()), [Kind::BadPageTable]);
    assert_eq!(kinds(copy.as_bytes()), [Kind::Usercopy]);
}

#[test]
fn what_is_left_of_a_long_report_is_no_report_of_its_own() {
    let lines = " f+0x1/0x2\n".repeat(1000);
    let log = format!(
        "WARNING: possible circular locking dependency detected\n{lines}\
        stack backtrace:\n{STACK}"
    );
    let console = read(log.as_bytes());
    assert_eq!((console.splats_total(), console.splats()[0].text.len()), (1, BLOCK_LINES_MAX));
}

#[test]
fn what_stands_before_the_banner_and_what_other_programs_write_is_not_the_kernels() {
    let firmware = "INFO:    BL31: v2.10\nWARNING: Caches not enabled\nBUG: x\n";
    let log = format!(
        "{firmware}[    0.000000][    T0] Linux version 7.2.12\n[    1.0][ T1] text\n\
        WARNING: a service failed\nBUG: in a program\n"
    );
    assert_eq!(kinds(log.as_bytes()), []);
    let kernel = format!("{log}[    1.000000][    T1] BUG: Bad page state in process a  pfn:1\n");
    assert_eq!(kinds(kernel.as_bytes()), [Kind::BadPageState]);
    // Without printk.time nothing tells whose line it is.
    assert_eq!(kinds(b"Linux version 7.2.12\nBUG: in a program\n"), [Kind::OtherBug]);
    // The kernel that crashed before this one is not firmware.
    let two = "[    9.0][   T1] Kernel panic - not syncing: x\n[    0.000000] Linux version 7.2.12\n";
    assert_eq!(kinds(two.replace("9.0]", "9.000000]").as_bytes()), [Kind::Panic]);
}

/// `cargo test -p xtask rate -- --ignored --nocapture`: 500 MB, half of it reports, and how fast they went through.
#[test]
#[ignore = "a measurement of half a minute, not a check"]
fn rate_of_a_flood_of_500_mb() {
    let boot =
        b"[    0.331123][    T1] pci 0000:00:1f.2: [8086:2922] type 00 class 0x010601 conventional PCI\r\n";
    let splat = b"[    6.027888][   T56] BUG: scheduling while atomic: scenarios/56/0x00000002\r\n\
        [    6.032673][   T56]  ? __pfx_schedule_timeout+0x10/0x10\r\n[    6.033240][   T56]  </TASK>\r\n";
    let chunk = [boot.repeat(5000), splat.repeat(2600)].concat();
    let (started, mut console) = (std::time::Instant::now(), Console::default());
    let chunks = 500_000_000 / chunk.len();
    for _ in 0..chunks {
        console.feed(&chunk);
    }
    let megabytes = (chunks * chunk.len()) as f64 / 1e6;
    println!("{:.1} MB/s, {} splats", megabytes / started.elapsed().as_secs_f64(), console.splats_total());
}

#[test]
fn only_the_kernels_own_word_says_that_init_runs() {
    let runs = |text: &str| read(text.as_bytes()).ran_init();
    assert!(runs("[    1.8][    T1] Run /init as init process\n"));
    assert!(!runs("[    1.8][    T1] Kernel panic: Run /init as init process\n"));
    assert!(!runs("[    1.8][    T1] Run /init\n"));
}

proptest! {
    #[test]
    fn the_same_bytes_cut_anywhere_give_the_same_result(
        lines in proptest::collection::vec(
            "(\\[ +1\\.000\\]\\[ +T[12]\\] )?(BUG: KASAN: x| </TASK>|-{12}\\[ cut here \\]-{12}|WARNING: a|a{0,5000}|\0|\r)",
            0..20,
        ),
        cuts in proptest::collection::vec(0usize..9000, 0..8),
    ) {
        let bytes = lines.join("\n").into_bytes();
        let mut console = Console::default();
        let mut at: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        for pair in at.windows(2) {
            console.feed(&bytes[pair[0]..pair[1]]);
        }
        console.finish();
        let whole = read(&bytes);
        prop_assert_eq!(console.splats(), whole.splats());
        prop_assert_eq!(console.splats_total(), whole.splats_total());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        read(&bytes);
    }
}
