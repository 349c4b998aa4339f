//! btrfs over several loop devices: profiles, balance, devices that come, go and are replaced, scrub, snapshots that are sent and
//! received, quotas, compression, requests of its own, and what a crash leaves behind, which a copy of mounted devices is.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use workloads::device::{ask, open};
use workloads::disks::{LoopDisk, copy_with_holes};
use workloads::exercise::{self, Exercise};
use workloads::places::{self, mount_with, unmount, unmount_with};
use workloads::sys::in_child;
use workloads::{sys, tools};

const IMAGES: &str = "/tmp/images";
const AT: &str = "/tmp/fs";
/// mkfs.btrfs takes none that is smaller.
const MIB: u64 = 126;
const LIMIT: Duration = Duration::from_secs(30);

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    if tools::find("btrfs").is_err() {
        it.fail("btrfs", &io::Error::from_raw_os_error(libc::ENOENT));
        return;
    }
    // Written to here and there only: what is never written takes no memory.
    if it.step("memory for devices", || places::mount("tmpfs", IMAGES, "size=500m")).is_none() {
        return;
    }
    let _ = fs::create_dir_all(AT);
    it.step("mkfs.btrfs on one device", || make(1, "-m single"));
    it.step("mkfs.btrfs on two devices", || make(2, "-d raid1 -m raid1"));
    several(it);
    one(it);
    crash(it);
    it.step("no memory for devices", || unmount(IMAGES));
}

fn image(of: usize, number: usize) -> String {
    format!("{IMAGES}/made-{of}-{number}")
}

/// mkfs.btrfs takes longer than most of what comes after it: once, and then there are copies.
fn make(count: usize, options: &str) -> io::Result<()> {
    for number in 0..count {
        fs::File::create(image(count, number))?.set_len(MIB << 20)?;
    }
    let disks =
        (0..count).map(|number| LoopDisk::on(image(count, number))).collect::<io::Result<Vec<_>>>()?;
    let nodes: Vec<&str> = disks.iter().map(|disk| disk.node.as_str()).collect();
    let end = tools::run(&format!("mkfs.btrfs -q -f {options} {}", nodes.join(" ")));
    disks.into_iter().for_each(LoopDisk::keep_image);
    end
}

/// A new file system on so many devices, mounted while `work` runs.
fn on(count: usize, options: &str, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let mut disks = Vec::new();
    for number in 0..count {
        let copy = format!("{IMAGES}/{number}");
        copy_with_holes(image(count, number), &copy)?;
        disks.push(LoopDisk::on(&copy)?);
    }
    for disk in &disks {
        scan(&disk.node)?;
    }
    let end = in_child(LIMIT, || {
        mount_with(&disks[0].node, AT, "btrfs", 0, options)?;
        work()?;
        unmount(AT)
    });
    let _ = unmount_with(AT, libc::MNT_DETACH);
    forget()?;
    end
}

/// BTRFS_IOC_SCAN_DEV: struct btrfs_ioctl_vol_args.
fn scan(node: &str) -> io::Result<()> {
    let mut argument = [0_u8; 4096];
    argument[8..8 + node.len()].copy_from_slice(node.as_bytes());
    ask(&open("/dev/btrfs-control")?, 0x5000_9404, argument.as_mut_ptr()).map(drop)
}

/// BTRFS_IOC_FORGET_DEV: all that are not mounted.
fn forget() -> io::Result<()> {
    let mut argument = [0_u8; 4096];
    ask(&open("/dev/btrfs-control")?, 0x5000_9405, argument.as_mut_ptr()).map(drop)
}

fn file(name: &str, bytes: usize, value: u8) -> io::Result<()> {
    fs::write(format!("{AT}/{name}"), vec![value; bytes])
}

/// BTRFS_IOC_SCRUB of each device, BTRFS_IOC_SCRUB_PROGRESS and BTRFS_IOC_SCRUB_CANCEL when there is none.
fn scrub(devices: u64) -> io::Result<()> {
    let root = OwnedFd::from(fs::File::open(AT)?);
    for device in 0..=devices {
        let mut arguments = [0_u64; 128];
        (arguments[0], arguments[2]) = (device, u64::MAX);
        let _ = ask(&root, 0xc400_941b, arguments.as_mut_ptr());
        let _ = ask(&root, 0xc400_941d, arguments.as_mut_ptr());
    }
    let _ = ask(&root, 0x941c, std::ptr::null_mut::<u64>());
    Ok(())
}

/// What is done with devices while something is on them. Of a line that fails nothing is said: some profiles are refused.
fn several(it: &mut Exercise) {
    for (name, options, lines) in [
        (
            "a device is added, and removed",
            "compress-force=zstd:3",
            [
                "device add -f NEW /tmp/fs",
                "balance start -f -dconvert=raid0,soft -mconvert=raid1c3,soft /tmp/fs",
                "balance start -f -dconvert=single,soft -mconvert=raid1,soft /tmp/fs",
                "device remove NEW /tmp/fs",
            ],
        ),
        (
            "a device is replaced",
            "compress=lzo,nodiscard",
            [
                "filesystem resize 1:-1m /tmp/fs",
                "replace start -B -f 2 NEW /tmp/fs",
                "device stats -z /tmp/fs",
                "filesystem resize 1:max /tmp/fs",
            ],
        ),
    ] {
        it.step(name, || {
            on(2, options, || {
                let third = LoopDisk::new(format!("{IMAGES}/third"), MIB)?;
                let content: Vec<u8> = (0..300_000_u32).map(|at| (at / 100 % 256) as u8).collect();
                fs::write(format!("{AT}/one"), &content)?;
                sys!(SYS_sync)?;
                for line in lines {
                    let _ = tools::run(&format!("btrfs {}", line.replace("NEW", &third.node)));
                }
                scrub(3)?;
                let kept = fs::File::open(format!("{AT}/one"))?;
                let _ = sys!(SYS_fadvise64, kept.as_raw_fd(), 0, 0, 4);
                let same = fs::read(format!("{AT}/one"))? == content;
                if same { Ok(()) } else { sys::wrong("something else came back") }
            })
        });
    }
}

fn one(it: &mut Exercise) {
    it.step("snapshots are sent and received", || {
        on(1, "", || {
            lines(&[
                "subvolume create /tmp/fs/from",
                "subvolume create /tmp/fs/to",
                "subvolume create -i 0/5 /tmp/fs/other",
            ])?;
            file("from/kept", 100_000, 3)?;
            file("from/gone", 5000, 4)?;
            std::os::unix::fs::symlink("kept", format!("{AT}/from/link"))?;
            lines(&["subvolume snapshot -r /tmp/fs/from /tmp/fs/first"])?;
            fs::rename(format!("{AT}/from/kept"), format!("{AT}/from/moved"))?;
            fs::remove_file(format!("{AT}/from/gone"))?;
            file("from/new", 70_000, 5)?;
            lines(&[
                "subvolume snapshot -r /tmp/fs/from /tmp/fs/second",
                "send -q -f /tmp/images/first /tmp/fs/first",
                "receive -q -f /tmp/images/first /tmp/fs/to",
                "send -q -p /tmp/fs/first -f /tmp/images/second /tmp/fs/second",
                "receive -q -f /tmp/images/second /tmp/fs/to",
                "subvolume list -pcgu /tmp/fs",
                "subvolume show /tmp/fs/from",
                "property set /tmp/fs/first ro false",
                "subvolume delete -c /tmp/fs/first",
                "subvolume sync /tmp/fs",
            ])?;
            let same = fs::read(format!("{AT}/to/second/moved"))? == vec![3; 100_000];
            if same { Ok(()) } else { sys::wrong("something else came back") }
        })
    });
    it.step("quotas", || {
        on(1, "space_cache=v2", || {
            lines(&["quota enable /tmp/fs", "subvolume create /tmp/fs/sub", "qgroup create 1/1 /tmp/fs"])?;
            file("sub/before", 100_000, 1)?;
            let _ = lines(&[
                "qgroup assign 0/256 1/1 /tmp/fs",
                "quota rescan -w /tmp/fs",
                "qgroup limit 1M 1/1 /tmp/fs",
                "qgroup limit -e 1M /tmp/fs/sub",
                "qgroup show -pcre /tmp/fs",
            ]);
            let over = file("sub/over", 4 << 20, 2).is_err();
            let _ = lines(&[
                "qgroup remove 0/256 1/1 /tmp/fs",
                "qgroup destroy 1/1 /tmp/fs",
                "qgroup clear-stale /tmp/fs",
                "quota disable /tmp/fs",
            ]);
            if over { Ok(()) } else { sys::wrong("more than the limit was taken") }
        })
    });
    it.step("requests", || on(1, "compress=zlib", requests));
}

/// Each a line for `btrfs`. The first that fails ends it.
fn lines(lines: &[&str]) -> io::Result<()> {
    lines.iter().try_for_each(|line| tools::run(&format!("btrfs {line}")))
}

/// Extents that are shared, searched, defragmented, given names, verified (fs/btrfs/ioctl.c), good and bad.
fn requests() -> io::Result<()> {
    file("a", 300_000, 6)?;
    file("b", 300_000, 6)?;
    sys!(SYS_sync)?;
    let file_of = |name: &str| {
        let path = format!("{AT}/{name}");
        fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
    };
    let (source, target, clone) = (file_of("a")?, OwnedFd::from(file_of("b")?), OwnedFd::from(file_of("c")?));
    let from = source.as_raw_fd() as u64;
    // FICLONE, FICLONERANGE, FIDEDUPERANGE of one range.
    sys!(SYS_ioctl, clone.as_raw_fd(), 0x4004_9409, from)?;
    for (at, length, to) in [(0_u64, 131_072_u64, 65_536_u64), (7, 100, 0), (0, 1 << 40, 0)] {
        let mut range = [from, at, length, to];
        let _ = ask(&clone, 0x4020_940d, range.as_mut_ptr());
    }
    for length in [131_072_u64, 7, 0] {
        let mut same = [0, length, 1, target.as_raw_fd() as u64, 0, 0, 0];
        let _ = sys!(SYS_ioctl, source.as_raw_fd(), 0xc018_9436, same.as_mut_ptr());
    }
    // BTRFS_IOC_DEFRAG_RANGE with zstd, TREE_SEARCH_V2 of the file tree, INO_LOOKUP, SPACE_INFO, FS_INFO, DEV_INFO, FEATURES,
    // GET_SUBVOL_INFO, LOGICAL_INO, INO_PATHS, START_SYNC, WAIT_SYNC, ENCODED_READ, each with what was there and with nothing.
    let mut defragment = [0_u64, u64::MAX, 1 | (4096 << 32), 3, 0, 0];
    let _ = ask(&target, 0x4030_9410, defragment.as_mut_ptr());
    let mut room = vec![0_u64; 1024];
    room[0] = 5;
    (room[2], room[4], room[6]) = (u64::MAX, u64::MAX, u64::MAX);
    (room[7], room[8]) = ((u64::from(u32::MAX)) << 32, 50);
    room[13] = 4096;
    let _ = ask(&target, 0xc070_9411, room.as_mut_ptr());
    for request in [
        0xd000_9412_u32,
        0xc010_9414,
        0x8400_941f,
        0xd000_941e,
        0x8018_9439,
        0x81f8_943c,
        0xc038_9424,
        0xc038_943b,
        0xc038_9423,
        0x8008_9418,
        0x4008_9416,
        0x8080_9440,
        0x4008_9413,
        0x8100_9431,
        0x4400_9432,
        0xc410_9434,
    ] {
        for first in [0_u64, 256, u64::MAX] {
            room.fill(0);
            room[0] = first;
            let _ = ask(&target, request, room.as_mut_ptr());
        }
    }
    for line in [
        "inspect-internal min-dev-size /tmp/fs",
        "filesystem defragment -r -clzo /tmp/fs",
        "property set /tmp/fs/a compression zstd",
        "filesystem label /tmp/fs pp",
        "inspect-internal inode-resolve 257 /tmp/fs",
        "subvolume get-default /tmp/fs",
        "subvolume set-default 5 /tmp/fs",
    ] {
        let _ = tools::run(&format!("btrfs {line}"));
    }
    verity(&source)?;
    let mut back = vec![0; 300_000];
    source.read_exact_at(&mut back, 0)?;
    if back == vec![6; 300_000] { Ok(()) } else { sys::wrong("something else came back") }
}

/// FS_IOC_ENABLE_VERITY of another file, which has to be open for reading only, and FS_IOC_MEASURE_VERITY.
fn verity(other: &fs::File) -> io::Result<()> {
    file("verified", 100_000, 7)?;
    let verified = OwnedFd::from(fs::File::open(format!("{AT}/verified"))?);
    let mut arguments = [0_u64; 16];
    (arguments[0], arguments[1]) = (1 | (1 << 32), 4096);
    let _ = ask(&verified, 0x4080_6685, arguments.as_mut_ptr());
    let _ = sys!(SYS_ioctl, other.as_raw_fd(), 0x4080_6685, arguments.as_mut_ptr());
    let mut digest = [0_u16; 40];
    digest[1] = 64;
    let _ = ask(&verified, 0xc004_6686, digest.as_mut_ptr());
    let _ = sys!(SYS_fadvise64, verified.as_raw_fd(), 0, 0, 4);
    fs::read(format!("{AT}/verified")).map(drop)
}

/// What is synchronised by fsync() alone is in the log, which is read at the next mount (fs/btrfs/tree-log.c).
fn crash(it: &mut Exercise) {
    it.step("after a crash", || {
        on(1, "commit=300", || {
            fs::create_dir(format!("{AT}/directory"))?;
            file("directory/kept", 50_000, 4)?;
            file("gone", 1000, 4)?;
            sys!(SYS_sync)?;
            for (from, to) in [("directory/kept", "directory/second"), ("directory/kept", "third")] {
                fs::hard_link(format!("{AT}/{from}"), format!("{AT}/{to}"))?;
            }
            let open = fs::OpenOptions::new().write(true).open(format!("{AT}/directory/kept"))?;
            open.write_all_at(&[5; 20_000], 10_000)?;
            let _ = sys!(SYS_fsetxattr, open.as_raw_fd(), c"user.pp".as_ptr(), c"value".as_ptr(), 5, 0);
            open.set_len(40_000)?;
            open.sync_all()?;
            fs::rename(format!("{AT}/third"), format!("{AT}/fourth"))?;
            fs::remove_file(format!("{AT}/gone"))?;
            file("new", 5000, 6)?;
            fs::File::open(format!("{AT}/new"))?.sync_all()?;
            fs::File::open(format!("{AT}/directory"))?.sync_all()?;
            copy_with_holes(format!("{IMAGES}/0"), format!("{IMAGES}/crashed"))
        })?;
        let crashed = LoopDisk::on(format!("{IMAGES}/crashed"))?;
        scan(&crashed.node)?;
        let end = in_child(LIMIT, || {
            mount_with(&crashed.node, AT, "btrfs", 0, "")?;
            let kept = fs::read(format!("{AT}/directory/kept"))?;
            unmount(AT)?;
            let same = kept.len() == 40_000 && kept[9_999..10_001] == [4, 5];
            if same { Ok(()) } else { sys::wrong("something else came back") }
        });
        let _ = unmount_with(AT, libc::MNT_DETACH);
        forget()?;
        end
    });
}
