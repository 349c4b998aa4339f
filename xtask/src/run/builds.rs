//! Builds kernels, lane by lane: from the cache, or from the objects of the cell before. Hands on what is to be booted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::queue::Builder;
use super::workshop::{self, Start, Workshop};
use super::{ReadyTree, Run, Shared, locked};
use crate::build::{self, Job, Tail};
use crate::cache::Cache;
use crate::events::{Event, Stage};
use crate::evidence::{Build, Built};
use crate::failure::{Failure, Result};
use crate::lanes::Lane;
use crate::process::Watch;
use crate::source::files::Changes;
use crate::source::lane;

impl Run<'_> {
    /// The lanes of this run, and those that others left, with whether there is something to build from.
    pub(super) fn workshop(&self, lanes: &[Lane]) -> Workshop {
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
    pub(super) fn build_all(&self, lane: &Lane, workshop: &Workshop, builder: &Builder<'_>, shared: &Shared) {
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
}

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
