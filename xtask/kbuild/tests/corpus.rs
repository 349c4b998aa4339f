//! A corpus of patches against a real tree: do the derived symbols contain the expected ones, and does Kconfig keep
//! them? `cargo test -p kbuild --test corpus -- --ignored --nocapture` runs it, with KBUILD_TREE (an unpacked kernel, only read), KBUILD_CORPUS (the folder of corpus.tsv) and optionally
//! KBUILD_OUT (where `make O=` writes).

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use kbuild::{Assignment, Expr, Tree, Value, conditions_at, distinct};

type Config = HashMap<String, Value>;

/// A file of a patch with the changed lines of its old version.
struct Changed {
    file: String,
    lines: Vec<usize>,
}

#[test]
#[ignore = "NOT RUN: needs KBUILD_TREE=<kernel> and KBUILD_CORPUS=<folder of corpus.tsv>, and make"]
fn corpus_symbols_survive_olddefconfig() {
    let set = |name: &str| env::var_os(name).unwrap_or_else(|| panic!("{name} is not set"));
    let (source, corpus) = (set("KBUILD_TREE"), set("KBUILD_CORPUS"));
    let (source, corpus) = (PathBuf::from(source), PathBuf::from(corpus));
    let out = env::var_os("KBUILD_OUT").map_or_else(|| env::temp_dir().join("kbuild-corpus"), PathBuf::from);
    let start = Instant::now();
    let tree = Tree::open(&source, "x86").unwrap();
    println!("Kconfig read in {:?}", start.elapsed());
    let base = base(&source, &out);
    let (mut files, mut kept) = (0, 0);
    for row in fs::read_to_string(corpus.join("corpus.tsv")).unwrap().lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let patch = fs::read_to_string(corpus.join(columns[0])).unwrap();
        for changed in changed(&patch) {
            files += 1;
            let start = Instant::now();
            let result = one(&tree, &source, &out, &base, &changed, columns[3]);
            let took = start.elapsed().as_millis();
            match &result {
                Ok(said) => {
                    kept += 1;
                    println!("kept  {} {}: {said} ({took} ms)", columns[0], changed.file);
                }
                Err(why) => println!("MISS  {} {}: {why} ({took} ms)", columns[0], changed.file),
            }
        }
    }
    println!("{kept} of {files} corpus files get their symbols kept by olddefconfig on x86_64");
    assert!(kept * 10 >= files * 9, "{kept} of {files}");
}

fn one(
    tree: &Tree,
    source: &Path,
    out: &Path,
    base: &Config,
    changed: &Changed,
    expected: &str,
) -> Result<String, String> {
    let given = |name: &str| base.get(name).cloned().unwrap_or(Value::No);
    let mut said = Vec::new();
    let mut derived: BTreeSet<String> = BTreeSet::new();
    for want in wants(tree, source, changed)? {
        let assignment = solve_until_kept(tree, &want, base, source, out)?;
        for part in [&assignment.set, &assignment.follows, &assignment.kept] {
            derived.extend(part.keys().cloned());
        }
        let set = assignment.set.iter().map(|(name, value)| format!("{name}={}", value.as_text()));
        said.push(format!("{want} by [{}]", set.collect::<Vec<_>>().join(" ")));
    }
    let first = expected.split([',', ';', ' ', '(']).next().unwrap_or_default();
    let fulfilled = derived.contains(first) || given(first) == Value::Yes;
    let note = if derived.contains(first) { "" } else { " (expected first symbol not needed)" };
    if !fulfilled {
        return Err(format!("{first} is not among {derived:?}"));
    }
    Ok(format!("{}{note}", said.join(" and ")))
}

/// One condition for each arm that the change touches.
fn wants(tree: &Tree, source: &Path, changed: &Changed) -> Result<Vec<Expr>, String> {
    if changed.file.contains("Kconfig") {
        let defined = tree.defined_in(&changed.file, &changed.lines);
        let directly = defined.iter().filter(|defined| !defined.inherited);
        return Ok(directly.map(|defined| Expr::symbol(&defined.symbol)).collect());
    }
    let text = fs::read_to_string(source.join(&changed.file)).map_err(|error| error.to_string())?;
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

/// Up to three rounds: what olddefconfig drops is asked for again with what it made.
fn solve_until_kept(
    tree: &Tree,
    want: &Expr,
    base: &Config,
    source: &Path,
    out: &Path,
) -> Result<Assignment, String> {
    let mut config = base.clone();
    let mut dropped = Vec::new();
    for _ in 0..3 {
        let given = |name: &str| config.get(name).cloned().unwrap_or(Value::No);
        let assignment = tree.solve(want, &given).map_err(|reason| format!("{want}: {reason}"))?;
        config = olddefconfig(&config, &assignment, source, out);
        let now = |name: &str| config.get(name).cloned().unwrap_or(Value::No);
        let lost = assignment.set.iter().filter(|(name, value)| now(name) != **value);
        dropped = lost.map(|(name, _)| tree.why_dropped(name, &now)).collect();
        if dropped.is_empty() && want.holds(&now) != Some(false) {
            return Ok(assignment);
        }
    }
    Err(format!("{want} does not hold after olddefconfig: {}", dropped.join(" | ")))
}

fn base(source: &Path, out: &Path) -> Config {
    fs::create_dir_all(out).unwrap();
    for goal in ["x86_64_defconfig", "mod2yesconfig"] {
        make(source, out, goal);
    }
    read_config(out)
}

fn make(source: &Path, out: &Path, goal: &str) {
    let done = Command::new("make")
        .arg("-s")
        .arg("-C")
        .arg(source)
        .arg(format!("O={}", out.display()))
        .arg("ARCH=x86_64")
        .arg(goal)
        .output()
        .unwrap();
    assert!(done.status.success(), "{goal}: {}", String::from_utf8_lossy(&done.stderr));
}

fn olddefconfig(base: &Config, assignment: &Assignment, source: &Path, out: &Path) -> Config {
    let mut config: BTreeMap<&String, &Value> = base.iter().collect();
    config.extend(&assignment.set);
    let line = |(name, value): (&&String, &&Value)| match value {
        Value::No => format!("# CONFIG_{name} is not set\n"),
        Value::Text(text) if text.parse::<i64>().is_err() && !text.starts_with("0x") => {
            format!("CONFIG_{name}=\"{text}\"\n")
        }
        value => format!("CONFIG_{name}={}\n", value.as_text()),
    };
    fs::write(out.join(".config"), config.iter().map(line).collect::<String>()).unwrap();
    make(source, out, "olddefconfig");
    read_config(out)
}

fn read_config(out: &Path) -> Config {
    let text = fs::read_to_string(out.join(".config")).unwrap();
    let mut config = Config::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("# CONFIG_").and_then(|line| line.strip_suffix(" is not set")) {
            config.insert(name.into(), Value::No);
        } else if let Some((name, value)) = line.strip_prefix("CONFIG_").and_then(|line| line.split_once('='))
        {
            let value = match value {
                "y" => Value::Yes,
                "m" => Value::Module,
                text => Value::Text(text.trim_matches('"').to_string()),
            };
            config.insert(name.into(), value);
        }
    }
    config
}

/// Old lines that are removed, or before which something is added.
fn changed(patch: &str) -> Vec<Changed> {
    let mut files: Vec<Changed> = Vec::new();
    let (mut line, mut left) = (0usize, 0usize);
    for text in patch.lines() {
        if let Some(file) = text.strip_prefix("--- a/").filter(|_| left == 0) {
            files.push(Changed { file: file.split('\t').next().unwrap().to_string(), lines: Vec::new() });
        } else if let Some(hunk) = text.strip_prefix("@@ -").filter(|_| left == 0) {
            let (start, count) = hunk.split(' ').next().unwrap().split_once(',').unwrap_or((hunk, "1"));
            line = start.parse().unwrap_or(1);
            left = count.parse().unwrap_or(1);
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
