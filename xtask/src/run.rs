//! The straight line of one run: each cell is built, then booted while others are built. Emits events and collects
//! evidence; judges nothing.

mod known;
mod queue;
mod workshop;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use protocol::{Ask, Nonce, Request};

use crate::accel::{self, Choice, Wish};
use crate::arms::Arms;
use crate::boot::{self, Guest};
use crate::build::{self, Ccache, Job, Tail};
use crate::cache::{Cache, Recorded};
use crate::config::{Scenario, Suite};
use crate::control::Exposure;
use crate::events::{Event, Events, Stage};
use crate::evidence::{Boot, Build, Built, Evidence, GuestEnd};
use crate::failure::{Context, Exit, Failure, Result};
use crate::guest::Binaries;
use crate::kconfig;
use crate::lanes::{self, Lane};
use crate::plan::{Arm, Cell};
use crate::process::Watch;
use crate::project::Project;
use crate::qemu::{self, Files, Machine};
use crate::rundir::{RunDir, make_executable, write_whole};
use crate::source::files::Changes;
use crate::source::lane;
use crate::source::worktree::WorkTree;
use queue::{Builder, Queue};
use workshop::{Start, Workshop};

/// The shortest time that the kernel takes for a stall.
const STALL_SECS: u32 = 3;

/// A tree that is ready: its lanes can be set to any arm.
pub struct ReadyTree {
    pub work: WorkTree,
    pub arms: Arms,
}

/// Everything a run needs, decided before it starts.
pub struct Run<'a> {
    pub project: &'a Project,
    pub dir: &'a RunDir,
    pub cells: &'a [Cell],
    pub trees: BTreeMap<String, ReadyTree>,
    /// What each variant asks for, by its id.
    pub requests: BTreeMap<String, Vec<kconfig::Request>>,
    /// Makes the guest programs of every architecture, by target.
    pub guests: &'a (dyn Fn() -> Result<BTreeMap<&'static str, Binaries>> + Sync),
    pub wish: Wish,
    pub jobs: usize,
    pub ccache: Option<Ccache>,
    pub fail_fast: bool,
    /// Boots of each cell but the controls.
    pub repeat: u32,
    /// How long the scenarios of a soak go on.
    pub soak: Duration,
    /// Whether a boot of the same kernel, guest and machine that is on record may stand for another one.
    pub recorded: bool,
    /// Whether a kernel that was built before is built again.
    pub rebuild: bool,
    /// False only in the test that a run without failures comes out vacuous.
    pub inject: bool,
    pub events: Events,
    /// Says of a cell's evidence whether it is as it should be, and puts it in a line.
    pub look: &'a (dyn Fn(&Cell, &Evidence) -> (bool, String) + Sync),
    /// What follows `cargo xtask matrix` to repeat one cell.
    pub repeat_args: Vec<String>,
}

/// What a run brought.
pub struct Gathered {
    /// By index of the cell.
    pub evidence: Vec<Evidence>,
    /// By architecture.
    pub accels: BTreeMap<&'static str, Choice>,
    /// How long the guest programs took to make.
    pub guests_secs: f64,
    /// What ended it early.
    pub ended: Option<Failure>,
}

/// What a boot needs but for the kernel.
struct Prepared {
    machine: Machine<'static>,
    request: Request,
    initramfs: Vec<u8>,
}

/// What builder and booters share.
struct Shared {
    evidence: Mutex<Vec<Evidence>>,
    accels: Mutex<BTreeMap<&'static str, Choice>>,
    ended: Mutex<Option<Failure>>,
    /// Made while the first kernel is compiled; whoever needs them earlier waits.
    guests: OnceLock<Result<BTreeMap<&'static str, Binaries>>>,
    /// Of one make.
    jobs: usize,
    stop: AtomicBool,
}

impl Shared {
    fn end(&self, failure: Failure) {
        locked(&self.ended).get_or_insert(failure);
        self.stop.store(true, Ordering::SeqCst);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

/// A panic of another thread is reported by itself; what it left is still worth reading.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Run<'_> {
    /// Builds and boots every cell.
    pub fn go(self) -> Gathered {
        let lanes = lanes::lanes(self.cells, lanes::builders(self.jobs));
        let shared = Shared {
            evidence: Mutex::new(vec![Evidence::default(); self.cells.len()]),
            accels: Mutex::default(),
            ended: Mutex::new(None),
            guests: OnceLock::new(),
            jobs: lanes::jobs_each(self.jobs, lanes.len()),
            stop: AtomicBool::new(false),
        };
        let workshop = self.workshop(&lanes);
        let waiting = Mutex::new(lanes.iter().collect::<VecDeque<&Lane>>());
        let queue = Queue::new(lanes::boot_ranks(self.cells));
        let builders: Vec<Builder> = (0..lanes::builders(self.jobs)).map(|_| queue.builder()).collect();
        let run = &self;
        let guests_secs = std::thread::scope(|scope| {
            let guests = scope.spawn(|| {
                let making = Instant::now();
                if let Err(failure) = shared.guests.get_or_init(run.guests) {
                    shared.end(failure.clone());
                }
                making.elapsed().as_secs_f64()
            });
            for _ in 0..lanes::booters(self.jobs) {
                scope.spawn(|| run.boot_all(&queue, &shared));
            }
            for builder in builders {
                let (shared, workshop, waiting, queue) = (&shared, &workshop, &waiting, &queue);
                scope.spawn(move || {
                    let next = || locked(waiting).pop_front();
                    while let Some(lane) = next() {
                        run.build_all(lane, workshop, &builder, shared);
                        workshop.over(&workshop::key(lane));
                    }
                    // Nothing is left to build: the cores are the guests'.
                    drop(builder);
                    run.boot_all(queue, shared);
                });
            }
            guests.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        Gathered {
            evidence: shared.evidence.into_inner().unwrap_or_else(PoisonError::into_inner),
            accels: shared.accels.into_inner().unwrap_or_else(PoisonError::into_inner),
            guests_secs,
            ended: shared.ended.into_inner().unwrap_or_else(PoisonError::into_inner),
        }
    }

    fn stage(&self, cell: &Cell, stage: Stage) {
        self.events.send(Event::Stage { cell: cell.id(), stage });
    }

    /// The lanes of this run, and those that others left, with whether there is something to build from.
    fn workshop(&self, lanes: &[Lane]) -> Workshop {
        let mut known = BTreeMap::new();
        for lane in lanes {
            let Some(tree) = self.trees.get(&lane.tree) else { continue };
            let all = self.project.lanes(&lane.tree, tree.work.home());
            let of_arch = format!("{}-", lane.arch);
            let entries = std::fs::read_dir(&all).into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            for name in names.filter(|name| name.starts_with(&of_arch)).chain([lane.name.clone()]) {
                let usable = build::is_usable(&lane::objects_in(&all.join(&name)), tree.work.incarnation());
                known.insert((lane.tree.clone(), lane.arch, name), usable);
            }
        }
        Workshop::new(known, lanes.iter().map(workshop::key).collect())
    }

    /// Builds the cells of one lane.
    fn build_all(&self, lane: &Lane, workshop: &Workshop, builder: &Builder<'_>, shared: &Shared) {
        for &index in &lane.cells {
            if shared.stopped() {
                return;
            }
            match self.build_one(index, lane, workshop, shared) {
                Ok(evidence @ Build::Built(_)) => {
                    locked(&shared.evidence)[index].build = evidence;
                    self.stage(&self.cells[index], Stage::WaitsForBoot);
                    builder.built(index);
                }
                Ok(other) => {
                    locked(&shared.evidence)[index].build = other;
                    self.finished(index, shared);
                }
                Err(failure) => shared.end(failure),
            }
        }
    }

    fn build_one(&self, index: usize, lane: &Lane, workshop: &Workshop, shared: &Shared) -> Result<Build> {
        let cell = &self.cells[index];
        let cell_dir = self.dir.cell(cell)?;
        let tree = self.trees.get(&cell.tree).ok_or_else(|| {
            Failure::internal(format!("{} was planned on a tree that is not ready", cell.id()))
        })?;
        let changes = match tree.arms.changes.get(&cell.id()) {
            Some(Ok(changes)) => changes,
            Some(Err(why)) => return Ok(Build::Infra { why: why.clone() }),
            None => return Err(Failure::internal(format!("{} has no source", cell.id()))),
        };
        let requests = self
            .requests
            .get(&cell.variant.id())
            .ok_or_else(|| Failure::internal(format!("{} has no fragments", cell.id())))?;
        let home = self.lane_home(lane, tree);
        let job = Job {
            tree: &lane::tree_in(&home),
            incarnation: tree.work.incarnation(),
            objects: &lane::objects_in(&home),
            arch: cell.arch,
            requests,
            jobs: shared.jobs,
            ccache: self.ccache.as_ref(),
            cell_dir: &cell_dir,
            kconfig: &kconfig_files(changes),
            touched: &tree.arms.touched,
            keep_code: cell.arm.judged(),
        };
        let key = self.kernel_key(&job, tree, changes)?;
        let cache = Cache::new(self.project.cache());
        if let Some(known) = self.known_build(&cache, &key, &cell_dir) {
            return Ok(known);
        }
        self.stage(cell, Stage::WaitsForLane);
        let place = workshop::key(lane);
        let start = workshop.enter(&place);
        self.stage(cell, Stage::Build);
        let building = Instant::now();
        let build = self.build_in(&start, workshop, &job, tree, changes, |tail: Option<&Tail>| {
            if let Some(tail) = tail {
                let what = format!("{} ({} objects)", tail.last, tail.objects);
                self.events.send(Event::Doing { cell: cell.id(), what });
            }
            if shared.stopped() { Watch::Stop } else { Watch::Continue }
        });
        workshop.leave(&place, build::is_usable(job.objects, job.incarnation));
        locked(&shared.evidence)[index].build_secs = Some(building.elapsed().as_secs_f64());
        let build = build?;
        if matches!(build, Build::Built(_) | Build::CompileError(_)) {
            let kept = [cell.arch.kept(), build::SYMBOLS, "config", "requested.config", "build.log"];
            cache.keep_kernel(&key, &cell_dir, &kept, &build)?;
        }
        Ok(build)
    }

    /// What became of the same build before; its kernel is then in `cell_dir`.
    fn known_build(&self, cache: &Cache, key: &str, cell_dir: &Path) -> Option<Build> {
        match (!self.rebuild).then(|| cache.kernel(key, cell_dir)).flatten()? {
            Build::Built(built) => Some(Build::Built(Built {
                cached: true,
                cold: false,
                configure_secs: 0.0,
                link_secs: 0.0,
                ..built
            })),
            // An error may have been the host's after all: it is shown again only where records are asked for.
            error => self.recorded.then_some(error),
        }
    }

    /// Builds in a lane that this thread has entered, from what `start` says.
    fn build_in(
        &self,
        start: &Start,
        workshop: &Workshop,
        job: &Job<'_>,
        tree: &ReadyTree,
        changes: &Changes,
        mut look: impl FnMut(Option<&Tail>) -> Watch,
    ) -> Result<Build> {
        let home = job.tree.parent().unwrap_or(job.tree).to_owned();
        let stopped = look(None) == Watch::Stop;
        if let Start::Copy(other) = start {
            let from = home.with_file_name(&other.2);
            let copied = (!stopped).then(|| lane::Lane::copy(&from, &tree.work, home.clone()));
            // Whatever came of it: its own thread waits for that.
            workshop.copied(other);
            copied.transpose()?;
        }
        if stopped {
            return Ok(Build::NotRun);
        }
        lane::Lane::open(&tree.work, home)?.set(changes)?;
        let jobs = if *start == Start::Cold { self.jobs } else { job.jobs };
        build::build(&Job { jobs, ..*job }, look)
    }

    fn lane_home(&self, lane: &Lane, tree: &ReadyTree) -> PathBuf {
        self.project.lanes(&lane.tree, tree.work.home()).join(&lane.name)
    }

    fn boot_all(&self, queue: &Queue, shared: &Shared) {
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
        let Prepared { machine, request, initramfs } = &prepared;
        let key = self.boot_key(dir, cell, *machine, request, initramfs)?;
        let cache = Cache::new(self.project.cache());
        if let Some(known) = self.recorded.then(|| cache.boot(&key)).flatten() {
            let evidence = &mut locked(&shared.evidence)[index];
            evidence.boot = known.boot;
            evidence.recorded = Some(known.date);
            return Ok(());
        }
        let boot = self.boot_once(cell, &prepared, dir, dir)?;
        // One that was given up says more about this hour than about the kernel.
        if matches!(&boot, Boot::Ran(ran) if ran.end == GuestEnd::QemuExited) {
            let date = self.dir.started.clone();
            cache.record(&key, &Recorded { date, boot: boot.clone() })?;
        }
        locked(&shared.evidence)[index].boot = boot;
        Ok(())
    }

    /// Everything that a boot of the kernel in `dir` needs; or why there can be none.
    fn prepare(&self, cell: &Cell, dir: &Path, shared: &Shared) -> Result<Result<Prepared, String>> {
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
            scenarios: cell.scenarios.iter().map(|scenario| self.ask(scenario)).collect(),
            inject: self.inject,
            // A planted deadlock is as good as caught: nobody waits for the kernel's own 21 s, or for silence.
            stall_secs: matches!(cell.arm, Arm::Control(_)).then_some(STALL_SECS),
            panic_on_warn: matches!(&cell.arm, Arm::Control(c) if matches!(c.exposed_by, Exposure::Splat { .. })),
        };
        let guests = shared.guests.get_or_init(self.guests).as_ref().map_err(Failure::clone)?;
        let binaries = guests
            .get(cell.arch.rust_target)
            .ok_or_else(|| Failure::internal(format!("no guest was built for {}", cell.arch.name)))?;
        let machine = Machine { arch: cell.arch, accel: choice.accel, cpus: cell.cpus() };
        let initramfs = binaries.initramfs(&request)?;
        Ok(Ok(Prepared { machine, request, initramfs }))
    }

    /// Boots the kernel of the cell in `dir`; what it says goes to `logs`.
    fn boot_once(&self, cell: &Cell, prepared: &Prepared, dir: &Path, logs: &Path) -> Result<Boot> {
        let Prepared { machine, request, initramfs: bytes } = prepared;
        let nonce = fresh_nonce()?;
        let kernel = dir.join(cell.arch.kept());
        let initramfs = dir.join("initramfs.cpio");
        write_whole(&initramfs, bytes)?;
        let (console, results) = (logs.join("console.log"), logs.join("results.log"));
        let files = Files { kernel: &kernel, initramfs: &initramfs, console: &console, results: &results };
        let command = qemu::command(*machine, files, &nonce.to_string(), &cell.variant.arguments);
        self.write_repro(cell, dir, *machine, &nonce)?;
        let log = logs.join("qemu.log");
        let guest = Guest {
            command: &command,
            dir,
            symbols: &dir.join(build::SYMBOLS),
            tools: cell.arch.prefix(),
            console: &console,
            results: &results,
            log: &log,
            nonce: &nonce,
            accel: machine.accel,
            longer: request.scenarios.iter().map(|ask| Duration::from_secs(ask.secs)).sum(),
        };
        boot::boot(&guest, |what| self.events.send(Event::Doing { cell: cell.id(), what: what.to_owned() }))
    }

    fn ask(&self, scenario: &Scenario) -> Ask {
        let secs = if scenario.suite == Suite::Soak { self.soak.as_secs() } else { 0 };
        Ask { name: scenario.name.clone(), demand: scenario.demand.number(), secs }
    }

    /// Chosen once a kernel is there to prove it with; the other booters wait.
    fn accelerator(&self, cell: &Cell, kernel: &Path, shared: &Shared) -> Result<Choice> {
        let mut accels = locked(&shared.accels);
        if let Some(choice) = accels.get(cell.arch.name) {
            return Ok(choice.clone());
        }
        self.events.send(Event::Doing { cell: cell.id(), what: "which accelerator boots it".to_owned() });
        let memory = self.project.accel_memory();
        let choice =
            accel::choose(self.wish, cell.arch, kernel, &memory, &self.project.work().join("accel"))?;
        let (name, arch) = (choice.accel.name(), cell.arch.name);
        self.events.note(format!("accelerator for {arch}: {name} ({})", choice.reason));
        accels.insert(arch, choice.clone());
        Ok(choice)
    }

    /// A cell is done: keep its evidence and say so.
    fn finished(&self, index: usize, shared: &Shared) {
        let cell = &self.cells[index];
        let evidence = locked(&shared.evidence)[index].clone();
        let (good, line) = (self.look)(cell, &evidence);
        if let Err(failure) = self.keep_evidence(cell, &evidence) {
            shared.end(failure);
        }
        self.events.send(Event::Finished { cell: cell.id(), good, line });
        if self.fail_fast && !good {
            shared.stop.store(true, Ordering::SeqCst);
        }
    }

    fn keep_evidence(&self, cell: &Cell, evidence: &Evidence) -> Result<()> {
        let path = self.dir.cell(cell)?.join("evidence.json");
        let json = serde_json::to_vec_pretty(evidence).or_infra(|| "encode the evidence".to_owned())?;
        write_whole(&path, &json)
    }

    fn write_repro(&self, cell: &Cell, dir: &Path, machine: Machine<'_>, nonce: &Nonce) -> Result<()> {
        let files = Files {
            kernel: Path::new(cell.arch.kept()),
            initramfs: Path::new("initramfs.cpio"),
            console: Path::new("again.console.log"),
            results: Path::new("again.results.log"),
        };
        let boot = qemu::command(machine, files, &nonce.to_string(), &cell.variant.arguments);
        let boot = qemu::shell_line(&boot);
        let args: Vec<String> = ["cargo", "xtask", "matrix"]
            .into_iter()
            .map(str::to_owned)
            .chain(["--patch".to_owned(), self.dir.patch(&cell.tree).display().to_string()])
            .chain(self.repeat_args.iter().cloned())
            .chain(["--only".to_owned(), cell.id()])
            .collect();
        let script = REPRO
            .replace("@CELL@", &cell.id())
            .replace("@BOOT@", &boot)
            .replace("@ROOT@", &qemu::shell_line(&[self.project.root.display().to_string()]))
            .replace("@MATRIX@", &qemu::shell_line(&args));
        let path = dir.join("repro.sh");
        write_whole(&path, script.as_bytes())?;
        make_executable(&path)
    }
}

const REPRO: &str = r#"#!/bin/sh
# Repeats the cell @CELL@.
#   ./repro.sh        boots the same image again; prints its console and its results
#   ./repro.sh build  builds it again from the patch of this run, and boots it
set -eu
case "${1:-boot}" in
boot)
    cd "$(dirname "$0")"
    @BOOT@
    cat again.console.log again.results.log
    ;;
build)
    cd @ROOT@
    exec @MATRIX@
    ;;
*)
    echo "usage: $0 [boot|build]" >&2
    exit 2
    ;;
esac
"#;

/// What the changed Kconfig files hold.
fn kconfig_files(changes: &Changes) -> String {
    let is_one = |path: &str| path.rsplit('/').next().is_some_and(|name| name.starts_with("Kconfig"));
    let changed = changes.iter().filter(|(path, _)| is_one(path));
    let texts = changed.map(|(path, content)| {
        let content = content.as_deref().unwrap_or_default();
        format!("# {path}\n{}", String::from_utf8_lossy(content))
    });
    texts.collect()
}

fn fresh_nonce() -> Result<Nonce> {
    let mut bytes = [0; 16];
    let doing = || "read /dev/urandom for a nonce".to_owned();
    let mut random = std::fs::File::open("/dev/urandom").or_infra(doing)?;
    std::io::Read::read_exact(&mut random, &mut bytes).or_infra(doing)?;
    Ok(Nonce::from_bytes(bytes))
}
