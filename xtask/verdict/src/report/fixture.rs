//! A report for the renderers' tests: one variant, its control, and a verdict of the test's choice.

use super::*;
use console::Splat;
use console::splat::Kind;

/// A subject whose failures led to messages and lead to waits.
const SUBJECT: &str = "
failure: slow way
unit: thing
events:
  - {name: send, title: broadcasts, shown: true, calls: [send_to_all]}
  - {name: receive, title: messages, effect: messages received, tracepoint: a/b, function: receive}
  - {name: wait, title: wait_for_all(), shown: true, effect: waits, calls: [wait_for_all]}
counters: [{name: all, title: all messages, file: /proc/interrupts, row: messages}]
outcomes:
  - {name: sends, about: one broadcast per slow way, each: {send: 1, receive: bystanders}, reached_by: [send]}
  - {name: waits, about: one wait per slow way, each: {wait: 1}, reached_by: [wait]}
questions:
  - {ask: 'Does it take the new path?', takes: outcome}
  - {ask: 'Does it stop the messages?', stops: receive, beside: all}
  - {ask: 'What does it cost?', costs: time}
";

fn scenario(name: &str, counts: &[(&str, u64)]) -> ScenarioReport {
    let named = |(name, count): &(&str, u64)| ((*name).to_owned(), *count);
    let received = counts.iter().find(|(name, _)| *name == "receive").map_or(0, |(_, count)| *count);
    ScenarioReport {
        name: name.to_owned(),
        demands: "200 slow ways".to_owned(),
        exact: true,
        own_counts: false,
        demanded: 200,
        injected: 200,
        injected_in: Some("give_up".to_owned()),
        operations: 0,
        timings: Vec::new(),
        done: Vec::new(),
        counts: Counts(counts.iter().map(named).collect()),
        levels: BTreeMap::new(),
        rises: BTreeMap::from([("all".to_owned(), received + 1)]),
        splats: 0,
        set: Vec::new(),
        exclusive: true,
    }
}

fn cell(arm: &str, scenarios: Vec<ScenarioReport>, splats: Vec<Splat>, findings: Vec<String>) -> CellReport {
    CellReport {
        id: format!("7.2/x86_64/pt-reclaim-off/{arm}"),
        tree: "7.2".to_owned(),
        tree_version: "7.2.12".to_owned(),
        arch: "x86_64".to_owned(),
        variant: "pt-reclaim-off".to_owned(),
        native: false,
        arm: arm.to_owned(),
        accel: Some("tcg".to_owned()),
        built: true,
        build_secs: Some(160.0),
        build_start_secs: Some(if arm == "base" { 21.0 } else { 24.0 }),
        boot_start_secs: Some(190.0),
        configure_secs: Some(2.0),
        link_secs: Some(3.0),
        cold: arm == "base",
        cached: false,
        recorded: None,
        kernel_secs: Some(1.25),
        boot_secs: Some(1.5),
        test_secs: Some(4.0),
        scenarios,
        splats_total: splats.len() as u64,
        splats,
        tainted: Some(0),
        lost_symbols: Vec::new(),
        warnings: Vec::new(),
        findings,
        repetition: None,
        dir: format!("cells/7.2/x86_64/pt-reclaim-off/{arm}"),
        kept: ["repro.sh", "console.log"].map(str::to_owned).to_vec(),
    }
}

/// Of a failure on base and on patched, milliseconds.
fn price(base: f64, patched: f64) -> effect::Effect {
    let amount = |value: f64| effect::Amount {
        value,
        samples: 300,
        spread: Some(effect::Spread {
            p25: value * 0.9,
            p75: value * 1.1,
            p99: value * 2.0,
            max: value * 3.0,
        }),
    };
    effect::Effect {
        tree: "7.2".to_owned(),
        arch: "x86_64".to_owned(),
        variant: "pt-reclaim-off".to_owned(),
        scenario: "latency".to_owned(),
        what: "munmap, one thing".to_owned(),
        forced: true,
        units: 1,
        unit: effect::Unit::Milliseconds,
        base: amount(base),
        patched: amount(patched),
        exclusive: true,
    }
}

/// [`report`], as it is shown.
pub fn shown(verdict: Verdict, reasons: &[&str]) -> Shown {
    Shown::new(&report(verdict, reasons)).unwrap()
}

/// A run whose pair came out as `verdict`, for the reasons given.
pub fn report(verdict: Verdict, reasons: &[&str]) -> Report {
    let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    let subject = crate::host::yaml::parse(std::path::Path::new("s.yaml"), SUBJECT).unwrap();
    let headline = "BUG: sleeping function called from invalid context at mm/mmu_gather.c:315".to_owned();
    let splat =
        Splat { kind: Kind::MightSleep, headline: headline.clone(), location: None, text: Vec::new() };
    let patched_splats = if verdict == Verdict::Fail { vec![splat] } else { Vec::new() };
    let file = |path: &str| FileReport {
        path: path.to_owned(),
        pre_blob: Some("fe5b6a031717".to_owned()),
        post_blob: Some("2c6fa8db55df".to_owned()),
        pre_matches: Some(true),
        post_matches: Some(true),
        edited: false,
        mode: None,
    };
    let mut report = Report {
        exit_code: 0,
        sandbox: "bubblewrap 0".to_owned(),
        unconfined: false,
        schema: SCHEMA,
        campaign: "mmu-gather".to_owned(),
        subject,
        suite: None,
        started: "2026-01-01T00:00:00Z".to_owned(),
        part: None,
        interrupted: false,
        patch: PatchReport {
            source: "p.patch".to_owned(),
            subject: Some("[PATCH] a subject".to_owned()),
            form: "git format-patch output".to_owned(),
            notes: Vec::new(),
            repaired: false,
            damage: Vec::new(),
            files: vec![file("mm/mmu_gather.c"), file("include/asm-generic/tlb.h")],
        },
        trees: vec![TreeReport {
            sensitive: Vec::new(),
            name: "7.2".to_owned(),
            version: "7.2.12".to_owned(),
            origin: "directory /src/linux".to_owned(),
            undone: None,
            patch: PatchReport::default(),
            versions: BTreeMap::new(),
        }],
        accels: vec![AccelReport {
            arch: "x86_64".to_owned(),
            name: "tcg".to_owned(),
            reason: "no /dev/kvm".to_owned(),
        }],
        cells: vec![
            cell(
                "base",
                vec![scenario("munmap", &[("send", 200), ("receive", 600)])],
                Vec::new(),
                Vec::new(),
            ),
            cell("patched", vec![scenario("munmap", &[("wait", 200)])], patched_splats, reasons.clone()),
        ],
        controls: vec![ControlReport {
            name: "preempt-disable".to_owned(),
            tree: "7.2".to_owned(),
            arch: "x86_64".to_owned(),
            variant: "pt-reclaim-off".to_owned(),
            arm: "patched".to_owned(),
            plants: "a bug".to_owned(),
            signal: "splat might-sleep at mm/mmu_gather.c".to_owned(),
            cell: "7.2/x86_64/pt-reclaim-off/preempt-disable".to_owned(),
            caught: verdict != Verdict::Vacuous,
            by: headline,
            splat: Vec::new(),
            secs: Some(9.6),
        }],
        left_out: Vec::new(),
        pairs: vec![PairReport {
            not_applicable: Vec::new(),
            tree: "7.2".to_owned(),
            arch: "x86_64".to_owned(),
            variant: "pt-reclaim-off".to_owned(),
            arm: "patched".to_owned(),
            about: "the branch that the patch changes".to_owned(),
            native: false,
            helpers: vec!["x86-pt-reclaim-prompt".to_owned()],
            expect_base: Some("sends".to_owned()),
            expect_patched: Some("waits".to_owned()),
            verdict,
            differences: Vec::new(),
            failures: Vec::new(),
            reasons,
            code: None,
            code_beside_patched: None,
            controls_left_out: Vec::new(),
        }],
        reach: BTreeMap::new(),
        unreached_allowed: Vec::new(),
        effects: vec![price(0.3, 10.9)],
        fetch_secs: 20.0,
        guests_secs: 6.0,
        wall_secs: 300.0,
        cold_build: Some(ColdBuild {
            cell: "7.2/x86_64/pt-reclaim-off/base".to_owned(),
            secs: 160.0,
            ratio: 1.75,
        }),
    };
    report.exit_code = report.exit() as u8;
    report
}
