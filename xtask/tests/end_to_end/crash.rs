//! A panic is exit code 70 and an error for people, in whichever thread it was.

use crate::bench::example;

/// Exit code and standard error of the example.
fn crash(how: &str, trace: bool) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(example("crash"));
    command.arg(how).env_remove("RUST_LIB_BACKTRACE");
    let output = command.env("RUST_BACKTRACE", if trace { "1" } else { "0" }).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_panic_exits_70_and_says_what_where_and_how_to_report_it() {
    for (how, thread) in [("main", "main"), ("thread", "reader"), ("scope", "a thread")] {
        let (exit, said) = crash(how, false);
        assert_eq!(exit, Some(70), "{how}: {said}");
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[0], "error: a bug in patchproof: a stand-in\\x1b[2J for a bug", "{said}");
        assert!(lines[1].starts_with("  why:  at xtask/examples/crash.rs:"), "{said}");
        assert!(lines[1].ends_with(&format!("in thread {thread}").replace("thread a ", "a ")), "{said}");
        assert!(lines[2..].iter().all(|line| line.starts_with("  next: ")), "said once: {said}");
        assert!(said.contains("report it to the maintainers") && said.contains("RUST_BACKTRACE=1"), "{said}");
    }
}

#[test]
fn a_backtrace_is_shown_where_it_is_asked_for() {
    let (exit, said) = crash("main", true);
    assert!(exit == Some(70) && said.contains("crash::work"), "{said}");
}

#[test]
fn without_a_panic_the_exit_code_is_the_outcomes() {
    assert_eq!(crash("none", false), (Some(0), String::new()));
    assert_eq!(crash("fails", false), (Some(2), String::new()));
}
