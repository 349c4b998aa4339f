//! Runs one scenario as a process of its own, so that its end, however it comes, is not the end of PID 1.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use kit::files;
use protocol::{Answer, Measured, Order, WorkResult};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// Files, not pipes: no reader is needed while the child writes, and what a killed child said is kept.
const ANSWER: &str = "/answer";
const COMPLAINTS: &str = "/complaints";

/// Longest text, in characters, that is passed on when something went wrong: far below a line's limit.
const EXCERPT_CHARS: usize = 2000;

/// What a killed process gets to die in; one that is stuck in the kernel does not.
const DIES_WITHIN: Duration = Duration::from_secs(5);

/// How often PID 1 says that it waits.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Name of the result of a workload that says that it came to no end of its own.
const ITSELF: &str = "it";

/// The scenario's answer, or why there is none. `alive` is called while it runs. A workload that was killed or died has
/// that as its result: it is compared with another kernel, on which it may have done the same.
pub fn run(order: &Order, deadline: Duration, alive: impl FnMut() -> Result<(), String>) -> Answer {
    let answer = run_to_end(order, deadline, alive).and_then(|end| match (end, &order.ask.work) {
        (ChildEnding::Status(status), _) if status.success() => read_answer(),
        (end, Some(_)) => workload_without_answer(&end),
        (ChildEnding::Status(status), None) => {
            Err(format!("the scenario ended with {status}: {}", files::read(COMPLAINTS)?.trim()))
        }
        (ChildEnding::Killed(words), None) => Err(format!("the scenario was {words}")),
    });
    answer.unwrap_or_else(|why| Answer::Broken(excerpt(&why)))
}

enum ChildEnding {
    Status(ExitStatus),
    /// At its deadline, in words.
    Killed(String),
}

fn run_to_end(
    order: &Order,
    deadline: Duration,
    alive: impl FnMut() -> Result<(), String>,
) -> Result<ChildEnding, String> {
    let file = |path: &str| File::create(path).map_err(|error| format!("could not make {path}: {error}"));
    let program = Path::new(protocol::SCENARIO_DIR).join(&order.ask.name);
    let argument = serde_json::to_string(order).map_err(|error| error.to_string())?;
    let mut child = Command::new(&program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(file(ANSWER)?)
        .stderr(file(COMPLAINTS)?)
        .process_group(0)
        .spawn()
        .map_err(|error| format!("could not start {}: {error}", program.display()))?;
    if let Some(status) = wait(&mut child, deadline, alive)? {
        return Ok(ChildEnding::Status(status));
    }
    let end = match kill_group(&mut child)? {
        Some(_) => "was killed",
        None => "could not be killed",
    };
    Ok(ChildEnding::Killed(format!("not done within {} s and {end}", deadline.as_secs())))
}

fn workload_without_answer(end: &ChildEnding) -> Result<Answer, String> {
    let why = match end {
        ChildEnding::Status(status) => status.to_string(),
        ChildEnding::Killed(words) => words.clone(),
    };
    let results = [(ITSELF.to_owned(), WorkResult::Failed(why))].into();
    let output = workloads::results::end_of_output(&files::bytes(COMPLAINTS)?);
    Ok(Answer::Measured(Box::new(Measured { results, output, ..Measured::default() })))
}

/// None: it still runs at the deadline.
fn wait(
    child: &mut Child,
    deadline: Duration,
    mut alive: impl FnMut() -> Result<(), String>,
) -> Result<Option<ExitStatus>, String> {
    let end = ExitFd::of(child)?;
    let began = Instant::now();
    loop {
        let left = deadline.saturating_sub(began.elapsed());
        end.wait(left.min(SAY_EVERY))?;
        let status = child.try_wait().map_err(|error| format!("could not wait for the scenario: {error}"))?;
        if status.is_some() || began.elapsed() >= deadline {
            return Ok(status);
        }
        alive()?;
    }
}

/// A file descriptor that can be read when a process has ended: to ask again and again instead takes time from
/// what is measured.
struct ExitFd(OwnedFd);

impl ExitFd {
    fn of(child: &Child) -> Result<ExitFd, String> {
        // The child is not reaped yet, so the number is its own.
        let descriptor = pidfd_open(Pid::from_child(child), PidfdFlags::empty());
        descriptor.map(ExitFd).map_err(|error| format!("pidfd_open: {error}"))
    }

    /// Returns at the end of the process, after `time`, or at a signal.
    fn wait(&self, time: Duration) -> Result<(), String> {
        let time = Timespec::try_from(time).map_err(|error| error.to_string())?;
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&time)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(format!("could not wait for the scenario: {error}")),
        }
    }
}

fn kill_group(child: &mut Child) -> Result<Option<ExitStatus>, String> {
    // The group is the child's own, and the child is not reaped yet. If it is gone, the wait says so.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    wait(child, DIES_WITHIN, || Ok(()))
}

fn read_answer() -> Result<Answer, String> {
    let answer = files::read(ANSWER)?;
    serde_json::from_str(&answer)
        .map_err(|error| format!("the scenario's answer is not one ({error}): {answer}"))
}

fn excerpt(text: &str) -> String {
    text.chars().take(EXCERPT_CHARS).collect()
}
