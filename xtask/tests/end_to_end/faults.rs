//! What goes wrong around a kernel never becomes a pass. Each test takes a run that passes with stand-ins and
//! breaks one thing in it; afterwards the next run works without any cleaning up.

use std::time::{Duration, Instant};

use crate::bench::{Bench, Outcome};

fn qemu(fault: &str) -> Outcome {
    Bench::new().run(&[], &[("STAND_IN_QEMU", fault)])
}

fn expect(outcome: &Outcome, verdict: &str, exit: i32, reason: &str) {
    assert_eq!(outcome.verdict(), verdict, "{outcome:?}");
    assert_eq!(outcome.exit, Some(exit), "{outcome:?}");
    assert!(outcome.reasons().contains(reason), "{outcome:?}");
}

#[test]
fn with_nothing_wrong_the_stand_ins_pass_so_each_fault_is_what_takes_it_away() {
    let bench = Bench::new();
    expect(&bench.run(&[], &[]), "pass", 0, "");
    let run = bench.path("work/runs/latest");
    for file in ["report.txt", "junit.xml", "patch.patch", "cells/7.2/x86_64/v/patched/repro.sh"] {
        assert!(run.join(file).exists(), "{file}");
    }
}

#[test]
fn a_qemu_that_fails_is_infra_and_its_words_are_repeated() {
    expect(&qemu("fails"), "infra", 3, "a stand-in for trouble");
}

#[test]
fn a_qemu_that_is_missing_is_named_with_the_command_that_installs_it() {
    let bench = Bench::new();
    let output = bench.command(&bench.matrix(&[]), &[("PATH", bench.path("bin").to_str().unwrap())]);
    std::fs::remove_file(bench.path("bin/qemu-system-x86_64")).unwrap();
    let outcome = Outcome::new(&{ output }.output().unwrap(), bench.report());
    assert_eq!(outcome.exit, Some(3), "{outcome:?}");
    assert!(
        outcome.stderr.contains("qemu-system-x86_64") && outcome.stderr.contains("qemu-system-x86"),
        "{outcome:?}"
    );
}

#[test]
fn a_kernel_that_says_nothing_is_infra_although_qemu_exits_0() {
    expect(&qemu("says-nothing"), "infra", 3, "printed nothing");
}

#[test]
fn a_guest_that_exits_0_without_its_trailer_fails() {
    expect(&qemu("exits"), "fail", 1, "before its trailer");
    expect(&qemu("no-trailer"), "fail", 1, "before its trailer");
}

#[test]
fn another_boots_nonce_is_no_evidence() {
    expect(&qemu("wrong-nonce"), "infra", 3, "cannot be trusted");
}

#[test]
fn garbage_between_the_results_makes_them_untrusted() {
    expect(&qemu("garbage"), "infra", 3, "cannot be trusted");
}

#[test]
fn a_flood_is_cut_off() {
    let outcome = qemu("flood");
    assert_ne!(outcome.verdict(), "pass");
    assert!(outcome.reasons().contains("flooded"), "{outcome:?}");
}

#[test]
fn fewer_tests_than_asked_for_are_vacuous() {
    expect(&qemu("too-few-tests"), "vacuous", 3, "planned and not run");
    expect(&qemu("broken"), "vacuous", 3, "not carried out");
    expect(&qemu("nothing-injected"), "vacuous", 3, "0 failures injected of 8");
}

#[test]
fn a_splat_a_panic_and_a_taint_fail() {
    expect(&qemu("splat"), "fail", 1, "sleeping function called from invalid context");
    expect(&qemu("panic"), "fail", 1, "Kernel panic");
    expect(&qemu("panic-late"), "fail", 1, "Kernel panic");
    expect(&qemu("taint"), "fail", 1, "no splat was seen");
}

#[test]
fn a_patch_that_changes_nothing_fails() {
    expect(&qemu("ipi-kept"), "fail", 1, "8 fallbacks should give");
}

#[test]
fn a_compile_error_is_the_patchs_and_a_killed_compiler_the_hosts() {
    let make = |fault| Bench::new().run(&[], &[("STAND_IN_MAKE", fault)]);
    expect(
        &make("compile-error"),
        "fail",
        1,
        "in a file the patch changes: mm/mmu_gather.c:315:2: error: stand-in",
    );
    expect(&make("killed"), "infra", 3, "most likely for memory");
    expect(&make("disk-full"), "infra", 3, "the disk is full");
    expect(&make("loses-symbol"), "vacuous", 3, "CONFIG_PT_RECLAIM: asked for y");
}

#[test]
fn a_failed_build_is_not_in_the_way_of_the_next_run() {
    let bench = Bench::new();
    expect(&bench.run(&[], &[("STAND_IN_MAKE", "disk-full")]), "infra", 3, "");
    expect(&bench.run(&[], &[]), "pass", 0, "");
}

#[test]
fn fail_fast_leaves_the_rest_unrun_and_keep_going_does_not() {
    let unrun = |flag| {
        let outcome =
            Bench::new().run(&[flag], &[("STAND_IN_QEMU", "says-nothing"), ("STAND_IN_MAKE", "slow")]);
        expect(&outcome, "infra", 3, "");
        let cells = outcome.report["cells"].as_array().unwrap().clone();
        cells.iter().filter(|cell| cell["accel"].is_null()).count()
    };
    // The patched kernel is still being built when the base has failed.
    assert_eq!((unrun("--keep-going"), unrun("--fail-fast")), (0, 1));
}

#[test]
fn json_on_standard_output_is_the_report_and_nothing_else() {
    let bench = Bench::new();
    let outcome = bench.run(&["--format", "json"], &[]);
    let printed: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(printed, outcome.report);
}

#[test]
fn repeated_boots_are_counted_and_their_bound_is_stated() {
    let outcome = Bench::new().run(&["--repeat", "3"], &[]);
    expect(&outcome, "pass", 0, "");
    assert_eq!(outcome.stdout.matches("0 of 3 boots failed: with 95 % confidence").count(), 2, "{outcome:?}");
    let outcome = Bench::new().run(&["--repeat", "3"], &[("STAND_IN_QEMU", "taint")]);
    expect(&outcome, "fail", 1, "boot 3: the kernel is tainted");
    assert!(outcome.stdout.contains("patched: 3 of 3 boots failed"), "{outcome:?}");
}

#[test]
fn ctrl_c_ends_every_child_and_leaves_a_partial_report() {
    let bench = Bench::new();
    let child = bench.start(&[], &[("STAND_IN_MAKE", "hangs")]);
    let grandchild =
        wait_for(|| std::fs::read_to_string(bench.path("pids")).ok().filter(|pid| pid.ends_with('\n')));
    // SAFETY: a signal to a child of this test that has not been waited for.
    unsafe { libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGINT) };
    let outcome = Outcome::new(&child.wait_with_output().unwrap(), bench.report());
    assert_eq!(outcome.exit, Some(130), "{outcome:?}");
    assert_eq!(outcome.report["interrupted"], true);
    assert_ne!(outcome.verdict(), "pass");
    let stat = format!("/proc/{}/stat", grandchild.trim());
    wait_for(|| std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z ")).then_some(()));
    expect(&bench.run(&[], &[]), "pass", 0, "");
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "waited too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}
