//! Goes through what was traced and counts in it the events that a campaign names. Pure.

use std::collections::HashMap;

use protocol::{Counts, Source, Watch};

use crate::probes::PROOF;

/// One thing that was traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traced<'a> {
    /// The thread; 0 for those that do nothing, of which each CPU has one.
    pub task: u64,
    pub what: What<'a>,
}

/// Functions by their names in kallsyms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What<'a> {
    /// `function` was entered.
    Call { function: &'a str, caller: &'a str },
    /// The tracepoint of the event with this index in [`Watch::events`], with its fields `func` and `cpu`.
    Point { point: usize, function: &'a str, cpu: Option<u64> },
}

/// What is known while going through the trace.
struct Account<'w> {
    watch: &'w Watch,
    counts: Counts,
    /// How much was gone through, which is the time by which the others are compared.
    now: u64,
    /// When a task made an event last.
    made: HashMap<(u64, &'w str), u64>,
    /// When a task entered a [`protocol::Sequence::since`] last.
    entered: HashMap<(u64, &'w str), u64>,
}

/// Counts what was `traced`, which is in the order in which it happened; of what is sent to a CPU, only where that is a
/// `bystander`.
///
/// # Errors
/// Something that the watch does not ask for: fail closed.
pub fn count<'a>(
    watch: &Watch,
    traced: impl IntoIterator<Item = Traced<'a>>,
    bystander: impl Fn(u64) -> bool,
) -> Result<Counts, String> {
    let (counts, made, entered) = (Counts::default(), HashMap::new(), HashMap::new());
    let mut account = Account { watch, counts, now: 0, made, entered };
    for traced in traced {
        account.now += 1;
        let names = match traced.what {
            What::Call { function, caller } => account.call(traced.task, function, base_name(caller)),
            What::Point { point, function, cpu } => {
                account.point(point, base_name(function), cpu.is_some_and(&bystander))
            }
        };
        let names = names.ok_or_else(|| format!("not an event this test asked for: {traced:?}"))?;
        account.happened(traced.task, &names);
    }
    Ok(account.counts)
}

impl<'w> Account<'w> {
    /// `task` enters `function` from `caller`; the events that this is. None: the watch asks for no such call.
    fn call(&mut self, task: u64, function: &str, caller: &str) -> Option<Vec<&'w str>> {
        let watch = self.watch;
        let mut is_asked_for = function == PROOF;
        if let Some(sequence) = watch.sequences.iter().find(|sequence| sequence.since == function) {
            self.entered.insert((task, &sequence.since), self.now);
            is_asked_for = true;
        }
        let mut names = Vec::new();
        for event in &watch.events {
            let Source::Calls { of, from, inside } = &event.source else { continue };
            if !contains(of, function) {
                continue;
            }
            is_asked_for = true;
            let is_inside = || inside.as_ref().is_some_and(|outer| self.is_inside(task, outer, caller));
            if from.is_empty() || contains(from, caller) || is_inside() {
                names.push(event.name.as_str());
            }
        }
        is_asked_for.then_some(names)
    }

    fn point(&self, point: usize, function: &str, to_bystander: bool) -> Option<Vec<&'w str>> {
        let event = self.watch.events.get(point)?;
        let Source::Tracepoint { function: wanted, to_bystanders, .. } = &event.source else { return None };
        let counts = function == wanted && (to_bystander || !to_bystanders);
        Some(if counts { vec![event.name.as_str()] } else { Vec::new() })
    }

    /// `task` made these events at one and the same time, so that none of them comes before another.
    fn happened(&mut self, task: u64, names: &[&'w str]) {
        let watch = self.watch;
        for name in names {
            self.counts.add(name, 1);
            for sequence in watch.sequences.iter().filter(|sequence| sequence.event == *name) {
                let since = self.entered.get(&(task, sequence.since.as_str())).copied().unwrap_or(0);
                if !sequence.after.iter().any(|before| self.has_made(task, before, since)) {
                    self.counts.add(&sequence.name, 1);
                }
            }
        }
        for name in names {
            self.made.insert((task, name), self.now);
        }
    }

    fn has_made(&self, task: u64, event: &str, since: u64) -> bool {
        self.made.get(&(task, event)).is_some_and(|when| *when > since)
    }

    /// `caller` is a function of the event `outer`, in a task that has made that event since the last beginning of any
    /// sequence.
    fn is_inside(&self, task: u64, outer: &str, caller: &str) -> bool {
        let entries = self.watch.sequences.iter();
        let since = entries.filter_map(|sequence| self.entered.get(&(task, sequence.since.as_str()))).max();
        let is_its_function = self.watch.events.iter().any(|event| match &event.source {
            Source::Calls { of, .. } => event.name == outer && contains(of, caller),
            Source::Tracepoint { .. } => false,
        });
        is_its_function && self.has_made(task, outer, since.copied().unwrap_or(0))
    }
}

fn contains(names: &[String], name: &str) -> bool {
    names.iter().any(|one| one == name)
}

/// A function's name without a compiler's suffix (`.constprop.0`, `.part.0`).
fn base_name(symbol: &str) -> &str {
    symbol.split('.').next().unwrap_or(symbol)
}

#[cfg(test)]
mod tests {
    use protocol::{Event, Sequence};

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn event(name: &str, source: Source) -> Event {
        Event { name: name.to_owned(), source, needed_with: None, optional: false }
    }

    fn calls(of: &[&str], from: &[&str]) -> Source {
        Source::Calls { of: names(of), from: names(from), inside: None }
    }

    fn tracepoint(function: &str, to_bystanders: bool) -> Source {
        Source::Tracepoint { event: "system/event".to_owned(), function: function.to_owned(), to_bystanders }
    }

    const GIVE_BACK: [&str; 2] = ["put_page_of", "put_page_elsewhere"];

    /// Something is given back after it was sent for or waited for, since `begin` was entered.
    fn watch() -> Watch {
        let path = ["give", "give_one"];
        let quick = Source::Calls {
            of: names(&["wait_quickly"]),
            from: names(&path),
            inside: Some("wait".to_owned()),
        };
        let unsynced = Sequence {
            name: "too_early".to_owned(),
            event: "give_back".to_owned(),
            after: names(&["send", "wait", "wait_quick"]),
            since: "begin".to_owned(),
        };
        Watch {
            events: vec![
                event("send", calls(&["send_to_all"], &path)),
                event("receive", tracepoint("received", true)),
                event("wait", calls(&["wait_for_all"], &path)),
                event("called_back", tracepoint("call_back", false)),
                event("wait_quick", quick),
                event("give_back", calls(&GIVE_BACK, &path)),
            ],
            sequences: vec![unsynced],
            ..Watch::default()
        }
    }

    const RECEIVE: usize = 1;
    const CALLED_BACK: usize = 3;

    fn count(traced: &[Traced<'_>], own_cpu: u64) -> Result<Counts, String> {
        super::count(&watch(), traced.iter().copied(), |cpu| cpu != own_cpu)
    }

    fn counts(expected: &[(&str, u64)]) -> Counts {
        Counts(expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect())
    }

    type Call = (&'static str, &'static str);

    /// `task` enters these functions, each given with its caller.
    fn entries(task: u64, calls: &[Call]) -> Vec<Traced<'static>> {
        let traced = |&(function, caller): &Call| Traced { task, what: What::Call { function, caller } };
        calls.iter().map(traced).collect()
    }

    fn received(function: &str, cpu: u64) -> Traced<'_> {
        Traced { task: 60, what: What::Point { point: RECEIVE, function, cpu: Some(cpu) } }
    }

    fn called_back(function: &str) -> Traced<'_> {
        Traced { task: 0, what: What::Point { point: CALLED_BACK, function, cpu: None } }
    }

    const ENTER: Call = ("begin", "caller_of_begin");
    const WAIT: Call = ("wait_for_all", "give");
    const SEND: Call = ("send_to_all", "give");
    const QUICK: Call = ("wait_quickly", "give");
    const GIVE: Call = ("put_page_of", "give");

    fn given_back(calls: &[Call]) -> (u64, u64) {
        let counts = count(&entries(1, calls), 0).unwrap();
        (counts.get("give_back"), counts.get("too_early"))
    }

    #[test]
    fn each_event_is_counted_by_its_own_name() {
        let traced = [
            entries(60, &[SEND]),
            vec![received("received", 1), received("received", 2)],
            entries(60, &[WAIT]),
            vec![called_back("call_back")],
        ];
        let expected = counts(&[("send", 1), ("receive", 2), ("wait", 1), ("called_back", 1)]);
        assert_eq!(count(&traced.concat(), 0), Ok(expected));
    }

    #[test]
    fn what_comes_after_any_of_those_it_must_come_after_is_in_order() {
        for sync in [WAIT, SEND, QUICK] {
            assert_eq!(given_back(&[ENTER, sync, GIVE, ENTER, sync, GIVE]), (2, 0), "{sync:?}");
        }
    }

    #[test]
    fn what_comes_before_is_out_of_order_even_where_the_counts_agree() {
        let calls = [ENTER, GIVE, WAIT].repeat(3);
        let counts = count(&entries(1, &calls), 0).unwrap();
        assert_eq!((counts.get("wait"), counts.get("give_back"), counts.get("too_early")), (3, 3, 3));
    }

    #[test]
    fn one_wait_is_enough_for_all_until_the_next_beginning() {
        assert_eq!(given_back(&[ENTER, WAIT, GIVE, GIVE, ENTER, GIVE]), (3, 1));
        assert_eq!(given_back(&[WAIT, GIVE, ENTER]), (1, 0));
    }

    #[test]
    fn a_wait_of_another_task_or_of_another_caller_protects_nothing() {
        let other = entries(2, &[ENTER, WAIT]);
        let elsewhere = entries(1, &[ENTER, ("wait_for_all", "another"), GIVE]);
        let too_early = |traced: &[Traced<'_>]| count(traced, 0).map(|counts| counts.get("too_early"));
        assert_eq!(too_early(&[other, elsewhere].concat()), Ok(1));
        let between = [entries(1, &[ENTER, WAIT]), entries(2, &[ENTER]), entries(1, &[GIVE])];
        assert_eq!(too_early(&between.concat()), Ok(0));
    }

    #[test]
    fn every_function_of_an_event_counts() {
        for give in GIVE_BACK {
            assert_eq!(given_back(&[ENTER, WAIT, (give, "give_one")]), (1, 0), "{give}");
        }
    }

    #[test]
    fn a_call_from_elsewhere_is_not_the_event() {
        let calls = [("put_page_of", "give_rcu"), ("put_page_of", "giv")];
        assert_eq!(count(&entries(1, &calls), 0), Ok(Counts::default()));
    }

    #[test]
    fn an_event_without_callers_is_counted_from_any() {
        let anywhere = Watch { events: vec![event("wait", calls(&["wait"], &[]))], ..Watch::default() };
        let traced = entries(1, &[("wait", "one"), ("wait", "another"), ("wait", "")]);
        assert_eq!(super::count(&anywhere, traced, |_| true), Ok(counts(&[("wait", 3)])));
    }

    #[test]
    fn a_function_may_belong_to_several_events() {
        let events = vec![event("of_one", calls(&["f"], &["one"])), event("of_all", calls(&["f", "g"], &[]))];
        let watch = Watch { events, ..Watch::default() };
        let traced = entries(1, &[("f", "one"), ("f", "two"), ("g", "one")]);
        assert_eq!(super::count(&watch, traced, |_| true), Ok(counts(&[("of_one", 1), ("of_all", 3)])));
    }

    #[test]
    fn a_call_does_not_come_before_itself() {
        let early = Sequence { after: names(&["a"]), ..watch().sequences.remove(0) };
        let early = Sequence { event: "b".to_owned(), ..early };
        for order in [["a", "b"], ["b", "a"]] {
            let events = order.map(|name| event(name, calls(&["f"], &[]))).into();
            let watch = Watch { events, sequences: vec![early.clone()], ..Watch::default() };
            let traced = entries(1, &[("f", "x"), ("f", "x")]);
            let found = super::count(&watch, traced, |_| true).map(|counts| counts.get("too_early"));
            assert_eq!(found, Ok(1), "{order:?}");
        }
    }

    #[test]
    fn an_event_is_seen_inside_another_one() {
        let quick_and_wait = |calls: &[Call]| {
            let counts = count(&entries(1, calls), 0).unwrap();
            (counts.get("wait"), counts.get("wait_quick"))
        };
        assert_eq!(quick_and_wait(&[WAIT, ("wait_quickly", "wait_for_all")]), (1, 1));
        assert_eq!(quick_and_wait(&[WAIT, ENTER, ("wait_quickly", "wait_for_all")]), (1, 0));
        for caller in ["wait_for_all", "another"] {
            assert_eq!(quick_and_wait(&[("wait_quickly", caller)]), (0, 0), "{caller}");
        }
        let other = [entries(2, &[WAIT]), entries(1, &[("wait_quickly", "wait_for_all")])];
        assert_eq!(count(&other.concat(), 0).map(|counts| counts.get("wait_quick")), Ok(0));
    }

    #[test]
    fn the_same_calls_from_elsewhere_do_not_count() {
        let calls = [("send_to_all", "another"), ("wait_for_all", "ftrace_shutdown"), (PROOF, "another")];
        let others = vec![received("another", 1), called_back("another")];
        assert_eq!(count(&[entries(12, &calls), others].concat(), 0), Ok(Counts::default()));
    }

    #[test]
    fn what_is_sent_to_the_own_cpu_is_not_sent_to_a_bystander() {
        let receive =
            |own_cpu| count(&[received("received", 0)], own_cpu).map(|counts| counts.get("receive"));
        assert_eq!((receive(0), receive(1)), (Ok(0), Ok(1)));
    }

    #[test]
    fn a_compilers_suffix_does_not_hide_a_caller_or_a_function() {
        let calls = [("wait_for_all", "give_one.part.0")];
        let traced = [entries(1, &calls), vec![called_back("call_back.constprop.0")]].concat();
        assert_eq!(count(&traced, 0), Ok(counts(&[("wait", 1), ("called_back", 1)])));
    }

    #[test]
    fn nothing_traced_counts_nothing_and_what_was_not_asked_for_is_an_error() {
        assert_eq!(count(&[], 0), Ok(Counts::default()));
        assert!(count(&entries(1, &[("do_exit", "x")]), 0).is_err());
        for point in [0, 99] {
            let what = What::Point { point, function: "received", cpu: Some(1) };
            assert!(count(&[Traced { task: 1, what }], 0).is_err(), "{point}");
        }
    }
}
