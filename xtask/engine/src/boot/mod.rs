//! Boots one guest, listens to its console and its result channel, and ends it when it has nothing more to say.
//! Observes and records; whether what it saw is good is for the judge.

pub mod addr2line;
pub mod coverage;
mod exclusive;
mod monitor;
pub mod probe;
pub mod qemu;
pub mod symbols;
pub mod timeouts;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use protocol::{GcovPiece, Hello, Message, Nonce, Trailer, Transcript};

use crate::boot::timeouts::Timeouts;
use crate::host::accel::Accel;
use crate::host::disk::write_whole;
use crate::host::process::{self, ChildEnd, Limits, Running, WatchFlow};
use crate::host::sandbox::{Sandbox, View};
use crate::host::tail_file::{READ_MAX, TailFile};
use crate::observe::{Boot, Coverage, Ending, GuestEnd, Ran, ScenarioRan, Watched};
use console::splat::Kind;
use console::{Console, Splat};
use exclusive::Exclusive;
use failure::{Context, Failure, Result};
use symbols::Symbols;

/// One guest to boot.
#[derive(Clone, Copy)]
pub struct Guest<'a> {
    pub sandbox: &'a Sandbox,
    pub command: &'a [String],
    /// What QEMU sees of the host.
    pub view: &'a View,
    /// Where QEMU is started, and where `registers.txt` goes.
    pub dir: &'a Path,
    /// The kernel as it was linked, and what stands before the names of the binutils that can read it.
    pub symbols: &'a Path,
    pub tools: &'a str,
    pub console: &'a Path,
    pub results: &'a Path,
    /// QEMU's own output.
    pub log: &'a Path,
    pub nonce: &'a Nonce,
    pub accel: Accel,
    /// How much longer than any other it may take: what a soak was asked for.
    pub longer: Duration,
    /// Guest tests that have the host to themselves while they run.
    pub exclusive: &'a [&'a str],
    /// It counts its lines, and this is what makes lines of the counts.
    pub notes: Option<coverage::Notes<'a>>,
    /// Hears what was counted, after each guest test what is new, and says whether the guest may end: it was booted for no more.
    pub enough: Option<&'a dyn Fn(Vec<Coverage>) -> bool>,
    /// Hears of all trouble on the console, and says whether the guest may end: it was booted to see whether there is any.
    pub has_spoken: Option<HasSpoken<'a>>,
}

/// What [`Guest::has_spoken`] is asked.
pub type HasSpoken<'a> = &'a dyn Fn(&[Splat]) -> bool;

/// What belongs to a splat is on the console by then.
const SPLAT_ENDS_AFTER: Duration = Duration::from_secs(2);

/// Hundreds of splats with their stacks take some 2 MB. It is also the most that QEMU can write into any file.
const CONSOLE_BYTES_MAX: u64 = 16 << 20;
/// Counts of 30 objects after each of 20 workloads take some 10 MB.
const RESULTS_BYTES_MAX: u64 = 14 << 20;
/// The watcher keeps the deadline, because it has a question to ask first; the child's own comes later.
const BACKSTOP: Duration = Duration::from_secs(60);

/// Boots the guest and watches it to its end; `look` hears what it does now.
///
/// # Errors
/// On interruption, and when the harness's own files cannot be read or written. A QEMU that is missing or fails
/// is a value.
pub fn boot(guest: &Guest<'_>, mut look: impl FnMut(&str)) -> Result<Boot> {
    for path in [guest.console, guest.results, guest.log] {
        File::create(path).or_infra(|| format!("write {}", path.display()))?;
    }
    let monitor = guest.dir.join(qemu::MONITOR_DIR);
    std::fs::create_dir_all(&monitor).or_infra(|| format!("create {}", monitor.display()))?;
    let timeouts = Timeouts::new(guest.accel)?.and(guest.longer);
    let mut watcher = Watcher::new(guest, timeouts);
    let limits =
        Limits { deadline: timeouts.deadline + BACKSTOP, file_bytes: Some(CONSOLE_BYTES_MAX), asked: None };
    let started = Instant::now();
    let command = process::batch(process::bare(guest.sandbox.command(guest.command, guest.view)));
    let end = process::run("QEMU", command, guest.log, limits, |running| watcher.look(running, &mut look));
    // Nobody listens any more; a socket only irritates those who copy or pack the directory.
    let _ = std::fs::remove_dir_all(&monitor);
    let end = match end {
        Ok(ChildEnd::Interrupted) => return Err(Failure::interrupted()),
        Ok(end) => guest.sandbox.end(end),
        Err(failure) => return Ok(Boot::Infra { why: failure.to_string().replace('\n', ";") }),
    };
    let took = started.elapsed();
    watcher.finish(took);
    let said = words_of_qemu(guest.log).or_infra(|| format!("read {}", guest.log.display()))?;
    let counted = match guest.notes {
        Some(notes) => coverage::read(guest.sandbox, &watcher.seen.pieces, notes, &guest.dir.join("gcov")),
        None => Ok(Vec::new()),
    };
    let mut ran = watcher.into_ran(end, took, said.trim());
    match counted {
        Ok(coverage) => ran.coverage = coverage,
        Err(failure) => ran.rejects.push(failure.to_string().replace('\n', ";")),
    }
    addr2line::add(guest.sandbox, &mut ran.splats, guest.symbols, guest.tools, &guest.dir.join("places.log"));
    Ok(Boot::Ran(Box::new(ran)))
}

/// Most of QEMU's own words that become evidence; all are in its log.
const WORDS_BYTES_MAX: u64 = 4096;

fn words_of_qemu(log: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    File::open(log)?.take(WORDS_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

struct Watcher<'a> {
    guest: &'a Guest<'a>,
    timeouts: Timeouts,
    console_file: TailFile,
    results_file: TailFile,
    console: Console,
    transcript: Transcript,
    seen: Seen,
    stopped: Option<GuestEnd>,
    /// When there was trouble of the kind that it was booted for.
    spoke: Option<Duration>,
    /// So many of the pieces were made lines of, to see whether it is enough.
    pieces_read: usize,
    last_word: Instant,
    exclusive: Exclusive<'a>,
    /// What QEMU said about its CPUs when the guest was given up.
    cpus: Vec<String>,
}

/// What the messages so far amount to.
#[derive(Default)]
struct Seen {
    messages: usize,
    /// When the kernel was about to run init.
    ran_init: Option<Duration>,
    hello: Option<(Hello, Duration)>,
    planned: Vec<String>,
    scenarios: Vec<ScenarioRan>,
    trailer: Option<(Trailer, Duration)>,
    /// When the running scenario began, and the splats that were on the console then.
    began: Duration,
    splats_before: u64,
    out_of_order: Vec<String>,
    /// Of gcov's counts.
    pieces: Vec<GcovPiece>,
}

/// What else there was when a message was heard.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Duration,
    /// Splats on the console.
    splats: u64,
    /// The test that runs had the host to itself until now.
    exclusive: bool,
}

impl<'a> Watcher<'a> {
    fn new(guest: &'a Guest<'a>, timeouts: Timeouts) -> Self {
        Watcher {
            guest,
            timeouts,
            console_file: TailFile::new(guest.console),
            results_file: TailFile::new(guest.results),
            console: Console::default(),
            transcript: Transcript::new(guest.nonce.clone()),
            seen: Seen::default(),
            stopped: None,
            spoke: None,
            pieces_read: 0,
            last_word: Instant::now(),
            exclusive: Exclusive::new(guest.exclusive),
            cpus: Vec::new(),
        }
    }

    fn look(&mut self, running: Running, look: &mut impl FnMut(&str)) -> WatchFlow {
        let elapsed = running.elapsed;
        if self.read(elapsed) {
            self.last_word = Instant::now();
            look(&self.seen.doing());
        }
        self.exclusive.look(self.seen.running(), &running);
        self.stopped = self.reason_to_stop(elapsed);
        if self.stopped.is_none() && (self.has_counted_enough() || self.has_spoken(elapsed)) {
            self.stopped = Some(GuestEnd::Enough);
        }
        if matches!(self.stopped, Some(GuestEnd::Silent | GuestEnd::Stuck | GuestEnd::DeadlinePassed)) {
            self.ask_qemu();
        }
        if self.stopped.is_some() { WatchFlow::Stop } else { WatchFlow::Continue }
    }

    /// Reads what is new on both channels; says whether there was anything.
    fn read(&mut self, elapsed: Duration) -> bool {
        // A channel that cannot be read is a channel that says nothing: no trailer, no pass.
        let console = self.console_file.read();
        self.console.feed(&console);
        if self.console.ran_init() {
            self.seen.ran_init.get_or_insert(elapsed);
        }
        let results = self.results_file.read();
        self.transcript.feed(&results);
        let messages = self.transcript.messages();
        for message in &messages[self.seen.messages..] {
            let exclusive = self.exclusive.is_exclusive();
            self.seen.take(message, Moment { at: elapsed, splats: self.console.splats_total(), exclusive });
        }
        self.seen.messages = messages.len();
        !console.is_empty() || !results.is_empty()
    }

    fn reason_to_stop(&self, elapsed: Duration) -> Option<GuestEnd> {
        let Timeouts { silence, after_trailer, deadline } = self.timeouts;
        let trailer_at = self.seen.trailer.as_ref().map(|(_, at)| *at);
        if self.console_file.size() >= CONSOLE_BYTES_MAX || self.results_file.size() > RESULTS_BYTES_MAX {
            Some(GuestEnd::Flooded)
        } else if elapsed >= deadline {
            Some(GuestEnd::DeadlinePassed)
        } else if trailer_at.is_some_and(|at| elapsed > at + after_trailer)
            || self.last_word.elapsed() > silence
        {
            Some(GuestEnd::Silent)
        } else if self.waits_for_ever(elapsed, silence) {
            Some(GuestEnd::Stuck)
        } else {
            None
        }
    }

    /// What was counted is whole when the next test begins. Pieces that are no counts are refused when all are read.
    fn has_counted_enough(&mut self) -> bool {
        let Guest { sandbox, dir, notes: Some(notes), enough: Some(enough), .. } = *self.guest else {
            return false;
        };
        let pieces = self.seen.pieces.get(self.pieces_read..).unwrap_or_default();
        if pieces.is_empty() || self.seen.running().is_none() {
            return false;
        }
        self.pieces_read = self.seen.pieces.len();
        coverage::read(sandbox, pieces, notes, &dir.join("gcov")).is_ok_and(enough)
    }

    fn has_spoken(&mut self, elapsed: Duration) -> bool {
        if self.spoke.is_none() && self.guest.has_spoken.is_some_and(|spoke| spoke(self.console.splats())) {
            self.spoke = Some(elapsed);
        }
        self.spoke.is_some_and(|at| elapsed >= at + SPLAT_ENDS_AFTER)
    }

    /// Since the running test began the kernel has said that something hangs, and it runs for as long as a guest may be silent.
    fn waits_for_ever(&self, elapsed: Duration, silence: Duration) -> bool {
        let is_hang = |splat: &Splat| {
            matches!(
                splat.kind,
                Kind::HungTask
                    | Kind::LeakedReference
                    | Kind::RcuStall
                    | Kind::SoftLockup
                    | Kind::HardLockup
                    | Kind::WorkqueueLockup
            )
        };
        let Some((_, began)) = self.seen.running() else { return false };
        let before = usize::try_from(self.seen.splats_before).unwrap_or(usize::MAX);
        elapsed.saturating_sub(began) > silence && self.console.splats().iter().skip(before).any(is_hang)
    }

    /// A guest that hangs cannot say why; QEMU can. One that does not answer hangs itself.
    fn ask_qemu(&mut self) {
        let dir = self.guest.dir;
        let symbols =
            Symbols::of(self.guest.sandbox, self.guest.symbols, self.guest.tools, &dir.join("symbols.log"));
        match monitor::ask(dir, &symbols) {
            Ok(cpus) => {
                // The backtraces are in the evidence as well.
                let _ = write_whole(&dir.join("registers.txt"), cpus.render().as_bytes());
                self.cpus = cpus.backtraces;
            }
            Err(error) => {
                self.cpus = vec![format!("QEMU does not answer: {error}")];
                self.stopped = Some(GuestEnd::QemuStuck);
            }
        }
    }

    /// What was said since the last look came before QEMU ended, after it had run for `took`.
    fn finish(&mut self, took: Duration) {
        // The rest of a flood would only take the host's time.
        let rest = CONSOLE_BYTES_MAX / READ_MAX;
        for _ in 0..=rest {
            if !self.read(took) {
                break;
            }
        }
        self.console.finish();
        self.transcript.finish();
    }

    fn into_ran(mut self, qemu_end: ChildEnd, took: Duration, qemu_said: &str) -> Ran {
        if self.stopped == Some(GuestEnd::Enough) {
            // It had just begun.
            self.seen.scenarios.retain(|ran| !matches!(ran.outcome, Ending::Unfinished));
        }
        let end = match (self.stopped, qemu_end) {
            (Some(stopped), _) => stopped,
            (None, ChildEnd::Signalled(libc::SIGXFSZ)) => GuestEnd::Flooded,
            (None, ChildEnd::Exited(0)) => GuestEnd::QemuExited,
            (None, ChildEnd::DeadlinePassed) => GuestEnd::DeadlinePassed,
            (
                None,
                ChildEnd::Exited(_) | ChildEnd::Signalled(_) | ChildEnd::Interrupted | ChildEnd::Stopped,
            ) => GuestEnd::QemuFailed,
        };
        let mut rejects: Vec<String> = self.transcript.rejects().iter().map(ToString::to_string).collect();
        rejects.extend(self.seen.out_of_order);
        if self.transcript.dropped() > 0 {
            rejects.push(format!("{} messages too many", self.transcript.dropped()));
        }
        let boot_secs = self.seen.hello.as_ref().map(|(_, at)| at.as_secs_f64());
        let end_secs = self.seen.trailer.as_ref().map(|(_, at)| at.as_secs_f64());
        Ran {
            accel: self.guest.accel.name().to_owned(),
            guests: 1,
            secs: took.as_secs_f64(),
            kernel_secs: self.seen.ran_init.map(|at| at.as_secs_f64()),
            boot_secs,
            test_secs: end_secs.zip(boot_secs).map(|(end, boot)| end - boot),
            end,
            qemu_said: match end {
                GuestEnd::QemuFailed => Some(format!("it {qemu_end} {qemu_said}").trim_end().to_owned()),
                _ => Some(qemu_said.to_owned()).filter(|said| !said.is_empty()),
            },
            kernel_spoke: self.console.kernel_spoke(),
            hello: self.seen.hello.map(|(hello, _)| hello),
            planned: self.seen.planned,
            scenarios: self.seen.scenarios,
            trailer: self.seen.trailer.map(|(trailer, _)| trailer),
            rejects,
            splats: self.console.splats().to_vec(),
            splats_total: self.console.splats_total(),
            last_lines: self.console.last_lines().map(str::to_owned).collect(),
            coverage: Vec::new(),
            watched: Watched {
                silence_secs: self.timeouts.silence.as_secs_f64(),
                deadline_secs: self.timeouts.deadline.as_secs_f64(),
                cpus: self.cpus,
            },
        }
    }
}

impl Seen {
    fn take(&mut self, message: &Message, when: Moment) {
        let Moment { at, splats, .. } = when;
        match message {
            Message::Hello(hello) if self.hello.is_none() => self.hello = Some((hello.clone(), at)),
            Message::Plan { scenarios } if self.planned.is_empty() => self.planned.clone_from(scenarios),
            Message::Begin { scenario } => {
                self.began = at;
                self.splats_before = splats;
                self.scenarios.push(ScenarioRan {
                    name: scenario.clone(),
                    outcome: Ending::Unfinished,
                    splats: 0,
                    secs: 0.0,
                    exclusive: false,
                });
            }
            Message::Measured { scenario, measured } => {
                self.end_scenario(scenario, Ending::Measured(measured.clone()), when);
            }
            Message::Broken { scenario, why } => {
                self.end_scenario(scenario, Ending::Broken(why.clone()), when);
            }
            // That it came is what it says.
            Message::Alive { .. } => {}
            Message::Covered(piece) => self.pieces.push(piece.clone()),
            Message::Trailer(trailer) if self.trailer.is_none() => self.trailer = Some((trailer.clone(), at)),
            Message::Hello(_) | Message::Plan { .. } | Message::Trailer(_) => {
                self.out_of_order.push("a message that comes once came twice".to_owned());
            }
        }
    }

    fn end_scenario(&mut self, name: &str, outcome: Ending, when: Moment) {
        match self.scenarios.last_mut() {
            Some(ran) if ran.name == name && matches!(ran.outcome, Ending::Unfinished) => {
                ran.outcome = outcome;
                // One that was open when it began may have been taken back since.
                ran.splats = when.splats.saturating_sub(self.splats_before);
                ran.secs = when.at.saturating_sub(self.began).as_secs_f64();
                ran.exclusive = when.exclusive;
            }
            _ => self.out_of_order.push(format!("{name} ended without having begun")),
        }
    }

    /// The guest test that runs, and when it was heard to begin.
    fn running(&self) -> Option<(&str, Duration)> {
        let last = self.scenarios.last().filter(|ran| matches!(ran.outcome, Ending::Unfinished))?;
        Some((&last.name, self.began))
    }

    fn doing(&self) -> String {
        match (&self.trailer, self.scenarios.last(), &self.hello) {
            (Some(_), _, _) => "done, draining".to_owned(),
            (None, Some(ran), _) => {
                format!("{} ({} of {})", ran.name, self.scenarios.len(), self.planned.len().max(1))
            }
            (None, None, Some(_)) => "init is up".to_owned(),
            (None, None, None) => "kernel starting".to_owned(),
        }
    }
}
