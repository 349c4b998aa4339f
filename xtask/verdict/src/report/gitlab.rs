//! Code quality of GitLab: a JSON array of remarks, each with a place in the repository and a fingerprint by which two
//! pipelines know the same remark.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Shown;
use super::annotation::{AddedByTree, Annotation, Severity, annotations};
use failure::{Context, Result, escape};

#[derive(Serialize)]
struct QualityIssue<'a> {
    description: String,
    check_name: &'a str,
    fingerprint: String,
    severity: &'static str,
    location: QualityLocation<'a>,
}

#[derive(Serialize)]
struct QualityLocation<'a> {
    path: &'a str,
    lines: QualityLines,
}

#[derive(Serialize)]
struct QualityLines {
    begin: u32,
    end: u32,
}

/// The report as code quality.
///
/// # Errors
/// When the library cannot serialize it.
pub fn render(report: &Shown, added: &AddedByTree) -> Result<String> {
    let annotations = annotations(report, added);
    // GitLab drops a remark without a place. One about the whole patch is put on its first line.
    let first = report.trees.first().map_or("", |tree| tree.name.as_str());
    let first = super::annotation::of_tree(report, added, first).first();
    let (path, line) = first.as_ref().map_or(("patch", 1), |span| (span.path.as_str(), span.first));
    let mut seen = BTreeMap::new();
    let issues: Vec<QualityIssue<'_>> = annotations
        .iter()
        .map(|annotation| {
            let place = annotation.place.as_ref().map(|span| (span.path.as_str(), span.first, span.last));
            let (path, begin, end) = place.unwrap_or((path, line, line));
            QualityIssue {
                description: format!("{}: {}", annotation.title, annotation.lines.join(" | ")),
                check_name: annotation.check,
                fingerprint: fingerprint(annotation, &mut seen),
                severity: match annotation.severity {
                    Severity::Error => "critical",
                    Severity::Warning => "major",
                    Severity::Notice => "info",
                },
                location: QualityLocation { path, lines: QualityLines { begin, end } },
            }
        })
        .collect();
    let json = serde_json::to_string_pretty(&issues).or_infra(|| "write code quality".to_owned())?;
    Ok(escape::json(&json).into_owned() + "\n")
}

/// Of what the remark is about and where, and of no number that another run measures differently. Of equal ones, also which
/// it is.
fn fingerprint(annotation: &Annotation, seen: &mut BTreeMap<String, u32>) -> String {
    let place = annotation.place.as_ref().map(|span| format!("{}:{}", span.path, span.first));
    let key = format!("{}\0{}\0{}", annotation.check, annotation.about, place.unwrap_or_default());
    let count = seen.entry(key.clone()).or_default();
    let own = format!("{key}\0{count}");
    *count = count.saturating_add(1);
    patch::blob_id(own.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::annotation::tests::{added, rich};
    use super::super::fixture;
    use super::*;
    use crate::judge::Verdict;

    fn rendered(report: &super::super::Report) -> Vec<Value> {
        serde_json::from_str(&render(&Shown::new(report).unwrap(), &added()).unwrap()).unwrap()
    }

    #[test]
    fn each_remark_is_an_issue() {
        insta::assert_snapshot!(render(&Shown::new(&rich()).unwrap(), &added()).unwrap());
    }

    #[test]
    fn fingerprints_are_those_of_the_last_run_and_differ_in_one() {
        let mut other = rich();
        other.pairs[0].reasons = vec!["patched: munmap: 198 of 200".to_owned()];
        let prints = |issues: &[Value]| -> Vec<String> {
            issues.iter().map(|issue| issue["fingerprint"].as_str().unwrap().to_owned()).collect()
        };
        let mut first = prints(&rendered(&rich()));
        assert_eq!(first, prints(&rendered(&other)));
        let all = first.len();
        first.sort();
        first.dedup();
        assert_eq!(first.len(), all);
    }

    #[test]
    fn remark_without_a_line_is_on_the_first_line_of_the_patch() {
        let issues = rendered(&fixture::report(Verdict::Infra, &["no QEMU"]));
        assert_eq!(issues[0]["location"]["path"], "mm/mmu_gather.c");
        assert_eq!(issues[0]["location"]["lines"]["begin"], 314);
    }

    proptest! {
        #[test]
        fn any_text_is_one_json_string(text in any::<String>()) {
            let mut report = rich();
            report.pairs[0].reasons = vec![text.clone()];
            report.controls[1].plants = text;
            for issue in rendered(&report) {
                prop_assert!(issue["description"].is_string() && issue["location"]["lines"]["begin"].is_u64());
            }
        }
    }
}
