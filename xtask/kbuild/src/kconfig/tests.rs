use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::file::TreeFiles;

fn tree() -> Kconfig {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tree");
    read::read(&TreeFiles::new(&root, BTreeMap::new()), "Kconfig", &[("SRCARCH", "x86".to_string())])
}

fn entry<'a>(kconfig: &'a Kconfig, symbol: &str) -> &'a KconfigEntry {
    kconfig.entries_of(symbol).next().unwrap()
}

#[test]
fn dependencies_of_menus_and_ifs_are_inherited() {
    let kconfig = tree();
    assert_eq!(entry(&kconfig, "GADGET_FAST").depends.to_string(), "BUS && GADGET && X86");
    assert_eq!(entry(&kconfig, "GADGET_HIDDEN").prompt.as_ref().unwrap().to_string(), "EXPERT");
    assert_eq!(entry(&kconfig, "GADGET_SLOW").depends.to_string(), "BUS && (!GADGET || GADGET_BASE)");
}

#[test]
fn types_defaults_and_selects() {
    let kconfig = tree();
    assert_eq!(kconfig.kind("GADGET_LIMIT"), SymbolKind::Int);
    assert_eq!(kconfig.kind("X86"), SymbolKind::Bool);
    assert!(entry(&kconfig, "CC_HAS_GADGET").defaults[0].expr.to_string().starts_with("$(cc-option"));
    let selectors: Vec<_> =
        kconfig.selectors("GADGET_LIB").iter().map(|s| format!("{} if {}", s.symbol, s.condition)).collect();
    assert_eq!(selectors, ["GADGET if BUS", "OTHER_GADGET if BUS && X86"]);
}

#[test]
fn choice_members_know_each_other() {
    let kconfig = tree();
    assert_eq!(kconfig.choices[entry(&kconfig, "MODE_A").choice.unwrap()].members, ["MODE_A", "MODE_B"]);
}

#[test]
fn help_is_no_kconfig() {
    assert!(!tree().is_defined("NOT_A_SYMBOL"));
    assert!(!tree().is_defined("OUTSIDE"));
}

proptest! {
    #[test]
    fn any_file_is_read(text in "((config|menu|if|choice|endif|help|depends on|default|bool|source|range|visible if)? ?[A-C\"&|=()$ !]{0,8}\\\\?[\n\t])*|\\PC{0,200}") {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Kconfig"), text).unwrap();
        read::read(&TreeFiles::new(folder.path(), BTreeMap::new()), "Kconfig", &[]);
    }
}
