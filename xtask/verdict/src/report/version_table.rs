//! The versions of a patch beside each other: one table for people, from what the report holds.

use super::{PairReport, Report, layout};
use crate::campaign::plan::Arm;

/// The lines of the table; none where only one version was tried.
pub fn render(report: &Report) -> Vec<String> {
    if report.pairs.iter().all(PairReport::is_main) {
        return Vec::new();
    }
    let mut rows = Vec::new();
    for main in report.main_pairs() {
        let same_variant = |pair: &&PairReport| {
            (&pair.tree, &pair.arch, &pair.variant) == (&main.tree, &main.arch, &main.variant)
        };
        rows.extend(report.pairs.iter().filter(same_variant).map(|pair| row(report, pair)));
    }
    let mut lines =
        layout::table(&["variant and version", "verdict", "object code, and its controls"], &rows);
    for tree in &report.trees {
        let others = tree.versions.iter().map(|(name, patch)| (name.as_str(), patch));
        let versions = std::iter::once((Arm::Patched.name(), &tree.patch)).chain(others);
        lines.extend(versions.map(|(name, patch)| {
            let subject = patch.subject.as_deref().unwrap_or(&patch.source);
            format!("{name} on {}: {subject}; {}", tree.name, patch.proof())
        }));
    }
    lines
}

fn row(report: &Report, pair: &PairReport) -> Vec<String> {
    vec![
        format!("{}\n  {}", pair.name(), pair.arm),
        pair.verdict.name().to_owned(),
        [code(pair), controls(report, pair)].concat().join("\n"),
    ]
}

fn code(pair: &PairReport) -> Vec<String> {
    let beside = [("base", &pair.code), ("patched", &pair.code_beside_patched)];
    let known = beside.into_iter().filter_map(|(what, code)| {
        let code = code.as_ref()?;
        Some(format!("next to {what}: {}", code.describe()))
    });
    let known: Vec<String> = known.collect();
    if known.is_empty() { vec!["object code not known".to_owned()] } else { known }
}

/// What exposed each of its planted bugs: for one that sleeps where it must not, the place.
fn controls(report: &Report, pair: &PairReport) -> Vec<String> {
    let said = report.controls_of(pair).map(|control| match control.caught {
        true => format!("{}: {}", control.name, control.by),
        false => format!("{}: NOT CAUGHT: {}", control.name, control.by),
    });
    said.collect()
}

#[cfg(test)]
mod tests {
    use super::super::{CodeReport, fixture};
    use super::*;
    use crate::judge::Verdict;

    #[test]
    fn versions_are_columns_and_a_single_one_has_no_table() {
        let mut report = fixture::report(Verdict::Pass, &[]);
        assert_eq!(render(&report), Vec::<String>::new());
        let code = CodeReport { functions: 30, including: 31, ..CodeReport::default() };
        let changed = CodeReport { changed: vec!["mm/x.o: f".to_owned()], ..code.clone() };
        report.pairs[0].code = Some(changed.clone());
        let mut other = report.pairs[0].clone();
        other.arm = "v3".to_owned();
        other.code_beside_patched = Some(code);
        let mut control = report.controls[0].clone();
        control.arm = "v3".to_owned();
        report.pairs.push(other);
        report.controls.push(control);
        report.trees[0].versions.insert("v3".to_owned(), report.patch.clone());
        insta::assert_snapshot!(render(&report).join("\n"));
    }
}
