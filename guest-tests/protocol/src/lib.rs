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

pub use frame::{Encoder, LINE_LIMIT, Nonce};
pub use number::{Impossible, NUMBER_MAX, impossible, sum};
pub use parser::{Parser, Reject, RejectKind};
pub use transcript::{MESSAGE_LIMIT, REJECT_LIMIT, Transcript};

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
    /// False turns fault injection off although the demand stays: the run must then come out vacuous.
    pub inject: bool,
    /// Seconds without an RCU grace period, or without a CPU's timer interrupt, after which the guest calls it a
    /// stall or a lockup and panics; None leaves the kernel's own time, and a stall is then only reported. (The kernel takes at least 3, and with PROVE_RCU
    /// adds 5: kernel/rcu/tree_stall.h.)
    pub stall_secs: Option<u32>,
    /// Panic at the first warning, scheduling in atomic context among them: where a splat is all that is wanted,
    /// nobody waits for what a broken kernel does next.
    pub panic_on_warn: bool,
}

/// Directory, inside the initramfs, of the scenarios' programs.
pub const SCENARIO_DIR: &str = "/scenarios";

/// One scenario and how much of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Also the name of its program.
    pub name: String,
    /// Failed batch allocations to force; of a scenario that shows that a mechanism is kept, operations that use it.
    pub demand: u64,
    /// Go on in rounds for so many seconds (a soak); 0 is one round.
    pub secs: u64,
    /// Its times are to be compared: the host stops whatever else it runs as soon as it hears that it begins.
    pub alone: bool,
}

/// What the guest gives the host for that, and so the longest that the host may take to hear of it.
pub const ROOM: Duration = Duration::from_millis(100);

/// What PID 1 tells a scenario process, as its one argument in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub ask: Ask,
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
    /// The last line of a boot that came to its planned end.
    Trailer(Trailer),
}

/// What the guest runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// `uname -r`.
    pub kernel_release: String,
    /// `/sys/devices/system/cpu/online`, counted.
    pub cpus_online: u32,
    /// `/sys/kernel/rcu_expedited`: not 0 means grace periods are made of IPIs and the counts mean nothing.
    pub rcu_expedited: u64,
    /// Which of the functions of interest `/proc/kallsyms` lists, with or without a compiler's suffix.
    pub symbols: Vec<String>,
}

/// Everything one scenario measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// The function in whose address range allocation failures were injected (the stack filter's range), by
    /// its full name in kallsyms: `tlb_remove_table`, or where the kernel has no such function (no
    /// MMU_GATHER_RCU_TABLE_FREE) the one that allocates page batches. None: nothing was injected.
    pub injected_in: Option<String>,
    /// Failures asked for, or operations.
    pub demanded: u64,
    /// Failures injected: how far `times` of `fail_page_alloc` went down.
    pub injected: u64,
    /// Operations carried out that use a mechanism which the patch must not change; 0 in any other scenario.
    pub operations: u64,
    /// CPUs other than the victim's that were online all the time, and whose IPIs are therefore counted.
    pub bystanders: u32,
    /// The same operation before, with nothing forced.
    pub quiet: Counts,
    /// The operation under force.
    pub forced: Counts,
    /// The forced operation's tables: before they were made, when they were all there, and after the operation
    /// was over and RCU had done its part. A page or two of difference is the scenario process itself.
    pub page_tables: PageTables,
    /// Trace events overwritten, dropped or lost in a commit, in both operations; not 0 makes the counts
    /// worthless.
    pub lost_events: u64,
    /// Rise of `CAL` in /proc/interrupts over the forced operation, by CPU: a second witness, never the count
    /// (RCU's own wake-ups are in it, so that waiting for grace periods raises it too).
    pub cross_calls: Vec<u64>,
    /// How long a grace period was in either operation.
    pub grace_periods: GracePeriods,
    /// Wall time of the quiet and of the forced operation, microseconds.
    pub quiet_micros: u64,
    pub forced_micros: u64,
    /// What was timed under force; with `, nothing forced` behind its name, what was timed before.
    pub timings: Vec<Timing>,
    /// What else went on, each with how often: the work of walkers, hotplug cycles, rounds of a soak.
    pub done: Vec<Done>,
}

/// When RCU looks whether a grace period is over (`rcutree.jiffies_till_first_fqs`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GracePeriods {
    /// As the kernel was booted.
    #[default]
    AsBooted,
    /// At once: what was timed says nothing about what a grace period costs.
    Hurried,
}

/// A distribution of times, nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// What was timed: `munmap`, `exit`.
    pub what: String,
    /// Page tables that each sample freed; 0 where that says nothing.
    pub tables: u64,
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

/// How often each mechanism ran because of the path under test, whichever task it ran in. A mechanism whose
/// function the kernel does not have (see [`Hello::symbols`]) counts 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Broadcasts: calls of `smp_call_function` from the fallback (function tracer).
    pub ipi: u64,
    /// `csd:csd_queue_cpu` events carrying `tlb_remove_table_smp_sync`, to CPUs other than the victim's.
    pub bystander_ipis: u64,
    /// Calls of `synchronize_rcu` from the fallback (function tracer).
    pub rcu_sync: u64,
    /// Executions of `__tlb_remove_table_one_rcu`, the RCU callback of the PT_RECLAIM branch
    /// (`rcu:rcu_invoke_callback` events: declared `inline`, it is hidden from the function tracer).
    pub call_rcu: u64,
    /// Calls of `synchronize_rcu_expedited` by the fallback or by a `synchronize_rcu` (function tracer): such a
    /// grace period is made of IPIs.
    pub expedited: u64,
    /// Page tables freed by the fallback itself, not by a callback: calls of `__free_pages` (function tracer).
    pub direct_frees: u64,
    /// Of [`Counts::direct_frees`], those before which the same call of `tlb_remove_table` had neither sent a
    /// broadcast nor waited for a grace period.
    pub unsynced_frees: u64,
}

impl std::ops::Add for Counts {
    type Output = Counts;

    /// Saturating.
    fn add(self, other: Counts) -> Counts {
        let Counts { ipi, bystander_ipis, rcu_sync, call_rcu, expedited, direct_frees, unsynced_frees } =
            other;
        Counts {
            ipi: self.ipi.saturating_add(ipi),
            bystander_ipis: self.bystander_ipis.saturating_add(bystander_ipis),
            rcu_sync: self.rcu_sync.saturating_add(rcu_sync),
            call_rcu: self.call_rcu.saturating_add(call_rcu),
            expedited: self.expedited.saturating_add(expedited),
            direct_frees: self.direct_frees.saturating_add(direct_frees),
            unsynced_frees: self.unsynced_frees.saturating_add(unsynced_frees),
        }
    }
}

/// `nr_page_table_pages` of /proc/vmstat, folded over all CPUs, at three moments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageTables {
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
