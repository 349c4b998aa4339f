//! Bad input gets a clear error with its place, an exit code of its own, and nothing is written.

use crate::bench::{Bench, Outcome};

fn refused(bench: &Bench, more: &[&str], exit: i32, words: &[&str]) -> Outcome {
    let outcome = bench.run(more, &[]);
    assert_eq!(outcome.exit, Some(exit), "{outcome:?}");
    for word in words {
        assert!(outcome.stderr.contains(word), "`{word}` is not in {outcome:?}");
    }
    assert!(outcome.report.is_null(), "{outcome:?}");
    outcome
}

const HEADER: &str =
    "diff --git a/mm/mmu_gather.c b/mm/mmu_gather.c\n--- a/mm/mmu_gather.c\n+++ b/mm/mmu_gather.c\n";

#[test]
fn a_patch_that_does_not_apply_names_file_hunk_and_line() {
    let bench = Bench::new();
    bench.write("p.patch", &format!("{HEADER}@@ -1,2 +1,2 @@\n not what the tree has\n-old\n+new\n"));
    refused(&bench, &["--patch", "p.patch"], 4, &["mm/mmu_gather.c", "hunk 1", "line 1"]);
    let tree = std::fs::read(bench.path("tree/mm/mmu_gather.c")).unwrap();
    assert!(!String::from_utf8_lossy(&tree).contains("new\n+"), "the tree was written");
}

#[test]
fn a_patch_that_leaves_the_tree_is_refused_before_anything_is_written() {
    for path in ["../x", "/etc/x", ".git/config", "a/../../x", "sub/.GIT/hooks/x"] {
        let bench = Bench::new();
        let patch = format!("--- a/{path}\n+++ b/{path}\n@@ -0,0 +1 @@\n+bad\n");
        bench.write("p.patch", &patch);
        refused(&bench, &["--patch", "p.patch"], 4, &["p.patch:"]);
        assert!(!bench.path("work").exists() || !bench.path("work/runs").exists(), "{path}: a run was begun");
    }
}

#[test]
fn an_unknown_yaml_key_is_named_with_its_line_and_the_nearest_key() {
    let bench = Bench::new();
    let text = std::fs::read_to_string(bench.path("c.yaml")).unwrap();
    bench.write("c.yaml", &text.replace("fragments:", "fragment:"));
    refused(&bench, &[], 2, &["c.yaml:9", "did you mean `fragments`?"]);
    bench.write("c.yaml", &format!("{text}trees: []\n"));
    refused(&bench, &[], 2, &["c.yaml", "duplicate"]);
}

#[test]
fn a_glob_that_matches_no_cell_lists_the_cells() {
    refused(
        &Bench::new(),
        &["--only", "nope/*"],
        2,
        &["no cell matches `nope/*`", "there is 7.2/x86_64/v/base"],
    );
}

#[test]
fn a_directory_that_is_no_kernel_tree_is_refused() {
    let bench = Bench::new();
    std::fs::remove_file(bench.path("tree/Kconfig")).unwrap();
    refused(&bench, &[], 2, &["not a Linux source tree", "it has no Kconfig"]);
}

#[test]
fn an_out_directory_that_holds_something_is_refused() {
    let bench = Bench::new();
    bench.write("out/file", "");
    refused(&bench, &["--out", "out"], 2, &["is not empty"]);
}

#[test]
fn a_dry_run_shows_the_commands_and_makes_nothing() {
    let bench = Bench::new();
    let outcome = bench.run(&["--dry-run"], &[]);
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
    for words in ["7.2/x86_64/v/base", "make -C", "allnoconfig", "qemu-system-x86_64 -machine"] {
        assert!(outcome.stdout.contains(words), "{outcome:?}");
    }
    assert!(!bench.path("work").exists());
}

#[test]
fn the_users_tree_is_never_written() {
    let bench = Bench::new();
    let before = std::fs::read(bench.path("tree/mm/mmu_gather.c")).unwrap();
    assert_eq!(bench.run(&[], &[]).exit, Some(0));
    assert_eq!(std::fs::read(bench.path("tree/mm/mmu_gather.c")).unwrap(), before);
}
