//! Earlier runs: listed, compared, opened and removed; and how little `--quiet` says.

use std::path::PathBuf;

use crate::bench::{Bench, Outcome, signal, wait_for};

/// A command that makes no report, although `latest` may point to another run after it.
fn xtask(bench: &Bench, args: &[&str], env: &[(&str, &str)]) -> Outcome {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    Outcome::new(&bench.command(&args, env).output().unwrap(), serde_json::Value::Null)
}

/// The run that `latest` points to, under another name: as if it had begun then.
fn rename_latest(bench: &Bench, name: &str) -> PathBuf {
    let dir = bench.path("work/runs/latest").canonicalize().unwrap();
    let renamed = dir.with_file_name(name);
    std::fs::rename(dir, &renamed).unwrap();
    renamed
}

fn names(bench: &Bench) -> Vec<String> {
    let entries = std::fs::read_dir(bench.path("work/runs")).unwrap().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn runs_are_listed_compared_and_removed() {
    let bench = Bench::new();
    assert!(xtask(&bench, &["runs"], &[]).stdout.starts_with("no run at "));
    bench.run(&[], &[]).is("pass", 0, "");
    rename_latest(&bench, "20260102-030405-1");
    bench.run(&[], &[("STAND_IN_QEMU", "taint")]).is("fail", 1, "");
    rename_latest(&bench, "20260103-030405-1");
    let listed = xtask(&bench, &["runs"], &[]);
    let lines: Vec<&str> = listed.stdout.lines().collect();
    assert!(lines[1].starts_with("2026-01-03 03:04") && lines[1].contains(" fail "), "{listed:?}");
    assert!(listed.said().contains("2026-01-02 03:04 pass"), "{listed:?}");
    assert!(lines.iter().all(|line| line.chars().count() <= 100), "{listed:?}");

    let compared = xtask(&bench, &["report", "--compare", "20260102-030405-1", "20260103-030405-1"], &[]);
    assert_eq!(compared.exit, Some(0), "{compared:?}");
    assert!(compared.stdout.contains("7.2 x86_64 v: pass -> fail"), "{compared:?}");
    assert!(compared.said().contains("only in 2: 7.2/x86_64/v/patched: "), "{compared:?}");
    let three = ["report", "20260102-030405-1", "--compare", "latest", "20260103-030405-1"];
    assert_eq!(xtask(&bench, &three, &[]).exit, Some(2));

    let outside = xtask(&bench, &["runs", "--clean", bench.path("tree").to_str().unwrap()], &[]);
    assert!(outside.exit == Some(2) && bench.path("tree/Makefile").exists(), "{outside:?}");
    let cleaned = xtask(&bench, &["runs", "--clean", "--keep", "20260102-030405-1"], &[]);
    assert!(cleaned.stdout.starts_with("removed 0 runs"), "{cleaned:?}");
    let cleaned = xtask(&bench, &["runs", "--clean", "--older-than", "30000"], &[]);
    assert!(cleaned.stdout.starts_with("removed 0 runs"), "{cleaned:?}");
    let cleaned = xtask(&bench, &["runs", "--clean"], &[]);
    assert!(cleaned.stdout.starts_with("removed 20260102-030405-1 ("), "{cleaned:?}");
    assert_eq!(names(&bench), ["20260103-030405-1", "latest"]);
    assert_eq!(xtask(&bench, &["report"], &[]).exit, Some(0), "`latest` is the run that is left");
    xtask(&bench, &["runs", "--clean", "latest"], &[]).stdout.lines().next().unwrap();
    assert!(names(&bench).is_empty());
}

#[test]
fn run_that_goes_on_is_listed_and_not_removed_and_says_how_to_go_on_when_it_is_interrupted() {
    let bench = Bench::new();
    let child = bench.start(&[], &[("STAND_IN_QEMU", "hangs")]);
    bench.wait_until_it_hangs();
    let listed = xtask(&bench, &["runs"], &[]);
    assert!(listed.stdout.contains("goes on"), "{listed:?}");
    let cleaned = xtask(&bench, &["runs", "--clean", "latest"], &[]);
    assert!(cleaned.stdout.contains("it is going on") && names(&bench).len() == 2, "{cleaned:?}");
    signal(&child, rustix::process::Signal::INT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("to go on: cargo xtask matrix --campaign ./c.yaml"), "{said}");
    assert!(said.contains("kernels are built and come from the cache then"), "{said}");
    wait_for(|| xtask(&bench, &["runs"], &[]).stdout.contains("interrupted").then_some(()));
}

#[test]
fn quiet_is_one_line_on_a_pass_and_says_why_on_a_fail() {
    let bench = Bench::new();
    let passed = bench.run(&["--quiet"], &[]);
    assert_eq!((passed.stdout.lines().count(), passed.stderr.as_str()), (1, ""), "{passed:?}");
    let judged = xtask(&bench, &["judge", "--quiet"], &[]);
    assert_eq!(judged.stdout, passed.stdout);
    let failed = bench.run(&["--quiet"], &[("STAND_IN_QEMU", "taint")]);
    assert!(failed.stdout.starts_with("fail: ") && failed.stdout.contains("repeat: "), "{failed:?}");
    assert!(failed.stderr.is_empty() && failed.stdout.lines().count() < 12, "{failed:?}");
    let built = bench.finish(bench.command(&bench.of_campaign("build", &["--quiet"]), &[]));
    assert!(built.stdout.starts_with("built: ") && built.stdout.lines().count() == 1, "{built:?}");
    let booted = xtask(&bench, &["boot", "--quiet", "--accel", "tcg"], &[]);
    assert!(booted.stdout.starts_with("booted: ") && booted.stdout.lines().count() == 1, "{booted:?}");
}

#[test]
fn page_is_opened_by_the_browser_of_the_user_and_its_path_is_said() {
    let bench = Bench::new();
    bench.run(&[], &[]).is("pass", 0, "");
    bench.program("bin/my-browser", "#!/bin/sh\nprintf '%s' \"$1\" > opened\n");
    let open = |env: &[(&str, &str)]| xtask(&bench, &["report", "--open"], env);
    let opened = open(&[("BROWSER", "none:my-browser")]);
    assert_eq!(opened.exit, Some(0), "{opened:?}");
    let page = std::fs::read_to_string(bench.path("opened")).unwrap();
    assert!(page.ends_with("/report.html") && opened.stdout.contains(&page), "{opened:?}");
    bench.program("bin/xdg-open", "#!/bin/sh\nexit 3\n");
    let failed = open(&[("BROWSER", "")]);
    assert!(failed.exit == Some(3) && failed.stderr.contains("did not open the page"), "{failed:?}");
}

#[test]
fn colours_are_forced_by_the_environment_and_never_written_to_a_file() {
    let bench = Bench::new();
    let mut command = bench.command(&bench.matrix(&[]), &[("CLICOLOR_FORCE", "1")]);
    let output = command.env_remove("NO_COLOR").output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("\u{1b}[32mpass\u{1b}[0m: "));
    let file = std::fs::read_to_string(bench.path("work/runs/latest/report.txt")).unwrap();
    assert!(file.starts_with("pass: "), "{file}");
    let args = ["report"].map(str::to_owned);
    let plain = bench.command(&args, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).output().unwrap();
    assert!(plain.stdout.starts_with(b"pass: "), "{plain:?}");
}
