//! A guest test as a campaign names it: what it demands, and where it means something.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use protocol::{Sweep, Workload};
use serde::{Deserialize, Serialize};

use super::variant::Variant;
use crate::subject::Subject;
use failure::{Failure, Result};

/// A guest test, and what it has to show where it applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    pub name: String,
    pub demand: Demand,
    /// The injection of the subject; None: nothing is injected.
    pub inject: Option<String>,
    /// Without the subject's settings.
    pub as_booted: bool,
    /// It applies to a variant whose base has one of these outcomes; None: to all but those in which nothing follows a
    /// failure.
    pub on: Option<Vec<String>>,
    /// And which has all of these fragments.
    pub fragments: Vec<String>,
    /// Why it says nothing about any other variant.
    pub otherwise: Option<String>,
    /// CPUs whose events it counts, where these are not all but the test's.
    pub bystanders: Option<u32>,
    pub suite: Suite,
    /// Run by controls that must be exposed in one scenario and in no other; false for mixtures of others.
    pub controls: bool,
    /// Its times are held against each other: nothing else of the run goes on meanwhile.
    pub exclusive: bool,
    /// A workload that is run also where it was not seen to execute a changed line.
    #[serde(default)]
    pub always: bool,
    /// What a derived plan takes it for to be about: files that begin with one of these; none: all.
    #[serde(default)]
    pub paths: Vec<String>,
    /// It reads what the boot has set up: where nothing but the boot executes what is changed, it may show it.
    #[serde(default)]
    pub reads: bool,
    /// The patch changes no file that it is about: it is run where those that are do not execute each hunk.
    #[serde(default)]
    pub far: bool,
}

/// Which runs take a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suite {
    /// Every run, also one that asks for as little as shows anything.
    Quick,
    /// Those that ask for no less than usual.
    #[default]
    Normal,
    /// Those that ask for everything.
    Full,
    /// Those that say for how long.
    Soak,
}

/// What a scenario demands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// So many failures are injected, and each of them, and nothing else, leads to the outcome of the arm.
    Failures(u64),
    /// The outcome of the arm is reached at least so often; how often is not known beforehand.
    AtLeast(u64),
    /// So many operations each have this outcome, on both arms: they are none of the patch's business.
    Operations { count: u64, outcome: String },
    /// What the guest counts by itself comes out just so.
    Counts(Vec<ExpectedCount>),
    /// Nothing is known of it beforehand: whatever it does ends on the patched arm as it does on the base.
    Work(Workload),
}

/// How often something has to be done on each arm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedCount {
    /// As the guest test calls it.
    pub what: String,
    pub base: u64,
    pub patched: u64,
}

impl Demand {
    /// What the guest is told.
    pub fn number(&self) -> u64 {
        match self {
            Demand::Failures(number) | Demand::AtLeast(number) => *number,
            Demand::Operations { count, .. } => *count,
            Demand::Work(_) => 1,
            Demand::Counts(counts) => {
                counts.iter().map(|count| count.base.max(count.patched)).max().unwrap_or(0)
            }
        }
    }

    /// The same of no more than `most`; what is expected of counts stays.
    pub fn at_most(&self, most: u64) -> Demand {
        match self {
            Demand::Failures(number) => Demand::Failures(most.min(*number)),
            Demand::AtLeast(number) => Demand::AtLeast(most.min(*number)),
            Demand::Operations { count, outcome } => {
                Demand::Operations { count: most.min(*count), outcome: outcome.clone() }
            }
            Demand::Counts(_) | Demand::Work(_) => self.clone(),
        }
    }

    /// What the variant expects of a failure decides whether it is met.
    pub fn needs_expect(&self) -> bool {
        matches!(self, Demand::Failures(_) | Demand::AtLeast(_))
    }

    /// What a failure is called is the subject's word.
    pub fn describe(&self, subject: &Subject) -> String {
        let failure = &subject.failure;
        match self {
            Demand::Failures(number) => format!("{number} {failure}s"),
            Demand::AtLeast(number) => format!("at least {number} {failure}s"),
            Demand::Operations { count, outcome } => {
                let about = subject.outcome(outcome).map_or(outcome.as_str(), |outcome| &outcome.about);
                format!("{count} operations: {about}")
            }
            Demand::Work(_) => "it ends as on the base".to_owned(),
            Demand::Counts(counts) => {
                let each =
                    counts.iter().map(|count| format!("{} {} -> {}", count.what, count.base, count.patched));
                each.collect::<Vec<_>>().join(", ")
            }
        }
    }
}

impl Scenario {
    /// What the user brings: run by every kernel.
    pub fn workload(name: String, work: Workload) -> Scenario {
        Scenario {
            name,
            demand: Demand::Work(work),
            inject: None,
            as_booted: false,
            on: None,
            fragments: Vec::new(),
            otherwise: None,
            bystanders: None,
            suite: Suite::Normal,
            controls: false,
            exclusive: false,
            always: true,
            paths: Vec::new(),
            reads: false,
            far: false,
        }
    }

    /// The same program with one allocation after the other failing below functions ([`Sweep::under`]).
    pub fn sweep_of(&self, under: Vec<Vec<String>>, secs: u64) -> Scenario {
        let sweep = Sweep { program: self.name.clone(), under, secs };
        Scenario::workload(format!("{}-failing", self.name), Workload::Sweep(sweep))
    }

    /// The workload that runs a KUnit suite, whoever asked for it.
    pub fn name_of_suite(suite: &str) -> String {
        format!("kunit-{suite}")
    }

    /// What was found to be about the patch: run by those kernels where it may tell something.
    pub fn found(name: String, work: Workload) -> Scenario {
        Scenario { always: false, ..Scenario::workload(name, work) }
    }

    /// Run by every kernel, whatever it reaches of the patch.
    pub fn is_always_run(&self) -> bool {
        self.always
            || match self.work() {
                None | Some(Workload::Boot | Workload::Mark | Workload::Leftovers) => true,
                Some(
                    Workload::Ours
                    | Workload::Program(_)
                    | Workload::Kunit(_)
                    | Workload::Selftest(_)
                    | Workload::Stress(_)
                    | Workload::Sweep(_),
                ) => false,
            }
    }

    /// It says nothing of a kernel that only counts lines.
    pub fn is_for_judged(&self) -> bool {
        matches!(self.work(), Some(Workload::Mark | Workload::Leftovers))
    }

    /// It forces failures while a program of ours runs.
    pub fn is_sweep(&self) -> bool {
        matches!(self.work(), Some(Workload::Sweep(_)))
    }

    /// For how long it forces failures, seconds.
    pub fn sweep_secs(&self) -> u64 {
        if let Some(Workload::Sweep(sweep)) = self.work() { sweep.secs } else { 0 }
    }

    /// How well it is known to be about one of `files`: the length of the longest path that they have in common. None: it is about
    /// others.
    pub fn nearness(&self, files: &BTreeSet<&str>) -> Option<usize> {
        if self.paths.is_empty() {
            return Some(0);
        }
        let is_about = |path: &&String| files.iter().any(|file| file.starts_with(path.as_str()));
        self.paths.iter().filter(is_about).map(String::len).max()
    }

    /// What it runs, if it is a workload.
    pub fn work(&self) -> Option<&Workload> {
        match &self.demand {
            Demand::Work(work) => Some(work),
            Demand::Failures(_) | Demand::AtLeast(_) | Demand::Operations { .. } | Demand::Counts(_) => None,
        }
    }

    /// Why it says nothing about `variant`; None: it applies.
    pub fn not_applicable(&self, variant: &Variant, subject: &Subject) -> Option<String> {
        if let Some(reason) = variant.without.get(&self.name) {
            return Some(reason.clone());
        }
        let base = variant.expect.as_ref().and_then(|expect| subject.outcome(&expect.base));
        let other = base.filter(|base| match &self.on {
            Some(on) => !on.contains(&base.name),
            None => !base.absent.is_empty() && !matches!(self.demand, Demand::Counts(_) | Demand::Work(_)),
        });
        let lacks = self.fragments.iter().find(|name| !variant.fragments.contains(name));
        let reason = match (other, lacks) {
            (None, None) => return None,
            (Some(base), _) if !base.absent.is_empty() => format!("this kernel has no {}", subject.failure),
            (Some(base), _) => format!("the base does {} here", base.about),
            (None, Some(name)) => format!("the variant is built without the fragment `{name}`"),
        };
        Some(self.otherwise.clone().unwrap_or(reason))
    }
}

/// Adds `more` to what is run: before the look at what was left behind, which has to come after all.
pub fn add_before_the_last_look(scenarios: &mut Vec<Scenario>, more: Vec<Scenario>) {
    let is_look = |scenario: &Scenario| scenario.work() == Some(&Workload::Leftovers);
    let at = scenarios.iter().position(is_look).unwrap_or(scenarios.len());
    scenarios.splice(at..at, more);
}

/// Orders workloads for a patch to `files`: those first that are known best to be about one of them, then those about one of
/// `callers`, files that call what is changed. Those that are about no files stay where they are.
pub fn order_for(scenarios: &mut Vec<Scenario>, files: &BTreeSet<&str>, callers: &BTreeSet<&str>) {
    let Some(at) = scenarios.iter().position(|scenario| !scenario.paths.is_empty()) else { return };
    let (mut about, rest): (Vec<Scenario>, Vec<Scenario>) =
        scenarios.drain(..).partition(|scenario| !scenario.paths.is_empty());
    for scenario in &mut about {
        scenario.far = scenario.nearness(files).is_none() && scenario.nearness(callers).is_none();
    }
    // Stable: they are written in the order of what they cost.
    about.sort_by_key(|scenario| std::cmp::Reverse((scenario.nearness(files), scenario.nearness(callers))));
    *scenarios = rest;
    scenarios.splice(at..at, about);
}

/// A scenario as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawScenario {
    name: String,
    failures: Option<u64>,
    at_least: Option<u64>,
    operations: Option<u64>,
    /// Of each of the operations.
    outcome: Option<String>,
    counts: Option<BTreeMap<String, RawCount>>,
    work: Option<RawWork>,
    /// A program of the guest with its arguments, as a workload.
    program: Option<Vec<String>>,
    /// A KUnit suite, as a workload.
    kunit: Option<String>,
    /// Arguments of stress-ng, as a workload.
    stress: Option<String>,
    inject: Option<String>,
    #[serde(default)]
    as_booted: bool,
    on: Option<Vec<String>>,
    #[serde(default)]
    fragments: Vec<String>,
    otherwise: Option<String>,
    bystanders: Option<u32>,
    #[serde(default)]
    suite: Suite,
    controls: Option<bool>,
    #[serde(default)]
    exclusive: bool,
    #[serde(default)]
    always: bool,
    #[serde(default)]
    reads: bool,
    #[serde(default)]
    paths: Vec<String>,
}

/// A workload that its name says enough of.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawWork {
    Boot,
    Ours,
    Mark,
    Leftovers,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCount {
    base: u64,
    patched: u64,
}

fn counts(raw: BTreeMap<String, RawCount>) -> Demand {
    let expected = |(what, RawCount { base, patched })| ExpectedCount { what, base, patched };
    Demand::Counts(raw.into_iter().map(expected).collect())
}

impl RawScenario {
    /// # Errors
    /// When it demands nothing, or two things at once.
    pub fn checked(self, path: &Path) -> Result<Scenario> {
        let name = self.name;
        let bad = |why: &str| {
            Err(Failure::usage(format!("{}: scenario `{name}` {why}", crate::host::input::shown(path))))
        };
        let operations = match (self.operations, self.outcome) {
            (Some(count), Some(outcome)) => Some(Demand::Operations { count, outcome }),
            (None, None) => None,
            _ => return bad("needs `operations` and `outcome` together"),
        };
        let demands = [
            self.failures.map(Demand::Failures),
            self.at_least.map(Demand::AtLeast),
            operations,
            self.counts.map(counts),
            self.work.map(|work| match work {
                RawWork::Boot => Demand::Work(Workload::Boot),
                RawWork::Ours => Demand::Work(Workload::Ours),
                RawWork::Mark => Demand::Work(Workload::Mark),
                RawWork::Leftovers => Demand::Work(Workload::Leftovers),
            }),
            self.program.map(|words| Demand::Work(Workload::Program(words))),
            self.kunit.map(|suite| Demand::Work(Workload::Kunit(suite))),
            self.stress.map(|line| {
                Demand::Work(Workload::Stress(line.split_whitespace().map(str::to_owned).collect()))
            }),
        ];
        let mut demands = demands.into_iter().flatten();
        let (Some(demand), None) = (demands.next(), demands.next()) else {
            return bad(
                "needs one of `failures`, `at_least`, `operations`, `counts`, `work`, `program`, `kunit` and \
                 `stress`",
            );
        };
        if matches!(demand, Demand::Failures(_)) && self.inject.is_none() {
            return bad("demands `failures`, and there is no `inject`");
        }
        if demand.number() == 0 {
            return bad("demands nothing: it could not fail");
        }
        Ok(Scenario {
            demand,
            inject: self.inject,
            as_booted: self.as_booted,
            on: self.on,
            fragments: self.fragments,
            otherwise: self.otherwise,
            bystanders: self.bystanders,
            suite: self.suite,
            controls: self.controls.unwrap_or(true),
            exclusive: self.exclusive,
            always: self.always,
            reads: self.reads,
            paths: self.paths,
            far: false,
            name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Scenario> {
        let raw: RawScenario = crate::host::yaml::parse(Path::new("c.yaml"), text).unwrap();
        raw.checked(Path::new("c.yaml"))
    }

    #[test]
    fn what_is_about_the_changed_files_comes_first_and_the_nearest_before_all() {
        let named = |name: &str, paths: &str| {
            read(&format!("{{name: {name}, work: ours, paths: [{paths}]}}")).unwrap()
        };
        let mut scenarios = vec![
            read("{name: boot, work: boot}").unwrap(),
            named("far", "mm/"),
            named("calls", "drivers/net/bonding/"),
            named("broad", "net/"),
            named("exact", "drivers/, net/sched/"),
            read("{name: look, work: leftovers}").unwrap(),
        ];
        let called = BTreeSet::from(["drivers/net/bonding/bond_debugfs.c"]);
        order_for(&mut scenarios, &BTreeSet::from(["net/sched/sch_qfq.c"]), &called);
        let shown: Vec<(&str, bool)> = scenarios.iter().map(|one| (one.name.as_str(), one.far)).collect();
        let near = ["boot", "exact", "broad", "calls"].map(|name| (name, false));
        assert_eq!(shown[..4], near);
        assert_eq!(shown[4..], [("far", true), ("look", false)]);
    }

    #[test]
    fn stress_is_a_workload() {
        let scenario = read("{name: s, stress: '--timeout 1s --dir 1', paths: [fs/, block/]}").unwrap();
        let words = ["--timeout", "1s", "--dir", "1"].map(str::to_owned).into();
        assert_eq!(scenario.work(), Some(&Workload::Stress(words)));
        assert!(read("{name: s, stress: '--dir 1', work: boot}").is_err());
    }
}
