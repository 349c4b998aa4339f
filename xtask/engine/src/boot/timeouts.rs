//! Who gives up on a guest, and when. The kernel's own detectors know why a guest does not go on, so each of
//! them must speak before the harness loses timeouts. One table for all of them, scaled by the accelerator.

use std::time::Duration;

use crate::host::accel::Accel;
use crate::host::deadline::scaled;
use failure::Result;

/// Seconds under KVM; an emulated guest gets [`Accel::deadline_scale`] times as long.
const RCU_STALL_SECS: u64 = 3;
/// A CPU counts as locked up after twice this (kernel/watchdog.c, get_softlockup_thresh).
const WATCHDOG_THRESH_SECS: u64 = 5;
const WORKQUEUE_SECS: u64 = 8;
const HUNG_TASK_SECS: u64 = 15;
const HUNG_TASK_CHECK_SECS: u64 = 1;
/// Neither channel said anything for so long: longer than any single step of a scenario.
const SILENCE_SECS: u64 = 20;
const DEADLINE_SECS: u64 = 60;
/// After its trailer a guest has only its console to drain.
const AFTER_TRAILER_SECS: u64 = 5;

/// The harness's own steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    pub silence: Duration,
    pub after_trailer: Duration,
    pub deadline: Duration,
}

impl Timeouts {
    /// # Errors
    /// As [`percent`].
    pub fn new(accel: Accel) -> Result<Timeouts> {
        let secs = |secs: u64| scaled(Duration::from_secs(secs * u64::from(accel.deadline_scale())));
        Ok(Timeouts {
            silence: secs(SILENCE_SECS)?,
            after_trailer: secs(AFTER_TRAILER_SECS)?,
            deadline: secs(DEADLINE_SECS)?,
        })
    }

    /// The same for a guest that has so much more to do.
    pub fn and(self, longer: Duration) -> Timeouts {
        Timeouts { deadline: self.deadline + longer, ..self }
    }
}

/// What sets the kernel's detectors: words for its command line.
pub fn kernel_arguments(accel: Accel) -> String {
    let secs = |secs: u64| secs * u64::from(accel.deadline_scale());
    // `sysctl.` is set before init runs (fs/proc/proc_sysctl.c, do_sysctl_args).
    [
        format!("rcupdate.rcu_cpu_stall_timeout={}", secs(RCU_STALL_SECS)),
        format!("watchdog_thresh={}", secs(WATCHDOG_THRESH_SECS)),
        format!("workqueue.watchdog_thresh={}", secs(WORKQUEUE_SECS)),
        format!("sysctl.kernel.hung_task_timeout_secs={}", secs(HUNG_TASK_SECS)),
        format!("sysctl.kernel.hung_task_check_interval_secs={}", secs(HUNG_TASK_CHECK_SECS)),
    ]
    .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The earliest and the latest second at which each speaks, counted from the moment something hangs.
    fn steps(accel: Accel) -> [(&'static str, u64, u64); 5] {
        let scale = u64::from(accel.deadline_scale());
        let rcu = RCU_STALL_SECS * scale;
        // Twice the threshold, looked at by a timer with a period of a fifth of that (set_sample_period). Its
        // seconds are of 2^30 ns (get_timestamp).
        let lockup = 2 * WATCHDOG_THRESH_SECS * scale;
        let lockup_latest = (lockup << 30).div_ceil(1_000_000_000) + lockup / 5 + 1;
        // khungtaskd has to see a task twice without a switch in between.
        let hung = HUNG_TASK_SECS * scale;
        let timeouts = (SILENCE_SECS * scale, DEADLINE_SECS * scale);
        [
            // PROVE_RCU adds five seconds (kernel/rcu/tree_stall.h, RCU_STALL_DELAY_DELTA); a tick notices.
            ("RCU stall", rcu, rcu + 5 + 1),
            ("soft lockup", lockup, lockup_latest),
            ("hung task", hung, hung + 2 * HUNG_TASK_CHECK_SECS * scale),
            ("silence", timeouts.0, timeouts.0 + 1),
            ("deadline", timeouts.1, timeouts.1 + 1),
        ]
    }

    #[test]
    fn each_step_has_spoken_before_the_next_one_may() {
        for accel in [Accel::Kvm, Accel::Tcg] {
            for pair in steps(accel).windows(2) {
                assert!(pair[0].2 < pair[1].1, "{accel:?}: {pair:?}");
            }
            let workqueue = WORKQUEUE_SECS * u64::from(accel.deadline_scale());
            // Its timer's period is its threshold (kernel/workqueue.c, wq_watchdog_timer_fn).
            assert!(2 * workqueue < steps(accel)[3].1);
        }
    }

    #[test]
    fn every_value_is_one_that_the_kernel_takes_as_it_is() {
        for scale in [Accel::Kvm, Accel::Tcg].map(|accel| u64::from(accel.deadline_scale())) {
            // kernel/rcu/tree_stall.h clamps to 3..=300, kernel/watchdog.c to 0..=60.
            assert!((3..=300).contains(&(RCU_STALL_SECS * scale)));
            assert!((1..=60).contains(&(WATCHDOG_THRESH_SECS * scale)));
        }
    }

    #[test]
    fn the_kernel_is_told_on_its_command_line() {
        let words = kernel_arguments(Accel::Tcg);
        assert!(words.starts_with("rcupdate.rcu_cpu_stall_timeout=15 watchdog_thresh=25 "), "{words}");
    }
}
