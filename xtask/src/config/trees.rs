//! The kernel trees that campaigns name: where their source comes from, and what makes it the right base.

use std::path::Path;

use serde::Deserialize;

use super::{check_name, parse};
use crate::failure::{Failure, Result};
use crate::source::{Debian, KernelOrg};

/// One tree of `configs/trees.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    pub name: String,
    #[serde(default)]
    pub debian: Option<Debian>,
    #[serde(default)]
    pub kernel_org: Option<KernelOrg>,
    /// Patches, names in `patches/TREE`, applied before anything else.
    #[serde(default)]
    pub prepare: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    trees: Vec<Tree>,
}

/// Reads a `trees.yaml`.
///
/// # Errors
/// When it is missing or not valid: with file and line.
pub fn load(path: &Path) -> Result<Vec<Tree>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("cannot read {}", path.display())).because(error.to_string())
    })?;
    let raw: Raw = parse(path, &text)?;
    for tree in &raw.trees {
        check_name(path, "tree", &tree.name)?;
        for patch in &tree.prepare {
            check_name(path, "patch", patch)?;
        }
    }
    Ok(raw.trees)
}

/// The tree called `name`.
///
/// # Errors
/// When there is none: with the names there are.
pub fn find<'a>(trees: &'a [Tree], name: &str) -> Result<&'a Tree> {
    trees.iter().find(|tree| tree.name == name).ok_or_else(|| {
        let known: Vec<&str> = trees.iter().map(|tree| tree.name.as_str()).collect();
        Failure::usage(format!("no tree `{name}` in trees.yaml"))
            .next(format!("trees there: {}", known.join(", ")))
    })
}
