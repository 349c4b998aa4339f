//! Of what a cell's kernel and a cell's boot depend on: the keys under which both are found again. Whatever can change
//! what comes out has to be in here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use super::boots::Prepared;
use super::{ReadyTree, Run, locked};
use crate::boot::qemu::{self, GuestFiles};
use crate::build::{self, Job};
use crate::cache::Key;
use crate::campaign::plan::Cell;
use crate::host::disk;
use crate::host::process::THIS_PROGRAM;
use crate::source::files::Changes;
use failure::{Context, Failure, Result};

/// Goes up when kernels are built in another way (the commands and their environment, crate::build), or when something
/// else is kept of them.
const KERNEL_VERSION: u32 = 3;
const BOOT_VERSION: u32 = 2;
/// Goes up when code is digested in another way (crate::build, `code`).
const CODE_VERSION: u8 = 4;

impl Run<'_> {
    /// Of the kernel that `job` makes from `tree` with `changes`.
    pub(super) fn kernel_key(&self, job: &Job<'_>, tree: &ReadyTree, changes: &Changes) -> Result<String> {
        let mut key = Key::new("kernel", KERNEL_VERSION)
            .with("tree", tree.work.identity()?.as_bytes())
            .with("arch", job.arch.name.as_bytes())
            .with("target", job.arch.target.as_bytes())
            .with("requests", crate::subject::kconfig::render(job.requests).as_bytes())
            .with("code", &[if job.keep_code { CODE_VERSION } else { 0 }])
            .with("counted", job.counted.join("\n").as_bytes());
        for (path, content) in changes {
            key = key.with_file(path, content.as_ref());
        }
        for path in job.touched {
            key = key.with("touched", path.as_bytes());
        }
        for tool in ["gcc", "ld"] {
            key = key.with(tool, version(&format!("{}{tool}", job.arch.prefix())).as_bytes());
        }
        // What the programs of kbuild itself are made by.
        Ok(key.with("host", version("gcc").as_bytes()).finish())
    }

    /// Of what a boot of the kernel in `dir` shows: whatever it was made from, the same image does the same.
    /// In how many guests at the same time is not asked: the tests are the same.
    pub(super) fn boot_key(&self, dir: &Path, cell: &Cell, prepared: &Prepared<'_>) -> Result<String> {
        let Prepared { machine, request, binaries } = prepared;
        let nowhere = Path::new("");
        let files = GuestFiles { kernel: nowhere, initramfs: nowhere, console: nowhere, results: nowhere };
        let command = qemu::command(*machine, files, "", &cell.variant.arguments);
        let initramfs = binaries.initramfs(request, &dir.join(build::KALLSYMS))?;
        let request = serde_json::to_vec(request).or_infra(|| "encode the request".to_owned())?;
        // The harness reads the console and the results: another one may see other things in them.
        let mut key = Key::new("boot", BOOT_VERSION);
        let mut parts = vec![machine.arch.kept(), build::SYMBOLS];
        // On some architectures they are one file.
        parts.dedup();
        for part in parts {
            key = key.with(part, disk::sha256(&dir.join(part))?.as_bytes());
        }
        let key = key
            .with("guest", &initramfs)
            .with("request", &request)
            .with("command", qemu::shell_line(&command).as_bytes())
            .with("qemu", version(machine.arch.qemu).as_bytes())
            .with("harness", this_program()?.as_bytes());
        Ok(key.finish())
    }
}

/// The first line of what a program says of itself; empty where it is missing, which is then the build's to say. Asked
/// once in a run.
fn version(program: &str) -> String {
    static KNOWN: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let mut known = locked(&KNOWN);
    if let Some(version) = known.get(program) {
        return version.clone();
    }
    let said = duct::cmd!(program, "--version").stdin_null().stderr_null().read().unwrap_or_default();
    let version = said.lines().next().unwrap_or_default().to_owned();
    known.insert(program.to_owned(), version.clone());
    version
}

/// The digest of this program, which does not change while it runs.
fn this_program() -> Result<&'static str> {
    static KNOWN: OnceLock<Result<String>> = OnceLock::new();
    KNOWN.get_or_init(|| disk::sha256(Path::new(THIS_PROGRAM))).as_deref().map_err(Failure::clone)
}
