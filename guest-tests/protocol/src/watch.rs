//! What a campaign lets a guest force and watch: names, files and functions, as plain data. The guest knows no kernel
//! subsystem; what a count means is for the host to judge.

use serde::{Deserialize, Serialize};

/// What is counted and read in every scenario of one boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Files with one number, read before anything is measured.
    pub readings: Vec<String>,
    /// Functions that are looked for in `/proc/kallsyms`.
    pub symbols: Vec<String>,
    pub events: Vec<Event>,
    pub sequences: Vec<Sequence>,
    pub gauges: Vec<Gauge>,
    pub counters: Vec<Counter>,
}

/// Something that the kernel does, counted by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    pub name: String,
    pub source: Source,
    /// A kernel that has this function must be able to show the event; any other may lack what it takes, and the event is
    /// then counted 0 by construction.
    pub needed_with: Option<String>,
    /// Any kernel may lack what it takes. An event that has neither must be shown by every kernel: a name that is nowhere
    /// would count 0 for ever.
    pub optional: bool,
}

/// What an event is seen by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Source {
    /// The function tracer. No function may be inlined; one that a kernel does not have is left out.
    Calls {
        of: Vec<String>,
        /// The callers from which it counts, without a compiler's suffix; from any if there is none.
        from: Vec<String>,
        /// It also counts when a function of this event calls it, in a task that has made this event since the last
        /// [`Sequence::since`].
        inside: Option<String>,
    },
    /// A tracepoint, where its field `func` is this function.
    Tracepoint {
        /// `SYSTEM/EVENT`.
        event: String,
        function: String,
        /// It counts where its field `cpu` is one of [`crate::Measured::bystanders`].
        to_bystanders: bool,
    },
}

/// An event that must not happen before another. How often it did is counted by the name of this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    pub name: String,
    pub event: String,
    /// One of these has to come before it, in the same task.
    pub after: Vec<String>,
    /// And since this function was entered last. Traced too.
    pub since: String,
}

/// A number that an operation raises and lowers again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gauge {
    pub name: String,
    pub file: String,
    /// The first word of its line, with or without a colon; the number is the second word. None: the number is the first
    /// word of the file.
    pub key: Option<String>,
    /// A file that is read before, where the kernel has it: it makes the number exact.
    pub refresh: Option<String>,
}

/// A row of numbers, one for each CPU, that only rise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counter {
    pub name: String,
    pub file: String,
    /// The words that the row ends with, in any case. Not every architecture has it.
    pub row: String,
}

/// What is made to fail (lib/fault-inject.c).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Injection {
    /// Directory below /sys/kernel/debug: `fail_page_alloc`, `failslab`, `fail_usercopy`, `fail_function`.
    pub fault: String,
    /// What this fault has beside the knobs that all have, in order.
    pub settings: Vec<(String, String)>,
    /// Failures have one of these in their call stack: the first that the kernel has.
    pub under: Vec<Place>,
    /// And not this one.
    pub outside: Option<String>,
    pub which: Which,
}

/// A function below which failures are injected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    pub function: String,
    /// Units of work that an operation has to do for each failure here.
    pub work: u64,
}

/// Which of the calls that can fail do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// The next [`crate::Ask::demand`] of them, in tasks that are armed.
    Next,
    /// The one that a task chose for itself (`/proc/thread-self/fail-nth`).
    Nth,
}
