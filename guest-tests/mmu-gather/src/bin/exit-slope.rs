//! What fallbacks cost a process that exits, as the number of its page tables grows: the slope is the cost of one.

use kit::child::Child;
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::scenario;
use mmu_gather::freeing;

/// Page tables and samples of each point: 4480 failures in all, as the campaign asks for. The far point takes longer
/// than everything else.
const POINTS: [(u64, u64); 3] = [(64, 2), (256, 1), (4096, 1)];

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    freeing::timed_ends(trial, "exit", &POINTS, |tables| freeing::armed_mapping(trial, tables), Child::finish)
}
