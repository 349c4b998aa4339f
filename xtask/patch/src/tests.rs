//! The module from outside: input text in, proof or rejection out.

use super::blob::blob_id;
use super::diff::DamageKind;
use super::prove::ProvedFile;
use super::*;
use failure::Exit;
use proptest::prelude::*;

const SEED: &[u8] = include_bytes!("../testdata/seed-v2-pasted.txt");
const SOUND_V2: &[u8] = include_bytes!("../../../patches/mmu_gather-v2.patch");
const UNDO: &[u8] = include_bytes!("../../../patches/7.2/undo-mmu_gather-rcu-sync.patch");
const MMU_GATHER: &[u8] = include_bytes!("../../testdata/patch/base/mm/mmu_gather.c");
const TLB: &[u8] = include_bytes!("../../testdata/patch/base/include/asm-generic/tlb.h");

/// Ids of the seed's result.
const TLB_V2: &str = "bdcc2778ac64";
const MMU_GATHER_V2: &str = "2c6fa8db55df";

struct Files(BTreeMap<String, Content>);

impl Files {
    fn new(files: &[(&str, &[u8])]) -> Self {
        Files(files.iter().map(|(path, content)| (path.to_string(), Content::plain(*content))).collect())
    }

    fn seed_base() -> Self {
        Files::new(&[("mm/mmu_gather.c", MMU_GATHER), ("include/asm-generic/tlb.h", TLB)])
    }
}

impl Base for Files {
    fn file(&self, path: &str) -> Result<Option<Content>> {
        Ok(self.0.get(path).cloned())
    }
}

/// What a file holds after its patch.
fn after(file: &ProvedFile) -> Option<&[u8]> {
    file.after.as_ref().map(|content| &content.bytes[..])
}

/// A file that may be executed.
fn executable(bytes: &[u8]) -> Content {
    Content { executable: true, ..Content::plain(bytes) }
}

fn prove_text(text: &[u8], base: &Files) -> Result<Proved> {
    prove(&read(text, "p")?, base)
}

fn rejection(text: &[u8], base: &Files) -> String {
    let failure = prove_text(text, base).unwrap_err();
    assert_eq!(failure.exit, Exit::PatchRejected);
    failure.to_string()
}

fn refusal(text: &str) -> String {
    let failure = read(text.as_bytes(), "p").unwrap_err();
    assert_eq!(failure.exit, Exit::PatchRejected);
    failure.to_string()
}

/// From the first diff to the signature.
fn diff_part(text: &[u8]) -> &[u8] {
    let start = text.windows(11).position(|window| window == b"diff --git ").unwrap();
    let end = text.windows(5).rposition(|window| window == b"\n-- \n").unwrap();
    &text[start..=end]
}

fn replaced(text: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(text).unwrap();
    assert!(text.contains(from), "{from:?} is not in the text");
    text.replacen(from, to, 1).into_bytes()
}

#[test]
fn the_pasted_seed_is_repaired_and_proved_by_its_blob_ids() {
    let proved = prove_text(SEED, &Files::seed_base()).unwrap();
    assert!(proved.repaired);
    for (file, id) in proved.files.iter().zip([TLB_V2, MMU_GATHER_V2]) {
        assert_eq!((file.pre_matches, file.post_matches), (Some(true), Some(true)));
        assert!(blob_id(after(file).unwrap()).starts_with(id));
    }
}

#[test]
fn repairing_the_seed_gives_the_sound_patch_that_is_kept() {
    let proved = prove_text(SEED, &Files::seed_base()).unwrap();
    assert_eq!(
        diff_part(&proved.sound).escape_ascii().to_string(),
        diff_part(SOUND_V2).escape_ascii().to_string()
    );
}

#[test]
fn the_sound_patch_applies_without_repair_and_its_text_is_a_fixed_point() {
    let proved = prove_text(SOUND_V2, &Files::seed_base()).unwrap();
    assert!(!proved.repaired && proved.damage.is_empty());
    assert_eq!(proved.files[1].offsets, [0, 0]);
    assert_eq!(proved.sound.escape_ascii().to_string(), SOUND_V2.escape_ascii().to_string());
}

#[test]
fn the_undo_patch_is_recognised_as_done_on_the_seed_base_and_undoes_nothing_twice() {
    let undo = read(UNDO, "p").unwrap();
    assert_eq!(held(&undo, &Files::seed_base()).unwrap(), Some(Held::Results(2)));
    assert!(prove(&undo, &Files::seed_base()).is_err());
}

#[test]
fn a_tree_that_holds_the_patch_is_recognised() {
    let base = Files::seed_base();
    let series = read(SOUND_V2, "p").unwrap();
    assert_eq!(held(&series, &base).unwrap(), None);
    let mut tree = Overlay::new(&base);
    tree.add(&prove(&series, &base).unwrap());
    assert_eq!(held(&series, &tree).unwrap(), Some(Held::Results(2)));
    assert_eq!(
        super::undo(&series, &tree).unwrap().before["mm/mmu_gather.c"],
        Some(Content::plain(MMU_GATHER))
    );
    assert_eq!(held(&read(SEED, "p").unwrap(), &tree).unwrap(), Some(Held::Results(2)));
    assert!(prove(&series, &tree).unwrap_err().to_string().contains("the tree already holds this change"));
}

#[test]
fn blank_added_lines_that_vanished_are_found_again() {
    let lines = SEED.split_inclusive(|&byte| byte == b'\n').filter(|line| *line != b"+\n");
    let proved = prove_text(&lines.collect::<Vec<_>>().concat(), &Files::seed_base()).unwrap();
    assert_eq!(diff_part(&proved.sound), diff_part(SOUND_V2));
}

#[test]
fn a_paste_that_lost_a_context_line_names_the_tree_line_that_it_lacks() {
    let text = rejection(&replaced(SEED, "#ifdef tlb_needs_table_invalidate\n", ""), &Files::seed_base());
    assert!(text.contains("is `#ifdef tlb_needs_table_invalidate`"), "{text}");
}

#[test]
fn a_paste_whose_words_changed_is_not_proved() {
    let text = rejection(&replaced(SEED, "+ might_sleep();", "+ might_not_sleep();"), &Files::seed_base());
    assert!(text.contains("no repair can be proved"), "{text}");
    assert!(text.contains("2c6fa8db55df"), "{text}");
}

#[test]
fn a_patch_that_was_edited_by_hand_is_taken_and_says_so() {
    let edited = replaced(SOUND_V2, "+\tmight_sleep();", "+\tmight_weep();");
    let series = read(&edited, "p").unwrap();
    let proved = prove(&series, &Files::seed_base()).unwrap();
    assert!(!proved.repaired && proved.files[1].edited && !proved.files[0].edited);
    let shown = show(&series, Ok(&proved));
    assert!(
        shown.contains("applies; edited after it was made: the result is not the blob that its index names"),
        "{shown}"
    );
}

#[test]
fn an_edited_patch_that_looks_damaged_needs_the_proof() {
    for (sound, damaged) in [
        ("+\tmight_sleep();", "+ might_weep();"),
        ("+\tmight_sleep();", "+\tif (a &lt; b) might_sleep();"),
        ("+\tmight_sleep();", "+\tmight_sleep(x =3D 1);"),
        ("+\tmight_sleep();", "+\tmight_weep();\r"),
        ("+\tmight_sleep();", "+\tmight\u{a0}weep();"),
    ] {
        let text = rejection(&replaced(SOUND_V2, sound, damaged), &Files::seed_base());
        assert!(text.contains("applies, but not to the result"), "{damaged}: {text}");
    }
}

#[test]
fn a_short_index_id_is_no_proof() {
    let text = rejection(&replaced(SEED, "..2c6fa8db55df", "..2c6fa8db55d"), &Files::seed_base());
    assert!(text.contains("shorter than the 12 digits"), "{text}");
}

#[test]
fn a_damaged_patch_for_another_base_is_not_repaired() {
    let mut base = Files::seed_base();
    base.0.get_mut("include/asm-generic/tlb.h").unwrap().bytes.push(b'\n');
    let text = rejection(SEED, &base);
    assert!(text.contains("it was made on blob 4aeac0c3d3f0"), "{text}");
}

#[test]
fn tabs_shown_as_spaces_by_a_terminal_are_repaired() {
    let text = String::from_utf8(SOUND_V2.to_vec()).unwrap();
    let shown = text.replace("+\t", "+       ").replace("-\t", "-       ").replace(" \t", "        ");
    assert!(prove_text(shown.as_bytes(), &Files::seed_base()).unwrap().repaired);
}

#[test]
fn crlf_line_ends_are_taken_off_when_the_result_is_proved() {
    let text = String::from_utf8(diff_part(SOUND_V2).to_vec()).unwrap().replace('\n', "\r\n");
    let proved = prove_text(text.as_bytes(), &Files::seed_base()).unwrap();
    assert!(proved.repaired);
    assert!(proved.damage.iter().all(|damage| damage.kind == DamageKind::CrLf));
    let unproved =
        text.lines().filter(|line| !line.starts_with("index ")).collect::<Vec<_>>().join("\r\n") + "\r\n";
    assert!(rejection(unproved.as_bytes(), &Files::seed_base()).contains("CRLF line ends"));
}

#[test]
fn a_wrapped_line_is_repaired_when_proved() {
    let wrapped = replaced(
        SOUND_V2,
        "+ * Software/Lockless page-table walkers use ",
        "+ * Software/Lockless page-table walkers use\n",
    );
    let proved = prove_text(&wrapped, &Files::seed_base()).unwrap();
    assert_eq!(proved.damage[0].kind, DamageKind::WrappedLine);
    let wrapped = replaced(SOUND_V2, "_one(void *table)\n {", "_one(void\n*table)\n {");
    assert!(prove_text(&wrapped, &Files::seed_base()).unwrap().repaired);
}

const BASE: &[u8] = b"one\ntwo\nthree\nfour\n";

fn base() -> Files {
    Files::new(&[("f", BASE)])
}

fn diff(hunk: &str) -> String {
    format!("diff --git a/f b/f\n--- a/f\n+++ b/f\n{hunk}")
}

#[test]
fn a_departure_names_file_hunk_line_and_both_texts() {
    let text = rejection(diff("@@ -1,3 +1,3 @@\n one\n-2\n+zwei\n three\n").as_bytes(), &base());
    insta::assert_snapshot!(text, @r#"
    p:1: f: the patch does not apply
      why:  hunk 1 (line 4) departs at line 2 of the tree's file: it expects `2`, the tree has `two`
      next: check that the patch is meant for this tree and this version of it
    "#);
}

#[test]
fn a_hunk_without_old_lines_needs_the_right_base() {
    let hunk = "@@ -2,0 +3 @@\n+x\n";
    assert!(rejection(diff(hunk).as_bytes(), &base()).contains("neither context nor removed lines"));
    let right = diff(hunk).replace("--- a/f", "index f384549cbeb4..POST 100644\n--- a/f");
    let right = right.replace("POST", &blob_id(b"one\ntwo\nx\nthree\nfour\n"));
    assert!(!prove_text(right.as_bytes(), &base()).unwrap().repaired);
}

#[test]
fn malformed_hunks_are_diagnosed_from_the_text_alone() {
    let wrapped = rejection(diff("@@ -1,3 +1,3 @@\n one\n-two\n+zwei\nrest\n three\n").as_bytes(), &base());
    assert!(wrapped.contains("line wrapped, line 8"), "{wrapped}");
    let truncated = rejection(diff("@@ -1,3 +1,3 @@\n one\n-two\n").as_bytes(), &base());
    assert!(truncated.contains("truncated, line 6"), "{truncated}");
    let long = rejection(diff("@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n four\n").as_bytes(), &base());
    assert!(long.contains("line counts disagree with the hunk header, line 9"), "{long}");
    let unspaced = rejection(diff("@@ -1,3 +1,3 @@\none\n-two\n+zwei\nthree\n").as_bytes(), &base());
    assert!(unspaced.contains("lost leading space, lines 5, 8"), "{unspaced}");
}

#[test]
fn a_truncated_patch_with_ids_names_where_it_ends() {
    let text = std::str::from_utf8(SOUND_V2).unwrap();
    let cut = text.find(" #else /* !CONFIG_MMU_GATHER").unwrap();
    let text = rejection(&text.as_bytes()[..cut], &Files::seed_base());
    assert!(text.contains("truncated"), "{text}");
}

#[test]
fn files_are_created_and_deleted() {
    let text = "diff --git a/n b/n\nnew file mode 100755\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n\
                diff --git a/f b/f\ndeleted file mode 100644\n--- a/f\n+++ /dev/null\n@@ -1,4 +0,0 @@\n-one\n-two\n-three\n-four\n";
    let proved = prove_text(text.as_bytes(), &base()).unwrap();
    assert_eq!(proved.files[0].after, Some(executable(b"x")));
    assert_eq!(proved.files[1].after, None);
    assert_eq!(proved.sound, text.as_bytes());
    let series = read(text.as_bytes(), "p").unwrap();
    assert_eq!(
        held(&series, &Files([("n".to_owned(), executable(b"x"))].into())).unwrap(),
        Some(Held::Undoes)
    );
    assert!(rejection(text.as_bytes(), &Files::new(&[("n", b"")])).contains("the file is there already"));
    assert!(rejection(&text.as_bytes()[99..], &Files::new(&[])).contains("the tree has no such file"));
}

#[test]
fn patches_of_one_input_stack() {
    let mail = |subject: &str, from: &str, to: &str| {
        format!(
            "From a@b Tue Feb 24 11:07:00 2026\nFrom: a@b\nSubject: {subject}\n\nwhy\n---\n{}\n",
            diff(&format!("@@ -1,3 +1,3 @@\n one\n-{from}\n+{to}\n three\n"))
        )
    };
    let mbox = format!(
        "From a@b Tue Feb 24 11:00:00 2026\nSubject: cover\n\nno diff\n\n{}{}",
        mail("1", "two", "2"),
        mail("2", "2", "II")
    );
    let series = read(mbox.as_bytes(), "p").unwrap();
    assert_eq!(series.patches.len(), 2);
    let proved = prove(&series, &base()).unwrap();
    assert_eq!(after(&proved.files[1]), Some(&b"one\nII\nthree\nfour\n"[..]));
    let again = prove_text(&proved.sound, &base()).unwrap();
    assert_eq!(again.files, proved.files);
}

#[test]
fn bytes_that_are_not_utf8_survive() {
    let text = [b"--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n one\n-two\n+\xff\xfe\n three\n".as_slice()].concat();
    let proved = prove_text(&text, &base()).unwrap();
    assert_eq!(after(&proved.files[0]), Some(&b"one\n\xff\xfe\nthree\nfour\n"[..]));
}

#[test]
fn what_reaches_outside_the_tree_is_refused_with_its_line() {
    let named = |old: &str, new: &str| refusal(&format!("text\n--- {old}\n+++ {new}\n@@ -1 +1 @@\n-a\n+b\n"));
    assert!(named("a/../../etc/passwd", "b/../../etc/passwd").starts_with("p:2: "));
    assert!(named("a/x", "/etc/passwd").starts_with("p:3: "));
    assert!(named("a/.GIT/config", "b/.GIT/config").contains("reaches into `.git`"));
    let git = refusal("diff --git a/../x b/../x\n--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-a\n+b\n");
    assert!(git.starts_with("p:1: ") && git.contains("may not leave the tree"), "{git}");
}

#[test]
fn what_is_not_supported_is_refused_and_never_skipped() {
    let header = |lines: &str| refusal(&format!("diff --git a/x b/x\n{lines}"));
    let link =
        "new file mode 120000\nindex 0000000..1de5659\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+target\n";
    assert!(header(link).starts_with("p:2: a symbolic link"));
    assert!(header("index 1234567..1234568 160000\n--- a/x\n+++ b/x\n").contains("submodule"));
    assert!(header("old mode 100644\nnew mode 120000\n").starts_with("p:3: a symbolic link"));
    assert!(
        header("index 1234567..1234568 100644\nGIT binary patch\nliteral 1\n").starts_with("p:3: binary")
    );
    assert!(header("Binary files a/x and b/x differ\n").contains("binary"));
    assert!(refusal("--- a/x\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n").contains("name different files"));
    assert!(
        refusal("diff --git a/x b/y\n--- a/x\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n").contains("different files")
    );
    assert!(header("rename from x\nrename to ../y\n").starts_with("p:3: path `../y`"));
    assert!(refusal("hello\n").contains("no diff in it"));
}

#[test]
fn a_last_line_without_its_end_may_be_half_a_line_and_needs_the_proof() {
    let hunk = "@@ -2,3 +2,3 @@\n two\n-three\n+drei\n four";
    let text = rejection(diff(hunk).as_bytes(), &base());
    assert!(text.contains("the last line has no line end"), "{text}");
    let ids = format!("index f384549cbeb4..{} 100644\n--- a/f", &blob_id(b"one\ntwo\ndrei\nfour\n")[..12]);
    let proved = prove_text(diff(hunk).replace("--- a/f", &ids).as_bytes(), &base()).unwrap();
    assert!(proved.repaired);
}

#[test]
fn a_header_without_its_hunks_is_refused() {
    let header = |lines: &str| refusal(&format!("diff --git a/x b/x\n{lines}"));
    assert!(header("new file mode 100644\n").contains("no content change?"));
    assert!(header("new file mode 100644\nindex 0000000..1234567\n").contains("no content change?"));
    assert!(header("deleted file mode 100644\nindex 1234567..0000000\n").contains("no content change?"));
    assert!(
        refusal("diff --git a/x b/y\nsimilarity index 95%\nrename from x\nrename to y\n")
            .contains("the hunks are missing")
    );
    assert!(header("rename from x\nrename to y").contains("ends within the header"));
    assert!(refusal("diff --git a/x b/z\nrename from x\nrename to y\n").contains("name different files"));
    assert!(
        refusal("diff --git a/x b/z\ndiff --git a/y b/y\nold mode 100644\nnew mode 100755\n")
            .contains("nothing below")
    );
    assert!(header("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n").contains("nothing below"));
    // git apply sets the mode of x.
    assert!(header("diff --git a/y b/y\nold mode 100644\nnew mode 100755\n").contains("nothing below"));
}

/// Each row is one kind of a file list: W1 to W7 and the refusals that were wrong.
#[test]
fn a_later_hunk_whose_header_is_damaged_is_refused() {
    let first = "@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n";
    for damaged in [
        "@@ -29,3 +30,4@@",
        "@@ -29,3 +30,4 @",
        "@@ -29,3",
        "@@ -29,3 +30;4 @@",
        "@@\u{a0}-29,3 +30,4 @@",
        "@@ -29,3\n+30,4 @@",
        "@ -29,3 +30,4 @@",
        "@@ … @@",
    ] {
        let text = refusal(&diff(&format!("{first}{damaged}\n a\n+b\n c\n d\n")));
        assert!(text.contains("damaged") && text.starts_with("p:9: "), "{damaged}: {text}");
    }
}

#[test]
fn what_people_write_below_a_patch_is_no_part_of_it() {
    let hunk = "@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n";
    for below in
        ["-- \n2.47.0\n", "--\n2.47.0\n", "--\nA. Author\n", "---\nabout it\n", "+1\n", "+1, good\n\nA.\n"]
    {
        let proved = prove_text(diff(&format!("{hunk}{below}")).as_bytes(), &base());
        let proved = proved.unwrap();
        assert_eq!(after(&proved.files[0]), Some(&b"one\nzwei\nthree\nfour\n"[..]), "{below}");
    }
}

#[test]
fn names_of_diff_are_read_as_git_reads_them() {
    let tree = Files::new(&[("mm/x.c", BASE), ("top", BASE)]);
    let hunk = "@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n";
    let path = |old: &str, new: &str| {
        let proved = prove_text(format!("--- {old}\n+++ {new}\n{hunk}").as_bytes(), &tree);
        proved.map(|proved| proved.files[0].path.clone()).map_err(|failure| failure.what)
    };
    for (old, new) in [
        ("linux/mm/x.c.orig", "linux/mm/x.c"),
        ("linux.orig/mm/x.c", "linux/mm/x.c"),
        ("./mm/x.c", "./mm/x.c"),
        ("mm/x.c~", "mm/x.c"),
        ("mm/x.c", "mm/x.c"),
        ("a/mm/x.c\t2026-01-01 00:00:00.0 +0000", "b/mm/x.c\t2026-01-02 00:00:00.0 +0000"),
    ] {
        assert_eq!(path(old, new).as_deref(), Ok("mm/x.c"), "{old} {new}");
    }
    assert_eq!(path("top.orig", "top").as_deref(), Ok("top"));
    let both = Files::new(&[("tools/include/x.h", BASE), ("include/x.h", BASE)]);
    let git = format!(
        "diff --git tools/include/x.h tools/include/x.h\n--- tools/include/x.h\n+++ tools/include/x.h\n{hunk}"
    );
    assert_eq!(prove_text(git.as_bytes(), &both).unwrap().files[0].path, "tools/include/x.h");
    let plain = &git[git.find("---").unwrap()..];
    assert!(rejection(plain.as_bytes(), &both).contains("The tree has both"));
}

#[test]
fn a_time_of_1970_says_that_there_is_no_file() {
    let then = "1970-01-01 01:00:00.000000000 +0100";
    let now = "2026-01-01 00:00:00.000000000 +0100";
    let deletes = format!(
        "diff -ruN a/f b/f\n--- a/f\t{now}\n+++ b/f\t{then}\n@@ -1,4 +0,0 @@\n-one\n-two\n-three\n-four\n"
    );
    assert_eq!(prove_text(deletes.as_bytes(), &base()).unwrap().files[0].after, None);
    let creates = format!("diff -ruN a/n b/n\n--- a/n\t{then}\n+++ b/n\t{now}\n@@ -0,0 +1 @@\n+x\n");
    assert_eq!(after(&prove_text(creates.as_bytes(), &base()).unwrap().files[0]), Some(&b"x\n"[..]));
    let silently = "--- a/n\n+++ b/n\n@@ -0,0 +1 @@\n+x\n";
    assert_eq!(after(&prove_text(silently.as_bytes(), &base()).unwrap().files[0]), Some(&b"x\n"[..]));
}

#[test]
fn every_part_of_a_mail_is_used_and_a_quotation_is_not_used_twice() {
    let part =
        |name: &str| format!("--- a/{name}\n+++ b/{name}\n@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n");
    let mail = |parts: &[&str]| {
        let parts: String =
            parts.iter().map(|part| format!("--=b\nContent-Type: text/x-patch\n\n{part}")).collect();
        format!("From: a@b\nSubject: s\nContent-Type: multipart/mixed; boundary=\"=b\"\n\n{parts}--=b--\n")
    };
    let tree = Files::new(&[("f", BASE), ("g", BASE)]);
    let paths = |text: String| {
        let proved = prove_text(text.as_bytes(), &tree).unwrap();
        proved.files.into_iter().map(|file| file.path).collect::<Vec<_>>()
    };
    assert_eq!(paths(mail(&["hello\n", &part("f"), &part("g")])), ["f", "g"]);
    assert_eq!(paths(mail(&[&part("f"), &part("g")])), ["f", "g"]);
    let whole = format!("{}{}", part("f"), part("g"));
    assert_eq!(paths(mail(&[&format!("as in\n{}", part("f")), &whole])), ["f", "g"]);
    assert_eq!(paths(mail(&[&part("f"), &part("f")])), ["f"]);
    let formatted = format!(
        "From 0123 Mon Sep 17 00:00:00 2001\nFrom: Inner <i@b>\nSubject: [PATCH] inner\n\n---\n{}",
        part("f")
    );
    let series = read(mail(&["please apply\n", &formatted]).as_bytes(), "p").unwrap();
    assert_eq!(series.patches[0].author.as_deref(), Some("Inner <i@b>"));
    assert!(refusal(&mail(&["x\n", &part("f"), "@@ -1 +1 @@\n-a\n+b\n"])).contains("part 3 of 3"));
    let packed = mail(&["x\n", "\u{1f}"]).replace('\u{1f}', "PK\u{3}\u{4}");
    assert!(refusal(&packed).contains("is packed with zip"));
}

#[test]
fn the_first_lines_of_a_mail_name_its_author_and_a_line_that_begins_with_from_is_text() {
    let hunk = "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n";
    let mail = format!(
        "From x Tue Feb 24 11:07:00 2026\nFrom: Sender <s@b>\nSubject: s\n\nFrom: Author <a@b>\n\n\
                        Text.\n\nFrom 5.10 on this happens: x\n---\n{hunk}"
    );
    let series = read(mail.as_bytes(), "p").unwrap();
    assert_eq!((series.patches.len(), series.patches[0].author.as_deref()), (1, Some("Author <a@b>")));
}

fn numbered(tag: &str, title: &str, file: &str) -> String {
    format!(
        "From a@b Tue Feb 24 11:07:00 2026\nFrom: A <a@b>\nSubject: {tag} {title}\n\n---\n\
         --- a/{file}\n+++ b/{file}\n@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n\n"
    )
}

#[test]
fn of_a_thread_the_newest_whole_version_is_taken_in_order_and_said_so() {
    let files = |mails: &[String]| {
        let series = read(mails.concat().as_bytes(), "p");
        series.map(|series| {
            let files = series.patches.iter().flat_map(|patch| &patch.files).map(|file| file.path.clone());
            (files.collect::<Vec<_>>().join(" "), series.notes.join("; "))
        })
    };
    let (v1, v2) = ("[PATCH 1/1]", "[PATCH v2 1/2]");
    let thread = [
        numbered(v1, "x", "old"),
        numbered("[PATCH v2 2/2]", "y", "two"),
        numbered(v2, "x", "one"),
        numbered("Re: [PATCH v2 1/2]", "x", "reply"),
    ];
    let (taken, notes) = files(&thread).unwrap();
    assert_eq!(taken, "one two");
    for note in ["a reply with a diff", "version 2; passed over: version 1", "in the order of their numbers"]
    {
        assert!(notes.contains(note), "{note}: {notes}");
    }
    let broken = [numbered(v1, "x", "old"), numbered(v2, "x", "one")];
    let (taken, notes) = files(&broken).unwrap();
    assert_eq!(taken, "old");
    assert!(notes.contains("passed over: version 2, patch 2/2 is missing"), "{notes}");
    assert!(
        files(&[numbered("[PATCH 1/3]", "x", "a"), numbered("[PATCH 3/3]", "z", "c")])
            .unwrap_err()
            .what
            .contains("2/3")
    );
    let (taken, notes) = files(&[numbered("[PATCH 2/2]", "y", "two")]).unwrap();
    assert_eq!((taken.as_str(), notes.as_str()), ("two", "patch 2 of a series of 2, alone"));
    let (taken, _) = files(&[numbered("[PATCH]", "x", "a"), numbered("[PATCH]", "y", "b")]).unwrap();
    assert_eq!(taken, "a b");
    let two = [numbered("[PATCH 1/1]", "x", "a"), numbered("[PATCH v2 1/1]", "other", "b")];
    assert!(files(&two).unwrap_err().what.contains("more than one series"));
}

#[test]
fn what_is_no_patch_says_what_it_is() {
    let of = |bytes: &[u8]| read(bytes, "p").unwrap_err().to_string();
    assert!(of(b"\xff\xfed\0i\0f\0f\0").contains("UTF-16"));
    assert!(of(b"<!DOCTYPE html><pre>diff --git a/x b/x").contains("web page"));
    assert!(of(b"\x1b[1mdiff --git a/x b/x\x1b[m\n").contains("--no-color"));
    assert!(of(b"On Monday A wrote:\n> diff --git a/x b/x\n> --- a/x\n").contains("a reply that quotes"));
}

#[test]
fn renames_copies_and_modes_are_carried_out() {
    let swap = "diff --git a/a b/b\nsimilarity index 100%\nrename from a\nrename to b\n\
                diff --git a/b b/a\nsimilarity index 100%\nrename from b\nrename to a\n";
    let proved = prove_text(swap.as_bytes(), &Files::new(&[("a", b"A\n"), ("b", b"B\n")])).unwrap();
    let files: Vec<_> = proved.files.iter().map(|file| (file.path.as_str(), after(file))).collect();
    assert_eq!(files, [("b", Some(&b"A\n"[..])), ("a", Some(&b"B\n"[..]))]);
    let moved = "diff --git a/f b/g\nrename from f\nrename to g\n--- a/f\n+++ b/g\n@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n";
    let proved = prove_text(moved.as_bytes(), &base()).unwrap();
    assert_eq!(proved.files.iter().map(|file| file.after.is_some()).collect::<Vec<_>>(), [true, false]);
    assert!(rejection(moved.as_bytes(), &Files::new(&[("f", BASE), ("g", b"")])).contains("there already"));
    assert!(rejection(moved.as_bytes(), &Files::new(&[])).contains("no file f to make it from"));
    let mode = "diff --git a/f b/f\nold mode 100644\nnew mode 100755\n";
    let proved = prove_text(mode.as_bytes(), &base()).unwrap();
    assert_eq!(proved.files[0].after, Some(executable(BASE)));
    assert_eq!(proved.sound, mode.as_bytes());
}

/// git's rules (apply.c): the mode of an `index` line is nothing but a hint, `new mode` holds without `old mode`, and
/// what is copied or renamed takes its mode along.
#[test]
fn the_mode_of_a_file_is_the_one_that_git_gives_it() {
    let hunk = "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n";
    let moved = "diff --git a/f b/g\nrename from f\nrename to g\n";
    let is =
        |executable: bool| Files([("f".to_owned(), Content { executable, ..Content::plain(BASE) })].into());
    let of = |text: String, was: bool| {
        let proved = prove_text(text.as_bytes(), &is(was)).unwrap();
        assert_eq!(prove_text(&proved.sound, &is(was)).unwrap().files, proved.files, "{text}");
        proved.files[0].after.as_ref().unwrap().executable
    };
    let git = |head: &str| format!("diff --git a/f b/f\n{head}{hunk}");
    for was in [false, true] {
        assert_eq!(of(git(""), was), was);
        assert_eq!(of(git("index f384549cbeb4..123456789012 100755\n"), was), was);
        assert_eq!(of(git("index f384549cbeb4..123456789012 100644\n"), was), was);
        assert_eq!(of(git("old mode 100755\nindex f384549cbeb4..123456789012 100644\n"), was), was);
        assert!(of(git("old mode 100644\nnew mode 100755\n"), was));
        assert!(of(git("new mode 100755\nindex f384549cbeb4..123456789012 100644\n"), was));
        assert!(!of(git("old mode 100755\nnew mode 100644\n"), was));
        assert_eq!(of(hunk.to_owned(), was), was);
        assert_eq!(of(moved.to_owned(), was), was);
        assert!(of(moved.replace("rename from", "old mode 100644\nnew mode 100755\nrename from"), was));
    }
    let new = "diff --git a/n b/n\nnew file mode 100755\nindex 0000000..1234567 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n";
    assert!(of(new.to_owned(), false));
    assert!(refusal("diff --git a/f b/f\nold mode 100755\nnew mode 100755\n").contains("no content change?"));
}

/// A mode is undone like a line: the tree has to show it, and the patch has to say what it was.
#[test]
fn modes_are_undone_and_a_tree_that_does_not_have_them_does_not_hold_the_patch() {
    let tree = |files: &[(&str, bool)]| {
        let content = |executable| Content { executable, ..Content::plain(BASE) };
        Files(files.iter().map(|(path, executable)| ((*path).to_owned(), content(*executable))).collect())
    };
    let undo = |text: &str, tree: &Files| undo(&read(text.as_bytes(), "p").unwrap(), tree);
    let before = |text: &str, tree: &Files| undo(text, tree).unwrap().before;
    let why = |text: &str, tree: &Files| undo(text, tree).unwrap_err().because.remove(0);
    let mode = "diff --git a/f b/f\nold mode 100644\nnew mode 100755\n";
    assert_eq!(before(mode, &tree(&[("f", true)]))["f"], Some(Content::plain(BASE)));
    assert_eq!(why(mode, &tree(&[("f", false)])), "f: the patch leaves it executable, and it is not");
    let renamed = "diff --git a/f b/g\nold mode 100755\nnew mode 100644\nrename from f\nrename to g\n";
    let undone = before(renamed, &tree(&[("g", false)]));
    assert_eq!((&undone["f"], &undone["g"]), (&Some(executable(BASE)), &None));
    assert_eq!(why(renamed, &tree(&[("g", true)])), "g: the patch leaves it not executable, and it is");
    let script = "diff --git a/n b/n\nnew file mode 100755\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n";
    let new = Files([("n".to_owned(), executable(b"x\n"))].into());
    assert_eq!(before(script, &new)["n"], None);
    let gone = "diff --git a/n b/n\ndeleted file mode 100755\n--- a/n\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n";
    assert_eq!(before(gone, &tree(&[]))["n"], Some(executable(b"x\n")));
    let (base, result) = (blob_id(BASE), blob_id(b"one\nzwei\nthree\nfour\n"));
    let both = format!(
        "diff --git a/f b/f\nold mode 100644\nnew mode 100755\nindex {base}..{result}\n\
         --- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n"
    );
    let series = read(both.as_bytes(), "p").unwrap();
    let result = |executable| {
        let content = Content { executable, ..Content::plain("one\nzwei\nthree\nfour\n") };
        Files([("f".to_owned(), content)].into())
    };
    assert_eq!(held(&series, &result(true)).unwrap(), Some(Held::Results(1)));
    assert_eq!(held(&series, &result(false)).unwrap(), None);
}

/// `cargo test -p xtask shapes -- --ignored --nocapture`: hostile shapes of 1, 4 and 16 MiB, and how long each takes.
#[test]
#[ignore = "a measurement of minutes, not a check"]
fn hostile_shapes_take_time_in_proportion_to_their_size() {
    let hunk = "@@ -1,9 +1,9 @@\n one\n";
    let shapes: [(&str, &str, &str); 16] = [
        ("added lines", "--- /dev/null\n+++ b/n\n@@ -0,0 +1,9999999 @@\n", "+\n"),
        ("hunks", "--- a/f\n+++ b/f\n", "@@ -1 +1 @@\n-a\n+b\n"),
        ("damaged hunks", "--- a/f\n+++ b/f\n", hunk),
        ("files", "", "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-one\n+one\n"),
        ("git headers", "", "diff --git a/x b/x\n"),
        ("modes", "", "diff --git a/f b/f\nold mode 100644\nnew mode 100755\n"),
        ("mails", "", "From a@b Tue Feb 24 11:07:00 2026\nSubject: x\n\nx\n"),
        ("headers", "From: x\n", "X-A: b\n"),
        ("folded header", "From: x\nSubject: x\n", " x\n"),
        ("parts", "From: x\nContent-Type: multipart/mixed; boundary=b\n\n", "--b\n\nx\n"),
        (
            "base64",
            "From: x\nContent-Transfer-Encoding: base64\n\n",
            "YWJjZGVmZ2hpYWJjZGVmZ2hpYWJjZGVmZ2hpYWJjZGVm\n",
        ),
        ("quoted-printable", "From: x\nContent-Transfer-Encoding: quoted-printable\n\n", "=3D=\n"),
        ("flowed", "From: x\nContent-Type: text/plain; format=flowed\n\n", "x "),
        ("carriage returns", "--- a/f\r\n+++ b/f\r\n@@ -1 +1 @@\r\n", "+\r\n"),
        ("one line", "--- a/f\n+++ b/f\n@@ -1 +1 @@\n", "x"),
        ("quoted from", "From a@b Tue Feb 24 11:07:00 2026\nA: b\n\n", ">From x\n"),
    ];
    for (name, head, unit) in shapes {
        let mut times = Vec::new();
        for size in [1, 4, 16] {
            let text = head.to_owned() + &unit.repeat((size << 20) / unit.len());
            let started = std::time::Instant::now();
            let _ = prove_text(text.as_bytes(), &base());
            times.push(started.elapsed().as_secs_f64());
        }
        println!("{name:18} {:6.2} {:6.2} {:6.2} s", times[0], times[1], times[2]);
        assert!(times[2] < 1.0 + 40.0 * times[0], "{name}: {times:?}");
    }
}

#[test]
fn garbage_is_read_in_linear_time() {
    // 21 inputs of 256 KiB take about a second without optimisation; quadratic work would take minutes.
    let heads = ["--- a/x\n+++ b/x\n@@ -1,9 +1,9 @@\n", "From: x\n", "From x\n"];
    let units = [
        "@@ -1,999999 +1,999999 @@\n x\n",
        "--- a/x\n+++ b/x\n@@ -1,9 +1,9 @@\n",
        "From x\nA: b\n\n",
        "boundary=\n",
        "\0\r\n",
        "diff --git a/x b/x\n",
        "a",
    ];
    let started = std::time::Instant::now();
    for (head, unit) in heads.iter().flat_map(|head| units.iter().map(move |unit| (head, unit))) {
        let text = head.to_string() + &unit.repeat((256 << 10) / unit.len());
        let _ = prove_text(text.as_bytes(), &base());
    }
    assert!(started.elapsed().as_secs() < 20, "took {:?}", started.elapsed());
}

#[test]
fn a_huge_addition_does_not_prolong_the_search() {
    let body = format!("+ {}\n", "x".repeat(2_000)).repeat(500);
    let ids = "index f384549cbeb4..111111111111 100644";
    let text = format!("diff --git a/f b/f\n{ids}\n--- a/f\n+++ b/f\n@@ -1,2 +1,502 @@\none\n{body}two\n");
    let started = std::time::Instant::now();
    assert!(rejection(text.as_bytes(), &base()).contains("no repair can be proved"));
    assert!(started.elapsed().as_secs() < 20, "took {:?}", started.elapsed());
}

#[test]
fn people_read_what_it_is_what_is_wrong_and_what_proves_it() {
    let series = read(SEED, "seed.txt").unwrap();
    let proved = prove(&series, &Files::seed_base()).unwrap();
    insta::assert_snapshot!(show(&series, Ok(&proved)), @r#"
    seed.txt

      what:    text pasted from a web page of a mail
      subject: [PATCH v2 1/1] mm/mmu_gather: replace IPI with synchronize_rcu() when batch allocation fails
      author:  Lance Yang <lance.yang@linux.dev>
      date:    Tue, 24 Feb 2026 11:07:00 +0800
      id:      <20260224030700.35857-1-lance.yang@linux.dev>
      file:    include/asm-generic/tlb.h, 2 hunks
      file:    mm/mmu_gather.c, 2 hunks

      include/asm-generic/tlb.h
        base:   4aeac0c3d3f03458b759afab60102b9c150cdeeb as the index line says
        result: bdcc2778ac64f477ed7fe08178a94b6d2d19945d as the index line says
      mm/mmu_gather.c
        base:   fe5b6a031717f149591270a52820c92a180d128c as the index line says
        result: 2c6fa8db55df15940852fcf69b33dbd388cba262 as the index line says

      damage:
        include/asm-generic/tlb.h hunk 1: lost leading space, lines 50, 53, 54
        include/asm-generic/tlb.h hunk 1: vanished blank line (before), lines 50, 53, 54
        include/asm-generic/tlb.h hunk 2: lost leading space, lines 56, 59
        include/asm-generic/tlb.h hunk 2: vanished blank line (before), lines 56, 59, 60, 60
        mm/mmu_gather.c hunk 1: lost leading space, lines 65, 66, 87, 88
        mm/mmu_gather.c hunk 1: vanished blank line (before), lines 87, 88
        mm/mmu_gather.c hunk 1: tab became space, lines 65, 83, 84
        mm/mmu_gather.c hunk 2: lost leading space, lines 90, 91, 92, 95, 96, 97
        mm/mmu_gather.c hunk 2: tab became space, lines 93, 94, 95
      proof:  repaired, and proved by blob id: base 2/2, result 2/2
    "#);
}

#[test]
fn people_read_modes_and_that_a_patch_was_edited() {
    let ids = format!("index {}..111111111111 100644\n", &blob_id(BASE)[..12]);
    let edited =
        diff("@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n").replace("--- a", &format!("{ids}--- a"));
    let text = format!(
        "{edited}diff --git a/n b/n\nnew file mode 100755\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n\
         diff --git a/s b/s\nold mode 100755\nnew mode 100644\n"
    );
    let mut tree = base();
    tree.0.insert("s".to_owned(), executable(b"true\n"));
    let series = read(text.as_bytes(), "p").unwrap();
    let proved = prove(&series, &tree).unwrap();
    insta::assert_snapshot!(show(&series, Ok(&proved)), @r"
    p

      what:    plain diff
      file:    f, 1 hunk
      file:    n (new), 1 hunk, mode 100755
      file:    s, 0 hunks, mode 100755 to 100644

      f
        base:   f384549cbeb481e437091320de6d1f2e15e11b4a as the index line says
        result: d7d7b5a6ce6b32444cd03d2775802627f1d6d4bd, but the index line says 111111111111
        applies; edited after it was made: the result is not the blob that its index names
      n
        base:   no file (no index line)
        result: 587be6b4c3f93f93c489c0111bba5596147a26cb (no index line)
        mode:   executable (100755)
      s
        base:   27ba77ddaf61532f217964734769a42cdabc17dc (no index line)
        result: 27ba77ddaf61532f217964734769a42cdabc17dc (no index line)
        mode:   no longer executable (100644)

      damage: none
      proof:  sound, applied as it stands: base 1/3, result 0/3
    ");
}

#[test]
fn people_read_why_a_patch_is_rejected() {
    let text = replaced(
        SEED,
        "call_rcu(&batch->rcu, tlb_remove_table_rcu);",
        "call_rcu(&batch->rcu, tlb_remove_table);",
    );
    let series = read(&text, "seed.txt").unwrap();
    let failure = prove(&series, &Files::seed_base()).unwrap_err();
    insta::assert_snapshot!(show(&series, Err(&failure)), @r#"
    seed.txt

      what:    text pasted from a web page of a mail
      subject: [PATCH v2 1/1] mm/mmu_gather: replace IPI with synchronize_rcu() when batch allocation fails
      author:  Lance Yang <lance.yang@linux.dev>
      date:    Tue, 24 Feb 2026 11:07:00 +0800
      id:      <20260224030700.35857-1-lance.yang@linux.dev>
      file:    include/asm-generic/tlb.h, 2 hunks
      file:    mm/mmu_gather.c, 2 hunks

    REJECTED: seed.txt:60: mm/mmu_gather.c: the patch is damaged beyond repair
      why:  hunk 1: line 65 of the patch, `call_rcu(&batch->rcu, tlb_remove_table);`, stands where line 296 of the tree's file is `\tcall_rcu(&batch->rcu, tlb_remove_table_rcu);`
      why:  mm/mmu_gather.c hunk 1: lost leading space, lines 65, 66, 87, 88 (the header says 6 old and 26 new lines, there are 0 and 20)
      why:  mm/mmu_gather.c hunk 2: lost leading space, lines 90, 91, 92, 95, 96, 97 (the header says 7 old and 7 new lines, there are 1 and 1)
      next: get the original mail (on lore.kernel.org: the `raw` or `mbox.gz` link)
    "#);
}

/// The diff of two files, as one hunk over both.
fn whole_diff(old: &[u8], new: &[u8]) -> Vec<u8> {
    let (old, new) = (apply::file_lines(old), apply::file_lines(new));
    let range = |len: usize| format!("{},{len}", usize::from(len > 0));
    let mut text =
        format!("--- a/f\n+++ b/f\n@@ -{} +{} @@\n", range(old.len()), range(new.len())).into_bytes();
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let marked = [(b' ', &old[..same]), (b'-', &old[same..]), (b'+', &new[same..])];
    for (mark, line) in marked.iter().flat_map(|(mark, lines)| lines.iter().map(move |line| (*mark, line))) {
        text.push(mark);
        text.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            text.extend_from_slice(b"\n\\ No newline at end of file\n");
        }
    }
    text
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = prove_text(&text, &base());
    }

    #[test]
    fn arbitrary_patch_like_lines_never_panic(lines in prop::collection::vec(patch_like_line(), 0..40)) {
        let _ = prove_text(lines.join("\n").as_bytes(), &base());
    }

    #[test]
    fn a_diff_of_two_files_applied_to_the_one_gives_the_other(old in "([ab\r\t]{0,2}\n){1,6}[ab]?", new in "([ab\r\t]{0,2}\n){0,6}[ab]?") {
        prop_assume!(old != new);
        let text = whole_diff(old.as_bytes(), new.as_bytes());
        let proved = prove_text(&text, &Files::new(&[("f", old.as_bytes())])).unwrap();
        prop_assert_eq!(after(&proved.files[0]), Some(new.as_bytes()));
    }
}

fn patch_like_line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("diff --git a/f b/f".to_owned()),
        Just("index f384549cbeb4..111111111111 100644".to_owned()),
        Just("--- a/f".to_owned()),
        Just("+++ b/f".to_owned()),
        (0..5_usize, 0..5_usize, 0..5_usize, 0..5_usize)
            .prop_map(|(a, b, c, d)| format!("@@ -{a},{b} +{c},{d} @@")),
        Just("\\ No newline at end of file".to_owned()),
        Just("From a@b".to_owned()),
        Just("Subject: s".to_owned()),
        Just(String::new()),
        "[-+ ]?(one|two|three|four|\\PC{0,5})",
    ]
}

#[test]
fn sound_text_keeps_who_the_mail_went_to_and_what_it_answers() {
    let mail = "From: List <list@x.org>\nReply-To: A <a@x.org>\nTo: =?utf-8?q?D=C3=B6e=2C_J?= <j@x.org>,\n\tb@x.org\nCc: c@x.org\nSubject: [PATCH 2/2] x\nMessage-ID: <2@x>\nIn-Reply-To: <1@x>\nReferences: <0@x>\n <1@x>\n\nFrom: A <a@x.org>\n\nwhy\n---\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n a\n-b\n+c\n+d\n";
    let series = read(mail.as_bytes(), "p").unwrap();
    assert_eq!(series.patches[0].files[0].added_lines(), [2, 3]);
    let again = read(&render::series(&series), "p").unwrap();
    let (first, second) = (&series.patches[0].envelope, &again.patches[0].envelope);
    assert_eq!(first.to.as_deref(), Some("=?utf-8?q?D=C3=B6e=2C_J?= <j@x.org>, b@x.org"));
    assert_eq!(first.references.as_deref(), Some("<0@x> <1@x>"));
    assert_eq!((&first.to, &first.cc, &first.references), (&second.to, &second.cc, &second.references));
    assert_eq!(addresses(second.reply_to.as_ref().unwrap())[0].address, "a@x.org");
    // A list of recipients as long as some are on a mailing list is no reason to refuse the patch.
    let long = mail.replace("c@x.org", &vec!["somebody@x.org"; 600].join(", "));
    assert_eq!(
        addresses(read(long.as_bytes(), "p").unwrap().patches[0].envelope.cc.as_ref().unwrap()).len(),
        600
    );
}
