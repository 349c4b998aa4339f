//! Runs of one work directory go on one after another, so that each has the cores for itself and its times and verdicts are
//! those of a run that is alone. A run that asks for it, and each part of a divided one, starts at once: it shares the sources
//! and the cache, and has build directories of its own. Nothing else waits here.

use std::time::Duration;

use super::cli;
use crate::campaign::project::Project;
use crate::host::deadline;
use crate::host::disk;
use crate::host::process;
use crate::host::terminal;
use crate::source::lock::Lock;
use failure::{Result, escape};

/// Longest wait for the runs before this one: a soak takes hours.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// Waits until no other run goes on in the work directory, and says behind what it waits; None where a run does not queue.
///
/// # Errors
/// On interruption, and when the runs before do not come to an end.
pub fn wait(project: &Project, args: &cli::PlanArgs) -> Result<Option<Lock>> {
    if args.no_queue || args.partition.is_some() {
        return Ok(None);
    }
    disk::create_dir(&project.work())?;
    process::catch_interrupts()?;
    let what = format!("the queue of runs in {}", project.work().display());
    let progress = |text: &str| {
        let line = format!("{text}; `--no-queue` starts at once, beside it");
        terminal::say(&escape::line(&line));
    };
    Lock::take(&project.queue_lock(), &what, deadline::scaled(QUEUE_TIMEOUT)?, &progress).map(Some)
}
