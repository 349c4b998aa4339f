//! Lays a damaged hunk over the lines it was made from. Pure.
//!
//! The base is known by its blob id, so every old line of the hunk is known exactly: the damaged text only has to
//! say which of them is context, which is removed, and between which of them lines are added.

use super::diff::{DamageKind, EditKind, Hunk, HunkDamage};
use super::text::Line;
use std::collections::BTreeMap;

/// A mail program wraps one line into few; more than this is not tried.
const MAX_WRAPS: usize = 3;

/// Lost blank additions are placed by trial; more than this in one hunk is not tried.
const MAX_LOST_ADDITIONS: usize = 4;

/// A hunk laid over its old lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aligned {
    pub steps: Vec<Step>,
    pub faults: Vec<HunkDamage>,
    /// The old side shows that tabs were lost, so the new side is not to be taken as it stands.
    pub tabs_lost: bool,
    /// Blank added lines that the header counts and the text lacks.
    pub lost_additions: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The next old line, as context or removed.
    Old(EditKind),
    /// Lines added between two old lines, and how many blank context lines vanished at the same place: the text
    /// does not say which came first.
    Gap { added: Vec<Added>, blanks: usize },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// Line of the input.
    pub line: usize,
    /// The text behind the `+`, as found.
    pub text: Vec<u8>,
    pub no_newline: bool,
}

/// Where the hunk and its base part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Index into the hunk's old lines.
    pub old_index: usize,
    /// The line of the input that does not fit, if it is not the end of the hunk.
    pub found: Option<FoundLine>,
    pub faults: Vec<HunkDamage>,
}

/// A line of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLine {
    /// From 1.
    pub number: usize,
    pub text: Vec<u8>,
}

/// Aligns `hunk` with `old`, the base's lines it claims.
///
/// # Errors
/// The first line that fits nowhere, with the damage found up to there.
pub fn align(hunk: &Hunk, old: &[&[u8]]) -> Result<Aligned, Misfit> {
    let body: Vec<Line> = hunk.body.lines().collect();
    let mut walk = HunkWalk {
        hunk,
        body: &body,
        old,
        next_old: 0,
        new_len: 0,
        steps: Vec::new(),
        gap: AlignGap::default(),
        seen: SeenLine::default(),
    };
    let mut at = 0;
    while let Some(&line) = body.get(at) {
        match walk.step(at, line) {
            Some(0) => break,
            Some(used) => at += used,
            None => {
                return Err(walk.misfit(Some(FoundLine { number: line.number, text: line.text.to_vec() })));
            }
        }
    }
    walk.finish()
}

/// Equal but for white space.
fn same_words(a: &[u8], b: &[u8]) -> bool {
    let words =
        |text| <[u8]>::split(text, |byte: &u8| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    words(a).eq(words(b))
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

#[derive(Default)]
struct AlignGap {
    added: Vec<Added>,
    blanks: usize,
}

/// What was noticed on the way, per kind.
#[derive(Default)]
struct SeenLine {
    lines: BTreeMap<DamageKind, Vec<usize>>,
}

impl SeenLine {
    fn note(&mut self, kind: DamageKind, line: usize) {
        self.lines.entry(kind).or_default().push(line);
    }

    fn faults(self) -> Vec<HunkDamage> {
        let fault = |(kind, lines)| HunkDamage { kind, lines, detail: String::new() };
        self.lines.into_iter().map(fault).collect()
    }
}

struct HunkWalk<'a> {
    hunk: &'a Hunk,
    body: &'a [Line<'a>],
    old: &'a [&'a [u8]],
    next_old: usize,
    /// Lines of the new side so far.
    new_len: usize,
    steps: Vec<Step>,
    gap: AlignGap,
    seen: SeenLine,
}

impl HunkWalk<'_> {
    /// Takes the input line at `at`: the number of input lines used, 0 at the end of the hunk, `None` for a misfit.
    fn step(&mut self, at: usize, line: Line<'_>) -> Option<usize> {
        loop {
            let text = line.text;
            if text.starts_with(b"\\ No newline") {
                if let Some(last) = self.gap.added.last_mut() {
                    last.no_newline = true;
                }
                return Some(1);
            }
            let Some(&expected) = self.old.get(self.next_old) else {
                return Some(if text.starts_with(b"+") && self.new_len < self.hunk.new_len {
                    self.add(line)
                } else {
                    0
                });
            };
            if let Some(kind) = fit(text, expected) {
                self.take_old(kind, line, expected);
                return Some(1);
            }
            if text.starts_with(b"+") {
                return Some(self.add(line));
            }
            if is_blank(text) {
                return Some(1);
            }
            if !is_blank(expected) {
                return self.wrapped(at, line, expected);
            }
            self.vanished(line.number);
        }
    }

    fn add(&mut self, line: Line<'_>) -> usize {
        self.new_len += 1;
        let text = line.text[1..].to_vec();
        self.gap.added.push(Added { line: line.number, text, no_newline: false });
        1
    }

    fn vanished(&mut self, before_line: usize) {
        self.seen.note(DamageKind::VanishedBlankLine, before_line);
        self.gap.blanks += 1;
        self.new_len += 1;
        self.next_old += 1;
    }

    fn take_old(&mut self, kind: EditKind, line: Line<'_>, expected: &[u8]) {
        self.close_gap();
        self.new_len += usize::from(kind == EditKind::Context);
        self.note_damage(kind, line, expected);
        self.steps.push(Step::Old(kind));
        self.next_old += 1;
    }

    fn close_gap(&mut self) {
        let AlignGap { added, blanks } = std::mem::take(&mut self.gap);
        if !added.is_empty() || blanks > 0 {
            self.steps.push(Step::Gap { added, blanks });
        }
    }

    fn note_damage(&mut self, kind: EditKind, line: Line<'_>, expected: &[u8]) {
        let expected = expected.strip_suffix(b"\n").unwrap_or(expected);
        let text = line.text;
        let content = text.get(1..).unwrap_or_default();
        if text.is_empty() && expected.is_empty() || content == expected && kind_of(text) == Some(kind) {
            return;
        }
        if kind == EditKind::Context && !text.starts_with(b" ") {
            self.seen.note(DamageKind::LostLeadingSpace, line.number);
        }
        if text.ends_with(b"\r") && !expected.ends_with(b"\r") {
            self.seen.note(DamageKind::CrLf, line.number);
        }
        let tabs = |text: &[u8]| text.iter().filter(|&&byte| byte == b'\t').count();
        if tabs(text) < tabs(expected) {
            self.seen.note(DamageKind::LostTab, line.number);
        }
    }

    /// A line that fits only together with those after it, or that goes on an added line before it.
    fn wrapped(&mut self, at: usize, line: Line<'_>, expected: &[u8]) -> Option<usize> {
        let mut joined = line.text.to_vec();
        for used in 1..=MAX_WRAPS {
            let Some(more) = self.body.get(at + used) else { break };
            joined.push(b' ');
            joined.extend_from_slice(more.text);
            if let Some(kind) = fit(&joined, expected) {
                self.seen.note(DamageKind::WrappedLine, more.number);
                self.take_old(kind, Line { number: line.number, text: &joined }, expected);
                return Some(used + 1);
            }
        }
        let resumes = self
            .body
            .get(at + 1)
            .is_some_and(|next| next.text.starts_with(b"+") || fit(next.text, expected).is_some());
        let added = self.gap.added.last_mut().filter(|_| resumes)?;
        added.text.push(b' ');
        added.text.extend_from_slice(line.text.trim_ascii());
        self.seen.note(DamageKind::WrappedLine, line.number);
        Some(1)
    }

    fn misfit(self, found: Option<FoundLine>) -> Misfit {
        Misfit { old_index: self.next_old, found, faults: self.seen.faults() }
    }

    fn finish(mut self) -> Result<Aligned, Misfit> {
        let end = self.body.last().map_or(self.hunk.line, |line| line.number);
        while self.old.get(self.next_old).is_some_and(|line| is_blank(line)) {
            self.vanished(end + 1);
        }
        if self.next_old < self.old.len() {
            self.seen.note(DamageKind::Truncated, end);
            return Err(self.misfit(None));
        }
        self.close_gap();
        let adds = self.steps.iter().any(|step| matches!(step, Step::Gap { added, .. } if !added.is_empty()));
        let lost_additions = self.hunk.new_len.checked_sub(self.new_len);
        let Some(lost_additions) =
            lost_additions.filter(|&lost| lost == 0 || adds && lost <= MAX_LOST_ADDITIONS)
        else {
            self.seen.note(DamageKind::CountsDisagree, self.hunk.line);
            return Err(self.misfit(None));
        };
        if lost_additions > 0 {
            self.seen.note(DamageKind::VanishedBlankLine, end + 1);
        }
        let tabs_lost = self.seen.lines.contains_key(&DamageKind::LostTab);
        Ok(Aligned { steps: self.steps, faults: self.seen.faults(), tabs_lost, lost_additions })
    }
}

fn kind_of(text: &[u8]) -> Option<EditKind> {
    match text.first()? {
        b' ' => Some(EditKind::Context),
        b'-' => Some(EditKind::Remove),
        b'+' => Some(EditKind::Add),
        _ => None,
    }
}

/// How `text` can stand for the old line `expected`, white space aside.
fn fit(text: &[u8], expected: &[u8]) -> Option<EditKind> {
    if text.strip_prefix(b"-").is_some_and(|content| same_words(content, expected)) {
        return Some(EditKind::Remove);
    }
    same_words(text, expected).then_some(EditKind::Context)
}
