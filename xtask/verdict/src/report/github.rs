//! Workflow commands of GitHub Actions: a line of standard output becomes an annotation on a line of the patch. Data and
//! properties are escaped as the runner takes them back (actions/toolkit, packages/core/src/command.ts).

use super::Shown;
use super::annotation::{AddedByTree, Annotation, Severity, annotations};

/// A line for each remark.
pub fn render(report: &Shown, added: &AddedByTree) -> String {
    annotations(report, added).iter().map(command).collect()
}

fn command(annotation: &Annotation) -> String {
    let name = match annotation.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Notice => "notice",
    };
    let mut properties = Vec::new();
    if let Some(place) = &annotation.place {
        properties.push(format!("file={}", property(&place.path)));
        properties.push(format!("line={}", place.first));
        properties.push(format!("endLine={}", place.last));
    }
    properties.push(format!("title={}", property(&format!("patchproof: {}", annotation.title))));
    format!("::{name} {}::{}\n", properties.join(","), data(&annotation.lines.join("\n")))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::annotation::tests::{added, rich};
    use super::super::annotation::{LineSpan, Severity};
    use super::*;

    #[test]
    fn each_remark_is_a_command() {
        insta::assert_snapshot!(render(&Shown::new(&rich()).unwrap(), &added()));
    }

    /// As the runner does it.
    fn unescaped(text: &str, is_property: bool) -> String {
        let text = if is_property { text.replace("%2C", ",").replace("%3A", ":") } else { text.to_owned() };
        text.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")
    }

    proptest! {
        #[test]
        fn runner_reads_back_what_was_written(path in ".+", title in any::<String>(), text in any::<String>()) {
            let annotation = Annotation {
                severity: Severity::Error,
                check: "x",
                about: String::new(),
                place: Some(LineSpan { path: path.clone(), first: 7, last: 8 }),
                title: title.clone(),
                lines: vec![text.clone()],
            };
            let line = command(&annotation);
            prop_assert_eq!(line.matches(['\n', '\r']).count(), 1);
            let rest = line.strip_prefix("::error ").unwrap().strip_suffix('\n').unwrap();
            let (properties, message) = rest.split_once("::").unwrap();
            prop_assert_eq!(unescaped(message, false), text);
            let fields: Vec<(&str, &str)> =
                properties.split(',').map(|field| field.split_once('=').unwrap()).collect();
            prop_assert_eq!(unescaped(fields[0].1, true), path);
            prop_assert_eq!(&fields[1..3], &[("line", "7"), ("endLine", "8")][..]);
            prop_assert_eq!(unescaped(fields[3].1, true), format!("patchproof: {title}"));
        }
    }
}
