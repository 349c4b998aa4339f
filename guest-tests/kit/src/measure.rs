//! The one way a scenario is measured: the operation with injection off, the same operation with injection
//! on, and what each mechanism did in both.

use std::thread;
use std::time::{Duration, Instant};

use protocol::{Counts, Measured, Order, PageTables};

use crate::cpu;
use crate::fault::FailPageAlloc;
use crate::kallsyms::Kallsyms;
use crate::meter::{self, Performed};
use crate::site::Site;
use crate::tracer::Tracer;

/// Populates this many page tables and frees them; allocations may fail while it does so if it is `armed`,
/// and only then.
pub type Operation = fn(tables: u64, armed: bool) -> Result<Performed, String>;

/// How often an operation's aftermath is looked at.
const SETTLE_STEP: Duration = Duration::from_millis(20);
/// Quiet time that ends the aftermath once all tables are freed.
const SETTLED_AFTER: Duration = Duration::from_millis(100);
/// Quiet time that ends it when tables are missing: either a leak, or a grace period that takes its time.
const LEAKED_AFTER: Duration = Duration::from_secs(3);
/// A machine that is never quiet cannot be measured.
const SETTLE_DEADLINE: Duration = Duration::from_secs(30);

/// Runs `operation` quiet, then forced.
///
/// # Errors
/// Anything that keeps the counts from being trusted: a knob not taken, a failure injected while injection
/// was off, an operation that failed. A count of any size is not an error.
pub fn measure(order: &Order, operation: Operation) -> Result<Measured, String> {
    let demand = order.ask.fallbacks;
    cpu::pin_to(cpu::VICTIM_CPU)?;
    let kallsyms = Kallsyms::load()?;
    let site = Site::find(&kallsyms, demand)?;
    let tracer = Tracer::create(&kallsyms, demand)?;
    let injection = FailPageAlloc::prepare(&site.addresses, demand)?;

    let quiet = observe(&tracer, &site, operation, false)?;
    let uninvited = injection.injected()?;
    if uninvited != 0 {
        return Err(format!("{uninvited} allocations failed although no task was armed"));
    }
    let forced = observe(&tracer, &site, operation, order.inject)?;

    Ok(Measured {
        injected_in: site.function,
        demanded: demand,
        injected: injection.injected()?,
        quiet: quiet.counts,
        forced: forced.counts,
        page_tables: forced.page_tables,
        lost_events: quiet.lost_events + forced.lost_events,
        cross_calls: forced.performed.cross_calls,
        quiet_micros: quiet.performed.micros,
        forced_micros: forced.performed.micros,
    })
}

struct Observed {
    performed: Performed,
    counts: Counts,
    page_tables: PageTables,
    lost_events: u64,
}

fn observe(tracer: &Tracer, site: &Site, operation: Operation, armed: bool) -> Result<Observed, String> {
    let before = meter::page_tables()?;
    tracer.start()?;
    let performed = operation(site.tables, armed)?;
    let after = settle(tracer, before)?;
    tracer.stop()?;
    let page_tables = PageTables { before, peak: performed.peak_page_tables, after };
    Ok(Observed { performed, counts: tracer.counts()?, page_tables, lost_events: tracer.buffer()?.lost })
}

/// Waits until RCU has done what the operation left to it: until neither the trace nor the number of page
/// tables has changed for a while. Returns that number.
fn settle(tracer: &Tracer, before: u64) -> Result<u64, String> {
    let began = Instant::now();
    let mut changed = Instant::now();
    let mut last = (tracer.buffer()?, meter::page_tables()?);
    loop {
        thread::sleep(SETTLE_STEP);
        let now = (tracer.buffer()?, meter::page_tables()?);
        if now != last {
            changed = Instant::now();
            last = now;
        }
        let enough = if last.1 <= before { SETTLED_AFTER } else { LEAKED_AFTER };
        if changed.elapsed() >= enough {
            return Ok(last.1);
        }
        if began.elapsed() >= SETTLE_DEADLINE {
            return Err(format!("counts still changed {} s after the operation", SETTLE_DEADLINE.as_secs()));
        }
    }
}
