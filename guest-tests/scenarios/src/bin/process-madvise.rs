//! Advice to a process about its own memory and about another's, without the capability that the latter takes
//! (`process_madvise`, mm/madvise.c).

use std::io::Error;

use kit::child::{self, Child};
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::page;
use kit::scenario;
use protocol::Done;

/// A user without capabilities.
const NOBODY: libc::uid_t = 65534;

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

/// Nothing is counted quiet: there is no state that the advice leaves behind.
fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let times = if trial.forced { trial.ask.demand } else { 0 };
    let (mut heard, says) = child::pipe()?;
    let meter = trial.meter()?;
    let mut other = Child::start(become_nobody, |()| Ok(()))?;
    let pid = other.pid();
    let advise = |(): &()| {
        let own = count(times, own_pid(), 0)?;
        let refused = count(times, pid, libc::EPERM)?;
        let bytes = [own.to_le_bytes(), refused.to_le_bytes()].concat();
        std::io::Write::write_all(&mut &says, &bytes).map_err(|error| error.to_string())
    };
    Child::start(become_nobody, advise)?.finish()?;
    other.go();
    other.finish()?;
    let mut bytes = [0; 16];
    std::io::Read::read_exact(&mut heard, &mut bytes).map_err(|error| format!("no counts: {error}"))?;
    let (own, refused) = bytes.split_at(8);
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    let done = [("own-accepted", number(own)), ("other-refused", number(refused))];
    let done = done.map(|(what, count)| Done { what: what.to_owned(), count });
    Ok(Performed { done: done.into(), ..meter.stop()? })
}

/// A process that changes its user is no longer open to others of that user, unless it says so.
fn become_nobody() -> Result<(), String> {
    // SAFETY: these change nothing but what this process may do.
    let failed = unsafe {
        libc::setresgid(NOBODY, NOBODY, NOBODY) != 0
            || libc::setresuid(NOBODY, NOBODY, NOBODY) != 0
            || libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) != 0
    };
    if failed { Err(format!("could not become nobody: {}", Error::last_os_error())) } else { Ok(()) }
}

/// How many of `times` calls for the process `pid` end with `error`; 0 stands for success.
fn count(times: u64, pid: libc::pid_t, error: i32) -> Result<u64, String> {
    // SAFETY: takes no memory of ours.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if descriptor < 0 {
        return Err(format!("pidfd_open: {}", Error::last_os_error()));
    }
    // Every process of this program has the page with this variable at the same address.
    static PLACE: u8 = 7;
    let page = (&raw const PLACE) as usize & !(page::size() - 1);
    let range = libc::iovec { iov_base: page as *mut libc::c_void, iov_len: page::size() };
    let mut found = 0;
    for _ in 0..times {
        // SAFETY: one range, alive during the call; advice that changes no content.
        let result = unsafe {
            libc::syscall(libc::SYS_process_madvise, descriptor, &raw const range, 1, libc::MADV_COLD, 0)
        };
        let got = if result < 0 { Error::last_os_error().raw_os_error().unwrap_or(-1) } else { 0 };
        found += u64::from(got == error);
    }
    Ok(found)
}

fn own_pid() -> libc::pid_t {
    // SAFETY: no arguments, no failure.
    unsafe { libc::getpid() }
}
