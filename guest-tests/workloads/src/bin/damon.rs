//! DAMON by sysfs: each kind of operations, each action of a scheme while it watches a process, filters, quotas, destinations
//! and goals, directories that come and go, settings committed while it runs; and what is built upon it.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use workloads::exercise::{self, Exercise};
use workloads::sys;
use workloads::walk::{self, FileWalk, write};

const ROOT: &str = "/sys/kernel/mm/damon/admin/kdamonds";
const CONTEXT: &str = "0/contexts/0";
const SCHEME: &str = "0/contexts/0/schemes/0";
/// A few aggregations.
const WATCHED: Duration = Duration::from_millis(60);

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    if it.step("a kdamond", || set("nr_kdamonds", "1")).is_none() {
        return;
    }
    let watched = it.step("a process", process);
    settings(it);
    schemes(it);
    if let Some(pid) = watched {
        runs(it, pid);
    }
    physical(it);
    it.step("no kdamond", || set("nr_kdamonds", "0"));
    if let Some(pid) = watched {
        sys::stop(pid);
    }
    upon_it(it);
}

fn set(file: &str, value: &str) -> io::Result<()> {
    write(Path::new(ROOT).join(file), value.as_bytes())
}

fn step(it: &mut Exercise, file: &str, value: &str) {
    it.set(format!("{file} := {value}"), Path::new(ROOT).join(file), value.as_bytes());
}

/// One that has huge pages where there are any, and touches a part of its memory.
fn process() -> io::Result<libc::pid_t> {
    const BYTES: usize = 8 << 20;
    sys::fork(|| {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let at = sys!(SYS_mmap, 0, BYTES, 3, flags, -1, 0)?;
        let _ = sys!(SYS_madvise, at, BYTES, libc::MADV_HUGEPAGE);
        loop {
            for offset in (0..BYTES / 2).step_by(4096) {
                // SAFETY: within the mapping.
                unsafe { ((at as usize + offset) as *mut u8).write_volatile(1) };
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    })
}

fn settings(it: &mut Exercise) {
    for (file, value) in [
        ("nr_kdamonds", "-1"),
        ("nr_kdamonds", "x"),
        ("nr_kdamonds", "3"),
        ("nr_kdamonds", "1"),
        ("0/contexts/nr_contexts", "1"),
        ("0/contexts/nr_contexts", "2"),
        ("0/contexts/nr_contexts", "1"),
        ("0/contexts/0/operations", "junk"),
        ("0/contexts/0/operations", "fvaddr"),
        ("0/contexts/0/operations", "vaddr"),
        ("0/contexts/0/addr_unit", "1"),
        ("0/contexts/0/addr_unit", "7"),
        ("0/contexts/0/targets/nr_targets", "3"),
        ("0/contexts/0/targets/nr_targets", "1"),
        ("0/contexts/0/targets/0/pid_target", "1"),
        ("0/contexts/0/targets/0/obsolete_target", "N"),
        ("0/contexts/0/targets/0/regions/nr_regions", "2"),
        ("0/contexts/0/targets/0/regions/0/start", "9"),
        ("0/contexts/0/targets/0/regions/0/end", "4"),
        ("0/contexts/0/targets/0/regions/nr_regions", "0"),
        ("0/contexts/0/monitoring_attrs/intervals/sample_us", "1000"),
        ("0/contexts/0/monitoring_attrs/intervals/aggr_us", "5000"),
        ("0/contexts/0/monitoring_attrs/intervals/update_us", "10000"),
        ("0/contexts/0/monitoring_attrs/intervals/intervals_goal/access_bp", "400"),
        ("0/contexts/0/monitoring_attrs/intervals/intervals_goal/aggrs", "3"),
        ("0/contexts/0/monitoring_attrs/intervals/intervals_goal/access_bp", "0"),
        ("0/contexts/0/monitoring_attrs/nr_regions/min", "10"),
        ("0/contexts/0/monitoring_attrs/nr_regions/max", "5"),
        ("0/contexts/0/monitoring_attrs/nr_regions/max", "100"),
        ("0/refresh_ms", "5"),
        ("0/refresh_ms", "0"),
    ] {
        step(it, file, value);
    }
}

/// Directories of a scheme: each number of them twice, so that names that were left behind are met.
fn schemes(it: &mut Exercise) {
    for count in ["1", "3", "0", "2", "-1", "1"] {
        step(it, "0/contexts/0/schemes/nr_schemes", count);
    }
    for (directory, number) in [
        ("filters", "nr_filters"),
        ("core_filters", "nr_filters"),
        ("ops_filters", "nr_filters"),
        ("dests", "nr_dests"),
        ("quotas/goals", "nr_goals"),
    ] {
        for count in ["2", "1", "0", "2", "junk"] {
            step(it, &format!("{SCHEME}/{directory}/{number}"), count);
        }
    }
    for kind in ["anon", "memcg", "young", "hugepage_size", "unmapped", "active", "addr", "target", "junk"] {
        for directory in ["filters", "core_filters", "ops_filters"] {
            let _ = set(&format!("{SCHEME}/{directory}/0/matching"), "N");
            let _ = set(&format!("{SCHEME}/{directory}/0/allow"), "Y");
            it.step(format!("{directory} of type {kind}"), || {
                set(&format!("{SCHEME}/{directory}/0/type"), kind)
            });
        }
    }
    for (file, value) in [
        ("access_pattern/sz/max", "18446744073709551615"),
        ("access_pattern/nr_accesses/max", "100"),
        ("access_pattern/age/max", "100"),
        ("access_pattern/sz/min", "junk"),
        ("quotas/ms", "5"),
        ("quotas/bytes", "4194304"),
        ("quotas/reset_interval_ms", "10"),
        ("quotas/weights/sz_permil", "5"),
        ("quotas/goal_tuner", "temporal"),
        ("quotas/goal_tuner", "consist"),
        ("quotas/goals/0/target_value", "100"),
        ("quotas/goals/0/current_value", "10"),
        ("quotas/goals/0/nid", "0"),
        ("dests/0/id", "0"),
        ("dests/0/weight", "3"),
        ("dests/1/id", "99"),
        ("watermarks/metric", "free_mem_rate"),
        ("watermarks/high", "999"),
        ("watermarks/low", "1"),
        ("watermarks/metric", "junk"),
        ("watermarks/metric", "none"),
        ("filters/0/memcg_path", "/"),
        ("filters/0/addr_start", "9"),
        ("filters/0/addr_end", "4"),
        ("filters/0/min", "4096"),
        ("filters/0/damon_target_idx", "0"),
        ("filters/0/pass", "junk"),
        ("target_nid", "0"),
        ("apply_interval_us", "5000"),
    ] {
        step(it, &format!("{SCHEME}/{file}"), value);
    }
    for metric in [
        "user_input",
        "some_mem_psi_us",
        "node_mem_used_bp",
        "node_mem_free_bp",
        "node_memcg_used_bp",
        "node_memcg_free_bp",
        "active_mem_bp",
        "inactive_mem_bp",
        "junk",
    ] {
        step(it, &format!("{SCHEME}/quotas/goals/0/target_metric"), metric);
    }
    let how = FileWalk { write: true, keep: &["/state", "nr_", "/pid"], ..FileWalk::default() };
    walk::walk(it, ROOT, how);
}

const ACTIONS: [&str; 11] = [
    "willneed",
    "cold",
    "pageout",
    "hugepage",
    "nohugepage",
    "lru_prio",
    "lru_deprio",
    "migrate_hot",
    "migrate_cold",
    "stat",
    "junk",
];
const COMMANDS: [&str; 10] = [
    "commit",
    "update_schemes_stats",
    "update_schemes_tried_regions",
    "update_schemes_tried_bytes",
    "update_schemes_effective_quotas",
    "update_tuned_intervals",
    "commit_schemes_quota_goals",
    "clear_schemes_tried_regions",
    "on",
    "junk",
];

/// What is watched while it runs: by each action, without a filter and with one of each kind of the operations' own.
fn runs(it: &mut Exercise, pid: libc::pid_t) {
    let _ = set(&format!("{SCHEME}/filters/nr_filters"), "0");
    let _ = set(&format!("{SCHEME}/core_filters/nr_filters"), "0");
    let _ = set(&format!("{SCHEME}/quotas/goals/nr_goals"), "0");
    // Back to what can run.
    for (file, value) in [
        ("0/contexts/0/addr_unit", "1"),
        ("0/contexts/0/monitoring_attrs/intervals/intervals_goal/aggrs", "0"),
        ("0/contexts/0/schemes/0/watermarks/high", "0"),
        ("0/contexts/0/schemes/0/watermarks/low", "0"),
        ("0/contexts/0/schemes/0/dests/1/id", "0"),
        ("0/contexts/0/monitoring_attrs/intervals/sample_us", "1000"),
        ("0/contexts/0/monitoring_attrs/intervals/aggr_us", "5000"),
        ("0/contexts/0/monitoring_attrs/intervals/update_us", "10000"),
        ("0/contexts/0/schemes/0/access_pattern/sz/min", "0"),
    ] {
        step(it, file, value);
    }
    for action in ACTIONS {
        let filters: &[&str] = if action.starts_with("migrate") || action == "pageout" || action == "stat" {
            &["", "anon", "young"]
        } else {
            &[""]
        };
        for filter in filters {
            it.step(format!("{action} {filter}, running"), || run(pid, action, filter));
        }
    }
    it.step("a target that is gone", || {
        let gone = sys::fork(|| Ok(()))?;
        let _ = sys::reap(gone);
        set(&format!("{CONTEXT}/targets/0/pid_target"), &gone.to_string())?;
        let end = set("0/state", "on");
        let _ = set("0/state", "off");
        end
    });
}

fn run(pid: libc::pid_t, action: &str, filter: &str) -> io::Result<()> {
    set(&format!("{CONTEXT}/targets/0/pid_target"), &pid.to_string())?;
    set(&format!("{CONTEXT}/operations"), "vaddr")?;
    set(&format!("{SCHEME}/ops_filters/nr_filters"), if filter.is_empty() { "0" } else { "1" })?;
    if !filter.is_empty() {
        set(&format!("{SCHEME}/ops_filters/0/type"), filter)?;
        // What matches is rejected.
        set(&format!("{SCHEME}/ops_filters/0/matching"), "Y")?;
        set(&format!("{SCHEME}/ops_filters/0/allow"), "N")?;
    }
    set(&format!("{SCHEME}/action"), action)?;
    set("0/state", "on")?;
    std::thread::sleep(WATCHED);
    for command in COMMANDS {
        let _ = set("0/state", command);
    }
    let _ = fs::read(Path::new(ROOT).join(SCHEME).join("stats/nr_tried"));
    let _ = set("nr_kdamonds", "0");
    set("0/state", "off")?;
    let _ = set("0/state", "off");
    Ok(())
}

/// The machine's memory: what can be done with it by a scheme is only counted.
fn physical(it: &mut Exercise) {
    let _ = set(&format!("{CONTEXT}/targets/nr_targets"), "1");
    for (file, value) in [
        ("operations", "paddr"),
        ("targets/0/regions/nr_regions", "1"),
        ("targets/0/regions/0/start", "16777216"),
        ("targets/0/regions/0/end", "134217728"),
    ] {
        step(it, &format!("{CONTEXT}/{file}"), value);
    }
    for (action, filter) in [
        ("stat", "anon"),
        ("stat", "memcg"),
        ("stat", "young"),
        ("stat", "active"),
        ("lru_prio", ""),
        ("lru_deprio", "anon"),
        ("migrate_cold", "anon"),
    ] {
        it.step(format!("physical, {action} {filter}"), || {
            set(&format!("{SCHEME}/ops_filters/nr_filters"), if filter.is_empty() { "0" } else { "1" })?;
            if !filter.is_empty() {
                set(&format!("{SCHEME}/ops_filters/0/type"), filter)?;
            }
            set(&format!("{SCHEME}/action"), action)?;
            set("0/state", "on")?;
            std::thread::sleep(WATCHED);
            let _ = set("0/state", "update_schemes_tried_regions");
            set("0/state", "off")
        });
    }
    step(it, "0/contexts/0/schemes/nr_schemes", "0");
}

/// What runs by parameters of its own: on, told to read them again, off.
fn upon_it(it: &mut Exercise) {
    for module in ["damon_reclaim", "damon_lru_sort", "damon_stat"] {
        let of = |name: &str| format!("/sys/module/{module}/parameters/{name}");
        if !Path::new(&of("enabled")).exists() {
            continue;
        }
        let before = fs::read_to_string(of("enabled")).unwrap_or_default();
        for (file, value) in [
            ("enabled", "junk"),
            ("min_age", "1000000"),
            ("enabled", "Y"),
            ("enabled", "Y"),
            ("quota_ms", "5"),
            ("enabled", "N"),
            ("enabled", "N"),
        ] {
            it.set(format!("{module} {file} := {value}"), of(file), value.as_bytes());
        }
        let _ = write(of("enabled"), before.trim().as_bytes());
    }
}
