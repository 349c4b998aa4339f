//! A real-time task's means: SCHED_FIFO, and sleeping until a moment of CLOCK_MONOTONIC.

use std::io::Error;
use std::time::Duration;

use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Makes the calling thread a SCHED_FIFO one.
pub fn become_fifo(priority: i32) -> Result<(), String> {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: only reads the parameters, which outlive the call; 0 is the calling thread.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters) } {
        0 => Ok(()),
        _ => Err(format!("could not become SCHED_FIFO: {}", Error::last_os_error())),
    }
}

/// Since boot.
pub fn now() -> Result<Duration, String> {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).map_err(|error| error.to_string())
}

/// Sleeps until `due`; how much later than that it is afterwards.
pub fn sleep_until(due: Duration) -> Result<Duration, String> {
    let time = Timespec::try_from(due).map_err(|error| error.to_string())?;
    clock_nanosleep_absolute(ClockId::Monotonic, &time)
        .map_err(|error| format!("could not sleep: {error}"))?;
    Ok(now()?.saturating_sub(due))
}
