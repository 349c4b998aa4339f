//! Hostile numbers and texts from a guest, QEMU, a compiler, a patch and a tree. They must not stop the harness, give a
//! pass, or reach a terminal or a report unescaped. The bench checks all output after each run.

use crate::bench::{Bench, Outcome, SHORT_TIMEOUTS};

/// A guest that sends this on the patched arm.
fn guest(what: &str) -> Outcome {
    let bench = Bench::new();
    let outcome = bench.run(&[], &[("STAND_IN_QEMU", what), SHORT_TIMEOUTS]);
    bench.survived(&format!("guest: {what}"), &outcome);
    outcome
}

/// 2^64 - 1.
const MOST: &str = "18446744073709551615";

fn number(field: &str, number: &str) {
    let outcome = guest(&format!("number:{field}={number}"));
    outcome.is("infra", 3, "cannot be trusted");
    assert!(outcome.reasons().contains("which no guest can have measured"), "{outcome:?}");
}

#[test]
fn largest_number_in_a_count_is_infra() {
    for field in ["demanded", "injected", "operations", "bystanders", "lost_events"] {
        number(&format!("/measured/{field}"), MOST);
    }
}

#[test]
fn largest_number_in_a_forced_count_is_infra() {
    for field in ["send", "receive", "wait", "free", "early"] {
        number(&format!("/measured/forced/{field}"), MOST);
    }
}

#[test]
fn largest_number_in_a_quiet_count_is_infra() {
    for field in ["send", "wait"] {
        number(&format!("/measured/quiet/{field}"), MOST);
    }
}

#[test]
fn largest_number_of_a_gauge_or_a_counter_is_infra() {
    for field in ["levels/things/before", "levels/things/peak", "levels/things/after", "rises/all"] {
        number(&format!("/measured/{field}"), MOST);
    }
}

#[test]
fn largest_number_in_a_time_or_an_own_count_is_infra() {
    for field in ["forced_micros", "timings/0/median", "timings/0/samples", "timings/0/units", "done/0/count"]
    {
        number(&format!("/measured/{field}"), MOST);
    }
}

#[test]
fn largest_number_in_hello_or_trailer_is_infra() {
    for field in ["/cpus_online", "/readings/~1sys~1expedited", "/tainted", "/measured"] {
        number(field, MOST);
    }
}

#[test]
fn number_that_is_no_count_is_infra() {
    for no_count in ["-1", "8.5", "1e300", "18446744073709551616", "9007199254740993"] {
        number("/measured/injected", no_count);
    }
    for no_number in ["1e999", "null", "[8]", "\"8\"", "true"] {
        guest(&format!("number:/measured/injected={no_number}")).is("infra", 3, "cannot be trusted");
    }
    // In range, but not the requested number.
    guest("number:/measured/injected=9007199254740992").is("fail", 1, "slow ways should give");
}

#[test]
fn hostile_numbers_on_the_console_do_not_panic() {
    guest("splat-numbers").is("fail", 1, "sleeping function called from invalid context");
}

#[test]
fn malformed_result_lines_are_infra() {
    for (what, why) in [
        ("line-missing", "lines are missing"),
        ("line-twice", "line sent twice"),
        ("line-endless", "longer than"),
        ("line-bad-checksum", "checksum does not match"),
        ("unknown-kind", "unknown kind of message"),
        ("nested", "not a message"),
        ("field-twice", "not a message"),
        ("plan-twice", "came twice"),
        ("too-many-messages", "messages too many"),
        ("hostile-garbage", "not a result line"),
        ("never-begun", "ended without having begun"),
    ] {
        guest(what).is("infra", 3, why);
    }
}

#[test]
fn other_tests_than_requested_are_vacuous() {
    for (what, why) in [
        ("plans-less", "planned other tests"),
        ("test-twice", "run more than once"),
        ("test-unasked", "run without having been asked for"),
        ("trailer-counts-more", "the trailer counts 2 measured tests, and 1 were heard"),
    ] {
        guest(what).is("vacuous", 3, why);
    }
}

#[test]
fn hostile_names_of_tests_prove_nothing() {
    guest("text:/scenarios/0").is("vacuous", 3, "planned other tests");
    guest("text:/scenario").is("vacuous", 3, "munmap: planned and not run");
    guest("text:/kind").is("infra", 3, "unknown kind of message");
    guest("text:/measured/timings/0/forced").is("infra", 3, "not a message");
}

#[test]
fn hostile_texts_that_are_not_judged_are_escaped() {
    for field in [
        "/kernel_release",
        "/symbols/0",
        "/measured/injected_in",
        "/measured/set/0",
        "/measured/done/0/what",
        "/measured/timings/0/what",
    ] {
        // The bench checks the output.
        Bench::new().run(&[], &[("STAND_IN_QEMU", &format!("text:{field}"))]).is("pass", 0, "");
    }
}

#[test]
fn hostile_texts_of_guest_and_qemu_are_escaped() {
    let outcome = guest("broken-hostile");
    outcome.is("vacuous", 3, "not carried out");
    assert!(outcome.stdout.contains("\\x1b[2J") && outcome.stdout.contains("\\u{202e}"), "{outcome:?}");
    assert!(!outcome.stdout.lines().any(|line| line == "Does it build? yes"), "{outcome:?}");
    guest("fails-hostile").is("infra", 3, "QEMU failed");
    guest("hangs-hostile").is("fail", 1, "fell silent");
}

#[test]
fn control_sequences_on_the_console_are_escaped() {
    let outcome = guest("splat-hostile");
    outcome.is("fail", 1, "sleeping function called from invalid context");
}

#[test]
fn hostile_texts_of_the_compiler_are_escaped() {
    for (what, verdict, exit) in [("hostile-error", "fail", 1), ("hostile-words", "infra", 3)] {
        let bench = Bench::new();
        let outcome = bench.run(&[], &[("STAND_IN_MAKE", what)]);
        outcome.is(verdict, exit, "");
        bench.survived(&format!("build: {what}"), &outcome);
    }
}

#[test]
fn hostile_texts_of_kconfig_and_makefile_are_escaped() {
    let bench = Bench::new();
    let kconfig = std::fs::read_to_string(bench.path("tree/Kconfig")).unwrap();
    bench.write("tree/Kconfig", &kconfig.replace("STANDING_IN", "STANDING_IN && \u{1b}[2J\u{202e}\u{fffe}"));
    let outcome = bench.run(&[], &[("STAND_IN_MAKE", "loses-symbol")]);
    outcome.is("vacuous", 3, "CONFIG_PT_RECLAIM: asked for y");
    bench.survived("build: loses-symbol, whose Kconfig is hostile", &outcome);

    let makefile = std::fs::read_to_string(bench.path("tree/Makefile")).unwrap();
    bench.write(
        "tree/Makefile",
        &makefile.replace("EXTRAVERSION =", "EXTRAVERSION = -\u{1b}[2J\u{202e}\u{fffe}"),
    );
    let outcome = bench.run(&[], &[]);
    assert!(outcome.exit.is_some_and(|exit| exit != 70), "{outcome:?}");
}

/// The campaign's patch under another subject.
fn with_subject(bench: &Bench, subject: &str) {
    let seed = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../patches/mmu_gather-v2.patch");
    let seed = std::fs::read_to_string(seed).unwrap();
    let diff = &seed[seed.find("diff --git").unwrap()..];
    let from = "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\n";
    bench.write("p.patch", &format!("{from}Subject: {subject}\n\nwhy\n---\n{diff}"));
}

#[test]
fn hostile_subject_is_escaped() {
    // ESC [2J, BEL, U+202E and U+FFFE.
    let subject = "=?utf-8?q?=1B[2J=07=E2=80=AE=EF=BF=BE?= \u{1b}]0;t\u{7}";
    let bench = Bench::new();
    with_subject(&bench, subject);
    let outcome = bench.run(&["--patch", "p.patch"], &[]);
    outcome.is("pass", 0, "");
    let outcome = bench.run(&["--patch", "p.patch"], &[("STAND_IN_QEMU", "taint")]);
    outcome.is("fail", 1, "tainted");
    bench.survived("patch: a hostile subject, and a taint", &outcome);
    let args: Vec<String> = ["patch", "p.patch", "--campaign", "./c.yaml"].map(str::to_owned).into();
    let outcome = bench.finish(bench.command(&[args, bench.source.clone()].concat(), &[]));
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("subject:"), "{outcome:?}");
}

#[test]
fn hostile_names_of_missing_files_are_escaped() {
    let hostile = "no\u{1b}[2J\u{7}\u{202e}\u{fffe}\nsuch";
    for (what, args) in [
        ("patch", vec!["--patch".to_owned(), format!("{hostile}.patch")]),
        ("campaign", vec!["--campaign".to_owned(), format!("{hostile}.yaml")]),
        ("tree", vec!["--tree".to_owned(), format!("7.2={hostile}")]),
        ("cell", vec!["--only".to_owned(), hostile.to_owned()]),
    ] {
        let bench = Bench::new();
        let mut all: Vec<String> = vec!["matrix".to_owned()];
        if what != "campaign" {
            all.extend(["--campaign", "./c.yaml"].map(str::to_owned));
        }
        if what != "tree" {
            all.extend(bench.source.clone());
        }
        all.extend(args);
        let outcome = bench.finish(bench.command(&all, &[]));
        assert_eq!(outcome.exit, Some(2), "{what}: {outcome:?}");
        // The text after a line end is either escaped or indented.
        let words =
            ["\\x1b[2J\\x07\\u{202e}\\u{fffe}\n        such", "\\x1b[2J\\x07\\u{202e}\\u{fffe}\\nsuch"];
        assert!(words.iter().any(|words| outcome.stderr.contains(words)), "{what}: {outcome:?}");
        bench.survived(&format!("name: of a {what} that is not there"), &outcome);
    }
}

#[test]
fn hostile_arguments_are_escaped() {
    let hostile = "\u{1b}[2J\u{7}\u{202e}\u{fffe}".to_owned();
    for args in
        [vec!["--jobs".to_owned(), hostile.clone()], vec![hostile.clone()], vec![format!("--{hostile}")]]
    {
        let bench = Bench::new();
        let outcome = bench.finish(bench.command(&[bench.matrix(&[]), args].concat(), &[]));
        assert_eq!(outcome.exit, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains("\\u{202e}\\u{fffe}"), "{outcome:?}");
    }
}

#[test]
fn hostile_text_of_a_campaign_is_escaped() {
    let bench = Bench::new();
    let campaign = std::fs::read_to_string(bench.path("c.yaml")).unwrap();
    bench.write("c.yaml", &campaign.replace("about: stand-ins", "about: \"\\e[2J\\a\\u202e\\ufffe\""));
    bench.run(&[], &[]).is("pass", 0, "");
    bench.write("c.yaml", &campaign.replace("fragments:", "\"\\e[2J\\u202e\":"));
    let outcome = bench.run(&[], &[]);
    assert_eq!(outcome.exit, Some(2), "{outcome:?}");
    bench.write("c.yaml", &campaign);
    bench.survived("campaign: a hostile key", &outcome);
}
