//! `cargo xtask matrix`: plan, sources, builds, boots, verdicts, report.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::Instant;

use crate::accel::{Choice, Wish};
use crate::arms::Arms;
use crate::cli::{self, AccelWish, Controls, Format};
use crate::config::Mechanism;
use crate::events::{Event, Events};
use crate::evidence::Evidence;
use crate::failure::{Context, Exit, Result};
use crate::judge::{self, Asked, Caught};
use crate::kconfig::Request;
use crate::patch::{self, Proved, Series};
use crate::plan::{self, Arm, Cell};
use crate::project::{self, Loaded, Project};
use crate::report::{
    self, AccelReport, CellReport, ColdBuild, ControlReport, FileReport, LeftOutReport, PairReport,
    PatchReport, Report, TreeReport,
};
use crate::run::{Gathered, ReadyTree, Run};
use crate::rundir::{RunDir, write_whole};
use crate::source::worktree::WorkTree;
use crate::{guest, host, process};

/// Per variant: enough to show in every run that its detectors see.
const CONTROLS_OF_A_NORMAL_RUN: usize = 2;

/// What the whole command stands on.
struct Setting<'a> {
    project: &'a Project,
    args: &'a cli::Matrix,
    loaded: &'a Loaded,
    cells: &'a [Cell],
    dir: &'a RunDir,
    series: &'a Series,
    requests: BTreeMap<String, Vec<Request>>,
    started: Instant,
}

/// What was found out about the sources before the first build.
#[derive(Default)]
struct Sources {
    trees: Vec<TreeReport>,
    patch: Option<PatchReport>,
    fetch_secs: f64,
}

/// Runs the campaign.
///
/// # Errors
/// When there can be no report: bad input, a refused patch, a host that lacks something. Everything else, an
/// interruption too, ends in a report and its exit code.
pub fn matrix(project: &Project, args: &cli::Matrix) -> Result<Exit> {
    let started = Instant::now();
    let mut loaded = Loaded::load(project, &args.source.campaign)?;
    if args.controls != Controls::All {
        loaded.keep_controls(CONTROLS_OF_A_NORMAL_RUN);
    }
    // Controls that have no cell are still asked for: they count as not run, and nothing passes.
    let controls = if args.controls == Controls::None { &[][..] } else { &loaded.controls };
    let patch_path = args.patch.clone().unwrap_or_else(|| project.root.join(&loaded.campaign.patch));
    let series = super::read_series(&patch_path)?;
    let leave_out = if args.without_hunk { patch::hunks(&series) } else { Vec::new() };
    let cells = plan::select(plan::cells(&loaded.campaign, controls, &leave_out)?, &args.only)?;
    let jobs =
        args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    if args.dry_run {
        print!("{}", super::dry_run::render(project, &loaded, &cells, jobs)?);
        return Ok(Exit::Ok);
    }
    let requests = project::requests_of(project, &loaded.campaign)?;
    let local = super::local_trees(&loaded, &args.source)?;
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
        cells: &cells,
        dir: &dir,
        series: &series,
        requests,
        started,
    };
    let (sender, receiver) = channel();
    let shown = report::progress::show(receiver, args.verbose);
    let (gathered, sources) = setting.run(&local, Events::new(sender), jobs);
    // The thread ends when the last sender is gone; a panic in it has printed itself.
    let _ = shown.join();
    setting.conclude(gathered, sources)
}

impl Setting<'_> {
    /// Everything up to the last piece of evidence; what ended it early is part of the result.
    fn run(&self, local: &BTreeMap<String, PathBuf>, events: Events, jobs: usize) -> (Gathered, Sources) {
        let mut sources = Sources::default();
        let early = |failure| Gathered {
            evidence: vec![Evidence::default(); self.cells.len()],
            accel: None,
            ended: Some(failure),
        };
        let trees = match self.ready_trees(local, &events, &mut sources) {
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
            scenarios: &self.loaded.campaign.scenarios,
            wish: match self.args.accel {
                AccelWish::Auto => Wish::Auto,
                AccelWish::Kvm => Wish::Kvm,
                AccelWish::Tcg => Wish::Tcg,
            },
            jobs,
            fail_fast: self.args.fail_fast,
            repeat: self.args.repeat,
            inject: !self.args.test_no_injection,
            events,
            look: &look,
            repeat_args: self.repeat_args(),
        };
        (run.go(), sources)
    }

    fn ready_trees(
        &self,
        local: &BTreeMap<String, PathBuf>,
        events: &Events,
        sources: &mut Sources,
    ) -> Result<BTreeMap<String, ReadyTree>> {
        let progress = |text: &str| events.send(Event::Status(text.to_owned()));
        let mut ready = BTreeMap::new();
        for tree in &self.loaded.trees {
            let fetching = Instant::now();
            let source = super::fetch(self.project, tree, local, &progress)?;
            let work = WorkTree::open(&source, &self.project.work(), &progress)?;
            sources.fetch_secs += fetching.elapsed().as_secs_f64();
            events.note(format!("tree {}: {} from {}", tree.name, source.version, source.origin));
            let arms = Arms::resolve(self.project, tree, &work, self.series, self.cells)?;
            let patch = patch_report(self.series, &arms.proved);
            write_whole(&self.dir.path.join("patch.patch"), &arms.proved.sound)?;
            sources.patch.get_or_insert(patch);
            sources.trees.push(TreeReport {
                name: tree.name.clone(),
                version: source.version.clone(),
                origin: source.origin.clone(),
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
        for tree in &self.args.source.trees {
            args.extend(["--tree".to_owned(), tree.clone()]);
        }
        args
    }

    fn asked(&self, cell: &Cell) -> Asked<'_> {
        Asked {
            expect: cell.variant.expect,
            scenarios: &self.loaded.campaign.scenarios,
            cpus: cell.arch.cpus,
        }
    }

    /// What stands between a cell and a pass; for a control, what became of it.
    fn findings(&self, cell: &Cell, evidence: &Evidence) -> Vec<String> {
        let arm = match &cell.arm {
            Arm::Base => judge::Arm::Base,
            Arm::Patched => judge::Arm::Patched,
            Arm::Control(control) => return vec![judge::catch(&self.asked(cell), control, evidence).by],
            Arm::WithoutHunk(_) => return vec![judge::noticed(&self.asked(cell), evidence).by],
        };
        let found = judge::examine(&self.asked(cell), arm, evidence);
        found.into_iter().map(|finding| finding.text).collect()
    }

    /// Of a cell that was booted more than once.
    fn repetition(&self, cell: &Cell, evidence: &Evidence) -> Option<judge::Repetition> {
        let arm = match &cell.arm {
            Arm::Base => judge::Arm::Base,
            Arm::Patched => judge::Arm::Patched,
            Arm::Control(_) | Arm::WithoutHunk(_) => return None,
        };
        (!evidence.repeats.is_empty()).then(|| judge::count(&self.asked(cell), arm, evidence))
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
        if let Some(built) = evidence.built() {
            words.push(format!("built in {:.0} s", built.secs));
        }
        if let Some((boot, test)) = evidence.ran().and_then(|ran| Some((ran.boot_secs?, ran.test_secs?))) {
            words.push(format!("booted in {boot:.1} s, tests {test:.1} s"));
        }
        words.extend(findings.into_iter().take(2));
        (good, words.join("; "))
    }

    /// Verdicts, report files, and the exit code.
    fn conclude(&self, gathered: Gathered, sources: Sources) -> Result<Exit> {
        let interrupted = process::interrupted();
        let ended = gathered.ended.clone();
        let patch = match (&sources.patch, &ended) {
            (Some(patch), _) => patch.clone(),
            (None, Some(failure)) if failure.exit != Exit::Interrupted => return Err(failure.clone()),
            (None, _) => unproved(self.series),
        };
        let report = self.report(gathered, sources, patch, interrupted);
        let json = serde_json::to_string_pretty(&report).or_infra(|| "encode the report".to_owned())?;
        write_whole(&self.dir.path.join("report.json"), json.as_bytes())?;
        write_whole(&self.dir.path.join("junit.xml"), report::junit::render(&report)?.as_bytes())?;
        let run_dir = self.dir.path.display().to_string();
        let text = report::human::render(&report, &run_dir, false);
        write_whole(&self.dir.path.join("report.txt"), text.as_bytes())?;
        match self.args.format {
            Format::Json => println!("{json}"),
            Format::Human if std::io::stdout().is_terminal() => {
                print!("{}", report::human::render(&report, &run_dir, true));
            }
            Format::Human => print!("{text}"),
        }
        match ended {
            Some(failure) if failure.exit != Exit::Interrupted => Err(failure.log(&self.dir.path)),
            _ => Ok(report.exit()),
        }
    }

    fn report(&self, gathered: Gathered, sources: Sources, patch: PatchReport, interrupted: bool) -> Report {
        let version = |tree: &str| {
            sources.trees.iter().find(|found| found.name == tree).map_or("", |found| found.version.as_str())
        };
        let cells: Vec<CellReport> = self
            .cells
            .iter()
            .zip(&gathered.evidence)
            .map(|(cell, evidence)| {
                let findings = self.findings(cell, evidence);
                let repetition = self.repetition(cell, evidence);
                CellReport::new(cell, version(&cell.tree), evidence, findings, repetition)
            })
            .collect();
        let wall_secs = self.started.elapsed().as_secs_f64();
        let cold_build = cells.iter().find(|cell| cell.cold).and_then(|cell| {
            let secs = cell.build_secs?;
            Some(ColdBuild { cell: cell.id.clone(), secs, ratio: (wall_secs - sources.fetch_secs) / secs })
        });
        let (pairs, controls) = self.pairs(&gathered.evidence);
        let left_out = self.left_out(&gathered.evidence);
        Report {
            schema: report::SCHEMA,
            campaign: self.loaded.campaign.name.clone(),
            started: self.dir.started.clone(),
            interrupted,
            patch,
            trees: sources.trees.clone(),
            accel: gathered
                .accel
                .map(|Choice { accel, reason }| AccelReport { name: accel.name().to_owned(), reason }),
            cells,
            controls,
            left_out,
            pairs,
            fetch_secs: sources.fetch_secs,
            wall_secs,
            cold_build,
        }
    }

    /// What noticed each hunk that was left out.
    fn left_out(&self, evidence: &[Evidence]) -> Vec<LeftOutReport> {
        let cells = self.cells.iter().zip(evidence);
        cells
            .filter_map(|(cell, evidence)| {
                let Arm::WithoutHunk(left_out) = &cell.arm else { return None };
                let noticed = judge::noticed(&self.asked(cell), evidence);
                Some(LeftOutReport {
                    tree: cell.tree.clone(),
                    arch: cell.arch.name.to_owned(),
                    variant: cell.variant.name.clone(),
                    hunk: left_out.number,
                    place: format!("{}:{}", left_out.place.path, left_out.place.old_start),
                    noticed: noticed.caught,
                    by: noticed.by,
                })
            })
            .collect()
    }

    /// Judges every pair that has a cell in this run. A cell that was not selected counts as not run.
    fn pairs(&self, evidence: &[Evidence]) -> (Vec<PairReport>, Vec<ControlReport>) {
        let (mut pairs, mut controls): (Vec<PairReport>, Vec<ControlReport>) = (Vec::new(), Vec::new());
        let mut seen: Vec<String> = Vec::new();
        for cell in self.cells {
            if seen.contains(&cell.pair_id()) {
                continue;
            }
            seen.push(cell.pair_id());
            let of = |arm: &str| {
                let place =
                    self.cells.iter().position(|c| c.pair_id() == cell.pair_id() && c.arm.name() == arm);
                place.map(|place| evidence[place].clone()).unwrap_or_default()
            };
            let caught: Vec<_> = self
                .loaded
                .controls
                .iter()
                .filter(|control| cell.variant.controls.contains(&control.name))
                .map(|control| (control, judge::catch(&self.asked(cell), control, &of(&control.name))))
                .collect();
            let judgement = judge::judge(&self.asked(cell), &of("base"), &of("patched"), &caught);
            pairs.push(pair_report(cell, judgement));
            controls
                .extend(caught.into_iter().map(|(control, caught)| control_report(cell, control, caught)));
        }
        (pairs, controls)
    }
}

fn pair_report(cell: &Cell, judgement: judge::Judgement) -> PairReport {
    let expect = |mechanism: Mechanism| mechanism.describe().to_owned();
    PairReport {
        tree: cell.tree.clone(),
        arch: cell.arch.name.to_owned(),
        variant: cell.variant.name.clone(),
        about: cell.variant.about.clone(),
        native: cell.variant.native(),
        helpers: [cell.variant.helpers.clone(), cell.variant.patched_helpers.clone()].concat(),
        expect_base: expect(cell.variant.expect.base),
        expect_patched: expect(cell.variant.expect.patched),
        verdict: judgement.verdict,
        reasons: judgement.reasons,
    }
}

fn control_report(cell: &Cell, control: &crate::control::Control, caught: Caught) -> ControlReport {
    ControlReport {
        name: control.name.clone(),
        tree: cell.tree.clone(),
        arch: cell.arch.name.to_owned(),
        variant: cell.variant.name.clone(),
        plants: control.plants.clone(),
        exposed_by: control.exposed_by.to_string(),
        caught: caught.caught,
        by: caught.by,
        splat: caught.splat,
    }
}

/// Of a run that ended before the patch was held against a tree.
fn unproved(series: &Series) -> PatchReport {
    patch_report(series, &Proved::default())
}

fn patch_report(series: &Series, proved: &Proved) -> PatchReport {
    let first = series.patches.first();
    PatchReport {
        source: series.source.clone(),
        subject: first.and_then(|patch| patch.subject.clone()),
        form: first.map(|patch| patch.kind.to_string()).unwrap_or_default(),
        repaired: proved.repaired,
        damage: proved.damage.iter().map(ToString::to_string).collect(),
        files: proved
            .files
            .iter()
            .map(|file| FileReport {
                path: file.path.clone(),
                pre_blob: file.pre_blob.clone(),
                post_blob: file.post_blob.clone(),
                pre_matches: file.pre_matches,
                post_matches: file.post_matches,
            })
            .collect(),
    }
}
