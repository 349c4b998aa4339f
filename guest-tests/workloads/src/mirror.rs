//! A directory as servers of file systems use it: files by handles, which stay valid when names change, and locks.

use std::ffi::{CStr, CString, OsString};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::sys;
use crate::sys::{c_path, descriptor};

/// A file of any kind, opened with O_PATH.
#[derive(Debug)]
pub struct Handle(File);

/// An entry of a directory.
#[derive(Debug, Clone)]
pub struct Entry {
    pub name: Vec<u8>,
    pub inode: u64,
    /// DT_DIR and the like.
    pub kind: u8,
}

/// Attributes to be set. A time of `None` is the present one.
#[derive(Debug, Default)]
pub struct MirrorChange {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub atime: Option<Option<(u64, u32)>>,
    pub mtime: Option<Option<(u64, u32)>>,
}

const PATH: i32 = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;

fn c_name(name: &[u8]) -> io::Result<CString> {
    CString::new(name).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

impl Handle {
    /// # Errors
    /// That of the call, as everywhere here.
    pub fn new(path: &Path) -> io::Result<Handle> {
        let fd = descriptor(sys!(SYS_openat, libc::AT_FDCWD, c_path(path).as_ptr(), PATH))?;
        Ok(Handle(fd.into()))
    }

    /// # Errors
    /// ENOENT and others.
    pub fn child(&self, name: &[u8]) -> io::Result<Handle> {
        let fd = descriptor(sys!(SYS_openat, self.fd(), c_name(name)?.as_ptr(), PATH))?;
        Ok(Handle(fd.into()))
    }

    /// # Errors
    /// EMFILE.
    pub fn again(&self) -> io::Result<Handle> {
        self.0.try_clone().map(Handle)
    }

    pub fn fd(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// A path that leads to the file itself, whatever its name is now.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.fd()))
    }

    /// The directory and the name in it.
    ///
    /// # Errors
    /// EINVAL for the root.
    pub fn place(&self) -> io::Result<(Handle, Vec<u8>)> {
        let path = fs::read_link(self.path())?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        };
        Ok((Handle::new(parent)?, name.to_os_string().into_vec()))
    }

    /// # Errors
    /// None that is expected.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.0.metadata()
    }

    /// # Errors
    /// Those of open(2).
    pub fn open(&self, flags: i32) -> io::Result<File> {
        let path = c_path(self.path());
        let flags = flags & !libc::O_NOFOLLOW | libc::O_CLOEXEC;
        Ok(descriptor(sys!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags))?.into())
    }

    /// # Errors
    /// Those of open(2).
    pub fn create(&self, name: &[u8], flags: i32, mode: u32) -> io::Result<(Handle, File)> {
        let flags = flags | libc::O_CREAT | libc::O_CLOEXEC;
        let file = descriptor(sys!(SYS_openat, self.fd(), c_name(name)?.as_ptr(), flags, mode))?;
        Ok((self.child(name)?, file.into()))
    }

    /// # Errors
    /// Those of mkdir(2).
    pub fn make_directory(&self, name: &[u8], mode: u32) -> io::Result<Handle> {
        sys!(SYS_mkdirat, self.fd(), c_name(name)?.as_ptr(), mode)?;
        self.child(name)
    }

    /// # Errors
    /// Those of mknod(2).
    pub fn make_node(&self, name: &[u8], mode: u32, device: u64) -> io::Result<Handle> {
        sys!(SYS_mknodat, self.fd(), c_name(name)?.as_ptr(), mode, device)?;
        self.child(name)
    }

    /// # Errors
    /// Those of symlink(2).
    pub fn make_symlink(&self, name: &[u8], target: &[u8]) -> io::Result<Handle> {
        sys!(SYS_symlinkat, c_name(target)?.as_ptr(), self.fd(), c_name(name)?.as_ptr())?;
        self.child(name)
    }

    /// Gives `file` this name in the directory.
    ///
    /// # Errors
    /// Those of link(2).
    pub fn make_link(&self, name: &[u8], file: &Handle) -> io::Result<()> {
        let (from, name) = (c_path(file.path()), c_name(name)?);
        let follow = libc::AT_SYMLINK_FOLLOW;
        sys!(SYS_linkat, libc::AT_FDCWD, from.as_ptr(), self.fd(), name.as_ptr(), follow).map(drop)
    }

    /// # Errors
    /// Those of renameat2(2).
    pub fn rename(&self, name: &[u8], to: &Handle, new_name: &[u8], flags: u32) -> io::Result<()> {
        let (name, new_name) = (c_name(name)?, c_name(new_name)?);
        sys!(SYS_renameat2, self.fd(), name.as_ptr(), to.fd(), new_name.as_ptr(), flags).map(drop)
    }

    /// # Errors
    /// Those of unlinkat(2).
    pub fn remove(&self, name: &[u8], flags: i32) -> io::Result<()> {
        sys!(SYS_unlinkat, self.fd(), c_name(name)?.as_ptr(), flags).map(drop)
    }

    /// # Errors
    /// EINVAL for what is no symbolic link.
    pub fn target(&self) -> io::Result<Vec<u8>> {
        let mut target = vec![0_u8; 4096];
        let length = sys!(SYS_readlinkat, self.fd(), c"".as_ptr(), target.as_mut_ptr(), target.len())?;
        target.truncate(length as usize);
        Ok(target)
    }

    /// All entries, by name, after `.` and `..`: two boots list them in the same order.
    ///
    /// # Errors
    /// ENOTDIR.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let own = self.metadata()?.ino();
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.path())? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let kind = kind(metadata.mode());
            entries.push(Entry { name: entry.file_name().into_vec(), inode: metadata.ino(), kind });
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        for name in ["..", "."] {
            entries.insert(0, Entry { name: name.into(), inode: own, kind: libc::DT_DIR });
        }
        Ok(entries)
    }

    /// # Errors
    /// Those of the calls.
    pub fn set(&self, change: &MirrorChange) -> io::Result<()> {
        let path = self.path();
        if change.uid.is_some() || change.gid.is_some() {
            std::os::unix::fs::chown(&path, change.uid, change.gid)?;
        }
        if let Some(mode) = change.mode {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o7777))?;
        }
        if let Some(size) = change.size {
            self.open(libc::O_WRONLY)?.set_len(size)?;
        }
        if change.atime.is_some() || change.mtime.is_some() {
            let times = [time(change.atime), time(change.mtime)];
            sys!(SYS_utimensat, libc::AT_FDCWD, c_path(&path).as_ptr(), times.as_ptr(), 0)?;
        }
        Ok(())
    }

    /// # Errors
    /// None that is expected.
    pub fn statistics(&self) -> io::Result<libc::statfs> {
        // SAFETY: a structure of which all bytes may be 0.
        let mut statistics: libc::statfs = unsafe { std::mem::zeroed() };
        sys!(SYS_fstatfs, self.fd(), &raw mut statistics)?;
        Ok(statistics)
    }

    /// # Errors
    /// ENODATA and others.
    pub fn attribute(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        let (path, name) = (c_path(self.path()), c_name(name)?);
        let mut value = vec![0_u8; 65536];
        let length = sys!(SYS_getxattr, path.as_ptr(), name.as_ptr(), value.as_mut_ptr(), value.len())?;
        value.truncate(length as usize);
        Ok(value)
    }

    /// # Errors
    /// Those of listxattr(2).
    pub fn attributes(&self) -> io::Result<Vec<u8>> {
        let path = c_path(self.path());
        let mut list = vec![0_u8; 65536];
        let length = sys!(SYS_listxattr, path.as_ptr(), list.as_mut_ptr(), list.len())?;
        list.truncate(length as usize);
        Ok(list)
    }

    /// # Errors
    /// Those of setxattr(2).
    pub fn set_attribute(&self, name: &[u8], value: &[u8], flags: u32) -> io::Result<()> {
        let (path, name) = (c_path(self.path()), c_name(name)?);
        sys!(SYS_setxattr, path.as_ptr(), name.as_ptr(), value.as_ptr(), value.len(), flags).map(drop)
    }

    /// # Errors
    /// ENODATA and others.
    pub fn remove_attribute(&self, name: &[u8]) -> io::Result<()> {
        let (path, name) = (c_path(self.path()), c_name(name)?);
        sys!(SYS_removexattr, path.as_ptr(), name.as_ptr()).map(drop)
    }
}

/// The kind of a directory entry whose file has this mode.
pub fn kind(mode: u32) -> u8 {
    ((mode & libc::S_IFMT) >> 12) as u8
}

fn time(time: Option<Option<(u64, u32)>>) -> libc::timespec {
    let (seconds, nanoseconds) = match time {
        None => (0, libc::UTIME_OMIT),
        Some(None) => (0, libc::UTIME_NOW),
        Some(Some((seconds, nanoseconds))) => (seconds, nanoseconds.into()),
    };
    libc::timespec { tv_sec: seconds as libc::time_t, tv_nsec: nanoseconds }
}

/// One lock of a part of a file, or a lock that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MirrorLock {
    pub inode: u64,
    pub owner: u64,
    pub pid: u32,
    pub is_exclusive: bool,
    pub start: u64,
    /// The last byte.
    pub end: u64,
}

/// Those that are held. Unlocking a part of what was locked unlocks all of it: what users do here asks for no more.
#[derive(Debug, Default)]
pub struct Locks(Vec<MirrorLock>);

impl Locks {
    pub fn conflict(&self, wanted: &MirrorLock) -> Option<MirrorLock> {
        let is_met = |held: &&MirrorLock| {
            held.overlaps(wanted) && held.owner != wanted.owner && (held.is_exclusive || wanted.is_exclusive)
        };
        self.0.iter().find(is_met).copied()
    }

    pub fn set(&mut self, lock: MirrorLock) {
        self.unset(&lock);
        self.0.push(lock);
    }

    pub fn unset(&mut self, lock: &MirrorLock) {
        self.0.retain(|held| held.owner != lock.owner || !held.overlaps(lock));
    }
}

impl MirrorLock {
    fn overlaps(&self, other: &MirrorLock) -> bool {
        self.inode == other.inode && self.start <= other.end && other.start <= self.end
    }
}

/// For what takes a path as the bytes of a message.
pub fn os_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

/// The name of an extended attribute in a list.
pub fn names(list: &[u8]) -> impl Iterator<Item = &CStr> {
    list.split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok())
}
