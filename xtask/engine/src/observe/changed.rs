//! The lines that a patch changes, as plain data.

use serde::{Deserialize, Serialize};

/// Lines that are changed beside each other in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedHunk {
    /// From 1, over all files of the patch.
    pub number: usize,
    pub path: String,
    pub lines: Vec<ChangedLine>,
    /// Of a hunk that adds no code and takes some away: lines of the patched file that run where it was.
    pub beside: Vec<Neighbour>,
    /// The functions that it changes: each by its name, with those that call it in the same file behind it. A function that the
    /// compiler made part of its caller has no address.
    #[serde(default)]
    pub functions: Vec<Vec<String>>,
    /// What else it changes that becomes code or data, and of which nothing counts whether it is used: `a macro`, `data`.
    #[serde(default)]
    pub uncounted: Vec<String>,
}

/// A statement that runs where code was taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its first line.
    pub line: u32,
    /// As [`ChangedLine::within`].
    pub within: (u32, u32),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedLine {
    pub side: Side,
    /// From 1, in the file that has it.
    pub number: u32,
    pub text: String,
    /// First and last line of the statement that it belongs to, in the file that has it; None: a comment, a declaration,
    /// data, a brace.
    pub statement: Option<(u32, u32)>,
    /// First and last of the lines that are compiled where this one is: of its branch of an `#if`, or of its function; None:
    /// outside of every function.
    #[serde(default)]
    pub within: Option<(u32, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Context,
    Added,
    Removed,
}

impl ChangedHunk {
    /// It is in a file of tests, or in a suite that stands beside what it tests.
    pub fn is_in_a_test(&self) -> bool {
        let is_of_tests = |word: &str| matches!(word, "test" | "tests" | "kunit" | "selftest" | "selftests");
        self.path.split(['/', '_', '-', '.']).any(is_of_tests)
            || self.lines.iter().any(|line| line.text.to_ascii_lowercase().contains("kunit"))
    }

    /// The patch changes code here: by a line that it adds, or by one that it takes away.
    pub fn has_code(&self) -> bool {
        self.lines.iter().any(|line| line.side != Side::Context && line.statement.is_some())
    }

    /// `FILE:LINE` of the first change.
    pub fn place(&self) -> String {
        let first = self.lines.iter().find(|line| line.side != Side::Context);
        format!("{}:{}", self.path, first.map_or(0, |line| line.number))
    }
}
