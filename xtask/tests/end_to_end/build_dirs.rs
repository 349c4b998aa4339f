//! Variants that are built side by side, each in a build directory of its own.

use std::path::PathBuf;

use crate::bench::{Bench, Outcome, signal};

const SECOND_VARIANT: &str = "
  - name: w
    arch: x86_64
    about: other stand-ins
    fragments: [pt-reclaim-on, guest]
    expect: {base: sends, patched: waits}
";

pub fn two_variants() -> Bench {
    let bench = Bench::new();
    let campaign = std::fs::read_to_string(bench.path("c.yaml")).unwrap();
    bench.write("c.yaml", &(campaign + SECOND_VARIANT.trim_start_matches('\n')));
    bench
}

fn build_dir(bench: &Bench, name: &str) -> PathBuf {
    let homes = std::fs::read_dir(bench.path("work/snapshot")).unwrap();
    let mut homes = homes.map(|home| home.unwrap().path()).filter(|home| home.is_dir());
    homes.next().unwrap().join("build-dirs").join(name)
}

#[test]
fn each_variant_has_a_build_dir_and_a_new_one_starts_as_a_copy_of_its_neighbour() {
    let bench = two_variants();
    let outcome = bench.run(&[], &[]);
    outcome.is("pass", 0, "");
    assert_eq!(outcome.report["pairs"][1]["verdict"], "pass", "{outcome:?}");
    let colds = outcome.report["cells"].as_array().unwrap().iter().filter(|cell| cell["cold"] == true);
    assert_eq!(colds.count(), 1, "{outcome:?}");

    std::fs::write(build_dir(&bench, "x86_64-v.patch").join("tree/patchproof-objects/mark.o"), "").unwrap();
    std::fs::remove_dir_all(build_dir(&bench, "x86_64-w.patch")).unwrap();
    bench.run(&[], &[]).is("pass", 0, "");
    assert!(build_dir(&bench, "x86_64-w.patch").join("tree/patchproof-objects/mark.o").exists());
}

#[test]
fn with_one_job_nothing_boots_while_a_kernel_is_built() {
    let outcome = two_variants().run(&["--jobs", "1"], &[]);
    outcome.is("pass", 0, "");
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    let last_build = lines.iter().rposition(|line| line.ends_with(": build")).unwrap();
    let first_boot = lines.iter().position(|line| line.ends_with(": boot")).unwrap();
    assert!(last_build < first_boot, "{outcome:?}");
}

#[test]
fn an_interrupted_run_ends_while_one_build_dir_waits_for_another() {
    let bench = two_variants();
    let child = bench.start(&["--jobs", "4"], &[("STAND_IN_MAKE", "hangs")]);
    bench.wait_until_it_hangs();
    signal(&child, rustix::process::Signal::INT);
    let outcome = Outcome::new(&child.wait_with_output().unwrap(), bench.report());
    assert_eq!(outcome.exit, Some(130), "{outcome:?}");
    bench.survived("harness interrupted: one build directory waits for another", &outcome);
}
