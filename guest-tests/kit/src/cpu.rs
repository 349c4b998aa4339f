//! CPUs. The victim stays on one of them, so that every other one is a bystander; and how long a tick is.

use std::time::Duration;

use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
use rustix::time::{ClockId, clock_getres};

use crate::{counters, files};

/// The CPU every scenario runs on.
pub const VICTIM_CPU: u32 = 0;

/// Binds this thread, and what it forks, to `cpu`; fails unless it then runs there.
pub fn pin_to(cpu: u32) -> Result<(), String> {
    let mut set = CpuSet::new();
    set.set(cpu as usize);
    sched_setaffinity(None, &set)
        .map_err(|error| format!("could not pin the victim to CPU {cpu}: {error}"))?;
    let running_on = sched_getcpu();
    if running_on != cpu as usize {
        return Err(format!("pinned to CPU {cpu} but running on {running_on}"));
    }
    Ok(())
}

/// The time between two ticks: the resolution of the clocks that they move (`posix_get_coarse_res()`,
/// kernel/time/posix-timers.c).
pub fn tick() -> Result<Duration, String> {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    Duration::try_from(tick).map_err(|error| format!("the resolution of CLOCK_MONOTONIC_COARSE: {error}"))
}

/// How many CPUs are online; they are numbered from 0 here.
pub fn online() -> Result<u32, String> {
    let list = files::read("/sys/devices/system/cpu/online")?;
    counters::cpus_in_list(&list).ok_or_else(|| format!("not a CPU list: {list:?}"))
}

/// Every CPU there can be, as the kernel writes a mask: hexadecimal.
pub fn mask_of_all() -> Result<String, String> {
    let list = files::read("/sys/devices/system/cpu/possible")?;
    let count = counters::cpus_in_list(&list).filter(|count| (1..=u32::BITS).contains(count));
    let count = count.ok_or_else(|| format!("not a list of at most {} CPUs: {list:?}", u32::BITS))?;
    Ok(format!("{:x}", u32::MAX >> (u32::BITS - count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_as_long_as_some_kernel_makes_it() {
        // CONFIG_HZ is from 24 (alpha) to 1024 (the same).
        let tick = tick().unwrap();
        assert!((Duration::from_micros(900)..Duration::from_millis(50)).contains(&tick), "{tick:?}");
    }
}
