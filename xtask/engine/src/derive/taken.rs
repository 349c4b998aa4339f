//! Which KUnit suites a derived configuration takes: those that cost it a few symbols of their own, and change nothing of
//! what compiles the patch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use kbuild::{KbuildTree, Value};
use regex::Regex;

use super::JoinedWants;
use super::suites::KunitSuite;

/// Suites of one configuration.
const SUITES_MAX: usize = 6;

/// Symbols that a suite may need: its own. Another one may be that of a subsystem, which a header of all others asks for:
/// CFG80211 for a suite of its own means that all of net/ is compiled again.
const SYMBOLS_MAX: usize = 1;

/// Suites that are named in one note.
const NAMED_MAX: usize = 8;

/// Where flags for the whole kernel come from.
const MAKEFILES: &str = "scripts";

/// Adds to each of `groups` the suites that it can have.
pub(super) fn take(
    tree: &KbuildTree,
    suites: Vec<KunitSuite>,
    groups: &mut [JoinedWants],
    given: &dyn Fn(&str) -> Value,
    notes: &mut Vec<String>,
) {
    if suites.is_empty() {
        return;
    }
    let everywhere = symbols_of_flags(tree);
    // By reason.
    let mut left_out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for suite in suites {
        let mut why_not = None;
        for group in &mut *groups {
            match symbols_with(tree, &suite, group, &everywhere, given) {
                Ok(symbols) => {
                    group.add_condition(&suite.condition);
                    group.derived.symbols = symbols;
                    group.derived.suites.push(suite.name.clone());
                }
                Err(why) => why_not = Some(why),
            }
        }
        if let Some(why) =
            why_not.filter(|_| !groups.iter().any(|group| group.derived.suites.contains(&suite.name)))
        {
            left_out.entry(why).or_default().push(suite.name);
        }
    }
    notes.extend(left_out.into_iter().map(|(why, names)| {
        let more = names.len().saturating_sub(NAMED_MAX);
        let named = names[..names.len() - more].join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("KUnit suites left out: {named}{more}: {why}")
    }));
}

/// The symbols of the group with the suite, or why it is not worth them.
fn symbols_with(
    tree: &KbuildTree,
    suite: &KunitSuite,
    group: &JoinedWants,
    everywhere: &BTreeSet<String>,
    given: &dyn Fn(&str) -> Value,
) -> Result<BTreeMap<String, String>, String> {
    if group.derived.suites.len() >= SUITES_MAX {
        return Err(format!("{SUITES_MAX} others are nearer"));
    }
    let symbols = group.with(tree, &suite.condition, given).map_err(|reason| reason.to_string())?;
    let has = &group.derived.symbols;
    let more: Vec<_> = symbols.iter().filter(|(symbol, value)| has.get(*symbol) != Some(value)).collect();
    if has.iter().any(|(symbol, value)| symbols.get(symbol) != Some(value))
        || more.iter().any(|(_, value)| *value != "y")
    {
        return Err("they would change what the kernel has otherwise".to_owned());
    }
    if let Some((symbol, _)) = more.iter().find(|(symbol, _)| everywhere.contains(*symbol)) {
        return Err(format!("CONFIG_{symbol} would change every object"));
    }
    if more.len() > SYMBOLS_MAX {
        return Err("they need more than symbols of their own".to_owned());
    }
    Ok(symbols)
}

/// Symbols that are asked for where the compiler's flags are put together: to set one is to compile everything again.
fn symbols_of_flags(tree: &KbuildTree) -> BTreeSet<String> {
    static SYMBOL: LazyLock<Regex> = LazyLock::new(|| {
        #[expect(clippy::unwrap_used, reason = "a constant")]
        Regex::new(r"\bCONFIG_(\w+)").unwrap()
    });
    let (files, _) = tree.listed(MAKEFILES);
    let makefiles =
        files.into_iter().filter(|path| path.contains("/Makefile.")).chain(["Makefile".to_owned()]);
    let texts = makefiles.filter_map(|path| tree.text(&path));
    texts
        .flat_map(|text| SYMBOL.captures_iter(&text).map(|found| found[1].to_owned()).collect::<Vec<_>>())
        .collect()
}
