//! Places of an exerciser's own: a mount namespace that nothing of it leaves, and directories to mount on.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sys::{c_path, in_child};
use crate::{sys, tools};

/// From here on what this process mounts is seen by it and its children only, and goes with them.
pub fn own_mounts() -> io::Result<()> {
    sys!(SYS_unshare, libc::CLONE_NEWNS)?;
    mount_with("none", "/", "", libc::MS_REC | libc::MS_PRIVATE, "")?;
    // `ip netns` keeps names there: those of an exerciser that was killed are no other's.
    let _ = mount("tmpfs", "/run", "");
    Ok(())
}

/// From here on it has a network of its own, with nothing but a loopback device.
pub fn own_network() -> io::Result<()> {
    sys!(SYS_unshare, libc::CLONE_NEWNET)?;
    forget_connections_soon();
    Ok(())
}

/// Connections that are closed while their peer is gone keep their network for a minute and more, and with it all that is looked
/// for once it is gone (Documentation/networking/ip-sysctl.rst).
fn forget_connections_soon() {
    for (name, value) in
        [("ipv4/tcp_orphan_retries", "1"), ("ipv4/tcp_fin_timeout", "1"), ("mptcp/close_timeout", "1")]
    {
        let _ = fs::write(Path::new("/proc/sys/net").join(name), value);
    }
}

/// From here on this process is in the network that `ip netns add` made of this name.
pub fn enter_network(name: &str) -> io::Result<()> {
    let namespace = fs::File::open(Path::new("/run/netns").join(name))?;
    sys!(SYS_setns, namespace.as_raw_fd(), libc::CLONE_NEWNET)?;
    forget_connections_soon();
    Ok(())
}

/// Of what there is once, in the network that the guest began with: takes it to this one. It has to be given back, as it
/// returns some time after this network is gone.
pub fn take_device(name: &str) -> io::Result<()> {
    let own = std::process::id();
    in_child(Duration::from_secs(10), || {
        let first = fs::File::open("/proc/1/ns/net")?;
        sys!(SYS_setns, first.as_raw_fd(), libc::CLONE_NEWNET)?;
        tools::run(&format!("ip link set {name} netns {own}"))
    })
}

pub fn return_device(name: &str) -> io::Result<()> {
    tools::run(&format!("ip link set {name} netns 1"))
}

/// A new directory.
pub fn directory(name: &str) -> io::Result<PathBuf> {
    let path = Path::new("/tmp").join(name);
    fs::create_dir_all(&path)?;
    Ok(path)
}

/// Mounts `kind` on `target`, which is made.
pub fn mount(kind: &str, target: impl AsRef<Path>, options: &str) -> io::Result<()> {
    fs::create_dir_all(&target)?;
    mount_with(kind, target, kind, 0, options)
}

pub fn mount_with(
    source: &str,
    target: impl AsRef<Path>,
    kind: &str,
    flags: libc::c_ulong,
    options: &str,
) -> io::Result<()> {
    let (source, target) = (c_path(source), c_path(target));
    let (kind, options) = (c_path(kind), c_path(options));
    sys!(SYS_mount, source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.as_ptr()).map(drop)
}

pub fn unmount(target: impl AsRef<Path>) -> io::Result<()> {
    unmount_with(target, 0)
}

pub fn unmount_with(target: impl AsRef<Path>, flags: i32) -> io::Result<()> {
    let target = c_path(target);
    sys!(SYS_umount2, target.as_ptr(), flags).map(drop)
}
