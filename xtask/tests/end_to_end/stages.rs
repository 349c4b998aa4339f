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
    assert_eq!(shown("github"), "", "a pass has no remark");
    assert_eq!(shown("gitlab"), "[]\n");
    assert!(shown("ktap").starts_with("KTAP version 1\n1..1\n"));
    assert!(shown("markdown").starts_with("## patchproof: pass\\: "));
}

#[test]
fn trouble_is_shown_on_the_lines_of_the_patch_with_the_end_of_its_log() {
    let bench = Bench::new();
    bench.run(&[], &[("STAND_IN_MAKE", "compile-error")]).is("fail", 1, "");
    let shown = |format: &str| xtask(&bench, &["report", "latest", "--format", format]).stdout;
    let github = shown("github");
    assert!(
        github.starts_with("::error file=mm/mmu_gather.c,line=315,endLine=315,title=patchproof%3A fail"),
        "{github}"
    );
    let gitlab: Value = serde_json::from_str(&shown("gitlab")).unwrap();
    assert_eq!(gitlab[0]["location"]["path"], "mm/mmu_gather.c");
    assert_eq!(gitlab[0]["location"]["lines"]["begin"], 315);
    let junit = shown("junit");
    assert!(junit.contains("the end of cells/7.2/x86_64/v/patched/build.log:"), "{junit}");
    assert!(shown("ktap").contains("\n    not ok 1 verdict\n"));
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

/// Everything of a report that does not tell of the time when, or the place where, it was made.
fn verdicts(report: &Value) -> Value {
    let of = |name: &str| report[name].clone();
    let names = ["exit_code", "pairs", "controls", "left_out", "interrupted", "subject", "sandbox", "suite"];
    Value::Array(names.map(of).to_vec())
}

fn build(bench: &Bench, more: &[&str], env: &[(&str, &str)]) -> Outcome {
    bench.finish(bench.command(&bench.of_campaign("build", more), env))
}

/// Boots the last run, judges it, and shows it again.
fn boot_judge_report(bench: &Bench, env: &[(&str, &str)]) -> [Outcome; 3] {
    let args = ["boot", "latest", "--accel", "tcg"].map(str::to_owned);
    let booted = bench.finish(bench.command(&args, env));
    [booted, xtask(bench, &["judge"]), xtask(bench, &["report", "--format", "json"])]
}

#[test]
fn build_boot_judge_and_report_come_to_what_the_matrix_comes_to() {
    for (make, qemu) in [("", ""), ("compile-error", ""), ("loses-symbol", ""), ("", "splat"), ("", "fails")]
    {
        let env = [("STAND_IN_MAKE", make), ("STAND_IN_QEMU", qemu)];
        let whole = Bench::new();
        let whole = whole.run(&[], &env);
        let bench = Bench::new();
        let built = build(&bench, &[], &env);
        let [booted, judged, reported] = boot_judge_report(&bench, &env);
        assert!(built.stdout.contains("\nnext: cargo xtask boot 20"), "{built:?}");
        assert!(booted.stdout.contains("\nnext: cargo xtask judge 20"), "{make} {qemu}: {booted:?}");
        assert_eq!(judged.exit, whole.exit, "{make} {qemu}: {judged:?} {whole:?}");
        let report: Value = serde_json::from_str(&reported.stdout).unwrap();
        assert_eq!(verdicts(&report), verdicts(&whole.report), "{make} {qemu}");
        // What is wrong with a build is known before any boot, and what is wrong with a guest is not a boot's to say.
        assert_eq!(built.exit, if make.is_empty() { Some(0) } else { whole.exit }, "{make}: {built:?}");
        assert_eq!(booted.exit, Some(if qemu == "fails" { 3 } else { 0 }), "{qemu}: {booted:?}");
    }
}

#[test]
fn what_was_only_built_is_no_result() {
    let bench = Bench::new();
    let built = build(&bench, &[], &[]);
    assert_eq!(built.exit, Some(0), "{built:?}");
    for command in ["judge", "report"] {
        let outcome = xtask(&bench, &[command]);
        assert_eq!((outcome.exit, outcome.stdout.as_str()), (Some(2), ""), "{outcome:?}");
        for words in ["was built and not booted", "next: cargo xtask boot 20"] {
            assert!(outcome.stderr.contains(words), "{outcome:?}");
        }
    }
    let left = |name: &str| bench.find(name);
    for name in ["report.json", "report.txt", "junit.xml", "run.json", "evidence.json", "console.log"] {
        assert_eq!(left(name), Vec::<PathBuf>::new(), "{name}");
    }
}

#[test]
fn a_boot_refuses_what_is_not_as_it_was_built() {
    let bench = Bench::new();
    assert_eq!(build(&bench, &[], &[]).exit, Some(0));
    let cell = latest(&bench).join("cells/7.2/x86_64/v/patched");
    let refused = |args: &[&str], words: &[&str]| {
        let outcome = xtask(&bench, &[&["boot"], args].concat());
        assert_eq!((outcome.exit, outcome.stdout.as_str()), (Some(2), ""), "{outcome:?}");
        for words in words {
            assert!(outcome.stderr.contains(words), "{words}: {outcome:?}");
        }
    };
    for name in ["vmlinux", "kallsyms"] {
        let (file, sound) = (cell.join(name), std::fs::read(cell.join(name)).unwrap());
        std::fs::remove_file(&file).unwrap();
        let of_file = format!("7.2/x86_64/v/patched: {name} ");
        refused(&[], &[&of_file, "is missing", "cargo xtask build"]);
        std::fs::write(&file, [&sound[..], b"x"].concat()).unwrap();
        refused(&[], &[&of_file, "its digest is another one", "cargo xtask build"]);
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
        refused(&[], &[&of_file, "is not a regular file"]);
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, &sound).unwrap();
    }
    let file = latest(&bench).join("builds.json");
    let sound = json(&file);
    let mut builds = sound.clone();
    builds["kernels"][0]["files"] = serde_json::json!({});
    std::fs::write(&file, builds.to_string()).unwrap();
    refused(&[], &["has no digest on record"]);
    let mut builds = sound.clone();
    builds["kernels"].as_array_mut().unwrap().pop();
    std::fs::write(&file, builds.to_string()).unwrap();
    refused(&[], &["not the builds of this plan"]);
    std::fs::write(&file, sound.to_string()).unwrap();
    refused(&["--no-sandbox"], &["was built in a sandbox"]);
    let [booted, judged, _] = boot_judge_report(&bench, &[]);
    assert_eq!((booted.exit, judged.exit), (Some(0), Some(0)), "{booted:?} {judged:?}");
    refused(&[], &["was booted before", "cargo xtask build"]);
    assert_eq!(bench.run(&[], &[]).exit, Some(0));
    refused(&[], &["has no kernels to boot"]);
}

#[test]
fn builds_that_do_not_come_to_their_end_end_as_in_the_matrix_and_cannot_be_booted() {
    // The compiler is the host's trouble here.
    let bench = Bench::new();
    let whole = bench.run(&[], &[("STAND_IN_MAKE", "disk-full")]);
    let built = build(&bench, &["--rebuild"], &[("STAND_IN_MAKE", "disk-full")]);
    assert_eq!((whole.exit, built.exit), (Some(3), Some(3)), "{built:?}");
    let interrupted = Bench::new();
    let args = interrupted.of_campaign("build", &[]);
    let mut command = interrupted.command(&args, &[("STAND_IN_MAKE", "hangs")]);
    let child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    interrupted.wait_until_it_hangs();
    crate::bench::signal(&child, rustix::process::Signal::TERM);
    let outcome = Outcome::new(&child.wait_with_output().unwrap(), Value::Null);
    assert_eq!(outcome.exit, Some(130), "{outcome:?}");
    let booted = xtask(&interrupted, &["boot"]);
    assert_eq!(booted.exit, Some(2), "{booted:?}");
    assert!(booted.stderr.contains("did not come to its end"), "{booted:?}");
    assert_eq!(xtask(&interrupted, &["judge"]).exit, Some(130));
}

#[test]
fn a_boot_that_is_interrupted_is_no_result_and_is_not_gone_on_with() {
    let bench = Bench::new();
    assert_eq!(build(&bench, &[], &[]).exit, Some(0));
    let args = ["boot", "latest", "--accel", "tcg"].map(str::to_owned);
    let mut command = bench.command(&args, &[("STAND_IN_QEMU", "hangs")]);
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    bench.wait_until_it_hangs();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(xtask(&bench, &["boot"]).exit, Some(2));
    let judged = xtask(&bench, &["judge"]);
    assert_eq!(judged.exit, Some(130), "{judged:?}");
}
