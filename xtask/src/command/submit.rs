//! `cargo xtask submit`: writes the scripts by which a batch system runs a matrix in parts, submits them, follows them, and joins
//! what they leave. Every machine sees the checkout, the directory of the run and the cache in the same place. One job builds each
//! kernel once; then each part takes its kernels from the cache and boots them.

use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser};

use super::cli::{self, BatchEngine};
use super::merge;
use super::setting::Outline;
use super::slurm::SlurmJobs;
use super::warm::BuildWords;
use crate::boot::qemu::shell_line;
use crate::campaign::project::Project;
use crate::host::disk::{self, make_executable, write_whole};
use crate::host::{process, terminal};
use crate::run::rundir::RunDir;
use failure::{Context, Exit, Failure, Result, escape};

/// As they would be written behind `cargo xtask matrix`.
#[derive(Parser)]
struct MatrixWords {
    #[command(flatten)]
    args: cli::MatrixArgs,
}

/// What each script is made from.
struct Scripts<'a> {
    /// The directory of the run.
    dir: &'a Path,
    /// Words of the matrix, and those of them that are about building.
    words: &'a [String],
    build_words: &'a [String],
    options: &'a [String],
    harness: String,
    /// Where the command was started: the user's paths are relative to it.
    here: PathBuf,
    parts: usize,
    /// The user says how many jobs a machine has.
    has_jobs: bool,
}

/// Submits the matrix, waits for it, and judges the whole.
///
/// # Errors
/// When the words are not those of a matrix, there is no batch system, or no part has begun. A part that was lost is none: its
/// kernels count as not run.
pub fn submit(project: &Project, args: &cli::SubmitArgs) -> Result<Exit> {
    let BatchEngine::Slurm = args.engine;
    let most = usize::try_from(args.parts).unwrap_or(1);
    let (matrix, build_words) = read_words(&args.words, most)?;
    let parts = parts_of(project, &matrix, most)?;
    let dir = RunDir::create(project, args.out.as_deref())?;
    let here = std::env::current_dir().or_infra(|| "find the current directory".to_owned())?;
    let harness = std::env::current_exe().or_infra(|| "find this program".to_owned())?;
    for path in [&dir.path, &here, &harness] {
        // Slurm takes a `%` for the beginning of a pattern.
        if path.to_str().is_none_or(|text| text.contains(['%', '\n', '"', '\\'])) {
            return Err(Failure::usage(format!("Slurm cannot be told of {}", path.display()))
                .next("choose a path without %, quotes, backslashes and line breaks"));
        }
    }
    let scripts = Scripts {
        dir: &dir.path,
        words: &args.words,
        build_words: &build_words,
        options: &args.options,
        harness: harness.display().to_string(),
        here,
        parts,
        has_jobs: matrix.pace.jobs.is_some(),
    };
    let script = scripts.write()?;
    let say = |text: &str| terminal::say(&escape::line(text));
    if args.script_only {
        terminal::print_line(&escape::line(&format!("written: {}", script.display())))?;
        terminal::print_line(&escape::line(&format!(
            "submit it with `sh {}`; when its jobs are over: cargo xtask merge {}/parts/*",
            script.display(),
            dir.path.display()
        )))?;
        return Ok(Exit::Ok);
    }
    process::catch_interrupts()?;
    let jobs = SlurmJobs::submit(&script)?;
    say(&format!(
        "submitted: job {} builds the kernels, job {} runs {parts} parts",
        jobs.kernels, jobs.parts
    ));
    jobs.follow(args.timeout, &say)?;
    let begun: Vec<PathBuf> = disk::entries(&dir.path.join("parts"))
        .into_iter()
        .filter(|part| part.join("part.json").exists())
        .collect();
    if begun.is_empty() {
        return Err(Failure::infra("no part of the run has begun")
            .because("the kernels could not be built, or no machine took a part")
            .log(&dir.path.join("slurm/kernels.log")));
    }
    merge::merge_in(project, &begun, &dir, &matrix)
}

/// The options of the matrix, and those of them that a build has.
fn read_words(words: &[String], parts: usize) -> Result<(cli::MatrixArgs, Vec<String>)> {
    // `--balance` asks for one.
    let partition = format!("--partition=1/{parts}");
    let all = ["matrix", &partition].into_iter().chain(words.iter().map(String::as_str));
    let matches = MatrixWords::command().try_get_matches_from(all).map_err(|error| {
        let text = error.render().to_string();
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines
            .fold(Failure::usage("what stands behind `--` is not for `cargo xtask matrix`"), Failure::because)
    })?;
    let args = MatrixWords::from_arg_matches(&matches)
        .map_err(|error| Failure::internal(format!("the words of a matrix: {error}")))?
        .args;
    let plan = &args.plan;
    let refused = [
        ("--out", plan.out.is_some()),
        ("--dry-run", args.dry_run),
        ("--write-campaign", args.write_campaign.is_some()),
        ("--patch -", plan.patch.iter().any(|patch| patch.as_os_str() == "-")),
        ("--install-deps", plan.source.install_deps),
    ];
    if let Some((option, _)) = refused.iter().find(|(_, given)| *given) {
        return Err(Failure::usage(format!("{option} is nothing for a machine of a batch system"))
            .next("leave it out; the directory of the run is `submit --out DIR`"));
    }
    let mut build = Vec::new();
    for arg in BuildWords::command().get_arguments() {
        let id = arg.get_id().as_str();
        let is_typed = matches.value_source(id) == Some(ValueSource::CommandLine);
        let Some(name) = arg.get_long().filter(|_| is_typed && !["partition", "balance"].contains(&id))
        else {
            continue;
        };
        match arg.get_action().takes_values() {
            false => build.push(format!("--{name}")),
            true => {
                let values = matches.get_raw(id).into_iter().flatten();
                build.extend(values.map(|value| format!("--{name}={}", value.to_string_lossy())));
            }
        }
    }
    Ok((args, build))
}

/// So many parts have something to run.
fn parts_of(project: &Project, matrix: &cli::MatrixArgs, most: usize) -> Result<usize> {
    let outline = Outline::find(project, &matrix.plan)?;
    let placed = outline.divided.map(|divided| divided.placed).unwrap_or_default();
    let parts = placed.values().copied().max().unwrap_or(1);
    if parts < most {
        let why = match outline.loaded.campaign.coverage {
            true => "what is counted in its first kernel decides what the others run: it is not divided",
            false => "it has fewer pairs of kernels than parts",
        };
        terminal::say(&format!("parts: {parts} instead of {most}; {why}"));
    }
    Ok(parts)
}

impl Scripts<'_> {
    /// Writes the scripts; the one that submits the others.
    fn write(&self) -> Result<PathBuf> {
        let dir = self.dir.join("slurm");
        disk::create_dir(&dir)?;
        disk::create_dir(&self.dir.join("parts"))?;
        for (name, text) in
            [("kernels.sh", self.kernels()), ("part.sh", self.part()), ("submit.sh", self.submit())]
        {
            let path = dir.join(name);
            write_whole(&path, text.as_bytes())?;
            make_executable(&path)?;
        }
        Ok(dir.join("submit.sh"))
    }

    fn jobs(&self) -> &'static str {
        // Slurm need not keep a task to the cores that it has.
        if self.has_jobs { "" } else { " ${SLURM_CPUS_PER_TASK:+--jobs \"$SLURM_CPUS_PER_TASK\"}" }
    }

    fn harness(&self, verb: &str, words: &[String]) -> String {
        let all: Vec<String> =
            [self.harness.clone(), verb.to_owned()].into_iter().chain(words.to_vec()).collect();
        shell_line(&all)
    }

    fn place(&self, below: &str) -> String {
        shell_line(&[self.dir.join(below).display().to_string()])
    }

    fn kernels(&self) -> String {
        format!(
            "#!/bin/sh\n# Builds each kernel once: the parts take them from the cache.\n{}{} --no-queue --out={}\ncode=$?\n\
             # What is wrong with a kernel is evidence, which the parts find.\n\
             case $code in 0|1|3|5) exit 0 ;; *) exit $code ;; esac\n",
            self.harness("build", self.build_words),
            self.jobs(),
            self.place("slurm/kernels")
        )
    }

    fn part(&self) -> String {
        format!(
            "#!/bin/sh\n# One part of the matrix, with the number of its task.\n\
             exec {}{} --partition=\"$SLURM_ARRAY_TASK_ID/{}\" --out={}/\"$SLURM_ARRAY_TASK_ID\"\n",
            self.harness("matrix", self.words),
            self.jobs(),
            self.parts,
            self.place("parts")
        )
    }

    /// A task is never started a second time by itself: what a machine lost is said to be lost.
    fn submit(&self) -> String {
        let here = self.here.display().to_string();
        let sbatch = |name: &str, log: &str, more: &[String], script: &str| {
            let fixed = [
                "sbatch".to_owned(),
                "--parsable".to_owned(),
                "--no-requeue".to_owned(),
                format!("--job-name=patchproof-{name}"),
                format!("--chdir={here}"),
                format!("--output={}", self.dir.join("slurm").join(log).display()),
            ];
            let script = self.dir.join("slurm").join(script).display().to_string();
            let line = shell_line(&[&fixed[..], self.options].concat());
            format!("{line} {} {}", more.join(" "), shell_line(&[script]))
        };
        let array = [
            format!("--array=1-{}", self.parts),
            "--dependency=afterok:\"${kernels%%;*}\"".to_owned(),
            "--kill-on-invalid-dep=yes".to_owned(),
        ];
        format!(
            "#!/bin/sh\n# Submits the kernels, and behind them the parts. Prints the numbers of both jobs.\nset -e\n\
             kernels=$({})\nparts=$({})\necho \"${{kernels%%;*}} ${{parts%%;*}}\"\n",
            sbatch("kernels", "kernels.log", &[], "kernels.sh"),
            sbatch("parts", "part-%a.log", &array, "part.sh")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn build_has_those_words_of_the_matrix_that_are_its_own() {
        let typed = "--patch a.patch --patch=b.patch --tree 7.2=x --accel tcg --repeat 3 --recorded --rebuild \
                     --symbols KCM,DEBUG_VM=n --soak 90s -j 4 --controls all --fail-fast";
        let (args, build) = read_words(&words(typed), 2).unwrap();
        assert_eq!(args.guest.repeat, 3);
        let wanted = "--patch=a.patch --patch=b.patch --tree=7.2=x --controls=all --soak=90s --symbols=KCM \
                      --symbols=DEBUG_VM=n --rebuild --jobs=4 --fail-fast";
        assert_eq!(build, words(wanted));
        for word in read_words(&words(typed), 2).unwrap().1 {
            let known = BuildWords::command().try_get_matches_from(["build", &word]);
            assert!(known.is_ok(), "{word}");
        }
    }

    #[test]
    fn words_that_no_machine_of_a_batch_system_can_take_are_refused() {
        for (typed, why) in [
            ("--out x", "--out is nothing"),
            ("--patch -", "--patch - is nothing"),
            ("--dry-run", "--dry-run is nothing"),
            ("--no-such-option", "what stands behind `--`"),
            ("--partition 1/2", "what stands behind `--`"),
        ] {
            let failure = read_words(&words(typed), 2).err().unwrap();
            assert!(failure.what.starts_with(why), "{typed}: {failure}");
        }
    }

    #[test]
    fn scripts_are_those_of_a_shell() {
        let dir = tempfile::tempdir().unwrap();
        let scripts = Scripts {
            dir: &dir.path().join("a run"),
            words: &words("--patch it's.patch --accel tcg"),
            build_words: &words("--patch=it's.patch"),
            options: &words("--cpus-per-task=8"),
            harness: "/bin/echo".to_owned(),
            here: "/home/a b".into(),
            parts: 3,
            has_jobs: false,
        };
        scripts.write().unwrap();
        let sh = |script: &str, cpus: &str| {
            let mut command = std::process::Command::new("sh");
            command.arg(scripts.dir.join("slurm").join(script)).env("SLURM_ARRAY_TASK_ID", "2");
            let output = command.env("SLURM_CPUS_PER_TASK", cpus).output().unwrap();
            String::from_utf8(output.stdout).unwrap().replace(&scripts.dir.display().to_string(), "RUN")
        };
        assert_eq!(
            sh("part.sh", "8"),
            "matrix --patch it's.patch --accel tcg --jobs 8 --partition=2/3 --out=RUN/parts/2\n"
        );
        assert_eq!(sh("kernels.sh", ""), "build --patch=it's.patch --no-queue --out=RUN/slurm/kernels\n");
        let text = std::fs::read_to_string(scripts.dir.join("slurm/submit.sh")).unwrap();
        for words in [
            "--array=1-3",
            "--dependency=afterok:",
            "--cpus-per-task=8",
            "'--chdir=/home/a b'",
            "--no-requeue",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}
