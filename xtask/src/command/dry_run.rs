//! `cargo xtask matrix --dry-run`: the plan with the exact commands, nothing fetched, built or booted.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::boot::qemu::{self, GuestFiles, Machine};
use crate::build::Job;
use crate::campaign;
use crate::campaign::plan::Cell;
use crate::campaign::project::{self, Loaded, Project};
use crate::host;
use crate::host::accel::Accel;
use crate::host::sandbox::Sandbox;
use crate::run::build_dirs;
use crate::source::{self, Local, build_dir};
use failure::Result;

/// The plan as text. What only a run knows stands in capitals: RUN is its directory, NONCE its nonce; the
/// accelerator is shown as TCG because only a boot can tell another.
///
/// # Errors
/// When a fragment is missing, not valid, or in conflict with another; or a directory of the user's is not there.
pub fn render(
    project: &Project,
    loaded: &Loaded,
    local: &BTreeMap<String, Local>,
    cells: &[Cell],
    jobs: usize,
) -> Result<String> {
    let mut text = String::new();
    let controls =
        cells.iter().filter(|cell| matches!(cell.arm, crate::campaign::plan::Arm::Control(_))).count();
    let _ = writeln!(
        text,
        "campaign {}: {} cells, {controls} of them controls",
        loaded.campaign.name,
        cells.len()
    );
    for scenario in &loaded.campaign.scenarios {
        let _ = writeln!(
            text,
            "scenario {}: {}",
            scenario.name,
            scenario.demand.describe(&loaded.campaign.subject)
        );
    }
    for (name, place) in local {
        if let Local::Revision(revision) = place {
            let _ = writeln!(text, "tree {name}: {}", revision.describe());
        }
    }
    let build_dirs = build_dirs::assign(cells, build_dirs::builders(jobs), &|_| None);
    let jobs = build_dirs::jobs_each(jobs, build_dirs.len());
    for build_dir in &build_dirs {
        let tree = campaign::find_tree(&loaded.trees, &build_dir.tree)?;
        let home = source::home(&super::wanted(project, tree, local), &project.work())?;
        let home = project.build_dirs(&build_dir.tree, &home, "").join(&build_dir.name);
        for cell in build_dir.cells.iter().filter_map(|index| cells.get(*index)) {
            describe(&mut text, project, cell, &home, jobs)?;
        }
    }
    Ok(text)
}

fn describe(text: &mut String, project: &Project, cell: &Cell, build_dir: &Path, jobs: usize) -> Result<()> {
    let requests = project::requests(project, &cell.variant)?;
    let dir = Path::new("RUN/cells").join(cell.id());
    let job = Job {
        sandbox: &Sandbox::Off,
        tree: &build_dir::tree_in(build_dir),
        objects: &build_dir::objects_in(build_dir),
        arch: cell.arch,
        requests: &requests,
        jobs,
        ccache: None,
        cell_dir: &dir,
        kconfig: "",
        touched: &std::collections::BTreeSet::new(),
        runs_own_code: false,
        keep_code: false,
        counted: if cell.arm.counts() { &cell.variant.counted } else { &[] },
    };
    let kind = if cell.variant.native() { "native" } else { "synthetic" };
    let _ = writeln!(text, "\n{} ({kind})", cell.id());
    for command in job.commands() {
        let _ = writeln!(text, "  {}", qemu::shell_line(&command));
    }
    let (initramfs, console, results) =
        (dir.join("initramfs.cpio"), dir.join("console.log"), dir.join("results.log"));
    let files =
        GuestFiles { kernel: &job.image(), initramfs: &initramfs, console: &console, results: &results };
    let machine = Machine {
        arch: cell.arch,
        accel: Accel::Tcg,
        cpus: cell.cpus(),
        in_turn: cell.variant.cpus_in_turn,
        memory_mib: cell.memory_mib(),
        tsc_mhz: host::tsc_mhz(),
    };
    let boot = qemu::command(machine, files, "NONCE", &cell.variant.arguments);
    let _ = writeln!(text, "  {}", qemu::shell_line(&boot));
    Ok(())
}
