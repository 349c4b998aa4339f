use super::*;
use crate::source::stamp as times;

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

fn shift(path: &Path, secs: i64) {
    let time = fs::metadata(path).unwrap().modified().unwrap();
    let by = Duration::from_secs(secs.unsigned_abs());
    times::set(path, if secs < 0 { time - by } else { time + by }).unwrap();
}

fn chain() -> Chain {
    Chain::new(1_790_000_000)
}

fn unsettled(builds: u32, whole: bool) -> Unsettled {
    Unsettled { chain: chain(), builds, began_secs: times::now_secs(), whole }
}

fn time(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

/// What kbuild writes down of an object that is made of `source`.
fn record(source: &str) -> String {
    format!(
        "savedcmd_mm/a.o := gcc\n\nsource_mm/a.o := ../{source}\n\ndeps_mm/a.o := \\\n  ../{source} \\\n  ../include/linux/x.h \\\n\nmm/a.o: $(deps_mm/a.o)\n\n$(deps_mm/a.o):\n"
    )
}

#[test]
fn settled_objects_get_one_time_whatever_they_had() {
    let dir = tempfile::tempdir().unwrap();
    for (name, by) in [("a.o", 23), ("mm/b.o", -86_400), ("c", 2_000_000_000)] {
        shift(&write(dir.path(), name, ""), by);
    }
    std::os::unix::fs::symlink("/no/such", dir.path().join("source")).unwrap();
    stamp_settled(dir.path(), chain()).unwrap();
    for name in ["a.o", "mm/b.o", "c"] {
        assert_eq!(time(&dir.path().join(name)), chain().object(0), "{name}");
    }
}

#[test]
fn an_unsettled_build_is_told_from_those_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (write(dir.path(), "old.o", ""), write(dir.path(), "new.o", ""));
    times::set(&old, chain().object(1)).unwrap();
    assert!(stamp(dir.path(), unsettled(2, true)).unwrap());
    assert_eq!((time(&old), time(&new)), (chain().object(1), chain().object(2)));
}

#[test]
fn unsettled_objects_of_an_unknown_time_are_not_used() {
    for by in [-86_400, -3600, 3600, 86_400] {
        let dir = tempfile::tempdir().unwrap();
        shift(&write(dir.path(), "a.o", ""), by);
        assert!(!stamp(dir.path(), unsettled(1, true)).unwrap(), "{by}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "a.o", "");
    times::set(&path, chain().object(0) + Duration::from_secs(23)).unwrap();
    assert!(!stamp(dir.path(), unsettled(1, true)).unwrap());
}

#[test]
fn what_a_killed_build_may_have_left_unfinished_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let kept = [
        ("mm/whole.o", ""),
        ("mm/.whole.o.cmd", "savedcmd_x := gcc\n"),
        ("mm/deps.o", ""),
        ("mm/.deps.o.cmd", &record("mm/deps.c")),
        ("include/generated/bounds.h", "#define"),
        ("include/config/X", ""),
        (".config", "CONFIG_X=y\n"),
    ];
    let removed = [
        ("mm/no-record.o", ""),
        ("mm/cut.o", ""),
        ("mm/.cut.o.cmd", "savedcmd_x := gcc\n\ndeps_x := \\\n  a.c \\\n"),
        ("mm/line.o", ""),
        ("mm/.line.o.cmd", "savedcmd_x := gc"),
        ("mm/.gone.o.cmd", "savedcmd_x := gcc\n"),
        ("include/generated/asm/empty.h", ""),
        ("vmlinux", "half"),
    ];
    for (name, text) in kept.iter().chain(&removed) {
        write(dir.path(), name, text);
    }
    // The object of an earlier build, whose record that build wrote.
    for name in ["mm/old.o", "mm/.old.o.cmd"] {
        times::set(&write(dir.path(), name, ""), chain().object(0)).unwrap();
    }
    // It was being written again: its record is the old one.
    write(dir.path(), "mm/again.o", "half");
    times::set(&write(dir.path(), "mm/.again.o.cmd", "savedcmd_x := gcc\n"), chain().object(0)).unwrap();
    assert!(stamp(dir.path(), unsettled(1, false)).unwrap());
    for (name, _) in kept {
        assert!(dir.path().join(name).exists(), "{name}");
    }
    for name in removed.iter().map(|(name, _)| *name).chain(["mm/again.o"]) {
        assert!(!dir.path().join(name).exists(), "{name}");
    }
    assert!(dir.path().join("mm/old.o").exists());
}

#[test]
fn a_file_that_appears_takes_the_objects_that_may_have_to_include_it() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        write(dir.path(), &format!("mm/{name}.o"), "");
        write(dir.path(), &format!("mm/.{name}.o.cmd"), &record(&format!("mm/{name}.c")));
    }
    let names = |names: &'static [&str]| names.iter().map(OsStr::new).collect::<BTreeSet<_>>();
    assert_eq!(remove_made_of(dir.path(), &names(&["a.c", "nothing.h"])).unwrap(), 1);
    assert!(!dir.path().join("mm/a.o").exists() && dir.path().join("mm/b.o").exists());
    assert_eq!(remove_made_of(dir.path(), &names(&["linux"])).unwrap(), 0, "no part of a path");
    assert_eq!(remove_made_of(dir.path(), &names(&["x.h"])).unwrap(), 1);
    assert_eq!(remove_made_of(&dir.path().join("absent"), &names(&["x.h"])).unwrap(), 0);
}
