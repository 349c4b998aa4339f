//! Selftests of a kernel tree (tools/testing/selftests) as static programs for a guest. Their own Makefiles build them,
//! confined, with the compiler of the host and the headers of the tree. What was built is kept by the content that it is
//! of. Runs none of them; which ones are worth it is for others to say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, elf};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wildmatch::WildMatch;

use crate::derive::selftests::SelftestPlace;
use crate::host::arch::Arch;
use crate::host::disk::{self, write_aside, write_whole};
use crate::host::process;
use crate::host::sandbox::{Access, INSIDE, Sandbox, View};
use failure::{Context, Failure, Result};
use patch::Content;

const SELFTESTS: &str = "tools/testing/selftests";

/// Changes whenever what is made of the same sources does.
const RECIPE: &str = "1";

/// Directories below the one that is asked for, itself among them.
const DIRS_MAX: usize = 8;

/// A program of a guest, all of which is in its memory.
const BYTES_MAX: u64 = 16 << 20;

/// A thousand headers, a shell for each.
const HEADERS_DEADLINE: Duration = Duration::from_secs(900);
const LIST_DEADLINE: Duration = Duration::from_secs(120);
const BUILD_DEADLINE: Duration = Duration::from_secs(600);

/// What a line begins with that lists programs.
const LISTED: &str = "patchproof-programs:";

/// The sources, and what builds them.
pub struct SelftestSources<'a> {
    /// The tree without the patch.
    pub tree: &'a Path,
    /// [`crate::source::worktree::WorkTree::identity`].
    pub identity: &'a str,
    /// What the patch puts on top.
    pub changed: &'a BTreeMap<String, Option<Content>>,
    pub arch: &'a Arch,
    pub sandbox: &'a Sandbox,
    /// Where it is built and kept.
    pub home: &'a Path,
    pub jobs: usize,
}

/// A program that a Makefile of selftests knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelftestProgram {
    /// Below tools/testing/selftests.
    pub dir: String,
    pub name: String,
}

/// What became of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelftestBuild {
    /// The static program.
    Program(PathBuf),
    /// In one line, why there is none.
    Not(String),
}

impl SelftestProgram {
    /// Its name among all of them.
    pub fn full_name(&self) -> String {
        format!("{}-{}", self.dir.replace('/', "-"), self.name)
    }
}

/// The sources while something is built of them.
pub struct SelftestTree<'a> {
    of: &'a SelftestSources<'a>,
    scratch: tempfile::TempDir,
    headers: PathBuf,
}

impl<'a> SelftestTree<'a> {
    /// Copies the selftests, because their Makefiles write next to their sources, and makes the tree's headers for programs.
    ///
    /// # Errors
    /// When there is no sandbox, on I/O failure, and when the headers cannot be made.
    pub fn open(of: &'a SelftestSources<'a>) -> Result<SelftestTree<'a>> {
        if !of.sandbox.is_on() {
            return Err(Failure::infra("selftests are only built confined").next("leave out --no-sandbox"));
        }
        disk::create_dir(of.home)?;
        let scratch = tempfile::tempdir_in(of.home)
            .or_infra(|| format!("make a directory in {}", of.home.display()))?;
        let (from, to) = (of.tree.join(SELFTESTS), scratch.path().join("selftests"));
        let copy = duct::cmd("cp", ["-a".as_ref(), from.as_os_str(), to.as_os_str()]);
        process::must("cp", copy, &scratch.path().join("copy.log"), LIST_DEADLINE)?;
        for (path, content) in of.changed {
            let Some(below) = path.strip_prefix(&format!("{SELFTESTS}/")) else { continue };
            put(&to.join(below), content.as_ref())?;
        }
        let mut tree = SelftestTree { of, scratch, headers: PathBuf::new() };
        tree.headers = tree.make_headers()?;
        Ok(tree)
    }

    /// The tree as it is patched, with the selftests in it that may be written.
    fn view(&self) -> Result<View> {
        let tree = Path::new("tree");
        let mut view = View::default().show(self.of.tree, tree, Access::Read).show(
            &self.scratch.path().join("selftests"),
            &tree.join(SELFTESTS),
            Access::Write,
        );
        for (index, (path, content)) in self.of.changed.iter().enumerate() {
            let there = self.of.tree.join(path);
            // A new file has no place in a tree that cannot be written.
            let is_file = std::fs::symlink_metadata(&there).is_ok_and(|found| found.is_file());
            if let (Some(content), true, false) = (content, is_file, path.starts_with(SELFTESTS)) {
                let aside = self.scratch.path().join(format!("changed-{index}"));
                write_whole(&aside, &content.bytes)?;
                view = view.show(&aside, &tree.join(path), Access::Read);
            }
        }
        Ok(view)
    }

    /// `make headers`, or what it made before of the same.
    fn make_headers(&self) -> Result<PathBuf> {
        let home = self.of.home.join(format!("headers-{}", self.of.key("headers")));
        let kept = home.join("usr/include");
        if home.join("whole").is_file() {
            return Ok(kept);
        }
        disk::discard(&home)?;
        disk::create_dir(&home)?;
        let view = self.view()?.show(&home, Path::new("headers"), Access::Write);
        let words = [
            "make".to_owned(),
            "-s".to_owned(),
            format!("-j{}", self.of.jobs),
            "-C".to_owned(),
            format!("{INSIDE}/tree"),
            format!("O={INSIDE}/headers"),
            format!("ARCH={}", self.of.arch.kernel_arch),
            "headers".to_owned(),
        ];
        let log = self.of.home.join("headers.log");
        process::must("make headers", self.of.sandbox.command(&words, &view), &log, HEADERS_DEADLINE)?;
        write_whole(&home.join("whole"), b"")?;
        Ok(kept)
    }

    /// The programs of `place`, as its Makefiles know them. Only C programs with a file of their own name.
    ///
    /// # Errors
    /// On I/O failure. A Makefile that cannot be read has no programs.
    pub fn programs(&self, place: &SelftestPlace) -> Result<Vec<SelftestProgram>> {
        let mut found: Vec<SelftestProgram> = Vec::new();
        for dir in self.dirs(place) {
            let mut words = self.make(&dir);
            words.extend([
                "-s".to_owned(),
                "--eval".to_owned(),
                format!(
                    "patchproof-list:;@echo '{LISTED}' $(or $(strip $(TEST_GEN_PROGS)),$(TEST_GEN_FILES))"
                ),
                "patchproof-list".to_owned(),
            ]);
            let (view, _) = self.with_out(&dir)?;
            let log = self.scratch.path().join("list.log");
            let Ok(said) = process::must("make", self.of.sandbox.command(&words, &view), &log, LIST_DEADLINE)
            else {
                continue;
            };
            let line = said.lines().find_map(|line| line.strip_prefix(LISTED)).unwrap_or_default();
            let names = line.split_whitespace().filter_map(|word| word.rsplit('/').next());
            let wanted = |name: &&str| {
                let source = self.scratch.path().join("selftests").join(&dir).join(format!("{name}.c"));
                is_name(name)
                    && source.is_file()
                    && place.names.as_ref().is_none_or(|pattern| WildMatch::new(pattern).matches(name))
            };
            found.extend(
                names.filter(wanted).map(|name| SelftestProgram { dir: dir.clone(), name: name.to_owned() }),
            );
        }
        let record = serde_json::to_vec(&found).or_infra(|| "write down the selftests".to_owned())?;
        write_aside(&self.of.list_of(place), &record)?;
        Ok(found)
    }

    /// The directory and those below it that have programs.
    fn dirs(&self, place: &SelftestPlace) -> Vec<String> {
        let top = self.scratch.path().join("selftests");
        let mut found = Vec::new();
        let mut left = vec![place.dir.clone()];
        while let Some(dir) = left.pop().filter(|_| found.len() < DIRS_MAX) {
            let path = top.join(&dir);
            let makefile = std::fs::read(path.join("Makefile")).unwrap_or_default();
            if String::from_utf8_lossy(&makefile).contains("lib.mk") {
                found.push(dir.clone());
            }
            if place.names.is_none() {
                let is_dir =
                    |path: &PathBuf| std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
                let mut below: Vec<String> = disk::entries(&path)
                    .into_iter()
                    .filter(is_dir)
                    .filter_map(|path| Some(format!("{dir}/{}", path.file_name()?.to_str()?)))
                    .collect();
                below.sort();
                left.extend(below.into_iter().rev());
            }
        }
        found
    }

    /// Builds programs of one directory.
    ///
    /// # Errors
    /// On I/O failure. A program that does not build is a value.
    pub fn build(&self, dir: &str, names: &[String]) -> Result<Vec<(String, SelftestBuild)>> {
        let (view, out) = self.with_out(dir)?;
        let inside = self.of.sandbox.name(&view, &out);
        let mut words = vec!["env".to_owned(), "LDFLAGS=-static".to_owned()];
        words.extend(self.make(dir));
        words.extend(["-k".to_owned(), format!("-j{}", self.of.jobs)]);
        words.extend(names.iter().map(|name| inside.join(name).display().to_string()));
        let log = self.scratch.path().join("build.log");
        let ran = process::must("make", self.of.sandbox.command(&words, &view), &log, BUILD_DEADLINE);
        if let Err(failure) = ran
            && process::interrupted()
        {
            return Err(failure);
        }
        let said = std::fs::read(&log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let kept = self.of.home.join(self.of.key(dir));
        disk::create_dir(&kept)?;
        let mut built = Vec::new();
        for name in names {
            let made = match program_of(&out.join(name)) {
                Ok(bytes) => {
                    write_aside(&kept.join(name), &bytes)?;
                    SelftestBuild::Program(kept.join(name))
                }
                Err(why) => SelftestBuild::Not(first_error(&said, name).unwrap_or(why)),
            };
            self.of.keep(dir, name, &made)?;
            built.push((name.clone(), made));
        }
        Ok(built)
    }

    /// The tree with the headers, and a directory for what is made of `dir`.
    fn with_out(&self, dir: &str) -> Result<(View, PathBuf)> {
        let out = self.scratch.path().join("out").join(dir);
        disk::create_dir(&out)?;
        let view = self.view()?.show(&self.headers, Path::new("tree/usr/include"), Access::Read).show(
            &out,
            Path::new("out"),
            Access::Write,
        );
        Ok((view, out))
    }

    fn make(&self, dir: &str) -> Vec<String> {
        let tree = format!("{INSIDE}/tree");
        vec![
            "make".to_owned(),
            "-C".to_owned(),
            format!("{tree}/{SELFTESTS}/{dir}"),
            format!("OUTPUT={INSIDE}/out"),
            format!("KHDR_INCLUDES=-isystem {tree}/usr/include"),
        ]
    }
}

impl SelftestSources<'_> {
    /// The programs of `place` when they were listed before of the same sources.
    pub fn listed(&self, place: &SelftestPlace) -> Option<Vec<SelftestProgram>> {
        let record = std::fs::read(self.list_of(place)).ok()?;
        let known: Vec<SelftestProgram> = serde_json::from_slice(&record).ok()?;
        known.iter().all(|program| is_name(&program.name)).then_some(known)
    }

    fn list_of(&self, place: &SelftestPlace) -> PathBuf {
        let SelftestPlace { dir, names } = place;
        self.home.join(format!("list-{}.json", self.key(&format!("list {dir} {names:?}"))))
    }

    /// What became of the program when it was built before of the same sources.
    pub fn kept(&self, program: &SelftestProgram) -> Option<SelftestBuild> {
        let record = std::fs::read(self.record(&program.dir, &program.name)).ok()?;
        let known: SelftestBuild = serde_json::from_slice(&record).ok()?;
        match &known {
            // It is looked at again: the directory may have come from elsewhere.
            SelftestBuild::Program(_) => {
                let path = self.home.join(self.key(&program.dir)).join(&program.name);
                program_of(&path).ok().map(|_| SelftestBuild::Program(path))
            }
            SelftestBuild::Not(_) => Some(known),
        }
    }

    fn keep(&self, dir: &str, name: &str, built: &SelftestBuild) -> Result<()> {
        let record = serde_json::to_vec(built).or_infra(|| "write down what was built".to_owned())?;
        write_aside(&self.record(dir, name), &record)
    }

    fn record(&self, dir: &str, name: &str) -> PathBuf {
        self.home.join(self.key(dir)).join(format!("{name}.json"))
    }

    /// A digest of all that decides what comes of `what`: of a patch, what is no code of the kernel itself.
    fn key(&self, what: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("{RECIPE}\0{}\0{}\0{what}\0", self.identity, self.arch.name));
        for (path, content) in self.changed.iter().filter(|(path, _)| is_for_programs(path)) {
            hash.update(path.as_bytes());
            hash.update([0]);
            hash.update(
                content.as_ref().map_or_else(Vec::new, |content| Sha256::digest(&content.bytes).to_vec()),
            );
        }
        disk::hex(&hash.finalize())[..16].to_owned()
    }
}

/// Programs are made of it, and not the kernel alone.
fn is_for_programs(path: &str) -> bool {
    path.starts_with("tools/") || path.contains("uapi/") || path.ends_with(".tbl")
}

fn put(path: &Path, content: Option<&Content>) -> Result<()> {
    match content {
        Some(content) => {
            path.parent().map_or(Ok(()), disk::create_dir)?;
            write_whole(path, &content.bytes)
        }
        None => match std::fs::remove_file(path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).or_infra(|| format!("remove {}", path.display())),
        },
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// The bytes of a static program, or why it is none.
fn program_of(path: &Path) -> std::result::Result<Vec<u8>, String> {
    let found = std::fs::symlink_metadata(path).map_err(|_| "no rule of its Makefile makes it".to_owned())?;
    if !found.is_file() || found.len() > BYTES_MAX {
        return Err(format!("what is made is no file of at most {} MiB", BYTES_MAX >> 20));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    match is_static(&bytes) {
        Some(true) => Ok(bytes),
        Some(false) => Err("it is not linked statically".to_owned()),
        None => Err("what is made is no program".to_owned()),
    }
}

fn is_static(bytes: &[u8]) -> Option<bool> {
    let header = elf::FileHeader64::<Endianness>::parse(bytes).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, bytes).ok()?;
    Some(!segments.iter().any(|segment| segment.p_type(endian) == elf::PT_INTERP))
}

/// The first thing that a compiler or linker said about the program, else about anything.
fn first_error(log: &str, name: &str) -> Option<String> {
    let is_error = |line: &&str| line.contains("error: ") || line.contains("undefined reference");
    let is_its = |line: &&str| line.contains(&format!("{name}.c:")) || line.contains(&format!("({name}.c"));
    let mut errors = log.lines().filter(is_error);
    let line = errors.clone().find(is_its).or_else(|| errors.next())?;
    Some(line.replace(INSIDE, "").trim_start_matches('/').chars().take(LINE_MAX).collect())
}

/// Of a compiler's line.
const LINE_MAX: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_error_is_of_the_program_if_there_is_one() {
        let log = "a.c:1:2: warning: x\nb.c:3:4: error: no y\na.c:5:6: error: no z\n/usr/bin/ld: (c.c.text): undefined reference \
                   to `w'\n";
        assert_eq!(first_error(log, "a").as_deref(), Some("a.c:5:6: error: no z"));
        assert_eq!(first_error(log, "d").as_deref(), Some("b.c:3:4: error: no y"));
        assert_eq!(first_error("fine\n", "a"), None);
    }

    #[test]
    fn programs_that_need_a_linker_are_not_static() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(is_static(&own), Some(false));
        assert_eq!(is_static(b"#!/bin/sh\n"), None);
    }

    #[test]
    fn a_patch_to_the_kernel_alone_takes_what_was_built_before() {
        let content = |text: &str| Some(Content::plain(text));
        let arch = crate::host::arch::find("x86_64").unwrap();
        let key = |changed: &[(&str, &str)]| {
            let changed = changed.iter().map(|(path, text)| ((*path).to_owned(), content(text))).collect();
            SelftestSources {
                tree: Path::new("t"),
                identity: "i",
                changed: &changed,
                arch,
                sandbox: &Sandbox::Off,
                home: Path::new("h"),
                jobs: 1,
            }
            .key("futex")
        };
        assert_eq!(key(&[]), key(&[("mm/slub.c", "x")]));
        assert_ne!(key(&[]), key(&[("tools/testing/selftests/futex/a.c", "x")]));
        assert_ne!(key(&[("include/uapi/linux/a.h", "x")]), key(&[("include/uapi/linux/a.h", "y")]));
    }
}
