//! What a stage leaves in the run's directory is read back: a run can be judged and shown again.

use std::path::PathBuf;

use serde_json::Value;

use crate::bench::{Bench, Outcome};

/// The directory of the last run.
fn latest(bench: &Bench) -> PathBuf {
    bench.path("work/runs/latest").canonicalize().unwrap()
}

fn xtask(bench: &Bench, args: &[&str]) -> Outcome {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    bench.finish(bench.command(&args, &[]))
}

fn json(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_run_that_is_judged_again_gives_the_same_report() {
    let bench = Bench::new();
    let first = bench.run(&[], &[]);
    first.is("pass", 0, "");
    let report = latest(&bench).join("report.json");
    let files = ["report.json", "report.txt", "junit.xml"];
    let before = files.map(|file| std::fs::read_to_string(latest(&bench).join(file)).unwrap());
    std::fs::remove_file(&report).unwrap();
    let again = xtask(&bench, &["judge", latest(&bench).to_str().unwrap()]);
    assert_eq!(again.exit, Some(0), "{again:?}");
    assert_eq!(files.map(|file| std::fs::read_to_string(latest(&bench).join(file)).unwrap()), before);
    assert_eq!(again.stdout, first.stdout);
}

#[test]
fn a_run_that_failed_or_was_interrupted_is_judged_again_in_the_same_way() {
    let bench = Bench::new();
    let first = bench.run(&[], &[("STAND_IN_MAKE", "compile-error")]);
    assert_ne!(first.exit, Some(0), "{first:?}");
    let again = xtask(&bench, &["judge"]);
    assert_eq!((again.exit, &again.stdout), (first.exit, &first.stdout));
    // As of a run that was killed.
    std::fs::remove_file(latest(&bench).join("run.json")).unwrap();
    let killed = xtask(&bench, &["judge"]);
    assert_eq!(killed.exit, Some(130), "{killed:?}");
}

#[test]
fn a_run_that_a_failure_ended_is_judged_with_the_exit_code_of_that_failure() {
    let bench = Bench::new();
    assert_eq!(bench.run(&[], &[("STAND_IN_MAKE", "compile-error")]).exit, Some(1));
    let file = latest(&bench).join("run.json");
    let mut course = json(&file);
    course["ended"] = 3.into();
    std::fs::write(&file, course.to_string()).unwrap();
    let judged = xtask(&bench, &["judge"]);
    assert_eq!(judged.exit, Some(3), "its verdict alone would be 1: {judged:?}");
    assert!(judged.stdout.lines().next().unwrap().ends_with(", exit code 3"), "{judged:?}");
    for code in [0, 99] {
        course["ended"] = code.into();
        std::fs::write(&file, course.to_string()).unwrap();
        let refused = xtask(&bench, &["judge"]);
        assert_eq!(refused.exit, Some(2), "{refused:?}");
        assert!(refused.stderr.contains(&format!("no failure ends with {code}")), "{refused:?}");
    }
}

#[test]
fn changed_evidence_changes_the_verdict() {
    let bench = Bench::new();
    bench.run(&[], &[]).is("pass", 0, "");
    let file = latest(&bench).join("cells/7.2/x86_64/v/patched/evidence.json");
    let sound = json(&file);
    let mut tainted = sound.clone();
    tainted["boot"]["trailer"]["tainted"] = 512.into();
    std::fs::write(&file, tainted.to_string()).unwrap();
    let outcome = xtask(&bench, &["judge", "latest"]);
    assert_eq!(outcome.exit, Some(1), "{outcome:?}");
    assert_eq!(json(&latest(&bench).join("report.json"))["pairs"][0]["verdict"], "fail");
    std::fs::remove_file(&file).unwrap();
    let outcome = xtask(&bench, &["judge", "latest"]);
    assert_eq!(outcome.exit, Some(3), "without evidence there is no verdict: {outcome:?}");
    std::fs::write(&file, sound.to_string()).unwrap();
    assert_eq!(xtask(&bench, &["judge", "latest"]).exit, Some(0));
}

#[test]
fn a_report_is_shown_again_in_each_form() {
    let bench = Bench::new();
    let first = bench.run(&[], &[]);
    let shown = |format: &str| {
        let outcome = xtask(&bench, &["report", "latest", "--format", format]);
        assert_eq!(outcome.exit, Some(0), "{outcome:?}");
        outcome.stdout
    };
    let file = |name: &str| std::fs::read_to_string(latest(&bench).join(name)).unwrap();
    assert_eq!(shown("text"), first.stdout);
    assert_eq!(shown("json"), file("report.json") + "\n");
    assert_eq!(shown("junit"), file("junit.xml"));
}

#[test]
fn files_of_another_schema_are_refused_with_what_to_do() {
    let bench = Bench::new();
    bench.run(&[], &[]).is("pass", 0, "");
    let files = [
        ("report.json", "report", "cargo xtask judge RUN"),
        ("plan.json", "judge", "cargo xtask matrix"),
        ("run.json", "judge", "cargo xtask matrix"),
        ("cells/7.2/x86_64/v/base/evidence.json", "judge", "cargo xtask matrix"),
    ];
    for (name, command, remedy) in files {
        let file = latest(&bench).join(name);
        let sound = std::fs::read(&file).unwrap();
        let mut value = json(&file);
        value["schema"] = 999.into();
        std::fs::write(&file, value.to_string()).unwrap();
        let outcome = xtask(&bench, &[command, "latest"]);
        assert_eq!(outcome.exit, Some(2), "{name}: {outcome:?}");
        for words in ["its schema is 999", "this harness reads schema", remedy] {
            assert!(outcome.stderr.contains(words), "{name}: {outcome:?}");
        }
        std::fs::write(&file, &sound[..sound.len() / 2]).unwrap();
        assert_eq!(xtask(&bench, &[command, "latest"]).exit, Some(2), "{name}");
        std::fs::write(&file, sound).unwrap();
    }
    let outcome = xtask(&bench, &["report", "no-such-run"]);
    assert_eq!(outcome.exit, Some(2), "{outcome:?}");
}

#[test]
fn a_plan_cannot_name_cells_outside_the_run() {
    let bench = Bench::new();
    bench.run(&[], &[]).is("pass", 0, "");
    let file = latest(&bench).join("plan.json");
    let mut plan = json(&file);
    plan["cells"][0]["tree"] = "../../../x".into();
    std::fs::write(&file, plan.to_string()).unwrap();
    let outcome = xtask(&bench, &["judge"]);
    assert_eq!(outcome.exit, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("is no name for a cell"), "{outcome:?}");
}
