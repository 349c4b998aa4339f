//! What a finding rests on. The header of a control names one of these, so that "caught" means: the judge would
//! have failed a patch with this bug, and by this evidence.

use console::splat;

/// What a finding rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
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
    /// Under injection, this event of the subject happened more or less often than the failures account for.
    Count { event: String, scenario: String },
    /// With injection off, this event happened at all.
    Quiet { event: String, scenario: String },
    /// This order of the subject was broken.
    Order { order: String, scenario: String },
    /// This gauge of the subject did not come back.
    Gauge { gauge: String, scenario: String },
    /// Memory that nothing points to, by the functions that allocated it.
    Leak { stack: Vec<String> },
    /// Something that a guest test counts by itself was not done as often as it has to be.
    Done { what: String, scenario: String },
}

impl Signal {
    /// Two kernels have the same trouble: splats of one kind at one file, whatever led there.
    pub fn is_same_trouble(&self, other: &Signal) -> bool {
        match (self, other) {
            (Signal::Splat { kind, file, .. }, Signal::Splat { kind: other, file: at, .. }) => {
                kind == other && file == at
            }
            _ => self == other,
        }
    }
}
