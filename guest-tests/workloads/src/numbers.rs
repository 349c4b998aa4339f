//! Numbers of system calls, by name. What an architecture does not have has a number that no kernel knows: the call then fails
//! with ENOSYS, on both arms alike.

pub use libc::*;

/// What libc has no name for on this architecture.
#[cfg(not(target_arch = "x86_64"))]
macro_rules! numbers {
    ($($name:ident = $number:expr),* $(,)?) => {
        $(#[allow(missing_docs, non_upper_case_globals)] pub const $name: c_long = $number;)*
    };
}

#[cfg(not(target_arch = "x86_64"))]
const NONE: c_long = -1;

#[cfg(not(target_arch = "x86_64"))]
numbers! { SYS_arch_prctl = NONE, SYS_ioperm = NONE, SYS_iopl = NONE, SYS_modify_ldt = NONE }

#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
numbers! { SYS_alarm = NONE, SYS_select = NONE, SYS_sysfs = NONE }

#[cfg(target_arch = "riscv64")]
numbers! { SYS_kexec_file_load = NONE }

// arch/powerpc/kernel/syscalls/syscall.tbl.
#[cfg(target_arch = "powerpc64")]
numbers! {
    SYS_fadvise64 = 233, SYS_kexec_file_load = 382, SYS_semop = NONE, SYS_semtimedop = 392, SYS_semget = 393,
    SYS_semctl = 394, SYS_shmget = 395, SYS_shmctl = 396, SYS_shmat = 397, SYS_shmdt = 398, SYS_msgget = 399,
    SYS_msgsnd = 400, SYS_msgrcv = 401, SYS_msgctl = 402, SYS_pkey_alloc = 384, SYS_pkey_free = 385, SYS_pkey_mprotect = 386,
    SYS_sync_file_range = NONE,
}
