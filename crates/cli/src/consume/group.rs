//! `wiber consume --group`: a share of a topic, as a member of a group.
//!
//! Invariant: what is committed was written to standard output before. So each record is shown at least once, by whichever member has it; and
//! again, where a member ended before it could commit.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use wiber_client::group_consumer::is_lost;
use wiber_client::{
    Assignor, ClientError, Cluster, GroupConsumer, GroupEvent, GroupOptions, GroupProtocol, LATEST,
    ReceivedRecord, Reset,
};

use super::{Arguments, Printer, bounds, check_show};
use crate::failure::{Failure, say};
use crate::output;

/// How often what was shown is committed.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// How long a last commit is tried, where the command is not less patient.
const LAST_COMMIT_WITHIN: Duration = Duration::from_secs(5);
/// Signals that come within this time of each other are one: a supervisor may send one to the process and to its group.
const ONCE: Duration = Duration::from_secs(1);

/// As a member of which group.
#[derive(Args)]
#[command(next_help_heading = "Group")]
pub struct Member {
    /// Shares the topic with the other members of this group, goes on where the group left off, and commits what was shown.
    #[arg(short, long, value_name = "NAME", conflicts_with_all = ["history", "offset", "since", "partition"])]
    pub group: Option<String>,
    /// Makes it a static member: it keeps its partitions if it is back, with the same id, within 45 s.
    #[arg(long, value_name = "ID", requires = "group")]
    group_instance_id: Option<String>,
    /// Who assigns: a member (classic), or the broker (consumer, KIP-848), which lets those read on that a change does not concern.
    #[arg(
        long,
        value_enum,
        value_name = "NAME",
        default_value = "classic",
        requires = "group"
    )]
    group_protocol: ProtocolName,
    /// How the members share partitions. Of the classic protocol: range or cooperative-sticky, which all of them must know; of the consumer
    /// protocol: uniform or range [default: whichever there is].
    #[arg(long, value_enum, value_name = "NAME", requires = "group")]
    assignor: Option<AssignorName>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ProtocolName {
    Classic,
    Consumer,
}

#[derive(Clone, Copy, ValueEnum)]
enum AssignorName {
    /// A run of partitions for each; all stop for a moment when a member comes or goes.
    Range,
    /// As few partitions move as possible; those that stay are read on.
    CooperativeSticky,
    /// As few partitions move as possible, and all members have as many.
    Uniform,
}

impl Member {
    /// # Errors
    /// If the protocol has no such way to assign.
    fn protocol(&self) -> Result<GroupProtocol, Failure> {
        use AssignorName::{CooperativeSticky, Range, Uniform};
        let wrong = |protocol: &str, wanted: &str| {
            let message = format!("the {protocol} protocol has no such --assignor: {wanted}");
            Err(Failure::Usage(message))
        };
        let of_broker = |name: &str| Ok(GroupProtocol::Consumer(Some(name.to_owned())));
        match (self.group_protocol, self.assignor) {
            (ProtocolName::Classic, None) => Ok(GroupProtocol::Classic(Assignor::ALL.to_vec())),
            (ProtocolName::Classic, Some(Range)) => {
                Ok(GroupProtocol::Classic(vec![Assignor::Range]))
            }
            (ProtocolName::Classic, Some(CooperativeSticky)) => {
                Ok(GroupProtocol::Classic(vec![Assignor::CooperativeSticky]))
            }
            (ProtocolName::Classic, Some(Uniform)) => {
                wrong("classic", "range and cooperative-sticky are there")
            }
            (ProtocolName::Consumer, None) => Ok(GroupProtocol::Consumer(None)),
            (ProtocolName::Consumer, Some(Range)) => of_broker("range"),
            (ProtocolName::Consumer, Some(Uniform)) => of_broker("uniform"),
            (ProtocolName::Consumer, Some(CooperativeSticky)) => {
                wrong("consumer", "uniform and range are there")
            }
        }
    }
}

/// Runs the command.
pub async fn consume(arguments: Arguments) -> Result<(), Failure> {
    check_show(&arguments)?;
    let protocol = arguments.member.protocol()?;
    output::open()?;
    let cluster = arguments.connect.cluster().await?;
    let topic = cluster
        .topic(&arguments.topic, false)
        .await
        .map_err(|error| Failure::of_topic(&arguments.topic, &error))?;
    let within = arguments.connect.timeout();
    let until = if arguments.exit {
        let latest = topic.partitions.iter().map(|it| (it.index, LATEST));
        Some(bounds(&cluster, &arguments.topic, &latest.collect(), within).await?)
    } else {
        None
    };
    let mut ends = Ends::new()?;
    let mut reading = Reading {
        consumer: join(cluster, &arguments, protocol),
        printer: Printer::new(&arguments),
        arguments: &arguments,
        until,
        positions: BTreeMap::new(),
        shown: BTreeMap::new(),
        written: BTreeMap::new(),
        assigned: false,
        troubled: None,
        told: false,
    };
    let outcome = tokio::select! {
        outcome = reading.run() => outcome,
        () = ends.wait() => Ok(()),
        Ok(()) = output::reader_gone() => Err(Failure::ReaderGone),
    };
    tokio::select! {
        ended = reading.end(outcome) => ended,
        () = ends.wait_for_another() => Err(Failure::Failed("ended before it could commit and leave the group".to_owned())),
    }
}

fn join(cluster: Arc<Cluster>, arguments: &Arguments, protocol: GroupProtocol) -> GroupConsumer {
    let member = &arguments.member;
    let options = GroupOptions {
        group: member.group.clone().unwrap_or_default(),
        instance: member.group_instance_id.clone(),
        protocol,
        reset: if arguments.from.from_beginning {
            Reset::Earliest
        } else {
            Reset::Latest
        },
        within: arguments.connect.timeout(),
    };
    GroupConsumer::join(cluster, &arguments.topic, options)
}

/// Ctrl-C, and what a supervisor sends: both are a good end.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
}

impl Ends {
    fn new() -> Result<Ends, Failure> {
        let wait_for = |kind| {
            signal(kind)
                .map_err(|error| Failure::Failed(format!("cannot wait for signals: {error}")))
        };
        Ok(Ends {
            interrupt: wait_for(SignalKind::interrupt())?,
            terminate: wait_for(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Who asks once more wants an end at once; unless it comes so soon that it was meant once.
    async fn wait_for_another(&mut self) {
        let first = Instant::now();
        while first.elapsed() < ONCE {
            self.wait().await;
        }
    }
}

struct Reading<'a, W: Write> {
    consumer: GroupConsumer,
    printer: Printer<W>,
    arguments: &'a Arguments,
    /// Where to end, if anywhere.
    until: Option<BTreeMap<i32, i64>>,
    /// The offsets to be shown next, of the partitions that this member has.
    positions: BTreeMap<i32, i64>,
    /// Those of them that are not committed: as far as they are on their way to standard output, ..
    shown: BTreeMap<i32, i64>,
    /// .. and as far as they are there.
    written: BTreeMap<i32, i64>,
    /// Whether the group has given this member its share.
    assigned: bool,
    troubled: Option<Instant>,
    told: bool,
}

impl<W: Write> Reading<'_, W> {
    async fn run(&mut self) -> Result<(), Failure> {
        let mut commit_at = Instant::now() + COMMIT_INTERVAL;
        while !self.is_done() {
            if !self.consumer.has_ready() {
                self.flush()?;
            }
            if commit_at <= Instant::now() {
                self.flush()?;
                self.commit(Duration::ZERO).await?;
                commit_at = Instant::now() + COMMIT_INTERVAL;
            }
            let is_pending = !self.shown.is_empty() || !self.written.is_empty();
            let event = tokio::select! {
                event = self.consumer.next() => event.map_err(|error| self.failed(&error))?,
                () = tokio::time::sleep_until(commit_at), if is_pending => continue,
            };
            self.take(event).await?;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        let Some(ends) = &self.until else {
            return self.printer.left == 0;
        };
        let read = |(index, at): (&i32, &i64)| ends.get(index).is_none_or(|end| at >= end);
        self.printer.left == 0 || (self.assigned && self.positions.iter().all(read))
    }

    async fn take(&mut self, event: GroupEvent) -> Result<(), Failure> {
        match event {
            GroupEvent::Records {
                partition,
                records,
                next_offset,
            } => {
                self.troubled = None;
                self.show(partition, &records, next_offset)?;
            }
            GroupEvent::Skipped {
                partition,
                from,
                to,
            } => {
                self.positions.insert(partition, to);
                if from != to {
                    say(&format!(
                        "{}: partition {partition}: the group was at offset {from}, which is not there; reading on at {to}",
                        self.arguments.topic
                    ));
                }
            }
            GroupEvent::Assigned(new) => {
                self.assigned = true;
                // Where nothing is committed yet, the group begins here, also if it is away when the first record comes.
                self.written.extend(new.clone());
                self.positions.extend(new);
                self.tell_share();
            }
            GroupEvent::Revoked(gone) => {
                self.assigned = false;
                self.flush()?;
                self.commit(self.last_commit_within()).await?;
                self.forget(&gone);
            }
            GroupEvent::Lost(lost) => {
                self.assigned = false;
                if lost
                    .iter()
                    .any(|it| self.shown.contains_key(it) || self.written.contains_key(it))
                {
                    say(&format!(
                        "group {}: it went on without this member; what was shown last may be shown again by another one",
                        self.group()
                    ));
                }
                self.forget(&lost);
            }
            GroupEvent::Trouble(error) => {
                let since = *self.troubled.get_or_insert_with(Instant::now);
                if !self.told {
                    say(&format!("{}: {error}; trying again", self.arguments.topic));
                    self.told = true;
                }
                if self.until.is_some() && since.elapsed() > self.arguments.connect.timeout() {
                    return Err(self.failed(&error));
                }
            }
            GroupEvent::Resumed => {
                self.troubled = None;
                if std::mem::take(&mut self.told) {
                    say(&format!("{}: goes on again", self.arguments.topic));
                }
            }
        }
        Ok(())
    }

    fn show(
        &mut self,
        partition: i32,
        records: &[ReceivedRecord],
        next_offset: i64,
    ) -> Result<(), Failure> {
        let end = self
            .until
            .as_ref()
            .map(|ends| ends.get(&partition).copied().unwrap_or(0));
        let Some(position) = self.positions.get_mut(&partition) else {
            return Ok(());
        };
        if end.is_some_and(|end| *position >= end) {
            return Ok(());
        }
        let before = end.map_or(records.len(), |end| {
            records.partition_point(|it| it.offset < end)
        });
        let count = self.printer.print(&records[..before])?;
        *position = match records.get(count) {
            // The rest is for whoever reads on.
            Some(next) => next.offset,
            None => next_offset,
        };
        self.shown.insert(partition, *position);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.printer.out.flush()?;
        self.written.append(&mut self.shown);
        Ok(())
    }

    /// Commits what was written. Where the group has just moved on, that is tried again later, or somebody else reads it again.
    async fn commit(&mut self, within: Duration) -> Result<(), Failure> {
        match self.consumer.commit(&self.written, within).await {
            Ok(()) => self.written.clear(),
            Err(error) if is_lost(&error) || error.is_passing() => {}
            Err(error) => return Err(self.failed(&error)),
        }
        Ok(())
    }

    /// Writes and commits what was shown, and leaves the group.
    async fn end(mut self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        let flushed = self.flush();
        let within = self.last_commit_within();
        let committed = self.consumer.commit(&self.written, within).await;
        let group = self.group().to_owned();
        self.consumer.leave().await;
        // What ended it is what must be told first.
        outcome.and(flushed)?;
        committed.map_err(|error| {
            Failure::Failed(format!(
                "group {group}: what was shown last is not committed, and will be shown again: {error}"
            ))
        })
    }

    fn last_commit_within(&self) -> Duration {
        LAST_COMMIT_WITHIN.min(self.arguments.connect.timeout())
    }

    fn forget(&mut self, partitions: &BTreeSet<i32>) {
        for it in partitions {
            self.positions.remove(it);
            self.shown.remove(it);
            self.written.remove(it);
        }
    }

    /// Says on a terminal which partitions this member has: where it has none, nothing else would be seen.
    fn tell_share(&self) {
        if !io::stdout().is_terminal() || !io::stderr().is_terminal() {
            return;
        }
        let count = self.positions.len() as u64;
        let _ = writeln!(
            io::stderr(),
            "Group {} gives this member {} of {}. Ctrl-C ends.",
            self.group(),
            output::counted(count, "partition"),
            self.arguments.topic
        );
    }

    fn group(&self) -> &str {
        self.arguments.member.group.as_deref().unwrap_or_default()
    }

    /// A failure about the topic or about the group, whichever the error speaks of.
    fn failed(&self, error: &ClientError) -> Failure {
        use wiber_protocol::ErrorCode;
        let of_topic = matches!(
            error.code(),
            None | Some(
                ErrorCode::UnknownTopicOrPartition
                    | ErrorCode::TopicAuthorizationFailed
                    | ErrorCode::KafkaStorageError
                    | ErrorCode::CorruptMessage
            )
        );
        if of_topic {
            Failure::of_topic(&self.arguments.topic, error)
        } else {
            Failure::of_group(self.group(), error)
        }
    }
}
