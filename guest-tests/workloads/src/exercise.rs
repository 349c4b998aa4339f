//! The outside of an exerciser: a list of steps, each of which may end in an error, which is a result and no end of it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use kit::scenario;
use protocol::{Done, FOUND_MAX, Measured, Order, Sweep, WorkResult, Workload};

use crate::answers::{self, Answers};
use crate::errno;
use crate::results::{self, Results};
use crate::runner;
use crate::sweep::FunctionSweep;
use crate::walk;

/// Whether faults of programs are printed.
const TELLS_FAULTS: &str = "/proc/sys/debug/exception-trace";

/// A step that takes so long is named.
const SLOW: Duration = Duration::from_millis(200);

/// What the rounds of one exerciser may take behind the first one, and how many there are at most.
const AGAIN: Duration = Duration::from_secs(2);
const AGAIN_MAX: u32 = 20;

/// Rounds of one function: what a step bore in one, its next failure may not be borne in the next.
const ROUNDS_MAX: u32 = 6;

/// What was tried, and how each of it ended.
#[derive(Debug, Default)]
pub struct Exercise {
    results: Results,
    found: BTreeMap<String, u64>,
    answers: Answers,
    /// The steps that took long, and how long.
    slow: String,
    sweep: Option<FunctionSweep>,
    /// No step is begun after that: what it would end in is compared with nothing.
    ends: Option<Instant>,
    /// The step that is carried out may be done again after it was done.
    again: bool,
}

/// Carries out the exerciser that is this process, and answers.
pub fn run(work: impl Fn(&mut Exercise)) {
    scenario::run(|order: &Order| {
        runner::use_all_cpus();
        // The guest has no modules, and to start a program that says so takes time, as often as something is asked for that
        // the kernel has not (kernel/module/kmod.c, __request_module()).
        let _ = std::fs::write("/proc/sys/kernel/modprobe", "\n");
        // Steps that touch memory which is not there are told by their results, not by the kernel's log (arch/x86/mm/fault.c,
        // show_signal_msg()).
        let told = std::fs::read(TELLS_FAULTS);
        let _ = std::fs::write(TELLS_FAULTS, "0\n");
        let mut exercise = Exercise::default();
        let done = match &order.ask.work {
            Some(Workload::Sweep(sweep)) => {
                exercise.ends = order.ask.if_time.then(|| Instant::now() + Duration::from_secs(sweep.secs));
                exercise.sweep(sweep, &work)?
            }
            _ => {
                let began = Instant::now();
                answers::begin().map_err(|error| format!("memory to note what calls end in: {error}"))?;
                work(&mut exercise);
                answers::end();
                if !order.ask.if_time {
                    again(began.elapsed(), &work);
                }
                Vec::new()
            }
        };
        if let Ok(told) = told {
            let _ = std::fs::write(TELLS_FAULTS, told);
        }
        let injected = done.iter().map(|done: &Done| done.count).sum();
        let output = results::end_of_output(exercise.slow.as_bytes());
        let (results, found) = (exercise.results.into_map(), exercise.found);
        let answers = exercise.answers.into_map();
        Ok(Measured {
            demanded: order.ask.demand,
            injected,
            done,
            results,
            found,
            answers,
            output,
            ..Measured::default()
        })
    });
}

/// Carries out what took so long once more, and again as long as there is time for it: what is lost in each round is lost often
/// enough to be seen. What the first round ended in is the result.
fn again(took: Duration, work: &impl Fn(&mut Exercise)) {
    let until = Instant::now() + AGAIN;
    let mut rounds = 1;
    while rounds < AGAIN_MAX && Instant::now() + took < until {
        work(&mut Exercise::default());
        rounds += 1;
    }
}

impl Exercise {
    /// Function by function, in rounds until everything failed once or the time is over. Of a result that differs from round to
    /// round the worst counts.
    fn sweep(&mut self, sweep: &Sweep, work: &impl Fn(&mut Exercise)) -> Result<Vec<Done>, String> {
        let kallsyms = kit::kallsyms::load()?;
        let until = Instant::now() + Duration::from_secs(sweep.secs);
        let mut done = Vec::new();
        for names in &sweep.under {
            // An inlined function has no range, nor have its callers then.
            let Ok(function) = FunctionSweep::prepare(&kallsyms, names, until) else { continue };
            self.sweep = Some(function);
            for _ in 0..ROUNDS_MAX {
                let before = std::mem::take(&mut self.results);
                self.sweep.iter_mut().for_each(FunctionSweep::begin_round);
                work(self);
                self.results.worsen(before);
                if !self.sweep.as_ref().is_some_and(FunctionSweep::goes_on) {
                    break;
                }
            }
            if let Some(function) = self.sweep.take() {
                done.push(Done { what: function.function, count: function.injected });
            }
            if Instant::now() >= until {
                break;
            }
        }
        Ok(done)
    }

    /// A step whose end is no result: one of many that are alike.
    pub fn untold<T>(
        &mut self,
        name: impl Display,
        mut work: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        if self.ends.is_some_and(|ends| Instant::now() >= ends) {
            return Err(io::Error::from_raw_os_error(libc::ETIME));
        }
        match &mut self.sweep {
            Some(sweep) => sweep.step(&name.to_string(), self.again, &mut work),
            None => work(),
        }
    }

    /// The step `name` once more, as one that is not tried again in the same place; only where failures come in that step.
    pub fn given_up(&mut self, name: &str, work: impl FnMut() -> io::Result<()>) {
        if self.sweep.as_ref().is_some_and(|sweep| sweep.has_failed(name)) {
            self.step(format!("{name}, given up"), work);
        }
    }

    /// Whether failures are forced.
    pub fn is_sweep(&self) -> bool {
        self.sweep.is_some()
    }

    /// Whether the lines of the batch `name` are to be steps of their own, because failures can come in them.
    pub fn is_swept_in(&self, name: &str) -> bool {
        self.sweep.as_ref().is_some_and(|sweep| sweep.is_swept_in(name))
    }

    /// Carries out a program that does many steps at once. No failure is forced in it: only looked for whether one could be.
    pub fn watch_batch<T>(&mut self, name: &str, mut work: impl FnMut() -> T) -> T {
        match &mut self.sweep {
            Some(sweep) => sweep.watch_batch(name, &mut work),
            None => work(),
        }
    }

    /// What a step gave that was carried out by others.
    pub fn note(&mut self, name: &str, end: io::Result<()>) {
        match end {
            Ok(()) => self.results.add(name, WorkResult::Ok),
            Err(error) => self.fail(name, &error),
        }
    }

    /// How many of `what` there are. Where failures are forced that says nothing.
    pub fn found(&mut self, what: &str, count: usize) {
        if self.sweep.is_none() && self.found.len() < FOUND_MAX {
            self.found.insert(results::name(what), count as u64);
        }
    }

    /// What `work` gave, if it succeeded. It is called more than once where allocations are made to fail.
    pub fn step<T>(&mut self, name: impl Display, work: impl FnMut() -> io::Result<T>) -> Option<T> {
        let name = name.to_string();
        // Of an exerciser that is killed, these lines are all that is known.
        eprintln!("{name}");
        let began = Instant::now();
        let end = self.untold(&name, work);
        self.answers.take(&name);
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

    /// Writes an attribute, a file of sysfs, configfs or the like. That can be done again, and what fails leaves what was there.
    pub fn set(&mut self, name: impl Display, path: impl AsRef<Path>, value: &[u8]) {
        let (name, path) = (name.to_string(), path.as_ref());
        if self.sweep.is_none() {
            self.step(&name, || walk::write(path, value));
            return;
        }
        let mut is_kept = true;
        self.again = true;
        self.step(&name, || {
            let before = fs::read(path);
            let end = walk::write(path, value);
            if let (Err(_), Ok(before)) = (&end, before) {
                is_kept &= fs::read(path).is_ok_and(|after| after == before);
            }
            end
        });
        self.again = false;
        let result = if is_kept { WorkResult::Ok } else { WorkResult::Failed("it changed".to_owned()) };
        self.results.add(&format!("{name}: as it was after a write that failed"), result);
    }

    /// Something that the kernel has to refuse, with whatever error: that it does is what ends well.
    pub fn refused<T>(&mut self, name: impl Display, mut work: impl FnMut() -> io::Result<T>) {
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
