//! A draft of the answer to the mail that the patch came in: to whom it goes, and what was found, in a few lines. A draft: it
//! is written for a person who reads it, changes it and sends it, or does not. Sends nothing, and decides nothing.

use mail_builder::headers::Header;
use mail_builder::headers::address::Address;
use mail_builder::headers::text::Text;
use patch::Mailbox;

use super::layout::folded;
use super::{PairReport, Report, Shown, answers, human, reasons};
use crate::judge::Verdict;

/// Columns of a line, at most: a quote of it still fits a terminal.
const COLUMNS: usize = 72;

/// Lines of a splat that the draft shows.
const SPLAT_LINES: usize = 20;

/// Reasons of a pair.
const REASONS: usize = 5;

/// Variants that have a line each.
const VARIANTS: usize = 6;

/// What is known of the mail that is answered, and who answers it.
#[derive(Debug, Clone)]
pub struct ReplyHeaders {
    pub from: Mailbox,
    pub to: Vec<Mailbox>,
    pub cc: Vec<Mailbox>,
    /// Of the mail that is answered.
    pub subject: String,
    /// Of it, with its angle brackets.
    pub message_id: String,
    /// What it answers itself, from the beginning of the thread.
    pub references: Vec<String>,
    /// Its author and date, for the first line.
    pub author: Option<String>,
    pub date: Option<String>,
}

/// A mailbox of one mail. Lines end as in a file.
pub fn mbox(report: &Shown, headers: &ReplyHeaders) -> String {
    // Programs that read an mbox look for such a line, and git format-patch writes one with this date.
    let mut out = "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\n".to_owned();
    header(&mut out, "From", &address(&headers.from));
    list(&mut out, "To", &headers.to);
    list(&mut out, "Cc", &headers.cc);
    put_subject(&mut out, &subject(&headers.subject));
    out.push_str(&format!("In-Reply-To: {}\n", headers.message_id));
    let references = headers.references.iter().filter(|id| **id != headers.message_id);
    let references: Vec<&str> = references.chain([&headers.message_id]).map(String::as_str).collect();
    out.push_str(&format!("References: {}\n", references.join("\n ")));
    out.push_str(
        "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n\n",
    );
    for line in body(report, headers) {
        // A line of an mbox that begins so would begin a mail.
        if line.trim_start_matches('>').starts_with("From ") {
            out.push('>');
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn subject(of: &str) -> String {
    let is_reply = of.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("re:"));
    if is_reply { of.to_owned() } else { format!("Re: {of}") }
}

/// A subject of plain words stays readable in the file; mail-builder encodes every one that needs a second line.
fn put_subject(out: &mut String, subject: &str) {
    let is_plain = subject.is_ascii()
        && !subject.contains("=?")
        && subject.split(' ').all(|word| !word.is_empty() && word.len() < COLUMNS / 2);
    if is_plain {
        out.push_str(&format!("Subject: {}\n", fold(subject).join("\n ")));
    } else {
        header(out, "Subject", &Text::new(subject));
    }
}

fn address(of: &Mailbox) -> Address<'_> {
    Address::new_address(of.name.as_deref(), of.address.as_str())
}

fn list(out: &mut String, name: &str, all: &[Mailbox]) {
    if !all.is_empty() {
        header(out, name, &Address::new_list(all.iter().map(address).collect()));
    }
}

/// With the line ends of a file.
fn header(out: &mut String, name: &str, value: &impl Header) {
    let mut bytes = Vec::new();
    value.write_header(&mut bytes, name.len().saturating_add(2));
    let value = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    out.push_str(&format!("{name}: {}\n", value.trim_end()));
}

fn body(report: &Shown, headers: &ReplyHeaders) -> Vec<String> {
    let mut lines = quote(headers);
    lines.extend(fold(
        "I ran this patch through patchproof: every kernel is built with and without it, booted in QEMU, made to run \
         the changed code, and watched for trouble.",
    ));
    lines.push(String::new());
    lines.extend(fold(&format!("Verdict: {}", human::summary(report))));
    lines.extend(
        report.trees.iter().flat_map(|tree| fold(&format!("Tree: {} ({})", tree.version, tree.origin))),
    );
    lines.extend(fold(&format!("Machine: {}", machine(report))));
    lines.extend(caveats(report));
    lines.push(String::new());
    for [question, answer] in answers::questions(report) {
        lines.extend(fold(&format!("{question} {}", answer.replace('\n', "; "))));
    }
    lines.push(String::new());
    lines.extend(variants(report));
    for pair in report.main_pairs().filter(|pair| pair.verdict != Verdict::Pass) {
        lines.extend(why(report, pair));
    }
    lines.extend(splat(report));
    lines.push(String::new());
    lines.extend(repeat(report));
    lines.extend(tag(report, &headers.from));
    lines
}

/// The mail that is answered, in two lines.
fn quote(headers: &ReplyHeaders) -> Vec<String> {
    let who = headers.author.as_deref().unwrap_or("the author");
    let when = headers.date.as_ref().map_or(String::new(), |date| format!("On {date}, "));
    let mut lines = fold(&format!("{when}{who} wrote:"));
    lines.extend([format!("> {}", headers.subject), String::new()]);
    lines
}

fn machine(report: &Report) -> String {
    let accel = |accel: &super::AccelReport| match accel.name.as_str() {
        "tcg" => format!("{}, emulated (QEMU TCG)", accel.arch),
        name => format!("{}, {name}", accel.arch),
    };
    let each: Vec<String> = report.accels.iter().map(accel).collect();
    if each.is_empty() { "nothing was booted".to_owned() } else { each.join("; ") }
}

/// What changes what the verdict is worth.
fn caveats(report: &Report) -> Vec<String> {
    let remarks = human::header(report).into_iter().skip(1);
    let loud = |line: &String| line.starts_with(|c: char| c.is_ascii_uppercase());
    remarks.filter(loud).flat_map(|line| fold(&line)).collect()
}

fn variants(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for pair in report.main_pairs().take(VARIANTS) {
        let words = [human::tests(report, pair), human::controls(report, pair)];
        let words: Vec<String> = words.iter().map(|text| text.replace('\n', ", ")).collect();
        let line =
            format!("{}: {}: {}; planted bugs: {}", pair.verdict.name(), pair.name(), words[0], words[1]);
        lines.extend(fold(&line));
    }
    let more = report.main_pairs().count().saturating_sub(VARIANTS);
    if more > 0 {
        lines.push(format!("and {more} variants more"));
    }
    lines
}

fn why(report: &Report, pair: &PairReport) -> Vec<String> {
    let reasons = reasons::of_pair(report, pair);
    let mut lines = vec![String::new()];
    lines.extend(fold(&format!("Why {} ({}):", pair.verdict.name(), pair.name())));
    lines.extend(reasons.iter().take(REASONS).flat_map(|reason| fold(&format!("  {reason}"))));
    let more = reasons.len().saturating_sub(REASONS);
    if more > 0 {
        lines.push(format!("  and {more} reasons more"));
    }
    lines
}

/// The first splat of a patched kernel that failed, as the kernel printed it.
fn splat(report: &Report) -> Vec<String> {
    let failed = report.main_pairs().filter(|pair| pair.verdict == Verdict::Fail);
    let found = failed
        .filter_map(|pair| report.cell(pair, &pair.arm))
        .find_map(|cell| Some((cell, cell.splats.first()?)));
    let Some((cell, splat)) = found else { return Vec::new() };
    let mut lines = vec![String::new()];
    lines.extend(fold(&format!("The console of {}:", cell.id)));
    let text = std::iter::once(&splat.headline).chain(splat.text.iter().skip(1));
    lines.extend(text.take(SPLAT_LINES).map(|line| format!("  {line}")));
    let more = splat.text.len().saturating_sub(SPLAT_LINES);
    if more > 0 {
        lines.push(format!("  [{more} lines more]"));
    }
    lines
}

fn repeat(report: &Report) -> Vec<String> {
    let mut lines = fold("To repeat it, with this thread's patch saved as patch.mbox:");
    // A command is one line, however long.
    lines.push(format!("  cargo xtask matrix --campaign {} --patch patch.mbox", report.campaign));
    lines
}

/// For a person to uncomment, where the run gives reason to.
fn tag(report: &Report, from: &Mailbox) -> Vec<String> {
    let first_look =
        report.suite.as_deref() == Some("quick") || report.cells.iter().any(|cell| cell.recorded.is_some());
    if human::verdict(report) != Verdict::Pass.name() || first_look {
        return Vec::new();
    }
    let who = match &from.name {
        Some(name) => format!("{name} <{}>", from.address),
        None => from.address.clone(),
    };
    vec![String::new(), format!("# Tested-by: {who}")]
}

/// In lines of a mail, each indented as the first one is.
fn fold(text: &str) -> Vec<String> {
    let indent = text.len().saturating_sub(text.trim_start_matches(' ').len());
    let lines = folded(text, COLUMNS);
    lines.iter().map(|line| format!("{}{}", " ".repeat(indent), line.trim_start())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::annotation::tests::rich;
    use super::super::fixture;
    use super::*;

    fn mailbox(name: &str, address: &str) -> Mailbox {
        Mailbox { name: (!name.is_empty()).then(|| name.to_owned()), address: address.to_owned() }
    }

    fn headers() -> ReplyHeaders {
        ReplyHeaders {
            from: mailbox("Zoë Tester", "zoe@example.org"),
            to: vec![mailbox("Döe, J", "j@example.org")],
            cc: vec![mailbox("", "linux-mm@example.org"), mailbox("A \"B\" C", "a@example.org")],
            subject: "[PATCH] a subject".to_owned(),
            message_id: "<2@example.org>".to_owned(),
            references: vec!["<1@example.org>".to_owned()],
            author: Some("Döe, J <j@example.org>".to_owned()),
            date: Some("Tue, 24 Feb 2026 11:07:00 +0800".to_owned()),
        }
    }

    fn draft(report: &Report) -> String {
        mbox(&Shown::new(report).unwrap(), &headers())
    }

    #[test]
    fn draft_of_a_pass() {
        insta::assert_snapshot!(draft(&fixture::report(Verdict::Pass, &[])));
    }

    #[test]
    fn draft_of_a_failure_has_reasons_and_splat() {
        insta::assert_snapshot!(draft(&rich()));
    }

    #[test]
    fn tag_is_a_comment_and_only_on_a_pass() {
        let verdicts = [
            Verdict::WeakPass,
            Verdict::Fail,
            Verdict::BaseAlsoFails,
            Verdict::Vacuous,
            Verdict::Infra,
            Verdict::Fixes,
        ];
        for verdict in verdicts {
            let draft = draft(&fixture::report(verdict, &["a reason"]));
            assert!(!draft.contains("Tested-by"), "{draft}");
        }
        let mut report = fixture::report(Verdict::Pass, &[]);
        let with_tag = draft(&report);
        let tags: Vec<&str> = with_tag.lines().filter(|line| line.contains("Tested-by")).collect();
        assert_eq!(tags, ["# Tested-by: Zoë Tester <zoe@example.org>"]);
        report.suite = Some("quick".to_owned());
        assert!(!draft(&report).contains("Tested-by"));
    }

    #[test]
    fn no_line_of_prose_is_too_long_and_no_line_begins_a_mail() {
        let long = ["word"; 60].join(" ");
        let mut report = fixture::report(Verdict::Vacuous, &[long.as_str(), "From me to you"]);
        report.trees[0].origin = "From here".to_owned();
        let draft = draft(&report);
        let (_, body) = draft.split_once("\n\n").unwrap();
        for line in body.lines().filter(|line| !line.contains("cargo xtask")) {
            assert!(line.chars().count() <= COLUMNS.saturating_add(3), "{line}");
        }
        assert_eq!(draft.lines().filter(|line| line.starts_with("From ")).count(), 1, "{draft}");
    }

    #[test]
    fn names_in_headers_are_encoded() {
        let draft = draft(&fixture::report(Verdict::Pass, &[]));
        let (head, _) = draft.split_once("\n\n").unwrap();
        assert!(head.is_ascii(), "{head}");
        let series =
            patch::read(format!("{}\n\n---\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", head).as_bytes(), "d")
                .unwrap();
        let envelope = &series.patches[0].envelope;
        assert_eq!(patch::addresses(envelope.to.as_ref().unwrap()), headers().to);
        assert_eq!(patch::addresses(envelope.cc.as_ref().unwrap()), headers().cc);
        assert_eq!(envelope.references.as_deref(), Some("<1@example.org> <2@example.org>"));
    }
}
