//! What the compiler made of the data in an object: a digest of each variable, with what it points to, and of each table that the
//! linker puts together, such as those of initcalls. Reads one object; compares nothing.

use std::collections::{BTreeMap, BTreeSet};

use object::read::elf::{ElfFile64, ElfSection64};
use object::{
    Endianness, Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionFlags, SectionIndex,
    SymbolIndex, SymbolKind, elf,
};

use super::code::digest;

type Elf<'a> = ElfFile64<'a, Endianness>;

/// Sections that follow from the code, or that hold numbers of lines.
const LEFT_OUT: [&str; 19] = [
    "__bug_table",
    "__dyndbg",
    "__ex_table",
    "__jump_table",
    "__mcount_loc",
    "__patchable_function_entries",
    "__tracepoints_ptrs",
    ".altinstr",
    ".call_sites",
    ".discard",
    ".eh_frame",
    ".ibt_endbr_seal",
    ".note",
    ".orc_unwind",
    ".printk_index",
    ".retpoline_sites",
    ".return_sites",
    ".smp_locks",
    ".static_call_sites",
];

/// Variables that a macro makes and names by line or number.
const UNNAMED: [&str; 4] = ["__UNIQUE_ID", "__already_done", "__func__", "__key"];

/// The digests by name; None for what is no object of a 64-bit machine.
pub fn digests(bytes: &[u8]) -> Option<BTreeMap<String, String>> {
    let file = Elf::parse(bytes).ok()?;
    let names = Names::of(&file);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut strings = BTreeSet::new();
    for section in file.sections() {
        let Ok(name) = section.name() else { continue };
        let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
        let has = |flag: u32| sh_flags & u64::from(flag) != 0;
        if !has(elf::SHF_ALLOC)
            || has(elf::SHF_EXECINSTR)
            || LEFT_OUT.iter().any(|start| name.starts_with(start))
        {
            continue;
        }
        if has(elf::SHF_STRINGS) {
            let data = section.data().unwrap_or_default();
            strings.extend(data.split(|byte| *byte == 0).map(<[u8]>::to_vec));
            continue;
        }
        for (piece, content) in pieces(&section, name, &names) {
            found.entry(piece).or_default().push(content);
        }
    }
    let mut digests: BTreeMap<String, String> = found
        .into_iter()
        .map(|(name, mut contents)| {
            contents.sort_unstable();
            (name, digest(contents.join("\n").as_bytes()))
        })
        .collect();
    if !strings.is_empty() {
        digests.insert("strings".to_owned(), digest(&strings.into_iter().collect::<Vec<_>>().join(&0)));
    }
    Some(digests)
}

/// Name and content of the variables of a section; of one that has none, of the section.
fn pieces<'a>(
    section: &ElfSection64<'a, '_, Endianness>,
    name: &str,
    names: &Names<'a>,
) -> Vec<(String, String)> {
    let data = section.data().unwrap_or_default();
    let mut relocations: Vec<(u64, String)> = section
        .relocations()
        .map(|(at, relocation)| (at, names.target(relocation.target(), relocation.addend())))
        .collect();
    relocations.sort();
    let of = |from: u64, to: u64| {
        let part = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(data.len());
        let inside = relocations.iter().filter(|(at, _)| (from..to).contains(at));
        let targets: Vec<String> =
            inside.map(|(at, target)| format!("{}:{target}", at.saturating_sub(from))).collect();
        format!("{} {}", digest(data.get(part(from)..part(to)).unwrap_or_default()), targets.join(" "))
    };
    let variables = names.variables(section.index());
    if variables.is_empty() {
        return vec![(name.to_owned(), of(0, section.size()))];
    }
    let piece = |variable: &Named<'_>| {
        let end = variable.address.saturating_add(variable.size);
        (format!("{name} {}", plain(variable.name)), of(variable.address, end))
    };
    variables.into_iter().map(piece).collect()
}

/// A local variable's name without the number that tells it from others of the same name.
fn plain(name: &str) -> &str {
    let name = match name.rsplit_once('.') {
        Some((stem, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => stem,
        _ => name,
    };
    UNNAMED.iter().find(|start| name.starts_with(*start)).copied().unwrap_or(name)
}

struct Named<'a> {
    address: u64,
    size: u64,
    name: &'a str,
    is_code: bool,
}

/// The symbols of an object, and its strings.
struct Names<'a> {
    by_section: BTreeMap<usize, Vec<Named<'a>>>,
    by_index: BTreeMap<usize, (&'a str, SymbolKind, Option<SectionIndex>, u64)>,
    strings: BTreeMap<usize, &'a [u8]>,
}

impl<'a> Names<'a> {
    fn of(file: &Elf<'a>) -> Names<'a> {
        let mut names =
            Names { by_section: BTreeMap::new(), by_index: BTreeMap::new(), strings: BTreeMap::new() };
        for symbol in file.symbols() {
            let (name, kind) = (symbol.name().unwrap_or_default(), symbol.kind());
            let (section, address) = (symbol.section_index(), symbol.address());
            names.by_index.insert(symbol.index().0, (name, kind, section, address));
            if let (Some(section), SymbolKind::Data | SymbolKind::Text) = (section, kind) {
                let is_code = kind == SymbolKind::Text;
                let named = Named { address, size: symbol.size(), name, is_code };
                names.by_section.entry(section.0).or_default().push(named);
            }
        }
        for symbols in names.by_section.values_mut() {
            symbols.sort_by_key(|named| (named.address, named.name));
        }
        for section in file.sections() {
            if let SectionFlags::Elf { sh_flags } = section.flags()
                && sh_flags & u64::from(elf::SHF_STRINGS) != 0
            {
                names.strings.insert(section.index().0, section.data().unwrap_or_default());
            }
        }
        names
    }

    fn variables(&self, section: SectionIndex) -> Vec<&Named<'a>> {
        let symbols = self.by_section.get(&section.0).map(Vec::as_slice).unwrap_or_default();
        symbols.iter().filter(|named| !named.is_code && named.size > 0).collect()
    }

    /// What a pointer points to, in words that stay the same where only addresses change.
    fn target(&self, target: RelocationTarget, addend: i64) -> String {
        let RelocationTarget::Symbol(SymbolIndex(index)) = target else { return "?".to_owned() };
        match self.by_index.get(&index) {
            Some((_, SymbolKind::Section, Some(section), _)) => self.place(*section, addend),
            Some((_, SymbolKind::Text, ..)) if addend != 0 => "code".to_owned(),
            Some((name, ..)) => format!("{}+{addend}", plain(name)),
            None => "?".to_owned(),
        }
    }

    /// What lies at `addend` in a section.
    fn place(&self, section: SectionIndex, addend: i64) -> String {
        let at = u64::try_from(addend).unwrap_or_default();
        if let Some(strings) = self.strings.get(&section.0) {
            let text = usize::try_from(at).ok().and_then(|at| strings.get(at..)).unwrap_or_default();
            let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
            return format!("{:?}", String::from_utf8_lossy(text));
        }
        let symbols = self.by_section.get(&section.0).map(Vec::as_slice).unwrap_or_default();
        let before = symbols.iter().rev().find(|named| named.address <= at);
        match before {
            Some(named) if named.is_code && named.address == at => named.name.to_owned(),
            Some(named) if named.is_code => format!("inside {}", named.name),
            Some(named) => format!("{}+{}", plain(named.name), at.saturating_sub(named.address)),
            None => format!("section+{at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An object of the host's compiler, which the tests need as the harness does.
    fn compiled(source: &str) -> Option<BTreeMap<String, String>> {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a.c"), dir.path().join("a.o"));
        std::fs::write(&from, source).unwrap();
        let made = duct::cmd!("gcc", "-O2", "-fno-pic", "-c", &from, "-o", &to).run();
        made.expect("gcc compiles it");
        digests(&std::fs::read(to).unwrap())
    }

    const BEFORE: &str = "int one(int x) { return x; }\nstatic int two(int x) { return x + 2; }\n\
        struct ops { int (*f)(int), (*g)(int); const char *name; };\n\
        const struct ops ops = { one, two, \"name\" };\nint counter = 3;\nstatic int *const where = &counter;\n\
        int *const *get(void) { return &where; }\n";

    fn differing(edit: impl Fn(&str) -> String) -> Vec<String> {
        let (before, after) = (compiled(BEFORE).unwrap(), compiled(&edit(BEFORE)).unwrap());
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
    }

    #[test]
    fn pointer_to_another_function_text_or_variable_is_other_data() {
        assert_eq!(differing(|text| text.replace("{ one, two", "{ two, two")), [".rodata ops"]);
        let renamed = differing(|text| text.replace("\"name\"", "\"other\""));
        assert_eq!(renamed, [".rodata ops", "strings"]);
        assert_eq!(differing(|text| text.replace("counter = 3", "counter = 4")), [".data counter"]);
    }

    #[test]
    fn data_that_only_lies_elsewhere_and_code_that_changes_are_no_other_data() {
        assert_eq!(differing(|text| format!("\n\n{text}")), Vec::<String>::new());
        assert_eq!(differing(|text| text.replace("x + 2", "x * 77 + 2")), Vec::<String>::new());
    }

    #[test]
    fn entry_of_a_table_that_the_linker_puts_together_is_seen_by_its_section() {
        let entry = |section: &str| {
            format!(
                "{BEFORE}static int (*const call)(int) __attribute__((used, section(\"{section}\"))) = one;\n"
            )
        };
        let (one, other) =
            (compiled(&entry(".initcall1.init")).unwrap(), compiled(&entry(".initcall4.init")).unwrap());
        assert_ne!(one, other);
    }

    #[test]
    fn bytes_that_are_no_object_give_nothing() {
        assert_eq!(digests(b"\x7fELF and nothing else"), None);
    }
}
