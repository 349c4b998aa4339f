//! How many objects of a build directory a change of the configuration makes stale, by what kbuild noted beside each object
//! (scripts/basic/fixdep.c: the symbols that its sources name). A sample of them: an estimate, on which no verdict rests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use memchr::memmem;

/// Objects that are looked at.
const SAMPLE: usize = 200;

/// How fixdep writes that an object depends on a symbol.
const DEPENDS: &str = "include/config/";

/// What holds the flags of all objects, below the tree.
const FLAGS: [&str; 2] = ["Makefile", "scripts"];

/// The share of the objects in `objects` that are compiled again when `symbols` change, from 0 to 1; 0 where there are none.
/// `tree` is the source that they are of, and `arch` its name for the architecture.
pub fn share(objects: &Path, tree: &Path, arch: &str, symbols: &BTreeSet<String>) -> f64 {
    if symbols.is_empty() {
        return 0.0;
    }
    if flags_name(tree, arch, symbols) {
        return 1.0;
    }
    let notes = notes(objects);
    let step = notes.len().div_ceil(SAMPLE).max(1);
    let sample: Vec<&PathBuf> = notes.iter().step_by(step).collect();
    let stale =
        sample.iter().filter(|note| fs::read(note).is_ok_and(|text| names(&text, DEPENDS, symbols))).count();
    stale as f64 / sample.len().max(1) as f64
}

/// What Kconfig found out about a Rust compiler, which makes none of the objects here (init/Kconfig): it differs once one was
/// installed.
const OF_RUST: &str = "RUSTC_";

/// Symbols whose values differ between two sets of lines of a configuration.
pub fn changed(one: &BTreeSet<String>, other: &BTreeSet<String>) -> BTreeSet<String> {
    let symbol = |line: &String| {
        let name = line.split_once("CONFIG_")?.1;
        Some(name.split(['=', ' ']).next().unwrap_or(name).to_owned())
    };
    one.symmetric_difference(other).filter_map(symbol).filter(|name| !name.starts_with(OF_RUST)).collect()
}

/// One of `symbols` stands behind `prefix`.
fn names(text: &[u8], prefix: &str, symbols: &BTreeSet<String>) -> bool {
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    memmem::find_iter(text, prefix).any(|at| {
        let name = &text[at + prefix.len()..];
        let end = name.iter().position(|byte| !is_of_name(byte)).unwrap_or(name.len());
        std::str::from_utf8(&name[..end]).is_ok_and(|name| symbols.contains(name))
    })
}

/// One of `symbols` is named where the compiler's flags for all objects are made, such as KASAN.
fn flags_name(tree: &Path, arch: &str, symbols: &BTreeSet<String>) -> bool {
    let makefiles = FLAGS.iter().map(|name| tree.join(name)).chain([tree.join("arch").join(arch)]);
    let is_makefile =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("Makefile"));
    let files = makefiles.flat_map(|place| if place.is_dir() { entries(&place) } else { vec![place] });
    files.filter(is_makefile).any(|file| fs::read(file).is_ok_and(|text| names(&text, "CONFIG_", symbols)))
}

/// What kbuild noted of each object, in order.
fn notes(objects: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![objects.to_owned()]);
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            let is_folder = path.symlink_metadata().is_ok_and(|data| data.is_dir());
            if is_folder {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(".o.cmd") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn objects_are_stale_whose_sources_name_a_symbol_or_all_where_flags_do() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("Makefile", "ifdef CONFIG_KASAN\n");
        write("scripts/Makefile.ubsan", "flags-$(CONFIG_UBSAN_SHIFT) += -f\n");
        write("arch/x86/Makefile", "ifdef CONFIG_X86_64\n");
        write("objects/mm/.a.o.cmd", "deps := include/config/SMP) $(wildcard include/config/KSM)\n");
        write("objects/mm/.b.o.cmd", "deps := include/config/SMP)\n");
        write("objects/mm/b.o", "include/config/KSM)");
        let share = |names: &[&str]| share(&dir.path().join("objects"), dir.path(), "x86", &symbols(names));
        assert_eq!(
            [share(&["KSM"]), share(&["SMP"]), share(&["KS", "SM"]), share(&[])],
            [0.5, 1.0, 0.0, 0.0]
        );
        assert_eq!([share(&["KASAN"]), share(&["UBSAN_SHIFT"]), share(&["UBSAN"])], [1.0, 1.0, 0.0]);
    }

    #[test]
    fn symbols_differ_by_value_or_by_being_there() {
        let one = symbols(&["CONFIG_A=y", "# CONFIG_B is not set", "CONFIG_C=1"]);
        let other = symbols(&["CONFIG_A=y", "CONFIG_B=y", "CONFIG_C=2", "CONFIG_D=y"]);
        assert_eq!(changed(&one, &other), symbols(&["B", "C", "D"]));
        assert!(changed(&one, &one).is_empty());
        let with_rust =
            symbols(&["CONFIG_A=y", "# CONFIG_B is not set", "CONFIG_C=1", "CONFIG_RUSTC_VERSION=109600"]);
        assert!(changed(&one, &with_rust).is_empty());
    }
}
