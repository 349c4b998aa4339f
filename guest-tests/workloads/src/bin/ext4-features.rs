//! ext4 with what it can be made with, on loop devices: each kind of inode, the requests that it alone has, quotas, verity and
//! encryption, and what a crash leaves behind, which a copy of a mounted device is.

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use workloads::device::{ask, number};
use workloads::disks::{LoopDisk, copy_with_holes};
use workloads::exercise::{self, Exercise};
use workloads::places::{self, mount_with, unmount, unmount_with};
use workloads::sys::{c_path, in_child};
use workloads::{sys, tools};

const IMAGES: &str = "/tmp/images";
const AT: &str = "/tmp/fs";
const MIB: u64 = 24;
const LIMIT: Duration = Duration::from_secs(20);

/// Options of mke2fs, and of the mount.
const MADE: [(&str, &str); 6] = [
    ("-O verity,encrypt,quota,project,inline_data -I 256", "prjquota,acl,lazytime"),
    ("-O ea_inode,large_dir", "data=journal,auto_da_alloc"),
    ("-O fast_commit,orphan_file,metadata_csum_seed", "commit=1,journal_checksum"),
    ("-O bigalloc,^has_journal -C 16384", "nodelalloc,nobarrier"),
    ("-O ^extents,^64bit,^flex_bg,^metadata_csum", "data=writeback,usrquota,grpquota"),
    ("-b 1024 -O mmp,sparse_super2,^resize_inode", "errors=continue,stripe=4,inode_readahead_blks=16"),
];

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    if tools::find("mke2fs").is_err() {
        it.fail("mke2fs", &io::Error::from_raw_os_error(libc::ENOENT));
        return;
    }
    if it.step("memory for devices", || places::mount("tmpfs", IMAGES, "size=300m")).is_none() {
        return;
    }
    let _ = fs::create_dir_all(AT);
    for (made, options) in MADE {
        it.step(format!("{made}, {options}"), || {
            on(made, options, || {
                files(Path::new(AT))?;
                requests(Path::new(AT), !made.contains("quota") && !options.contains("quota"))
            })
        });
    }
    quotas(it);
    verity(it);
    encryption(it);
    crashes(it);
    it.step("no memory for devices", || unmount(IMAGES));
}

/// Runs `work` on a file system that is made for it.
fn on(made: &str, options: &str, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let image = format!("{IMAGES}/disk");
    fs::File::create(&image)?.set_len(MIB << 20)?;
    tools::run(&format!("mke2fs -q -F -t ext4 {made} {image}"))?;
    let disk = LoopDisk::on(image)?;
    let end = in_child(LIMIT, || {
        mount_with(&disk.node, AT, "ext4", 0, options)?;
        work()?;
        unmount(AT)
    });
    let _ = unmount_with(AT, libc::MNT_DETACH);
    end
}

fn open(path: impl AsRef<Path>) -> io::Result<fs::File> {
    fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Files with holes and long ones, names by the hundred, links of each length, attributes of each size, and what comes back.
fn files(at: &Path) -> io::Result<()> {
    let content: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
    let file = open(at.join("file"))?;
    for place in [0_u64, 400_000, 3 << 20] {
        file.write_all_at(&content, place)?;
    }
    // Hole, zeroes, a range taken out, a range put in, a range of its own.
    for (mode, from, length) in [
        (0, 1 << 20, 1 << 19),
        (3, 16384, 65536),
        (0x10, 8192, 32768),
        (8, 0, 16384),
        (0x20, 16384, 16384),
        (0x40, 0, 65536),
    ] {
        let _ = sys!(SYS_fallocate, file.as_raw_fd(), mode, from, length);
    }
    file.sync_all()?;
    let names = at.join("names");
    fs::create_dir(&names)?;
    for name in 0..250 {
        fs::write(
            names.join(format!("a-name-that-is-long-enough-for-a-second-block-{name}")),
            [name as u8; 40],
        )?;
    }
    if fs::read_dir(&names)?.count() != 250 {
        return sys::wrong("names are missing");
    }
    fs::rename(names.join("a-name-that-is-long-enough-for-a-second-block-7"), at.join("moved"))?;
    symlink("s".repeat(50), at.join("short"))?;
    symlink("l".repeat(200), at.join("long"))?;
    for (size, value) in [(10, 1_u8), (900, 2), (3000, 3), (20_000, 4)] {
        let name = std::ffi::CString::new(format!("user.of-{size}")).unwrap_or_default();
        let bytes = vec![value; size];
        let _ = sys!(SYS_fsetxattr, file.as_raw_fd(), name.as_ptr(), bytes.as_ptr(), size, 0);
    }
    let (first, other) = (c_path(at.join("moved")), c_path(at.join("file")));
    // RENAME_EXCHANGE, RENAME_WHITEOUT, and a file without a name, which gets one.
    let here = libc::AT_FDCWD;
    let _ = sys!(SYS_renameat2, here, first.as_ptr(), here, other.as_ptr(), 2);
    let _ = sys!(SYS_renameat2, here, other.as_ptr(), here, c_path(at.join("over")).as_ptr(), 4);
    let mut nameless = fs::OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open(at)?;
    nameless.write_all(&content[..30_000])?;
    fs::hard_link(format!("/proc/self/fd/{}", nameless.as_raw_fd()), at.join("named"))
        .or_else(|_| fs::write(at.join("named"), "x"))?;
    let mut back = vec![0; content.len()];
    file.read_exact_at(&mut back, 3 << 20)?;
    drop(file);
    fs::remove_dir_all(&names)?;
    if back.iter().all(|byte| *byte == 0) { sys::wrong("something else came back") } else { Ok(()) }
}

/// What a file and the whole file system are asked (fs/ext4/ioctl.c), good and bad.
fn requests(at: &Path, swaps: bool) -> io::Result<()> {
    let file = OwnedFd::from(open(at.join("asked"))?);
    let donor = open(at.join("donor"))?;
    let _ = fs::write(at.join("asked"), vec![1; 60_000]);
    let _ = fs::write(at.join("donor"), vec![2; 60_000]);
    let _ = sys!(SYS_fsync, file.as_raw_fd());
    // FS_IOC_SETFLAGS: append only, immutable, no dump, journal of data, extents, no times, synchronous; then none.
    for flags in [0x20_i64, 0x10, 0x40, 0x4000, 0x80000, 0x80, 0x8, 0x1000_0000, 0, 0x80000] {
        let mut word = flags;
        let _ = ask(&file, 0x4008_6602, &raw mut word);
    }
    // FS_IOC_FSSETXATTR: a project.
    let mut attributes = [0_u32, 0, 0, 77, 0, 0, 0];
    let _ = ask(&file, 0x801c_581f, attributes.as_mut_ptr());
    attributes[3] = 77;
    let _ = ask(&file, 0x401c_5820, attributes.as_mut_ptr());
    // EXT4_IOC_MOVE_EXT: the donor's, from, to, so many blocks.
    for length in [4_u64, 0, 1 << 40] {
        let mut moved = [(donor.as_raw_fd() as u64) << 32, 0, 0, length, 0];
        let _ = ask(&file, 0xc028_660f, moved.as_mut_ptr());
    }
    // EXT4_IOC_MIGRATE, ALLOC_DA_BLKS, PRECACHE_EXTENTS, CLEAR_ES_CACHE, GETVERSION, GETSTATE, GETFSUUID.
    for request in [0x6609_u32, 0x660c, 0x6612, 0x6628, 0x8008_6603, 0x4004_6629, 0x8008_662c] {
        let mut room = [0_u64; 16];
        let _ = ask(&file, request, room.as_mut_ptr());
    }
    // FS_IOC_FIEMAP and EXT4_IOC_GET_ES_CACHE: from 0, all, with room for 8 extents; also those of attributes.
    for (request, flags) in [(0xc020_660b_u32, 1_u64), (0xc020_660b, 2), (0xc020_660b, 4), (0xc020_662a, 1)] {
        let mut map = [0_u64; 64];
        (map[1], map[2], map[3]) = (u64::MAX, flags, 8);
        let _ = ask(&file, request, map.as_mut_ptr());
    }
    let end = whole(&file);
    // EXT4_IOC_SWAP_BOOT: where quotas are kept 7.2.12 has no credits left for them, and warns (fs/jbd2/transaction.c).
    if swaps {
        let _ = number(&file, 0x6611, 0);
    }
    end
}

/// Numbers of struct fsmap_head (include/uapi/linux/fsmap.h), and of each record behind it.
const MAP_HEAD: usize = 24;
const MAP_RECORD: usize = 8;

/// FS_IOC_GETFSMAP: from byte 0 on, a few records at a time. No two are of one place.
fn map_of_space(file: &OwnedFd) -> io::Result<()> {
    let mut ends_at = 0;
    for room in [300_usize, 1] {
        let mut map = vec![0_u64; MAP_HEAD + MAP_RECORD * room];
        map[1] = room as u64;
        // The last key: any device, place, owner and offset.
        map[16..20].fill(u64::MAX);
        ask(file, 0xc0c0_583b, map.as_mut_ptr())?;
        let records = (map[1] >> 32) as usize;
        ends_at = 0;
        for record in map[MAP_HEAD..].chunks(MAP_RECORD).take(records) {
            if record[1] < ends_at {
                return sys::wrong("two records of the map are of one place");
            }
            ends_at = record[1] + record[4];
        }
    }
    if ends_at == 0 { sys::wrong("the map of the file system is empty") } else { Ok(()) }
}

/// Requests about the whole file system.
fn whole(file: &OwnedFd) -> io::Result<()> {
    map_of_space(file)?;
    // FS_IOC_SETFSLABEL, GETFSLABEL, GETFSUUID, GETFSSYSFSPATH.
    let mut label = [0_u8; 256];
    label[..4].copy_from_slice(b"pp-7");
    for request in [0x4100_9432_u32, 0x8100_9431, 0x8011_1500, 0x8081_1501] {
        let _ = ask(file, request, label.as_mut_ptr());
    }
    // FITRIM, EXT4_IOC_CHECKPOINT, EXT4_IOC_GROUP_EXTEND and GROUP_ADD with nonsense.
    let mut trim = [0_u64, u64::MAX, 0];
    let _ = ask(file, 0xc018_5879, trim.as_mut_ptr());
    for flags in [0_u32, 4, 7, 99] {
        let mut flags = [flags, 0];
        let _ = ask(file, 0x4004_662b, flags.as_mut_ptr());
    }
    for request in [0x4008_6607_u32, 0x4028_6608] {
        let mut room = [0_u64; 8];
        let _ = ask(file, request, room.as_mut_ptr());
    }
    // EXT4_IOC_RESIZE_FS: larger than the device, smaller, the same.
    for blocks in [1_u64 << 40, 100, MIB << 8] {
        let mut blocks = blocks;
        let _ = ask(file, 0x4008_6610, &raw mut blocks);
    }
    // FIFREEZE, FITHAW.
    for request in [0xc004_5877_u32, 0xc004_5877, 0xc004_5878, 0xc004_5878] {
        let _ = number(file, request, 0);
    }
    Ok(())
}

const QUOTA_SYNC: u32 = 0x80_0001;
const QUOTA_GET: u32 = 0x80_0007;
const QUOTA_SET: u32 = 0x80_0008;

/// quotactl_fd() by each command and kind, and what is refused above a limit.
fn quotas(it: &mut Exercise) {
    it.step("quotas", || {
        on("-O quota,project -I 256", "prjquota,usrquota,grpquota", || {
            let root = OwnedFd::from(fs::File::open(AT)?);
            let mut room = [0_u64; 16];
            for kind in 0..4 {
                // Sync, on, off, format, information, limits, the next one with limits; then those of XFS.
                for command in (QUOTA_SYNC..=0x80_0009).chain(0x5801..0x5809).chain([0x5809]) {
                    if command != QUOTA_SET {
                        let call = (command << 8) | kind;
                        let _ = sys!(SYS_quotactl_fd, root.as_raw_fd(), call, 0, room.as_mut_ptr());
                    }
                }
            }
            // struct if_dqblk: blocks, then inodes, each hard, soft and used; times; what of it is valid.
            let mut limits = [64_u64, 32, 0, 5, 3, 0, 0, 0, 0xf];
            let of = |command: u32, kind: u32| (command << 8) | kind;
            let set = of(QUOTA_SET, 0);
            // Turned off above.
            let _ = sys!(SYS_quotactl_fd, root.as_raw_fd(), of(0x80_0002, 0), 1, 0);
            sys!(SYS_quotactl_fd, root.as_raw_fd(), set, 1000, limits.as_mut_ptr())?;
            let over = in_child(LIMIT, || {
                sys!(SYS_setresuid, 1000, 1000, 1000)?;
                (0..9).try_for_each(|name| fs::write(format!("{AT}/public/{name}"), vec![1; 30_000]))
            });
            std::hint::black_box(over.is_err());
            sys!(SYS_quotactl_fd, root.as_raw_fd(), of(QUOTA_GET, 0), 1000, limits.as_mut_ptr())?;
            sys!(SYS_quotactl_fd, root.as_raw_fd(), of(QUOTA_SYNC, 0), 0, 0).map(drop)
        })
    });
}

/// Each digest, each size of block, what is measured and read of it, and content that was changed below it.
fn verity(it: &mut Exercise) {
    it.step("verity", || {
        on("-O verity", "", || {
            for (algorithm, block, salt) in [
                (1_u32, 4096_u32, 0_u32),
                (2, 4096, 16),
                (1, 1024, 32),
                (9, 4096, 0),
                (1, 7, 0),
                (1, 4096, 99),
            ] {
                let path = format!("{AT}/verity-{algorithm}-{block}-{salt}");
                fs::write(&path, vec![5; 150_000])?;
                let file = OwnedFd::from(fs::File::open(&path)?);
                let bytes = [3_u8; 32];
                // struct fsverity_enable_arg.
                let mut arguments = [0_u64; 16];
                arguments[0] = 1 | (u64::from(algorithm) << 32);
                arguments[1] = u64::from(block) | (u64::from(salt) << 32);
                arguments[2] = if salt == 0 { 0 } else { bytes.as_ptr() as u64 };
                let enabled = ask(&file, 0x4080_6685, arguments.as_mut_ptr());
                // struct fsverity_digest with room for 64 bytes.
                let mut digest = [0_u16; 40];
                digest[1] = 64;
                let _ = ask(&file, 0xc004_6686, digest.as_mut_ptr());
                for kind in 1..5_u64 {
                    let mut room = vec![0_u8; 8192];
                    let mut wanted = [kind, 0, 8192, room.as_mut_ptr() as u64, 0];
                    let _ = ask(&file, 0xc028_6687, wanted.as_mut_ptr());
                }
                let _ = fs::OpenOptions::new().write(true).open(&path);
                let whole = sys!(SYS_fadvise64, file.as_raw_fd(), 0, 0, 4)
                    .and_then(|_| fs::read(&path).map(|all| all.len()));
                if enabled.is_ok() && whole? != 150_000 {
                    return sys::wrong("something else came back");
                }
            }
            Ok(())
        })
    });
}

/// A key that is added, a directory that is encrypted with it, what is seen of it without, and both versions of policies.
fn encryption(it: &mut Exercise) {
    it.step("encryption", || {
        on("-O encrypt,stable_inodes", "", || {
            let root = OwnedFd::from(fs::File::open(AT)?);
            // struct fscrypt_add_key_arg: an identifier is given back; 64 bytes of a key.
            let mut key = [0_u8; 80 + 64];
            key[0] = 2;
            key[40] = 64;
            key[80..].copy_from_slice(&std::array::from_fn::<u8, 64, _>(|at| at as u8));
            ask(&root, 0xc050_6617, key.as_mut_ptr())?;
            let identifier: [u8; 16] = key[8..24].try_into().unwrap_or_default();
            // Contents, names, flags: as is usual, with IVs of inodes, with a direct key, and what does not go together.
            for (contents, names, flags) in
                [(1_u8, 4_u8, 3_u8), (1, 4, 8), (1, 4, 16), (9, 9, 4), (1, 9, 0), (4, 1, 0)]
            {
                let directory = format!("{AT}/{contents}-{names}-{flags}");
                fs::create_dir(&directory)?;
                let opened = OwnedFd::from(fs::File::open(&directory)?);
                let mut policy = [0_u8; 24];
                policy[..4].copy_from_slice(&[2, contents, names, flags]);
                policy[8..].copy_from_slice(&identifier);
                if ask(&opened, 0x800c_6613, policy.as_mut_ptr()).is_ok() {
                    match encrypted(Path::new(&directory)) {
                        // This kernel does not have the cipher.
                        Err(error) if error.raw_os_error() == Some(libc::ENOPKG) => {}
                        end => end?,
                    }
                }
                let mut room = [0_u8; 64];
                room[0] = 24;
                // FS_IOC_GET_ENCRYPTION_POLICY_EX, GET_ENCRYPTION_POLICY, GET_ENCRYPTION_NONCE, GET_ENCRYPTION_PWSALT.
                for request in [0xc009_6616_u32, 0x400c_6615, 0x8010_661b, 0x4010_6614] {
                    let _ = ask(&opened, request, room.as_mut_ptr());
                }
            }
            // FS_IOC_GET_ENCRYPTION_KEY_STATUS, REMOVE_ENCRYPTION_KEY, and again.
            let mut about = [0_u8; 128];
            about[0] = 2;
            about[8..24].copy_from_slice(&identifier);
            for request in [0xc080_661a_u32, 0xc040_6618, 0xc080_661a, 0xc040_6619, 0xc040_6618] {
                let _ = ask(&root, request, about.as_mut_ptr());
            }
            // Names without a key.
            for entry in fs::read_dir(AT)?.flatten() {
                for inside in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
                    let _ = fs::read(inside.path());
                }
            }
            Ok(())
        })
    });
}

fn encrypted(at: &Path) -> io::Result<()> {
    let (one, long) = (at.join("one"), at.join("n".repeat(200)));
    fs::write(&one, vec![8; 70_000])?;
    fs::write(&long, "x")?;
    symlink("somewhere/else", at.join("link"))?;
    fs::rename(&long, at.join("short"))?;
    let file = open(&one)?;
    file.set_len(69_999)?;
    file.write_all_at(&[9; 100], 69_000)?;
    file.sync_all()?;
    let _ = sys!(SYS_fadvise64, file.as_raw_fd(), 0, 0, 4);
    let direct = fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&one);
    let _ = direct.and_then(|direct| direct.read_at(&mut [0; 4096], 0));
    let same = fs::read(&one)?[..69_000].iter().all(|byte| *byte == 8)
        && fs::read_link(at.join("link"))?.is_relative();
    if same { Ok(()) } else { sys::wrong("something else came back") }
}

/// A copy of a device that is mounted is what a crash leaves: the journal is read, files without a name are freed.
fn crashes(it: &mut Exercise) {
    for (made, options) in
        [("", "commit=300"), ("-O fast_commit", "commit=300"), ("-O orphan_file", "data=journal,commit=300")]
    {
        it.step(format!("after a crash: {made} {options}"), || {
            on(made, options, || {
                fs::write(format!("{AT}/kept"), vec![4; 50_000])?;
                fs::hard_link(format!("{AT}/kept"), format!("{AT}/second"))?;
                let gone = open(format!("{AT}/gone"))?;
                gone.write_all_at(&[5; 90_000], 0)?;
                gone.sync_all()?;
                fs::remove_file(format!("{AT}/gone"))?;
                fs::rename(format!("{AT}/second"), format!("{AT}/third"))?;
                open(format!("{AT}/kept"))?.sync_all()?;
                fs::File::open(AT)?.sync_all()?;
                copy_with_holes(format!("{IMAGES}/disk"), format!("{IMAGES}/crashed"))
            })?;
            let crashed = LoopDisk::on(format!("{IMAGES}/crashed"))?;
            let back = in_child(LIMIT, || {
                mount_with(&crashed.node, AT, "ext4", 0, "")?;
                let same = fs::read(format!("{AT}/kept"))? == [4; 50_000]
                    && fs::metadata(format!("{AT}/third")).is_ok();
                unmount(AT)?;
                if same { Ok(()) } else { sys::wrong("something else came back") }
            });
            let _ = unmount_with(AT, libc::MNT_DETACH);
            back
        });
    }
}
