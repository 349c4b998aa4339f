//! YAML in, valid values out. The only module that knows serde_yaml: the crate is no longer maintained, and
//! this is where it would be replaced. Raw shapes are converted once; what comes out cannot be half valid.

use std::path::Path;

use regex::Regex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::input;
use failure::{Failure, Result};

/// Parses `text` strictly: an unknown or duplicate key, or a wrong type, is an error with file and line.
///
/// # Errors
/// As it says.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    // Straight into a struct a duplicate key of a nested map would win in silence; a `Value` refuses it.
    check_shape(path, text)?;
    let refuse = |error: serde_yaml::Error| refusal(path, &error);
    let _: serde_yaml::Value = serde_yaml::from_str(text).map_err(refuse)?;
    serde_yaml::from_str(text).map_err(refuse)
}

/// As YAML.
///
/// # Errors
/// When it has no form in YAML.
pub fn render(value: &impl Serialize) -> Result<String> {
    serde_yaml::to_string(value).map_err(|error| Failure::internal(format!("write YAML: {error}")))
}

/// A collection in a collection, and so on, at most so often: a campaign needs six levels.
const NESTING_MAX: usize = 32;
/// Collections in `[]` and `{}` in one file. The parser takes a step for each level at each of them, so that what the
/// nesting was not recognised by still costs little.
const FLOWS_MAX: usize = 4096;

/// Refuses what would take the parser minutes or its whole stack. Only a few rules of YAML are known here: a bracket in
/// a quoted text counts too, which no real file comes near the limits by.
fn check_shape(path: &Path, text: &str) -> Result<()> {
    let (mut flows, mut depth) = (0_usize, 0_usize);
    for (index, line) in text.lines().enumerate() {
        let refuse = |what: String| {
            let place = format!("{}:{}", input::shown(path), index + 1);
            Err(Failure::usage(format!("{place}: not a valid configuration")).because(what))
        };
        for byte in line.bytes() {
            match byte {
                b'[' | b'{' => (flows, depth) = (flows + 1, depth + 1),
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > NESTING_MAX {
                return refuse(format!("nested deeper than {NESTING_MAX} levels"));
            }
            if flows > FLOWS_MAX {
                return refuse(format!("more than {FLOWS_MAX} collections in brackets"));
            }
        }
        let indicators = line.split([' ', '\t']).filter(|word| !word.is_empty());
        if indicators.take_while(|word| matches!(*word, "-" | "?" | ":")).count() > NESTING_MAX {
            return refuse(format!("nested deeper than {NESTING_MAX} levels"));
        }
    }
    Ok(())
}

fn refusal(path: &Path, error: &serde_yaml::Error) -> Failure {
    let place = match error.location() {
        Some(at) => format!("{}:{}:{}", input::shown(path), at.line(), at.column()),
        None => input::shown(path),
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
pub fn check_name(path: &Path, what: &str, name: &str) -> Result<()> {
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !name.is_empty() && name.chars().all(ok) && name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(Failure::usage(format!("{}: `{name}` is no name for a {what}", input::shown(path)))
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
    fn deep_nesting_of_every_kind_is_refused_with_its_line_and_in_time() {
        let size = 256 << 10;
        let started = std::time::Instant::now();
        let flat = [
            "[", "{", "- ", "? ", ": ", "[\n", "{a: ", "[[],", "&a ", "*a ", "!!x ", "? - ", "\"", "'", "%",
            "|\n", ">", "-\n", "@", "a: ", "--- ", "!", "&a [*a,",
        ];
        for unit in flat {
            let text = format!("fragments:\n  {}", unit.repeat(size / unit.len()));
            // Some of these are valid, and mean nothing.
            if let Err(failure) = parse::<Sample>(Path::new("c.yaml"), &text) {
                assert!(failure.what.contains("c.yaml"), "{unit}: {failure}");
            }
            assert!(started.elapsed().as_secs() < 20, "{unit}: {:?}", started.elapsed());
        }
        let steps: String = (0..700).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
        assert!(refused(&steps).contains("c.yaml"));
        // Closing brackets in quotes hide how deep it is.
        let hidden = "[\"]\",".repeat(size / 5);
        assert!(refused(&format!("fragments: {hidden}")).contains("c.yaml:1"));
        assert!(refused(&format!("fragments:\n{}", "[".repeat(size))).contains("c.yaml:2"));
        assert!(started.elapsed().as_secs() < 20, "took {:?}", started.elapsed());
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
