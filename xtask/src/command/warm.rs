//! `cargo xtask warm`: builds the kernel ahead that patches without a campaign start from, and says what that took. It is the base
//! of a patch that changes no code.

use std::time::Instant;

use clap::Parser;

use super::{build, cli};
use crate::campaign;
use crate::campaign::project::Project;
use crate::host::disk::write_whole;
use crate::host::terminal;
use failure::{Context, Exit, Failure, Result};

/// Goes on any tree, and is part of no kernel.
const PATCH: &str = "From: patchproof <patchproof@localhost>\nSubject: [PATCH] Documentation: a file that nothing is built from\n\n\
    ---\ndiff --git a/Documentation/patchproof-warm.txt b/Documentation/patchproof-warm.txt\nnew file mode 100644\n--- /dev/null\n\
    +++ b/Documentation/patchproof-warm.txt\n@@ -0,0 +1 @@\n+Nothing is built from this.\n";

/// As they would be written behind `cargo xtask build`.
#[derive(Parser)]
pub struct BuildWords {
    #[command(flatten)]
    args: cli::BuildArgs,
}

/// Builds it.
///
/// # Errors
/// As `cargo xtask build`.
pub fn warm(project: &Project, args: &cli::WarmArgs) -> Result<Exit> {
    let started = Instant::now();
    let aside = tempfile::tempdir().or_infra(|| "make a directory aside".to_owned())?;
    let patch = aside.path().join("warm.patch");
    write_whole(&patch, PATCH.as_bytes())?;
    let (patch, out) = (patch.display().to_string(), aside.path().join("run").display().to_string());
    let mut words =
        vec!["build", "--campaign", campaign::ANY, "--only", "*/base", "--patch", &patch, "--out", &out];
    for tree in &args.trees {
        words.extend(["--tree", tree]);
    }
    if args.install_deps {
        words.push("--install-deps");
    }
    let words = BuildWords::try_parse_from(words)
        .map_err(|error| Failure::internal(format!("the words of a build: {error}")))?;
    let exit = build::build(project, &words.args)?;
    terminal::print_line(&format!(
        "the wide kernel is there after {:.0} s: a patch without a campaign starts from its objects",
        started.elapsed().as_secs_f64()
    ))?;
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patch_is_one_that_the_reader_takes() {
        let series = patch::read(PATCH.as_bytes(), "warm.patch").unwrap();
        assert_eq!(series.patches[0].files[0].path, "Documentation/patchproof-warm.txt");
    }
}
