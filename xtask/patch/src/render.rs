//! Writes a proved series as sound text: headers, message as found, and the diff as git writes it. Pure.

use super::diff::{Edit, EditKind, FileDiff, Hunk};
use super::envelope::addresses;
use super::header::Change;
use super::{Patch, Series};

/// The series as one mail, or as an mbox if there are several patches. Its hunks are sound.
pub fn series(series: &Series) -> Vec<u8> {
    let mbox = series.patches.len() > 1;
    let files = series.patches.iter().flat_map(|patch| &patch.files);
    let bodies: usize = files.flat_map(|file| &file.hunks).map(|hunk| hunk.body.bytes().len() + 64).sum();
    let mut out = Vec::with_capacity(bodies);
    for patch in &series.patches {
        if mbox {
            out.extend_from_slice(
                b"From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\n",
            );
        }
        headers(&mut out, patch);
        for line in patch.message.lines() {
            let quotes = line.text.iter().take_while(|&&byte| byte == b'>').count();
            if mbox && line.text[quotes..].starts_with(b"From ") {
                out.push(b'>');
            }
            put_line(&mut out, line.text);
        }
        for file in &patch.files {
            head(&mut out, file);
            for each in &file.hunks {
                hunk(&mut out, each, each.edits());
            }
        }
        if let Some(version) = &patch.signature {
            put_line(&mut out, b"-- ");
            put_line(&mut out, version);
        }
        if mbox {
            out.push(b'\n');
        }
    }
    out
}

fn put_line(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(line);
    out.push(b'\n');
}

fn headers(out: &mut Vec<u8>, patch: &Patch) {
    let fields = [
        ("From", &patch.author),
        ("Date", &patch.date),
        ("Subject", &patch.subject),
        ("Message-ID", &patch.message_id),
    ];
    let before = out.len();
    for (name, value) in fields.into_iter().chain(patch.envelope.fields()) {
        // Where answers go to the author anyway, the mail need not say so.
        let to_author = |value: &String| patch.author.as_deref().is_some_and(|author| answers(value, author));
        if name == "Reply-To" && value.as_ref().is_some_and(to_author) {
            continue;
        }
        if let Some(value) = value {
            put_line(out, format!("{name}: {value}").as_bytes());
        }
    }
    if out.len() > before {
        out.push(b'\n');
    }
}

/// Whether the first address that `reply_to` names is the one of `author`.
fn answers(reply_to: &str, author: &str) -> bool {
    addresses(reply_to).first().is_some_and(|mailbox| author.contains(&mailbox.address))
}

/// Everything of a file's diff above its first hunk.
pub fn head(out: &mut Vec<u8>, file: &FileDiff) {
    let (old, new) = (quoted("a", file.source()), quoted("b", &file.path));
    let mode = file.mode.as_deref();
    let mut put = |line: String| put_line(out, line.as_bytes());
    put(format!("diff --git {old} {new}"));
    if !matches!(file.change, Change::Create | Change::Delete) {
        let modes = [("old", file.old_mode.as_deref()), ("new", mode)];
        modes.iter().filter_map(|(word, mode)| Some((word, mode.as_ref()?))).for_each(|(word, mode)| {
            put(format!("{word} mode {mode}"));
        });
    }
    let moved = match file.change {
        Change::Create => {
            put(format!("new file mode {}", mode.unwrap_or("100644")));
            None
        }
        Change::Delete => {
            put(format!("deleted file mode {}", mode.unwrap_or("100644")));
            None
        }
        Change::Rename => Some("rename"),
        Change::Copy => Some("copy"),
        Change::Modify => None,
    };
    if let Some(word) = moved {
        put(format!("{word} from {}", bare(file.source())));
        put(format!("{word} to {}", bare(&file.path)));
    }
    if let (Some(pre), Some(post)) = (&file.pre_blob, &file.post_blob) {
        let mode = file.index_mode.as_ref().map(|mode| format!(" {mode}"));
        put(format!("index {pre}..{post}{}", mode.unwrap_or_default()));
    }
    if !file.hunks.is_empty() {
        put(if file.change == Change::Create {
            "--- /dev/null".into()
        } else {
            format!("--- {old}{}", tab(&old))
        });
        put(if file.change == Change::Delete {
            "+++ /dev/null".into()
        } else {
            format!("+++ {new}{}", tab(&new))
        });
    }
}

/// git ends a name with a tab where a space in it could be taken for its end.
fn tab(name: &str) -> &'static str {
    if name.contains(' ') && !name.starts_with('"') { "\t" } else { "" }
}

fn quoted(prefix: &str, path: &str) -> String {
    let path = format!("{prefix}/{path}");
    bare(&path)
}

/// A path that cannot be taken for a quoted one; control characters and backslashes are in none.
fn bare(path: &str) -> String {
    match path.contains('"') {
        true => format!("\"{}\"", path.replace('"', "\\\"")),
        false => path.to_owned(),
    }
}

/// A hunk of `edits` at the place of `hunk`.
pub fn hunk<'a>(out: &mut Vec<u8>, hunk: &Hunk, edits: impl Iterator<Item = Edit<'a>>) {
    let range =
        |start: usize, len: usize| if len == 1 { start.to_string() } else { format!("{start},{len}") };
    let (old, new) = (range(hunk.old_start, hunk.old_len), range(hunk.new_start, hunk.new_len));
    out.extend_from_slice(format!("@@ -{old} +{new} @@").as_bytes());
    put_line(out, &hunk.section);
    for edit in edits {
        out.push(match edit.kind {
            EditKind::Context => b' ',
            EditKind::Remove => b'-',
            EditKind::Add => b'+',
        });
        out.extend_from_slice(edit.text);
        if !edit.text.ends_with(b"\n") {
            out.extend_from_slice(b"\n\\ No newline at end of file\n");
        }
    }
}
