//! Applies a series to a base and proves by blob ids that the result is the one that was posted. Pure.
//!
//! A sound patch is applied as it stands. A damaged one is repaired, and accepted only when base and result are
//! the ones its `index` line names. Nothing is accepted half.

use super::apply::{self, Applied, Departure, Placed};
use super::diff::{Change, DamageKind, Edit, EditKind, Fault, FileDiff};
use super::repair::{self, Unrepaired};
use super::reverse::{quoted, undone};
use super::{Base, Overlay, Patch, Series, blob, render};
use crate::failure::{Failure, Result};

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
    pub after: Option<Vec<u8>>,
    /// The mode asks for an executable file.
    pub executable: bool,
    pub repaired: bool,
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

/// Applies `series` to `base`, repairing what is damaged and provable.
///
/// # Errors
/// Rejected, with the whole diagnosis, when it does not apply or a repair cannot be proved.
pub fn prove(series: &Series, base: &dyn Base) -> Result<Proved> {
    let mut tree = Overlay::new(base);
    let mut proved = Proved { files: Vec::new(), damage: Vec::new(), repaired: false, sound: Vec::new() };
    let mut sound = Vec::new();
    for patch in &series.patches {
        let mut edits = Vec::new();
        for file in &patch.files {
            let before = tree.read(&file.path)?;
            let result = Attempt { patch, file, before: before.as_deref() }.prove()?;
            tree.changed.insert(file.path.clone(), result.file.after.clone());
            proved.repaired |= result.file.repaired;
            proved.damage.extend(result.damage);
            proved.files.push(result.file);
            edits.push(result.edits);
        }
        sound.push(edits);
    }
    proved.sound = render::series(series, &sound);
    Ok(proved)
}

struct Outcome {
    file: ProvedFile,
    edits: Vec<Vec<Edit>>,
    damage: Vec<Damage>,
}

struct Attempt<'a> {
    patch: &'a Patch,
    file: &'a FileDiff,
    before: Option<&'a [u8]>,
}

impl Attempt<'_> {
    fn prove(&self) -> Result<Outcome> {
        self.check_existence()?;
        let Some(edits) = self.sound_edits() else {
            return self.repair(self.found_damage());
        };
        match self.apply(&edits) {
            Err(departure) if self.pre_matches() == Some(true) => {
                self.repair(Vec::new()).map_err(|failure| self.add_departure(failure, &departure))
            }
            Err(departure) => Err(self.does_not_apply(&departure)),
            Ok(_) if self.is_unanchored(&edits) => Err(self
                .reject("a hunk has neither context nor removed lines, so nothing shows that it is in the right place")
                .next("make the patch with three lines of context")),
            Ok(applied) => self.judge(applied, edits),
        }
    }

    /// A text that applies is still damaged when its line ends are, or when base and ids say that the result is
    /// not the one that was posted.
    fn judge(&self, applied: Applied, edits: Vec<Vec<Edit>>) -> Result<Outcome> {
        let outcome = self.outcome(applied, edits)?;
        let altered = self.pre_matches() == Some(true) && outcome.file.post_matches == Some(false);
        if altered {
            return self.repair(vec![self.whole(DamageKind::Altered)]);
        }
        if !self.patch.crlf {
            return Ok(outcome);
        }
        self.provable(&[self.whole(DamageKind::CrLf)])?;
        Ok(self.as_repaired(outcome, vec![]))
    }

    fn check_existence(&self) -> Result<()> {
        match (self.file.change, self.before) {
            (Change::Create, Some(_)) => {
                Err(self.reject("the file is there already").because(self.tree_id()))
            }
            (Change::Modify | Change::Delete, None) => Err(self
                .reject("the tree has no such file")
                .next("check that the patch is meant for this tree")),
            _ => Ok(()),
        }
    }

    fn sound_edits(&self) -> Option<Vec<Vec<Edit>>> {
        self.file.hunks.iter().map(|hunk| hunk.edits.as_ref().ok().cloned()).collect()
    }

    /// Whether a hunk would go in wherever it says, into a file that is not known to be the right one.
    fn is_unanchored(&self, edits: &[Vec<Edit>]) -> bool {
        let adds_only = |edits: &Vec<Edit>| edits.iter().all(|edit| edit.kind == EditKind::Add);
        self.before.is_some_and(|content| !content.is_empty())
            && self.pre_matches() != Some(true)
            && edits.iter().any(adds_only)
    }

    fn apply(&self, edits: &[Vec<Edit>]) -> std::result::Result<Applied, Departure> {
        let placed: Vec<Placed> = self
            .file
            .hunks
            .iter()
            .zip(edits)
            .map(|(hunk, edits)| Placed { old_start: hunk.old_start, edits })
            .collect();
        apply::apply(self.before.unwrap_or_default(), &placed)
    }

    fn outcome(&self, applied: Applied, edits: Vec<Vec<Edit>>) -> Result<Outcome> {
        let Applied { after, offsets } = applied;
        if self.file.change == Change::Delete && !after.is_empty() {
            return Err(self.reject("it deletes the file but leaves lines of it"));
        }
        let after = (self.file.change != Change::Delete).then_some(after);
        let file = ProvedFile {
            path: self.file.path.clone(),
            pre_blob: self.file.pre_blob.clone(),
            post_blob: self.file.post_blob.clone(),
            pre_matches: self.pre_matches(),
            post_matches: self.file.post_blob.as_ref().map(|id| blob::names(id, after.as_deref())),
            pre_full: self.before.map(blob::blob_id),
            post_full: after.as_deref().map(blob::blob_id),
            offsets,
            after,
            executable: self.file.mode.as_deref() == Some("100755"),
            repaired: false,
        };
        Ok(Outcome { file, edits, damage: Vec::new() })
    }

    fn pre_matches(&self) -> Option<bool> {
        self.file.pre_blob.as_ref().map(|id| blob::names(id, self.before))
    }

    /// The repaired file, or a rejection that carries the diagnosis; `known` is the damage found so far.
    fn repair(&self, known: Vec<Damage>) -> Result<Outcome> {
        let post_blob = self.provable(&known)?;
        match repair::repair(&self.file.hunks, self.before.unwrap_or_default(), post_blob) {
            Ok(repaired) => {
                let offsets = vec![0; self.file.hunks.len()];
                let outcome = self.outcome(Applied { after: repaired.after, offsets }, repaired.edits)?;
                Ok(self.as_repaired(outcome, self.damage(&repaired.faults)))
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
        if blob::names(post, self.before) {
            return failure(format!("the tree already holds the result {post}"));
        }
        if self.pre_matches() != Some(true) {
            return failure(format!("it was made on blob {pre}; {}", self.tree_id()));
        }
        Ok(post)
    }

    fn as_repaired(&self, mut outcome: Outcome, mut damage: Vec<Damage>) -> Outcome {
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
        let faults: Vec<Vec<Fault>> = self
            .file
            .hunks
            .iter()
            .map(|hunk| hunk.edits.as_ref().err().cloned().unwrap_or_default())
            .collect();
        self.damage(&faults)
    }

    fn damage(&self, faults: &[Vec<Fault>]) -> Vec<Damage> {
        let of_hunk = |(index, faults): (usize, &Vec<Fault>)| {
            faults.iter().map(move |fault| (index + 1, fault.clone())).collect::<Vec<_>>()
        };
        let all = faults.iter().enumerate().flat_map(of_hunk);
        all.map(|(hunk, Fault { kind, lines, detail })| Damage {
            path: self.file.path.clone(),
            hunk,
            kind,
            lines,
            detail,
        })
        .collect()
    }

    fn tree_id(&self) -> String {
        match self.before {
            Some(content) => {
                format!("the tree has blob {}", &blob::blob_id(content)[..blob::PROOF_HEX_DIGITS])
            }
            None => "the tree has no such file".into(),
        }
    }

    fn reject(&self, what: &str) -> Failure {
        Failure::rejected(format!("{}:{}: {}: {what}", self.patch.origin, self.file.line, self.file.path))
    }

    fn does_not_apply(&self, departure: &Departure) -> Failure {
        let mut failure = self.add_departure(self.reject("the patch does not apply"), departure);
        if undone(self.file, self.before).is_ok() {
            failure =
                failure.because("this file's part can be undone cleanly: the tree already holds this change");
        } else if self.file.pre_blob.is_some() {
            failure = failure.because(format!("its base blob is not the tree's: {}", self.tree_id()));
        }
        failure.next("check that the patch is meant for this tree and this version of it")
    }

    fn add_departure(&self, failure: Failure, departure: &Departure) -> Failure {
        let Departure { hunk, tree_line, expected, found, fits_at } = departure;
        let line = self.file.hunks.get(hunk - 1).map_or(self.file.line, |hunk| hunk.line);
        if let [_, _, ..] = fits_at[..] {
            let places = format!(
                "hunk {hunk} (line {line}) does not fit where it says, and fits at lines {fits_at:?}"
            );
            return failure.because(places).because("with more than one place it is not decided by guessing");
        }
        let found = found.as_deref().map_or("the end of the file".into(), quoted);
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
        let content = self.before.unwrap_or_default();
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
