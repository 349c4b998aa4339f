//! What a process can do with files: open flags, links, locks, leases, notification, copies, attributes, handles, pipes,
//! descriptors, epoll, asynchronous I/O; and each of it where it has to fail.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use workloads::exercise::{self, Exercise};
use workloads::sys::{Impatience, c_path, descriptor, in_child, wrong};
use workloads::{places, sys};

const LIMIT: Duration = Duration::from_secs(15);
const AT: &str = "/tmp/files";

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("a place", || places::mount("tmpfs", AT, ""));
    it.step("a file", || fs::write(file(), vec![7; 20_000]));
    opens(it);
    names(it);
    locks(it);
    notification(it);
    copies(it);
    attributes(it);
    pipes(it);
    waiting(it);
    aio(it);
    odd(it);
    it.step("no place", || places::unmount(AT));
}

fn file() -> String {
    format!("{AT}/file")
}

fn open(path: &str, flags: i32) -> io::Result<OwnedFd> {
    let path = c_path(path);
    descriptor(sys!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags | libc::O_CLOEXEC, 0o600))
}

fn opens(it: &mut Exercise) {
    let flags = [
        ("O_RDONLY", libc::O_RDONLY),
        ("O_RDWR", libc::O_RDWR),
        ("O_APPEND", libc::O_WRONLY | libc::O_APPEND),
        ("O_CREAT|O_EXCL", libc::O_CREAT | libc::O_EXCL),
        ("O_DIRECT", libc::O_RDONLY | libc::O_DIRECT),
        ("O_DIRECTORY", libc::O_DIRECTORY),
        ("O_PATH", libc::O_PATH),
        ("O_SYNC", libc::O_WRONLY | libc::O_SYNC),
        ("O_NOATIME", libc::O_NOATIME),
        ("all", !libc::O_TRUNC & !libc::O_CREAT & !libc::O_TMPFILE),
    ];
    for (name, flags) in flags {
        it.step(format!("open {name}"), || open(&file(), flags));
    }
    it.step("open O_TMPFILE, linked", || {
        let made = open(AT, libc::O_TMPFILE | libc::O_RDWR)?;
        let from = c_path(format!("/proc/self/fd/{}", made.as_raw_fd()));
        let to = c_path(format!("{AT}/linked"));
        sys!(SYS_linkat, libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), libc::AT_SYMLINK_FOLLOW)
    });
    it.step("open a directory to write", || open(AT, libc::O_WRONLY));
    it.step("open nothing", || open("/no/such/file", 0));
    it.step("open below a file", || open(&format!("{AT}/file/below"), 0));
    it.step("open a long name", || open(&"x".repeat(300), libc::O_CREAT));
    it.step("open a long path", || open(&"x/".repeat(4000), 0));
    for resolve in [1_u64, 2, 4, 8, 0x10, 0x20, 1 << 40] {
        it.step(format!("openat2 resolve {resolve:#x}"), || {
            let how = [0_u64, 0, resolve];
            let path = c_path(file());
            descriptor(sys!(SYS_openat2, libc::AT_FDCWD, path.as_ptr(), how.as_ptr(), 24))
        });
    }
    it.step("openat2 of a bad size", || {
        let how = [0_u64; 4];
        sys!(SYS_openat2, libc::AT_FDCWD, c"/".as_ptr(), how.as_ptr(), 4)
    });
    it.step("a handle", || {
        // struct file_handle: bytes, type, handle.
        let mut handle = [0_u32; 34];
        handle[0] = 128;
        let mut mount = 0_i32;
        let path = c_path(file());
        let args = (libc::AT_FDCWD, path.as_ptr(), handle.as_mut_ptr());
        sys!(SYS_name_to_handle_at, args.0, args.1, args.2, &raw mut mount, 0)?;
        let at = open(AT, libc::O_DIRECTORY)?;
        let again = descriptor(sys!(SYS_open_by_handle_at, at.as_raw_fd(), handle.as_ptr(), 0))?;
        handle[3] ^= 0xffff;
        let stale = sys!(SYS_open_by_handle_at, at.as_raw_fd(), handle.as_ptr(), 0);
        drop(again);
        stale
    });
}

fn names(it: &mut Exercise) {
    let path = |name: &str| format!("{AT}/{name}");
    it.step("mkdir", || fs::create_dir(path("d")));
    it.step("mkdir again", || fs::create_dir(path("d")));
    it.step("symlink", || std::os::unix::fs::symlink("nowhere", path("s")));
    it.step("follow it", || open(&path("s"), 0));
    it.step("a loop of links", || {
        std::os::unix::fs::symlink("loop", path("loop"))?;
        open(&path("loop"), 0)
    });
    it.step("hard link", || fs::hard_link(file(), path("h")));
    it.step("hard link of a directory", || fs::hard_link(path("d"), path("h2")));
    it.step("hard link to another file system", || fs::hard_link(file(), "/proc/x"));
    for (name, flags) in [("plain", 0), ("NOREPLACE", 1), ("EXCHANGE", 2), ("WHITEOUT", 4), ("bad", 7)] {
        it.step(format!("rename {name}"), || {
            let (from, to) = (c_path(path("h")), c_path(path("d/h")));
            let _ = fs::hard_link(file(), path("h"));
            sys!(SYS_renameat2, libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags)
        });
    }
    it.step("rename into itself", || fs::rename(path("d"), path("d/e")));
    it.step("rename a directory over a file", || fs::rename(path("d"), file()));
    it.step("rmdir that is not empty", || fs::remove_dir(path("d")));
    it.step("unlink a directory", || fs::remove_file(path("d")));
    it.step("rmdir a file", || fs::remove_dir(file()));
    it.step("mknod fifo", || {
        sys!(SYS_mknodat, libc::AT_FDCWD, c_path(path("fifo")).as_ptr(), libc::S_IFIFO | 0o600, 0)
    });
    it.step("mknod device", || {
        sys!(SYS_mknodat, libc::AT_FDCWD, c_path(path("dev")).as_ptr(), libc::S_IFCHR | 0o600, 0x103)
    });
    it.step("mknod of no type", || {
        sys!(SYS_mknodat, libc::AT_FDCWD, c_path(path("no")).as_ptr(), 0o170_000, 0)
    });
    it.step("readlink of a file", || fs::read_link(file()));
    it.step("getdents with a short buffer", || {
        let directory = open(AT, libc::O_DIRECTORY)?;
        let mut buffer = [0_u8; 512];
        sys!(SYS_getdents64, directory.as_raw_fd(), buffer.as_mut_ptr(), 512)?;
        sys!(SYS_getdents64, directory.as_raw_fd(), buffer.as_mut_ptr(), 1)
    });
    it.step("many files in a directory", || {
        fs::create_dir(path("many"))?;
        (0..300).try_for_each(|number| fs::write(path(&format!("many/{number}")), ""))?;
        fs::read_dir(path("many"))?.count();
        fs::remove_dir_all(path("many"))
    });
    it.step("statx", || {
        let mut buffer = [0_u64; 32];
        for mask in [0x7ff_u32, u32::MAX >> 1, 0x8000_0000] {
            let _ = sys!(SYS_statx, libc::AT_FDCWD, c_path(file()).as_ptr(), 0, mask, buffer.as_mut_ptr());
        }
        sys!(SYS_statx, libc::AT_FDCWD, c"".as_ptr(), libc::AT_EMPTY_PATH, 0x7ff, buffer.as_mut_ptr())
    });
    it.step("access", || {
        for mode in [0, 1, 2, 4, 9] {
            let _ = sys!(SYS_faccessat2, libc::AT_FDCWD, c_path(file()).as_ptr(), mode, libc::AT_EACCESS);
        }
        sys!(SYS_chdir, c_path(AT).as_ptr())?;
        let mut buffer = [0_u8; 100];
        sys!(SYS_getcwd, buffer.as_mut_ptr(), 1).err();
        sys!(SYS_getcwd, buffer.as_mut_ptr(), 100)?;
        sys!(SYS_chdir, c"/".as_ptr())
    });
}

fn locks(it: &mut Exercise) {
    let lock = |kind: i16| libc::flock { l_type: kind, l_whence: 0, l_start: 10, l_len: 20, l_pid: 0 };
    // F_SETLK, F_GETLK, and those of open file descriptions.
    for (name, command) in [("F_SETLK", 6), ("F_GETLK", 5), ("F_OFD_SETLK", 37), ("F_OFD_GETLK", 36)] {
        for kind in [0_i16, 1, 2, 9] {
            it.step(format!("{name} {kind}"), || {
                let file = open(&file(), libc::O_RDWR)?;
                let lock = lock(kind);
                sys!(SYS_fcntl, file.as_raw_fd(), command, &raw const lock)
            });
        }
    }
    it.step("a lock that another has, waited for in vain", || {
        let one = open(&file(), libc::O_RDWR)?;
        let held = lock(1);
        sys!(SYS_fcntl, one.as_raw_fd(), 6, &raw const held)?;
        in_child(LIMIT, || {
            let other = open(&file(), libc::O_RDWR)?;
            let wanted = lock(1);
            let _impatience = Impatience::after(Duration::from_millis(20));
            let waited = sys!(SYS_fcntl, other.as_raw_fd(), 7, &raw const wanted);
            let got = sys!(SYS_fcntl, other.as_raw_fd(), 5, &raw const wanted);
            let _ = fs::read("/proc/locks");
            waited.and(got).map(drop)
        })
    });
    it.step("a deadlock of locks", || {
        let file = open(&file(), libc::O_RDWR)?;
        let part = |start| libc::flock { l_type: 1, l_whence: 0, l_start: start, l_len: 1, l_pid: 0 };
        let (one, other) = (part(0), part(1));
        sys!(SYS_fcntl, file.as_raw_fd(), 6, &raw const one)?;
        let child = sys::fork(|| {
            sys!(SYS_fcntl, file.as_raw_fd(), 6, &raw const other)?;
            let _impatience = Impatience::after(Duration::from_millis(300));
            sys!(SYS_fcntl, file.as_raw_fd(), 7, &raw const one).map(drop)
        })?;
        std::thread::sleep(Duration::from_millis(60));
        let _impatience = Impatience::after(Duration::from_millis(500));
        let end = sys!(SYS_fcntl, file.as_raw_fd(), 7, &raw const other);
        drop(_impatience);
        drop(file);
        let _ = sys::reap(child);
        end
    });
    for operation in [1, 2, 8, 5, 6, 99] {
        it.step(format!("flock {operation}"), || {
            let (one, other) = (open(&file(), 0)?, open(&file(), 0)?);
            sys!(SYS_flock, one.as_raw_fd(), operation)?;
            sys!(SYS_flock, other.as_raw_fd(), operation | libc::LOCK_NB)
        });
    }
    for kind in [0, 1, 2, 7] {
        it.step(format!("lease {kind}"), || {
            // SAFETY: the signal is to be passed over.
            unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
            let file_ = open(&file(), if kind == 1 { libc::O_RDWR } else { 0 })?;
            sys!(SYS_fcntl, file_.as_raw_fd(), libc::F_SETLEASE, kind)?;
            sys!(SYS_fcntl, file_.as_raw_fd(), libc::F_GETLEASE)?;
            let broken = open(&file(), libc::O_WRONLY | libc::O_NONBLOCK);
            sys!(SYS_fcntl, file_.as_raw_fd(), libc::F_SETLEASE, 2)?;
            broken
        });
    }
}

fn notification(it: &mut Exercise) {
    it.step("dnotify", || {
        // SAFETY: the signals are to be passed over.
        unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
        let directory = open(AT, libc::O_DIRECTORY)?;
        for events in [0x3f, 0x8000_003f_u32, 0] {
            sys!(SYS_fcntl, directory.as_raw_fd(), libc::F_NOTIFY, events)?;
            fs::write(format!("{AT}/seen"), "x")?;
            fs::remove_file(format!("{AT}/seen"))?;
        }
        sys!(SYS_fcntl, open(&file(), 0)?.as_raw_fd(), libc::F_NOTIFY, 1)
    });
    it.step("inotify", || {
        let notify = descriptor(sys!(SYS_inotify_init1, libc::IN_NONBLOCK))?;
        let fd = notify.as_raw_fd();
        let watch = sys!(SYS_inotify_add_watch, fd, c_path(AT).as_ptr(), 0xfff)?;
        sys!(SYS_inotify_add_watch, fd, c_path(AT).as_ptr(), 0x2000_0fff)?;
        fs::write(format!("{AT}/seen"), "x")?;
        fs::rename(format!("{AT}/seen"), format!("{AT}/moved"))?;
        fs::remove_file(format!("{AT}/moved"))?;
        let mut buffer = [0_u8; 1024];
        sys!(SYS_read, fd, buffer.as_mut_ptr(), 4).err();
        sys!(SYS_read, fd, buffer.as_mut_ptr(), 1024)?;
        let mut length = 0;
        sys!(SYS_ioctl, fd, 0x541b, &raw mut length)?;
        fs::read(format!("/proc/self/fdinfo/{fd}"))?;
        sys!(SYS_inotify_rm_watch, fd, watch)?;
        sys!(SYS_inotify_rm_watch, fd, watch)
    });
    for (name, flags) in
        [("notif", 0), ("content", 4), ("pre", 8), ("fid", 0x600), ("pidfd", 0x80), ("bad", 0x8000_0000_u32)]
    {
        it.step(format!("fanotify {name}"), || {
            let notify = descriptor(sys!(SYS_fanotify_init, flags | 3, libc::O_RDWR))?;
            let fd = notify.as_raw_fd();
            let mask = 0x3b_u64 | if flags == 0x600 { 0x7c0 } else { 0 };
            sys!(SYS_fanotify_mark, fd, 1, mask | 0x0800_0000, libc::AT_FDCWD, c_path(AT).as_ptr())?;
            let _ = sys!(SYS_fanotify_mark, fd, 0x11, mask, libc::AT_FDCWD, c_path(AT).as_ptr());
            let _ = sys!(SYS_fanotify_mark, fd, 0x101, mask, libc::AT_FDCWD, c_path(AT).as_ptr());
            let _ = fs::read(file());
            let mut buffer = [0_u8; 2048];
            let _ = sys!(SYS_read, fd, buffer.as_mut_ptr(), 2048);
            let _ = fs::read(format!("/proc/self/fdinfo/{fd}"));
            // A permission that nothing asked for.
            let _ = sys!(SYS_write, fd, [9_u32, 1].as_ptr(), 8);
            sys!(SYS_fanotify_mark, fd, 2, mask, libc::AT_FDCWD, c_path(AT).as_ptr()).err();
            sys!(SYS_fanotify_mark, fd, 0x80, 0, libc::AT_FDCWD, c_path(AT).as_ptr())
        });
    }
}

fn copies(it: &mut Exercise) {
    it.step("copy_file_range", || {
        let (from, to) = (open(&file(), 0)?, open(&format!("{AT}/copy"), libc::O_RDWR | libc::O_CREAT)?);
        sys!(SYS_copy_file_range, from.as_raw_fd(), 0, to.as_raw_fd(), 0, 9000, 0)?;
        // FICLONE, FIDEDUPERANGE.
        let _ = sys!(SYS_ioctl, to.as_raw_fd(), 0x4004_9409, from.as_raw_fd());
        let range = [0_u64, 4096, 1, to.as_raw_fd() as u64, 0, 0, 0];
        let _ = sys!(SYS_ioctl, from.as_raw_fd(), 0xc018_9436_u32, range.as_ptr());
        sys!(SYS_copy_file_range, from.as_raw_fd(), 0, from.as_raw_fd(), 0, 9000, 7)
    });
    it.step("sendfile", || {
        let (from, to) = (open(&file(), 0)?, open(&format!("{AT}/copy"), libc::O_RDWR)?);
        let mut offset = 100_i64;
        sys!(SYS_sendfile, to.as_raw_fd(), from.as_raw_fd(), &raw mut offset, 500)?;
        sys!(SYS_sendfile, from.as_raw_fd(), to.as_raw_fd(), 0, 500)
    });
    for mode in [0, 1, 2, 3, 8, 0x10, 0x20, 0x40, 0x80, 0xff] {
        it.step(format!("fallocate {mode:#x}"), || {
            let to = open(&format!("{AT}/copy"), libc::O_RDWR)?;
            sys!(SYS_fallocate, to.as_raw_fd(), mode, 4096, 4096)
        });
    }
    it.step("fallocate of nothing", || {
        sys!(SYS_fallocate, open(&format!("{AT}/copy"), 2)?.as_raw_fd(), 0, -1, 0)
    });
    it.step("truncate", || {
        let path = c_path(format!("{AT}/copy"));
        sys!(SYS_truncate, path.as_ptr(), 100)?;
        sys!(SYS_truncate, path.as_ptr(), 1_i64 << 40)?;
        sys!(SYS_truncate, path.as_ptr(), -1)
    });
    it.step("vectors", || {
        let to = open(&format!("{AT}/copy"), libc::O_RDWR)?;
        let mut bytes = [1_u8; 100];
        let vectors = [[bytes.as_mut_ptr() as usize, 50], [bytes.as_mut_ptr() as usize + 50, 50]];
        for flags in [0, 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x1000] {
            let _ = sys!(SYS_pwritev2, to.as_raw_fd(), vectors.as_ptr(), 2, 10, 0, flags);
            let _ = sys!(SYS_preadv2, to.as_raw_fd(), vectors.as_ptr(), 2, 10, 0, flags);
        }
        sys!(SYS_readv, to.as_raw_fd(), vectors.as_ptr(), 5000)
    });
    it.step("advice and ranges", || {
        let to = open(&file(), libc::O_RDWR)?;
        for advice in 0..7 {
            let _ = sys!(SYS_fadvise64, to.as_raw_fd(), 0, 8192, advice);
        }
        sys!(SYS_readahead, to.as_raw_fd(), 0, 8192)?;
        let _ = sys!(SYS_sync_file_range, to.as_raw_fd(), 0, 4096, 7);
        let _ = sys!(SYS_fdatasync, to.as_raw_fd());
        let mut range = [0_u64, 20_000];
        let mut statistics = [0_u64; 5];
        let _ = sys::call(
            451,
            &[to.as_raw_fd().into(), range.as_mut_ptr() as i64, statistics.as_mut_ptr() as i64, 0],
        );
        Ok(())
    });
}

fn attributes(it: &mut Exercise) {
    for (name, value) in [
        ("user.pp", "1"),
        ("trusted.pp", "1"),
        ("security.pp", "1"),
        ("system.posix_acl_access", "junk"),
        ("nonsense", "1"),
        ("user.", ""),
    ] {
        it.step(format!("xattr {name}"), || {
            let (path, name) = (c_path(file()), c_path(name));
            sys!(SYS_setxattr, path.as_ptr(), name.as_ptr(), value.as_ptr(), value.len(), 0)?;
            let exists = sys!(SYS_setxattr, path.as_ptr(), name.as_ptr(), value.as_ptr(), value.len(), 1);
            let mut buffer = [0_u8; 256];
            sys!(SYS_getxattr, path.as_ptr(), name.as_ptr(), buffer.as_mut_ptr(), 256)?;
            sys!(SYS_listxattr, path.as_ptr(), buffer.as_mut_ptr(), 256)?;
            sys!(SYS_listxattr, path.as_ptr(), buffer.as_mut_ptr(), 1).err();
            sys!(SYS_removexattr, path.as_ptr(), name.as_ptr())?;
            sys!(SYS_removexattr, path.as_ptr(), name.as_ptr()).err();
            exists
        });
    }
    it.step("modes, owners, times", || {
        let path = c_path(file());
        sys!(SYS_fchmodat, libc::AT_FDCWD, path.as_ptr(), 0o7777)?;
        sys!(SYS_fchownat, libc::AT_FDCWD, path.as_ptr(), 1, 1, 0)?;
        let times = [1_i64, 2, 3, 4];
        sys!(SYS_utimensat, libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), 0)?;
        let special = [0_i64, 0x3fff_ffff, 0, 0x3fff_fffe];
        sys!(SYS_utimensat, libc::AT_FDCWD, path.as_ptr(), special.as_ptr(), 0)?;
        let bad = [0_i64, -5, 0, 0];
        sys!(SYS_utimensat, libc::AT_FDCWD, path.as_ptr(), bad.as_ptr(), 0)
    });
    it.step("as nobody", || {
        in_child(LIMIT, || {
            fs::write(format!("{AT}/private"), "x")?;
            sys!(SYS_fchmodat, libc::AT_FDCWD, c_path(format!("{AT}/private")).as_ptr(), 0o600)?;
            sys!(SYS_setresuid, 65534, 65534, 65534)?;
            let _ = sys!(SYS_fchownat, libc::AT_FDCWD, c_path(file()).as_ptr(), 0, 0, 0);
            let _ = fs::remove_file(format!("{AT}/private"));
            open(&format!("{AT}/private"), libc::O_RDWR).map(drop)
        })
    });
}

fn pipe(flags: i32) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0_i32; 2];
    sys!(SYS_pipe2, ends.as_mut_ptr(), flags)?;
    Ok((descriptor(Ok(ends[0].into()))?, descriptor(Ok(ends[1].into()))?))
}

fn pipes(it: &mut Exercise) {
    for (name, flags) in
        [("plain", 0), ("packets", libc::O_DIRECT), ("nonblocking", libc::O_NONBLOCK), ("bad", 0x7)]
    {
        it.step(format!("pipe {name}"), || {
            let (out, into) = pipe(flags)?;
            let mut bytes = [1_u8; 5000];
            sys!(SYS_write, into.as_raw_fd(), bytes.as_ptr(), 5000)?;
            for size in [1 << 16, 4096, 1 << 30, 0] {
                let _ = sys!(SYS_fcntl, into.as_raw_fd(), libc::F_SETPIPE_SZ, size);
            }
            sys!(SYS_fcntl, into.as_raw_fd(), libc::F_GETPIPE_SZ)?;
            let mut length = 0;
            sys!(SYS_ioctl, out.as_raw_fd(), 0x541b, &raw mut length)?;
            sys!(SYS_read, out.as_raw_fd(), bytes.as_mut_ptr(), 5000)?;
            drop(out);
            // SAFETY: the signal is to be passed over.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
            sys!(SYS_write, into.as_raw_fd(), bytes.as_ptr(), 1)
        });
    }
    it.step("splice, tee, vmsplice", || {
        let ((out, into), (out2, into2)) = (pipe(0)?, pipe(0)?);
        let from = open(&file(), 0)?;
        sys!(SYS_splice, from.as_raw_fd(), 0, into.as_raw_fd(), 0, 4096, 0)?;
        sys!(SYS_tee, out.as_raw_fd(), into2.as_raw_fd(), 4096, 0)?;
        let to = open(&format!("{AT}/copy"), libc::O_RDWR)?;
        sys!(SYS_splice, out2.as_raw_fd(), 0, to.as_raw_fd(), 0, 4096, libc::SPLICE_F_MOVE)?;
        let mut bytes = [0_u8; 100];
        let vector = [bytes.as_mut_ptr() as usize, 100];
        sys!(SYS_vmsplice, out.as_raw_fd(), vector.as_ptr(), 1, 0)?;
        sys!(SYS_vmsplice, into.as_raw_fd(), vector.as_ptr(), 1, libc::SPLICE_F_GIFT)?;
        sys!(SYS_splice, from.as_raw_fd(), 0, to.as_raw_fd(), 0, 10, 0)
    });
    it.step("fifo", || {
        let path = format!("{AT}/fifo");
        let into = open(&path, libc::O_WRONLY | libc::O_NONBLOCK);
        let both = open(&path, libc::O_RDWR)?;
        sys!(SYS_write, both.as_raw_fd(), [1_u8].as_ptr(), 1)?;
        into
    });
}

fn waiting(it: &mut Exercise) {
    it.step("epoll", || {
        let poll = descriptor(sys!(SYS_epoll_create1, 0))?;
        let (out, into) = pipe(libc::O_NONBLOCK)?;
        let fd = poll.as_raw_fd();
        let mut event = libc::epoll_event { events: 1 | 1 << 31 | 1 << 29, u64: 7 };
        sys!(SYS_epoll_ctl, fd, 1, out.as_raw_fd(), &raw mut event)?;
        sys!(SYS_epoll_ctl, fd, 1, out.as_raw_fd(), &raw mut event).err();
        sys!(SYS_write, into.as_raw_fd(), [1_u8].as_ptr(), 1)?;
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 4];
        sys!(SYS_epoll_pwait, fd, events.as_mut_ptr(), 4, 10, 0, 0)?;
        let time = [0_i64, 1000];
        sys!(SYS_epoll_pwait2, fd, events.as_mut_ptr(), 4, time.as_ptr(), 0, 0)?;
        sys!(SYS_epoll_ctl, fd, 3, out.as_raw_fd(), &raw mut event)?;
        let inner = descriptor(sys!(SYS_epoll_create1, 0))?;
        sys!(SYS_epoll_ctl, fd, 1, inner.as_raw_fd(), &raw mut event)?;
        sys!(SYS_epoll_ctl, inner.as_raw_fd(), 1, fd, &raw mut event).err();
        fs::read(format!("/proc/self/fdinfo/{fd}"))?;
        let file = open(&file(), 0)?;
        sys!(SYS_epoll_ctl, fd, 1, file.as_raw_fd(), &raw mut event).err();
        sys!(SYS_epoll_ctl, fd, 2, out.as_raw_fd(), 0)?;
        sys!(SYS_epoll_ctl, fd, 2, out.as_raw_fd(), 0)
    });
    it.step("eventfd", || {
        for flags in [0, 1, libc::EFD_NONBLOCK] {
            let event = descriptor(sys!(SYS_eventfd2, 3, flags | libc::EFD_NONBLOCK))?;
            let mut value = 0_u64;
            sys!(SYS_read, event.as_raw_fd(), &raw mut value, 8)?;
            sys!(SYS_write, event.as_raw_fd(), [u64::MAX].as_ptr(), 8).err();
            sys!(SYS_write, event.as_raw_fd(), [u64::MAX - 1].as_ptr(), 8)?;
            sys!(SYS_write, event.as_raw_fd(), [5_u64].as_ptr(), 8).err();
        }
        sys!(SYS_eventfd2, 0, 0x99)
    });
    it.step("signalfd", || {
        let mask = 1_u64 << (libc::SIGUSR2 - 1);
        sys!(SYS_rt_sigprocmask, 0, &raw const mask, 0, 8)?;
        let signal = descriptor(sys!(SYS_signalfd4, -1, &raw const mask, 8, libc::SFD_NONBLOCK))?;
        // SAFETY: a signal to this process, which it has blocked.
        unsafe { libc::raise(libc::SIGUSR2) };
        let mut buffer = [0_u8; 256];
        sys!(SYS_read, signal.as_raw_fd(), buffer.as_mut_ptr(), 256)?;
        sys!(SYS_read, signal.as_raw_fd(), buffer.as_mut_ptr(), 256)
    });
    it.step("timerfd", || {
        for clock in [0, 1, 7, 8, 9] {
            let Ok(timer) = descriptor(sys!(SYS_timerfd_create, clock, libc::TFD_NONBLOCK)) else { continue };
            let time = [0_i64, 1_000_000, 0, 1_000_000];
            sys!(SYS_timerfd_settime, timer.as_raw_fd(), 0, time.as_ptr(), 0)?;
            std::thread::sleep(Duration::from_millis(3));
            let mut value = [0_i64; 4];
            sys!(SYS_read, timer.as_raw_fd(), value.as_mut_ptr(), 8)?;
            sys!(SYS_timerfd_gettime, timer.as_raw_fd(), value.as_mut_ptr())?;
            fs::read(format!("/proc/self/fdinfo/{}", timer.as_raw_fd()))?;
        }
        sys!(SYS_timerfd_create, 99, 0)
    });
    it.step("select and poll", || {
        let (out, _into) = pipe(0)?;
        let mut set = [0_u64; 16];
        set[0] = 1 << out.as_raw_fd();
        let mut time = [0_i64, 1000];
        sys!(SYS_select, 64, set.as_mut_ptr(), 0, 0, time.as_mut_ptr())?;
        sys!(SYS_pselect6, 64, set.as_mut_ptr(), 0, 0, time.as_ptr(), 0)?;
        let mut polls = [[out.as_raw_fd(), 0x1f], [-1, 1], [999, 1]];
        sys!(SYS_ppoll, polls.as_mut_ptr(), 3, time.as_ptr(), 0, 8)?;
        sys!(SYS_select, -1, 0, 0, 0, time.as_mut_ptr())
    });
}

fn aio(it: &mut Exercise) {
    it.step("asynchronous I/O", || {
        let mut context = 0_u64;
        sys!(SYS_io_setup, 8, &raw mut context)?;
        let file = open(&file(), libc::O_RDWR)?;
        let mut buffer = [0_u8; 512];
        for operation in [0_u16, 1, 2, 3, 5, 6, 7, 8, 99] {
            // struct iocb.
            let mut block = [0_u64; 8];
            block[2] = u64::from(operation);
            block[2] |= (file.as_raw_fd() as u64) << 32;
            block[3] = buffer.as_mut_ptr() as u64;
            block[4] = if operation == 5 { 1 } else { 512 };
            let pointer = block.as_ptr();
            if sys!(SYS_io_submit, context, 1, &raw const pointer).is_ok() {
                let time = [0_i64, 50_000_000];
                let mut events = [0_u64; 16];
                sys!(SYS_io_getevents, context, 1, 4, events.as_mut_ptr(), time.as_ptr())?;
                let _ = sys!(SYS_io_cancel, context, block.as_ptr(), events.as_mut_ptr());
            }
        }
        sys!(SYS_io_destroy, context)?;
        sys!(SYS_io_destroy, context)
    });
}

fn odd(it: &mut Exercise) {
    it.step("descriptors", || {
        let file = open(&file(), 0)?;
        let fd = file.as_raw_fd();
        let copy = descriptor(sys!(SYS_dup, fd))?;
        let third = descriptor(sys!(SYS_dup3, fd, 100, libc::O_CLOEXEC))?;
        drop((copy, third));
        sys!(SYS_fcntl, fd, libc::F_DUPFD_CLOEXEC, 200).and_then(|number| sys!(SYS_close, number))?;
        for command in 0..20 {
            let _ = sys!(SYS_fcntl, fd, command, 0);
        }
        for command in 1024..1050 {
            let _ = sys!(SYS_fcntl, fd, command, 0);
        }
        sys!(SYS_close_range, 300, 400, 0)?;
        sys!(SYS_close_range, 300, 200, 0).err();
        // kcmp, of the same file and of different ones.
        // SAFETY: numbers only.
        let own = unsafe { libc::getpid() };
        for kind in 0..9 {
            let _ = sys!(SYS_kcmp, own, own, kind, fd, fd);
        }
        sys!(SYS_close, 999)
    });
    it.step("memfd", || {
        for flags in [0_u32, 1, 2, 3, 4, 8, 0x10, 0x100] {
            let Ok(file) = descriptor(sys!(SYS_memfd_create, c"pp".as_ptr(), flags)) else { continue };
            let fd = file.as_raw_fd();
            let _ = sys!(SYS_ftruncate, fd, 8192);
            for seal in [2, 4, 8, 16, 1, 2] {
                let _ = sys!(SYS_fcntl, fd, libc::F_ADD_SEALS, seal);
            }
            let _ = sys!(SYS_fcntl, fd, libc::F_GET_SEALS);
            let _ = sys!(SYS_write, fd, [1_u8].as_ptr(), 1);
            let _ = sys!(SYS_ftruncate, fd, 0);
        }
        sys!(SYS_memfd_create, c"pp".as_ptr(), 0x8000)
    });
    it.step("a terminal", || {
        places::mount("devpts", "/tmp/pts", "newinstance,ptmxmode=0666")?;
        let master = open("/tmp/pts/ptmx", libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK)?;
        let fd = master.as_raw_fd();
        let mut number = 0;
        sys!(SYS_ioctl, fd, libc::TIOCSPTLCK, &raw mut number)?;
        sys!(SYS_ioctl, fd, libc::TIOCGPTN, &raw mut number)?;
        let slave = open(&format!("/tmp/pts/{number}"), libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK)?;
        let mut settings = [0_u8; 64];
        let mut buffer = [0_u8; 100];
        for request in [
            libc::TCGETS,
            libc::TCSETS,
            libc::TCSETSW,
            libc::TCSBRK,
            libc::TCFLSH,
            libc::TIOCGWINSZ,
            libc::TIOCSWINSZ,
            libc::TIOCINQ,
            libc::TIOCSTI,
            libc::TIOCGSID,
            libc::TIOCEXCL,
            libc::TIOCNXCL,
            libc::TIOCPKT,
        ] {
            let _ = sys!(SYS_ioctl, slave.as_raw_fd(), request, settings.as_mut_ptr());
        }
        for discipline in 0..30 {
            let _ = sys!(SYS_ioctl, slave.as_raw_fd(), libc::TIOCSETD, &raw const discipline);
        }
        let plain = 0;
        let _ = sys!(SYS_ioctl, slave.as_raw_fd(), libc::TIOCSETD, &raw const plain);
        sys!(SYS_write, fd, c"hello\n\x03\x7f\x15".as_ptr(), 9)?;
        let _ = sys!(SYS_read, slave.as_raw_fd(), buffer.as_mut_ptr(), 100);
        let _ = sys!(SYS_write, slave.as_raw_fd(), c"x\n".as_ptr(), 2);
        let _ = sys!(SYS_read, fd, buffer.as_mut_ptr(), 100);
        drop(master);
        let hung_up = sys!(SYS_write, slave.as_raw_fd(), c"x".as_ptr(), 1);
        drop(slave);
        places::unmount("/tmp/pts")?;
        if hung_up.is_ok() { wrong("not hung up") } else { Ok(()) }
    });
    it.step("bad pointers", || {
        let file = open(&file(), libc::O_RDWR)?;
        let fd = file.as_raw_fd();
        let _ = sys!(SYS_read, fd, 1, 100);
        let _ = sys!(SYS_write, fd, -4096_i64, 100);
        let _ = sys!(SYS_openat, libc::AT_FDCWD, 1, 0);
        let _ = sys!(SYS_fstat, fd, 1);
        let _ = sys!(SYS_read, fd, 1, -1);
        sys!(SYS_ioctl, fd, 0xdead, 1)
    });
}
