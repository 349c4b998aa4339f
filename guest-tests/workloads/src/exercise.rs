//! The outside of an exerciser: a list of steps, each of which may end in an error, which is a result and no end of it.

use std::fmt::Display;
use std::io;
use std::time::{Duration, Instant};

use kit::scenario;
use protocol::{Measured, Order, WorkResult};

use crate::errno;
use crate::results::{self, Results};
use crate::runner;

/// A step that takes so long is named.
const SLOW: Duration = Duration::from_millis(200);

/// What was tried, and how each of it ended.
#[derive(Debug, Default)]
pub struct Exercise {
    results: Results,
    /// The steps that took long, and how long.
    slow: String,
}

/// Carries out the exerciser that is this process, and answers.
pub fn run(work: impl FnOnce(&mut Exercise)) {
    scenario::run(|order: &Order| {
        runner::use_all_cpus();
        // The guest has no modules, and to start a program that says so takes time, as often as something is asked for that
        // the kernel has not (kernel/module/kmod.c, __request_module()).
        let _ = std::fs::write("/proc/sys/kernel/modprobe", "\n");
        let mut exercise = Exercise::default();
        work(&mut exercise);
        let output = results::end_of_output(exercise.slow.as_bytes());
        let results = exercise.results.into_map();
        Ok(Measured { demanded: order.ask.demand, results, output, ..Measured::default() })
    });
}

impl Exercise {
    /// What `work` gave, if it succeeded.
    pub fn step<T>(&mut self, name: impl Display, work: impl FnOnce() -> io::Result<T>) -> Option<T> {
        let name = name.to_string();
        // Of an exerciser that is killed, these lines are all that is known.
        eprintln!("{name}");
        let began = Instant::now();
        let end = work();
        if began.elapsed() >= SLOW {
            let line = format!("{name} took {} ms\n", began.elapsed().as_millis());
            self.slow.push_str(&line);
        }
        match end {
            Ok(value) => {
                self.results.add(&name, WorkResult::Ok);
                Some(value)
            }
            Err(error) => {
                self.fail(&name, &error);
                None
            }
        }
    }

    /// Something that the kernel has to refuse, with whatever error: that it does is what ends well.
    pub fn refused<T>(&mut self, name: impl Display, work: impl FnOnce() -> io::Result<T>) {
        self.step(name, || match work() {
            Ok(_) => Err(io::Error::other("it was accepted")),
            Err(_) => Ok(()),
        });
    }

    /// Records an error and nothing else: of walks over many files, whose good ones would fill the results.
    pub fn fail(&mut self, name: &str, error: &io::Error) {
        let words = errno::describe(error);
        let result = match errno::means_missing(error) {
            true => WorkResult::Skipped(words),
            false => WorkResult::Failed(words),
        };
        self.results.add(name, result);
    }
}
