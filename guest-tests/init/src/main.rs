//! PID 1 of the guest: mounts what the tests need, runs them one after another, reports each on the result
//! port, and ends the machine. It measures nothing itself and judges nothing.
//!
//! The tests are in the same program, which is one of them when it is started by its name ([`scenarios`]).
//!
//! Every failure here ends in a restart, which ends QEMU (`-no-reboot`); that a boot came to its planned end
//! is said by the trailer alone.

#![cfg_attr(not(test), no_main)]

mod child;
mod coverage;
mod hello;
mod leftovers;
mod machine;
mod port;
mod scenarios;

use std::time::{Duration, Instant};

use kit::settings::AsFound;
use kit::{cpu, files, kallsyms};
use protocol::{Answer, Ask, Message, Nonce, Order, Request, Trailer, Workload};

use crate::leftovers::Mounts;
use crate::port::Port;

/// How long one scenario may take before it and all its children are killed.
const SCENARIO_DEADLINE: Duration = Duration::from_secs(120);

/// The same for a workload, which kills itself when it has had [`Workload::SECS`], if it can.
const WORK_DEADLINE: Duration = Duration::from_secs(Workload::SECS + 5);

const INIT_PID: u32 = 1;

/// What the standard library does before `main` (std::rt) takes 20 ms of a boot on an emulated CPU, and every test would do
/// it again. So this is the `main` of the C library, which has handed the arguments to std::env by then. A closed pipe is
/// an error of `write`, as it is everywhere in Rust.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn main(_: libc::c_int, _: *const *const libc::c_char) -> libc::c_int {
    // SAFETY: takes no memory of ours, and no other thread is there yet.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    if std::process::id() == INIT_PID {
        be_init();
    }
    match scenarios::run() {
        Ok(()) => libc::EXIT_SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            libc::EXIT_FAILURE
        }
    }
}

fn be_init() -> ! {
    // Before this the kernel's own console, if it opened one, is where a panic would show.
    let outcome = machine::mount_all().and_then(|()| machine::take_console()).and_then(|()| run());
    if let Err(why) = outcome {
        eprintln!("{}{why}", protocol::INIT_SAYS);
        machine::wait_for_late_splats(Instant::now());
    }
    machine::drain_console();
    machine::restart();
}

fn run() -> Result<(), String> {
    let nonce: Nonce = machine::command_line_value(protocol::NONCE_KEY)?.parse()?;
    let request = files::read(protocol::REQUEST_PATH)?;
    let request: Request = serde_json::from_str(&request)
        .map_err(|error| format!("{} is not a request: {error}", protocol::REQUEST_PATH))?;
    machine::panic_when_broken(request.stall_secs, request.panic_on_warn)?;
    // First, because the port appears in the meantime.
    let kallsyms = kallsyms::load()?;
    let hello = hello::hello(&kallsyms, &request.watch)?;
    let mut port = Port::open(nonce)?;

    port.send(&Message::Hello(hello))?;
    let names = request.scenarios.iter().map(|ask| ask.name.clone()).collect();
    port.send(&Message::Plan { scenarios: names })?;
    let as_found = AsFound::read(request.scenarios.iter().flat_map(|ask| ask.set.keys()))?;
    // Where the tests bind themselves to: so they begin there, and their start and end wake no other CPU.
    cpu::pin_to(cpu::VICTIM_CPU)?;
    let mounts = Mounts::read()?;
    let mut measured = 0;
    let began = Instant::now();
    let time = request.time_secs.map(Duration::from_secs);
    for ask in request.scenarios {
        if ask.if_time && time.is_some_and(|time| began.elapsed() >= time) {
            continue;
        }
        as_found.restore()?;
        // What was counted before is what the boot has executed.
        if request.coverage && ask.work != Some(Workload::Boot) {
            coverage::reset()?;
        }
        let (scenario, is_work) = (ask.name.clone(), ask.work.is_some());
        let order = Order { ask, watch: request.watch.clone(), inject: request.inject };
        measured += u32::from(run_one(order, &mut port)?);
        if is_work {
            leftovers::remove(&mounts);
        }
        if request.coverage {
            coverage::send(&mut port, &scenario)?;
        }
    }
    let end = Instant::now();
    // Only now, because it takes the kernel time, which splats are waited for in any case. If this is not the kernel that
    // the tests took it for, they have shown nothing, and the boot does not come to its planned end.
    kallsyms::check(&kallsyms)?;
    machine::wait_for_late_splats(end);
    port.send(&Message::Trailer(Trailer { measured, tainted: machine::tainted()? }))
}

/// Says that it begins, and how it ended; true if it measured.
fn run_one(order: Order, port: &mut Port) -> Result<bool, String> {
    let scenario = order.ask.name.clone();
    port.send(&Message::Begin { scenario: scenario.clone() })?;
    if order.ask.exclusive {
        std::thread::sleep(protocol::EXCLUSIVE_AFTER);
    }
    let alive = || port.send(&Message::Alive { scenario: scenario.clone() });
    match child::run(&order, deadline(&order.ask), alive) {
        Answer::Measured(result) => {
            port.send(&Message::Measured { scenario, measured: result })?;
            Ok(true)
        }
        Answer::Broken(why) => {
            port.send(&Message::Broken { scenario, why })?;
            Ok(false)
        }
    }
}

fn deadline(ask: &Ask) -> Duration {
    let longest = match &ask.work {
        // The last attempt may take as long as the workload itself.
        Some(Workload::Sweep(sweep)) => WORK_DEADLINE + Duration::from_secs(sweep.secs),
        Some(_) => WORK_DEADLINE,
        None => SCENARIO_DEADLINE + Duration::from_secs(ask.secs),
    };
    ask.within_secs.map_or(longest, |secs| longest.min(Duration::from_secs(secs)))
}
