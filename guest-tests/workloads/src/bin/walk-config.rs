//! configfs: every subsystem that the kernel has. Directories are made with names that some subsystem takes, their
//! attributes read and written back, and all of it taken away again.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use workloads::exercise::{self, Exercise};
use workloads::places;
use workloads::walk::{self, FileWalk};

const ROOT: &str = "/tmp/config";

/// `pp`: anything; a number: namespaces, ports, functions; the others are a kind with a name.
const NAMES: [&str; 8] = ["pp", "1", "c.1", "0x409", "acm.pp", "ncm.pp", "fileio_0", "iqn.2020-01.org.pp:1"];

const DEPTH: usize = 3;
/// Directories made in one subsystem.
const MADE: usize = 25;

/// Attributes that start what cannot be stopped from here, or connect the guest to the outside.
const KEEP: [&str; 5] = ["/power", "/enable", "/enabled", "/UDC", "/live"];

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    if it.step("mount", || places::mount("configfs", ROOT, "")).is_none() {
        return;
    }
    let mut subsystems: Vec<_> = fs::read_dir(ROOT)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    subsystems.sort();
    for subsystem in &subsystems {
        let mut made = Vec::new();
        fill(it, subsystem, DEPTH, &mut made);
        let how = FileWalk { keep: &KEEP, write: true, ..FileWalk::default() };
        walk::walk(it, subsystem, how);
        for directory in made.iter().rev() {
            it.step(format!("rmdir {}", shown(directory)), || fs::remove_dir(directory));
        }
    }
    it.step("mkdir at the root", || fs::create_dir(format!("{ROOT}/pp")));
    it.step("rmdir of a subsystem", || match subsystems.first() {
        Some(first) => fs::remove_dir(first),
        None => Err(io::Error::from_raw_os_error(libc::ENOENT)),
    });
    null_blk(it);
    nvme_target(it);
    it.step("unmount", || places::unmount(ROOT));
}

fn shown(path: &Path) -> String {
    path.strip_prefix(ROOT).unwrap_or(path).display().to_string()
}

fn fill(it: &mut Exercise, directory: &Path, depth: usize, made: &mut Vec<PathBuf>) {
    if depth == 0 || made.len() >= MADE {
        return;
    }
    for name in NAMES {
        let path = directory.join(name);
        // Most names are refused: that is no result, as long as some are taken.
        if fs::create_dir(&path).is_ok() {
            it.step(format!("mkdir {}", shown(&path)), || Ok(()));
            it.step(format!("mkdir {} again", shown(&path)), || fs::create_dir(&path));
            made.push(path);
        }
    }
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut below: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    below.sort();
    for path in below {
        fill(it, &path, depth - 1, made);
    }
}

fn set(it: &mut Exercise, directory: &Path, settings: &[(&str, &str)]) {
    for (file, value) in settings {
        it.step(format!("{} := {value}", shown(&directory.join(file))), || {
            walk::write(directory.join(file), value.as_bytes())
        });
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
    for directory in [host, port.join("referrals/r"), port.join("ana_groups/2"), port, namespace, subsystem] {
        it.step(format!("rmdir {}", shown(&directory)), || fs::remove_dir(&directory));
    }
    let _ = fs::remove_file("/tmp/nvmet-file");
}
