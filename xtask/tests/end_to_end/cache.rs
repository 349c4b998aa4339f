//! What was built and booted before, through the real binary: used where nothing changed, and nowhere else.

use crate::bench::{Bench, Outcome};

/// A run whose kernels may come from the cache, unless `more` says `--rebuild`; `--recorded` also takes its boots from the
/// record.
fn run(bench: &Bench, more: &[&str], env: &[(&str, &str)]) -> Outcome {
    let mut args = bench.matrix(more);
    if !more.contains(&"--rebuild") {
        args.retain(|arg| arg != "--rebuild");
    }
    bench.finish(bench.command(&args, env))
}

/// Of each cell: whether its kernel is from the cache, and whether its boot is on record only.
fn cells(outcome: &Outcome) -> Vec<(bool, bool)> {
    let cells = outcome.report["cells"].as_array().unwrap();
    cells.iter().map(|cell| (cell["cached"] == true, !cell["recorded"].is_null())).collect()
}

#[test]
fn an_unchanged_kernel_is_not_built_again_but_booted() {
    let bench = Bench::new();
    let first = run(&bench, &[], &[]);
    assert_eq!(cells(&first), [(false, false); 2], "{first:?}");
    // A compiler that would fail is not asked.
    let again = run(&bench, &[], &[("STAND_IN_MAKE", "compile-error")]);
    again.is("pass", 0, "");
    assert_eq!(cells(&again), [(true, false); 2], "{again:?}");
    assert_eq!(again.report["cells"][1]["built"], true, "a kernel from the cache counts as built: {again:?}");
    assert!(again.stderr.contains("/patched: ok, kernel from the cache"), "{again:?}");
    run(&bench, &[], &[("STAND_IN_QEMU", "taint")]).is("fail", 1, "tainted");
    run(&bench, &["--rebuild"], &[("STAND_IN_MAKE", "compile-error")]).is("fail", 1, "error: stand-in");
}

#[test]
fn what_did_not_compile_is_compiled_again_and_has_a_log_of_its_own() {
    let bench = Bench::new();
    let error = [("STAND_IN_MAKE", "compile-error")];
    for is_first in [true, false] {
        // Alone, so that its build directory is no copy of one that is configured.
        run(&bench, &["--only", "*/patched"], &error).is("infra", 3, "error: stand-in");
        let log = std::fs::read_to_string(bench.cell("patched").join("build.log")).unwrap();
        assert_eq!(log.matches("error: stand-in").count(), 1, "{log}");
        // What it was configured from is the same.
        assert_eq!(log.contains("configuration written"), is_first, "{log}");
    }
    run(&bench, &["--recorded"], &error).is("fail", 1, "error: stand-in");
}

#[test]
fn a_record_is_shown_only_where_it_is_asked_for_and_says_so() {
    let bench = Bench::new();
    run(&bench, &[], &[]).is("pass", 0, "");
    let fails = [("STAND_IN_QEMU", "fails")];
    let recorded = run(&bench, &["--recorded"], &fails);
    recorded.is("pass", 0, "");
    assert_eq!(cells(&recorded), [(true, true); 2], "{recorded:?}");
    assert_eq!(recorded.report["cells"][1]["built"], true, "{recorded:?}");
    assert!(recorded.stdout.contains("RECORDED: 2 of 2 kernels were not booted now"), "{recorded:?}");
    run(&bench, &[], &fails).is("infra", 3, "a stand-in for trouble");
    run(&bench, &["--fresh"], &fails).is("infra", 3, "a stand-in for trouble");
}

#[test]
fn a_record_does_not_outlive_a_change_of_what_it_depends_on() {
    let bench = Bench::new();
    run(&bench, &[], &[]).is("pass", 0, "");
    let taint = [("STAND_IN_QEMU", "taint")];
    let other = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../patches/mmu_gather-v3.patch");
    let outcome = run(&bench, &["--recorded", "--patch", other.to_str().unwrap()], &taint);
    outcome.is("fail", 1, "tainted");
    assert_eq!(cells(&outcome), [(true, true), (false, false)], "{outcome:?}");

    let campaign = std::fs::read_to_string(bench.path("c.yaml")).unwrap();
    bench.write("c.yaml", &campaign.replace("failures: 8, inject: all", "failures: 7, inject: all"));
    let outcome = run(&bench, &["--recorded"], &[]);
    assert_eq!(cells(&outcome), [(true, false); 2], "another demand: {outcome:?}");
    bench.write("c.yaml", &campaign.replace("    about:", "    arguments: [quiet]\n    about:"));
    let outcome = run(&bench, &["--recorded"], &[]);
    assert_eq!(cells(&outcome), [(true, false); 2], "another command line: {outcome:?}");
    bench.write("c.yaml", &campaign.replace("[pt-reclaim-on]", "[pt-reclaim-on, guest]"));
    let outcome = run(&bench, &["--recorded"], &[]);
    assert_eq!(cells(&outcome), [(false, false); 2], "another configuration: {outcome:?}");
    let file = bench.path("tree/Makefile");
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + "# changed\n").unwrap();
    bench.write("c.yaml", &campaign);
    let outcome = run(&bench, &["--recorded"], &[]);
    assert_eq!(cells(&outcome), [(false, true); 2], "another tree, and the same kernels: {outcome:?}");
    let file = bench.path("tree/mm/mmu_gather.c");
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + "/* changed */\n").unwrap();
    let outcome = run(&bench, &["--recorded"], &[]);
    assert_eq!(cells(&outcome), [(false, false); 2], "other kernels: {outcome:?}");
}

#[test]
fn a_guest_that_was_given_up_is_not_put_on_record() {
    let bench = Bench::new();
    let silent = [("STAND_IN_QEMU", "hangs"), crate::bench::SHORT_TIMEOUTS];
    run(&bench, &[], &silent).is("fail", 1, "fell silent");
    let outcome = run(&bench, &["--recorded"], &[]);
    outcome.is("pass", 0, "");
    assert_eq!(cells(&outcome)[1], (true, false), "{outcome:?}");
}

#[test]
fn the_cache_can_be_looked_at_and_emptied() {
    let bench = Bench::new();
    run(&bench, &[], &[]).is("pass", 0, "");
    let cache = |args: &[&str]| {
        let args: Vec<String> = ["cache"].iter().chain(args).map(ToString::to_string).collect();
        let outcome = bench.finish(bench.command(&args, &[]));
        assert_eq!(outcome.exit, Some(0), "{outcome:?}");
        outcome.stdout
    };
    let number = |text: &str, what: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(what)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    let text = cache(&[]);
    assert_eq!((number(&text, "kernels"), number(&text, "boots")), (2, 2), "{text}");
    assert_eq!(number(&text, "build directories"), 2, "{text}");
    let text = cache(&["--clean"]);
    assert_eq!(
        (number(&text, "kernels"), number(&text, "boots"), number(&text, "build directories")),
        (0, 0, 0),
        "{text}"
    );
    assert_eq!(cells(&run(&bench, &["--recorded"], &[])), [(false, false); 2]);
}
