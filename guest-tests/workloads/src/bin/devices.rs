//! Devices that are software: tunnels to user space, input, clocks, pins, buffers that are shared, the host's side of virtual devices, and tables of an IOMMU. What is
//! there is opened, set up, used and taken away.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use workloads::device::{ask, number, open};
use workloads::exercise::{self, Exercise};
use workloads::sys::{Impatience, descriptor, in_child};
use workloads::walk::{self, FileWalk};
use workloads::{places, sys};

const LIMIT: Duration = Duration::from_secs(10);

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    it.step("own network", places::own_network);
    tunnels(it);
    input(it);
    hid(it);
    simple(it);
    buffers(it);
    virtual_host(it);
    iommu(it);
}

/// TUNSETIFF with each flag, packets in and out, a second queue, a filter, an offload.
fn tunnels(it: &mut Exercise) {
    for (name, flags) in [
        ("tun", 1_u16),
        ("tap", 2),
        ("tap without information", 0x1002),
        ("tap with a header", 0x5002),
        ("tun of queues", 0x1101),
        ("tap of fragments", 0x1032),
        ("of no kind", 7),
        ("tap for one", 0x9002),
    ] {
        it.step(format!("tunnel: {name}"), || {
            let device = open("/dev/net/tun")?;
            let mut request = [0_u8; 40];
            request[..3].copy_from_slice(b"tt0");
            request[16..18].copy_from_slice(&flags.to_ne_bytes());
            ask(&device, 0x4004_54ca, request.as_mut_ptr())?;
            let again = ask(&device, 0x4004_54ca, request.as_mut_ptr());
            if flags & 0x100 != 0 {
                let other = open("/dev/net/tun")?;
                ask(&other, 0x4004_54ca, request.as_mut_ptr())?;
                // TUNSETQUEUE: detach and attach.
                for state in [0x400_u16, 0x200, 0x200] {
                    request[16..18].copy_from_slice(&state.to_ne_bytes());
                    let _ = ask(&other, 0x4004_54d9, request.as_mut_ptr());
                }
            }
            let _ = workloads::tools::run("ip link set tt0 up");
            let _ = workloads::tools::run("ip addr add 10.8.8.1/24 dev tt0");
            let _ = std::net::UdpSocket::bind("0.0.0.0:0")
                .and_then(|socket| socket.send_to(&[7; 300], "10.8.8.2:9"));
            let mut room = [0_u8; 2048];
            for _ in 0..4 {
                let _ = sys!(SYS_read, device.as_raw_fd(), room.as_mut_ptr(), 2048);
            }
            // An echo request to it, behind what may stand before a packet; short and odd ones.
            let mut packet = vec![0_u8; 24];
            packet.extend_from_slice(&[
                0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 8, 8, 2, 10, 8, 8, 1, 8, 0, 0xf7, 0xff, 0, 0, 0,
                0,
            ]);
            for from in [24, 20, 14, 10, 0, 40] {
                let part = packet.get(from..).unwrap_or_default();
                let _ = sys!(SYS_write, device.as_raw_fd(), part.as_ptr(), part.len());
            }
            // TUNGETFEATURES, TUNGETIFF, TUNGETSNDBUF, TUNSETSNDBUF, TUNGETVNETHDRSZ, TUNSETVNETHDRSZ, TUNSETTXFILTER.
            for request in [
                0x8004_54cf_u32,
                0x8004_54d2,
                0x8004_54d3,
                0x4004_54d4,
                0x8004_54d7,
                0x4004_54d8,
                0x4004_54d1,
                0x8927,
            ] {
                let _ = ask(&device, request, room.as_mut_ptr());
            }
            // TUNSETOFFLOAD, TUNSETOWNER, TUNSETGROUP, TUNSETLINK, TUNSETPERSIST there and back, TUNSETDEBUG, TUNSETCARRIER.
            for (request, value) in [
                (0x4004_54d0_u32, 0x1f),
                (0x4004_54d0, 0xffff),
                (0x4004_54cc, 0),
                (0x4004_54ce, 0),
                (0x4004_54cd, 1),
                (0x4004_54cb, 1),
                (0x4004_54cb, 0),
                (0x4004_54c9, 0),
            ] {
                let _ = number(&device, request, value);
            }
            again
        });
    }
}

/// A keyboard with more than that, which is made, written and read, and one that is not whole.
fn input(it: &mut Exercise) {
    it.step("input device", || {
        let device = open("/dev/uinput")?;
        // UI_SET_EVBIT of each kind, UI_SET_KEYBIT, RELBIT, ABSBIT, MSCBIT, LEDBIT, SNDBIT, FFBIT, SWBIT, PROPBIT.
        for kind in [0, 1, 2, 3, 4, 5, 0x11, 0x12, 0x14, 0x15] {
            number(&device, 0x4004_5564, kind)?;
        }
        for (request, bit) in [
            (0x4004_5565_u32, 30),
            (0x4004_5565, 0x110),
            (0x4004_5566, 0),
            (0x4004_5567, 0),
            (0x4004_5568, 4),
            (0x4004_5569, 0),
            (0x4004_556a, 1),
            (0x4004_556b, 0x50),
            (0x4004_556d, 0),
            (0x4004_556e, 0),
        ] {
            number(&device, request, bit)?;
        }
        number(&device, 0x4004_5565, 99_999).err();
        // struct uinput_setup; UI_ABS_SETUP; UI_DEV_CREATE.
        let mut setup = [0_u8; 92];
        (setup[0], setup[2], setup[4]) = (3, 1, 1);
        setup[8..10].copy_from_slice(b"pp");
        setup[88] = 4;
        let mut axis = [0_i32; 7];
        axis[3] = 100;
        let _ = ask(&device, 0x401c_5504, axis.as_mut_ptr());
        ask(&device, 0x405c_5503, setup.as_mut_ptr())?;
        number(&device, 0x5501, 0)?;
        number(&device, 0x5501, 0).err();
        let mut name = [0_u8; 64];
        let _ = ask(&device, 0x8040_552c, name.as_mut_ptr());
        // struct input_event: time, type, code, value.
        for (kind, code, value) in [
            (1_u16, 30_u16, 1_i32),
            (2, 0, 5),
            (3, 0, 50),
            (4, 4, 7),
            (0, 0, 0),
            (1, 30, 0),
            (0, 0, 0),
            (9, 9, 9),
        ] {
            let mut event = [0_u8; 24];
            event[16..18].copy_from_slice(&kind.to_ne_bytes());
            event[18..20].copy_from_slice(&code.to_ne_bytes());
            event[20..24].copy_from_slice(&value.to_ne_bytes());
            let _ = sys!(SYS_write, device.as_raw_fd(), event.as_ptr(), 24);
        }
        events();
        number(&device, 0x5502, 0)?;
        number(&device, 0x5502, 0)
    });
    it.step("input device that is not whole", || number(&open("/dev/uinput")?, 0x5501, 0));
}

/// Each node of an input device: what it can do, and what is to be read.
fn events() {
    let mut room = [0_u8; 512];
    for number_of in 0..4 {
        let Ok(node) = open(&format!("/dev/input/event{number_of}")) else { continue };
        // EVIOCGVERSION, EVIOCGID, EVIOCGREP, EVIOCSREP, EVIOCGKEYCODE, EVIOCGNAME and its neighbours, EVIOCGBIT, EVIOCGABS.
        for request in [
            0x8004_4501_u32,
            0x8008_4502,
            0x8008_4503,
            0x4008_4503,
            0x8008_4504,
            0x8040_4506,
            0x8040_4507,
            0x8040_4508,
            0x8040_4509,
            0x8040_450a,
            0x8040_4518,
            0x8040_4519,
            0x8040_4520,
            0x8040_4521,
            0x8018_4540,
            0x4018_45c0,
            0x8010_4592,
            0x4004_45a0,
            0x4030_4580,
        ] {
            let _ = ask(&node, request, room.as_mut_ptr());
        }
        for (request, value) in [(0x4004_4590_u32, 1), (0x4004_4590, 1), (0x4004_4590, 0), (0x4004_4591, 0)] {
            let _ = number(&node, request, value);
        }
        let _ = sys!(SYS_read, node.as_raw_fd(), room.as_mut_ptr(), 512);
        let _ = sys!(SYS_write, node.as_raw_fd(), room.as_ptr(), 24);
    }
}

/// struct uhid_event: UHID_CREATE2 with a descriptor of a mouse, input, UHID_DESTROY.
fn hid(it: &mut Exercise) {
    let report: [u8; 50] = [
        0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00, 0x05, 0x09, 0x19, 0x01, 0x29, 0x03, 0x15,
        0x00, 0x25, 0x01, 0x95, 0x03, 0x75, 0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x05, 0x81, 0x01, 0x05, 0x01,
        0x09, 0x30, 0x09, 0x31, 0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x02, 0x81, 0x06, 0xc0, 0xc0,
    ];
    for (name, length) in [("whole", report.len()), ("cut", 20), ("empty", 0)] {
        it.step(format!("HID device, {name}"), || {
            let device = open("/dev/uhid")?;
            let mut event = vec![0_u8; 4380];
            event[0] = 11;
            event[4..6].copy_from_slice(b"pp");
            event[260..262].copy_from_slice(&(length as u16).to_ne_bytes());
            event[262] = 3;
            event[280..280 + report.len()].copy_from_slice(&report);
            let made = sys!(SYS_write, device.as_raw_fd(), event.as_ptr(), event.len());
            std::thread::sleep(Duration::from_millis(20));
            events();
            let mut input = vec![0_u8; 4380];
            (input[0], input[4], input[6]) = (12, 3, 1);
            let _ = sys!(SYS_write, device.as_raw_fd(), input.as_ptr(), input.len());
            let mut room = vec![0_u8; 4400];
            let _ = sys!(SYS_read, device.as_raw_fd(), room.as_mut_ptr(), room.len());
            let gone = [1_u32];
            let _ = sys!(SYS_write, device.as_raw_fd(), gone.as_ptr(), 4);
            made
        });
    }
}

/// Nodes that answer a few requests: opened, asked with room and with nowhere, read. A watchdog is left alone.
fn simple(it: &mut Exercise) {
    let nodes: [(&str, &[u32]); 9] = [
        (
            "/dev/rtc0",
            &[0x8024_7009, 0x7003, 0x7004, 0x8008_700b, 0x4008_700c, 0x8028_7010, 0x4028_700f, 0x8010_7013],
        ),
        (
            "/dev/ptp0",
            &[
                0x8050_3d01,
                0x8050_3d0a,
                0x4010_3d02,
                0x4038_3d03,
                0x4004_3d04,
                0x4340_3d05,
                0xc008_3d06,
                0xc040_3d08,
                0xc4c0_3d09,
            ],
        ),
        ("/dev/pps0", &[0x8008_70a1, 0x4008_70a2, 0x8008_70a3, 0xc008_70a4]),
        ("/dev/gpiochip0", &[0x8044_b401, 0xc100_b405, 0xc250_b407, 0xc048_b402, 0xc16c_b403]),
        (
            "/dev/mtd0",
            &[
                0x8020_4d01,
                0x4008_4d02,
                0xc010_4d03,
                0x4008_4d05,
                0x4008_4d06,
                0x8008_4d17,
                0x4008_4d0b,
                0x8010_4d12,
                0x8004_4d07,
            ],
        ),
        ("/dev/i2c-0", &[0x0701, 0x0702, 0x0703, 0x0705, 0x0707, 0x0720]),
        ("/dev/rfkill", &[0x5201]),
        ("/dev/snapshot", &[0x3301]),
        ("/dev/userio", &[]),
    ];
    for (node, requests) in nodes {
        it.step(format!("node {node}"), || {
            let device = open(node)?;
            let mut room = [0_u8; 1300];
            for request in requests {
                room.fill(0);
                let _ = ask(&device, *request, room.as_mut_ptr());
                room.fill(1);
                let _ = ask(&device, *request, room.as_mut_ptr());
                let _ = ask(&device, *request, 8 as *mut u8);
            }
            let _impatience = Impatience::after(Duration::from_millis(100));
            let _ = sys!(SYS_read, device.as_raw_fd(), room.as_mut_ptr(), 64);
            let one = libc::pollfd { fd: device.as_raw_fd(), events: 7, revents: 0 };
            let _ = sys::poll(&mut [one], 0);
            Ok(())
        });
    }
}

/// Memory that is shared by devices: of a heap, of a file, and fences of software.
fn buffers(it: &mut Exercise) {
    it.step("buffer of a heap", || {
        let heap = open("/dev/dma_heap/system")?;
        // struct dma_heap_allocation_data: length, descriptor, flags.
        let mut wanted = [8192_u64, (libc::O_RDWR | libc::O_CLOEXEC) as u64 * (1 << 32), 0];
        ask(&heap, 0xc018_4800, wanted.as_mut_ptr())?;
        let buffer = descriptor(Ok((wanted[1] & 0xffff_ffff) as i64))?;
        use_buffer(&buffer)?;
        for bad in [[0_u64, 0, 0], [u64::MAX, 0, 0], [4096, 0xffff << 32, 9]] {
            let mut bad = bad;
            let _ = ask(&heap, 0xc018_4800, bad.as_mut_ptr());
        }
        Ok(())
    });
    it.step("buffer of a file", || {
        let device = open("/dev/udmabuf")?;
        let memory = descriptor(sys!(SYS_memfd_create, c"shared".as_ptr(), 2))?;
        sys!(SYS_ftruncate, memory.as_raw_fd(), 16384)?;
        // struct udmabuf_create: descriptor and flags, offset, size.
        let mut wanted = [u64::from(memory.as_raw_fd().unsigned_abs()), 0, 8192];
        ask(&device, 0x4018_7542, wanted.as_mut_ptr()).err();
        sys!(SYS_fcntl, memory.as_raw_fd(), libc::F_ADD_SEALS, 2)?;
        let buffer = descriptor(ask(&device, 0x4018_7542, wanted.as_mut_ptr()))?;
        use_buffer(&buffer)?;
        wanted[1] = 5;
        ask(&device, 0x4018_7542, wanted.as_mut_ptr())
    });
    it.step("fences of software", || {
        let timeline = open("/sys/kernel/debug/sync/sw_sync")?;
        // SW_SYNC_IOC_CREATE_FENCE: value, name, descriptor.
        let mut fence = [0_u32; 10];
        fence[0] = 3;
        ask(&timeline, 0xc028_5700, fence.as_mut_ptr())?;
        let fence = descriptor(Ok(i64::from(fence[9])))?;
        let mut information = [0_u8; 56];
        let _ = ask(&fence, 0xc038_3e04, information.as_mut_ptr());
        let mut step = 5_u32;
        ask(&timeline, 0x4004_5701, &raw mut step)?;
        let one = libc::pollfd { fd: fence.as_raw_fd(), events: 1, revents: 0 };
        sys::poll(&mut [one], 0)
    });
}

fn use_buffer(buffer: &OwnedFd) -> io::Result<()> {
    let at = sys!(SYS_mmap, 0, 8192, 3, libc::MAP_SHARED, buffer.as_raw_fd(), 0)?;
    // DMA_BUF_IOCTL_SYNC of each kind, DMA_BUF_SET_NAME, the sync files.
    for flags in [1_u64, 2, 3, 5, 6, 7, 99] {
        let mut flags = flags;
        let _ = ask(buffer, 0x4008_6200, &raw mut flags);
    }
    let _ = ask(buffer, 0x4008_6201, c"pp".as_ptr().cast_mut());
    let mut sync = [0_u32, 0];
    for request in [0xc008_6202_u32, 0x4008_6203] {
        let _ = ask(buffer, request, sync.as_mut_ptr());
    }
    let _ = sys!(SYS_lseek, buffer.as_raw_fd(), 0, 2);
    let _ = fs::read(format!("/proc/self/fdinfo/{}", buffer.as_raw_fd()));
    let _ = fs::read("/sys/kernel/debug/dma_buf/bufinfo");
    sys!(SYS_munmap, at, 8192).map(drop)
}

/// What a monitor of virtual machines does: an owner, a table of memory, rings.
fn virtual_host(it: &mut Exercise) {
    for node in ["/dev/vhost-net", "/dev/vhost-vsock", "/dev/vhost-scsi", "/dev/vduse/control"] {
        it.step(format!("host's side of {node}"), || {
            in_child(LIMIT, || {
                let device = open(node)?;
                let mut features = 0_u64;
                // VHOST_GET_FEATURES, SET_OWNER, SET_FEATURES.
                let _ = ask(&device, 0x8008_af00, &raw mut features);
                let owned = number(&device, 0xaf01, 0);
                let _ = number(&device, 0xaf01, 0);
                let _ = ask(&device, 0x4008_af00, &raw mut features);
                let memory = vec![0_u8; 65536];
                let at = memory.as_ptr() as u64;
                // struct vhost_memory with one region.
                let mut table = [1_u64, 0, 65536, at, 0];
                let _ = ask(&device, 0x4008_af03, table.as_mut_ptr());
                let mut bad = [u64::MAX, 0, 1, 1, 1];
                let _ = ask(&device, 0x4008_af03, bad.as_mut_ptr());
                let base = (at + 4095) & !4095;
                let event = descriptor(sys!(SYS_eventfd2, 0, 0))?;
                for ring in 0..2_u32 {
                    let mut size = [ring, 16];
                    let _ = ask(&device, 0x4008_af10, size.as_mut_ptr());
                    let mut start = [ring, 0];
                    let _ = ask(&device, 0x4008_af12, start.as_mut_ptr());
                    let mut places = [u64::from(ring), base, base + 8192, base + 4096, 0];
                    let _ = ask(&device, 0x4028_af11, places.as_mut_ptr());
                    for request in [0x4008_af20_u32, 0x4008_af21, 0x4008_af22] {
                        let mut file = [ring, event.as_raw_fd().unsigned_abs()];
                        let _ = ask(&device, request, file.as_mut_ptr());
                    }
                    // VHOST_NET_SET_BACKEND of nothing; VHOST_GET_VRING_BASE.
                    let mut file = [ring, u32::MAX];
                    let _ = ask(&device, 0x4008_af30, file.as_mut_ptr());
                    let _ = ask(&device, 0xc008_af12, start.as_mut_ptr());
                }
                // VHOST_VSOCK_SET_GUEST_CID, SET_RUNNING there and back; VHOST_SET_LOG_BASE, GET_BACKEND_FEATURES.
                let mut guest = 77_u64;
                let _ = ask(&device, 0x4008_af60, &raw mut guest);
                for value in [1_u32, 0] {
                    let mut value = value;
                    let _ = ask(&device, 0x4004_af61, &raw mut value);
                }
                let _ = ask(&device, 0x8008_af26, &raw mut guest);
                let _ = number(&device, 0xaf02, 0);
                owned.map(drop)
            })
        });
    }
}

/// struct iommu_*: each begins with its size. Spaces of addresses, mapped, copied, unmapped, destroyed; and every number.
fn iommu(it: &mut Exercise) {
    let Ok(device) = open("/dev/iommu") else {
        it.fail("iommu", &io::Error::from_raw_os_error(libc::ENOENT));
        return;
    };
    let memory = vec![0_u8; 65536];
    let at = (memory.as_ptr() as u64 + 4095) & !4095;
    it.step("space of addresses", || {
        let mut made = [12_u32, 0, 0];
        ask(&device, 0x3b81, made.as_mut_ptr())?;
        let space = u64::from(made[2]);
        // IOMMU_IOAS_MAP: size, flags, space, 0, address, length, place.
        for (flags, length, place) in
            [(7_u64, 8192, 0x10_0000), (6, 4096, 0), (7, 8192, 0x10_0000), (0, 1, 1), (7, u64::MAX, 0)]
        {
            let mut map = [40 | flags << 32, space, at, length, place];
            let _ = ask(&device, 0x3b85, map.as_mut_ptr());
        }
        let mut ranges = [32 | space << 32, 4, memory.as_ptr() as u64, 0];
        let _ = ask(&device, 0x3b84, ranges.as_mut_ptr());
        let mut allowed = [24 | space << 32, 0, 0];
        let _ = ask(&device, 0x3b82, allowed.as_mut_ptr());
        let mut copy = [48 | 7 << 32, space | space << 32, 4096, 0x20_0000, 0x10_0000, 0];
        let _ = ask(&device, 0x3b83, copy.as_mut_ptr());
        for (place, length) in [(0x10_0000_u64, 8192_u64), (0x10_0000, 8192), (0, u64::MAX)] {
            let mut unmap = [24 | space << 32, place, length];
            let _ = ask(&device, 0x3b86, unmap.as_mut_ptr());
        }
        let mut gone = [8_u32, made[2]];
        ask(&device, 0x3b80, gone.as_mut_ptr())?;
        ask(&device, 0x3b80, gone.as_mut_ptr())
    });
    for request in 0x3b80..0x3b96_u32 {
        let mut room = [0_u64; 16];
        for size in [0_u64, 8, 128, 4096] {
            room[0] = size;
            let _ = ask(&device, request, room.as_mut_ptr());
        }
    }
    walk::walk(it, "/sys/kernel/debug/iommu", FileWalk::default());
}
