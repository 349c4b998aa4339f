//! The directory of a run: made once, never shared, every file whole or absent.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use chrono::NaiveDateTime;

use crate::campaign::plan::Cell;
use crate::campaign::project::Project;
use crate::host::{disk, input};
use crate::source::lock::Lock;
use failure::{Context, Failure, Result};

#[derive(Debug, Clone)]
pub struct RunDir {
    pub path: PathBuf,
    /// UTC, RFC 3339.
    pub started: String,
    /// The time of the run when this command began to work in it.
    pub before_secs: f64,
    since: Instant,
    /// Shows others that the run is going on.
    _held: Arc<Lock>,
}

/// A process that works in the directory of a run holds it locked.
const LOCK: &str = "run.lock";

/// Who only looks whether a run goes on holds it for a moment.
const HOLD_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes the lock of the run in `dir`; another holder has `timeout` to let go.
///
/// # Errors
/// When a process works there, or the lock cannot be written.
pub fn hold(dir: &Path, timeout: Duration) -> Result<Lock> {
    Lock::take(&dir.join(LOCK), &format!("the run {}", input::shown(dir)), timeout, &|_| ())
}

/// Whether a process works in the run in `dir`. One that cannot be looked at counts as going on. A harness without this lock
/// left a process id in the name, and a report at the end.
pub fn goes_on(dir: &Path) -> bool {
    if dir.join(LOCK).exists() {
        return hold(dir, Duration::ZERO).is_err();
    }
    let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let alive = name
        .rsplit('-')
        .next()
        .is_some_and(|pid| pid.parse::<u32>().is_ok_and(|pid| Path::new(&format!("/proc/{pid}")).exists()));
    alive && !dir.join("report.json").exists()
}

/// The form of the time in the name of a run.
const NAMED: &str = "%Y%m%d-%H%M%S";

/// When the run in `dir` began, by its name; of a directory that was renamed, when it was changed last.
pub fn began(dir: &Path) -> SystemTime {
    let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let time = name.rsplit_once('-').and_then(|(time, _)| NaiveDateTime::parse_from_str(time, NAMED).ok());
    let changed = || dir.metadata().and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    time.map_or_else(changed, |time| time.and_utc().into())
}

/// A time in UTC, to the minute.
pub fn date(time: SystemTime) -> String {
    chrono::DateTime::<chrono::Utc>::from(time).format("%Y-%m-%d %H:%M").to_string()
}

/// Lets `latest` point to the newest run there is, where the one that it points to is gone.
///
/// # Errors
/// When the link cannot be changed.
pub fn mend_latest(runs: &Path) -> Result<()> {
    let latest = runs.join("latest");
    if latest.exists() || latest.symlink_metadata().is_err() {
        return Ok(());
    }
    let left = disk::entries(runs).into_iter().filter(|path| path.is_dir() && path.extension().is_none());
    match left.max_by_key(|dir| began(dir)) {
        Some(newest) => point_latest(runs, &newest),
        None => std::fs::remove_file(&latest).or_infra(|| format!("remove {}", latest.display())),
    }
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
        let name = format!("{}-{}", now.format(NAMED), std::process::id());
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
        RunDir::resume(path, started, 0.0)
    }

    /// The directory of a run that goes on after `before_secs` of its time.
    ///
    /// # Errors
    /// When another process works in it.
    pub fn resume(path: PathBuf, started: String, before_secs: f64) -> Result<RunDir> {
        let held = Arc::new(hold(&path, HOLD_TIMEOUT)?);
        Ok(RunDir { path, started, before_secs, since: Instant::now(), _held: held })
    }

    /// Seconds since the start of the run, without the time between two commands.
    pub fn secs(&self) -> f64 {
        self.before_secs + self.since.elapsed().as_secs_f64()
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
    fn run_is_held_until_its_last_copy_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let project = Project::at(dir.path().to_owned()).unwrap();
        let run = RunDir::create(&project, None).unwrap();
        let path = run.path.clone();
        let copy = run.clone();
        drop(run);
        assert!(goes_on(&path));
        assert!(hold(&path, Duration::ZERO).unwrap_err().what.contains("is in use by process"));
        drop(copy);
        assert!(!goes_on(&path));
        hold(&path, Duration::ZERO).unwrap();
    }

    #[test]
    fn run_without_a_lock_goes_on_while_its_process_lives_and_it_has_no_report() {
        let dir = tempfile::tempdir().unwrap();
        let run = |pid: u32| {
            let run = dir.path().join(format!("20260102-030405-{pid}"));
            std::fs::create_dir_all(&run).unwrap();
            run
        };
        let own = run(std::process::id());
        assert!(goes_on(&own) && !goes_on(&run(u32::MAX)));
        assert_eq!(date(began(&own)), "2026-01-02 03:04");
        std::fs::write(own.join("report.json"), "").unwrap();
        assert!(!goes_on(&own));
    }

    #[test]
    fn latest_is_mended_when_its_run_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let latest = dir.path().join("latest");
        for name in ["20260102-030405-1", "20260103-030405-1"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        symlink("gone", &latest).unwrap();
        mend_latest(dir.path()).unwrap();
        assert_eq!(std::fs::read_link(&latest).unwrap(), Path::new("20260103-030405-1"));
        for name in ["20260102-030405-1", "20260103-030405-1"] {
            std::fs::remove_dir_all(dir.path().join(name)).unwrap();
        }
        mend_latest(dir.path()).unwrap();
        assert!(latest.symlink_metadata().is_err());
    }

    #[test]
    fn latest_points_to_the_newest_run() {
        let dir = tempfile::tempdir().unwrap();
        let project = Project::at(dir.path().to_owned()).unwrap();
        let run = RunDir::create(&project, None).unwrap();
        assert_eq!(project.runs().join("latest").canonicalize().unwrap(), run.path);
    }
}
