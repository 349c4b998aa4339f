//! Names for the addresses of a kernel, out of its own symbol table as `nm` prints it.

use std::collections::HashMap;
use std::path::Path;

use crate::host::sandbox::Sandbox;

/// Sorted by address.
#[derive(Debug, Default)]
pub struct Symbols(Vec<(u64, String)>);

impl Symbols {
    /// The symbols of `kernel`; none when nm cannot read it, and addresses stay numbers then. `log` takes
    /// what nm prints and is removed; `tools` stands before the names of the binutils that can read the kernel.
    pub fn of(sandbox: &Sandbox, kernel: &Path, tools: &str, log: &Path) -> Symbols {
        let printed = sandbox.read_object(&format!("{tools}nm"), &[], kernel, &[], log);
        let _ = std::fs::remove_file(log);
        printed.map_or_else(|_| Symbols::default(), |text| Symbols::parse(&text))
    }

    pub fn parse(text: &str) -> Symbols {
        let symbol = |line: &str| {
            let mut words = line.split_whitespace();
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            let is_code = matches!(words.next()?, "t" | "T" | "w" | "W");
            is_code.then_some((address, words.next()?.to_owned()))
        };
        let mut symbols: Vec<_> = text.lines().filter_map(symbol).collect();
        symbols.sort();
        Symbols(symbols)
    }

    /// Where each function begins, but for names that several share.
    pub fn by_name(&self) -> HashMap<&str, u64> {
        let mut found: HashMap<&str, Option<u64>> = HashMap::new();
        for (address, name) in &self.0 {
            found.entry(name).and_modify(|known| *known = None).or_insert(Some(*address));
        }
        found.into_iter().filter_map(|(name, address)| Some((name, address?))).collect()
    }

    /// Where each function of the name begins.
    pub fn starts(&self, name: &str) -> impl Iterator<Item = u64> {
        self.0.iter().filter(move |(_, known)| known == name).map(|(address, _)| *address)
    }

    /// `function+0xoffset`, or the number when no function is at or below it.
    pub fn name(&self, address: u64) -> String {
        let after = self.0.partition_point(|(start, _)| *start <= address);
        match after.checked_sub(1).map(|at| &self.0[at]) {
            Some((start, name)) => format!("{name}+0x{:x}", address - start),
            None => format!("0x{address:x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_the_function_before_it() {
        let symbols = Symbols::parse("0000000000000200 T b\n0000000000000100 t a\n0000000000000180 D data\n");
        assert_eq!(symbols.name(0x1f0), "a+0xf0");
        assert_eq!(symbols.name(0x200), "b+0x0");
        assert_eq!(symbols.name(0x10), "0x10");
        assert_eq!(symbols.by_name().get("b"), Some(&0x200));
        assert!(Symbols::parse("0200 T b\n0100 t b\n").by_name().is_empty());
    }
}
