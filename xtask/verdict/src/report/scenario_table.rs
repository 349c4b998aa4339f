//! The guest tests by variant: what each forced, and what the kernel then did on both arms. Part of the details.

use super::{PairReport, Report, ScenarioReport, layout};

/// Variants in one table: more do not fit a line.
const VARIANTS_BESIDE: usize = 2;

const NOT_APPLICABLE: &str = "n/a";

/// The lines of the tables, why tests do not apply, and what else went on.
pub fn render(report: &Report) -> Vec<String> {
    let pairs: Vec<&PairReport> = report.main_pairs().collect();
    let mut parts: Vec<Vec<String>> =
        pairs.chunks(VARIANTS_BESIDE).map(|pairs| beside(report, pairs)).collect();
    parts.push(pairs.iter().flat_map(|pair| not_applicable(report, pair)).collect());
    parts.push(pairs.iter().flat_map(|pair| beside_the_failures(report, pair)).collect());
    parts.retain(|part| !part.is_empty());
    parts.join(&String::new())
}

fn beside(report: &Report, pairs: &[&PairReport]) -> Vec<String> {
    let rows = names(report, pairs).into_iter().map(|name| {
        let cells = pairs.iter().map(|pair| what_happened(report, pair, name));
        std::iter::once(name.to_owned()).chain(cells).collect()
    });
    // Why a test does not apply is said below.
    let applies = |row: &Vec<String>| row.iter().skip(1).any(|cell| cell != NOT_APPLICABLE);
    let rows: Vec<Vec<String>> = rows.filter(applies).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let variants = pairs.iter().map(|pair| format!("{}\nfailures: base -> patched", report.place(pair)));
    let header: Vec<String> = std::iter::once("guest test".to_owned()).chain(variants).collect();
    layout::table(&header.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
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
fn not_applicable(report: &Report, pair: &PairReport) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for not in &pair.not_applicable {
        match reasons.iter_mut().find(|(why, _)| *why == not.why) {
            Some((_, names)) => names.push(&not.scenario),
            None => reasons.push((&not.why, vec![&not.scenario])),
        }
    }
    let place = report.place(pair);
    reasons.into_iter().map(|(why, names)| format!("n/a on {place}: {}: {why}", names.join(", "))).collect()
}

/// What else went on while failures were injected in the patched kernel: the base's numbers are in the JSON.
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
        return NOT_APPLICABLE.to_owned();
    }
    let of = |arm: &str| report.scenarios(pair, arm).iter().find(|ran| ran.name == name);
    let (base, patched) = (of("base"), of("patched"));
    let Some(either) = patched.or(base) else { return "NOT MEASURED".to_owned() };
    let did = format!("{} -> {}", did(report, base), did(report, patched));
    let injected = on_arms([base, patched].map(|ran| Some(ran?.injected)));
    if either.own_counts {
        did
    } else if either.exact {
        format!("{injected}: {did}")
    } else if either.operations > 0 {
        let operations = on_arms([base, patched].map(|ran| Some(ran?.operations)));
        format!("{operations} operations, nothing forced: {did}")
    } else if injected == "0" {
        format!("nothing injected, it happened by itself: {did}")
    } else {
        let reached = on_arms([
            reached(report, &pair.expect_base, base),
            reached(report, &pair.expect_patched, patched),
        ]);
        format!("{injected} failures in all, {reached} of them led to it: {did}")
    }
}

/// A number of both arms: once where it is the same.
fn on_arms(of: [Option<u64>; 2]) -> String {
    match of {
        [Some(base), Some(patched)] if base != patched => format!("{base} and {patched}"),
        [base, patched] => patched.or(base).unwrap_or_default().to_string(),
    }
}

/// How often the outcome that an arm has to show was reached.
fn reached(report: &Report, outcome: &Option<String>, ran: Option<&ScenarioReport>) -> Option<u64> {
    Some(report.subject.outcome(outcome.as_ref()?)?.reached(&ran?.counts))
}

/// What the kernel did, in a few words.
fn did(report: &Report, scenario: Option<&ScenarioReport>) -> String {
    let Some(scenario) = scenario else { return "NOT MEASURED".to_owned() };
    if scenario.own_counts {
        let counts = scenario.done.iter().map(|done| format!("{} {}", done.count, done.what));
        return counts.collect::<Vec<_>>().join(" + ");
    }
    let shown = report.subject.events.iter().filter(|event| event.shown);
    let words = shown.filter_map(|event| match scenario.counts.get(&event.name) {
        0 => None,
        count => Some(format!("{count} {}", event.name)),
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(" + ") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use protocol::Counts;

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
        assert!(!text.lines().any(|line| line.starts_with("ldt")), "{text}");
        // Next to a variant to which it applies it has a row.
        let other = PairReport { variant: "v".to_owned(), ..report.pairs[0].clone() };
        report.pairs.push(PairReport { not_applicable: Vec::new(), ..other });
        let text = render(&report).join("\n");
        assert!(text.lines().any(|line| line.starts_with("ldt  ") && line.contains("n/a")), "{text}");
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

    /// The one row of a report whose test did not demand so many failures exactly.
    fn row(base: (u64, u64), patched: (u64, u64), operations: u64) -> String {
        let mut report = fixture::report(Verdict::Pass, &[]);
        for (cell, (injected, count)) in report.cells.iter_mut().zip([base, patched]) {
            let ran = &mut cell.scenarios[0];
            (ran.exact, ran.injected, ran.operations) = (false, injected, operations);
            ran.counts =
                Counts(ran.counts.0.keys().map(|name| (name.clone(), count)).collect::<BTreeMap<_, _>>());
        }
        what_happened(&report, &report.pairs[0], "munmap")
    }

    #[test]
    fn row_whose_failures_and_outcomes_need_not_agree_says_so() {
        assert_eq!(row((93, 3), (93, 3), 0), "93 failures in all, 3 of them led to it: 3 send -> 3 wait");
        assert_eq!(
            row((93, 3), (96, 4), 0),
            "93 and 96 failures in all, 3 and 4 of them led to it: 3 send -> 4 wait"
        );
        assert_eq!(row((0, 67), (0, 66), 0), "nothing injected, it happened by itself: 67 send -> 66 wait");
        assert_eq!(row((0, 10), (0, 10), 10), "10 operations, nothing forced: 10 send -> 10 wait");
    }
}
