//! Bad input gets a clear error with its place, an exit code of its own, and nothing is written.

use std::time::{Duration, Instant};

use crate::bench::{Bench, Outcome};

fn refused(bench: &Bench, more: &[&str], exit: i32, words: &[&str]) {
    let outcome = refusal(bench, more, exit, words);
    assert_eq!(outcome.verdict(), "no verdict", "{outcome:?}");
}

/// What the run said that was refused.
fn refusal(bench: &Bench, more: &[&str], exit: i32, words: &[&str]) -> Outcome {
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
    let outcome = refusal(&bench, &["--patch", "p.patch"], 4, &["p.patch"]);
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
    let link = "diff --git a/mm/l b/mm/l\nold mode 100644\nnew mode 120000\n";
    assert!(!refused_patch("a file that becomes a symbolic link", link));
    let cut = format!("{HEADER}@@ -1,2 +1,2 @@\n a\n-b\n+c\n@@ -29,3 +30,4@@\n a\n-b\n+c\n");
    assert!(!refused_patch("a damaged hunk header", &cut));
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

/// A patch that is refused with exit 4 within a time that only a linear reader keeps.
fn refused_in_time(what: &str, patch: &str) {
    let started = Instant::now();
    refused_patch(what, patch);
    assert!(started.elapsed() < Duration::from_secs(60), "{what}: {:?}", started.elapsed());
}

#[test]
fn mails_that_are_made_to_keep_a_parser_busy_are_refused_in_time() {
    let mail = |header: &str| format!("From: a@b\n{header}\n\nno diff\n");
    let boundaries = "boundary*0=x; ".repeat(8_000);
    refused_in_time("mail: 8,000 boundaries", &mail(&format!("Content-Type: multipart/mixed; {boundaries}")));
    let words = "=?utf-8?q?x?=\n ".repeat(10_000);
    refused_in_time("mail: a subject of 10,000 encoded words", &mail(&format!("Subject: {words}")));
    refused_in_time("mail: 100,000 headers", &mail(&"X-A: b\n".repeat(100_000)));
    let mut nested = String::from("From: a@b\n");
    for level in 0..1_000 {
        nested.push_str(&format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"));
    }
    refused_in_time("mail: 1,000 levels of parts", &nested);
    let parts = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\nx\n".repeat(100_000));
    refused_in_time("mail: 100,000 parts", &mail(&parts));
    refused_in_time("mail: 100,000 mails", &"From a@b Tue Feb 24 11:07:00 2026\nA: b\n\n".repeat(100_000));
}

/// Peak memory of `cargo xtask patch`, in KiB, and its exit code.
#[expect(clippy::zombie_processes, reason = "wait4() waits for it, and tells what it used")]
fn peak_of(bench: &Bench, patch: &str) -> (i64, i32) {
    bench.write("p.patch", patch);
    let args = ["patch", "p.patch", "--campaign", "./c.yaml", "--tree", "7.2=tree"].map(str::to_owned);
    let mut command = bench.command(&args, &[]);
    let out = std::fs::File::create(bench.path("out.txt")).unwrap();
    let child = command.stdout(out).stderr(std::process::Stdio::null()).spawn().unwrap();
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: both point to memory of ours, of the right type, which outlives the call.
    let waited = unsafe { libc::wait4(child.id() as i32, &mut status, 0, usage.as_mut_ptr()) };
    assert_eq!(waited, child.id() as i32);
    // SAFETY: wait4() has filled it in, and all zeros are a value of it too.
    let usage = unsafe { usage.assume_init() };
    (usage.ru_maxrss, libc::WEXITSTATUS(status))
}

#[test]
fn a_patch_of_63_megabytes_takes_less_than_500_megabytes() {
    let bench = Bench::new();
    let size = 63 << 20;
    let head = "diff --git a/mm/big.h b/mm/big.h\nnew file mode 100644\n--- /dev/null\n+++ b/mm/big.h\n";
    for line in ["+\n", "+/* a line that is there to be there */\n"] {
        let count = size / line.len();
        let (peak_kib, exit) =
            peak_of(&bench, &format!("{head}@@ -0,0 +1,{count} @@\n{}", line.repeat(count)));
        assert_eq!(exit, 0, "{line:?}");
        assert!(peak_kib < 500 << 10, "{line:?}: {peak_kib} KiB");
        println!("63 MiB of {line:?}: {} MiB", peak_kib >> 10);
    }
    let (_, exit) = peak_of(&bench, &"+\n".repeat((64 << 19) + 1));
    assert_eq!(exit, 4);
}

#[test]
fn what_is_no_regular_file_is_refused_as_patch_and_as_campaign() {
    let bench = Bench::new();
    for name in ["fifo", "fifo.yaml"] {
        assert!(std::process::Command::new("mkfifo").arg(bench.path(name)).status().unwrap().success());
    }
    let _patch = std::os::unix::net::UnixListener::bind(bench.path("socket")).unwrap();
    let _campaign = std::os::unix::net::UnixListener::bind(bench.path("socket.yaml")).unwrap();
    bench.write("folder/sub/x", "");
    bench.write("folder.yaml/x", "");
    for (name, words) in [
        ("/dev/zero", "it is a character device"),
        ("fifo", "it is a FIFO"),
        ("socket", "it is a socket"),
        ("folder", "no patch in the directory"),
        ("nothing", "No such file"),
    ] {
        let outcome = refusal(&bench, &["--patch", name], 2, &[words]);
        bench.survived(&format!("patch: {name}"), &outcome);
        if name != "/dev/zero" && name != "nothing" {
            let path = format!("./{name}.yaml");
            let args = ["matrix", "--campaign", &path].map(str::to_owned);
            let outcome = bench.finish(bench.command(&args, &[]));
            assert_eq!(outcome.exit, Some(2), "{outcome:?}");
            bench.survived(&format!("campaign: {name}"), &outcome);
        }
    }
    let args = ["matrix", "--campaign", "/dev/zero"].map(str::to_owned);
    let outcome = bench.finish(bench.command(&args, &[]));
    assert!(outcome.stderr.contains("it is a character device"), "{outcome:?}");
    bench.survived("campaign: /dev/zero", &outcome);
}

#[test]
fn standard_input_without_an_end_is_refused() {
    let bench = Bench::new();
    let mut command = bench.command(&bench.matrix(&["--patch", "-"]), &[]);
    command.stdin(std::fs::File::open("/dev/zero").unwrap());
    let outcome = bench.finish(command);
    assert_eq!(outcome.exit, Some(4), "{outcome:?}");
    assert!(outcome.stderr.contains("larger than 64 MiB"), "{outcome:?}");
    bench.survived("patch: endless standard input", &outcome);
}

#[test]
fn a_patch_from_standard_input_is_worked_with() {
    let bench = Bench::new();
    let seed = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../patches/mmu_gather-v2.patch");
    let mut command = bench.command(&bench.matrix(&["--patch", "-"]), &[]);
    command.stdin(std::fs::File::open(seed).unwrap());
    bench.finish(command).is("pass", 0, "");
}

#[test]
fn yaml_that_is_nested_or_large_beyond_reason_is_refused_in_time() {
    let bench = Bench::new();
    for (what, text) in [
        ("400 kB of brackets", "[".repeat(400_000)),
        ("100 kB of brackets", "[".repeat(100_000)),
        ("100 kB of braces", "{a: ".repeat(25_000)),
        ("100 kB of dashes", "- ".repeat(50_000)),
        ("1 MB of comment", format!("{}\n", "#".repeat(1 << 20))),
    ] {
        bench.write("d.yaml", &format!("patch: x\ntrees:\n  {text}"));
        let started = Instant::now();
        let outcome =
            bench.finish(bench.command(&["matrix", "--campaign", "./d.yaml"].map(str::to_owned), &[]));
        assert!(started.elapsed() < Duration::from_secs(10), "{what}: {:?}", started.elapsed());
        assert_eq!(outcome.exit, Some(2), "{what}: {outcome:?}");
        assert!(outcome.stderr.contains("d.yaml"), "{what}: {outcome:?}");
        bench.survived(&format!("campaign: {what}"), &outcome);
    }
}

/// Names that a shell, a terminal, a URL or a list would take for something else.
const ODD_NAMES: [&str; 8] =
    ["a&b", "100%s", "a,b", "with space", "q\"uo'te", "new\nline", "\u{1b}[31mred", "$(touch x);`x`"];

#[test]
fn odd_names_of_patches_and_campaigns_are_names_and_shown_escaped() {
    let bench = Bench::new();
    let seed = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../patches/mmu_gather-v2.patch");
    let seed = std::fs::read_to_string(seed).unwrap();
    let campaign = std::fs::read_to_string(bench.path("c.yaml")).unwrap();
    for name in ODD_NAMES {
        let (good, bad) = (format!("{name}.patch"), format!("{name}.bad.patch"));
        bench.write(&good, &seed);
        bench.write(&bad, "no patch\n");
        bench.run(&["--patch", &good], &[]).is("pass", 0, "");
        let outcome = refusal(&bench, &["--patch", &bad], 4, &["no diff in it"]);
        assert!(!outcome.stderr.contains('\u{1b}') && !outcome.stderr.contains("new\nline"), "{outcome:?}");
        bench.write(&format!("{name}.yaml"), &campaign.replace("fragments:", "fragment:"));
        let args = ["matrix", "--campaign", &format!("./{name}.yaml")].map(str::to_owned);
        let outcome = bench.finish(bench.command(&args, &[]));
        assert_eq!(outcome.exit, Some(2), "{outcome:?}");
        assert!(!outcome.stderr.contains('\u{1b}') && !outcome.stderr.contains("new\nline"), "{outcome:?}");
        bench.survived(&format!("names: {}", name.escape_debug()), &outcome);
    }
    bench.write("-p.patch", &seed);
    bench.run(&["--patch=-p.patch"], &[]).is("pass", 0, "");
}

#[test]
fn a_name_that_is_not_utf8_is_shown_by_its_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let bench = Bench::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.patch");
    std::fs::write(bench.path("").join(name), "no patch\n").unwrap();
    let mut command = bench.command(&bench.matrix(&["--patch"]), &[]);
    command.arg(name);
    let outcome = bench.finish(command);
    assert_eq!(outcome.exit, Some(4), "{outcome:?}");
    assert!(outcome.stderr.contains("caf\\xe9.patch:1: no diff in it"), "{outcome:?}");
    bench.survived("names: not UTF-8", &outcome);
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
    refused(&bench, &[], 2, &["c.yaml:10", "did you mean `fragments`?"]);
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
    let more =
        "{name: munmap, failures: 8, inject: all}, {name: slow, suite: full, failures: 8, inject: all}";
    bench.write("c.yaml", &campaign.replace("{name: munmap, failures: 8, inject: all}", more));
    assert_eq!(bench.run(&[], &[]).exit, Some(0));
    refused(
        &bench,
        &["--suite", "full"],
        2,
        &["no guest test `slow`", "guest-tests/scenarios/src/bin/slow.rs"],
    );
    refused(&bench, &["--soak", "5"], 2, &["`5` is no time such as 90s, 30m or 8h"]);
}
