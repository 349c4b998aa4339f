//! `cargo xtask boot RUN`: boots what `cargo xtask build` left in the directory of a run, and keeps the evidence of each cell.
//! Judges nothing: that is `cargo xtask judge RUN`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use super::builds::{self, Builds};
use super::conclude::settled;
use super::planned::Planned;
use crate::cache::{Cache, LIMIT_BYTES};
use crate::campaign::plan::Cell;
use crate::campaign::project::Project;
use crate::command::cli;
use crate::host::input::shown;
use crate::host::{self, process, terminal};
use crate::observe::events::Event;
use crate::observe::{Boot, Evidence, GuestEnd};
use crate::report::layout;
use crate::run::rundir::RunDir;
use crate::run::{Run, Stages};
use failure::{Exit, Failure, Result, escape};

/// Boots the kernels of the run.
///
/// # Errors
/// When the directory is not one that was built, a file in it is not the one that was built, it was booted before, or the
/// host lacks something. A guest that goes wrong is evidence.
pub fn boot(project: &Project, args: &cli::BootArgs) -> Result<Exit> {
    let started = Instant::now();
    let path = super::run_dir(project, &args.run)?;
    let planned = Planned::read(&path)?;
    let built = Builds::read(&path, &planned)?;
    require_the_same_sandbox(&planned, args.no_sandbox, &path)?;
    let arches = super::arches(&planned.cells);
    host::require(&arches, !args.no_sandbox, false, &project.install_log())?;
    let sandbox = super::sandbox(project, args.no_sandbox, &arches)?;
    host::require_disk(&path, host::AGAIN_MIB)?;
    process::catch_interrupts()?;
    let dir = RunDir::resume(path, planned.started.clone(), built.wall_secs)?;
    builds::begin_boot(&dir.path)?;
    let soak = Duration::from_secs(built.soak_secs);
    let gathered = super::shown(args.pace.loudness(), |events| {
        events.send(Event::Planned(planned.cells.iter().map(Cell::id).collect()));
        let guests = || super::guests(project, &planned.cells, &dir.path, &events);
        let look = |cell: &Cell, evidence: &Evidence| planned.look(cell, evidence);
        let run = Run {
            project,
            dir: &dir,
            stages: Stages::Boot,
            cells: &planned.cells,
            built: built.evidence(),
            booted_later: BTreeSet::new(),
            subject: &planned.subject,
            trees: &BTreeMap::new(),
            counted: planned.counted_files(),
            requests: BTreeMap::new(),
            configured: BTreeMap::new(),
            guests: &guests,
            sandbox,
            wish: args.guest.wish(),
            accels: BTreeMap::new(),
            jobs: args.pace.jobs(),
            ccache: None,
            fail_fast: args.pace.fail_fast,
            repeat: args.guest.repeat,
            soak,
            workload_time: args.guest.workload_time,
            enough: None,
            has_spoken: None,
            within_secs: BTreeMap::new(),
            rebuild: false,
            recorded: args.guest.takes_records(Some(soak).filter(|soak| !soak.is_zero())),
            inject: true,
            events: events.clone(),
            look: &look,
            repeat_args: built.repeat_args.clone(),
        };
        run.go()
    });
    Cache::new(project.cache()).shrink(LIMIT_BYTES);
    let wall_secs = built.wall_secs + started.elapsed().as_secs_f64();
    let (course, evidence, failed) = settled(gathered, wall_secs);
    course.write(&dir.path)?;
    if let Some(failure) = failed.or_else(|| course.interrupted.then(Failure::interrupted)) {
        return Err(super::next::to_boot_again(failure).log(&dir.path));
    }
    let (exit, text) = said(project, &planned, &evidence, &dir.path);
    terminal::print_as_it_is(&super::next::shortened(text, args.pace.loudness(), exit))?;
    Ok(exit)
}

/// The report says what confined a run, and says it once for builds and guests.
fn require_the_same_sandbox(planned: &Planned, no_sandbox: bool, dir: &Path) -> Result<()> {
    let failure = |how: &str, next: &str| {
        Err(Failure::usage(format!("{} was built {how} a sandbox", shown(dir))).next(next))
    };
    match (planned.unconfined, no_sandbox) {
        (true, false) => failure("without", "boot it with --no-sandbox as well, or build it again"),
        (false, true) => failure("in", "boot it without --no-sandbox, or build it again with it"),
        (true, true) | (false, false) => Ok(()),
    }
}

/// What was booted, what was not and why, where the evidence is, and what comes next. What the guests showed is the judge's.
fn said(project: &Project, planned: &Planned, evidence: &[Evidence], dir: &Path) -> (Exit, String) {
    let not_booted = |evidence: &Evidence| {
        evidence.boots().find_map(|boot| match boot {
            Boot::Ran(ran) if ran.end == GuestEnd::QemuFailed => {
                Some(format!("QEMU failed: {}", ran.qemu_said.as_deref().unwrap_or("it said nothing")))
            }
            Boot::Ran(_) => None,
            Boot::NotRun => Some("not booted".to_owned()),
            Boot::Infra { why } => Some(why.clone()),
        })
    };
    let kernels = || planned.cells.iter().zip(evidence).filter(|(_, evidence)| evidence.built().is_some());
    let lacking: Vec<String> = kernels()
        .filter_map(|(cell, evidence)| Some(format!("{}: {}", cell.id(), not_booted(evidence)?)))
        .collect();
    let exit = if lacking.is_empty() { Exit::Ok } else { Exit::Inconclusive };
    let booted = kernels().count() - lacking.len();
    let mut lines =
        vec![format!("booted: {booted} of {} kernels, exit code {}", kernels().count(), exit as u8)];
    lines.extend(lacking);
    lines.push(format!("run directory: {}", dir.display()));
    lines.push("in it: cells/ with the evidence, the console and repro.sh of each kernel".to_owned());
    let mut lines: Vec<String> = lines.iter().flat_map(|line| layout::fold(&escape::line(line))).collect();
    // Not broken: it is copied.
    let next = format!("next: cargo xtask judge {}", builds::name(project, dir));
    lines.push(escape::line(&next).into_owned());
    (exit, lines.join("\n") + "\n")
}
