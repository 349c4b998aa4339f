//! KUnit suites that are about changed files: those next to them, and those that their entries in MAINTAINERS name. Reads
//! the tree by way of `kbuild`; which suite executes a changed line only a kernel can tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use kbuild::{Expr, KbuildTree};
use regex::Regex;

use super::PatchedFiles;
use super::maintainers::{self, MaintainersEntry};

/// Files of one entry of MAINTAINERS that are looked at. One that names more says too little.
const FILES_MAX: usize = 1500;

/// Where suites are, below the directory of what they test.
const FOLDERS: [&str; 3] = ["tests", "kunit", "test"];

/// Suites that run whenever one writes to their file: those of kunit_test_init_section_suites() run while booting only.
static REGISTERED: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::unwrap_used, reason = "a constant")]
    Regex::new(r"(?m)^\s*kunit_test_suites?\(([^)]*)\)").unwrap()
});

/// The variable of a suite, and its name.
static DEFINED: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::unwrap_used, reason = "a constant")]
    Regex::new(r#"struct\s+kunit_suite\s+(\w+)\s*=\s*\{[^}]*?\.name\s*=\s*"([^"\n]+)""#).unwrap()
});

static EXPORTED: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::unwrap_used, reason = "a constant")]
    Regex::new(r"(?m)^EXPORT_\w*SYMBOL\w*\((\w+)").unwrap()
});

/// A suite, and what has to hold for the kernel to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KunitSuite {
    pub name: String,
    pub file: String,
    pub condition: Expr,
}

/// Why a file with suites is looked at; the nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    /// It is changed itself, or called like a changed file.
    SameName,
    /// It uses a function that a changed file exports.
    Uses,
    /// MAINTAINERS names it together with a changed file.
    Named,
    SameFolder,
    /// MAINTAINERS names a directory that it is in.
    NamedFolder,
}

/// The suites about `changed`, the nearest first.
pub fn find(tree: &KbuildTree, files: &PatchedFiles<'_>, changed: &[&str]) -> Vec<KunitSuite> {
    let read = |path: &str| (files.patched)(path).or_else(|| tree.text(path));
    let exported: BTreeSet<String> =
        changed.iter().filter_map(|path| read(path)).flat_map(|text| exported_by(&text)).collect();
    let mut found: Vec<(Nearness, Vec<KunitSuite>)> = Vec::new();
    for (path, nearness) in candidates(tree, changed) {
        let Some(text) = read(&path).filter(|text| text.contains("kunit_test_suite")) else { continue };
        let nearness = match nearness {
            _ if changed.iter().any(|changed| *changed == path || stem(changed) == stem(&path)) => {
                Nearness::SameName
            }
            nearness if nearness > Nearness::Uses && uses(&text, &exported) => Nearness::Uses,
            nearness => nearness,
        };
        found.push((nearness, suites_of(tree, &path, &text)));
    }
    found.sort_by_key(|(nearness, _)| *nearness);
    let mut known = BTreeSet::new();
    found
        .into_iter()
        .flat_map(|(_, suites)| suites)
        .filter(|suite| known.insert(suite.name.clone()))
        .collect()
}

/// C files that may hold suites, each once, and why it is looked at.
fn candidates(tree: &KbuildTree, changed: &[&str]) -> Vec<(String, Nearness)> {
    let mut found = Vec::new();
    let folders: BTreeSet<&str> = changed.iter().map(|path| folder(path)).collect();
    for folder in folders {
        for below in std::iter::once(folder.to_owned()).chain(FOLDERS.map(|name| format!("{folder}/{name}")))
        {
            found.extend(tree.listed(&below).0.into_iter().map(|path| (path, Nearness::SameFolder)));
        }
    }
    let entries = maintainers::read(&tree.text("MAINTAINERS").unwrap_or_default());
    for entry in entries.iter().filter(|entry| changed.iter().any(|path| entry.is_about(path))) {
        let mut left = FILES_MAX;
        let named = named_by(tree, entry, &mut left);
        // An entry that names more is about too much.
        found.extend(named.into_iter().filter(|(_, nearness)| left > 0 || *nearness == Nearness::Named));
    }
    // Stable: those of one nearness stay as they were found.
    found.sort_by_key(|(_, nearness)| *nearness);
    let mut known = BTreeSet::new();
    found.retain(|(path, _)| path.ends_with(".c") && known.insert(path.clone()));
    found
}

/// Files of the kernel that an entry names; `left` is how many more there may be.
fn named_by(tree: &KbuildTree, entry: &MaintainersEntry, left: &mut usize) -> Vec<(String, Nearness)> {
    let is_kernel = |pattern: &&str| {
        !["Documentation/", "include/", "tools/", "scripts/", "samples/"]
            .iter()
            .any(|top| pattern.starts_with(top))
    };
    let mut found = Vec::new();
    for pattern in entry.named().filter(is_kernel) {
        let (above, last) = pattern.trim_end_matches('/').rsplit_once('/').unwrap_or(("", pattern));
        // A star in a directory's name stands for many directories.
        if above.contains(['*', '?']) || (pattern.ends_with('/') && last.contains(['*', '?'])) {
            continue;
        }
        if pattern.ends_with('/') {
            below(tree, pattern.trim_end_matches('/'), left, &mut found);
        } else {
            let nearness = if last == "*" { Nearness::NamedFolder } else { Nearness::Named };
            let files = tree.listed(above).0.into_iter();
            let matching = files.filter(|path| maintainers::matches(pattern, path));
            found.extend(matching.map(|path| (path, nearness)));
        }
    }
    found
}

fn below(tree: &KbuildTree, folder: &str, left: &mut usize, found: &mut Vec<(String, Nearness)>) {
    let (files, folders) = tree.listed(folder);
    for path in files.into_iter().filter(|path| path.ends_with(".c")) {
        *left = left.saturating_sub(1);
        found.push((path, Nearness::NamedFolder));
    }
    for folder in folders {
        if *left == 0 {
            return;
        }
        below(tree, &folder, left, found);
    }
}

/// The suites that `text`, the file at `path`, brings into the kernel.
fn suites_of(tree: &KbuildTree, path: &str, text: &str) -> Vec<KunitSuite> {
    let names: BTreeMap<&str, &str> = DEFINED
        .captures_iter(text)
        .filter_map(|found| Some((found.get(1)?.as_str(), found.get(2)?.as_str())))
        .collect();
    let Some(compiled) = tree.objects_of(path).into_iter().next() else { return Vec::new() };
    let mut suites = Vec::new();
    for found in REGISTERED.captures_iter(text) {
        let (Some(whole), Some(listed)) = (found.get(0), found.get(1)) else { continue };
        let line = text[..whole.end()].matches('\n').count() + 1;
        let around = kbuild::conditions_at(text, &[line]).into_iter().map(|(_, condition)| condition);
        let condition = Expr::and(std::iter::once(compiled.condition.clone()).chain(around));
        let listed = listed.as_str().split(',').map(|name| name.trim().trim_start_matches('&'));
        suites.extend(listed.filter_map(|variable| names.get(variable)).map(|name| KunitSuite {
            name: (*name).to_owned(),
            file: path.to_owned(),
            condition: condition.clone(),
        }));
    }
    suites
}

/// Functions that are exported.
fn exported_by(text: &str) -> Vec<String> {
    EXPORTED.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

fn uses(text: &str, names: &BTreeSet<String>) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| names.contains(word))
}

/// What a file is called without what only says that it is a test.
fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    for word in ["kunit", "tests", "test"] {
        for mark in ['_', '-'] {
            stem = stem.strip_suffix(word).and_then(|stem| stem.strip_suffix(mark)).unwrap_or(stem);
            stem = stem.strip_prefix(word).and_then(|stem| stem.strip_prefix(mark)).unwrap_or(stem);
        }
    }
    stem
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree with suites next to a file, below it, in a file that is included, and elsewhere.
    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let suite = |name: &str| {
            format!(
                "static struct kunit_suite s = {{\n\t.init = f,\n\t.name = \"{name}\",\n}};\nkunit_test_suites(&s);\n"
            )
        };
        write("Kconfig", "source \"arch/x86/Kconfig\"\n");
        write("arch/x86/Kconfig", "config X86\n\tdef_bool y\n");
        write("Kbuild", "obj-y += lib/ far/\n");
        write("lib/Makefile", "obj-y += gadget.o tool.o inside.o tests/\n");
        write(
            "lib/tests/Makefile",
            "obj-$(CONFIG_GADGET_TEST) += gadget_kunit.o\nobj-$(CONFIG_A) += another.o\nobj-$(CONFIG_B) += b_test.o\n",
        );
        write("lib/gadget.c", "void gadget_turn(void)\n{\n}\nEXPORT_SYMBOL_GPL(gadget_turn);\n");
        write("lib/tool.c", "#ifdef CONFIG_TOOL_TEST\n#include \"tool-test.c\"\n#endif\n");
        write("lib/tool-test.c", &suite("tool"));
        write("lib/inside.c", &format!("#ifdef CONFIG_INSIDE_TEST\n{}#endif\n", suite("inside")));
        write("lib/tests/gadget_kunit.c", &suite("gadget"));
        write("lib/tests/another.c", &suite("another"));
        write("lib/tests/b_test.c", &format!("{}void f(void) {{ gadget_turn(); }}\n", suite("b")));
        write("far/Makefile", "obj-$(CONFIG_FAR_TEST) += far_test.o\nobj-y += loop.o\n");
        write("far/far_test.c", &suite("far"));
        write("far/loop.c", "static struct kunit_suite s = {\n\t.name = \"unregistered\",\n};\n");
        write(
            "MAINTAINERS",
            "GADGET\nM:\tA <a@b>\nF:\tfar/far_*.c\nF:\tlib/gadget.c\n\nTHE REST\nF:\t*\nF:\t*/\n",
        );
        dir
    }

    fn found(changed: &[&str]) -> Vec<String> {
        let dir = tree();
        let tree = KbuildTree::open(dir.path(), "x86_64").unwrap();
        let suites = find(&tree, &PatchedFiles { patched: &|_| None }, changed);
        suites.iter().map(|suite| format!("{}: {}", suite.name, suite.condition)).collect()
    }

    #[test]
    fn suites_around_a_file_are_found_nearest_first_with_what_compiles_them() {
        assert_eq!(
            found(&["lib/gadget.c"]),
            [
                "gadget: GADGET_TEST",
                "b: B",
                "far: FAR_TEST",
                "inside: INSIDE_TEST",
                "tool: TOOL_TEST",
                "another: A"
            ]
        );
    }

    #[test]
    fn suite_in_an_included_file_has_the_condition_around_the_include() {
        assert_eq!(found(&["lib/tool.c"])[0], "tool: TOOL_TEST");
    }

    #[test]
    fn suite_in_the_changed_file_itself_comes_first() {
        assert_eq!(found(&["lib/inside.c"])[0], "inside: INSIDE_TEST");
    }

    #[test]
    fn names_say_the_same_with_and_without_what_says_test() {
        for path in ["a/list_sort.c", "b/test_list_sort.c", "c/list_sort_kunit.c", "list_sort-test.c"] {
            assert_eq!(stem(path), "list_sort");
        }
        assert_eq!(stem("a/latest.c"), "latest");
    }
}
