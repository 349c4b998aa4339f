//! The report as a person reads it: the questions about the patch answered first, then a row per variant, then
//! whatever went wrong. To be read in ten seconds.

use comfy_table::{Table, presets};
use protocol::sum;

use super::effect::{Effect, Unit};
use super::{
    CellReport, LeftOutReport, PairReport, PatchReport, Report, ScenarioReport, SensitiveReport, Shown,
    TreeReport, effect_table, scenario_table, version_table,
};
use crate::judge::Verdict;
use crate::subject::{PerEach, Question, Takes};
use failure::escape;

/// The whole text; `colour` adds escape sequences to the verdicts and nothing else.
pub fn render(report: &Shown, run_dir: &str, colour: bool) -> String {
    let mut text = String::new();
    let mut line = |words: &str| {
        text.push_str(words);
        text.push('\n');
    };
    line(report.patch.subject.as_deref().unwrap_or(&report.patch.source));
    for note in &report.patch.notes {
        line(&format!("   {note}"));
    }
    for tree in &report.trees {
        line(&format!("on {} ({})", tree.version, tree.origin));
        for remark in remarks(tree) {
            line(&format!("   {remark}"));
        }
    }
    if report.unconfined {
        line("NO SANDBOX: the patch's build code and the guests could do all that you can (--no-sandbox)");
    }
    if report.interrupted {
        line("INTERRUPTED: this report is partial");
    }
    if report.suite.as_deref() == Some("quick") {
        line("QUICK: a first look with few of the guest tests");
    }
    if let Some(words) = recorded(report) {
        line(&words);
    }
    line("");
    for (question, answer) in questions(report) {
        line(&format!("{question:<33} {answer}"));
    }
    line("");
    line(&pairs(report, colour));
    line("");
    for trouble in troubles(report) {
        line(&trouble);
    }
    for row in version_table::render(report).into_iter().chain(code(report)) {
        line(&row);
    }
    for row in scenario_table::render(report) {
        line(&row);
    }
    for row in effect_table::render(report) {
        line(&row);
    }
    for row in planted(report) {
        line(&row);
    }
    for pair in &report.pairs {
        for left_out in &pair.controls_left_out {
            line(&format!("{}, {}: {left_out}", report.place(pair), pair.arm));
        }
    }
    for left_out in &report.left_out {
        let LeftOutReport { variant, hunk, place, by, .. } = left_out;
        line(&format!("without hunk {hunk} ({place}), {variant}: {by}"));
    }
    for cell in &report.cells {
        if let Some(repetition) = &cell.repetition {
            line(&format!("{}: {repetition}", cell.id));
        }
    }
    line("");
    line(&cost(report));
    line(&format!("report, consoles and repro.sh of each cell: {}", escape::line(run_dir)));
    text
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

fn questions(report: &Report) -> Vec<(&str, String)> {
    let mut questions = vec![
        ("Does it apply as posted?", applies(report)),
        ("Does it build?", builds(report)),
        ("Does it sleep where it must not?", sleeps(report)),
    ];
    questions.extend(look_at(report).map(|answer| ("What should a reviewer look at?", answer)));
    if own_counts(report).next().is_some() {
        questions.push(("Does it do what it should?", does(report)));
    }
    // Where no failure leads to anything these have no answer.
    if report.pairs.iter().any(|pair| pair.expect_base.is_some()) {
        let asked = report.subject.questions.iter();
        questions.extend(asked.map(|question| (question.ask.as_str(), answer(report, question))));
    }
    questions
}

/// To a question of the subject's.
fn answer(report: &Report, question: &Question) -> String {
    match (question.takes, &question.stops) {
        (Some(Takes::Outcome), _) => takes_outcome(report),
        (None, Some(event)) => stops(report, event, question.beside.as_deref()),
        (None, None) => costs(report),
    }
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
    let good = report.main_pairs().all(|pair| pair.verdict == Verdict::Pass);
    let each = own_counts(report)
        .map(|scenario| format!("{} (base -> patched): {}", scenario.name, scenario.demands));
    let asked = join_or(each, "nothing was counted");
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
        trees => {
            let each = trees.iter().map(|tree| format!("{} ({})", answer(&tree.patch), tree.name));
            each.collect::<Vec<_>>().join("; ")
        }
    }
}

/// What the compiler made of the files that the patch changes.
fn code(report: &Report) -> Vec<String> {
    let each = report.main_pairs().filter_map(|pair| {
        Some(format!("object code on {}, beside the base: {}", name(pair), pair.code.as_ref()?.describe()))
    });
    each.collect()
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

fn scenarios<'a>(report: &'a Report, pair: &PairReport, arm: &str) -> &'a [ScenarioReport] {
    report.cell(pair, arm).map_or(&[], |cell| &cell.scenarios)
}

/// Those in which every failure leads once to the outcome, so that counts can be held against failures.
fn exact<'a>(report: &'a Report, pair: &PairReport, arm: &str) -> impl Iterator<Item = &'a ScenarioReport> {
    scenarios(report, pair, arm).iter().filter(|scenario| scenario.exact)
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
    join_or(each, "not known: no variant in this run compiles it")
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
    join_or(each, "not known: in no variant of this run does the patch change what a failure leads to")
}

fn costs(report: &Report) -> String {
    let several = changed(report).count() > 1;
    let each = changed(report).flat_map(|pair| {
        let place = if several { format!(" on {}", report.place(pair)) } else { String::new() };
        report
            .effects
            .iter()
            .filter(|effect| effect.is_of(pair))
            .filter_map(move |effect| price(report, effect, &place))
    });
    join_or(each, "not measured")
}

/// The time that a failure adds, with what keeps it from being a time of real hardware; None of what is no price.
fn price(report: &Report, effect: &Effect, place: &str) -> Option<String> {
    let Effect { scenario, base, patched, .. } = effect;
    let (before, after) = (base.value, patched.value);
    let added = after - before;
    let sign = if added < 0.0 { "" } else { "+" };
    let caveat = match report.accels.iter().any(|accel| accel.arch == effect.arch && accel.name == "tcg") {
        true => "; emulated: compare the arms only",
        false => "",
    };
    let (failure, unit) = (&report.subject.failure, &report.subject.unit);
    match effect.unit {
        Unit::Milliseconds if effect.is_price() && !effect.is_quotable() => {
            Some(format!("{scenario}{place}: not known, the host was busy with something else"))
        }
        Unit::Milliseconds if effect.is_price() => {
            let samples = patched.samples;
            Some(format!(
                "{sign}{added:.2} ms per {failure}{place} ({before:.2} -> {after:.2} ms, median of {samples}{caveat})"
            ))
        }
        Unit::MillisecondsEach if effect.forced => {
            let hung = if after > 0.0 {
                format!(", so that {:.0} {unit}s reach the 120 s of a hung task", 120_000.0 / after)
            } else {
                String::new()
            };
            let beside = if effect.is_quotable() { "" } else { "; the host was busy with something else" };
            Some(format!(
                "{sign}{added:.2} ms per {unit}{place} ({before:.2} -> {after:.2} ms{caveat}{beside}){hung}"
            ))
        }
        Unit::Milliseconds | Unit::MillisecondsEach | Unit::PerFailure => None,
    }
}

fn yes(so: bool) -> &'static str {
    if so { "yes" } else { "NO" }
}

fn join_or(parts: impl Iterator<Item = String>, otherwise: &str) -> String {
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { otherwise.to_owned() } else { parts.join("; ") }
}

fn pairs(report: &Report, colour: bool) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["variant", "verdict", "guest tests", "controls"]);
    for pair in report.main_pairs() {
        let kind = if pair.native { "native" } else { "synthetic" };
        table.add_row([
            format!("{}\n  {kind}", name(pair)),
            pair.verdict.name().to_owned(),
            tests(report, pair),
            controls(report, pair),
        ]);
    }
    let text = table.to_string();
    let rows = text.lines().map(str::trim_end);
    rows.map(|row| if colour { painted(row, report) } else { row.to_owned() }).collect::<Vec<_>>().join("\n")
}

/// Colours the verdict in its row. After the layout, because a table counts escape sequences as text.
fn painted(row: &str, report: &Report) -> String {
    let Some(pair) = report.main_pairs().find(|pair| row.starts_with(&format!(" {} ", name(pair)))) else {
        return row.to_owned();
    };
    let code = match pair.verdict {
        Verdict::Pass => 32,
        Verdict::Fail => 31,
        Verdict::BaseAlsoFails | Verdict::Vacuous | Verdict::Infra => 33,
    };
    let word = pair.verdict.name();
    row.replacen(&format!(" {word} "), &format!(" \u{1b}[{code}m{word}\u{1b}[0m "), 1)
}

fn name(pair: &PairReport) -> String {
    format!("{} {} {}", pair.tree, pair.arch, pair.variant)
}

/// How many guest tests were measured on both arms, and with how many failed allocations.
fn tests(report: &Report, pair: &PairReport) -> String {
    let (base, patched) = (scenarios(report, pair, "base"), scenarios(report, pair, "patched"));
    let both = patched.iter().filter(|after| base.iter().any(|before| before.name == after.name));
    let both: Vec<_> = both.collect();
    let failures = sum(both.iter().map(|scenario| scenario.injected));
    let mut text = format!("{} on both arms\n{failures} failures forced in each", both.len());
    if !pair.not_applicable.is_empty() {
        text += &format!("\n{} not applicable", pair.not_applicable.len());
    }
    text
}

/// As many controls as a normal run has are named one by one; of more, those that were not caught.
fn controls(report: &Report, pair: &PairReport) -> String {
    let (caught, missed): (Vec<_>, Vec<_>) = report.controls_of(pair).partition(|control| control.caught);
    let all = caught.len().saturating_add(missed.len());
    let mut lines: Vec<String> = match all {
        0 => vec!["none".to_owned()],
        1 | 2 => caught.iter().map(|control| format!("{}: caught", control.name)).collect(),
        _ => vec![format!("{} of {all} caught", caught.len())],
    };
    lines.extend(missed.iter().map(|control| format!("{}: NOT CAUGHT", control.name)));
    lines.join("\n")
}

/// What became of each planted bug.
fn planted(report: &Report) -> Vec<String> {
    if report.controls.is_empty() {
        return Vec::new();
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["planted bug", "variant", "must be exposed by", "", "", "took"]);
    for control in &report.controls {
        let caught = if control.caught { "caught" } else { "NOT CAUGHT" };
        let place = report.name_of(&control.tree, &control.arch, &control.variant);
        let took = control.secs.map_or_else(|| "not run now".to_owned(), |secs| format!("{secs:.0} s"));
        table.add_row([&control.name, &place, &control.exposed_by, caught, &control.by, &took]);
    }
    table.to_string().lines().map(|row| row.trim_end().to_owned()).collect()
}

fn troubles(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for pair in report.pairs.iter().filter(|pair| pair.verdict != Verdict::Pass) {
        let version = if pair.is_main() { String::new() } else { format!(", {}", pair.arm) };
        lines.push(format!("{}{version}: {}", name(pair), pair.verdict.name()));
        lines.extend(pair.reasons.iter().map(|reason| format!("  {reason}")));
    }
    lines
}

fn cost(report: &Report) -> String {
    let wall = format!("{:.0} s in all, {:.0} s of it for sources", report.wall_secs, report.fetch_secs);
    match &report.cold_build {
        Some(cold) => format!(
            "{wall}; without sources {:.2} x the one cold kernel build in it ({:.0} s, {})",
            cold.ratio, cold.secs, cold.cell
        ),
        None => format!("{wall}; no cold kernel build in this run"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EDITED_NAMED, fixture};
    use super::*;

    #[test]
    fn a_pass_answers_the_questions_first() {
        insta::assert_snapshot!(render(&fixture::shown(Verdict::Pass, &[]), "/runs/1", false));
    }

    #[test]
    fn what_was_left_out_and_what_was_edited_stands_at_the_top() {
        let mut report = fixture::report(Verdict::Pass, &[]);
        report.patch.notes = vec![
            "version 2; passed over: version 1".to_owned(),
            "passed over: a reply with a diff".to_owned(),
        ];
        report.patch.files[0].edited = true;
        report.patch.files[0].post_matches = Some(false);
        report.trees[0].patch = report.patch.clone();
        report.trees[0].versions.insert("v3".to_owned(), report.patch.clone());
        let text = render(&Shown::new(&report).unwrap(), "/runs/1", false);
        let top: Vec<&str> = text.lines().take_while(|line| !line.starts_with("Does it build")).collect();
        insta::assert_snapshot!(top.join("\n"), @r"
        [PATCH] a subject
           version 2; passed over: version 1
           passed over: a reply with a diff
        on 7.2.12 (directory /src/linux)
           mm/mmu_gather.c: applies; edited after it was made: the result is not the blob that its index names
           v3: version 2; passed over: version 1
           v3: passed over: a reply with a diff
           v3: mm/mmu_gather.c: applies; edited after it was made: the result is not the blob that its index names

        Does it apply as posted?          yes: 2 of 2 pre-image blobs, 1 of 2 post-image blobs
        ");
        report.trees[0].patch.files = vec![report.patch.files[0].clone(); EDITED_NAMED + 2];
        assert_eq!(report.trees[0].patch.edited().last().unwrap(), "and 2 files more that were edited");
    }

    #[test]
    fn a_failure_says_why_below_the_table() {
        let reasons = ["patched: splat (might-sleep): BUG: sleeping function"];
        insta::assert_snapshot!(render(&fixture::shown(Verdict::Fail, &reasons), "/runs/1", false));
    }

    #[test]
    fn a_control_that_was_not_caught_is_shouted() {
        let text = render(&fixture::shown(Verdict::Vacuous, &["blind"]), "/runs/1", false);
        assert!(text.contains("preempt-disable: NOT CAUGHT"), "{text}");
        assert!(text.contains("planted bugs caught: 0 of 1"), "{text}");
    }

    #[test]
    fn a_price_in_which_others_ran_is_none() {
        let mut report = fixture::report(Verdict::Pass, &[]);
        assert_eq!(
            costs(&report),
            "+10.60 ms per slow way (0.30 -> 10.90 ms, median of 300; emulated: compare the arms only)"
        );
        report.effects[0].alone = false;
        assert_eq!(costs(&report), "latency: not known, the host was busy with something else");
        report.effects.clear();
        assert_eq!(costs(&report), "not measured");
    }

    #[test]
    fn an_interrupted_run_says_so_at_the_top() {
        let mut report = fixture::report(Verdict::Infra, &["not run"]);
        report.interrupted = true;
        let report = Shown::new(&report).unwrap();
        assert!(
            render(&report, "/runs/1", false).lines().take(4).any(|line| line.starts_with("INTERRUPTED"))
        );
    }

    #[test]
    fn colour_adds_escape_sequences_and_nothing_else() {
        let report = fixture::shown(Verdict::Pass, &[]);
        let painted = render(&report, "/runs/1", true);
        assert_eq!(
            painted.replace("\u{1b}[32m", "").replace("\u{1b}[0m", ""),
            render(&report, "/runs/1", false)
        );
    }
}
