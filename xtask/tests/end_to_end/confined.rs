//! A patch whose code is executed while it is built: what that code must not reach, and what must not outlive it.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::bench::{Bench, Outcome};

/// A run whose build executes `does`, after one that passed.
fn attacked(bench: &Bench, fault: &str, does: &str) -> Outcome {
    let outcome = bench.run(&[], &[("STAND_IN_MAKE", does)]);
    bench.survived(&format!("patch: {fault}"), &outcome);
    outcome
}

fn passed() -> Bench {
    let bench = Bench::new();
    bench.run(&[], &[]).is("pass", 0, "");
    bench
}

#[test]
fn build_code_writes_nowhere_but_among_its_objects() {
    let bench = passed();
    let work = bench.path("work");
    let mut targets = vec![
        ("the user's tree", bench.path("tree/mm/mmu_gather.c")),
        ("a stand-in of a tool", bench.path("bin/make.does")),
        ("a campaign", bench.path("c.yaml")),
        ("the results of the run before", work.join("runs/latest/report.json")),
    ];
    for (what, name) in [
        ("the copy of the source", "Makefile"),
        ("a cached kernel", "entry.json"),
        ("a cached image", "vmlinux"),
        ("what a build directory remembers", "build-dir.json"),
        ("the guest program", "init"),
    ] {
        let found = bench.find(name);
        targets.push((what, found.first().unwrap_or_else(|| panic!("no {name}")).clone()));
    }
    for (what, target) in targets {
        let before = std::fs::read(&target).unwrap();
        for way in ["writes", "links"] {
            let does = format!("{way} {}", target.display());
            let outcome = attacked(&bench, &format!("{way} to {what}"), &does);
            outcome.is("infra", 3, "ended with status 2");
        }
        let after = String::from_utf8_lossy(&std::fs::read(&target).unwrap()).into_owned();
        assert!(!after.contains("attacked"), "{what}");
        assert!(
            what.contains("run before")
                || what.contains("remembers")
                || what.contains("stand-in")
                || before == after.as_bytes(),
            "{what}"
        );
    }
}

#[test]
fn build_code_ends_no_process_and_leaves_none() {
    let bench = passed();
    attacked(&bench, "kills every process", "kills").is("infra", 3, "");
    attacked(&bench, "leaves a process behind", "stays").is("infra", 3, "ended with status 2");
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(bench.find("late"), Vec::<std::path::PathBuf>::new());
}

#[test]
fn build_code_reaches_no_listener_of_the_host() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let bench = passed();
    attacked(&bench, "connects to the host", &format!("connects {port}")).is(
        "infra",
        3,
        "ended with status 2",
    );
    assert!(listener.accept().is_err());
}

#[test]
fn a_build_that_prints_without_end_is_stopped() {
    let bench = passed();
    let outcome = attacked(&bench, "prints without end", "prints");
    outcome.is("infra", 3, "printed more than 64 MiB");
    let log = std::fs::metadata(bench.find("build.log").pop().unwrap()).unwrap();
    assert!(log.len() < 512 << 20, "{}", log.len());
}

#[test]
fn something_else_in_the_place_of_what_a_build_makes_is_not_read() {
    let bench = passed();
    for made in ["vmlinux", "System.map", ".config"] {
        for what in ["link", "pipe", "directory"] {
            let does = format!("{made}-is-{what}");
            let outcome = attacked(&bench, &format!("makes a {what} of {made}"), &does);
            assert_eq!(outcome.exit, Some(3), "{does}: {outcome:?}");
        }
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let leaked = bench.find("config").into_iter().chain(bench.find("vmlinux"));
    for file in leaked.filter(|file| file.is_file()) {
        assert!(
            !String::from_utf8_lossy(&std::fs::read(&file).unwrap()).contains(passwd.trim()),
            "{}",
            file.display()
        );
    }
}

/// The search path of the bench alone, with every tool but bubblewrap, which is `bwrap` or missing.
fn without_bubblewrap(bench: &Bench, bwrap: Option<&str>) -> Outcome {
    let tools = bench.path("tools");
    std::fs::create_dir_all(&tools).unwrap();
    for dir in ["/usr/bin", "/bin"].map(Path::new) {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            if entry.file_name() != "bwrap" {
                let _ = std::os::unix::fs::symlink(entry.path(), tools.join(entry.file_name()));
            }
        }
    }
    if let Some(text) = bwrap {
        std::fs::write(tools.join("bwrap"), text).unwrap();
        std::fs::set_permissions(tools.join("bwrap"), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", bench.path("bin").display(), tools.display());
    bench.finish(bench.command(&bench.matrix(&[]), &[("PATH", &path)]))
}

#[test]
fn without_bubblewrap_nothing_is_built_and_the_way_out_is_named() {
    let bench = passed();
    let outcome = without_bubblewrap(&bench, None);
    bench.survived("host: no bubblewrap", &outcome);
    assert_eq!(outcome.exit, Some(3), "{outcome:?}");
    assert!(outcome.stderr.contains("bwrap") && outcome.stderr.contains("bubblewrap"), "{outcome:?}");
    let refuses = "#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n";
    let outcome = without_bubblewrap(&bench, Some(refuses));
    bench.survived("host: bubblewrap is not allowed", &outcome);
    assert_eq!(outcome.exit, Some(3), "{outcome:?}");
    for words in ["cannot be confined here", "No permissions", "--no-sandbox"] {
        assert!(outcome.stderr.contains(words), "{words}: {outcome:?}");
    }
}

#[test]
fn a_run_without_a_sandbox_says_so_in_its_report() {
    let bench = Bench::new();
    let outcome = bench.run(&["--no-sandbox"], &[]);
    outcome.is("pass", 0, "");
    assert!(outcome.stdout.contains("NO SANDBOX"), "{outcome:?}");
    assert_eq!(
        (&outcome.report["unconfined"], &outcome.report["sandbox"]),
        (&true.into(), &"none (--no-sandbox)".into())
    );
    let repro = std::fs::read_to_string(bench.cell("patched").join("repro.sh")).unwrap();
    assert!(repro.contains("--no-sandbox") && !repro.contains("bwrap"), "{repro}");
    let outcome = bench.run(&[], &[]);
    assert!(!outcome.stdout.contains("NO SANDBOX") && outcome.report["unconfined"] == false, "{outcome:?}");
}

#[test]
fn what_a_run_repeats_is_what_it_ran() {
    let bench = passed();
    let cell = bench.cell("patched");
    let path = format!("{}:{}", bench.path("bin").display(), std::env::var("PATH").unwrap());
    let output = Command::new(cell.join("repro.sh")).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("Linux version 7.2.12 (stand-in)") && said.contains("\"kind\":\"trailer\""),
        "{output:?}"
    );
}

#[test]
fn a_patch_that_brings_build_code_has_its_objects_for_itself() {
    let bench = passed();
    let patch =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../patches/mmu_gather-v2.patch"))
            .unwrap();
    let with_makefile = |line: &str| {
        let added = format!(
            "diff --git a/mm/Makefile b/mm/Makefile\nnew file mode 100644\n--- /dev/null\n+++ b/mm/Makefile\n@@ -0,0 +1 @@\n+{line}\n"
        );
        // Before the signature of the mail.
        let at = patch.rfind("\n-- \n").map_or(patch.len(), |at| at + 1);
        let mut text = patch.clone();
        text.insert_str(at, &added);
        text
    };
    let build_dirs = |bench: &Bench| {
        let build_dirs = bench.find("build-dir.json").into_iter();
        let names = build_dirs
            .map(|state| state.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned());
        names.filter(|name| name.contains('~')).collect::<Vec<_>>()
    };
    assert_eq!(build_dirs(&bench), Vec::<String>::new());
    bench.write("own.patch", &with_makefile("$(shell id)"));
    let outcome = bench.run(&["--patch", "own.patch"], &[]);
    outcome.is("pass", 0, "");
    let sensitive = &outcome.report["trees"][0]["sensitive"][0];
    assert_eq!(
        (&sensitive["path"], &sensitive["why"]),
        (&"mm/Makefile".into(), &"code that the build executes".into())
    );
    assert!(outcome.stdout.contains("What should a reviewer look at?"), "{outcome:?}");
    let first = build_dirs(&bench);
    assert_eq!(first.len(), 1, "{first:?}");
    bench.write("own.patch", &with_makefile("$(shell pwd)"));
    bench.run(&["--patch", "own.patch"], &[]).is("pass", 0, "");
    let second = build_dirs(&bench);
    assert!(second.len() == 1 && second != first, "the objects of the first are gone: {second:?}");
    bench.run(&[], &[]).is("pass", 0, "");
    assert_eq!(build_dirs(&bench), Vec::<String>::new());
}
