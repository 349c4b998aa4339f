//! Applies sound hunks as git does: exact content, no fuzz, no ignored white space; a hunk that does not fit where it
//! says goes to the nearest place that it fits (git's apply.c, find_pos()). Pure.

use super::diff::{EditKind, Hunk};

/// How much work one input may make: several times what a diff between two releases takes. The unit is a byte that is
/// looked at.
const WORK_MAX: u64 = 2 << 30;
/// What it takes to look whether a hunk fits at one place.
const WORK_PER_PLACE: usize = 16;

/// What is left of [`WORK_MAX`].
#[derive(Debug)]
pub struct Work(u64);

impl Work {
    pub fn new() -> Work {
        Work(WORK_MAX)
    }

    /// Whether there was still as much left.
    #[must_use]
    fn spend(&mut self, amount: usize) -> bool {
        let left = self.0.checked_sub(amount as u64);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// How hunks are applied.
#[derive(Debug, Clone, Copy, Default)]
pub struct How {
    /// Removed lines come back and added ones go. Nothing is guessed then: a hunk that does not fit where it says must
    /// fit at one place alone.
    pub undo: bool,
    /// The file is known to be the one that the hunks were made for, so that they need no context.
    pub is_base: bool,
}

/// The file after all hunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub after: Vec<u8>,
    /// Per hunk: lines it lies further down (or, negative, up) than its `@@` line says.
    pub offsets: Vec<i64>,
}

/// Why and where a hunk does not apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// From 1.
    pub hunk: usize,
    /// Line of the tree's file, from 1.
    pub tree_line: usize,
    /// What the hunk has there.
    pub expected: Vec<u8>,
    /// What the tree has there; `None` past its end.
    pub found: Option<Vec<u8>>,
    pub why: Why,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It fits nowhere.
    Departs,
    /// It would be undone at any of these lines.
    Ambiguous(Vec<usize>),
    /// Without context on one side it has to lie at that end of the file, and it does not.
    NotAtStart,
    NotAtEnd,
    /// It took too long to look for its place.
    TooMuch,
}

/// The lines of a file, each with its `\n`.
pub fn file_lines(content: &[u8]) -> Vec<&[u8]> {
    content.split_inclusive(|&byte| byte == b'\n').collect()
}

/// Applies `hunks`, which are sound, in order to `before`.
///
/// # Errors
/// The first hunk that does not fit, and where it departs.
pub fn apply(before: &[u8], hunks: &[Hunk], how: How, work: &mut Work) -> Result<Applied, Departure> {
    let mut file = File::new(before, hunks, how);
    let mut offsets = Vec::with_capacity(hunks.len());
    if !work.spend(before.len()) {
        let piece =
            HunkPiece { old: Vec::new(), old_lines: 0, stated: 0, image: 0, at_start: false, at_end: false };
        return Err(file.departure(&piece, 1, Why::TooMuch));
    }
    for (index, hunk) in hunks.iter().enumerate() {
        let piece = HunkPiece::new(hunk, how);
        let at = file.place(&piece, work).map_err(|why| file.departure(&piece, index + 1, why))?;
        // Lengths of real files and `@@` numbers (32 bits) fit.
        offsets.push(at as i64 - piece.stated as i64);
        let new_lines = if how.undo { hunk.old_len } else { hunk.new_len };
        file.insert(Region { start: at, end: at + piece.old_lines, hunk: index, new_lines });
    }
    Ok(Applied { after: file.assemble(), offsets })
}

/// The index of a hunk's first old line. A hunk without old lines goes below the line that its header names.
pub fn stated_index(old_start: usize, old_len: usize) -> usize {
    if old_len == 0 { old_start } else { old_start.saturating_sub(1) }
}

/// What of a hunk has to be there already, and where.
struct HunkPiece {
    old: Vec<u8>,
    old_lines: usize,
    /// Index in the file as it was.
    stated: usize,
    /// Index in the file with the hunks before it applied, as git reckons it.
    image: usize,
    /// It must lie at the start, or the end, of the file (git's apply.c, apply_one_fragment()).
    at_start: bool,
    at_end: bool,
}

impl HunkPiece {
    fn new(hunk: &Hunk, how: How) -> HunkPiece {
        let (without, start, old_lines, image) = match how.undo {
            false => (EditKind::Add, hunk.old_start, hunk.old_len, hunk.new_start),
            true => (EditKind::Remove, hunk.new_start, hunk.new_len, hunk.old_start),
        };
        HunkPiece {
            old: hunk.side(without),
            old_lines,
            stated: stated_index(start, old_lines),
            image: image.saturating_sub(1),
            at_start: start <= 1,
            at_end: hunk.trailing == 0,
        }
    }
}

/// Lines of the file that a hunk has taken: no other one fits there.
struct Region {
    start: usize,
    end: usize,
    hunk: usize,
    new_lines: usize,
}

/// Lines that no hunk has taken, and how far they moved.
#[derive(Clone, Copy)]
struct HunkGap {
    from: usize,
    to: usize,
    shift: i64,
}

struct File<'a> {
    before: &'a [u8],
    hunks: &'a [Hunk],
    how: How,
    /// Where each line starts, and the end. Files of 4 GiB are not read.
    starts: Vec<u32>,
    /// By place.
    regions: Vec<Region>,
    /// How far the lines below all regions moved.
    shift: i64,
}

impl<'a> File<'a> {
    fn new(before: &'a [u8], hunks: &'a [Hunk], how: How) -> File<'a> {
        let mut starts = Vec::with_capacity(before.len() / 32 + 2);
        starts.push(0);
        starts.extend(memchr::memchr_iter(b'\n', before).map(|at| at as u32 + 1));
        if !before.is_empty() && !before.ends_with(b"\n") {
            starts.push(before.len() as u32);
        }
        File { before, hunks, how, starts, regions: Vec::new(), shift: 0 }
    }

    fn lines(&self) -> usize {
        self.starts.len() - 1
    }

    fn text(&self, from: usize, to: usize) -> Option<&'a [u8]> {
        self.before.get(*self.starts.get(from)? as usize..*self.starts.get(to)? as usize)
    }

    fn fits(&self, piece: &HunkPiece, at: usize) -> bool {
        self.text(at, at + piece.old_lines).is_some_and(|there| there == piece.old)
    }

    /// Whether no hunk has taken any of these lines, nor put others in between them.
    fn is_free(&self, from: usize, to: usize) -> bool {
        if self.regions.last().is_none_or(|last| last.end <= from) {
            return true;
        }
        let next = self.regions.partition_point(|region| region.start <= from);
        let above = next.checked_sub(1).and_then(|above| self.regions.get(above));
        above.is_none_or(|above| above.end <= from)
            && self.regions.get(next).is_none_or(|below| below.start >= to)
    }

    fn insert(&mut self, region: Region) {
        self.shift += region.new_lines as i64 - (region.end - region.start) as i64;
        let at = self.regions.partition_point(|other| other.start <= region.start);
        self.regions.insert(at, region);
    }

    /// Where the hunk goes, as an index into the file as it was.
    fn place(&self, piece: &HunkPiece, work: &mut Work) -> Result<usize, Why> {
        let stated_fits =
            self.is_free(piece.stated, piece.stated + piece.old_lines) && self.fits(piece, piece.stated);
        if (self.how.is_base || self.how.undo) && stated_fits {
            return Ok(piece.stated);
        }
        if self.how.undo {
            return self.only_place(piece, work);
        }
        if piece.at_start || piece.at_end {
            return self.place_at_edge(piece, work);
        }
        // Nearly every hunk lies below the others, and where it says.
        let simple = usize::try_from(piece.image as i64 - self.shift).ok();
        let simple = simple.filter(|&at| self.regions.last().is_none_or(|last| last.end <= at));
        match simple.filter(|&at| self.fits(piece, at)) {
            Some(at) => Ok(at),
            None => self.nearest(piece, work),
        }
    }

    fn place_at_edge(&self, piece: &HunkPiece, work: &mut Work) -> Result<usize, Why> {
        let at = if piece.at_start { Some(0) } else { self.lines().checked_sub(piece.old_lines) };
        let fits = |at: &usize| {
            let (from, to) = (*at, *at + piece.old_lines);
            let start =
                !piece.at_start || self.regions.first().is_none_or(|region| region.start >= to.max(1));
            let end = !piece.at_end
                || to == self.lines() && self.regions.last().is_none_or(|region| region.end <= from);
            start && end && self.is_free(from, to) && self.fits(piece, from)
        };
        if let Some(at) = at.filter(fits) {
            return Ok(at);
        }
        // It fits elsewhere, which is not where it has to be.
        for at in 0..self.lines() {
            if !work.spend(WORK_PER_PLACE + piece.old.len() / 8) {
                return Err(Why::TooMuch);
            }
            if piece.old_lines > 0 && self.fits(piece, at) {
                return Err(if piece.at_end && (at == 0 || !piece.at_start) {
                    Why::NotAtEnd
                } else {
                    Why::NotAtStart
                });
            }
        }
        Err(Why::Departs)
    }

    fn gaps(&self) -> Vec<HunkGap> {
        let (mut from, mut shift) = (0, 0);
        let mut gaps = Vec::with_capacity(self.regions.len() + 1);
        for region in &self.regions {
            gaps.push(HunkGap { from, to: region.start, shift });
            shift += region.new_lines as i64 - (region.end - region.start) as i64;
            from = region.end;
        }
        gaps.push(HunkGap { from, to: self.lines(), shift });
        gaps
    }

    /// The nearest place; of two at the same distance the one below.
    fn nearest(&self, piece: &HunkPiece, work: &mut Work) -> Result<usize, Why> {
        let gaps = self.gaps();
        let target = piece.image as i64;
        // Where a hunk may begin in a gap, and from which index on that is at or below the target.
        let range = |gap: &HunkGap| {
            let last = gap.to.checked_sub(piece.old_lines).filter(|&last| last >= gap.from);
            let to = last.map_or(gap.from, |last| last + 1);
            let middle = usize::try_from(target - gap.shift).unwrap_or(0).clamp(gap.from, to);
            (gap.from, middle, to, gap.shift)
        };
        let down = |gap: &HunkGap| {
            let (_, middle, to, shift) = range(gap);
            (middle..to).map(move |at| (at, at as i64 + shift))
        };
        let up = |gap: &HunkGap| {
            let (from, middle, _, shift) = range(gap);
            (from..middle).rev().map(move |at| (at, at as i64 + shift))
        };
        let mut below = gaps.iter().flat_map(down).peekable();
        let mut above = gaps.iter().rev().flat_map(up).peekable();
        let step = WORK_PER_PLACE + piece.old.len() / 8;
        if !work.spend(WORK_PER_PLACE * gaps.len()) {
            return Err(Why::TooMuch);
        }
        loop {
            let down = below.peek().map(|(_, image)| image - target);
            let up = above.peek().map(|(_, image)| target - image);
            let next = match (down, up) {
                (None, None) => return Err(Why::Departs),
                (Some(down), Some(up)) if down > up => above.next(),
                (Some(_), _) => below.next(),
                (None, Some(_)) => above.next(),
            };
            if !work.spend(step) {
                return Err(Why::TooMuch);
            }
            if let Some((at, _)) = next.filter(|(at, _)| self.fits(piece, *at)) {
                return Ok(at);
            }
        }
    }

    fn only_place(&self, piece: &HunkPiece, work: &mut Work) -> Result<usize, Why> {
        // Without lines that have to be there every place fits.
        if piece.old_lines == 0 {
            return Err(Why::Departs);
        }
        let mut found = Vec::new();
        for at in 0..self.lines() {
            if !work.spend(WORK_PER_PLACE + piece.old.len() / 8) {
                return Err(Why::TooMuch);
            }
            if self.is_free(at, at + piece.old_lines) && self.fits(piece, at) {
                found.push(at);
            }
        }
        match found[..] {
            [] => Err(Why::Departs),
            [at] => Ok(at),
            _ => Err(Why::Ambiguous(found.iter().take(12).map(|at| at + 1).collect())),
        }
    }

    fn departure(&self, piece: &HunkPiece, hunk: usize, why: Why) -> Departure {
        let last_end = self.regions.last().map_or(0, |region| region.end);
        let at = piece.stated.max(last_end);
        let old = file_lines(&piece.old);
        let there = |index: usize| self.text(at + index, at + index + 1);
        let first = (0..old.len()).find(|&index| there(index) != Some(old[index])).unwrap_or(0);
        Departure {
            hunk,
            tree_line: at + first + 1,
            expected: old.get(first).unwrap_or(&&b""[..]).to_vec(),
            found: there(first).map(<[u8]>::to_vec),
            why,
        }
    }

    fn assemble(&self) -> Vec<u8> {
        let without = if self.how.undo { EditKind::Add } else { EditKind::Remove };
        let patch: usize = self.hunks.iter().map(|hunk| hunk.body.bytes().len()).sum();
        let mut after = Vec::with_capacity(self.before.len() + patch);
        let mut done = 0;
        for region in &self.regions {
            after.extend_from_slice(self.text(done, region.start).unwrap_or_default());
            for edit in self.hunks[region.hunk].edits().filter(|edit| edit.kind != without) {
                after.extend_from_slice(edit.text);
            }
            done = region.end;
        }
        after.extend_from_slice(self.text(done, self.lines()).unwrap_or_default());
        after.shrink_to_fit();
        after
    }
}

#[cfg(test)]
mod tests {
    use super::super::diff;
    use super::super::text::Text;
    use super::*;

    fn hunks(text: &str) -> Vec<Hunk> {
        let text = Text::new("p", 1, format!("--- a/f\n+++ b/f\n{text}").into_bytes());
        diff::files(&text, text.start()).unwrap().files.remove(0).hunks
    }

    fn run(before: &str, text: &str, how: How) -> Result<(String, Vec<i64>), Why> {
        let applied =
            apply(before.as_bytes(), &hunks(text), how, &mut Work::new()).map_err(|failed| failed.why)?;
        Ok((String::from_utf8(applied.after).unwrap(), applied.offsets))
    }

    fn on(before: &str, text: &str) -> Result<(String, Vec<i64>), Why> {
        run(before, text, How::default())
    }

    fn gives(after: &str, offsets: &[i64]) -> Result<(String, Vec<i64>), Why> {
        Ok((after.to_owned(), offsets.to_vec()))
    }

    #[test]
    fn a_hunk_applies_where_it_says() {
        assert_eq!(on("a\nb\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"), gives("a\nB\nc\n", &[0]));
    }

    #[test]
    fn a_hunk_that_moved_goes_to_the_nearest_place_and_the_offset_is_told() {
        let hunk = "@@ -2,3 +2,3 @@\n a\n-b\n+B\n c\n";
        assert_eq!(on("x\ny\nz\na\nb\nc\n", hunk), gives("x\ny\nz\na\nB\nc\n", &[2]));
        let twice = "x\ny\na\nb\nc\nz\na\nb\nc\n";
        assert_eq!(on(twice, hunk), gives("x\ny\na\nB\nc\nz\na\nb\nc\n", &[1]));
        // As near above as below: below.
        let hunk = hunk.replace("-2,3 +2,3", "-4,3 +4,3");
        assert_eq!(on("x\na\nb\nc\ny\na\nb\nc\n", &hunk), gives("x\na\nb\nc\ny\na\nB\nc\n", &[2]));
    }

    #[test]
    fn a_hunk_may_lie_above_the_one_before_it_and_never_in_it() {
        let text = "@@ -5,3 +5,3 @@\n d\n-e\n+E\n f\n@@ -9,3 +9,3 @@\n a\n-b\n+B\n c\n";
        assert_eq!(on("x\na\nb\nc\nd\ne\nf\n", text), gives("x\na\nB\nc\nd\nE\nf\n", &[0, -7]));
        let overlaps = "@@ -2,3 +2,3 @@\n a\n-b\n+B\n c\n@@ -4,3 +4,3 @@\n c\n-d\n+D\n e\n";
        assert_eq!(on("x\na\nb\nc\nd\ne\nf\n", overlaps), Err(Why::Departs));
    }

    #[test]
    fn without_context_below_it_lies_at_the_end_and_from_line_one_at_the_start() {
        let end = "@@ -2,2 +2,3 @@\n b\n c\n+x\n";
        assert_eq!(on("a\nb\nc\n", end), gives("a\nb\nc\nx\n", &[0]));
        assert_eq!(on("a\nb\nc\nd\n", end), Err(Why::NotAtEnd));
        assert_eq!(on("z\na\nb\nc\n", end), gives("z\na\nb\nc\nx\n", &[1]));
        let start = "@@ -1,2 +1,3 @@\n+x\n a\n b\n";
        assert_eq!(on("a\nb\nc\n", start), gives("x\na\nb\nc\n", &[0]));
        assert_eq!(on("z\na\nb\n", start), Err(Why::NotAtStart));
    }

    #[test]
    fn in_the_file_that_it_was_made_for_a_hunk_needs_no_context() {
        let how = How { is_base: true, undo: false };
        assert_eq!(run("a\nb\nc\n", "@@ -2,0 +3 @@\n+x\n", how), gives("a\nb\nx\nc\n", &[0]));
        assert_eq!(run("a\nb\nc\n", "@@ -2 +2 @@\n-b\n+B\n", how), gives("a\nB\nc\n", &[0]));
        assert_eq!(on("a\nb\nc\n", "@@ -2 +2 @@\n-b\n+B\n"), Err(Why::NotAtEnd));
    }

    #[test]
    fn a_difference_in_white_space_is_a_departure() {
        let hunks = hunks("@@ -1,3 +1,2 @@\n a\n- b\n c\n");
        let failed = apply(b"a\n\tb\nc\n", &hunks, How::default(), &mut Work::new()).unwrap_err();
        let found: Option<&[u8]> = failed.found.as_deref();
        assert_eq!(
            (failed.hunk, failed.tree_line, &failed.expected[..], found),
            (1, 2, &b" b\n"[..], Some(&b"\tb\n"[..]))
        );
    }

    #[test]
    fn a_line_that_lacks_its_newline_is_not_the_line_that_has_one() {
        assert!(on("a\nb", "@@ -1,2 +1 @@\n a\n-b\n").is_err());
        let cut = "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n";
        assert_eq!(on("a\nb", cut), gives("a\nc\n", &[0]));
        assert!(on("a\nb\n", cut).is_err());
    }

    #[test]
    fn what_was_applied_can_be_undone_where_one_place_fits() {
        let text = "@@ -1,3 +1,4 @@\n a\n-b\n+B\n+C\n d\n";
        let (after, _) = on("a\nb\nd\n", text).unwrap();
        let undo = How { undo: true, is_base: false };
        assert_eq!(run(&after, text, undo), gives("a\nb\nd\n", &[0]));
        assert_eq!(run(&format!("x\n{after}"), text, undo), gives("x\na\nb\nd\n", &[1]));
        assert_eq!(run(&format!("x\n{after}{after}"), text, undo), Err(Why::Ambiguous(vec![2, 6])));
    }
}
