//! Gives a guest test whose times are compared the host to itself, and says whether it had it. A guest waits for as long as
//! [`protocol::ROOM`] before such a test: whoever heard of its beginning later cannot say what else ran then.

use std::time::Duration;

use crate::process::{Answer, Running};

/// Of one guest, for the test that it runs.
#[derive(Debug)]
pub struct Room<'a> {
    /// The tests that want it.
    wanted: &'a [&'a str],
    looked: Duration,
    /// When the one that runs and wants it was heard to begin.
    began: Option<Duration>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// As everybody else.
    Shared,
    /// Another guest has it.
    Waits,
    Alone,
    /// It has had it for too long, or should have had it earlier.
    Lost,
}

impl<'a> Room<'a> {
    pub fn new(wanted: &'a [&'a str]) -> Self {
        Room { wanted, looked: Duration::ZERO, began: None, state: State::Shared }
    }

    /// Nothing else ran beside the test that runs, as far as this harness can tell.
    pub fn is_alone(&self) -> bool {
        self.state == State::Alone
    }

    /// After a look at what the guest said: `test` runs now, and was begun at `began`.
    pub fn look(&mut self, test: Option<(&str, Duration)>, running: &Running) {
        let since = std::mem::replace(&mut self.looked, running.elapsed);
        let began = test.filter(|(name, _)| self.wanted.contains(name)).map(|(_, began)| began);
        if began != self.began {
            // That test is over.
            running.share();
            self.began = began;
            self.state = State::Shared;
        }
        let Some(began) = began else { return };
        let heard_late = began == running.elapsed && began - since > protocol::ROOM;
        self.state = match self.state {
            State::Lost => State::Lost,
            State::Shared if heard_late => State::Lost,
            State::Shared | State::Waits | State::Alone => match running.alone() {
                Answer::Alone => State::Alone,
                Answer::Later => State::Waits,
                Answer::NoMore => State::Lost,
            },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Host;

    /// No group has such a number (PID_MAX_LIMIT, include/linux/threads.h): nobody is stopped.
    const GUEST: i32 = i32::MAX;
    const OTHER: i32 = i32::MAX - 1;

    fn host() -> &'static Host {
        Box::leak(Box::new(Host::new()))
    }

    /// Whether it is alone after looks at so many milliseconds, in each of which the test that runs, if any, is one that
    /// began at so many.
    fn alone(host: &'static Host, looks: &[(u64, Option<(&str, u64)>)]) -> Vec<bool> {
        let mut room = Room::new(&["latency"]);
        let looks = looks.iter().map(|(at, test)| {
            let running = Running { elapsed: Duration::from_millis(*at), group: GUEST, host };
            room.look(test.map(|(name, began)| (name, Duration::from_millis(began))), &running);
            room.is_alone()
        });
        looks.collect()
    }

    #[test]
    fn only_the_tests_that_want_the_host_have_it_and_then_give_it_back() {
        let host = host();
        let looks = [(25, Some(("munmap", 25))), (50, Some(("latency", 50))), (75, Some(("latency", 50)))];
        assert_eq!(alone(host, &looks), [false, true, true]);
        assert_eq!(host.ask(OTHER), Answer::Later);
        host.leave(OTHER);
        assert_eq!(alone(host, &[(25, Some(("latency", 25))), (50, Some(("exit", 50)))]), [true, false]);
        assert_eq!(host.ask(OTHER), Answer::Alone);
    }

    #[test]
    fn one_whose_beginning_was_heard_too_late_was_not_alone() {
        let late = 25 + u64::try_from(protocol::ROOM.as_millis()).unwrap() + 1;
        let looks = [(25, None), (late, Some(("latency", late))), (late + 25, Some(("latency", late)))];
        assert_eq!(alone(host(), &looks), [false, false, false]);
        // The next one is not to blame.
        let next = [looks[0], looks[1], (late + 50, Some(("latency", late + 50)))];
        assert_eq!(alone(host(), &next), [false, false, true]);
    }

    #[test]
    fn one_that_has_to_wait_is_alone_when_it_is_its_turn() {
        let host = host();
        assert_eq!(host.ask(OTHER), Answer::Alone);
        let mut room = Room::new(&["latency"]);
        let mut look = |millis| {
            let running = Running { elapsed: Duration::from_millis(millis), group: GUEST, host };
            room.look(Some(("latency", Duration::from_millis(25))), &running);
            room.is_alone()
        };
        assert!(!look(25));
        host.give_back(OTHER);
        // It stood still for that long.
        assert!(look(900));
    }
}
