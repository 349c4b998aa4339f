//! A source archive that is not what it should be.

use crate::bench::Bench;

#[test]
fn a_corrupt_or_truncated_archive_is_refused_and_fetched_again() {
    let bench = Bench::with_archive();
    let outcome = bench.run(&[], &[("STAND_IN_CURL", "corrupts")]);
    assert_eq!(outcome.exit, Some(3), "{outcome:?}");
    assert!(outcome.stderr.contains("is not the one asked for; it was removed"), "{outcome:?}");
    bench.survived("source: a corrupt archive", &outcome);

    let bench = Bench::with_archive();
    let whole = std::fs::read(bench.path("linux.tar.xz")).unwrap();
    std::fs::write(bench.path("linux.tar.xz"), &whole[..whole.len() / 2]).unwrap();
    let outcome = bench.run(&[], &[]);
    std::fs::write(bench.path("linux.tar.xz"), &whole).unwrap();
    assert_eq!(outcome.exit, Some(3), "{outcome:?}");
    bench.survived("source: a truncated archive", &outcome);
}

#[test]
fn a_download_that_was_cut_off_is_not_taken_for_the_archive() {
    let bench = Bench::with_archive();
    let whole = std::fs::read(bench.path("linux.tar.xz")).unwrap();
    for name in ["linux-7.2.12.tar.xz", "linux-7.2.12.tar.xz.part"] {
        let downloads = bench.path("work/source/7.2.download");
        std::fs::create_dir_all(&downloads).unwrap();
        std::fs::write(downloads.join(name), &whole[..whole.len() / 3]).unwrap();
    }
    bench.run(&[], &[]).is("pass", 0, "");
}
