//! What of a report belongs to lines of the patch: what went wrong there, what was not executed, which planted bug nothing
//! noticed. A list of values for those renderers that can point at a line; decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{CellReport, PairReport, Report, reasons};
use crate::judge::reach::{HunkReach, LineReach, ReachState};
use crate::judge::{Reach, Verdict};
use crate::observe::Side;

/// Lines of a splat that an annotation shows.
const SPLAT_LINES: usize = 12;

/// Reasons that the annotation of a pair shows.
const REASONS: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Notice,
    Warning,
    Error,
}

/// One remark about the patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    pub severity: Severity,
    /// The kind of remark, such as `splat`.
    pub check: &'static str,
    /// What it is about: a pair, a control.
    pub about: String,
    /// None: about no single line.
    pub place: Option<LineSpan>,
    pub title: String,
    pub lines: Vec<String>,
}

/// Lines of a file as it is with the patch, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineSpan {
    pub path: String,
    pub first: u32,
    pub last: u32,
}

/// The files that the patch changes, and the lines that it adds to them, on one tree.
#[derive(Debug, Clone, Default)]
pub struct AddedLines(BTreeMap<String, BTreeSet<u32>>);

/// The same by the tree's name.
pub type AddedByTree = BTreeMap<String, AddedLines>;

impl AddedLines {
    pub fn add(&mut self, path: &str, lines: impl IntoIterator<Item = u32>) {
        self.0.entry(path.to_owned()).or_default().extend(lines);
    }

    /// The first line that the patch adds, or the first one of a file in which it adds none.
    pub fn first(&self) -> Option<LineSpan> {
        let added = self.0.iter().find_map(|(path, lines)| Some((path, *lines.first()?)));
        let (path, line) = added.or_else(|| self.0.keys().next().map(|path| (path, 1)))?;
        Some(LineSpan::at(path, line))
    }

    /// Of the places that `texts` name as `FILE:LINE`, the first one that is on an added line, else the first one in a file of the
    /// patch.
    fn place<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Option<LineSpan> {
        let mut in_file = None;
        for (name, line) in texts.into_iter().flat_map(places) {
            // The compiler names files by the path of its build directory.
            let is_it = |path: &&String| {
                name.strip_suffix(path.as_str())
                    .is_some_and(|before| before.is_empty() || before.ends_with('/'))
            };
            let Some(path) = self.0.keys().find(is_it) else { continue };
            if self.has(path, line) {
                return Some(LineSpan::at(path, line));
            }
            in_file.get_or_insert(LineSpan::at(path, line));
        }
        in_file
    }

    fn has(&self, path: &str, line: u32) -> bool {
        self.0.get(path).is_some_and(|lines| lines.contains(&line))
    }
}

impl LineSpan {
    fn at(path: &str, line: u32) -> LineSpan {
        LineSpan { path: path.to_owned(), first: line, last: line }
    }
}

/// Every `FILE:LINE` in a text.
fn places(text: &str) -> impl Iterator<Item = (&str, u32)> {
    let words = text.split(|c: char| c.is_whitespace() || "()[]{}<>,;`'\"=".contains(c));
    words.filter_map(|word| {
        let mut parts = word.split(':');
        let (file, line) = (parts.next()?, parts.next()?.parse().ok()?);
        (!file.is_empty() && line > 0).then_some((file, line))
    })
}

/// All remarks, those first that matter most.
pub fn annotations(report: &Report, added: &AddedByTree) -> Vec<Annotation> {
    let mut all = Vec::new();
    for pair in report.main_pairs() {
        let lines = of_tree(report, added, &pair.tree);
        all.extend(of_pair(report, &lines, pair));
        all.extend(survivors(report, &lines, pair));
        if let Some(cell) = report.cell(pair, &pair.arm) {
            all.extend(warnings(report, &lines, pair, cell));
        }
    }
    for (tree, reach) in report.reach.iter().filter(|(_, reach)| reach.uncounted.is_none()) {
        all.extend(unreached(tree, reach));
    }
    all.sort_by_key(|annotation| std::cmp::Reverse(annotation.severity));
    all
}

/// What is known of the patch's lines on `tree`: if nothing, at least its files.
pub fn of_tree(report: &Report, added: &AddedByTree, tree: &str) -> AddedLines {
    let mut lines = added.get(tree).cloned().unwrap_or_default();
    report.patch.files.iter().for_each(|file| lines.add(&file.path, []));
    lines
}

/// What a pair that did not pass says, and each of its splats that names another line of the patch.
fn of_pair(report: &Report, added: &AddedLines, pair: &PairReport) -> Vec<Annotation> {
    let severity = match pair.verdict {
        Verdict::Pass | Verdict::Fixes => return Vec::new(),
        Verdict::Fail => Severity::Error,
        Verdict::WeakPass | Verdict::BaseAlsoFails | Verdict::Vacuous | Verdict::Infra => Severity::Warning,
    };
    let cell = report.cell(pair, &pair.arm);
    // Only of a patch that is to blame: numbers of lines on the base are those of another file.
    let splats = cell.filter(|_| pair.verdict == Verdict::Fail).map_or(&[][..], |cell| &cell.splats);
    let place_of = |splat: &console::Splat| {
        let texts = splat.location.iter().chain([&splat.headline]).chain(&splat.text);
        added.place(texts.map(String::as_str))
    };
    let placed: Vec<_> = splats.iter().filter_map(|splat| Some((place_of(splat)?, splat))).collect();
    let said = pair.reasons.iter().map(String::as_str).filter(|reason| !reason.starts_with("base: "));
    let place = placed.first().map(|(place, _)| place.clone()).or_else(|| added.place(said));
    let about = report.place(pair);
    let mut lines: Vec<String> = reasons::of_pair(report, pair).into_iter().take(REASONS).collect();
    lines.extend(
        cell.into_iter().flat_map(|cell| cell.kept.iter().map(move |file| format!("{}/{file}", cell.dir))),
    );
    let title = format!("{}: {about}", pair.verdict.name());
    let mut all =
        vec![Annotation { severity, check: pair.verdict.name(), about: about.clone(), place, title, lines }];
    let mut seen: Vec<LineSpan> = Vec::new();
    for (place, splat) in placed {
        if seen.contains(&place) {
            continue;
        }
        seen.push(place.clone());
        let lines = std::iter::once(&splat.headline).chain(splat.text.iter().skip(1)).take(SPLAT_LINES);
        all.push(Annotation {
            severity,
            check: "splat",
            about: about.clone(),
            place: Some(place),
            title: format!("splat ({}): {about}", splat.kind.name()),
            lines: lines.cloned().collect(),
        });
    }
    all
}

/// Planted bugs that nothing noticed.
fn survivors(report: &Report, added: &AddedLines, pair: &PairReport) -> Vec<Annotation> {
    let missed = report.controls_of(pair).filter(|control| !control.caught);
    missed
        .map(|control| Annotation {
            severity: Severity::Warning,
            check: "planted-bug-survived",
            about: format!("{} {}", report.place(pair), control.name),
            place: added.place([control.plants.as_str()]),
            title: format!("planted bug not caught: {}", control.name),
            lines: vec![
                format!("{} ({})", control.plants, report.place(pair)),
                format!("expected: {}; seen: {}", control.signal, control.by),
            ],
        })
        .collect()
}

/// What the compiler says about lines that the patch adds.
fn warnings(report: &Report, added: &AddedLines, pair: &PairReport, cell: &CellReport) -> Vec<Annotation> {
    let is_added = |place: &LineSpan| added.has(&place.path, place.first);
    let own = cell
        .warnings
        .iter()
        .filter_map(|warning| Some((added.place([warning.as_str()]).filter(is_added)?, warning)));
    own.map(|(place, warning)| Annotation {
        severity: Severity::Warning,
        check: "compiler-warning",
        about: report.place(pair),
        place: Some(place),
        title: format!("compiler warning: {}", report.place(pair)),
        lines: vec![warning.clone()],
    })
    .collect()
}

/// Added lines that were not compiled or not executed; those next to each other are one remark.
fn unreached(tree: &str, reach: &Reach) -> Vec<Annotation> {
    let mut all: Vec<Annotation> = Vec::new();
    for hunk in &reach.hunks {
        let mut open: Option<(LineSpan, &ReachState)> = None;
        for line in hunk.lines.iter().filter(|line| line.line.side != Side::Removed) {
            let is_missed = line.line.side == Side::Added
                && matches!(line.state, ReachState::NotCompiled | ReachState::NotExecuted);
            match &mut open {
                Some((span, state)) if is_missed && **state == line.state => span.last = line.line.number,
                // A brace or a comment between two of them.
                Some(_) if line.line.side == Side::Added && line.state == ReachState::NoCode => {}
                _ => {
                    all.extend(open.take().map(|(span, state)| missed(tree, hunk, span, state)));
                    open = is_missed.then(|| (span_of(hunk, line), &line.state));
                }
            }
        }
        all.extend(open.map(|(span, state)| missed(tree, hunk, span, state)));
    }
    all
}

fn span_of(hunk: &HunkReach, line: &LineReach) -> LineSpan {
    LineSpan::at(&hunk.path, line.line.number)
}

fn missed(tree: &str, hunk: &HunkReach, place: LineSpan, state: &ReachState) -> Annotation {
    let is_compiled = *state != ReachState::NotCompiled;
    let what = if is_compiled { "not executed" } else { "not compiled" };
    let by = if is_compiled { " by any workload" } else { "" };
    let lines = if place.first == place.last {
        format!("line {}", place.first)
    } else {
        format!("lines {} to {}", place.first, place.last)
    };
    let mut text = vec![format!("{lines} of {} (hunk {}): {what}{by}", hunk.path, hunk.number)];
    if is_compiled && !hunk.around.is_empty() {
        text.push(format!("workloads that come near: {}", hunk.around.join(", ")));
    }
    Annotation {
        severity: Severity::Notice,
        check: if is_compiled { "not-executed" } else { "not-compiled" },
        about: tree.to_owned(),
        place: Some(place),
        title: format!("{what} ({tree})"),
        lines: text,
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::fixture;
    use super::*;
    use crate::observe::ChangedLine;

    pub fn added() -> AddedByTree {
        let mut lines = AddedLines::default();
        lines.add("mm/mmu_gather.c", [314, 315, 316]);
        AddedByTree::from([("7.2".to_owned(), lines)])
    }

    /// A run with one remark of each kind.
    pub fn rich() -> Report {
        let mut report = fixture::report(Verdict::Fail, &["patched: munmap: 200 of 200", "patched: splat"]);
        let splat = &mut report.cells[1].splats[0];
        splat.text = vec![
            splat.headline.clone(),
            " dump_stack_lvl+0x4d/0x70 (lib/dump_stack.c:122)".to_owned(),
            " tlb_remove_table+0x5/0x10 (mm/mmu_gather.c:315)".to_owned(),
        ];
        report.cells[1].warnings = vec![
            "mm/mmu_gather.c:316:2: warning: 100% of this, and more".to_owned(),
            "mm/mmu_gather.c:12:2: warning: not in the patch".to_owned(),
        ];
        let mut mutant = report.controls[0].clone();
        mutant.name = "mutant-1".to_owned();
        mutant.caught = false;
        mutant.plants = "statement left out at mm/mmu_gather.c:314: `might_sleep();`".to_owned();
        mutant.by = "nothing".to_owned();
        report.controls.push(mutant);
        report.reach.insert("7.2".to_owned(), reach());
        report
    }

    fn reach() -> Reach {
        let line = |side, number, state| LineReach {
            line: ChangedLine { side, number, text: "x".to_owned(), statement: None, within: None },
            state,
        };
        let executed = ReachState::Executed { count: 3, by: vec!["boot".to_owned()] };
        let lines = vec![
            line(Side::Context, 313, ReachState::NoCode),
            line(Side::Added, 314, ReachState::NotExecuted),
            line(Side::Removed, 300, ReachState::Gone),
            line(Side::Added, 315, ReachState::NoCode),
            line(Side::Added, 316, ReachState::NotExecuted),
            line(Side::Added, 317, executed.clone()),
            line(Side::Added, 318, ReachState::NotCompiled),
        ];
        let hunk = HunkReach {
            number: 1,
            path: "mm/mmu_gather.c".to_owned(),
            place: "mm/mmu_gather.c:314".to_owned(),
            uncounted: Vec::new(),
            state: executed,
            around: vec!["fork".to_owned()],
            failures: 0,
            lines,
        };
        Reach { hunks: vec![hunk], uncounted: None, untried: Vec::new() }
    }

    #[test]
    fn each_remark_is_on_its_line() {
        let found: Vec<String> = annotations(&rich(), &added())
            .iter()
            .map(|one| {
                let place = one.place.as_ref().map_or("no line".to_owned(), |place| {
                    format!("{}:{}-{}", place.path, place.first, place.last)
                });
                format!("{:?} {} {place}", one.severity, one.check)
            })
            .collect();
        assert_eq!(
            found,
            [
                "Error fail mm/mmu_gather.c:315-315",
                "Error splat mm/mmu_gather.c:315-315",
                "Warning planted-bug-survived mm/mmu_gather.c:314-314",
                "Warning compiler-warning mm/mmu_gather.c:316-316",
                "Notice not-executed mm/mmu_gather.c:314-316",
                "Notice not-compiled mm/mmu_gather.c:318-318",
            ]
        );
    }

    #[test]
    fn pair_that_names_no_line_is_a_remark_without_one() {
        let vacuous = fixture::report(Verdict::Vacuous, &["base: mm/mmu_gather.c:7 was not executed"]);
        let found = annotations(&vacuous, &added());
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().all(|one| one.place.is_none()), "{found:?}");
        assert!(annotations(&fixture::report(Verdict::Pass, &[]), &added()).is_empty());
        let weak = annotations(&fixture::report(Verdict::WeakPass, &["blind"]), &added());
        assert_eq!((weak.len(), weak[0].severity), (1, Severity::Warning));
    }

    #[test]
    fn line_of_the_patch_is_preferred_and_the_build_directory_does_not_matter() {
        let lines = &added()["7.2"];
        let place = |texts: &[&str]| {
            lines.place(texts.iter().copied()).map(|place| format!("{}:{}", place.path, place.first))
        };
        assert_eq!(place(&["mm/mmu_gather.c:7", "(mm/mmu_gather.c:316)"]).unwrap(), "mm/mmu_gather.c:316");
        assert_eq!(place(&["/b/mm/mmu_gather.c:314:2: error: x"]).unwrap(), "mm/mmu_gather.c:314");
        assert_eq!(place(&["at mm/mmu_gather.c:7"]).unwrap(), "mm/mmu_gather.c:7");
        assert_eq!(
            place(&["xmm/mmu_gather.c:314", "mm/mmu_gather.c:0", "mm/mmu_gather.c:", "mm/other.c:3"]),
            None
        );
    }
}
