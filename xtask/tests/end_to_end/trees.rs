//! Trees of the user's own: a revision of their git repository, which is left as it was, and a tree that holds the
//! patch already.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::bench::{Bench, Outcome};

const REPOSITORY: &str = "
mv tree linux && cd linux && git init -q -b main && git add . && git commit -qm base && git tag v7.2
git checkout -qb topic && echo >>mm/mmu_gather.c && git commit -qam 'beside the patch'
git checkout -qb applied main && git apply \"$PATCH\" && git commit -qam 'the patch'
git checkout -q main && echo 'not committed' >>Kconfig && echo stray >stray && git stash -q && echo again >>Kconfig
";

/// A bench with a developer's repository `linux`, in the middle of their work, and no other source.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.source.clear();
    sh(&bench, REPOSITORY);
    bench
}

fn seed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../patches/mmu_gather-v2.patch")
}

/// Runs a script below the bench, with an identity and without the host's own git settings; what it prints.
fn sh(bench: &Bench, script: &str) -> String {
    let mut command = std::process::Command::new("sh");
    command.args(["-ec", script]).current_dir(bench.path("")).env("PATCH", seed());
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "a").env(format!("GIT_{role}_EMAIL"), "a@b");
    }
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let output = command.env("GIT_OPTIONAL_LOCKS", "0").output().unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Everything about the developer's repository: what git says, and each file with its content, git's own too.
fn state(bench: &Bench) -> (String, BTreeMap<PathBuf, Vec<u8>>) {
    fn collect(dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => {
                    files.insert(path.clone(), Vec::new());
                    collect(&path, files);
                }
                false => _ = files.insert(path.clone(), std::fs::read(path).unwrap()),
            }
        }
    }
    let said = "cd linux && git rev-parse HEAD && git symbolic-ref HEAD && git status --porcelain && \
                git worktree list && git stash list && git for-each-ref";
    let mut files = BTreeMap::new();
    collect(&bench.path("linux"), &mut files);
    (sh(bench, said), files)
}

/// `cargo xtask patch` with the campaign's patch.
fn patch(bench: &Bench, more: &[&str]) -> Outcome {
    let seed = seed();
    let args = ["patch", seed.to_str().unwrap(), "--campaign", "./c.yaml"];
    let args: Vec<String> = args.iter().chain(more).map(ToString::to_string).collect();
    bench.finish(bench.command(&args, &[]))
}

fn says(outcome: &Outcome, exit: i32, words: &[&str]) {
    assert_eq!(outcome.exit, Some(exit), "{outcome:?}");
    for word in words {
        let there =
            [&outcome.stdout, &outcome.said(), &outcome.stderr].iter().any(|text| text.contains(word));
        assert!(there, "`{word}` is not in {outcome:?}");
    }
}

#[test]
fn a_revision_is_validated_and_the_developers_repository_is_left_as_it_was() {
    let bench = bench();
    let before = state(&bench);
    let tree = ["--tree", "mine=linux@topic"];
    says(&patch(&bench, &tree), 0, &["tree mine: 7.2.12 from", "linux at topic (git ", "base 1/2"]);
    says(
        &bench.run(&[&tree[..], &["--dry-run"]].concat(), &[]),
        0,
        &["\nmine/x86_64/v/patched", "checkout/mine-"],
    );
    let outcome = bench.run(&tree, &[]);
    outcome.is("pass", 0, "");
    says(&outcome, 0, &["1 of 2 pre-image blobs", "made on another version of mm/mmu_gather.c"]);
    assert_eq!(outcome.report["pairs"][0]["tree"], "mine");
    assert!(state(&bench) == before, "something was written into the repository");

    // The branch may move: what repeats a cell names the commit.
    let commit = sh(&bench, "git -C linux rev-parse topic");
    let repro = bench.path("work/runs/latest/cells/mine/x86_64/v/base/repro.sh");
    let repro = std::fs::read_to_string(repro).unwrap();
    assert!(repro.contains(&format!("mine={}@{}", bench.path("linux").display(), commit.trim())), "{repro}");
}

#[test]
fn a_dry_run_of_a_revision_makes_nothing_at_all() {
    let bench = bench();
    let before = state(&bench);
    says(
        &bench.run(&["--tree", "7.2=linux@v7.2", "--dry-run"], &[]),
        0,
        &["tree 7.2: ", "7.2/x86_64/v/base"],
    );
    assert!(!bench.path("work").exists());
    assert!(state(&bench) == before, "something was written into the repository");
}

#[test]
fn what_names_no_revision_is_refused_before_anything_is_made() {
    let bench = bench();
    let refused = |tree: &str, exit: i32, words: &[&str]| {
        says(&bench.run(&["--tree", tree], &[]), exit, words);
        assert!(!bench.path("work").exists(), "{tree}");
    };
    refused("mine=linux@topik", 2, &["no commit `topik` in ", "known there: topic, "]);
    refused("mine=linux@", 2, &["no commit `` in "]);
    refused("mine=bin@main", 2, &["bin is no git repository that can be read"]);
    refused("mine=linux/mm@main", 2, &["is not the top of a git repository"]);
    refused("mine=nowhere@main", 2, &["nowhere@main: no such directory"]);
    refused("a/b=linux@main", 2, &["`a/b` is no name for a tree"]);
    let no_git = [("PATH", bench.path("bin").display().to_string())];
    let no_git = no_git.each_ref().map(|(name, value)| (*name, value.as_str()));
    says(
        &bench.run(&["--tree", "mine=linux@main"], &no_git),
        3,
        &["could not start git", "apt-get install git"],
    );
}

#[test]
fn a_directory_with_an_at_sign_in_its_name_is_a_directory() {
    let bench = bench();
    sh(&bench, "git clone -q linux linux@home && git -C linux@home tag t@1");
    says(&patch(&bench, &["--tree", "mine=linux@home"]), 0, &["directory ", "linux@home (git ", "base 2/2"]);
    says(&patch(&bench, &["--tree", "mine=linux@home@t@1"]), 0, &["linux@home at t@1 (git "]);
}

#[test]
fn two_trees_of_one_repository_are_two_checkouts() {
    let bench = bench();
    let outcome = bench.run(&["--tree", "one=linux@main", "--tree", "two=linux@topic"], &[]);
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
    let trees: Vec<_> =
        outcome.report["pairs"].as_array().unwrap().iter().map(|pair| &pair["tree"]).collect();
    assert_eq!(trees, ["one", "two"]);
    let twice = bench.run(&["--tree", "one=linux", "--tree", "two=linux"], &[]);
    says(&twice, 2, &["another tree is this directory already"]);
}

#[test]
fn a_tree_that_holds_the_patch_is_told_so_and_undone_when_asked() {
    let bench = bench();
    let before = state(&bench);
    let tree = ["--tree", "mine=linux@applied"];
    let by = "all 2 files that it touches are its results by blob id";
    says(&bench.run(&tree, &[]), 4, &["tree mine already holds ", by, "--base undo"]);
    says(&patch(&bench, &tree), 4, &["tree mine already holds ", by, "--base undo"]);

    let undo = [&tree[..], &["--base", "undo"]].concat();
    says(&patch(&bench, &undo), 0, &["undone to make the base", "base 2/2, result 2/2"]);
    let outcome = bench.run(&undo, &[]);
    outcome.is("pass", 0, "");
    says(&outcome, 0, &["2 of 2 pre-image blobs", "undone to make the base"]);
    assert_eq!(outcome.report["trees"][0]["undone"], by);
    let repro = bench.path("work/runs/latest/cells/mine/x86_64/v/patched/repro.sh");
    assert!(std::fs::read_to_string(repro).unwrap().contains("--base undo"));

    // This compiler takes the base, and fails on what the patch adds.
    let outcome = bench.run(&undo, &[("STAND_IN_MAKE", "compile-error")]);
    outcome.is("fail", 1, "");
    assert!(state(&bench) == before, "something was written into the repository");
}

#[test]
fn a_tree_that_does_not_hold_the_patch_has_nothing_to_undo() {
    let outcome = bench().run(&["--tree", "mine=linux@main", "--base", "undo"], &[]);
    says(&outcome, 2, &["the tree does not hold ", "leave out --base undo"]);
}
