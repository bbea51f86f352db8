//! `wiber-bench` drives a broker and measures it. Each command prints one line of JSON; `bench/run` calls them.
//!
//! It speaks the protocol itself, so that what it measures is the broker and not a client library, and it may drive
//! every broker that speaks Kafka's protocol.

mod client;
mod compaction;
mod error;
mod groups;
mod ideal;
mod latency;
mod load;
mod startup;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use crate::client::{Client, TopicSpec};
use crate::error::BenchError;
use crate::load::{Load, Pace};
use crate::startup::{Launch, Probe};

/// Drives a broker and measures it.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Creates topics, waits until all have leaders, and prints how long that took.
    CreateTopics(CreateTopics),
    /// Deletes topics.
    DeleteTopics {
        /// The broker.
        #[arg(long, value_name = "HOST:PORT")]
        connect: SocketAddr,
        /// The topics.
        #[arg(required = true)]
        topics: Vec<String>,
    },
    /// Produces at a fixed rate (open loop), or as fast as the answers come (closed loop), and prints the latencies.
    Produce(Produce),
    /// Starts a broker and prints the time until it acknowledged a first record.
    FirstAck(FirstAnswer),
    /// Starts a broker and prints the time until it gave the last record of a topic that it had before.
    FirstFetch {
        #[command(flatten)]
        start: FirstAnswer,
        /// How many records partition 0 of the topic must hold.
        #[arg(long, default_value_t = 1)]
        expect_records: i64,
    },
    /// Starts a broker and prints the time until it gave all offsets that groups had committed before.
    FirstOffsets {
        #[command(flatten)]
        start: FirstAnswer,
        /// How many groups.
        #[arg(long, default_value_t = 10_000)]
        groups: usize,
        /// For how many partitions each has committed.
        #[arg(long, default_value_t = 10)]
        partitions: i32,
    },
    /// Produces records with keys, for a compaction.
    FillKeys(compaction::FillKeys),
    /// Has a topic compacted, and prints how long that took.
    Compact(compaction::Compact),
    /// Commits once for each of many groups.
    CommitGroups(groups::CommitGroups),
    /// Has fetches and members of groups wait, and prints what that costs the broker, and how soon those that wait are woken.
    Wait(groups::Wait),
    /// Runs the ideal broker: the least that a broker can do for a produce, to compare others with.
    Ideal(ideal::Options),
}

#[derive(Args)]
struct CreateTopics {
    /// The broker.
    #[arg(long, value_name = "HOST:PORT")]
    connect: SocketAddr,
    /// The name; with a count above one, `-0`, `-1`, ... are appended.
    #[arg(long)]
    topic: String,
    /// How many topics.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Partitions of each.
    #[arg(long, default_value_t = 1)]
    partitions: i32,
    /// A setting of the topics, such as `wiber.durability=relaxed`.
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = parse_setting)]
    configs: Vec<(String, String)>,
}

#[derive(Args)]
struct Produce {
    /// The broker.
    #[arg(long, value_name = "HOST:PORT")]
    connect: SocketAddr,
    /// The topic, which exists.
    #[arg(long)]
    topic: String,
    /// Partitions to spread over, request by request.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// Records to send.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
    /// Bytes of each record's value.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(..=4 << 20))]
    size: u32,
    /// Records a second over all connections, each with its time fixed beforehand; 0 sends as fast as answers come.
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// Records of a request. At a rate R the first of them waits (BATCH - 1) / R for the last, as with a linger time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    batch: u64,
    /// Connections, used in turn.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: u16,
    /// Requests on the way on each connection, if the rate is 0.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
    /// The first records, which are sent and not counted.
    #[arg(long, default_value_t = 0)]
    warm_up_records: u64,
}

#[derive(Args)]
struct FirstAnswer {
    /// Where the broker will listen.
    #[arg(long, value_name = "HOST:PORT")]
    connect: SocketAddr,
    /// The topic; `first-ack` has it created if it does not exist.
    #[arg(long, default_value = "first")]
    topic: String,
    /// The core that the broker is pinned to.
    #[arg(long)]
    broker_cpu: Option<usize>,
    /// Where the broker's output goes.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Seconds until the attempt is given up.
    #[arg(long, default_value_t = 60)]
    deadline_s: u64,
    /// The broker's command line.
    #[arg(last = true, required = true)]
    broker: Vec<String>,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wiber-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), BenchError> {
    match command {
        Command::CreateTopics(options) => {
            let spec = TopicSpec {
                names: names(&options.topic, options.count),
                partitions: options.partitions,
                configs: options.configs,
            };
            print(&Client::connect(options.connect)?.create_topics(&spec)?)
        }
        Command::DeleteTopics { connect, topics } => {
            Client::connect(connect)?.delete_topics(&topics)
        }
        Command::Produce(options) => print(&Load::new(options.into()).run()?),
        Command::FirstAck(start) => print(&start.launch().measure(&Probe::Produce)?),
        Command::FirstFetch {
            start,
            expect_records,
        } => print(&start.launch().measure(&Probe::Fetch { expect_records })?),
        Command::FirstOffsets {
            start,
            groups,
            partitions,
        } => print(
            &start
                .launch()
                .measure(&Probe::Offsets { groups, partitions })?,
        ),
        Command::FillKeys(options) => print(&options.run()?),
        Command::Compact(options) => print(&options.run()?),
        Command::CommitGroups(options) => print(&options.run()?),
        Command::Wait(options) => print(&options.run()?),
        Command::Ideal(options) => ideal::serve(&options),
    }
}

fn print(result: &impl Serialize) -> Result<(), BenchError> {
    println!("{}", serde_json::to_string(result)?);
    Ok(())
}

fn names(topic: &str, count: u32) -> Vec<String> {
    if count == 1 {
        vec![topic.to_owned()]
    } else {
        (0..count)
            .map(|number| format!("{topic}-{number}"))
            .collect()
    }
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "must be KEY=VALUE".to_owned())
}

impl From<Produce> for load::Options {
    fn from(options: Produce) -> load::Options {
        load::Options {
            broker: options.connect,
            topic: options.topic,
            partitions: options.partitions,
            records: options.records,
            value_bytes: options.size as usize,
            batch: options.batch,
            connections: options.connections,
            warm_up_records: options.warm_up_records,
            pace: match options.rate {
                0 => Pace::Closed {
                    in_flight: options.in_flight,
                },
                records_per_s => Pace::Open { records_per_s },
            },
        }
    }
}

impl FirstAnswer {
    fn launch(self) -> Launch {
        Launch {
            command: self.broker,
            broker: self.connect,
            topic: self.topic,
            broker_cpu: self.broker_cpu,
            log: self.log,
            deadline: Duration::from_secs(self.deadline_s),
        }
    }
}
