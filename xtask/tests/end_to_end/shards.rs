//! A suite that several guests of one kernel share.

use crate::bench::Bench;

/// Guest tests that there are; nobody runs them here.
const TESTS: [&str; 16] = [
    "munmap",
    "exit",
    "map-fixed",
    "brk",
    "mremap-move",
    "mremap-shrink",
    "exec",
    "sigkill",
    "fork-failure",
    "stack-shift",
    "other-task",
    "dontneed",
    "ldt",
    "collapse",
    "walkers",
    "hotplug",
];

/// Enough tests for two guests, where there are two cores for each cell.
pub fn many_tests() -> Bench {
    let bench = Bench::new();
    let tests = TESTS.map(|name| format!("{{name: {name}, failures: 8, inject: all}}"));
    let campaign = std::fs::read_to_string(bench.path("c.yaml")).unwrap();
    bench.write("c.yaml", &campaign.replace("{name: munmap, failures: 8, inject: all}", &tests.join(", ")));
    bench
}

pub const JOBS_FOR_TWO: [&str; 2] = ["--jobs", "4"];

#[test]
fn two_guests_share_the_tests_of_a_cell_where_there_are_cores_for_them() {
    let bench = many_tests();
    let outcome = bench.run(&JOBS_FOR_TWO, &[]);
    outcome.is("pass", 0, "");
    let cells = outcome.report["cells"].as_array().unwrap();
    assert!(
        cells.iter().all(|cell| cell["scenarios"].as_array().unwrap().len() == TESTS.len()),
        "{outcome:?}"
    );
    assert!(outcome.stderr.contains("in 2 guests"), "{outcome:?}");
    let cell = bench.cell("patched");
    assert!(cell.join("guest-2/console.log").exists() && !cell.join("guest-3").exists());
    let repro = std::fs::read_to_string(cell.join("repro.sh")).unwrap();
    assert_eq!(repro.matches("-initrd initramfs.cpio").count(), 2, "{repro}");

    let outcome = bench.run(&["--jobs", "2"], &[]);
    outcome.is("pass", 0, "");
    assert!(!outcome.stderr.contains("guests"), "{outcome:?}");
    // However many ran them: the same tests of the same kernel.
    let again = bench.run(&["--recorded", "--jobs", "4"], &[]);
    again.is("pass", 0, "");
    assert!(again.stdout.contains("RECORDED: 2 of 2"), "{again:?}");
}

#[test]
fn trouble_in_the_second_guest_is_trouble() {
    for (fault, verdict, exit) in [
        ("splat", "fail", 1),
        ("panic", "fail", 1),
        ("taint", "fail", 1),
        ("base-kept", "fail", 1),
        ("no-trailer", "fail", 1),
        ("broken", "vacuous", 3),
        ("too-few-tests", "vacuous", 3),
        ("nothing-injected", "vacuous", 3),
        ("fails", "infra", 3),
        ("garbage", "infra", 3),
    ] {
        let bench = many_tests();
        let outcome = bench.run(&JOBS_FOR_TWO, &[("STAND_IN_QEMU", &format!("second:{fault}"))]);
        outcome.is(verdict, exit, "");
        bench.survived(&format!("second guest: {fault}"), &outcome);
    }
}
