//! The race that the synchronisation is there for: a lockless walker has read which page table to look into, and another
//! thread of the same process frees that table. A kernel whose walkers are held at this very place (the helper patch
//! `widen-table-free-window`) and which unmaps freed pages shows a table that was freed too early.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::{cpu, fault, scenario};
use mmu_gather::gup::GupFast;
use mmu_gather::mapping::SparseMapping;
use protocol::Done;

/// The helper patch holds tasks whose name begins so.
const WALKERS_NAME: &std::ffi::CStr = c"widen";

const WALKER_CPUS: [u32; 2] = [1, 2];

/// A walker that does not walk.
const DEADLINE: Duration = Duration::from_secs(20);

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

/// Where to walk, and what came of it.
#[derive(Default)]
struct RaceState {
    target: AtomicUsize,
    over: AtomicBool,
    walks: AtomicU64,
    found: AtomicU64,
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let mappings: Vec<_> = (0..trial.units).map(|_| SparseMapping::populate(1)).collect::<Result<_, _>>()?;
    let shared = &RaceState::default();
    let meter = trial.meter()?;
    thread::scope(|scope| {
        let walkers: Vec<_> =
            WALKER_CPUS.into_iter().map(|cpu| scope.spawn(move || walk(shared, cpu))).collect();
        let unmapped =
            mappings.into_iter().try_for_each(|mapping| unmap_under_walkers(trial, shared, mapping));
        shared.over.store(true, Ordering::SeqCst);
        for walker in walkers {
            walker.join().map_err(|_| "a walker panicked".to_owned())??;
        }
        unmapped
    })?;
    let done = [("walks", &shared.walks), ("walks that found a page", &shared.found)];
    let done = done.map(|(what, count)| Done { what: what.to_owned(), count: count.load(Ordering::SeqCst) });
    Ok(Performed { done: done.into(), ..meter.stop()? })
}

/// Frees one page table while the walkers are in it.
fn unmap_under_walkers(trial: &Trial<'_>, shared: &RaceState, mapping: SparseMapping) -> Result<(), String> {
    shared.target.store(mapping.start() as usize, Ordering::SeqCst);
    let seen = shared.found.load(Ordering::SeqCst);
    let began = Instant::now();
    while shared.found.load(Ordering::SeqCst) == seen {
        if began.elapsed() >= DEADLINE {
            return Err("no walker found the page that is there".to_owned());
        }
        thread::yield_now();
    }
    fault::while_armed(trial.forced, || mapping.unmap())
}

fn walk(shared: &RaceState, cpu: u32) -> Result<(), String> {
    cpu::pin_to(cpu)?;
    rustix::thread::set_name(WALKERS_NAME).map_err(|error| format!("could not name a walker: {error}"))?;
    let gup = GupFast::open()?;
    while !shared.over.load(Ordering::SeqCst) {
        // What is not mapped any more is not found, which is as it should be.
        let found = gup.walk(shared.target.load(Ordering::SeqCst));
        shared.walks.fetch_add(1, Ordering::SeqCst);
        shared.found.fetch_add(u64::from(found), Ordering::SeqCst);
    }
    Ok(())
}
