//! `wiber consume`: records of a topic, from where the user says, as they come or to the end.

mod group;
mod show;
mod start;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use wiber_client::{Cluster, Consumer, ConsumerEvent, LATEST, ReceivedRecord, Topic};

use crate::connect::{self, Connect};
use crate::failure::{Failure, say};
use crate::moment::moment;
use crate::number;
use crate::output::{self, Format, counted};
use crate::progress::Progress;
use show::Show;
use start::Start;

/// How often it is asked whether the topic has got new partitions.
const NEW_PARTITIONS_INTERVAL: Duration = Duration::from_secs(10);
/// Room for output before it is written, in bytes.
const OUTPUT_BYTES: usize = 64 << 10;

/// Shows the records of a topic.
///
/// Without a place to start from it shows what comes from now on. It follows the topic until Ctrl-C, or ends with --exit. With --group it shares
/// the topic with the other members of a group, goes on where the group left off, and commits what it has shown.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wiber consume chat                              # what comes from now on
  wiber consume chat --history 5                  # the last five records, then what comes
  wiber consume chat --from-beginning --exit      # all that there is
  wiber consume chat --since 10m --show key,timestamp
  wiber consume chat --partition 0 --offset 100 --max-messages 1
  wiber consume chat --from-beginning --exit --format json | jq .value
  wiber consume chat --group billing              # what the group has not seen yet; start it twice, and each gets its share
  wiber consume chat --group billing --exit       # no more than there is now")]
pub struct Arguments {
    /// The topic.
    topic: String,
    #[command(flatten)]
    from: From,
    /// Reads these partitions only; may be given several times.
    #[arg(short, long, value_name = "N", value_delimiter = ',', allow_negative_numbers = true, value_parser = number::within(0, i32::MAX))]
    partition: Vec<i32>,
    /// Ends where the topic ended when the command began.
    #[arg(short, long)]
    exit: bool,
    /// Ends after so many records.
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true, value_parser = number::within(1, u64::MAX))]
    max_messages: Option<u64>,
    /// How a record is shown: its value on a line, or an object with all there is of it.
    #[arg(short, short_alias = 'o', long, alias = "output", value_enum, default_value_t = Format::Text, hide_possible_values = true, value_name = "text|json")]
    format: Format,
    /// What stands before the value, with tabs between; for --format text.
    #[arg(short, long, value_name = "WHAT,..", value_delimiter = ',')]
    show: Vec<Column>,
    #[command(flatten)]
    member: group::Member,
    #[command(flatten)]
    connect: Connect,
}

/// Where to start.
#[derive(Args)]
#[group(multiple = false)]
struct From {
    /// Starts with the last N records of the topic, over all its partitions.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = number::within(1, start::HISTORY_MAX))]
    history: Option<u32>,
    /// Starts with the first record that there is; with --group only where the group has committed nothing.
    #[arg(long)]
    from_beginning: bool,
    /// Starts at this offset in each partition; a negative number counts from the end.
    #[arg(long, value_name = "N|-N", allow_negative_numbers = true, value_parser = number::any)]
    offset: Option<i64>,
    /// Starts with the first record that is not older: a time, a date, Unix milliseconds, or how long ago, such as 10m.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = moment)]
    since: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Column {
    Partition,
    Offset,
    Timestamp,
    Headers,
    Key,
    All,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> ExitCode {
    if arguments.member.group.is_some() {
        connect::run_with_background(group::consume(arguments))
    } else {
        connect::run(consume(arguments))
    }
}

async fn consume(arguments: Arguments) -> Result<(), Failure> {
    let start = Start::of(&arguments.from);
    if arguments.exit && start == Start::End {
        return Err(Failure::Usage(
            "--exit without a place to start from shows nothing: add --from-beginning, --history, --offset or --since".to_owned(),
        ));
    }
    check_show(&arguments)?;
    output::open()?;
    let cluster = arguments.connect.cluster().await?;
    let topic = cluster
        .topic(&arguments.topic, false)
        .await
        .map_err(|error| Failure::of_topic(&arguments.topic, &error))?;
    let partitions = chosen(&topic, &arguments.partition)?;
    // From here on, before it is said that it ends it, Ctrl-C is a good end.
    let mut interrupts = signal(SignalKind::interrupt())
        .map_err(|error| Failure::Failed(format!("cannot wait for Ctrl-C: {error}")))?;
    if start == Start::End && io::stdout().is_terminal() && io::stderr().is_terminal() {
        let _ = writeln!(
            io::stderr(),
            "Waiting for what comes to {}; --history 5 shows the last records too. Ctrl-C ends.",
            arguments.topic
        );
    }
    let reading = read(cluster, &arguments, start, partitions);
    // Whoever follows ends it with Ctrl-C, or by closing what reads the output.
    tokio::select! {
        outcome = reading => outcome,
        _ = interrupts.recv() => Ok(()),
        Ok(()) = output::reader_gone() => Err(Failure::ReaderGone),
    }
}

fn check_show(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.format == Format::Json && !arguments.show.is_empty() {
        return Err(Failure::Usage(
            "--show is for --format text: JSON has all there is of a record".to_owned(),
        ));
    }
    Ok(())
}

fn chosen(topic: &Topic, wanted: &[i32]) -> Result<Vec<i32>, Failure> {
    if wanted.is_empty() {
        return Ok(topic.partitions.iter().map(|it| it.index).collect());
    }
    for partition in wanted {
        topic
            .partition(*partition)
            .map_err(|error| Failure::of_topic(&topic.name, &error))?;
    }
    Ok(wanted.to_vec())
}

async fn read(
    cluster: Arc<Cluster>,
    arguments: &Arguments,
    start: Start,
    partitions: Vec<i32>,
) -> Result<(), Failure> {
    let latest = partitions.iter().map(|it| (*it, LATEST)).collect();
    let within = arguments.connect.timeout();
    let ends = bounds(&cluster, &arguments.topic, &latest, within).await?;
    let from = match start {
        Start::Offset(offset) if offset > 0 => {
            start::beyond_end(&arguments.topic, offset, &ends, arguments.exit)?;
            offset
        }
        _ => 0,
    };
    let mut printer = Printer::new(arguments);
    let positions = match start {
        Start::History(count) => {
            let records = start::history(&cluster, &arguments.topic, &ends, count, within).await?;
            printer.print(&records)?;
            printer.out.flush()?;
            ends.clone()
        }
        start => start::positions(&cluster, &arguments.topic, start, &ends, within).await?,
    };
    let follow = Follow {
        topic: &arguments.topic,
        from,
        until: arguments.exit.then_some(ends),
        grows: arguments.partition.is_empty() && !arguments.exit,
        within,
    };
    follow.run(cluster, positions, &mut printer).await?;
    Ok(printer.out.flush()?)
}

/// What ListOffsets finds, with 0 where there is nothing yet.
async fn bounds(
    cluster: &Cluster,
    topic: &str,
    wanted: &BTreeMap<i32, i64>,
    within: Duration,
) -> Result<BTreeMap<i32, i64>, Failure> {
    let found = cluster
        .list_offsets(topic, wanted, within)
        .await
        .map_err(|error| Failure::of_topic(topic, &error))?;
    Ok(found
        .into_iter()
        .map(|(index, at)| (index, at.unwrap_or(0)))
        .collect())
}

/// Prints records until there were enough.
struct Printer<W: Write> {
    out: W,
    show: Show,
    shown: u64,
    left: u64,
    progress: Progress,
}

impl Printer<BufWriter<io::StdoutLock<'static>>> {
    fn new(arguments: &Arguments) -> Self {
        Printer {
            out: BufWriter::with_capacity(OUTPUT_BYTES, io::stdout().lock()),
            show: Show::new(&arguments.topic, arguments.format, &arguments.show),
            shown: 0,
            left: arguments.max_messages.unwrap_or(u64::MAX),
            // On a terminal the records themselves show how far it is.
            progress: Progress::new(arguments.exit && !io::stdout().is_terminal()),
        }
    }
}

impl<W: Write> Printer<W> {
    /// Prints records, as many as are still wanted: how many.
    fn print(&mut self, records: &[ReceivedRecord]) -> io::Result<usize> {
        let count = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(records.len());
        for record in &records[..count] {
            self.show.record(&mut self.out, record)?;
        }
        self.left -= count as u64;
        self.shown += count as u64;
        let shown = self.shown;
        self.progress.show(|| counted(shown, "record"));
        Ok(count)
    }
}

/// How to go on from the first positions.
struct Follow<'a> {
    topic: &'a str,
    /// Nothing before this offset is shown.
    from: i64,
    /// Where to end, if anywhere.
    until: Option<BTreeMap<i32, i64>>,
    /// Whether partitions that come later are read too.
    grows: bool,
    /// How long something may not work before a command that shall end gives up.
    within: Duration,
}

impl Follow<'_> {
    async fn run(
        &self,
        cluster: Arc<Cluster>,
        mut positions: BTreeMap<i32, i64>,
        printer: &mut Printer<impl Write>,
    ) -> Result<(), Failure> {
        let mut consumer = Consumer::new(cluster.clone(), self.topic, &positions);
        let mut troubled: Option<Instant> = None;
        let mut told = false;
        let mut look_again = Instant::now() + NEW_PARTITIONS_INTERVAL;
        loop {
            self.drop_finished(&mut consumer, &mut positions);
            if printer.left == 0 || (self.until.is_some() && positions.is_empty()) {
                return Ok(());
            }
            if !consumer.has_ready() {
                printer.out.flush()?;
            }
            let event = tokio::select! {
                event = consumer.next() => event.map_err(|error| Failure::of_topic(self.topic, &error))?,
                () = tokio::time::sleep_until(look_again), if self.grows => {
                    look_again = Instant::now() + NEW_PARTITIONS_INTERVAL;
                    // If it fails, so will the next fetch, and say so.
                    if let Ok(topic) = cluster.topic(self.topic, false).await {
                        for it in &topic.partitions {
                            if positions.insert(it.index, 0).is_none() {
                                consumer.add(it.index, 0);
                            }
                        }
                    }
                    continue;
                }
            };
            match event {
                ConsumerEvent::Records {
                    partition,
                    records,
                    next_offset,
                } => {
                    troubled = None;
                    let end = self.until.as_ref().and_then(|ends| ends.get(&partition));
                    let before = end.map_or(records.len(), |end| {
                        records.partition_point(|it| it.offset < *end)
                    });
                    let from = records.partition_point(|it| it.offset < self.from);
                    printer.print(&records[from.min(before)..before])?;
                    positions
                        .entry(partition)
                        .and_modify(|at| *at = next_offset);
                }
                ConsumerEvent::Skipped {
                    partition,
                    from,
                    to,
                } => {
                    positions.entry(partition).and_modify(|at| *at = to);
                    // None is gone where the broker had just not got so far.
                    if from < to {
                        say(&format!(
                            "{}: partition {partition}: offsets {from} to {} are gone, reading on at {to}",
                            self.topic,
                            to - 1
                        ));
                    }
                }
                ConsumerEvent::Trouble(error) => {
                    let since = *troubled.get_or_insert_with(Instant::now);
                    if !told {
                        say(&format!("{}: {error}; trying again", self.topic));
                        told = true;
                    }
                    if self.until.is_some() && since.elapsed() > self.within {
                        return Err(Failure::of_topic(self.topic, &error));
                    }
                }
                ConsumerEvent::Resumed => {
                    troubled = None;
                    if told {
                        say(&format!("{}: goes on again", self.topic));
                        told = false;
                    }
                }
            }
        }
    }

    /// Reads partitions no more that were read to their end.
    fn drop_finished(&self, consumer: &mut Consumer, positions: &mut BTreeMap<i32, i64>) {
        let Some(ends) = &self.until else { return };
        positions.retain(|partition, at| {
            let unread = ends.get(partition).is_some_and(|end| *at < *end);
            if !unread {
                consumer.remove(*partition);
            }
            unread
        });
    }
}
