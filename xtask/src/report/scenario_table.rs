//! The guest tests by variant: what each forced, and what the kernel then did on both arms. Part of the text for
//! people.

use comfy_table::{Table, presets};

use super::{PairReport, Report, ScenarioReport};

/// More columns than this do not fit a terminal.
const VARIANTS_BESIDE: usize = 3;

/// The lines of the table, and why tests do not apply.
pub fn render(report: &Report) -> Vec<String> {
    let pairs: Vec<&PairReport> = report.main_pairs().collect();
    pairs.chunks(VARIANTS_BESIDE).flat_map(|pairs| beside(report, pairs)).collect()
}

fn beside(report: &Report, pairs: &[&PairReport]) -> Vec<String> {
    let names = names(report, pairs);
    if names.is_empty() {
        return Vec::new();
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let variants = pairs.iter().map(|pair| format!("{}: failures, base -> patched", report.place(pair)));
    table.set_header(std::iter::once("guest test".to_owned()).chain(variants));
    for name in names {
        let row = pairs.iter().map(|pair| what_happened(report, pair, name));
        table.add_row(std::iter::once(name.to_owned()).chain(row));
    }
    let mut lines: Vec<String> = table.to_string().lines().map(|row| row.trim_end().to_owned()).collect();
    for pair in pairs {
        for reason in reasons(pair) {
            lines.push(format!("n/a on {}: {reason}", report.place(pair)));
        }
    }
    lines.extend(pairs.iter().flat_map(|pair| beside_the_failures(report, pair)));
    lines.push(String::new());
    lines
}

/// Every scenario of these pairs, in the order of the campaign as far as the pairs have it.
fn names<'a>(report: &'a Report, pairs: &[&'a PairReport]) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    let mut add = |name: &'a str| {
        if !names.contains(&name) {
            names.push(name);
        }
    };
    for pair in pairs {
        for arm in ["patched", "base"] {
            report
                .cell(pair, arm)
                .into_iter()
                .flat_map(|cell| &cell.scenarios)
                .for_each(|ran| add(&ran.name));
        }
    }
    for pair in pairs {
        pair.not_applicable.iter().for_each(|not| add(&not.scenario));
    }
    names
}

/// One line per reason, with the tests that it is the reason for.
fn reasons(pair: &PairReport) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for not in &pair.not_applicable {
        match reasons.iter_mut().find(|(why, _)| *why == not.why) {
            Some((_, names)) => names.push(&not.scenario),
            None => reasons.push((&not.why, vec![&not.scenario])),
        }
    }
    reasons.into_iter().map(|(why, names)| format!("{}: {why}", names.join(", "))).collect()
}

/// What else went on while allocations failed in the patched kernel: the base's numbers are in the JSON.
fn beside_the_failures(report: &Report, pair: &PairReport) -> Vec<String> {
    let scenarios = report.cell(pair, "patched").into_iter().flat_map(|cell| &cell.scenarios);
    scenarios
        .filter(|ran| !ran.done.is_empty() && !ran.own_counts)
        .map(|ran| {
            let done: Vec<String> =
                ran.done.iter().map(|done| format!("{} {}", done.count, done.what)).collect();
            format!("{} on {}, patched: {}", ran.name, report.place(pair), done.join(", "))
        })
        .collect()
}

fn what_happened(report: &Report, pair: &PairReport, name: &str) -> String {
    if pair.not_applicable.iter().any(|not| not.scenario == name) {
        return "n/a".to_owned();
    }
    let of = |arm: &str| {
        report.cell(pair, arm).and_then(|cell| cell.scenarios.iter().find(|ran| ran.name == name))
    };
    match (of("base"), of("patched")) {
        (None, None) => "NOT MEASURED".to_owned(),
        (base, patched) => {
            let forced = patched.or(base).map_or(0, |ran| ran.injected);
            let own = patched.or(base).is_some_and(|ran| ran.own_counts);
            let failures = if own { String::new() } else { format!("{forced}: ") };
            format!("{failures}{} -> {}", did(report, base), did(report, patched))
        }
    }
}

/// What the kernel did, in a few words.
fn did(report: &Report, scenario: Option<&ScenarioReport>) -> String {
    let Some(scenario) = scenario else { return "NOT MEASURED".to_owned() };
    if scenario.own_counts {
        let counts = scenario.done.iter().map(|done| format!("{} {}", done.count, done.what));
        return counts.collect::<Vec<_>>().join(" + ");
    }
    let kept = if scenario.operations > 0 { "kept " } else { "" };
    let shown = report.subject.events.iter().filter(|event| event.shown);
    let words = shown.filter_map(|event| match scenario.counts.get(&event.name) {
        0 => None,
        count => Some(format!("{count} {kept}{}", event.name)),
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(" + ") }
}

#[cfg(test)]
mod tests {
    use super::super::{NotApplicable, fixture};
    use super::*;
    use crate::judge::Verdict;

    #[test]
    fn a_test_that_does_not_apply_says_why_and_is_not_counted_as_run() {
        let mut report = fixture::report(Verdict::Pass, &[]);
        let not = |scenario: &str| NotApplicable { scenario: scenario.to_owned(), why: "no PTI".to_owned() };
        report.pairs[0].not_applicable = vec![not("ldt"), not("ldt-2")];
        let text = render(&report).join("\n");
        assert!(text.contains("n/a on pt-reclaim-off: ldt, ldt-2: no PTI"), "{text}");
        assert!(
            text.lines().any(|line| line.trim_start().starts_with("ldt ") && line.ends_with("n/a")),
            "{text}"
        );
    }

    #[test]
    fn what_else_went_on_is_told_with_its_counts() {
        let mut report = fixture::report(Verdict::Pass, &[]);
        let done = protocol::Done { what: "hotplug cycles".to_owned(), count: 38 };
        report.cells[1].scenarios[0].done = vec![done];
        let text = render(&report).join("\n");
        assert!(text.contains("munmap on pt-reclaim-off, patched: 38 hotplug cycles"), "{text}");
    }

    #[test]
    fn what_was_not_measured_is_shouted() {
        let mut report = fixture::report(Verdict::Infra, &[]);
        report.cells[0].scenarios.clear();
        let text = render(&report).join("\n");
        assert!(text.contains("200: NOT MEASURED -> 200 wait"), "{text}");
    }
}
