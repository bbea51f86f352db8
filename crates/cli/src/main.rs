//! The `wiber` command: a broker, and tools to look at its data.
//!
//! What goes wrong is one line on standard error that says what to do, and exit code 1.

mod config;
mod log;
mod logging;
mod serve;
mod settings;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A distributed, durable message log that speaks the Apache Kafka protocol.
#[derive(Parser)]
#[command(name = "wiber", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Arguments),
    #[command(subcommand)]
    Config(config::Command),
    #[command(subcommand)]
    Log(log::Command),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Config(command) => config::run(&command),
        Command::Log(command) => log::run(&command),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_command_line_makes_sense() {
        Arguments::command().debug_assert();
    }
}
