//! A report with every string escaped. Renderers take only this type, so a new field cannot be shown without an escape.

use std::ops::Deref;

use super::Report;
use failure::{Failure, Result, escape};

#[derive(Debug)]
pub struct Shown(Report);

impl Shown {
    /// # Errors
    /// When the report has a value that JSON has not, such as NaN: a bug in the harness.
    pub fn new(report: &Report) -> Result<Shown> {
        let value = serde_json::to_value(report).map_err(|error| unshowable(&error))?;
        serde_json::from_value(escape::strings(value)).map(Shown).map_err(|error| unshowable(&error))
    }
}

fn unshowable(error: &serde_json::Error) -> Failure {
    Failure::internal("the report cannot be shown").because(error.to_string())
}

impl Deref for Shown {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::annotation::tests::added;
    use super::super::case::tests::tails;
    use super::super::{
        CodeReport, ControlLeftOut, NotApplicable, Report, fixture, github, gitlab, human, junit, ktap,
        layout, markdown,
    };
    use super::*;
    use crate::judge::{Repetition, Verdict};

    /// Attacks on a terminal, on the reader, on XML, and a line that looks like one of the report.
    const HOSTILE: &str =
        "\u{1b}]0;title\u{7}\u{1b}[2J\0\u{8}\u{9b}31m\u{202e}\u{2066}\u{fffe}\u{ffff}]]><&\"'\r\n  7.2: pass";

    /// A report without empty fields.
    fn full() -> Report {
        let mut report = fixture::report(Verdict::Fail, &["a reason"]);
        let changed = vec!["mm/x.o: f".to_owned()];
        report.pairs[0].code = Some(CodeReport { functions: 1, changed, ..CodeReport::default() });
        report.pairs[0].not_applicable =
            vec![NotApplicable { scenario: "ldt".to_owned(), why: "no PTI".to_owned() }];
        report.pairs[0].controls_left_out =
            vec![ControlLeftOut { name: "leak".to_owned(), why: "no such line".to_owned() }];
        let mut version = report.pairs[0].clone();
        version.arm = "v3".to_owned();
        report.pairs.push(version);
        report.trees[0].versions.insert("v3".to_owned(), report.patch.clone());
        report.trees[0].sensitive = vec![super::super::SensitiveReport {
            path: "mm/Makefile".to_owned(),
            why: "code that the build executes".to_owned(),
        }];
        report.trees[0].undone = Some("held".to_owned());
        report.cells[0].recorded = Some("2026-01-01T00:00:00Z".to_owned());
        report.cells[0].repetition = Some(Repetition { boots: 2, failed: 1, bound: None });
        report.cells[1].warnings = vec!["a warning".to_owned()];
        report.cells[1].scenarios[0].done = vec![protocol::Done { what: "walks".to_owned(), count: 7 }];
        report.left_out = vec![super::super::LeftOutReport {
            tree: "7.2".to_owned(),
            arch: "x86_64".to_owned(),
            variant: "v".to_owned(),
            hunk: 1,
            place: "mm/x.c:1".to_owned(),
            noticed: false,
            by: "nothing".to_owned(),
        }];
        report
    }

    /// Where the strings of a report are, or its numbers.
    fn fields(value: &Value, is_one: fn(&Value) -> bool, at: &str, found: &mut Vec<String>) {
        match value {
            value if is_one(value) => found.push(at.to_owned()),
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(index, item)| fields(item, is_one, &format!("{at}/{index}"), found));
            }
            Value::Object(map) => {
                map.iter().for_each(|(name, field)| fields(field, is_one, &format!("{at}/{name}"), found));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn is_shown(text: &str) {
        assert_eq!(escape::lines(text), text);
    }

    fn fits(text: &str) {
        for line in text.lines() {
            assert!(layout::width(line) <= usize::from(layout::WIDTH), "too wide: {line}");
        }
    }

    fn all_renderers(report: &Report) {
        let shown = Shown::new(report).unwrap();
        let text = human::whole(&shown, HOSTILE, false);
        is_shown(&text);
        fits(&text);
        assert!(!text.lines().any(|line| line.starts_with("  7.2: pass")), "{text}");
        let coloured = human::whole(&shown, HOSTILE, true);
        is_shown(
            &["31", "32", "33", "0"]
                .iter()
                .fold(coloured, |text, code| text.replace(&format!("\u{1b}[{code}m"), "")),
        );
        let xml = junit::render(&shown, &tails()).unwrap();
        is_shown(&xml);
        roxmltree::Document::parse(&xml).unwrap();
        is_shown(&ktap::render(&shown, &tails()));
        is_shown(&markdown::render(&shown));
        is_shown(&github::render(&shown, &added()));
        is_shown(&gitlab::render(&shown, &added()).unwrap());
        is_shown(&serde_json::to_string_pretty(&*shown).unwrap());
    }

    /// What a report comes to when the fields that are found are `new`, one by one and all together.
    fn with_fields(is_one: fn(&Value) -> bool, new: &Value, look: impl Fn(&Report)) -> usize {
        let sound = serde_json::to_value(full()).unwrap();
        let mut found = Vec::new();
        fields(&sound, is_one, "", &mut found);
        let mut taken = 0;
        let mut everywhere = sound.clone();
        for field in &found {
            let mut value = sound.clone();
            *value.pointer_mut(field).unwrap() = new.clone();
            // An enum takes no other word, and a small number no great one.
            let Ok(report) = serde_json::from_value::<Report>(value) else { continue };
            look(&report);
            *everywhere.pointer_mut(field).unwrap() = new.clone();
            taken += 1;
        }
        look(&serde_json::from_value(everywhere).unwrap());
        taken
    }

    #[test]
    fn hostile_text_in_any_field_is_escaped_in_every_rendering() {
        assert!(roxmltree::Document::parse("<a>\u{fffe}</a>").is_err());
        let taken = with_fields(Value::is_string, &HOSTILE.into(), all_renderers);
        assert!(taken > 80, "{taken}");
    }

    #[test]
    fn no_line_is_too_wide_however_long_a_text_is() {
        let texts = ["\u{e9}".repeat(350), "a few words ".repeat(40), "\u{6f22}\u{1f980} ".repeat(90)];
        for text in texts {
            let taken = with_fields(Value::is_string, &text.clone().into(), |report| {
                let shown = Shown::new(report).unwrap();
                fits(&human::screen(&shown, &text, false));
                fits(&human::whole(&shown, &text, false));
            });
            assert!(taken > 80, "{taken}");
        }
        let taken = with_fields(Value::is_number, &u64::MAX.into(), all_renderers);
        assert!(taken > 20, "{taken}");
    }

    #[test]
    fn long_name_is_wrapped_and_not_cut() {
        let mut report = full();
        let name = "\u{e9}".repeat(350);
        report.pairs[0].variant = name.clone();
        report.controls[0].name = name.clone();
        report.cells[1].scenarios[0].name = name.clone();
        let text = human::whole(&Shown::new(&report).unwrap(), "/runs/1", false);
        let shown = text.matches('\u{e9}').count();
        assert!(shown >= 3 * 350 && shown.is_multiple_of(350), "{shown} in {text}");
    }

    #[test]
    fn report_without_hostile_text_is_unchanged() {
        let report = full();
        let shown = Shown::new(&report).unwrap();
        assert_eq!(serde_json::to_value(&*shown).unwrap(), serde_json::to_value(&report).unwrap());
    }
}
