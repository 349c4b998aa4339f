//! `cargo xtask patch FILE`: what the file is, whether it is sound, whether it fits; and no run.

use super::intake;
use crate::arms::base_tree;
use crate::campaign::project::{Loaded, Project};
use crate::command::cli;
use crate::host::disk::write_whole;
use crate::host::{self, arch, terminal};
use crate::source::SourceReader;
use failure::{Exit, Failure, Result, escape};

/// Shows the patch against the first tree of the campaign; with `--write`, writes the sound patch.
///
/// # Errors
/// When there is no tree to hold the patch against. That the patch is refused is an answer, with its exit code.
pub fn patch(project: &Project, args: &cli::PatchArgs) -> Result<Exit> {
    let mut loaded = Loaded::load(project, args.source.campaign())?;
    let local = super::local_trees(&mut loaded, &args.source)?;
    let series = intake::read(&args.files, &local)?;
    let tree = loaded.trees.first().ok_or_else(|| Failure::internal("a campaign without a tree"))?;
    if !local.contains_key(&tree.name) {
        host::require(&[arch::DEFAULT], false, args.source.install_deps, &project.install_log())?;
    }
    let progress = |text: &str| terminal::say(&escape::line(text));
    // No tree of a run is touched: a matrix that goes on meanwhile is not waited for.
    let source = SourceReader::open(&super::wanted(project, tree, &local), &project.work(), &progress)?;
    terminal::print_line(&format!("tree {}: {} from {}", tree.name, source.version, source.origin))?;
    if let Some(held) = patch::held(&series, &source)? {
        terminal::print_line(&format!("the tree as it came already holds this patch: {held}"))?;
    }
    for name in &tree.prepare {
        terminal::print_line(&format!("prepared by {name}"))?;
    }
    let base_tree = base_tree::find(&super::asked(project, &loaded, tree, &args.source), &source, &series);
    let outcome = match &base_tree {
        Err(failure) if failure.exit != Exit::PatchRejected => return Err(failure.clone()),
        base_tree => base_tree.as_ref().map(|base_tree| &base_tree.proved),
    };
    if base_tree.as_ref().is_ok_and(|base_tree| base_tree.undone.is_some()) {
        terminal::print_line("undone to make the base (--base undo)")?;
    }
    terminal::print(&patch::show(&series, outcome))?;
    let proved = match outcome {
        Ok(proved) => proved,
        Err(failure) => return Ok(failure.exit),
    };
    if let Some(out) = &args.write {
        write_whole(out, &proved.sound)?;
        terminal::print_line(&format!("written: {}", out.display()))?;
    }
    Ok(Exit::Ok)
}
