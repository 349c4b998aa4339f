//! The patch itself, with a mark and a count before each changed line: what was reached of it, and by what. Decides nothing.

use super::layout::WIDTH;
use super::{PairReport, Report};
use crate::judge::reach::{HunkReach, LineReach, Reach, ReachState};
use crate::observe::Side;

/// Columns of a mark.
const MARK: usize = 14;

/// Workloads that are named for one hunk.
const NAMED: usize = 4;

/// Lines on the first screen; more are in the details.
const LINES_SHOWN: usize = 40;

/// In a sentence, how much of the patch was reached.
pub fn summary(reach: &Reach) -> String {
    if let Some(why) = &reach.uncounted {
        return format!("not known, nothing was counted: {why}");
    }
    let lines = reach.lines();
    let (hunks, executed) = reach.hunks_with_code();
    format!(
        "{executed} of {hunks} hunks with code; of {} changed lines with code {} were compiled and {} executed",
        lines.code, lines.compiled, lines.executed
    )
}

/// Workloads that there was no time for.
pub fn untried(reach: &Reach) -> Option<String> {
    (!reach.untried.is_empty()).then(|| format!("not tried: {}", reach.untried.join(", ")))
}

/// The changed lines, without those around them, as far as the first screen has room.
pub fn short(report: &Report) -> Vec<String> {
    let mut lines = render(report, false);
    if lines.len() > LINES_SHOWN {
        let more = lines.len().saturating_sub(LINES_SHOWN);
        lines.truncate(LINES_SHOWN);
        lines.push(format!("{more} lines more: report.txt"));
    }
    lines
}

/// The changed lines, without those around them.
pub fn changed(report: &Report) -> Vec<String> {
    render(report, false)
}

/// The whole patch.
pub fn whole(report: &Report) -> Vec<String> {
    let mut lines = render(report, true);
    lines.extend(report.main_pairs().flat_map(differences));
    lines.extend(report.main_pairs().flat_map(failures));
    lines
}

/// Which allocations were made to fail.
fn failures(pair: &PairReport) -> Vec<String> {
    let mut lines: Vec<String> = pair.failures.iter().map(|failure| format!("  {failure}")).collect();
    if !lines.is_empty() {
        lines.insert(0, format!("failures that were forced, one at a time, {}:", pair.name()));
    }
    lines
}

/// What ended differently, and is no failure by itself.
fn differences(pair: &PairReport) -> Vec<String> {
    let mut lines: Vec<String> =
        pair.differences.iter().map(|difference| format!("  {difference}")).collect();
    if !lines.is_empty() {
        lines.insert(0, format!("what workloads did that ended differently, {}:", pair.name()));
    }
    lines
}

fn render(report: &Report, context: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (tree, reach) in &report.reach {
        let name = if report.reach.len() > 1 { format!(" ({tree})") } else { String::new() };
        for hunk in &reach.hunks {
            lines.push(format!("hunk {}, {}{name}: {}", hunk.number, hunk.place, words(hunk)));
            let shown = hunk.lines.iter().filter(|line| context || line.line.side != Side::Context);
            lines.extend(shown.map(row));
        }
    }
    lines
}

/// What became of a hunk, and by what.
pub fn words(hunk: &HunkReach) -> String {
    match &hunk.state {
        ReachState::NoCode | ReachState::Gone => "no code".to_owned(),
        ReachState::NotCompiled => "NOT COMPILED".to_owned(),
        ReachState::NotExecuted => "compiled, NOT EXECUTED".to_owned(),
        ReachState::Executed { by, .. } => {
            let mut names: Vec<&str> = by.iter().map(String::as_str).take(NAMED).collect();
            let more = format!("{} more", by.len().saturating_sub(NAMED));
            if by.len() > NAMED {
                names.push(&more);
            }
            let forced = match hunk.failures {
                0 => String::new(),
                1 => "; 1 failure forced below it".to_owned(),
                number => format!("; {number} failures forced below it"),
            };
            format!("executed by {}{forced}", names.join(", "))
        }
    }
}

/// What stands before a line.
pub fn mark(state: &ReachState) -> String {
    match state {
        ReachState::NoCode | ReachState::Gone => String::new(),
        ReachState::NotCompiled => "not compiled".to_owned(),
        ReachState::NotExecuted => "not executed".to_owned(),
        ReachState::Executed { count, .. } => count.to_string(),
    }
}

/// As diff has it.
pub fn sign(side: Side) -> char {
    match side {
        Side::Context => ' ',
        Side::Added => '+',
        Side::Removed => '-',
    }
}

/// A mark, the sign of the line, and as much of its text as fits.
fn row(line: &LineReach) -> String {
    let (mark, sign) = (mark(&line.state), sign(line.line.side));
    let text = line.line.text.replace('\t', "    ");
    let room = usize::from(WIDTH).saturating_sub(MARK).saturating_sub(3);
    let cut: String = text.chars().take(room).collect();
    format!("{mark:>MARK$} {sign}{cut}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Verdict;
    use crate::observe::ChangedLine;
    use crate::report::fixture;

    fn line(side: Side, number: u32, text: &str, state: ReachState) -> LineReach {
        LineReach {
            line: ChangedLine { side, number, text: text.to_owned(), statement: None, within: None },
            state,
        }
    }

    #[test]
    fn each_changed_line_has_its_mark() {
        let executed =
            ReachState::Executed { count: 1_200, by: vec!["boot".to_owned(), "read-proc".to_owned()] };
        let hunk = HunkReach {
            number: 1,
            path: "fs/dir.c".to_owned(),
            place: "fs/dir.c:12".to_owned(),
            uncounted: Vec::new(),
            state: executed.clone(),
            around: Vec::new(),
            failures: 27,
            lines: vec![
                line(Side::Context, 11, "\tif (a)", ReachState::NoCode),
                line(Side::Removed, 12, "\t\tput(a);", ReachState::Gone),
                line(Side::Added, 12, "\t\tput_all(a);", executed),
                line(Side::Added, 13, "\telse if (b)", ReachState::NotExecuted),
                line(Side::Added, 14, "\t\tdrop(b);", ReachState::NotCompiled),
            ],
        };
        let mut report = fixture::report(Verdict::Pass, &[]);
        report
            .reach
            .insert("7.2".to_owned(), Reach { hunks: vec![hunk], uncounted: None, untried: Vec::new() });
        insta::assert_snapshot!(whole(&report).join("\n"));
        assert_eq!(short(&report).len(), 5);
        assert!(summary(&report.reach["7.2"]).starts_with("1 of 1 hunks with code; of 3 changed lines"));
    }
}
