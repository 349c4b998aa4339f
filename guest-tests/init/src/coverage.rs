//! What gcov counted (kernel/gcov): its files in debugfs, as pieces for the host. Only instrumented objects have one.

use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use kit::files;
use protocol::{GcovPiece, Message};

use crate::port::Port;

const GCOV: &str = "/sys/kernel/debug/gcov";
/// Writing to it sets all counts to 0 (kernel/gcov/fs.c, `reset_write()`).
const RESET: &str = "reset";
const COUNTS: &str = "gcda";

/// Forgets what was counted up to now.
pub fn reset() -> Result<(), String> {
    files::write(Path::new(GCOV).join(RESET), "1")
}

/// Sends every count. A kernel without gcov, or with no instrumented object, has none.
pub fn send(port: &mut Port, scenario: &str) -> Result<(), String> {
    for path in count_files(Path::new(GCOV))? {
        let file = path.strip_prefix(GCOV).unwrap_or(&path).display().to_string();
        let bytes = files::bytes(&path)?;
        for piece in pieces(scenario, &file, &bytes) {
            port.send(&Message::Covered(piece))?;
        }
    }
    Ok(())
}

/// The regular ones below a directory, each directory's in order. The links next to them lead out of debugfs.
fn count_files(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let said = |error: std::io::Error| format!("could not list {}: {error}", directory.display());
    if !directory.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(directory).map_err(said)?.collect::<Result<Vec<_>, _>>().map_err(said)?;
    let mut paths: Vec<_> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        // Not of what a link leads to.
        let kind = fs::symlink_metadata(&path).map_err(said)?.file_type();
        if kind.is_dir() {
            found.extend(count_files(&path)?);
        } else if kind.is_file() && path.extension().is_some_and(|end| end == COUNTS) {
            found.push(path);
        }
    }
    Ok(found)
}

/// An empty file is one empty piece.
fn pieces<'a>(scenario: &'a str, file: &'a str, bytes: &'a [u8]) -> impl Iterator<Item = GcovPiece> + 'a {
    let count = bytes.len().div_ceil(GcovPiece::BYTES).max(1);
    (0..count).map(move |index| {
        let from = index * GcovPiece::BYTES;
        let to = bytes.len().min(from + GcovPiece::BYTES);
        GcovPiece {
            scenario: scenario.to_owned(),
            file: file.to_owned(),
            number: u32::try_from(index).unwrap_or(u32::MAX),
            last: index + 1 == count,
            data: BASE64.encode(&bytes[from..to]),
        }
    })
}

#[cfg(test)]
mod tests {
    use protocol::{Encoder, LINE_LIMIT, Nonce};

    use super::*;

    #[test]
    fn pieces_are_the_file_again_and_each_fits_into_a_line() {
        let bytes: Vec<u8> = (0..GcovPiece::BYTES + 7).map(|number| number as u8).collect();
        let path = "p".repeat(4096);
        let pieces: Vec<_> = pieces("boot", &path, &bytes).collect();
        assert_eq!(
            pieces.iter().map(|piece| (piece.number, piece.last)).collect::<Vec<_>>(),
            [(0, false), (1, true)]
        );
        let back: Vec<u8> =
            pieces.iter().flat_map(|piece| BASE64.decode(piece.data.as_bytes()).unwrap()).collect();
        assert_eq!(back, bytes);
        let mut encoder = Encoder::new(Nonce::from_bytes([0; 16]));
        for piece in pieces {
            assert!(encoder.encode(&Message::Covered(piece)).len() < LINE_LIMIT);
        }
    }

    #[test]
    fn an_empty_file_and_a_whole_piece_end_where_they_should() {
        assert_eq!(pieces("boot", "a.gcda", &[]).map(|piece| piece.last).collect::<Vec<_>>(), [true]);
        let whole = vec![0; GcovPiece::BYTES];
        assert_eq!(pieces("boot", "a.gcda", &whole).count(), 1);
    }

    #[test]
    fn links_and_other_files_are_not_counts() {
        let dir = std::env::temp_dir().join(format!("patchproof-gcov-{}", std::process::id()));
        fs::create_dir_all(dir.join("kernel")).unwrap();
        files::write(dir.join("kernel/pid.gcda"), "counts").unwrap();
        files::write(dir.join("reset"), "").unwrap();
        std::os::unix::fs::symlink(dir.join("kernel/pid.gcda"), dir.join("kernel/pid2.gcda")).unwrap();
        std::os::unix::fs::symlink(&dir, dir.join("kernel/loop")).unwrap();
        assert_eq!(count_files(&dir), Ok(vec![dir.join("kernel/pid.gcda")]));
        assert_eq!(count_files(&dir.join("none")), Ok(vec![]));
        fs::remove_dir_all(dir).unwrap();
    }
}
