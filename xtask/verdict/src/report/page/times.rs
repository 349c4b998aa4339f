//! Times, drawn with boxes of the page alone, so that their text has the size of all other text on every screen: how long
//! operations took on both arms, and the time line of the run. Part of the page.

use maud::{Markup, html};

use super::super::effect::{Amount, Effect, Spread, Unit};
use super::super::{CellReport, Report};

/// Times of both arms, drawn, with what they are worth.
pub fn distributions(report: &Report) -> Markup {
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
                    "number is the median, the scale is logarithmic. "
                    @if report.accels.iter().any(|accel| accel.name == "tcg") {
                        "The guests were emulated (TCG): a time of one arm means something only next to that of the other."
                    }
                }
                @for effect in timed { (boxes(effect)) }
            }
        }
    }
}

fn boxes(effect: &Effect) -> Markup {
    let arms = [("base", &effect.base), ("patched", &effect.patched)];
    let spreads: Vec<&Spread> = arms.iter().filter_map(|(_, amount)| amount.spread.as_ref()).collect();
    let least = spreads.iter().map(|spread| spread.p25).fold(f64::MAX, f64::min).max(1e-6);
    let most = spreads.iter().map(|spread| spread.max).fold(least * 2.0, f64::max);
    let at = |value: f64| (value.max(least) / least).ln() / (most / least).ln() * 100.0;
    html! {
        figure {
            figcaption {
                (effect.variant) ", " (effect.scenario) ": " (effect.what) ", "
                (format!("{} and {} samples", effect.base.samples, effect.patched.samples))
                @if !effect.is_quotable() { " (the host was busy: not to be quoted)" }
            }
            @for (name, amount) in arms { (one_box(name, amount, &at)) }
        }
    }
}

fn one_box(name: &str, amount: &Amount, at: &dyn Fn(f64) -> f64) -> Markup {
    let Some(spread) = &amount.spread else { return html! {} };
    let (from, to) = (at(spread.p25), at(spread.p75));
    let place = |from: f64, to: f64| format!("left:{from:.2}%;width:{:.2}%", (to - from).max(0.5));
    html! {
        div class="times" {
            span { (name) }
            div class=(format!("track {name}")) {
                span class="whisker" style=(place(from, at(spread.p99))) {}
                span class="box" style=(place(from, to)) {}
                span class="median" style=(format!("left:{:.2}%", at(amount.value))) {}
                span class="longest" style=(format!("left:{:.2}%", at(spread.max))) {}
            }
            span class="number" { (short(amount.value)) " ms" }
        }
    }
}

fn short(value: f64) -> String {
    if value < 1.0 { format!("{value:.3}") } else { format!("{value:.1}") }
}

/// A stretch of the time line.
struct Stretch {
    what: &'static str,
    from: f64,
    secs: f64,
}

/// What of a cell took time in this run, seconds from its start. Reports of an older harness have no starts: their stretches
/// follow each other from 0.
fn stretches(cell: &CellReport, known: bool) -> Vec<Stretch> {
    let mut found = Vec::new();
    let mut end = 0.0;
    let mut add = |what, start: Option<f64>, secs: Option<f64>| {
        let Some(secs) = secs else { return };
        let from = start.unwrap_or(end);
        found.push(Stretch { what, from, secs });
        end = from + secs;
    };
    if !known || cell.build_start_secs.is_some() {
        add("build", cell.build_start_secs, cell.build_secs);
    }
    // What was on record took its time in another run.
    if cell.recorded.is_none() && (!known || cell.boot_start_secs.is_some()) {
        add("boot", cell.boot_start_secs, cell.boot_secs);
        add("test", None, cell.test_secs);
    }
    found
}

/// The time line of the run: build, boot and tests of each cell, in the order in which they began.
pub fn line(report: &Report) -> Markup {
    let known = report.cells.iter().any(|cell| cell.build_start_secs.or(cell.boot_start_secs).is_some());
    let mut rows: Vec<(&CellReport, Vec<Stretch>)> =
        report.cells.iter().map(|cell| (cell, stretches(cell, known))).collect();
    let start = |row: &(&CellReport, Vec<Stretch>)| row.1.first().map_or(f64::MAX, |first| first.from);
    rows.sort_by(|one, other| start(one).total_cmp(&start(other)));
    let ends = rows.iter().flat_map(|(_, found)| found).map(|stretch| stretch.from + stretch.secs);
    let whole = if known { report.wall_secs } else { 1.0 };
    let whole = ends.fold(whole.max(1.0), f64::max);
    html! {
        section {
            h2 { "Time" }
            p class="quiet" {
                @if known { "Minutes and seconds from the start of the run. " }
                @else { "When each cell began was not recorded: only how long it took. " }
                "A kernel from the cache has no build."
            }
            p class="quiet" {
                @for what in ["build", "boot", "test"] { span class=(format!("key {what}")) {} (what) " " }
            }
            div class="line" {
                span {}
                div class="scale" { @for quarter in [0.0, 0.25, 0.5, 0.75] { span { (clock(whole * quarter)) } } }
                @for (cell, found) in &rows { (row(cell, found, whole)) }
            }
        }
    }
}

fn row(cell: &CellReport, found: &[Stretch], whole: f64) -> Markup {
    let words: Vec<String> =
        found.iter().map(|stretch| format!("{} {}", stretch.what, took(stretch.secs))).collect();
    html! {
        span {
            (cell.id)
            small class="quiet" {
                @if let Some(date) = &cell.recorded { " recorded on " (date) }
                @else if found.is_empty() { " not run" }
                @else { " " (words.join(", ")) }
            }
        }
        div class="track" {
            @for stretch in found {
                span class=(stretch.what) title=(format!("{} from {} on, {}", stretch.what, clock(stretch.from), took(stretch.secs)))
                    style=(format!("left:{:.2}%;width:{:.2}%", stretch.from / whole * 100.0, stretch.secs / whole * 100.0)) {}
            }
        }
    }
}

/// Minutes and seconds.
fn clock(secs: f64) -> String {
    format!("{:.0}:{:02.0}", (secs / 60.0).floor(), (secs % 60.0).floor())
}

fn took(secs: f64) -> String {
    if secs < 10.0 { format!("{secs:.1} s") } else { format!("{secs:.0} s") }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;
    use crate::judge::Verdict;

    fn spans(report: &Report) -> Vec<String> {
        let page = line(report).into_string();
        let styles = page.split("style=\"").skip(1);
        styles.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn stretch_stands_where_it_began() {
        let mut report = fixture::report(Verdict::Pass, &[]);
        report.wall_secs = 200.0;
        report.cells.truncate(1);
        let expected = ["left:10.50%;width:80.00%", "left:95.00%;width:0.75%", "left:95.75%;width:2.00%"];
        assert_eq!(spans(&report), expected);
        // The kernel from the cache, and a boot from the record.
        report.cells[0].build_start_secs = None;
        assert_eq!(spans(&report), expected[1..]);
        report.cells[0].recorded = Some("2026-01-01".to_owned());
        assert_eq!(spans(&report), [""; 0]);
    }

    #[test]
    fn report_of_an_older_harness_has_lengths_alone() {
        let report = fixture::report(Verdict::Pass, &[]);
        let mut value = serde_json::to_value(&report).unwrap();
        for cell in value["cells"].as_array_mut().unwrap() {
            let fields = cell.as_object_mut().unwrap();
            assert!(
                fields.remove("build_start_secs").is_some() && fields.remove("boot_start_secs").is_some()
            );
        }
        let old: Report = serde_json::from_value(value).unwrap();
        let page = line(&old).into_string();
        assert!(page.contains("was not recorded"), "{page}");
        assert!(spans(&old).iter().filter(|style| style.starts_with("left:0.00%")).count() == 2, "{page}");
    }
}
