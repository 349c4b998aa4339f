//! What host and guest say to each other, with the one encoder and the one parser that both use.
//!
//! The guest measures and reports; it never judges. Everything here is plain data: this crate touches no
//! file, clock or process, so that host tests can drive it with any bytes.

mod frame;
pub mod kallsyms;
mod number;
// These read hostile bytes: arithmetic must saturate or be checked.
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod parser;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod transcript;
mod unique;
mod watch;

pub use frame::{Encoder, LINE_LIMIT, Nonce};
pub use number::{Impossible, NUMBER_MAX, impossible, sum};
pub use parser::{Parser, Reject, RejectKind};
pub use transcript::{MESSAGE_LIMIT, REJECT_LIMIT, Transcript};
pub use watch::{
    CountedEvent, Counter, EventSource, Gauge, Injection, InjectionPoint, Sequence, Watch, Which,
};

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Path, inside the initramfs, of the [`Request`] as JSON.
pub const REQUEST_PATH: &str = "/request.json";

/// Path, inside the initramfs, of the kernel's symbols as [`kallsyms::table`] makes them.
pub const KALLSYMS_PATH: &str = "/kallsyms";

/// Name of the virtio-serial port that carries results (the console carries only the kernel's own words).
pub const PORT_NAME: &str = "org.patchproof.results";

/// What stands on the console before the reason why the guest's init did not come to its planned end.
pub const INIT_SAYS: &str = "patchproof init: ";

/// Kernel command line key that carries the nonce of this boot.
pub const NONCE_KEY: &str = "patchproof.nonce";

/// What the host asks one boot to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The scenarios to run, in order.
    pub scenarios: Vec<Ask>,
    /// What is counted and read while they run.
    pub watch: Watch,
    /// False turns fault injection off although the demand stays: the run must then come out vacuous.
    pub inject: bool,
    /// Seconds without an RCU grace period, or without a CPU's timer interrupt, after which the guest calls it a
    /// stall or a lockup and panics; None leaves the kernel's own time, and a stall is then only reported. (The kernel takes at least 3, and with PROVE_RCU
    /// adds 5: kernel/rcu/tree_stall.h.)
    pub stall_secs: Option<u32>,
    /// Panic at the first warning, scheduling in atomic context among them: where a splat is all that is wanted,
    /// what a broken kernel does next is of no use.
    pub panic_on_warn: bool,
    /// Send what gcov counted while each scenario ran.
    #[serde(default)]
    pub coverage: bool,
    /// Seconds after which no more of those are begun that are only run if there is time ([`Ask::if_time`]); counted from the
    /// beginning of the first. They are then planned and never begun.
    #[serde(default)]
    pub time_secs: Option<u64>,
}

/// Directory, inside the initramfs, of the scenarios' programs.
pub const SCENARIO_DIR: &str = "/scenarios";

/// One scenario and how much of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Also the name of its program.
    pub name: String,
    /// Failures to inject, or operations to carry out.
    pub demand: u64,
    /// What fails; None: nothing is injected.
    pub inject: Option<Injection>,
    /// Files below /proc or /sys, and what is written to each before the test begins. One that a kernel does not have is
    /// left out. PID 1 writes back what was there.
    pub set: BTreeMap<String, String>,
    /// Go on in rounds for so many seconds (a soak); 0 is one round.
    pub secs: u64,
    /// Its times are to be compared: the host stops all else that it runs as soon as it hears that it begins.
    pub exclusive: bool,
    /// It is no test with counts of its own but a workload: what it does, and how each of that ended, are its results.
    #[serde(default)]
    pub work: Option<Workload>,
    /// It is left out when [`Request::time_secs`] are over, and a sweep ends where its own time is over, whatever it has come to.
    #[serde(default)]
    pub if_time: bool,
    /// It is killed after so many seconds, where that is sooner than it would be in any case.
    #[serde(default)]
    pub within_secs: Option<u64>,
}

/// What a workload runs. Its name is that of the [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Workload {
    /// Nothing: what the kernel has done by then, while it booted.
    Boot,
    /// A program of ours, by the name of the scenario.
    Ours,
    /// A program with its arguments, paths of the guest. It ended well if its status is 0. Lines of its output that are
    /// results in KTAP (Documentation/dev-tools/ktap.rst) are results of the workload.
    Program(Vec<String>),
    /// A KUnit suite that the kernel holds (/sys/kernel/debug/kunit).
    Kunit(String),
    /// A program with its arguments, as [`Workload::Program`], that is run again if it fails.
    Selftest(Vec<String>),
    /// stress-ng with these arguments. It ended well if its status is 0; that it found no resources says nothing.
    Stress(Vec<String>),
    /// A program of ours, with one allocation after the other failing.
    Sweep(Sweep),
    /// Notes what there is of all that has to come back ([`Workload::Leftovers`]).
    Mark,
    /// Looks for what is left behind since the mark: memory that nothing points to, objects that were written to after they
    /// were freed, and numbers that did not come back.
    Leftovers,
}

/// Which allocations fail while a program of ours runs: the first below a function in its first attempt at each step, then the
/// second, and so on until none is left; one in each attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Its name.
    pub program: String,
    /// Of each of these the first function that this kernel has.
    pub under: Vec<Vec<String>>,
    /// What all of it gets.
    pub secs: u64,
}

impl Workload {
    /// What a workload gets before it is killed, in seconds.
    pub const SECS: u64 = 60;

    /// The same of a selftest where it only matters what it executes.
    pub const SELFTEST_SECS: u64 = 20;
}

/// What the guest gives the host for that, and so the longest that the host may take to hear of it.
pub const EXCLUSIVE_AFTER: Duration = Duration::from_millis(100);

/// What PID 1 tells a scenario process, as its one argument in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub ask: Ask,
    /// [`Request::watch`].
    pub watch: Watch,
    /// [`Request::inject`].
    pub inject: bool,
}

/// What a scenario process answers: one line of JSON on its standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Measured(Box<Measured>),
    /// Why it could not be carried out.
    Broken(String),
}

/// One line of the result channel, before framing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// The guest is up: what it runs on.
    Hello(Hello),
    /// The scenarios that will run, in order; the host compares it with its request.
    Plan { scenarios: Vec<String> },
    /// A scenario starts.
    Begin { scenario: String },
    /// It still runs, and PID 1 is well: a long scenario is not silence.
    Alive { scenario: String },
    /// A scenario ran to its end and measured this.
    Measured { scenario: String, measured: Box<Measured> },
    /// A scenario could not be carried out (not: a bad count, which is for the host to judge).
    Broken { scenario: String, why: String },
    /// A piece of what gcov counted while the scenario ran, after the message that it ended with.
    Covered(GcovPiece),
    /// The last line of a boot that came to its planned end.
    Trailer(Trailer),
}

/// A piece of one file of gcov's counts (`/sys/kernel/debug/gcov`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcovPiece {
    pub scenario: String,
    /// Path below that directory.
    pub file: String,
    /// From 0, without a gap; the last one says so.
    pub number: u32,
    pub last: bool,
    /// [`GcovPiece::BYTES`] at most, in base 64.
    pub data: String,
}

impl GcovPiece {
    pub const BYTES: usize = 32 * 1024;
}

/// What the guest runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// `uname -r`.
    pub kernel_release: String,
    /// `/sys/devices/system/cpu/online`, counted.
    pub cpus_online: u32,
    /// Of [`Watch::readings`], the number in each that is there.
    #[serde(deserialize_with = "unique::map")]
    pub readings: BTreeMap<String, u64>,
    /// Which of [`Watch::symbols`] `/proc/kallsyms` lists, with or without a compiler's suffix.
    pub symbols: Vec<String>,
}

/// Everything one scenario measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// The function in whose address range failures were injected (the stack filter's range), by its full name in
    /// kallsyms. None: nothing was injected.
    pub injected_in: Option<String>,
    /// Failures asked for, or operations.
    pub demanded: u64,
    /// Failures injected: how far `times` of the fault went down.
    pub injected: u64,
    /// Operations carried out, where these are what was asked for; 0 in any other scenario.
    pub operations: u64,
    /// CPUs other than the test's that were online all the time; what is sent to these is counted.
    pub bystanders: u32,
    /// The same operation before, with nothing forced.
    pub quiet: Counts,
    /// The operation under force.
    pub forced: Counts,
    /// Of each [`Watch::gauges`], around the forced operation; of a look at what is left behind, of each slab cache with another
    /// number of objects in use than at the mark, by its name.
    #[serde(deserialize_with = "unique::map")]
    pub levels: BTreeMap<String, Level>,
    /// Of each [`Watch::counters`] that this kernel has, its rise over the forced operation: a second signal, never the
    /// count, because all else that the kernel does meanwhile is in it.
    pub rises: BTreeMap<String, u64>,
    /// Trace events overwritten, dropped or lost in a commit, in both operations; not 0 makes the counts
    /// worthless.
    pub lost_events: u64,
    /// The files of [`Ask::set`] that were written: where there is one, what was timed is no time of a kernel as it was
    /// booted.
    pub set: Vec<String>,
    /// Wall time of the quiet and of the forced operation, microseconds.
    pub quiet_micros: u64,
    pub forced_micros: u64,
    pub timings: Vec<Timing>,
    /// What else went on, each with how often: the work of walkers, hotplug cycles, rounds of a soak.
    pub done: Vec<Done>,
    /// Of a workload: how each thing that it did ended, by the name of that.
    #[serde(default, deserialize_with = "unique::map")]
    pub results: BTreeMap<String, WorkResult>,
    /// Of a workload: how many of something it found there, as entries of a directory. Fewer than on another kernel are missed there.
    #[serde(default, deserialize_with = "unique::map")]
    pub found: BTreeMap<String, u64>,
    /// Of a workload: of each system call that its steps make, whether it succeeds there at all.
    #[serde(default, deserialize_with = "unique::map")]
    pub answers: BTreeMap<String, CallAnswers>,
    /// Of a workload: the end of what it printed.
    #[serde(default)]
    pub output: String,
    /// Memory that nothing points to.
    #[serde(default)]
    pub leaks: Vec<Leak>,
}

/// How a system call ended in a step that makes it, perhaps many times, by what says which kind of it (the request of ioctl(), the
/// option of setsockopt(); 0: there is one kind).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallAnswers {
    /// Kinds that succeeded at least once.
    #[serde(default)]
    pub ok: Vec<u32>,
    /// Kinds that never did, by their errors.
    #[serde(default, deserialize_with = "unique::map")]
    pub failed: BTreeMap<String, Vec<u32>>,
}

/// Most slab caches that are told: a kernel has some three hundred.
pub const LEVELS_MAX: usize = 400;

/// Most leaks that are told, and most functions of one.
pub const LEAKS_MAX: usize = 40;
pub const LEAK_FRAMES_MAX: usize = 16;

/// Memory that nothing points to any more (mm/kmemleak.c), all that was allocated in one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leak {
    pub objects: u64,
    pub bytes: u64,
    /// Functions, the innermost first, without offsets.
    pub stack: Vec<String>,
}

/// Most results of one workload, most numbers of what it found, and the longest name of one and text about one, in characters: all
/// of them fit into one line of the channel.
pub const RESULTS_MAX: usize = 400;
pub const FOUND_MAX: usize = 200;
/// Most of [`Measured::answers`], and most kinds in all of them.
pub const ANSWERS_MAX: usize = 600;
pub const ANSWER_KINDS_MAX: usize = 6000;
pub const RESULT_CHARS_MAX: usize = 60;

/// How something that a workload did ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkResult {
    Ok,
    /// It could not be tried here, and why.
    Skipped(String),
    /// With an error, by its name (`ENOMEM`), or in a few words.
    Failed(String),
}

/// A distribution of times, nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// What was timed: `munmap`, `exit`.
    pub what: String,
    /// While failures were injected, or the operation was forced in another way; false: before that.
    pub forced: bool,
    /// Units of work in each sample ([`InjectionPoint::work`]); 0 where that says nothing.
    pub units: u64,
    pub samples: u64,
    pub min: u64,
    pub p25: u64,
    pub median: u64,
    pub p75: u64,
    pub p99: u64,
    pub max: u64,
}

/// Something that was done, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub what: String,
    pub count: u64,
}

/// How often each event of [`Watch::events`] happened, whichever task it happened in, and how often each of
/// [`Watch::sequences`] was broken; by name. Each of them is named, also if it never happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counts(#[serde(deserialize_with = "unique::map")] pub BTreeMap<String, u64>);

impl Counts {
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Saturating.
    pub fn add(&mut self, name: &str, more: u64) {
        let count = self.0.entry(name.to_owned()).or_default();
        *count = count.saturating_add(more);
    }
}

impl std::ops::Add<&Counts> for Counts {
    type Output = Counts;

    /// Saturating.
    fn add(mut self, other: &Counts) -> Counts {
        other.0.iter().for_each(|(name, more)| Counts::add(&mut self, name, *more));
        self
    }
}

/// A gauge at three moments: before the operation was prepared, when all that it will give back was there, and after it
/// was over and RCU had done its part. A little difference is the process that measures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    pub before: u64,
    pub peak: u64,
    pub after: u64,
}

/// The planned end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trailer {
    /// Scenarios that reported `measured`.
    pub measured: u32,
    /// `/proc/sys/kernel/tainted`.
    pub tainted: u64,
}
