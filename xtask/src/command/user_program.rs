//! What the user brings by `--run`: a C or Rust source, which is compiled here, confined and without libraries of this host; a
//! static program; or a script. It travels to the guest as it is, and is never executed on the host.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::build::guest::GuestFile;
use crate::host::arch::Arch;
use crate::host::disk;
use crate::host::input;
use crate::host::process;
use crate::host::sandbox::{Access, Sandbox, View};
use failure::{Context, Failure, Result};

/// Directory of the guest.
const DIR: &str = "user";

/// Of one source file.
const COMPILER_DEADLINE: Duration = Duration::from_secs(300);

/// A program of any size that belongs into memory.
const BYTES_MAX: u64 = 64 << 20;

/// The name of its workload, and its path in the guest.
///
/// # Errors
/// When there is no such file, or its name is none for a file of a guest.
pub fn place(path: &Path) -> Result<(String, String)> {
    let bad =
        |why: &str| Err(Failure::usage(format!("--run {}", input::shown(path))).because(why.to_owned()));
    if !path.is_file() {
        return bad("there is no such file");
    }
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if stem.is_empty() || !stem.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return bad("its name has to be of letters, digits, `-`, `_` and `.`");
    }
    Ok((format!("run-{stem}"), format!("/{DIR}/{stem}")))
}

/// Leaves the program of `path` for `arch` in the directory of a run.
///
/// # Errors
/// When it cannot be read or compiled: with the compiler's log.
pub fn prepare(path: &Path, arch: &Arch, sandbox: &Sandbox, run_dir: &Path) -> Result<()> {
    let (_, inside) = place(path)?;
    let dir = programs(run_dir, arch);
    std::fs::create_dir_all(&dir).or_infra(|| format!("make {}", dir.display()))?;
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let program = match ending {
        "c" | "rs" => compile(path, ending, arch, sandbox, run_dir)?,
        _ => path.to_owned(),
    };
    let size = std::fs::metadata(&program).or_infra(|| format!("read {}", program.display()))?.len();
    if size > BYTES_MAX {
        return Err(Failure::usage(format!("{} has {size} bytes", input::shown(&program)))
            .because(format!("a guest takes {} MiB at most", BYTES_MAX >> 20)));
    }
    let kept = dir.join(inside.rsplit('/').next().unwrap_or_default());
    std::fs::copy(&program, &kept).or_infra(|| format!("write {}", kept.display())).map(drop)
}

/// What [`prepare`] left for `arch`, for its guests.
///
/// # Errors
/// When a file cannot be read.
pub fn prepared(run_dir: &Path, arch: &Arch) -> Result<Vec<GuestFile>> {
    let file = |path: PathBuf| {
        let bytes = std::fs::read(&path).or_infra(|| format!("read {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(GuestFile { path: format!("{DIR}/{name}"), bytes: bytes.into() })
    };
    disk::entries(&programs(run_dir, arch)).into_iter().map(file).collect()
}

/// Leaves a static program for `arch` in the directory of a run, as [`prepare`] does; its path in the guest.
///
/// # Errors
/// On I/O failure.
pub fn keep(program: &Path, name: &str, arch: &Arch, run_dir: &Path) -> Result<String> {
    let dir = programs(run_dir, arch);
    std::fs::create_dir_all(&dir).or_infra(|| format!("make {}", dir.display()))?;
    let kept = dir.join(name);
    std::fs::copy(program, &kept).or_infra(|| format!("write {}", kept.display()))?;
    Ok(format!("/{DIR}/{name}"))
}

fn programs(run_dir: &Path, arch: &Arch) -> PathBuf {
    run_dir.join(DIR).join(arch.name)
}

/// One source file to one static program.
fn compile(path: &Path, ending: &str, arch: &Arch, sandbox: &Sandbox, run_dir: &Path) -> Result<PathBuf> {
    let out = run_dir.join(format!("compiled-{}", arch.name));
    std::fs::create_dir_all(&out).or_infra(|| format!("make {}", out.display()))?;
    let source = std::path::absolute(path).or_infra(|| format!("find {}", path.display()))?;
    let view = View::default()
        .show(&source, &Path::new("source").join(format!("source.{ending}")), Access::Read)
        .show(&out, Path::new("out"), Access::Write);
    let (from, to) = (sandbox.name(&view, &source), sandbox.name(&view, &out.join("program")));
    let (from, to) = (from.display().to_string(), to.display().to_string());
    let words: Vec<String> = match ending {
        "c" => vec![
            format!("{}gcc", arch.prefix()),
            "-O1".into(),
            "-static".into(),
            "-pthread".into(),
            from,
            "-o".into(),
            to,
        ],
        _ => [
            "rustc",
            "--edition",
            "2021",
            "-C",
            "target-feature=+crt-static",
            "--target",
            arch.rust_target,
            &from,
            "-o",
            &to,
        ]
        .map(str::to_owned)
        .into(),
    };
    let log = out.join("compiler.log");
    let ran = process::must(&words[0], sandbox.command(&words, &view), &log, COMPILER_DEADLINE);
    ran.map_err(|failure| {
        Failure::usage(format!("--run {} does not compile", input::shown(path)))
            .because(failure.what)
            .log(&log)
    })?;
    Ok(out.join("program"))
}
