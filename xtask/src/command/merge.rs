//! `cargo xtask merge DIR…`: joins the directories of the parts of one run to the directory of one run, and judges it. Builds and
//! boots nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::conclude::publish;
use super::join::{self, JoinedRun, PartRun};
use super::part::PartRecord;
use super::planned::{Course, Planned};
use super::{builds, cli};
use crate::campaign::partition::JudgedPair;
use crate::campaign::project::Project;
use crate::host::input::shown;
use crate::host::{disk, terminal};
use crate::report::progress::Loudness;
use crate::report::{Shown, TreeReport};
use crate::run::EVIDENCE;
use crate::run::rundir::RunDir;
use failure::{Context, Exit, Failure, Result, escape};

/// A part with the directory that it is in.
struct FoundPart {
    dir: PathBuf,
    record: PartRecord,
    run: PartRun,
}

/// Joins the parts, and writes and prints the report of the whole.
///
/// # Errors
/// When a directory is no part, or the parts are not of one plan, or one is there twice. One that is missing is none: what it
/// had to run was not run.
pub fn merge(project: &Project, args: &cli::MergeArgs) -> Result<Exit> {
    let dirs = args.dirs.iter().map(|dir| super::run_dir(project, dir)).collect::<Result<Vec<_>>>()?;
    let parts = read_parts(project, &dirs)?;
    let dir = RunDir::create(project, args.out.as_deref())?;
    write(&parts, &dir, args.format, args.verbose)
}

/// Joins the parts in `dirs` in the directory `dir`.
///
/// # Errors
/// As [`merge`].
pub fn merge_in(project: &Project, dirs: &[PathBuf], dir: &RunDir, args: &cli::MatrixArgs) -> Result<Exit> {
    write(&read_parts(project, dirs)?, dir, args.format, args.pace.verbose)
}

fn read_parts(project: &Project, dirs: &[PathBuf]) -> Result<Vec<FoundPart>> {
    let mut parts: Vec<FoundPart> = Vec::new();
    for dir in dirs {
        let part = FoundPart::read(project, dir)?;
        if let Some(first) = parts.first() {
            require_same_plan(first, &part)?;
        }
        if let Some(twin) = parts.iter().find(|other| other.run.number == part.run.number) {
            return Err(Failure::usage(format!("part {} is there twice", part.record.partition))
                .because(format!("in {} and in {}", shown(&twin.dir), shown(&part.dir)))
                .next("name each part once"));
        }
        parts.push(part);
    }
    parts.sort_by_key(|part| part.run.number);
    require_same_trees(&parts)?;
    Ok(parts)
}

impl FoundPart {
    fn read(project: &Project, dir: &Path) -> Result<FoundPart> {
        let record = PartRecord::read(dir)?;
        builds::require_boot(project, dir)?;
        let planned = dir.join("plan.json").exists().then(|| Planned::read(dir)).transpose()?;
        if let Some(planned) = &planned
            && planned.part.as_ref().map(|part| part.partition) != Some(record.partition)
        {
            return Err(Failure::usage(format!("{}: its plan.json is of another run", shown(dir)))
                .because(format!("its part.json is of part {}", record.partition))
                .next("run this part again"));
        }
        let evidence = planned.as_ref().map(|planned| planned.evidence(dir)).transpose()?;
        let run = PartRun {
            number: record.partition.number,
            planned,
            evidence: evidence.unwrap_or_default(),
            course: Course::read(dir)?,
        };
        Ok(FoundPart { dir: dir.to_owned(), record, run })
    }
}

/// Two parts are of one plan, or it is said in what they differ.
fn require_same_plan(one: &FoundPart, other: &FoundPart) -> Result<()> {
    let (a, b) = (&one.record, &other.record);
    let differ = [
        ("the number of parts", a.partition.of.to_string(), b.partition.of.to_string()),
        ("the harness", a.harness.clone(), b.harness.clone()),
        ("the patch", short(&a.patch), short(&b.patch)),
        ("the plan: campaign, options or division", short(&a.plan), short(&b.plan)),
    ];
    match differ.into_iter().find(|(_, one, other)| one != other) {
        None => Ok(()),
        Some((what, in_one, in_other)) => {
            Err(Failure::usage(format!("{} is a part of another plan", shown(&other.dir.join("part.json"))))
                .because(format!("{what} is {in_other} there, and {in_one} in {}", shown(&one.dir)))
                .next("run all parts with the same harness, patch and options"))
        }
    }
}

fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}

/// Each tree had the same source, and the patch the same effect on it, wherever it was.
fn require_same_trees(parts: &[FoundPart]) -> Result<()> {
    let mut seen: BTreeMap<&str, (&TreeReport, &Path)> = BTreeMap::new();
    for part in parts {
        for tree in part.run.planned.iter().flat_map(|planned| &planned.sources.trees) {
            let (first, dir) = *seen.entry(&tree.name).or_insert((tree, &part.dir));
            let proof = |tree: &TreeReport| serde_json::to_value(&tree.patch.files).ok();
            let why = if first.version != tree.version {
                format!("it is {} there, and {} in {}", tree.version, first.version, shown(dir))
            } else if proof(first) != proof(tree) {
                format!("the patch goes on other files there than in {}", shown(dir))
            } else {
                continue;
            };
            let what =
                format!("{}: another source of tree {}", shown(&part.dir.join("plan.json")), tree.name);
            return Err(Failure::usage(what).because(why).next("run all parts with the same sources"));
        }
    }
    Ok(())
}

/// Writes the joined run, and prints its report.
fn write(parts: &[FoundPart], dir: &RunDir, format: cli::Format, verbose: bool) -> Result<Exit> {
    let Some(first) = parts.first() else { return Err(Failure::usage("no part to merge")) };
    let placed: BTreeMap<JudgedPair, usize> = first.record.placed.iter().cloned().collect();
    let runs: Vec<PartRun> = parts.iter().map(|part| part.run.clone()).collect();
    let JoinedRun { planned, evidence, from, course } = join::join(&first.record.whole, &placed, &runs);
    say_what_is_missing(parts, &placed);
    for ((cell, evidence), from) in planned.cells.iter().zip(&evidence).zip(&from) {
        let Some(part) = parts.iter().find(|part| *from == Some(part.run.number)) else { continue };
        let to = dir.cell(cell)?;
        copy(&part.dir.join("cells").join(cell.id()), &to)?;
        EVIDENCE.write(&to.join("evidence.json"), evidence)?;
    }
    for tree in &planned.sources.trees {
        let name = dir.patch(&tree.name);
        let mut places = parts.iter().map(|part| part.dir.join(name.file_name().unwrap_or_default()));
        if let Some(from) = places.find(|place| is_plain(place)) {
            std::fs::copy(&from, &name).or_infra(|| format!("copy {}", from.display()))?;
        }
    }
    planned.write(&dir.path)?;
    course.write(&dir.path)?;
    let report = Shown::new(&planned.report(&evidence, course, &dir.path))?;
    publish(&report, &dir.path, format, Loudness::new(false, verbose))?;
    Exit::of(report.exit_code).ok_or_else(|| Failure::internal("a report with no exit code that there is"))
}

/// Names the parts that are not there, or ended early. What they cost is in the report.
fn say_what_is_missing(parts: &[FoundPart], placed: &BTreeMap<JudgedPair, usize>) {
    let of = parts.first().map_or(0, |part| part.record.partition.of);
    for number in 1..=of {
        let line = match parts.iter().find(|part| part.run.number == number) {
            None if placed.values().any(|at| *at == number) => {
                format!("part {number} of {of} is missing: its kernels count as not run")
            }
            Some(part) if part.run.course.interrupted => {
                format!("part {number} of {of} did not come to its end: {}", shown(&part.dir))
            }
            _ => continue,
        };
        terminal::say(&escape::line(&line));
    }
}

fn is_plain(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
}

/// Copies the regular files below `from`. A part comes from another machine: no link in it is followed.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in disk::entries(from) {
        let place = to.join(entry.file_name().unwrap_or_default());
        let found = std::fs::symlink_metadata(&entry).or_infra(|| format!("read {}", entry.display()))?;
        if found.is_dir() {
            disk::create_dir(&place)?;
            copy(&entry, &place)?;
        } else if found.is_file() && entry.file_name().is_some_and(|name| name != "evidence.json") {
            disk::link_or_copy(&entry, &place).or_infra(|| format!("copy {}", entry.display()))?;
        }
    }
    Ok(())
}
