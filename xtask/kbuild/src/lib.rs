//! Which Kconfig symbols have to be set so that given lines of a kernel tree are compiled.
//!
//! Three sources are read: Kbuild's Makefiles give a file's object and its condition ([`KbuildTree::objects_of`]), the
//! preprocessor's lines give the condition around a line ([`conditions_at`]), and Kconfig says what each symbol needs
//! ([`KbuildTree::solve`]). The caller runs `make olddefconfig` on the answer and asks [`KbuildTree::why_dropped`] about what it lost.
//!
//! Reads files of the tree and nothing else: executes nothing, writes nothing. The tree may be hostile: what is not
//! understood is passed over or kept as an opaque text, loops and depths are bounded, no path
//! leaves the tree, and links to files are not followed.

mod expand;
mod expr;
mod file;
mod includes;
mod kconfig;
mod makefile;
mod objects;
mod preprocessor;
mod solve;
mod sources;
#[cfg(test)]
mod tests;
mod why;

pub use expr::{Expr, Relation, Term, Value};
pub use includes::Includer;
pub use objects::Compiled;
pub use preprocessor::{conditions_at, distinct};
pub use solve::Assignment;
pub use why::Reason;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use failure::{Failure, Result};
use file::TreeFiles;
use includes::Includes;
use kconfig::{Kconfig, KconfigEntry, SymbolKind};
use objects::{Makefiles, ObjectWalk};

/// .c files that are looked at for one that is only included.
const MAX_INCLUDERS: usize = 8;

/// A kernel tree as one architecture sees it. What was read is kept: open it again when the tree has changed.
#[derive(Debug)]
pub struct KbuildTree {
    files: TreeFiles,
    /// The directory below `arch/`.
    srcarch: String,
    kconfig: Kconfig,
    makefiles: Makefiles,
    includes: OnceLock<Includes>,
}

/// A symbol of a Kconfig file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defined {
    pub symbol: String,
    /// What it selects, conditions left aside.
    pub selects: Vec<String>,
    /// Only a `menu`, `if` or `choice` around it was touched.
    pub inherited: bool,
}

impl KbuildTree {
    /// Reads the Kconfig files of `root` for `arch`: `x86` (or `x86_64`, `i386`), `arm64`, `powerpc`, `riscv`, …
    ///
    /// # Errors
    /// When this is not a kernel tree, or not one with this architecture.
    pub fn open(root: &Path, arch: &str) -> Result<KbuildTree> {
        KbuildTree::open_changed(root, BTreeMap::new(), arch)
    }

    /// As [`KbuildTree::open`], with `changed` in the place of what is on disk: contents by path, or nothing at all there.
    ///
    /// # Errors
    /// As [`KbuildTree::open`].
    pub fn open_changed(
        root: &Path,
        changed: BTreeMap<String, Option<Vec<u8>>>,
        arch: &str,
    ) -> Result<KbuildTree> {
        let files = TreeFiles::new(root, changed);
        let (srcarch, arch) = match arch {
            "x86" | "x86_64" => ("x86", "x86_64"),
            "i386" => ("x86", "i386"),
            arch => (arch, arch),
        };
        let no_tree = |why: String| {
            Failure::usage(format!("{}: not a kernel tree that can be read", root.display())).because(why)
        };
        if srcarch.is_empty() || !srcarch.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(no_tree(format!("`{srcarch}` is no name of an architecture")));
        }
        for file in ["Kconfig".to_string(), format!("arch/{srcarch}/Kconfig")] {
            if !files.has(&file) {
                return Err(no_tree(format!("there is no {file}")));
            }
        }
        let variables =
            [("SRCARCH", srcarch.to_string()), ("ARCH", arch.to_string()), ("srctree", ".".to_string())];
        let kconfig = kconfig::read::read(&files, "Kconfig", &variables);
        let srcarch = srcarch.to_string();
        Ok(KbuildTree { files, srcarch, kconfig, makefiles: Makefiles::default(), includes: OnceLock::new() })
    }

    /// The directory below `arch/` that is compiled.
    pub fn arch(&self) -> &str {
        &self.srcarch
    }

    /// The objects that Kbuild makes of a .c or .S file. A .c file that no Makefile names gives the objects of the files that
    /// include it (kernel/sched/ext.c is part of build_policy.o). Empty: this architecture does not build it.
    pub fn objects_of(&self, file: &str) -> Vec<Compiled> {
        let Some(file) = file::inside(file) else { return Vec::new() };
        let walk = ObjectWalk { tree: self };
        if let Some(compiled) = walk.object(&file) {
            return vec![compiled];
        }
        if !file.ends_with(".c") {
            return Vec::new();
        }
        let includers = self.includes().of(&file, MAX_INCLUDERS);
        let compiled = |includer: &Includer| {
            let compiled = walk.object(&includer.file)?;
            let around =
                if includer.through.is_empty() { self.around_include(&includer.file, &file) } else { None };
            let condition = Expr::and([compiled.condition].into_iter().chain(around));
            (condition != Expr::Const(false)).then_some(Compiled { condition, ..compiled })
        };
        includers.iter().filter_map(compiled).collect()
    }

    /// The condition around the line of `includer` that includes `file`.
    fn around_include(&self, includer: &str, file: &str) -> Option<Expr> {
        let text = self.text(includer)?;
        let name = file.rsplit('/').next().unwrap_or(file);
        let is_it = |line: &str| {
            let rest = line.trim_start().strip_prefix('#').map(str::trim_start);
            let named = rest.and_then(|rest| rest.strip_prefix("include"))?.trim();
            let named = named.trim_matches(['"', '<', '>']);
            (named.rsplit('/').next() == Some(name)).then_some(())
        };
        let line = text.lines().position(|line| is_it(line).is_some())? + 1;
        conditions_at(&text, &[line]).into_iter().next().map(|(_, condition)| condition)
    }

    /// The text of a file; `None` if there is none, or it is a link or too large.
    pub fn text(&self, path: &str) -> Option<String> {
        self.files.text(path)
    }

    /// The files in a directory, and the directories in it, by name; no links.
    pub fn listed(&self, folder: &str) -> (Vec<String>, Vec<String>) {
        match file::inside(folder) {
            Some(folder) => (self.files.regular(&folder), self.files.folders(&folder)),
            None => (Vec::new(), Vec::new()),
        }
    }

    /// At most `limit` .c files that include a header (or .c file), directly or through others. Those that do it directly
    /// come first, then the nearest directories. The first call reads the whole tree.
    pub fn includers_of(&self, header: &str, limit: usize) -> Vec<Includer> {
        file::inside(header).map_or(Vec::new(), |header| self.includes().of(&header, limit))
    }

    /// The .c files, of architectures only the tree's, that call one of `functions` by name, but for those in `apart`. Reads the
    /// whole tree.
    pub fn callers_of(&self, functions: &[String], apart: &[&str]) -> Vec<String> {
        sources::calling(&self.files, &self.srcarch, functions, apart)
    }

    /// The .h files, of architectures only the tree's, that define one of `macros` with arguments. Reads the whole tree.
    pub fn headers_defining(&self, macros: &[String]) -> Vec<String> {
        sources::defining(&self.files, &self.srcarch, macros)
    }

    fn includes(&self) -> &Includes {
        self.includes.get_or_init(|| Includes::read(&self.files, &self.srcarch))
    }

    /// The symbols whose entries, or whose enclosing `menu`, `if` or `choice` lines, are among `lines` of a Kconfig file.
    ///
    /// For a patch that drops `select B` from A, ask for `A && !B` in the patched tree: that turns off all that selects B too.
    pub fn defined_in(&self, file: &str, lines: &[usize]) -> Vec<Defined> {
        let touched = |from: usize, to: usize| lines.iter().any(|line| (from..=to).contains(line));
        let mut found: Vec<Defined> = Vec::new();
        let mut push = |entry: &KconfigEntry, inherited| {
            if !found.iter().any(|known| known.symbol == entry.symbol) {
                let selects: BTreeSet<&String> = entry.selects.iter().map(|(symbol, _)| symbol).collect();
                let selects = selects.into_iter().cloned().collect();
                found.push(Defined { symbol: entry.symbol.clone(), selects, inherited });
            }
        };
        for entry in self.kconfig.entries.iter().filter(|entry| entry.place.file == file) {
            if touched(entry.place.line, entry.last_line) {
                push(entry, false);
            }
        }
        for block in self.kconfig.blocks.iter().filter(|block| block.place.file == file) {
            if touched(block.place.line, block.last_line) {
                let inside = self.kconfig.entries.get(block.inside.clone()).unwrap_or_default();
                inside.iter().for_each(|entry| push(entry, true));
            }
        }
        found
    }

    /// The line of a .config that gives `symbol` a value, in the form of its type, with its line end.
    pub fn config_line(&self, symbol: &str, value: &Value) -> String {
        match value {
            Value::No => format!("# CONFIG_{symbol} is not set\n"),
            value => format!("CONFIG_{symbol}={}\n", self.written(symbol, value)),
        }
    }

    /// The value as a .config has it: text of a symbol that is no number in quotes.
    pub fn written(&self, symbol: &str, value: &Value) -> String {
        match value {
            Value::Text(text) if !matches!(self.kconfig.kind(symbol), SymbolKind::Int | SymbolKind::Hex) => {
                let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
                format!("\"{escaped}\"")
            }
            value => value.as_text().to_owned(),
        }
    }

    /// False for a name that this architecture's Kconfig does not define.
    pub fn is_defined(&self, symbol: &str) -> bool {
        self.kconfig.is_defined(symbol)
    }

    /// Those that select `symbol`, conditions left aside.
    pub fn selected_by(&self, symbol: &str) -> Vec<&str> {
        let names: BTreeSet<&str> =
            self.kconfig.selectors(symbol).iter().map(|selector| selector.symbol.as_str()).collect();
        names.into_iter().collect()
    }
}
