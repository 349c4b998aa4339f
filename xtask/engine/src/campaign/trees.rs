//! The kernel trees that campaigns name: where their source comes from, and what makes it the right base.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::host::input;
use crate::host::yaml::{check_name, parse};
use failure::{Failure, Result};

/// One tree of `configs/trees.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    pub name: String,
    #[serde(default)]
    pub debian: Option<Debian>,
    #[serde(default)]
    pub kernel_org: Option<KernelOrg>,
    /// Patches, names in the tree's directory of `patches/`, applied before anything else.
    #[serde(default)]
    pub prepare: Vec<String>,
    /// Another tree, whose directory in `patches/` this one uses.
    #[serde(default)]
    patches: Option<String>,
}

impl Tree {
    /// A tree of the user's own beside `kin`, a tree of the campaign: its helper patches are that tree's, and it
    /// needs no preparation because the user says that it is the base.
    ///
    /// # Errors
    /// When `name` cannot name a directory and a part of a cell id.
    pub fn own(name: &str, kin: &Tree) -> Result<Tree> {
        check_name(Path::new("--tree"), "tree", name)?;
        Ok(Tree {
            name: name.to_owned(),
            debian: None,
            kernel_org: None,
            prepare: Vec::new(),
            patches: Some(kin.patches().to_owned()),
        })
    }

    /// The directory in `patches/` that holds this tree's preparations and helpers.
    pub fn patches(&self) -> &str {
        self.patches.as_deref().unwrap_or(&self.name)
    }
}

/// A `linux-source` package of Debian.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debian {
    pub package: String,
    /// Tried in order.
    pub suites: Vec<String>,
}

/// A release tarball of kernel.org. It is taken only with its sha256, or with a keyring for the signature of the file that says
/// what that is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelOrg {
    pub version: String,
    pub sha256: Option<String>,
    /// With the key that signs `sha256sums.asc` beside the tarball; a path from the directory of the project.
    pub keyring: Option<PathBuf>,
    /// Instead of kernel.org's own address.
    pub url: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTrees {
    trees: Vec<Tree>,
}

/// Reads a `trees.yaml`.
///
/// # Errors
/// When it is missing or not valid: with file and line.
pub fn load(path: &Path) -> Result<Vec<Tree>> {
    let text = input::CONFIG.read_text(path)?;
    let raw: RawTrees = parse(path, &text)?;
    for tree in &raw.trees {
        check_name(path, "tree", &tree.name)?;
        for patch in &tree.prepare {
            check_name(path, "patch", patch)?;
        }
        check_name(path, "tree", tree.patches())?;
        let is_vouched = |from: &KernelOrg| from.sha256.is_some() != from.keyring.is_some();
        if !tree.kernel_org.as_ref().is_none_or(is_vouched) {
            return Err(Failure::usage(format!(
                "{}: tree {}: kernel_org needs one of two",
                path.display(),
                tree.name
            ))
            .next("sha256: the sum of the tarball")
            .next("keyring: a file with the key that signs kernel.org's sha256sums.asc"));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Result<Vec<Tree>> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("trees.yaml");
        std::fs::write(&file, text).unwrap();
        load(&file)
    }

    #[test]
    fn a_tree_uses_the_patches_of_its_own_name_unless_it_says_whose() {
        let trees = loaded("trees: [{name: '7.2'}, {name: '7.3', patches: '7.2'}]").unwrap();
        assert_eq!([trees[0].patches(), trees[1].patches()], ["7.2", "7.2"]);
        let failure = loaded("trees: [{name: '7.2', patches: '../controls'}]").unwrap_err();
        assert!(failure.what.contains("`../controls` is no name for a tree"), "{failure}");
    }

    #[test]
    fn tarball_without_sum_and_keyring_is_refused_and_so_is_one_with_both() {
        let with =
            |what: &str| loaded(&format!("trees: [{{name: a, kernel_org: {{version: '7.2'{what}}}}}]"));
        assert!(with(", sha256: aa").is_ok() && with(", keyring: k.gpg").is_ok());
        for bad in ["", ", sha256: aa, keyring: k.gpg"] {
            assert!(with(bad).unwrap_err().what.contains("needs one of two"), "{bad}");
        }
    }

    #[test]
    fn a_tree_of_the_users_own_has_the_helpers_of_the_campaigns_and_no_preparation() {
        let trees = loaded("trees: [{name: a, patches: '7.2', prepare: [undo]}]").unwrap();
        let own = Tree::own("mine", &trees[0]).unwrap();
        assert_eq!((own.patches(), own.prepare.len()), ("7.2", 0));
        for bad in ["", "../x", "-x", "a/b"] {
            assert!(Tree::own(bad, &trees[0]).is_err(), "{bad}");
        }
    }
}
