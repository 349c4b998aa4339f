//! How far the run got into the patch: of each changed line whether it has code, was compiled, was executed, and by what.
//! Pure: changed lines and what was counted in, states out.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::observe::{Build, ChangedHunk, ChangedLine, Coverage, Evidence, Ran, Side};

/// What is known of one changed line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ReachState {
    /// Context, or a line that makes no code of its own: a comment, a declaration, data, a brace, a jump that the compiler made
    /// part of another.
    NoCode,
    /// A line that is gone.
    Gone,
    NotCompiled,
    NotExecuted,
    Executed {
        /// By all workloads together.
        count: u64,
        /// The workloads, those first that executed it most often.
        by: Vec<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineReach {
    pub line: ChangedLine,
    pub state: ReachState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HunkReach {
    pub number: usize,
    pub path: String,
    pub place: String,
    pub lines: Vec<LineReach>,
    /// [`ChangedHunk::uncounted`].
    #[serde(default)]
    pub uncounted: Vec<String>,
    /// Of the hunk: that of its line that was reached furthest; of one that only takes code away, that of the code around it.
    pub state: ReachState,
    /// Of one that was not executed, the workloads that execute its function elsewhere, those first that do most often; of one that
    /// changes what nothing counts, those that execute any code of its file, those first that execute most of its lines.
    #[serde(default)]
    pub around: Vec<String>,
    /// Failures that were forced below its functions on the patched arm.
    #[serde(default)]
    pub failures: u64,
}

/// What was reached of a patch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    pub hunks: Vec<HunkReach>,
    /// Why nothing was counted, if that is so.
    pub uncounted: Option<String>,
    /// Workloads that were not run for lack of time.
    #[serde(default)]
    pub untried: Vec<String>,
}

/// Numbers of changed lines that have code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachedLines {
    pub code: usize,
    pub compiled: usize,
    pub executed: usize,
}

impl Reach {
    /// What all of `counted` reached together: the evidence of cells that count lines, whatever their variant.
    pub fn of(hunks: &[ChangedHunk], counted: &[&Evidence]) -> Reach {
        let all = coverage_of(counted);
        let has_run = counted.iter().any(|evidence| evidence.ran().is_some());
        let uncounted = match (has_run, all.is_empty()) {
            (true, false) => None,
            (true, true) => Some("the kernel that counts ended before it had counted anything".to_owned()),
            (false, _) => Some(
                counted.iter().find_map(|evidence| why_not(evidence)).unwrap_or_else(|| "not run".to_owned()),
            ),
        };
        Reach {
            hunks: hunks.iter().map(|hunk| hunk_reach(hunk, &all)).collect(),
            uncounted,
            untried: untried(counted),
        }
    }

    /// With the failures that were forced below the functions of each hunk, by what `patched` kernels say.
    pub fn with_failures(mut self, hunks: &[ChangedHunk], patched: &[&Evidence]) -> Reach {
        let done = patched
            .iter()
            .filter_map(|evidence| evidence.ran())
            .flat_map(|ran| ran.scenarios.iter().filter_map(|scenario| ran.measured(&scenario.name)))
            .flat_map(|measured| &measured.done);
        for done in done {
            let is_below =
                |hunk: &ChangedHunk| hunk.functions.iter().flatten().any(|name| *name == done.what);
            for (reached, _) in self.hunks.iter_mut().zip(hunks).filter(|(_, hunk)| is_below(hunk)) {
                reached.failures = reached.failures.saturating_add(done.count);
            }
        }
        self
    }

    /// Changed lines with code.
    pub fn lines(&self) -> ReachedLines {
        let mut lines = ReachedLines::default();
        for state in self.hunks.iter().flat_map(|hunk| &hunk.lines).map(|line| &line.state) {
            let (code, compiled, executed) = match state {
                ReachState::NoCode | ReachState::Gone => (0, 0, 0),
                ReachState::NotCompiled => (1, 0, 0),
                ReachState::NotExecuted => (1, 1, 0),
                ReachState::Executed { .. } => (1, 1, 1),
            };
            lines.code = lines.code.saturating_add(code);
            lines.compiled = lines.compiled.saturating_add(compiled);
            lines.executed = lines.executed.saturating_add(executed);
        }
        lines
    }

    /// Hunks that change code, and of these the executed ones.
    pub fn hunks_with_code(&self) -> (usize, usize) {
        let code = self.hunks.iter().filter(|hunk| hunk.state != ReachState::NoCode);
        let executed = code.clone().filter(|hunk| matches!(hunk.state, ReachState::Executed { .. }));
        (code.count(), executed.count())
    }

    /// The hunks that are compiled and were not executed, but for those in `allowed`, which need not be; by their index.
    pub fn not_executed<'a>(&'a self, allowed: &'a [usize]) -> impl Iterator<Item = (usize, &'a HunkReach)> {
        let is_left =
            |hunk: &HunkReach| !allowed.contains(&hunk.number) && hunk.state == ReachState::NotExecuted;
        let hunks = self.hunks.iter().enumerate().filter(|_| self.uncounted.is_none());
        hunks.filter(move |(_, hunk)| is_left(hunk))
    }

    /// In sentences, why it cannot be said that the patch was tried; `allowed` are hunks that need not be reached.
    pub fn gaps(&self, allowed: &[usize]) -> Vec<String> {
        if let Some(why) = &self.uncounted {
            return vec![format!("which changed lines are executed was not counted: {why}")];
        }
        if self.hunks.iter().all(|hunk| hunk.state == ReachState::NoCode) {
            return vec![
                "the patch changes no line that has code of its own: nothing of it can be executed"
                    .to_owned(),
            ];
        }
        let missed = self.hunks.iter().filter(|hunk| !allowed.contains(&hunk.number));
        missed.filter_map(HunkReach::missed).collect()
    }

    /// In sentences, what of the patch nothing can count, and what of it the user `allowed` not to be reached.
    pub fn blind_to(&self, allowed: &[usize]) -> Vec<String> {
        let hunks = self.hunks.iter().filter(|hunk| !hunk.uncounted.is_empty());
        let sentence = |hunk: &HunkReach| {
            let what = hunk.uncounted.join(" and ");
            format!(
                "blind to hunk {} ({}): it changes {what}, and nothing counts where that is used",
                hunk.number, hunk.place
            )
        };
        let allowed = self.hunks.iter().filter(|hunk| allowed.contains(&hunk.number));
        let allowed = allowed
            .filter_map(HunkReach::missed)
            .map(|missed| format!("{missed}, as --allow-unreached takes it"));
        hunks.map(sentence).chain(allowed).collect()
    }

    /// For each line, and each hunk, that was executed, the workloads that did.
    fn executed_by(&self) -> impl Iterator<Item = &Vec<String>> {
        let states =
            self.hunks.iter().flat_map(|hunk| hunk.lines.iter().map(|line| &line.state).chain([&hunk.state]));
        states.filter_map(|state| if let ReachState::Executed { by, .. } = state { Some(by) } else { None })
    }

    /// All workloads that executed anything of it.
    pub fn reached_by(&self) -> BTreeSet<String> {
        self.executed_by().flatten().cloned().collect()
    }

    /// Of what nothing counts, the workloads that execute most of the same file: at most so many for each hunk.
    pub fn beside_uncounted(&self, most: usize) -> BTreeSet<String> {
        let hunks = self.hunks.iter().filter(|hunk| hunk.state == ReachState::NoCode);
        hunks.flat_map(|hunk| hunk.around.iter().take(most)).cloned().collect()
    }

    /// Whether a hunk changes what nothing counts in a file that only the workload `boot` executes anything of, or only what is
    /// executed by `boot` alone.
    pub fn is_for_the_boot(&self, boot: &str) -> bool {
        let mut hunks = self.hunks.iter();
        hunks.any(|hunk| match &hunk.state {
            ReachState::NoCode => !hunk.uncounted.is_empty() && hunk.around.iter().all(|name| name == boot),
            ReachState::Executed { by, .. } => by.iter().all(|name| name == boot),
            _ => false,
        })
    }

    /// At most so many of the workloads beside those in `taken`, those first that execute what no other before them did; none that
    /// executes nothing else.
    pub fn telling(&self, most: usize, taken: Vec<String>) -> Vec<String> {
        let by: Vec<&Vec<String>> = self.executed_by().collect();
        let most = taken.len().saturating_add(most);
        let mut chosen = taken;
        while chosen.len() < most {
            let missed = by.iter().filter(|by| !by.iter().any(|name| chosen.contains(name)));
            let mut gains: BTreeMap<&String, usize> = BTreeMap::new();
            missed.flat_map(|by| by.iter()).for_each(|name| {
                let gain = gains.entry(name).or_default();
                *gain = gain.saturating_add(1);
            });
            match gains.into_iter().max_by_key(|(_, gain)| *gain) {
                Some((name, _)) => chosen.push(name.clone()),
                None => break,
            }
        }
        chosen
    }
}

impl HunkReach {
    /// Whether the workload `name` executed any of it.
    pub fn is_reached_by(&self, name: &str) -> bool {
        let states = self.lines.iter().map(|line| &line.state).chain([&self.state]);
        states
            .into_iter()
            .any(|state| matches!(state, ReachState::Executed { by, .. } if by.iter().any(|one| one == name)))
    }

    /// In a sentence, that its code was not reached.
    fn missed(&self) -> Option<String> {
        let what = match self.state {
            ReachState::NotCompiled => "was not compiled",
            ReachState::NotExecuted => "was compiled and not executed",
            ReachState::NoCode | ReachState::Gone | ReachState::Executed { .. } => return None,
        };
        Some(format!("hunk {} ({}) {what}", self.number, self.place))
    }
}

/// What no kernel that counts had the time for.
fn untried(counted: &[&Evidence]) -> Vec<String> {
    let ran = || counted.iter().filter_map(|evidence| evidence.ran());
    let tried = |name: &String| ran().any(|ran| ran.scenarios.iter().any(|scenario| scenario.name == *name));
    let mut names: Vec<String> = Vec::new();
    for name in ran().flat_map(Ran::untried) {
        if !tried(name) && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn why_not(evidence: &Evidence) -> Option<String> {
    match &evidence.build {
        Build::CompileError(error) => Some(format!("it does not compile: {}", error.message)),
        Build::Infra { why } => Some(why.clone()),
        Build::NotRun | Build::Built(_) => None,
    }
}

/// Whether what was `counted` includes code of the hunk.
pub fn is_executed(hunk: &ChangedHunk, counted: &[Coverage]) -> bool {
    let all: Vec<&Coverage> = counted.iter().collect();
    matches!(hunk_reach(hunk, &all).state, ReachState::Executed { .. })
}

fn coverage_of<'e>(evidence: &[&'e Evidence]) -> Vec<&'e Coverage> {
    evidence.iter().filter_map(|evidence| evidence.ran()).flat_map(|ran| &ran.coverage).collect()
}

/// The statements of the patched file that a hunk shows and that were executed, changed or next to what is: each by its first line,
/// with the workloads that execute it, those first that do most often.
pub fn executed_statements(hunk: &ChangedHunk, evidence: &[&Evidence]) -> Vec<(u32, Vec<String>)> {
    let all = coverage_of(evidence);
    let shown = hunk.lines.iter().filter(|line| line.side != Side::Removed).filter_map(|line| line.statement);
    let executed = shown.filter_map(|statement| match counted(&hunk.path, statement, &all)? {
        ReachState::Executed { by, .. } => Some((statement.0, by)),
        _ => None,
    });
    executed.collect()
}

fn hunk_reach(hunk: &ChangedHunk, all: &[&Coverage]) -> HunkReach {
    let lines: Vec<LineReach> = hunk
        .lines
        .iter()
        .map(|line| LineReach { line: line.clone(), state: line_state(&hunk.path, line, all) })
        .collect();
    let state = match hunk.beside.is_empty() {
        true => furthest(lines.iter().map(|line| line.state.clone()))
            .or_else(|| furthest(hunk.lines.iter().map(|line| around(&hunk.path, line, all)))),
        false => furthest(hunk.beside.iter().map(|beside| {
            let statement = (beside.line, beside.line);
            counted(&hunk.path, statement, all)
                .unwrap_or_else(|| nearest(&hunk.path, statement, beside.within, all))
        })),
    };
    // Code that is taken away from outside of every function, or from a file that is gone: nothing is left to look at.
    let nothing = if hunk.has_code() { ReachState::NotCompiled } else { ReachState::NoCode };
    let state = state.unwrap_or(nothing);
    let around = match state {
        ReachState::NotExecuted => executed_around(hunk, all),
        ReachState::NoCode if !hunk.uncounted.is_empty() => executed_in_file(&hunk.path, all),
        _ => Vec::new(),
    };
    HunkReach {
        number: hunk.number,
        path: hunk.path.clone(),
        place: hunk.place(),
        lines,
        uncounted: hunk.uncounted.clone(),
        state,
        around,
        failures: 0,
    }
}

/// The workloads that execute lines of a file, those first that execute most of them. What is executed by the boot alone is no
/// workload's work.
fn executed_in_file(path: &str, all: &[&Coverage]) -> Vec<String> {
    let mut lines: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    for coverage in all {
        let executed = coverage.files.get(path).into_iter().flatten().filter(|(_, count)| **count > 0);
        lines.entry(&coverage.scenario).or_default().extend(executed.map(|(line, _)| *line));
    }
    let mut by: Vec<(&str, usize)> = lines.into_iter().map(|(name, lines)| (name, lines.len())).collect();
    by.retain(|(_, lines)| *lines > 0);
    by.sort_by_key(|(_, lines)| std::cmp::Reverse(*lines));
    by.into_iter().map(|(name, _)| name.to_owned()).collect()
}

/// The workloads that execute any line that is compiled with the hunk's, those first that do most often.
fn executed_around(hunk: &ChangedHunk, all: &[&Coverage]) -> Vec<String> {
    let of_lines = hunk.lines.iter().filter(|line| line.side == Side::Added).filter_map(|line| line.within);
    let within: BTreeSet<(u32, u32)> =
        of_lines.chain(hunk.beside.iter().map(|beside| beside.within)).collect();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for coverage in all {
        let Some(lines) = coverage.files.get(&hunk.path) else { continue };
        let most =
            within.iter().flat_map(|(first, last)| lines.range(*first..=*last)).map(|(_, count)| *count);
        let count = counts.entry(&coverage.scenario).or_default();
        *count = (*count).max(most.max().unwrap_or(0));
    }
    let mut by: Vec<(&str, u64)> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
    by.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    by.into_iter().map(|(name, _)| name.to_owned()).collect()
}

/// The state that got furthest; None where there is no code.
fn furthest(states: impl Iterator<Item = ReachState>) -> Option<ReachState> {
    states.filter(|state| !matches!(state, ReachState::Gone | ReachState::NoCode)).max_by_key(rank)
}

fn rank(state: &ReachState) -> (u8, u64) {
    match state {
        ReachState::Gone | ReachState::NoCode => (0, 0),
        ReachState::NotCompiled => (1, 0),
        ReachState::NotExecuted => (2, 0),
        ReachState::Executed { count, .. } => (3, *count),
    }
}

fn line_state(path: &str, line: &ChangedLine, all: &[&Coverage]) -> ReachState {
    let Some(statement) = line.statement.filter(|_| line.side == Side::Added) else {
        return if line.side == Side::Removed { ReachState::Gone } else { ReachState::NoCode };
    };
    counted(path, statement, all).unwrap_or_else(|| match is_compiled(path, line.within, all) {
        // The compiler made one of it and of others.
        true => ReachState::NoCode,
        false => ReachState::NotCompiled,
    })
}

/// Of a statement that has no code of its own: it was executed if what is counted next to it on both sides was.
fn around(path: &str, line: &ChangedLine, all: &[&Coverage]) -> ReachState {
    match (line.side, line.statement, line.within) {
        (Side::Added, Some(statement), Some(within)) => nearest(path, statement, within, all),
        _ => ReachState::NoCode,
    }
}

/// Whether anything is counted in the lines that are compiled where a line is.
fn is_compiled(path: &str, within: Option<(u32, u32)>, all: &[&Coverage]) -> bool {
    let Some((first, last)) = within else { return false };
    let mut files = all.iter().filter_map(|coverage| coverage.files.get(path));
    files.any(|lines| lines.range(first..=last).next().is_some())
}

/// The lesser state of the counted lines before and behind `statement`, in the lines `within`.
fn nearest(path: &str, statement: (u32, u32), within: (u32, u32), all: &[&Coverage]) -> ReachState {
    let files = || all.iter().filter_map(|coverage| coverage.files.get(path));
    let before =
        files().filter_map(|lines| lines.range(within.0..statement.0.max(within.0)).next_back()).max();
    let behind = files()
        .filter_map(|lines| lines.range(statement.1.saturating_add(1)..).next())
        .filter(|(line, _)| **line <= within.1)
        .min();
    let places = [before, behind].into_iter().flatten().map(|(line, _)| (*line, *line));
    let states = places.filter_map(|place| counted(path, place, all));
    states.min_by_key(rank).unwrap_or(ReachState::NotCompiled)
}

/// Of the lines from the first to the last of a statement; None where nothing counts them.
fn counted(path: &str, (first, last): (u32, u32), all: &[&Coverage]) -> Option<ReachState> {
    let mut compiled = false;
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for coverage in all {
        let Some(lines) = coverage.files.get(path) else { continue };
        // The compiler puts a statement's code at one of its lines, and some at others: the largest is what it was.
        if let Some(count) = lines.range(first..=last).map(|(_, count)| *count).max() {
            compiled = true;
            let known = counts.entry(&coverage.scenario).or_default();
            *known = known.saturating_add(count);
        }
    }
    let mut by: Vec<(&str, u64)> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
    by.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    match (compiled, by.is_empty()) {
        (false, _) => None,
        (true, true) => Some(ReachState::NotExecuted),
        (true, false) => Some(ReachState::Executed {
            count: protocol::sum(by.iter().map(|(_, count)| *count)),
            by: by.into_iter().map(|(name, _)| name.to_owned()).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Neighbour;

    fn line(side: Side, number: u32, statement: Option<(u32, u32)>) -> ChangedLine {
        ChangedLine { side, number, text: String::new(), statement, within: statement.map(|_| (1, 8)) }
    }

    fn hunk(lines: Vec<ChangedLine>, beside: &[u32]) -> ChangedHunk {
        ChangedHunk {
            number: 1,
            path: "a.c".to_owned(),
            lines,
            beside: beside.iter().map(|line| Neighbour { line: *line, within: (1, 8) }).collect(),
            functions: Vec::new(),
            uncounted: Vec::new(),
        }
    }

    fn coverage(scenario: &str, counts: &[(u32, u64)]) -> Coverage {
        let mut coverage = Coverage { scenario: scenario.to_owned(), ..Coverage::default() };
        counts.iter().for_each(|(line, count)| coverage.add("a.c", *line, *count));
        coverage
    }

    fn reached(hunk: &ChangedHunk, coverage: &[Coverage]) -> HunkReach {
        hunk_reach(hunk, &coverage.iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_line_has_what_its_statement_has_and_says_who_executed_it() {
        let hunk = hunk(vec![line(Side::Context, 1, None), line(Side::Added, 3, Some((2, 4)))], &[]);
        let all = [coverage("one", &[(2, 5), (4, 1)]), coverage("two", &[(2, 7)])];
        let state = ReachState::Executed { count: 12, by: vec!["two".to_owned(), "one".to_owned()] };
        assert_eq!(reached(&hunk, &all).state, state);
        assert_eq!(reached(&hunk, &all).lines[0].state, ReachState::NoCode);
        assert_eq!(reached(&hunk, &[coverage("one", &[(2, 0)])]).state, ReachState::NotExecuted);
        assert_eq!(reached(&hunk, &[coverage("one", &[(9, 3)])]).state, ReachState::NotCompiled);
    }

    #[test]
    fn statement_that_the_compiler_made_part_of_others_is_executed_if_those_on_both_sides_are() {
        let hunk = hunk(vec![line(Side::Added, 5, Some((5, 5)))], &[]);
        let both = reached(&hunk, &[coverage("one", &[(3, 2), (7, 4)])]);
        assert_eq!(both.lines[0].state, ReachState::NoCode);
        assert_eq!(both.state, ReachState::Executed { count: 2, by: vec!["one".to_owned()] });
        assert_eq!(reached(&hunk, &[coverage("one", &[(3, 2), (7, 0)])]).state, ReachState::NotExecuted);
        // Line 9 is not compiled where line 5 is.
        assert_eq!(reached(&hunk, &[coverage("one", &[(9, 4)])]).state, ReachState::NotCompiled);
    }

    #[test]
    fn workloads_are_chosen_beside_those_that_are_taken_already() {
        let hunk = hunk(vec![line(Side::Added, 3, Some((3, 3))), line(Side::Added, 5, Some((5, 5)))], &[]);
        let all =
            [coverage("test", &[(3, 9), (5, 0)]), coverage("a", &[(3, 5), (5, 0)]), coverage("b", &[(5, 1)])];
        let reach = Reach { hunks: vec![reached(&hunk, &all)], ..Reach::default() };
        assert_eq!(Vec::from_iter(reach.reached_by()), ["a", "b", "test"]);
        assert_eq!(reach.telling(1, vec!["test".to_owned()]), ["test", "b"]);
        // What `a` executes is executed by then.
        assert_eq!(reach.telling(2, vec!["test".to_owned()]), ["test", "b"]);
        assert_eq!(reach.telling(1, Vec::new()).len(), 1);
    }

    #[test]
    fn what_nothing_counts_is_tried_by_what_executes_most_of_its_file() {
        let all =
            [coverage("few", &[(2, 900)]), coverage("most", &[(2, 1), (7, 1)]), coverage("none", &[(2, 0)])];
        let mut table = hunk(vec![line(Side::Added, 20, None)], &[]);
        table.uncounted = vec!["data".to_owned()];
        let reached = reached(&table, &all);
        assert_eq!(
            (&reached.state, &reached.around[..]),
            (&ReachState::NoCode, &["most", "few"].map(str::to_owned)[..])
        );
        let reach = Reach { hunks: vec![reached], ..Reach::default() };
        assert_eq!(Vec::from_iter(reach.beside_uncounted(1)), ["most"]);
        assert!(!reach.is_for_the_boot("most"));
        assert!(reach.reached_by().is_empty());
    }

    #[test]
    fn function_of_a_hunk_that_is_not_executed_is_executed_by_somebody() {
        let left = hunk(vec![line(Side::Added, 3, Some((3, 3)))], &[]);
        let reached =
            reached(&left, &[coverage("near", &[(2, 4), (3, 0)]), coverage("far", &[(3, 0), (30, 9)])]);
        assert_eq!(
            (&reached.state, &reached.around[..]),
            (&ReachState::NotExecuted, &["near".to_owned()][..])
        );
        let reach = Reach { hunks: vec![reached], ..Reach::default() };
        assert_eq!(reach.not_executed(&[]).count(), 1);
        assert_eq!(reach.not_executed(&[reach.hunks[0].number]).count(), 0);
    }

    #[test]
    fn workload_that_no_kernel_had_time_for_is_named() {
        let ran = |begun: &[&str], trailer| {
            let scenario = |name: &&str| serde_json::json!({"name": name, "outcome": "unfinished", "splats": 0, "secs": 0.0, "exclusive": false});
            let begun: Vec<_> = begun.iter().map(scenario).collect();
            let ran = serde_json::json!({
                "accel": "tcg", "guests": 1, "secs": 1.0, "boot_secs": null, "test_secs": null, "end": "qemu_exited",
                "qemu_said": null, "kernel_spoke": true, "hello": null, "planned": ["boot", "files", "bpf"],
                "scenarios": begun, "trailer": trailer, "rejects": [], "splats": [], "splats_total": 0, "last_lines": [],
                "watched": {"silence_secs": 0.0, "deadline_secs": 0.0, "cpus": []},
            });
            let boot = crate::observe::Boot::Ran(serde_json::from_value(ran).unwrap());
            Evidence { boot, ..Evidence::default() }
        };
        let ended = || serde_json::json!({"measured": 1, "tainted": 0});
        let untried = |counted: &[Evidence]| Reach::of(&[], &counted.iter().collect::<Vec<_>>()).untried;
        assert_eq!(untried(&[ran(&["boot"], ended())]), ["files", "bpf"]);
        assert_eq!(untried(&[ran(&["boot"], ended()), ran(&["boot", "bpf"], ended())]), ["files"]);
        // A guest that did not come to its end did not leave them out.
        assert!(untried(&[ran(&["boot"], serde_json::Value::Null)]).is_empty());
    }

    #[test]
    fn where_code_is_only_taken_away_the_code_beside_it_tells() {
        let gone = hunk(vec![line(Side::Removed, 3, Some((3, 3)))], &[2, 4]);
        assert!(matches!(
            reached(&gone, &[coverage("one", &[(2, 0), (4, 2)])]).state,
            ReachState::Executed { count: 2, .. }
        ));
        assert_eq!(reached(&gone, &[coverage("one", &[(2, 0), (4, 0)])]).state, ReachState::NotExecuted);
        assert_eq!(
            reached(&hunk(vec![line(Side::Removed, 3, Some((3, 3)))], &[]), &[]).state,
            ReachState::NotCompiled
        );
        assert_eq!(reached(&hunk(vec![line(Side::Removed, 3, None)], &[]), &[]).state, ReachState::NoCode);
    }

    #[test]
    fn a_hunk_that_was_not_reached_is_a_gap_unless_it_is_allowed() {
        let hunk = hunk(vec![line(Side::Added, 3, Some((3, 3)))], &[]);
        let reach = Reach {
            hunks: vec![reached(&hunk, &[coverage("one", &[(3, 0)])])],
            uncounted: None,
            untried: Vec::new(),
        };
        assert_eq!(reach.gaps(&[]), ["hunk 1 (a.c:3) was compiled and not executed"]);
        assert!(reach.gaps(&[1]).is_empty());
        assert_eq!(reach.lines(), ReachedLines { code: 1, compiled: 1, executed: 0 });
        assert_eq!(reach.hunks_with_code(), (1, 0));
        let uncounted = Reach { uncounted: Some("no gcov".to_owned()), ..reach };
        assert_eq!(uncounted.gaps(&[1]).len(), 1);
    }
}
