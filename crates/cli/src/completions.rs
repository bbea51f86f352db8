//! `wiber completions`: what a shell needs to complete commands and flags.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;

use crate::failure::{Failure, exit_code};
use crate::output;

/// Prints what a shell needs to complete commands and flags.
#[derive(Args)]
#[command(after_help = "\
Examples:
  source <(wiber completions bash)
  wiber completions zsh > \"${fpath[1]}/_wiber\"
  wiber completions fish > ~/.config/fish/completions/wiber.fish")]
pub struct Arguments {
    /// The shell.
    shell: ShellName,
}

#[derive(Clone, Copy, ValueEnum)]
enum ShellName {
    Bash,
    Zsh,
    Fish,
}

/// Prints it.
pub fn run(arguments: &Arguments, command: &mut Command) -> ExitCode {
    let shell = match arguments.shell {
        ShellName::Bash => Shell::Bash,
        ShellName::Zsh => Shell::Zsh,
        ShellName::Fish => Shell::Fish,
    };
    // The generator panics where it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "wiber", &mut script);
    let written =
        output::open().and_then(|()| io::stdout().write_all(&script).map_err(Failure::from));
    exit_code(written)
}
