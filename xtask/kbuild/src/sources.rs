//! The C files of a tree that objects of the kernel can come from, and those of them that call a function. Reads text alone: what
//! a macro makes of it is not known.

use memchr::memmem;

use crate::file::{EntryKind, TreeFiles};

/// Bytes of a .c file that are looked at: some include others at their end.
pub(crate) const SOURCE_BYTES: u64 = 2 << 20;
/// 7.2 has 62,000.
const MAX_FILES: usize = 200_000;
/// Directories in directories.
const MAX_DEPTH: usize = 24;
/// Directories that no kernel object comes from.
const LEFT_OUT: [&str; 5] = ["Documentation", "tools", "scripts", "samples", "LICENSES"];

/// Paths of the .c and .h files, of architectures only `srcarch`.
pub(crate) fn of(files: &TreeFiles, srcarch: &str) -> Vec<String> {
    let mut found = Vec::new();
    collect(files, srcarch, "", 0, &mut found);
    found
}

fn collect(files: &TreeFiles, srcarch: &str, folder: &str, depth: usize, found: &mut Vec<String>) {
    for (path, kind) in files.entries(folder) {
        let name = path.rsplit('/').next().unwrap_or_default();
        let left_out = LEFT_OUT.contains(&path.as_str()) || name.starts_with('.');
        let other_arch = folder == "arch" && name != srcarch;
        match kind {
            EntryKind::Folder if !left_out && !other_arch && depth < MAX_DEPTH => {
                collect(files, srcarch, &path, depth + 1, found);
            }
            EntryKind::File if name.ends_with(".c") || name.ends_with(".h") => {
                if found.len() < MAX_FILES {
                    found.push(path);
                }
            }
            EntryKind::Folder | EntryKind::File => {}
        }
    }
}

/// The .c files with a call of one of `functions`, but for those in `apart`.
pub(crate) fn calling(files: &TreeFiles, srcarch: &str, functions: &[String], apart: &[&str]) -> Vec<String> {
    let calls: Vec<String> = functions.iter().map(|name| format!("{name}(")).collect();
    let is_asked = |path: &str| path.ends_with(".c") && !apart.contains(&path);
    holding(files, srcarch, &calls, is_asked)
}

/// The .h files that define one of `macros`, each with arguments.
pub(crate) fn defining(files: &TreeFiles, srcarch: &str, macros: &[String]) -> Vec<String> {
    let definitions: Vec<String> = macros.iter().map(|name| format!("define {name}(")).collect();
    holding(files, srcarch, &definitions, |path| path.ends_with(".h"))
}

/// The files that are asked for, and hold one of `texts` behind no letter of a name.
fn holding(
    files: &TreeFiles,
    srcarch: &str,
    texts: &[String],
    is_asked: impl Fn(&str) -> bool,
) -> Vec<String> {
    let finders: Vec<memmem::Finder<'_>> = texts.iter().map(memmem::Finder::new).collect();
    let mut found = of(files, srcarch);
    found.retain(|path| {
        is_asked(path)
            && files
                .bytes(path, SOURCE_BYTES)
                .is_some_and(|bytes| finders.iter().any(|finder| has_call(&bytes, finder)))
    });
    found
}

/// The name stands behind a blank, a bracket or an operator: it is no end of a longer one.
fn has_call(bytes: &[u8], finder: &memmem::Finder<'_>) -> bool {
    finder.find_iter(bytes).any(|at| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        before.is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_of_the_whole_name() {
        let has = |text: &str| has_call(text.as_bytes(), &memmem::Finder::new("dput("));
        assert!(has("\tdput(a);") && has("dput(a)") && has("if (!dput(a))"));
        assert!(!has("\tlock_dput(a);") && !has("dputs(a)"));
    }
}
