//! The files that call a changed function: a workload that is about one of them may reach it. Reads the tree by way of `kbuild`;
//! what is called through a pointer is not found.

use std::collections::BTreeSet;

use kbuild::{KbuildTree, Value};

use super::PatchedFiles;
use crate::observe::ChangedHunk;

/// A function with more callers is called by everything: they say nothing about who reaches the changed line.
const CALLERS_MAX: usize = 24;

/// Files that the configuration `given` compiles, and that call a function of `hunks` which is seen outside of its file.
pub fn find(
    tree: &KbuildTree,
    files: &PatchedFiles<'_>,
    hunks: &[ChangedHunk],
    given: &dyn Fn(&str) -> Value,
) -> Vec<String> {
    let mut functions = BTreeSet::new();
    for hunk in hunks {
        let Some(text) = (files.patched)(&hunk.path) else { continue };
        let seen = hunk.functions.iter().flatten().filter(|name| is_seen_outside(&text, name));
        functions.extend(seen.cloned());
    }
    if functions.is_empty() {
        return Vec::new();
    }
    let functions: Vec<String> = functions.into_iter().collect();
    let mut callers = tree.callers_of(&functions, &super::paths_of(hunks));
    callers.retain(|file| {
        tree.objects_of(file).iter().any(|object| object.condition.holds(given) == Some(true))
    });
    if callers.len() > CALLERS_MAX { Vec::new() } else { callers }
}

/// It is defined, and not `static`: in the kernel's style the name stands on the first line of the definition or on its second.
fn is_seen_outside(text: &str, name: &str) -> bool {
    let call = format!("{name}(");
    let mut before = "";
    for line in text.lines() {
        let begins = line.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let is_named = line.split([' ', '*']).any(|word| word.starts_with(&call));
        if begins && is_named && !line.trim_end().ends_with(';') {
            let is_static = |line: &str| line.split_whitespace().any(|word| word == "static");
            let belongs = !before.contains([';', '}', '(']);
            return !(is_static(line) || belongs && is_static(before));
        }
        before = line;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_with_a_name_of_its_file_alone_has_no_callers_elsewhere() {
        let text = "static int own(int a)\n{\n}\nstatic struct x *\nalso_own(void)\n{\n}\nint __printf(2, 3) all(struct x *x)\n{\n\town(1);\n}\nstruct \
                    x *pointer(void)\n{\n}\nint declared(void);\n";
        let seen = |name| is_seen_outside(text, name);
        assert!(seen("all") && seen("pointer"));
        assert!(!seen("own") && !seen("also_own") && !seen("declared") && !seen("other"));
    }
}
