//! A report in which everything is there that a page can show, and much of it long. None of its numbers was measured.

use serde_json::{Value, json};

const LONG_PATH: &str =
    "drivers/net/ethernet/mellanox/mlx5/core/steering/hws/a_file_with_quite_a_long_name_for_a_source.c:1234";

/// The report of a run of stand-ins with all of that.
pub fn enriched(mut report: Value) -> Value {
    report["patch"]["subject"] =
        "[PATCH v2 1/1] mm/mmu_gather: replace the broadcast by a wait when the allocation of a batch fails"
            .into();
    report["started"] = "2026-01-01T00:00:00Z".into();
    report["wall_secs"] = 431.0.into();
    report["exit_code"] = 1.into();
    report["reach"] = json!({"7.2": {"hunks": [hunk(1), hunk(2)], "uncounted": null, "untried": []}});
    cells(&mut report);
    pairs(&mut report);
    controls(&mut report);
    effects(&mut report);
    report
}

/// Each variant's two arms at their times, the second variant's with splats.
fn cells(report: &mut Value) {
    let first: Vec<Value> = report["cells"].as_array().unwrap().clone();
    let mut cells = Vec::new();
    for (row, variant) in ["v", "another-variant-with-a-long-name-of-its-own"].into_iter().enumerate() {
        for (arm, cell) in first.iter().enumerate() {
            let mut cell = cell.clone();
            let at = (row * 2 + arm) as f64;
            cell["id"] = format!("7.2/x86_64/{variant}/{}", cell["arm"].as_str().unwrap()).into();
            cell["dir"] = format!("cells/{}", cell["id"].as_str().unwrap()).into();
            cell["variant"] = variant.into();
            times(&mut cell, 20.0 + 60.0 * at, 75.0 + 20.0 * at);
            scenarios(&mut cell);
            if row == 1 && arm == 1 {
                cell["splats"] = json!([
                    splat("might-sleep", Some("mm/mmu_gather.c:315"), 24),
                    splat("lockdep", None, 60)
                ]);
                cell["splats_total"] = 7.into();
                cell["findings"] = json!([
                    "munmap: splat (might-sleep): BUG: sleeping function called from invalid context"
                ]);
            }
            cells.push(cell);
        }
    }
    let mut recorded = cells[0].clone();
    recorded["id"] = "7.2/x86_64/v/preempt-disable".into();
    recorded["arm"] = "preempt-disable".into();
    recorded["recorded"] = "2026-01-01T00:00:00Z".into();
    recorded.as_object_mut().unwrap().remove("build_start_secs");
    recorded["splats"] = json!([splat("might-sleep", Some(LONG_PATH), 12)]);
    recorded["splats_total"] = 1.into();
    cells.push(recorded);
    report["cells"] = cells.into();
}

fn times(cell: &mut Value, start: f64, build: f64) {
    let values = [
        ("build_secs", build),
        ("build_start_secs", start),
        ("boot_start_secs", start + build + 3.0),
        ("boot_secs", 4.5),
        ("test_secs", 38.0),
    ];
    for (name, value) in values {
        cell[name] = value.into();
    }
}

/// Several tests with large and small numbers.
fn scenarios(cell: &mut Value) {
    let first = cell["scenarios"][0].clone();
    let named = |name: &str, number: u64| {
        let mut scenario = first.clone();
        scenario["name"] = name.into();
        scenario["injected"] = number.into();
        for (_, count) in
            scenario["counts"].as_object_mut().unwrap().iter_mut().filter(|(_, count)| **count != 0)
        {
            *count = number.saturating_mul(3).into();
        }
        scenario
    };
    let long = "a-workload-with-a-name-that-is-longer-than-a-phone-is-wide-and-has-no-space-in-it";
    cell["scenarios"] = json!([named("munmap", 200), named(long, 1), named("exit-many", 1_234_567_890)]);
}

fn splat(kind: &str, location: Option<&str>, lines: usize) -> Value {
    let headline = "BUG: sleeping function called from invalid context at mm/mmu_gather.c:315";
    let line = |number: usize| {
        match number % 4 {
        0 => format!(" synchronize_rcu_normal_wake_from_gp_with_a_long_name+0x{number:x}/0x1b0 ({LONG_PATH})"),
        1 => "RAX: ffffffffffffffda RBX: 00007ffc2f4e3a80 RCX: 00000000004152b7 RDX: 0000000000000000 RSI: 0000000000200000".to_owned(),
        2 => format!(" ? __pfx_{}", "x".repeat(140)),
        _ => " <TASK>".to_owned(),
    }
    };
    json!({"kind": kind, "headline": headline, "location": location, "text": (0..lines).map(line).collect::<Vec<_>>()})
}

fn pairs(report: &mut Value) {
    let mut passed = report["pairs"][0].clone();
    passed["verdict"] = "weak-pass".into();
    passed["reasons"] = json!(["no bug was planted to see whether it would have been noticed"]);
    let mut failed = report["pairs"][0].clone();
    failed["variant"] = "another-variant-with-a-long-name-of-its-own".into();
    failed["verdict"] = "fail".into();
    failed["reasons"] = json!([
        "patched: munmap: splat (might-sleep): BUG: sleeping function called from invalid context at mm/mmu_gather.c:315",
        "patched: exit-many: 0 instead of 1 wait_for_all() per failure, 1 instead of 0 broadcasts",
    ]);
    failed["differences"] = json!(["munmap: ENOMEM at its 3rd call on the base, 0 with the patch"]);
    failed["failures"] = json!([format!("12 below tlb_remove_table() at {LONG_PATH}")]);
    report["pairs"] = json!([failed, passed]);
}

fn controls(report: &mut Value) {
    let control = |name: &str, caught: bool| {
        json!({
            "name": name, "tree": "7.2", "arch": "x86_64", "variant": "v", "arm": "patched",
            "plants": "a wait where the kernel may not sleep: preempt_disable() before the wait, and preempt_enable() after it",
            "signal": "splat might-sleep at mm/mmu_gather.c", "cell": format!("7.2/x86_64/v/{name}"), "caught": caught,
            "by": if caught { format!("BUG: sleeping function called from invalid context at {LONG_PATH}") } else { "nothing".to_owned() },
            "splat": [], "secs": 9.6,
        })
    };
    report["controls"] = json!([control("preempt-disable", true), control("free-before-sync", false)]);
}

fn effects(report: &mut Value) {
    let amount = |value: f64, wide: f64| {
        let spread =
            json!({"p25": value * 0.9, "p75": value * 1.2, "p99": value * wide, "max": value * wide * 2.0});
        json!({"value": value, "samples": 300, "spread": spread})
    };
    let effect = |scenario: &str, exclusive: bool, base: f64, patched: f64| {
        json!({
            "tree": "7.2", "arch": "x86_64", "variant": "v", "scenario": scenario, "what": "munmap, one thing", "forced": true,
            "units": 1, "unit": "milliseconds", "base": amount(base, 40.0), "patched": amount(patched, 2.0), "exclusive": exclusive,
        })
    };
    report["effects"] =
        json!([effect("latency", true, 0.3, 6.8), effect("latency-of-many-at-once", false, 0.004, 1234.5)]);
}

/// Added, removed and other lines, executed and not, one of them long.
fn hunk(number: u32) -> Value {
    let line = |at: u32, side: &str, text: &str, state: Value| json!({"line": {"side": side, "number": at, "text": text, "statement": [at, at], "within": [1, 400]}, "state": state});
    let executed = json!({"state": "executed", "count": 1_234_567, "by": ["munmap", "exit-many", "fork", "mremap", "madvise"]});
    let state = |name: &str| json!({"state": name});
    let (plain, gone, missed) = (state("no_code"), state("gone"), state("not_executed"));
    let long = "\t\t\tif (a_condition(with, several, arguments) && another_one(that, makes, the, line, much, longer, than, a, phone))";
    json!({
        "number": number, "path": "mm/mmu_gather.c", "place": format!("mm/mmu_gather.c:{}", 300 + number),
        "lines": [
            line(300, "context", "static void tlb_remove_table_sync_one(void)", plain.clone()),
            line(301, "removed", "\tsmp_call_function(tlb_remove_table_smp_sync, NULL, 1);", gone),
            line(302, "added", "\tsynchronize_rcu();", executed.clone()),
            line(303, "added", long, missed),
            line(304, "added", "\t\t\t\treturn a_call();", state("not_compiled")),
            line(305, "context", "}", plain),
        ],
        "uncounted": [], "state": executed, "around": [], "failures": 12,
    })
}
