//! The report as a person reads it. The first screen decides: the verdict, the answers, a row for each variant, and, if
//! anything but a pass came out, why and how to repeat it. All the rest is in the details below it (crate::report::details).

use protocol::sum;

use super::layout::{fold, table};
use super::{PairReport, Report, Shown, TreeReport, answers, details, marked, reasons};
use crate::judge::Verdict;
use failure::{Exit, escape};

/// The first screen; `colour` adds escape sequences to verdicts and nothing else.
pub fn screen(report: &Shown, run_dir: &str, colour: bool) -> String {
    let paint = |line: String| if colour { painted(&line) } else { line };
    let mut lines: Vec<String> = fold(&summary(report)).into_iter().map(paint).collect();
    lines.extend(header(report).iter().flat_map(|line| fold(line)));
    lines.push(String::new());
    lines.extend(answers::render(report));
    lines.push(String::new());
    lines.extend(variants(report).into_iter().map(paint));
    lines.extend(reasons::render(report).iter().flat_map(|line| fold(line)));
    let marked = marked::short(report);
    if !marked.is_empty() {
        lines.push(String::new());
        lines.extend(marked);
    }
    lines.push(String::new());
    lines.extend(fold(&format!("run directory: {}", escape::line(run_dir))));
    lines.push(
        "in it: report.html, report.txt with the details, and in cells/ console and repro.sh of each kernel"
            .to_owned(),
    );
    lines.join("\n") + "\n"
}

/// The first screen and the details.
pub fn whole(report: &Shown, run_dir: &str, colour: bool) -> String {
    let details = details::render(report).join("\n");
    format!("{}\n{details}\n", screen(report, run_dir, colour))
}

/// One line, and if the run did not come to a good end also why, how to repeat it, and where it is.
pub fn brief(report: &Shown, run_dir: &str, colour: bool) -> String {
    let paint = |line: String| if colour { painted(&line) } else { line };
    let mut lines: Vec<String> = fold(&summary(report)).into_iter().map(paint).collect();
    if report.exit_code != Exit::Ok as u8 {
        lines.extend(
            reasons::render(report).iter().filter(|line| !line.is_empty()).flat_map(|line| fold(line)),
        );
        lines.extend(fold(&format!("run directory: {}", escape::line(run_dir))));
    }
    lines.join("\n") + "\n"
}

/// The verdict, the counts that it stands on, and the exit code.
pub(super) fn summary(report: &Report) -> String {
    let passed = report.pairs.iter().filter(|pair| pair.verdict.is_good()).count();
    let (variants, controls) = (report.pairs.len(), report.controls.len());
    let what =
        if report.pairs.iter().all(PairReport::is_main) { "variants" } else { "variants and versions" };
    let tests = sum(report.main_pairs().map(|pair| both_arms(report, pair).0));
    let caught = report.controls.iter().filter(|control| control.caught).count();
    let (cells, code) = (report.cells.len(), report.exit_code);
    format!(
        "{}: {passed} of {variants} {what} passed, {tests} tests, {caught} of {controls} controls caught, \
         {cells} cells, exit code {code}",
        verdict(report)
    )
}

/// One word for the run. If all variants that did not pass have the same verdict, it is that one.
pub fn verdict(report: &Report) -> &'static str {
    const CODES: [(Exit, &str); 5] = [
        (Exit::Ok, "pass"),
        (Exit::WeakPass, "weak-pass"),
        (Exit::PatchFailed, "fail"),
        (Exit::PatchRejected, "refused"),
        (Exit::Interrupted, "interrupted"),
    ];
    if report.exit_code == Exit::Ok as u8 && report.pairs.iter().any(|pair| pair.verdict == Verdict::Fixes) {
        return Verdict::Fixes.name();
    }
    if let Some((_, word)) = CODES.iter().find(|(exit, _)| *exit as u8 == report.exit_code) {
        return word;
    }
    let mut others = report.pairs.iter().map(|pair| pair.verdict).filter(|verdict| !verdict.is_good());
    match others.next() {
        Some(first) if first != Verdict::Fail && others.all(|other| other == first) => first.name(),
        _ => "inconclusive",
    }
}

/// What was tested, and what changes what the verdict is worth.
pub(super) fn header(report: &Report) -> Vec<String> {
    let mut lines =
        vec![format!("patch: {}", report.patch.subject.as_deref().unwrap_or(&report.patch.source))];
    lines.extend(report.patch.notes.iter().map(|note| format!("   {note}")));
    for tree in &report.trees {
        lines.push(format!("tree: {} ({})", tree.version, tree.origin));
        lines.extend(remarks(tree).iter().map(|remark| format!("   {remark}")));
    }
    if report.unconfined {
        lines.push(
            "NO SANDBOX: the patch's build code and the guests could do all that you can (--no-sandbox)"
                .to_owned(),
        );
    }
    if let Some(part) = report.part {
        lines.push(format!(
            "PART {part}: of one plan; `cargo xtask merge` joins the parts to the verdict of all"
        ));
    }
    if report.interrupted {
        lines.push("INTERRUPTED: this report is partial".to_owned());
    }
    if report.suite.as_deref() == Some("quick") {
        lines.push("QUICK: a first look with few of the guest tests".to_owned());
    }
    lines.extend(recorded(report));
    lines
}

/// What people should know about the patch on this tree, and about its other versions.
fn remarks(tree: &TreeReport) -> Vec<String> {
    let held = tree.undone.as_ref();
    let held = held.map(|held| format!("it holds the patch ({held}), undone to make the base"));
    let versions = tree.versions.iter().flat_map(|(name, patch)| {
        let remarks = patch.notes.iter().cloned().chain(patch.edited());
        remarks.map(move |remark| format!("{name}: {remark}"))
    });
    held.into_iter().chain(tree.patch.edited()).chain(versions).collect()
}

/// Evidence that this run did not make itself is never shown without saying so.
fn recorded(report: &Report) -> Option<String> {
    let dates: Vec<&String> = report.cells.iter().filter_map(|cell| cell.recorded.as_ref()).collect();
    let oldest = dates.iter().min()?;
    let (count, all) = (dates.len(), report.cells.len());
    Some(format!("RECORDED: {count} of {all} kernels were not booted now; the oldest record is of {oldest}"))
}

/// The verdict comes first in each row, so that no name can look like one.
fn variants(report: &Report) -> Vec<String> {
    let rows = report.pairs.iter().map(|pair| {
        vec![pair.verdict.name().to_owned(), name_and_kind(pair), tests(report, pair), controls(report, pair)]
    });
    table(&["verdict", "variant", "guest tests", "controls"], &rows.collect::<Vec<_>>())
}

/// What is tested, and below it how a kernel comes to be so.
pub(super) fn name_and_kind(pair: &PairReport) -> String {
    let kind = match (pair.is_main(), pair.native) {
        (false, _) => format!("version {}", pair.arm),
        (true, true) => "native".to_owned(),
        (true, false) => "synthetic".to_owned(),
    };
    format!("{}\n  {kind}", pair.name())
}

/// Colours the verdict that a line begins with. After the layout, because a table counts escape sequences as text.
fn painted(line: &str) -> String {
    let (word, rest) = line.split_at(line.find([' ', ':']).unwrap_or(line.len()));
    let code = match word {
        "pass" | "fixes" => 32,
        "fail" => 31,
        "weak-pass" | "base-also-fails" | "vacuous" | "infra" | "inconclusive" | "interrupted"
        | "refused" => 33,
        _ => return line.to_owned(),
    };
    format!("\u{1b}[{code}m{word}\u{1b}[0m{rest}")
}

/// How many guest tests were measured on both arms, and with how many failures.
fn both_arms(report: &Report, pair: &PairReport) -> (u64, u64) {
    let (base, patched) = (report.scenarios(pair, "base"), report.scenarios(pair, &pair.arm));
    let both = patched.iter().filter(|after| base.iter().any(|before| before.name == after.name));
    let both: Vec<_> = both.collect();
    (both.len() as u64, sum(both.iter().map(|scenario| scenario.injected)))
}

pub(super) fn tests(report: &Report, pair: &PairReport) -> String {
    let (tests, failures) = both_arms(report, pair);
    let mut text = format!("{tests} on both arms\n{failures} failures forced in each");
    if !pair.not_applicable.is_empty() {
        text += &format!("\n{} not applicable", pair.not_applicable.len());
    }
    text
}

/// Those that were not caught are named; the others are in the details.
pub(super) fn controls(report: &Report, pair: &PairReport) -> String {
    let (caught, missed): (Vec<_>, Vec<_>) = report.controls_of(pair).partition(|control| control.caught);
    let mut lines = match caught.len().saturating_add(missed.len()) {
        0 => vec!["none".to_owned()],
        all => vec![format!("{} of {all} caught", caught.len())],
    };
    lines.extend(missed.iter().map(|control| format!("NOT CAUGHT: {}", control.name)));
    if !pair.controls_left_out.is_empty() {
        lines.push(format!("{} left out", pair.controls_left_out.len()));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::{EDITED_NAMED, fixture};
    use super::*;

    #[test]
    fn pass_is_verdict_answers_and_table() {
        insta::assert_snapshot!(screen(&fixture::shown(Verdict::Pass, &[]), "/runs/1", false));
    }

    #[test]
    fn brief_is_one_line_on_a_pass_and_says_why_on_a_fail() {
        let pass = brief(&fixture::shown(Verdict::Pass, &[]), "/runs/1", false);
        assert!(pass.starts_with("pass: ") && pass.lines().count() == 1, "{pass}");
        let fail = brief(&fixture::shown(Verdict::Fail, &["patched: splat"]), "/runs/1", false);
        for words in ["fail: 0 of 1", "patched: splat", "repeat:", "run directory: /runs/1"] {
            assert!(fail.contains(words), "{fail}");
        }
        assert!(fail.lines().count() < 10 && !fail.contains("Does it"), "{fail}");
    }

    #[test]
    fn fail_says_why_and_how_to_repeat_it_below_the_table() {
        let reasons = ["patched: splat (might-sleep): BUG: sleeping function"];
        insta::assert_snapshot!(screen(&fixture::shown(Verdict::Fail, &reasons), "/runs/1", false));
    }

    #[test]
    fn details_follow_the_first_screen() {
        let report = fixture::shown(Verdict::Pass, &[]);
        let whole = whole(&report, "/runs/1", false);
        let (first, details) = whole.split_at(screen(&report, "/runs/1", false).len());
        assert_eq!(first, screen(&report, "/runs/1", false));
        insta::assert_snapshot!(details);
    }

    #[test]
    fn notes_and_edited_files_stand_above_the_answers() {
        let mut report = fixture::report(Verdict::Pass, &[]);
        report.patch.notes = vec![
            "version 2; passed over: version 1".to_owned(),
            "passed over: a reply with a diff".to_owned(),
        ];
        report.patch.files[0].edited = true;
        report.patch.files[0].post_matches = Some(false);
        report.trees[0].patch = report.patch.clone();
        report.trees[0].versions.insert("v3".to_owned(), report.patch.clone());
        let text = screen(&Shown::new(&report).unwrap(), "/runs/1", false);
        let top: Vec<&str> = text.lines().take_while(|line| !line.starts_with("Does it build")).collect();
        insta::assert_snapshot!(top.join("\n"), @r"
        pass: 1 of 1 variants passed, 1 tests, 1 of 1 controls caught, 2 cells, exit code 0
        patch: [PATCH] a subject
           version 2; passed over: version 1
           passed over: a reply with a diff
        tree: 7.2.12 (directory /src/linux)
           mm/mmu_gather.c: applies; edited after it was made: the result is not the blob that its index
               names
           v3: version 2; passed over: version 1
           v3: passed over: a reply with a diff
           v3: mm/mmu_gather.c: applies; edited after it was made: the result is not the blob that its index
               names

        Does it apply as posted?          yes: 2 of 2 pre-image blobs, 1 of 2 post-image blobs
        ");
        report.trees[0].patch.files = vec![report.patch.files[0].clone(); EDITED_NAMED + 2];
        assert_eq!(report.trees[0].patch.edited().last().unwrap(), "and 2 files more that were edited");
    }

    #[test]
    fn control_that_was_not_caught_is_shouted() {
        let text = screen(&fixture::shown(Verdict::Vacuous, &["blind"]), "/runs/1", false);
        assert!(text.contains("NOT CAUGHT: preempt-disable"), "{text}");
        assert!(text.contains("planted bugs caught: 0 of 1"), "{text}");
    }

    #[test]
    fn interrupted_run_says_so_at_the_top() {
        let mut report = fixture::report(Verdict::Infra, &["not run"]);
        report.interrupted = true;
        report.exit_code = report.exit() as u8;
        let text = screen(&Shown::new(&report).unwrap(), "/runs/1", false);
        assert!(text.starts_with("interrupted: 0 of 1 variants passed,"), "{text}");
        assert!(text.lines().take(4).any(|line| line.starts_with("INTERRUPTED")), "{text}");
    }

    #[test]
    fn line_one_has_the_verdict_that_the_exit_code_stands_for() {
        let word = |verdicts: &[Verdict], code: Option<Exit>| {
            let mut report = fixture::report(Verdict::Pass, &[]);
            let pair = |verdict: &Verdict| PairReport { verdict: *verdict, ..report.pairs[0].clone() };
            report.pairs = verdicts.iter().map(pair).collect();
            report.exit_code = code.unwrap_or(report.exit()) as u8;
            verdict(&report)
        };
        use Verdict::{BaseAlsoFails, Fail, Infra, Pass, Vacuous};
        assert_eq!(word(&[Pass, Pass], None), "pass");
        assert_eq!(word(&[Pass, Fail, Infra], None), "fail");
        assert_eq!(word(&[Pass, Vacuous, Vacuous], None), "vacuous");
        assert_eq!(word(&[BaseAlsoFails], None), "base-also-fails");
        assert_eq!(word(&[Vacuous, Infra], None), "inconclusive");
        assert_eq!(word(&[], None), "inconclusive");
        // The run was ended by something else.
        assert_eq!(word(&[Fail], Some(Exit::Inconclusive)), "inconclusive");
        assert_eq!(word(&[Infra], Some(Exit::PatchRejected)), "refused");
    }

    #[test]
    fn colour_adds_escape_sequences_to_verdicts_and_nothing_else() {
        let report = fixture::shown(Verdict::Pass, &[]);
        let painted = whole(&report, "/runs/1", true);
        assert_eq!(painted.matches("\u{1b}[32mpass\u{1b}[0m").count(), 2);
        let plain = painted.replace("\u{1b}[32m", "").replace("\u{1b}[0m", "");
        assert_eq!(plain, whole(&report, "/runs/1", false));
    }
}
