//! `cargo xtask completion SHELL` and `cargo xtask man`: the command line as a shell and as man(1) take it, from its own
//! definition. Needs no checkout.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::host::terminal;
use failure::{Context, Exit, Failure, Result};

#[derive(Debug, Args)]
pub struct CompletionArgs {
    #[arg(value_enum)]
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManArgs {
    /// Of this command, such as matrix [default: of the whole]
    pub command: Option<String>,
}

/// The name of the binary: a shell completes by the first word.
const PROGRAM: &str = "xtask";

/// cargo completes its own commands, and of an alias such as `xtask` it knows the name alone. Bash lets the words after it be handed
/// to the completion of the binary. Whatever completed `cargo` before goes on to do so.
const BASH_CARGO: &str = r#"
_cargo_xtask() {
    if [[ ${COMP_WORDS[1]} == xtask && $COMP_CWORD -gt 1 ]]; then
        COMP_WORDS=("${COMP_WORDS[@]:1}")
        COMP_CWORD=$((COMP_CWORD - 1))
        _xtask xtask "$2" "$3"
    elif declare -F _cargo > /dev/null; then
        _cargo "$@"
    else
        COMPREPLY=($(compgen -W xtask -- "$2"))
    fi
}
complete -F _cargo_xtask -o bashdefault -o default cargo
"#;

/// Prints the script for a shell.
///
/// # Errors
/// When standard output does not take it.
pub fn completion(command: Command, args: &CompletionArgs) -> Result<Exit> {
    let mut script = Vec::new();
    let mut command = command.name(PROGRAM).bin_name(PROGRAM);
    clap_complete::generate(args.shell, &mut command, PROGRAM, &mut script);
    let mut script = String::from_utf8(script).or_infra(|| "write the completion".to_owned())?;
    if args.shell == Shell::Bash {
        script.push_str(BASH_CARGO);
    }
    terminal::print_as_it_is(&script)?;
    Ok(Exit::Ok)
}

/// Prints the manual page.
///
/// # Errors
/// When there is no such command, or standard output does not take it.
pub fn man(mut command: Command, args: &ManArgs) -> Result<Exit> {
    command.build();
    let (page, title) = match &args.command {
        None => (command, "cargo-xtask".to_owned()),
        Some(name) => {
            let found = command.find_subcommand(name).cloned();
            let found = found.ok_or_else(|| {
                Failure::usage(format!("there is no command `{name}`")).next("cargo xtask --help lists them")
            })?;
            (found, format!("cargo-xtask-{name}"))
        }
    };
    let mut roff = Vec::new();
    let page = clap_mangen::Man::new(page).title(title);
    page.render(&mut roff).or_infra(|| "write the manual page".to_owned())?;
    let roff = String::from_utf8(roff).or_infra(|| "write the manual page".to_owned())?;
    terminal::print_as_it_is(&roff)?;
    Ok(Exit::Ok)
}
