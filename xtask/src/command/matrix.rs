//! `cargo xtask matrix`: plan, sources, builds, boots, verdicts, report.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::Instant;

use super::planned::{Planned, Sources};
use super::setting::{Setting, most_controls, suite};
use super::{conclude, intake};
use crate::arms::{self, Arms, Tested};
use crate::arms::{about, base_tree};
use crate::boot::probe::Wish;
use crate::build::Ccache;
use crate::build::guest;
use crate::cache::{Cache, LIMIT_BYTES};
use crate::campaign;
use crate::campaign::Campaign;
use crate::campaign::plan::{self, Arm, Beside, Cell};
use crate::campaign::project::{self, Loaded, Project};
use crate::command::cli::{self, AccelWish, CcacheWish, Controls, SuiteWish};
use crate::host::arch::Arch;
use crate::host::disk::write_whole;
use crate::host::sandbox::{self, Sandbox};
use crate::host::{self, process, terminal};
use crate::judge;
use crate::observe::Evidence;
use crate::observe::events::{Event, Events};
use crate::report::{self, PatchReport, TreeReport};
use crate::run::rundir::RunDir;
use crate::run::{Gathered, ReadyTree, Run};
use crate::source::Local;
use crate::source::worktree::WorkTree;
use failure::{Exit, Failure, Result};
use patch::Proved;

/// Runs the campaign.
///
/// # Errors
/// When there can be no report: bad input, a refused patch, a host that lacks something. Everything else, an
/// interruption too, ends in a report and its exit code.
pub fn matrix(project: &Project, args: &cli::MatrixArgs) -> Result<Exit> {
    let started = Instant::now();
    let mut loaded = Loaded::load(project, &args.source.campaign)?;
    let local = super::local_trees(&mut loaded, &args.source)?;
    let taken = |suite| match suite {
        campaign::Suite::Quick => true,
        campaign::Suite::Normal => args.suite != SuiteWish::Quick,
        campaign::Suite::Full => args.suite == SuiteWish::Full,
        campaign::Suite::Soak => args.soak.is_some(),
    };
    loaded.campaign.scenarios.retain(|scenario| taken(scenario.suite));
    project.require_guest_tests(&loaded.campaign)?;
    let tested = tested(project, args, &loaded.campaign, &local)?;
    let beside = beside(args, &loaded, &tested);
    // Controls that have no cell are still asked for: they count as not run, and nothing passes.
    let planned = match args.controls {
        Controls::None => &Beside { controls: Vec::new(), ..beside.clone() },
        Controls::All | Controls::Auto => &beside,
    };
    let cells = plan::select(plan::cells(&loaded.campaign, planned)?, &args.only)?;
    let jobs =
        args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    if args.dry_run {
        // Only the source says which of them have a place in it.
        let cells = plan::first_controls(cells, most_controls(args).unwrap_or(usize::MAX));
        terminal::print(&super::dry_run::render(project, &loaded, &local, &cells, jobs)?)?;
        return Ok(Exit::Ok);
    }
    let requests = project::requests_of(project, &loaded.campaign)?;
    let arches = arches(&cells);
    host::require(&arches, !args.no_sandbox, args.source.install_deps, &project.install_log())?;
    let sandbox = sandbox(project, args, &arches)?;
    // A tree that is there already needs room for what changes in it only.
    let needed = if project.work().join("source").exists() { host::AGAIN_MIB } else { host::NEEDED_MIB };
    host::require_disk(&project.work(), needed)?;
    let dir = RunDir::create(project, args.out.as_deref())?;
    process::catch_interrupts()?;
    let mut setting = Setting {
        project,
        args,
        loaded: &loaded,
        local: &local,
        dir: &dir,
        tested: &tested,
        planned: Planned {
            campaign: loaded.campaign.name.clone(),
            subject: loaded.campaign.subject.clone(),
            scenarios: loaded.campaign.scenarios.clone(),
            beside,
            most_controls: most_controls(args),
            suite: suite(args).map(str::to_owned),
            started: dir.started.clone(),
            sandbox: sandbox.describe(),
            unconfined: !sandbox.is_on(),
            unproved: conclude::unproved(&loaded.campaign, &tested),
            sources: Sources::default(),
            cells,
        },
        sandbox,
        requests,
        started,
    };
    let (sender, receiver) = channel();
    let shown = report::progress::show(receiver, args.verbose);
    let gathered = setting.run(Events::new(sender), jobs);
    Cache::new(project.cache()).shrink(LIMIT_BYTES);
    // The thread ends when the last sender is gone; a panic in it has printed itself.
    let _ = shown.join();
    setting.conclude(gathered)
}

/// What is tested on each tree. A patch of the user's own stands for the campaign's on all of them.
fn tested(
    project: &Project,
    args: &cli::MatrixArgs,
    campaign: &Campaign,
    local: &BTreeMap<String, Local>,
) -> Result<BTreeMap<String, Tested>> {
    let read = |path: &PathBuf| intake::file(&project.root.join(path));
    let own = if args.patch.is_empty() { None } else { Some(intake::read(&args.patch, local)?) };
    let mut all = BTreeMap::new();
    for tree in &campaign.trees {
        let backport = campaign.backports.get(tree).filter(|_| own.is_none());
        let series = match (&own, backport) {
            (Some(own), _) => own.clone(),
            (None, Some(backport)) => read(backport)?,
            (None, None) => read(&campaign.patch)?,
        };
        let mut versions = BTreeMap::new();
        // They are made for the tree that the patch was made for.
        if !campaign.backports.contains_key(tree) {
            for (name, path) in &campaign.versions {
                versions.insert(name.clone(), read(path)?);
            }
        }
        if args.each {
            versions.extend(patch::parts(&series));
        }
        all.insert(tree.clone(), Tested { series, versions });
    }
    Ok(all)
}

fn beside(args: &cli::MatrixArgs, loaded: &Loaded, tested: &BTreeMap<String, Tested>) -> Beside {
    let names = |tested: &Tested| tested.versions.keys().cloned().collect();
    let first = loaded.campaign.trees.first().and_then(|tree| tested.get(tree));
    let hunks = first.map(|tested| patch::hunks(&tested.series)).unwrap_or_default();
    Beside {
        versions: tested.iter().map(|(tree, tested)| (tree.clone(), names(tested))).collect(),
        controls: loaded.controls.clone(),
        leave_out: if args.without_hunk { hunks } else { Vec::new() },
    }
}

/// What confines builds and guests.
fn sandbox(project: &Project, args: &cli::MatrixArgs, arches: &[&Arch]) -> Result<Sandbox> {
    if args.no_sandbox && sandbox::hostile_to_make(&project.work()) {
        return Err(Failure::usage(format!("make cannot work in {}", project.work().display()))
            .because("kbuild refuses paths with spaces, colons and the like; the sandbox hides them")
            .next("let PATCHPROOF_WORK name another directory, or leave out --no-sandbox"));
    }
    let programs = arches.iter().flat_map(|arch| {
        let tools =
            ["gcc", "ld", "nm", "objdump", "addr2line"].map(|tool| format!("{}{tool}", arch.prefix()));
        tools.into_iter().chain([arch.qemu.to_owned()])
    });
    Sandbox::find(args.no_sandbox, &programs.collect::<Vec<_>>())
}

fn arches(cells: &[Cell]) -> Vec<&'static Arch> {
    let mut arches: Vec<&'static Arch> = Vec::new();
    for cell in cells {
        if !arches.contains(&cell.arch) {
            arches.push(cell.arch);
        }
    }
    arches
}

impl Setting<'_> {
    /// Everything up to the last piece of evidence; what ended it early is part of the result.
    fn run(&mut self, events: Events, jobs: usize) -> Gathered {
        let mut sources = Sources::default();
        let early = |cells: &[Cell], ended| Gathered {
            evidence: vec![Evidence::default(); cells.len()],
            accels: BTreeMap::new(),
            guests_secs: 0.0,
            ended,
        };
        let ready = self.ready_trees(&events, &mut sources).and_then(|trees| Ok((trees, self.ccache()?)));
        self.planned.sources = sources;
        self.keep_cells();
        let planned = &self.planned;
        let ready = ready.and_then(|ready| planned.write(&self.dir.path).map(|()| ready));
        let (trees, ccache) = match ready {
            Ok(ready) => ready,
            Err(failure) => return early(&planned.cells, Some(failure)),
        };
        if planned.cells.iter().all(|cell| planned.sources.beside_the_point.contains_key(&cell.tree)) {
            return early(&planned.cells, None);
        }
        events.send(Event::Planned(planned.cells.iter().map(Cell::id).collect()));
        let setting = &*self;
        let guests = || setting.guests();
        let look = |cell: &Cell, evidence: &Evidence| setting.look(cell, evidence);
        let run = Run {
            project: self.project,
            dir: self.dir,
            cells: &setting.planned.cells,
            subject: &setting.loaded.campaign.subject,
            trees,
            requests: self.requests.clone(),
            guests: &guests,
            sandbox: self.sandbox.clone(),
            wish: match self.args.accel {
                AccelWish::Auto => Wish::Auto,
                AccelWish::Kvm => Wish::Kvm,
                AccelWish::Tcg => Wish::Tcg,
            },
            jobs,
            ccache,
            fail_fast: self.args.fail_fast,
            repeat: self.args.repeat,
            soak: self.args.soak.unwrap_or_default(),
            rebuild: self.args.rebuild,
            recorded: self.args.recorded && self.args.repeat == 1 && self.args.soak.is_none(),
            inject: !self.args.test_no_injection,
            events,
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
            let source = super::fetch(self.project, tree, self.local, &progress)?;
            let work = WorkTree::open(&source, &self.project.work(), &progress)?;
            sources.fetch_secs += fetching.elapsed().as_secs_f64();
            events.note(format!("tree {}: {} from {}", tree.name, source.version, source.origin));
            let tested = self
                .tested
                .get(&tree.name)
                .ok_or_else(|| Failure::internal(format!("nothing is tested on the tree {}", tree.name)))?;
            let asked = super::asked(self.project, self.loaded, tree, &self.args.source);
            let base_tree = base_tree::find(&asked, &work, &tested.series)?;
            let undone = base_tree.undone.map(|held| held.to_string());
            let own = !self.args.patch.is_empty();
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
                    about::beside_the_point(self.project, self.loaded, &base_tree.base, &base_tree.proved)?
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

    fn ccache(&self) -> Result<Option<Ccache>> {
        let compilers: Vec<String> =
            arches(&self.planned.cells).iter().map(|arch| format!("{}gcc", arch.prefix())).collect();
        match self.args.ccache {
            CcacheWish::Auto => Ccache::find(&self.project.ccache(), &compilers),
            CcacheWish::Off => Ok(None),
        }
    }

    fn guests(&self) -> Result<BTreeMap<&'static str, guest::Binaries>> {
        let mut guests = BTreeMap::new();
        for cell in &self.planned.cells {
            if !guests.contains_key(cell.arch.rust_target) {
                let binaries = guest::build(&self.project.root, &self.project.work(), cell.arch)?;
                guests.insert(cell.arch.rust_target, binaries);
            }
        }
        Ok(guests)
    }

    /// Arguments that repeat this run from any directory.
    fn repeat_args(&self) -> Vec<String> {
        let campaign = &self.args.source.campaign;
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
        if self.args.source.base == cli::BaseArg::Undo {
            args.extend(["--base", "undo"].map(str::to_owned));
        }
        for (name, place) in self.local {
            args.extend(["--tree".to_owned(), format!("{name}={}", place.fixed())]);
        }
        args
    }

    /// For the live display: whether the cell is as it should be, and a line about it.
    fn look(&self, cell: &Cell, evidence: &Evidence) -> (bool, String) {
        let planned = &self.planned;
        let findings = planned.findings(cell, evidence);
        let good = match &cell.arm {
            Arm::Base | Arm::Patched | Arm::Version(_) => findings.is_empty(),
            Arm::Control(control) => judge::catch(&planned.asked(cell), control, evidence).caught,
            Arm::WithoutHunk(_) => judge::noticed(&planned.asked(cell), evidence).caught,
        };
        let mut words = Vec::new();
        match (evidence.built(), evidence.build_secs) {
            (Some(built), _) if built.cached => words.push("kernel from the cache".to_owned()),
            (Some(_), Some(secs)) => words.push(format!("built in {secs:.0} s")),
            _ => {}
        }
        if let Some(date) = &evidence.recorded {
            words.push(format!("recorded on {date}"));
        } else if let Some((boot, test, guests)) =
            evidence.ran().and_then(|ran| Some((ran.boot_secs?, ran.test_secs?, ran.guests)))
        {
            let by = if guests > 1 { format!(" in {guests} guests") } else { String::new() };
            words.push(format!("booted in {boot:.1} s, tests {test:.1} s{by}"));
        }
        words.extend(findings.into_iter().take(2));
        (good, words.join("; "))
    }
}
