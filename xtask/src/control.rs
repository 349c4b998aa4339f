//! A control: a patch on top of the patched arm that plants one bug, and says in its header which evidence must
//! expose it. A control caught by anything else is not caught.

use std::path::Path;

use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::splat;

/// What a control's header promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Control {
    pub name: String,
    /// The bug, one line.
    pub plants: String,
    pub exposed_by: Exposure,
}

/// The one kind of evidence that counts as catching a control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exposure {
    /// A splat of this kind, whose headline names this source file if one is given.
    Splat { kind: splat::Kind, file: Option<String> },
}

impl std::fmt::Display for Exposure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exposure::Splat { kind, file: Some(file) } => write!(f, "splat {} at {file}", kind.name()),
            Exposure::Splat { kind, file: None } => write!(f, "splat {}", kind.name()),
        }
    }
}

impl Control {
    /// Reads the header of the patch file of control `name`: everything above its first `diff`, with the lines
    /// `Plants: TEXT` and `Exposed-by: splat KIND [at FILE]` once each.
    ///
    /// # Errors
    /// When a line is missing, there twice, or names a kind of splat that is not known.
    pub fn parse(name: &str, path: &Path, text: &str) -> Result<Control> {
        let plants = header_line(path, text, "Plants")?;
        let exposed_by = header_line(path, text, "Exposed-by")?;
        let exposed_by = exposure(&exposed_by).ok_or_else(|| {
            Failure::usage(format!("{}: cannot read `Exposed-by: {exposed_by}`", path.display()))
                .next("write `Exposed-by: splat KIND`, or `Exposed-by: splat KIND at FILE`")
                .next(format!("kinds: {}", splat::Kind::all_names().join(", ")))
        })?;
        Ok(Control { name: name.to_owned(), plants, exposed_by })
    }
}

fn header_line(path: &Path, text: &str, key: &str) -> Result<String> {
    let header = text.lines().take_while(|line| !line.starts_with("diff "));
    let found: Vec<&str> =
        header.filter_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim).collect();
    match found.as_slice() {
        [one] if !one.is_empty() => Ok((*one).to_owned()),
        [] | [_] => Err(Failure::usage(format!("{}: the header has no `{key}:` line", path.display()))),
        _ => Err(Failure::usage(format!("{}: the header has several `{key}:` lines", path.display()))),
    }
}

fn exposure(text: &str) -> Option<Exposure> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["splat", kind] => Some(Exposure::Splat { kind: splat::Kind::from_name(kind)?, file: None }),
        ["splat", kind, "at", file] => {
            Some(Exposure::Splat { kind: splat::Kind::from_name(kind)?, file: Some((*file).to_owned()) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Control> {
        Control::parse("c", Path::new("c.patch"), text)
    }

    #[test]
    fn the_header_says_what_is_planted_and_what_must_expose_it() {
        let control =
            parse("Plants: a bug\nExposed-by: splat might-sleep at mm/x.c\n---\ndiff --git").unwrap();
        assert_eq!(control.plants, "a bug");
        assert_eq!(control.exposed_by.to_string(), "splat might-sleep at mm/x.c");
    }

    #[test]
    fn a_header_without_evidence_or_with_an_unknown_kind_is_refused() {
        assert!(parse("Plants: a bug\n").is_err());
        let failure = parse("Plants: a bug\nExposed-by: splat magic\n").unwrap_err();
        assert!(failure.next.iter().any(|step| step.contains("might-sleep")), "{failure}");
        assert!(parse("Plants: a\nPlants: b\nExposed-by: splat might-sleep\n").is_err());
    }
}
