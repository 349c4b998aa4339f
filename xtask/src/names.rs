//! Names: no two types share one, and only code of a subject has its words. Only a test; looks at sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use crate::floors::sources;

/// The words of `mmu-gather`, in lower case: page tables, IPIs, RCU's synchronous waits.
const SUBJECT: &str = r"tlb_|rcu_sync|\bipi|page.?table|fallback";

/// Folders that may have them.
const MAY_SAY: [&str; 3] = [
    // What only code can do for that subject.
    "guest-tests/mmu-gather",
    // Every subsystem is tried, and a tunnel is of the type `ipip`.
    "guest-tests/workloads",
    // The kernel's own words: a headline is recognised as printk() has it, whatever patch is under test.
    "xtask/console/src/splat",
];

/// A source of the product, without the items that only tests have.
struct SourceFile {
    /// From the top of the workspace.
    path: PathBuf,
    text: String,
}

/// The sources of every crate of the workspace. No tests, examples and fuzz targets.
fn product() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut paths = Vec::new();
    for dir in members(root) {
        sources(&dir.join("src"), &mut paths);
        paths.extend([dir.join("build.rs")].into_iter().filter(|path| path.exists()));
    }
    let read = |path: &PathBuf| (path.clone(), std::fs::read_to_string(path).unwrap());
    let texts: BTreeMap<PathBuf, String> = paths.iter().map(read).collect();
    let only_tests: BTreeSet<PathBuf> =
        texts.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let is_test = |path: &Path| path.ancestors().any(|above| only_tests.contains(&above.with_extension("")));
    let shipped = texts.iter().filter(|(path, _)| !is_test(path));
    let file = |(path, text): (&PathBuf, &String)| SourceFile {
        path: path.strip_prefix(root).unwrap().to_owned(),
        text: without_tests(text),
    };
    shipped.map(file).collect()
}

/// The crates of the workspace.
fn members(root: &Path) -> Vec<PathBuf> {
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let members = manifest.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    let mut dirs = Vec::new();
    for member in members.split('"').skip(1).step_by(2) {
        match member.strip_suffix("/*") {
            None => dirs.push(root.join(member)),
            Some(parent) => {
                dirs.extend(root.join(parent).read_dir().unwrap().map(|entry| entry.unwrap().path()));
            }
        }
    }
    dirs.retain(|dir| dir.join("Cargo.toml").exists());
    dirs
}

/// The modules that `text` declares for tests only, without an extension: a file, or a directory of `mod.rs`.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let stem = path.file_stem().unwrap().to_string_lossy();
    let is_folder = ["mod", "lib", "main"].contains(&&*stem);
    let dir = if is_folder { path.parent().unwrap().to_owned() } else { path.with_extension("") };
    static MODULE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^\s*#\[cfg\(test\)\]\n\s*(?:pub(?:\([a-z]+\))? )?mod (\w+);").unwrap()
    });
    MODULE.captures_iter(text).map(|found| dir.join(&found[1])).collect()
}

/// `text`, as rustfmt leaves it, with empty lines for the items below `#[cfg(test)]`.
fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        kept.push('\n');
        let indent = &line[..line.len() - line.trim_start().len()];
        // The item ends in its first line, or with a brace below its first character.
        let mut first = true;
        for line in lines.by_ref() {
            kept.push('\n');
            let is_attribute = line.trim_start().starts_with("#[");
            if first && (line.ends_with([';', ',', '}'])) || line == format!("{indent}}}") {
                break;
            }
            first &= is_attribute;
        }
    }
    kept
}

/// The types that `text` declares. A `type` in an impl or a trait is no type of its own.
fn declared(text: &str) -> Vec<String> {
    static TYPE: LazyLock<Regex> = LazyLock::new(|| {
        let public = r"(?:pub(?:\([a-z:]+\))? )?";
        let types = format!(r"(?m)^(?: *{public}(?:struct|enum|trait|union)|{public}type) ([A-Z]\w*)");
        Regex::new(&types).unwrap()
    });
    TYPE.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

#[test]
fn items_of_tests_are_left_out_and_types_found() {
    let text = "struct A;\n#[cfg(test)]\nuse x::Y;\nmod b {\n    pub(super) enum C<'a> {\n        D,\n    }\n    \
                #[cfg(test)]\n    #[derive(Debug)]\n    struct E {\n        f: u8,\n    }\n}\ntype G = A;\nimpl I for A {\n    \
                type Item = A;\n}\n#[cfg(test)]\nmod tests {\n    struct H {\n    }\n}\npub trait J {}\n";
    assert_eq!(declared(&without_tests(text)), ["A", "C", "G", "J"]);
}

#[test]
fn modules_of_tests_are_found() {
    let text = "#[cfg(test)]\nmod tests;\nmod a;\n#[cfg(test)]\npub mod fixture;\n";
    let found = |path: &str| test_modules(Path::new(path), text);
    assert_eq!(found("x/mod.rs"), [Path::new("x/tests"), Path::new("x/fixture")]);
    assert_eq!(found("x/y.rs"), [Path::new("x/y/tests"), Path::new("x/y/fixture")]);
}

#[test]
fn every_type_has_a_name_of_its_own() {
    let mut places: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in product() {
        for name in declared(&file.text) {
            places.entry(name).or_default().push(file.path.clone());
        }
    }
    assert!(places.len() > 300, "{}", places.len());
    places.retain(|_, files| files.len() > 1);
    assert!(places.is_empty(), "{places:#?}");
}

#[test]
fn engine_does_not_know_the_subject() {
    let subject = Regex::new(SUBJECT).unwrap();
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    for file in product() {
        let allowed = MAY_SAY.iter().find(|folder| file.path.starts_with(folder));
        for (line, text) in (1..).zip(file.text.lines()) {
            match allowed {
                _ if !subject.is_match(&text.to_lowercase()) => {}
                Some(folder) => _ = used.insert(*folder),
                None => wrong.push(format!("{}:{line}: {text}", file.path.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(Vec::from_iter(used), MAY_SAY);
}
