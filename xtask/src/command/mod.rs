//! One file per subcommand: each wires modules together and turns the outcome into an exit code.

mod boot;
mod build;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::disallowed_methods))]
mod builds;
mod cache;
pub mod cli;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::disallowed_methods))]
mod conclude;
mod configured;
mod console;
mod counted;
mod derive;
mod derived_plan;
mod derived_variants;
pub mod describe;
mod doctor;
mod dry_run;
mod hunks_left;
mod intake;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::disallowed_methods))]
mod join;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::disallowed_methods))]
mod judge;
mod kernels;
mod log_tails;
mod matrix;
mod merge;
mod mutate;
mod next;
mod open;
mod part;
mod patch;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::disallowed_methods))]
pub mod planned;
mod queued;
mod reached;
mod reply;
pub mod report;
pub mod runs;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::disallowed_methods))]
mod selftests;
mod setting;
mod slurm;
mod submit;
mod user_program;
mod warm;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

use crate::arms::base_tree;
use crate::build::{guest, userland};
use crate::campaign::plan::Cell;
use crate::campaign::project::{Loaded, Project};
use crate::campaign::{BaseWish, KernelOrg, Tree};
use crate::host::arch::Arch;
use crate::host::input;
use crate::host::sandbox::{self, Sandbox};
use crate::observe::events::{Event, Events};
use crate::report::progress::{self, Loudness};
use crate::source::{self, Local, Source, Wanted};
use cli::Command;
use failure::{Exit, Failure, Result};

/// Does what is asked.
///
/// # Errors
/// As the command.
pub fn run(project: &Project, command: &Command) -> Result<Exit> {
    match command {
        Command::Matrix(args) => matrix::matrix(project, args),
        Command::Build(args) => build::build(project, args),
        Command::Warm(args) => warm::warm(project, args),
        Command::Boot(args) => boot::boot(project, args),
        Command::Judge(args) => judge::judge(project, args),
        Command::Merge(args) => merge::merge(project, args),
        Command::Submit(args) => submit::submit(project, args),
        Command::Report(args) => report::report(project, args),
        Command::Reply(args) => reply::reply(project, args),
        Command::Runs(args) => runs::runs(project, args),
        Command::Patch(args) => patch::patch(project, args),
        Command::Console(args) => console::console(args),
        Command::Doctor(args) => doctor::doctor(project, args),
        Command::Cache(args) => cache::cache(project, args),
        Command::Watch(args) => watch::watch(project, args),
    }
}

/// The directory of a run that is over: `run`, or the run of that name among those of the project.
///
/// # Errors
/// When there is neither.
fn run_dir(project: &Project, run: &Path) -> Result<PathBuf> {
    let places = [run.to_owned(), project.runs().join(run)];
    let found = places.iter().find(|place| place.is_dir()).and_then(|place| place.canonicalize().ok());
    found.ok_or_else(|| {
        Failure::usage(format!("no run {}", input::shown(run)))
            .because(format!("there is no directory {}", input::shown(&places[1])))
            .next("name the directory of a run; `latest` is the last one")
    })
}

/// What `--tree NAME=DIR[@REF]` says, by name. A name that is no tree of the campaign is a tree of the user's own:
/// then only the trees that are named so are left of the campaign's.
///
/// # Errors
/// When an option is not of this form, or names what is not there.
fn local_trees(loaded: &mut Loaded, options: &cli::SourceArgs) -> Result<BTreeMap<String, Local>> {
    let mut places = BTreeMap::new();
    let mut own = Vec::new();
    for option in &options.trees {
        let (name, place) = option
            .split_once('=')
            .filter(|(name, place)| !name.is_empty() && !place.is_empty())
            .ok_or_else(|| {
                Failure::usage(format!("--tree {option}: not NAME=DIR or NAME=DIR@REF"))
                    .next("for instance --tree 7.2=../linux or --tree mine=../linux@my-branch")
            })?;
        if loaded.trees.iter().all(|tree| tree.name != name) {
            let kin = loaded.trees.first().ok_or_else(|| Failure::internal("a campaign without a tree"))?;
            own.push(Tree::own(name, kin)?);
        }
        let place = Local::find(place)?;
        // Each tree is changed on its own; a copy of a directory is one tree.
        let directory = matches!(place, Local::Directory(_));
        if directory && places.values().any(|other| *other == place) {
            return Err(Failure::usage(format!("--tree {option}: another tree is this directory already")));
        }
        if places.insert(name.to_owned(), place).is_some() {
            return Err(Failure::usage(format!("--tree {name}=... is there twice")));
        }
    }
    if !own.is_empty() {
        loaded.stand_in(own, |tree| places.contains_key(&tree.name));
    }
    Ok(places)
}

/// Where the source of `tree` is looked for.
fn wanted(project: &Project, tree: &Tree, local: &BTreeMap<String, Local>) -> Wanted {
    Wanted {
        name: tree.name.clone(),
        local: local.get(&tree.name).cloned(),
        debian: tree.debian.clone(),
        kernel_org: tree.kernel_org.clone().map(|from| KernelOrg {
            keyring: from.keyring.map(|keyring| project.root.join(keyring)),
            ..from
        }),
    }
}

/// Finds, or fetches, the source of one tree.
fn fetch(
    project: &Project,
    tree: &Tree,
    local: &BTreeMap<String, Local>,
    progress: &dyn Fn(&str),
) -> Result<Source> {
    source::fetch(&wanted(project, tree, local), &project.work(), progress)
}

/// What is asked of the source of `tree`.
fn asked<'a>(
    project: &'a Project,
    loaded: &'a Loaded,
    tree: &'a Tree,
    options: &cli::SourceArgs,
) -> base_tree::BaseRequest<'a> {
    let undo = options.base == cli::BaseArg::Undo || loaded.campaign.base == BaseWish::Undo;
    base_tree::BaseRequest { project, tree, replaced: &loaded.replaced, undo }
}

/// What confines builds and guests.
fn sandbox(project: &Project, no_sandbox: bool, arches: &[&Arch]) -> Result<Sandbox> {
    if no_sandbox && sandbox::hostile_to_make(&project.work()) {
        return Err(Failure::usage(format!("make cannot work in {}", project.work().display()))
            .because("kbuild refuses paths with spaces, colons and the like; the sandbox hides them")
            .next("let PATCHPROOF_WORK name another directory, or leave out --no-sandbox"));
    }
    let programs = arches.iter().flat_map(|arch| {
        let tools =
            ["gcc", "ld", "nm", "objdump", "addr2line"].map(|tool| format!("{}{tool}", arch.prefix()));
        tools.into_iter().chain([arch.qemu.to_owned()])
    });
    Sandbox::find(no_sandbox, &programs.collect::<Vec<_>>())
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

/// The guest programs of every architecture that `cells` have, by target, with what the user brought to the run in `run_dir`.
///
/// # Errors
/// When one cannot be compiled.
fn guests(
    project: &Project,
    cells: &[Cell],
    run_dir: &Path,
    events: &Events,
) -> Result<BTreeMap<&'static str, guest::Binaries>> {
    let mut guests = BTreeMap::new();
    for cell in cells {
        if !guests.contains_key(cell.arch.rust_target) {
            let mut binaries = guest::build(&project.root, &project.work(), cell.arch)?;
            binaries.files = user_program::prepared(run_dir, cell.arch)?;
            if cell.variant.userland {
                let progress = |text: &str| events.send(Event::Status(text.to_owned()));
                // What needs it is skipped by the workloads themselves, on both arms.
                binaries.userland =
                    userland::provide(&project.work(), cell.arch, &progress).unwrap_or_else(|failure| {
                        events
                            .note(format!("guests go without programs of a distribution: {}", failure.what));
                        None
                    });
            }
            guests.insert(cell.arch.rust_target, binaries);
        }
    }
    Ok(guests)
}

/// Does `work`, and shows meanwhile what it says it does.
fn shown<T>(loudness: Loudness, work: impl FnOnce(Events) -> T) -> T {
    let (sender, receiver) = channel();
    let shown = progress::show(receiver, loudness);
    let done = work(Events::new(sender));
    // The thread ends when the last sender is gone; a panic in it has printed itself.
    let _ = shown.join();
    done
}
