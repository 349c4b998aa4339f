//! A bug in the harness that shows as a panic: said to people like any other failure, and an exit code of its own.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::terminal;
use failure::{Exit, Failure, Result};

static HAPPENED: AtomicBool = AtomicBool::new(false);

/// What `std::thread::scope` says of a panic that has been shown where it happened.
const SHOWN_ALREADY: &str = "a scoped thread panicked";

/// Runs `work`, which is to end with its own outcome; after a panic, in whichever thread, it is [`Exit::Internal`].
///
/// # Errors
/// Those of `work`.
pub fn guarded(work: impl FnOnce() -> Result<Exit>) -> Result<Exit> {
    panic::set_hook(Box::new(|info| {
        HAPPENED.store(true, Ordering::SeqCst);
        if message(info) != SHOWN_ALREADY {
            terminal::say(&format!("error: {}", failure(info)));
        }
    }));
    // What `work` has borrowed is not looked at afterwards.
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    match (outcome, HAPPENED.load(Ordering::SeqCst)) {
        // What the others found may rest on what that thread did not do.
        (Ok(Ok(_)), true) | (Err(_), _) => Ok(Exit::Internal),
        (Ok(outcome), _) => outcome,
    }
}

fn failure(info: &PanicHookInfo<'_>) -> Failure {
    let place = info.location().map_or_else(|| "a place that is not known".to_owned(), ToString::to_string);
    let current = thread::current();
    let thread = current.name().map_or_else(|| "a thread".to_owned(), |name| format!("thread {name}"));
    let failure = Failure::internal(format!("a bug in patchproof: {}", message(info)))
        .because(format!("at {place} of version {}, in {thread}", env!("CARGO_PKG_VERSION")))
        .next("trust no result of this run: exit code 70 is no verdict")
        .next("report it to the maintainers with these lines, the command and the directory of the run");
    let trace = Backtrace::capture();
    match trace.status() {
        BacktraceStatus::Captured => failure.because(format!("called by:\n{trace}")),
        _ => failure.next("RUST_BACKTRACE=1 in the environment says by which way it came there"),
    }
}

fn message<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    let text = info.payload().downcast_ref::<&str>().copied();
    text.or(info.payload().downcast_ref::<String>().map(String::as_str)).unwrap_or("it said nothing")
}
