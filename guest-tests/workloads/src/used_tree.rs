//! What users do with the files of a mounted file system, in groups. A group does all that it has, and its first error is its
//! result; what a file system may refuse or not ends without one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use crate::sys;
use crate::sys::{Impatience, c_path, wrong};

/// A group by its name.
pub type Group = (&'static str, fn(&Path) -> io::Result<()>);

pub const GROUPS: [Group; 9] = [
    ("data", data),
    ("pipes", pipes),
    ("mappings", mappings),
    ("names", names),
    ("directories", directories),
    ("attributes", attributes),
    ("extended attributes", extended_attributes),
    ("locks", locks),
    ("space", space),
];

/// All groups of uses, as far as one step has them.
pub const TOGETHER: [&[&str]; 4] = [
    &["data", "pipes", "mappings", "space"],
    &["names", "locks"],
    &["directories"],
    &["attributes", "extended attributes"],
];

/// The first error of many calls.
#[derive(Debug)]
pub struct Ends(io::Result<()>);

impl Default for Ends {
    fn default() -> Self {
        Ends(Ok(()))
    }
}

impl Ends {
    /// What the call gave, if it succeeded.
    pub fn good<T>(&mut self, what: &str, end: io::Result<T>) -> Option<T> {
        match end {
            Ok(value) => Some(value),
            Err(error) => {
                eprintln!("{what}: {error}");
                if self.0.is_ok() {
                    self.0 = Err(error);
                }
                None
            }
        }
    }

    /// Something that has to fail.
    pub fn refused<T>(&mut self, what: &str, end: io::Result<T>) {
        if end.is_ok() {
            self.good::<()>(what, wrong("it was accepted"));
        }
    }

    pub fn holds(&mut self, what: &str, is_so: bool) {
        if !is_so {
            self.good::<()>(what, wrong("it is something else"));
        }
    }

    /// # Errors
    /// The first one.
    pub fn end(self) -> io::Result<()> {
        self.0
    }
}

/// The groups of these names on one mount.
///
/// # Errors
/// The first one.
pub fn groups(at: &Path, names: &[&str]) -> io::Result<()> {
    let mut ends = Ends::default();
    for (name, group) in GROUPS.iter().filter(|(name, _)| names.contains(name)) {
        ends.good(name, group(at));
    }
    ends.end()
}

/// A directory that has many entries, made where that takes no time.
pub const MANY: &str = "many";
const ENTRIES: usize = 40;

/// # Errors
/// That of a call.
pub fn make_many(at: &Path) -> io::Result<()> {
    let directory = at.join(MANY);
    fs::create_dir_all(&directory)?;
    (0..ENTRIES)
        .try_for_each(|number| fs::write(directory.join(format!("an-entry-with-a-name-{number}")), ""))
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}

fn read_write(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Writes and reads of several sizes, at the end and in the middle, in parts and direct.
fn data(at: &Path) -> io::Result<()> {
    let mut ends = Ends::default();
    let path = at.join("data");
    for size in [1, 5000, 70_000] {
        let content = pattern(size);
        ends.good("write", fs::write(&path, &content));
        ends.holds("what was written", fs::read(&path).is_ok_and(|read| read == content));
    }
    let mut appended = OpenOptions::new().append(true).open(&path)?;
    ends.good("append", appended.write_all(b"appended"));
    ends.good("append", appended.write_all(&pattern(5000)));
    drop(appended);
    ends.holds("length", fs::metadata(&path)?.len() == 70_000 + 8 + 5000);
    let file = read_write(&path)?;
    let mut part = [0; 300];
    ends.good("read at a place", file.read_exact_at(&mut part, 4000));
    ends.holds("what is there", part[..] == pattern(5000)[4000..4300]);
    ends.good("write at a place", file.write_all_at(b"middle", 9999));
    ends.good("write of pages", file.write_all_at(&pattern(8192), 4096));
    ends.good("write far behind", file.write_all_at(b"end", 200_000));
    ends.holds("nothing behind the end", file.read_at(&mut part, 300_000).is_ok_and(|read| read == 0));
    ends.good("fdatasync", file.sync_data());
    ends.good("fsync", file.sync_all());
    ends.good("truncate", file.set_len(777));
    ends.good("extend", file.set_len(10_000));
    ends.holds(
        "zeroes",
        fs::read(&path).is_ok_and(|read| read.len() == 10_000 && read[777..].iter().all(|b| *b == 0)),
    );
    for advice in 0..6 {
        let _ = sys!(SYS_fadvise64, file.as_raw_fd(), 0, 65_536, advice);
    }
    let _ = sys!(SYS_readahead, file.as_raw_fd(), 0, 65_536);
    ends.good("syncfs", sys!(SYS_syncfs, file.as_raw_fd()));
    ends.good("in parts", in_parts(&path));
    ends.good("direct", direct(&path));
    ends.good("write for short", fs::write(&path, "short"));
    ends.good("synchronous", synchronous(&path));
    ends.good("remove", fs::remove_file(&path));
    ends.end()
}

fn in_parts(path: &Path) -> io::Result<()> {
    let mut file = read_write(path)?;
    let (one, other) = (pattern(3000), pattern(6000));
    let written = file.write_vectored(&[io::IoSlice::new(&one), io::IoSlice::new(&other)])?;
    file.seek(SeekFrom::Start(0))?;
    let (mut first, mut second) = (vec![0; 1000], vec![0; 7000]);
    let read =
        file.read_vectored(&mut [io::IoSliceMut::new(&mut first), io::IoSliceMut::new(&mut second)])?;
    if written == 0 || read == 0 || first != one[..1000] { wrong("something else") } else { Ok(()) }
}

#[repr(align(4096))]
struct DirectBlock([u8; 16384]);

/// File systems may have no direct reads and writes, or take odd places for them or not.
fn direct(path: &Path) -> io::Result<()> {
    let direct = OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).open(path);
    let Ok(file) = direct else { return Ok(()) };
    let mut data = Box::new(DirectBlock([9; 16384]));
    file.write_all_at(&data.0, 0)?;
    file.write_all_at(&data.0[..8192], 32_768)?;
    data.0.fill(0);
    file.read_exact_at(&mut data.0[..8192], 4096)?;
    let is_same = data.0[..8192].iter().all(|byte| *byte == 9);
    let _ = file.read_at(&mut data.0, 32_768);
    let _ = file.write_at(&data.0[1..513], 100);
    let _ = file.read_at(&mut data.0[3..700], 5);
    if is_same { Ok(()) } else { wrong("something else") }
}

/// From the file to a pipe and back, by splice and sendfile.
fn pipes(at: &Path) -> io::Result<()> {
    let path = at.join("piped");
    let end = read_write(&path).and_then(|file| through_pipe(&file));
    end.and(fs::remove_file(&path))
}

fn through_pipe(file: &File) -> io::Result<()> {
    let (mut output, input) = sys::pipe()?;
    file.write_all_at(&pattern(8192), 0)?;
    let mut offset = 0_u64;
    let moved = sys!(SYS_splice, file.as_raw_fd(), &raw mut offset, input.as_raw_fd(), 0, 6000, 0)?;
    let mut offset = 20_000_u64;
    let back = sys!(SYS_splice, output.as_raw_fd(), 0, file.as_raw_fd(), &raw mut offset, moved, 0)?;
    let mut offset = 100_u64;
    sys!(SYS_sendfile, input.as_raw_fd(), file.as_raw_fd(), &raw mut offset, 1000)?;
    let mut sent = [0; 1000];
    output.read_exact(&mut sent)?;
    if back == 0 || sent[..] != pattern(1100)[100..] { wrong("something else") } else { Ok(()) }
}

fn synchronous(path: &Path) -> io::Result<()> {
    for flags in [libc::O_SYNC, libc::O_DSYNC, libc::O_NOATIME, libc::O_NONBLOCK | libc::O_APPEND] {
        let mut file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
        file.write_all(&pattern(5000))?;
        file.read_exact_at(&mut [0; 10], 0)?;
    }
    Ok(())
}

/// Shared and private, written through memory and through the file.
fn mappings(at: &Path) -> io::Result<()> {
    const LENGTH: usize = 16_384;
    let mut ends = Ends::default();
    let path = at.join("mapped");
    fs::write(&path, pattern(LENGTH))?;
    let file = read_write(&path)?;
    let all = libc::PROT_READ | libc::PROT_WRITE;
    let map = |flags: i32| sys!(SYS_mmap, 0, LENGTH, all, flags, file.as_raw_fd(), 0);
    if let Some(private) = ends.good("private", map(libc::MAP_PRIVATE)) {
        // SAFETY: a mapping of this length, whose pages the file has.
        unsafe { *(private as *mut u8).add(5000) = 1 };
        ends.good("unmap", sys!(SYS_munmap, private, LENGTH));
    }
    ends.holds("what is private", fs::read(&path).is_ok_and(|read| read == pattern(LENGTH)));
    // A file system that lets its server see each write has none (fs/fuse/file.c, fuse_file_mmap(): FOPEN_DIRECT_IO).
    if let Ok(shared) = map(libc::MAP_SHARED) {
        // SAFETY: as above.
        unsafe {
            *(shared as *mut u8).add(4097) = 77;
            *(shared as *mut u8).add(12_300) = 78;
        }
        ends.good("msync", sys!(SYS_msync, shared, LENGTH, libc::MS_SYNC));
        ends.good("msync soon", sys!(SYS_msync, shared, LENGTH, libc::MS_ASYNC));
        let _ = sys!(SYS_madvise, shared, LENGTH, libc::MADV_WILLNEED);
        let mut byte = [0];
        ends.good("read", file.read_exact_at(&mut byte, 4097));
        ends.holds("what was written to memory", byte == [77]);
        ends.good("write", file.write_all_at(b"file", 8192));
        // SAFETY: as above.
        let seen = unsafe { *(shared as *const u8).add(8192) };
        ends.holds("what was written to the file", seen == b'f');
        let _ = sys!(SYS_madvise, shared, LENGTH, libc::MADV_DONTNEED);
        ends.good("unmap", sys!(SYS_munmap, shared, LENGTH));
    }
    drop(file);
    ends.holds("after that", fs::read(&path).is_ok_and(|read| read.len() == LENGTH));
    ends.good("remove", fs::remove_file(&path));
    ends.end()
}

/// Links, renames, nodes, and files that are open when their name goes.
fn names(at: &Path) -> io::Result<()> {
    let mut ends = Ends::default();
    let path = |name: &str| at.join(name);
    ends.good("create", fs::write(path("one"), "one"));
    ends.refused("create again", OpenOptions::new().write(true).create_new(true).open(path("one")));
    ends.good("link", fs::hard_link(path("one"), path("two")));
    ends.refused("link again", fs::hard_link(path("one"), path("two")));
    ends.good("rename", fs::rename(path("one"), path("three")));
    ends.holds("gone", !path("one").exists());
    ends.good("write", fs::write(path("four"), "four"));
    ends.good("rename over another", fs::rename(path("four"), path("three")));
    ends.holds("content", fs::read(path("three")).is_ok_and(|read| read == b"four"));
    ends.holds("content", fs::read(path("two")).is_ok_and(|read| read == b"one"));
    ends.refused("rename of what is not there", fs::rename(path("none"), path("other")));
    let (from, to) = (c_path(path("two")), c_path(path("three")));
    for flags in [libc::RENAME_NOREPLACE, libc::RENAME_EXCHANGE, libc::RENAME_WHITEOUT, 99] {
        let here = libc::AT_FDCWD;
        let _ = sys!(SYS_renameat2, here, from.as_ptr(), here, to.as_ptr(), flags);
    }
    ends.good("symlink", symlink("three", path("symbolic")));
    ends.holds("target", fs::read_link(path("symbolic")).is_ok_and(|target| target == Path::new("three")));
    ends.good("through it", fs::read(path("symbolic")));
    ends.good("symlink to a loop", symlink("loop", path("loop")));
    ends.refused("loop", fs::read(path("loop")));
    ends.good("long symlink", symlink("x/".repeat(900), path("long")));
    let _ = fs::read_link(path("long"));
    nodes(at, &mut ends);
    ends.good("unlinked while open", unlinked_while_open(&path("open")));
    let temporary = OpenOptions::new().read(true).write(true).custom_flags(libc::O_TMPFILE).open(at);
    let _ = temporary.and_then(|mut file| file.write_all(b"temporary"));
    ends.refused("name that is too long", fs::write(path(&"n".repeat(256)), ""));
    ends.refused("unlink of what is not there", fs::remove_file(path("none")));
    for name in ["two", "three", "symbolic", "loop", "long"] {
        let _ = fs::remove_file(path(name));
    }
    ends.end()
}

/// Named pipes and sockets, which the file system only keeps; devices, which may not be opened.
fn nodes(at: &Path, ends: &mut Ends) {
    let kinds = [
        ("pipe", libc::S_IFIFO, 0),
        ("socket", libc::S_IFSOCK, 0),
        ("characters", libc::S_IFCHR, libc::makedev(1, 3)),
        ("blocks", libc::S_IFBLK, libc::makedev(7, 77)),
        ("file", libc::S_IFREG, 0),
    ];
    for (name, kind, device) in kinds {
        let path = at.join(name);
        let made = sys!(SYS_mknodat, libc::AT_FDCWD, c_path(&path).as_ptr(), kind | 0o600, device);
        if made.is_ok() {
            ends.holds(
                name,
                fs::symlink_metadata(&path).is_ok_and(|found| found.mode() & libc::S_IFMT == kind),
            );
            // To open a block device would make one (block/bdev.c, blkdev_get_no_open()).
            if kind == libc::S_IFIFO || kind == libc::S_IFCHR {
                let _ = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path);
            }
            ends.good("remove a node", fs::remove_file(&path));
        }
    }
}

fn unlinked_while_open(path: &Path) -> io::Result<()> {
    fs::write(path, pattern(5000))?;
    let mut file = read_write(path)?;
    fs::remove_file(path)?;
    file.write_all(b"still there")?;
    file.seek(SeekFrom::Start(0))?;
    let mut read = String::new();
    (&mut file).take(11).read_to_string(&mut read)?;
    let _ = file.metadata();
    let _ = file.set_len(3);
    let _ = file.sync_all();
    if read == "still there" { Ok(()) } else { wrong("something else") }
}

/// Many entries, read whole, in small pieces and from a place in the middle; directories that move.
fn directories(at: &Path) -> io::Result<()> {
    let mut ends = Ends::default();
    let (many, directory) = (at.join(MANY), at.join("directory"));
    for _ in 0..2 {
        ends.holds("entries", fs::read_dir(&many).is_ok_and(|entries| entries.count() == ENTRIES));
    }
    ends.good("mkdir", fs::create_dir(&directory));
    ends.refused("mkdir again", fs::create_dir(&directory));
    ends.good("create", File::create(directory.join("file")));
    let opened = File::open(&many)?;
    let mut buffer = vec![0_u8; 300];
    for _ in 0..4 {
        ends.good("a few", sys!(SYS_getdents64, opened.as_raw_fd(), buffer.as_mut_ptr(), 300));
    }
    if let Some(place) = ends.good("place", sys!(SYS_lseek, opened.as_raw_fd(), 0, libc::SEEK_CUR)) {
        let _ = sys!(SYS_lseek, opened.as_raw_fd(), 0, libc::SEEK_SET);
        let _ = sys!(SYS_getdents64, opened.as_raw_fd(), buffer.as_mut_ptr(), 300);
        ends.good("back", sys!(SYS_lseek, opened.as_raw_fd(), place, libc::SEEK_SET));
        ends.good("on", sys!(SYS_getdents64, opened.as_raw_fd(), buffer.as_mut_ptr(), 300));
    }
    let _ = opened.sync_all();
    for entry in fs::read_dir(&many)?.flatten().take(5) {
        let _ = entry.metadata();
    }
    ends.refused("rmdir of what is not empty", fs::remove_dir(&directory));
    ends.refused("unlink of a directory", fs::remove_file(&directory));
    ends.good("mkdir below", fs::create_dir(directory.join("below")));
    ends.good("move up", fs::rename(directory.join("below"), at.join("moved")));
    ends.refused("move below itself", fs::rename(&directory, directory.join("itself")));
    ends.good("a path", fs::create_dir_all(at.join("moved/a/b")));
    ends.good("file below", fs::write(at.join("moved/a/b/file"), "x"));
    ends.good("move above it", fs::rename(at.join("moved/a"), at.join("upper")));
    ends.good("read where it is", fs::read(at.join("upper/b/file")));
    ends.refused("read where it was", fs::read(at.join("moved/a/b/file")));
    drop(opened);
    for name in ["directory", "moved", "upper"] {
        ends.good("remove all", fs::remove_dir_all(at.join(name)));
    }
    ends.end()
}

fn attributes(at: &Path) -> io::Result<()> {
    let mut ends = Ends::default();
    let path = at.join("file");
    ends.good("create", fs::write(&path, pattern(5000)));
    for mode in [0o4755, 0o644] {
        ends.good("chmod", fs::set_permissions(&path, fs::Permissions::from_mode(mode)));
        ends.holds(
            "mode",
            fs::metadata(&path).is_ok_and(|found| found.mode() & 0o7777 == mode || mode > 0o777),
        );
    }
    ends.good("chown", std::os::unix::fs::chown(&path, Some(1), Some(2)));
    ends.good("chown", std::os::unix::fs::chown(&path, None, Some(3)));
    let _ = std::os::unix::fs::lchown(&path, Some(0), Some(0));
    let now = [libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_NOW }; 2];
    let then = [libc::timespec { tv_sec: 1_000_000, tv_nsec: 5000 }; 2];
    let mut one = then;
    one[0].tv_nsec = libc::UTIME_OMIT;
    let text = c_path(&path);
    for times in [now, one, then] {
        ends.good("utimensat", sys!(SYS_utimensat, libc::AT_FDCWD, text.as_ptr(), times.as_ptr(), 0));
    }
    ends.holds("time", fs::metadata(&path).is_ok_and(|found| found.mtime() == 1_000_000));
    let file = read_write(&path)?;
    ends.good("ftruncate", file.set_len(100));
    ends.holds("size", file.metadata().is_ok_and(|found| found.size() == 100));
    let mut found = [0_u64; 32];
    // As always, from the server, from the cache.
    for (flags, mask) in [(0, 0x7ff_u32), (0x2000, 0xfff), (0x4000, 1)] {
        let _ = sys!(SYS_statx, libc::AT_FDCWD, text.as_ptr(), flags, mask, found.as_mut_ptr());
    }
    ends.good("access", sys!(SYS_faccessat, libc::AT_FDCWD, text.as_ptr(), libc::R_OK | libc::W_OK));
    ends.good("as another user", as_another_user(at));
    let mut statistics = [0_u64; 16];
    ends.good("statfs", sys!(SYS_statfs, c_path(at).as_ptr(), statistics.as_mut_ptr()));
    let _ = fs::read_to_string("/proc/self/mountinfo");
    let mut word = [0_u64; 16];
    // FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_FSGETXATTR, FS_IOC_GETVERSION, FIGETBSZ, TCGETS.
    for request in [0x8008_6601_u32, 0x4008_6602, 0x801c_581f, 0x8008_7601, 2, 0x5401] {
        let _ = sys!(SYS_ioctl, file.as_raw_fd(), request, word.as_mut_ptr());
    }
    ends.good("handle", by_handle(at, &path));
    drop(file);
    ends.good("remove", fs::remove_file(&path));
    ends.end()
}

/// A mount may let that user see nothing.
fn as_another_user(at: &Path) -> io::Result<()> {
    sys::in_child(Duration::from_secs(3), || {
        sys!(SYS_setresgid, 1000, 1000, 1000)?;
        sys!(SYS_setresuid, 1000, 1000, 1000)?;
        let _ = fs::read_dir(at).map(Iterator::count);
        let _ = fs::read(at.join("file"));
        let _ = fs::write(at.join("other"), "x");
        let _ = sys!(SYS_faccessat, libc::AT_FDCWD, c_path(at.join("file")).as_ptr(), libc::X_OK);
        let _ = fs::set_permissions(at.join("file"), fs::Permissions::from_mode(0o777));
        Ok(())
    })
}

/// Opens the file by a handle of the file system's, if it has any.
fn by_handle(at: &Path, path: &Path) -> io::Result<()> {
    // struct file_handle: bytes, type, and the bytes.
    let mut handle = [0_u32; 34];
    handle[0] = 128;
    let (mut mount, text) = (0_i32, c_path(path));
    let here = libc::AT_FDCWD;
    if sys!(SYS_name_to_handle_at, here, text.as_ptr(), handle.as_mut_ptr(), &raw mut mount, 0).is_err() {
        return Ok(());
    }
    let root = File::open(at)?;
    let _ = sys::descriptor(sys!(SYS_open_by_handle_at, root.as_raw_fd(), handle.as_ptr(), libc::O_RDONLY));
    Ok(())
}

/// Attributes of each prefix, with good and bad flags and sizes, and an ACL.
fn extended_attributes(at: &Path) -> io::Result<()> {
    let mut ends = Ends::default();
    let path = at.join("file");
    ends.good("create", fs::write(&path, "x"));
    let file = read_write(&path)?;
    let (fd, text) = (file.as_raw_fd(), c_path(&path));
    let value = pattern(3000);
    let mut room = vec![0_u8; 70_000];
    for name in [c"user.pp", c"trusted.pp", c"security.pp"] {
        for (length, flags) in [(5, 0), (6, libc::XATTR_CREATE), (3000, libc::XATTR_REPLACE)] {
            let _ = sys!(SYS_fsetxattr, fd, name.as_ptr(), value.as_ptr(), length, flags);
        }
        for length in [0, 70_000] {
            let _ = sys!(SYS_getxattr, text.as_ptr(), name.as_ptr(), room.as_mut_ptr(), length);
        }
        for length in [0, 70_000] {
            let _ = sys!(SYS_flistxattr, fd, room.as_mut_ptr(), length);
        }
        let _ = sys!(SYS_removexattr, text.as_ptr(), name.as_ptr());
        let _ = sys!(SYS_removexattr, text.as_ptr(), name.as_ptr());
    }
    // A list of two entries at least, if there are any: posix_acl_xattr_header and posix_acl_xattr_entry.
    let entries: [(u16, u16, u32); 5] =
        [(1, 6, u32::MAX), (2, 4, 1000), (4, 4, u32::MAX), (0x10, 6, u32::MAX), (0x20, 4, u32::MAX)];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend_from_slice(&tag.to_le_bytes());
        list.extend_from_slice(&permissions.to_le_bytes());
        list.extend_from_slice(&id.to_le_bytes());
    }
    let directory = at.join("inherits");
    ends.good("mkdir", fs::create_dir(&directory));
    let place = c_path(&directory);
    for name in [c"system.posix_acl_access", c"system.posix_acl_default"] {
        for length in [list.len(), 7] {
            let _ = sys!(SYS_setxattr, place.as_ptr(), name.as_ptr(), list.as_ptr(), length, 0);
        }
        let _ = sys!(SYS_getxattr, place.as_ptr(), name.as_ptr(), room.as_mut_ptr(), 70_000);
    }
    ends.good("below it", fs::write(directory.join("file"), "x"));
    ends.good("mkdir below it", fs::create_dir(directory.join("directory")));
    let _ = fs::set_permissions(&directory, fs::Permissions::from_mode(0o750));
    let _ = sys!(SYS_removexattr, place.as_ptr(), c"system.posix_acl_default".as_ptr());
    ends.good("remove all", fs::remove_dir_all(&directory));
    drop(file);
    ends.good("remove", fs::remove_file(&path));
    ends.end()
}

/// Locks of processes, of open files and of whole files; another process asks for what is held.
fn locks(at: &Path) -> io::Result<()> {
    let mut ends = Ends::default();
    let path = at.join("locked");
    ends.good("create", fs::write(&path, pattern(100)));
    let (one, other) = (read_write(&path)?, read_write(&path)?);
    let lock = |file: &File, command: i32, kind: i32, start: i64, length: i64| {
        // SAFETY: a structure of which all bytes may be 0.
        let mut wanted: libc::flock = unsafe { std::mem::zeroed() };
        (wanted.l_type, wanted.l_start, wanted.l_len) = (kind as libc::c_short, start, length);
        sys!(SYS_fcntl, file.as_raw_fd(), command, &raw mut wanted)
    };
    ends.good("write lock", lock(&one, libc::F_SETLK, libc::F_WRLCK, 0, 10));
    ends.good("read lock", lock(&one, libc::F_SETLKW, libc::F_RDLCK, 20, 0));
    ends.good("who holds it", lock(&other, libc::F_GETLK, libc::F_WRLCK, 0, 0));
    let refused = sys::in_child(Duration::from_secs(3), || {
        let mut ends = Ends::default();
        let mine = read_write(&path)?;
        ends.good("who holds it", lock(&mine, libc::F_GETLK, libc::F_WRLCK, 0, 0));
        ends.refused("what is held", lock(&mine, libc::F_SETLK, libc::F_WRLCK, 0, 5));
        ends.good("what is not", lock(&mine, libc::F_SETLK, libc::F_WRLCK, 12, 3));
        let _impatience = Impatience::after(Duration::from_millis(50));
        ends.refused("wait for it", lock(&mine, libc::F_SETLKW, libc::F_WRLCK, 0, 0));
        ends.end()
    });
    ends.good("in another process", refused);
    ends.good("unlock", lock(&one, libc::F_SETLK, libc::F_UNLCK, 0, 0));
    for kind in [libc::F_RDLCK, libc::F_UNLCK] {
        let _ = lock(&one, libc::F_OFD_SETLK, kind, 0, 0);
        let _ = lock(&other, libc::F_OFD_GETLK, libc::F_WRLCK, 0, 0);
    }
    for operation in [libc::LOCK_SH, libc::LOCK_EX, libc::LOCK_UN] {
        ends.good("flock", sys!(SYS_flock, one.as_raw_fd(), operation | libc::LOCK_NB));
        let _ = sys!(SYS_flock, other.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB);
        let _ = sys!(SYS_flock, other.as_raw_fd(), libc::LOCK_UN);
    }
    let _ = sys!(SYS_fcntl, one.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK);
    drop((one, other));
    ends.good("remove", fs::remove_file(&path));
    ends.end()
}

/// Holes, allocations, and copies from file to file: each may be lacking.
fn space(at: &Path) -> io::Result<()> {
    let mut ends = Ends::default();
    let (path, copy) = (at.join("space"), at.join("copy"));
    ends.good("create", fs::write(&path, pattern(20_000)));
    let (file, target) = (read_write(&path)?, read_write(&copy)?);
    let fd = file.as_raw_fd();
    for mode in [0, 1, 3, 0x10, 0x12, 8, 0x20, 0x40] {
        let _ = sys!(SYS_fallocate, fd, mode, 4096, 8192);
        let _ = sys!(SYS_fallocate, fd, mode, 30_000, 1000);
    }
    for whence in [libc::SEEK_DATA, libc::SEEK_HOLE] {
        for place in [0, 5000, 900_000] {
            let _ = sys!(SYS_lseek, fd, place, whence);
        }
    }
    ends.good("to the end", sys!(SYS_lseek, fd, 0, libc::SEEK_END));
    let (mut from, mut to) = (0_u64, 100_u64);
    let copied = sys!(SYS_copy_file_range, fd, &raw mut from, target.as_raw_fd(), &raw mut to, 4000, 0);
    if ends.good("copy", copied).is_some() {
        let content = fs::read(&copy).unwrap_or_default();
        ends.holds("what was copied", content.get(100..1100) == Some(&pattern(1000)[..]));
    }
    // FICLONE, FICLONERANGE, FIDEDUPERANGE, FS_IOC_FIEMAP, FIBMAP.
    let _ = sys!(SYS_ioctl, target.as_raw_fd(), 0x4004_9409_u32, fd);
    let mut room = [0_u64; 16];
    for request in [0x4020_940d_u32, 0xc018_9436, 0xc020_660b, 1] {
        let _ = sys!(SYS_ioctl, fd, request, room.as_mut_ptr());
    }
    let mut ready = [libc::pollfd { fd, events: libc::POLLIN | libc::POLLOUT, revents: 0 }];
    ends.good("poll", sys::poll(&mut ready, 0));
    drop((file, target));
    ends.good("remove", fs::remove_file(&path));
    ends.good("remove", fs::remove_file(&copy));
    ends.end()
}

/// A few requests, whatever they end in.
pub fn touched(at: &Path) {
    let _ = fs::read(at.join("there"));
    let _ = fs::read_dir(at).map(Iterator::count);
    let _ = fs::write(at.join("new"), "x");
    let _ = fs::read_to_string("/proc/self/mountinfo");
    let _ = fs::remove_file(at.join("new"));
}
