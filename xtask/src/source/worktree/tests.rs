use super::*;

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
        }
        Fixture { dir }
    }

    fn open_fetched(&self) -> Result<WorkTree> {
        self.open("cache/source/7.2/tree", Some("first"))
    }

    fn open_local(&self) -> Result<WorkTree> {
        self.open("linux", None)
    }

    fn open(&self, dir: &str, incarnation: Option<&str>) -> Result<WorkTree> {
        let source = Source {
            dir: self.dir.path().join(dir),
            version: "7.2.12".to_owned(),
            origin: "a test".to_owned(),
            incarnation: incarnation.map(str::to_owned),
            stamp: None,
        };
        WorkTree::open(&source, &self.dir.path().join("cache"), &|_| ())
    }
}

fn changes(list: &[(&str, Option<&[u8]>)]) -> Changes {
    list.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.map(<[u8]>::to_vec))).collect()
}

fn content(tree: &WorkTree, path: &str) -> Option<Vec<u8>> {
    fs::read(tree.dir().join(path)).ok()
}

fn mtime(tree: &WorkTree, path: &str) -> SystemTime {
    fs::metadata(tree.dir().join(path)).unwrap().modified().unwrap()
}

#[test]
fn set_gives_the_original_plus_exactly_the_changes_and_says_what_it_wrote() {
    let fixture = Fixture::new();
    let mut tree = fixture.open_fetched().unwrap();
    let first = changes(&[("mm/a.c", Some(b"1")), ("new/n.c", Some(b"n")), ("mm/b.c", None)]);
    assert_eq!(tree.set(&first).unwrap(), ["mm/a.c", "mm/b.c", "new/n.c"]);
    assert_eq!(content(&tree, "mm/b.c"), None);
    assert_eq!(tree.pristine("mm/a.c").unwrap().as_deref(), Some(ORIGINAL));
    assert_eq!(tree.pristine("new/n.c").unwrap(), None);

    assert_eq!(tree.set(&changes(&[("mm/a.c", Some(b"2"))])).unwrap(), ["mm/a.c", "mm/b.c", "new/n.c"]);
    assert_eq!(content(&tree, "mm/a.c").as_deref(), Some(b"2".as_slice()));
    assert_eq!(content(&tree, "mm/b.c").as_deref(), Some(ORIGINAL));
    assert_eq!(content(&tree, "new/n.c"), None);
}

#[test]
fn a_file_that_is_right_keeps_its_time_and_a_written_one_gets_a_newer_one() {
    let fixture = Fixture::new();
    let mut tree = fixture.open_fetched().unwrap();
    let future = SystemTime::now() + Duration::from_secs(3600);
    fs::File::options().write(true).open(tree.dir().join("mm/a.c")).unwrap().set_modified(future).unwrap();
    tree.set(&changes(&[("mm/a.c", Some(b"1")), ("mm/b.c", Some(b"1"))])).unwrap();
    assert!(mtime(&tree, "mm/a.c") > future);
    let (a, b) = (mtime(&tree, "mm/a.c"), mtime(&tree, "mm/b.c"));
    assert_eq!(tree.set(&changes(&[("mm/a.c", Some(b"1")), ("mm/b.c", Some(b"2"))])).unwrap(), ["mm/b.c"]);
    assert_eq!(mtime(&tree, "mm/a.c"), a);
    assert!(mtime(&tree, "mm/b.c") > b);
}

#[test]
fn an_executable_stays_executable() {
    let fixture = Fixture::new();
    let mut tree = fixture.open_fetched().unwrap();
    let script = tree.dir().join("mm/a.c");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    tree.set(&changes(&[("mm/a.c", Some(b"1"))])).unwrap();
    assert_eq!(fs::metadata(&script).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_path_that_leaves_the_tree_is_refused_before_anything_is_written() {
    let fixture = Fixture::new();
    let mut tree = fixture.open_fetched().unwrap();
    std::os::unix::fs::symlink("/tmp", tree.dir().join("link")).unwrap();
    for bad in ["../x", "/etc/x", "mm/../../x", ".git/config", "mm/.GIT/x", "link/x", "link", "", "mm/"] {
        let failure = tree.set(&changes(&[("mm/a.c", Some(b"1")), (bad, Some(b"x"))])).unwrap_err();
        assert_eq!(failure.exit, crate::failure::Exit::PatchRejected, "{bad}: {failure}");
        assert_eq!(content(&tree, "mm/a.c").as_deref(), Some(ORIGINAL), "{bad}");
        assert!(tree.pristine(bad).is_err(), "{bad}");
    }
    assert!(tree.set(&changes(&[("mm", Some(b"x"))])).is_err(), "a directory is no file");
}

#[test]
fn what_a_killed_run_left_is_undone_at_the_next_open() {
    let fixture = Fixture::new();
    for open in [Fixture::open_fetched, Fixture::open_local] {
        let mut tree = open(&fixture).unwrap();
        tree.set(&changes(&[("mm/a.c", Some(b"1")), ("mm/n.c", Some(b"n")), ("mm/b.c", None)])).unwrap();
        // Killed half-way through the next change: a.c is already something else.
        fs::write(tree.dir().join("mm/a.c"), "half").unwrap();
        drop(tree);
        let tree = open(&fixture).unwrap();
        assert_eq!(content(&tree, "mm/a.c").as_deref(), Some(ORIGINAL));
        assert_eq!(content(&tree, "mm/b.c").as_deref(), Some(ORIGINAL));
        assert_eq!(content(&tree, "mm/n.c"), None);
    }
}

#[test]
fn originals_are_named_in_the_manifest_before_the_tree_is_touched() {
    let fixture = Fixture::new();
    let mut tree = fixture.open_fetched().unwrap();
    // Killed between the manifest and the first write.
    tree.journal.record(&tree.dir(), &["mm/a.c", "mm/n.c"]).unwrap();
    fs::write(tree.dir().join("mm/n.c"), "n").unwrap();
    drop(tree);
    let tree = fixture.open_fetched().unwrap();
    assert_eq!(content(&tree, "mm/a.c").as_deref(), Some(ORIGINAL));
    assert_eq!(content(&tree, "mm/n.c"), None);
}

#[test]
fn a_fetched_tree_with_a_truncated_manifest_is_not_trusted() {
    let fixture = Fixture::new();
    let mut tree = fixture.open_fetched().unwrap();
    tree.set(&changes(&[("mm/a.c", Some(b"1"))])).unwrap();
    let home = tree.home.clone();
    drop(tree);
    assert!(journal::is_sound(&home));
    fs::write(home.join("edits/manifest.json"), "{\"schema\": 1, \"orig").unwrap();
    assert!(!journal::is_sound(&home));
    let failure = fixture.open_fetched().unwrap_err();
    assert!(failure.next[0].contains("fetched anew"), "{failure}");
}

#[test]
fn a_damaged_original_is_noticed() {
    let fixture = Fixture::new();
    let mut tree = fixture.open_fetched().unwrap();
    tree.set(&changes(&[("mm/a.c", Some(b"1"))])).unwrap();
    let home = tree.home.clone();
    drop(tree);
    let saved = fs::read_dir(home.join("edits/originals")).unwrap().next().unwrap().unwrap().path();
    fs::write(saved, "orig").unwrap();
    assert!(!journal::is_sound(&home));
}

#[test]
fn a_copy_with_a_truncated_manifest_is_made_anew_under_another_incarnation() {
    let fixture = Fixture::new();
    let mut tree = fixture.open_local().unwrap();
    tree.set(&changes(&[("mm/a.c", Some(b"1"))])).unwrap();
    let (home, before) = (tree.home.clone(), tree.incarnation().to_owned());
    drop(tree);
    fs::write(home.join("edits/manifest.json"), "{").unwrap();
    let tree = fixture.open_local().unwrap();
    assert_eq!(content(&tree, "mm/a.c").as_deref(), Some(ORIGINAL));
    assert_ne!(tree.incarnation(), before);
}

#[test]
fn a_users_directory_is_never_changed_and_its_copy_follows_its_edits() {
    let fixture = Fixture::new();
    let linux = fixture.dir.path().join("linux");
    std::os::unix::fs::symlink("mm/a.c", linux.join("alias")).unwrap();
    fs::write(linux.join(".config"), "CONFIG_X=y").unwrap();
    let mut tree = fixture.open_local().unwrap();
    let incarnation = tree.incarnation().to_owned();
    assert_eq!(fs::read_link(tree.dir().join("alias")).unwrap(), Path::new("mm/a.c"));
    assert_eq!(content(&tree, ".config"), None);
    tree.set(&changes(&[("mm/a.c", Some(b"1"))])).unwrap();
    assert_eq!(fs::read(linux.join("mm/a.c")).unwrap(), ORIGINAL);
    let built = mtime(&tree, "mm/a.c");
    drop(tree);

    fs::write(linux.join("mm/b.c"), "edited").unwrap();
    fs::remove_file(linux.join("alias")).unwrap();
    let tree = fixture.open_local().unwrap();
    assert_eq!(tree.incarnation(), incarnation);
    assert_eq!(content(&tree, "mm/b.c").as_deref(), Some(b"edited".as_slice()));
    assert!(fs::symlink_metadata(tree.dir().join("alias")).is_err());
    assert_eq!(content(&tree, "mm/a.c").as_deref(), Some(ORIGINAL));
    assert!(mtime(&tree, "mm/a.c") > built, "make must see that the file was restored");
}

#[test]
fn a_copy_that_was_interrupted_before_its_first_index_starts_over() {
    let fixture = Fixture::new();
    let tree = fixture.open_local().unwrap();
    let home = tree.home.clone();
    drop(tree);
    fs::remove_file(home.join("index")).unwrap();
    fs::write(home.join("tree/mm/stray.c"), "x").unwrap();
    let tree = fixture.open_local().unwrap();
    assert_eq!(content(&tree, "mm/stray.c"), None);
}
