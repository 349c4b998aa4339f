//! The userland's own tools as steps of an exerciser: `ip`, `tc` and the like, where the guest has them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::exercise::Exercise;
use crate::sys::wrong;

const PLACES: [&str; 4] = ["/bin", "/sbin", "/usr/bin", "/usr/sbin"];

/// A tool that waits for something that does not come is ended.
const LIMIT: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Where the tool is.
pub fn find(name: &str) -> io::Result<PathBuf> {
    let found = PLACES.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
    found.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
}

/// Runs one line: a tool and its arguments, without a shell.
pub fn run(line: &str) -> io::Result<()> {
    let mut words = line.split_whitespace();
    let mut command = Command::new(find(words.next().unwrap_or_default())?);
    command.args(words).env_clear().env("PATH", PLACES.join(":"));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return match (status.success(), status.code()) {
                (true, _) => Ok(()),
                (_, Some(code)) => wrong(&format!("exit {code}")),
                (_, None) => wrong(&status.to_string()),
            };
        }
        if began.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            return wrong("not done in time");
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// A step for each line.
pub fn run_all(it: &mut Exercise, lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        it.step(line, || run(line));
    }
}
