//! Slurm by its own commands: submits the two jobs of a divided run, follows their tasks and cancels them. Needs no accounting.
//! Knows nothing of kernels.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::host::deadline;
use crate::host::process;
use failure::{Failure, Result};

/// How long the controller may be away.
const SILENCE_MAX: Duration = Duration::from_secs(600);

const LOOK_EVERY: Duration = Duration::from_secs(2);

/// States of a task that does not go on.
const ENDED: [&str; 9] = [
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "TIMEOUT",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "BOOT_FAIL",
    "DEADLINE",
    "PREEMPTED",
];

/// The job that builds the kernels, and the array that runs the parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlurmJobs {
    pub kernels: String,
    pub parts: String,
}

/// A task as squeue lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct SlurmTask {
    id: String,
    state: String,
    node: String,
}

impl SlurmJobs {
    /// Runs the script that submits both; it prints their numbers.
    ///
    /// # Errors
    /// When there is no Slurm here, or it refuses a job: in its own words.
    pub fn submit(script: &Path) -> Result<SlurmJobs> {
        let said = slurm("sbatch", Command::new("sh").arg(script))?;
        let numbers: Vec<&str> = said.split_whitespace().collect();
        let is_number = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        match numbers[..] {
            [kernels, parts] if numbers.iter().all(is_number) => {
                Ok(SlurmJobs { kernels: kernels.to_owned(), parts: parts.to_owned() })
            }
            _ => Err(Failure::infra(format!("sbatch gave no numbers of jobs, but `{}`", said.trim()))),
        }
    }

    fn is_ours(&self, task: &SlurmTask) -> bool {
        let job = task.id.split('_').next().unwrap_or_default();
        job == self.kernels || job == self.parts
    }

    fn tasks(&self) -> Result<Vec<SlurmTask>> {
        let mut command = Command::new("squeue");
        command.args(["--noheader", "--array", "--states=all", "--format=%i|%T|%N"]);
        Ok(tasks_in(&slurm("squeue", &mut command)?).into_iter().filter(|task| self.is_ours(task)).collect())
    }

    /// Returns when no task goes on, and cancels those that do at the end of `timeout` or on interruption; `progress` hears of
    /// each change.
    ///
    /// # Errors
    /// When Slurm does not answer for a long time, and on interruption.
    pub fn follow(&self, timeout: Duration, progress: &dyn Fn(&str)) -> Result<()> {
        let started = Instant::now();
        let silence_max = deadline::scaled(SILENCE_MAX)?;
        let (mut seen, mut answered) = (BTreeMap::new(), Instant::now());
        loop {
            match self.tasks() {
                Ok(tasks) => {
                    answered = Instant::now();
                    tasks.iter().for_each(|task| self.tell(task, &mut seen, progress));
                    if tasks.iter().all(SlurmTask::has_ended) {
                        return Ok(());
                    }
                }
                Err(failure) if answered.elapsed() > silence_max => {
                    return Err(failure.next("the jobs may go on: squeue, scancel"));
                }
                // It may be started again just now.
                Err(_) => {}
            }
            if process::interrupted() {
                self.cancel();
                return Err(Failure::interrupted());
            }
            if started.elapsed() > timeout {
                progress("it took too long: what goes on is cancelled");
                self.cancel();
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn tell(&self, task: &SlurmTask, seen: &mut BTreeMap<String, SlurmTask>, progress: &dyn Fn(&str)) {
        if seen.get(&task.id) == Some(task) {
            return;
        }
        seen.insert(task.id.clone(), task.clone());
        let what = match task.id.split_once('_') {
            Some((_, part)) => format!("part {part}"),
            None => "kernels".to_owned(),
        };
        let on = if task.node.is_empty() { String::new() } else { format!(" on {}", task.node) };
        progress(&format!("{what}: {}{on} (job {})", task.state.to_lowercase(), task.id));
    }

    fn cancel(&self) {
        // A job that has ended meanwhile is no news.
        let _ = slurm("scancel", Command::new("scancel").args(["--quiet", &self.kernels, &self.parts]));
    }
}

impl SlurmTask {
    fn has_ended(&self) -> bool {
        ENDED.contains(&self.state.as_str())
    }
}

fn tasks_in(listed: &str) -> Vec<SlurmTask> {
    let task = |line: &str| {
        let mut words = line.trim().split('|').map(str::to_owned);
        Some(SlurmTask { id: words.next()?, state: words.next()?, node: words.next()? })
    };
    listed.lines().filter_map(task).collect()
}

/// What a command of Slurm prints.
fn slurm(name: &str, command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| {
        Failure::infra(format!("could not start {name}"))
            .because(error.to_string())
            .next("submit from a machine with Slurm's commands (on Debian: slurm-client)")
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let failure = Failure::infra(format!("{name} failed: {}", output.status));
    Err(words.lines().take(10).fold(failure, Failure::because))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_of_other_jobs_are_not_ours() {
        let listed = "21|COMPLETED|n1\n22_1|RUNNING|n2\n22_10|PENDING|\n222_1|RUNNING|n1\n2|RUNNING|n1\n";
        let jobs = SlurmJobs { kernels: "21".to_owned(), parts: "22".to_owned() };
        let tasks = tasks_in(listed);
        let ours: Vec<_> =
            tasks.iter().filter(|task| jobs.is_ours(task)).map(|task| task.id.as_str()).collect();
        assert_eq!(ours, ["21", "22_1", "22_10"]);
        let ended: Vec<bool> = tasks.iter().map(SlurmTask::has_ended).collect();
        assert_eq!(ended, [true, false, false, false, false]);
    }

    #[test]
    fn each_change_is_told_once() {
        let jobs = SlurmJobs { kernels: "1".to_owned(), parts: "2".to_owned() };
        let (mut seen, told) = (BTreeMap::new(), std::cell::RefCell::new(Vec::new()));
        for listed in ["2_1|PENDING|", "2_1|RUNNING|n1", "2_1|RUNNING|n1", "2_1|NODE_FAIL|n1"] {
            let task = tasks_in(listed).remove(0);
            jobs.tell(&task, &mut seen, &|line| told.borrow_mut().push(line.to_owned()));
        }
        assert_eq!(
            told.into_inner(),
            [
                "part 1: pending (job 2_1)",
                "part 1: running on n1 (job 2_1)",
                "part 1: node_fail on n1 (job 2_1)"
            ]
        );
    }
}
