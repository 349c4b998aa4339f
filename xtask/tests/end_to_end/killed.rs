//! The harness is interrupted or killed, or another one is at work: in each stage, with no process left behind.

use std::process::Child;
use std::time::Instant;

use rustix::process::Signal;

use crate::bench::{Bench, Outcome, of_process, signal, wait_for};
use crate::shards::{JOBS_FOR_TWO, many_tests};

/// The stages of a run, each with what makes it hang there.
const STAGES: [(&str, (&str, &str)); 5] = [
    ("fetch", ("STAND_IN_CURL", "hangs")),
    ("guest build", ("STAND_IN_CARGO", "hangs")),
    ("configure", ("STAND_IN_MAKE", "hangs-configuring")),
    ("compile", ("STAND_IN_MAKE", "hangs")),
    ("boot", ("STAND_IN_QEMU", "hangs")),
];

/// Starts a run and waits until it hangs where `hang` says.
pub fn hanging(bench: &Bench, hang: (&str, &str)) -> Child {
    let child = bench.start(&[], &[hang]);
    bench.wait_until_it_hangs();
    child
}

fn ended_by(what: Signal, stage: &str, hang: (&str, &str)) -> Outcome {
    let bench = Bench::with_archive();
    let child = hanging(&bench, hang);
    let there = bench.processes();
    // The harness, the guard of the group, and a child of the child at least.
    assert!(there.len() >= 3, "{there:?}");
    signal(&child, what);
    let outcome = Outcome::new(&child.wait_with_output().unwrap(), bench.report());
    let name = if what == Signal::KILL { "killed" } else { "interrupted" };
    bench.survived(&format!("harness {name}: {stage}"), &outcome);
    outcome
}

#[test]
fn ctrl_c_in_any_stage_leaves_no_process_and_says_that_it_was_interrupted() {
    for (stage, hang) in STAGES {
        let outcome = ended_by(Signal::INT, stage, hang);
        assert_eq!(outcome.exit, Some(130), "{stage}: {outcome:?}");
        if stage != "fetch" {
            assert_eq!(outcome.report["interrupted"], true, "{stage}: {outcome:?}");
        }
    }
}

#[test]
fn sigkill_in_any_stage_leaves_no_process_and_no_report() {
    for (stage, hang) in STAGES {
        let outcome = ended_by(Signal::KILL, stage, hang);
        assert_eq!(outcome.exit, None, "{stage}: {outcome:?}");
        assert!(outcome.report.is_null(), "{stage}: {outcome:?}");
    }
}

#[test]
fn an_interrupted_build_keeps_the_objects_that_are_complete() {
    for (what, kept) in [(Signal::INT, true), (Signal::KILL, false)] {
        let bench = Bench::new();
        let child = hanging(&bench, ("STAND_IN_MAKE", "hangs"));
        signal(&child, what);
        child.wait_with_output().unwrap();
        bench.run(&[], &[]).is("pass", 0, "");
        // Nothing says of it that it is complete: one that was killed may have left it half written.
        assert_eq!(!bench.find("whole.o").is_empty(), kept, "{what:?}");
        assert!(bench.find("half.o").is_empty(), "{what:?}");
    }
}

/// Of a process as [`Bench::processes`] lists it.
fn is_stopped(process: &str) -> bool {
    of_process(process, "stat")
        .rsplit_once(')')
        .is_some_and(|(_, fields)| fields.trim_start().starts_with('T'))
}

#[test]
fn stopped_guests_die_with_the_harness() {
    for (what, name) in [(Signal::INT, "interrupted"), (Signal::KILL, "killed")] {
        let bench = many_tests();
        let campaign = std::fs::read_to_string(bench.path("c.yaml")).unwrap();
        bench.write(
            "c.yaml",
            &campaign.replace("failures: 8, inject: all}", "failures: 8, inject: all, exclusive: true}"),
        );
        let child = bench.start(&JOBS_FOR_TWO, &[("STAND_IN_QEMU", "hangs")]);
        wait_for(|| bench.processes().iter().any(|process| is_stopped(process)).then_some(()));
        signal(&child, what);
        let outcome = Outcome::new(&child.wait_with_output().unwrap(), bench.report());
        bench.survived(&format!("harness {name}: one guest alone"), &outcome);
    }
}

#[test]
fn sigkill_at_any_moment_is_not_in_the_way_of_the_next_run() {
    const MOMENTS: u32 = 40;
    let bench = Bench::new();
    // The moments are parts of what a run takes here, so that copying, building, booting and reporting are all hit.
    let started = Instant::now();
    bench.run(&[], &[]).is("pass", 0, "");
    let whole_run = started.elapsed();
    let mut cut_off = 0;
    for moment in 0..MOMENTS {
        let child = bench.start(&[], &[]);
        std::thread::sleep(whole_run * moment / MOMENTS);
        signal(&child, Signal::KILL);
        let output = child.wait_with_output().unwrap();
        let outcome = Outcome::new(&output, serde_json::Value::Null);
        // Either is right: the last moments may come after the end.
        if outcome.exit.is_none() {
            cut_off += 1;
            bench.survived(&format!("harness killed: after {moment}/{MOMENTS} of a run"), &outcome);
        } else {
            assert_eq!(outcome.exit, Some(0), "{outcome:?}");
        }
    }
    assert!(cut_off > 0);
}
