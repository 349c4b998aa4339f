//! The whole command line: what the harness is asked, and the chores, which its help lists apart. Nothing is decided here.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Write;

use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::chores::Chore;
use crate::command::describe::{CompletionArgs, ManArgs};
use crate::command::{self, describe};
use crate::host::terminal::{self, Look};
use failure::{Exit, Result, escape};

/// Validate a Linux kernel patch by experiment: build it, boot it, force the patched path to run, look for
/// every sign of trouble, beside the same kernel without the patch.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Verb,
}

impl Cli {
    /// Reads the command line; ends the program where it asks for help or is wrong.
    pub fn read() -> Cli {
        // By itself clap colours a dumb terminal where `CI` is set.
        let wanted = Look::of(&std::io::stdout()).colour || Look::of(&std::io::stderr()).colour;
        let colour = if wanted { ColorChoice::Auto } else { ColorChoice::Never };
        let mut command = whole().color(colour);
        let matches = command.try_get_matches_from_mut(std::env::args_os());
        let read = matches.and_then(|matches| Cli::from_arg_matches(&matches));
        read.map_err(|error| error.format(&mut command)).unwrap_or_else(|error| {
            let is_plain = |arg: &OsString| matches!(escape::line(&arg.to_string_lossy()), Cow::Borrowed(_));
            if std::env::args_os().all(|arg| is_plain(&arg)) {
                error.exit();
            }
            // clap repeats arguments unescaped, and a shell's glob may have put any file name there.
            terminal::say(error.render().to_string().trim_end());
            std::process::exit(error.exit_code())
        })
    }
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    #[command(flatten)]
    Product(Box<command::cli::Command>),
    /// Print what completes this command line in a shell: docs/shell.md says how to load it
    Completion(CompletionArgs),
    /// Print the manual page of the whole or of one command, as roff
    Man(ManArgs),
    #[command(flatten)]
    Chore(Chore),
}

impl Verb {
    /// Does what needs the command line alone, and no checkout; None for all else.
    pub fn describe(&self) -> Option<Result<Exit>> {
        match self {
            Verb::Completion(args) => Some(describe::completion(whole(), args)),
            Verb::Man(args) => Some(describe::man(whole(), args)),
            Verb::Product(_) | Verb::Chore(_) => None,
        }
    }
}

const EXIT_CODES: &str = "Exit codes: 0 all pairs pass or are fixed, 1 the patch failed, 2 usage, 3 no verdict (vacuous, base also \
                        fails, host trouble), 4 the patch file was refused, 5 a weak pass, 70 a bug in the harness, \
                        130 interrupted. A closed output pipe (`| head -1`) changes neither what the command does nor \
                        its exit code.";

/// The command line with the chores below what the harness is for.
fn whole() -> clap::Command {
    let mut command = Cli::command();
    let mut help = "Chores of those who work on patchproof itself:\n".to_owned();
    for chore in Chore::augment_subcommands(clap::Command::new("chores")).get_subcommands() {
        let about = chore.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(help, "  {:10}{about}", chore.get_name());
        command = command.mut_subcommand(chore.get_name(), |chore| chore.hide(true));
    }
    command.after_help(format!("{help}\n{EXIT_CODES}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        whole().debug_assert();
    }

    #[test]
    fn chores_stand_apart_in_the_help() {
        let help = whole().render_help().to_string();
        let (commands, chores) = help.split_once("Chores of those").unwrap();
        assert!(commands.contains("  matrix ") && !commands.contains("  ci "), "{help}");
        assert!(chores.contains("  ci ") && chores.contains("Exit codes: "), "{help}");
    }
}
