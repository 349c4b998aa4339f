//! What the kernels said: every splat with its file and line. Those of judged kernels stand open; those of planted bugs, which
//! have to be there, are folded. Part of the page.

use maud::{Markup, html};

use super::super::{CellReport, Report};

pub fn render(report: &Report) -> Markup {
    let cells: Vec<&CellReport> = report.cells.iter().filter(|cell| !cell.splats.is_empty()).collect();
    html! {
        @if !cells.is_empty() {
            section {
                h2 { "What the kernels said" }
                @for cell in cells { (of_cell(report, cell)) }
            }
        }
    }
}

fn of_cell(report: &Report, cell: &CellReport) -> Markup {
    let is_planted = report.controls.iter().any(|control| control.cell == cell.id);
    html! {
        h3 {
            (cell.id) ": "
            @if cell.splats_total == 1 { "1 splat" } @else { (cell.splats_total) " splats" }
            @if is_planted { ", of a planted bug" }
        }
        @if cell.splats_total > cell.splats.len() as u64 {
            p class="quiet" { "The first " (cell.splats.len()) " were kept." }
        }
        @for splat in &cell.splats {
            details open[!is_planted] {
                summary {
                    span class="bad" { (splat.kind.name()) }
                    " at " code { (splat.location.as_deref().unwrap_or("no file and line known")) }
                    ": " (splat.headline)
                }
                @if !splat.text.is_empty() { pre { (splat.text.join("\n")) } }
            }
        }
    }
}
