//! The userland's own tools as steps of an exerciser: `ip`, `tc` and the like, where the guest has them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::exercise::Exercise;
use crate::sweep;
use crate::sys;
use crate::sys::{in_child, wrong};

const PLACES: [&str; 4] = ["/bin", "/sbin", "/usr/bin", "/usr/sbin"];

/// A tool that waits for something that does not come is ended.
const LIMIT: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Where the tool is.
pub fn find(name: &str) -> io::Result<PathBuf> {
    let found = PLACES.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
    found.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
}

fn command_of(line: &str) -> io::Result<Command> {
    let mut words = line.split_whitespace();
    let mut command = Command::new(find(words.next().unwrap_or_default())?);
    command.args(words).env_clear().env("PATH", PLACES.join(":"));
    Ok(command)
}

/// Runs one line: a tool and its arguments, without a shell.
pub fn run(line: &str) -> io::Result<()> {
    let mut command = command_of(line)?;
    sweep::arm(&mut command);
    let status = wait(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?)?;
    match (status.success(), status.code()) {
        (true, _) => Ok(()),
        (_, Some(code)) => wrong(&format!("exit {code}")),
        (_, None) => wrong(&status.to_string()),
    }
}

/// Runs one line as the first thing in a network that ends with it: what a failure leaves there is not put right by doing the same
/// once more.
pub fn run_in_network_that_ends(line: &str) -> io::Result<()> {
    let mut command = command_of(line)?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // The failure that this process's child is to have stays with the program that it becomes.
    let end = in_child(LIMIT, || {
        sys!(SYS_unshare, libc::CLONE_NEWNET)?;
        Err(command.exec())
    });
    end.map_err(|error| error.raw_os_error().map_or(error, |code| io::Error::other(format!("exit {code}"))))
}

/// One transaction of nft.
pub fn nft(lines: &str) -> io::Result<()> {
    with_lines(lines, || run(NFT))
}

/// A step that is one transaction of nft. Where failures come in it, it is given up after each as well, with what it needs first.
pub fn nft_step(it: &mut Exercise, name: &str, first: &str, lines: &str) -> Option<()> {
    let made = it.step(name, || nft(lines));
    it.given_up(name, || with_lines(&format!("{first}\n{lines}"), || run_in_network_that_ends(NFT)));
    made
}

const NFT_LINES: &str = "/tmp/lines.nft";
const NFT: &str = "nft -f /tmp/lines.nft";

fn with_lines(lines: &str, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    fs::write(NFT_LINES, format!("{lines}\n"))?;
    let end = work();
    let _ = fs::remove_file(NFT_LINES);
    end
}

fn wait(mut child: Child) -> io::Result<ExitStatus> {
    let began = Instant::now();
    loop {
        if has_ended(&child)? {
            sweep::ended(child.id());
            return child.wait();
        }
        if began.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            return wrong("not done in time");
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// It stays to be waited for.
fn has_ended(child: &Child) -> io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    Ok(waitid(WaitId::Pid(Pid::from_child(child)), options)?.is_some())
}

/// Lines of a batch where failures are forced: one in which they can come is carried out line by line in the next round.
const SWEPT_TOGETHER: usize = 12;

/// A step for each line.
pub fn run_all(it: &mut Exercise, lines: &str) {
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<_> = lines.map(ToolLine::of).collect();
    let most = if it.is_sweep() { SWEPT_TOGETHER } else { usize::MAX };
    let alike = lines.chunk_by(|one, other| one.can_follow(other));
    for alike in alike.flat_map(|alike| alike.chunks(most)) {
        // A failure is to come in one line's own process.
        if alike.len() > 1 && !it.is_swept_in(alike[0].whole) {
            batch(it, alike);
            continue;
        }
        for ToolLine { whole, .. } in alike {
            it.step(whole, || run(whole));
            it.given_up(whole, || run_in_network_that_ends(whole));
        }
    }
}

/// One step for lines of one tool and the same options, which are too many to be a step each.
pub fn run_many(it: &mut Exercise, name: &str, lines: &str) {
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<_> = lines.map(ToolLine::of).collect();
    it.step(name, || match run_batch(&lines)?.len() {
        0 => Ok(()),
        failed => wrong(&format!("{failed} failed")),
    });
}

/// A command line of which the tool can read many from a file.
#[derive(Debug)]
struct ToolLine<'a> {
    whole: &'a str,
    tool: &'a str,
    options: Vec<&'a str>,
    rest: &'a str,
}

impl<'a> ToolLine<'a> {
    fn of(whole: &'a str) -> ToolLine<'a> {
        let (tool, mut rest) = whole.split_once(' ').unwrap_or((whole, ""));
        let mut options = Vec::new();
        while let Some((option, after)) = rest.split_once(' ').filter(|(option, _)| option.starts_with('-')) {
            options.push(option);
            rest = after;
            // Of these tools' options only the one for a namespace has a value.
            if let Some((value, after)) = rest.split_once(' ').filter(|_| option == "-n") {
                options.push(value);
                rest = after;
            }
        }
        ToolLine { whole, tool, options, rest }
    }

    fn can_follow(&self, other: &ToolLine<'_>) -> bool {
        let is_alone = |line: &ToolLine<'_>| line.rest.starts_with("netns");
        let reads_files = ["ip", "tc", "bridge"].contains(&self.tool);
        let alike = self.tool == other.tool && self.options == other.options;
        reads_files && alike && !is_alone(self) && !is_alone(other)
    }
}

/// One process for all: an emulated CPU needs longer to start one than to do what it is asked.
fn batch(it: &mut Exercise, lines: &[ToolLine<'_>]) {
    let failed = it.watch_batch(lines[0].whole, || run_batch(lines));
    for (index, line) in lines.iter().enumerate() {
        it.note(
            line.whole,
            match &failed {
                Ok(failed) if failed.contains(&(index + 1)) => wrong("failed"),
                Ok(_) => Ok(()),
                Err(error) => Err(error
                    .raw_os_error()
                    .map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error)),
            },
        );
    }
}

const LINES: &str = "/tmp/lines";
const COMPLAINTS: &str = "/tmp/complaints";

/// The numbers of those that failed, from 1. A tool that does not understand a line ends there (iproute2's invarg()): it is
/// started again with the line after that.
fn run_batch(lines: &[ToolLine<'_>]) -> io::Result<BTreeSet<usize>> {
    let Some(first) = lines.first() else { return Ok(BTreeSet::new()) };
    let tool = find(first.tool)?;
    let (mut failed, mut done) = (BTreeSet::new(), 0);
    while let Some(rest) = lines.get(done..).filter(|rest| !rest.is_empty()) {
        let text: String = rest.iter().map(|line| format!("{}\n{MARK}\n", line.rest)).collect();
        fs::write(LINES, text)?;
        let mut command = Command::new(&tool);
        command.args(&first.options).args(["-force", "-batch", LINES]);
        let complaints = fs::File::create(COMPLAINTS)?;
        sweep::arm(&mut command);
        let child =
            command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(complaints).spawn()?;
        // It ends with an error: the marks are none of its commands.
        let status = wait(child);
        let complaints = fs::read_to_string(COMPLAINTS).unwrap_or_default();
        let (_, _) = (fs::remove_file(LINES), fs::remove_file(COMPLAINTS));
        status?;
        let (more, passed) = read_complaints(&complaints, rest.len());
        failed.extend(more.into_iter().map(|line| line + done));
        done += passed;
    }
    Ok(failed)
}

/// Behind each line stands what is no command of the tool, so that its complaint tells that it came there.
pub const MARK: &str = "?";

/// The number in `Command failed /tmp/lines:3`; of standard input it is `-:3`.
pub fn failed_line(complaint: &str) -> Option<usize> {
    complaint.strip_prefix("Command failed ")?.rsplit(':').next()?.trim().parse().ok()
}

/// The lines that failed, from 1, and how many were come by: `Command failed /tmp/lines:3` is the second of them, and an even
/// number its mark.
fn read_complaints(complaints: &str, lines: usize) -> (BTreeSet<usize>, usize) {
    let numbers: BTreeSet<usize> = complaints.lines().filter_map(failed_line).collect();
    let passed = numbers.iter().filter(|number| *number % 2 == 0).max().map_or(0, |number| number / 2);
    let mut failed: BTreeSet<_> =
        numbers.iter().filter(|number| *number % 2 == 1).map(|one| one.div_ceil(2)).collect();
    if passed < lines {
        failed.insert(passed + 1);
    }
    (failed, (passed + 1).min(lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_tool_and_the_same_options_are_read_from_one_file() {
        let lines = [
            "ip link show",
            "ip link del x",
            "ip -6 route show",
            "ip -6 rule show",
            "ip netns add a",
            "tc qdisc show",
            "ip -n a link show",
        ];
        let lines: Vec<_> = lines.into_iter().map(ToolLine::of).collect();
        let sizes: Vec<_> = lines.chunk_by(|one, other| one.can_follow(other)).map(<[_]>::len).collect();
        assert_eq!(sizes, [2, 2, 1, 1, 1]);
        assert_eq!((lines[6].options.as_slice(), lines[6].rest), (["-n", "a"].as_slice(), "link show"));
        assert_eq!((lines[2].options.as_slice(), lines[2].rest), (["-6"].as_slice(), "route show"));
    }

    #[test]
    fn failed_lines_are_known_by_number() {
        let text = "Error: x.\nCommand failed /tmp/lines:2\nCommand failed /tmp/lines:3\nRTNETLINK answers\nCommand failed -:4\n";
        assert_eq!(read_complaints(text, 2), ([2].into(), 2));
        // It ended at the third of four.
        assert_eq!(read_complaints(text, 4), ([2, 3].into(), 3));
        assert_eq!(read_complaints("", 1), ([1].into(), 1));
    }
}
