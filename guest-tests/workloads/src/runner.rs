//! Carries out a workload that is no program of ours: a program of the guest, a KUnit suite, a look at what was left behind, or the
//! boot, which was over before this began.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use kit::{files, scenario};
use protocol::{Measured, RESULTS_MAX, WorkResult, Workload};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::results::{self, Results};
use crate::{ktap, left_behind};

const PATH: &str = "/bin:/sbin:/usr/bin:/usr/sbin";

/// Where programs find a directory of their own to work in.
const SCRATCH: &str = "/tmp/work";

const KUNIT: &str = "/sys/kernel/debug/kunit";

/// Longest file that a program may write, its output among them: all of them are in the guest's memory. SIGXFSZ tells it.
const FILE_BYTES: u64 = 64 << 20;

const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Name of the result that says how a program itself ended.
pub const EXIT_STATUS: &str = "exit status";

/// Carries out the workload that is this process's order, and answers.
pub fn run() {
    scenario::run(|order| {
        use_all_cpus();
        let mut measured = match &order.ask.work {
            Some(Workload::Program(words)) => program(words, Workload::SECS),
            // Where only what it executes is of interest, once will do.
            Some(Workload::Selftest(words)) if order.ask.if_time => program(words, Workload::SELFTEST_SECS),
            Some(Workload::Selftest(words)) => selftest(words),
            Some(Workload::Kunit(suite)) => kunit(suite),
            Some(Workload::Stress(arguments)) => stress(arguments),
            Some(Workload::Boot) => Ok(Measured::default()),
            Some(Workload::Mark) => left_behind::mark(),
            Some(Workload::Leftovers) => left_behind::look(),
            Some(Workload::Ours | Workload::Sweep(_)) | None => {
                Err(format!("no workload to be run: {:?}", order.ask.work))
            }
        }?;
        measured.demanded = order.ask.demand;
        Ok(measured)
    });
}

/// PID 1 keeps to one, and its children with it.
pub(crate) fn use_all_cpus() {
    let mut all = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
    // The kernel takes those that are there; where it refuses, the workload runs on one.
    let _ = sched_setaffinity(None, &all);
}

/// How often a selftest is run that fails. Many wait some microseconds for another thread, which on an emulated CPU is a
/// matter of luck.
const TRIES: usize = 5;

/// A selftest fails if it fails each time.
fn selftest(words: &[String]) -> Result<Measured, String> {
    let began = Instant::now();
    let mut best = program(words, Workload::SECS)?;
    let mut failed = has_failed(&best.results);
    for _ in 1..TRIES {
        let left = Workload::SECS.saturating_sub(began.elapsed().as_secs());
        if !failed || left < Workload::SECS / 2 {
            break;
        }
        let again = program(words, left)?;
        failed = has_failed(&again.results);
        best = Measured { results: best_of(best.results, again.results), ..again };
    }
    Ok(best)
}

fn has_failed(results: &BTreeMap<String, WorkResult>) -> bool {
    results.values().any(|result| matches!(result, WorkResult::Failed(_)))
}

/// Of each thing the better end, and what only one of them did. Its length is that of a line of the channel.
fn best_of(
    one: BTreeMap<String, WorkResult>,
    mut other: BTreeMap<String, WorkResult>,
) -> BTreeMap<String, WorkResult> {
    let rank = |result: &WorkResult| match result {
        WorkResult::Ok => 0,
        WorkResult::Skipped(_) => 1,
        WorkResult::Failed(_) => 2,
    };
    for (name, result) in one {
        match other.get(&name) {
            Some(known) if rank(known) <= rank(&result) => {}
            None if other.len() >= RESULTS_MAX => {}
            _ => _ = other.insert(name, result),
        }
    }
    other
}

/// For every stressor: no trace of it in the log, the same random numbers each time, and it may be killed for its memory.
const STRESS: [&str; 5] = ["stress-ng", "--quiet", "--no-rand-seed", "--oomable", "--temp-path=."];

/// What stress-ng ends with where it lacks memory or the like, and where nothing of what it was asked for is there
/// (stress-ng(1), EXIT STATUS).
const STRESS_SKIPPED: [&str; 2] = ["exit 3", "exit 4"];

fn stress(arguments: &[String]) -> Result<Measured, String> {
    let words: Vec<String> =
        STRESS.iter().map(ToString::to_string).chain(arguments.iter().cloned()).collect();
    let mut measured = program(&words, Workload::SECS)?;
    for result in measured.results.values_mut() {
        if let WorkResult::Failed(how) = result
            && STRESS_SKIPPED.contains(&how.as_str())
        {
            *result = WorkResult::Skipped(how.clone());
        }
    }
    Ok(measured)
}

fn program(words: &[String], most_secs: u64) -> Result<Measured, String> {
    let [name, arguments @ ..] = words else { return Err("a program without a name".to_owned()) };
    let said = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| format!("{what}: {error}")
    };
    fs::create_dir_all(SCRATCH).map_err(said(SCRATCH))?;
    let printed = PathBuf::from(format!("{SCRATCH}.output"));
    let out = File::create(&printed).map_err(said("the file for the output"))?;
    let err = out.try_clone().map_err(said("the file for the output"))?;
    let mut command = Command::new(found(name));
    command.args(arguments).env_clear().env("PATH", PATH).env("HOME", SCRATCH).env("TERM", "dumb");
    command.current_dir(SCRATCH).stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    limit_files(&mut command);
    let mut results = Results::default();
    match command.spawn() {
        Ok(child) => {
            results.add(EXIT_STATUS, end_of(child, most_secs).map_err(said("wait for the program"))?);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            results.add(EXIT_STATUS, WorkResult::Skipped(format!("there is no {name}")));
        }
        Err(error) => results.add(EXIT_STATUS, WorkResult::Failed(crate::errno::describe(&error))),
    }
    let output = fs::read(&printed).map_err(said("read the output"))?;
    ktap::read(&String::from_utf8_lossy(&output), &mut results);
    let _ = fs::remove_file(&printed);
    let _ = fs::remove_dir_all(SCRATCH);
    let output = results::end_of_output(&output);
    Ok(Measured { results: results.into_map(), output, ..Measured::default() })
}

/// The standard library looks where its own environment says, which PID 1 was not given.
fn found(name: &str) -> PathBuf {
    let places = PATH.split(':').map(|directory| Path::new(directory).join(name));
    match name.contains('/') {
        true => name.into(),
        false => places.into_iter().find(|path| path.exists()).unwrap_or_else(|| name.into()),
    }
}

fn limit_files(command: &mut Command) {
    let limit = || {
        let bytes = libc::rlimit { rlim_cur: FILE_BYTES, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: the call reads the structure, which outlives it.
        unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const bytes) };
        Ok(())
    };
    // SAFETY: it makes one system call, after fork and before exec.
    unsafe { command.pre_exec(limit) };
}

/// Waits for the end of a program, or kills it and its group when it has had its time.
fn end_of(mut child: Child, most_secs: u64) -> io::Result<WorkResult> {
    let began = Instant::now();
    let limit = Duration::from_secs(most_secs);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(ended(status));
        }
        if began.elapsed() >= limit {
            // The child is not reaped yet, so the group is its own.
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            return Ok(WorkResult::Failed(format!("not done within {most_secs} s")));
        }
        thread::sleep(LOOK_AGAIN);
    }
}

fn ended(status: ExitStatus) -> WorkResult {
    /// What a kselftest that cannot run here ends with (tools/testing/selftests/kselftest.h, `KSFT_SKIP`).
    const SKIPPED: i32 = 4;
    match (status.code(), status.signal()) {
        (Some(0), _) => WorkResult::Ok,
        (Some(SKIPPED), _) => WorkResult::Skipped(format!("exit {SKIPPED}")),
        (Some(code), _) => WorkResult::Failed(format!("exit {code}")),
        (None, Some(signal)) => WorkResult::Failed(format!("signal {signal}")),
        (None, None) => WorkResult::Failed(status.to_string()),
    }
}

/// Runs the suite again where the kernel can (lib/kunit/debugfs.c, `debugfs_run()`: only suites without init data have that
/// file); what the boot made of it is there in any case.
fn kunit(suite: &str) -> Result<Measured, String> {
    let mut results = Results::default();
    let directory = Path::new(KUNIT).join(suite);
    if suite.contains('/') || !directory.is_dir() {
        results.add(suite, WorkResult::Skipped("this kernel has no such suite".to_owned()));
        return Ok(Measured { results: results.into_map(), ..Measured::default() });
    }
    let run = directory.join("run");
    if run.exists() {
        files::write(&run, "1")?;
    }
    let log = files::read(directory.join("results"))?;
    ktap::read(&log, &mut results);
    let output = results::end_of_output(log.as_bytes());
    Ok(Measured { results: results.into_map(), output, ..Measured::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_several_runs_counts() {
        let results = |all: &[(&str, WorkResult)]| {
            all.iter().map(|(name, result)| ((*name).to_owned(), result.clone())).collect::<BTreeMap<_, _>>()
        };
        let failed = || WorkResult::Failed("not ok".to_owned());
        let one =
            results(&[("a", WorkResult::Ok), ("b", failed()), ("c", failed()), ("only here", failed())]);
        let other = results(&[("a", failed()), ("b", failed()), ("c", WorkResult::Ok)]);
        let best = best_of(one, other);
        let expected =
            [("a", WorkResult::Ok), ("b", failed()), ("c", WorkResult::Ok), ("only here", failed())];
        assert_eq!(best, results(&expected));
        assert!(has_failed(&best));
    }

    #[test]
    fn an_exit_status_is_a_result() {
        assert_eq!(ended(ExitStatus::from_raw(0)), WorkResult::Ok);
        assert_eq!(ended(ExitStatus::from_raw(3 << 8)), WorkResult::Failed("exit 3".to_owned()));
        assert_eq!(ended(ExitStatus::from_raw(4 << 8)), WorkResult::Skipped("exit 4".to_owned()));
        assert_eq!(ended(ExitStatus::from_raw(11)), WorkResult::Failed("signal 11".to_owned()));
    }
}
