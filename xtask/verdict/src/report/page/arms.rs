//! What the guest tests did on both arms, side by side: a row for each number. Part of the page.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::super::{PairReport, Report, ScenarioReport};

/// Tests of a pair that are shown unfolded.
const TESTS_UNFOLDED: usize = 24;

/// What was counted in one test on one arm, by what it is, in the order of the report.
type Numbers<'a> = Vec<(&'a str, u64)>;

pub fn render(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Both arms" }
            @for pair in &report.pairs {
                h3 { (pair.name()) }
                (tests(report, pair))
                (list("ended differently", &pair.differences))
                (list("failures that were forced", &pair.failures))
            }
        }
    }
}

/// The sum of all tests, and each test.
fn tests(report: &Report, pair: &PairReport) -> Markup {
    let names = report.test_names(pair);
    let of = |arm: &str| -> BTreeMap<&str, &ScenarioReport> {
        report.scenarios(pair, arm).iter().map(|ran| (ran.name.as_str(), ran)).collect()
    };
    let (base, patched) = (of("base"), of(&pair.arm));
    let both: Vec<&str> =
        names.into_iter().filter(|name| base.contains_key(name) || patched.contains_key(name)).collect();
    let rows = html! {
        @for name in &both {
            (rows(name, base.get(name).map(|ran| numbers(report, ran)), patched.get(name).map(|ran| numbers(report, ran))))
        }
    };
    let many = both.len() > TESTS_UNFOLDED;
    html! {
        table class="counts" {
            thead { tr { th { "guest test" } th class="number" { "base" } th class="number" { (pair.arm) } } }
            @if both.len() > 1 {
                (rows_of(&format!("all {} tests", both.len()), Some(&total(report, &base)), Some(&total(report, &patched))))
            }
            @if !many { (rows) }
        }
        @if many {
            details {
                summary { "each of the " (both.len()) " tests" }
                table class="counts" {
                    thead { tr { th { "guest test" } th class="number" { "base" } th class="number" { (pair.arm) } } }
                    (rows)
                }
            }
        }
    }
}

/// What all tests of an arm counted together.
fn total<'a>(report: &'a Report, arm: &BTreeMap<&str, &'a ScenarioReport>) -> Numbers<'a> {
    let mut sum: Numbers<'a> = Vec::new();
    for (what, number) in arm.values().flat_map(|ran| numbers(report, ran)) {
        add(&mut sum, what, number);
    }
    sum
}

fn add<'a>(sum: &mut Numbers<'a>, what: &'a str, number: u64) {
    match sum.iter_mut().find(|(there, _)| *there == what) {
        Some((_, total)) => *total = total.saturating_add(number),
        None => sum.push((what, number)),
    }
}

/// What a test counted, with the words of the subject.
fn numbers<'a>(report: &'a Report, ran: &'a ScenarioReport) -> Numbers<'a> {
    let subject = &report.subject;
    let mut numbers = vec![("failures forced", ran.injected), ("operations", ran.operations)];
    for (name, count) in &ran.counts.0 {
        let event = subject.events.iter().find(|event| event.name == *name);
        numbers.push((event.map_or(name.as_str(), |event| event.title.as_str()), *count));
    }
    for (name, rise) in &ran.rises {
        let counter = subject.counters.iter().find(|counter| counter.name == *name);
        numbers.push((counter.map_or(name.as_str(), |counter| counter.title.as_str()), *rise));
    }
    numbers.extend(ran.done.iter().map(|done| (done.what.as_str(), done.count)));
    numbers.push(("splats", ran.splats));
    numbers
}

fn rows(name: &str, base: Option<Numbers<'_>>, patched: Option<Numbers<'_>>) -> Markup {
    rows_of(name, base.as_ref(), patched.as_ref())
}

/// One test, without what is 0 on both arms.
fn rows_of(name: &str, base: Option<&Numbers<'_>>, patched: Option<&Numbers<'_>>) -> Markup {
    let mut whats: Vec<&str> = Vec::new();
    for (what, _) in base.into_iter().chain(patched).flatten().filter(|(_, number)| *number > 0) {
        if !whats.contains(what) {
            whats.push(what);
        }
    }
    let number = |arm: Option<&Numbers<'_>>, what: &str| {
        arm.map(|numbers| numbers.iter().find(|(there, _)| *there == what).map_or(0, |(_, number)| *number))
    };
    let shown = |number: Option<u64>| number.map_or("not run".to_owned(), |number| number.to_string());
    html! {
        tbody {
            tr class="one" { th colspan="3" scope="rowgroup" { (name) } }
            @if whats.is_empty() {
                tr {
                    td { "nothing counted" }
                    td class="number" { (if base.is_some() { "0" } else { "not run" }) }
                    td class="number" { (if patched.is_some() { "0" } else { "not run" }) }
                }
            }
            @for what in whats {
                @let (before, after) = (number(base, what), number(patched, what));
                tr class=[(before != after).then_some("differs")] {
                    td { (what) }
                    td class="number" { (shown(before)) }
                    td class="number" { (shown(after)) }
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
