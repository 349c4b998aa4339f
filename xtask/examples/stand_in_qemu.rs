//! A stand-in for QEMU in the tests of failure handling: it says on console and result channel what a sound
//! guest would say, with one thing wrong if `STAND_IN_QEMU` asks for it. Proves nothing about any kernel.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use protocol::{Counts, Encoder, Hello, Measured, Message, Nonce, PageTables, Trailer};

/// What the test campaign demands.
const FALLBACKS: u64 = 8;
const CPUS: u64 = 4;

struct Line {
    args: Vec<String>,
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
        println!("QEMU emulator version 0 (stand-in)");
        return;
    }
    let fault = std::env::var("STAND_IN_QEMU").unwrap_or_default();
    let console =
        line.value("-serial", |value| value.strip_prefix("file:").map(PathBuf::from)).expect("a console");
    let say = |text: &str| {
        let mut file = OpenOptions::new().create(true).append(true).open(&console).expect("the console");
        writeln!(file, "[    0.000000][    T0] {text}").expect("the console");
    };
    let Some(results) = line.value("-chardev", |value| value.split("path=").nth(1).map(PathBuf::from)) else {
        // The accelerator's probe has no result channel.
        say("Linux version 7.2.12 (stand-in)");
        say("Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)");
        std::thread::sleep(Duration::from_secs(1));
        return;
    };
    let kernel = line.value("-kernel", |value| Some(value.to_owned())).expect("a kernel");
    let patched = !kernel.contains("/base/");
    match fault.as_str() {
        "fails" => {
            eprintln!("qemu: a stand-in for trouble");
            std::process::exit(1);
        }
        "says-nothing" => return,
        _ => say("Linux version 7.2.12 (stand-in)"),
    }
    // From here on only the patched arm is at fault.
    let fault = if patched { fault } else { String::new() };
    let nonce = line.value("-append", |value| {
        value.split(' ').find_map(|word| word.strip_prefix("patchproof.nonce=")?.parse::<Nonce>().ok())
    });
    let nonce = if fault == "wrong-nonce" { Nonce::from_bytes([7; 16]) } else { nonce.expect("a nonce") };
    let mut file = OpenOptions::new().create(true).append(true).open(results).expect("the results");
    let mut encoder = Encoder::new(nonce);
    for message in messages(&fault, patched) {
        file.write_all(encoder.encode(&message).as_bytes()).expect("the results");
        match (&message, fault.as_str()) {
            (Message::Plan { .. }, "garbage") => file.write_all(b"\0\xff garbage\n").expect("the results"),
            (Message::Begin { .. }, "splat") => {
                say("BUG: sleeping function called from invalid context at mm/mmu_gather.c:315");
            }
            (Message::Begin { .. }, "panic") => {
                say("Kernel panic - not syncing: stand-in");
                return;
            }
            (Message::Begin { .. }, "exits") => return,
            (Message::Begin { .. }, "flood") => loop {
                if file.write_all(&[b'x'; 1 << 16]).is_err() {
                    return;
                }
            },
            (Message::Trailer(_), "panic-late") => say("Kernel panic - not syncing: stand-in"),
            _ => {}
        }
    }
}

fn messages(fault: &str, patched: bool) -> Vec<Message> {
    let hello = Hello {
        kernel_release: "7.2.12".to_owned(),
        cpus_online: u32::try_from(CPUS).expect("small"),
        rcu_expedited: 0,
        symbols: vec!["tlb_remove_table".to_owned()],
    };
    let scenario = "munmap".to_owned();
    let mut messages = vec![Message::Hello(hello), Message::Plan { scenarios: vec![scenario.clone()] }];
    if fault != "too-few-tests" {
        messages.push(Message::Begin { scenario: scenario.clone() });
        messages.push(match fault {
            "broken" => Message::Broken { scenario, why: "stand-in".to_owned() },
            _ => Message::Measured { scenario, measured: measured(fault, patched) },
        });
    }
    let tainted = if fault == "taint" { 512 } else { 0 };
    if fault != "no-trailer" {
        messages.push(Message::Trailer(Trailer { measured: 1, tainted }));
    }
    messages
}

fn measured(fault: &str, patched: bool) -> Measured {
    let injected = if fault == "nothing-injected" { 0 } else { FALLBACKS };
    let forced = if patched && fault != "ipi-kept" {
        Counts { rcu_sync: injected, direct_frees: injected, ..Counts::default() }
    } else {
        Counts {
            ipi: injected,
            bystander_ipis: injected * (CPUS - 1),
            direct_frees: injected,
            ..Counts::default()
        }
    };
    Measured {
        injected_in: "tlb_remove_table".to_owned(),
        demanded: FALLBACKS,
        injected,
        quiet: Counts::default(),
        forced,
        page_tables: PageTables { before: 100, peak: 100 + FALLBACKS * 2, after: 100 },
        lost_events: 0,
        cross_calls: vec![0; 4],
        quiet_micros: 10,
        forced_micros: 1000,
    }
}
