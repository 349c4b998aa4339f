//! The subject of a campaign: what is forced, what is counted and read, and what one failure has to lead to, in terms
//! that any kernel can be asked. Data: what a subject is about is known to its YAML file and to its own guest tests.

pub mod c_source;
pub mod control;
pub mod kconfig;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::disallowed_methods))]
pub mod signal;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use protocol::{
    CountedEvent, Counter, Counts, EventSource, Gauge, Injection, InjectionPoint, Sequence, Watch, Which,
};
use serde::{Deserialize, Serialize};

use crate::host::input;
use crate::host::yaml::{check_name, parse};
use failure::{Failure, Result};

/// A subject whose names are unique and whose references are there. Empty for a campaign that only counts by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// What an injected failure leads to, as the report calls it.
    #[serde(default)]
    pub failure: String,
    /// What an operation does one of for each failure, as the report calls it.
    #[serde(default)]
    pub unit: String,
    /// Files and what is written to them before each test.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    #[serde(default)]
    pub readings: Vec<Reading>,
    #[serde(default)]
    pub inject: Vec<NamedInjection>,
    #[serde(default)]
    pub events: Vec<NamedEvent>,
    #[serde(default)]
    pub order: Vec<EventOrder>,
    #[serde(default)]
    pub gauges: Vec<NamedGauge>,
    #[serde(default)]
    pub counters: Vec<NamedCounter>,
    #[serde(default)]
    pub outcomes: Vec<Outcome>,
    #[serde(default)]
    pub questions: Vec<Question>,
}

/// A number that has to be as it is here, or the run shows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    pub file: String,
    pub is: u64,
    /// What it means when it is not.
    pub otherwise: String,
}

/// See [`Injection`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedInjection {
    pub name: String,
    /// The one above that gives what is not said here.
    pub like: Option<String>,
    pub fault: Option<String>,
    pub settings: Option<Vec<(String, String)>>,
    pub under: Option<Vec<NamedFunction>>,
    pub outside: Option<String>,
    pub which: Option<Which>,
}

/// See [`InjectionPoint`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedFunction {
    pub function: String,
    #[serde(default = "one")]
    pub work: u64,
}

fn one() -> u64 {
    1
}

/// See [`CountedEvent`]. It has either `calls` or `tracepoint` and `function`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedEvent {
    pub name: String,
    /// As an answer calls it.
    pub title: String,
    /// In the table of tests.
    #[serde(default)]
    pub shown: bool,
    /// Its row in the table of effects.
    pub effect: Option<String>,
    #[serde(default)]
    pub calls: Vec<String>,
    #[serde(default)]
    pub from: Vec<String>,
    pub inside: Option<String>,
    pub tracepoint: Option<String>,
    pub function: Option<String>,
    #[serde(default)]
    pub to_bystanders: bool,
    pub needed_with: Option<String>,
    #[serde(default)]
    pub optional: bool,
}

/// See [`Sequence`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventOrder {
    pub name: String,
    pub event: String,
    pub after: Vec<String>,
    pub since: String,
    /// What it means when it was broken.
    pub broken: String,
}

/// See [`Gauge`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedGauge {
    pub name: String,
    pub title: String,
    pub file: String,
    pub key: Option<String>,
    pub refresh: Option<String>,
    /// How much of it one failure holds and has to give back.
    pub each: u64,
}

/// See [`Counter`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedCounter {
    pub name: String,
    pub title: String,
    pub file: String,
    pub row: String,
}

/// What one failure, or one operation, leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    pub name: String,
    pub about: String,
    /// How often each event happens for it; any other does not.
    #[serde(default)]
    pub each: BTreeMap<String, PerEach>,
    /// The events of which the most frequent says how often it was reached.
    #[serde(default)]
    pub reached_by: Vec<String>,
    /// The kernel has none of these functions: failures are injected, and nothing follows.
    #[serde(default)]
    pub absent: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PerEach {
    Times(u64),
    Word(PerWord),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PerWord {
    /// Once to every CPU whose events are counted.
    Bystanders,
}

impl PerEach {
    pub fn of(self, count: u64, bystanders: u32) -> u64 {
        match self {
            PerEach::Times(times) => count.saturating_mul(times),
            PerEach::Word(PerWord::Bystanders) => count.saturating_mul(u64::from(bystanders)),
        }
    }
}

/// What the report answers first. It has one of `takes`, `stops` and `costs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    pub ask: String,
    /// Every failure on the patched arm led to what the variant expects of it.
    pub takes: Option<Takes>,
    /// This event, there on the base, is gone on the patched arm.
    pub stops: Option<String>,
    /// A counter that is told with it.
    pub beside: Option<String>,
    pub costs: Option<Costs>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Takes {
    Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Costs {
    Time,
}

impl Outcome {
    /// How often it was reached, where that is not known beforehand.
    pub fn reached(&self, counts: &Counts) -> u64 {
        self.reached_by.iter().map(|event| counts.get(event)).max().unwrap_or(0)
    }
}

impl Subject {
    /// `name` is that of a file in `subjects`, beside the campaign or below `configs`.
    ///
    /// # Errors
    /// When it is not there, or not valid: with file and line.
    pub fn load(campaign: &Path, configs: &Path, name: &str) -> Result<Subject> {
        let file = Path::new("subjects").join(format!("{name}.yaml"));
        // A campaign of the user's own may bring its own subject.
        let beside = campaign.with_file_name(&file);
        let path = if beside.exists() { beside } else { configs.join(&file) };
        if !path.exists() {
            return Err(Failure::usage(format!("no subject `{name}`"))
                .because(format!("there is no {}", input::shown(&path))));
        }
        let text = input::CONFIG.read_text(&path)?;
        let subject: Subject = parse(&path, &text)?;
        subject.check(&path, &text)?;
        Ok(subject)
    }

    fn check(&self, path: &Path, text: &str) -> Result<()> {
        let bad = |at: &str, why: String| Err(refusal(path, text, at, &why));
        let mut seen = BTreeSet::new();
        for name in self.names() {
            check_name(path, "part of a subject", name)?;
            if !seen.insert(name) {
                return bad(name, format!("`{name}` is there twice"));
            }
        }
        for event in &self.events {
            let calls = !event.calls.is_empty();
            if calls == event.tracepoint.is_some() || event.tracepoint.is_some() != event.function.is_some() {
                return bad(
                    &event.name,
                    format!("event `{}` needs either `calls` or `tracepoint` and `function`", event.name),
                );
            }
            let is_other = |other: &&NamedEvent| other.tracepoint.is_some() && other.name != event.name;
            if self.events.iter().filter(is_other).any(|other| other.tracepoint == event.tracepoint) {
                return bad(&event.name, format!("event `{}` has the tracepoint of another", event.name));
            }
        }
        // A name of it that is nowhere counts 0: some variant has to expect more.
        let may_lack = |event: &&NamedEvent| event.optional || event.needed_with.is_some();
        let is_wanted =
            |event: &NamedEvent| self.outcomes.iter().any(|outcome| outcome.each.contains_key(&event.name));
        if let Some(event) = self.events.iter().filter(may_lack).find(|event| !is_wanted(event)) {
            let why = "a kernel may lack it, and no outcome wants it: a wrong name would never show";
            return bad(&event.name, format!("event `{}`: {why}", event.name));
        }
        if let Some(gauge) = self.gauges.iter().find(|gauge| gauge.each == 0) {
            return bad(
                &gauge.name,
                format!("gauge `{}` has `each: 0`: it could not tell anything", gauge.name),
            );
        }
        if let Some((user, unknown)) = self.event_references().find(|(_, event)| !self.has_event(event)) {
            return bad(unknown, format!("`{user}` names `{unknown}`, which is no event here"));
        }
        for question in &self.questions {
            let kinds = [question.takes.is_some(), question.stops.is_some(), question.costs.is_some()];
            if kinds.into_iter().filter(|kind| *kind).count() != 1 {
                return bad(&question.ask, "a question needs one of `takes`, `stops` and `costs`".to_owned());
            }
            let known = |name: &String| self.counters.iter().any(|counter| counter.name == *name);
            if let Some(unknown) = question.beside.as_ref().filter(|name| !known(name)) {
                return bad(unknown, format!("`{unknown}` is no counter here"));
            }
        }
        self.inject.iter().try_for_each(|named| match self.injection(&named.name) {
            Some(_) => Ok(()),
            None => bad(
                &named.name,
                format!("injection `{}` lacks `fault` or `under`, or is like one below it", named.name),
            ),
        })
    }

    /// Of everything that evidence or a campaign can name.
    fn names(&self) -> impl Iterator<Item = &String> {
        let events = self.events.iter().map(|event| &event.name);
        let order = self.order.iter().map(|order| &order.name);
        let gauges = self.gauges.iter().map(|gauge| &gauge.name);
        let counters = self.counters.iter().map(|counter| &counter.name);
        let inject = self.inject.iter().map(|injection| &injection.name);
        events.chain(order).chain(gauges).chain(counters).chain(inject)
    }

    /// Who names an event, and which.
    fn event_references(&self) -> impl Iterator<Item = (&str, &str)> {
        let inside = self.events.iter().filter_map(|event| Some((&*event.name, event.inside.as_deref()?)));
        let order = self.order.iter().flat_map(|order| {
            let events = std::iter::once(&order.event).chain(&order.after);
            events.map(|event| (&*order.name, &**event))
        });
        let outcomes = self.outcomes.iter().flat_map(|outcome| {
            let events = outcome.each.keys().chain(&outcome.reached_by);
            events.map(|event| (&*outcome.name, &**event))
        });
        let questions =
            self.questions.iter().filter_map(|asked| Some((&*asked.ask, asked.stops.as_deref()?)));
        inside.chain(order).chain(outcomes).chain(questions)
    }

    /// The names of all that a guest counts.
    pub fn counted(&self) -> impl Iterator<Item = &String> {
        self.events.iter().map(|event| &event.name).chain(self.order.iter().map(|order| &order.name))
    }

    pub fn has_event(&self, name: &str) -> bool {
        self.events.iter().any(|event| event.name == name)
    }

    pub fn outcome(&self, name: &str) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.name == name)
    }

    /// The injection of this name, with what it takes from others.
    pub fn injection(&self, name: &str) -> Option<Injection> {
        injection_among(&self.inject, name)
    }

    /// What a guest is told to watch.
    pub fn watch(&self) -> Watch {
        let gauge = |gauge: &NamedGauge| Gauge {
            name: gauge.name.clone(),
            file: gauge.file.clone(),
            key: gauge.key.clone(),
            refresh: gauge.refresh.clone(),
        };
        let counter = |counter: &NamedCounter| Counter {
            name: counter.name.clone(),
            file: counter.file.clone(),
            row: counter.row.clone(),
        };
        let sequence = |order: &EventOrder| Sequence {
            name: order.name.clone(),
            event: order.event.clone(),
            after: order.after.clone(),
            since: order.since.clone(),
        };
        let symbols: BTreeSet<&String> = self.outcomes.iter().flat_map(|outcome| &outcome.absent).collect();
        Watch {
            readings: self.readings.iter().map(|reading| reading.file.clone()).collect(),
            symbols: symbols.into_iter().cloned().collect(),
            events: self.events.iter().map(NamedEvent::watched).collect(),
            sequences: self.order.iter().map(sequence).collect(),
            gauges: self.gauges.iter().map(gauge).collect(),
            counters: self.counters.iter().map(counter).collect(),
        }
    }
}

fn injection_among(all: &[NamedInjection], name: &str) -> Option<Injection> {
    let at = all.iter().position(|injection| injection.name == name)?;
    let named = &all[at];
    let like = match &named.like {
        // Only of those above: no circle.
        Some(like) => Some(injection_among(&all[..at], like)?),
        None => None,
    };
    let like = like.as_ref();
    let places = |functions: &Vec<NamedFunction>| {
        let place = |NamedFunction { function, work }: &NamedFunction| InjectionPoint {
            function: function.clone(),
            work: *work,
        };
        functions.iter().map(place).collect::<Vec<_>>()
    };
    Some(Injection {
        fault: named.fault.clone().or_else(|| Some(like?.fault.clone()))?,
        settings: named.settings.clone().or_else(|| Some(like?.settings.clone())).unwrap_or_default(),
        under: named.under.as_ref().map(places).or_else(|| Some(like?.under.clone()))?,
        outside: named.outside.clone().or_else(|| like?.outside.clone()),
        which: named.which.or_else(|| Some(like?.which)).unwrap_or(Which::Next),
    })
}

impl NamedEvent {
    fn watched(&self) -> CountedEvent {
        let source = match (&self.tracepoint, &self.function) {
            (Some(event), Some(function)) => EventSource::Tracepoint {
                event: event.clone(),
                function: function.clone(),
                to_bystanders: self.to_bystanders,
            },
            _ => EventSource::Calls {
                of: self.calls.clone(),
                from: self.from.clone(),
                inside: self.inside.clone(),
            },
        };
        let needed_with = self.needed_with.clone();
        CountedEvent { name: self.name.clone(), source, needed_with, optional: self.optional }
    }
}

/// What is wrong with a file at the first line that has `at` as a word of its own.
pub(super) fn refusal(path: &Path, text: &str, at: &str, why: &str) -> Failure {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let has = |line: &str| {
        line.match_indices(at).any(|(start, _)| {
            let (before, after) = (&line[..start], &line[start + at.len()..]);
            !before.ends_with(is_part) && !after.starts_with(is_part)
        })
    };
    let shown = input::shown(path);
    match text.lines().position(has) {
        Some(index) => Failure::usage(format!("{shown}:{}: {why}", index + 1)),
        None => Failure::usage(format!("{shown}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
inject:
  - {name: all, fault: failslab, under: [{function: f}, {function: g, work: 3}]}
  - {name: some, like: all, outside: h, settings: [[cache-filter, N]]}
  - {name: one, like: some, which: nth}
events:
  - {name: wait, title: waits, calls: [wait_for_it], from: [f]}
  - {name: send, title: messages, tracepoint: a/b, function: receive, to_bystanders: true}
order: [{name: early, event: send, after: [wait], since: f, broken: sent too early}]
gauges: [{name: things, title: things, file: /proc/things, each: 1}]
outcomes: [{name: waits, about: one wait, each: {wait: 1, send: bystanders}, reached_by: [wait]}]
questions: [{ask: 'Does it wait?', takes: outcome}]
";

    fn load(text: &str) -> Result<Subject> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("subjects")).unwrap();
        std::fs::write(dir.path().join("subjects/s.yaml"), text).unwrap();
        Subject::load(&dir.path().join("c.yaml"), dir.path(), "s")
    }

    #[test]
    fn injection_takes_what_it_does_not_say_from_one_above() {
        let subject = load(GOOD).unwrap();
        let one = subject.injection("one").unwrap();
        assert_eq!(
            (one.fault.as_str(), one.which, one.outside.as_deref()),
            ("failslab", Which::Nth, Some("h"))
        );
        assert_eq!((one.under.len(), one.under[1].work), (2, 3));
        assert_eq!(one.settings, [("cache-filter".to_owned(), "N".to_owned())]);
        assert_eq!(subject.injection("none"), None);
    }

    #[test]
    fn watch_has_what_the_file_names() {
        let watch = load(GOOD).unwrap().watch();
        let EventSource::Calls { of, from, .. } = &watch.events[0].source else { panic!("{watch:?}") };
        assert_eq!(
            (of.as_slice(), from.as_slice()),
            (["wait_for_it".to_owned()].as_slice(), ["f".to_owned()].as_slice())
        );
        assert_eq!(watch.sequences[0].name, "early");
    }

    #[test]
    fn per_each_bystander_is_once_to_each() {
        let subject = load(GOOD).unwrap();
        let each = &subject.outcome("waits").unwrap().each;
        assert_eq!((each["wait"].of(200, 3), each["send"].of(200, 3)), (200, 600));
    }

    #[test]
    fn name_that_is_nowhere_or_twice_is_refused_with_its_line() {
        let refused = |from: &str, to: &str| load(&GOOD.replace(from, to)).unwrap_err().to_string();
        assert!(refused("after: [wait]", "after: [wai]").contains("s.yaml:9: `early` names `wai`"));
        assert!(refused("{wait: 1, ", "{wat: 1, ").contains("names `wat`"));
        assert!(refused("name: things,", "name: wait,").contains("`wait` is there twice"));
        assert!(refused("like: all", "like: one").contains("like one below it"));
        assert!(refused("calls: [wait_for_it], ", "").contains("s.yaml:7: event `wait` needs either"));
        assert!(refused("each: 1", "each: 0").contains("`things` has `each: 0`"));
        for lacking in ["optional: true", "needed_with: f"] {
            let event = format!("  - {{name: other, title: others, calls: [g], {lacking}}}\norder:");
            assert!(refused("order:", &event).contains("s.yaml:9: event `other`: a kernel may lack it"));
        }
        assert!(load(&GOOD.replace("from: [f]}", "from: [f], optional: true}")).is_ok());
        assert!(refused("takes: outcome", "beside: things").contains("needs one of"));
    }
}
