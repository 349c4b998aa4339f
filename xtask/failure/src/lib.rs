//! What the harness says when it cannot go on: written for the person who reads it, with an exit code of its
//! own per kind. A failing *kernel* is not a `Failure`: that is a verdict, and a verdict is a value. Knows nothing of the
//! harness and prints nothing.

use std::fmt;
use std::path::{Path, PathBuf};

pub mod escape;

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
    /// Nothing spoke against the patch, and no planted bug showed that it would have.
    WeakPass = 5,
    /// A bug in the harness itself.
    Internal = 70,
    /// Ctrl-C or SIGTERM.
    Interrupted = 130,
}

impl Exit {
    const ALL: [Exit; 8] = [
        Exit::Ok,
        Exit::PatchFailed,
        Exit::Usage,
        Exit::Inconclusive,
        Exit::PatchRejected,
        Exit::WeakPass,
        Exit::Internal,
        Exit::Interrupted,
    ];

    /// The one of this number.
    pub fn of(code: u8) -> Option<Exit> {
        Exit::ALL.into_iter().find(|exit| *exit as u8 == code)
    }
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
        shown(f, "", &self.what)?;
        for why in &self.because {
            shown(f, "\n  why:  ", why)?;
        }
        for step in &self.next {
            shown(f, "\n  next: ", step)?;
        }
        match &self.log {
            Some(log) => write!(f, "\n  log:  {}", escape::line(&log.to_string_lossy())),
            None => Ok(()),
        }
    }
}

/// Writes `text`, which may come from outside, escaped. Further lines of it are indented more than any line of ours, so that
/// they cannot pass for one.
fn shown(f: &mut fmt::Formatter<'_>, before: &str, text: &str) -> fmt::Result {
    let mut lines = text.trim_end().split('\n');
    write!(f, "{before}{}", escape::line(lines.next().unwrap_or_default()))?;
    lines.try_for_each(|line| write!(f, "\n        {}", escape::line(line)))
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

    #[test]
    fn every_exit_code_is_found_by_its_number() {
        for code in [0, 1, 2, 3, 4, 5, 70, 130] {
            assert_eq!(Exit::of(code).map(|exit| exit as u8), Some(code));
        }
        assert_eq!(Exit::of(6), None);
    }

    #[test]
    fn hostile_text_is_escaped_and_cannot_fake_a_line() {
        let failure =
            Failure::rejected("a\u{1b}[2J").because("said:\n  next: rm\r\n").log(Path::new("/\n\u{7}"));
        assert_eq!(failure.to_string(), "a\\x1b[2J\n  why:  said:\n          next: rm\n  log:  /\\n\\x07");
    }
}
