//! The questions about the patch and their answers, each from what the report holds. Lines of one answer are told apart
//! by line ends. Decides nothing: the verdict is the judge's.

use protocol::sum;

use super::effect::{Effect, Unit};
use super::{
    CellReport, LeftOutReport, PairReport, PatchReport, Report, ScenarioReport, SensitiveReport, layout,
    marked,
};
use crate::subject::{PerEach, Question, Takes};

/// A line or more for each question.
pub fn render(report: &Report) -> Vec<String> {
    let rows: Vec<Vec<String>> = questions(report).into_iter().map(Vec::from).collect();
    layout::table(&[], &rows)
}

/// Each with its answer.
pub fn questions(report: &Report) -> Vec<[String; 2]> {
    let mut questions = vec![
        ("Does it apply as posted?", applies(report)),
        ("Does it build?", builds(report)),
        ("Does it sleep where it must not?", sleeps(report)),
    ];
    let executed =
        |reach| lines_or([Some(marked::summary(reach)), marked::untried(reach)].into_iter().flatten(), "");
    questions.extend(report.reach.values().map(|reach| ("Is what it changes executed?", executed(reach))));
    questions.extend(differs(report).map(|answer| ("Does anything end differently?", answer)));
    questions.extend(look_at(report).map(|answer| ("What should a reviewer look at?", answer)));
    if own_counts(report).next().is_some() {
        questions.push(("Does it do what it should?", does(report)));
    }
    // Where no failure leads to anything these have no answer.
    if report.pairs.iter().any(|pair| pair.expect_base.is_some()) {
        let asked = report.subject.questions.iter();
        questions.extend(asked.map(|question| (question.ask.as_str(), answer(report, question))));
    }
    questions.extend(fails_sometimes(report).map(|answer| ("Does it fail only sometimes?", answer)));
    questions.extend(missing_hunks(report).map(|answer| ("What notices a missing hunk?", answer)));
    questions.into_iter().map(|(question, answer)| [question.to_owned(), answer]).collect()
}

/// To a question of the subject's.
fn answer(report: &Report, question: &Question) -> String {
    match (question.takes, &question.stops) {
        (Some(Takes::Outcome), _) => takes_outcome(report),
        (None, Some(event)) => stops(report, event, question.beside.as_deref()),
        (None, None) => costs(report),
    }
}

/// Of runs that compare workloads, how many of their results are not those of the base.
fn differs(report: &Report) -> Option<String> {
    if report.reach.is_empty() {
        return None;
    }
    let count = report.main_pairs().map(|pair| pair.differences.len()).fold(0, usize::saturating_add);
    let first = report.main_pairs().flat_map(|pair| &pair.differences).next();
    Some(match (count, first) {
        (1, Some(first)) => first.clone(),
        (_, Some(first)) => format!("{count} results, in report.txt; the first: {first}"),
        (_, None) => "no result of any workload".to_owned(),
    })
}

/// A kernel that lies can fake every result from inside: which files of the patch could make it.
fn look_at(report: &Report) -> Option<String> {
    let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
    for SensitiveReport { path, why } in report.trees.iter().flat_map(|tree| &tree.sensitive) {
        match by_reason.iter_mut().find(|(known, _)| known == why) {
            Some((_, paths)) if paths.contains(&path.as_str()) => {}
            Some((_, paths)) => paths.push(path),
            None => by_reason.push((why, vec![path])),
        }
    }
    let each = by_reason.iter().map(|(why, paths)| format!("{why}: {}", paths.join(", ")));
    let all: Vec<String> = each.collect();
    (!all.is_empty()).then(|| format!("{}; the verdict rests on it (docs/security.md)", all.join("; ")))
}

/// The patched kernels' scenarios whose own counts say what the patch does.
fn own_counts(report: &Report) -> impl Iterator<Item = &ScenarioReport> {
    patched(report).flat_map(|cell| &cell.scenarios).filter(|scenario| scenario.own_counts)
}

/// The verdict has held them against what the campaign says; here they are.
fn does(report: &Report) -> String {
    let good = report.main_pairs().all(|pair| pair.verdict.is_good());
    let each = own_counts(report)
        .map(|scenario| format!("{} (base -> patched): {}", scenario.name, scenario.demands));
    let asked = lines_or(each, "nothing was counted");
    if good { format!("yes: {asked}") } else { format!("NOT SHOWN: asked for {asked}") }
}

fn applies(report: &Report) -> String {
    let files = &report.patch.files;
    if files.is_empty() {
        return "not known: the run ended before it was tried".to_owned();
    }
    let answer = |patch: &PatchReport| match patch.repaired {
        true => format!("no: {}, damaged; repaired and proved: {}", patch.form, patch.proof()),
        false => format!("yes: {}", patch.proof()),
    };
    match report.trees.as_slice() {
        [] | [_] => answer(&report.patch),
        trees => lines_or(trees.iter().map(|tree| format!("{} ({})", answer(&tree.patch), tree.name)), ""),
    }
}

fn patched(report: &Report) -> impl Iterator<Item = &CellReport> {
    report.cells.iter().filter(|cell| cell.arm == "patched")
}

fn builds(report: &Report) -> String {
    let cells: Vec<_> = patched(report).collect();
    let built = cells.iter().filter(|cell| cell.built).count();
    let warnings = cells.iter().flat_map(|cell| &cell.warnings).count();
    format!(
        "{}: {built} of {} patched kernels; warnings in the files it changes: {warnings}",
        yes(built == cells.len() && built > 0),
        cells.len()
    )
}

fn sleeps(report: &Report) -> String {
    let ran: Vec<_> = patched(report).filter(|cell| cell.tainted.is_some()).collect();
    let splats = sum(patched(report).map(|cell| cell.splats_total));
    let caught = report.controls.iter().filter(|control| control.caught).count();
    let detector = format!("planted bugs caught: {caught} of {}", report.controls.len());
    match (ran.is_empty(), splats) {
        (true, 0) => "not known: no patched kernel came to its end".to_owned(),
        (false, 0) => format!("no splat in {} patched kernels; {detector}", ran.len()),
        (_, splats) => format!("TROUBLE: splats seen: {splats}; {detector}"),
    }
}

/// Where the patch changes what a failure leads to.
fn changed(report: &Report) -> impl Iterator<Item = &PairReport> {
    report.main_pairs().filter(|pair| pair.changed())
}

/// Those in which every failure leads once to the outcome, so that counts can be held against failures.
fn exact<'a>(report: &'a Report, pair: &PairReport, arm: &str) -> impl Iterator<Item = &'a ScenarioReport> {
    report.scenarios(pair, arm).iter().filter(|scenario| scenario.exact)
}

fn total<'a>(
    scenarios: impl Iterator<Item = &'a ScenarioReport>,
    of: impl Fn(&ScenarioReport) -> u64,
) -> u64 {
    sum(scenarios.map(of))
}

fn takes_outcome(report: &Report) -> String {
    let each = changed(report).map(|pair| {
        let outcome = report.patched_outcome(pair);
        let injected = total(exact(report, pair, "patched"), |s| s.injected);
        let mut all = injected > 0;
        let mut words = vec![format!("{injected} failures injected")];
        for event in report.subject.events.iter().filter(|event| event.shown) {
            let each = outcome.and_then(|outcome| outcome.each.get(&event.name));
            let Some(PerEach::Times(times)) = each else { continue };
            let took = total(exact(report, pair, "patched"), |s| s.counts.get(&event.name));
            all &= took == injected.saturating_mul(*times);
            words.push(format!("{took} {}", event.title));
        }
        // An outcome without an event that is shown has no answer.
        all &= words.len() > 1;
        format!("{}: {} ({})", yes(all), words.join(", "), report.place(pair))
    });
    lines_or(each, "not known: no variant in this run compiles it")
}

fn stops(report: &Report, event: &str, beside: Option<&str>) -> String {
    let known = report.subject.events.iter().find(|known| known.name == event);
    let title = known.map_or(event, |event| event.title.as_str());
    let counter = report.subject.counters.iter().find(|counter| Some(counter.name.as_str()) == beside);
    let each = changed(report).map(|pair| {
        let happened = |arm| total(exact(report, pair, arm), |s| s.counts.get(event));
        let (before, after) = (happened("base"), happened("patched"));
        let injected = total(exact(report, pair, "patched"), |s| s.injected);
        let stopped = injected > 0 && before > 0 && after == 0;
        // Not every architecture has the counter.
        let counted = |name: &str| exact(report, pair, "base").any(|s| s.rises.contains_key(name));
        let others = counter.filter(|counter| counted(&counter.name)).map(|counter| {
            let rise = |s: &ScenarioReport| s.rises.get(&counter.name).copied().unwrap_or_default();
            let all = |arm| total(exact(report, pair, arm), rise);
            format!("; {} {} -> {}", counter.title, all("base"), all("patched"))
        });
        format!(
            "{}: {before} {title} on base, {after} patched{} ({})",
            yes(stopped),
            others.unwrap_or_default(),
            report.place(pair)
        )
    });
    lines_or(each, "not known: in no variant of this run does the patch change what a failure leads to")
}

fn costs(report: &Report) -> String {
    let several = changed(report).count() > 1;
    let each = changed(report).flat_map(|pair| {
        let place = if several { format!(", {}", report.place(pair)) } else { String::new() };
        let effects = report.effects.iter().filter(|effect| effect.is_of(pair));
        effects.filter_map(move |effect| price(report, effect, &place))
    });
    lines_or(each, "not measured")
}

/// The time that a failure adds. What keeps it from being a time of real hardware comes right after it, so that both are on
/// one line. None if the effect is not a price.
fn price(report: &Report, effect: &Effect, place: &str) -> Option<String> {
    let Effect { scenario, base, patched, .. } = effect;
    let (before, after) = (base.value, patched.value);
    let added = after - before;
    let sign = if added < 0.0 { "" } else { "+" };
    let tcg = report.accels.iter().any(|accel| accel.arch == effect.arch && accel.name == "tcg");
    let emulated = if tcg { ", emulated" } else { "" };
    let busy = if effect.is_quotable() { "" } else { ", host busy with something else" };
    let (failure, unit) = (&report.subject.failure, &report.subject.unit);
    match effect.unit {
        Unit::Milliseconds if effect.is_price() && !effect.is_quotable() => {
            Some(format!("{scenario}: not known, the host was busy with something else{place}"))
        }
        Unit::Milliseconds if effect.is_price() => {
            let samples = patched.samples;
            Some(format!(
                "{sign}{added:.2} ms per {failure}{emulated}{place} ({before:.2} -> {after:.2} ms, median of {samples})"
            ))
        }
        Unit::MillisecondsEach if effect.forced => {
            let hung = if after > 0.0 {
                format!(", so that {:.0} {unit}s reach the 120 s of a hung task", 120_000.0 / after)
            } else {
                String::new()
            };
            Some(format!(
                "{sign}{added:.2} ms per {unit}{emulated}{busy}{place} ({before:.2} -> {after:.2} ms){hung}"
            ))
        }
        Unit::Milliseconds | Unit::MillisecondsEach | Unit::PerFailure => None,
    }
}

/// With `--repeat`.
fn fails_sometimes(report: &Report) -> Option<String> {
    let each = report.cells.iter().filter_map(|cell| {
        let place = report.name_of(&cell.tree, &cell.arch, &cell.variant);
        Some(format!("{place}, {}: {}", cell.arm, cell.repetition.as_ref()?))
    });
    let each: Vec<String> = each.collect();
    (!each.is_empty()).then(|| each.join("\n"))
}

/// With `--without-hunk`.
fn missing_hunks(report: &Report) -> Option<String> {
    let each = report.left_out.iter().map(|left_out| {
        let LeftOutReport { tree, arch, variant, hunk, place, by, noticed: _ } = left_out;
        format!("hunk {hunk} ({place}), {}: {by}", report.name_of(tree, arch, variant))
    });
    let each: Vec<String> = each.collect();
    (!each.is_empty()).then(|| each.join("\n"))
}

fn yes(so: bool) -> &'static str {
    if so { "yes" } else { "NO" }
}

fn lines_or(lines: impl Iterator<Item = String>, otherwise: &str) -> String {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() { otherwise.to_owned() } else { lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::judge::Verdict;

    #[test]
    fn price_is_on_one_line_with_its_caveat() {
        let mut report = fixture::report(Verdict::Pass, &[]);
        let price = "+10.60 ms per slow way, emulated (0.30 -> 10.90 ms, median of 300)";
        assert_eq!(costs(&report), price);
        assert!(render(&report).iter().any(|line| line.ends_with(price)), "{:?}", render(&report));
        report.accels[0].name = "kvm".to_owned();
        assert_eq!(costs(&report), "+10.60 ms per slow way (0.30 -> 10.90 ms, median of 300)");
    }

    #[test]
    fn price_measured_on_a_busy_host_is_not_given() {
        let mut report = fixture::report(Verdict::Pass, &[]);
        report.effects[0].exclusive = false;
        assert_eq!(costs(&report), "latency: not known, the host was busy with something else");
        report.effects.clear();
        assert_eq!(costs(&report), "not measured");
    }

    #[test]
    fn every_tree_has_a_line_of_its_own() {
        let mut report = fixture::report(Verdict::Pass, &[]);
        report.trees[0].patch = report.patch.clone();
        report.trees.push(report.trees[0].clone());
        assert_eq!(applies(&report).lines().count(), 2);
    }
}
