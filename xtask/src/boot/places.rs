//! File and line for the functions in a splat, from the debug information of the very kernel that printed it.
//! Without debug information a splat stays as it was printed: symbol and offset.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::symbols::Symbols;
use crate::console::Splat;
use crate::sandbox::Sandbox;

static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::unwrap_used, reason = "a constant")]
    Regex::new(r"\b([A-Za-z_][\w.]*)\+0x([0-9a-f]+)/0x[0-9a-f]+").unwrap()
});

/// Appends ` (file:line)` to every line of `splats` that names a function which `kernel` has a place for.
pub fn add(sandbox: &Sandbox, splats: &mut [Splat], kernel: &Path, tools: &str, log: &Path) {
    if splats.is_empty() {
        return;
    }
    let symbols = Symbols::of(sandbox, kernel, tools, log);
    let starts = symbols.by_name();
    let mut addresses: Vec<u64> =
        splats.iter().flat_map(|splat| &splat.text).filter_map(|line| address(line, &starts)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let places = places(sandbox, &addresses, kernel, tools, log);
    for line in splats.iter_mut().flat_map(|splat| &mut splat.text) {
        if let Some(place) = address(line, &starts).and_then(|address| places.get(&address)) {
            line.push_str(&format!(" ({place})"));
        }
    }
}

/// The address that a line speaks of. What a call trace prints is where the call returns to, which may be the
/// next source line: one byte earlier is within the call. `RIP:` is the place itself.
fn address(line: &str, starts: &HashMap<&str, u64>) -> Option<u64> {
    let found = FRAME.captures(line)?;
    let offset = u64::from_str_radix(&found[2], 16).ok()?;
    // The offset comes from the guest's console.
    let address = starts.get(&found[1])?.checked_add(offset)?;
    Some(if line.contains("RIP:") || offset == 0 { address } else { address - 1 })
}

/// What addr2line knows; nothing for addresses that it answers with `??`.
fn places(
    sandbox: &Sandbox,
    addresses: &[u64],
    kernel: &Path,
    tools: &str,
    log: &Path,
) -> BTreeMap<u64, String> {
    if addresses.is_empty() {
        return BTreeMap::new();
    }
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
    use crate::splat::Kind;

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
