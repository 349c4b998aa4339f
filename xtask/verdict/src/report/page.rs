//! The report as a page: one file that needs no network, for a browser, a phone and a printer. Shows what the other renderers
//! show, and draws the distributions; decides nothing.

use std::fmt::Write;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::effect::{Amount, Effect, Spread, Unit};
use super::{CellReport, PairReport, Report, Shown, answers, human, marked};
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
                (counts(report))
                (distributions(report))
                (splats(report))
                (controls(report))
                (times(report))
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

/// The verdict, why, and the answers.
fn top(report: &Report, title: &str) -> Markup {
    html! {
        header {
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

/// What the guest tests did on both arms, side by side.
fn counts(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Both arms" }
            @for pair in &report.pairs {
                h3 { (pair.name()) }
                (arms(report, pair))
                (list("ended differently", &pair.differences))
                (list("failures that were forced", &pair.failures))
            }
        }
    }
}

fn arms(report: &Report, pair: &PairReport) -> Markup {
    let (base, patched) = (report.scenarios(pair, "base"), report.scenarios(pair, &pair.arm));
    let events = |scenario: &super::ScenarioReport| {
        let mut text = format!("{} failures", scenario.injected);
        for (name, count) in scenario.counts.0.iter().filter(|(_, count)| **count > 0) {
            let _ = write!(text, ", {count} {name}");
        }
        text
    };
    html! {
        div class="wide" {
            table {
                thead { tr { th { "guest test" } th { "base" } th { (pair.arm) } } }
                tbody {
                    @for after in patched {
                        tr {
                            td { (after.name) }
                            td {
                                @if let Some(before) = base.iter().find(|before| before.name == after.name) {
                                    (events(before))
                                } @else { "not run" }
                            }
                            td { (events(after)) }
                        }
                    }
                }
            }
        }
    }
}

fn list(title: &str, lines: &[String]) -> Markup {
    html! {
        @if !lines.is_empty() {
            p { (title) ":" }
            ul { @for line in lines { li { (line) } } }
        }
    }
}

/// Times of both arms, drawn, with what they are worth.
fn distributions(report: &Report) -> Markup {
    let timed: Vec<&Effect> = report
        .effects
        .iter()
        .filter(|effect| effect.unit == Unit::Milliseconds && effect.base.spread.is_some())
        .collect();
    html! {
        @if !timed.is_empty() {
            section {
                h2 { "Times" }
                p class="quiet" {
                    "The box is from 25 % to 75 %, its line the median, the whisker ends at 99 % and the dot is the longest. The "
                    "scale is logarithmic. "
                    @if report.accels.iter().any(|accel| accel.name == "tcg") {
                        "The guests were emulated (TCG): no time of one arm means anything but beside the other's."
                    }
                }
                @for effect in timed { (boxes(effect)) }
            }
        }
    }
}

const LEFT: f64 = 90.0;
const WIDTH: f64 = 700.0;

fn boxes(effect: &Effect) -> Markup {
    let arms = [("base", &effect.base), ("patched", &effect.patched)];
    let spreads: Vec<&Spread> = arms.iter().filter_map(|(_, amount)| amount.spread.as_ref()).collect();
    let least = spreads.iter().map(|spread| spread.p25).fold(f64::MAX, f64::min).max(1e-6);
    let most = spreads.iter().map(|spread| spread.max).fold(least * 2.0, f64::max);
    let at =
        |value: f64| LEFT + (value.max(least) / least).ln() / (most / least).ln() * (WIDTH - LEFT - 20.0);
    html! {
        figure style="margin:0.5rem 0" {
            figcaption {
                (effect.scenario) ": " (effect.what) ", " (format!("{} and {} samples", effect.base.samples, effect.patched.samples))
                @if !effect.is_quotable() { " (the host was busy: not to be quoted)" }
            }
            svg viewBox=(format!("0 0 {WIDTH} 64")) role="img" aria-label=(format!(
                "{} ms on the base, {} ms with the patch, medians", short(effect.base.value), short(effect.patched.value))) {
                @for (row, (name, amount)) in arms.into_iter().enumerate() { (one_box(row, name, amount, &at)) }
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "two rows")]
fn one_box(row: usize, name: &str, amount: &Amount, at: &dyn Fn(f64) -> f64) -> Markup {
    let Some(spread) = &amount.spread else { return html! {} };
    let (top, colour) = (8.0 + row as f64 * 28.0, if row == 0 { "var(--base)" } else { "var(--patched)" });
    let (from, to, middle) = (at(spread.p25), at(spread.p75), at(amount.value));
    html! {
        text x="0" y=(top + 14.0) { (name) }
        line x1=(from) x2=(at(spread.p99)) y1=(top + 10.0) y2=(top + 10.0) stroke=(colour) stroke-width="2" {}
        rect x=(from) y=(top + 2.0) width=((to - from).max(2.0)) height="16" fill=(colour) fill-opacity="0.35" stroke=(colour) {}
        line x1=(middle) x2=(middle) y1=(top) y2=(top + 20.0) stroke=(colour) stroke-width="3" {}
        circle cx=(at(spread.max)) cy=(top + 10.0) r="3" fill=(colour) {}
        text x=((at(spread.p99) + 8.0).min(WIDTH - 90.0)) y=(top + 6.0) { (short(amount.value)) " ms" }
    }
}

fn short(value: f64) -> String {
    if value < 1.0 { format!("{value:.3}") } else { format!("{value:.1}") }
}

/// Every splat of a judged kernel, folded.
fn splats(report: &Report) -> Markup {
    let cells: Vec<&CellReport> = report.cells.iter().filter(|cell| !cell.splats.is_empty()).collect();
    html! {
        @if !cells.is_empty() {
            section {
                h2 { "What the kernels said" }
                @for cell in cells {
                    h3 { (cell.id) ": " (cell.splats_total) }
                    @for splat in &cell.splats {
                        details {
                            summary {
                                (splat.headline)
                                @if let Some(place) = &splat.location { " at " code { (place) } }
                            }
                            pre { (splat.text.join("\n")) }
                        }
                    }
                }
            }
        }
    }
}

/// Bugs that were planted, and what became of them.
fn controls(report: &Report) -> Markup {
    html! {
        @if !report.controls.is_empty() {
            section {
                h2 { "Planted bugs" }
                div class="wide" {
                    table {
                        thead { tr { th { "bug" } th { "what it does" } th { "caught" } th { "by" } } }
                        tbody {
                            @for control in &report.controls {
                                tr {
                                    td { (control.variant) ": " (control.name) }
                                    td { (control.plants) }
                                    td class=(if control.caught { "good" } else { "bad" }) {
                                        (if control.caught { "yes" } else { "no" })
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
}

/// What each cell took, on one scale.
fn times(report: &Report) -> Markup {
    let parts = |cell: &CellReport| {
        [("build", cell.build_secs), ("boot", cell.boot_secs), ("test", cell.test_secs)]
            .map(|(what, secs)| (what, secs.unwrap_or_default()))
    };
    let sum = |cell: &CellReport| parts(cell).iter().fold(0.0, |sum, (_, secs)| sum + secs);
    let longest = report.cells.iter().map(sum).fold(1.0, f64::max);
    html! {
        section {
            h2 { "Time" }
            p class="quiet" { "Build, boot and tests of each cell; cells overlap, and a kernel from the cache has no build." }
            div class="wide" {
                table {
                    tbody {
                        @for cell in &report.cells {
                            tr {
                                td style="width:45%" {
                                    (cell.id)
                                    @if let Some(date) = &cell.recorded { " (recorded on " (date) ")" }
                                }
                                td {
                                    div class="bar" {
                                        @for (what, secs) in parts(cell) {
                                            span class=(what) title=(format!("{what} {secs:.1} s"))
                                                style=(format!("width:{:.1}%", secs / longest * 100.0)) {}
                                        }
                                    }
                                }
                                td class="number" { (format!("{:.0} s", sum(cell))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn repeat(report: &Report, run_dir: &str) -> Markup {
    html! {
        section {
            h2 { "To repeat it" }
            p { "Below " code { (run_dir) } ":" }
            ul {
                @for cell in report.cells.iter().filter(|cell| !cell.kept.is_empty()) {
                    li { (cell.id) ": " code { (format!("{}/{}", cell.dir, cell.kept.join(", "))) } }
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
