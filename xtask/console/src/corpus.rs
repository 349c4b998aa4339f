//! The corpus in `testdata`: every log parses to what its header says, whole and cut anywhere.
//!
//! A log starts with lines of `# `: where it comes from, then `# expect: KIND at FILE:LINE xN` per kind and place
//! (or `# expect: none`) and `# total: N`, then `# --- console ---`; what follows is the console byte for byte.
//! `UPDATE_EXPECT=1 cargo test -p xtask corpus` rewrites the expectations: read the diff before you commit it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Console, Splat};
use crate::splat::End;

const SEPARATOR: &[u8] = b"# --- console ---\n";

struct Log {
    path: PathBuf,
    /// Where it comes from.
    notes: Vec<String>,
    expected: Vec<String>,
    console: Vec<u8>,
}

impl Log {
    fn read(path: &Path) -> Log {
        let bytes = fs::read(path).unwrap();
        let at = bytes.windows(SEPARATOR.len()).position(|window| window == SEPARATOR);
        let at = at.unwrap_or_else(|| panic!("{}: no line {SEPARATOR:?}", path.display()));
        let header = std::str::from_utf8(&bytes[..at]).unwrap();
        assert!(header.lines().all(|line| line.starts_with("# ")), "{}: header", path.display());
        let is_expected = |line: &&str| line.starts_with("# expect: ") || line.starts_with("# total: ");
        let (expected, notes): (Vec<_>, Vec<_>) = header.lines().partition(is_expected);
        let own = |lines: Vec<&str>| lines.into_iter().map(str::to_owned).collect();
        let console = bytes[at + SEPARATOR.len()..].to_vec();
        Log { path: path.to_owned(), notes: own(notes), expected: own(expected), console }
    }

    fn rewrite(&self, found: &[String]) {
        let lines: String = self.notes.iter().chain(found).map(|line| format!("{line}\n")).collect();
        fs::write(&self.path, [lines.as_bytes(), SEPARATOR, &self.console].concat()).unwrap();
    }
}

fn logs() -> Vec<Log> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut paths = Vec::new();
    for folder in [top.clone(), top.join("by-hand")] {
        paths.extend(fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    }
    paths.retain(|path| path.extension().is_some_and(|end| end == "log"));
    paths.sort();
    paths.iter().map(|path| Log::read(path)).collect()
}

fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Console {
    let mut console = Console::default();
    for piece in pieces {
        console.feed(piece);
    }
    console.finish();
    console
}

/// What a header says about `console`.
fn summary(console: &Console) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for splat in console.splats() {
        let place = splat.location.as_ref().map_or(String::new(), |place| format!(" at {place}"));
        *counts.entry(format!("{}{place}", splat.kind.name())).or_default() += 1;
    }
    if counts.is_empty() {
        return vec!["# expect: none".to_owned()];
    }
    let mut lines: Vec<String> = counts.iter().map(|(what, n)| format!("# expect: {what} x{n}")).collect();
    lines.push(format!("# total: {}", console.splats_total()));
    lines
}

/// Cuts `bytes` at places drawn from `seed` (Marsaglia's xorshift).
fn cut_at_random(bytes: &[u8], mut seed: u64) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut left = bytes;
    while !left.is_empty() {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let (piece, rest) = left.split_at(left.len().min(1 + (seed % 700) as usize));
        pieces.push(piece);
        left = rest;
    }
    pieces
}

#[test]
fn every_log_of_the_corpus_gives_what_its_header_says() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for log in logs() {
        let found = summary(&parse([&log.console[..]]));
        if update {
            log.rewrite(&found);
        } else if found != log.expected {
            wrong.push(format!("{}: expected {:#?}, found {found:#?}", log.path.display(), log.expected));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_log_of_the_corpus_gives_the_same_cut_at_random_places_and_byte_by_byte() {
    for (log, seed) in logs().iter().zip(1..) {
        let whole = parse([&log.console[..]]);
        let cuts = [cut_at_random(&log.console, seed), log.console.chunks(1).collect()];
        for pieces in cuts {
            let cut = parse(pieces);
            assert_eq!(cut.splats(), whole.splats(), "{}", log.path.display());
            assert_eq!(cut.splats_total(), whole.splats_total(), "{}", log.path.display());
            assert!(cut.last_lines().eq(whole.last_lines()), "{}", log.path.display());
        }
    }
}

/// The console without the lines up to and with the first headline.
fn behind_the_first_headline(console: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    for line in console.split_inclusive(|&byte| byte == b'\n') {
        at += line.len();
        if !parse([&console[..at]]).splats().is_empty() {
            return Some(&console[at..]);
        }
    }
    None
}

#[test]
fn a_log_that_is_cut_behind_its_first_headline_is_still_trouble() {
    let (mut cut, mut missed) = (0, Vec::new());
    for log in logs().iter().filter(|log| log.expected != ["# expect: none"]) {
        let Some(rest) = behind_the_first_headline(&log.console) else { continue };
        // A report of one line leaves nothing.
        let one_line = parse([&log.console[..]]).splats()[0].text.len() == 1;
        if one_line {
            continue;
        }
        cut += 1;
        if parse([rest]).splats_total() == 0 {
            missed.push(log.path.display().to_string());
        }
    }
    println!("{cut} logs, {} missed: {missed:#?}", missed.len());
    assert!(missed.len() * 20 <= cut, "{} of {cut}: {missed:#?}", missed.len());
}

/// The first report of each log that has an end, its lines without prefixes: one of each kind and headline.
fn reports() -> Vec<Splat> {
    let mut reports: Vec<Splat> = Vec::new();
    for log in logs() {
        let console = parse([&log.console[..]]);
        let has_end = |splat: &Splat| {
            splat
                .text
                .last()
                .is_some_and(|line| [End::Stack, End::TraceMark, End::Rule].iter().any(|end| end.is_at(line)))
        };
        reports.extend(console.splats().iter().find(|splat| has_end(splat)).cloned());
    }
    reports.sort_by(|a, b| (a.kind, &a.headline).cmp(&(b.kind, &b.headline)));
    reports.dedup_by(|a, b| a.kind == b.kind && a.headline == b.headline);
    reports
}

/// The lines of both, a few of one and then a few of the other.
fn interleave(first: &Splat, second: &Splat, mut seed: u64) -> Vec<u8> {
    let (mut from, mut other) = (first.text.iter(), second.text.iter());
    let mut lines = Vec::new();
    while from.len() + other.len() > 0 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        lines.extend(from.by_ref().take(1 + (seed % 8) as usize));
        std::mem::swap(&mut from, &mut other);
    }
    lines.into_iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}

#[test]
fn reports_of_two_cpus_that_interleave_without_callers_are_two_reports() {
    let reports = reports();
    let (mut pairs, mut lost, mut extra) = (0, Vec::new(), 0_u64);
    for (first, seed) in reports.iter().zip(1..) {
        for second in reports.iter().filter(|second| second.kind != first.kind) {
            let console = parse([&interleave(first, second, seed * 7919)[..]]);
            let has = |report: &Splat| console.splats().iter().any(|splat| splat.kind == report.kind);
            pairs += 1;
            extra += console.splats_total().saturating_sub(2);
            if !has(first) || !has(second) {
                lost.push(format!("{} / {}", first.headline, second.headline));
            }
        }
    }
    println!("{} reports, {pairs} pairs, {} lost one, {extra} reports too many", reports.len(), lost.len());
    assert!(pairs >= 300, "{pairs}");
    assert!(lost.len() * 100 <= pairs, "{} of {pairs}: {lost:#?}", lost.len());
    assert!(extra * 20 <= pairs as u64, "{extra} of {pairs}");
}

#[test]
fn the_corpus_is_not_smaller_than_it_was() {
    let logs = logs();
    let by_hand =
        logs.iter().filter(|log| log.path.components().any(|part| part.as_os_str() == "by-hand")).count();
    assert!(logs.len() >= 130, "{} logs", logs.len());
    assert!(logs.len() > 2 * by_hand, "{by_hand} of {} logs are no recordings", logs.len());
}
