//! The directory of a run: made once, never shared, every file whole or absent.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::campaign::plan::Cell;
use crate::campaign::project::Project;
use failure::{Context, Failure, Result};

#[derive(Debug, Clone)]
pub struct RunDir {
    pub path: PathBuf,
    /// UTC, RFC 3339.
    pub started: String,
}

impl RunDir {
    /// Makes the directory, `out` or a new one below the project's runs, and lets `latest` point to it.
    ///
    /// # Errors
    /// When it cannot be written, or `out` already holds something.
    pub fn create(project: &Project, out: Option<&Path>) -> Result<RunDir> {
        let now = chrono::DateTime::<chrono::Utc>::from(SystemTime::now());
        let started = now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let runs = project.runs();
        let name = format!("{}-{}", now.format("%Y%m%d-%H%M%S"), std::process::id());
        let path = out.map_or_else(|| runs.join(name), Path::to_owned);
        let in_use = std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some());
        if in_use {
            return Err(Failure::usage(format!("{} is not empty", path.display()))
                .because("the files of two runs would mix")
                .next("name a directory that does not exist yet"));
        }
        std::fs::create_dir_all(&path).map_err(|error| {
            Failure::infra(format!("cannot make the run's directory {}", path.display()))
                .because(error.to_string())
                .next("name another place with --out DIR")
        })?;
        let path = path.canonicalize().or_infra(|| format!("find {}", path.display()))?;
        if out.is_none() {
            point_latest(&runs, &path)?;
        }
        Ok(RunDir { path, started })
    }

    /// The sound patch as it was tested on `tree`.
    pub fn patch(&self, tree: &str) -> PathBuf {
        self.path.join(format!("patch-{tree}.patch"))
    }

    /// The directory of one cell, made.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn cell(&self, cell: &Cell) -> Result<PathBuf> {
        let dir = self.path.join("cells").join(cell.id());
        std::fs::create_dir_all(&dir).or_infra(|| format!("make {}", dir.display()))?;
        Ok(dir)
    }
}

fn point_latest(runs: &Path, run: &Path) -> Result<()> {
    let aside = runs.join(format!(".latest-{}", std::process::id()));
    let doing = || format!("let {} point to this run", runs.join("latest").display());
    let _ = std::fs::remove_file(&aside);
    symlink(run.file_name().unwrap_or(run.as_os_str()), &aside).or_infra(doing)?;
    std::fs::rename(&aside, runs.join("latest")).or_infra(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_never_writes_into_a_directory_that_holds_something() {
        let dir = tempfile::tempdir().unwrap();
        let project = Project::at(dir.path().to_owned()).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let failure = RunDir::create(&project, Some(dir.path())).unwrap_err();
        assert!(failure.what.ends_with("is not empty"), "{failure}");
    }

    #[test]
    fn latest_points_to_the_newest_run() {
        let dir = tempfile::tempdir().unwrap();
        let project = Project::at(dir.path().to_owned()).unwrap();
        let run = RunDir::create(&project, None).unwrap();
        assert_eq!(project.runs().join("latest").canonicalize().unwrap(), run.path);
    }
}
