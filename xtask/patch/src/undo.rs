//! Whether a tree holds a series already, and what the tree was before it. Pure.

use super::apply::Work;
use super::diff::FileDiff;
use super::header::Change;
use super::prove::prove;
use super::reverse::undone;
use super::settle::settled;
use super::{Base, Content, Overlay, Series, blob};
use failure::{Failure, Result};
use std::collections::BTreeMap;
use std::fmt;

/// How a tree shows that it holds a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// So many files, all that it touches, are by blob id the results that the `index` lines name.
    Results(usize),
    /// Every hunk can be undone, and one place fits each.
    Undoes,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Held::Results(1) => write!(f, "the file that it touches is its result by blob id"),
            Held::Results(files) => write!(f, "all {files} files that it touches are its results by blob id"),
            Held::Undoes => write!(f, "every hunk of it can be undone cleanly"),
        }
    }
}

/// Content by path; `None` for a file that was not there.
type Before = BTreeMap<String, Option<Content>>;

/// What a tree was before the series that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    pub before: Before,
    pub held: Held,
}

/// Whether, and how, `base` shows that it holds the whole series.
///
/// # Errors
/// When the base cannot be read.
pub fn held(series: &Series, base: &dyn Base) -> Result<Option<Held>> {
    let series = &*settled(series, base)?;
    let results = last_ids(series);
    if all_are(&results, base)? && have_modes(series, base)? {
        return Ok(Some(Held::Results(results.len())));
    }
    // Then it is the base, whatever else fits.
    if all_are(&first_ids(series), base)? {
        return Ok(None);
    }
    Ok(revert(series, base)?.is_ok().then_some(Held::Undoes))
}

/// Why the series cannot be undone on `base`; `None` if it can.
///
/// # Errors
/// When the base cannot be read.
pub fn obstacle(series: &Series, base: &dyn Base) -> Result<Option<String>> {
    Ok(revert(&*settled(series, base)?, base)?.err())
}

/// Takes the series out of a tree that holds it, and proves it: put on again it gives the tree as it was found.
///
/// # Errors
/// Usage, with the place, when the tree does not hold the series. Rejected when the text is damaged, or does not
/// lead from the base that it names to the result that it names.
pub fn undo(series: &Series, base: &dyn Base) -> Result<Undone> {
    let series = &*settled(series, base)?;
    let not_held =
        || Failure::usage(format!("the tree does not hold {}: it cannot be undone", series.source));
    if all_are(&first_ids(series), base)? {
        return Err(not_held().because("all files that it touches are its base by blob id"));
    }
    let held = held(series, base)?;
    let before = match (revert(series, base)?, held) {
        (Ok(before), _) => before,
        (Err(why), None) => return Err(not_held().because(why)),
        (Err(why), Some(held)) => {
            return Err(Failure::rejected(format!("{} cannot be undone", series.source))
                .because(format!("the tree holds it ({held}), and yet: {why}"))
                .next("get the original mail (on lore.kernel.org: the `raw` or `mbox.gz` link)"));
        }
    };
    let undone = Undone { before, held: held.unwrap_or(Held::Undoes) };
    check(series, base, &undone)?;
    Ok(undone)
}

/// There and back again: what was undone, and the series on it, is `base`.
fn check(series: &Series, base: &dyn Base, undone: &Undone) -> Result<()> {
    let wrong = |why: String| {
        Err(Failure::rejected(format!("{} was undone, but that cannot be proved", series.source))
            .because(why))
    };
    let mut tree = Overlay::new(base);
    tree.changed.clone_from(&undone.before);
    if let (Held::Results(_), [other, ..]) = (undone.held, &other_files(series, &tree)?[..]) {
        return wrong(format!("the results are by blob id, but {other}"));
    }
    let proved = match prove(series, &tree) {
        Ok(proved) => proved,
        Err(failure) => return wrong(failure.what),
    };
    tree.add(&proved);
    for path in undone.before.keys() {
        if tree.file(path)? != base.file(path)? {
            return wrong(format!("{path}: undone and put on again it is another file than before"));
        }
    }
    Ok(())
}

/// What each file that `series` touches has to be in its base, and is not: a line of text each.
///
/// # Errors
/// When the base cannot be read.
pub fn other_files(series: &Series, base: &dyn Base) -> Result<Vec<String>> {
    let series = &*settled(series, base)?;
    let mut lines = Vec::new();
    let results = last_ids(series);
    for (path, id) in first_ids(series) {
        let Some(id) = id else { continue };
        let content = base.read(path)?;
        if !blob::names(id, content.as_deref()) {
            let is_result = results
                .get(path)
                .copied()
                .flatten()
                .is_some_and(|id| blob::is_proof(id) && blob::names(id, content.as_deref()));
            let has = match &content {
                Some(_) if is_result => "the tree has its result".to_owned(),
                Some(content) => format!("the tree has blob {}", &blob::blob_id(content)[..id.len().min(40)]),
                None => "the tree has no such file".to_owned(),
            };
            lines.push(format!("{path}: the patch was made on blob {id}, {has}"));
        }
    }
    Ok(lines)
}

/// Whether the `index` lines say what the base is: of some file at least.
pub fn names_its_base(series: &Series) -> bool {
    first_ids(series).values().any(Option::is_some)
}

type Ids<'a> = BTreeMap<&'a str, Option<&'a str>>;

/// The pre-image of each file in the first patch that touches it.
fn first_ids(series: &Series) -> Ids<'_> {
    files(series).rev().map(|file| (file.source(), file.pre_blob.as_deref())).collect()
}

/// The post-image of each file in the last patch that touches it.
fn last_ids(series: &Series) -> Ids<'_> {
    let mut ids = Ids::new();
    for file in files(series) {
        if let (Change::Rename, Some(from)) = (file.change, &file.from) {
            ids.insert(from, Some(NO_FILE));
        }
        ids.insert(&file.path, file.post_blob.as_deref());
    }
    ids
}

/// What git writes for the id of a file that is not there.
const NO_FILE: &str = "0000000000000000000000000000000000000000";

fn files(series: &Series) -> impl DoubleEndedIterator<Item = &FileDiff> {
    series.patches.iter().flat_map(|patch| &patch.files)
}

/// Whether every file is known by an id that is long enough, and is that blob.
fn all_are(ids: &Ids<'_>, base: &dyn Base) -> Result<bool> {
    for (path, id) in ids {
        let content = base.read(path)?;
        if !id.is_some_and(|id| blob::is_proof(id) && blob::names(id, content.as_deref())) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether every file has the mode that the series leaves it with, where that says so.
fn have_modes(series: &Series, base: &dyn Base) -> Result<bool> {
    let mut modes = BTreeMap::new();
    for file in files(series) {
        let carried = file.from.as_deref().and_then(|from| modes.get(from).copied());
        match file.makes_executable().or(carried) {
            Some(executable) => _ = modes.insert(file.path.as_str(), executable),
            None if file.change == Change::Delete => _ = modes.remove(file.path.as_str()),
            None => {}
        }
        if file.change == Change::Rename {
            modes.remove(file.source());
        }
    }
    for (path, executable) in modes {
        if base.file(path)?.is_some_and(|content| content.executable != executable) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The files before the series, or in words why they cannot be had.
fn revert(series: &Series, base: &dyn Base) -> Result<std::result::Result<Before, String>> {
    let mut tree = Overlay::new(base);
    let mut work = Work::new();
    for file in files(series).rev() {
        let refuse = |why: String| Ok(Err(format!("{}: {why}", file.path)));
        let before = match undone(file, tree.file(&file.path)?.as_ref(), &mut work) {
            Ok(before) => before,
            Err(why) => return refuse(why),
        };
        let Some(from) = &file.from else {
            tree.changed.insert(file.path.clone(), before);
            continue;
        };
        let source = tree.read(from)?;
        match file.change {
            Change::Rename if source.is_some() => return refuse(format!("{from} is there again")),
            Change::Rename => _ = tree.changed.insert(from.clone(), before),
            _ => {}
        }
        tree.changed.insert(file.path.clone(), None);
    }
    Ok(Ok(tree.changed))
}

#[cfg(test)]
mod tests {
    use super::super::blob::blob_id;
    use super::super::read;
    use super::*;

    struct Files(BTreeMap<String, Content>);

    impl Base for Files {
        fn file(&self, path: &str) -> Result<Option<Content>> {
            Ok(self.0.get(path).cloned())
        }
    }

    fn tree(files: &[(&str, &str)]) -> Files {
        Files(files.iter().map(|(path, text)| ((*path).to_owned(), Content::plain(*text))).collect())
    }

    const OLD: &str = "one\ntwo\nthree\n";
    const NEW: &str = "one\nzwei\nthree\n";
    const HUNK: &str = "@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n";

    /// A patch of file `f` from `OLD` to `NEW`, with the ids of the contents given.
    fn patch(pre: &str, post: &str, hunk: &str) -> Series {
        let id = |text: &str| blob_id(text.as_bytes())[..12].to_owned();
        let index = format!("index {}..{} 100644", id(pre), id(post));
        read(format!("diff --git a/f b/f\n{index}\n--- a/f\n+++ b/f\n{hunk}").as_bytes(), "p").unwrap()
    }

    fn plain(hunk: &str) -> Series {
        read(format!("--- a/f\n+++ b/f\n{hunk}").as_bytes(), "p").unwrap()
    }

    #[test]
    fn a_tree_with_all_results_holds_the_patch_by_blob_id_and_one_with_other_changes_by_its_hunks() {
        let patch = patch(OLD, NEW, HUNK);
        assert_eq!(held(&patch, &tree(&[("f", OLD)])).unwrap(), None);
        assert_eq!(held(&patch, &tree(&[("f", NEW)])).unwrap(), Some(Held::Results(1)));
        let later = format!("zero\n{NEW}");
        assert_eq!(held(&patch, &tree(&[("f", &later)])).unwrap(), Some(Held::Undoes));
        assert_eq!(held(&plain(HUNK), &tree(&[("f", NEW)])).unwrap(), Some(Held::Undoes));
    }

    #[test]
    fn what_is_undone_is_the_base_and_the_other_changes_stay() {
        let undone = |text: &str| undo(&patch(OLD, NEW, HUNK), &tree(&[("f", text)])).unwrap();
        assert_eq!(undone(NEW).before["f"].as_ref(), Some(&Content::plain(OLD.as_bytes())));
        let later = undone("one\nzwei\nthree\nfour\n");
        assert_eq!(later.before["f"].as_ref(), Some(&Content::plain(&b"one\ntwo\nthree\nfour\n"[..])));
        assert_eq!(later.held, Held::Undoes);
    }

    #[test]
    fn files_that_were_created_and_deleted_are_gone_and_back() {
        let text = "--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n--- a/d\n+++ /dev/null\n@@ -1 +0,0 @@\n-y\n";
        let series = read(text.as_bytes(), "p").unwrap();
        let undone = undo(&series, &tree(&[("n", "x\n")])).unwrap();
        assert_eq!(undone.before["n"], None);
        assert_eq!(undone.before["d"].as_ref(), Some(&Content::plain(&b"y\n"[..])));
        let failure = undo(&series, &tree(&[("n", "x\nmore\n")])).unwrap_err();
        assert_eq!(failure.because, ["n: it has more lines than the patch creates"]);
    }

    #[test]
    fn a_tree_that_does_not_hold_the_patch_is_told_where_it_departs() {
        let failure = undo(&plain(HUNK), &tree(&[("f", OLD)])).unwrap_err();
        assert_eq!(failure.what, "the tree does not hold p: it cannot be undone");
        assert_eq!(
            failure.because,
            ["f: hunk 1 cannot be undone: it leaves `zwei` at line 2, the tree has `two`"]
        );
        let failure = undo(&patch(OLD, NEW, HUNK), &tree(&[("f", OLD)])).unwrap_err();
        assert_eq!(failure.because, ["all files that it touches are its base by blob id"]);
    }

    #[test]
    fn renames_and_copies_are_undone() {
        let head =
            |word: &str| format!("diff --git a/f b/g\n{word} from f\n{word} to g\n--- a/f\n+++ b/g\n{HUNK}");
        let series = |word: &str| read(head(word).as_bytes(), "p").unwrap();
        let renamed = undo(&series("rename"), &tree(&[("g", NEW)])).unwrap().before;
        assert_eq!((&renamed["f"], &renamed["g"]), (&Some(Content::plain(OLD)), &None));
        let copied = undo(&series("copy"), &tree(&[("f", OLD), ("g", NEW)])).unwrap().before;
        assert_eq!((copied.len(), &copied["g"]), (1, &None));
        assert_eq!(held(&series("rename"), &tree(&[("f", OLD), ("g", NEW)])).unwrap(), None);
    }

    #[test]
    fn a_hunk_that_only_removes_shows_nothing() {
        let removal = plain("@@ -2 +1,0 @@\n-two\n");
        assert_eq!(held(&removal, &tree(&[("f", "one\nthree\n")])).unwrap(), None);
    }

    #[test]
    fn a_text_that_does_not_lead_from_its_base_to_its_result_is_not_undone() {
        let failure = undo(&patch("another\n", NEW, HUNK), &tree(&[("f", NEW)])).unwrap_err();
        assert_eq!(failure.what, "p was undone, but that cannot be proved");
        assert!(
            failure.because[0].starts_with("the results are by blob id, but f: the patch was made on blob ")
        );
    }

    #[test]
    fn a_damaged_text_is_recognised_by_its_results_and_not_undone() {
        let damaged = patch(OLD, NEW, "@@ -1,3 +1,3 @@\none\n-two\n+zwei\nthree\n");
        let failure = undo(&damaged, &tree(&[("f", NEW)])).unwrap_err();
        assert_eq!(failure.what, "p cannot be undone");
        assert!(failure.because[0].ends_with("and yet: f: hunk 1 is damaged"), "{failure}");
    }

    #[test]
    fn a_file_that_two_patches_touch_is_known_by_its_first_base_and_its_last_result() {
        let last = "one\nII\nthree\n";
        let mut both = patch(OLD, NEW, HUNK);
        both.patches.extend(patch(NEW, last, "@@ -1,3 +1,3 @@\n one\n-zwei\n+II\n three\n").patches);
        assert_eq!(held(&both, &tree(&[("f", last)])).unwrap(), Some(Held::Results(1)));
        assert_eq!(
            undo(&both, &tree(&[("f", last)])).unwrap().before["f"].as_ref(),
            Some(&Content::plain(OLD.as_bytes()))
        );
        assert_eq!(held(&both, &tree(&[("f", NEW)])).unwrap(), None);
        assert_eq!(other_files(&both, &tree(&[("f", OLD)])).unwrap(), Vec::<String>::new());
        assert_eq!(other_files(&both, &tree(&[("f", NEW)])).unwrap().len(), 1);
    }
}
