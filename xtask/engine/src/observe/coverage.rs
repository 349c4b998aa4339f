//! What gcov counted, as plain data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How often the lines of the files that the patch under test changes were executed while one scenario ran. Only lines that
/// have code are there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    pub scenario: String,
    /// By path in the tree, then by line.
    #[serde(with = "lines_as_pairs")]
    pub files: BTreeMap<String, BTreeMap<u32, u64>>,
}

/// Lines and counts as pairs: a number as a key is text in JSON, and is not read back from inside of a tagged value.
mod lines_as_pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    type Files = BTreeMap<String, BTreeMap<u32, u64>>;

    pub fn serialize<S: Serializer>(files: &Files, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = files.iter().map(|(path, lines)| (path, lines.iter().collect::<Vec<_>>()));
        pairs.collect::<BTreeMap<_, _>>().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Files, D::Error> {
        let pairs = BTreeMap::<String, Vec<(u32, u64)>>::deserialize(deserializer)?;
        Ok(pairs.into_iter().map(|(path, lines)| (path, lines.into_iter().collect())).collect())
    }
}

impl Coverage {
    /// Saturating.
    pub fn add(&mut self, file: &str, line: u32, count: u64) {
        let known = self.files.entry(file.to_owned()).or_default().entry(line).or_default();
        *known = known.saturating_add(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_back_from_inside_of_a_tagged_value() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "state")]
        enum Tagged {
            Ran { coverage: Coverage },
        }
        let mut coverage = Coverage { scenario: "files".to_owned(), ..Coverage::default() };
        coverage.add("fs/open.c", 76, 3);
        coverage.add("fs/open.c", 80, 0);
        let ran = Tagged::Ran { coverage };
        let json = serde_json::to_string(&ran).unwrap();
        assert_eq!(serde_json::from_str::<Tagged>(&json).unwrap(), ran);
    }
}
