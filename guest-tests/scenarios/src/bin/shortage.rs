//! Real memory shortage, nothing injected: the batch is asked for without waiting, and while less memory is free than
//! the watermarks demand, it is not there.
//!
//! Whoever can wait and asks for memory meanwhile makes the kernel kill somebody, and somebody in a kernel that runs
//! may always ask. A hog stands by for that: it holds more than is lacking, so that its death ends the shortage and
//! nobody else dies. A round that ended so is begun again.

use std::fs::{File, OpenOptions};
use std::io::Error;
use std::os::unix::fs::FileExt;
use std::ptr;

use kit::child::Child;
use kit::mapping::{SparseMapping, page_size};
use kit::measure::{Force, Trial, measure};
use kit::meter::{Meter, Performed};
use kit::{files, scenario};
use protocol::Done;

const MIN_FREE: &str = "/proc/sys/vm/min_free_kbytes";
const PER_CPU_LISTS: &str = "/proc/sys/vm/percpu_pagelist_high_fraction";
const LOWMEM_RESERVE: &str = "/proc/sys/vm/lowmem_reserve_ratio";

/// What the hog holds, and what is lacking while memory is short: far more than the operation itself gives back, far
/// less than the hog.
const HOG_BYTES: usize = 64 << 20;
const LACKING_KIB: u64 = 32 << 10;

/// Rounds begun at most; whether they reached enough fallbacks is the judge's to say.
const ROUNDS: u64 = 5;

/// The harness forgives the kernel the death of this one, and of nobody else.
const HOG_NAME: &str = "oom-victim";

pub fn main() {
    scenario::run(|order| measure(order, Force::Nothing, operate));
}

fn operate(trial: &Trial<'_>) -> Result<Performed, String> {
    files::set("/proc/self/oom_score_adj", "-1000")?;
    reserve_lower_zones()?;
    // What the hog leaves must count as free: lists per CPU grow with the watermarks, and nobody looks at them for
    // these (mm/page_alloc.c, `zone_highsize()`). The larger the fraction's divisor, the shorter the lists.
    files::set(PER_CPU_LISTS, "1000000")?;
    let mut round = Round::prepare(trial.tables)?;
    let meter = Meter::start()?;
    let mut kills = 0;
    while !round.unmap(trial.forced)? {
        kills += 1;
        if kills == ROUNDS {
            break;
        }
        round = Round::prepare(trial.tables)?;
    }
    let done = vec![Done { what: "OOM kills in between".to_owned(), count: kills }];
    Ok(Performed { done, ..meter.stop()? })
}

/// Keeps what has to be in a lower zone (ZONE_DMA) out of everybody else's reach: watermarks are shared out by the
/// size of a zone, and one that nobody uses would never be short (mm/page_alloc.c, `setup_per_zone_lowmem_reserve()`).
fn reserve_lower_zones() -> Result<(), String> {
    let ratios = files::read(LOWMEM_RESERVE)?;
    let all: Vec<&str> = ratios.split_whitespace().map(|_| "1").collect();
    files::set(LOWMEM_RESERVE, &all.join(" "))
}

/// One attempt: page tables to free, and somebody to be killed instead of anybody else.
struct Round {
    mapping: SparseMapping,
    hog: Child,
}

impl Round {
    fn prepare(tables: u64) -> Result<Round, String> {
        let hog = Child::start(be_chosen, |_| Ok(()))?;
        Ok(Round { mapping: SparseMapping::populate(tables)?, hog })
    }

    /// Frees the page tables, while memory is short if it is to be; says whether nobody was killed.
    fn unmap(self, short: bool) -> Result<bool, String> {
        let watermarks = Watermarks::open()?;
        watermarks.while_short(short, || self.mapping.unmap())?;
        Ok(self.hog.finish().is_ok())
    }
}

fn be_chosen() -> Result<(), String> {
    files::set("/proc/self/comm", HOG_NAME)?;
    files::set("/proc/self/oom_score_adj", "1000")?;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
    // The kernel makes the pages: thousands of faults would take longer than all that is measured.
    // SAFETY: a new mapping at an address of the kernel's choice, which stays until this process ends.
    let start =
        unsafe { libc::mmap(ptr::null_mut(), HOG_BYTES, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    match start == libc::MAP_FAILED {
        true => Err(format!("could not map {HOG_BYTES} bytes: {}", Error::last_os_error())),
        false => must_be_there(start),
    }
}

/// Populating a mapping fails in silence.
fn must_be_there(start: *mut libc::c_void) -> Result<(), String> {
    let mut pages = vec![0_u8; HOG_BYTES / page_size()];
    // SAFETY: the call writes a byte for each page of the mapping into the vector, which has room for them.
    if unsafe { libc::mincore(start, HOG_BYTES, pages.as_mut_ptr()) } != 0 {
        return Err(format!("mincore: {}", Error::last_os_error()));
    }
    match pages.iter().filter(|page| **page & 1 == 0).count() {
        0 => Ok(()),
        missing => Err(format!("{missing} pages of the hog are not there")),
    }
}

/// How much memory the kernel keeps free, open before it is short.
struct Watermarks {
    file: File,
    normal: String,
    /// More than is free, and less than will be when the hog is gone.
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
