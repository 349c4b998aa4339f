//! What a fallback costs a real-time task on another CPU: how late it wakes up while a victim frees page tables.
//!
//! The task lives in another address space than the victim, so that no TLB flush of the victim's is sent to it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use kit::child::Child;
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::timing::Stopwatch;
use kit::{cpu, fault, realtime, scenario};
use mmu_gather::mapping::SparseMapping;

const BYSTANDER_CPU: u32 = 2;
const PRIORITY: i32 = 50;
const CYCLE: Duration = Duration::from_millis(1);

/// Between two fallbacks: five cycles and a part of one, so that fallbacks hit every phase of a cycle.
const PAUSE: Duration = Duration::from_micros(5137);

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let prepare = || {
        let mappings = (0..trial.units).map(|_| SparseMapping::populate(1));
        let mappings = mappings.collect::<Result<Vec<_>, _>>()?;
        fault::arm_this_task(trial.forced)?;
        Ok(std::cell::Cell::new(mappings))
    };
    let victim = Child::start(prepare, |mappings| {
        mappings.take().into_iter().try_for_each(|mapping| {
            thread::sleep(PAUSE);
            mapping.unmap()
        })
    })?;
    let meter = trial.meter()?;
    let over = AtomicBool::new(false);
    let (ended, watch) = thread::scope(|scope| {
        let sampler = scope.spawn(|| sample(&over));
        let ended = victim.finish();
        over.store(true, Ordering::Relaxed);
        (ended, sampler.join())
    });
    ended?;
    let watch = watch.map_err(|_| "the bystander panicked".to_owned())??;
    Ok(Performed { timings: vec![watch.timing()?], ..meter.stop()? })
}

/// How late each wake-up is, until it is `over`.
fn sample(over: &AtomicBool) -> Result<Stopwatch, String> {
    cpu::pin_to(BYSTANDER_CPU)?;
    realtime::become_fifo(PRIORITY)?;
    let mut watch = Stopwatch::new("wake-up", 0);
    let mut due = realtime::now()?;
    while !over.load(Ordering::Relaxed) {
        due = (realtime::now()?).max(due) + CYCLE;
        watch.add(realtime::sleep_until(due)?);
    }
    Ok(watch)
}
