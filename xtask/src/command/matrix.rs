//! `cargo xtask matrix`: plan, sources, builds, boots, verdicts, report. Up to the builds it is also `cargo xtask build`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::planned::Sources;
use super::setting::{Outline, Setting, most_controls, suite};
use super::{conclude, queued};
use crate::arms::{self, Arms};
use crate::arms::{about, base_tree, changed};
use crate::boot::probe::{Choice, Wish};
use crate::build::Ccache;
use crate::cache::{Cache, LIMIT_BYTES};
use crate::campaign;
use crate::campaign::plan::{self, Arm, Cell};
use crate::campaign::project::Project;
use crate::command::cli::{self, CcacheWish, Controls};
use crate::host::disk::write_whole;
use crate::host::terminal;
use crate::observe::Evidence;
use crate::observe::events::{Event, Events};
use crate::report::{PatchReport, TreeReport};
use crate::run::{CellHasSpoken, Enough, Gathered, ReadyTree, Run, Stages};
use crate::source::worktree::WorkTree;
use failure::{Exit, Failure, Result};
use patch::Proved;

/// How a plan is carried out.
pub struct Method<'a> {
    pub compile: &'a cli::CompileArgs,
    /// None: kernels are built and not booted.
    pub guest: Option<&'a cli::GuestArgs>,
    pub pace: &'a cli::PaceArgs,
    /// False only in the test that a run without failures comes out vacuous.
    pub inject: bool,
}

/// What every step of a run works with.
pub struct RunContext<'a> {
    pub method: &'a Method<'a>,
    pub events: &'a Events,
    pub trees: &'a BTreeMap<String, ReadyTree>,
    pub ccache: Option<&'a Ccache>,
}

/// One step of a run.
#[derive(Default)]
pub struct RunStep<'a> {
    pub cells: Vec<Cell>,
    /// [`Run::built`].
    pub built: Vec<Evidence>,
    /// [`Run::booted_later`].
    pub booted_later: BTreeSet<usize>,
    /// How often, where that is not what was asked for: the first boot is then the one on record.
    pub boots: Option<u32>,
    /// How long workloads may take that are tried, where that is less than what was asked for.
    pub workload_time: Option<Duration>,
    /// [`Run::enough`].
    pub enough: Option<Enough<'a>>,
    /// [`Run::has_spoken`].
    pub has_spoken: Option<CellHasSpoken<'a>>,
    /// [`Run::within_secs`].
    pub within_secs: BTreeMap<String, u64>,
}

impl RunStep<'_> {
    /// Each cell is built and booted.
    pub fn all(cells: Vec<Cell>) -> Self {
        RunStep { cells, ..RunStep::default() }
    }
}

/// Runs the campaign.
///
/// # Errors
/// When there can be no report: bad input, a refused patch, a host that lacks something. Everything else, an
/// interruption too, ends in a report and its exit code.
pub fn matrix(project: &Project, args: &cli::MatrixArgs) -> Result<Exit> {
    let started = Instant::now();
    let outline = Outline::find(project, &args.plan)?;
    let is_derived = outline.is_derived();
    let is_empty = outline.cells.is_empty();
    if is_derived && !is_empty && (args.dry_run || args.write_campaign.is_some()) {
        return super::derived_plan::show(project, args, outline, started);
    }
    if args.write_campaign.is_some() {
        let name = &outline.loaded.campaign.name;
        return Err(Failure::usage(format!("nothing is derived here: campaign {name} is written already"))
            .next("derive it all the same: --campaign any-patch"));
    }
    if args.dry_run {
        // Only the source says which of them have a place in it.
        let most = most_controls(&args.plan).unwrap_or(usize::MAX);
        let cells = plan::first_controls(outline.cells, most);
        let jobs = args.pace.jobs();
        terminal::print(&super::dry_run::render(project, &outline.loaded, &outline.local, &cells, jobs)?)?;
        return Ok(Exit::Ok);
    }
    let mut queued = queued::wait(project, &args.plan)?;
    // Not from before the wait.
    let started = if queued.is_some() { Instant::now() } else { started };
    let mut setting = Setting::open(project, &args.plan, outline, args.plan.out.as_deref(), started)?;
    if let Some(queued) = &mut queued {
        queued.describe(&setting.dir.path.display().to_string());
    }
    if let Some(exit) = setting.conclude_empty()? {
        return Ok(exit);
    }
    let method = Method {
        compile: &args.compile,
        guest: Some(&args.guest),
        pace: &args.pace,
        inject: !args.test_no_injection,
    };
    let gathered = super::shown(args.pace.loudness(), |events| setting.run(&method, events));
    Cache::new(project.cache()).shrink(LIMIT_BYTES);
    setting.conclude(gathered, args.format, args.pace.loudness())
}

impl Setting<'_> {
    /// Everything up to the last piece of evidence; what ended it early is part of the result.
    pub fn run(&mut self, method: &Method<'_>, events: Events) -> Gathered {
        let mut sources = Sources::default();
        let derived = self.derive(&events);
        let early = |cells: &[Cell], ended| Gathered {
            evidence: vec![Evidence::default(); cells.len()],
            accels: BTreeMap::new(),
            guests_secs: 0.0,
            ended,
        };
        let ready = derived.and_then(|()| self.ready_trees(&events, &mut sources));
        let ready = ready.and_then(|trees| Ok((trees, self.ccache(method.compile.ccache)?)));
        self.planned.sources = sources;
        self.keep_cells();
        let planned = &self.planned;
        let ready = ready.and_then(|ready| planned.write(&self.dir.path).map(|()| ready));
        let (mut trees, ccache) = match ready {
            Ok(ready) => ready,
            Err(failure) => return early(&planned.cells, Some(failure)),
        };
        if planned.cells.iter().all(|cell| planned.sources.beside_the_point.contains_key(&cell.tree)) {
            return early(&planned.cells, None);
        }
        events.send(Event::Planned(planned.cells.iter().map(Cell::id).collect()));
        let counting = planned.cells.iter().any(|cell| cell.arm.counts());
        if counting && method.guest.is_some() {
            return self.run_by_what_is_counted(method, &events, &mut trees, ccache.as_ref());
        }
        let with = RunContext { method, events: &events, trees: &trees, ccache: ccache.as_ref() };
        self.run_cells(&with, RunStep::all(planned.cells.clone()), &BTreeMap::new())
    }

    /// Carries out one step of a run.
    pub fn run_cells(
        &self,
        with: &RunContext<'_>,
        step: RunStep<'_>,
        accels: &BTreeMap<&'static str, Choice>,
    ) -> Gathered {
        let (planned, &RunContext { method, events, .. }) = (&self.planned, with);
        let RunStep { cells, built, booted_later, boots, workload_time, enough, has_spoken, within_secs } =
            step;
        let asked_time = method.guest.map(|guest| guest.workload_time).unwrap_or_default();
        let guests = || super::guests(self.project, &cells, &self.dir.path, events);
        let look = |cell: &Cell, evidence: &Evidence| match method.guest {
            Some(_) => planned.look(cell, evidence),
            None => planned.look_at_build(cell, evidence),
        };
        let run = Run {
            project: self.project,
            dir: &self.dir,
            stages: if method.guest.is_some() { Stages::BuildAndBoot } else { Stages::Build },
            cells: &cells,
            built,
            booted_later,
            subject: &planned.subject,
            trees: with.trees,
            counted: planned.counted_files(),
            requests: self.requests.clone(),
            configured: self.configured.clone(),
            guests: &guests,
            sandbox: self.sandbox.clone(),
            wish: method.guest.map_or(Wish::Auto, cli::GuestArgs::wish),
            accels: accels.clone(),
            jobs: method.pace.jobs(),
            ccache: with.ccache.cloned(),
            fail_fast: method.pace.fail_fast,
            repeat: boots.unwrap_or_else(|| method.guest.map_or(1, |guest| guest.repeat)),
            soak: self.args.soak.unwrap_or_default(),
            workload_time: workload_time.map_or(asked_time, |time| time.min(asked_time)),
            enough,
            has_spoken,
            within_secs,
            rebuild: method.compile.rebuild && boots.is_none(),
            recorded: boots.is_some()
                || method.guest.is_some_and(|guest| guest.takes_records(self.args.soak)),
            inject: method.inject,
            events: events.clone(),
            look: &look,
            repeat_args: self.repeat_args(),
        };
        run.go()
    }

    fn ready_trees(&self, events: &Events, sources: &mut Sources) -> Result<BTreeMap<String, ReadyTree>> {
        let progress = |text: &str| events.send(Event::Status(text.to_owned()));
        let mut ready = BTreeMap::new();
        // A tree that no cell is built from is not fetched.
        let needed =
            self.loaded.trees.iter().filter(|tree| self.planned.cells.iter().any(|c| c.tree == tree.name));
        for tree in needed {
            let fetching = Instant::now();
            let source = super::fetch(self.project, tree, &self.local, &progress)?;
            let work = WorkTree::open(&source, &self.project.work(), &progress)?;
            sources.fetch_secs += fetching.elapsed().as_secs_f64();
            events.note(format!("tree {}: {} from {}", tree.name, source.version, source.origin));
            let tested = self
                .tested
                .get(&tree.name)
                .ok_or_else(|| Failure::internal(format!("nothing is tested on the tree {}", tree.name)))?;
            let asked = super::asked(self.project, &self.loaded, tree, &self.args.source);
            let base_tree = base_tree::find(&asked, &work, &tested.series)?;
            let undone = base_tree.undone.map(|held| held.to_string());
            if self.loaded.campaign.coverage {
                let hunks = changed::changed(&base_tree.base, &base_tree.proved)?;
                sources.changed.insert(tree.name.clone(), hunks);
            }
            let own = !self.args.patch.is_empty() && self.loaded.campaign.patch.is_some();
            let report = |patch: PatchReport, versions, undone| TreeReport {
                name: tree.name.clone(),
                version: source.version.clone(),
                origin: source.origin.clone(),
                undone,
                sensitive: conclude::sensitive(&patch.files),
                patch,
                versions,
            };
            if own
                && let Some(why) =
                    about::beside_the_point(self.project, &self.loaded, &base_tree.base, &base_tree.proved)?
            {
                let patch = conclude::patch_report(&tested.series, &base_tree.proved);
                sources.trees.push(report(patch, BTreeMap::new(), undone));
                sources.beside_the_point.insert(tree.name.clone(), why);
                continue;
            }
            let arms = Arms::resolve(
                &arms::ArmsRequest {
                    project: self.project,
                    tree,
                    tested,
                    cells: &self.planned.cells,
                    beside: &self.planned.beside,
                    campaign: &self.loaded.campaign,
                    places: &self.loaded.places,
                    requests: &self.requests,
                    most_controls: self.planned.most_controls(),
                },
                base_tree,
            )?;
            write_whole(&self.dir.patch(&tree.name), &arms.proved.sound)?;
            self.write_planted(&arms)?;
            for (under, chosen) in &arms.controls {
                sources.controls.insert((tree.name.clone(), under.clone()), chosen.clone());
            }
            let version = |(name, proved): (&String, &Proved)| {
                Some((name.clone(), conclude::patch_report(tested.versions.get(name)?, proved)))
            };
            let patch = conclude::patch_report(&tested.series, &arms.proved);
            sources.trees.push(report(patch, arms.versions.iter().filter_map(version).collect(), undone));
            ready.insert(tree.name.clone(), ReadyTree { work, arms });
        }
        Ok(ready)
    }

    /// What each control changes, beside what comes of it.
    fn write_planted(&self, arms: &Arms) -> Result<()> {
        for cell in &self.planned.cells {
            if let Some(patch) = arms.planted.get(&cell.id()) {
                write_whole(&self.dir.cell(cell)?.join("planted.patch"), patch.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Of the controls, those cells that have a place in the source.
    fn keep_cells(&mut self) {
        let most = self.planned.most_controls();
        let sources = &self.planned.sources;
        let cells = std::mem::take(&mut self.planned.cells);
        let (known, unknown): (Vec<Cell>, Vec<Cell>) =
            cells.into_iter().partition(|cell| sources.trees.iter().any(|tree| tree.name == cell.tree));
        let kept = known.into_iter().filter(|cell| match &cell.arm {
            Arm::Control(control) => {
                let under = (cell.tree.clone(), (cell.variant.id(), control.on.clone()));
                sources.controls.get(&under).is_some_and(|chosen| chosen.controls.contains(control))
            }
            _ => true,
        });
        // Nothing is known of the others, because the run ended before.
        self.planned.cells = kept.chain(plan::first_controls(unknown, most)).collect();
    }

    fn ccache(&self, wish: CcacheWish) -> Result<Option<Ccache>> {
        let arches = super::arches(&self.planned.cells);
        let compilers: Vec<String> = arches.iter().map(|arch| format!("{}gcc", arch.prefix())).collect();
        match wish {
            CcacheWish::Auto => Ccache::find(&self.project.ccache(), &compilers),
            CcacheWish::Off => Ok(None),
        }
    }

    /// Arguments that repeat this run from any directory.
    pub fn repeat_args(&self) -> Vec<String> {
        let campaign = &self.loaded.wanted;
        let file = campaign::file_of(&self.project.root.join("configs"), campaign);
        // A path of the user's is relative to the current directory; a name is not a path.
        let own = (file.as_os_str() == campaign.as_str()).then(|| std::path::absolute(&file).ok()).flatten();
        let campaign = own.map_or_else(|| campaign.clone(), |file| file.display().to_string());
        let mut args = vec!["--campaign".to_owned(), campaign];
        if self.args.each {
            args.push("--each".to_owned());
        }
        if self.args.controls == Controls::All {
            args.extend(["--controls".to_owned(), "all".to_owned()]);
        }
        if self.args.no_sandbox {
            args.push("--no-sandbox".to_owned());
        }
        if let Some(suite) = suite(self.args) {
            args.extend(["--suite".to_owned(), suite.to_owned()]);
        }
        if let Some(soak) = self.args.soak {
            args.extend(["--soak".to_owned(), format!("{}s", soak.as_secs())]);
        }
        if self.args.sanitize {
            args.push("--sanitize".to_owned());
        }
        args.extend(self.steering());
        if self.args.source.base == cli::BaseArg::Undo {
            args.extend(["--base", "undo"].map(str::to_owned));
        }
        for (name, place) in &self.local {
            args.extend(["--tree".to_owned(), format!("{name}={}", place.fixed())]);
        }
        args
    }

    /// What was brought to a plan that is derived.
    fn steering(&self) -> Vec<String> {
        let path =
            |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string();
        let symbols = self.args.symbols.iter().map(|(name, value)| ("--symbols", format!("{name}={value}")));
        let programs = self.args.run.iter().map(|file| ("--run", path(file)));
        let suites = self.args.kunit.iter().map(|suite| ("--kunit", suite.clone()));
        let selftests = self.args.selftest.iter().map(|dir| ("--selftest", dir.clone()));
        let allowed = self.args.allow_unreached.iter().map(|hunk| ("--allow-unreached", hunk.to_string()));
        let all = symbols.chain(programs).chain(suites).chain(selftests).chain(allowed);
        all.flat_map(|(option, value)| [option.to_owned(), value]).collect()
    }
}
