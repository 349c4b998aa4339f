//! Shows events while a run is on: live lines on a terminal, plain ones elsewhere. Always on standard error, so
//! that standard output holds the result and nothing else.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::events::{Event, Stage};

/// Shows events on a thread of its own until the last sender is gone.
pub fn show(events: Receiver<Event>, verbose: bool) -> JoinHandle<()> {
    std::thread::spawn(move || {
        if std::io::stderr().is_terminal() {
            let mut live = Live::new();
            events.iter().for_each(|event| live.take(event));
            live.end();
        } else {
            let mut plain = Plain { started: Instant::now(), verbose, cells: 0, done: 0 };
            events.iter().for_each(|event| plain.take(&event));
        }
    })
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
        let say = |text: &str| eprintln!("[{:>2}:{:02}] {text}", at / 60, at % 60);
        match event {
            Event::Note(text) => say(text),
            Event::Planned(cells) => {
                self.cells = cells.len();
                say(&format!("{} cells", cells.len()));
            }
            Event::Stage { cell, stage } => match stage {
                Stage::Build | Stage::Boot => say(&format!("{cell}: {}", stage.name())),
                Stage::WaitsForLane | Stage::WaitsForBoot => {}
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
}

impl Live {
    fn new() -> Self {
        let bars = MultiProgress::new();
        let total = bars.add(ProgressBar::new_spinner().with_style(style("{elapsed:>5} {msg}")));
        total.enable_steady_tick(Duration::from_millis(200));
        Live { bars, cells: BTreeMap::new(), stage: BTreeMap::new(), total }
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
        for cell in cells {
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
            let mark = if good {
                "{elapsed:>5} \u{1b}[32m✓\u{1b}[0m"
            } else {
                "{elapsed:>5} \u{1b}[31m✗\u{1b}[0m"
            };
            bar.set_style(style(&format!("{mark} {{prefix}}  {{msg}}")));
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
