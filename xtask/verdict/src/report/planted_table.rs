//! What became of each planted bug, as a table. Part of the details.

use super::{ControlReport, Report, layout};

/// The lines of the table; none where no bug was planted.
pub fn render(report: &Report) -> Vec<String> {
    let rows: Vec<Vec<String>> = report.controls.iter().map(|control| row(report, control)).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    layout::table(&["planted bug", "took", "what must expose it, and what was seen"], &rows)
}

fn row(report: &Report, control: &ControlReport) -> Vec<String> {
    let place = report.name_of(&control.tree, &control.arch, &control.variant);
    let caught = if control.caught { "caught" } else { "NOT CAUGHT" };
    let took = control.secs.map_or_else(|| "not run now".to_owned(), |secs| format!("{secs:.0} s"));
    vec![
        format!("{}\n  {place}", control.name),
        took,
        format!("{caught} by {}\n{}", control.signal, control.by),
    ]
}
