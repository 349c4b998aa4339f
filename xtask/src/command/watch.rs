//! `cargo xtask watch`: a matrix again whenever something that it is made of changes. What did not change is taken from
//! the cache and from the record, so that only the cells that depend on the change run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::campaign;
use crate::campaign::project::Project;
use crate::command::cli;
use crate::host::process;
use crate::host::terminal;
use failure::{Context, Exit, Failure, Result, escape};

const LOOK_EVERY: Duration = Duration::from_millis(300);

/// What tells one state of the files from another.
type State = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

/// Runs the matrix now and after each change, until it is interrupted.
///
/// # Errors
/// When the matrix cannot be started. That it fails is what is watched for.
pub fn watch(project: &Project, args: &cli::WatchArgs) -> Result<Exit> {
    let harness = std::env::current_exe().or_infra(|| "find this program".to_owned())?;
    // As they were typed, behind the name of this command.
    let typed: Vec<String> = std::env::args().skip_while(|arg| arg != "watch").skip(1).collect();
    let watched = watched(project, &args.matrix.plan)?;
    process::catch_interrupts()?;
    loop {
        let before = state(&watched);
        let mut command = Command::new(&harness);
        let again =
            if args.matrix.guest.fresh || args.matrix.guest.recorded { None } else { Some("--recorded") };
        command.arg("matrix").args(&typed).args(again);
        command.status().or_infra(|| "start the matrix".to_owned())?;
        terminal::say(&escape::line(&format!("watching {}", names(&watched))));
        while state(&watched) == before {
            if process::interrupted() {
                return Err(Failure::interrupted());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        // An editor may write in several steps.
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The patch, the campaign, and what campaigns name.
fn watched(project: &Project, args: &cli::PlanArgs) -> Result<Vec<PathBuf>> {
    let configs = project.root.join("configs");
    let mut paths = vec![
        campaign::file_of(&configs, args.source.campaign()),
        configs.join("fragments"),
        project.root.join("patches"),
        project.root.join("guest-tests"),
    ];
    // Neither standard input nor a range of commits is a file that changes.
    for patch in args.patch.iter().filter(|patch| patch.exists()) {
        paths.push(std::path::absolute(patch).or_infra(|| format!("find {}", patch.display()))?);
    }
    Ok(paths)
}

fn names(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn state(paths: &[PathBuf]) -> State {
    let mut found = State::new();
    for path in paths {
        look(path, &mut found);
    }
    found
}

/// A file that goes away while it is looked at is looked at again next time.
fn look(path: &Path, found: &mut State) {
    let Ok(about) = std::fs::metadata(path) else { return };
    if about.is_dir() {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            look(&entry.path(), found);
        }
    } else {
        found.insert(path.to_owned(), (about.len(), about.modified().ok()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_a_changed_and_a_removed_file_are_changes_and_a_look_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let (file, other) = (dir.path().join("a/b"), dir.path().join("a/c"));
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(&file, "1").unwrap();
        let look = || state(&[dir.path().to_owned()]);
        let first = look();
        assert_eq!(look(), first);
        std::fs::write(&other, "").unwrap();
        let second = look();
        assert_ne!(second, first);
        std::fs::write(&file, "12").unwrap();
        let third = look();
        assert_ne!(third, second);
        std::fs::remove_file(&other).unwrap();
        assert_ne!(look(), third);
    }
}
