//! What goes wrong around a kernel never becomes a pass. Each test takes a run that passes with stand-ins and
//! breaks one thing in it; afterwards the next run works without any cleaning up.

use crate::bench::{Bench, Outcome, SHORT_TIMEOUTS};

fn survive(fault: &str, more: &[&str], env: &[(&str, &str)]) -> Outcome {
    let bench = Bench::new();
    let outcome = bench.run(more, env);
    bench.survived(fault, &outcome);
    outcome
}

/// A guest, or a QEMU, that goes wrong on the patched arm.
fn qemu(what: &str) -> Outcome {
    survive(&format!("guest: {what}"), &[], &[("STAND_IN_QEMU", what), SHORT_TIMEOUTS])
}

fn make(what: &str) -> Outcome {
    survive(&format!("build: {what}"), &[], &[("STAND_IN_MAKE", what)])
}

#[test]
fn nothing_of_the_callers_environment_changes_what_is_built() {
    let bench = Bench::new();
    let strange =
        [("MAKEFILES", "/dev/null"), ("MAKEFLAGS", "-n"), ("KAFLAGS", "-DSTRANGE"), ("CPATH", "/strange")];
    bench.run(&[], &strange).is("pass", 0, "");
    let build_dirs = bench.find("make.env");
    let environment = std::fs::read_to_string(build_dirs.first().unwrap()).unwrap();
    assert!(environment.lines().any(|line| line.starts_with("KBUILD_BUILD_USER=")), "{environment}");
    for (name, value) in strange {
        assert!(!environment.contains(&format!("{name}={value}")), "{name}: {environment}");
    }
}

#[test]
fn with_nothing_wrong_the_stand_ins_pass_so_each_fault_is_what_takes_it_away() {
    let bench = Bench::new();
    let outcome = bench.run(&[], &[]);
    outcome.is("pass", 0, "");
    assert!(outcome.stdout.starts_with("pass: 1 of 1 variants passed, 1 tests,"), "{outcome:?}");
    let run = bench.path("work/runs/latest");
    for file in ["report.txt", "junit.xml", "patch-7.2.patch", "cells/7.2/x86_64/v/patched/repro.sh"] {
        assert!(run.join(file).exists(), "{file}");
    }
}

#[test]
fn a_qemu_that_fails_is_infra_and_its_words_are_repeated() {
    qemu("fails").is("infra", 3, "a stand-in for trouble");
}

#[test]
fn a_qemu_that_is_missing_is_named_with_the_command_that_installs_it() {
    let bench = Bench::new();
    let command = bench.command(&bench.matrix(&[]), &[("PATH", bench.path("bin").to_str().unwrap())]);
    let (there, away) = (bench.path("bin/qemu-system-x86_64"), bench.path("qemu"));
    std::fs::rename(&there, &away).unwrap();
    let outcome = bench.finish(command);
    std::fs::rename(&away, &there).unwrap();
    bench.survived("host: no QEMU", &outcome);
    assert_eq!(outcome.exit, Some(3), "{outcome:?}");
    assert!(outcome.stderr.contains("qemu-system-x86"), "{outcome:?}");
}

/// The package manager is a stand-in that makes every tool; the host's own family decides whether it is asked.
#[test]
fn tools_are_installed_on_a_machine_where_no_directory_of_ours_exists_yet() {
    let bench = Bench::new();
    std::fs::remove_dir_all(bench.path("bin")).unwrap();
    bench.program("bin/apt-get", include_str!("stand_ins/apt-get.sh"));
    bench.program("bin/sudo", "#!/bin/sh\nshift\nexec \"$@\"\n");
    bench.program("bin/env", "#!/bin/sh\nexec /usr/bin/env \"$@\"\n");
    bench.program("bin/true", "#!/bin/sh\n");
    assert!(!bench.path("work").exists());
    let alone = bench.path("bin");
    let run = |args: &[&str]| {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        bench.finish(bench.command(&args, &[("PATH", alone.to_str().unwrap())]))
    };
    assert_eq!(run(&["doctor"]).exit, Some(3));
    let outcome = run(&["doctor", "--install-deps"]);
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
    let log = std::fs::read_to_string(bench.path("work/install.log")).unwrap();
    assert!(log.contains("install --no-install-recommends -y qemu-system-x86 make gcc"), "{log}");
}

#[test]
fn a_qemu_that_is_killed_is_infra_with_its_signal() {
    qemu("is-killed").is("infra", 3, "was killed by signal 9");
}

#[test]
fn a_qemu_that_is_stopped_is_infra_because_its_monitor_does_not_answer() {
    qemu("is-stopped").is("infra", 3, "QEMU does not answer");
}

#[test]
fn a_kernel_that_says_nothing_is_infra_although_qemu_exits_0() {
    qemu("says-nothing").is("infra", 3, "printed nothing");
}

#[test]
fn a_guest_that_hangs_with_interrupts_off_fails_with_its_last_line_and_what_its_cpus_do() {
    let bench = Bench::new();
    let outcome = bench.run(&[], &[("STAND_IN_QEMU", "hangs"), SHORT_TIMEOUTS]);
    outcome.is("fail", 1, "fell silent before its trailer; its last line:");
    assert!(outcome.reasons().contains("CPU 0: 0xffffffff81000010"), "{outcome:?}");
    let cell = bench.cell("patched");
    assert!(std::fs::read_to_string(cell.join("registers.txt")).unwrap().contains("RIP=ffffffff81000010"));
    let evidence: serde_json::Value =
        serde_json::from_slice(&std::fs::read(cell.join("evidence.json")).unwrap()).unwrap();
    // The timeouts of this test, and not those of a real run.
    assert_eq!(evidence["boot"]["watched"]["silence_secs"], 2.0, "{evidence}");
    bench.survived("guest: hangs", &outcome);
}

#[test]
fn a_guest_that_hangs_in_user_space_while_its_console_is_alive_meets_its_deadline() {
    qemu("chatters").is("fail", 1, "time was up before its trailer");
}

#[test]
fn a_guest_that_does_not_end_after_its_trailer_fails() {
    qemu("stays").is("fail", 1, "fell silent after its trailer");
}

#[test]
fn a_guest_that_exits_0_without_its_trailer_fails() {
    qemu("exits").is("fail", 1, "before its trailer");
    qemu("no-trailer").is("fail", 1, "before its trailer");
}

#[test]
fn a_kernel_that_restarts_before_init_is_no_pass_although_qemu_exits_0() {
    qemu("triple-faults").is("fail", 1, "ended before its trailer");
    qemu("boot-loops").is("fail", 1, "ended before its trailer");
}

#[test]
fn another_boots_nonce_is_no_evidence() {
    qemu("wrong-nonce").is("infra", 3, "cannot be trusted");
}

#[test]
fn garbage_between_the_results_makes_them_untrusted() {
    qemu("garbage").is("infra", 3, "cannot be trusted");
}

#[test]
fn a_flood_is_cut_off() {
    let outcome = qemu("flood");
    assert!(outcome.reasons().contains("flooded"), "{outcome:?}");
    for (what, file) in [("console-flood", "console.log"), ("words-flood", "qemu.log")] {
        let bench = Bench::new();
        let outcome = bench.run(&[], &[("STAND_IN_QEMU", what), SHORT_TIMEOUTS]);
        assert!(outcome.reasons().contains("flooded"), "{outcome:?}");
        let size = std::fs::metadata(bench.cell("patched").join(file)).unwrap().len();
        assert!(size <= 16 << 20, "{what}: {size}");
        bench.survived(&format!("guest: {what}"), &outcome);
    }
}

#[test]
fn fewer_tests_than_asked_for_are_vacuous() {
    qemu("too-few-tests").is("vacuous", 3, "planned and not run");
    qemu("broken").is("vacuous", 3, "not carried out");
    qemu("nothing-injected").is("vacuous", 3, "0 failures injected of 8");
}

#[test]
fn a_panic_fails_before_init_in_the_middle_and_after_the_trailer() {
    qemu("panic-early").is("fail", 1, "Kernel panic");
    qemu("panic").is("fail", 1, "Kernel panic");
    qemu("panic-late").is("fail", 1, "Kernel panic");
}

#[test]
fn an_init_that_crashes_fails() {
    qemu("init-crashes").is("fail", 1, "Attempted to kill init");
}

#[test]
fn a_splat_and_a_taint_fail() {
    qemu("splat").is("fail", 1, "sleeping function called from invalid context");
    qemu("taint").is("fail", 1, "no splat was seen");
}

#[test]
fn a_patch_that_changes_nothing_fails() {
    qemu("base-kept").is("fail", 1, "8 slow ways should give");
}

#[test]
fn a_result_file_that_can_grow_no_more_is_no_result() {
    // QEMU goes on when a file of its own cannot be written.
    let outcome = qemu("results-cut");
    assert!(["infra", "fail"].contains(&outcome.verdict()), "{outcome:?}");
    assert!(outcome.reasons().contains("trailer"), "{outcome:?}");
}

#[test]
fn a_compile_error_is_the_patchs_and_a_killed_compiler_the_hosts() {
    let named = "in a file the patch changes: mm/mmu_gather.c:315:2: error: stand-in";
    make("compile-error").is("fail", 1, named);
    make("killed").is("infra", 3, "most likely for memory");
    make("dies").is("infra", 3, "was killed by signal 9");
    make("disk-full").is("infra", 3, "the disk is full");
    make("loses-symbol").is("vacuous", 3, "CONFIG_PT_RECLAIM: asked for y");
}

#[test]
fn guest_binaries_that_do_not_build_are_infra() {
    let outcome = survive("build: no guest binaries", &[], &[("STAND_IN_CARGO", "fails")]);
    assert_eq!(outcome.exit, Some(3), "{outcome:?}");
    assert!(outcome.stderr.contains("the guest binaries do not build"), "{outcome:?}");
}

#[test]
fn fail_fast_leaves_the_rest_unrun_and_keep_going_does_not() {
    let unrun = |flag| {
        // One job: one build directory after the other.
        let slow = [("STAND_IN_QEMU", "says-nothing"), ("STAND_IN_MAKE", "slow")];
        let outcome = Bench::new().run(&[flag, "--jobs", "1"], &slow);
        outcome.is("infra", 3, "");
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
    outcome.is("pass", 0, "");
    let repetition = |outcome: &Outcome, cell: usize| outcome.report["cells"][cell]["repetition"].clone();
    for cell in 0..2 {
        let of = repetition(&outcome, cell);
        assert_eq!((&of["boots"], &of["failed"]), (&3.into(), &0.into()), "{outcome:?}");
        assert!(of["bound"].is_f64(), "{outcome:?}");
    }
    assert!(outcome.said().contains("base: 0 of 3 boots failed: with 95 % confidence"), "{outcome:?}");
    let outcome = Bench::new().run(&["--repeat", "3"], &[("STAND_IN_QEMU", "taint")]);
    outcome.is("fail", 1, "boot 3: the kernel is tainted");
    assert_eq!(repetition(&outcome, 1)["failed"], 3, "{outcome:?}");
}

#[test]
fn kvm_that_opens_and_does_not_boot_gives_way_to_tcg_and_says_so() {
    let dead = [("STAND_IN_QEMU", "kvm-is-dead"), ("PATCHPROOF_DEADLINE_PERCENT", "10")];
    let bench = Bench::new();
    let outcome = bench.run(&["--accel", "auto"], &dead);
    // Only kvm is dead: under TCG the same guest is sound.
    outcome.is("pass", 0, "");
    assert_eq!(outcome.report["accels"][0]["name"], "tcg");
    let opens = std::fs::File::options().read(true).write(true).open("/dev/kvm").is_ok();
    let why = if opens { "kvm did not boot a kernel" } else { "kvm cannot be used" };
    assert!(outcome.report["accels"][0]["reason"].as_str().unwrap().starts_with(why), "{outcome:?}");
    let outcome = survive("host: kvm that boots nothing, asked for by name", &["--accel", "kvm"], &dead);
    assert_eq!(outcome.exit, Some(3), "{outcome:?}");
}
