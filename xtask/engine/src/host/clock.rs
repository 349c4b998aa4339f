//! How fast the host's time-stamp counter runs. An emulated x86 guest reads that counter; where the guest measures it by
//! timers of the emulator instead, a host that is busy just then makes its clock wrong by any factor. Reads clocks, and
//! nothing else.

use std::sync::OnceLock;

/// Whole megahertz; None where the host has no such counter, or was too busy to measure it. Measured once.
pub fn tsc_mhz() -> Option<u64> {
    static MEASURED: OnceLock<Option<u64>> = OnceLock::new();
    *MEASURED.get_or_init(measured)
}

#[cfg(not(target_arch = "x86_64"))]
fn measured() -> Option<u64> {
    None
}

#[cfg(target_arch = "x86_64")]
fn measured() -> Option<u64> {
    use std::time::Duration;

    /// Two looks so far apart, each exact to a few microseconds, give a megahertz in 2,000.
    const APART: Duration = Duration::from_millis(20);
    let first = look()?;
    std::thread::sleep(APART);
    let second = look()?;
    let nanos = u64::try_from(second.0.duration_since(first.0).as_nanos()).ok()?;
    let ticks = second.1.checked_sub(first.1)?.checked_mul(1000)?;
    let mhz = ticks.checked_add(nanos / 2)?.checked_div(nanos)?;
    (100..=10_000).contains(&mhz).then_some(mhz)
}

/// The counter and the time at which it was read, of a read that nothing came into.
#[cfg(target_arch = "x86_64")]
fn look() -> Option<(std::time::Instant, u64)> {
    use std::time::{Duration, Instant};

    const TRIES: u32 = 1000;
    const AT_ONCE: Duration = Duration::from_micros(2);
    (0..TRIES).find_map(|_| {
        let before = Instant::now();
        // SAFETY: reads a register; every x86_64 has it.
        #[allow(unused_unsafe, reason = "safe since Rust 1.94")]
        let ticks = unsafe { std::arch::x86_64::_rdtsc() };
        (before.elapsed() <= AT_ONCE).then_some((before, ticks))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn two_measurements_agree() {
        // A busy host may come in between now and then, and not every time.
        let some = || (0..100).find_map(|_| measured()).expect("a host that is not always busy");
        let (one, other) = (some(), some());
        assert!(one.abs_diff(other) <= 2, "{one} and {other} MHz");
    }
}
