//! The guest tests, all of them in this one program: it is the one whose name it was started by, as links in
//! [`protocol::SCENARIO_DIR`] give it. Their files are programs by themselves too, which are not booted. A name that is none
//! of theirs is that of a workload which is no program of ours.

use std::path::Path;

use protocol::{Order, Workload};

include!(concat!(env!("OUT_DIR"), "/scenarios.rs"));

/// Carries out the guest test that this process was started as.
///
/// # Errors
/// When there is none of that name.
pub fn run() -> Result<(), String> {
    let started_as = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&started_as).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let order = std::env::args().nth(1).and_then(|order| serde_json::from_str::<Order>(&order).ok());
    let name = match order.and_then(|order| order.ask.work) {
        Some(
            Workload::Boot
            | Workload::Program(_)
            | Workload::Kunit(_)
            | Workload::Selftest(_)
            | Workload::Stress(_)
            | Workload::Mark
            | Workload::Leftovers,
        ) => {
            workloads::runner::run();
            return Ok(());
        }
        Some(Workload::Sweep(sweep)) => sweep.program,
        Some(Workload::Ours) | None => name,
    };
    let scenario = SCENARIOS.iter().find(|(known, _)| name == *known);
    let (_, main) = scenario.ok_or_else(|| format!("there is no guest test {name}"))?;
    main();
    Ok(())
}
