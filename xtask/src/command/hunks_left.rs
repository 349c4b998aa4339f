//! Hunks that no kernel that counts has executed yet, by tree, and when there are none left. Decides nothing about the patch.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::judge::reach;
use crate::observe::{ChangedHunk, Coverage};

/// Several kernels count at the same time, and what one of them has executed the others need not execute.
#[derive(Default)]
pub struct HunksLeft {
    by_tree: Mutex<BTreeMap<String, LeftOfTree>>,
}

#[derive(Default)]
struct LeftOfTree {
    hunks: Vec<ChangedHunk>,
    counted: Vec<Coverage>,
}

impl HunksLeft {
    pub fn add(&mut self, tree: &str, hunk: &ChangedHunk) {
        let by_tree = self.by_tree.get_mut().unwrap_or_else(PoisonError::into_inner);
        by_tree.entry(tree.to_owned()).or_default().hunks.push(hunk.clone());
    }

    /// Hears what was counted of `tree`, and says whether nothing is left of it.
    pub fn are_executed(&self, tree: &str, new: Vec<Coverage>) -> bool {
        let mut by_tree = self.by_tree.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left) = by_tree.get_mut(tree) else { return false };
        left.counted.extend(new);
        left.hunks.iter().all(|hunk| reach::is_executed(hunk, &left.counted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Neighbour;

    /// Where a statement was taken away.
    fn hunk(line: u32) -> ChangedHunk {
        ChangedHunk {
            number: 1,
            path: "fs/open.c".to_owned(),
            lines: Vec::new(),
            beside: vec![Neighbour { line, within: (line, line) }],
            functions: Vec::new(),
            uncounted: Vec::new(),
        }
    }

    fn executed(line: u32) -> Vec<Coverage> {
        let mut coverage = Coverage { scenario: "files".to_owned(), ..Coverage::default() };
        coverage.add("fs/open.c", line, 3);
        vec![coverage]
    }

    #[test]
    fn two_kernels_execute_together_what_is_left() {
        let mut left = HunksLeft::default();
        [10, 20].iter().for_each(|line| left.add("7.2", &hunk(*line)));
        assert!(!left.are_executed("7.2", executed(10)));
        assert!(!left.are_executed("7.1", executed(20)));
        assert!(left.are_executed("7.2", executed(20)));
    }
}
