//! What a series is after each of its patches: a bug that a later patch of the series takes back is still in the
//! history that people bisect. Pure.

use super::Series;

/// `patch-1`, the first patch alone, to the series without its last patch; none of a single patch.
pub fn parts(series: &Series) -> Vec<(String, Series)> {
    let part = |count: usize| {
        let source = format!("{}, the first {count} of {}", series.source, series.patches.len());
        (
            format!("patch-{count}"),
            Series { source, patches: series.patches[..count].to_vec(), notes: series.notes.clone() },
        )
    };
    (1..series.patches.len()).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    #[test]
    fn a_series_has_a_part_after_each_patch_but_the_last() {
        let mail = |number: u32| {
            format!(
                "From 1234567890123456789012345678901234567890 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\n\
                 Date: Mon, 1 Jan 2026 00:00:00 +0000\nSubject: [PATCH {number}/3] x\n\n---\n\
                 diff --git a/x{number} b/x{number}\n--- a/x{number}\n+++ b/x{number}\n@@ -1 +1 @@\n-a\n+b\n-- \n2.39\n\n"
            )
        };
        let series = read((1..=3).map(mail).collect::<String>().as_bytes(), "s.mbox").unwrap();
        let parts = parts(&series);
        let shape: Vec<_> = parts.iter().map(|(name, part)| (name.as_str(), part.patches.len())).collect();
        assert_eq!(shape, [("patch-1", 1), ("patch-2", 2)]);
        assert_eq!(parts[0].1.source, "s.mbox, the first 1 of 3");
        assert!(super::parts(&parts[0].1).is_empty());
    }
}
