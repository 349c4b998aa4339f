//! What the compiler made of the files that the patch changes: a digest of each function and of each variable, so that two arms can be held
//! against each other. Reads objects and asks objdump; compares nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;
use sha2::{Digest, Sha256};

use super::{Job, data};
use crate::observe::Code;
use crate::source::{files, objects};

/// The code of the objects that come from `job.touched`. What cannot be read is left out: then nothing is said about
/// it.
pub fn of(job: &Job<'_>) -> Code {
    let sources = job.touched.iter().filter(|path| path.ends_with(".c"));
    let objects: Vec<PathBuf> =
        sources.map(|path| Path::new(path).with_extension("o")).filter(|path| there(job, path)).collect();
    let (mut functions, mut data) = (BTreeMap::new(), BTreeMap::new());
    let log = job.cell_dir.join("objdump.log");
    for object in &objects {
        let objdump = format!("{}objdump", job.arch.prefix());
        let arguments = ["-drw", "--no-show-raw-insn"];
        if let Ok(text) = job.sandbox.read_object(&objdump, &arguments, &job.objects.join(object), &[], &log)
        {
            let name = object.display().to_string();
            functions.extend(digests(&text).into_iter().map(|(f, digest)| (format!("{name}: {f}"), digest)));
        }
        if let Some(found) =
            files::read_below(job.objects, object).ok().and_then(|bytes| data::digests(&bytes))
        {
            let name = object.display().to_string();
            data.extend(found.into_iter().map(|(one, digest)| (format!("{name}: {one}"), digest)));
        }
    }
    let _ = std::fs::remove_file(&log);
    let headers: BTreeSet<&str> =
        job.touched.iter().filter(|path| path.ends_with(".h")).map(String::as_str).collect();
    Code { functions, data, including: including(job.objects, &headers, &objects) }
}

fn there(job: &Job<'_>, object: &Path) -> bool {
    job.objects.join(object).is_file()
}

/// Digests of the objects whose source includes one of `headers`, but for those in `but`: kbuild writes down what each
/// object is made of (scripts/basic/fixdep.c).
fn including(objects: &Path, headers: &BTreeSet<&str>, but: &[PathBuf]) -> BTreeMap<String, String> {
    let endings: Vec<Vec<u8>> = headers.iter().map(|header| format!("/{header}").into_bytes()).collect();
    let mut found = BTreeMap::new();
    if headers.is_empty() {
        return found;
    }
    for record in objects::records(objects).unwrap_or_default() {
        let object = objects::made_by(&record);
        let Ok(name) = object.strip_prefix(objects) else { continue };
        if name.extension().is_some_and(|extension| extension == "o")
            && !but.contains(&name.to_path_buf())
            && std::fs::read(&record).is_ok_and(|record| objects::is_made_of(&record, &endings))
            && let Ok(bytes) = files::read_below(objects, name)
        {
            found.insert(name.display().to_string(), digest(&bytes));
        }
    }
    found
}

/// Short: of the functions and variables of one object.
pub(super) fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::unwrap_used, reason = "a constant")]
    // The address of an instruction or of a relocation, and that of a target which is named right after it.
    Regex::new(r"^\s*[0-9a-f]+:\s*|\t[0-9a-f]+: |\b[0-9a-f]+ <").unwrap()
});

/// What objdump names because a number could be its address, such as the offset in riscv's `ld a5,8(a0)`: which name that
/// is depends on what lies there, and the number stands before it.
static REMARK: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::unwrap_used, reason = "a constant")]
    Regex::new(r"\s*# [0-9a-f]+ <[^>]*>").unwrap()
});

/// Where in a section of constants something lies says how long the constants before it are.
static OFFSET: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::unwrap_used, reason = "a constant")]
    Regex::new(r"(\t\.[A-Za-z][\w.]*)[+-]0x[0-9a-f]+").unwrap()
});

/// A label inside a function, which riscv's assembler keeps: its number says how many there were before it.
static LABEL: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::unwrap_used, reason = "a constant")]
    Regex::new(r"\.L\w+(?:\+0x[0-9a-f]+)?").unwrap()
});

/// The digest of each function in what `objdump -drw --no-show-raw-insn` prints. Addresses are left out, so that a
/// function which only lies elsewhere stays the same.
fn digests(text: &str) -> BTreeMap<String, String> {
    let mut functions = BTreeMap::<String, Vec<String>>::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(name) =
            line.strip_suffix(">:").and_then(|line| line.split_once(" <")).map(|(_, name)| name)
        {
            if !name.starts_with(".L") {
                current = Some(functions.entry(name.to_owned()).or_default());
            }
        } else if line.starts_with("Disassembly") {
            current = None;
        } else if let Some(lines) = current.as_mut().filter(|_| !line.is_empty()) {
            let bare = REMARK.replace_all(line, "");
            let plain = ADDRESS.replace_all(&bare, " <");
            let placed = OFFSET.replace_all(&plain, "$1");
            lines.push(LABEL.replace_all(&placed, ".L").into_owned());
        }
    }
    let of = |mut lines: Vec<String>| {
        // What fills the room up to the next function.
        while lines.last().is_some_and(|line| is_padding(line)) {
            lines.pop();
        }
        digest(lines.join("\n").as_bytes())
    };
    functions.into_iter().map(|(name, lines)| (name, of(lines))).collect()
}

fn is_padding(line: &str) -> bool {
    let instruction = line.trim_start_matches([' ', '<', '\t']);
    ["nop", "data16", "cs nop", "xchg   %ax,%ax", "int3", "udf", "\t..."]
        .iter()
        .any(|padding| instruction.starts_with(padding))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "\nx.o:     file format elf64-x86-64\n\n\nDisassembly of section .text:\n\n\
0000000000000000 <first>:\n   0:\tcall   5 <first+0x5>\t1: R_X86_64_PLT32\t__fentry__-0x4\n   5:\tret\n   6:\tnopl   0x0(%rax)\n\n\
0000000000000010 <second>:\n  10:\tcall   0 <first>\n  15:\tmov    $0x0,%rdi\t18: R_X86_64_32S\t.rodata.str1.1+0x12\n  1c:\tjne    15 <second+0x5>\n  1e:\tret\n";

    fn after(edit: impl Fn(String) -> String) -> Vec<&'static str> {
        let (before, after) = (digests(BEFORE), digests(&edit(BEFORE.to_owned())));
        ["first", "second"].into_iter().filter(|name| before.get(*name) != after.get(*name)).collect()
    }

    #[test]
    fn a_function_that_only_lies_elsewhere_is_the_same() {
        let moved = |text: String| {
            text.replace("  10:\t", "  40:\t")
                .replace("  15:\t", "  45:\t")
                .replace("18: R", "48: R")
                .replace("jne    15 <", "jne    45 <")
                .replace("call   0 <", "call   30 <")
                .replace("+0x12", "+0x99")
                .replace("   6:\tnopl   0x0(%rax)\n", "")
        };
        assert_eq!(after(moved), Vec::<&str>::new());
    }

    #[test]
    fn a_label_begins_no_function_and_its_number_is_no_difference() {
        let text = |label: &str, last: &str| {
            format!(
                "0000000000000000 <f>:\n   0:\tbnez\ta0,8 <{label}>\t0: R_RISCV_BRANCH\t{label}\n   4:\tret\n\n\
                 0000000000000008 <{label}>:\n   8:\t{last}\n"
            )
        };
        let first = digests(&text(".L1", "ret"));
        assert_eq!(first.keys().collect::<Vec<_>>(), ["f"]);
        assert_eq!(digests(&text(".L2", "ret")), first);
        assert_ne!(digests(&text(".L1", "nop")), first);
    }

    #[test]
    fn what_objdump_takes_an_offset_for_is_no_difference() {
        let text = |offset: u32, what: &str| {
            digests(&format!(
                "0000000000000000 <f>:\n   0:\tld\ta5,{offset}(a0) # {offset} <{what}>\t0: R_RISCV_RELAX\t*ABS*\n   4:\tret\n"
            ))
        };
        assert_eq!(text(8, "one+0x28"), text(8, "another+0x24"));
        assert_ne!(text(8, "one+0x28"), text(16, "one+0x30"));
    }

    #[test]
    fn another_instruction_target_or_relocation_is_another_function() {
        assert_eq!(after(|text| text.replace("$0x0,%rdi", "$0x1,%rdi")), ["second"]);
        assert_eq!(after(|text| text.replace("call   0 <first>", "call   0 <third>")), ["second"]);
        assert_eq!(after(|text| text.replace("__fentry__-0x4", "__other__-0x4")), ["first"]);
        assert_eq!(after(|text| text.replace("  1e:\tret\n", "")), ["second"]);
    }

    #[test]
    fn objects_that_include_a_changed_header_are_found_by_what_kbuild_wrote_down() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        for (name, includes) in [
            ("mm/a", "  /src/include/x.h \\\n"),
            ("mm/b", "  /src/include/xx.h \\\n"),
            ("c", "  ./include/x.h \\\n"),
        ] {
            write(&format!("{name}.o"), name);
            let (dir, name) = name.rsplit_once('/').map_or(("", name), |(dir, name)| (dir, name));
            write(format!("{dir}/.{name}.o.cmd").trim_start_matches('/'), includes);
        }
        let headers = BTreeSet::from(["include/x.h"]);
        let found = including(dir.path(), &headers, &[]);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["c.o", "mm/a.o"]);
        assert_eq!(including(dir.path(), &headers, &[PathBuf::from("c.o")]).len(), 1);
        assert!(including(dir.path(), &BTreeSet::new(), &[]).is_empty());
    }
}
