//! File systems: each that the kernel has, mounted with good and bad options, remounted, used, unmounted; those that need a
//! device on a loop device or a null one where the userland can make one.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use workloads::disks::{loop_clear, loop_device};
use workloads::exercise::{self, Exercise};
use workloads::places::{self, mount, mount_with, unmount, unmount_with};
use workloads::sys::{c_path, descriptor, in_child, wrong};
use workloads::walk::write;
use workloads::{sys, tools};

const LIMIT: Duration = Duration::from_secs(15);
const AT: &str = "/tmp/fs";

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    let huge = "/proc/sys/vm/nr_hugepages";
    let before = fs::read_to_string(huge).unwrap_or_default();
    let _ = write(huge, b"8");
    without_device(it);
    let _ = write(huge, before.trim().as_bytes());
    new_calls(it);
    binds(it);
    fuse(it);
    binfmt(it);
    on_devices(it);
}

/// Kind and options; the last ones of a kind are refused.
const MOUNTS: [(&str, &str); 56] = [
    ("tmpfs", "size=4m,nr_inodes=100,mode=700,uid=1,gid=1"),
    ("tmpfs", "huge=always,size=50%"),
    ("tmpfs", "mpol=interleave:0"),
    ("tmpfs", "noswap"),
    ("tmpfs", "inode64,usrquota,grpquota"),
    ("tmpfs", "casefold=utf8-12.1.0"),
    ("tmpfs", "size=junk"),
    ("tmpfs", "nonsense=1"),
    ("ramfs", "mode=700"),
    ("ramfs", "mode=junk"),
    ("ramfs", "nonsense"),
    ("hugetlbfs", "pagesize=2M,size=8M,min_size=4M"),
    ("hugetlbfs", "min_size=4M"),
    ("hugetlbfs", "size=50%,uid=1,gid=1,mode=700,nr_inodes=10"),
    ("hugetlbfs", "min_size=900G"),
    ("hugetlbfs", "pagesize=3M"),
    ("hugetlbfs", "size=junk"),
    ("hugetlbfs", "nonsense"),
    ("proc", "hidepid=2,gid=1"),
    ("proc", "subset=pid"),
    ("proc", "hidepid=9"),
    ("sysfs", ""),
    ("sysfs", "nonsense"),
    ("devpts", "newinstance,ptmxmode=0666,mode=620,max=10"),
    ("devpts", "max=junk"),
    ("devtmpfs", ""),
    ("mqueue", ""),
    ("debugfs", "mode=700"),
    ("debugfs", "mode=junk"),
    ("tracefs", "gid=1"),
    ("configfs", ""),
    ("securityfs", ""),
    ("pstore", "kmsg_bytes=1000"),
    ("bpf", "mode=700"),
    ("bpf", "delegate_cmds=any"),
    ("binfmt_misc", ""),
    ("fusectl", ""),
    ("efivarfs", ""),
    ("cgroup2", "nsdelegate"),
    ("cgroup", "cpuset"),
    ("autofs", "fd=0,pgrp=1,minproto=5,maxproto=5,direct"),
    ("autofs", ""),
    ("rpc_pipefs", ""),
    ("nfsd", ""),
    ("binder", "max=3"),
    ("resctrl", ""),
    ("selinuxfs", ""),
    ("smackfs", ""),
    ("pidfs", ""),
    ("sockfs", ""),
    ("9p", "trans=fd,rfdno=0,wfdno=1"),
    ("nfs", "addr=127.0.0.1,vers=4"),
    ("nfs4", "junk"),
    ("cifs", "ip=127.0.0.1"),
    ("ceph", ""),
    ("no-such-file-system", ""),
];

fn without_device(it: &mut Exercise) {
    for (kind, options) in MOUNTS {
        it.step(format!("{kind} {options}"), || {
            in_child(LIMIT, || {
                mount(kind, AT, options)?;
                let _ = fs::read_to_string("/proc/self/mountinfo");
                let _ = fs::read_to_string("/proc/self/mountstats");
                used(Path::new(AT));
                for options in [options, "size=2m", "ro", "nonsense"] {
                    let _ = mount_with("none", AT, kind, libc::MS_REMOUNT, options);
                }
                let _ = mount_with("none", AT, kind, libc::MS_REMOUNT | libc::MS_RDONLY, "");
                if fs::write(format!("{AT}/refused"), "x").is_ok() {
                    let _ = fs::remove_file(format!("{AT}/refused"));
                }
                // Some of them there is only once, for the whole guest.
                let _ = mount_with("none", AT, kind, libc::MS_REMOUNT, "");
                unmount(AT)
            })
        });
        let _ = unmount_with(AT, libc::MNT_DETACH);
    }
    it.step("more than tmpfs holds", || {
        mount("tmpfs", AT, "size=64k,nr_inodes=5")?;
        let full = fs::write(format!("{AT}/big"), vec![1; 1 << 20]);
        let many = (0..9).try_for_each(|number| fs::write(format!("{AT}/{number}"), ""));
        unmount(AT)?;
        match (full, many) {
            (Err(_), Err(error)) => Err(error),
            _ => wrong::<()>("it held it all"),
        }
    });
    it.step("unmount while it is in use", || {
        mount("tmpfs", AT, "")?;
        let file = fs::File::create(format!("{AT}/open"))?;
        let busy = unmount(AT);
        unmount_with(AT, libc::MNT_EXPIRE).err();
        unmount_with(AT, libc::MNT_DETACH)?;
        drop(file);
        busy
    });
    it.step("unmount what is not mounted", || unmount(AT));
    it.step("mount on what is not there", || mount_with("x", "/no/such/place", "tmpfs", 0, ""));
    it.step("mount as nobody", || {
        in_child(LIMIT, || {
            sys!(SYS_setresuid, 65534, 65534, 65534)?;
            mount_with("x", AT, "tmpfs", 0, "")
        })
    });
    it.step("sysfs(2)", || {
        let mut name = [0_u8; 64];
        sys!(SYS_sysfs, 3)?;
        sys!(SYS_sysfs, 2, 0, name.as_mut_ptr())?;
        sys!(SYS_sysfs, 1, c"tmpfs".as_ptr())
    });
}

/// A little of everything, whatever it is that is mounted there.
fn used(at: &Path) {
    let (file, directory) = (at.join("file"), at.join("directory"));
    let _ = fs::read_dir(at).map(|entries| entries.take(50).count());
    let _ = fs::create_dir(&directory);
    if fs::write(&file, [7; 5000]).is_ok() {
        let _ = fs::hard_link(&file, at.join("link"));
        let _ = fs::rename(&file, directory.join("moved"));
        let _ = fs::write(directory.join("moved"), "shorter");
        let _ = std::os::unix::fs::symlink("link", at.join("symbolic"));
        let _ = fs::read(at.join("symbolic"));
        if let Ok(open) = fs::OpenOptions::new().read(true).write(true).open(at.join("link")) {
            let fd = open.as_raw_fd();
            let _ = open.set_len(100_000);
            for mode in [0, 1, 3, 8, 16, 0x20, 0x40] {
                let _ = sys!(SYS_fallocate, fd, mode, 4096, 8192);
            }
            for whence in [libc::SEEK_DATA, libc::SEEK_HOLE] {
                let _ = sys!(SYS_lseek, fd, 0, whence);
            }
            if let Ok(map) = sys!(SYS_mmap, 0, 8192, 3, libc::MAP_SHARED, fd, 0) {
                let _ = sys!(SYS_msync, map, 8192, libc::MS_SYNC);
                let _ = sys!(SYS_munmap, map, 8192);
            }
            let _ = open.sync_all();
            let _ = sys!(SYS_syncfs, fd);
            let mut flags = 0_u64;
            // FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_FSGETXATTR, FIFREEZE's neighbour FITRIM, FS_IOC_FIEMAP, GETVERSION.
            for request in [0x8008_6601_u32, 0x4008_6602, 0x801c_581f, 0xc018_5879, 0xc020_660b, 0x8008_7601]
            {
                let mut buffer = [0_u64; 16];
                let _ = sys!(SYS_ioctl, fd, request, buffer.as_mut_ptr());
                flags |= buffer[0];
            }
            std::hint::black_box(flags);
            let path = c_path(at.join("link"));
            let _ = sys!(SYS_fsetxattr, fd, c"user.pp".as_ptr(), c"value".as_ptr(), 5, 0);
            let _ = sys!(SYS_fsetxattr, fd, c"trusted.pp".as_ptr(), c"value".as_ptr(), 5, 1);
            let _ = sys!(SYS_fsetxattr, fd, c"security.pp".as_ptr(), c"value".as_ptr(), 5, 0);
            let mut list = [0_u8; 256];
            let _ = sys!(SYS_listxattr, path.as_ptr(), list.as_mut_ptr(), 256);
            let _ = sys!(SYS_getxattr, path.as_ptr(), c"user.pp".as_ptr(), list.as_mut_ptr(), 1);
            let _ = sys!(SYS_removexattr, path.as_ptr(), c"user.pp".as_ptr());
        }
        for path in [at.join("symbolic"), at.join("link"), directory.join("moved")] {
            let _ = fs::remove_file(path);
        }
    }
    let _ = fs::remove_dir(&directory);
    let mut statistics = [0_u64; 16];
    let path = c_path(at);
    let _ = sys!(SYS_statfs, path.as_ptr(), statistics.as_mut_ptr());
    let _ = sys!(SYS_quotactl, 0x8000_0100_u32, path.as_ptr(), 0, statistics.as_mut_ptr());
}

/// fsopen, fsconfig, fsmount, move_mount, open_tree, mount_setattr, fspick, statmount, listmount.
fn new_calls(it: &mut Exercise) {
    it.step("fsopen and the like", || {
        let context = descriptor(sys!(SYS_fsopen, c"tmpfs".as_ptr(), 1))?;
        let fd = context.as_raw_fd();
        sys!(SYS_fsconfig, fd, 1, c"size".as_ptr(), c"1m".as_ptr(), 0)?;
        let bad = sys!(SYS_fsconfig, fd, 1, c"nonsense".as_ptr(), c"1".as_ptr(), 0);
        let mut log = [0_u8; 200];
        let _ = sys!(SYS_read, fd, log.as_mut_ptr(), 200);
        let _ = sys!(SYS_fsconfig, fd, 99, 0, 0, 0);
        sys!(SYS_fsconfig, fd, 6, 0, 0, 0)?;
        let mounted = descriptor(sys!(SYS_fsmount, fd, 1, libc::MOUNT_ATTR_NODEV))?;
        fs::create_dir_all(AT)?;
        let at = c_path(AT);
        sys!(SYS_move_mount, mounted.as_raw_fd(), c"".as_ptr(), libc::AT_FDCWD, at.as_ptr(), 4)?;
        let attributes = [1_u64, 0, 0, 0];
        sys!(SYS_mount_setattr, libc::AT_FDCWD, at.as_ptr(), 0, attributes.as_ptr(), 32)?;
        let tree = descriptor(sys!(SYS_open_tree, libc::AT_FDCWD, at.as_ptr(), 1))?;
        let picked = descriptor(sys!(SYS_fspick, libc::AT_FDCWD, at.as_ptr(), 0))?;
        sys!(SYS_fsconfig, picked.as_raw_fd(), 7, 0, 0, 0)?;
        // statmount and listmount: struct mnt_id_req.
        let request = [24_u64, u64::MAX, 0xff];
        let mut buffer = [0_u64; 256];
        let _ = sys::call(457, &[request.as_ptr() as i64, buffer.as_mut_ptr() as i64, 2048, 0]);
        let _ = sys::call(458, &[request.as_ptr() as i64, buffer.as_mut_ptr() as i64, 100, 0]);
        drop(tree);
        unmount(AT)?;
        if bad.is_ok() { wrong("nonsense was taken") } else { Ok(()) }
    });
    it.step("fsopen of nothing", || sys!(SYS_fsopen, c"no-such".as_ptr(), 0));
}

fn binds(it: &mut Exercise) {
    it.step("bind, move, propagation", || {
        let (one, other) = (places::directory("bind-a")?, places::directory("bind-b")?);
        let text = |path: &PathBuf| path.display().to_string();
        mount("tmpfs", &one, "")?;
        fs::create_dir(one.join("below"))?;
        mount_with("none", &one, "", libc::MS_SHARED, "")?;
        mount_with(&text(&one), &other, "", libc::MS_BIND | libc::MS_REC, "")?;
        mount("tmpfs", one.join("below"), "")?;
        mount_with("none", &other, "", libc::MS_SLAVE, "")?;
        mount_with("none", &other, "", libc::MS_UNBINDABLE, "")?;
        let unbindable = mount_with(&text(&other), "/tmp", "", libc::MS_BIND, "");
        mount_with("none", &other, "", libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY, "")?;
        mount_with("none", &one, "", libc::MS_PRIVATE, "")?;
        let moved = places::directory("bind-c")?;
        mount_with(&text(&one), &moved, "", libc::MS_MOVE, "")?;
        unmount_with(&other, libc::MNT_DETACH)?;
        unmount_with(&moved, libc::MNT_DETACH)?;
        if unbindable.is_ok() { wrong("unbindable was bound") } else { Ok(()) }
    });
    it.step("pivot_root", || {
        in_child(LIMIT, || {
            sys!(SYS_unshare, libc::CLONE_NEWNS)?;
            mount("tmpfs", AT, "")?;
            fs::create_dir(format!("{AT}/old"))?;
            std::env::set_current_dir(AT)?;
            sys!(SYS_pivot_root, c".".as_ptr(), c"old".as_ptr()).map(drop)
        })
    });
}

/// A server that answers FUSE_INIT, and everything else by an error.
fn fuse(it: &mut Exercise) {
    it.step("fuse with a server that knows nothing", || {
        let device = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
        let fd = device.as_raw_fd();
        let options = format!("fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other,max_read=4096");
        mount("fuse", AT, &options)?;
        let child = sys::fork(|| serve(fd))?;
        let read = in_child(Duration::from_secs(5), || {
            let _ = fs::read_dir(AT);
            let _ = fs::metadata(format!("{AT}/file"));
            let _ = fs::write(format!("{AT}/file"), "x");
            fs::metadata(AT).map(drop)
        });
        sys::stop(child);
        drop(device);
        unmount_with(AT, libc::MNT_DETACH).and(read)
    });
    for options in
        ["", "fd=0,rootmode=40000,user_id=0,group_id=0", "fd=999,rootmode=1,user_id=0,group_id=0", "nonsense"]
    {
        it.step(format!("fuse {options}"), || mount("fuse", AT, options));
    }
}

fn serve(fd: i32) -> io::Result<()> {
    const INIT: u32 = 26;
    const FORGET: [u32; 2] = [2, 42];
    let mut request = vec![0_u8; 128 * 1024];
    loop {
        sys!(SYS_read, fd, request.as_mut_ptr(), request.len())?;
        let code = u32::from_ne_bytes([request[4], request[5], request[6], request[7]]);
        // struct fuse_out_header: length, error, unique; struct fuse_init_out has 64 bytes.
        let mut answer = vec![0_u8; if code == INIT { 16 + 64 } else { 16 }];
        let length = answer.len() as u32;
        answer[..4].copy_from_slice(&length.to_ne_bytes());
        answer[8..16].copy_from_slice(&request[8..16]);
        if code == INIT {
            answer[16..20].copy_from_slice(&7_u32.to_ne_bytes());
            answer[20..24].copy_from_slice(&31_u32.to_ne_bytes());
            answer[36..40].copy_from_slice(&4096_u32.to_ne_bytes());
        } else {
            answer[4..8].copy_from_slice(&(-libc::ENOSYS).to_ne_bytes());
        }
        if !FORGET.contains(&code) {
            let _ = sys!(SYS_write, fd, answer.as_ptr(), answer.len());
        }
    }
}

fn binfmt(it: &mut Exercise) {
    if it.step("mount binfmt_misc", || mount("binfmt_misc", "/tmp/binfmt", "")).is_none() {
        return;
    }
    for (file, value) in [
        ("register", ":pp:M::\\x7fPP::/bin/true:F"),
        ("register", ":pp2:E::pp::/bin/true:"),
        ("register", ":pp2:E::pp::/bin/true:"),
        ("register", "junk"),
        ("pp2", "0"),
        ("pp2", "1"),
        ("pp2", "7"),
        ("pp2", "-1"),
        ("status", "junk"),
        ("status", "1"),
    ] {
        it.step(format!("binfmt {file} := {value}"), || {
            write(format!("/tmp/binfmt/{file}"), value.as_bytes())
        });
    }
    let _ = write("/tmp/binfmt/status", b"-1");
    it.step("unmount binfmt_misc", || unmount("/tmp/binfmt"));
}

/// What makes it, on a file of so many MiB, and options to mount it with.
const DEVICES: [(&str, &str, u64, &str); 8] = [
    ("ext4", "mke2fs -q -F -t ext4 -O quota,encrypt,verity", 16, "data=journal,discard,acl"),
    ("ext4", "mke2fs -q -F -t ext4 -b 1024 -O ^has_journal", 8, "nodelalloc"),
    ("ext2", "mke2fs -q -F -t ext2", 4, "noatime"),
    ("ext3", "mke2fs -q -F -t ext3", 16, ""),
    ("btrfs", "mkfs.btrfs -q -f -m single -d single", 120, "compress=zlib,discard=async,autodefrag"),
    ("vfat", "mkdosfs", 4, "umask=077,shortname=mixed"),
    ("exfat", "mkfs.exfat", 8, "iocharset=iso8859-1,discard,time_offset=60"),
    ("xfs", "mkfs.xfs", 16, ""),
];

const NEVER_ON_ONE: [&str; 9] =
    ["ext4", "btrfs", "xfs", "f2fs", "vfat", "iso9660", "squashfs", "udf", "erofs"];

fn on_devices(it: &mut Exercise) {
    let Some(memory) = it.step("memory for devices", || {
        mount("tmpfs", "/tmp/images", "size=300m")?;
        Ok(PathBuf::from("/tmp/images"))
    }) else {
        return;
    };
    for (kind, make, mib, options) in DEVICES {
        if tools::find(make.split(' ').next().unwrap_or_default()).is_err() {
            continue;
        }
        let image = memory.join("image");
        let made = it.step(format!("{kind} {options}"), || {
            fs::File::create(&image)?.set_len(mib << 20)?;
            tools::run(&format!("{make} {}", image.display()))?;
            let device = loop_device(&image)?;
            let node = device.1.clone();
            let used = in_child(Duration::from_secs(20), || {
                mount_with(&node, AT, kind, 0, options)?;
                used(Path::new(AT));
                more(kind)?;
                let _ = mount_with("none", AT, kind, libc::MS_REMOUNT | libc::MS_RDONLY, "");
                let _ = mount_with("none", AT, kind, libc::MS_REMOUNT, "nonsense");
                unmount(AT)
            });
            let _ = unmount_with(AT, libc::MNT_DETACH);
            loop_clear(&device.0)?;
            used
        });
        let _ = made;
        let _ = fs::remove_file(&image);
    }
    // What is none.
    let image = memory.join("zeroes");
    let device = || fs::File::create(&image)?.set_len(8 << 20).and_then(|()| loop_device(&image));
    if let Some((file, node)) = it.step("a device of zeroes", device) {
        for kind in NEVER_ON_ONE {
            it.step(format!("{kind} that is none"), || mount_with(&node, AT, kind, 0, ""));
        }
        it.step("swap that is none", || sys!(SYS_swapon, c_path(&node).as_ptr(), 0));
        if tools::run(&format!("mkswap {node}")).is_ok() {
            it.step("swap", || sys!(SYS_swapon, c_path(&node).as_ptr(), 0));
            let _ = fs::read("/proc/swaps");
            it.step("swap again", || sys!(SYS_swapon, c_path(&node).as_ptr(), 0));
            it.step("no swap", || sys!(SYS_swapoff, c_path(&node).as_ptr()));
            it.step("no swap again", || sys!(SYS_swapoff, c_path(&node).as_ptr()));
        }
        it.step("no device any more", || loop_clear(&file));
    }
    let _ = fs::remove_file(&image);
    read_only(it);
    it.step("no memory for devices", || unmount("/tmp/images"));
}

/// Kinds that are made of a directory once, what makes them, and options.
const READ_ONLY: [(&str, &str, &str); 3] = [
    ("erofs", "mkfs.erofs -zlz4hc -C65536 IMAGE SOURCE", "cache_strategy=readaround"),
    (
        "erofs",
        "mkfs.erofs -Ededupe,fragments,ztailpacking -zlz4 IMAGE SOURCE",
        "noacl,cache_strategy=disabled",
    ),
    ("erofs", "mkfs.erofs IMAGE SOURCE", "nouser_xattr"),
];

fn read_only(it: &mut Exercise) {
    if it.step("a directory of all kinds", fill_source).is_none() {
        return;
    }
    for (kind, make, options) in READ_ONLY {
        if tools::find(make.split(' ').next().unwrap_or_default()).is_err() {
            continue;
        }
        it.step(format!("{kind} of a directory, {options}"), || {
            let image = PathBuf::from("/tmp/images/read-only");
            let _ = fs::remove_file(&image);
            tools::run(&make.replace("IMAGE", "/tmp/images/read-only").replace("SOURCE", SOURCE))?;
            let device = loop_device(&image)?;
            let node = device.1.clone();
            let same = in_child(Duration::from_secs(20), || {
                mount_with(&node, AT, kind, libc::MS_RDONLY, options)?;
                let same = is_same(Path::new(SOURCE), Path::new(AT))?;
                let _ = fs::write(format!("{AT}/refused"), "x");
                unmount(AT)?;
                if same { Ok(()) } else { sys::wrong("something else came back") }
            });
            let _ = unmount_with(AT, libc::MNT_DETACH);
            loop_clear(&device.0)?;
            same
        });
    }
}

const SOURCE: &str = "/tmp/images/source";

fn fill_source() -> io::Result<()> {
    let _ = fs::remove_dir_all(SOURCE);
    fs::create_dir_all(format!("{SOURCE}/directory/below"))?;
    let content: Vec<u8> = (0..200_000_u32).map(|at| (at / 64 % 256) as u8).collect();
    for (name, length) in [("long", 200_000), ("page", 4096), ("tail", 4097), ("short", 7), ("empty", 0)] {
        fs::write(format!("{SOURCE}/{name}"), &content[..length])?;
    }
    fs::File::create(format!("{SOURCE}/hole"))?.set_len(1 << 20)?;
    for number in 0..60 {
        fs::write(format!("{SOURCE}/directory/a-name-of-one-of-many-{number}"), format!("{number}"))?;
    }
    fs::hard_link(format!("{SOURCE}/long"), format!("{SOURCE}/directory/second"))?;
    std::os::unix::fs::symlink("../long", format!("{SOURCE}/directory/link"))?;
    let path = c_path(format!("{SOURCE}/short"));
    let _ = sys!(SYS_setxattr, path.as_ptr(), c"trusted.pp".as_ptr(), c"value".as_ptr(), 5, 0);
    sys!(SYS_mknodat, libc::AT_FDCWD, c_path(format!("{SOURCE}/pipe")).as_ptr(), libc::S_IFIFO | 0o600, 0)
        .map(drop)
}

/// Whether all that is in the one directory is in the other as well.
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(one)?.flatten() {
        let (kind, there) = (entry.file_type()?, other.join(entry.file_name()));
        let mut list = [0_u8; 256];
        let _ = sys!(SYS_llistxattr, c_path(&there).as_ptr(), list.as_mut_ptr(), 256);
        let _ = sys!(SYS_lgetxattr, c_path(&there).as_ptr(), c"trusted.pp".as_ptr(), list.as_mut_ptr(), 256);
        let same = match (kind.is_dir(), kind.is_file(), kind.is_symlink()) {
            (true, ..) => is_same(&entry.path(), &there)?,
            (_, true, _) => fs::read(entry.path())? == fs::read(&there)?,
            (.., true) => fs::read_link(entry.path())? == fs::read_link(&there)?,
            _ => fs::symlink_metadata(&there).is_ok(),
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a file system of its own has: requests by the tools that come with it.
fn more(kind: &str) -> io::Result<()> {
    for number in 0..40 {
        fs::write(format!("{AT}/many-{number}"), vec![number; 300 * usize::from(number)])?;
    }
    sys!(SYS_sync)?;
    if kind == "btrfs" {
        for line in [
            "subvolume create /tmp/fs/sub",
            "subvolume snapshot -r /tmp/fs/sub /tmp/fs/snap",
            "subvolume list /tmp/fs",
            "filesystem df /tmp/fs",
            "filesystem sync /tmp/fs",
            "quota enable /tmp/fs",
            "qgroup show /tmp/fs",
            "subvolume delete /tmp/fs/snap",
            "subvolume delete /tmp/fs/no-such",
            "scrub start -B /tmp/fs",
        ] {
            let _ = tools::run(&format!("btrfs {line}"));
        }
    }
    for number in 0..40 {
        fs::remove_file(format!("{AT}/many-{number}"))?;
    }
    Ok(())
}
