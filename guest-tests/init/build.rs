//! Makes every guest test a part of the one program that an initramfs carries: each of them by itself would be mostly
//! the standard library, and every boot unpacks them all. A guest test is a program of any crate next to this one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The crates, from the directory of this package.
const CRATES: &str = "..";

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let crates = fs::canonicalize(root.join(CRATES)).expect("this package is in a directory");
    // With all that is below it.
    println!("cargo::rerun-if-changed={}", crates.display());
    let mut tests = BTreeMap::new();
    for directory in list(&crates).into_iter().map(|one| one.join("src/bin")).filter(|bin| bin.is_dir()) {
        for path in
            list(&directory).into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"))
        {
            let name =
                path.file_stem().and_then(|stem| stem.to_str()).expect("a guest test has a plain name");
            let other = tests.insert(name.to_owned(), path.clone());
            assert!(other.is_none(), "two guest tests have one name: {} and {other:?}", path.display());
        }
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("scenarios.rs"), render(&tests)).expect("cargo's own directory can be written");
}

fn list(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the directory can be listed");
    entries.map(|entry| entry.expect("the directory can be listed").path()).collect()
}

/// A module of each file, and a table of them by the file's name.
fn render(tests: &BTreeMap<String, PathBuf>) -> String {
    let (mut modules, mut table) = (String::new(), String::new());
    for (name, path) in tests {
        let module = format!("scenario_{}", name.replace('-', "_"));
        let _ = writeln!(modules, "#[path = {path:?}]\nmod {module};");
        let _ = writeln!(table, "    ({name:?}, {module}::main),");
    }
    format!("{modules}\nconst SCENARIOS: &[(&str, fn())] = &[\n{table}];\n")
}
