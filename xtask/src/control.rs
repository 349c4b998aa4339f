//! A control: a patch on top of the patched arm that plants one bug, and says in its header which evidence must
//! expose it. A control caught by anything else is not caught.

use std::path::Path;

use crate::failure::{Failure, Result};
use crate::splat;
use crate::witness::{Counted, Witness};

/// What a control's header promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    pub name: String,
    /// The bug, one line.
    pub plants: String,
    pub exposed_by: Exposure,
    /// The version of the patch that it is planted in, or the tree whose backport it is planted in; none: the patch
    /// under test.
    pub on: Option<String>,
}

/// The one kind of evidence that counts as catching a control. A scenario, where one is named, must be the only
/// one that shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exposure {
    /// A splat of this kind, whose headline names this source file if one is given.
    Splat { kind: splat::Kind, file: Option<String> },
    /// Under injection, this mechanism did not run once per failure.
    Count { mechanism: Counted, scenario: Option<String> },
    /// With injection off, this mechanism ran.
    Quiet { mechanism: Counted, scenario: Option<String> },
    /// Page tables were freed before anything was waited for.
    Order { scenario: Option<String> },
    /// Page tables were not freed.
    Tables { scenario: Option<String> },
    /// Something that a guest test counts by itself.
    Done { what: String, scenario: Option<String> },
    /// The kernel does not compile.
    Build,
    /// The guest stopped before its end.
    End,
}

impl Exposure {
    /// `witness` is the evidence meant.
    pub fn is(&self, witness: &Witness) -> bool {
        self.scenario_fits(witness, |wanted, seen| wanted.is_none_or(|wanted| wanted == seen))
    }

    /// `witness` is of the kind meant, but from a scenario that must not show it.
    pub fn is_elsewhere(&self, witness: &Witness) -> bool {
        self.scenario_fits(witness, |wanted, seen| wanted.is_some_and(|wanted| wanted != seen))
    }

    /// The scenario that alone must show it.
    pub fn scenario(&self) -> Option<&str> {
        match self {
            Exposure::Count { scenario, .. }
            | Exposure::Quiet { scenario, .. }
            | Exposure::Order { scenario }
            | Exposure::Tables { scenario }
            | Exposure::Done { scenario, .. } => scenario.as_deref(),
            Exposure::Splat { .. } | Exposure::Build | Exposure::End => None,
        }
    }

    fn scenario_fits(&self, witness: &Witness, fits: impl Fn(Option<&str>, &str) -> bool) -> bool {
        match (self, witness) {
            (Exposure::Splat { kind, file }, Witness::Splat { kind: seen, file: at }) => {
                kind == seen && (file.is_none() || file == at) && fits(None, "")
            }
            (Exposure::Count { mechanism, scenario }, Witness::Count { mechanism: seen, scenario: at })
            | (Exposure::Quiet { mechanism, scenario }, Witness::Quiet { mechanism: seen, scenario: at }) => {
                mechanism == seen && fits(scenario.as_deref(), at)
            }
            (Exposure::Order { scenario }, Witness::Order { scenario: at })
            | (Exposure::Tables { scenario }, Witness::Tables { scenario: at }) => {
                fits(scenario.as_deref(), at)
            }
            (Exposure::Done { what, scenario }, Witness::Done { what: seen, scenario: at }) => {
                what == seen && fits(scenario.as_deref(), at)
            }
            (Exposure::Build, Witness::Build) | (Exposure::End, Witness::End) => fits(None, ""),
            _ => false,
        }
    }
}

impl std::fmt::Display for Exposure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = |scenario: &Option<String>| {
            scenario.as_ref().map(|name| format!(" in {name}")).unwrap_or_default()
        };
        match self {
            Exposure::Splat { kind, file: Some(file) } => write!(f, "splat {} at {file}", kind.name()),
            Exposure::Splat { kind, file: None } => write!(f, "splat {}", kind.name()),
            Exposure::Count { mechanism, scenario } => {
                write!(f, "count {}{}", mechanism.name(), place(scenario))
            }
            Exposure::Quiet { mechanism, scenario } => {
                write!(f, "quiet {}{}", mechanism.name(), place(scenario))
            }
            Exposure::Order { scenario } => write!(f, "order{}", place(scenario)),
            Exposure::Tables { scenario } => write!(f, "tables{}", place(scenario)),
            Exposure::Done { what, scenario } => write!(f, "done {what}{}", place(scenario)),
            Exposure::Build => write!(f, "build"),
            Exposure::End => write!(f, "end"),
        }
    }
}

impl Control {
    /// Reads the header of the patch file of control `name`: everything above its first `diff`, with the lines
    /// `Plants: TEXT` and `Exposed-by: splat KIND [at FILE]` once each, and `On: VERSION` where it is not made for the
    /// patch under test.
    ///
    /// # Errors
    /// When a line is missing, there twice, or names a kind of splat that is not known.
    pub fn parse(name: &str, path: &Path, text: &str) -> Result<Control> {
        let required = |key: &str| {
            header_line(path, text, key)?
                .ok_or_else(|| Failure::usage(format!("{}: the header has no `{key}:` line", path.display())))
        };
        let (plants, exposed_by) = (required("Plants")?, required("Exposed-by")?);
        let on = header_line(path, text, "On")?;
        let exposed_by = exposure(&exposed_by).ok_or_else(|| {
            Failure::usage(format!("{}: cannot read `Exposed-by: {exposed_by}`", path.display()))
                .next("write `splat KIND [at FILE]`, `count MECHANISM [in SCENARIO]`, `quiet MECHANISM [in SCENARIO]`, `order [in SCENARIO]`, `tables [in SCENARIO]`, `done WHAT [in SCENARIO]`, `build` or `end`")
                .next(format!("kinds: {}", splat::Kind::all_names().join(", ")))
        })?;
        Ok(Control { name: name.to_owned(), plants, exposed_by, on })
    }
}

fn header_line(path: &Path, text: &str, key: &str) -> Result<Option<String>> {
    let header = text.lines().take_while(|line| !line.starts_with("diff "));
    let found: Vec<&str> =
        header.filter_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim).collect();
    match found.as_slice() {
        [one] if !one.is_empty() => Ok(Some((*one).to_owned())),
        [] | [_] => Ok(None),
        _ => Err(Failure::usage(format!("{}: the header has several `{key}:` lines", path.display()))),
    }
}

fn exposure(text: &str) -> Option<Exposure> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (words, place) = match words.as_slice() {
        [words @ .., "in" | "at", place] => (words, Some((*place).to_owned())),
        words => (words, None),
    };
    let counted = |name: &str| Counted::ALL.into_iter().find(|counted| counted.name() == name);
    match *words {
        ["splat", kind] => Some(Exposure::Splat { kind: splat::Kind::from_name(kind)?, file: place }),
        ["count", mechanism] => Some(Exposure::Count { mechanism: counted(mechanism)?, scenario: place }),
        ["quiet", mechanism] => Some(Exposure::Quiet { mechanism: counted(mechanism)?, scenario: place }),
        ["order"] => Some(Exposure::Order { scenario: place }),
        ["tables"] => Some(Exposure::Tables { scenario: place }),
        ["done", what] => Some(Exposure::Done { what: what.to_owned(), scenario: place }),
        ["build"] if place.is_none() => Some(Exposure::Build),
        ["end"] if place.is_none() => Some(Exposure::End),
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
        assert_eq!((control.plants.as_str(), control.on), ("a bug", None));
        let on = parse("Plants: a bug\nExposed-by: build\nOn: v1\n---\n").unwrap().on;
        assert_eq!(on.as_deref(), Some("v1"));
        assert_eq!(control.exposed_by.to_string(), "splat might-sleep at mm/x.c");
        for text in [
            "splat oops",
            "count rcu_sync",
            "count ipi in exit",
            "quiet call_rcu",
            "count direct_frees",
            "order",
            "tables in munmap",
            "done own-accepted in process-madvise",
            "build",
        ] {
            assert_eq!(exposure(text).map(|exposure| exposure.to_string()).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_header_without_evidence_or_with_an_unknown_kind_is_refused() {
        assert!(parse("Plants: a bug\n").is_err());
        let failure = parse("Plants: a bug\nExposed-by: splat magic\n").unwrap_err();
        assert!(failure.next.iter().any(|step| step.contains("might-sleep")), "{failure}");
        assert!(parse("Plants: a\nPlants: b\nExposed-by: splat might-sleep\n").is_err());
    }
}
