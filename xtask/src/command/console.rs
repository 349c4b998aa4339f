//! `cargo xtask console FILE…`: what a saved console, `dmesg` or serial log holds.

mod vmlinux;

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use serde::Serialize;

use crate::command::cli::{self, Format};
use crate::host::input::{self, shown};
use crate::host::terminal;
use console::{Console, Splat};
use failure::{Context, Exit, Failure, Result, escape};

/// What was found in one log.
#[derive(Debug, Serialize)]
struct FoundSplats {
    file: String,
    /// All reports, also those beyond the ones that are kept.
    total: u64,
    reports: Vec<Splat>,
}

/// Shows the reports of each file; exit 0 if there are none, 1 if there are.
///
/// # Errors
/// When a file cannot be read, or `--vmlinux` is not the kernel that printed the logs.
pub fn console(args: &cli::ConsoleArgs) -> Result<Exit> {
    let mut all = Vec::new();
    for path in &args.files {
        all.push(read(path)?);
    }
    if let Some(kernel) = &args.vmlinux {
        add_places(kernel, args.no_sandbox, &mut all)?;
    }
    match args.format {
        Format::Json => {
            let json =
                serde_json::to_string_pretty(&all).or_infra(|| "write the reports as JSON".to_owned())?;
            terminal::print_as_it_is(&format!("{}\n", escape::json(&json)))?;
        }
        Format::Human => terminal::print(&all.iter().map(show).collect::<String>())?,
    }
    Ok(if all.iter().all(|found| found.total == 0) { Exit::Ok } else { Exit::PatchFailed })
}

/// One look into the kernel for the reports of all logs.
fn add_places(kernel: &Path, no_sandbox: bool, all: &mut [FoundSplats]) -> Result<()> {
    let counts: Vec<usize> = all.iter().map(|found| found.reports.len()).collect();
    let mut reports: Vec<Splat> =
        all.iter_mut().flat_map(|found| std::mem::take(&mut found.reports)).collect();
    vmlinux::add(kernel, no_sandbox, &mut reports)?;
    let mut reports = reports.into_iter();
    for (found, kept) in all.iter_mut().zip(counts) {
        found.reports = reports.by_ref().take(kept).collect();
    }
    Ok(())
}

fn read(path: &Path) -> Result<FoundSplats> {
    let (file, from): (String, Box<dyn Read>) = match path.as_os_str() == "-" {
        true => ("standard input".to_owned(), Box::new(std::io::stdin().lock())),
        false => (shown(path), Box::new(input::CONSOLE.open_regular(path)?)),
    };
    let mut from = from.take(input::CONSOLE.most_bytes + 1);
    let (mut console, mut total) = (Console::default(), 0);
    let mut chunk = vec![0; 1 << 16];
    loop {
        let len = from
            .read(&mut chunk)
            .map_err(|error| Failure::usage(format!("cannot read {file}")).because(error.to_string()))?;
        if len == 0 {
            break;
        }
        total += len as u64;
        console.feed(&chunk[..len]);
    }
    if total > input::CONSOLE.most_bytes {
        return Err(Failure::usage(format!("{file}: larger than {} MiB", input::CONSOLE.most_bytes >> 20)));
    }
    console.finish();
    Ok(FoundSplats { file, total: console.splats_total(), reports: console.splats().to_vec() })
}

fn show(found: &FoundSplats) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = match found.total {
        0 => writeln!(out, "{}: clean", found.file),
        1 => writeln!(out, "{}: 1 report", found.file),
        total => writeln!(out, "{}: {total} reports", found.file),
    };
    for splat in &found.reports {
        let place = splat.location.as_ref().map_or(String::new(), |place| format!(" at {place}"));
        let _ = writeln!(out, "\n  {}{place}: {}", splat.kind.name(), splat.headline);
        for line in splat.text.iter().skip(1) {
            let _ = writeln!(out, "    {line}");
        }
    }
    let more = found.total - found.reports.len() as u64;
    if more > 0 {
        let _ = writeln!(out, "\n  and {more} more");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_shown_with_kind_place_and_text() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log");
        std::fs::write(&file, "mm/pgtable-generic.c:54: bad pmd 0(0)\nnote: this line is clean\n").unwrap();
        let found = read(&file).unwrap();
        assert_eq!(found.total, 1);
        assert!(
            show(&found).contains("bad-page-table at mm/pgtable-generic.c:54: mm/pgtable"),
            "{}",
            show(&found)
        );
        std::fs::write(&file, "Linux version 7.2.12\n").unwrap();
        assert!(show(&read(&file).unwrap()).ends_with("log: clean\n"));
        assert!(read(dir.path()).unwrap_err().to_string().contains("it is a directory"));
    }
}
