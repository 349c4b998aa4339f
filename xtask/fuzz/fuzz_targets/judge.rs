//! Evidence with any number and any text in any field, through judge and report to every rendering. Nothing may panic, a
//! number out of range may not pass, and renderings must be plain text, JSON and well-formed XML.
//!
//! The input changes sound evidence as JSON, so that every field is reached, also future ones. Then it changes the
//! resulting report in the same way.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use protocol::{Counts, Done, Hello, Level, Measured, Timing, Trailer};
use serde_json::Value;

use console::Splat;
use engine::campaign::Campaign;
use engine::campaign::plan::{self, Beside, Cell};
use engine::observe::{Boot, Build, Built, Ending, Evidence, GuestEnd, Ran, ScenarioRan, Watched};
use engine::subject::Subject;
use engine::subject::control::Control;
use verdict::judge::{self, Asked, JudgedArm, Verdict};
use verdict::report::{self, CellReport, CodeReport, NotApplicable, PairReport, PatchReport, Report, Shown};

/// Scenarios per cell: more only make a run slower.
const SCENARIOS: usize = 2;

/// Cells of each variant of three campaigns, each with a few scenarios and with its subject: every demand and every outcome
/// is among them.
static CELLS: LazyLock<Vec<(Subject, Cell)>> = LazyLock::new(|| {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let cells = ["mmu-gather", "mount-ramfs", "process-madvise"].into_iter().flat_map(|name| {
        let campaign = Campaign::load(&configs, name).expect("a campaign of this repository");
        let cells = plan::cells(&campaign, &Beside::default()).expect("its cells");
        cells.into_iter().map(move |cell| (campaign.subject.clone(), cell))
    });
    let few = |(subject, cell): (Subject, Cell)| {
        let parts = cell.scenarios.chunks(SCENARIOS);
        let parts = parts.map(|scenarios| Cell { scenarios: scenarios.to_vec(), ..cell.clone() });
        parts.map(|cell| (subject.clone(), cell)).collect::<Vec<_>>()
    };
    cells.filter(|(_, cell)| cell.arm == plan::Arm::Patched).flat_map(few).collect()
});

/// Consumed from its beginning; zeroes follow.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        match self.byte() % 10 {
            0 => 0,
            1 => 1,
            2 => 200,
            3 => u64::from(u32::MAX),
            4 => protocol::NUMBER_MAX,
            5 => protocol::NUMBER_MAX + 1,
            6 => 1 << 63,
            7 => u64::MAX,
            8 => u64::from(self.byte()),
            _ => u64::from_le_bytes([0; 8].map(|_: u8| self.byte())),
        }
    }

    fn text(&mut self) -> String {
        const HOSTILE: [&str; 12] = [
            "",
            "\u{1b}]0;t\u{7}\u{1b}[2J",
            "\0\u{8}\r\n\t",
            "\u{9b}31m\u{85}\u{7f}",
            "\u{202e}\u{2066}\u{200b}\u{feff}",
            "\u{fffe}\u{ffff}\u{fdd0}\u{10ffff}",
            "]]><!-- & <a b='\"'>",
            "{elapsed} {} {{ %s",
            "munmap",
            "patched",
            ", nothing forced, one table",
            "\u{e9}\u{301}\u{1f980}\u{5185}",
        ];
        let choice = usize::from(self.byte());
        if let Some(text) = HOSTILE.get(choice) {
            return (*text).to_owned();
        }
        let length = choice.min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }

    /// Changes some leaves of `value`, and makes some of its lists longer or shorter.
    fn change(&mut self, mut value: Value) -> Value {
        let mut places = Vec::new();
        find(&value, String::new(), &mut places);
        for _ in 0..self.byte() % 16 {
            let at = usize::from(u16::from_le_bytes([self.byte(), self.byte()])) % places.len().max(1);
            let Some(place) = places.get(at).and_then(|place| value.pointer_mut(place)) else { continue };
            match place {
                Value::Number(_) => *place = self.number().into(),
                Value::String(_) => *place = self.text().into(),
                Value::Bool(so) => *so = !*so,
                Value::Null if self.byte() % 2 == 0 => *place = self.number().into(),
                Value::Null => *place = self.text().into(),
                Value::Array(items) if self.byte() % 2 == 0 => drop(items.pop()),
                Value::Array(items) => items.extend(items.first().cloned()),
                Value::Object(_) => {}
            }
        }
        value
    }
}

/// Collects JSON pointers to all leaves and lists of `value`.
fn find(value: &Value, at: String, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields
                .iter()
                .for_each(|(name, field)| find(field, format!("{at}/{}", name.replace('/', "~1")), places));
        }
        Value::Array(items) => {
            let below = |(index, item)| (format!("{at}/{index}"), item);
            items
                .iter()
                .enumerate()
                .map(below)
                .for_each(|(at, item): (String, &Value)| find(item, at, places));
            places.push(at);
        }
        _ => places.push(at),
    }
}

/// A sound measurement without empty fields.
fn measured(subject: &Subject) -> Measured {
    let counts = |of: u64| Counts(subject.counted().map(|name| (name.clone(), of)).collect());
    let level = Level { before: 40, peak: 260, after: 40 };
    let timing = |units| Timing {
        what: "munmap".to_owned(),
        forced: true,
        units,
        samples: 5,
        min: 1,
        p25: 2,
        median: 3 * units,
        p75: 4,
        p99: 5,
        max: 6,
    };
    Measured {
        injected_in: Some("give_up".to_owned()),
        demanded: 200,
        injected: 200,
        operations: 10,
        bystanders: 3,
        quiet: counts(0),
        forced: counts(200),
        levels: subject.gauges.iter().map(|gauge| (gauge.name.clone(), level)).collect(),
        rises: subject.counters.iter().map(|counter| (counter.name.clone(), 601)).collect(),
        timings: [1, 64, 256, 1024].map(timing).into(),
        done: vec![Done { what: "walks".to_owned(), count: 7 }],
        ..Measured::default()
    }
}

fn ran(subject: &Subject, cell: &Cell) -> Ran {
    let names = || cell.scenarios.iter().map(|scenario| scenario.name.clone());
    let splat = Splat {
        kind: console::splat::Kind::MightSleep,
        headline: "BUG: sleeping function".to_owned(),
        location: Some("mm/mmu_gather.c:315".to_owned()),
        text: vec!["text".to_owned()],
    };
    let scenario = |name| ScenarioRan {
        name,
        outcome: Ending::Measured(Box::new(measured(subject))),
        splats: 0,
        secs: 1.0,
        exclusive: true,
    };
    Ran {
        accel: "tcg".to_owned(),
        guests: 1,
        secs: 2.0,
        kernel_secs: Some(0.9),
        boot_secs: Some(1.0),
        test_secs: Some(1.0),
        end: GuestEnd::QemuExited,
        qemu_said: Some("words".to_owned()),
        kernel_spoke: true,
        hello: Some(Hello {
            kernel_release: "7.2.12".to_owned(),
            cpus_online: cell.cpus(),
            readings: subject.readings.iter().map(|reading| (reading.file.clone(), reading.is)).collect(),
            symbols: vec!["give_up".to_owned()],
        }),
        planned: names().collect(),
        scenarios: names().map(scenario).collect(),
        trailer: Some(Trailer { measured: u32::try_from(cell.scenarios.len()).unwrap_or(0), tainted: 0 }),
        rejects: vec!["a line".to_owned()],
        splats: vec![splat],
        splats_total: 1,
        last_lines: vec!["a last line".to_owned()],
        coverage: Vec::new(),
        watched: Watched { silence_secs: 1.0, deadline_secs: 2.0, cpus: vec!["CPU 0: f < g".to_owned()] },
    }
}

/// Changed evidence of `cell`; falls back to the sound one where the change does not parse.
fn evidence(input: &mut Input<'_>, subject: &Subject, cell: &Cell) -> Evidence {
    let mut sound = ran(subject, cell);
    if input.byte() % 2 == 0 {
        (sound.rejects, sound.splats, sound.splats_total) = (Vec::new(), Vec::new(), 0);
    }
    let sound = Boot::Ran(Box::new(sound));
    let mut boot = || {
        let changed = input.change(serde_json::to_value(&sound).expect("plain data"));
        serde_json::from_value(changed).unwrap_or_else(|_| sound.clone())
    };
    let guests = vec![boot(), boot()];
    let (boot, again) = (boot(), Boot::merge(guests));
    let repeats = if input.byte() % 4 == 0 { vec![again] } else { Vec::new() };
    let build = Build::Built(Built { warnings: vec!["a warning".to_owned()], ..Built::default() });
    let build = input.change(serde_json::to_value(build).expect("plain data"));
    Evidence {
        build: serde_json::from_value(build).unwrap_or_else(|_| Build::Built(Built::default())),
        build_secs: Some(1.0),
        boot,
        repeats,
        ..Evidence::default()
    }
}

fn no_guest_can_have_measured(evidence: &Evidence) -> bool {
    let in_boot = |boot: &Boot| match boot {
        Boot::Ran(ran) => {
            let measured = ran.scenarios.iter().any(|scenario| {
                matches!(&scenario.outcome, Ending::Measured(m) if protocol::impossible(m).is_some())
            });
            measured
                || protocol::impossible(&ran.hello).is_some()
                || protocol::impossible(&ran.trailer).is_some()
        }
        Boot::NotRun | Boot::Infra { .. } => false,
    };
    evidence.boots().any(in_boot)
}

fn report(cell: &Cell, arms: [&Evidence; 2], judgement: judge::Judgement, asked: &Asked<'_>) -> Report {
    let cells = [(plan::Arm::Base, JudgedArm::Base), (plan::Arm::Patched, JudgedArm::Patched)];
    let cells = cells.into_iter().zip(arms).map(|((arm, judged), evidence)| {
        let cell = Cell { arm, ..cell.clone() };
        let findings = judge::examine(asked, judged, evidence).into_iter().map(|finding| finding.text);
        CellReport::new(
            &cell,
            asked.subject,
            "7.2.12",
            evidence,
            findings.collect(),
            Some(judge::count(asked, judged, evidence)),
        )
    });
    let cells: Vec<CellReport> = cells.collect();
    let expect = cell.variant.expect.as_ref();
    let pair = PairReport {
        differences: Vec::new(),
        failures: Vec::new(),
        tree: cell.tree.clone(),
        arch: cell.arch.name.to_owned(),
        variant: cell.variant.name.clone(),
        arm: "patched".to_owned(),
        about: cell.variant.about.clone(),
        native: cell.variant.native(),
        helpers: cell.variant.helpers.clone(),
        expect_base: expect.map(|all| all.base.clone()),
        expect_patched: expect.map(|all| all.patched.clone()),
        not_applicable: vec![NotApplicable { scenario: "ldt".to_owned(), why: "no PTI".to_owned() }],
        verdict: judgement.verdict,
        reasons: judgement.reasons,
        code: Some(CodeReport { functions: 1, changed: vec!["m.o: f".to_owned()], ..CodeReport::default() }),
        code_beside_patched: None,
        controls_left_out: Vec::new(),
    };
    let mut report = Report {
        part: None,
        reach: std::collections::BTreeMap::new(),
        unreached_allowed: Vec::new(),
        sandbox: "bubblewrap 0".to_owned(),
        unconfined: false,
        schema: report::SCHEMA,
        campaign: "mmu-gather".to_owned(),
        subject: asked.subject.clone(),
        suite: None,
        started: "2026-01-01T00:00:00Z".to_owned(),
        interrupted: false,
        exit_code: 0,
        patch: PatchReport { subject: Some("[PATCH] a subject".to_owned()), ..PatchReport::default() },
        trees: Vec::new(),
        accels: Vec::new(),
        cells,
        controls: Vec::new(),
        left_out: Vec::new(),
        pairs: vec![PairReport { arm: "v3".to_owned(), ..pair.clone() }, pair],
        effects: Vec::new(),
        fetch_secs: 0.0,
        guests_secs: 0.0,
        wall_secs: 1.0,
        cold_build: None,
    };
    report.effects = report::effect::effects(&report);
    report.exit_code = report.exit() as u8;
    report
}

/// Panics if `text` has an unescaped character.
fn is_text(text: &str) {
    for c in text.chars() {
        let code = u32::from(c);
        assert!(c == '\n' || !c.is_control(), "{c:?}");
        assert!(
            !matches!(code, 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfdd0..=0xfdef | 0xfeff),
            "{c:?}"
        );
        assert!(code & 0xfffe != 0xfffe, "{c:?}");
    }
}

fn render(report: &Report) {
    let shown = Shown::new(report).expect("a report is plain data");
    let text = report::human::whole(&shown, "/runs/1", false);
    is_text(&text);
    for line in text.lines() {
        assert!(unicode_width::UnicodeWidthStr::width(line) <= usize::from(report::layout::WIDTH), "{line}");
    }
    let coloured = report::human::whole(&shown, "/runs/1", true);
    let plain = ["31", "32", "33", "0"]
        .iter()
        .fold(coloured, |text, code| text.replace(&format!("\u{1b}[{code}m"), ""));
    assert_eq!(plain, text);
    let xml = report::junit::render(&shown, &report::case::LogTails::new()).expect("JUnit");
    is_text(&xml);
    roxmltree::Document::parse(&xml).expect("XML");
    let json = serde_json::to_string_pretty(&*shown).expect("JSON");
    is_text(&json);
    shown.exit();
}

/// Of three kinds of evidence.
static CONTROLS: LazyLock<Vec<Control>> = LazyLock::new(|| {
    [
        ("no-sync", include_str!("../../../patches/controls/no-sync.yaml")),
        ("leak", include_str!("../../../patches/controls/leak.yaml")),
        ("preempt-disable", include_str!("../../../patches/controls/preempt-disable.yaml")),
    ]
    .map(|(name, text)| Control::parse(name, Path::new(name), text).expect("a control of this repository"))
    .into()
});

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let (subject, cell) = &CELLS[usize::from(input.byte()) % CELLS.len()];
    let (base, patched) = (evidence(&mut input, subject, cell), evidence(&mut input, subject, cell));
    let expect = cell.variant.expect.as_ref();
    let asked = Asked { subject, expect, scenarios: &cell.scenarios, cpus: cell.cpus(), changes_tests: input.byte() % 2 == 1 };
    let control = &CONTROLS[usize::from(input.byte()) % CONTROLS.len()];
    judge::noticed(&asked, &patched);
    let caught = judge::catch(&asked, control, &patched);
    let judgement = judge::judge(&asked, &base, &patched, &judge::Detectors::default());
    let controls = [(control, caught)];
    let shown = judge::Detectors { controls: &controls, least: 1, left_out: vec!["another".to_owned()], ..judge::Detectors::default() };
    judge::judge(&asked, &base, &patched, &shown);
    let impossible = [&base, &patched].into_iter().any(no_guest_can_have_measured);
    assert!(!(judgement.verdict == Verdict::Pass && impossible), "{judgement:?}");
    let report = report(cell, [&base, &patched], judgement, &asked);
    render(&report);
    let changed = input.change(serde_json::to_value(&report).expect("plain data"));
    if let Ok(report) = serde_json::from_value(changed) {
        render(&report);
    }
});
