//! A mount that fails late: the file system has its superblock and the root's inode, and no memory for the root's dentry
//! (`d_make_root()`, fs/dcache.c). The inode has to be given back then: a superblock without a root gives back none
//! (`generic_shutdown_super()`, fs/super.c).

use std::io::Error;

use kit::fault;
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::scenario;
use protocol::Done;

/// In every kernel; no device, and each mount has a superblock of its own (`get_tree_nodev()`).
const FILE_SYSTEM: &std::ffi::CStr = c"ramfs";

/// In every initramfs.
const PLACE: &std::ffi::CStr = c"/tmp";

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

/// Each mount is undone and made again, which fails as long as failures are left.
fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    let mut stack = Stack::default();
    for _ in 0..trial.units {
        if !stack.mount()? {
            return Err("a mount failed although no failure was injected".to_owned());
        }
    }
    let meter = trial.meter()?;
    let (mut refused, mut mounted) = (0, 0);
    fault::while_armed(trial.forced, || {
        for _ in 0..trial.units {
            stack.unmount()?;
            *(if stack.mount()? { &mut mounted } else { &mut refused }) += 1;
        }
        Ok(())
    })?;
    while stack.depth > 0 {
        stack.unmount()?;
    }
    let done = [("refused", refused), ("mounted", mounted)];
    let done = done.map(|(what, count)| Done { what: what.to_owned(), count });
    Ok(Performed { done: done.into(), ..meter.stop()? })
}

/// Mounts, one on top of the other.
#[derive(Default)]
struct Stack {
    depth: u64,
}

impl Stack {
    /// False: there was no memory.
    fn mount(&mut self) -> Result<bool, String> {
        // SAFETY: C strings that outlive the call; this file system takes no data.
        let status = unsafe {
            libc::mount(c"none".as_ptr(), PLACE.as_ptr(), FILE_SYSTEM.as_ptr(), 0, std::ptr::null())
        };
        let error = Error::last_os_error();
        match (status, error.raw_os_error()) {
            (0, _) => {
                self.depth += 1;
                Ok(true)
            }
            (_, Some(libc::ENOMEM)) => Ok(false),
            _ => Err(format!("could not mount {FILE_SYSTEM:?}: {error}")),
        }
    }

    /// The topmost.
    fn unmount(&mut self) -> Result<(), String> {
        // SAFETY: a C string that outlives the call.
        if unsafe { libc::umount(PLACE.as_ptr()) } != 0 {
            return Err(format!("could not unmount {FILE_SYSTEM:?}: {}", Error::last_os_error()));
        }
        self.depth -= 1;
        Ok(())
    }
}

/// After an error too, nothing stays for the tests that follow.
impl Drop for Stack {
    fn drop(&mut self) {
        while self.depth > 0 && self.unmount().is_ok() {}
    }
}
