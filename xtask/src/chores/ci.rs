//! `cargo xtask ci`: everything that must hold before a change lands. The first thing that fails ends it.

use xshell::{Shell, cmd};

use super::CiArgs;
use super::faults::{self, Table};
use crate::campaign::project::Project;
use crate::host;
use crate::host::arch;
use crate::host::terminal;
use crate::judge::Verdict;
use crate::report::{PairReport, Report};
use failure::{Context, Exit, Failure, Result};

/// Format, lints, tests, and a matrix of the variant that the patch changes, on a real kernel.
///
/// # Errors
/// When a step fails; its own words stand above.
pub fn ci(project: &Project, args: &CiArgs) -> Result<Exit> {
    host::require(&[arch::DEFAULT], true, args.install_deps, &project.install_log())?;
    host::require_for_tests(args.install_deps, &project.install_log())?;
    let shell = Shell::new().or_infra(|| "start a shell".to_owned())?;
    shell.change_dir(&project.root);
    project.environment().for_each(|(variable, place)| shell.set_var(variable, place));
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let step = |what: &str, command: xshell::Cmd<'_>| {
        // xshell's own echo is an eprintln!, which panics on a closed pipe.
        terminal::say(&format!("$ {command}"));
        command
            .quiet()
            .run()
            .map_err(|error| Failure::infra(format!("{what} failed")).because(error.to_string()))
    };
    step("format", cmd!(shell, "{cargo} fmt --all --check"))?;
    step("clippy", cmd!(shell, "{cargo} clippy --locked --workspace --all-targets -- -D warnings"))?;
    let harness = std::env::current_exe().or_infra(|| "find this program".to_owned())?;
    let smoke = ["matrix", "--only", "*/pt-reclaim-off/*"];
    step("the smoke matrix", cmd!(shell, "{harness} {smoke...}"))?;
    // A version that passes as no other does, and one that may not.
    let versions = ["versions", "--only", "v4-in-caller", "--only", "bad-half-waits"];
    step("the versions that were not prepared for", cmd!(shell, "{harness} {versions...}"))?;
    without_injection(cmd!(shell, "{harness} {smoke...} --test-no-injection --format json"))?;
    // Built from the objects of the base and then of the patched kernel: as far from nothing as the smoke matrix gets.
    let images = ["bench", "--images", "--only", "*/pt-reclaim-off/free-before-sync"];
    step("the comparison of images", cmd!(shell, "{harness} {images...}"))?;
    step("the attacks", cmd!(shell, "{harness} attacks"))?;
    let faults = Table::new(project)?;
    let tests = cmd!(shell, "{cargo} test --locked --workspace");
    step("tests", tests.env(faults::TABLE_VARIABLE, faults.path()))?;
    faults.sum_up()?;
    Ok(Exit::Ok)
}

/// A matrix in which nothing is made to fail proves nothing, and has to say so.
fn without_injection(command: xshell::Cmd<'_>) -> Result<()> {
    let output =
        command.ignore_status().output().or_infra(|| "run the matrix without fault injection".to_owned())?;
    let report: Option<Report> = serde_json::from_slice(&output.stdout).ok();
    let vacuous = report.as_ref().is_some_and(is_vacuous);
    if output.status.code() == Some(Exit::Inconclusive as i32) && vacuous {
        return terminal::print_line("without fault injection the verdict is vacuous, as it must be");
    }
    Err(Failure::infra("a matrix without fault injection was not vacuous")
        .because(format!("it ended with {}", output.status))
        .because(report.map_or_else(|| "no report".to_owned(), |report| verdicts(&report))))
}

/// Every verdict of it is, tests were measured, and no failure was injected in any of them.
fn is_vacuous(report: &Report) -> bool {
    let mut pairs = report.pairs.iter().peekable();
    let mut tests = report.cells.iter().flat_map(|cell| &cell.scenarios).peekable();
    pairs.peek().is_some()
        && pairs.all(|pair| pair.verdict == Verdict::Vacuous)
        && tests.peek().is_some()
        && tests.all(|test| test.injected == 0)
}

fn verdicts(report: &Report) -> String {
    let pair = |pair: &PairReport| format!("{}: {}", report.place(pair), pair.verdict.name());
    report.pairs.iter().map(pair).collect::<Vec<_>>().join(", ")
}
