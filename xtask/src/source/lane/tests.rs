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

    fn lane(&self, tree: &WorkTree) -> Lane {
        Lane::open(tree, self.home("a")).unwrap()
    }

    fn home(&self, name: &str) -> PathBuf {
        self.dir.path().join("lanes").join(name)
    }
}

fn changes(list: &[(&str, Option<&[u8]>)]) -> Changes {
    list.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.map(<[u8]>::to_vec))).collect()
}

fn content(lane: &Lane, path: &str) -> Option<Vec<u8>> {
    fs::read(lane.dir().join(path)).ok()
}

fn mtime(lane: &Lane, path: &str) -> SystemTime {
    fs::metadata(lane.dir().join(path)).unwrap().modified().unwrap()
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
fn set_gives_the_original_plus_exactly_the_changes_and_says_what_it_wrote() {
    let fixture = Fixture::new();
    let mut lane = fixture.lane(&fixture.fetched());
    let first = changes(&[("mm/a.c", Some(b"1")), ("new/n.c", Some(b"n")), ("mm/b.c", None)]);
    assert_eq!(lane.set(&first).unwrap(), ["mm/a.c", "mm/b.c", "new/n.c"]);
    assert_eq!((content(&lane, "mm/b.c"), content(&lane, "new/n.c")), (None, Some(b"n".to_vec())));
    assert_eq!(lane.set(&changes(&[("mm/a.c", Some(b"2"))])).unwrap(), ["mm/a.c", "mm/b.c", "new/n.c"]);
    assert_eq!(content(&lane, "mm/a.c").as_deref(), Some(b"2".as_slice()));
    assert_eq!(content(&lane, "mm/b.c").as_deref(), Some(ORIGINAL));
    assert_eq!(content(&lane, "new/n.c"), None);
}

#[test]
fn nothing_that_is_done_in_a_lane_reaches_the_original_or_another_lane() {
    let fixture = Fixture::new();
    let tree = fixture.fetched();
    let before = all(&tree.dir());
    let mut lane = fixture.lane(&tree);
    lane.set(&changes(&[("mm/a.c", Some(b"1")), ("mm/b.c", None), ("mm/n.c", Some(b"n"))])).unwrap();
    fs::create_dir(objects_in(&fixture.home("a"))).unwrap();
    fs::write(objects_in(&fixture.home("a")).join("a.o"), "object").unwrap();
    let mut copy = Lane::copy(&fixture.home("a"), &tree, fixture.home("b")).unwrap();
    assert_eq!(content(&copy, "patchproof-objects/a.o").as_deref(), Some(b"object".as_slice()));
    fs::write(objects_in(&fixture.home("b")).join("a.o"), "changed in place").unwrap();
    copy.set(&changes(&[("mm/a.c", Some(b"2"))])).unwrap();
    assert_eq!(content(&lane, "mm/a.c").as_deref(), Some(b"1".as_slice()));
    assert_eq!(content(&lane, "patchproof-objects/a.o").as_deref(), Some(b"object".as_slice()));
    assert_eq!((content(&copy, "mm/b.c").as_deref(), content(&copy, "mm/n.c")), (Some(ORIGINAL), None));
    assert_eq!(all(&tree.dir()), before);
}

#[test]
fn a_copy_keeps_the_times_of_its_files_and_objects() {
    let fixture = Fixture::new();
    let tree = fixture.fetched();
    let mut lane = fixture.lane(&tree);
    let patch = changes(&[("mm/a.c", Some(b"1"))]);
    lane.set(&patch).unwrap();
    fs::create_dir(objects_in(&fixture.home("a"))).unwrap();
    fs::write(objects_in(&fixture.home("a")).join("a.o"), "object").unwrap();
    let mut copy = Lane::copy(&fixture.home("a"), &tree, fixture.home("b")).unwrap();
    for path in ["mm/a.c", "mm/b.c", "patchproof-objects/a.o"] {
        assert_eq!(mtime(&copy, path), mtime(&lane, path), "{path}");
    }
    assert_eq!(copy.set(&patch).unwrap(), Vec::<String>::new());
}

#[test]
fn a_file_that_is_right_keeps_its_time_and_a_written_one_gets_a_newer_one() {
    let fixture = Fixture::new();
    let mut lane = fixture.lane(&fixture.fetched());
    let future = SystemTime::now() + Duration::from_secs(3600);
    fs::File::options().write(true).open(lane.dir().join("mm/a.c")).unwrap().set_modified(future).unwrap();
    lane.set(&changes(&[("mm/a.c", Some(b"1")), ("mm/b.c", Some(b"1"))])).unwrap();
    assert!(mtime(&lane, "mm/a.c") > future);
    let (a, b) = (mtime(&lane, "mm/a.c"), mtime(&lane, "mm/b.c"));
    assert_eq!(lane.set(&changes(&[("mm/a.c", Some(b"1")), ("mm/b.c", Some(b"2"))])).unwrap(), ["mm/b.c"]);
    assert_eq!(mtime(&lane, "mm/a.c"), a);
    assert!(mtime(&lane, "mm/b.c") > b);
}

#[test]
fn an_executable_stays_executable() {
    let fixture = Fixture::new();
    let tree = fixture.fetched();
    fs::set_permissions(tree.dir().join("mm/a.c"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut lane = fixture.lane(&tree);
    lane.set(&changes(&[("mm/a.c", Some(b"1"))])).unwrap();
    assert_eq!(fs::metadata(lane.dir().join("mm/a.c")).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_path_that_leaves_the_tree_is_refused_before_anything_is_written() {
    let fixture = Fixture::new();
    let tree = fixture.fetched();
    let mut lane = fixture.lane(&tree);
    let bad = ["../x", "/etc/x", "mm/../../x", ".git/config", "mm/.GIT/x", "alias/x", "alias", "", "mm/"];
    for bad in bad.into_iter().chain(["patchproof-objects/x.o"]) {
        let failure = lane.set(&changes(&[("mm/a.c", Some(b"1")), (bad, Some(b"x"))])).unwrap_err();
        assert_eq!(failure.exit, crate::failure::Exit::PatchRejected, "{bad}: {failure}");
        assert_eq!(content(&lane, "mm/a.c").as_deref(), Some(ORIGINAL), "{bad}");
        assert!(tree.pristine(bad).is_err(), "{bad}");
    }
    assert!(lane.set(&changes(&[("mm", Some(b"x"))])).is_err(), "a directory is no file");
}

#[test]
fn what_a_killed_run_left_is_made_right_by_the_next_set() {
    let fixture = Fixture::new();
    for tree in [fixture.fetched(), fixture.users()] {
        let mut lane = fixture.lane(&tree);
        lane.set(&changes(&[("mm/a.c", Some(b"1")), ("mm/n.c", Some(b"n")), ("mm/b.c", None)])).unwrap();
        // Killed half-way through the next change: a.c is already something else.
        fs::write(lane.dir().join("mm/a.c"), "half").unwrap();
        let mut lane = fixture.lane(&tree);
        lane.set(&Changes::new()).unwrap();
        assert_eq!(content(&lane, "mm/a.c").as_deref(), Some(ORIGINAL));
        assert_eq!(content(&lane, "mm/b.c").as_deref(), Some(ORIGINAL));
        assert_eq!(content(&lane, "mm/n.c"), None);
    }
}

#[test]
fn a_lane_with_a_truncated_state_is_made_anew_without_its_objects() {
    let fixture = Fixture::new();
    let tree = fixture.fetched();
    fixture.lane(&tree).set(&changes(&[("mm/a.c", Some(b"1"))])).unwrap();
    fs::create_dir(objects_in(&fixture.home("a"))).unwrap();
    for state in ["", "{\"schema\": 1, \"inc", "{}"] {
        fs::write(state_file(&fixture.home("a")), state).unwrap();
        let lane = fixture.lane(&tree);
        assert_eq!(content(&lane, "mm/a.c").as_deref(), Some(ORIGINAL), "{state}");
        assert!(!objects_in(&fixture.home("a")).exists(), "{state}");
    }
    fs::write(state_file(&fixture.home("a")), "").unwrap();
    assert!(Lane::copy(&fixture.home("a"), &tree, fixture.home("b")).is_err());
}

#[test]
fn another_unpacking_of_the_source_gives_another_lane() {
    let fixture = Fixture::new();
    fixture.lane(&fixture.fetched());
    fs::create_dir(objects_in(&fixture.home("a"))).unwrap();
    fixture.lane(&fixture.tree("cache/source/7.2/tree", Some("second")));
    assert!(!objects_in(&fixture.home("a")).exists());
}

#[test]
fn a_users_directory_is_never_changed_and_a_lane_follows_its_edits() {
    let fixture = Fixture::new();
    let linux = fixture.dir.path().join("linux");
    let tree = fixture.users();
    let mut lane = fixture.lane(&tree);
    lane.set(&changes(&[("mm/a.c", Some(b"1")), ("drivers/n.c", Some(b"n"))])).unwrap();
    fs::create_dir(objects_in(&fixture.home("a"))).unwrap();
    assert_eq!(fs::read(linux.join("mm/a.c")).unwrap(), ORIGINAL);
    let built = mtime(&lane, "mm/b.c");
    drop(tree);

    fs::write(linux.join("mm/b.c"), "edited").unwrap();
    fs::write(linux.join("mm/c.c"), "added").unwrap();
    fs::remove_file(linux.join("alias")).unwrap();
    let mut lane = fixture.lane(&fixture.users());
    assert_eq!(content(&lane, "mm/b.c").as_deref(), Some(b"edited".as_slice()));
    assert!(mtime(&lane, "mm/b.c") > built, "make must see that the file was edited");
    assert_eq!(content(&lane, "mm/c.c").as_deref(), Some(b"added".as_slice()));
    assert!(fs::symlink_metadata(lane.dir().join("alias")).is_err());
    assert!(objects_in(&fixture.home("a")).exists());
    assert_eq!(content(&lane, "mm/a.c").as_deref(), Some(b"1".as_slice()), "it is set, not followed");
    lane.set(&Changes::new()).unwrap();
    assert_eq!((content(&lane, "mm/a.c").as_deref(), content(&lane, "drivers/n.c")), (Some(ORIGINAL), None));
}

#[test]
fn commands_that_name_a_lane_name_its_copy_there() {
    let fixture = Fixture::new();
    let tree = fixture.fetched();
    let lane = fixture.lane(&tree);
    let objects = objects_in(&fixture.home("a"));
    fs::create_dir_all(objects.join("tools")).unwrap();
    let command = |lane: &Lane| format!("cmd_a.o := gcc {0}/a.c {0}/b.c\n", lane.dir().display());
    fs::write(objects.join("tools/.a.o.cmd"), command(&lane)).unwrap();
    fs::write(objects.join("tools/a.o"), command(&lane)).unwrap();
    let copy = Lane::copy(&fixture.home("a"), &tree, fixture.home("b")).unwrap();
    let content = |path: &str| content(&copy, &format!("patchproof-objects/{path}")).unwrap();
    assert_eq!(content("tools/.a.o.cmd"), command(&copy).into_bytes());
    assert_eq!(content("tools/a.o"), command(&lane).into_bytes(), "an object is left alone");
}
