//! Reads a file that another process appends to. Knows bytes; what they mean is for its users.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Most bytes taken at one look, so that a flood cannot fill the host's memory.
pub const READ_MAX: u64 = 1 << 20;

/// A file that grows. It need not be there yet.
#[derive(Debug)]
pub struct TailFile {
    path: PathBuf,
    file: Option<File>,
}

impl TailFile {
    pub fn new(path: &Path) -> Self {
        TailFile { path: path.to_owned(), file: None }
    }

    /// What is new, at most [`READ_MAX`]. A file that cannot be read has nothing new.
    pub fn read(&mut self) -> Vec<u8> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let mut new = Vec::new();
        if let Some(file) = &mut self.file {
            let _ = file.take(READ_MAX).read_to_end(&mut new);
        }
        new
    }

    /// Size of the file, whether it has been read or not.
    pub fn size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |found| found.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_read_gives_what_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut tail = TailFile::new(&path);
        assert_eq!((tail.read(), tail.size()), (Vec::new(), 0));
        std::fs::write(&path, "one").unwrap();
        assert_eq!((tail.read(), tail.read()), (b"one".to_vec(), Vec::new()));
        std::fs::write(&path, "one two").unwrap();
        assert_eq!((tail.read(), tail.size()), (b" two".to_vec(), 7));
    }
}
