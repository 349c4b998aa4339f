//! The guest's userland: a shell, the network's and the file systems' tools and a stress test, out of packages of the
//! host's own Debian release, as an archive that an initramfs can begin with. apt fetches them and checks their signatures;
//! nothing of them is executed here. Which libraries a program needs is read out of its ELF header.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cpio::newc::Builder;
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, elf};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::build::guest::{CpioArchive, DIRECTORY, LINK, PLAIN, PROGRAM};
use crate::host::arch::Arch;
use crate::host::disk;
use crate::host::find_program;
use crate::host::process::must;
use crate::source::debian::{self, Apt};
use failure::{Context, Failure, Result};

/// The archive of one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Userland {
    pub path: PathBuf,
    /// SHA-256 of the archive.
    pub digest: String,
    pub bytes: u64,
    /// Such as `Debian busybox-static 1:1.35.0-4 (bookworm)`.
    pub packages: Vec<String>,
}

/// The packages that programs are taken from, and which. busybox goes by the names in [`APPLETS`].
const PROGRAMS: [(&str, &[&str]); 9] = [
    ("busybox-static", &["busybox"]),
    ("iproute2", &["ip", "tc", "bridge", "ss", "nstat", "devlink", "tipc", "rdma", "dcb", "vdpa"]),
    ("nftables", &["nft"]),
    ("e2fsprogs", &["mke2fs", "debugfs", "tune2fs"]),
    ("btrfs-progs", &["mkfs.btrfs", "btrfs"]),
    ("stress-ng", &["stress-ng"]),
    ("ethtool", &["ethtool"]),
    ("exfatprogs", &["mkfs.exfat"]),
    ("erofs-utils", &["mkfs.erofs"]),
];

/// Other names of a program.
const ALIASES: [(&str, &str); 4] =
    [("mkfs.ext4", "mke2fs"), ("mkfs.ext3", "mke2fs"), ("mkfs.ext2", "mke2fs"), ("sh", "busybox")];

/// What busybox is asked for by scripts. Those that another program has are that one's.
const APPLETS: &str = "[ [[ ash awk base64 basename blkdiscard blockdev cat chgrp chmod chown chroot chrt cksum clear cmp \
    comm cp cpio cut date dd df diff dirname dmesg du echo egrep env expand expr factor fallocate false fgrep find flock fold \
    free fsfreeze fstrim getopt grep groups gunzip gzip head hexdump hostname id ifconfig ionice ipcrm ipcs join kill \
    killall less link ln losetup ls lsof md5sum mkdir mkdosfs mkfifo mknod mkswap mktemp more mount \
    mountpoint mv nc nice nl nohup nproc nsenter od paste patch pgrep pidof ping ping6 pivot_root pkill pmap printenv printf \
    ps pwd readlink realpath renice reset rev rm rmdir route sed seq setarch setpriv setsid sha1sum sha256sum shuf \
    sleep sort split stat strings stty sum swapoff swapon switch_root sync sysctl tac tail tar taskset tee test time timeout \
    top touch tr traceroute true truncate tty tunctl udhcpc umount uname unexpand uniq unlink unshare unxz unzip uptime \
    usleep uudecode uuencode vconfig vi watch wc wget which who xargs xxd xz yes zcat";

const DIRECTORIES: [&str; 9] = ["bin", "etc", "lib", "lib64", "run", "tmp", "var", "root", "mnt"];

const FILES: [(&str, &str); 5] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("etc/protocols", "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6-icmp 58 IPv6-ICMP\nsctp 132 SCTP\n"),
    ("etc/services", "ssh 22/tcp\ndomain 53/udp\nhttp 80/tcp\n"),
];

const LINKS: [(&str, &str); 4] =
    [("sbin", "bin"), ("usr", "."), ("var/run", "../run"), ("etc/mtab", "/proc/self/mounts")];

/// Where the dynamic linker of Debian looks in any case.
const LIBRARIES: &str = "lib/x86_64-linux-gnu";

/// Every boot unpacks it into the guest's memory.
const BYTES_MAX: u64 = 60 << 20;

const UNPACK_DEADLINE: Duration = Duration::from_secs(120);

/// Changes whenever what is made of the packages does.
const RECIPE: &str = "1";

/// The userland for guests of this architecture, from `work` if it was made there before: the packages of another day are
/// not asked for. None: there is none for this architecture.
///
/// # Errors
/// When the host has no apt, the archive cannot be reached, or it lacks a package. A run can do without.
pub fn provide(work: &Path, arch: &Arch, progress: &dyn Fn(&str)) -> Result<Option<Userland>> {
    if !has_userland(arch) {
        return Ok(None);
    }
    let dir = work.join("userland");
    let archive = dir.join(format!("{}-{}.cpio", arch.name, recipe(&debian::host_codename())));
    if let Some(made) = made_before(&archive) {
        return Ok(Some(made));
    }
    for program in ["apt-get", "apt-cache", "dpkg-deb"] {
        if find_program(program).is_none() {
            return Err(Failure::infra(format!("no userland for the guests: this host has no {program}"))
                .next("run on Debian, or without the workloads that need it"));
        }
    }
    disk::create_dir(&dir)?;
    // Another run may do the same: each has its own directory, and the last one's archive stays.
    let scratch = tempfile::tempdir_in(&dir).or_infra(|| format!("make a directory in {}", dir.display()))?;
    let made = make(scratch.path(), &archive, progress).map_err(|failure| {
        failure.next("check the network and apt's configuration; runs go on without a userland until then")
    })?;
    let record = serde_json::to_vec_pretty(&made).or_infra(|| "write down the userland".to_owned())?;
    disk::write_aside(&beside(&archive), &record)?;
    Ok(Some(made))
}

fn has_userland(arch: &Arch) -> bool {
    arch.name == "x86_64" && arch.is_native()
}

/// A digest of all that decides what is in the archive but for the packages' versions.
fn recipe(codename: &str) -> String {
    let text =
        format!("{RECIPE} {codename} {PROGRAMS:?} {ALIASES:?} {APPLETS} {DIRECTORIES:?} {FILES:?} {LINKS:?}");
    disk::hex(&Sha256::digest(text))[..16].to_owned()
}

/// The record of an archive, next to it.
fn beside(archive: &Path) -> PathBuf {
    archive.with_extension("json")
}

/// None where it was not, or not to the end.
fn made_before(archive: &Path) -> Option<Userland> {
    let record = fs::read(beside(archive)).ok()?;
    let record: Userland = serde_json::from_slice(&record).ok()?;
    let userland = Userland { path: archive.to_path_buf(), ..record };
    (disk::sha256(archive).ok()? == userland.digest).then_some(userland)
}

fn make(scratch: &Path, archive: &Path, progress: &dyn Fn(&str)) -> Result<Userland> {
    progress("fetching the guests' userland from Debian");
    let apt = Apt::of_host(&scratch.join("apt"))?;
    let roots: Vec<&str> = PROGRAMS.iter().map(|(package, _)| *package).collect();
    let tree = scratch.join("tree");
    disk::create_dir(&tree)?;
    let mut packages = Vec::new();
    let is_wanted = |name: &String| roots.contains(&name.as_str()) || may_hold_libraries(name);
    let wanted: Vec<String> = apt.with_dependencies(&roots)?.into_iter().filter(is_wanted).collect();
    let mut done = 0;
    for name in &wanted {
        done += 1;
        progress(&format!("fetching the guests' userland from Debian: {done} of {}", wanted.len()));
        let package = apt.download(name, &apt.record(name)?)?;
        let unpack = duct::cmd("dpkg-deb", ["-x".as_ref(), package.file.as_os_str(), tree.as_os_str()]);
        must(&format!("dpkg-deb -x {name}"), unpack, &scratch.join("unpack.log"), UNPACK_DEADLINE)?;
        packages.push(package.origin);
    }
    let bytes = pack(&tree)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Failure::infra(format!("the userland has {} MiB", bytes.len() >> 20))
            .because(format!("guests have room for {} MiB", BYTES_MAX >> 20)));
    }
    disk::write_aside(archive, &bytes)?;
    Ok(Userland {
        path: archive.to_path_buf(),
        digest: disk::hex(&Sha256::digest(&bytes)),
        bytes: bytes.len() as u64,
        packages,
    })
}

fn may_hold_libraries(package: &str) -> bool {
    package.starts_with("lib") || package.starts_with("zlib")
}

/// The archive of all programs and the libraries that they need, from an unpacked tree.
fn pack(tree: &Path) -> Result<Vec<u8>> {
    let files = FoundFiles::below(tree);
    let mut archive = CpioArchive::after(Vec::new());
    for directory in DIRECTORIES.iter().chain([&LIBRARIES]) {
        archive.add(Builder::new(directory).mode(DIRECTORY).nlink(2), &[])?;
    }
    for (path, content) in FILES {
        archive.add(Builder::new(path).mode(PLAIN), content.as_bytes())?;
    }
    let mut names = BTreeSet::new();
    let mut needed = Needed::default();
    for name in PROGRAMS.iter().flat_map(|(_, names)| *names) {
        let path = files.program(name)?;
        let content = read(&path)?;
        needed.take(&path, &content)?;
        archive.add(Builder::new(&format!("bin/{name}")).mode(PROGRAM), &content)?;
        names.insert(*name);
    }
    let links = ALIASES.iter().copied().chain(APPLETS.split_whitespace().map(|applet| (applet, "busybox")));
    for (name, program) in links {
        if names.insert(name) {
            archive.add(Builder::new(&format!("bin/{name}")).mode(LINK), program.as_bytes())?;
        }
    }
    for (name, target) in LINKS {
        archive.add(Builder::new(name).mode(LINK), target.as_bytes())?;
    }
    while let Some(library) = needed.next() {
        let path = files.library(&library)?;
        let content = read(&path)?;
        needed.take(&path, &content)?;
        archive.add(Builder::new(&format!("{LIBRARIES}/{library}")).mode(PROGRAM), &content)?;
    }
    for interpreter in &needed.interpreters {
        let name = interpreter.rsplit('/').next().unwrap_or_default();
        let content = read(&files.library(name)?)?;
        archive.add(Builder::new(interpreter.trim_start_matches('/')).mode(PROGRAM), &content)?;
    }
    archive.finish()
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).or_infra(|| format!("read {}", path.display()))
}

/// FoundFiles of the tree by name. A link is what it leads to, if that is in the tree.
struct FoundFiles(BTreeMap<String, Vec<PathBuf>>);

impl FoundFiles {
    fn below(tree: &Path) -> FoundFiles {
        let mut files = BTreeMap::<String, Vec<PathBuf>>::new();
        let mut directories = vec![tree.to_path_buf()];
        while let Some(directory) = directories.pop() {
            for path in disk::entries(&directory) {
                let is_directory = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
                if is_directory {
                    directories.push(path);
                } else if let Some(name) = path.file_name().and_then(|name| name.to_str())
                    && let Some(file) = inside(tree, &path)
                {
                    files.entry(name.to_owned()).or_default().push(file);
                }
            }
        }
        FoundFiles(files)
    }

    fn program(&self, name: &str) -> Result<PathBuf> {
        let is_program = |path: &&PathBuf| {
            let in_place =
                path.parent().is_some_and(|parent| parent.ends_with("bin") || parent.ends_with("sbin"));
            let mode = fs::metadata(path).map_or(0, |found| found.permissions().mode());
            in_place && mode & 0o111 != 0
        };
        let found = self.0.get(name).and_then(|paths| paths.iter().find(is_program));
        found.cloned().ok_or_else(|| Failure::infra(format!("Debian's packages hold no program {name}")))
    }

    fn library(&self, name: &str) -> Result<PathBuf> {
        let is_library = |path: &&PathBuf| {
            path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("lib"))
        };
        let found = self.0.get(name).and_then(|paths| paths.iter().find(is_library));
        found.cloned().ok_or_else(|| Failure::infra(format!("Debian's packages hold no library {name}")))
    }
}

/// What the path is in the end, if it is a file of the tree: an absolute link starts at the tree.
fn inside(tree: &Path, path: &Path) -> Option<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..8 {
        let Ok(target) = fs::read_link(&path) else { break };
        path = match target.strip_prefix("/") {
            Ok(below) => tree.join(below),
            Err(_) => path.parent()?.join(target),
        };
    }
    let found = fs::canonicalize(path).ok()?;
    (found.starts_with(fs::canonicalize(tree).ok()?) && found.is_file()).then_some(found)
}

/// Libraries that programs and other libraries name.
#[derive(Debug, Default)]
struct Needed {
    known: BTreeSet<String>,
    left: VecDeque<String>,
    interpreters: BTreeSet<String>,
}

impl Needed {
    fn take(&mut self, path: &Path, content: &[u8]) -> Result<()> {
        let linked = linked(content).or_infra(|| format!("read the ELF header of {}", path.display()))?;
        for library in linked.libraries {
            if self.known.insert(library.clone()) {
                self.left.push_back(library);
            }
        }
        self.interpreters.extend(linked.interpreter);
        Ok(())
    }

    fn next(&mut self) -> Option<String> {
        self.left.pop_front()
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Linked {
    libraries: Vec<String>,
    interpreter: Option<String>,
}

/// The `DT_NEEDED` entries and the interpreter of an ELF file; nothing of a static one.
fn linked(content: &[u8]) -> std::result::Result<Linked, object::Error> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let header = elf::FileHeader64::<Endianness>::parse(content)?;
    let endian = header.endian()?;
    let mut linked = Linked::default();
    for segment in header.program_headers(endian, content)? {
        if let Some(interpreter) = segment.interpreter(endian, content)? {
            linked.interpreter = Some(text(interpreter));
        }
    }
    let sections = header.sections(endian, content)?;
    if let Some((dynamic, strings)) = sections.dynamic(endian, content)? {
        let strings = sections.strings(endian, content, strings)?;
        for entry in dynamic {
            if entry.tag32(endian) == Some(elf::DT_NEEDED) {
                linked.libraries.push(text(entry.string(endian, strings)?));
            }
        }
    }
    Ok(linked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_is_linked_with_is_read_from_its_header() {
        // This very test.
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        let linked = linked(&own).unwrap();
        assert!(linked.libraries.iter().any(|library| library.starts_with("libc.so")), "{linked:?}");
        assert!(linked.interpreter.is_some_and(|path| path.starts_with("/lib")));
        assert!(super::linked(b"#!/bin/sh\n").is_err());
    }

    #[test]
    fn links_are_followed_within_the_tree_and_not_out_of_it() {
        let tree = tempfile::tempdir().unwrap();
        let lib = tree.path().join("usr/lib/x");
        fs::create_dir_all(&lib).unwrap();
        fs::write(lib.join("liba.so.1.2"), "a").unwrap();
        let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, lib.join(name)).unwrap();
        link("liba.so.1.2", "liba.so.1");
        link("/usr/lib/x/liba.so.1", "liba.so");
        link("/etc/passwd", "libb.so");
        link("libc.so", "libc.so");
        let files = FoundFiles::below(tree.path());
        let real = fs::canonicalize(lib.join("liba.so.1.2")).unwrap();
        assert_eq!(files.library("liba.so.1").unwrap(), real);
        assert_eq!(files.library("liba.so").unwrap(), real);
        assert!(files.library("libb.so").is_err());
        assert!(files.library("libc.so").is_err());
    }

    #[test]
    fn an_archive_is_taken_again_only_if_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("x86_64-0.cpio");
        fs::write(&archive, "archive").unwrap();
        let digest = disk::hex(&Sha256::digest("archive"));
        let userland = Userland { path: archive.clone(), digest, bytes: 7, packages: vec![] };
        assert_eq!(made_before(&archive), None);
        fs::write(beside(&archive), serde_json::to_vec(&userland).unwrap()).unwrap();
        assert_eq!(made_before(&archive), Some(userland));
        fs::write(&archive, "archiv").unwrap();
        assert_eq!(made_before(&archive), None);
    }

    #[test]
    #[ignore = "fetches packages"]
    fn debians_packages_make_a_userland() {
        let work = std::env::var_os("USERLAND_WORK").map(PathBuf::from).expect("where to");
        let arch = crate::host::arch::find("x86_64").unwrap();
        let userland = provide(&work, arch, &|line| println!("{line}")).unwrap().unwrap();
        println!("{} {} {:?}", userland.path.display(), userland.bytes, userland.packages);
    }
}
