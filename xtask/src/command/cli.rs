//! What can be asked of the harness, in the words of the people who ask. Nothing is decided here.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

pub use super::runs::RunsArgs;
use crate::boot::probe::Wish;
use crate::campaign::DEFAULT;
use crate::campaign::partition::Partition;
use crate::report::progress::Loudness;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build, boot and judge every cell of the campaign
    Matrix(MatrixArgs),
    /// Build the kernels of the campaign, and stop: `boot RUN` goes on
    Build(BuildArgs),
    /// Build the kernel ahead that patches without a campaign start from
    Warm(WarmArgs),
    /// Boot the kernels that `build` made, and keep the evidence: `judge RUN` goes on
    Boot(BootArgs),
    /// Judge a run again, from the evidence in its directory, and write its report anew
    Judge(JudgeArgs),
    /// Join the parts of a run that several machines ran (`matrix --partition K/N`), and judge the whole
    Merge(MergeArgs),
    /// Run a matrix in parts on the machines of a batch system, wait for them, and judge the whole
    Submit(SubmitArgs),
    /// Show the report of a run again; exit 0 whatever its verdict is
    Report(ReportArgs),
    /// Draft an answer to the mail that the patch came in, in the run's directory; nothing is sent
    Reply(ReplyArgs),
    /// List earlier runs with their verdicts, or remove them
    Runs(RunsArgs),
    /// Say what a patch file is, whether it is sound, and whether it fits the tree; run nothing
    Patch(PatchArgs),
    /// Say what a saved console, dmesg or serial log holds: exit 0 if it is clean, 1 if there is trouble in it
    Console(ConsoleArgs),
    /// Show what this host has: tools, disk, cores, accelerator
    Doctor(DoctorArgs),
    /// Show what is kept of earlier builds and boots, or empty it
    Cache(CacheArgs),
    /// Run a matrix again whenever the patch, a guest test or a configuration changes
    Watch(WatchArgs),
}

#[derive(Debug, Args)]
pub struct WarmArgs {
    /// As for matrix: another source of the tree
    #[arg(long = "tree", value_name = "NAME=DIR[@REF]")]
    pub trees: Vec<String>,
    /// Install what is missing on this host through its package manager
    #[arg(long)]
    pub install_deps: bool,
}

#[derive(Debug, Args)]
pub struct SourceArgs {
    /// Campaign to take: a name in configs/ or a YAML file [default: the one that is about the files that the patch changes,
    /// else any-patch]
    #[arg(long, value_name = "NAME|FILE")]
    pub campaign: Option<String>,
    /// Use DIR as the source of tree NAME, or revision REF of the git repository DIR; neither is ever modified. A
    /// NAME that the campaign does not know is a tree of your own, and takes the place of the campaign's
    #[arg(long = "tree", value_name = "NAME=DIR[@REF]")]
    pub trees: Vec<String>,
    /// What the tree is in relation to the patch
    #[arg(long, value_enum, default_value = "as-is")]
    pub base: BaseArg,
    /// Install what is missing on this host through its package manager
    #[arg(long)]
    pub install_deps: bool,
}

impl SourceArgs {
    /// The campaign that is named, or the one of a command that names none and has no patch.
    pub fn campaign(&self) -> &str {
        self.campaign.as_deref().unwrap_or(DEFAULT)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BaseArg {
    /// The base that the patch goes on
    AsIs,
    /// It holds the patch already: undo it to make the base
    Undo,
}

/// What makes the plan: which kernels there are, what each has to show, and what its builds and guests may do.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Patch under test: a diff, a mail, an mbox, a mail pasted from a web archive (each also as .gz), a directory of
    /// them, `-` for standard input, or a range of commits in --tree's repository, such as HEAD~3..HEAD; several are
    /// one series [default: the campaign's]
    #[arg(long, value_name = "FILE")]
    pub patch: Vec<PathBuf>,
    #[command(flatten)]
    pub source: SourceArgs,
    /// Only the cells that match, such as '7.2/x86_64/pt-reclaim-off/*' (may be given several times)
    #[arg(long, value_name = "GLOB")]
    pub only: Vec<String>,
    /// Also leave out each hunk of the patch in turn, and say what notices
    #[arg(long)]
    pub without_hunk: bool,
    /// Of a series, also test what it is after each of its patches
    #[arg(long)]
    pub each: bool,
    /// Which planted bugs have to be caught
    #[arg(long, value_enum, default_value = "auto")]
    pub controls: Controls,
    /// Which guest tests run
    #[arg(long, value_enum, default_value = "normal")]
    pub suite: SuiteWish,
    /// Also keep the base and the patched kernels under load for so long, such as 90s, 30m or 8h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub soak: Option<Duration>,
    /// Also set these Kconfig symbols, such as KCM,BPF_SYSCALL,DEBUG_VM=n
    #[arg(long, value_name = "SYMBOLS", value_delimiter = ',', value_parser = symbol)]
    pub symbols: Vec<(String, String)>,
    /// Build the kernels of a derived plan with KASAN: what is used after it was freed, or beyond its end, is seen where it
    /// happens, and everything takes about twice as long
    #[arg(long)]
    pub sanitize: bool,
    /// Also run this on every kernel, and hold how it ends on the patched one against how it does on the base: a C or Rust
    /// source, a static program or a shell script (may be given several times)
    #[arg(long, value_name = "FILE")]
    pub run: Vec<PathBuf>,
    /// Also run this KUnit suite of the kernel (may be given several times)
    #[arg(long, value_name = "SUITE")]
    pub kunit: Vec<String>,
    /// Also run the programs of this directory below tools/testing/selftests of the tree, such as futex or
    /// filesystems/epoll (may be given several times)
    #[arg(long, value_name = "DIR")]
    pub selftest: Vec<String>,
    /// A hunk, by its number in the report, that need not be executed; the report repeats it
    #[arg(long, value_name = "HUNK")]
    pub allow_unreached: Vec<usize>,
    /// Let builds and guests do all that you can, where they cannot be confined; the report says so
    #[arg(long)]
    pub no_sandbox: bool,
    /// Directory of this run [default: a new one below target/patchproof/runs]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Start at once, beside a run that goes on in this checkout, with build directories of its own: guests of both share
    /// the cores, and times are not those of a run that is alone
    #[arg(long)]
    pub no_queue: bool,
    /// Only the K-th of N parts of the plan, divided by pairs of kernels; `cargo xtask merge` joins the parts
    #[arg(long, value_name = "K/N", value_parser = Partition::parse)]
    pub partition: Option<Partition>,
    /// Divide by what each kernel took in this earlier run, the same one for each part [default: by the number of kernels]
    #[arg(long, value_name = "RUN", requires = "partition")]
    pub balance: Option<PathBuf>,
}

/// How kernels are compiled.
#[derive(Debug, Args)]
pub struct CompileArgs {
    /// Build every kernel, also those that were built before
    #[arg(long)]
    pub rebuild: bool,
    /// Compile by way of ccache if it is installed
    #[arg(long, value_enum, default_value = "auto")]
    pub ccache: CcacheWish,
}

/// How kernels are booted.
#[derive(Debug, Args)]
pub struct GuestArgs {
    /// How QEMU runs the guest
    #[arg(long, value_enum, default_value = "auto")]
    pub accel: AccelWish,
    /// Boot the base and the patched kernels N times each, and say what that many boots can tell
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// How long workloads may take together on the kernel that counts which of them reach the patch; those that cost least
    /// come first, and the report names those that were not tried
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = duration)]
    pub workload_time: Duration,
    /// How long the boots of a plan that is derived from the patch may take together; what there was no time for is in the
    /// report, and a kind of bug that was not planted for want of it makes a pass a weak one
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub budget: Duration,
    /// Show what is on record of a boot of the same kernel, guest and machine, marked with its date, instead of booting
    #[arg(long, conflicts_with = "fresh")]
    pub recorded: bool,
    /// Boot every kernel (the default); kernels that were built before are not built again
    #[arg(long)]
    pub fresh: bool,
}

/// How much is done at a time, and when it ends.
#[derive(Debug, Args)]
pub struct PaceArgs {
    /// Parallel compile jobs; beside them runs one guest for every four, with 1 nothing at all beside anything [default:
    /// the cores of this host]
    #[arg(long, short, value_name = "N", value_parser = jobs)]
    pub jobs: Option<usize>,
    /// Go on after a cell that went wrong (the default)
    #[arg(long, conflicts_with = "fail_fast")]
    pub keep_going: bool,
    /// Stop after the first cell that went wrong
    #[arg(long)]
    pub fail_fast: bool,
    /// Show every step of every cell, and of a report also the details that otherwise only report.txt has
    #[arg(long, short)]
    pub verbose: bool,
    /// Show nothing while it works; at the end one line, or the reasons if it did not go well
    #[arg(long, short, conflicts_with = "verbose")]
    pub quiet: bool,
}

impl GuestArgs {
    pub fn wish(&self) -> Wish {
        match self.accel {
            AccelWish::Auto => Wish::Auto,
            AccelWish::Kvm => Wish::Kvm,
            AccelWish::Tcg => Wish::Tcg,
        }
    }

    /// What is on record is of one boot, and of none that goes on for a time.
    pub fn takes_records(&self, soak: Option<Duration>) -> bool {
        self.recorded && self.repeat == 1 && soak.is_none()
    }
}

impl PaceArgs {
    pub fn loudness(&self) -> Loudness {
        Loudness::new(self.quiet, self.verbose)
    }

    pub fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
    }
}

#[derive(Debug, Args)]
pub struct MatrixArgs {
    #[command(flatten)]
    pub plan: PlanArgs,
    #[command(flatten)]
    pub compile: CompileArgs,
    #[command(flatten)]
    pub guest: GuestArgs,
    #[command(flatten)]
    pub pace: PaceArgs,
    /// Show the plan with the exact make and QEMU commands, and stop
    #[arg(long, visible_alias = "list")]
    pub dry_run: bool,
    /// Write the plan that is derived from the patch as a campaign, to be edited and kept, and stop
    #[arg(long, value_name = "FILE")]
    pub write_campaign: Option<PathBuf>,
    /// What standard output gets at the end
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Leave fault injection off: the verdict must then be vacuous
    #[arg(long, hide = true)]
    pub test_no_injection: bool,
}

#[derive(Debug, Args)]
pub struct BuildArgs {
    #[command(flatten)]
    pub plan: PlanArgs,
    #[command(flatten)]
    pub compile: CompileArgs,
    #[command(flatten)]
    pub pace: PaceArgs,
}

#[derive(Debug, Args)]
pub struct BootArgs {
    /// The directory of a run that `build` has made, or its name below target/patchproof/runs
    #[arg(value_name = "RUN", default_value = "latest")]
    pub run: PathBuf,
    #[command(flatten)]
    pub guest: GuestArgs,
    #[command(flatten)]
    pub pace: PaceArgs,
    /// Let guests do all that you can; asked for of a run that was built so, and of no other
    #[arg(long)]
    pub no_sandbox: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccelWish {
    /// KVM if it has booted a kernel here, else TCG
    Auto,
    /// KVM or nothing
    Kvm,
    /// QEMU's own emulation
    Tcg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CcacheWish {
    /// Where it is installed
    Auto,
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Controls {
    /// Every control of every variant
    All,
    /// The first two of each variant
    Auto,
    /// None: no variant that has controls can then pass
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SuiteWish {
    /// As few as show anything: for a first look, not for a verdict to rely on
    Quick,
    /// Those that take no long time
    Normal,
    /// Also those that take long
    Full,
}

/// Threads are started for each.
const JOBS_MAX: usize = 1024;

fn jobs(text: &str) -> Result<usize, String> {
    let number: Option<usize> = text.parse().ok();
    number
        .filter(|number| *number <= JOBS_MAX)
        .ok_or_else(|| format!("`{text}` is no number of jobs from 1 to {JOBS_MAX}"))
}

/// A Kconfig symbol, with or without `CONFIG_`, and its value: `y` if it has none.
fn symbol(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, "y"));
    let name = name.strip_prefix("CONFIG_").unwrap_or(name);
    let valid = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match valid && !value.is_empty() && !value.contains(['\n', '\r']) {
        true => Ok((name.to_owned(), value.to_owned())),
        false => Err(format!("`{text}` is no symbol such as KCM or DEBUG_VM=n")),
    }
}

/// Deadlines are added to it, and the sum must not overflow.
const TIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// A time in seconds, minutes or hours.
fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is no time such as 90s, 30m or 8h");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?);
    let secs: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(bad()),
    };
    let number: u64 = number.parse().map_err(|_| bad())?;
    let time = number.checked_mul(secs).filter(|&secs| secs > 0).map(Duration::from_secs).ok_or_else(bad)?;
    if time > TIME_MAX {
        return Err(format!("`{text}` is longer than {} days", TIME_MAX.as_secs() / (24 * 3600)));
    }
    Ok(time)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Human,
    Json,
}

#[derive(Debug, Args)]
pub struct JudgeArgs {
    /// The directory of the run, or its name below target/patchproof/runs
    #[arg(value_name = "RUN", default_value = "latest")]
    pub run: PathBuf,
    /// What standard output gets
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Also the details: every guest test, what was counted and timed, each planted bug
    #[arg(long)]
    pub verbose: bool,
    /// One line, or the reasons if it is no pass
    #[arg(long, short, conflicts_with = "verbose")]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The directory of each part; what a missing one had to run counts as not run
    #[arg(required = true, value_name = "DIR")]
    pub dirs: Vec<PathBuf>,
    /// Directory of the joined run [default: a new one below target/patchproof/runs]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What standard output gets
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Also the details: every guest test, what was counted and timed, each planted bug
    #[arg(long)]
    pub verbose: bool,
}

#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// The batch system
    #[arg(long, value_enum)]
    pub engine: BatchEngine,
    /// Parts at most: one task for each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub parts: u32,
    /// Another option of each `sbatch`, such as --option=--cpus-per-task=8 (may be given several times)
    #[arg(long = "option", value_name = "OPTION", allow_hyphen_values = true)]
    pub options: Vec<String>,
    /// How long to wait for all of it: what has not ended then is cancelled, and counts as not run
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    pub timeout: Duration,
    /// Write the scripts, and stop: `sh RUN/slurm/submit.sh` submits them
    #[arg(long)]
    pub script_only: bool,
    /// Directory of this run, where every machine sees it [default: a new one below target/patchproof/runs]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What follows `cargo xtask matrix`, behind `--`
    #[arg(last = true, value_name = "MATRIX OPTIONS")]
    pub words: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BatchEngine {
    Slurm,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The directory of the run, or its name below target/patchproof/runs
    #[arg(value_name = "RUN", default_value = "latest")]
    pub run: PathBuf,
    /// What standard output gets
    #[arg(long, value_enum, default_value = "text")]
    pub format: ReportFormat,
    /// Also the details: every guest test, what was counted and timed, each planted bug
    #[arg(long)]
    pub verbose: bool,
    /// Open the page of the run in a browser: $BROWSER, else xdg-open
    #[arg(long, conflicts_with_all = ["format", "compare"])]
    pub open: bool,
    /// Say what is different in another run; with two, RUN is left out
    #[arg(long, value_name = "RUN", num_args = 1..=2, conflicts_with = "format")]
    pub compare: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    Text,
    Json,
    Junit,
    /// A page for a browser, in one file
    Html,
    /// Workflow commands of GitHub Actions, which annotate the lines of the patch
    Github,
    /// Code quality of GitLab
    Gitlab,
    /// Version 1, as the kernel's own tests have it
    Ktap,
    /// The summary of a CI job
    Markdown,
}

#[derive(Debug, Args)]
pub struct ReplyArgs {
    /// The directory of the run, or its name below target/patchproof/runs
    #[arg(value_name = "RUN", default_value = "latest")]
    pub run: PathBuf,
}

#[derive(Debug, Args)]
pub struct PatchArgs {
    /// The patch: as --patch of the matrix
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Write the sound patch here (only when every result is proved)
    #[arg(long, value_name = "OUT")]
    pub write: Option<PathBuf>,
    #[command(flatten)]
    pub source: SourceArgs,
}

#[derive(Debug, Args)]
pub struct ConsoleArgs {
    /// The log, or `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The kernel that printed the logs, with debug information: adds file and line to places and stacks
    #[arg(long, value_name = "FILE")]
    pub vmlinux: Option<PathBuf>,
    /// Let binutils, which read that kernel, do all that you can
    #[arg(long, requires = "vmlinux")]
    pub no_sandbox: bool,
    /// What standard output gets
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct CacheArgs {
    /// Remove everything
    #[arg(long)]
    pub clean: bool,
}

#[derive(Debug, Args)]
pub struct WatchArgs {
    #[command(flatten)]
    pub matrix: MatrixArgs,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Install what is missing on this host through its package manager
    #[arg(long)]
    pub install_deps: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soak_is_given_in_seconds_minutes_or_hours() {
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("720h"), Ok(TIME_MAX));
        let too_long = ["721h", "18446744073709551615s", "5124095576030431h"];
        for bad in
            ["", "30", "m", "0s", "1d", "-1s", "1.5h", "99999999999999999999h"].into_iter().chain(too_long)
        {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn jobs_are_limited() {
        assert_eq!((jobs("1"), jobs("1024")), (Ok(1), Ok(1024)));
        for bad in ["", "-1", "1025", "18446744073709551615", "99999999999999999999"] {
            assert!(jobs(bad).is_err(), "{bad}");
        }
    }
}
