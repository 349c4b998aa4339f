//! `repro.sh`: how to repeat one cell by hand.

use std::path::{Path, PathBuf};

use super::Run;
use super::shares::{INITRAMFS, Share};
use crate::failure::Result;
use crate::plan::Cell;
use crate::qemu::{self, Files, Machine};
use crate::rundir::{make_executable, write_whole};

impl Run<'_> {
    pub(super) fn write_repro(
        &self,
        cell: &Cell,
        dir: &Path,
        machine: Machine<'_>,
        shares: &[Share],
    ) -> Result<()> {
        let boots: Vec<String> = shares.iter().map(|share| boot(cell, machine, share)).collect();
        let args: Vec<String> = ["cargo", "xtask", "matrix"]
            .into_iter()
            .map(str::to_owned)
            .chain(["--patch".to_owned(), self.dir.patch(&cell.tree).display().to_string()])
            .chain(self.repeat_args.iter().cloned())
            .chain(["--only".to_owned(), cell.id()])
            .collect();
        let script = REPRO
            .replace("@CELL@", &cell.id())
            .replace("@BOOTS@", &boots.join("\n"))
            .replace("@ROOT@", &qemu::shell_line(&[self.project.root.display().to_string()]))
            .replace("@MATRIX@", &qemu::shell_line(&args));
        let path = dir.join("repro.sh");
        write_whole(&path, script.as_bytes())?;
        make_executable(&path)
    }
}

/// Boots the guest where it was booted, one after another if there were several: they had no need of each other.
fn boot(cell: &Cell, machine: Machine<'_>, share: &Share) -> String {
    // Back from where it is started to the kernel, which is the cell's.
    let kernel: PathBuf = share.place.components().map(|_| "..").chain([cell.arch.kept()]).collect();
    let files = Files {
        kernel: &kernel,
        initramfs: Path::new(INITRAMFS),
        console: Path::new("again.console.log"),
        results: Path::new("again.results.log"),
    };
    let command = qemu::command(machine, files, &share.nonce.to_string(), &cell.variant.arguments);
    let mut lines = vec![qemu::shell_line(&command), "cat again.console.log again.results.log".to_owned()];
    if !share.place.as_os_str().is_empty() {
        lines.insert(0, format!("cd {}", share.place.display()));
        lines.push("cd ..".to_owned());
    }
    lines.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

const REPRO: &str = r#"#!/bin/sh
# Repeats the cell @CELL@.
#   ./repro.sh        boots the same image again; prints its console and its results
#   ./repro.sh build  builds it again from the patch of this run, and boots it
set -eu
case "${1:-boot}" in
boot)
    cd "$(dirname "$0")"
@BOOTS@
    ;;
build)
    cd @ROOT@
    exec @MATRIX@
    ;;
*)
    echo "usage: $0 [boot|build]" >&2
    exit 2
    ;;
esac
"#;
