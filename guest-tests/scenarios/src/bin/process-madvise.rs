//! Advice to a process about its own memory and about another's, without the capability that the latter takes
//! (`process_madvise`, mm/madvise.c).

use std::io::Error;
use std::os::fd::AsRawFd;

use kit::child::{self, Child};
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::page;
use kit::scenario;
use protocol::Done;
use rustix::process::{DumpableBehavior, Pid, PidfdFlags, getpid, pidfd_open, set_dumpable_behavior};
use rustix::thread::{Gid, Uid, set_thread_res_gid, set_thread_res_uid};

/// A user without capabilities.
const NOBODY: u32 = 65534;

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

/// Nothing is counted quiet: there is no state that the advice leaves behind.
fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let times = if trial.forced { trial.ask.demand } else { 0 };
    let (mut heard, says) = child::pipe()?;
    let meter = trial.meter()?;
    let mut other = Child::start(become_nobody, |()| Ok(()))?;
    let pid = Pid::from_raw(other.pid()).ok_or("a child without a number")?;
    let advise = |(): &()| {
        let own = count(times, getpid(), 0)?;
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

/// This process has one thread. A process that changes its user is no longer open to others of that user, unless it says so.
fn become_nobody() -> Result<(), String> {
    let (group, user) = (Gid::from_raw(NOBODY), Uid::from_raw(NOBODY));
    set_thread_res_gid(group, group, group)
        .and_then(|()| set_thread_res_uid(user, user, user))
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::Dumpable))
        .map_err(|error| format!("could not become nobody: {error}"))
}

/// How many of `times` calls for the process `pid` end with `error`; 0 stands for success.
fn count(times: u64, pid: Pid, error: i32) -> Result<u64, String> {
    let descriptor = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| format!("pidfd_open: {error}"))?;
    // Every process of this program has the page with this variable at the same address.
    static PLACE: u8 = 7;
    let page = (&raw const PLACE) as usize & !(page::size() - 1);
    let range = libc::iovec { iov_base: page as *mut libc::c_void, iov_len: page::size() };
    let mut found = 0;
    for _ in 0..times {
        // SAFETY: one range, alive during the call; advice that changes no content.
        let result = unsafe {
            libc::syscall(
                libc::SYS_process_madvise,
                descriptor.as_raw_fd(),
                &raw const range,
                1,
                libc::MADV_COLD,
                0,
            )
        };
        let got = if result < 0 { Error::last_os_error().raw_os_error().unwrap_or(-1) } else { 0 };
        found += u64::from(got == error);
    }
    Ok(found)
}
