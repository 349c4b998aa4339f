//! The plan of a patch that nobody prepared for: which symbols compile its lines, and in which objects they are counted.
//! Reads the tree by way of `kbuild` and gives values; builds, boots and decides nothing.

mod callers;
mod maintainers;
pub mod mutants;
mod parameters;
pub mod selftests;
mod suites;
mod taken;
mod turned_off;

use std::collections::{BTreeMap, BTreeSet};

use failure::Result;
use kbuild::{Assignment, Compiled, Expr, KbuildTree, Reason, Value};

use crate::observe::{ChangedHunk, Side};

/// Configurations of one patch: both arms of an `#if`, as a rule.
const VARIANTS_MAX: usize = 3;

/// Solutions that are tried after the first one lost symbols.
const SECOND_TRIES: usize = 2;

/// PatchedFiles that are looked at for one that compiles a header, and those of them that are taken.
const INCLUDERS_LOOKED_AT: usize = 40;
const INCLUDERS_TAKEN: usize = 2;

/// One configuration, and what is counted in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// What has to hold in it.
    pub condition: Expr,
    /// The same without the suites.
    pub needs: Expr,
    /// Symbols without `CONFIG_` and their values as a `.config` has them, beside what the variant has anyway.
    pub symbols: BTreeMap<String, String>,
    /// Objects that hold changed lines.
    pub counted: BTreeSet<String>,
    /// KUnit suites that it has, the nearest to the changed files first.
    pub suites: Vec<String>,
}

impl Default for Derived {
    fn default() -> Derived {
        let (symbols, counted, suites) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        Derived { condition: Expr::Const(true), needs: Expr::Const(true), symbols, counted, suites }
    }
}

/// What was derived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Derivation {
    /// At least one.
    pub variants: Vec<Derived>,
    /// Words of the kernel's command line that switch on what is changed.
    pub arguments: Vec<String>,
    /// Files that call what is changed, where they are few.
    pub callers: Vec<String>,
    /// Changed files of which something cannot be compiled on this architecture.
    pub not_here: BTreeSet<String>,
    /// In sentences, what cannot be compiled here and why.
    pub notes: Vec<String>,
}

impl Derivation {
    fn is_not_here(&mut self, path: &str, note: String) {
        self.not_here.insert(path.to_owned());
        self.notes.push(note);
    }

    /// Whether anything of the patch is compiled.
    pub fn compiles_anything(&self) -> bool {
        self.variants
            .iter()
            .any(|derived| derived.condition != Expr::Const(true) || !derived.counted.is_empty())
    }
}

/// What has to hold for some changed lines to be compiled.
struct Want {
    what: String,
    condition: Expr,
    counted: BTreeSet<String>,
}

/// The files as they are, and as they are with the patch.
pub struct PatchedFiles<'a> {
    pub patched: &'a dyn Fn(&str) -> Option<String>,
}

/// Finds the configurations that compile `hunks`; `given` is the configuration to start from.
pub fn derive(
    tree: &KbuildTree,
    files: &PatchedFiles<'_>,
    hunks: &[ChangedHunk],
    given: &dyn Fn(&str) -> Value,
) -> Derivation {
    let mut derivation = Derivation::default();
    let mut wants = Vec::new();
    for path in paths_of(hunks) {
        let of_path: Vec<&ChangedHunk> = hunks.iter().filter(|hunk| hunk.path == path).collect();
        match kind_of(path) {
            FileKind::Source => wants.extend(of_source(tree, files, path, &of_path, &mut derivation)),
            FileKind::Header => wants.extend(of_header(tree, files, path, &of_path, given, &mut derivation)),
            FileKind::Kconfig => wants.extend(of_kconfig(tree, path, &of_path)),
            FileKind::Makefile => wants.extend(of_makefile(tree, path, &of_path)),
            FileKind::Other => {}
        }
    }
    let mut groups = group(tree, wants, given, &mut derivation);
    if groups.len() < VARIANTS_MAX {
        groups.extend(without(tree, files, hunks, &groups, given));
    }
    let suites = suites::find(tree, files, &paths_of(hunks));
    taken::take(tree, suites, &mut groups, given, &mut derivation.notes);
    derivation.arguments = parameters::find(files, &paths_of(hunks));
    derivation.callers = callers::find(tree, files, hunks, given);
    derivation.variants = groups.into_iter().map(|group| group.derived).collect();
    derivation
}

fn paths_of(hunks: &[ChangedHunk]) -> Vec<&str> {
    let mut paths: Vec<&str> = hunks.iter().map(|hunk| hunk.path.as_str()).collect();
    paths.dedup();
    paths
}

enum FileKind {
    Source,
    Header,
    Kconfig,
    Makefile,
    Other,
}

fn kind_of(path: &str) -> FileKind {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name {
        _ if name.ends_with(".c") || name.ends_with(".S") => FileKind::Source,
        _ if name.ends_with(".h") => FileKind::Header,
        _ if name.starts_with("Kconfig") => FileKind::Kconfig,
        "Makefile" | "Kbuild" => FileKind::Makefile,
        _ => FileKind::Other,
    }
}

fn of_source(
    tree: &KbuildTree,
    files: &PatchedFiles<'_>,
    path: &str,
    hunks: &[&ChangedHunk],
    derivation: &mut Derivation,
) -> Vec<Want> {
    let objects = tree.objects_of(path);
    let Some(first) = objects.first() else {
        let note = format!("{path} is not compiled on {}: no Makefile names it", tree.arch());
        derivation.is_not_here(path, note);
        return Vec::new();
    };
    let counted = BTreeSet::from([first.object.clone()]);
    let want = |condition: Expr| Want {
        what: path.to_owned(),
        condition: Expr::and([first.condition.clone(), condition]),
        counted: counted.clone(),
    };
    conditions(files, path, hunks).into_iter().map(want).collect()
}

/// The different conditions around the changed lines.
fn conditions(files: &PatchedFiles<'_>, path: &str, hunks: &[&ChangedHunk]) -> Vec<Expr> {
    let text = (files.patched)(path).unwrap_or_default();
    let found = kbuild::distinct(&kbuild::conditions_at(&text, &lines_of(hunks)));
    // Lines outside of every `#if` are compiled with those inside.
    let inside: Vec<Expr> =
        found.iter().filter(|condition| **condition != Expr::Const(true)).cloned().collect();
    if inside.is_empty() { vec![Expr::Const(true)] } else { inside }
}

/// In the patched file: what is added, and where something was taken away.
fn lines_of(hunks: &[&ChangedHunk]) -> Vec<usize> {
    let mut lines = Vec::new();
    for hunk in hunks {
        let mut at = 1;
        for line in &hunk.lines {
            match line.side {
                Side::Added => lines.push(line.number as usize),
                Side::Removed => lines.push(at),
                Side::Context => at = line.number as usize,
            }
        }
    }
    lines.sort_unstable();
    lines.dedup();
    lines
}

/// A header is compiled in what includes it: those that are compiled anyway come first.
fn of_header(
    tree: &KbuildTree,
    files: &PatchedFiles<'_>,
    path: &str,
    hunks: &[&ChangedHunk],
    given: &dyn Fn(&str) -> Value,
    derivation: &mut Derivation,
) -> Vec<Want> {
    let mut wants = Vec::new();
    let users = users_of_dropped_names(tree, path, hunks);
    for condition in conditions(files, path, hunks) {
        let mut ways: Vec<(usize, Want)> = Vec::new();
        for includer in tree.includers_of(path, INCLUDERS_LOOKED_AT) {
            let Some(compiled) = tree.objects_of(&includer.file).into_iter().next() else { continue };
            let Some(way) = way(tree, path, &condition, compiled, given) else { continue };
            ways.push(way);
            let cheap = ways.iter().filter(|(cost, _)| *cost == 0).count();
            if cheap >= INCLUDERS_TAKEN {
                break;
            }
        }
        ways.sort_by_key(|(cost, _)| *cost);
        let best = ways.first().map(|(cost, _)| *cost);
        if best.is_none() {
            let what = "nothing that includes it can be compiled together with its changed lines";
            derivation.is_not_here(path, format!("{path}: on {}, {what}", tree.arch()));
        }
        let taken = if best == Some(0) { INCLUDERS_TAKEN } else { 1 };
        wants.extend(ways.into_iter().take(taken).map(|(_, want)| want));
        let used = users.iter().filter_map(|user| way(tree, path, &condition, user.clone(), given));
        wants.extend(used.min_by_key(|(cost, _)| *cost).map(|(_, want)| want));
    }
    wants
}

/// What compiles lines of a header under `condition` by way of an object, and how many symbols that takes.
fn way(
    tree: &KbuildTree,
    path: &str,
    condition: &Expr,
    compiled: Compiled,
    given: &dyn Fn(&str) -> Value,
) -> Option<(usize, Want)> {
    let whole = Expr::and([condition.clone(), compiled.condition]);
    let cost = tree.solve(&whole, given).ok()?.set.len();
    let counted = BTreeSet::from([compiled.object]);
    Some((cost, Want { what: path.to_owned(), condition: whole, counted }))
}

/// The objects in which a name is used that a header no longer defines.
fn users_of_dropped_names(tree: &KbuildTree, path: &str, hunks: &[&ChangedHunk]) -> Vec<Compiled> {
    let names = dropped_names(hunks);
    if names.is_empty() {
        return Vec::new();
    }
    let users = tree.callers_of(&names, &[path]);
    users.iter().take(INCLUDERS_LOOKED_AT).flat_map(|user| tree.objects_of(user)).collect()
}

/// Names with arguments that stand in what is taken away, and not in what is added.
fn dropped_names(hunks: &[&ChangedHunk]) -> Vec<String> {
    let lines = hunks.iter().flat_map(|hunk| &hunk.lines);
    let (mut removed, mut added) = (BTreeSet::new(), BTreeSet::new());
    for line in lines {
        match line.side {
            Side::Removed => removed.extend(called(&line.text)),
            Side::Added => added.extend(called(&line.text)),
            Side::Context => {}
        }
    }
    removed.difference(&added).cloned().collect()
}

/// The names in a line of C that a parenthesis follows.
fn called(line: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in line.match_indices('(') {
        let before = line[..at].trim_end();
        let start = before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
        let name = &before[start..];
        if name.len() > 2 && !["if", "for", "while", "switch", "return", "sizeof"].contains(&name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// A symbol whose entry changes is turned on, without what it no longer selects.
fn of_kconfig(tree: &KbuildTree, path: &str, hunks: &[&ChangedHunk]) -> Vec<Want> {
    let removed = hunks.iter().flat_map(|hunk| &hunk.lines).filter(|line| line.side == Side::Removed);
    let dropped: Vec<String> =
        removed.filter_map(|line| line.text.trim().strip_prefix("select ")).filter_map(first_word).collect();
    let lines = lines_of(hunks);
    let changed = tree.defined_in(path, &lines).into_iter().filter(|defined| !defined.inherited);
    let want = |defined: kbuild::Defined| {
        let without = dropped.iter().map(|symbol| Expr::not(Expr::symbol(symbol.clone())));
        Want {
            what: path.to_owned(),
            condition: Expr::and(std::iter::once(Expr::symbol(defined.symbol)).chain(without)),
            counted: BTreeSet::new(),
        }
    };
    changed.map(want).collect()
}

/// The objects that the changed lines name are compiled.
fn of_makefile(tree: &KbuildTree, path: &str, hunks: &[&ChangedHunk]) -> Vec<Want> {
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    let changed = hunks.iter().flat_map(|hunk| &hunk.lines).filter(|line| line.side != Side::Context);
    let objects =
        changed.flat_map(|line| line.text.split_whitespace()).filter_map(|word| word.strip_suffix(".o"));
    let names: BTreeSet<String> = objects.map(|name| format!("{dir}/{name}.c")).collect();
    let compiled = names.iter().filter_map(|file| tree.objects_of(file).into_iter().next());
    let want = |compiled: Compiled| Want {
        what: path.to_owned(),
        condition: compiled.condition,
        counted: BTreeSet::new(),
    };
    compiled.map(want).collect()
}

fn first_word(text: &str) -> Option<String> {
    text.split_whitespace().next().map(str::to_owned)
}

/// One configuration while it is put together.
#[derive(Default)]
struct JoinedWants {
    derived: Derived,
}

/// Puts into one configuration what can be in one. At least one comes of it.
fn group(
    tree: &KbuildTree,
    wants: Vec<Want>,
    given: &dyn Fn(&str) -> Value,
    derivation: &mut Derivation,
) -> Vec<JoinedWants> {
    let mut groups = vec![JoinedWants::default()];
    for want in wants {
        if groups.iter_mut().any(|group| group.join(tree, &want, given)) {
            continue;
        }
        let mut alone = JoinedWants::default();
        if alone.join(tree, &want, given) {
            match groups.len() < VARIANTS_MAX {
                true => groups.push(alone),
                false => {
                    derivation
                        .notes
                        .push(format!("{}: not compiled in all its branches: too many", want.what));
                }
            }
        } else if let Err(reason) = tree.solve(&want.condition, given) {
            let note = format!("{}: cannot be compiled on {}: {reason}", want.what, tree.arch());
            derivation.is_not_here(&want.what, note);
        }
    }
    groups
}

/// One configuration more, for what is compiled only where something is off.
fn without(
    tree: &KbuildTree,
    files: &PatchedFiles<'_>,
    hunks: &[ChangedHunk],
    groups: &[JoinedWants],
    given: &dyn Fn(&str) -> Value,
) -> Option<JoinedWants> {
    let mut wants = turned_off::wants(tree, files, hunks, given);
    wants.retain(|want| !groups.iter().any(|group| group.derived.has(&want.condition, given)));
    let mut alone = JoinedWants::default();
    let joined = wants.iter().filter(|want| alone.join(tree, want, given)).count();
    (joined > 0).then_some(alone)
}

impl Derived {
    /// The same from another configuration to start from, without suites; None: it cannot be had there.
    pub fn in_another(&self, tree: &KbuildTree, given: &dyn Fn(&str) -> Value) -> Option<Derived> {
        let symbols = written(tree, tree.solve(&self.needs, given).ok()?);
        let (needs, counted) = (self.needs.clone(), self.counted.clone());
        Some(Derived { condition: needs.clone(), needs, symbols, counted, suites: Vec::new() })
    }

    /// Whether `condition` holds in this configuration anyway.
    fn has(&self, condition: &Expr, given: &dyn Fn(&str) -> Value) -> bool {
        let value = |symbol: &str| match self.symbols.get(symbol) {
            Some(written) if written == "y" => Value::Yes,
            Some(written) if written == "n" => Value::No,
            Some(written) => Value::Text(written.clone()),
            None => given(symbol),
        };
        condition.holds(&value) == Some(true)
    }
}

impl JoinedWants {
    /// Whether `want` can be had together with what is there; then it is there.
    fn join(&mut self, tree: &KbuildTree, want: &Want, given: &dyn Fn(&str) -> Value) -> bool {
        let Ok(symbols) = self.with(tree, &want.condition, given) else { return false };
        self.add_condition(&want.condition);
        self.derived.needs = self.derived.condition.clone();
        self.derived.symbols = symbols;
        self.derived.counted.extend(want.counted.iter().cloned());
        true
    }

    fn add_condition(&mut self, condition: &Expr) {
        self.derived.condition = Expr::and([self.derived.condition.clone(), condition.clone()]);
    }

    /// The symbols that give `condition` as well.
    fn with(
        &self,
        tree: &KbuildTree,
        condition: &Expr,
        given: &dyn Fn(&str) -> Value,
    ) -> std::result::Result<BTreeMap<String, String>, Reason> {
        let all = Expr::and([self.derived.condition.clone(), condition.clone()]);
        Ok(written(tree, tree.solve(&all, given)?))
    }
}

/// The values as a `.config` has them.
fn written(tree: &KbuildTree, assignment: Assignment) -> BTreeMap<String, String> {
    let values = assignment.set.into_iter();
    values.map(|(symbol, value)| (symbol.clone(), tree.written(&symbol, &value))).collect()
}

/// Puts right what Kconfig made of the symbols that were derived. `configure` says what that was; None where Kconfig fails. What
/// cannot be had is not asked for, and said.
///
/// # Errors
/// Those of `configure`.
pub fn settle(
    tree: &KbuildTree,
    derived: &mut Derived,
    mut configure: impl FnMut(&BTreeMap<String, String>) -> Result<Option<BTreeMap<String, Value>>>,
) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for attempt in 0..=SECOND_TRIES {
        if derived.symbols.is_empty() {
            break;
        }
        let Some(config) = configure(&derived.symbols)? else { break };
        let found = |symbol: &str| config.get(symbol).cloned().unwrap_or(Value::No);
        let is_lost = |symbol: &str, value: &str| tree.written(symbol, &found(symbol)) != value;
        let (lost, kept): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut derived.symbols)
            .into_iter()
            .partition(|(symbol, value)| is_lost(symbol, value));
        derived.symbols = kept;
        if lost.is_empty() {
            break;
        }
        let more = tree.solve(&derived.condition, &found).map(|more| written(tree, more));
        match more {
            // What is asked for holds without them.
            Ok(more) if more.is_empty() => {}
            Ok(more)
                if attempt < SECOND_TRIES && more.iter().any(|(symbol, _)| !lost.contains_key(symbol)) =>
            {
                derived.symbols.extend(more);
                continue;
            }
            _ => notes.extend(lost.keys().map(|symbol| tree.why_dropped(symbol, &found))),
        }
        break;
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::observe::ChangedLine;

    /// A tree of four files, two of which are compiled where a symbol says so.
    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "Kconfig",
            "config CORE\n\tbool \"core\"\n\nsource \"arch/x86/Kconfig\"\nsource \"drivers/Kconfig\"\n",
        );
        write("arch/x86/Kconfig", "config X86\n\tdef_bool y\n");
        write(
            "drivers/Kconfig",
            "config GADGET\n\tbool \"gadget\"\n\tdepends on CORE\n\nconfig DEBUG_GADGET\n\tbool \"debug\"\n\tdepends on \
             GADGET\n\nconfig ELSEWHERE\n\tbool \"another machine\"\n\tdepends on ARM64\n",
        );
        write("Kbuild", "obj-y += drivers/\n");
        write(
            "drivers/Makefile",
            "obj-$(CONFIG_GADGET) += gadget.o\nobj-$(CONFIG_ELSEWHERE) += elsewhere.o\n",
        );
        write("drivers/gadget.c", SOURCE);
        write("drivers/elsewhere.c", "int elsewhere;\n");
        write("drivers/gadget.h", "int gadget(void);\n");
        dir
    }

    const SOURCE: &str = "#include \"gadget.h\"\nint gadget(void)\n{\n#ifdef CONFIG_DEBUG_GADGET\n\tcheck();\n#else\n\t\
                          skip();\n#endif\n\treturn 0;\n}\n";

    fn hunk(path: &str, lines: &[u32]) -> ChangedHunk {
        let line = |number: &u32| ChangedLine {
            side: Side::Added,
            number: *number,
            text: String::new(),
            statement: Some((*number, *number)),
            within: None,
        };
        let lines = lines.iter().map(line).collect();
        ChangedHunk {
            number: 1,
            path: path.to_owned(),
            lines,
            beside: Vec::new(),
            functions: Vec::new(),
            uncounted: Vec::new(),
        }
    }

    /// The tree, with a suite next to the file, one that needs more, and one that turns something off.
    fn tree_with_suites() -> tempfile::TempDir {
        let dir = tree();
        let append = |path: &str, text: &str| {
            let path = dir.path().join(path);
            let before = std::fs::read_to_string(&path).unwrap_or_default();
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, before + text).unwrap();
        };
        append(
            "drivers/Makefile",
            "obj-$(CONFIG_GADGET_TEST) += gadget_test.o\nobj-$(CONFIG_CHECK_TEST) += check_test.o\nobj-$(CONFIG_PLAIN_TEST) += \
             plain_test.o\n",
        );
        append(
            "drivers/Kconfig",
            "\nconfig GADGET_TEST\n\tbool \"test\"\n\tdepends on GADGET\n\nconfig CHECK_TEST\n\tbool \"checks\"\n\tdepends on \
             CHECK_ALL\n\nconfig CHECK_ALL\n\tbool \"flags\"\n\nconfig PLAIN_TEST\n\tbool \"plain\"\n\tdepends on !DEBUG_GADGET\n",
        );
        append("scripts/Makefile.flags", "flags-$(CONFIG_CHECK_ALL) += -fcheck\n");
        for name in ["gadget", "check", "plain"] {
            let text = format!(
                "static struct kunit_suite s = {{\n\t.name = \"{name}\",\n}};\nkunit_test_suite(s);\n"
            );
            append(&format!("drivers/{name}_test.c"), &text);
        }
        dir
    }

    fn derived(dir: &Path, hunks: &[ChangedHunk], on: &[&str]) -> Derivation {
        let tree = KbuildTree::open(dir, "x86_64").unwrap();
        let read = |path: &str| std::fs::read_to_string(dir.join(path)).ok();
        let given = |symbol: &str| if on.contains(&symbol) { Value::Yes } else { Value::No };
        derive(&tree, &PatchedFiles { patched: &read }, hunks, &given)
    }

    #[test]
    fn symbols_of_the_object_and_of_the_branch_are_set_and_the_object_is_counted() {
        let dir = tree();
        let found = derived(dir.path(), &[hunk("drivers/gadget.c", &[5])], &["X86"]);
        assert_eq!(found.variants.len(), 1);
        let symbols: Vec<_> =
            found.variants[0].symbols.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(symbols, ["CORE=y", "DEBUG_GADGET=y", "GADGET=y"]);
        assert_eq!(Vec::from_iter(&found.variants[0].counted), ["drivers/gadget.o"]);
    }

    #[test]
    fn both_branches_give_two_variants_and_what_is_set_already_gives_no_symbol() {
        let dir = tree();
        let on = ["X86", "CORE", "GADGET", "DEBUG_GADGET"];
        let found = derived(dir.path(), &[hunk("drivers/gadget.c", &[5, 7])], &on);
        let symbols: Vec<_> = found.variants.iter().map(|variant| format!("{:?}", variant.symbols)).collect();
        assert_eq!(symbols, ["{}", "{\"DEBUG_GADGET\": \"n\"}"]);
    }

    #[test]
    fn header_is_compiled_by_way_of_what_includes_it() {
        let dir = tree();
        let found = derived(dir.path(), &[hunk("drivers/gadget.h", &[1])], &["X86", "CORE", "GADGET"]);
        assert_eq!(Vec::from_iter(&found.variants[0].counted), ["drivers/gadget.o"]);
        assert!(found.notes.is_empty(), "{found:?}");
    }

    #[test]
    fn name_that_a_header_drops_is_compiled_where_it_is_used() {
        let dir = tree();
        let append = |path: &str, text: &str| {
            let before = std::fs::read_to_string(dir.path().join(path)).unwrap_or_default();
            std::fs::write(dir.path().join(path), before + text).unwrap();
        };
        append("drivers/Makefile", "obj-$(CONFIG_USER) += user.o\n");
        append("drivers/Kconfig", "\nconfig USER\n\tbool \"user\"\n");
        append("drivers/user.c", "int user(void)\n{\n\treturn old_gadget(1);\n}\n");
        let mut changed = hunk("drivers/gadget.h", &[1]);
        changed.lines[0].text = "int gadget(void);".to_owned();
        let removed = ChangedLine {
            side: Side::Removed,
            text: "int old_gadget (int);".to_owned(),
            ..changed.lines[0].clone()
        };
        changed.lines.insert(0, removed);
        let found = derived(dir.path(), &[changed], &["X86", "CORE", "GADGET"]);
        assert_eq!(Vec::from_iter(&found.variants[0].counted), ["drivers/gadget.o", "drivers/user.o"]);
        assert_eq!(found.variants[0].symbols["USER"], "y");
    }

    #[test]
    fn what_shows_only_with_something_off_has_a_variant_of_its_own() {
        let dir = tree();
        let append = |path: &str, text: &str| {
            let before = std::fs::read_to_string(dir.path().join(path)).unwrap_or_default();
            std::fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            std::fs::write(dir.path().join(path), before + text).unwrap();
        };
        append("drivers/Kconfig", "\nconfig CHECKS\n\tbool \"checks\"\n\nconfig OTHER\n\tbool \"other\"\n");
        append("drivers/Makefile", "obj-$(CONFIG_OTHER) += other.o\n");
        append("drivers/other.c", "int other;\n");
        append(
            "include/checks.h",
            "#ifdef CONFIG_CHECKS\n#define CHECK(a) do_check(a)\n#else\n#define CHECK(a) do { } while (0)\n#endif\n",
        );
        let on = ["X86", "CORE", "GADGET", "DEBUG_GADGET", "CHECKS", "OTHER"];
        let symbols = |hunks: &[ChangedHunk]| -> Vec<String> {
            let found = derived(dir.path(), hunks, &on);
            found.variants.iter().map(|variant| format!("{:?}", variant.symbols)).collect()
        };
        let with = |path: &str, text: &str| {
            let mut hunk = hunk(path, &[5]);
            hunk.lines[0].text = text.to_owned();
            hunk
        };
        assert_eq!(
            symbols(&[with("drivers/gadget.c", "CHECK(gadget_set(1));")]),
            ["{}", "{\"CHECKS\": \"n\"}"]
        );
        assert_eq!(symbols(&[with("drivers/gadget.c", "CHECK(gadget_is_set(1));")]), ["{}"]);
        let both = |text: &str| [with("drivers/gadget.c", text), with("drivers/other.c", "int shared(int);")];
        assert_eq!(symbols(&both("\tshared(1);")), ["{}", "{\"OTHER\": \"n\"}"]);
        assert_eq!(symbols(&both("\town(1);")), ["{}"]);
    }

    #[test]
    fn suites_are_taken_that_cost_little_and_change_nothing() {
        let dir = tree_with_suites();
        let found = derived(dir.path(), &[hunk("drivers/gadget.c", &[5])], &["X86", "CORE"]);
        assert_eq!(found.variants[0].suites, ["gadget"]);
        let symbols: Vec<&String> = found.variants[0].symbols.keys().collect();
        assert_eq!(symbols, ["DEBUG_GADGET", "GADGET", "GADGET_TEST"]);
        let notes = found.notes.join("\n");
        assert!(
            notes.contains("KUnit suites left out: check: CONFIG_CHECK_ALL would change every object"),
            "{notes}"
        );
        assert!(notes.contains("KUnit suites left out: plain: "), "{notes}");
    }

    #[test]
    fn suite_that_only_one_of_two_variants_can_have_is_in_that_one() {
        let dir = tree_with_suites();
        let on = ["X86", "CORE", "GADGET", "DEBUG_GADGET"];
        let found = derived(dir.path(), &[hunk("drivers/gadget.c", &[5, 7])], &on);
        let suites: Vec<_> = found.variants.iter().map(|variant| variant.suites.join(" ")).collect();
        assert_eq!(suites, ["gadget", "gadget plain"]);
    }

    #[test]
    fn what_cannot_be_compiled_here_is_said_with_the_reason() {
        let dir = tree();
        let found = derived(dir.path(), &[hunk("drivers/elsewhere.c", &[1])], &["X86"]);
        assert!(found.notes[0].contains("drivers/elsewhere.c: cannot be compiled on x86"), "{found:?}");
        assert!(found.notes[0].contains("ARM64"), "{found:?}");
        assert!(found.not_here.contains("drivers/elsewhere.c") && !found.compiles_anything(), "{found:?}");
    }
}
