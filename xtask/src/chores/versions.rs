//! `cargo xtask versions`: the default campaign with versions of its patch that were not written for it, on real kernels.
//! Each file in `patches/versions/` says in its header which verdict it has to get, and by which evidence.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::VersionsArgs;
use crate::campaign::DEFAULT;
use crate::campaign::project::Project;
use crate::host::disk::write_whole;
use crate::host::terminal;
use failure::{Context, Exit, Failure, Result};

/// The variant that compiles what the versions change.
const CELLS: &str = "*/pt-reclaim-off/*";

/// What a version has to come to.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    name: String,
    path: PathBuf,
    subject: String,
    verdict: String,
    /// Words in the reasons of the verdict; empty for a pass, which has none.
    evidence: String,
}

/// What it came to.
#[derive(Debug, Serialize, Deserialize)]
struct VersionOutcome {
    verdict: String,
    exit: Option<i32>,
    reasons: Vec<String>,
    caught: usize,
    controls: usize,
    secs: f64,
}

/// Runs every version, or those of the given names, and writes `docs/versions.md` from what each came to last, once all of
/// them were run.
///
/// # Errors
/// When a header says no verdict, when a name is unknown, or when a version gets another verdict or another evidence than
/// its header says.
pub fn versions(project: &Project, args: &VersionsArgs) -> Result<Exit> {
    let all = all(&project.root.join("patches/versions"))?;
    if let Some(name) = args.only.iter().find(|name| all.iter().all(|version| version.name != **name)) {
        return Err(Failure::usage(format!("no version `{name}`"))
            .next(format!("there are {}", names(&all.iter().collect::<Vec<_>>()))));
    }
    let kept = project.work().join("versions");
    std::fs::create_dir_all(&kept).or_infra(|| format!("make {}", kept.display()))?;
    let file = |version: &Version| kept.join(format!("{}.json", version.name));
    let mut bad = Vec::new();
    for version in all.iter().filter(|version| args.only.is_empty() || args.only.contains(&version.name)) {
        let outcome = run(project, version)?;
        terminal::print_line(&format!(
            "{}: {} in {:.0} s{}",
            version.name,
            outcome.verdict,
            outcome.secs,
            wrong(version, &outcome)
        ))?;
        let json = serde_json::to_vec_pretty(&outcome).or_infra(|| "encode an outcome".to_owned())?;
        write_whole(&file(version), &json)?;
        if !is_right(version, &outcome) {
            bad.push(version);
        }
    }
    let known = |version: &Version| serde_json::from_slice(&std::fs::read(file(version)).ok()?).ok();
    if let Some(outcomes) = all.iter().map(known).collect::<Option<Vec<VersionOutcome>>>() {
        let docs = project.root.join("docs");
        std::fs::create_dir_all(&docs).or_infra(|| format!("make {}", docs.display()))?;
        write_whole(&docs.join("versions.md"), render(&all, &outcomes).as_bytes())?;
    }
    match bad.is_empty() {
        true => Ok(Exit::Ok),
        false => Err(Failure::internal(format!("not what the header says: {}", names(&bad)))),
    }
}

fn names(versions: &[&Version]) -> String {
    versions.iter().map(|version| version.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn all(dir: &Path) -> Result<Vec<Version>> {
    let entries = std::fs::read_dir(dir).or_infra(|| format!("list {}", dir.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).or_infra(|| format!("read {}", path.display()))?;
            parse(path, &text)
        })
        .collect()
}

fn parse(path: PathBuf, text: &str) -> Result<Version> {
    let field = |key: &str| {
        let header = text.lines().take_while(|line| !line.starts_with("diff "));
        header.filter_map(|line| line.strip_prefix(key)).map(str::trim).next().unwrap_or_default().to_owned()
    };
    let (verdict, evidence) = (field("Verdict:"), field("Evidence:"));
    if verdict.is_empty() || (verdict == "pass") != evidence.is_empty() {
        return Err(Failure::usage(format!("{}: no `Verdict:` in its header", path.display()))
            .because("every verdict but a pass needs a line `Evidence:` as well"));
    }
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Version { name, subject: field("Subject: [PATCH]"), verdict, evidence, path })
}

fn run(project: &Project, version: &Version) -> Result<VersionOutcome> {
    let path = version.path.display().to_string();
    let ran = super::matrix(
        project,
        &["--campaign", DEFAULT, "--patch", &path, "--only", CELLS, "--suite", "quick"],
    )?;
    let pair = ran.report.as_ref().and_then(|report| report.pairs.first());
    let controls = ran.report.as_ref().map(|report| report.controls.as_slice()).unwrap_or_default();
    Ok(VersionOutcome {
        verdict: pair.map_or("none", |pair| pair.verdict.name()).to_owned(),
        exit: ran.exit,
        reasons: match pair {
            Some(pair) => pair.reasons.clone(),
            None => ran.said.lines().map(str::to_owned).collect(),
        },
        caught: controls.iter().filter(|control| control.caught).count(),
        controls: controls.len(),
        secs: ran.secs,
    })
}

fn is_right(version: &Version, outcome: &VersionOutcome) -> bool {
    let exit = match version.verdict.as_str() {
        "pass" => Exit::Ok,
        "fail" => Exit::PatchFailed,
        _ => Exit::Inconclusive,
    };
    outcome.verdict == version.verdict
        && outcome.exit == Some(exit as i32)
        && (version.evidence.is_empty() || shown(version, outcome).is_some())
        && (version.verdict != "pass" || (outcome.caught >= 2 && outcome.caught == outcome.controls))
}

/// The reason that the header asks for.
fn shown<'a>(version: &Version, outcome: &'a VersionOutcome) -> Option<&'a str> {
    outcome.reasons.iter().map(String::as_str).find(|reason| reason.contains(&version.evidence))
}

fn wrong(version: &Version, outcome: &VersionOutcome) -> String {
    match is_right(version, outcome) {
        true => String::new(),
        false => format!(
            ", NOT {} by `{}` (exit {:?}): {}",
            version.verdict,
            version.evidence,
            outcome.exit,
            outcome.reasons.join(" | ")
        ),
    }
}

fn render(versions: &[Version], outcomes: &[VersionOutcome]) -> String {
    let mut text = "# Versions of the patch that were not prepared for\n\n\
        Written by `cargo xtask versions`, which runs each of `patches/versions/` with `--suite quick` on the variant\n\
        pt-reclaim-off of 7.2 and compares the verdict and its evidence with the header of the file.\n\n\
        | version | verdict | by | controls caught | took |\n|---|---|---|---|---|\n"
        .to_owned();
    for (version, outcome) in versions.iter().zip(outcomes) {
        let evidence = shown(version, outcome).filter(|_| !version.evidence.is_empty()).unwrap_or_default();
        let right = if is_right(version, outcome) { "" } else { ", NOT WHAT IT SHOULD BE" };
        let VersionOutcome { verdict, caught, controls, secs, .. } = outcome;
        let _ = writeln!(
            text,
            "| `{}`: {} | {verdict}{right} | {} | {caught} of {controls} | {secs:.0} s |",
            version.name,
            version.subject,
            evidence.replace('|', "\\|")
        );
    }
    let right = versions.iter().zip(outcomes).filter(|(version, outcome)| is_right(version, outcome)).count();
    let _ = writeln!(text, "\n{right} of {} got the verdict that they have to get.", versions.len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(header: &str) -> Result<Version> {
        parse(PathBuf::from("x/v.patch"), &format!("Subject: [PATCH] mm: x\n\n{header}---\ndiff --git\n"))
    }

    #[test]
    fn every_version_says_what_it_has_to_come_to() {
        let project = Project::here().unwrap();
        assert!(all(&project.root.join("patches/versions")).unwrap().len() >= 12);
        assert!(version("").is_err() && version("Verdict: fail\n").is_err());
        assert!(version("Verdict: pass\nEvidence: x\n").is_err());
    }

    #[test]
    fn the_verdict_alone_is_not_enough() {
        let version = version("Verdict: fail\nEvidence: waits\n").unwrap();
        let outcome = |verdict: &str, exit, reason: &str| VersionOutcome {
            verdict: verdict.to_owned(),
            exit: Some(exit),
            reasons: vec![reason.to_owned()],
            caught: 2,
            controls: 2,
            secs: 1.0,
        };
        assert!(is_right(&version, &outcome("fail", 1, "0 waits")));
        for bad in [outcome("fail", 1, "splat"), outcome("pass", 0, "0 waits"), outcome("fail", 3, "waits")] {
            assert!(!is_right(&version, &bad), "{bad:?}");
        }
        let pass = Version { verdict: "pass".to_owned(), evidence: String::new(), ..version };
        assert!(is_right(&pass, &outcome("pass", 0, "")));
        assert!(!is_right(&pass, &VersionOutcome { caught: 1, ..outcome("pass", 0, "") }));
        let text = render(&[pass], &[outcome("fail", 1, "x")]);
        assert!(
            text.contains("NOT WHAT IT SHOULD BE")
                && text.ends_with("0 of 1 got the verdict that they have to get.\n")
        );
    }
}
