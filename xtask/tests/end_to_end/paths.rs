//! Directories whose names hold characters that mean something to make, a shell, QEMU or a format string.

use crate::bench::Bench;

const ODD: [&str; 4] = ["a b", "a,b%s", "a:b'c\"", "$(id)&;\u{e9}"];

#[test]
fn a_work_directory_may_have_any_name() {
    for name in ODD {
        let bench = Bench::new();
        let work = bench.path(name).join("work");
        let outcome = bench.run_in(&work, &[]);
        outcome.is("pass", 0, "");
        let report = std::fs::read_to_string(work.join("runs/latest/report.txt")).unwrap();
        assert!(report.contains("pass"), "{name}: {report}");
    }
}

#[test]
fn without_a_sandbox_a_name_that_make_does_not_take_is_refused_with_a_way_out() {
    let bench = Bench::new();
    let outcome = bench.run_in(&bench.path("a b"), &["--no-sandbox"]);
    bench.survived("host: a path that make does not take", &outcome);
    assert_eq!(outcome.exit, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("PATCHPROOF_WORK"), "{outcome:?}");
}

#[test]
fn a_users_tree_and_an_output_directory_may_have_any_name() {
    for name in ODD {
        let mut bench = Bench::new();
        std::fs::rename(bench.path("tree"), bench.path(name)).unwrap();
        bench.source = vec!["--tree".to_owned(), format!("7.2={name}")];
        let out = format!("{name} out");
        let outcome = bench.run(&["--out", &out], &[]);
        assert_eq!(outcome.exit, Some(0), "{name}: {outcome:?}");
        let report = std::fs::read(bench.path(&out).join("report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(report["pairs"][0]["verdict"], "pass", "{name}: {report}");
    }
}
