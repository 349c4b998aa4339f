//! Gives one child the host to itself: the other children of this harness are stopped (SIGSTOP) until it gives the host
//! back. Knows process groups and nothing of what runs in them. What others do on this host it cannot help.
//!
//! Nobody stays stopped for good: should the harness die meanwhile, its groups are orphans, and the kernel continues
//! orphans that are stopped (`kill_orphaned_pgrp`, kernel/exit.c), whose guard then ends them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use libc::pid_t;
use rustix::process::{Pid, Signal, kill_process_group};

/// How long a child may keep all others from running. A guest that is stopped takes it for a busy host; the first
/// that would complain is a kernel after 3 s without a grace period, where its RCU stall timeout is that short. Where
/// there are no others it may go on for ever.
const LONGEST: Duration = Duration::from_secs(2);

/// Of this process.
pub static HOST: Host = Host::new();

/// Which process groups run, and which one has the host to itself.
pub struct Host(Mutex<Groups>);

struct Groups {
    running: Vec<pid_t>,
    exclusive: Option<(pid_t, Instant)>,
    /// Asked for the host while another group had it; stopped until they get it.
    waiting: Vec<pid_t>,
}

/// Answer to a request for the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExclusiveGrant {
    /// All others are stopped.
    Granted,
    /// Another group has it: this one is stopped until it gets it.
    Later,
    /// It had the host for as long as the others can bear it; they run again.
    NoMore,
}

impl Host {
    #[expect(clippy::new_without_default, reason = "for the one static, which takes a const fn")]
    pub const fn new() -> Host {
        Host(Mutex::new(Groups { running: Vec::new(), exclusive: None, waiting: Vec::new() }))
    }

    /// A process group that has been started.
    pub fn enter(&self, group: pid_t) {
        self.groups(|groups| {
            groups.running.push(group);
            if groups.exclusive.is_some() {
                signal(group, Signal::STOP);
            }
        });
    }

    /// A process group that is about to be ended.
    pub fn leave(&self, group: pid_t) {
        self.groups(|groups| {
            groups.running.retain(|other| *other != group);
            groups.waiting.retain(|other| *other != group);
            groups.give_back(group, Instant::now());
        });
    }

    /// Stops all groups but this one, unless another one has the host.
    pub fn ask(&self, group: pid_t) -> ExclusiveGrant {
        self.ask_at(group, Instant::now())
    }

    fn ask_at(&self, group: pid_t, now: Instant) -> ExclusiveGrant {
        self.groups(|groups| {
            let Some((exclusive, since)) = groups.exclusive else {
                groups.give_to(group, now);
                return ExclusiveGrant::Granted;
            };
            if exclusive != group {
                if !groups.waiting.contains(&group) {
                    groups.waiting.push(group);
                }
                return ExclusiveGrant::Later;
            }
            if now.saturating_duration_since(since) < LONGEST || groups.others(group).next().is_none() {
                return ExclusiveGrant::Granted;
            }
            groups.give_back(group, now);
            ExclusiveGrant::NoMore
        })
    }

    /// Continues the others, if this group has the host.
    pub fn give_back(&self, group: pid_t) {
        self.groups(|groups| groups.give_back(group, Instant::now()));
    }

    fn groups<T>(&self, change: impl FnOnce(&mut Groups) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Groups {
    fn others(&self, group: pid_t) -> impl Iterator<Item = pid_t> {
        self.running.iter().copied().filter(move |other| *other != group)
    }

    fn give_to(&mut self, group: pid_t, now: Instant) {
        self.exclusive = Some((group, now));
        self.others(group).for_each(|other| signal(other, Signal::STOP));
        signal(group, Signal::CONT);
    }

    fn give_back(&mut self, group: pid_t, now: Instant) {
        if self.exclusive.is_none_or(|(exclusive, _)| exclusive != group) {
            return;
        }
        if self.waiting.is_empty() {
            self.exclusive = None;
            self.running.iter().for_each(|other| signal(*other, Signal::CONT));
        } else {
            // Straight to the next one: whatever ran in between would be in its times.
            let next = self.waiting.remove(0);
            self.give_to(next, now);
        }
    }
}

/// A group leaves the list before its leader is waited for, so the number is its own.
fn signal(group: pid_t, signal: Signal) {
    if let Some(group) = Pid::from_raw(group) {
        let _ = kill_process_group(group, signal);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::host::process::cpu_usage::fields;

    /// Children that do nothing, each in a group of its own.
    struct Sleepers(Vec<Child>);

    impl Sleepers {
        fn new(host: &Host, number: usize) -> Sleepers {
            let start = |_| {
                let child = Command::new("sleep").arg("1000").process_group(0).stdin(Stdio::null()).spawn();
                let child = child.unwrap();
                host.enter(pid_t::try_from(child.id()).unwrap());
                child
            };
            Sleepers((0..number).map(start).collect())
        }

        fn group(&self, index: usize) -> pid_t {
            pid_t::try_from(self.0[index].id()).unwrap()
        }

        /// Of each, whether it is stopped. A stop is there for others to see a moment after it was sent.
        fn await_stopped(&self, expected: &[bool]) {
            let is_stopped = |child: &Child| {
                let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
                fields(&stat).unwrap()[0] == "T"
            };
            let stopped = || self.0.iter().map(is_stopped).collect::<Vec<_>>();
            let soon = |_| {
                std::thread::sleep(Duration::from_millis(10));
                stopped() == expected
            };
            assert!((0..500).any(soon), "stopped are {:?}, not {expected:?}", stopped());
        }
    }

    impl Drop for Sleepers {
        fn drop(&mut self) {
            for child in &mut self.0 {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }

    #[test]
    fn all_others_are_stopped_until_the_host_is_given_back() {
        let host = Host::new();
        let sleepers = Sleepers::new(&host, 3);
        assert_eq!(host.ask(sleepers.group(1)), ExclusiveGrant::Granted);
        sleepers.await_stopped(&[true, false, true]);
        host.give_back(sleepers.group(0));
        assert_eq!(host.ask(sleepers.group(1)), ExclusiveGrant::Granted);
        sleepers.await_stopped(&[true, false, true]);
        host.give_back(sleepers.group(1));
        sleepers.await_stopped(&[false, false, false]);
    }

    #[test]
    fn the_next_one_to_ask_gets_the_host_with_no_gap() {
        let host = Host::new();
        let sleepers = Sleepers::new(&host, 3);
        assert_eq!(host.ask(sleepers.group(0)), ExclusiveGrant::Granted);
        assert_eq!(host.ask(sleepers.group(2)), ExclusiveGrant::Later);
        host.give_back(sleepers.group(0));
        sleepers.await_stopped(&[true, true, false]);
        assert_eq!(host.ask(sleepers.group(2)), ExclusiveGrant::Granted);
        host.give_back(sleepers.group(2));
        sleepers.await_stopped(&[false, false, false]);
    }

    #[test]
    fn one_that_starts_meanwhile_stands_still_as_well() {
        let host = Host::new();
        let sleepers = Sleepers::new(&host, 1);
        assert_eq!(host.ask(sleepers.group(0)), ExclusiveGrant::Granted);
        let late = Sleepers::new(&host, 1);
        late.await_stopped(&[true]);
        host.leave(sleepers.group(0));
        late.await_stopped(&[false]);
    }

    #[test]
    fn one_that_ends_while_it_waits_does_not_keep_the_others_waiting() {
        let host = Host::new();
        let sleepers = Sleepers::new(&host, 3);
        assert_eq!(host.ask(sleepers.group(0)), ExclusiveGrant::Granted);
        assert_eq!(host.ask(sleepers.group(1)), ExclusiveGrant::Later);
        host.leave(sleepers.group(1));
        host.give_back(sleepers.group(0));
        sleepers.await_stopped(&[false, true, false]);
    }

    #[test]
    fn no_child_is_exclusive_for_longer_than_is_allowed() {
        let host = Host::new();
        let sleepers = Sleepers::new(&host, 2);
        let group = sleepers.group(0);
        let asked = Instant::now();
        assert_eq!(host.ask_at(group, asked), ExclusiveGrant::Granted);
        assert_eq!(host.ask_at(group, asked + LONGEST - Duration::from_nanos(1)), ExclusiveGrant::Granted);
        sleepers.await_stopped(&[false, true]);
        assert_eq!(host.ask_at(group, asked + LONGEST), ExclusiveGrant::NoMore);
        sleepers.await_stopped(&[false, false]);
        // With no other child there is no limit.
        host.leave(sleepers.group(1));
        assert_eq!(host.ask_at(group, asked + 2 * LONGEST), ExclusiveGrant::Granted);
        assert_eq!(host.ask_at(group, asked + 4 * LONGEST), ExclusiveGrant::Granted);
    }
}
