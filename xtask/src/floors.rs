//! The floors of the harness: the folders of `src` of its crates, and that each uses those below it alone. Only a test; looks
//! at sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// From the top down. A folder may use the folders that stand below it here, and none above it.
const FLOORS: [&str; 15] = [
    "chores", "command", "report", "run", "cache", "judge", "boot", "build", "derive", "arms", "source",
    "campaign", "subject", "observe", "host",
];

/// The crates that they are in, below this one.
const CRATES: [&str; 3] = [".", "verdict", "engine"];

/// Files that stand above all floors of their crate. They alone name another crate, so that `crate::FLOOR` is a floor everywhere.
const ROOF: [&str; 5] = ["main.rs", "lib.rs", "cli.rs", "floors.rs", "names.rs"];

fn floor_of(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| *floor == name)
}

pub fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The first names behind `crate::` in `text`, in `use` lines, in braces and elsewhere; comments count too.
fn used(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, start) in text.match_indices("crate::") {
        let rest = &text[at + start.len()..];
        match rest.strip_prefix('{') {
            None => _ = names.insert(name_at(rest)),
            Some(group) => names.extend(heads(group)),
        }
    }
    names
}

fn name_at(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first name of each item of a group, up to its closing brace.
fn heads(group: &str) -> Vec<String> {
    let (mut depth, mut item, mut items) = (0, String::new(), Vec::new());
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(std::mem::take(&mut item)),
            c => item.push(c),
        }
    }
    items.push(item);
    items.iter().map(|item| name_at(item.trim())).filter(|name| !name.is_empty()).collect()
}

#[test]
fn names_are_found_in_every_form_of_use() {
    let text = "use crate::host;\nuse crate::{boot::{self, qemu}, run as r};\nfn f() { crate::judge::f() }";
    assert_eq!(Vec::from_iter(used(text)), ["boot", "host", "judge", "run"]);
}

#[test]
fn every_folder_uses_the_floors_below_it_alone() {
    let (mut seen, mut wrong) = (Vec::new(), Vec::new());
    for name in CRATES {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join(name).join("src");
        let mut files = Vec::new();
        sources(&src, &mut files);
        assert!(files.len() > 20, "{name}: {}", files.len());
        let folders: BTreeSet<String> =
            files.iter().filter_map(|file| examine(&src, file, &mut wrong)).collect();
        seen.extend(folders);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    seen.sort();
    let mut floors = FLOORS;
    floors.sort();
    assert_eq!(seen, floors, "each floor is in one crate");
}

/// The folder of `src` that `file` is in, unless it stands above all; adds what it uses and may not.
fn examine(src: &Path, file: &Path, wrong: &mut Vec<String>) -> Option<String> {
    let place = file.strip_prefix(src).unwrap();
    let folder = place.iter().next().unwrap().to_string_lossy();
    if ROOF.contains(&&*folder) {
        return None;
    }
    let Some(own) = floor_of(&folder) else {
        wrong.push(format!("{} is on no floor", place.display()));
        return None;
    };
    let text = std::fs::read_to_string(file).unwrap();
    for name in used(&text) {
        match floor_of(&name) {
            Some(other) if other >= own => {}
            Some(_) => wrong.push(format!("{} uses {name}, which stands above it", place.display())),
            None => wrong.push(format!("{} uses {name}, which is no floor", place.display())),
        }
    }
    for name in ["engine::", "verdict::"].iter().filter(|name| text.contains(*name)) {
        wrong.push(format!("{} uses {name} instead of crate::", place.display()));
    }
    Some(folder.into_owned())
}
