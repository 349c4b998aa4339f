//! Placing the stack of a new program: `execve` moves it down to a random place and frees the tables of the old one
//! (`relocate_vma_down()`, mm/vma_exec.c; in 6.12 `shift_arg_pages()`, fs/exec.c).

use kit::child::Child;
use kit::exec::{self, Again};
use kit::fault;
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::scenario;
use protocol::Done;

/// Each frees a table or more, unless chance leaves the stack where it is.
const EXECS_PER_FAILURE: u64 = 2;
const QUIET_EXECS: u64 = 4;

pub fn main() {
    exec::leave_if_told();
    scenario::run(|order| measure(order, operate));
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let prepare = || {
        let again = Again::prepare()?;
        fault::arm_this_task(trial.forced)?;
        Ok(again)
    };
    let meter = trial.meter()?;
    // Quiet, a few show that nothing happens by itself.
    let most = if trial.forced { trial.ask.demand * EXECS_PER_FAILURE } else { QUIET_EXECS };
    let mut execs = 0;
    while execs < most && !trial.is_exhausted()? {
        Child::start(prepare, Again::exec)?.finish()?;
        execs += 1;
    }
    let performed = meter.stop()?;
    Ok(Performed { done: vec![Done { what: "execs".to_owned(), count: execs }], ..performed })
}
