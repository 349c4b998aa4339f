//! A tracefs instance of our own that records the events that a campaign names, and nothing else. Which function or
//! tracepoint shows one is decided in [`crate::probes`], what counts in [`crate::account`].

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use protocol::kallsyms::Kallsyms;
use protocol::{Counts, Watch};

use crate::account;
use crate::counters::{self, RingBuffer};
use crate::cpu;
use crate::files::{self, OpenFile};
use crate::probes::{PROOF, Point, Probes};
use crate::recorded::Reader;

const INSTANCE: &str = "/sys/kernel/tracing/instances/patchproof";

/// The trace of the top instance, in which nothing is recorded.
const TOP_TRACE: &str = "/sys/kernel/tracing/trace";
/// The same for all instances.
const PAGE_FORMAT: &str = "/sys/kernel/tracing/events/header_page";
const FUNCTION_FORMAT: &str = "/sys/kernel/tracing/events/ftrace/function/format";

/// Recording is begun and ended by what CPUs it is for, not by `tracing_on`: turning that on makes the function tracer
/// clear the buffer, which takes two grace periods each time (`function_trace_start()`, kernel/trace/trace_functions.c).
const RECORDED_CPUS: &str = "tracing_cpumask";
const NO_CPU: &str = "0";

/// What can be traced, a name in each line (kernel/trace/ftrace.c, `t_show()`).
const TRACEABLE: &str = "/sys/kernel/tracing/available_filter_functions";

/// Ring buffer per CPU: a floor, and what one failure may lead to (an event of some 50 bytes for each of up to 15
/// bystanders, and three function entries).
const BUFFER_FLOOR_KIB: u64 = 1024;
const BUFFER_PER_FAILURE_KIB: u64 = 1;

/// The instance, configured; recording only between [`Tracer::start`] and [`Tracer::stop`].
#[derive(Debug)]
pub struct Tracer<'a> {
    watch: &'a Watch,
    instance: PathBuf,
    recorded_cpus: OpenFile,
    /// For that.
    all_cpus: String,
    /// `stats` of each CPU's buffer.
    stats: Vec<OpenFile>,
    reader: Reader<'a>,
}

impl<'a> Tracer<'a> {
    /// Makes the instance for up to `demand` failures, or takes the one that the scenario before left, of which
    /// everything is read back. None where there is no event to count: nothing in tracefs is then touched.
    ///
    /// A function that is there but cannot be recorded is an error, and so is an event that nothing in this kernel shows,
    /// if it has to be shown here ([`Probes::find`]).
    pub fn create(kallsyms: &'a Kallsyms, watch: &'a Watch, demand: u64) -> Result<Option<Self>, String> {
        if watch.events.is_empty() {
            return Ok(None);
        }
        let probes = Probes::find(watch, kallsyms)?;
        let all_cpus = cpu::mask_of_all()?;
        let instance = PathBuf::from(INSTANCE);
        make_directory(&instance)?;
        let recorded_cpus = OpenFile::open(instance.join(RECORDED_CPUS))?;
        let stats = open_stats(&instance.join("per_cpu"))?;
        let reader = Reader::new(kallsyms, &files::read(PAGE_FORMAT)?, &files::read(FUNCTION_FORMAT)?)?;
        let mut tracer = Tracer { watch, instance, recorded_cpus, all_cpus, stats, reader };
        tracer.stop()?;
        tracer.make_room(BUFFER_FLOOR_KIB + demand * BUFFER_PER_FAILURE_KIB)?;
        tracer.trace_functions(&probes.functions)?;
        for point in &probes.points {
            let format = tracer.trace_event(point)?;
            tracer.reader.expect_point(point.index, &format, point.has_cpu)?;
        }
        files::ensure(tracer.instance.join("tracing_on"), "1")?;
        Ok(Some(tracer))
    }

    /// Records from now on, into an empty buffer.
    ///
    /// That it does record is proved each time, because a count of 0 is a result here: clearing another
    /// instance's trace calls `synchronize_rcu()` (`tracing_reset_online_cpus()`, kernel/trace/trace.c),
    /// which must leave an event in ours. An event of that function has to name its callers, so that this one does not
    /// count.
    pub fn start(&self) -> Result<(), String> {
        // Empty already if everything was read, as it should have been. To clear it takes two grace periods.
        if self.buffer()? != RingBuffer::default() {
            files::write(self.instance.join("trace"), "")?;
        }
        let left = self.buffer()?;
        if left != RingBuffer::default() {
            return Err(format!("the trace buffer is not empty after it was cleared: {left:?}"));
        }
        self.recorded_cpus.set(&self.all_cpus)?;
        files::write(TOP_TRACE, "")?;
        if self.buffer()?.entries == 0 {
            return Err(format!("a call of {PROOF} that must be in the trace was not recorded"));
        }
        Ok(())
    }

    pub fn stop(&self) -> Result<(), String> {
        self.recorded_cpus.set(NO_CPU)
    }

    /// Events recorded and lost since [`Tracer::start`], over all CPUs.
    pub fn buffer(&self) -> Result<RingBuffer, String> {
        Ok(self.buffers()?.iter().map(|(_, buffer)| *buffer).sum())
    }

    /// By CPU, each with its `stats`.
    fn buffers(&self) -> Result<Vec<(&Path, RingBuffer)>, String> {
        let buffer = |stats: &OpenFile| {
            counters::ring_buffer(&stats.read()?)
                .ok_or_else(|| format!("{} lacks a field", stats.path().display()))
        };
        self.stats.iter().map(|stats| Ok((stats.path(), buffer(stats)?))).collect()
    }

    /// What was recorded between [`Tracer::start`] and [`Tracer::stop`], and how many events were lost. What was sent to
    /// the test's own CPU or to one of `unsteady_cpus` is not counted as sent to a bystander. It can be asked once, as
    /// the buffer is then empty.
    pub fn counts(&self, unsteady_cpus: &[u32]) -> Result<(Counts, u64), String> {
        let buffers = self.buffers()?;
        let mut pages = Vec::new();
        for (stats, _) in buffers.iter().filter(|(_, buffer)| buffer.entries > 0) {
            pages.extend(files::drain(stats.with_file_name("trace_pipe_raw"))?);
        }
        let buffer: RingBuffer = buffers.iter().map(|(_, buffer)| *buffer).sum();
        let events = self.reader.events(&pages)?;
        if events.len() as u64 != buffer.entries {
            return Err(format!(
                "{} events were read from a trace buffer with {}",
                events.len(),
                buffer.entries
            ));
        }
        let unsteady = |cpu| unsteady_cpus.iter().any(|unsteady| u64::from(*unsteady) == cpu);
        let mut counts =
            account::count(self.watch, events, |cpu| cpu != u64::from(cpu::VICTIM_CPU) && !unsteady(cpu))?;
        // What was looked for and did not happen is said, so that the host can tell it from what nobody looked for.
        let events = self.watch.events.iter().map(|event| &event.name);
        let names = events.chain(self.watch.sequences.iter().map(|sequence| &sequence.name));
        names.for_each(|name| counts.add(name, 0));
        Ok((counts, buffer.lost))
    }

    /// The kernel rounds the size up to what its pages hold.
    fn make_room(&self, kib_per_cpu: u64) -> Result<(), String> {
        let path = self.instance.join("buffer_size_kb");
        if files::read_number(&path).is_ok_and(|found| found >= kib_per_cpu) {
            return Ok(());
        }
        files::write(&path, kib_per_cpu.to_string())?;
        let found = files::read_number(&path)?;
        if found < kib_per_cpu {
            return Err(format!("{} reads {found} after {kib_per_cpu} was written to it", path.display()));
        }
        Ok(())
    }

    /// `asked` is sorted.
    fn trace_functions(&self, asked: &[&str]) -> Result<(), String> {
        // The filter first: a function tracer without one records the whole kernel.
        let path = self.instance.join("set_ftrace_filter");
        if functions_in(&path)? != asked {
            files::write(&path, line_numbers(asked)?)?;
            let found = functions_in(&path)?;
            if found != asked {
                return Err(format!("{} holds {found:?} instead of {asked:?}", path.display()));
            }
        }
        files::ensure(self.instance.join("current_tracer"), "function")
    }

    /// Records the tracepoint when its `func` is the function. Functions declared `inline` are `notrace`, so an RCU
    /// callback that is one is seen by the event of its invocation, not by the function tracer. Returns the event's
    /// format.
    fn trace_event(&self, point: &Point<'_>) -> Result<String, String> {
        let Point { event, function, .. } = point;
        let directory = format!("events/{event}");
        if !self.instance.join(&directory).exists() {
            // The rcu events need RCU_TRACE, which defaults to y but which an allnoconfig turns off.
            return Err(format!("this kernel has {function} but not the trace event {event} that shows it"));
        }
        files::ensure(
            self.instance.join(&directory).join("filter"),
            &format!("func.function == {function}"),
        )?;
        files::ensure(self.instance.join(&directory).join("enable"), "1")?;
        files::read(self.instance.join(&directory).join("format"))
    }
}

/// Functions as a filter takes them too: by the lines of [`TRACEABLE`]. For each name the kernel would look up the names of
/// all that it has, which takes an emulated CPU a tenth of the time in which it boots.
fn line_numbers(functions: &[&str]) -> Result<String, String> {
    let mut search = Search { functions, line: 0, found: Vec::new() };
    files::read_lines(TRACEABLE, |lines| Ok(search.look(lines)))?;
    if search.is_over() {
        return Ok(search.found.join(" "));
    }
    Err(format!("{TRACEABLE} lacks one of {}", functions.join(", ")))
}

struct Search<'a> {
    functions: &'a [&'a str],
    line: u64,
    found: Vec<String>,
}

impl Search<'_> {
    /// In more lines; whether there is more to be found.
    fn look(&mut self, lines: &[u8]) -> bool {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.line += 1;
            // A module's name may follow.
            let name = line.split(u8::is_ascii_whitespace).next();
            if self.functions.iter().any(|function| name == Some(function.as_bytes())) {
                self.found.push(self.line.to_string());
            }
        }
        !self.is_over()
    }

    fn is_over(&self) -> bool {
        self.found.len() >= self.functions.len()
    }
}

/// The functions that a filter file names, sorted.
fn functions_in(path: &Path) -> Result<Vec<String>, String> {
    let mut found: Vec<String> = files::read(path)?.split_whitespace().map(str::to_owned).collect();
    found.sort_unstable();
    Ok(found)
}

/// The `stats` of every CPU's buffer, also of those that are off line at times.
fn open_stats(directory: &Path) -> Result<Vec<OpenFile>, String> {
    let listing = |error| format!("could not list {}: {error}", directory.display());
    let cpus = fs::read_dir(directory).map_err(listing)?;
    cpus.map(|cpu| OpenFile::read_only(cpu.map_err(listing)?.path().join("stats"))).collect()
}

/// The scenario before has left its own.
fn make_directory(path: &Path) -> Result<(), String> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(format!("could not make the trace instance {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_by_its_whole_name_and_its_line() {
        let mut search =
            Search { functions: &["synchronize_rcu", "__free_pages"], line: 0, found: Vec::new() };
        assert!(search.look(b"synchronize_rcu_tasks\nsynchronize_rcu\nx [synchronize_rcu]\n"));
        assert!(!search.look(b"free_pages\n__free_pages [module]\nlater\n"));
        assert_eq!(search.found, ["2", "5"]);
    }
}
