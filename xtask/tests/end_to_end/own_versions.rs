//! Patches that the campaign was not written for, through the real binary: each gets a verdict, and none a message about a
//! control.

use std::path::Path;

use crate::bench::{Bench, Outcome, SUBJECT};

fn root(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path).display().to_string()
}

/// A bench whose subject has what the controls of the tests are exposed by; it never happens.
fn plain() -> Bench {
    let bench = Bench::new();
    let more = "  - {name: ipi, title: IPIs, calls: [ipi]}\n  - {name: rcu_sync, title: waits, calls: [sync]}\norder:";
    let subject = SUBJECT
        .replace("order:", more)
        .replace("gauges: [", "gauges: [{name: page_tables, title: tables, file: /proc/tables, each: 1}, ");
    bench.write("subjects/s.yaml", &subject);
    bench
}

/// A bench whose campaign has controls: one that fits most versions, one in a file that this tree does not have.
fn bench() -> Bench {
    let bench = plain();
    let campaign = std::fs::read_to_string(bench.path("c.yaml")).unwrap();
    bench.write("c.yaml", &format!("{campaign}    controls: [collapse-converted]\n"));
    bench
}

fn run(bench: &Bench, patch: &str) -> Outcome {
    bench.run(&["--patch", patch], &[])
}

#[test]
fn a_control_without_a_place_is_left_out_and_named_and_the_run_goes_on() {
    let bench = bench();
    for version in ["v1", "v2", "v3"] {
        let outcome = run(&bench, &root(&format!("patches/mmu_gather-{version}.patch")));
        outcome.is("pass", 0, "");
        let left_out = &outcome.report["pairs"][0]["controls_left_out"][0];
        assert_eq!(left_out["name"], "collapse-converted", "{outcome:?}");
        assert!(left_out["why"].as_str().unwrap().starts_with("the guest test collapse"), "{outcome:?}");
        assert!(outcome.stdout.contains("1 left out"), "{outcome:?}");
    }
}

#[test]
fn a_control_with_a_place_is_planted_and_has_to_be_caught() {
    let bench = plain();
    let campaign = std::fs::read_to_string(bench.path("c.yaml")).unwrap();
    let on = "fragments: [pt-reclaim-on]\n    expect: {base: sends, patched: waits}\n";
    assert!(campaign.contains(on));
    // That the branch is not compiled is taken from the fragment.
    let with = |fragment: &str| {
        campaign.replace(on, &format!("fragments: [{fragment}]\n    expect: {{base: sends, patched: waits}}\n    controls: [no-sync]\n"))
    };
    bench.write("c.yaml", &with("pt-reclaim-on"));
    let outcome = bench.run(&[], &[]);
    outcome.is("pass", 0, "");
    let left_out = &outcome.report["pairs"][0]["controls_left_out"][0];
    assert_eq!(left_out["name"], "no-sync", "{outcome:?}");
    let why = left_out["why"].as_str().unwrap();
    assert!(why.starts_with("tlb_remove_table() does not get to"), "{outcome:?}");
    bench.write("c.yaml", &with("table-free"));
    let outcome = bench.run(&[], &[]);
    outcome.is("vacuous", 3, "control `no-sync` was not caught");
    let planted = std::fs::read_to_string(bench.cell("no-sync").join("planted.patch")).unwrap();
    assert!(planted.contains("\n-\ttlb_remove_table_sync_rcu();\n"), "{planted}");
}

#[test]
fn a_patch_to_another_file_is_told_which_campaign_is_about_it() {
    let bench = bench();
    for (file, campaign) in [("kernel/pid.c", None), ("mm/madvise.c", Some("process-madvise"))] {
        bench.write(&format!("tree/{file}"), "int a;\nint b;\nint c;\n");
        let patch =
            format!("--- a/{file}\n+++ b/{file}\n@@ -1,3 +1,3 @@\n int a;\n-int b;\n+long b;\n int c;\n");
        bench.write("p.patch", &patch);
        let outcome = run(&bench, "p.patch");
        outcome.is("vacuous", 3, &format!("it changes {file}"));
        assert_eq!(outcome.reasons().contains("--campaign"), campaign.is_some(), "{outcome:?}");
        assert!(outcome.reasons().contains(campaign.unwrap_or_default()), "{outcome:?}");
        assert_eq!(outcome.report["controls"].as_array().unwrap().len(), 0, "{outcome:?}");
        assert!(!bench.cell("patched").join("vmlinux").exists(), "a kernel was built for nothing");
    }
}

#[test]
fn a_patch_that_changes_comments_or_another_function_is_told_so() {
    let bench = bench();
    let comment = root("patches/versions/comment-only.patch");
    run(&bench, &comment).is(
        "vacuous",
        3,
        "without comments and white space its files are those of the base",
    );
    let other = "--- a/mm/mmu_gather.c\n+++ b/mm/mmu_gather.c\n@@ -504,3 +504,4 @@\n void tlb_finish_mmu(struct mmu_gather *tlb)\n {\n+\tcond_resched();\n \t/*\n";
    bench.write("p.patch", other);
    run(&bench, "p.patch").is(
        "vacuous",
        3,
        "it changes tlb_finish_mmu() and nothing that is called from there",
    );
}

#[test]
fn a_patch_that_does_not_compile_fails_with_the_compilers_words_and_without_its_controls() {
    let bench = plain();
    let campaign = std::fs::read_to_string(bench.path("c.yaml")).unwrap();
    bench.write(
        "c.yaml",
        &campaign
            .replace("fragments: [pt-reclaim-on]", "fragments: [table-free]\n    controls: [no-sync, leak]"),
    );
    let outcome = bench.run(&[], &[("STAND_IN_MAKE", "compile-error")]);
    outcome.is("fail", 1, "mm/mmu_gather.c:315:2: error: stand-in");
    assert_eq!(outcome.report["controls"].as_array().unwrap().len(), 0, "{outcome:?}");
}

#[test]
fn a_tree_that_holds_a_patch_without_ids_stops_and_is_undone_when_asked() {
    let bench = Bench::new();
    let top = "// SPDX-License-Identifier: GPL-2.0\n#include <linux/gfp.h>\n";
    let hunk = "@@ -1,2 +1,3 @@\n // SPDX-License-Identifier: GPL-2.0\n+#include <linux/gfp.h>\n #include <linux/gfp.h>\n";
    let added = &format!("--- a/mm/mmu_gather.c\n+++ b/mm/mmu_gather.c\n{hunk}");
    let text = std::fs::read_to_string(bench.path("tree/mm/mmu_gather.c")).unwrap();
    assert!(text.starts_with(top));
    let twice = text.replacen(top, &format!("{top}#include <linux/gfp.h>\n"), 1);
    bench.write("tree/mm/mmu_gather.c", &twice);
    bench.write("p.patch", added);
    let outcome = run(&bench, "p.patch");
    assert_eq!(outcome.exit, Some(4), "{outcome:?}");
    assert!(
        outcome.stderr.contains("already holds") && outcome.stderr.contains("--base undo"),
        "{outcome:?}"
    );
    let outcome = bench.run(&["--patch", "p.patch", "--base", "undo"], &[]);
    assert_ne!(outcome.exit, Some(4), "{outcome:?}");
    assert_eq!(outcome.report["trees"][0]["undone"], "every hunk of it can be undone cleanly");
}

#[test]
fn a_copy_of_the_checkout_works_on_its_own_directory() {
    let bench = Bench::new();
    for dir in ["configs", "patches", "guest-tests"] {
        let copy = ["-r", &root(dir), bench.path("copy").to_str().unwrap()].map(str::to_owned);
        std::fs::create_dir_all(bench.path("copy/xtask")).unwrap();
        assert!(std::process::Command::new("cp").args(copy).status().unwrap().success());
    }
    bench.write("copy/xtask/Cargo.toml", "");
    let dry_run = |dir: &str, manifest: Option<&str>| {
        let mut command = bench.command(&["matrix", "--dry-run"].map(str::to_owned), &[]);
        command.current_dir(bench.path(dir)).env_remove("CARGO_MANIFEST_DIR").env_remove("PATCHPROOF_WORK");
        command.envs(manifest.map(|path| ("CARGO_MANIFEST_DIR", bench.path(path))));
        bench.finish(command)
    };
    let copy = bench.path("copy/target/patchproof").display().to_string();
    for outcome in [dry_run("copy/patches", None), dry_run("bin", Some("copy/xtask"))] {
        assert_eq!(outcome.exit, Some(0), "{outcome:?}");
        assert!(outcome.stdout.contains(&copy), "{outcome:?}");
    }
    let outcome = dry_run("bin", None);
    assert_eq!(outcome.exit, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("is in no checkout of patchproof"), "{outcome:?}");
}
