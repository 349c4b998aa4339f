//! `docs/performance.md`: its words from a template, its figures from what was measured. Pure.

use super::{Measurement, Measurements};
use failure::escape;

/// Below the root of the repository.
pub const PAGE: &str = "docs/performance.md";

const TEMPLATE: &str = include_str!("performance.md");

/// The page, with lines as long as they come.
pub fn render(bench: &Measurements) -> String {
    let Measurements { date, revision, only, accels, cells, cores, rows, parts, forecast, disk_mib } = bench;
    let patterns = only.iter().map(|pattern| format!("`{}`", escape::line(pattern)));
    let cells = match only.is_empty() {
        true => format!("both arms and the controls of all variants, {cells} kernels"),
        false => format!("only the cells that match {}, {cells} kernels", list(patterns)),
    };
    let table: Vec<String> = rows.iter().map(row).collect();
    let figures = [
        ("@DATE@", date.clone()),
        ("@REVISION@", revision.clone()),
        ("@CORES@", cores.to_string()),
        ("@ACCEL@", list(accels.iter().cloned())),
        ("@CELLS@", cells),
        ("@ROWS@", format!("| measured | s | ratio | to |\n|---|---|---|---|\n{}", table.join("\n"))),
        ("@PARTS@", list(parts.iter().map(|(what, secs)| format!("{what} {secs:.0} s")))),
        ("@FORECAST@", list(forecast.iter().map(|(cores, secs)| format!("{cores}: {secs:.0} s")))),
        ("@DISK@", list(disk_mib.iter().map(|(what, mib)| format!("{what} {mib} MiB")))),
    ];
    figures.iter().fold(TEMPLATE.to_owned(), |text, (mark, figure)| text.replace(mark, figure))
}

fn row(row: &Measurement) -> String {
    let ratio = row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
    format!("| {} | {} | {ratio} | {} |", row.what, row.seconds(), row.against.unwrap_or_default())
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured() -> Measurements {
        let one = Some(("one cold build", 170.0));
        Measurements {
            date: "2026-11-26".to_owned(),
            revision: "0123456789ab".to_owned(),
            only: Vec::new(),
            accels: vec!["tcg".to_owned()],
            cells: 11,
            cores: 2,
            rows: vec![
                Measurement {
                    secs: 170.0,
                    ..Measurement::of("one cold kernel build", &[172.0, 168.0], None)
                },
                Measurement::of("the whole matrix, cold", &[270.3], one),
                Measurement::of("one line edited, one cell", &[11.0, 10.8, 10.5], one),
            ],
            parts: vec![("compile".to_owned(), 301.4), ("wall".to_owned(), 270.3)],
            forecast: vec![(2, 265.2), (64, 59.0)],
            disk_mib: vec![("source of one tree".to_owned(), 1800), ("cache".to_owned(), 361)],
        }
    }

    #[test]
    fn page_has_the_figures_in_the_place_of_every_mark() {
        let page = render(&measured());
        assert!(!page.contains('@'), "{page}");
        insta::assert_snapshot!(page);
    }

    #[test]
    fn page_of_some_cells_says_of_which() {
        let page = render(&Measurements { only: vec!["*/a/*".to_owned(), "*/b/*".to_owned()], ..measured() });
        assert!(page.contains("only the cells that match `*/a/*`, `*/b/*`, 11 kernels"), "{page}");
    }
}
