//! Bad input gets a clear error with its place, an exit code of its own, and nothing is written.

use std::time::{Duration, Instant};

use crate::bench::{Bench, Outcome};

fn refused(bench: &Bench, more: &[&str], exit: i32, words: &[&str]) -> Outcome {
    let started = Instant::now();
    let outcome = bench.run(more, &[]);
    assert!(started.elapsed() < Duration::from_secs(60), "it took {:?}", started.elapsed());
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

/// The patch is refused, and the next run works. Says whether a run was begun.
fn refused_patch(what: &str, patch: &str) -> bool {
    let bench = Bench::new();
    bench.write("p.patch", patch);
    let outcome = refused(&bench, &["--patch", "p.patch"], 4, &["p.patch"]);
    let begun = bench.path("work/runs").exists();
    bench.survived(&format!("patch: {what}"), &outcome);
    begun
}

#[test]
fn a_patch_that_leaves_the_tree_is_refused_before_anything_is_written() {
    for path in ["../x", "/etc/x", ".git/config", "a/../../x", "sub/.GIT/hooks/x"] {
        let patch = format!("--- a/{path}\n+++ b/{path}\n@@ -0,0 +1 @@\n+bad\n");
        assert!(!refused_patch(path, &patch), "{path}: a run was begun");
    }
}

#[test]
fn a_patch_with_more_than_lines_of_text_is_refused() {
    let symlink = "diff --git a/mm/l b/mm/l\nnew file mode 120000\n--- /dev/null\n+++ b/mm/l\n@@ -0,0 +1 @@\n\
                   +/etc/passwd\n\\ No newline at end of file\n";
    assert!(!refused_patch("a symbolic link", symlink));
    let binary = "diff --git a/mm/b b/mm/b\nnew file mode 100644\nindex 000000000000..e69de29bb2d1\n\
                  GIT binary patch\nliteral 4\nLc${NkU}|CjU||3N00ICl\n\nliteral 0\nHcmV?d00001\n\n";
    assert!(!refused_patch("a binary hunk", binary));
    let name = "mm/mmu_gather.c";
    let mode = format!("diff --git a/{name} b/{name}\nold mode 100644\nnew mode 100755\n");
    assert!(!refused_patch("a mode change", &mode));
    let rename = format!(
        "diff --git a/{name} b/mm/x.c\nsimilarity index 100%\nrename from {name}\nrename to mm/x.c\n"
    );
    assert!(!refused_patch("a rename", &rename));
}

#[test]
fn ten_megabytes_that_are_no_patch_are_refused_in_time() {
    refused_patch("10 MB of text", &"no patch at all\n".repeat(10 << 16));
    refused_patch("10 MB of headers", &"diff --git a/x b/x\n".repeat(1 << 19));
    refused_patch("10 MB in one line", &format!("{HEADER}@@ -1,1 +1,1 @@\n-{}", "x".repeat(10 << 20)));
    let hunk = format!(
        "{HEADER}@@ -1,2 +1,{} @@\n not there\n{}",
        2 + (1 << 19),
        "+a line of it all\n".repeat(1 << 19)
    );
    refused_patch("10 MB of added lines", &hunk);
}

#[test]
fn a_patch_of_ten_megabytes_that_applies_is_worked_with() {
    let bench = Bench::new();
    let lines = "+/* a line that is there to be there */\n".repeat(1 << 18);
    let header = "diff --git a/mm/big.h b/mm/big.h\nnew file mode 100644\n--- /dev/null\n+++ b/mm/big.h\n";
    let seed = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../patches/mmu_gather-v2.patch");
    let seed = std::fs::read_to_string(seed).unwrap();
    let diff = &seed[seed.find("diff --git").unwrap()..];
    let diff = diff.split("\n-- \n").next().unwrap();
    bench.write("p.patch", &format!("{header}@@ -0,0 +1,{} @@\n{lines}{diff}\n", 1 << 18));
    bench.run(&["--patch", "p.patch"], &[]).is("pass", 0, "");
}

#[test]
fn yaml_that_unfolds_to_billions_of_entries_is_refused_in_time() {
    let bench = Bench::new();
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let inner = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
    }
    bench.write("c.yaml", &format!("{bomb}patch: *a11\n"));
    refused(&bench, &[], 2, &["c.yaml"]);
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

#[test]
fn a_scenario_of_the_full_suite_is_only_run_when_asked_for_and_needs_a_program_of_its_name() {
    let bench = Bench::new();
    let campaign = std::fs::read_to_string(bench.path("c.yaml")).unwrap();
    let more = "{name: munmap, fallbacks: 8}, {name: slow, suite: full, fallbacks: 8}";
    bench.write("c.yaml", &campaign.replace("{name: munmap, fallbacks: 8}", more));
    assert_eq!(bench.run(&[], &[]).exit, Some(0));
    refused(
        &bench,
        &["--suite", "full"],
        2,
        &["no guest test `slow`", "guest-tests/scenarios/src/bin/slow.rs"],
    );
    refused(&bench, &["--soak", "5"], 2, &["`5` is no time such as 90s, 30m or 8h"]);
}
