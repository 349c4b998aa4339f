//! What a finding rests on. The header of a control names one of these, so that "caught" means: the judge would
//! have failed a patch with this bug, and by this evidence.

use crate::splat;

/// What a finding rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Witness {
    /// Something is missing or cannot be trusted; never evidence of a bug.
    Gap,
    /// The compiler refused the source.
    Build,
    /// The guest stopped, or did not stop.
    End,
    /// A block on the console; the file is the one its headline names, the stack has the functions below it.
    Splat { kind: splat::Kind, file: Option<String>, stack: Vec<String> },
    /// `/proc/sys/kernel/tainted`.
    Taint,
    /// Under injection, this mechanism ran more or less often than once per failure.
    Count { mechanism: Counted, scenario: String },
    /// With injection off, this mechanism ran at all.
    Quiet { mechanism: Counted, scenario: String },
    /// Page tables were freed before anything was waited for that protects their walkers.
    Order { scenario: String },
    /// Page tables were not freed.
    Tables { scenario: String },
    /// Something that a guest test counts by itself was not done as often as it has to be.
    Done { what: String, scenario: String },
}

/// A field of [`protocol::Counts`] that a mechanism decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Ipi,
    BystanderIpis,
    RcuSync,
    CallRcu,
    Expedited,
    DirectFrees,
}

impl Counted {
    pub const ALL: [Counted; 6] = [
        Counted::Ipi,
        Counted::BystanderIpis,
        Counted::RcuSync,
        Counted::CallRcu,
        Counted::Expedited,
        Counted::DirectFrees,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Counted::Ipi => "ipi",
            Counted::BystanderIpis => "bystander_ipis",
            Counted::RcuSync => "rcu_sync",
            Counted::CallRcu => "call_rcu",
            Counted::Expedited => "expedited",
            Counted::DirectFrees => "direct_frees",
        }
    }

    pub fn of(self, counts: &protocol::Counts) -> u64 {
        match self {
            Counted::Ipi => counts.ipi,
            Counted::BystanderIpis => counts.bystander_ipis,
            Counted::RcuSync => counts.rcu_sync,
            Counted::CallRcu => counts.call_rcu,
            Counted::Expedited => counts.expedited,
            Counted::DirectFrees => counts.direct_frees,
        }
    }
}
