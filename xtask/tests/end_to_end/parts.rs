//! A plan that is run in parts and joined: the joined run is the run that was not divided, and what is missing was not run.

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use crate::bench::{Bench, Outcome, signal};
use crate::build_dirs::two_variants;

/// Runs one part in `out-K`.
fn part(bench: &Bench, number: &str, more: &[&str]) -> Outcome {
    let out = out(bench, number);
    let args = ["--partition", number, "--out", out.to_str().unwrap()];
    bench.finish(bench.command(&bench.matrix(&[&args, more].concat()), &[]))
}

fn out(bench: &Bench, number: &str) -> PathBuf {
    bench.path(&format!("out-{}", number.replace('/', "-")))
}

fn merge(bench: &Bench, numbers: &[&str]) -> Outcome {
    let dirs = numbers.iter().map(|number| out(bench, number).display().to_string());
    let args: Vec<String> = ["merge".to_owned()].into_iter().chain(dirs).collect();
    bench.finish(bench.command(&args, &[]))
}

fn report(dir: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join("report.json")).unwrap()).unwrap()
}

/// Without what tells of the time, and of which build was the first in its directory.
pub fn timeless(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let is_kept = |name: &String| {
                !name.ends_with("secs")
                    && !["started", "cold", "cold_build", "cached", "timings"].contains(&name.as_str())
            };
            let kept = fields.iter().filter(|(name, _)| is_kept(name));
            Value::Object(kept.map(|(name, value)| (name.clone(), timeless(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(timeless).collect()),
        other => other.clone(),
    }
}

#[test]
fn joined_parts_are_the_run_that_was_not_divided() {
    let bench = two_variants();
    let whole = bench.run(&[], &[]);
    whole.is("pass", 0, "");
    for number in ["1/3", "2/3"] {
        let part = part(&bench, number, &[]);
        assert_eq!(part.exit, Some(0), "{part:?}");
        let words = format!("PART {}: of one plan", number.replace('/', " of "));
        assert!(part.stdout.contains(&words), "{part:?}");
        let cells = report(&out(&bench, number))["cells"].as_array().unwrap().len();
        assert_eq!(cells, 2, "a base and a patched kernel");
    }
    // Two pairs are no three parts.
    let empty = part(&bench, "3/3", &[]);
    assert_eq!(empty.exit, Some(0), "{empty:?}");
    assert!(empty.stdout.starts_with("part 3 of 3: nothing to run: the plan has fewer pairs"), "{empty:?}");
    assert!(!out(&bench, "3/3").join("report.json").exists());

    for parts in [&["1/3", "2/3", "3/3"][..], &["2/3", "1/3"]] {
        let merged = merge(&bench, parts);
        assert_eq!(merged.exit, Some(0), "{merged:?}");
        assert_eq!(timeless(&merged.report), timeless(&whole.report));
        assert_eq!(merged.stderr, "", "{merged:?}");
    }
    let again = bench.finish(bench.command(&["judge".to_owned()], &[]));
    assert_eq!(again.exit, Some(0), "the joined run is judged again like any other: {again:?}");
    assert!(bench.cell("patched").join("console.log").is_file());
}

#[test]
fn missing_part_is_infra_and_never_dropped() {
    let bench = two_variants();
    assert_eq!(part(&bench, "2/2", &[]).exit, Some(0));
    let merged = merge(&bench, &["2/2"]);
    assert_eq!(merged.exit, Some(3), "{merged:?}");
    assert!(merged.stderr.contains("part 1 of 2 is missing"), "{merged:?}");
    let verdicts: Vec<&Value> =
        merged.report["pairs"].as_array().unwrap().iter().map(|pair| &pair["verdict"]).collect();
    assert_eq!(verdicts, ["infra", "pass"]);
    assert!(merged.reasons().contains("not run"), "{merged:?}");
}

#[test]
fn part_that_is_killed_costs_its_cells_and_no_verdict() {
    let bench = two_variants();
    assert_eq!(part(&bench, "1/2", &[]).exit, Some(0));
    for (stage, hang) in [("build", ("STAND_IN_MAKE", "hangs")), ("boot", ("STAND_IN_QEMU", "hangs"))] {
        let dir = out(&bench, "2/2");
        let _ = std::fs::remove_dir_all(&dir);
        let child = bench.start(&["--partition", "2/2", "--out", dir.to_str().unwrap()], &[hang]);
        bench.wait_until_it_hangs();
        signal(&child, Signal::KILL);
        child.wait_with_output().unwrap();
        let merged = merge(&bench, &["1/2", "2/2"]);
        assert_eq!(merged.exit, Some(3), "{stage}: {merged:?}");
        let pairs = &merged.report["pairs"];
        assert_eq!(
            (&pairs[0]["verdict"], &pairs[1]["verdict"]),
            (&"pass".into(), &"infra".into()),
            "{stage}"
        );
        assert!(merged.stderr.contains("part 2 of 2 did not come to its end"), "{merged:?}");
    }
}

#[test]
fn what_is_not_of_one_plan_is_refused_with_file_and_cause() {
    let bench = two_variants();
    assert_eq!(part(&bench, "1/2", &[]).exit, Some(0));
    let refused = |dirs: &[&str], words: &[&str]| {
        let dirs = dirs.iter().map(|dir| bench.path(dir).display().to_string());
        let args: Vec<String> = ["merge".to_owned()].into_iter().chain(dirs).collect();
        let outcome = bench.finish(bench.command(&args, &[]));
        assert_eq!((outcome.exit, outcome.stdout.as_str()), (Some(2), ""), "{outcome:?}");
        for word in words {
            assert!(outcome.stderr.contains(word), "`{word}` is not in {outcome:?}");
        }
    };
    refused(&["out-1-2", "out-1-2"], &["part 1 of 2 is there twice", "out-1-2"]);
    refused(&["tree"], &["tree is no part of a divided run", "there is no", "part.json"]);
    refused(&["nowhere"], &["no run"]);
    assert_eq!(part(&bench, "2/3", &[]).exit, Some(0));
    refused(&["out-1-2", "out-2-3"], &["out-2-3/part.json", "the number of parts is 3 there, and 2 in"]);
    assert_eq!(part(&bench, "2/2", &["--symbols", "KCM"]).exit, Some(0));
    refused(&["out-1-2", "out-2-2"], &["out-2-2/part.json", "the plan: campaign, options or division is"]);
    std::fs::remove_dir_all(bench.path("out-2-2")).unwrap();
    let seed = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../patches/mmu_gather-v2.patch");
    let text = std::fs::read_to_string(seed).unwrap();
    bench.write("own.patch", &text.replace("Subject: [PATCH v2 1/1]", "Subject: [PATCH v3 1/1]"));
    assert_eq!(part(&bench, "2/2", &["--patch", "own.patch"]).exit, Some(0));
    refused(&["out-1-2", "out-2-2"], &["out-2-2/part.json", "the patch is"]);
    let bad = bench.finish(bench.command(&bench.matrix(&["--partition", "3/2"]), &[]));
    assert_eq!(bad.exit, Some(2), "{bad:?}");
}

#[test]
fn pairs_are_divided_by_the_times_of_an_earlier_run() {
    let bench = two_variants();
    bench.run(&[], &[]).is("pass", 0, "");
    let dir = bench.path("work/runs/latest").canonicalize().unwrap();
    let mut slow = report(&dir);
    // The second variant takes all the time there is.
    for cell in slow["cells"].as_array_mut().unwrap() {
        let secs = if cell["variant"] == "w" { 1000.0 } else { 1.0 };
        cell["test_secs"] = secs.into();
        cell["cached"] = true.into();
    }
    bench.write("slow.json", &slow.to_string());
    let args = ["--dry-run", "--partition", "1/2", "--balance", "slow.json"];
    let shown = bench.finish(bench.command(&bench.matrix(&args), &[]));
    assert!(shown.stdout.contains("7.2/x86_64/w/patched"), "{shown:?}");
    assert!(!shown.stdout.contains("7.2/x86_64/v/patched"), "{shown:?}");
    let shown = bench.finish(bench.command(&bench.matrix(&args[..3]), &[]));
    assert!(shown.stdout.contains("7.2/x86_64/v/patched"), "{shown:?}");
}
