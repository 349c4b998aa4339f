//! Every n-th .c file of the tree: is there an object, an assignment, and does Kconfig keep it?

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::config::{KconfigPlace, number, value_in};

const FOLDERS: [&str; 14] = [
    "block", "crypto", "drivers", "fs", "init", "io_uring", "ipc", "kernel", "lib", "mm", "net", "security",
    "sound", "virt",
];

#[test]
#[ignore = "NOT RUN: needs KBUILD_TREE=<kernel> and make; KBUILD_STEP=<every n-th file>"]
fn files_have_an_object_and_an_assignment() {
    let place = KconfigPlace::new("sample");
    let (tree, base) = (place.tree(), place.base());
    let given = |name: &str| value_in(&base, name);
    let sample = sample(&place, number("KBUILD_STEP", 60));
    let (mut objects, mut solved) = (0, 0);
    let (mut of_objects, mut of_solve, mut slowest) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for file in &sample {
        let start = Instant::now();
        let found = tree.objects_of(file);
        of_objects += start.elapsed();
        let Some(object) = found.first() else {
            println!("NO OBJECT {file}");
            continue;
        };
        objects += 1;
        let start = Instant::now();
        match tree.solve(&object.condition, &given) {
            Ok(_) => solved += 1,
            Err(reason) => println!("UNSOLVED {file}: {}: {reason}", object.condition),
        }
        of_solve += start.elapsed();
        if start.elapsed() > Duration::from_secs(1) {
            println!("SLOW {file}: {:?}", start.elapsed());
        }
        slowest = slowest.max(start.elapsed());
    }
    let all = sample.len();
    println!("objects in {of_objects:?}, assignments in {of_solve:?}, slowest {slowest:?}");
    println!("of {all} files {objects} have an object, {solved} an assignment on {}", place.arch);
    assert!(objects * 100 >= all * 90);
}

#[test]
#[ignore = "NOT RUN: needs KBUILD_TREE=<kernel> and make; KBUILD_MAKE_STEP=<every n-th file>"]
fn sampled_symbols_survive_olddefconfig() {
    let place = KconfigPlace::new("kept");
    let (tree, base) = (place.tree(), place.base());
    let given = |name: &str| value_in(&base, name);
    let (mut asked, mut kept) = (0, 0);
    for file in sample(&place, number("KBUILD_MAKE_STEP", 500)) {
        let Some(object) = tree.objects_of(&file).into_iter().next() else { continue };
        // What needs no change, or cannot be had, is no test.
        match tree.solve(&object.condition, &given) {
            Ok(assignment) if !assignment.set.is_empty() => asked += 1,
            _ => continue,
        }
        match place.solve(&tree, &object.condition, &base) {
            Ok(assignment) => {
                kept += 1;
                println!("kept  {file}: {:?}", assignment.set.keys().collect::<Vec<_>>());
            }
            Err(why) => println!("MISS  {file}: {why}"),
        }
    }
    println!("{kept} of {asked} sampled files get their symbols kept by olddefconfig on {}", place.arch);
    assert!(kept * 10 >= asked * 9, "{kept} of {asked}");
}

fn sample(place: &KconfigPlace, step: usize) -> Vec<String> {
    let mut files = Vec::new();
    FOLDERS.iter().for_each(|folder| collect(&place.source, folder, &mut files));
    collect(&place.source, &format!("arch/{}", place.arch), &mut files);
    files.into_iter().step_by(step).collect()
}

fn collect(root: &Path, folder: &str, files: &mut Vec<String>) {
    let mut entries: Vec<_> = fs::read_dir(root.join(folder)).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = format!("{folder}/{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(root, &path, files);
        } else if path.ends_with(".c") {
            files.push(path);
        }
    }
}
