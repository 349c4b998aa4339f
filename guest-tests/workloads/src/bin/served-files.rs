//! File systems whose server is a child of this process, which mirrors a directory of tmpfs: 9P by each transport that needs no
//! device, and FUSE, with servers that answer well and with servers that do not. The kernel mounts none of them without one.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use workloads::exercise::{self, Exercise};
use workloads::fuse::{self, FuseManner, FuseServer, FuseWrong};
use workloads::nine_p::{self, ANY_VERSION, NinePManner, NinePServer, NinePVersion};
use workloads::places::{self, mount, mount_with, unmount, unmount_with};
use workloads::sys;
use workloads::sys::{c_path, in_child};
use workloads::tools::run;
use workloads::used_tree::{self, Ends};
use workloads::walk::write;

const LIMIT: Duration = Duration::from_secs(8);
/// A server ends itself after that: a task that waits for it gets an error then.
const LIFETIME_SECS: u32 = 12;
/// What the servers mirror.
const MIRRORED: &str = "/tmp/mirrored";
const ONE_PROCESSOR: u64 = 1;
const AT: &str = "/tmp/served";

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    // A client and its server take turns: on different processors each turn would wait for the other one to wake up.
    it.step("one processor", || sys!(SYS_sched_setaffinity, 0, 8, [ONE_PROCESSOR].as_ptr()));
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    it.step("loopback", || run("ip link set lo up"));
    // Once for all: to unmount it takes long.
    it.step("what is mirrored", || mount("tmpfs", MIRRORED, "size=16m"));
    it.step("many entries", || used_tree::make_many(Path::new(MIRRORED)));
    it.step("where it is served", || fs::create_dir_all(AT));
    nine_p(it);
    fuse(it);
    it.step("nothing is mirrored", || unmount(MIRRORED));
}

/// The child that serves the directory that is mirrored, and the mount of what it serves: all end when this is dropped.
struct Served {
    server: Option<libc::pid_t>,
}

impl Served {
    fn new() -> io::Result<Served> {
        let entries = fs::read_dir(MIRRORED)?.flatten().map(|entry| entry.path());
        for entry in entries.filter(|entry| !entry.ends_with(used_tree::MANY)) {
            let _ = fs::remove_file(&entry).or_else(|_| fs::remove_dir_all(&entry));
        }
        fs::write(format!("{MIRRORED}/there"), [7; 5000])?;
        Ok(Served { server: None })
    }

    fn start(&mut self, serve: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.server = Some(sys::fork_with_failures(|| {
            // SAFETY: no pointers; what they change is this process's own.
            unsafe {
                libc::alarm(LIFETIME_SECS);
                libc::umask(0);
            }
            serve()
        })?);
        Ok(())
    }
}

impl Drop for Served {
    /// The server first: a mount that has something to write back would wait for it.
    fn drop(&mut self) {
        if let Some(server) = self.server {
            sys::stop(server);
        }
        let _ = unmount_with(AT, libc::MNT_DETACH);
    }
}

/// Closes the copy of a descriptor that a fork gave this process: while it is open its other end does not see an end.
fn close_copy(fd: i32) {
    let _ = sys!(SYS_close, fd);
}

/// All groups of uses, as far as one step has them.
const TOGETHER: [&[&str]; 4] = [
    &["data", "pipes", "mappings", "space"],
    &["names", "locks"],
    &["directories"],
    &["attributes", "extended attributes"],
];

/// Options of mounts, and the groups of uses that are tried there at once. A request takes some milliseconds on an emulated CPU.
const NINE_P: [(&str, &[&str]); 10] = [
    ("version=9p2000.L,cache=loose,access=any", &["data", "mappings"]),
    ("version=9p2000.L,cache=mmap,msize=8192,access=user", &["mappings"]),
    ("version=9p2000.L,cache=readahead,access=client,posixacl", &["extended attributes"]),
    ("version=9p2000.L,cache=fscache,cachetag=pp,negtimeout=100", &["mappings"]),
    ("version=9p2000.u,cache=none,access=user", &["names"]),
    ("version=9p2000.u,cache=loose,nodevmap,dfltuid=7,dfltgid=7", &["mappings"]),
    ("version=9p2000,cache=mmap", &["attributes"]),
    ("cache=0xf,directio,ignoreqv,noxattr,nodevmap", &["mappings"]),
    ("access=1000,uname=pp,aname=/x,dfltuid=1,dfltgid=1,afid=3,debug=0", &[]),
    ("negtimeout=-1,locktimeout=1,msize=4096,nonsense", &["locks"]),
];

fn nine_p(it: &mut Exercise) {
    let good = |server| server;
    for names in TOGETHER {
        it.step(format!("9p: {}", names.join(", ")), || {
            with_nine_p("cache=none", ANY_VERSION, good, |at| used_tree::groups(at, names))
        });
    }
    for (options, names) in NINE_P {
        it.step(format!("9p {options}"), || {
            with_nine_p(options, ANY_VERSION, good, |at| {
                touched(at);
                used_tree::groups(at, names)
            })
        });
    }
    nine_p_versions(it);
    nine_p_bad(it);
    nine_p_options(it);
    nine_p_sockets(it);
}

/// A few requests, whatever they end in.
fn touched(at: &Path) {
    let _ = fs::read(at.join("there"));
    let _ = fs::read_dir(at).map(Iterator::count);
    let _ = fs::write(at.join("new"), "x");
    let _ = fs::read_to_string("/proc/self/mountinfo");
    let _ = fs::remove_file(at.join("new"));
}

/// Mounts by a pair of sockets, does `work`, and unmounts.
fn with_nine_p(
    options: &str,
    version: NinePVersion,
    adapt: impl FnOnce(NinePServer) -> NinePServer,
    work: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let mut served = Served::new()?;
    let (ours, theirs) = UnixStream::pair()?;
    let fd = ours.as_raw_fd();
    served.start(move || {
        close_copy(fd);
        let server = adapt(NinePServer::new(Path::new(MIRRORED), version)?);
        server.serve(&theirs, &theirs)
    })?;
    in_child(LIMIT, || {
        let options = format!("trans=fd,rfdno={fd},wfdno={fd},{options}");
        mount_with("served", AT, "9p", 0, &options)?;
        let worked = work(Path::new(AT));
        worked.and(unmount(AT))
    })
}

/// What the client asks for, and what it is told.
fn nine_p_versions(it: &mut Exercise) {
    let good = |server| server;
    for (asked, told) in
        [("9p2000.L", "9P2000.u"), ("9p2000.L", "unknown"), ("9p2000.u", "9P1999"), ("9p2000", "")]
    {
        it.step(format!("9p asked for {asked} says {told}"), || {
            let version = NinePVersion { msize_max: 8192, name: Some(told) };
            with_nine_p(&format!("version={asked}"), version, good, |at| {
                touched(at);
                Ok(())
            })
        });
    }
    for msize_max in [100, 4096] {
        it.step(format!("9p with messages of {msize_max} bytes"), || {
            let version = NinePVersion { msize_max, name: None };
            with_nine_p("version=9p2000.L", version, good, |at| {
                fs::read_dir(at.join(used_tree::MANY))?.count();
                fs::write(at.join("new"), [7; 20_000])
            })
        });
    }
}

/// Servers that answer wrongly, at the mount or later. What each call ends in may depend on what the client sees first; that all
/// of them end is the result.
fn nine_p_bad(it: &mut Exercise) {
    use NinePManner::{
        Dies, DiesInside, Empty, Error, Junk, JunkHeader, Pieces, Short, Silent, TooLong, TooSmall, WrongTag,
        WrongType,
    };
    let manners = [
        Dies,
        DiesInside,
        Short,
        Empty,
        JunkHeader,
        WrongTag,
        WrongType,
        TooLong,
        TooSmall,
        Error(5),
        Error(0),
        Error(99_999),
        Pieces,
    ];
    for (number, manner) in (0..).zip(manners) {
        bad_server(it, manner, 0, 2 + number % 5);
    }
    for manner in [Dies, Junk, Error(5)] {
        bad_server(it, manner, nine_p::TVERSION, 0);
    }
    for (manner, of) in [
        (Junk, nine_p::TREADDIR),
        (Junk, nine_p::TREAD),
        (Junk, nine_p::TWALK),
        (Error(2), nine_p::TWRITE),
        (Junk, nine_p::TLOCK),
    ] {
        bad_server(it, manner, of, 0);
    }
    it.step("9p with a task that is killed while it waits", || {
        with_nine_p(
            "cache=none",
            ANY_VERSION,
            |server| server.with(Silent, nine_p::TREAD, 0),
            |at| {
                let read = || fs::read(at.join("there")).map(drop);
                // It never comes: the child is killed, and the client flushes the request.
                let _ = in_child(Duration::from_millis(100), read);
                let _ = fs::metadata(at.join("there"));
                Ok(())
            },
        )
    });
    it.step("9p that is unmounted by force", || {
        with_nine_p(
            "cache=loose",
            ANY_VERSION,
            |server| server,
            |at| {
                let open = fs::File::open(at.join("there"))?;
                let _ = unmount_with(at, libc::MNT_FORCE);
                let _ = fs::read_dir(at);
                drop(open);
                Ok(())
            },
        )
    });
}

fn bad_server(it: &mut Exercise, manner: NinePManner, of: u8, before: u32) {
    let is_dying = matches!(manner, NinePManner::Dies | NinePManner::DiesInside);
    it.step(format!("9p with a server: {manner:?}, of {of}, after {before}"), || {
        let end = with_nine_p(
            "cache=none",
            ANY_VERSION,
            |server| server.with(manner, of, before),
            |at| {
                touched(at);
                Ok(())
            },
        );
        // The connection is seen to have ended by a read or by a poll, which have different errors (net/9p/trans_fd.c).
        match end {
            Err(error) if is_dying && error.raw_os_error().is_some() => Ok(()),
            end => end,
        }
    });
}

fn nine_p_options(it: &mut Exercise) {
    for options in [
        "trans=fd",
        "trans=fd,rfdno=999,wfdno=999",
        "trans=fd,rfdno=junk",
        "trans=none-of-them",
        "trans=virtio",
        "version=9p3000",
        "msize=100",
        "msize=4294967295",
        "access=junk",
        "access=4294967295",
        "cache=junk",
        "locktimeout=0",
        "dfltuid=-2",
        "debug=junk",
    ] {
        it.step(format!("9p {options}"), || {
            let end = mount_with("served", AT, "9p", 0, options);
            let _ = unmount_with(AT, libc::MNT_DETACH);
            end
        });
    }
    it.step("9p by files that are none for it", || {
        let (read, write) = (fs::File::open("/dev/null")?, fs::File::create("/dev/null")?);
        let (read, write) = (read.as_raw_fd(), write.as_raw_fd());
        in_child(LIMIT, || {
            for (read, write) in [(write, read), (read, read), (read, write)] {
                let _ = mount_with("x", AT, "9p", 0, &format!("trans=fd,rfdno={read},wfdno={write}"));
                let _ = unmount_with(AT, libc::MNT_DETACH);
            }
            Ok(())
        })
    });
}

/// By two pipes, by a socket that has a name, and by TCP.
fn nine_p_sockets(it: &mut Exercise) {
    it.step("9p by two pipes", || {
        let mut served = Served::new()?;
        let ((read, answers), (requests, write)) = (sys::pipe()?, sys::pipe()?);
        let (rfd, wfd) = (read.as_raw_fd(), write.as_raw_fd());
        served.start(move || {
            close_copy(rfd);
            close_copy(wfd);
            NinePServer::new(Path::new(MIRRORED), ANY_VERSION)?.serve(requests, answers)
        })?;
        in_child(LIMIT, || {
            mount_with("served", AT, "9p", 0, &format!("trans=fd,rfdno={rfd},wfdno={wfd}"))?;
            touched(Path::new(AT));
            unmount(AT)
        })
    });
    it.step("9p by a socket with a name", || {
        let mut served = Served::new()?;
        let name = format!("{MIRRORED}/socket");
        let listener = UnixListener::bind(&name)?;
        served.start(move || {
            let (stream, _) = listener.accept()?;
            NinePServer::new(Path::new(MIRRORED), ANY_VERSION)?.serve(&stream, &stream)
        })?;
        in_child(LIMIT, || {
            mount_with(&name, AT, "9p", 0, "trans=unix,cache=loose")?;
            touched(Path::new(AT));
            unmount(AT)
        })
    });
    it.step("9p by TCP", || {
        let mut served = Served::new()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        served.start(move || {
            let (stream, _) = listener.accept()?;
            NinePServer::new(Path::new(MIRRORED), ANY_VERSION)?.serve(&stream, &stream)
        })?;
        in_child(LIMIT, || {
            mount_with("127.0.0.1", AT, "9p", 0, &format!("trans=tcp,port={port},privport"))?;
            touched(Path::new(AT));
            unmount(AT)
        })
    });
    for (source, options) in [
        ("", "trans=unix"),
        ("/no/such/socket", "trans=unix"),
        ("junk", "trans=tcp"),
        ("127.0.0.1", "trans=tcp,port=1"),
        ("::1", "trans=tcp,port=1,privport"),
    ] {
        it.step(format!("9p {options} to {source}"), || {
            in_child(LIMIT, || mount_with(source, AT, "9p", 0, options))
        });
    }
    it.step("9p by a name that is too long", || mount_with(&"n".repeat(200), AT, "9p", 0, "trans=unix"));
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
