//! `wiber produce`: records from an argument, from lines of standard input, or as they are typed.
//!
//! Invariant: each record is delivered, or it is said that it was not and the exit code is 1.

mod input;
mod tally;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use tokio::sync::mpsc;
use wiber_client::{Acks, ClientError, Delivery, Producer, ProducerOptions, Record};
use wiber_model::batch::Compression;
use wiber_protocol::{ErrorCode, Str};

use crate::connect::{self, Connect};
use crate::failure::{Failure, say};
use crate::number;
use crate::output::{Format, Output, counted};
use crate::record_json;
use input::{Block, Input};
use tally::Tally;

/// Sends records to a topic.
///
/// Without a value, each line of standard input is a record. The topic is created if the broker allows it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wiber produce chat 'Hello'
  wiber produce chat 'Hello' --key alice --header lang=en --header client=cli
  wiber produce chat < lines.txt
  wiber produce chat --key-separator : < keys-and-values.txt
  wiber consume chat --from-beginning --exit --format json | wiber produce copy --format json

A record of JSON goes where its key has it, as the target may be divided otherwise; with --keep-partitions it goes to the partition that it names.")]
pub struct Arguments {
    /// The topic.
    topic: String,
    /// The record's value; without it, lines of standard input are read.
    value: Option<String>,
    /// The key of each record.
    #[arg(short, long, conflicts_with = "key_separator")]
    key: Option<String>,
    /// Each line is a key, this, and a value; \t is a tab.
    #[arg(short = 'K', long, value_name = "TEXT", value_parser = separator, conflicts_with = "value")]
    key_separator: Option<String>,
    /// A header of each record; may be given several times, also with the same key.
    #[arg(short = 'H', long, value_name = "KEY=VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// The partition that the records go to [default: as the key has it, or any].
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, value_parser = number::within(0, i32::MAX))]
    partition: Option<i32>,
    /// Sends each record to the partition that it names; for --format json.
    #[arg(long, conflicts_with = "partition")]
    keep_partitions: bool,
    /// Who must have a record before it counts as delivered: nobody, the leader, or all replicas in sync.
    #[arg(
        long,
        value_name = "0|1|all",
        default_value = "all",
        allow_negative_numbers = true,
        value_parser = acks
    )]
    acks: Acks,
    /// How records are compressed.
    #[arg(short = 'z', long, value_name = "CODEC", default_value = "none")]
    compression: CompressionName,
    /// Whether a record is stored once however often it must be sent [default: true with --acks all].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    idempotent: Option<bool>,
    /// What a line is: a value, or an object with key, value, headers and timestamp as `wiber consume` prints it, where a timestamp of -1 is now.
    #[arg(short, long, value_enum, default_value_t = Format::Text, hide_possible_values = true, value_name = "text|json")]
    format: Format,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Clone, Copy, ValueEnum)]
enum CompressionName {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Kafka's settings know `all` as -1 too.
fn acks(text: &str) -> Result<Acks, &'static str> {
    match text.trim() {
        "0" => Ok(Acks::None),
        "1" => Ok(Acks::Leader),
        "all" | "-1" => Ok(Acks::All),
        _ => Err("0, 1, all or -1, which is all, is wanted"),
    }
}

fn separator(text: &str) -> Result<String, &'static str> {
    match text {
        "" => Err("a separator is at least one character"),
        _ => Ok(text.replace("\\t", "\t")),
    }
}

fn header(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is wanted")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Runs the command.
pub fn run(arguments: Arguments) -> ExitCode {
    connect::run(produce(arguments))
}

async fn produce(arguments: Arguments) -> Result<(), Failure> {
    let maker = Maker::new(&arguments)?;
    let options = options(&arguments)?;
    let cluster = arguments.connect.cluster().await?;
    let topic = cluster
        .topic(&arguments.topic, true)
        .await
        .map_err(|error| no_topic(&arguments.topic, &error))?;
    if let Some(partition) = arguments.partition {
        topic
            .partition(partition)
            .map_err(|error| Failure::of_topic(&arguments.topic, &error))?;
    }
    let (producer, delivered) = Producer::new(cluster, &topic, options);
    let interactive = arguments.value.is_none() && io::stdin().is_terminal();
    let tally = Tally::new(&arguments.topic, arguments.value.is_some(), interactive);
    let mut run = Run {
        maker,
        producer,
        delivered,
        tally,
        interactive,
    };
    let outcome = match arguments.value {
        Some(value) => {
            if arguments.format == Format::Json && value.trim().is_empty() {
                return Err(Failure::Usage(
                    "the value is empty, and --format json wants an object, such as {\"value\":\"Hello\"}".to_owned(),
                ));
            }
            run.take(Bytes::from(value), 1).await;
            Ok(())
        }
        None => tokio::select! {
            outcome = run.lines() => outcome,
            // Who types has come to an end.
            _ = tokio::signal::ctrl_c() => if interactive { Ok(()) } else { Err("interrupted".to_owned()) },
        },
    };
    // What was taken is delivered, however the input ended.
    let tally = tokio::select! {
        tally = run.finish() => tally,
        _ = tokio::signal::ctrl_c() => {
            say("interrupted; nobody waits for what was not delivered yet");
            return Err(Failure::Told);
        }
    };
    if let Err(problem) = outcome {
        let delivered = counted(tally.delivered(), "record");
        say(&format!("{problem}; {delivered} delivered before"));
        return Err(Failure::Told);
    }
    tally.report(arguments.output)
}

fn no_topic(topic: &str, error: &ClientError) -> Failure {
    match error.code() {
        Some(ErrorCode::UnknownTopicOrPartition) => Failure::Failed(format!(
            "there is no topic '{topic}', and the broker does not make one by itself; `wiber topic create {topic}` does"
        )),
        _ => Failure::of_topic(topic, error),
    }
}

fn options(arguments: &Arguments) -> Result<ProducerOptions, Failure> {
    let acks = arguments.acks;
    if arguments.idempotent == Some(true) && acks != Acks::All {
        return Err(Failure::Usage(
            "--idempotent needs --acks all: nobody else knows of a record that it is stored"
                .to_owned(),
        ));
    }
    Ok(ProducerOptions {
        acks,
        compression: match arguments.compression {
            CompressionName::None => Compression::None,
            CompressionName::Gzip => Compression::Gzip,
            CompressionName::Snappy => Compression::Snappy,
            CompressionName::Lz4 => Compression::Lz4,
            CompressionName::Zstd => Compression::Zstd,
        },
        idempotent: arguments.idempotent.unwrap_or(acks == Acks::All),
        deliver_within: arguments.connect.timeout(),
    })
}

/// Makes records of lines.
struct Maker {
    key: Option<Bytes>,
    key_separator: Option<Vec<u8>>,
    headers: Vec<(Str, Option<Bytes>)>,
    partition: Option<i32>,
    keep_partitions: bool,
    format: Format,
}

impl Maker {
    fn new(arguments: &Arguments) -> Result<Maker, Failure> {
        if arguments.format == Format::Json && arguments.key_separator.is_some() {
            return Err(Failure::Usage(
                "--key-separator is for --format text: a line of JSON has its key in a field"
                    .to_owned(),
            ));
        }
        if arguments.format == Format::Text && arguments.keep_partitions {
            return Err(Failure::Usage(
                "--keep-partitions is for --format json: a line of text names no partition"
                    .to_owned(),
            ));
        }
        let headers = arguments
            .header
            .iter()
            .map(|(key, value)| (Str::from(key.as_str()), Some(Bytes::from(value.clone()))));
        Ok(Maker {
            key: arguments.key.clone().map(Bytes::from),
            key_separator: arguments.key_separator.clone().map(String::into_bytes),
            headers: headers.collect(),
            partition: arguments.partition,
            keep_partitions: arguments.keep_partitions,
            format: arguments.format,
        })
    }

    /// The record of a line. What flags say comes to what the line says; the partition is what flags say of it.
    fn record(&self, line: Bytes, tag: u64) -> Result<Record, String> {
        let mut record = match (self.format, &self.key_separator) {
            (Format::Json, _) => record_json::read(&line)?,
            (Format::Text, None) => Record {
                value: Some(line),
                ..Record::default()
            },
            (Format::Text, Some(separator)) => {
                let at = line
                    .windows(separator.len())
                    .position(|window| window == separator)
                    .ok_or_else(|| {
                        format!(
                            "it has no '{}' after a key",
                            String::from_utf8_lossy(separator).escape_debug()
                        )
                    })?;
                Record {
                    key: Some(line.slice(..at)),
                    value: Some(line.slice(at + separator.len()..)),
                    ..Record::default()
                }
            }
        };
        record.key = record.key.or_else(|| self.key.clone());
        record.partition = self
            .partition
            .or(record.partition.filter(|_| self.keep_partitions));
        record.headers.extend(self.headers.iter().cloned());
        record.tag = tag;
        Ok(record)
    }
}

/// One run of the command.
struct Run {
    maker: Maker,
    producer: Producer,
    delivered: mpsc::UnboundedReceiver<Delivery>,
    tally: Tally,
    interactive: bool,
}

impl Run {
    /// Sends lines until there are none any more. May be dropped: then those that wait for room are lost.
    async fn lines(&mut self) -> Result<(), String> {
        if self.interactive {
            self.tally.welcome();
        }
        let mut input = Input::start(self.interactive);
        loop {
            // What was read already is gathered; only when there is nothing more, batches leave before they are full.
            let block = match input.ready() {
                Some(block) => Some(block),
                None => {
                    self.producer.push();
                    self.prompt().await;
                    loop {
                        tokio::select! {
                            biased;
                            Some(delivery) = self.delivered.recv() => self.tally.count(delivery),
                            block = input.next() => break block,
                        }
                    }
                }
            };
            while let Ok(delivery) = self.delivered.try_recv() {
                self.tally.count(delivery);
            }
            let Some(block) = block else {
                return Ok(());
            };
            if self.tally.is_hopeless() {
                self.tally.stopped();
                return Ok(());
            }
            match block {
                Ok(block) => self.take_block(block).await,
                Err(problem) => return Err(problem),
            }
        }
    }

    async fn take_block(&mut self, block: Block) {
        for (number, line) in (block.first_line..).zip(block.lines()) {
            self.take(line, number).await;
        }
    }

    async fn take(&mut self, line: Bytes, number: u64) {
        // Between objects an empty line means nothing.
        if self.maker.format == Format::Json && line.trim_ascii().is_empty() {
            return;
        }
        let record = match self.maker.record(line, number) {
            Ok(record) => record,
            Err(problem) => return self.tally.refuse(number, &problem),
        };
        if let Err(error) = self.producer.send(record).await {
            self.tally.refuse(number, &error.to_string());
        }
    }

    /// On a terminal, waits until what was typed is delivered, and asks for more.
    async fn prompt(&mut self) {
        if !self.interactive {
            return;
        }
        while self.tally.is_waiting_for(self.producer.sent())
            && let Some(delivery) = self.delivered.recv().await
        {
            self.tally.count(delivery);
        }
        let _ = write!(io::stderr(), "> ");
        let _ = io::stderr().flush();
    }

    async fn finish(self) -> Tally {
        let Run {
            producer,
            mut delivered,
            mut tally,
            ..
        } = self;
        let finishing = producer.finish();
        tokio::pin!(finishing);
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                Some(delivery) = delivered.recv() => tally.count(delivery),
                () = &mut finishing => break,
                _ = ticks.tick() => tally.show_progress(),
            }
        }
        while let Ok(delivery) = delivered.try_recv() {
            tally.count(delivery);
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maker(key_separator: Option<&str>) -> Maker {
        Maker {
            key: None,
            key_separator: key_separator.map(|it| it.as_bytes().to_vec()),
            headers: vec![("h".into(), Some(Bytes::from_static(b"1")))],
            partition: None,
            keep_partitions: false,
            format: Format::Text,
        }
    }

    #[test]
    fn a_line_is_cut_at_the_first_separator() {
        let record = maker(Some("::"))
            .record(Bytes::from_static(b"a::b::c"), 7)
            .unwrap();
        assert_eq!(record.key.as_deref(), Some(&b"a"[..]));
        assert_eq!(record.value.as_deref(), Some(&b"b::c"[..]));
        assert_eq!((record.headers.len(), record.tag), (1, 7));
        assert!(
            maker(Some("::"))
                .record(Bytes::from_static(b"a:b"), 1)
                .is_err()
        );
    }

    #[test]
    fn bytes_that_are_no_text_pass() {
        let record = maker(None)
            .record(Bytes::from_static(b"\xff\x00"), 1)
            .unwrap();
        assert_eq!(record.value.as_deref(), Some(&b"\xff\x00"[..]));
    }

    #[test]
    fn separators_may_be_tabs() {
        assert_eq!(separator("\\t").as_deref(), Ok("\t"));
        assert!(separator("").is_err());
    }
}
