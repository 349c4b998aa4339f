//! A source that is looked at and never built: its files as they are, wherever they are. No run is in its way, and it is in no
//! run's way. Writes nothing, except that a source that is not on this host is fetched.

use std::path::{Path, PathBuf};

use super::git::{self, Revision};
use super::lock::Lock;
use super::{Local, Wanted, check_names, fetch_afar, files, local, stored_afar, worktree};
use crate::host::disk;
use failure::{Failure, Result};
use patch::{Base, Content};

/// Files of one source, by their path.
#[derive(Debug)]
pub struct SourceReader {
    /// Such as `7.2.12`.
    pub version: String,
    /// One line for people.
    pub origin: String,
    files: SourceFiles,
}

#[derive(Debug)]
enum SourceFiles {
    /// With what keeps a tree of ours as it is; a directory of the user's has none.
    Below { dir: PathBuf, _lock: Option<Lock> },
    /// The blobs of a commit.
    Of(Revision),
}

impl SourceReader {
    /// Finds the source, fetching it below `cache` if it is nowhere on this host.
    ///
    /// # Errors
    /// When no place has it: with the reason of each.
    pub fn open(wanted: &Wanted, cache: &Path, progress: &dyn Fn(&str)) -> Result<SourceReader> {
        check_names(wanted)?;
        match &wanted.local {
            Some(Local::Directory(dir)) => Ok(SourceReader {
                version: local::version(dir)?,
                origin: local::describe(dir)?,
                files: SourceFiles::Below { dir: dir.clone(), _lock: None },
            }),
            Some(Local::Revision(revision)) => SourceReader::of_commit(revision),
            None => SourceReader::of_cache(wanted, cache, progress),
        }
    }

    fn of_commit(revision: &Revision) -> Result<SourceReader> {
        let file = |path: &str| git::blob(revision, path);
        let there = |entry: &str| git::has(revision, entry);
        let version = local::version_of(&there, &file).map_err(|why| {
            Failure::usage(format!("{} is not a Linux source tree", revision.describe())).because(why)
        })?;
        let files = SourceFiles::Of(revision.clone());
        Ok(SourceReader { version, origin: revision.describe(), files })
    }

    fn of_cache(wanted: &Wanted, cache: &Path, progress: &dyn Fn(&str)) -> Result<SourceReader> {
        let home = super::home(wanted, cache)?;
        disk::create_dir(&cache.join("source"))?;
        // What is there is read at once, whatever runs in it.
        let mut lock = worktree::try_share(&home)?;
        let mut source = lock.as_ref().and_then(|_| stored_afar(wanted, &home));
        if source.is_none() {
            drop(lock.take());
            fetch_afar(wanted, cache, progress)?;
            lock = Some(worktree::share(&home, progress)?);
            source = stored_afar(wanted, &home);
        }
        let source = source.ok_or_else(|| {
            Failure::infra(format!("{} was replaced meanwhile", home.display()))
                .because("another process fetches another source of this name")
                .next("run this again when that one has ended")
        })?;
        let files = SourceFiles::Below { dir: source.dir, _lock: lock };
        Ok(SourceReader { version: source.version, origin: source.origin, files })
    }
}

impl Base for SourceReader {
    fn file(&self, path: &str) -> Result<Option<Content>> {
        match &self.files {
            SourceFiles::Below { dir, .. } => {
                files::check(dir, path)?;
                files::content(&dir.join(path))
            }
            SourceFiles::Of(revision) => git::blob(revision, path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(dir: &Path, script: &str) {
        let mut command = std::process::Command::new("sh");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "a").env(format!("GIT_{role}_EMAIL"), "a@b");
        }
        assert!(command.args(["-ec", script]).current_dir(dir).status().unwrap().success());
    }

    fn reader(dir: &Path, place: &str) -> Result<SourceReader> {
        let local = Local::find(&dir.join(place).display().to_string())?;
        let wanted = Wanted { name: "mine".to_owned(), local: Some(local), debian: None, kernel_org: None };
        SourceReader::open(&wanted, &dir.join("cache"), &|_| ())
    }

    const KERNEL: &str =
        "mkdir -p linux/mm && cd linux && git init -q -b main && echo old >mm/a.c && echo x >Kconfig
        printf 'VERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 12\n' >Makefile && echo s >mm/s.sh && chmod +x mm/s.sh
        printf 'a\n\n' >'mm/a b*.c' && ln -s a.c mm/link && git add . && git commit -qm one && git tag v1
        echo new >mm/a.c && git commit -qam two && git rm -rqf mm && git commit -qm three && git tag none
        git checkout -q HEAD~1";

    #[test]
    fn blobs_of_a_commit_are_read_without_a_checkout() {
        let dir = tempfile::tempdir().unwrap();
        sh(dir.path(), KERNEL);
        let (commit, work) = (reader(dir.path(), "linux@v1").unwrap(), reader(dir.path(), "linux").unwrap());
        assert_eq!((commit.version.as_str(), work.version.as_str()), ("7.2.12", "7.2.12"));
        let text = |reader: &SourceReader, path: &str| reader.file(path).unwrap();
        assert_eq!(text(&commit, "mm/a.c"), Some(Content::plain("old\n")));
        assert_eq!(text(&work, "mm/a.c"), Some(Content::plain("new\n")));
        for reader in [&commit, &work] {
            assert!(text(reader, "mm/s.sh").unwrap().executable);
            assert_eq!(text(reader, "mm/a b*.c"), Some(Content::plain("a\n\n")));
            assert_eq!(text(reader, "mm/no.c"), None);
            assert_eq!(text(reader, "mm/a.c/no"), None);
            assert!(reader.file("mm/link").is_err());
            assert!(reader.file("../linux/mm/a.c").is_err());
        }
        assert!(!dir.path().join("cache").exists());
        let failure = reader(dir.path(), "linux@none").unwrap_err();
        assert!(failure.what.ends_with("is not a Linux source tree"), "{failure}");
        assert_eq!(failure.because, ["it has no mm"]);
    }
}
