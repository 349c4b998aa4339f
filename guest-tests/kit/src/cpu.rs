//! CPUs. The victim stays on one of them, so that every other one is a bystander; and how long a tick is.

use std::io::Error;
use std::time::Duration;

use crate::{counters, files};

/// The CPU every scenario runs on.
pub const VICTIM_CPU: u32 = 0;

/// Binds this thread, and what it forks, to `cpu`; fails unless it then runs there.
pub fn pin_to(cpu: u32) -> Result<(), String> {
    // SAFETY: a zeroed cpu_set_t is the empty set; CPU_SET stays within it, and the call only reads it.
    let status = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu as usize, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    if status != 0 {
        return Err(format!("could not pin the victim to CPU {cpu}: {}", Error::last_os_error()));
    }
    // SAFETY: takes no arguments and touches no memory of ours.
    let running_on = unsafe { libc::sched_getcpu() };
    if u32::try_from(running_on) != Ok(cpu) {
        return Err(format!("pinned to CPU {cpu} but running on {running_on}"));
    }
    Ok(())
}

/// The time between two ticks: the resolution of the clocks that they move (`posix_get_coarse_res()`,
/// kernel/time/posix-timers.c).
pub fn tick() -> Result<Duration, String> {
    let mut tick = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one record, which outlives the call.
    if unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut tick) } != 0 {
        return Err(format!("the resolution of CLOCK_MONOTONIC_COARSE: {}", Error::last_os_error()));
    }
    let part = |number: i64| u64::try_from(number).map_err(|error| error.to_string());
    Ok(Duration::from_secs(part(tick.tv_sec)?) + Duration::from_nanos(part(tick.tv_nsec)?))
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
