//! A disk that takes no more, at every moment of a run. The kernel's limit on the size of a file (RLIMIT_FSIZE)
//! stands in for a full disk: it needs no root, and a write fails in the middle of a file just the same.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::bench::{Bench, SHORT_TIMEOUTS};

/// What the kernel does at the limit is to be an error and not a signal, here and in every child.
fn survives_its_limit(command: &mut Command, first_limit: Option<u64>) {
    // SAFETY: async-signal-safe calls that touch nothing of this process.
    unsafe {
        command.pre_exec(move || {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            let Some(bytes) = first_limit else { return Ok(()) };
            Ok(setrlimit(Resource::Fsize, Rlimit { current: Some(bytes), maximum: Some(bytes) })?)
        });
    }
}

fn sizes(dir: &Path, names: &[&str]) -> Vec<u64> {
    names.iter().map(|name| std::fs::metadata(dir.join(name)).unwrap().len()).collect()
}

#[test]
fn a_disk_that_is_full_while_building_and_logging_gives_no_pass() {
    let bench = Bench::new();
    bench.run(&[], &[]).is("pass", 0, "");
    let cell = bench.cell("patched");
    let mut limits = sizes(&cell, &["build.log", "config", "results.log", "initramfs.cpio", "repro.sh"]);
    // Between the smallest file of the tree that the patch changes, and the largest.
    limits.extend([1, 20_000]);
    for bytes in limits {
        // What is there already would not be written.
        let clean = bench.command(&["cache", "--clean"].map(str::to_owned), &[]);
        assert_eq!(bench.finish(clean).exit, Some(0));
        let mut command = bench.command(&bench.matrix(&[]), &[SHORT_TIMEOUTS]);
        survives_its_limit(&mut command, Some(bytes - 1));
        let outcome = bench.finish(command);
        assert_eq!(outcome.exit, Some(3), "{bytes} bytes: {outcome:?}");
        assert!(outcome.stderr.contains("why:"), "{bytes} bytes: {outcome:?}");
        bench.survived(&format!("disk: no file beyond {} bytes, from the start", bytes - 1), &outcome);
    }
}

#[test]
fn a_disk_that_is_full_while_reporting_gives_no_pass() {
    let bench = Bench::new();
    bench.run(&[], &[]).is("pass", 0, "");
    let run = bench.path("work/runs/latest");
    let mut limits = sizes(&run, &["report.json", "report.txt", "junit.xml"]);
    limits.extend(sizes(&run, &["cells/7.2/x86_64/v/patched/evidence.json"]));
    for bytes in limits {
        // The length of a file differs a little from run to run.
        let limit = (bytes * 9 / 10).to_string();
        let fills = format!("fills-disk {limit}");
        // Confined, it could not reach the harness.
        let mut command = bench.command(&bench.matrix(&["--no-sandbox"]), &[("STAND_IN_QEMU", &fills)]);
        survives_its_limit(&mut command, None);
        let outcome = bench.finish(command);
        assert_eq!(outcome.exit, Some(3), "{bytes} bytes: {outcome:?}");
        // On a busy host the other kernel is still being built at the first boot, and is not kept.
        let says_so = ["could not write", "could not keep"].iter().any(|what| outcome.stderr.contains(what));
        assert!(says_so, "{bytes} bytes: {outcome:?}");
        bench.survived(&format!("disk: no file beyond {limit} bytes, from the first boot on"), &outcome);
    }
}

#[test]
fn a_full_standard_output_is_no_success() {
    let bench = Bench::new();
    let mut command = bench.command(&bench.matrix(&[]), &[]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_ne!(output.status.code(), Some(0));
}

#[test]
fn an_output_directory_that_cannot_be_made_is_named_with_a_way_out() {
    let bench = Bench::new();
    // Modes do not stop root; a file in the way stops everyone.
    bench.write("file", "");
    let outcome = bench.run(&["--out", "file/run"], &[]);
    assert_eq!(outcome.exit, Some(3), "{outcome:?}");
    for words in ["file/run", "next:", "--out"] {
        assert!(outcome.stderr.contains(words), "{outcome:?}");
    }
    bench.survived("disk: the output directory cannot be made", &outcome);
}
