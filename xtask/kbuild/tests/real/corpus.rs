//! A corpus of patches: do the derived symbols contain the expected ones, and does Kconfig keep them?

use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

use kbuild::{Expr, KbuildTree, Value, conditions_at, distinct};

use crate::config::{Config, KconfigPlace, needed, value_in};

/// A file of a patch with the changed lines of its old version.
struct Changed {
    file: String,
    lines: Vec<usize>,
}

#[test]
#[ignore = "NOT RUN: needs KBUILD_TREE=<kernel> and KBUILD_CORPUS=<folder of corpus.tsv>, and make"]
fn corpus_symbols_survive_olddefconfig() {
    let corpus = needed("KBUILD_CORPUS");
    let place = KconfigPlace::new("corpus");
    let start = Instant::now();
    let tree = place.tree();
    println!("Kconfig read in {:?}", start.elapsed());
    let base = place.base();
    let (mut files, mut kept) = (0, 0);
    for row in fs::read_to_string(corpus.join("corpus.tsv")).unwrap().lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let patch = fs::read_to_string(corpus.join(columns[0])).unwrap();
        for changed in changed(&patch) {
            files += 1;
            match one(&tree, &place, &base, &changed, columns[3]) {
                Ok(said) => {
                    kept += 1;
                    println!("kept  {} {}: {said}", columns[0], changed.file);
                }
                Err(why) => println!("MISS  {} {}: {why}", columns[0], changed.file),
            }
        }
    }
    println!("{kept} of {files} corpus files get their symbols kept by olddefconfig on {}", place.arch);
    assert!(kept * 10 >= files * 9, "{kept} of {files}");
}

fn one(
    tree: &KbuildTree,
    place: &KconfigPlace,
    base: &Config,
    changed: &Changed,
    expected: &str,
) -> Result<String, String> {
    let mut said = Vec::new();
    let mut derived: BTreeSet<String> = BTreeSet::new();
    for want in wants(tree, place, changed)? {
        let assignment = place.solve(tree, &want, base)?;
        for part in [&assignment.set, &assignment.follows, &assignment.kept] {
            derived.extend(part.keys().cloned());
        }
        let set = assignment.set.iter().map(|(name, value)| format!("{name}={}", value.as_text()));
        said.push(format!("{want} by [{}]", set.collect::<Vec<_>>().join(" ")));
    }
    let first = expected.split([',', ';', ' ', '(']).next().unwrap_or_default();
    match (derived.contains(first), value_in(base, first)) {
        (true, _) => Ok(said.join(" and ")),
        // SYSFS is expected for fs/kernfs, which needs KERNFS only.
        (false, Value::Yes) => Ok(format!("{} ({first} is set already)", said.join(" and "))),
        (false, _) => Err(format!("{first} is not among {derived:?}")),
    }
}

/// One condition for each arm that the change touches.
fn wants(tree: &KbuildTree, place: &KconfigPlace, changed: &Changed) -> Result<Vec<Expr>, String> {
    if changed.file.contains("Kconfig") {
        let defined = tree.defined_in(&changed.file, &changed.lines);
        let directly = defined.iter().filter(|defined| !defined.inherited);
        return Ok(directly.map(|defined| Expr::symbol(&defined.symbol)).collect());
    }
    let text = fs::read_to_string(place.source.join(&changed.file)).map_err(|error| error.to_string())?;
    let file = if changed.file.ends_with(".h") {
        let includers = tree.includers_of(&changed.file, 50);
        let built = includers.iter().find(|found| !tree.objects_of(&found.file).is_empty());
        built.map(|found| found.file.clone()).ok_or("no .c file that is built includes it")?
    } else {
        changed.file.clone()
    };
    let objects = tree.objects_of(&file);
    let object = objects.first().ok_or("no object")?;
    let arms = distinct(&conditions_at(&text, &changed.lines));
    Ok(arms.into_iter().map(|arm| Expr::and([object.condition.clone(), arm])).collect())
}

/// Old lines that are removed, or before which something is added.
fn changed(patch: &str) -> Vec<Changed> {
    let mut files: Vec<Changed> = Vec::new();
    let (mut line, mut left) = (0usize, 0usize);
    for text in patch.lines() {
        if let Some(file) = text.strip_prefix("--- a/").filter(|_| left == 0) {
            files.push(Changed { file: file.split('\t').next().unwrap().to_string(), lines: Vec::new() });
        } else if let Some(hunk) = text.strip_prefix("@@ -").filter(|_| left == 0) {
            let old = hunk.split(' ').next().unwrap();
            let (start, count) = old.split_once(',').unwrap_or((old, "1"));
            (line, left) = (start.parse().unwrap(), count.parse().unwrap());
        } else if let (true, Some(file)) = (left > 0, files.last_mut()) {
            match text.chars().next() {
                Some('-') => {
                    file.lines.push(line);
                    (line, left) = (line + 1, left - 1);
                }
                Some('+') => file.lines.push(line),
                Some('\\') => {}
                _ => (line, left) = (line + 1, left - 1),
            }
        }
    }
    files
}
