//! 9P by each transport that needs no device, with a server that mirrors a directory and with servers that answer wrongly. The kernel
//! mounts nothing of it without one.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use workloads::exercise::{self, Exercise};
use workloads::nine_p::{self, ANY_VERSION, NinePManner, NinePServer, NinePVersion};
use workloads::places::{self, mount_with, unmount, unmount_with};
use workloads::served::{self, AT, LIMIT, MIRRORED, Served};
use workloads::sys;
use workloads::sys::in_child;
use workloads::tools::run;
use workloads::used_tree::{self, TOGETHER, touched};

pub fn main() {
    exercise::run(|it| {
        it.step("own network", places::own_network);
        it.step("loopback", || run("ip link set lo up"));
        served::mirrored(it, nine_p);
    });
}

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
    nine_p_options(it);
    // Of a server that answers wrongly the client waits where something fails as well: for how long is chance.
    if it.is_sweep() {
        return;
    }
    nine_p_bad(it);
    nine_p_sockets(it);
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

/// Closes the copy of a descriptor that a fork gave this process: while it is open its other end does not see an end.
fn close_copy(fd: i32) {
    let _ = sys!(SYS_close, fd);
}
