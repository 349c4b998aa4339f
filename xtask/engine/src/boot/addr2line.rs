//! File and line for the functions in a splat, from the debug information of the very kernel that printed it.
//! Without debug information a splat stays as it was printed: symbol and offset.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::symbols::Symbols;
use crate::host::sandbox::Sandbox;
use console::Splat;

static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::unwrap_used, reason = "a constant")]
    Regex::new(r"\b([A-Za-z_][\w.]*)\+0x([0-9a-f]+)/0x([0-9a-f]+)").unwrap()
});

/// Before the registers of the place where a report was made: arch/x86/kernel/dumpstack.c, show_ip();
/// arch/arm64/kernel/process.c, arch/riscv/kernel/process.c and arch/powerpc/kernel/process.c, __show_regs().
const FAULT: [&str; 4] = ["RIP: 0010:", "pc : ", "epc : ", "NIP ["];

/// Addresses on one command line, which has a limit.
const AT_ONCE: usize = 4096;

/// A function as a stack names it (kernel/kallsyms.c, __sprint_symbol()): `NAME+0xOFFSET/0xSIZE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackFrame<'a> {
    pub name: &'a str,
    pub offset: u64,
    /// Up to the next symbol.
    pub size: u64,
}

impl<'a> StackFrame<'a> {
    /// The first one in `line`; none if it is a module's (`… [MODULE]`), which the kernel's own file does not hold.
    pub fn find(line: &'a str) -> Option<StackFrame<'a>> {
        let found = FRAME.captures(line)?;
        let number = |at: usize| u64::from_str_radix(&found[at], 16).ok();
        let name = found.get(1)?.as_str();
        let behind = line[found.get(0)?.end()..].strip_prefix(" [");
        match behind.is_some_and(|rest| rest.contains(']')) {
            true => None,
            false => Some(StackFrame { name, offset: number(2)?, size: number(3)? }),
        }
    }
}

/// Appends ` (file:line)` to every line of `splats` that names a function which `kernel` has a place for.
pub fn add(sandbox: &Sandbox, splats: &mut [Splat], kernel: &Path, tools: &str, log: &Path) {
    if !splats.is_empty() {
        let symbols = Symbols::of(sandbox, kernel, tools, log);
        add_by(&symbols, sandbox, splats, kernel, tools, log);
    }
}

/// As [`add`], with the `symbols` of `kernel`; and gives a report that names no place the one where it was made.
pub fn add_by(
    symbols: &Symbols,
    sandbox: &Sandbox,
    splats: &mut [Splat],
    kernel: &Path,
    tools: &str,
    log: &Path,
) {
    let starts = symbols.by_name();
    let lines = splats.iter().flat_map(|splat| splat.text.iter().chain([&splat.headline]));
    let mut addresses: Vec<u64> = lines.filter_map(|line| address(line, &starts)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let places = places(sandbox, &addresses, kernel, tools, log);
    let place = |line: &str| address(line, &starts).and_then(|address| places.get(&address));
    for splat in splats {
        let fault = || splat.text.iter().find(|line| FAULT.iter().any(|start| line.starts_with(start)));
        if splat.location.is_none() {
            splat.location = place(&splat.headline).or_else(|| place(fault()?)).cloned();
        }
        for line in &mut splat.text {
            if let Some(place) = place(line) {
                line.push_str(&format!(" ({place})"));
            }
        }
    }
}

/// The address that a line speaks of. What a call trace prints is where the call returns to, which may be the
/// next source line: one byte earlier is within the call. `RIP:` is the place itself.
fn address(line: &str, starts: &HashMap<&str, u64>) -> Option<u64> {
    let StackFrame { name, offset, size: _ } = StackFrame::find(line)?;
    // The offset comes from the guest's console.
    let address = starts.get(name)?.checked_add(offset)?;
    let is_place_itself = FAULT.iter().any(|start| line.contains(start)) || line.contains("RIP:");
    Some(if is_place_itself || offset == 0 { address } else { address - 1 })
}

/// What addr2line knows; nothing for addresses that it answers with `??`.
fn places(
    sandbox: &Sandbox,
    addresses: &[u64],
    kernel: &Path,
    tools: &str,
    log: &Path,
) -> BTreeMap<u64, String> {
    let mut found = BTreeMap::new();
    for some in addresses.chunks(AT_ONCE) {
        found.extend(some_places(sandbox, some, kernel, tools, log));
    }
    found
}

fn some_places(
    sandbox: &Sandbox,
    addresses: &[u64],
    kernel: &Path,
    tools: &str,
    log: &Path,
) -> BTreeMap<u64, String> {
    let words: Vec<String> = addresses.iter().map(|address| format!("0x{address:x}")).collect();
    let printed = sandbox.read_object(&format!("{tools}addr2line"), &["-e"], kernel, &words, log);
    let _ = std::fs::remove_file(log);
    let text = printed.unwrap_or_default();
    let answers = text.lines().map(|answer| answer.split(" (").next().unwrap_or(answer));
    addresses
        .iter()
        .zip(answers)
        .filter(|(_, answer)| !answer.contains('?') && !answer.ends_with(":0"))
        .map(|(address, answer)| (*address, answer.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use console::splat::Kind;

    /// A program whose `deep` stands at line 2 of `deep.c`, compiled with the flags given.
    fn annotated(flags: &[&str]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let source =
            "extern int x;\nint deep(void) { return x; }\nint x; int main(void) { return deep(); }\n";
        std::fs::write(dir.path().join("deep.c"), source).unwrap();
        let gcc = duct::cmd("gcc", [&["-O0", "-o", "program", "deep.c"], flags].concat()).dir(dir.path());
        gcc.run().unwrap();
        let mut splats = [Splat {
            kind: Kind::Warning,
            headline: "WARNING: x".to_owned(),
            location: None,
            text: vec![
                "WARNING: x".to_owned(),
                " deep+0x1/0x10".to_owned(),
                " unknown_function+0x1/0x2".to_owned(),
            ],
        }];
        add(&Sandbox::Off, &mut splats, &dir.path().join("program"), "", &dir.path().join("log"));
        splats[0].text.join("\n")
    }

    #[test]
    fn with_debug_information_a_frame_gets_its_file_and_line() {
        let text = annotated(&["-g"]);
        assert!(text.contains("deep+0x1/0x10 (") && text.contains("deep.c:2)"), "{text}");
        assert!(text.ends_with(" unknown_function+0x1/0x2"), "{text}");
    }

    #[test]
    fn a_module_s_function_is_not_looked_for_in_the_kernel() {
        assert_eq!(StackFrame::find(" f+0x10/0x20 [mod]"), None);
        let frame = StackFrame { name: "f.isra.0", offset: 16, size: 32 };
        assert_eq!(StackFrame::find(" ? f.isra.0+0x10/0x20 (x.c:1)"), Some(frame));
    }

    #[test]
    fn offset_that_overflows_has_no_place() {
        let starts = HashMap::from([("f", 0xffff_ffff_8100_0000)]);
        assert_eq!(address(" f+0x10/0x20", &starts), Some(0xffff_ffff_8100_000f));
        assert_eq!(address(" f+0xffffffffffffffff/0x20", &starts), None);
        assert_eq!(address(" f+0x1ffffffffffffffff/0x20", &starts), None);
    }

    #[test]
    fn without_it_a_splat_stays_as_it_was_printed() {
        assert_eq!(annotated(&[]), "WARNING: x\n deep+0x1/0x10\n unknown_function+0x1/0x2");
    }
}
