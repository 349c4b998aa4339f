//! Small kernel files: read, write, and write with proof that the kernel took the value. No meaning here.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{ptr, slice};

/// More than any small kernel file holds.
const READ_BYTES: usize = 64 * 1024;

/// Longest text that an error repeats.
const EXCERPT_CHARS: usize = 200;

thread_local! {
    /// Zeroed once: an emulated CPU takes longer to clear it than the kernel to answer most reads.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// The whole file as text; bytes that are not UTF-8 are replaced.
pub fn read(path: impl AsRef<Path>) -> Result<String, String> {
    bytes(path).map(text)
}

/// The whole file.
pub fn bytes(path: impl AsRef<Path>) -> Result<Vec<u8>, String> {
    let path = path.as_ref();
    read_bytes(path).map_err(|error| format!("could not read {}: {error}", path.display()))
}

/// Gives the file to `take`, some whole lines at a time, as long as it says that it wants more. Only of what is given last
/// may the end of a line be missing.
pub fn read_lines(
    path: impl AsRef<Path>,
    mut take: impl FnMut(&[u8]) -> Result<bool, String>,
) -> Result<(), String> {
    let path = path.as_ref();
    let said = |error: io::Error| format!("could not read {}: {error}", path.display());
    let mut file = File::open(path).map_err(said)?;
    let mut wanted = Ok(true);
    let mut rest = Vec::new();
    let lines = |piece: &[u8]| {
        wanted = take_lines(&mut rest, piece, &mut take);
        matches!(wanted, Ok(true))
    };
    read_pieces(|buffer, _| file.read(buffer), lines).map_err(said)?;
    if wanted? && !rest.is_empty() {
        take(&rest)?;
    }
    Ok(())
}

/// `rest`: the beginning of a line, of which `piece` is the continuation.
fn take_lines(
    rest: &mut Vec<u8>,
    piece: &[u8],
    mut take: impl FnMut(&[u8]) -> Result<bool, String>,
) -> Result<bool, String> {
    let Some(end) = piece.iter().rposition(|byte| *byte == b'\n') else {
        rest.extend_from_slice(piece);
        return Ok(true);
    };
    let (lines, begun) = piece.split_at(end + 1);
    rest.extend_from_slice(lines);
    let wanted = take(rest);
    rest.clear();
    rest.extend_from_slice(begun);
    wanted
}

/// What a pipe such as tracefs's `trace_pipe_raw` holds now, in the pieces in which it gives it. Reading takes it
/// away.
pub fn drain(path: impl AsRef<Path>) -> Result<Vec<Vec<u8>>, String> {
    let path = path.as_ref();
    let said = |error: io::Error| format!("could not read {}: {error}", path.display());
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(said)?;
    let mut pieces = Vec::new();
    let keep = |piece: &[u8]| {
        pieces.push(piece.to_vec());
        true
    };
    match read_pieces(|buffer, _| file.read(buffer), keep) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(said(error)),
        _ => Ok(pieces),
    }
}

/// The content of a file that does not change any more, for the rest of this process, without reading what is not looked
/// at.
pub fn map(path: impl AsRef<Path>) -> Result<&'static [u8], String> {
    let path = path.as_ref();
    let said = |error: io::Error| format!("could not map {}: {error}", path.display());
    let file = File::open(path).map_err(said)?;
    let length = usize::try_from(file.metadata().map_err(said)?.len()).map_err(|error| error.to_string())?;
    let descriptor = file.as_raw_fd();
    // SAFETY: a new mapping at an address of the kernel's choice, which is never taken back.
    let start =
        unsafe { libc::mmap(ptr::null_mut(), length, libc::PROT_READ, libc::MAP_PRIVATE, descriptor, 0) };
    if start == libc::MAP_FAILED {
        return Err(said(io::Error::last_os_error()));
    }
    // SAFETY: so long is the mapping, which stays, and nothing writes to the file.
    Ok(unsafe { slice::from_raw_parts(start.cast(), length) })
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Not `fs::read`: it begins with 32 bytes when a file claims to be empty, and an event's `filter` answers
/// the first read only (`event_filter_read()`, kernel/trace/trace_events.c).
fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    read_to_end(|buffer, _| file.read(buffer))
}

fn read_to_end(read: impl FnMut(&mut [u8], u64) -> io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_pieces(read, |piece| {
        bytes.extend_from_slice(piece);
        true
    })?;
    Ok(bytes)
}

/// Reads until nothing more comes or is wanted. `read` is told how much there was already: some files give less at once than they hold.
fn read_pieces(
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
    mut take: impl FnMut(&[u8]) -> bool,
) -> io::Result<()> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut at = 0;
        loop {
            match read(buffer, at) {
                Ok(0) => return Ok(()),
                Ok(length) if !take(&buffer[..length]) => return Ok(()),
                Ok(length) => at += length as u64,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    })
}

/// The file's content as one number, decimal or with `0x`.
pub fn read_number(path: impl AsRef<Path>) -> Result<u64, String> {
    let path = path.as_ref();
    let text = read(path)?;
    number(&text).ok_or_else(|| format!("{} holds {:?}, not a number", path.display(), text.trim()))
}

/// Writes `value` in one `write` call, as kernel files want it.
pub fn write(path: impl AsRef<Path>, value: impl AsRef<[u8]>) -> Result<(), String> {
    let (path, value) = (path.as_ref(), value.as_ref());
    fs::write(path, value).map_err(|error| {
        let value: String = String::from_utf8_lossy(value).chars().take(EXCERPT_CHARS).collect();
        format!("could not write {value:?} to {}: {error}", path.display())
    })
}

/// Writes `value` and fails unless the file then reads back as the same value. Kernel files clamp, round and
/// ignore in silence; a knob that was not taken would make every count behind it a lie.
pub fn set(path: impl AsRef<Path>, value: &str) -> Result<(), String> {
    let path = path.as_ref();
    write(path, value)?;
    taken(path, value, &read(path)?)
}

fn taken(path: &Path, value: &str, found: &str) -> Result<(), String> {
    match same_value(value, found) {
        true => Ok(()),
        false => {
            Err(format!("{} reads {:?} after {value:?} was written to it", path.display(), found.trim()))
        }
    }
}

/// The same, but leaves a file alone that holds the value already: some of them take long to be written.
pub fn ensure(path: impl AsRef<Path>, value: &str) -> Result<(), String> {
    let path = path.as_ref();
    if same_value(value, &read(path)?) { Ok(()) } else { set(path, value) }
}

/// A kernel file that stays open, because it is asked or told again and again: an emulated CPU takes longer to find a file
/// than the kernel to answer. Not for debugfs's numbers, which cannot be read twice (`DEFINE_DEBUGFS_ATTRIBUTE` has no
/// seeking).
#[derive(Debug)]
pub struct OpenFile {
    path: PathBuf,
    file: File,
}

impl OpenFile {
    /// For reading and writing.
    pub fn open(path: impl AsRef<Path>) -> Result<OpenFile, String> {
        OpenFile::with(path.as_ref(), OpenOptions::new().read(true).write(true))
    }

    pub fn read_only(path: impl AsRef<Path>) -> Result<OpenFile, String> {
        OpenFile::with(path.as_ref(), OpenOptions::new().read(true))
    }

    fn with(path: &Path, how: &OpenOptions) -> Result<OpenFile, String> {
        let file = how.open(path).map_err(|error| format!("could not open {}: {error}", path.display()))?;
        Ok(OpenFile { path: path.to_owned(), file })
    }

    /// What the file says now, as [`read`].
    pub fn read(&self) -> Result<String, String> {
        let from = |buffer: &mut [u8], at| self.file.read_at(buffer, at);
        read_to_end(from)
            .map(text)
            .map_err(|error: io::Error| format!("could not read {}: {error}", self.path.display()))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// As [`set`].
    pub fn set(&self, value: &str) -> Result<(), String> {
        let written = self.file.write_at(value.as_bytes(), 0);
        let said = |error| format!("could not write {value:?} to {}: {error}", self.path.display());
        match written.map_err(said)? {
            all if all == value.len() => taken(&self.path, value, &self.read()?),
            some => Err(format!("{} took {some} bytes of {value:?}", self.path.display())),
        }
    }
}

/// Equal as numbers where both are numbers, else equal as lists of words (some files answer one per line).
fn same_value(written: &str, found: &str) -> bool {
    match (number(written), number(found)) {
        (Some(written), Some(found)) => written == found,
        _ => written.split_whitespace().eq(found.split_whitespace()),
    }
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_reads_back_in_any_notation() {
        assert!(same_value("0xffffffff813e1f00", "0xffffffff813e1f00\n"));
        assert!(same_value("200", "0xc8\n"));
        assert!(!same_value("200", "199\n"));
    }

    #[test]
    fn words_read_back_whatever_the_white_space() {
        assert!(same_value("Y", "Y\n"));
        assert!(same_value("synchronize_rcu smp_call_function", "synchronize_rcu\nsmp_call_function\n"));
        assert!(!same_value("Y", "N\n"));
        assert!(!same_value("synchronize_rcu", "#### all functions enabled ####\n"));
        assert!(!same_value("200", ""));
    }

    #[test]
    fn set_fails_on_a_file_that_forgets_what_was_written() {
        let error = set("/dev/null", "1").expect_err("/dev/null reads back empty");
        assert_eq!(error, "/dev/null reads \"\" after \"1\" was written to it");
        let file = OpenFile::open("/dev/null").expect("/dev/null opens");
        assert_eq!(file.set("1"), Err(error));
    }

    #[test]
    fn lines_come_whole_however_the_file_is_read_and_no_more_than_are_wanted() {
        let text = b"a\nbc\n\ndef\ng";
        for length in 1..=text.len() {
            let (mut rest, mut taken) = (Vec::new(), Vec::new());
            for piece in text.chunks(length) {
                let keep = |lines: &[u8]| {
                    assert!(lines.ends_with(b"\n"));
                    taken.extend_from_slice(lines);
                    Ok(true)
                };
                assert_eq!(take_lines(&mut rest, piece, keep), Ok(true));
            }
            assert_eq!((&taken[..], &rest[..]), (&b"a\nbc\n\ndef\n"[..], &b"g"[..]), "{length}");
        }
        let path = std::env::temp_dir().join(format!("patchproof-lines-{}", std::process::id()));
        write(&path, text).unwrap();
        let mut taken = Vec::new();
        let mut keep = |lines: &[u8], more| {
            taken.push(lines.to_vec());
            Ok(more)
        };
        assert_eq!(read_lines(&path, |lines| keep(lines, true)), Ok(()));
        assert_eq!(read_lines(&path, |lines| keep(lines, false)), Ok(()));
        assert_eq!(taken, [&b"a\nbc\n\ndef\n"[..], b"g", b"a\nbc\n\ndef\n"]);
        assert_eq!(read_lines(&path, |_| Err("no".to_owned())), Err("no".to_owned()));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn an_open_file_says_what_it_holds_now() {
        let path = std::env::temp_dir().join(format!("patchproof-open-file-{}", std::process::id()));
        write(&path, "7").unwrap();
        let file = OpenFile::open(&path).unwrap();
        assert_eq!(file.read().as_deref(), Ok("7"));
        write(&path, "0x2a\n").unwrap();
        assert_eq!(file.read().as_deref(), Ok("0x2a\n"));
        assert_eq!((file.set("0x99"), read_number(&path)), (Ok(()), Ok(0x99)));
        std::fs::remove_file(path).unwrap();
    }
}
