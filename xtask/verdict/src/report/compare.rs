//! Two reports held against each other, as a text: what differs in verdicts, findings, counts and times. Pure; decides nothing.

use std::collections::BTreeMap;

use super::layout::fold;
use super::{CellReport, PairReport, PatchReport, Report, Shown, human};

/// A time that differs by less of the shorter one, or by less than a second, is not shown: no two runs take the same time.
const TIMES_DIFFER: f64 = 0.1;
const SECS_DIFFER: f64 = 1.0;

/// Lines of one kind that are shown.
const SHOWN: usize = 60;

/// What `other` shows that `one` does not, and the other way round. The runs are called by `names`.
pub fn render(one: &Shown, other: &Shown, names: [&str; 2]) -> String {
    let mut lines = vec![
        format!("1: {}, {}: {}", names[0], one.started, human::summary(one)),
        format!("2: {}, {}: {}", names[1], other.started, human::summary(other)),
    ];
    lines.extend(subjects(one, other));
    let parts = [
        ("verdicts", verdicts(one, other)),
        ("findings", findings(one, other)),
        ("planted bugs", controls(one, other)),
        ("counts", counts(one, other)),
        ("times, where they differ by a tenth and by a second", times(one, other)),
    ];
    for (what, found) in parts {
        if found.is_empty() {
            lines.push(format!("{what}: no difference"));
            continue;
        }
        lines.push(format!("{what}:"));
        lines.extend(found.iter().take(SHOWN).map(|line| format!("  {line}")));
        if let Some(more @ 1..) = found.len().checked_sub(SHOWN) {
            lines.push(format!("  and {more} more"));
        }
    }
    lines.iter().flat_map(|line| fold(line)).collect::<Vec<_>>().join("\n") + "\n"
}

/// What makes a comparison one of different things.
fn subjects(one: &Report, other: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if !is_same_patch(&one.patch, &other.patch) {
        lines.push("DIFFERENT PATCHES: what follows compares them, not two runs of one".to_owned());
        lines.extend([&one.patch, &other.patch].iter().zip(1..).map(|(patch, number)| {
            format!("  {number}: {}", patch.subject.as_deref().unwrap_or(&patch.source))
        }));
    }
    let trees = |report: &Report| -> BTreeMap<String, String> {
        let tree =
            |tree: &super::TreeReport| (tree.name.clone(), format!("{} ({})", tree.version, tree.origin));
        report.trees.iter().map(tree).collect()
    };
    let trees = differing(trees(one), trees(other));
    if !trees.is_empty() {
        lines.push("DIFFERENT TREES:".to_owned());
        lines.extend(trees.iter().map(|line| format!("  {line}")));
    }
    if one.campaign != other.campaign {
        lines.push(format!("DIFFERENT CAMPAIGNS: {} and {}", one.campaign, other.campaign));
    }
    lines
}

/// The same files with the same content before and after, as far as its `index` lines say, and of one name.
fn is_same_patch(one: &PatchReport, other: &PatchReport) -> bool {
    let files = |patch: &PatchReport| -> Vec<_> {
        let file =
            |file: &super::FileReport| (file.path.clone(), file.pre_blob.clone(), file.post_blob.clone());
        patch.files.iter().map(file).collect()
    };
    one.subject == other.subject && files(one) == files(other)
}

/// `NAME: A -> B` for each name whose text is not the same; a name that one side lacks is `-` there.
fn differing(one: BTreeMap<String, String>, other: BTreeMap<String, String>) -> Vec<String> {
    let mut both: BTreeMap<String, [Option<String>; 2]> = BTreeMap::new();
    for (side, texts) in [one, other].into_iter().enumerate() {
        for (name, text) in texts {
            both.entry(name).or_default()[side] = Some(text);
        }
    }
    let word = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
    both.iter()
        .filter(|(_, [one, other])| one != other)
        .map(|(name, [one, other])| format!("{name}: {} -> {}", word(one), word(other)))
        .collect()
}

fn verdicts(one: &Report, other: &Report) -> Vec<String> {
    let of = |report: &Report| -> BTreeMap<String, String> {
        let name = |pair: &PairReport| match pair.is_main() {
            true => pair.name(),
            false => format!("{}, {}", pair.name(), pair.arm),
        };
        report.pairs.iter().map(|pair| (name(pair), pair.verdict.name().to_owned())).collect()
    };
    differing(of(one), of(other))
}

fn findings(one: &Report, other: &Report) -> Vec<String> {
    let all = |report: &Report| -> Vec<String> {
        let of_cell = |cell: &CellReport| -> Vec<String> {
            cell.findings.iter().map(|finding| format!("{}: {finding}", cell.id)).collect()
        };
        report.cells.iter().filter(|cell| !is_planted(report, cell)).flat_map(of_cell).collect()
    };
    let (one, other) = (all(one), all(other));
    let only = |these: &[String], those: &[String], number: u8| -> Vec<String> {
        let new = these.iter().filter(|finding| !those.contains(finding));
        new.map(|finding| format!("only in {number}: {finding}")).collect()
    };
    [only(&one, &other, 1), only(&other, &one, 2)].concat()
}

/// Findings of a planted bug are what caught it.
fn is_planted(report: &Report, cell: &CellReport) -> bool {
    report.controls.iter().any(|control| control.cell == cell.id)
}

fn controls(one: &Report, other: &Report) -> Vec<String> {
    let of = |report: &Report| -> BTreeMap<String, String> {
        let word = |caught| if caught { "caught" } else { "not caught" };
        report
            .controls
            .iter()
            .map(|control| (control.cell.clone(), word(control.caught).to_owned()))
            .collect()
    };
    differing(of(one), of(other))
}

/// Of cells that both runs have: what one of them did not boot is seen in its findings.
fn counts(one: &Report, other: &Report) -> Vec<String> {
    let of = |report: &Report, beside: &Report| -> BTreeMap<String, String> {
        let mut counts = BTreeMap::new();
        let there = |cell: &&CellReport| beside.cells.iter().any(|other| other.id == cell.id);
        for cell in report.cells.iter().filter(there) {
            for ran in &cell.scenarios {
                let mut number = |what: &str, number: u64| {
                    counts.insert(format!("{} {} {what}", cell.id, ran.name), number.to_string())
                };
                number("failures forced", ran.injected);
                number("splats", ran.splats);
                for (event, count) in &ran.counts.0 {
                    number(event, *count);
                }
            }
        }
        counts
    };
    differing(of(one, other), of(other, one))
}

fn times(one: &Report, other: &Report) -> Vec<String> {
    let of = |report: &Report| -> BTreeMap<String, f64> {
        let mut times = BTreeMap::from([("the whole run".to_owned(), report.wall_secs)]);
        for cell in &report.cells {
            let parts = [("build", cell.build_secs), ("boot", cell.boot_secs), ("tests", cell.test_secs)];
            for (what, secs) in parts {
                times.extend(secs.map(|secs| (format!("{} {what}", cell.id), secs)));
            }
        }
        times
    };
    let (one, other) = (of(one), of(other));
    one.iter()
        .filter_map(|(name, before)| Some((name, before, other.get(name)?)))
        .filter(|(_, before, after)| {
            let apart = (*before - *after).abs();
            apart >= SECS_DIFFER && apart >= before.min(**after) * TIMES_DIFFER
        })
        .map(|(name, before, after)| format!("{name}: {before:.1} s -> {after:.1} s"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::judge::Verdict;

    fn compared(one: &Report, other: &Report) -> String {
        render(&Shown::new(one).unwrap(), &Shown::new(other).unwrap(), ["r1", "r2"])
    }

    #[test]
    fn run_does_not_differ_from_itself() {
        let report = fixture::report(Verdict::Pass, &[]);
        let text = compared(&report, &report);
        assert_eq!(text.matches("no difference").count(), 5, "{text}");
        assert!(!text.contains("DIFFERENT"), "{text}");
    }

    #[test]
    fn what_differs_is_named_and_nothing_else() {
        let one = fixture::report(Verdict::Pass, &[]);
        let mut other = fixture::report(Verdict::Fail, &["patched: splat (might-sleep)"]);
        other.cells[1].scenarios[0].counts.0.insert("wait".to_owned(), 199);
        other.cells[0].build_secs = Some(200.0);
        other.cells[0].boot_secs = Some(1.6);
        other.controls[0].caught = false;
        let text = compared(&one, &other);
        for line in [
            "  7.2 x86_64 pt-reclaim-off: pass -> fail\n",
            "  only in 2: 7.2/x86_64/pt-reclaim-off/patched: patched: splat (might-sleep)\n",
            "  7.2/x86_64/pt-reclaim-off/preempt-disable: caught -> not caught\n",
            "  7.2/x86_64/pt-reclaim-off/patched munmap wait: 200 -> 199\n",
            "  7.2/x86_64/pt-reclaim-off/base build: 160.0 s -> 200.0 s\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("base boot") && !text.contains("DIFFERENT"), "{text}");
    }

    #[test]
    fn other_patch_and_other_tree_are_said_first() {
        let one = fixture::report(Verdict::Pass, &[]);
        let mut other = one.clone();
        other.patch.files[0].post_blob = Some("000000000000".to_owned());
        other.trees[0].version = "6.18".to_owned();
        let text = compared(&one, &other);
        let said = text.split("verdicts").next().unwrap();
        assert!(said.contains("DIFFERENT PATCHES") && said.contains("DIFFERENT TREES"), "{text}");
        assert!(said.contains("7.2: 7.2.12 (directory /src/linux) -> 6.18 (directory /src/linux)"), "{text}");
    }
}
