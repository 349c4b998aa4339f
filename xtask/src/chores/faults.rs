//! `cargo xtask faults`: everything that goes wrong around a kernel, one after another, with what came of it. The
//! faults are the end-to-end tests, each of which writes its line of the table; this runs them and adds up.

use std::path::Path;

use xshell::{Shell, cmd};

use crate::campaign::project::Project;
use crate::host::terminal;
use crate::report::layout;
use failure::{Context, Exit, Failure, Result};

/// Names the file that the tests write their lines to (xtask/tests/end_to_end/bench.rs).
pub const TABLE_VARIABLE: &str = "PATCHPROOF_FAULT_TABLE";

/// One fault that was injected.
#[derive(Debug, PartialEq, Eq)]
struct TableLine<'a> {
    name: &'a str,
    verdict: &'a str,
    exit: &'a str,
    gave_pass: bool,
    next_run_passed: bool,
}

/// Runs every fault and prints the table.
///
/// # Errors
/// When a test fails, when a fault gave a pass, or when the run after it needed help.
pub fn faults(project: &Project) -> Result<Exit> {
    let shell = Shell::new().or_infra(|| "start a shell".to_owned())?;
    shell.change_dir(&project.root);
    project.environment().for_each(|(variable, place)| shell.set_var(variable, place));
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let table = Table::new(project)?;
    let tests = cmd!(shell, "{cargo} test --locked -p xtask --test end_to_end");
    // xshell's own echo is an eprintln!, which panics on a closed pipe.
    terminal::say(&format!("$ {tests}"));
    let ran = tests.env(TABLE_VARIABLE, table.path()).quiet().run();
    // The table first: it says more than the status of the tests.
    let summed_up = table.sum_up();
    ran.map_err(|error| Failure::infra("a test of the faults failed").because(error.to_string()))?;
    summed_up.map(|()| Exit::Ok)
}

/// The file that the tests append to, for anyone who runs them.
#[derive(Debug)]
pub struct Table(tempfile::NamedTempFile);

impl Table {
    /// # Errors
    /// When the file cannot be made.
    pub fn new(project: &Project) -> Result<Table> {
        let work = project.work();
        let make = || -> std::io::Result<tempfile::NamedTempFile> {
            std::fs::create_dir_all(&work)?;
            tempfile::Builder::new().prefix("faults-").tempfile_in(&work)
        };
        Ok(Table(make().or_infra(|| format!("write below {}", work.display()))?))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Prints the table.
    ///
    /// # Errors
    /// When it is empty, when a fault gave a pass, or when the run after it needed help.
    pub fn sum_up(&self) -> Result<()> {
        let text = std::fs::read_to_string(self.path()).or_infra(|| "read the table of faults".to_owned())?;
        let mut faults = text.lines().map(parse).collect::<Result<Vec<_>>>()?;
        faults.sort_by_key(|fault| fault.name);
        terminal::print(&render(&faults))?;
        let bad = |fault: &&TableLine<'_>| fault.gave_pass || !fault.next_run_passed;
        match faults.iter().find(bad) {
            Some(fault) => Err(Failure::internal(format!("the fault `{}` was not survived", fault.name))),
            None if faults.is_empty() => Err(Failure::internal("no fault was injected")),
            None => Ok(()),
        }
    }
}

fn parse(line: &str) -> Result<TableLine<'_>> {
    let fields: Vec<&str> = line.split('\t').collect();
    match fields.as_slice() {
        [name, verdict, exit, gave_pass @ ("true" | "false"), next @ ("true" | "false")] => Ok(TableLine {
            name,
            verdict,
            exit,
            gave_pass: *gave_pass == "true",
            next_run_passed: *next == "true",
        }),
        _ => Err(Failure::internal(format!("not a line of the table of faults: {line:?}"))),
    }
}

fn render(faults: &[TableLine<'_>]) -> String {
    let rows = faults.iter().map(|fault| {
        let next = if fault.next_run_passed { "passed" } else { "NEEDED HELP" };
        [fault.name, fault.verdict, fault.exit, next].map(str::to_owned).to_vec()
    });
    let table = layout::table(&["fault", "verdict", "exit", "the run after it"], &rows.collect::<Vec<_>>());
    let passes = faults.iter().filter(|fault| fault.gave_pass).count();
    let helped = faults.iter().filter(|fault| !fault.next_run_passed).count();
    format!(
        "{}\n\n{} faults injected, {passes} gave a pass, after {helped} the next run needed help\n",
        table.join("\n"),
        faults.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_gave_a_pass_or_was_in_the_way_is_counted() {
        let lines = ["guest: hangs\tfail\t1\tfalse\ttrue", "x\tpass\t0\ttrue\tfalse"];
        let faults: Vec<TableLine<'_>> = lines.iter().map(|line| parse(line).unwrap()).collect();
        let text = render(&faults);
        assert!(
            text.ends_with("2 faults injected, 1 gave a pass, after 1 the next run needed help\n"),
            "{text}"
        );
        assert!(parse("x\tpass\t0\tmaybe\tfalse").is_err());
    }
}
