//! tracefs: each group of events switched on and off, triggers, histograms, filters, dynamic probes, instances, options,
//! each tracer; and every file read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use workloads::exercise::{self, Exercise};
use workloads::walk::{self, FileWalk, look, write};

const ROOT: &str = "/sys/kernel/tracing";

/// Blocks or takes away what is read; what is done below by itself.
const SKIP: [&str; 6] =
    ["trace_pipe", "/per_cpu/cpu1", "snapshot_raw", "/instances/", "/events/", "/options/"];
const KEEP: [&str; 12] = [
    "/trace_marker",
    "/current_tracer",
    "/buffer_size",
    "/free_buffer",
    "_events",
    "/trace_clock",
    "/set_",
    "/snapshot",
    "/synthetic",
    "/tracing_cpumask",
    "/error_log",
    "buffer_subbuf",
];

/// Groups whose events come so often that an emulated guest does nothing else.
const OFTEN: [&str; 10] = [
    "lock",
    "ftrace",
    "preemptirq",
    "rcu",
    "raw_syscalls",
    "syscalls",
    "kvm",
    "nmi",
    "initcall",
    "irq_vectors",
];

/// Groups on whose first event triggers are set: some whose events come often, and what a trigger does may cause the next.
const TRIGGERED: [&str; 5] = ["rcu", "raw_syscalls", "syscalls", "timer", "kmem"];

const MANY: usize = 30;
const FEW: usize = 4;

/// Tracers that turn the kernel's every function into two.
const TRACERS: [&str; 8] =
    ["function", "function_graph", "wakeup", "wakeup_rt", "irqsoff", "blk", "hwlat", "nop"];

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    if !Path::new(ROOT).join("trace").exists() {
        it.fail("tracefs", &io::Error::from_raw_os_error(libc::ENOENT));
        return;
    }
    let _one = OneCpu::leave();
    walk::walk(it, ROOT, FileWalk { skip: &SKIP, keep: &KEEP, write: true, ..FileWalk::default() });
    set(it, &[("buffer_size_kb", "128"), ("buffer_size_kb", "0"), ("buffer_size_kb", "x")]);
    events(it);
    one_event(it);
    probes(it);
    instances(it);
    // With something that is recorded by them.
    set(it, &[("events/sched/sched_switch/enable", "1"), ("events/rcu/rcu_utilization/enable", "1")]);
    options(it);
    set(it, &[("events/sched/sched_switch/enable", "0"), ("events/rcu/rcu_utilization/enable", "0")]);
    tracers(it);
    set(it, &[("trace", ""), ("tracing_on", "1")]);
}

/// All other CPUs are offline while it lives. Each switch of a tracepoint changes code; an emulated CPU that executes that
/// code meanwhile may go on to find the breakpoint there that is gone (QEMU 7.2), and keeps the runqueue's lock while it
/// does: seen in one of two runs.
struct OneCpu(Vec<PathBuf>);

impl OneCpu {
    fn leave() -> OneCpu {
        let files = (1..64).map(|cpu| PathBuf::from(format!("/sys/devices/system/cpu/cpu{cpu}/online")));
        OneCpu(files.filter(|file| write(file, b"0").is_ok()).collect())
    }
}

impl Drop for OneCpu {
    fn drop(&mut self) {
        self.0.iter().for_each(|file| drop(write(file, b"1")));
    }
}

fn set(it: &mut Exercise, settings: &[(&str, &str)]) {
    for (file, value) in settings {
        let path = Path::new(ROOT).join(file);
        it.step(format!("{file} := {value}"), || match value.is_empty() {
            // Opening it to truncate is what empties such a file.
            true => fs::write(&path, "\n"),
            false => write(&path, value.as_bytes()),
        });
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(directory).map(|entries| entries.flatten().collect()).unwrap_or_else(|_| vec![]);
    let mut names: Vec<_> = entries
        .iter()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Something for events to see.
fn work() {
    let _ = fs::write("/tmp/traced", "x");
    let _ = fs::read("/proc/self/maps");
    let _ = fs::remove_file("/tmp/traced");
    std::thread::sleep(Duration::from_millis(1));
}

fn events(it: &mut Exercise) {
    let root = Path::new(ROOT).join("events");
    for group in names(&root) {
        let directory = root.join(&group);
        let first = names(&directory).into_iter().next().unwrap_or_default();
        for file in ["format", "id", "filter", "trigger", "enable", "hist"] {
            look(directory.join(&first).join(file));
        }
        look(directory.join("filter"));
        if TRIGGERED.contains(&group.as_str()) {
            triggers(it, &directory.join(&first), &format!("{group}:{first}"));
        }
        if OFTEN.contains(&group.as_str()) {
            continue;
        }
        it.step(format!("events of {group}"), || {
            // Of many, a few: each is some code that changes.
            let events = names(&directory);
            let enabled = match events.len() {
                ..MANY => vec![directory.join("enable")],
                _ => events.iter().take(FEW).map(|event| directory.join(event).join("enable")).collect(),
            };
            enabled.iter().try_for_each(|file| write(file, b"1"))?;
            work();
            enabled.iter().try_for_each(|file| write(file, b"0"))
        });
    }
    look(Path::new(ROOT).join("trace"));
}

/// A few times each, so that a trigger that causes its own event comes to an end where the kernel does not see to it.
fn triggers(it: &mut Exercise, event: &Path, name: &str) {
    it.step(format!("triggers of {name}"), || {
        let file = event.join("trigger");
        let all = ["stacktrace:2", "traceon:1", "hist:keys=common_pid:size=128", "snapshot:1"];
        let set: Vec<_> = all.iter().map(|one| write(&file, one.as_bytes())).collect();
        work();
        look(&file);
        look(event.join("hist"));
        for one in all {
            let _ = write(&file, format!("!{one}").as_bytes());
        }
        set.into_iter().collect::<io::Result<()>>()
    });
}

fn one_event(it: &mut Exercise) {
    let event = "events/sched/sched_switch";
    let file = |name: &str| format!("{event}/{name}");
    let (filter, trigger) = (file("filter"), file("trigger"));
    set(
        it,
        &[
            (&filter, "prev_pid > 1 && (next_prio < 100 || prev_comm ~ \"a*\")"),
            (&filter, "prev_pid == "),
            (&filter, "no_such_field == 1"),
            (&filter, "0"),
            (&trigger, "traceon:3"),
            (&trigger, "!traceon"),
            (&trigger, "stacktrace:2"),
            (&file("enable"), "1"),
            (&trigger, "snapshot:1"),
            (&trigger, "hist:keys=next_pid:vals=hitcount:sort=hitcount.descending:size=256"),
            (&trigger, "hist:keys=no_such_field"),
            (&trigger, "hist:name=pp:keys=prev_prio.log2,prev_comm:onmax($x).save(prev_pid)"),
            (&trigger, "nonsense:1"),
            (&trigger, "enable_event:sched:sched_wakeup:1"),
            (&trigger, "enable_event:sched:sched_wakeup:1"),
        ],
    );
    work();
    for name in ["hist", "hist_debug", "trigger", "inject"] {
        look(Path::new(ROOT).join(file(name)));
    }
    look(Path::new(ROOT).join("trace"));
    set(
        it,
        &[
            (&trigger, "!hist:keys=next_pid:vals=hitcount:sort=hitcount.descending:size=256"),
            (&trigger, "!enable_event:sched:sched_wakeup"),
            (&trigger, "!snapshot"),
            (&trigger, "!stacktrace"),
            (&trigger, "!stacktrace"),
            (&file("enable"), "0"),
            ("set_event", "sched:sched_wakeup"),
            ("set_event", "!sched:*"),
            ("set_event", "no:such"),
            ("set_event_pid", "1"),
            ("set_event_pid", "x"),
        ],
    );
}

fn probes(it: &mut Exercise) {
    set(
        it,
        &[
            ("kprobe_events", "p:pp/one do_sys_openat2 dfd=%di file=+0(%si):ustring"),
            ("kprobe_events", "r:pp/two do_sys_openat2 result=$retval:s32"),
            ("kprobe_events", "p:pp/bad no_such_function_at_all"),
            ("kprobe_events", "p:pp/bad do_sys_openat2 x=$nonsense"),
            ("kprobe_events", "p:pp/one do_sys_openat2"),
            ("kprobe_events", "gibberish"),
            ("events/pp/enable", "1"),
        ],
    );
    work();
    look(Path::new(ROOT).join("kprobe_profile"));
    look(Path::new(ROOT).join("trace"));
    set(
        it,
        &[
            ("kprobe_events", "-:pp/one"),
            ("events/pp/enable", "0"),
            ("kprobe_events", "-:pp/one"),
            ("kprobe_events", "-:pp/two"),
            ("uprobe_events", "p:pp/user /init:0x1000"),
            ("uprobe_events", "p:pp/user /no/such/file:0x10"),
            ("uprobe_events", "-:pp/user"),
            ("synthetic_events", "pp_latency u64 delay; pid_t pid; char comm[16]"),
            ("synthetic_events", "pp_latency u64 delay"),
            ("synthetic_events", "pp_bad no_type x"),
            ("synthetic_events", "!pp_latency u64 delay; pid_t pid; char comm[16]"),
            ("dynamic_events", "e:pp/event sched.sched_switch pid=$prev_pid"),
            ("dynamic_events", "f:pp/entry vfs_read"),
            ("dynamic_events", "t:pp/point sched_switch"),
            ("dynamic_events", "-:pp/event"),
            ("dynamic_events", "-:pp/entry"),
            ("dynamic_events", "-:pp/point"),
        ],
    );
}

fn instances(it: &mut Exercise) {
    let instance = Path::new(ROOT).join("instances/pp");
    it.step("mkdir of an instance", || fs::create_dir(&instance));
    it.step("mkdir of it again", || fs::create_dir(&instance));
    set(
        it,
        &[
            ("instances/pp/events/sched/enable", "1"),
            ("instances/pp/trace_clock", "mono"),
            ("instances/pp/trace_clock", "no-such-clock"),
            ("instances/pp/trace_marker", "hello"),
            ("instances/pp/current_tracer", "nop"),
            ("instances/pp/snapshot", "1"),
            ("instances/pp/snapshot", "2"),
            ("instances/pp/snapshot", "0"),
            ("instances/pp/tracing_cpumask", "1"),
            ("instances/pp/set_ftrace_filter", "vfs_*"),
            ("instances/pp/set_ftrace_filter", "no_such_function"),
            ("instances/pp/set_ftrace_filter", "vfs_read:traceoff:1"),
            ("instances/pp/set_ftrace_filter", "!vfs_read:traceoff"),
            ("instances/pp/set_ftrace_pid", "1"),
            ("instances/pp/buffer_percent", "10"),
            ("instances/pp/buffer_percent", "101"),
        ],
    );
    work();
    look(instance.join("trace"));
    look(instance.join("per_cpu/cpu0/stats"));
    it.step("rmdir of an instance while it traces", || fs::remove_dir(&instance));
    it.step("rmdir of it again", || fs::remove_dir(&instance));
}

fn options(it: &mut Exercise) {
    let directory = Path::new(ROOT).join("options");
    let mut files: Vec<_> = fs::read_dir(&directory)
        .map(|all| all.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    files.sort();
    for file in files {
        let Ok(found) = fs::read_to_string(&file) else { continue };
        let other = if found.trim() == "0" { "1" } else { "0" };
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        it.step(format!("option {name}"), || {
            write(&file, other.as_bytes())?;
            work();
            let changed = write(&file, b"2");
            write(&file, found.trim().as_bytes())?;
            if changed.is_ok() { workloads::sys::wrong("2 was taken") } else { Ok(()) }
        });
    }
}

fn tracers(it: &mut Exercise) {
    let there = fs::read_to_string(Path::new(ROOT).join("available_tracers")).unwrap_or_default();
    // Of a few functions only: an emulator has to translate each again that changes.
    set(
        it,
        &[
            ("set_ftrace_filter", "vfs_*"),
            ("set_ftrace_notrace", "vfs_write"),
            ("set_graph_function", "vfs_read"),
            ("set_graph_function", "no_such_function"),
            ("max_graph_depth", "3"),
        ],
    );
    for tracer in TRACERS.iter().filter(|tracer| there.split_whitespace().any(|name| name == **tracer)) {
        set(it, &[("current_tracer", tracer)]);
        work();
        look(Path::new(ROOT).join("trace"));
        look(Path::new(ROOT).join("trace_stat/function0"));
    }
    set(
        it,
        &[
            ("current_tracer", "no-such-tracer"),
            ("current_tracer", "nop"),
            ("function_profile_enabled", "1"),
            ("function_profile_enabled", "0"),
            ("max_graph_depth", "0"),
            ("set_graph_function", ""),
            ("set_ftrace_notrace", ""),
            ("set_ftrace_filter", ""),
        ],
    );
}
