//! Block devices that are made of others: by the device mapper with each target, and arrays of each level. Good tables and
//! bad ones; used, suspended, asked, given messages, taken away.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use workloads::disks::{LoopDisk, ask_device, use_device};
use workloads::exercise::{self, Exercise};
use workloads::sys::in_child;
use workloads::walk::write;
use workloads::{places, sys};

const LIMIT: Duration = Duration::from_secs(10);
const IMAGES: &str = "/tmp/block";
const GROUPS: &str = "/tmp/block-groups";

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    if it.step("memory for devices", || places::mount("tmpfs", IMAGES, "size=100m")).is_none() {
        return;
    }
    let group = places::mount("cgroup2", GROUPS, "");
    let _ = write(format!("{GROUPS}/cgroup.subtree_control"), b"+io");
    let disks = [("one", 8), ("other", 8)].map(|(name, mib)| LoopDisk::new(format!("{IMAGES}/{name}"), mib));
    if let [Ok(one), Ok(other)] = &disks {
        mapped(it, &one.node, &other.node);
    }
    drop(disks);
    if group.is_ok() {
        it.step("no groups", || places::unmount(GROUPS));
    }
    for level in [-1_i32, 0, 1, 10, 5, 6, 99] {
        it.step(format!("array of level {level}"), || array(level));
    }
    it.step("no memory for devices", || places::unmount(IMAGES));
}

/// Targets of the device mapper: kind, and what follows it, for 4096 sectors of the device; some need another one.
const TARGETS: [(&str, &str); 23] = [
    ("linear", "DEV 0"),
    ("linear", "DEV 99999999"),
    ("linear", "junk"),
    ("striped", "2 64 DEV 0 DEV 8192"),
    ("striped", "3 64 DEV 0"),
    ("zero", ""),
    ("error", ""),
    ("delay", "DEV 0 5 DEV 0 1"),
    ("flakey", "DEV 0 60 0 1 drop_writes"),
    ("flakey", "DEV 0 0 1 5 corrupt_bio_byte 3 r 1 0"),
    ("dust", "DEV 0 512"),
    ("crypt", "aes-xts-plain64 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef 0 DEV 0"),
    ("crypt", "capi:cbc(aes)-essiv:sha256 0123456789abcdef0123456789abcdef 0 DEV 0 1 allow_discards"),
    ("crypt", "nonsense 00 0 DEV 0"),
    ("snapshot-origin", "DEV"),
    ("mirror", "core 1 64 2 DEV 0 OTHER 0"),
    ("raid", "raid1 3 0 region_size 64 2 - DEV - OTHER"),
    ("integrity", "DEV 0 4 D 0"),
    ("writecache", "s DEV OTHER 4096 0"),
    ("verity", "1 DEV OTHER 4096 4096 16 1 sha256 00 00"),
    ("log-writes", "DEV OTHER"),
    ("thin-pool", "DEV DEV 128 0"),
    ("no-such-target", ""),
];

fn mapped(it: &mut Exercise, node: &str, other: &str) {
    let Ok(control) = fs::OpenOptions::new().read(true).write(true).open("/dev/mapper/control") else {
        it.fail("the device mapper", &io::Error::from_raw_os_error(libc::ENOENT));
        return;
    };
    let mapper = Mapper { control: control.into() };
    for command in 0..20 {
        it.step(format!("mapper: command {command} of nothing"), || mapper.ask(command, "", 0, &[]));
    }
    for (kind, parameters) in TARGETS {
        let name = format!("{kind} {parameters}").replace("DEV", "it").replace("OTHER", "other");
        it.step(format!("map {name}"), || {
            mapper.ask(CREATE, "pp", 0, &[])?;
            let loaded = mapper
                .load("pp", kind, &parameters.replace("DEV", node).replace("OTHER", other))
                .and_then(|_| mapper.ask(SUSPEND, "pp", 0, &[]));
            if loaded.is_ok() {
                used(&mapper);
            }
            mapper.ask(REMOVE, "pp", 0, &[])?;
            loaded
        });
    }
    it.step("a pool, a thin device and a snapshot of it", || thin(&mapper, node, other));
    it.step("a map that is there already", || {
        mapper.ask(CREATE, "pp", 0, &[])?;
        let again = mapper.ask(CREATE, "pp", 0, &[]);
        mapper.ask(RENAME, "pp", 0, b"pp-renamed\0")?;
        let gone = mapper.ask(REMOVE, "pp", 0, &[]);
        mapper.ask(REMOVE, "pp-renamed", 0, &[])?;
        again.and(gone)
    });
}

const REMOVE_ALL_BUT: u32 = 1;
const CREATE: u32 = 3;
const REMOVE: u32 = 4;
const RENAME: u32 = 5;
const SUSPEND: u32 = 6;
const LOAD: u32 = 9;
const SUSPENDED: u32 = 2;

/// What a map that is active is asked, and I/O to it.
fn used(mapper: &Mapper) {
    let number = mapper.number("pp").unwrap_or(0);
    let _ = sys!(SYS_mknodat, libc::AT_FDCWD, c"/tmp/mapped-device".as_ptr(), 0o60600, number);
    let _ = in_child(LIMIT, || use_device("/tmp/mapped-device"));
    // The first I/O of a new group.
    let group = format!("{GROUPS}/pp");
    if fs::create_dir(&group).is_ok() {
        let _ = write(format!("{group}/io.weight"), b"default 50");
        let _ = in_child(LIMIT, || {
            write(format!("{group}/cgroup.procs"), b"0")?;
            use_device("/tmp/mapped-device")
        });
        let _ = fs::read(format!("{group}/io.stat"));
        let _ = fs::remove_dir(&group);
    }
    ask_device("/tmp/mapped-device");
    // DM_DEV_STATUS, DM_DEV_WAIT is left out, DM_TABLE_DEPS, DM_TABLE_STATUS with the table and without, DM_LIST_DEVICES,
    // DM_LIST_VERSIONS, DM_GET_TARGET_VERSION.
    for (command, flags) in [(7, 0), (11, 0), (12, 1 << 4), (12, 0), (2, 0), (13, 0), (17, 0)] {
        let _ = mapper.ask(command, "pp", flags, &[]);
    }
    // A message: to sector 0.
    for message in [
        "help\0",
        "@stats_create - /100\0",
        "@stats_list\0",
        "@stats_print 0\0",
        "@stats_delete 0\0",
        "junk 1 2\0",
    ] {
        let mut data = vec![0_u8; 8];
        data.extend_from_slice(message.as_bytes());
        let _ = mapper.ask(14, "pp", 0, &data);
    }
    // Suspended, resumed; with another table, which is cleared again.
    let _ = mapper.ask(SUSPEND, "pp", SUSPENDED, &[]);
    let _ = mapper.load("pp", "zero", "");
    let _ = mapper.ask(10, "pp", 0, &[]);
    let _ = mapper.ask(SUSPEND, "pp", 0, &[]);
    let _ = fs::remove_file("/tmp/mapped-device");
}

/// A pool has its table on the one and its data on the other device.
fn thin(mapper: &Mapper, node: &str, other: &str) -> io::Result<()> {
    // What is all zeroes is formatted.
    fs::OpenOptions::new().write(true).open(node)?.write_all_at(&[0; 65536], 0)?;
    let message = |text: &str| {
        let mut data = vec![0_u8; 8];
        data.extend_from_slice(text.as_bytes());
        mapper.ask(14, "pp-pool", 0, &data)
    };
    mapper.ask(CREATE, "pp-pool", 0, &[])?;
    let made = (|| {
        mapper.load("pp-pool", "thin-pool", &format!("{node} {other} 128 0"))?;
        mapper.ask(SUSPEND, "pp-pool", 0, &[])?;
        message("create_thin 0\0")?;
        message("create_thin 0\0").err();
        let number = mapper.number("pp-pool")?;
        let pool = format!("{}:{}", number >> 8, number & 0xff);
        mapper.ask(CREATE, "pp", 0, &[])?;
        let thin =
            mapper.load("pp", "thin", &format!("{pool} 0")).and_then(|()| mapper.ask(SUSPEND, "pp", 0, &[]));
        if thin.is_ok() {
            used(mapper);
            let _ = mapper.ask(SUSPEND, "pp", SUSPENDED, &[]);
            let _ = message("create_snap 1 0\0");
            let _ = mapper.ask(SUSPEND, "pp", 0, &[]);
            used(mapper);
        }
        mapper.ask(REMOVE, "pp", 0, &[])?;
        let _ = message("delete 1\0");
        let _ = message("delete 9\0");
        let _ = message("junk\0");
        let _ = mapper.ask(12, "pp-pool", 0, &[]);
        thin
    })();
    mapper.ask(REMOVE, "pp-pool", 0, &[])?;
    made
}

struct Mapper {
    control: OwnedFd,
}

impl Mapper {
    /// struct dm_ioctl with what follows it; the device's number from the answer.
    fn exchange(&self, command: u32, name: &str, flags: u32, count: u32, data: &[u8]) -> io::Result<Vec<u8>> {
        const BYTES: usize = 312;
        // DM_REMOVE_ALL takes what others have made.
        if command == REMOVE_ALL_BUT {
            return Ok(Vec::new());
        }
        let mut block = vec![0_u8; 16 * 1024];
        let length = u32::try_from(block.len()).unwrap_or(0);
        for (at, value) in [(0, 4_u32), (12, length), (16, BYTES as u32), (20, count), (28, flags)] {
            block[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        block[48..48 + name.len()].copy_from_slice(name.as_bytes());
        block[BYTES..BYTES + data.len()].copy_from_slice(data);
        let request = 0xc138_fd00_u32 | command;
        sys!(SYS_ioctl, self.control.as_raw_fd(), request, block.as_mut_ptr())?;
        Ok(block)
    }

    fn ask(&self, command: u32, name: &str, flags: u32, data: &[u8]) -> io::Result<()> {
        self.exchange(command, name, flags, 0, data).map(drop)
    }

    /// struct dm_target_spec and the parameters.
    fn load(&self, name: &str, kind: &str, parameters: &str) -> io::Result<()> {
        let mut spec = vec![0_u8; 40];
        spec[8..16].copy_from_slice(&4096_u64.to_ne_bytes());
        spec[24..24 + kind.len()].copy_from_slice(kind.as_bytes());
        spec.extend_from_slice(parameters.as_bytes());
        spec.push(0);
        self.exchange(LOAD, name, 0, 1, &spec).map(drop)
    }

    fn number(&self, name: &str) -> io::Result<i64> {
        let block = self.exchange(7, name, 0, 0, &[])?;
        Ok(i64::from(u32::from_ne_bytes([block[40], block[41], block[42], block[43]])))
    }
}

/// Of two loop devices, without a superblock, by the requests of include/uapi/linux/raid/md_u.h.
fn array(level: i32) -> io::Result<()> {
    const NODE: &str = "/tmp/array";
    let disks = [LoopDisk::new(format!("{IMAGES}/a"), 8)?, LoopDisk::new(format!("{IMAGES}/b"), 8)?];
    // The major number of md is 9.
    sys!(SYS_mknodat, libc::AT_FDCWD, c"/tmp/array".as_ptr(), 0o60600, 9 << 8 | 9)?;
    let made = in_child(LIMIT, || {
        let device = fs::OpenOptions::new().read(true).write(true).open(NODE)?;
        let fd = device.as_raw_fd();
        let mut information = [0_i32; 18];
        // Version, level, number of disks, raid_disks, md_minor, not_persistent, state, active, working, chunk.
        (information[4], information[6], information[7], information[8], information[9]) =
            (level, 2, 2, 9, 1);
        (information[11], information[12], information[13], information[17]) = (1, 2, 2, 65536);
        sys!(SYS_ioctl, fd, 0x4048_0923_u32, information.as_ptr())?;
        for (number, disk) in disks.iter().enumerate() {
            let metadata = fs::metadata(&disk.node)?;
            let device = std::os::unix::fs::MetadataExt::rdev(&metadata);
            let number = i32::try_from(number).unwrap_or(0);
            let disk = [number, (device >> 8) as i32, (device & 0xff) as i32, number, 6];
            let mut whole = [0_i32; 20];
            whole[..5].copy_from_slice(&disk);
            sys!(SYS_ioctl, fd, 0x4014_0921_u32, whole.as_ptr())?;
        }
        let run = sys!(SYS_ioctl, fd, 0x400c_0930_u32, 0);
        if run.is_ok() {
            used_array(fd, NODE);
        }
        // STOP_ARRAY.
        let stopped = sys!(SYS_ioctl, fd, 0x0932);
        run.and(stopped).map(drop)
    });
    fs::remove_file(NODE)?;
    made
}

fn used_array(fd: i32, node: &str) {
    let _ = use_device(node);
    let mut room = [0_u64; 64];
    for request in [0x8010_0910_u32, 0x8048_0911, 0x8014_0912, 0x9280_0915_u32] {
        let _ = sys!(SYS_ioctl, fd, request, room.as_mut_ptr());
    }
    let _ = fs::read("/proc/mdstat");
    for (file, value) in [
        ("sync_action", "check"),
        ("sync_action", "idle"),
        ("sync_action", "junk"),
        ("array_state", "readonly"),
        ("array_state", "active"),
        ("suspend_lo", "0"),
        ("bitmap/location", "none"),
        ("safe_mode_delay", "0.2"),
    ] {
        let _ = write(format!("/sys/block/md9/md/{file}"), value.as_bytes());
    }
    for entry in fs::read_dir("/sys/block/md9/md").into_iter().flatten().flatten() {
        let _ = fs::read(entry.path());
    }
}
