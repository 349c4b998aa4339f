//! Whether a kernel that was built from its neighbour's objects is the one that a build from nothing gives, byte for
//! byte, in every cell of the default campaign.

use serde::Serialize;

use super::{BenchDir, BuildDirs, MeasuredRun, SCRATCH};
use crate::build;
use crate::host::disk;
use crate::host::disk::write_whole;
use crate::host::terminal;
use failure::{Context, Exit, Failure, Result};

/// One cell's two kernels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compared {
    pub cell: String,
    /// There were no objects to build from the first time either: that the two are the same then proves nothing.
    pub cold: bool,
    /// sha256 of the linked kernel; empty where there is none.
    pub incremental: String,
    pub from_nothing: String,
}

/// Builds every cell in the build directories of this project, as they are by now, and once more in a build directory
/// of its own. The latter by way of ccache if it is installed, which knows objects by what went into the compiler,
/// and nothing of what make thinks is up to date.
///
/// # Errors
/// When a matrix does not come to a report, or an image is not what a build from nothing gives: with the cells.
pub fn compare(place: &mut BenchDir<'_>) -> Result<Exit> {
    let asked = place.asked();
    let args: Vec<&str> =
        ["--rebuild", "--suite", "quick"].into_iter().chain(asked.iter().map(String::as_str)).collect();
    let all = place.run_in(BuildDirs::Users, "kernels from their neighbours' objects", &args)?;
    let built: Vec<(String, bool)> =
        all.report.cells.iter().map(|cell| (cell.id.clone(), cell.cold)).collect();
    let mut compared = Vec::new();
    for (cell, cold) in built {
        disk::discard(&place.dir.join(SCRATCH))?;
        let args = ["--only", cell.as_str(), "--rebuild", "--suite", "quick", "--ccache", "auto"];
        let scratch = place.run_in(BuildDirs::Own(SCRATCH), &format!("{cell}, from nothing"), &args)?;
        let incremental = kernel(&all, &cell)?;
        let one = Compared { cold, incremental, from_nothing: kernel(&scratch, &cell)?, cell };
        terminal::print_line(&one.render())?;
        compared.push(one);
    }
    disk::discard(&place.dir.join(SCRATCH))?;
    let json = serde_json::to_vec_pretty(&compared).or_infra(|| "encode the comparison".to_owned())?;
    let path = place.dir.join("images.json");
    write_whole(&path, &json)?;
    terminal::print_line(&sum_up(&compared))?;
    terminal::print_line(&format!("as JSON: {}", path.display()))?;
    must_be_equal(&compared)?;
    Ok(Exit::Ok)
}

fn kernel(ran: &MeasuredRun, cell: &str) -> Result<String> {
    let kernel = ran.dir.join("cells").join(cell).join(build::SYMBOLS);
    if kernel.exists() { disk::sha256(&kernel) } else { Ok(String::new()) }
}

impl Compared {
    fn is_equal(&self) -> bool {
        self.incremental == self.from_nothing
    }

    /// It could have been found out that the two are not the same.
    fn proves(&self) -> bool {
        !self.cold && !self.incremental.is_empty()
    }

    fn render(&self) -> String {
        let what = match (self.incremental.is_empty(), self.is_equal()) {
            (true, true) => "no kernel, either way",
            (false, true) if self.cold => "from nothing both times, which proves nothing",
            (false, true) => "the same",
            (_, false) => "NOT THE SAME",
        };
        format!("{}: {what} {}", self.cell, self.incremental.get(..12).unwrap_or_default())
    }
}

fn sum_up(compared: &[Compared]) -> String {
    let built: Vec<&Compared> = compared.iter().filter(|one| one.proves()).collect();
    let equal = built.iter().filter(|one| one.is_equal()).count();
    format!("kernels that are the same, byte for byte, built from nothing: {equal} of {}", built.len())
}

fn must_be_equal(compared: &[Compared]) -> Result<()> {
    if !compared.iter().any(Compared::proves) && compared.iter().all(Compared::is_equal) {
        return Err(Failure::infra("no kernel was built from other objects, so none was compared")
            .next("run the matrix first: it leaves objects to build from"));
    }
    let others = compared.iter().filter(|one| !one.is_equal());
    let others: Vec<&str> = others.map(|one| one.cell.as_str()).collect();
    if others.is_empty() {
        return Ok(());
    }
    let failure =
        Failure::internal("a kernel built from its neighbour's objects is not the one built from nothing");
    Err(others.into_iter().fold(failure, |failure, cell| failure.because(cell.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_differs_fails_and_is_named_and_a_cell_without_one_does_not_count_as_equal() {
        let one = |cell: &str, incremental: &str, from_nothing: &str| Compared {
            cell: cell.to_owned(),
            cold: false,
            incremental: incremental.to_owned(),
            from_nothing: from_nothing.to_owned(),
        };
        let good = [one("a", "1", "1"), one("stub-missing", "", "")];
        assert!(must_be_equal(&good).is_ok());
        assert!(must_be_equal(&good[1..]).is_err() && must_be_equal(&[]).is_err(), "nothing was compared");
        assert!(sum_up(&good).ends_with("1 of 1"));
        let cold = [Compared { cold: true, ..one("a", "1", "1") }, one("b", "1", "1")];
        assert!(must_be_equal(&cold[..1]).is_err() && must_be_equal(&cold).is_ok());
        assert!(sum_up(&cold).ends_with("1 of 1"));
        let differs = [Compared { cold: true, ..one("a", "1", "2") }];
        assert_eq!(must_be_equal(&differs).unwrap_err().because, ["a"]);
        let bad = [one("a", "1", "1"), one("b", "1", "2"), one("c", "1", "")];
        assert_eq!(must_be_equal(&bad).unwrap_err().because, ["b", "c"]);
        assert!(sum_up(&bad).ends_with("1 of 3"));
        let lines: Vec<String> = bad.iter().chain(&good[1..]).map(Compared::render).collect();
        assert_eq!(lines[1], "b: NOT THE SAME ");
        assert_eq!(lines[3], "stub-missing: no kernel, either way ");
    }
}
