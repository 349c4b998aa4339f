//! The only module that writes to standard output and standard error; both are escaped (failure::escape). EPIPE is not an
//! error: when the reader has closed the pipe, the command goes on without output and keeps its exit code.

use std::ffi::OsStr;
use std::io::{self, ErrorKind, IsTerminal, Write};

use failure::{Context, Result, escape};

/// Prints one line on standard output.
///
/// # Errors
/// As [`print`].
pub fn print_line(text: &str) -> Result<()> {
    print_as_it_is(&format!("{}\n", escape::line(text)))
}

/// Prints lines on standard output.
///
/// # Errors
/// When writing fails, for instance to a file on a full disk; but not when the reader has closed the pipe.
pub fn print(text: &str) -> Result<()> {
    print_as_it_is(&escape::lines(text))
}

/// Prints text that has been escaped already and may have colours.
///
/// # Errors
/// As [`print`].
pub fn print_as_it_is(text: &str) -> Result<()> {
    write_to(&mut io::stdout().lock(), text).or_infra(|| "write to standard output".to_owned())
}

/// Prints lines on standard error. A failure to write is ignored: there is no other place to report it.
pub fn say(text: &str) {
    let _ = write_to(&mut io::stderr().lock(), &format!("{}\n", escape::lines(text)));
}

fn write_to(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// What a stream can show in addition to plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Lines can be rewritten by moving the cursor.
    pub live: bool,
    pub colour: bool,
}

impl Look {
    pub fn of(stream: &impl IsTerminal) -> Look {
        let variable = |name| std::env::var_os(name);
        let (term, no_color, forced) = (variable("TERM"), variable("NO_COLOR"), variable("CLICOLOR_FORCE"));
        Look::new(stream.is_terminal(), term.as_deref(), no_color.as_deref(), forced.as_deref())
    }

    /// A terminal without a TERM, or with TERM=dumb, gets plain text. NO_COLOR counts if it is not empty
    /// (https://no-color.org), and more than CLICOLOR_FORCE, which counts if it is neither empty nor 0
    /// (https://bixense.com/clicolors) and gives colours to what is no terminal as well.
    fn new(
        is_terminal: bool,
        term: Option<&OsStr>,
        no_color: Option<&OsStr>,
        forced: Option<&OsStr>,
    ) -> Look {
        let live = is_terminal && term.is_some_and(|term| !term.is_empty() && term != "dumb");
        let forced = forced.is_some_and(|value| !value.is_empty() && value != "0");
        Look { live, colour: (live || forced) && no_color.is_none_or(OsStr::is_empty) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails(ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn closed_pipe_is_no_error_and_full_disk_is_one() {
        assert!(write_to(&mut Fails(ErrorKind::BrokenPipe), "x").is_ok());
        assert!(write_to(&mut Fails(ErrorKind::StorageFull), "x").is_err());
    }

    #[test]
    fn environment_decides_how_output_looks() {
        let look = |is_terminal, term: Option<&str>, no_color: Option<&str>, forced: Option<&str>| {
            let Look { live, colour } = Look::new(
                is_terminal,
                term.map(OsStr::new),
                no_color.map(OsStr::new),
                forced.map(OsStr::new),
            );
            (live, colour)
        };
        assert_eq!(look(true, Some("xterm-256color"), None, None), (true, true));
        assert_eq!(look(true, Some("xterm"), Some(""), None), (true, true));
        assert_eq!(look(true, Some("xterm"), Some("0"), None), (true, false));
        assert_eq!(look(true, Some("dumb"), None, None), (false, false));
        assert_eq!(look(true, Some(""), None, None), (false, false));
        assert_eq!(look(true, None, None, None), (false, false));
        assert_eq!(look(false, Some("xterm"), None, None), (false, false));
        assert_eq!(look(false, None, None, Some("1")), (false, true));
        assert_eq!(look(false, None, None, Some("0")), (false, false));
        assert_eq!(look(false, None, None, Some("")), (false, false));
        assert_eq!(look(true, Some("xterm"), Some("1"), Some("1")), (true, false));
    }
}
