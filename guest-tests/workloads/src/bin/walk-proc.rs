//! Everything below /proc that is the kernel's or this process's own: read, and each sysctl written back.

use workloads::exercise::{self, Exercise};
use workloads::walk::{self, FileWalk};

/// Blocks, or is the whole memory.
const SKIP: [&str; 8] =
    ["/kmsg", "/kcore", "/pagemap", "/sysrq", "/proc/self/mem", "/task/", "/attr/", "/proc/self/map_files"];

/// Of the process: writing there changes what it is.
const KEEP: [&str; 6] =
    ["/proc/self", "/proc/thread-self", "/irq/", "/proc/mtrr", "/oom", "/modules_disabled"];

/// One for each network device.
const SAMPLE: [&str; 4] = ["/ipv4/conf", "/ipv6/conf", "/ipv4/neigh", "/ipv6/neigh"];

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    let how = FileWalk { skip: &SKIP, keep: &KEEP, sample: &SAMPLE, ..FileWalk::default() };
    let others: Vec<_> = std::fs::read_dir("/proc")
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    let is_of_process = |path: &std::path::Path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(|c: char| c.is_ascii_digit()))
    };
    let mut processes: Vec<String> = ["/proc/1", "/proc/2"].map(str::to_owned).into();
    processes.extend(["self", "thread-self"].map(|name| format!("/proc/{name}/")));
    for process in processes {
        let is_own = process.contains("/self");
        walk::walk(it, process, FileWalk { tell_content: is_own, is_steady: is_own, ..how });
    }
    let pid = std::process::id();
    walk::walk(it, format!("/proc/{pid}"), how);
    let mut rest: Vec<_> = others.into_iter().filter(|path| !is_of_process(path)).collect();
    rest.sort();
    let how = FileWalk { write: true, ..how };
    for path in rest {
        if path.is_dir() && !path.is_symlink() {
            // Of the others, some come and go.
            let is_steady = path.ends_with("sys");
            walk::walk(it, path, FileWalk { is_steady, ..how });
        } else if path.is_file() {
            walk::one(it, &path, FileWalk { tell_content: true, ..how });
        }
    }
}
