//! Huge pages, reserved and transparent: by each kind of mapping and file, cut, moved, copied, split, taken by other means
//! than a fault; pages that are bad; and memory that leaves. What is counted has to be as it was.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use workloads::exercise::{self, Exercise};
use workloads::sys::{Impatience, descriptor, in_child, wrong};
use workloads::walk::write;
use workloads::{places, sys};

const LIMIT: Duration = Duration::from_secs(10);
const PAGE: i64 = 4096;
const HUGE: i64 = 2 << 20;
const POOL: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";
const TRANSPARENT: &str = "/sys/kernel/mm/transparent_hugepage";
const BOTH: i32 = libc::PROT_READ | libc::PROT_WRITE;
const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    reserved(it);
    transparent(it);
    bad(it);
    leaves(it);
}

fn map(bytes: i64, flags: i32, fd: i32) -> io::Result<i64> {
    sys!(SYS_mmap, 0, bytes, BOTH, flags, fd, 0)
}

/// Writes to each page of so many bytes, in a child: a fault that cannot be answered is a signal.
fn touch(at: i64, bytes: i64, step: i64) -> io::Result<()> {
    in_child(LIMIT, || fill(at, bytes, step))
}

fn fill(at: i64, bytes: i64, step: i64) -> io::Result<()> {
    for offset in (0..bytes).step_by(usize::try_from(step).unwrap_or(4096)) {
        // SAFETY: within a mapping of the caller's that can be written; what is not there ends this process.
        unsafe { ((at + offset) as *mut u8).write_volatile(7) };
    }
    Ok(())
}

/// A step after which as many huge pages are there, free and reserved as before.
fn counted(it: &mut Exercise, name: &str, work: impl FnMut() -> io::Result<()>) {
    let counts = || -> Vec<String> {
        let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        text.lines().filter(|line| line.starts_with("HugePages_")).map(str::to_owned).collect()
    };
    let before = counts();
    it.step(name, work);
    let after = counts();
    it.step(format!("{name}: counts"), || if before == after { Ok(()) } else { wrong(&after.join(" ")) });
}

fn reserved(it: &mut Exercise) {
    let set = |name: &str, value: &str| write(format!("{POOL}/{name}"), value.as_bytes());
    let before = fs::read_to_string(format!("{POOL}/nr_hugepages")).unwrap_or_default();
    if it.step("huge pages", || set("nr_hugepages", "8")).is_none() {
        return;
    }
    let _ = set("nr_overcommit_hugepages", "2");
    for (name, flags) in [
        ("private", PRIVATE),
        ("shared", libc::MAP_SHARED | libc::MAP_ANONYMOUS),
        ("not reserved", PRIVATE | libc::MAP_NORESERVE),
        ("populated", PRIVATE | libc::MAP_POPULATE),
    ] {
        counted(it, &format!("huge {name}"), || {
            in_child(LIMIT, || mapped(map(3 * HUGE, flags | libc::MAP_HUGETLB, -1)?))
        });
    }
    counted(it, "huge, copied by a child", || {
        in_child(LIMIT, || {
            let at = map(2 * HUGE, PRIVATE | libc::MAP_HUGETLB, -1)?;
            fill(at, 2 * HUGE, HUGE)?;
            touch(at, 2 * HUGE, HUGE)?;
            fill(at, 2 * HUGE, PAGE * 64)
        })
    });
    counted(it, "huge, more than there are", || {
        in_child(LIMIT, || map(40 * HUGE, PRIVATE | libc::MAP_HUGETLB, -1).map(drop))
    });
    counted(it, "huge, of System V", || {
        in_child(LIMIT, || {
            let number = sys!(SYS_shmget, 0, 2 * HUGE, 0o4000 | libc::IPC_CREAT | 0o600)?;
            let at = sys!(SYS_shmat, number, 0, 0)?;
            sys!(SYS_shmctl, number, libc::IPC_RMID, 0)?;
            fill(at, 2 * HUGE, HUGE)?;
            sys!(SYS_shmdt, at).map(drop)
        })
    });
    for (name, options) in [
        ("plain", ""),
        ("bounded", "size=12M,nr_inodes=5"),
        ("with a minimum", "min_size=4M"),
        ("with both", "size=8M,min_size=4M,mode=700"),
        ("of too many", "min_size=400G"),
        ("of a bad size", "pagesize=77k"),
    ] {
        counted(it, &format!("file system of huge pages, {name}"), || {
            places::mount("hugetlbfs", "/tmp/huge-fs", options)?;
            let used = in_child(LIMIT, || {
                file(
                    fs::OpenOptions::new()
                        .read(true)
                        .write(true)
                        .create(true)
                        .truncate(true)
                        .open("/tmp/huge-fs/file")?
                        .into(),
                )
            });
            let _ = fs::metadata("/tmp/huge-fs/file").and_then(|_| fs::remove_file("/tmp/huge-fs/file"));
            places::unmount("/tmp/huge-fs").and(used)
        });
    }
    counted(it, "huge, in memory", || {
        in_child(LIMIT, || file(descriptor(sys!(SYS_memfd_create, c"huge".as_ptr(), 4))?))
    });
    counted(it, "huge, cut while another maps it", || {
        in_child(LIMIT, || {
            let memory = descriptor(sys!(SYS_memfd_create, c"huge".as_ptr(), 4))?;
            let fd = memory.as_raw_fd();
            sys!(SYS_ftruncate, fd, 4 * HUGE)?;
            let (one, other) = (map(4 * HUGE, libc::MAP_SHARED, fd)?, map(4 * HUGE, libc::MAP_PRIVATE, fd)?);
            fill(one, 3 * HUGE, HUGE)?;
            fill(other, HUGE, HUGE)?;
            for length in [3 * HUGE, HUGE, 0, 2 * HUGE] {
                sys!(SYS_ftruncate, fd, length)?;
            }
            let _ = touch(one, 4 * HUGE, HUGE);
            sys!(SYS_munmap, one, 4 * HUGE)?;
            sys!(SYS_munmap, other, 4 * HUGE).map(drop)
        })
    });
    counted(it, "huge, by a fault of one's own", || in_child(LIMIT, user_faults));
    for (file, value) in [
        ("nr_hugepages", "junk"),
        ("nr_hugepages", "6"),
        ("nr_hugepages", "8"),
        ("nr_overcommit_hugepages", "-1"),
        ("demote_size", "4kB"),
        ("demote", "0"),
        ("nr_hugepages_mempolicy", "8"),
    ] {
        it.step(format!("{file} := {value}"), || set(file, value));
    }
    counted(it, "a surplus page that is offered", || {
        set("nr_overcommit_hugepages", "4")?;
        let offlined = in_child(LIMIT, || {
            let at = map(10 * HUGE, PRIVATE | libc::MAP_HUGETLB, -1)?;
            fill(at, 10 * HUGE, HUGE)?;
            let offlined = sys!(SYS_madvise, at, PAGE, 101);
            sys!(SYS_munmap, at, 10 * HUGE)?;
            offlined.map(drop)
        });
        // A page that is bad is lost to the pool: it gets another.
        set("nr_hugepages", "8")?;
        set("nr_overcommit_hugepages", "2")?;
        offlined
    });
    let _ = set("nr_overcommit_hugepages", "0");
    it.step("no huge pages", || set("nr_hugepages", before.trim()));
    it.step("huge pages after that", || {
        let count = fs::read_to_string(format!("{POOL}/nr_hugepages"))?;
        if count == before { Ok(()) } else { wrong(count.trim()) }
    });
}

/// What can be done with three huge pages of any kind. They are unmapped.
fn mapped(at: i64) -> io::Result<()> {
    fill(at, 2 * HUGE, HUGE)?;
    for (protection, from, length) in
        [(1, at, HUGE), (BOTH, at, HUGE), (0, at, HUGE), (BOTH, at, HUGE), (1, at + PAGE, PAGE)]
    {
        let _ = sys!(SYS_mprotect, from, length, protection);
    }
    for advice in [0, 1, 2, 3, 4, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25] {
        let _ = sys!(SYS_madvise, at, HUGE, advice);
        let _ = sys!(SYS_madvise, at + PAGE, PAGE, advice);
    }
    let _ = touch(at, 3 * HUGE, HUGE);
    let mut vector = [0_u8; 1536];
    let _ = sys!(SYS_mincore, at, 3 * HUGE, vector.as_mut_ptr());
    let _ = sys!(SYS_mlock, at, HUGE);
    let _ = sys!(SYS_mlock2, at, HUGE, 1);
    let _ = sys!(SYS_munlock, at, HUGE);
    let _ = sys!(SYS_msync, at, HUGE, libc::MS_SYNC);
    let nodes = 1_u64;
    let _ = sys!(SYS_mbind, at, HUGE, 2, &raw const nodes, 64, 2);
    let mut status = 0_i32;
    let _ = sys!(SYS_move_pages, 0, 1, [at].as_ptr(), [0_i32].as_ptr(), &raw mut status, 2);
    for name in ["smaps", "smaps_rollup", "numa_maps", "maps"] {
        let _ = fs::read(format!("/proc/self/{name}"));
    }
    let mut bytes = [0_u8; 64];
    for name in ["mem", "pagemap"] {
        if let Ok(file) =
            fs::OpenOptions::new().read(true).write(name == "mem").open(format!("/proc/self/{name}"))
        {
            let place = if name == "mem" { at } else { at / PAGE * 8 };
            let _ = std::os::unix::fs::FileExt::read_at(&file, &mut bytes, place as u64);
            let _ = std::os::unix::fs::FileExt::write_at(&file, &bytes, place as u64);
        }
    }
    for value in ["1", "4", "5"] {
        let _ = write("/proc/self/clear_refs", value.as_bytes());
    }
    taken(at);
    let _ = sys!(SYS_mremap, at, 3 * HUGE, 2 * HUGE, 0);
    let moved = sys!(SYS_mremap, at, 2 * HUGE, 2 * HUGE, 3, 0x7000_0000_0000_i64).unwrap_or(at);
    let _ = sys!(SYS_mremap, moved, 2 * HUGE, 3 * HUGE, 1);
    let _ = sys!(SYS_munmap, moved, PAGE);
    sys!(SYS_munmap, moved, HUGE)?;
    sys!(SYS_munmap, moved + HUGE, 2 * HUGE).map(drop)
}

/// By splice, by a system call that reads to it, by a futex in it.
fn taken(at: i64) {
    let mut ends = [0_i32; 2];
    if sys!(SYS_pipe2, ends.as_mut_ptr(), libc::O_NONBLOCK).is_ok() {
        let vector = [at as usize, 8192];
        let _ = sys!(SYS_vmsplice, ends[1], vector.as_ptr(), 1, 8);
        let _ = sys!(SYS_read, ends[0], at + PAGE, PAGE);
        let _ = sys!(SYS_futex, at, 1, 1, 0, 0, 0);
        let _ = (sys!(SYS_close, ends[0]), sys!(SYS_close, ends[1]));
    }
}

/// What a file of huge pages is asked.
fn file(file: OwnedFd) -> io::Result<()> {
    let fd = file.as_raw_fd();
    sys!(SYS_ftruncate, fd, 100).err();
    sys!(SYS_ftruncate, fd, 3 * HUGE)?;
    let at = map(3 * HUGE, libc::MAP_SHARED, fd)?;
    fill(at, 2 * HUGE, HUGE)?;
    let mut data = [0_u8; 5000];
    let _ = sys!(SYS_pread64, fd, data.as_mut_ptr(), 5000, HUGE - 100);
    let _ = sys!(SYS_pwrite64, fd, data.as_ptr(), 5000, 0);
    for (mode, from, length) in
        [(3, 0, HUGE), (3, PAGE, HUGE), (0, 0, HUGE), (0, PAGE, PAGE), (1, 0, 4 * HUGE), (0x10, 0, HUGE)]
    {
        let _ = sys!(SYS_fallocate, fd, mode, from, length);
    }
    for seal in [2, 4, 8, 1] {
        let _ = sys!(SYS_fcntl, fd, libc::F_ADD_SEALS, seal);
    }
    let _ = sys!(SYS_mmap, 0, PAGE, BOTH, libc::MAP_SHARED, fd, PAGE);
    let mut information = [0_u64; 16];
    let _ = sys!(SYS_fstatfs, fd, information.as_mut_ptr());
    mapped(at)
}

/// Missing, protected and minor faults of huge pages.
fn user_faults() -> io::Result<()> {
    let fault: OwnedFd = descriptor(sys!(SYS_userfaultfd, libc::O_NONBLOCK))?;
    let ask = |request: u32, argument: &mut [u64]| {
        sys!(SYS_ioctl, fault.as_raw_fd(), request, argument.as_mut_ptr())
    };
    // The features: missing and minor faults of hugetlbfs, poison, write protection of it.
    let _ = ask(0xc018_aa3f, &mut [0xaa, 0x10 | 0x200 | 0x1000 | 0x4000, 0]);
    let memory = descriptor(sys!(SYS_memfd_create, c"huge".as_ptr(), 4))?;
    sys!(SYS_ftruncate, memory.as_raw_fd(), 2 * HUGE)?;
    let at = map(2 * HUGE, libc::MAP_SHARED, memory.as_raw_fd())? as u64;
    let other = map(2 * HUGE, libc::MAP_SHARED, memory.as_raw_fd())?;
    let from = map(HUGE, PRIVATE, -1)? as u64;
    let huge = HUGE as u64;
    for mode in [1, 3, 4, 5] {
        let _ = ask(0xc020_aa00, &mut [at, 2 * huge, mode, 0]);
    }
    // UFFDIO_COPY of one, of less, UFFDIO_WRITEPROTECT, UFFDIO_CONTINUE, UFFDIO_POISON, UFFDIO_ZEROPAGE, UFFDIO_WAKE.
    let _ = ask(0xc028_aa03, &mut [at, from, huge, 0, 0]);
    let _ = ask(0xc028_aa03, &mut [at, from, 4096, 0, 0]);
    let _ = ask(0xc018_aa06, &mut [at, huge, 1]);
    let _ = ask(0xc018_aa06, &mut [at, huge, 0]);
    fill(other + HUGE, HUGE, HUGE)?;
    let _ = ask(0xc020_aa07, &mut [at + huge, huge, 0, 0]);
    let _ = ask(0xc020_aa08, &mut [at + huge, huge, 0, 0]);
    let _ = ask(0xc020_aa04, &mut [at, huge, 0, 0]);
    let _ = ask(0x8010_aa02, &mut [at, huge]);
    sys!(SYS_munmap, other, 2 * HUGE)?;
    ask(0x8010_aa01, &mut [at, 2 * huge]).map(drop)
}

fn transparent(it: &mut Exercise) {
    let setting = |name: &str| format!("{TRANSPARENT}/{name}");
    let found: Vec<_> = ["enabled", "shmem_enabled", "defrag"]
        .iter()
        .map(|name| (setting(name), chosen(&setting(name))))
        .collect();
    for (enabled, defrag) in [("always", "always"), ("madvise", "defer+madvise"), ("never", "never")] {
        let _ = write(setting("enabled"), enabled.as_bytes());
        let _ = write(setting("shmem_enabled"), enabled.as_bytes());
        let _ = write(setting("defrag"), defrag.as_bytes());
        for (kind, flags) in [("anonymous", PRIVATE), ("shared", libc::MAP_SHARED | libc::MAP_ANONYMOUS)] {
            it.step(format!("transparent, {kind}, {enabled}"), || {
                in_child(LIMIT, || {
                    let at = map(4 * HUGE, flags, -1)?;
                    let at = (at + HUGE - 1) / HUGE * HUGE;
                    let _ = sys!(SYS_madvise, at, 3 * HUGE, libc::MADV_HUGEPAGE);
                    fill(at, 3 * HUGE, HUGE / 4)?;
                    touch(at, HUGE, HUGE / 8)?;
                    let _ = sys!(SYS_madvise, at, HUGE, libc::MADV_COLLAPSE);
                    let _ = sys!(SYS_mprotect, at + PAGE, PAGE, 1);
                    let _ = sys!(SYS_madvise, at + 2 * PAGE, PAGE, libc::MADV_DONTNEED);
                    let _ = sys!(SYS_madvise, at + HUGE, HUGE, libc::MADV_FREE);
                    let _ = sys!(SYS_madvise, at + HUGE, HUGE, libc::MADV_PAGEOUT);
                    let _ = sys!(SYS_madvise, at + HUGE, HUGE, libc::MADV_COLLAPSE);
                    let _ = sys!(SYS_mlock, at, PAGE * 3);
                    taken(at);
                    let _ = write(
                        "/sys/kernel/debug/split_huge_pages",
                        format!("{},{at:#x},{:#x}", std::process::id(), at + 3 * HUGE).as_bytes(),
                    );
                    let _ = fs::read("/proc/self/smaps");
                    let moved = sys!(SYS_mremap, at, 2 * HUGE, 2 * HUGE, 3, 0x7000_0000_1000_i64)?;
                    sys!(SYS_munmap, moved + 5 * PAGE, HUGE)?;
                    sys!(SYS_madvise, at + 2 * HUGE, HUGE, libc::MADV_REMOVE).err();
                    Ok(())
                })
            });
        }
    }
    for (file, value) in [
        ("khugepaged/scan_sleep_millisecs", "10000"),
        ("khugepaged/pages_to_scan", "0"),
        ("khugepaged/max_ptes_none", "99999"),
        ("use_zero_page", "2"),
        ("enabled", "junk"),
        ("hugepages-64kB/enabled", "inherit"),
        ("hugepages-64kB/enabled", "junk"),
        ("hugepages-64kB/enabled", "never"),
    ] {
        it.set(format!("{file} := {value}"), setting(file), value.as_bytes());
    }
    it.step("split all", || write("/sys/kernel/debug/split_huge_pages", b"1"));
    it.step("split junk", || write("/sys/kernel/debug/split_huge_pages", b"junk"));
    for (file, value) in found {
        let _ = write(file, value.as_bytes());
    }
}

fn chosen(file: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split(['[', ']']).nth(1).unwrap_or_default().to_owned()
}

/// Pages that are said to be bad, of each kind; and made good again where the kernel can.
fn bad(it: &mut Exercise) {
    for (name, advice) in [("offered", 101), ("poisoned", 100)] {
        it.step(format!("a page {name}, anonymous"), || {
            in_child(LIMIT, || {
                let at = map(4 * PAGE, PRIVATE, -1)?;
                fill(at, 4 * PAGE, PAGE)?;
                lost(at, advice)
            })
        });
        it.step(format!("a page {name}, of a file"), || {
            in_child(LIMIT, || {
                let memory = descriptor(sys!(SYS_memfd_create, c"bad".as_ptr(), 0))?;
                sys!(SYS_ftruncate, memory.as_raw_fd(), 4 * PAGE)?;
                let at = map(4 * PAGE, libc::MAP_SHARED, memory.as_raw_fd())?;
                fill(at, 4 * PAGE, PAGE)?;
                lost(at, advice)
            })
        });
        it.step(format!("a page {name}, of nothing"), || {
            in_child(LIMIT, || {
                let at = map(4 * PAGE, PRIVATE, -1)?;
                sys!(SYS_munmap, at, 4 * PAGE)?;
                sys!(SYS_madvise, at, PAGE, advice).map(drop)
            })
        });
    }
    for file in [
        "/sys/devices/system/memory/soft_offline_page",
        "/sys/devices/system/memory/hard_offline_page",
        "/sys/kernel/debug/hwpoison/corrupt-pfn",
    ] {
        it.step(format!("{file} := junk"), || write(file, b"junk"));
        it.step(format!("{file} := too large"), || write(file, b"0xffffffffffff000"));
    }
}

fn lost(at: i64, advice: i32) -> io::Result<()> {
    let mut entry = [0_u8; 8];
    let pages = fs::File::open("/proc/self/pagemap")?;
    std::os::unix::fs::FileExt::read_exact_at(&pages, &mut entry, at as u64 / 4096 * 8)?;
    let frame = u64::from_ne_bytes(entry) & ((1 << 55) - 1);
    let taken = sys!(SYS_madvise, at, PAGE, advice);
    let _ = sys!(SYS_munmap, at, 4 * PAGE);
    let _ = write("/sys/kernel/debug/hwpoison/unpoison-pfn", frame.to_string().as_bytes());
    taken.map(drop)
}

/// A block of memory that is taken away and comes back. Whether it can be depends on what is in it: so only that the kernel
/// did as it said is a result.
fn leaves(it: &mut Exercise) {
    let root = "/sys/devices/system/memory";
    let mut blocks: Vec<_> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("state"))
        .filter(|path| path.exists())
        .collect();
    blocks.sort();
    let Some(last) = blocks.pop() else { return };
    it.step("memory that leaves, junk", || write(&last, b"junk"));
    it.step("memory that comes, junk", || write(format!("{root}/auto_online_blocks"), b"junk"));
    {
        let _impatience = Impatience::after(Duration::from_millis(1500));
        let _ = write(&last, b"offline");
    }
    it.step("memory comes back", || {
        let _ = write(&last, b"online");
        let state = fs::read_to_string(&last)?;
        if state.trim() == "online" { Ok(()) } else { wrong(state.trim()) }
    });
}
