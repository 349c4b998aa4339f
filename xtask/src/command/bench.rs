//! `cargo xtask bench`: what a matrix costs, in units of one cold kernel build measured in the same run. Runs the matrix
//! itself, as a user would, with objects and a cache of its own, so that cold is cold. Judges no patch.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::Value;

use crate::accel::{self, Accel};
use crate::failure::{Context, Exit, Failure, Result};
use crate::project::{CACHE_VARIABLE, OBJECTS_VARIABLE, Project};
use crate::rundir::write_whole;
use crate::source::disk;
use crate::{arch, patch};

/// The cell that a developer would wait for.
const ONE_CELL: &str = "*/pt-reclaim-off/patched";

/// One measured thing.
#[derive(Debug, Serialize)]
struct Row {
    what: String,
    secs: f64,
    /// What `against` was worth in the same unit, and how many times that this is.
    against: Option<&'static str>,
    ratio: Option<f64>,
}

/// Everything that was measured, as it is written to `bench.json`.
#[derive(Debug, Default, Serialize)]
struct Bench {
    cells: usize,
    rows: Vec<Row>,
    /// Where the time of the cold matrix went: sums over its cells, which overlap.
    parts: Vec<(String, f64)>,
    /// MiB by what is on disk.
    disk_mib: Vec<(String, u64)>,
}

/// A directory of its own, whose runs share objects and a cache.
struct Place<'a> {
    project: &'a Project,
    dir: PathBuf,
    number: usize,
}

struct Ran {
    secs: f64,
    report: Value,
    dir: PathBuf,
}

/// Measures and prints.
///
/// # Errors
/// When a matrix that is measured does not come to a report.
pub fn bench(project: &Project) -> Result<Exit> {
    let dir = project.work().join("bench");
    disk::discard(&dir)?;
    disk::create_dir(&dir)?;
    let mut place = Place { project, dir, number: 0 };
    let mut bench = Bench::default();

    // Sources, guest programs and what is known of accelerators are there already when a user asks again.
    place.run("getting ready", &["--only", "*/pt-reclaim-off/base", "--rebuild"])?;
    disk::discard(&place.dir.join("objects"))?;
    disk::discard(&place.dir.join("cache"))?;

    let cold = place.run("the whole matrix, cold", &[])?;
    let one = cold.report["cold_build"]["secs"].as_f64();
    let one = one.ok_or_else(|| Failure::internal("the cold matrix has no cold build"))?;
    bench.cells = cells(&cold.report).count();
    bench.rows.push(Row { what: "one cold kernel build".to_owned(), secs: one, against: None, ratio: None });
    bench.add("the whole matrix, cold", cold.secs, one);
    #[expect(clippy::cast_precision_loss, reason = "a few dozen cells")]
    let each_cold = one * bench.cells as f64;
    bench.rows.push(Row {
        what: "the whole matrix, cold".to_owned(),
        secs: cold.secs,
        against: Some("a cold build for each cell"),
        ratio: Some(cold.secs / each_cold),
    });
    bench.parts = parts(&cold.report);

    let recorded = place.run("nothing changed, on record", &["--recorded"])?;
    bench.add("nothing changed, on record", recorded.secs, one);
    let fresh = place.run("nothing changed, booted again", &["--fresh"])?;
    bench.add("nothing changed, booted again", fresh.secs, one);

    let quick = place.run("nothing changed, booted again, quick suite", &["--suite", "quick"])?;
    bench.add("nothing changed, booted again, quick suite", quick.secs, one);

    for (number, (what, more)) in [
        ("one line edited, one cell", &["--only", ONE_CELL][..]),
        ("one line edited, one cell, quick suite", &["--only", ONE_CELL, "--suite", "quick"]),
        ("one line edited, all cells", &[]),
        ("one line edited, all cells, quick suite", &["--suite", "quick"]),
    ]
    .into_iter()
    .enumerate()
    {
        let edited = place.edited_patch(number)?;
        let args = [&["--recorded", "--patch", &edited], more].concat();
        let ran = place.run(what, &args)?;
        bench.add(what, ran.secs, one);
    }
    bench.boots(&place, &fresh)?;
    for (what, path) in [
        ("source of one tree", project.work().join("source/7.2")),
        ("objects of it", place.dir.join("objects")),
        ("cache", place.dir.join("cache")),
    ] {
        bench.disk_mib.push((what.to_owned(), mib(&path)));
    }

    let json = serde_json::to_vec_pretty(&bench).or_infra(|| "encode the benchmark".to_owned())?;
    let path = place.dir.join("bench.json");
    write_whole(&path, &json)?;
    println!("{}", bench.table());
    println!("as JSON: {}", path.display());
    Ok(Exit::Ok)
}

impl Place<'_> {
    /// Runs the matrix of the default campaign with `more` arguments.
    fn run(&mut self, what: &str, more: &[&str]) -> Result<Ran> {
        self.number += 1;
        eprintln!("bench: {what}");
        let out = self.dir.join(format!("run-{}", self.number));
        let harness = std::env::current_exe().or_infra(|| "find this program".to_owned())?;
        let mut command = Command::new(harness);
        command.args(["matrix", "--out"]).arg(&out).args(more).stdout(Stdio::null());
        command.env(OBJECTS_VARIABLE, self.dir.join("objects")).env(CACHE_VARIABLE, self.dir.join("cache"));
        let started = Instant::now();
        let status = command.status().or_infra(|| "start the matrix".to_owned())?;
        let secs = started.elapsed().as_secs_f64();
        let report = std::fs::read(out.join("report.json")).ok();
        let report = report.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let report = report.ok_or_else(|| {
            Failure::infra(format!("{what}: the matrix ended with {status} and without a report")).log(&out)
        })?;
        Ok(Ran { secs, report, dir: out })
    }

    /// The campaign's patch with one word of a comment in its source changed: the same code, another kernel.
    fn edited_patch(&self, number: usize) -> Result<String> {
        const WORD: &str = "+ * Like tlb_remove_table_sync_one() but";
        let from = self.project.root.join("patches/mmu_gather-v2.patch");
        let text = std::fs::read_to_string(&from).or_infra(|| format!("read {}", from.display()))?;
        let edited = text.replacen(WORD, &format!("{WORD} ({number})"), 1);
        // Its results are no longer the blobs that were posted.
        let edited: String = edited
            .lines()
            .filter(|line| !line.starts_with("index "))
            .map(|line| format!("{line}\n"))
            .collect();
        patch::read(edited.as_bytes(), "the edited patch")?;
        let path = self.dir.join(format!("edited-{number}.patch"));
        write_whole(&path, edited.as_bytes())?;
        Ok(path.display().to_string())
    }
}

impl Bench {
    fn add(&mut self, what: &str, secs: f64, one: f64) {
        let ratio = Some(secs / one);
        self.rows.push(Row { what: what.to_owned(), secs, against: Some("one cold build"), ratio });
    }

    /// From the start of QEMU to the guest's first word, beside the same image with nothing to run.
    fn boots(&mut self, place: &Place<'_>, fresh: &Ran) -> Result<()> {
        const TIMES: usize = 5;
        let id = cells(&fresh.report).find_map(|cell| {
            let id = cell["id"].as_str()?;
            id.ends_with("/pt-reclaim-off/base").then(|| (id.to_owned(), cell["boot_secs"].as_f64()))
        });
        let Some((id, Some(_))) = id else { return Ok(()) };
        let kernel = fresh.dir.join("cells").join(&id).join(arch::DEFAULT.kept());
        let accel = match fresh.report["accels"][0]["name"].as_str() {
            Some("kvm") => Accel::Kvm,
            _ => Accel::Tcg,
        };
        let work = place.dir.join("bare");
        let bare: Vec<f64> = (0..TIMES)
            .map(|_| accel::bare_boot(accel, arch::DEFAULT, &kernel, &work))
            .collect::<Result<_>>()?;
        let times = TIMES.to_string();
        let again = Place { project: place.project, dir: place.dir.clone(), number: 100 }
            .run("boots of one kernel", &["--only", &id, "--repeat", &times])?;
        let evidence = std::fs::read(again.dir.join("cells").join(&id).join("evidence.json"));
        let evidence: Value = evidence
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| Failure::internal(format!("{id} left no evidence")))?;
        let boots =
            std::iter::once(&evidence["boot"]).chain(evidence["repeats"].as_array().into_iter().flatten());
        let guest = median(boots.filter_map(|boot| boot["boot_secs"].as_f64()).collect());
        let bare = median(bare);
        self.rows.push(Row {
            what: format!("bare boot (median of {TIMES})"),
            secs: bare,
            against: None,
            ratio: None,
        });
        self.rows.push(Row {
            what: format!("boot to the first test (median of {TIMES})"),
            secs: guest,
            against: Some("a bare boot"),
            ratio: Some(guest / bare),
        });
        Ok(())
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header(["measured", "seconds", "ratio", "to"]);
        for row in &self.rows {
            let ratio = row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            table.add_row([&row.what, &format!("{:.1}", row.secs), &ratio, row.against.unwrap_or_default()]);
        }
        let parts = self.parts.iter().map(|(what, secs)| format!("{what} {secs:.0} s"));
        let disk = self.disk_mib.iter().map(|(what, mib)| format!("{what} {mib} MiB"));
        format!(
            "{table}\n{} cells; sums over them: {}\non disk: {}",
            self.cells,
            parts.collect::<Vec<_>>().join(", "),
            disk.collect::<Vec<_>>().join(", ")
        )
    }
}

fn cells(report: &Value) -> impl Iterator<Item = &Value> {
    report["cells"].as_array().into_iter().flatten()
}

/// What the cells of a matrix were busy with.
fn parts(report: &Value) -> Vec<(String, f64)> {
    let sum = |of: &dyn Fn(&Value) -> Option<f64>| cells(report).filter_map(of).sum::<f64>();
    let secs = |name: &'static str| move |cell: &Value| cell[name].as_f64();
    vec![
        ("sources".to_owned(), report["fetch_secs"].as_f64().unwrap_or_default()),
        ("configure".to_owned(), sum(&secs("configure_secs"))),
        ("compile and link".to_owned(), sum(&secs("build_secs")) - sum(&secs("configure_secs"))),
        ("boot".to_owned(), sum(&secs("boot_secs"))),
        ("test".to_owned(), sum(&secs("test_secs"))),
        ("wall".to_owned(), report["wall_secs"].as_f64().unwrap_or_default()),
    ]
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Of everything below `dir`; a file with two names counts once.
fn mib(dir: &Path) -> u64 {
    let text = duct::cmd!("du", "-sm", dir).stderr_null().unchecked().read().unwrap_or_default();
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patch_can_be_edited_and_still_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let project = Project::here();
        let place = Place { project: &project, dir: dir.path().to_owned(), number: 0 };
        let edited = std::fs::read_to_string(place.edited_patch(3).unwrap()).unwrap();
        assert!(edited.contains("but (3)"), "{edited}");
    }

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).is_nan());
    }
}
