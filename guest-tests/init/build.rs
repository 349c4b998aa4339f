//! Makes every guest test a part of the one program that an initramfs carries: each of them by itself would be mostly
//! the standard library, and every boot unpacks them all.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// From the directory of this package.
const SCENARIOS: &str = "../scenarios/src/bin";

fn main() {
    println!("cargo::rerun-if-changed={SCENARIOS}");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let sources = fs::canonicalize(root.join(SCENARIOS)).expect("the guest tests are beside this package");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("scenarios.rs"), render(&sources)).expect("cargo's own directory can be written");
}

/// A module of each file, and a table of them by the file's name.
fn render(sources: &Path) -> String {
    let mut paths: Vec<PathBuf> = fs::read_dir(sources)
        .expect("the directory can be listed")
        .map(|entry| entry.expect("the directory can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    paths.sort();
    let (mut modules, mut table) = (String::new(), String::new());
    for path in paths {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a guest test has a plain name");
        let module = format!("scenario_{}", name.replace('-', "_"));
        let _ = writeln!(modules, "#[path = {path:?}]\nmod {module};");
        let _ = writeln!(table, "    ({name:?}, {module}::main),");
    }
    format!("{modules}\nconst SCENARIOS: &[(&str, fn())] = &[\n{table}];\n")
}
