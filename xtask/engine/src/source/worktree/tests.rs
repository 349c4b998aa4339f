use super::*;

/// A tiny kernel as a user's directory.
fn users() -> (tempfile::TempDir, Source) {
    let dir = tempfile::tempdir().unwrap();
    let linux = dir.path().join("linux");
    fs::create_dir_all(linux.join("mm")).unwrap();
    fs::write(linux.join("Makefile"), "VERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 12\n").unwrap();
    fs::write(linux.join("mm/a.c"), "original").unwrap();
    let source = Source {
        dir: linux,
        version: "7.2.12".to_owned(),
        origin: "a test".to_owned(),
        incarnation: None,
        stamp: None,
    };
    (dir, source)
}

fn open(dir: &tempfile::TempDir, source: &Source) -> WorkTree {
    WorkTree::open(source, &dir.path().join("cache"), &|_| ()).unwrap()
}

fn content(tree: &WorkTree, path: &str) -> Option<Vec<u8>> {
    fs::read(tree.dir().join(path)).ok()
}

#[test]
fn a_copy_follows_the_users_directory_and_says_so_in_its_identity() {
    let (dir, source) = users();
    std::os::unix::fs::symlink("mm/a.c", source.dir.join("alias")).unwrap();
    fs::write(source.dir.join(".config"), "CONFIG_X=y").unwrap();
    let tree = open(&dir, &source);
    let (incarnation, identity) = (tree.incarnation().to_owned(), tree.identity().unwrap());
    assert_eq!(fs::read_link(tree.dir().join("alias")).unwrap(), Path::new("mm/a.c"));
    assert_eq!(content(&tree, ".config"), None);
    assert_eq!(tree.pristine("mm/a.c").unwrap(), Some(Content::plain(*b"original")));
    assert_eq!(tree.pristine("mm/n.c").unwrap(), None);
    drop(tree);
    fs::write(source.dir.join("mm/a.c"), "edited").unwrap();
    fs::remove_file(source.dir.join("alias")).unwrap();
    let tree = open(&dir, &source);
    assert_eq!(tree.incarnation(), incarnation);
    assert_ne!(tree.identity().unwrap(), identity);
    assert_eq!(content(&tree, "mm/a.c").as_deref(), Some(b"edited".as_slice()));
    assert!(fs::symlink_metadata(tree.dir().join("alias")).is_err());
}

#[test]
fn a_copy_that_was_interrupted_before_its_first_index_starts_over() {
    let (dir, source) = users();
    let tree = open(&dir, &source);
    let home = tree.home().to_owned();
    drop(tree);
    fs::remove_file(home.join("index")).unwrap();
    fs::write(home.join("tree/mm/stray.c"), "x").unwrap();
    assert_eq!(content(&open(&dir, &source), "mm/stray.c"), None);
}

#[test]
fn a_copy_of_an_earlier_harness_is_made_again() {
    let (dir, source) = users();
    let tree = open(&dir, &source);
    let (home, before) = (tree.home().to_owned(), tree.incarnation().to_owned());
    drop(tree);
    fs::create_dir(home.join("edits")).unwrap();
    fs::write(home.join("tree/mm/a.c"), "patched").unwrap();
    let tree = open(&dir, &source);
    assert_eq!(content(&tree, "mm/a.c").as_deref(), Some(b"original".as_slice()));
    assert_ne!(tree.incarnation(), before);
}
