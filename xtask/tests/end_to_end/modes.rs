//! Patches that set modes, through the real binary: what a build may execute is what git would make of the patch.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::bench::{Bench, Outcome};

/// A mode alone, a new script, and a rename that takes a mode away.
const SCRIPTS: &str = "\
diff --git a/Kconfig b/Kconfig
old mode 100644
new mode 100755
diff --git a/scripts/new.sh b/scripts/new.sh
new file mode 100755
index 000000000000..27ba77ddaf61
--- /dev/null
+++ b/scripts/new.sh
@@ -0,0 +1 @@
+true
diff --git a/scripts/old.sh b/scripts/moved.sh
old mode 100755
new mode 100644
similarity index 100%
rename from scripts/old.sh
rename to scripts/moved.sh
";

/// A bench whose tree has a script, and where `own.patch` is the campaign's patch and `SCRIPTS`.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.program("tree/scripts/old.sh", "true\n");
    bench.program("tree/scripts/stays.sh", "true\n");
    write_patch(&bench, SCRIPTS);
    bench
}

fn write_patch(bench: &Bench, scripts: &str) {
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../patches/mmu_gather-v2.patch");
    let mut text = std::fs::read_to_string(seed).unwrap();
    // Before the signature of the mail.
    let at = text.rfind("\n-- \n").map_or(text.len(), |at| at + 1);
    text.insert_str(at, scripts);
    bench.write("own.patch", &text);
}

fn run(bench: &Bench, more: &[&str]) -> Outcome {
    let args = bench.matrix(&[&["--patch", "own.patch"], more].concat());
    bench.finish(bench.command(&args.into_iter().filter(|arg| arg != "--rebuild").collect::<Vec<_>>(), &[]))
}

/// Which files the last builds could execute, one text for each build directory.
fn executable(bench: &Bench) -> Vec<String> {
    let texts = bench.find("make.modes").into_iter();
    let mut texts: Vec<_> = texts.map(|file| std::fs::read_to_string(file).unwrap()).collect();
    texts.sort();
    texts
}

const BASE: &str = "./scripts/old.sh\n./scripts/stays.sh\n";
const PATCHED: &str = "./Kconfig\n./scripts/new.sh\n./scripts/stays.sh\n";

#[test]
fn a_build_sees_the_modes_of_its_arm_and_the_next_one_its_own() {
    let bench = bench();
    let outcome = run(&bench, &[]);
    outcome.is("pass", 0, "");
    assert_eq!(executable(&bench), [PATCHED, BASE], "{outcome:?}");
    for (path, mode) in [("Kconfig", 0o644), ("scripts/old.sh", 0o755)] {
        let found = std::fs::metadata(bench.path("tree").join(path)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "the user's own {path}");
    }
    assert!(!bench.path("tree/scripts/new.sh").exists());
}

#[test]
fn a_kernel_of_other_modes_is_another_kernel() {
    let bench = bench();
    let cached = |outcome: &Outcome| {
        let cells = outcome.report["cells"].as_array().unwrap();
        cells.iter().map(|cell| cell["cached"] == true).collect::<Vec<_>>()
    };
    assert_eq!(cached(&run(&bench, &[])), [false, false]);
    assert_eq!(cached(&run(&bench, &[])), [true, true]);
    // One mode alone is another one.
    write_patch(&bench, &SCRIPTS.replace("new file mode 100755", "new file mode 100644"));
    let other = run(&bench, &[]);
    assert_eq!(cached(&other), [true, false], "{other:?}");
    let modes = executable(&bench);
    assert!(modes.contains(&PATCHED.replace("./scripts/new.sh\n", "")), "{modes:?}");
}

#[test]
fn modes_are_undone_to_make_the_base() {
    let bench = bench();
    let tree = bench.path("tree");
    let applied = std::process::Command::new("git")
        .args(["apply", "../own.patch"])
        .current_dir(&tree)
        .env("GIT_CEILING_DIRECTORIES", bench.path(""))
        .status();
    assert!(applied.unwrap().success());
    let held = run(&bench, &[]);
    assert_eq!(held.exit, Some(4), "{held:?}");
    assert!(held.stderr.contains("already holds"), "{held:?}");
    let outcome = run(&bench, &["--base", "undo"]);
    outcome.is("pass", 0, "");
    assert_eq!(executable(&bench), [PATCHED, BASE], "{outcome:?}");
    assert!(tree.join("scripts/new.sh").exists(), "the user's tree stays as it is");
}

#[test]
fn a_patch_that_sets_nothing_but_a_mode_is_shown() {
    let bench = bench();
    bench.write("mode.patch", SCRIPTS.split_inclusive("100755\n").next().unwrap());
    let args = ["patch", "mode.patch", "--campaign", "./c.yaml", "--tree", "7.2=tree"].map(str::to_owned);
    let outcome = bench.finish(bench.command(&args, &[]));
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
    for words in ["Kconfig, 0 hunks, mode 100644 to 100755", "mode:   executable (100755)"] {
        assert!(outcome.stdout.contains(words), "{outcome:?}");
    }
}

#[test]
fn links_and_submodules_are_refused_with_the_reason() {
    let bench = bench();
    for (mode, word) in [("120000", "a symbolic link (mode 120000)"), ("160000", "a submodule (mode 160000)")]
    {
        write_patch(&bench, &SCRIPTS.replace("new file mode 100755", &format!("new file mode {mode}")));
        let outcome = run(&bench, &[]);
        assert_eq!(outcome.exit, Some(4), "{outcome:?}");
        assert!(outcome.stderr.contains(word), "{outcome:?}");
    }
}
