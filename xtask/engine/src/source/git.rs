//! git, in two roles that are kept apart: to look into a repository of the user's, which nothing here may write;
//! and to work in one of our own, which no setting of the user's reaches.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use failure::{Failure, Result};
use patch::Content;

/// How many known names a refusal lists.
const NEAR: usize = 5;

/// A commit in a repository of the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The directory as the user names it, made absolute.
    pub dir: PathBuf,
    /// As the user names it: a branch, a tag, a commit.
    pub name: String,
    /// The full id it had when it was looked up.
    pub commit: String,
    /// Where the repository keeps its objects; also right for a linked work tree.
    pub objects: PathBuf,
    /// `sha1` or `sha256`.
    pub format: String,
}

impl Revision {
    /// Looks `name` up in the repository whose top is `dir`.
    ///
    /// # Errors
    /// When git is missing, `dir` is no repository or not the top of one, or `name` is no commit there: then with
    /// the names that are near to it.
    pub fn find(dir: &Path, name: &str) -> Result<Revision> {
        let about =
            look(dir, &["rev-parse", "--show-prefix", "--show-object-format", "--git-path", "objects"])
                .map_err(|trouble| trouble.told(dir))?;
        let lines: Vec<&str> = about.lines().collect();
        let [prefix, format, objects] = lines[..] else {
            return Err(Failure::usage(format!("the path of {} has a line break in it", dir.display())));
        };
        if !prefix.is_empty() {
            return Err(Failure::usage(format!("{} is not the top of a git repository", dir.display()))
                .because(format!("it is `{prefix}` in one"))
                .next("name the directory that holds the repository"));
        }
        Ok(Revision {
            commit: commit(dir, name)?,
            // Relative to `dir` unless it is elsewhere.
            objects: dir.join(objects),
            format: if format == "sha256" { "sha256" } else { "sha1" }.to_owned(),
            dir: dir.to_owned(),
            name: name.to_owned(),
        })
    }

    /// One line for the report.
    pub fn describe(&self) -> String {
        format!("{} at {} (git {})", self.dir.display(), self.name, self.short())
    }

    pub fn short(&self) -> &str {
        self.commit.get(..12).unwrap_or(&self.commit)
    }
}

/// The full id of the commit that `name` means.
fn commit(dir: &Path, name: &str) -> Result<String> {
    // No ref begins with a dash, and git would take it for an option.
    if !name.is_empty() && !name.starts_with('-') {
        let wanted = format!("{name}^{{commit}}");
        if let Ok(id) = look(dir, &["rev-parse", "--verify", "--quiet", &wanted]) {
            if id.len() >= 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Ok(id);
            }
        }
    }
    let format = "--format=%(refname:short)";
    let refs = look(dir, &["for-each-ref", format, "refs/heads", "refs/tags", "refs/remotes"]);
    let refs = refs.unwrap_or_default();
    let failure = Failure::usage(format!("no commit `{name}` in {}", dir.display()));
    match near(name, &refs)[..] {
        [] => Err(failure.because("it has neither branches nor tags")),
        ref near => Err(failure.next(format!("known there: {}", near.join(", ")))),
    }
}

/// The names of `refs`, one a line, that `name` may have been meant for: the likeliest first.
fn near<'a>(name: &str, refs: &'a str) -> Vec<&'a str> {
    let mut known: Vec<&str> = refs.lines().collect();
    let distance = |known: &str| {
        let apart = name.is_empty() || !known.contains(name);
        (apart, strsim::levenshtein(known, name))
    };
    known.sort_by_cached_key(|known| distance(known));
    known.truncate(NEAR);
    known
}

/// Why a look into the user's repository gave nothing.
#[derive(Debug)]
pub enum Trouble {
    NotStarted(io::Error),
    /// git's own words.
    Refused(String),
}

impl Trouble {
    fn told(self, dir: &Path) -> Failure {
        match self {
            Trouble::NotStarted(error) => Failure::infra("could not start git")
                .because(error.to_string())
                .next("install it (on Debian: apt-get install git), or name a directory without `@REF`"),
            Trouble::Refused(words) => {
                let failure =
                    Failure::usage(format!("{} is no git repository that can be read", dir.display()));
                let failure = words.lines().fold(failure, Failure::because);
                failure.next("without `@REF` a plain directory will do: --tree NAME=DIR")
            }
        }
    }
}

/// What git prints about the repository `dir`, which it may not write: not even to refresh the index, to fetch
/// what a partial clone lacks, or by starting a file system monitor. The user's configuration holds, because that
/// is where a directory of another owner is called safe.
///
/// # Errors
/// When git is not there or fails.
pub fn look(dir: &Path, args: &[&str]) -> std::result::Result<String, Trouble> {
    let output = looking(dir, args).output().map_err(Trouble::NotStarted)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(Trouble::Refused(text(&output.stderr)))
    }
}

/// Whether the commit has `path`.
pub fn has(revision: &Revision, path: &str) -> bool {
    entry(revision, path).is_ok_and(|entry| entry.is_some())
}

/// A regular file of a commit, byte for byte as it was committed; None where there is none.
///
/// # Errors
/// When the path leads out of the tree, something else than a regular file is there, or git fails.
pub fn blob(revision: &Revision, path: &str) -> Result<Option<Content>> {
    super::files::check_words(path)?;
    let Some(entry) = entry(revision, path)? else { return Ok(None) };
    let words: Vec<&str> = entry.split_whitespace().collect();
    let (mode, id) = match words[..] {
        [mode @ ("100644" | "100755"), "blob", id, ..] => (mode, id),
        _ => return Err(Failure::rejected(format!("{path} is not a regular file"))),
    };
    let output = looking(&revision.dir, &["cat-file", "blob", id])
        .output()
        .map_err(|error| Trouble::NotStarted(error).told(&revision.dir))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        return Err(Trouble::Refused(words).told(&revision.dir));
    }
    Ok(Some(Content { bytes: output.stdout, executable: mode == "100755" }))
}

/// What git's tree of the commit says of `path`.
fn entry(revision: &Revision, path: &str) -> Result<Option<String>> {
    let args = ["--literal-pathspecs", "ls-tree", "--full-tree", &revision.commit, "--", path];
    let entry = look(&revision.dir, &args).map_err(|trouble| trouble.told(&revision.dir))?;
    Ok((!entry.is_empty()).then_some(entry))
}

/// `git ARGS` as [`look`] runs it.
fn looking(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    for name in inherited(|name| name.starts_with("GIT_CONFIG")) {
        command.env_remove(name);
    }
    command
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("LC_ALL", "C")
        .args(["-c", "core.fsmonitor=false", "-C"])
        .arg(dir)
        .args(args)
        .stdin(Stdio::null());
    command
}

/// The commits of `range` in the repository `dir`, as git format-patch writes them whatever the user's settings are.
///
/// # Errors
/// When git fails, the range is none or empty or has a merge in it, or the patches are more than `most_bytes`.
pub fn patches(dir: &Path, range: &str, most_bytes: u64) -> Result<Vec<u8>> {
    let failed = |why: String| {
        Failure::usage(format!("{range}: no range of commits in {}", dir.display()))
            .because(why)
            .next("name commits that are there, such as HEAD~3..HEAD")
    };
    // No commit begins with a dash, and git would take it for an option.
    if range.starts_with('-') {
        return Err(failed("it begins with a dash".to_owned()));
    }
    let merges = look(dir, &["rev-list", "--merges", "--count", "--end-of-options", range]);
    let merges = merges.map_err(|trouble| match trouble {
        Trouble::Refused(why) => failed(why),
        not_started => not_started.told(dir),
    })?;
    if merges != "0" {
        return Err(failed(format!("{merges} of its commits are merges, which are no patches"))
            .next("name a range without a merge"));
    }
    const OPTIONS: [&str; 14] = [
        "--stdout",
        "--full-index",
        "--find-renames",
        "--no-ext-diff",
        "--no-textconv",
        "--no-color",
        "--no-cover-letter",
        "--no-attach",
        "--no-thread",
        "--no-notes",
        "--no-base",
        "--subject-prefix=PATCH",
        "--src-prefix=a/",
        "--dst-prefix=b/",
    ];
    let args: Vec<&str> = ["format-patch"]
        .into_iter()
        .chain(OPTIONS)
        .chain(["--numbered", "--end-of-options", range])
        .collect();
    let mut child = looking(dir, &args)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Trouble::NotStarted(error).told(dir))?;
    let mut bytes = Vec::new();
    let read = child.stdout.take().map(|out| out.take(most_bytes + 1).read_to_end(&mut bytes));
    if bytes.len() as u64 > most_bytes {
        // It would wait for us to read the rest. That it ended meanwhile is as good.
        let _ = child.kill();
        let _ = child.wait();
        return Err(Failure::rejected(format!(
            "{range}: its patches are more than {} MiB",
            most_bytes >> 20
        )));
    }
    let status = child.wait().and_then(|status| read.unwrap_or(Ok(0)).map(|_| status));
    match status {
        Ok(status) if status.success() && !bytes.is_empty() => Ok(bytes),
        Ok(status) if status.success() => Err(failed("there is no commit in it".to_owned())),
        Ok(status) => Err(failed(format!("git format-patch: {status}"))),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// `git ARGS` in the repository `git_dir` of our own, with the files below `tree`.
pub fn ours(git_dir: &Path, tree: &Path, args: &[&str]) -> duct::Expression {
    let mut words: Vec<OsString> =
        vec!["--git-dir".into(), git_dir.into(), "--work-tree".into(), tree.into()];
    for setting in ["core.hooksPath=/dev/null", "core.fsmonitor=false", "core.attributesFile=/dev/null"] {
        words.extend(["-c".into(), setting.into()]);
    }
    words.extend(args.iter().map(OsString::from));
    let command = inherited(|_| false)
        .into_iter()
        .fold(duct::cmd("git", words), |command, name| command.env_remove(name));
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("LC_ALL", "C")
}

/// git's own variables in our environment, but for those to `keep`: inside a hook they name another repository.
fn inherited(keep: impl Fn(&str) -> bool) -> Vec<OsString> {
    let is_gits = |name: &OsStr| {
        let name = name.to_string_lossy();
        name.starts_with("GIT_") && name != "GIT_EXEC_PATH" && !keep(&name)
    };
    std::env::vars_os().map(|(name, _)| name).filter(|name| is_gits(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_hold_what_was_asked_for_come_before_those_that_look_like_it() {
        let refs = "main\nmm-next\norigin/mm/gather-v3\nmm/gather\nv7.1\nv7.2\nv7.2-rc1";
        assert_eq!(near("gather", refs)[..2], ["mm/gather", "origin/mm/gather-v3"]);
        assert_eq!(near("v7.3", refs)[..2], ["v7.1", "v7.2"]);
        assert_eq!(near("", refs).len(), NEAR);
    }
}
