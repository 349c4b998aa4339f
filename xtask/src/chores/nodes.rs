//! `cargo xtask nodes RUN`: what a run takes when its plan is divided among 1, 2 and 4 machines. Computed from what each kernel of
//! one run took on one machine: a simulation, and said to be one. Runs nothing.

use std::collections::BTreeMap;

use super::{NodesArgs, report_in};
use crate::campaign::partition::{self, JudgedPair};
use crate::campaign::plan::Cell;
use crate::command::planned::Planned;
use crate::host::terminal;
use crate::report::{CellReport, Report};
use crate::run::build_dirs::{Took, forecast};
use failure::{Exit, Failure, Result};

const NODES: [usize; 3] = [1, 2, 4];

/// Prints the table.
///
/// # Errors
/// When the run has no plan or no report.
pub fn nodes(args: &NodesArgs) -> Result<Exit> {
    let (planned, report) = (Planned::read(&args.run)?, report_in(&args.run)?);
    if planned.cells.is_empty() {
        return Err(Failure::usage(format!("{} has no kernel", args.run.display())));
    }
    let cores = usize::from(args.cores);
    let known = SimulatedRun { planned: &planned, report: &report, cores };
    terminal::print_line(&format!(
        "SIMULATED from the times of each kernel of one run on one machine of {cores} cores ({:.0} s measured); nothing was run",
        report.wall_secs
    ))?;
    terminal::print_line("nodes  built in each part  each kernel built once, first")?;
    for count in NODES {
        let (apart, once) = (known.built_in_each(count), known.built_once(count));
        terminal::print_line(&format!("{count:>5}  {apart:>17.0} s  {once:>28.0} s"))?;
    }
    Ok(Exit::Ok)
}

struct SimulatedRun<'a> {
    planned: &'a Planned,
    report: &'a Report,
    cores: usize,
}

impl SimulatedRun<'_> {
    fn took(&self, cell: &Cell) -> Took {
        let found = self.report.cells.iter().find(|known| known.id == cell.id());
        let took = |known: &CellReport| Took {
            build_secs: known.build_secs.filter(|_| !known.cached).unwrap_or_default(),
            cold: known.cold,
            boot_secs: known.boot_secs.unwrap_or_default(),
            test_secs: known.test_secs.unwrap_or_default(),
        };
        found.map(took).unwrap_or_default()
    }

    fn parts(&self, count: usize) -> Vec<Vec<Cell>> {
        let cells = &self.planned.cells;
        let secs: BTreeMap<String, f64> = cells
            .iter()
            .map(|cell| {
                let Took { build_secs, boot_secs, test_secs, .. } = self.took(cell);
                (cell.id(), build_secs + boot_secs + test_secs)
            })
            .collect();
        let placed: BTreeMap<JudgedPair, usize> = partition::divide(cells, count, &secs);
        (1..=count).map(|number| partition::cells_of(cells, &placed, number)).collect()
    }

    fn forecast(&self, cells: &[Cell], took: impl Fn(&Cell) -> Took) -> f64 {
        let took: Vec<Took> = cells.iter().map(took).collect();
        forecast(cells, &took, self.cores, self.cores)
    }

    /// The first kernel that a part builds is compiled from nothing, as the coldest one of the run was.
    fn built_in_each(&self, count: usize) -> f64 {
        let coldest = self.planned.cells.iter().map(|cell| self.took(cell)).filter(|took| took.cold);
        let cold_secs = coldest.map(|took| took.build_secs).fold(0.0, f64::max);
        let part = |cells: &Vec<Cell>| {
            let builds = cells.iter().any(|cell| self.took(cell).build_secs > 0.0);
            let has_cold = cells.iter().any(|cell| self.took(cell).cold);
            let first = cells.first().filter(|_| builds && !has_cold).map(Cell::id);
            self.forecast(cells, |cell| match first.as_ref() == Some(&cell.id()) {
                true => Took { build_secs: cold_secs, cold: true, ..self.took(cell) },
                false => self.took(cell),
            })
        };
        self.parts(count).iter().map(part).fold(0.0, f64::max)
    }

    /// All kernels on one machine, and then the boots on all.
    fn built_once(&self, count: usize) -> f64 {
        let builds = self.forecast(&self.planned.cells, |cell| Took {
            boot_secs: 0.0,
            test_secs: 0.0,
            ..self.took(cell)
        });
        let boots = |cells: &Vec<Cell>| {
            self.forecast(cells, |cell| Took { build_secs: 0.0, cold: false, ..self.took(cell) })
        };
        builds + self.parts(count).iter().map(boots).fold(0.0, f64::max)
    }
}
