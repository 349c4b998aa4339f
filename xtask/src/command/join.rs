//! Joins the parts of one plan to the plan and the evidence of one run, as if one machine had run all of it. What no part brought
//! was not run. Pure: judges nothing, and touches no file.

use std::collections::{BTreeMap, BTreeSet};

use crate::campaign::partition::JudgedPair;
use crate::campaign::plan::{self, Arm, Cell};
use crate::observe::{Build, Evidence};
use crate::report::AccelReport;

use super::planned::{Course, Planned, Sources};

/// What one part left.
#[derive(Debug, Clone)]
pub struct PartRun {
    pub number: usize,
    /// None of one that ended before it knew its sources.
    pub planned: Option<Planned>,
    /// By index of the part's cells.
    pub evidence: Vec<Evidence>,
    pub course: Course,
}

/// One run.
#[derive(Debug, Clone)]
pub struct JoinedRun {
    pub planned: Planned,
    /// By index of the cell; and the number of the part that it is from.
    pub evidence: Vec<Evidence>,
    pub from: Vec<Option<usize>>,
    pub course: Course,
}

/// Joins `parts` to the plan `whole`, as it was before a source was looked at, with the part of each pair.
pub fn join(whole: &Planned, placed: &BTreeMap<JudgedPair, usize>, parts: &[PartRun]) -> JoinedRun {
    let known: Vec<(&PartRun, &Planned)> =
        parts.iter().filter_map(|part| Some((part, part.planned.as_ref()?))).collect();
    let numbers: BTreeSet<usize> = placed.values().copied().collect();
    let planned = match known.iter().find(|(part, _)| numbers.iter().eq([&part.number])) {
        // All of it is of this part, also what it only found out on the way.
        Some((_, planned)) => Planned { part: None, ..(*planned).clone() },
        None => Planned {
            cells: cells(whole, placed, &known),
            sources: sources(whole, placed, &known),
            ..whole.clone()
        },
    };
    let planned = with_surroundings(planned, &known);
    let (evidence, from) = planned.cells.iter().map(|cell| evidence_of(cell, &known)).unzip();
    JoinedRun { course: course(parts), planned, evidence, from }
}

/// The cells of the whole run: those of the controls that have a place in the source, where it is known.
fn cells(whole: &Planned, placed: &BTreeMap<JudgedPair, usize>, known: &[(&PartRun, &Planned)]) -> Vec<Cell> {
    let owner = |cell: &Cell| {
        let number = JudgedPair::of(cell).and_then(|pair| placed.get(&pair));
        known.iter().find(|(part, _)| number == Some(&part.number)).map(|(_, planned)| *planned)
    };
    let with_cell = |cell: &Cell| {
        let id = cell.id();
        known.iter().find_map(|(_, planned)| planned.cells.iter().find(|other| other.id() == id))
    };
    let is_unknown = |cell: &&Cell| cell.arm != Arm::Base && owner(cell).is_none();
    let unknown: Vec<Cell> = whole.cells.iter().filter(is_unknown).cloned().collect();
    let unknown: BTreeSet<String> =
        plan::first_controls(unknown, whole.most_controls()).iter().map(Cell::id).collect();
    let chosen = |cell: &Cell| match owner(cell) {
        _ if cell.arm == Arm::Base => Some(with_cell(cell).unwrap_or(cell).clone()),
        Some(planned) => planned.cells.iter().find(|other| other.id() == cell.id()).cloned(),
        None => unknown.contains(&cell.id()).then(|| cell.clone()),
    };
    whole.cells.iter().filter_map(chosen).collect()
}

/// What was found out about the sources, each pair's controls by the part that runs them.
fn sources(whole: &Planned, placed: &BTreeMap<JudgedPair, usize>, known: &[(&PartRun, &Planned)]) -> Sources {
    let mut joined = Sources::default();
    for cell in &whole.cells {
        if joined.trees.iter().any(|tree| tree.name == cell.tree) {
            continue;
        }
        let mut trees = known.iter().flat_map(|(_, planned)| &planned.sources.trees);
        joined.trees.extend(trees.find(|tree| tree.name == cell.tree).cloned());
    }
    for (part, planned) in known {
        let Sources { trees: _, fetch_secs, controls, beside_the_point, changed } = &planned.sources;
        joined.fetch_secs += fetch_secs;
        joined.beside_the_point.extend(beside_the_point.clone());
        joined.changed.extend(changed.clone());
        for ((tree, under), chosen) in controls {
            let pair = JudgedPair { pair: format!("{tree}/{}", under.0), version: under.1.clone() };
            if placed.get(&pair).is_none_or(|number| *number == part.number) {
                joined.controls.insert((tree.clone(), under.clone()), chosen.clone());
            }
        }
    }
    joined
}

/// When the first part began, and what confined each.
fn with_surroundings(planned: Planned, known: &[(&PartRun, &Planned)]) -> Planned {
    let started = known.iter().map(|(_, part)| &part.started).min();
    let confined: BTreeSet<&str> = known.iter().map(|(_, part)| part.sandbox.as_str()).collect();
    Planned {
        started: started.unwrap_or(&planned.started).clone(),
        sandbox: if confined.is_empty() { planned.sandbox } else { Vec::from_iter(confined).join("; ") },
        unconfined: planned.unconfined || known.iter().any(|(_, part)| part.unconfined),
        ..planned
    }
}

/// What was measured in `cell`. Of a base that several parts have, that of the first in which it ran.
fn evidence_of(cell: &Cell, known: &[(&PartRun, &Planned)]) -> (Evidence, Option<usize>) {
    let id = cell.id();
    let found = known.iter().filter_map(|(part, planned)| {
        let at = planned.cells.iter().position(|other| other.id() == id)?;
        Some((part.evidence.get(at)?, part.number))
    });
    let worth = |evidence: &Evidence| match (evidence.ran(), &evidence.build) {
        (Some(_), _) => 0,
        (None, Build::Built(_) | Build::CompileError(_)) => 1,
        (None, Build::Infra { .. }) => 2,
        (None, Build::NotRun) => 3,
    };
    // The first of those that are worth the same.
    match found.min_by_key(|(evidence, number)| (worth(evidence), *number)) {
        Some((evidence, number)) => (evidence.clone(), Some(number)),
        None => (Evidence::default(), None),
    }
}

/// How it went. What an interrupted part did not run is missing, and says so by itself; the joined run was not interrupted.
fn course(parts: &[PartRun]) -> Course {
    let accels: BTreeMap<&str, &AccelReport> = parts
        .iter()
        .rev()
        .flat_map(|part| &part.course.accels)
        .map(|accel| (accel.arch.as_str(), accel))
        .collect();
    // Trouble of a host is in the cells that it cost.
    let host = Some(failure::Exit::Inconclusive as u8);
    Course {
        interrupted: false,
        accels: accels.into_values().cloned().collect(),
        guests_secs: parts.iter().fold(0.0, |all, part| all + part.course.guests_secs),
        wall_secs: parts.iter().fold(0.0, |all, part| all + part.course.wall_secs),
        ended: parts.iter().filter_map(|part| part.course.ended).filter(|code| Some(*code) != host).max(),
    }
}

#[cfg(test)]
mod tests;
