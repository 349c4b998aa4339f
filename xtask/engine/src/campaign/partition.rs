//! Divides a plan into parts that are run by different machines, by its value alone: the same plan is divided in the same way
//! everywhere. What is judged together stays together: a kernel with the patch or a version of it, the bugs that are planted in it,
//! and the base beside it, which each part that needs it builds. Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::campaign::plan::{Arm, Cell};

/// Parts that a plan is divided into at most.
const PARTS_MAX: usize = 1000;

/// The `number`-th of `of` parts; the first one is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Partition {
    pub number: usize,
    pub of: usize,
}

impl Partition {
    /// # Errors
    /// When `text` is not `K/N` with K from 1 to N: in words, for the command line.
    pub fn parse(text: &str) -> Result<Partition, String> {
        let numbers = text
            .split_once('/')
            .and_then(|(number, of)| Some(Partition { number: number.parse().ok()?, of: of.parse().ok()? }));
        numbers
            .filter(|part| (1..=PARTS_MAX).contains(&part.of) && (1..=part.of).contains(&part.number))
            .ok_or_else(|| format!("`{text}` is no part such as 2/8, with at most {PARTS_MAX} parts"))
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.number, self.of)
    }
}

/// What is judged: the patch, or a version of it, in one variant of one tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JudgedPair {
    /// [`Cell::pair_id`].
    pub pair: String,
    /// None: the patch itself.
    pub version: Option<String>,
}

impl JudgedPair {
    /// The pair that `cell` says something about; None of a base, which belongs to all of its variant.
    pub fn of(cell: &Cell) -> Option<JudgedPair> {
        let version = match &cell.arm {
            Arm::Base => return None,
            Arm::Version(name) => Some(name.clone()),
            Arm::Control(control) => control.on.clone(),
            Arm::Patched
            | Arm::Coverage
            | Arm::CoverageRest
            | Arm::WithoutHunk(_)
            | Arm::Mutant(_)
            | Arm::NoMutant => None,
        };
        Some(JudgedPair { pair: cell.pair_id(), version })
    }
}

/// The part of each pair of a plan. `secs` is what building and booting a cell took before, if that is known.
///
/// The heaviest pair goes to the part that has least, which leaves no part more than a third above the best division. Where times
/// are known of some cells alone, the others count as the average of these; where none is known, cells are counted.
pub fn divide(cells: &[Cell], of: usize, secs: &BTreeMap<String, f64>) -> BTreeMap<JudgedPair, usize> {
    let known: Vec<f64> = cells.iter().filter_map(|cell| secs.get(&cell.id()).copied()).collect();
    let average = if known.is_empty() {
        1.0
    } else {
        known.iter().fold(0.0, |all, one| all + one) / known.len() as f64
    };
    // Whole milliseconds: a sum of them does not depend on its order.
    let weight = |cell: &Cell| (secs.get(&cell.id()).copied().unwrap_or(average) * 1000.0).max(1.0) as u64;
    let mut pairs: Vec<(JudgedPair, u64)> = Vec::new();
    for cell in cells {
        let Some(pair) = JudgedPair::of(cell) else { continue };
        match pairs.iter_mut().find(|(known, _)| *known == pair) {
            Some((_, sum)) => *sum = sum.saturating_add(weight(cell)),
            None => pairs.push((pair, weight(cell))),
        }
    }
    // Stable: of two that are alike, the one that is planned first.
    pairs.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    let base_of = |pair: &JudgedPair| {
        let base = cells.iter().find(|cell| cell.arm == Arm::Base && cell.pair_id() == pair.pair);
        base.map_or(0, &weight)
    };
    let mut parts: Vec<(u64, Vec<String>)> = vec![(0, Vec::new()); of.max(1)];
    let mut placed = BTreeMap::new();
    for (pair, weight) in pairs {
        let total = |(load, bases): &(u64, Vec<String>)| {
            let base = if bases.contains(&pair.pair) { 0 } else { base_of(&pair) };
            load.saturating_add(weight).saturating_add(base)
        };
        let Some(at) = (0..parts.len()).min_by_key(|at| total(&parts[*at])) else { break };
        parts[at] = (total(&parts[at]), [parts[at].1.clone(), vec![pair.pair.clone()]].concat());
        placed.insert(pair, at + 1);
    }
    placed
}

/// The cells of one part: those of its pairs, each with its base. A base that is planned without anything beside it is of the
/// first part.
pub fn cells_of(cells: &[Cell], placed: &BTreeMap<JudgedPair, usize>, number: usize) -> Vec<Cell> {
    let has_pair = |cell: &Cell| placed.iter().any(|(pair, at)| *at == number && pair.pair == cell.pair_id());
    let is_alone = |cell: &Cell| placed.keys().all(|pair| pair.pair != cell.pair_id());
    let is_of_it = |cell: &&Cell| match JudgedPair::of(cell) {
        Some(pair) => placed.get(&pair) == Some(&number),
        None => has_pair(cell) || (number == 1 && is_alone(cell)),
    };
    cells.iter().filter(is_of_it).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_is_a_number_from_one_to_all() {
        assert_eq!(Partition::parse("2/8"), Ok(Partition { number: 2, of: 8 }));
        assert_eq!(Partition::parse("1/1"), Ok(Partition { number: 1, of: 1 }));
        for bad in ["", "2", "/", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "1/1001", "1/99999999999999999999999"]
        {
            assert!(Partition::parse(bad).is_err(), "{bad}");
        }
    }
}
