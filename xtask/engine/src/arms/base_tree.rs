//! What the patch under test stands on: the tree as it came, prepared, and where asked with the patch undone. Says
//! why a tree is not the base; computes, and writes nothing.

use std::path::Path;

use crate::campaign::Tree;
use crate::campaign::project::Project;
use failure::{Context, Exit, Failure, Result};
use patch::{Base, Held, Overlay, Proved, Series};

/// What is asked of one tree.
#[derive(Debug, Clone, Copy)]
pub struct BaseRequest<'a> {
    pub project: &'a Project,
    pub tree: &'a Tree,
    /// Trees of the campaign that this one stands in for.
    pub replaced: &'a [Tree],
    /// The tree holds the patch under test: take it out to make the base.
    pub undo: bool,
}

/// The base of one tree, and the patch under test on it.
pub struct BaseTree<'a> {
    pub base: Overlay<'a>,
    pub proved: Proved,
    /// How the tree showed that it held the patch, which is undone in `base`.
    pub undone: Option<Held>,
}

/// Prepares the tree, undoes the patch under test if that is asked, and proves the patch on what comes out.
///
/// # Errors
/// When a preparation does not fit; rejected, when the patch does not apply or the tree holds it already; usage,
/// when it was to be undone and the tree does not hold it.
pub fn find<'a>(asked: &BaseRequest<'_>, pristine: &'a dyn Base, series: &Series) -> Result<BaseTree<'a>> {
    let mut base = prepared(asked.project, asked.tree, pristine)?;
    let mut undone = None;
    if asked.undo {
        let found = patch::undo(series, &base).map_err(|failure| advise_against(failure, series, &base))?;
        base.changed.extend(found.before);
        undone = Some(found.held);
    }
    // A hunk may fit a second time in a tree that holds it: what comes out is not to be mistaken for a base.
    let held = patch::held(series, &base)?;
    let proved = match (patch::prove(series, &base), held) {
        (Ok(_), Some(held)) => return Err(holds_it(asked, series, held)),
        (Ok(proved), None) => proved,
        (Err(failure), _) if failure.exit != Exit::PatchRejected => return Err(failure),
        (Err(_), Some(held)) => return Err(holds_it(asked, series, held)),
        (Err(failure), None) => return Err(explain(asked, pristine, &base, series, failure)?),
    };
    Ok(BaseTree { base, proved, undone })
}

/// The tree as it came, and prepared.
///
/// # Errors
/// When a preparation does not fit the tree.
pub fn prepared<'a>(project: &Project, tree: &Tree, pristine: &'a dyn Base) -> Result<Overlay<'a>> {
    let mut overlay = Overlay::new(pristine);
    for name in &tree.prepare {
        ours(&mut overlay, &project.tree_patch(tree.patches(), name)).map_err(|failure| {
            failure.next(format!(
                "{name} prepares tree {}; a source that needs no preparation takes another name: --tree mine=DIR",
                tree.name
            ))
        })?;
    }
    Ok(overlay)
}

/// Applies one of the project's own patches. That it does not fit says nothing about the patch under test.
///
/// # Errors
/// When it cannot be read or does not fit.
pub fn ours(overlay: &mut Overlay<'_>, path: &Path) -> Result<()> {
    let bytes = std::fs::read(path).or_infra(|| format!("read {}", path.display()))?;
    let series = patch::read(&bytes, &path.display().to_string())?;
    let proved = patch::prove(&series, overlay).map_err(|failure| Failure {
        exit: Exit::Inconclusive,
        what: format!("the project's own patch {} does not fit here: {}", path.display(), failure.what),
        ..failure
    })?;
    overlay.add(&proved);
    Ok(())
}

fn holds_it(asked: &BaseRequest<'_>, series: &Series, held: Held) -> Failure {
    Failure::rejected(format!("tree {} already holds {}", asked.tree.name, series.source))
        .because(held.to_string())
        .next("--base undo takes it out to make the base, and puts it on again for the patched arm")
}

/// The patch was to be undone where it is not held.
fn advise_against(failure: Failure, series: &Series, base: &dyn Base) -> Failure {
    match patch::prove(series, base) {
        Ok(_) if failure.exit == Exit::Usage => {
            failure.next("it applies to the tree as it is: leave out --base undo")
        }
        _ => failure,
    }
}

/// A patch that applies neither forward nor backward: which files are others, and which base is known.
fn explain(
    asked: &BaseRequest<'_>,
    pristine: &dyn Base,
    base: &dyn Base,
    series: &Series,
    mut failure: Failure,
) -> Result<Failure> {
    let others = patch::other_files(series, base)?;
    if others.is_empty() && patch::names_its_base(series) {
        // The right base: what is wrong is in the patch.
        return Ok(failure);
    }
    failure = others.into_iter().fold(failure, Failure::because);
    if let Some(why) = patch::obstacle(series, base)? {
        failure = failure.because(format!("nor does the tree hold it: {why}"));
    }
    for known in asked.replaced.iter().filter(|known| !known.prepare.is_empty()) {
        // A preparation that does not fit is no news: it was not asked for.
        let Ok(prepared) = prepared(asked.project, known, pristine) else { continue };
        if patch::prove(series, &prepared).is_ok() {
            failure = failure
                .because(format!(
                    "it applies to this source as the campaign's tree {} prepares it: {}",
                    known.name,
                    known.prepare.join(", ")
                ))
                .next(format!(
                    "take the source as that tree: --tree {}=... in place of {}=...",
                    known.name, asked.tree.name
                ));
        }
    }
    Ok(failure)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::campaign::project::Loaded;
    use patch::Content;

    const V2: &[u8] = include_bytes!("../../../../patches/mmu_gather-v2.patch");
    const UNDO: &[u8] = include_bytes!("../../../../patches/7.2/undo-mmu_gather-rcu-sync.patch");
    const MMU_GATHER: &[u8] = include_bytes!("../../../testdata/patch/base/mm/mmu_gather.c");
    const TLB: &[u8] = include_bytes!("../../../testdata/patch/base/include/asm-generic/tlb.h");

    struct Files(BTreeMap<String, Content>);

    impl Base for Files {
        fn file(&self, path: &str) -> Result<Option<Content>> {
            Ok(self.0.get(path).cloned())
        }
    }

    fn series(bytes: &[u8]) -> Series {
        patch::read(bytes, "p").unwrap()
    }

    /// The base of the seed, which is 7.2 without the change that was merged.
    fn before() -> Files {
        Files(
            [("mm/mmu_gather.c", MMU_GATHER), ("include/asm-generic/tlb.h", TLB)]
                .map(|(path, content)| (path.to_owned(), Content::plain(content)))
                .into(),
        )
    }

    /// 7.2 as it was released: with the merged change, which is not the seed's version of it.
    fn released() -> Files {
        // The preparation undoes the merged change, so undoing the preparation brings it back.
        let undone = patch::undo(&series(UNDO), &before()).unwrap();
        Files(undone.before.into_iter().filter_map(|(path, content)| Some((path, content?))).collect())
    }

    /// `base` with the patch `bytes` on it.
    fn with(base: &Files, bytes: &[u8]) -> Files {
        let proved = patch::prove(&series(bytes), base).unwrap();
        Files(proved.files.into_iter().filter_map(|file| Some((file.path, file.after?))).collect())
    }

    fn find_on(base: &Files, undo: bool) -> Result<(Vec<String>, Option<Held>)> {
        find_in(base, undo, V2)
    }

    fn find_in(base: &Files, undo: bool, bytes: &[u8]) -> Result<(Vec<String>, Option<Held>)> {
        let project = Project::here().unwrap();
        let known = Loaded::load(&project, "mmu-gather").unwrap().trees;
        let tree = Tree::own("mine", &known[0]).unwrap();
        let asked = BaseRequest { project: &project, tree: &tree, replaced: &known, undo };
        let base_tree = find(&asked, base, &series(bytes))?;
        Ok((base_tree.base.changed.into_keys().collect(), base_tree.undone))
    }

    #[test]
    fn a_tree_that_holds_the_patch_stops_and_is_undone_when_that_is_asked() {
        let tree = with(&before(), V2);
        let failure = find_on(&tree, false).unwrap_err();
        assert_eq!(failure.what, "tree mine already holds p");
        assert_eq!(failure.because, ["all 2 files that it touches are its results by blob id"]);
        assert!(failure.next[0].starts_with("--base undo"), "{failure}");
        let (changed, undone) = find_on(&tree, true).unwrap();
        assert_eq!(changed, ["include/asm-generic/tlb.h", "mm/mmu_gather.c"]);
        assert_eq!(undone, Some(Held::Results(2)));
    }

    /// Without ids nothing but its lines says that the tree holds the patch; a line that is added among others like it
    /// fits a second time.
    #[test]
    fn a_tree_that_holds_a_patch_that_fits_twice_stops_as_well() {
        let added = "--- a/mm/x.c\n+++ b/mm/x.c\n@@ -1,2 +1,3 @@\n f();\n+f();\n f();\n";
        let tree = |text: &str| Files(BTreeMap::from([("mm/x.c".to_owned(), Content::plain(text))]));
        let held = tree("f();\nf();\nf();\n");
        let failure = find_in(&held, false, added.as_bytes()).unwrap_err();
        assert_eq!(failure.what, "tree mine already holds p");
        assert_eq!(failure.because, ["every hunk of it can be undone cleanly"]);
        let (changed, undone) = find_in(&held, true, added.as_bytes()).unwrap();
        assert_eq!((changed.as_slice(), undone), (&["mm/x.c".to_owned()][..], Some(Held::Undoes)));
        assert_eq!(find_in(&tree("f();\nf();\n"), false, added.as_bytes()).unwrap().1, None);
    }

    /// A tree that holds a patch that only sets modes is known by them, and undone.
    #[test]
    fn a_patch_that_only_sets_modes_is_taken_held_and_undone() {
        let patch = b"diff --git a/mm/x.sh b/mm/x.sh\nold mode 100644\nnew mode 100755\n";
        let tree = |executable| {
            Files(BTreeMap::from([(
                "mm/x.sh".to_owned(),
                Content { executable, ..Content::plain("true\n") },
            )]))
        };
        assert_eq!(find_in(&tree(false), false, patch).unwrap(), (Vec::new(), None));
        assert!(with(&tree(false), patch).0["mm/x.sh"].executable);
        let failure = find_in(&tree(true), false, patch).unwrap_err();
        assert_eq!(failure.what, "tree mine already holds p");
        let (changed, undone) = find_in(&tree(true), true, patch).unwrap();
        assert_eq!((changed.as_slice(), undone), (&["mm/x.sh".to_owned()][..], Some(Held::Undoes)));
        let failure = find_in(&tree(false), true, patch).unwrap_err();
        assert_eq!(failure.because, ["mm/x.sh: the patch leaves it executable, and it is not"]);
    }

    #[test]
    fn a_tree_that_is_the_base_has_nothing_to_undo() {
        assert_eq!(find_on(&before(), false).unwrap(), (Vec::new(), None));
        let failure = find_on(&before(), true).unwrap_err();
        assert_eq!((failure.exit, failure.next.len()), (Exit::Usage, 1));
        assert!(failure.next[0].ends_with("leave out --base undo"), "{failure}");
    }

    #[test]
    fn a_tree_that_holds_another_version_names_the_files_and_the_preparation_that_helps() {
        let failure = find_on(&released(), false).unwrap_err();
        assert_eq!(failure.exit, Exit::PatchRejected);
        let says =
            |words: &str| assert!(failure.to_string().contains(words), "`{words}` is not in {failure}");
        says("include/asm-generic/tlb.h: the patch was made on blob 4aeac0c3d3f0, the tree has its result");
        says("mm/mmu_gather.c: the patch was made on blob fe5b6a031717, the tree has blob 3985d856de7f");
        says("nor does the tree hold it: mm/mmu_gather.c: hunk");
        says("as the campaign's tree 7.2 prepares it: undo-mmu_gather-rcu-sync");
        says("--tree 7.2=... in place of mine=...");
        assert_eq!(find_on(&released(), true).unwrap_err().exit, Exit::Usage);
    }
}
