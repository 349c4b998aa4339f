//! One boot of a cell: one guest, or several that run the same kernel at the same time, each with a shard of the guest
//! tests. Prepares their directories and starts them; what they saw counts as one boot (crate::observe).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::{Nonce, Request};

use super::Run;
use super::boots::Prepared;
use crate::boot::coverage::Notes;
use crate::boot::qemu::{self, GuestFiles, Machine};
use crate::boot::{self, Guest, HasSpoken};
use crate::build;
use crate::cache::seal::random;
use crate::campaign::plan::Cell;
use crate::host::accel::Accel;
use crate::host::disk::write_whole;
use crate::host::sandbox::{Access, View};
use crate::observe::events::Event;
use crate::observe::{Boot, Coverage};
use crate::run::build_dirs;
use console::Splat;
use failure::{Context, Failure, Result};

/// One guest.
pub(super) struct Shard {
    request: Request,
    pub nonce: Nonce,
    /// Where its QEMU is started, below the cell's directory; empty: there.
    pub place: PathBuf,
    /// Where its console and its results go.
    logs: PathBuf,
    /// What stands before its progress, so that several are told from each other.
    who: String,
}

impl Run<'_> {
    /// Boots the kernel of the cell in `dir`; what it says goes to `logs`.
    pub(super) fn boot_once(
        &self,
        cell: &Cell,
        prepared: &Prepared<'_>,
        dir: &Path,
        logs: &Path,
    ) -> Result<Boot> {
        let shards = self.shards(prepared, dir, logs)?;
        self.write_repro(cell, dir, prepared.machine, &shards)?;
        let boots: Result<Vec<Boot>> = std::thread::scope(|scope| {
            let start = |shard| scope.spawn(move || self.boot_shard(cell, prepared, dir, shard));
            let started: Vec<_> = shards.iter().map(start).collect();
            let ended = |guest: std::thread::ScopedJoinHandle<'_, Result<Boot>>| {
                guest.join().unwrap_or_else(|_| Err(Failure::internal("the thread of a guest panicked")))
            };
            started.into_iter().map(ended).collect()
        });
        boots.map(Boot::merge)
    }

    /// The guests of one boot, each with what it needs in its place.
    fn shards(&self, prepared: &Prepared<'_>, dir: &Path, logs: &Path) -> Result<Vec<Shard>> {
        let guests = build_dirs::guests_each(self.jobs, self.cells.len(), prepared.request.scenarios.len());
        // Many boots of one kernel are told from each other: one guest is one boot.
        let guests = if self.repeat > 1 { 1 } else { guests };
        let whole = &prepared.request;
        let shard = |index: usize| {
            // In turn, because tests that take long stand beside each other in a campaign.
            let scenarios = whole.scenarios.iter().skip(index).step_by(guests).cloned().collect();
            let request = Request { scenarios, ..whole.clone() };
            let first = index == 0;
            let place = if first { PathBuf::new() } else { PathBuf::from(format!("guest-{}", index + 1)) };
            let home = dir.join(&place);
            std::fs::create_dir_all(&home).or_infra(|| format!("make {}", home.display()))?;
            let initramfs = prepared.binaries.initramfs(&request, &dir.join(build::KALLSYMS))?;
            write_whole(&home.join(INITRAMFS), &initramfs)?;
            let logs = if first { logs.to_owned() } else { home };
            let who = if guests > 1 { format!("guest {}: ", index + 1) } else { String::new() };
            Ok(Shard { request, nonce: fresh_nonce()?, place, logs, who })
        };
        (0..guests).map(shard).collect()
    }

    /// What the guest may take beside the time of any boot. Those that run workloads later do not run more than was counted.
    fn longer(&self, request: &Request) -> Duration {
        let soak: Duration = request.scenarios.iter().map(|ask| Duration::from_secs(ask.secs)).sum();
        let works = request.scenarios.iter().any(|ask| ask.work.is_some());
        soak + if works { self.workload_time } else { Duration::ZERO }
    }

    fn boot_shard(&self, cell: &Cell, prepared: &Prepared<'_>, dir: &Path, shard: &Shard) -> Result<Boot> {
        let home = dir.join(&shard.place);
        let (console, results) = (shard.logs.join(CONSOLE), shard.logs.join(RESULTS));
        let machine = prepared.machine;
        let logs = shard.logs.strip_prefix(&home).unwrap_or(&shard.logs);
        let command = shard.command(cell, machine, &logs.join(CONSOLE), &logs.join(RESULTS));
        let view = shard.view(dir, machine, [&console, &results]);
        let log = shard.logs.join("qemu.log");
        let exclusive: Vec<&str> =
            shard.request.scenarios.iter().filter(|ask| ask.exclusive).map(|ask| ask.name.as_str()).collect();
        let known = notes_of(cell, dir)?;
        let notes =
            known.as_ref().map(|notes| Notes { notes, touched: &self.counted, tools: cell.arch.prefix() });
        // Where nobody asks, what was counted is made lines of once, at the end.
        let enough = self.enough.map(|enough| move |new: Vec<Coverage>| enough(cell, new));
        let has_spoken = self.has_spoken.map(|spoke| move |splats: &[Splat]| spoke(cell, splats));
        let guest = Guest {
            sandbox: &self.sandbox,
            view: &view,
            command: &command,
            dir: &home,
            symbols: &dir.join(build::SYMBOLS),
            tools: cell.arch.prefix(),
            console: &console,
            results: &results,
            log: &log,
            nonce: &shard.nonce,
            accel: machine.accel,
            longer: self.longer(&shard.request),
            exclusive: &exclusive,
            notes,
            enough: enough.as_ref().map(|enough| enough as &dyn Fn(Vec<Coverage>) -> bool),
            has_spoken: has_spoken.as_ref().map(|spoke| spoke as HasSpoken<'_>),
        };
        boot::boot(&guest, |what| {
            self.events.send(Event::Doing { cell: cell.id(), what: format!("{}{what}", shard.who) });
        })
    }
}

impl Shard {
    /// QEMU's command. All names are relative to where it starts, so that no character of a path can mean anything to it.
    pub(super) fn command(
        &self,
        cell: &Cell,
        machine: Machine<'_>,
        console: &Path,
        results: &Path,
    ) -> Vec<String> {
        // Back from where it is started to the kernel, which is the cell's.
        let kernel: PathBuf = self.place.components().map(|_| "..").chain([cell.arch.kept()]).collect();
        let files = GuestFiles { kernel: &kernel, initramfs: Path::new(INITRAMFS), console, results };
        qemu::command(machine, files, &self.nonce.to_string(), &cell.variant.arguments)
    }

    /// What QEMU sees: the cell in `dir`, of which it can write the files in `written` and the monitor's directory.
    pub(super) fn view(&self, dir: &Path, machine: Machine<'_>, written: [&Path; 2]) -> View {
        let home = if self.place.as_os_str().is_empty() { dir.to_owned() } else { dir.join(&self.place) };
        let inside = |path: &Path| Path::new("cell").join(path.strip_prefix(dir).unwrap_or(path));
        let monitor = home.join(qemu::MONITOR_DIR);
        let mut view = View::default().show(dir, Path::new("cell"), Access::Read);
        for path in [written[0], written[1], &monitor] {
            view = view.show(path, &inside(path), Access::Write);
        }
        if machine.accel == Accel::Kvm {
            view = view.device(Path::new("/dev/kvm"));
        }
        view.start_in(&home)
    }
}

/// What gcov has to know of the kernel in `dir`, if it counts its lines.
fn notes_of(cell: &Cell, dir: &Path) -> Result<Option<BTreeMap<String, String>>> {
    if !cell.arm.counts() {
        return Ok(None);
    }
    let path = dir.join(build::NOTES);
    let json = std::fs::read(&path).or_infra(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&json).or_infra(|| format!("read {}", path.display())).map(Some)
}

/// In the directory of its logs.
const CONSOLE: &str = "console.log";
const RESULTS: &str = "results.log";

/// In the directory in which QEMU is started.
const INITRAMFS: &str = "initramfs.cpio";

fn fresh_nonce() -> Result<Nonce> {
    let mut bytes = [0; 16];
    random(&mut bytes).or_infra(|| "get random bytes for a nonce".to_owned())?;
    Ok(Nonce::from_bytes(bytes))
}
