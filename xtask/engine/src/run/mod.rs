//! The straight line of one run: each cell is built, then booted while others are built; or one of the two stages. Emits
//! events and collects evidence; judges nothing.

mod boots;
pub mod build_dirs;
mod builds;
mod cache_keys;
pub mod kinship;
mod pool;
mod queue;
mod repro;
pub mod rundir;
mod shards;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::arms::Arms;
use crate::boot::probe::{Choice, Wish};
use crate::build::Ccache;
use crate::build::guest::Binaries;
use crate::campaign::plan::Cell;
use crate::campaign::project::Project;
use crate::host::json_file::JsonFile;
use crate::host::sandbox::Sandbox;
use crate::observe::events::{Event, Events, Stage};
use crate::observe::{Coverage, Evidence};
use crate::run::rundir::RunDir;
use crate::source::worktree::WorkTree;
use crate::subject::Subject;
use crate::subject::kconfig;
use console::Splat;
use failure::{Failure, Result};
use queue::{Builder, Queue};

/// What was measured in a cell.
pub const EVIDENCE: JsonFile = JsonFile {
    what: "the evidence of a cell",
    schema: 2,
    most_bytes: 256 << 20,
    remedy: "run the matrix again: cargo xtask matrix",
};

/// A tree that is ready: its build directories can be set to any arm.
pub struct ReadyTree {
    pub work: WorkTree,
    pub arms: Arms,
}

/// How far a run goes, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stages {
    /// Each kernel is built, and booted as soon as it is.
    BuildAndBoot,
    /// Nothing is booted, and no evidence written.
    Build,
    /// What was built before is booted, and nothing built.
    Boot,
}

/// What [`Run::enough`] is asked.
pub type Enough<'a> = &'a (dyn Fn(&Cell, Vec<Coverage>) -> bool + Sync);

/// What [`Run::has_spoken`] is asked.
pub type CellHasSpoken<'a> = &'a (dyn Fn(&Cell, &[Splat]) -> bool + Sync);

/// Everything a run needs, decided before it starts.
pub struct Run<'a> {
    pub project: &'a Project,
    pub dir: &'a RunDir,
    pub stages: Stages,
    pub cells: &'a [Cell],
    /// The evidence of cells that were built before, by index, as it was then; none: no cell was.
    pub built: Vec<Evidence>,
    /// Indices of cells that are built now and booted by a later run.
    pub booted_later: BTreeSet<usize>,
    /// What is forced and watched in every guest.
    pub subject: &'a Subject,
    /// Of what is built; none where nothing is.
    pub trees: &'a BTreeMap<String, ReadyTree>,
    /// Files whose lines are counted, where a kernel does that.
    pub counted: BTreeSet<String>,
    /// What each variant asks for, by its id.
    pub requests: BTreeMap<String, Vec<kconfig::KconfigRequest>>,
    /// What Kconfig makes of that, as lines of a `.config`, where it is known before the build.
    pub configured: BTreeMap<String, BTreeSet<String>>,
    /// Makes the guest programs of every architecture, by target.
    pub guests: &'a (dyn Fn() -> Result<BTreeMap<&'static str, Binaries>> + Sync),
    pub sandbox: Sandbox,
    pub wish: Wish,
    /// Accelerators that this run has chosen already, by architecture.
    pub accels: BTreeMap<&'static str, Choice>,
    pub jobs: usize,
    pub ccache: Option<Ccache>,
    pub fail_fast: bool,
    /// Boots of each cell but the controls.
    pub repeat: u32,
    /// How long the scenarios of a soak go on.
    pub soak: Duration,
    /// How long workloads may take together that are run to see which of them reach the patch.
    pub workload_time: Duration,
    /// When workloads of kernels with a bug from the patch's own lines are given up, by name: they hang where that bug makes them.
    pub within_secs: BTreeMap<String, u64>,
    /// Hears what a cell that counts has counted, what is new after each workload, and says whether that is all it was booted for.
    pub enough: Option<Enough<'a>>,
    /// Hears of all trouble on a cell's console, and says whether that is all it was booted for.
    pub has_spoken: Option<CellHasSpoken<'a>>,
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
    /// Builds and boots every cell, as far as the stages go.
    pub fn go(self) -> Gathered {
        let mut build_dirs = match self.stages {
            Stages::BuildAndBoot | Stages::Build => {
                build_dirs::assign(self.cells, build_dirs::builders(self.jobs), &|cell| {
                    self.runs_on_host(cell)
                })
            }
            Stages::Boot => Vec::new(),
        };
        let mut before = self.built.clone();
        before.resize(self.cells.len(), Evidence::default());
        let mut shared = Shared {
            evidence: Mutex::new(before),
            accels: Mutex::new(self.accels.clone()),
            ended: Mutex::new(None),
            guests: OnceLock::new(),
            jobs: self.jobs,
            stop: AtomicBool::new(false),
        };
        let queue = Queue::new(build_dirs::boot_ranks(self.cells));
        let builders: Vec<Builder> = (0..build_dirs::builders(self.jobs)).map(|_| queue.builder()).collect();
        self.take_built(&mut build_dirs, &builders[0], &shared);
        self.take_cached(&mut build_dirs, &builders[0], &shared);
        shared.jobs = build_dirs::jobs_each(self.jobs, build_dirs.len());
        if let Err(failure) = self.discard_foreign(&build_dirs) {
            shared.end(failure);
        }
        let pool = self.pool(build_dirs);
        let run = &self;
        let guests_secs = std::thread::scope(|scope| {
            let guests = scope.spawn(|| {
                if !run.boots() {
                    return 0.0;
                }
                let making = Instant::now();
                if let Err(failure) = shared.guests.get_or_init(run.guests) {
                    shared.end(failure.clone());
                }
                making.elapsed().as_secs_f64()
            });
            for _ in 0..build_dirs::booters(self.jobs) {
                scope.spawn(|| run.boot_all(&queue, &shared));
            }
            for builder in builders {
                let (shared, pool, queue) = (&shared, &pool, &queue);
                scope.spawn(move || {
                    while let Some(claim) = pool.next() {
                        run.build_all(&claim.build_dir, pool, &builder, shared);
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

    /// Whether kernels are booted.
    fn boots(&self) -> bool {
        match self.stages {
            Stages::BuildAndBoot | Stages::Boot => true,
            Stages::Build => false,
        }
    }

    fn stage(&self, cell: &Cell, stage: Stage) {
        self.events.send(Event::Stage { cell: cell.id(), stage });
    }

    /// A cell is done: keep its evidence and say so.
    fn finished(&self, index: usize, shared: &Shared) {
        let cell = &self.cells[index];
        let evidence = locked(&shared.evidence)[index].clone();
        let (good, line) = (self.look)(cell, &evidence);
        if self.boots()
            && let Err(failure) = self.keep_evidence(cell, &evidence)
        {
            shared.end(failure);
        }
        self.events.send(Event::Finished { cell: cell.id(), good, line });
        if self.fail_fast && !good {
            shared.stop.store(true, Ordering::SeqCst);
        }
    }

    fn keep_evidence(&self, cell: &Cell, evidence: &Evidence) -> Result<()> {
        let path = self.dir.cell(cell)?.join("evidence.json");
        EVIDENCE.write(&path, evidence)
    }
}
