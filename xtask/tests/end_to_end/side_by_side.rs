//! Several runs in one checkout: what only looks never waits, a second matrix queues or has build directories of its own, and
//! verdicts are those of runs one after another.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::bench::{Bench, Outcome, signal};
use crate::killed::hanging;

const HANGS: (&str, &str) = ("STAND_IN_MAKE", "hangs");

/// What only looks takes a moment; a lock would be waited for longer than that.
const A_MOMENT: Duration = Duration::from_secs(30);

/// A run is in the queue after some milliseconds.
const TO_THE_QUEUE: Duration = Duration::from_secs(5);

fn xtask(bench: &Bench, args: &[&str]) -> Outcome {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    bench.finish(bench.command(&args, &[]))
}

fn seed() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../patches/mmu_gather-v2.patch").display().to_string()
}

fn ended(bench: &Bench, child: Child) -> Outcome {
    Outcome::new(&child.wait_with_output().unwrap(), bench.report())
}

#[test]
fn what_only_looks_does_not_wait_for_a_matrix() {
    // The tree is a directory of the user's, and one that was fetched.
    for bench in [Bench::new(), Bench::with_archive()] {
        let mut first = hanging(&bench, HANGS);
        bench.write("clean.log", "Linux version 7.2.12\n");
        let source: Vec<&str> = bench.source.iter().map(String::as_str).collect();
        let seed = seed();
        let patch = [&["patch", &seed, "--campaign", "./c.yaml"], &source[..]].concat();
        let plan = [&["matrix", "--dry-run", "--campaign", "./c.yaml"], &source[..]].concat();
        for args in [&patch[..], &plan[..], &["doctor"], &["console", "clean.log"]] {
            let started = Instant::now();
            let outcome = xtask(&bench, args);
            assert!(started.elapsed() < A_MOMENT, "{args:?}: {outcome:?}");
            assert!(!outcome.stderr.contains("waiting"), "{args:?}: {outcome:?}");
            // What a host lacks is not what this is about.
            assert!(outcome.exit == Some(0) || args == ["doctor"], "{args:?}: {outcome:?}");
        }
        assert_eq!(first.try_wait().unwrap(), None, "the matrix goes on");
        signal(&first, Signal::KILL);
        first.wait().unwrap();
    }
}

#[test]
fn second_matrix_queues_and_says_behind_what() {
    let bench = Bench::new();
    let first = hanging(&bench, HANGS);
    let pid = first.id();
    let run = bench.path("work/runs/latest").canonicalize().unwrap();
    let second = bench.start(&[], &[]);
    std::thread::sleep(TO_THE_QUEUE);
    assert_eq!(bench.path("work/runs/latest").canonicalize().unwrap(), run, "it has not begun");
    signal(&first, Signal::INT);
    let first = ended(&bench, first);
    assert_eq!(first.exit, Some(130));
    let second = ended(&bench, second);
    second.is("pass", 0, "");
    let holder = format!("waiting for process {pid} ({})", run.display());
    assert!(second.stderr.contains(&holder) && second.stderr.contains("--no-queue"), "{second:?}");
    bench.survived("a run queues behind one that is interrupted", &first);
}

#[test]
fn matrix_that_does_not_queue_has_build_dirs_and_a_copy_of_its_own() {
    let bench = Bench::new();
    let mut first = hanging(&bench, HANGS);
    bench.run(&["--no-queue"], &[]).is("pass", 0, "");
    let homes = || {
        let homes = std::fs::read_dir(bench.path("work/snapshot")).unwrap().flatten().map(|home| home.path());
        homes.filter(|home| home.is_dir()).collect::<Vec<_>>()
    };
    assert_eq!(homes().len(), 1, "the copy of the source is shared");
    assert!(homes()[0].join("build-dirs-2/x86_64-v.patch").is_dir());
    // The run that goes on keeps what the directory was before.
    bench.write("tree/mm/other.c", "int other;\n");
    bench.run(&["--no-queue"], &[]).is("pass", 0, "");
    let copies = homes();
    assert_eq!(copies.len(), 2);
    let with = copies.iter().filter(|home| home.join("tree/mm/other.c").exists());
    assert_eq!(with.count(), 1, "{copies:?}");
    assert_eq!(first.try_wait().unwrap(), None, "the first matrix goes on");
    signal(&first, Signal::KILL);
    let first = Outcome::new(&first.wait_with_output().unwrap(), Value::Null);
    bench.survived("a run goes on beside one that is killed", &first);
    let cleaned = xtask(&bench, &["cache", "--clean"]);
    assert_eq!(cleaned.exit, Some(0), "{cleaned:?}");
    assert!(bench.find("x86_64-v.patch").is_empty());
}

/// A patch that changes nothing that counts.
const IDLE: &str = "--- a/mm/mmu_gather.c\n+++ b/mm/mmu_gather.c\n@@ -1,5 +1,6 @@\n // SPDX-License-Identifier: GPL-2.0\n #include <linux/gfp.h>\n\
    +/* idle */\n #include <linux/highmem.h>\n #include <linux/kernel.h>\n #include <linux/mmdebug.h>\n";

/// Verdict and reasons of each run.
fn judged(report: &Value) -> (Value, Value) {
    (report["exit_code"].clone(), report["pairs"].clone())
}

#[test]
fn verdicts_of_runs_at_the_same_time_are_those_of_runs_one_after_another() {
    let bench = Bench::new();
    bench.write("idle.patch", IDLE);
    let seed = seed();
    let runs = [vec!["--patch", &seed], vec!["--patch", "idle.patch"], vec!["--patch", &seed, "--no-queue"]];
    let alone: Vec<_> = runs.iter().map(|args| judged(&bench.run(args, &[]).report)).collect();
    assert_eq!(alone[0].0, 0, "{alone:?}");
    assert_ne!(alone[1].0, 0, "{alone:?}");
    let out = |number: usize| bench.path(&format!("out-{number}"));
    let start = |(number, args): (usize, &Vec<&str>)| {
        let out = out(number);
        bench.start(&[&args[..], &["--out", out.to_str().unwrap()]].concat(), &[])
    };
    let children: Vec<Child> = runs.iter().enumerate().map(start).collect();
    for (number, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        let report = std::fs::read(out(number).join("report.json")).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!(judged(&serde_json::from_slice(&report).unwrap()), alone[number]);
    }
}
