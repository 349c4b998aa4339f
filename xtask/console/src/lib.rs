//! The guest's console as a stream of hostile bytes: lines, their threads, the splats among them. Memory stays
//! bounded whatever the guest prints, and the same bytes give the same result wherever the stream is cut.
//! Knows nothing of the harness and of no campaign.
//!
//! Whose line it is says the caller that printk puts in front (PRINTK_CALLER). Two rules where it does not:
//!
//! - *Without callers*, lines of several CPUs are told apart as if they were nested: a headline interrupts the report
//!   above it, which goes on when the inner one has ended, or when a line comes that belongs to its kind alone. Each
//!   report keeps its kind and its headline; lines of the two stacks may stand in the wrong one.
//! - *A line without any prefix on a console that has them* is another program's, unless it is a headline that no program
//!   writes ([`splat::kernel_only`]): then its prefix was lost on the way. Of a prefix a part is enough.

#[cfg(test)]
mod corpus;
mod line;
pub mod splat;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, Read};

use serde::{Deserialize, Serialize};

use line::Piece;
use splat::{End, Kind, Row};

/// A line longer than this is cut: no kernel message is (kernel/printk, PRINTK_MESSAGE_MAX is 2048).
const LINE_BYTES_MAX: usize = 4096;
/// How far back from its end a line that is too long may be cut, so that a kernel line behind it stays whole.
const CUT_WITHIN: usize = 256;
/// A block longer than this is cut; lockdep's longest reports have some 200 lines.
const BLOCK_LINES_MAX: usize = 240;
const BLOCK_BYTES_MAX: usize = 64 << 10;
/// Splats kept with their text; later ones are only counted.
const SPLATS_MAX: usize = 64;
/// Splats kept of one kind and place, so that a flood of one leaves room for others.
const ALIKE_MAX: usize = 8;
/// Threads whose blocks are followed at the same time; a thread that nobody hears of again must not stay for ever.
const OPEN_MAX: usize = 256;
/// A block that has an end is followed so far without being kept: what is left of a report is no report of its own.
const FOLLOWED_LINES_MAX: usize = 2000;
/// Lines of a thread below the end of its report that still belong to it, such as the registers that die() prints last.
const TAIL_LINES: usize = 200;
/// Lines of a stack that was asked for, and of all that sysrq prints.
const ASKED_LINES_MAX: usize = 5000;
/// Reports without a caller that others have interrupted, and how many lines later they may still go on.
const INTERRUPTED_MAX: usize = 4;
const INTERRUPTED_LINES_MAX: usize = BLOCK_LINES_MAX;
/// Lines kept for the report of a guest that hung.
const LAST_LINES: usize = 25;

/// One report of trouble: its headline and the block around it, lines of other threads taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Splat {
    pub kind: Kind,
    pub headline: String,
    /// `file:line` where the headline, or lockdep's line below it, names one.
    pub location: Option<String>,
    pub text: Vec<String>,
}

impl Splat {
    /// A breakpoint that nobody takes for its own (arch/x86/kernel/traps.c, exc_int3()). Guests that are emulated have died of one
    /// while the kernel patched its own text.
    pub fn is_breakpoint(&self) -> bool {
        self.headline.starts_with("Oops: int3:")
    }

    /// The functions that its stack names, innermost first; not those that the kernel is not sure of (`? function`).
    pub fn functions(&self) -> Vec<String> {
        let mut functions = Vec::new();
        for line in &self.text {
            let mut before = "";
            for word in line.split_whitespace() {
                // kernel/kallsyms.c, __sprint_symbol(): NAME+0xOFFSET/0xSIZE.
                if let Some((name, _)) = word.split_once("+0x").filter(|_| before != "?") {
                    // gcc names the clones of a function NAME.isra.0 and the like; a register dump has SEGMENT:NAME.
                    let name = name.rsplit(':').next().unwrap_or(name);
                    functions.push(name.split('.').next().unwrap_or(name).to_owned());
                }
                before = word;
            }
        }
        functions
    }
}

/// What a console has said so far.
#[derive(Debug, Default)]
pub struct Console {
    partial: Vec<u8>,
    /// The block each thread is printing.
    open: BTreeMap<String, Block>,
    /// Reports without a caller that another one has interrupted, the newest last.
    interrupted: Vec<Block>,
    /// Lines without a caller.
    without_caller: usize,
    /// A headline without a prefix was the last line: the next caller goes on with its report.
    bare_headline: bool,
    last: VecDeque<String>,
    splats: Vec<Splat>,
    splats_total: u64,
    spoke: bool,
    ran_init: bool,
    /// The kernel's banner had a prefix, so that a line without one is another program's.
    prefixed: bool,
    /// Some line had a prefix: the kernel was there, perhaps before its banner.
    saw_prefix: bool,
    /// Splats kept, and all, of the lines before the first one that had a prefix.
    before_prefix: (usize, u64),
    /// Threads that print a stack which was asked for, and how long that may still be.
    asked: BTreeMap<String, (End, usize)>,
    /// Threads whose report has ended, and the lines since then.
    ended: BTreeMap<String, usize>,
    /// The line before this one, and its thread.
    above: (String, String),
}

/// A report that has begun and not ended.
#[derive(Debug)]
struct Block {
    kind: Kind,
    end: End,
    /// Index of the splat that takes the text; none if the splat is only counted.
    kept: Option<usize>,
    lines: usize,
    bytes: usize,
    /// Lines after which it is over, whether or not its end was seen.
    lines_max: usize,
    /// Of the lines without a caller, the one that interrupted it.
    interrupted_at: usize,
}

impl Console {
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - self.partial.len();
            // Reading from memory does not fail.
            let _ = (&mut bytes).take(room as u64).read_until(b'\n', &mut self.partial);
            if self.partial.last() == Some(&b'\n') {
                self.end_line();
            } else if self.partial.len() == LINE_BYTES_MAX {
                self.cut_line();
            }
        }
    }

    /// The stream is over: what stands without a line end is a line too.
    pub fn finish(&mut self) {
        self.end_line();
        self.open.clear();
        self.interrupted.clear();
        self.asked.clear();
        self.ended.clear();
    }

    /// Splats in order of their headlines: at most the first 64, and of one kind and place at most 8. A later line may
    /// still take one back.
    pub fn splats(&self) -> &[Splat] {
        &self.splats
    }

    pub fn splats_total(&self) -> u64 {
        self.splats_total
    }

    /// The kernel printed its banner (init/version.c, linux_banner).
    pub fn kernel_spoke(&self) -> bool {
        self.spoke
    }

    /// The kernel said that it runs the first program (init/main.c, `run_init_process()`).
    pub fn ran_init(&self) -> bool {
        self.ran_init
    }

    pub fn last_lines(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }

    /// Ends a line that is too long, if possible in front of what may be a printk prefix.
    fn cut_line(&mut self) {
        let tail = self.partial.len() - CUT_WITHIN;
        let bracket = self.partial[tail..].iter().rposition(|byte| *byte == b'[');
        let rest = bracket.map(|at| self.partial.split_off(tail + at));
        self.end_line();
        self.partial = rest.unwrap_or_default();
    }

    fn end_line(&mut self) {
        let bytes = std::mem::take(&mut self.partial);
        let bytes = bytes.trim_ascii_end();
        if line::is_plain(bytes) {
            return self.read_line(String::from_utf8_lossy(bytes).into_owned());
        }
        // A carriage return in the middle is somebody's progress line that the kernel may have spoken behind.
        for part in bytes.split(|byte| *byte == b'\r') {
            self.read_line(line::printable(part));
        }
    }

    fn read_line(&mut self, line: String) {
        for Piece { thread, text, has_prefix } in line::pieces(&line) {
            if has_prefix && !self.saw_prefix {
                self.saw_prefix = true;
                self.before_prefix = (self.splats.len(), self.splats_total);
            }
            if text.starts_with("Linux version ") {
                self.banner(has_prefix);
            }
            self.ran_init |= text.starts_with("Run /") && text.ends_with(" as init process");
            if has_prefix || !self.prefixed {
                self.take_line(thread, text);
            } else if let Some((thread, text)) = line::with_half_a_prefix(text) {
                self.take_line(thread, text);
            } else if splat::kernel_only(text).is_some() {
                self.take_line("", text);
                self.bare_headline = true;
            }
        }
        if !line.is_empty() {
            self.last.push_back(line);
            if self.last.len() > LAST_LINES {
                self.last.pop_front();
            }
        }
    }

    /// The kernel begins (init/version.c, linux_banner). What firmware and boot loader said before is not its word. Some
    /// kernels speak before their banner: arm64 says `Booting Linux on physical CPU`, x86 what its microcode is.
    fn banner(&mut self, has_prefix: bool) {
        if !self.spoke {
            let all = (self.splats.len(), self.splats_total);
            let (kept, total) = if self.saw_prefix { self.before_prefix } else { all };
            self.splats.drain(..kept);
            self.splats_total -= total;
            let is_later = |block: &mut Block| {
                let later = block.kept.is_none_or(|at| at >= kept);
                block.kept = block.kept.map(|at| at.saturating_sub(kept));
                later
            };
            self.open.retain(|_, block| is_later(block));
            self.interrupted.retain_mut(is_later);
        }
        self.spoke = true;
        self.prefixed = has_prefix;
    }

    fn take_line(&mut self, thread: &str, text: &str) {
        if std::mem::take(&mut self.bare_headline) && !thread.is_empty() && !self.open.contains_key(thread) {
            if let Some(block) = self.open.remove("") {
                self.open.insert(thread.to_owned(), block);
            }
        }
        self.without_caller += usize::from(thread.is_empty());
        self.take(thread, text);
        thread.clone_into(&mut self.above.0);
        text.clone_into(&mut self.above.1);
    }

    fn take(&mut self, thread: &str, text: &str) {
        let row = splat::headline(text);
        if thread.is_empty() {
            self.go_back_to_its_report(row, text);
        }
        let open = self.open.get(thread).map(|block| block.kind);
        match (row, open) {
            (Some(row), Some(open)) if row.renames.contains(&open) => {
                self.rename(thread, row, text);
                self.follow(thread, text);
            }
            (Some(row), Some(open)) if row.part_of.contains(&open) => self.follow(thread, text),
            (Some(row), Some(open)) if row.below.contains(&open) && self.is_directly_below(thread) => {
                self.follow(thread, text);
            }
            (Some(row), _) => self.begin(thread, row, text),
            (None, Some(open)) if splat::takes_back(open, text) => self.take_back(thread),
            (None, Some(_)) => self.follow(thread, text),
            (None, None) => self.stray(thread, text),
        }
    }

    /// A line that belongs to no open report and to an interrupted one: that one goes on, and the other is interrupted.
    fn go_back_to_its_report(&mut self, row: Option<&Row>, text: &str) {
        let belongs = |kind: Kind| match row {
            Some(row) => {
                row.renames.contains(&kind) || row.part_of.contains(&kind) || row.below.contains(&kind)
            }
            None => splat::takes_back(kind, text),
        };
        if self.interrupted.is_empty() || self.open.get("").is_some_and(|open| belongs(open.kind)) {
            return;
        }
        let Some(at) =
            self.interrupted.iter().rposition(|block| self.may_go_on(block) && belongs(block.kind))
        else {
            return;
        };
        let block = self.interrupted.remove(at);
        if let Some(open) = self.open.insert(String::new(), block) {
            self.interrupt(open);
        }
    }

    fn may_go_on(&self, block: &Block) -> bool {
        self.without_caller - block.interrupted_at <= INTERRUPTED_LINES_MAX
    }

    fn interrupt(&mut self, mut block: Block) {
        if self.interrupted.len() == INTERRUPTED_MAX {
            self.interrupted.remove(0);
        }
        block.interrupted_at = self.without_caller;
        self.interrupted.push(block);
    }

    /// The newest report that was interrupted and whose end is still to come goes on. Its end may have gone by.
    fn go_on(&mut self) -> bool {
        let has_end = |block: &Block| block.end != End::Unmarked;
        let Some(at) = self.interrupted.iter().rposition(|block| has_end(block) && self.may_go_on(block))
        else {
            return false;
        };
        let mut block = self.interrupted.remove(at);
        block.lines_max = block.lines_max.min(block.lines + TAIL_LINES);
        self.open.insert(String::new(), block);
        true
    }

    /// The open block of the thread has had its headline only.
    fn is_directly_below(&self, thread: &str) -> bool {
        self.open.get(thread).is_some_and(|block| block.lines == 1)
    }

    /// A line in no report. A stack that was not asked for, and the body of a report whose headline is lost, are trouble.
    fn stray(&mut self, thread: &str, text: &str) {
        if let Some((end, left)) = self.asked.get_mut(thread) {
            *left -= 1;
            if end.is_at(text) || *left == 0 {
                self.asked.remove(thread);
            }
            return;
        }
        if let Some(end) = splat::asked_for(text) {
            if self.asked.len() == OPEN_MAX {
                self.asked.pop_first();
            }
            self.asked.insert(thread.to_owned(), (end, ASKED_LINES_MAX));
            return;
        }
        if let Some(lines) = self.ended.get_mut(thread) {
            *lines += 1;
            if *lines == TAIL_LINES {
                self.ended.remove(thread);
            }
            return;
        }
        let Some(row) = splat::orphan(text) else { return };
        let above = &self.above;
        if row.kind == Kind::UnexplainedStack && above.0 == thread && !above.1.is_empty() {
            let headline = above.1.clone();
            self.begin(thread, row, &headline);
            self.follow(thread, text);
        } else {
            self.begin(thread, row, text);
        }
    }

    fn begin(&mut self, thread: &str, row: &Row, text: &str) {
        if let Some(open) = self.open.remove(thread).filter(|_| thread.is_empty()) {
            self.interrupt(open);
        }
        self.asked.remove(thread);
        self.ended.remove(thread);
        self.splats_total += 1;
        let location = place(text);
        let keep = self.splats.len() < SPLATS_MAX && self.alike(row.kind, location.as_deref()) < ALIKE_MAX;
        let kept = keep.then_some(self.splats.len());
        if keep {
            let headline = text.to_owned();
            self.splats.push(Splat { kind: row.kind, headline, location, text: Vec::new() });
        }
        if self.open.len() == OPEN_MAX {
            self.open.pop_first();
        }
        let block = Block {
            kind: row.kind,
            end: row.end,
            kept,
            lines: 0,
            bytes: 0,
            lines_max: FOLLOWED_LINES_MAX,
            interrupted_at: 0,
        };
        self.open.insert(thread.to_owned(), block);
        self.follow(thread, text);
    }

    /// The open block turns out to be what `row` says.
    fn rename(&mut self, thread: &str, row: &Row, text: &str) {
        let Some(block) = self.open.get_mut(thread) else { return };
        (block.kind, block.end) = (row.kind, row.end);
        let Some(at) = block.kept else { return };
        let splat = &mut self.splats[at];
        splat.kind = row.kind;
        text.clone_into(&mut splat.headline);
        splat.location = place(text).or_else(|| splat.location.take());
        let location = splat.location.clone();
        if at + 1 == self.splats.len() && self.alike(row.kind, location.as_deref()) > ALIKE_MAX {
            self.splats.pop();
            self.before_prefix.0 = self.before_prefix.0.min(at);
            if let Some(block) = self.open.get_mut(thread) {
                block.kept = None;
            }
        }
    }

    /// The open block was no trouble after all.
    fn take_back(&mut self, thread: &str) {
        let Some(block) = self.open.remove(thread) else { return };
        self.splats_total -= 1;
        self.before_prefix.1 = self.before_prefix.1.min(self.splats_total);
        let Some(at) = block.kept else { return };
        self.splats.remove(at);
        if at < self.before_prefix.0 {
            self.before_prefix.0 -= 1;
            self.before_prefix.1 = self.before_prefix.1.saturating_sub(1);
        }
        let blocks = self.open.values_mut().chain(&mut self.interrupted);
        for kept in blocks.filter_map(|block| block.kept.as_mut()) {
            *kept -= usize::from(*kept > at);
        }
    }

    /// Adds a line to the block of its thread.
    fn follow(&mut self, thread: &str, text: &str) {
        let Some(block) = self.open.get_mut(thread) else { return };
        block.lines += 1;
        block.bytes += text.len();
        if let Some(splat) = block.kept.and_then(|at| self.splats.get_mut(at)) {
            if splat.location.is_none() && block.kind == Kind::RcuUsage {
                // kernel/locking/lockdep.c, lockdep_rcu_suspicious(): the place stands two lines below.
                splat.location = place(text);
            }
            splat.text.push(text.to_owned());
        }
        let full = block.lines >= BLOCK_LINES_MAX || block.bytes >= BLOCK_BYTES_MAX;
        if full {
            block.kept = None;
        }
        let over = full && block.end == End::Unmarked || block.lines >= block.lines_max;
        if block.end.is_at(text) || over {
            let headline_only = block.end == End::Headline;
            self.open.remove(thread);
            if !(thread.is_empty() && self.go_on() || headline_only) {
                if self.ended.len() == OPEN_MAX {
                    self.ended.pop_first();
                }
                self.ended.insert(thread.to_owned(), 0);
            }
        }
    }

    /// How many splats of one kind and place are kept.
    fn alike(&self, kind: Kind, location: Option<&str>) -> usize {
        self.splats.iter().filter(|splat| splat.kind == kind && splat.location.as_deref() == location).count()
    }
}

fn place(text: &str) -> Option<String> {
    splat::location(text).map(|(file, line)| format!("{file}:{line}"))
}
