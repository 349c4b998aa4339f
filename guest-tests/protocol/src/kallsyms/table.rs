//! Makes the table of a kernel's functions, on the host, where that takes no time: the same lines in the same order as
//! the kernel's own (scripts/kallsyms.c), and the slots by which a function is found.

use super::{Symbol, hash};

/// The table of the kernel with this System.map, which has what `nm -n` says of vmlinux but for what scripts/mksysmap
/// leaves out. The kernel's own table is made of the same, or the build would have failed (scripts/link-vmlinux.sh).
/// Of that it takes what the text section has: what lies behind is data, and functions that are gone when init runs.
///
/// # Errors
/// When it is not a System.map, or does not say where the text is.
pub fn table(system_map: &str) -> Result<Vec<u8>, String> {
    with_slots(text(system_map)?)
}

fn text(system_map: &str) -> Result<String, String> {
    let mut symbols = Vec::new();
    for line in system_map.split_inclusive('\n') {
        let symbol = Symbol::at(line.as_bytes(), 0).filter(|symbol| symbol.length == line.len());
        symbols.push(symbol.ok_or_else(|| format!("System.map has {line:?}, which is no symbol"))?);
    }
    let bound = |name: &str| {
        let found = symbols.iter().find(|symbol| symbol.name == name.as_bytes());
        found.map(|symbol| (symbol.address, symbol.kind)).ok_or_else(|| format!("System.map has no {name}"))
    };
    let (start, (end, kind_of_end)) = (bound("_stext")?.0, bound("_etext")?);
    symbols.retain(|symbol| (start..end).contains(&symbol.address) && !is_ignored(symbol));
    symbols.sort_by_key(order);
    let line = |address: u64, kind: u8, name: &[u8]| {
        format!("{address:016x} {} {}\n", char::from(kind), String::from_utf8_lossy(name))
    };
    let lines = symbols.iter().map(|symbol| line(symbol.address, symbol.kind, symbol.name));
    Ok(lines.chain([line(end, kind_of_end, b"_etext")]).collect())
}

/// `is_ignored_symbol()`: what is not a place in the kernel.
fn is_ignored(symbol: &Symbol<'_>) -> bool {
    matches!(symbol.kind, b'A' | b'a' | b'u' | b'n')
}

/// `compare_symbols()`: of several at one address comes first what most likely is the function. Those that are alike in
/// all this stay as they are.
fn order(symbol: &Symbol<'_>) -> (u64, bool, bool, usize) {
    let is_weak = matches!(symbol.kind, b'w' | b'W');
    let underscores = symbol.name.iter().take_while(|byte| **byte == b'_').count();
    (symbol.address, is_weak, may_be_of_linker_script(symbol.name), underscores)
}

/// `may_be_linker_script_provide_symbol()`.
fn may_be_of_linker_script(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(b"__").filter(|_| name.len() >= 8) else { return false };
    let starts = [&b"start_"[..], b"stop_", b"end_"].iter().any(|mark| rest.starts_with(mark));
    starts || [&b"_start"[..], b"_end"].iter().any(|mark| name.ends_with(mark))
}

/// The lines, and behind them the slots and their count. One in three is free at least, so that a search for what is
/// not there comes to an end.
pub(super) fn with_slots(text: String) -> Result<Vec<u8>, String> {
    let functions = functions(text.as_bytes())?;
    let count = (functions.len() * 3 / 2 + 1).next_power_of_two();
    let mut slots = vec![0u32; count];
    for (hash, at) in functions {
        let first = hash as usize;
        let free = (0..count).map(|step| (first + step) & (count - 1)).find(|slot| slots[*slot] == 0);
        slots[free.ok_or("all slots are taken")?] =
            u32::try_from(at + 1).map_err(|error| error.to_string())?;
    }
    slots.push(u32::try_from(count).map_err(|error| error.to_string())?);
    let mut table = text.into_bytes();
    table.extend(slots.into_iter().flat_map(u32::to_le_bytes));
    Ok(table)
}

/// The hash of each function, and where its line begins.
fn functions(text: &[u8]) -> Result<Vec<(u32, usize)>, String> {
    let (mut functions, mut done, mut before) = (Vec::new(), 0, 0);
    while done < text.len() {
        let wrong = |what: &str| {
            let line = String::from_utf8_lossy(&text[done..]);
            format!("the kernel's symbols {what}: {:?}", line.lines().next().unwrap_or_default())
        };
        let symbol =
            Symbol::at(text, done).ok_or_else(|| wrong("have a line without address, type and name"))?;
        if symbol.address < before {
            return Err(wrong("have a line that is not in order"));
        }
        before = symbol.address;
        if symbol.is_function() {
            functions.push((hash(symbol.base()), done));
        }
        done += symbol.length;
    }
    if before == 0 { Err("the kernel's symbols show no addresses".to_owned()) } else { Ok(functions) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kallsyms::{Comparison, Kallsyms};

    macro_rules! recorded {
        ($kernel:literal) => {
            (
                $kernel,
                include_str!(concat!("../../testdata/kallsyms/", $kernel, ".System.map")),
                include_str!(concat!("../../testdata/kallsyms/", $kernel, ".kallsyms")),
            )
        };
    }
    /// What System.map and /proc/kallsyms had of one kernel each: a few lines around the text, and of those inside it the
    /// addresses that several symbols share. The kernels are 7.2.12 as this project builds it, and 6.12.117.
    const RECORDED: [(&str, &str, &str); 5] = [
        recorded!("x86_64"),
        recorded!("arm64"),
        recorded!("riscv64"),
        // Without KALLSYMS_ALL.
        recorded!("ppc64le"),
        // With the variables of each CPU before all others.
        recorded!("x86_64-6.12"),
    ];

    #[test]
    fn the_table_is_what_the_kernel_shows() {
        for (kernel, system_map, shown) in RECORDED {
            let kallsyms = Kallsyms::of(table(system_map).unwrap()).unwrap();
            let mut comparison = Comparison::new(&kallsyms).unwrap();
            let compared = comparison.take(shown.as_bytes()).and_then(|_| comparison.finish());
            assert_eq!(compared, Ok(()), "{kernel}");
            assert!(kallsyms.has_exactly("sys_ni_syscall"), "{kernel}");
        }
    }

    #[test]
    fn the_order_of_system_map_is_not_that_of_the_kernel() {
        for (kernel, system_map, shown) in RECORDED {
            let (system_map, shown): (Vec<&str>, Vec<&str>) =
                (system_map.lines().collect(), shown.lines().collect());
            let of_both = |lines: &[&'static str]| -> Vec<&str> {
                lines
                    .iter()
                    .copied()
                    .filter(|line| system_map.contains(line) && shown.contains(line))
                    .collect()
            };
            assert_ne!(
                of_both(&system_map),
                of_both(&shown),
                "{kernel} shows nothing of what is to be tested"
            );
        }
    }

    #[test]
    fn only_the_text_is_in_the_table() {
        let system_map = "0 A percpu\n1000 T _text\n2000 T _stext\n2010 t a\n2010 a gone\n3000 D x\n3000 T _etext\n4000 d b\n";
        let text = "2000 T _stext\n2010 t a\n3000 T _etext\n";
        let padded = text.replace("2000", "0000000000002000").replace("2010", "0000000000002010");
        assert_eq!(super::text(system_map), Ok(padded.replace("3000", "0000000000003000")));
    }

    #[test]
    fn what_is_no_system_map_is_an_error() {
        for (text, why) in [
            ("", "no _stext"),
            ("1000 T _stext\n2000 T a\n", "no _etext"),
            ("1000 T _stext\nnonsense\n2000 T _etext\n", "nonsense"),
            ("1000 T _stext\n2000 T _etext", "2000 T _etext"),
        ] {
            let error = table(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
