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
    let name = Path::new(&started_as).file_name().unwrap_or_default();
    if is_for_runner() {
        workloads::runner::run();
        return Ok(());
    }
    let scenario = SCENARIOS.iter().find(|(known, _)| name == *known);
    let (_, main) =
        scenario.ok_or_else(|| format!("there is no guest test {}", Path::new(name).display()))?;
    main();
    Ok(())
}

fn is_for_runner() -> bool {
    let order = std::env::args().nth(1).and_then(|order| serde_json::from_str::<Order>(&order).ok());
    let work = order.and_then(|order| order.ask.work);
    work.is_some_and(|work| work != Workload::Ours)
}
