//! Looks at the evidence of one arm and lists everything that stands between it and a pass.

use protocol::{Hello, Impossible, Workload, impossible};

use super::finding::{Asked, Finding, Findings, JudgedArm, SplatAt, Weight};
use super::scenario::examine_scenario;
use crate::observe::{Boot, Build, Ending, Evidence, GuestEnd, Ran};
use crate::subject::signal::Signal;
use console::Splat;
use console::splat::Kind;

/// Limit on rejected lines, and on numbers out of range, that are named.
const REJECTS_NAMED: usize = 3;

/// An in-kernel test was run (include/linux/panic.h, `TAINT_TEST`): lib/kunit/test.c sets it whatever comes of the test.
const TAINT_TEST: u64 = 1 << 18;

/// Everything that stands between this arm and a pass; empty means complete evidence and nothing wrong.
pub fn examine(asked: &Asked<'_>, arm: JudgedArm, evidence: &Evidence) -> Vec<Finding> {
    let mut found = Findings(examine_build(evidence));
    if evidence.built().is_none() {
        return found.0;
    }
    found.0.extend(examine_boot(asked, arm, &evidence.boot));
    for (index, boot) in evidence.boots().enumerate().skip(1) {
        let number = index.saturating_add(1);
        let again = examine_boot(asked, arm, boot).into_iter();
        found.0.extend(again.map(|finding| Finding {
            text: format!("boot {number}: {}", finding.text),
            splat: finding.splat.map(|splat| SplatAt { boot: index, ..splat }),
            ..finding
        }));
    }
    found.0
}

/// Everything that stands between one boot and a pass. A splat is named as one of the first boot.
pub fn examine_boot(asked: &Asked<'_>, arm: JudgedArm, boot: &Boot) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    match boot {
        Boot::NotRun => found.gap(Weight::Infra, "built and not booted"),
        Boot::Infra { why } => found.gap(Weight::Infra, why.clone()),
        Boot::Ran(ran) => {
            examine_end(&mut found, ran);
            examine_trust(&mut found, ran);
            examine_plan(&mut found, asked, ran);
            examine_trouble(&mut found, asked, ran);
            match &ran.hello {
                Some(hello) => examine_hello(&mut found, asked, hello),
                None => found.gap(Weight::Vacuous, "the guest never said what it runs on"),
            }
            for scenario in asked.scenarios {
                examine_scenario(&mut found, asked, arm, scenario, ran);
            }
        }
    }
    found.0
}

/// Everything that stands between the build of one arm and a pass.
pub fn examine_build(evidence: &Evidence) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    match &evidence.build {
        Build::NotRun => found.gap(Weight::Infra, "not run"),
        Build::Infra { why } => found.gap(Weight::Infra, why.clone()),
        Build::CompileError(error) => {
            let whose = match (&error.file, error.touched_by_patch) {
                (None, _) => "",
                (Some(_), true) => ", in a file the patch changes",
                (Some(_), false) => ", in a file the patch leaves alone",
            };
            found.bad(Signal::Build, format!("does not compile{whose}: {}", error.message));
        }
        Build::Built(built) => {
            for lost in &built.lost_symbols {
                found.gap(Weight::Vacuous, lost.to_string());
            }
        }
    }
    found.0
}

/// Rejected lines and numbers out of range. The parser has refused such numbers already, but evidence is also read from the
/// record of an earlier boot.
fn examine_trust(found: &mut Findings, ran: &Ran) {
    let mut distrust =
        |why: &str| found.gap(Weight::Infra, format!("the result channel cannot be trusted: {why}"));
    ran.rejects.iter().take(REJECTS_NAMED).for_each(|reject| distrust(reject));
    let measured = ran.scenarios.iter().filter_map(|scenario| match &scenario.outcome {
        Ending::Measured(measured) => Some((scenario.name.as_str(), impossible(measured)?)),
        Ending::Unfinished | Ending::Broken(_) => None,
    });
    let impossible: Vec<(&str, Impossible)> = [
        ran.hello.as_ref().and_then(|hello| Some(("hello", impossible(hello)?))),
        ran.trailer.as_ref().and_then(|trailer| Some(("trailer", impossible(trailer)?))),
    ]
    .into_iter()
    .flatten()
    .chain(measured)
    .collect();
    impossible.iter().take(REJECTS_NAMED).for_each(|(what, number)| distrust(&format!("{what}: {number}")));
}

/// The guest must run each requested test once and no other: the judge reads one result per name. Without a trailer the plan
/// may be missing too; `examine_end` reports that.
fn examine_plan(found: &mut Findings, asked: &Asked<'_>, ran: &Ran) {
    let Some(trailer) = &ran.trailer else { return };
    let mut gap = |text: String| found.gap(Weight::Vacuous, text);
    let asked = sorted(asked.scenarios.iter().map(|scenario| scenario.name.as_str()));
    if sorted(ran.planned.iter().map(String::as_str)) != asked {
        gap("the guest planned other tests than it was asked for".to_owned());
    }
    let begun = sorted(ran.scenarios.iter().map(|scenario| scenario.name.as_str()));
    for pair in begun.windows(2).filter(|pair| pair[0] == pair[1]) {
        gap(format!("{}: run more than once", pair[0]));
    }
    for name in begun.iter().filter(|name| !asked.contains(name)) {
        gap(format!("{name}: run without having been asked for"));
    }
    let ended = |is: fn(&Ending) -> bool| {
        let count = ran.scenarios.iter().filter(|scenario| is(&scenario.outcome)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    };
    let measured = ended(|outcome| matches!(outcome, Ending::Measured(_)));
    let ended = ended(|outcome| matches!(outcome, Ending::Measured(_) | Ending::Broken(_)));
    if !(measured..=ended).contains(&trailer.measured) {
        gap(format!("the trailer counts {} measured tests, and {measured} were heard", trailer.measured));
    }
}

fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names
}

fn examine_end(found: &mut Findings, ran: &Ran) {
    if !ran.kernel_spoke {
        found.gap(Weight::Infra, "the kernel printed nothing");
    }
    let trailer = ran.trailer.is_some();
    let after = if trailer { "after its trailer" } else { "before its trailer" };
    match ran.end {
        GuestEnd::QemuExited if trailer => {}
        GuestEnd::QemuExited => {
            let why = said_by_init(ran).map_or(String::new(), |why| format!(": {why}"));
            found.add(end_weight(ran), Signal::End, format!("the guest ended before its trailer{why}"));
        }
        GuestEnd::QemuFailed => {
            let said = ran.qemu_said.as_deref().unwrap_or("nothing");
            found.gap(Weight::Infra, format!("QEMU failed: {said}"));
        }
        GuestEnd::QemuStuck => {
            found.gap(Weight::Infra, format!("QEMU itself hung {after}{}", last_words(ran)));
        }
        GuestEnd::DeadlinePassed => found.add(
            end_weight(ran),
            Signal::End,
            format!("the guest's time was up {after}{}", last_words(ran)),
        ),
        GuestEnd::Silent => found.add(
            end_weight(ran),
            Signal::End,
            format!("the guest fell silent {after}{}", last_words(ran)),
        ),
        GuestEnd::Stuck => found.add(
            end_weight(ran),
            Signal::End,
            format!("the guest did not go on {after}{}", last_words(ran)),
        ),
        GuestEnd::Flooded => {
            found.add(end_weight(ran), Signal::End, format!("the guest flooded the host {after}"))
        }
        // No guest that is judged ends so.
        GuestEnd::Enough => {
            found.gap(Weight::Infra, format!("the guest was ended {after}, when it had shown enough"));
        }
    }
}

/// Why the guest's init gave up, if it was init that ended the guest.
fn said_by_init(ran: &Ran) -> Option<&str> {
    ran.last_lines.iter().rev().find_map(|line| line.strip_prefix(protocol::INIT_SAYS))
}

/// What a guest that hung was doing last: its last line, and the innermost function of each CPU.
fn last_words(ran: &Ran) -> String {
    let line = ran.last_lines.last().map_or(String::new(), |line| format!("; its last line: {line:?}"));
    let innermost = |cpu: &String| cpu.split(" < ").next().unwrap_or_default().to_owned();
    let cpus: String = ran.watched.cpus.iter().map(|cpu| format!("; {}", innermost(cpu))).collect();
    line + &cpus
}

/// A kernel that started and then stopped has gone wrong; of one that never said a word nobody can tell.
fn end_weight(ran: &Ran) -> Weight {
    if ran.kernel_spoke { Weight::Bad } else { Weight::Infra }
}

/// One finding per kind of splat and place; hundreds of one sort are one finding.
fn examine_trouble(found: &mut Findings, asked: &Asked<'_>, ran: &Ran) {
    let mut seen: Vec<(Kind, Option<String>)> = Vec::new();
    // Then leaks are judged one by one, by the stacks that the guest read, and this line says no more than that there are some.
    let are_read = asked.scenarios.iter().any(|scenario| {
        scenario.work() == Some(&Workload::Leftovers) && ran.measured(&scenario.name).is_some()
    });
    let is_told = |splat: &Splat| are_read && splat.kind == Kind::Kmemleak;
    for (index, splat) in ran.splats.iter().enumerate().filter(|(_, splat)| !is_told(splat)) {
        let file =
            splat.location.as_deref().and_then(|at| at.rsplit_once(':')).map(|(file, _)| file.to_owned());
        let place = (splat.kind, file.clone());
        let stack = splat.functions();
        if seen.contains(&place) {
            // The same trouble on another way: the finding is of both.
            if let Some(Signal::Splat { stack: known, .. }) = found.signal_of_splat(splat.kind, &file) {
                known.extend(stack);
            }
            continue;
        }
        seen.push(place);
        let text = format!("splat ({}): {}", splat.kind.name(), splat.headline);
        found.splat(index, Signal::Splat { kind: splat.kind, file, stack }, text);
    }
    let tainted = ran.trailer.as_ref().map(|trailer| trailer.tainted & !TAINT_TEST);
    if let Some(tainted) = tainted.filter(|&bits| bits != 0) {
        let seen = if ran.splats_total == 0 { " although no splat was seen" } else { "" };
        found.bad(Signal::Taint, format!("the kernel is tainted ({tainted}){seen}"));
    }
}

fn examine_hello(found: &mut Findings, asked: &Asked<'_>, hello: &Hello) {
    if hello.cpus_online != asked.cpus {
        found.gap(Weight::Vacuous, format!("{} CPUs online instead of {}", hello.cpus_online, asked.cpus));
    }
    for reading in &asked.subject.readings {
        match hello.readings.get(&reading.file) {
            Some(number) if *number == reading.is => {}
            Some(number) => {
                let text =
                    format!("{} is {number} instead of {}: {}", reading.file, reading.is, reading.otherwise);
                found.gap(Weight::Vacuous, text);
            }
            None => found.gap(Weight::Vacuous, format!("the guest did not read {}", reading.file)),
        }
    }
}
