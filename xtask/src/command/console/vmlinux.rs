//! `--vmlinux FILE`: proves that FILE is the kernel that printed the logs, then adds file and line to their reports.
//!
//! How we know: a stack names functions as `NAME+0xOFFSET/0xSIZE`, where SIZE reaches to the next symbol
//! (kernel/kallsyms.c, get_symbol_pos()). In the kernel that printed it a symbol begins where each function ends.

use std::collections::{BTreeSet, HashSet};
use std::io::Read;
use std::path::Path;

use crate::boot::addr2line::{self, StackFrame};
use crate::boot::symbols::Symbols;
use crate::host::input::{self, shown};
use crate::host::sandbox::Sandbox;
use crate::host::{self, arch};
use console::Splat;
use failure::{Context, Failure, Result};

/// `e_machine` of an ELF header, and the name of the architecture.
const MACHINES: [(u16, &str); 4] = [(62, "x86_64"), (183, "arm64"), (21, "ppc64le"), (243, "riscv64")];

/// Functions that an error names.
const NAMED_MAX: usize = 3;

/// Adds file and line to the places and stacks of `splats`.
///
/// # Errors
/// Usage, when `kernel` is no ELF file, has no debug information, or is not the kernel that printed `splats`; infra, when
/// binutils or the sandbox do not work.
pub fn add(kernel: &Path, no_sandbox: bool, splats: &mut [Splat]) -> Result<()> {
    let tools = tools(kernel)?;
    for tool in ["nm", "objdump", "addr2line"].map(|tool| format!("{tools}{tool}")) {
        if host::find_program(&tool).is_none() {
            return Err(Failure::infra(format!("{tool} is not installed"))
                .next("install the package binutils for that architecture"));
        }
    }
    let sandbox =
        Sandbox::find(no_sandbox, &["nm", "objdump", "addr2line"].map(|tool| format!("{tools}{tool}")))?;
    let dir = tempfile::tempdir().or_infra(|| "make a directory for what binutils say".to_owned())?;
    let log = dir.path().join("log");
    let sections = sandbox.read_object(&format!("{tools}objdump"), &["-h"], kernel, &[], &log)?;
    if ![" .debug_line ", " .zdebug_line "].iter().any(|section| sections.contains(section)) {
        return Err(Failure::usage(format!("{} has no debug information (DWARF)", shown(kernel)))
            .because("it has no section .debug_line")
            .next("name a vmlinux that was built with CONFIG_DEBUG_INFO, or the distribution's debug file"));
    }
    let printed = sandbox.read_object(&format!("{tools}nm"), &[], kernel, &[], &log)?;
    let symbols = Symbols::parse(&printed);
    check(kernel, &symbols, &printed, splats)?;
    addr2line::add_by(&symbols, &sandbox, splats, kernel, tools, &log);
    Ok(())
}

/// What stands before the names of the binutils that can read `kernel`.
fn tools(kernel: &Path) -> Result<&'static str> {
    let mut header = Vec::new();
    input::VMLINUX.open_regular(kernel)?.take(20).read_to_end(&mut header).map_err(|error| {
        Failure::usage(format!("cannot read {}", shown(kernel))).because(error.to_string())
    })?;
    if header.len() < 20 || !header.starts_with(b"\x7fELF") {
        return Err(Failure::usage(format!("{} is no ELF file", shown(kernel)))
            .because("an image that a boot loader starts (bzImage, Image, vmlinuz) has no debug information")
            .next("name the file vmlinux of the directory that the kernel was built in"));
    }
    // Of a file in big endian the other byte would count: no architecture here is.
    let machine = u16::from_le_bytes([header[18], header[19]]);
    let name = MACHINES.iter().find(|(number, _)| *number == machine).map_or("", |(_, name)| *name);
    Ok(arch::find(name).map_or("", arch::Arch::prefix))
}

/// That every function which `splats` name has in `kernel` the size that they give it.
fn check(kernel: &Path, symbols: &Symbols, printed: &str, splats: &[Splat]) -> Result<()> {
    let boundaries: HashSet<u64> = printed.lines().filter_map(first_number).collect();
    let (mut agree, mut unknown, mut differ) = (0, BTreeSet::new(), BTreeSet::new());
    let frames: BTreeSet<(&str, u64)> = frames(splats).map(|frame| (frame.name, frame.size)).collect();
    for (name, size) in frames {
        let mut ends = symbols.starts(name).map(|start| start.checked_add(size)).peekable();
        if ends.peek().is_none() {
            unknown.insert(format!("{name} is not in it"));
        } else if ends.any(|end| end.is_some_and(|end| boundaries.contains(&end))) {
            agree += 1;
        } else {
            differ.insert(format!("{name} is of 0x{size:x} bytes in the log, and of another size in it"));
        }
    }
    if differ.is_empty() && (agree > 0 || unknown.is_empty()) {
        return Ok(());
    }
    let failure = Failure::usage(format!("{} is not the kernel that printed this log", shown(kernel)))
        .because(format!(
            "{agree} functions of its reports agree with it, {} do not",
            differ.len() + unknown.len()
        ));
    let failure = differ.into_iter().chain(unknown).take(NAMED_MAX).fold(failure, Failure::because);
    Err(failure.next("name the vmlinux of the very build that was booted"))
}

fn frames(splats: &[Splat]) -> impl Iterator<Item = StackFrame<'_>> {
    splats.iter().flat_map(|splat| &splat.text).filter_map(|line| StackFrame::find(line))
}

fn first_number(line: &str) -> Option<u64> {
    u64::from_str_radix(line.split_whitespace().next()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use console::splat::Kind;

    const NM: &str = "ffff0000 T f\nffff0040 t g\nffff0080 t g\nffff0090 T _etext\n                 U x\n";

    fn checked(lines: &[&str]) -> Result<(), String> {
        let text = lines.iter().map(ToString::to_string).collect();
        let splat = Splat { kind: Kind::Warning, headline: String::new(), location: None, text };
        check(Path::new("vmlinux"), &Symbols::parse(NM), NM, &[splat]).map_err(|error| error.to_string())
    }

    #[test]
    fn each_size_has_to_end_at_a_symbol() {
        assert_eq!(checked(&[" f+0x1/0x40", " ? g+0x1/0x10", " other+0x1/0x5", " f+0x1/0x9 [mod]"]), Ok(()));
        assert_eq!(checked(&["no function at all"]), Ok(()));
        let wrong = checked(&[" f+0x1/0x48"]).unwrap_err();
        assert!(wrong.contains("f is of 0x48 bytes in the log"), "{wrong}");
        assert!(checked(&[" f+0x1/0x40", " g+0x1/0x11"]).is_err());
    }

    #[test]
    fn a_kernel_that_has_none_of_the_functions_is_another() {
        let wrong = checked(&[" other+0x1/0x5"]).unwrap_err();
        assert!(wrong.contains("0 functions of its reports agree with it, 1 do not"), "{wrong}");
    }

    #[test]
    fn image_of_a_boot_loader_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bzImage");
        std::fs::write(&file, "MZ").unwrap();
        let error = add(&file, true, &mut []).unwrap_err().to_string();
        assert!(error.contains("bzImage is no ELF file"), "{error}");
    }
}
