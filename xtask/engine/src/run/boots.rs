//! Boots kernels as they come, or takes from the record what is asked for from there.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use protocol::{Ask, Request};

use super::queue::Queue;
use super::{Run, Shared, locked};
use crate::boot::probe::{self, Choice, Wish};
use crate::boot::qemu::Machine;
use crate::build::guest::Binaries;
use crate::cache::{Cache, Recorded};
use crate::campaign::plan::{Arm, Cell};
use crate::campaign::{Scenario, Suite};
use crate::host;
use crate::host::accel::Accel;
use crate::observe::events::{Event, Stage};
use crate::observe::{Boot, GuestEnd, Ran};
use crate::subject::control::WantedSignal;
use console::Splat;
use failure::{Context, Exit, Failure, Result};

/// The shortest time that the kernel takes for a stall.
const STALL_SECS: u32 = 3;

/// What a boot needs but for the kernel.
pub(super) struct Prepared<'a> {
    pub machine: Machine<'static>,
    /// All of it, whoever is asked.
    pub request: Request,
    pub binaries: &'a Binaries,
}

/// An emulated CPU may run into the breakpoint by which the kernel patches its own text (arch/x86/kernel/alternative.c,
/// smp_text_poke_batch_finish()) when that is over, and the kernel then dies of it: 7.2 in sched_clock_idle_wakeup_event(), just
/// as sched_clock_init_late() had switched its key, at one boot of ten. Before the first word of the guest it says nothing about
/// the kernel unless it comes again.
fn died_of_a_breakpoint(ran: &Ran) -> bool {
    ran.accel == Accel::Tcg.name() && ran.hello.is_none() && ran.splats.iter().any(Splat::is_breakpoint)
}

impl Run<'_> {
    pub(super) fn boot_all(&self, queue: &Queue, shared: &Shared) {
        while let Some(index) = queue.next() {
            if shared.stopped() {
                continue;
            }
            if let Err(failure) = self.boot_cell(index, shared) {
                shared.end(failure);
            }
        }
    }

    fn boot_cell(&self, index: usize, shared: &Shared) -> Result<()> {
        let cell = &self.cells[index];
        self.stage(cell, Stage::Boot);
        let dir = self.dir.cell(cell)?;
        self.first_boot(index, &dir, shared)?;
        let repeats = if cell.arm.judged() { self.repeat } else { 1 };
        for number in 2..=repeats {
            if shared.stopped() {
                break;
            }
            let what = format!("boot {number} of {repeats}");
            self.events.send(Event::Doing { cell: cell.id(), what });
            let again = dir.join(format!("boot-{number}"));
            std::fs::create_dir_all(&again).or_infra(|| format!("make {}", again.display()))?;
            let boot = match self.prepare(cell, &dir, shared)? {
                Ok(prepared) => self.boot_once(cell, &prepared, &dir, &again)?,
                Err(why) => Boot::Infra { why },
            };
            locked(&shared.evidence)[index].repeats.push(boot);
        }
        self.finished(index, shared);
        Ok(())
    }

    /// The boot of a cell, or what is on record of one if that is asked for.
    fn first_boot(&self, index: usize, dir: &Path, shared: &Shared) -> Result<()> {
        let cell = &self.cells[index];
        let prepared = match self.prepare(cell, dir, shared)? {
            Ok(prepared) => prepared,
            Err(why) => {
                locked(&shared.evidence)[index].boot = Boot::Infra { why };
                return Ok(());
            }
        };
        let key = || self.boot_key(dir, cell, &prepared);
        let cache = Cache::new(self.project.cache());
        let asked = self.recorded.then(key).transpose()?;
        if let Some(known) = asked.as_ref().and_then(|key| cache.boot(key)) {
            let evidence = &mut locked(&shared.evidence)[index];
            evidence.boot = known.boot;
            evidence.recorded = Some(known.date);
            return Ok(());
        }
        locked(&shared.evidence)[index].boot_start_secs = Some(self.dir.secs());
        // Nobody waits for a digest: it is made beside the boot.
        let (boot, key) = std::thread::scope(|scope| {
            let key = scope.spawn(|| asked.map_or_else(key, Ok));
            let boot = self.boot_once(cell, &prepared, dir, dir);
            (boot, key.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let (mut boot, key) = (boot?, key?);
        if matches!(&boot, Boot::Ran(ran) if died_of_a_breakpoint(ran)) {
            let why =
                "an emulated guest died of a breakpoint while its kernel patched itself: booted once more";
            self.events.note(format!("{}: {why}", cell.id()));
            boot = self.boot_once(cell, &prepared, dir, dir)?;
        }
        // One that was given up says more about this hour than about the kernel.
        if matches!(&boot, Boot::Ran(ran) if ran.end == GuestEnd::QemuExited) {
            let date = self.dir.started.clone();
            cache.record(&key, &Recorded { date, boot: boot.clone() })?;
        }
        locked(&shared.evidence)[index].boot = boot;
        Ok(())
    }

    /// Everything that a boot of the kernel in `dir` needs; or why there can be none.
    fn prepare<'a>(
        &self,
        cell: &Cell,
        dir: &Path,
        shared: &'a Shared,
    ) -> Result<Result<Prepared<'a>, String>> {
        let kernel = dir.join(cell.arch.kept());
        let choice = match self.accelerator(cell, &kernel, shared) {
            Ok(choice) => choice,
            // Without the accelerator that was asked for by name there is no run at all. Otherwise it may be
            // this kernel that does not boot, and the next one may prove the accelerator.
            Err(failure) if self.wish == Wish::Kvm || failure.exit == Exit::Interrupted => {
                return Err(failure);
            }
            Err(failure) => return Ok(Err(failure.to_string().replace('\n', ";"))),
        };
        let request = Request {
            scenarios: cell.scenarios.iter().map(|scenario| self.ask(cell, scenario)).collect(),
            watch: self.subject.watch(),
            inject: self.inject,
            // A planted deadlock is as good as caught: nobody waits for the kernel's own 21 s, or for silence.
            stall_secs: matches!(cell.arm, Arm::Control(_) | Arm::Mutant(_) | Arm::NoMutant)
                .then_some(STALL_SECS),
            panic_on_warn: matches!(&cell.arm, Arm::Control(c) if matches!(c.signal, WantedSignal::Splat { .. })),
            coverage: cell.arm.counts(),
            time_secs: self.counting_time(cell).map(|time| time.as_secs()),
        };
        let guests = shared.guests.get_or_init(self.guests).as_ref().map_err(Failure::clone)?;
        let binaries = guests
            .get(cell.arch.rust_target)
            .ok_or_else(|| Failure::internal(format!("no guest was built for {}", cell.arch.name)))?;
        let machine = Machine {
            arch: cell.arch,
            accel: choice.accel,
            cpus: cell.cpus(),
            in_turn: cell.variant.cpus_in_turn,
            memory_mib: cell.memory_mib(),
            tsc_mhz: host::tsc_mhz(),
        };
        Ok(Ok(Prepared { machine, request, binaries }))
    }

    /// What the workloads of a kernel that counts may take. Those that are about the patch come first and get a third of it: what is
    /// left over is tried again where a hunk was not executed.
    fn counting_time(&self, cell: &Cell) -> Option<Duration> {
        match cell.arm {
            Arm::Coverage => Some(self.workload_time / 3),
            Arm::CoverageRest => Some(self.workload_time),
            _ => None,
        }
    }

    fn ask(&self, cell: &Cell, scenario: &Scenario) -> Ask {
        let secs = if scenario.suite == Suite::Soak { self.soak.as_secs() } else { 0 };
        let is_planted = matches!(cell.arm, Arm::Mutant(_) | Arm::NoMutant);
        let exclusive = scenario.exclusive && self.is_compared(cell);
        Ask {
            name: scenario.name.clone(),
            demand: scenario.demand.number(),
            inject: scenario.inject.as_ref().and_then(|name| self.subject.injection(name)),
            set: if scenario.as_booted { BTreeMap::new() } else { self.subject.set.clone() },
            secs,
            exclusive,
            work: scenario.work().cloned(),
            // Judged kernels were asked for what is to be compared, all of it.
            if_time: cell.arm.counts() && (scenario.is_sweep() || !scenario.is_always_run()),
            within_secs: self.within_secs.get(&scenario.name).copied().filter(|_| is_planted),
        }
    }

    /// What its times are held against is in this run: those of one arm say nothing.
    fn is_compared(&self, cell: &Cell) -> bool {
        let pair = cell.pair_id();
        let is_other = |other: &Cell| {
            other.arm.judged()
                && other.pair_id() == pair
                && (other.arm == Arm::Base) != (cell.arm == Arm::Base)
        };
        cell.arm.judged() && self.cells.iter().any(is_other)
    }

    /// Chosen once a kernel is there to prove it with; the other booters wait.
    fn accelerator(&self, cell: &Cell, kernel: &Path, shared: &Shared) -> Result<Choice> {
        let mut accels = locked(&shared.accels);
        if let Some(choice) = accels.get(cell.arch.name) {
            return Ok(choice.clone());
        }
        self.events.send(Event::Doing { cell: cell.id(), what: "which accelerator boots it".to_owned() });
        let memory = self.project.accel_memory();
        let choice = probe::choose(
            &self.sandbox,
            self.wish,
            cell.arch,
            kernel,
            &memory,
            &self.project.work().join("accel"),
        )?;
        let (name, arch) = (choice.accel.name(), cell.arch.name);
        self.events.note(format!("accelerator for {arch}: {name} ({})", choice.reason));
        accels.insert(arch, choice.clone());
        Ok(choice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breakpoint_counts_as_the_emulators_before_the_guests_first_word_alone() {
        let ran = |headline: &str, accel: &str, hello: serde_json::Value| -> Ran {
            let splat =
                serde_json::json!({"kind": "oops", "headline": headline, "location": null, "text": []});
            serde_json::from_value(serde_json::json!({
                "accel": accel, "guests": 1, "secs": 1.0, "boot_secs": null, "test_secs": null, "end": "qemu_exited",
                "qemu_said": null, "kernel_spoke": true, "hello": hello, "planned": [], "scenarios": [], "trailer": null,
                "rejects": [], "splats": [splat], "splats_total": 1, "last_lines": [],
                "watched": {"silence_secs": 0.0, "deadline_secs": 0.0, "cpus": []},
            }))
            .unwrap()
        };
        let (breakpoint, nothing) = ("Oops: int3: 0000 [#1] SMP", serde_json::Value::Null);
        let hello =
            serde_json::json!({"kernel_release": "7.2", "cpus_online": 4, "readings": {}, "symbols": []});
        assert!(died_of_a_breakpoint(&ran(breakpoint, "tcg", nothing.clone())));
        assert!(!died_of_a_breakpoint(&ran(breakpoint, "tcg", hello)));
        assert!(!died_of_a_breakpoint(&ran(breakpoint, "kvm", nothing.clone())));
        assert!(!died_of_a_breakpoint(&ran("Oops: general protection fault", "tcg", nothing)));
    }
}
