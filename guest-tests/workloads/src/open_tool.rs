//! A tool of iproute2 that stays open and is told line by line: an emulated CPU needs longer to start it than it needs for what it is
//! asked. It remembers names of devices: only for lines about devices that stay.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};

use crate::exercise::Exercise;
use crate::sys::wrong;
use crate::tools::{self, MARK, failed_line};

/// One tool.
pub struct OpenTool {
    name: &'static str,
    open: Listening,
    /// A failure that is forced comes in a process of its own.
    is_swept: bool,
}

/// What it was told, and how it ended.
#[derive(Default)]
struct Listening {
    process: Option<(Child, ChildStdin, BufReader<ChildStderr>)>,
    lines: usize,
}

impl OpenTool {
    pub fn new(it: &Exercise, name: &'static str) -> OpenTool {
        OpenTool { name, open: Listening::default(), is_swept: it.is_sweep() }
    }

    /// Carries out one line, without the tool's name before it, as a step or a part of one.
    ///
    /// # Errors
    /// When the tool says that it failed, or cannot be started.
    pub fn run(&mut self, line: &str) -> io::Result<()> {
        match self.is_swept {
            true => tools::run(&format!("{} {line}", self.name)),
            false => self.open.run(self.name, line),
        }
    }

    /// As [`OpenTool::run`], beside all steps: no failure is forced in it.
    ///
    /// # Errors
    /// As there.
    pub fn tell(&mut self, line: &str) -> io::Result<()> {
        self.open.run(self.name, line)
    }

    /// One step for all of `lines`.
    pub fn run_many(&mut self, it: &mut Exercise, name: &str, lines: &str) {
        if self.is_swept {
            let lines: Vec<String> = lines.lines().map(|line| format!("{} {line}", self.name)).collect();
            tools::run_many(it, name, &lines.join("\n"));
            return;
        }
        it.step(name, || match lines.lines().filter(|line| self.run(line).is_err()).count() {
            0 => Ok(()),
            failed => wrong(&format!("{failed} failed")),
        });
    }
}

impl Listening {
    fn run(&mut self, tool: &str, line: &str) -> io::Result<()> {
        if self.process.is_none() {
            *self = Listening { process: Some(start(tool)?), lines: 0 };
        }
        let end = self.tell(line);
        if end.is_err()
            && let Some((mut child, _, _)) = self.process.take()
        {
            let _ = child.kill();
            let _ = child.wait();
        }
        match end? {
            true => Ok(()),
            false => wrong("failed"),
        }
    }

    /// Whether it did what it was told; an error: it is gone, as after a line that it does not understand.
    fn tell(&mut self, line: &str) -> io::Result<bool> {
        let Some((_, stdin, complaints)) = &mut self.process else { return wrong("it is not open") };
        stdin.write_all(format!("{line}\n{MARK}\n").as_bytes())?;
        self.lines += 2;
        let mut is_done = true;
        loop {
            let mut complaint = String::new();
            if complaints.read_line(&mut complaint)? == 0 {
                return wrong("failed");
            }
            match failed_line(&complaint) {
                Some(number) if number == self.lines => return Ok(is_done),
                Some(_) => is_done = false,
                None => {}
            }
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some((mut child, stdin, _)) = self.process.take() {
            drop(stdin);
            let _ = child.wait();
        }
    }
}

fn start(tool: &str) -> io::Result<(Child, ChildStdin, BufReader<ChildStderr>)> {
    let mut command = Command::new(tools::find(tool)?);
    command.args(["-force", "-batch", "-"]).env_clear();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    match (child.stdin.take(), child.stderr.take()) {
        (Some(stdin), Some(stderr)) => Ok((child, stdin, BufReader::new(stderr))),
        _ => wrong("no pipes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaint_has_the_number_of_the_line() {
        assert_eq!(failed_line("Command failed -:12\n"), Some(12));
        assert_eq!(failed_line("Error: Exclusivity flag on, cannot modify.\n"), None);
    }
}
