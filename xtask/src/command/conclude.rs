//! From evidence to verdicts and report: the last part of `cargo xtask matrix`.

use std::collections::BTreeMap;
use std::path::Path;

use super::log_tails;
use super::planned::{Course, Planned};
use super::setting::Setting;
use crate::arms::{Chosen, Tested};
use crate::boot::probe::Choice;
use crate::build::sensitive;
use crate::campaign::Campaign;
use crate::campaign::plan::{Arm, Cell, Mutant};
use crate::command::cli::Format;
use crate::host::disk::write_whole;
use crate::host::process;
use crate::host::terminal::{self, Look};
use crate::judge::{self, Caught};
use crate::observe::{Build, Evidence};
use crate::report::progress::Loudness;
use crate::report::{
    self, AccelReport, CellReport, CodeReport, ColdBuild, ControlLeftOut, ControlReport, FileReport,
    LeftOutReport, NotApplicable, PairReport, PatchReport, Report, SensitiveReport, Shown, human,
};
use crate::run::Gathered;
use crate::subject::control::Control;
use failure::{Context, Exit, Failure, Result};
use patch::{Proved, Series};

/// Caught controls without which a kernel whose code the patch changes does not pass: enough that the detectors of two
/// kinds were seen to see.
const CONTROLS_OF_A_PASS: usize = 2;

impl Setting<'_> {
    /// Verdicts, report files, and the exit code.
    pub fn conclude(&self, gathered: Gathered, format: Format, loudness: Loudness) -> Result<Exit> {
        let (course, evidence, failed) = settled(gathered, self.started.elapsed().as_secs_f64());
        if let Some(failure) = &failed
            && self.planned.sources.trees.is_empty()
        {
            return Err(failure.clone());
        }
        course.write(&self.dir.path)?;
        let report = Shown::new(&self.planned.report(&evidence, course, &self.dir.path))?;
        publish(&report, &self.dir.path, format, loudness)?;
        let is_for_people = format == Format::Human && loudness != Loudness::Quiet;
        super::next::say_after_matrix(self.project, &report, &self.dir.path, is_for_people);
        match failed {
            Some(failure) => Err(failure.log(&self.dir.path)),
            None => Ok(report.exit()),
        }
    }
}

/// How a run of `wall_secs` went, its evidence, and the failure that ended it early, which no interruption is.
pub fn settled(gathered: Gathered, wall_secs: f64) -> (Course, Vec<Evidence>, Option<Failure>) {
    let Gathered { evidence, accels, guests_secs, ended } = gathered;
    let failed = ended.filter(|failure| failure.exit != Exit::Interrupted);
    let course = Course {
        interrupted: process::interrupted(),
        accels: accels.into_iter().map(accel_report).collect(),
        guests_secs,
        wall_secs,
        ended: failed.as_ref().map(|failure| failure.exit as u8),
    };
    (course, evidence, failed)
}

/// Writes the report in each of its forms to the directory of the run, and prints it.
///
/// # Errors
/// When the disk or standard output does not take it.
pub fn publish(report: &Shown, dir: &Path, format: Format, loudness: Loudness) -> Result<()> {
    let json = serde_json::to_string_pretty(&**report).or_infra(|| "encode the report".to_owned())?;
    write_whole(
        &dir.join("junit.xml"),
        report::junit::render(report, &log_tails::read(report, dir))?.as_bytes(),
    )?;
    let run_dir = dir.display().to_string();
    write_whole(&dir.join("report.txt"), human::whole(report, &run_dir, false).as_bytes())?;
    write_whole(&dir.join("report.html"), report::page::render(report, &run_dir).as_bytes())?;
    // The last one: it names the exit code.
    write_whole(&dir.join("report.json"), json.as_bytes())?;
    let colour = Look::of(&std::io::stdout()).colour;
    let said = match format {
        Format::Json => json + "\n",
        Format::Human => match loudness {
            Loudness::Quiet => human::brief(report, &run_dir, colour),
            Loudness::Normal => human::screen(report, &run_dir, colour),
            Loudness::Verbose => human::whole(report, &run_dir, colour),
        },
    };
    terminal::print_as_it_is(&said)
}

/// The patch of a run that ended before it was held against a tree.
pub fn unproved(campaign: &Campaign, tested: &BTreeMap<String, Tested>) -> PatchReport {
    let first = campaign.trees.first().and_then(|tree| tested.get(tree));
    first.map(|tested| patch_report(&tested.series, &Proved::default())).unwrap_or_default()
}

impl Planned {
    /// The report about `evidence`, by index of the cell, of a run in `dir`.
    pub fn report(&self, evidence: &[Evidence], course: Course, dir: &Path) -> Report {
        let sources = &self.sources;
        let version = |tree: &str| {
            sources.trees.iter().find(|found| found.name == tree).map_or("", |found| found.version.as_str())
        };
        let cells: Vec<CellReport> = self
            .cells
            .iter()
            .zip(evidence)
            .map(|(cell, evidence)| {
                let findings = self.findings(cell, evidence);
                let repetition = self.repetition(cell, evidence);
                let report =
                    CellReport::new(cell, &self.subject, version(&cell.tree), evidence, findings, repetition);
                CellReport { kept: kept(&dir.join(&report.dir)), ..report }
            })
            .collect();
        let Course { interrupted, accels, guests_secs, wall_secs, ended } = course;
        let cold_build = cells.iter().find(|cell| cell.cold).and_then(|cell| {
            let secs = cell.build_secs.filter(|secs| *secs > 0.0)?;
            Some(ColdBuild { cell: cell.id.clone(), secs, ratio: (wall_secs - sources.fetch_secs) / secs })
        });
        let (pairs, controls) = self.pairs(evidence);
        let left_out = self.left_out(evidence);
        let mut report = Report {
            schema: report::SCHEMA,
            campaign: self.campaign.clone(),
            subject: self.subject.clone(),
            suite: self.suite.clone(),
            started: self.started.clone(),
            part: self.part.as_ref().map(|part| part.partition),
            interrupted,
            exit_code: Exit::Internal as u8,
            patch: sources.trees.first().map_or_else(|| self.unproved.clone(), |tree| tree.patch.clone()),
            trees: sources.trees.clone(),
            sandbox: self.sandbox.clone(),
            unconfined: self.unconfined,
            accels,
            cells,
            controls,
            left_out,
            pairs,
            reach: self
                .sources
                .changed
                .keys()
                .filter_map(|tree| Some((tree.clone(), self.reach(tree, evidence)?)))
                .collect(),
            unreached_allowed: self.unreached_allowed.clone(),
            effects: Vec::new(),
            fetch_secs: sources.fetch_secs,
            guests_secs,
            wall_secs,
            cold_build,
        };
        report.exit_code = ended.unwrap_or(report.exit() as u8);
        report.effects = report::effect::effects(&report);
        report
    }

    /// The bugs that were derived from the patch's lines, and what became of each beside the patched arm.
    fn mutants<'a>(
        &'a self,
        of: &Cell,
        version: Option<&str>,
        evidence: &[Evidence],
        (patched_cell, patched): (&Cell, &Evidence),
    ) -> Vec<(&'a Cell, &'a Mutant, Caught)> {
        let is_of_it = |cell: &Cell| version.is_none() && cell.pair_id() == of.pair_id();
        let cells = || self.cells.iter().zip(evidence).filter(|(cell, _)| is_of_it(cell));
        let without = cells().find(|(cell, _)| cell.arm == Arm::NoMutant);
        let mut beside = vec![(self.asked(patched_cell), patched)];
        beside.extend(without.map(|(cell, evidence)| (self.asked(cell), evidence)));
        cells()
            .filter_map(|(cell, evidence)| {
                let Arm::Mutant(mutant) = &cell.arm else { return None };
                Some((cell, mutant, judge::catch_mutant(&self.asked(cell), evidence, &beside)))
            })
            .collect()
    }

    /// What noticed each hunk that was left out.
    fn left_out(&self, evidence: &[Evidence]) -> Vec<LeftOutReport> {
        let cells = self.cells.iter().zip(evidence);
        cells
            .filter_map(|(cell, evidence)| {
                let Arm::WithoutHunk(left_out) = &cell.arm else { return None };
                let noticed = judge::noticed(&self.asked(cell), evidence);
                Some(LeftOutReport {
                    tree: cell.tree.clone(),
                    arch: cell.arch.name.to_owned(),
                    variant: cell.variant.name.clone(),
                    hunk: left_out.number,
                    place: format!("{}:{}", left_out.place.path, left_out.place.old_start),
                    noticed: noticed.caught,
                    by: noticed.by,
                })
            })
            .collect()
    }

    /// Judges every pair that has a cell in this run. A cell that was not selected counts as not run.
    fn pairs(&self, evidence: &[Evidence]) -> (Vec<PairReport>, Vec<ControlReport>) {
        let (mut pairs, mut controls): (Vec<PairReport>, Vec<ControlReport>) = (Vec::new(), Vec::new());
        let mut seen: Vec<String> = Vec::new();
        for cell in &self.cells {
            if seen.contains(&cell.pair_id()) {
                continue;
            }
            seen.push(cell.pair_id());
            let versions = self.beside.versions_on(&cell.tree).iter().map(|name| Some(name.as_str()));
            let is_here = |version: &Option<&str>| {
                self.part.as_ref().is_none_or(|part| part.judges(cell.pair_id(), *version))
            };
            for version in std::iter::once(None).chain(versions).filter(is_here) {
                let (pair, its_controls) = self.pair(cell, version, evidence);
                pairs.push(pair);
                controls.extend(its_controls);
            }
        }
        (pairs, controls)
    }

    /// Judges the patch, or a version of it, in the variant of `cell`.
    fn pair(
        &self,
        cell: &Cell,
        version: Option<&str>,
        evidence: &[Evidence],
    ) -> (PairReport, Vec<ControlReport>) {
        let arm = version.unwrap_or(Arm::Patched.name());
        // The cell of an arm, or any of the pair where that arm has none in this run.
        let of = |arm: &str| {
            let is_it = |other: &&Cell| other.pair_id() == cell.pair_id() && other.arm.name() == arm;
            match self.cells.iter().zip(evidence).find(|(other, _)| is_it(other)) {
                Some((found, evidence)) => (found, evidence.clone()),
                None => (cell, Evidence::default()),
            }
        };
        let chosen = match of(arm).1.build {
            // Nor does any bug that is planted in it.
            Build::CompileError(_) => Chosen::default(),
            _ => self.chosen(cell, version),
        };
        let caught: Vec<_> = chosen
            .controls
            .iter()
            .map(|control| {
                // By what its own cell was asked for, which is less than what the judged arms were.
                let (asked, evidence) = of(&control.arm);
                (control, judge::catch(&self.asked(asked), control, &evidence))
            })
            .collect();
        let ((asked, base), (patched_cell, patched)) = (of(Arm::Base.name()), of(arm));
        let mutants = self.mutants(cell, version, evidence, (patched_cell, &patched));
        let code = |evidence: &Evidence| evidence.built().map(|built| built.code.clone()).unwrap_or_default();
        let own = code(&patched);
        let beside_base = CodeReport::new(&code(&base), &own);
        let left_out: Vec<ControlLeftOut> = chosen.left_out.iter().map(ControlLeftOut::new).collect();
        let judgement = match self.sources.beside_the_point.get(&cell.tree).filter(|_| version.is_none()) {
            Some(why) => judge::beside_the_point(why),
            None => {
                let changes_code = code(&base).is_kept_in(&own) == Some(false);
                let reach = self.reach(&cell.tree, evidence);
                let shown = judge::Detectors {
                    reach: reach.as_ref(),
                    unreached_allowed: &self.unreached_allowed,
                    controls: &caught,
                    mutants: &mutants
                        .iter()
                        .map(|(_, mutant, caught)| (*mutant, caught.clone()))
                        .collect::<Vec<_>>(),
                    unplanted: self
                        .unplanted
                        .get(&cell.pair_id())
                        .filter(|_| version.is_none())
                        .map(Vec::as_slice)
                        .unwrap_or_default(),
                    // Without prepared controls nothing but a weak pass can come of it.
                    least: if changes_code && !self.asked(asked).compares() { CONTROLS_OF_A_PASS } else { 0 },
                    left_out: left_out.iter().map(ControlLeftOut::to_string).collect(),
                };
                let judgement = judge::judge(&self.asked(asked), &base, &patched, &shown);
                let is_same = code(&base).is_same(&own) == Some(true);
                match (is_same, self.asked(asked).compares()) {
                    (false, _) => judgement,
                    (true, false) => judge::with_the_same_code(judgement),
                    (true, true) => judge::with_nothing_to_compare(judgement),
                }
            }
        };
        let controls = caught.into_iter().map(|(control, caught)| {
            let (_, evidence) = of(&control.arm);
            control_report(cell, arm, control, caught, evidence.spent_secs())
        });
        let controls = controls.chain(mutants.iter().map(|(cell, mutant, caught)| {
            let (_, evidence) = of(&mutant.name);
            mutant_report(cell, arm, mutant, caught.clone(), evidence.spent_secs())
        }));
        let main = version.and_then(|_| CodeReport::new(&code(&of(Arm::Patched.name()).1), &own));
        let pair = PairReport {
            failures: judge::failures(&self.asked(asked), &base, &patched),
            differences: judge::differences(&self.asked(asked), &base, &patched)
                .iter()
                .map(ToString::to_string)
                .collect(),
            code: beside_base,
            code_beside_patched: main,
            controls_left_out: left_out,
            ..self.pair_report(cell, arm, judgement)
        };
        (pair, controls.collect())
    }

    /// The controls that a pass of this pair needs. Before anything is known of the source these are the first ones.
    fn chosen(&self, cell: &Cell, version: Option<&str>) -> Chosen {
        let under = (cell.tree.clone(), (cell.variant.id(), version.map(str::to_owned)));
        let first = || self.beside.controls(&cell.variant, version).take(self.most_controls());
        if self.sources.beside_the_point.contains_key(&cell.tree) {
            return Chosen::default();
        }
        self.sources
            .controls
            .get(&under)
            .cloned()
            .unwrap_or_else(|| Chosen { controls: first().collect(), left_out: Vec::new() })
    }

    fn pair_report(&self, cell: &Cell, arm: &str, judgement: judge::Judgement) -> PairReport {
        let (variant, subject) = (&cell.variant, &self.subject);
        let scenarios = self.scenarios.iter();
        let not_applicable = scenarios.filter_map(|scenario| {
            let why = scenario.not_applicable(variant, subject)?;
            Some(NotApplicable { scenario: scenario.name.clone(), why })
        });
        PairReport {
            tree: cell.tree.clone(),
            arch: cell.arch.name.to_owned(),
            variant: variant.name.clone(),
            arm: arm.to_owned(),
            about: variant.about.clone(),
            native: variant.native(),
            helpers: [variant.helpers.clone(), variant.patched_helpers.clone()].concat(),
            expect_base: variant.expect.as_ref().map(|expect| expect.base.clone()),
            expect_patched: variant.expect.as_ref().map(|expect| expect.patched.clone()),
            not_applicable: not_applicable.collect(),
            verdict: judgement.verdict,
            reasons: judgement.reasons,
            differences: Vec::new(),
            failures: Vec::new(),
            code: None,
            code_beside_patched: None,
            controls_left_out: Vec::new(),
        }
    }
}

/// Of the files that a patch changes, those that a verdict rests on.
pub fn sensitive(files: &[FileReport]) -> Vec<SensitiveReport> {
    let found = files.iter().filter_map(|file| Some((file, sensitive::rested_on(&file.path)?)));
    found.map(|(file, why)| SensitiveReport { path: file.path.clone(), why: why.to_owned() }).collect()
}

/// What a reader needs of a cell's directory: how to repeat the boot, and what it printed; or why there was none.
fn kept(dir: &Path) -> Vec<String> {
    let there = |names: &[&str]| -> Vec<String> {
        let there = names.iter().filter(|name| dir.join(name).exists());
        there.map(ToString::to_string).collect()
    };
    let booted = there(&["repro.sh", "console.log", "guest-2/console.log"]);
    if booted.is_empty() { there(&["build.log"]) } else { booted }
}

fn control_report(
    cell: &Cell,
    arm: &str,
    control: &Control,
    caught: Caught,
    secs: Option<f64>,
) -> ControlReport {
    ControlReport {
        name: control.name.clone(),
        tree: cell.tree.clone(),
        arch: cell.arch.name.to_owned(),
        variant: cell.variant.name.clone(),
        arm: arm.to_owned(),
        plants: control.plants.clone(),
        signal: control.signal.to_string(),
        cell: format!("{}/{}", cell.pair_id(), control.arm),
        caught: caught.caught,
        by: caught.by,
        splat: caught.splat,
        secs,
    }
}

fn mutant_report(
    cell: &Cell,
    arm: &str,
    mutant: &Mutant,
    caught: Caught,
    secs: Option<f64>,
) -> ControlReport {
    ControlReport {
        name: mutant.name.clone(),
        tree: cell.tree.clone(),
        arch: cell.arch.name.to_owned(),
        variant: cell.variant.name.clone(),
        arm: arm.to_owned(),
        plants: format!("{} at {}: `{}`", mutant.kind.name(), mutant.place, mutant.was),
        signal: "whatever fails a patch".to_owned(),
        cell: cell.id(),
        caught: caught.caught,
        by: caught.by,
        splat: caught.splat,
        secs,
    }
}

fn accel_report((arch, choice): (&'static str, Choice)) -> AccelReport {
    AccelReport { arch: arch.to_owned(), name: choice.accel.name().to_owned(), reason: choice.reason }
}

pub fn patch_report(series: &Series, proved: &Proved) -> PatchReport {
    let first = series.patches.first();
    PatchReport {
        source: series.source.clone(),
        subject: first.and_then(|patch| patch.subject.clone()),
        form: first.map(|patch| patch.kind.to_string()).unwrap_or_default(),
        notes: series.notes.clone(),
        repaired: proved.repaired,
        damage: proved.damage.iter().map(ToString::to_string).collect(),
        files: proved
            .files
            .iter()
            .map(|file| FileReport {
                path: file.path.clone(),
                pre_blob: file.pre_blob.clone(),
                post_blob: file.post_blob.clone(),
                pre_matches: file.pre_matches,
                post_matches: file.post_matches,
                edited: file.edited,
                mode: file.mode_change().map(str::to_owned),
            })
            .collect(),
    }
}
