//! Puts the pages of all CPUs' ring buffers into events by name, in the order in which they happened. Pure.

use std::collections::HashMap;

use protocol::kallsyms::Kallsyms;

use crate::account::{Traced, What};
use crate::event_format::{self, Field};
use crate::ring_buffer::PageFormat;

/// Reads pages.
#[derive(Debug)]
pub struct Reader<'a> {
    kallsyms: &'a Kallsyms,
    page: PageFormat,
    kind: Field,
    task: Field,
    /// By number.
    kinds: HashMap<u64, EventKind>,
}

/// Of which fields an event is made.
#[derive(Debug, Clone, Copy)]
enum EventKind {
    Call { function: Field, caller: Field },
    Point { point: usize, function: Field, cpu: Option<Field> },
}

impl<'a> Reader<'a> {
    /// For pages that are as `page` says (`events/header_page`) and hold calls (`events/ftrace/function/format`).
    pub fn new(kallsyms: &'a Kallsyms, page: &str, function: &str) -> Result<Self, String> {
        let field = |name| event_format::field(function, name);
        let mut reader = Reader {
            kallsyms,
            page: PageFormat::parse(page)?,
            kind: field("common_type")?,
            task: field("common_pid")?,
            kinds: HashMap::new(),
        };
        reader.expect(function, EventKind::Call { function: field("ip")?, caller: field("parent_ip")? })?;
        Ok(reader)
    }

    /// They may also hold [`What::Point`] of the event with this index, in this format; with a CPU if the event
    /// `has_cpu`.
    pub fn expect_point(&mut self, point: usize, format: &str, has_cpu: bool) -> Result<(), String> {
        let field = |name| event_format::field(format, name);
        let cpu = has_cpu.then(|| field("cpu")).transpose()?;
        self.expect(format, EventKind::Point { point, function: field("func")?, cpu })
    }

    fn expect(&mut self, format: &str, kind: EventKind) -> Result<(), String> {
        self.kinds.insert(event_format::id(format)?, kind);
        Ok(())
    }

    /// The events of `pages`, those of each CPU in their order.
    pub fn events(&self, pages: &[Vec<u8>]) -> Result<Vec<Traced<'a>>, String> {
        let mut records = Vec::new();
        pages.iter().try_for_each(|page| self.page.read(page, &mut records))?;
        // Stable: what one CPU did at the same time stays in its order.
        records.sort_by_key(|record| record.time);
        let mut names = HashMap::new();
        records.iter().map(|record| self.event(record.data, &mut names)).collect()
    }

    fn event(&self, data: &[u8], names: &mut HashMap<u64, Option<&'a str>>) -> Result<Traced<'a>, String> {
        let number = self.kind.of(data)?;
        let kind = self.kinds.get(&number);
        let kind = *kind.ok_or_else(|| format!("event {number} in the trace, which was not asked for"))?;
        let mut name = |field: Field| {
            let address = field.of(data)?;
            Ok::<_, String>(*names.entry(address).or_insert_with(|| self.kallsyms.name_at(address)))
        };
        let known = |name: Option<&'a str>| name.ok_or("a function in the trace that /proc/kallsyms lacks");
        let what = match kind {
            EventKind::Call { function, caller } => What::Call {
                function: known(name(function)?)?,
                // Code that the kernel made up at run time has no name.
                caller: name(caller)?.unwrap_or_default(),
            },
            EventKind::Point { point, function, cpu } => What::Point {
                point,
                function: known(name(function)?)?,
                cpu: cpu.map(|cpu| cpu.of(data)).transpose()?,
            },
        };
        Ok(Traced { task: self.task.of(data)?, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a guest had in its buffers, and the kernel's own text of it; of kallsyms what occurs in that. The ends of pages
    /// in which there is nothing are left out.
    const RECORDINGS: [&str; 2] = [
        include_str!("../testdata/recorded/broadcast.txt"),
        include_str!("../testdata/recorded/callback.txt"),
    ];

    const CROSS_CALL: usize = 4;
    const CALLBACK: usize = 7;

    fn part(recording: &str, name: &str) -> String {
        let lines = recording.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        lines.fold(String::new(), |all, line| format!("{all}{line}\n"))
    }

    fn kallsyms(recording: &str) -> Kallsyms {
        Kallsyms::parse(&part(recording, "kallsyms")).unwrap()
    }

    /// Of calls alone.
    fn reader<'a>(kallsyms: &'a Kallsyms, recording: &str) -> Reader<'a> {
        Reader::new(kallsyms, &part(recording, "page"), &part(recording, "function")).unwrap()
    }

    /// Of all that was recorded.
    fn full_reader<'a>(kallsyms: &'a Kallsyms, recording: &str) -> Reader<'a> {
        let mut reader = reader(kallsyms, recording);
        let [cross_call, callback] = ["cross_call", "callback"].map(|name| part(recording, name));
        if !cross_call.is_empty() {
            reader.expect_point(CROSS_CALL, &cross_call, true).unwrap();
        }
        if !callback.is_empty() {
            reader.expect_point(CALLBACK, &callback, false).unwrap();
        }
        reader
    }

    fn pages(recording: &str) -> Vec<Vec<u8>> {
        let byte = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        part(recording, "raw").lines().map(|page| page.as_bytes().chunks(2).map(byte).collect()).collect()
    }

    /// `munmap-55      [000] d..2.     3.6: csd_queue_cpu: cpu=1 callsite=x func=y csd=z`, with no space in a name.
    fn event(line: &str) -> Traced<'_> {
        let (task, rest) = line.split_once(' ').unwrap();
        let words: Vec<&str> = rest.split_whitespace().skip(3).collect();
        let value = |key: &str| words.iter().find_map(|word| word.strip_prefix(key)).unwrap();
        let what = match words[0] {
            "csd_queue_cpu:" => {
                let cpu = Some(value("cpu=").parse().unwrap());
                What::Point { point: CROSS_CALL, function: value("func="), cpu }
            }
            "rcu_invoke_callback:" => What::Point { point: CALLBACK, function: value("func="), cpu: None },
            function => What::Call { function, caller: words[1].strip_prefix("<-").unwrap() },
        };
        Traced { task: task.rsplit_once('-').unwrap().1.parse().unwrap(), what }
    }

    #[test]
    fn the_events_are_those_of_the_kernels_own_text() {
        for recording in RECORDINGS {
            let kallsyms = kallsyms(recording);
            let reader = full_reader(&kallsyms, recording);
            let text = part(recording, "text");
            let events = reader.events(&pages(recording)).unwrap();
            assert!(events.len() == text.lines().count() && events.len() > 100);
            events.iter().zip(text.lines()).for_each(|(found, line)| assert_eq!(*found, event(line)));
        }
    }

    #[test]
    fn events_of_several_cpus_are_in_the_order_of_their_times_whichever_is_read_first() {
        let recording = RECORDINGS[0];
        let kallsyms = kallsyms(recording);
        let reader = full_reader(&kallsyms, recording);
        let mut pages = pages(recording);
        let events = reader.events(&pages).unwrap();
        // One page each of three CPUs, and then those of the fourth.
        pages.rotate_left(3);
        assert!(reader.events(&pages).unwrap() == events);
    }

    #[test]
    fn an_event_that_was_not_asked_for_is_an_error() {
        let recording = RECORDINGS[0];
        let kallsyms = kallsyms(recording);
        let error = reader(&kallsyms, recording).events(&pages(recording)).unwrap_err();
        assert_eq!(error, "event 201 in the trace, which was not asked for");
    }

    #[test]
    fn a_function_without_a_name_is_an_error() {
        let recording = RECORDINGS[0];
        let kallsyms = Kallsyms::parse("fffffffff0000000 T beyond\n").unwrap();
        let error = full_reader(&kallsyms, recording).events(&pages(recording)).unwrap_err();
        assert_eq!(error, "a function in the trace that /proc/kallsyms lacks");
    }
}
