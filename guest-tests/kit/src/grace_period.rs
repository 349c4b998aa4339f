//! How soon RCU looks whether a grace period is over (kernel/rcu/tree.c, `rcu_gp_fqs_loop()`). By default it gives every
//! CPU a tick to say so by itself; nearly all of a grace period of a machine that does little is the wait for that tick.
//! A grace period in which it looks at once is as complete as any other, only shorter: for what is counted that is the
//! same, and for what is timed it is not.

use std::path::Path;

use crate::files;

/// Ticks, writable at any time. A kernel for one CPU has none: a call of `synchronize_rcu()` is a grace period there.
const FIRST_LOOK: &str = "/sys/module/rcutree/parameters/jiffies_till_first_fqs";
const AT_ONCE: &str = "0";

/// What the kernel was booted with.
#[derive(Debug)]
pub struct AsBooted(Option<String>);

impl AsBooted {
    /// To be asked before anybody hurries.
    pub fn read() -> Result<AsBooted, String> {
        let there = Path::new(FIRST_LOOK).exists();
        let ticks = there.then(|| files::read(FIRST_LOOK)).transpose()?;
        Ok(AsBooted(ticks))
    }

    /// Whatever somebody has left.
    pub fn restore(&self) -> Result<(), String> {
        self.0.as_ref().map_or(Ok(()), |ticks| files::ensure(FIRST_LOOK, ticks.trim()))
    }
}

/// Grace periods are as short as they can be, until [`AsBooted::restore`].
pub fn hurry() -> Result<(), String> {
    match Path::new(FIRST_LOOK).exists() {
        true => files::set(FIRST_LOOK, AT_ONCE),
        false => Ok(()),
    }
}
