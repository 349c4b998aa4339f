//! What a kernel prints when something is wrong, as one table: kind, headlines, and where the block below ends.
//! Two more name the lines that look like trouble and are not, and those that take a report back. Pure: one line of
//! text in, at most one row out.

mod table;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use table::{ASKED_FOR, NOISE, ORPHANS, PROGRAMS_TOO, REPEATED, TABLE, TAKEN_BACK};

/// What kind of trouble a headline announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    MightSleep,
    SchedulingWhileAtomic,
    ContextAssumption,
    SmpProcessorId,
    RcuUsage,
    RcuContextSwitch,
    WaitContext,
    Lockdep,
    Spinlock,
    RcuStall,
    HungTask,
    SoftLockup,
    HardLockup,
    WorkqueueLockup,
    CsdLock,
    Kasan,
    Kcsan,
    Kmsan,
    Kfence,
    Ubsan,
    Kmemleak,
    Slab,
    BadPage,
    BadPageState,
    RssCounter,
    PageTableBytes,
    IrqRestore,
    ListCorruption,
    DebugObjects,
    OutOfMemory,
    UserFault,
    MessagesDropped,
    Panic,
    KernelBug,
    PageFault,
    ProtectionFault,
    Oops,
    CutHere,
    Warning,
    OtherBug,
    OtherInfo,
    BadPageTable,
    Usercopy,
    UnhandledIrq,
    LeakedReference,
    Kobject,
    BrokenInvariant,
    /// A stack below a line that no row knows.
    UnexplainedStack,
    /// The body of a report whose headline is lost.
    LostHeadline,
}

/// The last line of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The headline is all there is.
    Headline,
    /// `</TASK>`, below the last stack that dump_stack() or show_regs() prints (x86; elsewhere nothing marks it).
    Stack,
    /// `---[ end trace 0000000000000000 ]---` or `---[ end trace ]---`.
    TraceMark,
    /// A line of `=`.
    Rule,
    /// `---[ end Kernel panic - not syncing: … ]---`.
    PanicMark,
    /// Nothing marks it: it ends where the thread's next headline starts.
    Unmarked,
}

/// One kind of report.
#[derive(Debug)]
pub struct Row {
    pub kind: Kind,
    /// Used in reports and in the headers of controls.
    pub name: &'static str,
    /// `*` stands for any text; the end is open. Without a leading `*` the line starts so.
    headlines: &'static [&'static str],
    pub end: End,
    /// Inside a block of one of these kinds the line is part of it and no report of its own.
    pub part_of: &'static [Kind],
    /// Directly below the headline of one of these kinds the line is part of that report.
    pub below: &'static [Kind],
    /// Inside a block of one of these kinds the line says what that block is about.
    pub renames: &'static [Kind],
}

fn all_rows() -> impl Iterator<Item = &'static Row> {
    TABLE.iter().chain(ORPHANS)
}

impl Kind {
    pub fn name(self) -> &'static str {
        all_rows().find(|row| row.kind == self).map_or("unknown", |row| row.name)
    }

    pub fn from_name(name: &str) -> Option<Kind> {
        all_rows().find(|row| row.name == name).map(|row| row.kind)
    }

    /// Every name once, in the order of the table.
    pub fn all_names() -> Vec<&'static str> {
        let mut names: Vec<&str> = all_rows().map(|row| row.name).collect();
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(*name));
        names
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
        let name = String::deserialize(deserializer)?;
        Kind::from_name(&name).ok_or_else(|| serde::de::Error::custom(format!("no kind of splat `{name}`")))
    }
}

/// The row of the trouble that `text` (a console line without its prefix) announces, if any.
pub fn headline(text: &str) -> Option<&'static Row> {
    matching(text).map(|(_, row)| *row)
}

/// As [`headline`], if no other program is likely to write such a line.
pub fn kernel_only(text: &str) -> Option<&'static Row> {
    matching(text).filter(|(pattern, _)| !PROGRAMS_TOO.contains(&pattern.text)).map(|(_, row)| *row)
}

fn matching(text: &str) -> Option<&'static (Pattern, &'static Row)> {
    let first = usize::from(*text.as_bytes().first()?);
    let row = PATTERNS[first].iter().find(|(pattern, _)| pattern.matches(text))?;
    let noise = NOISE.iter().any(|(pattern, _)| Pattern::new(pattern).matches(text));
    (!noise && !REPEATED.iter().any(|start| text.starts_with(start))).then_some(row)
}

/// The row of a report that `text`, a line in no report, is a part of: its headline is lost, or no row knows it.
pub fn orphan(text: &str) -> Option<&'static Row> {
    let first = usize::from(*text.as_bytes().first()?);
    ORPHAN_PATTERNS[first].iter().find(|(pattern, _)| pattern.matches(text)).map(|(_, row)| *row)
}

/// Whether `text` says that a stack was asked for, and where what follows ends.
pub fn asked_for(text: &str) -> Option<End> {
    let first = text.as_bytes().first()?;
    let may_match = |start: &str| start.starts_with('*') || start.as_bytes().first() == Some(first);
    let mut asked = ASKED_FOR.iter().filter(|(pattern, ..)| may_match(pattern));
    asked.find(|(pattern, ..)| Pattern::new(pattern).matches(text)).map(|(_, end, _)| *end)
}

/// Whether `text`, a line inside a report of `kind`, says that there was no trouble after all.
pub fn takes_back(kind: Kind, text: &str) -> bool {
    TAKEN_BACK.iter().any(|(of, pattern, _)| *of == kind && Pattern::new(pattern).matches(text))
}

/// The source place that a line names: `FILE:LINE` or `FILE:LINE:COLUMN`, as a word of its own.
pub fn location(text: &str) -> Option<(String, u32)> {
    text.split([' ', '!', ',']).find_map(|word| {
        let mut parts = word.split(':');
        let (file, line) = (parts.next()?, parts.next()?);
        let source = file.contains('/') && [".c", ".h", ".S", ".rs"].iter().any(|end| file.ends_with(end));
        if source { Some((file.trim_start_matches("./").to_owned(), line.parse().ok()?)) } else { None }
    })
}

impl End {
    /// Whether `text` is the last line of a block that ends so.
    pub fn is_at(self, text: &str) -> bool {
        match self {
            End::Headline => true,
            End::Stack => text.trim() == "</TASK>",
            End::TraceMark => text.starts_with("---[ end trace"),
            End::Rule => text.len() > 40 && text.bytes().all(|byte| byte == b'='),
            End::PanicMark => text.starts_with("---[ end Kernel panic"),
            End::Unmarked => false,
        }
    }
}

/// The rows that a line can match, by its first byte: most lines are ordinary, and most bytes start no headline.
static PATTERNS: LazyLock<Vec<Vec<(Pattern, &'static Row)>>> = LazyLock::new(|| by_first_byte(TABLE));
static ORPHAN_PATTERNS: LazyLock<Vec<Vec<(Pattern, &'static Row)>>> =
    LazyLock::new(|| by_first_byte(ORPHANS));

fn by_first_byte(rows: &'static [Row]) -> Vec<Vec<(Pattern, &'static Row)>> {
    let starts_with =
        |pattern: &Pattern, first: u8| pattern.start.as_bytes().first().is_none_or(|&byte| byte == first);
    let all = || rows.iter().flat_map(|row| row.headlines.iter().map(move |text| (Pattern::new(text), row)));
    (0..=u8::MAX).map(|first| all().filter(|(pattern, _)| starts_with(pattern, first)).collect()).collect()
}

/// A headline taken apart at its `*`.
struct Pattern {
    text: &'static str,
    start: &'static str,
    rest: Vec<&'static str>,
}

impl Pattern {
    fn new(text: &'static str) -> Pattern {
        let mut parts = text.split('*');
        Pattern { text, start: parts.next().unwrap_or_default(), rest: parts.collect() }
    }

    fn matches(&self, text: &str) -> bool {
        let Some(mut left) = text.strip_prefix(self.start) else { return false };
        for part in &self.rest {
            let Some((_, after)) = left.split_once(part) else { return false };
            left = after;
        }
        true
    }
}
