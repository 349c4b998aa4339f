//! YAML in, valid values out. The only module that knows serde_yaml: the crate is no longer maintained, and
//! this is where it would be replaced. Raw shapes are converted once; what comes out cannot be half valid.

mod campaign;
mod scenario;
mod trees;
mod variant;

use std::path::Path;

use regex::Regex;
use serde::de::DeserializeOwned;

use crate::failure::{Failure, Result};

pub use campaign::{BaseWish, Campaign, campaigns_in, file_of};
pub use scenario::{Demand, ExpectedCount, Scenario, Suite};
pub use trees::{Tree, find as find_tree, load as load_trees};
pub use variant::{Expect, Mechanism, Variant};

/// Parses `text` strictly: an unknown or duplicate key, or a wrong type, is an error with file and line.
///
/// # Errors
/// As it says.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    // Straight into a struct a duplicate key of a nested map would win in silence; a `Value` refuses it.
    let refuse = |error: serde_yaml::Error| refusal(path, &error);
    let _: serde_yaml::Value = serde_yaml::from_str(text).map_err(refuse)?;
    serde_yaml::from_str(text).map_err(refuse)
}

fn refusal(path: &Path, error: &serde_yaml::Error) -> Failure {
    let place = match error.location() {
        Some(at) => format!("{}:{}:{}", path.display(), at.line(), at.column()),
        None => path.display().to_string(),
    };
    let text = error.to_string();
    let failure = Failure::usage(format!("{place}: not a valid configuration")).because(text.clone());
    match nearest_key(&text) {
        Some(key) => failure.next(format!("did you mean `{key}`?")),
        None => failure,
    }
}

/// From serde's "unknown field `x`, expected one of `a`, `b`": the expected name nearest to `x`.
fn nearest_key(message: &str) -> Option<String> {
    let (before, after) = message.split_once("expected")?;
    let quoted = Regex::new("`([^`]+)`").ok()?;
    let unknown = before.contains("unknown field").then(|| quoted.captures(before))??;
    quoted
        .captures_iter(after)
        .map(|known| known[1].to_owned())
        .min_by_key(|known| strsim::levenshtein(known, &unknown[1]))
}

/// Names become directories and cell ids: letters, digits, `.`, `_` and `-`, beginning with none of the last two.
fn check_name(path: &Path, what: &str, name: &str) -> Result<()> {
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !name.is_empty() && name.chars().all(ok) && name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(Failure::usage(format!("{}: `{name}` is no name for a {what}", path.display()))
        .because("names become directories and cell ids: letters, digits, `.`, `_` and `-`"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Sample {
        fragments: Vec<String>,
        #[serde(default)]
        helpers: Vec<String>,
    }

    fn refused(text: &str) -> String {
        parse::<Sample>(Path::new("c.yaml"), text).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_refused_with_line_and_the_nearest_valid_key() {
        let text = refused("fragments: []\nhelper: []\n");
        assert!(text.contains("c.yaml:2:1"), "{text}");
        assert!(text.contains("did you mean `helpers`?"), "{text}");
    }

    #[test]
    fn a_duplicate_key_is_refused_with_its_line() {
        let text = refused("fragments: []\nfragments: []\n");
        assert!(text.contains("c.yaml:") && text.contains("duplicate"), "{text}");
    }

    #[test]
    fn a_bomb_of_anchors_is_refused_quickly() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..30 {
            let p = i - 1;
            bomb += &format!("a{i}: &a{i} [*a{p},*a{p},*a{p},*a{p},*a{p},*a{p},*a{p},*a{p},*a{p},*a{p}]\n");
        }
        let started = std::time::Instant::now();
        refused(&bomb);
        assert!(started.elapsed().as_secs() < 10);
    }
}
