//! `wiber config`: a broker's settings.

mod check;

use std::process::ExitCode;

use clap::Subcommand;

/// A broker's settings.
#[derive(Subcommand)]
pub enum Command {
    Check(check::Arguments),
}

/// Runs the command.
pub fn run(command: &Command) -> ExitCode {
    match command {
        Command::Check(arguments) => check::run(arguments),
    }
}
