//! FUSE with a server that mirrors a directory: by read and write, by splices, with passed-through files, with each flag of its first
//! answer, with notifications, and with servers that answer wrongly. The kernel mounts nothing of it without one.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use workloads::exercise::{self, Exercise};
use workloads::fuse::{self, FuseManner, FuseServer, FuseWrong};
use workloads::places::{mount, mount_with, unmount, unmount_with};
use workloads::served::{self, AT, LIMIT, MIRRORED, Served};
use workloads::sys;
use workloads::sys::{c_path, in_child};
use workloads::used_tree::{self, Ends, TOGETHER, touched};
use workloads::walk::write;

pub fn main() {
    exercise::run(|it| served::mirrored(it, fuse));
}

/// How the server is, options of the mount, and the groups of uses that are tried there at once.
fn fuse_mounts() -> [(&'static str, FuseManner, &'static str, &'static [&'static str]); 9] {
    let with = |flags: u64, open_flags: u32, valid: u64| FuseManner {
        flags: fuse::GOOD.flags | flags,
        open_flags,
        valid,
        ..fuse::GOOD
    };
    let cached = fuse::WRITEBACK_CACHE | fuse::PARALLEL_DIROPS | fuse::CACHE_SYMLINKS | fuse::MAX_PAGES;
    let listed = fuse::DO_READDIRPLUS | fuse::READDIRPLUS_AUTO | fuse::HAS_IOCTL_DIR;
    let rights = fuse::POSIX_ACL | fuse::DONT_MASK | fuse::SETXATTR_EXT | fuse::SECURITY_CTX;
    let kept = fuse::HANDLE_KILLPRIV_V2 | fuse::ATOMIC_O_TRUNC | fuse::AUTO_INVAL_DATA;
    [
        ("write back", with(cached, fuse::KEEP_CACHE, 60), "", &["data", "mappings", "pipes", "space"]),
        ("readdirplus", with(listed, fuse::CACHE_DIR, 60), "", &["directories", "attributes"]),
        ("readdirplus always", with(fuse::DO_READDIRPLUS, fuse::CACHE_DIR | fuse::KEEP_CACHE, 0), "", &[]),
        (
            "rights",
            with(rights | fuse::CREATE_SUPP_GROUP | fuse::ALLOW_IDMAP, 0, 1),
            "default_permissions,allow_other",
            &["attributes", "extended attributes"],
        ),
        (
            "direct",
            with(fuse::ASYNC_DIO, fuse::DIRECT_IO | fuse::PARALLEL_DIRECT_WRITES, 0),
            "",
            &["data", "mappings"],
        ),
        (
            "direct, mapped",
            with(fuse::DIRECT_IO_ALLOW_MMAP | fuse::HANDLE_KILLPRIV, fuse::DIRECT_IO, 0),
            "allow_other,max_read=4096",
            &["mappings"],
        ),
        ("kept", with(kept, fuse::NOFLUSH, 60), "max_read=8192", &["data"]),
        // Without "pipes": lockdep of 7.2.12 finds that fuse_passthrough_splice_write() locks the inode and then the pipe, where
        // fuse_splice_write() locks the pipe and then the inode.
        ("by itself", with(fuse::PASSTHROUGH | fuse::EXPLICIT_INVAL_DATA, 0, 60), "", &["data", "mappings"]),
        (
            "by pipes",
            FuseManner { is_spliced: true, ..with(fuse::EXPORT_SUPPORT | fuse::REQUEST_TIMEOUT, 0, 1) },
            "",
            &["data", "pipes"],
        ),
    ]
}

fn fuse(it: &mut Exercise) {
    for names in TOGETHER {
        it.step(format!("fuse: {}", names.join(", ")), || {
            with_fuse(fuse::GOOD, "", |at| used_tree::groups(at, names))
        });
    }
    for (name, manner, options, names) in fuse_mounts() {
        it.step(format!("fuse, {name}"), || {
            with_fuse(manner, options, |at| {
                touched(at);
                used_tree::groups(at, names)
            })
        });
    }
    it.step("fuse, as a stream", || {
        let open_flags = fuse::STREAM | fuse::NONSEEKABLE;
        with_fuse(FuseManner { open_flags, ..fuse::GOOD }, "", |at| {
            // It has no end: each read is one at its beginning.
            let mut file = fs::OpenOptions::new().read(true).write(true).open(at.join("there"))?;
            let mut ends = Ends::default();
            ends.good("read", file.read_exact(&mut [0; 100]));
            ends.good("write", file.write_all(b"stream"));
            ends.refused("a place", sys!(SYS_lseek, file.as_raw_fd(), 5, libc::SEEK_SET));
            ends.end()
        })
    });
    for minor in [3, 8, 20] {
        it.step(format!("fuse of version 7.{minor}"), || {
            with_fuse(FuseManner { minor, ..fuse::GOOD }, "", |at| {
                touched(at);
                Ok(())
            })
        });
    }
    // Of a server that answers wrongly, or says something by itself, the client waits where something fails as well: for how long is
    // chance.
    if it.is_sweep() {
        return;
    }
    fuse_bad(it);
    fuse_notifications(it);
    fuse_control(it);
    fuse_device(it);
}

/// Mounts, does `work`, and unmounts. The kernel asks the server for nothing before the first use of the mount.
fn with_fuse(
    manner: FuseManner,
    options: &str,
    work: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let mut served = Served::new()?;
    let device = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
    let comma = if options.is_empty() { "" } else { "," };
    let fd = device.as_raw_fd();
    let options = format!("fd={fd},rootmode=40000,user_id=0,group_id=0{comma}{options}");
    mount_with("served", AT, "fuse", 0, &options)?;
    // With the device this process would keep the connection of a server that has died.
    served.start(move || FuseServer::new(device, Path::new(MIRRORED), manner)?.serve())?;
    in_child(LIMIT, || {
        let worked = work(Path::new(AT));
        worked.and(unmount(AT))
    })
}

/// Servers that answer a kind of request wrongly. That all calls end is the result.
fn fuse_bad(it: &mut Exercise) {
    let wrongs = [
        FuseWrong::Dies,
        FuseWrong::Short,
        FuseWrong::Long,
        FuseWrong::OtherRequest,
        FuseWrong::NoError,
        FuseWrong::Error(5),
    ];
    let kinds = [fuse::LOOKUP, fuse::GETATTR, fuse::OPEN, fuse::READ, fuse::WRITE, fuse::READDIR, fuse::INIT];
    let all = kinds.into_iter().enumerate().map(|(number, of)| (wrongs[number % wrongs.len()], of));
    let others = [
        (FuseWrong::Error(libc::ENOSYS), fuse::OPEN),
        (FuseWrong::Error(libc::ENOSYS), fuse::GETXATTR),
        (FuseWrong::Error(libc::ESTALE), fuse::LOOKUP),
        (FuseWrong::Long, fuse::READ),
        (FuseWrong::Junk, fuse::LOOKUP),
        (FuseWrong::Junk, fuse::READDIR),
        (FuseWrong::Junk, fuse::INIT),
    ];
    for (wrong, wrong_of) in all.chain(others) {
        it.step(format!("fuse with a server: {wrong:?}, of {wrong_of}"), || {
            let manner = FuseManner { wrong, wrong_of, ..fuse::GOOD };
            with_fuse(manner, "", |at| {
                touched(at);
                Ok(())
            })
        });
    }
    it.step("fuse with a task that is killed while it waits", || {
        let manner = FuseManner { wrong: FuseWrong::Silent, wrong_of: fuse::READ, ..fuse::GOOD };
        with_fuse(manner, "", |at| {
            // It never comes: the child is killed, and its request interrupted.
            let _ = in_child(Duration::from_millis(100), || fs::read(at.join("there")).map(drop));
            fs::metadata(at.join("there")).map(drop)
        })
    });
    it.step("fuse that is unmounted by force", || {
        with_fuse(fuse::GOOD, "", |at| {
            let open = fs::File::open(at.join("there"))?;
            let _ = unmount_with(at, libc::MNT_FORCE);
            let _ = fs::read_dir(at);
            drop(open);
            Ok(())
        })
    });
}

/// The server sends each kind of notification, good and bad, while the file is open and cached.
fn fuse_notifications(it: &mut Exercise) {
    for flags in [0, fuse::WRITEBACK_CACHE] {
        it.step(format!("fuse with notifications and {flags:x}"), || {
            let flags = fuse::GOOD.flags | flags;
            let manner = FuseManner { flags, open_flags: fuse::KEEP_CACHE, valid: 60, ..fuse::GOOD };
            with_fuse(manner, "", |at| {
                let (file, text) = (fs::File::open(at.join("there"))?, c_path(at.join("there")));
                io::copy(&mut &file, &mut io::sink())?;
                let name = c_path(fuse::NOTIFY);
                sys!(SYS_setxattr, text.as_ptr(), name.as_ptr(), c"1".as_ptr(), 1, 0)?;
                let mut ends = Ends::default();
                ends.good("read after that", fs::read(at.join("there")));
                ends.good("look after that", fs::metadata(at.join("there")));
                let mut ready = [libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
                ends.good("poll", sys::poll(&mut ready, 20));
                ends.end()
            })
        });
    }
}

/// The files of the connection in fusectl, and an abort while a request waits.
fn fuse_control(it: &mut Exercise) {
    const CONTROL: &str = "/tmp/fusectl";
    it.step("fusectl", || mount("fusectl", CONTROL, ""));
    it.step("fuse that is controlled and aborted", || {
        let manner = FuseManner {
            wrong: FuseWrong::Silent,
            wrong_of: fuse::READ,
            flags: fuse::GOOD.flags | fuse::ABORT_ERROR,
            ..fuse::GOOD
        };
        with_fuse(manner, "", |at| {
            let number = libc::minor(std::os::unix::fs::MetadataExt::dev(&fs::metadata(at)?));
            let files = Path::new(CONTROL).join(number.to_string());
            let mut ends = Ends::default();
            for (name, value) in [("max_background", "7"), ("congestion_threshold", "5")] {
                ends.good(name, write(files.join(name), value.as_bytes()));
                ends.good(name, fs::read(files.join(name)));
                ends.refused("junk", write(files.join(name), b"junk"));
                let _ = write(files.join(name), b"99999");
            }
            let waits = sys::fork(|| fs::read(at.join("there")).map(drop))?;
            for _ in 0..100 {
                let waiting = fs::read_to_string(files.join("waiting"))?;
                if waiting.trim() != "0" {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            ends.good("abort", write(files.join("abort"), b"1"));
            ends.refused("read that waits", sys::reap(waits));
            ends.refused("look after that", fs::read(at.join("there")));
            ends.end()
        })
    });
    it.step("no fusectl", || unmount(CONTROL));
}

/// The device by itself, and options that are refused.
fn fuse_device(it: &mut Exercise) {
    it.step("the device of fuse without a mount", || {
        let device = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
        let (fd, mut room) = (device.as_raw_fd(), [0_u8; 100]);
        let mut ends = Ends::default();
        ends.refused("read", sys!(SYS_read, fd, room.as_mut_ptr(), 100));
        ends.refused("write", sys!(SYS_write, fd, room.as_ptr(), 100));
        let mut ready = [libc::pollfd { fd, events: libc::POLLIN, revents: 0 }];
        ends.good("poll", sys::poll(&mut ready, 0));
        // The last one is FUSE_DEV_IOC_SYNC_INIT, after which calls wait for a mount.
        for request in [fuse::DEVICE_CLONE, 0x4010_e501, 0x4004_e502, 0x1234, 0xe503] {
            let number = [fd, 0, 0, 0];
            let _ = sys!(SYS_ioctl, fd, request, number.as_ptr());
        }
        ends.end()
    });
    it.step("a second device of a fuse mount", || {
        let device = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        fs::create_dir_all(AT)?;
        mount_with("served", AT, "fuse", 0, &options)?;
        let again = mount_with("served", AT, "fuse", 0, &options);
        let second = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
        let cloned = sys!(SYS_ioctl, second.as_raw_fd(), fuse::DEVICE_CLONE, [device.as_raw_fd()].as_ptr());
        let mut room = [0_u8; 100];
        let short = sys!(SYS_read, second.as_raw_fd(), room.as_mut_ptr(), 100);
        drop((device, second));
        let _ = unmount_with(AT, libc::MNT_DETACH);
        let mut ends = Ends::default();
        ends.refused("the same device again", again);
        ends.good("clone", cloned);
        ends.refused("a read without room", short);
        ends.end()
    });
    for options in
        ["rootmode=junk", "rootmode=40000", "blksize=77", "max_read=junk", "user_id=-2", "nonsense"]
    {
        it.step(format!("fuse {options}"), || {
            let device = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
            let end = mount_with("x", AT, "fuse", 0, &format!("fd={},{options}", device.as_raw_fd()));
            let _ = unmount_with(AT, libc::MNT_DETACH);
            end
        });
    }
}
