//! Children that cannot outlive the run: each in a process group of its own, under a deadline, ended as a
//! group when the deadline passes or the user interrupts. Nothing else in the harness starts a long child.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::failure::{Context, Failure, Result};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on Ctrl-C, SIGTERM and SIGHUP set a flag that every wait looks at; a second one ends the harness.
///
/// # Errors
/// When the handler cannot be installed.
pub fn catch_interrupts() -> Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(crate::failure::Exit::Interrupted as i32);
        }
    })
    .map_err(|error| Failure::internal("could not catch Ctrl-C").because(error.to_string()))
}

pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its exit status.
    Exited(i32),
    /// The signal that killed it.
    Signalled(i32),
    /// It was killed because its deadline passed.
    DeadlinePassed,
    /// It was killed because the user interrupted the run.
    Interrupted,
    /// It was killed because `watch` said so.
    Stopped,
}

impl End {
    pub fn success(self) -> bool {
        self == End::Exited(0)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Exited(status) => write!(f, "ended with status {status}"),
            End::Signalled(signal) => write!(f, "was killed by signal {signal}"),
            End::DeadlinePassed => write!(f, "did not end before its deadline"),
            End::Interrupted => write!(f, "was interrupted"),
            End::Stopped => write!(f, "was stopped"),
        }
    }
}

/// What `watch` wants after a look at the child's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    Continue,
    Stop,
}

/// How often a running child is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Runs `command` to its end with stdin closed and both outputs appended to `log`; `watch` is called between
/// looks and may stop it.
///
/// # Errors
/// When the child cannot be started or the log cannot be written; how it ended is a value.
pub fn run(
    what: &str,
    command: duct::Expression,
    log: &Path,
    deadline: Duration,
    mut watch: impl FnMut(Duration) -> Watch,
) -> Result<End> {
    let log_file = append(log).or_infra(|| format!("open the log of {what}, {}", log.display()))?;
    let started = Instant::now();
    let handle = in_own_group(command)
        .stdin_null()
        .stderr_to_stdout()
        .stdout_file(log_file)
        .unchecked()
        .start()
        .map_err(|error| {
            Failure::infra(format!("could not start {what}")).because(error.to_string()).log(log)
        })?;
    let group = Group(handle.pids());
    let end = loop {
        if let Some(output) = handle.try_wait().or_infra(|| format!("wait for {what}"))? {
            let status = output.status;
            break match (status.code(), status.signal()) {
                (Some(code), _) => End::Exited(code),
                (None, Some(signal)) => End::Signalled(signal),
                (None, None) => {
                    return Err(Failure::internal(format!("{what} ended with neither status nor signal")));
                }
            };
        }
        if interrupted() {
            break End::Interrupted;
        }
        if started.elapsed() >= deadline {
            break End::DeadlinePassed;
        }
        if watch(started.elapsed()) == Watch::Stop {
            break End::Stopped;
        }
        std::thread::sleep(LOOK_EVERY);
    };
    // Also after a normal end: a child may leave grandchildren behind.
    group.kill();
    let _ = handle.wait();
    Ok(end)
}

/// How many of a failed child's last lines a failure repeats.
const LAST_LINES: usize = 4;

/// Runs `command` as [`run`] does and gives back what it wrote; `log` is emptied first. For a child without
/// whose success there is no going on.
///
/// # Errors
/// When the child cannot be started or does not end with status 0: then with its last lines.
pub fn must(what: &str, command: duct::Expression, log: &Path, deadline: Duration) -> Result<String> {
    File::create(log).or_infra(|| format!("write the log of {what}, {}", log.display()))?;
    let end = run(what, command, log, deadline, |_| Watch::Continue)?;
    let output = std::fs::read(log).or_infra(|| format!("read the log of {what}, {}", log.display()))?;
    let output = String::from_utf8_lossy(&output).into_owned();
    if end.success() {
        return Ok(output);
    }
    if end == End::Interrupted {
        return Err(Failure::interrupted());
    }
    let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    let failure = Failure::infra(format!("{what} failed")).because(format!("it {end}"));
    Err(last.iter().fold(failure, |failure, line| failure.because(*line)).log(log))
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The child leads a new process group, and dies with the thread that started it if the harness is killed.
fn in_own_group(command: duct::Expression) -> duct::Expression {
    command.before_spawn(|command| {
        command.process_group(0);
        // SAFETY: prctl is async-signal-safe and touches nothing of this process.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
        Ok(())
    })
}

struct Group(Vec<u32>);

impl Group {
    fn kill(&self) {
        for &pid in &self.0 {
            if let Ok(pid) = libc::pid_t::try_from(pid) {
                // SAFETY: a signal to a process group that this module created; ESRCH is fine.
                unsafe { libc::killpg(pid, libc::SIGKILL) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, deadline_ms: u64) -> (End, String) {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let end = run("sh", duct::cmd!("sh", "-c", script), &log, Duration::from_millis(deadline_ms), |_| {
            Watch::Continue
        })
        .unwrap();
        (end, std::fs::read_to_string(log).unwrap())
    }

    #[test]
    fn both_outputs_go_to_the_log_and_the_status_is_kept() {
        let (end, log) = sh("echo out; echo err >&2; exit 3", 10_000);
        assert_eq!((end, log.as_str()), (End::Exited(3), "out\nerr\n"));
    }

    #[test]
    fn a_killed_child_is_a_signal_and_not_a_status() {
        assert_eq!(sh("kill -9 $$", 10_000).0, End::Signalled(9));
    }

    #[test]
    fn a_deadline_ends_the_grandchildren_too() {
        let (end, log) = sh("sleep 1000 & echo $!; wait", 300);
        assert_eq!(end, End::DeadlinePassed);
        let grandchild = Path::new("/proc").join(log.trim());
        let gone = |_| {
            std::thread::sleep(Duration::from_millis(20));
            std::fs::read_to_string(grandchild.join("stat")).map_or(true, |stat| stat.contains(") Z "))
        };
        assert!((0..100).any(gone), "the grandchild is still there");
    }

    #[test]
    fn what_must_succeed_fails_with_its_status_and_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let sh = |script| must("the step", duct::cmd!("sh", "-c", script), &log, Duration::from_secs(10));
        assert_eq!(sh("echo fine").unwrap(), "fine\n");
        let failure = sh("echo no space; exit 2").unwrap_err();
        assert_eq!(failure.what, "the step failed");
        assert_eq!(failure.because, ["it ended with status 2", "no space"]);
    }

    #[test]
    fn a_command_that_is_not_there_is_a_failure_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let failure =
            run("QEMU", duct::cmd!("/no/such/qemu"), &dir.path().join("log"), Duration::from_secs(1), |_| {
                Watch::Continue
            })
            .unwrap_err();
        assert!(failure.what.contains("QEMU"), "{failure}");
    }
}
