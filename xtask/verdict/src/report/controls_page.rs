//! The page of planted bugs and what caught each, from the reports of runs: `docs/controls.md`.

use std::fmt::Write as _;

use super::{ControlReport, Report};
use failure::escape;

pub fn render(reports: &[Report]) -> String {
    let mut text = "# Planted bugs\n\n\
        Written by `cargo xtask docs RUN…` from the reports of `cargo xtask matrix --controls all` and of the campaigns named\n\
        below. A control is the patched kernel with one bug. It is caught only if the judge would have failed a patch with this\n\
        bug, and by the evidence that the control's file in `patches/controls/` names.\n"
        .to_owned();
    for report in reports {
        let caught = report.controls.iter().filter(|control| control.caught).count();
        let trees: Vec<&str> = report.trees.iter().map(|tree| tree.version.as_str()).collect();
        let _ = write!(
            text,
            "\n## Campaign {}, Linux {}: {caught} of {} caught\n\nRun of {}.\n\n\
             | variant | planted bug | signal | what showed it |\n|---|---|---|---|\n",
            report.campaign,
            trees.join(", "),
            report.controls.len(),
            report.started
        );
        report.controls.iter().for_each(|control| row(&mut text, control));
    }
    text
}

fn row(text: &mut String, control: &ControlReport) {
    let ControlReport { name, arch, variant, arm, plants, signal, caught, by, .. } = control;
    let version = if arm == "patched" { String::new() } else { format!(" in {arm}") };
    let not = if *caught { "" } else { "NOT CAUGHT: " };
    let cell = |text: &str| escape::line(text).replace('|', "\\|");
    let _ = writeln!(
        text,
        "| {arch} {variant} | `{name}`{version}: {} | `{}` | {not}{} |",
        cell(plants),
        cell(signal),
        cell(by)
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Verdict;
    use crate::report::fixture;

    #[test]
    fn each_control_has_a_row_and_one_that_was_not_caught_is_shouted() {
        let text = render(&[fixture::report(Verdict::Pass, &[]), fixture::report(Verdict::Vacuous, &[])]);
        assert_eq!(text.matches("\n| x86_64 pt-reclaim-off | `preempt-disable`: a bug |").count(), 2);
        assert!(text.contains(": 1 of 1 caught") && text.contains(": 0 of 1 caught"), "{text}");
        assert_eq!(text.matches("NOT CAUGHT").count(), 1);
    }
}
