//! A mount that fails late: the file system has its superblock and the root's inode, and no memory for the root's dentry
//! (`d_make_root()`, fs/dcache.c). The inode has to be given back then: a superblock without a root gives back none
//! (`generic_shutdown_super()`, fs/super.c).

use kit::fault;
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::scenario;
use protocol::Done;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

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
        match mount(c"none", PLACE, FILE_SYSTEM, MountFlags::empty(), None) {
            Ok(()) => {
                self.depth += 1;
                Ok(true)
            }
            Err(Errno::NOMEM) => Ok(false),
            Err(error) => Err(format!("could not mount {FILE_SYSTEM:?}: {error}")),
        }
    }

    /// The topmost.
    fn unmount(&mut self) -> Result<(), String> {
        unmount(PLACE, UnmountFlags::empty())
            .map_err(|error| format!("could not unmount {FILE_SYSTEM:?}: {error}"))?;
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
