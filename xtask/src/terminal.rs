//! Standard output and standard error: the one place that writes to them. A reader that is gone stops nothing: the command
//! goes on in silence, and its exit code is the one that it would have had. What is printed is escaped (crate::escape).

use std::ffi::OsStr;
use std::io::{self, ErrorKind, IsTerminal, Write};

use crate::escape;
use crate::failure::{Context, Result};

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
/// When they cannot be written, for instance to a file on a full disk. That nobody reads them any more is none.
pub fn print(text: &str) -> Result<()> {
    print_as_it_is(&escape::lines(text))
}

/// As [`print`], of text that holds nothing from outside but what is escaped already, and may hold colours.
///
/// # Errors
/// As [`print`].
pub fn print_as_it_is(text: &str) -> Result<()> {
    write_to(&mut io::stdout().lock(), text).or_infra(|| "write to standard output".to_owned())
}

/// Says something to the person at the terminal, on standard error. If that cannot be written there is nowhere left to say
/// so.
pub fn say(text: &str) {
    let _ = write_to(&mut io::stderr().lock(), &format!("{}\n", escape::lines(text)));
}

fn write_to(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// What may be written to a stream beside text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Lines that were written may be written again: the cursor can be moved.
    pub live: bool,
    pub colour: bool,
}

impl Look {
    pub fn of(stream: &impl IsTerminal) -> Look {
        let (term, no_color) = (std::env::var_os("TERM"), std::env::var_os("NO_COLOR"));
        Look::new(stream.is_terminal(), term.as_deref(), no_color.as_deref())
    }

    /// A terminal that does not say what it is takes nothing but text. For NO_COLOR see https://no-color.org: any value
    /// counts, but an empty one.
    fn new(is_terminal: bool, term: Option<&OsStr>, no_color: Option<&OsStr>) -> Look {
        let live = is_terminal && term.is_some_and(|term| !term.is_empty() && term != "dumb");
        Look { live, colour: live && no_color.is_none_or(OsStr::is_empty) }
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
    fn a_reader_that_is_gone_is_no_error_and_a_full_disk_is_one() {
        assert!(write_to(&mut Fails(ErrorKind::BrokenPipe), "x").is_ok());
        assert!(write_to(&mut Fails(ErrorKind::StorageFull), "x").is_err());
    }

    #[test]
    fn a_terminal_gets_what_it_and_its_user_take() {
        let look = |is_terminal, term: Option<&str>, no_color: Option<&str>| {
            let Look { live, colour } =
                Look::new(is_terminal, term.map(OsStr::new), no_color.map(OsStr::new));
            (live, colour)
        };
        assert_eq!(look(true, Some("xterm-256color"), None), (true, true));
        assert_eq!(look(true, Some("xterm"), Some("")), (true, true));
        assert_eq!(look(true, Some("xterm"), Some("0")), (true, false));
        assert_eq!(look(true, Some("dumb"), None), (false, false));
        assert_eq!(look(true, Some(""), None), (false, false));
        assert_eq!(look(true, None, None), (false, false));
        assert_eq!(look(false, Some("xterm"), None), (false, false));
    }
}
