//! Builds kernels, build directory by build directory: from the cache, or from the objects of the cell before. Hands
//! on what is to be booted.

use std::path::PathBuf;
use std::time::Instant;

use super::pool::{self, Pool, Start};
use super::queue::Builder;
use super::{ReadyTree, Run, Shared, Stages, locked};
use crate::build::sensitive;
use crate::build::{self, Job, Tail};
use crate::cache::{Cache, Key};
use crate::campaign::plan::{Arm, Cell};
use crate::host::disk;
use crate::host::process::WatchFlow;
use crate::observe::events::{Event, Stage};
use crate::observe::{Build, Built};
use crate::run::build_dirs::{self, BuildDirPlan};
use crate::source::build_dir;
use crate::source::files::Changes;
use crate::subject::kconfig;
use failure::{Failure, Result};

impl Run<'_> {
    /// A name for what the patch brings that the build of `cell` executes on the host; None: nothing.
    pub(super) fn runs_on_host(&self, cell: &Cell) -> Option<String> {
        let arms = &self.trees.get(&cell.tree)?.arms;
        let changes = arms.changes.get(&cell.id())?.as_ref().ok()?;
        let executed =
            changes.iter().filter(|(path, _)| arms.touched.contains(*path) && sensitive::runs_on_host(path));
        let executed: Vec<_> = executed.collect();
        if cell.arm == Arm::Base || executed.is_empty() {
            return None;
        }
        let key = executed
            .into_iter()
            .fold(Key::new("host code", 1), |key, (path, content)| key.with_file(path, content.as_ref()));
        Some(key.finish()[..12].to_owned())
    }

    /// Removes the build directories of earlier patches that executed code of their own on the host: nothing else
    /// starts from them.
    pub(super) fn discard_foreign(&self, build_dirs: &[BuildDirPlan]) -> Result<()> {
        for (name, tree) in self.trees {
            for home in disk::entries(&self.build_dirs(name, tree)) {
                let build_dir = home.file_name().unwrap_or_default().to_string_lossy();
                if build_dirs::tag_of(&build_dir).is_some()
                    && !build_dirs.iter().any(|one| one.tree == *name && one.name == build_dir)
                {
                    disk::discard(&home)?;
                }
            }
        }
        Ok(())
    }

    /// Hands on every kernel that needs no build, and leaves the others in their build directories: so the first
    /// boots are those that should come first, and nobody waits in a build directory for what is there.
    pub(super) fn take_cached(
        &self,
        build_dirs: &mut Vec<BuildDirPlan>,
        builder: &Builder<'_>,
        shared: &Shared,
    ) {
        for build_dir in &mut *build_dirs {
            let place = build_dir.clone();
            build_dir.cells.retain(|&index| match self.task(index, &place) {
                Ok(Ok(task)) => match self.known_build(&task) {
                    Some(build) => {
                        self.hand_on(index, build, builder, shared);
                        false
                    }
                    None => true,
                },
                // Its builder meets it as well, and says so.
                Ok(Err(_)) | Err(_) => true,
            });
        }
        build_dirs.retain(|build_dir| !build_dir.cells.is_empty());
    }

    /// Hands on what was built before this run, and leaves the others in their build directories.
    pub(super) fn take_built(
        &self,
        build_dirs: &mut Vec<BuildDirPlan>,
        builder: &Builder<'_>,
        shared: &Shared,
    ) {
        let was_built = |index: usize| {
            let before = self.built.get(index);
            before.is_some_and(|before| self.stages == Stages::Boot || !matches!(before.build, Build::NotRun))
        };
        for (index, before) in self.built.iter().enumerate().filter(|(index, _)| was_built(*index)) {
            self.hand_on(index, before.build.clone(), builder, shared);
        }
        for build_dir in &mut *build_dirs {
            build_dir.cells.retain(|index| !was_built(*index));
        }
        build_dirs.retain(|build_dir| !build_dir.cells.is_empty());
    }

    /// Builds the cells of one build directory.
    pub(super) fn build_all(
        &self,
        build_dir: &BuildDirPlan,
        pool: &Pool,
        builder: &Builder<'_>,
        shared: &Shared,
    ) {
        for &index in &build_dir.cells {
            if shared.stopped() {
                return;
            }
            if self.is_in_what_does_not_compile(index, shared) {
                self.hand_on(index, Build::NotRun, builder, shared);
            } else if let Err(failure) = self.build_one(index, build_dir, pool, builder, shared) {
                shared.end(failure);
            }
        }
    }

    /// A bug that is planted in a patch that was seen not to compile shows nothing.
    fn is_in_what_does_not_compile(&self, index: usize, shared: &Shared) -> bool {
        let cell = &self.cells[index];
        let Arm::Control(control) = &cell.arm else { return false };
        let arm = control.on.as_deref().unwrap_or(Arm::Patched.name());
        let of_it = |other: &Cell| other.arm.name() == arm && other.pair_id() == cell.pair_id();
        let evidence = locked(&shared.evidence);
        let mut builds = self.cells.iter().zip(&*evidence).filter(|(other, _)| of_it(other));
        builds.any(|(_, evidence)| matches!(evidence.build, Build::CompileError(_)))
    }

    /// To be booted, if there is something to boot.
    fn hand_on(&self, index: usize, build: Build, builder: &Builder<'_>, shared: &Shared) {
        let to_boot = matches!(build, Build::Built(_)) && self.boots();
        locked(&shared.evidence)[index].build = build;
        if self.booted_later.contains(&index) {
            self.stage(&self.cells[index], Stage::WaitsForBoot);
        } else if to_boot {
            self.stage(&self.cells[index], Stage::WaitsForBoot);
            builder.built(index);
        } else {
            self.finished(index, shared);
        }
    }

    /// What is to be built for a cell; or what has become of that already.
    fn task(&self, index: usize, build_dir: &BuildDirPlan) -> Result<Result<Task<'_>, Build>> {
        let cell = &self.cells[index];
        let tree = self.trees.get(&cell.tree).ok_or_else(|| {
            Failure::internal(format!("{} was planned on a tree that is not ready", cell.id()))
        })?;
        let changes = match tree.arms.changes.get(&cell.id()) {
            Some(Ok(changes)) => changes,
            Some(Err(why)) => return Ok(Err(Build::Infra { why: why.clone() })),
            None => return Err(Failure::internal(format!("{} has no source", cell.id()))),
        };
        let requests = self
            .requests
            .get(&cell.variant.id())
            .ok_or_else(|| Failure::internal(format!("{} has no fragments", cell.id())))?;
        let home = self.build_dir_home(build_dir, tree);
        let mut task = Task {
            cell,
            tree,
            changes,
            requests,
            cell_dir: self.dir.cell(cell)?,
            runs_own_code: build_dirs::tag_of(&build_dir.name).is_some(),
            build_dir_home: home.clone(),
            build_dir_tree: build_dir::tree_in(&home),
            objects: build_dir::objects_in(&home),
            kconfig: kconfig_files(changes),
            key: String::new(),
        };
        task.key = self.kernel_key(&task.job(self, self.jobs), tree, changes)?;
        Ok(Ok(task))
    }

    fn build_one(
        &self,
        index: usize,
        build_dir: &BuildDirPlan,
        pool: &Pool,
        builder: &Builder<'_>,
        shared: &Shared,
    ) -> Result<()> {
        let task = match self.task(index, build_dir)? {
            Ok(task) => task,
            Err(build) => {
                self.hand_on(index, build, builder, shared);
                return Ok(());
            }
        };
        // By another run, or for another cell of this one.
        if let Some(known) = self.known_build(&task) {
            self.hand_on(index, known, builder, shared);
            return Ok(());
        }
        let cell = task.cell;
        self.stage(cell, Stage::WaitsForBuildDir);
        let (start, entered) = pool.enter(&pool::key(build_dir));
        self.stage(cell, Stage::Build);
        let building = Instant::now();
        locked(&shared.evidence)[index].build_start_secs = Some(self.dir.secs());
        let job = task.job(self, if matches!(start, Start::Cold) { self.jobs } else { shared.jobs });
        let mut build_dir = None;
        let build = self.build_in(start, &job, &task, &mut build_dir, |tail: Option<&Tail>| {
            if let Some(tail) = tail {
                let what = format!("{} ({} objects)", tail.last, tail.objects);
                self.events.send(Event::Doing { cell: cell.id(), what });
            }
            if shared.stopped() { WatchFlow::Stop } else { WatchFlow::Continue }
        });
        locked(&shared.evidence)[index].build_secs = Some(building.elapsed().as_secs_f64());
        let kept = build.and_then(|build| {
            // First of all: it boots while the rest is done.
            self.hand_on(index, build.clone(), builder, shared);
            self.keep(&build, &job, &task, build_dir.as_mut())
        });
        entered.leave(build_dir::is_usable(&task.build_dir_home, task.tree.work.incarnation()));
        kept
    }

    /// What is left to later builds, of this run and of others.
    fn keep(
        &self,
        build: &Build,
        job: &Job<'_>,
        task: &Task<'_>,
        build_dir: Option<&mut build_dir::BuildDir>,
    ) -> Result<()> {
        if let (Build::Built(_), Some(build_dir)) = (build, build_dir) {
            build::tidy(job, build_dir)?;
        }
        if matches!(build, Build::Built(_) | Build::CompileError(_)) {
            let kept = [
                task.cell.arch.kept(),
                build::SYMBOLS,
                build::KALLSYMS,
                "config",
                "requested.config",
                "build.log",
                build::NOTES,
            ];
            Cache::new(self.project.cache()).keep_kernel(&task.key, &task.cell_dir, &kept, build)?;
        }
        Ok(())
    }

    /// What became of the same build before; its kernel is then in the cell's directory.
    fn known_build(&self, task: &Task<'_>) -> Option<Build> {
        let cache = Cache::new(self.project.cache());
        // An error may have been the host's after all: it is shown again only where records are asked for.
        let wanted = |build: &Build| matches!(build, Build::Built(_)) || self.recorded;
        match (!self.rebuild).then(|| cache.kernel(&task.key, &task.cell_dir, wanted)).flatten()? {
            Build::Built(built) => Some(Build::Built(Built {
                cached: true,
                cold: false,
                configure_secs: 0.0,
                link_secs: 0.0,
                ..built
            })),
            error => Some(error),
        }
    }

    /// Builds in a build directory that this thread has entered, from what `start` says; the build directory that is
    /// copied is free after the copy.
    fn build_in(
        &self,
        start: Start<'_>,
        job: &Job<'_>,
        task: &Task<'_>,
        build_dir: &mut Option<build_dir::BuildDir>,
        mut look: impl FnMut(Option<&Tail>) -> WatchFlow,
    ) -> Result<Build> {
        let home = task.build_dir_home.clone();
        if look(None) == WatchFlow::Stop {
            return Ok(Build::NotRun);
        }
        let is_cold = matches!(start, Start::Cold);
        if let Start::Copy(copying) = start {
            let from = home.with_file_name(&copying.from.2);
            build_dir::BuildDir::copy(&from, &task.tree.work, home.clone())?;
        }
        let build_dir = build_dir.insert(build_dir::BuildDir::open(&task.tree.work, home)?);
        let has_objects = build_dir.begin(task.changes, &job.place())?;
        build::build(job, build_dir, is_cold || !has_objects, look)
    }

    /// Where this run's build directories of a tree are.
    pub(super) fn build_dirs(&self, name: &str, tree: &ReadyTree) -> PathBuf {
        self.project.build_dirs(name, tree.work.home(), &tree.work.suffix())
    }

    fn build_dir_home(&self, build_dir: &BuildDirPlan, tree: &ReadyTree) -> PathBuf {
        self.build_dirs(&build_dir.tree, tree).join(&build_dir.name)
    }
}

/// The build of one cell.
struct Task<'a> {
    cell: &'a Cell,
    tree: &'a ReadyTree,
    changes: &'a Changes,
    requests: &'a [kconfig::KconfigRequest],
    cell_dir: PathBuf,
    runs_own_code: bool,
    build_dir_home: PathBuf,
    build_dir_tree: PathBuf,
    objects: PathBuf,
    kconfig: String,
    /// Under which its kernel is found again.
    key: String,
}

impl Task<'_> {
    fn job<'a>(&'a self, run: &'a Run<'_>, jobs: usize) -> Job<'a> {
        Job {
            sandbox: &run.sandbox,
            tree: &self.build_dir_tree,
            objects: &self.objects,
            arch: self.cell.arch,
            requests: self.requests,
            jobs,
            // A store that such code can write would outlive it.
            ccache: run.ccache.as_ref().filter(|_| !self.runs_own_code),
            cell_dir: &self.cell_dir,
            kconfig: &self.kconfig,
            touched: &self.tree.arms.touched,
            runs_own_code: self.runs_own_code,
            keep_code: self.cell.arm.judged(),
            counted: if self.cell.arm.counts() { &self.cell.variant.counted } else { &[] },
        }
    }
}

/// What the changed Kconfig files hold.
fn kconfig_files(changes: &Changes) -> String {
    let is_one = |path: &str| path.rsplit('/').next().is_some_and(|name| name.starts_with("Kconfig"));
    let changed = changes.iter().filter(|(path, _)| is_one(path));
    let texts = changed.map(|(path, content)| {
        let bytes = content.as_ref().map(|content| &content.bytes[..]).unwrap_or_default();
        format!("# {path}\n{}", String::from_utf8_lossy(bytes))
    });
    texts.collect()
}
