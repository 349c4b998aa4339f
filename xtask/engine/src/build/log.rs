//! Reads a kernel build log: how far it is, and, when it failed, whose fault that is.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Instant;

use regex::Regex;

use crate::host::tail_file::{READ_MAX, TailFile};
use crate::observe::{Build, CompileError};

static DIAGNOSTIC: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::unwrap_used, reason = "a constant")]
    Regex::new(r"^(?P<file>[^:\s]+\.\w+):(?P<line>\d+):(?:\d+:)? (?P<what>(?:fatal )?error|warning): ")
        .unwrap()
});

/// Words that mean that the host failed and not the source.
const HOST_TROUBLE: [(&str, &str); 6] = [
    ("No space left on device", "the disk is full"),
    ("Killed signal terminated program", "the compiler was killed, most likely for memory"),
    ("internal compiler error", "the compiler itself failed"),
    ("virtual memory exhausted", "the compiler ran out of memory"),
    ("Cannot allocate memory", "the build ran out of memory"),
    ("Read-only file system", "the file system is read-only"),
];

/// What the words of a failed build say.
pub fn diagnose(log: &str, tree: &Path, touched: &BTreeSet<String>, how: &str) -> Build {
    if let Some((_, why)) = HOST_TROUBLE.iter().find(|(words, _)| log.contains(words)) {
        return Build::Infra { why: format!("{how}: {why}") };
    }
    let error = log.lines().find_map(|line| compile_error(line, tree, touched));
    match error.or_else(|| link_error(log, touched)).or_else(|| tool_error(log)) {
        Some(error) => Build::CompileError(error),
        None => Build::Infra { why: format!("{how}, and the log names no compile error") },
    }
}

fn compile_error(line: &str, tree: &Path, touched: &BTreeSet<String>) -> Option<CompileError> {
    let (file, message, what) = diagnostic(line, tree)?;
    if what == "warning" {
        return None;
    }
    let place = message.strip_prefix(&file).and_then(|rest| rest.split(':').nth(1));
    Some(CompileError {
        touched_by_patch: touched.contains(&file),
        line: place.and_then(|line| line.parse().ok()),
        message,
        file: Some(file),
    })
}

/// File, message and kind of one line of the compiler, paths relative to the tree.
fn diagnostic(line: &str, tree: &Path) -> Option<(String, String, String)> {
    // A build in a directory of the source names it `..`.
    let line = line.strip_prefix("../").unwrap_or(line);
    let found = DIAGNOSTIC.captures(line)?;
    let tree_prefix = format!("{}/", tree.display());
    let file = found["file"].trim_start_matches(&tree_prefix).trim_start_matches("./").to_owned();
    Some((file, line.replace(&tree_prefix, ""), found["what"].to_owned()))
}

/// The warnings in files that the patch under test changes.
pub fn warnings(log: &str, tree: &Path, touched: &BTreeSet<String>) -> Vec<String> {
    log.lines()
        .filter_map(|line| diagnostic(line, tree))
        .filter(|(file, _, what)| what == "warning" && touched.contains(file))
        .map(|(_, message, _)| message)
        .collect()
}

/// The linker names the object in the line before (`ld: mm/x.o: in function ...`) and then only the source's name
/// (`x.c:(.text+0x1): undefined reference to ...`).
fn link_error(log: &str, touched: &BTreeSet<String>) -> Option<CompileError> {
    let mut source = None;
    for line in log.lines() {
        let object = line.split([':', ' ']).find(|word| word.ends_with(".o"));
        source = object.map(|object| format!("{}.c", object.trim_end_matches(".o"))).or(source);
        if line.contains("undefined reference to") || line.contains("multiple definition of") {
            let touched_by_patch = source.as_ref().is_some_and(|file| touched.contains(file));
            return Some(CompileError {
                message: line.to_owned(),
                file: source,
                line: None,
                touched_by_patch,
            });
        }
    }
    None
}

/// What other tools of a build say when the source is wrong: Kconfig (scripts/kconfig/parser.y), make of a file that is in a
/// Makefile only, the assembler, objtool and modpost.
static TOOL_ERROR: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::unwrap_used, reason = "a constant")]
    Regex::new(
        r"No rule to make target|^\S*Kconfig\S*:\d+: |^error: recursive dependency|^\S+:\d+: Error: |error: objtool: |^ERROR: modpost: ",
    )
    .unwrap()
});

fn tool_error(log: &str) -> Option<CompileError> {
    let line = log.lines().find(|line| TOOL_ERROR.is_match(line) && !line.contains(": warning: "))?;
    Some(CompileError { message: line.to_owned(), file: None, line: None, touched_by_patch: false })
}

/// What all objects go into first (scripts/Makefile.vmlinux_o).
const FIRST_LINK: &str = "LD vmlinux.o";

/// Follows a build log that is being written.
#[derive(Debug)]
pub struct Tail {
    file: TailFile,
    partial: Vec<u8>,
    /// Objects made so far.
    pub objects: u64,
    /// What make said last, such as `CC mm/mmu_gather.o`.
    pub last: String,
    /// Since when all objects are made, and are put together.
    pub linking: Option<Instant>,
}

impl Tail {
    pub fn new(path: &Path) -> Tail {
        Tail {
            file: TailFile::new(path),
            partial: Vec::new(),
            objects: 0,
            last: String::new(),
            linking: None,
        }
    }

    /// Reads what is new; says whether there was anything.
    pub fn read(&mut self) -> bool {
        // A log that cannot be read shows no progress; the build itself says what is wrong.
        let came = self.file.read();
        let mut new = std::mem::take(&mut self.partial);
        new.extend_from_slice(&came);
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &new) {
            self.take_line(&new[start..end]);
            start = end + 1;
        }
        // No line that says what is made is longer than a look reads.
        self.partial = new.split_off(start);
        self.partial.truncate(usize::try_from(READ_MAX).unwrap_or(usize::MAX));
        !came.is_empty()
    }

    fn take_line(&mut self, line: &[u8]) {
        // Kbuild's short lines: two spaces, a word in capitals, what it makes.
        let Some(step) = line.strip_prefix(b"  ") else { return };
        let step = String::from_utf8_lossy(step);
        let words: Vec<&str> = step.split_whitespace().collect();
        if let [tool, made] = words.as_slice()
            && tool.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        {
            self.objects += u64::from(matches!(*tool, "CC" | "AS"));
            self.last = format!("{tool} {made}");
            if self.last == FIRST_LINK {
                self.linking = Some(Instant::now());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosed(log: &str) -> Build {
        let touched = BTreeSet::from(["mm/mmu_gather.c".to_owned()]);
        diagnose(log, Path::new("/src/linux"), &touched, "make vmlinux ended with status 2")
    }

    #[test]
    fn the_first_error_is_kept_with_its_place_and_whether_the_patch_touched_it() {
        let log = "  CC      mm/mmu_gather.o\n/src/linux/mm/mmu_gather.c:315:2: error: implicit declaration\nmake: *** [x] Error 1\n";
        let Build::CompileError(error) = diagnosed(log) else { panic!() };
        assert_eq!(error.file.as_deref(), Some("mm/mmu_gather.c"));
        assert_eq!((error.line, error.touched_by_patch), (Some(315), true));
        assert!(error.message.starts_with("mm/mmu_gather.c:315:2: error:"));
        let Build::CompileError(error) = diagnosed("../mm/mmu_gather.c:3:1: error: x\n") else { panic!() };
        assert_eq!(error.file.as_deref(), Some("mm/mmu_gather.c"));
        assert_eq!((error.message.as_str(), error.touched_by_patch), ("mm/mmu_gather.c:3:1: error: x", true));
        let Build::CompileError(error) = diagnosed("../mm/gup.c:3:1: error: x\n") else { panic!() };
        assert!(!error.touched_by_patch);
    }

    #[test]
    fn warnings_are_kept_for_the_files_that_the_patch_changes() {
        let touched = BTreeSet::from(["mm/mmu_gather.c".to_owned()]);
        let log = "/src/linux/mm/mmu_gather.c:313:6: warning: no previous prototype\n/src/linux/mm/gup.c:1:1: warning: x\n";
        let warnings = warnings(log, Path::new("/src/linux"), &touched);
        assert_eq!(warnings, ["mm/mmu_gather.c:313:6: warning: no previous prototype"]);
        assert!(matches!(diagnosed(log), Build::Infra { .. }));
    }

    #[test]
    fn a_link_error_names_the_source_of_its_object() {
        let log = "  LD      mm/built-in.o\nld: mm/mmu_gather.o: in function `f':\nmmu_gather.c:(.text+0x1): undefined reference to `g'\n";
        let Build::CompileError(error) = diagnosed(log) else { panic!() };
        assert_eq!(error.file.as_deref(), Some("mm/mmu_gather.c"));
        assert!(error.touched_by_patch);
    }

    #[test]
    fn what_other_tools_say_of_the_source_is_the_sources_fault() {
        for said in [
            "mm/Kconfig:12: syntax error",
            "make[4]: *** No rule to make target 'mm/gone.o', needed by 'mm/built-in.a'.  Stop.",
            "../arch/x86/entry/x.S:3: Error: no such instruction: `foo'",
            "mm/x.o: error: objtool: f() falls through to next function g()",
            "ERROR: modpost: \"f\" [x.ko] undefined!",
        ] {
            let Build::CompileError(error) = diagnosed(&format!("  CC mm/a.o\n{said}\nmake: *** Error 2\n"))
            else {
                panic!("{said}")
            };
            assert_eq!(error.message, said);
        }
        assert!(matches!(diagnosed("mm/Kconfig:3: warning: x\nmake: *** Error 2\n"), Build::Infra { .. }));
    }

    #[test]
    fn a_killed_compiler_and_a_full_disk_are_not_the_sources_fault() {
        for log in [
            "gcc: fatal error: Killed signal terminated program cc1\nmm/mmu_gather.c:1:1: error: x\n",
            "cc1.s: fatal error: No space left on device\n",
            "make: *** [x] Error 1\n",
            "",
        ] {
            assert!(matches!(diagnosed(log), Build::Infra { .. }), "{log}");
        }
    }

    #[test]
    fn progress_is_read_from_kbuilds_short_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut tail = Tail::new(&path);
        assert!(!tail.read());
        std::fs::write(&path, "  GEN     Makefile\n  CC      mm/a.o\n  CC      mm/mmu_ga").unwrap();
        assert!(tail.read());
        assert_eq!((tail.objects, tail.last.as_str()), (1, "CC mm/a.o"));
        assert_eq!(tail.linking, None);
        std::fs::write(
            &path,
            "  GEN     Makefile\n  CC      mm/a.o\n  CC      mm/mmu_gather.o\n  LD      vmlinux.o\n",
        )
        .unwrap();
        assert!(tail.read() && tail.linking.is_some());
    }
}
