//! `repro.sh`: how to repeat one cell by hand.

use std::path::Path;

use super::Run;
use super::shards::Shard;
use crate::boot::qemu::{self, Machine};
use crate::campaign::plan::Cell;
use crate::host::disk::{make_executable, write_whole};
use failure::Result;

impl Run<'_> {
    pub(super) fn write_repro(
        &self,
        cell: &Cell,
        dir: &Path,
        machine: Machine<'_>,
        shards: &[Shard],
    ) -> Result<()> {
        let boots: Vec<String> = shards.iter().map(|shard| self.boot_again(cell, machine, shard)).collect();
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

impl Run<'_> {
    /// Boots the guest where it was booted, one after another if there were several: they had no need of each other.
    fn boot_again(&self, cell: &Cell, machine: Machine<'_>, shard: &Shard) -> String {
        // The script stands in the cell's directory.
        let here = Path::new(".");
        let home = here.join(&shard.place);
        let logs = ["again.console.log", "again.results.log"];
        let command = shard.command(cell, machine, Path::new(logs[0]), Path::new(logs[1]));
        let written = logs.map(|log| home.join(log));
        let view = shard.view(here, machine, [&written[0], &written[1]]);
        let words = self.sandbox.around(&command, &view);
        let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let names = |names: [String; 2]| format!("{} {}", names[0], names[1]);
        let written = names(written.map(|path| qemu::shell_line(&[path.display().to_string()])));
        let home = qemu::shell_line(&[home.display().to_string()]);
        // Without a sandbox QEMU has to be started where it names its files from.
        let start = if self.sandbox.is_on() { String::new() } else { format!("cd {home} && ") };
        [
            format!("mkdir -p {home}/{}", qemu::MONITOR_DIR),
            format!("for log in {written}; do : >\"$log\"; done"),
            format!("({start}{})", qemu::shell_line(&words)),
            format!("cat {written}"),
        ]
        .map(|line| format!("    {line}"))
        .join("\n")
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
