//! A control: one bug in the patched code, described by what it does to functions and calls, and the evidence that must
//! expose it. A control caught by anything else is not caught.

mod place;
mod plant;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use place::{CSources, Place, Search};
pub use plant::Deed;

use crate::host::yaml;
use crate::subject::Subject;
use crate::subject::signal::Signal;
use console::splat;
use failure::{Failure, Result};

/// What a file in `patches/controls/` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    pub name: String,
    /// The bug, one line.
    pub plants: String,
    pub signal: WantedSignal,
    /// What it does to the code.
    pub bug: Box<Deed>,
    /// The version of the patch that it is planted in; none: the patch under test.
    pub on: Option<String>,
    /// The name of its arm: its own, and that of the version.
    pub arm: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawControl {
    plants: String,
    signal: String,
    bug: Box<Deed>,
}

/// The one kind of evidence that counts as catching a control. A scenario, where one is named, must be the only
/// one that shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WantedSignal {
    /// A splat of this kind, whose headline names this source file, or whose stack this function, if one is given.
    Splat { kind: splat::Kind, file: Option<String>, under: Option<String> },
    /// Under injection, this event did not happen as often as the failures account for.
    Count { event: String, scenario: Option<String> },
    /// With injection off, this event happened.
    Quiet { event: String, scenario: Option<String> },
    /// This order was broken.
    Order { order: String, scenario: Option<String> },
    /// This gauge did not come back.
    Gauge { gauge: String, scenario: Option<String> },
    /// Something that a guest test counts by itself.
    Done { what: String, scenario: Option<String> },
    /// The kernel does not compile.
    Build,
    /// The guest stopped before its end.
    End,
}

impl WantedSignal {
    /// `signal` is the evidence meant.
    pub fn is(&self, signal: &Signal) -> bool {
        self.scenario_fits(signal, |wanted, seen| wanted.is_none_or(|wanted| wanted == seen))
    }

    /// `signal` is of the kind meant, but from a scenario that must not show it.
    pub fn is_elsewhere(&self, signal: &Signal) -> bool {
        self.scenario_fits(signal, |wanted, seen| wanted.is_some_and(|wanted| wanted != seen))
    }

    /// What it names of a subject: an event, an order or a gauge.
    pub fn of_subject(&self) -> Option<&str> {
        match self {
            WantedSignal::Count { event: name, .. }
            | WantedSignal::Quiet { event: name, .. }
            | WantedSignal::Order { order: name, .. }
            | WantedSignal::Gauge { gauge: name, .. } => Some(name),
            WantedSignal::Splat { .. }
            | WantedSignal::Done { .. }
            | WantedSignal::Build
            | WantedSignal::End => None,
        }
    }

    /// The subject has what it names.
    pub fn is_known_to(&self, subject: &Subject) -> bool {
        match self {
            WantedSignal::Count { event, .. } | WantedSignal::Quiet { event, .. } => subject.has_event(event),
            WantedSignal::Order { order, .. } => subject.order.iter().any(|known| known.name == *order),
            WantedSignal::Gauge { gauge, .. } => subject.gauges.iter().any(|known| known.name == *gauge),
            WantedSignal::Splat { .. }
            | WantedSignal::Done { .. }
            | WantedSignal::Build
            | WantedSignal::End => true,
        }
    }

    /// The scenario that alone must show it.
    pub fn scenario(&self) -> Option<&str> {
        match self {
            WantedSignal::Count { scenario, .. }
            | WantedSignal::Quiet { scenario, .. }
            | WantedSignal::Order { scenario, .. }
            | WantedSignal::Gauge { scenario, .. }
            | WantedSignal::Done { scenario, .. } => scenario.as_deref(),
            WantedSignal::Splat { .. } | WantedSignal::Build | WantedSignal::End => None,
        }
    }

    fn scenario_fits(&self, signal: &Signal, fits: impl Fn(Option<&str>, &str) -> bool) -> bool {
        match (self, signal) {
            (WantedSignal::Splat { kind, file, under }, Signal::Splat { kind: seen, file: at, stack }) => {
                let in_stack = |function: &String| stack.contains(function);
                let here = (file.is_none() || file == at) && under.as_ref().is_none_or(in_stack);
                kind == seen && here && fits(None, "")
            }
            (WantedSignal::Count { event, scenario }, Signal::Count { event: seen, scenario: at })
            | (WantedSignal::Quiet { event, scenario }, Signal::Quiet { event: seen, scenario: at })
            | (WantedSignal::Order { order: event, scenario }, Signal::Order { order: seen, scenario: at })
            | (WantedSignal::Gauge { gauge: event, scenario }, Signal::Gauge { gauge: seen, scenario: at }) => {
                event == seen && fits(scenario.as_deref(), at)
            }
            (WantedSignal::Done { what, scenario }, Signal::Done { what: seen, scenario: at }) => {
                what == seen && fits(scenario.as_deref(), at)
            }
            (WantedSignal::Build, Signal::Build) | (WantedSignal::End, Signal::End) => fits(None, ""),
            _ => false,
        }
    }
}

impl std::fmt::Display for WantedSignal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = |scenario: &Option<String>| {
            scenario.as_ref().map(|name| format!(" in {name}")).unwrap_or_default()
        };
        match self {
            WantedSignal::Splat { kind, file: Some(file), .. } => {
                write!(f, "splat {} at {file}", kind.name())
            }
            WantedSignal::Splat { kind, under: Some(function), .. } => {
                write!(f, "splat {} under {function}()", kind.name())
            }
            WantedSignal::Splat { kind, file: None, under: None } => write!(f, "splat {}", kind.name()),
            WantedSignal::Count { event, scenario } => write!(f, "count {event}{}", place(scenario)),
            WantedSignal::Quiet { event, scenario } => write!(f, "quiet {event}{}", place(scenario)),
            WantedSignal::Order { order, scenario } => write!(f, "order {order}{}", place(scenario)),
            WantedSignal::Gauge { gauge, scenario } => write!(f, "gauge {gauge}{}", place(scenario)),
            WantedSignal::Done { what, scenario } => write!(f, "done {what}{}", place(scenario)),
            WantedSignal::Build => write!(f, "build"),
            WantedSignal::End => write!(f, "end"),
        }
    }
}

impl Control {
    /// Reads the description of control `name`.
    ///
    /// # Errors
    /// When it is not valid, with file and line; when it does not say one thing to do, or names evidence that is not
    /// known.
    pub fn parse(name: &str, path: &Path, text: &str) -> Result<Control> {
        let RawControl { plants, signal, bug } = yaml::parse(path, text)?;
        let signal = wanted_signal(&signal).ok_or_else(|| {
            Failure::usage(format!("{}: cannot read `signal: {signal}`", path.display()))
                .next("write `splat KIND [at FILE]`, `splat KIND under FUNCTION`, `count EVENT [in SCENARIO]`, `quiet EVENT [in SCENARIO]`, `order NAME [in SCENARIO]`, `gauge NAME [in SCENARIO]`, `done WHAT [in SCENARIO]`, `build` or `end`")
                .next(format!("kinds: {}", splat::Kind::all_names().join(", ")))
        })?;
        if !bug.is_clear() {
            return Err(Failure::usage(format!("{}: `bug` does not say one thing to do", path.display()))
                .next("write `before` and `after`, or one of `instead`, `remove`, `only-if`, `expression`, `condition`, `move-behind`"));
        }
        Ok(Control { name: name.to_owned(), arm: name.to_owned(), plants, signal, bug, on: None })
    }

    /// The same bug, planted in another version of the patch.
    #[must_use]
    pub fn on(&self, version: Option<&str>) -> Control {
        let arm = match version {
            Some(version) => format!("{}-{version}", self.name),
            None => self.name.clone(),
        };
        Control { on: version.map(str::to_owned), arm, ..self.clone() }
    }
}

fn wanted_signal(text: &str) -> Option<WantedSignal> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (words, place) = match words.as_slice() {
        ["splat", kind, "under", function] => {
            let under = Some(function.trim_end_matches("()").to_owned());
            return Some(WantedSignal::Splat { kind: splat::Kind::from_name(kind)?, file: None, under });
        }
        [words @ .., "in" | "at", place] => (words, Some((*place).to_owned())),
        words => (words, None),
    };
    match *words {
        ["splat", kind] => {
            Some(WantedSignal::Splat { kind: splat::Kind::from_name(kind)?, file: place, under: None })
        }
        ["count", event] => Some(WantedSignal::Count { event: event.to_owned(), scenario: place }),
        ["quiet", event] => Some(WantedSignal::Quiet { event: event.to_owned(), scenario: place }),
        ["order", order] => Some(WantedSignal::Order { order: order.to_owned(), scenario: place }),
        ["gauge", gauge] => Some(WantedSignal::Gauge { gauge: gauge.to_owned(), scenario: place }),
        ["done", what] => Some(WantedSignal::Done { what: what.to_owned(), scenario: place }),
        ["build"] if place.is_none() => Some(WantedSignal::Build),
        ["end"] if place.is_none() => Some(WantedSignal::End),
        _ => None,
    }
}
