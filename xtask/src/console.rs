//! The guest's console as a stream of hostile bytes: lines, their threads, the splats among them. Memory stays
//! bounded whatever the guest prints, and the same bytes give the same result wherever the stream is cut.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::splat::{self, Kind};

/// A line longer than this is cut: no kernel message is (kernel/printk, PRINTK_MESSAGE_MAX is 2048).
const LINE_BYTES_MAX: usize = 4096;
/// A block longer than this is cut; lockdep's longest reports have some 200 lines.
const BLOCK_LINES_MAX: usize = 240;
/// Splats kept with their text; later ones are only counted.
const SPLATS_MAX: usize = 64;
/// Lines kept for the report of a guest that hung.
const LAST_LINES: usize = 25;

/// One report of trouble: its headline and the block under it, lines of other threads taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Splat {
    pub kind: Kind,
    pub headline: String,
    /// `file:line` where the headline names one.
    pub location: Option<String>,
    pub text: Vec<String>,
}

/// What a console has said so far.
#[derive(Debug, Default)]
pub struct Console {
    partial: Vec<u8>,
    /// The splat each thread is printing, by index.
    open: BTreeMap<String, usize>,
    last: VecDeque<String>,
    splats: Vec<Splat>,
    splats_total: u64,
    bytes: u64,
    spoke: bool,
}

impl Console {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line();
            } else if self.partial.len() < LINE_BYTES_MAX {
                self.partial.push(byte);
            }
        }
    }

    /// The stream is over: what stands without a line end is a line too.
    pub fn finish(&mut self) {
        if !self.partial.is_empty() {
            self.end_line();
        }
        self.open.clear();
    }

    /// Splats in order of their headlines, at most the first 64.
    pub fn splats(&self) -> &[Splat] {
        &self.splats
    }

    pub fn splats_total(&self) -> u64 {
        self.splats_total
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The kernel printed its banner (init/version.c, linux_banner).
    pub fn kernel_spoke(&self) -> bool {
        self.spoke
    }

    pub fn last_lines(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }

    fn end_line(&mut self) {
        let line = printable(&std::mem::take(&mut self.partial));
        let (thread, text) = split_prefix(&line);
        self.spoke |= text.starts_with("Linux version ");
        self.take(thread, text);
        if !line.is_empty() {
            self.last.push_back(line);
            if self.last.len() > LAST_LINES {
                self.last.pop_front();
            }
        }
    }

    fn take(&mut self, thread: &str, text: &str) {
        if let Some(kind) = splat::headline(text) {
            self.open.remove(thread);
            self.splats_total += 1;
            if self.splats.len() < SPLATS_MAX {
                self.open.insert(thread.to_owned(), self.splats.len());
                let location = splat::location(text).map(|(file, line)| format!("{file}:{line}"));
                self.splats.push(Splat {
                    kind,
                    headline: text.to_owned(),
                    location,
                    text: vec![text.to_owned()],
                });
            }
        } else if let Some(&at) = self.open.get(thread) {
            let block = &mut self.splats[at].text;
            block.push(text.to_owned());
            if splat::ends_block(text) || block.len() >= BLOCK_LINES_MAX {
                self.open.remove(thread);
            }
        }
    }
}

/// Text that a terminal and a JSON file can hold: escape sequences and control bytes are dropped, what is not
/// UTF-8 is replaced.
fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                if chars.peek() == Some(&'[') {
                    chars.next();
                    while chars.next_if(|c| !('@'..='~').contains(c)).is_some() {}
                    chars.next();
                }
            }
            '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// Splits `[    1.234567][   T43] text` into the thread and the text. Lines of firmware and of init have no
/// prefix: they belong to the thread "".
fn split_prefix(line: &str) -> (&str, &str) {
    let Some((time, rest)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return ("", line);
    };
    let is_time = |text: &str| text.split_once('.').is_some_and(|(s, us)| digits(s.trim()) && digits(us));
    if !is_time(time) {
        return ("", line);
    }
    let caller = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    match caller.map(|(caller, text)| (caller.trim(), text)) {
        // kernel/printk/printk.c, print_caller(): T and a pid, or C and a CPU.
        Some((caller, text)) if caller.strip_prefix(['T', 'C']).is_some_and(digits) => {
            (caller, strip_one(text))
        }
        _ => ("", strip_one(rest)),
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn strip_one(text: &str) -> &str {
    text.strip_prefix(' ').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Console {
        let mut console = Console::default();
        console.feed(bytes);
        console.finish();
        console
    }

    #[test]
    fn lines_of_two_cpus_that_interleave_are_told_apart_by_their_threads() {
        let log = b"[    1.000000][   T43] BUG: sleeping function called from invalid context at mm/mmu_gather.c:315\r
[    1.000001][    T7] an innocent line\r
[    1.000002][   T43] in_atomic(): 1, irqs_disabled(): 0\r
[    1.000003][   T43]  </TASK>\r
[    1.000004][   T43] life goes on\r\n";
        let console = read(log);
        let splat = &console.splats()[0];
        assert_eq!(splat.kind, Kind::MightSleep);
        assert_eq!(splat.location.as_deref(), Some("mm/mmu_gather.c:315"));
        assert_eq!(splat.text[1..], ["in_atomic(): 1, irqs_disabled(): 0", " </TASK>"]);
        assert_eq!(console.splats_total(), 1);
    }

    #[test]
    fn a_headline_without_a_line_end_is_found_when_the_stream_ends() {
        assert_eq!(read(b"[    1.0][ T1] Kernel panic - not syncing: x").splats()[0].kind, Kind::Panic);
    }

    #[test]
    fn nul_bytes_escapes_and_broken_utf8_do_not_hide_a_headline() {
        assert_eq!(
            read(b"\0\x1b[2J[   1.000000][  T1] \0BUG: Bad\xff rss-counter state\n").splats_total(),
            1
        );
    }

    #[test]
    fn a_flood_is_counted_but_not_kept() {
        let console = read(&b"[    1.000000][   T43] BUG: scheduling while atomic: a/1/2\n".repeat(10_000));
        assert_eq!(console.splats_total(), 10_000);
        assert_eq!(console.splats().len(), SPLATS_MAX);
        assert_eq!(read(&vec![b'x'; 10_000_000]).last_lines().next().map(str::len), Some(LINE_BYTES_MAX));
    }

    proptest! {
        #[test]
        fn the_same_bytes_cut_anywhere_give_the_same_result(
            lines in proptest::collection::vec("(\\[ +1\\.000\\]\\[ T[12]\\] )?(BUG: KASAN: x| </TASK>|a|\0)", 0..20),
            cuts in proptest::collection::vec(0usize..400, 0..8),
        ) {
            let bytes = lines.join("\n").into_bytes();
            let mut console = Console::default();
            let mut at: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            for pair in at.windows(2) {
                console.feed(&bytes[pair[0]..pair[1]]);
            }
            console.finish();
            let whole = read(&bytes);
            prop_assert_eq!(console.splats(), whole.splats());
            prop_assert_eq!(console.splats_total(), whole.splats_total());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            read(&bytes);
        }
    }
}
