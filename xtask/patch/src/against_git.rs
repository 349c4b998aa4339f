//! The intake held against git: what is taken gives what `git apply` gives, or is proved by its blob id. Patches are
//! generated, damaged and packed into mails; `PATCHPROOF_CASES=5000 cargo test -p xtask against_git` runs more of them.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::prove::ProvedFile;
use super::*;

type Tree = BTreeMap<String, Content>;

struct HeldTree<'a>(&'a Tree);

impl Base for HeldTree<'_> {
    fn file(&self, path: &str) -> Result<Option<Content>> {
        Ok(self.0.get(path).cloned())
    }
}

/// Marsaglia's xorshift: the same numbers on every host.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Whether there is a git to hold against; without one the tests say so, and fail in CI.
fn has_git() -> bool {
    let there = Command::new("git").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("NOT RUN: there is no git on this host");
        assert!(std::env::var_os("CI").is_none(), "git is missing");
    }
    there
}

fn git(dir: &Path, args: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        command.env_remove(name);
    }
    let mut child = command
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CEILING_DIRECTORIES", dir.parent().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // git may end before it has read everything.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    output.status.success().then_some(output.stdout)
}

fn write(dir: &Path, tree: &Tree) {
    for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.is_dir() {
            true if entry.ends_with(".git") => {}
            true => std::fs::remove_dir_all(entry).unwrap(),
            false => std::fs::remove_file(entry).unwrap(),
        }
    }
    for (path, content) in tree {
        let file = dir.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &content.bytes).unwrap();
        let mode = std::fs::Permissions::from_mode(if content.executable { 0o755 } else { 0o644 });
        std::fs::set_permissions(&file, mode).unwrap();
    }
}

fn content(file: &Path) -> Content {
    let mode = std::fs::metadata(file).unwrap().permissions().mode();
    Content { bytes: std::fs::read(file).unwrap(), executable: mode & 0o100 != 0 }
}

fn read_tree(dir: &Path, below: &str, tree: &mut Tree) {
    for entry in std::fs::read_dir(dir.join(below)).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        match entry.file_type().unwrap().is_dir() {
            true if name == ".git" => {}
            true => read_tree(dir, &path, tree),
            false => _ = tree.insert(path, content(&entry.path())),
        }
    }
}

/// What `git apply` makes of `tree`; `None` if it refuses.
fn applied_by_git(dir: &Path, tree: &Tree, patch: &[u8], options: &[&str]) -> Option<Tree> {
    write(dir, tree);
    let args: Vec<&str> =
        ["apply", "--whitespace=nowarn"].iter().chain(options).copied().chain(["-"]).collect();
    git(dir, &args, patch)?;
    let mut after = Tree::new();
    read_tree(dir, "", &mut after);
    Some(after)
}

fn applied_by_us(tree: &Tree, series: &Series) -> Result<(Tree, Proved)> {
    let proved = prove(series, &HeldTree(tree))?;
    let mut after = tree.clone();
    for file in &proved.files {
        match &file.after {
            Some(content) => after.insert(file.path.clone(), content.clone()),
            None => after.remove(&file.path),
        };
    }
    Ok((after, proved))
}

fn line(dice: &mut Dice) -> String {
    // Few words, so that places are not unique.
    const WORDS: [&str; 9] =
        ["", "\tx();", "\treturn;", "}", "{", " * text", "int f(void)", "\tif (x)", "#endif"];
    match dice.below(3) {
        0 => (*dice.pick(&WORDS)).to_owned(),
        1 => format!("\tline_{}();", dice.below(40)),
        _ => format!("int v{};", dice.below(1000)),
    }
}

fn text(dice: &mut Dice, most: usize) -> Content {
    let mut lines: Vec<String> = (0..dice.below(most)).map(|_| line(dice)).collect();
    if !dice.one_in(8) {
        lines.push(String::new());
    }
    Content { executable: dice.one_in(6), ..Content::plain(lines.join("\n")) }
}

fn edited(dice: &mut Dice, content: &Content) -> Content {
    let mut lines: Vec<Vec<u8>> = content.bytes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    for _ in 0..=dice.below(4) {
        let at = dice.below(lines.len() + 1);
        match dice.below(3) {
            0 => lines.insert(at, line(dice).into_bytes()),
            1 if at < lines.len() => _ = lines.remove(at),
            _ if at < lines.len() => lines[at] = line(dice).into_bytes(),
            _ => {}
        }
    }
    let executable = content.executable != dice.one_in(8);
    Content { executable, ..Content::plain(lines.join(&b'\n')) }
}

fn base(dice: &mut Dice) -> Tree {
    let names =
        ["mm/x.c", "mm/y.c", "include/x.h", "tools/include/x.h", "with space/z z.c", "top.c", "empty"];
    let mut tree: Tree = names.iter().map(|name| ((*name).to_owned(), text(dice, 60))).collect();
    tree.insert("empty".to_owned(), Content::default());
    tree
}

/// A changed tree: edits, new and deleted files, renames, copies, other modes.
fn changed(dice: &mut Dice, tree: &Tree) -> Tree {
    let mut after = tree.clone();
    let names: Vec<String> = tree.keys().cloned().collect();
    for _ in 0..=dice.below(3) {
        let name = dice.pick(&names).clone();
        let content = after.get(&name).cloned().unwrap_or_default();
        match dice.below(14) {
            0 => _ = after.remove(&name),
            1 => _ = after.insert(format!("mm/new{}.c", dice.below(3)), text(dice, 12)),
            2 => {
                after.remove(&name);
                let content = if dice.one_in(2) { edited(dice, &content) } else { content };
                after.insert(format!("moved/{}", dice.below(3)), content);
            }
            3 => _ = after.insert(format!("copied{}.c", dice.below(3)), edited(dice, &content)),
            4 => _ = after.insert(name, Content { bytes: Vec::new(), ..content }),
            5 | 6 => _ = after.insert(name, Content { executable: !content.executable, ..content }),
            _ => _ = after.insert(name, edited(dice, &content)),
        }
    }
    after
}

/// The tree as it is found: mostly the one that the patch was made for.
fn drifted(dice: &mut Dice, tree: &Tree) -> Tree {
    let mut found = tree.clone();
    if dice.one_in(2) {
        let name = dice.pick(&found.keys().cloned().collect::<Vec<_>>()).clone();
        let mut content = found[&name].clone();
        if dice.one_in(2) {
            content.bytes.splice(0..0, text(dice, 6).bytes);
        } else {
            content = edited(dice, &content);
        }
        found.insert(name, content);
    }
    found
}

/// A patch as it may come out of an editor or a mail program.
fn mutated(dice: &mut Dice, patch: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = patch.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    for _ in 0..=dice.below(2) {
        let at = dice.below(lines.len());
        let header = lines.iter().position(|line| line.starts_with(b"@@ ")).unwrap_or(at);
        match dice.below(16) {
            0 => _ = lines.remove(at),
            1 => lines.insert(at, lines[at].clone()),
            2 => lines.truncate(at.max(1)),
            3 => lines[at] = line(dice).into_bytes(),
            4 => lines.insert(at, b"-- ".to_vec()),
            5 => _ = lines[at].pop(),
            6 if !lines[at].is_empty() => _ = lines[at].remove(0),
            7 => lines[header] = String::from_utf8_lossy(&lines[header]).replace(" @@", "@@").into_bytes(),
            8 => lines[header] = String::from_utf8_lossy(&lines[header]).replace(",3", ",4").into_bytes(),
            9 => lines.retain(|line| !line.starts_with(b"index ")),
            10 => lines[at] = String::from_utf8_lossy(&lines[at]).replace('\t', " ").into_bytes(),
            11 => {
                let other = dice.below(lines.len());
                lines.swap(at, other);
            }
            12 => lines.push(b"+1".to_vec()),
            13 | 14 => swap_modes(dice, &mut lines),
            _ => {
                let cut = lines[at].len() / 2;
                let rest = lines[at].split_off(cut);
                lines.insert(at + 1, rest);
            }
        }
        if lines.is_empty() {
            lines.push(Vec::new());
        }
    }
    lines.join(&b'\n')
}

/// The modes of a patch, mixed up: another one on some of the lines that name one, or one of these lines gone.
fn swap_modes(dice: &mut Dice, lines: &mut Vec<Vec<u8>>) {
    let names_one = |line: &[u8]| line.ends_with(b" 100644") || line.ends_with(b" 100755");
    let at: Vec<usize> = (0..lines.len()).filter(|&at| names_one(&lines[at])).collect();
    if at.is_empty() {
        return;
    }
    let at = *dice.pick(&at);
    match dice.below(3) {
        0 => _ = lines.remove(at),
        1 => lines.insert(at, b"new mode 100755".to_vec()),
        _ => {
            let line = String::from_utf8_lossy(&lines[at]).into_owned();
            let (from, to) = if line.ends_with("5") { ("100755", "100644") } else { ("100644", "100755") };
            lines[at] = line.replace(from, to).into_bytes();
        }
    }
}

/// A new series of cases: how many there are, and the dice.
fn cases(standard: usize) -> (usize, Dice) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    (
        number("PATCHPROOF_CASES").unwrap_or(standard),
        Dice(number("PATCHPROOF_SEED").unwrap_or(20) as u64 | 1 << 40),
    )
}

/// What is to be held against each other.
struct GitBench {
    dir: tempfile::TempDir,
    before: Tree,
}

impl GitBench {
    fn new(dice: &mut Dice) -> GitBench {
        let bench = GitBench { dir: tempfile::tempdir().unwrap(), before: base(dice) };
        for dir in ["git", "apply"] {
            std::fs::create_dir(bench.dir.path().join(dir)).unwrap();
        }
        write(&bench.git_dir(), &bench.before);
        git(&bench.git_dir(), &["init", "--quiet"], b"").unwrap();
        git(&bench.git_dir(), &["add", "--all"], b"").unwrap();
        bench
    }

    fn git_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("git")
    }

    fn diff(&self, after: &Tree, options: &[&str]) -> Vec<u8> {
        let dir = self.git_dir();
        let tree = git(&dir, &["write-tree"], b"").unwrap();
        let tree = String::from_utf8(tree).unwrap();
        write(&dir, after);
        git(&dir, &["add", "--all"], b"").unwrap();
        let args: Vec<&str> =
            ["diff", "--cached"].iter().chain(options).copied().chain([tree.trim()]).collect();
        let diff = git(&dir, &args, b"").unwrap();
        git(&dir, &["read-tree", tree.trim()], b"").unwrap();
        diff
    }

    /// Panics if we take what git refuses, or make another thing of it.
    fn compare(&self, found: &Tree, patch: &[u8], series: &Result<Series>, options: &[&str]) -> &'static str {
        let apply = self.dir.path().join("apply");
        let show = || String::from_utf8_lossy(patch).into_owned();
        let ours = series.clone().and_then(|series| applied_by_us(found, &series));
        match ours {
            Ok((_, proved)) if proved.repaired => {
                assert!(
                    proved
                        .files
                        .iter()
                        .filter(|file| file.repaired)
                        .all(|file| file.post_matches == Some(true))
                );
                "repaired"
            }
            Ok((after, proved)) => {
                let mut theirs = applied_by_git(&apply, found, patch, options);
                let proof = |file: &ProvedFile| file.offsets.is_empty() || file.post_matches == Some(true);
                if theirs.as_ref() != Some(&after) && proved.files.iter().any(proof) {
                    // git puts a hunk without context at the end of the file, unless it is told not to. The blob id says
                    // that ours is right.
                    let more: Vec<&str> = options.iter().copied().chain(["--unidiff-zero"]).collect();
                    theirs = applied_by_git(&apply, found, patch, &more);
                }
                if theirs.as_ref() != Some(&after) {
                    let paths = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
                    write(&apply, found);
                    for more in [&["-v"][..], &["-v", "--unidiff-zero"]] {
                        let command =
                            duct::cmd("git", ["apply"].iter().chain(more).chain(options).chain(&["-"]));
                        // What it says is for who reads the failure.
                        let _ = command.dir(&apply).stdin_bytes(patch).unchecked().run();
                    }
                    panic!(
                        "git {}\n{}\nours {:?}\ntheirs {:?}\n{:?}",
                        if theirs.is_some() { "makes another thing of it" } else { "refuses" },
                        show(),
                        paths(&after),
                        theirs.as_ref().map(paths),
                        proved
                            .files
                            .iter()
                            .map(|file| (&file.path, &file.offsets, file.pre_matches))
                            .collect::<Vec<_>>(),
                    );
                }
                let again = read(&proved.sound, "sound").and_then(|series| applied_by_us(found, &series));
                assert_eq!(again.map(|(after, _)| after).ok(), Some(after), "the sound text of {}", show());
                "taken"
            }
            Err(_) if applied_by_git(&apply, found, patch, options).is_some() => "refused, not by git",
            Err(_) => "refused",
        }
    }
}

fn run(
    standard: usize,
    mut each: impl FnMut(&GitBench, &mut Dice) -> &'static str,
) -> BTreeMap<&'static str, usize> {
    let (cases, mut dice) = cases(standard);
    let mut counts = BTreeMap::new();
    let mut bench = GitBench::new(&mut dice);
    for case in 0..cases {
        if case % 20 == 19 {
            bench = GitBench::new(&mut dice);
        }
        *counts.entry(each(&bench, &mut dice)).or_default() += 1;
    }
    println!("{cases} cases: {counts:?}");
    counts
}

const CONTEXTS: [&str; 4] = ["-U3", "-U1", "-U0", "-U5"];

#[test]
fn what_is_taken_is_what_git_apply_makes_of_it() {
    if !has_git() {
        return;
    }
    let counts = run(120, |bench, dice| {
        let after = changed(dice, &bench.before);
        let mut options = vec![*dice.pick(&CONTEXTS), *dice.pick(&["-M", "-C", "--no-renames"])];
        options.push(*dice.pick(&["--abbrev=12", "--full-index"]));
        let diff = bench.diff(&after, &options);
        let found = drifted(dice, &bench.before);
        bench.compare(&found, &diff, &read(&diff, "p"), &[])
    });
    let taken = counts.get("taken").copied().unwrap_or(0);
    let wrongly = counts.get("refused, not by git").copied().unwrap_or(0);
    assert!(taken > wrongly * 20, "{counts:?}");
}

#[test]
fn what_is_damaged_is_never_taken_otherwise_than_by_git() {
    if !has_git() {
        return;
    }
    run(120, |bench, dice| {
        let after = changed(dice, &bench.before);
        let diff = bench.diff(&after, &["-M", *dice.pick(&CONTEXTS)]);
        let diff = mutated(dice, &diff);
        let found = drifted(dice, &bench.before);
        bench.compare(&found, &diff, &read(&diff, "p"), &[])
    });
}

#[test]
fn a_diff_without_prefixes_is_of_the_files_that_it_names() {
    if !has_git() {
        return;
    }
    let counts = run(40, |bench, dice| {
        let after = changed(dice, &bench.before);
        let diff = bench.diff(&after, &["--no-prefix", "--no-renames", *dice.pick(&CONTEXTS)]);
        bench.compare(&bench.before, &diff, &read(&diff, "p"), &["-p0"])
    });
    assert!(counts.get("taken") > Some(&20), "{counts:?}");
}

#[test]
fn what_is_undone_is_the_tree_as_it_was() {
    if !has_git() {
        return;
    }
    let counts = run(80, |bench, dice| {
        let after = changed(dice, &bench.before);
        let diff = bench.diff(&after, &[*dice.pick(&["-M", "-C", "--no-renames"]), "--abbrev=12"]);
        let Ok(series) = read(&diff, "p") else { return "no change" };
        let (held, _) = applied_by_us(&bench.before, &series).unwrap();
        assert_eq!(held, after);
        let Ok(undone) = undo(&series, &HeldTree(&held)) else { return "refused" };
        let mut found = held;
        for (path, content) in undone.before {
            match content {
                Some(content) => found.insert(path, content),
                None => found.remove(&path),
            };
        }
        assert_eq!(found, bench.before, "{}", String::from_utf8_lossy(&diff));
        "undone"
    });
    let of = |what: &str| counts.get(what).copied().unwrap_or(0);
    assert!(of("undone") > 4 * of("refused"), "{counts:?}");
}

/// `body` in a mail, and how git mailinfo reads it.
fn packed(dice: &mut Dice, diff: &[u8]) -> Vec<u8> {
    let body = [b"Why.\n\n---\n", diff, b"-- \n2.47.0\n\n"].concat();
    let first =
        *dice.pick(&["From: A <a@b>", "Envelope-to: x@y", "Autocrypt: a=b", "Status: RO", "User-Agent: x"]);
    let mut mail =
        format!("{first}\nFrom: A <a@b>\nSubject: [PATCH] mm: x\nDate: Mon, 1 Jan 2026 00:00:00 +0000\n");
    if dice.one_in(6) {
        mail.insert(0, '\n');
    } else if dice.one_in(6) {
        mail.insert_str(0, "From a@b Tue Feb 24 11:07:00 2026\n");
    }
    let encode = |dice: &mut Dice, body: &[u8]| match dice.below(4) {
        0 => ("8bit", body.to_vec()),
        1 => ("base64", wrapped(data_encoding::BASE64.encode(body).as_bytes(), 76)),
        _ => ("quoted-printable", as_quoted_printable(body)),
    };
    let text = |encoding: &str| {
        format!("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n\n")
    };
    let mut out = mail.into_bytes();
    if dice.one_in(2) {
        let (encoding, body) = encode(dice, &body);
        return [&out, text(encoding).as_bytes(), &body].concat();
    }
    // Each file's part in a part of its own, the first one below the message.
    out.extend_from_slice(
        b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"=_x\"\n\npreamble\n",
    );
    let starts: Vec<usize> = memchr::memmem::find_iter(&body, b"\ndiff --git ").map(|at| at + 1).collect();
    let mut from = 0;
    for at in starts.into_iter().skip(1).chain([body.len()]) {
        let (encoding, part) = encode(dice, &body[from..at]);
        out.extend_from_slice(format!("--=_x\n{}", text(encoding)).as_bytes());
        out.extend_from_slice(&part);
        from = at;
    }
    out.extend_from_slice(b"--=_x--\n");
    out
}

fn wrapped(text: &[u8], width: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in text.chunks(width) {
        out.extend_from_slice(chunk);
        out.push(b'\n');
    }
    out
}

fn as_quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in body.split_inclusive(|&byte| byte == b'\n') {
        let mut width = 0;
        for (at, &byte) in line.iter().enumerate() {
            let last = matches!(line.get(at + 1), None | Some(b'\n'));
            let plain =
                byte == b'\n' || (b'!'..=b'~').contains(&byte) && byte != b'=' || byte == b' ' && !last;
            let piece = if plain { vec![byte] } else { format!("={byte:02X}").into_bytes() };
            if width + piece.len() > 73 {
                out.extend_from_slice(b"=\n");
                width = 0;
            }
            width += piece.len();
            out.extend_from_slice(&piece);
        }
    }
    out
}

#[test]
fn a_mail_holds_what_git_mailinfo_finds_in_it() {
    if !has_git() {
        return;
    }
    let counts = run(80, |bench, dice| {
        let after = changed(dice, &bench.before);
        let diff = bench.diff(&after, &["-M", "--full-index"]);
        if diff.is_empty() {
            return "no change";
        }
        let mail = packed(dice, &diff);
        let postmark = mail.starts_with(b"From ");
        let only =
            if postmark { &mail[mail.iter().position(|&byte| byte == b'\n').unwrap() + 1..] } else { &mail };
        let dir = bench.dir.path();
        git(dir, &["mailinfo", "message", "patch"], only).unwrap();
        let by_git = std::fs::read(dir.join("patch")).unwrap();
        let series = read(&mail, "p");
        if let Ok(series) = &series {
            assert_eq!(series.patches[0].author.as_deref(), Some("A <a@b>"));
            assert_eq!(series.patches[0].subject.as_deref(), Some("[PATCH] mm: x"));
        }
        let result = bench.compare(&bench.before, &by_git, &series, &[]);
        assert_eq!(result, "taken", "{}\n{series:?}", String::from_utf8_lossy(&mail));
        result
    });
    assert!(counts.get("taken") > Some(&40), "{counts:?}");
}
