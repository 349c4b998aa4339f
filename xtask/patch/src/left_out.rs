//! A series with one of its hunks left out: a hunk that nothing notices is one that nothing tests. Pure.

use serde::{Deserialize, Serialize};

use super::Series;

/// Where a hunk stands: its file, and the line its header names in the old file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HunkPlace {
    pub path: String,
    pub old_start: usize,
}

/// The hunks of a series, in order.
pub fn hunks(series: &Series) -> Vec<HunkPlace> {
    let files = series.patches.iter().flat_map(|patch| &patch.files);
    files
        .flat_map(|file| {
            file.hunks.iter().map(|hunk| HunkPlace { path: file.path.clone(), old_start: hunk.old_start })
        })
        .collect()
}

/// The series without its hunk `number`, from 1. What is left is not what was posted, so the post-image blob of
/// that file is left out too.
pub fn without_hunk(series: &Series, number: usize) -> Series {
    let mut left = series.clone();
    let mut before = 0;
    for file in left.patches.iter_mut().flat_map(|patch| &mut patch.files) {
        let here = number.wrapping_sub(before + 1);
        before += file.hunks.len();
        if here < file.hunks.len() {
            file.hunks.remove(here);
            file.post_blob = None;
        }
    }
    // A rename, a change of mode, an empty file have no hunk, and stay.
    for (patch, before) in left.patches.iter_mut().zip(&series.patches) {
        let mut had_hunks = before.files.iter().map(|file| !file.hunks.is_empty());
        patch.files.retain(|file| {
            let goes_on = file.from.is_some() || file.old_mode.is_some();
            !had_hunks.next().unwrap_or(false) || !file.hunks.is_empty() || goes_on
        });
    }
    left
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    const PATCH: &[u8] = b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n@@ -9 +9 @@\n-c\n+d\n--- a/y\n+++ b/y\n@@ -5 +5 @@\n-e\n+f\n";

    #[test]
    fn each_hunk_can_be_left_out_and_the_others_stay() {
        let series = read(PATCH, "p").unwrap();
        let places = |series: &Series| -> Vec<String> {
            hunks(series).iter().map(|hunk| format!("{}:{}", hunk.path, hunk.old_start)).collect()
        };
        assert_eq!(places(&series), ["x:1", "x:9", "y:5"]);
        assert_eq!(places(&without_hunk(&series, 1)), ["x:9", "y:5"]);
        assert_eq!(places(&without_hunk(&series, 2)), ["x:1", "y:5"]);
        assert_eq!(places(&without_hunk(&series, 3)), ["x:1", "x:9"]);
        assert_eq!(without_hunk(&series, 3).patches[0].files.len(), 1);
    }

    #[test]
    fn a_mode_stays_when_the_only_hunk_of_its_file_is_left_out() {
        let text =
            "diff --git a/x b/x\nold mode 100644\nnew mode 100755\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";
        let left = without_hunk(&read(text.as_bytes(), "p").unwrap(), 1);
        assert_eq!(left.patches[0].files[0].makes_executable(), Some(true));
    }
}
