//! The command line as shells and man(1) take it.

use std::process::Command;

use crate::bench::Bench;

fn printed(args: &[&str]) -> String {
    let bench = Bench::new();
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    // No checkout is needed for it.
    let output =
        bench.command(&args, &[]).current_dir("/").env_remove("CARGO_MANIFEST_DIR").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_completes_the_binary_and_cargo_xtask() {
    let script = printed(&["completion", "bash"]);
    let complete = |words: &str, function: &str| {
        let ask = format!(
            "COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=(); \
                           {function} \"${{COMP_WORDS[0]}}\" \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; \
                           printf '%s ' \"${{COMPREPLY[@]}}\""
        );
        let output = Command::new("bash").args(["-c", &format!("{script}\n{ask}")]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("xtask matr", "_xtask"), "matrix");
    assert_eq!(complete("cargo xtask matr", "_cargo_xtask"), "matrix");
    assert_eq!(complete("cargo xtask runs --older", "_cargo_xtask"), "--older-than");
    assert_eq!(complete("cargo xt", "_cargo_xtask"), "xtask");
}

#[test]
fn each_shell_and_each_manual_page_has_the_commands() {
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completion", shell]);
        assert!(script.contains("matrix") && script.contains("older-than"), "{shell}: {script}");
    }
    let page = printed(&["man"]);
    assert!(page.contains(".TH") && page.contains("matrix"), "{page}");
    let page = printed(&["man", "runs"]);
    assert!(page.contains("older") && page.contains(".TH cargo"), "{page}");
}
