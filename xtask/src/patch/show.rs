//! The text of `cargo xtask patch FILE`: what the input is, what is wrong with it, and what proves it. Pure.

use super::diff::Change;
use super::diff::{DamageKind, FileDiff};
use super::prove::{Damage, Proved, ProvedFile};
use super::{Patch, Series};
use crate::failure::Failure;
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

/// What people read about `series` and the attempt to prove it.
pub fn show(series: &Series, outcome: Result<&Proved, &Failure>) -> String {
    let mut out = format!("{}\n", series.source);
    for patch in &series.patches {
        put_patch(&mut out, patch);
    }
    match outcome {
        Ok(proved) => put_proof(&mut out, proved),
        Err(failure) => line(&mut out, &format!("\nREJECTED: {failure}")),
    }
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
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
            line(out, &format!("  {:<8} {}", format!("{name}:"), printable(value)));
        }
    }
    for file in &patch.files {
        line(out, &format!("  file:    {}", describe(file)));
    }
}

/// Header text is hostile: no terminal escapes.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn describe(file: &FileDiff) -> String {
    let change = match file.change {
        Change::Modify => "",
        Change::Create => " (new)",
        Change::Delete => " (deleted)",
    };
    let hunks = file.hunks.len();
    format!("{}{change}, {hunks} {}", file.path, if hunks == 1 { "hunk" } else { "hunks" })
}

fn put_proof(out: &mut String, proved: &Proved) {
    out.push('\n');
    for file in &proved.files {
        line(out, &format!("  {}", file.path));
        line(out, &format!("    base:   {}", side(&file.pre_blob, file.pre_matches, &file.pre_full)));
        line(out, &format!("    result: {}", side(&file.post_blob, file.post_matches, &file.post_full)));
        for (index, offset) in file.offsets.iter().enumerate().filter(|(_, offset)| **offset != 0) {
            line(out, &format!("    hunk {} applies {offset:+} lines from where it says", index + 1));
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
