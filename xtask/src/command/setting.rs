//! What `cargo xtask matrix` and `cargo xtask build` stand on from their first step to their last.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use protocol::Workload;

use super::part::{DividedPlan, PartRecord};
use super::planned::{Course, Planned, Sources};
use super::{conclude, intake, user_program};
use crate::arms::{Tested, about};
use crate::campaign;
use crate::campaign::plan::{self, Beside, CONTROLS_OF_A_NORMAL_RUN, Cell};
use crate::campaign::project::{self, Loaded, Project};
use crate::campaign::{Campaign, Scenario, scenario};
use crate::command::cli::{self, Controls, SuiteWish};
use crate::host::sandbox::Sandbox;
use crate::host::{self, process, terminal};
use crate::run::rundir::RunDir;
use crate::source::Local;
use crate::subject::kconfig::KconfigRequest;
use failure::{Exit, Failure, Result, escape};
use patch::Series;

/// What the command line asks for, as it is known without a source, and before a directory is made for it.
pub struct Outline {
    pub loaded: Loaded,
    /// The sources that the user names, by tree.
    pub local: BTreeMap<String, Local>,
    /// By tree.
    pub tested: BTreeMap<String, Tested>,
    pub beside: Beside,
    /// Those that are run here.
    pub cells: Vec<Cell>,
    /// Of a plan that is divided.
    pub divided: Option<DividedPlan>,
}

/// What the whole command stands on.
pub struct Setting<'a> {
    pub project: &'a Project,
    pub args: &'a cli::PlanArgs,
    pub loaded: Loaded,
    /// The sources that the user names, by tree.
    pub local: BTreeMap<String, Local>,
    pub dir: RunDir,
    /// By tree.
    pub tested: BTreeMap<String, Tested>,
    pub sandbox: Sandbox,
    pub requests: BTreeMap<String, Vec<KconfigRequest>>,
    /// What Kconfig makes of them, as lines, where it was asked before.
    pub configured: BTreeMap<String, BTreeSet<String>>,
    pub started: Instant,
    pub planned: Planned,
}

impl Outline {
    /// # Errors
    /// When the campaign, the patch or an option is not sound.
    pub fn find(project: &Project, args: &cli::PlanArgs) -> Result<Outline> {
        let mut loaded = Loaded::load(project, args.source.campaign())?;
        let mut local = super::local_trees(&mut loaded, &args.source)?;
        let own = if args.patch.is_empty() { None } else { Some(intake::read(&args.patch, &local)?) };
        if let (None, Some(series)) = (&args.source.campaign, &own) {
            let touched = series.patches.iter().flat_map(|patch| &patch.files).map(|file| file.path.clone());
            let name = about::campaign_about(project, &touched.collect());
            loaded = Loaded::load(project, name.as_deref().unwrap_or(campaign::ANY))?;
            local = super::local_trees(&mut loaded, &args.source)?;
        }
        for variant in &mut loaded.campaign.variants {
            variant.symbols.extend(args.symbols.iter().cloned());
        }
        if args.sanitize {
            sanitize(&mut loaded.campaign)?;
        }
        scenario::add_before_the_last_look(&mut loaded.campaign.scenarios, asked_for(args)?);
        let taken = |suite| match suite {
            campaign::Suite::Quick => true,
            campaign::Suite::Normal => args.suite != SuiteWish::Quick,
            campaign::Suite::Full => args.suite == SuiteWish::Full,
            campaign::Suite::Soak => args.soak.is_some(),
        };
        loaded.campaign.scenarios.retain(|scenario| taken(scenario.suite));
        project.require_guest_tests(&loaded.campaign)?;
        let tested = tested(project, args, &loaded.campaign, own)?;
        let beside = beside(args, &loaded, &tested);
        // Controls that have no cell are still asked for: they count as not run, and nothing passes.
        let planned = match args.controls {
            Controls::None => &Beside { controls: Vec::new(), ..beside.clone() },
            Controls::All | Controls::Auto => &beside,
        };
        let cells = plan::select(plan::cells(&loaded.campaign, planned)?, &args.only)?;
        let divided = DividedPlan::new(args, &loaded.campaign, cells.clone())?;
        let cells = divided.as_ref().map_or(cells, DividedPlan::cells);
        Ok(Outline { loaded, local, tested, beside, cells, divided })
    }
}

/// Has the kernels of a derived plan look at every access to memory (Documentation/dev-tools/kasan.rst), which takes room for
/// what KASAN remembers of it. They are variants of their own, with objects of their own.
fn sanitize(campaign: &mut Campaign) -> Result<()> {
    if !is_derived(campaign) {
        return Err(Failure::usage(format!(
            "campaign {} says itself how its kernels are built",
            campaign.name
        ))
        .next("name a variant with KASAN by --only, or derive a plan: --campaign any-patch"));
    }
    for variant in &mut campaign.variants {
        variant.name = format!("{}-kasan", variant.name);
        variant.stands_in_for = variant.stands_in_for.take().map(|name| format!("{name}-kasan"));
        variant.fragments.push("kasan".to_owned());
        variant.memory_mib = variant.memory_mib.map(|mib| mib * 2);
    }
    Ok(())
}

impl Outline {
    /// What compiles the patch's lines is left open by its campaign, and derived from the patch.
    pub fn is_derived(&self) -> bool {
        is_derived(&self.loaded.campaign)
    }
}

impl Setting<'_> {
    /// Ends a part that no kernel of the plan is in: nothing is run, and there is no verdict and no report.
    ///
    /// # Errors
    /// When the disk or standard output does not take what it leaves for `merge`.
    pub fn conclude_empty(&self) -> Result<Option<Exit>> {
        let Some(part) = self.planned.part.as_ref().filter(|_| self.planned.cells.is_empty()) else {
            return Ok(None);
        };
        self.planned.write(&self.dir.path)?;
        let course = Course {
            interrupted: false,
            wall_secs: self.started.elapsed().as_secs_f64(),
            ..Course::default()
        };
        course.write(&self.dir.path)?;
        let why = match self.loaded.campaign.coverage {
            true => {
                "what is counted in its first kernel decides what the others run, so the plan is not divided"
            }
            false => "the plan has fewer pairs of kernels than parts",
        };
        terminal::print_line(&format!("part {}: nothing to run: {why}", part.partition))?;
        terminal::print_line(&escape::line(&format!("run directory: {}", self.dir.path.display())))?;
        Ok(Some(Exit::Ok))
    }
}

/// See [`Outline::is_derived`].
pub fn is_derived(campaign: &Campaign) -> bool {
    campaign.coverage && campaign.variants.iter().all(|variant| variant.counted.is_empty())
}

impl<'a> Setting<'a> {
    /// Makes sure that the host has what is needed, and makes the directory of the run.
    ///
    /// # Errors
    /// When the host lacks something, or the directory cannot be made.
    pub fn open(
        project: &'a Project,
        args: &'a cli::PlanArgs,
        outline: Outline,
        out: Option<&Path>,
        started: Instant,
    ) -> Result<Setting<'a>> {
        let Outline { loaded, local, tested, beside, cells, divided } = outline;
        let requests = project::requests_of(project, &loaded.campaign)?;
        let arches = super::arches(&cells);
        host::require(&arches, !args.no_sandbox, args.source.install_deps, &project.install_log())?;
        let sandbox = super::sandbox(project, args.no_sandbox, &arches)?;
        // A tree that is there already needs room for what changes in it only.
        let needed = if project.work().join("source").exists() { host::AGAIN_MIB } else { host::NEEDED_MIB };
        host::require_disk(&project.work(), needed)?;
        let dir = RunDir::create(project, out)?;
        for (path, arch) in args.run.iter().flat_map(|path| arches.iter().map(move |arch| (path, arch))) {
            user_program::prepare(path, arch, &sandbox, &dir.path)?;
        }
        process::catch_interrupts()?;
        let planned = Planned {
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
            unreached_allowed: args.allow_unreached.clone(),
            unplanted: BTreeMap::new(),
            cells,
            part: divided.as_ref().map(DividedPlan::planned),
        };
        if let Some(divided) = &divided {
            // First of all: a part that ends early is known as one.
            PartRecord::new(project, &planned, divided, &tested)?.write(&dir.path)?;
        }
        Ok(Setting {
            project,
            args,
            loaded,
            local,
            dir,
            tested,
            sandbox,
            requests,
            configured: BTreeMap::new(),
            started,
            planned,
        })
    }
}

/// Controls that are taken of each variant and version; none: all.
pub fn most_controls(args: &cli::PlanArgs) -> Option<usize> {
    (args.controls != Controls::All).then_some(CONTROLS_OF_A_NORMAL_RUN)
}

/// The guest tests that were asked for, where these are not the usual ones.
pub fn suite(args: &cli::PlanArgs) -> Option<&'static str> {
    match args.suite {
        SuiteWish::Quick => Some("quick"),
        SuiteWish::Normal => None,
        SuiteWish::Full => Some("full"),
    }
}

/// The workloads that the user brings.
fn asked_for(args: &cli::PlanArgs) -> Result<Vec<Scenario>> {
    let mut scenarios = Vec::new();
    for suite in &args.kunit {
        scenarios.push(Scenario::workload(Scenario::name_of_suite(suite), Workload::Kunit(suite.clone())));
    }
    for path in &args.run {
        let (name, inside) = user_program::place(path)?;
        scenarios.push(Scenario::workload(name, Workload::Program(vec![inside])));
    }
    Ok(scenarios)
}

/// What is tested on each tree. A patch of the user's own stands for the campaign's on all of them.
fn tested(
    project: &Project,
    args: &cli::PlanArgs,
    campaign: &Campaign,
    own: Option<Series>,
) -> Result<BTreeMap<String, Tested>> {
    let read = |path: &PathBuf| intake::file(&project.root.join(path));
    let mut all = BTreeMap::new();
    for tree in &campaign.trees {
        let backport = campaign.backports.get(tree).filter(|_| own.is_none());
        let series = match (&own, backport) {
            (Some(own), _) => own.clone(),
            (None, Some(backport)) => read(backport)?,
            (None, None) => match &campaign.patch {
                Some(path) => read(path)?,
                None => {
                    return Err(Failure::usage(format!(
                        "campaign {} is of no patch by itself",
                        campaign.name
                    ))
                    .next("name the patch: --patch FILE"));
                }
            },
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

fn beside(args: &cli::PlanArgs, loaded: &Loaded, tested: &BTreeMap<String, Tested>) -> Beside {
    let names = |tested: &Tested| tested.versions.keys().cloned().collect();
    let first = loaded.campaign.trees.first().and_then(|tree| tested.get(tree));
    let hunks = first.map(|tested| patch::hunks(&tested.series)).unwrap_or_default();
    Beside {
        versions: tested.iter().map(|(tree, tested)| (tree.clone(), names(tested))).collect(),
        controls: loaded.controls.clone(),
        leave_out: if args.without_hunk { hunks } else { Vec::new() },
    }
}
