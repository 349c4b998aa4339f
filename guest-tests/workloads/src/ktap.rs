//! Reads results in KTAP (Documentation/dev-tools/ktap.rst) and in TAP out of a program's output or a KUnit log. Pure: text
//! in, results out. It takes any text: what is no result is passed over.

use protocol::WorkResult;

use crate::results::Results;

/// Longest line that is looked at, in bytes.
const LINE_BYTES: usize = 4096;
/// Deepest nesting of subtests that is followed.
const DEPTH_MAX: usize = 8;

/// One result line.
#[derive(Debug, PartialEq, Eq)]
struct KtapLine<'a> {
    indent: usize,
    name: &'a str,
    result: WorkResult,
}

/// A line that opens a nested test, before its results (`# Subtest: name`).
#[derive(Debug, PartialEq, Eq)]
struct Subtest<'a> {
    indent: usize,
    name: &'a str,
}

/// Adds each result of `text` to `results`. The name of a nested one has those of the tests that it is in before it,
/// joined by ` / `; they are known by a `# Subtest:` line.
pub fn read(text: &str, results: &mut Results) {
    let mut open: Vec<Subtest<'_>> = Vec::new();
    for line in text.lines() {
        let line = line.get(..LINE_BYTES).unwrap_or(line);
        if let Some(subtest) = subtest(line) {
            open.retain(|outer| outer.indent < subtest.indent);
            if open.len() < DEPTH_MAX {
                open.push(subtest);
            }
        } else if let Some(KtapLine { indent, name, result }) = result(line) {
            // The line of the subtest itself stands less deep than those of what it holds.
            open.retain(|outer| outer.indent <= indent);
            if open.last().is_some_and(|last| last.indent == indent && last.name == name) {
                open.pop();
            }
            let path = open.iter().map(|outer| outer.name).chain([name]);
            results.add(&path.collect::<Vec<_>>().join(" / "), result);
            if results.is_full() {
                return;
            }
        }
    }
}

/// Its results are indented as far as the line itself.
fn subtest(line: &str) -> Option<Subtest<'_>> {
    let (indent, rest) = indented(line);
    let name = rest.strip_prefix("# Subtest:")?.trim();
    (!name.is_empty()).then_some(Subtest { indent, name })
}

/// `ok 1 name`, `not ok 2 - name # SKIP why`. The number and the hyphen may be missing (TAP).
fn result(line: &str) -> Option<KtapLine<'_>> {
    let (indent, rest) = indented(line);
    let (passed, rest) = match rest.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, rest.strip_prefix("ok")?),
    };
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    let rest = rest.trim_start();
    let after_number = rest.trim_start_matches(|character: char| character.is_ascii_digit());
    let numbered = after_number.is_empty() || after_number.starts_with(' ');
    let rest = if numbered { after_number.trim_start() } else { rest };
    let rest = rest.strip_prefix("- ").unwrap_or(rest);
    let (name, directive) = rest.split_once(" # ").or_else(|| rest.split_once('#')).unwrap_or((rest, ""));
    let name = match name.trim() {
        "" => "without a name",
        name => name,
    };
    Some(KtapLine { indent, name, result: judged(passed, directive.trim()) })
}

fn judged(passed: bool, directive: &str) -> WorkResult {
    let word = directive.split(|character: char| !character.is_ascii_alphabetic()).next().unwrap_or_default();
    let why = directive.get(word.len()..).unwrap_or_default().trim().to_owned();
    match word.to_ascii_uppercase().as_str() {
        "SKIP" => WorkResult::Skipped(why),
        // A failure that its author expects is none (`XFAIL` of the kselftest harness, `TODO` of TAP).
        "XFAIL" | "TODO" => WorkResult::Skipped(directive.to_owned()),
        _ if passed => WorkResult::Ok,
        "" => WorkResult::Failed("not ok".to_owned()),
        _ => WorkResult::Failed(directive.to_owned()),
    }
}

/// A kernel log may have its time before the line; a nested TAP of a kselftest `# ` for each level.
fn indented(line: &str) -> (usize, &str) {
    let line = match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((time, rest)) if time.trim().parse::<f64>().is_ok() => rest,
        _ => line,
    };
    let (mut indent, mut rest) = (0, line);
    loop {
        if let Some(after) = rest.strip_prefix("    ") {
            (indent, rest) = (indent + 1, after);
        } else if let Some(after) = rest.strip_prefix("# ").filter(|after| is_nested(after)) {
            (indent, rest) = (indent + 1, after);
        } else {
            return (indent, rest.trim());
        }
    }
}

fn is_nested(rest: &str) -> bool {
    let rest = rest.trim_start_matches("# ");
    ["ok ", "not ok ", "    "].iter().any(|begin| rest.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::RESULTS_MAX;

    use super::*;

    fn all(text: &str) -> Vec<(String, WorkResult)> {
        let mut results = Results::default();
        read(text, &mut results);
        results.into_map().into_iter().collect()
    }

    fn ok(name: &str) -> (String, WorkResult) {
        (name.to_owned(), WorkResult::Ok)
    }

    #[test]
    fn a_kunit_log_gives_each_case_below_its_suite() {
        let log = "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: time_test\n    1..2\n\
                   \x20   ok 1 date_range\n    # a comment\n    not ok 2 leap\n# time_test: pass:1 fail:1\n\
                   not ok 1 time_test\n";
        let failed = || WorkResult::Failed("not ok".to_owned());
        assert_eq!(
            all(log),
            [
                ("time_test".to_owned(), failed()),
                ok("time_test / date_range"),
                ("time_test / leap".to_owned(), failed())
            ]
        );
    }

    #[test]
    fn parameters_of_a_case_are_nested_twice() {
        let log = "    KTAP version 1\n    # Subtest: suite\n        KTAP version 1\n        # Subtest: case\n\
                   \x20       ok 1 first\n        ok 2 second\n    ok 1 case\nok 1 suite\n";
        assert_eq!(
            all(log),
            [ok("suite"), ok("suite / case"), ok("suite / case / first"), ok("suite / case / second")]
        );
    }

    #[test]
    fn a_selftest_in_tap_has_hyphens_skips_and_expected_failures() {
        let log = "TAP version 13\n1..4\nok 1 - open\nok 2 # SKIP not root\nnot ok 3 - close # exit=1\n\
                   ok 4 slow # XFAIL on this\nokay\nok\n";
        assert_eq!(
            all(log),
            [
                ("close".to_owned(), WorkResult::Failed("exit=1".to_owned())),
                ok("open"),
                ("slow".to_owned(), WorkResult::Skipped("XFAIL on this".to_owned())),
                ("without a name".to_owned(), WorkResult::Skipped("not root".to_owned())),
                ok("without a name (2)"),
            ]
        );
    }

    #[test]
    fn what_run_selftests_nests_by_a_hash_is_read() {
        assert_eq!(
            all("# ok 1 global.get\nok 1 selftests: x: y\n"),
            [ok("global.get"), ok("selftests: x: y")]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_taken_and_the_results_are_bounded(text in "(( {4}|# |\\[ *1\\.0\\] )*(ok|not ok|# Subtest:)[ 0-9a-c#é-]*\n?){0,60}") {
            prop_assert!(all(&text).len() <= RESULTS_MAX);
        }
    }
}
