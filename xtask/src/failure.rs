//! What the harness says when it cannot go on: written for the person who reads it, with an exit code of its
//! own per kind. A failing *kernel* is not a `Failure`: that is a verdict, and a verdict is a value.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// The documented exit codes of `cargo xtask`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Every pair passed, or the command did what it was asked.
    Ok = 0,
    /// At least one pair failed: the patch is to blame.
    PatchFailed = 1,
    /// The command line, a YAML file, a fragment or a cell glob is wrong.
    Usage = 2,
    /// No verdict about the patch: vacuous, base also fails, or the host, QEMU or a tool failed.
    Inconclusive = 3,
    /// The patch file was refused: damaged without proof, does not apply, or reaches outside the tree.
    PatchRejected = 4,
    /// A bug in the harness itself.
    Internal = 70,
    /// Ctrl-C or SIGTERM.
    Interrupted = 130,
}

/// Why the harness stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    /// What failed, and on what: one line.
    pub what: String,
    /// Why we think so: one line each.
    pub because: Vec<String>,
    /// What to do next: one line each.
    pub next: Vec<String>,
    /// Where the whole story is.
    pub log: Option<PathBuf>,
}

impl Failure {
    fn new(exit: Exit, what: impl Into<String>) -> Self {
        Failure { exit, what: what.into(), because: Vec::new(), next: Vec::new(), log: None }
    }

    /// The user asked for something that cannot be.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// The host, the network, the disk, QEMU or a build tool did not do its part.
    pub fn infra(what: impl Into<String>) -> Self {
        Self::new(Exit::Inconclusive, what)
    }

    /// The patch was refused.
    pub fn rejected(what: impl Into<String>) -> Self {
        Self::new(Exit::PatchRejected, what)
    }

    /// Something that should be impossible.
    pub fn internal(what: impl Into<String>) -> Self {
        Self::new(Exit::Internal, what)
    }

    pub fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted")
    }

    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.because.push(why.into());
        self
    }

    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.next.push(step.into());
        self
    }

    #[must_use]
    pub fn log(mut self, path: &Path) -> Self {
        self.log = Some(path.to_owned());
        self
    }
}

/// What comes from outside is shown escaped, wherever a failure is shown.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", printable(&self.what))?;
        for why in &self.because {
            write!(f, "\n  why:  {}", printable(why))?;
        }
        for step in &self.next {
            write!(f, "\n  next: {}", printable(step))?;
        }
        if let Some(log) = &self.log {
            write!(f, "\n  log:  {}", printable(&log.display().to_string()))?;
        }
        Ok(())
    }
}

/// `text` with its control characters escaped, and those that turn the direction of text; line ends and tabs stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t')
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if harmful(c) { c.escape_unicode().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

/// Turns a low-level error into a [`Failure`] that says what was being done.
pub trait Context<T> {
    /// `doing` completes the sentence "could not …".
    fn or_infra(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn or_infra(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure::infra(format!("could not {}", doing())).because(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_from_outside_do_not_reach_a_terminal() {
        let failure = Failure::usage("no \u{1b}]0;x\u{7} here\u{202e}").because("a\nb\u{9b}");
        assert_eq!(failure.to_string(), "no \\u{1b}]0;x\\u{7} here\\u{202e}\n  why:  a\nb\\u{9b}");
    }

    #[test]
    fn a_failure_says_what_why_what_next_and_where() {
        let failure = Failure::infra("kernel build failed")
            .because("make ended with status 2")
            .next("read the log")
            .log(Path::new("/x/build.log"));
        assert_eq!(
            failure.to_string(),
            "kernel build failed\n  why:  make ended with status 2\n  next: read the log\n  log:  /x/build.log"
        );
    }
}
