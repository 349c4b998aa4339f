//! A server of FUSE that mirrors a directory, and that can be told to answer wrongly (include/uapi/linux/fuse.h).

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::mirror::{Entry, Handle, Locks, MirrorChange, MirrorLock};
use crate::sys;
use crate::wire::{WireReader, Writer};

pub const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
pub const GETATTR: u32 = 3;
const SETATTR: u32 = 4;
const READLINK: u32 = 5;
const SYMLINK: u32 = 6;
const MKNOD: u32 = 8;
const MKDIR: u32 = 9;
const UNLINK: u32 = 10;
const RMDIR: u32 = 11;
const RENAME: u32 = 12;
const LINK: u32 = 13;
pub const OPEN: u32 = 14;
pub const READ: u32 = 15;
pub const WRITE: u32 = 16;
const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const FSYNC: u32 = 20;
const SETXATTR: u32 = 21;
pub const GETXATTR: u32 = 22;
const LISTXATTR: u32 = 23;
const REMOVEXATTR: u32 = 24;
const FLUSH: u32 = 25;
pub const INIT: u32 = 26;
const OPENDIR: u32 = 27;
pub const READDIR: u32 = 28;
const RELEASEDIR: u32 = 29;
const FSYNCDIR: u32 = 30;
const GETLK: u32 = 31;
const SETLK: u32 = 32;
const SETLKW: u32 = 33;
const ACCESS: u32 = 34;
const CREATE: u32 = 35;
const INTERRUPT: u32 = 36;
const DESTROY: u32 = 38;
const IOCTL: u32 = 39;
const POLL: u32 = 40;
const NOTIFY_REPLY: u32 = 41;
const BATCH_FORGET: u32 = 42;
const FALLOCATE: u32 = 43;
const READDIRPLUS: u32 = 44;
const RENAME2: u32 = 45;
const LSEEK: u32 = 46;
const COPY_FILE_RANGE: u32 = 47;
const SYNCFS: u32 = 50;
const STATX: u32 = 52;
const COPY_FILE_RANGE_64: u32 = 53;

/// Bits of INIT.
pub const ASYNC_READ: u64 = 1;
pub const POSIX_LOCKS: u64 = 1 << 1;
pub const ATOMIC_O_TRUNC: u64 = 1 << 3;
pub const EXPORT_SUPPORT: u64 = 1 << 4;
pub const BIG_WRITES: u64 = 1 << 5;
pub const DONT_MASK: u64 = 1 << 6;
pub const FLOCK_LOCKS: u64 = 1 << 10;
pub const HAS_IOCTL_DIR: u64 = 1 << 11;
pub const AUTO_INVAL_DATA: u64 = 1 << 12;
pub const DO_READDIRPLUS: u64 = 1 << 13;
pub const READDIRPLUS_AUTO: u64 = 1 << 14;
pub const ASYNC_DIO: u64 = 1 << 15;
pub const WRITEBACK_CACHE: u64 = 1 << 16;
pub const PARALLEL_DIROPS: u64 = 1 << 18;
pub const HANDLE_KILLPRIV: u64 = 1 << 19;
pub const POSIX_ACL: u64 = 1 << 20;
pub const ABORT_ERROR: u64 = 1 << 21;
pub const MAX_PAGES: u64 = 1 << 22;
pub const CACHE_SYMLINKS: u64 = 1 << 23;
pub const EXPLICIT_INVAL_DATA: u64 = 1 << 25;
pub const HANDLE_KILLPRIV_V2: u64 = 1 << 28;
pub const SETXATTR_EXT: u64 = 1 << 29;
const INIT_EXT: u64 = 1 << 30;
pub const SECURITY_CTX: u64 = 1 << 32;
pub const CREATE_SUPP_GROUP: u64 = 1 << 34;
pub const DIRECT_IO_ALLOW_MMAP: u64 = 1 << 36;
pub const PASSTHROUGH: u64 = 1 << 37;
pub const ALLOW_IDMAP: u64 = 1 << 40;
pub const REQUEST_TIMEOUT: u64 = 1 << 42;

/// Bits of answers to OPEN.
pub const DIRECT_IO: u32 = 1;
pub const KEEP_CACHE: u32 = 1 << 1;
pub const NONSEEKABLE: u32 = 1 << 2;
pub const CACHE_DIR: u32 = 1 << 3;
pub const STREAM: u32 = 1 << 4;
pub const NOFLUSH: u32 = 1 << 5;
pub const PARALLEL_DIRECT_WRITES: u32 = 1 << 6;
const OPEN_PASSTHROUGH: u32 = 1 << 7;

const ROOT: u64 = 1;
/// _IOW(229, 1, struct fuse_backing_map), _IOW(229, 2, uint32_t), _IOR(229, 0, uint32_t).
const BACKING_OPEN: u32 = 0x4010_e501;
const BACKING_CLOSE: u32 = 0x4004_e502;
pub const DEVICE_CLONE: u32 = 0x8004_e500;

const MAX_WRITE: u32 = 128 * 1024;
const REQUEST_MAX: usize = 2 * MAX_WRITE as usize;
const OUT_HEADER: usize = 16;

/// An attribute that tells the server to send notifications about the file that it is set on.
pub const NOTIFY: &str = "user.notify";

/// Wrong answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FuseWrong {
    Nothing,
    Dies,
    /// Not all of it.
    Short,
    /// More than is allowed.
    Long,
    /// A number that is no request's, before the good answer.
    OtherRequest,
    /// An error that is none, before the good answer.
    NoError,
    /// This error.
    Error(i32),
    /// The right length, but each byte is junk.
    Junk,
    /// No answer until it is interrupted.
    Silent,
}

#[derive(Debug, Clone, Copy)]
pub struct FuseManner {
    pub flags: u64,
    pub open_flags: u32,
    /// Seconds for which names and attributes are good.
    pub valid: u64,
    /// Requests and answers go by pipes.
    pub is_spliced: bool,
    pub minor: u32,
    pub wrong: FuseWrong,
    /// The kind of request that the wrong answer is for.
    pub wrong_of: u32,
}

pub const GOOD: FuseManner = FuseManner {
    flags: ASYNC_READ | BIG_WRITES | POSIX_LOCKS | FLOCK_LOCKS,
    open_flags: 0,
    valid: 0,
    is_spliced: false,
    minor: 45,
    wrong: FuseWrong::Nothing,
    wrong_of: 0,
};

#[derive(Debug)]
struct FuseNode {
    handle: Handle,
    lookups: u64,
    backing: Option<i32>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    entries: Vec<Entry>,
}

/// A request without what it is about.
#[derive(Debug, Clone, Copy)]
struct FuseHeader {
    code: u32,
    unique: u64,
    node: u64,
}

#[derive(Debug)]
pub struct FuseServer {
    device: File,
    pipe: (File, File),
    manner: FuseManner,
    nodes: HashMap<u64, FuseNode>,
    opened: HashMap<u64, Opened>,
    last: u64,
    locks: Locks,
    /// Locks that are waited for.
    waiting: Vec<(u64, MirrorLock)>,
    /// Requests that are not answered.
    silent: Vec<u64>,
    notifications: Vec<Vec<u8>>,
}

fn error<T>(number: i32) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(number))
}

impl FuseServer {
    /// # Errors
    /// When there is no such directory.
    pub fn new(device: File, root: &Path, manner: FuseManner) -> io::Result<FuseServer> {
        let pipe = sys::pipe()?;
        if manner.is_spliced {
            sys!(SYS_fcntl, pipe.0.as_raw_fd(), libc::F_SETPIPE_SZ, 4 * REQUEST_MAX)?;
        }
        let root = FuseNode { handle: Handle::new(root)?, lookups: 1, backing: None };
        Ok(FuseServer {
            device,
            pipe,
            manner,
            nodes: HashMap::from([(ROOT, root)]),
            opened: HashMap::new(),
            last: 0,
            locks: Locks::default(),
            waiting: Vec::new(),
            silent: Vec::new(),
            notifications: Vec::new(),
        })
    }

    /// Serves until the file system is unmounted.
    ///
    /// # Errors
    /// Those of the device.
    pub fn serve(mut self) -> io::Result<()> {
        let mut request = vec![0; REQUEST_MAX];
        loop {
            let length = match self.receive(&mut request) {
                Ok(length) => length,
                Err(error) => match error.raw_os_error() {
                    // It is unmounted, or was aborted.
                    Some(libc::ENODEV | libc::ECONNABORTED | libc::EPERM) => return Ok(()),
                    // The request was interrupted before it was read, or a failure was forced: the kernel ends the request.
                    _ => continue,
                },
            };
            let mut reader = WireReader(&request[..length]);
            let (_, code) = (reader.u32()?, reader.u32()?);
            let header = FuseHeader { code, unique: reader.u64()?, node: reader.u64()? };
            reader.bytes(16)?;
            if self.manner.wrong == FuseWrong::Dies && self.manner.wrong_of == code {
                return Ok(());
            }
            self.take(header, &mut reader);
            for notification in std::mem::take(&mut self.notifications) {
                let _ = self.send(&notification);
            }
        }
    }

    fn receive(&mut self, request: &mut [u8]) -> io::Result<usize> {
        if !self.manner.is_spliced {
            return self.device.read(request);
        }
        let (device, pipe) = (self.device.as_raw_fd(), self.pipe.1.as_raw_fd());
        let length = sys!(SYS_splice, device, 0, pipe, 0, request.len(), libc::SPLICE_F_MOVE)? as usize;
        self.pipe.0.read_exact(&mut request[..length])?;
        Ok(length)
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        if !self.manner.is_spliced {
            return self.device.write(message).map(drop);
        }
        self.pipe.1.write_all(message)?;
        let (device, pipe) = (self.device.as_raw_fd(), self.pipe.0.as_raw_fd());
        let sent = sys!(SYS_splice, pipe, 0, device, 0, message.len(), libc::SPLICE_F_MOVE);
        if sent.is_err() {
            // What was refused is still in the pipe.
            self.pipe = sys::pipe()?;
            sys!(SYS_fcntl, self.pipe.0.as_raw_fd(), libc::F_SETPIPE_SZ, 4 * REQUEST_MAX)?;
        }
        sent.map(drop)
    }

    /// Carries out a request, and answers unless it is of a kind that has no answer, or waits.
    fn take(&mut self, header: FuseHeader, ask: &mut WireReader<'_>) {
        let is_wrong = self.manner.wrong_of == header.code && self.manner.wrong != FuseWrong::Nothing;
        if is_wrong && self.manner.wrong == FuseWrong::Silent {
            self.silent.push(header.unique);
            return;
        }
        match header.code {
            FORGET => {
                let _ = ask.u64().map(|count| self.forget(header.node, count));
            }
            BATCH_FORGET => {
                let _ = ask.u64();
                while let (Ok(node), Ok(count)) = (ask.u64(), ask.u64()) {
                    self.forget(node, count);
                }
            }
            NOTIFY_REPLY => {}
            INTERRUPT => {
                let Ok(unique) = ask.u64() else { return };
                let waits = self.silent.contains(&unique) || self.waiting.iter().any(|one| one.0 == unique);
                self.silent.retain(|one| *one != unique);
                self.waiting.retain(|one| one.0 != unique);
                if waits {
                    let _ = self.send(&answer(unique, &Err(io::Error::from_raw_os_error(libc::EINTR))));
                }
            }
            _ => {
                let mut out = Writer::default();
                let end = self.carry_out(header, ask, &mut out).map(|()| out.0);
                if self.waiting.iter().any(|one| one.0 == header.unique) {
                    return;
                }
                let good = answer(header.unique, &end);
                let is_sent = is_wrong && self.send_wrong(&good).is_ok();
                // Again after a failure that was forced; of a request that has ended meanwhile there is an error both times.
                if !is_sent && self.send(&good).is_err() {
                    let _ = self.send(&good);
                }
            }
        }
    }

    /// An error: the good answer is to follow.
    fn send_wrong(&mut self, good: &[u8]) -> io::Result<()> {
        let mut wrong = good.to_vec();
        match self.manner.wrong {
            FuseWrong::Short => wrong.truncate((good.len() - 5).max(OUT_HEADER)),
            FuseWrong::Long => wrong.extend_from_slice(&[7; 5000]),
            FuseWrong::OtherRequest => wrong[8] ^= 0x40,
            FuseWrong::NoError => wrong[4..8].copy_from_slice(&5_i32.to_le_bytes()),
            FuseWrong::Error(number) => {
                wrong.truncate(OUT_HEADER);
                wrong[4..8].copy_from_slice(&(-number).to_le_bytes());
            }
            FuseWrong::Junk => wrong[OUT_HEADER..].fill(0xa5),
            FuseWrong::Nothing | FuseWrong::Dies | FuseWrong::Silent => {}
        }
        set_length(&mut wrong);
        self.send(&wrong)
    }

    fn carry_out(
        &mut self,
        header: FuseHeader,
        ask: &mut WireReader<'_>,
        out: &mut Writer,
    ) -> io::Result<()> {
        match header.code {
            INIT => self.agree(ask, out),
            LOOKUP => {
                let child = self.node(header.node)?.handle.child(ask.terminated()?)?;
                self.put_entry(out, child).map(drop)
            }
            GETATTR => self.put_attributes(out, header.node),
            STATX => self.put_statx(out, header.node),
            SETATTR => self.change(header.node, ask, out),
            SYMLINK | MKNOD | MKDIR | LINK => self.make(header, ask, out),
            UNLINK | RMDIR | RENAME | RENAME2 => self.move_or_remove(header, ask),
            OPEN | OPENDIR | CREATE => self.open(header, ask, out),
            READ | WRITE | FSYNC | FSYNCDIR | FALLOCATE | LSEEK => self.use_file(header.code, ask, out),
            COPY_FILE_RANGE | COPY_FILE_RANGE_64 => self.copy(header.code, ask, out),
            READDIR | READDIRPLUS => self.list(header, ask, out),
            SETXATTR | GETXATTR | LISTXATTR | REMOVEXATTR => self.attribute(header, ask, out),
            GETLK | SETLK | SETLKW => self.lock(header, ask, out),
            RELEASE | RELEASEDIR | FLUSH => self.release(header, ask),
            ACCESS | DESTROY | SYNCFS => Ok(()),
            READLINK => {
                out.bytes(&self.node(header.node)?.handle.target()?);
                Ok(())
            }
            STATFS => self.statistics(header.node, out),
            IOCTL => {
                ask.bytes(28)?;
                let room = ask.u32()? as usize;
                out.u32(0).u32(0).u32(0).u32(0).bytes(&vec![0; room.min(4096)]);
                Ok(())
            }
            POLL => {
                let (_fh, handle, flags) = (ask.u64()?, ask.u64()?, ask.u32()?);
                out.u32(if flags & 1 == 0 { u32::from(libc::POLLIN as u16) } else { 0 }).u32(0);
                if flags & 1 != 0 {
                    self.notifications.push(notification(1, |note| _ = note.u64(handle)));
                }
                Ok(())
            }
            _ => error(libc::ENOSYS),
        }
    }

    fn node(&self, node: u64) -> io::Result<&FuseNode> {
        self.nodes.get(&node).ok_or_else(|| io::Error::from_raw_os_error(libc::ESTALE))
    }

    fn opened(&mut self, ask: &mut WireReader<'_>) -> io::Result<&mut Opened> {
        let fh = ask.u64()?;
        self.opened.get_mut(&fh).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    fn forget(&mut self, number: u64, count: u64) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        node.lookups = node.lookups.saturating_sub(count);
        if node.lookups == 0 && number != ROOT {
            if let Some(backing) = node.backing {
                let _ = sys!(SYS_ioctl, self.device.as_raw_fd(), BACKING_CLOSE, [backing].as_ptr());
            }
            self.nodes.remove(&number);
        }
    }

    fn agree(&mut self, ask: &mut WireReader<'_>, out: &mut Writer) -> io::Result<()> {
        let (_major, minor, readahead, mut offered) =
            (ask.u32()?, ask.u32()?, ask.u32()?, u64::from(ask.u32()?));
        offered |= u64::from(ask.u32().unwrap_or(0)) << 32;
        let flags = offered & (self.manner.flags | INIT_EXT);
        out.u32(7).u32(minor.min(self.manner.minor)).u32(readahead).u32(flags as u32);
        // Requests in the background, those from which on it is congested, bytes of a write, granularity of time, pages.
        out.u16(12)
            .u16(9)
            .u32(MAX_WRITE)
            .u32(1)
            .u16((MAX_WRITE / 4096) as u16)
            .u16(0)
            .u32((flags >> 32) as u32);
        // Depth of stacked file systems, seconds of a request.
        out.u32(u32::from(flags & PASSTHROUGH != 0)).u16(60).bytes(&[0; 22]);
        Ok(())
    }

    /// Counts a lookup of the file.
    fn put_entry(&mut self, out: &mut Writer, handle: Handle) -> io::Result<u64> {
        let found = handle.metadata()?;
        // tmpfs gives no number twice.
        let number = found.ino() + 100;
        let new = || FuseNode { handle, lookups: 0, backing: None };
        self.nodes.entry(number).or_insert_with(new).lookups += 1;
        let valid = self.manner.valid;
        out.u64(number).u64(0).u64(valid).u64(valid).u32(0).u32(0);
        put_attributes(out, &found);
        Ok(number)
    }

    fn put_attributes(&self, out: &mut Writer, node: u64) -> io::Result<()> {
        let found = self.node(node)?.handle.metadata()?;
        out.u64(self.manner.valid).u32(0).u32(0);
        put_attributes(out, &found);
        Ok(())
    }

    /// struct fuse_statx is struct statx.
    fn put_statx(&self, out: &mut Writer, node: u64) -> io::Result<()> {
        let handle = &self.node(node)?.handle;
        let mut found = [0_u8; 256];
        sys!(SYS_statx, handle.fd(), c"".as_ptr(), libc::AT_EMPTY_PATH, 0xfff, found.as_mut_ptr())?;
        out.u64(self.manner.valid).u32(0).u32(0).bytes(&[0; 16]).bytes(&found);
        Ok(())
    }

    fn change(&mut self, node: u64, ask: &mut WireReader<'_>, out: &mut Writer) -> io::Result<()> {
        let valid = ask.u64()? as u32;
        let (_fh, size, _owner) = (ask.u64()?, ask.u64()?, ask.u64()?);
        let (atime, mtime, _ctime) = (ask.u64()?, ask.u64()?, ask.u64()?);
        let (atime_nsec, mtime_nsec, _) = (ask.u32()?, ask.u32()?, ask.u32()?);
        let (mode, _, uid, gid) = (ask.u32()?, ask.u32()?, ask.u32()?, ask.u32()?);
        let has = |bit: u32| valid & 1 << bit != 0;
        let time = |bit: u32, now: u32, time: (u64, u32)| has(bit).then(|| (!has(now)).then_some(time));
        self.node(node)?.handle.set(&MirrorChange {
            mode: has(0).then_some(mode),
            uid: has(1).then_some(uid),
            gid: has(2).then_some(gid),
            size: has(3).then_some(size),
            atime: time(4, 7, (atime, atime_nsec)),
            mtime: time(5, 8, (mtime, mtime_nsec)),
        })?;
        self.put_attributes(out, node)
    }

    fn make(&mut self, header: FuseHeader, ask: &mut WireReader<'_>, out: &mut Writer) -> io::Result<()> {
        let directory = &self.node(header.node)?.handle;
        let made = match header.code {
            SYMLINK => directory.make_symlink(ask.terminated()?, ask.terminated()?)?,
            MKDIR => {
                let (mode, _umask) = (ask.u32()?, ask.u32()?);
                directory.make_directory(ask.terminated()?, mode & 0o7777)?
            }
            LINK => {
                let file = &self.node(ask.u64()?)?.handle;
                let name = ask.terminated()?;
                directory.make_link(name, file)?;
                directory.child(name)?
            }
            _ => {
                let (mode, device, _) = (ask.u32()?, ask.u32()?, ask.u64()?);
                directory.make_node(ask.terminated()?, mode, device.into())?
            }
        };
        self.put_entry(out, made).map(drop)
    }

    fn move_or_remove(&mut self, header: FuseHeader, ask: &mut WireReader<'_>) -> io::Result<()> {
        let directory = &self.node(header.node)?.handle;
        match header.code {
            UNLINK => directory.remove(ask.terminated()?, 0),
            RMDIR => directory.remove(ask.terminated()?, libc::AT_REMOVEDIR),
            _ => {
                let to = &self.node(ask.u64()?)?.handle;
                let flags = if header.code == RENAME2 { ask.u64()? as u32 } else { 0 };
                directory.rename(ask.terminated()?, to, ask.terminated()?, flags)
            }
        }
    }

    fn open(&mut self, header: FuseHeader, ask: &mut WireReader<'_>, out: &mut Writer) -> io::Result<()> {
        let flags = ask.u32()? as i32;
        let kept = flags & (libc::O_TRUNC | libc::O_EXCL);
        // Pages of a cache are read by a file that is only written (fs/fuse/file.c).
        let access = match flags & libc::O_ACCMODE {
            libc::O_RDONLY => libc::O_RDONLY,
            _ => libc::O_RDWR,
        };
        let (number, file) = match header.code {
            CREATE => {
                let (mode, _umask, _open) = (ask.u32()?, ask.u32()?, ask.u32()?);
                let (handle, file) =
                    self.node(header.node)?.handle.create(ask.terminated()?, kept | access, mode & 0o7777)?;
                (self.put_entry(out, handle)?, file)
            }
            OPENDIR => (header.node, self.node(header.node)?.handle.open(libc::O_DIRECTORY)?),
            _ => (header.node, self.node(header.node)?.handle.open(kept & libc::O_TRUNC | access)?),
        };
        let is_directory = header.code == OPENDIR;
        let mut answer = self.manner.open_flags;
        answer &= if is_directory { CACHE_DIR | KEEP_CACHE } else { !CACHE_DIR };
        let mut backing = 0;
        if self.manner.flags & PASSTHROUGH != 0 && !is_directory {
            backing = self.backing(number)?;
            answer |= OPEN_PASSTHROUGH;
        }
        self.last += 1;
        self.opened.insert(self.last, Opened { file, entries: Vec::new() });
        out.u64(self.last).u32(answer).u32(backing as u32);
        Ok(())
    }

    /// The file that reads and writes go to without the server: one for each inode.
    fn backing(&mut self, number: u64) -> io::Result<i32> {
        let device = self.device.as_raw_fd();
        let Some(node) = self.nodes.get_mut(&number) else { return error(libc::ESTALE) };
        if let Some(backing) = node.backing {
            return Ok(backing);
        }
        let file = node.handle.open(libc::O_RDWR)?;
        let map = [file.as_raw_fd(), 0, 0, 0];
        let backing = sys!(SYS_ioctl, device, BACKING_OPEN, map.as_ptr())? as i32;
        node.backing = Some(backing);
        Ok(backing)
    }

    fn use_file(&mut self, code: u32, ask: &mut WireReader<'_>, out: &mut Writer) -> io::Result<()> {
        let file = &self.opened(ask)?.file;
        match code {
            READ => {
                let (offset, size) = (ask.u64()?, ask.u32()?);
                let mut data = vec![0; size.min(MAX_WRITE * 2) as usize];
                let length = file.read_at(&mut data, offset)?;
                out.bytes(&data[..length]);
            }
            WRITE => {
                let (offset, size) = (ask.u64()?, ask.u32()?);
                ask.bytes(20)?;
                file.write_all_at(ask.bytes(size as usize)?, offset)?;
                out.u32(size).u32(0);
            }
            FALLOCATE => {
                let (offset, length, mode) = (ask.u64()?, ask.u64()?, ask.u32()?);
                sys!(SYS_fallocate, file.as_raw_fd(), mode, offset, length)?;
            }
            LSEEK => {
                let (offset, whence) = (ask.u64()?, ask.u32()?);
                out.u64(sys!(SYS_lseek, file.as_raw_fd(), offset, whence)? as u64);
            }
            _ if ask.u32()? & 1 != 0 => file.sync_data()?,
            _ => file.sync_all()?,
        }
        Ok(())
    }

    fn copy(&mut self, code: u32, ask: &mut WireReader<'_>, out: &mut Writer) -> io::Result<()> {
        let from = self.opened(ask)?.file.try_clone()?;
        let (mut at, _node) = (ask.u64()?, ask.u64()?);
        let to = &self.opened(ask)?.file;
        let (mut to_at, length) = (ask.u64()?, ask.u64()?);
        let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
        let copied = sys!(SYS_copy_file_range, from, &raw mut at, to, &raw mut to_at, length, 0)?;
        match code {
            COPY_FILE_RANGE => out.u32(copied as u32).u32(0),
            _ => out.u64(copied as u64),
        };
        Ok(())
    }

    fn list(&mut self, header: FuseHeader, ask: &mut WireReader<'_>, out: &mut Writer) -> io::Result<()> {
        let handle = self.node(header.node)?.handle.again()?;
        let opened = self.opened(ask)?;
        let (offset, size) = (ask.u64()? as usize, ask.u32()? as usize);
        if offset == 0 {
            opened.entries = handle.entries()?;
        }
        let entries: Vec<Entry> = opened.entries.iter().skip(offset).cloned().collect();
        let is_plus = header.code == READDIRPLUS;
        for (at, entry) in entries.iter().enumerate() {
            let length = if is_plus { 128 } else { 0 } + 24 + entry.name.len().next_multiple_of(8);
            if out.0.len() + length > size {
                break;
            }
            if is_plus && (entry.name == b"." || entry.name == b"..") {
                // A number of 0: no lookup (fs/fuse/readdir.c, parse_dirplusfile()).
                out.bytes(&[0; 128]);
            } else if is_plus {
                let Ok(child) = handle.child(&entry.name) else { continue };
                self.put_entry(out, child)?;
            }
            out.u64(entry.inode).u64((offset + at + 1) as u64).u32(entry.name.len() as u32);
            out.u32(entry.kind.into()).bytes(&entry.name);
            out.0.resize(out.0.len().next_multiple_of(8), 0);
        }
        Ok(())
    }

    fn attribute(
        &mut self,
        header: FuseHeader,
        ask: &mut WireReader<'_>,
        out: &mut Writer,
    ) -> io::Result<()> {
        let handle = self.node(header.node)?.handle.again()?;
        let (size, value) = match header.code {
            REMOVEXATTR => return handle.remove_attribute(ask.terminated()?),
            SETXATTR => {
                let (size, flags) = (ask.u32()?, ask.u32()?);
                if self.manner.flags & SETXATTR_EXT != 0 {
                    ask.u64()?;
                }
                let name = ask.terminated()?;
                if name == NOTIFY.as_bytes() {
                    self.notify(header.node);
                }
                return handle.set_attribute(name, ask.bytes(size as usize)?, flags);
            }
            GETXATTR => (ask.u64()? as u32, handle.attribute(ask.terminated()?)?),
            _ => (ask.u64()? as u32, handle.attributes()?),
        };
        match size as usize {
            0 => out.u32(value.len() as u32).u32(0),
            room if room < value.len() => return error(libc::ERANGE),
            _ => out.bytes(&value),
        };
        Ok(())
    }

    fn lock(&mut self, header: FuseHeader, ask: &mut WireReader<'_>, out: &mut Writer) -> io::Result<()> {
        let (_fh, owner, start, end) = (ask.u64()?, ask.u64()?, ask.u64()?, ask.u64()?);
        let (kind, pid) = (ask.u32()? as i32, ask.u32()?);
        let is_exclusive = kind == libc::F_WRLCK;
        let lock = MirrorLock { inode: header.node, owner, pid, is_exclusive, start, end };
        let conflict = self.locks.conflict(&lock);
        match (header.code, conflict) {
            (GETLK, None) => {
                out.u64(0).u64(0).u32(libc::F_UNLCK as u32).u32(0);
            }
            (GETLK, Some(held)) => {
                let kind = if held.is_exclusive { libc::F_WRLCK } else { libc::F_RDLCK };
                out.u64(held.start).u64(held.end).u32(kind as u32).u32(held.pid);
            }
            _ if kind == libc::F_UNLCK => self.unlock(&lock),
            (_, None) => self.locks.set(lock),
            (SETLKW, Some(_)) => self.waiting.push((header.unique, lock)),
            _ => return error(libc::EAGAIN),
        }
        Ok(())
    }

    /// Locks that were waited for are given now.
    fn unlock(&mut self, lock: &MirrorLock) {
        self.locks.unset(lock);
        for (unique, wanted) in std::mem::take(&mut self.waiting) {
            if self.locks.conflict(&wanted).is_some() {
                self.waiting.push((unique, wanted));
                continue;
            }
            self.locks.set(wanted);
            let _ = self.send(&answer(unique, &Ok(Vec::new())));
        }
    }

    fn release(&mut self, header: FuseHeader, ask: &mut WireReader<'_>) -> io::Result<()> {
        let (fh, _, owner) = (ask.u64()?, ask.u64()?, ask.u64()?);
        let all =
            MirrorLock { inode: header.node, owner, pid: 0, is_exclusive: true, start: 0, end: u64::MAX };
        self.unlock(&all);
        if header.code != FLUSH {
            self.opened.remove(&fh);
        }
        Ok(())
    }

    fn statistics(&self, node: u64, out: &mut Writer) -> io::Result<()> {
        let found = self.node(node)?.handle.statistics()?;
        for number in [found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree] {
            out.u64(number);
        }
        out.u32(found.f_bsize as u32).u32(found.f_namelen as u32).u32(found.f_bsize as u32).bytes(&[0; 28]);
        Ok(())
    }

    /// Each kind of notification, good and bad, about this node, which is called `there` in the root.
    fn notify(&mut self, node: u64) {
        let name = |note: &mut Writer| _ = note.bytes(b"there\0");
        let all: [&dyn Fn() -> Vec<u8>; 18] = [
            &|| notification(1, |note| _ = note.u64(77)),
            &|| notification(2, |note| _ = note.u64(node).u64(0).u64(0)),
            &|| notification(2, |note| _ = note.u64(node).u64(4096).u64(100)),
            &|| notification(2, |note| _ = note.u64(node).u64(u64::MAX).u64(0)),
            &|| notification(2, |note| _ = note.u64(99_999).u64(0).u64(0)),
            &|| notification(3, |note| name(note.u64(ROOT).u32(5).u32(0))),
            &|| notification(3, |note| name(note.u64(ROOT).u32(5).u32(1))),
            &|| notification(3, |note| name(note.u64(ROOT).u32(2000).u32(0))),
            &|| notification(4, |note| _ = note.u64(node).u64(0).u32(6).u32(0).bytes(b"stored")),
            &|| notification(4, |note| _ = note.u64(node).u64(4000).u32(5000).u32(0).bytes(&[3; 5000])),
            &|| notification(4, |note| _ = note.u64(node).u64(0).u32(600).u32(0)),
            &|| notification(5, |note| _ = note.u64(7).u64(node).u64(0).u32(5000).u32(0)),
            &|| notification(5, |note| _ = note.u64(8).u64(99_999).u64(0).u32(10).u32(0)),
            &|| notification(6, |note| name(note.u64(ROOT).u64(node).u32(5).u32(0))),
            &|| notification(7, |_| {}),
            &|| notification(8, |_| {}),
            &|| notification(9, |note| _ = note.u32(2).u32(0).u64(0).u64(node).u64(99_999)),
            &|| notification(77, |note| _ = note.u64(node)),
        ];
        for make in all {
            let mut message = make();
            self.notifications.push(message.clone());
            // And one that is too short.
            message.truncate((message.len() - 3).max(OUT_HEADER));
            set_length(&mut message);
            self.notifications.push(message);
        }
    }
}

fn put_attributes(out: &mut Writer, found: &Metadata) {
    for number in [found.ino(), found.size(), found.blocks()] {
        out.u64(number);
    }
    for number in [found.atime(), found.mtime(), found.ctime()] {
        out.u64(number as u64);
    }
    for number in [found.atime_nsec(), found.mtime_nsec(), found.ctime_nsec()] {
        out.u32(number as u32);
    }
    out.u32(found.mode()).u32(found.nlink() as u32).u32(found.uid()).u32(found.gid());
    out.u32(found.rdev() as u32).u32(found.blksize() as u32).u32(0);
}

/// struct fuse_out_header and what follows it.
fn answer(unique: u64, end: &io::Result<Vec<u8>>) -> Vec<u8> {
    let (error, data): (i32, &[u8]) = match end {
        Ok(data) => (0, data),
        Err(error) => (-error.raw_os_error().unwrap_or(libc::EIO), &[]),
    };
    let mut answer = Writer::default();
    answer.u32(0).u32(error as u32).u64(unique).bytes(data);
    set_length(&mut answer.0);
    answer.0
}

fn notification(code: u32, put: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut message = Writer::default();
    message.u32(0).u32(code).u64(0);
    put(&mut message);
    set_length(&mut message.0);
    message.0
}

fn set_length(message: &mut [u8]) {
    let length = message.len() as u32;
    message[..4].copy_from_slice(&length.to_le_bytes());
}
