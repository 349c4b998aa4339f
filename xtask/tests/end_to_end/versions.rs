//! Several patches in one run, through the real binary: the parts of a series, and versions of a patch.

use crate::bench::Bench;

/// v2 of the patch as two mails: the header first, then the source.
fn series() -> String {
    let patch = std::fs::read_to_string(root("patches/mmu_gather-v2.patch")).unwrap();
    let (_, diff) = patch.split_at(patch.find("diff --git").unwrap());
    let diff = diff.split("\n-- \n").next().unwrap();
    let second = diff.rfind("diff --git").unwrap();
    let mail = |number: u32, diff: &str| {
        format!(
            "From 1234567890123456789012345678901234567890 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\n\
             Date: Mon, 1 Jan 2026 00:00:00 +0000\nSubject: [PATCH {number}/2] part {number}\n\n---\n{}\n-- \n2.39\n\n",
            diff.trim_end()
        )
    };
    mail(1, &diff[..second]) + &mail(2, &diff[second..])
}

fn root(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// `ARM: VERDICT` of each pair.
fn verdicts(report: &serde_json::Value) -> Vec<String> {
    let pairs = report["pairs"].as_array().unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    pairs.iter().map(|pair| format!("{}: {}", text(&pair["arm"]), text(&pair["verdict"]))).collect()
}

#[test]
fn a_series_gets_a_verdict_after_every_patch() {
    let bench = Bench::new();
    bench.write("series.mbox", &series());
    let outcome = bench.run(&["--patch", "series.mbox", "--each"], &[]);
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
    assert_eq!(verdicts(&outcome.report), ["patched: pass", "patch-1: pass"]);
    let tree = &outcome.report["trees"][0];
    assert_eq!(tree["patch"]["files"].as_array().unwrap().len(), 2, "{tree}");
    assert_eq!(tree["versions"]["patch-1"]["files"].as_array().unwrap().len(), 1, "{tree}");
    assert_eq!(tree["versions"]["patch-1"]["subject"], "[PATCH 1/2] part 1", "{tree}");
    assert_eq!(tree["versions"]["patch-1"]["files"][0]["pre_matches"], true, "{tree}");
    assert!(outcome.stdout.contains("version patch-1"), "{outcome:?}");
}

#[test]
fn versions_of_a_patch_are_judged_in_one_run_and_one_that_fails_fails_it() {
    let bench = Bench::new();
    let campaign = std::fs::read_to_string(bench.path("c.yaml")).unwrap();
    bench.write("c.yaml", &format!("{campaign}versions: {{v1: patches/mmu_gather-v1.patch}}\n"));
    let outcome = bench.run(&[], &[]);
    assert_eq!(verdicts(&outcome.report), ["patched: pass", "v1: pass"]);
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
    // Both arms with a patch are at fault.
    let outcome = bench.run(&[], &[("STAND_IN_QEMU", "taint")]);
    assert_eq!(verdicts(&outcome.report), ["patched: fail", "v1: fail"]);
    let outcome = bench.run(&["--only", "*/v1"], &[]);
    assert_eq!(verdicts(&outcome.report)[1], "v1: infra", "{outcome:?}");
}

#[test]
fn a_version_that_does_not_apply_is_refused() {
    let bench = Bench::new();
    let campaign = std::fs::read_to_string(bench.path("c.yaml")).unwrap();
    bench.write("c.yaml", &format!("{campaign}versions: {{other: patches/process-madvise-own.patch}}\n"));
    let outcome = bench.run(&[], &[]);
    assert_eq!(outcome.exit, Some(4), "{outcome:?}");
    assert!(outcome.stderr.contains("mm/madvise.c"), "{outcome:?}");
}
