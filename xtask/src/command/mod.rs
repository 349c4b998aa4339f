//! One file per subcommand: each wires modules together and turns the outcome into an exit code.

pub mod ci;
mod conclude;
pub mod doctor;
pub mod dry_run;
pub mod faults;
pub mod matrix;
pub mod patch;
mod setting;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cli;
use crate::config::Tree;
use crate::failure::{Context, Failure, Result};
use crate::patch::Series;
use crate::project::{Loaded, Project};
use crate::source::{self, Source, Wanted};

/// What `--tree NAME=DIR` says, by name.
fn local_trees(loaded: &Loaded, options: &cli::Source) -> Result<BTreeMap<String, PathBuf>> {
    let mut dirs = BTreeMap::new();
    for option in &options.trees {
        let (name, dir) = option
            .split_once('=')
            .filter(|(name, dir)| !name.is_empty() && !dir.is_empty())
            .ok_or_else(|| {
                Failure::usage(format!("--tree {option}: not NAME=DIR"))
                    .next("for instance --tree 7.2=../linux")
            })?;
        if loaded.trees.iter().all(|tree| tree.name != name) {
            let names: Vec<&str> = loaded.trees.iter().map(|tree| tree.name.as_str()).collect();
            return Err(Failure::usage(format!(
                "--tree {option}: campaign {} has no tree `{name}`",
                loaded.campaign.name
            ))
            .next(format!("its trees: {}", names.join(", "))));
        }
        let dir = std::path::absolute(dir).or_infra(|| format!("find {dir}"))?;
        if dirs.insert(name.to_owned(), dir).is_some() {
            return Err(Failure::usage(format!("--tree {name}=… is there twice")));
        }
    }
    Ok(dirs)
}

/// Finds, or fetches, the source of one tree.
fn fetch(
    project: &Project,
    tree: &Tree,
    local: &BTreeMap<String, PathBuf>,
    progress: &dyn Fn(&str),
) -> Result<Source> {
    let wanted = Wanted {
        name: tree.name.clone(),
        local: local.get(&tree.name).cloned(),
        debian: tree.debian.clone(),
        kernel_org: tree.kernel_org.clone(),
    };
    source::fetch(&wanted, &project.work(), progress)
}

/// Reads a patch file.
fn read_series(path: &Path) -> Result<Series> {
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::usage(format!("cannot read the patch {}", path.display())).because(error.to_string())
    })?;
    crate::patch::read(&bytes, &path.display().to_string())
}
