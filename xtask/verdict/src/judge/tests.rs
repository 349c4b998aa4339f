//! The judge against evidence with one thing wrong at a time: none of it may come out as a pass.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use protocol::{CallAnswers, Counts, Done, Hello, Leak, Level, Measured, Trailer, WorkResult, Workload};

use super::*;
use crate::campaign::{Demand, Expect, ExpectedCount, Scenario, Suite};
use crate::host::yaml;
use crate::observe::Lost;
use crate::observe::{Boot, Build, Built, CompileError, Ending, GuestEnd, Ran, ScenarioRan, Watched};
use crate::subject::Subject;
use crate::subject::control::WantedSignal;
use crate::subject::signal::Signal;
use console::Splat;
use console::splat::Kind;

fn scenario(name: &str, demand: Demand) -> Scenario {
    let name = name.to_owned();
    Scenario {
        name,
        demand,
        inject: None,
        as_booted: false,
        on: None,
        fragments: Vec::new(),
        otherwise: None,
        bystanders: None,
        suite: Suite::Normal,
        controls: true,
        exclusive: false,
        always: false,
        reads: false,
        paths: Vec::new(),
        far: false,
    }
}

fn scenarios() -> Vec<Scenario> {
    vec![scenario("munmap", Demand::Failures(200))]
}

/// A failure makes the base send a message to every other CPU, and the patched kernel wait, before it frees a thing.
static SUBJECT: LazyLock<Subject> = LazyLock::new(|| {
    let text = "
failure: slow way
readings: [{file: /sys/expedited, is: 0, otherwise: it proves nothing}]
events:
  - {name: send, title: broadcasts, calls: [send_to_all]}
  - {name: receive, title: messages, tracepoint: a/b, function: receive, to_bystanders: true}
  - {name: wait, title: waits, calls: [wait_for_all]}
  - {name: defer, title: deferrals, calls: [defer]}
  - {name: expedite, title: expedited waits, calls: [expedite]}
  - {name: free, title: frees, calls: [free]}
order: [{name: early, event: free, after: [send, wait], since: give_up, broken: things were freed too early}]
gauges: [{name: things, title: things, file: /proc/things, each: 1}]
outcomes:
  - {name: sends, about: one broadcast, each: {send: 1, receive: bystanders, free: 1}, reached_by: [send, free]}
  - {name: waits, about: one wait, each: {wait: 1, free: 1}, reached_by: [wait, free]}
  - {name: defers, about: one deferral, each: {defer: 1}, reached_by: [defer, free]}
  - {name: nothing, about: nothing at all, absent: [give_up]}
  - {name: kept, about: one broadcast, each: {send: 1, receive: bystanders}}
";
    yaml::parse(Path::new("s.yaml"), text).unwrap()
});

static EXPECT: LazyLock<Expect> = LazyLock::new(|| expect("sends", "waits"));

fn expect(base: &str, patched: &str) -> Expect {
    Expect { base: base.to_owned(), patched: patched.to_owned() }
}

fn asked(scenarios: &[Scenario]) -> Asked<'_> {
    Asked { subject: &SUBJECT, expect: Some(&EXPECT), scenarios, cpus: 4, changes_tests: false }
}

fn none() -> Counts {
    Counts(SUBJECT.counted().map(|name| (name.clone(), 0)).collect())
}

fn sends() -> Counts {
    none().with("send", 200).with("receive", 600).with("free", 200)
}

fn waits() -> Counts {
    none().with("wait", 200).with("free", 200)
}

trait With {
    /// The same with another number of one event.
    fn with(self, event: &str, count: u64) -> Self;
}

impl With for Counts {
    fn with(mut self, event: &str, count: u64) -> Counts {
        self.0.insert(event.to_owned(), count);
        self
    }
}

fn measured(forced: Counts) -> Measured {
    Measured {
        injected_in: Some("give_up".to_owned()),
        demanded: 200,
        injected: 200,
        bystanders: 3,
        quiet: none(),
        forced,
        levels: [("things".to_owned(), Level { before: 40, peak: 260, after: 40 })].into(),
        ..Measured::default()
    }
}

fn sound(forced: Counts) -> Ran {
    Ran {
        guests: 1,
        accel: "tcg".to_owned(),
        secs: 2.0,
        kernel_secs: Some(0.9),
        boot_secs: Some(1.0),
        test_secs: Some(1.0),
        end: GuestEnd::QemuExited,
        qemu_said: None,
        kernel_spoke: true,
        hello: Some(Hello {
            kernel_release: "7.2.12".to_owned(),
            cpus_online: 4,
            readings: [("/sys/expedited".to_owned(), 0)].into(),
            symbols: vec!["give_up".to_owned()],
        }),
        planned: vec!["munmap".to_owned()],
        scenarios: vec![ScenarioRan {
            name: "munmap".to_owned(),
            outcome: Ending::Measured(Box::new(measured(forced))),
            splats: 0,
            secs: 1.0,
            exclusive: false,
        }],
        trailer: Some(Trailer { measured: 1, tainted: 0 }),
        rejects: Vec::new(),
        splats: Vec::new(),
        splats_total: 0,
        last_lines: Vec::new(),
        coverage: Vec::new(),
        watched: Watched::default(),
    }
}

fn evidence(ran: Ran) -> Evidence {
    Evidence {
        build_secs: Some(1.0),
        build: Build::Built(Built {
            cold: false,
            lost_symbols: Vec::new(),
            warnings: Vec::new(),
            ..Built::default()
        }),
        boot: Boot::Ran(Box::new(ran)),
        ..Evidence::default()
    }
}

fn splat(kind: Kind, location: &str) -> Splat {
    Splat {
        kind,
        headline: "headline".to_owned(),
        location: Some(location.to_owned()),
        text: vec!["text".to_owned()],
    }
}

fn change(mut ran: Ran, by: impl FnOnce(&mut Ran)) -> Evidence {
    by(&mut ran);
    evidence(ran)
}

fn change_measured(ran: Ran, by: impl FnOnce(&mut Measured)) -> Evidence {
    change(ran, |ran| match &mut ran.scenarios[0].outcome {
        Ending::Measured(measured) => by(measured),
        other => panic!("{other:?}"),
    })
}

fn control() -> Control {
    let text = "plants: a bug\nsignal: splat might-sleep at mm/x.c\nbug: {at: wait, remove: true}\n";
    Control::parse("c", Path::new("c.yaml"), text).unwrap()
}

fn shown<'a>(controls: &'a [(&'a Control, Caught)]) -> Detectors<'a> {
    Detectors { controls, ..Detectors::default() }
}

fn verdict(base: &Evidence, patched: &Evidence) -> Verdict {
    judge(&asked(&scenarios()), base, patched, &Detectors::default()).verdict
}

/// A guest that ran this test.
fn guest(test: &str, forced: Counts) -> Boot {
    let mut ran = sound(forced);
    ran.planned = vec![test.to_owned()];
    ran.scenarios[0].name = test.to_owned();
    Boot::Ran(Box::new(ran))
}

/// Of a patched kernel with this wrong; the same when it is one of two guests that saw it, whichever.
fn patched_with(by: impl FnOnce(&mut Ran)) -> Verdict {
    let patched = change(sound(waits()), by);
    let base = evidence(sound(sends()));
    let alone = verdict(&base, &patched);
    let both = ["munmap", "exit"].map(|name| scenario(name, Demand::Failures(200)));
    let shared = |guests: [&Boot; 2]| Evidence {
        boot: Boot::merge(guests.map(Clone::clone).into()),
        ..patched.clone()
    };
    let base = shared([&base.boot, &guest("exit", sends())]);
    let other = guest("exit", waits());
    for guests in [[&patched.boot, &other], [&other, &patched.boot]] {
        let shared = judge(&asked(&both), &base, &shared(guests), &Detectors::default()).verdict;
        // Two guests that say different things of their kernel contradict each other: one of them is wrong.
        assert!(shared == alone || (alone, shared) == (Verdict::Vacuous, Verdict::Infra), "{shared:?}");
    }
    alone
}

fn patched_measuring(by: impl FnOnce(&mut Measured)) -> Verdict {
    patched_with(|ran| *ran = change_measured(ran.clone(), by).ran().cloned().expect("it ran"))
}

#[test]
fn complete_evidence_with_nothing_wrong_passes() {
    assert_eq!(patched_with(|_| ()), Verdict::Pass);
}

#[test]
fn guests_that_share_the_tests_count_as_one_and_none_of_them_may_be_missing() {
    let scenarios = ["munmap", "exit"].map(|name| scenario(name, Demand::Failures(200)));
    let shared = |counts: Counts, second| Evidence {
        boot: Boot::merge(vec![guest("munmap", counts.clone()), second]),
        ..evidence(sound(counts))
    };
    let judged = |second| {
        let (base, patched) = (shared(sends(), guest("exit", sends())), shared(waits(), second));
        judge(&asked(&scenarios), &base, &patched, &Detectors::default()).verdict
    };
    assert_eq!(judged(guest("exit", waits())), Verdict::Pass);
    assert_eq!(judged(guest("exit", sends())), Verdict::Fail);
    assert_eq!(judged(guest("munmap", waits())), Verdict::Vacuous);
    assert_eq!(judged(Boot::NotRun), Verdict::Infra);
    assert_eq!(judged(Boot::Infra { why: "no QEMU".to_owned() }), Verdict::Infra);
    let ran = shared(waits(), guest("exit", waits())).ran().cloned().unwrap();
    assert_eq!((ran.guests, ran.trailer.unwrap().measured, ran.scenarios.len()), (2, 2, 2));
}

#[test]
fn what_was_not_run_is_infra() {
    let nothing = Evidence::default();
    assert_eq!(verdict(&nothing, &nothing), Verdict::Infra);
    assert_eq!(verdict(&evidence(sound(sends())), &nothing), Verdict::Infra);
    assert_eq!(verdict(&nothing, &evidence(sound(waits()))), Verdict::Infra);
}

#[test]
fn patched_kernel_that_still_does_what_the_base_does_fails() {
    assert_eq!(verdict(&evidence(sound(sends())), &evidence(sound(sends()))), Verdict::Fail);
}

#[test]
fn one_missing_event_among_two_hundred_fails() {
    assert_eq!(patched_measuring(|m| m.forced = m.forced.clone().with("wait", 199)), Verdict::Fail);
}

#[test]
fn broken_order_fails_although_every_count_is_right() {
    assert_eq!(patched_measuring(|m| m.forced = m.forced.clone().with("early", 1)), Verdict::Fail);
    let base = change_measured(sound(sends()), |m| m.forced = m.forced.clone().with("early", 1));
    assert_eq!(verdict(&base, &evidence(sound(waits()))), Verdict::Vacuous);
}

#[test]
fn event_that_must_not_happen_and_one_too_few_fail() {
    assert_eq!(patched_measuring(|m| m.forced = m.forced.clone().with("expedite", 1)), Verdict::Fail);
    assert_eq!(patched_measuring(|m| m.forced = m.forced.clone().with("free", 199)), Verdict::Fail);
}

#[test]
fn event_that_is_not_seen_on_the_base_makes_the_pair_vacuous() {
    let base = change_measured(sound(sends()), |m| m.forced = m.forced.clone().with("free", 0));
    assert_eq!(verdict(&base, &evidence(sound(waits()))), Verdict::Vacuous);
}

#[test]
fn base_without_its_own_outcome_makes_the_pair_vacuous() {
    assert_eq!(verdict(&evidence(sound(waits())), &evidence(sound(waits()))), Verdict::Vacuous);
}

#[test]
fn too_few_or_no_injected_failures_are_vacuous() {
    for injected in [0, 199] {
        assert_eq!(patched_measuring(|m| m.injected = injected), Verdict::Vacuous);
    }
    assert_eq!(patched_measuring(|m| m.demanded = 100), Verdict::Vacuous);
}

#[test]
fn a_count_that_may_be_wrong_is_vacuous() {
    assert_eq!(patched_measuring(|m| m.lost_events = 1), Verdict::Vacuous);
    assert_eq!(
        patched_with(|ran| *ran.hello.as_mut().unwrap().readings.get_mut("/sys/expedited").unwrap() = 1),
        Verdict::Vacuous
    );
    assert_eq!(patched_with(|ran| ran.hello.as_mut().unwrap().cpus_online = 1), Verdict::Vacuous);
    assert_eq!(patched_with(|ran| ran.hello = None), Verdict::Vacuous);
}

#[test]
fn the_slow_path_without_any_failure_fails() {
    assert_eq!(patched_measuring(|m| m.quiet = m.quiet.clone().with("wait", 1)), Verdict::Fail);
}

#[test]
fn what_was_not_counted_or_read_is_vacuous() {
    let forget = |counts: &mut Counts, name: &str| {
        counts.0.remove(name);
    };
    assert_eq!(patched_measuring(|m| forget(&mut m.forced, "early")), Verdict::Vacuous);
    assert_eq!(patched_measuring(|m| forget(&mut m.quiet, "send")), Verdict::Vacuous);
    assert_eq!(patched_measuring(|m| m.levels.clear()), Verdict::Vacuous);
    assert_eq!(patched_with(|ran| ran.hello.as_mut().unwrap().readings.clear()), Verdict::Vacuous);
}

#[test]
fn gauge_that_does_not_come_back_fails() {
    assert_eq!(patched_measuring(|m| m.levels.get_mut("things").unwrap().after = 240), Verdict::Fail);
}

#[test]
fn a_splat_or_a_taint_fails_and_on_both_arms_it_is_not_the_patch() {
    let splatted = |ran: &mut Ran| {
        ran.splats = vec![splat(Kind::MightSleep, "mm/x.c:1")];
        ran.splats_total = 1;
    };
    assert_eq!(patched_with(splatted), Verdict::Fail);
    assert_eq!(patched_with(|ran| ran.trailer.as_mut().unwrap().tainted = 512), Verdict::Fail);
    assert_eq!(
        verdict(&change(sound(sends()), splatted), &change(sound(waits()), splatted)),
        Verdict::BaseAlsoFails
    );
    assert_eq!(verdict(&change(sound(sends()), splatted), &evidence(sound(waits()))), Verdict::BaseAlsoFails);
}

#[test]
fn a_guest_that_stops_without_its_trailer_never_passes() {
    for end in
        [GuestEnd::QemuExited, GuestEnd::DeadlinePassed, GuestEnd::Silent, GuestEnd::Stuck, GuestEnd::Flooded]
    {
        let stopped = |ran: &mut Ran| {
            ran.end = end;
            ran.trailer = None;
        };
        assert_eq!(patched_with(stopped), Verdict::Fail, "{end:?}");
        let before_init = |ran: &mut Ran| {
            stopped(ran);
            ran.hello = None;
        };
        assert_eq!(patched_with(before_init), Verdict::Fail, "{end:?}");
        let mute = |ran: &mut Ran| {
            before_init(ran);
            ran.kernel_spoke = false;
        };
        assert_eq!(patched_with(mute), Verdict::Infra, "{end:?}");
    }
}

#[test]
fn why_init_gave_up_is_a_reason() {
    let gave_up = |ran: &mut Ran| {
        ran.trailer = None;
        let lines = ["patchproof init: another kernel", "[    9.1][    T1] reboot: Restarting system"];
        ran.last_lines = lines.map(str::to_owned).into();
    };
    let patched = change(sound(waits()), gave_up);
    let judgement = judge(&asked(&scenarios()), &evidence(sound(sends())), &patched, &Detectors::default());
    assert!(judgement.reasons[0].ends_with("ended before its trailer: another kernel"), "{judgement:?}");
}

#[test]
fn trouble_of_the_host_is_infra() {
    assert_eq!(patched_with(|ran| ran.end = GuestEnd::QemuFailed), Verdict::Infra);
    assert_eq!(patched_with(|ran| ran.end = GuestEnd::QemuStuck), Verdict::Infra);
    assert_eq!(patched_with(|ran| ran.kernel_spoke = false), Verdict::Infra);
    assert_eq!(patched_with(|ran| ran.rejects.push("wrong nonce".to_owned())), Verdict::Infra);
}

#[test]
fn other_tests_than_requested_are_vacuous() {
    let of = |change: fn(&mut Ran)| patched_with(change);
    assert_eq!(of(|ran| ran.planned.clear()), Verdict::Vacuous);
    assert_eq!(of(|ran| ran.planned.push("munmap".to_owned())), Verdict::Vacuous);
    let twice = |ran: &mut Ran| {
        ran.scenarios.push(ran.scenarios[0].clone());
        ran.trailer.as_mut().unwrap().measured = 2;
    };
    assert_eq!(of(twice), Verdict::Vacuous);
    let other = |ran: &mut Ran| {
        let other = ScenarioRan { name: "brk".to_owned(), ..ran.scenarios[0].clone() };
        ran.scenarios.push(other);
        ran.trailer.as_mut().unwrap().measured = 2;
    };
    assert_eq!(of(other), Verdict::Vacuous);
    assert_eq!(of(|ran| ran.trailer.as_mut().unwrap().measured = 2), Verdict::Vacuous);
    assert_eq!(of(|ran| ran.trailer.as_mut().unwrap().measured = 0), Verdict::Vacuous);
}

/// JSON pointers to the numbers in `value`.
fn numbers(value: &serde_json::Value, at: &str) -> Vec<String> {
    let below = |name: String, part| numbers(part, &format!("{at}/{}", name.replace('/', "~1")));
    match value {
        serde_json::Value::Number(_) => vec![at.to_owned()],
        serde_json::Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, item)| below(index.to_string(), item)).collect()
        }
        serde_json::Value::Object(fields) => {
            fields.iter().flat_map(|(name, field)| below(name.clone(), field)).collect()
        }
        _ => Vec::new(),
    }
}

/// Tries hostile numbers in each field and in all fields, with every demand and outcome.
#[test]
fn hostile_numbers_neither_panic_nor_pass() {
    let mut ran = sound(waits());
    let Ending::Measured(measured) = &mut ran.scenarios[0].outcome else { panic!("measured") };
    measured.rises = [("all".to_owned(), 3)].into();
    measured.operations = 200;
    measured.done = vec![Done { what: "own".to_owned(), count: 20 }];
    let sound = serde_json::to_value(&ran).unwrap();
    let own = ExpectedCount { what: "own".to_owned(), base: 0, patched: 20 };
    let demands = [
        Demand::Failures(200),
        Demand::AtLeast(50),
        Demand::Operations { count: 10, outcome: "kept".to_owned() },
        Demand::Counts(vec![own]),
    ];
    let outcomes = ["sends", "waits", "defers", "nothing"].map(|outcome| expect(outcome, outcome));
    let fields = numbers(&sound, "");
    let one = fields.iter().map(|field| vec![field.clone()]);
    let mut tried = 0;
    for hostile in one.chain([fields.clone()]) {
        for number in [u64::MAX, u64::MAX - 1, protocol::NUMBER_MAX + 1, u64::from(u32::MAX)] {
            let mut value = sound.clone();
            for field in &hostile {
                *value.pointer_mut(field).unwrap() = number.into();
            }
            // Some fields have 32 bits.
            let Ok(ran) = serde_json::from_value::<Ran>(value) else { continue };
            let patched = Evidence { repeats: vec![Boot::Ran(Box::new(ran.clone()))], ..evidence(ran) };
            for demand in &demands {
                let scenarios = [scenario("munmap", demand.clone())];
                for expect in &outcomes {
                    let asked = Asked { expect: Some(expect), ..asked(&scenarios) };
                    let judgement = judge(&asked, &patched, &patched, &Detectors::default());
                    // Counted by the host, not by the guest.
                    let host = ["/guests", "secs", "/splats", "/splats_total"];
                    let hosts = |field: &String| host.iter().any(|end| field.ends_with(end));
                    let measurable = number <= protocol::NUMBER_MAX;
                    assert!(
                        judgement.verdict != Verdict::Pass || measurable || hostile.iter().all(hosts),
                        "{hostile:?} {number}: {judgement:?}"
                    );
                    catch(&asked, &control(), &patched);
                    noticed(&asked, &patched);
                    count(&asked, JudgedArm::Patched, &patched);
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 1000, "{tried}");
}

#[test]
fn a_guest_that_hangs_after_its_trailer_fails() {
    assert_eq!(patched_with(|ran| ran.end = GuestEnd::Silent), Verdict::Fail);
}

#[test]
fn a_scenario_that_did_not_measure_is_vacuous() {
    for outcome in [Ending::Unfinished, Ending::Broken("why".to_owned())] {
        assert_eq!(patched_with(|ran| ran.scenarios[0].outcome = outcome), Verdict::Vacuous);
    }
    assert_eq!(patched_with(|ran| ran.scenarios.clear()), Verdict::Vacuous);
}

/// What the kit says of an event whose function is misspelt: that it counted 0 shows nothing.
#[test]
fn an_event_that_nothing_shows_is_vacuous_and_named() {
    let why = "this kernel has nothing that shows wait: wiat";
    let mut ran = sound(waits());
    ran.scenarios[0].outcome = Ending::Broken(why.to_owned());
    let judged =
        judge(&asked(&scenarios()), &evidence(sound(sends())), &evidence(ran), &Detectors::default());
    assert_eq!(judged.verdict, Verdict::Vacuous);
    assert!(judged.reasons.iter().any(|reason| reason.contains(why)), "{judged:?}");
}

#[test]
fn a_lost_symbol_is_vacuous_and_named() {
    let mut patched = evidence(sound(waits()));
    let lost = Lost {
        symbol: "FAIL_PAGE_ALLOC".to_owned(),
        wanted: "y".to_owned(),
        got: "n".to_owned(),
        origin: "debug.config:3".to_owned(),
        if_known: false,
        depends_on: Some("FAULT_INJECTION".to_owned()),
    };
    patched.build = Build::Built(Built {
        cold: false,
        lost_symbols: vec![lost],
        warnings: Vec::new(),
        ..Built::default()
    });
    let judgement = judge(&asked(&scenarios()), &evidence(sound(sends())), &patched, &Detectors::default());
    assert_eq!(judgement.verdict, Verdict::Vacuous);
    assert!(judgement.reasons[0].contains("CONFIG_FAIL_PAGE_ALLOC"), "{judgement:?}");
}

#[test]
fn a_compile_error_is_a_patch_failure_and_a_killed_compiler_is_not() {
    let mut patched = Evidence {
        build: Build::CompileError(CompileError {
            message: "mm/x.c:1: error: x".to_owned(),
            file: Some("mm/x.c".to_owned()),
            line: Some(1),
            touched_by_patch: true,
        }),
        ..Evidence::default()
    };
    assert_eq!(verdict(&evidence(sound(sends())), &patched), Verdict::Fail);
    patched.build = Build::Infra { why: "cc1 was killed".to_owned() };
    assert_eq!(verdict(&evidence(sound(sends())), &patched), Verdict::Infra);
}

#[test]
fn a_control_that_is_not_caught_takes_the_pass_away() {
    let control = control();
    let base = evidence(sound(sends()));
    let patched = evidence(sound(waits()));
    for (planted, expected) in [
        (evidence(sound(waits())), Verdict::Vacuous),
        (Evidence::default(), Verdict::Vacuous),
        // The right kind at the wrong place, and the wrong kind at the right place.
        (
            change(sound(waits()), |ran| ran.splats = vec![splat(Kind::MightSleep, "kernel/x.c:1")]),
            Verdict::Vacuous,
        ),
        (change(sound(waits()), |ran| ran.splats = vec![splat(Kind::Warning, "mm/x.c:1")]), Verdict::Vacuous),
        (change(sound(waits()), |ran| ran.splats = vec![splat(Kind::MightSleep, "mm/x.c:1")]), Verdict::Pass),
    ] {
        let caught = catch(&asked(&scenarios()), &control, &planted);
        let judgement = judge(&asked(&scenarios()), &base, &patched, &shown(&[(&control, caught)]));
        assert_eq!(judgement.verdict, expected, "{judgement:?}");
    }
}

#[test]
fn caught_control_shows_the_splat_that_caught_it() {
    let says = |text: &str, splat: Splat| Splat { text: vec![text.to_owned()], ..splat };
    // All have the same headline, and the first is no trouble at the place that the control names.
    let other = || says("other", splat(Kind::MightSleep, "kernel/x.c:1"));
    let wanted = || says("wanted", splat(Kind::MightSleep, "mm/x.c:1"));
    let first = change(sound(waits()), |ran| ran.splats = vec![other(), wanted()]);
    let mut second = change(sound(waits()), |ran| ran.splats = vec![other()]);
    second.repeats = vec![change(sound(waits()), |ran| ran.splats = vec![other(), wanted()]).boot];
    for planted in [first, second] {
        let found = examine(&asked(&scenarios()), JudgedArm::Patched, &planted);
        let at = |finding: &Finding| control().signal.is(&finding.signal).then_some(finding.splat);
        let splat = found.iter().find_map(at).flatten().unwrap();
        assert_eq!(splat.find(&planted).unwrap().text, ["wanted"]);
    }
}

#[test]
fn a_control_is_caught_by_the_evidence_its_header_names_and_by_no_other() {
    let scenarios = [scenarios(), vec![scenario("exit", Demand::Failures(200))]].concat();
    let asked = asked(&scenarios);
    let ran = |munmap: Counts, exit: Counts| {
        let mut ran = sound(munmap);
        let mut second = sound(exit).scenarios.remove(0);
        second.name = "exit".to_owned();
        ran.scenarios.push(second);
        ran.planned.push("exit".to_owned());
        ran.trailer = Some(Trailer { measured: 2, tainted: 0 });
        ran
    };
    let few = || waits().with("wait", 199);
    let caught = |signal: &WantedSignal, ran: Ran| {
        let control = Control { signal: signal.clone(), ..control() };
        catch(&asked, &control, &evidence(ran)).caught
    };
    let anywhere = WantedSignal::Count { event: "wait".to_owned(), scenario: None };
    let only_exit = WantedSignal::Count { event: "wait".to_owned(), scenario: Some("exit".to_owned()) };
    assert!(caught(&anywhere, ran(few(), waits())) && caught(&anywhere, ran(waits(), few())));
    assert!(caught(&only_exit, ran(waits(), few())));
    assert!(!caught(&only_exit, ran(few(), waits())) && !caught(&only_exit, ran(few(), few())));
    assert!(!caught(&anywhere, ran(waits(), waits())));
    assert!(!caught(&anywhere, ran(waits(), waits().with("send", 1))));
    let gauge = WantedSignal::Gauge { gauge: "things".to_owned(), scenario: None };
    assert!(!caught(&gauge, ran(few(), waits())));
    let order = WantedSignal::Order { order: "early".to_owned(), scenario: None };
    assert!(caught(&order, ran(waits().with("early", 200), waits())));
    assert!(!caught(&order, ran(few(), waits())));
}

#[test]
fn kernel_in_which_nothing_follows_must_show_it() {
    let scenarios = scenarios();
    let expect = expect("nothing", "nothing");
    let asked = Asked { expect: Some(&expect), ..asked(&scenarios) };
    let absent = || {
        let mut ran = sound(none());
        ran.hello.as_mut().unwrap().symbols.clear();
        if let Ending::Measured(measured) = &mut ran.scenarios[0].outcome {
            measured.demanded = 200;
        }
        ran
    };
    let judged =
        |patched: Evidence| judge(&asked, &evidence(absent()), &patched, &Detectors::default()).verdict;
    assert_eq!(judged(evidence(absent())), Verdict::Pass);
    assert_eq!(judged(evidence(sound(none()))), Verdict::Vacuous);
    assert_eq!(judged(change_measured(absent(), |m| m.injected = 0)), Verdict::Vacuous);
    assert_eq!(
        judged(change_measured(absent(), |m| m.levels.get_mut("things").unwrap().peak = 50)),
        Verdict::Vacuous
    );
    assert_eq!(
        judged(change_measured(absent(), |m| m.forced = m.forced.clone().with("send", 1))),
        Verdict::Fail
    );
}

#[test]
fn one_bad_boot_among_many_takes_the_pass_away() {
    let splatted = |ran: &mut Ran| {
        ran.splats = vec![splat(Kind::MightSleep, "mm/x.c:1")];
        ran.splats_total = 1;
    };
    let again = |forced: Counts, bad: bool| {
        let mut evidence = evidence(sound(forced.clone()));
        for boot in 0..3 {
            let ran = if bad && boot == 1 {
                change(sound(forced.clone()), splatted)
            } else {
                self::evidence(sound(forced.clone()))
            };
            evidence.repeats.push(ran.boot);
        }
        evidence
    };
    assert_eq!(verdict(&again(sends(), false), &again(waits(), false)), Verdict::Pass);
    assert_eq!(verdict(&again(sends(), false), &again(waits(), true)), Verdict::Fail);
    assert_eq!(verdict(&again(sends(), true), &again(waits(), true)), Verdict::BaseAlsoFails);
    let scenarios = scenarios();
    assert_eq!(
        count(&asked(&scenarios), JudgedArm::Patched, &again(waits(), true)).to_string(),
        "1 of 4 boots failed"
    );
}

#[test]
fn a_hunk_left_out_is_noticed_by_a_finding_or_a_warning_or_by_nothing() {
    let scenarios = scenarios();
    let noticed = |evidence: &Evidence| noticed(&asked(&scenarios), evidence);
    assert!(noticed(&evidence(sound(sends()))).caught);
    let mut warned = evidence(sound(waits()));
    assert_eq!(noticed(&warned).by, "NOTHING noticed it");
    if let Build::Built(built) = &mut warned.build {
        built.warnings.push("mm/x.c:1: warning: y".to_owned());
    }
    assert!(noticed(&warned).caught);
    let not_run = noticed(&Evidence::default());
    assert!(!not_run.caught && not_run.by.starts_with("not known"), "{not_run:?}");
}

/// A pair whose one scenario demands `demand`, with these counts on each arm.
fn judged_on(demand: Demand, base: Measured, patched: Measured) -> Judgement {
    let scenarios = [scenario("munmap", demand)];
    let ran = |measured: Measured| {
        let mut ran = sound(none());
        ran.scenarios[0].outcome = Ending::Measured(Box::new(measured));
        evidence(ran)
    };
    judge(&asked(&scenarios), &ran(base), &ran(patched), &Detectors::default())
}

#[test]
fn where_the_number_is_not_known_beforehand_it_has_a_floor_and_each_outcome_is_still_complete() {
    let nothing_injected = |forced| Measured { injected: 0, injected_in: None, ..measured(forced) };
    let verdict = |demand, patched| {
        judged_on(Demand::AtLeast(demand), nothing_injected(sends()), nothing_injected(patched)).verdict
    };
    assert_eq!(verdict(50, waits()), Verdict::Pass);
    assert_eq!(verdict(201, waits()), Verdict::Vacuous);
    assert_eq!(verdict(50, none()), Verdict::Vacuous);
    assert_eq!(verdict(50, waits().with("wait", 199)), Verdict::Fail);
    assert_eq!(verdict(50, waits().with("wait", 201)), Verdict::Fail);
    assert_eq!(verdict(50, waits().with("wait", 0)), Verdict::Fail);
    assert_eq!(verdict(50, waits().with("early", 1)), Verdict::Fail);
    assert_eq!(verdict(50, waits().with("receive", 1)), Verdict::Fail);
}

#[test]
fn operations_have_their_outcome_on_both_arms() {
    let kept = || none().with("send", 10).with("receive", 30);
    let did = |operations, forced| Measured { operations, injected: 0, ..measured(forced) };
    let verdict = |base, patched| {
        judged_on(Demand::Operations { count: 10, outcome: "kept".to_owned() }, base, patched).verdict
    };
    assert_eq!(verdict(did(10, kept()), did(10, kept())), Verdict::Pass);
    assert_eq!(verdict(did(10, kept()), did(9, kept())), Verdict::Vacuous);
    assert_eq!(verdict(did(10, none()), did(10, none())), Verdict::Vacuous);
    assert_eq!(verdict(did(10, kept()), did(10, none())), Verdict::Fail);
    assert_eq!(verdict(did(10, kept()), did(10, none().with("wait", 10))), Verdict::Fail);
    assert_eq!(verdict(did(10, kept()), did(10, kept().with("wait", 1))), Verdict::Fail);
}

#[test]
fn a_bystander_that_was_not_counted_is_a_gap_unless_the_scenario_says_so() {
    let fewer = |forced| Measured { bystanders: 2, ..measured(forced) };
    let two = sends().with("receive", 400);
    let judgement = judged_on(Demand::Failures(200), fewer(two), fewer(waits()));
    assert_eq!(judgement.verdict, Verdict::Vacuous);
    assert!(judgement.reasons[0].contains("2 bystander CPUs counted instead of 3"), "{judgement:?}");
}

#[test]
fn what_a_guest_test_counts_by_itself_has_to_come_out_as_the_campaign_says() {
    let expected = |what: &str, base, patched| ExpectedCount { what: what.to_owned(), base, patched };
    let demand = || Demand::Counts(vec![expected("own", 0, 20), expected("other", 20, 20)]);
    let counted = |own: u64, other: Option<u64>| {
        let mut done = vec![Done { what: "own".to_owned(), count: own }];
        done.extend(other.map(|count| Done { what: "other".to_owned(), count }));
        Measured { done, injected: 0, injected_in: None, ..measured(none()) }
    };
    let verdict = |base, patched| judged_on(demand(), base, patched).verdict;
    assert_eq!(verdict(counted(0, Some(20)), counted(20, Some(20))), Verdict::Pass);
    assert_eq!(verdict(counted(0, Some(20)), counted(19, Some(20))), Verdict::Fail);
    assert_eq!(verdict(counted(0, Some(20)), counted(20, Some(0))), Verdict::Fail);
    assert_eq!(verdict(counted(20, Some(20)), counted(20, Some(20))), Verdict::Vacuous);
    assert_eq!(verdict(counted(0, Some(20)), counted(20, None)), Verdict::Vacuous);
}

#[test]
fn a_pass_of_changed_code_needs_as_many_controls_and_a_fail_needs_none() {
    let (base, patched) = (evidence(sound(sends())), evidence(sound(waits())));
    let needs = |least, patched: &Evidence| {
        let left_out = vec!["control `c` left out: it has no place".to_owned()];
        let shown = Detectors { least, left_out, ..Detectors::default() };
        judge(&asked(&scenarios()), &base, patched, &shown)
    };
    assert_eq!(needs(0, &patched).verdict, Verdict::Pass);
    let blind = needs(2, &patched);
    assert_eq!(blind.verdict, Verdict::Vacuous);
    assert!(blind.reasons[1].contains("left out"), "{blind:?}");
    assert_eq!(needs(2, &evidence(sound(sends()))).verdict, Verdict::Fail);
}

#[test]
fn a_patch_that_gives_the_same_code_fails_nothing() {
    let judged = |patched: &Evidence| {
        let judgement =
            judge(&asked(&scenarios()), &evidence(sound(sends())), patched, &Detectors::default());
        with_the_same_code(judgement).verdict
    };
    assert_eq!(judged(&evidence(sound(sends()))), Verdict::Vacuous);
    assert_eq!(judged(&evidence(sound(waits()))), Verdict::Pass);
}

#[test]
fn splats_of_one_kind_and_place_are_one_finding_with_the_stacks_of_all() {
    let at = |function: &str| Splat {
        text: vec![format!(" {function}+0x1/0x2"), " ? unsure+0x1/0x2".to_owned()],
        ..splat(Kind::MightSleep, "kernel/rcu/tree.c:1")
    };
    let patched = change(sound(waits()), |ran| ran.splats = vec![at("do_exit"), at("give_up.part.0")]);
    let found = examine(&asked(&scenarios()), JudgedArm::Patched, &patched);
    let stacks: Vec<_> = found
        .iter()
        .filter_map(|finding| match &finding.signal {
            Signal::Splat { stack, .. } => Some(stack.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(stacks, [["do_exit", "give_up"].map(str::to_owned)]);
}

/// A workload of the user's that ended so on each arm; `reach` is what was counted.
fn compared(
    work: Workload,
    base: &[(&str, WorkResult)],
    patched: &[(&str, WorkResult)],
    reach: Option<&Reach>,
) -> Judgement {
    let scenario = Scenario { always: true, ..scenario("munmap", Demand::Work(work)) };
    compared_as(scenario, base, patched, reach, false)
}

fn compared_as(
    scenario: Scenario,
    base: &[(&str, WorkResult)],
    patched: &[(&str, WorkResult)],
    reach: Option<&Reach>,
    changes_tests: bool,
) -> Judgement {
    let scenarios = [scenario];
    let ran = |results: &[(&str, WorkResult)]| {
        let results = results.iter().map(|(what, end)| ((*what).to_owned(), end.clone())).collect();
        let mut ran = sound(none());
        ran.scenarios[0].outcome = Ending::Measured(Box::new(Measured { results, ..Measured::default() }));
        evidence(ran)
    };
    let asked = Asked { subject: &SUBJECT, expect: None, scenarios: &scenarios, cpus: 4, changes_tests };
    judge(&asked, &ran(base), &ran(patched), &Detectors { reach, ..Detectors::default() })
}

fn failed() -> WorkResult {
    WorkResult::Failed("EINVAL".to_owned())
}

#[test]
fn workload_that_ends_well_on_the_base_and_not_on_the_patched_arm_fails_the_patch() {
    let verdict = |base: &[(&str, WorkResult)], patched: &[(&str, WorkResult)]| {
        compared(Workload::Ours, base, patched, None).verdict
    };
    let ok = || [("mount", WorkResult::Ok)];
    assert_eq!(verdict(&ok(), &ok()), Verdict::WeakPass);
    assert_eq!(verdict(&ok(), &[("mount", failed())]), Verdict::Fail);
    assert_eq!(verdict(&ok(), &[("other", WorkResult::Ok)]), Verdict::Fail);
    // How a kernel answers to what it refuses is shown, and speaks against nobody.
    assert_eq!(verdict(&[("mount", failed())], &ok()), Verdict::WeakPass);
    // That there is no such thing is an answer as well, where there was one without the patch.
    let lacks = || [("mount", WorkResult::Skipped("ENODEV".to_owned()))];
    assert_eq!(verdict(&ok(), &lacks()), Verdict::Fail);
    assert_eq!(verdict(&lacks(), &lacks()), Verdict::WeakPass);
    // That stress-ng finds no resources says nothing.
    let stress = Workload::Stress(vec!["--dir".to_owned()]);
    assert_eq!(compared(stress, &ok(), &lacks(), None).verdict, Verdict::WeakPass);
    // Nothing was done.
    assert_eq!(verdict(&[], &[]), Verdict::Vacuous);
}

#[test]
fn what_there_is_less_of_with_the_patch_fails_it_and_what_there_is_more_of_does_not() {
    let scenarios = [scenario("munmap", Demand::Work(Workload::Ours))];
    let asked =
        Asked { subject: &SUBJECT, expect: None, scenarios: &scenarios, cpus: 4, changes_tests: false };
    let with = |found: &[(&str, u64)]| {
        let found = found.iter().map(|(what, count)| ((*what).to_owned(), *count)).collect();
        let results = BTreeMap::from([("walk".to_owned(), WorkResult::Ok)]);
        let mut ran = sound(none());
        ran.scenarios[0].outcome =
            Ending::Measured(Box::new(Measured { results, found, ..Measured::default() }));
        evidence(ran)
    };
    let verdict = |base: &[(&str, u64)], patched: &[(&str, u64)]| {
        let judgement = judge(&asked, &with(base), &with(patched), &Detectors::default());
        (judgement.verdict, judgement.reasons)
    };
    let base = [("entries of /proc/sys/vm", 40)];
    assert_eq!(verdict(&base, &base).0, Verdict::WeakPass);
    assert_eq!(verdict(&base, &[("entries of /proc/sys/vm", 41)]).0, Verdict::WeakPass);
    let (fail, reasons) = verdict(&base, &[("entries of /proc/sys/vm", 39)]);
    assert_eq!(fail, Verdict::Fail);
    let reason = "munmap: entries of /proc/sys/vm: ok on the base, 39 instead of 40 with the patch";
    assert!(reasons.iter().any(|one| one.contains(reason)), "{reasons:?}");
    // What is not there at all is missing above as well.
    assert_eq!(verdict(&base, &[]).0, Verdict::WeakPass);
}

#[test]
fn test_that_no_longer_runs_is_trouble_unless_the_patch_changes_tests() {
    let suite = || Workload::Kunit("gadget".to_owned());
    let selftest = || Workload::Selftest(vec!["/selftests/gadget".to_owned()]);
    let verdict = |work, patched: &[(&str, WorkResult)], changes_tests| {
        let scenario = Scenario { always: true, ..scenario("munmap", Demand::Work(work)) };
        let base = [("gadget / one", WorkResult::Ok), ("gadget / other", WorkResult::Ok)];
        compared_as(scenario, &base, patched, None, changes_tests).verdict
    };
    let gone = [("gadget / one", WorkResult::Ok), ("gadget / new", WorkResult::Ok)];
    let skipped =
        [("gadget / one", WorkResult::Ok), ("gadget / other", WorkResult::Skipped("no gadget".to_owned()))];
    for ends in [&gone, &skipped] {
        assert_eq!(verdict(suite(), ends, false), Verdict::Fail);
        assert_eq!(verdict(suite(), ends, true), Verdict::WeakPass);
        // The same program runs on both arms, whatever the patch changes.
        assert_eq!(verdict(selftest(), ends, true), Verdict::Fail);
    }
}

#[test]
fn system_call_that_succeeds_in_a_step_without_the_patch_alone_fails_it() {
    let scenarios = [scenario("munmap", Demand::Work(Workload::Ours))];
    let asked =
        Asked { subject: &SUBJECT, expect: None, scenarios: &scenarios, cpus: 4, changes_tests: false };
    let with = |answer: Option<CallAnswers>| {
        let answers = answer.map(|answer| ("sources: setsockopt".to_owned(), answer));
        let results = BTreeMap::from([("sources".to_owned(), WorkResult::Ok)]);
        let mut ran = sound(none());
        let measured = Measured { results, answers: answers.into_iter().collect(), ..Measured::default() };
        ran.scenarios[0].outcome = Ending::Measured(Box::new(measured));
        evidence(ran)
    };
    let judged = |base, patched| judge(&asked, &with(base), &with(patched), &Detectors::default());
    let ok = || Some(CallAnswers { ok: vec![7, 39], ..CallAnswers::default() });
    let failed = BTreeMap::from([("ENOBUFS".to_owned(), vec![39])]);
    let refused = || Some(CallAnswers { ok: vec![7], failed: failed.clone() });
    let judgement = judged(ok(), refused());
    assert_eq!(judgement.verdict, Verdict::Fail);
    let reason = "munmap: sources: setsockopt 0x27 succeeds: ok on the base, ENOBUFS with the patch";
    assert!(judgement.reasons.iter().any(|one| one.contains(reason)), "{judgement:?}");
    // One that the step did not come to is told by what kept it from there.
    let not_made = || Some(CallAnswers { ok: vec![7], ..CallAnswers::default() });
    for (base, patched) in
        [(ok(), None), (ok(), not_made()), (refused(), refused()), (refused(), ok()), (not_made(), refused())]
    {
        assert_eq!(judged(base, patched).verdict, Verdict::WeakPass);
    }
}

#[test]
fn result_that_another_pushed_out_is_not_missed() {
    let names: Vec<String> = (0..=protocol::RESULTS_MAX).map(|number| format!("{number:04}")).collect();
    let of = |names: &'static [String]| -> Vec<(&'static str, WorkResult)> {
        names.iter().map(|name| (name.as_str(), WorkResult::Ok)).collect()
    };
    let names: &'static [String] = names.leak();
    let (first, last) = (of(&names[..protocol::RESULTS_MAX]), of(&names[1..]));
    assert_eq!(compared(Workload::Ours, &first, &last, None).verdict, Verdict::WeakPass);
    assert_eq!(compared(Workload::Ours, &first[1..], &last[1..], None).verdict, Verdict::Fail);
}

#[test]
fn test_that_fails_without_the_patch_and_not_with_it_is_a_fix() {
    let program = || Workload::Program(vec!["/user/reproducer".to_owned()]);
    let verdict = |base, patched| {
        compared(program(), &[("exit status", base)], &[("exit status", patched)], None).verdict
    };
    assert_eq!(verdict(failed(), WorkResult::Ok), Verdict::Fixes);
    assert_eq!(verdict(failed(), failed()), Verdict::BaseAlsoFails);
    assert_eq!(verdict(WorkResult::Ok, failed()), Verdict::Fail);
}

#[test]
fn suite_that_fails_alike_on_both_arms_speaks_against_nobody() {
    let suite = || Workload::Kunit("gadget".to_owned());
    let verdict = |base, patched| {
        compared(
            suite(),
            &[("gadget", base), ("other", WorkResult::Ok)],
            &[("gadget", patched), ("other", WorkResult::Ok)],
            None,
        )
        .verdict
    };
    assert_eq!(verdict(failed(), failed()), Verdict::WeakPass);
    assert_eq!(verdict(WorkResult::Ok, failed()), Verdict::Fail);
    assert_eq!(verdict(failed(), WorkResult::Ok), Verdict::Fixes);
}

/// Both arms with these splats, by the task that they came from, and a taint.
fn with_splats_of(tasks: [&str; 2], tainted: [u64; 2]) -> Verdict {
    let scenarios = [scenario("munmap", Demand::Work(Workload::Boot))];
    let asked =
        Asked { subject: &SUBJECT, expect: None, scenarios: &scenarios, cpus: 4, changes_tests: false };
    let [base, patched] = [0, 1].map(|arm| {
        change(sound(none()), |ran| {
            let text = vec![format!("CPU: 1 UID: 0 PID: 203 Comm: {} Tainted: G", tasks[arm])];
            ran.splats = vec![Splat { text, ..splat(Kind::MightSleep, "fs/a.c:7") }];
            ran.splats_total = 1;
            ran.trailer = Some(Trailer { measured: 1, tainted: tainted[arm] });
        })
    });
    judge(&asked, &base, &patched, &Detectors::default()).verdict
}

#[test]
fn what_a_kunit_case_provokes_on_both_arms_says_nothing() {
    const TEST: u64 = 1 << 18;
    let case = "kunit_try_catch";
    assert_eq!(with_splats_of([case, case], [TEST | 512, TEST | 512]), Verdict::WeakPass);
    assert_eq!(with_splats_of([case, case], [0, 512]), Verdict::Fail);
    assert_eq!(with_splats_of(["sh", case], [512, 512]), Verdict::BaseAlsoFails);
    assert_eq!(with_splats_of([case, "sh"], [512, 512]), Verdict::BaseAlsoFails);
}

#[test]
fn taint_that_only_says_that_a_test_was_run_is_none() {
    let tainted = |bits| change(sound(waits()), |ran| ran.trailer.as_mut().unwrap().tainted = bits);
    let found = |bits| examine(&asked(&scenarios()), JudgedArm::Patched, &tainted(bits)).len();
    assert_eq!((found(1 << 18), found(1 << 18 | 512)), (0, 1));
}

#[test]
fn trouble_that_the_base_has_as_well_is_told_from_new_trouble() {
    let scenarios = [scenario("munmap", Demand::Work(Workload::Boot))];
    let asked =
        Asked { subject: &SUBJECT, expect: None, scenarios: &scenarios, cpus: 4, changes_tests: false };
    let with = |files: &[&str]| {
        let mut ran = sound(none());
        ran.splats = files.iter().map(|file| splat(Kind::MightSleep, &format!("{file}:7"))).collect();
        ran.splats_total = files.len() as u64;
        evidence(ran)
    };
    let verdict = |base: &[&str], patched: &[&str]| {
        judge(&asked, &with(base), &with(patched), &Detectors::default()).verdict
    };
    assert_eq!(verdict(&[], &["fs/a.c"]), Verdict::Fail);
    assert_eq!(verdict(&["fs/a.c"], &["fs/a.c"]), Verdict::BaseAlsoFails);
    assert_eq!(verdict(&["fs/a.c"], &["fs/a.c", "fs/b.c"]), Verdict::Fail);
    assert_eq!(verdict(&["fs/a.c"], &[]), Verdict::Fixes);
}

#[test]
fn patch_of_which_a_hunk_was_not_executed_is_vacuous_and_the_hunk_is_named() {
    let hunk = |state| reach::HunkReach {
        number: 2,
        path: "fs/a.c".to_owned(),
        place: "fs/a.c:12".to_owned(),
        lines: Vec::new(),
        uncounted: Vec::new(),
        around: Vec::new(),
        failures: 0,
        state,
    };
    let judged = |state| {
        let reach = Reach { hunks: vec![hunk(state)], uncounted: None, untried: Vec::new() };
        let ok = [("mount", WorkResult::Ok)];
        compared(Workload::Ours, &ok, &ok, Some(&reach))
    };
    let executed = reach::ReachState::Executed { count: 1, by: vec!["munmap".to_owned()] };
    assert_eq!(judged(executed).verdict, Verdict::WeakPass);
    let missed = judged(reach::ReachState::NotExecuted);
    assert_eq!(missed.verdict, Verdict::Vacuous);
    assert_eq!(missed.reasons, ["hunk 2 (fs/a.c:12) was compiled and not executed"]);
    assert_eq!(judged(reach::ReachState::NotCompiled).verdict, Verdict::Vacuous);
    assert_eq!(judged(reach::ReachState::NoCode).verdict, Verdict::Vacuous);
}

#[test]
fn test_that_is_skipped_on_both_arms_is_no_test() {
    let program = Workload::Program(vec!["/user/reproducer".to_owned()]);
    let skipped = [("exit status", WorkResult::Skipped("there is no /bin/sh".to_owned()))];
    let judged = compared(program, &skipped, &skipped, None);
    assert_eq!(judged.verdict, Verdict::Vacuous);
    assert!(judged.reasons[0].ends_with("munmap: it was skipped: there is no /bin/sh"), "{judged:?}");
    // What nobody asked for is there for what it executes.
    let found = Scenario::found("munmap".to_owned(), Workload::Kunit("gadget".to_owned()));
    assert_eq!(compared_as(found, &skipped, &skipped, None, false).verdict, Verdict::WeakPass);
}

#[test]
fn what_is_gone_is_no_fix_by_a_patch_that_was_not_executed_and_an_allowed_hunk_is_named() {
    let hunk = reach::HunkReach {
        number: 2,
        path: "fs/a.c".to_owned(),
        place: "fs/a.c:12".to_owned(),
        lines: Vec::new(),
        uncounted: Vec::new(),
        around: Vec::new(),
        failures: 0,
        state: reach::ReachState::NotExecuted,
    };
    let reach = Reach { hunks: vec![hunk], uncounted: None, untried: Vec::new() };
    let program = || Workload::Program(vec!["/user/reproducer".to_owned()]);
    let (bad, good) = ([("exit status", failed())], [("exit status", WorkResult::Ok)]);
    assert_eq!(compared(program(), &bad, &good, Some(&reach)).verdict, Verdict::Vacuous);
    let scenarios = [scenario("munmap", Demand::Work(Workload::Boot))];
    let asked =
        Asked { subject: &SUBJECT, expect: None, scenarios: &scenarios, cpus: 4, changes_tests: false };
    let mut splat_gone = sound(none());
    splat_gone.splats = vec![splat(Kind::MightSleep, "fs/a.c:7")];
    splat_gone.splats_total = 1;
    let (base, patched) = (evidence(splat_gone), evidence(sound(none())));
    let judged = |shown: &Detectors<'_>| judge(&asked, &base, &patched, shown);
    assert_eq!(judged(&Detectors { reach: Some(&reach), ..Detectors::default() }).verdict, Verdict::Vacuous);
    let allowed = Detectors { reach: Some(&reach), unreached_allowed: &[2], ..Detectors::default() };
    assert_eq!(judged(&allowed).verdict, Verdict::Fixes);
    let weak = judge(&asked, &patched, &patched, &allowed);
    assert_eq!(weak.verdict, Verdict::WeakPass);
    assert!(weak.reasons[1].ends_with("not executed, as --allow-unreached takes it"), "{weak:?}");
}

/// A boot that looked for what was left behind and found these leaks, each a stack.
fn with_leaks(stacks: &[&[&str]]) -> Evidence {
    let leak = |stack: &&[&str]| Leak {
        objects: 1,
        bytes: 32,
        stack: stack.iter().map(|frame| (*frame).to_owned()).collect(),
    };
    let leaks = stacks.iter().map(leak).collect();
    let results = BTreeMap::from([("mounts come back".to_owned(), WorkResult::Ok)]);
    let mut ran = sound(none());
    ran.splats = vec![splat(Kind::Kmemleak, "kernel/x.c:1")];
    ran.splats_total = 1;
    ran.scenarios[0].outcome = Ending::Measured(Box::new(Measured { results, leaks, ..Measured::default() }));
    let mut evidence = evidence(ran);
    if let Build::Built(built) = &mut evidence.build {
        built.code.functions.insert("fs/a.o: open_a".to_owned(), "1".to_owned());
    }
    evidence
}

#[test]
fn memory_that_a_changed_object_loses_with_the_patch_alone_fails_it() {
    let scenarios = [scenario("munmap", Demand::Work(Workload::Leftovers))];
    let asked =
        Asked { subject: &SUBJECT, expect: None, scenarios: &scenarios, cpus: 4, changes_tests: false };
    let verdict = |base: &[&[&str]], patched: &[&[&str]]| {
        judge(&asked, &with_leaks(base), &with_leaks(patched), &Detectors::default())
    };
    let own: &[&str] = &["__kmalloc", "name_of", "open_a", "do_open"];
    let failed = verdict(&[], &[own]);
    assert_eq!(failed.verdict, Verdict::Fail);
    assert_eq!(
        failed.reasons,
        ["patched: munmap: 1 object of 32 bytes that nothing points to, from name_of < open_a < do_open"]
    );
    // A helper that was split off, or inlined.
    assert_eq!(verdict(&[own], &[&["__kmalloc", "open_a.isra.0", "do_open"]]).verdict, Verdict::WeakPass);
    let elsewhere = verdict(&[], &[&["__kmalloc", "elsewhere"]]);
    assert_eq!(elsewhere.verdict, Verdict::WeakPass);
    assert!(elsewhere.reasons[0].starts_with("lost with the patch alone"), "{elsewhere:?}");
    assert_eq!(verdict(&[own], &[]).verdict, Verdict::Fixes);
    // Of a planted bug as well; which functions the patch's objects have is known of the patched kernel alone.
    let unknown = |stacks: &[&[&str]]| {
        let mut evidence = with_leaks(stacks);
        if let Build::Built(built) = &mut evidence.build {
            built.code.functions.clear();
        }
        evidence
    };
    let caught = |mutant: &[&[&str]], blank: &[&[&str]]| {
        let (patched, blank) = (with_leaks(&[]), unknown(blank));
        catch_mutant(&asked, &unknown(mutant), &[(asked, &patched), (asked, &blank)]).caught
    };
    assert!(caught(&[own], &[]));
    assert!(!caught(&[own], &[own]) && !caught(&[&["__kmalloc", "elsewhere"]], &[]));
}

/// A boot that looked for what was left in a slab cache, by what was in use of it before and then.
fn with_level(cache: &str, before: u64, after: u64) -> Boot {
    let results = BTreeMap::from([("mounts come back".to_owned(), WorkResult::Ok)]);
    let levels = BTreeMap::from([(cache.to_owned(), Level { before, peak: after, after })]);
    let measured = Measured { results, levels, ..Measured::default() };
    let mut ran = sound(none());
    ran.scenarios[0].outcome = Ending::Measured(Box::new(measured));
    Boot::Ran(Box::new(ran))
}

#[test]
fn slab_cache_that_grows_with_the_patch_alone_at_every_boot_fails_it() {
    let scenarios = [scenario("munmap", Demand::Work(Workload::Leftovers))];
    let asked =
        Asked { subject: &SUBJECT, expect: None, scenarios: &scenarios, cpus: 4, changes_tests: false };
    let judged = |base: [Boot; 2], patched: [Boot; 2]| {
        let mut arms = [with_leaks(&[]), with_leaks(&[])];
        for (arm, [first, again]) in arms.iter_mut().zip([base, patched]) {
            (arm.boot, arm.repeats) = (first, vec![again]);
        }
        judge(&asked, &arms[0], &arms[1], &Detectors::default())
    };
    // Any part of the kernel may have put something into the first one; the second one is of one kind of object alone.
    for (cache, base, patched, is_bad) in [
        ("kmalloc-64", [1020, 1010], [1700, 1710], true),
        ("kmalloc-64", [1020, 1010], [1700, 1010], false),
        ("kmalloc-64", [1400, 1400], [1700, 1700], false),
        ("kmalloc-64", [1700, 1700], [900, 900], false),
        ("kmalloc-64", [1000, 1000], [1030, 1030], false),
        ("key_jar", [1000, 1000], [1007, 1007], true),
        ("key_jar", [1000, 1000], [1007, 1000], false),
        ("key_jar", [1000, 1000], [1004, 1004], false),
        ("key_jar", [1004, 1004], [1010, 1010], false),
    ] {
        let boots = |after: [u64; 2]| after.map(|after| with_level(cache, 1000, after));
        let judged = judged(boots(base), boots(patched));
        let told = format!("slab cache {cache}");
        assert_eq!(judged.verdict == Verdict::Fail, is_bad, "{cache} {base:?} {patched:?}: {judged:?}");
        assert_eq!(judged.reasons.join(" ").contains(&told), is_bad, "{judged:?}");
    }
    // On both arms as many are in use in the end: there were fewer before.
    let late = || [with_level("kmalloc-128", 400, 570), with_level("kmalloc-128", 400, 570)];
    let usual = || [with_level("kmalloc-128", 565, 570), with_level("kmalloc-128", 565, 570)];
    assert_eq!(judged(usual(), late()).verdict, Verdict::WeakPass);
    // A kernel with a planted bug is booted once: it takes more than two boots differ by.
    let caught = |cache: &str, mutant: u64, blank: u64| {
        let once = |after: u64| Evidence { boot: with_level(cache, 1000, after), ..with_leaks(&[]) };
        catch_mutant(&asked, &once(mutant), &[(asked, &once(1004)), (asked, &once(blank))]).caught
    };
    let of_many = |mutant, blank| caught("kmalloc-64", mutant, blank);
    assert_eq!([of_many(1700, 1010), of_many(1100, 1010), of_many(1700, 1650)], [true, false, false]);
    let own = |mutant, blank| caught("key_jar", mutant, blank);
    assert_eq!([own(1030, 1001), own(1010, 1001), own(1030, 1025)], [true, false, false]);
}

#[test]
fn what_does_not_come_again_is_chance_unless_a_changed_function_had_a_part_in_it() {
    let scenarios = [scenario("munmap", Demand::Work(Workload::Ours))];
    let asked =
        Asked { subject: &SUBJECT, expect: None, scenarios: &scenarios, cpus: 4, changes_tests: false };
    let boot = |result: WorkResult, stack: &[&str]| {
        let results = BTreeMap::from([("mount".to_owned(), result)]);
        let mut ran = sound(none());
        ran.scenarios[0].outcome = Ending::Measured(Box::new(Measured { results, ..Measured::default() }));
        if !stack.is_empty() {
            let mut text = vec!["WARNING: fs/b.c:7 at b()".to_owned()];
            text.extend(stack.iter().map(|frame| format!(" {frame}+0x1/0x2")));
            ran.splats = vec![Splat { text, ..splat(Kind::MightSleep, "fs/b.c:7") }];
            ran.splats_total = 1;
        }
        Boot::Ran(Box::new(ran))
    };
    let verdict = |first: Boot, again: Boot| {
        let mut arms = [with_leaks(&[]), with_leaks(&[])];
        arms[0].boot = boot(WorkResult::Ok, &[]);
        arms[0].repeats = vec![boot(WorkResult::Ok, &[])];
        arms[1].boot = first;
        arms[1].repeats = vec![again];
        judge(&asked, &arms[0], &arms[1], &Detectors::default()).verdict
    };
    let good = || boot(WorkResult::Ok, &[]);
    assert_eq!(verdict(boot(failed(), &[]), boot(failed(), &[])), Verdict::Fail);
    assert_eq!(verdict(boot(failed(), &[]), good()), Verdict::WeakPass);
    assert_eq!(verdict(boot(WorkResult::Ok, &["other"]), good()), Verdict::WeakPass);
    assert_eq!(verdict(boot(WorkResult::Ok, &["other"]), boot(WorkResult::Ok, &["other"])), Verdict::Fail);
    assert_eq!(verdict(boot(WorkResult::Ok, &["other", "open_a"]), good()), Verdict::Fail);
    // An emulated guest may die of a breakpoint that is nobody's, in any function.
    let breakpoint = || {
        let mut boot = boot(WorkResult::Ok, &["open_a"]);
        if let Boot::Ran(ran) = &mut boot {
            ran.splats[0].kind = Kind::Oops;
            ran.splats[0].headline = "Oops: int3: 0000 [#1] SMP".to_owned();
        }
        boot
    };
    assert_eq!(verdict(breakpoint(), good()), Verdict::WeakPass);
    assert_eq!(verdict(breakpoint(), breakpoint()), Verdict::Fail);
    // What the base showed once was not mended by the patch.
    let mended = |first: Boot, again: Boot| {
        let mut arms = [with_leaks(&[]), with_leaks(&[])];
        arms[0].boot = first;
        arms[1].boot = good();
        assert!(may_be_chance(&asked, &arms[0], &arms[1]));
        arms[0].repeats = vec![again];
        arms[1].repeats = vec![good()];
        judge(&asked, &arms[0], &arms[1], &Detectors::default()).verdict
    };
    assert_eq!(mended(breakpoint(), good()), Verdict::WeakPass);
    assert_eq!(mended(breakpoint(), breakpoint()), Verdict::Fixes);
}

#[test]
fn pass_needs_a_bug_of_each_kind_in_the_patchs_own_lines_to_be_seen() {
    let mutant = |number: usize, kind| Mutant {
        number,
        name: format!("mutant-{number}"),
        kind,
        place: format!("fs/a.c:{number}"),
        was: "put(a);".to_owned(),
    };
    let mutants = [
        mutant(1, MutantKind::Negated),
        mutant(2, MutantKind::Unreleased),
        mutant(3, MutantKind::Unreleased),
    ];
    let scenarios = [scenario("munmap", Demand::Work(Workload::Boot))];
    let asked =
        Asked { subject: &SUBJECT, expect: None, scenarios: &scenarios, cpus: 4, changes_tests: false };
    let good = evidence(sound(none()));
    let judged = |caught: [bool; 3]| {
        let became = |caught| Caught { caught, by: String::new(), splat: Vec::new() };
        let mutants: Vec<_> = mutants.iter().zip(caught.map(became)).collect();
        judge(&asked, &good, &good, &Detectors { mutants: &mutants, ..Detectors::default() })
    };
    assert_eq!(judged([true, true, false]).verdict, Verdict::Pass);
    let weak = judged([true, false, false]);
    assert_eq!(weak.verdict, Verdict::WeakPass);
    assert_eq!(
        weak.reasons,
        [
            "blind to a missing release: planted at fs/a.c:2 (`put(a);`), fs/a.c:3 (`put(a);`), and nothing showed it"
        ]
    );
    // Success for an error and an error for success are one kind.
    let mutants = [mutant(1, MutantKind::Inverted), mutant(2, MutantKind::Refused)];
    let became = [false, true].map(|caught| Caught { caught, by: String::new(), splat: Vec::new() });
    let mutants: Vec<_> = mutants.iter().zip(became).collect();
    let one_of_two = judge(&asked, &good, &good, &Detectors { mutants: &mutants, ..Detectors::default() });
    assert_eq!(one_of_two.verdict, Verdict::Pass);
    // A mutant is caught by what is worse than the patched arm, and by nothing that both have.
    let mut worse = sound(none());
    worse.splats = vec![splat(Kind::MightSleep, "fs/a.c:7")];
    worse.splats_total = 1;
    let worse = evidence(worse);
    let catch = |mutant: &Evidence, patched: &Evidence, blank: &Evidence| {
        catch_mutant(&asked, mutant, &[(asked, patched), (asked, blank)]).caught
    };
    assert!(catch(&worse, &good, &good));
    // What the same kernel does without any bug is none of a bug's doing.
    assert!(!catch(&worse, &good, &worse));
    assert!(!catch(&worse, &worse, &good));
    let not_run = Evidence::default();
    assert!(!catch(&not_run, &good, &good));
    assert!(!catch(&worse, &good, &not_run));
}
