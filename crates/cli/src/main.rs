//! The `wiber` command: a broker, tools to look at its data, and a client for any broker that speaks the Kafka protocol.
//!
//! What goes wrong is one line on standard error that says what to do, and exit code 1; wrong usage is exit code 2.

mod cluster;
mod completions;
mod config;
mod confirm;
mod connect;
mod consume;
mod failure;
mod group;
mod log;
mod logging;
mod moment;
mod number;
mod output;
mod produce;
mod progress;
mod record_json;
mod serve;
mod settings;
mod topic;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// A distributed, durable message log that speaks the Apache Kafka protocol.
#[derive(Parser)]
#[command(name = "wiber", version, propagate_version = true)]
#[command(after_help = "\
To begin with, a broker in one terminal and a client in another:
  wiber serve
  wiber produce chat 'Hello'
  wiber consume chat --history 5")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Arguments),
    #[command(subcommand)]
    Topic(topic::Command),
    Produce(produce::Arguments),
    Consume(consume::Arguments),
    #[command(subcommand)]
    Group(group::Command),
    #[command(subcommand)]
    Config(config::Command),
    #[command(subcommand)]
    Cluster(cluster::Command),
    #[command(subcommand)]
    Log(log::Command),
    Completions(completions::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Topic(command) => topic::run(command),
        Command::Produce(arguments) => produce::run(arguments),
        Command::Consume(arguments) => consume::run(arguments),
        Command::Group(command) => group::run(command),
        Command::Config(command) => config::run(command),
        Command::Cluster(command) => cluster::run(command),
        Command::Log(command) => log::run(&command),
        Command::Completions(arguments) => completions::run(&arguments, &mut Arguments::command()),
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
