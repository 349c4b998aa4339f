use std::cell::RefCell;
use std::fs;
use std::process::Command;

use super::*;
use crate::host::disk;

/// A tarball with the outline of a kernel, served from a file URL.
fn serve(dir: &Path) -> Wanted {
    let script = "mkdir -p linux-7.2.13/mm && cd linux-7.2.13 && : >Kconfig && echo a >mm/a.c &&
        printf 'VERSION = 7\\nPATCHLEVEL = 2\\nSUBLEVEL = 13\\n' >Makefile && cd .. &&
        tar -cJf served.tar.xz linux-7.2.13 && rm -r linux-7.2.13";
    assert!(Command::new("sh").args(["-ec", script]).current_dir(dir).status().unwrap().success());
    let served = dir.join("served.tar.xz");
    Wanted {
        name: "7.2".to_owned(),
        local: None,
        debian: None,
        kernel_org: Some(KernelOrg {
            version: "7.2.13".to_owned(),
            sha256: Some(disk::sha256(&served).unwrap()),
            keyring: None,
            url: Some(format!("file://{}", served.display())),
        }),
    }
}

#[test]
fn a_fetched_source_is_complete_and_the_second_time_it_needs_no_archive() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = serve(dir.path());
    let said = RefCell::new(Vec::new());
    let progress = |message: &str| said.borrow_mut().push(message.to_owned());
    let cache = dir.path().join("cache");
    let source = fetch(&wanted, &cache, &progress).unwrap();
    assert_eq!(source.version, "7.2.13");
    assert!(source.origin.contains("served.tar.xz"), "{}", source.origin);
    assert!(source.dir.join("mm/a.c").exists());
    assert!(said.borrow().iter().any(|message| message.starts_with("unpacking")));

    fs::remove_file(dir.path().join("served.tar.xz")).unwrap();
    said.borrow_mut().clear();
    assert_eq!(fetch(&wanted, &cache, &progress).unwrap(), source);
    assert_eq!(*said.borrow(), Vec::<String>::new());
}

#[test]
fn a_tree_without_a_good_stamp_or_of_an_earlier_harness_is_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = serve(dir.path());
    let cache = dir.path().join("cache");
    let home = cache.join("source/7.2");
    for spoil in ["stamp.json", "edits/manifest.json"] {
        let before = fetch(&wanted, &cache, &|_| ()).unwrap();
        fs::write(before.dir.join("mm/stray.c"), "x").unwrap();
        fs::create_dir_all(home.join("edits")).unwrap();
        fs::write(home.join(spoil), "{").unwrap();
        let after = fetch(&wanted, &cache, &|_| ()).unwrap();
        assert_ne!(after.incarnation, before.incarnation, "{spoil}");
        assert!(!after.dir.join("mm/stray.c").exists(), "{spoil}");
    }
}

#[test]
fn another_wish_under_the_same_name_is_not_served_from_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let mut wanted = serve(dir.path());
    let cache = dir.path().join("cache");
    fetch(&wanted, &cache, &|_| ()).unwrap();
    wanted.kernel_org.as_mut().unwrap().sha256 = Some("0".repeat(64));
    let failure = fetch(&wanted, &cache, &|_| ()).unwrap_err();
    assert!(failure.because.iter().any(|why| why.contains("wanted sha256 000")), "{failure}");
}

#[test]
fn a_truncated_archive_is_named_removed_and_leaves_no_tree() {
    let dir = tempfile::tempdir().unwrap();
    let mut wanted = serve(dir.path());
    let served = dir.path().join("served.tar.xz");
    let bytes = fs::read(&served).unwrap();
    fs::write(&served, &bytes[..bytes.len() / 2]).unwrap();
    wanted.kernel_org.as_mut().unwrap().sha256 = Some(disk::sha256(&served).unwrap());
    let cache = dir.path().join("cache");
    let failure = fetch(&wanted, &cache, &|_| ()).unwrap_err();
    assert!(failure.because[0].contains("linux-7.2.13.tar.xz could not be unpacked"), "{failure}");
    assert!(!cache.join("source/7.2").exists());
    assert!(!cache.join("source/7.2.download/linux-7.2.13.tar.xz").exists());
}

#[test]
fn a_package_that_is_no_archive_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("linux-source.deb");
    fs::write(&file, "not a package").unwrap();
    let archive = Packed::Deb { file: file.clone(), package: "linux-source-7.2".to_owned() };
    let label = Label { name: "7.2", wanted: "", origin: "a test", archive_sha256: "" };
    let home = dir.path().join("7.2");
    let failure = unpacked::unpack(&archive, &home, &label, dir.path()).unwrap_err();
    assert!(failure.what.contains("linux-source.deb"), "{failure}");
    assert!(!file.exists() && !home.exists());
}

#[test]
fn a_local_directory_comes_first_and_is_used_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut wanted = serve(dir.path());
    let cache = dir.path().join("cache");
    let tree = fetch(&wanted, &cache, &|_| ()).unwrap().dir;
    wanted.local = Some(Local::Directory(tree.clone()));
    let source = fetch(&wanted, &cache, &|_| ()).unwrap();
    assert_eq!((&source.dir, source.incarnation.as_ref()), (&tree, None));
    assert!(source.origin.starts_with("directory /"), "{}", source.origin);
    wanted.local = Some(Local::Directory(dir.path().to_owned()));
    assert!(
        fetch(&wanted, &cache, &|_| ()).is_err(),
        "a wrong directory is an error, not a reason to download"
    );
}

#[test]
fn names_that_are_paths_options_or_lines_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    for bad in ["", "..", ".7", "a/b", "-o", "sid\nTrusted: yes"] {
        let debian = |package: &str, suite: &str| {
            Some(Debian { package: package.to_owned(), suites: vec![suite.to_owned()] })
        };
        for (name, debian) in
            [(bad, None), ("7.2", debian(bad, "sid")), ("7.2", debian("linux-source-7.2", bad))]
        {
            let wanted = Wanted { name: name.to_owned(), local: None, debian, kernel_org: None };
            let failure = fetch(&wanted, &cache, &|_| ()).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{bad:?}: {failure}");
        }
    }
    assert!(!cache.exists());
}

#[test]
fn a_tree_that_names_no_place_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = Wanted { name: "7.2".to_owned(), local: None, debian: None, kernel_org: None };
    let failure = fetch(&wanted, dir.path(), &|_| ()).unwrap_err();
    assert_eq!(failure.what, "no source for tree 7.2");
    assert_eq!(failure.next, ["give a kernel source of your own: --tree 7.2=DIR"]);
}
