//! The NFS server by its files, which are asked and set while it does not run; exports, names and keys by the caches of
//! the RPC code. It is not started: two of two guests with 7.2.12 crashed soon after that, for a reason not yet known.

use std::fs;
use std::time::Duration;

use workloads::exercise::{self, Exercise};
use workloads::places::{self, mount, unmount};
use workloads::sys::in_child;
use workloads::tools::run;
use workloads::walk::{self, FileWalk, write};

const LIMIT: Duration = Duration::from_secs(15);
const FILES: &str = "/tmp/nfsd";

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    it.step("loopback", || run("ip link set lo up"));
    if it.step("mount nfsd", || mount("nfsd", FILES, "")).is_none() {
        return;
    }
    settings(it);
    caches(it);
    walk::walk(it, FILES, FileWalk::default());
    it.step("unmount nfsd", || unmount(FILES));
}

/// Each ends in a new line: without one the kernel takes none (fs/nfsd/nfsctl.c).
const SETTINGS: [(&str, &str); 27] = [
    ("unlock_filesystem", "/tmp"),
    ("unlock_filesystem", "/no/such/place"),
    ("unlock_filesystem", ""),
    ("unlock_ip", "127.0.0.1"),
    ("unlock_ip", "fd00::1"),
    ("unlock_ip", "junk"),
    ("versions", "+4 +4.1 +4.2 -3"),
    ("versions", "-4.1"),
    ("versions", "+4.1 +9"),
    ("versions", "junk"),
    ("nfsv4leasetime", "5"),
    ("nfsv4leasetime", "90"),
    ("nfsv4gracetime", "90"),
    ("nfsv4gracetime", "junk"),
    ("portlist", "junk"),
    ("portlist", "tcp 99999"),
    ("portlist", "999"),
    ("max_block_size", "65536"),
    ("max_connections", "5"),
    ("pool_threads", "junk"),
    ("threads", "junk"),
    ("threads", "-1"),
    ("filehandle", "x /tmp 32"),
    ("filehandle", "x /tmp 9999"),
    ("nfsv4recoverydir", "/tmp"),
    ("v4_end_grace", "Y"),
    ("v4_end_grace", "junk"),
];

fn settings(it: &mut Exercise) {
    for (file, value) in SETTINGS {
        it.step(format!("{file} := {value}"), || {
            in_child(LIMIT, || write(format!("{FILES}/{file}"), format!("{value}\n").as_bytes()))
        });
    }
    it.step("unlock_filesystem without an end", || write(format!("{FILES}/unlock_filesystem"), b"/tmp"));
}

/// Lines of the caches (net/sunrpc/cache.c): for a client that is any, its name, an export, and what is none.
fn caches(it: &mut Exercise) {
    for (cache, line) in [
        ("auth.unix.ip", "nfsd 127.0.0.1 2147483647 pp"),
        ("auth.unix.ip", "nfsd junk 2147483647 pp"),
        ("auth.unix.ip", ""),
        ("auth.unix.gid", "0 2147483647 1 0"),
        ("auth.unix.gid", "0 2147483647 9999999"),
        ("nfsd.export", "pp /tmp 2147483647 32 65534 65534 0"),
        ("nfsd.export", "pp /tmp 2147483647 32 65534 65534 5 fsloc 1 a b 0 secinfo 1 1 32"),
        ("nfsd.export", "pp /no/such 2147483647 32 65534 65534 0"),
        ("nfsd.export", "pp /tmp 1"),
        ("nfsd.fh", "pp 1 \\x00000000 2147483647 /tmp"),
        ("nfsd.fh", "pp 99 junk 2147483647 /tmp"),
        ("nfs4.nametoid", "pp user root@localdomain 2147483647 0"),
        ("nfs4.idtoname", "pp group 0 2147483647 root@localdomain"),
        ("auth.rpcsec.init", "junk"),
        ("auth.rpcsec.context", "junk"),
    ] {
        let file = format!("/proc/self/net/rpc/{cache}");
        it.step(format!("{cache}: {line}"), || {
            write(format!("{file}/channel"), format!("{line}\n").as_bytes())
        });
        let _ = fs::read(format!("{file}/content"));
    }
    for file in ["exports", "export_features", "filecache", "supported_krb5_enctypes"] {
        let _ = fs::read(format!("{FILES}/{file}"));
    }
    for cache in ["auth.unix.ip", "auth.unix.gid", "nfsd.export", "nfsd.fh", "nfs4.nametoid", "nfs4.idtoname"]
    {
        it.step(format!("{cache} is flushed"), || {
            write(format!("/proc/self/net/rpc/{cache}/flush"), b"2147483647\n")
        });
    }
    walk::walk(it, "/proc/self/net/rpc", FileWalk::default());
}
