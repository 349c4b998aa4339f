//! Applies a series to a base and proves by blob ids that the result is the one that was posted. Pure.
//!
//! A sound patch is applied as it stands. A damaged one is repaired, and accepted only when base and result are
//! the ones its `index` line names. Nothing is accepted half.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::apply::{self, Applied, Departure, How, Why, Work};
use super::diff::{DamageKind, EditKind, FileDiff, Hunk, HunkDamage};
use super::header::Change;
use super::repair::{self, Unrepaired};
use super::reverse::{quoted, undone};
use super::settle::settled;
use super::{Base, Content, Overlay, Patch, Series, blob, render};
use failure::{Failure, Result};

/// A series that applies, and what proves it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proved {
    /// In the order of the series; a file that two patches touch is there twice.
    pub files: Vec<ProvedFile>,
    pub damage: Vec<Damage>,
    /// Whether the text had to be repaired; if so, every repaired file is proved by its post-image blob.
    pub repaired: bool,
    /// The series as sound mail text. It is bytes because file content need not be UTF-8.
    pub sound: Vec<u8>,
}

/// One file before and after one patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvedFile {
    pub path: String,
    /// Abbreviated ids as the `index` line has them.
    pub pre_blob: Option<String>,
    pub post_blob: Option<String>,
    /// Whether the file has that id; `None` without an `index` line.
    pub pre_matches: Option<bool>,
    pub post_matches: Option<bool>,
    /// Full ids of the real content; `None` where there is no file.
    pub pre_full: Option<String>,
    pub post_full: Option<String>,
    /// Per hunk: lines it lies further down (or, negative, up) than it says.
    pub offsets: Vec<i64>,
    /// `None`: deleted.
    pub after: Option<Content>,
    /// The file that it was made from, where that is another.
    pub from: Option<String>,
    /// Whether the file that it was made from may be executed.
    pub was_executable: bool,
    pub repaired: bool,
    /// It applies as it stands, and the result is another one than the `index` line names: somebody edited the patch.
    pub edited: bool,
}

/// One kind of damage in one hunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub path: String,
    /// From 1; 0 for the whole file's part.
    pub hunk: usize,
    pub kind: DamageKind,
    /// Lines of the input that show it.
    pub lines: Vec<usize>,
    pub detail: String,
}

impl ProvedFile {
    /// In words, what becomes of the file's mode; none if nothing does.
    pub fn mode_change(&self) -> Option<&'static str> {
        match (self.was_executable, self.after.as_ref()?.executable) {
            (false, true) => Some("executable (100755)"),
            (true, false) => Some("no longer executable (100644)"),
            (false, false) | (true, true) => None,
        }
    }
}

/// Applies `series` to `base`, repairing what is damaged and provable.
///
/// # Errors
/// Rejected, with the whole diagnosis, when it does not apply or a repair cannot be proved.
pub fn prove(series: &Series, base: &dyn Base) -> Result<Proved> {
    let series = settled(series, base)?;
    let mut tree = Overlay::new(base);
    let mut proved = Proved::default();
    let work = RefCell::new(Work::new());
    let mut sound = Cow::Borrowed(&*series);
    for (number, patch) in series.patches.iter().enumerate() {
        let mut stage = Staged::new(&tree, patch);
        for (index, file) in patch.files.iter().enumerate() {
            let Merged { file, hunks, damage } = stage.prove(file, &work)?;
            if let Some(hunks) = hunks {
                sound.to_mut().patches[number].files[index].hunks = hunks;
            }
            proved.repaired |= file.repaired;
            proved.damage.extend(damage);
            proved.files.push(file);
        }
        let Staged { changed, left, .. } = stage;
        let gone = left.into_iter().filter(|path| changed.get(path).is_some_and(Option::is_none));
        proved.files.extend(gone.map(ProvedFile::gone));
        tree.changed.extend(changed);
    }
    proved.sound = render::series(&sound);
    Ok(proved)
}

/// One patch being applied.
struct Staged<'a> {
    patch: &'a Patch,
    /// The tree before the patch: what is renamed or copied is taken from here, in whatever order git lists the files.
    tree: &'a Overlay<'a>,
    /// What the patch has changed so far.
    changed: BTreeMap<String, Option<Content>>,
    /// Files that the patch moves away or deletes somewhere.
    leaving: BTreeSet<&'a str>,
    /// Files that were moved away.
    left: Vec<String>,
}

impl<'a> Staged<'a> {
    fn new(tree: &'a Overlay<'a>, patch: &'a Patch) -> Staged<'a> {
        let leaving = patch.files.iter().filter_map(|file| match file.change {
            Change::Rename | Change::Delete => Some(file.source()),
            Change::Modify | Change::Create | Change::Copy => None,
        });
        Staged { patch, tree, changed: BTreeMap::new(), leaving: leaving.collect(), left: Vec::new() }
    }

    fn prove(&mut self, file: &FileDiff, work: &RefCell<Work>) -> Result<Merged> {
        let before = match (&file.from, self.changed.get(&file.path)) {
            (None, Some(staged)) => staged.clone(),
            _ => self.tree.file(file.source())?,
        };
        let in_the_way = match (file.change, self.changed.get(&file.path)) {
            (Change::Modify | Change::Delete, _) => false,
            (_, Some(staged)) => staged.is_some(),
            (_, None) => !self.leaving.contains(file.path.as_str()) && self.tree.read(&file.path)?.is_some(),
        };
        let before = before.filter(|_| file.change != Change::Create || in_the_way);
        let outcome = Attempt::new(self.patch, file, before.as_ref(), in_the_way, work).prove()?;
        if file.change == Change::Rename && !self.changed.contains_key(file.source()) {
            self.changed.insert(file.source().to_owned(), None);
            self.left.push(file.source().to_owned());
        }
        self.changed.insert(file.path.clone(), outcome.file.after.clone());
        Ok(outcome)
    }
}

impl ProvedFile {
    /// A file that was renamed.
    fn gone(path: String) -> ProvedFile {
        ProvedFile {
            path,
            pre_blob: None,
            post_blob: None,
            pre_matches: None,
            post_matches: None,
            pre_full: None,
            post_full: None,
            offsets: Vec::new(),
            after: None,
            from: None,
            was_executable: false,
            repaired: false,
            edited: false,
        }
    }
}

struct Merged {
    file: ProvedFile,
    /// Of a file that was repaired.
    hunks: Option<Vec<Hunk>>,
    damage: Vec<Damage>,
}

struct Attempt<'a> {
    patch: &'a Patch,
    file: &'a FileDiff,
    before: Option<&'a Content>,
    /// The full id of `before`.
    before_id: Option<String>,
    /// The file that is to be made is there.
    in_the_way: bool,
    work: &'a RefCell<Work>,
}

impl<'a> Attempt<'a> {
    fn new(
        patch: &'a Patch,
        file: &'a FileDiff,
        before: Option<&'a Content>,
        in_the_way: bool,
        work: &'a RefCell<Work>,
    ) -> Attempt<'a> {
        let before_id = before.map(|before| blob::blob_id(&before.bytes));
        Attempt { patch, file, before, before_id, in_the_way, work }
    }

    /// What the file holds before.
    fn bytes(&self) -> Option<&'a [u8]> {
        self.before.map(|before| before.bytes.as_slice())
    }

    fn prove(&self) -> Result<Merged> {
        self.check_existence()?;
        if !self.file.hunks.iter().all(Hunk::is_sound) {
            return self.repair(self.found_damage());
        }
        if self.is_unanchored() {
            return Err(self
                .reject("a hunk has neither context nor removed lines, so nothing shows that it is in the right place")
                .next("make the patch with three lines of context"));
        }
        let how = How { undo: false, is_base: self.pre_matches() == Some(true) };
        let content = self.bytes().unwrap_or_default();
        let applied = apply::apply(content, &self.file.hunks, how, &mut self.work.borrow_mut());
        match applied {
            Ok(applied) => self.judge(applied),
            Err(departure) if how.is_base && departure.why != Why::TooMuch => {
                self.repair(Vec::new()).map_err(|failure| self.add_departure(failure, &departure))
            }
            Err(departure) => Err(self.does_not_apply(&departure)),
        }
    }

    /// A text that applies is still damaged when its line ends are, or when base and ids say that the result is
    /// not the one that was posted and the text looks so. A patch that was edited does not.
    fn judge(&self, applied: Applied) -> Result<Merged> {
        let mut outcome = self.outcome(applied)?;
        outcome.file.edited = self.pre_matches() == Some(true) && outcome.file.post_matches == Some(false);
        if outcome.file.edited && self.looks_damaged() {
            return self.repair(vec![self.whole(DamageKind::Altered)]);
        }
        if outcome.file.edited && !self.is_anchored(outcome.file.after.as_ref()) {
            let failure = self
                .reject("a hunk has no context, and the result is not the one that the `index` line names");
            return Err(failure.next("make the patch with three lines of context"));
        }
        if !self.patch.crlf {
            return Ok(outcome);
        }
        self.provable(&[self.whole(DamageKind::CrLf)])?;
        if outcome.file.edited {
            return Err(self.reject("the patch is damaged and no repair can be proved").because(
                "its line ends are CRLF, and without them it does not give the result that its `index` line names",
            ));
        }
        Ok(self.as_repaired(outcome, vec![]))
    }

    /// Whether the hunks find their places by their context alone.
    fn is_anchored(&self, after: Option<&Content>) -> bool {
        if self.file.hunks.iter().any(|hunk| hunk.old_len == 0)
            && self.bytes().is_some_and(|before| !before.is_empty())
        {
            return false;
        }
        let before = self.bytes().unwrap_or_default();
        let applied = apply::apply(before, &self.file.hunks, How::default(), &mut self.work.borrow_mut());
        applied.is_ok_and(|applied| applied.after == after.map(|after| &after.bytes[..]).unwrap_or_default())
    }

    fn check_existence(&self) -> Result<()> {
        match (self.file.change, self.before) {
            _ if self.in_the_way => Err(self.reject("the file is there already").because(self.tree_id())),
            (Change::Modify, None) if self.file.creates_silently() => Ok(()),
            (Change::Rename | Change::Copy, None) => Err(self
                .reject(&format!("the tree has no file {} to make it from", self.file.source()))
                .next("check that the patch is meant for this tree")),
            (Change::Modify | Change::Delete, None) => Err(self
                .reject("the tree has no such file")
                .next("check that the patch is meant for this tree")),
            _ => Ok(()),
        }
    }

    /// Whether added lines look as a mail program, a terminal or a web page leave them.
    fn looks_damaged(&self) -> bool {
        let before = self.bytes().unwrap_or_default();
        let has = |text: &[u8]| memchr::memmem::find(before, text).is_some();
        let (tabs, returns) = (has(b"\n\t"), has(b"\r\n"));
        let odd = |line: &[u8]| {
            let holds = |text: &[u8]| memchr::memmem::find(line, text).is_some();
            let spaces = line.starts_with(b" ") && !line.trim_ascii_start().starts_with(b"*");
            let entities: [&[u8]; 5] = [b"&lt;", b"&gt;", b"&amp;", b"&quot;", b"\xc2\xa0"];
            spaces && tabs && !line.trim_ascii().is_empty()
                || line.ends_with(b"\r\n") && !returns
                || holds(b"=3D")
                || line.ends_with(b"=20\n")
                || entities.iter().any(|entity| holds(entity))
        };
        let edits = self.file.hunks.iter().flat_map(Hunk::edits);
        edits.filter(|edit| edit.kind == EditKind::Add).any(|edit| odd(edit.text))
    }

    /// Whether a hunk would go in wherever it says, into a file that is not known to be the right one.
    fn is_unanchored(&self) -> bool {
        let adds_only = |hunk: &Hunk| hunk.old_len == 0;
        self.bytes().is_some_and(|content| !content.is_empty())
            && self.pre_matches() != Some(true)
            && self.file.hunks.iter().any(adds_only)
    }

    fn outcome(&self, applied: Applied) -> Result<Merged> {
        let Applied { after, offsets } = applied;
        let goes = self.file.change == Change::Delete;
        if goes && !after.is_empty() {
            return Err(self.reject("it deletes the file but leaves lines of it"));
        }
        let was_executable = self.before.is_some_and(|before| before.executable);
        let executable = self.file.makes_executable().unwrap_or(was_executable);
        let after = (!goes).then_some(Content { bytes: after, executable });
        let post_full = after.as_ref().map(|after| blob::blob_id(&after.bytes));
        let post_blob = self.file.post_blob.clone();
        let file = ProvedFile {
            path: self.file.path.clone(),
            pre_blob: self.file.pre_blob.clone(),
            pre_matches: self.pre_matches(),
            post_matches: post_blob.as_ref().map(|id| blob::is_abbreviation(id, post_full.as_deref())),
            post_blob,
            pre_full: self.before_id.clone(),
            post_full,
            offsets,
            after,
            from: self.file.from.clone(),
            was_executable,
            repaired: false,
            edited: false,
        };
        Ok(Merged { file, hunks: None, damage: Vec::new() })
    }

    fn pre_matches(&self) -> Option<bool> {
        // A file that is made has no blob before, whatever is in its place.
        self.file.pre_blob.as_ref().map(|id| blob::is_abbreviation(id, self.before_id.as_deref()))
    }

    /// The repaired file, or a rejection that carries the diagnosis; `known` is the damage found so far.
    fn repair(&self, known: Vec<Damage>) -> Result<Merged> {
        let post_blob = self.provable(&known)?;
        match repair::repair(self.file, self.bytes().unwrap_or_default(), post_blob) {
            Ok(repaired) => {
                let offsets = vec![0; self.file.hunks.len()];
                let mut outcome = self.outcome(Applied { after: repaired.after, offsets })?;
                outcome.hunks = Some(repaired.hunks);
                Ok(self.as_repaired(outcome, self.damage(&repaired.faults)))
            }
            Err(Unrepaired::TooLarge) => {
                let failure = self.reject("the patch is damaged and no repair can be proved");
                let failure = failure.because("a part as long as this one is not repaired");
                Err(tell(failure, &known).next(GET_THE_ORIGINAL))
            }
            Err(Unrepaired::Misfit { hunk, tree_line, misfit }) => {
                Err(self.misfit(hunk, tree_line, &misfit, &known))
            }
            Err(Unrepaired::NoProof { tried, faults }) => {
                let damage = [known, self.damage(&faults)].concat();
                let failure =
                    self.reject("the patch is damaged and no repair can be proved").because(format!(
                        "none of {tried} candidates gives the post-image blob {post_blob} of the `index` line"
                    ));
                Err(tell(failure, &damage).next(GET_THE_ORIGINAL).next(
                    "if it was edited by hand on purpose, make a new patch from the edited tree, or delete the `index` line",
                ))
            }
        }
    }

    /// The post-image id that can prove a repair, or a rejection.
    fn provable(&self, damage: &[Damage]) -> Result<&str> {
        let failure = |why: String| {
            let failure = self.reject("the patch is damaged and no repair can be proved").because(why);
            Err(tell(failure, damage).next(GET_THE_ORIGINAL))
        };
        let (Some(pre), Some(post)) = (&self.file.pre_blob, &self.file.post_blob) else {
            return failure("it has no `index` line that names base and result".into());
        };
        if !blob::is_proof(post) || !blob::is_proof(pre) {
            return failure(format!(
                "its `index` ids are shorter than the {} digits that count as proof",
                blob::PROOF_HEX_DIGITS
            ));
        }
        if blob::names(post, self.bytes()) {
            return failure(format!("the tree already holds the result {post}"));
        }
        if self.pre_matches() != Some(true) {
            return failure(format!("it was made on blob {pre}; {}", self.tree_id()));
        }
        Ok(post)
    }

    fn as_repaired(&self, mut outcome: Merged, mut damage: Vec<Damage>) -> Merged {
        if self.patch.crlf {
            damage.insert(0, self.whole(DamageKind::CrLf));
        }
        outcome.damage = damage;
        outcome.file.repaired = true;
        outcome
    }

    fn whole(&self, kind: DamageKind) -> Damage {
        Damage {
            path: self.file.path.clone(),
            hunk: 0,
            kind,
            lines: vec![self.file.line],
            detail: String::new(),
        }
    }

    fn found_damage(&self) -> Vec<Damage> {
        let faults: Vec<Vec<HunkDamage>> = self.file.hunks.iter().map(|hunk| hunk.faults.clone()).collect();
        self.damage(&faults)
    }

    fn damage(&self, faults: &[Vec<HunkDamage>]) -> Vec<Damage> {
        let of_hunk = |(index, faults): (usize, &Vec<HunkDamage>)| {
            faults.iter().map(move |fault| (index + 1, fault.clone())).collect::<Vec<_>>()
        };
        let all = faults.iter().enumerate().flat_map(of_hunk);
        all.map(|(hunk, HunkDamage { kind, lines, detail })| Damage {
            path: self.file.path.clone(),
            hunk,
            kind,
            lines,
            detail,
        })
        .collect()
    }

    fn tree_id(&self) -> String {
        match &self.before_id {
            Some(id) => format!("the tree has blob {}", &id[..blob::PROOF_HEX_DIGITS]),
            None => "the tree has no such file".into(),
        }
    }

    fn reject(&self, what: &str) -> Failure {
        Failure::rejected(format!("{}:{}: {}: {what}", self.file.text.name(), self.file.line, self.file.path))
    }

    fn does_not_apply(&self, departure: &Departure) -> Failure {
        let mut failure = self.add_departure(self.reject("the patch does not apply"), departure);
        let work = &mut self.work.borrow_mut();
        if self.file.from.is_none() && undone(self.file, self.before, work).is_ok() {
            failure =
                failure.because("this file's part can be undone cleanly: the tree already holds this change");
        } else if self.file.pre_blob.is_some() {
            failure = failure.because(format!("its base blob is not the tree's: {}", self.tree_id()));
        }
        failure.next("check that the patch is meant for this tree and this version of it")
    }

    fn add_departure(&self, failure: Failure, departure: &Departure) -> Failure {
        let Departure { hunk, tree_line, expected, found, why } = departure;
        let line = self.file.hunks.get(hunk - 1).map_or(self.file.line, |hunk| hunk.line);
        let differs = found.as_ref() != Some(expected);
        let found = found.as_deref().map_or("the end of the file".into(), quoted);
        let failure = match why {
            Why::TooMuch => {
                return failure.because(format!("it takes too long to look for the place of hunk {hunk} (line {line})"));
            }
            Why::Ambiguous(_) | Why::Departs => failure,
            Why::NotAtStart => failure.because(format!(
                "hunk {hunk} (line {line}) begins at line 1, so it has to lie at the start of the file, and does not fit there"
            )),
            Why::NotAtEnd => failure.because(format!(
                "hunk {hunk} (line {line}) has no context below its last change, so it has to lie at the end of the file, and does not fit there"
            )),
        };
        if !differs {
            return failure.next("make the patch with three lines of context");
        }
        failure.because(format!(
            "hunk {hunk} (line {line}) departs at line {tree_line} of the tree's file: it expects {}, the tree has {found}",
            quoted(expected)
        ))
    }

    fn misfit(
        &self,
        hunk: usize,
        tree_line: usize,
        misfit: &super::align::Misfit,
        known: &[Damage],
    ) -> Failure {
        let mut faults = vec![Vec::new(); hunk - 1];
        faults.push(misfit.faults.clone());
        let stands = match &misfit.found {
            Some(line) => format!("line {} of the patch, {},", line.number, quoted(&line.text)),
            None => "the end of the hunk".into(),
        };
        let content = self.bytes().unwrap_or_default();
        let lines = apply::file_lines(content);
        let expected = lines.get(tree_line - 1).map_or("the end of the file".into(), |line| quoted(line));
        let failure = self.reject("the patch is damaged beyond repair").because(format!(
            "hunk {hunk}: {stands} stands where line {tree_line} of the tree's file is {expected}"
        ));
        tell(failure, &[known, &self.damage(&faults)].concat()).next(GET_THE_ORIGINAL)
    }
}

const GET_THE_ORIGINAL: &str = "get the original mail (on lore.kernel.org: the `raw` or `mbox.gz` link)";

fn tell(failure: Failure, damage: &[Damage]) -> Failure {
    damage.iter().fold(failure, |failure, damage| failure.because(damage.to_string()))
}
