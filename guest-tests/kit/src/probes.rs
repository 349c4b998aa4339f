//! What has to be traced in this kernel for the events that a campaign names. Pure.

use std::collections::BTreeSet;

use protocol::kallsyms::Kallsyms;
use protocol::{Source, Watch};

/// Traced in any case: without it a count of 0 could not be told from a tracer that records nothing.
pub const PROOF: &str = "synchronize_rcu";

/// Functions and tracepoints, each of which this kernel has.
#[derive(Debug, PartialEq, Eq)]
pub struct Probes<'w> {
    /// Sorted.
    pub functions: Vec<&'w str>,
    pub points: Vec<Point<'w>>,
}

/// A tracepoint, to be recorded where its field `func` is `function`.
#[derive(Debug, PartialEq, Eq)]
pub struct Point<'w> {
    /// Which of [`Watch::events`] it shows.
    pub index: usize,
    /// `SYSTEM/EVENT`.
    pub event: &'w str,
    pub function: &'w str,
    /// Its field `cpu` is needed too.
    pub has_cpu: bool,
}

impl<'w> Probes<'w> {
    /// Those of `watch`. A function that this kernel does not have cannot be called in it, and is left out: where nothing is
    /// left of an event, its count is 0 by construction. Only an event that says so may come to that.
    ///
    /// # Errors
    /// A watch that contradicts itself, and a kernel without what an event or an order is seen by, if it has to be seen in
    /// this kernel: also where the name of a function is wrong.
    pub fn find(watch: &'w Watch, kallsyms: &Kallsyms) -> Result<Probes<'w>, String> {
        check_names(watch)?;
        if !kallsyms.has_exactly(PROOF) {
            return Err(format!("/proc/kallsyms has no {PROOF}"));
        }
        let mut functions = BTreeSet::from([PROOF]);
        let mut points: Vec<Point<'w>> = Vec::new();
        let mut shown = BTreeSet::new();
        for (index, event) in watch.events.iter().enumerate() {
            let is_shown = match &event.source {
                Source::Calls { of, from, inside } => {
                    let here = of.iter().map(String::as_str).filter(|name| kallsyms.has_exactly(name));
                    let here: Vec<_> = here.collect();
                    functions.extend(&here);
                    let has_caller = from.is_empty() || from.iter().any(|caller| kallsyms.has(caller));
                    !here.is_empty() && (has_caller || inside.is_some())
                }
                Source::Tracepoint { event, function, to_bystanders } => {
                    let is_here = kallsyms.has(function);
                    if is_here {
                        points.push(Point { index, event, function, has_cpu: *to_bystanders });
                    }
                    is_here
                }
            };
            if is_shown {
                shown.insert(event.name.as_str());
                continue;
            }
            let sources = sources(&event.source);
            match &event.needed_with {
                Some(needed_with) if kallsyms.has(needed_with) => {
                    return Err(format!(
                        "{needed_with} is there, but nothing that shows {}: {sources}",
                        event.name
                    ));
                }
                None if !event.optional => {
                    return Err(format!("this kernel has nothing that shows {}: {sources}", event.name));
                }
                _ => {}
            }
        }
        for sequence in &watch.sequences {
            if kallsyms.has_exactly(&sequence.since) {
                functions.insert(&sequence.since);
            } else if shown.contains(sequence.event.as_str()) {
                return Err(format!(
                    "this kernel has nothing that begins {}: {}",
                    sequence.name, sequence.since
                ));
            }
        }
        Ok(Probes { functions: functions.into_iter().collect(), points })
    }
}

/// The functions by which an event is seen.
fn sources(source: &Source) -> String {
    match source {
        Source::Calls { of, from, .. } if from.is_empty() => of.join(", "),
        Source::Calls { of, from, .. } => format!("{} called by {}", of.join(", "), from.join(", ")),
        Source::Tracepoint { event, function, .. } => format!("{function} (by {event})"),
    }
}

/// Every event that is referred to exists, and a tracepoint shows one event only: it has one filter.
fn check_names(watch: &Watch) -> Result<(), String> {
    let has = |name: &String| watch.events.iter().any(|event| event.name == *name);
    for sequence in &watch.sequences {
        if let Some(unknown) = sequence.after.iter().chain([&sequence.event]).find(|name| !has(name)) {
            return Err(format!(
                "the sequence {} refers to an event {unknown}, which there is not",
                sequence.name
            ));
        }
    }
    let mut points = BTreeSet::new();
    for event in &watch.events {
        match &event.source {
            Source::Calls { inside: Some(outer), .. } if !has(outer) => {
                return Err(format!("{} refers to an event {outer}, which there is not", event.name));
            }
            Source::Tracepoint { event: point, .. } if !points.insert(point) => {
                return Err(format!("the tracepoint {point} cannot show {} and another event", event.name));
            }
            Source::Calls { .. } | Source::Tracepoint { .. } => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use protocol::{Event, Sequence};

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn calls(name: &str, of: &[&str], needed_with: Option<&str>) -> Event {
        let source = Source::Calls { of: names(of), from: Vec::new(), inside: None };
        let needed_with = needed_with.map(str::to_owned);
        Event { name: name.to_owned(), source, needed_with, optional: false }
    }

    fn tracepoint(name: &str, event: &str, function: &str) -> Event {
        let (event, function) = (event.to_owned(), function.to_owned());
        let source = Source::Tracepoint { event, function, to_bystanders: true };
        Event { name: name.to_owned(), source, needed_with: Some("begin".to_owned()), optional: false }
    }

    fn sequence(event: &str, after: &str) -> Sequence {
        let since = "begin".to_owned();
        Sequence { name: "early".to_owned(), event: event.to_owned(), after: names(&[after]), since }
    }

    fn kernel(functions: &[&str]) -> Kallsyms {
        let lines = functions.iter().chain(&["_end"]).enumerate();
        let text = lines.fold(String::new(), |all, (at, name)| format!("{all}{:x} t {name}\n", 0x1000 + at));
        Kallsyms::parse(&text).unwrap()
    }

    fn watch() -> Watch {
        Watch {
            events: vec![
                calls("wait", &["wait", "wait_old"], Some("begin")),
                tracepoint("receive", "a/b", "received"),
            ],
            sequences: vec![sequence("receive", "wait")],
            ..Watch::default()
        }
    }

    #[test]
    fn all_that_the_kernel_has_is_traced_and_the_rest_left_out() {
        let watch = watch();
        let whole = kernel(&[PROOF, "begin", "wait", "received.isra.0", "other"]);
        let point = Point { index: 1, event: "a/b", function: "received", has_cpu: true };
        let expected = Probes { functions: vec!["begin", PROOF, "wait"], points: vec![point] };
        assert_eq!(Probes::find(&watch, &whole), Ok(expected));
        // What is traced by its name must have just that name.
        let bare = kernel(&[PROOF, "wait.isra.0"]);
        assert_eq!(Probes::find(&watch, &bare), Ok(Probes { functions: vec![PROOF], points: vec![] }));
    }

    #[test]
    fn a_kernel_that_must_show_an_event_and_cannot_is_an_error() {
        let error = Probes::find(&watch(), &kernel(&[PROOF, "begin", "wait"])).unwrap_err();
        assert_eq!(error, "begin is there, but nothing that shows receive: received (by a/b)");
        let events = vec![calls("wait", &["wait", "wait_old"], Some("begin"))];
        let watch = Watch { events, ..Watch::default() };
        let error = Probes::find(&watch, &kernel(&[PROOF, "begin"])).unwrap_err();
        assert_eq!(error, "begin is there, but nothing that shows wait: wait, wait_old");
        assert!(Probes::find(&watch, &kernel(&[PROOF, "begin", "wait_old"])).is_ok());
        assert!(Probes::find(&watch, &kernel(&[PROOF])).is_ok());
    }

    /// Such as one whose name is misspelt: it would count 0 for ever, and an outcome that wants 0 of it could not fail.
    #[test]
    fn an_event_that_no_function_shows_is_an_error_that_names_it() {
        let kernel = kernel(&[PROOF, "wait", "caller"]);
        let find = |event: Event| {
            let watch = Watch { events: vec![event], ..Watch::default() };
            Probes::find(&watch, &kernel).map(|probes| probes.functions.join(" "))
        };
        let misspelt = calls("wait", &["wiat"], None);
        assert_eq!(find(misspelt.clone()), Err("this kernel has nothing that shows wait: wiat".to_owned()));
        assert_eq!(find(Event { optional: true, ..misspelt }), Ok(PROOF.to_owned()));
        let point = Event { needed_with: None, ..tracepoint("receive", "a/b", "recieved") };
        let error = "this kernel has nothing that shows receive: recieved (by a/b)";
        assert_eq!(find(point), Err(error.to_owned()));
        let called_by = |from: &str, inside: Option<&str>| {
            let (from, inside) = (names(&[from]), inside.map(str::to_owned));
            let source = Source::Calls { of: names(&["wait"]), from, inside };
            find(Event { source, ..calls("wait", &[], None) })
        };
        assert_eq!(called_by("caller", None), Ok(format!("{PROOF} wait")));
        assert_eq!(called_by("calle", Some("wait")), Ok(format!("{PROOF} wait")));
        let error = "this kernel has nothing that shows wait: wait called by calle";
        assert_eq!(called_by("calle", None), Err(error.to_owned()));
    }

    #[test]
    fn an_order_whose_beginning_the_kernel_does_not_have_is_an_error() {
        let mut watch = Watch { events: vec![calls("wait", &["wait"], None)], ..Watch::default() };
        watch.sequences = vec![sequence("wait", "wait")];
        assert!(Probes::find(&watch, &kernel(&[PROOF, "begin", "wait"])).is_ok());
        let error = Probes::find(&watch, &kernel(&[PROOF, "wait"])).unwrap_err();
        assert_eq!(error, "this kernel has nothing that begins early: begin");
    }

    #[test]
    fn a_kernel_in_which_nothing_proves_that_the_tracer_records_is_an_error() {
        assert!(Probes::find(&watch(), &kernel(&["begin", "wait", "received"])).is_err());
    }

    #[test]
    fn a_tracepoint_for_two_events_is_an_error() {
        let mut watch = watch();
        watch.events.push(tracepoint("hear", "a/b", "heard"));
        let error = Probes::find(&watch, &kernel(&[PROOF])).unwrap_err();
        assert_eq!(error, "the tracepoint a/b cannot show hear and another event");
    }

    #[test]
    fn a_name_that_is_no_events_is_an_error() {
        for sequence in [sequence("nothing", "wait"), sequence("wait", "nothing")] {
            let watch = Watch { sequences: vec![sequence], ..watch() };
            assert!(Probes::find(&watch, &kernel(&[PROOF])).unwrap_err().contains("nothing"));
        }
        let mut watch = watch();
        let inside = Some("nothing".to_owned());
        watch.events[0].source = Source::Calls { of: names(&["wait"]), from: vec![], inside };
        assert!(Probes::find(&watch, &kernel(&[PROOF])).unwrap_err().contains("nothing"));
    }
}
