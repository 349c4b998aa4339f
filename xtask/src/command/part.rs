//! A part of a plan: which of its pairs are run here, and the record (`part.json`) by which the parts of one plan are known to be
//! of one plan when they are joined. Runs and judges nothing.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cli;
use super::planned::Planned;
use super::report::REPORT;
use super::setting::most_controls;
use crate::arms::Tested;
use crate::campaign::Campaign;
use crate::campaign::partition::{self, JudgedPair, Partition};
use crate::campaign::plan::{self, Cell};
use crate::campaign::project::Project;
use crate::host::disk;
use crate::host::input::shown;
use crate::host::json_file::JsonFile;
use crate::report::{PatchReport, Report};
use failure::{Context, Failure, Result};

const PART: JsonFile = JsonFile {
    what: "the record of a part",
    schema: 1,
    most_bytes: 64 << 20,
    remedy: "run the part again: cargo xtask matrix --partition K/N",
};

/// What a plan is made of besides the command line: two harnesses that differ in a file of these make two plans.
const OWN_FILES: [&str; 5] = ["configs", "guest-tests", "patches", "xtask", "Cargo.lock"];

/// Which pairs of a divided plan are run here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlannedPart {
    pub partition: Partition,
    /// Pairs that other parts judge.
    pub elsewhere: Vec<JudgedPair>,
}

/// A divided plan.
#[derive(Debug, Clone)]
pub struct DividedPlan {
    pub partition: Partition,
    /// The part of each pair.
    pub placed: BTreeMap<JudgedPair, usize>,
    /// The cells of all parts.
    pub whole: Vec<Cell>,
}

impl DividedPlan {
    /// # Errors
    /// When there is no report to divide by.
    pub fn new(args: &cli::PlanArgs, campaign: &Campaign, whole: Vec<Cell>) -> Result<Option<DividedPlan>> {
        let Some(partition) = args.partition else { return Ok(None) };
        let secs = args.balance.as_deref().map(times_of).transpose()?.unwrap_or_default();
        // What its first kernel counts decides what the others run: that is one experiment.
        let of = if campaign.coverage { 1 } else { partition.of };
        // Of the others nothing is run, as a rule: only the source tells which have a place in it.
        let most = most_controls(args).unwrap_or(usize::MAX);
        let placed = partition::divide(&plan::first_controls(whole.clone(), most), of, &secs);
        Ok(Some(DividedPlan { partition, placed, whole }))
    }

    /// The cells that are run here.
    pub fn cells(&self) -> Vec<Cell> {
        partition::cells_of(&self.whole, &self.placed, self.partition.number)
    }

    pub fn planned(&self) -> PlannedPart {
        let elsewhere = self.placed.iter().filter(|(_, number)| **number != self.partition.number);
        PlannedPart {
            partition: self.partition,
            elsewhere: elsewhere.map(|(pair, _)| pair.clone()).collect(),
        }
    }
}

impl PlannedPart {
    /// Whether the patch, or a version of it, is judged here in a variant that has a cell here.
    pub fn judges(&self, pair: String, version: Option<&str>) -> bool {
        !self.elsewhere.contains(&JudgedPair { pair, version: version.map(str::to_owned) })
    }
}

/// What each cell of an earlier run took to build and to boot, by its id.
fn times_of(run: &Path) -> Result<BTreeMap<String, f64>> {
    let file = if run.is_dir() { run.join("report.json") } else { run.to_owned() };
    if !file.exists() {
        return Err(Failure::usage(format!("--balance {}: there is no report", shown(run)))
            .next("name the directory of a run that is over, the same one for each part"));
    }
    let report: Report = REPORT.read(&file)?;
    let secs = |cell: &crate::report::CellReport| {
        [cell.build_secs.filter(|_| !cell.cached), cell.boot_secs, cell.test_secs]
            .into_iter()
            .flatten()
            .filter(|secs| secs.is_finite() && *secs > 0.0)
            .fold(0.0, |all, one| all + one)
    };
    Ok(report
        .cells
        .iter()
        .map(|cell| (cell.id.clone(), secs(cell)))
        .filter(|(_, secs)| *secs > 0.0)
        .collect())
}

/// By what parts are known to be of one plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PartRecord {
    pub partition: Partition,
    /// Version of the harness, and a digest of the files that it makes plans from.
    pub harness: String,
    /// Of the patch under test, on each tree, with its other versions.
    pub patch: String,
    /// Of the whole plan and of how it is divided.
    pub plan: String,
    pub placed: Vec<(JudgedPair, usize)>,
    /// As it was before a source was looked at.
    pub whole: Planned,
}

impl PartRecord {
    /// # Errors
    /// When a file of the harness's own cannot be read.
    pub fn new(
        project: &Project,
        planned: &Planned,
        divided: &DividedPlan,
        tested: &BTreeMap<String, Tested>,
    ) -> Result<PartRecord> {
        let whole = Planned { cells: divided.whole.clone(), part: None, ..planned.clone() };
        let placed: Vec<(JudgedPair, usize)> =
            divided.placed.iter().map(|(pair, number)| (pair.clone(), *number)).collect();
        // What tells of the time and the place where a part is run.
        let same = Planned {
            started: String::new(),
            sandbox: String::new(),
            unproved: PatchReport::default(),
            ..whole.clone()
        };
        let plan = serde_json::to_vec(&(&same, &placed, divided.partition.of))
            .or_infra(|| "encode the plan".to_owned())?;
        Ok(PartRecord {
            partition: divided.partition,
            harness: format!("{} {}", env!("CARGO_PKG_VERSION"), own_digest(project)?),
            patch: hex(Sha256::digest(patches(tested))),
            plan: hex(Sha256::digest(plan)),
            placed,
            whole,
        })
    }

    /// # Errors
    /// When the disk does not take it.
    pub fn write(&self, dir: &Path) -> Result<()> {
        PART.write(&dir.join("part.json"), self)
    }

    /// # Errors
    /// When the directory is not that of a part.
    pub fn read(dir: &Path) -> Result<PartRecord> {
        let file = dir.join("part.json");
        if !file.exists() {
            return Err(Failure::usage(format!("{} is no part of a divided run", shown(dir)))
                .because(format!("there is no {}", shown(&file)))
                .next("parts are made by `cargo xtask matrix --partition K/N`"));
        }
        PART.read(&file)
    }
}

/// Everything about each patch but the name of the file that it came in.
fn patches(tested: &BTreeMap<String, Tested>) -> String {
    let mut text = String::new();
    for (tree, Tested { series, versions }) in tested {
        text.push_str(&format!("{tree}: {:?}\n", series.patches));
        for (name, series) in versions {
            text.push_str(&format!("{tree} {name}: {:?}\n", series.patches));
        }
    }
    text
}

fn own_digest(project: &Project) -> Result<String> {
    let mut hash = Sha256::new();
    for name in OWN_FILES {
        add_files(&project.root, Path::new(name), &mut hash)?;
    }
    Ok(hex(hash.finalize())[..12].to_owned())
}

/// Hidden files are an editor's or a build's, and `target` is cargo's.
fn add_files(root: &Path, path: &Path, hash: &mut Sha256) -> Result<()> {
    let place = root.join(path);
    if place.is_dir() {
        for entry in disk::entries(&place) {
            let Some(name) = entry.file_name() else { continue };
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                add_files(root, &path.join(name), hash)?;
            }
        }
        return Ok(());
    }
    let bytes = std::fs::read(&place).or_infra(|| format!("read {}", place.display()))?;
    hash.update(path.as_os_str().as_encoded_bytes());
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(&bytes);
    Ok(())
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    disk::hex(digest.as_ref())
}
