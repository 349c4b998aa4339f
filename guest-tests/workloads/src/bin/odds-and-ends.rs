//! What is small: message queues, keyrings, DAMON, wake locks, module loading, random numbers, the log,
//! quotas, and every system call number with nothing in it that does no harm.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use workloads::exercise::{self, Exercise};
use workloads::sys;
use workloads::sys::{descriptor, in_child};
use workloads::walk::write;

const LIMIT: Duration = Duration::from_secs(15);

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own IPC", || sys!(SYS_unshare, libc::CLONE_NEWIPC));
    message_queues(it);
    keys(it);
    power(it);
    modules(it);
    others(it);
}

fn message_queues(it: &mut Exercise) {
    it.step("message queue", || {
        let name = c"pp";
        let attributes = [0_i64, 4, 64, 0, 0, 0, 0, 0];
        let flags = libc::O_CREAT | libc::O_RDWR | libc::O_NONBLOCK;
        let queue = descriptor(sys!(SYS_mq_open, name.as_ptr(), flags, 0o600, attributes.as_ptr()))?;
        let fd = queue.as_raw_fd();
        let mut buffer = [0_u8; 64];
        // SIGEV_NONE.
        let notify = [0_u64, 1 << 32, 0, 0, 0, 0, 0, 0];
        sys!(SYS_mq_notify, fd, notify.as_ptr())?;
        sys!(SYS_mq_notify, fd, notify.as_ptr()).err();
        sys!(SYS_mq_notify, fd, 0)?;
        for priority in [1, 5, 3, 2, 9] {
            let _ = sys!(SYS_mq_timedsend, fd, buffer.as_ptr(), 10, priority, 0);
        }
        sys!(SYS_mq_timedsend, fd, buffer.as_ptr(), 999, 1, 0).err();
        sys!(SYS_mq_timedsend, fd, buffer.as_ptr(), 9, 99_999, 0).err();
        sys!(SYS_mq_timedreceive, fd, buffer.as_mut_ptr(), 64, 0, 0)?;
        sys!(SYS_mq_timedreceive, fd, buffer.as_mut_ptr(), 1, 0, 0).err();
        let mut found = [0_i64; 8];
        sys!(SYS_mq_getsetattr, fd, attributes.as_ptr(), found.as_mut_ptr())?;
        sys!(SYS_mq_unlink, name.as_ptr())?;
        sys!(SYS_mq_unlink, name.as_ptr())
    });
    it.step("message queue of a bad size", || {
        let attributes = [0_i64, 1 << 40, 1 << 40, 0, 0, 0, 0, 0];
        sys!(SYS_mq_open, c"pp2".as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o600, attributes.as_ptr())
    });
}

fn keys(it: &mut Exercise) {
    const SESSION: i64 = -3;
    it.step("session of keys", || sys!(SYS_keyctl, 1, c"pp".as_ptr()));
    for (kind, payload) in [
        (c"user", c"secret"),
        (c"logon", c"pp:secret"),
        (c"big_key", c"secret"),
        (c"keyring", c""),
        (c"encrypted", c"new default user:pp 32"),
        (c"trusted", c"new 32"),
        (c"asymmetric", c"junk"),
        (c"dns_resolver", c"1.2.3.4"),
        (c"rxrpc", c"junk"),
        (c"no_such_kind", c"x"),
    ] {
        it.step(format!("key of kind {}", kind.to_string_lossy()), || {
            let length = payload.to_bytes().len();
            let name = c"pp:key";
            let key = sys!(SYS_add_key, kind.as_ptr(), name.as_ptr(), payload.as_ptr(), length, SESSION)?;
            let mut buffer = [0_u8; 256];
            // Update, describe, read, search, permissions, owner, timeout, security, capabilities, invalidate, unlink.
            let _ = sys!(SYS_keyctl, 2, key, payload.as_ptr(), length);
            let _ = sys!(SYS_keyctl, 6, key, buffer.as_mut_ptr(), 256);
            let _ = sys!(SYS_keyctl, 11, key, buffer.as_mut_ptr(), 256);
            let _ = sys!(SYS_keyctl, 10, SESSION, kind.as_ptr(), name.as_ptr(), 0);
            let _ = sys!(SYS_request_key, kind.as_ptr(), name.as_ptr(), 0, 0);
            let _ = sys!(SYS_keyctl, 5, key, 0x3f3f_0000);
            let _ = sys!(SYS_keyctl, 4, key, 0, 0);
            let _ = sys!(SYS_keyctl, 15, key, 100);
            let _ = sys!(SYS_keyctl, 17, key, buffer.as_mut_ptr(), 256);
            let _ = sys!(SYS_keyctl, 8, key, SESSION);
            let _ = sys!(SYS_keyctl, 8, key, key);
            fs::read("/proc/keys")?;
            fs::read("/proc/key-users")?;
            sys!(SYS_keyctl, 3, key)?;
            let revoked = sys!(SYS_keyctl, 11, key, buffer.as_mut_ptr(), 256);
            let _ = sys!(SYS_keyctl, 21, key);
            let _ = sys!(SYS_keyctl, 9, key, SESSION);
            revoked
        });
    }
    let mut ends = Vec::new();
    for operation in 0..34 {
        // KEYCTL_SESSION_TO_PARENT changes PID 1.
        if operation != 18 {
            ends.push((operation, sys!(SYS_keyctl, operation, 0, 0, 0, 0)));
        }
    }
    for (operation, end) in ends {
        it.note(&format!("keyctl {operation} of nothing"), end.map(drop));
    }
    it.step("no rings left", || sys!(SYS_keyctl, 7, SESSION));
}

/// Where there is a limit (PM_WAKELOCKS_LIMIT), it is this by default.
const WAKE_LOCKS: u32 = 100;

fn power(it: &mut Exercise) {
    let (lock, unlock) = ("/sys/power/wake_lock", "/sys/power/wake_unlock");
    if Path::new(lock).exists() {
        for number in 0..WAKE_LOCKS {
            // It may be there already.
            let _ = write(lock, format!("pp-{number}").as_bytes());
        }
        it.refused("a wake lock that is one too many", || write(lock, format!("pp-{WAKE_LOCKS}").as_bytes()));
        it.step("a wake lock with a timeout", || write(lock, b"pp-1 1000000"));
        it.step("a wake lock with a bad one", || write(lock, b"pp-1 junk"));
        let _ = fs::read(lock);
        for number in 0..110 {
            let _ = write(unlock, format!("pp-{number}").as_bytes());
        }
        it.step("no such wake lock", || write(unlock, b"pp-none"));
    }
    for (file, value) in [
        ("/sys/power/pm_async", "0"),
        ("/sys/power/pm_async", "1"),
        ("/sys/power/pm_async", "7"),
        ("/sys/power/pm_freeze_timeout", "20000"),
        ("/sys/power/state", "junk"),
        ("/sys/power/pm_test", "none"),
        ("/sys/power/pm_test", "junk"),
        ("/sys/power/wakeup_count", "junk"),
        ("/sys/power/sync_on_suspend", "1"),
    ] {
        it.set(format!("{file} := {value}"), file, value.as_bytes());
    }
}

fn modules(it: &mut Exercise) {
    it.step("a module that is none", || sys!(SYS_init_module, [0_u64; 8].as_ptr(), 64, c"".as_ptr()));
    it.step("a module from a file that is none", || {
        let file = fs::File::open("/proc/self/exe")?;
        sys!(SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0)
    });
    it.step("no such module", || sys!(SYS_delete_module, c"no_such_module".as_ptr(), libc::O_NONBLOCK));
    it.step("kexec of nothing", || sys!(SYS_kexec_load, 0, 0, 0, 99));
    it.step("kexec of no kernel", || {
        let file = fs::File::open("/proc/self/exe")?;
        sys!(SYS_kexec_file_load, file.as_raw_fd(), -1, 1, c"".as_ptr(), 4)
    });
}

fn others(it: &mut Exercise) {
    let mut buffer = [0_u8; 256];
    for flags in [0, 1, 2, 3, 4, 99] {
        it.step(format!("getrandom {flags}"), || sys!(SYS_getrandom, buffer.as_mut_ptr(), 200, flags));
    }
    for command in [2, 3, 6, 7, 8, 9, 10, 99] {
        // SYSLOG_ACTION_READ waits, CLEAR and CONSOLE_OFF take away what the host reads.
        if matches!(command, 3 | 9 | 10 | 99) {
            it.step(format!("syslog {command}"), || sys!(SYS_syslog, command, buffer.as_mut_ptr(), 200));
        }
    }
    it.step("sysinfo, getcpu", || {
        sys!(SYS_sysinfo, buffer.as_mut_ptr())?;
        sys!(SYS_getcpu, buffer.as_mut_ptr(), buffer.as_mut_ptr(), 0)
    });
    it.step("reboot without the magic", || sys!(SYS_reboot, 1, 2, 3, 0));
    it.step("swap on nothing", || sys!(SYS_swapon, c"/no/such".as_ptr(), 0));
    it.step("accounting", || {
        fs::write("/tmp/accounting", "")?;
        sys!(SYS_acct, c"/tmp/accounting".as_ptr())?;
        let _ = in_child(LIMIT, || Ok(()));
        sys!(SYS_acct, 0)?;
        fs::remove_file("/tmp/accounting")?;
        sys!(SYS_acct, c"/no/such".as_ptr())
    });
    it.step("ports of I/O", || {
        in_child(LIMIT, || {
            sys!(SYS_ioperm, 0x80, 1, 1)?;
            sys!(SYS_iopl, 3)?;
            sys!(SYS_iopl, 9).map(drop)
        })
    });
    it.step("local descriptor table", || {
        in_child(LIMIT, || {
            let entry = [0_u32, 0, 0xfff, 0x71];
            sys!(SYS_modify_ldt, 1, entry.as_ptr(), 16)?;
            let mut table = [0_u8; 64];
            sys!(SYS_modify_ldt, 0, table.as_mut_ptr(), 64)?;
            sys!(SYS_modify_ldt, 0x11, entry.as_ptr(), 7).map(drop)
        })
    });
    it.step("chroot", || {
        in_child(LIMIT, || {
            sys!(SYS_chroot, c"/no/such".as_ptr()).err();
            sys!(SYS_chroot, c"/tmp".as_ptr())?;
            fs::read("/proc/self/status").map(drop)
        })
    });
    // Numbers from where architectures share them: with no argument that means anything.
    let mut ends = Vec::new();
    for number in 424..475 {
        ends.push((number, in_child(LIMIT, || sys::call(number, &[-1, 0, 0, 0, 0, 0]).map(drop))));
    }
    for (number, end) in ends {
        it.note(&format!("system call {number} of nothing"), end);
    }
    it.step("no such system call", || -> io::Result<i64> { sys::call(9999, &[]) });
}
