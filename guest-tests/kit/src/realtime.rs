//! A real-time task's means: SCHED_FIFO, and sleeping until a moment of CLOCK_MONOTONIC.

use std::io::Error;
use std::time::Duration;

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
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, which outlives it.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) } != 0 {
        return Err(format!("could not read the clock: {}", Error::last_os_error()));
    }
    let seconds = u64::try_from(time.tv_sec).map_err(|error| error.to_string())?;
    let nanos = u32::try_from(time.tv_nsec).map_err(|error| error.to_string())?;
    Ok(Duration::new(seconds, nanos))
}

/// Sleeps until `due`; how much later than that it is afterwards.
pub fn sleep_until(due: Duration) -> Result<Duration, String> {
    let time = libc::timespec {
        tv_sec: libc::time_t::try_from(due.as_secs()).map_err(|error| error.to_string())?,
        tv_nsec: libc::c_long::from(due.subsec_nanos()),
    };
    // SAFETY: only reads `time`; with an absolute time nothing is written back.
    let error = unsafe {
        libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &time, std::ptr::null_mut())
    };
    match error {
        0 => Ok(now()?.saturating_sub(due)),
        _ => Err(format!("could not sleep: {}", Error::from_raw_os_error(error))),
    }
}
