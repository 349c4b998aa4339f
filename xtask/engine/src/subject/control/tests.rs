//! One description in every version of the code: those that were posted, and those that were not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::host::yaml;
use crate::subject::c_source::{CSource, Config};
use crate::subject::kconfig::KconfigRequest;
use patch::{Base, Content, Overlay};

const FILE: &str = "mm/mmu_gather.c";
const HEADER: &str = "include/asm-generic/tlb.h";
const BASE: &str = include_str!("../../../../testdata/patch/base/mm/mmu_gather.c");
const BASE_HEADER: &str = include_str!("../../../../testdata/patch/base/include/asm-generic/tlb.h");

struct Tree;

impl Base for Tree {
    fn file(&self, path: &str) -> Result<Option<Content>> {
        let text = [(FILE, BASE), (HEADER, BASE_HEADER)].into_iter().find(|(name, _)| *name == path);
        Ok(text.map(|(_, text)| Content::plain(text)))
    }
}

fn config(symbols: &[(&str, &str)]) -> Config {
    let request = |(symbol, value): &(&str, &str)| KconfigRequest {
        symbol: (*symbol).to_owned(),
        value: (*value).to_owned(),
        origin: String::new(),
        if_known: false,
        instead: false,
    };
    Config::new(&symbols.iter().map(request).collect::<Vec<_>>())
}

/// The fallback is the branch that the patch changes.
fn off() -> Config {
    config(&[("PT_RECLAIM", "n"), ("MMU_GATHER_RCU_TABLE_FREE", "y")])
}

/// The top of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn control(name: &str) -> Control {
    let path = root().join(format!("patches/controls/{name}.yaml"));
    Control::parse(name, &path, &std::fs::read_to_string(&path).unwrap()).unwrap()
}

/// Plants `name` in these files.
fn plant_in(name: &str, files: &[(&str, &str)], config: &Config) -> Result<BTreeMap<String, String>, String> {
    let path = root().join("patches/places.yaml");
    let places = yaml::parse(&path, &std::fs::read_to_string(&path).unwrap()).unwrap();
    let parse = |files: &[(&str, &str)]| -> CSources {
        files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), CSource::parse(text.as_bytes()).unwrap()))
            .collect()
    };
    let (files, before) = (parse(files), parse(&[(FILE, BASE), (HEADER, BASE_HEADER)]));
    let search = Search { places: &places, files: &files, before: &before, config };
    let planted = control(name).bug.plant(&search)?;
    Ok(planted.into_iter().map(|(path, text)| (path, String::from_utf8(text).unwrap())).collect())
}

/// Files of the base with a version of the patch.
fn version(name: &str) -> (String, String) {
    let path = root().join(format!("patches/mmu_gather-{name}.patch"));
    let series = patch::read(&std::fs::read(&path).unwrap(), name).unwrap();
    let mut overlay = Overlay::new(&Tree);
    overlay.add(&patch::prove(&series, &Tree).unwrap());
    let text = |path| String::from_utf8(overlay.read(path).unwrap().unwrap()).unwrap();
    (text(FILE), text(HEADER))
}

/// The lines of the fallback with `name` planted in a file that has `fallback` in it.
fn lines(name: &str, source: &str) -> Result<String, String> {
    let planted = plant_in(name, &[(FILE, source), (HEADER, BASE_HEADER)], &off())?;
    let text = &planted[FILE];
    let diff = similar::TextDiff::from_lines(source, text);
    let changes = diff.iter_all_changes().filter(|change| change.tag() != similar::ChangeTag::Equal);
    Ok(changes.map(|change| format!("{}{}", change.tag(), change.value())).collect())
}

/// The base with another text where it sends its IPI.
fn fallback(text: &str) -> String {
    let old = "static inline void __tlb_remove_table_one(void *table)\n{\n\ttlb_remove_table_sync_one();\n\t__tlb_remove_table(table);\n}\n";
    assert!(BASE.contains(old));
    BASE.replace(old, text)
}

#[test]
fn one_description_fits_every_version_that_was_posted() {
    let v1 = "\tif (IS_ENABLED(CONFIG_MMU_GATHER_RCU_TABLE_FREE))\n\t\tsynchronize_rcu();\n";
    let helper = "\ttlb_remove_table_sync_rcu();\n";
    let around = "\tpreempt_disable();\n\ttlb_remove_table_sync_rcu();\n\tpreempt_enable();\n";
    let braces =
        "\t\t{\n\t\t\tpreempt_disable();\n\t\t\tsynchronize_rcu();\n\t\t\tpreempt_enable();\n\t\t}\n";
    for (name, wait, disabled) in [("v1", v1, braces), ("v2", helper, around), ("v3", helper, around)] {
        let (source, _) = version(name);
        let plant = |name| plant_in(name, &[(FILE, &source)], &off()).unwrap()[FILE].clone();
        assert!(
            plant("preempt-disable").contains(disabled),
            "{name}: {}",
            lines("preempt-disable", &source).unwrap()
        );
        let gone = lines("no-sync", &source).unwrap();
        assert!(gone.starts_with(&format!("-{}", wait.lines().last().unwrap())), "{gone}");
        let moved = plant("free-before-sync");
        assert!(moved.contains(&format!("\t__tlb_remove_table(table);\n{wait}}}\n")), "{moved}");
    }
}

#[test]
fn every_control_of_the_campaign_is_planted_in_each_version() {
    let on = config(&[("PT_RECLAIM", "y"), ("MMU_GATHER_RCU_TABLE_FREE", "y")]);
    for (name, symbols) in [
        ("free-instead-of-call-rcu", &on),
        ("callback-leak", &on),
        ("sync-instead-of-call-rcu", &on),
        ("callback-sync", &on),
    ] {
        for of in ["v1", "v2", "v3"] {
            let (source, header) = version(of);
            plant_in(name, &[(FILE, &source), (HEADER, &header)], symbols).unwrap();
        }
        // That branch is not compiled.
        assert!(plant_in(name, &[(FILE, &version("v2").0)], &off()).is_err());
    }
    for name in [
        "spinlock",
        "irq-save",
        "bh-disable",
        "rcu-read-lock-sched",
        "rcu-read-lock",
        "ipi-kept",
        "sync-and-ipi",
        "sync-twice",
        "expedited",
        "expedited-inside",
        "skip-some",
        "skip-once",
        "exit-only-skip",
        "sync-on-success",
        "leak",
        "leak-once",
        "double-free",
        "free-undestroyed",
        "free-locked",
        "spin",
        "spin-irqs-off",
        "restart",
    ] {
        for of in ["v1", "v2", "v3"] {
            let source = version(of).0;
            let changed = lines(name, &source).unwrap_or_else(|why| panic!("{name} in {of}: {why}"));
            assert!(!changed.is_empty(), "{name} in {of}");
        }
    }
}

#[test]
fn a_version_that_was_not_seen_before_has_its_place_too() {
    let helper = "static void wait_for_walkers(void)\n{\n\tsynchronize_rcu();\n}\n\n";
    let one = "static inline void __tlb_remove_table_one(void *table)\n{\n";
    for (what, text, wait) in [
        (
            "another name",
            format!("{helper}{one}\twait_for_walkers();\n\t__tlb_remove_table(table);\n}}\n"),
            "\twait_for_walkers();",
        ),
        (
            "behind an if",
            format!(
                "{helper}{one}\tif (current->mm)\n\t\twait_for_walkers();\n\telse\n\t\tsynchronize_rcu();\n\t__tlb_remove_table(table);\n}}\n"
            ),
            "\t\t\twait_for_walkers();",
        ),
        (
            "two helpers",
            format!(
                "{helper}static void outer(void)\n{{\n\tmight_sleep();\n\twait_for_walkers();\n}}\n\n{one}\touter();\n\t__tlb_remove_table(table);\n}}\n"
            ),
            "\touter();",
        ),
        (
            "a helper that frees as well",
            format!(
                "static void wait_and_free(void *table)\n{{\n\tsynchronize_rcu();\n\t__tlb_remove_table(table);\n}}\n\n{one}\twait_and_free(table);\n}}\n"
            ),
            "\tsynchronize_rcu();",
        ),
        (
            "in a block of its own",
            format!(
                "{one}\tif (table) {{\n\t\tsynchronize_rcu();\n\t\t__tlb_remove_table(table);\n\t}}\n}}\n"
            ),
            "\t\tsynchronize_rcu();",
        ),
        (
            "a result that is kept",
            format!(
                "{one}\tunsigned long cookie = get_state_synchronize_rcu();\n\n\tcond_synchronize_rcu(cookie);\n\t__tlb_remove_table(table);\n}}\n"
            ),
            "\tcond_synchronize_rcu(cookie);",
        ),
        (
            "one text for both branches",
            format!(
                "{one}\tif (IS_ENABLED(CONFIG_PT_RECLAIM)) {{\n\t\tcall_rcu(table, f);\n\t}} else {{\n\t\tsynchronize_rcu();\n\t\t__tlb_remove_table(table);\n\t}}\n}}\n"
            ),
            "\t\tsynchronize_rcu();",
        ),
    ] {
        let source = fallback(&text);
        let planted = plant_in("preempt-disable", &[(FILE, &source)], &off())
            .unwrap_or_else(|why| panic!("{what}: {why}"));
        let tabs: String = wait.chars().take_while(|c| *c == '\t').collect();
        let wanted = format!("{tabs}preempt_disable();\n{wait}\n{tabs}preempt_enable();\n");
        assert!(planted[FILE].contains(&wanted), "{what}: {}", lines("preempt-disable", &source).unwrap());
        for other in ["no-sync", "free-before-sync", "skip-some", "leak", "double-free"] {
            assert!(lines(other, &source).is_ok(), "{what}: {other}: {:?}", lines(other, &source));
        }
    }
}

#[test]
fn a_call_that_moved_into_the_caller_is_found_there() {
    let freed = fallback(
        "static inline void __tlb_remove_table_one(void *table)\n{\n\t__tlb_remove_table(table);\n}\n",
    );
    let caller = "static void tlb_remove_table_one(void *table)\n{\n\t__tlb_remove_table_one(table);\n}\n";
    assert!(freed.contains(caller));
    let moved = freed.replace(
        caller,
        "static void tlb_remove_table_one(void *table)\n{\n#ifndef CONFIG_PT_RECLAIM\n\tsynchronize_rcu();\n#endif\n\t__tlb_remove_table_one(table);\n}\n",
    );
    let planted = plant_in("preempt-disable", &[(FILE, &moved)], &off()).unwrap();
    let wanted = "#ifndef CONFIG_PT_RECLAIM\n\tpreempt_disable();\n\tsynchronize_rcu();\n\tpreempt_enable();\n#endif\n\t__tlb";
    assert!(planted[FILE].contains(wanted), "{}", planted[FILE]);
    // With PT_RECLAIM there is no such wait.
    let on = config(&[("PT_RECLAIM", "y")]);
    assert!(plant_in("preempt-disable", &[(FILE, &moved)], &on).is_err());
    let top = freed.replace(
        "\t\t\ttlb_remove_table_one(table);\n",
        "\t\t\tsynchronize_rcu();\n\t\t\ttlb_remove_table_one(table);\n",
    );
    let wanted = "+\t\t\tpreempt_disable();\n+\t\t\tpreempt_enable();\n";
    assert_eq!(lines("preempt-disable", &top).unwrap(), wanted);
    assert_eq!(lines("free-before-sync", &top).unwrap().lines().count(), 2);
}

/// 6.12 has neither PT_RECLAIM nor __tlb_remove_table_one(): the call is in tlb_remove_table_one() itself.
#[test]
fn a_backport_has_its_place_as_well() {
    let (before, rest) = BASE.split_once("#ifdef CONFIG_PT_RECLAIM\n").unwrap();
    let (_, after) = rest.split_once("#endif /* CONFIG_PT_RECLAIM */\n").unwrap();
    let source = format!("{before}{after}")
        .replace("\t__tlb_remove_table_one(table);\n", "\ttlb_remove_table_sync_rcu();\n\t__tlb_remove_table(table);\n")
        .replace("static void tlb_remove_table_rcu(", "void tlb_remove_table_sync_rcu(void)\n{\n\tmight_sleep();\n\tsynchronize_rcu();\n}\n\nstatic void tlb_remove_table_rcu(");
    let config = config(&[("MMU_GATHER_RCU_TABLE_FREE", "y")]);
    let plant = |name| plant_in(name, &[(FILE, &source)], &config).unwrap()[FILE].clone();
    let planted = plant("preempt-disable");
    assert!(
        planted.contains("\tpreempt_disable();\n\ttlb_remove_table_sync_rcu();\n\tpreempt_enable();\n"),
        "{planted}"
    );
    assert_eq!(plant("no-sync"), source.replace("\ttlb_remove_table_sync_rcu();\n", ""));
}

#[test]
fn a_version_without_the_place_says_why_it_has_none() {
    let why = |name, source: &str| lines(name, source).unwrap_err();
    assert_eq!(
        why("preempt-disable", BASE),
        "tlb_remove_table() does not get to synchronize_rcu() or any of 6 others"
    );
    assert_eq!(
        why("preempt-disable", "int x;\n"),
        "no function tlb_remove_table() is compiled in mm/mmu_gather.c"
    );
    let late = fallback(
        "static inline void __tlb_remove_table_one(void *table)\n{\n\t__tlb_remove_table(table);\n\tsynchronize_rcu();\n}\n",
    );
    assert_eq!(why("free-before-sync", &late), "it is behind that already");
    let declared = fallback(
        "static inline void __tlb_remove_table_one(void *table)\n{\n\tint gone = wait_event(synchronize_rcu());\n\t__tlb_remove_table(table);\n}\n",
    );
    assert!(why("no-sync", &declared).ends_with("declares something"), "{}", why("no-sync", &declared));
    let garbage = BASE.replace("void tlb_remove_table(struct", "void }}} (((tlb_remove_table(struct");
    assert!(lines("preempt-disable", &garbage).is_err());
}

#[test]
fn a_stub_is_one_that_the_patch_adds() {
    let rcu_off = config(&[("MMU_GATHER_RCU_TABLE_FREE", "n")]);
    let (source, header) = version("v2");
    let renamed = header.replace("tlb_remove_table_sync_rcu", "tlb_wait_for_walkers");
    for header in [&header, &renamed] {
        let planted = plant_in("stub-missing", &[(FILE, &source), (HEADER, header)], &rcu_off).unwrap();
        assert_eq!(planted[HEADER].lines().count() + 1, header.lines().count());
        assert!(planted[HEADER].contains("static inline void tlb_remove_table_sync_one(void) { }"));
    }
    let none = plant_in("stub-missing", &[(FILE, &version("v1").0), (HEADER, BASE_HEADER)], &rcu_off);
    assert_eq!(none.unwrap_err(), "the patch adds no empty function to a header");
}

#[test]
fn a_declaration_gets_a_block_of_its_own_and_a_bare_body_gets_braces() {
    let irq = lines("irq-save", &version("v1").0).unwrap();
    assert!(
        irq.starts_with("-\t\tsynchronize_rcu();\n+\t\t{\n+\t\t\tunsigned long planted_flags;\n"),
        "{irq}"
    );
    let bare = fallback(
        "static inline void __tlb_remove_table_one(void *table)\n{\n\tsynchronize_rcu();\n\tif (table)\n\t\t__tlb_remove_table(table);\n}\n",
    );
    let leak = lines("leak", &bare).unwrap();
    assert_eq!(leak, "-\t\t__tlb_remove_table(table);\n+\t\t{\n+\t\t}\n");
}

#[test]
fn a_system_call_is_found_by_its_name() {
    let text = "#include <linux/mm.h>\n\nSYSCALL_DEFINE5(process_madvise, int, pidfd, const struct iovec __user *, vec,\n\t\tsize_t, vlen, int, behavior, unsigned int, flags)\n{\n\tif (mm != current->mm && !capable(CAP_SYS_NICE)) {\n\t\tret = -EPERM;\n\t\tgoto release_mm;\n\t}\n\treturn ret;\n}\n";
    let plant = |name| plant_in(name, &[("mm/madvise.c", text)], &off()).unwrap()["mm/madvise.c"].clone();
    assert!(plant("madvise-anybody").contains("if (mm != current->mm && !true) {"));
    let asked = "if ((mm != current->mm && !capable(CAP_SYS_NICE)) || !capable(CAP_SYS_NICE)) {";
    assert!(plant("madvise-nobody").contains(asked));
}

fn parse(text: &str) -> Result<Control> {
    Control::parse("c", Path::new("c.yaml"), text)
}

#[test]
fn the_description_says_what_is_planted_and_what_must_expose_it() {
    let bug = "\nbug: {at: wait, remove: true}\n";
    let control = parse(&format!("plants: a bug\nsignal: splat might-sleep under f(){bug}")).unwrap();
    assert_eq!((control.plants.as_str(), control.arm.as_str()), ("a bug", "c"));
    assert_eq!(control.signal.to_string(), "splat might-sleep under f()");
    assert_eq!(control.on(Some("v1")).arm, "c-v1");
    for text in [
        "splat oops",
        "splat might-sleep at mm/x.c",
        "count rcu_sync",
        "count ipi in exit",
        "quiet call_rcu",
        "count direct_frees",
        "order unsynced_frees",
        "gauge page_tables in munmap",
        "done own-accepted in process-madvise",
        "build",
    ] {
        assert_eq!(wanted_signal(text).map(|signal| signal.to_string()).as_deref(), Some(text));
    }
    assert!(parse(&format!("plants: a bug{bug}")).is_err());
    let failure = parse(&format!("plants: a bug\nsignal: splat magic{bug}")).unwrap_err();
    assert!(failure.next.iter().any(|step| step.contains("might-sleep")), "{failure}");
    for unclear in
        ["{at: wait}", "{at: wait, remove: true, before: x}", "{remove: true}", "{at: wait, delete: true}"]
    {
        assert!(parse(&format!("plants: a bug\nsignal: build\nbug: {unclear}\n")).is_err(), "{unclear}");
    }
}

#[test]
fn the_function_must_be_on_the_stack_of_the_splat_that_is_meant() {
    let meant = wanted_signal("splat might-sleep under tlb_remove_table").unwrap();
    let signal = |stack: &[&str], kind| Signal::Splat {
        kind,
        file: Some("kernel/rcu/tree.c".to_owned()),
        stack: stack.iter().map(ToString::to_string).collect(),
    };
    assert!(meant.is(&signal(&["__might_resched", "tlb_remove_table"], splat::Kind::MightSleep)));
    assert!(!meant.is(&signal(&["__might_resched", "do_exit"], splat::Kind::MightSleep)));
    assert!(!meant.is(&signal(&["tlb_remove_table"], splat::Kind::Warning)));
}
