use std::collections::BTreeMap;
use std::process::Command;

use super::*;
use crate::source::worktree::WorkTree;

/// A developer's repository with the outline of a kernel on two branches, whatever the host's own git settings.
struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let fixture = Fixture { dir: tempfile::tempdir().unwrap() };
        fixture.sh(
            "git init -q -b main linux && cd linux && mkdir mm && : >Kconfig && echo one >mm/a.c && echo b >mm/b.c
            printf 'VERSION = 7\\nPATCHLEVEL = 2\\nSUBLEVEL = 1\\n' >Makefile
            printf '*.c filter=upper eol=crlf ident\\n' >.gitattributes
            git add . && git commit -qm one && git tag v1
            git checkout -qb mine && echo 'two $Id$' >mm/a.c && echo new >mm/new.c && git add . && git commit -qm two
            git checkout -q main && echo edited >>mm/b.c",
        );
        fixture
    }

    fn sh(&self, script: &str) {
        let who = [("GIT_AUTHOR_NAME", "a"), ("GIT_AUTHOR_EMAIL", "a@b")];
        let by = [("GIT_COMMITTER_NAME", "a"), ("GIT_COMMITTER_EMAIL", "a@b")];
        let mut command = Command::new("sh");
        command.args(["-ec", script]).current_dir(self.dir.path()).envs(who).envs(by);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        // Silences what git has to say about the line ends.
        let quiet = [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "core.safecrlf")];
        command.envs(quiet).env("GIT_CONFIG_VALUE_0", "false");
        assert!(command.status().unwrap().success(), "{script}");
    }

    fn find(&self, name: &str) -> Result<Revision> {
        Revision::find(&self.dir.path().join("linux"), name)
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn checkout(&self, name: &str) -> Result<Source> {
        checkout("mine", &self.find(name)?, &self.cache(), Duration::ZERO, &|_| ())
    }

    /// Every file of the developer's, git's own too.
    fn theirs(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn collect(dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => collect(&path, files),
                    false => _ = files.insert(path.clone(), fs::read(path).unwrap()),
                }
            }
        }
        let mut files = BTreeMap::new();
        collect(&self.dir.path().join("linux"), &mut files);
        files
    }
}

fn content(source: &Source, path: &str) -> Option<String> {
    fs::read_to_string(source.dir.join(path)).ok()
}

#[test]
fn a_revision_is_checked_out_byte_for_byte_and_the_repository_is_left_as_it_was() {
    let fixture = Fixture::new();
    fixture.sh("cd linux && git config filter.upper.smudge 'tr a-z A-Z' && git config core.autocrlf true");
    let before = fixture.theirs();
    let source = fixture.checkout("mine").unwrap();
    assert_eq!(content(&source, "mm/a.c").as_deref(), Some("two $Id$\n"));
    assert_eq!((source.version.as_str(), content(&source, "mm/b.c").as_deref()), ("7.2.1", Some("b\n")));
    assert!(source.origin.contains("linux at mine (git "), "{}", source.origin);
    assert!(!source.dir.join(".git").exists());
    assert!(fixture.theirs() == before, "something was written into the repository");
}

#[test]
fn hooks_of_a_template_do_not_run() {
    let fixture = Fixture::new();
    let ran = fixture.dir.path().join("ran");
    fixture.sh(&format!(
        "mkdir -p t/hooks && printf '#!/bin/sh\\n: >{}\\n' >t/hooks/post-checkout && chmod +x t/hooks/*
        git -C linux config init.templateDir $PWD/t && cp t/hooks/* linux/.git/hooks/",
        ran.display()
    ));
    fixture.checkout("mine").unwrap();
    assert!(!ran.exists());
}

#[test]
fn a_checkout_is_used_again_and_another_commit_changes_only_what_differs() {
    let fixture = Fixture::new();
    let first = fixture.checkout("v1").unwrap();
    assert_eq!(fixture.checkout("main").unwrap().incarnation, first.incarnation);
    let written = |source: &Source| fs::metadata(source.dir.join("mm/b.c")).unwrap().modified().unwrap();
    let before = written(&first);
    drop(WorkTree::open(&first, &fixture.cache(), &|_| ()).unwrap());
    let second = fixture.checkout("mine").unwrap();
    assert_eq!((&second.dir, &second.incarnation), (&first.dir, &first.incarnation));
    assert_eq!(content(&second, "mm/a.c").as_deref(), Some("two $Id$\n"));
    assert_eq!(written(&second), before);
    let third = fixture.checkout("v1").unwrap();
    assert_eq!((content(&third, "mm/a.c").as_deref(), content(&third, "mm/new.c")), (Some("one\n"), None));
    // Who found the one commit is not given the other.
    let failure = WorkTree::open(&second, &fixture.cache(), &|_| ()).unwrap_err();
    assert!(failure.what.contains("is of another commit by now"), "{failure}");
}

#[test]
fn a_checkout_that_was_interrupted_is_made_again() {
    let fixture = Fixture::new();
    let first = fixture.checkout("v1").unwrap();
    let home = first.dir.parent().unwrap();
    fs::remove_file(home.join("stamp.json")).unwrap();
    fs::remove_file(home.join("tree/mm/a.c")).unwrap();
    fs::write(home.join("git/index.lock"), "").unwrap();
    let again = fixture.checkout("v1").unwrap();
    assert_ne!(again.incarnation, first.incarnation);
    assert_eq!(content(&again, "mm/a.c").as_deref(), Some("one\n"));
    // Also one that can no longer be brought to another commit.
    fs::write(home.join("git/index.lock"), "").unwrap();
    assert_eq!(content(&fixture.checkout("mine").unwrap(), "mm/a.c").as_deref(), Some("two $Id$\n"));
}

#[test]
fn every_kind_of_repository_will_do() {
    let fixture = Fixture::new();
    fixture.sh("
        git -C linux worktree add -q ../linked mine && git clone -q --bare linux bare.git
        git clone -q --depth 1 -b mine file://$PWD/linux shallow && git clone -q --shared -b mine linux shared
        mkdir new && cd new && git init -q -b mine --object-format=sha256
        cp -r ../linux/mm ../linux/Kconfig ../linux/Makefile . && echo new >mm/new.c && git add . && git commit -qm new");
    for dir in ["linked", "bare.git", "shallow", "shared", "new"] {
        let revision = Revision::find(&fixture.dir.path().join(dir), "mine").unwrap();
        let source = checkout(dir, &revision, &fixture.cache(), Duration::ZERO, &|_| ()).unwrap();
        assert_eq!(content(&source, "mm/new.c").as_deref(), Some("new\n"), "{dir}");
    }
}

#[test]
fn what_is_no_repository_or_no_commit_of_it_is_refused_with_what_is_known() {
    let fixture = Fixture::new();
    let failure = fixture.find("mien").unwrap_err();
    assert!(failure.what.starts_with("no commit `mien` in "), "{failure}");
    assert_eq!(failure.next, ["known there: main, mine, v1"]);
    for bad in ["", "-q", "--all", "main..mine", "^main", "v1:Makefile"] {
        assert!(fixture.find(bad).unwrap_err().what.starts_with("no commit `"), "{bad}");
    }
    let failure = Revision::find(&fixture.dir.path().join("linux/mm"), "main").unwrap_err();
    assert!(failure.what.ends_with("mm is not the top of a git repository"), "{failure}");
    let failure = Revision::find(fixture.dir.path(), "main").unwrap_err();
    assert!(failure.what.ends_with("is no git repository that can be read"), "{failure}");
}

#[test]
fn a_commit_that_is_no_kernel_is_named() {
    let fixture = Fixture::new();
    fixture.sh("cd linux && git checkout -q --orphan empty && git rm -rqf Kconfig && git commit -qm no");
    let failure = fixture.checkout("empty").unwrap_err();
    assert!(failure.what.contains("at empty (git ") && failure.what.ends_with("is not a Linux source tree"));
    assert_eq!(failure.because, ["it has no Kconfig"]);
}

#[test]
fn the_longest_directory_before_an_at_sign_is_the_repository() {
    let fixture = Fixture::new();
    let place = |words: &str| local::Local::find(&format!("{}/{words}", fixture.dir.path().display()));
    let dir = |words: &str| local::Local::Directory(fixture.dir.path().join(words));
    fixture.sh("mkdir linux@home && mkdir linux@home@old && git -C linux tag at@sign");
    assert_eq!(place("linux@home").unwrap(), dir("linux@home"));
    assert_eq!(place("linux").unwrap(), dir("linux"));
    assert_eq!(place("linux@at@sign").unwrap(), local::Local::Revision(fixture.find("at@sign").unwrap()));
    assert_eq!(place("linux@HEAD@{0}").unwrap(), local::Local::Revision(fixture.find("HEAD@{0}").unwrap()));
    assert!(place("linux@home@v1").unwrap_err().what.contains("linux@home is no git repository"));
    assert!(place("nowhere@v1").unwrap_err().what.ends_with("nowhere@v1: no such directory"));
}
