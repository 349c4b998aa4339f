//! Files that the user names: patches, campaigns, fragments. Each has a limit that holds before a byte of it is read,
//! and only a regular file is read: a device, a FIFO or a socket may never end. Reads, and changes nothing.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use failure::{Exit, Failure, Result, escape};

/// One kind of file, and how large it may be.
#[derive(Debug, Clone, Copy)]
pub struct Input {
    /// Such as "the patch".
    pub what: &'static str,
    pub most_bytes: u64,
    /// The exit code for one that is too large.
    pub too_large: Exit,
}

/// A patch, or a file that holds several.
pub const PATCH: Input =
    Input { what: "the patch", most_bytes: patch::MAX_PATCH_BYTES as u64, too_large: Exit::PatchRejected };
/// A campaign, or the description of its trees.
pub const CONFIG: Input = Input { what: "the configuration", most_bytes: 256 << 10, too_large: Exit::Usage };
/// A fragment of a kernel configuration.
pub const FRAGMENT: Input = Input { what: "the fragment", most_bytes: 256 << 10, too_large: Exit::Usage };
/// What a kernel printed.
pub const CONSOLE: Input = Input { what: "the log", most_bytes: 4 << 30, too_large: Exit::Usage };
/// A kernel with its debug information.
pub const VMLINUX: Input = Input { what: "the kernel", most_bytes: 16 << 30, too_large: Exit::Usage };
/// The description of a control.
pub const CONTROL: Input = Input { what: "the control", most_bytes: 1 << 20, too_large: Exit::Usage };

impl Input {
    /// The bytes of the file `path`.
    ///
    /// # Errors
    /// Usage, when it is not there, cannot be read or is no regular file; when it is larger than the limit, the exit code
    /// of this kind.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let file = self.open_regular(path)?;
        let found = file.metadata().map_err(|error| self.unreadable(path, &error))?;
        // One byte more than the limit: a file may grow, and the size of those in /proc is 0.
        let expected = found.len().min(self.most_bytes);
        let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0) + 1);
        if found.len() <= self.most_bytes {
            let mut limited = file.take(self.most_bytes + 1);
            limited.read_to_end(&mut bytes).map_err(|error| self.unreadable(path, &error))?;
        }
        if found.len() > self.most_bytes || bytes.len() as u64 > self.most_bytes {
            return Err(self.oversized(&shown(path)));
        }
        Ok(bytes)
    }

    /// Opens the regular file `path`; its size is not looked at.
    ///
    /// # Errors
    /// As [`Input::read`].
    pub fn open_regular(&self, path: &Path) -> Result<File> {
        let file = self.open(path)?;
        let found = file.metadata().map_err(|error| self.unreadable(path, &error))?;
        match found.is_file() {
            true => Ok(file),
            false => Err(self
                .cannot(path)
                .because(format!("it is {}", kind_of(found.file_type())))
                .next("name a regular file")),
        }
    }

    /// As [`Input::read`], for a file of text.
    ///
    /// # Errors
    /// Also when it is not UTF-8.
    pub fn read_text(&self, path: &Path) -> Result<String> {
        String::from_utf8(self.read(path)?).map_err(|error| {
            let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
                .iter()
                .filter(|&&byte| byte == b'\n')
                .count();
            Failure::usage(format!("{}:{line}: not UTF-8", shown(path)))
        })
    }

    /// Everything that `from` has to give, such as standard input.
    ///
    /// # Errors
    /// As [`Input::read`].
    pub fn read_from(&self, from: impl Read, name: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        from.take(self.most_bytes + 1).read_to_end(&mut bytes).map_err(|error| {
            Failure::usage(format!("cannot read {} from {name}", self.what)).because(error.to_string())
        })?;
        if bytes.len() as u64 > self.most_bytes {
            return Err(self.oversized(name));
        }
        Ok(bytes)
    }

    /// A FIFO that has no writer does not hold up the open, and a terminal does not become ours.
    fn open(&self, path: &Path) -> Result<File> {
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .map_err(|error| self.unreadable(path, &error))
    }

    fn cannot(&self, path: &Path) -> Failure {
        Failure::usage(format!("cannot read {} {}", self.what, shown(path)))
    }

    fn unreadable(&self, path: &Path, error: &io::Error) -> Failure {
        match error.raw_os_error() {
            Some(libc::ENXIO) => self.cannot(path).because("it is a socket").next("name a regular file"),
            _ => self.cannot(path).because(error.to_string()),
        }
    }

    fn oversized(&self, name: &str) -> Failure {
        let limit = match self.most_bytes >> 20 {
            0 => format!("{} KiB", self.most_bytes >> 10),
            mebibytes => format!("{mebibytes} MiB"),
        };
        let failure = Failure::usage(format!("{name}: {} is larger than {limit}", self.what));
        Failure { exit: self.too_large, ..failure }
    }
}

fn kind_of(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_char_device() => "a character device",
        kind if kind.is_block_device() => "a block device",
        _ => "no regular file",
    }
}

/// A path for people: on one line, without control characters, bytes that are not UTF-8 as `\xff`.
pub fn shown(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out.push_str(&escape::line(chunk.valid()));
        out.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::UnixListener;

    use super::*;

    const SMALL: Input = Input { what: "the sample", most_bytes: 4, too_large: Exit::PatchRejected };

    fn refused(path: &Path) -> String {
        let failure = SMALL.read(path).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        failure.to_string()
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(refused(dir.path()).contains("it is a directory"));
        assert!(refused(Path::new("/dev/zero")).contains("it is a character device"));
        assert!(refused(&dir.path().join("none")).contains("No such file"));
        let fifo = dir.path().join("fifo");
        assert!(duct::cmd!("mkfifo", &fifo).run().unwrap().status.success());
        assert!(refused(&fifo).contains("it is a FIFO"));
        let socket = dir.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        assert!(refused(&socket).contains("it is a socket"));
    }

    #[test]
    fn the_limit_holds_before_anything_is_read_and_for_files_without_a_size() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, "1234").unwrap();
        assert_eq!(SMALL.read(&file).unwrap(), b"1234");
        File::options().write(true).open(&file).unwrap().set_len(1 << 40).unwrap();
        let failure = SMALL.read(&file).unwrap_err();
        assert_eq!((failure.exit, failure.what.contains("larger than 0 KiB")), (Exit::PatchRejected, true));
        assert_eq!(SMALL.read(Path::new("/proc/self/maps")).unwrap_err().exit, Exit::PatchRejected);
        assert_eq!(SMALL.read_from(io::repeat(0), "x").unwrap_err().exit, Exit::PatchRejected);
    }

    #[test]
    fn a_path_is_shown_on_one_line_whatever_is_in_it() {
        let path = Path::new(OsStr::from_bytes(b"a\n\x1b[2J b\xff\"&%,'c"));
        assert_eq!(shown(path), "a\\n\\x1b[2J b\\xff\"&%,'c");
        assert!(refused(path).lines().next().unwrap().contains("a\\n\\x1b[2J b\\xff"));
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, b"a\n\xff\n").unwrap();
        assert!(SMALL.read_text(&file).unwrap_err().what.ends_with("f:2: not UTF-8"));
    }
}
