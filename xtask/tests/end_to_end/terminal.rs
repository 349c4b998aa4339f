//! Closed pipes, NO_COLOR, and terminals that show plain text only.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::bench::Bench;

/// The write end of a pipe without a reader.
fn closed() -> Stdio {
    let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let writer = reader.stdin.take().unwrap();
    reader.wait().unwrap();
    writer.into()
}

/// Each command that prints and runs no matrix.
const PRINTS: [&[&str]; 6] = [
    &["patch", "p.patch", "--campaign", "./c.yaml", "--tree", "7.2=tree"],
    &["matrix", "--campaign", "./c.yaml", "--tree", "7.2=tree", "--dry-run"],
    &["cache"],
    &["cache", "--clean"],
    &["doctor"],
    &["--help"],
];

#[test]
fn closed_pipe_does_not_change_the_exit_code() {
    let bench = Bench::new();
    let seed = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../patches/mmu_gather-v2.patch");
    bench.write("p.patch", &std::fs::read_to_string(seed).unwrap());
    for args in PRINTS {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let read = bench.command(&args, &[]).output().unwrap();
        assert!(!read.stdout.is_empty(), "{args:?} prints nothing");
        let unread = bench.command(&args, &[]).stdout(closed()).output().unwrap();
        assert_eq!(unread.status.code(), read.status.code(), "{args:?}");
        let said = String::from_utf8_lossy(&unread.stderr);
        assert!(!said.contains("panicked") && !said.contains("Broken pipe"), "{args:?}: {said}");
        let unheard = bench.command(&args, &[]).stdout(closed()).stderr(closed()).status().unwrap();
        assert_eq!(unheard.code(), read.status.code(), "{args:?}");
    }
}

#[test]
fn closed_stderr_does_not_change_the_exit_code() {
    let bench = Bench::new();
    let refused = bench.command(&bench.matrix(&["--patch", "none"]), &[]).stderr(closed()).status().unwrap();
    assert_eq!(refused.code(), Some(2));
}

#[test]
fn matrix_with_closed_pipes_writes_its_report() {
    for (fault, exit) in [("", 0), ("taint", 1)] {
        let bench = Bench::new();
        let mut command = bench.command(&bench.matrix(&["--verbose"]), &[("STAND_IN_QEMU", fault)]);
        let status = command.stdout(closed()).stderr(closed()).status().unwrap();
        assert_eq!(status.code(), Some(exit), "{fault}");
        let run = bench.path("work/runs/latest");
        for file in ["report.txt", "report.json", "junit.xml"] {
            assert!(std::fs::metadata(run.join(file)).unwrap().len() > 0, "{file}");
        }
    }
}

#[test]
fn matrix_whose_pipe_closes_early_writes_its_report() {
    let bench = Bench::new();
    let mut child = bench.start(&["--format", "json"], &[]);
    let mut first = [0; 1];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(bench.report()["pairs"][0]["verdict"], "pass");
}

#[test]
fn output_to_a_full_disk_is_an_error_and_the_report_is_written() {
    let bench = Bench::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = bench.command(&bench.matrix(&[]), &[]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("could not write to standard output"));
    assert!(bench.path("work/runs/latest/report.txt").exists());
}

/// Both ends of a new pseudoterminal.
fn terminal() -> (File, File) {
    let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&near).and_then(|()| unlockpt(&near)).unwrap();
    let name = ptsname(&near, Vec::new()).unwrap().into_string().unwrap();
    tcsetwinsize(&near, Winsize { ws_row: 40, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let far = File::options().read(true).write(true).open(name).unwrap();
    (File::from(near), far)
}

/// What `command` writes to a terminal.
fn on_terminal(mut command: Command) -> String {
    let (mut near, far) = terminal();
    assert!(far.as_raw_fd() >= 0);
    command.stdout(far.try_clone().unwrap()).stderr(far.try_clone().unwrap());
    let mut child = command.spawn().unwrap();
    // `command` holds copies of the far end as well.
    drop((command, far));
    let mut written = Vec::new();
    // Ends with EIO when the far end is closed.
    let _ = near.read_to_end(&mut written);
    child.wait().unwrap();
    String::from_utf8(written).unwrap()
}

fn matrix_on_terminal(env: &[(&str, &str)]) -> String {
    let bench = Bench::new();
    let mut command = bench.command(&bench.matrix(&[]), &[]);
    command.env_remove("NO_COLOR").env("TERM", "xterm-256color").envs(env.iter().copied());
    let written = on_terminal(command);
    assert!(written.contains("7.2/x86_64/v/patched"), "{written}");
    assert!(written.contains("What does it cost?"), "{written}");
    written
}

#[test]
fn details_are_in_a_file_and_on_the_screen_only_when_asked_for() {
    let bench = Bench::new();
    let detail = "8: 8 send -> 8 wait";
    let outcome = bench.run(&[], &[]);
    assert!(outcome.stdout.lines().count() < 20 && !outcome.stdout.contains(detail), "{outcome:?}");
    let file = std::fs::read_to_string(bench.path("work/runs/latest/report.txt")).unwrap();
    assert!(file.starts_with(&outcome.stdout) && file.contains(detail), "{file}");
    let verbose = bench.run(&["--verbose"], &[]);
    assert!(verbose.stdout.contains(detail), "{verbose:?}");
}

#[test]
fn failure_names_files_that_are_there() {
    let files = |fault: (&str, &str)| {
        let bench = Bench::new();
        let outcome = bench.run(&[], &[fault]);
        let names: Vec<String> = outcome
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("  ")?.split_once(" cells/"))
            .map(|(what, path)| {
                assert!(bench.path("work/runs/latest/cells").join(path).exists(), "{path}: {outcome:?}");
                what.trim().to_owned()
            })
            .collect();
        names
    };
    assert_eq!(files(("STAND_IN_QEMU", "taint")), ["repeat:", "console:"]);
    assert_eq!(files(("STAND_IN_MAKE", "compile-error")), ["build:"]);
    assert!(files(("STAND_IN_QEMU", "")).is_empty());
}

/// `ESC [ … m`.
fn has_colour(written: &str) -> bool {
    written
        .split("\u{1b}[")
        .skip(1)
        .any(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m'))
}

#[test]
fn terminal_gets_live_lines_and_colours() {
    let written = matrix_on_terminal(&[]);
    assert!(has_colour(&written), "{written:?}");
    assert!(written.contains("\u{1b}[1A") || written.contains("\u{1b}[2K"), "{written:?}");
    assert!(has_colour(&matrix_on_terminal(&[("NO_COLOR", "")])), "an empty NO_COLOR counts");
}

#[test]
fn no_color_removes_only_the_colours() {
    for value in ["1", "0", "false"] {
        let written = matrix_on_terminal(&[("NO_COLOR", value)]);
        assert!(!has_colour(&written), "{written:?}");
        assert!(written.contains("\u{1b}["), "no live display: {written:?}");
    }
}

#[test]
fn dumb_terminal_gets_plain_lines() {
    for term in ["dumb", ""] {
        let written = matrix_on_terminal(&[("TERM", term)]);
        assert!(!written.contains('\u{1b}'), "{written:?}");
        assert!(written.contains("7.2/x86_64/v/patched: boot"), "{written:?}");
    }
}

#[test]
fn hostile_text_is_escaped_on_a_terminal() {
    let bench = Bench::new();
    let mut command = bench.command(&bench.matrix(&[]), &[("STAND_IN_QEMU", "broken-hostile")]);
    command.env_remove("NO_COLOR").env("TERM", "xterm-256color");
    let written = on_terminal(command);
    assert!(written.contains("not carried out: \\x1b]0;t\\x07\\x1b[2J"), "{written:?}");
    for bad in ["\u{1b}]0;t", "\u{1b}[2J", "\u{7}", "\u{9b}", "\u{202e}", "\u{fffe}", "\0"] {
        assert!(!written.contains(bad), "{bad:?} in {written:?}");
    }
}

#[test]
fn help_has_no_colours_where_none_are_wanted() {
    let bench = Bench::new();
    let help = |env: (&str, &str)| {
        let mut command = bench.command(&["--help".to_owned()], &[]);
        command.env_remove("NO_COLOR").env("TERM", "xterm-256color").env(env.0, env.1);
        on_terminal(command)
    };
    // As a CI system sets it.
    let in_ci = |mut command: std::process::Command| {
        command.env_remove("NO_COLOR").env("TERM", "dumb").env("CI", "true");
        on_terminal(command)
    };
    assert!(!in_ci(bench.command(&["--help".to_owned()], &[])).contains('\u{1b}'));
    assert!(!in_ci(bench.command(&["nonsense".to_owned()], &[])).contains('\u{1b}'));
    assert!(help(("TERM", "xterm")).contains('\u{1b}'));
    assert!(!help(("TERM", "dumb")).contains('\u{1b}'));
    assert!(!help(("NO_COLOR", "1")).contains('\u{1b}'));
}
