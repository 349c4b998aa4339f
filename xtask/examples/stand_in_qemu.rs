//! A stand-in for QEMU in the tests of failure handling: it says on console and result channel what a sound
//! guest would say, with one thing wrong if `qemu.does`, next to it on PATH, asks for it: in each guest, or, after
//! `second:`, only in the second of a cell. `number:FIELD=JSON` and `text:FIELD` put a number or
//! hostile text into one field of its messages, as a JSON pointer names it. Nothing of the caller's environment reaches it,
//! and it is confined as QEMU is. Proves nothing about any kernel.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::{Counts, Done, Hello, Level, Measured, Message, Nonce, Request, Timing, Trailer, Watch};
use rustix::process::{Resource, Rlimit, Signal, getpid, getppid, kill_process, prlimit};
use serde_json::Value;

/// What the test campaign demands.
const FAILURES: u64 = 8;
const CPUS: u64 = 4;

/// A base kernel of the test campaign is made of these: what the patch changes, unchanged.
const BASE: [&[u8]; 2] = [
    include_bytes!("../testdata/patch/base/mm/mmu_gather.c"),
    include_bytes!("../testdata/patch/base/include/asm-generic/tlb.h"),
];

/// Terminal sequences, bidirectional characters, noncharacters, XML, and lines that look like those of a report.
const HOSTILE: &str =
    "\u{1b}]0;t\u{7}\u{1b}[2J\u{9b}31m\u{202e}\u{2066}\u{fffe}\u{ffff}\0]]><&\r\n\nDoes it build? yes";

struct Line {
    args: Vec<String>,
}

/// The result channel. Frames lines itself, because the encoder takes only sound messages.
struct Channel {
    path: PathBuf,
    nonce: Nonce,
    sequence: u64,
}

impl Channel {
    fn send(&mut self, json: &str) {
        append(&self.path, self.frame(json).as_bytes());
        self.sequence += 1;
    }

    fn frame(&self, json: &str) -> String {
        format!("pp1 {} {} {:08x} {json}\n", self.nonce, self.sequence, crc32fast::hash(json.as_bytes()))
    }
}

impl Line {
    /// The value after the first argument `flag` that `pick` takes.
    fn value<T>(&self, flag: &str, pick: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.args.windows(2).filter(|pair| pair[0] == flag).find_map(|pair| pick(&pair[1]))
    }
}

fn main() {
    let line = Line { args: std::env::args().collect() };
    if line.args.iter().any(|arg| arg == "--version") {
        // Nobody may read it any more: the harness may have been killed.
        let _ = writeln!(std::io::stdout(), "QEMU emulator version 0 (stand-in)");
        return;
    }
    let fault = fault(&line);
    let console =
        line.value("-serial", |value| value.strip_prefix("file:").map(PathBuf::from)).expect("a console");
    let Some(results) = line.value("-chardev", |value| value.split("path=").nth(1).map(PathBuf::from)) else {
        // The accelerator's probe has no result channel.
        if fault == "kvm-is-dead" && line.args.iter().any(|arg| arg == "kvm") {
            sleep_forever();
        }
        say(&console, "Linux version 7.2.12 (stand-in)");
        say(&console, "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)");
        std::thread::sleep(Duration::from_secs(1));
        return;
    };
    monitor(&line);
    match fault.as_str() {
        "fails" => {
            eprintln!("qemu: a stand-in for trouble");
            std::process::exit(1);
        }
        "fails-hostile" => {
            eprintln!("qemu: {HOSTILE}");
            std::process::exit(1);
        }
        "says-nothing" => return,
        _ => say(&console, "Linux version 7.2.12 (stand-in)"),
    }
    // From here on only the patched arm is at fault.
    let kernel = line.value("-kernel", |value| std::fs::read(value).ok()).expect("a kernel");
    let patched = !BASE.iter().all(|file| kernel.windows(file.len()).any(|part| part == *file));
    let fault = if patched { fault } else { String::new() };
    if ends_before_init(&fault, &console) {
        return;
    }
    let nonce = line.value("-append", |value| {
        value.split(' ').find_map(|word| word.strip_prefix("patchproof.nonce=")?.parse::<Nonce>().ok())
    });
    let nonce = if fault == "wrong-nonce" { Nonce::from_bytes([7; 16]) } else { nonce.expect("a nonce") };
    let mut channel = Channel { path: results.clone(), nonce, sequence: 0 };
    let initramfs = line.value("-initrd", |value| std::fs::read(value).ok()).expect("an initramfs");
    for message in messages(&fault, patched, &request(&initramfs)) {
        let json = changed(&fault, &serde_json::to_value(&message).expect("plain data"));
        if fault == "results-cut" && matches!(message, Message::Trailer(_)) {
            let text = channel.frame(&json);
            append(&results, &text.as_bytes()[..text.len() / 2]);
            return;
        }
        channel.send(&json);
        match message {
            Message::Plan { .. } if fault == "garbage" => append(&results, b"\0\xff garbage\n"),
            Message::Plan { .. } => send_wrong(&fault, &mut channel, &json),
            Message::Begin { .. } if goes_wrong(&fault, &console, &results) => return,
            Message::Trailer(_) if fault == "panic-late" => {
                say(&console, "Kernel panic - not syncing: stand-in");
            }
            Message::Trailer(_) if fault == "stays" => sleep_forever(),
            Message::Trailer(_) if fault.starts_with("fills-disk ") => {
                limit_the_harness(fault["fills-disk ".len()..].parse().expect("a limit"));
            }
            _ => {}
        }
    }
}

/// What goes wrong here. `where:WORD FAULT` is of guests that have WORD on the kernel's command line, `second:FAULT` of each
/// second guest.
fn fault(line: &Line) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let does =
        std::env::split_paths(&path).find_map(|dir| std::fs::read_to_string(dir.join("qemu.does")).ok());
    let mut fault = does.unwrap_or_default();
    if let Some((word, there)) = fault.strip_prefix("where:").and_then(|rest| rest.split_once(' ')) {
        let is_there =
            line.value("-append", |value| value.split(' ').any(|other| other == word).then_some(()));
        fault = if is_there.is_some() { there.to_owned() } else { String::new() };
    }
    match fault.strip_prefix("second:") {
        Some(fault) if std::env::current_dir().is_ok_and(|dir| dir.ends_with("guest-2")) => fault.to_owned(),
        Some(_) => String::new(),
        None => fault,
    }
}

/// The request in the initramfs, which is not compressed.
fn request(initramfs: &[u8]) -> Request {
    let start = b"{\"scenarios\":";
    let at = initramfs.windows(start.len()).position(|bytes| bytes == start).expect("a request");
    let mut requests = serde_json::Deserializer::from_slice(&initramfs[at..]).into_iter::<Request>();
    requests.next().expect("a request").expect("a request")
}

/// QEMU goes on when a file of its own cannot be written, and so does this.
fn append(path: &Path, bytes: &[u8]) {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let _ = file.and_then(|mut file| file.write_all(bytes));
}

fn say(console: &Path, text: &str) {
    append(console, format!("[    0.000000][    T0] {text}\n").as_bytes());
}

fn ends_before_init(fault: &str, console: &Path) -> bool {
    match fault {
        "panic-early" => say(console, "Kernel panic - not syncing: stand-in"),
        "init-crashes" => {
            say(console, "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b");
        }
        // `-no-reboot` ends QEMU at the first restart.
        "triple-faults" => {}
        "boot-loops" => say(console, "reboot: Restarting system"),
        _ => return false,
    }
    true
}

/// `message`, with one number or text in it changed if that is the fault.
fn changed(fault: &str, message: &Value) -> String {
    const HERE: &str = "it goes here";
    let mut changed = message.clone();
    let number = fault.strip_prefix("number:").and_then(|rest| rest.split_once('='));
    let (pointer, new) = match (number, fault.strip_prefix("text:")) {
        (Some((pointer, number)), _) => (pointer, number.to_owned()),
        (None, Some(pointer)) => (pointer, Value::from(HOSTILE).to_string()),
        (None, None) => return message.to_string(),
    };
    if let Some(field) = changed.pointer_mut(pointer).filter(|field| !field.is_object()) {
        *field = Value::from(HERE);
    }
    // In the text, because JSON has numbers that `Value` has not.
    changed.to_string().replace(&Value::from(HERE).to_string(), &new)
}

/// Sends a malformed line.
fn send_wrong(fault: &str, channel: &mut Channel, last: &str) {
    match fault {
        "line-missing" => channel.sequence += 1,
        "line-twice" => {
            channel.sequence -= 1;
            channel.send(last);
        }
        "line-endless" => append(&channel.path, &[b'x'; 1 << 20]),
        "line-bad-checksum" => {
            let line = channel.frame(last).replace("plan", "PLAN");
            append(&channel.path, line.as_bytes());
        }
        "unknown-kind" => channel.send(r#"{"kind":"verdict","pass":true}"#),
        "nested" => channel.send(&"[".repeat(60_000)),
        "field-twice" => channel.send(r#"{"kind":"trailer","measured":1,"tainted":0,"tainted":0}"#),
        "plan-twice" => channel.send(last),
        "too-many-messages" => {
            (0..5000).for_each(|_| channel.send(r#"{"kind":"alive","scenario":"munmap"}"#))
        }
        "hostile-garbage" => append(&channel.path, HOSTILE.as_bytes()),
        _ => {}
    }
}

/// What happens while the scenario runs; says whether that was the guest's end.
fn goes_wrong(fault: &str, console: &Path, results: &Path) -> bool {
    match fault {
        "splat" => {
            say(console, "BUG: sleeping function called from invalid context at mm/mmu_gather.c:315");
            return false;
        }
        "splat-hostile" => {
            say(console, &format!("BUG: sleeping function called from invalid context at {HOSTILE}"));
            append(console, b"\xff\xfe\x1b[2J \x9b31m \xc2\x9b31m raw \xef\xbf\xbe bytes\n");
            return false;
        }
        "splat-numbers" => {
            say(
                console,
                "BUG: sleeping function called from invalid context at mm/mmu_gather.c:99999999999999999999",
            );
            say(console, " tlb_remove_table+0xffffffffffffffff/0xffffffffffffffff");
            say(console, "RIP: 0010:tlb_remove_table+0x1ffffffffffffffff/0x0");
            return false;
        }
        "hangs-hostile" => {
            say(console, &format!("last words: {HOSTILE}"));
            sleep_forever();
        }
        "panic" => say(console, "Kernel panic - not syncing: stand-in"),
        "exits" => {}
        "flood" => flood(results),
        "console-flood" => flood(console),
        "words-flood" => loop {
            let _ = std::io::stderr().write_all(&[b'x'; 1 << 16]);
        },
        "hangs" => sleep_forever(),
        "chatters" => loop {
            say(console, "still here");
            std::thread::sleep(Duration::from_millis(100));
        },
        "is-killed" => raise(Signal::KILL),
        "is-stopped" => raise(Signal::STOP),
        _ => return false,
    }
    true
}

fn flood(path: &Path) -> ! {
    loop {
        append(path, &[b'x'; 1 << 16]);
    }
}

/// Named so that a test sees it (Bench::wait_until_it_hangs).
fn sleep_forever() -> ! {
    rustix::thread::set_name(c"hangs").expect("a name");
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

fn raise(signal: Signal) {
    kill_process(getpid(), signal).expect("a signal to this process");
}

/// From now on no file of the harness grows beyond so many bytes. Only without a sandbox the harness can be reached.
fn limit_the_harness(bytes: u64) {
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    prlimit(getppid(), Resource::Fsize, limit).expect("the parent is the harness");
}

/// Answers as QEMU's monitor does, for one CPU whose frame pointer leads nowhere.
fn monitor(line: &Line) {
    let path = line.value("-qmp", |value| {
        value.strip_prefix("unix:").and_then(|rest| rest.split(',').next()).map(PathBuf::from)
    });
    let listener = UnixListener::bind(path.expect("a monitor")).expect("the monitor's socket");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let commands = BufReader::new(stream.try_clone().expect("a connection")).lines();
        let mut answer = |text: String| stream.write_all(text.as_bytes()).expect("a connection");
        answer("{\"QMP\": {}}\n".to_owned());
        for command in commands.map_while(Result::ok) {
            let registers = "\nCPU#0\r\nRBP=0000000000000000\r\nRIP=ffffffff81000010 RFL=00000002\r\n";
            let value = if command.contains("info registers") {
                serde_json::json!({"return": registers})
            } else {
                serde_json::json!({"return": {}})
            };
            answer(format!("{value}\n"));
        }
    });
}

fn messages(fault: &str, patched: bool, request: &Request) -> Vec<Message> {
    let asked: Vec<String> = request.scenarios.iter().map(|ask| ask.name.clone()).collect();
    let asked = asked.as_slice();
    let hello = Hello {
        kernel_release: "7.2.12".to_owned(),
        cpus_online: u32::try_from(CPUS).expect("small"),
        readings: [("/sys/expedited".to_owned(), 0)].into(),
        symbols: vec!["give_up".to_owned()],
    };
    let planned = if fault == "plans-less" { &asked[1..] } else { asked };
    let mut messages = vec![Message::Hello(hello), Message::Plan { scenarios: planned.to_vec() }];
    let run = match fault {
        "too-few-tests" => asked[1..].to_vec(),
        "test-twice" => [asked, &asked[..1]].concat(),
        "test-unasked" => [asked, &["unasked".to_owned()]].concat(),
        _ => asked.to_vec(),
    };
    for scenario in run.iter().cloned() {
        messages.push(Message::Begin { scenario: scenario.clone() });
        messages.push(match fault {
            "broken" => Message::Broken { scenario, why: "stand-in".to_owned() },
            "broken-hostile" => Message::Broken { scenario, why: HOSTILE.to_owned() },
            "never-begun" => Message::Measured {
                scenario: HOSTILE.to_owned(),
                measured: Box::new(measured(fault, patched, &request.watch)),
            },
            _ => Message::Measured { scenario, measured: Box::new(measured(fault, patched, &request.watch)) },
        });
    }
    let tainted = if fault == "taint" { 512 } else { 0 };
    if fault != "no-trailer" {
        let more = if fault == "trailer-counts-more" { 1 } else { 0 };
        let measured = u32::try_from(run.len()).expect("few") + more;
        messages.push(Message::Trailer(Trailer { measured, tainted }));
    }
    messages
}

fn measured(fault: &str, patched: bool, watch: &Watch) -> Measured {
    // Fields to be changed must not be empty.
    let full = fault.starts_with("number:") || fault.starts_with("text:");
    let timing = Timing {
        what: "munmap".to_owned(),
        forced: true,
        units: 1,
        samples: 8,
        min: 1,
        p25: 2,
        median: 3,
        p75: 4,
        p99: 5,
        max: 6,
    };
    let injected = if fault == "nothing-injected" { 0 } else { FAILURES };
    let counts = |happened: &[(&str, u64)]| {
        let mut counts = Counts::default();
        watch.events.iter().for_each(|event| counts.add(&event.name, 0));
        watch.sequences.iter().for_each(|sequence| counts.add(&sequence.name, 0));
        happened.iter().for_each(|(name, count)| counts.add(name, *count));
        counts
    };
    let forced = if patched && fault != "base-kept" {
        counts(&[("wait", injected), ("free", injected)])
    } else {
        counts(&[("send", injected), ("receive", injected * (CPUS - 1)), ("free", injected)])
    };
    let level = Level { before: 100, peak: 100 + FAILURES * 2, after: 100 };
    Measured {
        injected_in: Some("give_up".to_owned()),
        demanded: FAILURES,
        injected,
        bystanders: u32::try_from(CPUS - 1).expect("small"),
        quiet: counts(&[]),
        forced,
        levels: watch.gauges.iter().map(|gauge| (gauge.name.clone(), level)).collect(),
        rises: [("all".to_owned(), 0)].into(),
        set: if full { vec!["/sys/a".to_owned()] } else { Vec::new() },
        quiet_micros: 10,
        forced_micros: 1000,
        timings: if full { vec![timing] } else { Vec::new() },
        done: if full { vec![Done { what: "walks".to_owned(), count: 7 }] } else { Vec::new() },
        ..Measured::default()
    }
}
