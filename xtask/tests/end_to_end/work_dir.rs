//! PATCHPROOF_WORK and PATCHPROOF_CACHE: relative and empty values.

use std::path::Path;

use crate::bench::Bench;

fn run_with(bench: &Bench, work: &str) {
    let outcome = bench.finish(bench.command(&bench.matrix(&[]), &[("PATCHPROOF_WORK", work)]));
    assert_eq!(outcome.exit, Some(0), "{work}: {outcome:?}");
    assert!(outcome.stdout.contains("pass"), "{outcome:?}");
}

#[test]
fn relative_work_directory_is_below_the_current_one() {
    let bench = Bench::new();
    for work in ["elsewhere", "./else/where", "tree/../up"] {
        run_with(&bench, work);
        assert!(bench.path(work).join("runs/latest/report.txt").exists(), "{work}");
    }
    // Some commands are started in the project's root.
    for name in ["elsewhere", "else", "up"] {
        assert!(!Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).exists(), "{name}");
    }
}

#[test]
fn relative_cache_is_below_the_current_directory() {
    let bench = Bench::new();
    let outcome = bench.finish(bench.command(&bench.matrix(&[]), &[("PATCHPROOF_CACHE", "kept")]));
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
    assert!(bench.path("kept/kernels").is_dir());
    assert!(!bench.path("work/cache").exists());
}

#[test]
fn empty_work_directory_is_unset() {
    let bench = Bench::new();
    let shown = |work: Option<&str>| {
        let mut command = bench.command(&["cache".to_owned()], &[]);
        match work {
            Some(work) => command.env("PATCHPROOF_WORK", work),
            None => command.env_remove("PATCHPROOF_WORK"),
        };
        let outcome = bench.finish(command);
        assert_eq!(outcome.exit, Some(0), "{outcome:?}");
        outcome.stdout.lines().find(|line| line.starts_with("at ")).unwrap().to_owned()
    };
    assert_eq!(shown(Some("")), shown(None));
    assert!(shown(Some("")).contains("/target/patchproof/cache"), "{}", shown(Some("")));
    assert!(shown(Some("w")).contains(bench.path("w/cache").to_str().unwrap()));
}
