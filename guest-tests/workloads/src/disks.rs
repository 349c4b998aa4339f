//! Block devices for exercisers: loop devices on files, and what every block device is asked, good and bad.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::sys;
use crate::walk::write;

const LOOP_SET: u32 = 0x4c00;
const LOOP_CLEAR: u32 = 0x4c01;
const LOOP_FREE: u32 = 0x4c82;

/// A loop device on the file, and its node.
///
/// # Errors
/// Those of the calls.
pub fn loop_device(image: &Path) -> io::Result<(fs::File, String)> {
    let control = fs::OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    let number = sys!(SYS_ioctl, control.as_raw_fd(), LOOP_FREE)?;
    let node = format!("/dev/loop{number}");
    let device = fs::OpenOptions::new().read(true).write(true).open(&node)?;
    let backing = fs::OpenOptions::new().read(true).write(true).open(image)?;
    sys!(SYS_ioctl, device.as_raw_fd(), LOOP_SET, backing.as_raw_fd())?;
    // LOOP_SET_DIRECT_IO, LOOP_SET_BLOCK_SIZE, LOOP_SET_CAPACITY.
    for (request, value) in [(0x4c08_u32, 0), (0x4c09, 512), (0x4c09, 7), (0x4c07, 0)] {
        let _ = sys!(SYS_ioctl, device.as_raw_fd(), request, value);
    }
    Ok((device, node))
}

/// # Errors
/// That of the call.
pub fn loop_clear(device: &fs::File) -> io::Result<()> {
    sys!(SYS_ioctl, device.as_raw_fd(), LOOP_CLEAR).map(drop)
}

/// A file of zeroes with a loop device on it: made, and taken away with it.
#[derive(Debug)]
pub struct LoopDisk {
    device: fs::File,
    image: std::path::PathBuf,
    pub node: String,
    keeps: bool,
}

impl LoopDisk {
    /// # Errors
    /// Those of the calls.
    pub fn new(image: impl AsRef<Path>, mib: u64) -> io::Result<LoopDisk> {
        fs::File::create(&image)?.set_len(mib << 20)?;
        LoopDisk::on(image)
    }

    /// On a file that is there.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn on(image: impl AsRef<Path>) -> io::Result<LoopDisk> {
        let image = image.as_ref().to_path_buf();
        let (device, node) = loop_device(&image)?;
        Ok(LoopDisk { device, image, node, keeps: false })
    }

    pub fn fd(&self) -> i32 {
        self.device.as_raw_fd()
    }

    /// Takes the device away, and leaves what is on it.
    pub fn keep_image(mut self) {
        self.keeps = true;
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        let _ = loop_clear(&self.device);
        if !self.keeps {
            let _ = fs::remove_file(&self.image);
        }
    }
}

/// Copies what was written to a file and leaves out what was not, so that the copy takes no more memory.
///
/// # Errors
/// Those of the calls.
pub fn copy_with_holes(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (fs::File::open(from)?, fs::File::create(to)?);
    let length = from.metadata()?.len();
    to.set_len(length)?;
    let mut at = 0;
    while at < length {
        // No more data is ENXIO.
        let Ok(data) = sys!(SYS_lseek, from.as_raw_fd(), at, libc::SEEK_DATA) else { break };
        let hole = sys!(SYS_lseek, from.as_raw_fd(), data, libc::SEEK_HOLE)?;
        let mut bytes = vec![0; usize::try_from(hole - data).map_err(io::Error::other)?];
        from.read_exact_at(&mut bytes, data as u64)?;
        to.write_all_at(&bytes, data as u64)?;
        at = hole as u64;
    }
    Ok(())
}

/// Memory at a place that direct I/O takes.
#[repr(align(4096))]
struct DirectBuffer([u8; 16384]);

/// Writes and reads of several kinds at the beginning of it, and discards.
///
/// # Errors
/// That of the first plain write or read that has one.
pub fn use_device(node: &str) -> io::Result<()> {
    let file = fs::OpenOptions::new().read(true).write(true).open(node)?;
    file.write_all_at(&[7; 20_000], 4096)?;
    file.sync_all()?;
    let mut back = [0; 20_000];
    file.read_exact_at(&mut back, 4096)?;
    let direct =
        fs::OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT | libc::O_DSYNC).open(node);
    if let Ok(direct) = direct {
        let mut data = Box::new(DirectBuffer([9; 16384]));
        let _ = direct.write_at(&data.0, 0);
        let _ = direct.read_at(&mut data.0, 8192);
        let _ = direct.write_at(&data.0[1..513], 0);
        let _ = direct.write_at(&data.0, 512);
        let _ = direct.read_at(&mut data.0[..1024], 1024);
    }
    for mode in [1, 3, 0x10, 0x12, 0] {
        let _ = sys!(SYS_fallocate, file.as_raw_fd(), mode, 65536, 65536);
    }
    for advice in 0..6 {
        let _ = sys!(SYS_fadvise64, file.as_raw_fd(), 0, 65536, advice);
    }
    if back == [7; 20_000] { Ok(()) } else { sys::wrong("something else came back") }
}

/// Requests of block devices (include/uapi/linux/fs.h and its neighbours), with room for an answer and with nowhere. None
/// of them forgets what device it is.
pub fn ask_device(node: &str) {
    let Ok(file) = fs::OpenOptions::new().read(true).write(true).open(node) else { return };
    let fd = file.as_raw_fd();
    let mut room = [0_u64; 64];
    // BLKROGET, BLKGETSIZE, BLKFLSBUF, BLKRAGET, BLKFRAGET, BLKSECTGET, BLKSSZGET, BLKIOMIN to BLKROTATIONAL, BLKGETSIZE64,
    // BLKBSZGET, BLKDISCARDZEROES, BLKGETDISKSEQ, BLKGETZONESZ, BLKGETNRZONES, HDIO_GETGEO, BLKRRPART.
    let asks = [
        0x125e_u32,
        0x1260,
        0x1261,
        0x1263,
        0x1265,
        0x1267,
        0x1268,
        0x1278,
        0x1279,
        0x127a,
        0x127b,
        0x127c,
        0x127e,
        0x8008_1272,
        0x8008_1270,
        0x8008_1280,
        0x8004_1284,
        0x8004_1285,
        0x0301,
        0x125f,
        0x1299,
    ];
    for request in asks {
        let _ = sys!(SYS_ioctl, fd, request, room.as_mut_ptr());
        let _ = sys!(SYS_ioctl, fd, request, 8);
    }
    // BLKROSET there and back, BLKRASET, BLKBSZSET.
    for value in [1_u32, 0] {
        let _ = sys!(SYS_ioctl, fd, 0x125d, &raw const value);
    }
    let _ = sys!(SYS_ioctl, fd, 0x1262, 64);
    for size in [512_u32, 4096, 77] {
        let _ = sys!(SYS_ioctl, fd, 0x4008_1271_u32, &raw const size);
    }
    // BLKDISCARD, BLKSECDISCARD, BLKZEROOUT: in range, odd, beyond the end.
    for request in [0x1277_u32, 0x127d, 0x127f] {
        for range in [[131_072_u64, 65_536], [1, 7], [1 << 60, 4096], [0, 0]] {
            let _ = sys!(SYS_ioctl, fd, request, range.as_ptr());
        }
    }
    // BLKREPORTZONE, BLKRESETZONE, BLKOPENZONE, BLKCLOSEZONE, BLKFINISHZONE.
    room[1] = 4;
    let _ = sys!(SYS_ioctl, fd, 0xc010_1282_u32, room.as_mut_ptr());
    for request in [0x4010_1283_u32, 0x4010_1286, 0x4010_1287, 0x4010_1288] {
        let _ = sys!(SYS_ioctl, fd, request, [0_u64, 8192].as_ptr());
    }
    // BLKPG: add a partition, resize it, delete it: struct blkpg_ioctl_arg and struct blkpg_partition.
    let mut partition = [0_u64; 19];
    (partition[0], partition[1], partition[2]) = (1 << 20, 1 << 20, 5);
    for operation in [1_u64, 1, 3, 2, 2] {
        let argument = [operation, 152, partition.as_ptr() as u64];
        let _ = sys!(SYS_ioctl, fd, 0x1269, argument.as_ptr());
    }
    // IOC_PR_REGISTER, RESERVE, RELEASE, CLEAR, and the reading of keys.
    for request in [0x4018_70c8_u32, 0x4010_70c9, 0x4010_70ca, 0x4010_70cd, 0x8010_70ce] {
        let _ = sys!(SYS_ioctl, fd, request, [0_u64, 1, 0].as_ptr());
    }
}

/// Each scheduler that the kernel has, with some I/O by it, and the one that was there.
pub fn schedulers(node: &str) {
    let Some(name) = node.strip_prefix("/dev/") else { return };
    let file = format!("/sys/block/{name}/queue/scheduler");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let chosen = text.split(['[', ']']).nth(1).unwrap_or("none").to_owned();
    for scheduler in text.split_whitespace().map(|one| one.trim_matches(['[', ']'])) {
        let _ = write(&file, scheduler.as_bytes());
        let _ = use_device(node);
        let tunables = fs::read_dir(format!("/sys/block/{name}/queue/iosched"));
        for tunable in tunables.into_iter().flatten().flatten().map(|entry| entry.path()) {
            if let Ok(value) = fs::read(&tunable) {
                let _ = write(&tunable, b"junk");
                let _ = write(&tunable, &value);
            }
        }
    }
    let _ = write(&file, chosen.as_bytes());
}

/// A table of partitions as PCs have it, with two of them.
///
/// # Errors
/// That of the write.
pub fn write_partitions(node: &str) -> io::Result<()> {
    let mut sector = [0_u8; 512];
    for (at, start, length) in [(446, 64_u32, 2048_u32), (462, 4096, 2048)] {
        sector[at + 4] = 0x83;
        sector[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
        sector[at + 12..at + 16].copy_from_slice(&length.to_le_bytes());
    }
    (sector[510], sector[511]) = (0x55, 0xaa);
    let file = fs::OpenOptions::new().write(true).open(node)?;
    file.write_all_at(&sector, 0)?;
    file.sync_all()
}
