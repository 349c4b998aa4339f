//! `repro.sh`: how to repeat one cell by hand.

use std::path::Path;

use protocol::Nonce;

use super::Run;
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
        nonce: &Nonce,
    ) -> Result<()> {
        let files = Files {
            kernel: Path::new(cell.arch.kept()),
            initramfs: Path::new("initramfs.cpio"),
            console: Path::new("again.console.log"),
            results: Path::new("again.results.log"),
        };
        let boot = qemu::command(machine, files, &nonce.to_string(), &cell.variant.arguments);
        let boot = qemu::shell_line(&boot);
        let args: Vec<String> = ["cargo", "xtask", "matrix"]
            .into_iter()
            .map(str::to_owned)
            .chain(["--patch".to_owned(), self.dir.patch(&cell.tree).display().to_string()])
            .chain(self.repeat_args.iter().cloned())
            .chain(["--only".to_owned(), cell.id()])
            .collect();
        let script = REPRO
            .replace("@CELL@", &cell.id())
            .replace("@BOOT@", &boot)
            .replace("@ROOT@", &qemu::shell_line(&[self.project.root.display().to_string()]))
            .replace("@MATRIX@", &qemu::shell_line(&args));
        let path = dir.join("repro.sh");
        write_whole(&path, script.as_bytes())?;
        make_executable(&path)
    }
}

const REPRO: &str = r#"#!/bin/sh
# Repeats the cell @CELL@.
#   ./repro.sh        boots the same image again; prints its console and its results
#   ./repro.sh build  builds it again from the patch of this run, and boots it
set -eu
case "${1:-boot}" in
boot)
    cd "$(dirname "$0")"
    @BOOT@
    cat again.console.log again.results.log
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
