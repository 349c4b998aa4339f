//! The report as Markdown, for the summary of a CI job: verdict, answers, a row for each variant, why, and the lines of the
//! patch. What others wrote stands in it as text: it makes no link, no image, no mention and no HTML.

use super::layout::WIDTH;
use super::{PairReport, Report, Shown, answers, human, marked, reasons};
use crate::judge::Verdict;

/// Lines of the patch that a summary shows. GitHub takes one MiB of a step.
const PATCH_LINES: usize = 400;

pub fn render(report: &Shown) -> String {
    let mut out = vec![format!("## patchproof: {}", text(&human::summary(report))), String::new()];
    out.extend(human::header(report).iter().map(|line| format!("- {}", text(line.trim()))));
    out.push(String::new());
    out.extend(table(&["question", "answer"], answers::questions(report).into_iter().map(Vec::from)));
    out.push(String::new());
    out.extend(table(
        &["verdict", "variant", "guest tests", "controls"],
        report.pairs.iter().map(|pair| row(report, pair)),
    ));
    for pair in report.pairs.iter().filter(|pair| pair.verdict != Verdict::Pass) {
        out.push(String::new());
        out.push(format!("### {}: {}", text(&pair.name()), pair.verdict.name()));
        out.push(String::new());
        out.extend(reasons::of_pair(report, pair).iter().map(|reason| format!("- {}", text(reason))));
    }
    out.extend(splats(report));
    out.extend(patch(report));
    out.join("\n") + "\n"
}

fn row(report: &Report, pair: &PairReport) -> Vec<String> {
    vec![
        pair.verdict.name().to_owned(),
        human::name_and_kind(pair),
        human::tests(report, pair),
        human::controls(report, pair),
    ]
}

/// Of patches that failed, the first splat of each kernel.
fn splats(report: &Report) -> Vec<String> {
    let failed = report.main_pairs().filter(|pair| pair.verdict == Verdict::Fail);
    let cells = failed.filter_map(|pair| report.cell(pair, &pair.arm));
    let mut out = Vec::new();
    for (cell, splat) in cells.filter_map(|cell| Some((cell, cell.splats.first()?))) {
        let lines = std::iter::once(&splat.headline).chain(splat.text.iter().skip(1));
        out.extend([String::new(), format!("Splat of {}:", text(&cell.id)), String::new()]);
        out.extend(block("", lines.cloned().collect()));
    }
    out
}

/// The lines of the patch with what was reached of each.
fn patch(report: &Report) -> Vec<String> {
    let mut lines = marked::changed(report);
    if lines.is_empty() {
        return Vec::new();
    }
    let more = lines.len().saturating_sub(PATCH_LINES);
    lines.truncate(PATCH_LINES);
    if more > 0 {
        lines.push(format!("{more} lines more: report.txt"));
    }
    let mut out =
        vec![String::new(), "<details><summary>The patch, line by line</summary>".to_owned(), String::new()];
    out.extend(block("", lines));
    out.extend([String::new(), "</details>".to_owned()]);
    out
}

/// Lines as they are, between fences that none of them can end.
fn block(language: &str, lines: Vec<String>) -> Vec<String> {
    let longest = lines.iter().flat_map(|line| line.split(|c| c != '`')).map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.saturating_add(1).max(3));
    let mut out = vec![format!("{fence}{language}")];
    out.extend(lines);
    out.push(fence);
    out
}

fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<String> {
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let mut out = vec![
        line(header.iter().map(ToString::to_string).collect()),
        line(header.iter().map(|_| "---".to_owned()).collect()),
    ];
    let cell = |cell: String| cell.lines().map(|line| text(line.trim())).collect::<Vec<_>>().join("<br>");
    out.extend(rows.map(|row| line(row.into_iter().map(cell).collect())));
    out
}

/// Characters that begin something else than text. A backslash before any of them takes it away (CommonMark, 2.4); before `:`
/// and `@` it also ends what GitHub would make a link of.
const SPECIAL: &str = "\\`*_{}[]<>()#!|~:@&$";

/// A line as text.
fn text(line: &str) -> String {
    let mut out = String::with_capacity(line.len().min(usize::from(WIDTH)));
    for c in line.chars() {
        if SPECIAL.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    // A link without a scheme.
    out.replace("www.", "www\\.").replace("WWW.", "WWW\\.")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::annotation::tests::rich;
    use super::super::fixture;
    use super::*;

    #[test]
    fn summary_has_verdict_answers_table_reasons_and_lines() {
        insta::assert_snapshot!(render(&Shown::new(&rich()).unwrap()));
    }

    #[test]
    fn what_others_wrote_is_text() {
        let hostile = "<img src=x> ![a](http://e.org) @you | `x` www.e.org [b](c) **d** #1";
        let escaped = text(hostile);
        assert_eq!(
            escaped,
            "\\<img src=x\\> \\!\\[a\\]\\(http\\://e.org\\) \\@you \\| \\`x\\` www\\.e.org \\[b\\]\\(c\\) \\*\\*d\\*\\* \\#1"
        );
        let mut report = fixture::report(Verdict::Fail, &[hostile]);
        report.patch.subject = Some(hostile.to_owned());
        report.pairs[0].variant = hostile.to_owned();
        let page = render(&Shown::new(&report).unwrap());
        // Whatever stands behind a backslash is text.
        let live: Vec<&str> = page.split('\\').collect();
        let live: String = live.iter().enumerate().map(|(at, part)| &part[usize::from(at > 0)..]).collect();
        assert!(!live.contains("<img") && !live.contains("](") && !live.contains("@you"), "{live}");
    }

    #[test]
    fn no_line_ends_its_block() {
        let lines = block("", vec!["``` a".to_owned(), "`````".to_owned()]);
        assert_eq!(lines, ["``````", "``` a", "`````", "``````"]);
    }

    proptest! {
        #[test]
        fn backslashes_are_all_that_is_added(line in any::<String>()) {
            let escaped = text(&line);
            let mut chars = escaped.chars();
            let mut back = String::new();
            while let Some(c) = chars.next() {
                prop_assert!(c == '\\' || !SPECIAL.contains(c), "{escaped}");
                back.push(if c == '\\' { chars.next().unwrap() } else { c });
            }
            prop_assert_eq!(back, line);
        }
    }
}
