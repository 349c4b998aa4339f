//! Kconfig fragments in native syntax: parse, merge without a silent winner, and find out afterwards which
//! requested symbol the built `.config` really has. Pure text in and out, but for [`depends_on`], which reads
//! the tree's Kconfig files to say why a symbol was lost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::observe::Lost;
use failure::{Failure, Result};

/// One line of a fragment: `CONFIG_X=value`, or `# CONFIG_X is not set`, which is the value `n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KconfigRequest {
    /// Without `CONFIG_`.
    pub symbol: String,
    pub value: String,
    /// `file:line`.
    pub origin: String,
    /// Nothing is lost where the tree has no such symbol.
    pub if_known: bool,
    /// It takes the place of another value that a fragment before it asks for.
    pub instead: bool,
}

/// Above a line of a fragment: it is for those trees only that have the symbol.
const IF_KNOWN: &str = "# Only where the tree has it:";
/// Above a line of a fragment: [`KconfigRequest::instead`].
const INSTEAD: &str = "# Instead of what a fragment before says:";

/// Parses a fragment.
///
/// # Errors
/// On a line that is neither an assignment nor a comment: with file and line.
pub fn parse_fragment(file: &str, text: &str) -> Result<Vec<KconfigRequest>> {
    let mut requests = Vec::new();
    let (mut if_known, mut instead) = (false, false);
    for (index, line) in text.lines().enumerate() {
        let origin = format!("{file}:{}", index + 1);
        if let Some((symbol, value)) = assignment(line.trim()) {
            let (symbol, value) = (symbol.to_owned(), value.to_owned());
            requests.push(KconfigRequest { symbol, value, origin, if_known, instead });
        } else if !line.trim().is_empty() && !line.trim_start().starts_with('#') {
            return Err(Failure::usage(format!("{origin}: not a Kconfig line: `{}`", line.trim()))
                .next("write CONFIG_X=y, or `# CONFIG_X is not set`"));
        }
        (if_known, instead) = (line.trim() == IF_KNOWN, line.trim() == INSTEAD);
    }
    Ok(requests)
}

/// `CONFIG_X=v` gives (X, v); `# CONFIG_X is not set` gives (X, n).
fn assignment(line: &str) -> Option<(&str, &str)> {
    let unset = line.strip_prefix("# CONFIG_").and_then(|rest| rest.strip_suffix(" is not set"));
    let (symbol, value) = match unset {
        Some(symbol) => (symbol, "n"),
        None => line.strip_prefix("CONFIG_")?.split_once('=')?,
    };
    let valid = !symbol.is_empty() && symbol.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (valid && !value.is_empty()).then_some((symbol, value))
}

/// One list of requests out of several fragments.
///
/// # Errors
/// When two lines ask for different values of one symbol: with both places. There is no last one that wins, unless it says
/// so.
pub fn merge(fragments: Vec<Vec<KconfigRequest>>) -> Result<Vec<KconfigRequest>> {
    let mut merged: Vec<KconfigRequest> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for request in fragments.into_iter().flatten() {
        match places.get(&request.symbol) {
            Some(&at) if request.instead => merged[at] = request,
            Some(&at) if merged[at].value != request.value => {
                let first = &merged[at];
                return Err(Failure::usage(format!("conflicting fragments: CONFIG_{}", request.symbol))
                    .because(format!("{} asks for {}", first.origin, first.value))
                    .because(format!("{} asks for {}", request.origin, request.value))
                    .next("leave it in one of them only"));
            }
            Some(_) => {}
            None => {
                places.insert(request.symbol.clone(), merged.len());
                merged.push(request);
            }
        }
    }
    Ok(merged)
}

/// The requests as the text that `KCONFIG_ALLCONFIG` takes.
pub fn render(requests: &[KconfigRequest]) -> String {
    requests
        .iter()
        .map(|request| match request.value.as_str() {
            "n" => format!("# CONFIG_{} is not set\n", request.symbol),
            value => format!("CONFIG_{}={value}\n", request.symbol),
        })
        .collect()
}

/// The symbols that `config` (a built `.config`) sets, without `CONFIG_`, and their values as they are written.
pub fn values(config: &str) -> BTreeMap<&str, &str> {
    config.lines().filter_map(assignment).collect()
}

/// Every request that `config` (a built `.config`) does not fulfil. A symbol that is not there counts as `n`.
pub fn lost(requests: &[KconfigRequest], config: &str) -> Vec<Lost> {
    let built = values(config);
    requests
        .iter()
        .filter_map(|request| {
            let got = built.get(request.symbol.as_str()).copied().unwrap_or("n");
            (got != request.value).then(|| Lost {
                symbol: request.symbol.clone(),
                wanted: request.value.clone(),
                got: got.to_owned(),
                origin: request.origin.clone(),
                if_known: request.if_known,
                depends_on: None,
            })
        })
        .collect()
}

/// What `symbol` depends on, from the tree's Kconfig files; `None` when no file defines it.
///
/// Only the `depends on` lines of its own entries: conditions of enclosing `if` blocks and menus are not
/// followed, so the text is a first clue and not a proof.
pub fn depends_on(tree: &Path, symbol: &str) -> Option<String> {
    let mut found: Option<Vec<String>> = None;
    for file in kconfig_files(tree) {
        let Ok(bytes) = std::fs::read(&file) else { continue };
        if let Some(depends) = depends_in(&String::from_utf8_lossy(&bytes), symbol) {
            found.get_or_insert_default().extend(depends);
        }
    }
    found.map(
        |depends| if depends.is_empty() { "nothing of its own".to_owned() } else { depends.join(" && ") },
    )
}

fn depends_in(text: &str, symbol: &str) -> Option<Vec<String>> {
    let mut lines = text.lines().skip_while(|line| {
        let mut words = line.split_whitespace();
        !matches!(words.next(), Some("config" | "menuconfig")) || words.next() != Some(symbol)
    });
    lines.next()?;
    let body = lines.take_while(|line| line.is_empty() || line.starts_with([' ', '\t', '#']));
    Some(
        body.filter_map(|line| line.trim().strip_prefix("depends on ").map(|d| d.trim().to_owned()))
            .collect(),
    )
}

fn kconfig_files(tree: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut dirs = vec![tree.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && name != ".git" => dirs.push(entry.path()),
                Ok(kind) if kind.is_file() && name.to_string_lossy().starts_with("Kconfig") => {
                    files.push(entry.path());
                }
                _ => {}
            }
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(file: &str, text: &str) -> Vec<KconfigRequest> {
        parse_fragment(file, text).unwrap()
    }

    #[test]
    fn a_fragment_is_native_syntax_and_nothing_else() {
        let requests = fragment("a.config", "# words\nCONFIG_A=y\n\n# CONFIG_B is not set\nCONFIG_C=\"x\"\n");
        let pairs: Vec<_> = requests.iter().map(|r| (r.symbol.as_str(), r.value.as_str())).collect();
        assert_eq!(pairs, [("A", "y"), ("B", "n"), ("C", "\"x\"")]);
        let failure = parse_fragment("a.config", "CONFIG_A=y\nA=y\n").unwrap_err();
        assert!(failure.what.starts_with("a.config:2:"), "{failure}");
    }

    #[test]
    fn fragments_that_disagree_are_an_error_that_names_both_places() {
        let failure = merge(vec![fragment("a", "CONFIG_A=y\n"), fragment("b", "\n# CONFIG_A is not set\n")])
            .unwrap_err();
        assert_eq!(failure.because, ["a:1 asks for y", "b:2 asks for n"]);
        assert_eq!(
            merge(vec![fragment("a", "CONFIG_A=y\n"), fragment("b", "CONFIG_A=y\n")]).unwrap().len(),
            1
        );
    }

    #[test]
    fn a_fragment_that_says_so_takes_the_place_of_one_before_it_and_of_none_behind_it() {
        let first = || fragment("a", "# CONFIG_A is not set\n");
        let instead = || fragment("b", "# Instead of what a fragment before says:\nCONFIG_A=y\n");
        let merged = merge(vec![first(), instead()]).unwrap();
        assert_eq!((merged.len(), merged[0].value.as_str()), (1, "y"));
        assert!(merge(vec![instead(), first()]).is_err());
    }

    #[test]
    fn a_symbol_that_did_not_survive_configuration_is_lost() {
        let requests =
            fragment("a", "CONFIG_A=y\nCONFIG_B=y\n# CONFIG_C is not set\n# CONFIG_D is not set\n");
        let lost = lost(&requests, "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_D=y\n");
        let names: Vec<_> = lost.iter().map(|l| (l.symbol.as_str(), l.got.as_str())).collect();
        assert_eq!(names, [("B", "n"), ("D", "y")]);
    }

    #[test]
    fn a_line_may_be_for_those_trees_only_that_have_the_symbol() {
        let requests = fragment("a", "# Only where the tree has it:\nCONFIG_A=y\nCONFIG_B=y\n");
        let lost = lost(&requests, "");
        let known: Vec<_> = lost.iter().map(|lost| (lost.symbol.as_str(), lost.if_known)).collect();
        assert_eq!(known, [("A", true), ("B", false)]);
    }

    #[test]
    fn a_lost_symbol_is_explained_from_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("mm")).unwrap();
        std::fs::write(dir.path().join("Kconfig"), "source \"mm/Kconfig\"\n").unwrap();
        let text = "config A\n\tbool\n\nconfig AB\n\tdef_bool y\n\tdepends on X && !Y\n\n\tdepends on Z\n\thelp\n\t  t\n\nconfig B\n\tdepends on W\n";
        std::fs::write(dir.path().join("mm/Kconfig"), text).unwrap();
        assert_eq!(depends_on(dir.path(), "AB").as_deref(), Some("X && !Y && Z"));
        assert_eq!(depends_on(dir.path(), "A").as_deref(), Some("nothing of its own"));
        assert_eq!(depends_on(dir.path(), "NOPE"), None);
    }

    #[test]
    fn what_is_rendered_parses_to_the_same_requests() {
        let text = "CONFIG_A=y\n# CONFIG_B is not set\n";
        assert_eq!(render(&fragment("a", text)), text);
    }
}
