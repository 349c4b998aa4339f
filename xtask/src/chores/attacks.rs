//! `cargo xtask attacks`: what a hostile patch could do while a real kernel is built from it, and what a clock that steps
//! could do to the objects of the patch before. Each must end as it has to; the first that does not ends the command.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::build::{self, sensitive};
use crate::campaign::project::BUILD_DIRS;
use crate::campaign::project::Project;
use crate::host::disk;
use crate::host::process::THIS_PROGRAM;
use crate::host::sandbox::INSIDE;
use crate::host::terminal;
use crate::source::files::OBJECTS;
use crate::source::{build_dir, objects};
use failure::{Context, Exit, Failure, Result};

/// The variant that the patch changes.
const VARIANT: &str = "pt-reclaim-off";

/// Seconds by which a clock steps between the build of a sound patch and that of a bad one.
const STEPS: [i64; 6] = [1, -1, 3600, -3600, 86_400, -86_400];

/// Runs all of them in the build directories of the user.
///
/// # Errors
/// When an attack succeeds, or a bad patch is not failed after it.
pub fn attacks(project: &Project) -> Result<Exit> {
    let dir = project.work().join("attacks");
    disk::discard(&dir)?;
    disk::create_dir(&dir)?;
    // Each run's patches are others: no kernel of an earlier one is theirs.
    let mut place = AttackDir { project, dir, number: std::process::id() as usize % 10_000 * 100 };
    place.build_code()?;
    place.host_inputs()?;
    for secs in STEPS {
        place.clock(secs)?;
    }
    Ok(Exit::Ok)
}

struct AttackDir<'a> {
    project: &'a Project,
    dir: PathBuf,
    /// Makes each patch another one, so that no kernel is from the cache.
    number: usize,
}

/// What a run said of the pair of [`VARIANT`].
struct AttackRun {
    exit: Option<i32>,
    verdict: String,
    reasons: String,
    /// The digest of the patched kernel; empty: there is none.
    kernel: String,
}

impl AttackDir<'_> {
    /// Builds a sound patch, lets the clock step, and builds a bad one, which must fail by what it lacks; then steps again,
    /// and builds the sound one, which must be the same kernel as before.
    fn clock(&mut self, secs: i64) -> Result<()> {
        let good = self.patch(true, "")?;
        let before = self.run(&good, &[])?;
        self.step(secs)?;
        let bad = self.patch(false, "")?;
        let ran = self.run(&bad, &[])?;
        must_fail(&ran, &format!("after a step of the clock by {secs} s"))?;
        self.step(secs)?;
        self.number += 1;
        let after = self.run(&good, &["--rebuild"])?;
        if before.kernel.is_empty() || before.kernel != after.kernel {
            return Err(Failure::internal(format!(
                "after a step of the clock by {secs} s a kernel is another one"
            ))
            .because(format!("vmlinux {:?}, then {:?}", before.kernel, after.kernel)));
        }
        terminal::print_line(&format!(
            "clock stepped by {secs} s: the patch that does not wait is a {}, the sound one the same kernel again",
            ran.verdict
        ))
    }

    fn step(&self, secs: i64) -> Result<()> {
        for tree in self.build_dirs()? {
            shift(&tree, secs).or_infra(|| format!("shift the times in {}", tree.display()))?;
        }
        Ok(())
    }

    /// Builds a patch whose makefile tries to get out, and looks at what it reached.
    fn build_code(&mut self) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").or_infra(|| "listen on the loopback".to_owned())?;
        listener.set_nonblocking(true).or_infra(|| "listen on the loopback".to_owned())?;
        let port = listener.local_addr().or_infra(|| "listen on the loopback".to_owned())?.port();
        let before = self.cache()?;
        let marks = self.marks();
        let hostile = self.patch(true, &self.makefile(&marks, port)?)?;
        let ran = self.run(&hostile, &[])?;
        let reached = |what: String| {
            Err(Failure::internal("code of a patch got out of its build").because(what).log(&self.dir))
        };
        if !self.build_dirs()?.iter().any(|tree| tree.join(OBJECTS).join(RAN).exists()) {
            return Err(Failure::infra("the code of the makefile was not executed, so nothing was tried")
                .log(&self.dir));
        }
        if let Some(mark) = marks.iter().find(|mark| mark.exists()) {
            return reached(format!("it wrote {}", mark.display()));
        }
        if listener.accept().is_ok() {
            return reached("it reached a listener on the loopback".to_owned());
        }
        if let Some(process) = processes().into_iter().find(|words| words.contains(PROCESS)) {
            return reached(format!("it left a process behind: {process}"));
        }
        let after = self.cache()?;
        if let Some(entry) = before.iter().find(|entry| !after.contains(entry)) {
            return reached(format!("a cached file is not what it was: {}", entry.0.display()));
        }
        terminal::print_line(&format!(
            "code that a makefile executes: nothing written, reached or left; the patch is {}",
            ran.verdict
        ))?;
        let bad = self.patch(false, "")?;
        must_fail(&self.run(&bad, &[])?, "after a patch that set the times of its objects to 2099")
    }

    /// Files that the makefile tries to write.
    fn marks(&self) -> Vec<PathBuf> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let dirs = [
            self.project.root.clone(),
            self.project.work(),
            PathBuf::from("/tmp"),
            PathBuf::from("/var/tmp"),
        ];
        dirs.into_iter()
            .chain(home)
            .map(|dir| dir.join(format!(".patchproof-attack-{}", self.number)))
            .collect()
    }

    /// A hunk for `mm/Makefile` that does all of it.
    fn makefile(&self, marks: &[PathBuf], port: u16) -> Result<String> {
        let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
        let mut steps: Vec<String> = marks.iter().map(|mark| format!("echo x > {}", quoted(mark))).collect();
        steps.push(format!("echo x > {RAN}"));
        steps.push(format!("for f in {}/kernels/*/*; do echo x >> $$f; done", quoted(&self.project.cache())));
        steps.push(format!("for f in {INSIDE}/tree/mm/*.c; do echo x >> $$f; done"));
        steps.push(format!("bash -c 'echo x > /dev/tcp/127.0.0.1/{port}'"));
        steps.push(format!("(setsid sh -c '{PROCESS}=1; sleep 600' &)"));
        steps.push("(sh -c 'sleep 5; touch -d 2099-01-01 mm/*.o' &)".to_owned());
        let line = format!("patchproof_attack := $(shell ({}) > /dev/null 2>&1)", steps.join("; "));
        let tree = self.tree()?.join("mm/Makefile");
        let text = std::fs::read_to_string(&tree).or_infra(|| format!("read {}", tree.display()))?;
        let context: Vec<String> = text.lines().take(3).map(|line| format!(" {line}\n")).collect();
        Ok(format!(
            "diff --git a/mm/Makefile b/mm/Makefile\n--- a/mm/Makefile\n+++ b/mm/Makefile\n@@ -1,3 +1,4 @@\n+{line}\n{}",
            context.concat()
        ))
    }

    /// All that programs of a build were made of is known to be executed on the host.
    fn host_inputs(&self) -> Result<()> {
        let mut unknown: Vec<String> = Vec::new();
        let mut programs = 0;
        for tree in self.build_dirs()? {
            let records = objects::records(&tree.join(OBJECTS));
            for record in records.or_infra(|| format!("read the objects in {}", tree.display()))? {
                let text = String::from_utf8_lossy(&std::fs::read(&record).unwrap_or_default()).into_owned();
                // Everything that is compiled for the guest is told that it is the kernel's (Makefile, KBUILD_CPPFLAGS).
                if text.contains("-D__KERNEL__") || !text.contains("\nsource_") {
                    continue;
                }
                programs += 1;
                // Where the compiler ran: the host tools below tools/ are built in their own directories.
                let below = record.strip_prefix(tree.join(OBJECTS)).unwrap_or(&record);
                let ran_in = match below.strip_prefix("tools") {
                    Ok(tool) => Path::new("tools")
                        .join(tool.components().next().map_or("".as_ref(), |name| name.as_os_str())),
                    Err(_) => PathBuf::from(OBJECTS),
                };
                let inputs = text
                    .lines()
                    .filter_map(|line| input(line, &ran_in))
                    .filter(|input| tree_has(self, input));
                unknown.extend(inputs.filter(|input| !sensitive::runs_on_host(input)));
            }
        }
        unknown.sort();
        unknown.dedup();
        if programs == 0 {
            return Err(Failure::infra("no program of a build was found, so nothing was compared"));
        }
        match unknown.as_slice() {
            [] => terminal::print_line(&format!(
                "inputs of {programs} programs that builds execute: all are known as such"
            )),
            some => Err(some.iter().fold(
                Failure::internal("a build executes what xtask/engine/src/build/sensitive.rs does not know"),
                |failure, input| failure.because(input.clone()),
            )),
        }
    }

    fn tree(&self) -> Result<PathBuf> {
        Ok(self.build_dirs()?.remove(0))
    }

    /// The trees of the build directories of [`VARIANT`].
    fn build_dirs(&self) -> Result<Vec<PathBuf>> {
        let homes = crate::source::homes(&self.project.work());
        let build_dirs = homes.iter().flat_map(|home| disk::entries(&home.join(BUILD_DIRS)));
        let is_it = |home: &PathBuf| {
            home.file_name().is_some_and(|name| name.to_string_lossy().contains(VARIANT)) && home.is_dir()
        };
        let trees: Vec<PathBuf> = build_dirs.filter(is_it).map(|home| build_dir::tree_in(&home)).collect();
        match trees.is_empty() {
            true => Err(Failure::infra(format!("no build directory of {VARIANT} is there yet"))
                .next(format!("cargo xtask matrix --only '*/{VARIANT}/*'"))),
            false => Ok(trees),
        }
    }

    /// Digests of all files in the cache.
    fn cache(&self) -> Result<Vec<(PathBuf, String)>> {
        let entries = disk::entries(&self.project.cache().join("kernels"));
        let files = entries.iter().flat_map(|entry| disk::entries(entry));
        files.map(|file| Ok((file.clone(), disk::sha256(&file)?))).collect()
    }

    /// The campaign's patch as no one before: sound, or without its wait; with `more` hunks.
    fn patch(&mut self, sound: bool, more: &str) -> Result<PathBuf> {
        const WAIT: &str = "+\tsynchronize_rcu();";
        self.number += 1;
        let mut text = super::bench::edited(self.project, 10_000 + self.number)?;
        if !text.contains(WAIT) {
            return Err(Failure::internal("the campaign's patch does not wait any more"));
        }
        if !sound {
            text = text.replacen(WAIT, "+\tbarrier();", 1);
        }
        let diff = text.lines().skip_while(|line| !line.starts_with("diff --git"));
        let diff: String =
            diff.take_while(|line| *line != "-- ").map(|line| line.to_owned() + "\n").collect();
        let file = self.dir.join(format!("{}.patch", self.number));
        std::fs::write(&file, diff + more).or_infra(|| format!("write {}", file.display()))?;
        Ok(file)
    }

    fn run(&self, patch: &Path, more: &[&str]) -> Result<AttackRun> {
        let out = self.dir.join(format!("run-{}", self.number));
        let cells = ["base", "patched"].map(|arm| format!("--only=*/x86_64/{VARIANT}/{arm}"));
        let mut command = Command::new(THIS_PROGRAM);
        command.args(["matrix", "--suite", "quick", "--recorded", "--out"]).arg(&out).args(cells).args(more);
        let output = command.arg("--patch").arg(patch).output().or_infra(|| "start the matrix".to_owned())?;
        let no_report = |failure: Failure| {
            failure
                .because(format!("of {}", patch.display()))
                .because(String::from_utf8_lossy(&output.stderr))
                .log(&out)
        };
        let report = super::report_in(&out).map_err(no_report)?;
        let pair = report.pairs.first();
        let tree = pair.map_or("", |pair| pair.tree.as_str());
        let cell = out.join("cells").join(tree).join("x86_64").join(VARIANT).join("patched");
        Ok(AttackRun {
            exit: output.status.code(),
            verdict: pair.map_or("no verdict", |pair| pair.verdict.name()).to_owned(),
            reasons: pair.map(|pair| pair.reasons.join("; ")).unwrap_or_default(),
            kernel: disk::sha256(&cell.join(build::SYMBOLS)).unwrap_or_default(),
        })
    }
}

/// Among its own objects the makefile may write.
const RAN: &str = "patchproof-attack-ran";

/// In the environment of the process that the makefile tries to leave behind.
const PROCESS: &str = "patchproof_attack_process";

/// A patch that does not wait where it must.
fn must_fail(ran: &AttackRun, when: &str) -> Result<()> {
    let found = ran.reasons.contains("; measured: 0");
    if ran.verdict == "fail" && ran.exit == Some(Exit::PatchFailed as i32) && found {
        return Ok(());
    }
    Err(Failure::internal(format!("a patch that waits for nothing was not failed {when}"))
        .because(format!("verdict {}, exit {:?}: {}", ran.verdict, ran.exit, ran.reasons)))
}

/// Command lines of all processes of this host.
fn processes() -> Vec<String> {
    let words = |dir: &PathBuf| std::fs::read(dir.join("cmdline")).ok();
    disk::entries(Path::new("/proc"))
        .iter()
        .filter_map(words)
        .map(|words| String::from_utf8_lossy(&words).replace('\0', " "))
        .collect()
}

/// As if the clock had stood otherwise when the files were written.
fn shift(dir: &Path, secs: i64) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            shift(&entry.path(), secs)?;
        } else if entry.file_type()?.is_file() {
            let (time, by) = (entry.metadata()?.modified()?, Duration::from_secs(secs.unsigned_abs()));
            crate::source::stamp::set(&entry.path(), if secs < 0 { time - by } else { time + by })?;
        }
    }
    Ok(())
}

/// The file of the tree that a line of a record names, where the compiler ran in the directory `ran_in` of the tree.
fn input(line: &str, ran_in: &Path) -> Option<String> {
    let line = line.trim().trim_end_matches(" \\");
    let path = line.split_once(" := ").map_or(line, |(_, path)| path);
    let tree = format!("{INSIDE}/tree/");
    let full = match path.strip_prefix(&tree) {
        Some(below) => PathBuf::from(below),
        None if path.starts_with("../") => ran_in.join(path),
        None => return None,
    };
    let plain = full.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            std::path::Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
        plain
    });
    (!path.contains(' ')).then(|| plain.display().to_string())
}

fn tree_has(place: &AttackDir<'_>, input: &str) -> bool {
    place.tree().is_ok_and(|tree| tree.join(input).is_file()) && !input.starts_with("patchproof-objects/")
}
