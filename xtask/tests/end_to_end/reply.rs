//! `cargo xtask reply`: the draft is one that git send-email takes, and nothing of the user's is lost.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::{Bench, Outcome};

fn reply(bench: &Bench) -> Outcome {
    let args = ["reply", "latest"].map(str::to_owned);
    // What git is told so comes before every file of the user's.
    let user = [
        ("GIT_CONFIG_COUNT", "2"),
        ("GIT_CONFIG_KEY_0", "user.name"),
        ("GIT_CONFIG_VALUE_0", "Zoë Tester"),
        ("GIT_CONFIG_KEY_1", "user.email"),
        ("GIT_CONFIG_VALUE_1", "zoe@example.org"),
    ];
    bench.finish(bench.command(&args, &user))
}

fn draft(bench: &Bench) -> PathBuf {
    bench.path("work/runs/latest/reply.mbox")
}

/// A bench with a run of the campaign's patch, as a mail to people with names that are not ASCII.
fn bench_with_mail() -> Bench {
    let bench = Bench::new();
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../patches/mmu_gather-v2.patch");
    let text = std::fs::read_to_string(seed).unwrap();
    let more = "To: =?utf-8?q?D=C3=B6e=2C_J?= <j@example.org>,\n\tlinux-mm@example.org\nCc: zoe@example.org, A B <a@example.org>\nReferences: <0@example.org>\n\n";
    bench.write("own.patch", &text.replacen("\n\n", &format!("\n{more}"), 1));
    bench.run(&["--patch", "own.patch"], &[]).is("pass", 0, "");
    bench
}

/// What `git send-email --dry-run` says.
fn dry_run(bench: &Bench) -> (bool, String) {
    // Debian's package has it there, also where another git comes first on PATH.
    let path = format!("{}:/usr/lib/git-core", std::env::var("PATH").unwrap());
    let home = bench.path("");
    let output = Command::new("git")
        .args(["send-email", "--dry-run", "--confirm=never", "--no-chain-reply-to"])
        .args(["--smtp-server=/bin/false", "--from=zoe@example.org"])
        .arg(draft(bench))
        .env("PATH", path)
        .env("HOME", &home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs(
            ["AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL"]
                .map(|who| (format!("GIT_{who}"), "zoe@example.org")),
        )
        .current_dir(&home)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(
        !said.contains("is not a git command") && !said.contains("Can't locate"),
        "this test needs git send-email: apt-get install git-email, or cargo xtask ci --install-deps\n{said}"
    );
    (output.status.success(), said)
}

#[test]
fn draft_goes_to_those_of_the_mail_and_send_email_takes_it() {
    let bench = bench_with_mail();
    let outcome = reply(&bench);
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
    assert!(
        outcome.stdout.contains("reply.mbox") && outcome.stdout.contains("nothing was sent"),
        "{outcome:?}"
    );
    let text = std::fs::read_to_string(draft(&bench)).unwrap();
    let (head, body) = text.split_once("\n\n").unwrap();
    assert!(head.is_ascii(), "{head}");
    for words in [
        "In-Reply-To: <20260224030700.35857-1-lance.yang@linux.dev>",
        "References: <0@example.org>\n <20260224030700.35857-1-lance.yang@linux.dev>",
        "<j@example.org>",
        "<a@example.org>",
        "Re: [PATCH v2 1/1] mm/mmu_gather",
    ] {
        assert!(head.contains(words), "{words}: {head}");
    }
    // The user is no recipient of the own answer.
    assert_eq!(head.matches("zoe@example.org").count(), 1, "{head}");
    assert!(
        body.contains("Verdict: pass: ") && body.contains("\n# Tested-by: Zoë Tester <zoe@example.org>\n"),
        "{body}"
    );
    let (taken, said) = dry_run(&bench);
    assert!(taken, "{said}");
    for words in ["lance.yang@linux.dev", "j@example.org", "linux-mm@example.org", "a@example.org"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn draft_that_is_there_is_kept() {
    let bench = bench_with_mail();
    assert_eq!(reply(&bench).exit, Some(0));
    std::fs::write(draft(&bench), "my own words").unwrap();
    let again = reply(&bench);
    assert_eq!(again.exit, Some(2), "{again:?}");
    assert!(again.stderr.contains("there is a draft already"), "{again:?}");
    assert_eq!(std::fs::read_to_string(draft(&bench)).unwrap(), "my own words");
}

#[test]
fn patch_that_was_no_mail_has_nothing_to_answer() {
    let bench = Bench::new();
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../patches/mmu_gather-v2.patch");
    let text = std::fs::read_to_string(seed).unwrap();
    bench.write("own.patch", &text[text.find("diff --git").unwrap()..]);
    bench.run(&["--patch", "own.patch"], &[]).is("pass", 0, "");
    let outcome = reply(&bench);
    assert_eq!(outcome.exit, Some(2), "{outcome:?}");
    assert!(
        outcome.stderr.contains("there is no mail to answer") && outcome.stderr.contains("next: "),
        "{outcome:?}"
    );
    assert!(!draft(&bench).exists());
}
