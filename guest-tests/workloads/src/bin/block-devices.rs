//! Block devices that are software: loop, null and memory devices, network block devices, compressed memory, simulated SCSI
//! disks. Each is asked, written, read, resized, and taken away.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use workloads::disks::{LoopDisk, ask_device, schedulers, use_device, write_partitions};
use workloads::exercise::{self, Exercise};
use workloads::sys::{fork, in_child, stop, wrong};
use workloads::walk::{FileWalk, walk, write};
use workloads::{places, sys};

const LIMIT: Duration = Duration::from_secs(10);
const IMAGES: &str = "/tmp/block";

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    it.step("loopback", || workloads::tools::run("ip link set lo up"));
    if it.step("memory for devices", || places::mount("tmpfs", IMAGES, "size=200m")).is_none() {
        return;
    }
    loops(it);
    for node in ["/dev/ram0", "/dev/nullb0", "/dev/sda", "/dev/mtdblock0", "/dev/pmem0"] {
        it.step(format!("use {node}"), || use_device(node));
        ask_device(node);
        schedulers(node);
    }
    it.step("zram", zram);
    it.step("network block device", network_device);
    scsi(it);
    limits(it);
    it.step("no memory for devices", || places::unmount(IMAGES));
}

/// What a control group may do with a device.
fn limits(it: &mut Exercise) {
    let (root, group) = ("/tmp/block-groups", "/tmp/block-groups/pp");
    if it.step("control groups", || places::mount("cgroup2", root, "")).is_none() {
        return;
    }
    let _ = write(format!("{root}/cgroup.subtree_control"), b"+io");
    it.step("a control group", || fs::create_dir(group));
    for (file, value) in [
        ("io.weight", "1:0 20"),
        ("io.max", "1:0 rbps=104857600 wiops=100000"),
        ("io.max", "1:0 rbps=0"),
        ("io.latency", "1:0 target=1000"),
        ("io.max", "9999:0 rbps=1"),
    ] {
        it.step(format!("{file} := {value}"), || write(format!("{group}/{file}"), value.as_bytes()));
    }
    it.step("limited reading", || {
        in_child(LIMIT, || {
            write(format!("{group}/cgroup.procs"), b"0")?;
            use_device("/dev/ram0")
        })
    });
    it.step("no limit", || write(format!("{group}/io.max"), b"1:0 rbps=max wiops=max"));
    it.step("no control group", || fs::remove_dir(group));
    let _ = write(format!("{root}/cgroup.subtree_control"), b"-io");
    it.step("no control groups", || places::unmount(root));
}

fn loops(it: &mut Exercise) {
    let Some(disk) = it.step("a loop device", || LoopDisk::new(format!("{IMAGES}/one"), 16)) else { return };
    it.step("use it", || use_device(&disk.node));
    ask_device(&disk.node);
    schedulers(&disk.node);
    let name = disk.node.trim_start_matches("/dev/").to_owned();
    walk(it, format!("/sys/block/{name}/queue"), FileWalk { write: true, ..FileWalk::default() });
    walk(it, format!("/sys/kernel/debug/block/{name}"), FileWalk::default());
    // struct loop_info64: offset, sizelimit, number, flags.
    for (what, offset, limit, flags) in [
        ("offset", 4096_u64, 0_u64, 0_u32),
        ("limit", 0, 1 << 20, 0),
        ("partitions", 0, 0, 8),
        ("autoclear", 0, 0, 0),
        ("bad offset", 1 << 63, 0, 0),
        ("direct", 0, 0, 16),
    ] {
        it.step(format!("loop {what}"), || {
            let mut information = [0_u8; 232];
            information[24..32].copy_from_slice(&offset.to_ne_bytes());
            information[32..40].copy_from_slice(&limit.to_ne_bytes());
            information[52..56].copy_from_slice(&flags.to_ne_bytes());
            sys!(SYS_ioctl, disk.fd(), 0x4c04, information.as_ptr())?;
            sys!(SYS_ioctl, disk.fd(), 0x4c05, information.as_mut_ptr())
        });
        let _ = use_device(&disk.node);
    }
    it.step("partitions", || {
        write_partitions(&disk.node)?;
        sys!(SYS_ioctl, disk.fd(), 0x125f)?;
        let found = fs::read_to_string("/proc/partitions")?;
        if found.contains(&format!("{name}p1")) { Ok(()) } else { wrong("none was found") }
    });
    it.step("another file below it", || {
        fs::File::create(format!("{IMAGES}/other"))?.set_len(16 << 20)?;
        let other = fs::File::open(format!("{IMAGES}/other"))?;
        let changed = sys!(SYS_ioctl, disk.fd(), 0x4c06, other.as_raw_fd());
        fs::remove_file(format!("{IMAGES}/other"))?;
        changed
    });
    it.step("a loop device on itself", || {
        let own = fs::File::open(&disk.node)?;
        sys!(SYS_ioctl, disk.fd(), 0x4c06, own.as_raw_fd())
    });
    it.step("configured at once", || {
        // struct loop_config: descriptor, size of blocks, struct loop_info64.
        let file = fs::File::create(format!("{IMAGES}/three"))?;
        file.set_len(8 << 20)?;
        let control = fs::File::open("/dev/loop-control")?;
        let number = sys!(SYS_ioctl, control.as_raw_fd(), 0x4c82)?;
        let device = fs::OpenOptions::new().read(true).write(true).open(format!("/dev/loop{number}"))?;
        let mut configuration = [0_u8; 304];
        configuration[..4].copy_from_slice(&file.as_raw_fd().to_ne_bytes());
        configuration[4..8].copy_from_slice(&4096_u32.to_ne_bytes());
        // Goes with the last one that has it open.
        configuration[60..64].copy_from_slice(&4_u32.to_ne_bytes());
        let done = sys!(SYS_ioctl, device.as_raw_fd(), 0x4c0a, configuration.as_ptr());
        let _ = sys!(SYS_ioctl, device.as_raw_fd(), 0x4c0a, configuration.as_ptr());
        fs::remove_file(format!("{IMAGES}/three"))?;
        done
    });
    it.step("a loop device is added and removed", || {
        let control = fs::File::open("/dev/loop-control")?;
        let number = 77;
        sys!(SYS_ioctl, control.as_raw_fd(), 0x4c80, number)?;
        sys!(SYS_ioctl, control.as_raw_fd(), 0x4c80, number).err();
        sys!(SYS_ioctl, control.as_raw_fd(), 0x4c81, number)?;
        sys!(SYS_ioctl, control.as_raw_fd(), 0x4c81, number)
    });
}

fn zram() -> io::Result<()> {
    let of = |name: &str| format!("/sys/block/zram0/{name}");
    let _ = write(of("reset"), b"1");
    for (file, value) in [
        ("comp_algorithm", "no-such"),
        ("comp_algorithm", "lzo-rle"),
        ("recomp_algorithm", "algo=lzo priority=1"),
        ("disksize", "0"),
        ("disksize", "8M"),
    ] {
        let _ = write(of(file), value.as_bytes());
    }
    let used = use_device("/dev/zram0");
    ask_device("/dev/zram0");
    for (file, value) in [
        ("disksize", "4M"),
        ("mem_limit", "4M"),
        ("mem_used_max", "0"),
        ("idle", "all"),
        ("recompress", "type=huge_idle"),
        ("recompress", "junk"),
        ("writeback", "idle"),
        ("compact", "1"),
        ("comp_algorithm", "lzo"),
        ("writeback_limit_enable", "1"),
    ] {
        let _ = write(of(file), value.as_bytes());
    }
    for file in ["mm_stat", "io_stat", "bd_stat", "debug_stat", "comp_algorithm", "recomp_algorithm"] {
        let _ = fs::read(of(file));
    }
    if workloads::tools::run("mkswap /dev/zram0").is_ok() {
        let _ = sys!(SYS_swapon, c"/dev/zram0".as_ptr(), 0x10000);
        let _ = in_child(LIMIT, || {
            let memory = sys!(
                SYS_mmap,
                0,
                1 << 20,
                3,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0
            )?;
            sys!(SYS_madvise, memory, 1 << 20, libc::MADV_PAGEOUT)?;
            sys!(SYS_madvise, memory, 1 << 20, libc::MADV_POPULATE_WRITE).map(drop)
        });
        sys!(SYS_swapoff, c"/dev/zram0".as_ptr())?;
    }
    write(of("reset"), b"1")?;
    used
}

/// A server at the other end of a pair of sockets, which has zeroes only.
fn network_device() -> io::Result<()> {
    const NODE: &str = "/dev/nbd7";
    let device = fs::OpenOptions::new().read(true).write(true).open(NODE)?;
    // With a socket of another family the kernel's locks have an order that is none (lockdep: a false alarm of 7.2).
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let kernel = std::net::TcpStream::connect(listener.local_addr()?)?;
    let server = OwnedFd::from(listener.accept()?.0);
    let fd = device.as_raw_fd();
    // NBD_SET_BLKSIZE, NBD_SET_SIZE_BLOCKS, NBD_SET_FLAGS, NBD_SET_TIMEOUT, NBD_SET_SOCK.
    for (request, value) in [(0xab01_u32, 7_i64), (0xab01, 4096), (0xab07, 256), (0xab0a, 0x7d), (0xab09, 5)]
    {
        let _ = sys!(SYS_ioctl, fd, request, value);
    }
    sys!(SYS_ioctl, fd, 0xab00, 999).err();
    sys!(SYS_ioctl, fd, 0xab00, kernel.as_raw_fd())?;
    let answers = fork(|| answer(&server))?;
    let works = fork(|| sys!(SYS_ioctl, fd, 0xab03).map(drop))?;
    std::thread::sleep(Duration::from_millis(50));
    let used = in_child(LIMIT, || fs::read(NODE).map(drop));
    let _ = fs::read("/sys/kernel/debug/nbd/nbd7/tasks");
    let _ = sys!(SYS_ioctl, fd, 0xab08);
    let _ = sys!(SYS_ioctl, fd, 0xab04);
    drop((kernel, server));
    stop(answers);
    // A signal ends NBD_DO_IT.
    stop(works);
    used
}

/// struct nbd_request and struct nbd_reply.
fn answer(socket: &OwnedFd) -> io::Result<()> {
    let mut request = [0_u8; 28];
    let mut data = vec![0_u8; 1 << 20];
    loop {
        if sys!(SYS_recvfrom, socket.as_raw_fd(), request.as_mut_ptr(), 28, libc::MSG_WAITALL, 0, 0)? < 28 {
            return Ok(());
        }
        let word =
            |at: usize| u32::from_be_bytes([request[at], request[at + 1], request[at + 2], request[at + 3]]);
        let (kind, length) = (word(4) & 0xffff, word(24) as usize);
        if kind == 1 {
            sys!(SYS_recvfrom, socket.as_raw_fd(), data.as_mut_ptr(), length, libc::MSG_WAITALL, 0, 0)?;
            data.fill(0);
        }
        let mut reply = 0x6744_6698_u32.to_be_bytes().to_vec();
        reply.extend_from_slice(&[0; 4]);
        reply.extend_from_slice(&request[8..16]);
        if kind == 0 {
            reply.extend_from_slice(data.get(..length).unwrap_or_default());
        }
        sys!(SYS_write, socket.as_raw_fd(), reply.as_ptr(), reply.len())?;
    }
}

/// Commands to SCSI devices by their generic nodes: SG_IO with INQUIRY, TEST UNIT READY, READ CAPACITY, and what is none.
fn scsi(it: &mut Exercise) {
    for node in ["/dev/sg0", "/dev/sda"] {
        let Ok(file) = fs::OpenOptions::new().read(true).write(true).open(node) else { continue };
        let fd = file.as_raw_fd();
        for (name, command) in [
            ("inquiry", [0x12_u8, 0, 0, 0, 96, 0]),
            ("ready", [0; 6]),
            ("sense", [3, 0, 0, 0, 18, 0]),
            ("mode sense", [0x1a, 0, 0x3f, 0, 96, 0]),
            ("nothing", [0xff; 6]),
        ] {
            it.step(format!("{node} {name}"), || {
                let (mut data, mut sense) = ([0_u8; 96], [0_u8; 32]);
                let mut header = [0_u8; 88];
                header[..4].copy_from_slice(&i32::from(b'S').to_ne_bytes());
                header[4..8].copy_from_slice(&(-3_i32).to_ne_bytes());
                (header[8], header[9]) = (6, 32);
                header[12..16].copy_from_slice(&96_u32.to_ne_bytes());
                for (at, pointer) in [
                    (16, data.as_mut_ptr() as usize),
                    (24, command.as_ptr() as usize),
                    (32, sense.as_mut_ptr() as usize),
                ] {
                    header[at..at + 8].copy_from_slice(&pointer.to_ne_bytes());
                }
                header[40..44].copy_from_slice(&3000_u32.to_ne_bytes());
                sys!(SYS_ioctl, fd, 0x2285, header.as_mut_ptr())
            });
        }
        let mut room = [0_u64; 256];
        // SG_GET_VERSION_NUM and its neighbours, SCSI_IOCTL_*.
        for request in (0x2270..0x228a_u32).filter(|one| *one != 0x2285).chain([1, 2, 0x5382, 0x5385, 0x5386])
        {
            let _ = sys!(SYS_ioctl, fd, request, room.as_mut_ptr());
        }
    }
    for (file, value) in [
        ("/sys/class/scsi_host/host0/scan", "- - -"),
        ("/sys/class/scsi_host/host0/scan", "junk"),
        ("/proc/scsi/scsi", "junk"),
        ("/sys/bus/pseudo/drivers/scsi_debug/every_nth", "0"),
    ] {
        it.set(format!("{file} := {value}"), file, value.as_bytes());
    }
}
