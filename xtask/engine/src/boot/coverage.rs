//! From what a guest sent of gcov's counts to counts of lines: puts the pieces together and asks the compiler's own gcov,
//! confined, because counts and notes are made by code of the patch under test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::BASE64;
use protocol::GcovPiece;
use serde::Deserialize;

use crate::host::disk::{discard, write_whole};
use crate::host::process;
use crate::host::sandbox::{Access, Sandbox, View};
use crate::observe::Coverage;
use failure::{Context, Failure, Result};

/// What gcov needs beside the counts.
#[derive(Debug, Clone, Copy)]
pub struct Notes<'a> {
    /// By object, in base 64: the compiler's notes on the instrumented objects ([`crate::build`]).
    pub notes: &'a BTreeMap<String, String>,
    /// The files whose lines are wanted.
    pub touched: &'a BTreeSet<String>,
    /// Before the name of gcov.
    pub tools: &'a str,
}

/// One JSON document of gcov (gcov(1), --json-format); all else of it is not looked at.
#[derive(Deserialize)]
struct GcovDocument {
    data_file: String,
    files: Vec<GcovFile>,
}

#[derive(Deserialize)]
struct GcovFile {
    file: String,
    lines: Vec<GcovLine>,
}

#[derive(Deserialize)]
struct GcovLine {
    line_number: u32,
    count: u64,
}

const DEADLINE: Duration = Duration::from_secs(300);

/// The counts of each scenario, in the order of the pieces. `dir` is made, used and removed.
///
/// # Errors
/// When pieces are missing or are no counts of these objects, or gcov fails.
pub fn read(sandbox: &Sandbox, pieces: &[GcovPiece], notes: Notes<'_>, dir: &Path) -> Result<Vec<Coverage>> {
    discard(dir)?;
    let mut scenarios: Vec<String> = Vec::new();
    let mut arguments = Vec::new();
    for (index, CountsFile { scenario, file, bytes: counts }) in whole(pieces)?.into_iter().enumerate() {
        let Some(object) = object_of(&file, notes.notes) else {
            continue;
        };
        if scenarios.last() != Some(&scenario) {
            scenarios.push(scenario.clone());
        }
        let number = scenarios.len().saturating_sub(1);
        let stem = Path::new(object).file_stem().unwrap_or_default();
        let place = PathBuf::from(format!("{number}-{index}"));
        let bytes = decode(&notes.notes[object], object)?;
        std::fs::create_dir_all(dir.join(&place)).or_infra(|| format!("make {}", dir.display()))?;
        write_whole(&dir.join(&place).join(stem).with_extension("gcno"), &bytes)?;
        let data = place.join(stem).with_extension("gcda");
        write_whole(&dir.join(&data), &counts)?;
        arguments.push(data);
    }
    let mut all: Vec<Coverage> =
        scenarios.into_iter().map(|scenario| Coverage { scenario, ..Coverage::default() }).collect();
    if !arguments.is_empty() {
        for document in gcov(sandbox, &arguments, notes.tools, dir)? {
            let number = document.data_file.split('-').next().and_then(|number| number.parse::<usize>().ok());
            let coverage = number.and_then(|number| all.get_mut(number));
            let coverage =
                coverage.ok_or_else(|| Failure::infra("gcov names a file that it was not given"))?;
            take(coverage, document, notes.touched);
        }
    }
    discard(dir)?;
    Ok(all)
}

/// One file of counts, whole.
struct CountsFile {
    scenario: String,
    file: String,
    bytes: Vec<u8>,
}

impl CountsFile {
    fn is_of(&self, piece: &GcovPiece) -> bool {
        (&self.scenario, &self.file) == (&piece.scenario, &piece.file)
    }
}

/// The files that were sent.
fn whole(pieces: &[GcovPiece]) -> Result<Vec<CountsFile>> {
    let mut files: Vec<CountsFile> = Vec::new();
    let mut next = 0;
    for piece in pieces {
        if piece.number != next {
            return Err(Failure::infra(format!("the guest left out a piece of {}", piece.file)));
        }
        let bytes = decode(&piece.data, &piece.file)?;
        match files.last_mut() {
            Some(known) if piece.number > 0 && known.is_of(piece) => known.bytes.extend(bytes),
            _ if piece.number == 0 => {
                files.push(CountsFile { scenario: piece.scenario.clone(), file: piece.file.clone(), bytes });
            }
            _ => return Err(Failure::infra(format!("the guest mixed pieces of {}", piece.file))),
        }
        next = if piece.last { 0 } else { next.saturating_add(1) };
    }
    match next {
        0 => Ok(files),
        _ => Err(Failure::infra("the guest did not send all of gcov's counts")),
    }
}

fn decode(data: &str, of: &str) -> Result<Vec<u8>> {
    BASE64.decode(data.as_bytes()).map_err(|error| Failure::infra(format!("{of}: no base 64: {error}")))
}

/// The instrumented object whose counts are in `file`, the path of an object directory with the object's own behind it.
fn object_of<'a>(file: &str, notes: &'a BTreeMap<String, String>) -> Option<&'a str> {
    let file = file.strip_suffix(".gcda")?;
    let is_it = |object: &&String| {
        let stem = object.trim_end_matches(".o");
        file == stem || file.ends_with(&format!("/{stem}"))
    };
    notes.keys().filter(is_it).max_by_key(|object| object.len()).map(String::as_str)
}

fn gcov(sandbox: &Sandbox, files: &[PathBuf], tools: &str, dir: &Path) -> Result<Vec<GcovDocument>> {
    let log = dir.join("gcov.log");
    let view = View::default().show(dir, Path::new("gcov"), Access::Read).start_in(dir);
    let mut command = vec![format!("{tools}gcov"), "--json-format".to_owned(), "--stdout".to_owned()];
    command.extend(files.iter().map(|file| file.display().to_string()));
    let said = process::must("gcov", sandbox.command(&command, &view), &log, DEADLINE)?;
    let lines = said.lines().filter(|line| !line.trim().is_empty());
    let documents =
        lines.map(|line| serde_json::from_str(line).or_infra(|| "read what gcov printed".to_owned()));
    documents.collect()
}

fn take(coverage: &mut Coverage, document: GcovDocument, touched: &BTreeSet<String>) {
    for file in document.files {
        let is_it = |path: &&String| file.file == **path || file.file.ends_with(&format!("/{path}"));
        if let Some(path) = touched.iter().find(is_it) {
            for line in file.lines {
                coverage.add(path, line.line_number, line.count.min(protocol::NUMBER_MAX));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(file: &str, number: u32, last: bool, data: &[u8]) -> GcovPiece {
        GcovPiece { scenario: "s".to_owned(), file: file.to_owned(), number, last, data: BASE64.encode(data) }
    }

    #[test]
    fn pieces_of_one_file_are_put_together_and_a_gap_is_refused() {
        let all = [piece("a", 0, false, b"12"), piece("a", 1, true, b"3"), piece("b", 0, true, b"4")];
        let files = whole(&all).unwrap();
        assert_eq!(
            files.iter().map(|file| file.bytes.clone()).collect::<Vec<_>>(),
            [b"123".to_vec(), b"4".to_vec()]
        );
        for bad in [&all[1..], &all[..1], &[all[0].clone(), all[2].clone()]] {
            assert!(whole(bad).is_err());
        }
    }

    #[test]
    fn counts_belong_to_the_object_whose_whole_path_ends_theirs() {
        let notes = BTreeMap::from([
            ("fs/dir.o".to_owned(), String::new()),
            ("fs/ext4/dir.o".to_owned(), String::new()),
        ]);
        assert_eq!(object_of("/x/tree/build/fs/ext4/dir.gcda", &notes), Some("fs/ext4/dir.o"));
        assert_eq!(object_of("/x/tree/build/fs/dir.gcda", &notes), Some("fs/dir.o"));
        assert_eq!(object_of("/x/afs/dir.gcda", &notes), None);
    }
}
