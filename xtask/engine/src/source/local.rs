//! A kernel source that is already on disk: is it one, which version, which commit. Reads only.

use std::path::{Path, PathBuf};

use super::git::{self, Revision};
use failure::{Context, Failure, Result};
use patch::Content;

/// A source on the user's own disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Local {
    /// As it is.
    Directory(PathBuf),
    /// A commit of a git repository; what is checked out there does not matter.
    Revision(Revision),
}

impl Local {
    /// What `DIR` or `DIR@REF` means. A directory may have an `@` in its name: the longest one that is there wins.
    ///
    /// # Errors
    /// As [`Revision::find`]; or when there is no such directory.
    pub fn find(place: &str) -> Result<Local> {
        let absolute = |dir: &str| std::path::absolute(dir).or_infra(|| format!("find {dir}"));
        let whole = absolute(place)?;
        if whole.is_dir() || !place.contains('@') {
            return Ok(Local::Directory(whole));
        }
        for (at, _) in place.rmatch_indices('@') {
            let (dir, name) = (&place[..at], &place[at + 1..]);
            if Path::new(dir).is_dir() {
                return Revision::find(&absolute(dir)?, name).map(Local::Revision);
            }
        }
        Err(Failure::usage(format!("{place}: no such directory"))
            .because("nor is what stands before an `@` in it")
            .next("name a directory, or a git repository and a revision: DIR@REF"))
    }

    /// The same again, also from another directory and after a branch has moved.
    pub fn fixed(&self) -> String {
        match self {
            Local::Directory(dir) => dir.display().to_string(),
            Local::Revision(revision) => format!("{}@{}", revision.dir.display(), revision.commit),
        }
    }
}

/// The version written in the top Makefile of the kernel tree `dir`, as `make kernelversion` prints it: such
/// as `7.2.12` or `7.3.0-rc1`.
///
/// # Errors
/// When `dir` does not look like a kernel tree.
pub fn version(dir: &Path) -> Result<String> {
    let there = |entry: &str| dir.join(entry).exists();
    let file = |path: &str| match std::fs::read(dir.join(path)) {
        Ok(bytes) => Ok(Some(Content::plain(bytes))),
        Err(error) => Err(Failure::usage(error.to_string())),
    };
    version_of(&there, &file).map_err(|why| {
        Failure::usage(format!("{} is not a Linux source tree", dir.display()))
            .because(why)
            .next("name the top directory of a kernel source")
    })
}

/// As [`version`], of a tree that has the entries that are `there`, with what `file` says is in them; else why it is no
/// kernel.
///
/// # Errors
/// In words.
pub fn version_of(
    there: &dyn Fn(&str) -> bool,
    file: &dyn Fn(&str) -> Result<Option<Content>>,
) -> std::result::Result<String, String> {
    if let Some(lacking) = ["mm", "Kconfig"].into_iter().find(|entry| !there(entry)) {
        return Err(format!("it has no {lacking}"));
    }
    let makefile = file("Makefile").map_err(|failure| format!("its Makefile: {}", failure.what))?;
    let text = makefile.map(|content| content.bytes).unwrap_or_default();
    makefile_version(&String::from_utf8_lossy(&text))
        .ok_or_else(|| "its Makefile sets no VERSION, PATCHLEVEL and SUBLEVEL".to_owned())
}

fn makefile_version(text: &str) -> Option<String> {
    let value = |name: &str| {
        text.lines()
            .take_while(|line| !line.starts_with("include"))
            .filter_map(|line| line.split_once('='))
            .find(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim().to_owned())
    };
    let number = |name: &str| value(name).filter(|text| text.parse::<u32>().is_ok());
    let (version, patchlevel, sublevel) = (number("VERSION")?, number("PATCHLEVEL")?, number("SUBLEVEL")?);
    let extra = value("EXTRAVERSION").unwrap_or_default();
    Some(format!("{version}.{patchlevel}.{sublevel}{extra}"))
}

/// One line that says what `dir` is: its path, and its commit when it is a git checkout.
///
/// # Errors
/// When the directory's real path cannot be found.
pub fn describe(dir: &Path) -> Result<String> {
    let dir = dir.canonicalize().or_infra(|| format!("find {}", dir.display()))?;
    let path = dir.display();
    if !dir.join(".git").exists() {
        return Ok(format!("directory {path}"));
    }
    let look = |args: &[&str]| git::look(&dir, args).ok();
    Ok(match look(&["rev-parse", "--short=12", "HEAD"]) {
        Some(head) => match look(&["status", "--porcelain", "--untracked-files=no"]) {
            Some(changes) if changes.is_empty() => format!("directory {path} (git {head})"),
            Some(_) => format!("directory {path} (git {head}, dirty)"),
            None => format!("directory {path} (git {head}, git status failed)"),
        },
        None => format!("directory {path} (a git checkout, but git did not tell its commit)"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_makefiles() {
        let text = "# SPDX\nVERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 12\nEXTRAVERSION =\nNAME = x\n";
        assert_eq!(makefile_version(text).as_deref(), Some("7.2.12"));
        let candidate = "VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 0\nEXTRAVERSION = -rc1\n";
        assert_eq!(makefile_version(candidate).as_deref(), Some("7.3.0-rc1"));
    }

    #[test]
    fn a_makefile_of_something_else_has_no_version() {
        assert_eq!(makefile_version("VERSION = 1.2\nall:\n\ttrue\n"), None);
    }

    #[test]
    fn a_directory_that_is_no_kernel_is_refused_with_what_it_lacks() {
        let dir = tempfile::tempdir().unwrap();
        let failure = version(dir.path()).unwrap_err();
        assert!(failure.what.contains("is not a Linux source tree"), "{failure}");
        assert_eq!(failure.because, ["it has no mm"]);
    }

    #[test]
    fn a_checkout_is_described_by_its_commit_and_whether_it_is_dirty() {
        let dir = tempfile::tempdir().unwrap();
        let sh = |script: &str| {
            let run = std::process::Command::new("sh").args(["-ec", script]).current_dir(&dir).status();
            assert!(run.unwrap().success());
        };
        sh("git init -q . && echo a >f && git add f && git -c user.name=a -c user.email=a@b commit -qm a");
        let clean = describe(dir.path()).unwrap();
        assert!(clean.contains("(git ") && clean.ends_with(')') && !clean.contains("dirty"), "{clean}");
        sh("echo b >f");
        assert!(describe(dir.path()).unwrap().ends_with(", dirty)"));
    }
}
