//! What gcov counted, as plain data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How often the lines of the files that the patch under test changes were executed while one scenario ran. Only lines that
/// have code are there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    pub scenario: String,
    /// By path in the tree, then by line.
    pub files: BTreeMap<String, BTreeMap<u32, u64>>,
}

impl Coverage {
    /// Saturating.
    pub fn add(&mut self, file: &str, line: u32, count: u64) {
        let known = self.files.entry(file.to_owned()).or_default().entry(line).or_default();
        *known = known.saturating_add(count);
    }
}
