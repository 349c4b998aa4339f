//! Repairs a damaged file diff by search: the old side is the base's own lines, the new side a bounded number of
//! candidates, and only the one whose whole result hashes to the post-image blob is accepted. Pure.

use super::align::{self, Added, Aligned, Misfit, Step};
use super::apply;
use super::blob;
use super::diff::{self, DamageKind, Edit, EditKind, FileDiff, Hunk, HunkDamage};
use super::indent::{self, Around};
use super::render;
use super::text::Text;

/// Results that are hashed for one file at most.
pub const MAX_CANDIDATES: usize = 10_000;

/// Bytes that are hashed for one file at most, so that a big file does not take minutes.
const MAX_HASHED_BYTES: usize = 1 << 28;

/// A damaged part of a patch that is longer than this is not repaired, nor is a longer file.
const PATCH_BYTES_MAX: usize = 4 << 20;
const FILE_BYTES_MAX: usize = 64 << 20;

/// Doubtful places in one file at most.
const MAX_CHOICES: usize = 1_000;

/// Lines above a hunk that help to guess the indentation of its first line.
const LINES_ABOVE: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// Sound.
    pub hunks: Vec<Hunk>,
    pub after: Vec<u8>,
    /// What was wrong, per hunk.
    pub faults: Vec<Vec<HunkDamage>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unrepaired {
    /// The hunk (from 1) does not lie over the base's lines; the line of the base where they part, from 1.
    Misfit { hunk: usize, tree_line: usize, misfit: Misfit },
    /// No candidate gives the post-image blob.
    NoProof { tried: usize, faults: Vec<Vec<HunkDamage>> },
    /// Nothing was tried.
    TooLarge,
}

/// A line of a hunk in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OwnEdit {
    kind: EditKind,
    text: Vec<u8>,
}

/// Searches for the sound form of `file`, made from `before` and giving a file named by `post_blob`.
///
/// # Errors
/// Why there is none.
pub fn repair(file: &FileDiff, before: &[u8], post_blob: &str) -> Result<Repaired, Unrepaired> {
    let hunks = &file.hunks[..];
    let size: usize = hunks.iter().map(|hunk| hunk.body.bytes().len()).sum();
    if size > PATCH_BYTES_MAX || before.len() > FILE_BYTES_MAX {
        return Err(Unrepaired::TooLarge);
    }
    let lines = apply::file_lines(before);
    let mut aligned = Vec::new();
    for (index, hunk) in hunks.iter().enumerate() {
        let start = apply::stated_index(hunk.old_start, hunk.old_len).min(lines.len());
        let old = &lines[start..lines.len().min(start + hunk.old_len)];
        let fitted = align::align(hunk, old).map_err(|misfit| {
            let tree_line = start + misfit.old_index + 1;
            Unrepaired::Misfit { hunk: index + 1, tree_line, misfit }
        })?;
        aligned.push(fitted);
    }
    let search = RepairSearch { hunks, aligned: &aligned, lines: &lines, before, post_blob };
    let faults = || aligned.iter().map(|hunk| hunk.faults.clone()).collect::<Vec<_>>();
    let (found, tried) = search.run();
    let found = found.and_then(|(edits, after)| Some((sound(file, &edits)?, edits, after)));
    let Some((hunks, edits, after)) = found else {
        return Err(Unrepaired::NoProof { tried, faults: faults() });
    };
    let mut faults = faults();
    for ((aligned, edits), faults) in aligned.iter().zip(&edits).zip(&mut faults) {
        note_changed_additions(aligned, edits, faults);
    }
    Ok(Repaired { hunks, after, faults })
}

/// The hunks of `file` with other edits.
fn sound(file: &FileDiff, edits: &[Vec<OwnEdit>]) -> Option<Vec<Hunk>> {
    let mut out = Vec::new();
    render::head(&mut out, file);
    for (hunk, edits) in file.hunks.iter().zip(edits) {
        let edits = edits.iter().map(|OwnEdit { kind, text }| Edit { kind: *kind, text });
        render::hunk(&mut out, hunk, edits);
    }
    let text = Text::new("the repaired patch", 1, out);
    let read = diff::files(&text, text.start()).ok()?.files;
    let [read] = <[FileDiff; 1]>::try_from(read).ok()?;
    read.hunks.iter().all(Hunk::is_sound).then_some(read.hunks)
}

/// Added lines whose white space the search had to change are damage as well.
fn note_changed_additions(aligned: &Aligned, edits: &[OwnEdit], faults: &mut Vec<HunkDamage>) {
    let gaps = aligned.steps.iter().flat_map(|step| match step {
        Step::Gap { added, .. } => &added[..],
        Step::Old(_) => &[],
    });
    // Blank ones may be there that the text lacked; they hold no white space to change.
    let gaps = gaps.filter(|line| !line.text.trim_ascii().is_empty());
    let sound = edits.iter().filter(|edit| edit.kind == EditKind::Add && !edit.text.trim_ascii().is_empty());
    let changed = gaps.zip(sound).filter(|(found, sound)| found.text != without_newline(&sound.text));
    let mut lines: Vec<usize> = changed.map(|(found, _)| found.line).collect();
    if lines.is_empty() {
        return;
    }
    match faults.iter_mut().find(|fault| fault.kind == DamageKind::LostTab) {
        Some(fault) => {
            fault.lines.append(&mut lines);
            fault.lines.sort_unstable();
        }
        None => faults.push(HunkDamage { kind: DamageKind::LostTab, lines, detail: String::new() }),
    }
}

fn without_newline(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\n").unwrap_or(text)
}

type RepairedFile = (Vec<Vec<OwnEdit>>, Vec<u8>);

struct RepairSearch<'a> {
    hunks: &'a [Hunk],
    aligned: &'a [Aligned],
    lines: &'a [&'a [u8]],
    before: &'a [u8],
    post_blob: &'a str,
}

impl RepairSearch<'_> {
    /// Tries candidates by rising distance from the first guess everywhere; also says how many were hashed.
    fn run(&self) -> (Option<RepairedFile>, usize) {
        let limits = self.limits();
        if limits.len() > MAX_CHOICES {
            return (None, 0);
        }
        let budget = MAX_CANDIDATES.min(MAX_HASHED_BYTES / self.cost_bytes().max(1)).max(1);
        let (mut found, mut tried) = (None, 0);
        let farthest: usize = limits.iter().map(|limit| limit - 1).sum();
        for distance in 0..=farthest {
            let go_on = each_at_distance(&limits, distance, &mut Vec::new(), &mut |ranks| {
                tried += 1;
                found = self.candidate(ranks).filter(|(_, after)| blob::names(self.post_blob, Some(after)));
                found.is_none() && tried < budget
            });
            if !go_on {
                break;
            }
        }
        (found, tried)
    }

    /// What one candidate costs, in bytes hashed; guessing at a byte costs about eight times as much.
    fn cost_bytes(&self) -> usize {
        let patch = self.hunks.iter().map(|hunk| hunk.body.bytes().len()).sum::<usize>();
        self.before.len() + 8 * patch
    }

    /// The number of guesses at each doubtful place, in the order `candidate` meets them.
    fn limits(&self) -> Vec<usize> {
        let mut limits = Vec::new();
        for hunk in self.aligned {
            let additions = addition_places(&hunk.steps).len();
            limits.extend(std::iter::repeat_n(additions, hunk.lost_additions));
            self.step_limits(&hunk.steps, &mut limits);
        }
        limits
    }

    fn step_limits(&self, steps: &[Step], limits: &mut Vec<usize>) {
        for step in steps {
            let Step::Gap { added, blanks } = step else { continue };
            if let Some(limit) = placements(added, *blanks) {
                limits.push(limit);
            }
            for line in added {
                limits.extend(indent::is_doubtful(&line.text).then_some(indent::MAX_INDENTS));
                limits.extend(indent::doubtful_space(line.text.trim_ascii()).map(|_| indent::MAX_INNER));
            }
        }
    }

    /// The edits and the file that the guesses `ranks` give; `None` if one of the places has no such guess.
    fn candidate(&self, ranks: &[usize]) -> Option<RepairedFile> {
        let mut ranks = ranks.iter().copied();
        let mut all = Vec::new();
        for (hunk, aligned) in self.hunks.iter().zip(self.aligned) {
            let start = apply::stated_index(hunk.old_start, hunk.old_len).min(self.lines.len());
            let above = self.lines[start.saturating_sub(LINES_ABOVE)..start]
                .iter()
                .map(|line| line.to_vec())
                .collect();
            let mut draft =
                Draft { old: &self.lines[start..], above, edits: Vec::new(), removed: Vec::new() };
            for step in &refilled(aligned, &mut ranks)? {
                draft.step(step, aligned.tabs_lost, &mut ranks)?;
            }
            all.push(draft.edits);
        }
        let after = self.assembled(&all)?;
        Some((all, after))
    }

    /// The file with `edits` in the place of the lines that the hunks claim.
    fn assembled(&self, edits: &[Vec<OwnEdit>]) -> Option<Vec<u8>> {
        let mut after = Vec::with_capacity(self.before.len());
        let mut done = 0;
        for (hunk, edits) in self.hunks.iter().zip(edits) {
            let start = apply::stated_index(hunk.old_start, hunk.old_len).min(self.lines.len());
            after.extend(self.lines.get(done..start)?.concat());
            for edit in edits.iter().filter(|edit| edit.kind != EditKind::Remove) {
                after.extend_from_slice(&edit.text);
            }
            done = start + edits.iter().filter(|edit| edit.kind != EditKind::Add).count();
        }
        after.extend(self.lines.get(done..)?.concat());
        Some(after)
    }
}

/// Where a blank addition may have vanished, as (step, number of added lines before it): block ends first.
fn addition_places(steps: &[Step]) -> Vec<(usize, usize)> {
    let mut places = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        if let Step::Gap { added, .. } = step {
            places.extend((1..=added.len()).map(|before| (index, before, added.len() - before)));
        }
    }
    places.sort_by_key(|&(_, _, to_end)| to_end);
    places.into_iter().map(|(index, before, _)| (index, before)).collect()
}

/// The steps with lost blank additions back where the next guesses put them.
fn refilled(aligned: &Aligned, ranks: &mut impl Iterator<Item = usize>) -> Option<Vec<Step>> {
    let mut steps = aligned.steps.clone();
    for _ in 0..aligned.lost_additions {
        let (index, before) = *addition_places(&aligned.steps).get(ranks.next()?)?;
        if let Step::Gap { added, .. } = steps.get_mut(index)? {
            let line = added.get(before - 1)?.line;
            added.insert(before, Added { line, text: Vec::new(), no_newline: false });
        }
    }
    Some(steps)
}

/// How many ways there are to place vanished blank lines around and among added ones, if there is a question.
fn placements(added: &[Added], blanks: usize) -> Option<usize> {
    match (added.len(), blanks) {
        (0, _) | (_, 0) => None,
        (lines, 1) => Some(lines + 1),
        (_, blanks) => Some(blanks + 1),
    }
}

/// Where the blank lines go, as numbers of added lines before each: one blank anywhere, several only around the block.
fn placement(added: &[Added], blanks: usize, rank: usize) -> Vec<usize> {
    let end = added.len();
    let is_blank = |line: Option<&Added>| line.is_some_and(|line| line.text.trim_ascii().is_empty());
    // git puts an added block's own blank line last, so the context's blank came before it, or the other way round.
    let above_first = is_blank(added.last()) || !is_blank(added.first());
    let below = if blanks == 1 {
        let (near, far) = if above_first { (0, end) } else { (end, 0) };
        return vec![match rank {
            0 => near,
            1 => far,
            inside => inside - 1,
        }];
    } else if above_first {
        rank
    } else {
        blanks - rank
    };
    (0..blanks).map(|blank| if blank < blanks - below { 0 } else { end }).collect()
}

/// A hunk in the making.
struct Draft<'a> {
    old: &'a [&'a [u8]],
    /// The new file's lines so far.
    above: Vec<Vec<u8>>,
    edits: Vec<OwnEdit>,
    /// The run of removed lines just before.
    removed: Vec<&'a [u8]>,
}

impl Draft<'_> {
    fn step(&mut self, step: &Step, tabs_lost: bool, ranks: &mut impl Iterator<Item = usize>) -> Option<()> {
        match step {
            Step::Old(kind) => self.old_line(*kind),
            Step::Gap { added, blanks } => {
                let places = match placements(added, *blanks) {
                    Some(_) => placement(added, *blanks, ranks.next()?),
                    None => vec![0; *blanks],
                };
                let removed = std::mem::take(&mut self.removed);
                for (index, line) in added.iter().enumerate() {
                    self.blanks(&places, index)?;
                    let around = Around { above: &self.above, twin: removed.get(index).copied(), tabs_lost };
                    let text = added_text(line, around, ranks)?;
                    self.push(EditKind::Add, text);
                }
                // With nothing added every place is 0.
                self.blanks(&places, added.len())
            }
        }
    }

    fn blanks(&mut self, places: &[usize], index: usize) -> Option<()> {
        for _ in places.iter().filter(|&&place| place == index) {
            self.old_line(EditKind::Context)?;
        }
        Some(())
    }

    fn old_line(&mut self, kind: EditKind) -> Option<()> {
        let (line, rest) = self.old.split_first()?;
        self.old = rest;
        match kind {
            EditKind::Remove => self.removed.push(line),
            EditKind::Context | EditKind::Add => self.removed.clear(),
        }
        self.push(kind, line.to_vec());
        Some(())
    }

    fn push(&mut self, kind: EditKind, text: Vec<u8>) {
        if kind != EditKind::Remove {
            self.above.push(text.clone());
        }
        self.edits.push(OwnEdit { kind, text });
    }
}

/// The text of an added line under the next guesses, with its newline.
fn added_text(line: &Added, around: Around, ranks: &mut impl Iterator<Item = usize>) -> Option<Vec<u8>> {
    let found = line.text.strip_suffix(b"\r").unwrap_or(&line.text);
    let content = found.trim_ascii_start();
    let lead = found.len() - content.len();
    let indent = match indent::is_doubtful(&line.text) {
        true => indent::indents(found, around).get(ranks.next()?)?.clone(),
        false => found[..lead].to_vec(),
    };
    let inner = match indent::doubtful_space(line.text.trim_ascii()) {
        Some(_) => indent::with_inner(content, ranks.next()?)?,
        None => content.to_vec(),
    };
    let newline: &[u8] = if line.no_newline { b"" } else { b"\n" };
    Some([&indent[..], &inner, newline].concat())
}

/// Calls `visit` with every choice of ranks below `limits` whose sum is `distance`, until it says false.
fn each_at_distance(
    limits: &[usize],
    distance: usize,
    ranks: &mut Vec<usize>,
    visit: &mut impl FnMut(&[usize]) -> bool,
) -> bool {
    let Some((limit, rest)) = limits.split_first() else { return distance > 0 || visit(ranks) };
    if distance == 0 {
        let chosen = ranks.len();
        ranks.resize(chosen + limits.len(), 0);
        let go_on = visit(ranks);
        ranks.truncate(chosen);
        return go_on;
    }
    let reachable: usize = rest.iter().map(|limit| limit - 1).sum();
    for rank in distance.saturating_sub(reachable)..=distance.min(limit - 1) {
        ranks.push(rank);
        let go_on = each_at_distance(rest, distance - rank, ranks, visit);
        ranks.pop();
        if !go_on {
            return false;
        }
    }
    true
}
