//! `cargo xtask matrix`: plan, sources, builds, boots, verdicts, report.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::time::Instant;

use super::conclude;
use super::setting::{Setting, Sources};
use crate::accel::Wish;
use crate::arms::Arms;
use crate::cli::{self, AccelWish, Controls, Suite};
use crate::events::{Event, Events};
use crate::evidence::Evidence;
use crate::failure::{Exit, Result};
use crate::judge;
use crate::patch;
use crate::plan::{self, Arm, Cell};
use crate::project::{self, Loaded, Project};
use crate::report::{self, TreeReport};
use crate::run::{Gathered, ReadyTree, Run};
use crate::rundir::{RunDir, write_whole};
use crate::source::worktree::WorkTree;
use crate::{config, ground, guest, host, process};

/// Per variant: enough to show in every run that its detectors see.
const CONTROLS_OF_A_NORMAL_RUN: usize = 2;

/// Runs the campaign.
///
/// # Errors
/// When there can be no report: bad input, a refused patch, a host that lacks something. Everything else, an
/// interruption too, ends in a report and its exit code.
pub fn matrix(project: &Project, args: &cli::Matrix) -> Result<Exit> {
    let started = Instant::now();
    let mut loaded = Loaded::load(project, &args.source.campaign)?;
    let local = super::local_trees(&mut loaded, &args.source)?;
    if args.controls != Controls::All {
        loaded.keep_controls(CONTROLS_OF_A_NORMAL_RUN);
    }
    let taken = |suite| match suite {
        config::Suite::Normal => true,
        config::Suite::Full => args.suite == Suite::Full,
        config::Suite::Soak => args.soak.is_some(),
    };
    loaded.campaign.scenarios.retain(|scenario| taken(scenario.suite));
    project.require_guest_tests(&loaded.campaign)?;
    // Controls that have no cell are still asked for: they count as not run, and nothing passes.
    let controls = if args.controls == Controls::None { &[][..] } else { &loaded.controls };
    let patch_path = args.patch.clone().unwrap_or_else(|| project.root.join(&loaded.campaign.patch));
    let series = super::read_series(&patch_path)?;
    let leave_out = if args.without_hunk { patch::hunks(&series) } else { Vec::new() };
    let cells = plan::select(plan::cells(&loaded.campaign, controls, &leave_out)?, &args.only)?;
    let jobs =
        args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    if args.dry_run {
        print!("{}", super::dry_run::render(project, &loaded, &local, &cells, jobs)?);
        return Ok(Exit::Ok);
    }
    let requests = project::requests_of(project, &loaded.campaign)?;
    host::require(args.source.install_deps, &project.install_log())?;
    // A tree that is there already needs room for what changes in it only.
    let needed = if project.work().join("source").exists() { host::AGAIN_MIB } else { host::NEEDED_MIB };
    host::require_disk(&project.work(), needed)?;
    let dir = RunDir::create(project, args.out.as_deref())?;
    process::catch_interrupts()?;
    let setting = Setting {
        project,
        args,
        loaded: &loaded,
        local: &local,
        cells: &cells,
        dir: &dir,
        series: &series,
        requests,
        started,
    };
    let (sender, receiver) = channel();
    let shown = report::progress::show(receiver, args.verbose);
    let (gathered, sources) = setting.run(Events::new(sender), jobs);
    // The thread ends when the last sender is gone; a panic in it has printed itself.
    let _ = shown.join();
    setting.conclude(gathered, sources)
}

impl Setting<'_> {
    /// Everything up to the last piece of evidence; what ended it early is part of the result.
    fn run(&self, events: Events, jobs: usize) -> (Gathered, Sources) {
        let mut sources = Sources::default();
        let early = |failure| Gathered {
            evidence: vec![Evidence::default(); self.cells.len()],
            accel: None,
            ended: Some(failure),
        };
        let trees = match self.ready_trees(&events, &mut sources) {
            Ok(trees) => trees,
            Err(failure) => return (early(failure), sources),
        };
        events.send(Event::Planned(self.cells.iter().map(Cell::id).collect()));
        events.send(Event::Status("building the guest binaries".to_owned()));
        let guests = match self.guests() {
            Ok(guests) => guests,
            Err(failure) => return (early(failure), sources),
        };
        let look = |cell: &Cell, evidence: &Evidence| self.look(cell, evidence);
        let run = Run {
            project: self.project,
            dir: self.dir,
            cells: self.cells,
            trees,
            requests: self.requests.clone(),
            guests,
            wish: match self.args.accel {
                AccelWish::Auto => Wish::Auto,
                AccelWish::Kvm => Wish::Kvm,
                AccelWish::Tcg => Wish::Tcg,
            },
            jobs,
            fail_fast: self.args.fail_fast,
            repeat: self.args.repeat,
            soak: self.args.soak.unwrap_or_default(),
            inject: !self.args.test_no_injection,
            events,
            look: &look,
            repeat_args: self.repeat_args(),
        };
        (run.go(), sources)
    }

    fn ready_trees(&self, events: &Events, sources: &mut Sources) -> Result<BTreeMap<String, ReadyTree>> {
        let progress = |text: &str| events.send(Event::Status(text.to_owned()));
        let mut ready = BTreeMap::new();
        for tree in &self.loaded.trees {
            let fetching = Instant::now();
            let source = super::fetch(self.project, tree, self.local, &progress)?;
            let work = WorkTree::open(&source, &self.project.work(), &progress)?;
            sources.fetch_secs += fetching.elapsed().as_secs_f64();
            events.note(format!("tree {}: {} from {}", tree.name, source.version, source.origin));
            let asked = super::asked(self.project, self.loaded, tree, &self.args.source);
            let ground = ground::find(&asked, &work, self.series)?;
            let undone = ground.undone.map(|held| held.to_string());
            let arms = Arms::resolve(self.project, tree, ground, self.cells)?;
            let patch = conclude::patch_report(self.series, &arms.proved);
            write_whole(&self.dir.path.join("patch.patch"), &arms.proved.sound)?;
            sources.patch.get_or_insert(patch);
            sources.trees.push(TreeReport {
                name: tree.name.clone(),
                version: source.version.clone(),
                origin: source.origin.clone(),
                undone,
            });
            ready.insert(tree.name.clone(), ReadyTree { work, arms });
        }
        Ok(ready)
    }

    fn guests(&self) -> Result<BTreeMap<&'static str, guest::Binaries>> {
        let mut guests = BTreeMap::new();
        for cell in self.cells {
            if !guests.contains_key(cell.arch.rust_target) {
                let binaries = guest::build(&self.project.root, &self.project.work(), cell.arch)?;
                guests.insert(cell.arch.rust_target, binaries);
            }
        }
        Ok(guests)
    }

    fn repeat_args(&self) -> Vec<String> {
        let mut args = vec![
            "--campaign".to_owned(),
            self.args.source.campaign.clone(),
            "--patch".to_owned(),
            self.dir.path.join("patch.patch").display().to_string(),
        ];
        if self.args.controls == Controls::All {
            args.extend(["--controls".to_owned(), "all".to_owned()]);
        }
        if self.args.suite == Suite::Full {
            args.extend(["--suite".to_owned(), "full".to_owned()]);
        }
        if let Some(soak) = self.args.soak {
            args.extend(["--soak".to_owned(), format!("{}s", soak.as_secs())]);
        }
        if self.args.source.base == cli::Base::Undo {
            args.extend(["--base", "undo"].map(str::to_owned));
        }
        for (name, place) in self.local {
            args.extend(["--tree".to_owned(), format!("{name}={}", place.fixed())]);
        }
        args
    }

    /// For the live display: whether the cell is as it should be, and a line about it.
    fn look(&self, cell: &Cell, evidence: &Evidence) -> (bool, String) {
        let findings = self.findings(cell, evidence);
        let good = match &cell.arm {
            Arm::Base | Arm::Patched => findings.is_empty(),
            Arm::Control(control) => judge::catch(&self.asked(cell), control, evidence).caught,
            Arm::WithoutHunk(_) => judge::noticed(&self.asked(cell), evidence).caught,
        };
        let mut words = Vec::new();
        if let (Some(_), Some(secs)) = (evidence.built(), evidence.build_secs) {
            words.push(format!("built in {secs:.0} s"));
        }
        if let Some((boot, test)) = evidence.ran().and_then(|ran| Some((ran.boot_secs?, ran.test_secs?))) {
            words.push(format!("booted in {boot:.1} s, tests {test:.1} s"));
        }
        words.extend(findings.into_iter().take(2));
        (good, words.join("; "))
    }
}
