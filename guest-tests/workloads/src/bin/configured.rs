//! What is made by configfs, set up so that it works, used, and taken away while it is used and after: null block devices with
//! faults, targets of NVMe and SCSI with a disk that is this machine's own, a USB gadget on a controller that is none, pins.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use workloads::disks::{ask_device, use_device};
use workloads::exercise::{self, Exercise};
use workloads::places;
use workloads::sys::in_child;
use workloads::walk;

const ROOT: &str = "/tmp/config";
const LIMIT: Duration = Duration::from_secs(10);

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    if it.step("mount", || places::mount("configfs", ROOT, "")).is_none() {
        return;
    }
    null_blk(it);
    faults(it);
    nvme_target(it);
    scsi_target(it);
    gadget(it);
    pins(it);
    it.step("unmount", || places::unmount(ROOT));
}

fn shown(path: &Path) -> String {
    path.strip_prefix(ROOT).unwrap_or(path).display().to_string()
}

fn set(it: &mut Exercise, directory: &Path, settings: &[(&str, &str)]) {
    for (file, value) in settings {
        let path = directory.join(file);
        it.set(format!("{} := {value}", shown(&path)), &path, value.as_bytes());
    }
}

fn null_blk(it: &mut Exercise) {
    let device = Path::new(ROOT).join("nullb/ppblk");
    if it.step("a null block device", || fs::create_dir(&device)).is_none() {
        return;
    }
    set(
        it,
        &device,
        &[
            ("size", "64"),
            ("memory_backed", "1"),
            ("blocksize", "4096"),
            ("blocksize", "7"),
            ("blocksize", "512"),
            ("submit_queues", "2"),
            ("badblocks", "+10-20"),
            ("badblocks", "-10-20"),
            ("badblocks", "junk"),
            ("cache_size", "1"),
            ("discard", "1"),
            ("index", "9"),
            ("power", "1"),
            ("power", "1"),
            ("size", "32"),
            ("mbps", "1000"),
        ],
    );
    it.step("write and read it", || {
        let node =
            ["/dev/ppblk", "/dev/nullb9", "/dev/nullb1"].into_iter().find(|path| Path::new(path).exists());
        let node = node.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
        let file = fs::OpenOptions::new().read(true).write(true).open(node)?;
        std::os::unix::fs::FileExt::write_all_at(&file, &[7; 65536], 4096)?;
        file.sync_all()?;
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut [0; 4096], 8192)
    });
    set(it, &device, &[("power", "0"), ("power", "0")]);
    it.step("it goes", || fs::remove_dir(&device));
    let zoned = Path::new(ROOT).join("nullb/ppzone");
    it.step("a zoned one", || fs::create_dir(&zoned));
    set(
        it,
        &zoned,
        &[
            ("size", "64"),
            ("zoned", "1"),
            ("zone_size", "4"),
            ("zone_nr_conv", "2"),
            ("zone_max_open", "4"),
            ("power", "1"),
            ("zone_offline", "0x10000"),
        ],
    );
    it.step("it goes while it is on", || fs::remove_dir(&zoned));
}

fn nvme_target(it: &mut Exercise) {
    let root = Path::new(ROOT).join("nvmet");
    let subsystem = root.join("subsystems/ppsub");
    if !root.is_dir() || it.step("nvmet subsystem", || fs::create_dir(&subsystem)).is_none() {
        return;
    }
    set(
        it,
        &subsystem,
        &[
            ("attr_allow_any_host", "1"),
            ("attr_serial", "pp"),
            ("attr_model", "pp"),
            ("attr_version", "1.3"),
            ("attr_cntlid_min", "5"),
            ("attr_cntlid_max", "1"),
        ],
    );
    let namespace = subsystem.join("namespaces/3");
    it.step("nvmet namespace", || fs::create_dir(&namespace));
    it.step("nvmet namespace 0", || fs::create_dir(subsystem.join("namespaces/0")));
    let _ = fs::write("/tmp/nvmet-file", vec![0; 1 << 20]);
    set(
        it,
        &namespace,
        &[
            ("enable", "1"),
            ("device_path", "/tmp/nvmet-none"),
            ("enable", "1"),
            ("device_path", "/tmp/nvmet-file"),
            ("device_path", "/tmp/nvmet-file"),
            ("device_uuid", "01234567-89ab-cdef-0123-456789abcdef"),
            ("device_nguid", "junk"),
            ("ana_grpid", "1"),
            ("ana_grpid", "999"),
            ("buffered_io", "1"),
            ("enable", "1"),
            ("device_path", "/tmp/nvmet-file"),
            ("buffered_io", "0"),
            ("revalidate_size", "1"),
            ("enable", "0"),
        ],
    );
    let port = root.join("ports/7");
    it.step("nvmet port", || fs::create_dir(&port));
    set(
        it,
        &port,
        &[
            ("addr_trtype", "junk"),
            ("addr_trtype", "loop"),
            ("addr_adrfam", "ipv4"),
            ("addr_traddr", "127.0.0.1"),
            ("addr_trsvcid", "4420"),
            ("addr_treq", "not specified"),
            ("param_inline_data_size", "4096"),
        ],
    );
    let link = port.join("subsystems/ppsub");
    it.step("nvmet link", || symlink(&subsystem, &link));
    it.step("nvmet link again", || symlink(&subsystem, &link));
    connect(it, &namespace);
    it.step("nvmet ANA group", || fs::create_dir(port.join("ana_groups/2")));
    set(it, &port, &[("ana_groups/2/ana_state", "optimized"), ("ana_groups/2/ana_state", "junk")]);
    it.step("nvmet referral", || fs::create_dir(port.join("referrals/r")));
    let host = root.join("hosts/pphost");
    it.step("nvmet host", || fs::create_dir(&host));
    it.step("nvmet allowed host", || symlink(&host, subsystem.join("allowed_hosts/pphost")));
    it.step("no such host", || fs::remove_file(subsystem.join("allowed_hosts/none")));
    it.step("subsystem in use", || fs::remove_dir(&subsystem));
    let _ = fs::remove_file(subsystem.join("allowed_hosts/pphost"));
    it.step("unlink", || fs::remove_file(&link));
    // What nothing is linked to any more.
    for directory in [host, port.join("referrals/r"), port.join("ana_groups/2"), port, namespace, subsystem] {
        it.step(format!("rmdir {}", shown(&directory)), || fs::remove_dir(&directory));
    }
    let _ = fs::remove_file("/tmp/nvmet-file");
}

/// The faults of a null block device are groups of its own: made with it, set, and gone with it, again and again.
fn faults(it: &mut Exercise) {
    let device = Path::new(ROOT).join("nullb/ppfault");
    for round in 0..4 {
        it.step(format!("a null block device, {round}"), || {
            fs::create_dir(&device)?;
            for group in ["timeout_inject", "requeue_inject", "init_hctx_fault_inject"] {
                for (file, value) in [
                    ("probability", "100"),
                    ("times", "1"),
                    ("interval", "1"),
                    ("verbose", "0"),
                    ("times", "x"),
                ] {
                    let _ = walk::write(device.join(group).join(file), value.as_bytes());
                    let _ = fs::read(device.join(group).join(file));
                }
            }
            if round == 3 {
                // Its queues cannot be made once.
                walk::write(device.join("size"), b"8")?;
                let _ = walk::write(device.join("power"), b"1");
                let _ = walk::write(device.join("power"), b"0");
            }
            fs::remove_dir(&device)
        });
    }
}

/// The host's side of the NVMe target, where it is a disk.
fn connect(it: &mut Exercise, namespace: &Path) {
    let _ = walk::write(namespace.join("enable"), b"1");
    for options in [
        "nqn=ppsub,transport=loop",
        "nqn=ppsub,transport=loop,nr_io_queues=1,hostnqn=nqn.2020-01.org.pp:host,ctrl_loss_tmo=0",
        "nqn=none,transport=loop",
        "junk=1",
        "transport=loop",
    ] {
        it.step(format!("connect {options}"), || {
            in_child(LIMIT, || {
                use std::io::Write;
                let mut fabrics = fs::OpenOptions::new().read(true).write(true).open("/dev/nvme-fabrics")?;
                fabrics.write_all(options.as_bytes())
            })
        });
    }
    std::thread::sleep(Duration::from_millis(100));
    let mut controllers: Vec<_> =
        fs::read_dir("/sys/class/nvme").into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    controllers.sort();
    for controller in controllers {
        let is_ours =
            fs::read_to_string(controller.join("subsysnqn")).is_ok_and(|name| name.trim() == "ppsub");
        if !is_ours {
            continue;
        }
        for node in ["/dev/nvme0n1", "/dev/nvme1n1"] {
            let _ = in_child(LIMIT, || use_device(node));
            ask_device(node);
        }
        let _ = walk::write(controller.join("rescan_controller"), b"1");
        let _ = walk::write(controller.join("reset_controller"), b"1");
        it.step("disconnect", || in_child(LIMIT, || walk::write(controller.join("delete_controller"), b"1")));
    }
    let _ = walk::write(namespace.join("enable"), b"0");
}

/// A file as a disk behind a SCSI bus that is none.
fn scsi_target(it: &mut Exercise) {
    let root = Path::new(ROOT).join("target");
    let (hba, device) = (root.join("core/fileio_7"), root.join("core/fileio_7/pp"));
    if it.step("target of SCSI", || fs::create_dir_all(&device)).is_none() {
        return;
    }
    let _ = fs::write("/tmp/target-file", vec![0; 4 << 20]);
    set(
        it,
        &device,
        &[
            ("enable", "1"),
            ("control", "junk=1"),
            ("control", "fd_dev_name=/tmp/target-file,fd_dev_size=4194304"),
            ("enable", "1"),
            ("enable", "1"),
            ("wwn/vpd_unit_serial", "pp"),
            ("attrib/block_size", "4096"),
            ("attrib/emulate_tpu", "1"),
            ("attrib/emulate_ua_intlck_ctrl", "9"),
            ("alua/default_tg_pt_gp/alua_access_state", "0"),
            ("alua_lu_gp", "none"),
        ],
    );
    let target = root.join("loopback/naa.6001405c3214b06a");
    let group = target.join("tpgt_1");
    let lun = group.join("lun/lun_0");
    if it.step("its bus", || fs::create_dir_all(&group)).is_some() {
        set(
            it,
            &group,
            &[
                ("nexus", "junk"),
                ("nexus", "naa.6001405c3214b06b"),
                ("transport_status", "offline"),
                ("transport_status", "online"),
            ],
        );
        it.step("its unit", || fs::create_dir(&lun).and_then(|()| symlink(&device, lun.join("pp"))));
        it.step("its unit again", || fs::create_dir(&lun));
        std::thread::sleep(Duration::from_millis(100));
        for node in ["/dev/sdb", "/dev/sdc"] {
            let _ = in_child(LIMIT, || use_device(node));
            ask_device(node);
        }
        it.step("a device in use", || fs::remove_dir(&device));
        it.step("no link", || fs::remove_file(lun.join("pp")));
        it.step("no unit", || fs::remove_dir(&lun));
        set(it, &group, &[("nexus", "NULL")]);
        for directory in [&group, &target] {
            it.step(format!("rmdir {}", shown(directory)), || fs::remove_dir(directory));
        }
        let _ = fs::remove_dir(root.join("loopback"));
    }
    it.step("no device", || fs::remove_dir(&device));
    it.step("no HBA", || fs::remove_dir(&hba));
    let _ = fs::remove_file("/tmp/target-file");
}

/// With a function of each kind that the kernel has, on the controller that there is.
fn gadget(it: &mut Exercise) {
    let root = Path::new(ROOT).join("usb_gadget/ppgadget");
    if it.step("gadget", || fs::create_dir(&root)).is_none() {
        return;
    }
    set(
        it,
        &root,
        &[
            ("idVendor", "0x1d6b"),
            ("idProduct", "0x0104"),
            ("bcdUSB", "0x0200"),
            ("bDeviceClass", "junk"),
            ("max_speed", "high-speed"),
            ("max_speed", "junk"),
        ],
    );
    let _ = fs::create_dir(root.join("strings/0x409"));
    set(it, &root.join("strings/0x409"), &[("serialnumber", "1"), ("manufacturer", "pp"), ("product", "pp")]);
    let configuration = root.join("configs/c.1");
    it.step("gadget's configuration", || fs::create_dir(&configuration));
    set(it, &configuration, &[("MaxPower", "250"), ("MaxPower", "junk"), ("bmAttributes", "0x80")]);
    let mut linked = Vec::new();
    for kind in [
        "acm",
        "gser",
        "obex",
        "ecm",
        "eem",
        "ncm",
        "rndis",
        "mass_storage",
        "hid",
        "midi",
        "uac1",
        "uac2",
        "uvc",
        "printer",
        "Loopback",
        "SourceSink",
        "no_such",
    ] {
        let function = root.join(format!("functions/{kind}.0"));
        if fs::create_dir(&function).is_err() {
            continue;
        }
        let link = configuration.join(kind);
        it.step(format!("gadget's function {kind}"), || symlink(&function, &link));
        linked.push((function, link));
    }
    let controllers = fs::read_dir("/sys/class/udc").into_iter().flatten().flatten();
    let mut controllers: Vec<_> =
        controllers.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    controllers.sort();
    it.step("gadget on no controller", || walk::write(root.join("UDC"), b"no-such"));
    if let Some(controller) = controllers.first() {
        it.step("gadget on a controller", || {
            in_child(LIMIT, || walk::write(root.join("UDC"), controller.as_bytes()))
        });
        std::thread::sleep(Duration::from_millis(300));
        let _ = fs::read("/sys/kernel/debug/usb/devices");
        it.step("gadget on it again", || walk::write(root.join("UDC"), controller.as_bytes()));
        it.step("gadget off", || in_child(LIMIT, || walk::write(root.join("UDC"), b"\n")));
    }
    it.step("gadget off again", || walk::write(root.join("UDC"), b"\n"));
    for (function, link) in linked {
        let _ = fs::remove_file(link);
        it.step(format!("rmdir {}", shown(&function)), || fs::remove_dir(&function));
    }
    for directory in [configuration, root.join("strings/0x409"), root] {
        it.step(format!("rmdir {}", shown(&directory)), || fs::remove_dir(&directory));
    }
}

/// A chip with a bank of pins, on and off.
fn pins(it: &mut Exercise) {
    let chip = Path::new(ROOT).join("gpio-sim/ppchip");
    if it.step("chip", || fs::create_dir(&chip)).is_none() {
        return;
    }
    let bank = chip.join("bank0");
    it.step("bank", || fs::create_dir(&bank));
    set(it, &bank, &[("num_lines", "8"), ("num_lines", "junk"), ("label", "pp")]);
    let (line, hog) = (bank.join("line2"), bank.join("line2/hog"));
    let _ = fs::create_dir(&line);
    set(it, &line, &[("name", "pp"), ("valid", "1")]);
    let _ = fs::create_dir(&hog);
    set(it, &hog, &[("name", "pphog"), ("direction", "output-high"), ("direction", "junk")]);
    set(it, &chip, &[("live", "1"), ("live", "1"), ("live", "junk")]);
    let node = fs::read_to_string(bank.join("chip_name")).unwrap_or_default();
    if let Ok(device) = workloads::device::open(&format!("/dev/{}", node.trim())) {
        // GPIO_GET_CHIPINFO, GPIO_V2_GET_LINEINFO, GPIO_V2_GET_LINE of line 3, GPIO_GET_LINEHANDLE.
        let mut room = [0_u8; 700];
        for request in [0x8044_b401_u32, 0xc100_b405, 0xc048_b402, 0xc16c_b403] {
            let _ = workloads::device::ask(&device, request, room.as_mut_ptr());
        }
        room.fill(0);
        room[0] = 3;
        // Its flags: an input; one line.
        room[288] = 4;
        room[560] = 1;
        let _ = workloads::device::ask(&device, 0xc250_b407, room.as_mut_ptr());
    }
    let _ = fs::read("/sys/kernel/debug/gpio");
    set(it, &chip, &[("live", "0"), ("live", "0")]);
    for directory in [hog, line, bank, chip] {
        it.step(format!("rmdir {}", shown(&directory)), || fs::remove_dir(&directory));
    }
}
