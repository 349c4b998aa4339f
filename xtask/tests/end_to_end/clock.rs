//! Clocks jump. Only a monotonic one may decide anything; the time of day names runs and orders files for make.

use std::path::{Path, PathBuf};

/// Files that may read the time of day, and what for.
const TIME_OF_DAY: [(&str, &str); 7] = [
    ("cache/mod.rs", "which entries were not used for longest"),
    ("command/runs.rs", "how old a run is that may be removed"),
    ("host/disk.rs", "a part of a unique name"),
    ("host/requirements.rs", "whether apt's lists are older than a day"),
    ("run/rundir.rs", "a run's name and the date in its report"),
    ("source/objects.rs", "whether a file may be from the build that was cut off"),
    ("source/stamp.rs", "when a build began, for that"),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_time_of_day_decides_nothing() {
    let crates = [".", "engine", "verdict"];
    let crates = crates.map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join(name).join("src"));
    let mut files = Vec::new();
    crates.iter().for_each(|src| sources(src, &mut files));
    let reads = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        ["SystemTime::now", "Utc::now", "Local::now"].iter().any(|words| text.contains(words))
    };
    let mut readers: Vec<String> = files
        .iter()
        .filter(|path| reads(path) && !path.ends_with("tests.rs"))
        .map(|path| crates.iter().find_map(|src| path.strip_prefix(src).ok()).unwrap().display().to_string())
        .collect();
    readers.sort();
    assert_eq!(readers, TIME_OF_DAY.map(|(file, _)| file));
}
