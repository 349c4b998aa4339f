//! What stands behind the first screen: object code, guest tests, effects, planted bugs and the cost of the run. It goes to
//! `report.txt`, and to the screen with `--verbose`. Decides nothing.

use super::layout::fold;
use super::{Report, effect_table, marked, planted_table, reasons, scenario_table, version_table};

/// Sections with an empty line between them; none is wider than a line may be.
pub fn render(report: &Report) -> Vec<String> {
    let sections = [
        reasons::in_full(report),
        marked::whole(report),
        version_table::render(report),
        code(report),
        scenario_table::render(report),
        effect_table::render(report),
        planted_table::render(report),
        left_out(report),
        vec![cost(report)],
    ];
    let sections = sections.into_iter().filter(|section| !section.is_empty());
    let sections = sections.map(|section| section.iter().flat_map(|line| fold(line)).collect::<Vec<_>>());
    sections.collect::<Vec<_>>().join(&String::new())
}

/// What the compiler made of the files that the patch changes.
fn code(report: &Report) -> Vec<String> {
    let each = report.main_pairs().filter_map(|pair| {
        Some(format!("object code on {}, next to the base: {}", pair.name(), pair.code.as_ref()?.describe()))
    });
    each.collect()
}

/// Controls that have no place in the patch.
fn left_out(report: &Report) -> Vec<String> {
    let each = report.pairs.iter().flat_map(|pair| {
        let place = report.place(pair);
        pair.controls_left_out.iter().map(move |left_out| format!("{place}, {}: {left_out}", pair.arm))
    });
    each.collect()
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
