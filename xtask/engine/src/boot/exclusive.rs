//! Gives a guest test whose times are compared the host to itself, and says whether it had it. A guest waits for
//! [`protocol::EXCLUSIVE_AFTER`] before such a test: whoever heard of its beginning later cannot say what else ran then.
//! Programs that this harness did not start it cannot stop; but it sees what they took.

use std::time::Duration;

use crate::host::process::{CpuUsage, ExclusiveGrant, Running};

/// Most that others may take of the host's processor time. A compiler that runs beside takes half of two processors; what
/// any host does by itself, and the harness, is far below.
const OTHERS_MAX: f64 = 0.25;

/// Of one guest, for the test that it runs.
#[derive(Debug)]
pub struct Exclusive<'a> {
    /// The tests that want it.
    wanted: &'a [&'a str],
    looked: Duration,
    /// When the one that runs and wants it was heard to begin.
    began: Option<Duration>,
    state: ExclusiveState,
    measure: fn(u32) -> Option<CpuUsage>,
}

#[derive(Debug, Clone, Copy)]
enum ExclusiveState {
    /// As everybody else.
    Shared,
    /// Another guest has it.
    Waits,
    /// What the host and the guest's QEMU had done when it became so.
    Exclusive { qemu: u32, then: CpuUsage },
    /// It has had it for too long, or should have had it earlier, or nobody knows what others do.
    Lost,
}

impl<'a> Exclusive<'a> {
    pub fn new(wanted: &'a [&'a str]) -> Self {
        Exclusive {
            wanted,
            looked: Duration::ZERO,
            began: None,
            state: ExclusiveState::Shared,
            measure: CpuUsage::now,
        }
    }

    /// Nothing else ran beside the test that runs, as far as this harness can tell.
    pub fn is_exclusive(&self) -> bool {
        let ExclusiveState::Exclusive { qemu, then } = self.state else { return false };
        (self.measure)(qemu).is_some_and(|now| now.others_since(then) <= OTHERS_MAX)
    }

    /// After a look at what the guest said: `test` runs now, and was begun at `began`.
    pub fn look(&mut self, test: Option<(&str, Duration)>, running: &Running) {
        let since = std::mem::replace(&mut self.looked, running.elapsed);
        let began = test.filter(|(name, _)| self.wanted.contains(name)).map(|(_, began)| began);
        if began != self.began {
            // That test is over.
            running.share();
            (self.began, self.state) = (began, ExclusiveState::Shared);
        }
        let Some(began) = began else { return };
        let heard_late = began == running.elapsed && began - since > protocol::EXCLUSIVE_AFTER;
        self.state = match self.state {
            ExclusiveState::Lost => ExclusiveState::Lost,
            ExclusiveState::Shared if heard_late => ExclusiveState::Lost,
            state => match running.exclusive() {
                ExclusiveGrant::Granted if matches!(state, ExclusiveState::Exclusive { .. }) => state,
                ExclusiveGrant::Granted => self.first_exclusive(running),
                ExclusiveGrant::Later => ExclusiveState::Waits,
                ExclusiveGrant::NoMore => ExclusiveState::Lost,
            },
        };
    }

    fn first_exclusive(&self, running: &Running) -> ExclusiveState {
        let qemu = running.child;
        let Some(then) = (self.measure)(qemu) else {
            // Nobody stands still for what will not count.
            running.share();
            return ExclusiveState::Lost;
        };
        ExclusiveState::Exclusive { qemu, then }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::host::process::Host;

    /// No group has such a number (PID_MAX_LIMIT, include/linux/threads.h): nobody is stopped.
    const GUEST: i32 = i32::MAX;
    const OTHER: i32 = i32::MAX - 1;

    fn host() -> &'static Host {
        Box::leak(Box::new(Host::new()))
    }

    thread_local! {
        /// What the host has done, and how much of it for others; None: nobody knows. Of this test.
        static TICKS: Cell<Option<(u64, u64)>> = const { Cell::new(Some((0, 0))) };
    }

    fn measure(_: u32) -> Option<CpuUsage> {
        TICKS.get().map(|(all, others)| CpuUsage::with(all, others, 0))
    }

    /// A guest on an idle host, and what it is asked at so many milliseconds.
    struct GuestStandIn {
        exclusive: Exclusive<'static>,
        host: &'static Host,
    }

    impl GuestStandIn {
        fn on(host: &'static Host) -> GuestStandIn {
            GuestStandIn { exclusive: Exclusive { measure, ..Exclusive::new(&["latency"]) }, host }
        }

        /// Whether it is exclusive after a look, in which the test that runs, if any, is one that began at so many.
        fn exclusive(&mut self, at: u64, test: Option<(&str, u64)>) -> bool {
            let elapsed = Duration::from_millis(at);
            let running = Running { elapsed, child: 0, group: GUEST, host: self.host };
            self.exclusive.look(test.map(|(name, began)| (name, Duration::from_millis(began))), &running);
            self.exclusive.is_exclusive()
        }
    }

    #[test]
    fn only_the_tests_that_want_the_host_have_it_and_then_give_it_back() {
        let mut guest = GuestStandIn::on(host());
        assert!(!guest.exclusive(25, Some(("munmap", 25))));
        assert!(guest.exclusive(50, Some(("latency", 50))));
        assert!(guest.exclusive(75, Some(("latency", 50))));
        assert_eq!(guest.host.ask(OTHER), ExclusiveGrant::Later);
        guest.host.leave(OTHER);
        assert!(!guest.exclusive(100, Some(("exit", 100))));
        assert_eq!(guest.host.ask(OTHER), ExclusiveGrant::Granted);
    }

    #[test]
    fn a_test_whose_beginning_was_heard_too_late_was_not_exclusive() {
        let mut guest = GuestStandIn::on(host());
        let late = 25 + u64::try_from(protocol::EXCLUSIVE_AFTER.as_millis()).unwrap() + 1;
        assert!(!guest.exclusive(25, None));
        assert!(!guest.exclusive(late, Some(("latency", late))));
        assert!(!guest.exclusive(late + 25, Some(("latency", late))));
        // The next one is not to blame.
        assert!(guest.exclusive(late + 50, Some(("latency", late + 50))));
    }

    #[test]
    fn a_test_that_waits_is_exclusive_after_the_other_one() {
        let mut guest = GuestStandIn::on(host());
        assert_eq!(guest.host.ask(OTHER), ExclusiveGrant::Granted);
        assert!(!guest.exclusive(25, Some(("latency", 25))));
        guest.host.give_back(OTHER);
        // It stood still for that long.
        assert!(guest.exclusive(900, Some(("latency", 25))));
    }

    #[test]
    fn a_test_during_which_other_programs_ran_was_not_exclusive() {
        let mut guest = GuestStandIn::on(host());
        for (ticks, exclusive) in
            [((500, 300), true), ((600, 320), true), ((700, 380), false), ((800, 370), true)]
        {
            TICKS.set(Some(ticks));
            assert_eq!(guest.exclusive(25, Some(("latency", 25))), exclusive, "{ticks:?}");
        }
        TICKS.set(None);
        assert!(!guest.exclusive(25, Some(("latency", 25))), "nobody knows");
    }

    #[test]
    fn a_host_that_tells_nothing_of_others_is_not_kept() {
        TICKS.set(None);
        let mut guest = GuestStandIn::on(host());
        assert!(!guest.exclusive(25, Some(("latency", 25))));
        assert_eq!(guest.host.ask(OTHER), ExclusiveGrant::Granted);
    }
}
