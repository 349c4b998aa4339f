//! A server of 9P2000.L, 9P2000.u and 9P2000 that mirrors a directory, and that can be told to answer wrongly
//! (include/net/9p/9p.h, net/9p/protocol.c).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::mirror::{Entry, Handle, Locks, MirrorChange, MirrorLock, kind};
use crate::wire::{WireReader, Writer};

/// Wrong answers, which begin at a certain request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NinePManner {
    Good,
    /// The connection ends in place of an answer.
    Dies,
    /// Half an answer comes, then the connection ends.
    DiesInside,
    /// The length says so too.
    Short,
    /// Nothing after the header.
    Empty,
    /// Bytes that stand for nothing, after a good header.
    Junk,
    /// A header of junk.
    JunkHeader,
    /// A tag that is none of the client's.
    WrongTag,
    /// The answer to another kind of request.
    WrongType,
    /// A length that is more than the client allows.
    TooLong,
    /// A length that is less than a header.
    TooSmall,
    /// An error with this number.
    Error(u32),
    /// No answer until the request is flushed.
    Silent,
    /// An answer in two pieces.
    Pieces,
}

/// What the client is told of the version.
#[derive(Debug, Clone, Copy)]
pub struct NinePVersion {
    pub msize_max: u32,
    /// None: the client's.
    pub name: Option<&'static str>,
}

pub const ANY_VERSION: NinePVersion = NinePVersion { msize_max: 1 << 20, name: None };

#[derive(Debug)]
struct Fid {
    file: Handle,
    open: Option<File>,
    entries: Vec<Entry>,
    attribute: Option<Attribute>,
}

/// An extended attribute or a list of them, which is read or written as a file is.
#[derive(Debug)]
struct Attribute {
    name: Vec<u8>,
    value: Vec<u8>,
    flags: u32,
    is_written: bool,
}

#[derive(Debug)]
pub struct NinePServer {
    root: Handle,
    fids: HashMap<u32, Fid>,
    locks: Locks,
    version: NinePVersion,
    /// 9P2000.L, and 9P2000.u.
    is_linux: bool,
    is_unix: bool,
    manner: NinePManner,
    /// Requests of the manner's kind that are answered well before it begins.
    before: u32,
    /// The type of requests that the manner is for; 0: any.
    of: u8,
}

const TLERROR: u8 = 6;
const TSTATFS: u8 = 8;
const TLOPEN: u8 = 12;
const TLCREATE: u8 = 14;
const TSYMLINK: u8 = 16;
const TMKNOD: u8 = 18;
const TRENAME: u8 = 20;
const TREADLINK: u8 = 22;
const TGETATTR: u8 = 24;
const TSETATTR: u8 = 26;
const TXATTRWALK: u8 = 30;
const TXATTRCREATE: u8 = 32;
pub const TREADDIR: u8 = 40;
const TFSYNC: u8 = 50;
pub const TLOCK: u8 = 52;
const TGETLOCK: u8 = 54;
const TLINK: u8 = 70;
const TMKDIR: u8 = 72;
const TRENAMEAT: u8 = 74;
const TUNLINKAT: u8 = 76;
pub const TVERSION: u8 = 100;
const TATTACH: u8 = 104;
const TERROR: u8 = 106;
const TFLUSH: u8 = 108;
pub const TWALK: u8 = 110;
const TOPEN: u8 = 112;
const TCREATE: u8 = 114;
pub const TREAD: u8 = 116;
pub const TWRITE: u8 = 118;
const TCLUNK: u8 = 120;
const TREMOVE: u8 = 122;
const TSTAT: u8 = 124;
const TWSTAT: u8 = 126;

const HEADER: usize = 7;
/// Bits of modes of 9P2000.u.
const DMDIR: u32 = 0x8000_0000;
const DMSYMLINK: u32 = 0x0200_0000;
const DMLINK: u32 = 0x0100_0000;
const DMDEVICE: u32 = 0x0080_0000;
const DMNAMEDPIPE: u32 = 0x0020_0000;
const DMSOCKET: u32 = 0x0010_0000;

fn error<T>(number: i32) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(number))
}

impl NinePServer {
    /// # Errors
    /// When there is no such directory.
    pub fn new(root: &Path, version: NinePVersion) -> io::Result<NinePServer> {
        Ok(NinePServer {
            root: Handle::new(root)?,
            fids: HashMap::new(),
            locks: Locks::default(),
            version,
            is_linux: true,
            is_unix: true,
            manner: NinePManner::Good,
            before: 0,
            of: 0,
        })
    }

    /// Answers in this manner to requests of the type `of` (0: any), after `before` of them.
    #[must_use]
    pub fn with(mut self, manner: NinePManner, of: u8, before: u32) -> NinePServer {
        (self.manner, self.of, self.before) = (manner, of, before);
        self
    }

    /// Serves until the connection ends.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn serve(mut self, mut input: impl Read, mut output: impl Write) -> io::Result<()> {
        let mut silent = Vec::new();
        loop {
            let mut header = [0; HEADER];
            input.read_exact(&mut header)?;
            let mut reader = WireReader(&header);
            let (length, kind, tag) = (reader.u32()? as usize, reader.u8()?, reader.u16()?);
            let mut body = vec![0; length.saturating_sub(HEADER)];
            input.read_exact(&mut body)?;
            let manner = self.manner_of(kind);
            if manner == NinePManner::Silent {
                silent.push(tag);
                continue;
            }
            let mut answer = self.answer(kind, tag, &body);
            let ends = spoil(&mut answer, manner);
            if manner == NinePManner::Pieces {
                let (first, rest) = answer.split_at(answer.len() - 2);
                output.write_all(first)?;
                std::thread::sleep(std::time::Duration::from_millis(2));
                output.write_all(rest)?;
            } else {
                output.write_all(&answer)?;
            }
            if ends {
                return Ok(());
            }
        }
    }

    fn manner_of(&mut self, kind: u8) -> NinePManner {
        if self.of != 0 && self.of != kind {
            return NinePManner::Good;
        }
        if self.before > 0 {
            self.before -= 1;
            return NinePManner::Good;
        }
        self.manner
    }

    fn answer(&mut self, kind: u8, tag: u16, body: &[u8]) -> Vec<u8> {
        let mut answer = Writer::default();
        answer.u32(0).u8(kind + 1).u16(tag);
        if let Err(error) = self.carry_out(kind, &mut WireReader(body), &mut answer) {
            let number = error.raw_os_error().unwrap_or(libc::EIO) as u32;
            answer.0.truncate(4);
            self.put_error(&mut answer, tag, number);
        }
        set_length(&mut answer.0);
        answer.0
    }

    fn put_error(&self, answer: &mut Writer, tag: u16, number: u32) {
        if self.is_linux {
            answer.u8(TLERROR + 1).u16(tag).u32(number);
            return;
        }
        let text = match number as i32 {
            libc::ENOENT => "No such file or directory",
            libc::EEXIST => "File exists",
            libc::ENOTEMPTY => "Directory not empty",
            libc::EPERM => "permission denied",
            _ => "something else",
        };
        answer.u8(TERROR + 1).u16(tag).counted(text.as_bytes());
        if self.is_unix {
            answer.u32(number);
        }
    }

    fn carry_out(&mut self, kind: u8, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        match kind {
            TVERSION => self.agree(ask, answer),
            TATTACH => self.attach(ask, answer),
            TWALK => self.walk(ask, answer),
            TCLUNK => self.clunk(ask),
            TREMOVE => self.remove(ask),
            TREAD => self.read(ask, answer),
            TWRITE => self.write(ask, answer),
            TFLUSH => Ok(()),
            TOPEN if !self.is_linux => self.open_plain(ask, answer),
            TCREATE if !self.is_linux => self.create_plain(ask, answer),
            TSTAT if !self.is_linux => self.stat_plain(ask, answer),
            TWSTAT if !self.is_linux => self.change_plain(ask),
            _ if self.is_linux => self.carry_out_linux(kind, ask, answer),
            _ => error(libc::EOPNOTSUPP),
        }
    }

    fn carry_out_linux(&mut self, kind: u8, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        match kind {
            TSTATFS => self.statistics(ask, answer),
            TLOPEN => self.open(ask, answer),
            TLCREATE => self.create(ask, answer),
            TSYMLINK | TMKNOD | TMKDIR => self.make(kind, ask, answer),
            TRENAME => self.rename(ask),
            TREADLINK => {
                answer.counted(&self.fid(ask)?.file.target()?);
                Ok(())
            }
            TGETATTR => self.attributes(ask, answer),
            TSETATTR => self.change(ask),
            TXATTRWALK => self.attribute_read(ask, answer),
            TXATTRCREATE => self.attribute_written(ask),
            TREADDIR => self.list(ask, answer),
            TFSYNC => match &self.fid(ask)?.open {
                Some(file) if ask.u32()? != 0 => file.sync_data(),
                Some(file) => file.sync_all(),
                None => error(libc::EBADF),
            },
            TLOCK => self.lock(ask, answer),
            TGETLOCK => self.asked_lock(ask, answer),
            TLINK => {
                let directory = self.fid(ask)?.file.again()?;
                let file = &self.fid(ask)?.file;
                directory.make_link(ask.counted()?, file)
            }
            TRENAMEAT => {
                let (from, name) = (self.fid(ask)?.file.again()?, ask.counted()?);
                let to = &self.fid(ask)?.file;
                from.rename(name, to, ask.counted()?, 0)
            }
            TUNLINKAT => {
                let (directory, name) = (self.fid(ask)?.file.again()?, ask.counted()?);
                directory.remove(name, ask.u32()? as i32 & libc::AT_REMOVEDIR)
            }
            _ => error(libc::EOPNOTSUPP),
        }
    }

    fn fid(&mut self, ask: &mut WireReader<'_>) -> io::Result<&mut Fid> {
        let fid = ask.u32()?;
        self.fids.get_mut(&fid).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    fn new_fid(&mut self, fid: u32, file: Handle) {
        self.fids.insert(fid, Fid { file, open: None, entries: Vec::new(), attribute: None });
    }

    fn agree(&mut self, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        let (msize, wanted) = (ask.u32()?, ask.counted()?);
        let name = self.version.name.map_or(wanted, str::as_bytes);
        self.is_linux = name == b"9P2000.L";
        self.is_unix = self.is_linux || name == b"9P2000.u";
        self.fids.clear();
        answer.u32(msize.min(self.version.msize_max)).counted(name);
        Ok(())
    }

    fn attach(&mut self, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        let fid = ask.u32()?;
        let root = self.root.again()?;
        put_qid(answer, &root)?;
        self.new_fid(fid, root);
        Ok(())
    }

    /// Fewer answers than names, if a name is not there, but not none.
    fn walk(&mut self, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        let mut at = self.fid(ask)?.file.again()?;
        let (new, count) = (ask.u32()?, ask.u16()?);
        let mut found = Writer::default();
        let mut walked = 0;
        for _ in 0..count {
            match at.child(ask.counted()?) {
                Ok(child) => at = child,
                Err(error) if walked == 0 => return Err(error),
                Err(_) => break,
            }
            put_qid(&mut found, &at)?;
            walked += 1;
        }
        answer.u16(walked).bytes(&found.0);
        if walked == count {
            self.new_fid(new, at);
        }
        Ok(())
    }

    /// An attribute is set when its fid goes.
    fn clunk(&mut self, ask: &mut WireReader<'_>) -> io::Result<()> {
        let Some(fid) = self.fids.remove(&ask.u32()?) else { return error(libc::EBADF) };
        match fid.attribute {
            Some(attribute) if attribute.is_written && attribute.value.is_empty() => {
                fid.file.remove_attribute(&attribute.name)
            }
            Some(attribute) if attribute.is_written => {
                fid.file.set_attribute(&attribute.name, &attribute.value, attribute.flags)
            }
            _ => Ok(()),
        }
    }

    fn remove(&mut self, ask: &mut WireReader<'_>) -> io::Result<()> {
        let Some(fid) = self.fids.remove(&ask.u32()?) else { return error(libc::EBADF) };
        let (directory, name) = fid.file.place()?;
        let flags = if fid.file.metadata()?.is_dir() { libc::AT_REMOVEDIR } else { 0 };
        directory.remove(&name, flags)
    }

    fn read(&mut self, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        let (is_linux, is_unix) = (self.is_linux, self.is_unix);
        let fid = self.fid(ask)?;
        let (offset, count) = (ask.u64()?, ask.u32()? as usize);
        let mut data = vec![0; count.min(1 << 20)];
        let length = match (&fid.attribute, &fid.open) {
            (Some(attribute), _) => {
                let rest = attribute.value.get(offset as usize..).unwrap_or_default();
                data = rest[..rest.len().min(count)].to_vec();
                data.len()
            }
            (None, Some(_)) if !is_linux && fid.file.metadata()?.is_dir() => {
                data = list_plain(fid, offset, count, is_unix)?;
                data.len()
            }
            (None, Some(file)) => file.read_at(&mut data, offset)?,
            (None, None) => return error(libc::EBADF),
        };
        data.truncate(length);
        answer.u32(length as u32).bytes(&data);
        Ok(())
    }

    fn write(&mut self, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        let fid = self.fid(ask)?;
        let (offset, count) = (ask.u64()?, ask.u32()?);
        let data = ask.bytes(count as usize)?;
        match (&mut fid.attribute, &fid.open) {
            (Some(attribute), _) if attribute.is_written => attribute.value.extend_from_slice(data),
            (_, Some(file)) => file.write_all_at(data, offset)?,
            _ => return error(libc::EBADF),
        }
        answer.u32(count);
        Ok(())
    }

    fn statistics(&mut self, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        let found = self.fid(ask)?.file.statistics()?;
        answer.u32(0x0102_1997).u32(found.f_bsize as u32);
        for number in [found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree, 7] {
            answer.u64(number);
        }
        answer.u32(found.f_namelen as u32);
        Ok(())
    }

    fn open(&mut self, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        let fid = self.fid(ask)?;
        let flags = ask.u32()? as i32 & (libc::O_ACCMODE | libc::O_TRUNC);
        fid.open = Some(fid.file.open(flags | libc::O_NONBLOCK)?);
        put_qid(answer, &fid.file)?;
        answer.u32(0);
        Ok(())
    }

    fn create(&mut self, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        let fid = self.fid(ask)?;
        let (name, flags, mode, gid) = (ask.counted()?, ask.u32()? as i32, ask.u32()?, ask.u32()?);
        let flags = flags & (libc::O_ACCMODE | libc::O_TRUNC | libc::O_EXCL);
        let (handle, file) = fid.file.create(name, flags, mode & 0o7777)?;
        handle.set(&MirrorChange { gid: Some(gid), ..MirrorChange::default() })?;
        (fid.file, fid.open) = (handle, Some(file));
        put_qid(answer, &fid.file)?;
        answer.u32(0);
        Ok(())
    }

    fn make(&mut self, kind: u8, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        let directory = &self.fid(ask)?.file;
        let name = ask.counted()?;
        let made = match kind {
            TSYMLINK => directory.make_symlink(name, ask.counted()?)?,
            TMKDIR => directory.make_directory(name, ask.u32()? & 0o7777)?,
            _ => {
                let (mode, major, minor) = (ask.u32()?, ask.u32()?, ask.u32()?);
                directory.make_node(name, mode, libc::makedev(major, minor))?
            }
        };
        put_qid(answer, &made)
    }

    fn rename(&mut self, ask: &mut WireReader<'_>) -> io::Result<()> {
        let (directory, name) = self.fid(ask)?.file.place()?;
        let to = &self.fid(ask)?.file;
        directory.rename(&name, to, ask.counted()?, 0)
    }

    fn attributes(&mut self, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        let file = &self.fid(ask)?.file;
        let found = file.metadata()?;
        // P9_STATS_BASIC.
        answer.u64(0x7ff);
        put_qid(answer, file)?;
        answer.u32(found.mode()).u32(found.uid()).u32(found.gid());
        for number in [found.nlink(), found.rdev(), found.size(), found.blksize(), found.blocks()] {
            answer.u64(number);
        }
        for number in [found.atime(), found.atime_nsec(), found.mtime(), found.mtime_nsec()] {
            answer.u64(number as u64);
        }
        for number in [found.ctime(), found.ctime_nsec(), 0, 0, 0, 0] {
            answer.u64(number as u64);
        }
        Ok(())
    }

    fn change(&mut self, ask: &mut WireReader<'_>) -> io::Result<()> {
        let file = &self.fid(ask)?.file;
        let (valid, mode, uid, gid, size) = (ask.u32()?, ask.u32()?, ask.u32()?, ask.u32()?, ask.u64()?);
        let mut times = [0; 4];
        for time in &mut times {
            *time = ask.u64()?;
        }
        let has = |bit: u32| valid & 1 << bit != 0;
        // P9_ATTR_ATIME and so on: the bits of include/net/9p/9p.h.
        let time = |bit: u32, is_given: u32, at: usize| {
            has(bit).then(|| has(is_given).then_some((times[at], times[at + 1] as u32)))
        };
        file.set(&MirrorChange {
            mode: has(0).then_some(mode),
            uid: has(1).then_some(uid),
            gid: has(2).then_some(gid),
            size: has(3).then_some(size),
            atime: time(4, 7, 0),
            mtime: time(5, 8, 2),
        })
    }

    fn attribute_read(&mut self, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        let file = self.fid(ask)?.file.again()?;
        let (new, name) = (ask.u32()?, ask.counted()?.to_vec());
        let value = if name.is_empty() { file.attributes()? } else { file.attribute(&name)? };
        answer.u64(value.len() as u64);
        let attribute = Some(Attribute { name, value, flags: 0, is_written: false });
        self.fids.insert(new, Fid { file, open: None, entries: Vec::new(), attribute });
        Ok(())
    }

    fn attribute_written(&mut self, ask: &mut WireReader<'_>) -> io::Result<()> {
        let fid = self.fid(ask)?;
        let (name, _size, flags) = (ask.counted()?.to_vec(), ask.u64()?, ask.u32()?);
        fid.attribute = Some(Attribute { name, value: Vec::new(), flags, is_written: true });
        Ok(())
    }

    fn list(&mut self, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        let fid = self.fid(ask)?;
        let (offset, count) = (ask.u64()? as usize, ask.u32()? as usize);
        if offset == 0 {
            fid.entries = fid.file.entries()?;
        }
        let mut data = Writer::default();
        for (at, entry) in fid.entries.iter().enumerate().skip(offset) {
            if data.0.len() + 24 + entry.name.len() > count {
                break;
            }
            let qid = if entry.kind == libc::DT_DIR { 0x80 } else { 0 };
            data.u8(qid).u32(0).u64(entry.inode);
            data.u64(at as u64 + 1).u8(entry.kind).counted(&entry.name);
        }
        answer.u32(data.0.len() as u32).bytes(&data.0);
        Ok(())
    }

    fn lock(&mut self, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        let inode = self.fid(ask)?.file.metadata()?.ino();
        let (kind, _flags) = (ask.u8()?, ask.u32()?);
        let lock = lock(inode, kind, ask)?;
        let mut status = 0;
        match (kind, self.locks.conflict(&lock)) {
            (2, _) => self.locks.unset(&lock),
            (_, None) => self.locks.set(lock),
            (_, Some(_)) => status = 1,
        }
        answer.u8(status);
        Ok(())
    }

    fn asked_lock(&mut self, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        let inode = self.fid(ask)?.file.metadata()?.ino();
        let kind = ask.u8()?;
        // The client asks as for an unlock, and means any (fs/9p/vfs_file.c, v9fs_file_getlock()).
        let wanted = lock(inode, 1, ask)?;
        let (kind, held) = match self.locks.conflict(&wanted) {
            Some(held) => (u8::from(held.is_exclusive), held),
            None => (kind.max(2), wanted),
        };
        let length = if held.end == u64::MAX { 0 } else { held.end - held.start + 1 };
        answer.u8(kind).u64(held.start).u64(length).u32(held.pid).counted(b"served");
        Ok(())
    }

    fn open_plain(&mut self, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        let fid = self.fid(ask)?;
        fid.open = Some(fid.file.open(plain_flags(ask.u8()?))?);
        put_qid(answer, &fid.file)?;
        answer.u32(0);
        Ok(())
    }

    fn create_plain(&mut self, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        let is_unix = self.is_unix;
        let fid = ask.u32()?;
        let (name, perm, flags) = (ask.counted()?, ask.u32()?, ask.u8()?);
        let extension = if is_unix { ask.counted()? } else { b"" };
        let text = String::from_utf8_lossy(extension).into_owned();
        let Some(directory) = self.fids.get(&fid) else { return error(libc::EBADF) };
        let directory = directory.file.again()?;
        let mode = perm & 0o777;
        let mut open = None;
        let made = match perm & (DMDIR | DMSYMLINK | DMLINK | DMDEVICE | DMNAMEDPIPE | DMSOCKET) {
            DMDIR => directory.make_directory(name, mode)?,
            DMSYMLINK => directory.make_symlink(name, extension)?,
            DMLINK => {
                let other = text.trim().parse().ok().and_then(|fid: u32| self.fids.get(&fid));
                let Some(other) = other else { return error(libc::EBADF) };
                directory.make_link(name, &other.file)?;
                directory.child(name)?
            }
            DMDEVICE => {
                let words: Vec<&str> = text.split_whitespace().collect();
                let kind = if words.first() == Some(&"b") { libc::S_IFBLK } else { libc::S_IFCHR };
                let number = |at: usize| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(0);
                directory.make_node(name, kind | mode, libc::makedev(number(1), number(2)))?
            }
            DMNAMEDPIPE => directory.make_node(name, libc::S_IFIFO | mode, 0)?,
            DMSOCKET => directory.make_node(name, libc::S_IFSOCK | mode, 0)?,
            _ => {
                let (handle, file) = directory.create(name, plain_flags(flags) | libc::O_EXCL, mode)?;
                open = Some(file);
                handle
            }
        };
        put_qid(answer, &made)?;
        answer.u32(0);
        self.fids.insert(fid, Fid { file: made, open, entries: Vec::new(), attribute: None });
        Ok(())
    }

    fn stat_plain(&mut self, ask: &mut WireReader<'_>, answer: &mut Writer) -> io::Result<()> {
        let is_unix = self.is_unix;
        let file = &self.fid(ask)?.file;
        let name = file.place().map_or_else(|_| b"/".to_vec(), |(_, name)| name);
        let stat = plain_stat(file, &name, is_unix)?;
        answer.u16(stat.len() as u16).bytes(&stat);
        Ok(())
    }

    /// All ones: not to be changed.
    fn change_plain(&mut self, ask: &mut WireReader<'_>) -> io::Result<()> {
        let is_unix = self.is_unix;
        let file = &self.fid(ask)?.file;
        // Lengths twice, type, device, qid.
        ask.bytes(2 + 2 + 2 + 4 + 13)?;
        let (mode, atime, mtime, size) = (ask.u32()?, ask.u32()?, ask.u32()?, ask.u64()?);
        let name = ask.counted()?;
        let (mut uid, mut gid) = (u32::MAX, u32::MAX);
        if is_unix {
            for _ in 0..4 {
                ask.counted()?;
            }
            (uid, gid) = (ask.u32()?, ask.u32()?);
        }
        let given = |number: u32| (number != u32::MAX).then_some(number);
        let time = |time: u32| given(time).map(|time| Some((time.into(), 0)));
        if !name.is_empty() {
            let (directory, old) = file.place()?;
            directory.rename(&old, &directory, name, 0)?;
        }
        file.set(&MirrorChange {
            mode: given(mode),
            uid: given(uid),
            gid: given(gid),
            size: (size != u64::MAX).then_some(size),
            atime: time(atime),
            mtime: time(mtime),
        })
    }
}

fn lock(inode: u64, kind: u8, ask: &mut WireReader<'_>) -> io::Result<MirrorLock> {
    let (start, length, pid) = (ask.u64()?, ask.u64()?, ask.u32()?);
    let end = if length == 0 { u64::MAX } else { start.saturating_add(length - 1) };
    Ok(MirrorLock { inode, owner: pid.into(), pid, is_exclusive: kind == 1, start, end })
}

fn plain_flags(flags: u8) -> i32 {
    let truncates = if flags & 0x10 != 0 { libc::O_TRUNC } else { 0 };
    truncates | libc::O_NONBLOCK | i32::from(flags & 3)
}

fn put_qid(answer: &mut Writer, file: &Handle) -> io::Result<()> {
    let found = file.metadata()?;
    answer.u8(qid_kind(found.mode())).u32(found.mtime_nsec() as u32).u64(found.ino());
    Ok(())
}

fn qid_kind(mode: u32) -> u8 {
    match kind(mode) {
        libc::DT_DIR => 0x80,
        libc::DT_LNK => 0x02,
        _ => 0,
    }
}

/// A whole number of entries, from an offset at which one begins.
fn list_plain(fid: &mut Fid, offset: u64, count: usize, is_unix: bool) -> io::Result<Vec<u8>> {
    if offset == 0 {
        fid.entries = fid.file.entries()?;
        fid.entries.retain(|entry| entry.name != b"." && entry.name != b"..");
    }
    let (mut at, mut data) = (0, Vec::new());
    for entry in &fid.entries {
        let Ok(file) = fid.file.child(&entry.name) else { continue };
        let stat = plain_stat(&file, &entry.name, is_unix)?;
        if at >= offset {
            if data.len() + stat.len() > count {
                break;
            }
            data.extend_from_slice(&stat);
        }
        at += stat.len() as u64;
    }
    Ok(data)
}

/// As Rstat has it, and as directories are read.
fn plain_stat(file: &Handle, name: &[u8], is_unix: bool) -> io::Result<Vec<u8>> {
    let found = file.metadata()?;
    let (kind, mut extension) = match found.mode() & libc::S_IFMT {
        libc::S_IFDIR => (DMDIR, Vec::new()),
        libc::S_IFLNK if is_unix => (DMSYMLINK, file.target()?),
        libc::S_IFIFO if is_unix => (DMNAMEDPIPE, Vec::new()),
        libc::S_IFSOCK if is_unix => (DMSOCKET, Vec::new()),
        libc::S_IFCHR | libc::S_IFBLK if is_unix => {
            let letter = if found.mode() & libc::S_IFMT == libc::S_IFBLK { 'b' } else { 'c' };
            let (major, minor) = (libc::major(found.rdev()), libc::minor(found.rdev()));
            (DMDEVICE, format!("{letter} {major} {minor}").into_bytes())
        }
        _ => (0, Vec::new()),
    };
    // Links of a file are told in its extension (fs/9p/vfs_inode.c, v9fs_stat2inode()).
    if kind == 0 && is_unix && found.nlink() > 1 {
        extension = format!("HARDLINKCOUNT {}", found.nlink()).into_bytes();
    }
    let mut stat = Writer::default();
    stat.u16(0).u16(0).u32(0);
    put_qid(&mut stat, file)?;
    let size = if found.is_dir() { 0 } else { found.size() };
    stat.u32(kind | found.mode() & 0o777).u32(found.atime() as u32).u32(found.mtime() as u32).u64(size);
    stat.counted(name).counted(b"root").counted(b"root").counted(b"root");
    if is_unix {
        stat.counted(&extension).u32(found.uid()).u32(found.gid()).u32(0);
    }
    let length = stat.0.len() as u16 - 2;
    stat.0[..2].copy_from_slice(&length.to_le_bytes());
    Ok(stat.0)
}

fn set_length(answer: &mut [u8]) {
    let length = answer.len() as u32;
    answer[..4].copy_from_slice(&length.to_le_bytes());
}

/// Makes a good answer a wrong one. Whether the connection ends after it.
fn spoil(answer: &mut Vec<u8>, manner: NinePManner) -> bool {
    match manner {
        NinePManner::Good | NinePManner::Silent | NinePManner::Pieces => {}
        NinePManner::Dies => answer.clear(),
        NinePManner::DiesInside => answer.truncate(answer.len() / 2),
        NinePManner::Short => answer.truncate(answer.len().saturating_sub(3).max(HEADER)),
        NinePManner::Empty => answer.truncate(HEADER),
        NinePManner::Junk => answer[HEADER..].fill(0xa5),
        NinePManner::JunkHeader => answer[..HEADER].fill(0xa5),
        NinePManner::WrongTag => answer[6] ^= 0x40,
        NinePManner::WrongType => answer[4] = TVERSION + 1,
        NinePManner::TooLong => answer.resize(2 << 20, 7),
        NinePManner::TooSmall => answer[..4].copy_from_slice(&3_u32.to_le_bytes()),
        NinePManner::Error(number) => {
            answer.truncate(HEADER);
            answer[4] = TLERROR + 1;
            answer.extend_from_slice(&number.to_le_bytes());
        }
    }
    if matches!(
        manner,
        NinePManner::Short | NinePManner::Empty | NinePManner::TooLong | NinePManner::Error(_)
    ) {
        set_length(answer);
    }
    matches!(manner, NinePManner::Dies | NinePManner::DiesInside)
}
