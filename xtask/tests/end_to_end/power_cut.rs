//! A power cut may leave any file that the harness keeps between runs shorter than it was written.

use std::path::{Path, PathBuf};

use crate::bench::Bench;

const OBJECTS: &str = "/tree/patchproof-objects/";

/// Regular files below `dir`.
fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), found);
        } else if entry.file_type().unwrap().is_file() {
            found.push(entry.path());
        }
    }
}

/// Everything below the work directory but sources: those are on disk before anything says that they are there
/// (syncfs).
fn state_files(bench: &Bench) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&bench.path("work"), &mut found);
    found.retain(|path| {
        let path = path.strip_prefix(bench.path("work")).unwrap().to_str().unwrap();
        // What is in the directory of a cell belongs to a run that is over.
        (!path.contains("/tree/") || path.contains(OBJECTS)) && !path.contains("/cells/")
    });
    found
}

fn each_truncated(bench: &Bench, must_be_among_them: &[&str]) {
    bench.run(&[], &[]).is("pass", 0, "");
    let names: Vec<PathBuf> = state_files(bench);
    for name in must_be_among_them {
        assert!(names.iter().any(|path| path.ends_with(name)), "no {name} in {names:?}");
    }
    for path in names {
        let Ok(before) = std::fs::read(&path) else { continue };
        for length in [0, before.len() / 2, before.len().saturating_sub(1)] {
            // The run before may have put another one in its place.
            let Ok(content) = std::fs::read(&path) else { continue };
            std::fs::write(&path, &content[..length.min(content.len())]).unwrap();
            let outcome = bench.run(&[], &[]);
            assert_eq!(outcome.exit, Some(0), "{} cut to {length}: {outcome:?}", path.display());
            outcome.is("pass", 0, "");
        }
    }
}

#[test]
fn a_state_file_cut_at_any_length_is_made_again_for_a_users_tree() {
    each_truncated(&Bench::new(), &["index", "build-dir.json", "accel.json", ".config"]);
}

#[test]
fn a_state_file_cut_at_any_length_is_made_again_for_a_fetched_tree() {
    each_truncated(&Bench::with_archive(), &["stamp.json", "build-dir.json", "report.json"]);
}

#[test]
fn the_link_to_the_latest_run_may_be_anything() {
    let bench = Bench::new();
    bench.run(&[], &[]).is("pass", 0, "");
    let latest = bench.path("work/runs/latest");
    std::fs::remove_file(&latest).unwrap();
    std::os::unix::fs::symlink("/no/such/run", &latest).unwrap();
    bench.run(&[], &[]).is("pass", 0, "");
    std::fs::remove_file(&latest).unwrap();
    std::fs::write(&latest, "").unwrap();
    bench.run(&[], &[]).is("pass", 0, "");
}

#[test]
fn a_build_that_a_power_cut_ended_is_not_built_upon() {
    let bench = Bench::new();
    bench.run(&[], &[]).is("pass", 0, "");
    for state in bench.find("build-dir.json") {
        let objects = state.with_file_name("tree").join("patchproof-objects");
        std::fs::write(objects.join("half-an-object.o"), "").unwrap();
        let mut build_dir: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&state).unwrap()).unwrap();
        build_dir["unsettled"] = 1.into();
        build_dir["boot"] = "another boot of this host".into();
        std::fs::write(&state, build_dir.to_string()).unwrap();
    }
    bench.run(&[], &[]).is("pass", 0, "");
    assert_eq!(bench.find("half-an-object.o"), Vec::<PathBuf>::new());
}
