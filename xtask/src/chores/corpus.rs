//! `cargo xtask bench --corpus DIR`: runs every patch of a corpus as one that nobody prepared for, and writes a table of what was
//! compiled and executed of each and which verdict it got. The corpus is outside of the project: a directory with a table
//! `corpus.tsv` and the patches that it names.

use std::fmt::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use super::{BenchArgs, MatrixRun, bench};
use crate::campaign::ANY;
use crate::campaign::project::Project;
use crate::host::disk::{self, write_whole};
use crate::host::input;
use crate::host::terminal;
use crate::judge::Verdict;
use failure::{Context, Exit, Failure, Result};

/// Of a run that could not begin, or that ended before anything was judged: it says nothing about the patch.
const NO_VERDICT: &str = "none";

/// The page that is written.
const PAGE: &str = "docs/corpus.md";

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CorpusPatch {
    /// Path below the corpus.
    file: String,
    /// In the corpus's words.
    expected: String,
    right: RightVerdict,
    /// How hard it is to see, by the first word of what the corpus says about that.
    difficulty: String,
    /// Counts in the score.
    core: bool,
}

/// The verdict that is right, by what the corpus expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RightVerdict {
    Pass,
    Fail,
    Vacuous,
}

impl RightVerdict {
    /// `pass` or what shows the bug; a patch that can show nothing here is not reachable, not compiled or makes no difference.
    fn of(expected: &str) -> RightVerdict {
        let begins = |word: &str| expected.starts_with(word);
        if expected.starts_with("pass") {
            RightVerdict::Pass
        } else if ["not-reachable", "not-compiled", "no difference"].into_iter().any(begins) {
            RightVerdict::Vacuous
        } else {
            RightVerdict::Fail
        }
    }

    /// A good patch may also repair something.
    fn is(self, verdict: &str) -> bool {
        match self {
            RightVerdict::Pass => ["pass", "fixes"].contains(&verdict),
            RightVerdict::Fail => verdict == "fail",
            RightVerdict::Vacuous => verdict == "vacuous",
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct CorpusOutcome {
    verdict: String,
    exit: Option<i32>,
    code_lines: usize,
    compiled: usize,
    executed: usize,
    hunks: usize,
    hunks_executed: usize,
    secs: f64,
    /// The first reason of the verdict.
    reason: String,
    /// The commit that it was run on.
    #[serde(default)]
    revision: String,
}

/// Runs the patches that match, all of them if nothing is asked for, and prints a row each; writes the table if that is
/// asked.
///
/// # Errors
/// When the corpus has no table, or a pattern matches nothing.
pub fn corpus(project: &Project, dir: &Path, args: &BenchArgs) -> Result<Exit> {
    let all = all(dir)?;
    let patterns: Vec<WildMatch> = args.only.iter().map(|pattern| WildMatch::new(pattern)).collect();
    let wanted = |patch: &&CorpusPatch| {
        patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(&patch.file))
    };
    if all.iter().filter(wanted).count() == 0 {
        return Err(
            Failure::usage("no patch of the corpus matches").next(format!("there is {}", all[0].file))
        );
    }
    let kept = project.work().join("corpus");
    disk::create_dir(&kept)?;
    let file = |patch: &CorpusPatch| kept.join(format!("{}.json", patch.file.replace('/', "-")));
    for patch in all.iter().filter(wanted) {
        let outcome = run(project, dir, patch, &kept)?;
        terminal::print_line(&row(patch, &outcome))?;
        if outcome.verdict == NO_VERDICT {
            terminal::say(&format!("  {}", outcome.reason));
            // An earlier one would stand for a run that there was not.
            let _ = std::fs::remove_file(file(patch));
            continue;
        }
        let json = serde_json::to_vec_pretty(&outcome).or_infra(|| "encode an outcome".to_owned())?;
        write_whole(&file(patch), &json)?;
    }
    let known = |patch: &CorpusPatch| serde_json::from_slice(&std::fs::read(file(patch)).ok()?).ok();
    let outcomes: Vec<Option<CorpusOutcome>> = all.iter().map(known).collect();
    let text = render(&all, &outcomes);
    if args.write {
        write_whole(&project.root.join(PAGE), text.as_bytes())?;
    }
    terminal::print(&text)?;
    Ok(Exit::Ok)
}

fn all(dir: &Path) -> Result<Vec<CorpusPatch>> {
    let path = dir.join("corpus.tsv");
    let text = input::CONFIG.read_text(&path)?;
    let patches: Vec<CorpusPatch> = text.lines().skip(1).filter_map(parse).collect();
    match patches.is_empty() {
        true => Err(Failure::usage(format!("{}: names no patch", input::shown(&path)))),
        false => Ok(patches),
    }
}

/// The first column is the file, the sixth what is expected, the seventh how hard it is to see, the last whether it counts.
fn parse(line: &str) -> Option<CorpusPatch> {
    let columns: Vec<&str> = line.split('\t').collect();
    let file = columns.first().filter(|file| file.ends_with(".patch"))?;
    let expected = columns.get(5).copied().unwrap_or_default();
    let word = |text: &str| text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned();
    Some(CorpusPatch {
        file: (*file).to_owned(),
        right: RightVerdict::of(expected),
        expected: expected.to_owned(),
        difficulty: word(columns.get(6).copied().unwrap_or_default()),
        core: columns.last().is_some_and(|set| *set == "core"),
    })
}

fn run(project: &Project, corpus: &Path, patch: &CorpusPatch, kept: &Path) -> Result<CorpusOutcome> {
    let path = std::path::absolute(corpus.join(&patch.file)).or_infra(|| "find the corpus".to_owned())?;
    // The last one is there to be looked at; all of them would fill the disk.
    let out = kept.join("run");
    disk::discard(&out)?;
    let (path, out) = (path.display().to_string(), out.display().to_string());
    let ran = super::matrix(project, &["--campaign", ANY, "--patch", &path, "--out", &out])?;
    Ok(CorpusOutcome { revision: bench::revision(&project.root), ..outcome(&ran) })
}

/// Of several variants, the worst verdict.
fn outcome(ran: &MatrixRun) -> CorpusOutcome {
    let (exit, secs) = (ran.exit, ran.secs);
    let Some(report) = &ran.report else {
        let reason = ran.said.lines().next().unwrap_or_default().to_owned();
        return CorpusOutcome {
            verdict: NO_VERDICT.to_owned(),
            exit,
            secs,
            reason,
            ..CorpusOutcome::default()
        };
    };
    let pairs = report.pairs.iter();
    let pair = pairs.max_by_key(|pair| (pair.verdict == Verdict::Fail, !pair.verdict.is_good()));
    let reach = report.reach.values().next();
    let lines = reach.map(|reach| reach.lines()).unwrap_or_default();
    let (hunks, hunks_executed) = reach.map(|reach| reach.hunks_with_code()).unwrap_or_default();
    CorpusOutcome {
        verdict: pair.map_or(NO_VERDICT, |pair| pair.verdict.name()).to_owned(),
        exit,
        code_lines: lines.code,
        compiled: lines.compiled,
        executed: lines.executed,
        hunks,
        hunks_executed,
        secs,
        reason: pair.and_then(|pair| pair.reasons.first()).cloned().unwrap_or_default(),
        revision: String::new(),
    }
}

fn row(patch: &CorpusPatch, outcome: &CorpusOutcome) -> String {
    format!(
        "{}: {} in {:.0} s; {} of {} code lines compiled, {} executed; {} of {} hunks executed",
        patch.file,
        outcome.verdict,
        outcome.secs,
        outcome.compiled,
        outcome.code_lines,
        outcome.executed,
        outcome.hunks_executed,
        outcome.hunks
    )
}

fn render(all: &[CorpusPatch], outcomes: &[Option<CorpusOutcome>]) -> String {
    let mut text = "# A corpus of patches, each tried as one that nobody prepared for\n\nWritten by `cargo xtask bench \
                    --corpus DIR --write`. Lines are changed lines that have code. What is expected is what the corpus \
                    says, from reading; `(extra)` does not count. The last but one says whether the verdict is the one \
                    that the expectation asks for, and the first reason that was given; the last the commit that was \
                    run.\n\n| patch | expected | lines | compiled | executed | hunks executed | verdict | s | as \
                    expected | commit |\n|---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for (patch, outcome) in all.iter().zip(outcomes) {
        let name = if patch.core { patch.file.clone() } else { format!("{} (extra)", patch.file) };
        let cells = match outcome {
            None => " | | | | not run | | | ".to_owned(),
            Some(found) => format!(
                "{} | {} | {} | {} of {} | {} | {:.0} | {} | {}",
                found.code_lines,
                found.compiled,
                found.executed,
                found.hunks_executed,
                found.hunks,
                found.verdict,
                found.secs,
                as_expected(patch, found),
                found.revision,
            ),
        };
        let _ =
            writeln!(text, "| {name} | {} ({}) | {cells} |", cell_text(&patch.expected), patch.difficulty);
    }
    let _ = writeln!(text, "\n{}", sums(all, outcomes));
    text
}

fn as_expected(patch: &CorpusPatch, found: &CorpusOutcome) -> String {
    let word = if patch.right.is(&found.verdict) { "yes" } else { "no" };
    match found.reason.as_str() {
        "" => word.to_owned(),
        reason => format!("{word}: {}", cell_text(reason)),
    }
}

/// What was written by others, in a cell of a table.
fn cell_text(text: &str) -> String {
    let most = text.char_indices().nth(REASON_CHARS).map_or(text.len(), |(at, _)| at);
    let cut = if most < text.len() { " ..." } else { "" };
    format!("{}{cut}", text[..most].replace('|', "/").replace('\n', " "))
}

const REASON_CHARS: usize = 160;

/// What the table comes to.
fn sums(all: &[CorpusPatch], outcomes: &[Option<CorpusOutcome>]) -> String {
    let run: Vec<(&CorpusPatch, &CorpusOutcome)> =
        all.iter().zip(outcomes).filter_map(|(patch, outcome)| Some((patch, outcome.as_ref()?))).collect();
    let sum = |of: fn(&CorpusOutcome) -> usize| run.iter().map(|(_, outcome)| of(outcome)).sum::<usize>();
    let mut times: Vec<f64> = run.iter().map(|(_, outcome)| outcome.secs).collect();
    times.sort_by(f64::total_cmp);
    let mut lines = vec![
        format!(
            "{} of {} patches run: {} of {} code lines compiled, {} executed; {} of {} hunks executed; median {:.0} s.",
            run.len(),
            all.len(),
            sum(|outcome| outcome.compiled),
            sum(|outcome| outcome.code_lines),
            sum(|outcome| outcome.executed),
            sum(|outcome| outcome.hunks_executed),
            sum(|outcome| outcome.hunks),
            times.get(times.len() / 2).copied().unwrap_or_default()
        ),
        "Of those that count:".to_owned(),
    ];
    let mut count = |what: &str,
                     is_meant: &dyn Fn(&CorpusPatch) -> bool,
                     verdict: &dyn Fn(&CorpusPatch, &str) -> bool| {
        let meant: Vec<_> = run.iter().filter(|(patch, _)| patch.core && is_meant(patch)).collect();
        let so = meant.iter().filter(|(patch, outcome)| verdict(patch, &outcome.verdict)).count();
        lines.push(format!("- {what}: {so} of {}", meant.len()));
    };
    let is_bad = |patch: &CorpusPatch| patch.right == RightVerdict::Fail;
    let is_right = |patch: &CorpusPatch, verdict: &str| patch.right.is(verdict);
    count("bad ones that fail", &is_bad, &is_right);
    for difficulty in ["easy", "medium", "hard"] {
        let is_it = |patch: &CorpusPatch| is_bad(patch) && patch.difficulty == difficulty;
        count(&format!("of these, the {difficulty} ones"), &is_it, &is_right);
    }
    count(
        "those that can show nothing here and are vacuous",
        &|p| p.right == RightVerdict::Vacuous,
        &is_right,
    );
    let is_good = |patch: &CorpusPatch| patch.right == RightVerdict::Pass;
    count("good ones that pass or repair something", &is_good, &is_right);
    count("good ones that fail", &is_good, &|_, verdict| verdict == "fail");
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_a_row_for_each_patch_also_for_one_that_was_not_run() {
        let line = |file: &str, set: &str| {
            format!("{file}\tfs\tfs/a.c\tA\ttrigger\tkmemleak | leak\teasy\tx\tyes\t{set}")
        };
        let all: Vec<CorpusPatch> = [line("bad/1.patch", "core"), line("good/2.patch", "extra")]
            .iter()
            .filter_map(|line| parse(line))
            .collect();
        assert_eq!((all[0].right, all[0].difficulty.as_str()), (RightVerdict::Fail, "easy"));
        let outcome = CorpusOutcome {
            verdict: "weak-pass".to_owned(),
            code_lines: 4,
            compiled: 3,
            executed: 2,
            hunks: 2,
            hunks_executed: 1,
            secs: 95.4,
            ..CorpusOutcome::default()
        };
        insta::assert_snapshot!(render(&all, &[Some(outcome), None]));
        assert_eq!(parse("file\tsubsystem"), None);
        assert_eq!(RightVerdict::of("no difference to be seen"), RightVerdict::Vacuous);
        assert!(RightVerdict::of("pass; repairs a leak").is("fixes"));
        assert!(!RightVerdict::of("build").is("vacuous"));
    }
}
