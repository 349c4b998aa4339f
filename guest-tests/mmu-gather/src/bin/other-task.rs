//! The last reference to an address space in another task: a reader of /proc/PID/mem holds it while its owner exits,
//! and frees it when it lets go.

use std::fs::File;
use std::io::{Error, Read, Write};
use std::os::fd::AsRawFd;

use kit::child::{self, Child};
use kit::fault;
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::scenario;
use kit::stop_in_kernel::Trap;
use mmu_gather::mapping::SparseMapping;

/// A byte that every process of this program has at the same address.
static READ_ME: u8 = 7;

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

/// The reader is armed, the owner is not.
fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let (mut stopped, says_stopped) = child::pipe()?;
    let (waits_for_go_on, mut go_on) = child::pipe()?;
    let owner = Child::start(|| SparseMapping::populate(trial.units), |_| Ok(()))?;
    let memory = format!("/proc/{}/mem", owner.pid());
    let prepare = || {
        let reader = MemReader::prepare(&memory, &says_stopped, &waits_for_go_on)?;
        fault::arm_this_task(trial.forced)?;
        Ok(reader)
    };
    let mut reader = Child::start(prepare, MemReader::read)?;
    drop((says_stopped, waits_for_go_on));
    let meter = trial.meter()?;
    reader.go();
    // Now the reader is inside its system call and holds the address space.
    stopped.read_exact(&mut [0]).map_err(|error| format!("the reader did not stop: {error}"))?;
    owner.finish()?;
    go_on.write_all(&[0]).map_err(|error| format!("could not let the reader go on: {error}"))?;
    reader.finish()?;
    meter.stop()
}

struct MemReader {
    memory: File,
    trap: Trap,
}

impl MemReader {
    /// `says_stopped` gets a byte when the reader waits, and `waits` has one when it may go on.
    fn prepare(memory: &str, says_stopped: &File, waits: &File) -> Result<MemReader, String> {
        let said = |error: Error| format!("the reader of {memory}: {error}");
        let memory = File::open(memory).map_err(said)?;
        let mut says_stopped = says_stopped.try_clone().map_err(said)?;
        let mut waits = waits.try_clone().map_err(said)?;
        let trap = Trap::set(move || {
            let held = says_stopped.write_all(&[0]).and_then(|()| waits.read_exact(&mut [0]));
            held.map_err(|error| format!("could not speak to the parent: {error}"))
        })?;
        Ok(MemReader { memory, trap })
    }

    /// Reads one byte of the owner into the page that is not there.
    fn read(&self) -> Result<(), String> {
        let from = libc::off_t::try_from((&raw const READ_ME) as usize).map_err(|error| error.to_string())?;
        // SAFETY: the page is mapped and writable, and larger than a byte.
        match unsafe { libc::pread(self.memory.as_raw_fd(), self.trap.page(), 1, from) } {
            1 => Ok(()),
            _ => Err(format!("could not read the owner's memory: {}", Error::last_os_error())),
        }
    }
}
