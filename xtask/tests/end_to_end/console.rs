//! `cargo xtask console`: exit codes, and file and line from a small program that stands for the kernel.

use std::process::Command;

use crate::bench::{Bench, Outcome};

/// `deep` stands at line 2.
const SOURCE: &str =
    "extern int x;\nint deep(void) { return x; }\nint x; int main(void) { return deep(); }\n";

fn compile(bench: &Bench, name: &str, flags: &[&str]) {
    bench.write("deep.c", SOURCE);
    let mut gcc = Command::new("/usr/bin/gcc");
    let status = gcc.args(["-O0", "-o", name, "deep.c"]).args(flags).current_dir(bench.path("")).status();
    assert!(status.unwrap().success());
}

/// Up to the next symbol, as /proc/kallsyms counts it.
fn size_of_deep(bench: &Bench, program: &str) -> u64 {
    let nm = Command::new("nm").arg("-n").arg(bench.path(program)).output().unwrap();
    let text = String::from_utf8(nm.stdout).unwrap();
    let addresses: Vec<(u64, &str)> = text
        .lines()
        .filter_map(|line| {
            let (address, rest) = line.split_once(' ')?;
            Some((u64::from_str_radix(address, 16).ok()?, rest))
        })
        .collect();
    let at = addresses.iter().position(|(_, rest)| *rest == "T deep").unwrap();
    addresses[at + 1].0 - addresses[at].0
}

fn warning(size: u64) -> String {
    format!(
        "[    1.0] ------------[ cut here ]------------\n[    1.0] WARNING: at deep+0x1/0x{size:x}, CPU#0: a/1\n\
         [    1.0] Call Trace:\n[    1.0]  <TASK>\n[    1.0]  deep+0x2/0x{size:x}\n[    1.0]  </TASK>\n\
         [    1.0] ---[ end trace 0000000000000000 ]---\n"
    )
}

fn console(bench: &Bench, args: &[&str]) -> Outcome {
    let args: Vec<String> = ["console", "log"].iter().chain(args).map(ToString::to_string).collect();
    bench.finish(bench.command(&args, &[]))
}

#[test]
fn vmlinux_adds_file_and_line_to_place_and_stack() {
    let bench = Bench::new();
    compile(&bench, "vmlinux", &["-g"]);
    bench.write("log", &warning(size_of_deep(&bench, "vmlinux")));
    let text = console(&bench, &["--vmlinux", "vmlinux"]);
    assert_eq!(text.exit, Some(1), "{text:?}");
    assert!(text.stdout.contains("deep.c:2: WARNING: at deep+"), "{text:?}");
    assert!(
        text.stdout.lines().any(|line| line.contains(" deep+0x2/") && line.ends_with("deep.c:2)")),
        "{text:?}"
    );
    let json = console(&bench, &["--vmlinux", "vmlinux", "--format", "json"]);
    let found: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let report = &found[0]["reports"][0];
    assert!(report["location"].as_str().unwrap().ends_with("deep.c:2"), "{json:?}");
    assert!(report["text"][4].as_str().unwrap().ends_with("deep.c:2)"), "{json:?}");
}

#[test]
fn a_kernel_that_cannot_tell_is_refused_with_the_reason() {
    let bench = Bench::new();
    compile(&bench, "vmlinux", &["-g"]);
    compile(&bench, "stripped", &[]);
    let size = size_of_deep(&bench, "vmlinux");
    bench.write("log", &warning(size + 1));
    for (kernel, says) in [
        ("log", "log is no ELF file"),
        ("stripped", "stripped has no debug information"),
        ("vmlinux", "vmlinux is not the kernel that printed this log"),
        ("vmlinux", "deep is of 0x"),
        ("none", "cannot read the kernel none"),
    ] {
        let refused = console(&bench, &["--vmlinux", kernel]);
        assert_eq!(refused.exit, Some(2), "{refused:?}");
        assert!(refused.stderr.contains(says), "`{says}` is not in {refused:?}");
    }
}
