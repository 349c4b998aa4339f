//! Writes a proved series as sound text: headers, message as found, and the diff as git writes it. Pure.

use super::diff::{Change, Edit, EditKind, FileDiff, Hunk};
use super::{Patch, Series};

/// The series as one mail, or as an mbox if there are several patches. `edits` is per patch, file and hunk.
pub fn series(series: &Series, edits: &[Vec<Vec<Vec<Edit>>>]) -> Vec<u8> {
    let mbox = series.patches.len() > 1;
    let mut out = Vec::new();
    for (patch, edits) in series.patches.iter().zip(edits) {
        if mbox {
            out.extend_from_slice(
                b"From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\n",
            );
        }
        headers(&mut out, patch);
        for line in &patch.message {
            let quotes = line.iter().take_while(|&&byte| byte == b'>').count();
            if mbox && line[quotes..].starts_with(b"From ") {
                out.push(b'>');
            }
            put_line(&mut out, line);
        }
        for (file, edits) in patch.files.iter().zip(edits) {
            file_diff(&mut out, file, edits);
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
    for (name, value) in fields {
        if let Some(value) = value {
            put_line(out, format!("{name}: {value}").as_bytes());
        }
    }
    if out.len() > before {
        out.push(b'\n');
    }
}

fn file_diff(out: &mut Vec<u8>, file: &FileDiff, edits: &[Vec<Edit>]) {
    let path = &file.path;
    let mode = file.mode.as_deref();
    let mut put = |line: String| put_line(out, line.as_bytes());
    put(format!("diff --git a/{path} b/{path}"));
    match file.change {
        Change::Modify => {}
        Change::Create => put(format!("new file mode {}", mode.unwrap_or("100644"))),
        Change::Delete => put(format!("deleted file mode {}", mode.unwrap_or("100644"))),
    }
    if let (Some(pre), Some(post)) = (&file.pre_blob, &file.post_blob) {
        let mode = mode.filter(|_| file.change == Change::Modify).map(|mode| format!(" {mode}"));
        put(format!("index {pre}..{post}{}", mode.unwrap_or_default()));
    }
    put(if file.change == Change::Create { "--- /dev/null".into() } else { format!("--- a/{path}") });
    put(if file.change == Change::Delete { "+++ /dev/null".into() } else { format!("+++ b/{path}") });
    for (hunk, edits) in file.hunks.iter().zip(edits) {
        hunk_text(out, hunk, edits);
    }
}

fn hunk_text(out: &mut Vec<u8>, hunk: &Hunk, edits: &[Edit]) {
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
        out.extend_from_slice(&edit.text);
        if !edit.text.ends_with(b"\n") {
            out.extend_from_slice(b"\n\\ No newline at end of file\n");
        }
    }
}
