use super::super::Source;
use super::*;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

const ORIGINAL: &[u8] = b"original";

/// A tiny kernel in a cache of its own, as a fetched source and as a user's directory.
struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        for home in ["cache/source/7.2/tree", "linux"] {
            let tree = dir.path().join(home);
            fs::create_dir_all(tree.join("mm")).unwrap();
            fs::write(tree.join("Makefile"), "VERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 12\n").unwrap();
            fs::write(tree.join("Kconfig"), "").unwrap();
            fs::write(tree.join("mm/a.c"), ORIGINAL).unwrap();
            fs::write(tree.join("mm/b.c"), ORIGINAL).unwrap();
            std::os::unix::fs::symlink("mm/a.c", tree.join("alias")).unwrap();
        }
        Fixture { dir }
    }

    fn tree(&self, dir: &str, incarnation: Option<&str>) -> WorkTree {
        let source = Source {
            dir: self.dir.path().join(dir),
            version: "7.2.12".to_owned(),
            origin: "a test".to_owned(),
            incarnation: incarnation.map(str::to_owned),
            stamp: None,
        };
        WorkTree::open(&source, &self.dir.path().join("cache"), &|_| ()).unwrap()
    }

    fn fetched(&self) -> WorkTree {
        self.tree("cache/source/7.2/tree", Some("first"))
    }

    fn users(&self) -> WorkTree {
        self.tree("linux", None)
    }

    fn build_dir(&self, tree: &WorkTree) -> BuildDir {
        BuildDir::open(tree, self.home("a")).unwrap()
    }

    fn home(&self, name: &str) -> PathBuf {
        self.dir.path().join("build-dirs").join(name)
    }
}

fn changes(list: &[(&str, Option<&[u8]>)]) -> Changes {
    list.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.map(Content::plain))).collect()
}

/// Begins a build of the original plus `list`.
fn begin(build_dir: &mut BuildDir, list: &[(&str, Option<&[u8]>)]) -> bool {
    build_dir.begin(&changes(list), Path::new("/place")).unwrap()
}

fn content(build_dir: &BuildDir, path: &str) -> Option<Vec<u8>> {
    fs::read(build_dir.dir().join(path)).ok()
}

fn mtime(build_dir: &BuildDir, path: &str) -> SystemTime {
    fs::metadata(build_dir.dir().join(path)).unwrap().modified().unwrap()
}

/// All files of a tree, with their contents.
fn all(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(all(&path)),
            false => found.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    found.sort();
    found
}

#[test]
fn begin_gives_the_original_plus_exactly_the_changes() {
    let fixture = Fixture::new();
    let mut build_dir = fixture.build_dir(&fixture.fetched());
    begin(&mut build_dir, &[("mm/a.c", Some(b"1")), ("new/n.c", Some(b"n")), ("mm/b.c", None)]);
    assert_eq!((content(&build_dir, "mm/b.c"), content(&build_dir, "new/n.c")), (None, Some(b"n".to_vec())));
    begin(&mut build_dir, &[("mm/a.c", Some(b"2"))]);
    assert_eq!(content(&build_dir, "mm/a.c").as_deref(), Some(b"2".as_slice()));
    assert_eq!(content(&build_dir, "mm/b.c").as_deref(), Some(ORIGINAL));
    assert!(!build_dir.dir().join("new").exists(), "nothing of a patch stays, not its directory either");
}

#[test]
fn a_name_may_be_a_directory_in_one_patch_and_a_file_in_the_next() {
    let fixture = Fixture::new();
    let mut build_dir = fixture.build_dir(&fixture.fetched());
    for _ in 0..2 {
        begin(&mut build_dir, &[("mm/newdir/deep/x.h", Some(b"x"))]);
        build_dir.settle().unwrap();
        begin(&mut build_dir, &[("mm/newdir", Some(b"a file"))]);
        assert_eq!(content(&build_dir, "mm/newdir").as_deref(), Some(b"a file".as_slice()));
        build_dir.settle().unwrap();
        // A file of the original where a patch puts a directory.
        begin(&mut build_dir, &[("mm/a.c", None), ("mm/a.c/x.h", Some(b"x"))]);
        assert_eq!(content(&build_dir, "mm/a.c/x.h").as_deref(), Some(b"x".as_slice()));
        begin(&mut build_dir, &[]);
        assert_eq!(content(&build_dir, "mm/a.c").as_deref(), Some(ORIGINAL));
        assert!(!build_dir.dir().join("mm/newdir").exists());
    }
}

#[test]
fn nothing_that_is_done_in_a_build_dir_reaches_the_original_or_another_build_dir() {
    let fixture = Fixture::new();
    let tree = fixture.fetched();
    let before = all(&tree.dir());
    let mut build_dir = fixture.build_dir(&tree);
    begin(&mut build_dir, &[("mm/a.c", Some(b"1")), ("mm/b.c", None), ("mm/n.c", Some(b"n"))]);
    fs::write(build_dir.objects().join("a.o"), "object").unwrap();
    build_dir.settle().unwrap();
    let mut copy = BuildDir::copy(&fixture.home("a"), &tree, fixture.home("b")).unwrap();
    assert_eq!(content(&copy, "patchproof-objects/a.o").as_deref(), Some(b"object".as_slice()));
    fs::write(copy.objects().join("a.o"), "changed in place").unwrap();
    let time = mtime(&build_dir, "mm/a.c");
    begin(&mut copy, &[("mm/a.c", Some(b"1"))]);
    assert_eq!(mtime(&build_dir, "mm/a.c"), time, "a second name of the file is not touched");
    begin(&mut copy, &[("mm/a.c", Some(b"2"))]);
    assert_eq!(content(&build_dir, "mm/a.c").as_deref(), Some(b"1".as_slice()));
    assert_eq!(content(&build_dir, "patchproof-objects/a.o").as_deref(), Some(b"object".as_slice()));
    assert_eq!((content(&copy, "mm/b.c").as_deref(), content(&copy, "mm/n.c")), (Some(ORIGINAL), None));
    assert_eq!(all(&tree.dir()), before);
}

#[test]
fn only_what_changed_since_the_last_build_is_newer_than_its_objects() {
    let fixture = Fixture::new();
    let mut build_dir = fixture.build_dir(&fixture.fetched());
    begin(&mut build_dir, &[("mm/a.c", Some(b"1")), ("mm/b.c", Some(b"1"))]);
    fs::write(build_dir.objects().join("a.o"), "object").unwrap();
    build_dir.settle().unwrap();
    begin(&mut build_dir, &[("mm/a.c", Some(b"1")), ("mm/b.c", Some(b"2"))]);
    let object = mtime(&build_dir, "patchproof-objects/a.o");
    assert!(mtime(&build_dir, "mm/a.c") < object && object < mtime(&build_dir, "mm/b.c"));
    // It did not end well: what the objects know is what they knew.
    build_dir.pause().unwrap();
    begin(&mut build_dir, &[("mm/a.c", Some(b"1")), ("mm/b.c", Some(b"2"))]);
    assert!(object < mtime(&build_dir, "mm/b.c"));
    build_dir.settle().unwrap();
    begin(&mut build_dir, &[("mm/a.c", Some(b"1"))]);
    let object = mtime(&build_dir, "patchproof-objects/a.o");
    assert!(
        mtime(&build_dir, "mm/a.c") < object && object < mtime(&build_dir, "mm/b.c"),
        "b.c is the original again"
    );
}

/// A rule as kbuild's: an object is made of a source and a header, by what make says of their times.
const MAKEFILE: &str =
    "objects/a.o: a.c a.h\n\t@cat a.c a.h > $@\nobjects/all: objects/a.o\n\t@cp objects/a.o $@\n";

fn make(build_dir: &BuildDir) -> String {
    let objects = build_dir.objects();
    fs::create_dir_all(objects.join("objects")).unwrap();
    fs::write(objects.join(".config"), "").unwrap();
    let makefile = MAKEFILE.replace("objects/", &format!("{}/", objects.display()));
    fs::write(build_dir.home.join("toy.mk"), makefile).unwrap();
    let all = objects.join("all");
    duct::cmd!("make", "-s", "-C", build_dir.dir().join("mm"), "-f", build_dir.home.join("toy.mk"), &all)
        .stderr_to_stdout()
        .run()
        .unwrap();
    fs::read_to_string(all).unwrap()
}

#[test]
fn a_step_of_the_clock_between_two_builds_leaves_no_object_of_the_first() {
    let good: &[(&str, Option<&[u8]>)] = &[("mm/a.c", Some(b"waits ")), ("mm/a.h", Some(b"1"))];
    let bad: &[(&str, Option<&[u8]>)] = &[("mm/a.c", Some(b"frees ")), ("mm/a.h", Some(b"1"))];
    let header: &[(&str, Option<&[u8]>)] = &[("mm/a.c", Some(b"waits ")), ("mm/a.h", Some(b"2"))];
    for secs in [0, 1, -1, 24, -24, 3600, -3600, 86_400, -86_400, 2_000_000_000] {
        let fixture = Fixture::new();
        let mut build_dir = fixture.build_dir(&fixture.fetched());
        begin(&mut build_dir, good);
        assert_eq!(make(&build_dir), "waits 1");
        build_dir.settle().unwrap();
        for (patch, wanted) in [(bad, "frees 1"), (header, "waits 2"), (good, "waits 1")] {
            shift_all(&build_dir.dir(), secs);
            assert!(begin(&mut build_dir, patch));
            assert_eq!(make(&build_dir), wanted, "after a step of {secs} s");
            build_dir.settle().unwrap();
        }
        // A build that was cut off, and then the step.
        begin(&mut build_dir, bad);
        make(&build_dir);
        build_dir.pause().unwrap();
        shift_all(&build_dir.dir(), secs);
        let kept = begin(&mut build_dir, good);
        assert!(kept || secs != 0, "without a step the objects are kept");
        assert_eq!(make(&build_dir), "waits 1", "cut off, then a step of {secs} s");
    }
}

fn shift_all(dir: &Path, secs: i64) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let found = fs::symlink_metadata(&path).unwrap();
        if found.is_dir() {
            shift_all(&path, secs);
        } else if found.is_file() {
            let (time, by) = (found.modified().unwrap(), Duration::from_secs(secs.unsigned_abs()));
            stamp::set(&path, if secs < 0 { time - by } else { time + by }).unwrap();
        }
    }
}

#[test]
fn an_interrupted_build_is_gone_on_with_and_a_killed_one_too() {
    let fixture = Fixture::new();
    let tree = fixture.fetched();
    let patch: &[(&str, Option<&[u8]>)] = &[("mm/a.c", Some(b"1"))];
    for pause in [true, false] {
        let mut build_dir = fixture.build_dir(&tree);
        begin(&mut build_dir, patch);
        for (name, text) in
            [("a.o", ""), (".a.o.cmd", "savedcmd_a.o := cc\n"), (".config", "CONFIG_A=y\n"), ("half.o", "")]
        {
            fs::write(build_dir.objects().join(name), text).unwrap();
        }
        if pause {
            build_dir.pause().unwrap();
        }
        drop(build_dir);
        let mut build_dir = fixture.build_dir(&tree);
        assert!(begin(&mut build_dir, patch), "it goes on from the objects that are there");
        assert!(build_dir.objects().join("a.o").exists());
        assert_eq!(
            build_dir.objects().join("half.o").exists(),
            pause,
            "a killed one may have left it unfinished"
        );
        assert!(mtime(&build_dir, "mm/a.c") < mtime(&build_dir, "patchproof-objects/a.o"));
        assert!(!is_usable(&fixture.home("a"), "first"), "others do not start from it");
        build_dir.settle().unwrap();
        assert!(is_usable(&fixture.home("a"), "first"));
        fs::remove_dir_all(fixture.home("a")).unwrap();
    }
}

#[test]
fn after_another_boot_of_the_host_a_build_that_was_cut_off_is_not_used() {
    let fixture = Fixture::new();
    let tree = fixture.fetched();
    let mut build_dir = fixture.build_dir(&tree);
    begin(&mut build_dir, &[]);
    fs::write(build_dir.objects().join(".config"), "").unwrap();
    build_dir.settle().unwrap();
    begin(&mut build_dir, &[]);
    let state = fs::read_to_string(state_file(&fixture.home("a"))).unwrap();
    fs::write(state_file(&fixture.home("a")), state.replace(&this_boot(), "another")).unwrap();
    assert!(!is_usable(&fixture.home("a"), "first"));
    assert!(!begin(&mut fixture.build_dir(&tree), &[]));
}

#[test]
fn a_file_that_was_executable_is_so_if_the_changes_say_it() {
    let fixture = Fixture::new();
    let tree = fixture.fetched();
    fs::set_permissions(tree.dir().join("mm/a.c"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut build_dir = fixture.build_dir(&tree);
    let list = [("mm/a.c".to_owned(), Some(Content { executable: true, ..Content::plain(*b"1") }))].into();
    build_dir.begin(&list, Path::new("/place")).unwrap();
    assert_eq!(mode(&build_dir, "mm/a.c"), 0o755);
    begin(&mut build_dir, &[("mm/a.c", Some(b"1"))]);
    assert_eq!(mode(&build_dir, "mm/a.c"), 0o644);
    begin(&mut build_dir, &[]);
    assert_eq!(mode(&build_dir, "mm/a.c"), 0o755);
}

fn mode(build_dir: &BuildDir, path: &str) -> u32 {
    fs::metadata(build_dir.dir().join(path)).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_mode_is_set_counts_as_a_change_and_is_taken_back() {
    let fixture = Fixture::new();
    let tree = fixture.fetched();
    let mut build_dir = fixture.build_dir(&tree);
    let executable = |bytes: &[u8]| Some(Content { executable: true, ..Content::plain(bytes) });
    let list: Changes = [("mm/a.c", executable(ORIGINAL)), ("n.sh", executable(b"n"))]
        .map(|(path, to)| (path.to_owned(), to))
        .into();
    begin(&mut build_dir, &[("n.sh", Some(b"n"))]);
    fs::write(build_dir.objects().join("a.o"), "object").unwrap();
    build_dir.settle().unwrap();
    build_dir.begin(&list, Path::new("/place")).unwrap();
    assert_eq!((mode(&build_dir, "mm/a.c"), mode(&build_dir, "n.sh")), (0o755, 0o755));
    let object = mtime(&build_dir, "patchproof-objects/a.o");
    assert!(
        object < mtime(&build_dir, "mm/a.c") && object < mtime(&build_dir, "n.sh"),
        "make sees that they changed"
    );
    build_dir.settle().unwrap();
    // Another build directory's copy, the same again, and back.
    let mut copy = BuildDir::copy(&fixture.home("a"), &tree, fixture.home("b")).unwrap();
    copy.begin(&list, Path::new("/place")).unwrap();
    assert_eq!(mode(&copy, "n.sh"), 0o755);
    assert!(mtime(&copy, "n.sh") < mtime(&copy, "patchproof-objects/a.o"), "nothing changed");
    begin(&mut build_dir, &[]);
    assert_eq!(mode(&build_dir, "mm/a.c"), 0o644);
    assert!(!build_dir.dir().join("n.sh").exists());
    assert_eq!(fs::metadata(tree.dir().join("mm/a.c")).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(mode(&copy, "mm/a.c"), 0o755, "the other build directory keeps its own");
}

#[test]
fn a_path_that_leaves_the_tree_is_refused_before_anything_is_written() {
    let fixture = Fixture::new();
    let tree = fixture.fetched();
    let mut build_dir = fixture.build_dir(&tree);
    let bad = ["../x", "/etc/x", "mm/../../x", ".git/config", "mm/.GIT/x", "alias/x", "alias", "", "mm/"];
    for bad in bad.into_iter().chain(["patchproof-objects/x.o"]) {
        let list = changes(&[("mm/a.c", Some(b"1")), (bad, Some(b"x"))]);
        let failure = build_dir.begin(&list, Path::new("/place")).unwrap_err();
        assert_eq!(failure.exit, failure::Exit::PatchRejected, "{bad}: {failure}");
        assert_eq!(content(&build_dir, "mm/a.c").as_deref(), Some(ORIGINAL), "{bad}");
        assert!(tree.pristine(bad).is_err(), "{bad}");
    }
    assert!(
        build_dir.begin(&changes(&[("mm", Some(b"x"))]), Path::new("/p")).is_err(),
        "a directory is no file"
    );
}

#[test]
fn what_a_killed_run_left_is_made_right_by_the_next_build() {
    let fixture = Fixture::new();
    for tree in [fixture.fetched(), fixture.users()] {
        let mut build_dir = fixture.build_dir(&tree);
        begin(&mut build_dir, &[("mm/a.c", Some(b"1")), ("mm/n.c", Some(b"n")), ("mm/b.c", None)]);
        // Killed half-way through the next change: a.c is already something else.
        fs::write(build_dir.dir().join("mm/a.c"), "half").unwrap();
        let mut build_dir = fixture.build_dir(&tree);
        begin(&mut build_dir, &[]);
        assert_eq!(content(&build_dir, "mm/a.c").as_deref(), Some(ORIGINAL));
        assert_eq!(content(&build_dir, "mm/b.c").as_deref(), Some(ORIGINAL));
        assert_eq!(content(&build_dir, "mm/n.c"), None);
    }
}

#[test]
fn a_build_dir_with_a_truncated_state_is_made_again_without_its_objects() {
    let fixture = Fixture::new();
    let tree = fixture.fetched();
    for state in ["", "{\"schema\": 3, \"inc", "{}"] {
        begin(&mut fixture.build_dir(&tree), &[("mm/a.c", Some(b"1"))]);
        fs::write(state_file(&fixture.home("a")), state).unwrap();
        let build_dir = fixture.build_dir(&tree);
        assert_eq!(content(&build_dir, "mm/a.c").as_deref(), Some(ORIGINAL), "{state}");
        assert!(!objects_in(&fixture.home("a")).exists(), "{state}");
    }
    fs::write(state_file(&fixture.home("a")), "").unwrap();
    assert!(BuildDir::copy(&fixture.home("a"), &tree, fixture.home("b")).is_err());
}

#[test]
fn another_unpacking_of_the_source_gives_another_build_dir() {
    let fixture = Fixture::new();
    fixture.build_dir(&fixture.fetched());
    fs::create_dir(objects_in(&fixture.home("a"))).unwrap();
    fixture.build_dir(&fixture.tree("cache/source/7.2/tree", Some("second")));
    assert!(!objects_in(&fixture.home("a")).exists());
}

#[test]
fn a_users_directory_is_never_changed_and_a_build_dir_follows_its_edits() {
    let fixture = Fixture::new();
    let linux = fixture.dir.path().join("linux");
    let tree = fixture.users();
    let mut build_dir = fixture.build_dir(&tree);
    let patch: &[(&str, Option<&[u8]>)] = &[("mm/a.c", Some(b"1")), ("drivers/n.c", Some(b"n"))];
    begin(&mut build_dir, patch);
    fs::write(build_dir.objects().join("b.o"), "object").unwrap();
    build_dir.settle().unwrap();
    assert_eq!(fs::read(linux.join("mm/a.c")).unwrap(), ORIGINAL);
    drop(tree);

    fs::write(linux.join("mm/b.c"), "edited").unwrap();
    fs::write(linux.join("mm/c.c"), "added").unwrap();
    fs::remove_file(linux.join("Kconfig")).unwrap();
    let tree = fixture.users();
    let mut build_dir = fixture.build_dir(&tree);
    begin(&mut build_dir, patch);
    assert_eq!(content(&build_dir, "mm/b.c").as_deref(), Some(b"edited".as_slice()));
    assert!(
        mtime(&build_dir, "mm/b.c") > mtime(&build_dir, "patchproof-objects/b.o"),
        "make must see that it was edited"
    );
    assert!(mtime(&build_dir, "mm/a.c") < mtime(&build_dir, "patchproof-objects/b.o"));
    assert_eq!(
        (content(&build_dir, "mm/c.c").as_deref(), content(&build_dir, "Kconfig")),
        (Some(b"added".as_slice()), None)
    );
    build_dir.settle().unwrap();
    begin(&mut build_dir, &[]);
    assert_eq!(
        (content(&build_dir, "mm/a.c").as_deref(), content(&build_dir, "drivers/n.c")),
        (Some(ORIGINAL), None)
    );
    assert!(
        mtime(&build_dir, "mm/b.c") < mtime(&build_dir, "patchproof-objects/b.o"),
        "the objects know it now"
    );
    build_dir.settle().unwrap();
    drop(tree);

    // A link that changes takes all objects with it.
    fs::remove_file(linux.join("alias")).unwrap();
    let build_dir = fixture.build_dir(&fixture.users());
    assert!(fs::symlink_metadata(build_dir.dir().join("alias")).is_err() && !build_dir.objects().exists());
}

#[test]
fn commands_that_name_a_tree_name_it_where_the_next_build_sees_it() {
    let fixture = Fixture::new();
    let mut build_dir = fixture.build_dir(&fixture.fetched());
    begin(&mut build_dir, &[]);
    let command = |place: &str| format!("cmd_a.o := gcc {place}/a.c {place}/b.c\n");
    fs::create_dir(build_dir.objects().join("tools")).unwrap();
    fs::write(build_dir.objects().join("tools/.a.o.cmd"), command("/place")).unwrap();
    fs::write(build_dir.objects().join("tools/a.o"), command("/place")).unwrap();
    // A build may have left a link there.
    let outside = fixture.dir.path().join("outside");
    fs::write(&outside, command("/place")).unwrap();
    std::os::unix::fs::symlink(&outside, build_dir.objects().join("tools/.link.cmd")).unwrap();
    build_dir.settle().unwrap();
    build_dir.begin(&Changes::new(), Path::new("/other")).unwrap();
    let content = |path: &str| content(&build_dir, &format!("patchproof-objects/{path}")).unwrap();
    assert_eq!(content("tools/.a.o.cmd"), command("/other").into_bytes());
    assert_eq!(content("tools/a.o"), command("/place").into_bytes(), "an object is left alone");
    assert_eq!(fs::read_to_string(&outside).unwrap(), command("/place"));
}

#[test]
fn text_of_kconfig_files_is_nothing_that_was_asked_for() {
    let configured =
        "1234\n# mm/Kconfig\n\t  is set (if CONFIG_SYSFS is set).\n\nCONFIG_A=y\n# CONFIG_B is not set\n";
    assert_eq!(Vec::from_iter(asked_lines(configured)), ["# CONFIG_B is not set", "CONFIG_A=y"]);
}
