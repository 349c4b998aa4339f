//! The small tree of testdata, from file to assignment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use crate::*;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/tree")
}

fn tree() -> KbuildTree {
    KbuildTree::open(&root(), "x86").unwrap()
}

fn yes(symbols: &[&str]) -> impl Fn(&str) -> Value {
    let symbols: Vec<String> = symbols.iter().map(ToString::to_string).collect();
    move |name| match name {
        "NR_CPUS" => Value::Text("64".into()),
        name if symbols.iter().any(|symbol| symbol == name) => Value::Yes,
        _ => Value::No,
    }
}

/// `A=y B=n`.
fn shown(values: &BTreeMap<String, Value>) -> String {
    values.iter().map(|(name, value)| format!("{name}={}", value.as_text())).collect::<Vec<_>>().join(" ")
}

fn solve(want: Expr, given: &[&str]) -> String {
    match tree().solve(&want, &yes(given)) {
        Ok(assignment) => shown(&assignment.set),
        Err(reason) => reason.text,
    }
}

fn on(symbol: &str) -> Expr {
    Expr::symbol(symbol)
}

fn off(symbol: &str) -> Expr {
    Expr::not(on(symbol))
}

#[test]
fn only_kernel_trees_are_opened() {
    assert!(KbuildTree::open(&root(), "sparc").is_err());
    assert!(KbuildTree::open(&root(), "../x86").is_err());
    assert!(KbuildTree::open(&root().join("drivers"), "x86").is_err());
}

#[test]
fn conditions_of_objects() {
    let tree = tree();
    for (file, condition) in [
        ("drivers/gadget/main.c", "BUS && GADGET"),
        ("drivers/gadget/core.c", "BUS && GADGET"),
        ("drivers/gadget/fast.c", "BUS && GADGET_FAST && GADGET"),
        ("drivers/gadget/slow.c", "BUS && GADGET_SLOW && GADGET_BASE && GADGET"),
        ("drivers/gadget/alone.c", "BUS && !GADGET_SLOW && GADGET_ALONE && GADGET"),
        ("drivers/gadget/neither.c", "BUS && !(GADGET_SLOW || GADGET_ALONE) && GADGET"),
        ("drivers/gadget/parts/wheel.c", "BUS && GADGET"),
        ("drivers/gadget/other.c", "BUS && OTHER_GADGET"),
        (
            "drivers/gadget/mode.c",
            "BUS && ((MODE_A && MODE_B) || (MODE_A && !MODE_B) || (!MODE_A && MODE_B))",
        ),
        ("drivers/gadget/both.c", "BUS && GADGET_FAST && EXPERT"),
        ("drivers/gadget/ten.c", "BUS && GADGET_LIMIT = 10"),
        ("drivers/gadget/cc.c", "BUS && ifeq ($(call cc-option-yn,-mgadget),y)"),
        ("drivers/gadget/two.c", "BUS && GADGET_LIB"),
        ("drivers/gadget/v/reg-2.c", "BUS && GADGET"),
        ("drivers/gadget/sub/x.c", "BUS && EXPERT"),
        ("drivers/gadget/parts/sibling/far.c", "BUS && GADGET && MODE_A"),
        ("drivers/gadget/more.c", "BUS && X86"),
        ("arch/x86/kernel/start_64.S", "64BIT"),
        ("arch/x86/gadget/pci.c", "GADGET"),
        ("arch/x86/lib/copy.S", "y"),
        ("arch/x86/more/x.c", "y"),
        ("arch/x86/most/x.c", "y"),
        ("lib/sort.c", "y"),
    ] {
        let found = tree.objects_of(file);
        assert_eq!(found.len(), 1, "{file}: {found:?}");
        assert_eq!(found[0].condition.to_string(), condition, "{file}");
        assert_eq!(found[0].source, file);
    }
}

#[test]
fn files_that_are_not_built() {
    for file in ["drivers/gadget/never.c", "drivers/gadget/recipe.c", "nothing.c", "../x.c", "arch/arm64/x.c"]
    {
        assert_eq!(tree().objects_of(file), [], "{file}");
    }
}

/// A tree of a Kconfig and a Makefile.
fn made(kconfig: &str, makefile: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("arch/x86")).unwrap();
    for (file, text) in [("Kconfig", kconfig), ("arch/x86/Kconfig", ""), ("Makefile", makefile)] {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    folder
}

#[test]
fn variables_that_grow_without_end_are_cut_off() {
    let level = |n: usize| format!("v{n} := {}\n", format!("$(v{})", n + 1).repeat(20));
    let words = |n: usize| format!("w{n} := {}\n", format!("$(w{}) ", n + 1).repeat(20));
    let text: String = (0..12).map(|n| level(n) + &words(n)).collect();
    let folder = made("", &format!("{text}v12 := a.o\nw12 := a.o b.o\nobj-y += $(v0) $(w0)\n"));
    KbuildTree::open(folder.path(), "x86").unwrap().objects_of("a.c");
}

#[test]
fn an_included_c_file_is_part_of_its_includer() {
    let found = tree().objects_of("drivers/gadget/body.c");
    assert_eq!(found[0].object, "drivers/gadget/main.o");
    assert_eq!(found[0].source, "drivers/gadget/main.c");
}

#[test]
fn an_included_c_file_has_the_condition_around_its_include() {
    let folder = made("", "obj-y += a.o\n");
    std::fs::write(folder.path().join("a.c"), "#if IS_ENABLED(CONFIG_A)\n# include \"b.c\"\n#endif\n")
        .unwrap();
    std::fs::write(folder.path().join("b.c"), "").unwrap();
    let found = KbuildTree::open(folder.path(), "x86").unwrap().objects_of("b.c");
    assert_eq!((found[0].object.as_str(), found[0].condition.to_string()), ("a.o", "A".to_owned()));
}

#[test]
fn includers_nearest_first() {
    let files = |header: &str| {
        tree().includers_of(header, 10).into_iter().map(|found| found.file).collect::<Vec<_>>()
    };
    assert_eq!(
        files("include/linux/gadget.h"),
        ["drivers/gadget/main.c", "drivers/gadget/fast.c", "drivers/gadget/parts/wheel.c"]
    );
    assert_eq!(files("arch/x86/include/asm/gadget.h"), ["lib/sort.c"]);
    assert_eq!(files("drivers/gadget/local.h"), ["drivers/gadget/fast.c", "drivers/gadget/parts/wheel.c"]);
    let deep = tree().includers_of("include/linux/deep.h", 1);
    assert_eq!(deep[0].through, ["include/linux/gadget.h"]);
}

#[test]
fn dependencies_are_set_too() {
    assert_eq!(solve(on("GADGET_FAST"), &["X86"]), "BUS=y GADGET=y GADGET_FAST=y");
    assert_eq!(solve(on("GADGET_FAST"), &["X86", "BUS", "GADGET"]), "GADGET_FAST=y");
    assert_eq!(solve(on("GADGET_HIDDEN"), &["BUS"]), "GADGET_HIDDEN=y");
    assert_eq!(solve(on("GADGET_SLOW"), &["BUS", "GADGET"]), "GADGET_BASE=y GADGET_SLOW=y");
}

#[test]
fn promptless_symbols_are_selected() {
    assert_eq!(solve(on("GADGET_LIB"), &["BUS", "X86"]), "GADGET=y");
    let assignment = tree().solve(&on("GADGET_LIB"), &yes(&["BUS"])).unwrap();
    assert_eq!(shown(&assignment.follows), "GADGET_LIB=y");
    assert_eq!(solve(on("X86"), &[]), "");
    assert_eq!(solve(on("GADGET_IMPLIED"), &["BUS", "MODE_A"]), "GADGET_ALL=y");
}

#[test]
fn the_cheaper_alternative_is_taken() {
    assert_eq!(solve(on("OTHER_GADGET"), &["BUS"]), "EXPERT=y OTHER_GADGET=y");
    assert_eq!(solve(on("GADGET_TOASTER_TEST"), &["BUS"]), "COMPILE_TEST=y GADGET_TOASTER_TEST=y");
    assert_eq!(solve(Expr::or([on("GADGET_FAST"), on("EXPERT")]), &[]), "EXPERT=y");
}

#[test]
fn negative_wants_turn_off_what_selects() {
    assert_eq!(solve(off("GADGET_LIB"), &["BUS", "GADGET", "GADGET_LIB"]), "GADGET=n");
    assert_eq!(
        solve(on("GADGET_ALONE"), &["BUS", "X86", "GADGET", "GADGET_FAST"]),
        "GADGET_ALONE=y GADGET_FAST=n"
    );
    let reason = solve(off("X86"), &["X86"]);
    assert!(reason.contains("CONFIG_X86 is on by default (arch/x86/Kconfig:1)"), "{reason}");
}

#[test]
fn what_needs_off_goes_with_on() {
    let given = ["BUS", "X86", "GADGET", "GADGET_ALONE"];
    let assignment = tree().solve(&on("GADGET_FAST"), &yes(&given)).unwrap();
    assert_eq!(shown(&assignment.set), "GADGET_FAST=y");
    assert_eq!(shown(&assignment.follows), "GADGET_ALONE=n");
    let reason = solve(Expr::and([on("GADGET_ALONE"), on("GADGET_FAST")]), &given);
    assert!(
        reason.contains("CONFIG_GADGET_ALONE is needed, and goes when CONFIG_GADGET_FAST is on"),
        "{reason}"
    );
}

#[test]
fn symbols_that_are_alike_because_both_are_off_have_to_be_alike_in_the_end() {
    assert_eq!(solve(on("GADGET_WHOLE"), &["BUS"]), "GADGET=y GADGET_PART=y GADGET_WHOLE=y");
    assert_eq!(solve(on("GADGET_WHOLE"), &["BUS", "GADGET"]), "GADGET_PART=y GADGET_WHOLE=y");
}

#[test]
fn choices_have_one_member() {
    assert_eq!(solve(on("GADGET_IN_B"), &["BUS", "MODE_A"]), "GADGET=y GADGET_IN_B=y MODE_A=n MODE_B=y");
    assert_eq!(solve(off("MODE_A"), &["BUS", "MODE_A"]), "GADGET=y MODE_A=n MODE_B=y");
    let reason = solve(Expr::and([on("MODE_A"), on("MODE_B")]), &["BUS", "GADGET"]);
    assert!(reason.contains("one choice") || reason.contains("both on and off"), "{reason}");
}

#[test]
fn numbers_are_set_within_their_range() {
    assert_eq!(solve(on("GADGET_MANY"), &["BUS"]), "GADGET_MANY=y NR_CPUS=129");
    let more = Expr::Compare(Term::Symbol("NR_CPUS".into()), Relation::Greater, Term::Text("512".into()));
    assert!(solve(more, &[]).contains("from 2 to 512"));
}

#[test]
fn what_drops_because_of_an_off_is_named() {
    let given = yes(&["BUS", "X86", "GADGET", "GADGET_FAST", "GADGET_LIB"]);
    let assignment = tree().solve(&off("GADGET"), &given).unwrap();
    assert_eq!(shown(&assignment.set), "GADGET=n");
    assert_eq!(shown(&assignment.follows), "GADGET_FAST=n GADGET_LIB=n");
    let reason = tree().solve(&Expr::and([on("GADGET_FAST"), off("BUS")]), &given).unwrap_err().text;
    assert!(reason.contains("CONFIG_GADGET_FAST is needed, and goes when CONFIG_BUS is off"), "{reason}");
}

#[test]
fn reasons_name_the_line() {
    for (want, reason) in [
        (
            on("GADGET_TOASTER"),
            "CONFIG_GADGET_TOASTER depends on ARCH_TOASTER, which this architecture does not define (drivers/gadget/Kconfig:54)",
        ),
        (
            on("GADGET_MODULE_ONLY"),
            "CONFIG_GADGET_MODULE_ONLY depends on m (drivers/gadget/Kconfig:69): it can be a module only (m), and no module is \
             loaded",
        ),
        (
            on("GADGET_CC"),
            "CONFIG_GADGET_CC depends on CC_HAS_GADGET (drivers/gadget/Kconfig:65): CONFIG_CC_HAS_GADGET is what the build \
             tools say: $(cc-option,-mgadget) is n here (drivers/gadget/Kconfig:62)",
        ),
        (on("NOWHERE"), "CONFIG_NOWHERE is not defined for this architecture"),
        (Expr::Opaque("defined(MODULE)".into()), "defined(MODULE) never holds in built-in code of x86"),
    ] {
        assert_eq!(solve(want, &["BUS"]), reason);
    }
    assert!(solve(on("GADGET_CYCLE_A"), &["BUS"]).contains("needs itself"));
}

#[test]
fn opaque_conditions_are_assumed_and_said() {
    let debug = Expr::Opaque("defined(DEBUG)".into());
    let assignment = tree().solve(&Expr::not(debug.clone()), &yes(&[])).unwrap();
    assert_eq!(assignment.assumed.into_iter().collect::<Vec<_>>(), ["!defined(DEBUG)"]);
    assert!(tree().solve(&Expr::And(vec![debug.clone(), Expr::not(debug)]), &yes(&[])).is_err());
}

#[test]
fn dropped_symbols_are_explained() {
    for (symbol, config, why) in [
        (
            "GADGET_FAST",
            &["X86", "BUS"][..],
            "CONFIG_GADGET_FAST is not set: it depends on GADGET, which does not hold (drivers/gadget/Kconfig:22); \
             CONFIG_GADGET could be set: nothing forbids it (drivers/gadget/Kconfig:12)",
        ),
        ("NOWHERE", &[], "CONFIG_NOWHERE is not set: it is not defined for x86"),
        (
            "MODE_B",
            &["BUS", "GADGET", "MODE_A"],
            "CONFIG_MODE_B is not set: it is in one choice with CONFIG_MODE_A, which is chosen (drivers/gadget/Kconfig:96)",
        ),
        (
            "GADGET_LIB",
            &["BUS"],
            "CONFIG_GADGET_LIB is not set: it has no prompt; GADGET, OTHER_GADGET would select it (drivers/gadget/Kconfig:17)",
        ),
    ] {
        assert_eq!(tree().why_dropped(symbol, &yes(config)), why);
    }
}

#[test]
fn symbols_of_changed_lines() {
    let symbols = |lines: &[usize]| {
        let found = tree().defined_in("drivers/gadget/Kconfig", lines);
        found.into_iter().map(|found| (found.symbol, found.selects.join(" "))).collect::<Vec<_>>()
    };
    assert_eq!(symbols(&[14]), [("GADGET".to_string(), "GADGET_LIB".to_string())]);
    assert_eq!(symbols(&[6])[0].0, "BUS");
    assert_eq!(symbols(&[20]).len(), 2);
    assert!(tree().defined_in("drivers/gadget/Kconfig", &[20]).iter().all(|found| found.inherited));
}

proptest! {
    #[test]
    fn any_lines_have_conditions(
        source in "((#(if|elif|else|endif|ifdef|ifndef|define)? ?[!(]{0,3}(defined\\(|IS_ENABLED\\(|CONFIG_)?[A-Cé&|()<>=? ]{0,6}|/\\*|\\*/|\"|.{0,9})\\\\?\r?\n)*",
        line in 0usize..40,
    ) {
        conditions_at(&source, &[line, usize::MAX]);
    }

    #[test]
    fn any_makefile_is_read(
        text in "((ifeq|ifneq|ifdef|else|endif|include|define|obj-y|obj-\\$\\(CONFIG_A\\)|x-y|V)? ?[+:?]?=? ?(\\$[({](subst|filter|if|or|patsubst|addprefix|V|V:a=b)?[ ,%é$a-c]{0,6}[)}]?)*[ ()a.o,#\"]{0,8}\\\\?\n\t?)*",
    ) {
        let folder = made("config A\n\tbool\n", &text);
        KbuildTree::open(folder.path(), "x86").unwrap().objects_of("a.c");
    }

    #[test]
    fn any_symbols_are_solved(
        lines in prop::collection::vec(("[A-F]", "(bool \"p\"( if [!]?[A-F])?|bool)", "(depends on [!]?[A-F]( (&&|[|][|]) [!]?[A-F])?)?", "(select [A-F]( if [A-F])?|default [!]?[A-F]|default y if [A-F])?"), 1..10),
        want in "[!]?[A-F]",
        set in "[A-F]{0,3}",
    ) {
        let text: String = lines
            .iter()
            .map(|(name, kind, depends, more)| format!("config {name}\n\t{kind}\n\t{depends}\n\t{more}\n"))
            .collect();
        let folder = made(&text, "");
        let tree = KbuildTree::open(folder.path(), "x86").unwrap();
        let given = |name: &str| if set.contains(name) { Value::Yes } else { Value::No };
        let want = match want.strip_prefix('!') {
            Some(name) => off(name),
            None => on(&want),
        };
        if let Ok(found) = tree.solve(&want, &given) {
            let after = |name: &str| {
                let parts = [&found.set, &found.follows, &found.kept];
                parts.iter().find_map(|part| part.get(name)).cloned().unwrap_or_else(|| given(name))
            };
            prop_assert_eq!(want.holds(&after), Some(true));
        }
        tree.why_dropped("A", &given);
    }
}
