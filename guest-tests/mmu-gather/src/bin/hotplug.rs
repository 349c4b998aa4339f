//! A CPU goes off line and comes back, again and again, while `munmap` runs into its failures: a broadcast meets a
//! changing set of CPUs, and a grace period one that leaves it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::{cpu, fault, files, scenario};
use mmu_gather::mapping::SparseMapping;
use protocol::Done;

/// A cycle for every so many tables at most. On powerpc each cycle leaves about two page tables of the kernel's own
/// behind, with the patch and without: there may not be so many that a leak of the fallback could hide among them.
const TABLES_PER_CYCLE: u64 = 8;

/// Where nothing fails it has to be seen only that hotplug alone does none of what is counted.
const TABLES_PER_QUIET_CYCLE: u64 = 24;

/// Between two fallbacks: a broadcast takes far less than a hotplug cycle, of which many are to be met.
const PAUSE: Duration = Duration::from_millis(5);
const QUIET_PAUSE: Duration = Duration::from_millis(2);

/// Between two looks how far the other one is.
const LOOK: Duration = Duration::from_millis(1);

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

/// What the two threads know of each other.
#[derive(Default)]
struct Progress {
    /// Tables that have been given up so far.
    freed: AtomicU64,
    begun: AtomicBool,
    over: AtomicBool,
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let cpu = last_cpu()?;
    let mappings: Vec<_> = (0..trial.units).map(|_| SparseMapping::populate(1)).collect::<Result<_, _>>()?;
    let progress = Progress::default();
    let (tables_per_cycle, pause) = match trial.forced {
        true => (TABLES_PER_CYCLE, PAUSE),
        false => (TABLES_PER_QUIET_CYCLE, QUIET_PAUSE),
    };
    let meter = trial.meter()?;
    let (unmapped, cycles) = thread::scope(|scope| {
        let plug = scope.spawn(|| plug(cpu, &progress, tables_per_cycle));
        while !progress.begun.load(Ordering::Relaxed) && !plug.is_finished() {
            thread::yield_now();
        }
        let unmapped =
            fault::arm_this_task(trial.forced).and_then(|()| unmap_slowly(trial, mappings, pause, &progress));
        let disarmed = fault::arm_this_task(false);
        progress.over.store(true, Ordering::Relaxed);
        (unmapped.and(disarmed), plug.join())
    });
    unmapped?;
    let cycles = cycles.map_err(|_| "the thread that plugs CPUs panicked".to_owned())??;
    let done = vec![Done { what: "CPU hotplug cycles".into(), count: cycles }];
    Ok(Performed { unsteady_cpus: vec![cpu], done, ..meter.stop()? })
}

fn unmap_slowly(
    trial: &Trial<'_>,
    mappings: Vec<SparseMapping>,
    pause: Duration,
    progress: &Progress,
) -> Result<(), String> {
    mappings.into_iter().try_for_each(|mapping| {
        // The tables left over show that no more fail than were to, and need not meet a hotplug cycle.
        if !(trial.forced && trial.is_exhausted()?) {
            thread::sleep(pause);
        }
        progress.freed.fetch_add(1, Ordering::Relaxed);
        mapping.unmap()
    })
}

/// Not the test's own.
fn last_cpu() -> Result<u32, String> {
    let last = cpu::online()?.saturating_sub(1);
    if last == cpu::VICTIM_CPU { Err("there is no CPU to take off line".to_owned()) } else { Ok(last) }
}

/// Leaves the CPU on line. Makes one cycle at least, which begins before anything is unmapped.
fn plug(cpu: u32, progress: &Progress, tables_per_cycle: u64) -> Result<u64, String> {
    let online = format!("/sys/devices/system/cpu/cpu{cpu}/online");
    let mut cycles = 0;
    while cycles == 0 || !progress.over.load(Ordering::Relaxed) {
        if progress.freed.load(Ordering::Relaxed) < cycles * tables_per_cycle {
            thread::sleep(LOOK);
            continue;
        }
        progress.begun.store(true, Ordering::Relaxed);
        files::set(&online, "0")?;
        files::set(&online, "1")?;
        cycles += 1;
    }
    Ok(cycles)
}
