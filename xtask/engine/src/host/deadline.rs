//! Scale of all timeouts: 100 % except in tests of the harness itself.

use std::time::Duration;

use failure::{Failure, Result};

/// Tests of the harness shorten its timeouts with this variable; its value is part of the evidence. It does not
/// reach the kernel's detectors.
pub const PERCENT_VARIABLE: &str = "PATCHPROOF_DEADLINE_PERCENT";

/// `duration` as far as [`PERCENT_VARIABLE`] leaves it.
///
/// # Errors
/// As [`percent`].
pub fn scaled(duration: Duration) -> Result<Duration> {
    Ok(duration * percent()? / 100)
}

/// Scale of all timeouts in per cent: 100 unless the environment says otherwise.
///
/// # Errors
/// When the variable is not a number from 1 to 1000.
pub fn percent() -> Result<u32> {
    let Some(text) = std::env::var_os(PERCENT_VARIABLE) else { return Ok(100) };
    let text = text.to_string_lossy();
    text.parse().ok().filter(|percent| (1..=1000).contains(percent)).ok_or_else(|| {
        Failure::usage(format!("{PERCENT_VARIABLE}={text}"))
            .because("it is not a number from 1 to 1000")
            .next("unset it; only tests of the harness need it")
    })
}
