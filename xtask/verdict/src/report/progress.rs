//! Shows events while a run is on: live lines on a terminal that can move its cursor, plain ones elsewhere. Always on
//! standard error, so that standard output holds the result and nothing else.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::host::terminal::{self, Look};
use crate::observe::events::{Event, Stage};
use failure::escape;

/// How much a command says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loudness {
    /// Nothing while it works, and as little as can be at the end.
    Quiet,
    Normal,
    /// Every step, and all details.
    Verbose,
}

impl Loudness {
    pub fn new(quiet: bool, verbose: bool) -> Loudness {
        match (quiet, verbose) {
            (true, _) => Loudness::Quiet,
            (false, true) => Loudness::Verbose,
            (false, false) => Loudness::Normal,
        }
    }
}

/// Shows events on a thread of its own until the last sender is gone.
pub fn show(events: Receiver<Event>, loudness: Loudness) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let look = Look::of(&std::io::stderr());
        let events = events.iter().map(escaped);
        if loudness == Loudness::Quiet {
            events.for_each(drop);
        } else if look.live {
            let mut live = Live::new(look.colour);
            events.for_each(|event| live.take(event));
            live.end();
        } else {
            let verbose = loudness == Loudness::Verbose;
            let mut plain = Plain { started: Instant::now(), verbose, cells: 0, done: 0 };
            events.for_each(|event| plain.take(&event));
        }
    })
}

/// Limit on a text of an event; the report has all of it.
const CHARS_MAX: usize = 400;

/// Escapes and cuts the texts of an event: many come from a guest, a compiler or a source.
fn escaped(event: Event) -> Event {
    let line = |text: String| {
        let text = escape::line(&text);
        match text.char_indices().nth(CHARS_MAX) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.into_owned(),
        }
    };
    match event {
        Event::Note(text) => Event::Note(line(text)),
        Event::Status(text) => Event::Status(line(text)),
        Event::Planned(cells) => Event::Planned(cells.into_iter().map(line).collect()),
        Event::Stage { cell, stage } => Event::Stage { cell: line(cell), stage },
        Event::Doing { cell, what } => Event::Doing { cell: line(cell), what: line(what) },
        Event::Finished { cell, good, line: said } => {
            Event::Finished { cell: line(cell), good, line: line(said) }
        }
    }
}

/// One line for each step that a reader of a log wants to find again.
struct Plain {
    started: Instant,
    verbose: bool,
    cells: usize,
    done: usize,
}

impl Plain {
    fn take(&mut self, event: &Event) {
        let at = self.started.elapsed().as_secs();
        let say = |text: &str| terminal::say(&format!("[{:>2}:{:02}] {text}", at / 60, at % 60));
        match event {
            Event::Note(text) => say(text),
            Event::Planned(cells) => {
                self.cells = cells.len();
                say(&format!("{} cells", cells.len()));
            }
            Event::Stage { cell, stage } => match stage {
                Stage::Build | Stage::Boot => say(&format!("{cell}: {}", stage.name())),
                Stage::WaitsForBuildDir | Stage::WaitsForBoot => {}
            },
            Event::Status(what) if self.verbose => say(what),
            Event::Doing { cell, what } if self.verbose => say(&format!("{cell}: {what}")),
            Event::Status(_) | Event::Doing { .. } => {}
            Event::Finished { cell, good, line } => {
                self.done = self.done.saturating_add(1);
                let mark = if *good { "ok" } else { "NOT OK" };
                say(&format!("{cell}: {mark}, {line} ({} of {} cells)", self.done, self.cells));
            }
        }
    }
}

/// A line for each cell and one for the whole.
struct Live {
    bars: MultiProgress,
    cells: BTreeMap<String, ProgressBar>,
    stage: BTreeMap<String, &'static str>,
    total: ProgressBar,
    colour: bool,
}

impl Live {
    fn new(colour: bool) -> Self {
        let bars = MultiProgress::new();
        let total = bars.add(ProgressBar::new_spinner().with_style(style("{elapsed:>5} {msg}")));
        total.enable_steady_tick(Duration::from_millis(200));
        Live { bars, cells: BTreeMap::new(), stage: BTreeMap::new(), total, colour }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Note(text) => {
                let _ = self.bars.println(text);
            }
            Event::Status(text) => self.total.set_message(text),
            Event::Planned(cells) => self.plan(&cells),
            Event::Stage { cell, stage } => {
                self.stage.insert(cell.clone(), stage.name());
                if let Some(bar) = self.cells.get(&cell) {
                    bar.set_style(style("{elapsed:>5} {spinner} {prefix}  {msg}"));
                    bar.reset_elapsed();
                    bar.enable_steady_tick(Duration::from_millis(200));
                    bar.set_message(stage.name());
                }
            }
            Event::Doing { cell, what } => {
                let stage = self.stage.get(&cell).copied().unwrap_or_default();
                if let Some(bar) = self.cells.get(&cell) {
                    bar.set_message(format!("{stage}: {what}"));
                }
            }
            Event::Finished { cell, good, line } => self.finish(&cell, good, &line),
        }
    }

    fn plan(&mut self, cells: &[String]) {
        let width = cells.iter().map(String::len).max().unwrap_or_default();
        // What was planned before has its line already.
        for cell in cells.iter().filter(|cell| !self.cells.contains_key(*cell)).collect::<Vec<_>>() {
            let bar = ProgressBar::new_spinner().with_style(style("      . {prefix}  {msg}"));
            let bar = self.bars.insert_before(&self.total, bar);
            bar.set_prefix(format!("{cell:width$}"));
            bar.set_message("waits");
            self.cells.insert(cell.clone(), bar);
        }
        self.total.set_style(style("{elapsed:>5} {wide_bar} {pos} of {len} cells"));
        self.total.set_length(cells.len() as u64);
    }

    fn finish(&mut self, cell: &str, good: bool, line: &str) {
        if let Some(bar) = self.cells.get(cell) {
            let mark = match (self.colour, good) {
                (true, true) => "\u{1b}[32m✓\u{1b}[0m",
                (true, false) => "\u{1b}[31m✗\u{1b}[0m",
                (false, true) => "✓",
                (false, false) => "✗",
            };
            bar.set_style(style(&format!("{{elapsed:>5}} {mark} {{prefix}}  {{msg}}")));
            bar.finish_with_message(line.to_owned());
        }
        self.total.inc(1);
    }

    fn end(self) {
        for bar in self.cells.values().filter(|bar| !bar.is_finished()) {
            bar.abandon();
        }
        self.total.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // A template that does not parse is seen at once; the default keeps the run going.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut() {
        let Event::Note(text) = escaped(Event::Note("\u{1f980}".repeat(100_000))) else { panic!("a note") };
        assert_eq!(text.chars().count(), CHARS_MAX + 1);
    }

    #[test]
    fn texts_of_every_event_are_escaped() {
        let hostile = || "\u{1b}[2J\u{202e}a\nb".to_owned();
        let events = [
            Event::Note(hostile()),
            Event::Status(hostile()),
            Event::Planned(vec![hostile()]),
            Event::Stage { cell: hostile(), stage: Stage::Boot },
            Event::Doing { cell: hostile(), what: hostile() },
            Event::Finished { cell: hostile(), good: true, line: hostile() },
        ];
        for event in events {
            let shown = format!("{:?}", escaped(event));
            // Of a backslash that is there, Debug makes two.
            assert!(shown.contains(r"\\x1b[2J\\u{202e}a\\nb"), "{shown}");
            assert!(!shown.contains(r"\u{1b}") && !shown.contains(r"a\nb"), "{shown}");
        }
    }
}
