//! The machine around the tests: mounts, console, kernel command line, taint, restart.

use std::fs::{self, OpenOptions};
use std::io::Error;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use kit::files;
use rustix::io::Errno;
use rustix::mount::{self, MountFlags};
use rustix::stdio;
use rustix::system::{RebootCommand, reboot};
use rustix::termios::tcdrain;

/// Type and mount point, in an order in which each one's mount point exists.
const MOUNTS: [(&str, &str); 5] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("debugfs", "/sys/kernel/debug"),
    ("tracefs", "/sys/kernel/tracing"),
];

const HARD_LOCKUP_PANIC: &str = "/proc/sys/kernel/hardlockup_panic";

/// What a late splat gets to be printed in before the machine ends. What the tests left to RCU was waited for by each
/// of them, and what a detector sees only after seconds is out of reach here in any case: what remains is work that
/// was put off by some ticks.
const LATE_SPLATS: Duration = Duration::from_millis(100);

pub fn mount_all() -> Result<(), String> {
    for (kind, target) in MOUNTS {
        // sysfs, debugfs and tracefs bring their own directories; the initramfs may lack the first three.
        fs::create_dir_all(target).map_err(|error| format!("could not make {target}: {error}"))?;
        mount(kind, target)?;
    }
    Ok(())
}

fn mount(kind: &str, target: &str) -> Result<(), String> {
    match mount::mount(kind, target, kind, MountFlags::empty(), None) {
        // EBUSY: the kernel mounted devtmpfs itself (DEVTMPFS_MOUNT).
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(error) => Err(format!("could not mount {kind} on {target}: {error}")),
    }
}

/// Makes /dev/console our standard input, output and error, in place of what the initramfs had there at boot.
pub fn take_console() -> Result<(), String> {
    let context = |error: Error| format!("could not open /dev/console: {error}");
    let console = OpenOptions::new().read(true).write(true).open("/dev/console").map_err(context)?;
    let taken = stdio::dup2_stdin(&console)
        .and_then(|()| stdio::dup2_stdout(&console))
        .and_then(|()| stdio::dup2_stderr(&console));
    taken.map_err(|error| context(error.into()))?;
    // One of the numbers just filled may be the file's own: closing it would undo the work.
    if console.as_raw_fd() < 3 {
        std::mem::forget(console);
    }
    Ok(())
}

/// Waits for what comes a little after the last of what this guest did, which was at `end`.
pub fn wait_for_late_splats(end: Instant) {
    thread::sleep(LATE_SPLATS.saturating_sub(end.elapsed()));
}

/// Waits until the UART has sent everything: a restart throws away what is still queued.
pub fn drain_console() {
    // Standard error is the console; an error leaves nothing to be done about it.
    let _ = tcdrain(std::io::stderr());
}

/// Restarts the machine; with `-no-reboot` that ends QEMU.
pub fn restart() -> ! {
    let refused = reboot(RebootCommand::Restart);
    // A PID 1 that ends panics the kernel, which is the next best thing and visible.
    panic!("the kernel refused to restart: {refused:?}");
}

/// The value of `key=value` on the kernel command line.
pub fn command_line_value(key: &str) -> Result<String, String> {
    let line = files::read("/proc/cmdline")?;
    let value = value_of(&line, key).map(str::to_owned);
    value.ok_or_else(|| format!("the kernel command line has no {key}="))
}

fn value_of<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// After an oops nothing that is measured means anything, and a task that died with a lock held would keep the
/// guest until its deadline: panic at once. The same for a stall, if one is to be noticed within `stall_secs`.
/// The same for a warning, if that is wanted.
pub fn panic_when_broken(stall_secs: Option<u32>, on_warn: bool) -> Result<(), String> {
    files::set("/proc/sys/kernel/panic_on_oops", "1")?;
    files::set("/proc/sys/kernel/panic_on_warn", if on_warn { "1" } else { "0" })?;
    if let Some(secs) = stall_secs {
        files::set("/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout", &secs.to_string())?;
        files::set("/proc/sys/kernel/panic_on_rcu_stall", "1")?;
        // Only some architectures have a detector of CPUs that stop with interrupts off.
        if Path::new(HARD_LOCKUP_PANIC).exists() {
            files::set(HARD_LOCKUP_PANIC, "1")?;
            files::set("/proc/sys/kernel/watchdog_thresh", &secs.to_string())?;
        }
    }
    Ok(())
}

pub fn tainted() -> Result<u64, String> {
    files::read_number("/proc/sys/kernel/tainted")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_whole_word_of_the_command_line() {
        let line = "console=ttyS0 patchproof.nonce2=b patchproof.nonce=a panic=-1\n";
        assert_eq!(value_of(line, "patchproof.nonce"), Some("a"));
        assert_eq!(value_of(line, "nonce"), None);
        assert_eq!(value_of("console=ttyS0\n", "patchproof.nonce"), None);
    }
}
