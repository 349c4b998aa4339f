//! The report as a page: one file that needs no network, for a browser, a phone and a printer. Shows what the other renderers
//! show, and draws the distributions; decides nothing.

mod arms;
mod splats;
mod times;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{CellReport, Report, Shown, answers, human, marked};
use crate::judge::Verdict;
use crate::judge::reach::{HunkReach, LineReach, ReachState};
use crate::observe::Side;

const STYLE: &str = include_str!("page.css");

/// The whole page.
pub fn render(report: &Shown, run_dir: &str) -> String {
    let title = report.patch.subject.as_deref().unwrap_or(&report.patch.source);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (human::verdict(report)) ": " (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (top(report, title))
                (patch(report))
                (splats::render(report))
                (arms::render(report))
                (times::distributions(report))
                (controls(report))
                (times::line(report))
                (repeat(report, run_dir))
            }
        }
    };
    page.into_string()
}

fn class_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass | Verdict::Fixes => "good",
        Verdict::Fail => "bad",
        Verdict::WeakPass | Verdict::BaseAlsoFails | Verdict::Vacuous | Verdict::Infra => "weak",
    }
}

/// Of the word for the whole run.
fn class_of_word(word: &str) -> &'static str {
    match word {
        "pass" | "fixes" => "good",
        "fail" | "refused" => "bad",
        _ => "weak",
    }
}

/// The verdict, why, and the answers.
fn top(report: &Report, title: &str) -> Markup {
    html! {
        header {
            p class=(format!("verdict {}", class_of_word(human::verdict(report)))) { (human::summary(report)) }
            h1 { (title) }
            @for pair in &report.pairs {
                p {
                    strong class=(class_of(pair.verdict)) { (pair.verdict.name()) }
                    " " (pair.name())
                    @if let Some(reason) = pair.reasons.first() { ": " (reason) }
                }
                @if pair.reasons.len() > 1 {
                    ul { @for reason in pair.reasons.iter().skip(1) { li { (reason) } } }
                }
            }
            @if report.interrupted { p class="weak" { "interrupted: this report is partial" } }
            @if report.unconfined { p class="bad" { "no sandbox: builds and guests could do all that the user can" } }
            p class="quiet" {
                (report.started) ", " (format!("{:.0} s", report.wall_secs)) ", exit code " (report.exit_code)
                @for tree in &report.trees { "; Linux " (tree.version) " (" (tree.origin) ")" }
            }
        }
        section {
            h2 { "Answers" }
            dl {
                @for [question, answer] in answers::questions(report) {
                    dt { (question) }
                    @for line in answer.lines() { dd { (line) } }
                }
            }
        }
    }
}

/// The patch with its lines marked.
fn patch(report: &Report) -> Markup {
    html! {
        @if !report.reach.is_empty() {
            section {
                h2 { "The patch, and what was executed of it" }
                @for hunk in report.reach.values().flat_map(|reach| &reach.hunks) { (hunk_of(hunk)) }
            }
        }
    }
}

fn hunk_of(hunk: &HunkReach) -> Markup {
    html! {
        div class="patch" {
            h3 { "hunk " (hunk.number) ", " (hunk.place) ": " (marked::words(hunk)) }
            @for line in &hunk.lines { (line_of(line)) }
        }
    }
}

fn line_of(line: &LineReach) -> Markup {
    let side = match line.line.side {
        Side::Context => "",
        Side::Added => "added",
        Side::Removed => "removed",
    };
    let missed = matches!(line.state, ReachState::NotCompiled | ReachState::NotExecuted);
    let class = if missed { format!("{side} missed") } else { side.to_owned() };
    html! {
        div class=(class) {
            span class="mark" { (marked::mark(&line.state)) }
            code { (marked::sign(line.line.side)) (line.line.text) }
        }
    }
}

/// Bugs that were planted, and what became of them.
fn controls(report: &Report) -> Markup {
    html! {
        @if !report.controls.is_empty() {
            section {
                h2 { "Planted bugs" }
                table class="stacked" {
                    thead { tr { th { "bug" } th { "what it does" } th { "caught" } th { "by" } } }
                    tbody {
                        @for control in &report.controls {
                            tr {
                                th scope="row" { (control.variant) ": " (control.name) }
                                td { (control.plants) }
                                td class=(if control.caught { "good" } else { "bad" }) {
                                    (if control.caught { "caught" } else { "NOT CAUGHT" })
                                }
                                td { (control.by) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn repeat(report: &Report, run_dir: &str) -> Markup {
    let cells: Vec<&CellReport> = report.cells.iter().filter(|cell| !cell.kept.is_empty()).collect();
    html! {
        section {
            h2 { "To repeat it" }
            p { "In " code { (run_dir) } ": " code { "./repro.sh" } " in the directory of a kernel boots the same image again, "
                code { "./repro.sh build" } " builds it again." }
            table class="stacked" {
                tbody {
                    @for cell in cells {
                        tr { th scope="row" { (cell.id) } td { code { (format!("{}/{}", cell.dir, cell.kept.join(", "))) } } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn page_needs_nothing_but_itself_and_escapes_what_others_wrote() {
        let mut report = fixture::report(Verdict::Fail, &["patched: <script>alert(1)</script>"]);
        report.patch.subject = Some("[PATCH] a & b".to_owned());
        let page = render(&Shown::new(&report).unwrap(), "/runs/1");
        assert!(page.contains("&lt;script&gt;alert(1)") && !page.contains("<script"), "{page}");
        assert!(page.contains("<title>fail: [PATCH] a &amp; b</title>"));
        for reference in ["http:", "https:", "src=", "url(", "@import"] {
            assert!(!page.contains(reference), "{reference}");
        }
        insta::assert_snapshot!(page.replace(STYLE, "STYLE").replace("><", ">\n<"));
    }
}
