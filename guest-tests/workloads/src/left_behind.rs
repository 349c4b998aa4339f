//! What is left behind by all that ran since a mark: numbers that have to come back, objects that were written to after they
//! were freed (mm/slub.c), and memory that nothing points to (mm/kmemleak.c). Looks, and says; repairs nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use kit::files;
use protocol::{LEAK_FRAMES_MAX, LEAKS_MAX, LEVELS_MAX, Leak, Level, Measured, WorkResult};

use crate::results::Results;
use crate::sys;
use crate::sys::in_child;

/// Where the numbers are kept from the mark on. In the guest's root, which nothing cleans up.
const MARK: &str = "/patchproof-mark";

const MARKED_SLABS: &str = "/patchproof-mark-slabs";

const KMEMLEAK: &str = "/sys/kernel/debug/kmemleak";
const SLABS: &str = "/sys/kernel/slab";

/// What is given back by work queues and after grace periods needs its time.
const SETTLES_WITHIN: Duration = Duration::from_secs(8);
/// After ten seconds the kernel says which device a network waits for (net/core/dev.c, netdev_wait_allrefs_any()).
const NETWORK_SETTLES_WITHIN: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// One that nothing holds, on a busy machine.
const NETWORK_ENDS_WITHIN: Duration = Duration::from_millis(1500);

/// An object is not looked at before (mm/kmemleak.c, `MSECS_MIN_AGE`).
const MIN_AGE: Duration = Duration::from_millis(5500);

/// A number that has to come back, and how far it may be off.
struct ComesBack {
    name: &'static str,
    slack: i64,
    within: Duration,
    read: fn() -> Option<i64>,
    /// What helps it along before it is read again.
    nudge: fn(),
}

const fn comes_back(name: &'static str, read: fn() -> Option<i64>) -> ComesBack {
    ComesBack { name, slack: 0, within: SETTLES_WITHIN, read, nudge: || thread::sleep(LOOK_AGAIN) }
}

const COMES_BACK: [ComesBack; 9] = [
    comes_back("HugePages_Total", || meminfo("HugePages_Total")),
    comes_back("HugePages_Rsvd", || meminfo("HugePages_Rsvd")),
    comes_back("HugePages_Surp", || meminfo("HugePages_Surp")),
    ComesBack { slack: 40, ..comes_back("open files", || first_number("/proc/sys/fs/file-nr")) },
    comes_back("mounts", || lines("/proc/self/mountinfo")),
    comes_back("network interfaces", || entries("/sys/class/net")),
    comes_back("block devices", || entries("/sys/block")),
    ComesBack {
        within: NETWORK_SETTLES_WITHIN,
        nudge: end_a_network,
        ..comes_back("network namespaces", || slab("net_namespace"))
    },
    comes_back("control groups", cgroups),
];

/// Notes the numbers, and makes kmemleak forget what it has found up to now.
///
/// # Errors
/// When the numbers cannot be kept.
pub fn mark() -> Result<Measured, String> {
    end_a_network();
    let numbers: BTreeMap<&str, i64> =
        COMES_BACK.iter().filter_map(|one| Some((one.name, (one.read)()?))).collect();
    let json = serde_json::to_vec(&numbers).map_err(|error| error.to_string())?;
    fs::write(MARK, json).map_err(|error| format!("{MARK}: {error}"))?;
    let json = serde_json::to_vec(&objects_in_use()).map_err(|error| error.to_string())?;
    fs::write(MARKED_SLABS, json).map_err(|error| format!("{MARKED_SLABS}: {error}"))?;
    if Path::new(KMEMLEAK).exists() {
        files::write(KMEMLEAK, "clear")?;
    }
    let mut results = Results::default();
    results.add("marked", WorkResult::Ok);
    Ok(Measured { results: results.into_map(), ..Measured::default() })
}

/// # Errors
/// When there was no mark.
pub fn look() -> Result<Measured, String> {
    let json = fs::read(MARK).map_err(|error| format!("{MARK}: {error}"))?;
    let before: BTreeMap<String, i64> = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
    let began = Instant::now();
    let mut results = Results::default();
    for one in &COMES_BACK {
        let Some(before) = before.get(one.name) else { continue };
        results.add(&format!("{} come back", one.name), came_back(one, *before, began));
    }
    validate_slabs();
    thread::sleep(MIN_AGE.saturating_sub(began.elapsed()));
    let levels = levels()?;
    let leaks = leaks()?;
    Ok(Measured { results: results.into_map(), leaks, levels, ..Measured::default() })
}

/// Of each cache with another number of objects in use than at the mark, both.
fn levels() -> Result<BTreeMap<String, Level>, String> {
    let json = fs::read(MARKED_SLABS).map_err(|error| format!("{MARKED_SLABS}: {error}"))?;
    let before: BTreeMap<String, u64> = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
    let changed = objects_in_use().into_iter().filter_map(|(name, now)| {
        let before = before.get(&name).copied().unwrap_or(0);
        let level = Level { before, peak: now.max(before), after: now };
        (now != before).then_some((name, level))
    });
    Ok(changed.take(LEVELS_MAX).collect())
}

/// Its objects are reclaimed, but for those that something holds.
const DENTRIES: &str = "dentry";

/// By cache, without what can be had back at any time. With `slub_debug` no cache is merged with others, and none keeps free
/// objects for a CPU (mm/slub.c).
fn objects_in_use() -> BTreeMap<String, u64> {
    let _ = fs::write("/proc/sys/vm/drop_caches", "3");
    let names = fs::read_dir(SLABS).into_iter().flatten().flatten();
    // What is kept for the case that it is asked for again goes when memory is short.
    let is_reclaimed = |entry: &fs::DirEntry| {
        fs::read_to_string(entry.path().join("reclaim_account")).is_ok_and(|text| text.trim() == "1")
    };
    let is_counted = |entry: &fs::DirEntry| entry.file_name() == DENTRIES || !is_reclaimed(entry);
    let names = names.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_counted(entry));
    let count = |entry: fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let objects = u64::try_from(slab(&name)?).ok()?;
        Some((name, objects))
    };
    names.filter_map(count).collect()
}

/// Fewer than before is as good.
fn came_back(one: &ComesBack, before: i64, began: Instant) -> WorkResult {
    loop {
        let Some(now) = (one.read)() else { return WorkResult::Skipped("it is gone".to_owned()) };
        if now <= before.saturating_add(one.slack) {
            return WorkResult::Ok;
        }
        if began.elapsed() >= one.within {
            return WorkResult::Failed(format!("{before} before, {now} now"));
        }
        (one.nudge)();
    }
}

/// With `slub_debug` the kernel then says what it finds in each free object.
fn validate_slabs() {
    for entry in fs::read_dir(SLABS).into_iter().flatten().flatten() {
        // A cache without checks refuses.
        let _ = fs::write(entry.path().join("validate"), "1");
    }
}

/// Scans twice: what is moved from one place to another during one scan is seen by the next.
fn leaks() -> Result<Vec<Leak>, String> {
    if !Path::new(KMEMLEAK).exists() {
        return Ok(Vec::new());
    }
    files::write(KMEMLEAK, "scan")?;
    thread::sleep(LOOK_AGAIN);
    files::write(KMEMLEAK, "scan")?;
    Ok(read_leaks(&files::read(KMEMLEAK)?))
}

/// Out of what kmemleak prints: alike stacks are one leak.
fn read_leaks(text: &str) -> Vec<Leak> {
    let mut found: Vec<Leak> = Vec::new();
    for block in text.split("unreferenced object ").skip(1) {
        let size = block.split("(size ").nth(1).and_then(|rest| rest.split(')').next()?.parse::<u64>().ok());
        let frames = block.lines().skip_while(|line| !line.trim_start().starts_with("backtrace")).skip(1);
        let stack: Vec<String> = frames.map_while(frame).take(LEAK_FRAMES_MAX).collect();
        let bytes = size.unwrap_or_default();
        if let Some(leak) = found.iter_mut().find(|leak| leak.stack == stack) {
            leak.objects = leak.objects.saturating_add(1);
            leak.bytes = leak.bytes.saturating_add(bytes);
        } else if found.len() < LEAKS_MAX {
            found.push(Leak { objects: 1, bytes, stack });
        }
    }
    found
}

/// `    [<(ptrval)>] function+0x1/0x2`, with or without the address; None: the stack is over.
fn frame(line: &str) -> Option<String> {
    let text = line.trim();
    let text = text.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(text, |(_, name)| name);
    let name = text.split('+').next().unwrap_or_default();
    (!name.is_empty() && text.contains('+')).then(|| name.to_owned())
}

fn meminfo(key: &str) -> Option<i64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':').map(str::trim))?;
    line.split(' ').next()?.parse().ok()
}

fn first_number(path: &str) -> Option<i64> {
    fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

fn lines(path: &str) -> Option<i64> {
    i64::try_from(fs::read_to_string(path).ok()?.lines().count()).ok()
}

fn entries(path: &str) -> Option<i64> {
    i64::try_from(fs::read_dir(path).ok()?.count()).ok()
}

/// Objects in use, of a cache that was not merged with others.
fn slab(name: &str) -> Option<i64> {
    first_number(&format!("{SLABS}/{name}/objects"))
}

/// Networks that ended last are kept until another ends (net/core/net_namespace.c, `defer_free_list`): one is made, and ends.
fn end_a_network() {
    let _ = in_child(SETTLES_WITHIN, || sys!(SYS_unshare, libc::CLONE_NEWNET).map(drop));
    thread::sleep(NETWORK_ENDS_WITHIN);
}

/// Live ones, below all hierarchies that are mounted (/proc/cgroups, third column).
fn cgroups() -> Option<i64> {
    let text = fs::read_to_string("/proc/cgroups").ok()?;
    text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(2)?.parse::<i64>().ok()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KMEMLEAK_SAYS: &str = "unreferenced object 0xffff888003a6e000 (size 32):\n  comm \"ip\", pid 71, jiffies 4294937\n  \
        hex dump (first 32 bytes):\n    62 6f 6e 64 39 00 00 00  bond9...\n  backtrace (crc 12ab):\n    \
        kmemleak_alloc+0x4a/0x90\n    __kmalloc_noprof+0x1/0x2\n    kvasprintf+0x1/0x2\nunreferenced object \
        0xffff888003a6e020 (size 64):\n  comm \"ip\", pid 72, jiffies 4294938\n  backtrace (crc 12ab):\n    \
        [<00000000f1>] kmemleak_alloc+0x4a/0x90\n    [<00000000f2>] __kmalloc_noprof+0x1/0x2\n    [<00000000f3>] kvasprintf+0x1/0x2\n";

    #[test]
    fn alike_stacks_are_one_leak_with_its_objects_and_bytes() {
        let leaks = read_leaks(KMEMLEAK_SAYS);
        assert_eq!(leaks.len(), 1);
        assert_eq!((leaks[0].objects, leaks[0].bytes), (2, 96));
        assert_eq!(leaks[0].stack, ["kmemleak_alloc", "__kmalloc_noprof", "kvasprintf"]);
        assert!(read_leaks("").is_empty());
    }

    #[test]
    fn number_comes_back_if_it_is_no_larger_than_its_slack_allows() {
        let one = ComesBack { name: "x", slack: 1, within: SETTLES_WITHIN, read: || Some(5), nudge: || () };
        let long_ago = Instant::now().checked_sub(SETTLES_WITHIN).unwrap();
        assert_eq!(came_back(&one, 4, long_ago), WorkResult::Ok);
        assert_eq!(came_back(&one, 9, long_ago), WorkResult::Ok);
        assert_eq!(came_back(&one, 3, long_ago), WorkResult::Failed("3 before, 5 now".to_owned()));
    }
}
