//! Workloads: what they did on the patched arm, held against the same on the base. Nothing else says what should come out.

use std::collections::BTreeSet;

use protocol::{Leak, Level, Measured, WorkResult, Workload};

use super::examine::examine_boot;
use super::finding::{Asked, Finding, Findings, JudgedArm, Weight};
use crate::campaign::Scenario;
use crate::observe::{Boot, Evidence};
use crate::subject::signal::Signal;
use console::Splat;

/// Something that ended in another way on the patched arm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    pub scenario: String,
    pub what: String,
    /// None: it was not tried there.
    pub base: Option<WorkResult>,
    pub patched: Option<WorkResult>,
    /// A failure of it says that something is wrong: it is a test or a reproducer, and no look at how the kernel answers.
    pub is_test: bool,
    /// A number of objects, of which one boot alone says nothing unless it is large: two boots of one kernel may differ.
    pub growth: Option<Growth>,
    /// That it was skipped is trouble where the base did it: the kernel answered that it has no such thing (`ENOENT`, `EOPNOTSUPP`),
    /// or a test found that what it needs is gone.
    pub has_to_run: bool,
    /// On either side something is missing that the patch may well have taken away, renamed or pushed out.
    pub may_be_gone: bool,
}

/// By how many objects a cache has grown on both arms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    with: u64,
    without: u64,
    /// Objects of one kind alone are in the cache.
    is_own: bool,
}

impl Growth {
    fn is_by(self, (most, times): (u64, u64)) -> bool {
        self.with >= self.without.saturating_add(most) && self.with >= self.without.saturating_mul(times)
    }

    /// Enough to look again.
    fn is_seen(self) -> bool {
        self.is_by(if self.is_own { OWN_GROWN } else { GROWN })
    }

    /// Of two boots of one kernel none was seen to differ by so much.
    pub fn is_beyond_chance(self) -> bool {
        self.is_by(if self.is_own { OWN_CHANCE } else { CHANCE })
    }
}

impl Difference {
    /// It ended well without the patch, and does not with it.
    pub fn is_worse(&self) -> bool {
        let is_bad = match &self.patched {
            Some(WorkResult::Failed(_)) => true,
            Some(WorkResult::Skipped(_)) => self.has_to_run,
            Some(WorkResult::Ok) => false,
            None => !self.may_be_gone,
        };
        self.base == Some(WorkResult::Ok) && is_bad
    }

    /// It is a test that failed without the patch and does not with it.
    pub fn is_fixed(&self) -> bool {
        self.is_test
            && matches!(self.base, Some(WorkResult::Failed(_)))
            && self.patched == Some(WorkResult::Ok)
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = |result: &Option<WorkResult>| match result {
            None => "not tried".to_owned(),
            Some(WorkResult::Ok) => "ok".to_owned(),
            Some(WorkResult::Skipped(why)) => format!("skipped ({why})"),
            Some(WorkResult::Failed(how)) => how.clone(),
        };
        let (base, patched) = (word(&self.base), word(&self.patched));
        write!(f, "{}: {}: {base} on the base, {patched} with the patch", self.scenario, self.what)
    }
}

/// All that differs, in the order of the scenarios. None where one of the two did not come to its end: then there is
/// nothing to compare, and that is said elsewhere. Where both were booted again, what is worse has to be so again: otherwise it is
/// chance, and left out.
pub fn differences(asked: &Asked<'_>, base: &Evidence, patched: &Evidence) -> Vec<Difference> {
    let mut boots = base.boots().zip(patched.boots());
    let mut found = boots.next().map(|(base, patched)| between(asked, base, patched)).unwrap_or_default();
    for (base, patched) in boots {
        let again = between(asked, base, patched);
        let is_again = |one: &Difference| {
            let same = |other: &Difference| (&other.scenario, &other.what) == (&one.scenario, &one.what);
            again.iter().any(|other| same(other) && other.is_worse())
        };
        found.retain(|difference| !difference.is_worse() || is_again(difference));
    }
    found
}

fn between(asked: &Asked<'_>, base: &Boot, patched: &Boot) -> Vec<Difference> {
    let mut found = Vec::new();
    for scenario in asked.scenarios {
        let Some(work) = scenario.work() else { continue };
        let measured = |boot: &Boot| match boot {
            Boot::Ran(ran) => ran.measured(&scenario.name).cloned(),
            Boot::NotRun | Boot::Infra { .. } => None,
        };
        let (Some(base), Some(patched)) = (measured(base), measured(patched)) else { continue };
        compare(asked, scenario, work, &base, &patched, &mut found);
    }
    found
}

fn compare(
    asked: &Asked<'_>,
    scenario: &Scenario,
    work: &Workload,
    base: &Measured,
    patched: &Measured,
    found: &mut Vec<Difference>,
) {
    if matches!(work, Workload::Leftovers) {
        found.extend(grown(scenario, base, patched));
    }
    found.extend(fewer(scenario, base, patched));
    found.extend(refused(scenario, base, patched));
    let is_test = is_test(work);
    // stress-ng skips for want of resources as well. A suite is compiled with the patch, which may rename a case or let it skip.
    let is_changed = matches!(work, Workload::Kunit(_)) && asked.changes_tests;
    let has_to_run = !is_changed && (is_test || matches!(work, Workload::Ours | Workload::Sweep(_)));
    // Of what does not fit into a report, one result more pushes out another.
    let is_full = |measured: &Measured| measured.results.len() >= protocol::RESULTS_MAX;
    let may_be_gone = is_changed || is_full(base) || is_full(patched);
    let mut names: Vec<&String> = base.results.keys().chain(patched.results.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for what in names {
        let (base, patched) = (base.results.get(what), patched.results.get(what));
        if base != patched {
            found.push(Difference {
                scenario: scenario.name.clone(),
                what: what.clone(),
                base: base.cloned(),
                patched: patched.cloned(),
                is_test,
                has_to_run,
                may_be_gone,
                ..Difference::default()
            });
        }
    }
}

/// What there is less of with the patch. That there is more is its own business.
fn fewer<'m>(
    scenario: &'m Scenario,
    base: &'m Measured,
    patched: &'m Measured,
) -> impl Iterator<Item = Difference> + 'm {
    let both = base.found.iter().filter_map(|(what, base)| Some((what, base, patched.found.get(what)?)));
    both.filter(|(_, base, patched)| patched < base).map(|(what, base, patched)| Difference {
        scenario: scenario.name.clone(),
        what: what.clone(),
        base: Some(WorkResult::Ok),
        patched: Some(WorkResult::Failed(format!("{patched} instead of {base}"))),
        ..Difference::default()
    })
}

/// System calls that succeed in a step without the patch, and with it never. One that is not made there is told by what came before it.
fn refused<'m>(
    scenario: &'m Scenario,
    base: &'m Measured,
    patched: &'m Measured,
) -> impl Iterator<Item = Difference> + 'm {
    let both = base.answers.iter().filter_map(|(what, base)| Some((what, base, patched.answers.get(what)?)));
    let kinds = both.flat_map(|(what, base, patched)| {
        let error = |kind: &u32| patched.failed.iter().find(|(_, kinds)| kinds.contains(kind));
        base.ok.iter().filter_map(move |kind| Some((what, *kind, error(kind)?.0)))
    });
    kinds.map(|(what, kind, error)| Difference {
        scenario: scenario.name.clone(),
        what: match kind {
            0 => format!("{what} succeeds"),
            kind => format!("{what} {kind:#x} succeeds"),
        },
        base: Some(WorkResult::Ok),
        patched: Some(WorkResult::Failed(error.clone())),
        ..Difference::default()
    })
}

/// A cache has to have grown by so many objects more than on the other arm, and by so many times as much: what goes on
/// beside a workload leaves some behind, and not the same number at each boot.
const GROWN: (u64, u64) = (40, 3);

/// At one boot of some twenty, 76 objects more were left in one cache than at the others.
const CHANCE: (u64, u64) = (150, 10);

/// The same of a cache that is not [`SHARED_CACHES`]: in 28 pairs of boots none of these had grown by more than two objects more.
const OWN_GROWN: (u64, u64) = (5, 3);
const OWN_CHANCE: (u64, u64) = (12, 5);

/// What any part of the kernel puts its objects into, and what each task, mapping and packet has: by how these begin.
const SHARED_CACHES: [&str; 20] = [
    "kmalloc",
    "task_",
    "sighand_cache",
    "signal_cache",
    "cred",
    "pid",
    "mm_struct",
    "vm_area",
    "anon_vma",
    "maple_node",
    "page->ptl",
    "files_cache",
    "fs_cache",
    "filp",
    "skbuff",
    "bio-",
    "radix_tree_node",
    "buffer_head",
    "avc_",
    "lsm_",
];

/// What the detectors keep of everything that is there (mm/kmemleak.c, lib/debugobjects.c), and areas that are given back lazily
/// (mm/vmalloc.c) or with inodes: two boots of one kernel differ by hundreds.
const UNSTEADY_CACHES: [&str; 5] =
    ["kmemleak_", "debug_objects_cache", "vmap_area", "lsm_inode_cache", "dentry"];

/// Slab caches in which more is left in use with the patch than without it. No pointer is missing to any of it, or kmemleak would
/// have said so: a reference was not given back, or something was not taken out of where it is kept.
fn grown(scenario: &Scenario, base: &Measured, patched: &Measured) -> Vec<Difference> {
    let mut found = Vec::new();
    let is_steady = |cache: &&String| !UNSTEADY_CACHES.iter().any(|name| cache.starts_with(name));
    for cache in patched.levels.keys().filter(is_steady) {
        let growth = growth_of(cache, base, patched);
        if !growth.is_seen() {
            continue;
        }
        let Growth { with, without, .. } = growth;
        found.push(Difference {
            scenario: scenario.name.clone(),
            what: format!("objects in use of the slab cache {cache} come back"),
            base: Some(WorkResult::Ok),
            patched: Some(WorkResult::Failed(format!("{with} more than before, {without} more on the base"))),
            growth: Some(growth),
            ..Difference::default()
        });
    }
    found
}

/// Where less was in use before the workloads than on the base, that is not counted as growth: something else was late.
fn growth_of(cache: &str, base: &Measured, patched: &Measured) -> Growth {
    let (base, patched) = (base.levels.get(cache), patched.levels.get(cache));
    let rise = |level: Option<&Level>| level.map_or(0, |level| level.after.saturating_sub(level.before));
    let was_less = match (base, patched) {
        (Some(base), Some(patched)) => base.before.saturating_sub(patched.before),
        _ => 0,
    };
    Growth {
        with: rise(patched).saturating_sub(was_less),
        without: rise(base),
        is_own: !SHARED_CACHES.iter().any(|name| cache.starts_with(name)),
    }
}

/// A failure of it says that something is wrong.
fn is_test(work: &Workload) -> bool {
    matches!(work, Workload::Program(_) | Workload::Kunit(_) | Workload::Selftest(_))
}

/// Memory that is lost on one arm and not on the other, of what a function of a changed object had a part in allocating. What is
/// lost elsewhere may be the patch's work as well, or that of the hour: it is shown, and speaks against nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLeak {
    pub leak: Leak,
    pub scenario: String,
    pub is_of_the_patch: bool,
}

impl std::fmt::Display for NewLeak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Leak { objects, bytes, stack } = &self.leak;
        // What allocates for all says nothing.
        let own = stack.iter().skip_while(|frame| is_allocator(frame)).take(SHOWN_FRAMES);
        let own: Vec<&str> = own.map(String::as_str).collect();
        let what = if *objects == 1 { "1 object".to_owned() } else { format!("{objects} objects") };
        write!(
            f,
            "{}: {what} of {bytes} bytes that nothing points to, from {}",
            self.scenario,
            own.join(" < ")
        )
    }
}

const SHOWN_FRAMES: usize = 6;

fn is_allocator(frame: &str) -> bool {
    let frame = frame.trim_start_matches('_');
    ["kmemleak_alloc", "kmalloc", "kmem_cache_alloc", "kvmalloc", "kzalloc"]
        .iter()
        .any(|start| frame.starts_with(start))
}

/// The functions of the objects that the patch changes, on either arm.
pub fn changed_functions(one: &Evidence, other: &Evidence) -> BTreeSet<String> {
    let names = |evidence: &Evidence| {
        let code = evidence.built().map(|built| built.code.clone()).unwrap_or_default();
        let names = code.functions.into_keys();
        names.filter_map(|name| name.rsplit(": ").next().map(str::to_owned)).collect::<Vec<String>>()
    };
    names(one).into_iter().chain(names(other)).collect()
}

/// Whether a function of a changed object had a part in trouble of the patched arm: then it is no chance.
pub fn is_of_the_patch(finding: &Finding, base: &Evidence, patched: &Evidence) -> bool {
    match &finding.signal {
        Signal::Splat { .. } if is_breakpoint(finding, patched) => false,
        Signal::Splat { stack, .. } => {
            let changed = changed_functions(base, patched);
            has_frame_of(stack, &changed)
        }
        Signal::Leak { .. } | Signal::Build => true,
        _ => false,
    }
}

/// It came at one boot of many and not again, whatever the patch was: it says something only if it comes again.
fn is_breakpoint(finding: &Finding, evidence: &Evidence) -> bool {
    finding.splat.and_then(|splat| splat.find(evidence)).is_some_and(Splat::is_breakpoint)
}

/// Whether trouble of the patched arm stands: it came at every boot, or a function of a changed object had a part in it.
pub fn stands(asked: &Asked<'_>, finding: &Finding, base: &Evidence, patched: &Evidence) -> bool {
    if is_of_the_patch(finding, base, patched) {
        return true;
    }
    patched.repeats.iter().all(|boot| {
        let again = examine_boot(asked, JudgedArm::Patched, boot);
        // Differences were looked at boot by boot already.
        matches!(finding.signal, Signal::Done { .. })
            || again.iter().any(|other| other.signal.is_same_trouble(&finding.signal))
    })
}

/// What `this` lost and `other` did not.
pub fn new_leaks(asked: &Asked<'_>, this: &Evidence, other: &Evidence) -> Vec<NewLeak> {
    let changed = changed_functions(this, other);
    let mut found = Vec::new();
    for scenario in asked.scenarios.iter().filter(|scenario| scenario.work().is_some()) {
        let leaks = |evidence: &Evidence| {
            let measured = evidence.ran().and_then(|ran| ran.measured(&scenario.name));
            measured.map(|measured| measured.leaks.clone())
        };
        let (Some(this), Some(other)) = (leaks(this), leaks(other)) else { continue };
        for leak in this {
            if !other.iter().any(|known| are_alike(&known.stack, &leak.stack)) {
                let is_of_the_patch = has_frame_of(&leak.stack, &changed);
                found.push(NewLeak { leak, scenario: scenario.name.clone(), is_of_the_patch });
            }
        }
    }
    found
}

/// Whether one of `functions` stands in a stack.
pub fn has_frame_of(stack: &[String], functions: &BTreeSet<String>) -> bool {
    stack.iter().any(|frame| functions.contains(plain(frame)))
}

/// Without what the compiler adds (`.isra.0`, `.constprop.0`).
fn plain(frame: &str) -> &str {
    frame.split('.').next().unwrap_or(frame)
}

/// The same but for functions that one of the two has between the others: a helper that was split off, or inlined.
fn are_alike(one: &[String], other: &[String]) -> bool {
    let is_in = |few: &[String], many: &[String]| {
        let mut rest = many.iter();
        few.iter().all(|frame| rest.any(|other| plain(other) == plain(frame)))
    };
    is_in(one, other) || is_in(other, one)
}

/// What stands between a workload's result and anything that can be said of it.
pub fn examine_work(found: &mut Findings, scenario: &Scenario, work: &Workload, measured: &Measured) {
    // Of a sweep in whose functions nothing is allocated there is nothing to say.
    let may_be_empty = matches!(work, Workload::Boot | Workload::Sweep(_) | Workload::Leftovers);
    if measured.results.is_empty() && !may_be_empty {
        found.gap(Weight::Vacuous, format!("{}: it did nothing", scenario.name));
    }
    // One that runs nowhere ends alike everywhere. Of what the user did not bring, what it executes is counted.
    let mut results = measured.results.values();
    let first = results.next();
    if let Some(WorkResult::Skipped(why)) = first.filter(|_| is_test(work) && scenario.always)
        && results.all(|result| matches!(result, WorkResult::Skipped(_)))
    {
        found.gap(Weight::Vacuous, format!("{}: it was skipped: {why}", scenario.name));
    }
}

/// Of each workload that was run with failures: how many were forced below which functions, on both arms; and what was lost
/// elsewhere on the patched arm alone.
pub fn failures(asked: &Asked<'_>, base: &Evidence, patched: &Evidence) -> Vec<String> {
    let forced = |evidence: &Evidence, name: &str| {
        let measured = evidence.ran().and_then(|ran| ran.measured(name));
        let done = measured.map(|measured| measured.done.clone()).unwrap_or_default();
        let words: Vec<String> =
            done.iter().map(|done| format!("{} below {}", done.count, done.what)).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    };
    let is_sweep = |scenario: &&Scenario| matches!(scenario.work(), Some(Workload::Sweep(_)));
    let sweeps = asked.scenarios.iter().filter(is_sweep).map(|scenario| {
        let name = &scenario.name;
        format!("{name}: on the base {}; with the patch {}", forced(base, name), forced(patched, name))
    });
    sweeps.chain(unblamed(asked, base, patched)).collect()
}

/// In sentences, what was worse with the patch and speaks against nobody: a step that did not fail again, and memory that was
/// lost elsewhere. A pass beside it is a weak one.
pub fn unblamed(asked: &Asked<'_>, base: &Evidence, patched: &Evidence) -> Vec<String> {
    let kept = differences(asked, base, patched);
    let first = base.boots().zip(patched.boots()).next().map(|(base, patched)| between(asked, base, patched));
    let not_again = first
        .unwrap_or_default()
        .into_iter()
        .filter(|difference| {
            difference.is_worse() && difference.growth.is_none() && !kept.contains(difference)
        })
        .map(|difference| format!("at one boot alone: {difference}"));
    let leaks = new_leaks(asked, patched, base).into_iter().filter(|leak| !leak.is_of_the_patch);
    not_again
        .chain(leaks.map(|leak| format!("lost with the patch alone, by no changed function: {leak}")))
        .collect()
}

/// In sentences, what the user brought to show a bug and that ends badly on both arms.
pub fn fail_alike(asked: &Asked<'_>, base: &Evidence, patched: &Evidence) -> Vec<String> {
    let is_reproducer =
        |scenario: &&Scenario| scenario.always && matches!(scenario.work(), Some(Workload::Program(_)));
    let results = |evidence: &Evidence, name: &str| {
        let measured = evidence.ran().and_then(|ran| ran.measured(name));
        measured.map(|measured| measured.results.clone()).unwrap_or_default()
    };
    let mut found = Vec::new();
    for scenario in asked.scenarios.iter().filter(is_reproducer) {
        let (base, patched) = (results(base, &scenario.name), results(patched, &scenario.name));
        for (what, base) in base {
            if let (WorkResult::Failed(base), Some(WorkResult::Failed(patched))) = (base, patched.get(&what))
            {
                let how = if base == *patched { base } else { format!("{base} and {patched}") };
                found.push(format!("{}: {what} is bad without and with the patch: {how}", scenario.name));
            }
        }
    }
    found
}

/// What the patch lost.
pub fn examine_leaks(found: &mut Findings, leaks: &[NewLeak]) {
    for leak in leaks.iter().filter(|leak| leak.is_of_the_patch) {
        found.bad(Signal::Leak { stack: leak.leak.stack.clone() }, leak.to_string());
    }
}

/// What the patch made worse.
pub fn examine_differences(found: &mut Findings, differences: &[Difference]) {
    for difference in differences.iter().filter(|difference| difference.is_worse()) {
        let signal = Signal::Done { what: difference.what.clone(), scenario: difference.scenario.clone() };
        found.bad(signal, difference.to_string());
    }
}
