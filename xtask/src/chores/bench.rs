//! `cargo xtask bench`: what a matrix costs, in units of one cold kernel build measured in the same run. Runs the matrix
//! itself, as a user would, with build directories and a cache of its own, so that cold is cold. Judges no patch.

mod images;
mod performance;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::Serialize;

use super::{BenchArgs, corpus};
use crate::boot::probe;
use crate::campaign;
use crate::campaign::plan::{self, Beside};
use crate::campaign::project::{BUILD_DIRS_VARIABLE, CACHE_VARIABLE, Loaded, Project};
use crate::host::accel::Accel;
use crate::host::disk;
use crate::host::disk::write_whole;
use crate::host::process::THIS_PROGRAM;
use crate::host::sandbox::Sandbox;
use crate::host::{arch, terminal};
use crate::report::{CellReport, Report};
use crate::run::build_dirs::{self, Took};
use failure::{Context, Exit, Failure, Result, escape};

/// The cell that a developer would wait for.
const ONE_CELL: &str = "*/pt-reclaim-off/patched";

/// The one that is also built by way of ccache.
const CCACHE_CELL: &str = "*/pt-reclaim-on/base";

/// Build directories in which kernels are built from nothing.
const SCRATCH: &str = "scratch";

/// How often what takes less than a minute is measured: this machine may be slower a minute later, by a third.
const TIMES: usize = 3;
const BOOTS: usize = 9;

/// Numbers of cores that the wall time is forecast for.
const CORES: [usize; 6] = [2, 4, 8, 16, 32, 64];

/// One measured thing.
#[derive(Debug, Serialize)]
struct Measurement {
    what: String,
    /// The median of `times`; of a cold kernel, the mean.
    secs: f64,
    /// Each, in seconds.
    times: Vec<f64>,
    /// What `against` was worth in the same unit, and how many times that this is.
    against: Option<&'static str>,
    ratio: Option<f64>,
}

impl Measurement {
    /// `against`: what it is held against, and the seconds of that.
    fn of(what: &str, times: &[f64], against: Option<(&'static str, f64)>) -> Measurement {
        let secs = median(times.to_vec());
        Measurement {
            what: what.to_owned(),
            secs,
            times: times.to_vec(),
            against: against.map(|(what, _)| what),
            ratio: against.map(|(_, one)| secs / one),
        }
    }

    /// The median, with all that there were if there were several.
    fn seconds(&self) -> String {
        let all: Vec<String> = self.times.iter().map(|secs| format!("{secs:.1}")).collect();
        match all.len() {
            0 | 1 => format!("{:.1}", self.secs),
            _ => format!("{:.1} ({})", self.secs, all.join(" ")),
        }
    }
}

/// Everything that was measured, as it is written to `bench.json`.
#[derive(Debug, Default, Serialize)]
struct Measurements {
    /// When its first run began, UTC.
    date: String,
    /// Of this repository, which the harness was built from.
    revision: String,
    /// Patterns of the cells that were meant; none: all.
    only: Vec<String>,
    /// Accelerators of the guests.
    accels: Vec<String>,
    cells: usize,
    cores: usize,
    rows: Vec<Measurement>,
    /// Where the time of the cold matrix went: sums over its cells, which overlap.
    parts: Vec<(String, f64)>,
    /// Wall time of the cold matrix by cores, computed from the times of its cells.
    forecast: Vec<(usize, f64)>,
    /// MiB by what is on disk.
    disk_mib: Vec<(String, u64)>,
}

/// A directory of its own, whose runs share build directories and a cache.
struct BenchDir<'a> {
    project: &'a Project,
    dir: PathBuf,
    /// Patterns of the cells that are meant; none: all.
    only: Vec<String>,
    /// Of all runs.
    no_sandbox: bool,
    number: usize,
}

/// Where kernels are built in a run.
#[derive(Debug, Clone, Copy)]
enum BuildDirs<'a> {
    /// Those of this project, as its user's runs left them, and its cache.
    Users,
    /// In a directory of this name below the benchmark's, with a cache beside it.
    Own(&'a str),
}

struct MeasuredRun {
    secs: f64,
    report: Report,
    dir: PathBuf,
}

/// Measures, prints what came of it, and writes it to the documentation if that is asked; or compares images and measures
/// nothing.
///
/// # Errors
/// When a matrix that is measured does not come to a report, or an image that was built from its neighbour's objects is
/// not the one built from nothing.
pub fn bench(project: &Project, args: &BenchArgs) -> Result<Exit> {
    if let Some(dir) = &args.corpus {
        return corpus::corpus(project, dir, args);
    }
    let dir = project.work().join("bench");
    let mut place =
        BenchDir { project, dir, only: args.only.clone(), no_sandbox: args.no_sandbox, number: 0 };
    if args.images {
        disk::create_dir(&place.dir)?;
        return images::compare(&mut place);
    }
    disk::discard(&place.dir)?;
    disk::create_dir(&place.dir)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut bench = Measurements {
        revision: revision(&project.root),
        only: args.only.clone(),
        cores,
        ..Measurements::default()
    };
    let cold = bench.cold(&mut place)?;
    bench.again(&mut place, cold)?;
    if args.ccache {
        bench.by_ccache(&mut place)?;
    }
    bench.disk_mib = disk_mib(project, &place.dir);
    let json = serde_json::to_vec_pretty(&bench).or_infra(|| "encode the benchmark".to_owned())?;
    let path = place.dir.join("bench.json");
    write_whole(&path, &json)?;
    let text = performance::render(&bench);
    terminal::print(&text)?;
    terminal::print_line(&format!("\nas JSON: {}", path.display()))?;
    if args.write {
        let page = project.root.join(performance::PAGE);
        write_whole(&page, text.as_bytes())?;
        terminal::print_line(&format!("written: {}", page.display()))?;
    }
    Ok(Exit::Ok)
}

impl Measurements {
    /// The whole matrix from nothing but its sources; what one cold kernel takes. That is measured before and after what is
    /// held against it most, because this machine's speed changes within minutes.
    fn cold(&mut self, place: &mut BenchDir<'_>) -> Result<f64> {
        let cold = place.run("the whole matrix, cold", &[])?;
        let cell = cold.report.cold_build.as_ref().map(|build| build.cell.clone()).unwrap_or_default();
        let ones = [cold_secs(&cold)?, place.cold_kernel(&cell, "one cold kernel, once more", "off")?];
        disk::discard(&place.dir.join(SCRATCH))?;
        let one = f64::midpoint(ones[0], ones[1]);
        // Fetching and unpacking sources is paid once, and by the network.
        let secs = cold.secs - cold.report.fetch_secs;
        self.cells = cold.report.cells.len();
        self.accels = cold.report.accels.iter().map(|accel| accel.name.clone()).collect();
        self.accels.dedup();
        // It is written as RFC 3339.
        self.date = cold.report.started.chars().take_while(|c| *c != 'T').collect();
        self.rows.push(Measurement { secs: one, ..Measurement::of("one cold kernel build", &ones, None) });
        self.add("the whole matrix, cold", &[secs], one);
        #[expect(clippy::cast_precision_loss, reason = "a few dozen cells")]
        let each_cold = one * self.cells as f64;
        let against = ("a cold build for each cell", each_cold);
        self.rows.push(Measurement::of("the whole matrix, cold", &[secs], Some(against)));
        self.parts = parts(&cold);
        self.forecast = forecast(place.project, &cold.report, self.cores)?;
        Ok(one)
    }

    /// The same with nothing changed, and with one line changed.
    fn again(&mut self, place: &mut BenchDir<'_>, one: f64) -> Result<()> {
        for (what, args) in [
            ("nothing changed, on record", &["--recorded"][..]),
            ("nothing changed, booted again, quick suite", &["--suite", "quick"]),
        ] {
            let secs = place.run(what, args)?.secs;
            self.add(what, &[secs], one);
        }
        let what = "nothing changed, booted again";
        let fresh: Vec<MeasuredRun> =
            (0..TIMES).map(|_| place.run(what, &["--fresh"])).collect::<Result<_>>()?;
        self.add(what, &fresh.iter().map(|ran| ran.secs).collect::<Vec<_>>(), one);
        for (what, more, times) in [
            ("one line edited, one cell", &["--only", ONE_CELL][..], TIMES),
            ("one line edited, one cell, quick suite", &["--only", ONE_CELL, "--suite", "quick"], TIMES),
            ("one line edited, all cells", &[], 1),
            ("one line edited, all cells, quick suite", &["--suite", "quick"], 1),
        ] {
            let edit = |_| {
                let edited = place.edited_patch()?;
                Ok(place.run(what, &[&["--recorded", "--patch", &edited], more].concat())?.secs)
            };
            let secs: Vec<f64> = (0..times).map(edit).collect::<Result<_>>()?;
            self.add(what, &secs, one);
        }
        match fresh.last() {
            Some(fresh) => self.boots(place, fresh),
            None => Ok(()),
        }
    }

    /// One kernel from nothing, by way of ccache: when it knows nothing yet, and when it knows everything.
    fn by_ccache(&mut self, place: &mut BenchDir<'_>) -> Result<()> {
        let one = self.rows.first().map_or(f64::NAN, |row| row.secs);
        disk::discard(&place.project.ccache())?;
        for what in ["one cold kernel build, ccache empty", "one cold kernel build, ccache full"] {
            let secs = place.cold_kernel(CCACHE_CELL, what, "auto")?;
            self.add(what, &[secs], one);
        }
        Ok(())
    }

    fn add(&mut self, what: &str, times: &[f64], one: f64) {
        self.rows.push(Measurement::of(what, times, Some(("one cold build", one))));
    }

    /// From the start of QEMU to the guest's first word: beside what the kernel of the same boot took to come to init, and
    /// beside other boots of the image, with nothing to run.
    fn boots(&mut self, place: &mut BenchDir<'_>, fresh: &MeasuredRun) -> Result<()> {
        let is_it =
            |cell: &&CellReport| cell.id.ends_with("/pt-reclaim-off/base") && cell.boot_secs.is_some();
        let Some(id) = fresh.report.cells.iter().find(is_it).map(|cell| cell.id.clone()) else {
            return Ok(());
        };
        let kernel = fresh.dir.join("cells").join(&id).join(arch::DEFAULT.kept());
        let accel = match fresh.report.accels.first().map(|accel| accel.name.as_str()) {
            Some("kvm") => Accel::Kvm,
            _ => Accel::Tcg,
        };
        let work = place.dir.join("bare");
        let sandbox = Sandbox::find(place.no_sandbox, &[arch::DEFAULT.qemu.to_owned()])?;
        let (mut bare, mut kernel_alone, mut guest) = (Vec::new(), Vec::new(), Vec::new());
        // In turn: the machine may be slower a minute later.
        for _ in 0..BOOTS {
            bare.push(probe::bare_boot(&sandbox, accel, arch::DEFAULT, &kernel, &work)?);
            // One job: a second guest of the same cell would be in the time.
            let ran = place.run("a boot beside it", &["--only", &id, "--suite", "quick", "--jobs", "1"])?;
            let secs = |name: &str, of: fn(&CellReport) -> Option<f64>| {
                let secs = ran.report.cells.iter().find_map(of);
                secs.ok_or_else(|| Failure::infra(format!("{id}: its boot has no {name}")).log(&ran.dir))
            };
            kernel_alone.push(secs("time to init", |cell| cell.kernel_secs)?);
            guest.push(secs("time to its first test", |cell| cell.boot_secs)?);
        }
        let bare = Measurement::of(&format!("bare boot, {} CPUs", arch::DEFAULT.cpus), &bare, None);
        let against = ("a bare boot", bare.secs);
        let beside_bare = Measurement::of("boot to the first test", &guest, Some(against));
        let within = Measurement {
            against: Some("the same boot to init"),
            ratio: Some(median_ratio(&guest, &kernel_alone)),
            ..Measurement::of("boot to the first test, each by itself", &guest, None)
        };
        let to_init = Measurement::of("boot to init", &kernel_alone, None);
        self.rows.extend([bare, beside_bare, to_init, within]);
        Ok(())
    }
}

impl BenchDir<'_> {
    /// Runs the matrix of the default campaign with `more` arguments, by the compiler alone. Its own `--only` takes the
    /// place of what was asked for.
    fn run(&mut self, what: &str, more: &[&str]) -> Result<MeasuredRun> {
        let asked = if more.contains(&"--only") { Vec::new() } else { self.asked() };
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        self.run_in(BuildDirs::Own("build-dirs"), what, &[&["--ccache", "off"], more, &asked].concat())
    }

    /// Seconds for the kernel of `cell`, with nothing there but the source and maybe what `ccache` holds.
    fn cold_kernel(&mut self, cell: &str, what: &str, ccache: &str) -> Result<f64> {
        disk::discard(&self.dir.join(SCRATCH))?;
        let args = ["--only", cell, "--rebuild", "--suite", "quick", "--ccache", ccache];
        cold_secs(&self.run_in(BuildDirs::Own(SCRATCH), what, &args)?)
    }

    /// The cells that were asked for, as arguments of a matrix.
    fn asked(&self) -> Vec<String> {
        self.only.iter().map(|pattern| format!("--only={pattern}")).collect()
    }

    /// Runs the matrix of the default campaign with just these arguments.
    fn run_in(&mut self, build_dirs: BuildDirs<'_>, what: &str, more: &[&str]) -> Result<MeasuredRun> {
        self.number += 1;
        terminal::say(&escape::line(&format!("bench: {what}")));
        let out = self.dir.join(format!("run-{}", self.number));
        // A report that an earlier benchmark left must not be taken for this run's.
        disk::discard(&out)?;
        let mut command = Command::new(THIS_PROGRAM);
        command.args(["matrix", "--out"]).arg(&out).args(more).stdout(Stdio::null());
        if self.no_sandbox {
            command.arg("--no-sandbox");
        }
        if let BuildDirs::Own(name) = build_dirs {
            command.env(BUILD_DIRS_VARIABLE, self.dir.join(name)).env(CACHE_VARIABLE, self.dir.join("cache"));
        }
        let started = Instant::now();
        let status = command.status().or_infra(|| "start the matrix".to_owned())?;
        let secs = started.elapsed().as_secs_f64();
        let report = super::report_in(&out).map_err(|failure| {
            failure.because(format!("{what}: the matrix ended with {status}")).log(&out)
        })?;
        Ok(MeasuredRun { secs, report, dir: out })
    }

    /// [`edited`], in a file.
    fn edited_patch(&self) -> Result<String> {
        let edited = edited(self.project, 4711 + self.number)?;
        patch::read(edited.as_bytes(), "the edited patch")?;
        let path = self.dir.join(format!("edited-{}.patch", self.number));
        write_whole(&path, edited.as_bytes())?;
        Ok(path.display().to_string())
    }
}

/// The commit that is checked out, and whether there is more than that.
pub fn revision(root: &Path) -> String {
    let git = |args: &[&str]| duct::cmd("git", args).dir(root).stdin_null().stderr_null().read().ok();
    match (git(&["rev-parse", "--short=12", "HEAD"]), git(&["status", "--porcelain"])) {
        (Some(id), Some(changes)) if changes.is_empty() => id,
        (Some(id), _) => format!("{id} with changes"),
        (None, _) => "unknown".to_owned(),
    }
}

/// The campaign's patch with another condition in one line of its source: it does the same, and is another kernel.
///
/// # Errors
/// When the patch cannot be read, or has no such line any more.
pub fn edited(project: &Project, number: usize) -> Result<String> {
    const LINE: &str = "+\tmight_sleep();";
    let from = project.root.join("patches/mmu_gather-v2.patch");
    let text = std::fs::read_to_string(&from).or_infra(|| format!("read {}", from.display()))?;
    if !text.contains(LINE) {
        return Err(Failure::internal(format!("{} is not as it was", from.display())));
    }
    let text = text.replacen(LINE, &format!("+\tmight_sleep_if(raw_smp_processor_id() != {number});"), 1);
    // Its results are no longer the blobs that were posted.
    Ok(text.lines().filter(|line| !line.starts_with("index ")).map(|line| format!("{line}\n")).collect())
}

fn cold_secs(ran: &MeasuredRun) -> Result<f64> {
    let secs = ran.report.cold_build.as_ref().map(|build| build.secs);
    secs.ok_or_else(|| Failure::infra("a run that began with nothing has no cold build").log(&ran.dir))
}

/// How long the cold matrix would take on other numbers of cores.
fn forecast(project: &Project, report: &Report, measured_on: usize) -> Result<Vec<(usize, f64)>> {
    let loaded = Loaded::load(project, campaign::DEFAULT)?;
    let beside = Beside { controls: loaded.controls.clone(), ..Beside::default() };
    let most = plan::CONTROLS_OF_A_NORMAL_RUN;
    let planned = plan::first_controls(plan::cells(&loaded.campaign, &beside)?, most);
    let took = |id: String| {
        let cell = report.cells.iter().find(|cell| cell.id == id)?;
        Some(Took {
            build_secs: cell.build_secs.unwrap_or_default(),
            cold: cell.cold,
            boot_secs: cell.boot_secs.unwrap_or_default(),
            test_secs: cell.test_secs.unwrap_or_default(),
        })
    };
    let took: Vec<Took> = planned.iter().map(|cell| took(cell.id()).unwrap_or_default()).collect();
    Ok(CORES
        .iter()
        .map(|cores| (*cores, build_dirs::forecast(&planned, &took, *cores, measured_on)))
        .collect())
}

/// What the cells of a matrix were busy with.
fn parts(ran: &MeasuredRun) -> Vec<(String, f64)> {
    let sum = |of: fn(&CellReport) -> Option<f64>| ran.report.cells.iter().filter_map(of).sum::<f64>();
    let (configure, link) = (sum(|cell| cell.configure_secs), sum(|cell| cell.link_secs));
    let parts = [
        ("sources", ran.report.fetch_secs),
        ("guest programs", ran.report.guests_secs),
        ("configure", configure),
        ("compile", sum(|cell| cell.build_secs) - configure - link),
        ("link", link),
        ("boot", sum(|cell| cell.boot_secs)),
        ("test", sum(|cell| cell.test_secs)),
        ("start and report", ran.secs - ran.report.wall_secs),
        ("wall", ran.secs),
    ];
    parts.map(|(part, secs)| (part.to_owned(), secs)).into()
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Of each to its own one: two boots differ by more than what one of them does between init and the first test.
fn median_ratio(of: &[f64], ones: &[f64]) -> f64 {
    median(of.iter().zip(ones).map(|(of, one)| of / one).collect())
}

/// What the source of the tree takes, then everything else beside it.
fn disk_mib(project: &Project, dir: &Path) -> Vec<(String, u64)> {
    let build_dirs = disk::entries(&dir.join("build-dirs"))
        .iter()
        .flat_map(|tree| disk::entries(tree))
        .collect::<Vec<_>>();
    let mut places = vec![("source of one tree".to_owned(), project.work().join("source/7.2/tree"))];
    for build_dir in &build_dirs {
        let name = build_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        places.push((format!("build directory {name}, beyond that"), build_dir.clone()));
    }
    places.push(("cache".to_owned(), dir.join("cache")));
    let sizes = mib(places.iter().map(|(_, path)| path));
    places.into_iter().map(|(what, _)| what).zip(sizes).collect()
}

/// Of everything below each of `dirs`, but for what has another name in an earlier one.
fn mib<'a>(dirs: impl Iterator<Item = &'a PathBuf>) -> Vec<u64> {
    let args: Vec<&std::ffi::OsStr> =
        std::iter::once("-sm".as_ref()).chain(dirs.map(|dir| dir.as_os_str())).collect();
    let text = duct::cmd("du", args).stderr_null().unchecked().read().unwrap_or_default();
    text.lines()
        .map(|line| line.split_whitespace().next().and_then(|size| size.parse().ok()).unwrap_or(0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patch_can_be_edited_and_still_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let project = Project::here().unwrap();
        let place = BenchDir {
            project: &project,
            dir: dir.path().to_owned(),
            only: Vec::new(),
            no_sandbox: false,
            number: 3,
        };
        let edited = std::fs::read_to_string(place.edited_patch().unwrap()).unwrap();
        assert!(edited.contains("+\tmight_sleep_if(raw_smp_processor_id() != 4714);\n"), "{edited}");
    }

    #[test]
    fn a_file_with_two_names_takes_room_once() {
        let dir = tempfile::tempdir().unwrap();
        let [first, second] = ["a", "b"].map(|name| dir.path().join(name));
        for dir in [&first, &second] {
            std::fs::create_dir(dir).unwrap();
        }
        std::fs::write(first.join("x"), vec![1; 3 << 20]).unwrap();
        std::fs::hard_link(first.join("x"), second.join("x")).unwrap();
        let sizes = mib([first, second].iter());
        assert!(sizes[0] >= 3 && sizes[1] <= 1, "{sizes:?}");
    }

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_boot_is_compared_with_itself() {
        let ratio = median_ratio(&[2.0, 9.0, 4.0], &[1.0, 3.0, 4.0]);
        assert!((ratio - 2.0).abs() < f64::EPSILON, "{ratio}");
    }

    #[test]
    fn what_was_measured_several_times_shows_them_all() {
        let several = Measurement::of("a", &[30.0, 10.0, 20.0], Some(("b", 40.0)));
        assert_eq!((several.seconds().as_str(), several.ratio), ("20.0 (30.0 10.0 20.0)", Some(0.5)));
        assert_eq!(Measurement::of("a", &[1.25], None).seconds(), "1.2");
    }
}
