//! Runs a plan of which a part depends on what is counted: kernels that count which lines are executed come first, then the judged
//! ones, which are asked for what executes any, and kernels with bugs in those lines. Judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::cli::Controls;
use super::matrix::{Method, RunContext, RunStep};
use super::setting::Setting;
use crate::boot::probe::Choice;
use crate::build::Ccache;
use crate::campaign::plan::{Arm, Cell};
use crate::observe::events::{Event, Events};
use crate::observe::{Boot, Coverage, Evidence};
use crate::run::{CellHasSpoken, Gathered, ReadyTree};
use console::Splat;
use console::splat::Kind;
use failure::{Failure, Result};

/// A workload hangs that takes so many times as long, and so many seconds more.
const HANGS_AFTER_TIMES: f64 = 3.0;
const HANGS_AFTER_SECS: u64 = 15;

/// Of the time that is left such a part is for failures that are forced on judged kernels: planted bugs need theirs.
const SWEEPS_OF_LEFT: u32 = 3;

/// What the steps before brought.
#[derive(Default)]
struct Known {
    /// By id of the cell.
    evidence: BTreeMap<String, Evidence>,
    accels: BTreeMap<&'static str, Choice>,
    guests_secs: f64,
    ended: Option<Failure>,
}

impl Known {
    fn add(&mut self, cells: &[Cell], brought: Gathered) {
        self.evidence.extend(cells.iter().map(Cell::id).zip(brought.evidence));
        self.accels = brought.accels;
        self.guests_secs += brought.guests_secs;
        self.ended = self.ended.take().or(brought.ended);
    }

    fn of(&self, cell: &Cell) -> Evidence {
        self.evidence.get(&cell.id()).cloned().unwrap_or_default()
    }

    /// By index of the cell.
    fn of_all(&self, cells: &[Cell]) -> Vec<Evidence> {
        cells.iter().map(|cell| self.of(cell)).collect()
    }

    /// Kinds of trouble by which a planted bug is not known: those that come without it, and that for which the stacks are read first.
    fn kinds_of_trouble(&self) -> Vec<Kind> {
        let boots = self.evidence.values().flat_map(Evidence::boots);
        let ran = boots.filter_map(|boot| if let Boot::Ran(ran) = boot { Some(ran) } else { None });
        let kinds = ran.flat_map(|ran| &ran.splats).map(|splat| splat.kind);
        kinds.chain([Kind::Kmemleak]).collect()
    }
}

impl Setting<'_> {
    /// Carries out the plan.
    pub fn run_by_what_is_counted(
        &mut self,
        method: &Method<'_>,
        events: &Events,
        trees: &mut BTreeMap<String, ReadyTree>,
        ccache: Option<&Ccache>,
    ) -> Gathered {
        let mut known = Known::default();
        self.count(&RunContext { method, events, trees, ccache }, &mut known);
        self.run_judged(&RunContext { method, events, trees, ccache }, &mut known);
        if known.ended.is_none() {
            let left = self.left(method, &known);
            known.ended = self.mutate_what_would_pass(trees, &known, left).err();
        }
        let is_mutant = |cell: &Cell| matches!(cell.arm, Arm::Mutant(_) | Arm::NoMutant);
        let known_kinds = known.kinds_of_trouble();
        let has_spoken = |cell: &Cell, splats: &[Splat]| {
            matches!(cell.arm, Arm::Mutant(_))
                && splats.iter().any(|splat| !known_kinds.contains(&splat.kind))
        };
        let (within_secs, has_spoken) = (self.longest(&known), Some(&has_spoken as CellHasSpoken<'_>));
        let step = RunStep { within_secs, has_spoken, ..RunStep::default() };
        self.go_on_with(&RunContext { method, events, trees, ccache }, &is_mutant, &mut known, step);
        let evidence = known.of_all(&self.planned.cells);
        let Known { accels, guests_secs, ended, .. } = known;
        Gathered { evidence, accels, guests_secs, ended }
    }

    /// What a workload may take where a bug is planted, by what it took on the patched kernels: it hangs there if it takes much longer.
    fn longest(&self, known: &Known) -> BTreeMap<String, u64> {
        let mut longest: BTreeMap<String, u64> = BTreeMap::new();
        for cell in self.planned.cells.iter().filter(|cell| cell.arm == Arm::Patched) {
            let evidence = known.of(cell);
            for ran in evidence.ran().into_iter().flat_map(|ran| &ran.scenarios) {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds")]
                let secs = HANGS_AFTER_SECS + (HANGS_AFTER_TIMES * ran.secs) as u64;
                let known = longest.entry(ran.name.clone()).or_default();
                *known = secs.max(*known);
            }
        }
        longest
    }

    /// What is left of the time for boots: that begins with the first one, and kernels were compiled before.
    fn left(&self, method: &Method<'_>, known: &Known) -> Duration {
        let budget = method.guest.map(|guest| guest.budget).unwrap_or_default();
        let began = known.evidence.values().filter_map(|evidence| evidence.boot_start_secs).reduce(f64::min);
        let spent = began.map_or(0.0, |began| self.dir.secs() - began).max(0.0);
        budget.saturating_sub(Duration::from_secs_f64(spent))
    }

    /// As [`Setting::go_on_with`], as it was asked for.
    fn go_on(&self, run: &RunContext<'_>, meant: &dyn Fn(&Cell) -> bool, known: &mut Known) {
        self.go_on_with(run, meant, known, RunStep::default());
    }

    /// Builds and boots those cells that are `meant`, with what was built of them before; `step` says all else.
    fn go_on_with(
        &self,
        run: &RunContext<'_>,
        meant: &dyn Fn(&Cell) -> bool,
        known: &mut Known,
        step: RunStep<'_>,
    ) {
        let cells: Vec<Cell> = self.planned.cells.iter().filter(|cell| meant(cell)).cloned().collect();
        if known.ended.is_some() || cells.is_empty() {
            return;
        }
        run.events.send(Event::Planned(self.planned.cells.iter().map(Cell::id).collect()));
        let step = RunStep { built: known.of_all(&cells), cells: cells.clone(), ..step };
        let brought = self.run_cells(run, step, &known.accels);
        known.add(&cells, brought);
    }

    /// Counts what the workloads execute that are about the changed files; where a hunk is left over, also what they execute run
    /// failures, or what the others do. The kernels that are judged are built meanwhile.
    fn count(&mut self, run: &RunContext<'_>, known: &mut Known) {
        let cells: Vec<Cell> =
            self.planned.cells.iter().filter(|cell| cell.arm != Arm::CoverageRest).cloned().collect();
        let booted_later: BTreeSet<usize> =
            (0..cells.len()).filter(|index| !cells[*index].arm.counts()).collect();
        let first =
            self.run_cells(run, RunStep { booted_later, ..RunStep::all(cells.clone()) }, &known.accels);
        known.add(&cells, first);
        self.count_again(run, known);
        if known.ended.is_some() {
            return;
        }
        let left = self.keep_what_may_reach(&self.counted(known));
        let is_rest = |cell: &Cell| cell.arm == Arm::CoverageRest;
        if self.planned.cells.iter().any(is_rest) {
            run.events.note(
                "a hunk was not executed by what is about its file: failures are forced, or the others tried"
                    .to_owned(),
            );
            // Half of it is for what is judged.
            let workload_time = Some(self.left(run.method, known) / 2);
            let enough = |cell: &Cell, new: Vec<Coverage>| left.are_executed(&cell.tree, new);
            let step = RunStep { workload_time, enough: Some(&enough), ..RunStep::default() };
            self.go_on_with(run, &is_rest, known, step);
        }
    }

    /// Boots a kernel that counts once more if it ended before it had counted anything: it says nothing about the patch, and what
    /// an emulated boot died of need not come again.
    fn count_again(&self, run: &RunContext<'_>, known: &mut Known) {
        let has_said_nothing = |cell: &Cell| {
            cell.arm == Arm::Coverage && known.of(cell).ran().is_some_and(|ran| ran.coverage.is_empty())
        };
        let again: Vec<String> =
            self.planned.cells.iter().filter(|cell| has_said_nothing(cell)).map(Cell::id).collect();
        if !again.is_empty() {
            run.events
                .note("a kernel that counts ended before it had counted anything: once more".to_owned());
            self.go_on(run, &|cell| again.contains(&cell.id()), known);
        }
    }

    /// Boots what is judged, with the workloads that were counted to reach the patch.
    fn run_judged(&mut self, run: &RunContext<'_>, known: &mut Known) {
        if known.ended.is_some() {
            return;
        }
        let sweep_time = self.left(run.method, known) / SWEEPS_OF_LEFT;
        self.keep_what_reaches(&self.counted(known), sweep_time);
        if let Err(failure) = self.planned.write(&self.dir.path) {
            known.ended = Some(failure);
            return;
        }
        self.go_on(run, &|cell| !cell.arm.counts(), known);
        if known.ended.is_none() {
            self.boot_again_what_fails(run, known);
        }
    }

    /// Plants bugs in patches that would pass; what fails is seen without.
    fn mutate_what_would_pass(
        &mut self,
        trees: &mut BTreeMap<String, ReadyTree>,
        known: &Known,
        left: Duration,
    ) -> Result<()> {
        if self.args.controls == Controls::None {
            return Ok(());
        }
        let would_pass = self.planned.would_pass(&known.of_all(&self.planned.cells));
        self.mutate(trees, &self.counted(known), &would_pass, left)?;
        self.planned.write(&self.dir.path)
    }

    /// What was counted, by index of the cell.
    fn counted(&self, known: &Known) -> Vec<(usize, Evidence)> {
        let cells = self.planned.cells.iter().enumerate().filter(|(_, cell)| cell.arm.counts());
        cells.map(|(index, cell)| (index, known.of(cell))).collect()
    }

    /// Boots both arms of a pair once more where the patch would fail or mend something: what was chance does not come again.
    fn boot_again_what_fails(&self, run: &RunContext<'_>, known: &mut Known) {
        let again = self.planned.may_change_by_chance(&known.of_all(&self.planned.cells));
        if again.is_empty() || run.method.guest.is_none_or(|guest| guest.repeat > 1) {
            return;
        }
        run.events
            .note("the verdict rests on what may be chance: both kernels are booted once more".to_owned());
        let cells: Vec<Cell> = again.iter().map(|index| self.planned.cells[*index].clone()).collect();
        let step = RunStep { boots: Some(2), ..RunStep::all(cells.clone()) };
        let booted = self.run_cells(run, step, &known.accels);
        for (cell, evidence) in cells.iter().zip(booted.evidence) {
            known.evidence.entry(cell.id()).or_default().repeats = evidence.repeats;
        }
        known.ended = booted.ended;
    }
}
