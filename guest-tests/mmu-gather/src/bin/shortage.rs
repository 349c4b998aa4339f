//! Real memory shortage, nothing injected: the batch is asked for without waiting, and while less memory is free than
//! the watermarks demand, it is not there.
//!
//! A task that can wait and asks for memory meanwhile makes the kernel kill a process, and some task in a kernel that runs
//! may always ask. Hogs stand by for that: each holds more than is lacking, so that its death ends the shortage and
//! no other process dies. They are several, because the kernel looks for the next one when the memory of the one before is
//! not free yet, and panics if there is none. A round in which one was killed is begun again.

use std::fs::{File, OpenOptions};
use std::io::Error;
use std::os::unix::fs::FileExt;
use std::ptr;

use kit::child::{Child, Status};
use kit::measure::{Trial, measure};
use kit::meter::Performed;
use kit::{files, page, scenario};
use mmu_gather::mapping::SparseMapping;
use protocol::Done;

const MIN_FREE: &str = "/proc/sys/vm/min_free_kbytes";
const PER_CPU_LISTS: &str = "/proc/sys/vm/percpu_pagelist_high_fraction";
const LOWMEM_RESERVE: &str = "/proc/sys/vm/lowmem_reserve_ratio";

/// What a hog holds, and what is lacking while memory is short: more than the operation itself and the lists of four CPUs
/// (some 1000 pages) can give back, and so much less than a hog that these lists may keep as much of it.
const HOG_BYTES: usize = 16 << 20;
const LACKING_KIB: u64 = 8 << 10;

const HOGS: usize = 3;

/// Rounds begun at most; whether they reached enough fallbacks is the judge's to say.
const ROUNDS: u64 = 5;

/// The harness forgives the kernel the death of those of this name, and of no other.
const HOG_NAME: &str = "oom-victim";

pub fn main() {
    scenario::run(|order| measure(order, operate));
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    files::set("/proc/self/oom_score_adj", "-1000")?;
    reserve_lower_zones()?;
    // What a hog leaves must count as free: lists per CPU grow with the watermarks, and they are not looked at for
    // these (mm/page_alloc.c, `zone_highsize()`). The larger the fraction's divisor, the shorter the lists.
    files::set(PER_CPU_LISTS, "1000000")?;
    // No process is killed where nothing is short, and to fill large ones takes longer than all the rest.
    let hog_bytes = if trial.forced { HOG_BYTES } else { page::size() };
    let mut round = Round::prepare(trial.units, hog_bytes)?;
    let meter = trial.meter()?;
    let mut kills = 0;
    for number in 1..=ROUNDS {
        let killed = round.unmap(trial.forced)?;
        kills += killed;
        if killed == 0 || number == ROUNDS {
            break;
        }
        round = Round::prepare(trial.units, hog_bytes)?;
    }
    let done = vec![Done { what: "OOM kills in between".to_owned(), count: kills }];
    Ok(Performed { done, ..meter.stop()? })
}

/// Keeps what has to be in a lower zone (ZONE_DMA) out of everybody else's reach: watermarks are shared out by the
/// size of a zone, and one that is not used would never be short (mm/page_alloc.c, `setup_per_zone_lowmem_reserve()`).
fn reserve_lower_zones() -> Result<(), String> {
    let ratios = files::read(LOWMEM_RESERVE)?;
    let all: Vec<&str> = ratios.split_whitespace().map(|_| "1").collect();
    files::set(LOWMEM_RESERVE, &all.join(" "))
}

/// One attempt: page tables to free, and some to be killed instead of anybody else.
struct Round {
    mapping: SparseMapping,
    hogs: Vec<Child>,
}

impl Round {
    fn prepare(tables: u64, hog_bytes: usize) -> Result<Round, String> {
        let hogs = (0..HOGS).map(|_| Child::start(|| be_chosen(hog_bytes), |_| Ok(())));
        Ok(Round { hogs: hogs.collect::<Result<_, _>>()?, mapping: SparseMapping::populate(tables)? })
    }

    /// Frees the page tables, while memory is short if it is to be; says how many were killed.
    fn unmap(self, short: bool) -> Result<u64, String> {
        let watermarks = Watermarks::open()?;
        watermarks.while_short(short, || self.mapping.unmap())?;
        let ends = self.hogs.into_iter().map(|hog| match hog.end()? {
            Status::KILLED => Ok(1),
            other => other.must_be(Status::SUCCESS).map(|()| 0),
        });
        ends.sum()
    }
}

fn be_chosen(bytes: usize) -> Result<(), String> {
    files::set("/proc/self/comm", HOG_NAME)?;
    files::set("/proc/self/oom_score_adj", "1000")?;
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address of the kernel's choice, which stays until this process ends.
    let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(format!("could not map {bytes} bytes: {}", Error::last_os_error()));
    }
    // Thousands of small pages would take longer than all that is measured. A kernel without huge ones refuses.
    // SAFETY: advice about the mapping just made; it changes no content.
    unsafe { libc::madvise(start, bytes, libc::MADV_HUGEPAGE) };
    // SAFETY: makes the pages of that mapping, or says that it could not.
    match unsafe { libc::madvise(start, bytes, libc::MADV_POPULATE_WRITE) } {
        0 => Ok(()),
        _ => Err(format!("could not fill {bytes} bytes: {}", Error::last_os_error())),
    }
}

/// How much memory the kernel keeps free, open before it is short.
struct Watermarks {
    file: File,
    normal: String,
    /// More than is free, and less than will be when a hog is gone.
    short: String,
}

impl Watermarks {
    fn open() -> Result<Watermarks, String> {
        let normal = files::read(MIN_FREE)?;
        let meminfo = files::read("/proc/meminfo")?;
        let free = meminfo.lines().find_map(|line| line.strip_prefix("MemFree:"));
        let free: Option<u64> = free.and_then(|free| free.trim().strip_suffix(" kB")?.trim().parse().ok());
        let free = free.ok_or("/proc/meminfo has no MemFree")?;
        let file = OpenOptions::new().write(true).open(MIN_FREE);
        let file = file.map_err(|error| format!("could not open {MIN_FREE}: {error}"))?;
        Ok(Watermarks { file, normal, short: (free + LACKING_KIB).to_string() })
    }

    /// Between the two writes nothing here asks for memory but what is measured.
    fn while_short(&self, short: bool, operation: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        let write = |value: &str| self.file.write_at(value.as_bytes(), 0);
        let raised = write(if short { &self.short } else { &self.normal });
        let result = operation();
        let lowered = write(&self.normal);
        raised.and(lowered).map_err(|error| format!("could not write {MIN_FREE}: {error}"))?;
        result
    }
}
