//! Memory: mappings of each kind, protected, moved, advised each way; huge pages shared and private; locks, userfaultfd,
//! policies, KSM, another process's memory; and ranges that are none.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use workloads::exercise::{self, Exercise};
use workloads::sys::{descriptor, in_child};
use workloads::walk::write;
use workloads::{places, sys};

/// Of x86 alone (arch/x86/include/uapi/asm/mman.h): elsewhere mmap() does not know the bit.
const BELOW_2G: i32 = 0x40;

const PAGE: i64 = 4096;
const HUGE: i64 = 2 << 20;
const LIMIT: Duration = Duration::from_secs(15);
const ANONYMOUS: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

pub fn main() {
    exercise::run(exercise);
}

fn exercise(it: &mut Exercise) {
    it.step("own mounts", places::own_mounts);
    mappings(it);
    advice(it);
    huge(it);
    ksm(it);
    policies(it);
    user_faults(it);
    others(it);
    settings(it);
    for file in [
        "meminfo",
        "vmstat",
        "zoneinfo",
        "buddyinfo",
        "slabinfo",
        "vmallocinfo",
        "pagetypeinfo",
        "self/smaps",
        "self/numa_maps",
        "self/maps",
    ] {
        let _ = fs::read(format!("/proc/{file}"));
    }
}

fn map(bytes: i64, protection: i32, flags: i32, fd: i32) -> io::Result<i64> {
    sys!(SYS_mmap, 0, bytes, protection, flags, fd, 0)
}

fn unmap(at: i64, bytes: i64) -> io::Result<()> {
    sys!(SYS_munmap, at, bytes).map(drop)
}

/// Writes to each page of it, by the kernel: a page that cannot be written is an error and no signal.
fn touch(at: i64, bytes: i64) -> io::Result<()> {
    let zero = fs::File::open("/dev/zero")?;
    (0..bytes / PAGE).try_for_each(|page| sys!(SYS_read, zero.as_raw_fd(), at + page * PAGE, 8).map(drop))
}

fn mappings(it: &mut Exercise) {
    for (name, flags) in [
        ("anonymous", ANONYMOUS),
        ("shared", libc::MAP_SHARED | libc::MAP_ANONYMOUS),
        ("populated", ANONYMOUS | libc::MAP_POPULATE),
        ("locked", ANONYMOUS | libc::MAP_LOCKED),
        ("growing down", ANONYMOUS | libc::MAP_GROWSDOWN),
        ("without reserve", ANONYMOUS | libc::MAP_NORESERVE),
        ("droppable", 8 | libc::MAP_ANONYMOUS),
        ("below 2G", ANONYMOUS | BELOW_2G),
        ("without a kind", libc::MAP_ANONYMOUS),
        ("shared, validated", 3 | libc::MAP_ANONYMOUS | 0x1_0000_0000_u64 as i32),
    ] {
        it.step(format!("map {name}"), || {
            let at = map(16 * PAGE, 3, flags, -1)?;
            touch(at, 16 * PAGE)?;
            for protection in [1, 0, 7, 3, 99] {
                let _ = sys!(SYS_mprotect, at + PAGE, 2 * PAGE, protection);
            }
            let _ = sys!(SYS_mprotect, at + 1, PAGE, 1);
            let mut residency = [0_u8; 16];
            sys!(SYS_mincore, at, 16 * PAGE, residency.as_mut_ptr())?;
            let _ = sys!(SYS_msync, at, PAGE, libc::MS_ASYNC);
            sys!(SYS_mlock, at, 2 * PAGE)?;
            sys!(SYS_mlock2, at, 4 * PAGE, 1)?;
            sys!(SYS_munlock, at, 16 * PAGE)?;
            let moved = sys!(SYS_mremap, at, 16 * PAGE, 32 * PAGE, libc::MREMAP_MAYMOVE)?;
            let shrunk = sys!(SYS_mremap, moved, 32 * PAGE, 8 * PAGE, 0)?;
            let left = sys!(SYS_mremap, shrunk, 8 * PAGE, 8 * PAGE, 5);
            if let Ok(other) = left {
                unmap(other, 8 * PAGE)?;
            }
            let pid = in_child(LIMIT, || touch(shrunk, 8 * PAGE));
            unmap(shrunk + PAGE, PAGE)?;
            unmap(shrunk, 8 * PAGE).and(pid)
        });
    }
    it.step("map nothing", || map(0, 3, ANONYMOUS, -1));
    it.step("map too much", || map(1 << 50, 3, ANONYMOUS, -1));
    it.step("map a bad file", || map(PAGE, 3, libc::MAP_PRIVATE, 999));
    it.step("map over what is there", || {
        let at = map(PAGE, 3, ANONYMOUS, -1)?;
        let refused = sys!(SYS_mmap, at, PAGE, 3, ANONYMOUS | libc::MAP_FIXED_NOREPLACE, -1, 0);
        sys!(SYS_mmap, at, PAGE, 1, ANONYMOUS | libc::MAP_FIXED, -1, 0)?;
        unmap(at, PAGE)?;
        refused
    });
    it.step("map at 0", || {
        sys!(SYS_mmap, 0, PAGE, 3, ANONYMOUS | libc::MAP_FIXED, -1, 0).map(|at| unmap(at, PAGE))
    });
    it.step("unmap what is odd", || unmap(1, PAGE));
    it.step("a file's pages", || {
        fs::write("/tmp/mapped", vec![7; 40_000])?;
        let file = fs::OpenOptions::new().read(true).write(true).open("/tmp/mapped")?;
        let at = map(10 * PAGE, 3, libc::MAP_SHARED, file.as_raw_fd())?;
        touch(at, 9 * PAGE)?;
        sys!(SYS_msync, at, 10 * PAGE, libc::MS_SYNC | libc::MS_INVALIDATE)?;
        let _ = sys!(SYS_remap_file_pages, at, PAGE, 0, 3, 0);
        file.set_len(PAGE as u64)?;
        let beyond = touch(at, 4 * PAGE);
        unmap(at, 10 * PAGE)?;
        fs::remove_file("/tmp/mapped")?;
        beyond
    });
    it.step("mlockall", || {
        in_child(LIMIT, || {
            sys!(SYS_mlockall, 4)?;
            sys!(SYS_mlockall, 3)?;
            unmap(map(8 * PAGE, 3, ANONYMOUS, -1)?, 8 * PAGE)?;
            sys!(SYS_munlockall)?;
            sys!(SYS_mlockall, 99).map(drop)
        })
    });
    it.step("brk", || {
        let now = sys!(SYS_brk, 0)?;
        sys!(SYS_brk, now + 16 * PAGE)?;
        sys!(SYS_brk, now)
    });
    it.step("keys of protection", || {
        let key = sys!(SYS_pkey_alloc, 0, 0)?;
        let at = map(PAGE, 3, ANONYMOUS, -1)?;
        sys!(SYS_pkey_mprotect, at, PAGE, 3, key)?;
        unmap(at, PAGE)?;
        sys!(SYS_pkey_free, key)?;
        sys!(SYS_pkey_free, key)
    });
    it.step("sealed", || {
        in_child(LIMIT, || {
            let at = map(PAGE, 3, ANONYMOUS, -1)?;
            sys::call(462, &[at, PAGE, 0])?;
            unmap(at, PAGE)
        })
    });
    it.step("secret memory", || {
        let file = descriptor(sys!(SYS_memfd_secret, 0))?;
        sys!(SYS_ftruncate, file.as_raw_fd(), PAGE)?;
        unmap(map(PAGE, 3, libc::MAP_SHARED, file.as_raw_fd())?, PAGE)
    });
}

/// Each, but MADV_HWPOISON, which takes a page of memory away for good.
fn advice(it: &mut Exercise) {
    for advice in (0..110).filter(|advice| (..27).contains(advice) || *advice > 100) {
        it.step(format!("advice {advice}"), || {
            let at = map(2 * HUGE, 3, ANONYMOUS, -1)?;
            touch(at, 64 * PAGE)?;
            let taken = sys!(SYS_madvise, at, 64 * PAGE, advice);
            let _ = touch(at, 2 * PAGE);
            unmap(at, 2 * HUGE)?;
            taken
        });
    }
    it.step("advice for what is not mapped", || sys!(SYS_madvise, 0x1000, PAGE, 4));
    it.step("advice for an odd place", || sys!(SYS_madvise, 0x1001, PAGE, 4));
    for advice in
        [libc::MADV_COLD, libc::MADV_PAGEOUT, libc::MADV_WILLNEED, libc::MADV_COLLAPSE, libc::MADV_DONTNEED]
    {
        it.step(format!("process_madvise {advice}"), || {
            // SAFETY: a number only.
            let own = unsafe { libc::getpid() };
            let process = descriptor(sys!(SYS_pidfd_open, own, 0))?;
            let at = map(HUGE, 3, ANONYMOUS, -1)?;
            touch(at, 16 * PAGE)?;
            let range = [at, 16 * PAGE];
            let advised = sys!(SYS_process_madvise, process.as_raw_fd(), range.as_ptr(), 1, advice, 0);
            unmap(at, HUGE)?;
            advised
        });
    }
    it.step("soft offline of a page", || {
        let at = map(4 * PAGE, 3, ANONYMOUS, -1)?;
        touch(at, 4 * PAGE)?;
        let gone = sys!(SYS_madvise, at, PAGE, 101);
        unmap(at, 4 * PAGE)?;
        gone
    });
}

fn huge(it: &mut Exercise) {
    let count = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
    let more = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages";
    let before = fs::read_to_string(count).unwrap_or_default();
    if it.step("huge pages", || write(count, b"6")).is_none() {
        return;
    }
    it.step("surplus of huge pages", || write(more, b"2"));
    for (name, flags) in [("private", ANONYMOUS), ("shared", libc::MAP_SHARED | libc::MAP_ANONYMOUS)] {
        it.step(format!("huge pages, {name}"), || {
            let at = map(2 * HUGE, 3, flags | libc::MAP_HUGETLB, -1)?;
            touch(at, 2 * HUGE / 512)?;
            touch(at + HUGE, PAGE)?;
            in_child(LIMIT, || touch(at, PAGE))?;
            let _ = sys!(SYS_mprotect, at, HUGE, 1);
            let _ = sys!(SYS_mprotect, at, PAGE, 1);
            let _ = sys!(SYS_mremap, at, 2 * HUGE, HUGE, 0);
            let _ = sys!(SYS_madvise, at, HUGE, libc::MADV_DONTNEED);
            let _ = sys!(SYS_mlock, at, HUGE);
            let _ = unmap(at, PAGE);
            unmap(at, 2 * HUGE)
        });
    }
    it.step("more huge pages than there are", || {
        let at = map(8 * HUGE, 3, ANONYMOUS | libc::MAP_HUGETLB, -1)?;
        unmap(at, 8 * HUGE)
    });
    it.step("a surplus page and a soft offline", || {
        let at = map(7 * HUGE, 3, ANONYMOUS | libc::MAP_HUGETLB, -1)?;
        (0..7).try_for_each(|page| touch(at + page * HUGE, PAGE))?;
        let gone = sys!(SYS_madvise, at, HUGE, 101);
        unmap(at, 7 * HUGE)?;
        gone
    });
    it.step("a file of huge pages, cut", || {
        places::mount("hugetlbfs", "/tmp/huge", "size=8M,min_size=4M")?;
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open("/tmp/huge/file")?;
        file.set_len(2 * HUGE as u64)?;
        let at = map(2 * HUGE, 3, libc::MAP_SHARED, file.as_raw_fd())?;
        touch(at, PAGE)?;
        touch(at + HUGE, PAGE)?;
        file.set_len(HUGE as u64)?;
        let _ = sys!(SYS_fallocate, file.as_raw_fd(), 3, 0, HUGE);
        let _ = sys!(SYS_fallocate, file.as_raw_fd(), 0, 0, HUGE);
        let odd = file.set_len(100);
        let moved = sys!(SYS_mremap, at, HUGE, HUGE, 3, 0x7000_0000_0000_i64);
        unmap(moved.unwrap_or(at), HUGE)?;
        let _ = unmap(at, 2 * HUGE);
        drop(file);
        fs::remove_file("/tmp/huge/file")?;
        places::unmount("/tmp/huge")?;
        odd
    });
    it.step("memfd of huge pages", || {
        let file = descriptor(sys!(SYS_memfd_create, c"huge".as_ptr(), 4 | 2))?;
        sys!(SYS_ftruncate, file.as_raw_fd(), HUGE)?;
        sys!(SYS_fcntl, file.as_raw_fd(), libc::F_ADD_SEALS, 2)?;
        let at = map(HUGE, 3, libc::MAP_SHARED, file.as_raw_fd())?;
        touch(at, PAGE)?;
        unmap(at, HUGE)
    });
    it.step("demote", || write("/sys/kernel/mm/hugepages/hugepages-2048kB/demote", b"1"));
    let _ = write(more, b"0");
    let _ = write(count, before.trim().as_bytes());
}

fn ksm(it: &mut Exercise) {
    let file = |name: &str| format!("/sys/kernel/mm/ksm/{name}");
    if it.step("ksm runs", || write(file("run"), b"1")).is_none() {
        return;
    }
    let _ = write(file("sleep_millisecs"), b"1");
    let _ = write(file("pages_to_scan"), b"1000");
    it.step("same pages", || {
        let at = map(64 * PAGE, 3, ANONYMOUS, -1)?;
        touch(at, 64 * PAGE)?;
        sys!(SYS_madvise, at, 64 * PAGE, libc::MADV_MERGEABLE)?;
        std::thread::sleep(Duration::from_millis(150));
        touch(at, 16 * PAGE)?;
        let _ = fs::read("/proc/self/ksm_stat");
        sys!(SYS_madvise, at, 64 * PAGE, libc::MADV_UNMERGEABLE)?;
        sys!(SYS_prctl, 67, 1, 0, 0, 0).and_then(|_| sys!(SYS_prctl, 67, 0, 0, 0, 0)).err();
        unmap(at, 64 * PAGE)
    });
    it.step("ksm takes all apart", || write(file("run"), b"2"));
    it.step("ksm, bad", || write(file("run"), b"9"));
    it.step("ksm stops", || write(file("run"), b"0"));
    let _ = write(file("sleep_millisecs"), b"20");
    let _ = write(file("pages_to_scan"), b"100");
}

fn policies(it: &mut Exercise) {
    let nodes = 1_u64;
    for mode in 0..9 {
        it.step(format!("policy {mode}"), || {
            let at = map(8 * PAGE, 3, ANONYMOUS, -1)?;
            let bound = sys!(SYS_mbind, at, 8 * PAGE, mode, &raw const nodes, 64, 2);
            let _ = sys!(SYS_set_mempolicy, mode, &raw const nodes, 64);
            touch(at, 8 * PAGE)?;
            let mut found = [0_i32; 4];
            let mut mask = [0_u64; 16];
            let _ = sys!(SYS_get_mempolicy, found.as_mut_ptr(), mask.as_mut_ptr(), 1024, at, 2);
            let _ = sys!(SYS_set_mempolicy, 0, 0, 0);
            let _ = sys::call(450, &[at, 8 * PAGE, 0, 0]);
            unmap(at, 8 * PAGE)?;
            bound
        });
    }
    it.step("move pages", || {
        let at = map(2 * PAGE, 3, ANONYMOUS, -1)?;
        touch(at, 2 * PAGE)?;
        let (pages, nodes, mut status) = ([at, at + PAGE], [0_i32, 99], [0_i32; 2]);
        sys!(SYS_move_pages, 0, 2, pages.as_ptr(), 0, status.as_mut_ptr(), 2)?;
        let moved = sys!(SYS_move_pages, 0, 2, pages.as_ptr(), nodes.as_ptr(), status.as_mut_ptr(), 2);
        unmap(at, 2 * PAGE)?;
        moved
    });
    it.step("migrate pages", || sys!(SYS_migrate_pages, 0, 64, &raw const nodes, &raw const nodes));
    it.step("no such nodes", || sys!(SYS_set_mempolicy, 2, [0_u64, 1 << 60].as_ptr(), 128));
}

/// Missing pages, write protection, minor faults, moves: asked for and answered by this process itself.
fn user_faults(it: &mut Exercise) {
    for flags in [0_i32, 1, libc::O_NONBLOCK, 0x99] {
        it.step(format!("userfaultfd {flags:#x}"), || {
            let fault: OwnedFd = descriptor(sys!(SYS_userfaultfd, flags | libc::O_CLOEXEC))?;
            let fd = fault.as_raw_fd();
            // UFFDIO_API, UFFDIO_REGISTER, UFFDIO_COPY, UFFDIO_ZEROPAGE, UFFDIO_WRITEPROTECT, UFFDIO_WAKE, UFFDIO_UNREGISTER,
            // UFFDIO_CONTINUE, UFFDIO_POISON, UFFDIO_MOVE.
            let ask =
                |request: u32, argument: &mut [u64]| sys!(SYS_ioctl, fd, request, argument.as_mut_ptr());
            ask(0xc018_aa3f, &mut [0xaa, 0, 0])?;
            let at = map(8 * PAGE, 3, ANONYMOUS, -1)? as u64;
            let from = map(8 * PAGE, 3, ANONYMOUS, -1)?;
            touch(from, 8 * PAGE)?;
            let page = PAGE as u64;
            ask(0xc020_aa00, &mut [at, 8 * page, 1, 0])?;
            ask(0xc020_aa00, &mut [at + 1, 8 * page, 99, 0]).err();
            ask(0xc028_aa03, &mut [at, from as u64, page, 0, 0])?;
            ask(0xc028_aa03, &mut [at, from as u64, page, 0, 0]).err();
            ask(0xc020_aa04, &mut [at + page, page, 0, 0])?;
            ask(0xc020_aa04, &mut [at + page, page, 0, 0]).err();
            let _ = ask(0xc018_aa06, &mut [at, page, 1]);
            let _ = ask(0xc020_aa07, &mut [at, page, 0, 0]);
            let _ = ask(0xc020_aa08, &mut [at + 2 * page, page, 0, 0]);
            let _ = ask(0xc028_aa05, &mut [at + 3 * page, from as u64, page, 0, 0]);
            let _ = ask(0x8010_aa02, &mut [at, page]);
            fs::read(format!("/proc/self/fdinfo/{fd}"))?;
            ask(0x8010_aa01, &mut [at, 8 * page])?;
            unmap(at as i64, 8 * PAGE)?;
            unmap(from, 8 * PAGE)
        });
    }
}

fn others(it: &mut Exercise) {
    it.step("another process's memory", || {
        // SAFETY: a number only.
        let own = unsafe { libc::getpid() };
        let (mut to, from) = ([0_u8; 100], [7_u8; 100]);
        let (local, remote) = ([to.as_mut_ptr() as usize, 100], [from.as_ptr() as usize, 100]);
        sys!(SYS_process_vm_readv, own, local.as_ptr(), 1, remote.as_ptr(), 1, 0)?;
        sys!(SYS_process_vm_writev, own, remote.as_ptr(), 1, local.as_ptr(), 1, 0)?;
        sys!(SYS_process_vm_readv, own, local.as_ptr(), 1, [8_usize, 100].as_ptr(), 1, 0).err();
        sys!(SYS_process_vm_readv, 999_999, local.as_ptr(), 1, remote.as_ptr(), 1, 0)
    });
    it.step("/proc/self/mem, pagemap and clear_refs", || {
        let mut buffer = [0_u8; 64];
        let at = buffer.as_mut_ptr() as u64;
        let file = fs::OpenOptions::new().read(true).write(true).open("/proc/self/mem")?;
        std::os::unix::fs::FileExt::read_at(&file, &mut buffer, at)?;
        std::os::unix::fs::FileExt::write_at(&file, &[1; 8], at)?;
        let pages = fs::File::open("/proc/self/pagemap")?;
        std::os::unix::fs::FileExt::read_at(&pages, &mut buffer, at / 4096 * 8)?;
        // PAGEMAP_SCAN.
        let mut scan = [0_u64; 12];
        (scan[0], scan[2], scan[3]) = (96, at & !4095, (at & !4095) + 8192);
        let _ = sys!(SYS_ioctl, pages.as_raw_fd(), 0xc060_6610_u32, scan.as_mut_ptr());
        for value in ["1", "2", "3", "4", "5", "9"] {
            let _ = write("/proc/self/clear_refs", value.as_bytes());
        }
        write("/proc/self/coredump_filter", b"0x33")?;
        write("/proc/self/oom_score_adj", b"100")?;
        write("/proc/self/oom_score_adj", b"1001").err();
        write("/proc/self/oom_score_adj", b"0")
    });
    it.step("membarrier", || {
        for command in [0, 1, 2, 4, 8, 16, 32, 64, 128, 512, 999] {
            let _ = sys!(SYS_membarrier, command, 0, 0);
        }
        Ok(())
    });
    it.step("shadow stack and maps of the process", || {
        let _ = sys!(SYS_arch_prctl, 0x5001, 1);
        let mut value = 0_u64;
        let _ = sys!(SYS_arch_prctl, 0x1003, &raw mut value);
        let _ = sys!(SYS_arch_prctl, 0x5005, &raw mut value);
        Ok(())
    });
}

fn settings(it: &mut Exercise) {
    for (file, value) in [
        ("/proc/sys/vm/drop_caches", "3"),
        ("/proc/sys/vm/drop_caches", "9"),
        ("/proc/sys/vm/compact_memory", "1"),
        ("/proc/sys/vm/stat_refresh", "1"),
        ("/sys/kernel/mm/transparent_hugepage/enabled", "junk"),
        ("/sys/kernel/mm/lru_gen/enabled", "7"),
        ("/sys/kernel/mm/lru_gen/enabled", "0"),
        ("/sys/kernel/mm/lru_gen/enabled", "7"),
        ("/sys/devices/system/node/node0/compact", "1"),
        ("/sys/kernel/mm/page_idle/bitmap", "junk"),
        ("/sys/kernel/slab/kmalloc-64/shrink", "1"),
        ("/sys/kernel/slab/kmalloc-64/validate", "1"),
        ("/sys/block/zram0/reset", "1"),
        ("/sys/block/zram0/comp_algorithm", "lzo"),
        ("/sys/block/zram0/disksize", "4M"),
        ("/sys/block/zram0/compact", "1"),
        ("/sys/block/zram0/idle", "all"),
        ("/sys/block/zram0/reset", "1"),
    ] {
        it.set(format!("{file} := {value}"), file, value.as_bytes());
    }
}
