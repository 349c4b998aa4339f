//! The text of `cargo xtask patch FILE`: what the input is, what is wrong with it, and what proves it. Pure.

use super::diff::{DamageKind, FileDiff};
use super::header::Change;
use super::prove::{Damage, Proved, ProvedFile};
use super::{Patch, Series};
use failure::{Failure, escape};
use std::fmt::{self, Write};

/// Input lines that are named for one kind of damage before the rest is only counted.
const LINES_NAMED: usize = 12;

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DamageKind::LostLeadingSpace => "lost leading space",
            DamageKind::VanishedBlankLine => "vanished blank line (before)",
            DamageKind::LostTab => "tab became space",
            DamageKind::WrappedLine => "line wrapped",
            DamageKind::CrLf => "CRLF line ends",
            DamageKind::Truncated => "truncated",
            DamageKind::CountsDisagree => "line counts disagree with the hunk header",
            DamageKind::Altered => "applies, but not to the result that the `index` line names",
        })
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hunk {
            0 => write!(f, "{}: {}", self.path, self.kind)?,
            hunk => write!(f, "{} hunk {hunk}: {}", self.path, self.kind)?,
        }
        let named: Vec<String> = self.lines.iter().take(LINES_NAMED).map(usize::to_string).collect();
        write!(f, ", {} {}", if named.len() == 1 { "line" } else { "lines" }, named.join(", "))?;
        if self.lines.len() > LINES_NAMED {
            write!(f, " and {} more", self.lines.len() - LINES_NAMED)?;
        }
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        Ok(())
    }
}

/// Patches of a series, files of a patch and files of the proof that are described before the rest is only counted.
const PATCHES_SHOWN: usize = 1_000;
const FILES_SHOWN: usize = 1_000;
const HUNKS_SHOWN: usize = 1_000;

/// Of a file whose patch somebody edited.
pub const EDITED: &str = "applies; edited after it was made: the result is not the blob that its index names";

/// What people read about `series` and the attempt to prove it.
pub fn show(series: &Series, outcome: Result<&Proved, &Failure>) -> String {
    let mut out = format!("{}\n", series.source);
    for note in &series.notes {
        line(&mut out, &format!("  note:    {note}"));
    }
    let shown = series.patches.iter().take(PATCHES_SHOWN);
    shown.for_each(|patch| put_patch(&mut out, patch));
    if let Some(more @ 1..) = series.patches.len().checked_sub(PATCHES_SHOWN) {
        line(&mut out, &format!("\n  and {more} patches more"));
    }
    match outcome {
        Ok(proved) => put_proof(&mut out, proved),
        Err(failure) => line(&mut out, &format!("\nREJECTED: {failure}")),
    }
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(&escape::lines(text));
    out.push('\n');
}

fn put_patch(out: &mut String, patch: &Patch) {
    line(out, &format!("\n  what:    {}", patch.kind));
    let fields = [
        ("subject", &patch.subject),
        ("author", &patch.author),
        ("date", &patch.date),
        ("id", &patch.message_id),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            line(out, &format!("  {:<8} {}", format!("{name}:"), value));
        }
    }
    for file in patch.files.iter().take(FILES_SHOWN) {
        line(out, &format!("  file:    {}", describe(file)));
    }
    if let Some(more @ 1..) = patch.files.len().checked_sub(FILES_SHOWN) {
        line(out, &format!("           and {more} files more"));
    }
}

fn describe(file: &FileDiff) -> String {
    let change = match file.change {
        Change::Modify => "",
        Change::Create => " (new)",
        Change::Delete => " (deleted)",
        Change::Rename => " (renamed from ",
        Change::Copy => " (copied from ",
    };
    let from = file.from.as_ref().map_or(String::new(), |from| format!("{from})"));
    let mode = match (&file.old_mode, &file.mode) {
        (Some(old), Some(new)) => format!(", mode {old} to {new}"),
        (None, Some(mode)) if file.makes_executable() == Some(true) => format!(", mode {mode}"),
        _ => String::new(),
    };
    let hunks = file.hunks.len();
    format!("{}{change}{from}, {hunks} {}{mode}", file.path, if hunks == 1 { "hunk" } else { "hunks" })
}

fn put_proof(out: &mut String, proved: &Proved) {
    out.push('\n');
    for file in proved.files.iter().take(FILES_SHOWN) {
        line(out, &format!("  {}", file.path));
        if let Some(from) = &file.from {
            line(out, &format!("    from:   {from}"));
        }
        line(out, &format!("    base:   {}", side(&file.pre_blob, file.pre_matches, &file.pre_full)));
        line(out, &format!("    result: {}", side(&file.post_blob, file.post_matches, &file.post_full)));
        for (index, offset) in
            file.offsets.iter().enumerate().filter(|(_, offset)| **offset != 0).take(HUNKS_SHOWN)
        {
            line(out, &format!("    hunk {} applies {offset:+} lines from where it says", index + 1));
        }
        if let Some(word) = file.mode_change() {
            line(out, &format!("    mode:   {word}"));
        }
        if file.edited {
            line(out, &format!("    {EDITED}"));
        }
    }
    let damage = if proved.damage.is_empty() { " none" } else { "" };
    line(out, &format!("\n  damage:{damage}"));
    for damage in &proved.damage {
        line(out, &format!("    {damage}"));
    }
    let (base, result) =
        (tally(&proved.files, |file| file.pre_matches), tally(&proved.files, |file| file.post_matches));
    let verdict =
        if proved.repaired { "repaired, and proved by blob id" } else { "sound, applied as it stands" };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "  proof:  {verdict}: base {base}, result {result}");
}

/// How many of all files have the blob that their `index` line names.
fn tally(files: &[ProvedFile], matches: impl Fn(&ProvedFile) -> Option<bool>) -> String {
    let hits = files.iter().filter(|file| matches(file) == Some(true)).count();
    format!("{hits}/{}", files.len())
}

fn side(named: &Option<String>, matches: Option<bool>, real: &Option<String>) -> String {
    let real = real.as_deref().unwrap_or("no file");
    match (named, matches) {
        (Some(_), Some(true)) => format!("{real} as the index line says"),
        (Some(named), _) => format!("{real}, but the index line says {named}"),
        (None, _) => format!("{real} (no index line)"),
    }
}
