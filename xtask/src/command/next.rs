//! What a person does after a command: what is said at the end of a run in a terminal, and after an interruption. Decides
//! nothing and runs nothing.

use std::io::IsTerminal;
use std::path::Path;

use super::builds;
use crate::boot::qemu;
use crate::campaign::project::Project;
use crate::host::input::shown;
use crate::host::terminal;
use crate::judge::Verdict;
use crate::report::progress::Loudness;
use crate::report::{CellReport, Report};
use failure::{Exit, Failure, escape};

/// Says after the report of a matrix what comes next: after an interruption in any case, else only to people in a terminal.
pub fn say_after_matrix(project: &Project, report: &Report, dir: &Path, is_for_people: bool) {
    if report.interrupted {
        terminal::say(&after_interruption(report));
    } else if is_for_people && std::io::stderr().is_terminal() {
        let lines = after_report(report, &builds::name(project, dir), dir);
        terminal::say(&lines.join("\n"));
    }
}

/// The page, and what the verdict calls for.
fn after_report(report: &Report, run: &str, dir: &Path) -> Vec<String> {
    let mut lines = vec![format!("next: cargo xtask report {run} --open")];
    let good = report.exit_code == Exit::Ok as u8;
    if good {
        lines.push(format!("      cargo xtask reply {run}    a draft of the reply to the mail"));
    } else if let Some(cell) = to_look_at(report) {
        let file = shown(&dir.join(&cell.dir).join(&cell.kept[0]));
        let what = if cell.kept[0].ends_with("repro.sh") { "boots the kernel again" } else { "why" };
        lines.push(format!("      {file}    {what}"));
    } else if report.exit_code == Exit::WeakPass as u8 {
        lines.push(
            "      bring what would see such a bug, with --run, --kunit or --selftest: docs/any-patch.md"
                .to_owned(),
        );
    }
    lines
}

/// The first kernel that is not as it should be, of a pair that did not pass.
fn to_look_at(report: &Report) -> Option<&CellReport> {
    let bad = report.pairs.iter().filter(|pair| !pair.verdict.is_good() && pair.verdict != Verdict::Vacuous);
    let mut cells = bad.flat_map(|pair| [report.cell(pair, &pair.arm), report.cell(pair, "base")]).flatten();
    cells.find(|cell| !cell.findings.is_empty() && !cell.kept.is_empty())
}

fn after_interruption(report: &Report) -> String {
    let built = report.cells.iter().filter(|cell| cell.built).count();
    let booted = report.cells.iter().filter(|cell| cell.test_secs.is_some()).count();
    let mut lines = vec![format!("to go on: {}", typed())];
    lines.push(kept(built, report.cells.len()));
    if booted > 0 {
        lines.push(format!("          with --recorded also the {booted} boots that came to their end"));
    }
    lines.join("\n")
}

fn kept(built: usize, all: usize) -> String {
    format!("          {built} of {all} kernels are built and come from the cache then")
}

/// The command line of this command.
fn typed() -> String {
    let words: Vec<String> = ["cargo", "xtask"]
        .map(str::to_owned)
        .into_iter()
        .chain(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()))
        .collect();
    escape::line(&qemu::shell_line(&words)).into_owned()
}

/// The failure of builds that were interrupted, with how to go on.
#[must_use]
pub fn to_go_on(failure: Failure) -> Failure {
    match failure.exit {
        Exit::Interrupted => failure
            .next(format!("go on: {}", typed()))
            .next("kernels that are built already come from the cache then"),
        _ => failure,
    }
}

/// The failure of boots that were interrupted, with how to repeat them: the files of two boots would mix in one directory.
#[must_use]
pub fn to_boot_again(failure: Failure) -> Failure {
    match failure.exit {
        Exit::Interrupted => failure
            .next("build again, which takes the kernels from the cache: cargo xtask build, with the options of the first")
            .next("then boot with --recorded, which takes the boots that came to their end from the record"),
        _ => failure,
    }
}

/// What a command says at its end: with `--quiet` one line if all went well, else all but what comes next.
pub fn shortened(text: String, loudness: Loudness, exit: Exit) -> String {
    let lines = || text.lines().filter(|line| !line.starts_with("next: "));
    match (loudness, exit) {
        (Loudness::Quiet, Exit::Ok) => lines().take(1).map(|line| format!("{line}\n")).collect(),
        (Loudness::Quiet, _) => lines().map(|line| format!("{line}\n")).collect(),
        (Loudness::Normal | Loudness::Verbose, _) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_is_one_line_only_where_all_went_well() {
        let text = || "built: 1 of 1\nrun directory: /x\nnext: boot\n".to_owned();
        assert_eq!(shortened(text(), Loudness::Quiet, Exit::Ok), "built: 1 of 1\n");
        let failed = shortened(text(), Loudness::Quiet, Exit::Inconclusive);
        assert_eq!(failed, "built: 1 of 1\nrun directory: /x\n");
        assert_eq!(shortened(text(), Loudness::Normal, Exit::Ok), text());
    }

    #[test]
    fn only_an_interruption_says_how_to_go_on() {
        assert!(to_go_on(Failure::infra("x")).next.is_empty());
        assert!(to_go_on(Failure::interrupted()).next[0].starts_with("go on: cargo xtask"));
        assert_eq!(to_boot_again(Failure::interrupted()).next.len(), 2);
    }
}
