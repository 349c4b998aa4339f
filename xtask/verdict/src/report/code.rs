//! What two arms' compilers made of the same files, held against each other by function. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::observe::Code;

/// What differs between two builds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeReport {
    /// Functions compared, as `OBJECT: FUNCTION`.
    pub functions: usize,
    pub changed: Vec<String>,
    pub added: Vec<String>,
    pub removed: Vec<String>,
    /// Variables and tables that differ, are new or are gone, as `OBJECT: SECTION VARIABLE`.
    #[serde(default)]
    pub data_changed: Vec<String>,
    /// Other objects that include a changed header, compared byte by byte.
    pub including: usize,
    pub including_changed: Vec<String>,
}

impl CodeReport {
    /// None where there is nothing to compare: then nothing is known.
    pub fn new(before: &Code, after: &Code) -> Option<CodeReport> {
        if before.functions.is_empty() || after.functions.is_empty() {
            return None;
        }
        let in_both = |a: &BTreeMap<String, String>, b: &BTreeMap<String, String>| {
            a.keys().filter(|name| b.contains_key(*name)).count()
        };
        Some(CodeReport {
            functions: in_both(&before.functions, &after.functions),
            changed: changed(&before.functions, &after.functions),
            added: missing(&after.functions, &before.functions),
            removed: missing(&before.functions, &after.functions),
            data_changed: {
                let mut names = changed(&before.data, &after.data);
                names.extend(missing(&after.data, &before.data));
                names.extend(missing(&before.data, &after.data));
                names
            },
            including: in_both(&before.including, &after.including),
            including_changed: changed(&before.including, &after.including),
        })
    }

    /// Every function and variable that both have is the same.
    pub fn is_same(&self) -> bool {
        let changed = [&self.changed, &self.removed, &self.data_changed, &self.including_changed];
        changed.into_iter().all(Vec::is_empty)
    }

    pub fn describe(&self) -> String {
        let Self { functions, changed, added, removed, data_changed, including, including_changed } = self;
        let list = |what: &str, names: &[String]| match names {
            [] => String::new(),
            names => {
                format!("; {what} {}", names.iter().map(|name| function(name)).collect::<Vec<_>>().join(", "))
            }
        };
        let same = match self.is_same() {
            true => format!(
                "the same in all {functions} functions and {including} objects that include a changed header"
            ),
            false => format!(
                "the same in {} of {functions} functions, {} of {including} objects that include a changed header",
                functions.saturating_sub(changed.len()),
                including.saturating_sub(including_changed.len())
            ),
        };
        same + &list("changed:", changed)
            + &list("new:", added)
            + &list("gone:", removed)
            + &list("data:", data_changed)
            + &list("objects:", including_changed)
    }
}

/// `OBJECT: FUNCTION` without its object.
fn function(name: &str) -> &str {
    name.rsplit(": ").next().unwrap_or(name)
}

fn changed(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let differs =
        |(name, digest): &(&String, &String)| after.get(*name).is_some_and(|other| other != *digest);
    before.iter().filter(differs).map(|(name, _)| name.clone()).collect()
}

fn missing(from: &BTreeMap<String, String>, in_: &BTreeMap<String, String>) -> Vec<String> {
    from.keys().filter(|name| !in_.contains_key(*name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(functions: &[(&str, &str)], including: &[(&str, &str)]) -> Code {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, digest)| ((*name).to_owned(), (*digest).to_owned())).collect()
        };
        Code { functions: map(functions), data: BTreeMap::new(), including: map(including) }
    }

    #[test]
    fn equal_code_with_a_new_function_is_the_same_and_says_which_is_new() {
        let before = code(&[("m.o: a", "1")], &[("x.o", "5")]);
        let after = code(&[("m.o: a", "1"), ("m.o: helper", "2")], &[("x.o", "5")]);
        let report = CodeReport::new(&before, &after).unwrap();
        assert!(report.is_same());
        assert_eq!(
            report.describe(),
            "the same in all 1 functions and 1 objects that include a changed header; new: helper"
        );
    }

    #[test]
    fn what_changed_is_named() {
        let before = code(&[("m.o: a", "1"), ("m.o: b", "1")], &[("x.o", "5")]);
        let after = code(&[("m.o: a", "2")], &[("x.o", "6")]);
        let report = CodeReport::new(&before, &after).unwrap();
        assert!(!report.is_same());
        assert_eq!(
            report.describe(),
            "the same in 0 of 1 functions, 0 of 1 objects that include a changed header; changed: a; gone: b; objects: x.o"
        );
        assert_eq!(CodeReport::new(&code(&[], &[]), &after), None);
    }
}
