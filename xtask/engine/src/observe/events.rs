//! What the runner says while it works. It knows nothing of who listens.

use std::sync::mpsc::Sender;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The run as a whole, for instance where the source came from.
    Note(String),
    /// A passing word about the run as a whole, such as how far a download is.
    Status(String),
    /// The cells that will run, in build order.
    Planned(Vec<String>),
    /// A cell entered a stage.
    Stage { cell: String, stage: Stage },
    /// What a cell does within its stage.
    Doing { cell: String, what: String },
    /// A cell is done: whether it is as it should be, and a line about it.
    Finished { cell: String, good: bool, line: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    WaitsForBuildDir,
    Build,
    WaitsForBoot,
    Boot,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Stage::WaitsForBuildDir => "waits for its build directory",
            Stage::Build => "build",
            Stage::WaitsForBoot => "waits for a boot",
            Stage::Boot => "boot",
        }
    }
}

/// Where events go; cheap to clone, one for each thread.
#[derive(Debug, Clone)]
pub struct Events(Sender<Event>);

impl Events {
    pub fn new(sender: Sender<Event>) -> Self {
        Events(sender)
    }

    /// Nobody listening is no reason to stop.
    pub fn send(&self, event: Event) {
        let _ = self.0.send(event);
    }

    pub fn note(&self, text: impl Into<String>) {
        self.send(Event::Note(text.into()));
    }
}
