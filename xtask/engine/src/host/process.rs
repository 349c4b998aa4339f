//! Children that cannot outlive the run: each in a process group of its own, under limits, ended as a group when the
//! deadline passes, when the user interrupts, and when the harness itself is killed. Nothing else in the harness starts a
//! long child.

mod cpu_usage;
mod exclusive;

use std::cell::Cell;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, getrlimit, kill_process, kill_process_group, setrlimit,
};

pub use cpu_usage::CpuUsage;
use exclusive::HOST;
pub use exclusive::{ExclusiveGrant, Host};
use failure::{Context, Failure, Result};

/// This program, also if its file was replaced while it runs: whoever works on the harness does that.
pub const THIS_PROGRAM: &str = "/proc/self/exe";

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static CATCHING: AtomicBool = AtomicBool::new(false);

/// From here on Ctrl-C, SIGTERM and SIGHUP set a flag that every wait looks at; a second one ends the harness.
///
/// # Errors
/// When the handler cannot be installed.
pub fn catch_interrupts() -> Result<()> {
    // A command may ask for it before it waits, and again when it starts.
    if CATCHING.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(failure::Exit::Interrupted as i32);
        }
    })
    .map_err(|error| Failure::internal("could not catch Ctrl-C").because(error.to_string()))
}

pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildEnd {
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

impl ChildEnd {
    pub fn success(self) -> bool {
        self == ChildEnd::Exited(0)
    }
}

impl fmt::Display for ChildEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChildEnd::Exited(status) => write!(f, "ended with status {status}"),
            ChildEnd::Signalled(signal) => write!(f, "was killed by signal {signal}"),
            ChildEnd::DeadlinePassed => write!(f, "did not end before its deadline"),
            ChildEnd::Interrupted => write!(f, "was interrupted"),
            ChildEnd::Stopped => write!(f, "was stopped"),
        }
    }
}

/// `command`, as a batch job (sched(7), `SCHED_BATCH`): it has its share of the processor, and interrupts nobody when it
/// wakes up. For emulators: where there are more emulated CPUs than real ones these wake each other all the time, and each
/// that is interrupted in the middle keeps the others waiting. A host that refuses is slower.
pub fn batch(command: duct::Expression) -> duct::Expression {
    command.before_spawn(|command| {
        let set = || {
            // SAFETY: plain numbers, of which all may be 0; the call reads them, and changes the calling process.
            unsafe {
                let none: libc::sched_param = std::mem::zeroed();
                libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const none);
            }
            Ok(())
        };
        // SAFETY: it makes one system call, after fork and before exec.
        unsafe { command.pre_exec(set) };
        Ok(())
    })
}

/// `command`, with nothing of the environment but how programs are found: it may hold secrets.
pub fn bare(command: duct::Expression) -> duct::Expression {
    let kept = ["PATH", "LD_LIBRARY_PATH"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var_os(name)?)));
    command.full_env(kept)
}

/// What a child may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    pub deadline: Duration,
    /// Of each file that it writes, its log among them; the signal SIGXFSZ ends it there (setrlimit(2), `RLIMIT_FSIZE`).
    pub file_bytes: Option<u64>,
    /// Before it is killed it is asked to end, by SIGTERM; set to true if it did.
    pub asked: Option<&'a Cell<bool>>,
}

impl From<Duration> for Limits<'_> {
    fn from(deadline: Duration) -> Self {
        Limits { deadline, file_bytes: None, asked: None }
    }
}

/// make removes what it was making within some milliseconds.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// The program that bubblewrap was told to run: `child` waits for a second bubblewrap, which waits for the program.
/// `child` itself where it is no bubblewrap.
pub fn confined(child: u32) -> u32 {
    let mut found = child;
    while std::fs::read_to_string(format!("/proc/{found}/comm")).is_ok_and(|name| name.trim() == "bwrap") {
        let children =
            std::fs::read_to_string(format!("/proc/{found}/task/{found}/children")).unwrap_or_default();
        let Some(next) = children.split_whitespace().next().and_then(|child| child.parse().ok()) else {
            break;
        };
        found = next;
    }
    found
}

/// `command`, with no file that it writes longer than `bytes`.
fn with_files_up_to(command: duct::Expression, bytes: u64) -> duct::Expression {
    command.before_spawn(move |command| {
        let set = move || {
            // A limit of the caller's may be lower; None is no limit.
            let Rlimit { current, maximum } = getrlimit(Resource::Fsize);
            let maximum = maximum.map_or(bytes, |maximum| maximum.min(bytes));
            let current = current.map_or(maximum, |current| current.min(maximum));
            setrlimit(Resource::Fsize, Rlimit { current: Some(current), maximum: Some(maximum) })?;
            Ok(())
        };
        // SAFETY: it makes two system calls, after fork and before exec.
        unsafe { command.pre_exec(set) };
        Ok(())
    })
}

/// What `watch` wants after a look at the child's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchFlow {
    Continue,
    Stop,
}

/// How often what a running child does is looked at; its end is noticed at once.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A child, as whoever watches it sees it.
#[derive(Clone, Copy)]
pub struct Running {
    pub elapsed: Duration,
    pub child: u32,
    pub group: libc::pid_t,
    pub host: &'static Host,
}

impl Running {
    /// Stops everything else that this harness has started, until [`Running::share`] or the child's end, and for 2 s at
    /// most.
    pub fn exclusive(&self) -> ExclusiveGrant {
        self.host.ask(self.group)
    }

    /// Ends that, if it was so.
    pub fn share(&self) {
        self.host.give_back(self.group);
    }
}

/// Runs `command` to its end with stdin closed and both outputs appended to `log`; `watch` is called between
/// looks and may stop it.
///
/// # Errors
/// When the child cannot be started or the log cannot be written; how it ended is a value.
pub fn run<'l>(
    what: &str,
    command: duct::Expression,
    log: &Path,
    limits: impl Into<Limits<'l>>,
    mut watch: impl FnMut(Running) -> WatchFlow,
) -> Result<ChildEnd> {
    let Limits { deadline, file_bytes, asked } = limits.into();
    let command = match file_bytes {
        Some(bytes) => with_files_up_to(command, bytes),
        None => command,
    };
    let log_file = append(log).or_infra(|| format!("open the log of {what}, {}", log.display()))?;
    let started = Instant::now();
    let group = ProcessGroup::new()?;
    let handle = group
        .with(command)
        .stdin_null()
        .stderr_to_stdout()
        .stdout_file(log_file)
        .unchecked()
        .start()
        .map_err(|error| {
            Failure::infra(format!("could not start {what}")).because(error.to_string()).log(log)
        })?;
    HOST.enter(group.number);
    let child = handle.pids().first().copied().unwrap_or_default();
    let mut wait = Duration::ZERO;
    let end = loop {
        if let Some(output) = handle.wait_timeout(wait).or_infra(|| format!("wait for {what}"))? {
            let status = output.status;
            break match (status.code(), status.signal()) {
                (Some(code), _) => ChildEnd::Exited(code),
                (None, Some(signal)) => ChildEnd::Signalled(signal),
                (None, None) => {
                    return Err(Failure::internal(format!("{what} ended with neither status nor signal")));
                }
            };
        }
        if interrupted() {
            break ChildEnd::Interrupted;
        }
        let elapsed = started.elapsed();
        if elapsed >= deadline {
            break ChildEnd::DeadlinePassed;
        }
        if watch(Running { elapsed, child, group: group.number, host: &HOST }) == WatchFlow::Stop {
            break ChildEnd::Stopped;
        }
        wait = LOOK_EVERY;
    };
    if let (Some(asked), ChildEnd::DeadlinePassed | ChildEnd::Interrupted | ChildEnd::Stopped) = (asked, end)
    {
        HOST.give_back(group.number);
        asked.set(ask_to_end(child, &handle));
    }
    // Also after a normal end: a child may leave grandchildren behind.
    drop(group);
    let _ = handle.wait();
    Ok(end)
}

/// Whether the child ended when it was asked to.
fn ask_to_end(child: u32, handle: &duct::Handle) -> bool {
    // A child of ours that has not been waited for, or one of its own.
    let program = libc::pid_t::try_from(confined(child)).ok().and_then(Pid::from_raw);
    let Some(program) = program else { return false };
    for signal in [Signal::TERM, Signal::CONT] {
        let _ = kill_process(program, signal);
    }
    matches!(handle.wait_timeout(ENDS_WITHIN), Ok(Some(_)))
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
    let end = run(what, command, log, deadline, |_| WatchFlow::Continue)?;
    let output = std::fs::read(log).or_infra(|| format!("read the log of {what}, {}", log.display()))?;
    let output = String::from_utf8_lossy(&output).into_owned();
    if end.success() {
        return Ok(output);
    }
    if end == ChildEnd::Interrupted {
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

/// A process group that ends when this value is dropped or this process dies, however it dies: its leader is a
/// shell that does nothing but wait for the end of a pipe that only this process holds. A death signal
/// (PR_SET_PDEATHSIG) would reach the child alone, and make, cargo and apt have children of their own.
struct ProcessGroup {
    leader: Child,
    number: libc::pid_t,
}

/// Ctrl-C at a terminal does not reach the group; a signal sent by hand must not stop the guard either.
const GUARD: &str = "trap '' INT TERM HUP; read -r _; kill -s KILL 0";

impl ProcessGroup {
    fn new() -> Result<ProcessGroup> {
        let leader = Command::new("/bin/sh")
            .args(["-c", GUARD])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .or_infra(|| "start /bin/sh as the guard of a process group".to_owned())?;
        let number = libc::pid_t::try_from(leader.id())
            .map_err(|_| Failure::internal(format!("{} is no process id", leader.id())))?;
        Ok(ProcessGroup { leader, number })
    }

    /// `command`, as a member of this group.
    fn with(&self, command: duct::Expression) -> duct::Expression {
        let number = self.number;
        command.before_spawn(move |command| {
            command.process_group(number);
            Ok(())
        })
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        HOST.leave(self.number);
        // The leader has not been waited for, so the number is still that of our group.
        let _ = kill_process_group(Pid::from_child(&self.leader), Signal::KILL);
        let _ = self.leader.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, deadline_ms: u64) -> (ChildEnd, String) {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let end = run("sh", duct::cmd!("sh", "-c", script), &log, Duration::from_millis(deadline_ms), |_| {
            WatchFlow::Continue
        })
        .unwrap();
        (end, std::fs::read_to_string(log).unwrap())
    }

    #[test]
    fn both_outputs_go_to_the_log_and_the_status_is_kept() {
        let (end, log) = sh("echo out; echo err >&2; exit 3", 10_000);
        assert_eq!((end, log.as_str()), (ChildEnd::Exited(3), "out\nerr\n"));
    }

    #[test]
    fn a_batch_job_and_what_it_starts_are_scheduled_as_such() {
        let policy_of = |command: duct::Expression| {
            let stat = command.read().unwrap();
            // The 41st.
            cpu_usage::fields(&stat).unwrap()[38].parse::<i32>().unwrap()
        };
        let stat = || duct::cmd!("sh", "-c", "cat /proc/self/stat; true");
        assert_eq!([policy_of(stat()), policy_of(batch(stat()))], [libc::SCHED_OTHER, libc::SCHED_BATCH]);
    }

    #[test]
    fn a_killed_child_is_a_signal_and_not_a_status() {
        assert_eq!(sh("kill -9 $$", 10_000).0, ChildEnd::Signalled(9));
    }

    #[test]
    fn a_deadline_ends_the_grandchildren_too() {
        let (end, log) = sh("sleep 1000 & echo $!; wait", 300);
        assert_eq!(end, ChildEnd::DeadlinePassed);
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
                WatchFlow::Continue
            })
            .unwrap_err();
        assert!(failure.what.contains("QEMU"), "{failure}");
    }
}
