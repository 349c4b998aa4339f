//! Patch files of every kind that was once taken wrongly or refused without need (testdata/patch/cases), each with the
//! right value: the blobs that `git apply` makes of it, or a word of the refusal.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::file;
use failure::{Exit, Result};
use patch::{Base, Content, Held, Overlay, Series};

/// Line 30 says `line thirty`.
const THIRTY: &str = "956f60637e40";
/// The same, and line 50 says `line fifty`.
const FIFTY: &str = "64af7f4b7c9d";

/// What becomes of the files that change; `+x`: executable.
const TAKEN: [(&str, &str); 40] = [
    ("attached-format-patch.eml", "mm/x.c THIRTY"),
    ("below-the-last-hunk-dashes.patch", "mm/x.c THIRTY"),
    ("below-the-last-hunk-rule.patch", "mm/x.c THIRTY"),
    ("below-the-last-hunk-signature.patch", "mm/x.c THIRTY"),
    ("below-the-last-hunk-vote.patch", "mm/x.c THIRTY"),
    ("body-line-begins-with-from.mbox", "mm/x.c THIRTY"),
    ("copy.patch", "mm/z.c THIRTY"),
    ("empty-file-deleted.patch", "mm/nothing.c gone"),
    ("empty-new-file.patch", "mm/empty.c e69de29bb2d1"),
    ("footer-below-base64.eml", "mm/x.c THIRTY"),
    ("format-flowed.eml", "mm/x.c THIRTY"),
    ("in-body-from-and-subject.eml", "mm/x.c THIRTY"),
    ("mode-alone.patch", "mm/x.c 8b2034dd771e+x"),
    ("name-begins-with-dot.patch", "mm/x.c THIRTY"),
    ("name-ends-with-orig.patch", "mm/x.c THIRTY"),
    ("new-script.patch", "mm/new.sh 27ba77ddaf61+x"),
    ("packed.patch.gz", "mm/x.c THIRTY"),
    ("place-not-unique.patch", "mm/same.c cabdf396bb55"),
    ("rename-and-edit.patch", "mm/y.c gone, mm/z.c THIRTY"),
    ("rename-and-mode.patch", "mm/run.sh gone, mm/walk.sh 27ba77ddaf61"),
    ("rename.patch", "mm/y.c gone, mm/z.c 8b2034dd771e"),
    ("stale-index.patch", "mm/x.c 03dfeffaa5da"),
    ("thread-out-of-order.mbox", "mm/x.c 8b5f0e2dc19f"),
    ("thread-part-two-alone.eml", "mm/y.c THIRTY"),
    ("thread-two-versions.mbox", "mm/x.c THIRTY"),
    ("thread-with-replies.mbox", "mm/x.c THIRTY"),
    ("w1-inline-and-attachment.eml", "mm/x.c THIRTY, mm/y.c THIRTY"),
    ("w1-quoted-hunk-and-attachment.eml", "mm/x.c FIFTY"),
    ("w1-two-attachments.eml", "mm/x.c THIRTY, mm/y.c THIRTY"),
    ("w3-autocrypt-first.eml", "mm/x.c 7e448027479b"),
    ("w3-blank-line-first.eml", "mm/x.c 7e448027479b"),
    ("w3-envelope-to-first.eml", "mm/x.c 7e448027479b"),
    ("w3-precedence-first.eml", "mm/x.c 7e448027479b"),
    ("w3-status-first.eml", "mm/x.c 7e448027479b"),
    ("w3-user-agent-first.eml", "mm/x.c 7e448027479b"),
    ("w4-diff-creates.patch", "mm/new.c 814f4a422927"),
    ("w4-diff-deletes.patch", "mm/short.c gone"),
    ("w5-fits-a-second-time.patch", "mm/same.c c6e0038af08d"),
    ("w7-no-prefix.patch", "tools/include/uapi/x.h THIRTY"),
    // As git does: what is around a diff is passed over.
    ("web-page-with-a-diff.html", "mm/x.c THIRTY"),
];

/// git refuses them too, but for links and submodules, a zip (it passes it over) and a no-break space (text, to git).
const REFUSED: [(&str, &str); 16] = [
    ("colours.patch", "--no-color"),
    ("quoted-reply.eml", "a reply that quotes a patch"),
    ("submodule.patch", "a submodule (mode 160000)"),
    ("symbolic-link.patch", "a symbolic link (mode 120000)"),
    ("thread-without-its-first-part.mbox", "1/3"),
    ("utf-16.patch", "UTF-16"),
    ("w1-attachment-of-another-kind.eml", "part 2 (p.zip) is packed with zip"),
    ("w2-later-hunk-cut-off.patch", "damaged"),
    ("w2-later-hunk-no-break-space.patch", "damaged"),
    ("w2-later-hunk-no-space.patch", "damaged"),
    ("w2-later-hunk-one-at.patch", "damaged"),
    ("w2-later-hunk-semicolon.patch", "damaged"),
    ("w2-later-hunk-wrapped.patch", "damaged"),
    ("w6-no-context-above.patch", "has to lie at the start of the file"),
    ("w6-no-context-below.patch", "has to lie at the end of the file"),
    ("web-page.html", "it is a web page"),
];

/// Who wrote what, where the envelope could mislead.
const IDENTITY: [(&str, &str, &str); 4] = [
    ("attached-format-patch.eml", "The Author <author@example.org>", "[PATCH] mm: the real subject"),
    ("body-line-begins-with-from.mbox", "A Writer <a@example.org>", "[PATCH] mm: count to thirty"),
    ("in-body-from-and-subject.eml", "The Author <author@example.org>", "[PATCH] mm: the real subject"),
    ("w3-status-first.eml", "A Writer <a@example.org>", "[PATCH] mm: count to thirty"),
];

/// What is said about how the patch was found.
const NOTES: [(&str, &str); 4] = [
    ("thread-out-of-order.mbox", "in the order of their numbers"),
    ("thread-part-two-alone.eml", "patch 2 of a series of 2, alone"),
    ("thread-two-versions.mbox", "version 2; passed over: version 1"),
    ("thread-with-replies.mbox", "passed over: a reply with a diff"),
];

struct Tree(BTreeMap<String, Content>);

impl Base for Tree {
    fn file(&self, path: &str) -> Result<Option<Content>> {
        Ok(self.0.get(path).cloned())
    }
}

fn tree() -> Tree {
    let lines: String = (1..=60).map(|line| format!("line {line}\n")).collect();
    let same = format!("f();\nf();\n{}", "{\n\tg();\n}\n".repeat(8));
    let plain = ["mm/x.c", "mm/y.c", "include/uapi/x.h", "tools/include/uapi/x.h"];
    let mut files: BTreeMap<_, _> =
        plain.map(|path| (path.to_owned(), Content::plain(lines.as_str()))).into();
    for (path, text) in [("mm/short.c", "one\ntwo\n"), ("mm/same.c", &same), ("mm/nothing.c", "")] {
        files.insert(path.to_owned(), Content::plain(text));
    }
    files.insert("mm/run.sh".to_owned(), Content { executable: true, ..Content::plain("true\n") });
    Tree(files)
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/patch/cases")
}

/// `PATH BLOB` of each file that `series` leaves otherwise than it was.
fn outcome(series: &Series) -> Result<String> {
    let tree = tree();
    let proved = patch::prove(series, &tree)?;
    let shown = |path: &str, content: &Option<Content>| match content {
        None => format!("{path} gone"),
        Some(content) => {
            let id = patch::blob_id(&content.bytes);
            format!("{path} {}{}", &id[..12], if content.executable { "+x" } else { "" })
        }
    };
    let mut after = Overlay::new(&tree);
    after.add(&proved);
    let changed = after.changed.iter().map(|(path, content)| shown(path, content));
    Ok(changed.collect::<Vec<_>>().join(", "))
}

#[test]
fn every_file_is_taken_as_git_takes_it_or_refused_with_the_reason() {
    for (name, wanted) in TAKEN {
        let found = file(&cases().join(name)).and_then(|series| outcome(&series));
        let wanted = wanted.replace("THIRTY", THIRTY).replace("FIFTY", FIFTY);
        assert_eq!(found.as_deref().map_err(ToString::to_string), Ok(wanted.as_str()), "{name}");
    }
    for (name, word) in REFUSED {
        let failure = file(&cases().join(name)).and_then(|series| outcome(&series)).unwrap_err();
        assert_eq!(failure.exit, Exit::PatchRejected, "{name}");
        assert!(failure.to_string().contains(word), "{name}: {failure}");
    }
}

#[test]
fn every_file_has_its_right_value_in_a_test() {
    let named: BTreeSet<_> = TAKEN.iter().chain(&REFUSED).map(|(name, _)| (*name).to_owned()).collect();
    let files = std::fs::read_dir(cases()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(files.map(|name| name.into_string().unwrap()).collect::<BTreeSet<_>>(), named);
}

#[test]
fn the_author_and_the_subject_are_the_patchs_and_the_sound_text_keeps_them() {
    for (name, author, subject) in IDENTITY {
        let series = file(&cases().join(name)).unwrap();
        let proved = patch::prove(&series, &tree()).unwrap();
        for series in [series, patch::read(&proved.sound, "sound").unwrap()] {
            let [patch] = &series.patches[..] else { panic!("{name}: one patch") };
            let found = (patch.author.as_deref(), patch.subject.as_deref());
            assert_eq!(found, (Some(author), Some(subject)), "{name}");
        }
    }
}

#[test]
fn what_was_passed_over_or_put_in_order_is_said() {
    for (name, note) in NOTES {
        let series = file(&cases().join(name)).unwrap();
        assert!(series.notes.iter().any(|said| said.contains(note)), "{name}: {:?}", series.notes);
    }
    let edited = patch::prove(&file(&cases().join("stale-index.patch")).unwrap(), &tree()).unwrap();
    assert!(edited.files[0].edited);
}

/// Of a tree that holds the patch this is known, also where it would go in once more.
#[test]
fn a_tree_that_holds_a_patch_that_fits_twice_is_known() {
    let series = file(&cases().join("w5-fits-a-second-time.patch")).unwrap();
    let tree = tree();
    let mut held = Overlay::new(&tree);
    held.add(&patch::prove(&series, &tree).unwrap());
    assert!(patch::prove(&series, &held).is_ok());
    assert_eq!(patch::held(&series, &held).unwrap(), Some(Held::Undoes));
}
