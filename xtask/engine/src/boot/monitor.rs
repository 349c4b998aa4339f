//! Asks a QEMU whose guest hangs what the CPUs are doing: registers and a backtrace of each, through the QMP
//! monitor. QEMU may hang as well, so everything here ends by a deadline of its own.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::symbols::Symbols;
use crate::boot::qemu;

/// Registers and backtraces of eight CPUs take some milliseconds.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Registers of 64 CPUs take some 100 kB.
const ANSWER_BYTES_MAX: usize = 4 << 20;
const FRAMES_MAX: usize = 16;
/// Where the kernel's half of the address space begins on every 64-bit architecture.
const KERNEL_HALF: u64 = 1 << 63;

/// What QEMU said about its CPUs.
#[derive(Debug, Default)]
pub struct Cpus {
    /// One line per CPU: the functions it is in, innermost first.
    pub backtraces: Vec<String>,
    /// `info registers -a`, as QEMU prints it.
    pub registers: String,
}

/// Stops the guest of the QEMU that was started in `dir` and looks at its CPUs.
///
/// # Errors
/// When QEMU does not answer in time, or with something else than QMP.
pub fn ask(dir: &Path, symbols: &Symbols) -> io::Result<Cpus> {
    let mut monitor = Monitor::connect(dir, Instant::now() + ANSWERS_WITHIN)?;
    // What moves between two questions makes no backtrace.
    monitor.execute(&json!({"execute": "stop"}))?;
    let registers = monitor.human("info registers -a", 0)?;
    let mut backtraces = Vec::new();
    for cpu in x86_cpus(&registers) {
        let frames = monitor.backtrace(&cpu)?;
        let names: Vec<String> = frames.iter().map(|&address| symbols.name(address)).collect();
        backtraces.push(format!("CPU {}: {}", cpu.index, names.join(" < ")));
    }
    Ok(Cpus { backtraces, registers })
}

impl Cpus {
    /// The text of `registers.txt`.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for line in &self.backtraces {
            let _ = writeln!(text, "{}", line.replace(" < ", "\n    "));
        }
        text + "\n" + &self.registers
    }
}

struct Monitor {
    stream: UnixStream,
    unread: Vec<u8>,
    until: Instant,
}

impl Monitor {
    fn connect(dir: &Path, until: Instant) -> io::Result<Monitor> {
        // A socket's address holds 108 bytes; a path below an open directory is always short.
        let dir = File::open(dir)?;
        let stream = UnixStream::connect(format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), qemu::MONITOR))?;
        let mut monitor = Monitor { stream, unread: Vec::new(), until };
        monitor.message()?;
        monitor.execute(&json!({"execute": "qmp_capabilities"}))?;
        Ok(monitor)
    }

    fn human(&mut self, line: &str, cpu: u64) -> io::Result<String> {
        let arguments = json!({"command-line": line, "cpu-index": cpu});
        let answer = self.execute(&json!({"execute": "human-monitor-command", "arguments": arguments}))?;
        Ok(answer.as_str().unwrap_or_default().replace('\r', ""))
    }

    fn execute(&mut self, command: &Value) -> io::Result<Value> {
        self.stream.set_write_timeout(Some(self.remaining()?))?;
        self.stream.write_all(format!("{command}\n").as_bytes())?;
        loop {
            let mut message = self.message()?;
            if let Some(error) = message.get("error") {
                return Err(io::Error::other(format!("QEMU refused {command}: {error}")));
            }
            // Everything else is an event.
            if let Some(answer) = message.get_mut("return") {
                return Ok(answer.take());
            }
        }
    }

    fn message(&mut self) -> io::Result<Value> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return serde_json::from_slice(&line).map_err(io::Error::other);
            }
            if self.unread.len() > ANSWER_BYTES_MAX {
                return Err(io::Error::other("QEMU's answer has no end"));
            }
            self.stream.set_read_timeout(Some(self.remaining()?))?;
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.unread.extend_from_slice(&chunk[..read]),
            }
        }
    }

    /// An error when nothing remains.
    fn remaining(&self) -> io::Result<Duration> {
        let remaining = self.until.saturating_duration_since(Instant::now());
        if remaining.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(remaining) }
    }

    /// Follows the frame pointers (x86 with UNWINDER_FRAME_POINTER) as far as they are the kernel's.
    fn backtrace(&mut self, cpu: &Cpu) -> io::Result<Vec<u64>> {
        let mut addresses = vec![cpu.rip];
        let mut frame = cpu.rbp;
        while frame >= KERNEL_HALF && addresses.len() < FRAMES_MAX {
            let memory = self.human(&format!("x/2gx 0x{frame:x}"), cpu.index)?;
            let Some((next, address)) = two_words(&memory).filter(|(_, address)| *address >= KERNEL_HALF)
            else {
                break;
            };
            addresses.push(address);
            // A caller's frame is further up the stack; anything else would lead in circles.
            if next <= frame {
                break;
            }
            frame = next;
        }
        Ok(addresses)
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Cpu {
    index: u64,
    rip: u64,
    rbp: u64,
}

/// The CPUs in the output of `info registers -a`; of another architecture than x86 none.
fn x86_cpus(registers: &str) -> Vec<Cpu> {
    let value = |block: &str, name: &str| {
        let (_, rest) = block.split_once(&format!("{name}="))?;
        u64::from_str_radix(rest.split_whitespace().next()?, 16).ok()
    };
    let cpu = |block: &str| {
        let index = block.lines().next()?.trim().parse().ok()?;
        Some(Cpu { index, rip: value(block, "RIP")?, rbp: value(block, "RBP")? })
    };
    registers.split("CPU#").skip(1).filter_map(cpu).collect()
}

/// The words of `ffffc90000013e68: 0xffffc90000013e80 0xffffffff81000000`.
fn two_words(memory: &str) -> Option<(u64, u64)> {
    let (_, words) = memory.trim().split_once(": ")?;
    let mut words =
        words.split_whitespace().map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok());
    Some((words.next()??, words.next()??))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    const REGISTERS: &str = "\nCPU#0\nRAX=0000000000000000 RBX=0000000000000000 RCX=1 RDX=0\n\
        RSI=0 RDI=0 RBP=ffffc90000013e68 RSP=ffffc90000013e60\nRIP=ffffffff81000010 RFL=00000246 [---Z-P-] CPL=0\n\
        \nCPU#1\nRBP=00007ffc00000000 RSP=0\nRIP=0000000000401000 RFL=0 CPL=3\n";

    #[test]
    fn registers_of_each_cpu_are_read() {
        let cpu = |index, rip, rbp| Cpu { index, rip, rbp };
        assert_eq!(
            x86_cpus(REGISTERS),
            [cpu(0, 0xffff_ffff_8100_0010, 0xffff_c900_0001_3e68), cpu(1, 0x40_1000, 0x7ffc_0000_0000)]
        );
        assert_eq!(x86_cpus("CPU#0\nNIP c000000000000000 LR 0\n"), []);
        assert_eq!(two_words("Cannot access memory\n"), None);
    }

    /// Answers each line that comes with the next of `answers`, and then keeps silent.
    fn stand_in(dir: &Path, answers: Vec<String>) {
        std::fs::create_dir(dir.join(qemu::MONITOR_DIR)).unwrap();
        let listener = UnixListener::bind(dir.join(qemu::MONITOR)).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut commands = io::BufRead::lines(io::BufReader::new(stream.try_clone().unwrap()));
            for answer in answers {
                stream.write_all(answer.as_bytes()).unwrap();
                commands.next();
            }
            commands.next();
        });
    }

    #[test]
    fn frames_are_followed_until_they_leave_the_stack() {
        let dir = tempfile::tempdir().unwrap();
        let answer = |text: &str| format!("{}\n", json!({"return": text}));
        let events = "{\"event\": \"STOP\"}\n{\"return\": {}}\n";
        stand_in(
            dir.path(),
            vec![
                "{\"QMP\": {}}\n".to_owned(),
                "{\"return\": {}}\n".to_owned(),
                events.to_owned(),
                answer(REGISTERS),
                answer("ffffc90000013e68: 0xffffc90000013e80 0xffffffff81000020\r\n"),
                answer("ffffc90000013e80: 0x0000000000000000 0xffffffff81000030\r\n"),
            ],
        );
        let cpus = ask(dir.path(), &Symbols::parse("ffffffff81000000 T start\n")).unwrap();
        assert_eq!(cpus.backtraces, ["CPU 0: start+0x10 < start+0x20 < start+0x30", "CPU 1: 0x401000"]);
        assert!(cpus.render().starts_with("CPU 0: start+0x10\n    start+0x20\n"), "{}", cpus.render());
    }

    #[test]
    fn a_qemu_that_accepts_and_says_nothing_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(qemu::MONITOR_DIR)).unwrap();
        let _listener = UnixListener::bind(dir.path().join(qemu::MONITOR)).unwrap();
        let soon = Instant::now() + Duration::from_millis(100);
        assert!(Monitor::connect(dir.path(), soon).is_err());
        assert!(soon.elapsed() < Duration::from_secs(2));
    }
}
