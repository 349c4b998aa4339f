//! What the harness says about how it came by a patch, through the real binary: in the command that shows a patch, and in
//! the report of a run.

use std::path::Path;

use crate::bench::Bench;

/// A thread: version 1, version 2 (the campaign's patch, edited after it was made), and a reply that brings a diff.
fn thread() -> String {
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../patches/mmu_gather-v2.patch");
    let seed = std::fs::read_to_string(seed).unwrap();
    let subject = "mm/mmu_gather: replace IPI with synchronize_rcu() when batch allocation fails";
    let mail = |tag: &str| {
        format!(
            "From a@b Tue Feb 24 11:07:00 2026\nFrom: A <a@b>\nSubject: {tag} {subject}\n\n---\n\
             --- a/Kconfig\n+++ b/Kconfig\n@@ -1 +1,2 @@\n+# x\n config PT_RECLAIM\n\n"
        )
    };
    let edited = seed.replacen("Software/Lockless page-table", "Software or lockless page-table", 1);
    assert_ne!(edited, seed);
    let start = if edited.starts_with("From ") { "" } else { "From a@b Tue Feb 24 11:07:00 2026\n" };
    let edited = format!("{start}{}\n\n", edited.trim_end());
    [mail("[PATCH 1/1]"), edited, mail("Re: [PATCH v2 1/1]")].concat()
}

#[test]
fn the_report_says_what_was_left_out_and_what_was_edited() {
    let bench = Bench::new();
    bench.write("thread.mbox", &thread());
    let words = [
        "version 2; passed over: version 1",
        "passed over: a reply with a diff",
        "mm/mmu_gather.c: applies; edited after it was made: the result is not the blob that its index names",
    ];
    let outcome = bench.run(&["--patch", "thread.mbox"], &[]);
    outcome.is("pass", 0, "");
    for word in words {
        assert!(outcome.said().contains(word), "{word}: {outcome:?}");
    }
    let patch = &outcome.report["trees"][0]["patch"];
    assert_eq!(patch["notes"].as_array().unwrap().len(), 2, "{patch}");
    let edited: Vec<_> = patch["files"].as_array().unwrap().iter().map(|file| &file["edited"]).collect();
    assert_eq!(edited, [false, true], "{patch}");
    let args = ["patch", "thread.mbox", "--campaign", "./c.yaml", "--tree", "7.2=tree"].map(str::to_owned);
    let shown = bench.finish(bench.command(&args, &[]));
    for word in words {
        let word = word.trim_start_matches("mm/mmu_gather.c: ");
        assert!(shown.said().contains(word), "{word}: {shown:?}");
    }
}
